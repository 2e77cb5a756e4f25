package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/websockettest"
)

// patience keeps a test from hanging; nothing takes so long.
const patience = 30 * time.Second

// A proxy must leave no goroutine behind, however its connections end.
func TestMain(m *testing.M) {
	before := runtime.NumGoroutine()
	code := m.Run()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	for end := time.Now().Add(patience); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			stacks := make([]byte, 1<<20)
			fmt.Printf("goroutines are left:\n%s\n", stacks[:runtime.Stack(stacks, true)])
			code = 1
			break
		}
	}
	os.Exit(code)
}

// before returns a server that is a proxy before the backend.
func before(t *testing.T, backend http.Handler, cfg config) *websockettest.Server {
	t.Helper()
	cfg.stall = patience
	p, err := newProxy(websockettest.NewServer(t, backend).URL, cfg)
	require.NoError(t, err)
	t.Cleanup(p.transport.CloseIdleConnections)
	return websockettest.NewServer(t, p)
}

// scripted returns the two ends of connections that were joined, as they say and see frames.
func scripted(t *testing.T) (client, backend *websockettest.Peer) {
	t.Helper()
	handler := &websockettest.PeerHandler{}
	client = before(t, handler, config{}).DialPeer(t, "/", nil)
	return client, handler.Accept(t)
}

// echo answers every message with itself, and says what was negotiated.
func echo(upgrader websocket.Upgrader, negotiated chan<- websocket.Negotiated) http.Handler {
	return upgrader.Handler(func(c *websocket.Conn, r *http.Request) error {
		negotiated <- c.Negotiated()
		return c.Serve(r.Context(), func(m websocket.Message) error { return c.WriteMessage(m.Type, m.Data) })
	})
}

func TestMessages(t *testing.T) {
	compressing := websocket.Options{Compression: &websocket.Compression{}}
	for _, tt := range []struct {
		name            string
		client, backend websocket.Options
		cfg             config
		clientHas       bool // compression, after all
		backendHas      bool
	}{
		{"neither compresses", websocket.Options{}, websocket.Options{}, config{compress: true}, false, false},
		{"both do", compressing, compressing, config{compress: true}, true, true},
		{"the client does", compressing, websocket.Options{}, config{compress: true}, true, false},
		{"the backend does", websocket.Options{}, compressing, config{compress: true}, false, true},
		{"the proxy does not", compressing, compressing, config{}, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			negotiated := make(chan websocket.Negotiated, 1)
			s := before(t, echo(websocket.Upgrader{Options: tt.backend}, negotiated), tt.cfg)
			s.Dialer.Options = tt.client
			c := s.Dial(t, "/ws", nil)
			require.Equal(t, tt.clientHas, c.Negotiated().Compression != nil)
			require.Equal(t, tt.backendHas, (<-negotiated).Compression != nil)
			for _, m := range []websocket.Message{
				{Type: websocket.TextMessage, Data: []byte("hello")},
				{Type: websocket.TextMessage, Data: []byte{}},
				{Type: websocket.BinaryMessage, Data: []byte{0, 255}},
				{Type: websocket.TextMessage, Data: bytes.Repeat([]byte("every word "), 50_000)},
				{Type: websocket.BinaryMessage, Data: bytes.Repeat([]byte{0, 1, 2, 255}, 1<<18)},
			} {
				require.NoError(t, c.WriteMessage(m.Type, m.Data))
				messageType, p, err := c.ReadMessage()
				require.NoError(t, err)
				require.Equal(t, m.Type, messageType)
				require.True(t, bytes.Equal(m.Data, p))
			}
		})
	}
}

// A fragment arrives although the message goes on, and after it the rest.
func TestMessagesAreStreamed(t *testing.T) {
	t.Parallel()
	client, backend := scripted(t)
	fragment := strings.Repeat("x", 100_000)
	got := 0
	receive := func(atLeast int) (last websockettest.Frame) {
		for got < atLeast {
			last = backend.Receive()
			got += len(last.Payload)
		}
		return last
	}
	client.Send(websockettest.Frame{Opcode: websocket.BinaryMessage, Payload: fragment, More: true})
	require.True(t, receive(len(fragment)-4096).More, "all but the proxy's buffer")
	client.Send(websockettest.Ping("between")) // may go between fragments
	for f := backend.Receive(); f != websockettest.Ping("between"); f = backend.Receive() {
		got += len(f.Payload)
	}
	client.Send(websockettest.Frame{Payload: fragment})
	require.False(t, receive(2*len(fragment)).More)
	require.Equal(t, 2*len(fragment), got)
}

