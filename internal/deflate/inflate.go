package deflate

import (
	"encoding/binary"
	"errors"
	"io"
)

// This file holds the way from payload to message. From top to bottom: the
// Inflater and what its owner does with it; Inflate, which goes from block to
// block; the header of a dynamic block; the symbols of a block, once carefully
// and once fast; matches. The code tables are in inflate_table.go, the history
// is in inflate_history.go.
//
// Bits are taken from the low end of a 64-bit buffer. What Inflate needs in one
// piece is at most a match, which has 48 bits (15 and 5 for its length, 15 and 13
// for its distance). So there is always room for the next byte of payload as long
// as the piece at hand is not complete, and payload may be cut anywhere.

// Tail is what a sender has cut off at the end of a message, and what Inflate has
// to be given there (RFC 7692, section 7.2.2).
const Tail = "\x00\x00\xff\xff"

// maxEmptyBlocks is how many blocks without output may follow each other. A block
// costs time even when it brings nothing, and no limit on the size of a message
// would ever stop them.
const maxEmptyBlocks = 64

var (
	// ErrCorrupt means that the payload is not DEFLATE data, or that it reaches
	// back beyond the history.
	ErrCorrupt = errors.New("deflate: corrupt data")

	// ErrEmptyBlocks means that more than 64 blocks in a row brought no output.
	ErrEmptyBlocks = errors.New("deflate: too many empty blocks")
)

// An Inflater expands the messages of one direction of one connection. It is for
// one goroutine at a time, and has to be initialised with Init.
//
// A message is expanded by calls of Inflate for its payload, in pieces of any
// size, then for Tail, and a call of End. Commit keeps what later matches may
// refer to.
type Inflater struct {
	history inflateHistory
	err     error // why the message cannot go on

	bits uint64 // the payload taken in that waits to be used, the next bit lowest
	nbit uint   // how many bits there are; those above are 0 between calls

	state    inflateState
	underWay bool // a message has begun and not ended
	final    bool // the block at hand has BFINAL set
	closed   bool // the block before has
	gave     bool // the block at hand has given output
	sync     bool // the last block was stored and empty, and no bit of another was read
	reached  bool // see Reached
	empty    int  // blocks in a row without output

	stored           int // bytes of a stored block that are to come
	length, distance int // what is to come of a match for which there was no room; length is 0 if there is none

	tables   *inflateTables // the codes of the block at hand, nil outside of one
	borrowed bool           // they are to be given back
}

// inflateState is what the next bits of the payload are.
type inflateState uint8

const (
	inflateHeader  inflateState = iota // the header of a block
	inflateSize                        // LEN and NLEN of a stored block
	inflateStored                      // its bytes
	inflateCounts                      // HLIT, HDIST and HCLEN of a dynamic block
	inflatePrecode                     // its code length code
	inflateLengths                     // its code lengths
	inflateSymbols                     // literals and matches
)

// Init makes the Inflater ready for a connection whose peer promised to reach
// back no further than 1<<bits bytes.
//
// At least 512 bytes are kept: zlib cannot compress with a window of 256 bytes,
// and peers that use it take 512 instead.
func (i *Inflater) Init(bits int) {
	i.Reset()
	i.Forget()
	*i = Inflater{history: inflateHistory{window: max(1<<bits, minHistory)}}
}

// Reset drops a message that is under way, and gives back what was borrowed for
// it. The history remains.
func (i *Inflater) Reset() {
	i.release()
	i.err = nil
	i.endMessage()
}

// endMessage makes ready for another message.
func (i *Inflater) endMessage() {
	i.bits, i.nbit = 0, 0
	i.state = inflateHeader
	i.underWay, i.final, i.closed, i.gave, i.sync = false, false, false, false, false
	i.empty, i.stored, i.length = 0, 0, 0
	i.history.own = 0
}

// End ends a message: all of its payload and Tail were given to Inflate, whose
// last error was nil. It fails if the data ends within a block.
func (i *Inflater) End() error {
	switch {
	case i.err != nil:
		return i.err
	case i.state == inflateSize && i.closed && !i.final && i.nbit == 24 && i.bits == 0xffff00:
		// After a block with BFINAL set a sender has to add an octet 00, so that Tail is
		// what follows its three bits (RFC 7692, section 7.2.3.4). This one has not, and
		// the beginning of Tail was taken for it. Others do not mind.
	case i.state != inflateHeader || i.nbit > 0:
		return i.fail(ErrCorrupt)
	}
	i.endMessage()
	return nil
}

