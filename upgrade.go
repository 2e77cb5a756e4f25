package websocket

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// defaultHandshakeTimeout holds where the program gave none.
const defaultHandshakeTimeout = 10 * time.Second

// Upgrader turns HTTP requests into WebSocket connections: the server's end of
// the opening handshake (RFC 6455, section 4.2). The zero value works. An
// Upgrader may be copied, and used by many goroutines at once.
type Upgrader struct {
	// HandshakeTimeout bounds the writing of our answer and, in UpgradeConn, the
	// reading of the request before it. 0 is 10 s, negative is no limit.
	HandshakeTimeout time.Duration

	// ReadBufferSize and WriteBufferSize are in bytes; 0 is 4096, and 16384 for
	// reading from a plain socket. They do not limit the size of messages.
	ReadBufferSize, WriteBufferSize int

	// WriteBufferPool is where a NextWriter borrows its buffer; nil is a pool of
	// the package's own. Use one pool for each WriteBufferSize.
	WriteBufferPool BufferPool

	// Subprotocols are those the server speaks, in order of preference. The first
	// that the client offers too is chosen, none if there is no such. If it is
	// nil, a Sec-WebSocket-Protocol in Upgrade's responseHeader chooses.
	Subprotocols []string

	// Error answers a request that Upgrade refuses. reason is a HandshakeError.
	// The header fields that go with status are set on w already. If Error is nil,
	// the answer is the status and its text, and the HTTP connection is closed.
	Error func(w http.ResponseWriter, r *http.Request, status int, reason error)

	// CheckOrigin reports whether the page that opens the connection may do so,
	// going by r's Origin header, and decides alone. A browser lets any page
	// connect to any server and sends cookies along, so a function that returns
	// true hands the user's session to every page on the web.
	//
	// If it is nil, requests without Origin are allowed, which browsers never
	// send, and those whose Origin has the host and port of the request's Host
	// header, and those that AllowedOrigins names.
	CheckOrigin func(r *http.Request) bool

	// EnableCompression agrees to permessage-deflate (RFC 7692) if the client offers
	// it. If Options.Compression is nil, neither end takes its context over from one
	// message to the next, as with gorilla/websocket: no memory is kept for writing,
	// and messages below 256 bytes, which would hardly shrink, are not compressed.
	// For reading, up to 32 KiB are kept while messages come, for clients that do not
	// do as they say.
	EnableCompression bool

	// Options are what connections are made with. Options.Compression, if not nil,
	// agrees to permessage-deflate on its own terms, with or without
	// EnableCompression.
	Options

	// AllowedOrigins are origins that may connect besides the server's own, as
	// [scheme://]host[:port]. A host may start in "*.", which stands for one
	// label or more; "*" alone allows everything. Without a port the scheme's own
	// is meant, without a scheme any. Letters match in either case.
	AllowedOrigins []string

	// AllowedHosts, if not empty, are the only values of the Host header that are
	// served, as host[:port] with the same "*." and the same ports. It keeps out
	// pages whose host name was made to resolve to this server (DNS rebinding).
	AllowedHosts []string

	// SelectSubprotocol, if set, chooses among the subprotocols that the client
	// offers, in place of Subprotocols; "" is none. Its error refuses the request
	// with status 400. A choice that was not offered is a mistake of the server:
	// status 500.
	SelectSubprotocol func(r *http.Request, offered []string) (string, error)
}

