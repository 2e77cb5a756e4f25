package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/duplexkit/websocket"
)

const (
	// plainHTTP is how long a request may take to come, and what there is of HTTP at the end.
	plainHTTP = 5 * time.Second

	// lastWords is how long those are given who have not finished when their time is up.
	lastWords = time.Second
)

// errDraining is why a connection that could go on does not.
var errDraining = errors.New("the server is shutting down")

// A job is what a client asks for, and the answer when it is done.
type job struct {
	ID   string `json:"id"`
	Ms   int64  `json:"ms"` // how long it takes, in milliseconds
	Done bool   `json:"done"`
}

// longest is how long a job may be. -drain should be longer than those that there are.
const longest = time.Minute

// do does a job, unless ctx ends before.
func do(ctx context.Context, j job) error {
	select {
	case <-time.After(time.Duration(j.Ms) * time.Millisecond):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// server does jobs.
type server struct {
	unready, drain time.Duration
	log            *log.Logger
	do             func(ctx context.Context, j job) error

	leaving  atomic.Bool     // and /readyz says so
	draining context.Context // ended when no connection may begin another job
	endJobs  context.CancelCauseFunc
	all      websocket.Group
	served   sync.WaitGroup
	atWork   atomic.Int64 // jobs
}

func newServer(unready, drain time.Duration) *server {
	s := &server{unready: unready, drain: drain, log: log.Default(), do: do}
	s.draining, s.endJobs = context.WithCancelCause(context.Background())
	return s
}

// serve answers on ln until ctx ends, and then comes to a good end:
//
//  1. /readyz says 503, so that a load balancer sends nobody any more. Until it has
//     noticed it does send, so for the time s.unready everybody is served as before.
//  2. The listener is closed: who connects now is refused.
//  3. Each connection gets a close frame with 1001: at once if it is idle, else when its
//     job is done and answered. Clients that come back reach another server, since this
//     one is closed to them; that is why this is not the first step.
//  4. Jobs have the time s.drain. After that they are cut off, and the error says so. Plain
//     requests have plainHTTP of it.
func (s *server) serve(ctx context.Context, ln net.Listener) error {
	srv := &http.Server{Handler: s.handler(), ReadTimeout: plainHTTP} // which Upgrade lifts
	srv.RegisterOnShutdown(func() { s.endJobs(errDraining) })         // 3: it is called when the listener is closed
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}

	s.leaving.Store(true)
	s.log.Printf("not ready any more, and serving for %v", s.unready)
	select {
	case err := <-failed:
		return err
	case <-time.After(s.unready):
	}

	s.log.Printf("closed to new ones; %d connections, %d of them at work, have %v", s.all.Len(), s.atWork.Load(), s.drain)
	ctx, cancel := context.WithTimeout(context.Background(), s.drain)
	defer cancel()
	// net/http waits for requests that it serves, but no longer knows connections that
	// were upgraded. Those are ours to wait for. Here all other requests are short ones: one
	// that is still not over, or has not even come, is no work that is lost.
	short, cancel := context.WithTimeout(ctx, plainHTTP)
	defer cancel()
	if err := srv.Shutdown(short); err != nil {
		s.log.Printf("HTTP connections were still open: %v", err)
		_ = srv.Close()
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.served.Wait()
	}()
	select {
	case <-done:
		s.log.Print("all are gone")
		return nil
	case <-ctx.Done():
	}

	// Time is up. Those who are left are told so, and closed; do sees that and gives up.
	left := s.atWork.Load()
	ctx, cancel = context.WithTimeout(context.Background(), lastWords)
	defer cancel()
	if dropped := s.all.Shutdown(ctx, websocket.CloseGoingAway, "out of time"); dropped != nil {
		s.log.Printf("some clients did not answer the farewell: %v", dropped)
	}
	select {
	case <-done:
	case <-time.After(lastWords): // a job that heeds no context must not keep the process
	}
	if left > 0 {
		return fmt.Errorf("jobs cut off after %v: %d", s.drain, left)
	}
	return nil
}

func (s *server) handler() http.Handler {
	upgrader := websocket.Upgrader{Options: websocket.Options{
		Group:        &s.all,
		ReadLimit:    64 << 10,
		PingInterval: 30 * time.Second,
		CloseTimeout: 2 * time.Second, // a part of s.drain: clients that are gone must not use it up
	}}
	work := upgrader.Handler(s.work)

	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if s.leaving.Load() {
			http.Error(w, "shutting down", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		s.served.Add(1) // before the upgrade, for Shutdown waits no longer
		defer s.served.Done()
		work.ServeHTTP(w, r)
	})
	return mux
}

// work serves one client. When the context ends, Serve takes leave with 1001: at once if it
// waits for a message, and else when the handler returns, whose answer arrives before.
// Group.Shutdown would not do: it sends the close frame at once, and after that no answer.
func (s *server) work(c *websocket.Conn, _ *http.Request) error {
	err := c.Serve(s.draining, func(m websocket.Message) error {
		s.atWork.Add(1)
		defer s.atWork.Add(-1)
		var j job
		if err := json.Unmarshal(m.Data, &j); err != nil || j.Ms < 0 || j.Ms > longest.Milliseconds() {
			return &websocket.CloseError{Code: websocket.ClosePolicyViolation, Text: "this is no job"}
		}
		s.log.Printf("%v: begin %q", c.RemoteAddr(), j.ID)
		if err := s.do(c.Context(), j); err != nil { // that context ends when nobody is there for the answer
			return err
		}
		j.Done = true
		return c.WriteJSON(j)
	})
	s.log.Printf("%v left: %q", c.RemoteAddr(), cmp.Or(err, context.Cause(c.Context()))) // quoted, for the reason is theirs
	return err
}
