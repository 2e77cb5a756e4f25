package websocket

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket/internal/wstest"
)

// scriptedConn is a connection in memory: it reads what the test wrote down and
// records what is done to it.
type scriptedConn struct {
	io.Reader
	written     bytes.Buffer
	writes      int
	writeErr    error
	mu          sync.Mutex
	deadlines   []time.Time
	deadlineErr error
	closed      atomic.Bool
}

// requireClosed waits until the connection is closed, which may be left to a
// lingerer.
func (c *scriptedConn) requireClosed(t testing.TB) {
	t.Helper()
	require.Eventually(t, c.closed.Load, 10*time.Second, time.Millisecond)
}

func (c *scriptedConn) Write(p []byte) (int, error) {
	if c.writeErr != nil {
		return 0, c.writeErr
	}
	c.writes++
	return c.written.Write(p)
}

func (c *scriptedConn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadlines = append(c.deadlines, t)
	return c.deadlineErr
}

func (c *scriptedConn) Close() error                       { c.closed.Store(true); return nil }
func (c *scriptedConn) SetReadDeadline(t time.Time) error  { return c.SetDeadline(t) }
func (c *scriptedConn) SetWriteDeadline(t time.Time) error { return c.SetDeadline(t) }
func (c *scriptedConn) LocalAddr() net.Addr                { return &net.TCPAddr{} }
func (c *scriptedConn) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1234}
}

// hijackable is a ResponseWriter as net/http's, over a scriptedConn.
type hijackable struct {
	*httptest.ResponseRecorder
	nc    net.Conn
	early string
	brw   *bufio.ReadWriter
}

func (w *hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.brw = bufio.NewReadWriter(bufio.NewReader(strings.NewReader(w.early)), bufio.NewWriter(w.nc))
	w.brw.Peek(len(w.early))
	return w.nc, w.brw, nil
}

func newHijackable(nc net.Conn) *hijackable {
	return &hijackable{ResponseRecorder: httptest.NewRecorder(), nc: nc}
}

type wrapper struct{ http.ResponseWriter }

func (w wrapper) Unwrap() http.ResponseWriter { return w.ResponseWriter }

type opaque struct{ http.ResponseWriter }

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	return l
}

// ask sends raw to an HTTP server and returns the response and what follows it.
func ask(t testing.TB, addr, raw string) (net.Conn, *http.Response, *bufio.Reader) {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { nc.Close() })
	_, err = io.WriteString(nc, raw)
	require.NoError(t, err)
	br := bufio.NewReader(nc)
	resp, err := http.ReadResponse(br, nil)
	require.NoError(t, err)
	return nc, resp, br
}

// policyCases are requests that depend on the Upgrader, as edits of plainRequest.
var policyCases = []struct {
	name     string
	u        Upgrader
	old, new string
	status   int
	want     Negotiated
}{
	{name: "zero value", status: 101},
	{name: "same origin", old: "Upgrade:", new: "Origin: http://server.example.com\r\nUpgrade:", status: 101},
	{name: "other origin", old: "Upgrade:", new: "Origin: http://example.com\r\nUpgrade:", status: 403},
	{
		name: "other origin allowed", u: Upgrader{AllowedOrigins: []string{"https://example.com"}},
		old: "Upgrade:", new: "Origin: https://example.com\r\nUpgrade:", status: 101,
	},
	{
		name: "CheckOrigin decides alone, yes", u: Upgrader{CheckOrigin: func(*http.Request) bool { return true }},
		old: "Upgrade:", new: "Origin: null\r\nUpgrade:", status: 101,
	},
	{name: "CheckOrigin decides alone, no", u: Upgrader{CheckOrigin: func(*http.Request) bool { return false }, AllowedOrigins: []string{"*"}}, status: 403},
	{name: "host allowed", u: Upgrader{AllowedHosts: []string{"example.org", "server.example.com"}}, status: 101},
	{name: "host not allowed", u: Upgrader{AllowedHosts: []string{"example.org"}}, status: 403},
	{name: "no key", old: "Sec-WebSocket-Key: " + goldenKey + "\r\n", status: 400},
	{name: "short key", old: goldenKey, new: "AQID", status: 400},
	{name: "two keys", old: "Upgrade:", new: "Sec-WebSocket-Key: " + goldenKey + "\r\nUpgrade:", status: 400},
	{name: "malformed extension", old: "Upgrade:", new: "Sec-WebSocket-Extensions: a b\r\nUpgrade:", status: 400},
	{
		name: "permessage-deflate is not spoken",
		old:  "Upgrade:", new: "Sec-WebSocket-Extensions: permessage-deflate\r\nUpgrade:", status: 101,
	},
	{
		name: "subprotocol", u: Upgrader{Subprotocols: []string{"v2", "chat"}},
		old: "Upgrade:", new: "Sec-WebSocket-Protocol: chat, superchat\r\nUpgrade:", status: 101, want: Negotiated{Subprotocol: "chat"},
	},
	{
		name: "no subprotocol in common", u: Upgrader{Subprotocols: []string{"v2"}},
		old: "Upgrade:", new: "Sec-WebSocket-Protocol: chat\r\nUpgrade:", status: 101,
	},
	{
		name: "SelectSubprotocol wins",
		u: Upgrader{
			Subprotocols:      []string{"chat"},
			SelectSubprotocol: func(_ *http.Request, offered []string) (string, error) { return offered[1], nil },
		},
		old: "Upgrade:", new: "Sec-WebSocket-Protocol: chat, superchat\r\nUpgrade:", status: 101, want: Negotiated{Subprotocol: "superchat"},
	},
	{
		name:   "SelectSubprotocol refuses",
		u:      Upgrader{SelectSubprotocol: func(*http.Request, []string) (string, error) { return "", errors.New("too old") }},
		status: 400,
	},
	{
		name:   "SelectSubprotocol makes one up",
		u:      Upgrader{SelectSubprotocol: func(*http.Request, []string) (string, error) { return "chat", nil }},
		status: 500,
	},
}

