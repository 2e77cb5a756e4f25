package main

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestMessage(t *testing.T) {
	t.Parallel()
	want := message{kind: kindEcho, sender: 0x01020304, sequence: 1 << 40, sent: 123456789}
	p := want.append([]byte("before"), []byte("body"))
	require.Equal(t, "before", string(p[:6]))
	p = p[6:]
	got, err := parseMessage(p)
	require.NoError(t, err)
	require.Equal(t, want, got)

	for n := range p {
		_, err := parseMessage(p[:n])
		require.Error(t, err, "%d bytes of it", n)
		for bit := range 8 {
			damaged := append([]byte(nil), p...)
			damaged[n] ^= 1 << bit
			if strings.EqualFold(string(damaged), string(p)) && n >= 1 && n < headingLength {
				continue // a digit in the other case is the same digit
			}
			_, err := parseMessage(damaged)
			require.Error(t, err, "bit %d of byte %d is another", bit, n)
		}
	}
	_, err = parseMessage(append(p, 'x'))
	require.Error(t, err)
}

func TestLibrary(t *testing.T) {
	t.Parallel()
	rng := newRand(1, 2)
	l := newLibrary(rng)
	largest, smallest := 0, largeBody
	for range 10_000 {
		text := rng.IntN(2) == 0
		body := l.body([]byte("before"), rng, text)
		require.Equal(t, "before", string(body[:6]))
		body = body[6:]
		require.True(t, !text || utf8.Valid(body), "%q", body)
		largest, smallest = max(largest, len(body)), min(smallest, len(body))
	}
	require.Zero(t, smallest)
	require.Greater(t, largest, largeBody/2)
	require.LessOrEqual(t, largest, largeBody+utf8.UTFMax)
}

func TestLatencies(t *testing.T) {
	t.Parallel()
	l := new(latencies)
	for i := range 100_000 {
		l.add(time.Duration(i))
	}
	parts := []float64{0, 0.0001, 0.001, 0.5, 0.99, 1 - 1e-5}
	for n, got := range l.quantiles(parts...) {
		want := parts[n] * 100_000
		require.LessOrEqual(t, float64(got), want)
		require.GreaterOrEqual(t, float64(got), want*31/32-1)
	}
	require.Equal(t, []time.Duration{0}, l.quantiles(0.5), "all is forgotten")
}
