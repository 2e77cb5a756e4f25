package websocket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/duplexkit/websocket/internal/deflate"
	"github.com/duplexkit/websocket/internal/sock"
	"github.com/duplexkit/websocket/internal/xor"
)

// This file holds one direction of a connection: what we send. From top to
// bottom: the writer and its state; whole messages; control frames; the control
// frames that we owe the peer and that nobody waits for; frames and the bytes
// on the wire; at the end messageWriter, a message written piece by piece.

var (
	errWriteClosed    = errors.New("websocket: write closed")
	errWriteEnded     = fmt.Errorf("%w: another NextWriter was begun", errWriteClosed)
	errBadMessageType = errors.New("websocket: bad write message type")
	errInvalidControl = errors.New("websocket: invalid control frame")
)

// A writer sends messages and control frames. All its methods may be called
// concurrently; whoever has the turn writes.
type writer struct {
	nc      net.Conn
	socket  *socketWriter // the shorter way to nc, nil if there is none
	server  bool          // which end we are: a client masks
	size    int           // bytes of payload that a messageWriter gathers for one fragment
	pool    BufferPool    // where a messageWriter borrows its buffer
	timeout time.Duration // longest that a message may take, 0 is for ever

	closed func()      // called when our close frame was sent
	failed func(error) // called when the network took no more

	turn turn
	// The turn's mutex guards these.
	deadline time.Time      // what the program set, zero for none
	armed    time.Time      // the deadline that nc has
	stream   *messageWriter // the message that NextWriter began last, nil after its end
	pong     []byte         // the payload of the pong that we owe, nil for none
	echo     []byte         // the payload of the close frame that we owe, nil for none
	ping     bool           // keepalive wants to send a ping, and has the turn
	replying bool           // somebody has the turn to send what we owe,
	since    time.Time      // since this time

	out     outbound  // guarded by having the turn; Conn asks closeSent
	deflate *deflater // guarded likewise; nil without permessage-deflate

	// Scratch of whoever has the turn.
	vec  [2][]byte
	bufs net.Buffers
}

// setDeadline sets the time by which messages must be written; zero leaves it
// to the timeout.
func (w *writer) setDeadline(t time.Time) {
	w.turn.mu.Lock()
	defer w.turn.mu.Unlock()
	w.deadline = t
}

// until returns the time by which a message that begins now must be written.
func (w *writer) until() time.Time {
	w.turn.mu.Lock()
	defer w.turn.mu.Unlock()
	if w.deadline.IsZero() {
		return w.byTimeout()
	}
	return w.deadline
}

// byTimeout is until for frames that the program's deadline does not concern.
func (w *writer) byTimeout() time.Time {
	if w.timeout > 0 {
		return time.Now().Add(w.timeout)
	}
	return time.Time{}
}

// err returns why nothing can be written any more, or nil.
func (w *writer) err() error {
	w.turn.mu.Lock()
	defer w.turn.mu.Unlock()
	return w.turn.ended
}

// message sends p as one message of one frame.
func (w *writer) message(ctx context.Context, opcode int, p []byte) error {
	return w.withTurn(ctx, opcode, w.until(), func() error { return w.writeMessage(opcode, p) })
}

// writeMessage sends p as one frame, compressed if that makes it smaller. The
// caller has the turn.
func (w *writer) writeMessage(opcode int, p []byte) error {
	h := FrameHeader{Fin: true, Opcode: opcode, Length: int64(len(p))}
	if w.deflate.wants(opcode, len(p)) {
		buf := borrowFor(len(p))
		defer buf.giveBack()
		if b, ok := w.deflate.message(buf.b[:maxHeader], p); ok {
			buf.b = b[:0]
			h.RSV1 = true
			return w.writeInPlace(h, b)
		}
	}
	return w.writeFrame(h, p)
}

// An encoding is a message as a server sends it, in one frame.
type encoding struct {
	frame  []byte
	header int // bytes of frame that are its header
	rsv1   bool
}

