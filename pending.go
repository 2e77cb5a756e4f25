package websocket

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/duplexkit/websocket/internal/sock"
	"github.com/duplexkit/websocket/internal/xor"
)

// What a writer has accepted and not sent yet. Frames for which nobody waits stand
// in one order with those who wait for their turn in person:
//
//	front ─▶ queue: [a large message's writer] [frames] [a NextWriter] [frames] ...
//
// Frames come here when somebody else is writing (message), when nobody may be made
// to wait (try), and while writes are held since more are expected at once (hold).
// Whoever has the turn sends them on before it hands the turn over (release). What
// we owe the peer, a pong or the answer to its close frame, has places of its own
// (reply), so that a peer that asks and does not read finds no memory to fill.

const (
	smallMessage = 16 << 10 // bytes from which on a message waits for its turn in person
	pendingBytes = 64 << 10 // bytes that may wait for a writer who is at work
	batchBytes   = sock.MaxSize
	holdBytes    = 16 << 10               // bytes that are held back at most,
	holdReplies  = 1 << 10                // and at most where a pong is the last of them
	owedPongs    = 1 << 10                // bytes of pongs that may wait for a writer who is at work
	holdTime     = 100 * time.Microsecond // how long they are, if somebody looks,
	hangTime     = time.Millisecond       // and if nobody does
	ownRounds    = 2                      // batches of others that a writer sends on after its own message
)

// pending is the state of what was accepted. The turn's mutex guards it.
type pending struct {
	front  *buffer // frames that go out before anything in the turn's queue, nil for none
	queued int     // bytes of frames in front and in the queue
	flying int     // bytes of frames that are being written, apart from those of whoever writes them

	held   atomic.Int64 // since when frames are held, on the clock of uptime; 0 while none are
	strain *strain      // nil while all goes well

	holding  bool // more writes are expected at once; written by the reading goroutine only
	posted   bool // somebody has left frames here and is going to call flushPosted
	joinable bool // whoever has the turn has encoded all that it sends
	replying bool // nothing but replies is being written
	broken   bool // nothing can be sent any more, not even what was accepted
}

// strain is what a writer needs when the network is not always there for it at once.
type strain struct {
	owed    owed
	since   time.Time     // when replying began
	hang    *time.Timer   // sends what is held if the program hangs
	lost    error         // why frames were dropped that had been accepted, nil if none were
	refused error         // why no message is accepted any more, though this direction has not ended; nil while they are
	latest  time.Time     // when all has to be sent, since the connection is being closed; zero for any time
	settled chan struct{} // closed when nobody has the turn any more; nil if nobody waits for that
	dropped int64         // messages for which the queue had no room
}

// strained returns the strain, beginning from here.
func (w *writer) strained() *strain {
	if w.strain == nil {
		w.strain = new(strain)
	}
	return w.strain
}

// owes reports whether we owe the peer anything.
func (w *writer) owes() bool {
	return w.strain != nil && (w.strain.owed.pongs != nil || w.strain.owed.echo != nil)
}

func (w *writer) owesClose() bool { return w.strain != nil && w.strain.owed.echo != nil }

// refused returns why no message is accepted any more though this direction has not
// ended, nil while they are.
func (w *writer) refused() error {
	if w.strain == nil {
		return nil
	}
	return w.strain.refused
}

// lose notes that frames are dropped that had been accepted. The first reason counts.
func (w *writer) lose(err error) {
	if st := w.strained(); st.lost == nil {
		st.lost = err
	}
}

// lost returns why frames were dropped that had been accepted, nil if none were.
func (w *writer) lost() error {
	if w.strain == nil {
		return nil
	}
	return w.strain.lost
}

// owed is what we owe the peer.
type owed struct {
	pongs  []byte // frames of owedPongs bytes at most, nil for none
	newest int    // where the last of them begins
	echo   []byte // the payload of the close frame that answers the peer's, nil for none
}

// An outgoing message is one to be sent as one frame.
type outgoing struct {
	opcode   int
	p        []byte
	compress bool      // it is to be compressed if that makes it smaller
	plain    *encoding // of a PreparedMessage, nil for others
	deflated *encoding // likewise, compressed; not nil if it is to be compressed
	at       int64     // when it was given to us, for a tap; 0 without one
}

