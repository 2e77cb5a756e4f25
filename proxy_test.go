package websocket

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func fixedProxy(t testing.TB, raw string) func(*http.Request) (*url.URL, error) {
	t.Helper()
	u, err := url.Parse(raw)
	require.NoError(t, err)
	return func(*http.Request) (*url.URL, error) { return u, nil }
}

// relay copies both ways until both ends are done.
func relay(a, b net.Conn) {
	done := make(chan struct{})
	go func() {
		io.Copy(a, b)
		a.Close()
		close(done)
	}()
	io.Copy(b, a)
	b.Close()
	<-done
}

// connectProxy is an HTTP proxy that sends the CONNECT requests it saw to the channel.
func connectProxy(requests chan<- *http.Request) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests <- r
		server, err := net.Dial("tcp", r.Host)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		client, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n")
		relay(client, server)
	})
}

func TestHTTPProxy(t *testing.T) {
	t.Parallel()
	plain := httptest.NewServer(greeter(Upgrader{}))
	defer plain.Close()
	secure := httptest.NewTLSServer(greeter(Upgrader{}))
	defer secure.Close()
	requests := make(chan *http.Request, 1)
	proxy := httptest.NewServer(connectProxy(requests))
	defer proxy.Close()
	tlsProxy := httptest.NewTLSServer(connectProxy(requests))
	defer tlsProxy.Close()

	basic := func(userinfo string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(userinfo)) }
	for _, tt := range []struct {
		name   string
		proxy  string
		server *httptest.Server
		header http.Header // Dialer.ProxyHeader
		auth   string
	}{
		{"http, ws", proxy.URL, plain, nil, ""},
		{"http, wss", proxy.URL, secure, nil, ""},
		{"https, ws", tlsProxy.URL, plain, nil, ""},
		{"https, wss", tlsProxy.URL, secure, nil, ""},
		{"user and password", strings.Replace(proxy.URL, "//", "//u:p@", 1), plain, nil, basic("u:p")},
		{"empty password", strings.Replace(proxy.URL, "//", "//u:@", 1), plain, nil, basic("u:")},
		{"no password", strings.Replace(proxy.URL, "//", "//u@", 1), plain, nil, basic("u:")},
		{"header", proxy.URL, plain, http.Header{"X-Tenant": {"1"}, "Proxy-Authorization": {"Bearer x"}}, "Bearer x"},
		{"the URL's user wins", strings.Replace(proxy.URL, "//", "//u:p@", 1), plain, http.Header{"Proxy-Authorization": {"Bearer x"}}, basic("u:p")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := trust(secure)
			cfg.ServerName = "example.com" // of httptest's certificate; not used for the proxy
			d := Dialer{
				Proxy: fixedProxy(t, tt.proxy), ProxyHeader: tt.header, TLSClientConfig: cfg,
				NetDialTLSContext: func(context.Context, string, string) (net.Conn, error) { panic("not behind a proxy") },
			}
			c, _, err := d.Dial(wsURL(tt.server)+"/a", nil)
			require.NoError(t, err)
			r := <-requests
			require.Equal(t, "CONNECT", r.Method)
			require.Equal(t, tt.server.Listener.Addr().String(), r.Host)
			require.Equal(t, tt.auth, r.Header.Get("Proxy-Authorization"))
			require.Equal(t, tt.header.Get("X-Tenant"), r.Header.Get("X-Tenant"))
			if tt.server == plain && tt.proxy == proxy.URL {
				require.IsType(t, &net.TCPConn{}, c.NetConn(), "no wrapper hides the socket")
			}
			requireGreeting(t, c, "/a")
		})
	}
	t.Run("configuration of its own", func(t *testing.T) {
		d := Dialer{Proxy: fixedProxy(t, tlsProxy.URL), ProxyTLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
		c, _, err := d.Dial(wsURL(plain), nil)
		require.NoError(t, err)
		<-requests
		requireGreeting(t, c, "/")
	})
	t.Run("certificate that is not trusted", func(t *testing.T) {
		d := Dialer{Proxy: fixedProxy(t, tlsProxy.URL)}
		_, _, err := d.Dial(wsURL(plain), nil)
		require.ErrorContains(t, err, "websocket: proxy: ")
		require.ErrorContains(t, err, "certificate")
	})
}

