package utf8

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket/internal/asmtest"
	"github.com/duplexkit/websocket/internal/xor"
)

var texts = []string{
	"", "a", "Hello-µ@ßöäüàá-UTF-8!!", "κόσμε", "\u0000", "\u0080", "\u0800", "\U00010000",
	"\x7f", "\u07ff", "\uffff", "\U0010ffff", "\ud7ff", "\ue000", "\ufffd", // section by section of Kuhn's test file
	"\xf4\x90\x80\x80", "\xf4\x90", "\xed\xa0\x80", "\xed\xa0", "\xc0\xaf", "\xc0", "\xe0\x80\xaf", "\xe0\x80", "\xf0\x80",
	"\xf5", "\xfe", "\xff", "\x80", "\xbf", "\x80\xbf", "\xce", "\xe1\xbd", "\xf0\x90\x8d", "ab\xf0\x90", "\xc3(", "\xe2\x82(",
	strings.Repeat("x", 100) + "ü" + strings.Repeat("€", 50), strings.Repeat("x", 99) + "\xe2\x82",
	strings.Repeat("𝄞", 40), strings.Repeat("x", 127) + "\xf4", strings.Repeat("x", 160) + "\xf5",
}

var key = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// doomed is the definition: the length from which on no beginning of p can be
// continued to valid UTF-8, more than len(p) if there is none.
func doomed(p []byte) int {
	for i := 0; i < len(p); {
		if r, size := utf8.DecodeRune(p[i:]); r != utf8.RuneError || size > 1 {
			i += size
			continue
		}
		for end := i + 1; end <= len(p); end++ {
			if utf8.FullRune(p[i:end]) { // of what is wrong, as soon as it is
				return end
			}
		}
		break
	}
	return len(p) + 1
}

// few says that a sample has to do: the race detector makes everything slow, and
// sees nothing of the kernels.
func few() bool { return testing.Short() || raceEnabled }

// ways are the ways to check a text: as it is, masked, and with the twin in Go.
type ways struct {
	write, unmask, twin Validator
	pos                 int
}

// next holds what they say of the next piece of a text against ok. p is masked
// for a while and then as it was.
func (w *ways) next(t *testing.T, p []byte, ok bool) {
	write, twin := w.write.Write(p), w.writeTwin(p)
	xor.Mask(key, w.pos, p)
	next, unmask := w.unmask.Unmask(key, w.pos, p)
	if write != ok || unmask != ok || twin != ok {
		require.Fail(t, "wrong", "%x is %v, but Write %v, Unmask %v, twin %v", p, ok, write, unmask, twin)
	}
	if next != (w.pos+len(p))&3 {
		require.Fail(t, "wrong position in the key", "%d after %d bytes from %d on", next, len(p), w.pos)
	}
	if ok && (w.write.Done() != w.twin.Done() || w.unmask.Done() != w.twin.Done()) {
		require.Fail(t, "Done differs", "%x", p)
	}
	w.pos = next
}

// writeTwin is Write of a machine without kernels.
func (w *ways) writeTwin(p []byte) bool {
	v := &w.twin
	if v.n > 0 {
		head := min(v.missing(), len(p))
		if !v.finish(p[:head]) {
			return false
		}
		p = p[head:]
	}
	return v.plain(p)
}

// check feeds p in pieces cut at a and b and holds every answer against doomed.
func check(t *testing.T, p []byte, a, b int) {
	var w ways
	was, end, bad := slices.Clone(p), 0, doomed(p)
	for _, cut := range []int{a, b, len(p)} {
		w.next(t, p[end:cut], cut < bad)
		end = cut
		if cut >= bad {
			break
		}
	}
	if end < bad && w.write.Done() != utf8.Valid(p) {
		require.Fail(t, "wrong", "Done is %v of %x", w.write.Done(), p)
	}
	if !bytes.Equal(was, p) {
		require.Fail(t, "wrongly unmasked", "%x is not %x", p, was)
	}
}

func TestEveryCut(t *testing.T) {
	t.Parallel()
	for _, text := range texts {
		p := []byte(text)
		for a := 0; a <= len(p); a++ {
			for b := a; b <= len(p); b++ {
				check(t, p, a, b)
			}
		}
	}
}

// setting returns n bytes of text to have before or behind something: ASCII, and
// Chinese as far as it fits from the nearer end on.
func setting(n int, chinese, before bool) []byte {
	p := bytes.Repeat([]byte("a"), n)
	if !chinese {
		return p
	}
	text := bytes.Repeat([]byte("漢"), n/3)
	if before {
		copy(p[n-len(text):], text)
	} else {
		copy(p, text)
	}
	return p
}

