package websocket

import (
	"context"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket/internal/wstest"
)

// overUnix is a connection over a Unix socket.
func overUnix(t testing.TB) (client, server net.Conn) {
	t.Helper()
	dir, err := os.MkdirTemp("", "ws") // the name of t's own may be too long for a socket
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	ln, err := net.Listen("unix", filepath.Join(dir, "s"))
	require.NoError(t, err)
	defer ln.Close()
	client, err = net.Dial("unix", ln.Addr().String())
	require.NoError(t, err)
	server, err = ln.Accept()
	require.NoError(t, err)
	t.Cleanup(func() {
		client.Close()
		server.Close()
	})
	return client, server
}

// isParked reports whether c is in nobody's hands.
func isParked(c *Conn) bool {
	c.readDeadline.mu.Lock()
	defer c.readDeadline.mu.Unlock()
	return c.readDeadline.parked
}

func requireParked(t testing.TB, c *Conn) {
	t.Helper()
	require.Eventually(t, func() bool { return isParked(c) }, 10*time.Second, time.Millisecond)
}

// starting is serving by Start.
func starting(t testing.TB, c *Conn, handle func(m Message) error) <-chan error {
	done := make(chan error, 1)
	calls := 0
	c.Start(handle, func(err error) {
		if calls++; calls > 1 {
			t.Error("done was called twice")
		}
		done <- err
	})
	return done
}

// A play is a connection that is served, and its peer.
type play struct {
	c       *Conn
	peer    *wstest.Peer
	started bool // by Start
	answer  func(m Message) error
	done    <-chan error

	mu  sync.Mutex
	got []string // messages
}

// handle is the handler.
func (p *play) handle(m Message) error {
	p.mu.Lock()
	p.got = append(p.got, string(m.Data))
	p.mu.Unlock()
	if p.answer != nil {
		return p.answer(m)
	}
	return nil
}

// settle waits until the loop waits for the peer.
func (p *play) settle(t *testing.T) {
	p.peer.ExpectNothing()
	if p.started && p.c.canBeParked() {
		requireParked(t, p.c)
	}
}

func (p *play) received() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.got
}

