package websockettest

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/duplexkit/websocket"
)

// patience is how long a Server waits for its handlers to see that their clients are gone.
const patience = 5 * time.Second

// A Server is an HTTP server for tests, with the handler to be tested. It is over when the
// test ends, or at Close: then the connections that were made through it are closed, and the
// test fails if a handler goes on although its client is gone, or a connection is left open.
// It also fails if a handler panics. What the HTTP server logs goes to the test's log.
type Server struct {
	// URL is the server's, without a path: ws://127.0.0.1:54321, or ws://websocket.test in
	// memory.
	URL string

	// Dialer is what Dial dials with. It makes all its connections to the server, whatever
	// the URL says: a Dial of it to ws://example.com/ finds the server under that Host.
	// Its fields may be set before it is used.
	Dialer websocket.Dialer

	t       testing.TB
	handler http.Handler
	ln      net.Listener
	dial    func(ctx context.Context) (net.Conn, error)
	srv     *http.Server
	served  chan struct{} // closed when srv does not accept any more
	cancel  context.CancelFunc
	close   sync.Once

	mu      sync.Mutex
	clients []net.Conn          // our ends of the connections that were made through us
	taken   map[net.Conn]string // those that handlers have taken from the HTTP server, with their client
	adopted map[net.Conn]bool   // those of them that are ours to close
	running map[*http.Request]string
	over    bool // the test must not be told of anything any more
}

// serverKey is the key of a request's Server in its context.
type serverKey struct{}

// NewServer returns a Server on a TCP port of 127.0.0.1. A nil handler is
// http.DefaultServeMux.
func NewServer(t testing.TB, handler http.Handler) *Server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("websockettest: %v", err)
	}
	addr := ln.Addr().String()
	return newServer(t, handler, ln, addr, func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", addr)
	})
}

// NewMemoryServer returns a Server whose connections are Pipes. It is for bubbles of
// testing/synctest, where TCP does not work. Only its Dial, DialPeer, Dialer and
// NetDialContext reach it.
func NewMemoryServer(t testing.TB, handler http.Handler) *Server {
	t.Helper()
	ln := Listen()
	return newServer(t, handler, ln, hostInMemory, func(ctx context.Context) (net.Conn, error) {
		return ln.NetDialContext(ctx, "tcp", "")
	})
}

func newServer(t testing.TB, handler http.Handler, ln net.Listener, host string, dial func(ctx context.Context) (net.Conn, error)) *Server {
	t.Helper()
	if handler == nil {
		handler = http.DefaultServeMux
	}
	s := &Server{
		URL: "ws://" + host, t: t, handler: handler, ln: ln, dial: dial,
		served:  make(chan struct{}),
		taken:   make(map[net.Conn]string),
		adopted: make(map[net.Conn]bool),
		running: make(map[*http.Request]string),
	}
	s.Dialer.NetDialContext = s.NetDialContext
	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), serverKey{}, s))
	s.cancel = cancel
	s.srv = &http.Server{
		Handler:     http.HandlerFunc(s.serveHTTP),
		ErrorLog:    log.New(logger{s}, "", 0),
		BaseContext: func(net.Listener) context.Context { return ctx },
		ConnState:   s.connState,
	}
	t.Cleanup(s.Close)
	go func() {
		defer close(s.served)
		_ = s.srv.Serve(ln) // it ends when the server is closed
	}()
	return s
}

// NetDialContext makes a network connection to the server, whatever the network and the
// address are. It is for the Dialer of a client under test, or for an http.Transport's
// DialContext, and makes a FaultyConn's connection. The connection is closed with the server.
func (s *Server) NetDialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	nc, err := s.dial(ctx)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients = append(s.clients, nc)
	return nc, nil
}

// Dial opens a connection to the path, "/chat?user=ann" say, with the Dialer. header may be
// nil. The test fails if the server refuses. The connection is closed when the test ends,
// without a closing handshake. For more than that, use the Dialer:
//
//	c, resp, err := s.Dialer.DialContext(ctx, s.URL+"/chat", header)
func (s *Server) Dial(t testing.TB, path string, header http.Header) *websocket.Conn {
	t.Helper()
	c, resp, err := s.Dialer.Dial(s.URL+path, header)
	if err != nil {
		t.Fatalf("websockettest: dialing %s: %s", s.URL+path, whyNot(resp, err))
	}
	t.Cleanup(func() {
		_ = c.Close()
		_ = c.NetConn().Close() // which it may have left open for a while, to let last words arrive
	})
	return c
}

