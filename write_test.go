package websocket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket/internal/wstest"
)

// A wire is a network connection that takes what is written and brings nothing.
type wire struct {
	net.Conn // nil: what is not here is not used
	mu       sync.Mutex
	calls    int                         // of Write
	written  []byte                      // everything
	deadline time.Time                   // the write deadline
	onWrite  func(b []byte) (int, error) // called for each write, nil takes everything
}

func (w *wire) Write(b []byte) (n int, err error) {
	n = len(b)
	if w.onWrite != nil {
		n, err = w.onWrite(b)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls++
	w.written = append(w.written, b[:n]...)
	return n, err
}

func (w *wire) SetWriteDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deadline = t
	return nil
}

// taken returns what was written.
func (w *wire) taken() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.written
}

// frames decodes what was written, and forgets it.
func (w *wire) frames(t testing.TB, server bool) (fs []wstest.Frame) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	r := bytes.NewReader(w.written)
	for r.Len() > 0 {
		f, masked, err := wstest.ReadFrame(r)
		require.NoError(t, err)
		require.Equal(t, !server, masked)
		fs = append(fs, f)
	}
	w.written, w.calls = nil, 0
	return fs
}

func socketOf(nc net.Conn) *socket {
	s := newSocket(nc)
	return &s
}

// A testWriter counts what it tells the floor above.
type testWriter struct {
	writer
	closes, failures atomic.Int32
}

func newTestWriter(nc net.Conn, server bool) *testWriter {
	w := &testWriter{}
	own := usualWrites
	w.writer = writer{writeConfig: &own, line: socketOf(nc), server: server, up: w}
	return w
}

func (w *testWriter) onCloseSent()        { w.closes.Add(1) }
func (w *testWriter) onWriteFailed(error) { w.failures.Add(1) }

// write calls message without a context.
func (w *testWriter) write(opcode int, p string) error {
	return w.message(context.Background(), opcode, []byte(p))
}

// bothEnds runs test as a server and as a client.
func bothEnds(t *testing.T, test func(t *testing.T, server bool)) {
	t.Helper()
	for _, server := range []bool{true, false} {
		t.Run(fmt.Sprintf("server=%t", server), func(t *testing.T) {
			t.Parallel()
			test(t, server)
		})
	}
}

func TestWriterGolden(t *testing.T) {
	t.Parallel()
	nc := &wire{}
	w := newTestWriter(nc, true)
	require.NoError(t, w.write(TextMessage, "Hello"))
	require.NoError(t, w.write(PingMessage, "Hello"))
	require.Equal(t, append(bytes.Clone(wstest.HelloUnmasked), wstest.PingUnmasked...), nc.written)
	require.Equal(t, 2, nc.calls, "one call for one frame")

	nc = &wire{}
	w = newTestWriter(nc, false)
	require.NoError(t, w.write(TextMessage, "Hello"))
	require.NoError(t, w.write(TextMessage, "Hello"))
	const n = len("Hello") + 6
	require.Len(t, nc.written, 2*n)
	require.Equal(t, wstest.HelloMasked[:2], nc.written[:2])
	require.NotEqual(t, nc.written[:n], nc.written[n:], "a fresh masking key for each frame")
	require.Equal(t, []wstest.Frame{textFrame("Hello"), textFrame("Hello")}, nc.frames(t, false))
}

func TestWriterMessageSizes(t *testing.T) {
	t.Parallel()
	sizes := []int{0, 1, 125, 126, 127, 4095, 4096, 4097, 4110, 8192, 65521, 65522, 65523, 65535, 65536, 65537, 70000, 1 << 20}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		sizes = append(sizes, rnd.IntN(70001))
	}
	bothEnds(t, func(t *testing.T, server bool) {
		nc := &wire{}
		w := newTestWriter(nc, server)
		for _, n := range sizes {
			p := []byte(some(n))
			require.NoError(t, w.message(t.Context(), BinaryMessage, p))
			require.True(t, some(n) == string(p), "the caller's bytes were changed, %d of them", n)
			got := nc.frames(t, server)
			require.Len(t, got, 1, "WriteMessage is one frame")
			require.True(t, got[0] == binaryFrame(some(n)), "%d bytes", n)
		}
	})
}

// On a TCP connection header and payload of a server go out with one writev.
func TestWriterOverTCP(t *testing.T) {
	t.Parallel()
	bothEnds(t, func(t *testing.T, server bool) {
		near, far := wstest.TCP(t)
		w := newTestWriter(near, server)
		peer := wstest.NewServer(t, far)
		if server {
			peer = wstest.NewClient(t, far)
		}
		sent := make(chan error, 1)
		go func() {
			var errs []error
			for _, n := range []int{0, 5000, 1 << 20} {
				errs = append(errs, w.write(BinaryMessage, some(n)))
			}
			sent <- errors.Join(errs...)
		}()
		peer.Expect(binaryFrame(""), binaryFrame(some(5000)), binaryFrame(some(1<<20)))
		require.NoError(t, <-sent)
	})
}