// Start does what Serve does, whatever the connection is made of and whether or
// not it was parked.
func TestLoops(t *testing.T) {
	noLeaks(t)
	why := errors.New("why")
	long := strings.Repeat("x", 100_000)
	scenes := []struct {
		name   string
		opts   Options
		answer func(p *play, m Message) error // of the handler, nil for nothing
		play   func(t *testing.T, p *play)
		want   func(t *testing.T, err error)
	}{
		{
			name:   "echo",
			answer: func(p *play, m Message) error { return p.c.WriteMessage(m.Type, m.Data) },
			play: func(t *testing.T, p *play) {
				for _, f := range []wstest.Frame{text("Hello"), text(""), {Opcode: wstest.Binary, Payload: "\xff"}, text("again")} {
					p.peer.Send(f)
					p.peer.Expect(f)
				}
				p.peer.Send(ping("x"))
				p.peer.Expect(pong("x"))
				p.peer.Send(text("1"), text("2"), wstest.CloseFrame(1000, "enough"))
				p.peer.Expect(text("1"), text("2"), wstest.CloseFrame(1000, "enough"))
				require.Equal(t, []string{"Hello", "", "\xff", "again", "1", "2"}, p.received())
			},
			want: isNil,
		},
		{
			name: "in pieces",
			play: func(t *testing.T, p *play) {
				for _, f := range []wstest.Frame{text("Hello"), ping("Hello"), {More: true, Opcode: wstest.Text, Payload: "Hel"}, {Payload: "lo"}} {
					frame := p.peer.Encode(f)
					for i := range frame {
						p.peer.SendRaw(frame[i : i+1])
						if i%3 == 0 {
							runtime.Gosched()
						}
					}
				}
				p.peer.Expect(pong("Hello"))
				p.settle(t)
				require.Equal(t, []string{"Hello", "Hello"}, p.received())
				p.peer.Send(wstest.CloseFrame(1000, ""))
				p.peer.ExpectClose(1000)
			},
			want: isNil,
		},
		{
			name: "large messages",
			play: func(t *testing.T, p *play) {
				p.peer.Send(text("1"), text(long), text("2"), text(long), wstest.CloseFrame(1000, ""))
				p.peer.Expect(wstest.CloseFrame(1000, ""))
				require.Equal(t, []string{"1", long, "2", long}, p.received())
			},
			want: isNil,
		},
		{
			name: "peer closes with another code",
			play: func(t *testing.T, p *play) {
				p.peer.Send(wstest.CloseFrame(4000, "x"))
				p.peer.Expect(wstest.CloseFrame(4000, "x"))
			},
			want: is(&CloseError{4000, "x"}),
		},
		{
			name: "peer is gone", play: func(t *testing.T, p *play) { p.peer.Close() },
			want: func(t *testing.T, err error) { require.True(t, IsCloseError(err, 1006), "%v", err) },
		},
		{
			name: "peer is gone within a message",
			play: func(t *testing.T, p *play) {
				p.peer.Send(wstest.Frame{More: true, Opcode: wstest.Text, Payload: "half"})
				p.peer.Close()
			},
			want: func(t *testing.T, err error) { require.True(t, IsCloseError(err, 1006), "%v", err) },
		},
		{
			name: "peer breaks a rule",
			play: func(t *testing.T, p *play) {
				p.peer.Send(wstest.Frame{Opcode: 3})
				p.peer.ExpectClose(1002)
			},
			want: is(errReservedOpcode),
		},
		{
			name: "message too long", opts: Options{ReadLimit: 4},
			play: func(t *testing.T, p *play) {
				p.peer.Send(text("x"), text("Hello"))
				p.peer.Expect(wstest.CloseFrame(1009, ""))
			},
			want: is(ErrReadLimit),
		},
		{
			name: "read deadline",
			play: func(t *testing.T, p *play) {
				require.NoError(t, p.c.SetReadDeadline(time.Now().Add(5*time.Millisecond)))
				p.peer.Expect(wstest.CloseFrame(1011, ""))
				p.peer.Send(wstest.CloseFrame(1011, ""))
			},
			want: isDeadline,
		},
		{
			name: "read deadline in the past",
			play: func(t *testing.T, p *play) {
				require.NoError(t, p.c.SetReadDeadline(longAgo))
				p.peer.Expect(wstest.CloseFrame(1011, ""))
				p.peer.Send(wstest.CloseFrame(1011, ""))
			},
			want: isDeadline,
		},
		{
			name: "read deadline that is put off",
			play: func(t *testing.T, p *play) {
				for range 50 {
					require.NoError(t, p.c.SetReadDeadline(time.Now().Add(time.Minute)))
				}
				p.peer.Send(text("1"))
				p.settle(t)
				require.NoError(t, p.c.SetReadDeadline(time.Time{}))
				p.peer.Send(text("2"))
				p.settle(t)
				require.Equal(t, []string{"1", "2"}, p.received())
				require.NoError(t, p.c.SetReadDeadline(time.Now().Add(time.Minute)))
				require.NoError(t, p.c.SetReadDeadline(time.Now().Add(time.Millisecond)))
				p.peer.ExpectClose(1011)
				p.peer.Send(wstest.CloseFrame(1011, ""))
			},
			want: isDeadline,
		},
		{
			name:   "read deadline set by the handler",
			answer: func(p *play, m Message) error { return p.c.SetReadDeadline(time.Now().Add(time.Millisecond)) },
			play: func(t *testing.T, p *play) {
				p.peer.Send(text("Hello"))
				p.peer.ExpectClose(1011)
				p.peer.Send(wstest.CloseFrame(1011, ""))
			},
			want: isDeadline,
		},
		{
			name:   "handler's error",
			answer: func(p *play, m Message) error { return why },
			play: func(t *testing.T, p *play) {
				p.peer.Send(text("1"), text("2"))
				p.peer.Expect(wstest.CloseFrame(1011, ""))
				p.peer.Send(wstest.CloseFrame(1011, ""))
				require.Equal(t, []string{"1"}, p.received())
			},
			want: is(why),
		},
		{
			name:   "handler's CloseError",
			answer: func(p *play, m Message) error { return &CloseError{4000, "why"} },
			play: func(t *testing.T, p *play) {
				p.peer.Send(text("Hello"))
				p.peer.Expect(wstest.CloseFrame(4000, "why"))
				p.peer.Send(wstest.CloseFrame(4000, "why"))
			},
			want: is(&CloseError{4000, "why"}),
		},
		{
			name: "ping handler's error",
			play: func(t *testing.T, p *play) {
				p.c.SetPingHandler(func(string) error { return why })
				p.peer.Send(ping(""))
				p.peer.Expect(wstest.CloseFrame(1011, ""))
				p.peer.Send(wstest.CloseFrame(1011, ""))
			},
			want: is(why),
		},
		{
			name:   "handler's Shutdown",
			answer: func(p *play, m Message) error { return p.c.Shutdown(context.Background(), 4000, "bye") },
			play: func(t *testing.T, p *play) {
				p.peer.Send(text("Hello"))
				p.peer.Expect(wstest.CloseFrame(4000, "bye"))
				p.peer.Send(wstest.CloseFrame(4000, "bye"))
			},
			want: isNil,
		},
		{
			name: "handler's Shutdown without an answer", opts: Options{CloseTimeout: 20 * time.Millisecond},
			answer: func(p *play, m Message) error {
				if string(m.Data) == "1" {
					return p.c.Shutdown(context.Background(), 4000, "bye")
				}
				return nil
			},
			play: func(t *testing.T, p *play) {
				p.peer.Send(text("1"), text("2"))
				p.peer.Expect(wstest.CloseFrame(4000, "bye"))
				require.ErrorIs(t, context.Cause(waitForEnd(p.c)), os.ErrDeadlineExceeded)
				require.Equal(t, []string{"1", "2"}, p.received())
			},
			want: isDeadline,
		},
		{
			name: "Shutdown from elsewhere",
			play: func(t *testing.T, p *play) {
				left := shuttingDown(t.Context(), p.c, 4000, "bye")
				p.peer.Expect(wstest.CloseFrame(4000, "bye"))
				p.peer.Send(text("late"))
				p.peer.Send(text("later"), wstest.CloseFrame(4000, "bye"))
				require.NoError(t, <-left)
				require.Equal(t, []string{"late", "later"}, p.received())
			},
			want: isNil,
		},
		{
			name: "Shutdown from elsewhere without an answer", opts: Options{CloseTimeout: 20 * time.Millisecond},
			play: func(t *testing.T, p *play) {
				left := shuttingDown(t.Context(), p.c, 4000, "bye")
				p.peer.Expect(wstest.CloseFrame(4000, "bye"))
				require.ErrorIs(t, <-left, os.ErrDeadlineExceeded)
			},
			want: isDeadline,
		},
		{
			name: "Close from elsewhere",
			play: func(t *testing.T, p *play) {
				require.NoError(t, p.c.Close())
				require.NoError(t, p.c.Close())
			},
			want: isNil,
		},
		{
			name:   "Close in the handler",
			answer: func(p *play, m Message) error { return p.c.Close() },
			play: func(t *testing.T, p *play) {
				p.peer.Send(text("1"), text("2"))
				<-waitForEnd(p.c).Done()
				require.Equal(t, []string{"1"}, p.received())
			},
			want: isNil,
		},
		{
			name: "keepalive", opts: Options{PingInterval: 5 * time.Millisecond, PingTimeout: 10 * time.Second},
			play: func(t *testing.T, p *play) {
				for range 3 {
					p.peer.Expect(ping(""))
					p.peer.Send(pong(""))
				}
				require.NoError(t, p.c.Context().Err())
				require.NoError(t, p.c.Close())
			},
			want: isNil,
		},
		{
			name: "silence", opts: Options{PingInterval: 5 * time.Millisecond},
			play: func(t *testing.T, p *play) { p.peer.Drain() },
			want: is(errSilent),
		},
		{
			name: "Ping",
			play: func(t *testing.T, p *play) {
				ponged := pinging(t.Context(), p.c)
				f := p.peer.Receive()
				p.peer.Send(pong(f.Payload))
				require.NoError(t, (<-ponged).err)
				require.NoError(t, p.c.Close())
			},
			want: isNil,
		},
	}
	links := map[string]link{"TCP": overTCP, "unix": overUnix, "TLS": overTLS, "pipe": overPipe}
	for _, scene := range scenes {
		t.Run(scene.name, func(t *testing.T) {
			for name, over := range links {
				for i := range 8 {
					server, started, settled := i&1 != 0, i&2 != 0, i&4 != 0
					t.Run(fmt.Sprintf("%s/%s/started=%t/settled=%t", name, roleName(server), started, settled), func(t *testing.T) {
						if name == "pipe" && scene.opts.PingInterval > 0 {
							settled = false // the ping may come first
						}
						p := &play{started: started}
						p.c, p.peer = scripted(t, over, server, scene.opts)
						p.peer.Conn = newPostman(p.peer.Conn)
						if scene.answer != nil {
							p.answer = func(m Message) error { return scene.answer(p, m) }
						}
						if started {
							p.done = starting(t, p.c, p.handle)
						} else {
							p.done = serving(t.Context(), p.c, p.handle)
						}
						if settled && scene.opts.PingInterval == 0 {
							p.settle(t)
						}
						scene.play(t, p)
						read := soon(p.peer.Drain) // a pipe has nowhere else for our last words
						scene.want(t, <-p.done)
						if scene.name != "peer is gone" && scene.name != "peer is gone within a message" {
							p.peer.Close()
						}
						<-read
						requireEnded(t, p.c)
					})
				}
			}
		})
	}
}

