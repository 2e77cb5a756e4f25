package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// source is how a cell is found.
type source interface {
	find(l *library) (verdict, error)
}

// probe runs.
type probe func(e *env, l *library) (verdict, error)

func (p probe) find(l *library) (verdict, error) {
	e := newEnv()
	v, err := p(e, l)
	e.close()
	if err == nil {
		name := runtime.FuncForPC(reflect.ValueOf(p).Pointer()).Name()
		name = strings.Split(path.Base(name), ".")[1] // of package.name
		v.saw = fmt.Sprintf("Probe `%s`: %s.", name, v.saw)
	}
	return v, err
}

// line is a line in a library's source.
type line struct{ cell, file, needle string }

func (s line) find(l *library) (verdict, error) {
	m, err := moduleOf(l)
	if err != nil {
		return verdict{}, err
	}
	n, found, err := findLine(filepath.Join(m.Dir, s.file), s.needle)
	if err != nil {
		return verdict{}, err
	}
	where := fmt.Sprintf("[%s](../%s)", s.file, s.file)
	if l == ours {
		found = s.needle // our lines move, and change
	} else {
		where = fmt.Sprintf("[%s, line %d](https://%s/blob/%s/%s#L%d)", s.file, n, l.module, m.Version, s.file, n)
	}
	return verdict{s.cell, fmt.Sprintf("%s: `%s`", where, found)}, nil
}

func findLine(file, needle string) (n int, found string, err error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, "", err
	}
	for i, s := range strings.Split(string(b), "\n") {
		if strings.Contains(s, needle) {
			return i + 1, strings.TrimSpace(s), nil
		}
	}
	return 0, "", fmt.Errorf("%s has no %q", file, needle)
}

// nothing is a regular expression that no line of a library's source matches: of its Go files
// apart from tests, examples and what is internal to its tests; of its tests if tests is set.
type nothing struct {
	cell, pattern string
	tests         bool
}

func (s nothing) find(l *library) (verdict, error) {
	re := regexp.MustCompile("(?m)" + s.pattern)
	m, err := moduleOf(l)
	if err != nil {
		return verdict{}, err
	}
	files, err := m.files(s.tests)
	if err != nil {
		return verdict{}, err
	}
	for _, name := range files {
		b, err := os.ReadFile(filepath.Join(m.Dir, name))
		if err != nil {
			return verdict{}, err
		}
		if found := re.Find(b); found != nil {
			return verdict{}, fmt.Errorf("%s matches %q: %s", name, s.pattern, found)
		}
	}
	kind := "source"
	if s.tests {
		kind = "tests"
	}
	return verdict{s.cell, fmt.Sprintf("No line of its %s matches `%s`.", kind, s.pattern)}, nil
}

// module is what the go command knows of one.
type module struct{ Path, Version, Dir, GoVersion string }

var (
	modulesMu sync.Mutex
	modules   = map[string]module{}
)

func moduleOf(l *library) (module, error) {
	modulesMu.Lock()
	defer modulesMu.Unlock()
	if m, ok := modules[l.module]; ok {
		return m, nil
	}
	out, err := goCommand("list", "-m", "-json", l.module)
	if err != nil {
		return module{}, err
	}
	var m module
	if err := json.Unmarshal(out, &m); err != nil {
		return module{}, err
	}
	modules[l.module] = m
	return m, nil
}

func goCommand(args ...string) ([]byte, error) {
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "GOFLAGS=")
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil, fmt.Errorf("go %s: %s", strings.Join(args, " "), exit.Stderr)
	}
	return out, err
}

