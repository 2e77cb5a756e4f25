package deflate

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// A checker receives the messages of a Deflater through both the standard
// library and refInflater.
type checker struct {
	t        testing.TB
	d        Deflater
	takeover bool
	std      bytes.Buffer // the stream so far, whole
	reader   io.ReadCloser
	ref      refInflater
	sent     []byte // what std must expand to
}

func newChecker(t testing.TB, bits int, takeover bool) *checker {
	c := &checker{t: t, takeover: takeover}
	c.reader = flate.NewReader(nil)
	c.d.Init(bits, takeover)
	c.ref.window = 1 << bits
	return c
}

// message checks that stream, without its last four octets, expands to p.
func (c *checker) message(stream, p []byte) {
	c.t.Helper()
	got, err := c.ref.message(stream)
	require.NoError(c.t, err)
	require.True(c.t, bytes.Equal(p, got), "the reference inflater reads something else")
	if !c.takeover {
		c.ref.forget()
		require.True(c.t, bytes.Equal(p, c.expand(stream)), "compress/flate reads something else")
		return
	}
	c.std.Write(stream)
	c.std.WriteString("\x00\x00\xff\xff")
	c.sent = append(c.sent, p...)
}

// close checks the whole stream of a connection with context takeover.
func (c *checker) close() {
	c.t.Helper()
	if c.std.Len() > 0 {
		stream := bytes.TrimSuffix(c.std.Bytes(), []byte("\x00\x00\xff\xff"))
		require.True(c.t, bytes.Equal(c.sent, c.expand(stream)), "compress/flate reads something else")
	}
}

// expand returns what compress/flate makes of a stream without its last four octets.
func (c *checker) expand(stream []byte) []byte {
	c.t.Helper()
	// An empty final block ends the stream for a reader that knows nothing of messages.
	tail := "\x00\x00\xff\xff\x01\x00\x00\xff\xff"
	require.NoError(c.t, c.reader.(flate.Resetter).Reset(io.MultiReader(bytes.NewReader(stream), strings.NewReader(tail)), nil))
	p, err := io.ReadAll(c.reader)
	require.NoError(c.t, err)
	return p
}

// whole sends p by AppendMessage and reports whether it shrank.
func (c *checker) whole(p []byte, level Level) bool {
	c.t.Helper()
	prefix := []byte("prefix")
	out, ok := c.d.AppendMessage(prefix, p, level)
	require.Equal(c.t, "prefix", string(out[:6]))
	if !ok {
		require.Len(c.t, out, 6)
		return false
	}
	require.Less(c.t, len(out)-6, len(p))
	c.message(out[6:], p)
	return true
}

// pieces sends p by Append, cut at the places given, and AppendEnd.
func (c *checker) pieces(p []byte, level Level, cuts ...int) {
	c.t.Helper()
	var out []byte
	bound, from := 5, 0
	for _, cut := range append(cuts, len(p)) {
		out = c.d.Append(out, p[from:cut], level)
		bound += cut - from + 5*((cut-from+BlockSize-1)/BlockSize)
		from = cut
	}
	out = c.d.AppendEnd(out)
	require.LessOrEqual(c.t, len(out), bound)
	c.message(out, p)
}

// sample returns n bytes of a kind.
func sample(rnd *rand.Rand, kind string, n int) []byte {
	p := make([]byte, 0, n+32)
	for len(p) < n {
		switch kind {
		case "random":
			p = append(p, byte(rnd.Uint32()))
		case "zeros":
			p = append(p, 0)
		case "repeated":
			p = append(p, "0123456789abcdef?"...)
		case "skewed":
			p = append(p, byte(rnd.ExpFloat64()*20))
		case "text":
			p = append(p, words[min(rnd.IntN(len(words)), rnd.IntN(len(words)))]...)
		case "mixed":
			if rnd.IntN(3) > 0 || len(p) == 0 {
				p = append(p, byte(rnd.Uint32()), byte(rnd.Uint32()))
			} else {
				i := rnd.IntN(len(p))
				p = append(p, p[i:min(len(p), i+rnd.IntN(300))]...)
			}
		}
	}
	return p[:n]
}

var kinds = []string{"random", "zeros", "repeated", "skewed", "text", "mixed"}

