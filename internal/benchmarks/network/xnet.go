//go:build linux

package main

import (
	"net"

	"golang.org/x/net/websocket"
)

// golang.org/x/net/websocket.

func xnet(serve func(*websocket.Conn)) func(net.Listener) error {
	// A Server has no check of the origin, which a Handler has.
	return httpServer(websocket.Server{Handler: func(c *websocket.Conn) {
		c.MaxPayloadBytes = maxMessage
		serve(c)
	}}.ServeHTTP)
}

func xnetEcho(l net.Listener) error { return xnet(xnetEchoes)(l) }
func xnetDrop(l net.Listener) error { return xnet(func(*websocket.Conn) {})(l) }

func xnetEchoes(c *websocket.Conn) {
	for {
		var p []byte
		if err := websocket.Message.Receive(c, &p); err != nil {
			return
		}
		if err := websocket.Message.Send(c, p); err != nil {
			return
		}
	}
}

func xnetClientEcho(addr string) error {
	c, err := websocket.Dial("ws://"+addr, "", "http://"+addr)
	if err != nil {
		return err
	}
	xnetEchoes(c)
	return nil
}

type xnetConn struct{ *websocket.Conn }

func (c xnetConn) write(p []byte) error { return websocket.Message.Send(c.Conn, p) }

func xnetPush(l net.Listener, with func(conn)) error {
	return xnet(func(c *websocket.Conn) {
		with(xnetConn{c})
		var p []byte
		websocket.Message.Receive(c, &p)
	})(l)
}

func xnetDial(addr string) (conn, error) {
	c, err := websocket.Dial("ws://"+addr, "", "http://"+addr)
	return xnetConn{c}, err
}

func xnetRead(l net.Listener, got func([]byte)) error {
	return xnet(func(c *websocket.Conn) {
		for {
			var p []byte
			if err := websocket.Message.Receive(c, &p); err != nil {
				return
			}
			got(p)
		}
	})(l)
}
