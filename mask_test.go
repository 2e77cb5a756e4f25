package websocket

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket/internal/wstest"
)

func TestMask(t *testing.T) {
	t.Parallel()
	masked := wstest.HelloMasked[6:]

	t.Run("example of section 5.7", func(t *testing.T) {
		t.Parallel()
		b := []byte("Hello")
		require.Equal(t, 1, Mask(helloKey, 0, b))
		require.Equal(t, masked, b)
		require.Equal(t, 1, Mask(helloKey, 0, b))
		require.Equal(t, "Hello", string(b))
	})
	t.Run("in two parts", func(t *testing.T) {
		t.Parallel()
		for cut := range 6 {
			b := []byte("Hello")
			pos := Mask(helloKey, 0, b[:cut])
			require.Equal(t, cut&3, pos)
			require.Equal(t, 1, Mask(helloKey, pos, b[cut:]))
			require.Equal(t, masked, b)
		}
	})
	t.Run("nothing", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, 3, Mask(helloKey, 3, nil))
	})
}

// Keys come in batches, which several goroutines draw from at once.
func TestNewMaskKey(t *testing.T) {
	t.Parallel()
	const goroutines, each = 4, 1000
	keys := make(chan [4]byte, goroutines*each)
	for range goroutines {
		go func() {
			for range each {
				keys <- newMaskKey()
			}
		}()
	}
	seen := make(map[[4]byte]bool)
	for range goroutines * each {
		seen[<-keys] = true
	}
	// Among 4000 of 2^32 random keys two are the same in 0.2 % of all runs, and
	// four pairs in none that anybody will see.
	require.Greater(t, len(seen), goroutines*each-4)
	require.False(t, seen[[4]byte{}], "a key was taken from a batch that was used up")
}

func TestNewMaskKeyDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes pools forget; run without -race")
	}
	require.Less(t, testing.AllocsPerRun(1000, func() { newMaskKey() }), 1.0)
}

func BenchmarkMask(b *testing.B) {
	for _, n := range messageSizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p := make([]byte, n)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				Mask(helloKey, 0, p)
			}
		})
	}
}

func BenchmarkNewMaskKey(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		newMaskKey()
	}
}
