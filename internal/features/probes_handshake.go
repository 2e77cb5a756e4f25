package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"

	quic "github.com/quic-go/quic-go/http3"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/http2"
	"github.com/duplexkit/websocket/http3"
)

// foreignOrigin connects as a page of another site does.
func foreignOrigin(e *env, l *library) (verdict, error) {
	srv := e.serve(l, setup{}, nil)
	_, err := e.connect(srv.Listener.Addr().String(), http.Header{"Origin": {"https://elsewhere.example"}}, nil)
	var status errStatus
	if errors.As(err, &status) {
		return verdict{"yes", fmt.Sprintf("a request with the origin of another site got status %d", int(status))}, nil
	} else if err != nil {
		return verdict{}, err
	}
	return verdict{"no", "a request with the origin of another site was upgraded"}, nil
}

type wrapper struct{ http.ResponseWriter }

func (w wrapper) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// behindMiddleware upgrades with a ResponseWriter that has been wrapped.
func behindMiddleware(e *env, l *library) (verdict, error) {
	srv := e.serveHandler(func(w http.ResponseWriter, r *http.Request) (conn, error) {
		return l.upgrade(wrapper{w}, r, setup{})
	}, nil)
	_, err := e.connect(srv.Listener.Addr().String(), nil, nil)
	if err != nil {
		return verdict{"no", "the request was refused: the ResponseWriter had an Unwrap method and no Hijack method"}, nil
	}
	_, err = srv.conn()
	return verdict{"yes", "the request was upgraded though the ResponseWriter had an Unwrap method and no Hijack method"}, err
}

// earlyBytes sends a message in the packet of the request.
func earlyBytes(e *env, l *library) (verdict, error) {
	srv := e.serve(l, setup{}, nil)
	p, err := e.connect(srv.Listener.Addr().String(), nil, frame(text, "early").bytes(true))
	if err != nil {
		return verdict{"an error", "a message in the packet of the request made the upgrade fail"}, nil
	}
	c, err := srv.conn()
	if err != nil {
		return verdict{}, err
	}
	if err := p.send(frame(text, "late")); err != nil {
		return verdict{}, err
	}
	got, err := c.read()
	switch {
	case err != nil:
		return verdict{}, err
	case string(got) == "early":
		return verdict{"yes", "a message in the packet of the request was read"}, nil
	}
	return verdict{"lost", "a message in the packet of the request was not delivered, and the next one was"}, nil
}

// rawConn upgrades on a network connection, without an HTTP server.
func rawConn(e *env, l *library) (verdict, error) {
	ours, theirs := net.Pipe()
	e.after(func() { ours.Close(); theirs.Close() })
	var c conn
	upgrading := start(func() (err error) {
		c, err = l.upgradeConn(ours, setup{})
		return err
	})
	p, err := e.handshake(theirs, "example.com", nil, nil)
	if err != nil {
		return verdict{}, err
	}
	if err := upgrading.wait(e.ctx); err != nil {
		return verdict{}, err
	}
	e.after(c.drop)
	sending := start(func() error { return p.send(frame(text, "hello")) })
	if got, err := c.read(); err != nil || string(got) != "hello" {
		return verdict{}, fmt.Errorf("%q, %v", got, err)
	}
	cell := "yes"
	if l == gwsLibrary {
		cell = "after http.ReadRequest"
	}
	return verdict{cell, "a net.Pipe was upgraded and brought a message"}, sending.wait(e.ctx)
}

