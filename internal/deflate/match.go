package deflate

import (
	"encoding/binary"
	"math/bits"
)

const (
	minMatch = 4 // of the 3 that the format allows: a match of 3 rarely pays
	maxMatch = 258
)

// A sequence is a run of literals and the match behind it. The last one of a
// block has none: its length is 0.
type sequence struct {
	literals uint16
	length   uint16
	distance uint16
}

// A finder looks for matches in src. Positions are counted modulo 1<<16 and
// base is that of src[0]. The table holds for each hash where it was seen last,
// as a hint: the bytes are always compared, and the distance always checked, so
// that an entry left over from a message that was withdrawn, or from before the
// bytes slid away, does no harm.
type finder struct {
	src    []byte
	base   uint16
	window int
	table  []uint16 // a power of two of entries
	chain  []uint16 // Better only: the position before with the same hash, by position
}

func load32(p []byte, i int) uint32 { return binary.LittleEndian.Uint32(p[i:]) }
func load64(p []byte, i int) uint64 { return binary.LittleEndian.Uint64(p[i:]) }

func hash4(v uint32, shift uint) uint32 { return v * 0x9e3779b1 >> (shift & 31) }

func (f *finder) shift() uint { return uint(33 - bits.Len(uint(len(f.table)))) }

// prime enters the positions from..to, as if they had been compressed.
func (f *finder) prime(from, to int) {
	shift := f.shift()
	for i := from; i <= to-minMatch; i++ {
		h := hash4(load32(f.src, i), shift)
		pos := f.base + uint16(i)
		if f.chain != nil {
			f.chain[int(pos)&(len(f.chain)-1)] = f.table[h]
		}
		f.table[h] = pos
	}
}

// fast appends the sequences that make up src[from:to], taking the first match
// that offers itself. Where none does, it looks less and less often.
func (f *finder) fast(seqs []sequence, from, to int) []sequence {
	src, table, base, shift := f.src[:to], f.table, f.base, f.shift()
	emitted := from
	for s := from; s <= to-minMatch; {
		v := load32(src, s)
		h := hash4(v, shift)
		pos := base + uint16(s)
		distance := int(pos - table[h])
		table[h] = pos
		if distance == 0 || distance > min(f.window, s) || load32(src, s-distance) != v {
			s += 1 + (s-emitted)>>5
			continue
		}
		for s > emitted && s > distance && src[s-1] == src[s-distance-1] {
			s--
		}
		length := matchLen(src, s-distance, s)
		seqs = appendMatch(seqs, s-emitted, length, distance)
		end := s + length
		for s++; s < end && s <= to-minMatch; s++ {
			table[hash4(load32(src, s), shift)] = base + uint16(s)
		}
		s, emitted = end, end
	}
	return append(seqs, sequence{literals: uint16(to - emitted)})
}

// appendMatch splits a match that is longer than the format allows.
func appendMatch(seqs []sequence, literals, length, distance int) []sequence {
	for length > maxMatch {
		n := min(maxMatch, length-3) // leaves no rest shorter than a match may be
		seqs = append(seqs, sequence{uint16(literals), uint16(n), uint16(distance)})
		literals = 0
		length -= n
	}
	return append(seqs, sequence{uint16(literals), uint16(length), uint16(distance)})
}

// matchLen returns how many bytes from a are those from b, which is behind it.
func matchLen(src []byte, a, b int) int {
	start := b
	for b+8 <= len(src) {
		if x := load64(src, a) ^ load64(src, b); x != 0 {
			return b + bits.TrailingZeros64(x)>>3 - start
		}
		a += 8
		b += 8
	}
	for b < len(src) && src[a] == src[b] {
		a++
		b++
	}
	return b - start
}

const (
	chainDepth = 4  // candidates that better looks at
	goodLength = 32 // of a match that better takes without looking at the next position
)

// better appends the sequences that make up src[from:to]. It takes the longest
// of a few candidates, unless the next position has a longer one.
func (f *finder) better(seqs []sequence, from, to int) []sequence {
	f.src = f.src[:to]
	emitted := from
	for s := from; s <= to-minMatch; {
		length, distance := f.longest(s, minMatch-1)
		if length < minMatch {
			s += 1 + (s-emitted)>>7
			continue
		}
		entered := s + 1
		for length < goodLength && s+1 <= to-minMatch {
			l, d := f.longest(s+1, length)
			entered = s + 2
			if l <= length {
				break
			}
			s, length, distance = s+1, l, d
		}
		seqs = appendMatch(seqs, s-emitted, length, distance)
		end := s + length
		f.prime(entered, min(end+minMatch-1, to))
		s, emitted = end, end
	}
	return append(seqs, sequence{literals: uint16(to - emitted)})
}

// longest enters position s and returns the longest match for it that is longer
// than least, or least and no distance.
func (f *finder) longest(s, least int) (length, distance int) {
	src, chain := f.src, f.chain
	v := load32(src, s)
	h := hash4(v, f.shift())
	pos := f.base + uint16(s)
	candidate := f.table[h]
	f.table[h] = pos
	chain[int(pos)&(len(chain)-1)] = candidate
	length = least
	reach := min(f.window, s)
	last := 0
	for range chainDepth {
		d := int(pos - candidate)
		if d <= last || d > reach { // a link of an older time may lead anywhere
			break
		}
		last = d
		if s+length >= len(src) {
			break
		}
		if src[s-d+length] == src[s+length] && load32(src, s-d) == v {
			if l := matchLen(src, s-d, s); l > length {
				length, distance = l, d
			}
		}
		candidate = chain[int(candidate)&(len(chain)-1)]
	}
	return length, distance
}
