package hostile

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/internal/wstest"
)

// What a zero Upgrader and a zero Dialer do, no option set. Beside the tests of this file, others keep to the zero values as well: the same
// origin (TestOtherOrigin), lengths in their shortest form (TestLengthNotMinimal), headers of 64 KiB (TestHeaderForEver, TestAnswerForEver,
// TestAnswerOf64KiB), redirects (TestRedirectNotFollowed), certificates (TestZeroDialerChecksCertificates), masking keys
// (TestMaskingKeysAreRandom), extensions and subprotocols that were not offered (TestFalseAnswer).

// compressedMessage is data as one compressed message (RFC 7692, section 7.2.1).
func compressedMessage(t testing.TB, opcode byte, data []byte) wstest.Frame {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	require.NoError(t, err)
	_, err = w.Write(data)
	require.NoError(t, err)
	require.NoError(t, w.Flush())
	return wstest.Frame{Opcode: opcode, RSV: 4, Payload: strings.TrimSuffix(b.String(), "\x00\x00\xff\xff")}
}

// Messages that are read as a whole have 32 MiB at most (ws CVE-2016-10542: no default limit), of which a header that tells more is enough.
func TestDefaultReadLimit(t *testing.T) {
	require.Equal(t, 32<<20, websocket.DefaultReadLimit)
	for name, digits := range map[string][]string{
		"one frame":             {"82 ff 0000000002000001"},
		"2^62 bytes":            {"82 ff 4000000000000000"},
		"a fragment and a rest": {"02 81", "80 ff 0000000002000000"},
	} {
		t.Run(name, func(t *testing.T) {
			eachTarget(t, func(t *testing.T, g target) {
				if g.way == byStream {
					return // a NextReader streams, and its program sets a limit if it wants one: README, SetReadLimit
				}
				v := g.open(t)
				v.SendRaw(v.header(digits[0]))
				if len(digits) > 1 {
					v.SendRaw([]byte("x"))
					v.SendRaw(v.header(digits[1]))
				}
				v.expectFailure(websocket.CloseMessageTooBig)
			})
		})
	}
}

// The limit counts what a message inflates to, and takes exactly so much.
func TestDefaultReadLimitInflated(t *testing.T) {
	t.Parallel()
	const limit = websocket.DefaultReadLimit
	bomb := compressedMessage(t, wstest.Binary, make([]byte, limit+1))
	whole := compressedMessage(t, wstest.Binary, make([]byte, limit))
	require.Less(t, len(bomb.Payload), limit/500)
	eachDoor(t, func(t *testing.T, g target) {
		if !g.deflate {
			return
		}
		v := g.open(t)
		v.Send(whole)
		v.expectDelivered(websocket.BinaryMessage, strings.Repeat("\x00", limit))
		v.Send(bomb)
		v.expectFailure(websocket.CloseMessageTooBig)
	})
}

// Text is checked for UTF-8, and the first byte that is wrong is enough: the rest of its frame is never sent here (RFC 6455, section 8.1).
func TestDefaultUTF8(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]string{
		"no byte of UTF-8":        "\xff",
		"cut short":               "Hello \xc3\x28",
		"surrogate":               "Hello \xed\xa0\x80",
		"overlong":                "\xc0\xaf",
		"beyond U+10FFFF":         "\xf4\x90\x80\x80",
		"beyond U+10FFFF, 2 of 4": "Hello \xf4\x90",
	} {
		t.Run(name, func(t *testing.T) {
			eachTarget(t, func(t *testing.T, g target) {
				v := g.open(t)
				v.SendRaw(append(v.header("81 e4"), start...)) // of 100 bytes
				v.expectFailure(websocket.CloseInvalidFramePayloadData)
			})
		})
	}
}