func encode(h FrameHeader, p []byte) *encoding {
	h.Length = int64(len(p))
	frame := h.Append(make([]byte, 0, maxHeader+len(p)))
	return &encoding{frame: append(frame, p...), header: len(frame), rsv1: h.RSV1}
}

func (e *encoding) payload() []byte { return e.frame[e.header:] }

// prepared sends a message that is encoded already, in a plain form and, as far
// as deflated gives any, in compressed ones, which begin without a context. A
// client has still to mask it.
func (w *writer) prepared(opcode int, plain *encoding, deflated func(form) *encoding) error {
	return w.withTurn(context.Background(), opcode, w.until(), func() error {
		e := plain
		if w.deflate.wants(opcode, len(plain.payload())) {
			if smaller := deflated(w.deflate.form()); smaller != nil {
				w.deflate.sent(plain.payload())
				e = smaller
			}
		}
		if w.server {
			return w.write(e.frame)
		}
		p := e.payload()
		return w.writeFrame(FrameHeader{Fin: true, RSV1: e.rsv1, Opcode: opcode, Length: int64(len(p))}, p)
	})
}

// control sends a control frame. It waits for its turn, but not for the end of
// a message that is open.
func (w *writer) control(ctx context.Context, opcode int, p []byte, deadline time.Time) error {
	return w.withTurn(ctx, opcode, deadline, func() error {
		return w.writeFrame(FrameHeader{Fin: true, Opcode: opcode, Length: int64(len(p))}, p)
	})
}

// withTurn takes the turn for a frame with this opcode, calls write, which sends
// it, and hands the turn on. An error of write is the end of this direction.
func (w *writer) withTurn(ctx context.Context, opcode int, deadline time.Time, write func() error) error {
	if err := w.turn.take(ctx, purposeOf(opcode), deadline); err != nil {
		if err == errTurnTimeout && !isControl(opcode) {
			w.mendStall()
		}
		return err
	}
	defer w.release()
	if opcode == CloseMessage && w.owesClose() {
		return ErrCloseSent // release sends it
	}
	// While nothing was sent, nothing is lost.
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if !deadline.IsZero() && !time.Now().Before(deadline) {
		return errTurnTimeout
	}
	err := w.out.accept(opcode)
	if err == nil {
		err = w.arm(deadline)
	}
	if err == nil {
		err = w.interruptible(ctx, write)
	}
	if err != nil {
		return w.fail(err)
	}
	if w.out.closed {
		w.close()
	}
	return nil
}

// mendStall is called when a message has waited for its turn until its deadline.
// If that is because a reply of ours is stuck, since the peer has read nothing
// for a while, the writing side ends, as it would if the message itself were
// stuck: replies have no deadline of their own.
func (w *writer) mendStall() {
	w.turn.mu.Lock()
	defer w.turn.mu.Unlock()
	if w.replying && time.Since(w.since) >= stallTime {
		w.hurryLocked(longAgo)
	}
}

// stallTime is how long a reply may be under way before a message's deadline
// counts for it too.
const stallTime = time.Second

// interruptible calls write and makes it fail when ctx ends.
func (w *writer) interruptible(ctx context.Context, write func() error) error {
	if ctx.Done() == nil {
		return write()
	}
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(interrupted)
		w.hurry(longAgo)
	})
	err := write()
	if !stop() {
		<-interrupted
		if err != nil {
			err = context.Cause(ctx)
		}
	}
	return err
}

// longAgo is a deadline that makes I/O in progress fail at once.
var longAgo = time.Unix(1, 0)

// arm sets the network connection's deadline for the writes that follow.
func (w *writer) arm(deadline time.Time) error {
	w.turn.mu.Lock()
	defer w.turn.mu.Unlock()
	if deadline.Equal(w.armed) {
		return nil
	}
	w.armed = deadline
	return w.nc.SetWriteDeadline(deadline)
}

