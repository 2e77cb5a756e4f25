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
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket/internal/wstest"
)

// A gate is a network connection whose writes wait until they are let through.
type gate struct {
	wire
	waiting chan struct{} // one for each write that waits
	pass    chan error    // what it returns
	out     chan []byte   // what it has written
}

func newGate() *gate {
	g := &gate{waiting: make(chan struct{}), pass: make(chan error), out: make(chan []byte)}
	g.onWrite = func(b []byte) (int, error) {
		g.waiting <- struct{}{}
		if err := <-g.pass; err != nil {
			return 0, err
		}
		g.out <- bytes.Clone(b)
		return len(b), nil
	}
	return g
}

// next lets a write through and returns it.
func (g *gate) next() []byte {
	<-g.waiting
	return g.let()
}

// let is next for a write that is known to wait.
func (g *gate) let() []byte {
	g.pass <- nil
	return <-g.out
}

// framesOf decodes what was sent by the server or the client.
func framesOf(t testing.TB, server bool, b []byte) (fs []wstest.Frame) {
	t.Helper()
	for r := bytes.NewReader(b); r.Len() > 0; {
		f, masked, err := wstest.ReadFrame(r)
		require.NoError(t, err)
		require.Equal(t, !server, masked)
		fs = append(fs, f)
	}
	return fs
}

// While somebody is writing, small messages of others are accepted at once and go
// out together.
func TestWritersJoin(t *testing.T) {
	t.Parallel()
	bothEnds(t, func(t *testing.T, server bool) {
		g := newGate()
		w := newTestWriter(g, server)
		first := soon(func() error { return w.write(TextMessage, "first") })
		<-g.waiting
		var want []wstest.Frame
		for i := range 10 {
			p := fmt.Sprint(i)
			require.NoError(t, w.write(BinaryMessage, p))
			want = append(want, binaryFrame(p))
		}
		require.True(t, w.owing())
		g.let()
		require.Equal(t, want, framesOf(t, server, g.next()))
		require.NoError(t, <-first)
		require.False(t, w.owing())
		stats, _, _ := w.statistics()
		require.EqualValues(t, 11, stats.messages)
		require.EqualValues(t, 15, stats.payload)
	})
}

// A writer sends two batches of others after its own message; the rest is a
// goroutine's work.
func TestWriterReturnsFromOthersMessages(t *testing.T) {
	t.Parallel()
	g := newGate()
	w := newTestWriter(g, true)
	first := soon(func() error { return w.write(TextMessage, "own") })
	for i := range 10 {
		<-g.waiting
		switch {
		case i < 3:
			require.Empty(t, first)
		case i == 3:
			require.NoError(t, <-first)
		}
		require.NoError(t, w.write(TextMessage, fmt.Sprint(i)))
		g.let()
	}
	require.Equal(t, []wstest.Frame{textFrame("9")}, framesOf(t, true, g.next()))
}

// What a writer does for others is not its own success or failure.
func TestWriterErrorsOfOthers(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	g := newGate()
	w := newTestWriter(g, true)
	first := soon(func() error { return w.write(TextMessage, "own") })
	<-g.waiting
	require.NoError(t, w.write(TextMessage, "other"))
	g.let()
	<-g.waiting
	g.pass <- broken
	require.NoError(t, <-first)
	require.Equal(t, broken, w.write(TextMessage, "next"))
	require.Equal(t, broken, w.flush())
	require.Equal(t, broken, w.settle(errClosed, time.Now().Add(time.Minute)), "something accepted was dropped")
	require.EqualValues(t, 1, w.failures.Load())
}

func TestWriterPendingIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := wstest.Pipe(t)
		w := newTestWriter(near, true)
		const size = 10_000
		var wrote []<-chan error
		for i := range 20 {
			wrote = append(wrote, soon(func() error { return w.write(BinaryMessage, fmt.Sprint(i)+some(size)) }))
			synctest.Wait()
		}
		done := 0
		for _, err := range wrote {
			if len(err) > 0 {
				done++
			}
		}
		require.Equal(t, pendingBytes/size, done, "the first is being written, these are pending, the others wait")
		peer := wstest.NewClient(t, far)
		for i := range 20 {
			peer.Expect(binaryFrame(fmt.Sprint(i) + some(size)))
		}
		for _, err := range wrote {
			require.NoError(t, <-err)
		}
	})
}

