package websocket

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket/internal/wstest"
)

func shuttingDown(ctx context.Context, c *Conn, code int, reason string) <-chan error {
	return soon(func() error { return c.Shutdown(ctx, code, reason) })
}

// requireEnded checks that the network connection of c was closed on our side.
func requireEnded(t testing.TB, c *Conn) {
	t.Helper()
	for range 1000 {
		if err := c.line.nc.SetWriteDeadline(time.Time{}); err != nil { // the read deadline may be in use
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("the network connection is open")
}

func TestPeerClosesFirst(t *testing.T) {
	noLeaks(t)
	frames := map[string]wstest.Frame{
		"no code":         {Opcode: wstest.Close},
		"code":            wstest.CloseFrame(1000, ""),
		"code and reason": wstest.CloseFrame(4999, "☺"),
		"longest reason":  wstest.CloseFrame(1001, strings.Repeat("r", 123)),
	}
	for name, frame := range frames {
		for linkName, over := range map[string]link{"pipe": overPipe, "TCP": overTCP, "TLS": overTLS, "HTTP/2": overHTTP2} {
			for _, server := range []bool{true, false} {
				t.Run(strings.Join([]string{name, linkName, roleName(server)}, "/"), func(t *testing.T) {
					c, peer := scripted(t, over, server, Options{})
					read := reading(c)
					peer.Send(frame)
					peer.Expect(frame)
					err := requireNothing(t, <-read)
					code, reason, _ := parseClosePayload([]byte(frame.Payload))
					require.Equal(t, &CloseError{code, reason}, err)
					requireSticky(t, c, err)
					requireCloseSent(t, c)
					if server {
						peer.ExpectEnd() // the server ends the TCP connection
					} else {
						require.NoError(t, c.line.nc.SetWriteDeadline(time.Time{}), "the client waits for the server")
					}
					peer.Close()
					requireEnded(t, c)
					require.NoError(t, c.Close())
					require.NoError(t, c.Shutdown(t.Context(), 0, ""))
				})
			}
		}
	}
}

// A client whose server does not end the connection does so itself in the end.
func TestClientWaitsForServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, peer := scripted(t, overPipe, false, Options{CloseTimeout: 3 * time.Second})
		read := reading(c)
		peer.Send(wstest.CloseFrame(1000, ""))
		peer.Expect(wstest.CloseFrame(1000, ""))
		<-read
		start := time.Now()
		peer.ExpectEnd()
		require.Equal(t, 3*time.Second, time.Since(start))
	})
}

func TestBothCloseAtOnce(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{})
		done := shuttingDown(t.Context(), c, 4000, "ours")
		synctest.Wait() // it is writing
		crossing := soon(func() error { _, err := peer.Write(peer.Encode(wstest.CloseFrame(4001, "theirs"))); return err })
		peer.Expect(wstest.CloseFrame(4000, "ours"))
		require.NoError(t, <-crossing)
		if !server {
			peer.Close()
		} else {
			peer.ExpectEnd()
		}
		require.NoError(t, <-done)
		requireSticky(t, c, &CloseError{4001, "theirs"})
	})
	t.Run("both ours", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			ours, theirs := connected(t, overPipe, server, Options{})
			one, two := shuttingDown(t.Context(), ours, 4000, ""), shuttingDown(t.Context(), theirs, 4001, "")
			require.NoError(t, <-one)
			require.NoError(t, <-two)
		})
	})
}

// After the peer broke a rule it learns why, even if it has not read while it sent
// as much as a lingerer discards: the close frame arrives, and no reset.
func TestNoResetOverLastWords(t *testing.T) {
	noLeaks(t)
	for linkName, over := range map[string]link{"TCP": overTCP, "TLS": overTLS} {
		for _, server := range []bool{true, false} {
			t.Run(linkName+"/"+roleName(server), func(t *testing.T) {
				c, peer := scripted(t, over, server, Options{ReadLimit: 1 << 10})
				read := reading(c)
				peer.SendRaw(FrameHeader{Fin: true, Opcode: BinaryMessage, Masked: server, Length: 1 << 40}.Append(nil))
				sent := soon(func() error {
					chunk := make([]byte, 32<<10)
					for range lingerBytes/len(chunk) - 1 {
						if _, err := peer.Write(chunk); err != nil {
							return err
						}
					}
					return nil
				})
				require.NoError(t, <-sent, "a reset")
				peer.ExpectClose(CloseMessageTooBig)
				peer.ExpectEnd()
				require.Equal(t, ErrReadLimit, (<-read).err)
				require.NoError(t, c.Close())
				peer.Close()
				requireEnded(t, c)
			})
		}
	}
}

