package faults

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// capacity is how many bytes a direction of a Pipe holds, like the buffers of a socket.
const capacity = 64 << 10

// Pipe returns the two ends of a connection in memory. It is more like TCP than
// net.Pipe is: what is written waits in a buffer, and the two directions end
// separately. All that waits does so in ways that testing/synctest knows.
func Pipe() (a, b *End) { return PipeOf(capacity, addr{}, addr{}) }

// PipeOf is Pipe with room for so many bytes in each direction, and with the addresses
// of the two ends.
func PipeOf(size int, ofA, ofB net.Addr) (a, b *End) {
	x, y := newDirection(size), newDirection(size)
	return &End{in: x, out: y, local: ofA, remote: ofB}, &End{in: y, out: x, local: ofB, remote: ofA}
}

// An End is one end of a Pipe.
type End struct {
	in, out       *direction
	local, remote net.Addr
}

// A direction is the bytes on their way from one end to the other.
type direction struct {
	mu    sync.Mutex
	news  sync.Cond // something has changed
	size  int       // how many bytes have room
	bytes []byte
	over  bool // no more will be written: what reads see last is io.EOF
	gone  bool // nobody will read any more
	reset bool // which was, or will be at once, by Reset

	readUntil, writeUntil deadline
}

func newDirection(size int) *direction {
	d := &direction{size: size}
	d.news.L = &d.mu
	return d
}

// A deadline is guarded by its direction's mutex.
type deadline struct {
	at    time.Time
	timer *time.Timer // wakes those who wait
}

// passed goes by the clock: the timer may come later, although the time is the same.
func (l *deadline) passed() bool { return !l.at.IsZero() && time.Until(l.at) <= 0 }

func (d *direction) set(l *deadline, t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l.stop()
	l.at = t
	if !t.IsZero() && !l.passed() {
		l.timer = time.AfterFunc(time.Until(t), func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.news.Broadcast()
		})
	}
	d.news.Broadcast()
}

func (l *deadline) stop() {
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
}

// Read implements net.Conn.
func (e *End) Read(p []byte) (n int, err error) {
	d := e.in
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		switch {
		case d.gone:
			return 0, e.opError("read", net.ErrClosed)
		case d.readUntil.passed():
			return 0, e.opError("read", os.ErrDeadlineExceeded)
		case len(p) == 0:
			return 0, nil
		case len(d.bytes) > 0:
			n = copy(p, d.bytes)
			d.bytes = d.bytes[n:]
			d.news.Broadcast()
			return n, nil
		case d.over && d.reset:
			return 0, e.opError("read", os.NewSyscallError("read", syscall.ECONNRESET))
		case d.over:
			return 0, io.EOF
		}
		d.news.Wait()
	}
}

// Write implements net.Conn.
func (e *End) Write(p []byte) (n int, err error) {
	d := e.out
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		switch {
		case d.over:
			return n, e.opError("write", net.ErrClosed)
		case d.writeUntil.passed():
			return n, e.opError("write", os.ErrDeadlineExceeded)
		case d.gone && d.reset:
			return n, e.opError("write", os.NewSyscallError("write", syscall.ECONNRESET))
		case d.gone:
			return n, e.opError("write", os.NewSyscallError("write", syscall.EPIPE))
		}
		m := min(len(p)-n, d.size-len(d.bytes))
		d.bytes = append(d.bytes, p[n:n+m]...)
		d.news.Broadcast()
		if n += m; n == len(p) {
			return n, nil
		}
		d.news.Wait()
	}
}

// CloseWrite ends the direction from e to the other end.
func (e *End) CloseWrite() error {
	d := e.out
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over {
		return e.opError("close", net.ErrClosed)
	}
	d.over = true
	d.writeUntil.stop()
	d.news.Broadcast()
	return nil
}

// Close implements net.Conn.
func (e *End) Close() error {
	_ = e.CloseWrite() // which may have been done
	d := e.in
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone {
		return e.opError("close", net.ErrClosed)
	}
	d.gone = true
	d.readUntil.stop()
	d.news.Broadcast()
	return nil
}

// Reset closes e, and the other end sees that, when it has read what was written before,
// as a connection that was reset.
func (e *End) Reset() error {
	if e.Closed() {
		return e.opError("close", net.ErrClosed)
	}
	for _, d := range []*direction{e.out, e.in} {
		d.mu.Lock()
		d.reset = true
		d.mu.Unlock()
	}
	return e.Close()
}

// Closed reports whether Close was called.
func (e *End) Closed() bool {
	e.in.mu.Lock()
	defer e.in.mu.Unlock()
	return e.in.gone
}

// SetDeadline implements net.Conn.
func (e *End) SetDeadline(t time.Time) error {
	if err := e.SetReadDeadline(t); err != nil {
		return err
	}
	return e.SetWriteDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (e *End) SetReadDeadline(t time.Time) error {
	if e.Closed() {
		return e.opError("set", net.ErrClosed)
	}
	e.in.set(&e.in.readUntil, t)
	return nil
}

// SetWriteDeadline implements net.Conn.
func (e *End) SetWriteDeadline(t time.Time) error {
	if e.Closed() {
		return e.opError("set", net.ErrClosed)
	}
	e.out.set(&e.out.writeUntil, t)
	return nil
}

// LocalAddr implements net.Conn.
func (e *End) LocalAddr() net.Addr { return e.local }

// RemoteAddr implements net.Conn.
func (e *End) RemoteAddr() net.Addr { return e.remote }

type addr struct{}

func (addr) Network() string { return "memory" }
func (addr) String() string  { return "memory" }

// opError is err as the net package has it.
func (e *End) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: e.local.Network(), Source: e.local, Addr: e.remote, Err: err}
}

// opError is err as the net package has it, for a Conn of whatever network.
func opError(op string, err error) error { return &net.OpError{Op: op, Net: "memory", Err: err} }
