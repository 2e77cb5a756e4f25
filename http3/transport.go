package http3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"golang.org/x/net/http/httpguts"
)

// A Transport opens WebSockets over HTTP/3, many on one QUIC connection to a server, for
// the Transport of a websocket.Dialer. It remembers which servers can't, and leaves those
// to HTTP/1.1. The zero value is ready; it goes through no proxy. A Transport may be used
// concurrently and must not be copied.
//
// When a server allows no more streams on a connection, the Transport makes a further
// one. Connections that have no stream are closed after 90 s.
type Transport struct {
	// TLSClientConfig is nil for the default configuration. It is cloned for each
	// connection, and NextProtos set.
	TLSClientConfig *tls.Config

	// QUICConfig is nil for the default configuration. It is cloned for each connection,
	// and what is zero is set: KeepAlivePeriod to 15 s, so that WebSockets may be silent;
	// MaxIncomingStreams to none; receive windows of 64 to 512 KiB for each stream and of
	// 4 MiB or more for the connection, so that one which is not read holds up no other.
	QUICConfig *quic.Config

	// HandshakeTimeout bounds the making of a QUIC connection. When it is over, UDP is
	// taken not to get through, and the Dialer goes on with HTTP/1.1 in what is left of
	// its own HandshakeTimeout, which should be longer. 0 is 2 s.
	HandshakeTimeout time.Duration

	mu      sync.Mutex
	hosts   map[string]*host     // by host:port
	without map[string]time.Time // until when a host:port is taken for one that can't
	closed  bool
}

// A host is what there is of connections to it. Transport.mu guards it.
type host struct {
	conns   []*conn  // alive, as far as is known
	dialing *dialing // nil if none is being made
}

type dialing struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when the connection is there, or err
	err    error
}

const (
	// memory is how long a Transport remembers that a server can't do it. The server may
	// be another one by then.
	memory = 10 * time.Minute

	// remembered is of how many servers it does, of any if there are more.
	remembered = 1000

	// idleTime is how long a connection stays open without a stream.
	idleTime = 90 * time.Second

	// keepAlive is below the half minute after which NATs forget about UDP (RFC 9000,
	// section 10.1.2).
	keepAlive = 15 * time.Second

	// dialTime is for a handshake of two round trips, and a packet of it that is lost.
	dialTime = 2 * time.Second

	// maxHeader is the most that a server's answer may have of header fields, in bytes.
	maxHeader = 64 << 10
)

var errClosed = fmt.Errorf("http3: the Transport was closed: %w", net.ErrClosed)

// A refusal is what comes of a server that is not reached by QUIC, or speaks no HTTP/3, or
// no extended CONNECT.
type refusal struct {
	reason string
	err    error // nil for none
}

func (e *refusal) Error() string {
	if e.err == nil {
		return "http3: " + e.reason
	}
	return "http3: " + e.reason + ": " + e.err.Error()
}

func (e *refusal) Unwrap() error { return e.err }

// Is makes it an errors.ErrUnsupported, at which a Dialer goes on with HTTP/1.1.
func (e *refusal) Is(target error) bool { return target == errors.ErrUnsupported }

// RoundTrip sends an extended CONNECT request and returns the response. The request's URL
// is https; the header field ":protocol" makes it what it is. Its body is sent if the
// status is 2xx, and from then on: the end of the body ends that direction of the stream,
// the other one ends with the response's. Closing the response's body resets what has not
// ended, and so does the end of the request's context. An error that matches
// errors.ErrUnsupported says that the server does not do it, or is not reached.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.roundTrip(req)
	if err != nil && req.Body != nil {
		req.Body.Close()
	}
	return resp, err
}

func (t *Transport) roundTrip(req *http.Request) (*http.Response, error) {
	switch {
	case req.Method != http.MethodConnect || len(req.Header[":protocol"]) != 1:
		return nil, errors.New("http3: not an extended CONNECT request")
	case req.URL.Scheme != "https":
		return nil, &refusal{reason: "not without TLS"}
	}
	addr, err := hostPort(req.URL)
	if err != nil {
		return nil, fmt.Errorf("http3: %w", err)
	}
	ctx := req.Context()
	if trace := httptrace.ContextClientTrace(ctx); trace != nil && trace.GetConn != nil {
		trace.GetConn(addr)
	}
	for {
		c, reused, err := t.take(ctx, addr)
		if err != nil {
			return nil, err
		}
		resp, err := c.roundTrip(req, reused)
		var again *unsent
		switch {
		case err == nil:
			return resp, nil
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case !errors.As(err, &again) || !reused && !again.full:
			return nil, err
		}
	}
}

// hostPort returns host:port of u, in ASCII.
func hostPort(u *url.URL) (string, error) {
	port := u.Port()
	if port == "" {
		port = "443"
	}
	return httpguts.PunycodeHostPort(net.JoinHostPort(u.Hostname(), port))
}

