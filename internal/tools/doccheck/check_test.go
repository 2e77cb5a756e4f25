package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// inModule has c check a module of these files.
func inModule(t *testing.T, c *checker, files map[string]string) []string {
	dir := t.TempDir()
	files["go.mod"] = "module example.org/p\n\ngo 1.26.0\n"
	for name, text := range files {
		name = filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o777))
		require.NoError(t, os.WriteFile(name, []byte(text), 0o666))
	}
	require.NoError(t, c.module(dir))
	c.finish()
	return c.problems
}

func TestCheck(t *testing.T) {
	t.Parallel()
	const head = "// Package p is for tests.\npackage p\n\n"
	for _, tt := range []struct {
		name     string
		text     string
		problems []string
	}{
		{"all as it must be", `// Package p is for tests: [T], [T.M], [*T], [T.A], [F], [io.EOF], [io.Reader.Read], [net/http], a[i] and [1].
//
//	code[Here]
package p

import "io"

// F is a function.
//
// Deprecated: Use [T.M].
func F() error { return io.EOF }

// A T is a type.
type T struct {
	A int // a field

	// B and C stand together.
	B string
	C string

	hidden int
}

// M does something.
func (*T) M() {}

// Codes.
const (
	One = 1
	Two = 2
)

const (
	// Three is more.
	Three = 3
	Four  = 4 // and more
)

func (T) unseen() {}

type secret struct{ A int }

// An I is an interface.
type I interface {
	// Do does it.
	Do()
}
`, nil},
		{"no package comment", "package p\n", []string{"p.go:1: there is no package comment"}},
		{"another package comment", "// It is p.\npackage p\n", []string{`p.go:1: the package comment does not begin with "Package p"`}},
		{"a function", head + "func F() {}\n", []string{"p.go:4: F has no comment"}},
		{"another beginning", head + "// It does.\nfunc F() {}\n", []string{"p.go:5: the comment of F does not begin with its name"}},
		{"a longer name", head + "// Fs do.\nfunc F() {}\n", []string{"p.go:5: the comment of F does not begin with its name"}},
		{"a type", head + "type T int\n", []string{"p.go:4: T has no comment"}},
		{"a method", head + "// T is.\ntype T int\n\nfunc (T) M() {}\n", []string{"p.go:7: M has no comment"}},
		{"a constructor", head + "// T is.\ntype T int\n\nfunc New() T { return 0 }\n", []string{"p.go:7: New has no comment"}},
		{"a constant", head + "const C = 1\n", []string{"p.go:4: C has no comment"}},
		{"a constant of a type", head + "// T is.\ntype T int\n\nconst C T = 1\n", []string{"p.go:7: C has no comment"}},
		{"a variable's beginning", head + "// Is 1.\nvar V = 1\n", []string{"p.go:5: the comment of V does not begin with its name"}},
		{"one of a group", head + "const (\n\tA = 1 // one\n\tB = 2\n)\n", []string{"p.go:6: B has no comment"}},
		{"a field", head + "// T is.\ntype T struct {\n\t// A is.\n\tA int\n\n\tB int\n}\n", []string{"p.go:9: T.B has no comment"}},
		{"an interface's method", head + "// T is.\ntype T interface {\n\tM()\n}\n", []string{"p.go:6: T.M has no comment"}},
		{"a link to nothing", head + "// F is like [G].\nfunc F() {}\n", []string{"p.go:5: a link leads nowhere: [G]"}},
		{"a link to no method", head + "// T is like [T.N].\ntype T int\n", []string{"p.go:5: a link leads nowhere: [T.N]"}},
		{"a link to nothing elsewhere", head + "import \"io\"\n\n// F is like [io.EOL].\nfunc F() error { return io.EOF }\n", []string{"p.go:7: a link leads nowhere: [io.EOL]"}},
		{"a link in a field", head + "// T is.\ntype T struct {\n\tA int // as [U]\n}\n", []string{"p.go:6: a link leads nowhere: [U]"}},
		{"deprecated in a line", head + "// F is.\n// Deprecated: Use G.\nfunc F() {}\n", []string{
			`p.go:6: "Deprecated: " has to begin a paragraph, and to be written so`, `p.F is not marked as "Deprecated: "`}},
		{"deprecated in capitals", head + "// F is.\n//\n// DEPRECATED: Use G.\nfunc F() {}\n", []string{
			`p.go:7: "Deprecated: " has to begin a paragraph, and to be written so`, `p.F is not marked as "Deprecated: "`}},
		{"deprecated for no reason", head + "// F is.\n//\n// Deprecated: Use G.\nfunc F() {}\n\n// G is.\n//\n// Deprecated: Use F.\nfunc G() {}\n", []string{
			"p.go:12: p.G is deprecated, and should not be"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := &checker{}
			if strings.Contains(strings.ToLower(tt.text), "deprecated:") {
				c.deprecated = []string{"p.F"}
			}
			require.Equal(t, tt.problems, inModule(t, c, map[string]string{"p.go": tt.text}))
		})
	}
}

func TestCheckManyPackages(t *testing.T) {
	t.Parallel()
	c := &checker{}
	require.Equal(t, []string{
		"z.go:1: a second package comment",
		`cmd/tool/main.go:1: the package comment does not begin with "Command tool"`,
		"internal/q/q.go:1: there is no package comment",
	}, inModule(t, c, map[string]string{
		"a.go":             "// Package p is for tests.\npackage p\n",
		"z.go":             "// Package p is here too.\npackage p\n",
		"z_test.go":        "// Tests may have any.\npackage p\n",
		"internal/q/q.go":  "package q\n\nfunc NeedsNoComment() {}\n",
		"cmd/tool/main.go": "// Tool is a command.\npackage main\n\nfunc main() {}\n",
		"cmd/good/main.go": "// Command good is as it should be.\npackage main\n\nfunc main() {}\n",
	}))
	require.Equal(t, 4, c.packages)
}

func TestCheckExamples(t *testing.T) {
	t.Parallel()
	c := &checker{
		examples: []string{"p", "p.F", "p.T.M", "p.T.N"},
		notRun:   []string{"p.ExampleT_waits", "p.ExampleF_twice"},
	}
	require.Equal(t, []string{
		"p_test.go:3: ExampleF has no Output, so that go test does not run it",
		"p_test.go:5: ExampleF_twice runs, though it is said not to",
		"p.T.N has no Example",
	}, inModule(t, c, map[string]string{
		"p.go": "// Package p is for tests.\npackage p\n\n// F is.\nfunc F() {}\n\n// T is.\ntype T int\n\n// M is.\nfunc (T) M() {}\n\n// N is.\nfunc (T) N() {}\n",
		"p_test.go": `package p_test

func ExampleF() {}

func ExampleF_twice() {
	// Output:
}

func ExampleT_M() {
	// Output:
}

func ExampleT_waits() {}

func Example() {
	println("x")
	// Output:
}
`,
	}))
	require.Len(t, c.seenExamples, 5)
}

func TestModuleThatDoesNotCompile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module example.org/p\n\ngo 1.26.0\n"), 0o666))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "p.go"), []byte("package p\n\nvar V = undefined\n"), 0o666))
	require.ErrorContains(t, new(checker).module(dir), "undefined")
}

func TestSplit(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"a", "b.C", "d"}, split("a,b.C\n\t d "))
	require.Empty(t, split(""))
}