// requireAnswer checks the response to a request that judge gave status, refusals
// being answered by net/http and by ourselves alike.
func requireAnswer(t testing.TB, resp *http.Response, status int) {
	t.Helper()
	require.Equal(t, status, resp.StatusCode)
	if status == 101 {
		require.Equal(t, goldenAccept, resp.Header.Get("Sec-Websocket-Accept"))
		return
	}
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusText(status)+"\n", string(body))
	require.Equal(t, "13", resp.Header.Get("Sec-Websocket-Version"))
	require.True(t, resp.Close)
	if status == 426 {
		require.Equal(t, "websocket", resp.Header.Get("Upgrade"))
	}
	if status == 405 {
		require.Equal(t, "GET", resp.Header.Get("Allow"))
	}
}

// outcome is what Upgrade or UpgradeConn returned.
type outcome struct {
	c   *Conn
	r   *http.Request
	err error
}

func (o outcome) require(t testing.TB, status int, want Negotiated) {
	t.Helper()
	if status == 101 {
		require.NoError(t, o.err)
		want.Server = true
		require.Equal(t, want, o.c.Negotiated())
		return
	}
	require.Nil(t, o.c)
	require.IsType(t, HandshakeError{}, o.err)
}

func TestUpgrade(t *testing.T) {
	t.Parallel()
	check := func(t *testing.T, u Upgrader, raw string, status int, want Negotiated) {
		t.Parallel()
		outcomes := make(chan outcome, 1)
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, err := u.Upgrade(w, r, nil)
			outcomes <- outcome{c, r, err}
		}))
		defer srv.Close()
		nc, resp, br := ask(t, srv.Listener.Addr().String(), raw)
		o := <-outcomes
		o.require(t, status, want)
		requireAnswer(t, resp, status)
		if status == 101 {
			require.NoError(t, o.c.Close())
		}
		require.NoError(t, nc.(*net.TCPConn).CloseWrite()) // net/http may still wait for a body
		_, err := io.Copy(io.Discard, br)
		require.NoError(t, err)
	}
	for _, tt := range openingCases {
		switch tt.name {
		case "malformed Host", "HEAD": // the first is net/http's to refuse, the second has no body
			continue
		}
		if tt.status == 0 {
			tt.status = 101
		}
		t.Run(tt.name, func(t *testing.T) {
			check(t, Upgrader{}, edit(t, plainRequest, tt.old, tt.new), tt.status, Negotiated{})
		})
	}
	for _, tt := range policyCases {
		t.Run(tt.name, func(t *testing.T) {
			check(t, tt.u, edit(t, plainRequest, tt.old, tt.new), tt.status, tt.want)
		})
	}
}