var words = func() (w [][]byte) {
	rnd := rand.New(rand.NewPCG(7, 7))
	for range 500 {
		p := make([]byte, 2+rnd.IntN(9))
		for i := range p {
			p[i] = 'a' + byte(min(rnd.IntN(26), rnd.IntN(26)))
		}
		p[len(p)-1] = ' '
		w = append(w, p)
	}
	return w
}()

var levels = []Level{Stored, HuffmanOnly, Fast, Better}

// each runs f for every window and both ways of context takeover.
func each(t *testing.T, f func(t *testing.T, rnd *rand.Rand, c *checker)) {
	for bits := MinBits; bits <= MaxBits; bits++ {
		for _, takeover := range []bool{false, true} {
			t.Run(fmt.Sprintf("bits=%d,takeover=%t", bits, takeover), func(t *testing.T) {
				t.Parallel()
				c := newChecker(t, bits, takeover)
				f(t, rand.New(rand.NewPCG(uint64(bits), 1)), c)
				c.close()
			})
		}
	}
}

func TestEverySmallSize(t *testing.T) {
	t.Parallel()
	for _, level := range levels {
		t.Run(fmt.Sprintf("level=%d", level), func(t *testing.T) {
			t.Parallel()
			each(t, func(t *testing.T, rnd *rand.Rand, c *checker) {
				for n := range 600 {
					p := sample(rnd, kinds[rnd.IntN(len(kinds))], n)
					if rnd.IntN(3) == 0 {
						cut := rnd.IntN(n + 1)
						c.pieces(p, level, cut, cut+rnd.IntN(n-cut+1))
					} else {
						c.whole(p, level)
					}
				}
			})
		})
	}
}

// TestMixture sends messages of all kinds, sizes and levels over one connection,
// by every way there is. Those that do not shrink go past the Deflater.
func TestMixture(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, rnd *rand.Rand, c *checker) {
		kept, left := 0, 300<<10
		for range 60 {
			n := rnd.IntN(1 << rnd.IntN(13))
			if left > 0 && rnd.IntN(12) == 0 {
				n = rnd.IntN(left)
				left -= n
			}
			p := sample(rnd, kinds[rnd.IntN(len(kinds))], n)
			level := levels[rnd.IntN(len(levels))]
			switch rnd.IntN(5) {
			case 0:
				a, b := rnd.IntN(n+1), rnd.IntN(n+1)
				c.pieces(p, level, min(a, b), max(a, b))
			case 1:
				c.learn(p)
			default:
				c.whole(p, level)
			}
			kept = max(kept, c.d.Kept())
			if rnd.IntN(30) == 0 {
				c.d.Release()
			}
		}
		if !c.takeover {
			require.Zero(t, kept)
		}
		require.LessOrEqual(t, c.ref.far, c.ref.window)
	})
}

// learn sends p as a message compressed by another Deflater.
func (c *checker) learn(p []byte) {
	c.t.Helper()
	var other Deflater
	other.Init(int(c.d.bits), false)
	stream, ok := other.AppendMessage(nil, p, Fast)
	if !ok {
		return
	}
	c.d.Learn(p)
	c.message(stream, p)
}

func TestLargeMessages(t *testing.T) {
	t.Parallel()
	for _, bits := range []int{8, 12, 15} {
		for _, takeover := range []bool{false, true} {
			t.Run(fmt.Sprintf("bits=%d,takeover=%t", bits, takeover), func(t *testing.T) {
				t.Parallel()
				rnd := rand.New(rand.NewPCG(9, uint64(bits)))
				c := newChecker(t, bits, takeover)
				for _, n := range []int{BlockSize - 1, BlockSize, BlockSize + 1, 2 * BlockSize, 2*BlockSize + 3, 300 << 10} {
					for _, level := range levels {
						if n == 300<<10 && level != Fast {
							continue // the reference inflater takes its time
						}
						p := sample(rnd, []string{"text", "mixed", "skewed"}[rnd.IntN(3)], n)
						if shrank := c.whole(p, level); level >= Fast {
							require.True(t, shrank)
						}
						if n == 2*BlockSize {
							c.pieces(p, level, n/3)
						}
					}
				}
				c.close()
			})
		}
	}
}

