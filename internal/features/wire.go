package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"github.com/duplexkit/websocket"
)

// patience keeps a probe from hanging; none waits for it to pass.
const patience = 20 * time.Second

// env is what a probe opens, and is closed behind it.
type env struct {
	ctx      context.Context
	mu       sync.Mutex
	cleanups []func()
}

func newEnv() *env {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	e := &env{ctx: ctx}
	e.after(cancel)
	return e
}

func (e *env) after(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.cleanups = append(e.cleanups, f)
}

func (e *env) close() {
	for i := len(e.cleanups) - 1; i >= 0; i-- {
		e.cleanups[i]()
	}
}

// server is an HTTP server that upgrades by a library and hands the connections out.
type server struct {
	*httptest.Server
	conns chan conn
	errs  chan error
	env   *env
}

// serve starts one. wrap, if not nil, stands between the network and the library.
func (e *env) serve(l *library, s setup, wrap func(net.Conn) net.Conn) *server {
	return e.serveHandler(func(w http.ResponseWriter, r *http.Request) (conn, error) { return l.upgrade(w, r, s) }, wrap)
}

func (e *env) serveHandler(upgrade func(w http.ResponseWriter, r *http.Request) (conn, error), wrap func(net.Conn) net.Conn) *server {
	srv := &server{conns: make(chan conn, 8), errs: make(chan error, 8), env: e}
	ended := make(chan struct{})
	srv.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := upgrade(w, r)
		if err != nil {
			srv.errs <- err
			return
		}
		defer c.drop()
		srv.conns <- c
		<-ended
	}))
	quiet(srv.Config)
	if wrap != nil {
		srv.Listener = wrappingListener{srv.Listener, wrap}
	}
	srv.Start()
	e.after(func() {
		close(ended)
		srv.Close()
	})
	return srv
}

// conn returns the next connection that the server has.
func (s *server) conn() (conn, error) {
	select {
	case c := <-s.conns:
		return c, nil
	case err := <-s.errs:
		return nil, err
	case <-s.env.ctx.Done():
		return nil, s.env.ctx.Err()
	}
}

type wrappingListener struct {
	net.Listener
	wrap func(net.Conn) net.Conn
}

func (l wrappingListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.wrap(nc), nil
}

// peer is the other end of a probed connection. It sends what it is told, right or wrong, and
// sees frames as they are.
type peer struct {
	net.Conn
	br       *bufio.Reader
	client   bool
	response *http.Response // of the opening handshake, if a client
}

// connect opens a connection to a server of the probe. early goes out with the request.
func (e *env) connect(addr string, header http.Header, early []byte) (*peer, error) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	e.after(func() { nc.Close() })
	return e.handshake(nc, addr, header, early)
}

func (e *env) handshake(nc net.Conn, host string, header http.Header, early []byte) (*peer, error) {
	deadline, _ := e.ctx.Deadline()
	nc.SetDeadline(deadline)
	var b bytes.Buffer
	fmt.Fprintf(&b, "GET / HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", host)
	header.Write(&b)
	b.WriteString("\r\n")
	b.Write(early)
	if _, err := nc.Write(b.Bytes()); err != nil {
		return nil, err
	}
	br := bufio.NewReader(nc)
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		return nil, err
	}
	p := &peer{Conn: nc, br: br, client: true, response: resp}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return p, errStatus(resp.StatusCode)
	}
	return p, nil
}

type errStatus int

func (e errStatus) Error() string { return fmt.Sprintf("status %d", int(e)) }

// open starts a server and connects to it: the library's end, and the peer's.
func (e *env) open(l *library, s setup, wrap func(net.Conn) net.Conn, header http.Header) (conn, *peer, error) {
	srv := e.serve(l, s, wrap)
	p, err := e.connect(srv.Listener.Addr().String(), header, nil)
	if err != nil {
		return nil, nil, err
	}
	c, err := srv.conn()
	return c, p, err
}

// listen is a server's end for the client of a library: it answers one opening handshake
// with 101 and hands the connection out.
func (e *env) listen() (addr string, peers <-chan *peer, err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	e.after(func() { ln.Close() })
	ch := make(chan *peer, 1)
	go func() {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		e.accepted(nc, ch)
	}()
	return ln.Addr().String(), ch, nil
}

func (e *env) accepted(nc net.Conn, ch chan<- *peer) {
	deadline, _ := e.ctx.Deadline()
	nc.SetDeadline(deadline)
	br := bufio.NewReader(nc)
	r, err := http.ReadRequest(br)
	if err != nil {
		nc.Close()
		return
	}
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	fmt.Fprintf(nc, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		base64.StdEncoding.EncodeToString(sum[:]))
	ch <- &peer{Conn: nc, br: br}
}

