//go:build !js

package websocket

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// What Dial does on a system with a network. Where there is a browser in its place, see
// dial_js.go. Of dial.go and what stands below it, what is not reached from there is not in
// a program for js/wasm: that is 4 MB of 10, and a reason to keep it so.

// DefaultDialer takes proxies from the environment (see http.ProxyFromEnvironment)
// and gives a handshake 45 s.
var DefaultDialer = &Dialer{
	Proxy:            http.ProxyFromEnvironment,
	HandshakeTimeout: 45 * time.Second,
}

// dial makes attempts until one does not end in a redirect to follow. h gets to know what
// the last one was.
func (d *Dialer) dial(ctx context.Context, urlStr string, requestHeader http.Header, h *HandshakeInfo) (*Conn, *http.Response, error) {
	if err := termsOf(d.EnableCompression, d.Compression).check(); err != nil {
		return nil, nil, fmt.Errorf("websocket: Dialer's %w", err)
	}
	u, err := parseTarget(urlStr)
	if err != nil {
		return nil, nil, err
	}
	var via []*http.Request
	var redirect *http.Response // what led to u, nil at first
	for {
		req, err := d.newRequest(ctx, u, requestHeader)
		if err != nil {
			return nil, nil, err
		}
		h.Request, h.Fallback = req, nil
		if redirect != nil {
			req.Response = redirect
			switch err := d.CheckRedirect(req, via); {
			case err == http.ErrUseLastResponse:
				return nil, redirect, ErrBadHandshake
			case err != nil:
				return nil, redirect, err
			}
		}
		c, resp, err := d.attemptAny(ctx, req, h)
		if err != ErrBadHandshake || d.CheckRedirect == nil || !isRedirect(resp) {
			return c, resp, err
		}
		via, redirect = append(via, req), resp
		if u, err = redirectTarget(via, resp); err != nil {
			return nil, resp, err
		}
		if !sameHost(u, req.URL) {
			requestHeader = withoutCredentials(requestHeader)
		}
	}
}