// A postman is a connection whose Write does not wait for the other side, as that
// of a net.Pipe does.
type postman struct {
	net.Conn
	post   chan []byte
	closed chan struct{}
}

func newPostman(nc net.Conn) *postman {
	p := &postman{Conn: nc, post: make(chan []byte, 100), closed: make(chan struct{})}
	go func() {
		defer close(p.closed)
		for b := range p.post {
			_, _ = nc.Write(b) // the other side may have ended
		}
		nc.Close()
	}()
	return p
}

func (p *postman) Write(b []byte) (int, error) {
	p.post <- append([]byte(nil), b...)
	return len(b), nil
}

func (p *postman) Close() error {
	close(p.post)
	<-p.closed
	return nil
}

// waitForEnd returns the context of c when it is done.
func waitForEnd(c *Conn) context.Context {
	<-c.Context().Done()
	return c.Context()
}

func TestStartAfterClose(t *testing.T) {
	t.Parallel()
	for name, over := range map[string]link{"TCP": overTCP, "pipe": overPipe} {
		t.Run(name, func(t *testing.T) {
			c, _ := scripted(t, over, true, Options{})
			require.NoError(t, c.Close())
			require.NoError(t, <-starting(t, c, nil))
		})
	}
}

// done is not needed.
func TestStartWithoutDone(t *testing.T) {
	t.Parallel()
	for name, over := range map[string]link{"TCP": overTCP, "pipe": overPipe} {
		t.Run(name, func(t *testing.T) {
			c, peer := scripted(t, over, true, Options{})
			c.Start(func(m Message) error { return c.WriteMessage(m.Type, m.Data) }, nil)
			peer.Send(text("Hello"))
			peer.Expect(text("Hello"))
			peer.Send(wstest.CloseFrame(1000, ""))
			peer.Expect(wstest.CloseFrame(1000, ""))
			peer.ExpectEnd()
		})
	}
}

