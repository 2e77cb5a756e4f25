//lint:file-ignore SA1019 the Transport reaches into the one that is marked deprecated; transport.go says why

package http2

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	xhttp2 "golang.org/x/net/http2"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/internal/h2wire"
)

const patience = 30 * time.Second

// echo is a server's handler that echoes.
func echo() http.Handler {
	var u websocket.Upgrader
	return u.Handler(func(c *websocket.Conn, r *http.Request) error {
		return c.Serve(r.Context(), func(m websocket.Message) error { return c.WriteMessage(m.Type, m.Data) })
	})
}

// serve starts a server with TLS, of HTTP/2 or not, and returns the URL of its
// WebSockets and a configuration that trusts it.
func serve(t *testing.T, withHTTP2 bool) (url string, cfg *tls.Config) {
	s := httptest.NewUnstartedServer(echo())
	s.EnableHTTP2 = withHTTP2
	Configure(s.Config)
	s.StartTLS()
	t.Cleanup(s.Close)
	roots := s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	return "wss" + strings.TrimPrefix(s.URL, "https"), &tls.Config{RootCAs: roots}
}

// serveClear starts a server without TLS that speaks HTTP/1.1 and HTTP/2.
func serveClear(t *testing.T) (addr string) {
	s := httptest.NewUnstartedServer(echo())
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// serverAnnounces reports whether a server of net/http announces extended CONNECT.
func serverAnnounces(t *testing.T) bool {
	nc, err := net.Dial("tcp", serveClear(t))
	require.NoError(t, err)
	c, err := h2wire.NewClient(nc, h2wire.Config{})
	require.NoError(t, err)
	defer c.Close()
	settings, err := c.Settings(patience)
	require.NoError(t, err)
	return settings[h2wire.EnableConnect] == 1
}

// open dials, has a message echoed, and tells by which version of HTTP.
func open(t *testing.T, d *websocket.Dialer, url string) (c *websocket.Conn, major int) {
	t.Helper()
	c, resp, err := d.DialContext(t.Context(), url, nil)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.WriteMessage(websocket.TextMessage, []byte("hello")))
	_, p, err := c.ReadMessage()
	require.NoError(t, err)
	require.Equal(t, "hello", string(p))
	return c, resp.ProtoMajor
}

// newTransport is a Transport whose idle connections go with the test.
func newTransport(t *testing.T, tr *Transport) *Transport {
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// counting makes network connections and counts them.
func counting(n *atomic.Int32) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		n.Add(1)
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
}

// Many WebSockets share one connection, over TLS and without.
func TestTransportSharesAConnection(t *testing.T) {
	secure, cfg := serve(t, true)
	for name, test := range map[string]struct {
		url       string
		transport *Transport
	}{
		"TLS":   {secure, &Transport{TLSClientConfig: cfg}},
		"clear": {"ws://" + serveClear(t), &Transport{Unencrypted: true}},
	} {
		t.Run(name, func(t *testing.T) {
			var dials atomic.Int32
			tr := newTransport(t, test.transport)
			tr.NetDialContext = counting(&dials)
			d := &websocket.Dialer{Transport: tr}
			var local net.Addr
			for range 10 {
				c, major := open(t, d, test.url)
				require.Equal(t, 2, major)
				if local == nil {
					local = c.LocalAddr()
				}
				require.Equal(t, local, c.LocalAddr())
				require.Equal(t, strings.TrimPrefix(strings.TrimPrefix(test.url, "wss://"), "ws://"), c.RemoteAddr().String())
			}
			require.EqualValues(t, 1, dials.Load())
		})
	}
	require.Empty(t, cfg.NextProtos, "the program's configuration is its own")
}

func TestTransportCloseIdleConnections(t *testing.T) {
	url, cfg := serve(t, true)
	var dials atomic.Int32
	tr := newTransport(t, &Transport{TLSClientConfig: cfg, NetDialContext: counting(&dials)})
	d := &websocket.Dialer{Transport: tr}
	c, _ := open(t, d, url)
	tr.CloseIdleConnections() // that is none
	require.NoError(t, c.WriteMessage(websocket.TextMessage, []byte("still")))
	_, p, err := c.ReadMessage()
	require.NoError(t, err)
	require.Equal(t, "still", string(p))
	require.NoError(t, c.Shutdown(t.Context(), websocket.CloseNormalClosure, ""))
	for dials.Load() < 2 { // the stream takes a moment to end
		tr.CloseIdleConnections()
		c, _ := open(t, d, url)
		require.NoError(t, c.Shutdown(t.Context(), websocket.CloseNormalClosure, ""))
	}
}

