package websocket

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket/internal/wstest"
)

// A hookLog has what the hooks of a Trace were told, in order.
type hookLog struct {
	mu    sync.Mutex
	lines []string
}

func (l *hookLog) add(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

// take returns the lines since the last call.
func (l *hookLog) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer func() { l.lines = nil }()
	return l.lines
}

// await is take when there are so many lines.
func (l *hookLog) await(t *testing.T, n int) []string {
	t.Helper()
	require.Eventually(t, func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.lines) >= n
	}, 10*time.Second, time.Millisecond)
	return l.take()
}

// trace returns a Trace all of whose hooks write to l. Times are left out.
func (l *hookLog) trace() *Trace {
	message := func(verb string) func(*Conn, MessageInfo) {
		return func(c *Conn, m MessageInfo) {
			compressed := ""
			if m.Compressed {
				compressed = " compressed"
			}
			l.add("%s type %d: %d bytes, %d on the wire in %d%s", verb, m.Type, m.Payload, m.Wire, m.Frames, compressed)
		}
	}
	frame := func(verb string) func(*Conn, FrameHeader) {
		return func(c *Conn, h FrameHeader) {
			l.add("%s fin=%t rsv1=%t opcode=%d masked=%t length=%d", verb, h.Fin, h.RSV1, h.Opcode, h.Masked, h.Length)
		}
	}
	return &Trace{
		Handshake: func(h HandshakeInfo) {
			l.add("handshake server=%t request=%t response=%t conn=%t err=%v", h.Server, h.Request != nil, h.Response != nil, h.Conn != nil, h.Err)
		},
		Opened:         func(c *Conn) { l.add("opened") },
		FrameRead:      frame("<"),
		FrameWritten:   frame(">"),
		MessageRead:    message("read"),
		MessageWritten: message("written"),
		Pong:           func(c *Conn, rtt time.Duration) { l.add("pong") },
		Closed:         func(c *Conn, e CloseInfo) { l.add("closed by %v: %d %q, %v", e.By, e.Code, e.Reason, e.Cause) },
	}
}

var traceLinks = map[string]link{"pipe": overPipe, "TCP": overTCP, "TLS": overTLS}

