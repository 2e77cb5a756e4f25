package hostile

import (
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/internal/wstest"
)

// What no peer may send fails the connection with 1002 (RFC 6455, sections 5.1 to 5.5): between messages, and within one.
func TestBadFrames(t *testing.T) {
	type frames = []wstest.Frame
	for name, c := range map[string]frames{
		"RSV2":                      {{RSV: 2, Opcode: wstest.Text, Payload: "Hello"}},
		"RSV3":                      {{RSV: 1, Opcode: wstest.Binary, Payload: "Hello"}},
		"all RSV":                   {{RSV: 7, Opcode: wstest.Text, Payload: "Hello"}},
		"RSV1 of a ping":            {{RSV: 4, Opcode: wstest.Ping, Payload: "Hello"}},
		"RSV1 of a close":           {{RSV: 4, Opcode: wstest.Close}},
		"RSV2 of a pong":            {{RSV: 2, Opcode: wstest.Pong}},
		"opcode 3":                  {{Opcode: 0x3, Payload: "Hello"}},
		"opcode 7":                  {{Opcode: 0x7}},
		"opcode 3, more to come":    {{More: true, Opcode: 0x3}},
		"opcode b":                  {{Opcode: 0xb, Payload: "Hello"}},
		"opcode f":                  {{Opcode: 0xf}},
		"fragmented ping":           {{More: true, Opcode: wstest.Ping, Payload: "He"}, {Payload: "llo"}},
		"fragmented pong":           {{More: true, Opcode: wstest.Pong}},
		"fragmented close":          {{More: true, Opcode: wstest.Close, Payload: "\x03\xe8"}},
		"long ping":                 {{Opcode: wstest.Ping, Payload: strings.Repeat("x", 126)}},
		"long close":                {wstest.CloseFrame(websocket.CloseNormalClosure, strings.Repeat("x", 124))},
		"close payload of one byte": {{Opcode: wstest.Close, Payload: "\x03"}},
	} {
		for _, within := range []bool{false, true} {
			t.Run(name+map[bool]string{true: ", within a message"}[within], func(t *testing.T) {
				eachTarget(t, func(t *testing.T, g target) {
					v := g.open(t)
					v.Send(wstest.Frame{Opcode: wstest.Text, Payload: "before"})
					v.expectDelivered(websocket.TextMessage, "before")
					if within {
						v.Send(wstest.Frame{More: true, Opcode: wstest.Text, Payload: "first"})
					}
					v.Send(append(c, wstest.Frame{Opcode: wstest.Text, Payload: "after"})...)
					v.expectFailure(websocket.CloseProtocolError)
				})
			})
		}
	}
}

// A continuation continues something, and nothing else comes before it has (RFC 6455, section 5.4).
func TestBadOrder(t *testing.T) {
	type frames = []wstest.Frame
	for name, c := range map[string]frames{
		"continuation first":                  {{Payload: "Hello"}},
		"continuation first, more to come":    {{More: true, Payload: "Hello"}},
		"new message within one":              {{More: true, Opcode: wstest.Text, Payload: "He"}, {Opcode: wstest.Text, Payload: "llo"}},
		"new message within an empty one":     {{More: true, Opcode: wstest.Text}, {Opcode: wstest.Binary}},
		"new fragmented message within one":   {{More: true, Opcode: wstest.Text, Payload: "He"}, {More: true, Opcode: wstest.Text}},
		"new message behind a ping within it": {{More: true, Opcode: wstest.Binary}, {Opcode: wstest.Pong}, {Opcode: wstest.Binary}},
	} {
		t.Run(name, func(t *testing.T) {
			eachTarget(t, func(t *testing.T, g target) {
				v := g.open(t)
				v.Send(c...)
				v.expectFailure(websocket.CloseProtocolError)
			})
		})
	}
	t.Run("continuation behind a message", func(t *testing.T) {
		eachTarget(t, func(t *testing.T, g target) {
			v := g.open(t)
			v.Send(wstest.Frame{More: true, Opcode: wstest.Text, Payload: "He"}, wstest.Frame{Payload: "llo"}, wstest.Frame{Payload: "!"})
			v.expectDelivered(websocket.TextMessage, "Hello")
			v.expectFailure(websocket.CloseProtocolError)
		})
	})
}

// Frames from a client are masked, those from a server are not (RFC 6455, section 5.1).
func TestMaskedWrongly(t *testing.T) {
	for name, f := range map[string]wstest.Frame{
		"message":       {Opcode: wstest.Text, Payload: "Hello"},
		"empty message": {Opcode: wstest.Binary},
		"fragment":      {More: true, Opcode: wstest.Binary, Payload: "Hello"},
		"ping":          {Opcode: wstest.Ping, Payload: "Hello"},
		"close":         wstest.CloseFrame(websocket.CloseNormalClosure, ""),
	} {
		t.Run(name, func(t *testing.T) {
			eachTarget(t, func(t *testing.T, g target) {
				v := g.open(t)
				if g.door.client() {
					v.SendRaw(f.Masked())
				} else {
					v.SendRaw(f.Unmasked())
				}
				v.expectFailure(websocket.CloseProtocolError)
			})
		})
	}
}