const (
	text         = websocket.TextMessage
	binary       = websocket.BinaryMessage
	closing      = websocket.CloseMessage
	ping         = websocket.PingMessage
	pong         = websocket.PongMessage
	continuation = 0
)

// frame is one to send: a whole unmasked one unless it says more; the peer of a server masks it.
func frame(opcode int, payload string) wireFrame {
	return wireFrame{websocket.FrameHeader{Fin: true, Opcode: opcode}, []byte(payload)}
}

type wireFrame struct {
	websocket.FrameHeader
	payload []byte
}

func (f wireFrame) with(change func(h *websocket.FrameHeader)) wireFrame {
	change(&f.FrameHeader)
	return f
}

// bytes are those on the wire.
func (f wireFrame) bytes(masked bool) []byte {
	h := f.FrameHeader
	h.Masked, h.Length = masked, int64(len(f.payload))
	if masked {
		h.MaskKey = [4]byte{1, 2, 3, 4}
	}
	b := h.Append(nil)
	n := len(b)
	b = append(b, f.payload...)
	if masked {
		websocket.Mask(h.MaskKey, 0, b[n:])
	}
	return b
}

func (p *peer) send(frames ...wireFrame) error {
	var b []byte
	for _, f := range frames {
		b = append(b, f.bytes(p.client)...)
	}
	_, err := p.Write(b)
	return err
}

// receive returns the next frame that comes, unmasked.
func (p *peer) receive() (wireFrame, error) { return receive(p.br) }

func receive(br *bufio.Reader) (wireFrame, error) {
	for want := 2; ; want++ {
		b, err := br.Peek(want)
		if err != nil {
			return wireFrame{}, err
		}
		h, n, err := websocket.ParseFrameHeader(b)
		if errors.Is(err, io.ErrUnexpectedEOF) {
			continue
		}
		if err != nil {
			return wireFrame{}, err
		}
		br.Discard(n)
		payload := make([]byte, h.Length)
		if _, err := io.ReadFull(br, payload); err != nil {
			return wireFrame{}, err
		}
		if h.Masked {
			websocket.Mask(h.MaskKey, 0, payload)
		}
		return wireFrame{h, payload}, nil
	}
}

// receiveClose passes over what comes before the close frame, and returns its code and reason;
// 0 if the connection ends without one, and 1005 if it has no code.
func (p *peer) receiveClose() (code int, reason string) {
	for {
		f, err := p.receive()
		switch {
		case err != nil:
			return 0, ""
		case f.Opcode != closing:
		case len(f.payload) < 2:
			return websocket.CloseNoStatusReceived, ""
		default:
			return int(f.payload[0])<<8 | int(f.payload[1]), string(f.payload[2:])
		}
	}
}

// gate is a network connection whose writes can be held up.
type gate struct {
	net.Conn
	mu      sync.Mutex
	shut    bool
	waiting []heldWrite   // oldest first
	arrived chan struct{} // one for each
}

type heldWrite struct{ turn, done chan struct{} }

func newGate(nc net.Conn) *gate { return &gate{Conn: nc, arrived: make(chan struct{}, 100)} }

func (g *gate) Write(p []byte) (int, error) {
	g.mu.Lock()
	if g.shut {
		h := heldWrite{make(chan struct{}), make(chan struct{})}
		g.waiting = append(g.waiting, h)
		g.arrived <- struct{}{}
		g.mu.Unlock()
		<-h.turn
		defer close(h.done)
	} else {
		g.mu.Unlock()
	}
	return g.Conn.Write(p)
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = true
}

// held is how many writes wait.
func (g *gate) held() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting)
}

// pass lets the oldest write go on, and returns when it is done.
func (g *gate) pass() {
	g.mu.Lock()
	h := g.waiting[0]
	g.waiting = g.waiting[1:]
	g.mu.Unlock()
	close(h.turn)
	<-h.done
}

// open lets all writes go on.
func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = false
	for _, h := range g.waiting {
		close(h.turn)
	}
	g.waiting = nil
}

// gates makes gates for a server, and hands them out in the order of connections.
func (e *env) gates() (wrap func(net.Conn) net.Conn, next func() *gate) {
	ch := make(chan *gate, 8)
	wrap = func(nc net.Conn) net.Conn {
		g := newGate(nc)
		e.after(g.open)
		ch <- g
		return g
	}
	return wrap, func() *gate { return <-ch }
}

// hostOf is the host and port of a server's URL.
func hostOf(url string) string {
	return strings.TrimPrefix(strings.TrimPrefix(url, "https://"), "http://")
}

// quiet keeps what a server has to say about handshakes that fail off the terminal.
func quiet(s *http.Server) { s.ErrorLog = log.New(io.Discard, "", 0) }
