package websocket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/duplexkit/websocket/internal/deflate"
	"github.com/duplexkit/websocket/internal/sock"
	"github.com/duplexkit/websocket/internal/xor"
)

// This file holds one direction of a connection: what we send. From top to
// bottom: the writer and its state; whole messages; control frames; deadlines and the
// end; frames and the bytes on the wire; at the end messageWriter, a message written
// piece by piece. What is accepted and sent later is in pending.go.

var (
	errWriteClosed    = errors.New("websocket: write closed")
	errWriteEnded     = fmt.Errorf("%w: another NextWriter was begun", errWriteClosed)
	errBadMessageType = errors.New("websocket: bad write message type")
	errInvalidControl = errors.New("websocket: invalid control frame")
)

// ErrWriteQueueFull is returned by TryWriteMessage and TryWritePreparedMessage when a
// message finds no room in the queue, whose size is Options.WriteQueue. Nothing of it
// is sent.
var ErrWriteQueueFull = errors.New("websocket: write queue full")

// errDropped is why frames were not sent that had been accepted.
const errDropped = timeoutError("queued messages could not be sent in time")

// A writer sends messages and control frames. All its methods may be called
// concurrently; whoever has the turn writes.
type writer struct {
	*writeConfig
	line   *socket
	server bool // which end we are: a client masks, unless a browser does it
	up     writes

	turn turn
	// The turn's mutex guards these.
	out       outbound
	said      bool // our close frame was sent
	calledOff bool // a context has ended a write; written by who has the turn
	pending
	deadline moment         // what the program set, zero for none
	armed    moment         // the deadline that nc has
	stream   *messageWriter // the message that NextWriter began last, nil after its end
	stats    writeStats

	wire atomic.Int64 // bytes that the network connection has taken

	// For whoever has the turn, and as long as the turn is free or the holder has
	// encoded its own, whoever has the mutex; nil without permessage-deflate.
	deflate *deflater
}

// writeConfig is what the program wants of a writer.
type writeConfig struct {
	size    int           // bytes of payload that a messageWriter gathers for one fragment
	limit   int           // bytes that may wait for try to send them
	pool    BufferPool    // where a messageWriter borrows its buffer, nil is a pool of our own
	timeout time.Duration // longest that a message may take, 0 is for ever
	tap     *tap          // sees what is sent, nil for none
	watch   watch         // of the connection, nil for none
}

// usualWrites is what most programs want, which connections share.
var usualWrites = writeConfig{size: defaultBufferSize, limit: defaultWriteQueue}

func newWriteConfig(opts *Options, b bufferOptions) *writeConfig {
	c := writeConfig{
		size:    positive(b.write, defaultBufferSize),
		limit:   positive(opts.WriteQueue, defaultWriteQueue),
		pool:    b.pool,
		timeout: opts.WriteTimeout,
	}
	if c.pool == nil && c == usualWrites {
		return &usualWrites
	}
	return &c
}

// A moment is a time.Time that takes less room: nanoseconds since the program began,
// zero is the zero time.
type moment int64

func momentOf(t time.Time) moment {
	if t.IsZero() {
		return 0
	}
	if m := moment(t.Sub(begunAt)); m != 0 {
		return m
	}
	return 1
}

// onOurClock returns a time of the program's as one that is read on the clock that no
// one sets, which it may not be: one that was parsed or rounded is not.
func onOurClock(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	now := time.Now()
	return now.Add(t.Sub(now))
}

func (m moment) time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return begunAt.Add(time.Duration(m))
}

// writes is told how this direction ends.
type writes interface {
	onCloseSent()        // our close frame was sent
	onWriteFailed(error) // the network took no more
}

// writeStats are what was sent.
type writeStats struct{ messages, payload int64 }

// defaultWriteQueue is the size of the queue where Options.WriteQueue is 0, in bytes.
const defaultWriteQueue = 1 << 20

// setDeadline sets the time by which messages must be written; zero leaves it
// to the timeout.
func (w *writer) setDeadline(t time.Time) {
	w.turn.mu.Lock()
	defer w.turn.mu.Unlock()
	w.deadline = momentOf(onOurClock(t))
}