// dialCancelled cancels the context of a dial when the request has been sent, to a server that
// does not answer.
func dialCancelled(e *env, l *library) (verdict, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return verdict{}, err
	}
	e.after(func() { ln.Close() })
	got := make(chan net.Conn, 1)
	go func() {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		http.ReadRequest(bufio.NewReader(nc))
		got <- nc
	}()
	ctx, cancel := context.WithCancel(e.ctx)
	defer cancel()
	// A library that does not hear of the end of the context comes back by this timeout.
	dialing := start(func() error {
		_, err := l.dial(ctx, "ws://"+ln.Addr().String(), setup{timeout: 2 * time.Second})
		if err == nil {
			return errors.New("connected to a server that has not answered")
		}
		return err
	})
	var nc net.Conn
	select {
	case nc = <-got:
		e.after(func() { nc.Close() })
	case <-e.ctx.Done():
		return verdict{}, e.ctx.Err()
	}
	cancel()
	if err := dialing.wait(e.ctx); errors.Is(err, context.Canceled) {
		return verdict{"yes", "a dial whose context was cancelled while it waited for the answer returned context.Canceled"}, nil
	}
	return verdict{"no", "a dial whose context was cancelled while it waited for the answer went on until its own timeout"}, nil
}

// cookies dials a server that sets a cookie, twice, with a cookie jar.
func cookies(e *env, l *library) (verdict, error) {
	var came []string
	srv := e.serveHandler(func(w http.ResponseWriter, r *http.Request) (conn, error) {
		came = append(came, r.Header.Get("Cookie"))
		u := websocket.Upgrader{}
		c, err := u.Upgrade(w, r, http.Header{"Set-Cookie": {"session=42"}})
		if err != nil {
			return nil, err
		}
		return oursConn{c}, nil
	}, nil)
	jar, _ := cookiejar.New(nil) // never fails
	for range 2 {
		c, err := l.dial(e.ctx, "ws://"+srv.Listener.Addr().String(), setup{jar: jar})
		if err != nil {
			return verdict{}, err
		}
		e.after(c.drop)
		if _, err := srv.conn(); err != nil {
			return verdict{}, err
		}
	}
	if came[1] != "session=42" {
		return verdict{}, fmt.Errorf("cookies %q", came)
	}
	return verdict{"yes", "with an http.CookieJar, a cookie set by one answer came with the next dial"}, nil
}

// redirects dials a server that sends the client to another path.
func redirects(e *env, l *library) (verdict, error) {
	srv := e.serveHandler(func(w http.ResponseWriter, r *http.Request) (conn, error) {
		if r.URL.Path != "/there" {
			http.Redirect(w, r, "/there", http.StatusTemporaryRedirect)
			return nil, errors.New("redirected")
		}
		return ours.upgrade(w, r, setup{})
	}, nil)
	c, err := l.dial(e.ctx, "ws://"+srv.Listener.Addr().String()+"/here", setup{redirects: true})
	if err != nil {
		return verdict{"no", "an answer with status 307 made the dial fail"}, nil
	}
	e.after(c.drop)
	if l == ours {
		return verdict{"opt-in", "with `CheckRedirect` set, an answer with status 307 was followed"}, nil
	}
	return verdict{"yes", "an answer with status 307 was followed"}, nil
}

// proxies dials a wss server through an HTTP, an HTTPS and a SOCKS5 proxy.
func proxies(e *env, l *library) (verdict, error) {
	target := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := ours.upgrade(w, r, setup{})
		if err == nil {
			echo(c)
		}
	}))
	quiet(target.Config)
	target.StartTLS()
	e.after(target.Close)
	connect := httptest.NewUnstartedServer(http.HandlerFunc(connectProxy))
	quiet(connect.Config)
	connect.Start()
	e.after(connect.Close)
	secure := httptest.NewUnstartedServer(http.HandlerFunc(connectProxy))
	quiet(secure.Config)
	secure.StartTLS()
	e.after(secure.Close)
	socks, err := e.socksProxy()
	if err != nil {
		return verdict{}, err
	}
	var can, saw []string
	for _, p := range []struct{ name, url string }{
		{"HTTP", connect.URL}, {"HTTPS", secure.URL}, {"SOCKS5", "socks5://" + socks},
	} {
		u, err := url.Parse(p.url)
		if err != nil {
			return verdict{}, err
		}
		c, err := l.dial(e.ctx, "wss://"+hostOf(target.URL), setup{
			proxy: func(*http.Request) (*url.URL, error) { return u, nil },
			tls:   &tls.Config{InsecureSkipVerify: true}, timeout: patience,
		})
		if err != nil {
			saw = append(saw, "the dial through "+p.name+" failed")
			continue
		}
		err = c.write([]byte("hello"))
		if err == nil {
			_, err = c.read()
		}
		c.drop()
		if err != nil {
			return verdict{}, err
		}
		can = append(can, p.name)
		saw = append(saw, "an echo came through "+p.name)
	}
	return verdict{strings.Join(can, ", "), strings.Join(saw, "; ")}, nil
}

