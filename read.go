package websocket

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"sync"
	"sync/atomic"

	"github.com/duplexkit/websocket/internal/sock"
	"github.com/duplexkit/websocket/internal/utf8"
	"github.com/duplexkit/websocket/internal/xor"
)

// This file holds the other direction: what the peer sends. From top to bottom:
// the reader and its state; a message as a whole; a message piece by piece;
// frames; bytes. A reader is used by one goroutine at a time, who has the turn.
//
// A connection spends its life waiting, so that what it keeps is little: the
// reader. The rest, an intake, is borrowed when bytes come and given back when
// they are used up and no message is in progress:
//
//	idle ── fill: bytes come ─▶ intake ── rest: nothing buffered, no message ─▶ idle
//	                              └────── letGo: reading has failed ──────────▶ failed

// DefaultReadLimit is the largest message, in bytes, that is read as a whole
// where no limit was set.
const DefaultReadLimit = 32 << 20

// ErrReadLimit is returned by reads when a message is larger than the limit. The
// peer was sent close code 1009, and the connection is of no more use.
var ErrReadLimit = errors.New("websocket: read limit exceeded")

// controls is where a reader hands up the control frames that it meets, in the
// order of their arrival. The payload is lent for the time of the call. An error
// ends the reading.
type controls interface {
	onPing(p []byte) error
	onPong(p []byte) error
	onClose(code int, reason string) error
	beforeWait()          // what is to come may be long in coming
	afterWait(p []byte)   // it has brought p
	onMessage(read int64) // one has been read to its end, as the last of so many bytes of payload in all
}

type reader struct {
	src      io.Reader // a *socket if there is a shorter way to it than Read
	up       controls
	err      error     // why nothing can be read any more
	inflate  *inflater // nil without permessage-deflate
	*intake            // nil while nothing is buffered and no message is in progress
	received counts

	size     int32 // bytes to have room for when some come, at least
	kind     uint8 // the type of the last message that began
	anyText  bool  // text need not be UTF-8
	lenient  bool  // a timeout within a message does no harm, for nobody waits for it as a whole
	dropping bool  // what is to come of the message is discarded
	hasty    bool  // between messages nobody waits for the socket: errDry
	drained  bool  // the last hasty read took all that the socket had
	vain     uint8 // hasty reads in a row for which the socket had nothing
	traced   bool  // onMessage wants to be called
	in       inbound
}

// An intake is what a reader has besides while bytes are at hand or a message is
// in progress.
type intake struct {
	buf      []byte  // what was read from src, nil while nothing was
	lent     *buffer // the memory of buf, nil if that is not borrowed
	pos, end int     // buf[pos:end] waits to be used

	room   int64 // bytes that the message may still bring, negative for any number
	text   bool  // the message is text that has to be UTF-8
	valid  utf8.Validator
	fin    bool    // the frame at hand is the last of its message
	left   int64   // bytes of its payload that are still to come
	masked bool    // its payload is masked,
	key    [4]byte // with this masking key,
	keyPos int     // continuing at this position

	deflated bool  // the message at hand is compressed, and the inflater is at work on it
	wire     int64 // compressed bytes that the message may still bring, negative for any number
	bare     int   // bytes from pos that are unmasked already
	void     bool  // no octet of it has come
	tail     int   // octets of deflate.Tail that were inflated
	full     bool  // the inflater has more to give than there was room for

	newMessages int // not counted yet, as are the next two
	newPayload  int64
	newWire     int
}

var intakes = sync.Pool{New: func() any { return new(intake) }}

// counts are what has been received. Anybody may look, at any time.
type counts struct {
	messages atomic.Int64 // that have ended
	payload  atomic.Int64 // bytes of messages, inflated
	wire     atomic.Int64 // bytes from src
}

// stats returns the counts. Of what is buffered, or has come of a message that is
// not read to its end, they may not tell yet.
func (r *reader) stats() (messages, payload, wire int64) {
	return r.received.messages.Load(), r.received.payload.Load(), r.received.wire.Load()
}

