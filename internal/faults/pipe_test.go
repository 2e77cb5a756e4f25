package faults

import (
	"io"
	"net"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/nettest"
)

func TestPipe(t *testing.T) {
	t.Parallel()
	nettest.TestConn(t, func() (a, b net.Conn, stop func(), err error) {
		x, y := Pipe()
		return x, y, func() { x.Close(); y.Close() }, nil
	})
}

func TestPipeEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := Pipe()
		_, err := a.Write([]byte("last words"))
		require.NoError(t, err)
		require.NoError(t, a.CloseWrite())
		require.ErrorIs(t, a.CloseWrite(), net.ErrClosed)
		_, err = a.Write([]byte("more"))
		require.ErrorIs(t, err, net.ErrClosed)
		got, err := io.ReadAll(b)
		require.NoError(t, err)
		require.Equal(t, "last words", string(got))

		_, err = b.Write([]byte("answer"))
		require.NoError(t, err)
		require.NoError(t, a.Close())
		require.ErrorIs(t, a.Close(), net.ErrClosed)
		_, err = a.Read(make([]byte, 1))
		require.ErrorIs(t, err, net.ErrClosed)
		_, err = b.Write([]byte("too late"))
		require.ErrorIs(t, err, syscall.EPIPE)

		// A full one waits for its reader.
		a, b = Pipe()
		defer a.Close()
		written := make(chan error)
		go func() {
			_, err := a.Write(make([]byte, 2*capacity))
			written <- err
		}()
		synctest.Wait()
		select {
		case <-written:
			t.Fatal("it holds too much")
		default:
		}
		_, err = io.ReadFull(b, make([]byte, 2*capacity))
		require.NoError(t, err)
		require.NoError(t, <-written)
		require.NoError(t, b.Close())
	})
}
