package websocket

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket/internal/wstest"
)

// inGroup returns a server's connection that joins g at birth, and its client.
func inGroup(t testing.TB, over link, g *Group, opts Options) (*Conn, *wstest.Peer) {
	t.Helper()
	opts.Group = g
	return scripted(t, over, true, opts)
}

func prepared(t testing.TB, p string) *PreparedMessage {
	t.Helper()
	pm, err := NewPreparedMessage(TextMessage, []byte(p))
	require.NoError(t, err)
	return pm
}

func TestGroupMembers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var g, other Group
		require.Zero(t, g.Len())
		require.Empty(t, slices.Collect(g.All()))
		g.Broadcast(prepared(t, "nobody"))
		a, peerA := inGroup(t, overPipe, &g, Options{})
		b, _ := inGroup(t, overPipe, &g, Options{})
		g.Add(a)
		other.Add(a)
		require.Equal(t, 2, g.Len())
		require.ElementsMatch(t, []*Conn{a, b}, slices.Collect(g.All()))
		for c := range g.All() {
			g.Remove(c) // the iterator goes over those who were there
		}
		require.Zero(t, g.Len())
		g.Remove(a)
		g.Add(a)
		require.Equal(t, 1, g.Len())
		for range g.All() {
			break
		}

		// It leaves every group when it is at its end.
		require.NoError(t, peerA.Close())
		_, _, err := a.ReadMessage()
		require.Error(t, err)
		require.Zero(t, g.Len())
		require.Zero(t, other.Len())
		g.Add(a)
		require.Zero(t, g.Len(), "it is too late")
		g.Add(b)
		require.NoError(t, b.Close())
		require.Zero(t, g.Len())
	})
}

func TestGroupLeaves(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(c *Conn, peer *wstest.Peer){
		"a write fails": func(c *Conn, peer *wstest.Peer) { _ = peer.Close(); _ = c.WriteMessage(TextMessage, nil) },
		"the peer closes": func(c *Conn, peer *wstest.Peer) {
			read := reading(c)
			peer.Send(wstest.CloseFrame(1000, ""))
			peer.ExpectClose(1000)
			<-read
		},
		"Shutdown": func(c *Conn, peer *wstest.Peer) {
			done := soon(func() error { return c.Shutdown(context.Background(), 0, "") })
			peer.ExpectClose(1000)
			peer.Send(wstest.CloseFrame(1000, ""))
			<-done
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var g Group
				c, peer := inGroup(t, overPipe, &g, Options{})
				end(c, peer)
				require.Zero(t, g.Len())
			})
		})
	}
}

// Broadcasts reach everybody in one order, in turn with what each connection is
// written besides, and in any form.
func TestGroupBroadcast(t *testing.T) {
	noLeaks(t)
	const peers, senders, each = 20, 4, 50
	var g Group
	var all sync.WaitGroup
	received := make([][]string, peers)
	for i := range peers {
		near, far := overTCP(t)
		n := Negotiated{Server: i%4 != 0}
		if i%3 == 0 {
			n.Compression = &Compression{ServerNoContextTakeover: i%2 == 0}
		}
		c := NewConn(near, n, Options{Group: &g, Compression: n.Compression})
		n.Server = !n.Server
		peer := NewConn(far, n, Options{})
		t.Cleanup(func() { c.Close(); peer.Close() })
		all.Go(func() {
			for {
				_, p, err := peer.ReadMessage()
				if err != nil {
					if !IsCloseError(err, CloseGoingAway) {
						t.Errorf("peer %d: %v", i, err)
					}
					return
				}
				received[i] = append(received[i], string(p))
			}
		})
		all.Go(func() { _, _, _ = c.ReadMessage() })
	}
	var sending sync.WaitGroup
	for s := range senders {
		sending.Go(func() {
			for i := range each {
				g.Broadcast(prepared(t, fmt.Sprintf("%d %d %s", s, i, strings.Repeat("all the same ", i))))
				for c := range g.All() {
					if i%10 == s {
						if err := c.WriteMessage(TextMessage, fmt.Appendf(nil, "own %d %d", s, i)); err != nil {
							t.Error(err)
						}
					}
				}
			}
		})
	}
	sending.Wait()
	require.NoError(t, g.Shutdown(t.Context(), 0, "done"))
	all.Wait()
	require.Zero(t, g.Len())

	broadcasts := func(lines []string) []string {
		return slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return strings.HasPrefix(line, "own") })
	}
	want := broadcasts(received[0])
	require.Len(t, want, senders*each)
	for i, got := range received {
		require.Equal(t, want, broadcasts(got), "peer %d", i)
		for s := range senders { // each goroutine's own order
			var before []string
			for i := range each {
				before = append(before, fmt.Sprintf("%d %d ", s, i))
				if i%10 == s {
					before = append(before, fmt.Sprintf("own %d %d", s, i))
				}
			}
			at := 0
			for _, line := range got {
				if at < len(before) && strings.HasPrefix(line, before[at]) {
					at++
				}
			}
			require.Equal(t, len(before), at, "peer %d, sender %d", i, s)
		}
	}
}

