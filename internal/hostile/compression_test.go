package hostile

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/internal/wstest"
)

// Compressed messages that are wrong (RFC 7692, RFC 1951). Their payload is made by hand, bit by bit, or by compress/flate.

const noTakeover = "; server_no_context_takeover; client_no_context_takeover"

// withParams has the attacker say this of permessage-deflate: in its offer, or in its answer.
func (g target) withParams(params string) target {
	g.deflate = true
	if !g.door.client() {
		params += "; client_max_window_bits"
	}
	g.extensions = "Sec-WebSocket-Extensions: permessage-deflate" + params + "\r\n"
	return g
}

// withDeflate are the targets that speak permessage-deflate, with context takeover and without; withoutDeflate are the others.
func withDeflate() (targets []target) {
	for _, g := range withoutDeflate() {
		targets = append(targets, g.withParams(""), g.withParams(noTakeover))
	}
	return targets
}

func withoutDeflate() (targets []target) {
	for _, d := range doors {
		for _, w := range ways {
			targets = append(targets, target{door: d, way: w})
		}
	}
	return targets
}

// each runs f against all of the targets.
func each(t *testing.T, targets []target, f func(t *testing.T, g target)) {
	for _, g := range targets {
		name := g.String()
		if !g.takesOver() {
			name += "/afresh"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, g)
		})
	}
}

// inTurn is a third of the targets, another one for each n: in each third there is every door, and every way through one of them, or more.
// It is all of them with -hostile.full.
func inTurn(n int, targets []target) (third []target) {
	for _, g := range targets {
		place := slices.Index(doors, g.door) + slices.Index(ways, g.way)
		if !g.takesOver() {
			place++
		}
		if *full || (place+n)%len(doors) == 0 {
			third = append(third, g)
		}
	}
	return third
}

// eachCase runs a table, in turn.
func eachCase(t *testing.T, cases map[string]string, f func(t *testing.T, g target, payload string)) {
	for n, name := range slices.Sorted(maps.Keys(cases)) {
		t.Run(name, func(t *testing.T) {
			each(t, inTurn(n, withDeflate()), func(t *testing.T, g target) { f(t, g, cases[name]) })
		})
	}
}

// takesOver reports whether the attacker may refer to its earlier messages.
func (g target) takesOver() bool { return !strings.Contains(g.extensions, noTakeover) }

// pack makes bytes of bits, which are taken from the low end of each byte (RFC 1951, section 3.1.1). Blanks do not count, and a | goes on
// to the next byte.
func pack(bits string) string {
	p := make([]byte, 0, len(bits)/8+1)
	n := 0
	for _, b := range bits {
		switch b {
		case ' ':
			continue
		case '|':
			n = 8 * len(p)
			continue
		}
		if n == 8*len(p) {
			p = append(p, 0)
		}
		p[n/8] |= byte(b-'0') << (n % 8)
		n++
	}
	return string(p)
}

// number returns the bits of a number, the low end first; code those of a Huffman code, the high end first.
func number(v, n int) string {
	b := []byte(code(v, n))
	for i := range len(b) / 2 {
		b[i], b[len(b)-1-i] = b[len(b)-1-i], b[i]
	}
	return string(b)
}

func code(v, n int) string {
	s := fmt.Sprintf("%0*b", n, v)
	if len(s) != n {
		panic(fmt.Sprintf("%d has more than %d bits", v, n))
	}
	return s
}

// The parts of DEFLATE data (RFC 1951, sections 3.2.3 to 3.2.7), in bits.
const (
	storedBlock = "0 00"
	fixedBlock  = "0 10"
	fixedEnd    = "0000000"
	afterFixed  = fixedEnd + "000" // and the header of the stored block whose other end is what a sender leaves out
)

func literal(b byte) string { return code(0x30+int(b), 8) } // of a fixed block, b < 144

// match3 refers to three bytes (symbol 257) with a distance code and its extra bits.
func match3(distance int, extra string) string { return "0000001" + code(distance, 5) + extra }

// dynamic begins a dynamic block whose code lengths are written as follows.
func dynamic(literals, distances int) string {
	lengths := map[int]int{16: 3, 18: 2, 0: 3, 1: 2, 2: 2}
	s := "0 01" + number(literals-257, 5) + number(distances-1, 5) + number(14, 4)
	for _, symbol := range []int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1} {
		s += number(lengths[symbol], 3)
	}
	return s
}

