//go:build unix

package interop

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/http2"
)

// Proxies between our two ends. proxy_daemons_test.go starts them.

// backend is our server as it stands behind a proxy: the echo server's endpoints and some more.
type backend struct {
	*echoServer
	tap      *tap   // before it
	tlsAddr  string // the same with TLS
	roots    *x509.CertPool
	requests chan *http.Request // that came to /meet
	silent   chan string        // how connections to /silent ended
}

func newBackend(t *testing.T) *backend {
	b := &backend{
		echoServer: newEchoServer(t),
		roots:      x509.NewCertPool(),
		requests:   make(chan *http.Request, 8),
		silent:     make(chan string, 8),
	}
	mux := http.NewServeMux()
	mux.Handle("/", b.Config.Handler)
	mux.HandleFunc("/meet", b.meet)
	mux.HandleFunc("/silent", b.keepSilent)
	plain := httptest.NewServer(mux)
	t.Cleanup(plain.Close)
	b.tap = newTap(t, plain.Listener.Addr().String())
	secure := httptest.NewTLSServer(mux)
	t.Cleanup(secure.Close)
	b.tlsAddr = secure.Listener.Addr().String()
	b.roots.AddCert(secure.Certificate())
	return b
}

// meet tells what request has come, and echoes on a connection with a subprotocol. It
// compresses with ?compress=1, and allows another origin with ?allow=ORIGIN.
func (b *backend) meet(w http.ResponseWriter, r *http.Request) {
	b.requests <- r
	u := websocket.Upgrader{Subprotocols: []string{"v2.example", "v1.example"}, AllowedOrigins: r.URL.Query()["allow"]}
	if r.FormValue("compress") != "" {
		u.Options.Compression = &websocket.Compression{}
	}
	c, err := u.Upgrade(w, r, http.Header{"Set-Cookie": {"answer=a; Path=/"}, "X-Answer": {"from the server"}})
	if err != nil {
		return
	}
	defer c.Close()
	b.end("meet") <- loops["/stream"](c, func([]byte) (bool, error) { return false, nil })
}

// nextRequest returns the next request to /meet.
func (b *backend) nextRequest(ctx context.Context, t *testing.T) *http.Request {
	select {
	case r := <-b.requests:
		return r
	case <-ctx.Done():
		require.FailNow(t, "no request arrives")
		return nil
	}
}

// TestReverseProxies has our client talk to our server through reverse proxies.
func TestReverseProxies(t *testing.T) {
	for _, row := range rows {
		if row.proxy == nil || row.forward != "" || row.tunnel {
			continue
		}
		t.Run(row.name, func(t *testing.T) {
			row.demand(t)
			ctx, cancel := context.WithTimeout(t.Context(), row.limit)
			defer cancel()
			b := newBackend(t)
			p := newSite(t, b.tap.addr)
			row.proxy(ctx, t, p)
			d := websocket.Dialer{TLSClientConfig: &tls.Config{RootCAs: p.roots}}
			for scheme, addr := range map[string]string{"ws": p.addr, "wss": p.tlsAddr} {
				if scheme != row.untried {
					t.Run(scheme, func(t *testing.T) { talkThrough(ctx, t, b, d, scheme+"://"+addr) })
				}
			}
			if row.http2 {
				d.Transport = &http2.Transport{TLSClientConfig: d.TLSClientConfig}
				t.Run("wss over HTTP/2", func(t *testing.T) { talkThrough(ctx, t, b, d, "wss://"+p.tlsAddr) })
			}
		})
	}
}

