package websocket

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"
)

// scriptedConn is a connection in memory: it reads what the test wrote down and
// records what is done to it.
type scriptedConn struct {
	io.Reader
	written     bytes.Buffer
	writes      int
	writeErr    error
	deadlines   []time.Time
	deadlineErr error
	closed      bool
}

func (c *scriptedConn) Write(p []byte) (int, error) {
	if c.writeErr != nil {
		return 0, c.writeErr
	}
	c.writes++
	return c.written.Write(p)
}

func (c *scriptedConn) SetDeadline(t time.Time) error {
	c.deadlines = append(c.deadlines, t)
	return c.deadlineErr
}

func (c *scriptedConn) Close() error                       { c.closed = true; return nil }
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
		name: "permessage-deflate is declined", u: Upgrader{EnableCompression: true, Options: Options{Compression: &Compression{}}},
		old: "Upgrade:", new: "Sec-WebSocket-Extensions: permessage-deflate\r\nUpgrade:", status: 101,
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
	require.Equal(t, []byte(w.early), c.Negotiated().Buffered)
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
	early := o.c.Negotiated().Buffered
	late := make([]byte, len("early and late")-len(early))
	_, err = io.ReadFull(o.c.NetConn(), late)
	require.NoError(t, err)
	require.Equal(t, "early and late", string(early)+string(late))
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
		nc   scriptedConn
	}{
		{"write", scriptedConn{writeErr: os.ErrDeadlineExceeded}},
		{"deadline", scriptedConn{deadlineErr: os.ErrDeadlineExceeded}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			nc := tt.nc
			c, err := new(Upgrader).Upgrade(newHijackable(&nc), parsedRequest(t, plainRequest), nil)
			require.Nil(t, c)
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			require.True(t, nc.closed)

			nc = tt.nc
			nc.Reader = strings.NewReader(plainRequest)
			c, _, err = new(Upgrader).UpgradeConn(&nc)
			require.Nil(t, c)
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			require.True(t, nc.closed)
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
	t.Run("serves", func(t *testing.T) {
		t.Parallel()
		var u Upgrader
		srv := httptest.NewServer(u.Handler(func(c *Conn, r *http.Request) error {
			_, err := io.WriteString(c.NetConn(), r.URL.Path)
			return err
		}))
		defer srv.Close()
		_, resp, br := ask(t, srv.Listener.Addr().String(), plainRequest)
		requireAnswer(t, resp, 101)
		rest, err := io.ReadAll(br)
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(string(rest), "/chat"))
	})
	t.Run("refuses", func(t *testing.T) {
		t.Parallel()
		var u Upgrader
		rec := httptest.NewRecorder()
		u.Handler(nil).ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
		require.Equal(t, 426, rec.Code)
	})
	t.Run("panics", func(t *testing.T) {
		t.Parallel()
		var u Upgrader
		client, server := net.Pipe()
		go io.Copy(io.Discard, client)
		require.PanicsWithValue(t, "boom", func() {
			u.Handler(func(*Conn, *http.Request) error { panic("boom") }).ServeHTTP(newHijackable(server), parsedRequest(t, plainRequest))
		})
		_, err := server.Write([]byte("x"))
		require.ErrorIs(t, err, io.ErrClosedPipe)
	})
}

// malformedRequests are refused with 400 before they are a Request, as edits of
// plainRequest.
var malformedRequests = []struct{ name, old, new string }{
	{"empty line first", "GET", "\r\nGET"},
	{"bare LF", "\r\nUpgrade:", "\nUpgrade:"},
	{"bare CR", "Upgrade: websocket", "Upgrade: web\rsocket"},
	{"CR CR LF", "\r\nUpgrade:", "\r\r\nUpgrade:"},
	{"NUL in a value", "Upgrade: websocket", "Upgrade: web\x00socket"},
	{"NUL in a name", "Upgrade: websocket", "Up\x00grade: websocket"},
	{"NUL in the request line", "/chat", "/ch\x00at"},
	{"DEL in the request line", "/chat", "/ch\x7fat"},
	{"blank before the colon", "Upgrade: websocket", "Upgrade : websocket"},
	{"folded line", "Upgrade: websocket", "Upgrade:\r\n websocket"},
	{"no colon", "Upgrade: websocket", "Upgrade websocket"},
	{"no name", "Upgrade: websocket", ": websocket"},
	{"no Host", "Host: server.example.com\r\n", ""},
	{"no Host with an absolute target", "GET /chat HTTP/1.1\r\nHost: server.example.com", "GET http://server.example.com/chat HTTP/1.1"},
	{"two Hosts", "Upgrade:", "host: server.example.com\r\nUpgrade:"},
	{"no version in the request line", " HTTP/1.1", ""},
	{"two blanks in the request line", "GET /chat", "GET  /chat"},
	{"method that is no token", "GET", "G(T"},
	{"Content-Length that is no number", "Upgrade:", "Content-Length: 5x\r\nUpgrade:"},
	{"two Content-Lengths", "Upgrade:", "Content-Length: 5\r\nContent-Length: 6\r\nUpgrade:"},
	{"unknown Transfer-Encoding", "Upgrade:", "Transfer-Encoding: gzip\r\nUpgrade:"},
}