// A message has at most 131,072 fragments, and 64 empty ones in a row.
func TestDefaultFragments(t *testing.T) {
	t.Parallel()
	fragment := func(opcode byte, payload string) wstest.Frame {
		return wstest.Frame{More: true, Opcode: opcode, Payload: payload}
	}
	of := func(v *victim, n int, payload string) []byte { // n continuations
		return bytes.Repeat(v.Encode(fragment(wstest.Continuation, payload)), n)
	}
	const most, mostEmpty = 131_072, 64
	eachDoor(t, func(t *testing.T, g target) {
		v := g.open(t)
		v.Send(fragment(wstest.Binary, "x"))
		v.SendRaw(of(v, most-2, "x"))
		v.Send(wstest.Frame{Opcode: wstest.Continuation, Payload: "x"})
		v.expectDelivered(websocket.BinaryMessage, strings.Repeat("x", most))
		v.Send(fragment(wstest.Binary, ""))
		v.SendRaw(of(v, mostEmpty-1, ""))
		v.Send(fragment(wstest.Continuation, "y"))
		v.SendRaw(of(v, mostEmpty, ""))
		v.Send(wstest.Frame{Opcode: wstest.Continuation, Payload: "z"})
		v.expectDelivered(websocket.BinaryMessage, "yz")
		v.Send(fragment(wstest.Binary, "x"))
		v.SendRaw(of(v, most, "x"))
		v.expectFailure(websocket.ClosePolicyViolation)
	})
	eachTarget(t, func(t *testing.T, g target) {
		v := g.open(t)
		v.Send(fragment(wstest.Binary, "x"))
		v.SendRaw(of(v, mostEmpty+1, ""))
		v.expectFailure(websocket.ClosePolicyViolation)
	})
}

// While a write is blocked, pings are answered later, and not all of them. A KiB of pongs waits, of which the last is the newest: "If an endpoint receives a Ping frame and has not yet sent Pong frame(s)
// in response to previous Ping frame(s), the endpoint MAY elect to send a Pong frame for only the most recently processed Ping frame"
// (RFC 6455, section 5.5.3).
func TestDefaultPongsQueued(t *testing.T) {
	t.Parallel()
	for _, d := range doors {
		t.Run(string(d), func(t *testing.T) {
			t.Parallel()
			v := target{door: d, way: byMessage}.open(t)
			large := strings.Repeat("x", 32<<20) // more than sockets hold
			written := make(chan error, 1)
			go func() { written <- v.conn.WriteMessage(websocket.BinaryMessage, []byte(large)) }()
			first := make([]byte, 2)
			require.NoError(t, v.SetReadDeadline(time.Now().Add(patience)))
			_, err := io.ReadFull(v.Conn, first) // it is being written
			require.NoError(t, err)
			var pings []byte
			count := 10_000
			if d == throughHTTP2 {
				count = 3000 // net/http grants a stream nothing while a write to it waits for a window: these fit into the first
			}
			for i := range count {
				pings = append(pings, v.Encode(wstest.Frame{Opcode: wstest.Ping, Payload: string(binary.BigEndian.AppendUint32(nil, uint32(i)))})...)
			}
			v.SendRaw(pings)
			v.Send(wstest.Frame{Opcode: wstest.Text, Payload: "all pings are read"})
			v.expectDelivered(websocket.TextMessage, "all pings are read")
			f, _, err := wstest.ReadFrame(io.MultiReader(bytes.NewReader(first), v.Conn))
			require.NoError(t, err)
			require.True(t, f.Payload == large)
			require.NoError(t, <-written)
			octets := 0
			for last := -1; last < count-1; {
				pong := v.Receive()
				require.Equal(t, byte(wstest.Pong), pong.Opcode)
				n := int(binary.BigEndian.Uint32([]byte(pong.Payload)))
				require.Greater(t, n, last, "pongs keep their order")
				last = n
				octets += len(pong.Unmasked())
			}
			require.LessOrEqual(t, octets, 1<<10)
			v.ExpectNothing()
		})
	}
}

// requireTenSeconds wants one deadline among all, 10 s after some moment between two.
func requireTenSeconds(t testing.TB, all []time.Time, earliest, latest time.Time) {
	t.Helper()
	require.True(t, all[len(all)-1].IsZero(), "the connection keeps a deadline")
	all = slices.DeleteFunc(all, time.Time.IsZero)
	require.Len(t, all, 1)
	require.False(t, all[0].Before(earliest.Add(10*time.Second)))
	require.False(t, all[0].After(latest.Add(10*time.Second)))
}

