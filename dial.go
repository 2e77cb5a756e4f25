package websocket

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"time"
)

// Dialer opens WebSocket connections: the client's end of the opening handshake
// (RFC 6455, section 4.1). The zero value works, and goes through no proxy. A
// Dialer may be copied, and used by many goroutines at once.
type Dialer struct {
	// NetDial makes network connections; nil is a net.Dialer. It may outlast the
	// Dial that called it, whose connection is closed then.
	NetDial func(network, addr string) (net.Conn, error)

	// NetDialContext is NetDial with a context, and preferred to it.
	NetDialContext func(ctx context.Context, network, addr string) (net.Conn, error)

	// NetDialTLSContext makes connections for wss and does the TLS handshake too,
	// TLSClientConfig being ignored. It must not agree to another protocol than
	// http/1.1 by ALPN. It is not used behind a proxy.
	NetDialTLSContext func(ctx context.Context, network, addr string) (net.Conn, error)

	// Proxy returns the proxy for a request whose URL is http in place of ws and
	// https in place of wss. nil, and a nil URL, mean no proxy. Its schemes are
	// http, https, socks5 and socks5h; both of the latter leave it to the proxy to
	// look the host up. User information in the URL is sent to the proxy.
	Proxy func(*http.Request) (*url.URL, error)

	// TLSClientConfig is used for wss; nil is the default configuration. The
	// Dialer works on a clone, in which NextProtos is http/1.1 and ServerName, if
	// empty, the host of the URL.
	TLSClientConfig *tls.Config

	// HandshakeTimeout bounds a whole Dial, redirects included. 0 is 10 s unless
	// the context has a deadline, negative is no limit.
	HandshakeTimeout time.Duration

	// ReadBufferSize and WriteBufferSize are in bytes; 0 is 4096, and 16384 for
	// reading from a plain socket. They do not limit the size of messages.
	ReadBufferSize, WriteBufferSize int

	// WriteBufferPool is where a NextWriter borrows its buffer; nil is a pool of
	// the package's own. Use one pool for each WriteBufferSize.
	WriteBufferPool BufferPool

	// Subprotocols are those offered to the server, the one liked best first. If
	// it is empty, a Sec-WebSocket-Protocol in requestHeader offers.
	Subprotocols []string

	// EnableCompression offers permessage-deflate (RFC 7692). If
	// Options.Compression is nil, neither end is to take its context over from one
	// message to the next, as with gorilla/websocket.
	EnableCompression bool

	// Jar gives each request its cookies, unless requestHeader has a Cookie field,
	// and takes those of each response. nil is no cookies.
	Jar http.CookieJar

	// Options are what connections are made with. Options.Compression, if not nil,
	// offers permessage-deflate on its own terms, with or without
	// EnableCompression.
	Options

	// Transport, if set, carries WebSockets over HTTP/2 (RFC 8441) or HTTP/3 (RFC
	// 9220), as streams of a connection that others may share: an *http2.Transport of
	// the package http2 beside this one, or another that does extended CONNECT for a
	// request with the header field ":protocol". Where it returns an error that matches
	// errors.ErrUnsupported, since the server does not do that, Dial goes on with
	// HTTP/1.1, for which alone NetDial, NetDialContext, NetDialTLSContext, Proxy and
	// TLSClientConfig are: give your TLSClientConfig to both. It must return when the
	// request's context ends. An *http.Transport does not do it, and is refused; no more
	// does the Transport of quic-go, for which there is the module http3: its error is about a
	// header field ":protocol".
	Transport http.RoundTripper

	// CheckRedirect, if set, makes Dial follow the statuses 301, 302, 303, 307 and
	// 308, ten in a row at most, but never from wss to ws. It is called before each
	// request with those sent so far, oldest first, and may change req.Header. Its
	// error ends the Dial; http.ErrUseLastResponse ends it with ErrBadHandshake. If
	// it is nil, a redirect is a bad handshake.
	//
	// At another host or port, the credentials and the Host of requestHeader are
	// not sent: Authorization, Cookie and their kin. Its other fields are.
	CheckRedirect func(req *http.Request, via []*http.Request) error

	// ProxyHeader is sent to an HTTP proxy with the CONNECT request.
	ProxyHeader http.Header

	// ProxyTLSClientConfig is used for https proxies as TLSClientConfig is for wss.
	// nil is TLSClientConfig with the proxy's host as ServerName.
	ProxyTLSClientConfig *tls.Config
}

