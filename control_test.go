package websocket

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket/internal/wstest"
)

func TestDefaultHandlers(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{})
		read := reading(c)
		peer.Send(ping(""))
		peer.Expect(pong(""))
		peer.Send(ping(strings.Repeat("p", 125)))
		peer.Expect(pong(strings.Repeat("p", 125)))
		peer.Send(pong("unasked"))
		peer.Send(wstest.CloseFrame(1000, "done"))
		peer.Expect(wstest.CloseFrame(1000, "done"))
		require.Equal(t, &CloseError{1000, "done"}, (<-read).err)
	})
}

func TestHandlers(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{})
		var calls []string
		note := func(kind string) func(string) error {
			return func(appData string) error {
				calls = append(calls, kind+" "+appData)
				return nil
			}
		}
		c.SetPingHandler(note("ping"))
		c.SetPongHandler(note("pong"))
		c.SetCloseHandler(func(code int, text string) error { return note("close")(text) })
		require.NoError(t, c.PingHandler()("by hand"))
		require.NoError(t, c.PongHandler()("by hand"))
		require.NoError(t, c.CloseHandler()(1000, "by hand"))

		read := reading(c)
		peer.Send(ping("1"), pong("2"), wstest.CloseFrame(4000, "3"))
		require.Equal(t, &CloseError{4000, "3"}, (<-read).err)
		require.Equal(t, []string{"ping by hand", "pong by hand", "close by hand", "ping 1", "pong 2", "close 3"}, calls)

		// Nothing was answered; the program does it.
		wrote := soon(func() error { return c.WriteControl(CloseMessage, FormatCloseMessage(4001, "own"), time.Time{}) })
		peer.Expect(wstest.CloseFrame(4001, "own"))
		require.NoError(t, <-wrote)
		peer.ExpectEnd()
	})
}

func TestNilHandlersAreTheDefaults(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{})
		never := errors.New("never")
		c.SetPingHandler(func(string) error { return never })
		c.SetPongHandler(func(string) error { return never })
		c.SetCloseHandler(func(int, string) error { return never })
		c.SetPingHandler(nil)
		c.SetPongHandler(nil)
		c.SetCloseHandler(nil)
		read := reading(c)
		peer.Send(pong("x"), ping("y"))
		peer.Expect(pong("y"))
		peer.Send(wstest.CloseFrame(1001, "z"))
		peer.Expect(wstest.CloseFrame(1001, "z"))
		require.Equal(t, &CloseError{1001, "z"}, (<-read).err)
		require.NoError(t, c.PongHandler()("x"))
	})
}

// The defaults are functions that a program may wrap.
func TestDefaultHandlersWrapped(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{})
		var order []string
		answerPing, answerClose := c.PingHandler(), c.CloseHandler()
		c.SetPingHandler(func(appData string) error { order = append(order, appData); return answerPing(appData) })
		c.SetCloseHandler(func(code int, text string) error { order = append(order, text); return answerClose(code, "answer") })
		read := reading(c)
		peer.Send(ping("1"))
		peer.Expect(pong("1"))
		peer.Send(wstest.Frame{Opcode: wstest.Close})
		peer.Expect(wstest.Frame{Opcode: wstest.Close})
		require.Equal(t, &CloseError{Code: CloseNoStatusReceived}, (<-read).err)
		require.Equal(t, []string{"1", ""}, order)
	})
}

// An error of a handler is what this read and all later ones return.
func TestHandlerErrors(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		set func(c *Conn, err error)
		in  wstest.Frame
	}{
		"ping":  {func(c *Conn, err error) { c.SetPingHandler(func(string) error { return err }) }, ping("x")},
		"pong":  {func(c *Conn, err error) { c.SetPongHandler(func(string) error { return err }) }, pong("x")},
		"close": {func(c *Conn, err error) { c.SetCloseHandler(func(int, string) error { return err }) }, wstest.CloseFrame(1000, "")},
	}
	for name, tt := range tests {
		for kind, why := range map[string]error{"error": errors.New("why"), "timeout": errTurnTimeout} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				inBubbles(t, func(t *testing.T, server bool) {
					c, peer := scripted(t, overPipe, server, Options{})
					tt.set(c, why)
					read := reading(c)
					peer.Send(tt.in)
					require.Equal(t, why, requireNothing(t, <-read))
					requireSticky(t, c, why)
				})
			})
		}
	}
}

