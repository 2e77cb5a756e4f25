package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/doc"
	"go/doc/comment"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/tools/go/packages"
)

// A checker gathers what is wrong with the packages of several modules.
type checker struct {
	deprecated, examples, notRun []string // as websocket.Conn.Close, and websocket.ExampleConn_Close

	problems                     []string
	packages, names              int
	seenDeprecated, seenExamples []string
	fset                         *token.FileSet
	root                         string
	public                       bool // others can import the package at hand
	pkg                          *doc.Package
	types                        *types.Package
	linked                       map[string]*types.Package // packages that links lead to
	loadPackage                  func(path string) *types.Package
}

// complain notes what is wrong at a place.
func (c *checker) complain(pos token.Pos, format string, args ...any) {
	at := c.fset.Position(pos)
	if name, err := filepath.Rel(c.root, at.Filename); err == nil {
		at.Filename = filepath.ToSlash(name)
	}
	c.problems = append(c.problems, fmt.Sprintf("%s:%d: %s", at.Filename, at.Line, fmt.Sprintf(format, args...)))
}

// module checks the packages of the module in dir.
func (c *checker) module(dir string) error {
	root, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if c.root == "" {
		c.root = root
	}
	c.fset = token.NewFileSet()
	c.linked = map[string]*types.Package{}
	load := func(patterns ...string) ([]*packages.Package, error) {
		const mode = packages.NeedName | packages.NeedFiles | packages.NeedTypes | packages.NeedImports
		loaded, err := packages.Load(&packages.Config{Mode: mode, Dir: root, Fset: c.fset}, patterns...)
		for _, p := range loaded {
			for _, e := range p.Errors {
				err = errors.Join(err, e)
			}
		}
		return loaded, err
	}
	c.loadPackage = func(path string) *types.Package {
		loaded, err := load(path)
		if err != nil || len(loaded) != 1 {
			return nil
		}
		return loaded[0].Types
	}
	loaded, err := load("./...")
	if err != nil {
		return err
	}
	for _, p := range loaded {
		if len(p.GoFiles) == 0 {
			continue
		}
		if err := c.check(p); err != nil {
			return err
		}
	}
	return nil
}

// check checks one package.
func (c *checker) check(p *packages.Package) error {
	dir := filepath.Dir(p.GoFiles[0])
	all, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var files []*ast.File
	var comments []token.Pos // of the package
	for _, f := range all {
		if !strings.HasSuffix(f.Name(), ".go") {
			continue
		}
		isTest := strings.HasSuffix(f.Name(), "_test.go")
		if !isTest && !slices.Contains(p.GoFiles, filepath.Join(dir, f.Name())) {
			continue // of another platform
		}
		file, err := parser.ParseFile(c.fset, filepath.Join(dir, f.Name()), nil, parser.ParseComments)
		if err != nil {
			return err
		}
		files = append(files, file)
		if file.Doc != nil && !isTest {
			comments = append(comments, file.Doc.Pos())
		}
	}
	c.packages++
	c.types = p.Types
	if c.pkg, err = doc.NewFromFiles(c.fset, files, p.PkgPath); err != nil {
		return err
	}
	c.public = p.Name != "main" && !slices.Contains(strings.Split(p.PkgPath, "/"), "internal")

	first := files[0].Package
	want := "Package " + p.Name + " "
	if p.Name == "main" {
		want = "Command " + filepath.Base(dir) + " "
	}
	switch {
	case len(comments) == 0:
		c.complain(first, "there is no package comment")
	case len(comments) > 1:
		c.complain(comments[1], "a second package comment")
	case !strings.HasPrefix(c.pkg.Doc, want):
		c.complain(comments[0], "the package comment does not begin with %q", strings.TrimSpace(want))
	}
	if c.pkg.Doc != "" && len(comments) > 0 {
		c.text("", c.pkg.Doc, comments[0])
	}
	if c.public {
		c.values(c.pkg.Consts)
		c.values(c.pkg.Vars)
		c.funcs("", c.pkg.Funcs)
		for _, t := range c.pkg.Types {
			c.typ(t)
		}
	}
	c.examplesOf(c.pkg)
	return nil
}

