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
	input := make(chan error, 1) // how in has ended, if it has
	go func() {
		input <- sendLines(c, in)
		leave(c, websocket.CloseNormalClosure)
	}()

	for {
		_, p, err := c.ReadMessage()
		var closed *websocket.CloseError
		switch {
		case err == nil:
			fmt.Fprintf(out, "%s\n", p)
			continue
		case !errors.As(err, &closed) || websocket.IsUnexpectedCloseError(err,
			websocket.CloseNormalClosure, websocket.CloseGoingAway, websocket.CloseNoStatusReceived):
			return err
		}
		fmt.Fprintf(out, "closed: %d %s\n", closed.Code, closed.Text)
		select {
		case err := <-input:
			return err
		default:
			return nil
		}
	}
}

// sendLines sends each line of in, however long, as a text message. It returns why in cannot
// be read, and nil when it ends or a message cannot be sent: then reading from c tells why.
func sendLines(c *websocket.Conn, in io.Reader) error {
	for lines := bufio.NewReader(in); ; {
		line, err := lines.ReadString('\n')
		if err == nil || line != "" {
			if c.WriteMessage(websocket.TextMessage, []byte(strings.TrimRight(line, "\r\n"))) != nil {
				return nil
			}
		}
		switch err {
		case nil:
		case io.EOF:
			return nil
		default:
			return fmt.Errorf("the input has broken off: %w", err)
		}
	}
}

// leave starts the closing handshake. Replies that are still under way arrive first.
func leave(c *websocket.Conn, code int) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	c.Shutdown(ctx, code, "")
}
