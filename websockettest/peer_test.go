package websockettest

import (
	"errors"
	"net"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
)

// twoPeers returns the ends of a connection in memory.
func twoPeers(t testing.TB) (client, server *Peer) {
	clientEnd, serverEnd := Pipe(0)
	return NewClientPeer(t, clientEnd), NewServerPeer(t, serverEnd)
}

// scripted returns a Conn that plays the role, and the Peer at its other end.
func scripted(t testing.TB, server bool, opts websocket.Options) (*websocket.Conn, *Peer) {
	clientEnd, serverEnd := Pipe(0)
	if server {
		c := websocket.NewConn(serverEnd, websocket.Negotiated{Server: true}, opts)
		t.Cleanup(func() { c.Close() })
		return c, NewClientPeer(t, clientEnd)
	}
	c := websocket.NewConn(clientEnd, websocket.Negotiated{}, opts)
	t.Cleanup(func() { c.Close() })
	return c, NewServerPeer(t, serverEnd)
}

func TestPeer(t *testing.T) {
	t.Parallel()
	inAndOut(t, func(t *testing.T) {
		client, server := twoPeers(t)
		client.Send(Text("a"), Ping("p"), Close(1001, "reason"), Close(0, ""), Close(1000, ""))
		server.Expect(Text("a"))
		require.Equal(t, "p", server.ExpectOpcode(websocket.PingMessage).Payload)
		require.Equal(t, "reason", server.ExpectClose(1001))
		require.Empty(t, server.ExpectClose(0))
		require.Equal(t, Close(1000, ""), server.Receive())

		server.SendBytes(server.Encode(Text("Hello"))[:3])
		server.SendBytes(server.Encode(Text("Hello"))[3:])
		client.Expect(Text("Hello"))
		wait := server.Go(func(p *Peer) { p.Expect(Ping("anything else?")); p.Send(Pong("anything else?")) })
		client.ExpectNothing()
		wait()

		client.CloseWrite()
		server.ExpectEnd()
		server.Send(Text("still open"))
		client.Expect(Text("still open"))
		server.Close()
		client.ExpectEnd()
		require.ErrorIs(t, server.NetConn().Close(), net.ErrClosed)
	})
}

// Each violation that a Peer can commit fails a Conn as the RFC has it.
func TestPeerMisbehaves(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		frames []Frame
		code   int
	}{
		"masking":              {[]Frame{{Opcode: websocket.TextMessage, WrongMask: true}}, websocket.CloseProtocolError},
		"RSV1":                 {[]Frame{{Opcode: websocket.TextMessage, RSV1: true}}, websocket.CloseProtocolError},
		"RSV2":                 {[]Frame{{Opcode: websocket.TextMessage, RSV2: true}}, websocket.CloseProtocolError},
		"RSV3":                 {[]Frame{{Opcode: websocket.TextMessage, RSV3: true}}, websocket.CloseProtocolError},
		"opcode":               {[]Frame{{Opcode: 0xb}}, websocket.CloseProtocolError},
		"a continuation first": {[]Frame{{Payload: "x"}}, websocket.CloseProtocolError},
		"an open message":      {[]Frame{{Opcode: websocket.TextMessage, More: true}, Text("")}, websocket.CloseProtocolError},
		"a fragmented ping":    {[]Frame{{Opcode: websocket.PingMessage, More: true}}, websocket.CloseProtocolError},
		"a long ping":          {[]Frame{Ping(strings.Repeat("x", 126))}, websocket.CloseProtocolError},
		"a long length":        {[]Frame{{Opcode: websocket.TextMessage, Payload: "x", LengthBytes: 8}}, websocket.CloseProtocolError},
		"the top bit":          {[]Frame{{Opcode: websocket.TextMessage, Length: 1 << 63}}, websocket.CloseProtocolError},
		"too long":             {[]Frame{{Opcode: websocket.TextMessage, Length: 1 << 62}}, websocket.CloseMessageTooBig},
		"UTF-8":                {[]Frame{Text("\xff")}, websocket.CloseInvalidFramePayloadData},
		"a close code":         {[]Frame{Close(1005, "")}, websocket.CloseProtocolError},
		"half a close code":    {[]Frame{{Opcode: websocket.CloseMessage, Payload: "x"}}, websocket.CloseProtocolError},
	} {
		for role, server := range map[string]bool{"server": true, "client": false} {
			inBubble(t, name+", to a "+role, func(t *testing.T) {
				c, peer := scripted(t, server, websocket.Options{})
				peer.Send(tc.frames...)
				_, _, err := c.ReadMessage()
				require.Error(t, err)
				peer.ExpectClose(tc.code)
				if server { // which ends the connection
					peer.ExpectEnd()
				}
			})
		}
	}
}