const (
	len0 = "110"
	len1 = "00"
	len2 = "01"
)

// zeros are n code lengths of 0, repeat the last one again.
func zeros(n int) string {
	s := ""
	for ; n >= 11; n -= min(n, 138) {
		s += "10" + number(min(n, 138)-11, 7)
	}
	return s + strings.Repeat(len0, n)
}

func repeat(n int) string { return "111" + number(n-3, 2) }

// aAndEnd are the code lengths of a literal code of a (0) and the end of the block (1).
var aAndEnd = zeros('a') + len1 + zeros(256-'a'-1) + len1

// deflated compresses a message with compress/flate.
func deflated(t testing.TB, level int, p string) string {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	require.NoError(t, err)
	_, err = io.WriteString(w, p)
	require.NoError(t, err)
	require.NoError(t, w.Flush())
	return strings.TrimSuffix(b.String(), "\x00\x00\xff\xff")
}

// inflated expands a message with compress/flate, which begins where the messages before have ended.
func inflated(t testing.TB, before, p string) string {
	t.Helper()
	r := flate.NewReaderDict(strings.NewReader(p+"\x00\x00\xff\xff"+"\x01\x00\x00\xff\xff"), []byte(before))
	b, err := io.ReadAll(r)
	require.NoError(t, err)
	return string(b)
}

// noise is what does not shrink.
func noise(seed uint64, n int) string {
	p := make([]byte, n)
	rnd := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)})
	_, _ = rnd.Read(p)
	return string(p)
}

// compressed is a message of one frame.
func compressed(opcode byte, payload string) wstest.Frame {
	return wstest.Frame{RSV: 4, Opcode: opcode, Payload: payload}
}

// inFragments cuts a message into fragments of n bytes.
func inFragments(f wstest.Frame, n int) (frames []wstest.Frame) {
	for p := f.Payload; ; {
		k := min(n, len(p))
		f.More, f.Payload = k < len(p), p[:k]
		frames = append(frames, f)
		if p = p[k:]; p == "" {
			return frames
		}
		f.RSV, f.Opcode = 0, wstest.Continuation
	}
}

// The messages of RFC 7692, section 7.2.3.
var (
	hello      = string(wstest.Hex("f2 48 cd c9 c9 07 00"))
	helloAgain = string(wstest.Hex("f2 00 11 00 00"))                         // with context takeover
	helloFinal = string(wstest.Hex("f3 48 cd c9 c9 07 00 00"))                // a block with BFINAL set
	helloTwice = string(wstest.Hex("f2 48 05 00 00 00 ff ff ca c9 c9 07 00")) // two blocks
)

// helloStored is a block without compression.
const helloStored = "\x00\x05\x00\xfa\xffHello\x00"