// until returns the time by which a message that begins now must be written.
func (w *writer) until() time.Time {
	w.turn.mu.Lock()
	defer w.turn.mu.Unlock()
	return w.untilLocked()
}

func (w *writer) untilLocked() time.Time {
	if w.deadline == 0 {
		return w.byTimeout()
	}
	return w.deadline.time()
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
	return w.turn.ended()
}

// statistics returns what was sent so far, and how many bytes are still to be.
func (w *writer) statistics() (s writeStats, queued int, dropped int64) {
	w.turn.mu.Lock()
	defer w.turn.mu.Unlock()
	if w.strain != nil {
		dropped = w.strain.dropped
	}
	return w.stats, w.queued + w.flying, dropped
}

// count notes a frame with so many bytes of payload, that of a message unless it is a
// control frame.
func (w *writer) count(opcode, payload int) {
	if !isControl(opcode) {
		w.stats.messages++
		w.stats.payload += int64(payload)
	}
}

// countPart is count for a fragment.
func (w *writer) countPart(opcode, payload int, fin bool) {
	if isControl(opcode) {
		return
	}
	w.turn.mu.Lock()
	defer w.turn.mu.Unlock()
	w.stats.payload += int64(payload)
	if fin {
		w.stats.messages++
	}
}

// message sends p as one message of one frame.
func (w *writer) message(ctx context.Context, opcode int, p []byte) error {
	if isControl(opcode) {
		return w.control(ctx, opcode, p, w.until())
	}
	if ctx.Done() == nil && len(p) < smallMessage {
		if done, err := w.sendPlain(opcode, p); done {
			return err
		}
	}
	return w.sendOutgoing(ctx, opcode, p)
}

//go:noinline
func (w *writer) sendOutgoing(ctx context.Context, opcode int, p []byte) error {
	m := w.outgoing(opcode, p)
	return w.send(ctx, &m)
}

// sendPlain is send for the plainest case, in which it is done: a small message that
// is not compressed, over a socket on which nobody else writes and nothing waits. It
// takes so little of the stack that a goroutine which reads, calls a plain handler
// and writes gets along with the smallest there is, half of the next.
func (w *writer) sendPlain(opcode int, p []byte) (done bool, err error) {
	if w.line.raw == nil || w.tap != nil || w.deflate.wants(opcode, len(p)) {
		return false, nil
	}
	w.turn.mu.Lock()
	if !w.idleLocked() || w.holding || w.deadline != 0 || w.armed != 0 || w.timeout != 0 {
		w.turn.mu.Unlock()
		return false, nil
	}
	w.turn.taken, w.joinable, w.replying = true, true, false
	b := w.frameOf(opcode, p)
	w.turn.mu.Unlock()
	n, err := w.line.write(b.b, true)
	w.wire.Add(int64(n)) // and there is no tap
	b.giveBack()
	if err != nil {
		err = w.fail(err)
	}
	w.turn.mu.Lock()
	if err == nil && w.quietLocked() {
		w.joinable, w.turn.taken = false, false
		w.turn.mu.Unlock()
		return true, nil
	}
	w.passOnLocked(true)
	return true, err
}

// idleLocked reports whether a message may be sent at once, and nothing with it.
func (w *writer) idleLocked() bool {
	return !w.turn.taken && !w.turn.open && w.turn.ended() == nil && !w.out.closed && w.refused() == nil && w.quietLocked()
}

// quietLocked reports whether nobody waits, and nothing.
func (w *writer) quietLocked() bool {
	return w.front == nil && len(w.turn.queue()) == 0 && !w.owes() && (w.strain == nil || w.strain.settled == nil)
}

// frameOf returns a frame in memory that it borrows.
//
//go:noinline
func (w *writer) frameOf(opcode int, p []byte) *buffer {
	w.count(opcode, len(p))
	b := borrowBuffer(maxHeader + len(p))
	b.b = w.appendFrame(b.b, FrameHeader{Fin: true, Opcode: opcode, Length: int64(len(p))}, p)
	return b
}

// outgoing returns p as a message to be sent.
func (w *writer) outgoing(opcode int, p []byte) outgoing {
	return outgoing{opcode: opcode, p: p, compress: w.deflate.wants(opcode, len(p)), at: w.tap.now()}
}