// size returns how many bytes its frame has at most, or may take on the way.
func (m *outgoing) size() int { return maxHeader + len(m.p) + 32 }

// tailLocked returns memory for n bytes more at the end of all that waits.
func (w *writer) tailLocked(n int) *buffer {
	at := &w.front
	if last := len(w.turn.queue()) - 1; last >= 0 {
		at = &w.turn.queue()[last].frames
	}
	if *at == nil && at == &w.front {
		w.front = borrowBuffer(n)
	} else if *at == nil || len((*at).b)+n > batchBytes {
		parcel := &waiter{want: begin, frames: borrowBuffer(n)}
		w.turn.setQueue(append(w.turn.queue(), parcel))
		return parcel.frames
	}
	*at = (*at).withRoom(n)
	return *at
}

// enqueueLocked adds m to the end of all that waits.
func (w *writer) enqueueLocked(m *outgoing) {
	w.tap.queued(m)
	if w.server && m.plain != nil && w.front == nil && len(w.turn.queue()) == 0 {
		w.front = w.encodingLocked(m).lent
		w.queued += len(w.front.b)
		return
	}
	b := w.tailLocked(m.size())
	before := len(b.b)
	w.encodeLocked(b, m)
	w.queued += len(b.b) - before
}

// encodingLocked returns the form in which a message is sent that is encoded already.
func (w *writer) encodingLocked(m *outgoing) *encoding {
	w.count(m.opcode, len(m.p))
	if m.compress {
		w.deflate.sent(m.p)
		return m.deflated
	}
	return m.plain
}

// encodeLocked appends m's frame to b, which has room for it.
func (w *writer) encodeLocked(b *buffer, m *outgoing) {
	if m.plain != nil {
		e := w.encodingLocked(m)
		if w.server {
			b.b = append(b.b, e.frame...)
		} else {
			b.b = w.appendFrame(b.b, e.header(), e.payload())
		}
		return
	}
	w.count(m.opcode, len(m.p))
	h := FrameHeader{Fin: true, Opcode: m.opcode, Length: int64(len(m.p))}
	if !m.compress || !w.deflateInto(b, h, m.p) {
		b.b = w.appendFrame(b.b, h, m.p)
	}
}

// deflateInto appends the frame of p compressed, if that is smaller.
func (w *writer) deflateInto(b *buffer, h FrameHeader, p []byte) bool {
	start := len(b.b)
	out, ok := w.deflate.message(b.b[:start+maxHeader], p)
	if !ok {
		return false
	}
	p = out[start+maxHeader:]
	h.RSV1, h.Length = true, int64(len(p))
	if !w.server {
		h.Masked, h.MaskKey = true, newMaskKey()
		xor.Mask(h.MaskKey, 0, p)
	}
	b.b = append(h.Append(out[:start]), p...) // moves the payload down behind its header
	return true
}

// encodableLocked reports whether what is compressed now is also sent before all
// that others will compress: a message may refer to those sent before it, and to
// no other.
func (w *writer) encodableLocked() bool {
	if w.turn.open || w.turn.taken && !w.joinable {
		return false
	}
	for _, e := range w.turn.queue() {
		if e.frames == nil && e.want == begin {
			return false
		}
	}
	return true
}

// joinsLocked reports whether m may be left to whoever is writing. That somebody is
// sending replies is not the doing of the program, which is told then how its own
// message fared.
func (w *writer) joinsLocked(m *outgoing) bool {
	return !w.replying && w.queued+m.size() <= pendingBytes && (!m.compress || w.encodableLocked())
}

// try queues m without ever blocking.
func (w *writer) try(m outgoing) error {
	if m.opcode == CloseMessage {
		return w.tryClose(m.p)
	}
	w.turn.mu.Lock()
	if err := w.tryLocked(&m); err != nil {
		w.turn.mu.Unlock()
		return err
	}
	w.startLocked()
	return nil
}

// post is try for who sends to many connections. It leaves the sending to somebody
// who calls flushPosted, unless that is due anyway: then due is false.
func (w *writer) post(m outgoing) (due bool, err error) {
	w.turn.mu.Lock()
	defer w.turn.mu.Unlock()
	if err := w.tryLocked(&m); err != nil {
		return false, err
	}
	due = !w.posted && !w.turn.taken
	w.posted = w.posted || due
	return due, nil
}