// A zero Upgrader has the request read and the answer written within 10 s.
func TestDefaultHandshakeTimeout(t *testing.T) {
	t.Parallel()
	attacker, server := wstest.TCP(t)
	nc := &deadlines{Conn: server}
	go send(attacker, request(""), byteByByte)
	before := time.Now()
	c, _, err := new(websocket.Upgrader).UpgradeConn(nc)
	require.NoError(t, err)
	requireTenSeconds(t, nc.all(), before, time.Now())
	require.NoError(t, c.Close())
}

// deadlineListener accepts connections that note their deadlines.
type deadlineListener struct {
	net.Listener
	accepted chan *deadlines
}

func (l deadlineListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	noting := &deadlines{Conn: nc}
	l.accepted <- noting
	return noting, nil
}

// The same behind an http.Server that has no timeouts.
func TestDefaultHandshakeTimeoutThroughNetHTTP(t *testing.T) {
	t.Parallel()
	noting := deadlineListener{listen(t), make(chan *deadlines, 1)}
	type span struct{ from, to time.Time }
	upgraded := make(chan span, 1)
	nc := connectTo(t, noting, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		before := time.Now()
		c, err := new(websocket.Upgrader).Upgrade(w, r, nil)
		upgraded <- span{before, time.Now()}
		if err == nil {
			c.Close()
		}
	})})
	send(nc, request(""), atOnce)
	at := <-upgraded
	requireTenSeconds(t, (<-noting.accepted).all(), at.from, at.to)
}

// drip sends raw a byte per second, nearly, until the other end has had enough.
func drip(nc net.Conn, raw string) {
	for i := range raw {
		if _, err := io.WriteString(nc, raw[i:i+1]); err != nil {
			return
		}
		time.Sleep(time.Second - time.Millisecond)
	}
}

// A byte per second gets nobody beyond the 10 s; nor does a client that reads nothing of the answer, or a server that says nothing.
func TestDefaultHandshakeTimeoutEnds(t *testing.T) {
	t.Parallel()
	t.Run("request", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			attacker, server := wstest.Pipe(t)
			var attack sync.WaitGroup
			attack.Go(func() { drip(attacker, request("")) })
			defer attack.Wait()
			start := time.Now()
			_, _, err := new(websocket.Upgrader).UpgradeConn(server)
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			require.Equal(t, 10*time.Second, time.Since(start))
		})
	})
	t.Run("answer", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			attacker, server := wstest.Pipe(t)
			go send(attacker, request(""), atOnce)
			start := time.Now()
			_, _, err := new(websocket.Upgrader).UpgradeConn(server)
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			require.Equal(t, 10*time.Second, time.Since(start))
		})
	})
	for name, raw := range map[string]string{
		"dial":                 goodAnswer,
		"dial, refused slowly": "HTTP/1.1 403 Forbidden\r\nContent-Length: 1000\r\n\r\n" + strings.Repeat("x", 1000),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := wstest.Pipe(t)
				var attack sync.WaitGroup
				attack.Go(func() {
					head, _ := new(liar).receive(server)
					drip(server, answered(raw, head))
				})
				defer attack.Wait()
				start := time.Now()
				var deadline time.Time
				d := websocket.Dialer{NetDialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
					deadline, _ = ctx.Deadline()
					return client, nil
				}}
				_, _, err := d.Dial("ws://server.example.com/", nil)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.Equal(t, 10*time.Second, time.Since(start))
				require.Equal(t, 10*time.Second, deadline.Sub(start))
			})
		})
	}
	t.Run("dial, no connection", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			over := make(chan struct{})
			defer func() { <-over }()
			d := websocket.Dialer{NetDial: func(network, addr string) (net.Conn, error) {
				defer close(over)
				time.Sleep(time.Minute)
				return nil, os.ErrDeadlineExceeded
			}}
			_, _, err := d.Dial("ws://server.example.com/", nil)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, 10*time.Second, time.Since(start))
		})
	})
}

