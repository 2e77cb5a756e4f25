package conformance

import (
	"bytes"
	"compress/flate"
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

func TestDistance(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, octets string
		want         int
		wrong        string
	}{
		{"literals only", "f248cdc9c907000000ffff", 0, ""},
		{"one match", "f2001100000000ffff", 5, ""},
		{"stored", "000500faff48656c6c6f000000ffff", 0, ""},
		{"reserved type", "07", 0, "reserved type"},
		{"stored length", "0005000000", 0, "wrong length"},
		{"cut off", "00c80037ff4865", 0, "cut off"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := distance(unhex(c.octets))
			if c.wrong != "" {
				require.ErrorContains(t, err, c.wrong)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}

func TestDistanceIsThePeriod(t *testing.T) {
	t.Parallel()
	for _, period := range []int{1, 2, 3, 4, 5, 7, 100, 1000, 5000, 30000} {
		for _, level := range []int{6, 9} { // the fast level leaves matches out
			var b bytes.Buffer
			w, err := flate.NewWriter(&b, level)
			require.NoError(t, err)
			_, err = w.Write(bytes.Repeat(varied(period, true), 3+1000/period))
			require.NoError(t, err)
			require.NoError(t, w.Close())
			got, err := distance(b.Bytes())
			require.NoError(t, err)
			require.Positive(t, got, "period %d, level %d", period, level)
			require.Zero(t, got%period, "period %d, level %d, distance %d", period, level, got)
		}
	}
}