// The program's Close right after the error does not hurry it.
func TestCloseAfterFailureDoesNotReset(t *testing.T) {
	noLeaks(t)
	for _, server := range []bool{true, false} {
		t.Run(roleName(server), func(t *testing.T) {
			c, peer := scripted(t, overTCP, server, Options{})
			closed := soon(func() error {
				c.ReadMessage()
				return c.Close()
			})
			b := peer.Encode(wstest.Frame{Opcode: 3})
			peer.SendRaw(append(b, make([]byte, 100<<10)...))
			require.NoError(t, <-closed)
			peer.SendRaw(make([]byte, 100<<10))
			peer.ExpectClose(CloseProtocolError)
			peer.ExpectEnd()
			peer.Close()
		})
	}
}

// A peer that goes on sending does not keep the connection for ever.
func TestLingerIsBounded(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{})
		read := reading(c)
		peer.Send(wstest.Frame{Opcode: 3})
		peer.ExpectClose(CloseProtocolError)
		require.Equal(t, errReservedOpcode, (<-read).err)
		start := time.Now()
		peer.ExpectEnd()
		require.Equal(t, lingerTime, time.Since(start))
	})
}

func TestClose(t *testing.T) {
	t.Parallel()
	t.Run("releases everybody", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			c, _ := scripted(t, overPipe, server, Options{})
			ctx := c.Context()
			start := time.Now()
			reads := []<-chan got{reading(c), reading(c)}
			large := make([]byte, 100_000) // a small one might be accepted
			pm, err := NewPreparedMessage(TextMessage, large)
			require.NoError(t, err)
			writes := []<-chan error{
				soon(func() error { return c.WriteMessage(TextMessage, large) }),
				soon(func() error { return c.WriteMessage(BinaryMessage, large) }),
				soon(func() error { return c.WriteControl(PingMessage, nil, time.Time{}) }),
				soon(func() error { return c.WritePreparedMessage(pm) }),
				soon(func() error { _, err := c.Ping(context.Background()); return err }),
			}
			synctest.Wait() // lest one of them come after Shutdown, whose close frame is its end
			writes = append(writes, soon(func() error { return c.Shutdown(context.Background(), 0, "") }))
			synctest.Wait()
			require.NoError(t, c.Close())
			for _, read := range reads {
				require.ErrorIs(t, requireNothing(t, <-read), net.ErrClosed)
			}
			for _, write := range writes {
				require.ErrorIs(t, <-write, net.ErrClosed)
			}
			require.Zero(t, time.Since(start))
			require.ErrorIs(t, context.Cause(ctx), net.ErrClosed)
			for range 3 {
				require.NoError(t, c.Close())
			}
			requireSticky(t, c, errClosed)
			require.Equal(t, errClosed, c.WriteMessage(TextMessage, nil))
			require.Equal(t, errClosed, c.Shutdown(t.Context(), 0, ""))
		})
	})
	t.Run("over sockets", func(t *testing.T) {
		for name, over := range map[string]link{"TCP": overTCP, "TLS": overTLS} {
			for _, server := range []bool{true, false} {
				c, peer := scripted(t, over, server, Options{})
				read := reading(c)
				write := soon(func() error {
					for {
						if err := c.WriteMessage(BinaryMessage, make([]byte, 1<<20)); err != nil {
							return err
						}
					}
				})
				_, err := io.ReadFull(peer, make([]byte, 10))
				require.NoError(t, err, name)
				require.NoError(t, c.Close())
				require.ErrorIs(t, (<-read).err, net.ErrClosed)
				require.ErrorIs(t, <-write, net.ErrClosed)
			}
		}
	})
	t.Run("sends what is owed", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			c, peer := scripted(t, overPipe, server, Options{})
			wrote := soon(func() error { return c.WriteMessage(TextMessage, []byte("slow")) })
			read := reading(c)
			synctest.Wait()
			peer.Send(ping("1"), wstest.CloseFrame(4000, "bye"))
			require.Equal(t, &CloseError{4000, "bye"}, (<-read).err)
			start := time.Now()
			closed := soon(c.Close)
			synctest.Wait()
			require.NoError(t, c.Close(), "a second one does not wait")
			require.Zero(t, time.Since(start))
			peer.Expect(text("slow"), pong("1"), wstest.CloseFrame(4000, "bye"))
			require.NoError(t, <-wrote)
			require.NoError(t, <-closed)
			if server {
				peer.ExpectEnd()
			}
			peer.Close()
		})
	})
	t.Run("sends a pong that is owed", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			c, peer := scripted(t, overPipe, server, Options{})
			wrote := soon(func() error { return c.WriteMessage(TextMessage, []byte("slow")) })
			read := reading(c)
			synctest.Wait()
			peer.Send(ping("1"))
			synctest.Wait()
			closed := soon(c.Close)
			require.ErrorIs(t, (<-read).err, net.ErrClosed, "readers do not wait")
			peer.Expect(text("slow"), pong("1"))
			require.NoError(t, <-wrote)
			require.NoError(t, <-closed)
			peer.ExpectEnd()
		})
	})
	t.Run("waits a second for it and no longer", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			c, peer := scripted(t, overPipe, server, Options{})
			read := reading(c)
			peer.Send(ping("1"))
			synctest.Wait()
			start := time.Now()
			require.NoError(t, c.Close())
			require.Equal(t, time.Second, time.Since(start))
			require.ErrorIs(t, (<-read).err, net.ErrClosed)
			peer.ExpectEnd()
		})
	})
	t.Run("write deadline before that second", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			c, peer := scripted(t, overPipe, server, Options{WriteTimeout: time.Second / 2})
			read := reading(c)
			peer.Send(ping("1"))
			synctest.Wait()
			start := time.Now()
			require.NoError(t, c.Close())
			require.Equal(t, time.Second/2, time.Since(start))
			<-read
		})
	})
}