// inBubble runs f with both ends of a connection in memory, in a bubble whose time is nobody's.
func inBubble(t *testing.T, f func(t *testing.T, c *websocket.Conn, peer *wstest.Peer)) {
	t.Run("server", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			attacker, server := wstest.Pipe(t)
			opened := make(chan *websocket.Conn, 1)
			go func() {
				c, _, err := new(websocket.Upgrader).UpgradeConn(server)
				if err != nil {
					t.Error(err)
				}
				opened <- c
			}()
			send(attacker, request(""), atOnce)
			readHead(t, attacker)
			f(t, <-opened, wstest.NewClient(t, attacker))
		})
	})
	t.Run("client", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client, attacker := wstest.Pipe(t)
			go func() {
				head, _ := new(liar).receive(attacker)
				send(attacker, answered(goodAnswer, head), atOnce)
			}()
			d := websocket.Dialer{NetDial: func(string, string) (net.Conn, error) { return client, nil }}
			c, _, err := d.Dial("ws://server.example.com/", nil)
			require.NoError(t, err)
			f(t, c, wstest.NewServer(t, attacker))
		})
	})
}

// A peer that does not answer the close frame has 5 s; then the connection is ended. It is also ended after both close frames, by the
// server at once, by the client after the 5 s that the server has for it (RFC 6455, section 7.1.1).
func TestDefaultClosing(t *testing.T) {
	t.Parallel()
	t.Run("no answer", func(t *testing.T) {
		inBubble(t, func(t *testing.T, c *websocket.Conn, peer *wstest.Peer) {
			start := time.Now()
			done := make(chan error, 1)
			go func() { done <- c.Shutdown(context.Background(), websocket.CloseNormalClosure, "bye") }()
			peer.Expect(wstest.CloseFrame(1000, "bye"))
			peer.Drain()
			require.Equal(t, 5*time.Second, time.Since(start))
			require.ErrorIs(t, <-done, os.ErrDeadlineExceeded)
		})
	})
	t.Run("answer that never ends", func(t *testing.T) {
		inBubble(t, func(t *testing.T, c *websocket.Conn, peer *wstest.Peer) {
			start := time.Now()
			done := make(chan error, 1)
			go func() { done <- c.Shutdown(context.Background(), websocket.CloseNormalClosure, "bye") }()
			peer.Expect(wstest.CloseFrame(1000, "bye"))
			for {
				if _, err := peer.Write(peer.Encode(wstest.Frame{Opcode: wstest.Text, Payload: "not yet"})); err != nil {
					break
				}
				time.Sleep(time.Second - time.Millisecond)
			}
			require.Error(t, <-done)
			require.LessOrEqual(t, time.Since(start), 6*time.Second)
		})
	})
	t.Run("peer's, connection left open", func(t *testing.T) {
		inBubble(t, func(t *testing.T, c *websocket.Conn, peer *wstest.Peer) {
			var read sync.WaitGroup
			read.Go(func() { _, _, _ = c.ReadMessage() })
			peer.Send(wstest.CloseFrame(1000, "bye"))
			peer.Expect(wstest.CloseFrame(1000, "bye"))
			read.Wait()
			start := time.Now()
			peer.Drain()
			require.LessOrEqual(t, time.Since(start), 5*time.Second)
		})
	})
	t.Run("over TCP", func(t *testing.T) {
		eachTarget(t, func(t *testing.T, g target) {
			if g.door.client() {
				return // it waits for the server
			}
			v := g.open(t)
			v.Send(wstest.CloseFrame(1000, "bye"))
			v.Expect(wstest.CloseFrame(1000, "bye"))
			v.ExpectEnd()
		})
	})
}

// DefaultDialer gives a handshake 45 s, and a context's own deadline counts in place of the default.
func TestOtherHandshakeTimeouts(t *testing.T) {
	t.Parallel()
	deadline := func(d websocket.Dialer, ctx context.Context) (left time.Duration) {
		d.Proxy = nil
		d.NetDialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if at, ok := ctx.Deadline(); ok {
				left = time.Until(at)
			}
			return nil, os.ErrInvalid
		}
		_, _, err := d.DialContext(ctx, "ws://server.example.com/", nil)
		require.ErrorIs(t, err, os.ErrInvalid)
		return left
	}
	synctest.Test(t, func(t *testing.T) {
		require.Equal(t, 45*time.Second, deadline(*websocket.DefaultDialer, t.Context()))
		require.Zero(t, deadline(websocket.Dialer{HandshakeTimeout: -1}, t.Context()))
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		require.Equal(t, time.Hour, deadline(websocket.Dialer{}, ctx))
		require.Equal(t, time.Minute, deadline(websocket.Dialer{HandshakeTimeout: time.Minute}, ctx))
	})
}