// Broken DEFLATE data fails the connection with 1007, and nothing of it is a message: neither what came before the fault nor a stream that
// ends within a block.
func TestDeflateBroken(t *testing.T) {
	var zlibbed, gzipped bytes.Buffer
	for _, w := range []io.WriteCloser{zlib.NewWriter(&zlibbed), gzip.NewWriter(&gzipped)} {
		_, err := io.WriteString(w, "Hello, Hello")
		require.NoError(t, err)
		require.NoError(t, w.Close())
	}
	a := literal('a')
	broken := map[string]string{
		"block type 3":             pack("0 11"),
		"block type 3, BFINAL":     pack("1 11"),
		"block type 3 behind good": hello[:6] + pack("00 0 11"),
		"LEN and NLEN differ":      pack(storedBlock+"00000"+number(5, 16)+number(0xfffb, 16)) + "Hello\x00",
		"LEN and NLEN agree":       pack(storedBlock+"00000"+number(5, 16)+number(5, 16)) + "Hello\x00",
		"stored bytes missing":     "\x00\x64\x00\x9b\xffHello\x00",
		"stored header cut off":    "\x00\x05\x00",
		"garbage":                  "\xff\xff\xff\xff",
		"the tail not left out":    hello + "\xff\xff\xff",
		"zlib":                     zlibbed.String(),
		"gzip":                     gzipped.String(),

		"length symbol 286":             pack(fixedBlock + a + code(0xc6, 8) + code(0, 5) + afterFixed),
		"length symbol 287":             pack(fixedBlock + a + code(0xc7, 8) + code(0, 5) + afterFixed),
		"distance symbol 30":            pack(fixedBlock + a + match3(30, number(0, 13)) + afterFixed),
		"distance symbol 31":            pack(fixedBlock + a + match3(31, number(0, 13)) + afterFixed),
		"distance beyond all bytes":     pack(fixedBlock + match3(4, "1") + afterFixed), // 6, and 5 were sent
		"distance beyond all, later":    pack(fixedBlock + a + a + match3(5, "1") + afterFixed),
		"the largest distance":          pack(fixedBlock + match3(29, "1111111111111") + afterFixed),
		"the largest distance, no more": pack(fixedBlock + match3(29, "1111111111111")),

		"dynamic: over-subscribed":         pack(dynamic(257, 1) + zeros('a') + len1 + len1 + zeros(254-'a') + len1 + len0 + "0 1 000"),
		"dynamic: incomplete":              pack(dynamic(257, 1) + zeros('a') + len1 + zeros(255-'a') + len2 + len0 + "0 10 000"),
		"dynamic: 287 length codes":        pack(dynamic(287, 1) + aAndEnd + zeros(30) + len0 + "0 1 000"),
		"dynamic: 288 length codes":        pack(dynamic(288, 1) + aAndEnd + zeros(31) + len0 + "0 1 000"),
		"dynamic: 31 distance codes":       pack(dynamic(257, 31) + aAndEnd + zeros(31) + "0 1 000"),
		"dynamic: 32 distance codes":       pack(dynamic(257, 32) + aAndEnd + zeros(32) + "0 1 000"),
		"dynamic: no end of block":         pack(dynamic(257, 1) + zeros('a') + len1 + len1 + zeros(255-'a') + len0 + "0 1 000"),
		"dynamic: no code":                 pack(dynamic(257, 1) + zeros(257) + len0 + "0 000"),
		"dynamic: the end has two bits":    pack(dynamic(257, 1) + zeros(256) + len2 + len0 + "00 000"),
		"dynamic: too many distances":      pack(dynamic(257, 3) + aAndEnd + len1 + len1 + len1 + "0 1 000"),
		"dynamic: too few distances":       pack(dynamic(257, 2) + aAndEnd + len1 + len2 + "0 1 000"),
		"dynamic: one distance, two bits":  pack(dynamic(257, 1) + aAndEnd + len2 + "0 1 000"),
		"dynamic: repeat of nothing":       pack(dynamic(257, 1) + repeat(3) + aAndEnd + len0 + "0 1 000"),
		"dynamic: repeat beyond the end":   pack(dynamic(257, 2) + aAndEnd + repeat(3) + "0 1 000"),
		"dynamic: zeros beyond the end":    pack(dynamic(257, 10) + aAndEnd + zeros(11) + "0 1 000"),
		"dynamic: match without distances": pack(dynamic(258, 1) + zeros('a') + len1 + zeros(158) + len2 + len2 + len0 + "0 11 0 10 000"),
		"dynamic: unused distance code":    pack(dynamic(258, 1) + zeros('a') + len1 + zeros(158) + len2 + len2 + len1 + "0 11 1 10 000"),
		"dynamic: header cut off":          pack(dynamic(257, 1) + zeros('a')),
		"code lengths: one":                pack("0 01" + number(0, 5) + number(0, 5) + number(0, 4) + number(0, 9) + number(1, 3) + "00"),
		"code lengths: none":               pack("0 01" + number(0, 5) + number(0, 5) + number(0, 4) + number(0, 12) + "00"),
		"code lengths: over-subscribed":    pack("0 01" + number(0, 5) + number(0, 5) + number(0, 4) + number(0o1111, 12) + "00"),
		"code lengths: incomplete":         pack("0 01" + number(0, 5) + number(0, 5) + number(0, 4) + number(0o2200, 12) + "00"),

		"garbage behind BFINAL":          helloFinal[:7] + "\xff\xff",
		"stored garbage behind BFINAL":   helloFinal[:7] + "\x00Hi",
		"cut off behind BFINAL":          helloFinal[:7] + pack(fixedBlock+a),
		"BFINAL in a block that is none": "\x01\x05\x00\xfa\xff",
	}
	for n := 1; n < len(hello); n++ {
		broken[fmt.Sprintf("cut off after %d octets", n)] = hello[:n]
	}
	for n := 6; n < len(helloTwice); n++ { // 5 octets of it are a block, and a bit or two of the next
		if n < 6 || n > 8 {
			broken[fmt.Sprintf("two blocks, cut off after %d octets", n)] = helloTwice[:n]
		}
	}
	eachCase(t, broken, func(t *testing.T, g target, payload string) {
		for _, size := range []int{len(payload), 1} {
			if size == 1 && g.door != throughConn {
				continue // frames do not depend on the door
			}
			v := g.open(t)
			v.Send(compressed(wstest.Text, hello))
			v.Send(inFragments(compressed(wstest.Binary, payload), size)...)
			v.expectDelivered(websocket.TextMessage, "Hello")
			v.expectFailure(websocket.CloseInvalidFramePayloadData)
		}
	})
}

