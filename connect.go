package websocket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/duplexkit/websocket/internal/drain"
)

// Extended CONNECT (RFC 8441 for HTTP/2, RFC 9220 for HTTP/3): a request that is
// answered at once and goes on in both directions. Its two bodies are the connection.
//
//	              server                                client
//	in    the request's body                   the response's body
//	out   responseOutlet: ResponseWriter       requestOutlet: the request's body
//
// Neither HTTP/2 nor net/http's view of it has deadlines that can be taken back: one that
// expires ends the stream. Those of an exchange are its own. A read that may have to be
// called off waits in a goroutine that is started for it (a fetch), and if it is called
// off the next read gets what comes of it. All other reads go the direct way.

// An exchange is a request and its response as a network connection.
type exchange struct {
	in            io.ReadCloser
	out           outlet
	local, remote net.Addr

	ended chan struct{}  // closed by Close
	users sync.WaitGroup // reads and writes in progress; none is added once closed
	sends sync.WaitGroup // the writes among them

	mu      sync.Mutex
	closed  bool
	wary    int           // reads that begin may have to be called off, for as many reasons
	changed chan struct{} // closed when waiting fetches have to look again; nil if none waits
	fetched *fetch        // what the next read gets, nil for nothing
	readBy  time.Time     // read deadline, zero for none
	more    bool          // the last read got all that it had room for, and more may lie there

	direct  int         // reads that wait in in itself
	cut     *time.Timer // ends the stream under them at the deadline, which came after them
	readCut bool        // it has

	writeBy  time.Time // write deadline, zero for none
	writes   int       // in progress
	late     *time.Timer
	writeCut bool // the deadline has ended the stream
}

// An outlet is the direction of an exchange in which we send.
type outlet interface {
	io.Writer

	// closeWrite ends the direction behind what was written, or fails if nothing but the
	// end of the exchange does.
	closeWrite() error

	// abort ends the stream. Write returns. in is the other direction.
	abort(in io.Closer)

	// close ends what is left of the exchange. in is its other direction, which ends
	// when it is closed.
	close(in io.Closer)
}

// A fetch is a read that does not end when it is called off.
type fetch struct {
	done chan struct{}
	lent *buffer // rest is a part of it
	rest []byte  // what came and was not handed out; valid, as are err and full, once done is closed
	err  error
	full bool // it got all that it had room for
	used bool // a part of it was handed out
}

// restTime is how long a read waits although it is called off, if it is for what seems to
// be there already: the rest of a message, without which the connection would fail.
const restTime = 100 * time.Millisecond

func newExchange(in io.ReadCloser, out outlet, local, remote net.Addr) *exchange {
	return &exchange{in: in, out: out, local: local, remote: remote, ended: make(chan struct{})}
}

func (x *exchange) LocalAddr() net.Addr  { return x.local }
func (x *exchange) RemoteAddr() net.Addr { return x.remote }

// errCut is a deadline that came when a read without one waited already: over HTTP/2
// and HTTP/3 that read can only end together with the stream.
var errCut = finalTimeout("websocket: deadline ended the HTTP stream, for it was set while a read was waiting")

// errLate is what is left to read of a stream that a write deadline has ended.
var errLate = finalTimeout("websocket: write deadline ended the HTTP stream")

// A finalTimeout is a timeout after which there is nothing to read any more.
type finalTimeout string

func (e finalTimeout) Error() string   { return string(e) }
func (e finalTimeout) Timeout() bool   { return true }
func (e finalTimeout) Temporary() bool { return false }

func (e finalTimeout) Is(target error) bool { return target == os.ErrDeadlineExceeded }