// The answer to the peer's close frame can't be sent, and the program does not
// call Close: the connection is given up after CloseTimeout.
func TestEchoThatCantBeSent(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{CloseTimeout: 3 * time.Second})
		read := reading(c)
		peer.Send(wstest.CloseFrame(1000, ""))
		require.Equal(t, &CloseError{Code: 1000}, (<-read).err)
		time.Sleep(3*time.Second - 1)
		require.NoError(t, c.line.nc.SetWriteDeadline(time.Time{}), "open")
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		require.Error(t, c.line.nc.SetWriteDeadline(time.Time{}), "closed")
		requireSticky(t, c, &CloseError{Code: 1000})
	})
}

func TestShutdownCodes(t *testing.T) {
	t.Parallel()
	valid := map[int]int{0: 1000, 1000: 1000, 1001: 1001, 1002: 1002, 1003: 1003, 1007: 1007, 1011: 1011, 1014: 1014, 3000: 3000, 4999: 4999}
	for code, sent := range valid {
		inBubblesOnce(t, func(t *testing.T) {
			c, peer := scripted(t, overPipe, true, Options{})
			done := shuttingDown(t.Context(), c, code, "why")
			peer.Expect(wstest.CloseFrame(sent, "why"))
			peer.Send(wstest.CloseFrame(sent, "why"))
			require.NoError(t, <-done)
			peer.ExpectEnd()
		})
	}
	for _, code := range []int{-1, 1, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65_536, 65_536 + 1000} {
		inBubblesOnce(t, func(t *testing.T) {
			c, peer := scripted(t, overPipe, false, Options{})
			require.Error(t, c.Shutdown(t.Context(), code, ""))
			require.NoError(t, c.Context().Err(), "nothing happened")
			read := reading(c)
			peer.ExpectNothing()
			c.Close()
			<-read
		})
	}
}

func inBubblesOnce(t *testing.T, f func(t *testing.T)) { synctest.Test(t, f) }

func TestShutdownReason(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ reason, sent string }{
		"fits":          {strings.Repeat("r", 123), strings.Repeat("r", 123)},
		"cut":           {strings.Repeat("r", 200), strings.Repeat("r", 123)},
		"cut at a rune": {strings.Repeat("r", 121) + "☺☺", strings.Repeat("r", 121)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, server bool) {
				c, peer := scripted(t, overPipe, server, Options{})
				done := shuttingDown(t.Context(), c, 1000, tt.reason)
				peer.Expect(wstest.CloseFrame(1000, tt.sent))
				peer.Send(wstest.CloseFrame(1000, ""))
				if !server {
					peer.Close()
				}
				require.NoError(t, <-done)
			})
		})
	}
}

