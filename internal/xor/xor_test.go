package xor

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket/internal/asmtest"
)

// byteLoop is the definition in RFC 6455, section 5.3, taken literally.
func byteLoop(key [4]byte, pos int, b []byte) {
	for i := range b {
		b[i] ^= key[(pos+i)&3]
	}
}

// check masks arena[at:at+n] all ways there are, to dstArena from dstAt on and
// then in place, and sees to it that nothing else is written.
func check(t *testing.T, key [4]byte, pos, n int, arena []byte, at int, dstArena []byte, dstAt int) {
	t.Helper()
	src, dst := arena[at:at+n], dstArena[dstAt:dstAt+n]
	masked := slices.Clone(src)
	byteLoop(key, pos, masked)
	same := func(name string, all []byte, at int, was []byte) {
		wanted := slices.Concat(was[:at], masked, was[at+n:])
		require.True(t, bytes.Equal(wanted, all), "%s: length %d, position %d", name, n, pos)
		copy(all, was)
	}
	arenaWas, dstWas := slices.Clone(arena), slices.Clone(dstArena)
	require.Equal(t, (pos+n)&3, Copy(dst, src, key, pos))
	same("Copy", dstArena, dstAt, dstWas)
	plain(dst, src, rotate(key, pos))
	same("plain", dstArena, dstAt, dstWas)
	require.True(t, bytes.Equal(arenaWas, arena), "the source was changed: length %d, position %d", n, pos)

	require.Equal(t, (pos+n)&3, Mask(key, pos, src))
	same("Mask", arena, at, arenaWas)
	plain(src, src, rotate(key, pos))
	same("plain in place", arena, at, arenaWas)
}

func TestEveryLengthAlignmentAndPosition(t *testing.T) {
	t.Parallel()
	key := [4]byte{0x37, 0xfa, 0x21, 0x3d}
	arena, dstArena := make([]byte, 400), make([]byte, 400)
	rnd := rand.NewChaCha8([32]byte{1})
	_, _ = rnd.Read(arena)
	_, _ = rnd.Read(dstArena)
	step := 1
	if testing.Short() {
		step = 7
	}
	for n := range 301 {
		for align := 0; align < 64; align += step {
			dstAlign := (align*5 + n) & 63 // over the lengths every pair of the two is met
			for pos := range 4 {
				check(t, key, pos, n, arena, align, dstArena, dstAlign)
			}
		}
	}
}

// TestPageBorders has the payload begin where its page does, or end there.
func TestPageBorders(t *testing.T) {
	t.Parallel()
	page, dstPage := asmtest.Guarded(t), asmtest.Guarded(t)
	rnd := rand.NewChaCha8([32]byte{2})
	_, _ = rnd.Read(page)
	for n := range 601 {
		for pos, key := range [][4]byte{{1, 2, 3, 4}, {0xff, 0, 0x80, 0x7f}} {
			check(t, key, pos, n, page[:n+64], 0, dstPage[:n+64], 0)
			check(t, key, pos, n, page[len(page)-n-64:], 64, dstPage[len(dstPage)-n-64:], 64)
		}
	}
}

// TestLarge meets the loop of the kernel at every alignment it has to make up for.
func TestLarge(t *testing.T) {
	t.Parallel()
	arena, dstArena := make([]byte, 9<<10), make([]byte, 9<<10)
	rnd := rand.NewChaCha8([32]byte{3})
	_, _ = rnd.Read(arena)
	for align := range 64 {
		for n := 4<<10 - 3; n <= 8<<10; n += 1361 {
			check(t, [4]byte{1, 2, 3, 4}, align, n, arena, align, dstArena, n&63)
		}
	}
}

func FuzzMask(f *testing.F) {
	f.Add([]byte("Hello"), uint32(0x3d21fa37), 0, 2)
	f.Add(make([]byte, 100), uint32(1), 3, 33)
	f.Add(make([]byte, 300), uint32(0xfeff0180), 1, 270)
	f.Add(make([]byte, 1000), uint32(0x01020304), 2, 999)
	f.Fuzz(func(t *testing.T, p []byte, k uint32, pos, split int) {
		key := [4]byte{byte(k), byte(k >> 8), byte(k >> 16), byte(k >> 24)}
		pos &= 0xffff
		split = min(max(split, 0), len(p))
		want := slices.Clone(p)
		byteLoop(key, pos, want)

		twin := make([]byte, len(p))
		plain(twin, p, rotate(key, pos))
		require.Equal(t, want, twin)

		copied := make([]byte, len(p))
		next := Copy(copied, p[:split], key, pos)
		Copy(copied[split:], p[split:], key, next)
		require.Equal(t, want, copied)

		next = Mask(key, pos, p[:split])
		Mask(key, next, p[split:])
		require.Equal(t, want, p)
	})
}

var sizes = []int{0, 16, 64, 125, 512, 4 << 10, 64 << 10, 1 << 20}

// BenchmarkMask measures Mask and Copy beside their twin in Go, and beside copy,
// which says what the memory allows.
func BenchmarkMask(b *testing.B) {
	key := [4]byte{1, 2, 3, 4}
	for _, n := range sizes {
		p, dst := make([]byte, n), make([]byte, n)
		for _, c := range []struct {
			name string
			do   func()
		}{
			{"memmove", func() { copy(dst, p) }},
			{"Mask", func() { Mask(key, 0, p) }},
			{"Mask-plain", func() { plain(p, p, rotate(key, 0)) }},
			{"Copy", func() { Copy(dst, p, key, 0) }},
			{"Copy-plain", func() { plain(dst, p, rotate(key, 0)) }},
		} {
			b.Run(fmt.Sprintf("%d/%s", n, c.name), func(b *testing.B) {
				b.SetBytes(int64(n))
				b.ReportAllocs()
				for b.Loop() {
					c.do()
				}
			})
		}
	}
}
