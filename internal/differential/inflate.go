package differential

import "slices"

// This file inflates messages for the model: RFC 1951, whose sections are cited, as it
// is written, a bit at a time. compress/flate would do it in fewer lines, but does not
// tell which blocks brought nothing.

// inflate reads a compressed message (RFC 7692, section 7.2.2).
func (m *model) inflate() {
	m.window = m.window[max(0, len(m.window)-32768):]
	m.bits, m.nbits, m.tail, m.bare, m.sync = 0, 0, 0, 0, false
	for final, begun := false, false; ; begun = true {
		if m.nbits == 0 {
			b, more := m.next()
			if !begun && m.tail > 0 {
				m.first(&m.void)
				return // not even the octet 00 that RFC 7692, 7.2.3.6, has for nothing; senders are known to omit it
			}
			if !more {
				return // between two blocks
			}
			m.bits, m.nbits = int(b), 8
		}
		header := m.take(3) // 3.2.3
		if m.bare > 64 && !m.patient {
			m.fail(1008, tooManyEmptyBlocks) // RFC 6455, 10.4
		}
		before, afterFinal := len(m.window), final
		final, m.sync = header&1 != 0, false
		switch header >> 1 {
		case 0:
			if !m.stored(afterFinal && !final) {
				return
			}
		case 1:
			m.symbols(fixedLiterals, fixedDistances) // 3.2.6
		case 2:
			m.symbols(m.codes()) // 3.2.7
		case 3:
			m.fail(1007, corrupt) // 3.2.3: "reserved (error)"
		}
		if m.bare++; len(m.window) > before {
			m.bare = 0
		}
		if final {
			m.bits, m.nbits = 0, 0 // RFC 7692, 7.2.3.4: it is padded to an octet, and others may follow
			m.first(&m.final)
		}
	}
}

// first notes that the message at hand is of this kind, if it is the first.
func (m *model) first(kind *int) {
	if *kind < 0 {
		*kind = len(m.messages)
	}
}

// next returns the next octet of the message, or of what its sender has left out: "Append
// 4 octets of 0x00 0x00 0xff 0xff to the tail end" (RFC 7692, section 7.2.2).
func (m *model) next() (b byte, more bool) {
	if b, more = m.payload(); !more && m.tail < 4 {
		m.tail++
		return "\x00\x00\xff\xff"[m.tail-1], true
	}
	return b, more
}

// take takes n bits, the first one lowest (3.1.1).
func (m *model) take(n int) int {
	for m.nbits < n {
		b, more := m.next()
		if !more {
			m.fail(1007, cutOff)
		}
		m.bits |= int(b) << m.nbits
		m.nbits += 8
	}
	v := m.bits & (1<<n - 1)
	m.bits >>= n
	m.nbits -= n
	return v
}

// put adds an octet to the message and to what later ones may refer to.
func (m *model) put(b byte) {
	if m.room == 0 {
		panic(end{limit, 1009, "", tooBig, true})
	}
	m.room--
	m.window = append(m.window, b)
	m.give(b)
}

// stored copies a block that is not compressed (3.2.4). Behind a final block the
// octets that a sender leaves out may be all there is: RFC 7692, section 7.2.3.4, would
// have one octet 00 before them, but senders are known that forget it.
func (m *model) stored(maybeNone bool) (more bool) {
	m.bits, m.nbits = 0, 0
	var size [4]byte
	for i := range size {
		if size[i], more = m.next(); !more {
			if i == 3 && maybeNone {
				return false
			}
			m.fail(1007, cutOff)
		}
	}
	n := int(size[0]) | int(size[1])<<8
	if size[2] != ^size[0] || size[3] != ^size[1] {
		m.fail(1007, corrupt)
	}
	m.sync = n == 0
	for ; n > 0; n-- {
		b, more := m.next()
		if !more {
			m.fail(1007, cutOff)
		}
		m.put(b)
	}
	return true
}

// symbols expands a block by its two codes (3.2.5).
func (m *model) symbols(literals, distances code) {
	for {
		s := m.symbol(literals)
		switch {
		case s < 256:
			m.put(byte(s))
			continue
		case s == 256:
			return
		case s > 285:
			m.fail(1007, corrupt)
		}
		length := lengthBase[s-257] + m.take(lengthExtra[s-257])
		if s = m.symbol(distances); s > 29 {
			m.fail(1007, corrupt)
		}
		distance := distanceBase[s] + m.take(distanceExtra[s])
		if distance > len(m.window) {
			m.fail(1007, corrupt)
		}
		if distance > len(m.data) {
			m.first(&m.reached)
		}
		for range length {
			m.put(m.window[len(m.window)-distance])
		}
	}
}

// codes reads the two codes of a block (3.2.7).
func (m *model) codes() (literals, distances code) {
	nlit, ndist, n := m.take(5)+257, m.take(5)+1, m.take(4)+4
	if nlit > 286 || ndist > 30 {
		m.fail(1007, corrupt)
	}
	var lengths [19]int
	for _, s := range []int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}[:n] {
		lengths[s] = m.take(3)
	}
	meta := m.code(lengths[:], false)
	var all []int
	for len(all) < nlit+ndist {
		s := m.symbol(meta)
		last, times := s, 1
		switch s {
		case 16:
			if times = 3 + m.take(2); len(all) == 0 {
				m.fail(1007, corrupt)
			}
			last = all[len(all)-1]
		case 17:
			last, times = 0, 3+m.take(3)
		case 18:
			last, times = 0, 11+m.take(7)
		}
		for range times {
			all = append(all, last)
		}
	}
	if len(all) > nlit+ndist || all[256] == 0 {
		m.fail(1007, corrupt)
	}
	return m.code(all[:nlit], true), m.code(all[nlit:], true)
}

// A code has so many symbols of each length, and these in the order of their codes
// (3.2.2).
type code struct {
	count   [16]int
	symbols []int
	longest int
}

// code returns the code of these lengths. It must be complete, or may, if lone is set, be
// one of a single symbol or none (3.2.7).
func (m *model) code(lengths []int, lone bool) (c code) {
	for n := 1; n < 16; n++ {
		for s, length := range lengths {
			if length == n {
				c.symbols = append(c.symbols, s)
				c.count[n]++
				c.longest = n
			}
		}
	}
	free := 1
	for n := 1; n <= c.longest; n++ {
		if free = 2*free - c.count[n]; free < 0 {
			m.fail(1007, corrupt)
		}
	}
	if free > 0 && !(lone && c.longest < 2) {
		m.fail(1007, corrupt)
	}
	return c
}

// symbol reads a symbol (3.1.1: the first bit of a code is the highest).
func (m *model) symbol(c code) int {
	value, first, at := 0, 0, 0
	for n := 1; n <= max(c.longest, 1); n++ {
		value = value<<1 | m.take(1)
		first <<= 1
		if value-first < c.count[n] {
			return c.symbols[at+value-first]
		}
		first += c.count[n]
		at += c.count[n]
	}
	m.fail(1007, corrupt)
	return 0
}

var (
	fixedLiterals  = new(model).code(append(append(times(144, 8), times(112, 9)...), append(times(24, 7), times(8, 8)...)...), false)
	fixedDistances = new(model).code(times(32, 5), false)

	lengthBase    = []int{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258}
	lengthExtra   = []int{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}
	distanceBase  = []int{1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577}
	distanceExtra = []int{0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13}
)

func times(n, length int) (p []int) { return slices.Repeat([]int{length}, n) }