func TestProxyFunc(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(greeter(Upgrader{}))
	defer srv.Close()
	t.Run("no proxy", func(t *testing.T) {
		d := Dialer{Proxy: func(r *http.Request) (*url.URL, error) {
			require.Equal(t, "http", r.URL.Scheme)
			return nil, nil
		}}
		c, _, err := d.Dial(wsURL(srv), nil)
		require.NoError(t, err)
		requireGreeting(t, c, "/")
	})
	t.Run("error", func(t *testing.T) {
		d := Dialer{Proxy: func(*http.Request) (*url.URL, error) { return nil, net.ErrClosed }}
		_, _, err := d.Dial(wsURL(srv), nil)
		require.ErrorIs(t, err, net.ErrClosed)
	})
}

func TestProxyRefusals(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		proxy  string
		header http.Header
		answer string
		want   string
	}{
		{"unknown scheme", "ftp://proxy/", nil, "", `websocket: proxy: unknown scheme "ftp"`},
		{"407", "http://proxy/", nil, "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "websocket: proxy: CONNECT refused: 407 Proxy Authentication Required"},
		{"101", "http://proxy/", nil, plainAnswer, "websocket: proxy: CONNECT refused: 101 Switching Protocols"},
		{"header without end", "http://proxy/", nil, "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 2*maxHandshake), "websocket: proxy: header over 65536 bytes"},
		{"nothing", "http://proxy/", nil, "", "websocket: proxy: unexpected EOF"},
		{"header injection", "http://proxy/", http.Header{"A": {"b\r\nC: d"}}, "", "websocket: proxy: malformed value of header field A"},
		{"host that has no ASCII form", "http://xn--\u00fc/", nil, "", "websocket: proxy: host \"xn--\u00fc\": idna: invalid label \"\u00fc\""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			nc := &scriptedConn{Reader: strings.NewReader(tt.answer)}
			d := Dialer{Proxy: fixedProxy(t, tt.proxy), ProxyHeader: tt.header, NetDial: func(string, string) (net.Conn, error) { return nc, nil }}
			_, resp, err := d.Dial("ws://example.com/", nil)
			require.Nil(t, resp)
			require.EqualError(t, err, tt.want)
		})
	}
	t.Run("not there", func(t *testing.T) {
		t.Parallel()
		d := Dialer{Proxy: fixedProxy(t, "http://proxy/"), NetDial: func(string, string) (net.Conn, error) { return nil, net.ErrClosed }}
		_, _, err := d.Dial("ws://example.com/", nil)
		require.ErrorIs(t, err, net.ErrClosed)
	})
	t.Run("write fails", func(t *testing.T) {
		t.Parallel()
		nc := &scriptedConn{writeErr: net.ErrClosed}
		d := Dialer{Proxy: fixedProxy(t, "http://proxy/"), NetDial: func(string, string) (net.Conn, error) { return nc, nil }}
		_, _, err := d.Dial("ws://example.com/", nil)
		require.ErrorIs(t, err, net.ErrClosed)
		require.True(t, nc.closed.Load())
	})
}

// A proxy may send the tunnel's first bytes in one segment with its own answer.
func TestConnectKeepsEarlyBytes(t *testing.T) {
	t.Parallel()
	client, proxy := net.Pipe()
	go func() {
		br := bufio.NewReader(proxy)
		if _, err := http.ReadRequest(br); err == nil {
			io.WriteString(proxy, "HTTP/1.1 200 OK\r\n\r\nearly")
			io.WriteString(proxy, " and late")
			proxy.Close()
		}
	}()
	u, err := fixedProxy(t, "http://proxy/")(nil)
	require.NoError(t, err)
	route := proxyRoute{proxy: u}
	nc, err := connectHTTP(client, route.connectRequest("example.com:80"))
	require.NoError(t, err)
	p, err := io.ReadAll(nc)
	require.NoError(t, err)
	require.Equal(t, "early and late", string(p))
}