// maxErrorBody is how much of a refusal's body Dial keeps, in bytes.
const maxErrorBody = 1024

// maxRedirects is how many redirects are followed, as in net/http.
const maxRedirects = 10

// Dial is DialContext without a context.
func (d *Dialer) Dial(urlStr string, requestHeader http.Header) (*Conn, *http.Response, error) {
	return d.DialContext(context.Background(), urlStr, requestHeader)
}

// DialContext opens a connection to a ws or wss URL; http and https mean the same.
// requestHeader, which may be nil, is sent along with names spelled as they are:
// Origin, Cookie, User-Agent, Authorization, say. Its Host replaces that of the URL.
// The fields of the handshake itself are not allowed in it. A nil Dialer works like
// DefaultDialer.
//
// When ctx ends before the connection is open, DialContext returns context.Cause(ctx)
// at once, whatever it is waiting for; a HandshakeTimeout gives
// context.DeadlineExceeded. Once the connection is open, ctx has no hold on it.
//
// If the server answers but does not open a WebSocket, the error is ErrBadHandshake,
// alone or wrapped, and the response is returned with it. Its Body holds at most 1024
// bytes and need not be closed. Errors of the network and of TLS are wrapped.
func (d *Dialer) DialContext(ctx context.Context, urlStr string, requestHeader http.Header) (*Conn, *http.Response, error) {
	if d == nil {
		d = DefaultDialer
	}
	began := d.Trace.clock()
	ctx, cancel := d.withTimeout(ctx)
	defer cancel()
	var h HandshakeInfo
	h.Conn, h.Response, h.Err = d.dial(ctx, urlStr, requestHeader, &h)
	if h.Err != nil && ended(ctx) {
		h.Err = context.Cause(ctx) // whatever it broke on the way
	}
	d.Trace.report(began, h)
	return h.Conn, h.Response, h.Err
}

// NewClient opens a connection to u over netConn, which belongs to it from then on.
// Buffer sizes are in bytes, 0 is 4096.
//
// Deprecated: use Dialer with a NetDial that returns netConn.
func NewClient(netConn net.Conn, u *url.URL, requestHeader http.Header, readBufSize, writeBufSize int) (c *Conn, response *http.Response, err error) {
	d := Dialer{
		ReadBufferSize:  readBufSize,
		WriteBufferSize: writeBufSize,
		NetDial:         func(network, addr string) (net.Conn, error) { return netConn, nil },
	}
	return d.Dial(u.String(), requestHeader)
}

func (d *Dialer) withTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	timeout := d.HandshakeTimeout
	if _, ok := ctx.Deadline(); timeout == 0 && !ok {
		timeout = defaultHandshakeTimeout
	}
	if timeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, timeout)
}

// ended reports whether ctx has ended, and has it end if only its timer is late: a
// net.Dialer looks at the clock and at the deadline, and can know it earlier.
func ended(ctx context.Context) bool {
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		patience := time.NewTimer(time.Second) // for a Context that never ends in spite of its deadline
		defer patience.Stop()
		select {
		case <-ctx.Done():
		case <-patience.C:
		}
	}
	return ctx.Err() != nil
}

// parseTarget reads the URL of a WebSocket (section 3). ws and wss become http and
// https, the names that proxies and cookie jars know.
func parseTarget(urlStr string) (*url.URL, error) {
	u, err := url.Parse(urlStr)
	if err != nil {
		return nil, fmt.Errorf("websocket: %w", err)
	}
	if strings.Contains(urlStr, "#") {
		return nil, errors.New("websocket: malformed ws or wss URL: fragments are not allowed")
	}
	return u, checkTarget(u)
}

