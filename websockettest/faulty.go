package websockettest

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// A Fault is what is wrong with one direction of a FaultyConn. The zero value is nothing.
// Chunk and Delay count from the first byte; Err, Reset and Stall show when After bytes
// have passed, and at once if After is 0.
type Fault struct {
	// Chunk is how many bytes a Read brings at most, or a Write sends at a time; 0 is no
	// limit.
	Chunk int

	// Delay is for how long what a Read has brought, and each Chunk of a Write, is held
	// back. With a Chunk it makes a slow line: so many bytes in such a time.
	Delay time.Duration

	// After is how many bytes pass, from when the fault was set, before what is below shows.
	After int64

	// Err is what Read and Write then return. io.EOF is right for a Read, and a Write gives
	// it together with the number of bytes that it has sent, fewer than it should:
	// io.ErrShortWrite is right there.
	Err error

	// Reset resets the connection: both directions fail for good, with an error that
	// matches syscall.ECONNRESET, and the other end sees it too, if it is one of TCP or of
	// Pipe.
	Reset bool

	// Stall lets nothing pass any more. Deadlines and Close still count, and another fault
	// that is set, such as Fault{}, lets go of it.
	Stall bool
}

// shows reports whether there is something to show after After bytes.
func (f *Fault) shows() bool { return f.Err != nil || f.Reset || f.Stall }

// A FaultyConn is a network connection that does not work well. Its methods may be called
// concurrently.
type FaultyConn struct {
	nc     net.Conn
	in     way
	out    way
	done   chan struct{} // closed by Close
	struck chan struct{} // closed when a fault shows
	mu     sync.Mutex    // guards the closing of those two
	broken bool          // by a reset; guarded by mu
}

// A way is one direction of a FaultyConn.
type way struct {
	op   string
	turn chan struct{} // holds a token for the call that may go on

	mu      sync.Mutex
	fault   Fault
	age     int           // how many faults were set
	passed  int64         // bytes since the last was
	until   time.Time     // the deadline, zero for none
	changed chan struct{} // closed and replaced when fault or deadline change
	busy    bool          // a call is in nc
	hurried bool          // which a new fault has called back, by nc's deadline

	held []byte    // what was read and not given out yet; for who has the turn
	due  time.Time // when it may be
}

// NewFaultyConn returns a connection that passes on to nc what the faults let pass. read is
// the fault of what the FaultyConn's owner reads, and write of what it writes. nc belongs to
// the FaultyConn from then on.
func NewFaultyConn(nc net.Conn, read, write Fault) *FaultyConn {
	c := &FaultyConn{nc: nc, done: make(chan struct{}), struck: make(chan struct{})}
	for w, of := range map[*way]Fault{&c.in: read, &c.out: write} {
		w.op = "read"
		if w == &c.out {
			w.op = "write"
		}
		w.turn = make(chan struct{}, 1)
		w.turn <- struct{}{}
		w.changed = make(chan struct{})
		w.fault = of
	}
	return c
}

// SetReadFault puts f in the place of the fault of reading. It counts for a Read in
// progress too. What has been read from the network and was held back stays so.
func (c *FaultyConn) SetReadFault(f Fault) { c.setFault(&c.in, f) }

// SetWriteFault is SetReadFault for writing.
func (c *FaultyConn) SetWriteFault(f Fault) { c.setFault(&c.out, f) }

// Struck returns a channel that is closed when an Err, a Reset or a Stall first shows.
func (c *FaultyConn) Struck() <-chan struct{} { return c.struck }

// longAgo is a deadline that interrupts.
var longAgo = time.Unix(1, 0)

func (c *FaultyConn) setFault(w *way, f Fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault, w.passed = f, 0
	w.age++
	w.tell()
	if w.busy && !w.hurried {
		w.hurried = true
		_ = c.setNetDeadline(w, longAgo) // of a closed connection nothing is to be called back
	}
}

// tell wakes who waits for a change.
func (w *way) tell() {
	close(w.changed)
	w.changed = make(chan struct{})
}

