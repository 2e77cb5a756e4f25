package differential

import (
	"bytes"
	"compress/flate"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket/internal/wstest"
)

// A testCase is a stream, what the model makes of it, and how gorilla differs.
type testCase struct {
	name    string
	terms   uint8
	limit   int64
	parts   []part
	end     end
	differs string // names of differences
}

// input returns the case as one end is sent it.
func (tc testCase) input(server bool) input {
	terms := tc.terms
	if server {
		terms |= toServer
	}
	return inputOf(terms, tc.limit, tc.stream(server))
}

// A part of a stream depends on who it is sent to.
type part interface {
	to(server bool) []byte
}

func (tc testCase) stream(server bool) (p []byte) {
	for _, part := range tc.parts {
		p = append(p, part.to(server)...)
	}
	return p
}

// A frame is one as wstest encodes it.
type frame wstest.Frame

func (f frame) to(server bool) []byte {
	if server {
		return wstest.Frame(f).Masked()
	}
	return wstest.Frame(f).Unmasked()
}

// odd is a frame with the length in a form that does not fit it, in hexadecimal digits.
type odd struct {
	first   byte
	length  string
	payload string
}

func (o odd) to(server bool) []byte {
	p := append([]byte{o.first}, wstest.Hex(o.length)...)
	if server {
		p[1] |= 0x80
		p = append(p, 0, 0, 0, 0) // a masking key that changes nothing
	}
	return append(p, o.payload...)
}

// Octets are the same to both.
type octets string

func (o octets) to(bool) []byte { return []byte(o) }

func text(p string) frame   { return frame{Opcode: wstest.Text, Payload: p} }
func first(p string) frame  { return frame{More: true, Opcode: wstest.Text, Payload: p} }
func middle(p string) frame { return frame{More: true, Payload: p} }
func last(p string) frame   { return frame{Payload: p} }
func binaryOf(p string) frame {
	return frame{Opcode: wstest.Binary, Payload: p}
}
func ping(p string) frame                    { return frame{Opcode: wstest.Ping, Payload: p} }
func pong(p string) frame                    { return frame{Opcode: wstest.Pong, Payload: p} }
func closing(code int, reason string) frame  { return frame(wstest.CloseFrame(code, reason)) }
func squeezed(p string) frame                { return frame{RSV: 4, Opcode: wstest.Text, Payload: p} }
func hex(s string) string                    { return string(wstest.Hex(s)) }
func some(n int) string                      { return strings.Repeat("0123456789abcdef", n/16+1)[:n] }
func within(e end) end                       { e.within = true; return e }
func because(code int, r rule) end           { return end{kind: broken, code: code, rule: r} }
func closedWith(code int, reason string) end { return end{kind: closed, code: code, reason: reason} }

var (
	gone    = end{kind: lost, code: 1006}
	tooMuch = end{kind: limit, code: 1009, rule: tooBig}

	// RFC 7692, section 7.2.3
	hello      = hex("f2 48 cd c9 c9 07 00")
	helloAgain = hex("f2 00 11 00 00")
	helloFinal = hex("f3 48 cd c9 c9 07 00 00")
	emptyBlock = hex("00 00 00 ff ff")

	repeatsNothing = hex("04 12 16 ed") // a dynamic block whose first code length is that of the one before
)

// deflate returns p as compress/flate has it, without the tail.
func deflate(p string, level int) string {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	if err == nil {
		_, err = w.Write([]byte(p))
	}
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		panic(err)
	}
	return strings.TrimSuffix(b.String(), hex("00 00 ff ff"))
}

// wordy returns text that makes compress/flate begin dynamic blocks.
func wordy(n int) string {
	rnd := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	for b.Len() < n {
		fmt.Fprintf(&b, "%x ", rnd.IntN(1<<rnd.IntN(20)))
	}
	return b.String()[:n]
}

