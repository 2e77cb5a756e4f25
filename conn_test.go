package websocket

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket/internal/wstest"
)

// How these tests are made. A scenario over net.Pipe runs in a bubble of
// testing/synctest: time passes when everybody waits, a deadlock fails the test,
// and so does a goroutine that outlives it. What needs a real socket runs over
// TCP, and looks for goroutines left behind with noLeaks.

// inBubbles runs a scenario as a server and as a client, each in a bubble.
func inBubbles(t *testing.T, scenario func(t *testing.T, server bool)) {
	for _, server := range []bool{true, false} {
		t.Run(roleName(server), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { scenario(t, server) })
		})
	}
}

func roleName(server bool) string {
	if server {
		return "server"
	}
	return "client"
}

// A link makes the two ends of a connection.
type link func(t testing.TB) (client, server net.Conn)

func overPipe(t testing.TB) (client, server net.Conn) { return wstest.Pipe(t) }
func overTCP(t testing.TB) (client, server net.Conn)  { return wstest.TCP(t) }

// overTLS is a TLS connection over TCP, after its handshake.
func overTLS(t testing.TB) (client, server net.Conn) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(leaf)

	clientEnd, serverEnd := wstest.TCP(t)
	s := tls.Server(serverEnd, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	c := tls.Client(clientEnd, &tls.Config{RootCAs: roots, ServerName: "localhost"})
	done := soon(s.Handshake)
	require.NoError(t, c.Handshake())
	require.NoError(t, <-done)
	return c, s
}

// scripted returns a connection that plays the role, and the peer at its other
// end.
func scripted(t testing.TB, over link, server bool, opts Options) (*Conn, *wstest.Peer) {
	t.Helper()
	clientEnd, serverEnd := over(t)
	if server {
		c := NewConn(serverEnd, Negotiated{Server: true}, opts)
		t.Cleanup(func() { c.Close() })
		return c, wstest.NewClient(t, clientEnd)
	}
	c := NewConn(clientEnd, Negotiated{}, opts)
	t.Cleanup(func() { c.Close() })
	return c, wstest.NewServer(t, serverEnd)
}

// connected returns the two ends of a connection: ours, which plays the role, and
// another.
func connected(t testing.TB, over link, server bool, opts Options) (ours, theirs *Conn) {
	t.Helper()
	clientEnd, serverEnd := over(t)
	c := NewConn(clientEnd, Negotiated{}, opts)
	s := NewConn(serverEnd, Negotiated{Server: true}, opts)
	t.Cleanup(func() {
		c.Close()
		s.Close()
	})
	if server {
		return s, c
	}
	return c, s
}

// soon calls f on a goroutine of its own.
func soon[T any](f func() T) <-chan T {
	result := make(chan T, 1)
	go func() { result <- f() }()
	return result
}

// got is what a read returned.
type got struct {
	messageType int
	p           []byte
	err         error
}

func reading(c *Conn) <-chan got { return readingContext(context.Background(), c) }

func readingContext(ctx context.Context, c *Conn) <-chan got {
	return soon(func() got {
		messageType, p, err := c.ReadMessageContext(ctx, nil)
		return got{messageType, p, err}
	})
}

// requireMessage checks that a read returned the message.
func requireMessage(t testing.TB, messageType int, data string, g got) {
	t.Helper()
	require.NoError(t, g.err)
	require.Equal(t, messageType, g.messageType)
	require.Equal(t, data, string(g.p))
	require.NotNil(t, g.p)
}

// requireNothing checks that a read failed before a message began.
func requireNothing(t testing.TB, g got) error {
	t.Helper()
	require.Error(t, g.err)
	require.Equal(t, -1, g.messageType)
	require.Nil(t, g.p)
	return g.err
}

// requireSticky checks that every kind of read returns err again.
func requireSticky(t testing.TB, c *Conn, err error) {
	t.Helper()
	for range 3 {
		require.Equal(t, err, requireNothing(t, <-reading(c)))
	}
	messageType, r, again := c.NextReader()
	require.Equal(t, err, again)
	require.Equal(t, -1, messageType)
	require.Nil(t, r)
}

// texts returns text frames.
func text(payload string) wstest.Frame { return wstest.Frame{Opcode: wstest.Text, Payload: payload} }
func ping(payload string) wstest.Frame { return wstest.Frame{Opcode: wstest.Ping, Payload: payload} }
func pong(payload string) wstest.Frame { return wstest.Frame{Opcode: wstest.Pong, Payload: payload} }

// noLeaks fails the test if goroutines of this package are left when it is over
// and its connections are closed. The test must not be parallel.
func noLeaks(t *testing.T) {
	before := ourGoroutines()
	t.Cleanup(func() {
		var left []string
		for range 500 {
			left = slices.DeleteFunc(ourGoroutines(), func(g string) bool { return slices.Contains(before, g) })
			if len(left) == 0 {
				return
			}
			time.Sleep(10 * time.Millisecond) // until they have ended, or for five seconds
		}
		t.Errorf("goroutines left behind:\n%s", strings.Join(left, "\n\n"))
	})
}

// ourGoroutines returns the stacks of goroutines that run methods of this package.
func ourGoroutines() (stacks []string) {
	buf := make([]byte, 4<<20)
	for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if strings.Contains(g, "duplexkit/websocket.(*") && !strings.Contains(g, "ourGoroutines") {
			_, stack, _ := strings.Cut(g, "\n") // the first line changes with time
			stacks = append(stacks, stack)
		}
	}
	return stacks
}

func TestReadMessage(t *testing.T) {
	t.Parallel()
	cont := func(more bool, payload string) wstest.Frame { return wstest.Frame{More: more, Payload: payload} }
	tests := []struct {
		name string
		in   []wstest.Frame
		want []got
	}{
		{"text", []wstest.Frame{text("Hello")}, []got{{TextMessage, []byte("Hello"), nil}}},
		{"binary", []wstest.Frame{{Opcode: wstest.Binary, Payload: "\xff"}}, []got{{BinaryMessage, []byte{0xff}, nil}}},
		{"empty", []wstest.Frame{text("")}, []got{{TextMessage, []byte{}, nil}}},
		{"two in one segment", []wstest.Frame{text("a"), text("b")}, []got{{TextMessage, []byte("a"), nil}, {TextMessage, []byte("b"), nil}}},
		{
			"fragments with a pong between them",
			[]wstest.Frame{{More: true, Opcode: wstest.Text, Payload: "Hel"}, pong("x"), cont(true, ""), cont(false, "lo")},
			[]got{{TextMessage, []byte("Hello"), nil}},
		},
		{"longer than the buffer", []wstest.Frame{text(strings.Repeat("0123456789", 10_000))}, []got{{TextMessage, []byte(strings.Repeat("0123456789", 10_000)), nil}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, server bool) {
				c, peer := scripted(t, overPipe, server, Options{})
				all := soon(func() (all []got) {
					for range tt.want {
						messageType, p, err := c.ReadMessage()
						all = append(all, got{messageType, p, err})
					}
					return all
				})
				peer.Send(tt.in...)
				require.Equal(t, tt.want, <-all)
			})
		})
	}
}