// checkTarget makes u fit for a request, or says why it can't.
func checkTarget(u *url.URL) error {
	switch u.Scheme {
	case "http", "https":
	case "ws":
		u.Scheme = "http"
	case "wss":
		u.Scheme = "https"
	default:
		return fmt.Errorf("websocket: malformed ws or wss URL: scheme %q is none of ws, wss, http and https", u.Scheme)
	}
	if u.User != nil {
		return errors.New("websocket: malformed ws or wss URL: user information is not allowed")
	}
	if u.Hostname() == "" {
		return errors.New("websocket: malformed ws or wss URL: no host")
	}
	// A blank would end the target within the request line (RFC 9112, section 3). In a
	// path it is escaped anyway.
	u.RawQuery = strings.ReplaceAll(u.RawQuery, " ", "%20")
	return nil
}

func isRedirect(resp *http.Response) bool {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return resp.Header.Get("Location") != ""
	}
	return false
}

// redirectTarget returns where resp sends the last request of via.
func redirectTarget(via []*http.Request, resp *http.Response) (*url.URL, error) {
	if len(via) > maxRedirects {
		return nil, fmt.Errorf("websocket: stopped after %d redirects", maxRedirects)
	}
	from := via[len(via)-1].URL
	u, err := from.Parse(resp.Header.Get("Location"))
	if err != nil {
		return nil, fmt.Errorf("websocket: redirect: %w", err)
	}
	u.Fragment, u.RawFragment = "", "" // legal in a Location, meaningless here
	if err := checkTarget(u); err != nil {
		return nil, err
	}
	if from.Scheme == "https" && u.Scheme == "http" {
		return nil, errors.New("websocket: redirect from wss to ws")
	}
	return u, nil
}

// sameHost reports whether a and b have host and port in common.
func sameHost(a, b *url.URL) bool {
	x, y := originOf(a.Scheme, a.Host), originOf(b.Scheme, b.Host)
	return x.host == y.host && x.port == y.port
}

// withoutCredentials returns a copy of h that may go to a host that h was not meant
// for. What is gone stays gone, even if a later redirect leads back.
func withoutCredentials(h http.Header) http.Header {
	h = h.Clone()
	for k := range h {
		switch http.CanonicalHeaderKey(k) {
		case "Authorization", "Cookie", "Cookie2", "Host", "Proxy-Authorization", "Proxy-Authenticate", "Www-Authenticate":
			delete(h, k)
		}
	}
	return h
}