// Large messages wait in person; everything goes out in the order of asking.
func TestWriterOneOrder(t *testing.T) {
	t.Parallel()
	bothEnds(t, func(t *testing.T, server bool) {
		synctest.Test(t, func(t *testing.T) {
			near, far := wstest.Pipe(t)
			w := newTestWriter(near, server)
			large := func(i int) string { return fmt.Sprint(i) + some(smallMessage) }
			var wrote []<-chan error
			var want []wstest.Frame
			for i := range 12 {
				p := fmt.Sprint(i)
				switch i % 3 {
				case 0:
					p = large(i)
					wrote = append(wrote, soon(func() error { return w.write(BinaryMessage, p) }))
				case 1:
					wrote = append(wrote, soon(func() error { return w.write(BinaryMessage, p) }))
				default:
					require.NoError(t, w.try(w.outgoing(BinaryMessage, []byte(p))))
				}
				want = append(want, binaryFrame(p))
				synctest.Wait()
			}
			peer := wstest.NewServer(t, far)
			if server {
				peer = wstest.NewClient(t, far)
			}
			peer.Expect(want...)
			for _, err := range wrote {
				require.NoError(t, <-err)
			}
		})
	})
}

// A small message that found no room is sent by somebody else, like those that did.
func TestWriterAbsorbsThoseWhoWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		w := newTestWriter(g, true)
		first := soon(func() error { return w.write(TextMessage, "first") })
		<-g.waiting
		large := soon(func() error { return w.write(BinaryMessage, some(pendingBytes)) })
		synctest.Wait()
		for n := 0; n+smallMessage <= pendingBytes; n += smallMessage {
			require.NoError(t, w.write(BinaryMessage, some(smallMessage-maxHeader-32)))
		}
		ctx, cancel := context.WithCancel(t.Context())
		var waits []<-chan error
		for range 5 {
			waits = append(waits, soon(func() error { return w.write(BinaryMessage, some(1000)) }))
			synctest.Wait()
		}
		leaver := soon(func() error { return w.message(ctx, BinaryMessage, make([]byte, 1000)) })
		requireWaiting(t, waits...)
		cancel()
		require.Equal(t, context.Canceled, <-leaver)
		g.let()
		require.Len(t, g.next(), maxHeader-4, "the header of the large one")
		require.Len(t, g.next(), pendingBytes)
		require.Len(t, framesOf(t, true, g.next()), 4)
		require.Len(t, framesOf(t, true, g.next()), 5, "in one write")
		require.NoError(t, <-first)
		require.NoError(t, <-large)
		for _, wait := range waits {
			require.NoError(t, <-wait)
		}
	})
}

func TestTryNeverBlocks(t *testing.T) {
	t.Parallel()
	for name, over := range map[string]func(testing.TB) (net.Conn, net.Conn){
		"pipe": func(t testing.TB) (net.Conn, net.Conn) { return wstest.Pipe(t) },
		"TCP":  func(t testing.TB) (net.Conn, net.Conn) { return wstest.TCP(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			near, far := over(t)
			w := newTestWriter(near, true)
			w.limit = 100_000
			full := 0
			sent := 0
			pm := encode(FrameHeader{Fin: true, Opcode: BinaryMessage}, []byte(some(5000)))
			for i := 0; full < 10; i++ {
				m := w.outgoing(BinaryMessage, []byte(some(5000)))
				if i%2 == 1 {
					m = w.outgoingPrepared(BinaryMessage, pm, nil)
				}
				switch err := w.try(m); err {
				case nil:
					sent++
				default:
					require.Equal(t, ErrWriteQueueFull, err)
					full++
				}
			}
			_, _, dropped := w.statistics()
			require.EqualValues(t, full, dropped)
			require.Equal(t, ErrWriteQueueFull, w.try(w.outgoing(TextMessage, make([]byte, 100_001))), "larger than the queue")
			peer := wstest.NewClient(t, far)
			for range sent {
				peer.Expect(binaryFrame(some(5000)))
			}
			require.NoError(t, w.flush())
			require.NoError(t, w.try(w.outgoing(TextMessage, make([]byte, 90_000))))
			require.NoError(t, w.try(w.outgoing(CloseMessage, FormatCloseMessage(1000, ""))))
			peer.Expect(textFrame(string(make([]byte, 90_000))), wstest.CloseFrame(1000, ""))
		})
	}
}

func TestTryErrors(t *testing.T) {
	t.Parallel()
	nc := &wire{}
	w := newTestWriter(nc, true)
	w.setDeadline(longAgo)
	require.Equal(t, errTurnTimeout, w.try(w.outgoing(TextMessage, nil)))
	w.setDeadline(never)
	require.Equal(t, ErrWriteQueueFull, w.try(w.outgoing(TextMessage, make([]byte, defaultWriteQueue+1))))
	require.NoError(t, w.control(t.Context(), CloseMessage, nil, never))
	for _, opcode := range []int{TextMessage, PingMessage, CloseMessage} {
		require.Equal(t, ErrCloseSent, w.try(w.outgoing(opcode, nil)))
	}
	require.NoError(t, w.flush(), "nothing is missing")
}