// next goes to the beginning of the next message and returns its type. limit is
// in bytes, negative for none. What is unread of the message before is
// discarded.
func (r *reader) next(limit int64) (messageType int, err error) {
	if r.err != nil {
		return 0, r.err
	}
	if err := r.discard(); err != nil {
		return 0, err
	}
	h, n, err := r.await()
	if err != nil {
		return 0, err
	}
	r.room = limit
	if err := r.enter(h, n); err != nil {
		return 0, err
	}
	return int(r.kind), nil
}

// discard goes to the end of the message at hand.
func (r *reader) discard() error {
	for r.in.message != 0 {
		r.dropping = true
		r.text = false // nobody sees it
		if err := r.skip(); err != nil {
			return err
		}
	}
	r.dropping = false
	return nil
}

// lone waits until something is buffered, and returns the next message if it is as
// most are: one frame, not compressed, of less than 64 KiB, and in the buffer as a
// whole, where p lies. It does the work of next and payload for those. All others,
// and what is wrong with them, it leaves to these: the type is 0 then.
func (r *reader) lone(limit int64) (messageType int, p []byte, err error) {
	if r.err != nil {
		return 0, nil, r.err
	}
	if r.in.message != 0 {
		return 0, nil, nil
	}
	if r.intake == nil || r.pos == r.end {
		if err := r.fill(); err != nil {
			return 0, nil, r.fail(err)
		}
	}
	opcode, length, key, n := parseLone(r.buf[r.pos:r.end], r.in.server)
	if n == 0 || limit >= 0 && int64(length) > limit {
		return 0, nil, nil
	}
	p = r.buf[r.pos+n:][:length:length] // who appends to it must not write on what is to come
	switch {
	case opcode == TextMessage && !r.anyText:
		if !r.loneText(key, p) {
			return 0, nil, nil
		}
	case r.in.server:
		xor.Mask(key, 0, p)
	}
	r.pos += n + length
	r.newMessages++
	r.newPayload += int64(length)
	if r.traced {
		r.tell()
	}
	return opcode, p, nil
}

// loneText is lone for the payload of a text message. If that is not UTF-8 it is
// left as it was.
func (r *reader) loneText(key [4]byte, p []byte) bool {
	var valid utf8.Validator
	if !r.in.server {
		return valid.Write(p) && valid.Done()
	}
	if _, ok := valid.Unmask(key, 0, p); ok && valid.Done() {
		return true
	}
	xor.Mask(key, 0, p)
	return false
}

// message reads the next message as a whole and appends it to dst. When it fails
// within the message it returns the type and what was received until then;
// before, the type is 0. If dst has no room for it, it allocates once: when the
// message is there, whatever length its header claims before.
func (r *reader) message(dst []byte, limit int64) (messageType int, p []byte, err error) {
	messageType, p, err = r.lone(limit)
	if err != nil {
		return 0, dst, err
	}
	if messageType != 0 && dst == nil {
		dst = make([]byte, len(p)) // with the copy one call, which takes less of the stack than appendAll
		copy(dst, p)
		return messageType, dst, nil
	}
	if messageType != 0 {
		return messageType, appendAll(dst, p), nil
	}
	messageType, err = r.next(limit)
	if err != nil {
		return 0, dst, err
	}
	if dst == nil {
		dst = []byte{} // what an empty message is
	}
	if cap(dst) > len(dst) {
		base := len(dst)
		if dst, err = r.gather(dst, base); err != nil || r.in.message == 0 {
			return messageType, dst, err
		}
		if r.deflated {
			r.inflate.commit(dst[base:])
		}
	}
	rest, err := r.collect(false)
	return messageType, rest.appendTo(dst), err
}

// lendMessage is message without any memory for it: p lies where it was received
// until the next call, or in lent, which the caller gives back.
func (r *reader) lendMessage(limit int64) (messageType int, p []byte, lent *buffer, err error) {
	messageType, p, err = r.lone(limit)
	if messageType != 0 || err != nil {
		return messageType, p, nil, err
	}
	messageType, err = r.next(limit)
	if err != nil {
		return 0, nil, nil, err
	}
	whole, err := r.collect(true)
	return messageType, whole.last.b, whole.last, err
}

