package deflate

import (
	"math"
	"math/bits"
	"slices"
	"sync"
)

// A Level says how hard a Deflater tries.
type Level int

const (
	Stored      Level = iota // nothing is compressed
	HuffmanOnly              // frequent bytes get short codes, repetitions count for nothing
	Fast                     // the first repetition that offers itself
	Better                   // the longest of a few repetitions, for more time and memory
)

// LevelOf returns the Level for a level of compress/flate, from -2 to 9.
func LevelOf(n int) Level {
	switch {
	case n == -2:
		return HuffmanOnly
	case n == 0:
		return Stored
	case n < 6:
		return Fast
	}
	return Better
}

// A Deflater compresses the messages of one direction of a connection. Init
// must be called before anything else. It is not for use by several goroutines
// at once.
type Deflater struct {
	bits     uint8
	takeover bool
	open     bool     // a message begun by Append has not ended
	n        uint8    // bits in pending
	pending  uint8    // what Append could not write yet, for want of a whole byte
	history  *history // nil before the first message, and between messages without context takeover
}

// Init makes d ready for a connection with a window of 1<<bits bytes, which no
// match will reach beyond. Without takeover no match reaches into an earlier
// message.
func (d *Deflater) Init(bits int, takeover bool) {
	d.Release()
	*d = Deflater{bits: uint8(bits), takeover: takeover}
}

// AppendMessage compresses the message p and appends it to dst, without the
// octets 00 00 ff ff at its end. If that were not shorter than p, it appends
// nothing and reports false, and the history is what it was: the message may
// then be sent as it is. No message may be under way. Nothing is allocated if
// dst has room for 32 bytes more than p.
func (d *Deflater) AppendMessage(dst, p []byte, level Level) (out []byte, ok bool) {
	if level <= Stored || len(p) == 0 {
		return dst, false
	}
	e := encoders.Get().(*encoder)
	e.out, e.pending, e.n = dst, 0, 0
	if ok = d.compress(e, p, level, len(dst)+len(p)-1); ok {
		e.end()
	}
	out = e.out
	if !ok {
		out = out[:len(dst)]
	}
	e.out = nil
	encoders.Put(e)
	return out, ok
}

// Append compresses p as the next piece of a message and appends to dst the
// bytes that are complete. A few bits may stay behind until the next call.
func (d *Deflater) Append(dst, p []byte, level Level) []byte {
	d.open = true
	if len(p) == 0 {
		return dst
	}
	e := encoders.Get().(*encoder)
	e.out, e.pending, e.n = dst, uint64(d.pending), uint(d.n)
	d.compress(e, p, level, math.MaxInt)
	dst, d.pending, d.n = e.out, uint8(e.pending), uint8(e.n)
	e.out = nil
	encoders.Put(e)
	return dst
}

// AppendEnd ends the message begun by Append, without the octets 00 00 ff ff.
func (d *Deflater) AppendEnd(dst []byte) []byte {
	// The header of an empty stored block is three zero bits and fills the byte.
	dst = append(dst, d.pending)
	if d.n+blockHeaderBits > 8 {
		dst = append(dst, 0)
	}
	d.open, d.pending, d.n = false, 0, 0
	if !d.takeover {
		d.Release()
	}
	return dst
}

// Learn adds p to the history: a message that was compressed elsewhere, without
// references to earlier ones, and sent. It does nothing without takeover.
func (d *Deflater) Learn(p []byte) {
	if d.takeover && len(p) > 0 {
		d.remember(p, Fast)
	}
}

// Release gives the memory up. The history is empty after that, which is always
// right: a sender need not refer to what it sent.
func (d *Deflater) Release() {
	if h := d.history; h != nil {
		histories[d.bits][h.kind()].Put(h)
		d.history = nil
	}
	d.open, d.pending, d.n = false, 0, 0
}

// Kept returns how much memory d keeps between messages, in bytes.
func (d *Deflater) Kept() int {
	if d.history == nil {
		return 0
	}
	return d.history.size()
}

// compress writes p in blocks. With a limit, it may stop, withdraw p from the
// history and report false: see encoder.block.
func (d *Deflater) compress(e *encoder, p []byte, level Level, limit int) bool {
	switch {
	case level <= HuffmanOnly:
		return d.compressPlain(e, p, level, limit)
	case !d.takeover && !d.open:
		f := e.big.finder(len(p), 1<<d.bits, level)
		f.src = p
		return e.blocks(&f, p, 0, limit)
	case len(p) > 1<<d.bits, level < Better && len(p) >= max(1<<10, 1<<d.bits/4):
		return d.compressBig(e, p, level, limit)
	}
	fresh := d.history == nil
	h := d.hold(level)
	from := h.add(p)
	f := h.finder()
	e.seqs = f.find(e.seqs[:0], from, len(h.buf))
	if e.block(p, limit) {
		return true
	}
	h.buf = h.buf[:from]
	if fresh {
		d.Release() // nothing has been sent that is worth the memory
	}
	return false
}

// compressPlain is compress for the levels that look for no matches.
func (d *Deflater) compressPlain(e *encoder, p []byte, level Level, limit int) bool {
	for rest := p; len(rest) > 0; {
		n := min(len(rest), BlockSize)
		e.seqs = append(e.seqs[:0], sequence{literals: uint16(n)})
		if level <= Stored {
			e.out = slices.Grow(e.out, n+32)
			e.stored(rest[:n])
		} else if !e.block(rest[:n], limit) {
			return false
		}
		rest = rest[n:]
	}
	// The peer has p in its window now. A history without it would be wrong, but
	// there is no reason to begin one.
	if d.history != nil {
		d.remember(p, level)
	}
	return true
}

