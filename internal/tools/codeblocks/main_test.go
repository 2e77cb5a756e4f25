package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// markdown makes a document, in which ”' stands for a fence.
func markdown(lines ...string) string {
	return strings.ReplaceAll(strings.Join(lines, "\n")+"\n", "'''", "```")
}

func TestParseDocument(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		document string
		blocks   []block
		err      string
	}{
		{"two blocks", markdown("# A", "'''go", "a()", "", "b()", "'''", "text", "'''go", "c()", "'''"), []block{
			{document: "a.md", line: 3, code: "a()\n\nb()\n"},
			{document: "a.md", line: 9, code: "c()\n"},
		}, ""},
		{"other languages", markdown("'''sh", "'''", "'''", "go", "'''", "'''text", "'''go", "'''"), nil, ""},
		{"a fence within a longer one", markdown("''''''", "'''go", "a()", "'''", "''''''"), nil, ""},
		{"tildes", markdown("~~~go", "'''", "~~~"), []block{{document: "a.md", line: 2, code: "```\n"}}, ""},
		{"within a list", markdown("- item", "  '''go", "  if a {", "  \tb()", "  }", "  '''"), []block{
			{document: "a.md", line: 3, code: "if a {\n\tb()\n}\n"},
		}, ""},
		{"a comment for one block", markdown("<!-- go: var a int -->", "'''go", "'''", "'''go", "'''"), []block{
			{document: "a.md", line: 3, needs: []needs{{1, " var a int "}}},
			{document: "a.md", line: 5},
		}, ""},
		{"a comment for all below", markdown("'''go", "'''", "<!-- go:", "var a int", "-->", "", "'''go", "'''", "'''go", "'''"), []block{
			{document: "a.md", line: 2},
			{document: "a.md", line: 8, needs: []needs{{3, "\nvar a int\n"}}},
			{document: "a.md", line: 10, needs: []needs{{3, "\nvar a int\n"}}},
		}, ""},
		{"a comment for a label", markdown("<!-- go other: var a int -->", "", "'''go", "'''", "<!-- go: var b int -->", "'''go other", "'''"), []block{
			{document: "a.md", line: 4},
			{document: "a.md", line: 7, needs: []needs{{1, " var a int "}, {5, " var b int "}}},
		}, ""},
		{"other comments", markdown("<!-- good: a -->", "<!--", "go: a", "-->", "'''go", "'''"), []block{{document: "a.md", line: 6}}, ""},
		{"no such label", markdown("'''go other", "'''"), nil, `a.md:1: no comment above has the label "other"`},
		{"an end is missing", markdown("", "'''go", "a()"), nil, "a.md:2: the block does not end"},
		{"a comment's end is missing", markdown("<!-- go: a"), nil, "a.md:1: the comment does not end"},
		{"a label right above", markdown("<!-- go other: var a int -->", "'''go", "'''"), nil, "a.md:1: a comment for the block below it needs no label"},
		{"above another language", markdown("<!-- go: var a int -->", "'''sh", "'''"), nil, "a.md:1: a comment about Go is above a block of another language"},
		{"another name of Go", markdown("'''golang", "'''"), nil, "a.md:1: the language is written as go"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			blocks, err := parseDocument("a.md", tt.document)
			if tt.err != "" {
				require.EqualError(t, err, tt.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.blocks, blocks)
		})
	}
}

func TestPlace(t *testing.T) {
	t.Parallel()
	known := map[string]string{"fmt": "fmt", "url": "net/url", "websocket": "example.org/here"}
	for _, tt := range []struct {
		name  string
		code  string
		needs string
		file  string
		err   string
	}{
		{"a program", "// It greets.\npackage main\n", "", "//line a.md:7\n// It greets.\npackage main\n", ""},
		{"declarations", "func f() { fmt.Println() }\n", "",
			"package documents\nimport fmt \"fmt\"\n//line a.md:7\nfunc f() { fmt.Println() }\n", ""},
		{"an import of its own", "import _ \"fmt\"\n", "", "package documents\n//line a.md:7\nimport _ \"fmt\"\n", ""},
		{"statements", "x := 1 // one\nvar y, _ = f()\n", "",
			"package documents\nfunc _() {\n//line a.md:7\nx := 1; _ = &x // one\nvar y, _ = f(); _ = &y\n}\n", ""},
		{"an error is returned", "if true {\n\treturn err\n}\n", "",
			"package documents\nfunc _() error {\n//line a.md:7\nif true {\n\treturn err\n}\nreturn nil\n}\n", ""},
		{"another function returns", "f(func() (int, error) { return 0, nil })\n", "",
			"package documents\nfunc _() {\n//line a.md:7\nf(func() (int, error) { return 0, nil })\n}\n", ""},
		{"what it needs and no more", "f(a)\n", "var a websocket.Conn; var b fmt.Stringer",
			"package documents\nimport websocket \"example.org/here\"\nvar a websocket.Conn\nfunc _() {\n//line a.md:7\nf(a)\n}\n", ""},
		{"what a need needs", "f(a)\n", "var a = b; var b fmt.Stringer",
			"package documents\nimport fmt \"fmt\"\nvar a = b\nvar b fmt.Stringer\nfunc _() {\n//line a.md:7\nf(a)\n}\n", ""},
		{"another package of the name", "websocket.F()\n", `import "example.com/websocket/v2"`,
			"package documents\nimport websocket \"example.com/websocket/v2\"\nfunc _() {\n//line a.md:7\nwebsocket.F()\n}\n", ""},
		{"declared here and in the comment", "var a int\n", "var a string", "package documents\n//line a.md:7\nvar a int\n", ""},
		{"a variable with the name of a package", "url := f()\ng(url.Path)\n", "",
			"package documents\nfunc _() {\n//line a.md:7\nurl := f(); _ = &url\ng(url.Path)\n}\n", ""},
		{"a parameter with the name of a package", "func f(url URL) { url.F() }\n", "",
			"package documents\n//line a.md:7\nfunc f(url URL) { url.F() }\n", ""},
		{"no Go", "this is prose\n", "", "",
			"neither declarations (expected declaration, found this) nor statements (expected ';', found is (and 1 more errors))"},
		{"a function that is closed early", "}\nfunc f() {\n", "", "",
			"neither declarations (expected declaration, found '}') nor statements (more than one function)"},
		{"declarations and statements", "func f() {}\nf()\n", "", "",
			"neither declarations (expected declaration, found f) nor statements (expected '(', found f (and 4 more errors))"},
		{"two results", "return 1, nil\n", "", "",
			"neither declarations (expected declaration, found 'return') nor statements (2 results)"},
		{"a comment that is no Go", "f()\n", "prose", "", "the comment in line 3: expected declaration, found prose"},
		{"a comment with two names at once", "f()\n", "var a, b int", "", "the comment in line 3: one name in each declaration"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := block{document: "a.md", line: 7, code: tt.code}
			if tt.needs != "" {
				b.needs = []needs{{3, tt.needs}}
			}
			u, err := place(b, known)
			if tt.err != "" {
				require.EqualError(t, err, tt.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.file, u.file)
		})
	}
}

