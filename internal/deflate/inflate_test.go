package deflate

import (
	"bytes"
	"compress/flate"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// hexPayload decodes hex digits, in groups and with comments in parentheses.
func hexPayload(t testing.TB, s string) []byte {
	t.Helper()
	for {
		before, rest, found := strings.Cut(s, "(")
		if !found {
			break
		}
		_, after, _ := strings.Cut(rest, ")")
		s = before + after
	}
	p, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	require.NoError(t, err)
	return p
}

// inflateCut says how payload and room are dealt out to an Inflater.
type inflateCut struct {
	payload func(left int) int // size of the next piece of payload
	room    func() int         // bytes of room to add, at least 1
	commit  func() bool        // whether to commit the output after a call
}

func cutNowhere() inflateCut {
	return inflateCut{func(left int) int { return left }, func() int { return 4096 }, func() bool { return false }}
}

func cutEverywhere() inflateCut {
	return inflateCut{func(int) int { return 1 }, func() int { return 1 }, func() bool { return false }}
}

func cutRandomly(seed uint64) inflateCut {
	rnd := rand.New(rand.NewPCG(seed, 1))
	size := func(n int) int { return 1 + rnd.IntN(1+rnd.IntN(n)) }
	return inflateCut{
		func(left int) int { return size(left + 1) },
		func() int { return size(700) },
		func() bool { return rnd.IntN(8) == 0 },
	}
}

// inflateMessage expands a message, as payload without the tail, and commits it.
func inflateMessage(t testing.TB, i *Inflater, payload []byte, cut inflateCut) ([]byte, error) {
	t.Helper()
	p, err := inflateRaw(t, i, append(slices.Clip(payload), Tail...), cut)
	if err == nil {
		err = i.End()
	}
	return p, err
}

// inflateRaw gives src to Inflate and returns the output, which is in the history
// then.
func inflateRaw(t testing.TB, i *Inflater, src []byte, cut inflateCut) ([]byte, error) {
	t.Helper()
	var done []byte // committed
	dst := make([]byte, 3, 3+cut.room())
	base := len(dst)
	for len(src) > 0 {
		piece := src[:min(len(src), cut.payload(len(src)))]
		src = src[len(piece):]
		for {
			// Whatever Inflate does, it must not write before the length or behind the capacity.
			arena := append(slices.Clone(dst[:cap(dst)]), 0xa5, 0xa5)
			out, n, err := i.Inflate(arena[:len(dst):cap(dst)], base, piece)
			require.True(t, string(arena[cap(dst):]) == "\xa5\xa5", "wrote behind the capacity")
			require.True(t, bytes.Equal(dst, arena[:len(dst)]), "wrote before the length")
			require.LessOrEqual(t, len(out), cap(dst))
			require.GreaterOrEqual(t, len(out), len(dst))
			piece = piece[n:]
			if err != nil && err != io.ErrShortBuffer {
				return append(done, out[base:]...), err
			}
			dst = out
			if err == io.ErrShortBuffer {
				require.Equal(t, cap(dst), len(dst), "there was room")
			} else {
				require.Empty(t, piece, "not all of the payload was used")
			}
			if cut.commit() {
				i.Commit(dst[base:])
				done = append(done, dst[base:]...)
				dst = dst[:base]
			}
			if err == nil {
				break
			}
			room := cut.room() + len(dst)/64 // some streams are very good
			dst = append(make([]byte, 0, len(dst)+room), dst...)
		}
	}
	i.Commit(dst[base:])
	return append(done, dst[base:]...), nil
}

// wordsOf is text of n bytes that compresses like a program's messages.
func wordsOf(rnd *rand.Rand, n int) []byte {
	vocabulary := strings.Fields(`{"type":"message","room":"general","id": "user":"ann" "text":" hello there what is the price of
		tea in china today } ] [ 12 2026-11-22T07:15:53Z true false null hellohellohello aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa`)
	p := make([]byte, 0, n+64)
	for len(p) < n {
		if rnd.IntN(6) == 0 {
			p = fmt.Appendf(p, "%x", rnd.Uint32())
		}
		p = append(append(p, vocabulary[rnd.IntN(len(vocabulary))]...), ' ')
	}
	return p[:n]
}

func noiseOf(rnd *rand.Rand, n int) []byte {
	p := make([]byte, n)
	for k := range p {
		p[k] = byte(rnd.Uint32())
	}
	return p
}

// stdDeflate returns the payload of a message: data without the tail.
func stdDeflate(t testing.TB, level int, data []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	pool := &stdWriters[level+2]
	w, ok := pool.Get().(*flate.Writer)
	if !ok {
		var err error
		w, err = flate.NewWriter(nil, level)
		require.NoError(t, err)
	}
	defer pool.Put(w)
	w.Reset(&buf)
	_, err := w.Write(data)
	require.NoError(t, err)
	require.NoError(t, w.Flush())
	return bytes.TrimSuffix(buf.Bytes(), []byte(Tail))
}

var stdWriters [12]sync.Pool // of level - 2

var stdLevels = func() []int {
	if raceEnabled {
		return []int{flate.HuffmanOnly, 0, 1, 6}
	}
	return []int{flate.HuffmanOnly, flate.DefaultCompression, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9}
}()

func newInflater(bits int) *Inflater {
	i := new(Inflater)
	i.Init(bits)
	return i
}

// Section 7.2.3 of RFC 7692.
func TestInflateGoldenBytes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		messages []string // payloads
	}{
		{"7.2.3.1 one block", []string{"f248 cdc9 c907 00"}},
		{"7.2.3.2 context takeover", []string{"f248 cdc9 c907 00", "f200 1100 00"}},
		{"7.2.3.2 no context takeover", []string{"f248 cdc9 c907 00", "f248 cdc9 c907 00"}},
		{"7.2.3.3 stored", []string{"00 0500 faff 4865 6c6c 6f 00"}},
		{"7.2.3.4 BFINAL", []string{"f348 cdc9 c907 00 00"}},
		{"7.2.3.4 BFINAL, then takeover", []string{"f348 cdc9 c907 00 00", "f200 1100 00"}},
		{"7.2.3.5 two blocks", []string{"f248 0500 0000 ffff cac9 c907 00"}},
	}
	for _, test := range tests {
		for name, cut := range map[string]inflateCut{"whole": cutNowhere(), "bytes": cutEverywhere(), "random": cutRandomly(7)} {
			t.Run(test.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				i := newInflater(15)
				for _, m := range test.messages {
					p, err := inflateMessage(t, i, hexPayload(t, m), cut)
					require.NoError(t, err)
					require.Equal(t, "Hello", string(p))
				}
			})
		}
	}
}