// A Peer that vanishes, in each way in which it can.
func TestPeerVanishes(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		vanish func(p *Peer)
		want   func(err error) bool
	}{
		"close":      {(*Peer).Close, func(err error) bool { return websocket.IsCloseError(err, websocket.CloseAbnormalClosure) }},
		"half close": {(*Peer).CloseWrite, func(err error) bool { return websocket.IsCloseError(err, websocket.CloseAbnormalClosure) }},
		"reset":      {(*Peer).Reset, func(err error) bool { return errors.Is(err, syscall.ECONNRESET) }},
	} {
		inBubble(t, name, func(t *testing.T) {
			c, peer := scripted(t, true, websocket.Options{})
			peer.SendBytes(peer.Encode(Text("Hello"))[:8])
			tc.vanish(peer)
			_, p, err := c.ReadMessage()
			require.Equal(t, "He", string(p))
			require.True(t, tc.want(err), "%v", err)
		})
	}
}

// What a Peer finds fault with, and how it says so.
func TestPeerFails(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("0123456789", 10)
	for name, tc := range map[string]struct {
		sent   func(other *Peer)
		expect func(p *Peer)
		parts  []string
	}{
		"another frame": {func(p *Peer) { p.Send(Text("a"), Close(1002, "bad")) }, func(p *Peer) { p.Expect(Text("a"), Ping("b")) }, []string{
			`scripted server: expected ping "b", received close 1002 "bad"`,
			"so far it has:\n\treceived text \"a\"\n\treceived close 1002 \"bad\"",
		}},
		"another bit": {func(p *Peer) { p.Send(Frame{Opcode: 1, RSV3: true}) }, func(p *Peer) { p.Expect(Text("")) }, []string{
			`expected text "", received text "", RSV3`,
		}},
		"another long payload": {func(p *Peer) { p.Send(Text(long + "a" + long)) }, func(p *Peer) { p.Expect(Text(long + "b" + long)) }, []string{
			"of 201 bytes; the payloads differ from byte 100 on: expected ...\"4567890123456789b012345678901234\"..., received ...\"4567890123456789a012345678901234\"...",
		}},
		"a shorter payload": {func(p *Peer) { p.Send(Text(long)) }, func(p *Peer) { p.Expect(Text(long + "more")) }, []string{
			"differ from byte 100 on: expected ...\"4567890123456789more\"..., received ...\"4567890123456789\"...",
		}},
		"another opcode": {func(p *Peer) { p.Send(Text("x")) }, func(p *Peer) { p.ExpectOpcode(websocket.PongMessage) }, []string{`expected pong, received text "x"`}},
		"another code":   {func(p *Peer) { p.Send(Close(1002, "why")) }, func(p *Peer) { p.ExpectClose(1000) }, []string{`expected close 1000, received close 1002 "why"`}},
		"no code":        {func(p *Peer) { p.Send(Close(0, "")) }, func(p *Peer) { p.ExpectClose(1000) }, []string{`expected close 1000, received close ""`}},
		"a code":         {func(p *Peer) { p.Send(Close(1000, "")) }, func(p *Peer) { p.ExpectClose(0) }, []string{`expected close without a code, received close 1000 ""`}},
		"half a code":    {func(p *Peer) { p.Send(Frame{Opcode: 8, Payload: "x"}) }, func(p *Peer) { p.ExpectClose(0) }, []string{`received close "x"`}},
		"no close":       {func(p *Peer) { p.Send(Text("")) }, func(p *Peer) { p.ExpectClose(0) }, []string{`expected close without a code, received text ""`}},
		"wrong masking": {func(p *Peer) { p.Send(Frame{Opcode: 1, WrongMask: true}) }, func(p *Peer) { p.Receive() }, []string{
			`expected a frame, received text "", with the wrong masking: a client masks its frames (RFC 6455, section 5.1)`,
		}},
		"noise":             {func(p *Peer) { p.SendBytes([]byte{0x82, 0xfe, 0, 1, 0, 0, 0, 0}) }, func(p *Peer) { p.Receive() }, []string{"a frame that is none", "82 fe 00 01 00 00 00 00"}},
		"silence":           {func(p *Peer) {}, func(p *Peer) { p.Expect(Text("x")) }, []string{`expected text "x": nothing happened within 10s`, "so far it has:\n\tnothing"}},
		"impatience":        {func(p *Peer) {}, func(p *Peer) { p.Timeout = time.Second; p.Receive() }, []string{"nothing happened within 1s"}},
		"an end":            {(*Peer).Close, func(p *Peer) { p.Receive() }, []string{"expected a frame: the other end has ended the connection\n"}},
		"half a frame":      {func(p *Peer) { p.SendBytes([]byte{0x81}); p.Close() }, func(p *Peer) { p.Receive() }, []string{"the other end has ended the connection within a frame"}},
		"a reset":           {(*Peer).Reset, func(p *Peer) { p.Receive() }, []string{"connection reset by peer"}},
		"no end, but more":  {func(p *Peer) { p.Send(Text("more")) }, (*Peer).ExpectEnd, []string{`expected the end of the connection, received text "more"`}},
		"no end, but reset": {(*Peer).Reset, (*Peer).ExpectEnd, []string{"expected the end of the connection: ", "connection reset by peer"}},
		"no end at all":     {func(p *Peer) {}, (*Peer).ExpectEnd, []string{"expected the end of the connection: nothing happened within 10s"}},
		"its own end":       {func(p *Peer) {}, func(p *Peer) { p.Close(); p.ExpectEnd() }, []string{"the connection was closed from here", "\tclosed the connection"}},
		"something":         {func(p *Peer) { p.Send(Text("there is")) }, (*Peer).ExpectNothing, []string{`expected pong "anything else?", received text "there is"`, "\tsent     ping \"anything else?\"\n\treceived text"}},
		"nobody reads":      {func(p *Peer) {}, func(p *Peer) { p.Send(Binary(strings.Repeat("x", 2<<20))) }, []string{"sending: nothing happened within 10s, after 1048576 of 2097162 bytes", "\tsent     binary"}},
		"nobody is there":   {(*Peer).Reset, func(p *Peer) { p.SendBytes([]byte{1, 2}) }, []string{"sending: ", "connection reset by peer, after 0 of 2 bytes", "sent     2 bytes: 01 02"}},
		"ended twice":       {func(p *Peer) {}, func(p *Peer) { p.CloseWrite(); p.CloseWrite() }, []string{"ending the connection: ", "\tended its side"}},
	} {
		inBubble(t, name, func(t *testing.T) {
			requireFailure(t, func(r testing.TB) {
				client, server := twoPeers(t)
				server.t = r
				tc.sent(client)
				tc.expect(server)
				t.Error("it goes on")
			}, tc.parts...)
		})
	}
	t.Run("a client", func(t *testing.T) {
		t.Parallel()
		requireFailure(t, func(t testing.TB) {
			client, server := twoPeers(t)
			server.Send(Frame{Opcode: 1, WrongMask: true})
			client.Receive()
		}, "scripted client: ", "a server does not mask its frames")
	})
	t.Run("no half close", func(t *testing.T) {
		t.Parallel()
		requireFailure(t, func(t testing.TB) {
			a, b := net.Pipe()
			defer b.Close()
			NewClientPeer(t, a).CloseWrite()
		}, "a *net.pipe has no CloseWrite")
	})
}