// EndFragment notes that a frame's payload ends here. An empty stored block that
// ends with it does not count as an empty one: it is how a sender flushes, and
// what it costs is bounded by the number of frames.
func (i *Inflater) EndFragment() {
	if i.sync && i.nbit == 0 {
		i.sync = false
		i.empty--
	}
}

// Commit moves p into the history: output of this message that Inflate will not
// be shown again. It may be called within a message, and before or after End.
func (i *Inflater) Commit(p []byte) {
	i.history.add(p)
	if i.underWay {
		i.history.own = min(i.history.own+len(p), i.history.window)
	}
}

// Forget gives the history up. It is for the time between two messages.
func (i *Inflater) Forget() { i.history.drop() }

// Kept returns how many bytes of memory are held between messages.
func (i *Inflater) Kept() int { return len(i.history.ring) }

// Reached reports whether, since Init, a match has reached into the history of
// earlier messages: the peer takes its context over, whatever it promised.
func (i *Inflater) Reached() bool { return i.reached }

// fail makes err the end of the message.
func (i *Inflater) fail(err error) error {
	i.release()
	i.err = err
	return err
}

// Inflate expands src, the next part of a message's payload, and appends to dst
// as far as its capacity reaches; it never allocates. dst[base:] is what the
// message has given since it began or since the last Commit, and serves matches.
// The bytes between the length and the capacity of dst may be overwritten, also
// behind the output.
//
// n is how many bytes of src were used. err is nil if these are all of them, and
// io.ErrShortBuffer if there is output to come for which dst has no room: Inflate
// is then to be called again with more room and the rest of src, which may be
// empty. Any other error is the end of the message.
func (i *Inflater) Inflate(dst []byte, base int, src []byte) (out []byte, n int, err error) {
	if i.err != nil {
		return dst, 0, i.err
	}
	i.underWay = true
	var (
		buf  = dst[:cap(dst)]
		w    = len(dst) // where the next byte of output goes
		mark = w        // where the output of the block at hand begins, as far as this call knows
	)
loop:
	for {
		ended := false // the block at hand has
		switch i.state {
		case inflateHeader:
			if n += i.fill(src[n:], 3); i.nbit < 3 {
				break loop
			}
			if i.empty > maxEmptyBlocks {
				err = i.fail(ErrEmptyBlocks)
				break loop
			}
			header := i.take(3)
			i.closed, i.final = i.final, header&1 != 0
			i.gave, i.sync, mark = false, false, w
			switch header >> 1 { // BTYPE (RFC 1951, section 3.2.3)
			case 0:
				i.align()
				i.state = inflateSize
			case 1:
				i.tables = fixedTables()
				i.state = inflateSymbols
			case 2:
				i.tables, i.borrowed = borrowTables(), true
				i.state = inflateCounts
			default:
				err = i.fail(ErrCorrupt)
				break loop
			}

		case inflateSize:
			if n += i.fill(src[n:], 32); i.nbit < 32 {
				break loop
			}
			size := i.take(32)
			if uint16(size) != ^uint16(size>>16) {
				err = i.fail(ErrCorrupt)
				break loop
			}
			i.stored = int(uint16(size))
			i.sync = i.stored == 0
			i.state = inflateStored

		case inflateStored:
			for i.stored > 0 && i.nbit > 0 && w < len(buf) {
				buf[w] = byte(i.take(8))
				w++
				i.stored--
			}
			if i.nbit == 0 {
				i.bits = 0 // see fill
				k := copy(buf[w:], src[n:min(len(src), n+i.stored)])
				w += k
				n += k
				i.stored -= k
			}
			if i.stored > 0 {
				if i.nbit > 0 || n < len(src) {
					err = io.ErrShortBuffer
				}
				break loop
			}
			ended = true

		case inflateCounts, inflatePrecode, inflateLengths:
			var k int
			k, err = i.readTables(src[n:])
			n += k
			if err != nil || i.state != inflateSymbols {
				break loop
			}

		case inflateSymbols:
			var k int
			w, k, ended, err = i.expand(buf, w, base, src[n:])
			n += k
			if !ended {
				break loop
			}
		}
		if ended {
			i.gave = i.gave || w > mark
			i.endBlock()
		}
	}
	i.gave = i.gave || w > mark
	i.bits &= 1<<(i.nbit&63) - 1
	return buf[:w], n, err
}