// compressBig is compress for a piece that is larger than the window, or large
// enough that a table of its own pays. The first block is put behind the history
// in scratch memory; the others find all they may refer to in p.
func (d *Deflater) compressBig(e *encoder, p []byte, level Level, limit int) bool {
	window := 1 << d.bits
	f := e.big.finder(len(p), window, level)
	first := p[:min(len(p), BlockSize)]
	stage := e.big.stage[:0]
	if h := d.history; h != nil {
		stage = append(stage, h.buf[max(0, len(h.buf)-window):]...)
	}
	from := len(stage)
	stage = append(stage, first...)
	e.big.stage = stage

	f.src = stage
	f.prime(0, from)
	e.seqs = f.find(e.seqs[:0], from, len(stage))
	if !e.block(first, limit) {
		return false
	}
	f.src, f.base = p, uint16(from)
	if !e.blocks(&f, p, len(first), limit) {
		return false
	}
	d.remember(p, level)
	return true
}

// blocks writes p from i on. Matches may begin anywhere in f.src, which is p.
func (e *encoder) blocks(f *finder, p []byte, i, limit int) bool {
	for i < len(p) {
		to := min(i+BlockSize, len(p))
		e.seqs = f.find(e.seqs[:0], i, to)
		if !e.block(p[i:to], limit) {
			return false
		}
		i = to
	}
	return true
}

// hold returns the history, of which there is one from now on, with a table
// that is large enough for level.
func (d *Deflater) hold(level Level) *history {
	kind := 0
	if level >= Better {
		kind = deep
	}
	h := d.history
	switch {
	case h == nil:
		h, _ = histories[d.bits][kind].Get().(*history)
		if h == nil {
			h = &history{bits: d.bits, table: make([]uint64, 1<<d.bits/8<<kind)}
		}
		h.buf, h.base = h.buf[:0], 0
		clear(h.table) // so that the output depends on nothing but the messages
		d.history = h
	case kind > h.kind():
		h.table = make([]uint64, 1<<d.bits/8<<kind)
		f := h.finder()
		f.prime(0, len(h.buf))
	}
	return h
}

// remember adds p to the history, to be found by the messages to come.
func (d *Deflater) remember(p []byte, level Level) {
	h := d.hold(level)
	if window := 1 << d.bits; len(p) > window {
		h.base += uint16(len(h.buf) + len(p) - window)
		h.buf = h.buf[:0]
		p = p[len(p)-window:]
	}
	from := h.add(p)
	f := h.finder()
	f.prime(from, len(h.buf))
}

// A history is what a Deflater keeps between messages.
type history struct {
	buf   []byte   // twice the window at most
	base  uint16   // position of buf[0]: see finder
	bits  uint8    // of the window
	table []uint64 // room for half as many positions as the window has bytes, or for all of them if Better has been asked for
}

// histories are for reuse, by the bits of their windows and the kind of their
// tables.
var histories [MaxBits + 1][deep + 1]sync.Pool

// deep is the kind of the tables for Better, which are twice as large as those
// of kind 0.
const deep = 1

func (h *history) kind() int {
	if len(h.table) > 1<<h.bits/8 {
		return deep
	}
	return 0
}

func (h *history) size() int { return cap(h.buf) + 8*cap(h.table) }

// add puts p, which is no longer than the window, behind buf and returns where
// it begins. What is further back than the window may be dropped for it.
func (h *history) add(p []byte) int {
	window := 1 << h.bits
	if need := len(h.buf) + len(p); need > cap(h.buf) && cap(h.buf) < 2*window {
		size := min(2*window, max(1<<10, 1<<bits.Len(uint(need-1))))
		h.buf = append(make([]byte, 0, size), h.buf...)
	}
	if len(h.buf)+len(p) > cap(h.buf) {
		drop := len(h.buf) - window
		h.buf = h.buf[:copy(h.buf, h.buf[drop:])]
		h.base += uint16(drop)
	}
	from := len(h.buf)
	h.buf = append(h.buf, p...)
	return from
}

// finder returns a finder over buf.
func (h *history) finder() finder {
	f := newFinder(h.table, h.kind() == deep, 1<<h.bits)
	f.src, f.base = h.buf, h.base
	return f
}

// bigTables serve messages that do not go through a history.
type bigTables struct {
	long  *longTable
	table []uint64
	stage []byte
}

const (
	maxTableWords = 1 << 13 // 1<<15 positions
	longFrom      = 256     // bytes in a message from which on fast takes less time, in BenchmarkDeflate
)

// finder returns a finder for size bytes. The caller sets src.
func (b *bigTables) finder(size, window int, level Level) finder {
	if level < Better && size >= longFrom {
		if b.long == nil {
			b.long = new(longTable)
		}
		clear(b.long[:])
		return finder{window: window, long: b.long}
	}
	if b.table == nil {
		b.table = make([]uint64, maxTableWords)
	}
	words := max(64, 1<<bits.Len(uint(size-1))/8)
	if level >= Better {
		words = min(2*words, maxTableWords)
	}
	table := b.table[:words]
	clear(table)
	return newFinder(table, level >= Better, window)
}

var encoders = sync.Pool{New: func() any { return new(encoder) }}
