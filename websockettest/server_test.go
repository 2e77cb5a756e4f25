package websockettest

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
)

// onServers runs a test with a Server in memory, in a bubble, and one over TCP.
func onServers(t *testing.T, test func(t *testing.T, newServer func(t testing.TB, h http.Handler) *Server)) {
	inBubble(t, "in memory", func(t *testing.T) { test(t, NewMemoryServer) })
	t.Run("over TCP", func(t *testing.T) {
		t.Parallel()
		test(t, NewServer)
	})
}

// echoes upgrades and sends every message back.
var echoes = new(websocket.Upgrader).Handler(func(c *websocket.Conn, r *http.Request) error {
	return c.Serve(r.Context(), func(m websocket.Message) error { return c.WriteMessage(m.Type, m.Data) })
})

func requireAnswer(t testing.TB, c *websocket.Conn) {
	t.Helper()
	require.NoError(t, c.WriteMessage(websocket.TextMessage, []byte("Hello")))
	_, p, err := c.ReadMessage()
	require.NoError(t, err)
	require.Equal(t, "Hello", string(p))
}

func TestServer(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, newServer func(t testing.TB, h http.Handler) *Server) {
		var got []string
		s := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got = append(got, r.URL.String(), r.Host, r.Header.Get("X-Test"))
			host, _, err := net.SplitHostPort(r.RemoteAddr)
			if err != nil || net.ParseIP(host) == nil {
				got = append(got, r.RemoteAddr)
			}
			echoes.ServeHTTP(w, r)
		}))
		host := strings.TrimPrefix(s.URL, "ws://")
		require.NotEqual(t, s.URL, host)
		c := s.Dial(t, "/chat?user=ann", http.Header{"X-Test": {"yes"}})
		requireAnswer(t, c)
		requireAnswer(t, s.Dial(t, "", nil))
		s.Dialer.Subprotocols = []string{"unknown"}
		c, resp, err := s.Dialer.Dial("ws://example.com/", nil)
		require.NoError(t, err)
		require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
		requireAnswer(t, c)
		require.Equal(t, []string{"/chat?user=ann", host, "yes", "/", host, "", "/", "example.com", ""}, got)

		s.Close()
		s.Close()
		require.ErrorIs(t, c.WriteMessage(websocket.PingMessage, nil), context.Cause(c.Context()), "it is closed beneath")
		_, _, err = s.Dialer.Dial(s.URL, nil)
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
	})
}

// The server is there for others too, whom it does not know.
func TestServerIsOnTheNetwork(t *testing.T) {
	t.Parallel()
	s := NewServer(t, echoes)
	c, _, err := websocket.DefaultDialer.Dial(s.URL+"/", nil)
	require.NoError(t, err)
	requireAnswer(t, c)
	require.NoError(t, c.Close())
}

// Requests that are none of a WebSocket reach the handler too.
func TestServerServesHTTP(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, newServer func(t testing.TB, h http.Handler) *Server) {
		s := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "page") }))
		transport := &http.Transport{DialContext: s.NetDialContext}
		defer transport.CloseIdleConnections()
		resp, err := (&http.Client{Transport: transport}).Get("http" + strings.TrimPrefix(s.URL, "ws"))
		require.NoError(t, err)
		p, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, "page", string(p))
	})
}

// A nil handler is that of net/http.
func TestServerDefaultHandler(t *testing.T) {
	t.Parallel()
	requireFailure(t, func(t testing.TB) { NewServer(t, nil).Dial(t, "/nobody/has/this", nil) }, "404 page not found")
}

// However the client leaves, the handler sees that, and the server is at ease.
func TestServerLets(t *testing.T) {
	t.Parallel()
	loop := func(w http.ResponseWriter, r *http.Request) {
		c, err := new(websocket.Upgrader).Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		for {
			if _, _, err := c.ReadMessage(); err != nil {
				return
			}
		}
	}
	start := new(websocket.Upgrader).Handler(func(c *websocket.Conn, r *http.Request) error {
		c.Start(func(m websocket.Message) error { return c.WriteMessage(m.Type, m.Data) }, func(error) {})
		return nil
	})
	for handled, handler := range map[string]http.Handler{"Serve": echoes, "a loop": http.HandlerFunc(loop), "Start": start} {
		for left, leave := range map[string]func(t *testing.T, s *Server, c *websocket.Conn){
			"staying":      func(*testing.T, *Server, *websocket.Conn) {},
			"closed":       func(t *testing.T, _ *Server, c *websocket.Conn) { require.NoError(t, c.Close()) },
			"shut down":    func(t *testing.T, _ *Server, c *websocket.Conn) { require.NoError(t, c.Shutdown(t.Context(), 0, "")) },
			"server first": func(_ *testing.T, s *Server, _ *websocket.Conn) { s.Close() },
		} {
			t.Run(handled+", "+left, func(t *testing.T) {
				t.Parallel()
				onServers(t, func(t *testing.T, newServer func(t testing.TB, h http.Handler) *Server) {
					s := newServer(t, handler)
					leave(t, s, s.Dial(t, "/", nil))
				})
			})
		}
	}
}

