package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/duplexkit/websocket"
)

// farewell bounds how long either end waits for the other when it leaves.
const farewell = 5 * time.Second

// options are what both ends have for their connections.
var options = websocket.Options{
	ReadLimit:    1 << 20,
	WriteTimeout: 10 * time.Second,
	PingInterval: 30 * time.Second,
}

type server struct {
	all    websocket.Group
	served sync.WaitGroup
}

// serve answers on ln until ctx ends, then closes every connection with 1001.
func (s *server) serve(ctx context.Context, ln net.Listener) error {
	upgrader := websocket.Upgrader{Options: options}
	upgrader.Group = &s.all
	calls := upgrader.Handler(func(c *websocket.Conn, r *http.Request) error {
		err := NewPeer(c, s.methods(), s.notices()).Serve(r.Context())
		log.Printf("%v left: %q", c.RemoteAddr(), cmp.Or(err, context.Cause(c.Context()))) // quoted, for the reason is theirs
		return err
	})
	mux := http.NewServeMux()
	mux.HandleFunc("/rpc", func(w http.ResponseWriter, r *http.Request) {
		s.served.Add(1)
		defer s.served.Done()
		calls.ServeHTTP(w, r)
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
	// Beside each other: a page may take its time, and so may a browser's connection on which no
	// request has come.
	pages := make(chan error, 1)
	go func() { pages <- srv.Shutdown(ctx) }()
	if err := s.all.Shutdown(ctx, websocket.CloseGoingAway, "server is shutting down"); err != nil {
		log.Printf("not all clients have answered: %v", err)
	}
	if err := <-pages; err != nil {
		log.Printf("HTTP connections were still open: %v", err)
		srv.Close()
	}
	s.served.Wait()
	return nil
}

// Parameters and results, which a client in Go shares with the server.
type (
	division struct{ A, B float64 }
	pause    struct {
		Milliseconds int `json:"ms"`
	}
	saying struct {
		Text string `json:"text"`
	}
	said struct {
		From string `json:"from"`
		Text string `json:"text"`
	}
)

// codeDivision is an error of a method's own.
const codeDivision = 1

func (s *server) methods() map[string]Method {
	return map[string]Method{
		"add":    Typed(add),
		"divide": Typed(divide),
		"wait":   Typed(wait),
		"greet":  Typed(greet),
		"say":    Typed(s.say),
	}
}

func (s *server) notices() map[string]Notice {
	return map[string]Notice{
		"say": TypedNotice(func(p *Peer, what saying) error {
			_, err := s.say(p.c.Context(), p, what)
			return err
		}),
	}
}

// add adds numbers: [1, 2, 3] is 6.
func add(_ context.Context, _ *Peer, terms []float64) (sum float64, err error) {
	for _, term := range terms {
		sum += term
	}
	return sum, nil
}

func divide(_ context.Context, _ *Peer, d division) (float64, error) {
	if d.B == 0 {
		return 0, &Error{Code: codeDivision, Message: "division by zero"}
	}
	return d.A / d.B, nil
}

// longestWait is an hour.
const longestWait = 3_600_000

// wait answers after a while, or when the caller has lost interest.
func wait(ctx context.Context, _ *Peer, p pause) (pause, error) {
	if p.Milliseconds < 0 || p.Milliseconds > longestWait {
		return p, &Error{Code: CodeInvalidParams, Message: fmt.Sprintf("ms must be from 0 to %d", longestWait)}
	}
	timer := time.NewTimer(time.Duration(p.Milliseconds) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		return p, nil
	case <-ctx.Done():
		return p, ctx.Err()
	}
}

// greet asks the caller for its name, by a call the other way.
func greet(ctx context.Context, p *Peer, _ struct{}) (string, error) {
	name, err := Call[string](ctx, p, "name", nil)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("Hello, %s!", name), nil
}

// say notifies all clients, without waiting for any, and returns how many.
func (s *server) say(_ context.Context, p *Peer, what saying) (int, error) {
	m, err := request(nil, "said", said{p.c.RemoteAddr().String(), what.Text})
	if err != nil {
		return 0, err
	}
	text, err := json.Marshal(m)
	if err != nil {
		return 0, err
	}
	pm, err := websocket.NewPreparedMessage(websocket.TextMessage, text)
	if err != nil {
		return 0, err
	}
	s.all.Broadcast(pm)
	return s.all.Len(), nil
}
