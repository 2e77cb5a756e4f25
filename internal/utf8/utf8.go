// Package utf8 validates UTF-8 that arrives piece by piece, and takes a masking
// key off on the way.
//
// Pieces that are not short go to assembler kernels where the machine has them
// (AVX2 on amd64, NEON on arm64) and to their twin in Go elsewhere, and
// everywhere with the build tag purego.
package utf8

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/duplexkit/websocket/internal/xor"
)

// Validator checks a text that arrives in pieces, cut anywhere, and tells of
// the first byte that no continuation could make valid. The zero value is at
// the beginning of a text.
type Validator struct {
	tail [utf8.UTFMax]byte // an encoding that has begun in earlier pieces
	n    int               // bytes in tail
}

// kernelSize is the length in bytes from which on there are kernels. They are
// faster than their twin even there (BenchmarkUnmask).
const kernelSize = 36

// nonASCII are the bits that no ASCII has, in eight bytes.
const nonASCII = 0x8080808080808080

// Write checks the next piece. It reports false as soon as the text can no
// longer become valid; the Validator is of no use after that until Reset.
func (v *Validator) Write(p []byte) bool {
	if v.n > 0 {
		head := min(v.missing(), len(p))
		if !v.finish(p[:head]) {
			return false
		}
		p = p[head:]
	}
	if haveKernel && len(p) >= kernelSize {
		return validKernel(&p[0], len(p)) && v.keep(p)
	}
	return ascii(p) || v.plain(p)
}

// Unmask takes the masking key off the next piece in place and checks it, in one
// pass. pos and next are those of xor.Mask, ok is what Write would report. p is
// unmasked as a whole in either case.
func (v *Validator) Unmask(key [4]byte, pos int, p []byte) (next int, ok bool) {
	next, ok = (pos+len(p))&3, true
	if v.n > 0 {
		head := min(v.missing(), len(p))
		pos = xor.Mask(key, pos, p[:head])
		ok = v.finish(p[:head])
		p = p[head:]
	}
	switch {
	case haveKernel && len(p) >= kernelSize:
		ok = unmaskKernel(&p[0], len(p), xor.Rotate(key, pos)) && ok && v.keep(p)
	case len(p) <= xor.MaxShort:
		all := xor.Short(key, pos, p)
		ok = ok && (all&nonASCII == 0 || v.plain(p))
	default:
		xor.Mask(key, pos, p)
		ok = ok && v.plain(p)
	}
	return next, ok
}

// Done reports whether the text may end here: no encoding is unfinished.
func (v *Validator) Done() bool { return v.n == 0 }

// Reset makes v ready for the next text.
func (v *Validator) Reset() { v.n = 0 }

// missing returns how many bytes the encoding in tail still needs.
func (v *Validator) missing() int {
	switch b := v.tail[0]; {
	case b >= 0xf0:
		return 4 - v.n
	case b >= 0xe0:
		return 3 - v.n
	default:
		return 2 - v.n
	}
}

// finish adds p to the encoding in tail, which misses at least as much.
func (v *Validator) finish(p []byte) bool {
	for _, b := range p {
		v.tail[v.n] = b
		v.n++
		// FullRune is true of a complete encoding and of one that is wrong already.
		if utf8.FullRune(v.tail[:v.n]) {
			if !utf8.Valid(v.tail[:v.n]) {
				return false
			}
			v.n = 0
		}
	}
	return true
}

// plain is the twin of the kernels: it checks p, which begins with a character
// unless it is empty.
func (v *Validator) plain(p []byte) bool {
	if len(p) < kernelSize && utf8.Valid(p) {
		return true // few end within an encoding, and to look there takes time
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

// ascii reports whether p is short and ASCII.
func ascii(p []byte) bool {
	n := len(p)
	if n < 8 || n >= kernelSize {
		return n == 0
	}
	all := binary.LittleEndian.Uint64(p[n-8:])
	for ; len(p) > 8; p = p[8:] {
		all |= binary.LittleEndian.Uint64(p)
	}
	return all&nonASCII == 0
}

// keep keeps the encoding that p ends within, if it does, after a kernel has found
// no fault in p. The last byte the kernel has left to us.
func (v *Validator) keep(p []byte) bool {
	open := unfinished(p)
	v.n = copy(v.tail[:], p[len(p)-open:])
	return open > 0 || p[len(p)-1] < 0xc0 // otherwise one that is in no encoding, such as 0xff
}

// unfinished returns how many bytes at the end of p are the beginning of an
// encoding that may still be completed: 0 to 3.
func unfinished(p []byte) int {
	if len(p) == 0 || p[len(p)-1] < utf8.RuneSelf {
		return 0
	}
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
