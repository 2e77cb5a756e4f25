package websocket

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket/internal/wstest"
)

// greeter upgrades every request, greets with the path, and closes.
func greeter(u Upgrader) http.Handler {
	return u.Handler(func(c *Conn, r *http.Request) error {
		return c.WriteMessage(TextMessage, []byte(r.URL.RequestURI()))
	})
}

func wsURL(srv *httptest.Server) string { return "ws" + strings.TrimPrefix(srv.URL, "http") }

func trust(srv *httptest.Server) *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	return &tls.Config{RootCAs: roots}
}

// requireGreeting reads what a greeter sends.
func requireGreeting(t testing.TB, c *Conn, want string) {
	t.Helper()
	defer c.Close()
	messageType, p, err := c.ReadMessage()
	require.NoError(t, err)
	require.Equal(t, TextMessage, messageType)
	require.Equal(t, want, string(p))
	_, _, err = c.ReadMessage()
	require.True(t, IsCloseError(err, CloseNormalClosure), "%v", err)
}

// early returns the bytes that c was given with the handshake and nobody has read.
func early(c *Conn) string {
	if c.r.intake == nil {
		return ""
	}
	return string(c.r.buf[c.r.pos:c.r.end])
}

// scriptedServer is the other end of an in-memory dial: it reads one request and
// answers with what answer makes of it.
func scriptedServer(t testing.TB, answer func(r *http.Request) string) *Dialer {
	return &Dialer{NetDial: func(string, string) (net.Conn, error) {
		client, server := net.Pipe()
		t.Cleanup(func() { server.Close() })
		go func() {
			defer server.Close()
			r, err := http.ReadRequest(bufio.NewReader(server))
			if err == nil {
				io.WriteString(server, answer(r))
			}
		}()
		return client, nil
	}}
}

// answerTo makes an answer to the golden key one to r's.
func answerTo(r *http.Request, raw string) string {
	return strings.ReplaceAll(raw, goldenAccept, acceptKey(r.Header.Get("Sec-Websocket-Key")))
}

func TestDial(t *testing.T) {
	t.Parallel()
	plain := httptest.NewServer(greeter(Upgrader{}))
	defer plain.Close()
	secure := httptest.NewTLSServer(greeter(Upgrader{}))
	defer secure.Close()
	d := Dialer{TLSClientConfig: trust(secure)}
	for _, tt := range []struct{ name, url, want string }{
		{"ws", wsURL(plain) + "/a?b=c", "/a?b=c"},
		{"http", plain.URL + "/a", "/a"},
		{"wss", wsURL(secure) + "/a", "/a"},
		{"https", secure.URL + "/a", "/a"},
		{"scheme in capitals", "WS" + strings.TrimPrefix(plain.URL, "http"), "/"},
		{"no path", wsURL(plain), "/"},
		{"query without path", wsURL(plain) + "?a", "/?a"},
		{"escapes", wsURL(plain) + "/a%2Fb%20c", "/a%2Fb%20c"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, resp, err := d.Dial(tt.url, nil)
			require.NoError(t, err)
			require.Equal(t, 101, resp.StatusCode)
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.Empty(t, body)
			require.False(t, c.Negotiated().Server)
			requireGreeting(t, c, tt.want)
		})
	}
	require.Nil(t, d.TLSClientConfig.NextProtos, "the program's configuration is cloned")
	require.Empty(t, d.TLSClientConfig.ServerName)
}

func TestDialNilDialer(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(greeter(Upgrader{}))
	defer srv.Close()
	var d *Dialer
	c, _, err := d.Dial(wsURL(srv), nil)
	require.NoError(t, err)
	requireGreeting(t, c, "/")
}

func TestDialRefusesURL(t *testing.T) {
	t.Parallel()
	d := Dialer{NetDial: func(string, string) (net.Conn, error) { panic("dialed") }}
	for url, want := range map[string]string{
		"ftp://example.com/":        `websocket: malformed ws or wss URL: scheme "ftp" is none of ws, wss, http and https`,
		"example.com":               `websocket: malformed ws or wss URL: scheme "" is none of ws, wss, http and https`,
		"ws://a@example.com/":       "websocket: malformed ws or wss URL: user information is not allowed",
		"ws://a:b@example.com/":     "websocket: malformed ws or wss URL: user information is not allowed",
		"ws://example.com/#a":       "websocket: malformed ws or wss URL: fragments are not allowed",
		"ws://example.com/#":        "websocket: malformed ws or wss URL: fragments are not allowed",
		"ws:///a":                   "websocket: malformed ws or wss URL: no host",
		"ws:example.com":            "websocket: malformed ws or wss URL: no host",
		"ws://:80/":                 "websocket: malformed ws or wss URL: no host",
		"ws://xn--\u00fc.example/":  "websocket: host \"xn--\u00fc.example\": idna: invalid label \"\u00fc\"",
		"ws://exa mple.com/":        `websocket: parse "ws://exa mple.com/": invalid character " " in host name`,
		"ws://example.com:x/":       `websocket: parse "ws://example.com:x/": invalid port ":x" after host`,
		"ws://example.com/\r\nX: y": `websocket: parse "ws://example.com/\r\nX: y": net/url: invalid control character in URL`,
	} {
		_, resp, err := d.Dial(url, nil)
		require.EqualError(t, err, want)
		require.Nil(t, resp)
	}
}