// hurry brings the deadline of a write in progress forward.
func (w *writer) hurry(deadline time.Time) {
	w.turn.mu.Lock()
	defer w.turn.mu.Unlock()
	w.hurryLocked(deadline)
}

func (w *writer) hurryLocked(deadline time.Time) {
	if w.armed.IsZero() || deadline.Before(w.armed) {
		w.armed = deadline
		_ = w.nc.SetWriteDeadline(deadline) // best effort: the write may be over
	}
}

// fail ends this direction with err and returns what it ended with, which is an
// earlier error if there was one.
func (w *writer) fail(err error) error {
	w.turn.mu.Lock()
	w.turn.endLocked(err)
	err = w.turn.ended
	w.turn.mu.Unlock()
	w.failed(err)
	return err
}

// close ends this direction after our close frame.
func (w *writer) close() {
	w.turn.end(ErrCloseSent)
	w.closed()
}

// closeSent reports whether our close frame was sent.
func (w *writer) closeSent() bool { return w.err() == ErrCloseSent }

// reply sends a pong or the answer to a close frame without ever blocking the
// caller, who is the reader: if somebody is writing, the frame is left for them
// to send when their own is done. There is one place for each kind. A newer
// pong takes the place of an older one, for an endpoint "MAY elect to send a
// Pong frame for only the most recently processed Ping frame" (section 5.5.3).
func (w *writer) reply(opcode int, p []byte) {
	p = append(make([]byte, 0, len(p)), p...) // not nil, even if empty
	w.turn.mu.Lock()
	if opcode == CloseMessage {
		w.echo = p
	} else {
		w.pong = p
	}
	free := w.turn.tryLocked(control)
	w.turn.mu.Unlock()
	if free {
		w.release()
	}
}

// probe sends an empty ping without ever blocking the caller, unless somebody is
// writing. It reports whether it did.
func (w *writer) probe() bool {
	w.turn.mu.Lock()
	w.ping = w.turn.tryLocked(control)
	free := w.ping
	w.turn.mu.Unlock()
	if free {
		w.release()
	}
	return free
}

// release sends what we owe and hands the turn on. It never blocks.
func (w *writer) release() {
	w.turn.mu.Lock()
	b, last := w.takeReplies()
	if b == nil {
		w.turn.releaseLocked()
		w.turn.mu.Unlock()
		return
	}
	w.turn.mu.Unlock()

	err := w.arm(w.byTimeout())
	n := 0
	if err == nil {
		n, err = w.tryWrite(b)
	}
	if err == nil && n < len(b) {
		// The socket is full, or of a kind that knows no writing without
		// blocking.
		go w.sendReplies(b[n:], last)
		return
	}
	if b, last = w.replied(err, last); b != nil {
		go w.sendReplies(b, last) // this goroutine has done its share
	}
}

// sendReplies sends what takeReplies has encoded. It is a goroutine that ends
// when nothing more is owed or somebody else has the turn, at the deadline, or
// when the connection is closed.
func (w *writer) sendReplies(b []byte, last bool) {
	for b != nil {
		err := w.arm(w.byTimeout())
		if err == nil {
			err = w.write(b)
		}
		b, last = w.replied(err, last)
	}
}

// takeReplies encodes the frames that we owe, nil for none. last says that a
// close frame is among them. The caller has the turn and its mutex, and calls
// replied in the end.
func (w *writer) takeReplies() (b []byte, last bool) {
	if w.turn.ended != nil {
		return nil, false
	}
	if w.ping {
		b = w.appendFrame(b, FrameHeader{Fin: true, Opcode: PingMessage}, nil)
	}
	if w.pong != nil {
		b = w.appendFrame(b, FrameHeader{Fin: true, Opcode: PongMessage, Length: int64(len(w.pong))}, w.pong)
	}
	if w.echo != nil {
		last = w.out.accept(CloseMessage) == nil // always, for else this direction had ended
		b = w.appendFrame(b, FrameHeader{Fin: true, Opcode: CloseMessage, Length: int64(len(w.echo))}, w.echo)
	}
	w.pong, w.echo, w.ping = nil, nil, false
	if w.replying = b != nil; w.replying {
		w.since = time.Now()
	}
	return b, last
}