// endless is a dynamic block without its end: of its code, 0 is one bit 0 and the end 15
// bits 1. What a sender leaves out and what gorilla appends to it, 00 00 ff ff 01 00 00 ff
// ff, brings the end and a final block.
var endless = octetsOf("0 01", "00000 00000 1111", // 257 literals and lengths, 1 distance, and 19 lengths
	"000 000 101 101", strings.Repeat("001", 15), // for those: 5 bits for 0 and for a number of them, 4 for 1 to 15
	"0000 0001 0010 0011 0100 0101 0110 0111 1000 1001 1010 1011 1100 1101 1110", // 0 to 14 have as many bits as 1 to 15
	"11111 1111111 11111 0011101", // 15 to 255 have none (138 and 103 of them)
	"1110 11110")                  // 256 has 15, the distance none

// octetsOf returns bits as octets, of which they fill the lowest first. The last octet is
// filled with 0.
func octetsOf(bits ...string) string {
	all := strings.ReplaceAll(strings.Join(bits, ""), " ", "")
	p := make([]byte, (len(all)+7)/8)
	for i := range all {
		p[i/8] |= (all[i] - '0') << (i % 8)
	}
	return string(p)
}

func cases() []testCase {
	return []testCase{
		{name: "nothing", end: gone},
		{name: "section 5.7", parts: []part{text("Hello"), first("Hel"), last("lo"), ping("Hello"), pong("Hello"), binaryOf(some(256))},
			end: gone},
		{name: "lengths", parts: []part{binaryOf(some(125)), binaryOf(some(126)), binaryOf(some(65535)), binaryOf(some(65536))}, end: gone},
		{name: "empty", parts: []part{text(""), first(""), middle(""), last(""), frame{Opcode: wstest.Close}}, end: closedWith(1005, "")},
		{name: "pings everywhere", parts: []part{ping("1"), first("a"), ping(""), ping("2"), middle("b"), pong("x"), ping(some(125)), last("c"), closing(1000, ""), ping("late")},
			end: closedWith(1000, "")},
		{name: "characters in pieces", parts: []part{first("\xe2"), ping(""), middle("\x82"), last("\xac"), text("\U00010000\uffff"), closing(4999, "")},
			end: closedWith(4999, "")},
		{name: "close within a message", parts: []part{first("a"), closing(3000, "")}, end: within(closedWith(3000, ""))},
		{name: "end within a message", parts: []part{text("a"), first("b")}, end: within(gone)},
		{name: "end within a payload", parts: []part{odd{0x82, "05", "abc"}}, end: within(gone)},
		{name: "end within a ping", parts: []part{odd{0x89, "05", "abc"}}, end: gone},

		{name: "reserved bits", parts: []part{frame{RSV: 2, Opcode: 1}}, end: because(1002, reservedBit)},
		{name: "RSV1 without permessage-deflate", parts: []part{squeezed(hello)}, end: because(1002, reservedBit)},
		{name: "reserved opcode", parts: []part{frame{Opcode: 3}}, end: because(1002, reservedOpcode)},
		{name: "reserved control opcode", parts: []part{frame{Opcode: 11}}, end: because(1002, reservedOpcode)},
		{name: "a frame of the other end's", parts: []part{otherwise{text("a")}}, end: because(1002, wrongMask)},
		{name: "fragmented ping", parts: []part{frame{More: true, Opcode: wstest.Ping}}, end: because(1002, wrongControl)},
		{name: "long ping", parts: []part{ping(some(126))}, end: because(1002, wrongControl)},
		{name: "continuation of nothing", parts: []part{last("a")}, end: because(1002, wrongOrder)},
		{name: "message within a message", parts: []part{first("a"), text("b")}, end: within(because(1002, wrongOrder))},
		{name: "close code 1005", parts: []part{closing(1005, "")}, end: because(1002, closeCode)},
		{name: "close code 999", parts: []part{closing(999, "")}, end: because(1002, closeCode)},
		{name: "close code 2999", parts: []part{closing(2999, "")}, end: because(1002, closeCode)},
		{name: "close code 5000", parts: []part{closing(5000, "")}, end: because(1002, closeCode)},
		{name: "the limit", limit: 5, parts: []part{text("12345"), first("123"), last("45")}, end: gone},
		{name: "beyond the limit", limit: 5, parts: []part{text("12345"), text("123456")}, end: tooMuch},
		{name: "beyond the limit, in fragments", limit: 5, parts: []part{first("123"), last("456")}, end: within(tooMuch)},

		{name: "Hello, compressed", terms: deflated, parts: []part{squeezed(hello), text("plain"), squeezed(hello)}, end: gone},
		{name: "Hello, in fragments", terms: deflated, parts: []part{frame{More: true, RSV: 4, Opcode: wstest.Text, Payload: hello[:3]}, ping("1"), middle(""), last(hello[3:])},
			end: gone},
		{name: "Hello, stored", terms: deflated | afresh, parts: []part{squeezed(hex("00 05 00 fa ff 48 65 6c 6c 6f 00"))}, end: gone},
		{name: "Hello, in two blocks", terms: deflated, parts: []part{squeezed(hex("f2 48 05 00 00 00 ff ff ca c9 c9 07 00"))}, end: gone},
		{name: "dynamic codes", terms: deflated, parts: []part{squeezed(deflate(wordy(2000), 9)), squeezed(deflate(some(5000), 1)), squeezed(deflate(wordy(500), flate.HuffmanOnly))},
			end: gone},
		{name: "nothing, compressed", terms: deflated, parts: []part{squeezed("\x00"), frame{More: true, RSV: 4, Opcode: wstest.Text}, last("\x00")},
			end: gone},
		{name: "the limit, compressed", terms: deflated, limit: 5000, parts: []part{squeezed(deflate(some(5000), 1))}, end: gone},
		{name: "flushed fragments", terms: deflated, parts: slices.Concat(
			[]part{frame{More: true, RSV: 4, Opcode: wstest.Text, Payload: emptyBlock}}, slices.Repeat([]part{middle(emptyBlock)}, 100), []part{last(hello)}), end: gone},

		{name: "length not minimal, 16 bits", parts: []part{odd{0x82, "7e 00 05", "abcde"}, text("a")},
			end: because(1002, notMinimal), differs: "acceptsLongLengths"},
		{name: "length not minimal, 64 bits", parts: []part{odd{0x82, "7f 00 00 00 00 00 00 00 7e", some(126)}, odd{0x89, "7f 00 00 00 00 00 00 00 7d", some(125)}},
			end: because(1002, notMinimal), differs: "acceptsLongLengths"},
		{name: "highest bit of the length", parts: []part{text("a"), odd{0x82, "7f 80 00 00 00 00 00 00 00", ""}},
			end: because(1002, topBit), differs: "topBitIsALimit"},
		{name: "not UTF-8", parts: []part{text("a"), text("\xff"), text("b")}, end: within(because(1007, notText)), differs: "acceptsAnyText"},
		{name: "not UTF-8, not to its end", parts: []part{odd{0x81, "05", "\xed\xa0"}},
			end: within(because(1007, notText)), differs: "acceptsAnyText"},
		{name: "within a character", parts: []part{text("\xe2\x82")}, end: within(because(1007, notText)), differs: "acceptsAnyText"},
		{name: "any text will do", terms: anyText, parts: []part{text("\xe2\x82"), closing(1000, "")}, end: closedWith(1000, "")},
		{name: "close of one octet", parts: []part{first("a"), frame{Opcode: wstest.Close, Payload: "\x03"}},
			end: within(because(1002, shortClose)), differs: "acceptsShortClose"},
		{name: "close reason not UTF-8", parts: []part{closing(1000, "\xff")}, end: because(1007, closeReason), differs: "closeReasonIs1002"},
		{name: "close code 1014", parts: []part{closing(1014, "")}, end: closedWith(1014, ""), differs: "refusesCloseCode1014"},
		{name: "close reason", parts: []part{closing(1001, "€")}, end: closedWith(1001, "€"), differs: "echoesNoReason"},
		{name: "65 empty fragments", parts: slices.Concat([]part{first("a")}, slices.Repeat([]part{middle("")}, 65), []part{last("b")}),
			end: within(because(1008, tooEmpty)), differs: "hasNoLimitOfNumbers"},
		{name: "131,073 fragments", parts: slices.Concat([]part{first("a")}, slices.Repeat([]part{middle("b")}, 131_071), []part{last("c"), text("d")}),
			end: within(because(1008, tooManyFragments)), differs: "hasNoLimitOfNumbers"},
		{name: "66 empty blocks", terms: deflated, parts: []part{squeezed(strings.Repeat(emptyBlock, 65) + hello)},
			end: within(because(1008, tooManyEmptyBlocks)), differs: "hasNoLimitOfNumbers"},
		{name: "RSV1 on a ping", terms: deflated, parts: []part{frame{RSV: 4, Opcode: wstest.Ping}, squeezed(hello)},
			end: because(1002, misplacedRSV1), differs: "acceptsRSV1Anywhere"},
		{name: "RSV1 on a continuation", terms: deflated, parts: []part{first("a"), frame{RSV: 4, Payload: "b"}},
			end: within(because(1002, misplacedRSV1)), differs: "acceptsRSV1Anywhere"},
		{name: "half a header of the wrong kind", parts: []part{text("a"), octets("\xc1\xfe")}, end: gone, differs: "judgesHalfHeaders"},
		{name: "lengths that overflow", parts: []part{first("a"), odd{0x80, "7f 7f ff ff ff ff ff ff ff", ""}},
			end: within(gone), differs: "sumOfLengthsOverflows"},
		{name: "inflates beyond the limit", terms: deflated, limit: 100, parts: []part{squeezed(deflate(some(5000), 9))},
			end: within(tooMuch), differs: "limitsCompressedOctets"},
		{name: "larger than what it inflates to", terms: deflated, limit: 5, parts: []part{squeezed(hello)},
			end: gone, differs: "limitsCompressedOctets"},
		{name: "context takeover", terms: deflated, parts: []part{squeezed(hello), squeezed(helloAgain), text("a")},
			end: gone, differs: "hasNoContextTakeover"},
		{name: "context takeover by one that promised not to", terms: deflated | afresh, parts: []part{squeezed(hello), squeezed(helloAgain)},
			end: gone, differs: "hasNoContextTakeover"},
		{name: "less than nothing, compressed", terms: deflated, parts: []part{squeezed(hello), squeezed(""), text("a")},
			end: gone, differs: "wantsOctetForNothing"},
		{name: "Hello, in a final block", terms: deflated, parts: []part{squeezed(helloFinal), squeezed(helloFinal)}, end: gone},
		{name: "Hello, in a final block that nothing follows", terms: deflated, parts: []part{squeezed(helloFinal[:7])}, end: gone},
		{name: "Hello, in final blocks", terms: deflated, parts: []part{squeezed(helloFinal[:7] + helloFinal)},
			end: gone, differs: "stopsAtFinalBlock"},
		{name: "cut off in a stored block", terms: deflated, parts: []part{frame{RSV: 4, Opcode: wstest.Binary, Payload: hex("00 06 00 f9 ff 31")}},
			end: within(because(1007, cutOff)), differs: "keepsSilentAboutCorruptData"},
		{name: "cut off, and made whole by chance", terms: deflated, parts: []part{squeezed(endless), text("a")},
			end: within(because(1007, cutOff)), differs: "completesCutOffData"},
		{name: "corrupt", terms: deflated, parts: []part{squeezed(hello), squeezed("\x06")},
			end: within(because(1007, corrupt)), differs: "keepsSilentAboutCorruptData"},
		{name: "reaches back too far", terms: deflated, parts: []part{squeezed(helloAgain)},
			end: within(because(1007, corrupt)), differs: "keepsSilentAboutCorruptData"},
		{name: "code for code lengths not complete", terms: deflated, parts: []part{frame{More: true, RSV: 4, Opcode: wstest.Text, Payload: hex("cc 00 10 00")}},
			end: within(because(1007, corrupt)), differs: "noticesCorruptionLater"},
		{name: "repeats no code length", terms: deflated, parts: []part{frame{More: true, RSV: 4, Opcode: wstest.Text, Payload: repeatsNothing}},
			end: within(gone), differs: "noticesCorruptionEarlier"},
		{name: "repeats no code length, behind a ping", terms: deflated,
			parts: []part{frame{More: true, RSV: 4, Opcode: wstest.Text, Payload: repeatsNothing}, ping("1"), frame{Opcode: 3}},
			end:   within(because(1002, reservedOpcode)), differs: "noticesCorruptionEarlier"},
		{name: "repeats no code length, and says how often", terms: deflated, parts: []part{squeezed(repeatsNothing + "\x00")},
			end: within(because(1007, corrupt)), differs: "keepsSilentAboutCorruptData"},
		{name: "codes of no kind", terms: deflated, parts: []part{squeezed(hex("05 ff ff ff ff ff"))},
			end: within(because(1007, corrupt)), differs: "keepsSilentAboutCorruptData"},
	}
}