func TestReadMessageFails(t *testing.T) {
	t.Parallel()
	unexpectedEOF := &CloseError{CloseAbnormalClosure, "unexpected EOF"}
	tests := []struct {
		name string
		in   func(p *wstest.Peer) []byte // what the peer sends before it ends the connection
		kind int
		data []byte
		err  error
		code int // of our close frame, 0 for none
	}{
		{"EOF", func(p *wstest.Peer) []byte { return nil }, -1, nil, unexpectedEOF, 0},
		{"EOF within a header", func(p *wstest.Peer) []byte { return p.Encode(text("Hello"))[:1] }, -1, nil, unexpectedEOF, 0},
		{"EOF within a ping", func(p *wstest.Peer) []byte { b := p.Encode(ping("Hello")); return b[:len(b)-1] }, -1, nil, unexpectedEOF, 0},
		{"EOF within a message", func(p *wstest.Peer) []byte { b := p.Encode(text("Hello")); return b[:len(b)-2] }, TextMessage, []byte("Hel"), unexpectedEOF, 0},
		{"EOF at the beginning of a message", func(p *wstest.Peer) []byte { b := p.Encode(text("Hello")); return b[:len(b)-5] }, TextMessage, []byte{}, unexpectedEOF, 0},
		{"EOF between fragments", func(p *wstest.Peer) []byte {
			return p.Encode(wstest.Frame{More: true, Opcode: wstest.Binary, Payload: "Hel"})
		}, BinaryMessage, []byte("Hel"), unexpectedEOF, 0},
		{"close", func(p *wstest.Peer) []byte { return p.Encode(wstest.CloseFrame(4321, "why")) }, -1, nil, &CloseError{4321, "why"}, 4321},
		{"reserved bit", func(p *wstest.Peer) []byte { return p.Encode(wstest.Frame{RSV: 4, Opcode: wstest.Text}) }, -1, nil, errReservedBit, CloseProtocolError},
		{"broken rule within a message", func(p *wstest.Peer) []byte {
			return append(p.Encode(wstest.Frame{More: true, Opcode: wstest.Text, Payload: "Hel"}), p.Encode(text("lo"))...)
		}, TextMessage, []byte("Hel"), errExpectedContinuation, CloseProtocolError},
		{"not UTF-8", func(p *wstest.Peer) []byte { return p.Encode(text("\xff")) }, TextMessage, []byte{0xff}, errInvalidUTF8, CloseInvalidFramePayloadData},
		{"close code 1005 on the wire", func(p *wstest.Peer) []byte { return p.Encode(wstest.CloseFrame(1005, "")) }, -1, nil, errCloseCode, CloseProtocolError},
		{"close payload of one byte", func(p *wstest.Peer) []byte { return p.Encode(wstest.Frame{Opcode: wstest.Close, Payload: "\x03"}) }, -1, nil, errShortClose, CloseProtocolError},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, server bool) {
				c, peer := scripted(t, overPipe, server, Options{})
				read := reading(c)
				peer.SendRaw(tt.in(peer))
				if tt.code != 0 {
					peer.ExpectClose(tt.code)
				}
				peer.Close()
				g := <-read
				require.Equal(t, got{tt.kind, tt.data, tt.err}, g)
				requireSticky(t, c, tt.err)
				require.Equal(t, tt.err, context.Cause(c.Context()))
			})
		})
	}
}

func TestReadMessageContextAppends(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{})
		dst := append(make([]byte, 0, 64), "kept "...)
		read := soon(func() got {
			messageType, p, err := c.ReadMessageContext(t.Context(), dst)
			return got{messageType, p, err}
		})
		peer.Send(text("Hello"))
		g := <-read
		requireMessage(t, TextMessage, "kept Hello", g)
		require.Same(t, &dst[0], &g.p[0], "the memory of dst is used")

		read = soon(func() got {
			messageType, p, err := c.ReadMessageContext(t.Context(), dst)
			return got{messageType, p, err}
		})
		peer.SendRaw(peer.Encode(text("Hello"))[:peerHeader(server)+2])
		peer.Close()
		g = <-read
		require.Equal(t, TextMessage, g.messageType)
		require.Equal(t, "kept He", string(g.p))

		messageType, p, err := c.ReadMessageContext(t.Context(), dst)
		require.True(t, IsCloseError(err, CloseAbnormalClosure))
		require.Equal(t, -1, messageType)
		require.Equal(t, dst, p, "dst comes back when the message did not begin")
	})
}

// peerHeader is the length of the header that our peer sends before a short
// payload.
func peerHeader(server bool) int {
	if server {
		return 6
	}
	return 2
}

// A message of a gigabyte that never comes costs next to nothing.
func TestReadMessageAllocatesWhatCame(t *testing.T) {
	inBubbles(t, func(t *testing.T, server bool) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		c, peer := scripted(t, overPipe, server, Options{ReadLimit: -1})
		read := reading(c)
		peer.SendRaw(FrameHeader{Fin: true, Opcode: BinaryMessage, Masked: server, Length: 1 << 30}.Append(nil))
		peer.SendRaw(make([]byte, 10))
		peer.Close()
		g := <-read
		require.True(t, IsCloseError(g.err, CloseAbnormalClosure))
		require.Len(t, g.p, 10)
		runtime.ReadMemStats(&after)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(16<<20), "of the gibibyte that was announced")
	})
}