// TestForwardProxies has our client talk to our server through forward proxies.
func TestForwardProxies(t *testing.T) {
	for _, row := range rows {
		if row.forward == "" {
			continue
		}
		t.Run(row.name, func(t *testing.T) {
			row.demand(t)
			ctx, cancel := context.WithTimeout(t.Context(), row.limit)
			defer cancel()
			b := newBackend(t)
			p := newSite(t, "")
			p.askForUser = row.refusal != ""
			row.proxy(ctx, t, p)
			d := p.dialer(row)
			d.TLSClientConfig = &tls.Config{RootCAs: b.roots}
			t.Run("ws", func(t *testing.T) { talkThrough(ctx, t, b, d, "ws://"+b.tap.addr) })
			t.Run("wss", func(t *testing.T) { talkThrough(ctx, t, b, d, "wss://"+b.tlsAddr) })
			t.Run("to nobody", func(t *testing.T) {
				_, _, err := d.DialContext(ctx, "ws://127.0.0.1:"+freePort(t), nil)
				require.ErrorContains(t, err, "websocket: proxy: ")
			})
			if row.forward == "https" {
				t.Run("a certificate that nobody vouches for", func(t *testing.T) {
					d := d
					d.ProxyTLSClientConfig = &tls.Config{RootCAs: x509.NewCertPool()}
					_, _, err := d.DialContext(ctx, "ws://"+b.tap.addr+"/meet", nil)
					require.ErrorContains(t, err, "websocket: proxy: ")
					require.ErrorAs(t, err, new(x509.UnknownAuthorityError))
				})
				t.Run("the server's configuration", func(t *testing.T) {
					d := d
					d.ProxyTLSClientConfig = nil
					d.TLSClientConfig = &tls.Config{RootCAs: p.roots, ServerName: "elsewhere.example"} // which is not the proxy
					c, _, err := d.DialContext(ctx, "ws://"+b.tap.addr+"/meet", nil)
					require.NoError(t, err)
					c.Close()
					b.nextRequest(ctx, t)
				})
			}
			if row.refusal == "" {
				return
			}
			for name, user := range map[string]*url.Userinfo{
				"no user":        nil,
				"wrong password": url.UserPassword("user", "word"),
				"wrong user":     url.UserPassword("nobody", "password"),
			} {
				t.Run(name, func(t *testing.T) {
					d := d
					d.Proxy = p.proxyURL(row.forward, user)
					_, _, err := d.DialContext(ctx, "ws://"+b.tap.addr+"/meet", nil)
					require.ErrorContains(t, err, "websocket: proxy: ")

					if user == nil {
						require.ErrorContains(t, err, row.refusal)
					}
				})
			}
			require.Empty(t, b.requests)
		})
	}
}

// TestTunnels has our client talk to a server of bytes through proxies that are the WebSocket server for it.
func TestTunnels(t *testing.T) {
	for _, row := range rows {
		if !row.tunnel {
			continue
		}
		t.Run(row.name, func(t *testing.T) {
			row.demand(t)
			ctx, cancel := context.WithTimeout(t.Context(), row.limit)
			defer cancel()
			server := listen(t)
			p := newSite(t, server.Addr().String())
			row.proxy(ctx, t, p)
			d := websocket.Dialer{TLSClientConfig: &tls.Config{RootCAs: p.roots}}
			for scheme, addr := range map[string]string{"ws": p.addr, "wss": p.tlsAddr} {
				t.Run(scheme, func(t *testing.T) { streamThrough(ctx, t, server, d, scheme+"://"+addr) })
			}
			// lighttpd answers that it speaks binary also if nobody asked for it, against RFC 6455, section 4.2.2.
			_, _, err := d.DialContext(ctx, "ws://"+p.addr, nil)
			require.ErrorIs(t, err, websocket.ErrBadHandshake)
			require.ErrorContains(t, err, `subprotocol "binary" was not offered`)
		})
	}
}

// listen returns a TCP server.
func listen(t *testing.T) *net.TCPListener {
	ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	return ln
}

// openStream opens a WebSocket, as a stream of bytes to the server beyond it, and returns both ends.
func openStream(ctx context.Context, t *testing.T, server *net.TCPListener, d websocket.Dialer, endpoint string) (*websocket.Conn, *net.TCPConn) {
	d.Subprotocols = []string{"binary"}
	d.Options.Compression = &websocket.Compression{}
	c, _, err := d.DialContext(ctx, endpoint, nil)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.Equal(t, "binary", c.Subprotocol())
	require.Nil(t, c.Negotiated().Compression) // mod_wstunnel has no permessage-deflate
	deadline, _ := ctx.Deadline()
	c.SetReadDeadline(deadline)
	server.SetDeadline(deadline)
	nc, err := server.AcceptTCP()
	require.NoError(t, err)
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(deadline)
	return c, nc
}

