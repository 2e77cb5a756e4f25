package deflate

import (
	"math/bits"
	"sync"
)

// This file holds the code tables: what the next bits of the payload mean.
//
// The next bits, as many as a table has bits, are the index of an entry. A code
// that is shorter fills all places that begin with it. A code that is longer
// finds there where its subtable lies, in which the bits that follow are the
// index. A table is no larger than its longest code asks for: those of small
// messages have short codes, and would take longer to build than to use.

// An inflateEntry says what a code stands for.
//
//	bits 0-5    how many bits it takes, extra bits included
//	bits 8-11   how many of these are the code; of a subtable, its index
//	bits 12-15  flags
//	bits 16-30  the value: a literal; the least length or distance, to which the
//	            extra bits are added; where a subtable begins
//	bit 31      it is a literal
type inflateEntry uint32

const (
	entryLiteral  inflateEntry = 1 << 31
	entrySpecial  inflateEntry = 1 << 15 // not a literal and not a part of a match; alone: no code at all
	entrySubtable inflateEntry = 1 << 14 // special: there is more of the code
	entryEnd      inflateEntry = 1 << 13 // special: the end of the block
	entryRepeat   inflateEntry = 1 << 12 // code length 16: the last length again
)

func (e inflateEntry) bits() uint     { return uint(e & 63) }
func (e inflateEntry) codeBits() uint { return uint(e >> 8 & 15) }
func (e inflateEntry) value() uint32  { return uint32(e) >> 16 & 0x7fff }
func (e inflateEntry) literal() bool  { return int32(e) < 0 }
func (e inflateEntry) special() bool  { return e&entrySpecial != 0 }
func (e inflateEntry) subtable() bool { return e&entrySubtable != 0 }
func (e inflateEntry) endsBlock() bool {
	return e&entryEnd != 0
}
func (e inflateEntry) repeats() bool { return e&entryRepeat != 0 }

// extra returns the extra bits, where b begins with the code.
func (e inflateEntry) extra(b uint64) uint32 {
	return uint32(b & (1<<e.bits() - 1) >> e.codeBits())
}

const (
	litBits     = 10 // bits of the table for literals and lengths, at most
	distBits    = 8  // bits of the table for distances, at most
	precodeBits = 7  // bits of the table for code lengths: the longest code there is

	// The sizes with all subtables, at worst: those of 286 and of 30 symbols with
	// codes of up to 15 bits.
	litEntries  = 1334
	distEntries = 402
)

// inflateTables are the two codes of a block.
type inflateTables struct {
	litMask, distMask uint64 // which bits are the index
	lit               [litEntries]inflateEntry
	dist              [distEntries]inflateEntry

	// While the header of a dynamic block is read:
	nlit, ndist, nprec int        // how many code lengths it has: literals and lengths, distances, the code for both
	have               int        // how many were read
	lens               [320]uint8 // and these
}

var tablesPool = sync.Pool{New: func() any { return new(inflateTables) }}

func borrowTables() *inflateTables  { return tablesPool.Get().(*inflateTables) }
func returnTables(t *inflateTables) { tablesPool.Put(t) }

// fixedTables returns the codes of RFC 1951, section 3.2.6.
var fixedTables = sync.OnceValue(func() *inflateTables {
	t := new(inflateTables)
	for s := range 288 {
		switch {
		case s < 144:
			t.lens[s] = 8
		case s < 256:
			t.lens[s] = 9
		case s < 280:
			t.lens[s] = 7
		default:
			t.lens[s] = 8
		}
	}
	for s := range 32 {
		t.lens[288+s] = 5
	}
	t.build(288, 32)
	return t
})

// build makes the tables of what the lengths say. It reports whether they are
// those of proper codes.
func (t *inflateTables) build(nlit, ndist int) bool {
	bits, ok := buildTable(t.lit[:], litBits, t.lens[:nlit], litEntryOf[:], true)
	if !ok {
		return false
	}
	t.litMask = 1<<bits - 1
	bits, ok = buildTable(t.dist[:], distBits, t.lens[nlit:nlit+ndist], distEntryOf[:], true)
	t.distMask = 1<<bits - 1
	return ok
}