// values checks groups of constants or variables: the group has a comment, or each name.
func (c *checker) values(values []*doc.Value) {
	for _, v := range values {
		c.names += len(v.Names)
		if v.Doc != "" {
			c.text(v.Names[0], v.Doc, v.Decl.Pos())
			if len(v.Decl.Specs) == 1 && len(v.Names) == 1 {
				c.begins(v.Names[0], v.Doc, v.Decl.Pos())
			}
			continue
		}
		for _, s := range v.Decl.Specs {
			spec := s.(*ast.ValueSpec)
			name := spec.Names[0].Name
			if !ast.IsExported(name) {
				continue
			}
			switch {
			case spec.Doc != nil:
				c.text(name, spec.Doc.Text(), spec.Pos())
				c.begins(name, spec.Doc.Text(), spec.Pos())
			case spec.Comment == nil:
				c.complain(spec.Pos(), "%s has no comment", name)
			}
		}
	}
}

func (c *checker) funcs(recv string, funcs []*doc.Func) {
	for _, f := range funcs {
		if !ast.IsExported(f.Name) {
			continue
		}
		c.names++
		name := f.Name
		if recv != "" {
			name = recv + "." + name
		}
		c.begins(f.Name, f.Doc, f.Decl.Pos())
		c.text(name, f.Doc, f.Decl.Pos())
	}
}

func (c *checker) typ(t *doc.Type) {
	if !ast.IsExported(t.Name) {
		return
	}
	c.names++
	c.begins(t.Name, t.Doc, t.Decl.Pos())
	c.text(t.Name, t.Doc, t.Decl.Pos())
	c.values(t.Consts)
	c.values(t.Vars)
	c.funcs("", t.Funcs)
	c.funcs(t.Name, t.Methods)
	for _, s := range t.Decl.Specs {
		switch u := s.(*ast.TypeSpec).Type.(type) {
		case *ast.StructType:
			c.fields(t.Name, u.Fields)
		case *ast.InterfaceType:
			c.fields(t.Name, u.Methods)
		}
	}
}

// fields checks that each exported field has a comment: above it, beside it, or above the
// fields that it stands together with.
func (c *checker) fields(of string, list *ast.FieldList) {
	commented, last := false, 0
	for _, f := range list.List {
		begin := c.fset.Position(f.Pos()).Line
		if f.Doc != nil {
			begin = c.fset.Position(f.Doc.Pos()).Line
		}
		if begin != last+1 {
			commented = false
		}
		last = c.fset.Position(f.End()).Line
		commented = commented || f.Doc != nil
		for _, name := range f.Names {
			if ast.IsExported(name.Name) && !commented && f.Comment == nil {
				c.complain(f.Pos(), "%s.%s has no comment", of, name.Name)
			}
		}
		c.text(of, f.Doc.Text()+f.Comment.Text(), f.Pos())
	}
}

// begins checks that a comment begins with the name.
func (c *checker) begins(name, text string, pos token.Pos) {
	if text == "" {
		c.complain(pos, "%s has no comment", name)
		return
	}
	rest, ok := strings.CutPrefix(text, name)
	for _, article := range []string{"A ", "An ", "The "} {
		if r, found := strings.CutPrefix(text, article+name); found {
			rest, ok = r, true
		}
	}
	if next, _ := utf8.DecodeRuneInString(rest); !ok || unicode.IsLetter(next) || unicode.IsDigit(next) || next == '_' {
		c.complain(pos, "the comment of %s does not begin with its name", name)
	}
}

var (
	bracketed  = regexp.MustCompile(`(?:^|[\s(])(\[\*?[\pL_][\w./]*\])`)
	deprecated = regexp.MustCompile(`(?im)^deprecated:`)
)