// A ping handler in the way of gorilla/websocket's examples.
func TestHandlerThatWrites(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{})
		c.SetPingHandler(func(appData string) error {
			return c.WriteControl(PongMessage, []byte("re: "+appData), time.Now().Add(time.Second))
		})
		c.SetPongHandler(func(string) error { return c.SetReadDeadline(time.Now().Add(time.Minute)) })
		c.SetCloseHandler(func(code int, text string) error {
			return c.WriteControl(CloseMessage, FormatCloseMessage(code, ""), time.Now().Add(time.Second))
		})
		read := reading(c)
		peer.Send(pong("x"), ping("x"))
		peer.Expect(pong("re: x"))
		peer.Send(wstest.CloseFrame(1000, "x"))
		peer.Expect(wstest.CloseFrame(1000, ""))
		require.Equal(t, &CloseError{1000, "x"}, (<-read).err)
		peer.ExpectEnd()
	})
}

func TestWriteControl(t *testing.T) {
	t.Parallel()
	t.Run("deadline past", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			c, peer := scripted(t, overPipe, server, Options{})
			err := c.WriteControl(PingMessage, nil, time.Now().Add(-time.Second))
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			var ne net.Error
			require.ErrorAs(t, err, &ne)
			require.True(t, ne.Timeout())
			require.EqualError(t, err, "websocket: write timeout")
			wrote := soon(func() error { return c.WriteControl(PingMessage, []byte("later"), time.Time{}) })
			peer.Expect(ping("later"))
			require.NoError(t, <-wrote, "it does not stay")
		})
	})
	t.Run("deadline while waiting for its turn", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			c, peer := scripted(t, overPipe, server, Options{})
			wrote := soon(func() error { return c.WriteMessage(TextMessage, []byte("slow")) })
			synctest.Wait()
			start := time.Now()
			require.Equal(t, errTurnTimeout, c.WriteControl(PingMessage, nil, start.Add(time.Second)))
			require.Equal(t, time.Second, time.Since(start))
			peer.Expect(text("slow"))
			require.NoError(t, <-wrote)
			read := reading(c)
			peer.ExpectNothing()
			require.NoError(t, c.Close())
			<-read
		})
	})
	t.Run("deadline while it is sent", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			c, _ := scripted(t, overPipe, server, Options{})
			start := time.Now()
			err := c.WriteControl(PingMessage, nil, start.Add(time.Second))
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			require.Equal(t, time.Second, time.Since(start))
			require.Equal(t, err, c.WriteMessage(TextMessage, nil), "half a frame is on the wire")
		})
	})
	t.Run("no deadline", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			c, peer := scripted(t, overPipe, server, Options{})
			message := soon(func() error { return c.WriteMessage(TextMessage, []byte("slow")) })
			synctest.Wait()
			control := soon(func() error { return c.WriteControl(PongMessage, []byte("x"), time.Time{}) })
			time.Sleep(time.Hour)
			peer.Expect(text("slow"), pong("x"))
			require.NoError(t, <-message)
			require.NoError(t, <-control)
		})
	})
	t.Run("the deadline is not the message's", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			c, peer := scripted(t, overPipe, server, Options{})
			require.NoError(t, c.SetWriteDeadline(time.Now().Add(-time.Second)))
			wrote := soon(func() error { return c.WriteControl(PingMessage, nil, time.Time{}) })
			peer.Expect(ping(""))
			require.NoError(t, <-wrote)
		})
	})
	t.Run("close", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			c, peer := scripted(t, overPipe, server, Options{})
			wrote := soon(func() error {
				return c.WriteControl(CloseMessage, FormatCloseMessage(CloseNormalClosure, "bye"), time.Time{})
			})
			peer.Expect(wstest.CloseFrame(1000, "bye"))
			require.NoError(t, <-wrote)
			requireCloseSent(t, c)
			require.NoError(t, c.Context().Err(), "reads go on")
			read := reading(c)
			sent := soon(func() bool { peer.Send(text("Hello"), ping("no answer to this")); return true })
			requireMessage(t, TextMessage, "Hello", <-read)
			read = reading(c)
			require.True(t, <-sent)
			peer.Send(wstest.CloseFrame(1000, "bye"))
			require.Equal(t, &CloseError{1000, "bye"}, (<-read).err)
			peer.Close() // a client leaves the first step to the server
		})
	})
}

