package conformance

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDeflateRoundTrip(t *testing.T) {
	t.Parallel()
	for _, takeover := range []bool{false, true} {
		for _, bits := range []int{8, 9, 12, 15} {
			t.Run(fmt.Sprintf("takeover %t, window %d", takeover, bits), func(t *testing.T) {
				t.Parallel()
				d := direction{takeover: takeover, bits: bits}
				a, b := &agreement{send: d}, &agreement{receive: d}
				for _, kind := range samples {
					next := slicer(kind.octets(), 9000)
					for _, p := range [][]byte{next(), next(), nil, []byte("a"), next()} {
						deflated, err := a.deflate(p)
						require.NoError(t, err)
						inflated, err := b.inflate(deflated)
						require.NoError(t, err)
						require.True(t, bytes.Equal(p, inflated))
					}
				}
			})
		}
	}
}

func TestExamplesOfTheRFCInflate(t *testing.T) {
	t.Parallel()
	for _, p := range [][]byte{helloBlock, helloStored, helloFinal, helloTwoBlocks} {
		got, err := terms{}.agree(false).inflate(p)
		require.NoError(t, err)
		require.Equal(t, "Hello", string(got))
	}
	a := terms{}.agree(false)
	for _, p := range [][]byte{helloBlock, helloRepeated} {
		got, err := a.inflate(p)
		require.NoError(t, err)
		require.Equal(t, "Hello", string(got))
	}
}

func TestInflateKeepsToTheTerms(t *testing.T) {
	t.Parallel()
	p := varied(1000, true)
	far := &agreement{send: direction{takeover: true, bits: 15}}
	deflated, err := far.deflate(append(p, p...))
	require.NoError(t, err)
	_, err = (&agreement{receive: direction{bits: 9}}).inflate(deflated)
	require.ErrorContains(t, err, "a distance of 1000 is outside the window of 512 octets")
	_, err = (&agreement{receive: direction{bits: 10}}).inflate(deflated)
	require.NoError(t, err)

	again, err := far.deflate(p)
	require.NoError(t, err)
	_, err = (&agreement{receive: direction{bits: 15}}).inflate(again)
	require.Error(t, err, "the second message looks back at the first")
}