func TestWriterPrepared(t *testing.T) {
	t.Parallel()
	nc := &wire{}
	w := newTestWriter(nc, true)
	hello := encode(FrameHeader{Fin: true, Opcode: TextMessage}, []byte("Hello"))
	require.NoError(t, w.prepared(w.outgoingPrepared(TextMessage, hello, nil)))
	require.Equal(t, wstest.HelloUnmasked, nc.written)
	nc.frames(t, true)
	bye := encode(FrameHeader{Fin: true, Opcode: CloseMessage}, FormatCloseMessage(1000, ""))
	require.NoError(t, w.prepared(w.outgoingPrepared(CloseMessage, bye, nil)))
	require.Equal(t, ErrCloseSent, w.prepared(w.outgoingPrepared(TextMessage, hello, nil)))
	require.Len(t, nc.frames(t, true), 1)
}

func TestMessageWriter(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		writes []int // sizes
		want   []int // payloads of the frames
	}{
		{"nothing", nil, []int{0}},
		{"empty writes", []int{0, 0}, []int{0}},
		{"one byte", []int{1}, []int{1}},
		{"the buffer's size", []int{16}, []int{16}},
		{"the buffer's size in two", []int{10, 6}, []int{16}},
		{"one byte more", []int{17}, []int{16, 1}},
		{"one byte more, in two", []int{16, 1}, []int{16, 1}},
		{"an empty write when full", []int{16, 0}, []int{16}},
		{"twice the buffer", []int{32}, []int{16, 16}},
		{"larger than twice the buffer", []int{33}, []int{33, 0}},
		{"large after small", []int{3, 100}, []int{3, 100, 0}},
		{"small after large", []int{100, 3}, []int{100, 3}},
		{"very large", []int{100000}, []int{100000, 0}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			bothEnds(t, func(t *testing.T, server bool) {
				for name, write := range map[string]func(w io.Writer, p []byte) (int, error){
					"Write": func(w io.Writer, p []byte) (int, error) { return w.Write(p) },
					"WriteString": func(w io.Writer, p []byte) (int, error) {
						s := string(p)
						return io.WriteString(w, s)
					},
				} {
					nc := &wire{}
					w := newTestWriter(nc, server)
					w.size = 16
					mw, err := w.next(TextMessage)
					require.NoError(t, err)
					all := ""
					for i, n := range tc.writes {
						p := []byte(strings.Repeat(fmt.Sprint(i), n))
						all += string(p)
						written, err := write(mw, p)
						require.NoError(t, err)
						require.Equal(t, n, written)
						require.True(t, strings.HasSuffix(all, string(p)), "the caller's bytes were changed")
					}
					require.NoError(t, mw.Close())
					require.Equal(t, errWriteClosed, mw.Close())
					_, err = write(mw, []byte("x"))
					require.Equal(t, errWriteClosed, err)
					n, err := write(mw, nil)
					require.Equal(t, errWriteClosed, err)
					require.Zero(t, n)

					var got []int
					joined := ""
					for i, f := range nc.frames(t, server) {
						got = append(got, len(f.Payload))
						joined += f.Payload
						require.Equal(t, i == 0, f.Opcode == wstest.Text)
						require.Equal(t, i < len(got)-1 || f.More, f.More)
					}
					require.True(t, all == joined)
					want := tc.want
					if !server { // which copies to mask, and so gains nothing by larger fragments
						want = nil
						for left := len(all); left > 0; left -= w.size {
							want = append(want, min(left, w.size))
						}
						if all == "" {
							want = []int{0}
						}
					}
					if name == "Write" {
						require.Equal(t, want, got)
					}
				}
			})
		})
	}
}

func TestMessageWriterReadFrom(t *testing.T) {
	t.Parallel()
	bothEnds(t, func(t *testing.T, server bool) {
		nc := &wire{}
		w := newTestWriter(nc, server)
		w.size = 16
		mw, err := w.next(BinaryMessage)
		require.NoError(t, err)
		n, err := io.Copy(mw, iotest.DataErrReader(iotest.HalfReader(strings.NewReader(some(40)))))
		require.NoError(t, err)
		require.EqualValues(t, 40, n)
		n, err = mw.ReadFrom(iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader("ab"))))
		require.Equal(t, iotest.ErrTimeout, err)
		require.EqualValues(t, 1, n, "what came before the error stays in the message")
		require.NoError(t, mw.Close())
		require.Equal(t, []wstest.Frame{
			binaryFirst(some(40)[:16]), middleFrame(some(40)[16:32]), lastFrame(some(40)[32:] + "a"),
		}, nc.frames(t, server))
		_, err = mw.ReadFrom(strings.NewReader("x"))
		require.Equal(t, errWriteClosed, err)
	})
}

func TestMessageWriterControl(t *testing.T) {
	t.Parallel()
	bothEnds(t, func(t *testing.T, server bool) {
		nc := &wire{}
		w := newTestWriter(nc, server)
		w.size = 16
		send := func(opcode int, parts ...string) error {
			mw, err := w.next(opcode)
			require.NoError(t, err)
			for _, p := range parts {
				if _, err := mw.Write([]byte(p)); err != nil {
					require.Equal(t, err, mw.Close())
					return err
				}
			}
			return mw.Close()
		}
		require.NoError(t, send(PingMessage, "pi", "ng"))
		require.NoError(t, send(PongMessage, some(125)))
		require.Equal(t, errInvalidControl, send(PingMessage, some(126)))
		require.Equal(t, errInvalidControl, send(PingMessage, some(1000)))
		require.Equal(t, errInvalidControl, send(PingMessage, some(125), "x"))
		require.NoError(t, send(TextMessage, "go on"))
		require.NoError(t, send(CloseMessage, string(FormatCloseMessage(1000, "bye"))))
		require.Equal(t, []wstest.Frame{
			pingFrame("ping"), pongFrame(some(125)), textFrame("go on"), wstest.CloseFrame(1000, "bye"),
		}, nc.frames(t, server))
		_, err := w.next(TextMessage)
		require.Equal(t, ErrCloseSent, err)
		require.EqualValues(t, 1, w.closes.Load())
	})
}