// What came with the handshake is there: no socket will tell of it.
func TestStartWithEarlyBytes(t *testing.T) {
	t.Parallel()
	clientEnd, serverEnd := wstest.TCP(t)
	peer := wstest.NewClient(t, clientEnd)
	first := peer.Encode(text("Hello"))
	for cut := range first {
		early := append(peer.Encode(text("early")), first[:cut]...)
		c := NewConn(serverEnd, Negotiated{Server: true, Buffered: early}, Options{})
		got := make(chan string, 2)
		c.Start(func(m Message) error { got <- string(m.Data); return nil }, nil)
		require.Equal(t, "early", <-got)
		peer.SendRaw(first[cut:])
		require.Equal(t, "Hello", <-got)

		// For the next round, with the same socket.
		clientEnd, serverEnd = wstest.TCP(t)
		peer = wstest.NewClient(t, clientEnd)
		require.NoError(t, c.Close())
	}
}

// Reads take turns, whoever began.
func TestStartBesideOtherReads(t *testing.T) {
	t.Parallel()
	for name, over := range map[string]link{"TCP": overTCP, "pipe": overPipe} {
		t.Run(name, func(t *testing.T) {
			c, peer := scripted(t, over, true, Options{})
			read := reading(c)
			require.Eventually(t, func() bool { return !c.readTurn.try(begin) || release(c) }, 10*time.Second, time.Millisecond)
			handled := make(chan string, 1)
			first := starting(t, c, func(m Message) error { handled <- "first " + string(m.Data); return nil })
			peer.Send(text("1"), text("2"))
			requireMessage(t, TextMessage, "1", <-read)
			require.Equal(t, "first 2", <-handled)

			second := starting(t, c, func(m Message) error { handled <- "second " + string(m.Data); return nil })
			third := reading(c)
			peer.Send(text("3"))
			require.Equal(t, "first 3", <-handled)
			peer.Send(wstest.CloseFrame(4000, "x"))
			peer.Expect(wstest.CloseFrame(4000, "x"))
			require.Equal(t, &CloseError{4000, "x"}, <-first)
			require.Equal(t, &CloseError{4000, "x"}, <-second)
			require.Equal(t, &CloseError{4000, "x"}, (<-third).err)
			peer.Close()
		})
	}
}

