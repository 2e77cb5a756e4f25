//go:build !race && (amd64 || arm64 || riscv64 || loong64)

package sock_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket/internal/sock"
	"github.com/duplexkit/websocket/internal/wstest"
)

// A socket that was turned to blocking mode does not block us, and with us all
// that the scheduler would have run.
func TestBlockingMode(t *testing.T) {
	t.Parallel()
	near, far := wstest.TCP(t)
	f, err := near.File()
	require.NoError(t, err)
	defer f.Close()
	_ = f.Fd() // turns the socket, not only the file, to blocking mode
	raw := sock.Raw(near)
	require.NoError(t, raw.Read(func(fd uintptr) bool {
		_, err = sock.Read(fd, make([]byte, 10))
		return true
	}))
	require.Equal(t, sock.ErrAgain, err)
	for err = nil; err == nil; {
		require.NoError(t, raw.Write(func(fd uintptr) bool {
			_, err = sock.Write(fd, make([]byte, 1<<20))
			return true
		}))
	}
	require.Equal(t, sock.ErrAgain, err)
	require.NoError(t, far.Close())
}