// A message that was not closed is ended by the next one.
func TestWriterNextEndsTheOneBefore(t *testing.T) {
	t.Parallel()
	nc := &wire{}
	w := newTestWriter(nc, true)
	w.size = 4
	before, err := w.next(TextMessage)
	require.NoError(t, err)
	_, err = before.Write([]byte("first"))
	require.NoError(t, err)
	mw, err := w.next(BinaryMessage)
	require.NoError(t, err)
	_, err = before.Write([]byte("late"))
	require.Equal(t, errWriteEnded, err)
	require.NoError(t, mw.Close())
	require.Equal(t, []wstest.Frame{textFirst("firs"), lastFrame("t"), binaryFrame("")}, nc.frames(t, true))
}

// Of NextWriters that many goroutines call, none is left open: however they fall,
// a whole message goes through in the end.
func TestWriterNextConcurrently(t *testing.T) {
	t.Parallel()
	for range 200 {
		nc := &wire{}
		w := newTestWriter(nc, true)
		w.size = 4
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				runtime.Gosched()
				if mw, err := w.next(TextMessage); err == nil {
					_, _ = mw.Write([]byte("not closed")) // another may have ended it
				}
			})
		}
		wg.Wait()
		mw, err := w.next(TextMessage)
		require.NoError(t, err)
		w.turn.mu.Lock()
		open := w.turn.open
		w.turn.mu.Unlock()
		require.False(t, open, "nobody can end the message that lies open")
		require.NoError(t, mw.Close())
	}
}

// Whole messages go ahead of an open one that has sent nothing, control frames of
// any; a message that has begun must end before the next.
func TestWriterOpenMessage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		nc := &wire{}
		w := newTestWriter(nc, true)
		w.size = 4
		mw, err := w.next(TextMessage)
		require.NoError(t, err)
		_, err = mw.Write([]byte("1234"))
		require.NoError(t, err)
		require.NoError(t, w.write(BinaryMessage, "ahead"))
		_, err = mw.Write([]byte("5"))
		require.NoError(t, err)
		require.NoError(t, w.write(PingMessage, "between"))

		begun := time.Now()
		require.Equal(t, errMessageOpen, w.write(BinaryMessage, "patient"))
		require.Equal(t, 5*time.Second, time.Since(begun))
		w.timeout = time.Second
		begun = time.Now()
		require.Equal(t, errMessageOpen, w.write(BinaryMessage, "by timeout"))
		require.Equal(t, time.Second, time.Since(begun))
		w.setDeadline(time.Now().Add(7 * time.Second))
		begun = time.Now()
		require.Equal(t, errMessageOpen, w.write(BinaryMessage, "by deadline"))
		require.Equal(t, 7*time.Second, time.Since(begun))
		w.setDeadline(never)
		w.timeout = 0
		require.Zero(t, w.failures.Load(), "nothing was lost by waiting")

		waited := make(chan error, 1)
		go func() { waited <- w.write(BinaryMessage, "waits") }()
		synctest.Wait()
		require.NoError(t, mw.Close())
		require.NoError(t, <-waited)
		require.Equal(t, []wstest.Frame{
			binaryFrame("ahead"), textFirst("1234"), pingFrame("between"), lastFrame("5"), binaryFrame("waits"),
		}, nc.frames(t, true))
	})
}

// A fragment whose turn did not come in time leaves its message as it was.
func TestMessageWriterTimeoutIsNotFinal(t *testing.T) {
	t.Parallel()
	nc := &wire{}
	w := newTestWriter(nc, true)
	w.size = 4
	mw, err := w.next(TextMessage)
	require.NoError(t, err)
	_, err = mw.Write([]byte("1234"))
	require.NoError(t, err)
	w.setDeadline(longAgo)
	n, err := mw.Write([]byte("5"))
	require.Equal(t, errTurnTimeout, err)
	require.Zero(t, n)
	n, err = mw.Write([]byte(some(100)))
	require.Equal(t, errTurnTimeout, err)
	require.Zero(t, n)
	require.Equal(t, errTurnTimeout, mw.Close())
	_, err = w.next(TextMessage)
	require.Equal(t, errTurnTimeout, err)
	w.setDeadline(never)
	_, err = mw.Write([]byte("5"))
	require.NoError(t, err)
	require.NoError(t, mw.Close())
	require.Equal(t, []wstest.Frame{textFirst("1234"), lastFrame("5")}, nc.frames(t, true))
}

// A lender is a BufferPool that counts.
type lender struct {
	lends    []any // what Get returns, in this order; then nil
	got, put int
	kept     []any
}

func (l *lender) Get() any {
	l.got++
	if len(l.lends) == 0 {
		return nil
	}
	v := l.lends[0]
	l.lends = l.lends[1:]
	return v
}

func (l *lender) Put(v any) {
	l.put++
	l.kept = append(l.kept, v)
}