func TestShutdown(t *testing.T) {
	t.Parallel()
	t.Run("nobody reads", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			c, peer := scripted(t, overPipe, server, Options{ReadLimit: 10})
			done := shuttingDown(t.Context(), c, 4000, "bye")
			peer.Expect(wstest.CloseFrame(4000, "bye"))
			peer.Send(text("discarded"), text(strings.Repeat("longer than the limit", 100)), ping("not answered"), text("\xff"))
			synctest.Wait()
			require.Empty(t, done)
			peer.Send(wstest.CloseFrame(4000, "bye"))
			if server {
				peer.ExpectEnd()
			} else {
				peer.Close()
			}
			require.NoError(t, <-done)
			requireSticky(t, c, &CloseError{4000, "bye"})
			require.NoError(t, c.Shutdown(t.Context(), 1000, ""), "a second time")
		})
	})
	t.Run("somebody reads", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			c, peer := scripted(t, overPipe, server, Options{})
			var messages []string
			read := soon(func() error {
				for {
					_, p, err := c.ReadMessage()
					if err != nil {
						return err
					}
					messages = append(messages, string(p))
				}
			})
			synctest.Wait()
			done := shuttingDown(t.Context(), c, 1000, "")
			peer.Expect(wstest.CloseFrame(1000, ""))
			peer.Send(text("1"))
			time.Sleep(time.Second)
			peer.Send(text("2"), text("3"), wstest.CloseFrame(1000, "bye"))
			require.NoError(t, <-done)
			require.Equal(t, &CloseError{1000, "bye"}, <-read)
			require.Equal(t, []string{"1", "2", "3"}, messages)
			peer.Close()
		})
	})
	t.Run("somebody is in the middle of a message", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			c, peer := scripted(t, overPipe, server, Options{})
			begun := soon(func() io.Reader { _, r, _ := c.NextReader(); return r })
			frame := peer.Encode(text("Hello"))
			peer.SendRaw(frame[:len(frame)-3])
			r := <-begun
			_, err := io.ReadFull(r, make([]byte, 1))
			require.NoError(t, err)
			done := shuttingDown(t.Context(), c, 1000, "")
			peer.Expect(wstest.CloseFrame(1000, ""))
			rest := soon(func() string { p, _ := io.ReadAll(r); return string(p) })
			peer.SendRaw(frame[len(frame)-3:])
			require.Equal(t, "ello", <-rest)
			peer.Send(wstest.CloseFrame(1000, ""))
			if !server {
				peer.Close()
			}
			require.NoError(t, <-done)
		})
	})
	t.Run("a reader that stopped in the middle of a message", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			c, peer := scripted(t, overPipe, server, Options{})
			begun := soon(func() io.Reader { _, r, _ := c.NextReader(); return r })
			frame := peer.Encode(text("Hello"))
			peer.SendRaw(frame[:len(frame)-3])
			<-begun
			done := shuttingDown(t.Context(), c, 1000, "")
			peer.Expect(wstest.CloseFrame(1000, ""))
			peer.SendRaw(append(frame[len(frame)-3:], peer.Encode(wstest.CloseFrame(1000, ""))...))
			require.NoError(t, <-done)
			peer.Close()
		})
	})
	t.Run("peer was first", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			c, peer := scripted(t, overPipe, server, Options{})
			c.SetCloseHandler(func(int, string) error { return nil })
			read := reading(c)
			peer.Send(wstest.CloseFrame(4000, ""))
			<-read
			done := shuttingDown(t.Context(), c, 4001, "answer")
			peer.Expect(wstest.CloseFrame(4001, "answer"))
			require.NoError(t, <-done)
			if server {
				peer.ExpectEnd()
			}
			peer.Close()
		})
	})
	t.Run("twice at once", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			c, peer := scripted(t, overPipe, server, Options{})
			one := shuttingDown(t.Context(), c, 4000, "one")
			synctest.Wait()
			two := shuttingDown(t.Context(), c, 4001, "two")
			peer.Expect(wstest.CloseFrame(4000, "one"))
			peer.Send(wstest.CloseFrame(4000, "one"))
			require.NoError(t, <-one)
			require.NoError(t, <-two)
			peer.Close()
		})
	})
	t.Run("peer ends without a close frame", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			c, peer := scripted(t, overPipe, server, Options{})
			done := shuttingDown(t.Context(), c, 1000, "")
			peer.Expect(wstest.CloseFrame(1000, ""))
			peer.Close()
			require.True(t, IsCloseError(<-done, CloseAbnormalClosure))
		})
	})
	t.Run("writing side has failed", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			c, peer := scripted(t, overPipe, server, Options{WriteTimeout: time.Second})
			err := c.WriteMessage(TextMessage, nil)
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			require.Equal(t, err, c.Shutdown(t.Context(), 1000, ""))
			peer.ExpectEnd()
		})
	})
	t.Run("message waits for an open NextWriter", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			c, peer := scripted(t, overPipe, server, Options{})
			w, err := c.NextWriter(TextMessage)
			require.NoError(t, err)
			sent := soon(func() error { _, err := w.Write(make([]byte, defaultBufferSize+1)); return err })
			peer.Receive()
			require.NoError(t, <-sent)
			done := shuttingDown(t.Context(), c, 1000, "")
			peer.Expect(wstest.CloseFrame(1000, ""))
			require.Equal(t, ErrCloseSent, w.Close())
			peer.Send(wstest.CloseFrame(1000, ""))
			require.NoError(t, <-done)
			peer.Close()
		})
	})
}

