package hostile

import (
	"bufio"
	"io"
	"net"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/internal/wstest"
)

// A length has one form only: "the minimal number of bytes MUST be used to encode the length" (RFC 6455, section 5.2).
// Tomcat CVE-2020-13935 was an endless loop on a length with the top bit set, which MUST be 0.
func TestLengthNotMinimal(t *testing.T) {
	for name, header := range map[string]string{
		"16 bits for 5":             "81 fe 0005",
		"64 bits for 5":             "81 ff 0000000000000005",
		"64 bits for 300":           "81 ff 000000000000012c",
		"64 bits for 65535":         "81 ff 000000000000ffff",
		"16 bits for a ping":        "89 fe 0005",
		"64 bits for a ping":        "89 ff 0000000000000005",
		"16 bits for a close":       "88 fe 0005",
		"16 bits for nothing":       "82 fe 0000",
		"64 bits for nothing":       "82 ff 0000000000000000",
		"16 bits for a fragment":    "01 fe 007d",
		"top bit":                   "81 ff 8000000000000005",
		"top bit alone":             "82 ff 8000000000000000",
		"top bit of a fragment":     "01 ff 8000000000000005",
		"top bit of a ping":         "89 ff 8000000000000005",
		"all bits":                  "81 ff ffffffffffffffff",
		"minus 5":                   "82 ff fffffffffffffffb",
		"top bit of the lower half": "82 ff 8000000080000000",
		"a ping of 126 octets":      "89 fe 007e",
	} {
		t.Run(name, func(t *testing.T) {
			eachTarget(t, func(t *testing.T, g target) {
				v := g.open(t)
				v.Send(wstest.Frame{Opcode: wstest.Text, Payload: "before"})
				v.SendRaw(v.header(header))
				v.SendRaw([]byte("Hello"))
				v.expectDelivered(websocket.TextMessage, "before")
				v.expectFailure(websocket.CloseProtocolError)
			})
		})
	}
}

// A length beyond the limit is refused by the header alone: nobody waits for what it claims, nor makes room for it (CWE-789), nor adds
// it to anything (gorilla CVE-2020-27813, 2^63 - 1; 2^31 and 2^32 where an int has 32 bits). Ten bytes follow.
func TestLengthBeyondLimit(t *testing.T) {
	for name, header := range map[string]string{
		"one more":               "82 ff 0000000002000001",
		"256 MiB":                "82 ff 0000000010000000", // ws CVE-2016-10542: no limit by default
		"1 GiB":                  "81 ff 0000000040000000",
		"2^31 - 1":               "82 ff 000000007fffffff",
		"2^31":                   "82 ff 0000000080000000",
		"2^31 + 10":              "82 ff 000000008000000a",
		"2^32 - 1":               "82 ff 00000000ffffffff",
		"2^32":                   "81 ff 0000000100000000",
		"2^32 + 10":              "82 ff 000000010000000a",
		"2^62":                   "82 ff 4000000000000000",
		"2^63 - 10":              "82 ff 7ffffffffffffff6",
		"2^63 - 1":               "81 ff 7fffffffffffffff",
		"2^63 - 1 of a fragment": "02 ff 7fffffffffffffff",
	} {
		t.Run(name, func(t *testing.T) {
			eachTarget(t, func(t *testing.T, g target) {
				if g.way == byStream { // which has no limit that nobody set
					g.options.ReadLimit = websocket.DefaultReadLimit
				}
				v := g.open(t)
				v.Send(wstest.Frame{Opcode: wstest.Text, Payload: "before"})
				v.expectDelivered(websocket.TextMessage, "before")
				v.SendRaw(append(v.header(header), "0123456789"...))
				v.expectFailure(websocket.CloseMessageTooBig)
			})
		})
	}
}

// The same of a message that says it is compressed. What it may inflate to is the limit, and no compressed message needs very much more.
func TestLengthBeyondLimitCompressed(t *testing.T) {
	for name, header := range map[string]string{
		"256 MiB":                "c2 ff 0000000010000000",
		"1 GiB":                  "c1 ff 0000000040000000",
		"2^31":                   "c2 ff 0000000080000000",
		"2^32 + 10":              "c2 ff 000000010000000a",
		"2^63 - 1":               "c1 ff 7fffffffffffffff",
		"2^63 - 1 of a fragment": "42 ff 7fffffffffffffff",
	} {
		t.Run(name, func(t *testing.T) {
			eachTarget(t, func(t *testing.T, g target) {
				code := websocket.CloseMessageTooBig
				if !g.deflate {
					code = websocket.CloseProtocolError // RSV1 has no meaning
				}
				g.options.ReadLimit = websocket.DefaultReadLimit
				v := g.open(t)
				v.SendRaw(append(v.header(header), "0123456789"...))
				v.expectFailure(code)
			})
		})
	}
}

