package websocket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket/internal/wstest"
)

func serving(ctx context.Context, c *Conn, handle func(m Message) error) <-chan error {
	return soon(func() error { return c.Serve(ctx, handle) })
}

func TestServe(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{})
		done := serving(t.Context(), c, func(m Message) error { return c.WriteMessage(m.Type, m.Data) })
		long := strings.Repeat("x", 100_000)
		for _, f := range []wstest.Frame{text("Hello"), text(""), {Opcode: wstest.Binary, Payload: long}, {Opcode: wstest.Binary, Payload: "\xff"}} {
			peer.Send(f)
			peer.Expect(f)
		}
		peer.Send(ping("x"))
		peer.Expect(pong("x"))
		peer.Send(wstest.CloseFrame(1000, ""))
		peer.Expect(wstest.CloseFrame(1000, ""))
		peer.Close()
		require.NoError(t, <-done)
		require.NoError(t, c.Close())
	})
}

// uncomparable is an error that can't be compared with ==.
type uncomparable []string

func (e uncomparable) Error() string { return strings.Join(e, " ") }

func TestServeEnds(t *testing.T) {
	t.Parallel()
	why := errors.New("why")
	tests := []struct {
		name   string
		handle func(s scene) error           // what the handler does, nil for nothing
		in     func(s scene)                 // how the peer, or the program, brings the end about
		err    func(t *testing.T, err error) // what Serve returns
		sent   wstest.Frame                  // our close frame
		answer bool                          // the peer answers it
	}{
		{
			name: "peer closes with 1000", in: func(s scene) { s.peer.Send(wstest.CloseFrame(1000, "x")) },
			err: isNil, sent: wstest.CloseFrame(1000, "x"),
		},
		{
			name: "peer closes with 1001", in: func(s scene) { s.peer.Send(wstest.CloseFrame(1001, "")) },
			err: isNil, sent: wstest.CloseFrame(1001, ""),
		},
		{
			name: "peer closes with another code", in: func(s scene) { s.peer.Send(wstest.CloseFrame(4000, "x")) },
			err: is(&CloseError{4000, "x"}), sent: wstest.CloseFrame(4000, "x"),
		},
		{
			name: "peer closes without a code", in: func(s scene) { s.peer.Send(wstest.Frame{Opcode: wstest.Close}) },
			err: is(&CloseError{Code: 1005}), sent: wstest.Frame{Opcode: wstest.Close},
		},
		{
			name: "peer breaks a rule", in: func(s scene) { s.peer.Send(wstest.Frame{Opcode: 3}) },
			err: is(errReservedOpcode), sent: wstest.CloseFrame(1002, "reserved opcode"),
		},
		{
			name: "message too long",
			in:   func(s scene) { s.c.SetReadLimit(4); s.peer.Send(text(""), text("Hello")) },
			err:  is(ErrReadLimit), sent: wstest.CloseFrame(1009, ""),
		},
		{
			name: "read deadline", in: func(s scene) { s.c.SetReadDeadline(time.Now().Add(time.Second)) },
			err: isDeadline, sent: wstest.CloseFrame(1011, ""), answer: true,
		},
		{
			name: "context", in: func(s scene) { s.cancel(why) },
			err: is(why), sent: wstest.CloseFrame(1001, ""), answer: true,
		},
		{
			name: "context whose cause can't be compared", in: func(s scene) { s.cancel(uncomparable{"why"}) },
			err: is(uncomparable{"why"}), sent: wstest.CloseFrame(1001, ""), answer: true,
		},
		{
			name: "context within a message",
			in: func(s scene) {
				s.peer.Send(wstest.Frame{More: true, Opcode: wstest.Text, Payload: "Hel"})
				synctest.Wait()
				s.cancel(nil)
			},
			err: is(context.Canceled), sent: wstest.CloseFrame(1001, ""),
		},
		{
			name: "handler's error", handle: func(s scene) error { return why }, in: sendText,
			err: is(why), sent: wstest.CloseFrame(1011, ""), answer: true,
		},
		{
			name: "handler's timeout of its own", handle: func(s scene) error { return context.DeadlineExceeded }, in: sendText,
			err: is(context.DeadlineExceeded), sent: wstest.CloseFrame(1011, ""), answer: true,
		},
		{
			name:   "handler notices the context",
			handle: func(s scene) error { s.cancel(why); return fmt.Errorf("noticed: %w", why) }, in: sendText,
			err: isWrapped(why), sent: wstest.CloseFrame(1001, ""), answer: true,
		},
		{
			name: "handler's CloseError", handle: func(s scene) error { return fmt.Errorf("x: %w", &CloseError{4000, "why"}) }, in: sendText,
			err: isWrapped(&CloseError{4000, "why"}), sent: wstest.CloseFrame(4000, "why"), answer: true,
		},
		{
			name: "handler's CloseError with code 1000", handle: func(s scene) error { return &CloseError{1000, "enough"} }, in: sendText,
			err: is(&CloseError{1000, "enough"}), sent: wstest.CloseFrame(1000, "enough"), answer: true,
		},
		{
			name: "handler's CloseError that can't be sent", handle: func(s scene) error { return &CloseError{1006, "why"} }, in: sendText,
			err: is(&CloseError{1006, "why"}), sent: wstest.CloseFrame(1011, "why"), answer: true,
		},
		{
			name: "handler's ProtocolError", handle: func(s scene) error { return &ProtocolError{1003, "no text"} }, in: sendText,
			err: is(&ProtocolError{1003, "no text"}), sent: wstest.CloseFrame(1003, ""), answer: true,
		},
		{
			name: "handler's ProtocolError that can't be sent", handle: func(s scene) error { return &ProtocolError{1, ""} }, in: sendText,
			err: is(&ProtocolError{1, ""}), sent: wstest.CloseFrame(1011, ""), answer: true,
		},
		{
			name: "handler's Shutdown", handle: func(s scene) error { return s.c.Shutdown(context.Background(), 4000, "bye") }, in: sendText,
			err: isNil, sent: wstest.CloseFrame(4000, "bye"), answer: true,
		},
		{
			name:   "handler's Shutdown and error",
			handle: func(s scene) error { s.c.Shutdown(context.Background(), 4000, "bye"); return why }, in: sendText,
			err: is(why), sent: wstest.CloseFrame(4000, "bye"), answer: true,
		},
		{
			name: "Shutdown from elsewhere",
			in:   func(s scene) { go s.c.Shutdown(context.Background(), 4000, "bye") },
			err:  isNil, sent: wstest.CloseFrame(4000, "bye"), answer: true,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, server bool) {
				c, peer := scripted(t, overPipe, server, Options{})
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				s := scene{c, peer, cancel}
				done := serving(ctx, c, func(m Message) error {
					if tt.handle == nil {
						return nil
					}
					return tt.handle(s)
				})
				synctest.Wait()
				tt.in(s)
				peer.Expect(tt.sent)
				if tt.answer {
					peer.Send(tt.sent)
				}
				peer.Drain() // a server ends the connection, a client gives up waiting for it
				tt.err(t, <-done)
				requireEnded(t, c)
			})
		})
	}
}

