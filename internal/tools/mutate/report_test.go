package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReadReasons(t *testing.T) {
	t.Parallel()
	got, err := readReasons(strings.NewReader("# a remark\na.go f: 1 => 2\n\na.go g: x => nothing\n\tnobody\n  looks\n\nb.go f: 1 => 2\n\tother\n"))
	require.NoError(t, err)
	require.Equal(t, reasons{"a.go f: 1 => 2": "nobody looks", "a.go g: x => nothing": "nobody looks", "b.go f: 1 => 2": "other"}, got)
	got.keepFile("b.go")
	require.Equal(t, reasons{"b.go f: 1 => 2": "other"}, got)

	_, err = readReasons(strings.NewReader("a.go f: 1 => 2\n"))
	require.EqualError(t, err, "no reason for a.go f: 1 => 2")
	_, err = readReasons(strings.NewReader("a\n\tx\na\n\ty\n"))
	require.EqualError(t, err, "two reasons for a")
}

func TestMakeReport(t *testing.T) {
	t.Parallel()
	of := func(file, old, new string, became fate) result {
		return result{&mutant{file: file, line: 7, place: "f", old: old, new: new}, became}
	}
	targets := []target{{file: "a.go"}, {file: "b.go", leftOut: []string{"g", "h"}}}
	results := []result{
		of("a.go", "1", "2", survived), of("a.go", "x", "", survived), of("a.go", "3", "4", killedByOwn), of("a.go", "5", "6", killedByTime),
		of("b.go", "1", "2", killedByAll),
	}
	why := reasons{"a.go f: 1 => 2": "Nobody looks.", "a.go f: 3 => 4": "It was alive."}

	text, good := makeReport(targets, results, why, 50)
	require.True(t, good)
	for _, want := range []string{
		"| a.go | 4 | 1 | 0 | 1 | 2 | 50.0 % |\n",
		"| b.go | 1 | 0 | 1 | 0 | 0 | 100.0 % |\n",
		"| all | 5 | 1 | 1 | 1 | 2 | 60.0 % |\n",
		"\nLeft out of b.go: g, h.\n",
		"\n**No reason is known.**\n\n- a.go:7, f: `x` becomes nothing\n  - a.go f: x => nothing\n\nNobody looks.\n\n- a.go:7, f: `1` becomes `2`\n",
		"\n## Reasons without a survivor\n\n- `a.go f: 3 => 4`\n",
	} {
		require.Contains(t, text, want)
	}

	_, good = makeReport(targets, results, why, 51)
	require.False(t, good, "one file has too few")
	_, good = makeReport(append(targets, target{file: "c.go"}), results, why, 50)
	require.False(t, good, "one file has none at all")

	text, good = makeReport(targets[1:], results[4:], nil, 100)
	require.True(t, good)
	require.Contains(t, text, "\n## Survivors\n\nNone.\n")
	require.NotContains(t, text, "| all |")
	require.NotContains(t, text, "without a survivor")
}