// files are a module's Go files, by slash-separated names: tests, or the others.
func (m module) files(tests bool) ([]string, error) {
	var names []string
	err := filepath.WalkDir(m.Dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(m.Dir, file)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if d.IsDir() {
			_, nested := os.Stat(filepath.Join(file, "go.mod"))
			if name != "." && nested == nil || slices.Contains([]string{".git", "example", "examples", "autobahn", "internal/test", "cmd", "testdata"}, name) {
				return filepath.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(name, ".go") && strings.HasSuffix(name, "_test.go") == tests {
			names = append(names, name)
		}
		return nil
	})
	return names, err
}

// needsGo is the Go version that a library's go.mod asks for.
type needsGo struct{}

func (needsGo) find(l *library) (verdict, error) {
	m, err := moduleOf(l)
	if err != nil {
		return verdict{}, err
	}
	v := strings.TrimSuffix(m.GoVersion, ".0")
	where := "[go.mod](../go.mod)"
	if l != ours {
		where = fmt.Sprintf("[go.mod](https://%s/blob/%s/go.mod)", l.module, m.Version)
	}
	return verdict{v, fmt.Sprintf("%s: `go %s`", where, m.GoVersion)}, nil
}

// needsModules counts the modules that a program gets with a library.
type needsModules struct{}

func (needsModules) find(l *library) (verdict, error) {
	out, err := goCommand(append([]string{"list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}"}, l.packages...)...)
	if err != nil {
		return verdict{}, err
	}
	paths := strings.Fields(string(out))
	slices.Sort(paths)
	paths = slices.DeleteFunc(slices.Compact(paths), func(p string) bool { return p == l.module })
	saw := "nothing else"
	if len(paths) > 0 {
		saw = strings.Join(paths, ", ")
	}
	return verdict{fmt.Sprint(len(paths)), fmt.Sprintf("`go list -deps %s`: %s", strings.Join(l.packages, " "), saw)}, nil
}

// gorillaNames counts the names of gorilla/websocket that a library has.
type gorillaNames struct{}

func (gorillaNames) find(l *library) (verdict, error) {
	if l == gorillaLibrary {
		return verdict{"its own", "They are its own."}, nil
	}
	want, err := exported(gorillaLibrary)
	if err != nil {
		return verdict{}, err
	}
	has, err := exported(l)
	if err != nil {
		return verdict{}, err
	}
	n := 0
	for name := range want {
		if has[name] {
			n++
		}
	}
	if n == len(want) {
		return verdict{"all", fmt.Sprintf("Its package has all %d.", n)}, nil
	}
	return verdict{fmt.Sprintf("%d of %d", n, len(want)), fmt.Sprintf("Its package has %d of %d.", n, len(want))}, nil
}

// exported are the exported names of a library's first package: Dial, Conn.Close, Dialer.Jar.
func exported(l *library) (map[string]bool, error) {
	m, err := moduleOf(l)
	if err != nil {
		return nil, err
	}
	files, err := m.files(false)
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	add := func(parts ...string) {
		for _, p := range parts {
			if !ast.IsExported(p) {
				return
			}
		}
		names[strings.Join(parts, ".")] = true
	}
	for _, name := range files {
		if strings.Contains(name, "/") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(m.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil {
					add(d.Name.Name)
				} else if on := receiver(d.Recv.List[0].Type); on != "" {
					add(on, d.Name.Name)
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					switch s := s.(type) {
					case *ast.ValueSpec:
						for _, id := range s.Names {
							add(id.Name)
						}
					case *ast.TypeSpec:
						add(s.Name.Name)
						if fields, ok := s.Type.(*ast.StructType); ok {
							for _, f := range fields.Fields.List {
								for _, id := range f.Names {
									add(s.Name.Name, id.Name)
								}
							}
						}
					}
				}
			}
		}
	}
	return names, nil
}

func receiver(t ast.Expr) string {
	if p, ok := t.(*ast.StarExpr); ok {
		t = p.X
	}
	if id, ok := t.(*ast.Ident); ok {
		return id.Name
	}
	return "" // generic
}

// released is the date of a library's version.
type released struct{}

func (released) find(l *library) (verdict, error) {
	if l == ours {
		return verdict{"none so far", "No version has been tagged."}, nil
	}
	m, err := moduleOf(l)
	if err != nil {
		return verdict{}, err
	}
	out, err := goCommand("mod", "download", "-json", l.module)
	if err != nil {
		return verdict{}, err
	}
	var d struct{ Info string }
	if err := json.Unmarshal(out, &d); err != nil {
		return verdict{}, err
	}
	b, err := os.ReadFile(d.Info)
	if err != nil {
		return verdict{}, err
	}
	var info struct{ Time time.Time }
	if err := json.Unmarshal(b, &info); err != nil {
		return verdict{}, err
	}
	day := info.Time.Format("2006-01-02")
	return verdict{day, fmt.Sprintf("`go mod download -json %s`: %s is of %s", l.module, m.Version, day)}, nil
}