// scene is a text with a place for an encoding to be tried.
type scene struct {
	all  []byte
	slot []byte
}

// scenes returns the texts with the slot of n bytes at the position: among ASCII
// and among Chinese, with more text behind it, and at the end.
func scenes(position, n int) (all []scene) {
	for _, chinese := range []bool{false, true} {
		for _, behind := range []int{0, 1, 32, 150} { // 32 is the vector at the end
			p := slices.Concat(setting(position, chinese, true), make([]byte, n), setting(behind, chinese, false))
			all = append(all, scene{p, p[position:][:n]})
		}
	}
	return all
}

// try holds what the kernels say of the text in s with seq in it against what
// unicode/utf8 says of seq: the rest is valid.
func (s scene) try(t *testing.T, seq []byte) {
	copy(s.slot, seq)
	ok, done := utf8.Valid(seq), true
	if !ok && len(s.slot) > 0 && &s.slot[len(seq)-1] == &s.all[len(s.all)-1] {
		ok, done = doomed(seq) > len(seq), false
	}
	var w ways
	xor.Mask(key, 0, s.all)
	_, unmask := w.unmask.Unmask(key, 0, s.all)
	write := w.write.Write(s.all)
	if unmask != ok || write != ok {
		require.Fail(t, "wrong", "%x is %v, but Unmask %v, Write %v", s.all, ok, unmask, write)
	}
	if ok && (w.unmask.Done() != done || w.write.Done() != done) {
		require.Fail(t, "wrong", "Done of %x", s.all)
	}
}

// borders are the positions that are tried: enough to meet the borders of all
// blocks and vectors that the kernels know.
const borders = 141

// TestEvery2 tries all single bytes in all scenes at every position, and all
// pairs at every position.
func TestEvery2(t *testing.T) {
	t.Parallel()
	step := 8 // there are as many scenes
	if few() {
		step = 8 * 29
	}
	for position := range borders {
		for i, s := range scenes(position, 1) {
			for b := range 256 {
				s.try(t, []byte{byte(b)})
			}
			two := scenes(position, 2)[i]
			for x := (position + i) % step; x < 1<<16; x += step {
				two.try(t, []byte{byte(x >> 8), byte(x)})
			}
		}
	}
}

// TestEvery3 tries every fifth sequence of three bytes, each at one position.
func TestEvery3(t *testing.T) {
	t.Parallel()
	step := 5
	if few() {
		step = 311
	}
	var all [borders][]scene
	for position := range all {
		all[position] = scenes(position, 3)
	}
	for x := 0; x < 1<<24; x += step {
		at := all[x%borders]
		at[x/borders%len(at)].try(t, []byte{byte(x >> 16), byte(x >> 8), byte(x)})
	}
}

// edges holds the bytes at which UTF-8 distinguishes.
var edges = []byte("\x00\x41\x7f\x80\x8f\x90\x9f\xa0\xbf\xc0\xc1\xc2\xdf\xe0\xe1\xec\xed\xee\xef\xf0\xf1\xf3\xf4\xf5\xf7\xf8\xff")

// TestEdges tries all sequences of three edges at every position, and of four as
// they come.
func TestEdges(t *testing.T) {
	t.Parallel()
	step := 1
	if few() {
		step = 29
	}
	n, four := len(edges), uint(0)
	for position := range borders {
		three, longer := scenes(position, 3), scenes(position, 4)
		for x := position % step; x < n*n*n; x += step {
			seq := []byte{edges[x/n/n], edges[x/n%n], edges[x%n]}
			three[(x+position)%len(three)].try(t, seq)
			four += 7919 // a prime: all are met over time
			longer[x%len(longer)].try(t, append(seq, edges[four%uint(n)]))
		}
	}
}

// random returns a text of up to 200 bytes, valid or nearly so.
func random(rnd *rand.Rand) (p []byte) {
	limits := []rune{0x80, 0x800, 0x10000, 0x110000}
	most, size := 1+rnd.IntN(len(limits)), rnd.IntN(200)
	for len(p) < size {
		p = utf8.AppendRune(p, rnd.Int32N(limits[rnd.IntN(most)]))
	}
	if len(p) == 0 {
		return p
	}
	switch at := rnd.IntN(len(p)); rnd.IntN(6) {
	case 0:
		p[at] ^= 1 << rnd.IntN(8)
	case 1:
		p[at] = edges[rnd.IntN(len(edges))]
	case 2:
		p = slices.Delete(p, at, at+1)
	case 3:
		p = p[:at]
	}
	return p
}