// A message that breaks off does so at the other end.
func TestHalfAMessage(t *testing.T) {
	t.Parallel()
	failed := make(chan error, 1)
	var upgrader websocket.Upgrader
	s := before(t, upgrader.Handler(func(c *websocket.Conn, r *http.Request) error {
		_, _, err := c.ReadMessage()
		failed <- err
		return err
	}), config{})
	client := s.DialPeer(t, "/", nil)
	client.Send(websockettest.Frame{Opcode: websocket.TextMessage, Payload: strings.Repeat("x", 10_000), More: true})
	client.Close()
	require.True(t, websocket.IsCloseError(<-failed, websocket.CloseAbnormalClosure))
}

func TestPingsAndPongs(t *testing.T) {
	t.Parallel()
	client, backend := scripted(t)
	client.Send(websockettest.Ping("a"))
	backend.Expect(websockettest.Ping("a"))
	backend.Send(websockettest.Pong("a"))
	client.Expect(websockettest.Pong("a")) // and none of the proxy's own before it

	backend.Send(websockettest.Text("first"), websockettest.Ping("b"), websockettest.Text("last"))
	client.Expect(websockettest.Text("first"), websockettest.Ping("b"), websockettest.Text("last"))
	client.Send(websockettest.Pong("b"), websockettest.Pong("nobody asked"))
	backend.Expect(websockettest.Pong("b"), websockettest.Pong("nobody asked"))
}

func TestCloses(t *testing.T) {
	type closing struct {
		code   int // 0 is a close frame without one
		reason string
	}
	for _, tt := range []struct {
		name          string
		first, answer closing
	}{
		{"as usual", closing{1000, "bye"}, closing{1000, "bye"}},
		{"of its own", closing{4001, "logged out"}, closing{1000, ""}},
		{"another answer", closing{1001, ""}, closing{4999, "too bad"}},
		{"without a code", closing{}, closing{}},
		{"an error", closing{1011, "oh no"}, closing{1011, "oh no"}},
		{"the longest reason", closing{1000, strings.Repeat("z", 123)}, closing{}},
	} {
		for _, who := range []string{"client", "backend"} {
			t.Run(tt.name+"/"+who, func(t *testing.T) {
				t.Parallel()
				client, backend := scripted(t)
				first, second := client, backend
				if who == "backend" {
					first, second = backend, client
				}
				first.Send(websockettest.Text("last words"), websockettest.Close(tt.first.code, tt.first.reason))
				second.Expect(websockettest.Text("last words"))
				require.Equal(t, tt.first.reason, second.ExpectClose(tt.first.code))
				second.Send(websockettest.Text("on its way"), websockettest.Close(tt.answer.code, tt.answer.reason))
				first.Expect(websockettest.Text("on its way"))
				require.Equal(t, tt.answer.reason, first.ExpectClose(tt.answer.code))
				client.ExpectEnd()
				backend.Close() // it is the server's part to end the connection
			})
		}
	}
}

func TestDropped(t *testing.T) {
	for name, end := range map[string]func(p *websockettest.Peer){
		"ended": (*websockettest.Peer).Close,
		"reset": (*websockettest.Peer).Reset,
	} {
		for _, who := range []string{"client", "backend"} {
			t.Run(name+"/"+who, func(t *testing.T) {
				t.Parallel()
				client, backend := scripted(t)
				first, second := client, backend
				if who == "backend" {
					first, second = backend, client
				}
				first.Send(websockettest.Text("hello"))
				second.Expect(websockettest.Text("hello"))
				end(first)
				second.ExpectEnd() // without a close frame
			})
		}
	}
}

// Who breaks the rules is told so by the proxy; the other end has nothing to do with it.
func TestBrokenRule(t *testing.T) {
	t.Parallel()
	client, backend := scripted(t)
	client.Send(websockettest.Frame{Opcode: 3})
	client.ExpectClose(websocket.CloseProtocolError)
	backend.ExpectEnd()
}