// What looks odd and is right is delivered, and does no harm to what comes after. A block with BFINAL set must not end the stream for
// the messages to come (RFC 7692, section 7.2.3.4), nor must a message of no octets, or of the one octet 00 (section 7.2.3.6).
func TestDeflateOdd(t *testing.T) {
	each(t, withDeflate(), func(t *testing.T, g target) {
		v := g.open(t)
		for _, m := range []struct{ payload, want string }{
			{hello, "Hello"},
			{helloFinal, "Hello"},
			{helloFinal[:7], "Hello"}, // without the octet 00 that section 7.2.3.4 wants
			{hello, "Hello"},
			{"", ""},
			{"\x00", ""},
			{"\x00", ""},
			{"", ""},
			{hello, "Hello"},
			{helloStored, "Hello"},
			{helloTwice, "Hello"},
			{"\x01\x05\x00\xfa\xffHello\x00", "Hello"}, // BFINAL, and stored
			{"\x01\x00\x00\xff\xff\x00", ""},
			{helloFinal[:7] + hello, "HelloHello"}, // section 7.2.1 allows for blocks after a final one
			{pack(fixedBlock + afterFixed), ""},
			{pack(fixedBlock + literal('a') + match3(0, "") + afterFixed), "aaaa"},
			{pack(dynamic(286, 1) + aAndEnd + zeros(29) + len0 + "0 1 000"), "a"},
			{pack(dynamic(257, 30) + aAndEnd + zeros(30) + "0 1 000"), "a"},
			{pack(dynamic(257, 1) + zeros(256) + len1 + len0 + "0 000"), ""},
			{deflated(t, flate.BestCompression, strings.Repeat("Hello", 100)), strings.Repeat("Hello", 100)},
			{deflated(t, flate.HuffmanOnly, "Hello"), "Hello"},
		} {
			for _, size := range []int{1 << 20, 1} {
				v.Send(inFragments(compressed(wstest.Text, m.payload), size)...)
				v.expectDelivered(websocket.TextMessage, m.want)
			}
			if g.takesOver() && len(m.want) > 4 && strings.HasSuffix(m.want, "Hello") {
				v.Send(compressed(wstest.Text, helloAgain))
				v.expectDelivered(websocket.TextMessage, "Hello")
			}
		}
		v.expectWell()
		v.Send(wstest.CloseFrame(websocket.CloseNormalClosure, ""))
		v.ExpectClose(websocket.CloseNormalClosure)
		v.end()
		v.expectNothingMore()
	})
}