// The opcode is judged before anything is done about the length (Jetty CVE-2026-19204): whatever a frame claims, one that must not be is a
// breach of the protocol and not a message too big.
func TestLengthOfBadFrame(t *testing.T) {
	for name, header := range map[string]string{
		"reserved data opcode":           "83 ff 0000000040000000",
		"reserved control opcode":        "8b ff 7fffffffffffffff",
		"ping":                           "89 ff 0000000040000000",
		"pong":                           "8a ff 7fffffffffffffff",
		"close":                          "88 ff 0000000100000000",
		"continuation without a message": "80 ff 7fffffffffffffff",
		"reserved bit":                   "a2 ff 0000000040000000",
	} {
		t.Run(name, func(t *testing.T) {
			eachTarget(t, func(t *testing.T, g target) {
				g.options.ReadLimit = websocket.DefaultReadLimit
				v := g.open(t)
				v.SendRaw(v.header(header))
				v.expectFailure(websocket.CloseProtocolError)
			})
		})
	}
}

// The sum of all fragments is limited, and no counter of it overflows (gorilla CVE-2020-27813).
func TestLengthSum(t *testing.T) {
	const limit = 100
	first := wstest.Frame{More: true, Opcode: wstest.Binary, Payload: string(make([]byte, 60))}
	for name, c := range map[string]struct {
		header string
		fails  bool
	}{
		"the limit":                        {"80 a8", false},
		"one more":                         {"80 a9", true},
		"one more, and more to come":       {"00 a9", true},
		"2^16 - 60":                        {"80 fe ffc4", true},
		"2^31 - 60":                        {"80 ff 000000007fffffc4", true},
		"2^32 - 60":                        {"80 ff 00000000ffffffc4", true},
		"2^32":                             {"80 ff 0000000100000000", true},
		"2^63 - 60, which makes 2^63":      {"80 ff 7fffffffffffffc4", true},
		"2^63 - 1":                         {"80 ff 7fffffffffffffff", true},
		"2^63 - 1 of one that is not last": {"00 ff 7fffffffffffffff", true},
	} {
		t.Run(name, func(t *testing.T) {
			eachTarget(t, func(t *testing.T, g target) {
				g.options.ReadLimit = limit
				v := g.open(t)
				v.Send(first)
				v.SendRaw(v.header(c.header))
				if c.fails {
					v.expectFailure(websocket.CloseMessageTooBig)
					return
				}
				v.SendRaw(make([]byte, 40))
				v.expectDelivered(websocket.BinaryMessage, string(make([]byte, limit)))
				v.expectWell()
			})
		})
	}
}

// Where there is no limit, a length near 2^63 is waited for, and breaks off like any other: after a fragment, with which it would make
// more than 2^63, too.
func TestLengthWithoutLimit(t *testing.T) {
	for name, header := range map[string]string{
		"2^31":      "ff 0000000080000000",
		"2^32 + 10": "ff 000000010000000a",
		"2^63 - 1":  "ff 7fffffffffffffff",
	} {
		for _, fragments := range []bool{false, true} {
			t.Run(name+map[bool]string{true: " after a fragment"}[fragments], func(t *testing.T) {
				eachTarget(t, func(t *testing.T, g target) {
					g.options.ReadLimit = -1
					v := g.open(t)
					opcode := "82 "
					if fragments {
						v.Send(wstest.Frame{More: true, Opcode: wstest.Binary, Payload: "0123456789"})
						opcode = "80 "
					}
					v.SendRaw(append(v.header(opcode+header), "0123456789"...))
					v.breakOff()
				})
			})
		}
	}
}

