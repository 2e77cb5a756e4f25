package faults

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// A Kind is a way in which a network fails.
type Kind int

// The ways in which a Conn may fail.
const (
	None     Kind = iota
	EOF           // read: the peer has ended its side; write: what comes here gets lost, and the peer sees the end
	Reset         // ECONNRESET, for both directions and for good
	Timeout       // a timeout that no deadline has asked for, once
	Overdue       // nothing moves until the deadline that the program has set, once
	Silence       // nothing moves any more
	Pause         // nothing moves for the Plan's Wait, once
	Octets        // from here on each read brings one byte
	Broken        // a write takes what comes before, and fails with EPIPE, as later ones do
	Short         // a write takes what comes before, and returns io.ErrShortWrite, once
	Careless      // a write takes what comes before, and returns no error, against the rules of io.Writer, once
	Flip          // the bits of the Plan's Bits are flipped in one byte
	Twice         // the Plan's Length bytes come twice
)

var kindNames = [...]string{
	"none", "EOF", "reset", "timeout", "overdue", "silence", "pause", "octets", "broken", "short", "careless", "flip", "twice",
}

// String names the kind.
func (k Kind) String() string { return kindNames[k] }

// Cuts reports whether a write that fails so has taken a part of its bytes, and the
// rest must not follow.
func (k Kind) Cuts() bool {
	switch k {
	case Reset, Timeout, Overdue, Silence, Broken, Short, Careless:
		return true
	}
	return false
}

// A Plan says how a connection breaks.
type Plan struct {
	Kind   Kind
	Write  bool          // what the Conn's owner writes is struck, and not what it reads
	At     int           // before so many bytes of that direction all is well
	Bits   byte          // for Flip
	Length int           // for Twice, in bytes
	Wait   time.Duration // for Pause
}

// String describes the plan.
func (p Plan) String() string {
	what := "read"
	if p.Write {
		what = "write"
	}
	return fmt.Sprintf("%v at %s byte %d (bits %#x, length %d)", p.Kind, what, p.At, p.Bits, p.Length)
}

// Conn is a net.Conn that breaks by plan. One read and one write may be in progress
// at a time.
type Conn struct {
	net.Conn
	plan Plan
	done chan struct{} // closed by Close

	mu      sync.Mutex
	in, out stream
	reset   bool
	lost    bool   // what is written from here on gets lost
	broken  error  // what writes fail with from here on
	struck  bool   // the fault has shown
	spent   bool   // and will not again
	later   int    // writes since then
	again   []byte // what is to be read for the second time
	taken   []byte // what reads have brought
	ended   bool   // a read has returned io.EOF
}

// A stream is one direction of a Conn.
type stream struct {
	pos     int
	until   time.Time     // the deadline, zero for none
	changed chan struct{} // closed when that changes, nil while nobody wants to know
	segment []byte        // for Twice: what has passed of it
}

// New returns a Conn that passes on to nc what the plan lets pass.
func New(nc net.Conn, plan Plan) *Conn { return &Conn{Conn: nc, plan: plan, done: make(chan struct{})} }

// Struck reports whether the fault has shown.
func (c *Conn) Struck() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.struck
}

// Later returns how many writes came after the one that was struck.
func (c *Conn) Later() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.later
}

// Taken returns what reads have brought, damage included.
func (c *Conn) Taken() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.taken)
}

// Written returns how many bytes writes have taken.
func (c *Conn) Written() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.pos
}

// Ended reports whether a read has seen the end.
func (c *Conn) Ended() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended
}

// Done returns a channel that is closed by Close.
func (c *Conn) Done() <-chan struct{} { return c.done }

var (
	errReset   = os.NewSyscallError("read", syscall.ECONNRESET)
	errBroken  = os.NewSyscallError("write", syscall.EPIPE)
	errTimeout = os.ErrDeadlineExceeded
)

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (n int, err error) {
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.taken = append(c.taken, p[:n]...)
		c.ended = c.ended || err == io.EOF
	}()
	if n, err, over := c.beforeRead(&p); over {
		return n, err
	}
	n, err = c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reset {
		return 0, opError("read", errReset)
	}
	c.passed(p[:n])
	return n, err
}

// beforeRead cuts p to what the next read may bring, or says that there is none.
func (c *Conn) beforeRead(p *[]byte) (n int, err error, over bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reset {
		return 0, opError("read", errReset), true
	}
	s := &c.in
	if len(c.again) > 0 && !s.overdue() && !c.closed() {
		n = copy(*p, c.again)
		c.again = c.again[n:]
		return n, nil, true
	}
	if c.plan.Write || c.plan.Kind == None || c.spent || len(*p) == 0 || c.closed() {
		return 0, nil, false
	}
	if s.pos < c.plan.At {
		*p = (*p)[:min(len(*p), c.plan.At-s.pos)]
		return 0, nil, false
	}
	c.struck = true
	switch c.plan.Kind {
	case EOF:
		return 0, io.EOF, true
	case Reset:
		c.reset = true
		_ = c.Conn.Close() // nobody is left to tell
		return 0, opError("read", errReset), true
	case Timeout:
		c.spent = true
		return 0, opError("read", errTimeout), true
	case Overdue, Silence, Pause:
		if err := c.stall(s); err != nil {
			return 0, opError("read", err), true
		}
	case Octets:
		*p = (*p)[:1]
	case Flip:
		*p = (*p)[:1]
	case Twice:
		*p = (*p)[:min(len(*p), c.plan.Length-len(s.segment))]
	}
	return 0, nil, false
}