func TestUpgradeConn(t *testing.T) {
	t.Parallel()
	check := func(t *testing.T, u Upgrader, raw string, status int, want Negotiated) {
		t.Parallel()
		for name, r := range map[string]io.Reader{
			"whole":   strings.NewReader(raw),
			"by byte": iotest.OneByteReader(strings.NewReader(raw)),
			"halves":  iotest.HalfReader(strings.NewReader(raw)),
		} {
			nc := &scriptedConn{Reader: r}
			c, req, err := u.UpgradeConn(nc)
			outcome{c, req, err}.require(t, status, want)
			require.Equal(t, status != 101, nc.closed, name)
			require.Equal(t, 1, nc.writes, name)
			resp := parsedResponse(t, nc.written.String())
			requireAnswer(t, resp, status)
		}
	}
	for _, tt := range openingCases {
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
	for _, tt := range malformedRequests {
		t.Run(tt.name, func(t *testing.T) {
			check(t, Upgrader{}, edit(t, plainRequest, tt.old, tt.new), 400, Negotiated{})
		})
	}
	t.Run("HTTP/2", func(t *testing.T) {
		check(t, Upgrader{}, edit(t, plainRequest, "HTTP/1.1", "HTTP/2.0"), 505, Negotiated{})
	})
	t.Run("header of 64 KiB", func(t *testing.T) {
		filler := strings.Repeat("x", maxHandshake-len(plainRequest)-len("X: \r\n"))
		check(t, Upgrader{}, edit(t, plainRequest, "Upgrade:", "X: "+filler+"\r\nUpgrade:"), 101, Negotiated{})
	})
	t.Run("header over 64 KiB", func(t *testing.T) {
		filler := strings.Repeat("x", maxHandshake-len(plainRequest)-len("X: \r\n")+1)
		check(t, Upgrader{}, edit(t, plainRequest, "Upgrade:", "X: "+filler+"\r\nUpgrade:"), 431, Negotiated{})
	})
	t.Run("header of blanks", func(t *testing.T) {
		check(t, Upgrader{}, edit(t, plainRequest, "Upgrade:", "Sec-WebSocket-Extensions: a"+strings.Repeat(" ", 60<<10)+"b\r\nUpgrade:"), 400, Negotiated{})
	})
}

func TestUpgradeConnRequest(t *testing.T) {
	t.Parallel()
	nc := &scriptedConn{Reader: strings.NewReader(edit(t, plainRequest, "/chat", "/chat?room=1") + "early")}
	c, r, err := new(Upgrader).UpgradeConn(nc)
	require.NoError(t, err)
	require.Equal(t, "early", string(c.Negotiated().Buffered))
	require.Equal(t, "room=1", r.URL.RawQuery)
	require.Equal(t, "server.example.com", r.Host)
	require.Equal(t, "192.0.2.1:1234", r.RemoteAddr)
	require.Nil(t, r.TLS)
	require.Equal(t, plainAnswer, nc.written.String())
	require.Zero(t, nc.deadlines[len(nc.deadlines)-1])
}

func TestUpgradeConnReadErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		r    io.Reader
		want error
	}{
		{"nothing", strings.NewReader(""), io.EOF},
		{"half a header", strings.NewReader(plainRequest[:50]), io.ErrUnexpectedEOF},
		{"timeout", iotest.ErrReader(os.ErrDeadlineExceeded), os.ErrDeadlineExceeded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			nc := &scriptedConn{Reader: tt.r}
			c, r, err := new(Upgrader).UpgradeConn(nc)
			require.Nil(t, c)
			require.Nil(t, r)
			require.ErrorIs(t, err, tt.want)
			require.True(t, nc.closed)
			require.Zero(t, nc.writes)
		})
	}
}

