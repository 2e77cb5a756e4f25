package websocket

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"

	"golang.org/x/net/http/httpguts"
)

// What a Dialer and a proxy have in common: network connections made under a
// context, TLS on them, and HTTP responses read from them.

// dialAddr returns host:port of u, in ASCII (RFC 5891).
func dialAddr(u *url.URL, port string) (string, error) {
	if p := u.Port(); p != "" {
		port = p
	}
	addr, err := httpguts.PunycodeHostPort(net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return "", fmt.Errorf("host %q: %w", u.Hostname(), err)
	}
	return addr, nil
}

// dialCustom calls the program's dial and does not rely on it to heed ctx: a connection
// that comes late is closed.
func dialCustom(ctx context.Context, dial func(ctx context.Context, network, addr string) (net.Conn, error), addr string) (net.Conn, error) {
	type result struct {
		nc  net.Conn
		err error
	}
	results := make(chan result)
	go func() {
		nc, err := dial(ctx, "tcp", addr)
		select {
		case results <- result{nc, err}:
		case <-ctx.Done():
			if err == nil {
				nc.Close()
			}
		}
	}()
	select {
	case r := <-results:
		return r.nc, r.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func clientTrace(ctx context.Context) *httptrace.ClientTrace {
	if trace := httptrace.ContextClientTrace(ctx); trace != nil {
		return trace
	}
	return &httptrace.ClientTrace{}
}

// startTLS makes a TLS client of nc by a clone of cfg. ServerName defaults to the host of
// addr. nc is closed on failure.
func startTLS(ctx context.Context, nc net.Conn, cfg *tls.Config, addr string) (net.Conn, error) {
	if cfg = cfg.Clone(); cfg == nil {
		cfg = &tls.Config{}
	}
	if cfg.ServerName == "" {
		cfg.ServerName, _, _ = net.SplitHostPort(addr)
	}
	// A configuration shared with net/http may ask for h2, which knows no Upgrade.
	cfg.NextProtos = []string{"http/1.1"}
	tc := tls.Client(nc, cfg)

	trace := clientTrace(ctx)
	if trace.TLSHandshakeStart != nil {
		trace.TLSHandshakeStart()
	}
	err := interruptible(ctx, nc, func() error { return tc.HandshakeContext(ctx) })
	if trace.TLSHandshakeDone != nil {
		trace.TLSHandshakeDone(tc.ConnectionState(), err)
	}
	if err != nil {
		abort(nc)
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return tc, nil
}

// interruptible calls f, which does I/O on nc, and closes nc under it when ctx ends.
// Closing works with connections that know no deadlines, and leaves none behind.
func interruptible(ctx context.Context, nc net.Conn, f func() error) error {
	stop := context.AfterFunc(ctx, func() { abort(nc) })
	err := f()
	if !stop() {
		return context.Cause(ctx)
	}
	return err
}

// abort closes nc without the farewell of TLS, which can block.
func abort(nc net.Conn) {
	for {
		tc, ok := nc.(*tls.Conn)
		if !ok {
			nc.Close()
			return
		}
		nc = tc.NetConn()
	}
}

// checkHeader refuses what could smuggle a line into the request. Values are not
// shown, they may be secret.
func checkHeader(h http.Header) error {
	for k, vs := range h {
		if !httpguts.ValidHeaderFieldName(k) {
			return fmt.Errorf("malformed name of header field %q", k)
		}
		for _, v := range vs {
			if !httpguts.ValidHeaderFieldValue(v) {
				return fmt.Errorf("malformed value of header field %s", k)
			}
		}
	}
	return nil
}

// readResponse reads the header of the response to req, over those of interim
// responses (RFC 9110, section 15.2), in all at most maxHandshake bytes.
func readResponse(nc net.Conn, req *http.Request) (*http.Response, *bufio.Reader, error) {
	limited := &responseReader{LimitedReader: io.LimitedReader{R: nc, N: maxHandshake}}
	br := bufio.NewReader(limited)
	if _, err := br.Peek(1); err == nil {
		if trace := clientTrace(req.Context()); trace.GotFirstResponseByte != nil {
			trace.GotFirstResponseByte()
		}
	}
	for {
		resp, err := http.ReadResponse(br, req)
		switch {
		case err != nil && limited.N == 0:
			return nil, nil, fmt.Errorf("header over %d bytes", maxHandshake)
		case err != nil && limited.broken == io.EOF:
			return nil, nil, io.ErrUnexpectedEOF
		case err != nil && limited.broken != nil:
			return nil, nil, limited.broken
		case err != nil:
			return nil, nil, err
		case resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols:
			limited.N = maxHandshake // for the body
			return resp, br, nil
		}
	}
}

// A responseReader stays with the first error of the network. net/http has none of that:
// it calls a line that breaks off malformed, or takes the next bytes for another line.
type responseReader struct {
	io.LimitedReader
	broken error // nil so far
}

func (r *responseReader) Read(p []byte) (n int, err error) {
	if r.broken != nil {
		return 0, r.broken
	}
	n, err = r.LimitedReader.Read(p)
	if n > 0 {
		return n, nil // it may be all there is to read; if not, the error comes again
	}
	if err != nil && r.N > 0 {
		r.broken = err
	}
	return n, err
}

// buffered returns a copy of what br holds, nil if it is nothing.
func buffered(br *bufio.Reader) []byte {
	p, _ := br.Peek(br.Buffered())
	return append([]byte(nil), p...)
}
