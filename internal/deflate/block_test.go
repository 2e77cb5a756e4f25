package deflate

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// The codes of RFC 1951, section 3.2.5, by the first length and distance of each.
var (
	lengthBases   = []int{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258, 259}
	distanceBases = []int{1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073,
		4097, 6145, 8193, 12289, 16385, 24577, 32769}
)

func TestLengthCode(t *testing.T) {
	t.Parallel()
	for code, base := range lengthBases[:29] {
		for length := base; length < lengthBases[code+1]; length++ {
			require.Equal(t, code, int(lengthCode[length-3]), "length %d", length)
			if length == 258 {
				require.Zero(t, lengthExtra[code])
				continue
			}
			// The extra bits are the low ones of the length less 3.
			require.Equal(t, length-base, (length-3)&(1<<lengthExtra[code]-1), "length %d", length)
		}
	}
}

func TestDistanceCode(t *testing.T) {
	t.Parallel()
	for code, base := range distanceBases[:30] {
		for distance := base; distance < distanceBases[code+1]; distance++ {
			got, extra := distanceCode(uint16(distance))
			require.Equal(t, uint(code), got, "distance %d", distance)
			require.Equal(t, distance-base, (distance-1)&(1<<extra-1), "distance %d", distance)
			require.Equal(t, max(0, code/2-1), int(extra))
		}
	}
}

// TestBlockSizes compares the computed size of each kind of block with what is
// written, from every bit of a byte.
func TestBlockSizes(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 1))
	for _, kind := range kinds {
		for _, n := range []int{1, 5, 100, 1000, 20000} {
			p := sample(rnd, kind, n)
			for pending := range uint(8) {
				e := encoders.Get().(*encoder)
				e.out, e.pending, e.n = nil, 0, pending
				f := e.big.finder(len(p), 1<<15, Fast)
				f.src = p
				e.seqs = f.find(e.seqs[:0], 0, len(p))
				e.countSymbols(p)
				require.Equal(t, e.codeBits(fixedCodes), e.fixedBits(p))
				e.buildCodes()
				best := min(e.storedBits(len(p)), e.codeBits(fixedCodes))
				symbols := len(e.seqs)
				for _, s := range e.seqs {
					symbols += int(s.literals)
				}
				if symbols >= dynamicFrom {
					best = min(best, e.header.bits()+e.codeBits(&e.dynamic))
				}

				// The end of the message takes three bits more and fills its byte.
				best += int(pending)
				end := (best + 3 + 7) / 8
				require.False(t, e.block(p, end-1))
				require.Empty(t, e.out)
				require.True(t, e.block(p, end))
				require.Equal(t, best, 8*len(e.out)+int(e.n))
				e.end()
				require.Len(t, e.out, end)
				e.out = nil
				encoders.Put(e)
			}
		}
	}
}

func TestHeaderRuns(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 500 {
		// Long and short runs, of zeros more often.
		var row []uint8
		for len(row) < 258 {
			length := uint8(rnd.IntN(maxDistanceBits+1) * rnd.IntN(2))
			for range 1 + rnd.IntN(1<<rnd.IntN(9)) {
				row = append(row, length)
			}
		}
		row = row[:258+rnd.IntN(min(len(row)-257, 59))]
		var h header
		h.describe(row)
		var got []uint8
		var freq [19]uint32
		for _, s := range h.steps {
			value, again := s.symbol, 1
			switch s.symbol {
			case 16:
				value, again = got[len(got)-1], 3+int(s.extra)
				require.Less(t, s.extra, uint8(4))
			case 17:
				value, again = 0, 3+int(s.extra)
				require.Less(t, s.extra, uint8(8))
			case 18:
				value, again = 0, 11+int(s.extra)
				require.Less(t, s.extra, uint8(128))
			}
			freq[s.symbol]++
			for range again {
				got = append(got, value)
			}
		}
		require.Equal(t, row, got)
		require.Equal(t, h.freq, freq)
	}
}

func TestHopeless(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		n := 1<<10 + rnd.IntN(31<<10)
		e := &encoder{seqs: []sequence{{literals: uint16(n)}}}
		require.True(t, e.hopeless(sample(rnd, "random", n)))
		require.False(t, e.hopeless(sample(rnd, "text", n)))
		require.False(t, e.hopeless(sample(rnd, "skewed", n)))
		seven := sample(rnd, "random", n)
		for i := range seven {
			seven[i] &= 0x7f
		}
		require.False(t, e.hopeless(seven))
	}
	e := &encoder{}
	require.False(t, e.hopeless(sample(rnd, "random", 1023)), "too short to tell")
	require.True(t, (&encoder{seqs: []sequence{{literals: math.MaxUint16}}}).hopeless(sample(rnd, "random", BlockSize)))
}