func TestDialAddress(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, url, addr string }{
		{"ws", "ws://example.com/", "example.com:80"},
		{"wss", "wss://example.com/", "example.com:443"},
		{"port", "ws://example.com:8080/", "example.com:8080"},
		{"IPv6", "ws://[::1]/", "[::1]:80"},
		{"IPv6 and port", "ws://[::1]:8080/", "[::1]:8080"},
		{"IPv6 zone", "ws://[fe80::1%25lo]:8080/", "[fe80::1%lo]:8080"},
		{"IDN", "ws://b\u00fccher.example/", "xn--bcher-kva.example:80"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var dialed string
			d := Dialer{NetDial: func(network, addr string) (net.Conn, error) {
				dialed = network + " " + addr
				return nil, net.ErrClosed
			}}
			_, _, err := d.Dial(tt.url, nil)
			require.ErrorIs(t, err, net.ErrClosed)
			require.Equal(t, "tcp "+tt.addr, dialed)
		})
	}
}

// The request as it goes out, byte by byte but for the key.
func TestDialRequest(t *testing.T) {
	t.Parallel()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	jar.SetCookies(&url.URL{Scheme: "http", Host: "example.com"}, []*http.Cookie{{Name: "jar", Value: "1"}})
	for _, tt := range []struct {
		name   string
		d      Dialer
		header http.Header
		url    string
		want   string
	}{
		{
			"plain", Dialer{}, nil, "ws://example.com/a?b",
			"GET /a?b HTTP/1.1\r\nHost: example.com\r\nUser-Agent: Go-http-client/1.1\r\n" +
				"Connection: Upgrade\r\nSec-WebSocket-Key: KEY\r\nSec-WebSocket-Version: 13\r\nUpgrade: websocket\r\n\r\n",
		},
		{
			"subprotocols and cookies", Dialer{Subprotocols: []string{"chat", "superchat"}, Jar: jar}, nil, "ws://example.com/",
			"GET / HTTP/1.1\r\nHost: example.com\r\nUser-Agent: Go-http-client/1.1\r\n" +
				"Connection: Upgrade\r\nCookie: jar=1\r\nSec-WebSocket-Key: KEY\r\nSec-WebSocket-Protocol: chat, superchat\r\nSec-WebSocket-Version: 13\r\nUpgrade: websocket\r\n\r\n",
		},
		{
			"the program's fields", Dialer{Jar: jar},
			http.Header{
				"Host": {"example.org"}, "Origin": {"http://example.net"}, "x-myID": {"1", "2"}, "cookie": {"own=1"},
				"Sec-Websocket-Protocol": {"chat"}, "User-Agent": {"me"}, "Content-Length": {"5"}, "transfer-encoding": {"chunked"},
			}, "ws://example.com/",
			"GET / HTTP/1.1\r\nHost: example.org\r\nUser-Agent: me\r\n" +
				"Connection: Upgrade\r\nOrigin: http://example.net\r\nSec-WebSocket-Key: KEY\r\nSec-WebSocket-Protocol: chat\r\nSec-WebSocket-Version: 13\r\n" +
				"Upgrade: websocket\r\ncookie: own=1\r\nx-myID: 1\r\nx-myID: 2\r\n\r\n",
		},
		{
			"blanks", Dialer{}, nil, "ws://example.com/a b?c HTTP/1.1",
			"GET /a%20b?c%20HTTP/1.1 HTTP/1.1\r\nHost: example.com\r\nUser-Agent: Go-http-client/1.1\r\n" +
				"Connection: Upgrade\r\nSec-WebSocket-Key: KEY\r\nSec-WebSocket-Version: 13\r\nUpgrade: websocket\r\n\r\n",
		},
		{
			"IPv6 zone and an empty Host", Dialer{}, http.Header{"Host": nil}, "ws://[fe80::1%25lo]:8080/",
			"GET / HTTP/1.1\r\nHost: [fe80::1]:8080\r\nUser-Agent: Go-http-client/1.1\r\n" +
				"Connection: Upgrade\r\nSec-WebSocket-Key: KEY\r\nSec-WebSocket-Version: 13\r\nUpgrade: websocket\r\n\r\n",
		},
		{
			"IDN", Dialer{}, nil, "ws://b\u00fccher.example/",
			"GET / HTTP/1.1\r\nHost: xn--bcher-kva.example\r\nUser-Agent: Go-http-client/1.1\r\n" +
				"Connection: Upgrade\r\nSec-WebSocket-Key: KEY\r\nSec-WebSocket-Version: 13\r\nUpgrade: websocket\r\n\r\n",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			nc := &scriptedConn{Reader: strings.NewReader("")}
			tt.d.NetDial = func(string, string) (net.Conn, error) { return nc, nil }
			_, resp, err := tt.d.Dial(tt.url, tt.header)
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
			require.Nil(t, resp)
			require.True(t, nc.closed.Load())
			raw := nc.written.String()
			_, rest, _ := strings.Cut(raw, "Sec-WebSocket-Key: ")
			key, _, _ := strings.Cut(rest, "\r\n")
			require.True(t, validChallengeKey(key))
			require.Equal(t, tt.want, strings.Replace(raw, key, "KEY", 1))
		})
	}
}

