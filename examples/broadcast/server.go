package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/duplexkit/websocket"
)

// farewell bounds how long an end waits for the answers of its peers.
const farewell = 5 * time.Second

// server sends a ticker to all its connections.
type server struct {
	options  websocket.Options
	interval time.Duration // between broadcasts
	market   *market

	all      websocket.Group
	served   sync.WaitGroup // HTTP handlers, and connections that are open
	tally    tally
	rounds   int64        // broadcasts so far
	sentAway atomic.Int64 // slow consumers that were closed
}

func newServer(opts websocket.Options, interval time.Duration, size int) *server {
	s := &server{options: opts, interval: interval, market: newMarket(size)}
	s.options.Group = &s.all
	s.options.ReadLimit = 1 << 10 // clients have nothing to say

	// The peer of a connection that is only written to may vanish unnoticed: a ping makes it
	// say something. This is a timer for each connection, not a goroutine.
	s.options.PingInterval = 30 * time.Second

	// A peer that takes nothing at all for so long is not slow, but gone.
	s.options.WriteTimeout = 10 * time.Second
	return s
}

// serve answers on ln until ctx ends, then closes every connection with 1001.
func (s *server) serve(ctx context.Context, ln net.Listener, out io.Writer) error {
	upgrader := websocket.Upgrader{Options: s.options}
	join := upgrader.Handler(s.join)
	mux := http.NewServeMux()
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		s.served.Add(1) // before the upgrade, for Shutdown waits no longer
		defer s.served.Done()
		join.ServeHTTP(w, r)
	})
	srv := &http.Server{Handler: mux, ReadTimeout: 10 * time.Second} // which Upgrade lifts
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()

	ticks := time.NewTicker(s.interval)
	defer ticks.Stop()
	reports := time.NewTicker(time.Second)
	defer reports.Stop()
	for last := s.snapshot(); ctx.Err() == nil; {
		select {
		case err := <-failed:
			return err
		case <-ticks.C:
			s.broadcast()
		case <-reports.C:
			now := s.snapshot()
			if now.time.Sub(last.time) > time.Second/2 { // or the last report came late, and there is little to tell
				fmt.Fprintln(out, now.since(last))
				last = now
			}
		case <-ctx.Done():
		}
	}

	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	// Beside each other: net/http no longer knows connections that were upgraded, and may wait
	// for those that a browser has opened and not used yet.
	pages := make(chan error, 1)
	go func() { pages <- srv.Shutdown(ctx) }()
	if err := s.all.Shutdown(ctx, websocket.CloseGoingAway, "server is shutting down"); err != nil {
		log.Printf("some clients did not answer the farewell: %v", err)
	}
	if err := <-pages; err != nil {
		log.Printf("HTTP connections were still open: %v", err)
		srv.Close()
	}
	s.served.Wait()
	return nil
}

// join is all that a connection has of a goroutine: it returns at once, and HTTP's
// goroutine and buffers go. From then on the connection is in the Group, and with the
// operating system, which says when there is something to read.
func (s *server) join(c *websocket.Conn, _ *http.Request) error {
	s.served.Add(1)
	s.tally.add(c)
	c.Start(func(websocket.Message) error {
		return &websocket.CloseError{Code: websocket.ClosePolicyViolation, Text: "this is a one-way street"}
	}, func(error) {
		if errors.Is(context.Cause(c.Context()), websocket.ErrWriteQueueFull) {
			s.sentAway.Add(1)
		}
		s.tally.remove(c)
		s.served.Done()
	})
	return nil
}

// broadcast sends the next tick to everybody. The message is encoded once, and compressed
// once for each kind of compression in use, however many want it; Broadcast queues it on
// each connection and waits for none.
func (s *server) broadcast() {
	s.rounds++
	data := s.market.tick(s.rounds, time.Now())
	pm, err := websocket.NewPreparedMessage(websocket.TextMessage, data)
	if err != nil {
		log.Printf("round %d is left out: %v", s.rounds, err)
		return
	}
	s.all.Broadcast(pm)
}

// A snapshot is what the server has done so far.
type snapshot struct {
	time        time.Time
	connections int
	rounds      int64
	sentAway    int64
	websocket.Stats
}

func (s *server) snapshot() snapshot {
	n, stats := s.tally.total()
	return snapshot{time.Now(), n, s.rounds, s.sentAway.Load(), stats}
}

// since is the report of what happened since an earlier snapshot.
func (s snapshot) since(last snapshot) string {
	seconds := s.time.Sub(last.time).Seconds()
	per := func(now, then int64) float64 { return float64(now-then) / seconds }
	return fmt.Sprintf("%d connections  %.1f broadcasts/s  %.0f messages/s  %s/s (%s/s on the wire)  %d dropped  %d slow ones closed  %s queued  %d goroutines",
		s.connections, per(s.rounds, last.rounds), per(s.MessagesWritten, last.MessagesWritten),
		inBytes(per(s.PayloadWritten, last.PayloadWritten)), inBytes(per(s.WireWritten, last.WireWritten)),
		s.Dropped-last.Dropped, s.sentAway-last.sentAway, inBytes(float64(s.Queued)), runtime.NumGoroutine())
}

// inBytes returns n in a unit that people can read.
func inBytes(n float64) string {
	switch {
	case n < 1e3:
		return fmt.Sprintf("%.0f B", n)
	case n < 1e6:
		return fmt.Sprintf("%.1f kB", n/1e3)
	default:
		return fmt.Sprintf("%.1f MB", n/1e6)
	}
}