func streamThrough(ctx context.Context, t *testing.T, server *net.TCPListener, d websocket.Dialer, endpoint string) {
	c, nc := openStream(ctx, t, server, d, endpoint)
	for _, p := range [][]byte{sevenBytes, longBinary()} {
		requireSame(t, nc, c.Stream(websocket.BinaryMessage), p)
		requireSame(t, c.Stream(websocket.BinaryMessage), nc, p)
	}
	require.NoError(t, nc.Close())
	_, _, err := c.ReadMessage()
	require.Equal(t, "1006", closing(err))

	c, nc = openStream(ctx, t, server, d, endpoint)
	require.NoError(t, bare(c).Close())
	_, err = nc.Read(make([]byte, 1))
	require.Equal(t, io.EOF, err)

	c, nc = openStream(ctx, t, server, d, endpoint)
	// lighttpd's close frame has the four characters 1000 in it, where two bytes are the number (section 5.5.1).
	require.EqualError(t, c.Shutdown(ctx, websocket.CloseNormalClosure, ""), "websocket: invalid close code")
	_, err = nc.Read(make([]byte, 1))
	require.Equal(t, io.EOF, err)
}

// requireSame sends p to dst and reads it from src.
func requireSame(t *testing.T, src io.Reader, dst io.Writer, p []byte) {
	written := make(chan error, 1)
	go func() {
		_, err := io.Copy(dst, bytes.NewReader(p))
		written <- err
	}()
	got := make([]byte, len(p))
	_, err := io.ReadFull(src, got)
	require.NoError(t, err)
	require.NoError(t, <-written)
	require.True(t, bytes.Equal(p, got))
}

// dialer goes through the proxy, and connects to nothing else.
func (p *site) dialer(row row) websocket.Dialer {
	var user *url.Userinfo
	if row.refusal != "" {
		user = url.UserPassword("user", "password")
	}
	return websocket.Dialer{
		Proxy:                p.proxyURL(row.forward, user),
		ProxyTLSClientConfig: &tls.Config{RootCAs: p.roots},
		NetDialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if addr != p.forwardAddr(row.forward) {
				return nil, errors.New("not by way of the proxy")
			}
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	}
}

// talkThrough goes through all that a proxy might spoil. base is where b is seen from beyond the proxy.
func talkThrough(ctx context.Context, t *testing.T, b *backend, d websocket.Dialer, base string) {
	compressing := d
	compressing.Options.Compression = &websocket.Compression{}
	for path, d := range map[string]*websocket.Dialer{
		"/message":             &d,
		"/stream" + compressed: &compressing,
		"/serve" + compressed:  &compressing,
	} {
		t.Run("cases"+path, func(t *testing.T) {
			b.requireEnds(ctx, t, allWell, runOurClient(ctx, d, base+path, nil))
		})
	}

	for _, e := range []opening{
		{},
		{ours: &compression{}, offer: pmd + cmw, answer: pmd + smw + "=12" + cmw + "=12"},
		{ours: &compression{ServerNoContextTakeover: true, ClientNoContextTakeover: true, ClientMaxWindowBits: 10},
			offer: pmd + snt + cnt + cmw + "=10", answer: pmd + snt + cnt + smw + "=12" + cmw + "=10"},
	} {
		t.Run(fmt.Sprintf("handshake %q", e.answer), func(t *testing.T) {
			d := d
			d.Options.Compression = e.ours
			meetThrough(ctx, t, b, d, base, e)
		})
	}

	t.Run("another origin", func(t *testing.T) {
		for _, origin := range []string{"https://elsewhere.example", "null"} {
			_, resp, err := d.DialContext(ctx, base+"/meet", http.Header{"Origin": {origin}})
			require.ErrorIs(t, err, websocket.ErrBadHandshake)
			require.Equal(t, http.StatusForbidden, resp.StatusCode)
			b.nextRequest(ctx, t)
		}
		c, _, err := d.DialContext(ctx, base+"/meet?allow=*.example", http.Header{"Origin": {"https://elsewhere.example"}})
		require.NoError(t, err)
		c.Close()
		b.nextRequest(ctx, t)
		require.Equal(t, "1006", closing(b.waitEnd(ctx, t, "meet")))
	})
}