func TestTrace(t *testing.T) {
	t.Parallel()
	for name, over := range traceLinks {
		for _, server := range []bool{true, false} {
			t.Run(name+"/"+roleName(server), func(t *testing.T) {
				t.Parallel()
				var l hookLog
				c, peer := scripted(t, over, server, Options{Trace: l.trace()})
				require.Equal(t, []string{"opened"}, l.take())
				in, out := fmt.Sprint(server), fmt.Sprint(!server) // whether frames are masked
				key := func(masked bool) int {
					if masked {
						return 4
					}
					return 0
				}

				// What comes.
				long := strings.Repeat("x", 70_000)
				got := soon(func() (got []string) {
					for {
						_, p, err := c.ReadMessage()
						if err != nil {
							return append(got, err.Error())
						}
						got = append(got, fmt.Sprint(len(p)))
					}
				})
				sent := soon(func() error {
					peer.Send(text("Hello"), wstest.Frame{Opcode: wstest.Binary, Payload: long}, text(""),
						wstest.Frame{Opcode: wstest.Text, Payload: "ab", More: true}, pong("unasked"),
						wstest.Frame{Opcode: wstest.Continuation, More: true}, wstest.Frame{Opcode: wstest.Continuation, Payload: "c"})
					return nil
				})
				require.NoError(t, <-sent)
				require.Eventually(t, func() bool { return c.Stats().MessagesRead == 4 }, 10*time.Second, time.Millisecond)
				// A frame is told of when its header has come, which may be before messages
				// that came with it are read.
				lines := l.take()
				slices.SortStableFunc(lines, func(a, b string) int { return cmp.Compare(a[:1], b[:1]) })
				require.Equal(t, []string{
					"< fin=true rsv1=false opcode=1 masked=" + in + " length=5",
					"< fin=true rsv1=false opcode=2 masked=" + in + " length=70000",
					"< fin=true rsv1=false opcode=1 masked=" + in + " length=0",
					"< fin=false rsv1=false opcode=1 masked=" + in + " length=2",
					"< fin=true rsv1=false opcode=10 masked=" + in + " length=7",
					"< fin=false rsv1=false opcode=0 masked=" + in + " length=0",
					"< fin=true rsv1=false opcode=0 masked=" + in + " length=1",
					fmt.Sprintf("read type 1: 5 bytes, %d on the wire in 1", 2+key(server)+5),
					fmt.Sprintf("read type 2: 70000 bytes, %d on the wire in 1", 10+key(server)+70_000),
					fmt.Sprintf("read type 1: 0 bytes, %d on the wire in 1", 2+key(server)),
					fmt.Sprintf("read type 1: 3 bytes, %d on the wire in 3", 3*(2+key(server))+3),
				}, lines)

				// What goes.
				wrote := soon(func() error {
					pm, err := NewPreparedMessage(TextMessage, []byte("prepared"))
					require.NoError(t, err)
					mw, err := c.NextWriter(TextMessage)
					require.NoError(t, err)
					_, err = io.WriteString(mw, strings.Repeat("y", 5000))
					return errors.Join(err, mw.Close(),
						c.WriteMessage(BinaryMessage, []byte("Hello")),
						c.WriteMessage(BinaryMessage, []byte(long)),
						c.WritePreparedMessage(pm),
						c.WriteControl(PingMessage, []byte("!"), time.Time{}),
						c.TryWriteMessage(TextMessage, nil), c.Flush())
				})
				peer.Expect(wstest.Frame{Opcode: wstest.Text, Payload: strings.Repeat("y", 4096), More: true},
					wstest.Frame{Opcode: wstest.Continuation, Payload: strings.Repeat("y", 904)},
					wstest.Frame{Opcode: wstest.Binary, Payload: "Hello"}, wstest.Frame{Opcode: wstest.Binary, Payload: long},
					text("prepared"), ping("!"), text(""))
				require.NoError(t, <-wrote)
				require.Equal(t, []string{
					"> fin=false rsv1=false opcode=1 masked=" + out + " length=4096",
					"> fin=true rsv1=false opcode=0 masked=" + out + " length=904",
					fmt.Sprintf("written type 1: 5000 bytes, %d on the wire in 2", 2*(4+key(!server))+5000),
					"> fin=true rsv1=false opcode=2 masked=" + out + " length=5",
					fmt.Sprintf("written type 2: 5 bytes, %d on the wire in 1", 2+key(!server)+5),
					"> fin=true rsv1=false opcode=2 masked=" + out + " length=70000",
					fmt.Sprintf("written type 2: 70000 bytes, %d on the wire in 1", 10+key(!server)+70_000),
					"> fin=true rsv1=false opcode=1 masked=" + out + " length=8",
					fmt.Sprintf("written type 1: 8 bytes, %d on the wire in 1", 2+key(!server)+8),
					"> fin=true rsv1=false opcode=9 masked=" + out + " length=1",
					"> fin=true rsv1=false opcode=1 masked=" + out + " length=0",
					fmt.Sprintf("written type 1: 0 bytes, %d on the wire in 1", 2+key(!server)),
				}, l.take())

				// How it ends.
				peer.Send(wstest.CloseFrame(3001, "done"))
				peer.ExpectClose(3001)
				require.Equal(t, []string{"5", "70000", "0", "3", "websocket: close 3001: done"}, <-got)
				lines = l.await(t, 3)
				slices.Sort(lines)
				require.Equal(t, []string{
					"< fin=true rsv1=false opcode=8 masked=" + in + " length=6",
					"> fin=true rsv1=false opcode=8 masked=" + out + " length=6",
					`closed by peer: 3001 "done", websocket: close 3001: done`,
				}, lines)
			})
		}
	}
}

// With permessage-deflate there are two sizes.
func TestTraceCompressed(t *testing.T) {
	t.Parallel()
	for _, server := range []bool{true, false} {
		t.Run(roleName(server), func(t *testing.T) {
			t.Parallel()
			clientEnd, serverEnd := wstest.TCP(t)
			var ours, theirs hookLog
			options := func(l *hookLog) Options {
				return Options{Compression: &Compression{}, Trace: l.trace()}
			}
			c := NewConn(clientEnd, Negotiated{Compression: &Compression{}}, options(&ours))
			s := NewConn(serverEnd, Negotiated{Server: true, Compression: &Compression{}}, options(&theirs))
			if server {
				c, s = s, c
			}
			defer c.Close()
			defer s.Close()
			payload := []byte(strings.Repeat("Hello, again. ", 1000))
			require.NoError(t, c.WriteMessage(TextMessage, payload))
			mw, err := c.NextWriter(TextMessage)
			require.NoError(t, err)
			for range 20 {
				_, err = mw.Write(payload)
				require.NoError(t, err)
			}
			require.NoError(t, mw.Close())
			for _, want := range []int{len(payload), 20 * len(payload)} {
				_, p, err := s.ReadMessage()
				require.NoError(t, err)
				require.Len(t, p, want)
			}
			sizes := func(l *hookLog, verb string) (lines []string) {
				for _, line := range l.take() {
					if strings.HasPrefix(line, verb) {
						lines = append(lines, strings.TrimPrefix(line, verb))
					}
				}
				return lines
			}
			wrote, read := &ours, &theirs
			if server {
				wrote, read = read, wrote
			}
			written := sizes(wrote, "written")
			require.Equal(t, written, sizes(read, "read"))
			require.Len(t, written, 2)
			for i, payload := range []int{14_000, 280_000} {
				var wire, frames int
				_, err := fmt.Sscanf(written[i], fmt.Sprintf(" type 1: %d bytes, %%d on the wire in %%d compressed", payload), &wire, &frames)
				require.NoError(t, err, written[i])
				require.Less(t, wire, payload/20)
				require.Positive(t, wire)
			}
			require.Equal(t, c.Stats().WireWritten, s.Stats().WireRead)
		})
	}
}

