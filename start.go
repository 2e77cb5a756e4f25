package websocket

import (
	"context"
	"sync"
	"time"
)

// Start is Serve without a goroutine that waits. A connection is either running,
// in the hands of one worker, or parked, in nobody's:
//
//	          nothing to read ─▶ park
//	RUNNING ────────────────────────────▶ PARKED
//	        ◀────────────────────────────
//	          wake: something to read, read deadline, Close
//
// Both keep the read turn, so that the rest of the Conn sees no difference to a
// Serve that waits. The operating system tells of what comes from the peer only;
// what else ends a read that waits, a deadline or Close, has to wake the loop too.
// Then a worker reads, and the read returns what it would have returned.

// Start is Serve on goroutines that it starts when there is something to do: it
// returns at once, and handle is called with each message, one call at a time and
// in order, until the connection ends or handle returns an error. Then, after the
// closing handshake, done is called, once and with what Serve would have returned;
// it may be nil.
//
// On Linux a connection over plain TCP or a Unix socket needs neither a goroutine
// nor a buffer while it waits for the next message. Once a frame has begun a goroutine
// waits for the rest: where peers may mean harm, SetReadDeadline or PingInterval bound
// that. Elsewhere, and over TLS, Start is a goroutine that runs Serve.
//
// What is said of Serve's handle counts here too: m.Data is lent to it until it
// returns; it may write to the connection, and Close or Shutdown it, but not read
// from it. It may take its time, other connections do not wait for it. A panic in
// it ends the program, like any on a goroutine of its own; before, the peer is told,
// which takes a second at most, and done runs.
//
// The connection lives on, and is not garbage, until it ends. End it by Close or
// Shutdown: a Close of NetConn alone may go unnoticed. While another read is in
// progress Start waits for its end, as other reads wait for that of Start.
//
// Within Upgrader.Handler, whose request ends when its serve returns, handle has no
// use for the request's context.
func (c *Conn) Start(handle func(m Message) error, done func(err error)) {
	c.started.Store(true)
	s := &started{c: c, handle: handle, done: done}
	switch {
	case !c.canBeParked():
		go s.serve()
	case !c.readTurn.try(begin):
		go s.begin()
	default:
		s.took()
		if c.r.intake != nil || !s.park() { // there may be something to read already
			giveWork(s)
		}
	}
}

// canBeParked reports whether c may wait without a goroutine.
func (c *Conn) canBeParked() bool {
	_, plain := c.r.src.(*socket)
	return canPark && plain
}

// A started is a connection that Start was called on.
type started struct {
	c      *Conn
	handle func(m Message) error
	done   func(err error)
	next   *started // behind it in the queue for a worker

	// The mutex of the read deadline guards these.
	place place       // where it parks
	timer *time.Timer // wakes it at the deadline; nil before the first
}

// serve is Start where it can't be parked.
func (s *started) serve() {
	err := errPanicked
	defer func() { s.tell(err) }()
	err = s.c.Serve(context.Background(), s.handle)
}

// begin is Start where somebody else is reading.
func (s *started) begin() {
	l := s.newLoop()
	if err := s.c.readTurn.take(l.ctx, begin, time.Time{}); err != nil {
		l.end(err, false)
		s.leave(l)
		return
	}
	s.took()
	s.run()
}

// loops are lent to workers.
var loops = sync.Pool{New: func() any { return new(messageLoop) }}

func (s *started) newLoop() *messageLoop {
	l := loops.Get().(*messageLoop)
	*l = messageLoop{c: s.c, ctx: context.Background(), handler: s.handle}
	return l
}

// took notes that s has the read turn.
func (s *started) took() {
	d := &s.c.readDeadline
	d.mu.Lock()
	defer d.mu.Unlock()
	d.loop = s
}