// Section 7.2.3.6 of RFC 7692.
func TestInflateEmptyMessage(t *testing.T) {
	t.Parallel()
	i := newInflater(15)
	for range 3 {
		p, err := inflateMessage(t, i, []byte{0}, cutNowhere())
		require.NoError(t, err)
		require.Empty(t, p)
	}
	require.Zero(t, i.Kept())
}

func TestInflateWhatTheStandardLibraryCompresses(t *testing.T) {
	t.Parallel()
	for _, level := range stdLevels {
		t.Run(fmt.Sprint("level ", level), func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(uint64(level), 2))
			i := newInflater(15)
			check := func(data []byte, cuts ...inflateCut) {
				payload := stdDeflate(t, level, data)
				for _, cut := range cuts {
					i.Forget()
					p, err := inflateMessage(t, i, payload, cut)
					require.NoError(t, err)
					require.True(t, bytes.Equal(data, p), "%d bytes", len(data))
				}
			}
			for n := 0; n <= 600; n += 1 + rnd.IntN(5) {
				cuts := []inflateCut{cutNowhere(), cutRandomly(uint64(n))}
				if n%4 == 0 {
					cuts = append(cuts, cutEverywhere())
				}
				check(wordsOf(rnd, n), cuts...)
				if n%3 == 0 {
					check(noiseOf(rnd, n), cuts...)
					check(make([]byte, n), cuts...)
				}
			}
			large := inflateCut{func(int) int { return 1 + rnd.IntN(40000) }, func() int { return 1 + rnd.IntN(90000) }, func() bool { return rnd.IntN(3) == 0 }}
			for _, n := range []int{4096, 32768, 40000 + rnd.IntN(260000)} {
				check(wordsOf(rnd, n), large)
				check(noiseOf(rnd, n), large)
				check(make([]byte, n), large)
			}
		})
	}
}

// A writer that lives as long as the connection, flushed at each message's end.
func TestInflateContextTakeover(t *testing.T) {
	t.Parallel()
	for _, level := range stdLevels {
		t.Run(fmt.Sprint("level ", level), func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(uint64(level), 3))
			var buf bytes.Buffer
			w, err := flate.NewWriter(&buf, level)
			require.NoError(t, err)
			i := newInflater(15)
			for k := range 300 {
				data := wordsOf(rnd, rnd.IntN(1+rnd.IntN(1000)))
				if k%50 == 0 {
					data = noiseOf(rnd, rnd.IntN(40000))
				}
				buf.Reset()
				for _, piece := range [][]byte{data[:len(data)/3], data[len(data)/3:]} {
					_, err = w.Write(piece)
					require.NoError(t, err)
					require.NoError(t, w.Flush())
				}
				cut := cutRandomly(uint64(k))
				if k%3 == 0 || len(data) > 5000 {
					cut = cutNowhere()
				}
				p, err := inflateMessage(t, i, bytes.TrimSuffix(buf.Bytes(), []byte(Tail)), cut)
				require.NoError(t, err)
				require.True(t, bytes.Equal(data, p), "message %d", k)
				require.LessOrEqual(t, i.Kept(), 32<<10)
			}
			require.Equal(t, level != flate.HuffmanOnly && level != 0, i.Reached())
		})
	}
}

// The other half of the package, with the window that was agreed on.
func TestInflateWhatTheDeflaterCompresses(t *testing.T) {
	t.Parallel()
	for bits := MinBits; bits <= MaxBits; bits++ {
		for _, takeover := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d bits, takeover %t", bits, takeover), func(t *testing.T) {
				t.Parallel()
				rnd := rand.New(rand.NewPCG(uint64(bits), 12))
				var d Deflater
				d.Init(bits, takeover)
				i := newInflater(bits)
				for k := range 150 {
					data := wordsOf(rnd, rnd.IntN(1+rnd.IntN(3000)))
					level := []Level{Fast, Better, HuffmanOnly, Stored}[rnd.IntN(4)]
					payload := d.AppendEnd(d.Append(d.Append(nil, data[:len(data)/2], level), data[len(data)/2:], level))
					cut := cutRandomly(uint64(k))
					p, err := inflateMessage(t, i, payload, cut)
					require.NoError(t, err)
					require.True(t, bytes.Equal(data, p))
					if !takeover {
						i.Forget()
					}
				}
				if !takeover {
					require.False(t, i.Reached())
				}
			})
		}
	}
}