func TestDialRefusesHeader(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		d      Dialer
		header http.Header
		want   string
	}{
		{"Upgrade", Dialer{}, http.Header{"Upgrade": {"x"}}, "websocket: duplicate header not allowed: Upgrade"},
		{"Connection", Dialer{}, http.Header{"Connection": {"x"}}, "websocket: duplicate header not allowed: Connection"},
		{"key", Dialer{}, http.Header{"Sec-Websocket-Key": {"x"}}, "websocket: duplicate header not allowed: Sec-Websocket-Key"},
		{"version", Dialer{}, http.Header{"Sec-Websocket-Version": {"x"}}, "websocket: duplicate header not allowed: Sec-Websocket-Version"},
		{"extensions", Dialer{}, http.Header{"Sec-Websocket-Extensions": {"x"}}, "websocket: duplicate header not allowed: Sec-Websocket-Extensions"},
		{"another spelling", Dialer{}, http.Header{"sec-websocket-key": {"x"}}, "websocket: duplicate header not allowed: sec-websocket-key"},
		{"subprotocols twice", Dialer{Subprotocols: []string{"chat"}}, http.Header{"Sec-Websocket-Protocol": {"x"}}, "websocket: duplicate header not allowed: Sec-Websocket-Protocol"},
		{"injection by name", Dialer{}, http.Header{"A: b\r\nC": {"x"}}, `websocket: malformed name of header field "A: b\r\nC"`},
		{"injection by value", Dialer{}, http.Header{"A": {"x\r\nB: y"}}, "websocket: malformed value of header field A"},
		{"injection by subprotocol", Dialer{Subprotocols: []string{"x\r\nB: y"}}, nil, `websocket: subprotocol "x\r\nB: y" is not a token`},
		{"subprotocols in one string", Dialer{Subprotocols: []string{"a, b"}}, nil, `websocket: subprotocol "a, b" is not a token`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.d.NetDial = func(string, string) (net.Conn, error) { panic("dialed") }
			_, _, err := tt.d.Dial("ws://example.com/", tt.header)
			require.EqualError(t, err, tt.want)
		})
	}
}

func TestDialAnswers(t *testing.T) {
	t.Parallel()
	for _, tt := range answerCases {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			raw := edit(t, goldenAnswer, tt.old, tt.new)
			d := scriptedServer(t, func(r *http.Request) string { return answerTo(r, raw) })
			d.Subprotocols = []string{"chat", "superchat"}
			c, resp, err := d.Dial("ws://example.com/", nil)
			require.NotNil(t, resp)
			if tt.fails != "" {
				require.ErrorIs(t, err, ErrBadHandshake)
				require.EqualError(t, err, tt.fails)
				return
			}
			require.NoError(t, err)
			require.Equal(t, Negotiated{Subprotocol: tt.subprotocol}, c.Negotiated())
		})
	}
}

func TestDialBytes(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 2000)
	for _, tt := range []struct {
		name   string
		raw    string
		early  string
		body   string
		fails  string
		status int
	}{
		{name: "glued frames", raw: plainAnswer + "\x81\x02hi", early: "\x81\x02hi", status: 101},
		{name: "interim responses", raw: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + plainAnswer, status: 101},
		{name: "body", raw: "HTTP/1.1 401 Unauthorized\r\nContent-Length: 6\r\n\r\nno way", body: "no way", fails: "websocket: bad handshake", status: 401},
		{name: "chunked body", raw: "HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nno way\r\n0\r\n\r\n", body: "no way", fails: "websocket: bad handshake", status: 401},
		{name: "body that breaks off", raw: "HTTP/1.1 401 Unauthorized\r\nContent-Length: 60\r\n\r\nno way", body: "no way", fails: "websocket: bad handshake", status: 401},
		{name: "long body", raw: "HTTP/1.1 404 Not Found\r\n\r\n" + long, body: long[:1024], fails: "websocket: bad handshake", status: 404},
		{name: "body of a 101 that fails", raw: "HTTP/1.1 101 Switching Protocols\r\nContent-Length: 5\r\n\r\nhello", fails: "websocket: bad handshake: 101 without Upgrade: websocket and Connection: Upgrade", status: 101},
		{name: "header without end", raw: "HTTP/1.1 101 Switching Protocols\r\nX: " + strings.Repeat("x", 2*maxHandshake), fails: "websocket: reading the server's answer: header over 65536 bytes"},
		{name: "interim responses without end", raw: strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", maxHandshake/10), fails: "websocket: reading the server's answer: header over 65536 bytes"},
		{name: "nothing", fails: "websocket: reading the server's answer: unexpected EOF"},
		{name: "half an answer", raw: plainAnswer[:20], fails: "websocket: reading the server's answer: unexpected EOF"},
		{name: "not HTTP", raw: "\x00\x00\x12\x04\r\n", fails: "websocket: reading the server's answer: malformed HTTP response \"\\x00\\x00\\x12\\x04\""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := scriptedServer(t, func(r *http.Request) string { return answerTo(r, tt.raw) })
			c, resp, err := d.Dial("ws://example.com/", nil)
			if tt.status == 0 {
				require.Nil(t, resp)
				require.EqualError(t, err, tt.fails)
				return
			}
			require.Equal(t, tt.status, resp.StatusCode)
			body, readErr := io.ReadAll(resp.Body)
			require.NoError(t, readErr)
			require.Equal(t, tt.body, string(body))
			if tt.fails != "" {
				require.EqualError(t, err, tt.fails)
				require.Equal(t, tt.status != 101, err == ErrBadHandshake)
				return
			}
			require.NoError(t, err)
			rest, err := io.ReadAll(c.NetConn())
			require.NoError(t, err)
			require.Equal(t, tt.early, early(c)+string(rest))
		})
	}
}