// run hands out messages until there are none, and parks.
func (s *started) run() {
	l := s.newLoop()
	parked := false
	defer func() {
		if !parked {
			s.release()
			s.leave(l)
		}
	}()
	r := &s.c.r
	for r.hasty = true; ; r.hasty = false { // what can't be parked waits here
		l.err, l.outcome = errPanicked, errPanicked
		for l.next() && l.hand() && l.goesOn() {
			r.hasty = true // it may be possible to park now
		}
		s.c.w.hold(false)
		if l.err != errDry {
			return
		}
		if parked = r.vain < maxVain && s.park(); parked {
			*l = messageLoop{}
			loops.Put(l)
			return // and s may be in other hands already
		}
	}
}

// maxVain is how often in a row a loop is woken and finds nothing to read, before it
// waits in a goroutine: something else keeps the socket ready, as its error queue does.
const maxVain = 3

// release hands the read turn on.
func (s *started) release() {
	s.c.r.hasty = false
	d := &s.c.readDeadline
	d.mu.Lock()
	d.loop = nil
	s.quit()
	if s.timer != nil {
		s.timer.Stop()
	}
	d.mu.Unlock()
	s.c.w.hold(false) // if the handler has panicked
	s.c.readTurn.release()
}

// leave takes leave of the peer, and then of the program.
func (s *started) leave(l *messageLoop) {
	defer func() { s.tell(l.err) }()
	l.c.farewell(l.outcome)
}

func (s *started) tell(err error) {
	if s.done != nil {
		s.done(err)
	}
}

// park parks s, which is in the caller's hands, and reports whether it did. If
// not, a read will tell why, or has to wait.
func (s *started) park() bool {
	d := &s.c.readDeadline
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.inForce()
	if d.gone || !t.IsZero() && time.Until(t) <= 0 {
		return false
	}
	s.c.keepalive.wait()
	d.parked = true
	if s.arm() != nil {
		s.unpark()
		return false
	}
	s.heed(t)
	return true
}

// isParked reports whether s is in nobody's hands. The caller has the mutex.
func (s *started) isParked() bool {
	d := &s.c.readDeadline
	return d.parked && d.loop == s
}

// unpark ends the parking; who calls it has s in its hands then, and the mutex.
func (s *started) unpark() {
	s.c.readDeadline.parked = false
	s.c.keepalive.hear(0)
}

// wake has a worker look after s if it is parked.
func (s *started) wake() {
	s.c.readDeadline.mu.Lock()
	defer s.c.readDeadline.mu.Unlock()
	s.wakeLocked()
}

func (s *started) wakeLocked() {
	if s.isParked() {
		s.unpark()
		giveWork(s)
	}
}

// heed has s woken at time t, which is the deadline now, if it is parked then. The
// caller has the mutex.
func (s *started) heed(t time.Time) {
	left := time.Until(t)
	switch {
	case !s.isParked():
	case t.IsZero():
		if s.timer != nil {
			s.timer.Stop()
		}
	case left <= 0:
		s.wakeLocked()
	case s.timer == nil:
		s.timer = time.AfterFunc(left, s.overdue)
	default:
		s.timer.Reset(left)
	}
}

// overdue is called at the deadline, or at what was the deadline once.
func (s *started) overdue() {
	d := &s.c.readDeadline
	d.mu.Lock()
	defer d.mu.Unlock()
	if s.isParked() {
		_ = d.setNow(d.inForce()) // from then on reads fail, whether or not the net package has noticed yet
	}
}

// Workers are goroutines that end when there is nothing more to do. For each
// connection that wakes one is started, because any of those at work may be kept
// by its handler for ever; one that finds another has done its work ends.
var waiting struct {
	mu          sync.Mutex
	first, last *started // a queue
}

func giveWork(s *started) {
	waiting.mu.Lock()
	if waiting.first == nil {
		waiting.first = s
	} else {
		waiting.last.next = s
	}
	waiting.last = s
	waiting.mu.Unlock()
	go work()
}

func takeWork() *started {
	waiting.mu.Lock()
	defer waiting.mu.Unlock()
	s := waiting.first
	if s != nil {
		waiting.first, s.next = s.next, nil
		if waiting.first == nil {
			waiting.last = nil // lest it be kept
		}
	}
	return s
}

func work() {
	for s := takeWork(); s != nil; s = takeWork() {
		s.run()
	}
}
