package websocket

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/url"

	"golang.org/x/net/proxy"
)

// A proxyRoute leads to servers by way of a proxy.
type proxyRoute struct {
	proxy  *url.URL
	header http.Header                                              // sent to an HTTP proxy with CONNECT
	tls    *tls.Config                                              // for https proxies
	dial   func(ctx context.Context, addr string) (net.Conn, error) // makes the connection to the proxy
}

// connect returns a connection to addr.
func (p *proxyRoute) connect(ctx context.Context, addr string) (net.Conn, error) {
	var port string
	switch p.proxy.Scheme {
	case "http", "https":
		port = defaultPort(p.proxy.Scheme)
	case "socks5", "socks5h":
		port = "1080" // RFC 1928, section 3
	default:
		return nil, fmt.Errorf("websocket: proxy: unknown scheme %q", p.proxy.Scheme)
	}
	proxyAddr, err := dialAddr(p.proxy, port)
	if err != nil {
		return nil, fmt.Errorf("websocket: proxy: %w", err)
	}
	nc, err := p.dial(ctx, proxyAddr)
	if err == nil && p.proxy.Scheme == "https" {
		nc, err = startTLS(ctx, nc, p.tls, proxyAddr)
	}
	if err != nil {
		return nil, fmt.Errorf("websocket: proxy: %w", err)
	}
	tunnel := nc
	err = interruptible(ctx, nc, func() (err error) {
		if p.proxy.Scheme == "http" || p.proxy.Scheme == "https" {
			tunnel, err = connectHTTP(nc, p.connectRequest(addr))
			return err
		}
		return connectSOCKS(nc, p.proxy, proxyAddr, addr)
	})
	if err != nil {
		abort(nc)
		return nil, fmt.Errorf("websocket: proxy: %w", err)
	}
	return tunnel, nil
}

// connectRequest asks for a tunnel to addr (RFC 9110, section 9.3.6).
func (p *proxyRoute) connectRequest(addr string) *http.Request {
	h := p.header.Clone()
	if h == nil {
		h = make(http.Header)
	}
	if user := p.proxy.User; user != nil { // RFC 7617, section 2
		password, _ := user.Password()
		credentials := base64.StdEncoding.EncodeToString([]byte(user.Username() + ":" + password))
		h.Set("Proxy-Authorization", "Basic "+credentials)
	}
	return &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: addr}, Host: addr, Header: h}
}

// connectHTTP makes a tunnel of nc, a connection to an HTTP proxy.
func connectHTTP(nc net.Conn, req *http.Request) (net.Conn, error) {
	if err := checkHeader(req.Header); err != nil {
		return nil, err
	}
	if err := req.Write(nc); err != nil {
		return nil, err
	}
	resp, br, err := readResponse(nc, req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		return nil, fmt.Errorf("CONNECT refused: %s", resp.Status)
	}
	if early := buffered(br); early != nil {
		return &prefixedConn{nc, early}, nil
	}
	return nc, nil
}

// prefixedConn is a connection some of whose bytes were read already.
type prefixedConn struct {
	net.Conn
	prefix []byte
}

func (c *prefixedConn) Read(p []byte) (int, error) {
	if len(c.prefix) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.prefix)
	c.prefix = c.prefix[n:]
	return n, nil
}

// connectSOCKS makes a tunnel of nc, a connection to the SOCKS5 proxy u (RFC 1928).
func connectSOCKS(nc net.Conn, u *url.URL, proxyAddr, addr string) error {
	var auth *proxy.Auth
	if u.User != nil { // RFC 1929
		password, _ := u.User.Password()
		auth = &proxy.Auth{User: u.User.Username(), Password: password}
	}
	socks, err := proxy.SOCKS5("tcp", proxyAddr, auth, dialed{nc})
	if err != nil {
		return err
	}
	_, err = socks.Dial("tcp", addr)
	return err
}

// dialed is a proxy.Dialer for a connection that is there already.
type dialed struct{ nc net.Conn }

func (d dialed) Dial(network, addr string) (net.Conn, error) { return d.nc, nil }