// The deadline of the program's reads, which may be long past, is not for the
// peer's close frame.
func TestShutdownAfterReadDeadline(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{})
		require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Second)))
		require.ErrorIs(t, (<-reading(c)).err, os.ErrDeadlineExceeded)
		done := shuttingDown(t.Context(), c, 4000, "idle")
		peer.Expect(wstest.CloseFrame(4000, "idle"))
		time.Sleep(time.Second)
		peer.Send(wstest.CloseFrame(4000, "idle"))
		if server {
			peer.ExpectEnd()
		}
		peer.Close()
		require.NoError(t, <-done)
	})
}

func TestShutdownIsBounded(t *testing.T) {
	t.Parallel()
	why := errors.New("why")
	for _, state := range []string{"write blocked", "turn taken", "no answer", "no answer to a reader", "stopped within a message"} {
		bounds := map[string]struct {
			ctx   func(t *testing.T) context.Context
			after time.Duration
			err   error
		}{
			"CloseTimeout": {func(t *testing.T) context.Context { return t.Context() }, 3 * time.Second, os.ErrDeadlineExceeded},
			"longer deadline": {func(t *testing.T) context.Context {
				ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Second, why)
				t.Cleanup(cancel)
				return ctx
			}, 10 * time.Second, why},
			"cancelled": {func(t *testing.T) context.Context {
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(time.Second, func() { cancel(why) })
				return ctx
			}, time.Second, why},
		}
		for name, bound := range bounds {
			t.Run(state+"/"+name, func(t *testing.T) {
				inBubbles(t, func(t *testing.T, server bool) {
					c, peer := scripted(t, overPipe, server, Options{CloseTimeout: 3 * time.Second})
					switch state {
					case "turn taken":
						go c.WriteMessage(TextMessage, []byte("slow"))
					case "no answer to a reader":
						go c.ReadMessage()
					case "stopped within a message":
						go c.NextReader()
						frame := peer.Encode(text("Hello"))
						peer.SendRaw(frame[:len(frame)-1])
					}
					synctest.Wait()
					start := time.Now()
					done := shuttingDown(bound.ctx(t), c, 1000, "")
					if strings.Contains(state, "no answer") || state == "stopped within a message" {
						peer.Expect(wstest.CloseFrame(1000, ""))
					}
					err := <-done
					require.ErrorIs(t, err, bound.err)
					require.Equal(t, bound.after, time.Since(start))
					synctest.Wait()
					require.Error(t, c.line.nc.SetWriteDeadline(time.Time{}), "closed")
				})
			})
		}
	}
}

func TestShutdownContextDoneBefore(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, _ := scripted(t, overPipe, server, Options{})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.Equal(t, context.Canceled, c.Shutdown(ctx, 1000, ""))
		synctest.Wait()
		require.Error(t, c.line.nc.SetWriteDeadline(time.Time{}), "closed")
	})
}

// Two of ours over a socket, with messages under way in both directions.
func TestShutdownOverSockets(t *testing.T) {
	noLeaks(t)
	for name, over := range map[string]link{"TCP": overTCP, "TLS": overTLS} {
		for _, server := range []bool{true, false} {
			t.Run(name+"/"+roleName(server), func(t *testing.T) {
				ours, theirs := connected(t, over, server, Options{})
				wrote := soon(func() (n int) {
					for theirs.WriteMessage(BinaryMessage, make([]byte, 10_000)) == nil {
						n++
					}
					return n
				})
				peerRead := soon(func() error { _, _, err := theirs.ReadMessage(); return err })
				count := 0
				for m, err := range ours.Messages(t.Context()) {
					require.NoError(t, err)
					require.Len(t, m.Data, 10_000)
					if count++; count == 10 {
						break
					}
				}
				require.NoError(t, ours.Shutdown(t.Context(), CloseGoingAway, "bye"))
				require.Equal(t, &CloseError{CloseGoingAway, "bye"}, <-peerRead)
				require.GreaterOrEqual(t, <-wrote, 10)
				requireEnded(t, ours)
				requireEnded(t, theirs)
			})
		}
	}
}