// A burst goes out in few writes.
func TestGroupBurst(t *testing.T) {
	t.Parallel()
	var g Group
	gt := newGate()
	c := NewConn(&quietGate{gate: gt}, Negotiated{Server: true}, Options{Group: &g})
	g.Broadcast(prepared(t, "0"))
	<-gt.waiting
	var want []wstest.Frame
	for i := range 15 {
		p := fmt.Sprint(i)
		g.Broadcast(prepared(t, p))
		want = append(want, textFrame(p))
	}
	require.Equal(t, []wstest.Frame{textFrame("0")}, framesOf(t, true, gt.let()))
	require.Equal(t, want, framesOf(t, true, gt.next()))
	require.NoError(t, c.Close())
}

// A quietGate has what else a Conn needs of a network connection.
type quietGate struct{ *gate }

func (quietGate) SetDeadline(time.Time) error     { return nil }
func (quietGate) SetReadDeadline(time.Time) error { return nil }
func (quietGate) Close() error                    { return nil }

func TestGroupSlowConsumer(t *testing.T) {
	t.Parallel()
	const queue = 100_000
	for _, over := range []link{overPipe, overTCP} {
		for _, what := range []SlowConsumer{DropMessage, CloseSlow} {
			t.Run(fmt.Sprint(what), func(t *testing.T) {
				t.Parallel()
				var g Group
				slow, peer := inGroup(t, over, &g, Options{WriteQueue: queue, SlowConsumer: what})
				fast, other := inGroup(t, over, &g, Options{WriteQueue: queue, SlowConsumer: what})
				pm := prepared(t, some(10_000))
				sent := 0
				for dropped(slow) < 3 && g.Len() == 2 {
					g.Broadcast(pm)
					sent++
					other.Expect(textFrame(some(10_000)))
				}
				require.Zero(t, dropped(fast))
				if what == CloseSlow {
					require.Equal(t, 1, g.Len())
					<-slow.Context().Done()
					require.Equal(t, errSlow, context.Cause(slow.Context()))
					require.ErrorIs(t, context.Cause(slow.Context()), ErrWriteQueueFull)
					_ = peer.SetReadDeadline(time.Now().Add(10 * time.Second))
					_, err := io.Copy(io.Discard, peer.Conn) // it is closed within slowTime, though nothing is read
					require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
					return
				}
				for range sent - dropped(slow) {
					peer.Expect(textFrame(some(10_000)))
				}
				require.NoError(t, slow.Flush())
			})
		}
	}
}

// A slow consumer that reads again in time learns why it is sent away.
func TestGroupTellsSlowConsumers(t *testing.T) {
	t.Parallel()
	var g Group
	slow, peer := inGroup(t, overTCP, &g, Options{WriteQueue: 100_000, SlowConsumer: CloseSlow})
	pm := prepared(t, some(10_000))
	for g.Len() == 1 {
		g.Broadcast(pm)
	}
	for {
		f := peer.Receive()
		if f.Opcode == wstest.Close {
			require.Equal(t, wstest.CloseFrame(CloseTryAgainLater, "").Payload, f.Payload)
			break
		}
	}
	<-slow.Context().Done()
}

func dropped(c *Conn) int {
	_, _, n := c.w.statistics()
	return int(n)
}

