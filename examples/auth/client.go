package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/duplexkit/websocket"
)

// runClient opens a WebSocket with the token, sends the lines of in and prints what comes,
// until in or ctx ends or the server closes.
func runClient(ctx context.Context, address, token string, in io.Reader, out io.Writer) error {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return err
	case token == "":
		return errors.New("no token: put one into the environment variable TOKEN")
	case u.Scheme != "wss" && u.Scheme != "https" && !isLoopback(u.Hostname()):
		return errors.New("the token would go over the network for all to read: use wss")
	}
	header := http.Header{"Authorization": {"Bearer " + token}}
	c, resp, err := websocket.DefaultDialer.DialContext(ctx, address, header)
	switch {
	case resp != nil && resp.StatusCode == http.StatusUnauthorized:
		return errors.New("the server does not accept the token; it may have expired")
	case resp != nil && err != nil:
		return fmt.Errorf("%w: the server answered %s", err, resp.Status)
	case err != nil:
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

	for m, err := range c.Messages(context.Background()) {
		switch {
		case websocket.IsCloseError(err, closeUnauthorized):
			return fmt.Errorf("the server has closed: %w", err) // to go on takes another token
		case err != nil:
			return err
		}
		fmt.Fprintf(out, "%s\n", strings.TrimRight(string(m.Data), "\n"))
	}
	select {
	case err := <-input:
		return err
	default:
		return nil
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

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// leave performs the closing handshake.
func leave(c *websocket.Conn, code int) {
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	c.Shutdown(ctx, code, "")
}
