package websocket

import (
	"context"
	"errors"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket/internal/wstest"
)

// After CloseSlow has dropped the queue nothing is sent that refers to what was in it.
func TestCloseSlowThenWriteCompressed(t *testing.T) {
	near, far := net.Pipe()
	agreed := Compression{ServerMaxWindowBits: 15, ClientMaxWindowBits: 15}
	terms := agreed
	c := NewConn(near, Negotiated{Server: true, Compression: &agreed}, Options{Compression: &terms})
	defer c.Close()
	peer := NewConn(far, Negotiated{Compression: &agreed}, Options{})
	defer peer.Close()
	first, dropped := wordyText("first"), wordyText("dropped")
	require.NoError(t, c.TryWriteMessage(TextMessage, []byte(first))) // in the air
	require.NoError(t, c.TryWriteMessage(TextMessage, []byte(dropped)))
	c.closeSlow()
	require.ErrorIs(t, c.WriteMessage(TextMessage, []byte(dropped)), ErrWriteQueueFull, "the same again")
	for {
		_, p, err := peer.ReadMessage()
		if err != nil {
			require.True(t, IsCloseError(err, CloseTryAgainLater), "%v", err)
			break
		}
		require.True(t, string(p) == first || string(p) == dropped, "a message that was never sent: %.40q", p)
	}
}

func wordyText(s string) string { return strings.Repeat(s+" is what it is, ", 3) + s }

// Between the drop and the farewell nothing is accepted, for it would come after a gap.
func TestCloseSlowGap(t *testing.T) {
	near, far := net.Pipe()
	c := NewConn(near, Negotiated{Server: true}, Options{})
	defer c.Close()
	require.NoError(t, c.TryWriteMessage(TextMessage, []byte("1")))
	require.NoError(t, c.TryWriteMessage(TextMessage, []byte("2")))
	c.closeSlow()
	err := c.TryWriteMessage(TextMessage, []byte("3"))
	require.Error(t, err, "Context: %v", context.Cause(c.Context()))
	_ = far
}

// deaf is a network connection that knows no deadlines.
type deaf struct{ net.Conn }

func (deaf) SetDeadline(time.Time) error      { return nil }
func (deaf) SetReadDeadline(time.Time) error  { return nil }
func (deaf) SetWriteDeadline(time.Time) error { return nil }

// Close does not hang where it has to write itself, on a network connection that knows no
// deadlines.
func TestCloseHangsWithoutDeadlines(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	c := NewConn(deaf{near}, Negotiated{Server: true}, Options{})
	c.w.hold(true) // as Serve does
	require.NoError(t, c.WriteMessage(TextMessage, []byte("held")))
	closed := soon(c.Close)
	select {
	case <-closed:
	case <-time.After(3 * time.Second):
		t.Error("Close has not returned after 3 s")
	}
}

// Flush says so when what it waits for is dropped.
func TestFlushDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nc := &wire{}
		w := newTestWriter(nc, true)
		w.size = 4
		mw, err := w.next(TextMessage)
		require.NoError(t, err)
		_, err = mw.Write([]byte("12345"))
		require.NoError(t, err)
		require.NoError(t, w.try(w.outgoing(BinaryMessage, []byte("behind"))))
		flushed := soon(w.flush)
		synctest.Wait()
		w.reply(CloseMessage, nil)
		synctest.Wait()
		require.Equal(t, []wstest.Frame{textFirst("1234"), {Opcode: wstest.Close}}, nc.frames(t, true))
		require.Error(t, <-flushed, "the message behind was dropped: %v", w.lost())
	})
}

// Frames that are queued behind an open message and somebody who waits are not held: the
// next that are have their timer.
func TestStaleHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nc := &wire{}
		w := newTestWriter(nc, true)
		w.size = 4
		mw, err := w.next(TextMessage)
		require.NoError(t, err)
		_, err = mw.Write([]byte("12345"))
		require.NoError(t, err)
		other := soon(func() error { return w.write(TextMessage, "other") })
		synctest.Wait()
		w.hold(true)
		require.NoError(t, w.try(w.outgoing(BinaryMessage, []byte("behind"))))
		require.NoError(t, mw.Close())
		require.NoError(t, <-other)
		synctest.Wait()
		nc.frames(t, true)
		require.Zero(t, w.queued)
		time.Sleep(time.Second)
		w.hold(true) // the next message is handed out
		require.NoError(t, w.write(TextMessage, "held"))
		time.Sleep(time.Second) // the handler hangs
		synctest.Wait()
		require.Len(t, nc.frames(t, true), 1, "1 ms at the latest")
	})
}

// A Remove that meets an Add leaves nothing that outlives the connection.
func TestGroupAddRemove(t *testing.T) {
	for i := range 1000 {
		var g Group
		near, far := net.Pipe()
		c := NewConn(near, Negotiated{Server: true}, Options{Group: &g})
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				for range 50 {
					g.Remove(c)
					g.Add(c)
				}
			})
		}
		wg.Wait()
		_ = c.Close()
		_ = far.Close()
		if g.Len() != 0 {
			t.Fatalf("round %d: the closed connection is still a member", i)
		}
	}
}

