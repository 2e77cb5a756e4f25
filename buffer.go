package websocket

import (
	"bytes"
	"math/bits"
	"slices"
	"sync"
)

// A buffer is memory that a message borrows while it is under way. The pools keep
// buffers by size, each for a power of two and what is less than twice as much, so
// that a message never sits in one that a much larger message has left behind.
type buffer struct {
	b      []byte  // of length 0 when it is lent
	before *buffer // with what was gathered before
	shared bool    // it belongs to nobody: it is not written to, and not given back
}

// sharedBuffer returns a buffer with these bytes that many may hold at a time. Whoever
// makes room in it gets a copy.
func sharedBuffer(b []byte) *buffer { return &buffer{b: b[:len(b):len(b)], shared: true} }

const (
	minBuffer = 9  // the smallest has 1<<9 bytes
	maxBuffer = 20 // the largest that is kept for other messages has 1<<20

	maxPooled = 1 << maxBuffer
)

var bufferPools [maxBuffer - minBuffer + 1]sync.Pool

// borrowBuffer returns an empty buffer with room for at least n bytes.
func borrowBuffer(n int) *buffer {
	class := bufferClass(n)
	if class > maxBuffer {
		return &buffer{b: make([]byte, 0, n)}
	}
	if buf, ok := bufferPools[class-minBuffer].Get().(*buffer); ok {
		return buf
	}
	return &buffer{b: make([]byte, 0, 1<<class)}
}

// withRoom returns a buffer with the same bytes, none if buf is nil, and room for n
// more. It takes the place of buf.
func (buf *buffer) withRoom(n int) *buffer {
	if buf == nil {
		return borrowBuffer(n)
	}
	if cap(buf.b)-len(buf.b) >= n && !buf.shared {
		return buf
	}
	larger := borrowBuffer(max(len(buf.b)+n, 2*len(buf.b)))
	larger.b = append(larger.b, buf.b...)
	buf.giveBack()
	return larger
}

func bufferClass(n int) int { return max(bits.Len(uint(max(n, 1)-1)), minBuffer) }

// bufferSize returns how much room borrowBuffer makes for n bytes.
func bufferSize(n int) int {
	if class := bufferClass(n); class <= maxBuffer {
		return 1 << class
	}
	return n
}

// largestBuffer returns the size of the largest pooled buffer that has no more than
// n bytes, or of the smallest of all.
func largestBuffer(n int) int {
	return 1 << min(max(bits.Len(uint(n))-1, minBuffer), maxBuffer)
}

// giveBack leaves the buffer, if there is one, to other messages.
func (buf *buffer) giveBack() {
	if buf != nil && !buf.shared && cap(buf.b) <= maxPooled {
		class := bits.Len(uint(cap(buf.b))) - 1
		buf.b, buf.before = buf.b[:0:1<<class], nil // what a codec has made longer is of no size of ours
		bufferPools[class-minBuffer].Put(buf)
	}
}

// What is gathered of a message lies in the buffers that were borrowed as it came.
// The zero value is nothing.
type gathered struct {
	last *buffer // nil for none
	n    int     // bytes in all
}

// add goes on in another buffer.
func (g *gathered) add(buf *buffer) { buf.before, g.last = g.last, buf }

// join makes one buffer of all, with room for so many bytes more.
func (g *gathered) join(more int) {
	if g.last != nil && g.last.before == nil && cap(g.last.b)-len(g.last.b) >= more {
		return
	}
	one := borrowBuffer(g.n + more)
	one.b = g.appendTo(one.b)
	g.last = one
}

// appendTo appends the bytes to dst, and gives the buffers back.
func (g *gathered) appendTo(dst []byte) []byte {
	const usual = 40 // buffers of a message of 32 MiB
	var room [usual + 1][]byte
	parts := room[:0]
	for buf := g.last; buf != nil; buf = buf.before {
		parts = append(parts, buf.b)
	}
	parts = append(parts, dst)
	slices.Reverse(parts)
	dst = appendAll(parts...)
	for buf := g.last; buf != nil; {
		before := buf.before
		buf.giveBack()
		buf = before
	}
	g.last = nil
	return dst
}

// appendAll appends to the first part, which may be nil, all others. If there is no
// room for them it returns memory that has no more than that.
func appendAll(parts ...[]byte) []byte {
	dst := parts[0]
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	if n > cap(dst) || dst == nil {
		return bytes.Join(parts, nil) // which does not zero what it is about to fill, as make does
	}
	for _, p := range parts[1:] {
		dst = append(dst, p...)
	}
	return dst
}
