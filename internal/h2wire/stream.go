package h2wire

import (
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Reset is the end of a stream by RST_STREAM.
type Reset struct{ Code http2.ErrCode }

func (e *Reset) Error() string { return fmt.Sprintf("h2wire: the stream was reset: %v", e.Code) }

// Stream is a stream of an HTTP/2 connection, as a network connection.
type Stream struct {
	*Conn
	ID uint32

	// The rest is guarded by the mu of the Conn.

	header  []hpack.HeaderField
	in      []byte // what came and was not read
	padding int    // octets of padding that came, and that we have not granted again
	frames  int    // DATA frames that came
	err     error  // the end of what comes, io.EOF for END_STREAM
	reset   error  // the end of both directions

	window  int // what we may send
	sentEnd bool
	closed  bool

	readBy, writeBy time.Time
}

func (s *Stream) end(err error) {
	if s.err == nil {
		s.err = err
	}
}

// Header waits for the peer's header fields.
func (s *Stream) Header(patience time.Duration) ([]hpack.HeaderField, error) {
	err := s.wait(time.Now().Add(patience), func() bool { return s.header != nil || s.err != nil })
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && s.header == nil {
		err = s.err
	}
	return s.header, err
}

// Field is the value of a header field that came, "" if there is none.
func (s *Stream) Field(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.header {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// Frames is how many DATA frames have come.
func (s *Stream) Frames() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.frames
}

// Unread is how many octets have come and were not read.
func (s *Stream) Unread() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.in)
}

// Respond sends header fields in pairs.
func (s *Stream) Respond(end bool, fields ...string) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if end {
		s.mu.Lock()
		s.sentEnd = true
		s.mu.Unlock()
	}
	return s.headers(s.ID, end, fields)
}

// Read reads what the peer has sent.
func (s *Stream) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		s.mu.Lock()
		deadline, changed := s.readBy, s.changed
		switch {
		case s.closed:
			err = net.ErrClosed
		case !deadline.IsZero() && !time.Now().Before(deadline):
			err = os.ErrDeadlineExceeded
		case len(s.in) > 0: // also if the stream was reset behind it
			n = copy(p, s.in)
			s.in = s.in[n:]
			grant := uint32(n + s.padding)
			s.padding = 0
			hold := s.config.Hold || s.err != nil
			s.mu.Unlock()
			if !hold { // if the peer is gone, reading tells
				_ = s.Frame(func(fr *http2.Framer) error { return fr.WriteWindowUpdate(s.ID, grant) })
			}
			return n, nil
		case s.err != nil:
			err = s.err
		case s.Conn.err != nil:
			err = s.Conn.err
		}
		s.mu.Unlock()
		if err != nil {
			return 0, err
		}
		await(changed, deadline)
	}
}

// Write sends p in DATA frames, as the windows allow.
func (s *Stream) Write(p []byte) (n int, err error) {
	for n < len(p) {
		k, err := s.room(len(p) - n)
		if reset, ok := err.(*Reset); ok && reset.Code == http2.ErrCodeNo {
			return len(p), nil // the peer has said all, and wants no more (RFC 9113, section 8.1)
		}
		if err != nil {
			return n, err
		}
		err = s.Frame(func(fr *http2.Framer) error {
			if s.config.Pad > 0 {
				return fr.WriteDataPadded(s.ID, false, p[n:n+k], make([]byte, s.config.Pad))
			}
			return fr.WriteData(s.ID, false, p[n:n+k])
		})
		if err != nil {
			return n, err
		}
		n += k
	}
	return n, nil
}

// room waits until the windows have room for some octets, and takes it: as much as a frame holds of want.
func (s *Stream) room(want int) (n int, err error) {
	extra := 0
	if s.config.Pad > 0 {
		extra = s.config.Pad + 1
	}
	for {
		s.mu.Lock()
		deadline, changed := s.writeBy, s.changed
		most := 16384
		if s.config.Cut > 0 {
			most = s.config.Cut
		}
		n = min(want, most, s.window-extra, s.Conn.window-extra)
		switch {
		case s.closed || s.sentEnd:
			err = net.ErrClosed
		case s.reset != nil:
			err = s.reset
		case s.Conn.err != nil:
			err = s.Conn.err
		case !deadline.IsZero() && !time.Now().Before(deadline):
			err = os.ErrDeadlineExceeded
		case n > 0:
			s.window -= n + extra
			s.Conn.window -= n + extra
			s.mu.Unlock()
			return n, nil
		}
		s.mu.Unlock()
		if err != nil {
			return 0, err
		}
		await(changed, deadline)
	}
}

// CloseWrite sends END_STREAM, behind what was written.
func (s *Stream) CloseWrite() error {
	s.mu.Lock()
	done := s.sentEnd || s.closed || s.reset != nil
	s.sentEnd = true
	s.change()
	s.mu.Unlock()
	if done {
		return nil
	}
	return s.Frame(func(fr *http2.Framer) error { return fr.WriteData(s.ID, true, nil) })
}

// Close ends the stream, by RST_STREAM unless both sides have ended it.
func (s *Stream) Close() error {
	s.mu.Lock()
	whole := s.sentEnd && s.err == io.EOF || s.reset != nil
	again := s.closed
	s.closed = true
	delete(s.streams, s.ID)
	s.change()
	s.mu.Unlock()
	if again || whole {
		return nil
	}
	return s.Frame(func(fr *http2.Framer) error { return fr.WriteRSTStream(s.ID, http2.ErrCodeCancel) })
}

// Reset sends RST_STREAM.
func (s *Stream) Reset(code http2.ErrCode) error {
	return s.Frame(func(fr *http2.Framer) error { return fr.WriteRSTStream(s.ID, code) })
}

func (s *Stream) LocalAddr() net.Addr  { return s.nc.LocalAddr() }
func (s *Stream) RemoteAddr() net.Addr { return s.nc.RemoteAddr() }

// SetDeadline sets both deadlines.
func (s *Stream) SetDeadline(t time.Time) error {
	_ = s.SetReadDeadline(t)
	return s.SetWriteDeadline(t)
}

// SetReadDeadline sets the time after which reads fail, zero for none.
func (s *Stream) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readBy = t
	s.change()
	return nil
}

// SetWriteDeadline sets the time after which writes fail, zero for none.
func (s *Stream) SetWriteDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writeBy = t
	s.change()
	return nil
}