// A bitString is DEFLATE data as its bits, in the order in which they are sent.
// Blanks are for the eye.
type bitString string

func (s bitString) bytes() []byte {
	var p []byte
	n := 0
	for _, c := range strings.ReplaceAll(string(s), " ", "") {
		if n%8 == 0 {
			p = append(p, 0)
		}
		p[n/8] |= byte(c-'0') << (n % 8)
		n++
	}
	return p
}

// number returns v as a number of n bits, the lowest first, and code as a Huffman
// code, the highest first (RFC 1951, section 3.1.1).
func number(v, n int) bitString {
	return bitString(reversed(fmt.Sprintf("%0*b", n, v)) + " ")
}

func code(v, n int) bitString { return bitString(fmt.Sprintf("%0*b ", n, v)) }

func reversed(s string) string {
	b := []byte(s)
	slices.Reverse(b)
	return string(b)
}

// fixedBlock is the header of a block with the fixed code, dynamicBlock that of
// a block whose code length code is simple: 00, 01 for the lengths 0 and 1, 100 for
// 2, 101 to 111 for 16 to 18.
const fixedBlock = bitString("0 10 ")

func dynamicBlock(hlit, hdist int) bitString {
	s := "0 01 " + number(hlit-257, 5) + number(hdist-1, 5) + number(18-4, 4)
	for _, symbol := range lengthOrder[:18] {
		l := map[uint8]int{0: 2, 1: 2, 2: 3, 16: 3, 17: 3, 18: 3}[symbol]
		s += number(l, 3)
	}
	return s
}

const (
	len0 = bitString("00 ")
	len1 = bitString("01 ")
	len2 = bitString("100 ")
)

func repeat(n int) bitString { return "101 " + number(n-3, 2) }

func zeros(n int) (s bitString) {
	for ; n >= 11; n -= min(n, 138) {
		s += "111 " + number(min(n, 138)-11, 7)
	}
	for range n {
		s += len0
	}
	return s
}

// aAndEnd are code lengths for the literal a, 0, and the end of the block, 1.
var aAndEnd = zeros('a') + len1 + zeros(256-'a'-1) + len1

