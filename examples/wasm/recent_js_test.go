package main

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRecent has a page that stays open for long forget what no history holds any more.
func TestRecent(t *testing.T) {
	var r recent
	const said = 5*remembered + 7
	for i := range said {
		require.True(t, r.add(strconv.Itoa(i)))
		require.LessOrEqual(t, len(r.known), remembered)
		require.False(t, r.add(strconv.Itoa(i)))
		require.False(t, r.add(strconv.Itoa(max(0, i-remembered+1))), "the oldest that it knows")
	}
	require.Len(t, r.keys, remembered)
	require.True(t, r.add(strconv.Itoa(said-remembered-1)), "was forgotten")
}
