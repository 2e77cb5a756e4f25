//go:build !js

package wasmtest

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/websockettest"
)

// serverVariable is the environment variable with the URL of the server.
const serverVariable = "WEBSOCKET_WASMTEST_SERVER"

type testServer struct {
	url string // ws://127.0.0.1:54321
	mux *http.ServeMux
}

// serve returns the server that the tests in a host dial.
func serve(t *testing.T) *testServer {
	s := &testServer{mux: http.NewServeMux()}
	upgrader := websocket.Upgrader{
		Subprotocols: []string{"soap", "chat"},
		CheckOrigin:  func(*http.Request) bool { return true },
	}
	s.mux.Handle("/echo", upgrader.Handler(func(c *websocket.Conn, r *http.Request) error {
		return c.Serve(r.Context(), func(m websocket.Message) error { return c.WriteMessage(m.Type, m.Data) })
	}))
	deflating := upgrader
	deflating.Compression = &websocket.Compression{}
	s.mux.Handle("/deflate", deflating.Handler(func(c *websocket.Conn, r *http.Request) error {
		if err := c.WriteJSON(c.Negotiated().Compression != nil); err != nil {
			return err
		}
		return c.Serve(r.Context(), func(m websocket.Message) error { return c.WriteMessage(m.Type, m.Data) })
	}))
	var room websocket.Group
	joining := upgrader
	joining.Group = &room
	s.mux.Handle("/room", joining.Handler(func(c *websocket.Conn, r *http.Request) error {
		if err := c.WriteMessage(websocket.TextMessage, []byte("joined")); err != nil {
			return err
		}
		return c.Serve(r.Context(), func(m websocket.Message) error {
			pm, err := websocket.NewPreparedMessage(m.Type, m.Data)
			if err != nil {
				return err
			}
			room.Broadcast(pm)
			return nil
		})
	}))
	s.mux.HandleFunc("/refused", func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", http.StatusForbidden) })
	s.mux.HandleFunc("/redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/echo", http.StatusFound) })
	s.mux.HandleFunc("/release", func(w http.ResponseWriter, r *http.Request) {
		close(stalledBy(r.URL.Query().Get("arg")))
		http.NotFound(w, r)
	})
	s.mux.HandleFunc("/silent", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	s.mux.HandleFunc("/script/{name}", func(w http.ResponseWriter, r *http.Request) {
		script := scripts[r.PathValue("name")]
		if script == nil {
			t.Errorf("there is no script for %s", r.URL)
			http.NotFound(w, r)
			return
		}
		h := websockettest.PeerHandler{Header: http.Header{}}
		if name := r.URL.Query().Get("subprotocol"); name != "" {
			h.Header["Sec-WebSocket-Protocol"] = []string{name}
		}
		h.ServeHTTP(w, r)
		h.Accept(t).Go(func(p *websockettest.Peer) { script(t, p, r.URL.Query().Get("arg")) })()
	})
	srv := httptest.NewServer(s.mux)
	t.Cleanup(srv.Close)
	s.url = "ws" + strings.TrimPrefix(srv.URL, "http")
	return s
}

// A script is what a peer does; arg is that of the URL's query.
type script func(t *testing.T, p *websockettest.Peer, arg string)

var scripts = map[string]script{
	"fragments":     sendFragments,
	"say":           expectSaid,
	"close":         closeWith,
	"broken":        breakRule,
	"lost":          func(_ *testing.T, p *websockettest.Peer, _ string) { lastWords(p); p.Close() },
	"reset":         func(_ *testing.T, p *websockettest.Peer, _ string) { lastWords(p); p.Reset() },
	"expect-close":  expectClose,
	"expect-lost":   func(_ *testing.T, p *websockettest.Peer, _ string) { p.ExpectOpcode(websocket.CloseMessage); p.Close() },
	"never-answers": neverAnswers,
	"refused":       func(_ *testing.T, p *websockettest.Peer, _ string) { p.Close() },
	"too-big":       sendTooBig,
	"stalled":       stall,
}

// lastWords sends a message, which the host confirms.
func lastWords(p *websockettest.Peer) {
	p.Send(websockettest.Text("last"))
	p.Expect(websockettest.Text("heard"))
}

// sendFragments sends a message in fragments, with pings between them.
func sendFragments(_ *testing.T, p *websockettest.Peer, _ string) {
	f := websockettest.Fragments(websocket.TextMessage, "fünf", "", " \xe2\x82", "\xac")
	p.Send(f[0], websockettest.Ping("one"), f[1], f[2], websockettest.Ping("two"), f[3])
	p.Expect(websockettest.Pong("one"), websockettest.Pong("two"))
	p.Send(websockettest.Close(1000, ""))
	p.ExpectClose(1000)
	p.Close() // for which Node waits
}