// upgrade is a handler that upgrades and then does this.
func upgrade(then func(c *websocket.Conn)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, err := new(websocket.Upgrader).Upgrade(w, r, nil); err == nil {
			then(c)
		}
	})
}

// What a handler does wrong.
func TestServerFails(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		handler http.Handler
		parts   []string
	}{
		"a connection that is left open": {upgrade(func(c *websocket.Conn) {}), []string{
			"the connection of 192.0.2.", " was never closed",
		}},
		"a panic": {upgrade(func(c *websocket.Conn) { panic("oh dear") }), []string{
			"the handler of GET /x from 192.0.2.", "has panicked: oh dear\n", "TestServerFails",
		}},
		"a panic of a Handler": {new(websocket.Upgrader).Handler(func(c *websocket.Conn, r *http.Request) error { panic("oh dear") }), []string{
			"has panicked: oh dear\n",
		}},
	} {
		inBubble(t, name, func(t *testing.T) {
			requireFailure(t, func(r testing.TB) {
				s := NewMemoryServer(r, tc.handler)
				c := s.Dial(r, "/x", nil)
				if strings.HasPrefix(name, "a panic") {
					_, _, err := c.ReadMessage()
					require.Error(t, err)
				}
			}, tc.parts...)
		})
	}
	inBubble(t, "a handler that goes on", func(t *testing.T) {
		enough := make(chan struct{})
		requireFailure(t, func(t testing.TB) {
			NewMemoryServer(t, upgrade(func(c *websocket.Conn) {
				defer c.Close()
				<-enough
			})).Dial(t, "/x", nil)
		}, "5s after the clients were closed:\nthe handler of GET /x from 192.0.2.", " has not returned\n", "serveHTTP", "TestServerFails")
		close(enough)
	})
	t.Run("over TCP", func(t *testing.T) {
		t.Parallel()
		requireFailure(t, func(t testing.TB) {
			NewServer(t, upgrade(func(c *websocket.Conn) {})).Dial(t, "/", nil)
		}, "the connection of 127.0.0.1:", " was never closed")
	})
	inBubble(t, "a client of others", func(t *testing.T) {
		var nc net.Conn
		requireFailure(t, func(r testing.TB) {
			s := NewMemoryServer(r, echoes)
			s.Dialer.NetDialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
				var err error
				nc, err = s.dial(ctx)
				return nc, err
			}
			_, _, err := s.Dialer.Dial(s.URL, nil)
			require.NoError(t, err)
		}, "has not returned; its client, which was not made by Dial, DialPeer or NetDialContext, may not have closed the connection")
		require.NoError(t, nc.Close())
	})
}

// A FailNow in a handler can't end the test, but it ends the connection.
func TestServerHandlerFailsNow(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, newServer func(t testing.TB, h http.Handler) *Server) {
		r := record(t, func(r testing.TB) {
			s := newServer(r, upgrade(func(c *websocket.Conn) { r.Fatalf("wrong") }))
			_, _, err := s.Dial(r, "/", nil).ReadMessage()
			require.Error(t, err)
		})
		require.Equal(t, []string{"wrong"}, r.errors)
	})
}

// To abort a handler is no mistake of it.
func TestServerAborts(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, newServer func(t testing.TB, h http.Handler) *Server) {
		r := record(t, func(r testing.TB) {
			s := newServer(r, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
			_, _, err := s.Dialer.Dial(s.URL, nil)
			require.Error(t, err)
		})
		require.False(t, r.Failed(), "%q", r.errors)
	})
}