// flushPosted has the queue sent without blocking, unless somebody is writing.
func (w *writer) flushPosted() {
	w.turn.mu.Lock()
	w.posted = false
	if w.queued == 0 || !w.turn.tryLocked(begin) {
		w.turn.mu.Unlock()
		return
	}
	w.passOnLocked(false)
}

// discard drops what is queued, and lets nothing more be queued but a close frame.
func (w *writer) discard(err error) {
	w.turn.mu.Lock()
	defer w.turn.mu.Unlock()
	w.strained().refused = err
	w.discardLocked(err)
}

// tryClose sends a close frame behind all that was accepted.
func (w *writer) tryClose(p []byte) error {
	w.turn.mu.Lock()
	err := w.turn.ended()
	if err == nil && (w.out.closed || w.owesClose()) {
		err = ErrCloseSent // the one before it goes out, or has
	}
	w.turn.mu.Unlock()
	if err == nil {
		w.closes(p)
		w.reply(CloseMessage, p)
	}
	return err
}

// tryLocked puts m into the queue if there is room.
func (w *writer) tryLocked(m *outgoing) error {
	if _, err := w.admitLocked(); err != nil {
		return err
	}
	if len(m.p)+w.queued+w.flying > w.limit {
		w.strained().dropped++
		return ErrWriteQueueFull
	}
	m.compress = m.compress && w.encodableLocked()
	w.enqueueLocked(m)
	return nil
}

// startLocked has the queue sent without blocking, unless somebody is writing, or
// writes are held. It gives the mutex up.
func (w *writer) startLocked() {
	if w.holding && w.queued < holdBytes && !w.turn.taken && !w.turn.open {
		w.heldLocked()
		w.turn.mu.Unlock()
		return
	}
	if !w.turn.tryLocked(begin) {
		w.turn.mu.Unlock()
		return
	}
	w.passOnLocked(false)
}

// nextLocked returns what goes out next as one batch: frames and small messages
// from the head of the queue, and what we owe the peer. last says that a close
// frame is the end of it. It returns nil if there is nothing, or if it is
// somebody's turn who waits in person. But first, when a message was just sent, the
// peer gets what we owe it in any case. The caller has the turn and has encoded all
// of its own.
func (w *writer) nextLocked(first bool) (b *buffer, last bool) {
	w.replying = false
	if w.broken {
		return nil, false
	}
	// The answer to a close frame waits for nobody, and nothing comes after it: what
	// was accepted goes before it, wherever it stands.
	b = w.framesLocked(w.owesClose())
	if b == nil && !first && !w.owesClose() && w.turn.awaitedLocked() {
		return nil, false
	}
	b, last = w.repliesLocked(b)
	if b != nil {
		w.flying = len(b.b)
	}
	return b, last
}

// framesLocked takes what can be sent from the front and the queue, as far as it
// makes one batch and nobody in person stands before it. With all it takes all
// frames.
func (w *writer) framesLocked(all bool) (b *buffer) {
	if w.turn.open || w.broken { // they would come between fragments
		return nil
	}
	if w.front != nil {
		b, w.front = w.front, nil
	}
	queue := w.turn.queue()
	kept := queue[:0]
	stop := false
	for _, e := range queue {
		switch {
		case stop:
		case e.frames != nil && (all || b == nil || len(b.b)+len(e.frames.b) <= batchBytes):
			if b == nil {
				b = e.frames
			} else {
				b = b.withRoom(len(e.frames.b))
				b.b = append(b.b, e.frames.b...)
				e.frames.giveBack()
			}
			e.frames = nil
			continue
		case e.message != nil && (b == nil || len(b.b)+e.message.size() <= batchBytes):
			b = b.withRoom(e.message.size())
			before := len(b.b)
			w.encodeLocked(b, e.message)
			w.queued += len(b.b) - before
			e.sent = true
			close(e.given)
			continue
		default:
			stop = !all
		}
		kept = append(kept, e)
	}
	clear(queue[len(kept):])
	w.turn.setQueue(kept)
	if b != nil {
		w.queued -= len(b.b)
		w.unheldLocked()
	}
	return b
}