// What goes before a close frame is put together without copying it again for each batch.
func TestCloseEchoBehindLongQueue(t *testing.T) {
	const queue = 16 << 20
	g := newGate()
	w := newTestWriter(g, true)
	w.limit = 2 * queue
	require.NoError(t, w.try(w.outgoing(BinaryMessage, []byte("first"))))
	<-g.waiting
	p := make([]byte, 60_000)
	for n := 0; n < queue; n += len(p) {
		require.NoError(t, w.try(w.outgoing(BinaryMessage, p)))
	}
	w.reply(CloseMessage, nil)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	g.let()
	<-g.waiting // the next batch is all
	runtime.ReadMemStats(&after)
	g.let()
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(8*queue))
}

// Where there is no writing without blocking, a bounded call does not wait for the bytes of
// others either.
func TestBoundedCallsOverPipe(t *testing.T) {
	for name, call := range map[string]func(ctx context.Context, c *Conn) error{
		"WriteControl": func(ctx context.Context, c *Conn) error {
			d, _ := ctx.Deadline()
			return c.WriteControl(PingMessage, nil, d)
		},
		"WriteMessageContext": func(ctx context.Context, c *Conn) error {
			return c.WriteMessageContext(ctx, TextMessage, []byte("own"))
		},
		"Ping": func(ctx context.Context, c *Conn) error { _, err := c.Ping(ctx); return err },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, peer := scripted(t, overPipe, true, Options{})
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				begun := time.Now()
				done := soon(func() error { return call(ctx, c) })
				synctest.Wait()
				require.NoError(t, c.TryWriteMessage(TextMessage, []byte("other"))) // somebody else's
				peer.Receive()                                                      // the caller's own
				<-done
				require.LessOrEqual(t, time.Since(begun), time.Second)
			})
		})
	}
}

// Close says what was lost also when we had dropped the connection before.
func TestCloseAfterKill(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	c := NewConn(near, Negotiated{Server: true}, Options{})
	require.NoError(t, c.TryWriteMessage(TextMessage, []byte("accepted")))
	c.kill(errSilent) // as the keepalive does
	require.Error(t, c.Close(), "accepted messages had to be dropped: %v", c.w.lost())
}

// With nothing queued, Flush does not wait for a NextWriter that is sending a fragment.
func TestFlushWaitsForOpenMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		w := newTestWriter(g, true)
		w.size = 4
		mw, err := w.next(TextMessage)
		require.NoError(t, err)
		wrote := soon(func() error { _, err := mw.Write([]byte("12345")); return err })
		<-g.waiting
		flushed := soon(w.flush)
		synctest.Wait()
		g.let()
		require.NoError(t, <-wrote)
		begun := time.Now()
		require.NoError(t, <-flushed, "after %v", time.Since(begun))
	})
}

// A close frame that we owe is not replaced by the program's.
func TestTryCloseTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := wstest.Pipe(t)
		w := newTestWriter(near, true)
		require.NoError(t, w.try(w.outgoing(TextMessage, []byte("x"))))
		synctest.Wait()
		w.reply(CloseMessage, FormatCloseMessage(CloseProtocolError, "what the reader found")) // readFailed
		err := w.try(w.outgoing(CloseMessage, FormatCloseMessage(1000, "")))
		peer := wstest.NewClient(t, far)
		peer.Expect(textFrame("x"))
		f := peer.Receive()
		if err == nil {
			t.Errorf("accepted, and the peer got %v", f)
		}
		require.True(t, errors.Is(err, ErrCloseSent))
		synctest.Wait()
	})
}

// Once the queue was dropped for good, no way of writing gets past that but a close
// frame, and Flush says what was lost.
func TestDiscardRefuses(t *testing.T) {
	t.Parallel()
	for name, write := range map[string]func(c *Conn) error{
		"WriteMessage":    func(c *Conn) error { return c.WriteMessage(TextMessage, []byte("x")) },
		"large":           func(c *Conn) error { return c.WriteMessage(BinaryMessage, make([]byte, smallMessage)) },
		"TryWriteMessage": func(c *Conn) error { return c.TryWriteMessage(TextMessage, []byte("x")) },
		"NextWriter":      func(c *Conn) error { _, err := c.NextWriter(TextMessage); return err },
		"Flush":           (*Conn).Flush,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, peer := scripted(t, overTCP, true, Options{})
			c.w.hold(true)
			require.NoError(t, c.WriteMessage(TextMessage, []byte("dropped")))
			c.w.discard(errSlow)
			require.ErrorIs(t, write(c), ErrWriteQueueFull)
			require.NoError(t, c.TryWriteMessage(CloseMessage, FormatCloseMessage(1013, "")))
			peer.ExpectClose(1013)
		})
	}
}
