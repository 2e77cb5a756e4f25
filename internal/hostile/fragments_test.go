package hostile

import (
	"bytes"
	"compress/flate"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/internal/wstest"
)

// How many fragments a message may have that is read as a whole, and how many in a row may be empty: 1008 beyond that.
const (
	maxFragments      = 131_072
	maxEmptyFragments = 64
)

// fragments encodes n fragments of a binary message with p each, and does not end it.
func (v *victim) fragments(n int, p string) []byte {
	b := v.Encode(wstest.Frame{More: true, Opcode: wstest.Binary, Payload: p})
	next := v.Encode(wstest.Frame{More: true, Opcode: wstest.Continuation, Payload: p})
	return append(b, bytes.Repeat(next, n-1)...)
}

// 131,070 fragments of one byte without FIN (ws CVE-2026-48779) are kept, for they are within the limit, and a message of 131,072 is
// delivered. A message read as a whole may not have one more; what is read piece by piece may, for nothing gathers.
func TestFragmentsOfOneByte(t *testing.T) {
	t.Run("131070 and no end", func(t *testing.T) {
		eachTarget(t, func(t *testing.T, g target) {
			v := g.open(t)
			v.SendRaw(v.fragments(maxFragments-2, "a"))
			v.ExpectNothing()
			v.breakOff()
		})
	})
	t.Run("131072", func(t *testing.T) {
		eachTarget(t, func(t *testing.T, g target) {
			v := g.open(t)
			v.SendRaw(v.fragments(maxFragments-1, "a"))
			v.Send(wstest.Frame{Opcode: wstest.Continuation, Payload: "a"})
			v.expectDelivered(websocket.BinaryMessage, string(bytes.Repeat([]byte("a"), maxFragments)))
			v.expectWell()
		})
	})
	t.Run("131073", func(t *testing.T) {
		eachTarget(t, func(t *testing.T, g target) {
			v := g.open(t)
			v.SendRaw(v.fragments(maxFragments, "a"))
			v.Send(wstest.Frame{Opcode: wstest.Continuation, Payload: "a"})
			if g.way == byStream {
				v.expectDelivered(websocket.BinaryMessage, string(bytes.Repeat([]byte("a"), maxFragments+1)))
				v.expectWell()
				return
			}
			v.expectFailure(websocket.ClosePolicyViolation)
		})
	})
}

// 64 fragments in a row may be empty, and no more (ws #2329, undici #5422: without end), be they the first of their message or not.
func TestFragmentsEmpty(t *testing.T) {
	for _, before := range []string{"", "some"} {
		t.Run("64 after "+strconv.Quote(before), func(t *testing.T) {
			eachTarget(t, func(t *testing.T, g target) {
				v := g.open(t)
				v.SendRaw(v.empty(before, maxEmptyFragments))
				v.Send(wstest.Frame{More: true, Opcode: wstest.Continuation, Payload: "a"})
				v.SendRaw(bytes.Repeat(v.Encode(wstest.Frame{More: true, Opcode: wstest.Continuation}), maxEmptyFragments)) // counted anew
				v.Send(wstest.Frame{Opcode: wstest.Continuation, Payload: "b"})
				v.expectDelivered(websocket.BinaryMessage, before+"ab")
				v.expectWell()
			})
		})
		t.Run("65 after "+strconv.Quote(before), func(t *testing.T) {
			eachTarget(t, func(t *testing.T, g target) {
				v := g.open(t)
				v.SendRaw(v.empty(before, maxEmptyFragments+1))
				v.expectFailure(websocket.ClosePolicyViolation)
			})
		})
	}
	t.Run("pings between them do not count", func(t *testing.T) {
		eachTarget(t, func(t *testing.T, g target) {
			v := g.open(t)
			v.SendRaw(v.empty("", maxEmptyFragments))
			v.ExpectNothing()
			v.Send(wstest.Frame{Opcode: wstest.Continuation}) // it is the last, and empty
			v.expectFailure(websocket.ClosePolicyViolation)
		})
	})
	t.Run("without end", func(t *testing.T) {
		eachTarget(t, func(t *testing.T, g target) {
			v := g.open(t)
			v.SendRaw(v.empty("", 10_000)) // less than is left unread without a reset
			v.expectFailure(websocket.ClosePolicyViolation)
		})
	})
	t.Run("a million", func(t *testing.T) {
		eachTarget(t, func(t *testing.T, g target) {
			v := g.open(t)
			million := v.empty("", 1_000_000)
			require.NoError(t, v.SetWriteDeadline(time.Now().Add(patience)))
			_, _ = v.Write(million) // what the victim does not wait for is lost, and the close frame may be lost with it
			var broken *websocket.ProtocolError
			require.ErrorAs(t, v.end(), &broken)
			require.Equal(t, websocket.ClosePolicyViolation, broken.Code)
			v.expectNothingMore()
		})
	})
}