func TestMessageWriterBufferPool(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		lend  any
		reuse bool
	}{
		{"nothing", nil, false},
		{"foreign", "a string", false},
		{"no buffer of ours", (*writeBuffer)(nil), false},
		{"too small", &writeBuffer{make([]byte, maxHeader+15)}, false},
		{"right", &writeBuffer{make([]byte, maxHeader+16)}, true},
		{"large", &writeBuffer{make([]byte, 1000)}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			nc := &wire{}
			pool := &lender{lends: []any{tc.lend}}
			w := newTestWriter(nc, false)
			w.pool, w.size = pool, 16
			mw, err := w.next(TextMessage)
			require.NoError(t, err)
			require.Zero(t, pool.got, "no buffer before the first write")
			_, err = mw.Write([]byte(some(40)))
			require.NoError(t, err)
			_, err = mw.WriteString("more")
			require.NoError(t, err)
			require.Equal(t, 1, pool.got)
			require.Zero(t, pool.put)
			require.NoError(t, mw.Close())
			require.Equal(t, 1, pool.put)
			require.IsType(t, &writeBuffer{}, pool.kept[0])
			if tc.reuse {
				require.Same(t, tc.lend, pool.kept[0])
			}
			require.Error(t, mw.Close())
			require.Equal(t, []int{1, 1}, []int{pool.got, pool.put})
			all := ""
			for _, f := range nc.frames(t, false) {
				all += f.Payload
			}
			require.Equal(t, some(40)+"more", all)
		})
	}
	t.Run("given back after a failure", func(t *testing.T) {
		t.Parallel()
		pool := &lender{}
		w := newTestWriter(&wire{onWrite: func([]byte) (int, error) { return 0, io.ErrClosedPipe }}, true)
		w.pool, w.size = pool, 16
		mw, err := w.next(TextMessage)
		require.NoError(t, err)
		_, err = mw.Write([]byte(some(17)))
		require.Equal(t, io.ErrClosedPipe, err)
		require.Equal(t, []int{1, 1}, []int{pool.got, pool.put})
		require.Equal(t, io.ErrClosedPipe, mw.Close())
		_, err = mw.ReadFrom(strings.NewReader("x"))
		require.Equal(t, io.ErrClosedPipe, err)
		_, err = w.next(TextMessage)
		require.Equal(t, io.ErrClosedPipe, err)
	})
}

func TestWriterErrorStays(t *testing.T) {
	t.Parallel()
	bothEnds(t, func(t *testing.T, server bool) {
		for _, size := range []int{5, 5000, 100000} {
			broken := errors.New("broken pipe")
			calls := 0
			nc := &wire{onWrite: func(b []byte) (int, error) { calls++; return min(3, len(b)), broken }}
			w := newTestWriter(nc, server)
			require.Equal(t, broken, w.write(TextMessage, some(size)))
			require.Equal(t, broken, w.write(TextMessage, "again"))
			require.Equal(t, broken, w.control(t.Context(), PingMessage, nil, never))
			require.Equal(t, broken, w.prepared(w.outgoingPrepared(TextMessage, encode(FrameHeader{Fin: true, Opcode: TextMessage}, nil), nil)))
			require.Equal(t, broken, w.err())
			require.False(t, w.writer.closeSent())
			require.Equal(t, 1, calls)
			require.EqualValues(t, 1, w.failures.Load())
			w.reply(PongMessage, nil)
			require.False(t, w.owing(), "nobody is owed anything any more")
			require.False(t, w.probe())
			require.Equal(t, 1, calls)
		}
	})
}

func TestMessageWriterErrorStays(t *testing.T) {
	t.Parallel()
	for _, sizes := range [][]int{{17}, {100}, {3, 100}} {
		broken := errors.New("broken pipe")
		w := newTestWriter(&wire{onWrite: func([]byte) (int, error) { return 0, broken }}, true)
		w.size = 16
		mw, err := w.next(TextMessage)
		require.NoError(t, err)
		for i, n := range sizes {
			n, err := mw.Write([]byte(some(n)))
			if i == len(sizes)-1 {
				require.Equal(t, broken, err)
				require.Less(t, n, sizes[i], "not all of it was written")
			}
		}
		_, err = mw.Write([]byte("a"))
		require.Equal(t, broken, err)
		require.Equal(t, broken, mw.Close())
		_, err = w.next(TextMessage)
		require.Equal(t, broken, err)
	}
}

func TestWriterCloseSent(t *testing.T) {
	t.Parallel()
	nc := &wire{}
	w := newTestWriter(nc, true)
	w.size = 4
	mw, err := w.next(TextMessage)
	require.NoError(t, err)
	_, err = mw.Write([]byte("12345"))
	require.NoError(t, err)
	require.NoError(t, w.control(t.Context(), CloseMessage, FormatCloseMessage(1000, ""), never))
	require.True(t, w.writer.closeSent())
	require.EqualValues(t, 1, w.closes.Load())
	for range 2 {
		require.Equal(t, ErrCloseSent, w.write(TextMessage, "late"))
		require.Equal(t, ErrCloseSent, w.write(CloseMessage, ""))
		require.Equal(t, ErrCloseSent, mw.Close())
	}
	w.reply(PongMessage, []byte("late"))
	w.reply(CloseMessage, []byte("late"))
	require.False(t, w.probe())
	require.False(t, w.owing())
	w.settle(errClosed, never)
	require.Equal(t, []wstest.Frame{textFirst("1234"), wstest.CloseFrame(1000, "")}, nc.frames(t, true))
	require.Zero(t, w.failures.Load())
}

