// Package xor holds the masking kernels of RFC 6455, section 5.3.
package xor

import (
	"encoding/binary"
	"math/bits"
)

// Mask applies the masking key to b in place. pos is the offset of b[0] in the
// masked payload, of which only the two low bits matter. It returns the
// position in the key at which the next byte of the payload continues.
func Mask(key [4]byte, pos int, b []byte) int {
	next := (pos + len(b)) & 3
	word := rotate(key, pos)
	for len(b) >= 32 {
		// The length is spelled out so that the compiler drops the bounds checks.
		v := b[:32:32]
		binary.LittleEndian.PutUint64(v[0:], binary.LittleEndian.Uint64(v[0:])^word)
		binary.LittleEndian.PutUint64(v[8:], binary.LittleEndian.Uint64(v[8:])^word)
		binary.LittleEndian.PutUint64(v[16:], binary.LittleEndian.Uint64(v[16:])^word)
		binary.LittleEndian.PutUint64(v[24:], binary.LittleEndian.Uint64(v[24:])^word)
		b = b[32:]
	}
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^word)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= byte(word >> (8 * (i & 7)))
	}
	return next
}

// Copy writes src, masked, to dst[:len(src)] and leaves src as it was. pos and
// the result are those of Mask. dst and src must not overlap.
func Copy(dst, src []byte, key [4]byte, pos int) int {
	next := (pos + len(src)) & 3
	word := rotate(key, pos)
	dst = dst[:len(src)]
	for len(src) >= 8 {
		binary.LittleEndian.PutUint64(dst, binary.LittleEndian.Uint64(src)^word)
		dst, src = dst[8:], src[8:]
	}
	for i := range src {
		dst[i] = src[i] ^ byte(word>>(8*(i&7)))
	}
	return next
}

// rotate returns the key twice over, beginning at pos, as the little-endian
// word that eight consecutive bytes of the payload are combined with.
func rotate(key [4]byte, pos int) uint64 {
	k := bits.RotateLeft32(binary.LittleEndian.Uint32(key[:]), -8*(pos&3))
	return uint64(k)<<32 | uint64(k)
}
