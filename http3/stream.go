package http3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// A stream is a request and the body of its response.
type stream struct {
	str  *http3.RequestStream
	in   io.ReadCloser // what the server sends
	body io.ReadCloser // what we send

	open     atomic.Int32 // directions that have not ended
	received sync.Once    // one of them has
	over     func()       // called when both have

	mu      sync.Mutex
	writing bool // to the network
	aborted bool
}

const (
	cancelled = quic.StreamErrorCode(http3.ErrCodeRequestCanceled)

	// maxInterim is how many interim responses are taken (RFC 9110, section 15.2).
	maxInterim = 5

	// sendBuffer is how much of a request's body is sent at once.
	sendBuffer = 4 << 10
)

// roundTrip is Transport.RoundTrip with a stream of c, which was reserved.
func (c *conn) roundTrip(req *http.Request, reused bool) (*http.Response, error) {
	ctx := req.Context()
	str, err := c.open(ctx)
	if err != nil {
		c.release(false)
		return nil, err
	}
	if trace := httptrace.ContextClientTrace(ctx); trace != nil && trace.GotConn != nil {
		trace.GotConn(httptrace.GotConnInfo{Conn: addresses{c.local, c.remote}, Reused: reused})
	}
	s := &stream{str: str, body: req.Body}
	if s.body == nil {
		s.body = http.NoBody
	}
	stop := context.AfterFunc(ctx, s.abort)
	s.over = func() {
		stop()
		c.release(true)
	}
	resp, err := c.exchange(s, req)
	if err != nil {
		str.CancelRead(cancelled)
		str.CancelWrite(cancelled)
		s.over()
		return nil, err
	}
	tls := c.qc.ConnectionState().TLS
	resp.Request, resp.TLS = req, &tls
	s.in, resp.Body = resp.Body, s
	s.open.Store(2)
	if resp.StatusCode/100 == 2 {
		// When the server wants no more, or is gone, whoever writes has to know.
		context.AfterFunc(str.Context(), func() { s.body.Close() })
		go s.send()
	} else {
		s.body.Close()
		str.Close()
		s.ended()
	}
	return resp, nil
}

// exchange sends the header of the request and reads that of the response.
func (c *conn) exchange(s *stream, req *http.Request) (*http.Response, error) {
	sent := *req
	sent.Proto = req.Header[":protocol"][0] // the way of quic-go to say it
	sent.Header = maps.Clone(req.Header)
	delete(sent.Header, ":protocol")
	sent.Body, sent.ContentLength = nil, 0 // of a CONNECT it says nothing, but for the data
	if err := s.sending(func() error { return s.str.SendRequestHeader(&sent) }); err != nil {
		return nil, fmt.Errorf("http3: sending the request: %w", err)
	}
	for range maxInterim + 1 {
		resp, err := s.str.ReadResponse()
		var h3 *http3.Error
		switch {
		case errors.As(err, &h3) && h3.ErrorCode == http3.ErrCodeRequestRejected: // RFC 9114, section 4.1.1
			c.leave()
			return nil, &unsent{err: err}
		case err != nil:
			return nil, fmt.Errorf("http3: reading the response: %w", err)
		case resp.StatusCode/100 != 1:
			return resp, nil
		}
	}
	return nil, errors.New("http3: too many interim responses")
}

// send sends the request's body.
func (s *stream) send() {
	defer s.ended()
	buf := make([]byte, sendBuffer)
	for {
		n, err := s.body.Read(buf)
		if n > 0 {
			failed := s.sending(func() error {
				_, err := s.str.Write(buf[:n])
				return err
			})
			if failed != nil {
				err = failed
			}
		}
		switch {
		case err == io.EOF:
			s.str.Close() // FIN, behind what was written
			return
		case err != nil:
			s.str.CancelWrite(cancelled)
			return
		}
	}
}

// sending calls f, which writes and fails when the stream is aborted.
func (s *stream) sending(f func() error) error {
	s.mu.Lock()
	if s.aborted {
		s.mu.Unlock()
		return context.Canceled
	}
	s.writing = true
	s.mu.Unlock()
	err := f()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writing = false
	return err
}

// abort ends what has not ended, with a reset. What the body has said to be its end stays
// one: a reset would make the server lose what came before it.
func (s *stream) abort() {
	s.str.CancelRead(cancelled)
	s.mu.Lock()
	s.aborted = true
	writing := s.writing
	s.mu.Unlock()
	if writing {
		s.str.CancelWrite(cancelled)
	}
	s.body.Close()
}

// ended counts a direction that has ended.
func (s *stream) ended() {
	if s.open.Add(-1) == 0 {
		s.over()
	}
}

// Read reads what the server sends. After its FIN the error is io.EOF, after a reset
// another one.
func (s *stream) Read(p []byte) (n int, err error) {
	n, err = s.in.Read(p)
	if err != nil {
		s.received.Do(s.ended)
	}
	return n, err
}

// Close ends the stream.
func (s *stream) Close() error {
	s.abort()
	s.received.Do(s.ended)
	return nil
}

// addresses stand for a connection in an httptrace.GotConnInfo. They can do nothing.
type addresses struct{ local, remote net.Addr }

func (a addresses) LocalAddr() net.Addr              { return a.local }
func (a addresses) RemoteAddr() net.Addr             { return a.remote }
func (a addresses) Read([]byte) (int, error)         { return 0, errors.ErrUnsupported }
func (a addresses) Write([]byte) (int, error)        { return 0, errors.ErrUnsupported }
func (a addresses) Close() error                     { return errors.ErrUnsupported }
func (a addresses) SetDeadline(time.Time) error      { return errors.ErrUnsupported }
func (a addresses) SetReadDeadline(time.Time) error  { return errors.ErrUnsupported }
func (a addresses) SetWriteDeadline(time.Time) error { return errors.ErrUnsupported }
