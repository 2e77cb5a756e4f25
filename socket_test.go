//go:build unix

package websocket

import (
	"fmt"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket/internal/wstest"
)

// fill writes to a socket whose other end does not read until it takes no more,
// and returns how much it took.
func fill(t *testing.T, nc net.Conn) (filled int64) {
	t.Helper()
	w := socketOf(nc)
	block := make([]byte, 64<<10)
	for {
		n, err := w.write(block, false)
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

// unixSockets returns the two ends of a Unix socket.
func unixSockets(t *testing.T) (dialed, accepted net.Conn) {
	t.Helper()
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	dialed, err = net.Dial("unix", ln.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { dialed.Close() })
	accepted, err = ln.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { accepted.Close() })
	return dialed, accepted
}

// overSockets runs test over TCP and over a Unix socket.
func overSockets(t *testing.T, test func(t *testing.T, near, far net.Conn)) {
	t.Run("tcp", func(t *testing.T) {
		t.Parallel()
		near, far := wstest.TCP(t)
		test(t, near, far)
	})
	t.Run("unix", func(t *testing.T) {
		t.Parallel()
		near, far := unixSockets(t)
		test(t, near, far)
	})
}

// What is no plain socket has no shorter way: a type around one may do things in
// Read and Write that must not be passed by.
func TestNoSocket(t *testing.T) {
	t.Parallel()
	pipe, _ := wstest.Pipe(t)
	socket, _ := wstest.TCP(t)
	for _, nc := range []net.Conn{pipe, struct{ net.Conn }{socket}, struct{ *net.TCPConn }{socket}} {
		require.Nil(t, socketOf(nc).raw)
	}
}

func TestSocketWrite(t *testing.T) {
	t.Parallel()
	overSockets(t, func(t *testing.T, near, far net.Conn) {
		w := socketOf(near)
		for _, wait := range []bool{true, false} {
			n, err := w.write([]byte("Hello"), wait)
			require.NoError(t, err)
			require.Equal(t, 5, n)
			b := make([]byte, 5)
			_, err = io.ReadFull(far, b)
			require.NoError(t, err)
			require.Equal(t, "Hello", string(b))
		}

		filled := fill(t, near)
		require.Positive(t, filled)
		wrote := soon(func() error {
			n, err := w.write(make([]byte, 10_000), true)
			require.Equal(t, 10_000, n)
			return err
		})
		_, err := io.CopyN(io.Discard, far, filled+10_000)
		require.NoError(t, err)
		require.NoError(t, <-wrote)

		require.NoError(t, near.SetWriteDeadline(longAgo))
		for _, wait := range []bool{true, false} {
			_, err = w.write([]byte("late"), wait)
			require.True(t, isTimeout(err), "%v", err)
		}
		require.NoError(t, near.SetWriteDeadline(never))
		filled = fill(t, near)
		require.NoError(t, near.SetWriteDeadline(time.Now().Add(10*time.Millisecond)))
		_, err = w.write([]byte("late"), true)
		require.True(t, isTimeout(err), "%v", err)
		requireOp(t, "write", near, err)
		require.NoError(t, near.SetWriteDeadline(never))
		_, err = io.CopyN(io.Discard, far, filled)
		require.NoError(t, err)

		require.NoError(t, near.(interface{ CloseWrite() error }).CloseWrite())
		_, err = w.write([]byte("late"), true)
		requireOp(t, "write", near, err)
		require.NoError(t, near.Close())
		_, err = w.write([]byte("late"), true)
		require.ErrorIs(t, err, net.ErrClosed)
		requireOp(t, "write", near, err)
	})
}

// requireOp checks that an error is what the net package would have returned.
func requireOp(t *testing.T, op string, nc net.Conn, err error) {
	t.Helper()
	opErr, ok := err.(*net.OpError)
	require.True(t, ok)
	require.Equal(t, op, opErr.Op)
	require.Equal(t, nc.LocalAddr(), opErr.Source)
}

func TestSocketReader(t *testing.T) {
	t.Parallel()
	overSockets(t, func(t *testing.T, near, far net.Conn) {
		s := socketOf(near)
		read := func() (string, error) {
			lent, came, err := s.read(1000, []byte("..."), true)
			if err != nil {
				require.Nil(t, lent)
				return "", err
			}
			defer lent.giveBack()
			require.Equal(t, "...", string(lent.b[:3]))
			require.Equal(t, string(came), string(lent.b[3:3+len(came)]))
			return string(came), nil
		}
		_, err := far.Write([]byte("Hello"))
		require.NoError(t, err)
		p, err := read()
		require.NoError(t, err)
		require.Equal(t, "Hello", p)

		got := soon(func() string {
			p, err := read()
			require.NoError(t, err)
			return p
		})
		_, err = far.Write([]byte("later"))
		require.NoError(t, err)
		require.Equal(t, "later", <-got)

		require.NoError(t, near.SetReadDeadline(time.Now().Add(10*time.Millisecond)))
		_, err = read()
		require.True(t, isTimeout(err), "%v", err)
		requireOp(t, "read", near, err)
		require.NoError(t, near.SetReadDeadline(never))

		_, err = far.Write([]byte("last"))
		require.NoError(t, err)
		require.NoError(t, far.Close())
		p, err = read()
		require.NoError(t, err)
		require.Equal(t, "last", p)
		p, err = read()
		require.NoError(t, err)
		require.Empty(t, p)

		require.NoError(t, near.Close())
		_, err = read()
		require.ErrorIs(t, err, net.ErrClosed)
		requireOp(t, "read", near, err)
	})
}

// A connection that waits for a message holds no memory for it, on no kind of
// network connection.
func TestNoReadBufferWhileIdle(t *testing.T) {
	t.Parallel()
	for name, over := range map[string]link{"pipe": overPipe, "TCP": overTCP, "TLS": overTLS, "HTTP/2": overHTTP2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, peer := scripted(t, over, true, Options{})
			for _, payload := range []string{"Hello", some(3000), some(100_000)} {
				read := reading(c)
				peer.Send(text(payload))
				requireMessage(t, TextMessage, payload, <-read)
				require.Nil(t, c.r.intake, "before the next read")
			}
			require.NoError(t, c.SetReadDeadline(time.Now().Add(20*time.Millisecond)))
			require.Error(t, (<-reading(c)).err)
			require.Nil(t, c.r.intake, "while it waited")
		})
	}
}

