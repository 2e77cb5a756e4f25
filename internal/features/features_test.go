package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestDocuments finds all that the table says anew.
func TestDocuments(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the table is that of Linux, where an idle connection needs no goroutine: run this there")
	}
	before := runtime.NumGoroutine()
	found, err := find()
	require.NoError(t, err)
	for deadline := time.Now().Add(patience); runtime.NumGoroutine() > before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			require.FailNow(t, "goroutines stay behind", string(stacks[:runtime.Stack(stacks, true)]))
		}
	}
	root, err := moduleOf(ours)
	require.NoError(t, err)
	for _, name := range []string{"docs/compared.md", "README.md"} {
		b, err := os.ReadFile(filepath.Join(root.Dir, filepath.FromSlash(name)))
		require.NoError(t, err)
		want, err := found.into(name, string(b))
		require.NoError(t, err)
		if want != string(b) {
			require.Fail(t, name+" says something else than was found: go -C internal/features run . -write",
				"found:\n%s\ninstead of:\n%s", lacking(want, string(b)), lacking(string(b), want))
		}
	}
}

// lacking are the lines of a that b has not.
func lacking(a, b string) string {
	var lines strings.Builder
	for text := range strings.Lines(a) {
		if !strings.Contains("\n"+b, "\n"+text) {
			lines.WriteString(text)
		}
	}
	return lines.String()
}

func TestTable(t *testing.T) {
	titles := map[string]bool{}
	short := 0
	for _, r := range rows {
		require.NotEmpty(t, r.means, r.title)
		require.False(t, titles[slug(r.title)], r.title)
		titles[slug(r.title)] = true
		for i, s := range r.sources {
			require.NotNil(t, s, "%s, %s", r.title, libraries[i].name)
		}
		if r.short {
			short++
		}
	}
	require.LessOrEqual(t, short, 16, "the table in README.md is to be a short one")
}

func TestInto(t *testing.T) {
	found := &table{}
	for range rows {
		found.cells = append(found.cells, make([]verdict, len(libraries)))
	}
	_, err := found.into("docs/compared.md", "no marks")
	require.ErrorContains(t, err, begin[:len(begin)-1])
	_, err = found.into("docs/compared.md", begin)
	require.ErrorContains(t, err, end[:len(end)-1])
	same, err := found.into("README.md", "no marks")
	require.NoError(t, err)
	require.Equal(t, "no marks", same)
	once, err := found.into("README.md", "before\n"+begin+"old\n"+end+"after\n")
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(once, "before\n"+begin+"\n| |"), once)
	require.True(t, strings.HasSuffix(once, "|\n\n"+end+"after\n"), once)
	twice, err := found.into("README.md", once)
	require.NoError(t, err)
	require.Equal(t, once, twice)
}

// What the settling of calls stands on.
func TestSettle(t *testing.T) {
	e := newEnv()
	defer e.close()
	block := make(chan struct{})
	waiting := start(func() error {
		<-block
		return nil
	})
	returned, err := waiting.settle(e.ctx)
	require.NoError(t, err)
	require.False(t, returned)
	close(block)
	require.NoError(t, waiting.wait(e.ctx))
	returned, err = waiting.settle(e.ctx)
	require.NoError(t, err)
	require.True(t, returned)
	panicking := start(func() error { panic("at once") })
	require.ErrorContains(t, panicking.wait(e.ctx), "at once")
}

// A source that does not say what its cell says is an error.
func TestSources(t *testing.T) {
	for _, test := range []struct {
		name   string
		source source
		want   string // in the error; "" is none
	}{
		{"line", line{"yes", "conn.go", "func (c *Conn) NextReader()"}, ""},
		{"line that is not there", line{"yes", "conn.go", "func (c *Conn) NextReader(ctx"}, "has no"},
		{"file that is not there", line{"yes", "nowhere.go", "func"}, "nowhere.go"},
		{"nothing", nothing{"no", `func \(c \*Conn\) Ping\(`, false}, ""},
		{"nothing, at the beginning of a line", nothing{"no", `^func NewPreparedMessage`, false}, "prepared.go matches"},
		{"nothing in tests", nothing{"no", `^func TestJoinMessages`, true}, "join_test.go matches"},
		{"measured", measured{idleTable, "gorilla", "10000", kilobytes}, ""},
		{"table that was not measured", measured{"Somersaults", "gorilla", "10000", kilobytes}, "no table"},
		{"row that was not measured", measured{idleTable, "nobody", "10000", kilobytes}, "no row nobody"},
		{"column that was not measured", measured{idleTable, "gorilla", "12", kilobytes}, "a column 12"},
		{"probe that fails", probe(func(*env, *library) (verdict, error) { return verdict{}, os.ErrInvalid }), os.ErrInvalid.Error()},
	} {
		t.Run(test.name, func(t *testing.T) {
			v, err := test.source.find(gorillaLibrary)
			if test.want != "" {
				require.ErrorContains(t, err, test.want)
				return
			}
			require.NoError(t, err)
			require.NotEmpty(t, v.cell)
			require.NotEmpty(t, v.saw)
		})
	}
}

func TestSlug(t *testing.T) {
	for title, want := range map[string]string{
		"The peer's close code and reason arrive": "the-peers-close-code-and-reason-arrive",
		"HTTP/2":                            "http2",
		"Text checked for UTF-8 by default": "text-checked-for-utf-8-by-default",
	} {
		require.Equal(t, want, slug(title))
	}
}