// Upgrade answers the opening handshake r and takes the connection over from the
// HTTP server. responseHeader, which may be nil, is sent with the answer: cookies,
// say, or a Sec-WebSocket-Protocol where Subprotocols is nil. Control bytes in its
// values become blanks, and fields that belong to the handshake are left out.
//
// r may also be an extended CONNECT request of HTTP/2 or HTTP/3 (RFC 8441, RFC 9220). Its
// stream is the connection and ends when the HTTP handler returns, which therefore waits
// for <-c.Context().Done() in the end; Handler does that by itself.
//
// A request that is no proper handshake is refused: Upgrade answers it by Error
// and returns a HandshakeError. The statuses are 426 for a request that does not
// ask for a WebSocket, 405 for another method than GET, 400 for a malformed
// handshake or another version than 13, 403 for an origin or host that is not
// allowed, 501 for an extended CONNECT to something else, and 500 for a responseHeader
// that cannot be sent, a Compression with a value out of range and a w that cannot be
// hijacked, or over HTTP/2 flushed. Any other error comes from the network, and the
// connection is closed then.
//
// w may be wrapped in any number of middlewares as long as each has an Unwrap
// method (see http.ResponseController). Over HTTP/1.1 the request's context ends when the
// HTTP handler returns, and the connection lives on.
func (u *Upgrader) Upgrade(w http.ResponseWriter, r *http.Request, responseHeader http.Header) (*Conn, error) {
	began := u.Trace.clock()
	c, err := u.upgrade(w, r, responseHeader)
	if f, ok := errors.AsType[*refusal](err); ok {
		u.reply(w, r, f)
		err = f.reason
	}
	u.Trace.report(began, HandshakeInfo{Server: true, Request: r, Conn: c, Err: err})
	return c, err
}

// Upgrade is Upgrader.Upgrade with any origin allowed and nothing written to w
// when the request is refused. Buffer sizes are in bytes, 0 is 4096.
//
// Deprecated: use Upgrader, which checks the origin and answers refusals.
func Upgrade(w http.ResponseWriter, r *http.Request, responseHeader http.Header, readBufSize, writeBufSize int) (*Conn, error) {
	u := Upgrader{
		ReadBufferSize:  readBufSize,
		WriteBufferSize: writeBufSize,
		CheckOrigin:     func(*http.Request) bool { return true },
	}
	c, err := u.upgrade(w, r, responseHeader)
	if f, ok := errors.AsType[*refusal](err); ok {
		return nil, f.reason
	}
	return c, err
}

// Handler returns an HTTP handler that upgrades each request, calls serve with the
// connection and ends it when serve returns: with close code 1000 for nil, the
// code of a *CloseError or *ProtocolError, 1001 if r's context has ended, 1011 for
// other errors and for a panic, which goes on to the HTTP server. If serve has called
// Start and returns nil, the connection stays open and ends as Start says; over HTTP/2
// and HTTP/3 the handler returns only then. Refused requests
// do not reach serve; Upgrader.Error sees them, with the reason. The error of serve
// is told to nobody but the peer, and that by its code: log it in serve.
func (u *Upgrader) Handler(serve func(c *Conn, r *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := u.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		outcome := errPanicked
		defer func() {
			if outcome != nil || !c.started.Load() {
				c.farewell(outcome)
			}
			if x, ok := c.line.nc.(*exchange); ok {
				x.wait() // its stream ends with this handler
			}
		}()
		outcome = told(r.Context(), serve(c, r))
	})
}

// UpgradeConn reads an opening handshake from nc and answers it, for servers that
// do without net/http. It returns the request too, as far as there was one. nc
// belongs to UpgradeConn from here on: a refusal is written as an HTTP response,
// by the rules of Upgrade but not by Error. After any error nc is closed, though not
// before the peer had a second to read the refusal.
//
// The request's header may have 64 KiB, beyond that the answer is 431, and must be
// flawless HTTP/1.1: what lenient servers let pass is how requests are smuggled.
// Its RemoteAddr is set, and its TLS if nc is a *tls.Conn.
func (u *Upgrader) UpgradeConn(nc net.Conn) (*Conn, *http.Request, error) {
	began := u.Trace.clock()
	line := newSocket(nc)
	n, r, err := u.receive(line)
	var c *Conn
	if err == nil {
		c = u.newConn(line, n)
	}
	u.Trace.report(began, HandshakeInfo{Server: true, Request: r, Conn: c, Err: err})
	return c, r, err
}