// A backend that does not answer a close frame is not waited for.
func TestCloseIsNotAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler := &websockettest.PeerHandler{Timeout: -1}
		backends := websockettest.NewMemoryServer(t, handler)
		p, err := newProxy(backends.URL, config{stall: time.Hour})
		require.NoError(t, err)
		p.dialer.NetDialContext = backends.NetDialContext
		client := websockettest.NewMemoryServer(t, p).DialPeer(t, "/", nil)
		backend := handler.Accept(t)
		client.Timeout = -1
		client.Send(websockettest.Close(1000, ""))
		backend.ExpectClose(1000)
		client.ExpectEnd()
		backend.ExpectEnd()
	})
}

// While the backend does not read, the client has to wait, and the proxy holds little.
func TestBackpressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const messages, size = 96, 64 << 10
		read := make(chan struct{})
		var got int
		var upgrader websocket.Upgrader
		backends := websockettest.NewMemoryServer(t, upgrader.Handler(func(c *websocket.Conn, r *http.Request) error {
			<-read
			for m, err := range c.Messages(r.Context()) {
				if err != nil {
					return err
				}
				got += len(m.Data)
			}
			return nil
		}))
		p, err := newProxy(backends.URL, config{stall: time.Hour})
		require.NoError(t, err)
		p.dialer.NetDialContext = backends.NetDialContext
		c := websockettest.NewMemoryServer(t, p).Dial(t, "/", nil)
		sent := make(chan error, 1)
		go func() {
			for range messages {
				if err := c.WriteMessage(websocket.BinaryMessage, make([]byte, size)); err != nil {
					sent <- err
					return
				}
			}
			sent <- nil
		}()
		synctest.Wait()
		require.Less(t, c.Stats().WireWritten, int64(2<<20+256<<10), "two networks hold 1 MiB each")
		close(read)
		require.NoError(t, <-sent)
		require.NoError(t, c.Shutdown(t.Context(), websocket.CloseNormalClosure, ""))
		require.Equal(t, messages*size, got)
	})
}

func TestSubprotocols(t *testing.T) {
	for _, tt := range []struct {
		name            string
		client, backend []string
		want            string
	}{
		{"the backend chooses", []string{"a", "b"}, []string{"b", "a"}, "b"},
		{"nothing in common", []string{"a"}, []string{"b"}, ""},
		{"none offered", nil, []string{"b"}, ""},
		{"none spoken", []string{"a"}, nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			negotiated := make(chan websocket.Negotiated, 1)
			s := before(t, echo(websocket.Upgrader{Subprotocols: tt.backend}, negotiated), config{})
			s.Dialer.Subprotocols = tt.client
			c := s.Dial(t, "/", nil)
			require.Equal(t, tt.want, (<-negotiated).Subprotocol)
			require.Equal(t, tt.want, c.Subprotocol())
		})
	}
}