// Whatever comes together at the end, everybody returns and nothing is left.
func TestEndsInAnyOrder(t *testing.T) {
	noLeaks(t)
	for _, over := range []link{overPipe, overTCP} {
		for range 150 {
			ours, theirs := connected(t, over, true, Options{PingInterval: time.Millisecond, PingTimeout: time.Minute, CloseTimeout: time.Second})
			done := []<-chan error{
				soon(func() error {
					return ours.Serve(context.Background(), func(m Message) error { return ours.WriteMessage(m.Type, m.Data) })
				}),
				soon(func() error {
					for theirs.WriteMessage(TextMessage, []byte("Hello")) == nil {
					}
					return nil
				}),
				soon(func() error {
					for {
						if _, _, err := theirs.ReadMessage(); err != nil {
							return err
						}
					}
				}),
				soon(func() error { return ours.Shutdown(context.Background(), 0, "") }),
				soon(func() error { return theirs.Shutdown(context.Background(), 0, "") }),
				soon(theirs.Close),
				soon(ours.Close),
			}
			for _, d := range done {
				<-d
			}
		}
	}
}

// A reader who is busy with a message when Shutdown is called, and when others
// come, gets them all the same.
func TestShutdownLeavesMessagesToASlowReader(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{})
		var got []string
		read := soon(func() error {
			for {
				_, p, err := c.ReadMessage()
				if err != nil {
					return err
				}
				got = append(got, string(p))
				time.Sleep(readerGrace - time.Millisecond)
			}
		})
		peer.Send(text("1"))
		synctest.Wait() // the reader is busy with it
		done := shuttingDown(t.Context(), c, 1000, "")
		peer.Expect(wstest.CloseFrame(1000, ""))
		go peer.Write(slices.Concat(peer.Encode(text("2")), peer.Encode(wstest.Frame{More: true, Opcode: wstest.Text, Payload: "3"}), peer.Encode(wstest.Frame{}),
			peer.Encode(text("4")), peer.Encode(wstest.CloseFrame(1000, ""))))
		require.NoError(t, <-done)
		require.True(t, IsCloseError(<-read, 1000))
		require.Equal(t, []string{"1", "2", "3", "4"}, got)
		peer.Close()
	})
}

// Messages for which nobody comes do not hold Shutdown up for long.
func TestShutdownDiscardsWhatNobodyReads(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{})
		one, two := shuttingDown(t.Context(), c, 1000, ""), shuttingDown(t.Context(), c, 1000, "")
		peer.Expect(wstest.CloseFrame(1000, ""))
		start := time.Now()
		peer.Send(text("1"), text("2"), text("3"), wstest.CloseFrame(1000, ""))
		require.NoError(t, <-one)
		require.NoError(t, <-two)
		require.Equal(t, readerGrace, time.Since(start))
		peer.Close()
	})
}

// Nor for longer than its context allows.
func TestShutdownWithAMessageNobodyReadsIsBounded(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{})
		ctx, cancel := context.WithTimeoutCause(t.Context(), readerGrace/2, io.ErrNoProgress)
		defer cancel()
		done := shuttingDown(ctx, c, 1000, "")
		peer.Expect(wstest.CloseFrame(1000, ""))
		start := time.Now()
		go peer.Write(peer.Encode(text("for whom?")))
		require.Equal(t, io.ErrNoProgress, <-done)
		require.Equal(t, readerGrace/2, time.Since(start))
		peer.Close()
	})
}

// Only a Shutdown within the handler leaves the rest to the reader: another
// goroutine's waits for the handler, and for the peer.
func TestShutdownWhileAHandlerRuns(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{})
		handling, finish := make(chan struct{}), make(chan struct{})
		served := soon(func() error {
			return c.Serve(t.Context(), func(Message) error { close(handling); <-finish; return nil })
		})
		peer.Send(text("takes long"))
		<-handling
		done := shuttingDown(t.Context(), c, 4000, "")
		peer.Expect(wstest.CloseFrame(4000, ""))
		synctest.Wait()
		require.Empty(t, done)
		close(finish)
		peer.Send(wstest.CloseFrame(4000, ""))
		require.NoError(t, <-done)
		require.NoError(t, <-served)
		peer.Close()
	})
	t.Run("for too long", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			c, peer := scripted(t, overPipe, server, Options{CloseTimeout: 3 * time.Second})
			handling := make(chan struct{})
			served := soon(func() error {
				return c.Serve(t.Context(), func(Message) error { close(handling); <-c.Context().Done(); return nil })
			})
			peer.Send(text("takes for ever"))
			<-handling
			start := time.Now()
			done := shuttingDown(t.Context(), c, 4000, "")
			peer.Expect(wstest.CloseFrame(4000, ""))
			require.ErrorIs(t, <-done, os.ErrDeadlineExceeded)
			require.Equal(t, 3*time.Second, time.Since(start))
			require.ErrorIs(t, <-served, net.ErrClosed)
			peer.Close()
		})
	})
}