func TestTheWindowIsUsedToItsEnd(t *testing.T) {
	t.Parallel()
	for bits := MinBits; bits <= MaxBits; bits++ {
		for _, level := range []Level{Fast, Better} {
			c := newChecker(t, bits, true)
			rnd := rand.New(rand.NewPCG(3, 3))
			// The same bytes again, exactly a window later and one byte more.
			for _, extra := range []int{0, 1} {
				p := sample(rnd, "random", 1<<bits)
				c.pieces(p, level)
				c.pieces(sample(rnd, "random", extra), level)
				c.ref.far = 0
				c.pieces(p[:100], level)
				if extra == 0 {
					require.Equal(t, 1<<bits, c.ref.far, "bits %d, level %d", bits, level)
				} else {
					require.Less(t, c.ref.far, 1<<bits)
				}
			}
			c.close()
		}
	}
}

func TestBlockTypes(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(2, 2))
	for _, tc := range []struct {
		name  string
		p     []byte
		level Level
		kind  int
	}{
		{"few symbols", []byte("hello, hello, hello"), Fast, typeFixed},
		{"text", sample(rnd, "text", 3000), Fast, typeDynamic},
		{"text, better", sample(rnd, "text", 3000), Better, typeDynamic},
		{"text without matches", sample(rnd, "text", 3000), HuffmanOnly, typeDynamic},
		{"some random bytes", sample(rnd, "random", 300), Fast, typeStored},
		{"many random bytes", sample(rnd, "random", 3000), Fast, typeStored},
		{"random, in blocks", sample(rnd, "random", 3*BlockSize), Better, typeStored},
		{"not to be compressed", sample(rnd, "text", 3*BlockSize), Stored, typeStored},
		{"zeros", make([]byte, 3*BlockSize), Fast, typeDynamic},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := newChecker(t, 15, false)
			c.pieces(tc.p, tc.level)
			blocks := max(1, len(tc.p)/BlockSize)
			if tc.kind == typeStored {
				blocks++ // the end of the message is one too
			}
			require.Equal(t, blocks, c.ref.blocks[tc.kind], "%v", c.ref.blocks)
		})
	}
}

// TestExamples compresses the message of RFC 7692, section 7.2.3.
func TestExamples(t *testing.T) {
	t.Parallel()
	hello := []byte("Hello")
	for _, level := range []Level{HuffmanOnly, Fast, Better} {
		c := newChecker(t, 15, true)
		require.False(t, c.whole(hello, level), "seven bytes are not shorter than five")

		first := []byte{0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00} // section 7.2.3.1
		require.Equal(t, first, c.d.AppendEnd(c.d.Append(nil, hello, level)))
		c.message(first, hello)
		if level == HuffmanOnly {
			continue
		}
		// The example of section 7.2.3.2, f2 00 11 00 00, begins with a literal H. A
		// match may as well begin at the H.
		second := []byte{0x02, 0x13, 0x00, 0x00}
		require.Equal(t, second, c.d.AppendEnd(c.d.Append(nil, hello, level)))
		c.message(second, hello)
		c.message([]byte{0xf2, 0x00, 0x11, 0x00, 0x00}, hello)
		c.close()
	}
}

func TestEmptyMessage(t *testing.T) {
	t.Parallel()
	for _, level := range levels {
		c := newChecker(t, 12, true)
		require.False(t, c.whole(nil, level))
		require.Equal(t, []byte{0}, c.d.AppendEnd(nil)) // RFC 7692, section 7.2.3.6
		require.Equal(t, []byte{0}, c.d.AppendEnd(c.d.Append(nil, nil, level)))
		require.Zero(t, c.d.Kept())
	}
}

func TestStoredLevelNeverShrinks(t *testing.T) {
	t.Parallel()
	c := newChecker(t, 12, true)
	require.False(t, c.whole(make([]byte, 1000), Stored))
	require.Zero(t, c.d.Kept())
}