func TestDialSendFails(t *testing.T) {
	t.Parallel()
	nc := &scriptedConn{writeErr: os.ErrDeadlineExceeded}
	d := Dialer{NetDial: func(string, string) (net.Conn, error) { return nc, nil }}
	_, _, err := d.Dial("ws://example.com/", nil)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.True(t, nc.closed.Load())
}

func TestDialTLS(t *testing.T) {
	t.Parallel()
	// Like one shared by HTTP/2: ALPN must not choose it.
	srv := httptest.NewUnstartedServer(greeter(Upgrader{}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	cfg := trust(srv)
	cfg.NextProtos = []string{"h2", "http/1.1"}
	t.Run("http/1.1 is forced", func(t *testing.T) {
		c, _, err := (&Dialer{TLSClientConfig: cfg}).Dial(wsURL(srv), nil)
		require.NoError(t, err)
		require.NotEqual(t, "h2", c.NetConn().(*tls.Conn).ConnectionState().NegotiatedProtocol)
		requireGreeting(t, c, "/")
	})
	t.Run("unknown certificate", func(t *testing.T) {
		_, _, err := (&Dialer{}).Dial(wsURL(srv), nil)
		var unknown x509.UnknownAuthorityError
		require.ErrorAs(t, err, &unknown)
	})
	t.Run("certificate for another name", func(t *testing.T) {
		cfg := cfg.Clone()
		cfg.ServerName = "other.invalid"
		_, _, err := (&Dialer{TLSClientConfig: cfg}).Dial(wsURL(srv), nil)
		var wrong x509.HostnameError
		require.ErrorAs(t, err, &wrong)
	})
	t.Run("NetDialTLSContext", func(t *testing.T) {
		d := Dialer{
			NetDial: func(string, string) (net.Conn, error) { panic("dialed") },
			NetDialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				return (&tls.Dialer{Config: trust(srv)}).DialContext(ctx, network, addr)
			},
		}
		c, _, err := d.Dial(wsURL(srv), nil)
		require.NoError(t, err)
		requireGreeting(t, c, "/")
	})
}

func TestDialUnixSocket(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ws")
	l, err := net.Listen("unix", path)
	require.NoError(t, err)
	srv := httptest.NewUnstartedServer(greeter(Upgrader{}))
	srv.Listener.Close()
	srv.Listener = l
	srv.Start()
	defer srv.Close()
	d := Dialer{NetDialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
	c, _, err := d.Dial("ws://unix/a", nil)
	require.NoError(t, err)
	require.IsType(t, &net.UnixConn{}, c.NetConn())
	requireGreeting(t, c, "/a")
}

func TestNewClient(t *testing.T) {
	t.Parallel()
	client, server := net.Pipe()
	go new(Upgrader).UpgradeConn(server)
	c, resp, err := NewClient(client, &url.URL{Scheme: "ws", Host: "example.com", Path: "/"}, nil, 1024, 1024)
	require.NoError(t, err)
	require.Equal(t, 101, resp.StatusCode)
	require.Same(t, client, c.NetConn())
}

func TestDialTrace(t *testing.T) {
	t.Parallel()
	srv := httptest.NewTLSServer(greeter(Upgrader{}))
	defer srv.Close()
	var events []string
	log := func(event string) { events = append(events, event) }
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		GetConn:              func(hostPort string) { log("GetConn " + hostPort) },
		ConnectStart:         func(string, string) { log("ConnectStart") },
		ConnectDone:          func(_, _ string, err error) { log("ConnectDone") },
		TLSHandshakeStart:    func() { log("TLSHandshakeStart") },
		TLSHandshakeDone:     func(tls.ConnectionState, error) { log("TLSHandshakeDone") },
		GotConn:              func(info httptrace.GotConnInfo) { log("GotConn") },
		WroteHeaders:         func() { log("WroteHeaders") },
		WroteRequest:         func(httptrace.WroteRequestInfo) { log("WroteRequest") },
		GotFirstResponseByte: func() { log("GotFirstResponseByte") },
	})
	c, _, err := (&Dialer{TLSClientConfig: trust(srv)}).DialContext(ctx, wsURL(srv), nil)
	require.NoError(t, err)
	require.Equal(t, []string{
		"GetConn " + srv.Listener.Addr().String(), "ConnectStart", "ConnectDone", "TLSHandshakeStart", "TLSHandshakeDone",
		"GotConn", "WroteHeaders", "WroteRequest", "GotFirstResponseByte",
	}, events)
	requireGreeting(t, c, "/")
}

