//go:build unix

package websocket

import (
	"io"
	"net"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket/internal/wstest"
)

// fill writes to a socket whose other end does not read until it takes no more,
// and returns how much it took.
func fill(t *testing.T, nc net.Conn) (filled int64) {
	t.Helper()
	block := make([]byte, 64<<10)
	for {
		n, err := writeNonblocking(nc, block)
		require.NoError(t, err)
		if n == 0 && len(block) == 1 {
			return filled
		}
		if n == 0 {
			block = block[:1]
		}
		filled += int64(n)
	}
}

func TestWriteNonblocking(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	dialed, err := net.Dial("unix", ln.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { dialed.Close() })
	accepted, err := ln.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { accepted.Close() })
	tcpNear, tcpFar := wstest.TCP(t)

	for name, ends := range map[string][2]net.Conn{"tcp": {tcpNear, tcpFar}, "unix": {dialed, accepted}} {
		t.Run(name, func(t *testing.T) {
			near, far := ends[0], ends[1]
			n, err := writeNonblocking(near, []byte("Hello"))
			require.NoError(t, err)
			require.Equal(t, 5, n)
			b := make([]byte, 5)
			_, err = io.ReadFull(far, b)
			require.NoError(t, err)
			require.Equal(t, "Hello", string(b))

			filled := fill(t, near)
			require.Positive(t, filled)
			_, err = io.CopyN(io.Discard, far, filled)
			require.NoError(t, err)

			require.NoError(t, near.SetWriteDeadline(longAgo))
			_, err = writeNonblocking(near, []byte("late"))
			require.True(t, isTimeout(err), "%v", err)
			require.NoError(t, near.SetWriteDeadline(never))

			require.NoError(t, near.(interface{ CloseWrite() error }).CloseWrite())
			_, err = writeNonblocking(near, []byte("late"))
			var op *net.OpError
			require.ErrorAs(t, err, &op)
			require.Equal(t, "write", op.Op)

			require.NoError(t, near.Close())
			_, err = writeNonblocking(near, []byte("late"))
			require.ErrorIs(t, err, net.ErrClosed)
		})
	}
}