// TestWithdrawnMessages alternates messages that shrink with some that do not,
// whose bytes the peer's window never sees.
func TestWithdrawnMessages(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, rnd *rand.Rand, c *checker) {
		for i := range 150 {
			level := []Level{Fast, Better, HuffmanOnly}[rnd.IntN(3)]
			noise := sample(rnd, "random", 1+rnd.IntN(1<<rnd.IntN(12)))
			require.False(t, c.whole(noise, level))
			// The next one quotes what was withdrawn.
			c.whole(bytes.Repeat(noise[:min(40, len(noise))], 3), level)
			if i%40 == 0 {
				require.False(t, c.whole(sample(rnd, "random", BlockSize+1+rnd.IntN(BlockSize)), level))
			}
		}
	})
}

func TestWithdrawingLeavesTheHistoryAlone(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(8, 8))
	for _, n := range []int{20, 500, 5000, 100000} {
		p, noise := sample(rnd, "text", 400), sample(rnd, "random", n)
		var with, without Deflater
		with.Init(12, true)
		without.Init(12, true)
		for i := range 30 {
			a, _ := without.AppendMessage(nil, p, Fast)
			_, ok := with.AppendMessage(nil, noise, Fast)
			require.False(t, ok)
			b, _ := with.AppendMessage(nil, p, Fast)
			if i > 0 {
				require.Less(t, len(b), 30, "the message before is not found any more")
			}
			require.InDelta(t, len(a), len(b), 8)
			p[i]++
		}
	}
}

func TestNoLongerThanTheBound(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, rnd *rand.Rand, c *checker) {
		for _, n := range []int{1, 31, 32, 1000, BlockSize, 3*BlockSize + 1} {
			p := sample(rnd, "random", n)
			for _, level := range levels {
				c.pieces(p, level) // which checks the bound
			}
		}
		p := sample(rnd, "random", 500)
		var cuts []int
		for i := range p {
			cuts = append(cuts, i)
		}
		c.pieces(p, Fast, cuts...)
	})
}

func TestReleaseDuringAMessage(t *testing.T) {
	t.Parallel()
	for _, takeover := range []bool{false, true} {
		c := newChecker(t, 10, takeover)
		p := bytes.Repeat([]byte("to be released "), 20)
		c.whole(p, Fast)
		c.d.Append(nil, p, Fast)
		c.d.Release()
		require.Zero(t, c.d.Kept())
		// The peer's window still holds the first message, which does no harm.
		c.whole(p, Fast)
		c.pieces(p, Better, 7)
		c.close()
	}
}

func TestSameMessagesSameBytes(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(5, 6))
	for _, takeover := range []bool{false, true} {
		for _, level := range []Level{Fast, Better} {
			var want []byte
			p := sample(rnd, "mixed", 3000)
			large := sample(rnd, "text", 100000)
			for range 3 {
				var d Deflater
				d.Init(11, takeover)
				var got []byte
				for _, p := range [][]byte{p, p[:100], large, p[50:900], large[:70000]} {
					got, _ = d.AppendMessage(got, p, level)
					got = d.AppendEnd(d.Append(got, p, level))
				}
				if want == nil {
					want = got
				}
				require.True(t, bytes.Equal(want, got), "what was compressed before by others shows")
				d.Release()
			}
		}
	}
}

func TestKept(t *testing.T) {
	t.Parallel()
	for bits := MinBits; bits <= MaxBits; bits++ {
		for _, tc := range []struct {
			level Level
			table int
		}{{Fast, 1 << bits}, {Better, 2 << bits}} {
			var d Deflater
			d.Init(bits, true)
			require.Zero(t, d.Kept())
			_, ok := d.AppendMessage(nil, []byte("0123456789abcdef"), tc.level)
			require.False(t, ok)
			require.Zero(t, d.Kept(), "nothing has been compressed")
			d.AppendMessage(nil, make([]byte, 100), tc.level)
			require.LessOrEqual(t, d.Kept(), 2<<bits+tc.table)
			for range 5 {
				for _, n := range []int{100, 1 << bits, 1 << bits / 2, 3 << bits} {
					d.AppendMessage(nil, make([]byte, n), tc.level)
					d.AppendEnd(d.Append(nil, make([]byte, n), tc.level))
				}
			}
			require.Equal(t, 2<<bits+tc.table, d.Kept())
			require.Equal(t, d.Kept(), cap(d.history.buf)+8*cap(d.history.table))
			d.Release()
			require.Zero(t, d.Kept())

			d.Init(bits, false)
			d.AppendMessage(nil, make([]byte, 5000), tc.level)
			d.Learn(make([]byte, 5000))
			require.Zero(t, d.Kept())
			d.AppendEnd(d.Append(nil, make([]byte, 5000), tc.level))
			require.Zero(t, d.Kept())
		}
	}
	require.LessOrEqual(t, 12<<10+int(unsafe.Sizeof(Deflater{})+unsafe.Sizeof(history{})), 13<<10)
}

