package websocket

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/duplexkit/websocket/internal/utf8"
	"github.com/duplexkit/websocket/internal/xor"
)

// This file holds the other direction: what the peer sends. From top to bottom:
// the reader and its state; a message as a whole; a message piece by piece;
// frames; bytes. A reader is used by one goroutine at a time, who has the turn.

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
	beforeWait() // what is to come may be long in coming
}

type reader struct {
	src     io.Reader
	socket  *socketReader // the shorter way to src, nil if there is none
	ears    ears          // nil if nobody listens
	up      controls
	anyText bool // text need not be UTF-8
	lenient bool // a timeout within a message does no harm, for nobody waits for it as a whole

	impatient bool // between messages nobody waits for the socket: errDry
	drained   bool // the last read, an impatient one, took all that the socket had

	buf      []byte  // what was read from src, nil while nothing was
	size     int     // bytes of buf, at least
	lent     *buffer // the memory of buf, nil if that is not borrowed
	pos, end int     // buf[pos:end] waits to be used
	first    []byte  // room for the first bytes, where socket is nil

	in       inbound
	err      error // why nothing can be read any more
	kind     int   // the type of the last message that began
	dropping bool  // what is to come of the message is discarded
	room     int64 // bytes that the message may still bring, negative for any number
	text     bool  // the message is text that has to be UTF-8
	valid    utf8.Validator
	fin      bool    // the frame at hand is the last of its message
	left     int64   // bytes of its payload that are still to come
	masked   bool    // its payload is masked,
	key      [4]byte // with this masking key,
	keyPos   int     // continuing at this position

	inflate  *inflater // nil without permessage-deflate
	deflated bool      // the message at hand is compressed, and inflate is at work on it
	wire     int64     // compressed bytes that the message may still bring, negative for any number
	bare     int       // bytes from pos that are unmasked already
	void     bool      // no octet of it has come
	tail     int       // octets of deflate.Tail that were inflated
	full     bool      // inflate has more to give than there was room for
}

// next goes to the beginning of the next message and returns its type. limit is
// in bytes, negative for none. What is unread of the message before is
// discarded.
func (r *reader) next(limit int64) (messageType int, err error) {
	if r.err != nil {
		return 0, r.err
	}
	r.text = false // nobody sees the rest
	r.dropping = true
	for r.in.message != 0 {
		if err := r.skip(); err != nil {
			return 0, err
		}
	}
	r.dropping = false
	r.room = limit
	if err := r.advance(); err != nil {
		return 0, err
	}
	return r.kind, nil
}

// message reads the next message as a whole and appends it to dst. When it fails
// within the message it returns the type and what was received until then;
// before, the type is 0.
func (r *reader) message(dst []byte, limit int64) (messageType int, p []byte, err error) {
	messageType, err = r.next(limit)
	if err != nil {
		return 0, dst, err
	}
	for p = dst; ; {
		var need int
		if p, need, err = r.gather(p, len(dst)); need == 0 {
			return messageType, p, err
		}
		p = append(make([]byte, 0, len(p)+need), p...)
	}
}

// newMessage is message into memory of its own, allocated once: when the message
// is there, whatever length its header claims before.
func (r *reader) newMessage(limit int64) (messageType int, p []byte, err error) {
	messageType, err = r.next(limit)
	if err != nil {
		return 0, nil, err
	}
	if r.atHand() {
		p, _, err = r.gather(make([]byte, 0, r.left), 0)
		return messageType, p, err
	}
	buf, err := r.gatherPooled()
	p = append(make([]byte, 0, len(buf.b)), buf.b...)
	buf.giveBack()
	return messageType, p, err
}

// lendMessage is message without any memory for it: p lies where it was received
// until the next call, or in lent, which the caller gives back.
func (r *reader) lendMessage(limit int64) (messageType int, p []byte, lent *buffer, err error) {
	messageType, err = r.next(limit)
	if err != nil {
		return 0, nil, nil, err
	}
	if r.atHand() {
		end := r.pos + int(r.left)
		p = r.buf[r.pos:end:end] // who appends to it must not write on what is to come
		if len(p) > 0 {
			_, err = r.payload(p) // onto itself
		}
		return messageType, p, nil, err
	}
	lent, err = r.gatherPooled()
	return messageType, lent.b, lent, err
}

// buffered reports whether the next frame is here already, whole: to read it is
// not to wait.
func (r *reader) buffered() bool {
	h, n, err := ParseFrameHeader(r.buf[r.pos:r.end])
	return err == nil && h.Length <= int64(r.end-r.pos-n)
}

// atHand reports whether all of the message at hand lies in the buffer as it is.
func (r *reader) atHand() bool {
	return r.fin && !r.deflated && r.left <= int64(r.end-r.pos)
}

// gatherPooled reads what is to come of the message at hand into memory that it
// borrows as the message comes.
func (r *reader) gatherPooled() (buf *buffer, err error) {
	if r.deflated {
		buf = borrowBuffer(r.guess(0))
	} else {
		buf = borrowBuffer(int(min(r.left, int64(r.end-r.pos))))
	}
	for {
		p, need, err := r.gather(buf.b, 0)
		buf.b = p
		if need == 0 {
			return buf, err
		}
		larger := borrowBuffer(len(p) + need)
		larger.b = append(larger.b, p...)
		buf.giveBack()
		buf = larger
	}
}