// wasm is whether a library has files for browsers.
type wasm struct{}

func (wasm) find(l *library) (verdict, error) {
	m, err := moduleOf(l)
	if err != nil {
		return verdict{}, err
	}
	files, err := m.files(false)
	if err != nil {
		return verdict{}, err
	}
	browser := build.Default
	browser.GOOS, browser.GOARCH, browser.CgoEnabled = "js", "wasm", false
	elsewhere := build.Default
	elsewhere.GOOS, elsewhere.GOARCH, elsewhere.CgoEnabled = "linux", "amd64", false
	var own []string
	for _, name := range files {
		if strings.Contains(name, "/") {
			continue
		}
		there, err := browser.MatchFile(m.Dir, name)
		if err != nil {
			return verdict{}, err
		}
		here, err := elsewhere.MatchFile(m.Dir, name)
		if err != nil {
			return verdict{}, err
		}
		b, err := os.ReadFile(filepath.Join(m.Dir, name))
		if err != nil {
			return verdict{}, err
		}
		if there && !here && strings.Contains(string(b), "syscall/js") || there && !here && strings.Contains(string(b), "wsjs") {
			own = append(own, name)
		}
	}
	if len(own) == 0 {
		return verdict{"no", "No file of its own for GOOS=js knows the WebSocket of browsers."}, nil
	}
	where := fmt.Sprintf("[%s](../%s)", own[0], own[0])
	if l != ours {
		where = fmt.Sprintf("[%s](https://%s/blob/%s/%s)", own[0], l.module, m.Version, own[0])
	}
	return verdict{"yes", where + " is built for GOOS=js only, and uses the WebSocket of the browser."}, nil
}

// measured is a row of internal/benchmarks/NETWORK.md.
type measured struct {
	table  string // what the line above it begins with
	row    string
	column string
	format func(n float64) string
}

func (s measured) find(l *library) (verdict, error) {
	m, err := moduleOf(ours)
	if err != nil {
		return verdict{}, err
	}
	with, err := benchmarked(m, l)
	if err != nil {
		return verdict{}, err
	}
	b, err := os.ReadFile(filepath.Join(m.Dir, "internal", "benchmarks", "NETWORK.md"))
	if err != nil {
		return verdict{}, err
	}
	_, rest, ok := strings.Cut(string(b), "\n"+s.table)
	if !ok {
		return verdict{}, fmt.Errorf("NETWORK.md has no table %q", s.table)
	}
	_, rest, _ = strings.Cut(rest, "\n\n")
	rest, _, _ = strings.Cut(rest, "\n\n")
	column := -1
	for text := range strings.Lines(rest) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(text), "|"), "|")
		for i := range cells {
			cells[i] = strings.Trim(strings.TrimSpace(cells[i]), "*")
		}
		if column < 0 {
			column = slices.Index(cells, s.column)
		}
		if cells[0] == s.row && column > 0 && column < len(cells) {
			var n float64
			if _, err := fmt.Sscan(cells[column], &n); err != nil {
				return verdict{}, fmt.Errorf("%s in NETWORK.md: %w", s.row, err)
			}
			return verdict{s.format(n) + with, fmt.Sprintf("[internal/benchmarks/NETWORK.md](../internal/benchmarks/NETWORK.md): row `%s`, %s", s.row, cells[column])}, nil
		}
	}
	return verdict{}, fmt.Errorf("the table %q of NETWORK.md has no row %s with a column %s", s.table, s.row, s.column)
}

// benchmarked is the version of a library that was measured, if it is another than that of
// the table.
func benchmarked(root module, l *library) (string, error) {
	if l == ours {
		return "", nil
	}
	m, err := moduleOf(l)
	if err != nil {
		return "", err
	}
	_, found, err := findLine(filepath.Join(root.Dir, "internal", "benchmarks", "go.mod"), l.module+" v")
	if err != nil {
		return "", err
	}
	version := strings.Fields(found)[1]
	if version == m.Version {
		return "", nil
	}
	return " (" + version + ")", nil
}

// told is what no probe can see; saw says where it stands.
type told verdict

func (s told) find(*library) (verdict, error) { return verdict(s), nil }