type scene struct {
	c      *Conn
	peer   *wstest.Peer
	cancel context.CancelCauseFunc
}

func sendText(s scene) { s.peer.Send(text("Hello")) }

func isNil(t *testing.T, err error)      { require.NoError(t, err) }
func isDeadline(t *testing.T, err error) { require.ErrorIs(t, err, os.ErrDeadlineExceeded) }
func is(want error) func(*testing.T, error) {
	return func(t *testing.T, err error) { require.Equal(t, want, err) }
}
func isWrapped(want error) func(*testing.T, error) {
	return func(t *testing.T, err error) { require.ErrorContains(t, err, want.Error()) }
}

func TestServeEndsWithClose(t *testing.T) {
	t.Parallel()
	t.Run("elsewhere", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			c, peer := scripted(t, overPipe, server, Options{})
			done := serving(t.Context(), c, func(m Message) error { return nil })
			synctest.Wait()
			require.NoError(t, c.Close())
			require.NoError(t, <-done)
			peer.ExpectEnd()
		})
	})
	t.Run("in the handler", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			c, peer := scripted(t, overPipe, server, Options{})
			calls := 0
			done := serving(t.Context(), c, func(m Message) error { calls++; return c.Close() })
			peer.Send(text("1"), text("2"), text("3"))
			require.NoError(t, <-done)
			require.Equal(t, 1, calls, "nothing is handed out after Close")
			peer.ExpectEnd()
		})
	})
	t.Run("before", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			c, _ := scripted(t, overPipe, server, Options{})
			require.NoError(t, c.Close())
			require.NoError(t, c.Serve(t.Context(), nil))
		})
	})
}

