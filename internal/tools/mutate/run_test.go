package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// A package with a mutant of each fate.
var small = map[string]string{
	"go.mod": "module example.org/small\n\ngo 1.26.0\n",
	"rules.go": `package small

const limit = 3

var names = []string{"a"}

type rules struct{ n int }

func (r rules) allow(more ...int) bool {
	return len(more)+r.n <= limit
}

func count() (n int) {
	for n < 2 {
		n++
	}
	return n
}

func spare(n int) int {
	if n > 0 {
		return n
	}
	return 0
}
`,
	"rules_test.go": `package small

import "testing"

func TestAllow(t *testing.T) {
	r := rules{1}
	if !r.allow(7, 7) || r.allow(7, 7, 7) {
		t.Fatal("allow")
	}
}

func TestCount(t *testing.T) {
	if count() != 2 {
		t.Fatal("count")
	}
}

func TestSpare(t *testing.T) {
	if spare(3) != 3 {
		t.Fatal("spare")
	}
}
`,
	"names_test.go": `package small

import "testing"

func TestNames(t *testing.T) {
	if names[0] != "a" {
		t.Fatal("names")
	}
}
`,
}

func TestRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, src := range small {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(src), 0o600))
	}
	r := &runner{dir: dir, work: t.TempDir(), workers: 2, waiting: 2, log: io.Discard}
	results, err := r.run(context.Background(), []target{{file: "rules.go", tests: "rules_test.go", first: "Count"}})
	require.NoError(t, err)
	got := make(map[string]fate)
	for _, result := range results {
		got[result.mutant.key()] = result.fate
	}
	want := map[string]fate{
		"rules.go limit: 3 => 4":                                                killedByOwn,
		"rules.go limit: 3 => 2":                                                killedByOwn,
		`rules.go names: "a" => ""`:                                             killedByAll,
		"rules.go rules.allow: len(more)+r.n <= limit => true":                  killedByOwn,
		"rules.go rules.allow: len(more)+r.n <= limit => false":                 killedByOwn,
		"rules.go rules.allow: len(more)+r.n <= limit => len(more)+r.n < limit": killedByOwn,
		"rules.go rules.allow: len(more)+r.n <= limit => len(more)+r.n > limit": killedByOwn,
		"rules.go rules.allow: len(more)+r.n => len(more) - r.n":                killedByOwn,
		"rules.go count: n < 2 => false":                                        killedByOwn,
		"rules.go count: n < 2 => n <= 2":                                       killedByOwn,
		"rules.go count: n < 2 => n >= 2":                                       killedByOwn,
		"rules.go count: 2 => 3":                                                killedByOwn,
		"rules.go count: 2 => 1":                                                killedByOwn,
		"rules.go count: n++ => nothing":                                        killedByTime,
		"rules.go count: n++ => n--":                                            killedByTime,
		"rules.go count: n => 0":                                                killedByOwn,
		"rules.go spare: n > 0 => true":                                         survived,
		"rules.go spare: n > 0 => false":                                        killedByOwn,
		"rules.go spare: n > 0 => n >= 0":                                       survived,
		"rules.go spare: n > 0 => n <= 0":                                       killedByOwn,
		"rules.go spare: 0 => 1":                                                survived,
		"rules.go spare: 0 => -1":                                               survived,
		"rules.go spare: n => 0":                                                killedByOwn,
		"rules.go spare: 0 => 1 #2":                                             survived,
		"rules.go spare: 0 => -1 #2":                                            survived,
	}
	require.Equal(t, want, got)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, len(small), "the package's directory is left alone")
}

// Tests that fail by themselves say nothing about mutants.
func TestRunWithFailingTests(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, src := range map[string]string{
		"go.mod":        small["go.mod"],
		"rules.go":      "package small\n\nfunc f() int { return 1 }\n",
		"rules_test.go": "package small\n\nimport \"testing\"\n\nfunc TestF(t *testing.T) { t.Fatal(\"it is broken\") }\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(src), 0o600))
	}
	r := &runner{dir: dir, work: t.TempDir(), workers: 1, waiting: 1, log: io.Discard}
	_, err := r.run(context.Background(), []target{{file: "rules.go", tests: "rules_test.go"}})
	require.ErrorContains(t, err, "rules_test.go without a mutant: ")
	require.ErrorContains(t, err, "it is broken")
}

func TestTestNames(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a_test.go")
	src := "package p\nfunc TestA() {}\nfunc helper() {}\nfunc (t T) TestM() {}\nfunc FuzzB() {}\nfunc ExampleC() {}\nfunc BenchmarkD() {}\n"
	require.NoError(t, os.WriteFile(path, []byte(src), 0o600))
	first, rest, err := testNames(path, "")
	require.NoError(t, err)
	require.Equal(t, []string{"TestA", "FuzzB", "ExampleC"}, first)
	require.Empty(t, rest)
	first, rest, err = testNames(path, "[AB]")
	require.NoError(t, err)
	require.Equal(t, []string{"TestA", "FuzzB"}, first)
	require.Equal(t, []string{"ExampleC"}, rest)
}
