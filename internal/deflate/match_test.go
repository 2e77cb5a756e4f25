package deflate

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMatchLen(t *testing.T) {
	t.Parallel()
	for n := range 40 {
		for distance := 1; distance < 20; distance++ {
			for _, rest := range []int{0, 1, 7, 8, 9} {
				// n bytes that repeat what is distance before, one that does not, and more.
				src := sample(rand.New(rand.NewPCG(1, uint64(n))), "random", 3+distance)
				for range n {
					src = append(src, src[len(src)-distance])
				}
				if rest > 0 {
					src = append(src, src[len(src)-distance]^1)
					src = append(src, make([]byte, rest-1)...)
				}
				require.Equal(t, n, matchLen(src, 3, 3+distance), "length %d, distance %d, rest %d", n, distance, rest)
			}
		}
	}
}

func TestAppendMatch(t *testing.T) {
	t.Parallel()
	for length := minMatch; length < 5*maxMatch; length++ {
		sum := 0
		for i, s := range appendMatch(nil, 17, length, 99) {
			require.True(t, s.length >= 3 && s.length <= maxMatch, "%d of %d", s.length, length)
			require.Equal(t, uint16(99), s.distance)
			if i == 0 {
				require.Equal(t, uint16(17), s.literals)
			} else {
				require.Zero(t, s.literals)
			}
			sum += int(s.length)
		}
		require.Equal(t, length, sum)
	}
}

// TestFinders lets each finder take data apart and puts it together again.
func TestFinders(t *testing.T) {
	t.Parallel()
	finders := map[string]func(window int) finder{
		"buckets":      func(window int) finder { return newFinder(make([]uint64, 64), false, window) },
		"deep buckets": func(window int) finder { return newFinder(make([]uint64, 128), true, window) },
		"long":         func(window int) finder { return finder{window: window, long: new(longTable)} },
	}
	for name, finder := range finders {
		for _, kind := range kinds {
			t.Run(name+", "+kind, func(t *testing.T) {
				t.Parallel()
				rnd := rand.New(rand.NewPCG(1, 1))
				for range 100 {
					f := finder(1 << (8 + rnd.IntN(8)))
					f.base = uint16(rnd.Uint32())
					n := rnd.IntN(1 << rnd.IntN(15))
					f.src = sample(rnd, kind, n)
					from := rnd.IntN(n + 1)
					to := from + rnd.IntN(n-from+1)
					f.prime(0, from)

					got := bytes.Clone(f.src[:from])
					for _, s := range f.find(nil, from, to) {
						got = append(got, f.src[len(got):len(got)+int(s.literals)]...)
						require.LessOrEqual(t, int(s.distance), min(len(got), f.window))
						for range s.length {
							got = append(got, got[len(got)-int(s.distance)])
						}
					}
					require.True(t, bytes.Equal(f.src[:to], got))
				}
			})
		}
	}
}

func BenchmarkFind(b *testing.B) {
	for name, f := range map[string]finder{
		"buckets":      newFinder(make([]uint64, 512), false, 4096),
		"deep buckets": newFinder(make([]uint64, 1024), true, 4096),
		"long":         {window: 4096, long: new(longTable)},
	} {
		for _, n := range []int{200, 4 << 10, 32 << 10} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				f.src = sample(rand.New(rand.NewPCG(1, 1)), "text", n)
				var seqs []sequence
				b.SetBytes(int64(n))
				b.ReportAllocs()
				for b.Loop() {
					seqs = f.find(seqs[:0], 0, n)
				}
			})
		}
	}
}