func TestReadLimit(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		opts  Options
		set   func(c *Conn)
		size  int
		fails bool
	}{
		{"default, at it", Options{}, nil, DefaultReadLimit, false},
		{"default, above", Options{}, nil, DefaultReadLimit + 1, true},
		{"option, at it", Options{ReadLimit: 10}, nil, 10, false},
		{"option, above", Options{ReadLimit: 10}, nil, 11, true},
		{"option of none", Options{ReadLimit: -1}, nil, DefaultReadLimit + 1, false},
		{"set, at it", Options{}, func(c *Conn) { c.SetReadLimit(10) }, 10, false},
		{"set, above", Options{}, func(c *Conn) { c.SetReadLimit(10) }, 11, true},
		{"set to 0", Options{ReadLimit: 10}, func(c *Conn) { c.SetReadLimit(0) }, 11, false},
		{"set to -1", Options{}, func(c *Conn) { c.SetReadLimit(-1) }, DefaultReadLimit + 1, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, server bool) {
				c, peer := scripted(t, overPipe, server, tt.opts)
				if tt.set != nil {
					tt.set(c)
				}
				read := reading(c)
				header := FrameHeader{Fin: true, Opcode: BinaryMessage, Masked: server, Length: int64(tt.size)}.Append(nil)
				if tt.fails {
					peer.SendRaw(header) // the header is enough
					peer.ExpectClose(CloseMessageTooBig)
					require.Equal(t, ErrReadLimit, (<-read).err)
					requireSticky(t, c, ErrReadLimit)
					return
				}
				peer.SendRaw(append(header, make([]byte, tt.size)...))
				g := <-read
				require.NoError(t, g.err)
				require.Len(t, g.p, tt.size)
			})
		})
	}
}

func TestReadLimitCountsFragments(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{ReadLimit: 4})
		read := reading(c)
		peer.Send(wstest.Frame{More: true, Opcode: wstest.Text, Payload: "Hel"})
		peer.Send(wstest.Frame{Payload: "lo"})
		peer.ExpectClose(CloseMessageTooBig)
		require.Equal(t, got{TextMessage, []byte("Hel"), ErrReadLimit}, <-read)
		requireSticky(t, c, ErrReadLimit)
	})
}

// A NextReader streams: no limit counts but one that was set.
func TestReadLimitOfNextReader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, peer := scripted(t, overPipe, false, Options{})
		copied := soon(func() got {
			_, r, err := c.NextReader()
			if err != nil {
				return got{err: err}
			}
			n, err := io.Copy(io.Discard, r)
			return got{messageType: int(n), err: err}
		})
		payload := strings.Repeat("x", DefaultReadLimit+1)
		peer.Send(wstest.Frame{Opcode: wstest.Binary, Payload: payload})
		require.Equal(t, got{messageType: len(payload)}, <-copied)

		c.SetReadLimit(5)
		next := soon(func() error { _, _, err := c.NextReader(); return err })
		peer.Send(text("Hello!"))
		peer.ExpectClose(CloseMessageTooBig)
		require.Equal(t, ErrReadLimit, <-next)
	})
}

func TestNextReader(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{})
		go peer.Write(slices.Concat(
			peer.Encode(wstest.Frame{More: true, Opcode: wstest.Text, Payload: "Hel"}), peer.Encode(wstest.Frame{Payload: "lo"}),
			peer.Encode(text("")),
			peer.Encode(wstest.Frame{More: true, Opcode: wstest.Binary, Payload: "discarded"}), peer.Encode(wstest.Frame{Payload: "discarded too"}),
			peer.Encode(text("last")),
		))
		messageType, hello, err := c.NextReader()
		require.NoError(t, err)
		require.Equal(t, TextMessage, messageType)
		n, err := hello.Read(nil)
		require.Zero(t, n)
		require.NoError(t, err, "an empty read is no end")
		p, err := io.ReadAll(hello)
		require.NoError(t, err)
		require.Equal(t, "Hello", string(p))
		_, err = hello.Read(make([]byte, 1))
		require.Equal(t, io.EOF, err)

		messageType, empty, err := c.NextReader()
		require.NoError(t, err)
		require.Equal(t, TextMessage, messageType)
		_, err = hello.Read(make([]byte, 1))
		require.Equal(t, io.EOF, err, "superseded, its message had ended")

		messageType, half, err := c.NextReader()
		require.NoError(t, err)
		require.Equal(t, BinaryMessage, messageType)
		_, err = empty.Read(make([]byte, 1))
		require.Equal(t, io.EOF, err, "never read, but there was nothing to read")
		_, err = io.ReadFull(half, make([]byte, 4))
		require.NoError(t, err)

		g := <-reading(c)
		requireMessage(t, TextMessage, "last", g)
		_, err = half.Read(make([]byte, 1))
		require.ErrorIs(t, err, errSuperseded)
		require.NotErrorIs(t, err, io.EOF, "half a message must never look whole")
	})
}

// A superseded reader that was at the end of the payload, but not of the message.
func TestNextReaderSupersededBetweenFragments(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{})
		go peer.Write(slices.Concat(
			peer.Encode(wstest.Frame{More: true, Opcode: wstest.Text, Payload: "Hel"}), peer.Encode(wstest.Frame{Payload: ""}),
			peer.Encode(text("next")),
		))
		_, half, err := c.NextReader()
		require.NoError(t, err)
		_, err = io.ReadFull(half, make([]byte, 3))
		require.NoError(t, err)
		requireMessage(t, TextMessage, "next", <-reading(c))
		_, err = half.Read(make([]byte, 1))
		require.ErrorIs(t, err, errSuperseded)
	})
}

// A message that has come as a whole is one to its reader, whatever has come of the
// connection until it is read. An empty one has when it begins.
func TestNextReaderOfLastMessage(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{})
		go func() {
			peer.Send(text(""), wstest.CloseFrame(CloseNormalClosure, ""))
			peer.Drain()
		}()
		_, r, err := c.NextReader()
		require.NoError(t, err)
		require.NoError(t, c.Shutdown(context.Background(), CloseNormalClosure, ""), "which reads the close frame")
		p, err := io.ReadAll(r)
		require.NoError(t, err)
		require.Empty(t, p)
	})
}

func TestNextReaderBreaksOff(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{})
		go func() {
			b := peer.Encode(text("Hello"))
			peer.Write(b[:len(b)-1])
			peer.Close()
		}()
		_, r, err := c.NextReader()
		require.NoError(t, err)
		p, err := io.ReadAll(r)
		require.Equal(t, "Hell", string(p))
		require.Equal(t, &CloseError{CloseAbnormalClosure, "unexpected EOF"}, err)
		_, err = r.Read(make([]byte, 1))
		require.True(t, IsCloseError(err, CloseAbnormalClosure))
		requireSticky(t, c, err)
	})
}