// Close ends the server as the end of the test would. It waits for handlers for 5 s at
// most.
func (s *Server) Close() {
	s.t.Helper()
	s.close.Do(func() {
		s.t.Helper()
		s.mu.Lock()
		clients := slices.Clone(s.clients)
		for nc := range s.adopted {
			clients = append(clients, nc)
		}
		s.mu.Unlock()
		for _, nc := range clients {
			_ = nc.Close() // by whoever had it, perhaps
		}
		_ = s.srv.Close() // its listener, and what no handler has taken
		<-s.served
		if left := s.wait(); len(left) > 0 {
			s.failf("%v after the clients were closed:\n%s%s", patience, strings.Join(left, "\n"), s.stacks())
			s.mu.Lock()
			for nc := range s.taken {
				_ = nc.Close()
			}
			s.mu.Unlock()
			s.cancel()
			s.wait() // so that handlers which end then do so within the test
		}
		s.cancel()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.over = true
	})
}

// wait waits until nothing is left of the connections, and returns what is.
func (s *Server) wait() (left []string) {
	const longest = 20 * time.Millisecond
	until := time.Now().Add(patience)
	for pause := time.Millisecond; ; pause = min(2*pause, longest) {
		if left = s.left(); len(left) == 0 || !time.Now().Before(until) {
			return left
		}
		time.Sleep(pause)
	}
}

// left returns what is left of the connections.
func (s *Server) left() (left []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ours := make(map[string]bool)
	for _, nc := range s.clients {
		ours[nc.LocalAddr().String()] = true
	}
	busy := make(map[string]bool)
	for r, what := range s.running {
		busy[r.RemoteAddr] = true
		what = "the handler of " + what + " has not returned"
		if !ours[r.RemoteAddr] {
			what += "; its client, which was not made by Dial, DialPeer or NetDialContext, may not have closed the connection"
		}
		left = append(left, what)
	}
	for nc, client := range s.taken {
		if !busy[client] && !closed(nc) {
			left = append(left, "the connection of "+client+" was never closed, nor does anybody read it who would see that the client is gone")
		}
	}
	slices.Sort(left)
	return left
}

// closed reports whether nc was closed from this end.
func closed(nc net.Conn) bool {
	switch nc := nc.(type) {
	case interface{ Closed() bool }:
		return nc.Closed()
	case syscall.Conn:
		raw, err := nc.SyscallConn()
		return err != nil || raw.Control(func(uintptr) {}) != nil
	}
	return true
}

// stacks returns the stacks of the handlers that are running, as far as they can be told.
func (s *Server) stacks() string {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	var found strings.Builder
	for stack := range strings.SplitSeq(string(buf), "\n\n") {
		if strings.Contains(stack, fmt.Sprintf("(*Server).serveHTTP(%p", s)) {
			found.WriteString("\n\n" + stack)
		}
	}
	return found.String()
}

// serveHTTP has the handler handle a request, and knows of it while it does.
func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	what := fmt.Sprintf("%s %s from %s", r.Method, r.URL, r.RemoteAddr)
	s.mu.Lock()
	s.running[r] = what
	s.mu.Unlock()
	returned := false
	defer func() {
		if v := recover(); v != nil {
			if v != http.ErrAbortHandler {
				s.failf("the handler of %s has panicked: %v\n%s", what, v, debug.Stack())
			}
			defer panic(http.ErrAbortHandler) // which net/http does not log
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.running, r)
		if returned {
			return
		}
		// A panic, or a FailNow: the client is not to wait for what does not come.
		for nc, client := range s.taken {
			if client == r.RemoteAddr {
				_ = nc.Close() // it may be closed already
			}
		}
	}()
	s.handler.ServeHTTP(w, r)
	returned = true
}

// connState is called by the HTTP server when the state of a connection changes.
func (s *Server) connState(nc net.Conn, state http.ConnState) {
	if state != http.StateHijacked {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken[nc] = nc.RemoteAddr().String()
}

// adopt makes a connection that a handler has taken one of ours to close.
func (s *Server) adopt(nc net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.adopted[nc] = true
}

// failf fails the test, from any goroutine.
func (s *Server) failf(format string, args ...any) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.t.Errorf("websockettest: "+format, args...)
	}
}

// A logger writes to the log of a Server's test.
type logger struct{ s *Server }

func (l logger) Write(p []byte) (n int, err error) {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	if !l.s.over {
		l.s.t.Logf("websockettest: %s", strings.TrimSuffix(string(p), "\n"))
	}
	return len(p), nil
}