// Whoever sends, and by whatever method: the hooks know each message by its size.
func TestTraceOrder(t *testing.T) {
	t.Parallel()
	for name, over := range traceLinks {
		for _, compressed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/compressed %t", name, compressed), func(t *testing.T) {
				t.Parallel()
				const writers, each = 6, 60
				clientEnd, serverEnd := over(t)
				var n Negotiated
				if compressed {
					n.Compression = &Compression{}
				}
				var mu sync.Mutex
				var written, read []int64
				note := func(to *[]int64) func(*Conn, MessageInfo) {
					return func(c *Conn, m MessageInfo) {
						mu.Lock()
						defer mu.Unlock()
						*to = append(*to, m.Payload)
						if m.Wait < 0 || m.Wait > time.Hour {
							t.Errorf("waited for %v", m.Wait)
						}
					}
				}
				c := NewConn(clientEnd, n, Options{WriteQueue: 1 << 30, Trace: &Trace{MessageRead: note(&read)}})
				defer c.Close()
				n.Server = true
				s := NewConn(serverEnd, n, Options{WriteQueue: 1 << 30, Trace: &Trace{MessageWritten: note(&written)}})
				defer s.Close()
				var writing sync.WaitGroup
				for w := range writers {
					writing.Go(func() {
						for i := range each {
							size := 1 + w + writers*i
							if i%7 == 0 {
								size += 40_000 // it waits in person
							}
							p := bytes.Repeat([]byte{byte(i)}, size)
							var err error
							switch w {
							case 0: // only one NextWriter at a time: another ends it
								var mw io.WriteCloser
								if mw, err = s.NextWriter(BinaryMessage); err == nil {
									_, err = mw.Write(p)
									err = errors.Join(err, mw.Close())
								}
							case 1:
								err = s.TryWriteMessage(BinaryMessage, p)
							case 2:
								var pm *PreparedMessage
								if pm, err = NewPreparedMessage(BinaryMessage, p); err == nil {
									err = s.WritePreparedMessage(pm)
								}
							default:
								err = s.WriteMessage(BinaryMessage, p)
							}
							if err != nil {
								t.Error(err)
								return
							}
						}
					})
				}
				var got []int64
				for range writers * each {
					_, p, err := c.ReadMessage()
					require.NoError(t, err)
					got = append(got, int64(len(p)))
				}
				writing.Wait()
				require.NoError(t, s.Flush())
				mu.Lock()
				defer mu.Unlock()
				require.Equal(t, got, read)
				require.Equal(t, got, written)
			})
		}
	}
}