// empty encodes n empty fragments, behind one with p unless that is empty too.
func (v *victim) empty(p string, n int) []byte {
	if p == "" {
		return v.fragments(n, "")
	}
	b := v.fragments(1, p)
	return append(b, bytes.Repeat(v.Encode(wstest.Frame{More: true, Opcode: wstest.Continuation}), n)...)
}

// The end of the connection is never the end of a message: not between fragments, and not within a header, a length, a masking key, or a
// payload. What was whole before is delivered.
func TestEndOfInputWithinMessage(t *testing.T) {
	long := string(bytes.Repeat([]byte("x"), 300))
	first := wstest.Frame{More: true, Opcode: wstest.Text, Payload: "first"}
	for name, c := range map[string]struct {
		before []wstest.Frame
		cut    wstest.Frame
		from   int // bytes that come of it, at least: with none the input would end between messages
	}{
		"a message":                   {nil, wstest.Frame{Opcode: wstest.Text, Payload: "Hello"}, 1},
		"a message of 300 bytes":      {nil, wstest.Frame{Opcode: wstest.Binary, Payload: long}, 1},
		"an empty message":            {nil, wstest.Frame{Opcode: wstest.Binary}, 1},
		"a continuation":              {[]wstest.Frame{first}, wstest.Frame{Opcode: wstest.Continuation, Payload: "last"}, 0},
		"an empty continuation":       {[]wstest.Frame{first}, wstest.Frame{Opcode: wstest.Continuation}, 0},
		"a ping within a message":     {[]wstest.Frame{first}, wstest.Frame{Opcode: wstest.Ping, Payload: "ping"}, 0},
		"a close frame":               {nil, wstest.CloseFrame(websocket.CloseNormalClosure, "bye"), 1},
		"a message of 100,000 bytes":  {nil, wstest.Frame{Opcode: wstest.Binary, Payload: string(make([]byte, 100_000))}, 1},
		"a close frame in a message":  {[]wstest.Frame{first}, wstest.CloseFrame(websocket.CloseNormalClosure, "bye"), 0},
		"the first of more fragments": {nil, wstest.Frame{More: true, Opcode: wstest.Binary, Payload: "Hello"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			eachTarget(t, func(t *testing.T, g target) {
				whole := len(g.encode(c.cut))
				if c.cut.More {
					whole++ // its end is between fragments
				}
				for n := c.from; n < whole; n++ {
					switch {
					case n == 15 && n < whole-2:
						n = whole - 2 // a few bytes of a payload are enough, and the last ones
					case !(g.way == byMessage && g.door == throughConn) && !*full && n != c.from && n != 2 && n < whole-1:
						continue
					}
					v := g.open(t)
					v.Send(wstest.Frame{Opcode: wstest.Text, Payload: "before"})
					v.Send(c.before...)
					v.SendRaw(v.Encode(c.cut)[:n])
					v.expectDelivered(websocket.TextMessage, "before")
					v.breakOff()
				}
			})
		})
	}
}

// encode is what the attacker of a target sends for a frame.
func (g target) encode(f wstest.Frame) []byte {
	if g.door.client() {
		return f.Unmasked()
	}
	return f.Masked()
}

// What had come of a message that broke off is returned with the error by ReadMessage, as documented, and by nobody else.
func TestEndOfInputPartialData(t *testing.T) {
	eachDoor(t, func(t *testing.T, g target) {
		g.silent = true
		v := g.open(t)
		v.Send(wstest.Frame{More: true, Opcode: wstest.Text, Payload: "all "})
		v.SendRaw(v.Encode(wstest.Frame{Opcode: wstest.Continuation, Payload: "that came"})[:len(v.header("8089"))+4])
		require.NoError(t, v.halfClose())
		messageType, p, err := v.conn.ReadMessage()
		require.True(t, websocket.IsCloseError(err, websocket.CloseAbnormalClosure), "%v", err)
		require.Equal(t, websocket.TextMessage, messageType)
		require.Equal(t, "all that", string(p))
		messageType, p, again := v.conn.ReadMessage()
		require.Equal(t, err, again)
		require.Equal(t, -1, messageType)
		require.Empty(t, p)
	})
}

