package deflate

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// The values of BTYPE (RFC 1951, section 3.2.3). BFINAL is always 0: in
// permessage-deflate the stream goes on after a message (RFC 7692, section
// 7.2.1).
const (
	typeStored  = 0
	typeFixed   = 1
	typeDynamic = 2
)

const (
	blockHeaderBits = 3
)

// lengthCode maps the length of a match less 3 to its code less 257,
// lengthExtra the code to the number of extra bits.
var lengthCode, lengthExtra = func() (code [256]uint8, extra [29]uint8) {
	for i := range code {
		n := bits.Len(uint(i)|7) - 3
		code[i] = uint8(4*n + i>>n)
		extra[code[i]] = uint8(n)
	}
	code[255], extra[28] = 28, 0 // 258 has a code to itself
	return code, extra
}()

// distanceCode returns the code of a distance and how many of the low bits of
// distance-1 follow it.
func distanceCode(distance uint16) (code, extra uint) {
	d := uint(distance - 1)
	extra = uint(bits.Len(d|3)) - 2
	return 2*extra + d>>(extra&15), extra
}

// codes are the two codes of a block.
type codes struct {
	literal  [literalCodes]bitCode
	distance [distanceCodes]bitCode
	length   [256]bitCode // by length less 3: the code and its extra bits together
}

// setLengths fills in c.length for all codes that occur.
func (c *codes) setLengths(last int) {
	for i := range c.length {
		code := lengthCode[i]
		if endOfBlock+1+int(code) > last {
			break
		}
		lit := c.literal[endOfBlock+1+int(code)]
		low := uint32(i) & (1<<lengthExtra[code] - 1)
		c.length[i] = makeBitCode(uint32(lit.bits())|low<<lit.len(), lit.len()+uint(lengthExtra[code]))
	}
	c.length[255] = c.literal[literalCodes-1]
}

// fixedCodes are those of RFC 1951, section 3.2.6.
var fixedCodes = func() *codes {
	c := new(codes)
	reverse := func(code, n uint) bitCode {
		return makeBitCode(uint32(bits.Reverse16(uint16(code)))>>(16-n), n)
	}
	for i := range uint(literalCodes) {
		switch {
		case i < 144:
			c.literal[i] = reverse(0x30+i, 8)
		case i < 256:
			c.literal[i] = reverse(0x190+i-144, 9)
		case i < 280:
			c.literal[i] = reverse(i-256, 7)
		default:
			c.literal[i] = reverse(0xc0+i-280, 8)
		}
	}
	for i := range uint(distanceCodes) {
		c.distance[i] = reverse(i, 5)
	}
	c.setLengths(literalCodes - 1)
	return c
}()

// dynamicFrom is how many literals and matches a block needs for a try at codes
// of its own, whose description takes some 50 bytes. At 130 the chat messages of
// 100 bytes in BenchmarkDeflate lose 13 % to gain 3 us, at 60 those of 200 bytes
// with takeover gain nothing for 3 us.
const dynamicFrom = 100

// An encoder writes blocks behind out. It is scratch, borrowed for one call.
type encoder struct {
	out     []byte
	pending uint64 // bits that do not fill a byte yet
	n       uint   // how many, at most 7 between calls

	seqs     []sequence
	literals [BlockSize + 16]byte // of a block

	literalFreq  [literalCodes]uint32
	distanceFreq [distanceCodes]uint32
	dynamic      codes
	header       header
	huffman      huffman

	big bigTables
}

// A header describes the codes of a dynamic block (RFC 1951, section 3.2.7).
type header struct {
	literals, distances, lengths int // how many code lengths of each stand in it
	steps                        []step
	freq                         [19]uint32
	code                         [19]bitCode
}

// A step is one symbol of the run-length coding of the code lengths.
type step struct{ symbol, extra uint8 }

