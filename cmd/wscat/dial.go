package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptrace"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/http2"
)

// A link is an open connection and what is known of its beginning.
type link struct {
	*websocket.Conn
	resp  *http.Response
	proxy *url.URL // that it goes through, nil for none
	steps *steps
	over2 *http2.Transport // nil for HTTP/1.1
}

// close lets go of the connection at once, if a closing handshake has not done so.
func (l *link) close() {
	l.Conn.Close()
	if l.over2 != nil {
		l.over2.CloseIdleConnections()
		l.steps.closeConn()
	}
}

// dial opens the connection. chatty says to show where redirects lead.
func dial(ctx context.Context, o *options, show *screen, chatty bool) (*link, error) {
	cfg, proxyCfg, err := tlsConfigs(o)
	if err != nil {
		return nil, &failure{exitUsage, err}
	}
	l := &link{steps: &steps{show: show, verbose: o.verbose}}
	cfg.VerifyConnection = l.steps.verified
	jar, _ := cookiejar.New(nil) // which has no error to return
	d := websocket.Dialer{
		NetDialContext:       l.steps.netDial,
		TLSClientConfig:      cfg,
		ProxyTLSClientConfig: proxyCfg,
		HandshakeTimeout:     o.connectTimeout,
		Subprotocols:         o.subprotocols,
		Options: websocket.Options{
			ReadLimit:    o.limit,
			CloseTimeout: o.closeTimeout,
			Compression:  o.compression,
		},
		Proxy: func(r *http.Request) (u *url.URL, err error) {
			switch {
			case o.proxy != nil:
				u = o.proxy
			case !o.direct:
				u, err = http.ProxyFromEnvironment(r)
			}
			l.proxy = u
			return u, err
		},
	}
	if o.connectTimeout == 0 {
		d.HandshakeTimeout = -1 // none
	}
	if o.follow {
		d.Jar = jar // a server may want to see the cookies again that came with the redirect
		d.CheckRedirect = func(req *http.Request, via []*http.Request) error {
			if chatty {
				show.note("%s, on to %v", req.Response.Status, webSocketURL(req.URL))
			}
			return nil
		}
	}
	if o.http2 || o.h2c {
		if err := refuseProxy(o, d.Proxy); err != nil {
			return nil, &failure{exitUsage, err}
		}
		l.over2 = &http2.Transport{TLSClientConfig: cfg, NetDialContext: l.steps.netDial, Unencrypted: o.h2c}
		d.Transport = l.over2
	}
	header := o.header.Clone()
	if _, ok := header["User-Agent"]; !ok {
		header.Set("User-Agent", "wscat")
	}

	began := time.Now()
	l.Conn, l.resp, err = d.DialContext(httptrace.WithClientTrace(ctx, l.steps.trace()), o.url.String(), header)
	l.steps.end(began, l.proxy != nil)
	if err != nil {
		if l.over2 != nil {
			l.over2.CloseIdleConnections()
			l.steps.closeConn()
		}
		return nil, l.refusal(ctx, o, err)
	}
	return l, nil
}

// refuseProxy is an error if a proxy would be gone around unnoticed.
func refuseProxy(o *options, proxy func(*http.Request) (*url.URL, error)) error {
	u := *o.url
	u.Scheme = "http" + strings.TrimPrefix(u.Scheme, "ws") // as the Dialer asks
	p, err := proxy(&http.Request{URL: &u, Host: u.Host, Header: make(http.Header)})
	if err != nil {
		return err
	}
	if p != nil {
		return fmt.Errorf("HTTP/2 goes through no proxy, and the environment wants %s: use HTTP/1.1, or -proxy none", p.Redacted())
	}
	return nil
}

// refusal makes an error of Dial one that says all that is known.
func (l *link) refusal(ctx context.Context, o *options, err error) error {
	var timeout net.Error
	switch text := bare(err); {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err == websocket.ErrBadHandshake:
		return &failure{exitRefused, errors.New(l.refusalText(o))}
	case l.resp != nil: // a wrong way to switch, or a redirect that may not be followed
		return failf(exitRefused, "%s (status %s)%s", text, l.resp.Status, headerText(o, l.resp))
	case errors.Is(err, context.DeadlineExceeded):
		return failf(exitTimeout, "no connection to %s within %v", o.url.Host, o.connectTimeout)
	case errors.As(err, &timeout) && timeout.Timeout():
		return failf(exitTimeout, "%s", text)
	default:
		return failf(exitConnect, "%s%s", text, tlsHint(err))
	}
}