// A server that speaks no HTTP/2 gets HTTP/1.1, and is not asked again.
func TestTransportFallsBack(t *testing.T) {
	url, cfg := serve(t, false)
	var dials atomic.Int32
	tr := newTransport(t, &Transport{TLSClientConfig: cfg, NetDialContext: counting(&dials)})
	d := &websocket.Dialer{Transport: tr, TLSClientConfig: cfg}
	for range 3 {
		_, major := open(t, d, url)
		require.Equal(t, 1, major)
	}
	require.EqualValues(t, 1, dials.Load())
}

func TestTransportLeavesClearToHTTP1(t *testing.T) {
	_, major := open(t, &websocket.Dialer{Transport: newTransport(t, new(Transport))}, "ws://"+serveClear(t))
	require.Equal(t, 1, major)
}

// A server that speaks HTTP/2 and not this part of it says so in its SETTINGS, or rather
// does not. What golang.org/x/net/http2 says of it is not exported: here is what fails if
// it says something else.
func TestTransportWithoutExtendedConnect(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			if c, err := h2wire.NewServer(nc, h2wire.Config{}); err == nil {
				t.Cleanup(func() { c.Close() })
			}
		}
	}()
	var dials atomic.Int32
	tr := newTransport(t, &Transport{Unencrypted: true, NetDialContext: counting(&dials)})
	for range 2 {
		body := &closed{}
		resp, err := tr.RoundTrip(request(t.Context(), "http://"+ln.Addr().String(), body))
		require.Nil(t, resp)
		require.ErrorIs(t, err, errors.ErrUnsupported)
		require.True(t, body.is.Load())
	}
	require.EqualValues(t, 1, dials.Load(), "the second time it was known")
}

// request is an extended CONNECT.
func request(ctx context.Context, url string, body io.ReadCloser) *http.Request {
	r, err := http.NewRequestWithContext(ctx, http.MethodConnect, url, body)
	if err != nil {
		panic(err)
	}
	r.Header[":protocol"] = []string{"websocket"}
	r.ContentLength = -1
	return r
}

// closed is an empty body that tells whether it was closed.
type closed struct{ is atomic.Bool }

func (c *closed) Read([]byte) (int, error) { return 0, io.EOF }

func (c *closed) Close() error {
	c.is.Store(true)
	return nil
}

func TestTransportRefusesOtherRequests(t *testing.T) {
	tr := newTransport(t, new(Transport))
	for name, change := range map[string]func(r *http.Request){
		"GET":         func(r *http.Request) { r.Method = http.MethodGet },
		"no protocol": func(r *http.Request) { delete(r.Header, ":protocol") },
		"no body":     func(r *http.Request) { r.Method, r.Body = http.MethodGet, nil },
	} {
		t.Run(name, func(t *testing.T) {
			body := &closed{}
			r := request(t.Context(), "https://127.0.0.1:1", body)
			change(r)
			_, err := tr.RoundTrip(r)
			require.ErrorContains(t, err, "extended CONNECT")
			require.NotErrorIs(t, err, errors.ErrUnsupported)
			require.Equal(t, r.Body != nil, body.is.Load())
		})
	}
}

// What a server could not do it may be able to do ten minutes later.
func TestTransportForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tr Transport
		require.False(t, tr.knows("https://a"))
		tr.remember("https://a")
		time.Sleep(memory / 2)
		tr.remember("https://b")
		require.True(t, tr.knows("https://a"))
		require.False(t, tr.knows("http://a"))
		time.Sleep(memory / 2)
		require.False(t, tr.knows("https://a"))
		require.True(t, tr.knows("https://b"))
		for i := range 2 * remembered {
			host := fmt.Sprintf("https://%d", i)
			tr.remember(host)
			require.True(t, tr.knows(host))
		}
		require.Len(t, tr.without, remembered)
	})
}

// A failure of the network or of TLS says nothing about what the server can do.
func TestTransportFailures(t *testing.T) {
	url, cfg := serve(t, true)
	cause := errors.New("no network today")
	for name, tr := range map[string]*Transport{
		"dial": {TLSClientConfig: cfg, NetDialContext: func(context.Context, string, string) (net.Conn, error) { return nil, cause }},
		"TLS":  {},
	} {
		t.Run(name, func(t *testing.T) {
			newTransport(t, tr)
			c, _, err := (&websocket.Dialer{Transport: tr}).Dial(url, nil)
			require.Nil(t, c)
			require.Error(t, err)
			require.NotErrorIs(t, err, errors.ErrUnsupported)
			require.Empty(t, tr.without)
		})
	}
}