func release(c *Conn) bool { c.readTurn.release(); return false }

// What NextReader has begun is discarded, as by other reads.
func TestStartWithinAMessage(t *testing.T) {
	t.Parallel()
	c, peer := scripted(t, overTCP, true, Options{})
	peer.Send(wstest.Frame{More: true, Opcode: wstest.Text, Payload: "Hel"})
	_, r, err := c.NextReader()
	require.NoError(t, err)
	_, err = io.ReadFull(r, make([]byte, 3))
	require.NoError(t, err)
	got := make(chan string, 1)
	done := starting(t, c, func(m Message) error { got <- string(m.Data); return nil })
	peer.Send(wstest.Frame{Payload: "lo"}, text("next"))
	require.Equal(t, "next", <-got)
	require.NoError(t, c.Close())
	require.NoError(t, <-done)
}

// A handler may start what is served already: that begins at the end.
func TestStartInHandler(t *testing.T) {
	t.Parallel()
	c, peer := scripted(t, overTCP, true, Options{})
	var inner <-chan error
	outer := starting(t, c, func(m Message) error {
		inner = starting(t, c, func(Message) error { return nil })
		return io.EOF
	})
	peer.Send(text("Hello"))
	peer.ExpectClose(1011)
	peer.Send(wstest.CloseFrame(1011, ""))
	require.Equal(t, io.EOF, <-outer)
	require.NoError(t, <-inner)
}

// Handlers that never return hold up nobody else.
func TestStartWithBlockingHandlers(t *testing.T) {
	t.Parallel()
	const blocked = 200
	release := make(chan struct{})
	var done []<-chan error
	var in sync.WaitGroup
	for range blocked {
		c, peer := scripted(t, overTCP, true, Options{})
		in.Add(1)
		done = append(done, starting(t, c, func(Message) error { in.Done(); <-release; return c.Close() }))
		peer.Send(text("Hello"))
	}
	in.Wait()
	for range 20 {
		c, peer := scripted(t, overTCP, true, Options{})
		ended := starting(t, c, func(m Message) error { return c.WriteMessage(m.Type, m.Data) })
		peer.Send(text("Hello"))
		peer.Expect(text("Hello"))
		require.NoError(t, c.Close())
		require.NoError(t, <-ended)
	}
	close(release)
	for _, d := range done {
		require.NoError(t, <-d)
	}
}

