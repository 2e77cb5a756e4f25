package deflate

import (
	"math/bits"
	"sync"
)

// minHistory is the least that is kept of what was received, in bytes. It is a
// power of two.
const minHistory = 512

// inflateHistory is the end of what was received before the output that Inflate is
// shown. It is a ring, as a buffer that is moved up when it is full needs either
// twice the memory or, with a message of 100 bytes, a move of 32 KiB.
type inflateHistory struct {
	window int     // bytes that are held at most, a power of two
	ring   []byte  // of a length that is a power of two; nil before there is anything to hold
	box    *[]byte // what the pool knows it by
	head   int     // where the next byte goes
	held   int     // bytes that were put there
	own    int     // those of them that the message under way has given
}

// add appends p to the history.
func (h *inflateHistory) add(p []byte) {
	if len(p) == 0 {
		return
	}
	p = p[max(0, len(p)-h.window):]
	if need := min(h.held+len(p), h.window); need > len(h.ring) {
		h.grow(max(minHistory, 1<<bits.Len(uint(need-1))))
	}
	n := copy(h.ring[h.head:], p)
	copy(h.ring, p[n:])
	h.head = (h.head + len(p)) & (len(h.ring) - 1)
	h.held = min(h.held+len(p), len(h.ring))
}

// ringPools keep rings that were given up, by size: the first has those of
// minHistory bytes. A message that is read in pieces without context takeover
// needs a history for as long as it takes.
var ringPools [MaxBits - 9 + 1]sync.Pool

func ringPool(size int) *sync.Pool { return &ringPools[bits.Len(uint(size/minHistory))-1] }

// grow makes the ring larger.
func (h *inflateHistory) grow(size int) {
	box, ok := ringPool(size).Get().(*[]byte)
	if !ok {
		ring := make([]byte, size)
		box = &ring
	}
	ring, held := *box, h.held
	h.read(ring[:held], held)
	own := h.own
	h.drop()
	h.ring, h.box, h.head, h.held, h.own = ring, box, held, held, own
}

// read fills p with what was received, beginning back bytes ago. There must be as
// many as that, and p must not be longer.
func (h *inflateHistory) read(p []byte, back int) {
	if len(p) == 0 {
		return
	}
	start := (h.head - back) & (len(h.ring) - 1)
	n := copy(p, h.ring[start:])
	copy(p[n:], h.ring)
}

// drop gives the memory up. What is in it is erased: copies go in steps of 16
// bytes, and what lies behind their end belongs to nobody else.
func (h *inflateHistory) drop() {
	if h.box != nil {
		clear(h.ring)
		ringPool(len(h.ring)).Put(h.box)
	}
	h.ring, h.box, h.head, h.held, h.own = nil, nil, 0, 0, 0
}