// replied ends what takeReplies began, and hands the turn to who waits for it:
// they will send what we have come to owe meanwhile. So a flood of pings holds
// nobody up. If nobody waits it returns what is owed and keeps the turn.
func (w *writer) replied(err error, last bool) (b []byte, more bool) {
	if err != nil {
		_ = w.fail(err) // the next write reports it
	} else if last {
		w.close()
	}
	w.turn.mu.Lock()
	defer w.turn.mu.Unlock()
	w.replying = false
	if w.turn.releaseLocked() || w.pong == nil && w.echo == nil || !w.turn.tryLocked(control) {
		return nil, false
	}
	return w.takeReplies()
}

// forget gives up what compression remembers of the messages sent so far, and
// reports whether it could: nobody was writing, nor will for what is left.
func (w *writer) forget() bool {
	w.turn.mu.Lock()
	if w.turn.ended != nil && !w.turn.taken {
		w.deflate.forget() // nobody gets the turn any more
		w.turn.mu.Unlock()
		return true
	}
	free := !w.turn.open && w.turn.tryLocked(control)
	w.turn.mu.Unlock()
	if free {
		w.deflate.forget()
		w.release()
	}
	return free
}

// owesClose reports whether we owe the peer a close frame, which goes before one of
// the program's: it says what the connection ended with.
func (w *writer) owesClose() bool {
	w.turn.mu.Lock()
	defer w.turn.mu.Unlock()
	return w.echo != nil
}

// owing reports whether frames that we owe the peer are not sent yet.
func (w *writer) owing() bool {
	w.turn.mu.Lock()
	defer w.turn.mu.Unlock()
	return w.turn.ended == nil && (w.pong != nil || w.echo != nil) || w.replying
}

// settle waits until what we owe the peer is sent, but not past the deadline.
func (w *writer) settle(deadline time.Time) {
	for w.owing() {
		w.hurry(deadline)
		if w.turn.take(context.Background(), control, deadline) != nil {
			return
		}
		w.release()
	}
}

const (
	smallPayload = 4 << 10  // bytes up to which a payload is copied behind its header, to be sent by one call
	maskChunk    = 64 << 10 // bytes that a client masks and sends at a time
)

var (
	smallBuffers = sync.Pool{New: func() any { return new([maxHeader + smallPayload]byte) }}
	chunkBuffers = sync.Pool{New: func() any { return new([maskChunk]byte) }}
)

// writeFrame sends one frame. p is not changed. The caller has the turn.
func (w *writer) writeFrame(h FrameHeader, p []byte) error {
	switch {
	case len(p) <= smallPayload:
		buf := smallBuffers.Get().(*[maxHeader + smallPayload]byte)
		defer smallBuffers.Put(buf)
		return w.write(w.appendFrame(buf[:0], h, p))
	case w.server:
		return w.writeVector(h, p)
	}
	return w.writeMasked(h, p)
}

// appendFrame encodes the frame with payload p at the end of dst.
func (w *writer) appendFrame(dst []byte, h FrameHeader, p []byte) []byte {
	if w.server {
		return append(h.Append(dst), p...)
	}
	h.Masked, h.MaskKey = true, newMaskKey()
	dst = append(h.Append(dst), p...)
	xor.Mask(h.MaskKey, 0, dst[len(dst)-len(p):])
	return dst
}

// writeVector sends header and payload from where they lie.
func (w *writer) writeVector(h FrameHeader, p []byte) error {
	buf := smallBuffers.Get().(*[maxHeader + smallPayload]byte)
	defer smallBuffers.Put(buf)
	w.vec = [2][]byte{h.Append(buf[:0]), p}
	w.bufs = w.vec[:]
	_, err := w.bufs.WriteTo(w.nc)
	w.vec = [2][]byte{}
	return err
}

