package deflate

import (
	"encoding/binary"
	"math/bits"
)

// A sequence is a run of literals and the match behind it. The last one of a
// block has no match: its length is 0.
type sequence struct {
	literals uint16
	length   uint16
	distance uint16
}

const (
	// The format allows matches of 3 bytes, but three literals of a code made for
	// the message are about as short.
	minMatch = 4
	maxMatch = 258

	// goodMatch is the length of a match that is taken without a look at the next
	// position.
	goodMatch = 32
)

// A finder looks for matches in src. Positions are counted modulo 1<<16 and
// base is that of src[0]. A table tells for each hash where it was seen last,
// and only as a hint: the bytes are always compared and the distance is always
// checked, so that an entry left by a message that was withdrawn, or from before
// the bytes slid away, does no harm.
type finder struct {
	src    []byte
	base   uint16
	window int

	// table holds buckets of four positions in a word, the latest lowest, or of
	// eight in two words if deep.
	table []uint64
	deep  bool
	shift uint // of hash4

	// long serves instead of table if there is much to compress: see fast.
	long *longTable
}

const longBits = 14

type longTable [1 << longBits]uint16

// newFinder returns a finder whose src is still to be set.
func newFinder(table []uint64, deep bool, window int) finder {
	buckets := len(table)
	if deep {
		buckets /= 2
	}
	return finder{window: window, table: table, deep: deep, shift: uint(33 - bits.Len(uint(buckets)))}
}

func load32(p []byte, i int) uint32 { return binary.LittleEndian.Uint32(p[i:]) }
func load64(p []byte, i int) uint64 { return binary.LittleEndian.Uint64(p[i:]) }

func hash4(v uint32, shift uint) uint32 { return v * 0x9e3779b1 >> (shift & 31) }
func hash5(v uint64) uint64             { return v << 24 * 0x9e3779b97f4a7c15 >> (64 - longBits) }

// find appends the sequences that make up src[from:to].
func (f *finder) find(seqs []sequence, from, to int) []sequence {
	if f.long != nil {
		return f.fast(seqs, from, to)
	}
	return f.thorough(seqs, from, to)
}

// prime enters src[from:to], as if it had been compressed. Of much it takes
// samples: a match is found a little later then, and extended backwards.
func (f *finder) prime(from, to int) {
	if f.long == nil {
		f.enter(from, to-minMatch, 1+(to-from)>>11)
		return
	}
	src, table, base := f.src[:to], f.long, f.base
	step := 1 + (to-from)>>13
	for s := from; s <= to-8; s += step {
		table[hash5(load64(src, s))] = base + uint16(s)
	}
}

// enter puts every step-th of the positions from..last into the table.
func (f *finder) enter(from, last, step int) {
	src, table, base, shift := f.src, f.table, f.base, f.shift
	if f.deep {
		for s := from; s <= last; s += step {
			h := 2 * hash4(load32(src, s), shift)
			b := table[h : h+2]
			b[0], b[1] = b[0]<<16|uint64(base+uint16(s)), b[1]<<16|b[0]>>48
		}
		return
	}
	for s := from; s <= last; s += step {
		h := hash4(load32(src, s), shift)
		table[h] = table[h]<<16 | uint64(base+uint16(s))
	}
}

// thorough is the finder for what is small, and for Better. It takes the longest
// match of a bucket, unless one for the next position is longer.
func (f *finder) thorough(seqs []sequence, from, to int) []sequence {
	whole := f.src
	f.src = whole[:to]
	last := to - minMatch
	haste := 5
	if f.deep {
		haste = 7
	}
	emitted := from
	for s := from; s <= last; {
		length, distance := f.longest(s, minMatch-1)
		if distance == 0 {
			s += 1 + (s-emitted)>>haste
			continue
		}
		next := s + 1 // the first position that is not in the table
		for length < goodMatch && s < last {
			n, d := f.longest(s+1, length)
			next = s + 2
			if d == 0 {
				break
			}
			s++
			length, distance = n, d
		}
		for s > emitted && s > distance && f.src[s-1] == f.src[s-distance-1] {
			s--
			length++
		}
		seqs = appendMatch(seqs, s-emitted, length, distance)
		s += length
		emitted = s
		step := 1
		if !f.deep {
			// What was found is there already: of a long match a sample will do, and
			// leaves more of the history in the table.
			step += (s - next) >> 4
		}
		f.enter(next, min(s-1, last), step)
	}
	f.src = whole
	return append(seqs, sequence{literals: uint16(to - emitted)})
}