func TestUpgradeResponseHeader(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		u       Upgrader
		offered string
		extra   http.Header
		status  int
		want    string // subprotocol
	}{
		{"chooses the subprotocol", Upgrader{}, "chat", http.Header{"Sec-Websocket-Protocol": {"chat"}}, 101, "chat"},
		{"in any spelling", Upgrader{}, "chat", http.Header{"Sec-WebSocket-Protocol": {"chat"}}, 101, "chat"},
		{"but after Subprotocols", Upgrader{Subprotocols: []string{}}, "chat", http.Header{"Sec-Websocket-Protocol": {"chat"}}, 101, ""},
		{"not one that was not offered", Upgrader{}, "superchat", http.Header{"Sec-Websocket-Protocol": {"chat"}}, 500, ""},
		{"no extension", Upgrader{}, "", http.Header{"Sec-Websocket-Extensions": {"foo"}}, 500, ""},
		{"no malformed name", Upgrader{}, "", http.Header{"A\r\nB": {"foo"}}, 500, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := parsedRequest(t, plainRequest)
			r.Header.Set("Sec-Websocket-Protocol", tt.offered)
			nc := &scriptedConn{}
			w := newHijackable(nc)
			c, err := tt.u.Upgrade(w, r, tt.extra)
			outcome{c, r, err}.require(t, tt.status, Negotiated{Subprotocol: tt.want})
			if tt.status != 101 {
				require.Equal(t, tt.status, w.Code)
				return
			}
			require.Equal(t, 1, strings.Count(nc.written.String()+"Sec-WebSocket-Protocol: ", "Sec-WebSocket-Protocol: "+tt.want))
		})
	}
}

func TestUpgradeKeepsEarlyBytesAndEmptiesBuffers(t *testing.T) {
	t.Parallel()
	nc := &scriptedConn{}
	w := newHijackable(nc)
	w.early = "\x89\x80\x00\x00\x00\x00"
	c, err := new(Upgrader).Upgrade(w, parsedRequest(t, plainRequest), nil)
	require.NoError(t, err)
	require.Equal(t, w.early, early(c))
	require.Zero(t, *w.brw.Reader)
	require.Zero(t, *w.brw.Writer)
	require.Same(t, nc, c.NetConn())
	require.Equal(t, plainAnswer, nc.written.String())
	require.Equal(t, 1, nc.writes)
}

// Over a real server: the bytes glued to the request are not lost, and its timeouts
// no longer hold.
func TestUpgradeGluedBytes(t *testing.T) {
	t.Parallel()
	outcomes := make(chan outcome, 1)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := new(Upgrader).Upgrade(w, r, nil)
		outcomes <- outcome{c, r, err}
	}))
	srv.Config.ReadTimeout = time.Minute
	srv.Start()
	defer srv.Close()
	nc, resp, _ := ask(t, srv.Listener.Addr().String(), plainRequest+"early")
	requireAnswer(t, resp, 101)
	_, err := io.WriteString(nc, " and late")
	require.NoError(t, err)
	o := <-outcomes
	require.NoError(t, o.err)
	got := early(o.c)
	late := make([]byte, len("early and late")-len(got))
	_, err = io.ReadFull(o.c.NetConn(), late)
	require.NoError(t, err)
	require.Equal(t, "early and late", got+string(late))
}

func TestUpgradeDeadlines(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		timeout time.Duration
		want    time.Duration // 0 is none
	}{
		{"default", 0, 10 * time.Second},
		{"given", time.Hour, time.Hour},
		{"none", -1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			nc := &scriptedConn{}
			u := Upgrader{HandshakeTimeout: tt.timeout}
			_, err := u.Upgrade(newHijackable(nc), parsedRequest(t, plainRequest), nil)
			require.NoError(t, err)
			require.Len(t, nc.deadlines, 2)
			require.Zero(t, nc.deadlines[1])
			if tt.want == 0 {
				require.Zero(t, nc.deadlines[0])
				return
			}
			require.WithinDuration(t, time.Now().Add(tt.want), nc.deadlines[0], 5*time.Second)
		})
	}
}

func TestUpgradeNetworkErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		nc   func() *scriptedConn
	}{
		{"write", func() *scriptedConn { return &scriptedConn{writeErr: os.ErrDeadlineExceeded} }},
		{"deadline", func() *scriptedConn { return &scriptedConn{deadlineErr: os.ErrDeadlineExceeded} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			nc := tt.nc()
			c, err := new(Upgrader).Upgrade(newHijackable(nc), parsedRequest(t, plainRequest), nil)
			require.Nil(t, c)
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			nc.requireClosed(t)

			nc = tt.nc()
			nc.Reader = strings.NewReader(plainRequest)
			c, _, err = new(Upgrader).UpgradeConn(nc)
			require.Nil(t, c)
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			nc.requireClosed(t)
		})
	}
}