// A whole-message read that waits for a superseded NextReader must not exist:
// NextReader does not hold its turn between reads.
func TestReadersTakeTurns(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{})
		first := reading(c)
		synctest.Wait()
		second := reading(c)
		synctest.Wait()
		third := reading(c)
		synctest.Wait()
		peer.Send(wstest.Frame{More: true, Opcode: wstest.Text, Payload: "1"})
		synctest.Wait()
		peer.Send(wstest.Frame{Payload: "1"}, text("2"), text("3"))
		requireMessage(t, TextMessage, "11", <-first)
		requireMessage(t, TextMessage, "2", <-second)
		requireMessage(t, TextMessage, "3", <-third)
	})
}

func TestReaderWaitingForItsTurnIsReleased(t *testing.T) {
	t.Parallel()
	t.Run("by its context", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			c, peer := scripted(t, overPipe, server, Options{})
			first := reading(c)
			synctest.Wait()
			ctx, cancel := context.WithCancelCause(t.Context())
			second := readingContext(ctx, c)
			synctest.Wait()
			why := errors.New("why")
			cancel(why)
			require.Equal(t, why, requireNothing(t, <-second))
			peer.Send(text("Hello"))
			requireMessage(t, TextMessage, "Hello", <-first)
		})
	})
	t.Run("by Close", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			c, _ := scripted(t, overPipe, server, Options{})
			first, second := reading(c), reading(c)
			synctest.Wait()
			require.NoError(t, c.Close())
			require.ErrorIs(t, requireNothing(t, <-first), net.ErrClosed)
			require.ErrorIs(t, requireNothing(t, <-second), net.ErrClosed)
		})
	})
	t.Run("by the end of the connection", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			c, peer := scripted(t, overPipe, server, Options{})
			first, second := reading(c), reading(c)
			synctest.Wait()
			peer.Send(wstest.CloseFrame(4000, "gone"))
			peer.ExpectClose(4000)
			require.Equal(t, &CloseError{4000, "gone"}, (<-first).err)
			require.Equal(t, &CloseError{4000, "gone"}, (<-second).err)
		})
	})
}

// Where a read may be interrupted, and go on after that.
var resumable = []struct {
	name   string
	before func(p *wstest.Peer) []byte // comes before the interruption
	after  func(p *wstest.Peer) []byte // comes after it
	pong   string                      // that we answer, "" for none
}{
	{"before a message", func(p *wstest.Peer) []byte { return nil }, func(p *wstest.Peer) []byte { return p.Encode(text("Hello")) }, ""},
	{"after one byte", func(p *wstest.Peer) []byte { return p.Encode(text("Hello"))[:1] }, func(p *wstest.Peer) []byte { return p.Encode(text("Hello"))[1:] }, ""},
	{"within a long header", func(p *wstest.Peer) []byte { return p.Encode(text(longText))[:3] }, func(p *wstest.Peer) []byte { return p.Encode(text(longText))[3:] }, ""},
	{
		"within the header of a ping",
		func(p *wstest.Peer) []byte { return p.Encode(ping("ping"))[:1] },
		func(p *wstest.Peer) []byte { return append(p.Encode(ping("ping"))[1:], p.Encode(text("Hello"))...) }, "ping",
	},
	{
		"within the payload of a ping",
		func(p *wstest.Peer) []byte { b := p.Encode(ping("ping")); return b[:len(b)-2] },
		func(p *wstest.Peer) []byte {
			b := p.Encode(ping("ping"))
			return append(b[len(b)-2:], p.Encode(text("Hello"))...)
		}, "ping",
	},
	{"after a pong", func(p *wstest.Peer) []byte { return p.Encode(pong("")) }, func(p *wstest.Peer) []byte { return p.Encode(text("Hello")) }, ""},
}

var longText = strings.Repeat("x", 300)

// interruptions are the ways in which a read ends early. Each starts a read,
// interrupts it when it has eaten what came, and returns its result.
var interruptions = []struct {
	name string
	by   func(t *testing.T, c *Conn, send func()) error
}{
	{"deadline", func(t *testing.T, c *Conn, send func()) error {
		require.NoError(t, c.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
		read := reading(c)
		send()
		err := requireNothing(t, <-read)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		var ne net.Error
		require.ErrorAs(t, err, &ne)
		require.True(t, ne.Timeout())
		require.ErrorIs(t, requireNothing(t, <-reading(c)), os.ErrDeadlineExceeded, "the deadline still stands")
		require.NoError(t, c.SetReadDeadline(time.Time{}))
		return err
	}},
	{"deadline set while reading", func(t *testing.T, c *Conn, send func()) error {
		read := reading(c)
		send()
		require.NoError(t, c.SetReadDeadline(longAgo))
		err := requireNothing(t, <-read)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Hour)))
		return err
	}},
	{"context cancelled", func(t *testing.T, c *Conn, send func()) error {
		ctx, cancel := context.WithCancelCause(context.Background())
		read := readingContext(ctx, c)
		send()
		why := errors.New("why")
		cancel(why)
		err := requireNothing(t, <-read)
		require.Equal(t, why, err)
		return err
	}},
	{"context with a deadline", func(t *testing.T, c *Conn, send func()) error {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		read := readingContext(ctx, c)
		send()
		err := requireNothing(t, <-read)
		require.Equal(t, context.DeadlineExceeded, err)
		return err
	}},
}

func TestReadResumes(t *testing.T) {
	t.Parallel()
	for _, at := range resumable {
		for _, interrupted := range interruptions {
			t.Run(at.name+"/"+interrupted.name, func(t *testing.T) {
				inBubbles(t, func(t *testing.T, server bool) {
					c, peer := scripted(t, overPipe, server, Options{})
					before := at.before(peer)
					interrupted.by(t, c, func() {
						if len(before) > 0 {
							peer.Write(before)
						}
					})
					read := reading(c)
					peer.SendRaw(at.after(peer))
					if at.pong != "" {
						peer.Expect(pong(at.pong))
					}
					g := <-read
					require.NoError(t, g.err)
					require.Contains(t, []string{"Hello", longText}, string(g.p))
					require.NoError(t, c.Context().Err())
				})
			})
		}
	}
}

// A context that is done already gets no message, and takes none away.
func TestReadContextDoneBefore(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{})
		read := reading(c)
		peer.Send(text("first"), text("second"))
		requireMessage(t, TextMessage, "first", <-read)
		why := errors.New("why")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(why)
		require.Equal(t, why, requireNothing(t, <-readingContext(ctx, c)))
		requireMessage(t, TextMessage, "second", <-reading(c))
	})
}