// meetThrough looks at the two requests and answers of an opening handshake, those
// before and those behind the proxy, then at fragments, then drops the connection.
func meetThrough(ctx context.Context, t *testing.T, b *backend, d websocket.Dialer, base string, e opening) {
	u, err := url.Parse(base)
	require.NoError(t, err)
	web := *u
	web.Scheme = map[string]string{"ws": "http", "wss": "https"}[u.Scheme]
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	jar.SetCookies(&web, []*http.Cookie{{Name: "session", Value: "s1"}, {Name: "theme", Value: "dark"}})
	d.Jar = jar
	d.Subprotocols = []string{"v3.example", "v1.example", "v2.example"}
	d.WriteBufferSize = 1000
	uri := "/meet?text=a%20b%2Fc&text=%C3%A9"
	if e.ours != nil {
		uri += "&compress=1"
	}
	c, resp, err := d.DialContext(ctx, base+uri, http.Header{
		"Origin":        {web.String()},
		"User-Agent":    {"interop"},
		"Authorization": {"Bearer t0ken"},
		"X-Many":        {"one", "two"},
	})
	require.NoError(t, err)
	defer c.Close()
	deadline, _ := ctx.Deadline()
	c.SetReadDeadline(deadline)
	c.SetWriteDeadline(deadline)

	// The server's side.
	r := b.nextRequest(ctx, t)
	require.Equal(t, uri, r.RequestURI)
	require.Equal(t, u.Host, r.Host)
	require.Equal(t, web.String(), r.Header.Get("Origin"))
	require.Equal(t, "interop", r.Header.Get("User-Agent"))
	require.Equal(t, "Bearer t0ken", r.Header.Get("Authorization"))
	require.Equal(t, "one, two", strings.Join(r.Header.Values("X-Many"), ", "))
	require.Equal(t, "session=s1; theme=dark", r.Header.Get("Cookie"))
	require.Equal(t, d.Subprotocols, websocket.Subprotocols(r))
	require.Equal(t, e.offer, strings.Join(r.Header.Values("Sec-Websocket-Extensions"), ", "))

	// The client's side.
	if d.Transport != nil {
		require.Equal(t, 2, resp.ProtoMajor)
	}
	require.Equal(t, "v2.example", resp.Header.Get("Sec-Websocket-Protocol"))
	require.Equal(t, "v2.example", c.Subprotocol())
	require.Equal(t, e.answer, strings.Join(resp.Header.Values("Sec-Websocket-Extensions"), ", "))
	require.Equal(t, e.agreed(), c.Negotiated().Compression)
	require.Equal(t, "from the server", resp.Header.Get("X-Answer"))
	var cookies []string
	for _, cookie := range jar.Cookies(&web) {
		cookies = append(cookies, cookie.String())
	}
	require.ElementsMatch(t, []string{"session=s1", "theme=dark", "answer=a"}, cookies)

	// Fragments, and pings between them.
	pongs := 0
	c.SetPongHandler(func(string) error { pongs++; return nil })
	sent := randomText(150_000)
	written := make(chan error, 1)
	go func() {
		w, err := c.NextWriter(websocket.TextMessage)
		for p := sent; err == nil && len(p) > 0; p = p[50_000:] {
			if _, err = w.Write(p[:50_000]); err == nil {
				err = c.WriteControl(websocket.PingMessage, []byte("amid"), deadline)
			}
		}
		if err == nil {
			err = w.Close()
		}
		written <- err
	}()
	messageType, received, err := c.NextReader()
	require.NoError(t, err)
	require.Equal(t, websocket.TextMessage, messageType)
	p, err := io.ReadAll(received)
	require.NoError(t, err)
	require.NoError(t, <-written)
	require.Equal(t, string(sent), string(p))
	require.Positive(t, pongs)
	if r.TLS == nil { // and so it came by the tap
		w := b.tap.of(r.RemoteAddr)
		require.NotNil(t, w)
		require.Equal(t, e.offer, w.fromClient.extensions())
		require.Equal(t, e.answer, w.fromServer.extensions())
		for _, s := range []*stream{&w.fromClient, &w.fromServer} {
			messages := s.since(0)
			require.Len(t, messages, 1)
			require.Greater(t, messages[0].fragments, 1)
			require.Equal(t, e.answer != "", messages[0].compressed)
		}
	}

	// The client is gone.
	require.NoError(t, bare(c).Close())
	require.Equal(t, "1006", closing(b.waitEnd(ctx, t, "meet")))
}

