package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/http2"
	"github.com/duplexkit/websocket/http3"
)

// runClient opens a WebSocket by each protocol, says what carries it, and stays while one is
// open. It says how each ended.
func runClient(ctx context.Context, addr string, stay time.Duration, out io.Writer) error {
	trusting := &tls.Config{InsecureSkipVerify: true} // the server made its certificate itself, a moment ago
	over2, over3 := &http2.Transport{TLSClientConfig: trusting}, &http3.Transport{TLSClientConfig: trusting}
	defer over2.CloseIdleConnections()
	defer over3.Close()
	var saying sync.Mutex
	say := func(format string, args ...any) {
		saying.Lock()
		defer saying.Unlock()
		fmt.Fprintf(out, format+"\n", args...)
	}
	var open sync.WaitGroup
	defer open.Wait()
	for _, dialer := range []websocket.Dialer{
		{TLSClientConfig: trusting},
		{TLSClientConfig: trusting, Transport: over2},
		{TLSClientConfig: trusting, Transport: over3},
	} {
		c, resp, err := dialer.DialContext(ctx, "wss://"+addr+"/ws", nil)
		switch {
		case ctx.Err() != nil && err != nil: // whoever asked has changed their mind
			return nil
		case err != nil:
			return err
		}
		defer leave(c)
		say("%s from %v", resp.Proto, c.LocalAddr())
		open.Go(func() {
			for range c.Messages(context.Background()) { // the tables; and whoever reads answers pings
			}
			say("%s has ended: %v", resp.Proto, context.Cause(c.Context()))
		})
	}
	ended := make(chan struct{})
	go func() {
		open.Wait()
		close(ended)
	}()
	select {
	case <-ctx.Done():
	case <-time.After(stay):
	case <-ended:
	}
	return nil
}

// leave performs the closing handshake.
func leave(c *websocket.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	c.Shutdown(ctx, websocket.CloseNormalClosure, "")
}