// refusalText is the status and the body of a response that opens no WebSocket.
func (l *link) refusalText(o *options) string {
	var b strings.Builder
	fmt.Fprintf(&b, "the server refused the handshake: %s", l.resp.Status)
	switch location := l.resp.Header.Get("Location"); {
	case l.resp.StatusCode/100 == 3 && location != "" && !o.follow:
		fmt.Fprintf(&b, " to %s (-L follows)", printable(location))
	case l.resp.StatusCode == http.StatusUnauthorized:
		if wants := l.resp.Header.Get("WWW-Authenticate"); wants != "" {
			fmt.Fprintf(&b, " (it wants %s)", printable(wants))
		}
	}
	b.WriteString(headerText(o, l.resp))
	if body, _ := io.ReadAll(l.resp.Body); len(strings.TrimSpace(string(body))) > 0 {
		fmt.Fprintf(&b, "\n%s", strings.TrimRight(printable(string(body)), "\n"))
	}
	return b.String()
}

// headerText is the header of a response, with -v.
func headerText(o *options, resp *http.Response) string {
	if !o.verbose {
		return ""
	}
	return "\n" + strings.Join(headerLines(resp.Header), "\n")
}

func headerLines(h http.Header) (lines []string) {
	for name, values := range h {
		for _, value := range values {
			lines = append(lines, printable(name+": "+value))
		}
	}
	slices.Sort(lines)
	return lines
}

// tlsHint tells what to do about certificates.
func tlsHint(err error) string {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	switch {
	case errors.As(err, &unknown):
		return " (-cacert FILE trusts another authority, -k any)"
	case errors.As(err, &name):
		return " (-server-name NAME expects another name)"
	}
	return ""
}

// tlsConfigs returns the configurations for the server and for an https proxy, which is
// not shown the client's certificate.
func tlsConfigs(o *options) (server, proxy *tls.Config, err error) {
	cfg := &tls.Config{InsecureSkipVerify: o.insecure}
	if o.caCert != "" {
		pem, err := os.ReadFile(o.caCert)
		if err != nil {
			return nil, nil, err
		}
		if cfg.RootCAs, err = x509.SystemCertPool(); err != nil {
			cfg.RootCAs = x509.NewCertPool()
		}
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, nil, fmt.Errorf("%s holds no certificate in PEM", o.caCert)
		}
	}
	proxy = cfg.Clone()
	cfg.ServerName = o.serverName
	if o.cert != "" {
		pair, err := tls.LoadX509KeyPair(o.cert, cmp.Or(o.key, o.cert))
		if err != nil {
			return nil, nil, fmt.Errorf("-cert and -key: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, proxy, nil
}

// steps are the stages of a dial and the time that each took. After a redirect they are
// those of the last attempt.
type steps struct {
	show    *screen
	verbose bool

	mu    sync.Mutex
	conn  net.Conn // the network connection
	state *tls.ConnectionState
	sent  []string // the lines of the request's header

	dnsStart, connectStart, tlsStart, ready time.Time
	dns, connect, tls, proxy, shake, total  time.Duration
}

// netDial makes the network connection, and keeps it.
func (s *steps) netDial(ctx context.Context, network, addr string) (net.Conn, error) {
	nc, err := new(net.Dialer).DialContext(ctx, network, addr)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.conn = nc
		s.tlsStart = time.Now()
	}
	return nc, err
}

// closeConn ends the connection beneath HTTP/2, which would live on for others.
func (s *steps) closeConn() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil {
		s.conn.Close()
	}
}

// verified is called near the end of a TLS handshake. The server's comes after the proxy's.
func (s *steps) verified(state tls.ConnectionState) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = &state
	return nil
}

