package deflate

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// huffmanCost is what the best code without a limit comes to, by the book: the
// two rarest are joined until one is left.
func huffmanCost(freq []uint32) (cost int) {
	var weights []uint32
	for _, f := range freq {
		if f > 0 {
			weights = append(weights, f)
		}
	}
	if len(weights) == 1 {
		return int(weights[0])
	}
	for len(weights) > 1 {
		slices.Sort(weights)
		weights[1] += weights[0]
		cost += int(weights[1])
		weights = weights[1:]
	}
	return cost
}

// checkCode checks that codes stand for the symbols of freq and for no others,
// that they are complete and in the order of RFC 1951, section 3.2.2, and
// returns what they come to.
func checkCode(t *testing.T, freq []uint32, codes []bitCode, limit int) (cost int) {
	t.Helper()
	used, space := 0, 0
	lengths := make([]int, len(freq))
	for sym, f := range freq {
		n := int(codes[sym].len())
		require.Equal(t, f > 0, n > 0, "symbol %d", sym)
		require.LessOrEqual(t, n, limit)
		if n > 0 {
			used++
			space += 1 << (limit - n)
			cost += n * int(f)
		}
		lengths[sym] = n
	}
	if used > 1 {
		require.Equal(t, 1<<limit, space)
	}
	ref := makeRefCode(lengths)
	for n, symbols := range ref.symbols {
		for i, sym := range symbols {
			want := bits.Reverse16(uint16(ref.first[n]+i)) >> (16 - n)
			require.Equal(t, uint64(want), codes[sym].bits(), "symbol %d", sym)
		}
	}
	return cost
}

func TestHuffman(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 1))
	fibonacci := []uint32{1, 1}
	for len(fibonacci) < 22 {
		fibonacci = append(fibonacci, fibonacci[len(fibonacci)-1]+fibonacci[len(fibonacci)-2])
	}
	cases := map[string][]uint32{
		"none":      make([]uint32, 30),
		"one":       {0, 0, 5},
		"two":       {0, 7, 0, 60000},
		"even":      slices.Repeat([]uint32{9}, literalCodes),
		"fibonacci": fibonacci,
		"reversed":  func() []uint32 { f := slices.Clone(fibonacci); slices.Reverse(f); return f }(),
	}
	for i := range 80 {
		freq := make([]uint32, 2+rnd.IntN(literalCodes-1))
		for j := range freq {
			if rnd.IntN(3) > 0 {
				freq[j] = rnd.Uint32N(1 << rnd.IntN(16))
			}
		}
		cases[fmt.Sprint("random ", i)] = freq
	}
	var h huffman
	for name, freq := range cases {
		t.Run(name, func(t *testing.T) {
			for _, limit := range []int{maxLiteralBits, maxDistanceBits, 9} {
				codes := slices.Repeat([]bitCode{1 << 9}, len(freq)) // of an earlier use
				h.build(codes, freq, limit)
				cost := checkCode(t, freq, codes, limit)
				best := huffmanCost(freq)
				require.GreaterOrEqual(t, cost, best)
				if longest := slices.MaxFunc(codes, func(a, b bitCode) int { return int(a.len()) - int(b.len()) }); int(longest.len()) < limit {
					require.Equal(t, best, cost)
				}
				require.LessOrEqual(t, float64(cost), float64(best)*1.2, "limit %d", limit)
			}
		})
	}
	t.Run("of code lengths", func(t *testing.T) {
		for range 100 {
			freq := make([]uint32, 19)
			for i := range freq {
				freq[i] = rnd.Uint32N(1 << rnd.IntN(9))
			}
			codes := make([]bitCode, 19)
			h.build(codes, freq, maxLengthBits)
			checkCode(t, freq, codes, maxLengthBits)
		}
	})
}

func BenchmarkHuffman(b *testing.B) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for _, symbols := range []int{10, 60, literalCodes} {
		b.Run(fmt.Sprint(symbols), func(b *testing.B) {
			freq := make([]uint32, literalCodes)
			for _, i := range rnd.Perm(literalCodes)[:symbols] {
				freq[i] = 1 + uint32(rnd.ExpFloat64()*20)
			}
			var h huffman
			codes := make([]bitCode, literalCodes)
			b.ReportAllocs()
			for b.Loop() {
				h.build(codes, freq, maxLiteralBits)
			}
		})
	}
}
