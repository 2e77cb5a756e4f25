package websocket

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestListElements(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		lines []string
		want  []string
	}{
		{"no line", nil, nil},
		{"empty line", []string{""}, nil},
		{"one", []string{"chat"}, []string{"chat"}},
		{"several", []string{"chat,superchat"}, []string{"chat", "superchat"}},
		{"blanks", []string{" chat \t, superchat "}, []string{"chat", "superchat"}},
		{"empty elements", []string{",chat,, ,superchat,"}, []string{"chat", "superchat"}},
		{"several lines", []string{"a, b", "c"}, []string{"a", "b", "c"}},
		{"case stays", []string{"Chat,CHAT"}, []string{"Chat", "CHAT"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, listElements(tt.lines))
		})
	}
}

// extensionCases are shared by the table test and the fuzz target's seeds.
var extensionCases = []struct {
	name  string
	lines []string
	want  []extension
	fails bool
}{
	{name: "no line"},
	{name: "empty line", lines: []string{""}},
	{name: "only commas", lines: []string{" ,,\t, "}},
	{name: "bare", lines: []string{"foo"}, want: []extension{{name: "foo"}}},
	{
		name:  "parameters",
		lines: []string{"foo; bar; baz=2"},
		want:  []extension{{"foo", []extensionParam{{"bar", ""}, {"baz", "2"}}}},
	},
	{
		name:  "blanks everywhere",
		lines: []string{" foo\t;  bar = 1 ;baz ,  qux "},
		want:  []extension{{"foo", []extensionParam{{"bar", "1"}, {"baz", ""}}}, {name: "qux"}},
	},
	{
		name:  "quoted value",
		lines: []string{`foo; bar="10"; baz`},
		want:  []extension{{"foo", []extensionParam{{"bar", "10"}, {"baz", ""}}}},
	},
	{
		name:  "quoted value with escapes",
		lines: []string{`foo; bar="\1\0"`},
		want:  []extension{{"foo", []extensionParam{{"bar", "10"}}}},
	},
	{
		name:  "several offers in several lines",
		lines: []string{"permessage-deflate; client_max_window_bits, permessage-deflate", "x-webkit-deflate-frame"},
		want: []extension{
			{"permessage-deflate", []extensionParam{{"client_max_window_bits", ""}}},
			{name: "permessage-deflate"},
			{name: "x-webkit-deflate-frame"},
		},
	},
	{
		name:  "a parameter twice is kept twice",
		lines: []string{"foo; bar=1; bar=2"},
		want:  []extension{{"foo", []extensionParam{{"bar", "1"}, {"bar", "2"}}}},
	},
	{name: "empty elements between", lines: []string{"foo,, ,\tbar; baz , ,"}, want: []extension{{name: "foo"}, {"bar", []extensionParam{{"baz", ""}}}}},
	{
		name:  "names that are special elsewhere",
		lines: []string{"__proto__; constructor=1"},
		want:  []extension{{"__proto__", []extensionParam{{"constructor", "1"}}}},
	},
	{name: "no name", lines: []string{"; bar"}, fails: true},
	{name: "no parameter", lines: []string{"foo;"}, fails: true},
	{name: "no parameter before the next", lines: []string{"foo;; bar"}, fails: true},
	{name: "no value", lines: []string{"foo; bar="}, fails: true},
	{name: "empty quoted value", lines: []string{`foo; bar=""`}, fails: true},
	{name: "unclosed quote", lines: []string{`foo; bar="1`}, fails: true},
	{name: "unclosed escape", lines: []string{`foo; bar="1\`}, fails: true},
	{name: "quoted value that is no token", lines: []string{`foo; bar="1, 2"`}, fails: true},
	{name: "junk behind a value", lines: []string{"foo; bar=1 2"}, fails: true},
	{name: "two names", lines: []string{"foo bar"}, fails: true},
	{name: "not ASCII", lines: []string{"foö"}, fails: true},
	{name: "second line malformed", lines: []string{"foo", "="}, fails: true},
	{name: "unclosed quote full of backslashes", lines: []string{`foo; bar="` + strings.Repeat(`\`, 60<<10)}, fails: true},
	{name: "60 KiB of blanks", lines: []string{"foo" + strings.Repeat(" ", 60<<10) + "bar"}, fails: true},
	{name: "60 KiB of blanks between parts", lines: []string{"foo" + strings.Repeat(" ", 60<<10) + ";bar"}, want: []extension{{"foo", []extensionParam{{"bar", ""}}}}},
}

func TestParseExtensions(t *testing.T) {
	t.Parallel()
	for _, tt := range extensionCases {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := parseExtensions(tt.lines)
			if tt.fails {
				require.EqualError(t, err, "websocket: malformed Sec-WebSocket-Extensions header")
				require.Nil(t, got)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.want, got)
		})
	}
}

func formatExtensions(extensions []extension) string {
	var b strings.Builder
	for i, ext := range extensions {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(ext.name)
		for _, param := range ext.params {
			b.WriteString("; " + param.name)
			if param.value != "" {
				b.WriteString(`="` + param.value + `"`)
			}
		}
	}
	return b.String()
}

// What was parsed, written out again, parses to the same.
func FuzzExtensionHeader(f *testing.F) {
	for _, tt := range extensionCases {
		f.Add(strings.Join(tt.lines, "\n"))
	}
	f.Fuzz(func(t *testing.T, field string) {
		got, err := parseExtensions(strings.Split(field, "\n"))
		if err != nil {
			require.Nil(t, got)
			return
		}
		again, err := parseExtensions([]string{formatExtensions(got)})
		require.NoError(t, err)
		require.Equal(t, got, again)
	})
}

func TestIsToken(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{
		"chat": true, "v1.soap": true, "a!#$%&'*+-.^_`|~1": true,
		"": false, "a b": false, "a,b": false, "a\"": false, "ä": false, "a\r\n": false,
	} {
		require.Equal(t, want, isToken(s), "%q", s)
	}
}

// The grammar is judged alike, and without garbage, where nobody wants the extensions.
func TestScanExtensionsSyntaxAlone(t *testing.T) {
	t.Parallel()
	for _, tt := range extensionCases {
		extensions, err := scanExtensions(tt.lines, false)
		require.Equal(t, tt.fails, err != nil, tt.name)
		require.Empty(t, extensions, tt.name)
	}
}

// Of a great many extensions and parameters the first are kept, and the syntax of all is judged.
func TestParseExtensionsKeepsFew(t *testing.T) {
	t.Parallel()
	many := strings.Repeat("foo"+strings.Repeat("; bar", 1000)+", ", 1000)
	got, err := parseExtensions([]string{many})
	require.NoError(t, err)
	require.Len(t, got, 64)
	for _, ext := range got {
		require.Equal(t, extension{"foo", slices.Repeat([]extensionParam{{"bar", ""}}, 5)}, ext)
	}
	_, err = parseExtensions([]string{many + "="})
	require.ErrorIs(t, err, errExtensionSyntax)
	_, err = parseDeflateParams(got[0].params)
	require.Error(t, err)
}

func TestScanExtensionsAllocations(t *testing.T) {
	lines := []string{"permessage-deflate; client_max_window_bits; server_max_window_bits=10, foo; bar"}
	require.Zero(t, testing.AllocsPerRun(100, func() { _, _ = scanExtensions(lines, false) }))
}