func (c *FaultyConn) setNetDeadline(w *way, t time.Time) error {
	if w == &c.in {
		return c.nc.SetReadDeadline(t)
	}
	return c.nc.SetWriteDeadline(t)
}

// Read implements net.Conn.
func (c *FaultyConn) Read(p []byte) (n int, err error) {
	w := &c.in
	if err := c.wait(w, w.turn, nil); err != nil {
		return 0, err
	}
	defer w.pass()
	for {
		f, age, room, err := c.look(w, len(p))
		switch {
		case err != nil:
			return 0, err
		case len(p) == 0:
			return 0, nil
		case room == 0: // it stalled, and does no more
			continue
		case len(w.held) > 0:
			if pause := time.Until(w.due); pause > 0 {
				if err := c.pause(w, pause); err != nil {
					return 0, err
				}
				continue // there may be another fault now
			}
			n = copy(p[:room], w.held)
			w.held = w.held[n:]
			w.count(n)
			return n, nil
		}
		n, err = c.call(w, age, c.nc.Read, p[:room])
		if err == errRecalled && n == 0 {
			continue
		}
		if n > 0 && (f.Delay > 0 || err == errRecalled) { // a new fault may have a say in it
			w.held = bytes.Clone(p[:n])
			w.due = time.Now().Add(f.Delay)
			continue
		}
		w.count(n)
		return n, err
	}
}

// Write implements net.Conn.
func (c *FaultyConn) Write(p []byte) (n int, err error) {
	w := &c.out
	if err := c.wait(w, w.turn, nil); err != nil {
		return 0, err
	}
	defer w.pass()
	waited := false
	for {
		f, age, room, err := c.look(w, len(p)-n)
		switch {
		case err != nil:
			return n, err
		case n == len(p):
			return n, nil
		case room == 0:
			continue
		case f.Delay > 0 && !waited:
			if err := c.pause(w, f.Delay); err != nil {
				return n, err
			}
			waited = true
			continue
		}
		m, err := c.call(w, age, c.nc.Write, p[n:n+room])
		w.count(m)
		n += m
		if m > 0 {
			waited = false
		}
		if err != nil && err != errRecalled {
			return n, err
		}
		if n == len(p) { // all of it has passed: the fault is the next one's
			return n, nil
		}
	}
}

// look returns the fault that counts for the next bytes of a call, and for how many of the
// length there is room before it shows. If it shows now, look returns what comes of it;
// after a stall the room is 0.
func (c *FaultyConn) look(w *way, length int) (f Fault, age, room int, err error) {
	if err := c.usable(w); err != nil {
		return f, 0, 0, err
	}
	w.mu.Lock()
	f, age = w.fault, w.age
	left, changed := f.After-w.passed, w.changed
	w.mu.Unlock()
	if length == 0 {
		return f, age, 0, nil
	}
	if f.Chunk > 0 {
		length = min(length, f.Chunk)
	}
	if !f.shows() {
		return f, age, length, nil
	}
	if left > 0 {
		return f, age, int(min(int64(length), left)), nil
	}
	c.strike()
	switch {
	case f.Err != nil:
		return f, age, 0, f.Err
	case f.Reset:
		_ = c.Reset() // it may be closed
		return f, age, 0, c.usable(w)
	}
	return f, age, 0, c.wait(w, nil, changed)
}

func (c *FaultyConn) strike() {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.struck:
	default:
		close(c.struck)
	}
}

