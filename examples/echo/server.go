package main

import (
	"context"
	_ "embed"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/duplexkit/websocket"
)

//go:embed page.html
var page []byte

// farewell bounds how long the server waits for its clients when it ends.
const farewell = 5 * time.Second

// server knows its connections, so that it can take leave of them.
type server struct {
	mu     sync.Mutex
	conns  map[*websocket.Conn]bool
	ending bool // no more connections are taken
	served sync.WaitGroup
}

// serve answers on ln until ctx ends, then closes every connection with 1001.
func (s *server) serve(ctx context.Context, ln net.Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write(page)
	})
	upgrader := websocket.Upgrader{Options: websocket.Options{Compression: &websocket.Compression{}}} // for clients that offer it
	mux.Handle("/ws", upgrader.Handler(s.echo))
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}

	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	err := srv.Shutdown(ctx) // plain HTTP only: net/http no longer knows connections that were upgraded
	s.shutdown(ctx)
	return err
}

// echo sends every message back until the client closes.
func (s *server) echo(c *websocket.Conn, r *http.Request) error {
	if !s.add(c) {
		return &websocket.CloseError{Code: websocket.CloseGoingAway}
	}
	defer s.remove(c)
	err := c.Serve(r.Context(), func(m websocket.Message) error {
		return c.WriteMessage(m.Type, m.Data)
	})
	log.Printf("%v left: %v", c.RemoteAddr(), err)
	return err
}

func (s *server) add(c *websocket.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending {
		return false
	}
	if s.conns == nil {
		s.conns = make(map[*websocket.Conn]bool)
	}
	s.conns[c] = true
	s.served.Add(1)
	return true
}

func (s *server) remove(c *websocket.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.served.Done()
}

// shutdown takes leave of every connection at once and returns when all have ended.
func (s *server) shutdown(ctx context.Context) {
	s.mu.Lock()
	s.ending = true
	for c := range s.conns {
		go c.Shutdown(ctx, websocket.CloseGoingAway, "server is shutting down")
	}
	s.mu.Unlock()
	s.served.Wait()
}
