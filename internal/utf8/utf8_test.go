package utf8

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

var texts = []string{
	"", "a", "Hello-µ@ßöäüàá-UTF-8!!", "κόσμε", "\u0000", "\u0080", "\u0800", "\U00010000",
	"\x7f", "\u07ff", "\uffff", "\U0010ffff", "\ud7ff", "\ue000", "\ufffd", // section by section of Kuhn's test file
	"\xf4\x90\x80\x80", "\xf4\x90", "\xed\xa0\x80", "\xed\xa0", "\xc0\xaf", "\xc0", "\xe0\x80\xaf", "\xe0\x80", "\xf0\x80",
	"\xf5", "\xfe", "\xff", "\x80", "\xbf", "\x80\xbf", "\xce", "\xe1\xbd", "\xf0\x90\x8d", "ab\xf0\x90", "\xc3(", "\xe2\x82(",
	strings.Repeat("x", 100) + "ü" + strings.Repeat("€", 50), strings.Repeat("x", 99) + "\xe2\x82",
}

// viable is the definition: some continuation of p is valid.
func viable(p string) bool {
	for i := max(0, len(p)-3); i <= len(p); i++ {
		if utf8.ValidString(p[:i]) && (i == len(p) || !utf8.FullRuneInString(p[i:])) {
			return true
		}
	}
	return false
}

// check feeds p in pieces cut at a and b and holds every answer against viable.
func check(t *testing.T, p string, a, b int) {
	var v Validator
	end := 0
	for _, cut := range []int{a, b, len(p)} {
		ok := v.Write([]byte(p[end:cut]))
		end = cut
		require.Equal(t, viable(p[:end]), ok, "%q after %d bytes", p, end)
		if !ok {
			return
		}
	}
	require.Equal(t, utf8.ValidString(p), v.Done(), "%q", p)
}

func TestEveryCut(t *testing.T) {
	t.Parallel()
	for _, p := range texts {
		for a := 0; a <= len(p); a++ {
			for b := a; b <= len(p); b++ {
				check(t, p, a, b)
			}
		}
	}
}

func TestReset(t *testing.T) {
	t.Parallel()
	var v Validator
	require.True(t, v.Write([]byte("\xe2\x82")))
	require.False(t, v.Done())
	v.Reset()
	require.True(t, v.Done())
	require.True(t, v.Write([]byte("plain")))
	require.True(t, v.Done())
}

func FuzzValidator(f *testing.F) {
	for i, p := range texts {
		f.Add(p, i%5, i%7)
	}
	f.Fuzz(func(t *testing.T, p string, a, b int) {
		a = min(max(a, 0), len(p))
		b = min(max(b, a), len(p))
		check(t, p, a, b)
	})
}

func BenchmarkValidator(b *testing.B) {
	for _, text := range []string{"ascii", "grüße €"} {
		for _, n := range []int{16, 125, 1 << 10, 64 << 10} {
			b.Run(fmt.Sprintf("%s/%d", text, n), func(b *testing.B) {
				p := []byte(strings.Repeat(text, n/len(text)+1))[:n]
				var v Validator
				b.SetBytes(int64(n))
				b.ReportAllocs()
				for b.Loop() {
					v.Reset()
					v.Write(p)
				}
			})
		}
	}
}
