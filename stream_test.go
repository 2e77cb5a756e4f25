package websocket

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket/internal/wstest"
)

// A stream is a net.Conn, but for one thing, for which golang.org/x/net/nettest
// is too strict: a write that timed out half sent is final. These are its other
// scenarios.
func TestStreamCarriesBytes(t *testing.T) {
	noLeaks(t)
	content := make([]byte, 2<<20)
	for i := range content {
		content[i] = byte(i * 7 >> 3)
	}
	for name, over := range map[string]link{"pipe": overPipe, "TCP": overTCP, "TLS": overTLS, "HTTP/2": overHTTP2} {
		t.Run(name, func(t *testing.T) {
			ours, theirs := connected(t, over, false, Options{})
			echo := theirs.Stream(BinaryMessage)
			echoed := soon(func() error {
				_, err := io.Copy(echo, echo)
				return err
			})
			s := ours.Stream(BinaryMessage)
			wrote := soon(func() error {
				for chunk := range slices.Chunk(content, 10_007) {
					if _, err := s.Write(chunk); err != nil {
						return err
					}
				}
				return nil
			})
			p := make([]byte, len(content))
			_, err := io.ReadFull(s, p)
			require.NoError(t, err)
			require.True(t, bytes.Equal(content, p))
			require.NoError(t, <-wrote)
			require.NoError(t, s.Close())
			require.NoError(t, <-echoed, "io.EOF at the end")
		})
	}
}

// All methods at once, with deadlines that pass.
func TestStreamConcurrently(t *testing.T) {
	noLeaks(t)
	for name, over := range map[string]link{"pipe": overPipe, "TCP": overTCP, "TLS": overTLS, "HTTP/2": overHTTP2} {
		t.Run(name, func(t *testing.T) {
			ours, theirs := connected(t, over, false, Options{})
			go io.Copy(io.Discard, theirs.Stream(BinaryMessage))
			s := ours.Stream(BinaryMessage)
			// Over HTTP/2 a deadline may not be the first that a waiting read hears of.
			require.NoError(t, s.SetReadDeadline(time.Now().Add(time.Minute)))
			var working sync.WaitGroup
			for range 50 {
				working.Go(func() { s.Read(make([]byte, 1024)) })
				working.Go(func() { s.Write(make([]byte, 1024)) })
				working.Go(func() { s.SetReadDeadline(time.Now().Add(time.Millisecond)) })
				working.Go(func() { s.SetWriteDeadline(time.Now().Add(time.Minute)) })
				working.Go(func() { s.LocalAddr() })
				working.Go(func() { s.RemoteAddr() })
			}
			working.Wait()
			require.NoError(t, ours.Context().Err())
			require.NoError(t, s.Close())
		})
	}
}

func TestStream(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{})
		s := c.Stream(TextMessage)
		require.Equal(t, c.LocalAddr(), s.LocalAddr())
		require.Equal(t, c.RemoteAddr(), s.RemoteAddr())
		n, err := s.Read(nil)
		require.Zero(t, n)
		require.NoError(t, err)

		wrote := soon(func() error {
			n, err := s.Write([]byte("one"))
			require.Equal(t, 3, n)
			n, err2 := s.Write(nil)
			require.Zero(t, n)
			return errors.Join(err, err2)
		})
		peer.Expect(text("one"), text(""))
		require.NoError(t, <-wrote)

		go peer.Write(slices.Concat(
			peer.Encode(text("He")), peer.Encode(text("")), peer.Encode(wstest.Frame{More: true, Opcode: wstest.Text, Payload: "l"}),
			peer.Encode(ping("x")), peer.Encode(wstest.Frame{More: true}), peer.Encode(wstest.Frame{Payload: "lo"})))
		p := make([]byte, 5)
		_, err = io.ReadFull(s, p)
		require.NoError(t, err)
		require.Equal(t, "Hello", string(p))
		peer.Expect(pong("x"))

		// The end of a message may bring nothing and come alone.
		go func() {
			peer.Send(wstest.Frame{More: true, Opcode: wstest.Text, Payload: "Hel"})
			peer.Send(wstest.Frame{}, text("lo"))
		}()
		_, err = io.ReadFull(s, p)
		require.NoError(t, err)
		require.Equal(t, "Hello", string(p))
	})
}