// What is queued while a message lies open comes after its end.
func TestTryBehindAnOpenMessage(t *testing.T) {
	t.Parallel()
	for _, ended := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			nc := &wire{}
			w := newTestWriter(nc, true)
			w.size = 4
			mw, err := w.next(TextMessage)
			require.NoError(t, err)
			_, err = mw.Write([]byte("12345"))
			require.NoError(t, err)
			require.NoError(t, w.try(w.outgoing(BinaryMessage, []byte("behind"))))
			require.NoError(t, w.control(t.Context(), PingMessage, nil, never))
			require.Equal(t, []wstest.Frame{textFirst("1234"), pingFrame("")}, nc.frames(t, true))
			require.Equal(t, errMessageOpen, w.flush())
			if ended {
				require.NoError(t, mw.Close())
				require.Equal(t, []wstest.Frame{lastFrame("5"), binaryFrame("behind")}, nc.frames(t, true))
				require.NoError(t, w.settle(errClosed, time.Now()))
				return
			}
			w.reply(CloseMessage, nil)
			synctest.Wait()
			require.Equal(t, []wstest.Frame{{Opcode: wstest.Close}}, nc.frames(t, true))
			require.Equal(t, errMessageOpen, w.settle(errClosed, time.Now()))
		})
	}
}

func TestHold(t *testing.T) {
	t.Parallel()
	ways := map[string]func(t *testing.T, w *testWriter) (more []wstest.Frame){
		"the next write": func(t *testing.T, w *testWriter) []wstest.Frame {
			w.hold(false)
			require.NoError(t, w.write(TextMessage, "last"))
			return []wstest.Frame{textFrame("last")}
		},
		"the reader waits": func(t *testing.T, w *testWriter) []wstest.Frame { w.flushHeld(); return nil },
		"much is held": func(t *testing.T, w *testWriter) []wstest.Frame {
			require.NoError(t, w.write(BinaryMessage, some(smallMessage-1)))
			return []wstest.Frame{binaryFrame(some(smallMessage - 1))}
		},
		"a large message": func(t *testing.T, w *testWriter) []wstest.Frame {
			require.NoError(t, w.write(BinaryMessage, some(smallMessage)))
			return []wstest.Frame{binaryFrame(some(smallMessage))}
		},
		"time": func(t *testing.T, w *testWriter) []wstest.Frame {
			time.Sleep(holdTime)
			w.hold(true)
			return nil
		},
		"the program hangs": func(t *testing.T, w *testWriter) []wstest.Frame {
			time.Sleep(hangTime)
			synctest.Wait()
			return nil
		},
		"a control frame": func(t *testing.T, w *testWriter) []wstest.Frame {
			require.NoError(t, w.control(t.Context(), PingMessage, nil, never))
			return []wstest.Frame{pingFrame("")}
		},
		"keepalive": func(t *testing.T, w *testWriter) []wstest.Frame {
			require.True(t, w.probe())
			return []wstest.Frame{pingFrame("")}
		},
		"pong": func(t *testing.T, w *testWriter) []wstest.Frame {
			w.reply(PongMessage, []byte("p"))
			require.Empty(t, w.line.nc.(*wire).taken(), "it is held too")
			w.flushHeld()
			return []wstest.Frame{pongFrame("p")}
		},
		"many pongs": func(t *testing.T, w *testWriter) (pongs []wstest.Frame) {
			p := some(maxControlPayload)
			for n := 0; n < holdReplies; n += len(p) {
				require.Empty(t, w.line.nc.(*wire).taken(), "%d bytes of pongs", n)
				w.reply(PongMessage, []byte(p))
				pongs = append(pongs, pongFrame(p))
			}
			return pongs
		},
		"close frame": func(t *testing.T, w *testWriter) []wstest.Frame {
			w.reply(CloseMessage, nil)
			return []wstest.Frame{{Opcode: wstest.Close}}
		},
		"fragment": func(t *testing.T, w *testWriter) []wstest.Frame {
			w.size = 1
			mw, err := w.next(TextMessage)
			require.NoError(t, err)
			_, err = mw.Write([]byte("12"))
			require.NoError(t, err)
			return []wstest.Frame{textFirst("1")}
		},
		"Flush": func(t *testing.T, w *testWriter) []wstest.Frame { require.NoError(t, w.flush()); return nil },
		"Close": func(t *testing.T, w *testWriter) []wstest.Frame {
			require.NoError(t, w.settle(errClosed, time.Now().Add(time.Second)))
			return nil
		},
		"try, when much is held": func(t *testing.T, w *testWriter) []wstest.Frame {
			require.NoError(t, w.try(w.outgoing(TextMessage, []byte("t"))))
			require.Empty(t, w.line.nc.(*wire).taken())
			require.NoError(t, w.try(w.outgoing(BinaryMessage, []byte(some(holdBytes)))))
			return []wstest.Frame{textFrame("t"), binaryFrame(some(holdBytes))}
		},
	}
	for name, flush := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				nc := &wire{}
				w := newTestWriter(nc, true)
				w.hold(true)
				require.NoError(t, w.write(TextMessage, "a"))
				require.NoError(t, w.write(TextMessage, "b"))
				w.hold(true)
				require.Empty(t, nc.taken())
				more := flush(t, w)
				synctest.Wait() // wire knows no writing without blocking, and so leaves some to goroutines
				require.Equal(t, append([]wstest.Frame{textFrame("a"), textFrame("b")}, more...), nc.frames(t, true))
				require.Zero(t, w.held.Load())
			})
		})
	}
}