// Read reads what the peer has sent.
func (x *exchange) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	var grace time.Time // until then it waits for what seems to be there, although it is called off; zero before
	for {
		x.mu.Lock()
		f, deadline, now := x.fetched, x.readBy, time.Now()
		expired := !deadline.IsZero() && !now.Before(deadline)
		if expired && x.more {
			x.more = false
			grace = now.Add(restTime)
		}
		switch {
		case x.closed:
			x.mu.Unlock()
			return 0, net.ErrClosed
		case f != nil && f.used:
		case expired && !now.Before(grace):
			x.mu.Unlock()
			return 0, os.ErrDeadlineExceeded
		case f == nil && x.wary == 0 && deadline.IsZero():
			return x.readDirect(p)
		case f == nil:
			f = x.fetch(len(p))
		}
		if expired {
			deadline = grace
		}
		if x.changed == nil {
			x.changed = make(chan struct{})
		}
		changed := x.changed
		x.mu.Unlock()
		select {
		case <-f.done:
		default:
			if !waitFor(f.done, changed, deadline) {
				continue
			}
		}
		x.mu.Lock()
		if x.fetched != f { // another read has it
			x.mu.Unlock()
			continue
		}
		if len(f.rest) > 0 {
			n = copy(p, f.rest)
			f.rest = f.rest[n:]
			f.used = true
			x.more = len(f.rest) == 0 && f.full
		}
		if n == 0 {
			err = x.readErrorLocked(f.err) // and it stays
		}
		if len(f.rest) == 0 {
			if f.lent != nil {
				f.lent.giveBack()
				f.lent = nil
			}
			if f.err == nil { // also if it brought nothing, as trailers do
				x.fetched = nil
			}
		}
		x.mu.Unlock()
		return n, err
	}
}

// waitFor reports whether done comes before a change or the deadline.
func waitFor(done, changed <-chan struct{}, deadline time.Time) bool {
	var expired <-chan time.Time
	if !deadline.IsZero() {
		timer := time.NewTimer(time.Until(deadline))
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case <-done:
		return true
	case <-changed:
	case <-expired:
	}
	return false
}

// readDirect is Read where nobody is going to call it off, as far as that is known. It
// unlocks mu.
func (x *exchange) readDirect(p []byte) (n int, err error) {
	x.direct++
	x.users.Add(1)
	defer x.users.Done()
	x.mu.Unlock()
	n, err = x.in.Read(p)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.more = n == len(p)
	x.direct--
	if x.direct == 0 && x.cut != nil {
		x.cut.Stop()
		x.cut = nil
	}
	if n == 0 {
		err = x.readErrorLocked(err)
	}
	return n, err
}

// readErrorLocked tells what has ended the stream: we, or the loss of it, which HTTP servers
// and clients have many names for. Without a close frame its code is 1006 (RFC 6455,
// section 7.1.5). The caller has mu.
func (x *exchange) readErrorLocked(err error) error {
	switch {
	case err == nil:
		return nil
	case x.readCut:
		return errCut
	case x.writeCut:
		return errLate
	case x.closed:
		return net.ErrClosed
	case err == io.EOF:
		return err
	}
	return &CloseError{Code: CloseAbnormalClosure, Text: err.Error()}
}

// fetch begins to read n bytes or a few more. The caller has mu.
func (x *exchange) fetch(n int) *fetch {
	f := &fetch{done: make(chan struct{}), lent: borrowBuffer(n)}
	x.fetched = f
	x.users.Go(func() {
		room := f.lent.b[:cap(f.lent.b)]
		n, err := x.in.Read(room)
		f.rest, f.err, f.full = room[:n], err, n == len(room)
		close(f.done)
	})
	return f
}

// foresee says that reads which begin from now on may have to be called off, until
// it is told otherwise.
func (x *exchange) foresee(callOff bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if callOff {
		x.wary++
	} else {
		x.wary--
	}
}

// SetReadDeadline sets the time after which reads fail, zero for none.
func (x *exchange) SetReadDeadline(t time.Time) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		return net.ErrClosed
	}
	x.readBy = t
	if x.changed != nil {
		close(x.changed)
		x.changed = nil
	}
	if x.cut != nil {
		x.cut.Stop()
		x.cut = nil
	}
	if x.direct > 0 && !t.IsZero() {
		x.cut = time.AfterFunc(time.Until(t), func() { x.cutReads(t) })
	}
	return nil
}

// cutReads ends the stream if reads wait that can't be called off otherwise.
func (x *exchange) cutReads(deadline time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.direct > 0 && x.readBy.Equal(deadline) && !x.closed {
		x.readCut = true
		x.out.abort(x.in)
		_ = x.in.Close() // nobody is there to be told
	}
}

// Write sends b. When it returns b was sent, or it is with the HTTP client, which sends
// it if the stream goes on.
func (x *exchange) Write(b []byte) (n int, err error) {
	x.mu.Lock()
	switch {
	case x.closed:
		x.mu.Unlock()
		return 0, net.ErrClosed
	case x.writeCut, !x.writeBy.IsZero() && !time.Now().Before(x.writeBy):
		x.mu.Unlock()
		return 0, os.ErrDeadlineExceeded
	}
	x.writes++
	x.users.Add(1)
	defer x.users.Done()
	x.sends.Add(1)
	defer x.sends.Done()
	x.watchWrites()
	x.mu.Unlock()
	n, err = x.out.Write(b)
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.writes--; x.writes == 0 && x.late != nil {
		x.late.Stop()
	}
	switch {
	case err == nil:
	case x.writeCut:
		err = os.ErrDeadlineExceeded
	case x.closed:
		err = net.ErrClosed
	}
	return n, err
}

