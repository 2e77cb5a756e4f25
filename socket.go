package websocket

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"

	"github.com/duplexkit/websocket/internal/sock"
)

// Plain TCP and Unix sockets have a shorter way to the operating system than
// Read and Write, and one on which nobody has to hold a buffer while waiting.
// Their deadlines and Close work as ever.

// A socket is a network connection, and the shorter way to it if it is a plain one.
type socket struct {
	nc  net.Conn
	raw syscall.RawConn // nil if there is no shorter way
}

func newSocket(nc net.Conn) socket { return socket{nc: nc, raw: sock.Raw(nc)} }

// Read is the longer way.
func (s *socket) Read(p []byte) (n int, err error) { return s.nc.Read(p) }

// read waits until there is something to read, and returns it, behind what has
// begun already, in memory of size bytes that it borrows then and leaves to the
// caller. came are the bytes that are new; none are the end. If it is not to wait
// the error may be errDry.
func (s *socket) read(size int, begun []byte, wait bool) (lent *buffer, came []byte, err error) {
	a := attempts.Get().(*attempt)
	a.size, a.skip, a.patient = int32(size), int32(len(begun)), wait
	err = s.raw.Read(a.try)
	lent, n := a.lent, int(a.n)
	if err == nil {
		err = a.err
	}
	a.lent, a.n, a.err = nil, 0, nil
	attempts.Put(a)
	if err == errDry {
		return nil, nil, err
	}
	if err != nil {
		lent.giveBack()
		return nil, nil, opError("read", s.nc, err)
	}
	copy(lent.b[:len(begun)], begun)
	return lent, lent.b[len(begun) : len(begun)+n], nil
}

// An attempt to read is all that a reader has while it waits.
type attempt struct {
	try func(fd uintptr) (done bool) // read, bound once: each method value is an allocation

	size    int32   // of the memory to borrow, in bytes
	skip    int32   // bytes of it to leave at its beginning
	patient bool    // waits for something to read
	n       int32   // bytes that read has read
	lent    *buffer // what it has borrowed for them, nil for none
	err     error   // why it has not read
}

var attempts = sync.Pool{New: func() any {
	a := &attempt{}
	a.try = a.read
	return a
}}

// read reads if there is something to read. It is called when there may be.
func (a *attempt) read(fd uintptr) (done bool) {
	lent := borrowBuffer(int(a.size))
	p := lent.b[a.skip:cap(lent.b)]
	n, err := sock.Read(fd, p[:min(len(p), sock.MaxSize)])
	if err == sock.ErrAgain {
		lent.giveBack()
		a.err = errDry
		return !a.patient
	}
	a.lent, a.n, a.err = lent, int32(n), err
	return true
}

// waiting returns how many bytes have come and were not read yet, 0 if that is not
// known.
func (s *socket) waiting() int {
	q := inquiries.Get().(*inquiry)
	_ = s.raw.Control(q.ask) // an error is that of a closed connection, of which the next read tells
	n := q.n
	q.n = 0
	inquiries.Put(q)
	return n
}

type inquiry struct {
	ask func(fd uintptr) // bound once
	n   int
}

var inquiries = sync.Pool{New: func() any {
	q := &inquiry{}
	q.ask = func(fd uintptr) { q.n = sock.Waiting(fd) }
	return q
}}

// write writes b, or as much as there is room for if it is not to wait.
func (s *socket) write(b []byte, wait bool) (n int, err error) {
	o := outputs.Get().(*output)
	o.rest, o.patient = b, wait
	err = s.raw.Write(o.try)
	n = len(b) - len(o.rest)
	if err == nil {
		err = o.err
	}
	o.rest, o.err = nil, nil
	outputs.Put(o)
	if err != nil {
		err = opError("write", s.nc, err)
	}
	return n, err
}

// An output is what is being written.
type output struct {
	try     func(fd uintptr) (done bool) // write, bound once
	rest    []byte                       // what is still to be written
	patient bool                         // waits for room
	err     error
}

var outputs = sync.Pool{New: func() any {
	o := &output{}
	o.try = o.write
	return o
}}

// write writes while there is room. It is called when there may be.
func (o *output) write(fd uintptr) (done bool) {
	for len(o.rest) > 0 {
		n, err := sock.Write(fd, o.rest)
		o.rest = o.rest[n:]
		if err == sock.ErrAgain {
			return !o.patient
		}
		if err != nil {
			o.err = err
			return true
		}
	}
	return true
}

// writeAll writes b to nc, which may be of the program's making: one that takes less
// and has no error breaks the rules of io.Writer, and a frame would be lost in silence.
func writeAll(nc net.Conn, b []byte) (n int, err error) {
	n, err = nc.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return n, err
}

// opError is err as the net package would have it from Read or Write.
func opError(op string, nc net.Conn, err error) error {
	if raw, ok := errors.AsType[*net.OpError](err); ok {
		err = raw.Err
	}
	return &net.OpError{Op: op, Net: nc.LocalAddr().Network(), Source: nc.LocalAddr(), Addr: nc.RemoteAddr(), Err: err}
}