// receive is UpgradeConn but for the Conn.
func (u *Upgrader) receive(line socket) (n Negotiated, r *http.Request, err error) {
	buf := borrowBuffer(firstRead) // for the request, then for the response
	defer buf.giveBack()
	hc := handshakeConn{nc: line.nc, raw: line.raw, u: u}
	r, rest, err := hc.readRequest(buf)
	if err == nil {
		n, err = u.judge(buf, r, nil)
	}
	if err == nil {
		err = hc.write(buf.b)
	}
	if err == nil {
		err = hc.finish()
	}
	if err != nil {
		return n, r, hc.turnAway(r, err)
	}
	n.Buffered = rest
	return n, r, nil
}

// upgrade is Upgrade without the answer to a refusal, which it returns as *refusal.
func (u *Upgrader) upgrade(w http.ResponseWriter, r *http.Request, responseHeader http.Header) (*Conn, error) {
	if protocol := extendedConnect(r); protocol != "" {
		return u.connect(w, r, responseHeader, protocol)
	}
	buf := borrowBuffer(0)
	defer buf.giveBack()
	n, err := u.judge(buf, r, responseHeader)
	if err != nil {
		return nil, err
	}
	nc, brw, err := hijack(w)
	if err != nil {
		return nil, hijackRefusal(w, r, err)
	}
	n.Buffered = takeBuffered(brw)
	hc := handshakeConn{nc: nc, u: u}
	if err = hc.write(buf.b); err == nil {
		err = hc.finish()
	}
	if err != nil {
		nc.Close()
		return nil, err
	}
	return u.newConn(newSocket(nc), n), nil
}

// connect is upgrade for an extended CONNECT.
func (u *Upgrader) connect(w http.ResponseWriter, r *http.Request, responseHeader http.Header, protocol string) (*Conn, error) {
	if err := checkConnect(r, protocol); err != nil {
		return nil, err
	}
	if err := u.allows(r, responseHeader); err != nil {
		return nil, err
	}
	n, extension, err := u.agree(r, responseHeader)
	if err != nil {
		return nil, err
	}
	// As hijacking would, this goes around middlewares, which might compress what they
	// are given to write.
	w = innermost(w)
	rc := http.NewResponseController(w)
	// The server's time limits for a request are none for a connection. An exchange keeps
	// deadlines of its own.
	err = rc.SetReadDeadline(time.Time{})
	if err == nil {
		err = rc.SetWriteDeadline(u.handshakeDeadline())
	}
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return nil, refuse(http.StatusInternalServerError, "response cannot carry an extended CONNECT: "+
			"%T has neither a SetReadDeadline and a SetWriteDeadline nor an Unwrap method", w)
	case err != nil:
		return nil, refuse(http.StatusInternalServerError, "preparing the stream of an extended CONNECT: %v", err)
	}
	setAnswer(w.Header(), n.Subprotocol, extension, responseHeader)
	w.WriteHeader(http.StatusOK)
	if err := errors.Join(rc.Flush(), rc.SetWriteDeadline(time.Time{})); err != nil {
		return nil, fmt.Errorf("websocket: sending the answer to an extended CONNECT: %w", err)
	}
	c := u.newConn(newSocket(serverExchange(w, rc, r)), n)
	drainWith(r, c)
	return c, nil
}

// hijack is http.ResponseController.Hijack.
func hijack(w http.ResponseWriter) (net.Conn, *bufio.ReadWriter, error) {
	if h, ok := w.(http.Hijacker); ok { // the usual case, for an allocation less
		return h.Hijack()
	}
	return http.NewResponseController(w).Hijack()
}

// judge decides about r: either the response that opens the connection, which it
// leaves in buf, and what it agrees on, or a *refusal.
func (u *Upgrader) judge(buf *buffer, r *http.Request, responseHeader http.Header) (n Negotiated, err error) {
	if err := checkOpening(r); err != nil {
		return n, err
	}
	if err := u.allows(r, responseHeader); err != nil {
		return n, err
	}
	key, err := challengeKey(r.Header)
	if err != nil {
		return n, err
	}
	n, extension, err := u.agree(r, responseHeader)
	if err != nil {
		return n, err
	}
	buf.b = appendAnswer(buf.b[:0], key, n.Subprotocol, extension, responseHeader)
	return n, nil
}