// After a Shutdown within the handler messages still come, until the peer's
// close frame or for CloseTimeout.
func TestServeAfterShutdownInHandler(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{CloseTimeout: 3 * time.Second})
		var messages []string
		done := serving(t.Context(), c, func(m Message) error {
			messages = append(messages, string(m.Data))
			if string(m.Data) == "2" {
				start := time.Now()
				require.NoError(t, c.Shutdown(t.Context(), 1000, ""))
				require.Zero(t, time.Since(start), "it does not wait")
			}
			return nil
		})
		peer.Send(text("1"), text("2"))
		peer.Expect(wstest.CloseFrame(1000, ""))
		peer.Send(text("3"))
		start := time.Now()
		require.ErrorIs(t, <-done, os.ErrDeadlineExceeded, "the peer did not answer")
		require.Equal(t, 3*time.Second, time.Since(start))
		require.Equal(t, []string{"1", "2", "3"}, messages)
		peer.ExpectEnd()
	})
}

// A handler that panics takes the connection with it: nobody is left to close it.
func TestServeHandlerPanics(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{PingInterval: time.Second})
		panicked := soon(func() (p any) {
			defer func() { p = recover() }()
			_ = c.Serve(t.Context(), func(m Message) error { panic("why") })
			return nil
		})
		peer.Send(text("Hello"))
		peer.Expect(wstest.CloseFrame(1011, ""))
		peer.Send(wstest.CloseFrame(1011, ""))
		require.Equal(t, "why", <-panicked)
		peer.Drain()
		requireEnded(t, c)
	})
}

// A message that lies in the read buffer is handed out where it lies, and one
// that does not in memory that goes back to the pools: between messages a loop
// holds nothing.
func TestServeDataIsLent(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{})
		large := strings.Repeat("x", 128<<10)
		var got []string
		done := serving(t.Context(), c, func(m Message) error {
			got = append(got, string(m.Data))
			if len(m.Data) < 10 {
				require.Same(t, &c.r.buf[c.r.pos-len(m.Data)], &m.Data[0])
			}
			return nil
		})
		peer.Send(text("1"), text("2"), text(large), text("4"))
		synctest.Wait()
		require.Nil(t, c.r.intake)
		peer.Send(wstest.CloseFrame(1000, ""))
		peer.Expect(wstest.CloseFrame(1000, ""))
		peer.Close()
		require.NoError(t, <-done)
		require.Equal(t, []string{"1", "2", large, "4"}, got)
	})
}

// Who appends to the data of a message does not write on the next one.
func TestServeDataHasNoRoom(t *testing.T) {
	t.Parallel()
	c, peer := scripted(t, overTCP, true, Options{})
	var got []string
	done := serving(t.Context(), c, func(m Message) error {
		got = append(got, string(append(m.Data, " and what a handler adds to it"...)))
		return nil
	})
	peer.Send(text("one"), text("two"), text("three"), wstest.CloseFrame(1000, ""))
	peer.Expect(wstest.CloseFrame(1000, ""))
	require.NoError(t, <-done)
	require.Equal(t, []string{"one and what a handler adds to it", "two and what a handler adds to it", "three and what a handler adds to it"}, got)
}

func TestLoopsDoNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates; run without -race")
	}
	serve := func(c *Conn) {
		_ = c.Serve(context.Background(), func(m Message) error { return c.WriteMessage(m.Type, m.Data) })
	}
	iterate := func(c *Conn) {
		for m, err := range c.Messages(context.Background()) {
			if err != nil || c.WriteMessage(m.Type, m.Data) != nil {
				return
			}
		}
	}
	start := func(c *Conn) {
		c.Start(func(m Message) error { return c.WriteMessage(m.Type, m.Data) }, nil)
	}
	sizes := []int{0, 10, 1000, 10_000, 100_000}
	for i, size := range slices.Concat(sizes, sizes, sizes) {
		loop := []func(c *Conn){serve, iterate, start}[i/len(sizes)]
		for _, agreed := range []*Compression{nil, {}} {
			clientEnd, serverEnd := wstest.TCP(t)
			client := NewConn(clientEnd, Negotiated{Compression: agreed}, Options{})
			server := NewConn(serverEnd, Negotiated{Server: true, Compression: agreed}, Options{})
			go loop(server)
			p := bytes.Repeat([]byte("0123456789"), size/10)
			dst := make([]byte, 0, size)
			require.Zero(t, testing.AllocsPerRun(100, func() {
				if err := client.WriteMessage(BinaryMessage, p); err != nil {
					t.Error(err)
				}
				if _, _, err := client.ReadMessageContext(context.Background(), dst); err != nil {
					t.Error(err)
				}
			}), "%d bytes, compressed %t", size, agreed != nil)
			client.Close()
			server.Close()
		}
	}
}

func TestMessages(t *testing.T) {
	t.Parallel()
	t.Run("break leaves the connection open", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			c, peer := scripted(t, overPipe, server, Options{})
			sent := soon(func() error {
				_, err := peer.Write(slices.Concat(peer.Encode(text("1")), peer.Encode(text("2")), peer.Encode(text("3"))))
				return err
			})
			var messages []string
			for m, err := range c.Messages(t.Context()) {
				require.NoError(t, err)
				messages = append(messages, fmt.Sprint(m.Type, " ", string(m.Data)))
				if len(messages) == 2 {
					break
				}
			}
			require.Equal(t, []string{"1 1", "1 2"}, messages)
			require.NoError(t, <-sent)
			requireMessage(t, TextMessage, "3", <-reading(c))
			require.NoError(t, c.Context().Err())
		})
	})
	ends := map[string]struct {
		in  func(c *Conn, peer *wstest.Peer, cancel func())
		err error
	}{
		"1000":    {func(_ *Conn, p *wstest.Peer, _ func()) { p.Send(wstest.CloseFrame(1000, "")); p.ExpectClose(1000) }, nil},
		"1001":    {func(_ *Conn, p *wstest.Peer, _ func()) { p.Send(wstest.CloseFrame(1001, "")); p.ExpectClose(1001) }, nil},
		"4000":    {func(_ *Conn, p *wstest.Peer, _ func()) { p.Send(wstest.CloseFrame(4000, "")); p.ExpectClose(4000) }, &CloseError{Code: 4000}},
		"EOF":     {func(_ *Conn, p *wstest.Peer, _ func()) { p.Close() }, &CloseError{1006, "unexpected EOF"}},
		"context": {func(_ *Conn, _ *wstest.Peer, cancel func()) { cancel() }, context.Canceled},
		"Close":   {func(c *Conn, _ *wstest.Peer, _ func()) { c.Close() }, errClosed},
	}
	for name, tt := range ends {
		t.Run(name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, server bool) {
				c, peer := scripted(t, overPipe, server, Options{})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var errs []error
				done := soon(func() bool {
					for m, err := range c.Messages(ctx) {
						require.Equal(t, Message{}, m)
						errs = append(errs, err)
					}
					return true
				})
				synctest.Wait()
				tt.in(c, peer, cancel)
				<-done
				if tt.err == nil {
					require.Empty(t, errs)
				} else {
					require.Equal(t, []error{tt.err}, errs)
				}
				peer.Close()
			})
		})
	}
}

// A context that ends between messages leaves the connection as it was.
func TestMessagesResume(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for _, err := range c.Messages(ctx) {
			require.Equal(t, context.DeadlineExceeded, err)
		}
		sent := soon(func() error { _, err := peer.Write(peer.Encode(text("Hello"))); return err })
		for m, err := range c.Messages(t.Context()) {
			require.NoError(t, err)
			require.Equal(t, "Hello", string(m.Data))
			break
		}
		require.NoError(t, <-sent)
	})
}

// Messages that lie in the buffer when ctx ends are not handled any more.
func TestServeEndsWithContextBetweenMessages(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{})
		ctx, cancel := context.WithCancel(t.Context())
		handled := 0
		done := serving(ctx, c, func(Message) error { handled++; cancel(); return nil })
		peer.Send(text("1"), text("2"), text("3"))
		peer.ExpectClose(1001)
		peer.Send(wstest.CloseFrame(1001, ""))
		require.Equal(t, context.Canceled, <-done)
		require.Equal(t, 1, handled)
		peer.Close()
	})
}

