package websocket

import (
	"errors"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// listElements returns the elements of a comma-separated header field that may
// come in several lines. Empty elements do not count (RFC 9110, section 5.6.1).
func listElements(lines []string) []string {
	var elements []string
	for _, line := range lines {
		for element := range strings.SplitSeq(line, ",") {
			if element = strings.Trim(element, " \t"); element != "" {
				elements = append(elements, element)
			}
		}
	}
	return elements
}

// isToken reports whether s is a token (RFC 9110, section 5.6.2).
func isToken(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return !httpguts.IsTokenRune(r) }) < 0
}

// extension is one element of Sec-WebSocket-Extensions (RFC 6455, section 9.1).
type extension struct {
	name   string
	params []extensionParam
}

// extensionParam is a parameter of an extension. A value is never empty on the
// wire, so "" means that the parameter came bare.
type extensionParam struct{ name, value string }

var errExtensionSyntax = errors.New("websocket: malformed Sec-WebSocket-Extensions header")

// Of a header full of elements or parameters, which would take thirty times its size
// in memory, only so many are kept. Nobody offers as many extensions, and an element
// with as many parameters has one that is unknown or comes twice: permessage-deflate
// has four.
const (
	maxExtensions = 64
	maxParams     = 5
)

// parseExtensions reads the lines of a Sec-WebSocket-Extensions header in one
// pass, which keeps its time linear whatever the lines hold:
//
//	extension-list  = 1#extension
//	extension       = token *( ";" extension-param )
//	extension-param = token [ "=" ( token | quoted-string ) ]
func parseExtensions(lines []string) ([]extension, error) {
	return scanExtensions(lines, true)
}

// scanExtensions is parseExtensions, or judges the syntax alone.
func scanExtensions(lines []string, keep bool) (extensions []extension, err error) {
	for _, line := range lines {
		s := fieldScanner{line: line, keep: keep}
		for s.skipEmptyElements(); !s.done(); s.skipEmptyElements() {
			ext, ok := s.extension()
			if !ok {
				return nil, errExtensionSyntax
			}
			if keep && len(extensions) < maxExtensions {
				extensions = append(extensions, ext)
			}
		}
	}
	return extensions, nil
}

// fieldScanner walks through a header line and never looks back.
type fieldScanner struct {
	line string
	pos  int
	keep bool // the parameters of extensions
}

func (s *fieldScanner) done() bool { return s.pos == len(s.line) }

// skip advances over the bytes in set.
func (s *fieldScanner) skip(set string) {
	for !s.done() && strings.IndexByte(set, s.line[s.pos]) >= 0 {
		s.pos++
	}
}

func (s *fieldScanner) skipBlanks()        { s.skip(" \t") }
func (s *fieldScanner) skipEmptyElements() { s.skip(" \t,") }

// next reports whether c comes next, blanks aside, and advances over it.
func (s *fieldScanner) next(c byte) bool {
	s.skipBlanks()
	if s.done() || s.line[s.pos] != c {
		return false
	}
	s.pos++
	return true
}

// token returns the token that comes next, blanks aside, or "".
func (s *fieldScanner) token() string {
	s.skipBlanks()
	start := s.pos
	for !s.done() && httpguts.IsTokenRune(rune(s.line[s.pos])) {
		s.pos++
	}
	return s.line[start:s.pos]
}

// extension reads one element, up to the comma behind it or the end of the line.
func (s *fieldScanner) extension() (ext extension, ok bool) {
	if ext.name = s.token(); ext.name == "" {
		return ext, false
	}
	for s.next(';') {
		param, ok := s.param()
		if !ok {
			return ext, false
		}
		if s.keep && len(ext.params) < maxParams {
			ext.params = append(ext.params, param)
		}
	}
	return ext, s.next(',') || s.done()
}

func (s *fieldScanner) param() (param extensionParam, ok bool) {
	if param.name = s.token(); param.name == "" {
		return param, false
	}
	if !s.next('=') {
		return param, true
	}
	if s.next('"') {
		param.value, ok = s.quoted()
		return param, ok
	}
	param.value = s.token()
	return param, param.value != ""
}

// quoted reads the rest of a quoted string. "When using the quoted-string syntax
// variant, the value after quoted-string unescaping MUST conform to the 'token'
// ABNF" (RFC 6455, section 9.1).
func (s *fieldScanner) quoted() (value string, ok bool) {
	var unescaped strings.Builder
	for !s.done() && s.line[s.pos] != '"' {
		if s.line[s.pos] == '\\' {
			s.pos++
		}
		if s.done() || !httpguts.IsTokenRune(rune(s.line[s.pos])) {
			return "", false
		}
		unescaped.WriteByte(s.line[s.pos])
		s.pos++
	}
	return unescaped.String(), s.next('"') && unescaped.Len() > 0
}