func TestHeaders(t *testing.T) {
	for _, tt := range []struct {
		name  string
		trust bool
		sent  http.Header
		want  http.Header // nil values are not there
	}{
		{"what the client says", false, http.Header{"Cookie": {"a=b"}, "Authorization": {"Bearer x"}, "X-Own": {"1", "2"}, "Origin": {"http://example.com"}},
			http.Header{"Cookie": {"a=b"}, "Authorization": {"Bearer x"}, "X-Own": {"1", "2"}, "Origin": {"http://example.com"}}},
		{"who the client is", false, http.Header{"Host": {"example.com"}},
			http.Header{"X-Forwarded-For": {"127.0.0.1"}, "X-Forwarded-Host": {"example.com"}, "X-Forwarded-Proto": {"http"}}},
		{"a client that lies", false, http.Header{"Host": {"example.com"}, "X-Forwarded-For": {"10.0.0.1"}, "X-Forwarded-Proto": {"https"}, "Forwarded": {"for=10.0.0.1"}, "X-Forwarded-Host": {"evil"}},
			http.Header{"X-Forwarded-For": {"127.0.0.1"}, "X-Forwarded-Host": {"example.com"}, "X-Forwarded-Proto": {"http"}, "Forwarded": nil}},
		{"a client that lies otherwise", false, http.Header{"X-Real-Ip": {"10.0.0.1"}, "X-Forwarded-Port": {"443"}, "X-Forwarded-Prefix": {"/x"}, "X_forwarded_for": {"10.0.0.1"}, "True-Client-Ip": {"10.0.0.1"}},
			http.Header{"X-Real-Ip": nil, "X-Forwarded-Port": nil, "X-Forwarded-Prefix": nil, "X_forwarded_for": nil, "True-Client-Ip": nil, "X-Forwarded-For": {"127.0.0.1"}}},
		{"what else a proxy before this one says", true, http.Header{"X-Real-Ip": {"10.0.0.1"}, "X-Forwarded-Port": {"443"}},
			http.Header{"X-Real-Ip": {"10.0.0.1"}, "X-Forwarded-Port": {"443"}}},
		{"a proxy before this one", true, http.Header{"Host": {"inner"}, "X-Forwarded-For": {"10.0.0.1"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"example.com"}},
			http.Header{"X-Forwarded-For": {"10.0.0.1, 127.0.0.1"}, "X-Forwarded-Host": {"example.com"}, "X-Forwarded-Proto": {"https"}}},
		{"of this connection only", false, http.Header{"Connection": {"Upgrade, X-Hop"}, "X-Hop": {"1"}, "Te": {"trailers"}, "Proxy-Authorization": {"Basic x"}},
			http.Header{"X-Hop": nil, "Te": nil, "Proxy-Authorization": nil}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			handler := &websockettest.PeerHandler{Header: http.Header{"Set-Cookie": {"c=d", "e=f"}, "X-Answer": {"yes"}}}
			client := before(t, handler, config{trust: tt.trust}).DialPeer(t, "/a%2Fb?c=d&c=e", tt.sent)
			backend := handler.Accept(t)
			for name, values := range tt.want {
				require.Equal(t, values, backend.Request.Header[name], name)
			}
			if host := tt.sent.Get("Host"); host != "" {
				require.Equal(t, host, backend.Request.Host)
			}
			require.Equal(t, "/a%2Fb?c=d&c=e", backend.Request.RequestURI)
			require.Equal(t, []string{"c=d", "e=f"}, client.Response.Header["Set-Cookie"])
			require.Equal(t, "yes", client.Response.Header.Get("X-Answer"))
		})
	}
}

// Pages are no tunnel for protocols that the proxy does not know.
func TestOtherUpgrades(t *testing.T) {
	for _, protocol := range []string{"h2c", "foo", "websocket/12", "TLS/1.0, foo"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			got := make(chan http.Header, 1)
			s := before(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				got <- r.Header
				if r.Header.Get("Upgrade") != "" {
					w.Header().Set("Connection", "Upgrade")
					w.Header().Set("Upgrade", r.Header.Get("Upgrade"))
					w.WriteHeader(http.StatusSwitchingProtocols)
				}
			}), config{})
			r, err := http.NewRequestWithContext(t.Context(), "GET", "http"+strings.TrimPrefix(s.URL, "ws"), nil)
			require.NoError(t, err)
			r.Header = http.Header{"Connection": {"Upgrade, HTTP2-Settings"}, "Upgrade": {protocol}, "Http2-Settings": {"AAMAAABk"}, "X-Real-Ip": {"10.0.0.1"}}
			resp, err := http.DefaultClient.Do(r)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.Equal(t, http.StatusOK, resp.StatusCode)
			header := <-got
			for _, name := range []string{"Connection", "Upgrade", "Http2-Settings", "X-Real-Ip"} {
				require.NotContains(t, header, name)
			}
		})
	}
}

// The backend hears nothing of a request that would not become a WebSocket.
func TestNoHandshake(t *testing.T) {
	for _, tt := range []struct {
		name, method, body string
		header             http.Header // besides those of a handshake, or in place of them
		status             int
	}{
		{"another method", "POST", "", nil, http.StatusMethodNotAllowed},
		{"a body", "GET", "hello", nil, http.StatusBadRequest},
		{"a short key", "GET", "", http.Header{"Sec-Websocket-Key": {"c2hvcnQ="}}, http.StatusBadRequest},
		{"no key", "GET", "", http.Header{"Sec-Websocket-Key": nil}, http.StatusBadRequest},
		{"another version", "GET", "", http.Header{"Sec-Websocket-Version": {"8"}}, http.StatusBadRequest},
		{"no subprotocol", "GET", "", http.Header{"Sec-Websocket-Protocol": {"fine, not@one"}}, http.StatusBadRequest},
		{"no extension", "GET", "", http.Header{"Sec-Websocket-Extensions": {"a;;b"}}, http.StatusBadRequest},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int32
			s := before(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }), config{compress: true})
			r, err := http.NewRequestWithContext(t.Context(), tt.method, "http"+strings.TrimPrefix(s.URL, "ws"), strings.NewReader(tt.body))
			require.NoError(t, err)
			r.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}}
			maps.Copy(r.Header, tt.header)
			resp, err := http.DefaultClient.Do(r)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.Equal(t, tt.status, resp.StatusCode)
			require.Zero(t, asked.Load())
		})
	}
}