// newRequest returns a request for u with the cookies of the jar and the program's
// header fields. Those of the handshake are left to attempt.
func (d *Dialer) newRequest(ctx context.Context, u *url.URL, fields http.Header) (*http.Request, error) {
	req := (&http.Request{
		Method: http.MethodGet, URL: u, Host: u.Host, Header: make(http.Header),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(ctx)
	if d.Jar != nil {
		for _, cookie := range d.Jar.Cookies(u) {
			req.AddCookie(cookie)
		}
	}
	for _, p := range d.Subprotocols {
		if !isToken(p) { // section 4.1, item 10
			return nil, fmt.Errorf("websocket: subprotocol %q is not a token", p)
		}
	}
	if len(d.Subprotocols) > 0 {
		req.Header["Sec-WebSocket-Protocol"] = []string{strings.Join(d.Subprotocols, ", ")}
	}
	for k, vs := range fields {
		vs = append([]string(nil), vs...)
		switch name := http.CanonicalHeaderKey(k); name {
		case "Upgrade", "Connection", "Sec-Websocket-Key", "Sec-Websocket-Version", "Sec-Websocket-Extensions":
			return nil, errors.New("websocket: duplicate header not allowed: " + k)
		case "Sec-Websocket-Protocol":
			if len(d.Subprotocols) > 0 {
				return nil, errors.New("websocket: duplicate header not allowed: " + k)
			}
			req.Header["Sec-WebSocket-Protocol"] = vs
		case "Content-Length", "Transfer-Encoding", "Trailer": // there is no body
		case "Host":
			if len(vs) > 0 {
				req.Host = vs[0]
			}
		case "Cookie":
			delete(req.Header, name)
			req.Header[k] = vs
		default:
			req.Header[k] = vs
		}
	}
	return req, nil
}

// attemptAny is attempt over HTTP/2 or HTTP/3 if there is a Transport and the server can do
// it, and over HTTP/1.1 otherwise, which h gets to know of.
func (d *Dialer) attemptAny(ctx context.Context, req *http.Request, h *HandshakeInfo) (*Conn, *http.Response, error) {
	if err := checkHeader(req.Header); err != nil {
		return nil, nil, fmt.Errorf("websocket: %w", err)
	}
	if d.Transport != nil {
		c, resp, err := d.connectOver(ctx, req)
		if !errors.Is(err, errors.ErrUnsupported) || ctx.Err() != nil {
			return c, resp, err
		}
		h.Fallback = err
	}
	return d.attempt(ctx, req)
}

// attempt connects, sends req and judges the answer. A connection that does not
// become a Conn is closed.
func (d *Dialer) attempt(ctx context.Context, req *http.Request) (*Conn, *http.Response, error) {
	key := newChallengeKey()
	t := termsOf(d.EnableCompression, d.Compression)
	setOpening(req.Header, key, t)
	nc, err := d.connect(ctx, req)
	if err != nil {
		return nil, nil, err
	}
	var resp *http.Response
	var rest []byte
	err = interruptible(ctx, nc, func() (err error) {
		resp, rest, err = roundTrip(nc, req)
		return err
	})
	if err != nil {
		abort(nc)
		return nil, resp, err
	}
	d.keepCookies(req, resp)
	n, err := checkAnswer(resp, key, listElements(fieldValues(req.Header, "Sec-WebSocket-Protocol")), t)
	if err != nil {
		abort(nc)
		return nil, resp, err
	}
	nc.SetDeadline(time.Time{}) // one that NetDial may have left
	n.Buffered = rest
	return d.newConn(nc, n), resp, nil
}

func (d *Dialer) newConn(nc net.Conn, n Negotiated) *Conn {
	return newConn(newSocket(nc), n, &d.Options, bufferOptions{d.ReadBufferSize, d.WriteBufferSize, d.WriteBufferPool})
}

// keepCookies leaves the cookies of the response to the jar.
func (d *Dialer) keepCookies(req *http.Request, resp *http.Response) {
	if d.Jar == nil {
		return
	}
	if cookies := resp.Cookies(); len(cookies) > 0 {
		d.Jar.SetCookies(req.URL, cookies)
	}
}

// connectOver is attempt by extended CONNECT. Its error matches errors.ErrUnsupported if
// the server does not do that.
func (d *Dialer) connectOver(ctx context.Context, req *http.Request) (*Conn, *http.Response, error) {
	if _, ok := d.Transport.(*http.Transport); ok {
		return nil, nil, errors.New("websocket: Dialer.Transport is an *http.Transport, which cannot do extended CONNECT; " +
			"use the Transport of github.com/duplexkit/websocket/http2")
	}
	t := termsOf(d.EnableCompression, d.Compression)
	stream, cancel := context.WithCancel(context.WithoutCancel(ctx)) // the stream outlives ctx
	out := newRequestOutlet(cancel)
	var nc net.Conn // that the stream is one of
	creq := req.Clone(httptrace.WithClientTrace(stream, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { nc = info.Conn },
	}))
	creq.Method = http.MethodConnect
	setConnect(creq.Header, t)
	creq.Body, creq.ContentLength = out.body, -1

	stop := context.AfterFunc(ctx, cancel)
	resp, err := d.Transport.RoundTrip(creq)
	if err != nil {
		stop()
		cancel()
		return nil, nil, fmt.Errorf("websocket: %w", err)
	}
	if resp == nil || resp.Body == nil {
		stop()
		cancel()
		return nil, nil, fmt.Errorf("websocket: Dialer.Transport, a %T, returned no response body and no error", d.Transport)
	}
	d.keepCookies(req, resp)
	in := &responseBody{ReadCloser: resp.Body}
	resp.Body = http.NoBody
	n, err := checkConnected(resp, listElements(fieldValues(req.Header, "Sec-WebSocket-Protocol")), t)
	if err == ErrBadHandshake {
		resp.Body = in
		keepBody(resp) // while ctx allows
	}
	if !stop() { // the stream has ended with ctx
		err = context.Cause(ctx)
	}
	if err != nil {
		out.close(in)
		return nil, resp, err
	}
	return d.newConn(clientExchange(in, out, nc), n), resp, nil
}

// connect returns a connection over which req can be sent: through the proxy if there
// is one, and with TLS if the URL wants it.
func (d *Dialer) connect(ctx context.Context, req *http.Request) (nc net.Conn, err error) {
	addr, err := dialAddr(req.URL, defaultPort(req.URL.Scheme))
	if err != nil {
		return nil, fmt.Errorf("websocket: %w", err)
	}
	proxy, err := d.proxy(req)
	if err != nil {
		return nil, err
	}
	trace := clientTrace(ctx)
	if trace.GetConn != nil {
		trace.GetConn(addr)
	}
	secure := req.URL.Scheme == "https"
	switch {
	case proxy != nil:
		route := proxyRoute{proxy: proxy, header: d.ProxyHeader, tls: d.proxyTLSConfig(), dial: d.dialNet}
		nc, err = route.connect(ctx, addr)
	case secure && d.NetDialTLSContext != nil:
		nc, err = dialCustom(ctx, d.NetDialTLSContext, addr)
		secure = false // it is already
	default:
		nc, err = d.dialNet(ctx, addr)
	}
	if err != nil {
		return nil, err
	}
	if secure {
		if nc, err = startTLS(ctx, nc, d.TLSClientConfig, addr); err != nil {
			return nil, fmt.Errorf("websocket: %w", err)
		}
	}
	if trace.GotConn != nil {
		trace.GotConn(httptrace.GotConnInfo{Conn: nc})
	}
	return nc, nil
}

// proxy returns the proxy that req goes through, nil for none.
func (d *Dialer) proxy(req *http.Request) (*url.URL, error) {
	if d.Proxy == nil {
		return nil, nil
	}
	return d.Proxy(req)
}

// proxyTLSConfig returns the configuration for TLS with the proxy itself.
func (d *Dialer) proxyTLSConfig() *tls.Config {
	if d.ProxyTLSClientConfig != nil {
		return d.ProxyTLSClientConfig
	}
	cfg := d.TLSClientConfig.Clone()
	if cfg != nil {
		cfg.ServerName = "" // that one is for the server
	}
	return cfg
}

// dialNet makes a network connection by whatever the program wants it made.
func (d *Dialer) dialNet(ctx context.Context, addr string) (net.Conn, error) {
	switch {
	case d.NetDialContext != nil:
		return dialCustom(ctx, d.NetDialContext, addr)
	case d.NetDial != nil:
		return dialCustom(ctx, func(_ context.Context, network, addr string) (net.Conn, error) {
			return d.NetDial(network, addr)
		}, addr)
	default:
		return new(net.Dialer).DialContext(ctx, "tcp", addr)
	}
}

// roundTrip sends req and reads the response to it: of a 101 also what came behind it,
// of others also the body. When the body breaks off, the response has what there was
// of it.
func roundTrip(nc net.Conn, req *http.Request) (resp *http.Response, rest []byte, err error) {
	if err := req.Write(nc); err != nil {
		return nil, nil, fmt.Errorf("websocket: sending the opening handshake: %w", err)
	}
	resp, br, err := readResponse(nc, req)
	if err != nil {
		return nil, nil, fmt.Errorf("websocket: reading the server's answer: %w", err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		keepBody(resp)
		return resp, nil, nil
	}
	resp.Body = http.NoBody
	return resp, buffered(br), nil
}

// keepBody has the response keep what a refusal may say of itself.
func keepBody(resp *http.Response) {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	resp.Body = io.NopCloser(bytes.NewReader(body))
}