func TestDialJar(t *testing.T) {
	t.Parallel()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	d := scriptedServer(t, func(r *http.Request) string {
		if len(r.Cookies()) == 0 {
			return "HTTP/1.1 401 Unauthorized\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"
		}
		return answerTo(r, plainAnswer)
	})
	d.Jar = jar
	_, _, err = d.Dial("ws://example.com/", nil)
	require.ErrorIs(t, err, ErrBadHandshake)
	_, _, err = d.Dial("ws://example.com/", nil)
	require.NoError(t, err)
}

func redirectTo(status, location string) string {
	return "HTTP/1.1 " + status + " X\r\nLocation: " + location + "\r\nContent-Length: 0\r\n\r\n"
}

func TestDialRedirects(t *testing.T) {
	t.Parallel()
	follow := func(*http.Request, []*http.Request) error { return nil }
	for _, tt := range []struct {
		name     string
		check    func(*http.Request, []*http.Request) error
		first    string // the first answer; the second is a 101
		url      string
		requests int
		fails    string
	}{
		{"not by default", nil, redirectTo("302", "/b"), "ws://a/", 1, "websocket: bad handshake"},
		{"301", follow, redirectTo("301", "/b"), "ws://a/", 2, ""},
		{"302", follow, redirectTo("302", "/b"), "ws://a/", 2, ""},
		{"303", follow, redirectTo("303", "/b"), "ws://a/", 2, ""},
		{"307", follow, redirectTo("307", "/b"), "ws://a/", 2, ""},
		{"308", follow, redirectTo("308", "/b"), "ws://a/", 2, ""},
		{"not 300", follow, redirectTo("300", "/b"), "ws://a/", 1, "websocket: bad handshake"},
		{"no Location", follow, "HTTP/1.1 302 X\r\n\r\n", "ws://a/", 1, "websocket: bad handshake"},
		{"ws", follow, redirectTo("302", "ws://b/"), "ws://a/", 2, ""},
		{"http and a fragment", follow, redirectTo("302", "http://b/#c"), "ws://a/", 2, ""},
		{"another scheme", follow, redirectTo("302", "ftp://b/"), "ws://a/", 1, `websocket: malformed ws or wss URL: scheme "ftp" is none of ws, wss, http and https`},
		{"user information", follow, redirectTo("302", "ws://a:b@b/"), "ws://a/", 1, "websocket: malformed ws or wss URL: user information is not allowed"},
		{"malformed", follow, redirectTo("302", "ws://b:x/"), "ws://a/", 1, `websocket: redirect: parse "ws://b:x/": invalid port ":x" after host`},
		{"the program declines", func(*http.Request, []*http.Request) error { return net.ErrClosed }, redirectTo("302", "/b"), "ws://a/", 1, net.ErrClosed.Error()},
		{"the program wants the response", func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, redirectTo("302", "/b"), "ws://a/", 1, "websocket: bad handshake"},
		{"header made malformed", func(r *http.Request, _ []*http.Request) error { r.Header.Set("A", "\n"); return nil }, redirectTo("302", "/b"), "ws://a/", 1, "websocket: malformed value of header field A"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int32
			d := scriptedServer(t, func(r *http.Request) string {
				if requests.Add(1) == 1 {
					return tt.first
				}
				return answerTo(r, plainAnswer)
			})
			d.CheckRedirect = tt.check
			_, resp, err := d.Dial(tt.url, nil)
			require.Equal(t, tt.requests, int(requests.Load()))
			if tt.fails != "" {
				require.EqualError(t, err, tt.fails)
				return
			}
			require.NoError(t, err)
			require.Equal(t, 101, resp.StatusCode)
			require.Equal(t, 302/100, resp.Request.Response.StatusCode/100)
		})
	}
}

func TestDialRedirectsForEver(t *testing.T) {
	t.Parallel()
	var vias []int
	d := scriptedServer(t, func(*http.Request) string { return redirectTo("302", "/") })
	d.CheckRedirect = func(_ *http.Request, via []*http.Request) error {
		vias = append(vias, len(via))
		return nil
	}
	_, resp, err := d.Dial("ws://a/", nil)
	require.EqualError(t, err, "websocket: stopped after 10 redirects")
	require.Equal(t, 302, resp.StatusCode)
	require.Equal(t, []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, vias)
}