// bare is the network connection beneath a connection and its TLS.
func bare(c *websocket.Conn) net.Conn {
	nc := c.NetConn()
	for {
		secure, ok := nc.(*tls.Conn)
		if !ok {
			return nc
		}
		nc = secure.NetConn() // and that may be TLS with a proxy
	}
}

// TestConfigurationWithout has reverse proxies lack what docs/proxies.md tells people to write.
func TestConfigurationWithout(t *testing.T) {
	for _, row := range rows {
		for text, status := range row.without {
			t.Run(row.name+" without "+text, func(t *testing.T) {
				row.demand(t)
				ctx, cancel := context.WithTimeout(t.Context(), row.limit)
				defer cancel()
				b := newBackend(t)
				p := newSite(t, b.tap.addr)
				p.without = text
				row.proxy(ctx, t, p)
				origin := http.Header{"Origin": {"http://" + p.addr}}
				endpoint := "ws://" + p.addr + "/meet"
				_, resp, err := websocket.DefaultDialer.DialContext(ctx, endpoint, origin)
				require.ErrorIs(t, err, websocket.ErrBadHandshake)
				require.Equal(t, status, resp.StatusCode)
				if status != http.StatusForbidden {
					return
				}
				require.Equal(t, b.tap.addr, b.nextRequest(ctx, t).Host)
				c, _, err := websocket.DefaultDialer.DialContext(ctx, endpoint+"?allow="+origin.Get("Origin"), origin)
				require.NoError(t, err)
				c.Close()
			})
		}
	}
}

const (
	silence      = 4 * time.Second // that the proxies of TestSilence bear
	pingInterval = 2 * time.Second // which breaks it in time
	pings        = 3               // so many take longer than the silence would be borne
	reset        = "reset"         // by TCP, as the end of a connection
)

// keepSilent is the server's end of the connections of TestSilence. With ?ping it sends pings.
func (b *backend) keepSilent(w http.ResponseWriter, r *http.Request) {
	var u websocket.Upgrader
	if r.FormValue("ping") != "" {
		u.PingInterval = pingInterval
	}
	c, err := u.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer c.Close()
	b.silent <- bearSilence(c)
}

// bearSilence reads one message and returns it, or tells how the connection ended.
// An end that is pinged breaks the silence after some time, and then gets an answer.
func bearSilence(c *websocket.Conn) string {
	answer, heard := c.PingHandler(), 0
	c.SetPingHandler(func(data string) error {
		if heard++; heard == pings {
			if err := c.WriteMessage(websocket.TextMessage, []byte("still there?")); err != nil {
				return err
			}
		}
		return answer(data)
	})
	_, p, err := c.ReadMessage()
	if errors.Is(err, syscall.ECONNRESET) {
		return reset
	}
	if err != nil {
		return closing(err)
	}
	if heard < pings {
		err = c.WriteMessage(websocket.TextMessage, []byte("yes"))
	}
	if err != nil {
		return err.Error()
	}
	return string(p)
}