// A reserved bit has no meaning but RSV1 on the first fragment of a message where permessage-deflate was agreed (RFC 6455, section 5.2;
// RFC 7692, section 6).
func TestReservedBits(t *testing.T) {
	first := wstest.Frame{More: true, Opcode: wstest.Text, Payload: "frag"}
	firstDeflated := wstest.Frame{More: true, RSV: 4, Opcode: wstest.Text, Payload: hello[:3]}
	for n, attack := range []struct {
		name    string
		plain   bool // it is none with permessage-deflate
		deflate bool // and this one is none without
		frames  []wstest.Frame
	}{
		{name: "RSV1 not agreed", plain: true, frames: []wstest.Frame{{RSV: 4, Opcode: wstest.Text, Payload: hello}}},
		{name: "RSV1 not agreed, empty", plain: true, frames: []wstest.Frame{{RSV: 4, Opcode: wstest.Binary}}},
		{name: "RSV1 on a continuation", frames: []wstest.Frame{first, {RSV: 4, Opcode: wstest.Continuation, Payload: hello}}},
		{name: "RSV1 on a continuation of many", frames: []wstest.Frame{first,
			{More: true, Opcode: wstest.Continuation}, {More: true, RSV: 4, Opcode: wstest.Continuation}}},
		{name: "RSV1 on a continuation too", deflate: true, frames: []wstest.Frame{firstDeflated,
			{RSV: 4, Opcode: wstest.Continuation, Payload: hello[3:]}}},
		{name: "RSV1 on a ping", frames: []wstest.Frame{{RSV: 4, Opcode: wstest.Ping, Payload: hello}}},
		{name: "RSV1 on a pong", frames: []wstest.Frame{{RSV: 4, Opcode: wstest.Pong}}},
		{name: "RSV1 on a close", frames: []wstest.Frame{{RSV: 4, Opcode: wstest.Close, Payload: "\x03\xe8"}}},
		{name: "RSV1 on an empty close", frames: []wstest.Frame{{RSV: 4, Opcode: wstest.Close}}},
		{name: "RSV1 on a ping between fragments", frames: []wstest.Frame{first, {RSV: 4, Opcode: wstest.Ping}}},
		{name: "RSV1 on a ping between compressed fragments", deflate: true, frames: []wstest.Frame{firstDeflated, {RSV: 4, Opcode: wstest.Ping}}},
		{name: "RSV2", frames: []wstest.Frame{{RSV: 2, Opcode: wstest.Text, Payload: "text"}}},
		{name: "RSV3", frames: []wstest.Frame{{RSV: 1, Opcode: wstest.Binary, Payload: "binary"}}},
		{name: "RSV2 besides RSV1", frames: []wstest.Frame{{RSV: 6, Opcode: wstest.Text, Payload: hello}}},
		{name: "RSV3 besides RSV1", frames: []wstest.Frame{{RSV: 5, Opcode: wstest.Text, Payload: hello}}},
		{name: "RSV2 on a continuation", frames: []wstest.Frame{first, {RSV: 2, Opcode: wstest.Continuation}}},
		{name: "RSV3 on a ping", frames: []wstest.Frame{{RSV: 1, Opcode: wstest.Ping}}},
		{name: "RSV2 on a close", frames: []wstest.Frame{{RSV: 2, Opcode: wstest.Close}}},
		{name: "all", frames: []wstest.Frame{{RSV: 7, Opcode: wstest.Text, Payload: hello}}},
	} {
		t.Run(attack.name, func(t *testing.T) {
			var targets []target
			if !attack.plain {
				targets = withDeflate()
			}
			if !attack.deflate {
				targets = append(targets, withoutDeflate()...)
			}
			each(t, inTurn(n, targets), func(t *testing.T, g target) {
				v := g.open(t)
				v.Send(wstest.Frame{Opcode: wstest.Text, Payload: "before"})
				v.Send(attack.frames...)
				v.expectDelivered(websocket.TextMessage, "before")
				v.expectFailure(websocket.CloseProtocolError)
			})
		})
	}
}

// An inflater that puts the four octets that a sender leaves out behind the payload, where it lies, writes over the frame that comes next
// (uWebSockets issue 1650). Two and three frames are in one buffer, cut at each byte.
func TestInflateTailOverNextFrame(t *testing.T) {
	each(t, withDeflate(), func(t *testing.T, g target) {
		v := g.open(t)
		plain := wstest.Frame{Opcode: wstest.Text, Payload: "\x00\x01\x02 what stands behind"}
		for _, test := range []struct {
			frames []wstest.Frame
			want   []string
		}{
			{[]wstest.Frame{compressed(wstest.Text, hello), plain}, []string{"Hello", plain.Payload}},
			{[]wstest.Frame{compressed(wstest.Text, hello), plain, plain}, []string{"Hello", plain.Payload, plain.Payload}},
			{[]wstest.Frame{compressed(wstest.Text, hello), compressed(wstest.Text, helloStored), plain}, []string{"Hello", "Hello", plain.Payload}},
			{append(inFragments(compressed(wstest.Text, hello), 4), plain), []string{"Hello", plain.Payload}},
			{[]wstest.Frame{compressed(wstest.Text, ""), compressed(wstest.Text, "\x00"), plain}, []string{"", "", plain.Payload}},
		} {
			var whole []byte
			for _, f := range test.frames {
				whole = append(whole, v.Encode(f)...)
			}
			for cut := range whole {
				// What comes in one segment with the ping was read when the pong is here.
				ping := wstest.Frame{Opcode: wstest.Ping}
				v.SendRaw(append(v.Encode(ping), whole[:cut]...))
				v.Expect(wstest.Frame{Opcode: wstest.Pong})
				v.SendRaw(whole[cut:])
				for _, want := range test.want {
					v.expectDelivered(websocket.TextMessage, want)
				}
			}
		}
		v.expectWell()
	})
}

