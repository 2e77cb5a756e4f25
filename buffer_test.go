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
			require.Equal(t, tc.size, cap(buf.b))
			require.Empty(t, buf.b)
			buf.b = append(make([]byte, 0, tc.size+tc.size/4), "longer"...) // as codecs do that find no room
			buf.giveBack()
		}
	}
	(*buffer)(nil).giveBack() // nothing to give
}

func TestBufferWithRoom(t *testing.T) {
	t.Parallel()
	var none *buffer
	buf := none.withRoom(600)
	require.Equal(t, 1024, cap(buf.b))
	buf.b = append(buf.b, some(1000)...)
	require.Same(t, buf, buf.withRoom(24))
	larger := buf.withRoom(25)
	require.NotSame(t, buf, larger)
	require.Equal(t, some(1000), string(larger.b))
	require.Equal(t, 2048, cap(larger.b))

	frame := []byte("Hello, and more")
	shared := sharedBuffer(frame[:5])
	shared.giveBack()
	require.Equal(t, "Hello", string(shared.b), "it belongs to nobody")
	own := shared.withRoom(1)
	own.b = append(own.b, '!')
	require.Equal(t, "Hello!", string(own.b))
	require.Equal(t, "Hello, and more", string(frame))
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