// repliesLocked adds what we owe the peer to b: pongs before the messages there, since
// peers expect an answer to a ping before one to what followed it, the close frame
// behind them.
func (w *writer) repliesLocked(b *buffer) (_ *buffer, last bool) {
	if !w.owes() {
		return b, false
	}
	w.replyingLocked(b == nil)
	now := w.strain.owed
	w.strain.owed = owed{}
	if now.pongs != nil {
		b = b.withRoom(len(now.pongs))
		b.b = slices.Insert(b.b, 0, now.pongs...)
	}
	if now.echo != nil {
		last = w.out.accept(CloseMessage) == nil // always, for else this direction had ended
		b = w.appendControl(b, CloseMessage, now.echo)
	}
	return b, last
}

// replyingLocked notes whether nothing but replies is about to be written.
func (w *writer) replyingLocked(only bool) {
	if w.replying = only; only {
		w.strained().since = time.Now()
	}
}

// appendControl appends a control frame to b, which may be nil.
func (w *writer) appendControl(b *buffer, opcode int, p []byte) *buffer {
	b = b.withRoom(maxHeader + len(p))
	b.b = w.appendFrame(b.b, FrameHeader{Fin: true, Opcode: opcode, Length: int64(len(p))}, p)
	return b
}

// release sends what waits and hands the turn on. What the socket does not take at
// once, or comes in after ownRounds batches, is left to a goroutine. mayBlock is for
// network connections that know no writing without blocking.
func (w *writer) release(mayBlock bool) {
	w.turn.mu.Lock()
	w.passOnLocked(mayBlock)
}

// passOnLocked is release for who has the mutex, which it gives up.
func (w *writer) passOnLocked(mayBlock bool) {
	w.joinable = true
	b, last := w.nextLocked(true)
	w.passLocked(b, last, mayBlock)
}

// passLocked is passOnLocked with a first batch, nil for none.
func (w *writer) passLocked(b *buffer, last, mayBlock bool) {
	for round := 0; b != nil; round++ {
		err := w.armLocked(w.batchDeadlineLocked())
		w.turn.mu.Unlock()
		n := 0
		switch {
		case err != nil || round == ownRounds:
		case w.line.raw != nil:
			n, err = w.tryWrite(b.b)
		case mayBlock:
			n, err = len(b.b), w.write(b.b)
		}
		if err == nil && n < len(b.b) {
			w.wrote(n)
			go w.drain(b, n, last)
			return
		}
		w.landed(b, n, last, err) // the next write reports it
		w.turn.mu.Lock()
		b, last = w.nextLocked(false)
	}
	w.handOnLocked()
}

// handOnLocked gives the turn to the next in person. It gives the mutex up.
func (w *writer) handOnLocked() {
	w.joinable = false
	if !w.turn.releaseLocked() && w.strain != nil && w.strain.settled != nil {
		close(w.strain.settled)
		w.strain.settled = nil
	}
	w.turn.mu.Unlock()
}

// drain is a goroutine that writes b from this byte on, and all that comes in
// meanwhile. It ends when nothing is left, or it is the turn of somebody in person.
func (w *writer) drain(b *buffer, from int, last bool) {
	for b != nil {
		err := w.write(b.b[from:])
		w.landed(b, len(b.b)-from, last, err) // the next write reports it
		w.turn.mu.Lock()
		if b, last = w.nextLocked(false); b != nil {
			_ = w.armLocked(w.batchDeadlineLocked()) // the write fails too
			w.turn.mu.Unlock()
			from = 0
		}
	}
	w.handOnLocked()
}

// batchDeadlineLocked returns the time by which a batch of others' frames must be
// written.
func (w *writer) batchDeadlineLocked() time.Time {
	if w.replying {
		return w.byTimeout() // the program's deadline is for what the program sends
	}
	return w.untilLocked()
}

// wrote notes that n bytes of a batch are in the socket.
func (w *writer) wrote(n int) {
	w.turn.mu.Lock()
	defer w.turn.mu.Unlock()
	w.flying = max(w.flying-n, 0)
}

// landed ends the writing of a batch, of which n bytes were written last. last says
// that a close frame was the end of it.
func (w *writer) landed(b *buffer, n int, last bool, err error) {
	b.giveBack()
	if err != nil {
		w.fail(err)
		return
	}
	if last {
		w.close()
	}
	w.wrote(n)
}