// Close codes that may not stand in a frame (RFC 6455, section 7.4), and a reason that is not UTF-8 (section 8.1).
func TestBadClose(t *testing.T) {
	for _, code := range []int{0, 1, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535} {
		t.Run(strconv.Itoa(code), func(t *testing.T) {
			eachTarget(t, func(t *testing.T, g target) {
				v := g.open(t)
				v.Send(wstest.CloseFrame(code, "bye"))
				v.expectFailure(websocket.CloseProtocolError)
			})
		})
	}
	t.Run("reason", func(t *testing.T) {
		eachTarget(t, func(t *testing.T, g target) {
			v := g.open(t)
			v.Send(wstest.CloseFrame(websocket.CloseNormalClosure, "bye\xff"))
			v.expectFailure(websocket.CloseInvalidFramePayloadData)
		})
	})
}

// After the close frame nothing counts (RFC 6455, section 1.4): no message, no ping, no second close frame, and nothing that is wrong.
func TestDataAfterClose(t *testing.T) {
	for name, f := range map[string]wstest.Frame{
		"message":      {Opcode: wstest.Text, Payload: "after"},
		"ping":         {Opcode: wstest.Ping, Payload: "after"},
		"close":        wstest.CloseFrame(websocket.CloseGoingAway, "after"),
		"reserved":     {RSV: 7, Opcode: 0xf},
		"continuation": {Payload: "after"},
	} {
		t.Run(name, func(t *testing.T) {
			eachTarget(t, func(t *testing.T, g target) {
				v := g.open(t)
				v.Send(wstest.CloseFrame(3000, "bye"), f)
				v.Expect(wstest.CloseFrame(3000, "bye"))
				v.leave()
				require.True(t, websocket.IsCloseError(v.end(), 3000))
				v.expectNothingMore()
			})
		})
	}
}

// leave ends the connection behind the closing handshake. The server does so first, and a client waits for it (RFC 6455, section 7.1.1).
func (v *victim) leave() {
	v.t.Helper()
	if v.door.client() {
		require.NoError(v.t, v.halfClose())
	}
	v.ExpectEnd()
}

const secret = "the secret of another connection "

// leak has a connection receive secrets of all small sizes, echo them, and go: memory that held them is in the pools then.
func leak(t *testing.T, g target) {
	g.answer = true
	v := g.open(t)
	for n := range 5 {
		p := strings.Repeat(secret, 1+n*n)
		v.Send(wstest.Frame{Opcode: wstest.Binary, Payload: p}, wstest.Frame{Opcode: wstest.Ping, Payload: p[:len(secret)]})
		v.expectDelivered(websocket.BinaryMessage, p)
	}
	v.Send(wstest.CloseFrame(3000, secret))
	for v.Receive().Opcode != wstest.Close {
	}
	v.leave()
	require.True(t, websocket.IsCloseError(v.end(), 3000))
}

// A pong has the payload of its ping and the answer to a close frame that of the close frame, neither more nor less, whatever the memory
// held before (ws CVE-2016-10518, CVE-2026-45736). The payload comes in two pieces.
func TestControlPayloadEchoed(t *testing.T) {
	eachTarget(t, func(t *testing.T, g target) {
		leak(t, g)
		v := g.open(t)
		payload := strings.Repeat("0123456789", 13)
		for _, within := range []bool{false, true} {
			if within {
				v.Send(wstest.Frame{More: true, Opcode: wstest.Text, Payload: "first"})
			}
			for n := range 126 {
				ping := wstest.Frame{Opcode: wstest.Ping, Payload: payload[:n]}
				b := v.Encode(ping)
				v.SendRaw(b[:len(b)-n/2])
				v.SendRaw(b[len(b)-n/2:])
				v.Expect(wstest.Frame{Opcode: wstest.Pong, Payload: payload[:n]})
			}
		}
		v.Send(wstest.Frame{Opcode: wstest.Continuation, Payload: " and last"})
		v.expectDelivered(websocket.TextMessage, "first and last")
	})
	for _, payload := range []string{"", "\x0b\xb8", "\x0b\xb8b", "\x0b\xb8bye", "\x0b\xb8" + strings.Repeat("x", 62), "\x0b\xb8" + strings.Repeat("y", 123)} {
		t.Run("close of "+strconv.Itoa(len(payload)), func(t *testing.T) {
			eachTarget(t, func(t *testing.T, g target) {
				leak(t, g)
				v := g.open(t)
				v.Send(wstest.Frame{Opcode: wstest.Close, Payload: payload})
				v.Expect(wstest.Frame{Opcode: wstest.Close, Payload: payload})
				v.leave()
			})
		})
	}
}