// SetWriteDeadline sets the time after which writes fail, zero for none. One that is in
// progress then takes the stream with it.
func (x *exchange) SetWriteDeadline(t time.Time) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		return net.ErrClosed
	}
	x.writeBy = t
	x.watchWrites()
	return nil
}

// watchWrites has the deadline kept for the writes in progress. The caller has mu.
func (x *exchange) watchWrites() {
	if x.late != nil {
		x.late.Stop()
	}
	switch {
	case x.writes == 0 || x.writeBy.IsZero():
	case x.late == nil:
		x.late = time.AfterFunc(time.Until(x.writeBy), x.cutWrites)
	default:
		x.late.Reset(time.Until(x.writeBy))
	}
}

// cutWrites ends the stream under writes whose deadline is over.
func (x *exchange) cutWrites() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.writes > 0 && !x.writeBy.IsZero() && !time.Now().Before(x.writeBy) && !x.closed {
		x.writeCut = true
		x.out.abort(x.in)
	}
}

// SetDeadline sets both deadlines.
func (x *exchange) SetDeadline(t time.Time) error {
	if err := x.SetReadDeadline(t); err != nil {
		return err
	}
	return x.SetWriteDeadline(t)
}

// CloseWrite ends the direction in which we send, behind what was written. A server can
// end its own only together with the other.
func (x *exchange) CloseWrite() error { return x.out.closeWrite() }

// Close ends both directions. Reads and writes in progress return, and on a server the
// writes do before Close does: its handler may return then, and with that the HTTP server
// may write.
func (x *exchange) Close() error {
	if !x.end() {
		return net.ErrClosed
	}
	if _, ok := x.out.(*responseOutlet); ok {
		x.sends.Wait()
	}
	return nil
}

// end is Close without waiting. It reports whether it was the first to be called.
func (x *exchange) end() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		return false
	}
	x.closed = true
	close(x.ended)
	if x.changed != nil {
		close(x.changed)
		x.changed = nil
	}
	for _, timer := range []*time.Timer{x.cut, x.late} {
		if timer != nil {
			timer.Stop()
		}
	}
	if x.writes > 0 {
		x.out.abort(x.in)
	}
	x.out.close(x.in)
	return true
}

// wait waits for Close, and then until nobody uses the two bodies any more.
func (x *exchange) wait() {
	<-x.ended
	x.users.Wait()
}

// A responseOutlet sends by an HTTP server.
type responseOutlet struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

// Write writes b and flushes it, together one hand-over to the HTTP server's connection.
func (o *responseOutlet) Write(b []byte) (n int, err error) {
	// When the handler has returned, which it must not before the connection is over,
	// net/http answers a Write by a panic. No program should end for that. The end of the
	// request's context would tell sooner, but it has other reasons, too.
	defer func() {
		if failure := recover(); failure != nil {
			n, err = 0, fmt.Errorf("websocket: write on a connection whose HTTP handler has returned: %w", net.ErrClosed)
		}
	}()
	if n, err = o.w.Write(b); err != nil {
		return n, err
	}
	return n, o.rc.Flush()
}

// closeWrite fails: the direction ends when the handler returns, and so does the other.
func (o *responseOutlet) closeWrite() error { return errors.ErrUnsupported }

func (o *responseOutlet) abort(io.Closer) { _ = o.rc.SetWriteDeadline(longAgo) } // it may be over already

// close lets reads of the request's body go. The rest is done by the handler's return.
func (o *responseOutlet) close(in io.Closer) { _ = in.Close() }

// A requestOutlet sends by an HTTP client: it is the writing end of the request's body.
type requestOutlet struct {
	body   *requestBody
	pipe   *io.PipeWriter
	cancel context.CancelFunc // ends the stream
}

// A requestBody is what the HTTP client reads.
type requestBody struct {
	*io.PipeReader
	over     chan struct{} // closed when the client knows that there is no more
	onceOver sync.Once     // of that
	done     chan struct{} // closed when it is through with the body
	onceDone sync.Once     // of that
}

// A responseBody is what the server sends.
type responseBody struct {
	io.ReadCloser
	ended atomic.Bool // all of it was read
}