// An encoding is a message as a server sends it, in one frame.
type encoding struct {
	frame []byte
	head  FrameHeader
	lent  *buffer // the frame, for any number of queues
}

func encode(h FrameHeader, p []byte) *encoding {
	h.Length = int64(len(p))
	frame := append(h.Append(make([]byte, 0, maxHeader+len(p))), p...)
	return &encoding{frame: frame, head: h, lent: sharedBuffer(frame)}
}

func (e *encoding) header() FrameHeader { return e.head }
func (e *encoding) payload() []byte     { return e.frame[len(e.frame)-int(e.head.Length):] }

// prepared sends a message that is encoded already.
func (w *writer) prepared(m outgoing) error {
	if isControl(m.opcode) {
		return w.control(context.Background(), m.opcode, m.p, w.until())
	}
	return w.send(context.Background(), &m)
}

// outgoingPrepared returns a message to be sent that is encoded already, in a plain
// form and, as far as deflated gives any, in compressed ones, which begin without a
// context. A client has still to mask it.
func (w *writer) outgoingPrepared(opcode int, plain *encoding, deflated func(form) *encoding) outgoing {
	m := outgoing{opcode: opcode, p: plain.payload(), plain: plain, at: w.tap.now()}
	if w.deflate.wants(opcode, len(m.p)) {
		m.deflated = deflated(w.deflate.form())
		m.compress = m.deflated != nil
	}
	return m
}

// admitLocked returns an error for a message that can't begin now, and otherwise
// the time by which it has to be written.
func (w *writer) admitLocked() (deadline time.Time, err error) {
	switch {
	case w.turn.ended() != nil:
		return deadline, w.turn.ended()
	case w.out.closed:
		return deadline, ErrCloseSent // it is on its way
	case w.refused() != nil:
		return deadline, w.refused()
	case w.deadline != 0 && momentOf(time.Now()) >= w.deadline:
		return deadline, errTurnTimeout
	}
	return w.untilLocked(), nil
}

// send sends a message. A small one is left to whoever is writing. This is the way of
// most messages, and it is kept short: a goroutine that reads, calls a plain handler
// and writes gets along with the smallest of stacks.
func (w *writer) send(ctx context.Context, m *outgoing) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	w.turn.mu.Lock()
	deadline, err := w.admitLocked()
	if err != nil {
		w.turn.mu.Unlock()
		return err
	}
	if w.turn.open || len(m.p) >= smallMessage || w.turn.taken && !w.joinsLocked(m) || !w.turn.taken && len(w.turn.queue()) > 0 {
		return w.sendInTurn(ctx, m, deadline)
	}
	before := w.queued
	w.enqueueLocked(m)
	switch {
	case w.turn.taken:
		w.turn.mu.Unlock()
		return nil
	case w.holding && w.queued < holdBytes:
		w.startLocked()
		return nil
	}
	w.turn.taken = true
	return w.sendLocked(ctx, deadline, w.queued-before)
}

// sendInTurn sends a message in person, unless a small one is sent by somebody else
// meanwhile. The caller has the mutex, which it gives up.
func (w *writer) sendInTurn(ctx context.Context, m *outgoing, deadline time.Time) error {
	if w.takesAtOnceLocked(begin) {
		w.turn.mu.Unlock()
	} else if sent, err := w.awaitTurnLocked(ctx, *m, deadline); sent || err != nil {
		return err
	}
	return w.perform(ctx, flight{opcode: m.opcode, deadline: deadline}, func() error { return w.writeMessage(m) })
}

// takesAtOnceLocked takes the turn if nobody has it and nothing goes first.
func (w *writer) takesAtOnceLocked(want purpose) bool {
	return (w.queued == 0 || w.turn.open) && w.turn.tryLocked(want)
}

// waitLocked waits for the turn behind all that is queued, which it has sent if nobody
// is at it. The caller has the mutex, which it gives up.
func (w *writer) waitLocked(ctx context.Context, me *waiter, deadline time.Time) error {
	w.turn.enlistLocked(me)
	if w.turn.tryLocked(me.want) {
		w.passOnLocked(false)
	} else {
		w.turn.mu.Unlock()
	}
	return w.turn.await(ctx, me, deadline)
}