func TestReadResumesOverSockets(t *testing.T) {
	for name, over := range map[string]link{"TCP": overTCP, "TLS": overTLS} {
		for _, at := range resumable {
			for _, interrupted := range interruptions {
				for _, server := range []bool{true, false} {
					t.Run(strings.Join([]string{name, at.name, interrupted.name, roleName(server)}, "/"), func(t *testing.T) {
						t.Parallel()
						c, peer := scripted(t, over, server, Options{})
						before := at.before(peer)
						interrupted.by(t, c, func() {
							if len(before) > 0 {
								peer.Write(before)
							}
						})
						read := reading(c)
						peer.SendRaw(at.after(peer))
						if at.pong != "" {
							peer.Expect(pong(at.pong))
						}
						g := <-read
						require.NoError(t, g.err)
						require.Contains(t, []string{"Hello", longText}, string(g.p))
					})
				}
			}
		}
	}
}

// Within a message an interruption is final: the rest would be taken for a
// message.
func TestReadDoesNotResumeWithinMessage(t *testing.T) {
	t.Parallel()
	halves := map[string]func(p *wstest.Peer) []byte{
		"payload": func(p *wstest.Peer) []byte { b := p.Encode(text("Hello")); return b[:len(b)-3] },
		"between fragments": func(p *wstest.Peer) []byte {
			return p.Encode(wstest.Frame{More: true, Opcode: wstest.Text, Payload: "He"})
		},
		"within a continuation's header": func(p *wstest.Peer) []byte {
			return append(p.Encode(wstest.Frame{More: true, Opcode: wstest.Text, Payload: "He"}), 0x80)
		},
		"ping between fragments": func(p *wstest.Peer) []byte {
			return append(p.Encode(wstest.Frame{More: true, Opcode: wstest.Text, Payload: "He"}), p.Encode(ping("half"))[:3]...)
		},
	}
	for name, half := range halves {
		t.Run(name+"/deadline", func(t *testing.T) {
			inBubbles(t, func(t *testing.T, server bool) {
				c, peer := scripted(t, overPipe, server, Options{})
				require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Second)))
				read := reading(c)
				peer.SendRaw(half(peer))
				g := <-read
				require.ErrorIs(t, g.err, os.ErrDeadlineExceeded)
				require.Equal(t, TextMessage, g.messageType)
				require.Equal(t, "He", string(g.p))
				require.NoError(t, c.SetReadDeadline(time.Time{}))
				requireSticky(t, c, g.err)
				require.Equal(t, g.err, context.Cause(c.Context()))
			})
		})
		t.Run(name+"/context", func(t *testing.T) {
			inBubbles(t, func(t *testing.T, server bool) {
				c, peer := scripted(t, overPipe, server, Options{})
				why := errors.New("why")
				ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, why)
				defer cancel()
				read := readingContext(ctx, c)
				peer.SendRaw(half(peer))
				require.Equal(t, got{TextMessage, []byte("He"), why}, <-read)
				requireSticky(t, c, why)
				require.Equal(t, why, context.Cause(c.Context()))
			})
		})
	}
}

// What the program wants of the deadline holds again after a context has ended
// and while one is in use.
func TestReadDeadlineAndContext(t *testing.T) {
	t.Parallel()
	t.Run("restored", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			c, _ := scripted(t, overPipe, server, Options{})
			start := time.Now()
			require.NoError(t, c.SetReadDeadline(start.Add(time.Minute)))
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			require.Equal(t, context.DeadlineExceeded, (<-readingContext(ctx, c)).err)
			require.Equal(t, time.Second, time.Since(start))
			require.ErrorIs(t, (<-reading(c)).err, os.ErrDeadlineExceeded)
			require.Equal(t, time.Minute, time.Since(start))
		})
	})
	t.Run("deadline first", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			c, _ := scripted(t, overPipe, server, Options{})
			start := time.Now()
			require.NoError(t, c.SetReadDeadline(start.Add(time.Second)))
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			require.ErrorIs(t, (<-readingContext(ctx, c)).err, os.ErrDeadlineExceeded)
			require.Equal(t, time.Second, time.Since(start))
		})
	})
	t.Run("set while interrupted", func(t *testing.T) {
		t.Parallel()
		nc, _ := wstest.Pipe(t)
		d := deadline{c: &Conn{line: socket{nc: nc}}}
		d.interrupt()
		require.NoError(t, d.set(time.Time{}))
		_, err := nc.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded, "the interruption stands")
		d.restore()
		d.takeOver(longAgo)
		require.NoError(t, d.set(time.Time{}))
		d.interrupt()
		d.restore()
		_, err = nc.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded, "the program has no say any more")
	})
}

// A context that ends when the message is there, again and again: whatever the
// outcome, no message may be lost and no deadline left behind.
func TestReadContextRace(t *testing.T) {
	t.Parallel()
	for name, over := range map[string]link{"pipe": overPipe, "TCP": overTCP} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, theirs := connected(t, over, true, Options{})
			const messages = 500
			sent := soon(func() error {
				for i := range messages {
					if err := theirs.WriteMessage(TextMessage, fmt.Append(nil, i)); err != nil {
						return err
					}
				}
				return nil
			})
			for i := 0; i < messages; {
				ctx, cancel := context.WithCancel(t.Context())
				go cancel()
				_, p, err := c.ReadMessageContext(ctx, nil)
				if err != nil {
					require.Equal(t, context.Canceled, err)
					require.Nil(t, p)
					continue
				}
				require.Equal(t, fmt.Sprint(i), string(p))
				i++
			}
			require.NoError(t, <-sent)
		})
	}
}

func TestEarlyBytes(t *testing.T) {
	t.Parallel()
	for _, server := range []bool{true, false} {
		for _, n := range []int{5, 4096, 10_000} {
			t.Run(fmt.Sprintf("%s/%d", roleName(server), n), func(t *testing.T) {
				t.Parallel()
				clientEnd, serverEnd := wstest.Pipe(t)
				want := strings.Repeat("x", n)
				var early []byte
				nc := clientEnd
				if server {
					nc, early = serverEnd, text(want).Masked()
				} else {
					early = text(want).Unmasked()
				}
				c := NewConn(nc, Negotiated{Server: server, Subprotocol: "chat", Buffered: early}, Options{})
				clear(early) // they are ours no more
				requireMessage(t, TextMessage, want, <-reading(c))
				require.Equal(t, Negotiated{Server: server, Subprotocol: "chat"}, c.Negotiated())
				require.Equal(t, "chat", c.Subprotocol())
			})
		}
	}
}