// A close frame in the middle of a message does not hide that half of it is lost.
func TestCloseWithinMessageIsAnError(t *testing.T) {
	t.Parallel()
	for name, read := range map[string]func(c *Conn) error{
		"Serve": func(c *Conn) error { return c.Serve(context.Background(), func(Message) error { return nil }) },
		"Messages": func(c *Conn) error {
			for _, err := range c.Messages(context.Background()) {
				return err
			}
			return nil
		},
		"Stream": func(c *Conn) error {
			s := c.Stream(TextMessage)
			_, err := io.ReadAll(s)
			_, again := s.Read(make([]byte, 1))
			return errors.Join(err, again)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, server bool) {
				c, peer := scripted(t, overPipe, server, Options{})
				done := soon(func() error { return read(c) })
				peer.Send(wstest.Frame{More: true, Opcode: wstest.Text, Payload: "half"}, wstest.CloseFrame(1000, ""))
				peer.Expect(wstest.CloseFrame(1000, ""))
				err := <-done
				require.True(t, IsCloseError(err, 1000) || errors.Is(err, io.ErrUnexpectedEOF), "%v", err)
				require.NotErrorIs(t, err, io.EOF)
				peer.Close()
			})
		})
	}
}

// What the program ends itself is no loss, also in the middle of a message.
func TestServeClosedWithinMessage(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{})
		done := serving(t.Context(), c, func(Message) error { return nil })
		peer.Send(wstest.Frame{More: true, Opcode: wstest.Text, Payload: "half"})
		synctest.Wait()
		require.NoError(t, c.Close())
		require.NoError(t, <-done)
		peer.Close()
	})
}

// A counted connection counts writes.
type counted struct {
	net.Conn
	writes atomic.Int32
}

func (c *counted) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// While more messages lie in the buffer, answers are held and go out together.
func TestServeHoldsWrites(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		messages int
		handle   func(c *Conn, m Message) error
		want     func(i int) []wstest.Frame // the answer to a message
		writes   int
	}{
		"one message": {1, echoBack, echoed, 1},
		"many":        {20, echoBack, echoed, 1},
		"large answers": {9, func(c *Conn, m Message) error {
			return c.WriteMessage(m.Type, []byte(string(m.Data)+some(holdBytes/3)))
		},
			func(i int) []wstest.Frame { return []wstest.Frame{textFrame(fmt.Sprint(i) + some(holdBytes/3))} }, 3},
		"very large answers": {3, func(c *Conn, m Message) error {
			return c.WriteMessage(m.Type, []byte(string(m.Data)+some(smallMessage)))
		},
			func(i int) []wstest.Frame { return []wstest.Frame{textFrame(fmt.Sprint(i) + some(smallMessage))} }, 3},
		"no answer to the last": {5, func(c *Conn, m Message) error {
			if string(m.Data) == "4" {
				return nil
			}
			return echoBack(c, m)
		}, func(i int) []wstest.Frame { return echoed(i)[:min(1, 4-i)] }, 1},
		"Flush": {4, func(c *Conn, m Message) error { return errors.Join(echoBack(c, m), c.Flush()) }, echoed, 4},
		"several answers, in several ways": {3, func(c *Conn, m Message) error {
			pm, err := NewPreparedMessage(BinaryMessage, m.Data)
			return errors.Join(err, echoBack(c, m), c.WritePreparedMessage(pm), c.TryWriteMessage(BinaryMessage, m.Data))
		}, func(i int) []wstest.Frame {
			p := fmt.Sprint(i)
			return []wstest.Frame{textFrame(p), binaryFrame(p), binaryFrame(p)}
		}, 3},
		"another goroutine": {3, func(c *Conn, m Message) error { return <-soon(func() error { return echoBack(c, m) }) }, echoed, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				near, far := wstest.Pipe(t)
				var frames, want []wstest.Frame
				for i := range tc.messages {
					frames = append(frames, textFrame(fmt.Sprint(i)))
					want = append(want, tc.want(i)...)
				}
				nc := &counted{Conn: near}
				c := NewConn(nc, Negotiated{Server: true, Buffered: bytesOf(true, frames...)}, Options{})
				served := soon(func() error {
					return c.Serve(t.Context(), func(m Message) error { return tc.handle(c, m) })
				})
				peer := wstest.NewClient(t, far)
				peer.Expect(want...)
				require.EqualValues(t, tc.writes, nc.writes.Load())
				peer.Send(wstest.CloseFrame(1000, ""))
				peer.ExpectClose(1000)
				require.NoError(t, <-served)
			})
		})
	}
}