func TestDialRedirectNotFromTLS(t *testing.T) {
	t.Parallel()
	plain := httptest.NewServer(greeter(Upgrader{}))
	defer plain.Close()
	srv := httptest.NewTLSServer(http.RedirectHandler(wsURL(plain), http.StatusFound))
	defer srv.Close()
	d := Dialer{TLSClientConfig: trust(srv), CheckRedirect: func(*http.Request, []*http.Request) error { return nil }}
	_, _, err := d.Dial(wsURL(srv), nil)
	require.EqualError(t, err, "websocket: redirect from wss to ws")
}

func TestDialRedirectCredentials(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		locations []string
		kept      bool
		jar       string // the jar's cookie at the last stop
	}{
		{"same host", []string{"/b"}, true, "a=1"},
		{"same host, default port", []string{"ws://a.example:80/"}, true, "a=1"},
		{"another host", []string{"ws://b.example/"}, false, "b=1"},
		{"subdomain", []string{"ws://sub.a.example/"}, false, ""},
		{"another port", []string{"ws://a.example:8080/"}, false, "a=1"},
		{"away and back", []string{"ws://b.example/", "ws://a.example/"}, false, "a=1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			jar, err := cookiejar.New(nil)
			require.NoError(t, err)
			jar.SetCookies(&url.URL{Scheme: "http", Host: "a.example"}, []*http.Cookie{{Name: "a", Value: "1"}})
			jar.SetCookies(&url.URL{Scheme: "http", Host: "b.example"}, []*http.Cookie{{Name: "b", Value: "1"}})
			var stops int
			var last *http.Request
			d := scriptedServer(t, func(r *http.Request) string {
				if stops == len(tt.locations) {
					last = r
					return answerTo(r, plainAnswer)
				}
				stops++
				return redirectTo("307", tt.locations[stops-1])
			})
			d.Jar = jar
			d.CheckRedirect = func(*http.Request, []*http.Request) error { return nil }
			header := http.Header{
				"authorization": {"Bearer x"}, "Proxy-Authorization": {"x"}, "Www-Authenticate": {"x"},
				"Host": {"virtual.example"}, "X-Request-Id": {"1"},
			}
			_, _, err = d.Dial("ws://a.example/", header)
			require.NoError(t, err)
			for _, name := range []string{"Authorization", "Proxy-Authorization", "Www-Authenticate"} {
				require.Equal(t, tt.kept, last.Header.Get(name) != "", name)
			}
			require.Equal(t, tt.kept, last.Host == "virtual.example")
			require.Equal(t, "1", last.Header.Get("X-Request-Id"))
			require.Equal(t, tt.jar, last.Header.Get("Cookie"))
			require.Len(t, header, 5, "the program's header is not changed")
		})
	}
}

