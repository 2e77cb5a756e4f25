package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/duplexkit/websocket"
)

// session opens a connection, has do use it, and takes leave. Notifications are printed.
func session(ctx context.Context, url string, out io.Writer, do func(p *Peer) error) (err error) {
	dialer := websocket.Dialer{Options: options}
	c, resp, err := dialer.DialContext(ctx, url, nil)
	switch {
	case resp != nil && err != nil:
		return fmt.Errorf("%w: the server answered %s", err, resp.Status)
	case err != nil:
		return err
	}
	defer c.Close()
	p := NewPeer(c, map[string]Method{
		"name": Typed(func(context.Context, *Peer, struct{}) (string, error) { return "the example's client", nil }),
	}, map[string]Notice{
		"said": TypedNotice(func(_ *Peer, s said) error {
			_, err := fmt.Fprintf(out, "%s says: %q\n", s.From, s.Text) // quoted, for anybody may say anything
			return err
		}),
	})
	served := make(chan error, 1)
	go func() { served <- p.Serve(context.Background()) }()
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), farewell)
		defer cancel()
		err = errors.Join(err, c.Shutdown(ctx, websocket.CloseNormalClosure, ""))
		<-served
	}()
	return do(p)
}

// locked is a writer for many goroutines: notifications are printed when they come.
type locked struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// call calls one method and prints its result.
func call(ctx context.Context, url, method, params string, out io.Writer) error {
	var raw any // nil is no parameters
	if params != "" {
		if !json.Valid([]byte(params)) {
			return fmt.Errorf("the parameters are no JSON: %s", params)
		}
		raw = json.RawMessage(params)
	}
	return session(ctx, url, out, func(p *Peer) error {
		result, err := Call[json.RawMessage](ctx, p, method, raw)
		if err == nil {
			_, err = fmt.Fprintf(out, "%s\n", result)
		}
		return err
	})
}

// watch prints notifications until ctx or the connection ends.
func watch(ctx context.Context, url string, out io.Writer) error {
	return session(ctx, url, out, func(p *Peer) error {
		fmt.Fprintln(out, "connected; Ctrl-C ends")
		select {
		case <-ctx.Done():
			return nil
		case <-p.c.Context().Done():
			return context.Cause(p.c.Context())
		}
	})
}

// demo shows what a connection can do.
func demo(ctx context.Context, url string, out io.Writer) error {
	return session(ctx, url, out, func(p *Peer) error {
		sum, err := Call[float64](ctx, p, "add", []float64{1, 2, 3})
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "1 + 2 + 3 = %v\n", sum)

		_, err = Call[float64](ctx, p, "divide", division{1, 0})
		var failed *Error
		if !errors.As(err, &failed) {
			return fmt.Errorf("1 / 0 should be an error of the server, and is %v", err)
		}
		fmt.Fprintf(out, "1 / 0 is an error: %v\n", failed)

		greeting, err := Call[string](ctx, p, "greet", nil)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "the server asked for a name and says: %s\n", greeting)

		// Concurrent calls on one connection. Each is answered when it is done.
		var calls sync.WaitGroup
		var mu sync.Mutex
		var errs error
		for _, ms := range []int{300, 200, 100} {
			calls.Go(func() {
				waited, err := Call[pause](ctx, p, "wait", pause{ms})
				if err != nil {
					mu.Lock()
					defer mu.Unlock()
					errs = errors.Join(errs, err)
					return
				}
				fmt.Fprintf(out, "waited for %d ms\n", waited.Milliseconds)
			})
		}
		calls.Wait()
		if errs != nil {
			return errs
		}

		impatient, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
		_, err = Call[pause](impatient, p, "wait", pause{60_000})
		if !errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("a minute should be too long, and is %v", err)
		}
		fmt.Fprintf(out, "a minute is too long: %v\n", err)

		listeners, err := Call[int](ctx, p, "say", saying{"hello, all"})
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "said something to %d\n", listeners)
		return nil
	})
}
