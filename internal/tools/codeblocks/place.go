package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A unit is a block that was made a file of Go, and a package.
type unit struct {
	name    string
	module  module
	program bool
	file    string
	imports []string
}

var (
	packageClause = regexp.MustCompile(`^(\s*//[^\n]*\n|\s*\n)*package\s`)
	version       = regexp.MustCompile(`^v[0-9]+$`)
)

// place makes a file of a block: as it is, at the level of the file, or in a function.
func place(b block, known map[string]string) (unit, error) {
	where := fmt.Sprintf("//line %s:%d\n", b.document, b.line)
	if packageClause.MatchString(b.code) {
		f, err := parser.ParseFile(token.NewFileSet(), "", b.code, parser.ImportsOnly)
		if err != nil {
			return unit{}, err
		}
		return unit{program: f.Name.Name == "main", file: where + b.code, imports: importPaths(f)}, nil
	}

	level, err := parse("package documents\n" + b.code)
	code := where + b.code
	if err != nil {
		var inner error
		if code, level, inner = inFunction(b.code, where); inner != nil {
			return unit{}, fmt.Errorf("neither declarations (%w) nor statements (%w)", unplaced(err), unplaced(inner))
		}
	}

	// What the comments offer.
	var (
		imports = maps.Clone(known)
		offered = map[string]string{} // declarations by the names that they declare
		order   []string
	)
	for _, n := range b.needs {
		head := "package documents;"
		f, err := parse(head + n.declarations)
		if err != nil {
			return unit{}, fmt.Errorf("the comment in line %d: %w", n.line, unplaced(err))
		}
		for _, s := range f.Imports {
			imports[importName(s)] = importPath(s)
		}
		for _, d := range f.Decls {
			text := (head + n.declarations)[d.Pos()-1 : d.End()-1]
			switch d := d.(type) {
			case *ast.FuncDecl:
				offer(offered, &order, d.Name.Name, text)
			case *ast.GenDecl:
				for _, s := range d.Specs {
					switch s := s.(type) {
					case *ast.ValueSpec:
						if len(d.Specs) > 1 || len(s.Names) > 1 {
							return unit{}, fmt.Errorf("the comment in line %d: one name in each declaration", n.line)
						}
						offer(offered, &order, s.Names[0].Name, text)
					case *ast.TypeSpec:
						offer(offered, &order, s.Name.Name, text)
					}
				}
			}
		}
	}

	// What of it the block uses and does not declare itself, and what that uses in turn.
	outer, all := declaredNames(level)
	used, qualifiers := usedNames(level)
	taken := map[string]bool{}
	rest := ""
	for again := true; again; {
		again = false
		for _, name := range order {
			if !used[name] || outer[name] || taken[name] {
				continue
			}
			f, err := parse("package documents\n" + offered[name])
			if err != nil {
				return unit{}, err
			}
			u, q := usedNames(f)
			maps.Copy(used, u)
			maps.Copy(qualifiers, q)
			taken[name], again = true, true
			rest += offered[name] + "\n"
		}
	}

	u := unit{imports: importPaths(level), file: "package documents\n"}
	for _, s := range level.Imports {
		delete(qualifiers, importName(s))
	}
	for _, name := range slices.Sorted(maps.Keys(qualifiers)) {
		if p := imports[name]; p != "" && !all[name] && !taken[name] {
			u.file += fmt.Sprintf("import %s %q\n", name, p)
			u.imports = append(u.imports, p)
		}
	}
	if len(level.Imports) > 0 { // which come before other declarations
		u.file += code + rest
	} else {
		u.file += rest + code
	}
	return u, nil
}