func TestWriterDeadlines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		nc := &wire{}
		w := newTestWriter(nc, true)
		require.NoError(t, w.write(TextMessage, ""))
		require.Zero(t, nc.deadline)

		w.timeout = time.Second
		require.NoError(t, w.write(TextMessage, ""))
		require.Equal(t, time.Now().Add(time.Second), nc.deadline)

		deadline := time.Now().Add(time.Hour)
		w.setDeadline(deadline)
		require.NoError(t, w.write(TextMessage, ""))
		require.True(t, deadline.Equal(nc.deadline), "the program's deadline goes first")
		w.reply(PongMessage, nil)
		synctest.Wait()
		require.Equal(t, time.Now().Add(time.Second), nc.deadline, "it does not concern what we send unasked")

		time.Sleep(2 * time.Hour)
		require.Equal(t, errTurnTimeout, w.write(TextMessage, "late"))
		w.setDeadline(never)
		require.NoError(t, w.write(TextMessage, ""), "nothing was sent, so nothing was lost")
		require.Equal(t, time.Now().Add(time.Second), nc.deadline)
		w.timeout = 0
		require.NoError(t, w.write(TextMessage, ""))
		require.Zero(t, nc.deadline)
	})
}

// A message that could be written only in part is the end of this direction.
func TestWriterDeadlineWithinAMessage(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		set  func(w *testWriter)
	}{
		{"of the program", func(w *testWriter) { w.setDeadline(time.Now().Add(time.Minute)) }},
		{"by timeout", func(w *testWriter) { w.timeout = time.Minute }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				near, far := wstest.Pipe(t)
				w := newTestWriter(near, true)
				tc.set(w)
				go func() { _, _ = far.Read(make([]byte, 3)) }()
				begun := time.Now()
				err := w.write(TextMessage, "Hello")
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				require.Equal(t, time.Minute, time.Since(begun))
				w.setDeadline(never)
				require.Equal(t, err, w.write(TextMessage, "Hello"))
				require.EqualValues(t, 1, w.failures.Load())
			})
		})
	}
}

func TestWriterContext(t *testing.T) {
	t.Parallel()
	cause := errors.New("enough")

	t.Run("has ended", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(cause)
		nc := &wire{}
		w := newTestWriter(nc, true)
		for range 100 {
			require.Equal(t, cause, w.message(ctx, TextMessage, []byte("a")))
			require.Equal(t, cause, w.control(ctx, PingMessage, nil, never))
		}
		require.NoError(t, w.write(TextMessage, "b"))
		require.Equal(t, []wstest.Frame{textFrame("b")}, nc.frames(t, true), "nothing was sent, the connection is as it was")
		require.Zero(t, nc.deadline)
	})
	t.Run("ends while waiting", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			nc := &wire{}
			w := newTestWriter(nc, true)
			require.True(t, w.turn.try(control))
			waited := make(chan error, 1)
			go func() { waited <- w.message(ctx, TextMessage, make([]byte, smallMessage)) }()
			synctest.Wait()
			cancel(cause)
			require.Equal(t, cause, <-waited)
			w.release(true)
			require.NoError(t, w.write(TextMessage, "b"))
			require.Equal(t, []wstest.Frame{textFrame("b")}, nc.frames(t, true))
		})
	})
	t.Run("ends while writing", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			near, _ := wstest.Pipe(t)
			w := newTestWriter(near, false)
			waited := make(chan error, 1)
			go func() { waited <- w.message(ctx, TextMessage, []byte("a")) }()
			synctest.Wait()
			cancel(cause)
			require.Equal(t, cause, <-waited)
			require.Equal(t, cause, w.write(TextMessage, "b"), "the direction has failed")
			require.EqualValues(t, 1, w.failures.Load())
		})
	})
	t.Run("ends when all was written", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			nc := &wire{onWrite: func(b []byte) (int, error) {
				cancel(cause)
				synctest.Wait() // the deadline has been brought forward
				return len(b), nil
			}}
			w := newTestWriter(nc, true)
			require.NoError(t, w.message(ctx, TextMessage, []byte("a")))
			require.True(t, longAgo.Equal(nc.deadline))
			require.NoError(t, w.write(TextMessage, "b"))
			require.Zero(t, nc.deadline, "the next message does not suffer")
		})
	})
	t.Run("goes on", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		nc := &wire{}
		w := newTestWriter(nc, true)
		require.NoError(t, w.message(ctx, TextMessage, []byte("a")))
		require.Len(t, nc.frames(t, true), 1)
	})
}

// While a write is blocked, replies wait in their places: as many pongs as there is
// room for, the newest in the place of the last, and the close echo, which follows
// them whatever came first. After it comes nothing.
func TestWriterReplies(t *testing.T) {
	t.Parallel()
	bothEnds(t, func(t *testing.T, server bool) {
		synctest.Test(t, func(t *testing.T) {
			near, far := wstest.Pipe(t)
			w := newTestWriter(near, server)
			peer := wstest.NewServer(t, far)
			if server {
				peer = wstest.NewClient(t, far)
			}
			written := make(chan error, 3)
			go func() { written <- w.write(TextMessage, "blocked") }()
			synctest.Wait()
			go func() { written <- w.write(TextMessage, some(smallMessage)) }()
			synctest.Wait()
			require.False(t, w.owing())
			for i := range 20 {
				w.reply(PongMessage, fmt.Appendf(nil, "%100d", i))
			}
			w.reply(CloseMessage, []byte(wstest.CloseFrame(1000, "").Payload))
			w.reply(PongMessage, []byte("newest"))
			require.True(t, w.owing())
			require.False(t, w.probe(), "somebody is writing")

			peer.Expect(textFrame("blocked"))
			kept := 0
			for f := peer.Receive(); f.Payload != "newest"; f = peer.Receive() {
				if f.Payload != fmt.Sprintf("%100d", 19) { // the last before the newest may have had room beside it
					require.Equal(t, fmt.Sprintf("%100d", kept), f.Payload)
				}
				kept++
			}
			require.Greater(t, kept, 1)
			require.LessOrEqual(t, kept*100, owedPongs)
			peer.Expect(wstest.CloseFrame(1000, ""))
			require.NoError(t, <-written)
			require.Equal(t, ErrCloseSent, <-written, "it had waited behind the close frame")
			require.False(t, w.owing())
			require.EqualValues(t, 1, w.closes.Load())
		})
	})
}