func (s *steps) trace() *httptrace.ClientTrace {
	locked := func(f func()) {
		s.mu.Lock()
		defer s.mu.Unlock()
		f()
	}
	return &httptrace.ClientTrace{
		GetConn: func(string) {
			locked(func() {
				s.dns, s.connect, s.tls, s.connectStart, s.tlsStart, s.state, s.sent = 0, 0, 0, time.Time{}, time.Time{}, nil, nil
			})
		},
		DNSStart: func(httptrace.DNSStartInfo) { locked(func() { s.dnsStart = time.Now() }) },
		DNSDone:  func(httptrace.DNSDoneInfo) { locked(func() { s.dns = time.Since(s.dnsStart) }) },
		ConnectStart: func(_, addr string) {
			locked(func() {
				if s.connectStart.IsZero() { // several addresses may be tried
					s.connectStart = time.Now()
				}
			})
			if s.verbose {
				s.show.note("connecting to %s", addr)
			}
		},
		ConnectDone: func(_, addr string, err error) {
			locked(func() { s.connect = time.Since(s.connectStart) })
			if s.verbose && err != nil {
				s.show.note("%s: %v", addr, err)
			}
		},
		TLSHandshakeStart: func() { locked(func() { s.tlsStart = time.Now() }) },
		TLSHandshakeDone:  func(tls.ConnectionState, error) { locked(func() { s.tls += time.Since(s.tlsStart) }) },
		GotConn: func(httptrace.GotConnInfo) {
			locked(func() {
				s.ready = time.Now()
				if s.tls == 0 && s.state != nil { // HTTP/2, whose transport does not tell
					s.tls = s.ready.Sub(s.tlsStart)
				}
			})
		},
		WroteHeaderField: func(name string, values []string) {
			locked(func() {
				for _, value := range values {
					s.sent = append(s.sent, name+": "+value)
				}
			})
		},
	}
}

// end notes the time that the handshake took, and what is left for the proxy.
func (s *steps) end(began time.Time, proxied bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total = time.Since(began)
	if !s.ready.IsZero() {
		s.shake = time.Since(s.ready)
	}
	if proxied {
		s.proxy = max(0, s.total-s.dns-s.connect-s.tls-s.shake)
	}
}

// times tells where the time went.
func (s *steps) times() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var parts []string
	for _, step := range []struct {
		name string
		took time.Duration
	}{{"DNS", s.dns}, {"connect", s.connect}, {"proxy", s.proxy}, {"TLS", s.tls}, {"handshake", s.shake}} {
		if step.took > 0 {
			parts = append(parts, step.name+" "+short(step.took))
		}
	}
	return fmt.Sprintf("%s (%s)", short(s.total), strings.Join(parts, ", "))
}

// describe shows what was connected to, and what was agreed on.
func (l *link) describe(o *options, show *screen) {
	show.note("connected to %v in %s", webSocketURL(l.resp.Request.URL), l.steps.times())
	l.steps.mu.Lock()
	state, conn, sent := l.steps.state, l.steps.conn, l.steps.sent
	l.steps.mu.Unlock()
	line := l.resp.Proto
	if conn != nil {
		line += " to " + conn.RemoteAddr().String()
	}
	if l.proxy != nil {
		line += ", the proxy " + l.proxy.Redacted()
	}
	if state != nil {
		line += ", " + tls.VersionName(state.Version) + ", " + tls.CipherSuiteName(state.CipherSuite)
		if len(state.PeerCertificates) > 0 {
			leaf := state.PeerCertificates[0]
			line += fmt.Sprintf("\ncertificate of %s by %s, until %s", printable(leaf.Subject.String()),
				printable(leaf.Issuer.String()), leaf.NotAfter.Format(time.DateOnly))
			if o.insecure {
				line += ", not verified"
			}
		}
	}
	show.note("%s", line)
	n := l.Negotiated()
	switch {
	case n.Subprotocol != "":
		show.note("subprotocol %s", n.Subprotocol)
	case len(o.subprotocols) > 0:
		show.note("no subprotocol, though %s was offered", strings.Join(o.subprotocols, ", "))
	}
	switch {
	case n.Compression != nil:
		show.note("%s", formatTerms(n.Compression))
	case o.compression != nil:
		show.note("no compression, though it was offered")
	}
	if o.verbose {
		u := webSocketURL(l.resp.Request.URL)
		show.note("request for %s\n%s", u.RequestURI(), printable(strings.Join(sent, "\n")))
		show.note("response %s\n%s", l.resp.Status, strings.Join(headerLines(l.resp.Header), "\n"))
	}
}

// webSocketURL is an http or https URL as a ws or wss one.
func webSocketURL(u *url.URL) *url.URL {
	ws := *u
	ws.Scheme = "ws" + strings.TrimPrefix(u.Scheme, "http")
	return &ws
}
