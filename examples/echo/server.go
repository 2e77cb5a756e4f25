package main

import (
	"cmp"
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
	all    websocket.Group
	served sync.WaitGroup
}

// serve answers on ln until ctx ends, then closes every connection with 1001.
func (s *server) serve(ctx context.Context, ln net.Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write(page)
	})
	upgrader := websocket.Upgrader{Options: websocket.Options{
		Compression: &websocket.Compression{}, // for clients that offer it
		Group:       &s.all,
	}}
	echo := upgrader.Handler(s.echo)
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		s.served.Add(1) // before the upgrade, for Shutdown waits no longer
		defer s.served.Done()
		echo.ServeHTTP(w, r)
	})
	srv := &http.Server{Handler: mux, ReadTimeout: 10 * time.Second} // which Upgrade lifts

	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	// Beside each other: net/http no longer knows connections that were upgraded, and may wait
	// for those that a browser has opened and not used yet.
	pages := make(chan error, 1)
	go func() { pages <- srv.Shutdown(ctx) }()
	_ = s.all.Shutdown(ctx, websocket.CloseGoingAway, "server is shutting down")
	if err := <-pages; err != nil {
		log.Printf("HTTP connections were still open: %v", err)
		srv.Close()
	}
	s.served.Wait()
	return nil
}

// echo sends every message back until the client closes.
func (s *server) echo(c *websocket.Conn, r *http.Request) error {
	err := c.Serve(r.Context(), func(m websocket.Message) error {
		return c.WriteMessage(m.Type, m.Data)
	})
	log.Printf("%v left: %q", c.RemoteAddr(), cmp.Or(err, context.Cause(c.Context()))) // quoted, for the reason is theirs
	return err
}