func TestAccessors(t *testing.T) {
	t.Parallel()
	nc, _ := wstest.TCP(t)
	c := NewConn(nc, Negotiated{Compression: &Compression{}}, Options{Compression: &Compression{}})
	require.Same(t, nc, c.NetConn())
	require.Same(t, nc, c.UnderlyingConn())
	require.Equal(t, nc.LocalAddr(), c.LocalAddr())
	require.Equal(t, nc.RemoteAddr(), c.RemoteAddr())
	require.Equal(t, &Compression{ServerMaxWindowBits: 15, ClientMaxWindowBits: 15}, c.Negotiated().Compression)
	require.Empty(t, c.Subprotocol())
	c.EnableWriteCompression(true)
	for level := -2; level <= 9; level++ {
		require.NoError(t, c.SetCompressionLevel(level))
	}
	require.Error(t, c.SetCompressionLevel(-3))
	require.Error(t, c.SetCompressionLevel(10))
}

// Options and Compression may be copied: vet would tell of a lock in them.
func TestOptionsAreCopied(t *testing.T) {
	t.Parallel()
	opts := Options{ReadLimit: 5, Compression: &Compression{Level: 1}}
	again, terms := opts, *opts.Compression
	require.Equal(t, opts, again)
	require.Equal(t, 1, terms.Level)
}

func TestAllowInvalidUTF8(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{AllowInvalidUTF8: true})
		read := reading(c)
		peer.Send(text("\xff"))
		requireMessage(t, TextMessage, "\xff", <-read)
	})
}

func TestWriteMessage(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 125, 126, 4096, 4097, 65_535, 65_536, 200_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			inBubbles(t, func(t *testing.T, server bool) {
				c, peer := scripted(t, overPipe, server, Options{})
				data := []byte(strings.Repeat("0123456789", size/10+1)[:size])
				before := string(data)
				wrote := soon(func() error { return c.WriteMessage(BinaryMessage, data) })
				peer.Expect(wstest.Frame{Opcode: wstest.Binary, Payload: before})
				require.NoError(t, <-wrote)
				require.Equal(t, before, string(data), "the caller's bytes stay as they are")
			})
		})
	}
}

func TestWriteMessageOfControlType(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{})
		wrote := soon(func() error {
			return errors.Join(
				c.WriteMessage(PingMessage, []byte("i")),
				c.WriteMessage(PongMessage, nil),
				c.WriteMessage(CloseMessage, FormatCloseMessage(CloseGoingAway, "bye")))
		})
		peer.Expect(ping("i"), pong(""), wstest.CloseFrame(1001, "bye"))
		require.NoError(t, <-wrote)
		requireCloseSent(t, c)
	})
}

// requireCloseSent checks that every kind of write returns ErrCloseSent.
func requireCloseSent(t testing.TB, c *Conn) {
	t.Helper()
	pm, err := NewPreparedMessage(TextMessage, []byte("x"))
	require.NoError(t, err)
	require.Equal(t, ErrCloseSent, c.WriteMessage(TextMessage, nil))
	require.Equal(t, ErrCloseSent, c.WriteMessageContext(t.Context(), BinaryMessage, make([]byte, 10_000)))
	require.Equal(t, ErrCloseSent, c.WriteControl(PingMessage, nil, time.Now().Add(time.Second)))
	require.Equal(t, ErrCloseSent, c.WriteControl(CloseMessage, nil, time.Time{}))
	require.Equal(t, ErrCloseSent, c.WritePreparedMessage(pm))
	require.Equal(t, ErrCloseSent, c.WriteJSON(1))
	_, err = c.NextWriter(TextMessage)
	require.Equal(t, ErrCloseSent, err)
	_, err = c.Ping(t.Context())
	require.Equal(t, ErrCloseSent, err)
}

func TestInvalidWrites(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{})
		for _, messageType := range []int{-1, 0, 3, 7, 11, 15, 16, 257} {
			require.Equal(t, errBadMessageType, c.WriteMessage(messageType, nil))
			require.Equal(t, errBadMessageType, c.WriteMessageContext(t.Context(), messageType, nil))
			require.Equal(t, errBadMessageType, c.WriteControl(messageType, nil, time.Time{}))
			_, err := c.NextWriter(messageType)
			require.Equal(t, errBadMessageType, err)
			_, err = NewPreparedMessage(messageType, nil)
			require.Equal(t, errBadMessageType, err)
			require.Equal(t, errBadMessageType, c.TryWriteMessage(messageType, nil))
		}
		require.Equal(t, errBadMessageType, c.WriteControl(TextMessage, nil, time.Time{}))
		require.Equal(t, errBadMessageType, c.WriteControl(BinaryMessage, nil, time.Time{}))
		for _, messageType := range []int{CloseMessage, PingMessage, PongMessage} {
			require.Equal(t, errInvalidControl, c.WriteMessage(messageType, make([]byte, 126)))
			require.Equal(t, errInvalidControl, c.WriteControl(messageType, make([]byte, 126), time.Time{}))
			require.Equal(t, errInvalidControl, c.TryWriteMessage(messageType, make([]byte, 126)))
			_, err := NewPreparedMessage(messageType, make([]byte, 126))
			require.Equal(t, errInvalidControl, err)
		}
		wrote := soon(func() error { return c.WriteMessage(TextMessage, []byte("still fine")) })
		peer.Expect(text("still fine"))
		require.NoError(t, <-wrote)
	})
}

func TestNextWriter(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{})
		full := strings.Repeat("x", defaultBufferSize)
		wrote := soon(func() error {
			w, err := c.NextWriter(TextMessage)
			if err != nil {
				return err
			}
			_, err = io.WriteString(w, full+"rest")
			return errors.Join(err, w.Close())
		})
		peer.Expect(wstest.Frame{More: true, Opcode: wstest.Text, Payload: full}, wstest.Frame{Payload: "rest"})
		require.NoError(t, <-wrote)

		// A forgotten one is ended by the next.
		forgotten, err := c.NextWriter(BinaryMessage)
		require.NoError(t, err)
		_, err = forgotten.Write([]byte("forgotten"))
		require.NoError(t, err)
		next := soon(func() error { _, err := c.NextWriter(TextMessage); return err })
		peer.Expect(wstest.Frame{Opcode: wstest.Binary, Payload: "forgotten"})
		require.NoError(t, <-next)
		_, err = forgotten.Write([]byte("more"))
		require.Error(t, err)
		require.Error(t, forgotten.Close())
	})
}