// A failure tells of the last frames, not of all.
func TestPeerHistory(t *testing.T) {
	t.Parallel()
	requireFailure(t, func(r testing.TB) {
		client, server := twoPeers(t)
		client.t = r
		for i := range 100 {
			client.Send(Binary(strconv.Itoa(i)))
			server.Receive()
		}
		server.Close()
		client.Receive()
	}, "so far it has:\n\tsent     binary \""+strconv.Itoa(80)+"\"\n")
}

// A failure closes the connection, so that nobody waits for what does not come.
func TestPeerFailureCloses(t *testing.T) {
	t.Parallel()
	inBubble(t, "at once", func(t *testing.T) {
		client, server := twoPeers(t)
		r := record(t, func(r testing.TB) {
			client.t = r
			server.Send(Text("x"))
			client.Expect(Text("y"))
		})
		require.True(t, r.Failed())
		server.ExpectEnd()
	})
	inBubble(t, "at the end", func(t *testing.T) {
		var server *Peer
		r := record(t, func(r testing.TB) {
			clientEnd, serverEnd := Pipe(0)
			NewClientPeer(r, clientEnd)
			server = NewServerPeer(t, serverEnd)
		})
		require.False(t, r.Failed())
		server.ExpectEnd()
	})
}

func TestPeerTimeout(t *testing.T) {
	t.Parallel()
	for name, timeout := range map[string]time.Duration{"long": 2 * time.Hour, "none": 0} {
		inBubble(t, name, func(t *testing.T) {
			client, server := twoPeers(t)
			client.Timeout = timeout
			wait := server.Go(func(p *Peer) { time.Sleep(time.Hour); p.Send(Text("late")) })
			client.Expect(Text("late"))
			wait()
		})
	}
}