// A context that ends is heeded at once, whatever is waited for.
func TestTransportContext(t *testing.T) {
	cause := errors.New("enough")
	for name, stage := range map[string]func(t *testing.T, reached func()) (url string, tr *Transport){
		"dial": func(t *testing.T, reached func()) (string, *Transport) {
			return "wss://a", &Transport{NetDialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				reached()
				<-ctx.Done()
				return nil, ctx.Err()
			}}
		},
		"TLS": func(t *testing.T, reached func()) (string, *Transport) {
			return "wss://" + silent(t, reached), new(Transport)
		},
		"SETTINGS": func(t *testing.T, reached func()) (string, *Transport) {
			return "ws://" + silent(t, reached), &Transport{Unencrypted: true}
		},
		"answer": func(t *testing.T, reached func()) (string, *Transport) {
			return "ws://" + mute(t, reached), &Transport{Unencrypted: true}
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			url, tr := stage(t, func() { cancel(cause) })
			newTransport(t, tr)
			c, _, err := (&websocket.Dialer{Transport: tr}).DialContext(ctx, url, nil)
			require.Nil(t, c)
			require.Equal(t, cause, err)
		})
	}
	t.Run("another's dial", func(t *testing.T) {
		free := make(chan struct{})
		dialing := make(chan struct{})
		tr := newTransport(t, &Transport{NetDialContext: func(context.Context, string, string) (net.Conn, error) {
			close(dialing)
			<-free
			return nil, errors.New("no")
		}})
		first := make(chan error, 1)
		go func() {
			_, _, err := (&websocket.Dialer{Transport: tr, HandshakeTimeout: -1}).DialContext(t.Context(), "wss://a", nil)
			first <- err
		}()
		<-dialing
		ctx, cancel := context.WithCancelCause(t.Context())
		second := make(chan error, 1)
		go func() {
			_, _, err := (&websocket.Dialer{Transport: tr}).DialContext(ctx, "wss://a", nil)
			second <- err
		}()
		cancel(cause)
		require.Equal(t, cause, <-second)
		close(free)
		require.ErrorContains(t, <-first, "no")
	})
	t.Run("after the answer it does not matter", func(t *testing.T) {
		url, cfg := serve(t, true)
		ctx, cancel := context.WithCancel(t.Context())
		c, _, err := (&websocket.Dialer{Transport: newTransport(t, &Transport{TLSClientConfig: cfg})}).DialContext(ctx, url, nil)
		require.NoError(t, err)
		defer c.Close()
		cancel()
		for range 3 {
			require.NoError(t, c.WriteMessage(websocket.TextMessage, []byte("hello")))
			_, _, err = c.ReadMessage()
			require.NoError(t, err)
		}
	})
}

// silent is a server that accepts connections and says nothing.
func silent(t *testing.T, reached func()) (addr string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	go func() {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		var b [1]byte
		if _, err := nc.Read(b[:]); err == nil {
			reached()
		}
		_, _ = io.Copy(io.Discard, nc)
	}()
	return ln.Addr().String()
}

// mute is a server of HTTP/2 that answers no request.
func mute(t *testing.T, reached func()) (addr string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	go func() {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		c, err := h2wire.NewServer(nc, h2wire.Config{Settings: []xhttp2.Setting{{ID: h2wire.EnableConnect, Val: 1}}})
		if err != nil {
			return
		}
		t.Cleanup(func() { c.Close() })
		if _, err := c.Accept(patience); err == nil {
			reached()
		}
	}()
	return ln.Addr().String()
}

// A connection that is dead is given up, though nothing says so.
func TestTransportGivesDeadConnectionsUp(t *testing.T) {
	var dead atomic.Bool
	var dials atomic.Int32
	tr := newTransport(t, &Transport{Unencrypted: true})
	tr.NetDialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil && dials.Add(1) == 1 {
			nc = &mortal{Conn: nc, dead: &dead, closed: make(chan struct{})}
		}
		return nc, err
	}
	tr.once.Do(tr.prepare)
	for _, h2 := range []*xhttp2.Transport{tr.secure, tr.clear} {
		require.Equal(t, pingAfter, h2.ReadIdleTimeout)
		require.Equal(t, pingTimeout, h2.PingTimeout)
	}
	tr.clear.ReadIdleTimeout, tr.clear.PingTimeout = 50*time.Millisecond, 50*time.Millisecond

	d := &websocket.Dialer{Transport: tr}
	url := "ws://" + serveClear(t)
	c, _ := open(t, d, url)
	dead.Store(true)
	_, _, err := c.ReadMessage()
	require.Error(t, err)
	_, major := open(t, d, url)
	require.Equal(t, 2, major)
	require.EqualValues(t, 2, dials.Load())
}

// mortal is a network connection that carries nothing once it is dead.
type mortal struct {
	net.Conn
	dead   *atomic.Bool
	closed chan struct{}
	once   sync.Once
}

func (c *mortal) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.dead.Load() {
		<-c.closed
		return 0, net.ErrClosed
	}
	return n, err
}

func (c *mortal) Write(p []byte) (int, error) {
	if c.dead.Load() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

func (c *mortal) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}