// Whole messages go ahead of a message that has sent nothing, and wait for one
// that has, but not for ever.
func TestWriteWhileNextWriterIsOpen(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{})
		w, err := c.NextWriter(TextMessage)
		require.NoError(t, err)
		_, err = w.Write([]byte("He"))
		require.NoError(t, err)
		wrote := soon(func() error { return c.WriteMessage(TextMessage, []byte("ahead")) })
		peer.Expect(text("ahead"))
		require.NoError(t, <-wrote)

		rest := strings.Repeat("l", defaultBufferSize-1) // with "He" one byte too long for the buffer
		sent := soon(func() error { _, err := w.Write([]byte(rest)); return err })
		peer.Expect(wstest.Frame{More: true, Opcode: wstest.Text, Payload: "He" + rest[1:]})
		require.NoError(t, <-sent)

		start := time.Now()
		err = c.WriteMessage(TextMessage, []byte("behind"))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.ErrorContains(t, err, "another message is open")
		require.Equal(t, 5*time.Second, time.Since(start))

		start = time.Now()
		require.NoError(t, c.SetWriteDeadline(start.Add(time.Second)))
		require.ErrorIs(t, c.WriteMessage(TextMessage, []byte("behind")), os.ErrDeadlineExceeded)
		require.Equal(t, time.Second, time.Since(start))
		require.NoError(t, c.SetWriteDeadline(time.Time{}))

		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		require.Equal(t, context.DeadlineExceeded, c.WriteMessageContext(ctx, TextMessage, []byte("behind")))

		control := soon(func() error { return c.WriteControl(PingMessage, []byte("between"), time.Time{}) })
		peer.Expect(ping("between"))
		require.NoError(t, <-control)

		wrote = soon(func() error { return c.WriteMessage(TextMessage, []byte("behind")) })
		synctest.Wait()
		closed := soon(w.Close)
		peer.Expect(wstest.Frame{Payload: "l"}, text("behind"))
		require.NoError(t, <-closed)
		require.NoError(t, <-wrote)
	})
}

func TestWriteTimeoutWhileNextWriterIsOpen(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{WriteTimeout: time.Second})
		w, err := c.NextWriter(TextMessage)
		require.NoError(t, err)
		large := strings.Repeat("l", defaultBufferSize+1)
		sent := soon(func() error { _, err := w.Write([]byte(large)); return err })
		peer.Expect(wstest.Frame{More: true, Opcode: wstest.Text, Payload: large[1:]})
		require.NoError(t, <-sent)
		start := time.Now()
		require.ErrorIs(t, c.WriteMessage(TextMessage, nil), os.ErrDeadlineExceeded)
		require.Equal(t, time.Second, time.Since(start))
		closed := soon(w.Close)
		peer.Expect(wstest.Frame{Payload: "l"})
		require.NoError(t, <-closed, "the connection is as it was")
	})
}

func TestWriteDeadline(t *testing.T) {
	t.Parallel()
	t.Run("nothing sent", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, server bool) {
			c, peer := scripted(t, overPipe, server, Options{})
			require.NoError(t, c.SetWriteDeadline(time.Now().Add(-time.Second)))
			err := c.WriteMessage(TextMessage, []byte("late"))
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			require.NoError(t, c.SetWriteDeadline(time.Time{}))
			wrote := soon(func() error { return c.WriteMessage(TextMessage, []byte("in time")) })
			peer.Expect(text("in time"))
			require.NoError(t, <-wrote)
		})
	})
	for _, by := range []string{"deadline", "option", "context"} {
		t.Run("peer does not read/"+by, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, server bool) {
				start := time.Now()
				var opts Options
				if by == "option" {
					opts.WriteTimeout = time.Second
				}
				c, _ := scripted(t, overPipe, server, opts)
				var err error
				switch by {
				case "context":
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					err = c.WriteMessageContext(ctx, TextMessage, []byte("Hello"))
					require.Equal(t, context.DeadlineExceeded, err)
				case "deadline":
					require.NoError(t, c.SetWriteDeadline(start.Add(time.Second)))
					fallthrough
				default:
					err = c.WriteMessage(TextMessage, []byte("Hello"))
					require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				}
				require.Equal(t, time.Second, time.Since(start))
				require.NoError(t, c.SetWriteDeadline(time.Time{}))
				require.Equal(t, err, c.WriteMessage(TextMessage, nil), "it stays")
				require.Equal(t, err, c.WriteControl(PingMessage, nil, time.Time{}))
				_, nextErr := c.NextWriter(TextMessage)
				require.Equal(t, err, nextErr)
				require.Equal(t, err, context.Cause(c.Context()))
			})
		})
	}
}

// A context that is done before anything was sent does no harm.
func TestWriteMessageContextDoneBefore(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{})
		why := errors.New("why")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(why)
		require.Equal(t, why, c.WriteMessageContext(ctx, TextMessage, []byte("never")))
		wrote := soon(func() error { return c.WriteMessage(TextMessage, []byte("Hello")) })
		peer.Expect(text("Hello"))
		require.NoError(t, <-wrote)
	})
}

func TestWriteMessageContextWhileWaiting(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{})
		first := soon(func() error { return c.WriteMessage(TextMessage, []byte("first")) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.Equal(t, context.DeadlineExceeded, c.WriteMessageContext(ctx, TextMessage, make([]byte, smallMessage)))
		peer.Expect(text("first"))
		require.NoError(t, <-first)
		require.NoError(t, c.Context().Err())
	})
}

// Writers and readers in numbers: nothing is lost, doubled, mixed up or damaged,
// and each writer's messages come in order.
func TestConcurrentUse(t *testing.T) {
	noLeaks(t)
	for name, over := range map[string]link{"pipe": overPipe, "TCP": overTCP, "TLS": overTLS, "HTTP/2": overHTTP2} {
		for _, server := range []bool{true, false} {
			t.Run(name+"/"+roleName(server), func(t *testing.T) {
				const writers, readers, each = 6, 3, 60
				ours, theirs := connected(t, over, server, Options{})
				var writing, readingAll sync.WaitGroup
				for w := range writers {
					writing.Go(func() {
						rnd := mathrand.New(mathrand.NewPCG(uint64(w), 0))
						for i := range each {
							if err := writeNumbered(ours, rnd, w, i); err != nil {
								t.Errorf("writer %d: %v", w, err)
								return
							}
						}
					})
				}
				var pinging sync.WaitGroup
				readingAll.Go(func() { ours.ReadMessage() })
				pinging.Go(func() {
					for range each {
						if _, err := ours.Ping(t.Context()); err != nil {
							t.Errorf("ping: %v", err)
							return
						}
					}
				})
				var mu sync.Mutex
				seen := make([][]bool, writers)
				for w := range seen {
					seen[w] = make([]bool, each)
				}
				count := 0
				for range readers {
					readingAll.Go(func() {
						for {
							_, p, err := theirs.ReadMessage()
							if err != nil {
								return
							}
							w, i, err := readNumbered(p)
							mu.Lock()
							if err != nil || seen[w][i] {
								t.Errorf("message %d of writer %d: seen before, or %v", i, w, err)
							} else {
								seen[w][i] = true
								count++
							}
							mu.Unlock()
						}
					})
				}
				writing.Wait()
				pinging.Wait()
				require.NoError(t, ours.Shutdown(t.Context(), 0, ""))
				readingAll.Wait()
				require.Equal(t, writers*each, count)
			})
		}
	}
}