// Compressed text is judged as text, as early as it comes: the attacker withholds the rest of the frame, or of the message.
func TestCompressedTextNotUTF8(t *testing.T) {
	stored := func(s string) string {
		n := byte(len(s))
		return string([]byte{0, n, 0, ^n, 0xff}) + s
	}
	eachCase(t, map[string]string{
		"a byte":              stored("\xff"),
		"a byte behind good":  stored("good\xc3\xa9") + stored("\x80"),
		"overlong":            stored("\xc0\xaf"),
		"surrogate":           stored("\xed\xa0\x80"),
		"too large":           stored("\xf4\x90"),
		"fixed code":          pack(fixedBlock + code(0x190+0xff-144, 9)),
		"across blocks":       stored("\xe2\x82") + stored("a"),
		"by a match":          pack(fixedBlock+code(0x190+0xc3-144, 9)+code(0x190+0xa9-144, 9)+match3(0, "")) + "\x00",
		"behind an 100th one": stored(strings.Repeat("é", 100)) + stored("\xa9"),
	}, func(t *testing.T, g target, payload string) {
		whole := compressed(wstest.Text, payload+"\x00")
		open := whole
		open.More, open.Payload = true, payload
		const withheld = 100
		cut := compressed(wstest.Text, payload+strings.Repeat("?", withheld))
		for _, f := range []wstest.Frame{whole, open, cut} {
			v := g.open(t)
			b := v.Encode(f)
			if f == cut {
				b = b[:len(b)-withheld]
			}
			v.SendRaw(b)
			v.expectFailure(websocket.CloseInvalidFramePayloadData)
		}
	})
	each(t, withDeflate(), func(t *testing.T, g target) {
		const half = "\xe2\x82" // of a character
		v := g.open(t)
		v.Send(compressed(wstest.Binary, stored(half)+"\x00"))
		v.expectDelivered(websocket.BinaryMessage, half)
		v.Send(compressed(wstest.Text, stored(half)+"\x00"))
		v.expectFailure(websocket.CloseInvalidFramePayloadData)
	})
}

// Codecs and their memory are lent from one connection to the next. Whatever a connection has received, another one must not see it: a
// back-reference that has no history on its own connection is 1007, and nothing is delivered.
func TestHistoryOfAnotherConnection(t *testing.T) {
	eachCase(t, map[string]string{
		"1 back":        pack(fixedBlock + match3(0, "") + afterFixed),
		"6 back":        pack(fixedBlock + match3(4, "1") + afterFixed),
		"161 back":      pack(fixedBlock + match3(14, "100000") + afterFixed),
		"4097 back":     pack(fixedBlock + match3(24, "00000000000") + afterFixed),
		"32768 back":    pack(fixedBlock + match3(29, "1111111111111") + afterFixed),
		"behind a byte": pack(fixedBlock + literal('a') + match3(1, "") + afterFixed),
	}, func(t *testing.T, g target, reference string) {
		secret := strings.Repeat("the secret of "+t.Name(), 1000)
		v := g.open(t)
		v.Send(inFragments(compressed(wstest.Text, deflated(t, flate.BestSpeed, secret)), 300)...)
		v.expectDelivered(websocket.TextMessage, secret)
		v.Send(wstest.CloseFrame(websocket.CloseNormalClosure, ""))
		v.ExpectClose(websocket.CloseNormalClosure)
		v.end()
		v.conn.Close()

		v = g.open(t)
		v.Send(compressed(wstest.Binary, reference))
		v.expectFailure(websocket.CloseInvalidFramePayloadData)

		// A match that overlaps what it writes is copied in steps that are wider than its distance.
		v = g.open(t)
		v.Send(compressed(wstest.Binary, pack(fixedBlock+literal('a')+code(0xc5, 8)+code(0, 5)+literal('b')+match3(1, "")+afterFixed)))
		v.expectDelivered(websocket.BinaryMessage, strings.Repeat("a", 259)+"baba")
		v.expectWell()
	})
}