// Once nothing more is expected, writes go out at once.
func TestHoldEnds(t *testing.T) {
	t.Parallel()
	nc := &wire{}
	w := newTestWriter(nc, true)
	w.hold(true)
	w.hold(false)
	require.NoError(t, w.write(TextMessage, "a"))
	require.Len(t, nc.frames(t, true), 1)
	w.flushHeld()
	require.Empty(t, nc.taken())
}

// Close sends what was accepted, whoever has the turn, and says if it could not.
func TestSettleSendsWhatIsPending(t *testing.T) {
	t.Parallel()
	setUp := func(t *testing.T) (w *testWriter, far net.Conn, first, large <-chan error) {
		near, far := wstest.Pipe(t)
		w = newTestWriter(near, true)
		first = soon(func() error { return w.write(TextMessage, "first") })
		synctest.Wait()
		require.NoError(t, w.write(TextMessage, "pending"))
		large = soon(func() error { return w.write(BinaryMessage, some(smallMessage)) })
		synctest.Wait()
		require.NoError(t, w.write(TextMessage, "behind"))
		w.reply(PongMessage, nil)
		return w, far, first, large
	}
	t.Run("in time", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w, far, first, large := setUp(t)
			settled := soon(func() error { return w.settle(errClosed, time.Now().Add(time.Second)) })
			require.Equal(t, errClosed, <-large)
			require.Equal(t, errClosed, w.write(TextMessage, "late"))
			wstest.NewClient(t, far).Expect(textFrame("first"), pongFrame(""), textFrame("pending"), textFrame("behind"))
			require.NoError(t, <-settled)
			require.NoError(t, <-first)
		})
	})
	t.Run("too late", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w, _, first, _ := setUp(t)
			begun := time.Now()
			require.ErrorIs(t, w.settle(errClosed, begun.Add(time.Second)), os.ErrDeadlineExceeded)
			require.Equal(t, time.Second, time.Since(begun))
			require.Error(t, <-first)
		})
	})
	t.Run("a connection without deadlines", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			g := newGate()
			w := newTestWriter(g, true)
			first := soon(func() error { return w.write(TextMessage, "first") })
			<-g.waiting
			require.NoError(t, w.write(TextMessage, "pending"))
			require.Equal(t, errDropped, w.settle(errClosed, time.Now().Add(time.Second)))
			g.let()
			require.NoError(t, <-first)
		})
	})
}

// The close frame comes after all that was accepted before it.
func TestCloseFrameGoesLast(t *testing.T) {
	t.Parallel()
	for _, own := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			near, far := wstest.Pipe(t)
			w := newTestWriter(near, true)
			first := soon(func() error { return w.write(TextMessage, "first") })
			synctest.Wait()
			large := soon(func() error { return w.write(BinaryMessage, some(smallMessage)) })
			synctest.Wait()
			require.NoError(t, w.write(TextMessage, "behind"))
			want := []wstest.Frame{textFrame("first"), textFrame("behind"), {Opcode: wstest.Close}}
			var said <-chan error
			if own {
				said = soon(func() error { return w.control(t.Context(), CloseMessage, nil, never) })
				synctest.Wait()
				require.NoError(t, w.try(w.outgoing(TextMessage, []byte("last"))))
				want = []wstest.Frame{textFrame("first"), binaryFrame(some(smallMessage)), textFrame("behind"), textFrame("last"), {Opcode: wstest.Close}}
			} else {
				w.reply(CloseMessage, nil)
			}
			wstest.NewClient(t, far).Expect(want...)
			require.NoError(t, <-first)
			if own {
				require.NoError(t, <-large)
				require.NoError(t, <-said)
			} else {
				require.Equal(t, ErrCloseSent, <-large)
			}
			require.NoError(t, w.flush())
			require.NoError(t, w.settle(errClosed, time.Now()))
		})
	}
}