// That a handler runs after our close frame does not hurry the peer: Shutdown's
// context says how long it may take.
func TestHandlersDoNotHurryThePeer(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{CloseTimeout: time.Second})
		handled := 0
		served := soon(func() error { return c.Serve(t.Context(), func(Message) error { handled++; return nil }) })
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		done := shuttingDown(ctx, c, 1000, "")
		peer.Expect(wstest.CloseFrame(1000, ""))
		for range 5 {
			peer.Send(text("more"))
			time.Sleep(2 * time.Second)
		}
		peer.Send(wstest.CloseFrame(1000, ""))
		require.NoError(t, <-done)
		require.NoError(t, <-served)
		require.Equal(t, 5, handled)
		peer.Close()
	})
}

// The stack of a deep call is searched to its end.
func TestInsideHandler(t *testing.T) {
	t.Parallel()
	require.False(t, insideHandler())
	c := new(Conn)
	var deep func(n int) bool
	deep = func(n int) bool {
		if n == 0 {
			return insideHandler()
		}
		return deep(n - 1)
	}
	require.False(t, deep(500))
	found := false
	require.NoError(t, c.handle(func() error { found = deep(500); return nil }))
	require.True(t, found)

	found = false
	l := messageLoop{c: c, handler: func(Message) error { found = deep(500); return nil }}
	require.True(t, l.hand())
	require.True(t, found)
}

// A pong that is stuck because the peer does not read has no deadline of its own;
// it gets that of the first message that waits for it in vain.
func TestMessageBehindAStuckPong(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{})
		read := reading(c)
		peer.Send(ping("x"))
		synctest.Wait()
		require.NoError(t, c.SetWriteDeadline(time.Now().Add(time.Second)))
		require.ErrorIs(t, c.WriteMessage(TextMessage, nil), os.ErrDeadlineExceeded)
		<-c.Context().Done()
		require.ErrorIs(t, context.Cause(c.Context()), os.ErrDeadlineExceeded)
		require.NoError(t, c.SetWriteDeadline(time.Time{}))
		require.ErrorIs(t, c.WriteMessage(TextMessage, nil), os.ErrDeadlineExceeded, "the writing side has ended")
		peer.Close()
		<-read
	})
}

// A reader's context and deadline count while Shutdown waits for the peer.
func TestReaderIsInterruptibleDuringShutdown(t *testing.T) {
	t.Parallel()
	for name, read := range map[string]func(c *Conn) error{
		"context": func(c *Conn) error {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_, _, err := c.ReadMessageContext(ctx, nil)
			return err
		},
		"deadline": func(c *Conn) error {
			_ = c.SetReadDeadline(time.Now().Add(time.Second))
			_, _, err := c.ReadMessage()
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, server bool) {
				c, peer := scripted(t, overPipe, server, Options{})
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				done := shuttingDown(ctx, c, 1000, "")
				peer.Expect(wstest.CloseFrame(1000, ""))
				go peer.Write(peer.Encode(wstest.Frame{More: true, Opcode: wstest.Text, Payload: "half"}))
				synctest.Wait() // Shutdown leaves the message to whoever comes
				start := time.Now()
				err := read(c)
				require.True(t, errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded), "%v", err)
				require.Equal(t, time.Second, time.Since(start))
				require.Error(t, <-done)
				require.Equal(t, time.Second, time.Since(start), "Shutdown need not wait any longer")
				peer.Close()
			})
		})
	}
}

// Shutdown does not wait for a reader of a connection that has ended.
func TestShutdownEndsWithTheConnection(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{})
		start := time.Now()
		done := shuttingDown(t.Context(), c, 1000, "")
		peer.Expect(wstest.CloseFrame(1000, ""))
		go peer.Write(peer.Encode(text("for nobody")))
		synctest.Wait()
		require.NoError(t, c.Close())
		require.ErrorIs(t, <-done, net.ErrClosed)
		require.Zero(t, time.Since(start))
		peer.Close()
	})
}

// A reply that has only just begun is not stuck, and a control frame that is late
// does no harm at all.
func TestDeadlinesBehindAFreshPong(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{})
		read := reading(c)
		peer.Send(ping("x"))
		synctest.Wait()
		require.NoError(t, c.SetWriteDeadline(time.Now().Add(stallTime/2)))
		require.Equal(t, errTurnTimeout, c.WriteMessage(TextMessage, nil))
		require.Equal(t, errTurnTimeout, c.WriteControl(PingMessage, nil, time.Now().Add(2*stallTime)))
		require.NoError(t, c.Context().Err())
		peer.Expect(wstest.Frame{Opcode: wstest.Pong, Payload: "x"})
		peer.Close()
		<-read
	})
}

