package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
)

// edit puts text in place of what stands from start to end.
type edit struct {
	start, end int
	text       string
}

func (e edit) apply(src string) string { return src[:e.start] + e.text + src[e.end:] }

// kind is where a mutant is, which says how it gets into the program.
type kind int

const (
	inFunc  kind = iota // in a function, which gets a copy
	inVar               // in the value of a package-level variable, which init sets
	inConst             // in a package-level constant, which needs a program of its own
)

// mutant is one change of one file.
type mutant struct {
	file  string
	line  int
	place string // the function, with its receiver's type, or the name of the variable or constant
	old   string // what stood there, and
	new   string // what is put there, "" for nothing
	nth   int    // how many mutants before it in place have the same old and new

	number int // that selects it in the program, 0 is no mutant
	kind   kind
	edit   edit
	decl   ast.Node // the *ast.FuncDecl, or the *ast.ValueSpec with one name and value
}

// key tells mutants apart however the lines of the file shift.
func (m *mutant) key() string {
	key := fmt.Sprintf("%s %s: %s => %s", m.file, m.place, m.old, m.shownNew())
	if m.nth > 0 {
		key += fmt.Sprintf(" #%d", m.nth+1)
	}
	return key
}

func (m *mutant) shownNew() string {
	if m.new == "" {
		return "nothing"
	}
	return m.new
}

// file is a parsed source file.
type file struct {
	name string
	src  string
	fset *token.FileSet
	ast  *ast.File
}

func parseFile(name, src string) (*file, error) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, name, src, parser.SkipObjectResolution)
	return &file{name, src, fset, f}, err
}

func (f *file) offset(pos token.Pos) int         { return f.fset.Position(pos).Offset }
func (f *file) text(n ast.Node) string           { return f.src[f.offset(n.Pos()):f.offset(n.End())] }
func (f *file) span(n ast.Node) (start, end int) { return f.offset(n.Pos()), f.offset(n.End()) }
func (f *file) replace(n ast.Node, s string) edit {
	return edit{f.offset(n.Pos()), f.offset(n.End()), s}
}

// mutants returns all mutants of f, some of which may not compile, but for those in
// the places that are left out. A name left out that f does not have is an error.
func (f *file) mutants(leftOut []string) ([]*mutant, error) {
	found := make(map[string]bool)
	skips := func(place string) bool {
		found[place] = true
		return slices.Contains(leftOut, place)
	}
	var all []*mutant
	for _, decl := range f.ast.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			place := placeOf(decl)
			if skips(place) || decl.Body == nil {
				continue
			}
			if err := copyable(decl); err != nil {
				return nil, fmt.Errorf("%s: %s: %w", f.name, place, err)
			}
			e := editor{file: f}
			e.body(decl.Body, decl.Type.Results)
			all = append(all, f.collect(place, inFunc, decl, e.edits)...)
		case *ast.GenDecl:
			kind := inVar
			if decl.Tok == token.CONST {
				kind = inConst
			} else if decl.Tok != token.VAR {
				continue
			}
			for _, spec := range decl.Specs {
				spec := spec.(*ast.ValueSpec)
				place := spec.Names[0].Name
				if skips(place) || len(spec.Names) != 1 || len(spec.Values) != 1 {
					continue
				}
				e := editor{file: f}
				ast.Inspect(spec.Values[0], e.visit)
				all = append(all, f.collect(place, kind, spec, e.edits)...)
			}
		}
	}
	for _, place := range leftOut {
		if !found[place] {
			return nil, fmt.Errorf("%s has no %s to leave out", f.name, place)
		}
	}
	slices.SortStableFunc(all, func(a, b *mutant) int { return cmp.Compare(a.edit.start, b.edit.start) })
	seen := make(map[string]int)
	for _, m := range all {
		key := m.key()
		m.nth = seen[key]
		seen[key]++
	}
	return all, nil
}

// collect makes mutants of edits, one of each text that comes out of them.
func (f *file) collect(place string, kind kind, decl ast.Node, edits []edit) (ms []*mutant) {
	seen := map[string]bool{f.src: true}
	for _, e := range edits {
		if text := e.apply(f.src); seen[text] {
			continue
		} else {
			seen[text] = true
		}
		ms = append(ms, &mutant{
			file: f.name, line: 1 + strings.Count(f.src[:e.start], "\n"), place: place,
			old: oneLine(f.src[e.start:e.end]), new: oneLine(e.text), kind: kind, edit: e, decl: decl,
		})
	}
	return ms
}

// oneLine shortens code to what fits a line of a report.
func oneLine(code string) string {
	const most = 100
	s := strings.Join(strings.Fields(code), " ")
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "..."
	}
	return s
}