// record is an output that may be read while it is written.
type record struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.String()
}

// Words of either end are no lines of the log. The log is everybody's, and so this test runs alone.
func TestLogQuotes(t *testing.T) {
	logged := &record{}
	log.SetOutput(logged)
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
	handler := &websockettest.PeerHandler{}
	p, err := newProxy(websockettest.NewServer(t, handler).URL, config{stall: patience})
	require.NoError(t, err)
	served := make(chan struct{}, 1)
	s := websockettest.NewServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.ServeHTTP(w, r)
		served <- struct{}{}
	}))
	client := s.DialPeer(t, "/a%0Aforged%1B", nil)
	backend := handler.Accept(t)
	client.Send(websockettest.Close(1000, "bye\nforged"))
	require.Equal(t, "bye\nforged", backend.ExpectClose(1000))
	backend.Send(websockettest.Close(1000, "bye\nforged")) // the same, for either end may be the first to be logged
	client.ExpectClose(1000)
	<-served
	require.Regexp(t, `"/a\\nforged\\x1b": ".* bye\\nforged"; 0 messages`, logged.String())
	require.NotContains(t, logged.String(), "\nforged")
}

// timed has the program's own server before the backend, on a clock that does not wait.
func timed(t *testing.T, backend http.Handler) *websockettest.Listener {
	t.Helper()
	backends := websockettest.NewMemoryServer(t, backend)
	p, err := newProxy(backends.URL, config{stall: time.Minute})
	require.NoError(t, err)
	p.dialer.NetDialContext = backends.NetDialContext
	p.transport.DialContext = backends.NetDialContext
	ln := websockettest.Listen()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	return ln
}

// Whoever announces a request and does not send it is not waited for.
func TestHalfARequest(t *testing.T) {
	for name, request := range map[string]string{
		"half a header": "GET / HTTP/1.1\r\nHost: ",
		"no body":       "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n",
		"half a body":   "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhello",
		"no answer":     "POST /at-once HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n",
		"no WebSocket":  "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ln := timed(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path != "/at-once" {
						io.Copy(io.Discard, r.Body)
					}
				}))
				nc, err := ln.NetDialContext(t.Context(), "tcp", "")
				require.NoError(t, err)
				defer nc.Close()
				_, err = io.WriteString(nc, request)
				require.NoError(t, err)
				_, err = io.Copy(io.Discard, nc)
				require.NoError(t, err)
			})
		})
	}
}

// An upload goes on for as long as something comes, and then the backend may take its time.
func TestSlowPage(t *testing.T) {
	for name, length := range map[string]int64{"with a length": 30, "in chunks": -1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ln := timed(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					p, err := io.ReadAll(r.Body)
					time.Sleep(time.Hour)
					fmt.Fprint(w, len(p), err)
				}))
				body, write := io.Pipe()
				go func() {
					for range 30 {
						time.Sleep(50 * time.Second)
						io.WriteString(write, "x")
					}
					write.Close()
				}()
				r, err := http.NewRequestWithContext(t.Context(), "POST", "http://localhost/", body)
				require.NoError(t, err)
				r.ContentLength = length
				transport := &http.Transport{DialContext: ln.NetDialContext, DisableKeepAlives: true}
				resp, err := transport.RoundTrip(r)
				require.NoError(t, err)
				defer resp.Body.Close()
				answer, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				require.Equal(t, "30<nil>", strings.ReplaceAll(string(answer), " ", ""))
			})
		})
	}
}