// allows decides whether the client may have what it asks for, with that in the answer.
func (u *Upgrader) allows(r *http.Request, responseHeader http.Header) error {
	if err := checkExtra(responseHeader); err != nil {
		return err
	}
	if !u.allowsHost(r) {
		return refuse(http.StatusForbidden, "host %q is not among Upgrader.AllowedHosts", r.Host)
	}
	if !u.allowsOrigin(r) {
		return refuse(http.StatusForbidden, "request origin %q not allowed by the Upgrader", r.Header["Origin"])
	}
	return nil
}

// agree chooses from what the client offers. extension is the answer about extensions,
// "" for none.
func (u *Upgrader) agree(r *http.Request, responseHeader http.Header) (n Negotiated, extension string, err error) {
	agreed, extension, err := u.extension(r)
	if err != nil {
		return n, "", err
	}
	subprotocol, err := u.subprotocol(r, responseHeader)
	if err != nil {
		return n, "", err
	}
	return Negotiated{Server: true, Subprotocol: subprotocol, Compression: agreed}, extension, nil
}

// extension returns what is agreed on permessage-deflate and the answer that says
// so, nil and "" for none.
func (u *Upgrader) extension(r *http.Request) (agreed *Compression, answer string, err error) {
	t := termsOf(u.EnableCompression, u.Compression)
	offered, err := offersFor(r.Header, t != nil)
	if err != nil || t == nil {
		return nil, "", err
	}
	if err := t.check(); err != nil {
		return nil, "", refuse(http.StatusInternalServerError, "the server's %v", err)
	}
	agreed, answer = t.choose(offered)
	if agreed != nil && t.Decline != nil && t.Decline(r) {
		return nil, "", nil
	}
	return agreed, answer, nil
}

func (u *Upgrader) subprotocol(r *http.Request, responseHeader http.Header) (chosen string, err error) {
	if u.SelectSubprotocol == nil && u.Subprotocols == nil && len(responseHeader) == 0 {
		return "", nil
	}
	offered := Subprotocols(r)
	switch {
	case u.SelectSubprotocol != nil:
		if chosen, err = u.SelectSubprotocol(r, offered); err != nil {
			return "", refuse(http.StatusBadRequest, "no subprotocol: %v", err)
		}
		chosen = strings.Clone(chosen) // lest the connection keep the header that it is part of
	case u.Subprotocols != nil:
		chosen = chooseSubprotocol(u.Subprotocols, offered)
	default:
		if vs := fieldValues(responseHeader, "Sec-WebSocket-Protocol"); len(vs) > 0 {
			chosen = vs[0]
		}
	}
	if chosen != "" && !slices.Contains(offered, chosen) {
		return "", refuse(http.StatusInternalServerError, "the server chose subprotocol %q, which was not offered", chosen)
	}
	return chosen, nil
}

func (u *Upgrader) newConn(line socket, n Negotiated) *Conn {
	return newConn(line, n, &u.Options, bufferOptions{u.ReadBufferSize, u.WriteBufferSize, u.WriteBufferPool})
}

// handshakeDeadline is when the rest of a handshake must be over.
func (u *Upgrader) handshakeDeadline() time.Time {
	switch {
	case u.HandshakeTimeout < 0:
		return time.Time{}
	case u.HandshakeTimeout == 0:
		return time.Now().Add(defaultHandshakeTimeout)
	default:
		return time.Now().Add(u.HandshakeTimeout)
	}
}

// reply answers a refused request by the HTTP server. The default answer closes the
// connection, lest an intermediary that believes in the upgrade tunnels further
// requests through it.
func (u *Upgrader) reply(w http.ResponseWriter, r *http.Request, f *refusal) {
	h := w.Header()
	f.addTo(h)
	if r.ProtoMajor != 1 { // RFC 9113, section 8.2.2
		h.Del("Upgrade")
		h.Del("Connection")
	}
	if u.Error != nil {
		u.Error(w, r, f.status, f.reason)
		return
	}
	if r.ProtoMajor == 1 {
		h["Connection"] = append([]string{"close"}, h["Connection"]...)
	}
	http.Error(w, http.StatusText(f.status), f.status)
}