// awaitTurnLocked waits for the turn to send m. sent says that somebody else has
// sent it meanwhile. The caller has the mutex, which it gives up.
func (w *writer) awaitTurnLocked(ctx context.Context, m outgoing, deadline time.Time) (sent bool, err error) {
	me := &waiter{want: begin}
	// A tap would lose count: such messages are encoded later than what stands behind them.
	if len(m.p) < smallMessage && w.tap == nil {
		me.message = &m
	}
	err = w.waitLocked(ctx, me, deadline)
	if err == errTurnTimeout {
		w.mendStall()
	}
	return me.sent, err
}

// sendLocked writes what stands at the front, of which the last so many bytes are
// the caller's own, and hands the turn on. The caller has the turn and the mutex,
// which it gives up.
func (w *writer) sendLocked(ctx context.Context, deadline time.Time, own int) (err error) {
	w.joinable, w.replying = true, false
	mayBlock := ctx.Done() == nil && deadline.IsZero() // as in perform
	b := w.framesLocked(false)
	if b == nil {
		w.passOnLocked(mayBlock)
		return nil
	}
	w.flying = len(b.b) - own
	if err = w.armLocked(deadline); err == nil {
		w.turn.mu.Unlock()
		if ctx.Done() == nil {
			err = w.write(b.b)
		} else {
			err = w.writeUntil(ctx, b.b)
		}
		w.turn.mu.Lock()
	}
	b.giveBack()
	if err == nil {
		w.flying = 0
	} else {
		w.turn.mu.Unlock()
		err = w.fail(err)
		w.turn.mu.Lock()
	}
	w.passOnLocked(mayBlock)
	return err
}

func (w *writer) writeUntil(ctx context.Context, b []byte) error {
	return w.interruptible(ctx, func() error { return w.write(b) })
}

// writeMessage sends m as one frame, compressed if that makes it smaller. The
// caller has the turn.
func (w *writer) writeMessage(m *outgoing) error {
	h := FrameHeader{Fin: true, Opcode: m.opcode, Length: int64(len(m.p))}
	w.tap.inPerson(len(m.p), m.at)
	if m.plain != nil {
		w.turn.mu.Lock()
		e := w.encodingLocked(m)
		w.joinable = true
		w.turn.mu.Unlock()
		if w.server {
			return w.write(e.frame)
		}
		return w.writeFrame(e.header(), e.payload())
	}
	if m.compress {
		buf := borrowFor(len(m.p))
		defer buf.giveBack()
		if b, ok := w.deflate.message(buf.b[:maxHeader], m.p); ok {
			w.encoded(m)
			buf.b = b[:0]
			h.RSV1 = true
			return w.writeInPlace(h, b)
		}
	}
	w.encoded(m)
	return w.writeFrame(h, m.p)
}

// encoded lets others encode their messages, while whoever has the turn writes m.
func (w *writer) encoded(m *outgoing) {
	w.turn.mu.Lock()
	defer w.turn.mu.Unlock()
	w.count(m.opcode, len(m.p))
	w.joinable = true
}

// control sends a control frame. It waits for its turn, but not for the end of
// a message that is open. What waits without anybody goes before it.
func (w *writer) control(ctx context.Context, opcode int, p []byte, deadline time.Time) error {
	if opcode == CloseMessage {
		w.closes(p)
	}
	return w.withTurn(ctx, flight{opcode: opcode, deadline: deadline}, func() error {
		return w.writeFrame(FrameHeader{Fin: true, Opcode: opcode, Length: int64(len(p))}, p)
	})
}

// closes lets the watch know that the program wants to send a close frame.
func (w *writer) closes(p []byte) {
	if w.watch != nil {
		w.watch.closes(p)
	}
}

// A flight is a frame that somebody sends in person.
type flight struct {
	opcode   int
	deadline time.Time // by which it has to be sent, zero for any time
	more     bool      // its message goes on in another frame
}

