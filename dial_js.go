package websocket

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"syscall/js"
	"time"
)

// Dial in a browser, or in another host that has a WebSocket object. What that can't do
// is an error which says so, before anything is dialed, for an option that is passed over
// in silence may be one that the program relies on. What is a hint is taken as one:
// EnableCompression, since hosts offer permessage-deflate as they like, and the sizes of
// buffers.

// DefaultDialer gives a handshake 45 s. What proxy there is, is up to the host.
var DefaultDialer = &Dialer{HandshakeTimeout: 45 * time.Second}

// dial makes an attempt. h gets to know of it.
func (d *Dialer) dial(ctx context.Context, urlStr string, requestHeader http.Header, h *HandshakeInfo) (*Conn, *http.Response, error) {
	if err := d.checkHost(); err != nil {
		return nil, nil, err
	}
	u, err := parseTarget(urlStr)
	if err != nil {
		return nil, nil, err
	}
	req, err := d.newRequest(ctx, u, requestHeader)
	if err != nil {
		return nil, nil, err
	}
	h.Request = req
	if err := d.checkRequest(req); err != nil {
		return nil, nil, err
	}
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	offered := listElements(fieldValues(req.Header, "Sec-WebSocket-Protocol"))
	s, err := openHost(asWebSocket(u), offered)
	if err != nil {
		return nil, nil, err
	}
	select {
	case <-s.settled:
	case <-ctx.Done():
		_ = s.Close() // nobody is there to be told
		return nil, nil, context.Cause(ctx)
	}
	if err := s.dialError(); err != nil {
		return nil, nil, err
	}
	resp := s.response(req)
	n, err := agreement(resp.Header, offered, &terms{})
	if err != nil {
		n = Negotiated{Subprotocol: resp.Header.Get("Sec-WebSocket-Protocol")} // the host has judged it already
	}
	return newConn(socket{nc: s}, n, &d.Options, bufferOptions{write: d.WriteBufferSize, pool: d.WriteBufferPool}), resp, nil
}

// asWebSocket returns u with the scheme that every host knows.
func asWebSocket(u *url.URL) *url.URL {
	ws := *u
	ws.Scheme = map[string]string{"http": "ws", "https": "wss"}[u.Scheme]
	return &ws
}

// checkHost returns an error for an option that the host can't honour.
func (d *Dialer) checkHost() error {
	terms := Compression{}
	if d.Compression != nil {
		terms = *d.Compression
	}
	for _, option := range []struct {
		name string
		set  bool
	}{
		{"NetDial", d.NetDial != nil},
		{"NetDialContext", d.NetDialContext != nil},
		{"NetDialTLSContext", d.NetDialTLSContext != nil},
		{"TLSClientConfig", d.TLSClientConfig != nil},
		{"Jar", d.Jar != nil},
		{"Transport", d.Transport != nil},
		{"CheckRedirect", d.CheckRedirect != nil},
		{"ProxyHeader", len(d.ProxyHeader) > 0},
		{"ProxyTLSClientConfig", d.ProxyTLSClientConfig != nil},
		{"Options.PingInterval", d.PingInterval > 0},
		{"Options.AllowInvalidUTF8", d.AllowInvalidUTF8},
		{"Options.Compression.Level", terms.Level != 0},
		{"Options.Compression.Threshold", terms.Threshold != 0},
		{"Options.Compression.ServerNoContextTakeover", terms.ServerNoContextTakeover},
		{"Options.Compression.ClientNoContextTakeover", terms.ClientNoContextTakeover},
		{"Options.Compression.ServerMaxWindowBits", terms.ServerMaxWindowBits != 0},
		{"Options.Compression.ClientMaxWindowBits", terms.ClientMaxWindowBits != 0},
		{"Options.Compression.Decline", terms.Decline != nil},
	} {
		if option.set {
			return unsupported("Dialer.%s: the WebSocket of a JavaScript host can't do it", option.name)
		}
	}
	return nil
}

// checkRequest returns an error for what the host would not send, and for a proxy.
func (d *Dialer) checkRequest(req *http.Request) error {
	for _, name := range slices.Sorted(maps.Keys(req.Header)) {
		if http.CanonicalHeaderKey(name) != "Sec-Websocket-Protocol" {
			return unsupported("header field %s: the WebSocket of a JavaScript host can't send it", name)
		}
	}
	if req.Host != req.URL.Host {
		return unsupported("header field Host: the WebSocket of a JavaScript host can't send it")
	}
	if d.Proxy == nil {
		return nil
	}
	proxy, err := d.Proxy(req)
	if err != nil {
		return err
	}
	if proxy != nil { // http.ProxyFromEnvironment has none in a browser
		return unsupported("Dialer.Proxy: the WebSocket of a JavaScript host goes through no proxy of a program's")
	}
	return nil
}

// dialError returns why the object did not open, nil if it did. Hosts keep the reason from
// programs, which might find out by it what there is in the user's network; Node tells.
func (s *hostSocket) dialError() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.opened:
		return nil
	case s.trouble != "":
		return fmt.Errorf("websocket: %w", s.opError("dial", fmt.Errorf("the JavaScript host says: %s", s.trouble)))
	}
	return fmt.Errorf("websocket: %w", s.opError("dial", errUntold))
}

var errUntold = fmt.Errorf("failed, and the JavaScript host does not say why, but perhaps in its console")

// response returns what is known of the server's answer.
func (s *hostSocket) response(req *http.Request) *http.Response {
	resp := &http.Response{
		Status: "101 Switching Protocols", StatusCode: http.StatusSwitchingProtocols,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:  http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"}},
		Body:    http.NoBody,
		Request: req,
	}
	for name, property := range map[string]string{"Sec-Websocket-Protocol": "protocol", "Sec-Websocket-Extensions": "extensions"} {
		if v := s.ws.Get(property); v.Type() == js.TypeString && v.String() != "" {
			resp.Header[name] = []string{v.String()}
		}
	}
	return resp
}
