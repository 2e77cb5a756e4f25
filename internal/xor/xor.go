// Package xor holds the masking kernels of RFC 6455, section 5.3.
//
// Payloads below 32 bytes, the most common, are done with a few words of Go.
// Longer ones go to an assembler kernel where the machine has one (AVX2 on
// amd64, NEON on arm64) and to its twin in Go elsewhere, and everywhere with the
// build tag purego.
package xor

import (
	"encoding/binary"
	"math/bits"
)

// Mask applies the masking key to b in place. pos is the offset of b[0] in the
// masked payload, of which only the two low bits matter. It returns the
// position in the key at which the next byte of the payload continues.
func Mask(key [4]byte, pos int, b []byte) int {
	word := rotate(key, pos)
	switch {
	case len(b) <= MaxShort:
		short(b, b, word)
	case haveKernel:
		kernel(&b[0], &b[0], len(b), uint32(word))
	default:
		plain(b, b, word)
	}
	return (pos + len(b)) & 3
}

// Copy writes src, masked, to dst[:len(src)] and leaves src as it was. pos and
// the result are those of Mask. dst and src must not overlap.
func Copy(dst, src []byte, key [4]byte, pos int) int {
	dst = dst[:len(src)]
	word := rotate(key, pos)
	switch {
	case len(src) <= MaxShort:
		short(dst, src, word)
	case haveKernel:
		kernel(&dst[0], &src[0], len(src), uint32(word))
	default:
		plain(dst, src, word)
	}
	return (pos + len(src)) & 3
}

// Rotate returns the key, beginning at pos, as the little-endian word that four
// consecutive bytes of the payload are combined with.
func Rotate(key [4]byte, pos int) uint32 {
	return bits.RotateLeft32(binary.LittleEndian.Uint32(key[:]), -8*(pos&3))
}

// rotate is Rotate twice over, for eight bytes.
func rotate(key [4]byte, pos int) uint64 {
	k := Rotate(key, pos)
	return uint64(k)<<32 | uint64(k)
}

// plain is the twin of the kernel: dst is src, or apart from it.
func plain(dst, src []byte, word uint64) {
	i := 0
	for ; i <= len(src)-64; i += 64 {
		// Arrays, and all written out, so that the compiler drops the bounds checks.
		s, d := (*[64]byte)(src[i:]), (*[64]byte)(dst[i:])
		binary.LittleEndian.PutUint64(d[0:], binary.LittleEndian.Uint64(s[0:])^word)
		binary.LittleEndian.PutUint64(d[8:], binary.LittleEndian.Uint64(s[8:])^word)
		binary.LittleEndian.PutUint64(d[16:], binary.LittleEndian.Uint64(s[16:])^word)
		binary.LittleEndian.PutUint64(d[24:], binary.LittleEndian.Uint64(s[24:])^word)
		binary.LittleEndian.PutUint64(d[32:], binary.LittleEndian.Uint64(s[32:])^word)
		binary.LittleEndian.PutUint64(d[40:], binary.LittleEndian.Uint64(s[40:])^word)
		binary.LittleEndian.PutUint64(d[48:], binary.LittleEndian.Uint64(s[48:])^word)
		binary.LittleEndian.PutUint64(d[56:], binary.LittleEndian.Uint64(s[56:])^word)
	}
	for ; i <= len(src)-16; i += 16 {
		s, d := (*[16]byte)(src[i:]), (*[16]byte)(dst[i:])
		binary.LittleEndian.PutUint64(d[0:], binary.LittleEndian.Uint64(s[0:])^word)
		binary.LittleEndian.PutUint64(d[8:], binary.LittleEndian.Uint64(s[8:])^word)
	}
	short(dst[i:], src[i:], word)
}

// MaxShort is the length in bytes up to which a payload is short.
const MaxShort = 31

// Short is Mask for a short b, and returns its bytes, masked, in one: all of
// them, eight side by side, combined by OR. That tells whether they are ASCII.
func Short(key [4]byte, pos int, b []byte) (all uint64) { return short(b, b, rotate(key, pos)) }

// short masks at most MaxShort bytes. Instead of ending byte by byte it works
// from both ends towards the middle, where the words may overlap: they are all
// read before the first is written, for dst may be src.
func short(dst, src []byte, word uint64) (all uint64) {
	n := len(src)
	dst = dst[:n]
	last := bits.RotateLeft64(word, -8*n) // for the words that end at n
	switch {
	case n >= 16:
		a, b := binary.LittleEndian.Uint64(src)^word, binary.LittleEndian.Uint64(src[8:])^word
		c, d := binary.LittleEndian.Uint64(src[n-16:])^last, binary.LittleEndian.Uint64(src[n-8:])^last
		binary.LittleEndian.PutUint64(dst, a)
		binary.LittleEndian.PutUint64(dst[8:], b)
		binary.LittleEndian.PutUint64(dst[n-16:], c)
		binary.LittleEndian.PutUint64(dst[n-8:], d)
		return a | b | c | d
	case n >= 8:
		a, b := binary.LittleEndian.Uint64(src)^word, binary.LittleEndian.Uint64(src[n-8:])^last
		binary.LittleEndian.PutUint64(dst, a)
		binary.LittleEndian.PutUint64(dst[n-8:], b)
		return a | b
	case n >= 4:
		a, b := binary.LittleEndian.Uint32(src)^uint32(word), binary.LittleEndian.Uint32(src[n-4:])^uint32(last)
		binary.LittleEndian.PutUint32(dst, a)
		binary.LittleEndian.PutUint32(dst[n-4:], b)
		return uint64(a | b)
	}
	for i, b := range src {
		b ^= byte(word >> (8 * i))
		dst[i] = b
		all |= uint64(b)
	}
	return all
}