// reply sends a pong or the answer to a close frame without ever blocking the
// caller, who is the reader: if somebody is writing, the frame is left for them
// to send when their own is done. There is one place for the close frame, and one for
// a pong, or a little room where it is not known that the writer is blocked. A newer pong
// then takes the place of the last, for an endpoint "MAY elect to send a Pong frame for
// only the most recently processed Ping frame" (section 5.5.3).
func (w *writer) reply(opcode int, p []byte) {
	w.turn.mu.Lock()
	switch {
	case w.broken || w.turn.ended() != nil || w.out.closed:
		w.turn.mu.Unlock()
	case opcode != CloseMessage && w.holding && !w.turn.taken && !w.turn.open:
		before := w.tailLocked(maxHeader + len(p))
		w.queued -= len(before.b)
		w.queued += len(w.appendControl(before, opcode, p).b)
		if w.queued < holdReplies || !w.turn.tryLocked(begin) {
			w.startLocked()
			return
		}
		w.passOnLocked(false) // a peer that pings and does not read is to find little memory to fill
	case w.turn.tryLocked(control):
		w.joinable = true
		last := opcode == CloseMessage && w.out.accept(opcode) == nil
		b := w.framesLocked(last)
		w.replyingLocked(b == nil)
		b = w.appendControl(b, opcode, p)
		w.flying = len(b.b)
		w.passLocked(b, last, false)
	default:
		owed := &w.strained().owed
		if opcode == CloseMessage {
			owed.echo = append([]byte{}, p...)
		} else {
			w.owePong(owed, p)
		}
		w.turn.mu.Unlock()
	}
}

// owePong adds a pong to what is owed. A socket that is being written to is blocked, or
// will be done at once; of others nobody knows.
func (w *writer) owePong(o *owed, p []byte) {
	if w.line.raw != nil || len(o.pongs)+maxHeader+len(p) > owedPongs {
		o.pongs = o.pongs[:o.newest]
	}
	o.newest = len(o.pongs)
	o.pongs = w.appendFrame(o.pongs, FrameHeader{Fin: true, Opcode: PongMessage, Length: int64(len(p))}, p)
}

// probe sends an empty ping without ever blocking the caller, unless somebody is
// writing. It reports whether it did.
func (w *writer) probe() bool {
	w.turn.mu.Lock()
	if w.out.closed || w.broken || !w.turn.tryLocked(control) {
		w.turn.mu.Unlock()
		return false
	}
	w.joinable = true
	b := w.framesLocked(false)
	w.replyingLocked(b == nil)
	b = w.appendControl(b, PingMessage, nil)
	w.flying = len(b.b)
	w.passLocked(b, false, false)
	return true
}

// flush waits until all that was accepted before is in the socket.
func (w *writer) flush() error {
	w.turn.mu.Lock()
	switch {
	case w.said && w.lost() == nil:
		w.turn.mu.Unlock()
		return nil // the close frame went last
	case w.turn.ended() != nil:
		defer w.turn.mu.Unlock()
		return w.turn.ended()
	case w.queued+w.flying == 0:
		defer w.turn.mu.Unlock()
		return w.lost()
	}
	deadline := w.untilLocked()
	if len(w.turn.queue()) == 0 && w.turn.tryLocked(begin) {
		return w.sendLocked(context.Background(), deadline, 0)
	}
	if err := w.waitLocked(context.Background(), &waiter{want: begin}, deadline); err != nil {
		if err == ErrCloseSent {
			w.turn.mu.Lock()
			defer w.turn.mu.Unlock()
			return w.lost()
		}
		return err
	}
	w.release(deadline.IsZero()) // others' messages must not outlast a bound of the caller's
	return w.flushed()
}

// flushed returns why what was accepted was not sent, nil if it was.
func (w *writer) flushed() error {
	w.turn.mu.Lock()
	defer w.turn.mu.Unlock()
	if w.broken {
		return w.turn.ended()
	}
	return w.lost()
}

// hold says whether more writes are expected at once. While they are, small ones
// are held back and go out together: after holdBytes or holdTime, or when release
// is called for another reason. The reading goroutine calls it before it hands out a
// message.
func (w *writer) hold(more bool) {
	if more != w.holding {
		w.turn.mu.Lock()
		w.holding = more
		w.turn.mu.Unlock()
	}
	if since := w.held.Load(); since != 0 && uptime()-since >= int64(holdTime) {
		w.flushHeld()
	}
}

