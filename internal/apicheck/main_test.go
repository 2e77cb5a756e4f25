package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	// go.mod pins what the check loads.
	_ "github.com/duplexkit/websocket"
	_ "github.com/gorilla/websocket"
)

func TestSurfaceOfGorilla(t *testing.T) {
	old, new, err := load(theirs, ours)
	require.NoError(t, err)
	require.Len(t, exported(old), 41, "an empty package would compare as compatible")
	breaks, _ := compare(old, new)
	require.Empty(t, breaks, strings.Join(breaks, "\n"))
}

func TestLoadTellsWhatIsMissing(t *testing.T) {
	_, _, err := load(theirs, ours+"/nosuchpackage")
	require.Error(t, err)
}

// fixture has one of each kind of declaration that the surface consists of.
const fixture = `package fixture

const CloseNormalClosure = 1000

var ErrCloseSent error
var Default = &Dialer{}

type HandshakeError struct{ message string }

func (e HandshakeError) Error() string { return e.message }

type Unused struct{}

type BufferPool interface {
	Get() interface{}
	Put(interface{})
}

type Dialer struct {
	Subprotocols []string
	Pool         BufferPool
}

func (d *Dialer) Dial(url string) (c *Conn, err error) { return }

type Conn struct{ subprotocol string }

func (c *Conn) Subprotocol() string { return c.subprotocol }

func Subprotocols(c *Conn, keys ...string) []string { return keys }
`

// TestCompare changes one thing in the fixture and expects to hear of it.
func TestCompare(t *testing.T) {
	for _, tc := range []struct {
		name     string
		old, new string // new replaces old in the fixture
		want     string // "" is compatible
	}{
		{"the same under another path", "", "", ""},
		{"any for interface{}", "Get() interface{}", "Get() any", ""},
		{"embedded struct added", "Pool         BufferPool", "Pool BufferPool\n\tOptions\n}\ntype Options struct {\n\tReadLimit int64", ""},
		{"function added", "const Close", "func New() {}\nconst Close", ""},
		{"method added", "type Conn struct", "func (c *Conn) Ping() {}\ntype Conn struct", ""},
		{"unexported field added", "message string", "message, detail string", ""},

		{"constant removed", "const CloseNormalClosure", "const closeNormal", "CloseNormalClosure: removed"},
		{"constant's value", "= 1000", "= 1001", "CloseNormalClosure: value changed from 1000 to 1001"},
		{"constant's type", "CloseNormalClosure =", "CloseNormalClosure int =", "CloseNormalClosure: changed from untyped int to int"},
		{"variable removed", "var ErrCloseSent", "var errCloseSent", "ErrCloseSent: removed"},
		{"variable's type", "&Dialer{}", "Dialer{}", "Default: changed from *Dialer to Dialer"},
		{"function removed", "func Subprotocols", "func subprotocols", "Subprotocols: removed"},
		{"parameter's type", "keys ...string", "keys []string", "Subprotocols: changed"},
		{"result's type", "(c *Conn, err error)", "(c Conn, err error)", "Dialer).Dial: changed"},
		{"type became an alias", "type Conn struct", "type Conn = conn\ntype conn struct", ""},
		{"type removed", "type Unused struct{}", "", "Unused: removed"},
		{"method removed", ") Subprotocol()", ") subprotocol2()", "(*Conn).Subprotocol: removed"},
		{"method moved from value to pointer", "(e HandshakeError)", "(e *HandshakeError)", "HandshakeError.Error: removed"},
		{"method added to an interface", "Get() interface{}", "Get() interface{}\n\tLen() int", "BufferPool.Len: added"},
		{"field removed", "Subprotocols []string", "subprotocols []string", "Dialer.Subprotocols: removed"},
		{"field's type", "Subprotocols []string", "Subprotocols map[string]bool", "Dialer.Subprotocols: changed from []string to map[string]bool"},
		{"comparable type made incomparable", "message string", "message string; details []string", "HandshakeError: old is comparable, new is not"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			require.Contains(t, fixture, tc.old)
			old := check(t, "example.org/old", fixture)
			new := check(t, "example.org/new", strings.Replace(fixture, tc.old, tc.new, 1))
			breaks, _ := compare(old, new)
			if tc.want == "" {
				require.Empty(t, breaks)
				return
			}
			require.Contains(t, strings.Join(breaks, "\n"), tc.want)
		})
	}
}

// check type-checks source, which imports nothing, as the package at path.
func check(t *testing.T, path, source string) *types.Package {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "fixture.go", source, 0)
	require.NoError(t, err)
	p, err := (&types.Config{}).Check(path, fset, []*ast.File{f}, nil)
	require.NoError(t, err)
	return p
}
