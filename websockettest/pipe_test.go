package websockettest

import (
	"io"
	"net"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/nettest"

	"github.com/duplexkit/websocket/internal/wstest"
)

func TestPipe(t *testing.T) {
	t.Parallel()
	nettest.TestConn(t, func() (a, b net.Conn, stop func(), err error) {
		a, b = Pipe(0)
		return a, b, func() { a.Close(); b.Close() }, nil
	})
}

// A write waits when the buffer is full, and in a way that a bubble knows.
func TestPipeHolds(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ size, holds int }{
		"default":  {0, 1 << 20},
		"negative": {-1, 1 << 20},
		"one":      {1, 1},
		"some":     {1000, 1000},
	} {
		inBubble(t, name, func(t *testing.T) {
			a, b := Pipe(tc.size)
			n, err := a.Write(make([]byte, tc.holds))
			require.NoError(t, err)
			require.Equal(t, tc.holds, n)
			n, err = b.Write(make([]byte, tc.holds))
			require.NoError(t, err, "the other direction has a buffer of its own")
			require.Equal(t, tc.holds, n)

			written := make(chan error, 1)
			go func() { _, err := a.Write([]byte("x")); written <- err }()
			synctest.Wait()
			require.Empty(t, written)
			_, err = b.Read(make([]byte, 1))
			require.NoError(t, err)
			require.NoError(t, <-written)
			require.NoError(t, a.Close())
			require.NoError(t, b.Close())
		})
	}
}

func TestPipeAddresses(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for range 1000 {
		client, server := Pipe(0)
		require.Equal(t, client.LocalAddr(), server.RemoteAddr())
		require.Equal(t, client.RemoteAddr(), server.LocalAddr())
		require.Equal(t, "tcp", client.LocalAddr().Network())
		require.Equal(t, "192.0.2.1:80", server.LocalAddr().String())
		of := server.RemoteAddr().String()
		host, _, err := net.SplitHostPort(of)
		require.NoError(t, err)
		require.NotEqual(t, "192.0.2.1", host)
		require.False(t, seen[of], of)
		seen[of] = true
	}
}

func TestPipeEndsByHalves(t *testing.T) {
	t.Parallel()
	a, b := Pipe(0)
	require.NoError(t, a.(interface{ CloseWrite() error }).CloseWrite())
	_, err := b.Read(make([]byte, 1))
	require.Equal(t, io.EOF, err)
	_, err = b.Write([]byte("answer"))
	require.NoError(t, err)
	require.NoError(t, b.Close())
	p, err := io.ReadAll(a)
	require.NoError(t, err)
	require.Equal(t, "answer", string(p))
	require.NoError(t, a.Close())
}

func TestReset(t *testing.T) {
	t.Parallel()
	for name, pair := range links {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := pair(t)
			require.NoError(t, reset(a))
			_, err := b.Read(make([]byte, 1))
			require.ErrorIs(t, err, syscall.ECONNRESET)
			_, err = a.Read(make([]byte, 1))
			require.ErrorIs(t, err, net.ErrClosed)
			require.Error(t, reset(a))
		})
	}
	t.Run("neither", func(t *testing.T) {
		t.Parallel()
		a, b := net.Pipe()
		require.NoError(t, reset(a))
		_, err := b.Read(make([]byte, 1))
		require.Equal(t, io.EOF, err)
	})
}

// links are the kinds of connections that most tests use.
var links = map[string]func(t testing.TB) (client, server net.Conn){
	"memory": func(t testing.TB) (client, server net.Conn) {
		client, server = Pipe(0)
		t.Cleanup(func() { client.Close(); server.Close() })
		return client, server
	},
	"TCP": func(t testing.TB) (client, server net.Conn) { return wstest.TCP(t) },
}
