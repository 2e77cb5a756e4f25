package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// mutantsOf returns the mutants of a file with these declarations, as the lines of a
// report would have them.
func mutantsOf(t *testing.T, decls string, leftOut ...string) (ms []*mutant, lines []string) {
	t.Helper()
	f, err := parseFile("rules.go", "package p\n"+decls)
	require.NoError(t, err)
	ms, err = f.mutants(leftOut)
	require.NoError(t, err)
	for _, m := range ms {
		lines = append(lines, m.old+" => "+m.shownNew())
	}
	return ms, lines
}

func TestMutants(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		decls string
		want  []string
	}{
		{"comparison", "func f(a, b int) bool { return a < b }", []string{
			"a < b => true", "a < b => false", "a < b => a <= b", "a < b => a >= b",
		}},
		{"equality", "func f(a, b int) { for a == b {} }", []string{"a == b => false", "a == b => a != b"}},
		{"logic", "func f(a, b bool) { for a && !b {} }", []string{
			"a && !b => false", "a && !b => a || !b", "a && !b => a", "a && !b => !b", "!b => b",
		}},
		{"arithmetic and bits", "func f(a int) int { return a<<a&a - a }", []string{
			"a<<a&a - a => 0", "a<<a&a - a => a<<a&a + a", "a<<a&a => a<<a | a", "a<<a => a >> a",
		}},
		{"numbers", "func f() (int, rune) { return 0x10, 'a' }", []string{
			"0x10 => 0", "0x10 => 17", "0x10 => 15", "'a' => 0", "'a' => ('a'+1)",
		}},
		{"strings", `func f() (s string) { s = ""; s += "x"; return }`, []string{
			`s = "" => nothing`, `"" => "mutant"`, `s += "x" => nothing`, `+= => -=`, `"x" => ""`,
		}},
		{"conditions", "func f(a, b bool) { if a {} else if a == b {} }", []string{
			"a => true", "a => false", "a => !(a)", "a == b => true", "a == b => false", "a == b => a != b",
		}},
		{"statements", "func f(a *int) { defer g(); g(); *a++; b := *a; _ = b }", []string{
			"defer g() => nothing", "g() => nothing", "*a++ => nothing", "*a++ => *a--", "_ = b => nothing",
		}},
		{"loops", "func f(as []int) { for range as { continue }; for { break } }", []string{
			"{ => { break;", "continue => nothing", "continue => break", "break => nothing", "break => continue",
		}},
		{"cases", "func f(a, b int) { switch a { case a, b: default: } }", []string{
			"case a, b: => nothing", "a, => nothing", ", b => nothing", "default: => nothing",
		}},
		{"conditions of cases", "func f(a, b bool) { switch { case a == b: } }", []string{
			"case a == b: => nothing", "a == b => true", "a == b => a != b",
		}},
		{"returned values", "func f(p *T, e error, s []int, t T, m [2]int) (*T, error, []int, T, [2]int, string) { return p, e, s, t, m, s2 }", []string{
			"p => nil", "e => nil", "s => nil", "t => *new(T)", "m => *new([2]int)", `s2 => ""`,
		}},
		{"zero values are no change", `func f() (T, bool, string, error) { return T{}, false, "", nil }`, []string{`false => true`, `"" => "mutant"`}},
		{"values of a call", "func f() (int, error) { return g() }", nil},
		{"function literals have results of their own", "func f() int { return g(func() bool { return h() }) }", []string{
			"g(func() bool { return h() }) => 0", "h() => true", "h() => false",
		}},
		{"composite literals", "func f() { g(T{a: true, min: 1}) }", []string{
			"g(T{a: true, min: 1}) => nothing", "a: true, => nothing", "true => false", ", min: 1 => nothing", "1 => 2", "1 => 0",
		}},
		{"min and max", "func f(a, b int) int { return min(a, b) }", []string{"min(a, b) => 0", "min => max"}},
		{"a field is no operand", "func f(a T) { g(a.max, a.true) }", []string{"g(a.max, a.true) => nothing"}},
		{"constants and variables", "const c = 3\nvar v = g(\"x\")\nvar w int\ntype T int", []string{"3 => 4", "3 => 2", `"x" => ""`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, got := mutantsOf(t, tc.decls)
			require.ElementsMatch(t, tc.want, got)
		})
	}
}

func TestMutantsAreToldApart(t *testing.T) {
	t.Parallel()
	ms, _ := mutantsOf(t, "\nfunc (t *T) f() { g(1, 1) }\nfunc (T) out() { g(1) }\nvar out2 = 1", "T.out", "out2")
	var keys []string
	for _, m := range ms {
		require.Equal(t, 3, m.line)
		keys = append(keys, m.key())
	}
	require.Equal(t, []string{
		"rules.go T.f: g(1, 1) => nothing",
		"rules.go T.f: 1 => 2", "rules.go T.f: 1 => 0", "rules.go T.f: 1 => 2 #2", "rules.go T.f: 1 => 0 #2",
	}, keys)
}

func TestMutantsRefuse(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ decls, leftOut, says string }{
		{"func f[T any](a T) {}", "", "rules.go: f: generic functions are not supported"},
		{"func f(int) {}", "", "rules.go: f: a parameter has no name"},
		{"func (T) f() {}", "", "rules.go: T.f: a parameter has no name"},
		{"func f(_ int) {}", "", "rules.go: f: a parameter has no name"},
		{"func f() {}", "g", "rules.go has no g to leave out"},
	} {
		f, err := parseFile("rules.go", "package p\n"+tc.decls)
		require.NoError(t, err)
		_, err = f.mutants(strings.Fields(tc.leftOut))
		require.EqualError(t, err, tc.says)
	}
}

func TestOneLine(t *testing.T) {
	t.Parallel()
	require.Equal(t, "if a { b }", oneLine("if a {\n\t\tb\n\t}"))
	require.Equal(t, strings.Repeat("é", 100)+"...", oneLine(strings.Repeat("é", 101)))
}