func TestUpgradeConnTimeout(t *testing.T) {
	t.Parallel()
	client, server := net.Pipe()
	defer client.Close()
	u := Upgrader{HandshakeTimeout: time.Nanosecond}
	_, _, err := u.UpgradeConn(server)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
}

// The peer is still sending when it is refused, and must get to read why.
func TestUpgradeConnRefusalIsNotReset(t *testing.T) {
	t.Parallel()
	l := listen(t)
	errs := make(chan error, 1)
	go func() {
		nc, err := l.Accept()
		if err == nil {
			_, _, err = new(Upgrader).UpgradeConn(nc)
		}
		errs <- err
	}()
	_, resp, br := ask(t, l.Addr().String(), "GET / HTTP/1.1\r\nX: "+strings.Repeat("x", 2*maxHandshake))
	requireAnswer(t, resp, 431)
	_, err := io.Copy(io.Discard, br)
	require.NoError(t, err)
	require.NoError(t, l.Close())
}

func TestUpgradeConnTLS(t *testing.T) {
	t.Parallel()
	srv := httptest.NewUnstartedServer(nil)
	srv.StartTLS()
	defer srv.Close()
	client, server := net.Pipe()
	defer client.Close()
	go func() {
		tc := tls.Client(client, &tls.Config{InsecureSkipVerify: true})
		io.WriteString(tc, plainRequest)
		io.Copy(io.Discard, tc)
	}()
	u := Upgrader{AllowedHosts: []string{"https://server.example.com"}}
	c, r, err := u.UpgradeConn(tls.Server(server, srv.TLS))
	require.NoError(t, err)
	require.True(t, r.TLS.HandshakeComplete)
	require.IsType(t, &tls.Conn{}, c.NetConn())
}

func TestAllowsOrigin(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		host    string
		origins []string
		allowed []string
		want    bool
	}{
		{"none", "example.com", nil, nil, true},
		{"same", "example.com", []string{"https://example.com"}, nil, true},
		{"same in another case", "Example.com", []string{"HTTPS://eXample.COM"}, nil, true},
		{"same with a port", "example.com:8080", []string{"http://example.com:8080"}, nil, true},
		{"same IPv6", "[::1]:8080", []string{"http://[::1]:8080"}, nil, true},
		{"default port in the origin", "example.com", []string{"https://example.com:443"}, nil, true},
		{"default port in the host", "example.com:80", []string{"http://example.com"}, nil, true},
		{"trailing slash", "example.com", []string{"http://example.com/"}, nil, true},
		{"WebSocket's own scheme", "example.com", []string{"wss://example.com"}, nil, true},
		{"other host", "example.com", []string{"https://example.org"}, nil, false},
		{"other port", "example.com", []string{"http://example.com:8080"}, nil, false},
		{"the other scheme's port", "example.com", []string{"http://example.com:443"}, nil, false},
		{"host at its own port", "example.com:8080", []string{"http://example.com"}, nil, false},
		{"prefix", "example.com", []string{"https://evil-example.com"}, nil, false},
		{"suffix", "example.com", []string{"https://example.com.evil.org"}, nil, false},
		{"subdomain", "example.com", []string{"https://a.example.com"}, nil, false},
		{"trailing dot", "example.com", []string{"https://example.com."}, nil, false},
		{"user information", "example.com", []string{"https://evil.org@example.com"}, nil, false},
		{"user information the other way", "example.com", []string{"https://example.com@evil.org"}, nil, false},
		{"path", "example.com", []string{"https://example.com/a"}, nil, false},
		{"query", "example.com", []string{"https://example.com?a"}, nil, false},
		{"backslash", "example.com", []string{`https://evil.org\@example.com`}, nil, false},
		{"Kelvin sign", "kexample.com", []string{"https://\u212aexample.com"}, nil, false},
		{"null", "example.com", []string{"null"}, nil, false},
		{"empty", "example.com", []string{""}, nil, false},
		{"no scheme", "example.com", []string{"//example.com"}, nil, false},
		{"scheme that is not the web's", "example.com", []string{"ftp://example.com"}, nil, false},
		{"two", "example.com", []string{"https://example.com", "https://example.com"}, nil, false},
		{"two, with all allowed", "example.com", []string{"https://example.com", "https://example.com"}, []string{"*"}, false},
		{"all", "example.com", []string{"https://example.org"}, []string{"*"}, true},
		{"null, with all allowed", "example.com", []string{"null"}, []string{"*"}, true},
		{"host", "example.com", []string{"https://example.org"}, []string{"example.net", "example.org"}, true},
		{"host in another case", "example.com", []string{"https://example.org"}, []string{"Example.ORG"}, true},
		{"host, another port", "example.com", []string{"https://example.org:8443"}, []string{"example.org"}, false},
		{"host and port", "example.com", []string{"https://example.org:8443"}, []string{"example.org:8443"}, true},
		{"host and default port", "example.com", []string{"https://example.org"}, []string{"example.org:443"}, true},
		{"scheme", "example.com", []string{"https://example.org"}, []string{"HTTPS://example.org"}, true},
		{"another scheme", "example.com", []string{"http://example.org"}, []string{"https://example.org"}, false},
		{"scheme that is not the web's, allowed", "example.com", []string{"chrome-extension://abc"}, []string{"chrome-extension://abc"}, true},
		{"wildcard, one label", "example.com", []string{"https://a.example.org"}, []string{"*.example.org"}, true},
		{"wildcard, two labels", "example.com", []string{"https://a.b.example.org"}, []string{"https://*.example.org"}, true},
		{"wildcard, no label", "example.com", []string{"https://example.org"}, []string{"*.example.org"}, false},
		{"wildcard, empty label", "example.com", []string{"https://.example.org"}, []string{"*.example.org"}, false},
		{"wildcard, suffix without a dot", "example.com", []string{"https://evil-example.org"}, []string{"*.example.org"}, false},
		{"wildcard, another port", "example.com", []string{"https://a.example.org:8443"}, []string{"*.example.org"}, false},
		{"the same is always allowed", "example.com", []string{"https://example.com"}, []string{"example.org"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			u := Upgrader{AllowedOrigins: tt.allowed}
			require.Equal(t, tt.want, u.allowsOrigin(&http.Request{Host: tt.host, Header: http.Header{"Origin": tt.origins}}))
		})
	}
}

