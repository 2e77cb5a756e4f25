package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/duplexkit/websocket"
)

// runClient sends the lines of in to the server at url and prints its replies
// to out, until in or ctx ends or the server closes.
func runClient(ctx context.Context, url string, in io.Reader, out io.Writer) error {
	dialer := *websocket.DefaultDialer
	dialer.Compression = &websocket.Compression{}
	c, resp, err := dialer.DialContext(ctx, url, nil)
	if err != nil {
		if resp != nil {
			err = fmt.Errorf("%w: the server answered %s", err, resp.Status)
		}
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { leave(c, websocket.CloseGoingAway) })
	defer stop()
	go func() {
		if err := sendLines(c, in); err == nil {
			leave(c, websocket.CloseNormalClosure)
		}
	}()

	for {
		_, p, err := c.ReadMessage()
		var closed *websocket.CloseError
		switch {
		case err == nil:
			fmt.Fprintf(out, "%s\n", p)
		case errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure:
			fmt.Fprintf(out, "closed: %d %s\n", closed.Code, closed.Text)
			return nil
		default:
			return err
		}
	}
}

// sendLines sends each line of in as a text message. It returns nil when in
// ends; when a message cannot be sent, reading tells why.
func sendLines(c *websocket.Conn, in io.Reader) error {
	for lines := bufio.NewReader(in); ; {
		line, err := lines.ReadString('\n')
		if err == nil || line != "" {
			if err := c.WriteMessage(websocket.TextMessage, []byte(strings.TrimRight(line, "\r\n"))); err != nil {
				return err
			}
		}
		if err != nil {
			return nil
		}
	}
}

// leave starts the closing handshake. Replies that are still under way arrive first.
func leave(c *websocket.Conn, code int) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	c.Shutdown(ctx, code, "")
}