// withTurn takes the turn for a frame, calls write, which sends it, and hands the
// turn on. An error of write is the end of this direction.
func (w *writer) withTurn(ctx context.Context, f flight, write func() error) error {
	want := purposeOf(f.opcode)
	w.turn.mu.Lock()
	if w.turn.ended() != nil {
		defer w.turn.mu.Unlock()
		return w.turn.ended()
	}
	if w.takesAtOnceLocked(want) {
		w.turn.mu.Unlock()
	} else if err := w.waitLocked(ctx, &waiter{want: want}, f.deadline); err != nil {
		if err == errTurnTimeout && want != control {
			w.mendStall()
		}
		return err
	}
	return w.perform(ctx, f, write)
}

// perform is withTurn for who has the turn.
func (w *writer) perform(ctx context.Context, f flight, write func() error) error {
	defer w.release(ctx.Done() == nil && f.deadline.IsZero()) // others' messages must not outlast a bound of the caller's
	if f.opcode == CloseMessage && w.owesCloseNow() {
		return ErrCloseSent // release sends the one that we owe: it says what the connection ended with
	}
	// While nothing was sent, nothing is lost.
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if !f.deadline.IsZero() && !time.Now().Before(f.deadline) {
		return errTurnTimeout
	}
	ahead, err := w.takeOff(f)
	if err == nil {
		err = w.interruptible(ctx, func() error {
			if ahead != nil {
				if err := w.write(ahead.b); err != nil {
					return err
				}
				w.wrote(len(ahead.b))
			}
			return write()
		})
	}
	ahead.giveBack()
	if err != nil {
		return w.fail(err)
	}
	if f.opcode == CloseMessage {
		w.close()
	}
	return nil
}

func (w *writer) owesCloseNow() bool {
	w.turn.mu.Lock()
	defer w.turn.mu.Unlock()
	return w.owesClose()
}

// takeOff prepares for a frame of whoever has the turn. It returns the frames that
// go ahead of it, nil for none.
func (w *writer) takeOff(f flight) (ahead *buffer, err error) {
	w.turn.mu.Lock()
	defer w.turn.mu.Unlock()
	if err := w.out.accept(f.opcode); err != nil {
		return nil, err
	}
	w.replying = false
	if f.opcode == CloseMessage { // nothing comes after it, and so what was accepted goes first
		if ahead = w.framesLocked(true); ahead != nil {
			w.flying = len(ahead.b)
		}
	}
	if isControl(f.opcode) {
		w.joinable = true
	} else {
		w.turn.open = f.more
	}
	return ahead, w.armLocked(f.deadline)
}

// mendStall is called when a message has waited for its turn until its deadline.
// If that is because a reply of ours is stuck, since the peer has read nothing
// for a while, the writing side ends, as it would if the message itself were
// stuck: replies have no deadline of their own.
func (w *writer) mendStall() {
	w.turn.mu.Lock()
	defer w.turn.mu.Unlock()
	if w.replying && time.Since(w.strain.since) >= stallTime {
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
			w.calledOff = true
			err = context.Cause(ctx)
		}
	}
	return err
}

// longAgo is a deadline that makes I/O in progress fail at once.
var longAgo = time.Unix(1, 0)

// armLocked sets the network connection's deadline for the writes that follow.
func (w *writer) armLocked(deadline time.Time) error {
	if w.strain != nil {
		if latest := w.strain.latest; !latest.IsZero() && (deadline.IsZero() || latest.Before(deadline)) {
			deadline = latest
		}
	}
	if momentOf(deadline) == w.armed {
		return nil
	}
	w.armed = momentOf(deadline)
	return w.line.nc.SetWriteDeadline(deadline)
}

// hurry brings the deadline of a write in progress forward.
func (w *writer) hurry(deadline time.Time) {
	w.turn.mu.Lock()
	defer w.turn.mu.Unlock()
	w.hurryLocked(deadline)
}

func (w *writer) hurryLocked(deadline time.Time) {
	if at := momentOf(deadline); w.armed == 0 || at < w.armed {
		w.armed = at
		_ = w.line.nc.SetWriteDeadline(deadline) // best effort: the write may be over
	}
}

// fail ends this direction with err and returns what it ended with, which is an
// earlier error if there was one.
func (w *writer) fail(err error) error {
	w.turn.mu.Lock()
	w.turn.endLocked(err)
	w.breakLocked(err)
	err = w.turn.ended()
	w.turn.mu.Unlock()
	w.up.onWriteFailed(err)
	return err
}