func TestInflateCorrupt(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		data bitString
		want string // what it stands for if it is good
		good bool
	}{
		{name: "block type 3", data: "0 11"},
		{name: "block type 3, BFINAL", data: "1 11"},
		{name: "LEN and NLEN differ", data: "000 00000" + number(5, 16) + number(0xfffb, 16)},
		{name: "stored", data: "000 00000" + number(1, 16) + number(0xfffe, 16) + number('a', 8), want: "a", good: true},

		{name: "fixed code", data: fixedBlock + code(0x30+'a', 8) + code(1, 7) + code(0, 5) + "0000000", want: "aaaa", good: true},
		{name: "fixed code: length symbol 286", data: fixedBlock + code(0x30+'a', 8) + code(0xc6, 8) + code(0, 5) + "0000000"},
		{name: "fixed code: length symbol 287", data: fixedBlock + code(0x30+'a', 8) + code(0xc7, 8) + code(0, 5) + "0000000"},
		{name: "fixed code: distance symbol 30", data: fixedBlock + code(0x30+'a', 8) + code(1, 7) + code(30, 5) + "0000000"},
		{name: "fixed code: distance symbol 31", data: fixedBlock + code(0x30+'a', 8) + code(1, 7) + code(31, 5) + "0000000"},
		{name: "distance before the message", data: fixedBlock + code(0x30+'a', 8) + code(1, 7) + code(1, 5) + "0000000"},
		{name: "distance with nothing before", data: fixedBlock + code(1, 7) + code(0, 5) + "0000000"},

		{name: "dynamic code", data: dynamicBlock(257, 1) + aAndEnd + len0 + "000 1", want: "aaa", good: true},
		{name: "286 length codes", data: dynamicBlock(286, 1) + aAndEnd + zeros(29) + len0 + "0 1", want: "a", good: true},
		{name: "287 length codes", data: dynamicBlock(287, 1) + aAndEnd + zeros(30) + len0 + "0 1"},
		{name: "288 length codes", data: dynamicBlock(288, 1) + aAndEnd + zeros(31) + len0 + "0 1"},
		{name: "30 distance codes", data: dynamicBlock(257, 30) + aAndEnd + zeros(30) + "0 1", want: "a", good: true},
		{name: "31 distance codes", data: dynamicBlock(257, 31) + aAndEnd + zeros(31) + "0 1"},
		{name: "32 distance codes", data: dynamicBlock(257, 32) + aAndEnd + zeros(32) + "0 1"},

		{name: "no end of block", data: dynamicBlock(257, 1) + zeros('a') + len1 + len1 + zeros(256-'a'-1) + len0 + "0 1"},
		{name: "nothing but the end of the block", data: dynamicBlock(257, 1) + zeros(256) + len1 + len0 + "0", good: true},
		{name: "nothing but the end of the block, other bit", data: dynamicBlock(257, 1) + zeros(256) + len1 + len0 + "1"},
		{name: "nothing but the end of the block, two bits", data: dynamicBlock(257, 1) + zeros(256) + len2 + len0 + "00"},
		{name: "no code at all", data: dynamicBlock(257, 1) + zeros(257) + len0 + "0"},
		{name: "too many codes", data: dynamicBlock(257, 1) + zeros('a') + len1 + len1 + zeros(254-'a') + len1 + len0 + "0"},
		{name: "too few codes", data: dynamicBlock(257, 1) + zeros('a') + len1 + zeros(256-'a'-1) + len2 + len0 + "0 10"},
		{name: "too many distance codes", data: dynamicBlock(257, 3) + aAndEnd + len1 + len1 + len1 + "0 1"},
		{name: "too few distance codes", data: dynamicBlock(257, 2) + aAndEnd + len1 + len2 + "0 1"},
		{name: "one distance code of two bits", data: dynamicBlock(257, 1) + aAndEnd + len2 + "0 1"},
		{name: "three distance codes", data: dynamicBlock(257, 3) + aAndEnd + len1 + len2 + len2 + "0 1", want: "a", good: true},

		// Codes here are a 0, end 10, length of 3 11.
		{name: "one distance code", data: dynamicBlock(258, 1) + zeros('a') + len1 + zeros(158) + len2 + len2 + len1 + "0 11 0 10", want: "aaaa", good: true},
		{name: "one distance code, other bit", data: dynamicBlock(258, 1) + zeros('a') + len1 + zeros(158) + len2 + len2 + len1 + "0 11 1 10"},
		{name: "no distance code, and a match", data: dynamicBlock(258, 1) + zeros('a') + len1 + zeros(158) + len2 + len2 + len0 + "0 11 0 10"},
		{name: "no distance code, and no match", data: dynamicBlock(258, 1) + zeros('a') + len1 + zeros(158) + len2 + len2 + len0 + "0 10", want: "a", good: true},

		{name: "repeat with nothing before", data: dynamicBlock(257, 1) + repeat(3) + aAndEnd + len0 + "0 1"},
		{name: "repeat beyond the end", data: dynamicBlock(257, 2) + aAndEnd + repeat(3) + "0 1"},
		{name: "zeros beyond the end", data: dynamicBlock(257, 10) + aAndEnd + zeros(11) + "0 1"},
		{name: "repeat from one code to the other", data: dynamicBlock(257, 3) + zeros('a') + len1 + zeros(256-'a'-1) + len1 +
			repeat(3) + "0 1"}, // and the distances have too many
		{name: "repeat to the end", data: dynamicBlock(257, 3) + zeros('a') + len1 + zeros(256-'a'-1) + len1 + "110 000 0 1", want: "a", good: true},

		{name: "code length code of one", data: "0 01" + number(0, 5) + number(0, 5) + number(0, 4) + number(0, 9) + number(1, 3) + "00"},
		{name: "code length code of none", data: "0 01" + number(0, 5) + number(0, 5) + number(0, 4) + number(0, 12) + "00"},
		{name: "code length code with too many", data: "0 01" + number(0, 5) + number(0, 5) + number(0, 4) + number(01111, 12) + "00"},
		{name: "code length code with too few", data: "0 01" + number(0, 5) + number(0, 5) + number(0, 4) + number(02200, 12) + "00"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			// What follows gives the fast loop enough to read, but for the stored
			// blocks, which end at a byte boundary.
			end := test.data + "000"
			rest := append(end.bytes(), Tail...)
			for range 40 {
				rest = append(rest, "\x00\x00\x00\xff\xff"...)
			}
			for _, cut := range []inflateCut{cutNowhere(), cutEverywhere()} {
				i := newInflater(15)
				p, err := inflateRaw(t, i, rest, cut)
				if test.good {
					require.NoError(t, err)
					require.NoError(t, i.End())
					require.Equal(t, test.want, string(p))
					continue
				}
				require.Equal(t, ErrCorrupt, err)
				_, n, err := i.Inflate(make([]byte, 0, 10), 0, rest)
				require.Zero(t, n)
				require.Equal(t, ErrCorrupt, err, "went on")
				require.Equal(t, ErrCorrupt, i.End())

				i.Reset()
				p, err = inflateMessage(t, i, hexPayload(t, "f248 cdc9 c907 00"), cut)
				require.NoError(t, err)
				require.Equal(t, "Hello", string(p))
			}
			_, ok := flateInflate(rest)
			require.Equal(t, test.good, ok, "compress/flate")
		})
	}
}

// flateInflate expands all of src with compress/flate and reports whether it ends
// between two blocks. It gives up on large output. The differences are these:
//
//   - compress/flate stops after a block that has BFINAL set. Here another reader
//     goes on.
//   - It accepts a code length code that consists of one code, and literal and length
//     codes without an end of block, and fails later.
//   - It does not count empty blocks.
func flateInflate(src []byte) (p []byte, ok bool) { return flateInflateAfter(nil, src) }