// Nobody waits for a peer that can be neither read from nor written to, however much time
// it was given before.
func TestDroppedWhenNothingCanBeWritten(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{WriteTimeout: 500 * time.Millisecond, CloseTimeout: time.Minute})
		begun := time.Now()
		written := soon(func() error { return c.WriteMessage(BinaryMessage, make([]byte, 1<<20)) })
		read := reading(c)
		synctest.Wait()
		peer.Send(wstest.Frame{Opcode: 3})
		broken := requireNothing(t, <-read)
		require.ErrorAs(t, broken, new(*ProtocolError))
		require.ErrorIs(t, <-written, os.ErrDeadlineExceeded)
		synctest.Wait()
		require.Equal(t, 500*time.Millisecond, time.Since(begun))
		require.ErrorIs(t, c.NetConn().SetDeadline(time.Time{}), io.ErrClosedPipe)
	})
}

// The first Close of the program tells what was lost, and waits until that is known if a
// loop is about to close the connection.
func TestCloseTellsWhatALoopIsAboutToLose(t *testing.T) {
	t.Parallel()
	bothEnds(t, func(t *testing.T, server bool) {
		const much = 32 << 20 // more than sockets hold
		c, peer := scripted(t, overTCP, server, Options{WriteQueue: 2 * much})
		require.NoError(t, c.TryWriteMessage(BinaryMessage, make([]byte, much)))
		served := soon(func() error { return c.Serve(context.Background(), func(Message) error { return nil }) })
		require.NoError(t, peer.Conn.(*net.TCPConn).CloseWrite()) // and it reads nothing
		require.Eventually(t, func() bool { return errors.Is(c.killed(), errClosed) }, 10*time.Second, time.Millisecond)
		require.ErrorIs(t, c.Close(), os.ErrDeadlineExceeded)
		require.NoError(t, c.Close(), "another Close does nothing")
		require.True(t, IsCloseError(<-served, CloseAbnormalClosure))
	})
}

// A read that fails by itself while Close is about to end all of them returns what
// later reads do.
func TestReadFailsBesideClose(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{})
		read := reading(c)
		synctest.Wait()
		require.Equal(t, errClosed, c.readTurn.end(errClosed)) // by a Close that is no farther yet
		go peer.Drain()
		peer.Send(wstest.CloseFrame(CloseGoingAway, ""))
		err := requireNothing(t, <-read)
		requireSticky(t, c, err)
		require.NoError(t, c.Close())
	})
}

// Two who drop the connection at the same time have one reason for it, which stays.
func TestKilledByTwo(t *testing.T) {
	t.Parallel()
	c, _ := scripted(t, overPipe, true, Options{})
	read := reading(c)
	c.mu.Lock()
	c.endLocked().dead = errSilent // by one who is about to do the rest
	c.mu.Unlock()
	c.kill(errCloseTimeout)
	err := requireNothing(t, <-read)
	require.Equal(t, errSilent, err)
	requireSticky(t, c, err)
	require.Equal(t, err, context.Cause(c.Context()))
	require.Equal(t, err, c.WriteMessage(TextMessage, nil))
}

// A closing handshake in order is the end of the connection, whoever comes first to say so:
// the reader, who has seen the peer's close frame, or Shutdown, who sees that reading ended.
func TestShutdownIsTheCause(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{})
		ctx := c.Context()
		ended := c.readTurn.end(&CloseError{Code: 3001, Text: "done"}) // the reader has come so far
		require.Error(t, ended)
		done := soon(func() error { return c.Shutdown(context.Background(), 3001, "done") })
		peer.ExpectClose(3001)
		require.NoError(t, <-done)
		require.Equal(t, ended, context.Cause(ctx))
	})
}

// A handler may end the reading with a *CloseError, of another connection say, while Shutdown
// waits for the peer's: that is no close frame of the peer's.
func TestShutdownBesideAHandlersCloseError(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		var ends []CloseInfo
		c, peer := scripted(t, overPipe, server, Options{Trace: &Trace{Closed: func(_ *Conn, e CloseInfo) { ends = append(ends, e) }}})
		ended := c.readTurn.end(&CloseError{Code: 4000, Text: "of another"}) // the reader has come so far
		done := soon(func() error { return c.Shutdown(context.Background(), 3001, "done") })
		peer.ExpectClose(3001)
		<-done
		require.Equal(t, []CloseInfo{{EndedByUs, 3001, "done", ended}}, ends)
	})
}