// close ends this direction after our close frame.
func (w *writer) close() {
	w.turn.mu.Lock()
	w.said = true
	if w.queued > 0 {
		w.lose(errMessageOpen) // for that reason it could not be sent
	}
	w.turn.endLocked(ErrCloseSent)
	w.turn.mu.Unlock()
	w.up.onCloseSent()
	w.turn.mu.Lock() // only now nothing is owed any more: who waits for that may close the network connection
	w.flying = 0
	w.breakLocked(errMessageOpen)
	w.turn.mu.Unlock()
}

// closeSent reports whether our close frame was sent.
func (w *writer) closeSent() bool {
	w.turn.mu.Lock()
	defer w.turn.mu.Unlock()
	return w.said
}

// forget gives up what compression remembers of the messages sent so far, and
// reports whether it could: nobody was writing, nor will for what is left.
func (w *writer) forget() bool {
	w.turn.mu.Lock()
	defer w.turn.mu.Unlock()
	if w.turn.taken || w.turn.open && w.turn.ended() == nil {
		return false
	}
	w.deflate.forget()
	return true
}

const (
	smallPayload = 4 << 10  // bytes up to which a payload is copied behind its header, to be sent by one call
	maskChunk    = 64 << 10 // bytes that a client masks and sends at a time
)