// endBlock goes from a block to the next.
func (i *Inflater) endBlock() {
	if i.final {
		// Such a block is padded to a byte boundary, and others may follow (RFC 7692,
		// section 7.2.1).
		i.align()
	}
	if i.gave {
		i.empty = 0
	} else {
		i.empty++
	}
	i.release()
	i.state = inflateHeader
}

// release gives back the tables of the block at hand.
func (i *Inflater) release() {
	if i.borrowed {
		returnTables(i.tables)
	}
	i.tables, i.borrowed = nil, false
}

// fill makes sure that there are want bits, at most 56, or all that src has. It
// returns how much of src was used.
//
// Above nbit it may leave bits set: those of bytes that do not count yet and that
// will be put, once more, at the same place.
func (i *Inflater) fill(src []byte, want uint) (n int) {
	if i.nbit >= want {
		return 0
	}
	n = int((63 - i.nbit) >> 3)
	if len(src) >= 8 {
		i.bits |= binary.LittleEndian.Uint64(src) << (i.nbit & 63)
	} else {
		n = min(n, len(src))
		for k, b := range src[:n] {
			i.bits |= uint64(b) << (i.nbit + 8*uint(k))
		}
	}
	i.nbit += 8 * uint(n)
	return n
}

// take takes n bits, which must be there.
func (i *Inflater) take(n uint) uint32 {
	v := uint32(i.bits & (1<<n - 1))
	i.bits >>= n
	i.nbit -= n
	return v
}

// align drops the bits up to the next byte.
func (i *Inflater) align() {
	i.bits >>= i.nbit & 7
	i.nbit &^= 7
}

// readTables reads the header of a dynamic block (RFC 1951, section 3.2.7), or
// goes on with it, and returns how much of src was used. The state is
// inflateSymbols when it is complete.
func (i *Inflater) readTables(src []byte) (n int, err error) {
	t := i.tables
	if i.state == inflateCounts {
		if n += i.fill(src[n:], 14); i.nbit < 14 {
			return n, nil
		}
		t.nlit = int(i.take(5)) + 257
		t.ndist = int(i.take(5)) + 1
		t.nprec = int(i.take(4)) + 4
		if t.nlit > 286 || t.ndist > 30 {
			return n, i.fail(ErrCorrupt)
		}
		t.lens = [320]uint8{}
		t.have = 0
		i.state = inflatePrecode
	}
	if i.state == inflatePrecode {
		for t.have < t.nprec {
			if n += i.fill(src[n:], 3); i.nbit < 3 {
				return n, nil
			}
			t.lens[lengthOrder[t.have]] = uint8(i.take(3))
			t.have++
		}
		// The table for distances is free until the lengths are known.
		bits, ok := buildTable(t.dist[:], precodeBits, t.lens[:19], precodeEntries[:], false)
		if !ok {
			return n, i.fail(ErrCorrupt)
		}
		t.distMask = 1<<bits - 1
		t.have = 0
		i.state = inflateLengths
	}

	have, total := t.have, t.nlit+t.ndist
	for have < total {
		n += i.fill(src[n:], 14)
		e := t.dist[i.bits&t.distMask]
		if e.bits() > i.nbit {
			t.have = have
			return n, nil
		}
		v := i.take(e.bits()) >> e.codeBits()
		if e.literal() {
			t.lens[have] = uint8(e.value())
			have++
			continue
		}
		count := int(e.value() + v)
		if count > total-have || e.repeats() && have == 0 {
			return n, i.fail(ErrCorrupt)
		}
		var l uint8
		if e.repeats() {
			l = t.lens[have-1]
		}
		for k := range t.lens[have : have+count] {
			t.lens[have+k] = l
		}
		have += count
	}
	if t.lens[endOfBlock] == 0 || !t.build(t.nlit, t.ndist) {
		return n, i.fail(ErrCorrupt)
	}
	i.state = inflateSymbols
	return n, nil
}