// socksProxy serves one SOCKS5 connection (RFC 1928) with the user and password given
// (RFC 1929), none if user is "". It answers with reply, and sends the address asked
// for to the channel.
func socksProxy(t testing.TB, user, password string, reply byte, targets chan<- string) string {
	l := listen(t)
	serve := func(nc net.Conn) error {
		defer nc.Close()
		br := bufio.NewReader(nc)
		read := func(n int) []byte {
			p := make([]byte, n)
			io.ReadFull(br, p)
			return p
		}
		methods := read(int(read(2)[1]))
		method := byte(0x00) // none
		if user != "" {
			method = 0x02 // user and password
		}
		if !strings.Contains(string(methods), string(method)) {
			_, err := nc.Write([]byte{5, 0xff})
			return err
		}
		nc.Write([]byte{5, method})
		if method == 0x02 {
			read(1)
			u := string(read(int(read(1)[0])))
			p := string(read(int(read(1)[0])))
			if u != user || p != password {
				_, err := nc.Write([]byte{1, 1})
				return err
			}
			nc.Write([]byte{1, 0})
		}
		var host string
		switch read(4)[3] {
		case 1:
			host = net.IP(read(4)).String()
		case 3:
			host = string(read(int(read(1)[0])))
		}
		port := binary.BigEndian.Uint16(read(2))
		targets <- net.JoinHostPort(host, strconv.Itoa(int(port)))
		nc.Write([]byte{5, reply, 0, 1, 0, 0, 0, 0, 0, 0})
		if reply != 0 {
			return nil
		}
		server, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
		if err != nil {
			return err
		}
		relay(nc, server)
		return nil
	}
	go func() {
		if nc, err := l.Accept(); err == nil {
			serve(nc)
		}
	}()
	return l.Addr().String()
}

func TestSOCKSProxy(t *testing.T) {
	t.Parallel()
	plain := httptest.NewServer(greeter(Upgrader{}))
	defer plain.Close()
	secure := httptest.NewTLSServer(greeter(Upgrader{}))
	defer secure.Close()
	for _, tt := range []struct {
		name           string
		scheme         string
		userinfo       string
		user, password string // what the proxy wants
		reply          byte
		server         *httptest.Server
		fails          string
	}{
		{name: "socks5", scheme: "socks5", server: plain},
		{name: "socks5h", scheme: "socks5h", server: plain},
		{name: "wss", scheme: "socks5", server: secure},
		{name: "user and password", scheme: "socks5", userinfo: "u:p@", user: "u", password: "p", server: plain},
		{name: "wrong password", scheme: "socks5", userinfo: "u:x@", user: "u", password: "p", server: plain, fails: "authentication failed"},
		{name: "no user", scheme: "socks5", user: "u", password: "p", server: plain, fails: "no acceptable authentication methods"},
		{name: "refused", scheme: "socks5", reply: 5, server: plain, fails: "connection refused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			targets := make(chan string, 1)
			addr := socksProxy(t, tt.user, tt.password, tt.reply, targets)
			cfg := trust(secure)
			cfg.ServerName = "example.com"
			d := Dialer{Proxy: fixedProxy(t, tt.scheme+"://"+tt.userinfo+addr), TLSClientConfig: cfg}
			_, port, err := net.SplitHostPort(tt.server.Listener.Addr().String())
			require.NoError(t, err)
			scheme, _, _ := strings.Cut(wsURL(tt.server), ":")
			c, _, err := d.Dial(scheme+"://name.invalid:"+port+"/a", nil)
			if tt.fails != "" {
				require.ErrorContains(t, err, "websocket: proxy: ")
				require.ErrorContains(t, err, tt.fails)
				return
			}
			require.NoError(t, err)
			require.Equal(t, "name.invalid:"+port, <-targets, "the proxy looks the name up")
			if tt.server == plain {
				require.IsType(t, &net.TCPConn{}, c.NetConn())
			}
			requireGreeting(t, c, "/a")
		})
	}
}