// writeFrame sends one frame. p is not changed. The caller has the turn.
func (w *writer) writeFrame(h FrameHeader, p []byte) error {
	switch {
	case len(p) <= smallPayload:
		buf := borrowBuffer(maxHeader + len(p))
		defer buf.giveBack()
		return w.write(w.appendFrame(buf.b, h, p))
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

// A vector is a frame whose header and payload are sent from where they lie.
type vector struct {
	header [maxHeader]byte
	parts  [2][]byte
	bufs   net.Buffers // of parts; WriteTo eats it up, and would allocate a local one
}

var vectors = sync.Pool{New: func() any { return new(vector) }}

// writeVector sends header and payload from where they lie.
func (w *writer) writeVector(h FrameHeader, p []byte) error {
	switch w.line.nc.(type) {
	case *net.TCPConn, *net.UnixConn:
	default: // WriteTo would make two calls, and go on after a header that was cut short
		return w.writeJoined(h, p)
	}
	v := vectors.Get().(*vector)
	defer vectors.Put(v)
	header := h.Append(v.header[:0])
	v.parts = [2][]byte{header, p}
	v.bufs = v.parts[:]
	n, err := v.bufs.WriteTo(w.line.nc)
	w.took(header[:min(int(n), len(header))])
	w.took(p[:max(int(n)-len(header), 0)])
	v.parts = [2][]byte{}
	return err
}

// writeJoined sends the header together with the beginning of the payload: each write is a
// record of TLS, or a hand-over to the goroutine of an HTTP/2 connection.
func (w *writer) writeJoined(h FrameHeader, p []byte) error {
	lent := borrowBuffer(maskChunk)
	defer lent.giveBack()
	b := h.Append(lent.b[:0])
	n := min(len(p), maskChunk-len(b))
	if err := w.write(append(b, p[:n]...)); err != nil || n == len(p) {
		return err
	}
	return w.write(p[n:])
}

// writeMasked sends a large payload masked, a chunk at a time, so that the
// caller's bytes stay as they are and the masked ones are still in the cache
// when the network connection takes them.
func (w *writer) writeMasked(h FrameHeader, p []byte) error {
	lent := borrowBuffer(maskChunk)
	defer lent.giveBack()
	buf := lent.b[:maskChunk]
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
	var n int
	if w.line.raw != nil && len(b) <= sock.MaxSize {
		n, err = w.line.write(b, true)
	} else {
		n, err = writeAll(w.line.nc, b)
	}
	w.took(b[:n])
	return err
}

// took notes that the network connection has taken b.
func (w *writer) took(b []byte) {
	w.wire.Add(int64(len(b)))
	if w.tap != nil {
		w.tap.sent(b)
	}
}

// tryWrite writes what there is room for of b, and nothing where no way is known
// to find that out without waiting. The caller has the turn.
func (w *writer) tryWrite(b []byte) (n int, err error) {
	if w.line.raw == nil {
		return 0, nil
	}
	n, err = w.line.write(b, false)
	w.took(b[:n])
	return n, err
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
	case w.turn.ended() != nil:
		return nil, w.turn.ended()
	case w.refused() != nil:
		return nil, w.refused()
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
	short  error        // why the last bytes given were not all taken; nil if they were
	total  int          // bytes of payload that were sent

	compress  bool // it is to be compressed if that makes it smaller
	deflating bool // its first fragment was compressed, and so the others are
}

// Write adds p to the message. A fragment is sent when more comes than the
// buffer can take.
func (mw *messageWriter) Write(p []byte) (n int, err error) {
	mw.mu.Lock()
	defer mw.mu.Unlock()
	if mw.err == nil && mw.w.server && len(p) > 2*mw.limit && !isControl(mw.opcode) && !mw.compress {
		n, err = mw.writeThrough(p) // what needs no mask needs no copy either
	} else {
		n, err = gather(mw, p)
	}
	mw.took(len(p), err)
	return n, err
}

// WriteString is Write without a copy of s.
func (mw *messageWriter) WriteString(s string) (n int, err error) {
	mw.mu.Lock()
	defer mw.mu.Unlock()
	n, err = gather(mw, s)
	mw.took(len(s), err)
	return n, err
}

// took notes how so many bytes were taken. If they were not, what there is of the message
// must not look whole to the peer, unless the program goes on with it.
func (mw *messageWriter) took(n int, err error) {
	if n > 0 || err != nil {
		mw.short = err
	}
}

// ReadFrom adds all that r gives to the message.
func (mw *messageWriter) ReadFrom(r io.Reader) (n int64, err error) {
	// The lock is not held while r makes us wait: somebody may have to end the
	// message meanwhile.
	if _, err := mw.Write(nil); err != nil {
		return 0, err
	}
	lent := borrowBuffer(defaultBufferSize)
	defer lent.giveBack()
	buf := lent.b[:defaultBufferSize]
	for {
		k, readErr := r.Read(buf)
		if k > 0 {
			mw.mu.Lock()
			given := k
			k, err = gather(mw, buf[:k])
			mw.took(given, err)
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

// Close ends the message and sends what is left of it, unless the last Write has failed.
func (mw *messageWriter) Close() error {
	mw.mu.Lock()
	defer mw.mu.Unlock()
	return mw.finish()
}

// finish is Close for who has the mutex.
func (mw *messageWriter) finish() error {
	if mw.err != nil {
		return mw.err
	}
	if mw.short != nil { // what there is of it is not the message
		if ended := mw.w.err(); ended != nil {
			mw.end(ended)
			return ended
		}
		return mw.short
	}
	if mw.buf == nil {
		mw.borrow()
	}
	if err := mw.flush(true); err != nil {
		return err
	}
	unsent := mw.w.line.unsent() // while no other messageWriter can begin
	mw.end(errWriteClosed)
	return unsent
}

// makeWay ends the message for the sake of another.
func (mw *messageWriter) makeWay() error {
	mw.mu.Lock()
	defer mw.mu.Unlock()
	if err := mw.finish(); err != nil {
		return err
	}
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
	if mw.opcode == CloseMessage {
		mw.w.closes(b[maxHeader:])
	}
	err := mw.send(fin, mw.n, func(h FrameHeader) error {
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
	err = mw.send(false, len(p), func(h FrameHeader) error {
		h.Length = int64(len(p))
		return mw.w.writeFrame(h, p)
	})
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// send has write send the next frame of the message, with n bytes of its payload. A
// timeout before anything was sent leaves the message as it was.
func (mw *messageWriter) send(fin bool, n int, write func(FrameHeader) error) error {
	w := mw.w
	opcode := mw.opcode
	at := w.tap.now()
	err := w.withTurn(context.Background(), flight{opcode: opcode, deadline: w.until(), more: !fin}, func() error {
		if fin && !isControl(opcode) {
			w.tap.inPerson(mw.total+n, at)
		}
		return write(FrameHeader{Fin: fin, Opcode: opcode})
	})
	if err == nil {
		mw.total += n
		mw.opcode = opContinuation
		w.countPart(opcode, n, fin)
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