// flushHeld sends what is held, as far as that takes no waiting, and leaves the
// rest to a goroutine.
func (w *writer) flushHeld() {
	if w.held.Load() == 0 {
		return
	}
	w.turn.mu.Lock()
	if w.front == nil || !w.turn.tryLocked(begin) {
		w.turn.mu.Unlock()
		return
	}
	w.passOnLocked(false)
}

// heldLocked notes that frames are held.
func (w *writer) heldLocked() {
	if w.held.Load() == 0 {
		w.held.Store(uptime())
		st := w.strained()
		if st.hang == nil { // no pool: a timer must not leave the bubble of a synctest
			st.hang = time.AfterFunc(hangTime, w.flushHeld)
			return
		}
		st.hang.Reset(hangTime)
	}
}

func (w *writer) unheldLocked() {
	if w.held.Load() != 0 {
		w.held.Store(0)
		w.strain.hang.Stop() // or it finds nothing
	}
}

// uptime is a clock that is cheap to read, in nanoseconds. It is never 0.
func uptime() int64 { return int64(time.Since(begunAt)) + 1 }

var begunAt = time.Now()

// owing reports whether something that was accepted, or that we owe the peer, is
// not sent yet.
func (w *writer) owing() bool {
	w.turn.mu.Lock()
	defer w.turn.mu.Unlock()
	return w.owingLocked()
}

func (w *writer) owingLocked() bool {
	if w.broken {
		return false
	}
	return w.flying > 0 || w.queued > 0 || w.turn.ended() == nil && w.owes()
}

// settle ends this direction with err. Those who wait are sent away; what was
// accepted, and what we owe the peer, is sent until the deadline. It returns why
// accepted frames were dropped, nil if none were.
func (w *writer) settle(err error, deadline time.Time) error {
	w.turn.mu.Lock()
	owing := w.owingLocked()
	w.turn.endLocked(err)
	if !owing {
		w.breakLocked(err)
		defer w.turn.mu.Unlock()
		return w.lost()
	}
	w.strained().latest = deadline
	w.hurryLocked(deadline)
	if w.strain.settled == nil {
		w.strain.settled = make(chan struct{})
	}
	settled := w.strain.settled
	if !w.turn.taken {
		w.turn.taken, w.joinable = true, true
		if b, last := w.nextLocked(true); b != nil {
			_ = w.armLocked(w.batchDeadlineLocked()) // the write fails too
			w.turn.mu.Unlock()
			go w.drain(b, 0, last)
		} else {
			w.handOnLocked()
		}
	} else {
		w.turn.mu.Unlock()
	}
	patience := time.NewTimer(time.Until(deadline)) // the network connection may not know deadlines
	defer patience.Stop()
	select {
	case <-settled:
	case <-patience.C:
	}
	w.turn.mu.Lock()
	defer w.turn.mu.Unlock()
	w.breakLocked(errDropped)
	return w.lost()
}

// dropped returns why frames were dropped that had been accepted, nil if none were.
func (w *writer) dropped() error {
	w.turn.mu.Lock()
	defer w.turn.mu.Unlock()
	return w.lost()
}

// stop ends this direction with err, and nothing more is sent.
func (w *writer) stop(err error) {
	w.turn.mu.Lock()
	defer w.turn.mu.Unlock()
	w.turn.endLocked(err)
	w.breakLocked(err)
}

// breakLocked drops what was accepted, since it can't be sent.
func (w *writer) breakLocked(err error) {
	w.broken = true
	if w.flying > 0 && !w.replying {
		w.lose(err)
	}
	w.flying = 0
	if w.strain != nil {
		w.strain.owed = owed{}
	}
	w.discardLocked(err)
}

// discardLocked drops what is queued.
func (w *writer) discardLocked(err error) {
	if w.queued > 0 {
		w.lose(err)
	}
	w.queued = 0
	if w.front != nil {
		w.front.giveBack()
		w.front = nil
		w.unheldLocked()
	}
	w.turn.setQueue(slices.DeleteFunc(w.turn.queue(), func(e *waiter) bool {
		e.frames.giveBack()
		return e.frames != nil
	}))
}