// A peer that never reads and pings without end can't hold up a reader, and
// costs no more than a pong and a goroutine.
func TestPingFlood(t *testing.T) {
	noLeaks(t)
	for name, over := range map[string]link{"pipe": overPipe, "TCP": overTCP} {
		for _, server := range []bool{true, false} {
			t.Run(name+"/"+roleName(server), func(t *testing.T) {
				c, peer := scripted(t, over, server, Options{})
				const pings, batch = 100_000, 1000
				var frames []byte
				for range batch {
					frames = append(frames, peer.Encode(ping(strings.Repeat("p", 125)))...)
				}
				read := reading(c)
				before := len(ourGoroutines())
				var memory runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&memory)
				heap := memory.HeapAlloc
				for range pings / batch {
					peer.SendRaw(frames)
				}
				peer.Send(text("Hello"))
				requireMessage(t, TextMessage, "Hello", <-read)
				require.LessOrEqual(t, len(ourGoroutines()), before+1)
				runtime.GC()
				runtime.ReadMemStats(&memory)
				require.Less(t, int64(memory.HeapAlloc)-int64(heap), int64(1<<20))
				require.NoError(t, c.Close())
			})
		}
	}
}

// While a message is being written the pongs that it holds up wait, and follow it.
func TestPongWhileWriting(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{})
		wrote := soon(func() error { return c.WriteMessage(TextMessage, []byte("slow")) })
		read := reading(c)
		synctest.Wait()
		peer.Send(ping("1"), ping("2"))
		peer.Send(ping("3"))
		synctest.Wait()
		peer.Expect(text("slow"), pong("1"), pong("2"), pong("3"))
		require.NoError(t, <-wrote)
		peer.Send(text("Hello"))
		requireMessage(t, TextMessage, "Hello", <-read)
	})
}

type ponged struct {
	rtt time.Duration
	err error
}

func pinging(ctx context.Context, c *Conn) <-chan ponged {
	return soon(func() ponged {
		rtt, err := c.Ping(ctx)
		return ponged{rtt, err}
	})
}

func TestPing(t *testing.T) {
	t.Parallel()
	t.Run("round trip", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			c, peer := scripted(t, overPipe, server, Options{})
			var heard []string
			c.SetPongHandler(func(appData string) error { heard = append(heard, appData); return nil })
			read := reading(c)
			p := pinging(t.Context(), c)
			asked := peer.Receive()
			require.Equal(t, byte(wstest.Ping), asked.Opcode)
			require.Len(t, asked.Payload, 8)
			time.Sleep(time.Second)
			peer.Send(pong("foreign"), pong("8 bytes."), pong(""))
			time.Sleep(time.Second)
			peer.Send(pong(asked.Payload), pong(asked.Payload))
			require.Equal(t, ponged{2 * time.Second, nil}, <-p)
			peer.Send(text("Hello"))
			<-read
			require.Equal(t, []string{"foreign", "8 bytes.", "", asked.Payload, asked.Payload}, heard)
			require.Empty(t, c.extras.pings)
		})
	})
	t.Run("nobody has asked", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			c, peer := scripted(t, overPipe, server, Options{})
			read := reading(c)
			peer.Send(pong("8 bytes."), text("Hello"))
			requireMessage(t, TextMessage, "Hello", <-read)
			require.Nil(t, c.extras, "a pong costs nothing")
		})
	})
	t.Run("several at once", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			c, peer := scripted(t, overPipe, server, Options{})
			read := reading(c)
			first := pinging(t.Context(), c)
			asked1 := peer.Receive()
			second := pinging(t.Context(), c)
			asked2 := peer.Receive()
			require.NotEqual(t, asked1.Payload, asked2.Payload)
			peer.Send(pong(asked2.Payload))
			require.NoError(t, (<-second).err)
			peer.Send(pong(asked1.Payload))
			require.NoError(t, (<-first).err)
			peer.Send(text("Hello"))
			<-read
		})
	})
	t.Run("context ends", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			c, peer := scripted(t, overPipe, server, Options{})
			why := errors.New("why")
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, why)
			defer cancel()
			p := pinging(ctx, c)
			peer.Receive()
			require.Equal(t, ponged{0, why}, <-p)
			require.Empty(t, c.extras.pings)
			require.NoError(t, c.Context().Err(), "it has lost nothing")
			require.Equal(t, why, (<-pinging(ctx, c)).err, "done before")
			require.NoError(t, c.Context().Err())
		})
	})
	t.Run("connection ends", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			c, peer := scripted(t, overPipe, server, Options{})
			p := pinging(t.Context(), c)
			peer.Receive()
			read := reading(c)
			peer.Send(wstest.CloseFrame(4000, ""))
			peer.ExpectClose(4000)
			<-read
			require.Equal(t, &CloseError{Code: 4000}, (<-p).err)
			require.Equal(t, ErrCloseSent, (<-pinging(t.Context(), c)).err)
		})
	})
	t.Run("Close", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			c, peer := scripted(t, overPipe, server, Options{})
			p := pinging(t.Context(), c)
			peer.Receive()
			require.NoError(t, c.Close())
			require.ErrorIs(t, (<-p).err, net.ErrClosed)
		})
	})
	t.Run("write timeout", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			c, _ := scripted(t, overPipe, server, Options{WriteTimeout: time.Second})
			require.ErrorIs(t, (<-pinging(t.Context(), c)).err, os.ErrDeadlineExceeded)
		})
	})
}