func echoBack(c *Conn, m Message) error { return c.WriteMessage(m.Type, m.Data) }
func echoed(i int) []wstest.Frame       { return []wstest.Frame{textFrame(fmt.Sprint(i))} }

// Held answers do not wait for a handler that takes its time, nor for the rest of a
// message whose beginning is here, nor for the end of Serve.
func TestServeDoesNotHoldForLong(t *testing.T) {
	t.Parallel()
	t.Run("a handler that hangs", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			c, peer := scripted(t, overPipe, true, Options{})
			goOn := make(chan struct{})
			served := soon(func() error {
				return c.Serve(t.Context(), func(m Message) error {
					if string(m.Data) == "hang" {
						<-goOn
					}
					return echoBack(c, m)
				})
			})
			peer.Send(textFrame("1"), textFrame("2"), textFrame("hang"), textFrame("3"))
			begun := time.Now()
			peer.Expect(textFrame("1"), textFrame("2"))
			require.Equal(t, hangTime, time.Since(begun))
			close(goOn)
			peer.Expect(textFrame("hang"), textFrame("3"))
			require.NoError(t, c.Close())
			require.NoError(t, <-served)
		})
	})
	t.Run("slow handlers", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			c, peer := scripted(t, overPipe, true, Options{})
			served := soon(func() error {
				return c.Serve(t.Context(), func(m Message) error {
					time.Sleep(holdTime / 2)
					return echoBack(c, m)
				})
			})
			peer.Send(textFrame("1"), textFrame("2"), textFrame("3"), textFrame("4"), textFrame("5"))
			begun := time.Now()
			peer.Expect(textFrame("1"))
			require.LessOrEqual(t, time.Since(begun), 2*holdTime)
			peer.Expect(textFrame("2"), textFrame("3"), textFrame("4"), textFrame("5"))
			require.NoError(t, c.Close())
			require.NoError(t, <-served)
		})
	})
	t.Run("a message that is not here yet", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			c, peer := scripted(t, overPipe, true, Options{})
			served := soon(func() error {
				return c.Serve(t.Context(), func(m Message) error { return echoBack(c, m) })
			})
			begun := time.Now()
			peer.Send(textFrame("1"), textFirst("2"))
			peer.Expect(textFrame("1"))
			peer.Send(middleFrame("3"), lastFrame("4"), textFirst("5"))
			peer.Expect(textFrame("234"))
			require.Zero(t, time.Since(begun))
			require.NoError(t, c.Close())
			require.NoError(t, <-served)
		})
	})
	t.Run("the handler ends it", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			c, peer := scripted(t, overPipe, true, Options{})
			served := soon(func() error {
				return c.Serve(t.Context(), func(m Message) error {
					if string(m.Data) == "end" {
						return io.EOF
					}
					return echoBack(c, m)
				})
			})
			peer.Send(textFrame("1"), textFrame("2"), textFrame("end"), textFrame("3"))
			peer.Expect(textFrame("1"), textFrame("2"))
			peer.ExpectClose(CloseInternalServerErr)
			peer.Send(wstest.CloseFrame(CloseInternalServerErr, ""))
			require.Equal(t, io.EOF, <-served)
		})
	})
	t.Run("Close within the handler", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			c, peer := scripted(t, overPipe, true, Options{})
			served := soon(func() error {
				return c.Serve(t.Context(), func(m Message) error {
					if string(m.Data) == "close" {
						return c.Close()
					}
					return echoBack(c, m)
				})
			})
			peer.Send(textFrame("1"), textFrame("2"), textFrame("close"), textFrame("3"))
			peer.Expect(textFrame("1"), textFrame("2"))
			peer.ExpectEnd()
			require.NoError(t, <-served)
		})
	})
}