func TestPeerGo(t *testing.T) {
	t.Parallel()
	inBubble(t, "a script that fails", func(t *testing.T) {
		requireFailure(t, func(r testing.TB) {
			client, server := twoPeers(t)
			server.t = r
			wait := server.Go(func(p *Peer) {
				p.Expect(Text("question"))
				t.Error("it goes on")
			})
			client.Send(Text("another"))
			client.ExpectEnd() // or it would wait for an answer
			wait()
		}, `expected text "question", received text "another"`)
	})
	inBubble(t, "a script that does not end", func(t *testing.T) {
		requireFailure(t, func(r testing.TB) {
			_, server := twoPeers(t)
			server.t = r
			server.Go(func(p *Peer) { p.Expect(Text("question")) })
			synctest.Wait()
		}, `expected text "question": the test has ended`)
	})
	inBubble(t, "a script that can't end after a failure", func(t *testing.T) {
		r := record(t, func(r testing.TB) {
			_, server := twoPeers(t)
			server.t = r
			server.Go(func(p *Peer) { p.Expect(Text("question")) })
			r.Fatalf("for another reason")
		})
		require.Equal(t, []string{"for another reason"}, r.errors)
	})
	inBubble(t, "two scripts", func(t *testing.T) {
		client, server := twoPeers(t)
		var waits []func()
		for range 2 {
			waits = append(waits, server.Go(func(p *Peer) { p.Send(Text("x")) }))
		}
		for _, wait := range waits {
			wait()
			wait()
		}
		client.Expect(Text("x"), Text("x"))
	})
}