// The time that a request may take is none for what it becomes.
func TestIdleWebSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := timed(t, echo(websocket.Upgrader{}, make(chan websocket.Negotiated, 1)))
		c, _, err := (&websocket.Dialer{NetDialContext: ln.NetDialContext}).DialContext(t.Context(), "ws://localhost/", nil)
		require.NoError(t, err)
		defer c.Close()
		time.Sleep(time.Hour)
		require.NoError(t, c.WriteMessage(websocket.TextMessage, []byte("still here")))
		_, p, err := c.ReadMessage()
		require.NoError(t, err)
		require.Equal(t, "still here", string(p))
	})
}

// A length without a body would have the backend take what follows for one.
func TestNoBodyIsAnnounced(t *testing.T) {
	t.Parallel()
	p, err := newProxy("http://localhost", config{})
	require.NoError(t, err)
	r := httptest.NewRequest("GET", "/ws", strings.NewReader("12345"))
	r.Header = http.Header{"Content-Length": {"5"}, "Expect": {"100-continue"}, "Transfer-Encoding": {"chunked"}, "Sec-Websocket-Key": {"x"}, ":protocol": {"websocket"}}
	require.Equal(t, http.Header{"X-Forwarded-For": {"192.0.2.1"}, "X-Forwarded-Host": {"example.com"}, "X-Forwarded-Proto": {"http"}}, p.request(r).Header)
}

func TestPathOfTheBackend(t *testing.T) {
	t.Parallel()
	handler := &websockettest.PeerHandler{}
	p, err := newProxy(websockettest.NewServer(t, handler).URL+"/base/", config{stall: patience})
	require.NoError(t, err)
	websockettest.NewServer(t, p).DialPeer(t, "/ws?x=y", nil)
	require.Equal(t, "/base/ws?x=y", handler.Accept(t).Request.RequestURI)
}

func TestOrigins(t *testing.T) {
	for _, tt := range []struct {
		name    string
		origins []string
		origin  string // "same" is the origin of the server
		status  int
	}{
		{"the backend allows its own", nil, "same", http.StatusSwitchingProtocols},
		{"the backend refuses others", nil, "https://example.com", http.StatusForbidden},
		{"the proxy refuses", []string{"https://example.org"}, "https://example.com", http.StatusForbidden},
		{"both allow", []string{"https://example.net"}, "https://EXAMPLE.net", http.StatusSwitchingProtocols},
		{"the backend refuses what the proxy allows", []string{"https://example.com"}, "https://example.com", http.StatusForbidden},
		{"not a browser", []string{"https://example.org"}, "", http.StatusSwitchingProtocols},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			upgrader := websocket.Upgrader{AllowedOrigins: []string{"https://example.net"}}
			s := before(t, echo(upgrader, make(chan websocket.Negotiated, 1)), config{origins: tt.origins})
			header := http.Header{}
			switch tt.origin {
			case "":
			case "same":
				header.Set("Origin", "http"+strings.TrimPrefix(s.URL, "ws"))
			default:
				header.Set("Origin", tt.origin)
			}
			c, resp, err := s.Dialer.DialContext(t.Context(), s.URL, header)
			require.NotNil(t, resp, "%v", err)
			require.Equal(t, tt.status, resp.StatusCode)
			if err == nil {
				require.NoError(t, c.Close())
			}
		})
	}
}

// The client is refused as the backend refuses.
func TestRefusals(t *testing.T) {
	closed := websockettest.Listen()
	require.NoError(t, closed.Close())
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and does not answer
	require.NoError(t, err)
	t.Cleanup(func() { silent.Close() })
	refusing := websockettest.NewServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/login":
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "who are you?", http.StatusUnauthorized)
		case "/moved":
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		default:
			io.WriteString(w, "a page")
		}
	}))
	for _, tt := range []struct {
		name, backend, path string
		status              int
		header, value, body string
	}{
		{"not known", refusing.URL, "/login", http.StatusUnauthorized, "WWW-Authenticate", "Bearer", "who are you?\n"},
		{"moved", refusing.URL, "/moved", http.StatusFound, "Location", "/elsewhere", ""},
		{"no WebSocket", refusing.URL, "/page", http.StatusBadGateway, "", "", "the backend is not reached, or opens no WebSocket\n"},
		{"nobody there", "http://closed", "/", http.StatusBadGateway, "", "", "the backend is not reached, or opens no WebSocket\n"},
		{"no answer", "http://" + silent.Addr().String(), "/", http.StatusGatewayTimeout, "", "", "the backend does not answer\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, err := newProxy(tt.backend, config{stall: patience})
			require.NoError(t, err)
			switch tt.name {
			case "nobody there":
				p.dialer.NetDialContext = closed.NetDialContext
			case "no answer":
				p.dialer.HandshakeTimeout = 50 * time.Millisecond
			}
			s := websockettest.NewServer(t, p)
			_, resp, err := s.Dialer.DialContext(t.Context(), s.URL+tt.path, nil)
			require.ErrorIs(t, err, websocket.ErrBadHandshake)
			require.Equal(t, tt.status, resp.StatusCode)
			require.Equal(t, tt.value, resp.Header.Get(tt.header))
			if tt.body != "" {
				body, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				require.Equal(t, tt.body, string(body))
			}
		})
	}
}