// flateInflateAfter is flateInflate for a message that may refer to what came before.
func flateInflateAfter(before, src []byte) (p []byte, ok bool) {
	const limit = 1 << 17 // of output
	run := func(ending string) (p []byte, ok bool) {
		p = slices.Clip(before)
		defer func() { p = p[len(before):] }()
		r := bytes.NewReader(append(slices.Clip(src), ending...))
		for r.Len() > 0 {
			fr := flate.NewReaderDict(r, p[max(0, len(p)-32<<10):])
			more, err := io.ReadAll(io.LimitReader(fr, limit))
			p = append(p, more...)
			if err != nil || len(p) >= len(before)+limit {
				return p, false
			}
			rest := src[len(src)-min(len(src), max(0, r.Len()-len(ending))):]
			if len(rest) == 4 && rest[0]&7 == 0 && string(rest[1:]) == Tail[1:] {
				return p, true // see End
			}
		}
		return p, true
	}
	// Only between two blocks do both of these make sense.
	p, ok = run("\x01\x00\x00\xff\xff")
	q, alsoOK := run("\x01\x01\x00\xfe\xffx")
	if ok && alsoOK && strings.HasSuffix(string(src), Tail[1:]) && bytes.Equal(p, q) {
		return p, true
	}
	return p, ok && alsoOK && string(q) == string(p)+"x"
}

// Whatever is cut off from a message, what remains is either refused or, if the
// cut is between two blocks, the beginning of the message.
func TestInflateTruncated(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(4, 4))
	data := wordsOf(rnd, 400)
	for _, level := range stdLevels {
		payload := append(stdDeflate(t, level, data), Tail...)
		for n := range payload {
			i := newInflater(15)
			p, err := inflateRaw(t, i, payload[:n], cutNowhere())
			require.NoError(t, err)
			require.True(t, bytes.HasPrefix(data, p))
			_, ok := flateInflate(payload[:n])
			err = i.End()
			require.Equal(t, ok, err == nil, "level %d, %d bytes of %d", level, n, len(payload))
			if err != nil {
				require.Equal(t, ErrCorrupt, err)
			}
		}
	}
}

// A sender that sets BFINAL and forgets the octet that has to follow.
func TestInflateFinalBlockWithoutPadding(t *testing.T) {
	t.Parallel()
	i := newInflater(15)
	for _, payload := range []string{"f348 cdc9 c907 00", "f300 1100"} {
		p, err := inflateMessage(t, i, hexPayload(t, payload), cutEverywhere())
		require.NoError(t, err)
		require.Equal(t, "Hello", string(p))
	}
	for _, payload := range []string{"f248 cdc9 c907", "f248 cdc9 c907 00 00", "f348 cdc9 c907 00 0000"} {
		i := newInflater(15)
		_, err := inflateMessage(t, i, hexPayload(t, payload), cutEverywhere())
		require.Equal(t, ErrCorrupt, err, payload)
	}
}

// The second message of section 7.2.3.2 refers to the first.
func TestInflateHistory(t *testing.T) {
	t.Parallel()
	hello, again := hexPayload(t, "f248 cdc9 c907 00"), hexPayload(t, "f200 1100 00")
	refuses := func(t *testing.T, i *Inflater) {
		p, err := inflateMessage(t, i, again, cutNowhere())
		require.Equal(t, ErrCorrupt, err)
		require.Equal(t, "H", string(p))
		require.False(t, i.Reached())
	}
	accepts := func(t *testing.T, i *Inflater, payload []byte) {
		p, err := inflateMessage(t, i, payload, cutNowhere())
		require.NoError(t, err)
		require.Equal(t, "Hello", string(p))
	}
	t.Run("none", func(t *testing.T) {
		t.Parallel()
		refuses(t, newInflater(15))
	})
	t.Run("forgotten", func(t *testing.T) {
		t.Parallel()
		i := newInflater(15)
		accepts(t, i, hello)
		i.Forget()
		refuses(t, i)
	})
	t.Run("of another connection", func(t *testing.T) {
		t.Parallel()
		for range 100 { // rings and tables go back and forth
			i, other := newInflater(15), newInflater(15)
			accepts(t, i, hello)
			accepts(t, i, again)
			require.True(t, i.Reached())
			refuses(t, other)
			i.Forget()
			other.Reset()
			other.Commit([]byte("Hel")) // and the H before the match is not enough
			refuses(t, other)
			other.Forget()
		}
	})
	t.Run("initialised again", func(t *testing.T) {
		t.Parallel()
		i := newInflater(15)
		accepts(t, i, hello)
		accepts(t, i, again)
		i.Init(15)
		require.False(t, i.Reached())
		require.Zero(t, i.Kept())
		refuses(t, i)
	})
	t.Run("survives a reset", func(t *testing.T) {
		t.Parallel()
		i := newInflater(15)
		accepts(t, i, hello)
		_, _, err := i.Inflate(nil, 0, []byte{0x07})
		require.Equal(t, ErrCorrupt, err)
		i.Reset()
		accepts(t, i, again)
	})
}

// Reached is about messages, not about what was committed.
func TestInflateReached(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(5, 5))
	i := newInflater(15)
	cut := cutRandomly(5)
	cut.commit = func() bool { return true }
	for range 5 {
		data := wordsOf(rnd, 40000)
		p, err := inflateMessage(t, i, stdDeflate(t, 9, data), cut)
		require.NoError(t, err)
		require.True(t, bytes.Equal(data, p))
		require.False(t, i.Reached())
	}
	i.Forget()
	i.Commit([]byte("Hello"))
	_, err := inflateMessage(t, i, hexPayload(t, "f200 1100 00"), cutNowhere())
	require.NoError(t, err)
	require.True(t, i.Reached())
}

