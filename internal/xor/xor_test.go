package xor

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// byteLoop is the definition in RFC 6455, section 5.3, taken literally.
func byteLoop(key [4]byte, pos int, b []byte) {
	for i := range b {
		b[i] ^= key[(pos+i)&3]
	}
}

func TestEveryLengthAlignmentAndPosition(t *testing.T) {
	t.Parallel()
	rnd := rand.NewChaCha8([32]byte{1})
	key := [4]byte{0x37, 0xfa, 0x21, 0x3d}
	arena, dstArena := make([]byte, 340), make([]byte, 340)
	for n := range 301 {
		for align := range 32 {
			for pos := range 4 {
				_, _ = rnd.Read(arena)
				src := arena[align : align+n]
				want := slices.Clone(src)
				byteLoop(key, pos, want)
				before, after := slices.Clone(arena[:align]), slices.Clone(arena[align+n:])

				plain := slices.Clone(src)
				dst := dstArena[align : align+n]
				require.Equal(t, (pos+n)&3, Copy(dst, src, key, pos))
				require.Equal(t, want, dst, "Copy: length %d, alignment %d, position %d", n, align, pos)
				require.Equal(t, plain, src, "Copy changed its source")

				require.Equal(t, (pos+n)&3, Mask(key, pos, src))
				require.Equal(t, want, src, "Mask: length %d, alignment %d, position %d", n, align, pos)
				require.Equal(t, before, arena[:align], "Mask wrote before its slice")
				require.Equal(t, after, arena[align+n:], "Mask wrote behind its slice")
			}
		}
	}
}

func FuzzMask(f *testing.F) {
	f.Add([]byte("Hello"), uint32(0x3d21fa37), 0, 2)
	f.Add(make([]byte, 100), uint32(1), 3, 33)
	f.Fuzz(func(t *testing.T, p []byte, k uint32, pos, split int) {
		key := [4]byte{byte(k), byte(k >> 8), byte(k >> 16), byte(k >> 24)}
		pos &= 0xffff
		split = min(max(split, 0), len(p))
		want := slices.Clone(p)
		byteLoop(key, pos, want)

		copied := make([]byte, len(p))
		next := Copy(copied, p[:split], key, pos)
		Copy(copied[split:], p[split:], key, next)
		require.Equal(t, want, copied)

		next = Mask(key, pos, p[:split])
		Mask(key, next, p[split:])
		require.Equal(t, want, p)
	})
}

func BenchmarkMask(b *testing.B) {
	for _, n := range []int{0, 16, 125, 1 << 10, 64 << 10} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p := make([]byte, n)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				Mask([4]byte{1, 2, 3, 4}, 0, p)
			}
		})
	}
}

func BenchmarkCopy(b *testing.B) {
	for _, n := range []int{0, 16, 125, 1 << 10, 64 << 10} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			src, dst := make([]byte, n), make([]byte, n)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				Copy(dst, src, [4]byte{1, 2, 3, 4}, 0)
			}
		})
	}
}
