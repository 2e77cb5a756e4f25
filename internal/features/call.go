package main

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"strings"
	"time"
)

// call is a function that runs on a goroutine of its own.
type call struct {
	id       string // of the goroutine
	returned chan struct{}
	err      error // valid once returned is closed
	panicked any   // the same
}

func start(f func() error) *call {
	c := &call{returned: make(chan struct{})}
	began := make(chan string)
	go func() {
		defer close(c.returned)
		defer func() { c.panicked = recover() }()
		b := make([]byte, 64)
		began <- strings.Fields(string(b[:runtime.Stack(b, false)]))[1]
		c.err = f()
	}()
	c.id = <-began
	return c
}

// settle waits until the call has returned or waits for something itself, and says whether it
// has returned. A goroutine waits if it was seen to do so many times in a row: that takes the
// place of a guess at how long it might need.
func (c *call) settle(ctx context.Context) (returned bool, err error) {
	head := []byte("goroutine " + c.id + " [")
	buf := make([]byte, 1<<20)
	for seen := 0; seen < 20; {
		select {
		case <-c.returned:
			return true, nil
		case <-ctx.Done():
			return false, fmt.Errorf("neither returned nor waiting: %w", ctx.Err())
		case <-time.After(time.Millisecond):
		}
		dump := buf[:runtime.Stack(buf, true)]
		i := bytes.Index(dump, head)
		if i < 0 {
			seen = 0
			continue
		}
		state, _, _ := strings.Cut(string(dump[i+len(head):]), "]")
		state, _, _ = strings.Cut(state, ",")
		switch state {
		case "sync.Mutex.Lock", "sync.RWMutex.Lock", "sync.Cond.Wait", "semacquire", "select", "chan receive", "chan send", "IO wait":
			seen++
		default:
			seen = 0
		}
	}
	return false, nil
}

// wait waits for the call to return.
func (c *call) wait(ctx context.Context) error {
	select {
	case <-c.returned:
		if c.panicked != nil {
			return fmt.Errorf("panic: %v", c.panicked)
		}
		return c.err
	case <-ctx.Done():
		return fmt.Errorf("did not return: %w", ctx.Err())
	}
}
