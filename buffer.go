package websocket

import (
	"math/bits"
	"sync"
)

// A buffer is memory that a message borrows while it is under way. The pools keep
// buffers by size, each for a power of two and what is less than twice as much, so
// that a message never sits in one that a much larger message has left behind.
type buffer struct {
	b      []byte // of length 0 when it is lent
	shared bool   // it belongs to nobody: it is not written to, and not given back
}

// sharedBuffer returns a buffer with these bytes that many may hold at a time. Whoever
// makes room in it gets a copy.
func sharedBuffer(b []byte) *buffer { return &buffer{b[:len(b):len(b)], true} }

const (
	minBuffer = 9  // the smallest has 1<<9 bytes
	maxBuffer = 20 // the largest that is kept for other messages has 1<<20

	maxPooled = 1 << maxBuffer
)

var bufferPools [maxBuffer - minBuffer + 1]sync.Pool

// borrowBuffer returns an empty buffer with room for at least n bytes.
func borrowBuffer(n int) *buffer {
	class := max(bits.Len(uint(max(n, 1)-1)), minBuffer)
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
	larger := borrowBuffer(len(buf.b) + n)
	larger.b = append(larger.b, buf.b...)
	buf.giveBack()
	return larger
}

// giveBack leaves the buffer, if there is one, to other messages.
func (buf *buffer) giveBack() {
	if buf != nil && !buf.shared && cap(buf.b) <= maxPooled {
		buf.b = buf.b[:0]
		bufferPools[bits.Len(uint(cap(buf.b)))-1-minBuffer].Put(buf)
	}
}