func TestUpgradeHijacker(t *testing.T) {
	t.Parallel()
	t.Run("behind wrappers", func(t *testing.T) {
		t.Parallel()
		nc := &scriptedConn{}
		_, err := new(Upgrader).Upgrade(wrapper{wrapper{newHijackable(nc)}}, parsedRequest(t, plainRequest), nil)
		require.NoError(t, err)
		require.Equal(t, plainAnswer, nc.written.String())
	})
	for _, tt := range []struct {
		name  string
		w     func(http.ResponseWriter) http.ResponseWriter
		major int
		want  string
	}{
		{
			"hidden", func(w http.ResponseWriter) http.ResponseWriter { return wrapper{opaque{w}} }, 1,
			"websocket: response does not implement http.Hijacker: websocket.opaque has neither a Hijack nor an Unwrap method",
		},
		{
			"HTTP/2", func(w http.ResponseWriter) http.ResponseWriter { return wrapper{opaque{w}} }, 2,
			"websocket: response does not implement http.Hijacker: the request came over HTTP/2",
		},
		{
			"hijacked before", func(w http.ResponseWriter) http.ResponseWriter { return hijacked{w} }, 1,
			"websocket: hijacking the HTTP connection: http: connection has been hijacked",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			rec := httptest.NewRecorder()
			r := parsedRequest(t, plainRequest)
			r.ProtoMajor = tt.major
			_, err := new(Upgrader).Upgrade(tt.w(rec), r, nil)
			require.IsType(t, HandshakeError{}, err)
			require.EqualError(t, err, tt.want)
			require.Equal(t, 500, rec.Code)
		})
	}
}

type hijacked struct{ http.ResponseWriter }

func (w hijacked) Hijack() (net.Conn, *bufio.ReadWriter, error) { return nil, nil, http.ErrHijacked }

// A request over HTTP/2 that is no extended CONNECT has no Connection header, and its
// answer must not have one either (RFC 9113, section 8.2.2).
func TestUpgradeRefusesHTTP2(t *testing.T) {
	t.Parallel()
	errs := make(chan error, 1)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := new(Upgrader).Upgrade(w, r, nil)
		errs <- err
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	resp, err := srv.Client().Get(srv.URL)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, 2, resp.ProtoMajor)
	require.Equal(t, 426, resp.StatusCode)
	require.Empty(t, resp.Header.Get("Upgrade"))
	require.ErrorContains(t, <-errs, "HTTP/2.0")
}

func TestUpgradeErrorHook(t *testing.T) {
	t.Parallel()
	w := newHijackable(&scriptedConn{})
	r := parsedRequest(t, edit(t, plainRequest, "websocket", "h2c"))
	var reported error
	u := Upgrader{Error: func(w http.ResponseWriter, _ *http.Request, status int, reason error) {
		require.Equal(t, "websocket", w.Header().Get("Upgrade"))
		require.Equal(t, 426, status)
		reported = reason
		w.WriteHeader(http.StatusTeapot)
	}}
	_, err := u.Upgrade(w, r, nil)
	require.True(t, err == reported)
	require.IsType(t, HandshakeError{}, err)
	require.Equal(t, http.StatusTeapot, w.Code)
}

func TestDeprecatedUpgrade(t *testing.T) {
	t.Parallel()
	nc := &scriptedConn{}
	c, err := Upgrade(newHijackable(nc), parsedRequest(t, edit(t, plainRequest, "Upgrade:", "Origin: null\r\nUpgrade:")), nil, 1024, 1024)
	require.NoError(t, err)
	require.True(t, c.Negotiated().Server)
	require.Equal(t, plainAnswer, nc.written.String())

	w := newHijackable(nc)
	_, err = Upgrade(w, parsedRequest(t, edit(t, plainRequest, "GET", "POST")), nil, 0, 0)
	require.IsType(t, HandshakeError{}, err)
	require.Empty(t, w.Header())
	require.Empty(t, w.Body.String())
}