// Read gives what io.Reader promises, whatever the size of its pieces.
func TestStreamReader(t *testing.T) {
	t.Parallel()
	for _, code := range []int{CloseNormalClosure, CloseGoingAway} {
		inBubblesOnce(t, func(t *testing.T) {
			c, peer := scripted(t, overPipe, true, Options{})
			content := strings.Repeat("0123456789", 2000)
			go func() {
				for chunk := range slices.Chunk([]byte(content), 999) {
					peer.Write(peer.Encode(wstest.Frame{Opcode: wstest.Binary, Payload: string(chunk)}))
				}
				peer.Write(peer.Encode(wstest.CloseFrame(code, "")))
				io.Copy(io.Discard, peer)
			}()
			require.NoError(t, iotest.TestReader(c.Stream(BinaryMessage), []byte(content)))
		})
	}
}

func TestStreamEnds(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		in   wstest.Frame
		err  error
		sent wstest.Frame
	}{
		"1000":       {wstest.CloseFrame(1000, ""), io.EOF, wstest.CloseFrame(1000, "")},
		"1001":       {wstest.CloseFrame(1001, "bye"), io.EOF, wstest.CloseFrame(1001, "bye")},
		"1005":       {wstest.Frame{Opcode: wstest.Close}, &CloseError{Code: 1005}, wstest.Frame{Opcode: wstest.Close}},
		"4000":       {wstest.CloseFrame(4000, ""), &CloseError{Code: 4000}, wstest.CloseFrame(4000, "")},
		"other type": {text("Hello"), &ProtocolError{1003, "message of type 1 in a stream of type 2"}, wstest.CloseFrame(1003, "message of type 1 in a stream of type 2")},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, server bool) {
				c, peer := scripted(t, overPipe, server, Options{})
				s := c.Stream(BinaryMessage)
				read := soon(func() error { _, err := s.Read(make([]byte, 10)); return err })
				peer.Send(tt.in)
				peer.Expect(tt.sent)
				require.Equal(t, tt.err, <-read)
				_, err := s.Read(make([]byte, 10))
				require.Equal(t, tt.err, err, "it stays")
				_, err = s.Write([]byte("x"))
				require.Equal(t, ErrCloseSent, err)
				peer.Close()
			})
		})
	}
	t.Run("EOF within a message", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			c, peer := scripted(t, overPipe, server, Options{})
			read := soon(func() got { p, err := io.ReadAll(c.Stream(TextMessage)); return got{p: p, err: err} })
			b := peer.Encode(text("Hello"))
			peer.SendRaw(b[:len(b)-1])
			peer.Close()
			g := <-read
			require.Equal(t, "Hell", string(g.p))
			require.Equal(t, &CloseError{1006, "unexpected EOF"}, g.err)
		})
	})
}

// A deadline may pass at any byte: the stream goes on behind it.
func TestStreamDeadlines(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{})
		s := c.Stream(TextMessage)
		in := slices.Concat(
			peer.Encode(wstest.Frame{More: true, Opcode: wstest.Text, Payload: "Hel"}), peer.Encode(ping("")), peer.Encode(wstest.Frame{Payload: "lo"}), peer.Encode(text("!")))
		pongs := soon(func() error { _, _, err := wstest.ReadFrame(peer); return err })
		var all []byte
		for _, b := range in {
			sent := soon(func() error { _, err := peer.Write([]byte{b}); return err })
			require.NoError(t, s.SetDeadline(time.Now().Add(time.Second)))
			p := make([]byte, 10)
			for {
				n, err := s.Read(p)
				all = append(all, p[:n]...)
				if err != nil {
					require.ErrorIs(t, err, os.ErrDeadlineExceeded)
					break
				}
			}
			require.NoError(t, <-sent)
		}
		require.Equal(t, "Hello!", string(all))
		require.NoError(t, <-pongs)
		require.NoError(t, c.Context().Err())
		_, err := s.Write([]byte("x"))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.NoError(t, s.SetDeadline(time.Time{}))
		wrote := soon(func() error { _, err := s.Write([]byte("x")); return err })
		peer.Expect(text("x"))
		require.NoError(t, <-wrote)
	})
}

func TestStreamClose(t *testing.T) {
	t.Parallel()
	t.Run("answered", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			c, peer := scripted(t, overPipe, server, Options{})
			s := c.Stream(BinaryMessage)
			read := soon(func() error { _, err := s.Read(make([]byte, 10)); return err })
			synctest.Wait()
			closed := soon(s.Close)
			peer.Expect(wstest.CloseFrame(1000, ""))
			peer.Send(wstest.CloseFrame(1000, ""))
			require.NoError(t, <-closed)
			require.Equal(t, io.EOF, <-read)
			require.NoError(t, s.Close(), "twice")
			peer.Close()
		})
	})
	t.Run("not answered", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			c, peer := scripted(t, overPipe, server, Options{CloseTimeout: time.Second})
			s := c.Stream(BinaryMessage)
			start := time.Now()
			closed := soon(s.Close)
			peer.Expect(wstest.CloseFrame(1000, ""))
			require.ErrorIs(t, <-closed, os.ErrDeadlineExceeded)
			require.Equal(t, time.Second, time.Since(start))
			peer.ExpectEnd()
		})
	})
}