// Wait is the time that a message spends in a queue.
func TestTraceWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var waits []time.Duration
		note := func(c *Conn, m MessageInfo) { waits = append(waits, m.Wait) }
		c, peer := scripted(t, overPipe, true, Options{Trace: &Trace{MessageRead: note, MessageWritten: note}})
		sent := soon(func() error { peer.Send(text("one"), text("two")); return nil })
		requireMessage(t, TextMessage, "one", <-reading(c))
		time.Sleep(3 * time.Second) // the program is busy
		requireMessage(t, TextMessage, "two", <-reading(c))
		<-sent
		require.Equal(t, []time.Duration{0, 3 * time.Second}, waits)

		waits = nil
		require.NoError(t, c.TryWriteMessage(TextMessage, []byte("three")))
		time.Sleep(time.Second) // the peer is
		require.NoError(t, c.TryWriteMessage(TextMessage, []byte("four")))
		time.Sleep(time.Second)
		peer.Expect(text("three"), text("four"))
		synctest.Wait()
		require.Equal(t, []time.Duration{2 * time.Second, time.Second}, waits)

		// Whatever the way.
		pm, err := NewPreparedMessage(TextMessage, []byte("prepared"))
		require.NoError(t, err)
		for name, write := range map[string]func() error{
			"small":     func() error { return c.WriteMessage(TextMessage, []byte("small")) },
			"large":     func() error { return c.WriteMessage(TextMessage, make([]byte, 100_000)) },
			"context":   func() error { return c.WriteMessageContext(t.Context(), TextMessage, []byte("context")) },
			"prepared":  func() error { return c.WritePreparedMessage(pm) },
			"broadcast": func() error { return c.TryWritePreparedMessage(pm) },
			"stream": func() error {
				w, err := c.NextWriter(TextMessage)
				if err != nil {
					return err
				}
				_, err = io.WriteString(w, "stream")
				return errors.Join(err, w.Close())
			},
		} {
			waits = nil
			require.NoError(t, c.TryWriteMessage(PingMessage, nil)) // which is in the way, and no message
			written := soon(write)
			time.Sleep(4 * time.Second)
			peer.Expect(ping(""))
			peer.Receive()
			require.NoError(t, <-written)
			synctest.Wait()
			require.Equal(t, []time.Duration{4 * time.Second}, waits, name)
		}
	})
}

// What comes right behind the opening handshake is told when the connection begins.
func TestTraceEarlyBytes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, serverEnd := wstest.Pipe(t)
		var l hookLog
		var wait time.Duration
		trace := l.trace()
		told := trace.MessageRead
		trace.MessageRead = func(c *Conn, m MessageInfo) {
			wait = m.Wait
			told(c, m)
		}
		half := wstest.Frame{Opcode: wstest.Text, Payload: "halves"}.Masked()
		early := slices.Concat(text("Hello").Masked(), ping("").Masked(), half[:3])
		c := NewConn(serverEnd, Negotiated{Server: true, Buffered: early}, Options{Trace: trace})
		clear(early)
		require.Equal(t, []string{
			"opened",
			"< fin=true rsv1=false opcode=1 masked=true length=5",
			"< fin=true rsv1=false opcode=9 masked=true length=0",
		}, l.take())
		time.Sleep(time.Second)
		requireMessage(t, TextMessage, "Hello", <-reading(c))
		require.Equal(t, []string{"read type 1: 5 bytes, 11 on the wire in 1"}, l.take())
		require.Equal(t, time.Second, wait)
		got := reading(c)
		_, err := io.CopyN(io.Discard, client, 2) // the pong
		require.NoError(t, err)
		synctest.Wait()
		_, err = client.Write(half[3:])
		require.NoError(t, err)
		requireMessage(t, TextMessage, "halves", <-got)
		require.Equal(t, []string{
			"> fin=true rsv1=false opcode=10 masked=false length=0",
			"< fin=true rsv1=false opcode=1 masked=true length=6",
			"read type 1: 6 bytes, 12 on the wire in 1",
		}, l.take())
		require.NoError(t, c.Close())
	})
}

// Whoever wants to know little pays little: the shortest way of a message stays open, and
// the reader tells nothing.
func TestTraceOfLittle(t *testing.T) {
	t.Parallel()
	c, _ := scripted(t, overTCP, true, Options{Trace: &Trace{Opened: func(*Conn) {}, Pong: func(*Conn, time.Duration) {}, Closed: func(*Conn, CloseInfo) {}}})
	require.Nil(t, c.w.tap)
	require.False(t, c.r.traced)
	require.Zero(t, c.w.tap.now())
	reads, _ := scripted(t, overTCP, true, Options{Trace: &Trace{FrameRead: func(*Conn, FrameHeader) {}}})
	require.Nil(t, reads.w.tap)
	require.False(t, reads.r.traced)
	writes, _ := scripted(t, overTCP, true, Options{Trace: &Trace{FrameWritten: func(*Conn, FrameHeader) {}}})
	require.NoError(t, writes.TryWriteMessage(TextMessage, nil))
	require.Empty(t, writes.w.tap.queue.items)
}