func TestHandshakeTimeout(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		timeout time.Duration
		ctx     time.Duration // deadline of the context, 0 is none
		want    time.Duration // 0 is none
	}{
		{"default", 0, 0, 10 * time.Second},
		{"default and a deadline", 0, time.Hour, time.Hour},
		{"given", time.Minute, 0, time.Minute},
		{"given and a later deadline", time.Minute, time.Hour, time.Minute},
		{"none", -1, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ctx := context.Background()
			if tt.ctx != 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, tt.ctx)
				defer cancel()
			}
			d := Dialer{HandshakeTimeout: tt.timeout}
			ctx, cancel := d.withTimeout(ctx)
			defer cancel()
			deadline, ok := ctx.Deadline()
			require.Equal(t, tt.want != 0, ok)
			if ok {
				require.WithinDuration(t, time.Now().Add(tt.want), deadline, 5*time.Second)
			}
		})
	}
	t.Run("expires", func(t *testing.T) {
		t.Parallel()
		l := listen(t) // its backlog accepts, nobody answers
		d := Dialer{HandshakeTimeout: 20 * time.Millisecond}
		_, _, err := d.Dial("ws://"+l.Addr().String(), nil)
		var timeout net.Error
		require.ErrorAs(t, err, &timeout)
		require.True(t, timeout.Timeout())
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

// lateContext ends as its Context does, and tells of a deadline that is over.
type lateContext struct{ context.Context }

func (lateContext) Deadline() (time.Time, bool) { return time.Now().Add(-time.Minute), true }

// A net.Dialer that finds the deadline over before ctx has ended does not take the cause
// from its error.
func TestDialDeadlineBeforeItsTimer(t *testing.T) {
	t.Parallel()
	cause := errors.New("out of patience")
	ctx, cancel := context.WithCancelCause(t.Context())
	d := Dialer{HandshakeTimeout: -1, NetDialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		time.AfterFunc(20*time.Millisecond, func() { cancel(cause) })
		return nc, err
	}}
	_, _, err := d.DialContext(lateContext{ctx}, "ws://"+listen(t).Addr().String(), nil)
	require.Equal(t, cause, err)

	// One that never ends holds nobody up.
	synctest.Test(t, func(t *testing.T) {
		failed := errors.New("no route")
		d := Dialer{HandshakeTimeout: -1, NetDial: func(string, string) (net.Conn, error) { return nil, failed }}
		_, _, err := d.DialContext(lateContext{t.Context()}, "ws://127.0.0.1/", nil)
		require.ErrorIs(t, err, failed)
	})
}

// noLeak waits until no more goroutines run in f than now.
func noLeak(t *testing.T, f string) {
	t.Helper()
	count := func() int {
		buf := make([]byte, 1<<20)
		return strings.Count(string(buf[:runtime.Stack(buf, true)]), f)
	}
	before := count()
	t.Cleanup(func() {
		require.Eventually(t, func() bool { return count() <= before }, 5*time.Second, time.Millisecond)
	})
}

// At each stage the peer stalls, the context ends, and Dial returns its cause at once
// with the connection closed.
func TestDialCancelled(t *testing.T) { // not parallel: it counts goroutines
	noLeak(t, "websocket.dialCustom")
	noLeak(t, "websocket.interruptible")
	cause := errors.New("enough")
	for _, tt := range []struct {
		name  string
		url   string
		proxy string
		// serve is the peer: it calls reached when Dial is at the stage meant, and
		// then only waits for its connection to be closed.
		serve func(nc net.Conn, reached func())
		resp  bool
	}{
		{"writing the request", "ws://a/", "", func(nc net.Conn, reached func()) { nc.Read(make([]byte, 1)); reached() }, false},
		{"waiting for the answer", "ws://a/", "", func(nc net.Conn, reached func()) { readHeader(nc); reached() }, false},
		{"in the middle of the answer", "ws://a/", "", func(nc net.Conn, reached func()) { readHeader(nc); io.WriteString(nc, plainAnswer[:30]); reached() }, false},
		{"reading the error's body", "ws://a/", "", func(nc net.Conn, reached func()) {
			readHeader(nc)
			io.WriteString(nc, "HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nno")
			reached()
		}, true},
		{"TLS handshake", "wss://a/", "", func(nc net.Conn, reached func()) { nc.Read(make([]byte, 1)); reached() }, false},
		{"CONNECT", "ws://a/", "http://proxy/", func(nc net.Conn, reached func()) { readHeader(nc); reached() }, false},
		{"TLS to the proxy", "ws://a/", "https://proxy/", func(nc net.Conn, reached func()) { nc.Read(make([]byte, 1)); reached() }, false},
		{"SOCKS", "ws://a/", "socks5://proxy/", func(nc net.Conn, reached func()) { nc.Read(make([]byte, 3)); reached() }, false},
		{"answer behind CONNECT", "ws://a/", "http://proxy/", func(nc net.Conn, reached func()) {
			readHeader(nc)
			io.WriteString(nc, "HTTP/1.1 200 OK\r\n\r\n")
			readHeader(nc)
			reached()
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			closed := make(chan struct{})
			d := Dialer{HandshakeTimeout: -1, NetDial: func(string, string) (net.Conn, error) {
				client, server := net.Pipe()
				go func() {
					defer close(closed)
					tt.serve(server, func() { cancel(cause) })
					io.Copy(io.Discard, server) // until the client closes
				}()
				return client, nil
			}}
			if tt.proxy != "" {
				d.Proxy = fixedProxy(t, tt.proxy)
			}
			c, resp, err := d.DialContext(ctx, tt.url, nil)
			require.Nil(t, c)
			require.ErrorIs(t, err, cause)
			require.Equal(t, tt.resp, resp != nil)
			<-closed
		})
	}
	t.Run("before", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(cause)
		_, _, err := (&Dialer{}).DialContext(ctx, "ws://127.0.0.1:1/", nil)
		require.ErrorIs(t, err, cause)
	})
	t.Run("name lookup", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{DNSStart: func(httptrace.DNSStartInfo) { cancel(cause) }})
		_, _, err := (&Dialer{}).DialContext(ctx, "ws://name.invalid/", nil)
		require.ErrorIs(t, err, cause)
	})
	t.Run("NetDial that does not heed it", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		late := &closeSignal{closed: make(chan struct{})}
		goOn := make(chan struct{})
		d := Dialer{NetDial: func(string, string) (net.Conn, error) {
			cancel(cause)
			<-goOn
			return late, nil
		}}
		_, _, err := d.DialContext(ctx, "ws://a/", nil)
		require.ErrorIs(t, err, cause)
		close(goOn)
		<-late.closed
	})
	t.Run("NetDial that fails late", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		goOn := make(chan struct{})
		d := Dialer{NetDialContext: func(context.Context, string, string) (net.Conn, error) {
			cancel(cause)
			<-goOn
			return nil, net.ErrClosed
		}}
		_, _, err := d.DialContext(ctx, "ws://a/", nil)
		require.ErrorIs(t, err, cause)
		close(goOn)
	})
}

type closeSignal struct {
	scriptedConn
	closed chan struct{}
}

func (c *closeSignal) Close() error { close(c.closed); return nil }

// readHeader reads up to the end of a header and not a byte further.
func readHeader(r io.Reader) string {
	var header []byte
	for b := make([]byte, 1); !bytes.HasSuffix(header, []byte("\r\n\r\n")); {
		if _, err := io.ReadFull(r, b); err != nil {
			break
		}
		header = append(header, b...)
	}
	return string(header)
}