// take returns a connection with a stream reserved, which release gives back, and whether
// it was there before.
func (t *Transport) take(ctx context.Context, addr string) (c *conn, reused bool, err error) {
	for reused = true; ; reused = false {
		c, d, err := t.find(addr)
		if c != nil || err != nil {
			return c, reused, err
		}
		select {
		case <-d.done:
		case <-ctx.Done():
			return nil, false, context.Cause(ctx)
		}
		if d.err != nil {
			return nil, false, d.err
		}
	}
}

// find is take without waiting: it returns a connection, or one that is being made.
func (t *Transport) find(addr string) (*conn, *dialing, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.closed:
		return nil, nil, errClosed
	case t.knows(addr):
		return nil, nil, &refusal{reason: "the server did not do extended CONNECT before"}
	}
	h := t.hosts[addr]
	if h == nil {
		h = new(host)
		if t.hosts == nil {
			t.hosts = make(map[string]*host)
		}
		t.hosts[addr] = h
	}
	for _, c := range h.conns {
		if !c.full && !c.leaving && c.qc.Context().Err() == nil {
			c.streams++
			c.idle.Stop()
			return c, nil, nil
		}
	}
	if h.dialing == nil {
		// For whoever wants it: it must not end with the request that is the first to.
		ctx, cancel := context.WithCancel(context.Background())
		h.dialing = &dialing{cancel: cancel, done: make(chan struct{})}
		go t.connect(ctx, addr, h)
	}
	return nil, h.dialing, nil
}

// connect makes a connection for h.dialing.
func (t *Transport) connect(ctx context.Context, addr string, h *host) {
	c, err := t.dial(ctx, addr)
	t.mu.Lock()
	defer t.mu.Unlock()
	d := h.dialing
	h.dialing = nil
	d.cancel()
	if t.closed {
		if err == nil {
			c.close()
		}
		err = errClosed
	}
	switch err.(type) {
	case nil:
		h.conns = append(h.conns, c)
		c.idle = time.AfterFunc(idleTime, c.expire)
		context.AfterFunc(c.qc.Context(), c.forget)
	case *refusal:
		t.remember(addr)
	}
	t.tidy(addr)
	d.err = err
	close(d.done)
}

// tidy deletes what there is no connection to. The caller has mu.
func (t *Transport) tidy(addr string) {
	if h := t.hosts[addr]; h != nil && len(h.conns) == 0 && h.dialing == nil {
		delete(t.hosts, addr)
	}
}

// dial makes a connection and hears what the server can do.
func (t *Transport) dial(ctx context.Context, addr string) (*conn, error) {
	remote, local, err := route(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("http3: %w", err)
	}
	limit := t.HandshakeTimeout
	if limit <= 0 {
		limit = dialTime
	}
	late := &refusal{reason: fmt.Sprintf("no QUIC connection to %s within %v", remote, limit)}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, late)
	defer cancel()
	qc, err := quic.DialAddr(ctx, remote.String(), t.tlsConfig(addr), t.quicConfig())
	if err != nil {
		return nil, dialError(ctx, err)
	}
	if udp, ok := qc.LocalAddr().(*net.UDPAddr); ok {
		local.Port = udp.Port
	}
	c := &conn{t: t, addr: addr, qc: qc, local: local, remote: remote}
	c.h3 = (&http3.Transport{DisableCompression: true, MaxResponseHeaderBytes: maxHeader}).NewClientConn(qc)
	select {
	case <-c.h3.ReceivedSettings():
	case <-qc.Context().Done():
		return nil, &refusal{"the server ended the connection", context.Cause(qc.Context())}
	case <-ctx.Done():
		c.close()
		return nil, context.Cause(ctx)
	}
	if !c.h3.Settings().EnableExtendedConnect { // RFC 9220, section 3
		c.close()
		return nil, &refusal{reason: "the server does not do extended CONNECT"}
	}
	return c, nil
}

// route looks addr up. Of several addresses it chooses one to which there is a route, and
// says by which of our own.
func route(ctx context.Context, addr string) (remote, local *net.UDPAddr, err error) {
	nc, err := new(net.Dialer).DialContext(ctx, "udp", addr) // sends nothing
	if err != nil {
		return nil, nil, err
	}
	defer nc.Close()
	return nc.RemoteAddr().(*net.UDPAddr), nc.LocalAddr().(*net.UDPAddr), nil
}

// dialError tells what of quic-go's errors means that HTTP/3 does not work there. A
// certificate that is not trusted does not: over HTTP/1.1 it would be the same one.
func dialError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var broken *quic.TransportError
	if errors.As(err, &broken) && !broken.Remote && broken.ErrorCode.IsCryptoError() && broken.ErrorCode != noApplicationProtocol {
		return fmt.Errorf("http3: TLS handshake: %w", err)
	}
	return &refusal{"no HTTP/3 connection", err}
}