// text checks a comment: its links, and whether it deprecates name.
func (c *checker) text(name, text string, pos token.Pos) {
	d := c.pkg.Parser().Parse(text)
	full := c.pkg.Name + "." + name
	isDeprecated := false
	c.blocks(d.Content, func(t []comment.Text, paragraph bool) {
		plain := ""
		for _, part := range t {
			switch part := part.(type) {
			case comment.Plain:
				plain += string(part)
			case comment.Italic:
				plain += string(part)
			case *comment.DocLink:
				if !c.leads(part) {
					c.complain(pos, "a link leads nowhere: %s", linkText(part))
				}
			}
		}
		for _, m := range bracketed.FindAllStringSubmatch(plain, -1) {
			c.complain(pos, "a link leads nowhere: %s", m[1])
		}
		if paragraph && strings.HasPrefix(plain, "Deprecated: ") {
			isDeprecated = true
			plain = strings.TrimPrefix(plain, "Deprecated: ")
		}
		if deprecated.MatchString(plain) {
			c.complain(pos, `"Deprecated: " has to begin a paragraph, and to be written so`)
		}
	})
	if isDeprecated {
		c.seenDeprecated = append(c.seenDeprecated, full)
		if !slices.Contains(c.deprecated, full) {
			c.complain(pos, "%s is deprecated, and should not be", full)
		}
	}
}

// blocks calls f with the texts of paragraphs, list items and headings.
func (c *checker) blocks(content []comment.Block, f func(t []comment.Text, paragraph bool)) {
	for _, b := range content {
		switch b := b.(type) {
		case *comment.Heading:
			f(b.Text, false)
		case *comment.Paragraph:
			f(b.Text, true)
		case *comment.List:
			for _, item := range b.Items {
				c.blocks(item.Content, func(t []comment.Text, _ bool) { f(t, false) })
			}
		}
	}
}

// linkText is a link as the source has it.
func linkText(l *comment.DocLink) string {
	parts := slices.DeleteFunc([]string{l.ImportPath, l.Recv, l.Name}, func(s string) bool { return s == "" })
	return "[" + strings.Join(parts, ".") + "]"
}

// leads tells whether there is what a link is to.
func (c *checker) leads(l *comment.DocLink) bool {
	p := c.types
	if l.ImportPath != "" && l.ImportPath != p.Path() {
		known, ok := c.linked[l.ImportPath]
		if !ok {
			known = c.loadPackage(l.ImportPath)
			c.linked[l.ImportPath] = known
		}
		if p = known; p == nil {
			return false
		}
	}
	if l.Name == "" {
		return true // to the package
	}
	return exists(p, l.Recv, l.Name)
}

// exists tells whether p has the exported name, or recv the exported method or field.
func exists(p *types.Package, recv, name string) bool {
	if recv == "" {
		return ast.IsExported(name) && p.Scope().Lookup(name) != nil
	}
	of := p.Scope().Lookup(recv)
	if of == nil {
		return false
	}
	found, _, _ := types.LookupFieldOrMethod(of.Type(), true, p, name)
	return found != nil && found.Exported()
}

// examplesOf checks the examples of a package.
func (c *checker) examplesOf(p *doc.Package) {
	see := func(name string, examples []*doc.Example) {
		for _, e := range examples {
			c.seenExamples = append(c.seenExamples, strings.TrimSuffix(p.Name+"."+name, "."))
			full := p.Name + ".Example" + e.Name
			runs := e.Output != "" || e.EmptyOutput
			switch named := slices.Contains(c.notRun, full); {
			case !runs && !named:
				c.complain(e.Code.Pos(), "Example%s has no Output, so that go test does not run it", e.Name)
			case runs && named:
				c.complain(e.Code.Pos(), "Example%s runs, though it is said not to", e.Name)
			}
		}
	}
	see("", p.Examples)
	for _, f := range p.Funcs {
		see(f.Name, f.Examples)
	}
	for _, t := range p.Types {
		see(t.Name, t.Examples)
		for _, f := range t.Funcs {
			see(f.Name, f.Examples)
		}
		for _, m := range t.Methods {
			see(t.Name+"."+m.Name, m.Examples)
		}
	}
}

// finish checks what was to be found somewhere.
func (c *checker) finish() {
	for _, name := range c.examples {
		if !slices.Contains(c.seenExamples, name) {
			c.problems = append(c.problems, name+" has no Example")
		}
	}
	for _, name := range c.deprecated {
		if !slices.Contains(c.seenDeprecated, name) {
			c.problems = append(c.problems, name+` is not marked as "Deprecated: "`)
		}
	}
}