func (b *responseBody) Read(p []byte) (n int, err error) {
	if n, err = b.ReadCloser.Read(p); err == io.EOF {
		b.ended.Store(true)
	}
	return n, err
}

// newRequestOutlet returns an outlet and the body of the request that it sends by. cancel
// cancels the context of the request.
func newRequestOutlet(cancel context.CancelFunc) *requestOutlet {
	r, w := io.Pipe()
	return &requestOutlet{&requestBody{PipeReader: r, over: make(chan struct{}), done: make(chan struct{})}, w, cancel}
}

func (b *requestBody) Read(p []byte) (n int, err error) {
	if n, err = b.PipeReader.Read(p); err != nil {
		b.onceOver.Do(func() { close(b.over) })
	}
	return n, err
}

// Close is called by the HTTP client, when the stream is over.
func (b *requestBody) Close() error {
	b.onceOver.Do(func() { close(b.over) })
	b.onceDone.Do(func() { close(b.done) })
	return b.PipeReader.Close()
}

func (o *requestOutlet) Write(b []byte) (n int, err error) {
	n, err = o.pipe.Write(b)
	if errors.Is(err, io.ErrClosedPipe) {
		err = errStreamOver
	}
	return n, err
}

var errStreamOver = fmt.Errorf("websocket: the HTTP stream has ended: %w", net.ErrClosed)

func (o *requestOutlet) closeWrite() error { return o.pipe.Close() }

// abort does not leave it to the HTTP client to end the pipe, which may be stuck in the
// network, nor to cancel the stream, which golang.org/x/net/http2 does not look at while it
// waits for the server to grant something.
func (o *requestOutlet) abort(in io.Closer) {
	o.cancel()
	_ = o.body.PipeReader.Close() // never fails
	go in.Close()                 // as in close
}

// close closes in, which resets a stream that has not ended both ways. What was
// written goes first, if it goes within a second, and so does its end: of a stream of
// HTTP/3 that is reset before it, the peer loses what it has not read yet. If the server has
// ended its own direction, nothing is left to reset once the client is through with ours.
func (o *requestOutlet) close(in io.Closer) {
	_ = o.pipe.Close() // never fails
	said := o.body.over
	if answer, ok := in.(*responseBody); ok && answer.ended.Load() {
		said = o.body.done
	}
	go func() { // the HTTP client may have to wait for the network
		patience := time.NewTimer(closePatience)
		defer patience.Stop()
		select {
		case <-said:
		case <-patience.C:
		}
		_ = in.Close() // nobody is there to be told
		o.cancel()
	}()
}

// serverExchange is the exchange of a request that was answered with status 200.
func serverExchange(w http.ResponseWriter, rc *http.ResponseController, r *http.Request) *exchange {
	network := "tcp"
	if r.ProtoMajor == 3 {
		network = "udp"
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		local = addrOf(network, "")
	}
	return newExchange(r.Body, &responseOutlet{w, rc}, local, addrOf(network, r.RemoteAddr))
}

// clientExchange is the exchange of a response and the outlet that its request went by,
// over a stream of nc, nil if that is not known.
func clientExchange(in io.ReadCloser, out *requestOutlet, nc net.Conn) *exchange {
	if nc == nil {
		return newExchange(in, out, namedAddr{}, namedAddr{})
	}
	return newExchange(in, out, nc.LocalAddr(), nc.RemoteAddr())
}

// addrOf is a network address as its kind calls for. What is none keeps its name.
func addrOf(network, s string) net.Addr {
	ap, err := netip.ParseAddrPort(s)
	switch {
	case err != nil:
		return namedAddr{network, s}
	case network == "udp":
		return net.UDPAddrFromAddrPort(ap)
	}
	return net.TCPAddrFromAddrPort(ap)
}

type namedAddr struct{ network, name string }

func (a namedAddr) Network() string { return a.network }
func (a namedAddr) String() string  { return a.name }

// drainWith has c closed with CloseGoingAway when the HTTP server that r came to shuts
// down, and c belongs to it: net/http waits for the handlers of HTTP/2, and so for the
// connections.
func drainWith(r *http.Request, c *Conn) {
	s, _ := r.Context().Value(http.ServerContextKey).(*http.Server)
	if s == nil {
		return
	}
	drain.Shared(s, func() (*Group, func()) {
		g := new(Group)
		return g, func() { _ = g.Shutdown(context.Background(), CloseGoingAway, "") } // nobody is there to be told
	}).Add(c)
}