// writeMasked sends a large payload masked, a chunk at a time, so that the
// caller's bytes stay as they are and the masked ones are still in the cache
// when the network connection takes them.
func (w *writer) writeMasked(h FrameHeader, p []byte) error {
	buf := chunkBuffers.Get().(*[maskChunk]byte)
	defer chunkBuffers.Put(buf)
	h.Masked, h.MaskKey = true, newMaskKey()
	chunk := h.Append(buf[:0])
	pos := 0
	for len(p) > 0 {
		start := len(chunk)
		n := min(len(p), len(buf)-start)
		chunk = chunk[:start+n]
		pos = xor.Copy(chunk[start:], p[:n], h.MaskKey, pos)
		if err := w.write(chunk); err != nil {
			return err
		}
		p, chunk = p[n:], buf[:0]
	}
	return nil
}

// writeInPlace sends the frame whose payload is b[maxHeader:]; the bytes before
// are room for its header. b is masked in place if we are a client.
func (w *writer) writeInPlace(h FrameHeader, b []byte) error {
	h.Length = int64(len(b) - maxHeader)
	if !w.server {
		h.Masked, h.MaskKey = true, newMaskKey()
		xor.Mask(h.MaskKey, 0, b[maxHeader:])
	}
	var scratch [maxHeader]byte
	header := h.Append(scratch[:0])
	start := maxHeader - len(header)
	copy(b[start:], header)
	return w.write(b[start:])
}

// write writes b by one call. The caller has the turn.
func (w *writer) write(b []byte) (err error) {
	if w.socket != nil && len(b) <= sock.MaxSize {
		_, err = w.socket.write(b, true)
	} else {
		_, err = w.nc.Write(b)
	}
	return err
}

// tryWrite writes what there is room for of b, and nothing where no way is known
// to find that out without waiting. The caller has the turn.
func (w *writer) tryWrite(b []byte) (n int, err error) {
	if w.socket == nil {
		return 0, nil
	}
	return w.socket.write(b, false)
}

// next begins a message that is written piece by piece. It ends the one before
// if that is unfinished.
func (w *writer) next(opcode int) (*messageWriter, error) {
	mw := &messageWriter{w: w, opcode: opcode, limit: w.size, pool: w.bufferPool()}
	if isControl(opcode) {
		mw.limit = maxControlPayload
	}
	mw.compress = w.deflate.enabled(opcode)
	for {
		before, err := w.begin(mw)
		if before == nil {
			return mw, err
		}
		if err := before.makeWay(); err != nil && !before.over() {
			return nil, err
		}
	}
}

// begin makes mw the message that NextWriter began last, or returns the one that
// is and has not ended.
func (w *writer) begin(mw *messageWriter) (before *messageWriter, err error) {
	w.turn.mu.Lock()
	defer w.turn.mu.Unlock()
	switch {
	case w.stream != nil:
		return w.stream, nil
	case w.turn.ended != nil:
		return nil, w.turn.ended
	}
	w.stream = mw
	return nil, nil
}

// A messageWriter sends one message as one frame or several fragments
// (section 5.4). It is the io.WriteCloser of NextWriter.
type messageWriter struct {
	w      *writer
	limit  int          // bytes of payload that buf may gather
	mu     sync.Mutex   // guards what follows
	opcode int          // of the next frame
	buf    *writeBuffer // room for a header, then payload not sent yet; nil before the first and after the end
	pool   BufferPool   // where buf belongs
	n      int          // bytes of payload in buf
	err    error        // why nothing can be written any more

	compress  bool // it is to be compressed if that makes it smaller
	deflating bool // its first fragment was compressed, and so the others are
}

// Write adds p to the message. A fragment is sent when more comes than the
// buffer can take.
func (mw *messageWriter) Write(p []byte) (n int, err error) {
	mw.mu.Lock()
	defer mw.mu.Unlock()
	if mw.err == nil && mw.w.server && len(p) > 2*mw.limit && !isControl(mw.opcode) && !mw.compress {
		return mw.writeThrough(p) // what needs no mask needs no copy either
	}
	return gather(mw, p)
}

