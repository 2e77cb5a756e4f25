package websockettest

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/duplexkit/websocket"
)

// The opening handshake of Peers (RFC 6455, section 4).

// sampleKey is the key of RFC 6455, section 1.3. A fixed one makes failures repeat.
const sampleKey = "dGhlIHNhbXBsZSBub25jZQ=="

func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// replace puts the fields of by in the place of those of h.
func replace(h, by http.Header) {
	for k, vs := range by {
		h[http.CanonicalHeaderKey(k)] = vs
	}
}

// DialPeer opens a connection to the path for a Peer that plays the client. header, which
// may be nil, is sent along, and its fields take the place of those of the handshake: a nil
// value leaves one out. Host is one of them. The path and the values go out as they are. The
// test fails if the server does not open a WebSocket. The connection is closed when the
// test ends.
//
// Frames of a server that has agreed to an extension are the business of the test.
func (s *Server) DialPeer(t testing.TB, path string, header http.Header) *Peer {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), defaultTimeout)
	defer cancel()
	what := "GET " + s.URL + path
	nc, err := s.NetDialContext(ctx, "tcp", "")
	if err != nil {
		t.Fatalf("websockettest: %s: %v", what, err)
	}
	p := newPeer(t, nc, bufio.NewReader(nc), true)
	h := http.Header{
		"Host":                  {strings.TrimPrefix(s.URL, "ws://")},
		"Upgrade":               {"websocket"},
		"Connection":            {"Upgrade"},
		"Sec-Websocket-Key":     {sampleKey},
		"Sec-Websocket-Version": {"13"},
	}
	replace(h, header)
	if path == "" {
		path = "/"
	}
	var request strings.Builder
	fmt.Fprintf(&request, "GET %s HTTP/1.1\r\n", path)
	_ = h.Write(&request) // a strings.Builder has no errors
	request.WriteString("\r\n")

	_ = nc.SetDeadline(time.Now().Add(defaultTimeout)) // a closed connection says so at the write
	if _, err = io.WriteString(nc, request.String()); err == nil {
		p.Response, err = http.ReadResponse(p.line.br, &http.Request{Method: http.MethodGet})
	}
	if err != nil {
		t.Fatalf("websockettest: %s: %v", what, err)
	}
	if p.Response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("websockettest: %s: %s", what, whyNot(p.Response, websocket.ErrBadHandshake))
	}
	if got, want := p.Response.Header.Get("Sec-Websocket-Accept"), acceptKey(h.Get("Sec-Websocket-Key")); got != want {
		t.Fatalf("websockettest: %s: the server answers the key with %q, and not %q", what, got, want)
	}
	_ = nc.SetDeadline(time.Time{})
	return p
}

// whyNot tells of a handshake that has failed.
func whyNot(resp *http.Response, err error) string {
	if resp == nil {
		if err == nil {
			return "no error"
		}
		return err.Error()
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 1024)) // what there is of it
	return fmt.Sprintf("%v: the server answered %s: %s", err, resp.Status, strings.TrimSpace(string(body)))
}

// A PeerHandler is an HTTP handler that answers opening handshakes and leaves the
// connections to scripted Peers, which play the server: for tests of a client, on a Server
// or any other that can be hijacked. The zero value is ready. It must not be copied.
type PeerHandler struct {
	// Header is sent with the answers, and its fields take the place of those of the
	// handshake: Sec-WebSocket-Protocol, say, or a wrong Sec-WebSocket-Accept. A nil value
	// leaves a field out.
	Header http.Header

	// Timeout is how long Accept waits for a client, and the Timeout of the Peers that it
	// returns; 0 is 10 s, negative is for ever.
	Timeout time.Duration

	answering sync.Mutex // held from before an answer until its guest is ready: who dials later comes later

	mu    sync.Mutex
	ready []guest
	news  chan struct{} // closed when there is another guest, nil if nobody waits for one
}

// A guest is a client whose Peer nobody has asked for yet.
type guest struct {
	nc  net.Conn
	br  *bufio.Reader
	r   *http.Request
	err error // why it has not become one
}

// ServeHTTP implements http.Handler. A request that is no opening handshake gets status 426.
func (h *PeerHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !websocket.IsWebSocketUpgrade(r) {
		http.Error(w, "websockettest: this is for WebSockets", http.StatusUpgradeRequired)
		return
	}
	nc, brw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		h.add(guest{err: err})
		return
	}
	if s, ok := r.Context().Value(serverKey{}).(*Server); ok {
		s.adopt(nc)
	}
	answer := http.Header{
		"Upgrade":              {"websocket"},
		"Connection":           {"Upgrade"},
		"Sec-Websocket-Accept": {acceptKey(r.Header.Get("Sec-Websocket-Key"))},
	}
	replace(answer, h.Header)
	var response strings.Builder
	response.WriteString("HTTP/1.1 101 Switching Protocols\r\n")
	_ = answer.Write(&response) // a strings.Builder has no errors
	response.WriteString("\r\n")
	h.answering.Lock()
	defer h.answering.Unlock()
	_ = nc.SetDeadline(time.Now().Add(defaultTimeout)) // a closed connection says so at the write
	if _, err = io.WriteString(nc, response.String()); err != nil {
		_ = nc.Close()
	}
	_ = nc.SetDeadline(time.Time{})
	h.add(guest{nc: nc, br: brw.Reader, r: r, err: err})
}

func (h *PeerHandler) add(g guest) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ready = append(h.ready, g)
	if h.news != nil {
		close(h.news)
		h.news = nil
	}
}

// next returns the next guest, or a channel that tells when there may be one.
func (h *PeerHandler) next() (g guest, news <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.ready) > 0 {
		g, h.ready = h.ready[0], h.ready[1:]
		return g, nil
	}
	if h.news == nil {
		h.news = make(chan struct{})
	}
	return g, h.news
}

// Accept returns the Peer of the next client, whose opening handshake was answered as soon
// as it came. Clients come in the order of their answers. It waits for one, and the test fails if none comes within the Timeout. The
// connection is closed when the test ends.
func (h *PeerHandler) Accept(t testing.TB) *Peer {
	t.Helper()
	timeout := h.Timeout
	if timeout == 0 {
		timeout = defaultTimeout
	}
	var late <-chan time.Time
	if timeout > 0 {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		late = timer.C
	}
	for {
		g, news := h.next()
		if news == nil {
			if g.err != nil {
				t.Fatalf("websockettest: answering an opening handshake: %v", g.err)
			}
			p := newPeer(t, g.nc, g.br, false)
			p.Request = g.r
			p.Timeout = timeout
			return p
		}
		select {
		case <-news:
		case <-late:
			t.Fatalf("websockettest: no client has come within %v", timeout)
		}
	}
}
