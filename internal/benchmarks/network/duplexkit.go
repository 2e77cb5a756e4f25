//go:build linux

package main

import (
	"context"
	"net"
	"net/http"

	"github.com/duplexkit/websocket"
)

// upgraded leaves connections to net/http, upgrades them and has serve serve them
// in the handler.
func upgraded(serve func(*websocket.Conn) error) func(net.Listener) error {
	var u websocket.Upgrader
	return httpEcho(u.Handler(func(c *websocket.Conn, _ *http.Request) error { return serve(c) }).ServeHTTP)
}

// messageConn is what gorilla's users know, whoever makes it.
type messageConn interface {
	ReadMessage() (messageType int, p []byte, err error)
	WriteMessage(messageType int, data []byte) error
}

func echoMessages(c *websocket.Conn) error { return echoLikeGorilla(c) }

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

// echoKept reads each message into the memory of the last one.
func echoKept(c *websocket.Conn) error {
	ctx := context.Background()
	var kept []byte
	for {
		messageType, p, err := c.ReadMessageContext(ctx, kept[:0])
		if err != nil {
			return err
		}
		if err := c.WriteMessage(messageType, p); err != nil {
			return err
		}
		kept = p
	}
}

func echoServe(c *websocket.Conn) error {
	return c.Serve(context.Background(), func(m websocket.Message) error { return c.WriteMessage(m.Type, m.Data) })
}
