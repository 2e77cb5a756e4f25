package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/duplexkit/websocket"
)

var ours = &library{
	name:     "duplexkit",
	module:   "github.com/duplexkit/websocket",
	packages: []string{"github.com/duplexkit/websocket"},
	upgrade: func(w http.ResponseWriter, r *http.Request, s setup) (conn, error) {
		u := websocket.Upgrader{Options: oursOptions(s)}
		c, err := u.Upgrade(w, r, nil)
		if err != nil {
			return nil, err
		}
		return oursConn{c}, nil
	},
	upgradeConn: func(nc net.Conn, s setup) (conn, error) {
		u := websocket.Upgrader{Options: oursOptions(s)}
		c, _, err := u.UpgradeConn(nc)
		if err != nil {
			return nil, err
		}
		return oursConn{c}, nil
	},
	dial: func(ctx context.Context, url string, s setup) (conn, error) {
		d := websocket.Dialer{
			Jar: s.jar, Proxy: s.proxy, TLSClientConfig: s.tls, HandshakeTimeout: s.timeout,
			Options: oursOptions(s),
		}
		if s.redirects {
			d.CheckRedirect = func(*http.Request, []*http.Request) error { return nil }
		}
		c, _, err := d.DialContext(ctx, url, nil)
		if err != nil {
			return nil, err
		}
		return oursConn{c}, nil
	},
	idle: func(w http.ResponseWriter, r *http.Request) {
		var u websocket.Upgrader
		u.Handler(func(c *websocket.Conn, _ *http.Request) error {
			c.Start(func(m websocket.Message) error { return c.WriteMessage(m.Type, m.Data) }, nil)
			return nil
		}).ServeHTTP(w, r)
	},
	broadcast: func(conns []conn, p []byte) error {
		g := oursGroup(conns)
		pm, err := websocket.NewPreparedMessage(websocket.TextMessage, p)
		if err == nil {
			g.Broadcast(pm)
		}
		return err
	},
	leave: func(conns []conn) error {
		return oursGroup(conns).Shutdown(context.Background(), websocket.CloseGoingAway, "")
	},
}

func oursOptions(s setup) websocket.Options {
	o := websocket.Options{ReadLimit: s.limit, PingInterval: s.keepTime}
	if s.compress {
		o.Compression = &websocket.Compression{Threshold: -1, ServerNoContextTakeover: !s.takeover, ClientNoContextTakeover: !s.takeover}
	}
	return o
}

func oursGroup(conns []conn) *websocket.Group {
	g := new(websocket.Group)
	for _, c := range conns {
		g.Add(c.(oursConn).Conn)
	}
	return g
}

type oursConn struct{ *websocket.Conn }

func (c oursConn) read() ([]byte, error) {
	_, p, err := c.ReadMessage()
	return p, err
}

func (c oursConn) write(p []byte) error { return c.WriteMessage(websocket.TextMessage, p) }

func (c oursConn) shutdown(code int, reason string) error {
	return c.Shutdown(context.Background(), code, reason)
}

func (c oursConn) setReadDeadline(t time.Time) error { return c.SetReadDeadline(t) }

func (c oursConn) readContext(ctx context.Context) error {
	_, _, err := c.ReadMessageContext(ctx, nil)
	return err
}

func (c oursConn) ping(ctx context.Context) error {
	_, err := c.Ping(ctx)
	return err
}

func (c oursConn) drop() { c.NetConn().Close(); c.Close() }

func (oursConn) closed(err error) (int, string, bool) {
	var ce *websocket.CloseError
	if errors.As(err, &ce) && ce.Code != websocket.CloseAbnormalClosure {
		return ce.Code, ce.Text, true
	}
	return 0, "", false
}