// inFunction makes statements the body of a function and uses their variables.
func inFunction(code, where string) (string, *ast.File, error) {
	const head = "package documents\nfunc _() {\n"
	f, err := parse(head + code + "\n}")
	if err != nil {
		return "", nil, err
	}
	if len(f.Decls) != 1 {
		return "", nil, errors.New("more than one function")
	}
	body := f.Decls[0].(*ast.FuncDecl).Body

	results, end := "", ""
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.ReturnStmt:
			switch len(n.Results) {
			case 0:
			case 1:
				results, end = "error ", "return nil\n"
			default:
				err = fmt.Errorf("%d results", len(n.Results))
			}
		}
		return true
	})
	if err != nil {
		return "", nil, err
	}

	// From the last to the first, so that offsets stay right; on their lines, so that these do.
	edited := code
	for _, s := range slices.Backward(body.List) {
		var names []string
		switch s := s.(type) {
		case *ast.AssignStmt:
			if s.Tok == token.DEFINE {
				for _, x := range s.Lhs {
					names = append(names, x.(*ast.Ident).Name)
				}
			}
		case *ast.DeclStmt:
			for _, spec := range s.Decl.(*ast.GenDecl).Specs {
				if v, ok := spec.(*ast.ValueSpec); ok && s.Decl.(*ast.GenDecl).Tok == token.VAR {
					for _, name := range v.Names {
						names = append(names, name.Name)
					}
				}
			}
		}
		at := int(s.End()) - 1 - len(head)
		for _, name := range names {
			if name != "_" {
				edited = edited[:at] + "; _ = &" + name + edited[at:]
			}
		}
	}
	return "func _() " + results + "{\n" + where + edited + end + "}\n", f, nil
}

func parse(source string) (*ast.File, error) {
	return parser.ParseFile(token.NewFileSet(), "", source, parser.SkipObjectResolution)
}

// unplaced leaves an error of the parser's without its position, which is not the document's.
func unplaced(err error) error {
	_, text, found := strings.Cut(err.Error(), ": ")
	if !found {
		return err
	}
	return errors.New(text)
}

func offer(offered map[string]string, order *[]string, name, declaration string) {
	if offered[name] == "" {
		*order = append(*order, name)
	}
	offered[name] = declaration
}

// usedNames returns the names that a file uses, and those of them with a point behind: packages,
// where they are nothing else.
func usedNames(f *ast.File) (used, qualifiers map[string]bool) {
	used, qualifiers = map[string]bool{}, map[string]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Ident:
			used[n.Name] = true
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok {
				qualifiers[x.Name] = true
			}
		}
		return true
	})
	return used, qualifiers
}

// declaredNames returns the names that a file declares at its level, and at any level.
func declaredNames(f *ast.File) (outer, all map[string]bool) {
	outer, all = map[string]bool{}, map[string]bool{}
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			outer[d.Name.Name] = d.Recv == nil
		case *ast.GenDecl:
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.TypeSpec:
					outer[s.Name.Name] = true
				case *ast.ValueSpec:
					for _, name := range s.Names {
						outer[name.Name] = true
					}
				}
			}
		}
	}
	maps.Copy(all, outer)
	add := func(expressions ...ast.Expr) {
		for _, x := range expressions {
			if name, ok := x.(*ast.Ident); ok {
				all[name.Name] = true
			}
		}
	}
	addFields := func(lists ...*ast.FieldList) {
		for _, l := range lists {
			if l == nil {
				continue
			}
			for _, field := range l.List {
				for _, name := range field.Names {
					all[name.Name] = true
				}
			}
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			addFields(n.Recv)
		case *ast.FuncType:
			addFields(n.Params, n.Results)
		case *ast.ValueSpec:
			for _, name := range n.Names {
				all[name.Name] = true
			}
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE {
				add(n.Lhs...)
			}
		case *ast.RangeStmt:
			if n.Tok == token.DEFINE {
				add(n.Key, n.Value)
			}
		}
		return true
	})
	return outer, all
}

func importPath(s *ast.ImportSpec) string {
	p, err := strconv.Unquote(s.Path.Value)
	if err != nil {
		return s.Path.Value
	}
	return p
}

// importName returns the name under which a package is used, going by its path.
func importName(s *ast.ImportSpec) string {
	if s.Name != nil {
		return s.Name.Name
	}
	return baseName(importPath(s))
}

func baseName(p string) string {
	if base := path.Base(p); !version.MatchString(base) {
		return base
	}
	return path.Base(path.Dir(p))
}

func importPaths(f *ast.File) []string {
	var paths []string
	for _, s := range f.Imports {
		paths = append(paths, importPath(s))
	}
	return paths
}
