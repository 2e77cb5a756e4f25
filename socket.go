package websocket

import (
	"errors"
	"net"
	"syscall"

	"github.com/duplexkit/websocket/internal/sock"
)

// Plain TCP and Unix sockets have a shorter way to the operating system than
// Read and Write, and one on which nobody has to hold a buffer while waiting.
// Their deadlines and Close work as ever.

// A socketReader reads from a plain socket, by whoever has the turn.
type socketReader struct {
	nc  net.Conn
	raw syscall.RawConn
	try func(fd uintptr) (done bool) // attempt, bound once: each method value is an allocation

	size    int     // of the memory to borrow, in bytes
	patient bool    // waits for something to read
	lent    *buffer // what attempt has borrowed, nil for none
	n       int     // bytes that attempt has read
	err     error   // why it has not
}

// newSocketReader returns nil if nc is no plain socket.
func newSocketReader(nc net.Conn, size int) *socketReader {
	raw := sock.Raw(nc)
	if raw == nil {
		return nil
	}
	s := &socketReader{nc: nc, raw: raw, size: size}
	s.try = s.attempt
	return s
}

// read waits until there is something to read, and returns it in memory that it
// borrows then and leaves to the caller. 0 bytes are the end. If it is not to
// wait the error is errDry.
func (s *socketReader) read(wait bool) (lent *buffer, n int, err error) {
	s.patient = wait
	err = s.raw.Read(s.try)
	lent, n = s.lent, s.n
	if err == nil {
		err = s.err
	}
	s.lent, s.n, s.err = nil, 0, nil
	switch err {
	case nil:
		return lent, n, nil
	case errDry:
		return nil, 0, err
	}
	lent.giveBack()
	return nil, 0, opError("read", s.nc, err)
}

// attempt reads if there is something to read. It is called when there may be.
func (s *socketReader) attempt(fd uintptr) (done bool) {
	s.lent = borrowBuffer(s.size)
	s.n, s.err = sock.Read(fd, s.lent.b[:min(cap(s.lent.b), sock.MaxSize)])
	if s.err == sock.ErrAgain {
		s.lent.giveBack()
		s.lent, s.err = nil, errDry
		return !s.patient
	}
	return true
}

// A socketWriter writes to a plain socket, by whoever has the turn.
type socketWriter struct {
	nc  net.Conn
	raw syscall.RawConn
	try func(fd uintptr) (done bool) // attempt, bound once

	rest    []byte // what is still to be written
	patient bool   // waits for room
	err     error
}

// newSocketWriter returns nil if nc is no plain socket.
func newSocketWriter(nc net.Conn) *socketWriter {
	raw := sock.Raw(nc)
	if raw == nil {
		return nil
	}
	s := &socketWriter{nc: nc, raw: raw}
	s.try = s.attempt
	return s
}

// write writes b, or as much as there is room for if it is not to wait.
func (s *socketWriter) write(b []byte, wait bool) (n int, err error) {
	s.rest, s.patient = b, wait
	err = s.raw.Write(s.try)
	n = len(b) - len(s.rest)
	if err == nil {
		err = s.err
	}
	s.rest, s.err = nil, nil
	if err != nil {
		err = opError("write", s.nc, err)
	}
	return n, err
}

// attempt writes while there is room. It is called when there may be.
func (s *socketWriter) attempt(fd uintptr) (done bool) {
	for len(s.rest) > 0 {
		n, err := sock.Write(fd, s.rest)
		s.rest = s.rest[n:]
		if err == sock.ErrAgain {
			return !s.patient
		}
		if err != nil {
			s.err = err
			return true
		}
	}
	return true
}

// opError is err as the net package would have it from Read or Write.
func opError(op string, nc net.Conn, err error) error {
	if raw, ok := errors.AsType[*net.OpError](err); ok {
		err = raw.Err
	}
	return &net.OpError{Op: op, Net: nc.LocalAddr().Network(), Source: nc.LocalAddr(), Addr: nc.RemoteAddr(), Err: err}
}
