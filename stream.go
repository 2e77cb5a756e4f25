package websocket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// Stream returns a view of the connection as a stream of bytes, which messages of
// one type carry, TextMessage or BinaryMessage. It is for protocols that know a
// net.Conn and nothing else.
//
// Each Write is one message. Read gives what messages bring, whose borders can't
// be seen; io.EOF after the peer closed with CloseNormalClosure or
// CloseGoingAway, though not in the middle of a message. A message of the other type fails the connection with
// CloseUnsupportedData. After a read deadline has passed, reading may go on, also
// in the middle of a message. Close is Shutdown with CloseNormalClosure.
func (c *Conn) Stream(messageType int) net.Conn {
	return &stream{c: c, messageType: messageType}
}

type stream struct {
	c           *Conn
	messageType int
}

var _ net.Conn = (*stream)(nil)

func (s *stream) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	err = s.c.read(context.Background(), func() (err error) {
		r := &s.c.r
		r.lenient = true
		defer func() { r.lenient = false }()
		for n == 0 && err == nil {
			if r.in.message == 0 || r.dropping || s.c.current != nil {
				err = s.next()
			} else if n, err = r.read(p); err == io.EOF {
				err = nil
			}
		}
		return err
	})
	if IsCloseError(err, CloseNormalClosure, CloseGoingAway) {
		if s.c.r.in.message != 0 { // nobody reads any more, so nobody changes it
			return n, io.ErrUnexpectedEOF
		}
		return n, io.EOF
	}
	return n, err
}

// next begins the next message.
func (s *stream) next() error {
	s.c.supersede()
	messageType, err := s.c.r.next(s.c.streamLimit())
	if err != nil {
		return err
	}
	if messageType != s.messageType {
		return s.c.r.fail(&ProtocolError{
			Code:   CloseUnsupportedData,
			Reason: fmt.Sprintf("message of type %d in a stream of type %d", messageType, s.messageType),
		})
	}
	return nil
}

func (s *stream) Write(p []byte) (n int, err error) {
	if err := s.c.WriteMessage(s.messageType, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (s *stream) Close() error {
	return s.c.Shutdown(context.Background(), CloseNormalClosure, "")
}

func (s *stream) LocalAddr() net.Addr               { return s.c.LocalAddr() }
func (s *stream) RemoteAddr() net.Addr              { return s.c.RemoteAddr() }
func (s *stream) SetReadDeadline(t time.Time) error { return s.c.SetReadDeadline(t) }

// SetWriteDeadline counts for a write in progress too, as net.Conn has it.
func (s *stream) SetWriteDeadline(t time.Time) error {
	if !t.IsZero() {
		s.c.w.hurry(t)
	}
	return s.c.SetWriteDeadline(t)
}

func (s *stream) SetDeadline(t time.Time) error {
	return errors.Join(s.SetReadDeadline(t), s.SetWriteDeadline(t))
}

// JoinMessages returns a reader of the messages that c receives, one after the
// other, with term behind each. It ends with the error that c's reads end with.
func JoinMessages(c *Conn, term string) io.Reader { return &joined{c: c, term: term} }

type joined struct {
	c    *Conn
	term string
	r    io.Reader // of the message at hand, nil between messages
	rest string    // of term, to be given next
}

func (j *joined) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	for n == 0 {
		if j.rest != "" {
			n = copy(p, j.rest)
			j.rest = j.rest[n:]
			return n, nil
		}
		if j.r == nil {
			if _, j.r, err = j.c.NextReader(); err != nil {
				j.r = nil
				return 0, err
			}
		}
		n, err = j.r.Read(p)
		if err == io.EOF {
			j.r, j.rest, err = nil, j.term, nil
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