// The server waits for what a handler has to do at its end.
func TestServerWaits(t *testing.T) {
	t.Parallel()
	inBubble(t, "in a bubble", func(t *testing.T) {
		saved := false
		r := record(t, func(t testing.TB) {
			NewMemoryServer(t, upgrade(func(c *websocket.Conn) {
				defer c.Close()
				_, _, _ = c.ReadMessage()
				time.Sleep(patience - time.Second)
				saved = true
			})).Dial(t, "/", nil)
		})
		require.False(t, r.Failed(), "%q", r.errors)
		require.True(t, saved)
	})
	// One that comes late has failed the test already, but must not bring it down.
	inBubble(t, "not for ever", func(t *testing.T) {
		requireFailure(t, func(t testing.TB) {
			NewMemoryServer(t, upgrade(func(c *websocket.Conn) {
				defer c.Close()
				time.Sleep(10 * patience)
				panic("late")
			})).Dial(t, "/", nil)
		}, "has not returned")
		time.Sleep(10 * patience)
	})
	// A handler may wait for the end of its request's context, if nothing else ends it: but
	// that is a failure.
	inBubble(t, "for a context", func(t *testing.T) {
		requireFailure(t, func(t testing.TB) {
			NewMemoryServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				c, err := new(websocket.Upgrader).Upgrade(w, r, nil)
				if err == nil {
					<-r.Context().Done()
					c.Close()
				}
			})).Dial(t, "/", nil)
		}, "has not returned")
	})
}

func TestServerDialFails(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		handler http.HandlerFunc
		parts   []string
	}{
		"a refusal": {func(w http.ResponseWriter, r *http.Request) { http.Error(w, "not you", http.StatusForbidden) }, []string{
			"dialing ws://websocket.test/x: websocket: bad handshake: the server answered 403 Forbidden: not you",
		}},
		"no answer": {func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, []string{
			"dialing ws://websocket.test/x: context deadline exceeded",
		}},
	} {
		inBubble(t, name, func(t *testing.T) {
			requireFailure(t, func(t testing.TB) { NewMemoryServer(t, tc.handler).Dial(t, "/x", nil) }, tc.parts...)
		})
	}
}

// What the HTTP server complains of is in the test's log, and no later than that lasts.
func TestServerLogs(t *testing.T) {
	t.Parallel()
	var s *Server
	r := record(t, func(r testing.TB) {
		s = NewServer(r, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusNoContent)
			w.WriteHeader(http.StatusNoContent)
		}))
		_, _, err := s.Dialer.Dial(s.URL, nil)
		require.ErrorIs(t, err, websocket.ErrBadHandshake)
	})
	require.Len(t, r.logs, 1)
	require.Contains(t, r.logs[0], "websockettest: http: superfluous response.WriteHeader call")
	s.srv.ErrorLog.Print("late")
	s.failf("late")
	require.Len(t, r.logs, 1)
	require.False(t, r.Failed())
}

// A subtest ends its own connections, and the server goes on.
func TestServerOfSubtests(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, newServer func(t testing.TB, h http.Handler) *Server) {
		s := newServer(t, echoes)
		for range 2 {
			var c *websocket.Conn
			r := record(t, func(t testing.TB) { c = s.Dial(t, "/", nil) })
			require.False(t, r.Failed())
			require.ErrorIs(t, c.WriteMessage(websocket.TextMessage, nil), net.ErrClosed)
		}
		requireAnswer(t, s.Dial(t, "/", nil))
	})
}

func TestNetDialContext(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, newServer func(t testing.TB, h http.Handler) *Server) {
		s := newServer(t, echoes)
		nc, err := s.NetDialContext(t.Context(), "udp", "whatever")
		require.NoError(t, err)
		_, err = io.WriteString(nc, "GET / HTTP/1.0\r\n\r\n")
		require.NoError(t, err)
		p, err := io.ReadAll(nc)
		require.NoError(t, err)
		require.Contains(t, string(p), "426 Upgrade Required")

		s.Close()
		require.ErrorIs(t, nc.Close(), net.ErrClosed)
		_, err = s.NetDialContext(t.Context(), "", "")
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
	})
}

func TestClosed(t *testing.T) {
	t.Parallel()
	for name, link := range links {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := link(t)
			require.False(t, closed(a))
			require.NoError(t, b.Close())
			require.False(t, closed(a), "from the other end is another matter")
			require.NoError(t, a.Close())
			require.True(t, closed(a))
		})
	}
	a, b := net.Pipe()
	defer b.Close()
	defer a.Close()
	require.True(t, closed(a), "what is not known is not complained of")
}