// With the turn free, a reply goes out by itself; where a write may block, a
// goroutine sends it.
func TestWriterRepliesByGoroutine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := wstest.Pipe(t)
		w := newTestWriter(near, true)
		peer := wstest.NewClient(t, far)
		w.reply(PongMessage, []byte("1"))
		require.True(t, w.owing())
		w.reply(PongMessage, []byte("2"))
		w.reply(PongMessage, []byte("3"))
		peer.Expect(pongFrame("1"), pongFrame("2"), pongFrame("3"))
		synctest.Wait()
		require.False(t, w.owing())
		require.True(t, w.probe())
		peer.Expect(pingFrame(""))
		synctest.Wait()
		w.reply(CloseMessage, nil)
		peer.Expect(wstest.Frame{Opcode: wstest.Close})
		synctest.Wait()
		require.True(t, w.writer.closeSent())
		require.EqualValues(t, 1, w.closes.Load())
		require.False(t, w.owing())
	})
}

// A reply that can't be sent ends this direction, and the next write says so.
func TestWriterReplyFails(t *testing.T) {
	t.Parallel()
	t.Run("goroutine", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			near, far := wstest.Pipe(t)
			w := newTestWriter(near, true)
			w.reply(PongMessage, nil)
			w.reply(CloseMessage, nil)
			require.NoError(t, far.Close())
			synctest.Wait()
			require.Equal(t, io.ErrClosedPipe, w.write(TextMessage, "a"))
			require.False(t, w.owing())
			require.Zero(t, w.closes.Load())
		})
	})
	t.Run("timeout", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			near, _ := wstest.Pipe(t)
			w := newTestWriter(near, true)
			w.timeout = time.Minute
			w.reply(PongMessage, nil)
			require.ErrorIs(t, w.write(TextMessage, "a"), os.ErrDeadlineExceeded)
		})
	})
}

// Pings that come faster than pongs go out must not hold up those who write.
func TestWriterPingFlood(t *testing.T) {
	t.Parallel()
	const flood = 10000
	nc := &wire{}
	w := newTestWriter(nc, true)
	pings := 0
	waits := make(chan error, 1)
	nc.onWrite = func(b []byte) (int, error) {
		if b[0] == 0x80|PongMessage && pings < flood {
			if pings++; pings == 10 {
				go func() { waits <- w.write(TextMessage, "waited") }()
				for queued := false; !queued; runtime.Gosched() {
					w.turn.mu.Lock()
					queued = len(w.turn.queue()) > 0
					w.turn.mu.Unlock()
				}
			}
			w.reply(PongMessage, nil) // as the reader does, since another ping came
		}
		return len(b), nil
	}
	require.NoError(t, w.write(TextMessage, "first"))
	w.reply(PongMessage, nil)
	require.NoError(t, <-waits)
	for w.owing() {
		runtime.Gosched()
	}
	frames := nc.frames(t, true)
	require.Len(t, frames, 2+flood+1)
	at := 0
	for i, f := range frames {
		if f.Payload == "waited" {
			at = i
		}
	}
	require.LessOrEqual(t, at, 12, "the message waited for its turn behind the flood")
}

// A writer comes back from its write however many pings come.
func TestWriterReturnsUnderPingFlood(t *testing.T) {
	t.Parallel()
	near, far := wstest.TCP(t)
	w := newTestWriter(near, true)
	go func() { _, _ = io.Copy(io.Discard, far) }()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				w.reply(PongMessage, nil)
			}
		}
	})
	for range 200 {
		require.NoError(t, w.write(TextMessage, "a"))
	}
	close(stop)
	wg.Wait()
}

func TestWriterSettle(t *testing.T) {
	t.Parallel()
	t.Run("nothing owed", func(t *testing.T) {
		t.Parallel()
		nc := &wire{}
		w := newTestWriter(nc, true)
		w.settle(errClosed, longAgo)
		require.Zero(t, nc.deadline)
	})
	t.Run("sent in time", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			near, far := wstest.Pipe(t)
			w := newTestWriter(near, true)
			w.reply(PongMessage, []byte("1"))
			w.reply(PongMessage, []byte("2"))
			settled := make(chan struct{})
			go func() {
				w.settle(errClosed, time.Now().Add(time.Second))
				close(settled)
			}()
			wstest.NewClient(t, far).Expect(pongFrame("1"), pongFrame("2"))
			<-settled
			require.False(t, w.owing())
		})
	})
	t.Run("the peer reads nothing", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			near, _ := wstest.Pipe(t)
			w := newTestWriter(near, true)
			w.reply(PongMessage, nil)
			synctest.Wait()
			w.reply(CloseMessage, nil)
			begun := time.Now()
			w.settle(errClosed, time.Now().Add(time.Second))
			require.Equal(t, time.Second, time.Since(begun))
		})
	})
}