// pooledMessage is lendMessage into memory that is always lent.
func (r *reader) pooledMessage(limit int64) (messageType int, lent *buffer, err error) {
	messageType, p, lent, err := r.lendMessage(limit)
	if lent == nil && err == nil {
		lent = borrowBuffer(len(p))
		lent.b = append(lent.b, p...)
	}
	return messageType, lent, err
}

// buffered reports whether the next frame is here already, whole: to read it is
// not to wait.
func (r *reader) buffered() bool {
	if r.intake == nil {
		return false
	}
	b := r.buf[r.pos:r.end]
	if _, _, _, n := parseLone(b, r.in.server); n > 0 {
		return true
	}
	h, n, err := ParseFrameHeader(b)
	return err == nil && h.Length <= int64(len(b)-n)
}

// collect reads what is to come of the message at hand into memory that it borrows
// as the message comes. If it is to be in one piece it is, as soon as its end is in
// sight. A compressed one always is: the inflater looks back at what it has given.
func (r *reader) collect(inOne bool) (got gathered, err error) {
	for r.in.message != 0 && err == nil {
		if r.deflated {
			got.join(r.guess(got.n))
		} else if err = r.makeRoom(&got, inOne); err != nil {
			break
		}
		before := len(got.last.b)
		got.last.b, err = r.gather(got.last.b, 0)
		got.n += len(got.last.b) - before
	}
	if inOne {
		got.join(0)
	}
	return got, err
}

// makeRoom makes room for more of the message at hand, of which got has come. Memory
// follows what was sent and not what a header claims: it is at most twice as much,
// or the smallest buffer. What waits in the socket was sent too, but not what is behind
// the frame at hand: headers, or what other messages need.
func (r *reader) makeRoom(got *gathered, inOne bool) error {
	if got.n == 0 && r.pos == r.end {
		if err := r.fill(); err != nil {
			return r.fail(err)
		}
	}
	sent := got.n + int(min(r.left, int64(r.end-r.pos)))
	if s, ok := r.src.(interface{ waiting() int }); ok && r.left > int64(r.end-r.pos) {
		sent += int(min(r.left-int64(r.end-r.pos), int64(s.waiting())))
	}
	most := 2*sent - got.n
	more := largestBuffer(most)
	if r.fin && r.left <= int64(most) {
		left := int(r.left)
		if inOne && bufferSize(got.n+left) <= 2*sent {
			got.join(left)
			return nil
		}
		more = min(more, left)
	}
	got.add(borrowBuffer(more))
	return nil
}