// A whole day of a client that comes back, in no time.
func TestServerReconnect(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		visits := 0
		s := NewMemoryServer(t, new(websocket.Upgrader).Handler(func(c *websocket.Conn, r *http.Request) error {
			visits++
			return &websocket.CloseError{Code: websocket.CloseServiceRestart}
		}))
		ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour-1)
		defer cancel()
		for ctx.Err() == nil {
			c, _, err := s.Dialer.DialContext(ctx, s.URL, nil)
			require.NoError(t, err)
			_, _, err = c.ReadMessage()
			require.True(t, websocket.IsCloseError(err, websocket.CloseServiceRestart), "%v", err)
			require.NoError(t, c.Close())
			time.Sleep(time.Hour)
		}
		require.Equal(t, 24, visits)
	})
}

func TestDialPeer(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, newServer func(t testing.TB, h http.Handler) *Server) {
		var requests []*http.Request
		u := websocket.Upgrader{Subprotocols: []string{"chat"}, CheckOrigin: func(r *http.Request) bool {
			requests = append(requests, r)
			return true
		}}
		s := newServer(t, u.Handler(func(c *websocket.Conn, r *http.Request) error {
			// It is there as soon as the handshake is.
			return errors.Join(c.WriteMessage(websocket.TextMessage, []byte(c.Subprotocol())), c.Serve(r.Context(), func(websocket.Message) error { return nil }))
		}))
		p := s.DialPeer(t, "", nil)
		require.Equal(t, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", p.Response.Header.Get("Sec-WebSocket-Accept"))
		require.Nil(t, p.Request)
		p.Expect(Text(""))
		p.ExpectNothing()

		p = s.DialPeer(t, "/a?b=c", http.Header{"sec-websocket-protocol": {"chat"}, "Host": {"example.com"}, "Origin": {"https://example.org"}})
		p.Expect(Text("chat"))
		p.Send(Close(1000, ""))
		require.Empty(t, p.ExpectClose(1000))
		p.ExpectEnd()
		require.Len(t, requests, 2)
		require.Equal(t, "/", requests[0].RequestURI)
		require.Equal(t, strings.TrimPrefix(s.URL, "ws://"), requests[0].Host)
		require.Equal(t, "/a?b=c", requests[1].RequestURI)
		require.Equal(t, "example.com", requests[1].Host)
		require.Equal(t, "https://example.org", requests[1].Header.Get("Origin"))
	})
}

func TestDialPeerFails(t *testing.T) {
	t.Parallel()
	answer := func(s string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			nc, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_, _ = io.WriteString(nc, s)
				nc.Close()
			}
		})
	}
	for name, tc := range map[string]struct {
		handler http.Handler
		header  http.Header
		parts   []string
	}{
		"a refusal": {echoes, http.Header{"Sec-WebSocket-Version": {"8"}}, []string{
			"GET ws://websocket.test/x: websocket: bad handshake: the server answered 400 Bad Request: Bad Request",
		}},
		"a field left out": {echoes, http.Header{"Upgrade": nil}, []string{"426 Upgrade Required"}},
		"no answer":        {answer(""), nil, []string{"GET ws://websocket.test/x: unexpected EOF"}},
		"a wrong answer": {answer("HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\n\r\n"), nil, []string{
			`the server answers the key with "x", and not "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="`,
		}},
		"silence": {http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }), nil, []string{"i/o timeout"}},
	} {
		inBubble(t, name, func(t *testing.T) {
			requireFailure(t, func(t testing.TB) { NewMemoryServer(t, tc.handler).DialPeer(t, "/x", tc.header) }, tc.parts...)
		})
	}
	inBubble(t, "a server that is closed", func(t *testing.T) {
		s := NewMemoryServer(t, echoes)
		s.Close()
		requireFailure(t, func(t testing.TB) { s.DialPeer(t, "", nil) }, "connection refused")
	})
}

