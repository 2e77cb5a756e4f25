package main

import (
	"cmp"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/tools/go/packages"
)

// A program with all mutants in it is built once, and a variable of the environment
// selects one of them. A function gets a copy of itself for each of its mutants, and
// calls the one that is selected:
//
//	func f(a int) bool { if mutantNumber != 0 { switch mutantNumber { case 7: return mutant7_f(a) } }; return a < 2 }
//	func mutant7_f(a int) bool { return a <= 2 }
//
// So mutants need no thought about types or the scopes of names, and which of them
// do not compile one pass of the type checker tells for all.

const numberVariable = "WEBSOCKET_MUTANT"

// numberFile declares what selects the mutant; %s is the package's name.
const numberFile = `package %s

import (
	"os"
	"strconv"
)

var mutantNumber, _ = strconv.Atoi(os.Getenv("` + numberVariable + `"))
`

// region is where a mutant stands in a file of the program.
type region struct {
	start, end int
	mutant     int
}

// weave returns f with those of its mutants in it that are not constants.
func weave(f *file, ms []*mutant) (src string, regions []region) {
	var dispatches []edit
	var tail strings.Builder
	byDecl := make(map[ast.Node][]*mutant)
	var decls []ast.Node
	for _, m := range ms {
		if m.kind == inConst {
			continue
		}
		if byDecl[m.decl] == nil {
			decls = append(decls, m.decl)
		}
		byDecl[m.decl] = append(byDecl[m.decl], m)
	}
	for _, decl := range decls {
		var cases strings.Builder
		for _, m := range byDecl[decl] {
			n := m.number
			tail.WriteString("\n")
			start := tail.Len()
			switch decl := decl.(type) {
			case *ast.FuncDecl:
				name := fmt.Sprintf("mutant%d_%s", n, decl.Name.Name)
				fmt.Fprintf(&cases, "case %d: %s; ", n, callOf(decl, name))
				at, nameEnd := f.span(decl.Name)
				begin, end := f.span(decl)
				tail.WriteString(f.src[begin:at] + name + f.src[nameEnd:m.edit.start] + m.edit.text + f.src[m.edit.end:end] + "\n")
			case *ast.ValueSpec:
				begin, end := f.span(decl.Values[0])
				fmt.Fprintf(&tail, "func init() { if mutantNumber == %d { %s = %s } }\n", n, decl.Names[0].Name,
					f.src[begin:m.edit.start]+m.edit.text+f.src[m.edit.end:end])
			}
			regions = append(regions, region{start, tail.Len(), n})
		}
		if decl, ok := decl.(*ast.FuncDecl); ok {
			at := f.offset(decl.Body.Lbrace) + 1
			dispatches = append(dispatches, edit{at, at, " if mutantNumber != 0 { switch mutantNumber { " + cases.String() + "} };"})
		}
	}
	src = f.src
	slices.SortFunc(dispatches, func(a, b edit) int { return cmp.Compare(b.start, a.start) })
	for _, e := range dispatches {
		src = e.apply(src)
	}
	for i := range regions {
		regions[i].start += len(src)
		regions[i].end += len(src)
	}
	return src + tail.String(), regions
}

// callOf returns the statement that calls a copy of decl in its place.
func callOf(decl *ast.FuncDecl, name string) string {
	var call strings.Builder
	if decl.Recv != nil {
		call.WriteString(decl.Recv.List[0].Names[0].Name + ".")
	}
	call.WriteString(name + "(")
	for _, field := range decl.Type.Params.List {
		for _, param := range field.Names {
			call.WriteString(param.Name)
			if _, ok := field.Type.(*ast.Ellipsis); ok {
				call.WriteString("...")
			}
			call.WriteString(", ")
		}
	}
	call.WriteString(")")
	if decl.Type.Results == nil {
		return call.String() + "; return"
	}
	return "return " + call.String()
}

// program is the files of the package with all mutants in them.
type program struct {
	overlay map[string]string // by path
	regions map[string][]region
}

