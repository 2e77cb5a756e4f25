package integrity

import (
	"slices"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
)

// Content has its size, and text is UTF-8 whatever its size.
func TestContent(t *testing.T) {
	t.Parallel()
	for _, k := range []kind{mixed, onlyText, onlyBinary, jsonText} {
		sizes := slices.Concat(sweep(), edges)
		p := listed(k, sizes)
		v := newVerifier(p)
		for seq, size := range sizes {
			messageType, data := p.message(nil, seq)
			require.Len(t, data, size)
			if messageType == websocket.TextMessage {
				require.True(t, utf8.Valid(data))
			}
			require.NoError(t, v.check(messageType, data))
		}
		require.NoError(t, v.complete())
	}
}

// What may happen to messages does not escape the verifier.
func TestVerifier(t *testing.T) {
	t.Parallel()
	plans := func(count int) []*plan {
		size := func(seq int) int { return []int{400, 300, 10, 500, 20}[seq] }
		return []*plan{{writer: 0, kind: onlyText, count: count, size: size}, {writer: 1, kind: jsonText, count: count, size: size}}
	}
	tests := []struct {
		name string
		send func(a, b []string) []string // of the messages of the writers
	}{
		{"lost", func(a, b []string) []string { return slices.Concat(a[1:], b) }},
		{"short one lost", func(a, b []string) []string { return slices.Concat(a[:2], a[3:], b) }},
		{"last lost", func(a, b []string) []string { return slices.Concat(a[:4], b) }},
		{"last of JSON lost", func(a, b []string) []string { return slices.Concat(a, b[:4]) }},
		{"twice", func(a, b []string) []string { return slices.Concat(a[:1], a, b) }},
		{"short one twice", func(a, b []string) []string { return slices.Concat(a[:3], a[2:], b) }},
		{"last twice", func(a, b []string) []string { return slices.Concat(a, a[4:], b) }},
		{"exchanged", func(a, b []string) []string {
			return []string{a[0], a[1], a[3], a[2], a[4], b[0], b[1], b[2], b[3], b[4]}
		}},
		{"shortened", func(a, b []string) []string { return slices.Concat([]string{a[0][:399]}, a[1:], b) }},
		{"shortened to its header", func(a, b []string) []string { return slices.Concat([]string{a[0][:headerSize]}, a[1:], b) }},
		{"shortened to nothing", func(a, b []string) []string { return slices.Concat([]string{""}, a[1:], b) }},
		{"short one shortened", func(a, b []string) []string { return slices.Concat(a[:2], []string{a[2][:9]}, a[3:], b) }},
		{"JSON shortened", func(a, b []string) []string { return slices.Concat(a, []string{b[0][:399]}, b[1:]) }},
		{"lengthened", func(a, b []string) []string { return slices.Concat([]string{a[0] + "."}, a[1:], b) }},
		{"joined", func(a, b []string) []string { return slices.Concat([]string{a[0] + a[1]}, a[2:], b) }},
		{"changed", func(a, b []string) []string {
			return slices.Concat([]string{a[0][:200] + "\x00" + a[0][201:]}, a[1:], b)
		}},
		{"header changed", func(a, b []string) []string { return slices.Concat([]string{a[0][:9] + "7" + a[0][10:]}, a[1:], b) }},
		{"short one changed", func(a, b []string) []string { return slices.Concat(a[:2], []string{a[2][:9] + "z"}, a[3:], b) }},
		{"another's", func(a, b []string) []string { return slices.Concat([]string{"\"" + a[0][:397] + "\"\n"}, a[1:], b) }},
	}
	make5 := func(p *plan) (all []string) {
		for seq := range p.count {
			_, data := p.message(nil, seq)
			all = append(all, string(data))
		}
		return all
	}
	verify := func(all []string) error {
		v := newVerifier(plans(5)...)
		for _, p := range all {
			if err := v.check(websocket.TextMessage, []byte(p)); err != nil {
				return err
			}
		}
		return v.complete()
	}
	a, b := make5(plans(5)[0]), make5(plans(5)[1])
	require.NoError(t, verify(slices.Concat(a, b)))
	require.NoError(t, verify([]string{b[0], a[0], a[1], b[1], b[2], b[3], a[2], b[4], a[3], a[4]}))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Error(t, verify(tt.send(a, b)))
		})
	}
	require.Error(t, newVerifier(plans(5)...).check(websocket.BinaryMessage, []byte(a[0])), "of another type")
}