// Writes of every kind at once, held and not, over every kind of connection and with
// compression that refers to earlier messages: whatever is accepted arrives whole, in
// the order of each goroutine.
func TestPendingStress(t *testing.T) {
	t.Parallel()
	for name, over := range map[string]func(testing.TB) (net.Conn, net.Conn){
		"pipe": func(t testing.TB) (net.Conn, net.Conn) { return wstest.Pipe(t) },
		"TCP":  func(t testing.TB) (net.Conn, net.Conn) { return wstest.TCP(t) },
	} {
		for _, compressed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s compressed=%t", name, compressed), func(t *testing.T) {
				t.Parallel()
				bothEnds(t, func(t *testing.T, server bool) {
					near, far := over(t)
					n := Negotiated{Server: server}
					if compressed {
						n.Compression = &Compression{}
					}
					sender := NewConn(near, n, Options{Compression: n.Compression, WriteQueue: 200_000})
					n.Server = !server
					receiver := NewConn(far, n, Options{})
					stressPending(t, sender, receiver)
				})
			})
		}
	}
}

func stressPending(t *testing.T, sender, receiver *Conn) {
	const goroutines, each = 8, 150
	var (
		wg       sync.WaitGroup
		mu       sync.Mutex
		accepted = make([][]int, goroutines)
	)
	for g := range goroutines {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(g), 0))
			for i := range each {
				size := rnd.IntN(300)
				if rnd.IntN(20) == 0 {
					size = rnd.IntN(40_000)
				}
				p := fmt.Appendf(nil, "%d %d %s", g, i, some(size))
				var err error
				switch rnd.IntN(8) {
				case 0:
					err = sender.TryWriteMessage(BinaryMessage, p)
				case 1:
					var pm *PreparedMessage
					if pm, err = NewPreparedMessage(TextMessage, p); err == nil {
						err = sender.WritePreparedMessage(pm)
					}
				case 2:
					var pm *PreparedMessage
					if pm, err = NewPreparedMessage(TextMessage, p); err == nil {
						err = sender.TryWritePreparedMessage(pm)
					}
				case 3:
					err = sender.WriteMessageContext(t.Context(), TextMessage, p)
				case 4:
					if err = sender.WriteMessage(TextMessage, p); err == nil {
						err = sender.Flush()
					}
				case 5:
					if g == 0 {
						var mw io.WriteCloser
						if mw, err = sender.NextWriter(TextMessage); err == nil {
							_, err = mw.Write(p)
							err = errors.Join(err, mw.Close())
						}
						break
					}
					fallthrough
				default:
					err = sender.WriteMessage(TextMessage, p)
				}
				if err == ErrWriteQueueFull {
					continue
				}
				if err != nil {
					t.Errorf("goroutine %d, message %d: %v", g, i, err)
					return
				}
				mu.Lock()
				accepted[g] = append(accepted[g], i)
				mu.Unlock()
			}
		})
	}
	stop := make(chan struct{})
	var others sync.WaitGroup
	others.Go(func() { // as a reader does
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				sender.w.hold(i%3 != 0)
				sender.w.reply(PongMessage, nil)
				if i%5 == 0 {
					sender.w.flushHeld()
				}
				runtime.Gosched()
			}
		}
	})
	closed := soon(func() error {
		wg.Wait()
		close(stop)
		others.Wait()
		return sender.Close()
	})
	got := make([][]int, goroutines)
	for {
		_, p, err := receiver.ReadMessage()
		if err != nil {
			require.Equal(t, closedWith(CloseAbnormalClosure, "unexpected EOF"), err)
			break
		}
		var g, i int
		_, err = fmt.Fscan(bytes.NewReader(p), &g, &i)
		require.NoError(t, err)
		prefix := fmt.Sprintf("%d %d ", g, i)
		require.True(t, strings.HasPrefix(string(p), prefix) && string(p[len(prefix):]) == some(len(p)-len(prefix)))
		got[g] = append(got[g], i)
	}
	require.NoError(t, <-closed)
	require.Equal(t, accepted, got)
}
