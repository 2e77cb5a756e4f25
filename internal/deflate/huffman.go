package deflate

import "math/bits"

// A bitCode is what stands for a symbol in the stream: the bits, first one
// lowest, above a byte that says how many.
type bitCode uint32

func makeBitCode(code uint32, n uint) bitCode { return bitCode(code<<8 | uint32(n)) }

func (c bitCode) len() uint    { return uint(c & 0xff) }
func (c bitCode) bits() uint64 { return uint64(c >> 8) }

const (
	literalCodes  = 286 // 0 to 255 are bytes, 256 ends the block, the others begin a match
	distanceCodes = 30
	endOfBlock    = 256

	// maxLiteralBits is one less than RFC 1951 allows, so that four literals and
	// the seven bits of an unfinished byte fit a word.
	maxLiteralBits  = 14
	maxDistanceBits = 15
	maxLengthBits   = 7 // of the code that the code lengths are written in
)

// A huffman builds codes. It is scratch: nothing in it outlives a call.
type huffman struct {
	keys, spare [literalCodes]uint32 // frequency and, below it, symbol
	nodes       [literalCodes]uint32
}

// build makes codes[:len(freq)] the best code for symbols of these frequencies
// in which no symbol has more than limit bits. Frequencies are below 1<<16. A
// lone symbol gets one bit; the bits of those that do not occur are zero.
func (h *huffman) build(codes []bitCode, freq []uint32, limit int) {
	n, largest := 0, uint32(0)
	for sym, f := range freq {
		codes[sym] = 0
		if f != 0 {
			h.keys[n] = f<<16 | uint32(sym)
			n++
			largest = max(largest, f)
		}
	}
	if n <= 1 {
		if n == 1 {
			codes[h.keys[0]&0xffff] = makeBitCode(0, 1)
		}
		return
	}
	keys := h.sort(n, largest)
	var count [33]int // symbols by code length
	h.depths(keys, &count)
	shorten(&count, limit)

	// The rarest symbols get the longest codes. Codes are then numbered by
	// length and symbol (RFC 1951, section 3.2.2).
	k := 0
	for length := limit; length > 0; length-- {
		for range count[length] {
			codes[keys[k]&0xffff] = bitCode(length)
			k++
		}
	}
	var next [maxDistanceBits + 2]uint32
	code := uint32(0)
	for length := 1; length <= limit; length++ {
		code = (code + uint32(count[length-1])) << 1
		next[length] = code
	}
	for sym, c := range codes[:len(freq)] {
		if c != 0 {
			codes[sym] = makeBitCode(uint32(bits.Reverse16(uint16(next[c])))>>(16-c), uint(c))
			next[c]++
		}
	}
}

// sort orders the first n keys by frequency and then by symbol: a few by
// insertion, more in one or two rounds of counting, for which they stand in the
// order of symbols already.
func (h *huffman) sort(n int, largest uint32) []uint32 {
	if n <= 24 {
		keys := h.keys[:n]
		for i, key := range keys {
			for ; i > 0 && keys[i-1] > key; i-- {
				keys[i] = keys[i-1]
			}
			keys[i] = key
		}
		return keys
	}
	from, to := h.keys[:n], h.spare[:n]
	for shift := 16; ; shift += 8 {
		var place [256]uint16
		for _, key := range from {
			place[byte(key>>shift)]++
		}
		sum := uint16(0)
		for i, c := range place {
			place[i] = sum
			sum += c
		}
		for _, key := range from {
			b := byte(key >> shift)
			to[place[b]] = key
			place[b]++
		}
		from, to = to, from
		if largest >>= 8; largest == 0 {
			return from
		}
	}
}

// depths counts how many leaves of the Huffman tree over keys lie at each
// depth, by the method of Moffat and Katajainen: in place, the inner nodes
// growing behind the leaves that they use up.
func (h *huffman) depths(keys []uint32, count *[33]int) {
	n := len(keys)
	nodes := h.nodes[:n]
	// Inner node i weighs the two lightest of the leaves and inner nodes that
	// have no parent yet; once it has one, nodes[i] becomes the parent's index.
	leaf, inner := 0, 0
	for next := range n - 1 {
		weight := uint32(0)
		for range 2 {
			if leaf < n && (inner >= next || keys[leaf]>>16 <= nodes[inner]) {
				weight += keys[leaf] >> 16
				leaf++
			} else {
				weight += nodes[inner]
				nodes[inner] = uint32(next)
				inner++
			}
		}
		nodes[next] = weight
	}
	// Every parent stands behind its children, so one pass from the root turns
	// parents into depths. What a level offers and inner nodes do not take are
	// leaves.
	nodes[n-2] = 0
	for i := n - 3; i >= 0; i-- {
		nodes[i] = nodes[nodes[i]] + 1
	}
	offered, i := 1, n-2
	for depth := uint32(0); offered > 0; depth++ {
		used := 0
		for i >= 0 && nodes[i] == depth {
			used++
			i--
		}
		count[min(depth, 32)] += offered - used
		offered = 2 * used
	}
}

// shorten moves symbols so that none has more than limit bits and the code
// stays complete.
func shorten(count *[33]int, limit int) {
	space := 0
	for length := len(count) - 1; length > limit; length-- {
		count[limit] += count[length]
		count[length] = 0
	}
	for length := 1; length <= limit; length++ {
		space += count[length] << (limit - length)
	}
	// One symbol at the limit at a time finds its place beside a shorter one,
	// which becomes longer by a bit.
	for ; space > 1<<limit; space-- {
		length := limit - 1
		for count[length] == 0 {
			length--
		}
		count[limit]--
		count[length]--
		count[length+1] += 2
	}
}