// WriteString is Write without a copy of s.
func (mw *messageWriter) WriteString(s string) (n int, err error) {
	mw.mu.Lock()
	defer mw.mu.Unlock()
	return gather(mw, s)
}

// ReadFrom adds all that r gives to the message.
func (mw *messageWriter) ReadFrom(r io.Reader) (n int64, err error) {
	// The lock is not held while r makes us wait: somebody may have to end the
	// message meanwhile.
	if _, err := mw.Write(nil); err != nil {
		return 0, err
	}
	buf := smallBuffers.Get().(*[maxHeader + smallPayload]byte)
	defer smallBuffers.Put(buf)
	for {
		k, readErr := r.Read(buf[:])
		if k > 0 {
			mw.mu.Lock()
			k, err = gather(mw, buf[:k])
			mw.mu.Unlock()
			n += int64(k)
			if err != nil {
				return n, err
			}
		}
		switch readErr {
		case nil:
		case io.EOF:
			return n, nil
		default:
			return n, readErr
		}
	}
}

// Close ends the message and sends what is left of it.
func (mw *messageWriter) Close() error {
	mw.mu.Lock()
	defer mw.mu.Unlock()
	if mw.err != nil {
		return mw.err
	}
	if mw.buf == nil {
		mw.borrow()
	}
	if err := mw.flush(true); err != nil {
		return err
	}
	mw.end(errWriteClosed)
	return nil
}

// makeWay ends the message for the sake of another.
func (mw *messageWriter) makeWay() error {
	if err := mw.Close(); err != nil {
		return err
	}
	mw.mu.Lock()
	defer mw.mu.Unlock()
	mw.err = errWriteEnded
	return nil
}

// over reports whether the message has ended, well or badly.
func (mw *messageWriter) over() bool {
	mw.mu.Lock()
	defer mw.mu.Unlock()
	return mw.err != nil
}

func gather[T []byte | string](mw *messageWriter, p T) (n int, err error) {
	for n < len(p) {
		room, err := mw.room()
		if err != nil {
			return n, err
		}
		k := copy(room, p[n:])
		mw.n += k
		n += k
	}
	return n, mw.err
}

// room returns the free part of the buffer, which it makes by sending a full one.
func (mw *messageWriter) room() ([]byte, error) {
	if mw.err != nil {
		return nil, mw.err
	}
	if mw.buf == nil {
		mw.borrow()
	}
	if mw.n == mw.limit && mw.compress && mw.limit < deflate.BlockSize {
		mw.grow()
	}
	if mw.n == mw.limit {
		if isControl(mw.opcode) {
			mw.end(errInvalidControl) // it must not be fragmented (section 5.5)
			return nil, mw.err
		}
		if err := mw.flush(false); err != nil {
			return nil, err
		}
	}
	return mw.buf.b[maxHeader+mw.n : maxHeader+mw.limit], nil
}

// flush sends the payload gathered so far as the next frame of the message.
func (mw *messageWriter) flush(fin bool) error {
	b := mw.buf.b[:maxHeader+mw.n]
	err := mw.send(fin, func(h FrameHeader) error {
		switch {
		case mw.compress:
			return mw.deflate(h, b[maxHeader:])
		case mw.pool == &blockBuffers: // it was to be compressed, but was not
			return mw.w.writeFragments(h, b[maxHeader:])
		}
		return mw.w.writeInPlace(h, b)
	})
	if err == nil {
		mw.n = 0
	}
	return err
}