func connectProxy(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		http.Error(w, "CONNECT only", http.StatusMethodNotAllowed)
		return
	}
	there, err := net.Dial("tcp", r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	here, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		there.Close()
		return
	}
	io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
	join(here, rw.Reader, there)
}

func join(here net.Conn, from io.Reader, there net.Conn) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		io.Copy(there, from)
		there.Close()
	}()
	io.Copy(here, there)
	here.Close()
	<-done
}

// socksProxy does of RFC 1928 what a client without a password asks for.
func (e *env) socksProxy() (addr string, err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer nc.Close()
				b := make([]byte, 256)
				if _, err := io.ReadFull(nc, b[:2]); err != nil { // version, methods
					return
				}
				if _, err := io.ReadFull(nc, b[:b[1]]); err != nil {
					return
				}
				nc.Write([]byte{5, 0})
				if _, err := io.ReadFull(nc, b[:4]); err != nil { // version, command, reserved, kind of address
					return
				}
				n := map[byte]int{1: 4, 4: 16}[b[3]]
				if b[3] == 3 {
					if _, err := io.ReadFull(nc, b[:1]); err != nil {
						return
					}
					n = int(b[0])
				}
				kind := b[3]
				if _, err := io.ReadFull(nc, b[:n+2]); err != nil {
					return
				}
				host := string(b[:n])
				if kind != 3 && n > 1 {
					host = net.IP(b[:n]).String()
				}
				there, err := net.Dial("tcp", net.JoinHostPort(host, fmt.Sprint(int(b[n])<<8|int(b[n+1]))))
				if err != nil {
					return
				}
				nc.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
				join(nc, nc, there)
			}()
		}
	}()
	e.after(func() {
		ln.Close()
		<-done
	})
	return ln.Addr().String(), nil
}

// compresses offers permessage-deflate with and without context takeover, and sends the same
// message twice: with context takeover the second is a reference to the first.
func compresses(e *env, l *library) (verdict, error) {
	message := []byte(strings.Repeat("abcdefghijklmnopqrstuvwxyz", 1) + fmt.Sprintf("%x", deflated([]byte("Once upon a time there was a message that was sent twice, to see whether the second one is smaller."))))
	sizes := func(takeover bool, offered string) (first, second int64, answer string, err error) {
		c, p, err := e.open(l, setup{compress: true, takeover: takeover}, nil, offer(offered))
		if err != nil {
			return 0, 0, "", err
		}
		answer = p.response.Header.Get("Sec-WebSocket-Extensions")
		var n [2]int64
		for i := range n {
			if err := c.write(message); err != nil {
				return 0, 0, answer, err
			}
			f, err := p.receive()
			if err != nil {
				return 0, 0, answer, err
			}
			if n[i] = f.Length; !f.RSV1 {
				n[i] = 0
			}
		}
		return n[0], n[1], answer, nil
	}
	_, second, _, err := sizes(false, "permessage-deflate; server_no_context_takeover; client_no_context_takeover")
	if err != nil {
		return verdict{}, err
	}
	if second == 0 {
		return verdict{}, errors.New("no message came compressed")
	}
	first, second, answer, err := sizes(true, "permessage-deflate")
	if err != nil {
		return verdict{}, err
	}
	if second > 0 && second < first/3 {
		return verdict{"yes", "without context takeover it compressed; offered context takeover, the second of two equal messages was less than a third of the first"}, nil
	}
	return verdict{"no", fmt.Sprintf("without context takeover it compressed; offered context takeover, the server answered %q, and the second of two equal messages was no smaller", answer)}, nil
}