// TestSilence has connections without messages go through proxies that drop the silent ones.
func TestSilence(t *testing.T) {
	for _, row := range rows {
		if !row.impatient || row.tunnel {
			continue
		}
		for name, test := range map[string]struct {
			query          string
			interval       time.Duration // of our client's pings
			client, server string        // what they see
		}{
			"nobody pings":     {"", 0, "1006", "1006"},
			"our server pings": {"?ping=1", 0, "yes", "still there?"},
			"our client pings": {"", pingInterval, "still there?", "yes"},
		} {
			if test.client == "1006" && row.resets {
				test.client = reset // the server sees 1006: the tap before it passes on no reset
			}
			t.Run(row.name+", "+name, func(t *testing.T) {
				t.Parallel() // it waits nearly all the time
				row.demand(t)
				ctx, cancel := context.WithTimeout(t.Context(), row.limit)
				defer cancel()
				b := newBackend(t)
				p := newSite(t, b.tap.addr)
				p.silence = silence
				row.proxy(ctx, t, p)
				d := websocket.Dialer{TLSClientConfig: &tls.Config{RootCAs: p.roots}}
				base := "ws://" + p.addr
				switch {
				case row.forward != "":
					d, base = p.dialer(row), "ws://"+b.tap.addr
				case row.untried == "ws":
					base = "wss://" + p.tlsAddr
				}
				d.PingInterval = test.interval
				began := time.Now()
				c, _, err := d.DialContext(ctx, base+"/silent"+test.query, nil)
				require.NoError(t, err)
				defer c.Close()
				deadline, _ := ctx.Deadline()
				c.SetReadDeadline(deadline)
				require.Equal(t, test.client, bearSilence(c))
				seen := time.Since(began)
				select {
				case end := <-b.silent:
					require.Equal(t, test.server, end)
				case <-ctx.Done():
					require.FailNow(t, "the server's end goes on")
				}
				// The proxy did it, neither sooner than told nor so much later that it may have been something else.
				require.Greater(t, seen, silence-time.Second)
				require.Less(t, seen, patience/2)
			})
		}
	}
}

// TestSilenceInTunnels is TestSilence for proxies that are the WebSocket server. What is behind them has no pings.
func TestSilenceInTunnels(t *testing.T) {
	for _, row := range rows {
		if !row.impatient || !row.tunnel {
			continue
		}
		for name, interval := range map[string]time.Duration{"nobody pings": 0, "our client pings": pingInterval} {
			t.Run(row.name+", "+name, func(t *testing.T) {
				t.Parallel()
				row.demand(t)
				ctx, cancel := context.WithTimeout(t.Context(), row.limit)
				defer cancel()
				server := listen(t)
				p := newSite(t, server.Addr().String())
				p.silence = silence
				row.proxy(ctx, t, p)
				began := time.Now()
				c, nc := openStream(ctx, t, server, websocket.Dialer{Options: websocket.Options{PingInterval: interval}}, "ws://"+p.addr)
				heard := 0
				c.SetPongHandler(func(string) error {
					if heard++; heard == pings {
						return c.WriteMessage(websocket.BinaryMessage, []byte("still there?"))
					}
					return nil
				})
				read := make(chan error, 1)
				go func() {
					_, _, err := c.ReadMessage()
					read <- err
				}()
				if interval > 0 {
					p := make([]byte, len("still there?"))
					_, err := io.ReadFull(nc, p)
					require.NoError(t, err)
					require.Equal(t, "still there?", string(p))
				} else {
					_, err := nc.Read(make([]byte, 1))
					require.Equal(t, io.EOF, err)
					require.Equal(t, "1006", closing(<-read))
				}
				seen := time.Since(began)
				require.Greater(t, seen, silence-time.Second)
				require.Less(t, seen, patience/2)
			})
		}
	}
}
