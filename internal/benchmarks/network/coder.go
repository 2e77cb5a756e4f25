//go:build linux

package main

import (
	"context"
	"net"
	"net/http"

	"github.com/coder/websocket"
)

// coder/websocket.

func coder(serve func(*websocket.Conn)) func(net.Listener) error {
	return httpServer(func(w http.ResponseWriter, r *http.Request) {
		if c, err := websocket.Accept(w, r, nil); err == nil {
			defer c.CloseNow()
			c.SetReadLimit(maxMessage)
			serve(c)
		}
	})
}

func coderEcho(l net.Listener) error { return coder(func(c *websocket.Conn) { coderEchoes(c) })(l) }

func coderEchoReturned(l net.Listener) error {
	return httpServer(func(w http.ResponseWriter, r *http.Request) {
		if c, err := websocket.Accept(w, r, nil); err == nil {
			go coderEchoes(c)
		}
	})(l)
}

func coderDrop(l net.Listener) error { return coder(func(*websocket.Conn) {})(l) }

func coderEchoes(c *websocket.Conn) error {
	ctx := context.Background()
	for {
		messageType, p, err := c.Read(ctx)
		if err != nil {
			return err
		}
		if err := c.Write(ctx, messageType, p); err != nil {
			return err
		}
	}
}

func coderClientEcho(addr string) error {
	c, _, err := websocket.Dial(context.Background(), "ws://"+addr, nil)
	if err != nil {
		return err
	}
	return coderEchoes(c)
}

type coderConn struct{ *websocket.Conn }

func (c coderConn) write(p []byte) error {
	return c.Write(context.Background(), websocket.MessageBinary, p)
}

func coderPush(l net.Listener, with func(conn)) error {
	return coder(func(c *websocket.Conn) {
		with(coderConn{c})
		c.Read(context.Background())
	})(l)
}

func coderDial(addr string) (conn, error) {
	c, _, err := websocket.Dial(context.Background(), "ws://"+addr, nil)
	return coderConn{c}, err
}

func coderRead(l net.Listener, got func([]byte)) error {
	return coder(func(c *websocket.Conn) {
		for {
			_, p, err := c.Read(context.Background())
			if err != nil {
				return
			}
			got(p)
		}
	})(l)
}

func coderReadKept(l net.Listener, got func([]byte)) error {
	return coder(func(c *websocket.Conn) {
		var kept []byte
		for {
			_, r, err := c.Reader(context.Background())
			if err != nil {
				return
			}
			if kept, err = appendAll(kept[:0], r); err != nil {
				return
			}
			got(kept)
		}
	})(l)
}