// placeOf returns the name of a function, with the type of its receiver.
func placeOf(decl *ast.FuncDecl) string {
	if decl.Recv == nil {
		return decl.Name.Name
	}
	recv := decl.Recv.List[0].Type
	if star, ok := recv.(*ast.StarExpr); ok {
		recv = star.X
	}
	if id, ok := recv.(*ast.Ident); ok {
		return id.Name + "." + decl.Name.Name
	}
	return decl.Name.Name
}

// copyable returns an error for a function that cannot call a copy of itself with its
// own parameters.
func copyable(decl *ast.FuncDecl) error {
	if decl.Type.TypeParams != nil {
		return fmt.Errorf("generic functions are not supported")
	}
	fields := slices.Clone(decl.Type.Params.List)
	if decl.Recv != nil {
		fields = append(fields, decl.Recv.List...)
	}
	for _, field := range fields {
		if len(field.Names) == 0 {
			return fmt.Errorf("a parameter has no name")
		}
		for _, name := range field.Names {
			if name.Name == "_" {
				return fmt.Errorf("a parameter has no name")
			}
		}
	}
	return nil
}

// editor gathers the edits of one declaration.
type editor struct {
	*file
	results *ast.FieldList // of the function that is being walked
	edits   []edit
}

func (e *editor) add(edits ...edit) { e.edits = append(e.edits, edits...) }

// body walks the body of a function with these results.
func (e *editor) body(body *ast.BlockStmt, results *ast.FieldList) {
	outer := e.results
	e.results = results
	ast.Inspect(body, e.visit)
	e.results = outer
}

// swaps are operators and what each becomes.
var swaps = map[token.Token][]token.Token{
	token.LSS: {token.LEQ, token.GEQ}, token.LEQ: {token.LSS, token.GTR},
	token.GTR: {token.GEQ, token.LEQ}, token.GEQ: {token.GTR, token.LSS},
	token.EQL: {token.NEQ}, token.NEQ: {token.EQL},
	token.LAND: {token.LOR}, token.LOR: {token.LAND},
	token.ADD: {token.SUB}, token.SUB: {token.ADD}, token.MUL: {token.QUO}, token.QUO: {token.MUL}, token.REM: {token.MUL},
	token.AND: {token.OR}, token.OR: {token.AND}, token.XOR: {token.AND}, token.AND_NOT: {token.AND},
	token.SHL: {token.SHR}, token.SHR: {token.SHL},
	token.ADD_ASSIGN: {token.SUB_ASSIGN}, token.SUB_ASSIGN: {token.ADD_ASSIGN}, token.MUL_ASSIGN: {token.QUO_ASSIGN},
	token.QUO_ASSIGN: {token.MUL_ASSIGN}, token.AND_ASSIGN: {token.OR_ASSIGN}, token.OR_ASSIGN: {token.AND_ASSIGN},
	token.XOR_ASSIGN: {token.AND_ASSIGN}, token.SHL_ASSIGN: {token.SHR_ASSIGN}, token.SHR_ASSIGN: {token.SHL_ASSIGN},
}

func (e *editor) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.FuncLit:
		e.body(n.Body, n.Type.Results)
		return false
	case *ast.BinaryExpr:
		x, y := e.text(n.X), e.text(n.Y)
		for _, op := range swaps[n.Op] {
			e.add(e.replace(n, x+" "+op.String()+" "+y))
		}
		if n.Op == token.LAND || n.Op == token.LOR {
			e.add(e.replace(n, x), e.replace(n, y))
		}
	case *ast.UnaryExpr:
		if n.Op == token.NOT || n.Op == token.SUB {
			e.add(e.replace(n, e.text(n.X)))
		}
	case *ast.BasicLit:
		e.literal(n)
	case *ast.Ident:
		if other, ok := map[string]string{"true": "false", "false": "true", "min": "max", "max": "min"}[n.Name]; ok {
			e.add(e.replace(n, other))
		}
	case *ast.SelectorExpr: // the name behind the dot is not an operand
		ast.Inspect(n.X, e.visit)
		return false
	case *ast.KeyValueExpr:
		ast.Inspect(n.Value, e.visit) // a key may be the name of a field
		return false
	case *ast.CompositeLit:
		for _, element := range n.Elts {
			if _, ok := element.(*ast.KeyValueExpr); ok {
				e.add(e.without(element))
			}
			ast.Inspect(element, e.visit)
		}
		return false
	case ast.Stmt:
		e.statement(n)
	}
	return true
}

func (e *editor) literal(n *ast.BasicLit) {
	switch n.Kind {
	case token.INT:
		if v, err := strconv.ParseInt(n.Value, 0, 64); err == nil {
			e.add(e.replace(n, strconv.FormatInt(v+1, 10)), e.replace(n, strconv.FormatInt(v-1, 10)))
		}
	case token.CHAR:
		e.add(e.replace(n, "("+n.Value+"+1)"))
	case token.STRING:
		if s, err := strconv.Unquote(n.Value); err == nil && s != "" {
			e.add(e.replace(n, `""`))
		} else {
			e.add(e.replace(n, `"mutant"`))
		}
	}
}

