package differential

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// compare holds the library and gorilla against the model, and returns the differences
// of the latter.
func compare(t testing.TB, in input, seed uint64) (names []string) {
	t.Helper()
	want := run(in)
	got := library(t, in, chunks(seed), polite(in, want), readMessage)
	require.True(t, agree(want, got), "%+v\nmodel:   %+v\nlibrary: %+v", in, want, got)

	// In pieces, of which a message may have any number, and from a peer that does not
	// wait for pongs.
	if want.end.rule != tooManyFragments {
		got = library(t, in, chunks(seed+1), nil, readPieces(chunks(seed+2)))
		require.True(t, subsequence(got.pongs, want.pongs), "pongs %q of %q", got.pongs, want.pongs)
		got.pongs = want.pongs
		require.True(t, agree(want, got), "in pieces: %+v\nmodel:   %+v\nlibrary: %+v", in, want, got)
	}

	g := theirs(t, in, chunks(seed+3))
	names, ok := judge(in, g)
	require.True(t, ok, "%+v\nmodel:   %+v\ngorilla: %+v\ndifferences: %q", in, run(in), g, names)
	return names
}

// subsequence reports whether some are among all, in order, and the last of these are
// the last of those.
func subsequence(some, all []string) bool {
	if len(all) == 0 || len(some) == 0 {
		return len(all) == len(some)
	}
	if some[len(some)-1] != all[len(all)-1] {
		return false
	}
	for _, p := range all {
		if len(some) > 0 && some[0] == p {
			some = some[1:]
		}
	}
	return len(some) == 0
}

// Terms of an input, as the fuzzer sees them.
const (
	toServer = 1 << iota
	deflated
	afresh
	anyText
)

// inputOf returns an input. A limit of 0 or less is none, but a message does not inflate
// to more than 1 MiB.
func inputOf(terms uint8, limit int64, stream []byte) input {
	in := input{server: terms&toServer != 0, deflate: terms&deflated != 0, afresh: terms&afresh != 0, anyText: terms&anyText != 0, stream: stream}
	in.limit = -1
	if limit > 0 {
		in.limit = limit
	}
	if in.deflate && (in.limit < 0 || in.limit > 1<<20) {
		in.limit = 1 << 20
	}
	return in
}

// FuzzDifferential: the library does what the model does, and gorilla does but for the
// differences that are known.
func FuzzDifferential(f *testing.F) {
	for _, tc := range cases() {
		for _, server := range []bool{false, true} {
			terms := tc.terms
			if server {
				terms |= toServer
			}
			if stream := tc.stream(server); len(stream) < 10_000 {
				f.Add(terms, tc.limit, uint64(len(stream)), stream)
			}
		}
	}
	f.Fuzz(func(t *testing.T, terms uint8, limit int64, seed uint64, stream []byte) {
		compare(t, inputOf(terms, limit, stream), seed)
	})
}