// expectSaid expects messages as JSON has them in arg: the type, then the payload.
func expectSaid(t *testing.T, p *websockettest.Peer, arg string) {
	var frames []struct {
		Type    int
		Payload string
	}
	require.NoError(t, json.Unmarshal([]byte(arg), &frames))
	for _, f := range frames {
		var got strings.Builder
		first := p.Receive()
		got.WriteString(first.Payload)
		for more := first.More; more; {
			f := p.Receive()
			got.WriteString(f.Payload)
			more = f.More
		}
		require.Equal(t, f.Type, first.Opcode)
		require.Equal(t, f.Payload, got.String())
	}
	p.Send(websockettest.Text("all well"))
	p.ExpectOpcode(websocket.CloseMessage)
	p.Close()
}

// closing is a code and a reason; 0 is no code.
func closing(t *testing.T, arg string) (code int, reason string) {
	number, reason, _ := strings.Cut(arg, " ")
	code, err := strconv.Atoi(number)
	require.NoError(t, err)
	return code, reason
}

// closeWith sends a close frame, and expects that of the host.
func closeWith(t *testing.T, p *websockettest.Peer, arg string) {
	code, reason := closing(t, arg)
	p.Send(websockettest.Text("last"), websockettest.Close(code, reason))
	p.ExpectOpcode(websocket.CloseMessage)
	p.Close()
}

// breakRule breaks the rule that arg names.
func breakRule(_ *testing.T, p *websockettest.Peer, arg string) {
	p.Expect(websockettest.Text("begin"))
	p.Send(map[string]websockettest.Frame{
		"masked":       {Opcode: websocket.TextMessage, Payload: "Hello", WrongMask: true},
		"reserved":     {Opcode: websocket.TextMessage, Payload: "Hello", RSV2: true},
		"text":         websockettest.Text("\xff"),
		"continuation": {Payload: "Hello"},
		"close code":   websockettest.Close(1004, ""),
		"close length": {Opcode: websocket.CloseMessage, Payload: "x"},
		"opcode":       {Opcode: 5},
	}[arg])
	// Hosts say something else or nothing at all, but all of them end.
	nc := p.NetConn()
	_ = nc.SetReadDeadline(time.Now().Add(limit)) // an error is that of the read
	for buf := make([]byte, 1<<10); ; {
		if _, err := nc.Read(buf); err != nil {
			break
		}
	}
	p.Close()
}

// expectClose expects a close frame and answers it.
func expectClose(t *testing.T, p *websockettest.Peer, arg string) {
	code, reason := closing(t, arg)
	p.Expect(websockettest.Close(code, reason))
	p.Send(websockettest.Close(code, reason))
	p.Close()
}

// neverAnswers expects a close frame and answers nothing until the host is gone or
// a message tells it that the test is over.
func neverAnswers(_ *testing.T, p *websockettest.Peer, _ string) {
	p.ExpectOpcode(websocket.CloseMessage)
	nc := p.NetConn()
	_ = nc.SetReadDeadline(time.Now().Add(limit)) // an error is that of the read
	_, _ = nc.Read(make([]byte, 1))               // the end is what it is about
	p.Close()
}

// sendTooBig sends a message of 1 MiB and some bytes, and expects a close frame without a code:
// a browser does not send 1009 for a program.
func sendTooBig(_ *testing.T, p *websockettest.Peer, _ string) {
	p.Send(websockettest.Binary(strings.Repeat("x", 1<<20+1)))
	p.ExpectClose(0)
	p.Close()
}

// stall reads nothing until the host has dialed /release with the same arg, and then all that
// comes before the end.
func stall(t *testing.T, p *websockettest.Peer, arg string) {
	nc := p.NetConn()
	if tcp, ok := nc.(*net.TCPConn); ok {
		require.NoError(t, tcp.SetReadBuffer(64<<10)) // or the host would have much to send
	}
	select {
	case <-stalledBy(arg):
	case <-time.After(limit):
		require.FailNow(t, "the test was never over")
	}
	require.NoError(t, nc.SetReadDeadline(time.Now().Add(limit)))
	n, _ := io.Copy(io.Discard, nc) // the host may end it by a reset
	require.Greater(t, n, int64(64<<10))
	p.Close()
}

var stalled sync.Map // channels by arg, which are closed when it is over

func stalledBy(arg string) chan struct{} {
	c, _ := stalled.LoadOrStore(arg, make(chan struct{}))
	return c.(chan struct{})
}
