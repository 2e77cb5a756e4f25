package main

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/gorilla/websocket"
)

var gorillaLibrary = &library{
	name:     "gorilla",
	module:   "github.com/gorilla/websocket",
	packages: []string{"github.com/gorilla/websocket"},
	upgrade: func(w http.ResponseWriter, r *http.Request, s setup) (conn, error) {
		u := websocket.Upgrader{EnableCompression: s.compress}
		c, err := u.Upgrade(w, r, nil)
		if err != nil {
			return nil, err
		}
		return newGorilla(c, s), nil
	},
	dial: func(ctx context.Context, url string, s setup) (conn, error) {
		d := websocket.Dialer{
			Jar: s.jar, Proxy: s.proxy, TLSClientConfig: s.tls, HandshakeTimeout: s.timeout,
			EnableCompression: s.compress,
		}
		c, _, err := d.DialContext(ctx, url, nil)
		if err != nil {
			return nil, err
		}
		return newGorilla(c, s), nil
	},
	idle: func(w http.ResponseWriter, r *http.Request) {
		var u websocket.Upgrader
		c, err := u.Upgrade(w, r, nil)
		if err == nil {
			echo(newGorilla(c, setup{}))
		}
	},
}

type gorillaConn struct {
	without
	*websocket.Conn
}

func newGorilla(c *websocket.Conn, s setup) conn {
	if s.limit != 0 {
		c.SetReadLimit(s.limit)
	}
	return gorillaConn{Conn: c}
}

func (c gorillaConn) read() ([]byte, error) {
	_, p, err := c.ReadMessage()
	return p, err
}

func (c gorillaConn) write(p []byte) error { return c.WriteMessage(websocket.TextMessage, p) }

func (c gorillaConn) shutdown(code int, reason string) error {
	return c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), time.Time{})
}

func (c gorillaConn) setReadDeadline(t time.Time) error { return c.SetReadDeadline(t) }

func (c gorillaConn) drop() { c.Close() }

func (gorillaConn) closed(err error) (int, string, bool) {
	var ce *websocket.CloseError
	if errors.As(err, &ce) && ce.Code != websocket.CloseAbnormalClosure {
		return ce.Code, ce.Text, true
	}
	return 0, "", false
}