// writeNumbered sends a message that says who sent it and carries its checksum,
// in one of the ways there are.
func writeNumbered(c *Conn, rnd *mathrand.Rand, w, i int) error {
	p := binary.BigEndian.AppendUint32(nil, uint32(w))
	p = binary.BigEndian.AppendUint32(p, uint32(i))
	letters := []byte{0xff, 0x07}[rnd.IntN(2)] // those of few letters compress
	for range rnd.IntN([]int{10, 1000, 10_000}[rnd.IntN(3)]) {
		p = append(p, byte(rnd.Uint32())&letters)
	}
	p = binary.BigEndian.AppendUint32(p, crc32.ChecksumIEEE(p))
	switch rnd.IntN(4) {
	case 0:
		pm, err := NewPreparedMessage(BinaryMessage, p)
		if err != nil {
			return err
		}
		return c.WritePreparedMessage(pm)
	case 1:
		_, err := c.Stream(BinaryMessage).Write(p)
		return err
	case 2:
		return c.WriteMessageContext(context.Background(), BinaryMessage, p)
	}
	return c.WriteMessage(BinaryMessage, p)
}

func readNumbered(p []byte) (w, i int, err error) {
	if len(p) < 12 {
		return 0, 0, fmt.Errorf("message of %d bytes", len(p))
	}
	body, sum := p[:len(p)-4], binary.BigEndian.Uint32(p[len(p)-4:])
	if crc32.ChecksumIEEE(body) != sum {
		return 0, 0, errors.New("checksum differs")
	}
	return int(binary.BigEndian.Uint32(p)), int(binary.BigEndian.Uint32(p[4:])), nil
}

// One writer's messages arrive in order while others write too, and one that
// writes piece by piece.
func TestWritersKeepTheirOrder(t *testing.T) {
	t.Parallel()
	for name, over := range map[string]link{"pipe": overPipe, "TCP": overTCP} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ours, theirs := connected(t, over, true, Options{})
			const writers, each = 4, 50
			var writing sync.WaitGroup
			for w := range writers {
				writing.Go(func() {
					for i := range each {
						p := binary.BigEndian.AppendUint32(nil, uint32(w))
						p = binary.BigEndian.AppendUint32(p, uint32(i))
						var err error
						if w == 0 {
							// Only one NextWriter at a time: another ends it.
							var mw io.WriteCloser
							if mw, err = ours.NextWriter(BinaryMessage); err == nil {
								_, err = mw.Write(p)
								large := make([]byte, 10_000)
								_, err2 := mw.Write(large)
								err = errors.Join(err, err2, mw.Close())
							}
						} else {
							err = ours.WriteMessage(BinaryMessage, p)
						}
						if err != nil {
							t.Errorf("writer %d: %v", w, err)
							return
						}
					}
				})
			}
			next := make([]uint32, writers)
			for range writers * each {
				_, p, err := theirs.ReadMessage()
				require.NoError(t, err)
				w := binary.BigEndian.Uint32(p)
				require.Equal(t, next[w], binary.BigEndian.Uint32(p[4:]))
				if w == 0 {
					require.Len(t, p, 10_008)
				}
				next[w]++
			}
			writing.Wait()
		})
	}
}

func TestContext(t *testing.T) {
	t.Parallel()
	causes := map[string]struct {
		end   func(t *testing.T, c *Conn, peer *wstest.Peer)
		check func(t *testing.T, cause error)
	}{
		"Close": {
			func(t *testing.T, c *Conn, peer *wstest.Peer) { require.NoError(t, c.Close()) },
			func(t *testing.T, cause error) { require.ErrorIs(t, cause, net.ErrClosed) },
		},
		"peer's close frame": {
			func(t *testing.T, c *Conn, peer *wstest.Peer) {
				read := reading(c)
				peer.Send(wstest.CloseFrame(4001, "x"))
				peer.ExpectClose(4001)
				<-read
			},
			func(t *testing.T, cause error) { require.Equal(t, &CloseError{4001, "x"}, cause) },
		},
		"write error": {
			func(t *testing.T, c *Conn, peer *wstest.Peer) {
				peer.Close()
				require.Error(t, c.WriteMessage(TextMessage, nil))
			},
			func(t *testing.T, cause error) { require.ErrorIs(t, cause, io.ErrClosedPipe) },
		},
		"broken rule": {
			func(t *testing.T, c *Conn, peer *wstest.Peer) {
				read := reading(c)
				peer.Send(wstest.Frame{Opcode: 3})
				peer.ExpectClose(CloseProtocolError)
				<-read
			},
			func(t *testing.T, cause error) { require.Equal(t, errReservedOpcode, cause) },
		},
	}
	for name, tt := range causes {
		t.Run(name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, server bool) {
				early, peer := scripted(t, overPipe, server, Options{})
				ctx := early.Context()
				require.NoError(t, ctx.Err())
				require.Equal(t, ctx, early.Context())
				tt.end(t, early, peer)
				require.Equal(t, context.Canceled, ctx.Err())
				tt.check(t, context.Cause(ctx))

				late, peer := scripted(t, overPipe, server, Options{})
				tt.end(t, late, peer)
				require.Equal(t, context.Canceled, late.Context().Err())
				tt.check(t, context.Cause(late.Context()))
				late.Close()
				tt.check(t, context.Cause(late.Context()))
			})
		})
	}
}

// A handshake done elsewhere may have left deadlines behind.
func TestNewConnClearsDeadlines(t *testing.T) {
	t.Parallel()
	client, server := wstest.TCP(t)
	require.NoError(t, server.SetDeadline(longAgo))
	c := NewConn(server, Negotiated{Server: true}, Options{})
	defer c.Close()
	peer := wstest.NewClient(t, client)
	peer.Send(text("Hello"))
	_, p, err := c.ReadMessage()
	require.NoError(t, err)
	require.NoError(t, c.WriteMessage(TextMessage, p))
	peer.Expect(text("Hello"))
}