// A peer that can't be written to any more is not served for long, whatever it goes
// on saying: what it has said so far is handed out.
func TestServeEndsAfterAFailedWrite(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ closeTimeout, patience time.Duration }{
		{0, time.Second},
		{2 * time.Second, time.Second},
		{500 * time.Millisecond, 500 * time.Millisecond},
	} {
		inBubbles(t, func(t *testing.T, server bool) {
			var g Group
			c, peer := scripted(t, overPipe, server, Options{WriteTimeout: time.Second, CloseTimeout: tc.closeTimeout, Group: &g})
			handled := 0
			begun := time.Now()
			served := soon(func() error {
				return c.Serve(t.Context(), func(Message) error { handled++; return nil })
			})
			g.Broadcast(prepared(t, "nobody reads this"))
			talked := soon(func() error {
				for {
					if _, err := peer.Write(peer.Encode(textFrame("but I talk"))); err != nil {
						return err
					}
					time.Sleep(100 * time.Millisecond)
				}
			})
			require.ErrorIs(t, <-served, os.ErrDeadlineExceeded)
			took := time.Second + tc.patience
			require.Equal(t, took, time.Since(begun).Round(time.Millisecond))
			require.GreaterOrEqual(t, handled, int(took/(100*time.Millisecond))-1)
			require.Zero(t, g.Len())
			require.Error(t, <-talked)
		})
	}
}

// Who has ended its side without a close frame is not sent one.
func TestServeAPeerThatVanishes(t *testing.T) {
	noLeaks(t)
	for _, server := range []bool{true, false} {
		clientEnd, serverEnd := wstest.TCP(t)
		near, far := serverEnd, clientEnd
		if !server {
			near, far = clientEnd, serverEnd
		}
		c := NewConn(near, Negotiated{Server: server}, Options{})
		peer := wstest.NewServer(t, far)
		if server {
			peer = wstest.NewClient(t, far)
		}
		served := soon(func() error {
			return c.Serve(t.Context(), func(m Message) error { return echoBack(c, m) })
		})
		peer.Send(textFrame("1"), textFrame("2"))
		require.NoError(t, far.CloseWrite())
		peer.Expect(textFrame("1"), textFrame("2"))
		peer.ExpectEnd()
		require.True(t, IsCloseError(<-served, CloseAbnormalClosure))
		require.ErrorIs(t, c.WriteMessage(TextMessage, nil), net.ErrClosed)
	}
}

// The peer of a handler that panics is told, but the panic does not wait for the peer.
func TestServePanicIsPrompt(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{})
		panicked := soon(func() (reason any) {
			defer func() { reason = recover() }()
			return c.Serve(t.Context(), func(Message) error { panic("why") })
		})
		peer.Send(textFrame("Hello"))
		begun := time.Now()
		peer.ExpectClose(CloseInternalServerErr)
		require.Equal(t, "why", <-panicked)
		require.LessOrEqual(t, time.Since(begun), closePatience)
	})
}

// What was accepted and can't be sent, since a message of a NextWriter is open when the
// close frame goes, is told by the program's Close, although the loop has closed the
// connection before it.
func TestLoopLeavesLossesToClose(t *testing.T) {
	t.Parallel()
	for name, loop := range map[string]func(c *Conn) error{
		"Serve": func(c *Conn) error { return c.Serve(context.Background(), func(Message) error { return nil }) },
		"Start": func(c *Conn) error {
			done := make(chan error)
			c.Start(func(Message) error { return nil }, func(err error) { done <- err })
			return <-done
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, peer := scripted(t, overTCP, true, Options{})
			mw, err := c.NextWriter(BinaryMessage)
			require.NoError(t, err)
			_, err = mw.Write(make([]byte, 3*defaultBufferSize)) // which sends a fragment
			require.NoError(t, err)
			require.NoError(t, c.TryWriteMessage(TextMessage, []byte("queued")))
			ended := soon(func() error { return loop(c) })
			peer.Send(wstest.CloseFrame(1000, ""))
			require.NoError(t, <-ended)
			require.Equal(t, errMessageOpen, c.Close())
			require.NoError(t, c.Close(), "another Close does nothing")
		})
	}
}
