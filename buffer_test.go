package websocket

import (
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