func TestTracePong(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		var rtts []time.Duration
		var told time.Duration // what Stats say then
		c, peer := scripted(t, overPipe, server, Options{
			PingInterval: 5 * time.Second,
			PingTimeout:  time.Hour,
			Trace: &Trace{Pong: func(c *Conn, rtt time.Duration) {
				rtts = append(rtts, rtt)
				told = c.Stats().RTT
			}},
		})
		got := reading(c)
		pinged := soon(func() error { _, err := c.Ping(context.Background()); return err })
		asked := peer.Receive()
		time.Sleep(time.Second)
		peer.Send(pong(asked.Payload))
		require.NoError(t, <-pinged)
		require.Equal(t, []time.Duration{time.Second}, rtts)

		require.Equal(t, time.Second, told)

		peer.Send(pong("")) // nobody has asked
		peer.Expect(ping(""))
		time.Sleep(2 * time.Second)
		peer.Send(pong("not to that one"))
		synctest.Wait()
		require.Len(t, rtts, 1)
		peer.Send(pong(""))
		synctest.Wait()
		require.Equal(t, []time.Duration{time.Second, 2 * time.Second}, rtts)

		// While the program is busy pings go on, and the peer may answer the first.
		peer.Send(text("work"))
		<-got
		peer.Expect(ping(""))
		time.Sleep(time.Second)
		peer.Expect(ping(""))
		answered := soon(func() error { peer.Send(pong("")); return nil })
		got = reading(c)
		<-answered
		synctest.Wait()
		require.Equal(t, []time.Duration{time.Second, 2 * time.Second, 5 * time.Second}, rtts)

		// One that can't be sent, for somebody is writing, does not count.
		ctx, cancel := context.WithCancel(context.Background())
		written := soon(func() error { return c.WriteMessageContext(ctx, BinaryMessage, make([]byte, 1<<20)) })
		time.Sleep(6 * time.Second)
		answered = soon(func() error { peer.Send(pong("")); return nil })
		<-answered
		synctest.Wait()
		require.Len(t, rtts, 3)
		cancel()
		<-written
		require.NoError(t, c.Close())
		<-got
	})
}

