package websocket

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// A buffer that a large message left behind is not lent to a small one.
func TestBuffers(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ need, size int }{
		{0, 512}, {1, 512}, {512, 512}, {513, 1024}, {4096, 4096}, {4097, 8192}, {1 << 20, 1 << 20}, {1<<20 + 1, 1<<20 + 1},
	} {
		for range 2 {
			buf := borrowBuffer(tc.need)
			require.GreaterOrEqual(t, cap(buf.b), tc.size)
			require.Less(t, cap(buf.b), 2*tc.size)
			require.Empty(t, buf.b)
			buf.giveBack()
		}
	}
	(*buffer)(nil).giveBack() // nothing to give
}

func TestBufferSizes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ n, size, largest int }{
		{0, 512, 512}, {1, 512, 512}, {512, 512, 512}, {513, 1024, 512}, {1024, 1024, 1024}, {1<<20 - 1, 1 << 20, 1 << 19},
		{1 << 20, 1 << 20, 1 << 20}, {1<<20 + 1, 1<<20 + 1, 1 << 20}, {1 << 30, 1 << 30, 1 << 20},
	} {
		require.Equal(t, tc.size, bufferSize(tc.n), "%d", tc.n)
		require.Equal(t, tc.largest, largestBuffer(tc.n), "%d", tc.n)
	}
}

func TestGathered(t *testing.T) {
	t.Parallel()
	gather := func(sizes ...int) (g gathered, want string) {
		for _, n := range sizes {
			g.add(borrowBuffer(n))
			g.last.b = append(g.last.b, some(n)...)
			g.n += n
			want += some(n)
		}
		return g, want
	}
	for _, sizes := range [][]int{nil, {0}, {5}, {500, 600}, {1, 2, 3, 1000, 70_000}, slices.Repeat([]int{3}, 100)} {
		for _, dst := range [][]byte{nil, {}, []byte("before "), append(make([]byte, 0, 100_000), "before "...)} {
			g, want := gather(sizes...)
			p := g.appendTo(dst)
			require.Equal(t, dst == nil && len(sizes) == 0, p == nil)
			require.Equal(t, string(dst)+want, string(p))
			require.Nil(t, g.last)
			if len(p) > cap(dst) {
				require.Equal(t, len(p), cap(p))
			} else if dst != nil {
				require.Equal(t, cap(dst), cap(p), "there was room")
			}
		}
		for _, more := range []int{0, 1, 10_000} {
			g, want := gather(sizes...)
			g.join(more)
			require.Nil(t, g.last.before)
			require.Equal(t, want, string(g.last.b))
			require.GreaterOrEqual(t, cap(g.last.b)-len(want), more)
		}
	}
	g, _ := gather(5)
	alone := g.last
	g.join(400)
	require.Same(t, alone, g.last, "it has room")
}
