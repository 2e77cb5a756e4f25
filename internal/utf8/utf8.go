// Package utf8 validates UTF-8 that arrives piece by piece.
package utf8

import "unicode/utf8"

// Validator checks a text that arrives in pieces, cut anywhere, and tells of
// the first byte that no continuation could make valid. The zero value is at
// the beginning of a text.
type Validator struct {
	tail [utf8.UTFMax]byte // an encoding that has begun in earlier pieces
	n    int               // bytes in tail
}

// Write checks the next piece. It reports false as soon as the text can no
// longer become valid; the Validator is of no use after that until Reset.
func (v *Validator) Write(p []byte) bool {
	for v.n > 0 && len(p) > 0 {
		v.tail[v.n] = p[0]
		v.n++
		p = p[1:]
		// FullRune is true of a complete encoding and of one that is wrong already.
		if utf8.FullRune(v.tail[:v.n]) {
			if !utf8.Valid(v.tail[:v.n]) {
				return false
			}
			v.n = 0
		}
	}
	whole := len(p) - unfinished(p)
	if !utf8.Valid(p[:whole]) {
		return false
	}
	if whole < len(p) {
		v.n = copy(v.tail[:], p[whole:])
	}
	return true
}

// Done reports whether the text may end here: no encoding is unfinished.
func (v *Validator) Done() bool { return v.n == 0 }

// Reset makes v ready for the next text.
func (v *Validator) Reset() { v.n = 0 }

// unfinished returns how many bytes at the end of p are the beginning of an
// encoding that may still be completed: 0 to 3.
func unfinished(p []byte) int {
	for i := 1; i < utf8.UTFMax && i <= len(p); i++ {
		if b := p[len(p)-i]; utf8.RuneStart(b) {
			if utf8.FullRune(p[len(p)-i:]) {
				return 0
			}
			return i
		}
	}
	return 0
}