func TestAllowsHost(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		host    string
		tls     *tls.ConnectionState
		allowed []string
		want    bool
	}{
		{"no list", "evil.org", nil, nil, true},
		{"listed", "example.com", nil, []string{"example.com"}, true},
		{"listed in another case", "EXAMPLE.com", nil, []string{"example.COM"}, true},
		{"not listed", "evil.org", nil, []string{"example.com"}, false},
		{"default port", "example.com:80", nil, []string{"example.com"}, true},
		{"default port of TLS", "example.com:443", &tls.ConnectionState{}, []string{"example.com"}, true},
		{"other port", "example.com:8080", nil, []string{"example.com"}, false},
		{"port listed", "localhost:8080", nil, []string{"localhost:8080"}, true},
		{"wildcard", "a.example.com", nil, []string{"*.example.com"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			u := Upgrader{AllowedHosts: tt.allowed}
			require.Equal(t, tt.want, u.allowsHost(&http.Request{Host: tt.host, TLS: tt.tls}))
		})
	}
}

// One Upgrader serves many goroutines.
func TestUpgraderConcurrently(t *testing.T) {
	t.Parallel()
	u := &Upgrader{Subprotocols: []string{"chat"}, AllowedOrigins: []string{"*"}}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			_, _, err := u.UpgradeConn(&scriptedConn{Reader: strings.NewReader(plainRequest)})
			require.NoError(t, err)
		})
	}
	wg.Wait()
}

// Whatever comes in: no panic, and either a connection that stays open, or an answer
// or an error and a connection that is closed.
func FuzzHandshakeRequest(f *testing.F) {
	for _, tt := range openingCases {
		f.Add([]byte(edit(f, plainRequest, tt.old, tt.new)))
	}
	for _, tt := range policyCases {
		f.Add([]byte(edit(f, plainRequest, tt.old, tt.new)))
	}
	for _, tt := range malformedRequests {
		f.Add([]byte(edit(f, plainRequest, tt.old, tt.new)))
	}
	f.Add([]byte(plainRequest + "\x81\x80\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		nc := &scriptedConn{Reader: bytes.NewReader(raw)}
		c, r, err := new(Upgrader).UpgradeConn(nc)
		if err != nil {
			require.Nil(t, c)
			require.True(t, nc.closed)
			if _, refused := err.(HandshakeError); refused {
				resp := parsedResponse(t, nc.written.String())
				require.GreaterOrEqual(t, resp.StatusCode, 400)
			}
			return
		}
		require.False(t, nc.closed)
		require.NotNil(t, r)
		require.True(t, bytes.HasSuffix(raw, append([]byte("\r\n\r\n"), c.Negotiated().Buffered...)))
		require.True(t, strings.HasPrefix(nc.written.String(), "HTTP/1.1 101 "))
	})
}