// Once the connection is open, the context has no hold on it.
func TestDialContextDoesNotOutlive(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(greeter(Upgrader{}))
	defer srv.Close()
	ctx, cancel := context.WithCancel(t.Context())
	c, _, err := (&Dialer{}).DialContext(ctx, wsURL(srv), nil)
	require.NoError(t, err)
	cancel()
	requireGreeting(t, c, "/")
}

// Whatever the server answers: no panic, and either a connection or an error and the
// connection closed.
func FuzzHandshakeResponse(f *testing.F) {
	for _, tt := range answerCases {
		f.Add([]byte(edit(f, goldenAnswer, tt.old, tt.new)))
	}
	f.Add([]byte(plainAnswer + "\x81\x02hi"))
	f.Add([]byte("HTTP/1.1 100 Continue\r\n\r\n" + plainAnswer))
	f.Add([]byte("HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nno way\r\n0\r\n\r\n"))
	f.Add([]byte(redirectTo("302", "/")))
	f.Fuzz(func(t *testing.T, raw []byte) {
		nc := &answering{raw: string(raw)}
		d := Dialer{
			NetDial:      func(string, string) (net.Conn, error) { return nc, nil },
			Subprotocols: []string{"chat", "superchat"},
		}
		c, resp, err := d.Dial("ws://example.com/", nil)
		require.Equal(t, err != nil, nc.closed.Load())
		if err != nil {
			require.Nil(t, c)
			require.Equal(t, errors.Is(err, ErrBadHandshake), resp != nil)
			return
		}
		require.Equal(t, 101, resp.StatusCode)
		require.True(t, strings.HasSuffix(string(nc.raw), early(c)))
	})
}

// answering is a connection whose peer answers with raw, whatever key it was sent.
type answering struct {
	scriptedConn
	raw string
}

func (c *answering) Read(p []byte) (int, error) {
	if c.Reader == nil {
		r, err := http.ReadRequest(bufio.NewReader(&c.written))
		if err != nil {
			return 0, err
		}
		c.raw = answerTo(r, c.raw)
		c.Reader = strings.NewReader(c.raw)
	}
	return c.Reader.Read(p)
}

// Programs copy these, so none may hold a lock or a cache; vet's copylocks reads this.
func TestConfigurationMayBeCopied(t *testing.T) {
	t.Parallel()
	u, d, o, c := Upgrader{Subprotocols: []string{"a"}}, Dialer{Subprotocols: []string{"a"}}, Options{ReadLimit: 1}, Compression{Level: 1}
	u2, d2, o2, c2 := u, d, o, c
	require.Equal(t, u, u2)
	require.Equal(t, d, d2)
	require.Equal(t, o, o2)
	require.Equal(t, c, c2)
}

// However little of the answer has come, the error is that of the network, and not what
// the half line looks like.
func TestDialLosesTheNetwork(t *testing.T) {
	t.Parallel()
	reset := &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	for _, tt := range []struct {
		name      string
		end, want error
	}{
		{"reset", reset, syscall.ECONNRESET},
		{"end", io.EOF, io.ErrUnexpectedEOF},
	} {
		for n := range len(plainAnswer) {
			nc := &answering{scriptedConn: scriptedConn{Reader: &wstest.Source{Data: []byte(plainAnswer[:n]), End: tt.end}}}
			d := Dialer{NetDial: func(string, string) (net.Conn, error) { return nc, nil }}
			_, _, err := d.Dial("ws://example.com", nil)
			require.ErrorIs(t, err, tt.want, "%s after %d bytes", tt.name, n)
			require.ErrorContains(t, err, "websocket: reading the server's answer: ")
			require.True(t, nc.closed.Load())
		}
	}
}

// An answer that is no good is called so, although the network has ended with it.
func TestDialAnswerThatEnds(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]string{
		"HTTP/1.1 abc nope\r\n\r\n":          "malformed HTTP status code",
		"SSH-2.0-x\r\n\r\n":                  "malformed HTTP response",
		"HTTP/1.1 101 x\r\nbad line\r\n\r\n": "malformed MIME header",
	} {
		nc := &answering{scriptedConn: scriptedConn{Reader: iotest.DataErrReader(strings.NewReader(answer))}}
		d := Dialer{NetDial: func(string, string) (net.Conn, error) { return nc, nil }}
		_, _, err := d.Dial("ws://example.com", nil)
		require.ErrorContains(t, err, want)
	}
}

// A read that fails once has failed: what comes after it is not taken for another line.
func TestDialStaysWithTheFirstError(t *testing.T) {
	t.Parallel()
	for n := range len(plainAnswer) {
		nc := &answering{scriptedConn: scriptedConn{Reader: &wstest.Source{Data: []byte(plainAnswer), Stops: []int{n}, Stop: os.ErrDeadlineExceeded}}}
		d := Dialer{NetDial: func(string, string) (net.Conn, error) { return nc, nil }}
		_, _, err := d.Dial("ws://example.com", nil)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded, "after %d bytes", n)
	}
}