// gather appends what is to come of the message at hand, which began at
// dst[base], as far as there is room. If there is not, need says how many more
// bytes to make room for: as many as have come already, so that memory follows
// what was sent and not what a header claims, and many small fragments cost no
// more than one large.
func (r *reader) gather(dst []byte, base int) (p []byte, need int, err error) {
	for r.in.message != 0 {
		if r.usedUp() {
			if err := r.advance(); err != nil {
				return dst, 0, err
			}
			if r.in.fragments > maxFragments {
				return dst, 0, r.fail(errFragments)
			}
			continue
		}
		if r.deflated {
			if dst, err = r.expand(dst, base); err != nil {
				return dst, 0, err
			}
			if r.full {
				return dst, r.guess(len(dst)), nil
			}
			continue
		}
		if len(dst) == cap(dst) {
			if r.pos == r.end {
				if err := r.fill(); err != nil {
					return dst, 0, r.fail(err)
				}
			}
			need = max(len(dst), int(min(r.left, int64(r.end-r.pos))))
			if r.fin {
				need = int(min(int64(need), r.left))
			}
			return dst, need, nil
		}
		n, err := r.payload(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if err != nil {
			return dst, 0, err
		}
	}
	return dst, 0, nil
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
	if err := r.in.accept(h); err != nil {
		return r.fail(err)
	}
	r.pos += n
	return r.begin(h)
}

// await waits for the next data frame, whose header of n bytes it leaves in the
// buffer. The control frames on the way are handed up, each in one piece: until
// it is whole its bytes stay in the buffer, and a timeout loses nothing.
func (r *reader) await() (h FrameHeader, n int, err error) {
	for r.err == nil {
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

// begin takes over the header of a data frame.
func (r *reader) begin(h FrameHeader) error {
	if h.Opcode != opContinuation {
		r.kind = h.Opcode
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

// payload reads what is at hand of the frame's payload, at most len(p) bytes.
func (r *reader) payload(p []byte) (n int, err error) {
	p = p[:min(int64(len(p)), r.left)]
	switch {
	case r.pos < r.end:
		n = r.take(p)
	case len(p) >= r.size:
		if n, err = r.receive(p); err != nil {
			return 0, r.fail(err)
		}
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
	if r.left > 0 || !r.fin {
		return nil
	}
	if r.text && !r.valid.Done() {
		return r.fail(errInvalidUTF8) // it ends within a character
	}
	r.in.end()
	return nil
}

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
	r.in.end()
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
	r.pos = r.end
	r.rest()
	if r.deflated {
		r.deflated = false
		r.inflate.drop()
	}
}

// isTimeout reports whether err is a deadline of ours. ETIMEDOUT, a peer that
// TCP has given up, is a timeout too in the eyes of the net package, but not here.
func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

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
	if r.buf == nil && r.socket != nil {
		return r.fillFromSocket()
	}
	if r.buf == nil && r.left > 0 {
		r.borrowed(borrowBuffer(r.size), 0) // the message will not be long in coming
	}
	if r.buf != nil {
		r.end = copy(r.buf, r.buf[r.pos:r.end])
		r.pos = 0
		n, err := r.receive(r.buf[r.end:])
		r.end += n
		return err
	}
	// Nothing tells when there will be something to read, but reading.
	if r.first == nil {
		r.first = make([]byte, firstBytes)
	}
	n, err := r.receive(r.first)
	if err == nil {
		r.borrowed(borrowBuffer(r.size), 0)
		r.end = copy(r.buf, r.first[:n])
	}
	return err
}

// firstBytes is how much is read to begin with where there is no socketReader: a
// header and a little more.
const firstBytes = 32

// rest gives an empty buffer back.
func (r *reader) rest() {
	if r.pos == r.end {
		r.lent.giveBack()
		r.buf, r.lent = nil, nil
		r.pos, r.end = 0, 0
	}
}

// borrowed takes over memory that holds n bytes to be used.
func (r *reader) borrowed(lent *buffer, n int) {
	r.lent, r.buf = lent, lent.b[:cap(lent.b)]
	r.pos, r.end = 0, n
}

func (r *reader) fillFromSocket() error {
	r.up.beforeWait()
	if r.ears != nil {
		r.ears.wait()
	}
	lent, n, err := r.readSocket()
	if r.ears != nil {
		r.ears.hear(n)
	}
	if err != nil {
		return err
	}
	if n == 0 {
		lent.giveBack()
		return brokenOff()
	}
	r.borrowed(lent, n)
	return nil
}

// readSocket waits for what the socket has to read, unless nobody is to wait.
func (r *reader) readSocket() (lent *buffer, n int, err error) {
	if !r.impatient || r.in.message != 0 {
		return r.socket.read(true)
	}
	if r.drained {
		r.drained = false // more may have come since, but whoever asks again will see it
		return nil, 0, errDry
	}
	lent, n, err = r.socket.read(false)
	r.drained = n > 0 && n < r.socket.size
	return lent, n, err
}

// errDry means that the socket has nothing to read and nobody is to wait for it.
var errDry = errors.New("websocket: nothing to read")

// ears are told of each wait for the peer.
type ears interface {
	wait()
	hear(n int) // the wait is over and has brought n bytes
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
	r.up.beforeWait()
	for range patience {
		if r.ears != nil {
			r.ears.wait()
		}
		n, err = r.src.Read(p)
		if r.ears != nil {
			r.ears.hear(n)
		}
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