// A message that comes together with FIN is delivered, and so is an empty one.
func TestEndOfInputBehindMessage(t *testing.T) {
	for name, frames := range map[string][]wstest.Frame{
		"text":         {{Opcode: wstest.Text, Payload: "last words"}},
		"empty text":   {{Opcode: wstest.Text}},
		"empty binary": {{Opcode: wstest.Binary}},
		"two":          {{Opcode: wstest.Binary, Payload: "last but one"}, {Opcode: wstest.Text, Payload: "last"}},
		"64 KiB":       {{Opcode: wstest.Binary, Payload: string(make([]byte, 64<<10))}},
	} {
		t.Run(name, func(t *testing.T) {
			eachTarget(t, func(t *testing.T, g target) {
				v := g.open(t)
				v.Send(frames...)
				require.NoError(t, v.halfClose())
				for _, f := range frames {
					v.expectDelivered(int(f.Opcode), f.Payload)
				}
				v.expectBrokenOff() // the end between messages is not a closing handshake either
			})
		})
	}
}

// Empty messages are messages: of one frame, of fragments, and compressed, with the octet that RFC 7692, section 7.2.3.6, wants and without.
func TestEmptyMessages(t *testing.T) {
	eachTarget(t, func(t *testing.T, g target) {
		v := g.open(t)
		for _, opcode := range []byte{wstest.Text, wstest.Binary} {
			v.Send(wstest.Frame{Opcode: opcode})
			v.expectDelivered(int(opcode), "")
			v.Send(wstest.Frame{Opcode: opcode, More: true}, wstest.Frame{Opcode: wstest.Ping}, wstest.Frame{})
			v.Expect(wstest.Frame{Opcode: wstest.Pong})
			v.expectDelivered(int(opcode), "")
			if g.deflate {
				v.Send(wstest.Frame{Opcode: opcode, RSV: 4, Payload: "\x00"})
				v.expectDelivered(int(opcode), "")
				v.Send(wstest.Frame{Opcode: opcode, RSV: 4})
				v.expectDelivered(int(opcode), "")
			}
		}
		v.expectWell()
	})
}

// Text that is not UTF-8 fails the connection as soon as it can be seen (RFC 6455, section 8.1), long before the frame's end comes.
func TestUTF8FailsFast(t *testing.T) {
	for name, text := range map[string]string{
		"no first byte":          "Hello\xff",
		"no continuation":        "Hello\xc3(",
		"overlong":               "Hello\xc0\xaf",
		"surrogate":              "Hello\xed\xa0",
		"beyond U+10FFFF":        "Hello\xf4\x90",
		"split in the character": "Hello\xe2\x28",
		"after 10,000 bytes":     string(bytes.Repeat([]byte("a"), 10_000)) + "\xff",
	} {
		t.Run(name, func(t *testing.T) {
			eachTarget(t, func(t *testing.T, g target) {
				v := g.open(t)
				whole := v.Encode(wstest.Frame{Opcode: wstest.Text, Payload: text + string(make([]byte, 70_000))})
				v.SendRaw(whole[:len(whole)-70_000])
				v.expectFailure(websocket.CloseInvalidFramePayloadData)
			})
		})
		t.Run(name+", in a fragment", func(t *testing.T) {
			eachTarget(t, func(t *testing.T, g target) {
				v := g.open(t)
				v.Send(wstest.Frame{More: true, Opcode: wstest.Text, Payload: text[:6]}, wstest.Frame{Opcode: wstest.Ping})
				if text[5] != '\xff' && text[5] != '\xc0' {
					v.Expect(wstest.Frame{Opcode: wstest.Pong}) // so far it may be text
					whole := v.Encode(wstest.Frame{Opcode: wstest.Continuation, Payload: text[6:] + string(make([]byte, 70_000))})
					v.SendRaw(whole[:len(whole)-70_000])
				}
				v.expectFailure(websocket.CloseInvalidFramePayloadData)
			})
		})
		t.Run(name+", compressed", func(t *testing.T) {
			eachTarget(t, func(t *testing.T, g target) {
				if !g.deflate {
					return
				}
				v := g.open(t)
				var b bytes.Buffer
				w, err := flate.NewWriter(&b, flate.BestSpeed)
				require.NoError(t, err)
				_, err = w.Write([]byte(text))
				require.NoError(t, err)
				require.NoError(t, w.Flush())
				whole := v.Encode(wstest.Frame{RSV: 4, Opcode: wstest.Text, Payload: b.String() + string(make([]byte, 70_000))})
				v.SendRaw(whole[:len(whole)-70_000])
				v.expectFailure(websocket.CloseInvalidFramePayloadData)
			})
		})
	}
	t.Run("ends within a character", func(t *testing.T) {
		eachTarget(t, func(t *testing.T, g target) {
			v := g.open(t)
			v.Send(wstest.Frame{Opcode: wstest.Text, Payload: "Hello\xe2\x82"})
			v.expectFailure(websocket.CloseInvalidFramePayloadData)
		})
	})
}
