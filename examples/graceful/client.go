package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/duplexkit/websocket"
)

// Pauses before connecting again, doubled after each failure. They are random, lest all
// clients of a server that was restarted come in the same instant.
const leastPause, mostPause = 500 * time.Millisecond, 10 * time.Second

// runClients has n clients send jobs to the server at base, one after the other, and
// prints what they and its load balancer would see, until ctx ends.
func runClients(ctx context.Context, base string, n int, work time.Duration, out io.Writer) error {
	base = strings.TrimRight(base, "/")
	logger := log.New(out, "", log.Ltime|log.Lmicroseconds)
	var wg sync.WaitGroup
	wg.Go(func() { probe(ctx, base+"/readyz", logger) })
	for i := range n {
		c := &client{name: fmt.Sprintf("client %d", i+1), url: base + "/ws", work: work, log: logger}
		wg.Go(func() { c.run(ctx) })
	}
	wg.Wait()
	return nil
}

// A client has its jobs done, whatever happens to the server.
type client struct {
	name, url string
	work      time.Duration
	log       *log.Logger

	job int // the one that is due
}

// run connects again and again until ctx ends.
func (c *client) run(ctx context.Context) {
	c.job = 1
	for pause := leastPause; ; {
		before := c.job
		err := c.session(ctx)
		if ctx.Err() != nil {
			return
		}
		if c.job > before {
			pause = leastPause // that server worked
		}
		p := rand.N(pause)
		c.say("%v; job %d is not done, again in %v", err, c.job, p.Round(time.Millisecond))
		select {
		case <-ctx.Done():
			return
		case <-time.After(p):
		}
		pause = min(2*pause, mostPause)
	}
}

// session sends jobs over one connection, until that ends.
func (c *client) session(ctx context.Context) error {
	dialer := websocket.Dialer{Options: websocket.Options{PingInterval: 30 * time.Second}}
	conn, resp, err := dialer.DialContext(ctx, c.url, nil)
	if resp != nil && err != nil {
		return fmt.Errorf("%w: the server answered %s", err, resp.Status)
	} else if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() {
		bye, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = conn.Shutdown(bye, websocket.CloseNormalClosure, "") // reading tells of the end
	})
	defer stop()
	c.say("connected")
	for {
		// A job that was sent before and not answered has the same ID again. Whether a server
		// has done it, and only the answer was lost, it can tell by that, if it keeps a record.
		id := fmt.Sprintf("%s, job %d", c.name, c.job)
		sent := time.Now()
		if err := conn.WriteJSON(job{ID: id, Ms: c.work.Milliseconds()}); err != nil && !errors.Is(err, websocket.ErrCloseSent) {
			return err
		}
		var answer job
		if err := conn.ReadJSON(&answer); err != nil {
			return err
		}
		if answer.ID != id || !answer.Done {
			return fmt.Errorf("wrong answer: %+v", answer)
		}
		c.say("job %d is done, after %v", c.job, time.Since(sent).Round(time.Millisecond))
		c.job++
	}
}

func (c *client) say(format string, args ...any) {
	c.log.Printf(c.name+": "+format, args...)
}

// probe asks whether the server is ready, as a load balancer does, and tells of changes.
func probe(ctx context.Context, url string, logger *log.Logger) {
	client := &http.Client{
		Timeout:   time.Second,
		Transport: &http.Transport{DisableKeepAlives: true}, // each probe is to be a new connection
	}
	every := time.NewTicker(200 * time.Millisecond)
	defer every.Stop()
	for last := ""; ; {
		now := ""
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err == nil {
			var resp *http.Response
			if resp, err = client.Do(req); err == nil {
				_ = resp.Body.Close() // the status is all we want
				now = resp.Status
			}
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			now = err.Error()
		}
		if now != last {
			logger.Printf("readyz: %s", now)
			last = now
		}
		select {
		case <-every.C:
		case <-ctx.Done():
			return
		}
	}
}