// buildTable makes the table of the code whose symbols have the given lengths,
// and of which symbol s stands for entries[s]. It has as many bits as the longest
// code, but no more than maxBits. A code must leave no sequence of bits without a
// meaning. If lone is set it may, however, consist of one code of one bit or of
// none at all: "One distance code of zero bits means that there are no distance
// codes used at all" (RFC 1951, section 3.2.7).
func buildTable(table []inflateEntry, maxBits int, lens []uint8, entries []inflateEntry, lone bool) (tableBits int, ok bool) {
	var count [16]int
	for _, l := range lens {
		count[l&15]++
	}
	count[0] = 0
	longest := 15
	for longest > 0 && count[longest] == 0 {
		longest--
	}
	left := 1 // codes of the length at hand that are free
	for l := 1; l <= longest; l++ {
		left = left<<1 - count[l]
		if left < 0 {
			return 0, false
		}
	}
	if left > 0 {
		if !lone || longest > 1 {
			return 0, false
		}
		table[0], table[1] = entrySpecial|1, entrySpecial|1
		for s, l := range lens {
			if l == 1 {
				table[0] = entries[s] + 0x101
			}
		}
		return 1, true
	}

	// The symbols in the order of their codes.
	var (
		next   [16]int
		sorted [288]uint16
	)
	for l := 1; l < 15; l++ {
		next[l+1] = next[l] + count[l]
	}
	for s, l := range lens {
		if l != 0 {
			sorted[next[l&15]] = uint16(s)
			next[l&15]++
		}
	}

	// Codes come with their first bit lowest, so that code is mirrored here. While
	// the codes get longer the table gets larger: what it holds is there twice then,
	// and what it does not hold yet is put there later.
	tableBits = min(maxBits, longest)
	code, k := 0, 0
	for l := 1; l <= tableBits; l++ {
		copy(table[1<<(l-1):1<<l], table[:1<<(l-1)])
		for range count[l] {
			table[code] = entries[sorted[k]] + inflateEntry(l)*0x101
			k++
			code = nextCode(code, l)
		}
	}

	var (
		size    = 1 << tableBits // entries of the table so far
		prefix  = -1             // the beginning of the codes in the subtable at hand
		start   = 0              // where it lies
		subBits = 0
	)
	for l := tableBits + 1; l <= longest; l++ {
		for ; count[l] > 0; count[l]-- {
			if p := code & (1<<tableBits - 1); p != prefix {
				// As large as the longest of the codes that have this beginning.
				subBits = l - tableBits
				for room := count[l]; room < 1<<subBits; {
					subBits++
					room = room<<1 + count[tableBits+subBits]
				}
				prefix, start = p, size
				size += 1 << subBits
				table[p] = entrySpecial | entrySubtable |
					inflateEntry(start)<<16 | inflateEntry(subBits)<<8 | inflateEntry(tableBits)
			}
			e := entries[sorted[k]] + inflateEntry(l-tableBits)*0x101
			k++
			for j := code >> tableBits; j < 1<<subBits; j += 1 << (l - tableBits) {
				table[start+j] = e
			}
			code = nextCode(code, l)
		}
	}
	return tableBits, true
}

// nextCode returns the code after one of n bits, both mirrored. After the last
// of its length it is the first one of the next, and 0 after the last of all.
func nextCode(code, n int) int {
	zeros := ^code & (1<<n - 1)
	if zeros == 0 {
		return 0
	}
	bit := 1 << (bits.Len(uint(zeros)) - 1) // the highest 0 becomes 1, and what is above it 0
	return code&(bit-1) | bit
}

var (
	litEntryOf     = litSymbols()
	distEntryOf    = distSymbols()
	precodeEntries = precodeSymbols()
)

// litSymbols returns the meaning of the literal and length codes (RFC 1951,
// section 3.2.5). Those of 286 and 287 "will never actually occur".
func litSymbols() (e [288]inflateEntry) {
	for s := range endOfBlock {
		e[s] = entryLiteral | inflateEntry(s)<<16
	}
	e[endOfBlock] = entrySpecial | entryEnd
	length := inflateEntry(3)
	for s := 257; s < 285; s++ {
		extra := inflateEntry(max(0, (s-261)/4))
		e[s] = length<<16 | extra
		length += 1 << extra
	}
	e[285] = 258 << 16
	e[286], e[287] = entrySpecial, entrySpecial
	return e
}

// distSymbols returns the meaning of the distance codes. Those of 30 and 31 "will
// never actually occur" (section 3.2.6).
func distSymbols() (e [32]inflateEntry) {
	distance := inflateEntry(1)
	for s := range 30 {
		extra := inflateEntry(max(0, (s-2)/2))
		e[s] = distance<<16 | extra
		distance += 1 << extra
	}
	e[30], e[31] = entrySpecial, entrySpecial
	return e
}

// precodeSymbols returns the meaning of the code length codes (section 3.2.7).
func precodeSymbols() (e [19]inflateEntry) {
	for s := range 16 {
		e[s] = entryLiteral | inflateEntry(s)<<16
	}
	e[16] = entryRepeat | 3<<16 | 2
	e[17] = 3<<16 | 3
	e[18] = 11<<16 | 7
	return e
}