// Writers of every kind at once: messages stay whole, in the order in which each
// goroutine sent them, and nothing is lost.
func TestWriterStress(t *testing.T) {
	t.Parallel()
	const goroutines, each = 6, 60
	bothEnds(t, func(t *testing.T, server bool) {
		near, far := wstest.TCP(t)
		w := newTestWriter(near, server)
		w.size = 64
		var (
			wg, replies sync.WaitGroup
			failed      = make(chan error, goroutines*each*2)
			stop        = make(chan struct{})
		)
		for g := range goroutines {
			wg.Go(func() {
				for i := range each {
					p := fmt.Sprintf("%d %d %s", g, i, some(i*i))
					switch ctx, cancel := context.WithTimeout(t.Context(), time.Hour); i % 3 {
					case 0:
						failed <- w.message(ctx, TextMessage, []byte(p))
						cancel()
					case 1:
						failed <- w.write(TextMessage, p)
						cancel()
					default:
						failed <- w.control(ctx, PingMessage, fmt.Append(nil, g), never)
						failed <- w.prepared(w.outgoingPrepared(PongMessage, encode(FrameHeader{Fin: true, Opcode: PongMessage}, []byte("prepared")), nil))
						cancel()
					}
				}
			})
		}
		wg.Go(func() {
			for i := range each {
				mw, err := w.next(TextMessage)
				if err == nil {
					_, err = io.Copy(mw, strings.NewReader(fmt.Sprintf("%d %d %s", goroutines, i, some(i*5))))
				}
				failed <- errors.Join(err, mw.Close())
			}
		})
		replies.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					w.reply(PongMessage, []byte("pong"))
					w.probe()
					runtime.Gosched()
				}
			}
		})
		go func() {
			wg.Wait()
			close(stop)
			replies.Wait()
			w.reply(CloseMessage, nil)
		}()

		r, j := newTestReader(far, !server)
		next := make([]int, goroutines+1)
		for {
			_, p, err := r.message(nil, -1)
			if err != nil {
				require.Equal(t, closedWith(CloseNoStatusReceived, ""), err)
				break
			}
			var g, i int
			_, err = fmt.Sscan(string(p), &g, &i)
			require.NoError(t, err)
			if g < goroutines && next[g]%3 == 2 {
				next[g]++
			}
			require.Equal(t, next[g], i, "goroutine %d", g)
			next[g]++
		}
		close(failed)
		for err := range failed {
			require.NoError(t, err)
		}
		for g, n := range next {
			if g < goroutines {
				n++ // the last was a ping
			}
			require.Equal(t, each, n)
		}
		pings := 0
		for _, line := range j.lines {
			if strings.HasPrefix(line, "ping") && line != `ping ""` {
				pings++
			}
		}
		require.Equal(t, goroutines*each/3, pings)
	})
}

func TestWriterAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes pools forget; run without -race")
	}
	for _, server := range []bool{true, false} {
		near, far := wstest.TCP(t)
		go func() { _, _ = io.Copy(io.Discard, far) }()
		w := newTestWriter(near, server)
		for _, n := range messageSizes {
			p := make([]byte, n)
			require.Zero(t, testing.AllocsPerRun(100, func() { _ = w.message(context.Background(), BinaryMessage, p) }), "server=%t, %d bytes", server, n)
		}
	}
}