// gather appends what is to come of the message at hand, which began at
// dst[base], as far as there is room.
func (r *reader) gather(dst []byte, base int) (p []byte, err error) {
	for r.in.message != 0 {
		if r.usedUp() {
			if err := r.advance(); err != nil {
				return dst, err
			}
			if r.in.fragments > maxFragments {
				return dst, r.fail(errFragments)
			}
			continue
		}
		if r.deflated {
			if dst, err = r.expand(dst, base); err != nil || r.full {
				return dst, err
			}
			continue
		}
		if len(dst) == cap(dst) {
			return dst, nil
		}
		n, err := r.payload(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// read reads from the message at hand. The error is io.EOF at its end.
func (r *reader) read(p []byte) (n int, err error) {
	for r.in.message != 0 {
		if r.err != nil {
			return 0, r.err
		}
		if len(p) == 0 {
			return 0, nil
		}
		if r.usedUp() {
			if err := r.advance(); err != nil {
				if err == io.EOF { // a handler's, and not the end of the message
					err = io.ErrUnexpectedEOF
				}
				return 0, err
			}
			continue
		}
		if !r.deflated {
			return r.payload(p)
		}
		if n, err = r.expandOnce(p); n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.EOF
}

// skip takes a step towards the end of the message at hand.
func (r *reader) skip() error {
	if r.usedUp() {
		return r.advance()
	}
	if r.deflated { // messages to come may refer to what this one says
		buf := borrowBuffer(defaultBufferSize)
		defer buf.giveBack()
		_, err := r.expandOnce(buf.b[:cap(buf.b)])
		return err
	}
	if r.pos == r.end {
		if err := r.fill(); err != nil {
			return r.fail(err)
		}
	}
	n := int(min(r.left, int64(r.end-r.pos)))
	r.pos += n
	return r.used(n)
}

// advance goes to the next data frame and takes over its header.
func (r *reader) advance() error {
	h, n, err := r.await()
	if err != nil {
		return err
	}
	return r.enter(h, n)
}

// enter takes over the header of the next data frame, which await has left in the
// buffer.
func (r *reader) enter(h FrameHeader, n int) error {
	if err := r.in.accept(h); err != nil {
		return r.fail(err)
	}
	r.pos += n
	if h.Opcode != opContinuation {
		r.kind = uint8(h.Opcode)
		r.text = h.Opcode == TextMessage && !r.anyText
		r.valid.Reset()
		if h.RSV1 {
			r.beginDeflated()
		}
	}
	r.fin, r.left = h.Fin, h.Length
	r.masked, r.key, r.keyPos = h.Masked, h.MaskKey, 0
	if r.deflated {
		return r.spend(h.Length)
	}
	if r.room >= 0 {
		if h.Length > r.room {
			return r.fail(ErrReadLimit)
		}
		r.room -= h.Length
	}
	return r.used(0)
}

// await waits for the next data frame, whose header of n bytes it leaves in the
// buffer. The control frames on the way are handed up, each in one piece: until
// it is whole its bytes stay in the buffer, and a timeout loses nothing.
func (r *reader) await() (h FrameHeader, n int, err error) {
	for r.err == nil {
		if r.intake == nil {
			if err := r.fill(); err != nil {
				return h, 0, r.fail(err)
			}
		}
		h, n, err = ParseFrameHeader(r.buf[r.pos:r.end])
		if err == io.ErrUnexpectedEOF {
			err = r.fill()
			if err == nil {
				continue
			}
		}
		if err != nil {
			return h, 0, r.fail(err)
		}
		if !isControl(h.Opcode) {
			return h, n, nil
		}
		if err := r.in.accept(h); err != nil {
			return h, 0, r.fail(err)
		}
		for r.end-r.pos < n+int(h.Length) {
			if err := r.fill(); err != nil {
				return h, 0, r.fail(err)
			}
		}
		p := r.buf[r.pos+n:][:h.Length]
		r.pos += n + len(p)
		if h.Masked {
			xor.Mask(h.MaskKey, 0, p)
		}
		r.err = r.control(h.Opcode, p)
	}
	return h, 0, r.err
}

// control hands a control frame up. After a close frame there is nothing more to
// read: "after receiving a control frame indicating the connection should be
// closed, a peer discards any further data received" (section 1.4).
func (r *reader) control(opcode int, p []byte) error {
	switch opcode {
	case PingMessage:
		return r.up.onPing(p)
	case PongMessage:
		return r.up.onPong(p)
	}
	code, reason, err := parseClosePayload(p)
	if err != nil {
		return err
	}
	r.in.closed = true
	if err := r.up.onClose(code, reason); err != nil {
		return err
	}
	return &CloseError{Code: code, Text: reason}
}

// payload reads what is at hand of the frame's payload, at most len(p) bytes.
func (r *reader) payload(p []byte) (n int, err error) {
	p = p[:min(int64(len(p)), r.left)]
	switch {
	case r.pos < r.end:
		n = r.take(p)
	case len(p) >= int(r.size):
		r.rest()
		if n, err = r.receive(p); err != nil {
			return 0, r.fail(err)
		}
		r.newWire += n
	default:
		if err = r.fill(); err != nil {
			return 0, r.fail(err)
		}
		n = r.take(p)
	}
	ok := true
	switch {
	case r.text && r.masked:
		r.keyPos, ok = r.valid.Unmask(r.key, r.keyPos, p[:n])
	case r.text:
		ok = r.valid.Write(p[:n])
	case r.masked:
		r.keyPos = xor.Mask(r.key, r.keyPos, p[:n])
	}
	if !ok {
		return n, r.fail(errInvalidUTF8)
	}
	return n, r.used(n)
}

// used notes that n bytes of the frame's payload are done with.
func (r *reader) used(n int) error {
	r.left -= int64(n)
	r.newPayload += int64(n)
	if r.left > 0 || !r.fin {
		return nil
	}
	if r.text && !r.valid.Done() {
		return r.fail(errInvalidUTF8) // it ends within a character
	}
	r.ended()
	return nil
}

// ended notes that the message at hand has been read to its end.
func (r *reader) ended() {
	r.in.end()
	r.newMessages++
	if r.traced {
		r.tell()
	}
}

// tell hands up that a message has ended.
func (r *reader) tell() { r.up.onMessage(r.received.payload.Load() + r.newPayload) }

// beginDeflated prepares for a compressed message. Its limit counts what it
// inflates to; what it may bring for that is bounded too, for DEFLATE can be made
// to give nothing for its bytes.
func (r *reader) beginDeflated() {
	r.inflate.begin()
	r.deflated, r.void, r.tail, r.full, r.bare = true, true, 0, false, 0
	r.wire = -1
	if r.room >= 0 && r.room < math.MaxInt64/2 {
		// What does not shrink grows by a 25th with the least memory that zlib can be
		// given, by a 400th with a window of 12 bits.
		r.wire = r.room + r.room/16 + 64
	}
}

// spend counts the bytes of a compressed fragment.
func (r *reader) spend(n int64) error {
	const perFragment = 16 // bytes that a flush at its end may take
	if r.wire < 0 {
		return nil
	}
	if r.wire += perFragment; n > r.wire {
		return r.fail(ErrReadLimit)
	}
	r.wire -= n
	return nil
}

// usedUp reports whether the message at hand goes on in a frame that is not here
// yet.
func (r *reader) usedUp() bool {
	return r.left == 0 && !(r.deflated && (r.fin || r.full))
}

// expand inflates what is at hand of the frame's payload and appends it to dst,
// whose bytes from base on the message has given already. r.full says that there
// is more than dst has room for. Step by step:
//
//	payload ─▶ [frames: payload ─▶ ...] ─▶ the last is used up ─▶ Tail ─▶ end
//
// and at each step, as long as r.full is set, what is still to be given goes first.
func (r *reader) expand(dst []byte, base int) (p []byte, err error) {
	room := cap(dst)
	if r.room >= 0 && int64(room-len(dst)) > r.room {
		room = len(dst) + int(r.room)
	}
	var src []byte // none as long as what came before is not used up
	switch {
	case r.left > 0 && (r.pos < r.end || !r.full):
		if src, err = r.unmasked(); err != nil {
			return dst, err
		}
		r.void = false
	case r.left == 0 && r.fin && r.void:
		// An empty message has one octet, 00 (RFC 7692, section 7.2.3.6). Peers are
		// known that leave it out too.
		return dst, r.endDeflated(nil)
	case r.left == 0 && r.fin && (!r.full || r.tail > 0):
		// "Append 4 octets of 0x00 0x00 0xff 0xff to the tail end" (RFC 7692, section 7.2.2)
		src = deflateTail[r.tail:]
	}
	start := len(dst)
	out, n, full, err := r.inflate.expand(dst[:start:room], base, src)
	dst = dst[:len(out)] // with all of its capacity
	// What came before an error is judged before the error.
	if r.text && !r.valid.Write(dst[start:]) {
		return dst, r.fail(errInvalidUTF8)
	}
	if err != nil {
		return dst, r.fail(err)
	}
	r.full = full
	if r.left == 0 {
		r.tail += n
	} else {
		r.pos += n
		r.bare -= n
		if r.left -= int64(n); r.left == 0 {
			r.inflate.endFragment()
		}
	}
	r.newPayload += int64(len(dst) - start)
	if r.room >= 0 {
		r.room -= int64(len(dst) - start)
	}
	if r.full && r.room == 0 {
		return dst, r.fail(ErrReadLimit)
	}
	if r.tail == len(deflateTail) && !r.full {
		return dst, r.endDeflated(dst[base:])
	}
	return dst, nil
}

// unmasked returns the bytes that are at hand of the frame's payload.
func (r *reader) unmasked() ([]byte, error) {
	if r.pos == r.end {
		if err := r.fill(); err != nil {
			return nil, r.fail(err)
		}
	}
	p := r.buf[r.pos:][:min(r.left, int64(r.end-r.pos))]
	if r.masked {
		r.keyPos = xor.Mask(r.key, r.keyPos, p[r.bare:])
	}
	r.bare = len(p)
	return p, nil
}

// expandOnce is expand for a p that is not shown to it again.
func (r *reader) expandOnce(p []byte) (n int, err error) {
	out, err := r.expand(p[:0:len(p)], 0)
	if err == nil && r.in.message != 0 {
		r.inflate.commit(out)
	}
	return len(out), err
}

// endDeflated ends the compressed message at hand, whose last bytes are p.
func (r *reader) endDeflated(p []byte) error {
	r.deflated = false
	if err := r.inflate.end(p); err != nil {
		return r.fail(err)
	}
	if r.text && !r.valid.Done() {
		return r.fail(errInvalidUTF8)
	}
	r.ended()
	return nil
}

// guess returns how much room to make for what a compressed message has yet to
// give, of which nothing is known: as much as it has given, and in the beginning
// what would not be unusual.
func (r *reader) guess(have int) int {
	const usual = 4 // times its compressed size
	need := max(have, min(usual*(r.end-r.pos), defaultBufferSize), 1<<minBuffer)
	if r.room > 0 {
		need = int(min(int64(need), r.room))
	}
	return need
}

// fail makes err the end of reading, unless it is a timeout and nothing is lost
// by asking again.
func (r *reader) fail(err error) error {
	if err == errDry || isTimeout(err) && (r.in.message == 0 || r.dropping || r.lenient) {
		return err
	}
	if isTimeout(err) {
		err = fmt.Errorf("websocket: timeout within a message: %w", err)
	}
	r.err = err
	r.letGo()
	return err
}

// letGo gives back what was borrowed: nobody will read on.
func (r *reader) letGo() {
	if r.intake == nil {
		return
	}
	if r.deflated {
		r.inflate.drop()
	}
	r.release()
}

// isTimeout reports whether err is a deadline of ours that may be taken back. ETIMEDOUT,
// a peer that TCP has given up, is a timeout too in the eyes of the net package, but not here.
func isTimeout(err error) bool {
	_, final := err.(finalTimeout)
	return !final && errors.Is(err, os.ErrDeadlineExceeded)
}

// take moves bytes from the buffer to p.
func (r *reader) take(p []byte) int {
	n := copy(p, r.buf[r.pos:r.end])
	r.pos += n
	return n
}

// fill reads more into the buffer, which has room for any header and any control
// frame. An empty buffer is given back before there is anything to wait for.
func (r *reader) fill() error {
	r.rest()
	if s, ok := r.src.(*socket); ok {
		return r.fillFromSocket(s)
	}
	if r.intake != nil && r.buf == nil && r.left > 0 {
		r.borrowed(borrowBuffer(int(r.size)), 0) // the message will not be long in coming
	}
	if r.intake != nil && r.buf != nil {
		r.end = copy(r.buf, r.buf[r.pos:r.end])
		r.pos = 0
		n, err := r.receive(r.buf[r.end:])
		r.end += n
		r.newWire += n
		return err
	}
	// Nothing tells when there will be something to read, but reading.
	first := firstBytes.Get().(*[32]byte)
	n, err := r.receive(first[:])
	if err == nil {
		r.borrowed(borrowBuffer(int(r.size)), n)
		copy(r.buf, first[:n])
		r.newWire += n
	}
	firstBytes.Put(first)
	return err
}

// firstBytes is memory for what is read to begin with where there is no socket: a
// header and a little more.
var firstBytes = sync.Pool{New: func() any { return new([32]byte) }}

// fillFromSocket waits for bytes, and has no more memory meanwhile than what it has
// of a frame calls for, whatever the size of the buffer that comes next.
func (r *reader) fillFromSocket(s *socket) error {
	if r.intake == nil {
		return r.wake(s)
	}
	var begun []byte // of a header or a control frame
	if r.intake != nil && r.pos < r.end {
		begun = r.buf[r.pos:r.end]
		if cap(r.buf) > 1<<minBuffer {
			small := borrowBuffer(len(begun))
			n := copy(small.b[:cap(small.b)], begun)
			r.lent.giveBack()
			r.borrowed(small, n)
			begun = r.buf[:n]
		}
	}
	r.up.beforeWait()
	lent, came, err := s.read(int(r.size), begun, true)
	r.up.afterWait(came)
	if err != nil {
		return err
	}
	if len(came) == 0 {
		lent.giveBack()
		return brokenOff()
	}
	if begun != nil {
		r.lent.giveBack()
	}
	r.borrowed(lent, len(begun)+len(came))
	r.newWire += len(came)
	return nil
}

// arrive waits until there is something to read, if a socket will tell. Reads do so
// by themselves; a loop that waits here has less on its stack.
func (r *reader) arrive() error {
	s, ok := r.src.(*socket)
	if !ok || r.err != nil {
		return nil
	}
	if r.rest(); r.intake != nil {
		return nil
	}
	if err := r.wake(s); err != nil {
		return r.fail(err)
	}
	return nil
}

// wake is fillFromSocket for an idle reader. A hasty one does not wait.
func (r *reader) wake(s *socket) error {
	r.up.beforeWait()
	if r.drained {
		r.drained = false // more may have come since, and whoever asks again will see it
		if r.hasty {
			r.up.afterWait(nil)
			return errDry
		}
	}
	lent, came, err := s.read(int(r.size), nil, !r.hasty)
	r.up.afterWait(came)
	if err == errDry {
		r.vain++
		return err
	}
	r.vain = 0
	if err != nil {
		return err
	}
	if len(came) == 0 {
		lent.giveBack()
		return brokenOff()
	}
	r.drained = r.hasty && len(came) < min(int(r.size), sock.MaxSize)
	r.borrowed(lent, len(came))
	r.newWire += len(came)
	return nil
}

// errDry means that the socket has nothing to read and nobody is to wait for it.
var errDry = errors.New("websocket: nothing to read")

// rest gives back what nobody needs now.
func (r *reader) rest() {
	if r.intake == nil || r.pos < r.end {
		return
	}
	if r.in.message == 0 {
		r.release()
		return
	}
	if r.newWire >= defaultBufferSize { // a large message may take its time
		r.count()
	}
	r.lent.giveBack()
	r.buf, r.lent = nil, nil
	r.pos, r.end = 0, 0
}

// count makes what has been read known.
func (r *reader) count() {
	if r.newMessages > 0 {
		r.received.messages.Add(int64(r.newMessages))
	}
	if r.newPayload > 0 {
		r.received.payload.Add(r.newPayload)
	}
	if r.newWire > 0 {
		r.received.wire.Add(int64(r.newWire))
	}
	r.newMessages, r.newPayload, r.newWire = 0, 0, 0
}

// release gives the reading back, and nothing of it to whoever is lent it next.
func (r *reader) release() {
	r.count()
	r.lent.giveBack()
	*r.intake = intake{}
	intakes.Put(r.intake)
	r.intake = nil
}

// borrowed takes over memory that holds n bytes to be used.
func (r *reader) borrowed(lent *buffer, n int) {
	if r.intake == nil {
		r.intake = intakes.Get().(*intake)
	}
	r.lent, r.buf = lent, lent.b[:cap(lent.b)]
	r.pos, r.end = 0, n
}

// early takes over bytes that came before there was a reader.
func (r *reader) early(p []byte) {
	r.intake = intakes.Get().(*intake)
	r.buf = make([]byte, max(int(r.size), len(p)))
	r.end = copy(r.buf, p)
	r.newWire = len(p)
}

// brokenOff is the end of input without a close frame: "If [...] no Close control
// frame was received [...], The WebSocket Connection Close Code is considered to
// be 1006" (section 7.1.5).
func brokenOff() error {
	return &CloseError{Code: CloseAbnormalClosure, Text: io.ErrUnexpectedEOF.Error()}
}

// receive reads at least one byte into p, or returns an error.
func (r *reader) receive(p []byte) (n int, err error) {
	const patience = 100 // reads that bring nothing, as in bufio
	for range patience {
		r.up.beforeWait()
		n, err = r.src.Read(p)
		r.up.afterWait(p[:n])
		if n > 0 {
			return n, nil // src says it again if it has an error
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF { // the latter is TLS cut off
			return 0, brokenOff()
		}
		if err != nil {
			return 0, err
		}
	}
	return 0, io.ErrNoProgress
}