// deflate sends p, what is at hand of a message that is to be compressed. The
// caller has the turn, so that no other message comes between what is compressed
// and what is sent.
func (mw *messageWriter) deflate(h FrameHeader, p []byte) error {
	w := mw.w
	buf := borrowFor(len(p))
	defer buf.giveBack()
	out := buf.b
	switch {
	case mw.deflating:
		out = w.deflate.piece(out, p, h.Fin)
	case h.Fin: // it is here as a whole
		if len(p) > 0 && len(p) >= w.deflate.threshold {
			out, h.RSV1 = w.deflate.message(out, p)
		}
		if !h.RSV1 {
			return w.writeFragments(h, p)
		}
	case !w.deflate.begins(len(p)):
		mw.compress = false
		return w.writeFragments(h, p)
	default:
		mw.deflating = true
		h.RSV1 = true // on the first fragment and no other (RFC 7692, section 6)
		out = w.deflate.first(out, p)
	}
	buf.b = out[:0]
	return w.writeFragments(h, out)
}

// writeFragments sends p in as many frames of the writer's size as it takes, by
// one call.
func (w *writer) writeFragments(h FrameHeader, p []byte) error {
	buf := borrowBuffer(len(p) + (len(p)/w.size+1)*maxHeader)
	defer buf.giveBack()
	b := buf.b
	for fin := h.Fin; ; h.Opcode, h.RSV1 = opContinuation, false {
		n := min(len(p), w.size)
		h.Fin = fin && n == len(p)
		h.Length = int64(n)
		b = w.appendFrame(b, h, p[:n])
		if p = p[n:]; len(p) == 0 {
			break
		}
	}
	return w.write(b)
}

// writeThrough sends p as a fragment of its own.
func (mw *messageWriter) writeThrough(p []byte) (n int, err error) {
	if mw.n > 0 {
		if err := mw.flush(false); err != nil {
			return 0, err
		}
	}
	err = mw.send(false, func(h FrameHeader) error {
		h.Length = int64(len(p))
		return mw.w.writeFrame(h, p)
	})
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// send has write send the next frame of the message. A timeout before anything
// was sent leaves the message as it was.
func (mw *messageWriter) send(fin bool, write func(FrameHeader) error) error {
	w := mw.w
	opcode := mw.opcode
	err := w.withTurn(context.Background(), opcode, w.until(), func() error {
		if !isControl(opcode) {
			w.turn.setOpen(!fin)
		}
		return write(FrameHeader{Fin: fin, Opcode: opcode})
	})
	if err == nil {
		mw.opcode = opContinuation
	} else if ended := w.err(); ended != nil {
		mw.end(ended)
	}
	return err
}

// end gives the buffer back and has later calls return err.
func (mw *messageWriter) end(err error) {
	mw.err = err
	if mw.buf != nil {
		mw.pool.Put(mw.buf)
		mw.buf = nil
	}
	mw.w.turn.mu.Lock()
	defer mw.w.turn.mu.Unlock()
	if mw.w.stream == mw {
		mw.w.stream = nil
	}
}

// writeBuffer is what a BufferPool holds for us.
type writeBuffer struct{ b []byte }

// ownBuffers serves connections that were given no BufferPool.
var ownBuffers sync.Pool

func (w *writer) bufferPool() BufferPool {
	if w.pool != nil {
		return w.pool
	}
	return &ownBuffers
}

// borrow gets a buffer, which end gives back. A pool may hold buffers of other
// sizes, or of other programs: those are left to the garbage collector.
func (mw *messageWriter) borrow() {
	buf, ok := mw.pool.Get().(*writeBuffer)
	if !ok || buf == nil || len(buf.b) < maxHeader+mw.limit {
		buf = &writeBuffer{make([]byte, maxHeader+mw.limit)}
	}
	mw.buf = buf
}

var blockBuffers sync.Pool // of *writeBuffer with room for a block

// grow replaces a full buffer by one that holds a block.
func (mw *messageWriter) grow() {
	small, pool := mw.buf, mw.pool
	mw.limit, mw.pool = deflate.BlockSize, &blockBuffers
	mw.borrow()
	copy(mw.buf.b[maxHeader:], small.b[maxHeader:][:mw.n])
	pool.Put(small)
}
