//go:build linux

package main

import (
	"context"
	"net"
	"net/http"

	"github.com/duplexkit/websocket"
)

// This library, next to which the others are put.

// messageConn is what gorilla's users know, whoever makes it.
type messageConn interface {
	ReadMessage() (messageType int, p []byte, err error)
	WriteMessage(messageType int, data []byte) error
}

// echoLikeGorilla is an echo as most programs have it.
func echoLikeGorilla(c messageConn) error {
	for {
		messageType, p, err := c.ReadMessage()
		if err != nil {
			return err
		}
		if err := c.WriteMessage(messageType, p); err != nil {
			return err
		}
	}
}

func oursMessages(c *websocket.Conn) error { return echoLikeGorilla(c) }

// oursContext reads each message into the memory of the last one.
func oursContext(c *websocket.Conn) error {
	var kept []byte
	for {
		messageType, p, err := c.ReadMessageContext(context.Background(), kept[:0])
		if err != nil {
			return err
		}
		if err := c.WriteMessage(messageType, p); err != nil {
			return err
		}
		kept = p
	}
}

func oursServe(c *websocket.Conn) error {
	return c.Serve(context.Background(), func(m websocket.Message) error { return c.WriteMessage(m.Type, m.Data) })
}

// ours upgrades by net/http and has serve serve in the handler.
func ours(serve func(*websocket.Conn) error) func(net.Listener) error {
	var u websocket.Upgrader
	h := u.Handler(func(c *websocket.Conn, _ *http.Request) error { return serve(c) })
	return httpServer(h.ServeHTTP)
}

// oursReturned upgrades by net/http, whose handler returns: serve goes on without
// what net/http keeps for a request.
func oursReturned(serve func(*websocket.Conn) error) func(net.Listener) error {
	var u websocket.Upgrader
	return httpServer(func(w http.ResponseWriter, r *http.Request) {
		if c, err := u.Upgrade(w, r, nil); err == nil {
			go serve(c)
		}
	})
}

// oursBare does without net/http.
func oursBare(serve func(*websocket.Conn) error) func(net.Listener) error {
	var u websocket.Upgrader
	return eachConn(func(nc net.Conn) {
		if c, _, err := u.UpgradeConn(nc); err == nil {
			serve(c)
		}
	})
}

func oursClient(serve func(*websocket.Conn) error) func(string) error {
	return func(addr string) error {
		c, _, err := websocket.DefaultDialer.Dial("ws://"+addr, nil)
		if err != nil {
			return err
		}
		return serve(c)
	}
}

type oursConn struct{ *websocket.Conn }

func (c oursConn) write(p []byte) error { return c.WriteMessage(websocket.BinaryMessage, p) }

func oursPush(l net.Listener, with func(conn)) error {
	return ours(func(c *websocket.Conn) error {
		with(oursConn{c})
		return oursContext(c)
	})(l)
}

func oursDial(addr string) (conn, error) {
	c, _, err := websocket.DefaultDialer.Dial("ws://"+addr, nil)
	return oursConn{c}, err
}

func oursRead(l net.Listener, got func([]byte)) error {
	return ours(func(c *websocket.Conn) error {
		for {
			_, p, err := c.ReadMessage()
			if err != nil {
				return err
			}
			got(p)
		}
	})(l)
}

func oursReadKept(l net.Listener, got func([]byte)) error {
	return ours(func(c *websocket.Conn) error {
		var kept []byte
		for {
			_, p, err := c.ReadMessageContext(context.Background(), kept[:0])
			if err != nil {
				return err
			}
			got(p)
			kept = p
		}
	})(l)
}

func oursReadServe(l net.Listener, got func([]byte)) error {
	return ours(func(c *websocket.Conn) error {
		return c.Serve(context.Background(), func(m websocket.Message) error {
			got(m.Data)
			return nil
		})
	})(l)
}

// oursPrepared writes a prepared message to one after the other.
func oursPrepared(conns []conn) func([]byte) error {
	return func(p []byte) error {
		pm, err := websocket.NewPreparedMessage(websocket.BinaryMessage, p)
		if err != nil {
			return err
		}
		for _, c := range conns {
			if err := c.(oursConn).WritePreparedMessage(pm); err != nil {
				return err
			}
		}
		return nil
	}
}

func dropOurs(c *websocket.Conn) error { return c.Close() }

// oursStart keeps nothing while idle: the handler returns, and no goroutine waits.
func oursStart(l net.Listener) error {
	var u websocket.Upgrader
	return httpServer(func(w http.ResponseWriter, r *http.Request) {
		if c, err := u.Upgrade(w, r, nil); err == nil {
			c.Start(func(m websocket.Message) error { return c.WriteMessage(m.Type, m.Data) }, func(error) {})
		}
	})(l)
}

func oursGroup(conns []conn) func([]byte) error {
	var g websocket.Group
	for _, c := range conns {
		g.Add(c.(oursConn).Conn)
	}
	return func(p []byte) error {
		pm, err := websocket.NewPreparedMessage(websocket.BinaryMessage, p)
		if err == nil {
			g.Broadcast(pm)
		}
		return err
	}
}

func oursPushTry(l net.Listener, with func(conn)) error { return oursPush(l, with) }

func oursTry(conns []conn) func([]byte) error {
	return func(p []byte) error {
		pm, err := websocket.NewPreparedMessage(websocket.BinaryMessage, p)
		if err != nil {
			return err
		}
		for _, c := range conns {
			if err := c.(oursConn).TryWritePreparedMessage(pm); err != nil {
				return err
			}
		}
		return nil
	}
}