// ended returns what calls return when the connection is closed, nil if it is not.
func (c *FaultyConn) ended(op string) error {
	select {
	case <-c.done:
	default:
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken {
		return c.opError(op, os.NewSyscallError(op, syscall.ECONNRESET))
	}
	return c.opError(op, net.ErrClosed)
}

// usable returns why nothing can pass, nil if it can.
func (c *FaultyConn) usable(w *way) error {
	if err := c.ended(w.op); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.until.IsZero() && time.Until(w.until) <= 0 {
		return c.opError(w.op, os.ErrDeadlineExceeded)
	}
	return nil
}

// errRecalled is the error of a call that a new fault has called back.
var errRecalled = errors.New("websockettest: there is another fault now")

// call calls a method of nc under the fault of this age. If there is another fault when it
// returns, and the call has not failed for good, the error is errRecalled.
func (c *FaultyConn) call(w *way, age int, method func([]byte) (int, error), p []byte) (n int, err error) {
	w.mu.Lock()
	if w.age != age {
		w.mu.Unlock()
		return 0, errRecalled
	}
	w.busy = true
	w.mu.Unlock()
	n, err = method(p)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.busy = false
	if w.hurried {
		w.hurried = false
		_ = c.setNetDeadline(w, w.until)
	}
	if err != nil {
		if ended := c.ended(w.op); ended != nil {
			return n, ended // nc may not know why
		}
	}
	if w.age != age && (err == nil || errors.Is(err, os.ErrDeadlineExceeded)) {
		return n, errRecalled // a deadline of the owner's is seen at the next look
	}
	return n, err
}

// pass gives the turn to the next call.
func (w *way) pass() { w.turn <- struct{}{} }

// count counts bytes that have passed.
func (w *way) count(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.passed += int64(n)
}

// wait waits for either event, and returns an error if the connection is closed or the
// deadline passes before.
func (c *FaultyConn) wait(w *way, event, other <-chan struct{}) error {
	for {
		if err := c.usable(w); err != nil {
			return err
		}
		w.mu.Lock()
		until, changed := w.until, w.changed
		w.mu.Unlock()
		var late <-chan time.Time
		if !until.IsZero() {
			timer := time.NewTimer(time.Until(until))
			defer timer.Stop()
			late = timer.C
		}
		select {
		case <-event:
			return nil
		case <-other:
			return nil
		case <-changed: // the deadline may be another
		case <-c.done:
		case <-late:
		}
	}
}

// pause is wait for some time.
func (c *FaultyConn) pause(w *way, d time.Duration) error {
	over := make(chan struct{})
	timer := time.AfterFunc(d, func() { close(over) })
	defer timer.Stop()
	return c.wait(w, over, nil)
}

// opError is err as the net package has it.
func (c *FaultyConn) opError(op string, err error) error {
	local := c.nc.LocalAddr()
	return &net.OpError{Op: op, Net: local.Network(), Source: local, Addr: c.nc.RemoteAddr(), Err: err}
}

// end marks the connection as closed, and reports whether it was open.
func (c *FaultyConn) end(broken bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.done:
		return false
	default:
	}
	c.broken = broken
	close(c.done)
	return true
}

// Close implements net.Conn.
func (c *FaultyConn) Close() error {
	if !c.end(false) {
		return c.opError("close", net.ErrClosed)
	}
	return c.nc.Close()
}

// Reset resets the connection now, as Fault.Reset does.
func (c *FaultyConn) Reset() error {
	if !c.end(true) {
		return c.opError("close", net.ErrClosed)
	}
	return reset(c.nc)
}

// CloseWrite ends the direction that the owner writes. The error matches
// errors.ErrUnsupported if the connection beneath can't.
func (c *FaultyConn) CloseWrite() error {
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok {
		return fmt.Errorf("websockettest: a %T has no CloseWrite: %w", c.nc, errors.ErrUnsupported)
	}
	return half.CloseWrite()
}

// LocalAddr implements net.Conn.
func (c *FaultyConn) LocalAddr() net.Addr { return c.nc.LocalAddr() }

// RemoteAddr implements net.Conn.
func (c *FaultyConn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

// SetDeadline implements net.Conn.
func (c *FaultyConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn.
func (c *FaultyConn) SetReadDeadline(t time.Time) error { return c.setDeadline(&c.in, t) }

// SetWriteDeadline implements net.Conn.
func (c *FaultyConn) SetWriteDeadline(t time.Time) error { return c.setDeadline(&c.out, t) }

func (c *FaultyConn) setDeadline(w *way, t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.until = t
	w.tell()
	if w.hurried { // the call returns at once, and this is set then
		return nil
	}
	return c.setNetDeadline(w, t)
}
