//go:build unix

package sock_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket/internal/sock"
	"github.com/duplexkit/websocket/internal/wstest"
)

func TestTry(t *testing.T) {
	t.Parallel()
	near, far := wstest.TCP(t)
	here, there := sock.Raw(near), sock.Raw(far)
	p := make([]byte, 10)
	_, err := sock.TryRead(here, p)
	require.Equal(t, sock.ErrAgain, err)

	n, err := sock.TryWrite(there, []byte("Hello"))
	require.NoError(t, err)
	require.Equal(t, 5, n)
	for err = sock.ErrAgain; err == sock.ErrAgain; {
		n, err = sock.TryRead(here, p)
	}
	require.NoError(t, err)
	require.Equal(t, "Hello", string(p[:n]))

	for err == nil {
		n, err = sock.TryWrite(here, make([]byte, sock.MaxSize))
		require.True(t, n > 0 || err == sock.ErrAgain)
	}
	require.Equal(t, sock.ErrAgain, err)

	require.NoError(t, far.CloseWrite())
	for err = sock.ErrAgain; err == sock.ErrAgain; {
		n, err = sock.TryRead(here, p)
	}
	require.NoError(t, err)
	require.Zero(t, n, "the end")
	require.NoError(t, near.CloseWrite())
	_, err = sock.TryWrite(here, []byte("late"))
	require.ErrorIs(t, err, syscall.EPIPE)
}

// What the net package knows better is left to it.
func TestTryAsksNet(t *testing.T) {
	t.Parallel()
	near, _ := wstest.TCP(t)
	raw := sock.Raw(near)
	try := func() {
		n, err := sock.TryRead(raw, make([]byte, 1))
		require.Equal(t, sock.ErrAgain, err)
		require.Zero(t, n)
		n, err = sock.TryWrite(raw, make([]byte, 1))
		require.Equal(t, sock.ErrAgain, err)
		require.Zero(t, n)
	}
	require.NoError(t, near.SetDeadline(time.Unix(1, 0)))
	try()
	require.NoError(t, near.Close())
	try()
}