// Messages are handled one after the other, in order, and done comes last, however
// often the connection is parked in between.
func TestStartKeepsOrder(t *testing.T) {
	noLeaks(t)
	for name, over := range map[string]link{"TCP": overTCP, "unix": overUnix, "pipe": overPipe} {
		t.Run(name, func(t *testing.T) {
			const messages = 2000
			ours, theirs := connected(t, over, true, Options{})
			next := 0 // not guarded: the race detector sees to it
			done := starting(t, ours, func(m Message) error {
				require.Equal(t, fmt.Sprint(next), string(m.Data))
				next++
				return nil
			})
			for i := range messages {
				require.NoError(t, theirs.WriteMessage(TextMessage, fmt.Append(nil, i)))
				if i%10 == 0 {
					time.Sleep(time.Microsecond)
				}
			}
			require.NoError(t, theirs.Shutdown(t.Context(), 0, ""))
			require.NoError(t, <-done)
			require.Equal(t, messages, next)
		})
	}
}

// Whatever ends a connection, and all at once: done is called, once and last.
func TestStartEndsOnce(t *testing.T) {
	noLeaks(t)
	rounds := 1500
	if testing.Short() {
		rounds = 150
	}
	why := errors.New("why")
	for name, over := range map[string]link{"TCP": overTCP, "unix": overUnix, "pipe": overPipe} {
		t.Run(name, func(t *testing.T) {
			for round := range rounds {
				rnd := mathrand.New(mathrand.NewPCG(uint64(round), 0))
				ours, theirs := connected(t, over, true, Options{CloseTimeout: time.Second, PingInterval: time.Minute})
				var handling atomic.Bool
				handlerEnds := rnd.IntN(3) == 0
				var calls atomic.Int32
				done := make(chan error, 2)
				ours.Start(func(m Message) error {
					if !handling.CompareAndSwap(false, true) || calls.Load() > 0 {
						t.Error("two handlers at once, or one after done")
					}
					defer handling.Store(false)
					if handlerEnds {
						return why
					}
					return ours.SetReadDeadline(time.Now().Add(time.Minute))
				}, func(err error) {
					if handling.Load() || calls.Add(1) > 1 {
						t.Error("done came early, or twice")
					}
					done <- err
				})
				acts := []func(){
					func() { ours.Close() },
					func() { theirs.Close() },
					func() { ours.SetReadDeadline(longAgo) },
					func() { ours.SetReadDeadline(time.Now().Add(time.Duration(rnd.IntN(100)) * time.Microsecond)) },
					func() { ours.Shutdown(context.Background(), 0, "") },
					func() { theirs.Shutdown(context.Background(), 0, "") },
					func() { theirs.WriteMessage(TextMessage, []byte("Hello")) },
					func() { theirs.NetConn().Close() },
				}
				rnd.Shuffle(len(acts), func(i, j int) { acts[i], acts[j] = acts[j], acts[i] })
				var wg sync.WaitGroup
				for _, act := range acts[:2+rnd.IntN(3)] {
					wg.Go(act)
				}
				read := reading(theirs)
				wg.Wait()
				ours.Close()
				<-done
				theirs.Close()
				<-read
			}
		})
	}
}

// Handler leaves a connection to Start, unless serve has failed.
func TestHandlerAfterStart(t *testing.T) {
	noLeaks(t)
	for _, outcome := range []error{nil, &CloseError{4000, "why"}} {
		t.Run(fmt.Sprint(outcome), func(t *testing.T) {
			ended := make(chan error, 1)
			h := new(Upgrader).Handler(func(c *Conn, r *http.Request) error {
				c.Start(func(m Message) error { return c.WriteMessage(m.Type, m.Data) }, func(err error) { ended <- err })
				return outcome
			})
			returned := make(chan struct{})
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				h.ServeHTTP(w, r)
				close(returned)
			}))
			defer srv.Close()
			c, _, err := DefaultDialer.Dial("ws"+strings.TrimPrefix(srv.URL, "http"), nil)
			require.NoError(t, err)
			defer c.Close()
			if outcome != nil {
				require.Equal(t, outcome, (<-reading(c)).err)
				require.NoError(t, <-ended)
				<-returned
				return
			}
			<-returned
			for range 3 {
				require.NoError(t, c.WriteMessage(TextMessage, []byte("Hello")))
				requireMessage(t, TextMessage, "Hello", <-reading(c))
			}
			require.NoError(t, c.Shutdown(t.Context(), 1000, ""))
			require.NoError(t, <-ended)
		})
	}
}