func TestGroupShutdown(t *testing.T) {
	t.Parallel()
	t.Run("in peace", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			var g Group
			const members = 3 * farewellStep
			for range members {
				c, peer := inGroup(t, overPipe, &g, Options{})
				go func() { _, _, _ = c.ReadMessage() }()
				go func() {
					peer.ExpectClose(CloseServiceRestart)
					peer.Send(wstest.CloseFrame(CloseServiceRestart, ""))
				}()
			}
			require.NoError(t, g.Shutdown(t.Context(), CloseServiceRestart, "soon back"))
			require.Zero(t, g.Len())
		})
	})
	t.Run("bounded by the context", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			var g Group
			for range 2 * farewellStep {
				inGroup(t, overPipe, &g, Options{})
			}
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, io.ErrNoProgress)
			defer cancel()
			begun := time.Now()
			require.Equal(t, io.ErrNoProgress, g.Shutdown(ctx, 0, ""))
			require.Equal(t, time.Second, time.Since(begun))
			require.Zero(t, g.Len())
		})
	})
	t.Run("cancelled between the steps", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			var g Group
			for range 2 * farewellStep {
				inGroup(t, overPipe, &g, Options{})
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(farewellPace/2, func() { cancel(io.ErrNoProgress) })
			begun := time.Now()
			require.Equal(t, io.ErrNoProgress, g.Shutdown(ctx, 0, ""))
			require.Equal(t, farewellPace/2, time.Since(begun))
			require.Zero(t, g.Len())
		})
	})
	t.Run("the context has ended", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			var g Group
			inGroup(t, overPipe, &g, Options{})
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			require.Equal(t, context.Canceled, g.Shutdown(ctx, 0, ""))
			require.Zero(t, g.Len())
		})
	})
	t.Run("those who come later", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			var g Group
			require.NoError(t, g.Shutdown(t.Context(), 0, ""))
			_, peer := inGroup(t, overPipe, &g, Options{})
			peer.ExpectClose(CloseGoingAway)
			peer.Send(wstest.CloseFrame(CloseGoingAway, ""))
			peer.ExpectEnd()
			require.Zero(t, g.Len())
		})
	})
	t.Run("a code that may not be sent", func(t *testing.T) {
		t.Parallel()
		var g Group
		require.Error(t, g.Shutdown(t.Context(), CloseAbnormalClosure, ""))
		c, _ := inGroup(t, overPipe, &g, Options{})
		require.Equal(t, 1, g.Len(), "nothing happened")
		require.NoError(t, c.Context().Err())
	})
}

func TestPacer(t *testing.T) {
	t.Parallel()
	require.Equal(t, farewellPace, pacer(t.Context(), 1_000_000))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.Equal(t, farewellPace, pacer(ctx, 1000))
	require.LessOrEqual(t, pacer(ctx, 1_000_000)*(1_000_000/farewellStep), 15*time.Second)
}

// Members come and go while others broadcast.
func TestGroupStress(t *testing.T) {
	noLeaks(t)
	var g Group
	stop := make(chan struct{})
	var broadcasting, coming sync.WaitGroup
	for range 2 {
		broadcasting.Go(func() {
			pm := prepared(t, some(3000))
			for {
				select {
				case <-stop:
					return
				default:
					g.Broadcast(pm)
				}
			}
		})
	}
	for range 4 {
		coming.Go(func() {
			for i := range 50 {
				near, far := overTCP(t)
				c := NewConn(near, Negotiated{Server: true}, Options{Group: &g, SlowConsumer: SlowConsumer(i % 2), WriteQueue: 10_000})
				peer := NewConn(far, Negotiated{}, Options{})
				for range i % 10 {
					if _, p, err := peer.ReadMessage(); err != nil || string(p) != some(3000) {
						if !IsCloseError(err, CloseTryAgainLater, CloseAbnormalClosure) {
							t.Error(err)
						}
						break
					}
				}
				if i%3 == 0 {
					_ = peer.Close()
				}
				_ = c.Close()
				_ = peer.Close()
			}
		})
	}
	coming.Wait()
	close(stop)
	broadcasting.Wait()
	require.Zero(t, g.Len())
}