// A pong that came is not forgotten because the connection ended behind it.
func TestPongBeforeTheEnd(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		for range 30 { // the outcome was a matter of chance
			c, peer := scripted(t, overPipe, server, Options{})
			p := pinging(t.Context(), c)
			asked := peer.Receive()
			// Both are there when Ping looks.
			c.ponged([]byte(asked.Payload))
			c.over(errClosed, EndedByUs)
			require.NoError(t, (<-p).err)
		}
	})
}

func TestKeepalive(t *testing.T) {
	t.Parallel()
	const interval, timeout = 10 * time.Second, 4 * time.Second
	opts := Options{PingInterval: interval, PingTimeout: timeout}

	t.Run("silence is fatal", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			start := time.Now()
			c, peer := scripted(t, overPipe, server, opts)
			ctx := c.Context()
			read := reading(c)
			time.Sleep(interval - 1)
			synctest.Wait()
			peer.Expect(ping(""))
			require.Equal(t, interval, time.Since(start))
			err := requireNothing(t, <-read)
			require.Equal(t, interval+timeout, time.Since(start))
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			require.Equal(t, err, context.Cause(ctx))
			requireSticky(t, c, err)
			require.Equal(t, err, c.WriteMessage(TextMessage, nil))
			peer.ExpectEnd()
			require.NoError(t, c.Close())
		})
	})
	t.Run("default timeout", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			start := time.Now()
			c, peer := scripted(t, overPipe, server, Options{PingInterval: interval})
			read := reading(c)
			go peer.Read(make([]byte, 100))
			require.ErrorIs(t, (<-read).err, os.ErrDeadlineExceeded)
			require.Equal(t, 2*interval, time.Since(start))
		})
	})
	t.Run("a pong keeps it alive", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			start := time.Now()
			c, peer := scripted(t, overPipe, server, opts)
			read := reading(c)
			for i := range 5 {
				time.Sleep(interval / 2)
				peer.Expect(ping(""))
				time.Sleep(timeout - 1)
				peer.Send(pong(""))
				require.Equal(t, time.Duration(i+1)*(interval+timeout-1), time.Since(start))
			}
			peer.Send(text("Hello"))
			requireMessage(t, TextMessage, "Hello", <-read)
		})
	})
	t.Run("a pong is here before the ping is noted", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			c, _ := scripted(t, overPipe, server, opts)
			k := c.keepalive
			time.Sleep(interval / 2)
			now := uptime()
			k.asked(now)
			require.Equal(t, now, k.pinged)
			k.hear(1)
			k.asked(now) // of a tick that has sent its ping, and time does not pass
			require.Zero(t, k.pinged)
		})
	})
	t.Run("a timeout longer than the interval", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			start := time.Now()
			c, peer := scripted(t, overPipe, server, Options{PingInterval: interval, PingTimeout: 10 * interval})
			read := reading(c)
			for i := range 5 {
				time.Sleep(interval - 1)
				peer.Expect(ping(""))
				require.Equal(t, time.Duration(i+1)*interval, time.Since(start))
				peer.Send(pong(""))
			}
			time.Sleep(interval - 1)
			peer.Expect(ping(""))
			require.ErrorIs(t, (<-read).err, os.ErrDeadlineExceeded)
			require.Equal(t, 16*interval, time.Since(start))
		})
	})
	t.Run("bytes put it off", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			start := time.Now()
			c, peer := scripted(t, overPipe, server, opts)
			read := reading(c)
			frame := peer.Encode(text(strings.Repeat("x", 20)))
			for i := range frame {
				time.Sleep(interval - 1)
				peer.SendRaw(frame[i : i+1])
			}
			requireMessage(t, TextMessage, strings.Repeat("x", 20), <-read)
			require.Equal(t, time.Duration(len(frame))*(interval-1), time.Since(start))
		})
	})
	t.Run("a busy program is no dead peer", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			c, peer := scripted(t, overPipe, server, opts)
			pings := make(chan int, 1)
			go func() { // answers nothing, and can't: nobody reads
				n := 0
				for {
					if _, _, err := wstest.ReadFrame(peer); err != nil {
						pings <- n
						return
					}
					n++
				}
			}()
			time.Sleep(20*interval + interval/2)
			require.NoError(t, c.Context().Err())
			read := reading(c)
			time.Sleep(timeout - 1)
			peer.Send(text("Hello"))
			requireMessage(t, TextMessage, "Hello", <-read)
			require.NoError(t, c.Close())
			require.GreaterOrEqual(t, <-pings, 20, "pings go on")
		})
	})
	t.Run("reads in small portions of time", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			start := time.Now()
			c, peer := scripted(t, overPipe, server, opts)
			go peer.Read(make([]byte, 100))
			for {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second/3)
				_, _, err := c.ReadMessageContext(ctx, nil)
				cancel()
				if err != context.DeadlineExceeded {
					require.ErrorIs(t, err, os.ErrDeadlineExceeded)
					break
				}
			}
			require.LessOrEqual(t, time.Since(start), 3*interval)
		})
	})
	t.Run("no ping while somebody writes", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			c, peer := scripted(t, overPipe, server, opts)
			read := reading(c)
			wrote := soon(func() error { return c.WriteMessage(TextMessage, []byte("slow")) })
			time.Sleep(interval + timeout + 1)
			synctest.Wait()
			require.NoError(t, c.Context().Err(), "a peer that was not asked owes no answer")
			peer.Expect(text("slow"))
			require.NoError(t, <-wrote)
			peer.Expect(ping(""))
			peer.Send(pong(""), text("Hello"))
			requireMessage(t, TextMessage, "Hello", <-read)
		})
	})
	t.Run("the writing side has ended", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			c, peer := scripted(t, overPipe, server, opts)
			closed := soon(func() error { return c.WriteControl(CloseMessage, nil, time.Time{}) })
			peer.Expect(wstest.Frame{Opcode: wstest.Close})
			require.NoError(t, <-closed)
			start := time.Now()
			require.ErrorIs(t, (<-reading(c)).err, os.ErrDeadlineExceeded, "a peer that can't be asked must not be waited for without end")
			require.LessOrEqual(t, time.Since(start), 2*interval+timeout)
		})
	})
	t.Run("the timer ends with the connection", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			c, _ := scripted(t, overPipe, server, opts)
			require.NoError(t, c.Close())
			require.True(t, c.keepalive.stopped)
			require.False(t, c.keepalive.timer.Stop(), "it is stopped")
			c.keepalive.tick() // one that was on its way
			require.False(t, c.keepalive.timer.Stop(), "it is not set again")
		})
	})
}

// The reader is in the handler, so it can't see the answer to a Shutdown: that
// returns at once, and the reader finishes, in time.
func TestShutdownInControlHandler(t *testing.T) {
	t.Parallel()
	for _, answers := range []bool{true, false} {
		t.Run(fmt.Sprintf("peer answers %t", answers), func(t *testing.T) {
			inBubbles(t, func(t *testing.T, server bool) {
				c, peer := scripted(t, overPipe, server, Options{CloseTimeout: 3 * time.Second})
				c.SetPingHandler(func(string) error { return c.Shutdown(t.Context(), 4000, "enough") })
				read := reading(c)
				peer.Send(ping("x"))
				peer.Expect(wstest.CloseFrame(4000, "enough"))
				start := time.Now()
				if answers {
					peer.Send(wstest.CloseFrame(4000, "enough"))
					require.Equal(t, &CloseError{4000, "enough"}, (<-read).err)
					require.Zero(t, time.Since(start))
				} else {
					require.ErrorIs(t, (<-read).err, os.ErrDeadlineExceeded)
					require.Equal(t, 3*time.Second, time.Since(start))
				}
				peer.Close()
				requireEnded(t, c)
			})
		})
	}
}