// A length within the limit of which ten bytes come keeps nothing from ending: neither the connection's end nor Close.
func TestLengthNeverArrives(t *testing.T) {
	header := "82 ff 0000000002000000"
	t.Run("end of input", func(t *testing.T) {
		eachTarget(t, func(t *testing.T, g target) {
			v := g.open(t)
			v.SendRaw(append(v.header(header), "0123456789"...))
			v.breakOff()
		})
	})
	t.Run("Close", func(t *testing.T) {
		eachTarget(t, func(t *testing.T, g target) {
			v := g.open(t)
			v.Send(wstest.Frame{Opcode: wstest.Text, Payload: "before"})
			v.SendRaw(append(v.header(header), "0123456789"...))
			v.expectDelivered(websocket.TextMessage, "before")
			require.NoError(t, v.conn.Close())
			v.Drain()
			if err := v.end(); err != nil { // loops that are ended by their own side are content
				require.ErrorIs(t, err, net.ErrClosed)
			}
			v.expectNothingMore()
		})
	})
}

// A message of 256 MiB in fragments declares no total. It ends where the fragment begins that crosses the default limit (ws CVE-2016-10542);
// with a smaller limit, there (Netty CVE-2014-0193, aggregation without bound).
func TestLengthUndeclared(t *testing.T) {
	t.Run("default limit", func(t *testing.T) {
		each := eachDoor
		if *full {
			each = eachTarget
		}
		each(t, func(t *testing.T, g target) {
			if g.way == byStream {
				g.options.ReadLimit = websocket.DefaultReadLimit
			}
			aggregate(t, g, websocket.DefaultReadLimit, 256<<20, 256<<10)
		})
	})
	for _, size := range []int{100, 4 << 10, 100_000} {
		t.Run("64 KiB by "+strconv.Itoa(size), func(t *testing.T) {
			eachTarget(t, func(t *testing.T, g target) {
				g.options.ReadLimit = 64 << 10
				aggregate(t, g, g.options.ReadLimit, 8<<20, size)
			})
		})
	}
}

// aggregate sends a message of total bytes in fragments of some size, and wants it refused by the header of the fragment that crosses the
// limit: bytes of its payload may be on their way, but the program's end never sees them.
func aggregate(t *testing.T, g target, limit int64, total, size int) {
	v := g.open(t)
	first := v.Encode(wstest.Frame{More: true, Opcode: wstest.Binary, Payload: string(make([]byte, size))})
	next := v.Encode(wstest.Frame{More: true, Opcode: wstest.Continuation, Payload: string(make([]byte, size))})
	go func() { // until the victim ends it
		for sent, p := 0, first; sent < total; sent, p = sent+size, next {
			if _, err := v.Write(p); err != nil {
				return
			}
		}
	}()
	v.ExpectClose(websocket.CloseMessageTooBig) // before any reset that the rest of the message provokes
	require.ErrorIs(t, v.end(), websocket.ErrReadLimit)
	v.expectNothingMore()
	_, err := io.Copy(io.Discard, bufio.NewReader(v))
	_ = err // io.EOF, or a reset: more was sent than anybody wants to read
	payload := v.conn.Stats().PayloadRead
	require.Equal(t, limit/int64(size)*int64(size), payload, "all fragments within the limit were read, and no more")
}

// breakOff ends the attacker's side within a message, and wants nothing of it delivered: the connection ended without a close frame
// (RFC 6455, section 7.1.5), of which the victim is told as 1006.
func (v *victim) breakOff() {
	v.t.Helper()
	require.NoError(v.t, v.halfClose())
	v.expectBrokenOff()
}

// expectBrokenOff is what breakOff wants.
func (v *victim) expectBrokenOff() {
	v.t.Helper()
	err := v.end()
	require.True(v.t, websocket.IsCloseError(err, websocket.CloseAbnormalClosure), "%#v (%v)", err, err)
	require.ErrorIs(v.t, err, io.ErrUnexpectedEOF)
	v.expectNothingMore()
	if v.way != byServe && v.way != byStart { // these close what they read from
		require.NoError(v.t, v.conn.Close())
	}
	v.Drain()
}

// An endpoint that nobody attacks is a good one.
func TestNoAttack(t *testing.T) {
	eachTarget(t, func(t *testing.T, g target) {
		g.answer = true
		v := g.open(t)
		v.expectWell()
		v.Send(wstest.CloseFrame(websocket.CloseNormalClosure, "bye"))
		v.ExpectClose(websocket.CloseNormalClosure)
	})
}