func TestNoAllocation(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties pools; run without -race")
	}
	rnd := rand.New(rand.NewPCG(4, 4))
	for _, takeover := range []bool{false, true} {
		for _, level := range []Level{HuffmanOnly, Fast, Better} {
			for _, kind := range []string{"text", "random"} {
				var d Deflater
				d.Init(12, takeover)
				var messages [][]byte
				for _, n := range []int{10, 200, 2000, 4096, 5000, 70000} {
					messages = append(messages, sample(rnd, kind, n))
				}
				dst := make([]byte, 0, 71000)
				all := func() {
					for _, p := range messages {
						d.AppendMessage(dst[:0:len(p)+32], p, level)
						d.AppendEnd(d.Append(dst, p, level))
						d.Learn(p)
					}
				}
				all()
				// A garbage collection in between empties the pools.
				require.Less(t, testing.AllocsPerRun(20, all), 1.0, "takeover %t, level %d, %s", takeover, level, kind)
			}
		}
	}
}

func TestLevelOf(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]Level{
		flate.HuffmanOnly: HuffmanOnly, flate.DefaultCompression: Fast, flate.NoCompression: Stored,
		flate.BestSpeed: Fast, 5: Fast, 6: Better, flate.BestCompression: Better,
	} {
		require.Equal(t, want, LevelOf(n), "%d", n)
	}
}

// FuzzDeflate sends pieces of data as messages, by the ways that the bytes of
// script say.
func FuzzDeflate(f *testing.F) {
	rnd := rand.New(rand.NewPCG(6, 6))
	for i, kind := range kinds {
		f.Add(uint8(i), i%2 == 0, []byte{0, 1, 2, 3, 9, 77, 255, 130}, sample(rnd, kind, 700))
	}
	f.Add(uint8(4), true, []byte{66, 2, 66, 2, 64, 3}, []byte("HelloHelloHello, hello, Hello"))
	f.Add(uint8(0), true, []byte{250, 251, 252, 253}, bytes.Repeat([]byte("abcdefgh"), 200))
	f.Fuzz(func(t *testing.T, bits uint8, takeover bool, script, data []byte) {
		if len(script) > 64 || len(data) > 1<<16 {
			return
		}
		c := newChecker(t, MinBits+int(bits%8), takeover)
		for at, step := range script {
			// The upper bits are the length, of what is left or else from anywhere.
			n := int(step>>4) * int(step>>4) * (1 + at%5)
			from := 0
			if len(data) > 0 {
				from = at * 251 % len(data)
			}
			p := data[from:min(len(data), from+n)]
			if step>>4 == 15 {
				p = bytes.Repeat(data, 1+at%3)
			}
			level := levels[step&3]
			switch step >> 2 & 3 {
			case 0:
				c.pieces(p, level, len(p)/3, len(p)/2)
			case 1:
				c.learn(p)
			default:
				c.whole(p, level)
			}
		}
		c.close()
	})
}

// BenchmarkAppendMessage is for a quick look; internal/benchmarks compares.
func BenchmarkAppendMessage(b *testing.B) {
	for _, level := range []Level{HuffmanOnly, Fast, Better} {
		for _, n := range []int{16, 125, 1 << 10, 64 << 10} {
			b.Run(fmt.Sprintf("level=%d/%d", level, n), func(b *testing.B) {
				p := sample(rand.New(rand.NewPCG(1, 1)), "text", 256<<10)
				var d Deflater
				d.Init(12, true)
				dst := make([]byte, 0, n+32)
				b.SetBytes(int64(n))
				b.ReportAllocs()
				for i := 0; b.Loop(); i = (i + n) % (len(p) - n) {
					d.AppendMessage(dst, p[i:i+n], level)
				}
			})
		}
	}
}
