package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"time"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/http2"
	"github.com/duplexkit/websocket/http3"
)

// runClient opens a WebSocket by each protocol, says what carries it, and stays.
func runClient(ctx context.Context, addr string, stay time.Duration, out io.Writer) error {
	trusting := &tls.Config{InsecureSkipVerify: true} // the server made its certificate itself, a moment ago
	over2, over3 := &http2.Transport{TLSClientConfig: trusting}, &http3.Transport{TLSClientConfig: trusting}
	defer over2.CloseIdleConnections()
	defer over3.Close()
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
		fmt.Fprintf(out, "%s from %v\n", resp.Proto, c.LocalAddr())
		go func() { // the tables; and whoever reads answers pings
			for range c.Messages(context.Background()) {
			}
		}()
	}
	select {
	case <-ctx.Done():
	case <-time.After(stay):
	}
	return nil
}

// leave performs the closing handshake.
func leave(c *websocket.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	c.Shutdown(ctx, websocket.CloseNormalClosure, "")
}
