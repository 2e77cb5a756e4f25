package conformance

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestGreekKeepsItsThreeOctets(t *testing.T) {
	t.Parallel()
	kosmeOctets := unhex("ceba" + "e1bdb9" + "cf83" + "cebc" + "ceb5")
	surrogate := unhex("eda080")
	edited := []byte("edited")
	require.Equal(t, kosmeOctets, []byte(kosme))

	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	for id, want := range map[string][]byte{
		"6.2.4": kosmeOctets,
		"6.3.1": join(kosmeOctets, surrogate, edited),
		"6.3.2": join(kosmeOctets, surrogate, edited),
		"6.5.5": kosmeOctets,
		"7.5.1": join([]byte{3, 232}, kosmeOctets, surrogate, edited),
	} {
		var got []byte
		frames := script(id, Config{}).frames
		for _, f := range frames {
			got = append(got, f.payload...)
		}
		require.Equal(t, want, got, id)
		if id == "6.2.4" || id == "6.3.2" {
			require.Len(t, frames, len(want), "%s has an octet in each fragment", id)
		}
	}
}