func TestHandler(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		serve func(c *Conn) error
		want  error
	}{
		{"serves", func(c *Conn) error { return nil }, &CloseError{Code: 1000}},
		{"a close code of its own", func(c *Conn) error { return &CloseError{Code: 4001, Text: "bye"} }, &CloseError{Code: 4001, Text: "bye"}},
		{"fails", func(c *Conn) error { return errors.New("secret") }, &CloseError{Code: 1011}},
		{"a deadline of its own", func(c *Conn) error { return context.DeadlineExceeded }, &CloseError{Code: 1011}},
		{"panics", func(c *Conn) error { panic("boom") }, &CloseError{Code: 1011}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewUnstartedServer(new(Upgrader).Handler(func(c *Conn, r *http.Request) error {
				if err := c.WriteMessage(TextMessage, []byte(r.URL.Path)); err != nil {
					return err
				}
				return tt.serve(c)
			}))
			srv.Config.ErrorLog = log.New(io.Discard, "", 0) // for the panic
			srv.Start()
			defer srv.Close()
			c, _, err := new(Dialer).Dial(wsURL(srv)+"/chat", nil)
			require.NoError(t, err)
			defer c.Close()
			_, p, err := c.ReadMessage()
			require.NoError(t, err)
			require.Equal(t, "/chat", string(p))
			_, _, err = c.ReadMessage()
			require.Equal(t, tt.want, err)
		})
	}
	t.Run("refuses", func(t *testing.T) {
		t.Parallel()
		rec := httptest.NewRecorder()
		new(Upgrader).Handler(nil).ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
		require.Equal(t, 426, rec.Code)
	})
	t.Run("lets a panic go on", func(t *testing.T) {
		t.Parallel()
		client, server := net.Pipe()
		go func() {
			peer := wstest.NewClient(t, client)
			_, _ = http.ReadResponse(bufio.NewReader(client), nil)
			peer.ExpectClose(1011)
			peer.Send(wstest.CloseFrame(1011, ""))
		}()
		require.PanicsWithValue(t, "boom", func() {
			new(Upgrader).Handler(func(*Conn, *http.Request) error { panic("boom") }).ServeHTTP(newHijackable(server), parsedRequest(t, plainRequest))
		})
		_, err := server.Write([]byte("x"))
		require.ErrorIs(t, err, io.ErrClosedPipe)
	})
}

// One Upgrader serves many goroutines.
func TestUpgraderConcurrently(t *testing.T) {
	t.Parallel()
	u := &Upgrader{Subprotocols: []string{"chat"}, AllowedOrigins: []string{"*"}}
	errs := make(chan error)
	for range 8 {
		go func() {
			_, _, err := u.UpgradeConn(&scriptedConn{Reader: strings.NewReader(plainRequest)})
			errs <- err
		}()
	}
	for range 8 {
		require.NoError(t, <-errs)
	}
}

// hijackedBare is a wrapper that keeps the buffers to itself.
type hijackedBare struct{ *hijackable }

func (w hijackedBare) Hijack() (net.Conn, *bufio.ReadWriter, error) { return w.nc, nil, nil }

func TestUpgradeWithoutBuffers(t *testing.T) {
	t.Parallel()
	nc := &scriptedConn{}
	_, err := new(Upgrader).Upgrade(hijackedBare{newHijackable(nc)}, parsedRequest(t, plainRequest), nil)
	require.NoError(t, err)
	require.Equal(t, plainAnswer, nc.written.String())
}

// What Upgrade makes of a request before it has the connection.
func TestJudgeAllocations(t *testing.T) {
	for _, tt := range []struct {
		name string
		u    Upgrader
		want float64
	}{
		{"zero value", Upgrader{}, 0},
		{"origins", Upgrader{AllowedOrigins: []string{"https://*.example.com:8080"}, AllowedHosts: []string{"*.example.com:8080"}}, 0},
		{"permessage-deflate", Upgrader{EnableCompression: true}, 4},
	} {
		r := parsedRequest(t, browserRequest)
		buf := borrowBuffer(0)
		got := testing.AllocsPerRun(100, func() {
			if _, err := tt.u.judge(buf, r, nil); err != nil {
				t.Error(err)
			}
		})
		require.LessOrEqual(t, got, tt.want, tt.name)
	}
}

// BenchmarkUpgrade is through net/http, the client being part of it; "hijack" does no
// more than take the connection from net/http and write an answer.
func BenchmarkUpgrade(b *testing.B) {
	serve := func(b *testing.B, raw string, h http.Handler) {
		b.ReportAllocs()
		srv := httptest.NewServer(h)
		defer srv.Close()
		for b.Loop() {
			nc, err := net.Dial("tcp", srv.Listener.Addr().String())
			require.NoError(b, err)
			_, err = io.WriteString(nc, raw)
			require.NoError(b, err)
			_, err = io.Copy(io.Discard, nc)
			require.NoError(b, err)
			require.NoError(b, nc.(*net.TCPConn).SetLinger(0)) // no TIME_WAIT
			require.NoError(b, nc.Close())
		}
	}
	b.Run("hijack", func(b *testing.B) {
		serve(b, browserRequest, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			nc, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_, err = nc.Write(constantAnswer)
			}
			if err == nil {
				err = nc.Close()
			}
			if err != nil {
				b.Error(err)
			}
		}))
	})
	for _, bb := range upgradeBenchmarks {
		b.Run(bb.name, func(b *testing.B) {
			serve(b, bb.raw, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				c, err := bb.u.Upgrade(w, r, nil)
				if err == nil {
					err = c.Close()
				}
				if err != nil {
					b.Error(err)
				}
			}))
		})
	}
}