// What the window does not hold is not there, and all that it holds is.
func TestInflateWindow(t *testing.T) {
	t.Parallel()
	// A length of 3 at a distance of 1+d, where d takes n extra bits of symbol s.
	match := func(s, n, d int) []byte {
		return append((fixedBlock + code(1, 7) + code(s, 5) + number(d, n) + "0000000 000").bytes(), Tail...)
	}
	tests := []struct {
		bits, window int
		within       []byte // a distance of window bytes
		beyond       []byte // and one more
	}{
		{8, 512, match(17, 7, 127), match(18, 8, 0)},
		{9, 512, match(17, 7, 127), match(18, 8, 0)},
		{10, 1024, match(19, 8, 255), match(20, 9, 0)},
		{11, 2048, match(21, 9, 511), match(22, 10, 0)},
		{12, 4096, match(23, 10, 1023), match(24, 11, 0)},
		{13, 8192, match(25, 11, 2047), match(26, 12, 0)},
		{14, 16384, match(27, 12, 4095), match(28, 13, 0)},
		{15, 32768, match(29, 13, 8191), nil},
	}
	for _, test := range tests {
		t.Run(fmt.Sprint(test.bits, " bits"), func(t *testing.T) {
			t.Parallel()
			sent := noiseOf(rand.New(rand.NewPCG(6, uint64(test.bits))), 100000)
			for _, total := range []int{test.window - 1, test.window, test.window + 1, 2*test.window - 1, 100000} {
				i := newInflater(test.bits)
				for p := sent[:total]; len(p) > 0; {
					n := min(len(p), 1+rand.IntN(1000))
					i.Commit(p[:n])
					p = p[n:]
				}
				require.Equal(t, test.window, i.Kept())
				p, err := inflateRaw(t, i, test.within, cutNowhere())
				if total < test.window {
					require.Equal(t, ErrCorrupt, err)
					continue
				}
				require.NoError(t, err)
				require.NoError(t, i.End())
				require.Equal(t, sent[total-test.window:][:3], p)
				if test.beyond != nil {
					_, err = inflateRaw(t, i, test.beyond, cutNowhere())
					require.Equal(t, ErrCorrupt, err)
				}
			}
		})
	}
}

// A match for which there was no room goes on after a Commit.
func TestInflateMatchAcrossCommit(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte("abcdefghijk"), 3000)
	payload := append(stdDeflate(t, 9, data), Tail...)
	for _, room := range []int{1, 2, 7, 100, 257, 258, 259, 5000} {
		i := newInflater(9)
		var got []byte
		dst := make([]byte, 0, room)
		for src := payload; ; {
			out, n, err := i.Inflate(dst, 0, src)
			src = src[n:]
			got = append(got, out...)
			i.Commit(out)
			if err != io.ErrShortBuffer {
				require.NoError(t, err)
				break
			}
		}
		require.NoError(t, i.End())
		require.True(t, bytes.Equal(data, got))
	}
}

func TestInflateKept(t *testing.T) {
	t.Parallel()
	i := newInflater(12)
	require.Zero(t, i.Kept())
	for _, step := range []struct{ add, kept int }{
		{0, 0}, {300, 512}, {212, 512}, {1, 1024}, {511, 1024}, {600, 2048}, {5000, 4096}, {1 << 20, 4096}, {1, 4096},
	} {
		i.Commit(make([]byte, step.add))
		require.Equal(t, step.kept, i.Kept())
	}
	i.Forget()
	require.Zero(t, i.Kept())
	i.Commit(make([]byte, 4096))
	require.Equal(t, 4096, i.Kept())
}

// What the history gives back is the end of what was put there, whatever the
// pieces.
func TestInflateHistoryRing(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(7, 7))
	for _, window := range []int{512, 1024, 4096} {
		h := inflateHistory{window: window}
		var all []byte
		for range 500 {
			p := noiseOf(rnd, rnd.IntN(1+rnd.IntN(2*window)))
			h.add(p)
			all = append(all, p...)
			require.LessOrEqual(t, h.held, len(all))
			require.GreaterOrEqual(t, h.held, min(len(all), window))
			if h.held > 0 {
				back := 1 + rnd.IntN(h.held)
				got := make([]byte, 1+rnd.IntN(back))
				h.read(got, back)
				require.True(t, bytes.Equal(all[len(all)-back:][:len(got)], got))
			}
		}
	}
}