func TestTraceClosed(t *testing.T) {
	t.Parallel()
	large := make([]byte, 1<<20) // no peer takes it
	for name, tc := range map[string]struct {
		end  func(c *Conn, peer *wstest.Peer)
		want CloseInfo // but for the cause
	}{
		"the peer": {func(c *Conn, peer *wstest.Peer) {
			peer.Send(wstest.CloseFrame(3001, "done"))
			peer.ExpectClose(3001)
		}, CloseInfo{EndedByPeer, 3001, "done", nil}},
		"the peer, without a code": {func(c *Conn, peer *wstest.Peer) {
			peer.Send(wstest.Frame{Opcode: wstest.Close})
			peer.Receive()
		}, CloseInfo{EndedByPeer, CloseNoStatusReceived, "", nil}},
		"the peer, and then we": {func(c *Conn, peer *wstest.Peer) {
			peer.Send(wstest.CloseFrame(3001, "done"))
			peer.ExpectClose(3001)
			_ = c.Shutdown(context.Background(), 3002, "")
		}, CloseInfo{EndedByPeer, 3001, "done", nil}},
		"the peer, whose close frame a handler does not like": {func(c *Conn, peer *wstest.Peer) {
			c.SetCloseHandler(func(int, string) error { return errors.New("not now") })
			peer.Send(wstest.CloseFrame(3001, "done"))
		}, CloseInfo{EndedByPeer, 3001, "done", nil}},
		"Shutdown": {func(c *Conn, peer *wstest.Peer) {
			done := soon(func() error { return c.Shutdown(context.Background(), 3002, "enough") })
			peer.ExpectClose(3002)
			peer.Send(wstest.CloseFrame(1000, "as you like"))
			<-done
		}, CloseInfo{EndedByUs, 3002, "enough", nil}},
		"Shutdown, unanswered": {func(c *Conn, peer *wstest.Peer) {
			done := soon(func() error { return c.Shutdown(context.Background(), 3002, "enough") })
			peer.ExpectClose(3002)
			<-done
		}, CloseInfo{EndedByUs, 3002, "enough", nil}},
		"Shutdown, and the peer hangs up": {func(c *Conn, peer *wstest.Peer) {
			done := soon(func() error { return c.Shutdown(context.Background(), 3002, "enough") })
			peer.ExpectClose(3002)
			_ = peer.Close()
			<-done
		}, CloseInfo{EndedByUs, 3002, "enough", nil}},
		"a close frame, and Close": {func(c *Conn, peer *wstest.Peer) {
			done := soon(func() error { return c.WriteControl(CloseMessage, FormatCloseMessage(3005, "bye"), time.Time{}) })
			peer.ExpectClose(3005)
			<-done
			_ = c.Close()
		}, CloseInfo{EndedByUs, 3005, "bye", nil}},
		"a close frame by NextWriter": {func(c *Conn, peer *wstest.Peer) {
			done := soon(func() error {
				w, err := c.NextWriter(CloseMessage)
				if err == nil {
					_, err = w.Write(FormatCloseMessage(3006, ""))
				}
				return errors.Join(err, w.Close())
			})
			peer.ExpectClose(3006)
			<-done
			_ = c.Close()
		}, CloseInfo{EndedByUs, 3006, "", nil}},
		"a close frame that is queued": {func(c *Conn, peer *wstest.Peer) {
			_ = c.TryWriteMessage(CloseMessage, FormatCloseMessage(3007, ""))
			_ = c.Close()
		}, CloseInfo{EndedByUs, 3007, "", nil}},
		"Close": {func(c *Conn, peer *wstest.Peer) {
			_ = c.Close()
		}, CloseInfo{EndedByUs, CloseAbnormalClosure, "", nil}},
		"a handler's error": {func(c *Conn, peer *wstest.Peer) {
			c.SetPingHandler(func(string) error { return &ProtocolError{Code: 3008} })
			peer.Send(ping(""))
			peer.ExpectClose(3008)
		}, CloseInfo{EndedByUs, CloseAbnormalClosure, "", nil}},
		"a context, while a write is blocked": {func(c *Conn, peer *wstest.Peer) {
			ctx, cancel := context.WithCancelCause(context.Background())
			done := soon(func() error { return c.WriteMessageContext(ctx, BinaryMessage, large) })
			time.Sleep(time.Second)
			cancel(&CloseError{3009, "of another connection"})
			<-done
		}, CloseInfo{EndedByUs, CloseAbnormalClosure, "", nil}},
		"a write deadline": {func(c *Conn, peer *wstest.Peer) {
			_ = c.SetWriteDeadline(time.Now().Add(time.Second))
			_ = c.WriteMessage(BinaryMessage, large)
		}, CloseInfo{EndedByNetwork, CloseAbnormalClosure, "", nil}},
		"a slow consumer": {func(c *Conn, peer *wstest.Peer) {
			var g Group
			g.Add(c)
			pm, err := NewPreparedMessage(BinaryMessage, large[:1000])
			require.NoError(t, err)
			g.Broadcast(pm) // under way
			g.Broadcast(pm)
			time.Sleep(2 * time.Second)
		}, CloseInfo{EndedByUs, CloseTryAgainLater, "", nil}},
		"a broken rule": {func(c *Conn, peer *wstest.Peer) {
			peer.Send(wstest.Frame{Opcode: 3})
			peer.ExpectClose(1002)
		}, CloseInfo{EndedByRule, CloseProtocolError, "reserved opcode", nil}},
		"the limit": {func(c *Conn, peer *wstest.Peer) {
			peer.Send(text("more than ten bytes"))
			peer.ExpectClose(1009)
		}, CloseInfo{EndedByRule, CloseMessageTooBig, "", nil}},
		"the network": {func(c *Conn, peer *wstest.Peer) {
			_ = peer.Close()
		}, CloseInfo{EndedByNetwork, CloseAbnormalClosure, "", nil}},
		"silence": {func(c *Conn, peer *wstest.Peer) {
			peer.Expect(ping(""))
			time.Sleep(2 * time.Minute)
		}, CloseInfo{EndedByNetwork, CloseAbnormalClosure, "", nil}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, server bool) {
				var ends []CloseInfo
				c, peer := scripted(t, overPipe, server, Options{
					ReadLimit: 10, PingInterval: 5 * time.Second, WriteQueue: 1500, SlowConsumer: CloseSlow,
					Trace: &Trace{Closed: func(c *Conn, e CloseInfo) {
						_ = c.Stats() // which is allowed
						ends = append(ends, e)
					}},
				})
				ctx := c.Context()
				got := reading(c)
				tc.end(c, peer)
				if name != "a write deadline" { // after which reading goes on for a second
					synctest.Wait()
				}
				_ = c.Close()
				<-got
				_, _, _ = c.ReadMessage()
				synctest.Wait()
				require.Len(t, ends, 1)
				require.ErrorIs(t, ends[0].Cause, context.Cause(ctx))
				ends[0].Cause = nil
				require.Equal(t, tc.want, ends[0])
			})
		})
	}
	// A read within a message is called off.
	inBubbles(t, func(t *testing.T, server bool) {
		var ends []CloseInfo
		c, peer := scripted(t, overPipe, server, Options{Trace: &Trace{Closed: func(c *Conn, e CloseInfo) { ends = append(ends, e) }}})
		ctx, cancel := context.WithCancel(context.Background())
		got := readingContext(ctx, c)
		peer.Send(wstest.Frame{Opcode: wstest.Text, Payload: "ab", More: true})
		synctest.Wait()
		cancel()
		require.ErrorIs(t, (<-got).err, context.Canceled)
		require.Equal(t, []CloseInfo{{By: EndedByUs, Code: CloseAbnormalClosure, Cause: context.Canceled}}, withoutWrapping(ends))
	})
}