// What expandFast may read and write beyond what it uses: two loads of 8 bytes of
// which the first uses 7, and a match that is copied in steps of 16 bytes after
// two literals.
const (
	fastInput  = 16
	fastOutput = 258 + 2 + 16
)

// expandFast is expand where there is payload and room in plenty. It stops when
// there is not, or in front of what is seldom and left to expand: the end of the
// block, what is wrong, and a match from the history that is not in one piece.
func (i *Inflater) expandFast(buf []byte, w, base int, src []byte) (_, n int) {
	var (
		t          = i.tables
		bits, nbit = i.bits, i.nbit
		ring       = i.history.ring
	)
	for len(src)-n >= fastInput && len(buf)-w >= fastOutput {
		bits |= binary.LittleEndian.Uint64(src[n:]) << (nbit & 63)
		n += int((63 - nbit) >> 3)
		nbit |= 56

		// Up to three literals, of at most litBits bits each.
		e := t.lit[bits&t.litMask]
		if e.literal() {
			bits >>= e.bits()
			nbit -= e.bits()
			buf[w] = byte(e.value())
			w++
			e = t.lit[bits&t.litMask]
			if e.literal() {
				bits >>= e.bits()
				nbit -= e.bits()
				buf[w] = byte(e.value())
				w++
				e = t.lit[bits&t.litMask]
				if e.literal() {
					bits >>= e.bits()
					nbit -= e.bits()
					buf[w] = byte(e.value())
					w++
					continue
				}
			}
			bits |= binary.LittleEndian.Uint64(src[n:]) << (nbit & 63)
			n += int((63 - nbit) >> 3)
			nbit |= 56
		}

		// A match, of 48 bits at most, or a literal with a long code.
		rest, nrest := bits, nbit
		if e.special() {
			if !e.subtable() {
				break
			}
			rest >>= e.bits()
			nrest -= e.bits()
			e = t.lit[e.value()+uint32(rest&(1<<e.codeBits()-1))]
			if e.literal() {
				bits, nbit = rest>>e.bits(), nrest-e.bits()
				buf[w] = byte(e.value())
				w++
				continue
			}
			if e.special() {
				break
			}
		}
		length := int(e.value() + e.extra(rest))
		rest >>= e.bits()
		nrest -= e.bits()
		e = t.dist[rest&t.distMask]
		if e.special() {
			if !e.subtable() {
				break
			}
			rest >>= e.bits()
			nrest -= e.bits()
			e = t.dist[e.value()+uint32(rest&(1<<e.codeBits()-1))]
			if e.special() {
				break
			}
		}
		distance := int(e.value() + e.extra(rest))
		rest >>= e.bits()
		nrest -= e.bits()

		back := distance - (w - base)
		if back > 0 {
			// The history has it, or at least its beginning.
			start := (i.history.head - back) & (len(ring) - 1)
			if back > i.history.held || length > back || start+length+16 > len(ring) {
				break
			}
			if back > i.history.own {
				i.reached = true
			}
			for k := 0; k < length; k += 16 {
				copy16(buf[w+k:], ring[start+k:])
			}
		} else if distance >= 16 {
			for k := 0; k < length; k += 16 {
				copy16(buf[w+k:], buf[w+k-distance:])
			}
		} else {
			copyNear(buf, w, distance, length)
		}
		w += length
		bits, nbit = rest, nrest
	}
	i.bits, i.nbit = bits, nbit
	return w, n
}

// copy16 copies 16 bytes.
func copy16(dst, src []byte) {
	a, b := binary.LittleEndian.Uint64(src), binary.LittleEndian.Uint64(src[8:])
	binary.LittleEndian.PutUint64(dst, a)
	binary.LittleEndian.PutUint64(dst[8:], b)
}