// hijackRefusal says why w could not be hijacked, which is a riddle to whoever
// meets it in a stack of middlewares.
func hijackRefusal(w http.ResponseWriter, r *http.Request, err error) error {
	if !errors.Is(err, errors.ErrUnsupported) {
		return refuse(http.StatusInternalServerError, "hijacking the HTTP connection: %v", err)
	}
	if r.ProtoMajor > 1 {
		return refuse(http.StatusInternalServerError, "response does not implement http.Hijacker: the request came over HTTP/%d", r.ProtoMajor)
	}
	return refuse(http.StatusInternalServerError, "response does not implement http.Hijacker: %T has neither a Hijack nor an Unwrap method", innermost(w))
}

// innermost follows the Unwrap methods of w to the end.
func innermost(w http.ResponseWriter) http.ResponseWriter {
	for {
		wrapper, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return w
		}
		w = wrapper.Unwrap()
	}
}

// takeBuffered returns what the HTTP server read beyond the request. Then it empties
// the two buffers, 4 KiB each, which the server would hold on to until the handler
// returns, for many programs as long as the connection lives.
func takeBuffered(brw *bufio.ReadWriter) []byte {
	if brw == nil { // some wrappers have none to give
		return nil
	}
	p := buffered(brw.Reader)
	*brw.Reader = bufio.Reader{}
	*brw.Writer = bufio.Writer{}
	return p
}

// turnAway ends UpgradeConn after err: a refusal is written to the peer, and c.nc is
// closed. r is the request as far as there was one. It returns the error to report.
func (c *handshakeConn) turnAway(r *http.Request, err error) error {
	f, ok := errors.AsType[*refusal](err)
	if !ok {
		c.nc.Close()
		return err
	}
	if err := c.write(f.response(r)); err != nil {
		c.nc.Close()
		return f.reason
	}
	(&lingerer{nc: c.nc, end: true}).start(lingerTime)
	return f.reason
}

// response is f as an HTTP response to r, which may be nil, the same that http.Error
// would write: with no body if the request was HEAD (RFC 9110, section 9.3.2).
func (f *refusal) response(r *http.Request) []byte {
	body := http.StatusText(f.status) + "\n"
	h := http.Header{
		"Content-Type":           {"text/plain; charset=utf-8"},
		"X-Content-Type-Options": {"nosniff"},
	}
	f.addTo(h)
	resp := http.Response{
		Request: r, StatusCode: f.status, ProtoMajor: 1, ProtoMinor: 1, Close: true,
		Header: h, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
	var b bytes.Buffer
	resp.Write(&b) // neither a buffer nor a string fails
	return b.Bytes()
}

// allowsHost applies AllowedHosts.
func (u *Upgrader) allowsHost(r *http.Request) bool {
	if len(u.AllowedHosts) == 0 {
		return true
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return slices.ContainsFunc(u.AllowedHosts, originOf(scheme, r.Host).matches)
}

// allowsOrigin applies CheckOrigin or, without it, AllowedOrigins (RFC 6455, section 10.2).
func (u *Upgrader) allowsOrigin(r *http.Request) bool {
	if u.CheckOrigin != nil {
		return u.CheckOrigin(r)
	}
	values := r.Header["Origin"]
	switch {
	case len(values) == 0:
		return true
	case len(values) > 1:
		return false
	case slices.Contains(u.AllowedOrigins, "*"):
		return true
	}
	if scheme, host, _ := strings.Cut(values[0], "://"); host == r.Host && defaultPort(scheme) != "" && isPlainHost(host) {
		return true // as what follows would find out
	}
	o, ok := parseOrigin(values[0])
	return ok && (o.isOf(r.Host) || slices.ContainsFunc(u.AllowedOrigins, o.matches))
}