// Many connections, a thousand with -hostile.full, each with a secret of its own: one message says it, the next asks for it by a
// back-reference. It is the own one that comes, also where the peer has promised not to ask; and before all of it there is nothing.
func TestHistoryIsOnesOwn(t *testing.T) {
	t.Parallel()
	const secretSize = 256
	match254 := fixedBlock + code(0xc4, 8) + number(254-227, 5)
	own := pack(match254 + code(15, 5) + number(secretSize-193, 6) + afterFixed)
	all := pack(match254 + code(17, 5) + number(secretSize+254-385, 7) + afterFixed)
	beyond := pack(match254 + code(18, 5) + number(secretSize+2*254+1-513, 8) + afterFixed)
	const together = 25 // connections at a time, which take turns
	rounds := 8
	if *full {
		rounds = 40
	}
	for round := range rounds {
		var victims [together]*victim
		var secrets [together]string
		for i := range victims {
			g := target{door: doors[(round+i)%len(doors)], way: ways[(round/len(doors)+i)%len(ways)]}
			g = g.withParams([]string{"", noTakeover}[i%2])
			victims[i], secrets[i] = g.open(t), noise(uint64(round*together+i), secretSize)
		}
		for i, v := range victims {
			v.Send(compressed(wstest.Binary, deflated(t, flate.BestSpeed, secrets[i])))
		}
		for i, v := range victims {
			v.expectDelivered(websocket.BinaryMessage, secrets[i])
			v.Send(compressed(wstest.Binary, own))
		}
		for i, v := range victims {
			v.expectDelivered(websocket.BinaryMessage, secrets[i][:254])
			v.Send(compressed(wstest.Binary, all))
		}
		for i, v := range victims {
			v.expectDelivered(websocket.BinaryMessage, secrets[i][:254])
			v.Send(compressed(wstest.Binary, beyond))
			v.expectFailure(websocket.CloseInvalidFramePayloadData)
			v.conn.Close()
			v.Peer.Close()
		}
	}
}

// A peer that promised not to refer to its earlier messages is not believed at once; when it is, its references have nothing to go to, or
// what it has sent itself.
func TestBrokenPromiseOfNoContextTakeover(t *testing.T) {
	each(t, withDeflate(), func(t *testing.T, g target) {
		if g.takesOver() {
			return
		}
		v := g.open(t)
		for range 20 {
			v.Send(compressed(wstest.Text, hello))
			v.expectDelivered(websocket.TextMessage, "Hello")
		}
		v.Send(compressed(wstest.Text, helloAgain))
		v.expectDelivered(websocket.TextMessage, "Hello")
		v.Send(compressed(wstest.Text, pack(fixedBlock+match3(13, "11111")+afterFixed))) // 128 back, of 105
		v.expectFailure(websocket.CloseInvalidFramePayloadData)
	})
}

// A peer whose messages never get smaller: what it sends is received, up to the limit and not beyond, and what it is sent is hardly larger
// than what there is to say.
func TestIncompressible(t *testing.T) {
	size := 256 * kib
	if *full {
		size = mib
	}
	type form struct {
		data    string
		payload string
	}
	var forms []form
	for n, level := range []int{flate.NoCompression, flate.HuffmanOnly, flate.BestSpeed, flate.BestCompression} {
		data := noise(uint64(10+n), size>>(3-n)) // the last one as large as the limit
		forms = append(forms, form{data, deflated(t, level, data)})
	}
	tooMuch := compressed(wstest.Binary, deflated(t, flate.NoCompression, noise(1, size+1)))
	each(t, withDeflate(), func(t *testing.T, g target) {
		g.answer = true
		g.options.ReadLimit = int64(size)
		v := g.open(t)
		for _, form := range forms {
			n := len(form.data)
			v.Send(inFragments(compressed(wstest.Binary, form.payload), 1+len(form.payload)/10)...)
			v.expectDelivered(websocket.BinaryMessage, form.data)
			answer := v.Receive()
			require.LessOrEqual(t, len(answer.Payload), n+64)
			if answer.RSV == 4 {
				answer.Payload = inflated(t, "", answer.Payload)
			}
			require.True(t, answer.Payload == form.data)
		}
		v.Send(tooMuch)
		v.ExpectClose(websocket.CloseMessageTooBig)
		require.ErrorIs(t, v.end(), websocket.ErrReadLimit)
		v.expectNothingMore()
	})
}