func TestRandom(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	count := 100_000
	if few() {
		count = 5000
	}
	valid := 0
	for i := range count {
		p := random(rnd)
		step := 1 // to cut everywhere
		if i%50 > 0 {
			step = 1 + rnd.IntN(len(p)+1)
		}
		for cut := 0; cut <= len(p); cut += step {
			check(t, p, cut, cut+rnd.IntN(len(p)-cut+1))
		}
		if utf8.Valid(p) {
			valid++
		}
	}
	require.Greater(t, valid, count/4)
	require.Less(t, valid, count*3/4)
}

// TestUnmask checks what Unmask leaves behind, not what it says.
func TestUnmask(t *testing.T) {
	t.Parallel()
	arena := make([]byte, 400)
	rnd := rand.NewChaCha8([32]byte{1})
	step := 1
	if few() {
		step = 7
	}
	for _, ascii := range []bool{true, false} {
		_, _ = rnd.Read(arena)
		if ascii {
			for i := range arena {
				arena[i] &= 0x7f
			}
		}
		for n := range 301 {
			for align := 0; align < 64; align += step {
				for pos := range 4 {
					p, was := arena[align:align+n], slices.Clone(arena)
					xor.Mask(key, pos, p)
					for _, begun := range []string{"", "\xc3", "\xe6\xbc", "\xf0"} {
						var v Validator
						require.True(t, v.Write([]byte(begun)))
						next, _ := v.Unmask(key, pos, p)
						require.Equal(t, (pos+n)&3, next)
						require.True(t, bytes.Equal(was, arena), "length %d, alignment %d, position %d", n, align, pos)
						xor.Mask(key, pos, p)
					}
					copy(arena, was)
				}
			}
		}
	}
}

// TestPageBorders has the text begin where its page does, or end there.
func TestPageBorders(t *testing.T) {
	t.Parallel()
	page := asmtest.Guarded(t)
	for _, text := range []string{"plain ", "漢字", "ä", "𝄞"} {
		for n := range 601 {
			for _, p := range [][]byte{page[:n:n], page[len(page)-n:]} {
				copy(p, strings.Repeat(text, n/len(text)+1))
				check(t, p, 0, 0)
			}
		}
	}
}

func TestReset(t *testing.T) {
	t.Parallel()
	var v Validator
	require.True(t, v.Write([]byte("\xe2\x82")))
	require.False(t, v.Done())
	v.Reset()
	require.True(t, v.Done())
	require.True(t, v.Write([]byte("plain")))
	require.True(t, v.Done())
}

func TestNoAllocation(t *testing.T) {
	p := []byte(strings.Repeat("grüße €", 100))
	var v Validator
	require.Zero(t, testing.AllocsPerRun(10, func() {
		v.Reset()
		v.Write(p[:300])
		v.Unmask([4]byte{}, 0, p[300:])
	}))
}

func FuzzUTF8(f *testing.F) {
	for i, p := range texts {
		f.Add([]byte(p), i%5, i%7)
		f.Add([]byte(p), i*3, i*11)
	}
	f.Fuzz(func(t *testing.T, p []byte, a, b int) {
		p = slices.Clone(p)
		require.Equal(t, utf8.Valid(p), doomed(p) > len(p) && unfinished(p) == 0)
		a = min(max(a, 0), len(p))
		b = min(max(b, a), len(p))
		check(t, p, a, b)
	})
}

// BenchmarkUnmask measures Unmask and Write beside their twin in Go, and beside
// copy, which says what the memory allows.
func BenchmarkUnmask(b *testing.B) {
	var w ways
	for _, text := range []string{"ascii", "grüße €", "漢字"} {
		for _, n := range []int{0, 16, 64, 125, 512, 4 << 10, 64 << 10, 1 << 20} {
			p := []byte(strings.Repeat(text, n/len(text)+1))[:n]
			dst, masked := make([]byte, n), [4]byte{} // an idle key: p is the same every time
			for _, c := range []struct {
				name string
				do   func()
			}{
				{"memmove", func() { copy(dst, p) }},
				{"Unmask", func() { w.unmask.Reset(); w.unmask.Unmask(masked, 0, p) }},
				{"Unmask-plain", func() { w.twin.Reset(); xor.Mask(masked, 0, p); w.writeTwin(p) }},
				{"Write", func() { w.write.Reset(); w.write.Write(p) }},
				{"Write-plain", func() { w.twin.Reset(); w.writeTwin(p) }},
			} {
				b.Run(fmt.Sprintf("%s/%d/%s", text, n, c.name), func(b *testing.B) {
					b.SetBytes(int64(n))
					b.ReportAllocs()
					for b.Loop() {
						c.do()
					}
				})
			}
		}
	}
}