// Matches of every length at every small distance, in the fast loop and in the
// careful one, from the output and from the history.
func TestInflateMatches(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(8, 8))
	step := 1
	if raceEnabled {
		step = 5
	}
	for distance := 1; distance <= 40; distance += step {
		var want []byte
		var payload bytes.Buffer
		w, err := flate.NewWriter(&payload, 9)
		require.NoError(t, err)
		var messages [][]byte
		for n := 3; n <= 258; n += 1 + rnd.IntN(3) {
			m := noiseOf(rnd, distance)
			for len(m) < distance+n {
				m = append(m, m[len(m)-distance])
			}
			m = append(m, noiseOf(rnd, 5)...)
			want = append(want, m...)
			messages = append(messages, m)
		}
		_, err = w.Write(want)
		require.NoError(t, err)
		require.NoError(t, w.Flush())
		for _, cut := range []inflateCut{cutNowhere(), cutRandomly(uint64(distance))} {
			i := newInflater(15)
			cut.room = func() int { return len(want) + 1000 }
			p, err := inflateMessage(t, i, bytes.TrimSuffix(payload.Bytes(), []byte(Tail)), cut)
			require.NoError(t, err)
			require.True(t, bytes.Equal(want, p), "distance %d", distance)
		}

		payload.Reset()
		w.Reset(&payload)
		i := newInflater(15)
		for _, m := range append(messages, messages...) {
			payload.Reset()
			_, err := w.Write(m)
			require.NoError(t, err)
			require.NoError(t, w.Flush())
			p, err := inflateMessage(t, i, bytes.TrimSuffix(payload.Bytes(), []byte(Tail)), cutNowhere())
			require.NoError(t, err)
			require.True(t, bytes.Equal(m, p), "distance %d", distance)
		}
	}
}

func TestInflateEmptyBlocks(t *testing.T) {
	t.Parallel()
	stored := "\x00\x00\x00\xff\xff"
	literal := (fixedBlock + code(0x30+'a', 8) + "0000000 000").bytes() // and the header of a stored block
	tests := []struct {
		name  string
		block []byte
	}{
		{"stored", []byte(stored)},
		{"fixed", []byte{0x03, 0x00}}, // with BFINAL, for then it ends at a byte boundary
		{"dynamic", append((dynamicBlock(257, 1) + aAndEnd + len0 + "1 000").bytes(), Tail...)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			per := 1 // blocks in a block
			if test.name == "dynamic" {
				per = 2
			}
			feed := func(i *Inflater, p []byte) error {
				_, n, err := i.Inflate(make([]byte, 0, 8), 0, p)
				if err == nil {
					require.Len(t, p, n)
				}
				return err
			}
			i := newInflater(15)
			for range 64 / per {
				require.NoError(t, feed(i, test.block))
			}
			require.NoError(t, feed(i, literal), "64 are allowed")
			require.NoError(t, feed(i, []byte(Tail)), "and output begins another count")
			for range 63 / per {
				require.NoError(t, feed(i, test.block))
			}
			require.NoError(t, feed(i, []byte{0}))
			require.NoError(t, feed(i, []byte(Tail)))
			require.NoError(t, i.End())

			if test.name == "stored" {
				for range 100 {
					require.NoError(t, feed(i, test.block))
					i.EndFragment()
				}
			}
			for range 64 / per {
				require.NoError(t, feed(i, test.block), "a message begins another count")
			}
			require.NoError(t, feed(i, []byte(stored)))
			require.Equal(t, ErrEmptyBlocks, feed(i, literal))
			require.Equal(t, ErrEmptyBlocks, feed(i, literal))
			require.Equal(t, ErrEmptyBlocks, i.End())
			i.Reset()
			require.NoError(t, feed(i, literal))
		})
	}
	t.Run("free only once, and only where a fragment ends", func(t *testing.T) {
		t.Parallel()
		i := newInflater(15)
		for range 64 {
			_, _, err := i.Inflate(nil, 0, []byte(stored))
			require.NoError(t, err)
			_, _, err = i.Inflate(nil, 0, []byte(stored))
			require.NoError(t, err)
			i.EndFragment()
			i.EndFragment()
			i.EndFragment()
		}
		require.Equal(t, 64, i.empty)
		_, _, err := i.Inflate(nil, 0, []byte(stored))
		require.NoError(t, err)
		_, _, err = i.Inflate(nil, 0, []byte{0x02})
		require.Equal(t, ErrEmptyBlocks, err)
	})
	t.Run("a block that ended before", func(t *testing.T) {
		t.Parallel()
		i := newInflater(15)
		for range 3 {
			_, _, err := i.Inflate(nil, 0, []byte(stored+"\x00"))
			require.NoError(t, err)
			i.EndFragment()
			_, _, err = i.Inflate(nil, 0, []byte(Tail))
			require.NoError(t, err)
		}
		require.Equal(t, 6, i.empty)
		i.EndFragment()
		require.Equal(t, 5, i.empty)
	})
}

func TestInflateAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("pools forget under the race detector; run without -race")
	}
	rnd := rand.New(rand.NewPCG(9, 9))
	var buf bytes.Buffer
	w, err := flate.NewWriter(&buf, 9)
	require.NoError(t, err)
	var payloads [][]byte
	for k := range 200 {
		buf.Reset()
		_, err = w.Write(wordsOf(rnd, 50+k*5))
		require.NoError(t, err)
		require.NoError(t, w.Flush())
		payloads = append(payloads, bytes.TrimSuffix(bytes.Clone(buf.Bytes()), []byte(Tail)))
	}
	dst := make([]byte, 0, 4096)
	expand := func(i *Inflater) {
		for _, p := range payloads {
			out, _, err := i.Inflate(dst, 0, p)
			if err == nil {
				out, _, err = i.Inflate(out, 0, []byte(Tail))
			}
			if err == nil {
				err = i.End()
			}
			if err != nil {
				t.Fatal(err)
			}
			i.Commit(out)
		}
	}
	i := newInflater(15)
	require.Zero(t, testing.AllocsPerRun(10, func() { i.Forget(); expand(i) }))
}