// start has the program serve before the backend until end is called.
func start(t *testing.T, backend string) (host string, end func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	read, write := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- run(ctx, []string{"-addr", "127.0.0.1:0", "-backend", backend}, write) }()
	said := make([]byte, 1000)
	n, err := read.Read(said)
	require.NoError(t, err)
	first, _, _ := strings.Cut(string(said[:n]), " ")
	u, err := url.Parse(first)
	require.NoError(t, err)
	return u.Host, func() error {
		cancel()
		return <-done
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	backend := websockettest.NewServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s at %s for %s", r.URL, r.Host, r.Header.Get("X-Forwarded-For"))
	}))
	host, end := start(t, backend.URL)
	resp, err := http.Get("http://" + host + "/page?q")
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "/page?q at "+host+" for 127.0.0.1", string(body))
	require.NoError(t, end())
}

func TestShutdownTellsBothEnds(t *testing.T) {
	t.Parallel()
	heard := make(chan error, 1)
	var upgrader websocket.Upgrader
	backend := websockettest.NewServer(t, upgrader.Handler(func(c *websocket.Conn, r *http.Request) error {
		if err := c.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
			return err
		}
		_, _, err := c.ReadMessage()
		heard <- err
		return nil
	}))
	host, end := start(t, backend.URL)
	c, _, err := new(websocket.Dialer).DialContext(t.Context(), "ws://"+host, nil)
	require.NoError(t, err)
	defer c.Close()
	_, _, err = c.ReadMessage()
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- end() }()
	_, _, err = c.ReadMessage()
	require.True(t, websocket.IsCloseError(err, websocket.CloseGoingAway), "%v", err)
	require.True(t, websocket.IsCloseError(<-heard, websocket.CloseGoingAway))
	require.NoError(t, <-ended)
}

// Browsers open connections ahead of any request, and http.Server.Shutdown waits for them. The
// WebSockets must not wait as well, and have no time left then.
func TestServerEndsWhileABrowserHoldsAConnection(t *testing.T) {
	t.Parallel()
	backend := websockettest.NewServer(t, echo(websocket.Upgrader{}, make(chan websocket.Negotiated, 1)))
	host, end := start(t, backend.URL)
	idle, err := net.Dial("tcp", host)
	require.NoError(t, err)
	c, _, err := new(websocket.Dialer).DialContext(t.Context(), "ws://"+host, nil)
	require.NoError(t, err)
	defer c.Close()
	ended := make(chan error, 1)
	go func() { ended <- end() }()
	_, _, err = c.ReadMessage()
	require.True(t, websocket.IsCloseError(err, websocket.CloseGoingAway), "%v", err)
	require.NoError(t, idle.Close())
	require.NoError(t, <-ended)
}

func TestCalledWrongly(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"not a URL":      {"-backend", "http://%"},
		"no scheme":      {"-backend", "localhost:8081"},
		"no host":        {"-backend", "http:///x"},
		"another scheme": {"-backend", "ftp://localhost"},
		"no address":     {"-addr", "nowhere"},
		"a word":         {"backend"},
		"no patience":    {"-addr", "127.0.0.1:0", "-stall", "0"},
		"less than none": {"-addr", "127.0.0.1:0", "-stall", "-1s"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience) // it would serve, and end well
			defer cancel()
			require.Error(t, run(ctx, args, io.Discard))
		})
	}
}