func TestJoinMessages(t *testing.T) {
	t.Parallel()
	for _, term := range []string{"", "\n", "--"} {
		t.Run("term "+term, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, server bool) {
				c, peer := scripted(t, overPipe, server, Options{})
				go func() {
					peer.Write(slices.Concat(peer.Encode(text("one")), peer.Encode(text("")),
						peer.Encode(wstest.Frame{More: true, Opcode: wstest.Binary, Payload: "th"}), peer.Encode(wstest.Frame{Payload: "ree"}),
						peer.Encode(wstest.CloseFrame(1000, ""))))
					io.Copy(io.Discard, peer)
				}()
				r := JoinMessages(c, term)
				n, err := r.Read(nil)
				require.Zero(t, n)
				require.NoError(t, err)
				p, err := io.ReadAll(iotest.OneByteReader(r))
				require.Equal(t, &CloseError{Code: 1000}, err)
				require.Equal(t, "one"+term+term+"three"+term, string(p))
				_, err = r.Read(make([]byte, 1))
				require.Equal(t, &CloseError{Code: 1000}, err)
				peer.Close()
			})
		})
	}
}

func TestJoinMessagesBreaksOff(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{})
		go func() {
			b := append(peer.Encode(text("one")), peer.Encode(text("two"))...)
			peer.Write(b[:len(b)-1])
			peer.Close()
		}()
		lines := bufio.NewScanner(JoinMessages(c, "\n"))
		require.True(t, lines.Scan())
		require.Equal(t, "one", lines.Text())
		require.True(t, lines.Scan())
		require.Equal(t, "tw", lines.Text())
		require.False(t, lines.Scan())
		require.True(t, IsCloseError(lines.Err(), CloseAbnormalClosure))
	})
}

// A timeout between messages does not end the joined reader.
func TestJoinMessagesResumes(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{})
		r := JoinMessages(c, "\n")
		require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Second)))
		_, err := r.Read(make([]byte, 10))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.NoError(t, c.SetReadDeadline(time.Time{}))
		sent := soon(func() error { _, err := peer.Write(peer.Encode(text("Hello"))); return err })
		p := make([]byte, 6)
		_, err = io.ReadFull(r, p)
		require.NoError(t, err)
		require.Equal(t, "Hello\n", string(p))
		require.NoError(t, <-sent)
	})
}

// What another way of reading was about to discard is not for the stream.
func TestStreamAfterNextReader(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{})
		s := c.Stream(TextMessage)
		go peer.Write(peer.Encode(wstest.Frame{More: true, Opcode: wstest.Text, Payload: "unread"}))
		_, _, err := c.NextReader()
		require.NoError(t, err)
		require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Second)))
		_, _, err = c.NextReader()
		require.ErrorIs(t, err, os.ErrDeadlineExceeded, "the message to discard does not end")
		require.NoError(t, c.SetReadDeadline(time.Time{}))

		go peer.Write(slices.Concat(peer.Encode(wstest.Frame{Payload: "either"}), peer.Encode(text("mine"))))
		p := make([]byte, 16)
		n, err := s.Read(p)
		require.NoError(t, err)
		require.Equal(t, "mine", string(p[:n]))
	})
}

// A message that NextReader has begun is not for the stream, whatever its type.
func TestStreamSupersedesNextReader(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{})
		go peer.Write(slices.Concat(peer.Encode(text("another's")), peer.Encode(text("mine"))))
		_, r, err := c.NextReader()
		require.NoError(t, err)
		p := make([]byte, 16)
		n, err := c.Stream(TextMessage).Read(p)
		require.NoError(t, err)
		require.Equal(t, "mine", string(p[:n]))
		_, err = r.Read(p)
		require.Equal(t, errSuperseded, err)
	})
}

// A deadline counts for a write that is blocked already.
func TestStreamPendingWriteDeadline(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, _ := scripted(t, overPipe, server, Options{})
		s := c.Stream(BinaryMessage)
		wrote := soon(func() error { _, err := s.Write([]byte("nobody reads")); return err })
		synctest.Wait()
		require.NoError(t, s.SetWriteDeadline(time.Now().Add(time.Second)))
		start := time.Now()
		require.ErrorIs(t, <-wrote, os.ErrDeadlineExceeded)
		require.Equal(t, time.Second, time.Since(start))
	})
}