// expand expands the symbols of a block: from src to buf[w:], with the output
// since the last Commit at buf[base:w]. It returns where the next byte of output
// goes, how much of src was used, and whether the block has ended.
func (i *Inflater) expand(buf []byte, w, base int, src []byte) (_, n int, ended bool, err error) {
	t := i.tables
	for {
		if i.length > 0 {
			k := min(i.length, len(buf)-w)
			if !i.copyMatch(buf, w, base, i.distance, k) {
				return w, n, false, i.fail(ErrCorrupt)
			}
			w += k
			i.length -= k
			if i.length > 0 {
				return w, n, false, io.ErrShortBuffer
			}
		}
		if len(src)-n >= fastInput && len(buf)-w >= fastOutput {
			var k int
			w, k = i.expandFast(buf, w, base, src[n:])
			n += k
		}
		n += i.fill(src[n:], 48)

		// Nothing is taken from the bits before the symbol is complete.
		bits, nbit := i.bits, i.nbit
		e := t.lit[bits&t.litMask]
		if e.subtable() && e.bits() <= nbit {
			bits >>= e.bits()
			nbit -= e.bits()
			e = t.lit[e.value()+uint32(bits&(1<<e.codeBits()-1))]
		}
		if e.bits() > nbit {
			return w, n, false, nil
		}
		if e.literal() {
			if w == len(buf) {
				return w, n, false, io.ErrShortBuffer
			}
			buf[w] = byte(e.value())
			w++
			i.bits, i.nbit = bits>>e.bits(), nbit-e.bits()
			continue
		}
		if e.special() {
			if !e.endsBlock() {
				return w, n, false, i.fail(ErrCorrupt)
			}
			i.bits, i.nbit = bits>>e.bits(), nbit-e.bits()
			return w, n, true, nil
		}
		length := e.value() + e.extra(bits)
		bits >>= e.bits()
		nbit -= e.bits()

		e = t.dist[bits&t.distMask]
		if e.subtable() && e.bits() <= nbit {
			bits >>= e.bits()
			nbit -= e.bits()
			e = t.dist[e.value()+uint32(bits&(1<<e.codeBits()-1))]
		}
		if e.bits() > nbit {
			return w, n, false, nil
		}
		if e.special() {
			return w, n, false, i.fail(ErrCorrupt)
		}
		i.distance = int(e.value() + e.extra(bits))
		i.length = int(length)
		i.bits, i.nbit = bits>>e.bits(), nbit-e.bits()
	}
}

// copyMatch copies n bytes from distance bytes before w to buf[w:w+n]. What lies
// before base comes from the history. It fails if the history does not reach that
// far back.
func (i *Inflater) copyMatch(buf []byte, w, base, distance, n int) bool {
	if back := distance - (w - base); back > 0 {
		if back > i.history.held {
			return false
		}
		if back > i.history.own {
			i.reached = true
		}
		k := min(n, back)
		i.history.read(buf[w:w+k], back)
		w += k
		n -= k
	}
	copyWithin(buf[:w+n], w, distance)
	return true
}

// copyWithin fills p[w:] with what is found distance bytes before, which may be
// what it has just written.
func copyWithin(p []byte, w, distance int) {
	from := w - distance
	for w < len(p) {
		w += copy(p[w:], p[from:w]) // twice as much with every turn
	}
}

// copyNear is copyWithin for n bytes behind w with a distance of less than 16. It
// may write 15 bytes more.
func copyNear(buf []byte, w, distance, n int) {
	if distance >= 8 {
		for k := 0; k < n; k += 8 {
			binary.LittleEndian.PutUint64(buf[w+k:], binary.LittleEndian.Uint64(buf[w+k-distance:]))
		}
		return
	}
	if distance == 1 {
		fill := uint64(buf[w-1]) * 0x0101010101010101
		for k := 0; k < n; k += 8 {
			binary.LittleEndian.PutUint64(buf[w+k:], fill)
		}
		return
	}
	// Eight bytes one by one, and there is a multiple of the distance that allows
	// for steps of eight bytes.
	for k := w; k < w+8; k++ {
		buf[k] = buf[k-distance]
	}
	period := distance * (7/distance + 1)
	for k := 8; k < n; k += 8 {
		binary.LittleEndian.PutUint64(buf[w+k:], binary.LittleEndian.Uint64(buf[w+k-period:]))
	}
}