func BenchmarkWriterMessage(b *testing.B) {
	for _, server := range []bool{true, false} {
		for _, n := range messageSizes {
			b.Run(fmt.Sprintf("server=%t/%d", server, n), func(b *testing.B) {
				w := newTestWriter(discard{}, server)
				p := make([]byte, n)
				b.SetBytes(int64(n))
				b.ReportAllocs()
				for b.Loop() {
					if err := w.message(context.Background(), BinaryMessage, p); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// discard is a network connection that takes everything.
type discard struct{ net.Conn }

func (discard) Write(b []byte) (int, error)      { return len(b), nil }
func (discard) SetWriteDeadline(time.Time) error { return nil }

// A ReadFrom that waits for its source holds nobody up: another NextWriter ends
// its message.
func TestNextWriterEndsAReadFromThatWaits(t *testing.T) {
	t.Parallel()
	bothEnds(t, func(t *testing.T, server bool) {
		nc := &wire{}
		w := newTestWriter(nc, server)
		w.size = 16
		mw, err := w.next(TextMessage)
		require.NoError(t, err)
		source, feed := io.Pipe()
		copied := make(chan error, 1)
		go func() {
			_, err := mw.ReadFrom(source)
			copied <- err
		}()
		_, err = feed.Write([]byte("half"))
		require.NoError(t, err)
		require.Eventually(t, func() bool { // the source was read, but is it written yet?
			mw.mu.Lock()
			defer mw.mu.Unlock()
			return mw.n == len("half")
		}, 10*time.Second, time.Millisecond)

		next, err := w.next(BinaryMessage)
		require.NoError(t, err)
		require.NoError(t, next.Close())
		_, err = feed.Write([]byte("the other half"))
		require.NoError(t, err)
		require.Equal(t, errWriteEnded, <-copied)
		require.ErrorIs(t, errWriteEnded, errWriteClosed)
		require.Equal(t, []wstest.Frame{{Opcode: wstest.Text, Payload: "half"}, {Opcode: wstest.Binary}}, nc.frames(t, server))
	})
}

// A control frame may be filled to the last byte by ReadFrom, and not beyond.
func TestControlFrameByReadFrom(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]error{125: nil, 126: errInvalidControl} {
		bothEnds(t, func(t *testing.T, server bool) {
			nc := &wire{}
			w := newTestWriter(nc, server)
			mw, err := w.next(PingMessage)
			require.NoError(t, err)
			_, err = mw.ReadFrom(strings.NewReader(strings.Repeat("p", n)))
			require.Equal(t, want, err)
			require.Equal(t, want, mw.Close())
		})
	}
}

// A deadline that is not read on the monotonic clock, as from JSON or a database, is as
// far away as it is now, whatever becomes of the clock that people set.
func TestDeadlineOnOurClock(t *testing.T) {
	t.Parallel()
	require.Zero(t, onOurClock(time.Time{}))
	deadline := time.Now().Add(time.Minute).Round(0)
	require.NotContains(t, deadline.String(), "m=")
	require.Contains(t, onOurClock(deadline).String(), "m=")
	require.WithinDuration(t, deadline, onOurClock(deadline), time.Second)
}

// A net.Conn of the program's may take less than it was given and have no error, against
// the rules of io.Writer. What is lost has one.
func TestWritesThatAreCutInSilence(t *testing.T) {
	t.Parallel()
	bothEnds(t, func(t *testing.T, server bool) {
		for _, size := range []int{0, smallPayload, smallPayload + 1, 1 << 20} {
			w := newTestWriter(&wire{onWrite: func(b []byte) (int, error) { return len(b) - 1, nil }}, server)
			require.ErrorIs(t, w.write(BinaryMessage, strings.Repeat("x", size)), io.ErrShortWrite, "%d bytes", size)
			require.ErrorIs(t, w.flush(), io.ErrShortWrite)

			// What comes behind it would be taken for the rest of it.
			nc := &wire{}
			nc.onWrite = func(b []byte) (int, error) {
				nc.onWrite = nil
				return 1, nil
			}
			w = newTestWriter(nc, server)
			require.ErrorIs(t, w.write(BinaryMessage, strings.Repeat("x", size)), io.ErrShortWrite, "%d bytes", size)
			require.Equal(t, []byte{0x82}, nc.written)
		}
	})
	nc := &cutting{scriptedConn{Reader: strings.NewReader(plainRequest)}}
	_, _, err := new(Upgrader).UpgradeConn(nc)
	require.ErrorIs(t, err, io.ErrShortWrite)
	nc.requireClosed(t)
}

type cutting struct{ scriptedConn }

func (c *cutting) Write(p []byte) (int, error) { return len(p) / 2, nil }

// A message that lacks what a Write has not taken is not ended as if it were whole, and
// not by a deferred Close either.
func TestMessageWriterIsNotWholeAfterAShortWrite(t *testing.T) {
	t.Parallel()
	for name, write := range map[string]func(mw *messageWriter, s string) (int, error){
		"Write":       func(mw *messageWriter, s string) (int, error) { return mw.Write([]byte(s)) },
		"WriteString": func(mw *messageWriter, s string) (int, error) { return mw.WriteString(s) },
		"ReadFrom": func(mw *messageWriter, s string) (int, error) {
			n, err := mw.ReadFrom(strings.NewReader(s))
			return int(n), err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nc := &wire{}
			w := newTestWriter(nc, true)
			w.size = 4
			mw, err := w.next(TextMessage)
			require.NoError(t, err)
			w.setDeadline(longAgo)
			n, err := write(mw, "123456")
			require.Equal(t, errTurnTimeout, err)
			require.Equal(t, 4, n)
			w.setDeadline(never)
			require.Equal(t, errTurnTimeout, mw.Close())
			_, err = mw.Write(nil)
			require.NoError(t, err)
			require.Equal(t, errTurnTimeout, mw.Close())
			require.Empty(t, nc.frames(t, true))

			n, err = write(mw, "56")
			require.NoError(t, err)
			require.Equal(t, 2, n)
			require.NoError(t, mw.Close())
			require.Equal(t, []wstest.Frame{textFirst("1234"), lastFrame("56")}, nc.frames(t, true))

			// Another NextWriter does not end it as if it were whole either.
			mw, err = w.next(TextMessage)
			require.NoError(t, err)
			w.setDeadline(longAgo)
			_, err = write(mw, "123456")
			require.Equal(t, errTurnTimeout, err)
			w.setDeadline(never)
			_, err = w.next(TextMessage)
			require.Equal(t, errTurnTimeout, err)
			require.Empty(t, nc.frames(t, true))
			_, err = write(mw, "56")
			require.NoError(t, err)
			_, err = w.next(TextMessage)
			require.NoError(t, err)
			require.Equal(t, []wstest.Frame{textFirst("1234"), lastFrame("56")}, nc.frames(t, true))
			require.Equal(t, errWriteEnded, mw.Close())

			// When nothing can be written any more Close says why.
			w = newTestWriter(nc, true)
			w.size = 4
			mw, err = w.next(TextMessage)
			require.NoError(t, err)
			w.setDeadline(longAgo)
			_, err = write(mw, "123456")
			require.Equal(t, errTurnTimeout, err)
			w.stop(errClosed)
			require.Equal(t, errClosed, mw.Close())
		})
	}
}