func TestPeerHandler(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, newServer func(t testing.TB, h http.Handler) *Server) {
		h := &PeerHandler{Header: http.Header{"sec-websocket-protocol": {"chat"}, "X-Test": {"yes"}}}
		s := newServer(t, h)
		s.Dialer.Subprotocols = []string{"chat"}
		first, resp, err := s.Dialer.Dial(s.URL+"/first", nil)
		require.NoError(t, err)
		require.Equal(t, "yes", resp.Header.Get("X-Test"))
		require.Equal(t, "chat", first.Subprotocol())
		second := s.Dial(t, "/second", nil)
		s.Dial(t, "/never accepted", nil)

		p := h.Accept(t)
		require.Equal(t, "/first", p.Request.URL.Path)
		require.Nil(t, p.Response)
		p.Send(Text("one"))
		_, got, err := first.ReadMessage()
		require.NoError(t, err)
		require.Equal(t, "one", string(got))
		require.NoError(t, first.WriteMessage(websocket.TextMessage, []byte("answer")))
		p.Expect(Text("answer"))
		p.Send(Frame{Opcode: websocket.TextMessage, WrongMask: true})
		_, _, err = first.ReadMessage()
		require.ErrorAs(t, err, new(*websocket.ProtocolError))
		p.ExpectClose(websocket.CloseProtocolError)

		p = h.Accept(t)
		require.Equal(t, "/second", p.Request.URL.Path)
		p.Send(Close(1000, "enough"))
		_, _, err = second.ReadMessage()
		require.Equal(t, &websocket.CloseError{Code: 1000, Text: "enough"}, err)
		p.ExpectClose(1000)
	})
	t.Run("one by one", func(t *testing.T) {
		t.Parallel()
		var h PeerHandler
		s := NewServer(t, &h)
		for i := range 200 {
			s.Dial(t, "/"+strconv.Itoa(i), nil)
		}
		for i := range 200 {
			require.Equal(t, "/"+strconv.Itoa(i), h.Accept(t).Request.URL.Path)
		}
	})
	inBubble(t, "a client that comes later", func(t *testing.T) {
		var h PeerHandler
		s := NewMemoryServer(t, &h)
		go func() {
			time.Sleep(time.Second)
			_, _, _ = s.Dialer.Dial(s.URL, nil)
		}()
		require.Equal(t, "/", h.Accept(t).Request.URL.Path)
	})
	inBubble(t, "a wrong answer", func(t *testing.T) {
		h := &PeerHandler{Header: http.Header{"Sec-WebSocket-Accept": {"x"}}}
		s := NewMemoryServer(t, h)
		_, _, err := s.Dialer.Dial(s.URL, nil)
		require.ErrorContains(t, err, "Sec-WebSocket-Accept does not answer our key")
	})
	for name, tc := range map[string]struct{ timeout, comes time.Duration }{
		"the default": {0, 10*time.Second - 1},
		"patient":     {2 * time.Hour, time.Hour},
		"for ever":    {-1, 1000 * time.Hour},
	} {
		inBubble(t, "a timeout, "+name, func(t *testing.T) {
			h := &PeerHandler{Timeout: tc.timeout}
			s := NewMemoryServer(t, h)
			dialed := make(chan *websocket.Conn)
			go func() {
				time.Sleep(tc.comes)
				c, _, _ := s.Dialer.Dial(s.URL, nil)
				dialed <- c
			}()
			p := h.Accept(t)
			c := <-dialed
			wait := p.Go(func(p *Peer) { p.Expect(Text("late")) })
			time.Sleep(tc.comes)
			require.NoError(t, c.WriteMessage(websocket.TextMessage, []byte("late")))
			wait()
		})
	}
	inBubble(t, "no client", func(t *testing.T) {
		requireFailure(t, func(t testing.TB) { new(PeerHandler).Accept(t) }, "no client has come within 10s")
		requireFailure(t, func(t testing.TB) { (&PeerHandler{Timeout: 1}).Accept(t) }, "no client has come within 1ns")
	})
	t.Run("no WebSocket", func(t *testing.T) {
		t.Parallel()
		w := httptest.NewRecorder()
		new(PeerHandler).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		require.Equal(t, http.StatusUpgradeRequired, w.Code)
	})
	t.Run("on another server", func(t *testing.T) {
		t.Parallel()
		var h PeerHandler
		s := httptest.NewServer(&h)
		defer s.Close()
		c, _, err := websocket.DefaultDialer.Dial(s.URL, nil)
		require.NoError(t, err)
		defer c.Close()
		p := h.Accept(t)
		p.Close()
		_, _, err = c.ReadMessage()
		require.True(t, websocket.IsCloseError(err, websocket.CloseAbnormalClosure), "%v", err)
	})
	t.Run("what can't be hijacked", func(t *testing.T) {
		t.Parallel()
		var h PeerHandler
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		require.Equal(t, http.StatusInternalServerError, w.Code)
		requireFailure(t, func(t testing.TB) { h.Accept(t) }, "answering an opening handshake: ")
	})
}
