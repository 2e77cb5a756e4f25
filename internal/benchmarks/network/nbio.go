//go:build linux

package main

import (
	"net"
	"net/http"

	"github.com/lesismal/nbio/logging"
	"github.com/lesismal/nbio/nbhttp"
	"github.com/lesismal/nbio/nbhttp/websocket"
)

// lesismal/nbio, which polls: its own HTTP server, and no goroutine for a connection.

func nbio(l net.Listener, opened func(*websocket.Conn), got func(*websocket.Conn, websocket.MessageType, []byte)) error {
	logging.SetLevel(logging.LevelNone)
	u := websocket.NewUpgrader()
	u.MessageLengthLimit = maxMessage
	u.OnOpen(opened)
	u.OnMessage(got)
	engine := nbhttp.NewEngine(nbhttp.Config{
		Network: "tcp",
		Addrs:   []string{l.Addr().String()},
		Listen:  func(string, string) (net.Listener, error) { return l, nil },
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { u.Upgrade(w, r, nil) }),
	})
	if err := engine.Start(); err != nil {
		return err
	}
	select {} // It goes on by itself.
}

func nbioOpened(*websocket.Conn)                                 {}
func nbioIgnores(*websocket.Conn, websocket.MessageType, []byte) {}

func nbioEcho(l net.Listener) error {
	return nbio(l, nbioOpened, func(c *websocket.Conn, messageType websocket.MessageType, p []byte) { c.WriteMessage(messageType, p) })
}

func nbioDrop(l net.Listener) error {
	return nbio(l, func(c *websocket.Conn) { c.Close() }, nbioIgnores)
}

type nbioConn struct{ *websocket.Conn }

func (c nbioConn) write(p []byte) error { return c.WriteMessage(websocket.BinaryMessage, p) }

func nbioPush(l net.Listener, with func(conn)) error {
	return nbio(l, func(c *websocket.Conn) { with(nbioConn{c}) }, nbioIgnores)
}

func nbioRead(l net.Listener, got func([]byte)) error {
	return nbio(l, nbioOpened, func(_ *websocket.Conn, _ websocket.MessageType, p []byte) { got(p) })
}
