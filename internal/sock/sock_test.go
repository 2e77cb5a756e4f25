//go:build unix

package sock_test

import (
	"net"
	"runtime"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket/internal/sock"
	"github.com/duplexkit/websocket/internal/wstest"
)

func TestReadWrite(t *testing.T) {
	t.Parallel()
	near, far := wstest.TCP(t)
	raw := sock.Raw(near)
	require.NotNil(t, raw)
	write := func(p []byte) (n int, err error) {
		require.NoError(t, raw.Write(func(fd uintptr) bool { n, err = sock.Write(fd, p); return true }))
		return n, err
	}
	read := func(p []byte, wait bool) (n int, err error) {
		require.NoError(t, raw.Read(func(fd uintptr) bool {
			n, err = sock.Read(fd, p)
			return !wait || err != sock.ErrAgain
		}))
		return n, err
	}

	p := make([]byte, 10)
	_, err := read(p, false)
	require.Equal(t, sock.ErrAgain, err)
	n, err := write([]byte("Hello"))
	require.NoError(t, err)
	require.Equal(t, 5, n)
	n, err = far.Read(p)
	require.NoError(t, err)
	require.Equal(t, "Hello", string(p[:n]))

	_, err = far.Write([]byte("there"))
	require.NoError(t, err)
	n, err = read(p, true)
	require.NoError(t, err)
	require.Equal(t, "there", string(p[:n]))

	if runtime.GOOS == "linux" {
		_, err = far.Write([]byte("Hello"))
		require.NoError(t, err)
		var waiting int
		require.NoError(t, raw.Read(func(fd uintptr) bool { waiting = sock.Waiting(fd); return waiting > 0 }))
		require.Equal(t, 5, waiting)
		n, err = read(p, true)
		require.NoError(t, err)
		require.Equal(t, 5, n)
		require.NoError(t, raw.Control(func(fd uintptr) { waiting = sock.Waiting(fd) }))
		require.Zero(t, waiting)
		require.Zero(t, sock.Waiting(^uintptr(0)), "it is no socket")
	}

	for err == nil {
		n, err = write(make([]byte, sock.MaxSize))
		require.True(t, n > 0 || err == sock.ErrAgain)
	}
	require.Equal(t, sock.ErrAgain, err)

	require.NoError(t, far.CloseWrite())
	n, err = read(p, true)
	require.NoError(t, err)
	require.Zero(t, n, "the end")
	require.NoError(t, near.CloseWrite())
	_, err = write([]byte("late"))
	require.ErrorIs(t, err, syscall.EPIPE)
}

func TestRaw(t *testing.T) {
	t.Parallel()
	tcp, _ := wstest.TCP(t)
	require.NotNil(t, sock.Raw(tcp))
	require.Nil(t, sock.Raw(struct{ *net.TCPConn }{tcp}), "it may do more than what is in it")
	pipe, _ := wstest.Pipe(t)
	require.Nil(t, sock.Raw(pipe))
	datagrams, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: t.TempDir() + "/s", Net: "unixgram"})
	require.NoError(t, err)
	defer datagrams.Close()
	require.Nil(t, sock.Raw(datagrams))
	require.NoError(t, tcp.Close())
}
