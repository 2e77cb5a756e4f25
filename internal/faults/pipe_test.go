package faults

import (
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

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

func TestPipeOf(t *testing.T) {
	t.Parallel()
	here, there := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 2}
	synctest.Test(t, func(t *testing.T) {
		a, b := PipeOf(1, here, there)
		require.Equal(t, []net.Addr{here, there, there, here}, []net.Addr{a.LocalAddr(), a.RemoteAddr(), b.LocalAddr(), b.RemoteAddr()})
		require.NoError(t, a.SetWriteDeadline(time.Now().Add(time.Millisecond)))
		n, err := a.Write([]byte("two"))
		require.Equal(t, 1, n, "there is no room for more")
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.NoError(t, b.Close())
		require.NoError(t, a.SetWriteDeadline(time.Time{}))
		_, err = a.Write([]byte("x"))
		require.EqualError(t, err, "write tcp 192.0.2.1:1->192.0.2.2:2: write: broken pipe")
	})
}

func TestPipeReset(t *testing.T) {
	t.Parallel()
	a, b := Pipe()
	_, err := a.Write([]byte("last words"))
	require.NoError(t, err)
	require.NoError(t, a.Reset())
	require.True(t, a.Closed())
	require.False(t, b.Closed())
	require.ErrorIs(t, a.Reset(), net.ErrClosed)
	require.ErrorIs(t, a.Close(), net.ErrClosed)
	_, err = a.Read(make([]byte, 1))
	require.ErrorIs(t, err, net.ErrClosed)
	_, err = a.Write([]byte("x"))
	require.ErrorIs(t, err, net.ErrClosed)

	got, err := io.ReadAll(b)
	require.ErrorIs(t, err, syscall.ECONNRESET)
	require.Equal(t, "last words", string(got))
	_, err = b.Write([]byte("x"))
	require.ErrorIs(t, err, syscall.ECONNRESET)

	// One that was closed in peace is not reset later.
	a, b = Pipe()
	require.NoError(t, a.Close())
	require.ErrorIs(t, a.Reset(), net.ErrClosed)
	_, err = b.Read(make([]byte, 1))
	require.Equal(t, io.EOF, err)
}