// windowBits offers permessage-deflate to a client's liking, who has room for 10 bits.
func windowBits(e *env, l *library) (verdict, error) {
	_, p, err := e.open(l, setup{compress: true, takeover: true}, nil, offer("permessage-deflate; server_max_window_bits=10"))
	if err != nil {
		return verdict{}, err
	}
	answer := p.response.Header.Get("Sec-WebSocket-Extensions")
	switch {
	case answer == "":
		return verdict{"declines", "offered server_max_window_bits=10, the server did not compress"}, nil
	case strings.Contains(answer, "server_max_window_bits=10"):
		return verdict{"yes", fmt.Sprintf("offered server_max_window_bits=10, the server answered %q", answer)}, nil
	}
	return verdict{"not as offered", fmt.Sprintf("offered server_max_window_bits=10, the server answered %q", answer)}, nil
}

// overHTTP2 opens a WebSocket by extended CONNECT on a server that upgrades by the library.
func overHTTP2(e *env, l *library) (verdict, error) {
	handler, upgrades := echoHandler(l)
	srv := httptest.NewUnstartedServer(handler)
	quiet(srv.Config)
	srv.EnableHTTP2 = true
	srv.StartTLS()
	e.after(srv.Close)
	trusting := &tls.Config{InsecureSkipVerify: true}
	transport := &http2.Transport{TLSClientConfig: trusting}
	e.after(func() { transport.CloseIdleConnections() })
	return overStream(e, websocket.Dialer{TLSClientConfig: trusting, Transport: transport}, srv.URL, 2, upgrades)
}

// overHTTP3 does the same by quic-go.
func overHTTP3(e *env, l *library) (verdict, error) {
	certified := httptest.NewUnstartedServer(nil)
	certified.StartTLS()
	certificates := certified.TLS.Certificates
	certified.Close()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return verdict{}, err
	}
	handler, upgrades := echoHandler(l)
	srv := &quic.Server{
		Handler:   handler,
		TLSConfig: quic.ConfigureTLSConfig(&tls.Config{Certificates: certificates}),
	}
	web := &http.Server{Handler: srv.Handler}
	http3.Configure(srv, web)
	done := make(chan struct{})
	go func() {
		defer close(done)
		srv.Serve(udp)
	}()
	e.after(func() {
		srv.Close()
		udp.Close()
		<-done
	})
	transport := &http3.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	e.after(func() { transport.Close() })
	return overStream(e, websocket.Dialer{Transport: transport}, "https://"+udp.LocalAddr().String(), 3, upgrades)
}

// echoHandler echoes by the library, and tells how its upgrades went.
func echoHandler(l *library) (handler http.Handler, upgrades <-chan error) {
	went := make(chan error, 1)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := l.upgrade(w, r, setup{})
		went <- err
		if err == nil {
			echo(c)
		}
	}), went
}

func overStream(e *env, d websocket.Dialer, url string, major int, upgrades <-chan error) (verdict, error) {
	name := fmt.Sprintf("HTTP/%d", major)
	c, resp, err := d.DialContext(e.ctx, strings.Replace(url, "https", "wss", 1), nil)
	if err == nil {
		defer c.Close()
	}
	select {
	case why := <-upgrades:
		if why != nil { // also where the HTTP server went on to answer with success
			return verdict{"no", "a server got an extended CONNECT request of " + name + ", and its upgrade failed"}, nil
		}
	case <-e.ctx.Done():
		return verdict{}, fmt.Errorf("no request came: %w", err)
	}
	if err != nil {
		return verdict{}, err
	}
	if resp.ProtoMajor != major {
		return verdict{}, fmt.Errorf("over %s instead", resp.Proto)
	}
	if err := c.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
		return verdict{}, err
	}
	if _, p, err := c.ReadMessage(); err != nil || string(p) != "hello" {
		return verdict{}, fmt.Errorf("%q, %v", p, err)
	}
	return verdict{"yes", "a WebSocket was opened by an extended CONNECT request of " + name + ", and echoed"}, nil
}
