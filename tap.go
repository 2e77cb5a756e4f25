package websocket

import (
	"io"
	"slices"
	"sync"
	"time"
)

// What a Trace is told is found where bytes come and go: a follower makes out the frames
// there. So the ways that messages take above need no hooks, and nothing is to be paid for
// them but a look whether somebody wants to know.

// A tap sees what a writer sends. nil is none.
type tap struct {
	up       watch
	messages bool // it wants to know of messages, too

	// For whoever has the write turn.
	out   follower
	begun acceptance // the message that is being sent in person, its zero while none is

	mu    sync.Mutex
	queue fifo[acceptance] // messages that go out by themselves; guarded by mu
}

// A watch is told what a writer sends, by whoever has the write turn, and, by whoever asks,
// of close frames that it is to send.
type watch interface {
	frameWritten(h FrameHeader)
	messageWritten(m MessageInfo)
	closes(p []byte)
}

// now is the time on the clock of uptime if there is anybody to tell it to, and 0 if not.
func (t *tap) now() int64 {
	if t == nil {
		return 0
	}
	return uptime()
}

func since(at int64) time.Duration { return time.Duration(uptime() - at) }

// queued is called with a message that goes out by itself, and not before those for which
// that was said before. It may be nil.
func (t *tap) queued(m *outgoing) {
	if t == nil || !t.messages || isControl(m.opcode) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.queue.put(acceptance{int64(len(m.p)), m.at})
}

// inPerson is called by whoever has the turn with a message of its own, whose last bytes go
// out next. It may be nil.
func (t *tap) inPerson(payload int, at int64) {
	if t != nil {
		t.begun = acceptance{int64(payload), at}
	}
}

// sent is called with what the network connection has taken.
func (t *tap) sent(p []byte) {
	for len(p) > 0 {
		e := t.out.next(&p)
		if e.frame {
			t.up.frameWritten(t.out.h)
		}
		if e.message && t.messages {
			t.up.messageWritten(t.written())
		}
	}
}

// written returns the message that has just been sent.
func (t *tap) written() MessageInfo {
	a := t.begun
	t.begun = acceptance{}
	if a.at == 0 {
		t.mu.Lock()
		a = t.queue.get()
		t.mu.Unlock()
	}
	m := t.out.message
	m.Payload, m.Wait = a.payload, since(a.at)
	return m
}

// An acceptance is a message that is to be sent.
type acceptance struct {
	payload int64
	at      int64 // since when, on the clock of uptime, which is never 0
}

// usualQueue is how many items a fifo has room for that is empty, at most.
const usualQueue = 16

// A fifo keeps what is put into it until it is got, in that order.
type fifo[T any] struct {
	items []T
	got   int // of them, from the beginning
}

func (q *fifo[T]) put(v T) {
	if q.got > len(q.items)/2 && len(q.items) == cap(q.items) {
		q.items = slices.Delete(q.items, 0, q.got)
		q.got = 0
	}
	q.items = append(q.items, v)
}

func (q *fifo[T]) get() T {
	v := q.items[q.got]
	if q.got++; q.got == len(q.items) {
		q.items, q.got = q.items[:0], 0
		if cap(q.items) > usualQueue { // a connection that waits keeps little
			q.items = nil
		}
	}
	return v
}

// A follower finds the frames in a stream of bytes.
type follower struct {
	head    [maxHeader]byte // the beginning of a frame's header
	n       int             // bytes of it
	h       FrameHeader     // of the frame at hand
	left    int64           // bytes of its payload that have not passed
	message MessageInfo     // at hand
	lost    bool            // there are no more frames, or none that can be made out
}

// An event is what a follower has met: the beginning of a frame, the end of a message.
type event struct{ frame, message bool }

// next goes to the next event in *p, or to its end, and takes away what it has passed.
func (f *follower) next(p *[]byte) (e event) {
	if f.lost {
		*p = nil
		return e
	}
	if f.left == 0 { // a header
		n := copy(f.head[f.n:], *p)
		h, used, err := ParseFrameHeader(f.head[:f.n+n])
		if err != nil {
			// Too little of it, or else nothing that a reader would go on with.
			f.lost = err != io.ErrUnexpectedEOF
			f.n += n
			*p = (*p)[n:]
			return e
		}
		*p = (*p)[used-f.n:]
		f.n = 0
		f.begin(h, used)
		return event{true, f.ended()}
	}
	n := min(f.left, int64(len(*p)))
	f.left -= n
	*p = (*p)[n:]
	return event{false, f.ended()}
}

func (f *follower) begin(h FrameHeader, size int) {
	f.h, f.left = h, h.Length
	f.lost = h.Opcode == CloseMessage // nothing that follows counts (RFC 6455, section 1.4)
	if isControl(h.Opcode) {
		return
	}
	if h.Opcode != opContinuation {
		f.message = MessageInfo{Type: h.Opcode, Compressed: h.RSV1}
	}
	f.message.Frames++
	f.message.Wire += int64(size) + h.Length
}

// ended reports whether the message at hand has.
func (f *follower) ended() bool { return f.left == 0 && f.h.Fin && !isControl(f.h.Opcode) }