// repository writes files to a directory and returns it.
func repository(t *testing.T, files map[string]string) string {
	dir := t.TempDir()
	for name, text := range files {
		name = filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o700))
		require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
	}
	return dir
}

func TestRun(t *testing.T) {
	t.Parallel()
	const (
		outer = "module example.org/outer\n\ngo 1.26.0\n"
		inner = "module example.org/outer/inner\n\ngo 1.26.0\n\nrequire example.org/outer v0.0.0\n\nreplace example.org/outer => ..\n"
	)
	for _, tt := range []struct {
		name     string
		document string
		err      string
	}{
		{"all sorts", markdown(
			"'''go", "package main", "", "func main() { print(`hello`) }", "'''",
			"'''go", "fmt.Println(time.Now())", "'''",
			"'''go", "func f() { rand.N(1) }", "'''",
			`<!-- go: import "example.org/outer/inner"; import "example.org/outer" -->`, "'''go", "inner.F(outer.A)", "'''"), ""},
		{"it does not compile", markdown("'''go", "f()", "'''"), "not all Go code compiles"},
		{"an unused import", markdown("'''go", `import "fmt"`, "'''"), "not all Go code compiles"},
		{"go vet complains", markdown("'''go", `fmt.Printf("%d", "text")`, "'''"), "not all Go code compiles"},
		{"neither declarations nor statements", markdown("'''go", "this is prose", "'''"), "not all Go code compiles"},
		{"an unknown module", markdown("'''go", `import _ "example.com/unknown"`, "'''"), "not all Go code compiles"},
		{"a program without main", markdown("'''go", "package main", "'''"), "not all Go code compiles"},
		{"no Go", markdown("'''sh", "'''"), "no Go code in 1 documents"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			root := repository(t, map[string]string{
				"go.mod":         outer,
				"outer.go":       "package outer\n\nconst A = 1\n",
				"inner/go.mod":   inner,
				"inner/inner.go": "package inner\n\nfunc F(int) {}\n",
				"docs/a.md":      tt.document,
			})
			out := t.TempDir()
			err := run(root, out, []string{"docs/a.md"})
			if tt.err != "" {
				require.EqualError(t, err, tt.err)
				return
			}
			require.NoError(t, err)
			said, err := exec.Command(filepath.Join(out, "docs_a-1")).CombinedOutput()
			require.NoError(t, err)
			require.Equal(t, "hello", string(said))
			left, err := filepath.Glob(filepath.Join(root, "*"))
			require.NoError(t, err)
			require.Len(t, left, 4) // nothing was written there
		})
	}
}

func TestRunOfAMissingDocument(t *testing.T) {
	t.Parallel()
	root := repository(t, map[string]string{"go.mod": "module example.org/a\n"})
	require.ErrorIs(t, run(root, "", []string{"a.md"}), os.ErrNotExist)
}

// Errors name the line of the document.
func TestPositions(t *testing.T) {
	t.Parallel()
	root := repository(t, map[string]string{"go.mod": "module example.org/a\n\ngo 1.26.0\n"})
	modules, err := findModules(root)
	require.NoError(t, err)
	for _, tt := range []struct{ name, code, err string }{
		{"declarations", "\nvar x int = f\n", "docs/a.md:8: undefined: f"},
		{"statements", "x := 1\ny := f\n", "docs/a.md:8: undefined: f"},
		{"go vet", "\nfmt.Printf(\"%d\", \"text\")\n", "docs/a.md:8: fmt.Printf format %d has arg \"text\" of wrong type string"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			u, err := place(block{document: "docs/a.md", line: 7, code: tt.code}, map[string]string{"fmt": "fmt"})
			require.NoError(t, err)
			u.name, u.module = "docs_a-1", modules[0]
			err = compile(modules[0], []unit{u}, "")
			require.Error(t, err)
			require.Contains(t, strings.Split(err.Error(), "\n"), tt.err)
		})
	}
}