// lengthOrder is the order in which the lengths of the code length code are sent.
var lengthOrder = [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// block writes p, whose sequences are e.seqs, as a block of the smallest kind.
// It writes nothing and reports false if the output with the end of a message
// would come to more than limit bytes.
func (e *encoder) block(p []byte, limit int) bool {
	stored := e.storedBits(len(p))
	kind, size, codes := typeStored, stored, fixedCodes
	if !e.hopeless(p) {
		symbols := len(e.seqs)
		for _, s := range e.seqs {
			symbols += int(s.literals)
		}
		if symbols < dynamicFrom {
			if n := e.fixedBits(p); n < size {
				kind, size = typeFixed, n
			}
		} else {
			e.countSymbols(p)
			if n := e.codeBits(fixedCodes); n < size {
				kind, size = typeFixed, n
			}
			e.buildCodes()
			if n := e.header.bits() + e.codeBits(&e.dynamic); n < size {
				kind, size, codes = typeDynamic, n, &e.dynamic
			}
		}
	}
	if len(e.out)+(int(e.n)+size+blockHeaderBits+7)/8 > limit {
		return false
	}
	e.out = slices.Grow(e.out, (int(e.n)+size)/8+16) // stores are of eight bytes
	switch kind {
	case typeStored:
		e.stored(p)
		return true
	case typeDynamic:
		codes.setLengths(e.header.literals - 1)
		e.writeHeader()
	default:
		e.write(typeFixed<<1, blockHeaderBits)
	}
	e.sequences(p, codes)
	return true
}

// write appends n bits, at most 56; there must be room.
func (e *encoder) write(v uint64, n uint) {
	e.pending |= v << e.n
	e.n += n
	buf := e.out[:cap(e.out)]
	binary.LittleEndian.PutUint64(buf[len(e.out):], e.pending)
	e.out = e.out[:len(e.out)+int(e.n>>3)]
	e.pending >>= e.n &^ 7
	e.n &= 7
}

// storedBits is the size of a stored block of n bytes at this place.
func (e *encoder) storedBits(n int) int {
	head := (int(e.n) + blockHeaderBits + 7) &^ 7
	return head - int(e.n) + 32 + 8*n
}

func (e *encoder) stored(p []byte) {
	e.write(typeStored<<1, blockHeaderBits)
	if e.n > 0 {
		e.write(0, 8-e.n)
	}
	e.write(uint64(len(p))|uint64(^uint16(len(p)))<<16, 32)
	e.out = append(e.out, p...)
}

// end writes the empty stored block that brings a message to a byte boundary
// (RFC 7692, section 7.2.1), without its last four octets 00 00 ff ff.
func (e *encoder) end() {
	e.out = slices.Grow(e.out, 16)
	e.write(typeStored<<1, blockHeaderBits)
	if e.n > 0 {
		e.write(0, 8-e.n)
	}
}

// hopeless reports whether a long p has next to no matches, and a sample of its
// bytes looks as random as can be. The other tests are exact but cost more.
func (e *encoder) hopeless(p []byte) bool {
	if len(p) < 1<<10 || len(e.seqs) > 1+len(p)>>10 {
		return false
	}
	var seen [256]uint16
	samples, step := 0, (len(p)+1<<10-1)>>10
	for i := 0; i < len(p); i += step {
		seen[p[i]]++
		samples++
	}
	sum := 0
	for _, n := range seen {
		sum += int(n) * int(n)
	}
	// Of n random bytes that is n*n/256 + n, give or take n/11.
	return sum < samples*samples/256+samples+samples/3
}

// fixedBits is the size of the sequences as a fixed block.
func (e *encoder) fixedBits(p []byte) int {
	n := blockHeaderBits + 7
	i := 0
	for _, s := range e.seqs {
		for _, b := range p[i : i+int(s.literals)] {
			n += 8
			if b >= 144 {
				n++
			}
		}
		i += int(s.literals) + int(s.length)
		if s.length != 0 {
			_, extra := distanceCode(s.distance)
			n += int(fixedCodes.length[uint8(s.length-3)].len()) + 5 + int(extra)
		}
	}
	return n
}

// countSymbols counts what the sequences of p are made of.
func (e *encoder) countSymbols(p []byte) {
	clear(e.literalFreq[:])
	clear(e.distanceFreq[:])
	e.literalFreq[endOfBlock] = 1
	// The literals are gathered before they are counted: a loop over each short
	// run would end where the processor does not expect it.
	i, n := 0, 0
	for _, s := range e.seqs {
		if s.literals <= 16 && i+16 <= len(p) {
			copy(e.literals[n:n+16], p[i:i+16])
		} else {
			copy(e.literals[n:], p[i:i+int(s.literals)])
		}
		n += int(s.literals)
		i += int(s.literals) + int(s.length)
		if s.length != 0 {
			e.literalFreq[endOfBlock+1+int(lengthCode[uint8(s.length-3)])]++
			code, _ := distanceCode(s.distance)
			e.distanceFreq[code]++
		}
	}
	literals := e.literals[:n]
	if n >= 1<<10 {
		// Two rows of counters, so that a byte need not wait for the one before.
		var odd [256]uint32
		for ; len(literals) >= 4; literals = literals[4:] {
			e.literalFreq[literals[0]]++
			odd[literals[1]]++
			e.literalFreq[literals[2]]++
			odd[literals[3]]++
		}
		for b, n := range odd {
			e.literalFreq[b] += n
		}
	}
	for _, b := range literals {
		e.literalFreq[b]++
	}
}

// codeBits is the size of the symbols counted if they are written with c, and
// of a block's first bits.
func (e *encoder) codeBits(c *codes) int {
	n := uint(blockHeaderBits)
	for i, f := range e.literalFreq {
		n += uint(f) * c.literal[i].len()
	}
	for i, extra := range lengthExtra {
		n += uint(e.literalFreq[endOfBlock+1+i]) * uint(extra)
	}
	for i, f := range e.distanceFreq {
		n += uint(f) * (c.distance[i].len() + uint(max(0, i>>1-1)))
	}
	return int(n)
}

// buildCodes makes e.dynamic and e.header from the symbols counted.
func (e *encoder) buildCodes() {
	e.huffman.build(e.dynamic.literal[:], e.literalFreq[:], maxLiteralBits)
	e.huffman.build(e.dynamic.distance[:], e.distanceFreq[:], maxDistanceBits)

	h := &e.header
	h.literals, h.distances, h.lengths = literalCodes, distanceCodes, len(lengthOrder)
	for h.literals > endOfBlock+1 && e.dynamic.literal[h.literals-1] == 0 {
		h.literals--
	}
	for h.distances > 1 && e.dynamic.distance[h.distances-1] == 0 {
		h.distances--
	}
	// The lengths of both codes are one row, and a repetition may cross over.
	var row [literalCodes + distanceCodes]uint8
	for i, c := range e.dynamic.literal[:h.literals] {
		row[i] = uint8(c)
	}
	for i, c := range e.dynamic.distance[:h.distances] {
		row[h.literals+i] = uint8(c)
	}
	h.describe(row[:h.literals+h.distances])
	e.huffman.build(h.code[:], h.freq[:], maxLengthBits)
	for h.lengths > 4 && h.code[lengthOrder[h.lengths-1]] == 0 {
		h.lengths--
	}
}

// Symbols of the code length code that are no lengths.
const (
	repeatPrevious = 16 // 3 to 6 times
	repeatZero     = 17 // 3 to 10 times
	repeatZeros    = 18 // 11 to 138 times
)

// describe turns the row of code lengths into steps and counts their symbols.
func (h *header) describe(row []uint8) {
	h.steps = h.steps[:0]
	clear(h.freq[:])
	add := func(symbol uint8, extra int) {
		h.steps = append(h.steps, step{symbol, uint8(extra)})
		h.freq[symbol]++
	}
	for i := 0; i < len(row); {
		length := row[i]
		run := 1
		for i+run < len(row) && row[i+run] == length {
			run++
		}
		i += run
		if length == 0 {
			for run >= 3 {
				if n := min(run, 138); n > 10 {
					add(repeatZeros, n-11)
					run -= n
				} else {
					add(repeatZero, n-3)
					run -= n
				}
			}
		} else {
			add(length, 0)
			for run--; run >= 3; {
				n := min(run, 6)
				add(repeatPrevious, n-3)
				run -= n
			}
		}
		for range run {
			add(length, 0)
		}
	}
}

// bits is the size of the description, without a block's first bits.
func (h *header) bits() int {
	n := uint(5 + 5 + 4 + 3*h.lengths)
	for i, f := range h.freq {
		n += uint(f) * h.code[i].len()
	}
	return int(n + 2*uint(h.freq[repeatPrevious]) + 3*uint(h.freq[repeatZero]) + 7*uint(h.freq[repeatZeros]))
}

func (e *encoder) writeHeader() {
	h := &e.header
	e.write(typeDynamic<<1|uint64(h.literals-257)<<3|uint64(h.distances-1)<<8|uint64(h.lengths-4)<<13, blockHeaderBits+5+5+4)
	for _, symbol := range lengthOrder[:h.lengths] {
		e.write(uint64(h.code[symbol].len()), 3)
	}
	for _, s := range h.steps {
		c := h.code[s.symbol]
		e.write(c.bits(), c.len())
		switch s.symbol {
		case repeatPrevious:
			e.write(uint64(s.extra), 2)
		case repeatZero:
			e.write(uint64(s.extra), 3)
		case repeatZeros:
			e.write(uint64(s.extra), 7)
		}
	}
}

// sequences writes the symbols of a block and its end. There must be room for
// them and eight bytes more, as whole words are stored.
func (e *encoder) sequences(p []byte, c *codes) {
	out, at := e.out[:cap(e.out)], len(e.out)
	pending, n := e.pending, e.n
	for _, s := range e.seqs {
		run := p[:s.literals]
		p = p[int(s.literals)+int(s.length):]
		for len(run) >= 4 {
			// Four times maxLiteralBits and seven bits are a word.
			b := c.literal[run[0]]
			pending |= b.bits() << (n & 63)
			n += b.len()
			b = c.literal[run[1]]
			pending |= b.bits() << (n & 63)
			n += b.len()
			b = c.literal[run[2]]
			pending |= b.bits() << (n & 63)
			n += b.len()
			b = c.literal[run[3]]
			pending |= b.bits() << (n & 63)
			n += b.len()
			run = run[4:]
			binary.LittleEndian.PutUint64(out[at:], pending)
			at += int(n >> 3)
			pending >>= n & 56
			n &= 7
		}
		for _, literal := range run {
			b := c.literal[literal]
			pending |= b.bits() << (n & 63)
			n += b.len()
		}
		binary.LittleEndian.PutUint64(out[at:], pending)
		at += int(n >> 3)
		pending >>= n & 56
		n &= 7
		if s.length == 0 {
			continue
		}
		// So are a match, 14 + 5 + 15 + 13 bits at most, and seven.
		b := c.length[uint8(s.length-3)]
		pending |= b.bits() << (n & 63)
		n += b.len()
		code, extra := distanceCode(s.distance)
		b = c.distance[code]
		pending |= b.bits() << (n & 63)
		n += b.len()
		pending |= uint64(s.distance-1) & (1<<(extra&15) - 1) << (n & 63)
		n += extra
		binary.LittleEndian.PutUint64(out[at:], pending)
		at += int(n >> 3)
		pending >>= n & 56
		n &= 7
	}
	e.out, e.pending, e.n = out[:at], pending, n
	e.write(c.literal[endOfBlock].bits(), c.literal[endOfBlock].len())
}