func (e *editor) statement(n ast.Stmt) {
	switch n := n.(type) {
	case *ast.ExprStmt, *ast.DeferStmt, *ast.GoStmt, *ast.SendStmt:
		e.add(e.replace(n, ""))
	case *ast.AssignStmt:
		if n.Tok == token.DEFINE {
			return
		}
		e.add(e.replace(n, ""))
		for _, op := range swaps[n.Tok] {
			at := e.offset(n.TokPos)
			e.add(edit{at, at + len(n.Tok.String()), op.String()})
		}
	case *ast.IncDecStmt:
		other := map[token.Token]string{token.INC: "--", token.DEC: "++"}[n.Tok]
		e.add(e.replace(n, ""), e.replace(n, e.text(n.X)+other))
	case *ast.BranchStmt:
		e.add(e.replace(n, ""))
		if other, ok := map[token.Token]string{token.BREAK: "continue", token.CONTINUE: "break"}[n.Tok]; ok && n.Label == nil {
			e.add(e.replace(n, other))
		}
	case *ast.IfStmt:
		e.condition(n.Cond)
	case *ast.ForStmt:
		if n.Cond != nil {
			e.add(e.replace(n.Cond, "false"))
		}
	case *ast.RangeStmt:
		at := e.offset(n.Body.Lbrace)
		e.add(edit{at, at + 1, "{ break;"})
	case *ast.SwitchStmt:
		for _, clause := range n.Body.List {
			clause := clause.(*ast.CaseClause)
			e.add(e.replace(clause, ""))
			for _, x := range clause.List {
				if len(clause.List) > 1 {
					e.add(e.without(x))
				}
				if n.Tag == nil {
					e.add(e.replace(x, "true"))
				}
			}
		}
	case *ast.TypeSwitchStmt:
		for _, clause := range n.Body.List {
			e.add(e.replace(clause, ""))
		}
	case *ast.SelectStmt:
		for _, clause := range n.Body.List {
			e.add(e.replace(clause, ""))
		}
	case *ast.ReturnStmt:
		e.returned(n)
	}
}

// condition makes cond always and never hold. A comparison is negated in its own
// place; anything else here.
func (e *editor) condition(cond ast.Expr) {
	e.add(e.replace(cond, "true"), e.replace(cond, "false"))
	if b, ok := cond.(*ast.BinaryExpr); !ok || b.Op == token.LAND || b.Op == token.LOR {
		e.add(e.replace(cond, "!("+e.text(cond)+")"))
	}
}

// without removes an element of a list and the comma at one side of it.
func (e *editor) without(n ast.Node) edit {
	start, end := e.span(n)
	if rest := strings.TrimLeft(e.src[end:], " \t"); strings.HasPrefix(rest, ",") {
		return edit{start, len(e.src) - len(rest) + 1, ""}
	}
	if before := strings.TrimRight(e.src[:start], " \t\n"); strings.HasSuffix(before, ",") {
		return edit{len(before) - 1, end, ""}
	}
	return edit{start, end, ""}
}

// returned puts the zero value in place of each value that is returned, and both
// truth values in place of a boolean.
func (e *editor) returned(n *ast.ReturnStmt) {
	var types []ast.Expr
	if e.results != nil {
		for _, field := range e.results.List {
			for range max(len(field.Names), 1) {
				types = append(types, field.Type)
			}
		}
	}
	if len(types) != len(n.Results) {
		return // none, or those of a call
	}
	for i, x := range n.Results {
		if c, ok := x.(*ast.CompositeLit); ok && len(c.Elts) == 0 {
			continue // it is the zero value
		}
		for _, value := range e.zeros(types[i]) {
			e.add(e.replace(x, value))
		}
	}
}

func (e *editor) zeros(typ ast.Expr) []string {
	switch t := typ.(type) {
	case *ast.StarExpr, *ast.MapType, *ast.FuncType, *ast.InterfaceType, *ast.ChanType:
		return []string{"nil"}
	case *ast.ArrayType:
		if t.Len == nil {
			return []string{"nil"}
		}
	case *ast.Ident:
		switch t.Name {
		case "bool":
			return []string{"true", "false"}
		case "string":
			return []string{`""`}
		case "error", "any":
			return []string{"nil"}
		case "int", "int8", "int16", "int32", "int64", "uint", "uint8", "uint16", "uint32", "uint64", "byte", "rune":
			return []string{"0"}
		}
	}
	return []string{"*new(" + e.text(typ) + ")"}
}