// otherwise is a part as the other end would be sent it.
type otherwise struct{ part }

func (o otherwise) to(server bool) []byte { return o.part.to(!server) }

// The library does what the model does. gorilla differs in the ways that the cases say,
// and in each of them in a case at least. There is a case for each rule too.
func TestCases(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	broken := map[rule]bool{}
	for _, tc := range cases() {
		for _, server := range []bool{false, true} {
			in := tc.input(server)
			require.Equal(t, tc.end, run(in).end, tc.name)
			names := compare(t, in, 1)
			require.Equal(t, tc.differs, strings.Join(names, ", "), "%s, server=%t", tc.name, server)
			seen[tc.differs] = true
			broken[tc.end.rule] = true
		}
	}
	for _, d := range differences {
		require.True(t, seen[d.name()], "%s occurs nowhere", d.name())
	}
	for _, r := range []rule{
		topBit, notMinimal, reservedBit, misplacedRSV1, wrongMask, reservedOpcode, wrongControl, wrongOrder, shortClose, closeCode,
		closeReason, notText, corrupt, cutOff, tooBig, tooEmpty, tooManyFragments, tooManyEmptyBlocks,
	} {
		require.True(t, broken[r], "nobody breaks the rule of the %s", r)
	}
}

// What gorilla does not do is not explained by what it does: a message that nobody sent,
// one that is lost, another end.
func TestJudgeExplainsNothingElse(t *testing.T) {
	t.Parallel()
	for _, tc := range cases() {
		in := tc.input(true)
		m, g := run(in), theirs(t, tc.input(true), chunks(1))

		wrong := g
		wrong.messages = append([]message{{2, "nobody's"}}, g.messages...)
		_, ok := judge(in, wrong)
		require.False(t, ok, "%s: a message of nobody", tc.name)

		if len(g.messages) > 0 && len(m.messages) > 0 && m.final != 0 {
			wrong.messages = slices.Clone(g.messages)
			wrong.messages[0].payload += "!"
			_, ok := judge(in, wrong)
			require.False(t, ok, "%s: a message that is longer", tc.name)
		}
		if tc.differs == "" && m.final < 0 {
			wrong = g
			wrong.end.kind = "another"
			_, ok := judge(in, wrong)
			require.False(t, ok, "%s: another end", tc.name)
		}
	}
}
