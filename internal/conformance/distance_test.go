package conformance

import (
	"bytes"
	"compress/flate"
	"testing"

	"github.com/stretchr/testify/require"
)

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