// withoutWrapping has causes as they are at the bottom.
func withoutWrapping(ends []CloseInfo) []CloseInfo {
	for i := range ends {
		for inner := errors.Unwrap(ends[i].Cause); inner != nil; inner = errors.Unwrap(inner) {
			ends[i].Cause = inner
		}
	}
	return ends
}

// A write that ends by the fault of another connection, and the peer's close frame at the
// same time.
func TestTraceClosedRace(t *testing.T) {
	t.Parallel()
	for range 50 {
		c, peer := scripted(t, overPipe, true, Options{Trace: &Trace{Closed: func(c *Conn, e CloseInfo) {
			if e.By == EndedByPeer && e.Code != 3001 || e.By == EndedByUs && e.Code != CloseAbnormalClosure {
				t.Errorf("by %v with %d", e.By, e.Code)
			}
		}}})
		ctx, cancel := context.WithCancelCause(context.Background())
		got := reading(c)
		written := soon(func() error { return c.WriteMessageContext(ctx, TextMessage, make([]byte, 1<<20)) })
		go cancel(&CloseError{Code: 3009})
		go peer.Write(peer.Encode(wstest.CloseFrame(3001, "x")))
		<-written
		peer.Close()
		c.Close()
		<-got
	}
}

func TestEnder(t *testing.T) {
	t.Parallel()
	require.Equal(t, "us peer rule network unknown unknown", fmt.Sprint(EndedByUs, EndedByPeer, EndedByRule, EndedByNetwork, Ender(4), Ender(-1)))
}

func TestTraceHandshake(t *testing.T) {
	t.Parallel()
	var theirs, ours hookLog
	onlyHandshakes := func(l *hookLog) *Trace {
		return &Trace{Handshake: l.trace().Handshake, Opened: func(c *Conn) {
			if c.Negotiated().Server != (l == &theirs) {
				l.add("the wrong end")
			}
		}}
	}
	u := &Upgrader{Options: Options{Trace: onlyHandshakes(&theirs)}}
	mux := http.NewServeMux()
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		if c, err := u.Upgrade(w, r, nil); err == nil {
			c.Close()
		}
	})
	mux.Handle("/moved", http.RedirectHandler("/ws", http.StatusTemporaryRedirect))
	s := httptest.NewServer(mux)
	defer s.Close()
	url := "ws" + strings.TrimPrefix(s.URL, "http")
	d := &Dialer{Options: Options{Trace: onlyHandshakes(&ours)}}

	c, _, err := d.Dial(url+"/ws", nil)
	require.NoError(t, err)
	require.NoError(t, c.Close())
	require.Equal(t, []string{"handshake server=false request=true response=true conn=true err=<nil>"}, ours.take())
	require.Equal(t, []string{"handshake server=true request=true response=false conn=true err=<nil>"}, theirs.await(t, 1))

	_, _, err = d.Dial(url+"/ws", http.Header{"Origin": {"http://elsewhere.example"}})
	require.ErrorIs(t, err, ErrBadHandshake)
	require.Equal(t, []string{"handshake server=false request=true response=true conn=false err=websocket: bad handshake"}, ours.take())
	require.Equal(t, []string{`handshake server=true request=true response=false conn=false err=websocket: request origin ["http://elsewhere.example"] not allowed by the Upgrader`}, theirs.await(t, 1))

	following := &Dialer{
		CheckRedirect: func(req *http.Request, via []*http.Request) error { return nil },
		Options: Options{Trace: &Trace{Handshake: func(h HandshakeInfo) {
			require.Equal(t, "/ws", h.Request.URL.Path)
			require.Same(t, h.Request, h.Response.Request)
			require.Positive(t, h.Duration)
			ours.add("followed")
		}}},
	}
	c, _, err = following.Dial(url+"/moved", nil)
	require.NoError(t, err)
	require.NoError(t, c.Close())
	require.Equal(t, []string{"followed"}, ours.take())

	for _, bad := range []string{"ftp://host", "ws://user@host/", "ws://host/#fragment"} {
		_, _, err = d.Dial(bad, nil)
		require.Error(t, err)
		require.Equal(t, []string{fmt.Sprintf("handshake server=false request=false response=false conn=false err=%v", err)}, ours.take())
	}
	falls := *d
	falls.Transport = roundTripFunc(func(*http.Request) (*http.Response, error) {
		return nil, fmt.Errorf("another day: %w", errors.ErrUnsupported)
	})
	falls.Trace = &Trace{Handshake: func(h HandshakeInfo) { ours.add("%v", h.Fallback) }}
	c, _, err = falls.Dial(url+"/ws", nil)
	require.NoError(t, err)
	require.NoError(t, c.Close())
	theirs.await(t, 2)
	require.Equal(t, []string{"websocket: another day: unsupported operation"}, ours.take())

	broken := *d
	broken.NetDial = func(network, addr string) (net.Conn, error) { return nil, errors.New("no network") }
	_, _, err = broken.Dial(url, nil)
	require.Equal(t, []string{fmt.Sprintf("handshake server=false request=true response=false conn=false err=%v", err)}, ours.take())

	// Without net/http.
	for _, request := range []string{plainRequest, "GET / HTTP/1.1\r\nHost: server.example\r\n\r\n", "nonsense\r\n\r\n"} {
		client, server := wstest.Pipe(t)
		go io.WriteString(client, request)
		answer := soon(func() string {
			resp, _ := http.ReadResponse(bufio.NewReader(client), nil)
			return fmt.Sprint(resp.StatusCode)
		})
		c, r, err := u.UpgradeConn(server)
		require.Equal(t, []string{fmt.Sprintf("handshake server=true request=%t response=false conn=%t err=%v", r != nil, c != nil, err)}, theirs.await(t, 1))
		require.Equal(t, err == nil, <-answer == "101")
		if c != nil {
			require.NoError(t, c.Close())
		}
		client.Close()
	}
}