// weaveAll makes the program in dir of those mutants that are alive.
func weaveAll(dir string, files map[string]*file, ms []*mutant) program {
	p := program{make(map[string]string), make(map[string][]region)}
	var name string
	for _, f := range files {
		name = f.ast.Name.Name
		of := slices.DeleteFunc(slices.Clone(ms), func(m *mutant) bool { return m.file != f.name })
		path := filepath.Join(dir, f.name)
		p.overlay[path], p.regions[path] = weave(f, of)
	}
	p.overlay[filepath.Join(dir, "mutant_number.go")] = fmt.Sprintf(numberFile, name)
	return p
}

// compiling gives the mutants their numbers, and returns those that compile and the program
// with them. Constants are not looked at.
func compiling(dir string, files map[string]*file, ms []*mutant) (program, []*mutant, error) {
	checker, err := loadChecker(dir)
	if err != nil {
		return program{}, nil, err
	}
	for i, m := range ms {
		m.number = i + 1
	}
	for {
		p := weaveAll(dir, files, ms)
		bad, err := checker.check(p)
		if err != nil || len(bad) == 0 {
			return p, ms, err
		}
		ms = slices.DeleteFunc(slices.Clone(ms), func(m *mutant) bool { return bad[m.number] })
	}
}

// checker type-checks a package with other sources.
type checker struct {
	pkg     *packages.Package
	imports map[string]*types.Package
}

func (c *checker) Import(path string) (*types.Package, error) {
	if pkg := c.imports[path]; pkg != nil {
		return pkg, nil
	}
	return nil, fmt.Errorf("package %s is not known", path)
}

// loadChecker loads what the package in dir imports.
func loadChecker(dir string) (*checker, error) {
	const mode = packages.NeedName | packages.NeedCompiledGoFiles | packages.NeedImports |
		packages.NeedTypes | packages.NeedSyntax | packages.NeedTypesInfo | packages.NeedTypesSizes
	pkgs, err := packages.Load(&packages.Config{Mode: mode, Dir: dir}, ".", "os", "strconv") // numberFile imports these
	if err != nil {
		return nil, err
	}
	c := &checker{imports: make(map[string]*types.Package)}
	for _, pkg := range pkgs {
		if len(pkg.Errors) > 0 {
			return nil, pkg.Errors[0]
		}
		if pkg.PkgPath == "os" || pkg.PkgPath == "strconv" {
			c.imports[pkg.PkgPath] = pkg.Types
			continue
		}
		c.pkg = pkg
		for path, imported := range pkg.Imports {
			c.imports[path] = imported.Types
		}
	}
	return c, nil
}

// check returns the numbers of the mutants of p that do not compile.
func (c *checker) check(p program) (bad map[int]bool, err error) {
	fset := token.NewFileSet()
	var files []*ast.File
	parse := func(path string, src any) error {
		f, err := parser.ParseFile(fset, path, src, parser.SkipObjectResolution)
		files = append(files, f)
		return err
	}
	for _, path := range c.pkg.CompiledGoFiles {
		if _, ok := p.overlay[path]; ok {
			continue
		}
		if err := parse(path, nil); err != nil {
			return nil, err
		}
	}
	for path, src := range p.overlay {
		if err := parse(path, src); err != nil {
			return nil, err
		}
	}
	bad = make(map[int]bool)
	var fatal error
	config := types.Config{Importer: c, Sizes: c.pkg.TypesSizes, Error: func(err error) {
		if n, err := owner(p, err.(types.Error)); err != nil {
			fatal = err
		} else {
			bad[n] = true
		}
	}}
	_, _ = config.Check(c.pkg.PkgPath, fset, files, nil) // Error is told all of it
	return bad, fatal
}

// owner returns the mutant that a type error is about.
func owner(p program, e types.Error) (int, error) {
	at := e.Fset.Position(e.Pos)
	for _, r := range p.regions[at.Filename] {
		if r.start <= at.Offset && at.Offset < r.end {
			return r.mutant, nil
		}
	}
	return 0, errors.New(at.Filename + ":" + strconv.Itoa(at.Line) + ": " + e.Msg)
}