// A large message goes from the socket to where it is wanted.
func BenchmarkReaderLarge(b *testing.B) {
	for _, n := range []int{64 << 10, 1 << 20, 16 << 20} {
		kept := make([]byte, 0, n)
		for _, way := range append([]way{
			{"reused", func(r *reader, limit int64) (int, []byte, error) { return r.message(kept, limit) }},
			{"lent", func(r *reader, limit int64) (int, []byte, error) {
				messageType, p, lent, err := r.lendMessage(limit)
				lent.giveBack()
				return messageType, p, err
			}},
		}, wholeWays[1]) {
			b.Run(fmt.Sprintf("%d/%s", n, way.name), func(b *testing.B) {
				far, near := wstest.TCP(b)
				r, _ := newTestReader(socketOf(near), true)
				r.size = socketReadBuffer
				go func() {
					frame := bytesOf(true, binaryFrame(some(n)))
					for err := error(nil); err == nil; {
						_, err = far.Write(frame)
					}
				}()
				b.SetBytes(int64(n))
				b.ReportAllocs()
				for b.Loop() {
					if _, p, err := way.read(r, -1); err != nil || len(p) != n {
						b.Fatal(err)
					}
				}
				near.Close()
			})
		}
	}
}

// Whoever sends a bit of a header and no more occupies no large buffer with it.
func TestLittleMemoryForLittle(t *testing.T) {
	t.Parallel()
	overSockets(t, func(t *testing.T, near, far net.Conn) {
		c := NewConn(near, Negotiated{Server: true}, Options{})
		defer c.Close()
		for _, frames := range [][]byte{
			text(some(1000)).Masked(),
			append(pingFrame(some(125)).Masked(), text("pinged").Masked()...),
		} {
			at := 0
			for _, end := range []int{1, 7} {
				_, err := far.Write(frames[at:end])
				require.NoError(t, err)
				for at = end; len(early(c)) < end; { // a deadline may pass before anything is read
					require.NoError(t, c.SetReadDeadline(time.Now().Add(10*time.Millisecond)))
					_, _, err = c.ReadMessage()
					require.True(t, isTimeout(err), "%v", err)
				}
				require.LessOrEqual(t, len(c.r.buf), 512)
			}
			require.NoError(t, c.SetReadDeadline(never))
			_, err := far.Write(frames[at:])
			require.NoError(t, err)
			_, _, err = c.ReadMessage()
			require.NoError(t, err)
			require.Nil(t, c.r.intake)
		}
	})
}