// longest enters position s and returns the longest match for it that is longer
// than least. Without one, distance is 0.
func (f *finder) longest(s, least int) (length, distance int) {
	src := f.src
	v := load32(src, s)
	h := hash4(v, f.shift)
	pos := f.base + uint16(s)
	if f.deep {
		h *= 2
	}
	candidates := f.table[h]
	f.table[h] = candidates<<16 | uint64(pos)
	older := uint64(0)
	if f.deep {
		older = f.table[h+1]
		f.table[h+1] = older<<16 | candidates>>48
	}
	length = least
	if s+length >= len(src) {
		return length, 0
	}
	// A longer match has these four bytes in its place.
	tail := load32(src, s+length-3)
	reach := uint(min(f.window, s))
	for half := 0; ; half++ {
		for range 4 {
			d := int(pos - uint16(candidates))
			candidates >>= 16
			if uint(d-1) >= reach || load32(src, s+length-3-d) != tail {
				continue
			}
			if n := matchLen(src, s-d, s); n > length {
				length, distance = n, d
				if s+length >= len(src) {
					return length, distance
				}
				tail = load32(src, s+length-3)
			}
		}
		if !f.deep || half > 0 {
			return length, distance
		}
		candidates = older
	}
}

// fast is the finder for Fast where there is much to compress. It takes the
// first match of five bytes that offers itself, and enters two positions of
// three at most.
func (f *finder) fast(seqs []sequence, from, to int) []sequence {
	const (
		least  = 5
		margin = 9 // what two looks at s and s+1 may read
	)
	src, base, window, table := f.src[:to], f.base, f.window, f.long
	s, emitted := from, from
	for s <= to-margin {
		var distance int
		for {
			v := load64(src, s)
			h := hash5(v)
			pos := base + uint16(s)
			distance = int(pos - table[h])
			table[h] = pos
			if uint(distance-1) < uint(min(window, s)) && (load64(src, s-distance)^v)<<24 == 0 {
				break
			}
			s++
			pos++
			v >>= 8
			h = hash5(v)
			distance = int(pos - table[h])
			table[h] = pos
			if uint(distance-1) < uint(min(window, s)) && (load64(src, s-distance)^v)<<24 == 0 {
				break
			}
			// The longer nothing is found, the larger the steps.
			s += 2 + (s-emitted)>>5
			if s > to-margin {
				return append(seqs, sequence{literals: uint16(to - emitted)})
			}
		}
		length := least + matchLen(src, s-distance+least, s+least)
		for s > emitted && s > distance && src[s-1] == src[s-distance-1] {
			s--
			length++
		}
		seqs = appendMatch(seqs, s-emitted, length, distance)
		s += length
		emitted = s
		if s <= to-margin {
			v := load64(src, s-2)
			table[hash5(v)] = base + uint16(s-2)
			table[hash5(v>>8)] = base + uint16(s-1)
		}
	}
	return append(seqs, sequence{literals: uint16(to - emitted)})
}

// appendMatch splits a match that is longer than the format allows.
func appendMatch(seqs []sequence, literals, length, distance int) []sequence {
	for length > maxMatch {
		n := min(maxMatch, length-3) // the rest must not be shorter than a match may be
		seqs = append(seqs, sequence{uint16(literals), uint16(n), uint16(distance)})
		literals = 0
		length -= n
	}
	return append(seqs, sequence{uint16(literals), uint16(length), uint16(distance)})
}

// matchLen returns how many bytes from a on are the same as from b on, which is
// behind a.
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
