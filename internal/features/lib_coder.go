package main

import (
	"context"
	"errors"
	"net/http"

	"github.com/coder/websocket"
)

var coderLibrary = &library{
	name:     "coder",
	module:   "github.com/coder/websocket",
	packages: []string{"github.com/coder/websocket", "github.com/coder/websocket/wsjson"},
	upgrade: func(w http.ResponseWriter, r *http.Request, s setup) (conn, error) {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: coderMode(s), CompressionThreshold: 1})
		if err != nil {
			return nil, err
		}
		return newCoder(c, s), nil
	},
	dial: func(ctx context.Context, url string, s setup) (conn, error) {
		if s.timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, s.timeout)
			defer cancel()
		}
		hc := &http.Client{Jar: s.jar, Transport: &http.Transport{Proxy: s.proxy, TLSClientConfig: s.tls}}
		c, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: hc, CompressionMode: coderMode(s), CompressionThreshold: 1})
		if err != nil {
			return nil, err
		}
		return newCoder(c, s), nil
	},
	idle: func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err == nil {
			echo(newCoder(c, setup{}))
		}
	},
}

func coderMode(s setup) websocket.CompressionMode {
	switch {
	case s.takeover:
		return websocket.CompressionContextTakeover
	case s.compress:
		return websocket.CompressionNoContextTakeover
	}
	return websocket.CompressionDisabled
}

type coderConn struct {
	without
	*websocket.Conn
}

func newCoder(c *websocket.Conn, s setup) conn {
	if s.limit != 0 {
		c.SetReadLimit(s.limit)
	}
	return coderConn{Conn: c}
}

func (c coderConn) read() ([]byte, error) {
	_, p, err := c.Read(context.Background())
	return p, err
}

func (c coderConn) write(p []byte) error {
	return c.Write(context.Background(), websocket.MessageText, p)
}

func (c coderConn) shutdown(code int, reason string) error {
	return c.Close(websocket.StatusCode(code), reason)
}

func (c coderConn) readContext(ctx context.Context) error {
	_, _, err := c.Read(ctx)
	return err
}

func (c coderConn) ping(ctx context.Context) error { return c.Ping(ctx) }

func (c coderConn) drop() { c.CloseNow() }

func (coderConn) closed(err error) (int, string, bool) {
	var ce websocket.CloseError
	if errors.As(err, &ce) {
		return int(ce.Code), ce.Reason, true
	}
	return 0, "", false
}