func FuzzInflate(f *testing.F) {
	for _, s := range []string{"f248 cdc9 c907 00", "00 0500 faff 4865 6c6c 6f 00", "f348 cdc9 c907 00 00", "f248 0500 0000 ffff cac9 c907 00", "03 00 07", "03 00 30 30 30 30", "03 00 00 00 ff ff"} {
		f.Add(hexPayload(f, s), uint64(1))
	}
	rnd := rand.New(rand.NewPCG(10, 10))
	for _, level := range stdLevels {
		f.Add(stdDeflate(f, level, wordsOf(rnd, 500)), uint64(level))
		f.Add(append(stdDeflate(f, level, make([]byte, 1000)), Tail...), uint64(level))
	}
	f.Add((dynamicBlock(258, 1) + zeros('a') + len1 + zeros(158) + len2 + len2 + len1 + "0 11 0 10").bytes(), uint64(2))
	f.Add((fixedBlock + code(0x30+'a', 8) + code(1, 7) + code(30, 5) + "0000000").bytes(), uint64(3))
	f.Fuzz(func(t *testing.T, src []byte, seed uint64) {
		want, ok := flateInflate(src)
		if len(want) > 1<<16 {
			return
		}
		i := newInflater(15)
		got, err := inflateRaw(t, i, src, cutRandomly(seed))
		if err == nil {
			err = i.End()
		}
		if err == ErrEmptyBlocks {
			return // compress/flate does not count them
		}
		require.Equal(t, ok, err == nil, "%v", err)
		if ok {
			require.True(t, bytes.Equal(want, got))
		}
		// Of what is refused one may have expanded more than the other.
		n := min(len(want), len(got))
		require.True(t, bytes.Equal(want[:n], got[:n]))
	})
}

// FuzzInflateTakeover: messages that refer to earlier ones are what compress/flate makes
// of them with the end of those as a dictionary, and without one if the history is
// given up.
func FuzzInflateTakeover(f *testing.F) {
	rnd := rand.New(rand.NewPCG(12, 12))
	var b bytes.Buffer
	for _, level := range stdLevels {
		b.Reset()
		w, err := flate.NewWriter(&b, level)
		require.NoError(f, err)
		var ends []uint16
		for range 3 {
			_, err := w.Write(wordsOf(rnd, 300))
			require.NoError(f, err)
			require.NoError(f, w.Flush())
			ends = append(ends, uint16(b.Len()))
		}
		f.Add(b.Bytes(), ends[0], ends[1], uint8(0), uint64(level))
		f.Add(b.Bytes(), ends[0], ends[1], uint8(2), uint64(level))
	}
	f.Add(hexPayload(f, "f248 cdc9 c907 0000 00ff fff2 0011 0000"), uint16(11), uint16(16), uint8(0), uint64(1)) // RFC 7692, section 7.2.3.2
	f.Fuzz(func(t *testing.T, src []byte, one, two uint16, forget uint8, seed uint64) {
		one = uint16(min(int(one), len(src)))
		two = uint16(min(int(max(one, two)), len(src)))
		i := newInflater(15)
		var before []byte
		for k, payload := range [][]byte{src[:one], src[one:two], src[two:]} {
			if forget>>k&1 != 0 {
				i.Forget()
				before = nil
			}
			before = before[max(0, len(before)-32<<10):]
			want, ok := flateInflateAfter(before, payload)
			if len(want) > 1<<16 {
				return
			}
			got, err := inflateRaw(t, i, payload, cutRandomly(seed+uint64(k)))
			if err == nil {
				err = i.End()
			}
			if err == ErrEmptyBlocks {
				return // compress/flate does not count them
			}
			require.Equal(t, ok, err == nil, "%v", err)
			n := min(len(want), len(got))
			require.True(t, bytes.Equal(want[:n], got[:n]))
			if !ok {
				return
			}
			require.Len(t, got, len(want))
			before = append(slices.Clip(before), want...)
		}
	})
}

func FuzzInflateSplit(f *testing.F) {
	rnd := rand.New(rand.NewPCG(11, 11))
	for _, level := range stdLevels {
		p := stdDeflate(f, level, wordsOf(rnd, 900))
		f.Add(p, uint16(level), uint16(len(p)/2), uint64(level))
		f.Add(append(p, append([]byte(Tail), p...)...), uint16(15), uint16(len(p)), uint64(level))
	}
	f.Fuzz(func(t *testing.T, src []byte, bits, split uint16, seed uint64) {
		one, other := newInflater(8+int(bits%8)), newInflater(8+int(bits%8))
		first := src[:min(int(split), len(src))]
		cut := cutRandomly(seed)
		cut.commit = func() bool { return false }
		for _, payload := range [][]byte{first, src[len(first):]} {
			want, wantErr := inflateMessage(t, one, payload, cutNowhere())
			if len(want) > 1<<16 {
				return
			}
			got, gotErr := inflateMessage(t, other, payload, cut)
			require.Equal(t, wantErr, gotErr)
			require.True(t, bytes.Equal(want, got))
			require.Equal(t, one.Reached(), other.Reached())
			if wantErr != nil {
				one.Reset()
				other.Reset()
			}
			require.Equal(t, one.Kept(), other.Kept())
		}
	})
}
