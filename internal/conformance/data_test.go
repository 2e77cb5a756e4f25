package conformance

import (
	"bytes"
	"compress/flate"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestVariedRepeatsNothing(t *testing.T) {
	t.Parallel()
	for _, isBinary := range []bool{false, true} {
		p := varied(1<<16, isBinary)
		seen := map[string]bool{}
		for i := 0; i < len(p); i += 8 {
			require.False(t, seen[string(p[i:i+8])], "octet %d", i)
			seen[string(p[i:i+8])] = true
		}
		require.Equal(t, !isBinary, utf8.Valid(p))
		require.Len(t, varied(5, isBinary), 5)
	}
}

func TestSamplesAreOfTheirKind(t *testing.T) {
	t.Parallel()
	for i, kind := range samples {
		p := kind.octets()
		require.GreaterOrEqual(t, len(p), 2*131072, "the largest message fits twice")
		require.Equal(t, !kind.isBinary, utf8.Valid(p), "12.%d", i+1)
		var b bytes.Buffer
		w, err := flate.NewWriter(&b, flate.BestSpeed)
		require.NoError(t, err)
		_, err = w.Write(p)
		require.NoError(t, err)
		require.NoError(t, w.Close())
		require.Less(t, b.Len(), len(p), "12.%d compresses", i+1)
	}
}

func TestSlicerGoesRound(t *testing.T) {
	t.Parallel()
	next := slicer([]byte("abcde"), 3)
	require.Equal(t, "abc", string(next()))
	require.Equal(t, "dea", string(next()))
	require.Equal(t, "bcd", string(next()))
	require.Equal(t, "abcdeabcdeab", string(slicer([]byte("abcde"), 12)()))
}