// noApplicationProtocol is the TLS alert for ALPN that fails (RFC 9001, section 8.1).
const noApplicationProtocol = quic.TransportErrorCode(0x100 + 120)

func (t *Transport) tlsConfig(addr string) *tls.Config {
	config := t.TLSClientConfig.Clone()
	if config == nil {
		config = new(tls.Config)
	}
	config.NextProtos = []string{http3.NextProtoH3}
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(addr)
	}
	return config
}

func (t *Transport) quicConfig() *quic.Config {
	config := t.QUICConfig
	if config == nil {
		config = new(quic.Config)
	}
	config = withWindows(config)
	if config.MaxIncomingStreams == 0 {
		config.MaxIncomingStreams = -1 // none: HTTP/3 has no streams that servers open both ways
	}
	if config.KeepAlivePeriod == 0 {
		config.KeepAlivePeriod = keepAlive
	}
	return config
}

// CloseIdleConnections closes the connections that have no stream.
func (t *Transport) CloseIdleConnections() {
	t.mu.Lock()
	var idle []*conn
	for _, h := range t.hosts {
		for _, c := range h.conns {
			if c.streams == 0 {
				c.leaving = true
				idle = append(idle, c)
			}
		}
	}
	t.mu.Unlock()
	for _, c := range idle {
		c.close()
	}
}

// Close closes all connections, with the WebSockets on them. The Transport can't be used
// after that.
func (t *Transport) Close() error {
	t.mu.Lock()
	t.closed = true
	var all []*conn
	for _, h := range t.hosts {
		all = append(all, h.conns...)
		if h.dialing != nil {
			h.dialing.cancel()
		}
	}
	t.mu.Unlock()
	for _, c := range all {
		c.close()
	}
	return nil
}

// knows reports whether the host is known for not doing it. The caller has mu.
func (t *Transport) knows(addr string) bool {
	until, ok := t.without[addr]
	if ok && !time.Now().Before(until) {
		delete(t.without, addr)
		return false
	}
	return ok
}

// remember notes that the host does not do it. The caller has mu.
func (t *Transport) remember(addr string) {
	for other := range t.without {
		if len(t.without) < remembered {
			break
		}
		delete(t.without, other)
	}
	if t.without == nil {
		t.without = make(map[string]time.Time)
	}
	t.without[addr] = time.Now().Add(memory)
}

// A conn is a QUIC connection of a Transport.
type conn struct {
	t             *Transport
	addr          string // by which Transport.hosts has it
	qc            *quic.Conn
	h3            *http3.ClientConn
	local, remote *net.UDPAddr

	// Transport.mu guards the rest.
	streams int         // in use
	opened  bool        // there was one
	full    bool        // the server allows no more until one ends
	leaving bool        // there will be no more
	idle    *time.Timer // runs while there is none
}

// release gives a stream back. ended says that there was one, which makes room.
func (c *conn) release(ended bool) {
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	c.full = c.full && !ended
	if c.streams--; c.streams > 0 {
		return
	}
	if c.leaving {
		go c.close()
		return
	}
	c.idle.Reset(idleTime)
}

// leave keeps further requests from c.
func (c *conn) leave() {
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	c.leaving = true
}

// expire closes c if it has no stream.
func (c *conn) expire() {
	c.t.mu.Lock()
	idle := c.streams == 0
	c.leaving = c.leaving || idle
	c.t.mu.Unlock()
	if idle {
		c.close()
	}
}

// forget takes c out of the Transport, when it is closed.
func (c *conn) forget() {
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	c.idle.Stop()
	if h := c.t.hosts[c.addr]; h != nil {
		h.conns = slices.DeleteFunc(h.conns, func(other *conn) bool { return other == c })
		c.t.tidy(c.addr)
	}
}

func (c *conn) close() {
	_ = c.qc.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "") // only says that it is closed
}

// An unsent is why a request was not sent, or why the server did nothing with it.
type unsent struct {
	err  error
	full bool // the server allows no more streams on a connection that has some
}

func (e *unsent) Error() string { return "http3: " + e.err.Error() }
func (e *unsent) Unwrap() error { return e.err }

var errFull = errors.New("the server allows no more streams")

// fullAfter is how long the server has to allow a further stream. If it had allowed one
// already, no time would go by.
const fullAfter = 100 * time.Millisecond

// open opens a stream.
func (c *conn) open(ctx context.Context) (*http3.RequestStream, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, fullAfter, errFull)
	defer cancel()
	str, err := c.h3.OpenRequestStream(ctx)
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	switch {
	case err == nil:
		c.opened = true
		return str, nil
	case context.Cause(ctx) == errFull:
		c.full = true
		return nil, &unsent{errFull, c.opened}
	case ctx.Err() == nil: // the server, or both of us, have said goodbye
		c.leaving = true
	}
	return nil, &unsent{err: err}
}