func TestMultiTrace(t *testing.T) {
	t.Parallel()
	require.Nil(t, MultiTrace())
	require.Nil(t, MultiTrace(nil, nil))
	// Each hook of the result, called with something, and the name of its field.
	hooks := func(m *Trace) map[string]func() {
		c := new(Conn)
		return map[string]func(){
			"Handshake":      func() { m.Handshake(HandshakeInfo{Server: true}) },
			"Opened":         func() { m.Opened(c) },
			"FrameRead":      func() { m.FrameRead(c, FrameHeader{Opcode: 7}) },
			"FrameWritten":   func() { m.FrameWritten(c, FrameHeader{Opcode: 7}) },
			"MessageRead":    func() { m.MessageRead(c, MessageInfo{Type: 7}) },
			"MessageWritten": func() { m.MessageWritten(c, MessageInfo{Type: 7}) },
			"Pong":           func() { m.Pong(c, 7) },
			"Closed":         func() { m.Closed(c, CloseInfo{Code: 7}) },
		}
	}
	require.Len(t, hooks(nil), reflect.TypeFor[Trace]().NumField())
	for name := range hooks(nil) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var calls []string
			only := func(who string) *Trace {
				trace := new(Trace)
				field := reflect.ValueOf(trace).Elem().FieldByName(name)
				field.Set(reflect.MakeFunc(field.Type(), func(args []reflect.Value) []reflect.Value {
					last := args[len(args)-1].Interface()
					require.NotZero(t, last)
					calls = append(calls, who)
					return nil
				}))
				return trace
			}
			for _, traces := range [][]*Trace{
				{only("a"), only("b")}, {nil, only("a"), nil, only("b"), nil}, {new(Trace), only("a"), new(Trace), only("b"), new(Trace)},
			} {
				calls = nil
				hooks(MultiTrace(traces...))[name]()
				require.Equal(t, []string{"a", "b"}, calls)
			}
			calls = nil
			one := only("a")
			all := MultiTrace(one, only("b"))
			require.NotSame(t, one, all)
			hooks(one)[name]()
			require.Equal(t, []string{"a"}, calls) // those given stay as they are
		})
	}
}

// What hooks cost, and that without any there is nothing to pay.
func BenchmarkTrace(b *testing.B) {
	for name, trace := range map[string]*Trace{
		"none": nil,
		"all": {
			FrameRead: func(*Conn, FrameHeader) {}, FrameWritten: func(*Conn, FrameHeader) {},
			MessageRead: func(*Conn, MessageInfo) {}, MessageWritten: func(*Conn, MessageInfo) {},
		},
	} {
		b.Run(name, func(b *testing.B) {
			c, theirs := connected(b, overTCP, false, Options{Trace: trace})
			go theirs.Serve(context.Background(), func(m Message) error { return theirs.WriteMessage(m.Type, m.Data) })
			p, dst := make([]byte, 512), make([]byte, 512)
			b.ReportAllocs()
			for b.Loop() {
				if err := c.WriteMessage(BinaryMessage, p); err != nil {
					b.Fatal(err)
				}
				if _, _, err := c.ReadMessageContext(context.Background(), dst[:0]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