// passed notes what a read has brought, and damages it.
func (c *Conn) passed(p []byte) {
	s := &c.in
	strikes := !c.plan.Write && !c.spent && s.pos >= c.plan.At && len(p) > 0
	s.pos += len(p)
	if !strikes {
		return
	}
	switch c.plan.Kind {
	case Flip:
		p[0] ^= c.plan.Bits
		c.spent = true
	case Twice:
		if s.segment = append(s.segment, p...); len(s.segment) >= c.plan.Length {
			c.again = s.segment
			c.spent = true
		}
	}
}

// Write implements net.Conn.
func (c *Conn) Write(p []byte) (n int, err error) {
	for {
		own, head, err, over := c.beforeWrite(p)
		if over {
			return n + own, err
		}
		m, err := c.Conn.Write(head)
		m = min(m, own) // what was doubled is not p's
		n += m
		p = p[m:]
		c.mu.Lock()
		reset := c.reset
		c.out.pos += m
		c.mu.Unlock()
		if reset {
			return n, opError("write", errReset)
		}
		if err != nil || len(p) == 0 {
			return n, err
		}
	}
}

// beforeWrite returns what is to be written for the first n bytes of p, or that it is
// over: n bytes of p are taken then.
func (c *Conn) beforeWrite(p []byte) (n int, head []byte, err error, over bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.struck && c.plan.Write {
		c.later++
	}
	s := &c.out
	switch {
	case c.reset:
		return 0, nil, opError("write", errReset), true
	case c.broken != nil:
		return 0, nil, opError("write", c.broken), true
	case c.lost && !c.closed():
		return len(p), nil, nil, true
	case !c.plan.Write || c.plan.Kind == None || c.spent || c.closed():
		return len(p), p, nil, false
	case s.pos < c.plan.At:
		n = min(len(p), c.plan.At-s.pos)
		return n, p[:n], nil, false
	}
	c.struck = true
	switch c.plan.Kind {
	case EOF:
		c.lost = true
		if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite() // the peer may be gone
		}
		return len(p), nil, nil, true
	case Reset:
		c.reset = true
		_ = c.Conn.Close() // nobody is left to tell
		return 0, nil, opError("write", errReset), true
	case Timeout:
		c.spent = true
		return 0, nil, opError("write", errTimeout), true
	case Overdue, Silence, Pause:
		if err := c.stall(s); err != nil {
			return 0, nil, opError("write", err), true
		}
	case Broken:
		c.broken = errBroken
		return 0, nil, opError("write", errBroken), true
	case Short:
		c.spent = true
		return 0, nil, io.ErrShortWrite, true
	case Careless:
		c.spent = true
		return 0, nil, nil, true
	case Flip:
		c.spent = true
		head = bytes.Clone(p)
		head[0] ^= c.plan.Bits
		return len(p), head, nil, false
	case Twice:
		head = bytes.Clone(p[:min(len(p), c.plan.Length-len(s.segment))])
		n = len(head)
		if s.segment = append(s.segment, head...); len(s.segment) == c.plan.Length {
			c.spent = true
			head = append(head, s.segment...)
		}
		return n, head, nil, false
	}
	return len(p), p, nil, false
}

// stall waits as the plan has it. The caller has the mutex, which is given up
// meanwhile.
func (c *Conn) stall(s *stream) error {
	var pause <-chan time.Time
	if c.plan.Kind == Pause {
		timer := time.NewTimer(c.plan.Wait)
		defer timer.Stop()
		pause = timer.C
	}
	for {
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed := s.changed
		var late <-chan time.Time
		if !s.until.IsZero() {
			timer := time.NewTimer(time.Until(s.until))
			defer timer.Stop()
			late = timer.C
		}
		c.mu.Unlock()
		over, err := true, error(nil)
		select {
		case <-changed:
			over = false
		case <-late:
			err = errTimeout
		case <-c.done:
			err = net.ErrClosed
		case <-pause:
		}
		c.mu.Lock()
		if over {
			c.spent = c.plan.Kind != Silence && err != net.ErrClosed
			return err
		}
	}
}

// overdue reports whether the deadline has passed.
func (s *stream) overdue() bool { return !s.until.IsZero() && time.Until(s.until) <= 0 }

func (c *Conn) closed() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// Close implements net.Conn.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed() {
		close(c.done)
	}
	return c.Conn.Close()
}

// CloseWrite ends the direction that the Conn's owner writes, if the connection
// beneath knows that.
func (c *Conn) CloseWrite() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && !c.lost {
		return half.CloseWrite()
	}
	return nil
}

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	c.heed(&c.in, t)
	c.heed(&c.out, t)
	return c.Conn.SetDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.heed(&c.in, t)
	return c.Conn.SetReadDeadline(t)
}

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.heed(&c.out, t)
	return c.Conn.SetWriteDeadline(t)
}

func (c *Conn) heed(s *stream, t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.until = t
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}
