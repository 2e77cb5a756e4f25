//go:build linux

package main

import (
	"io"
	"net"
	"net/http"

	fork "github.com/fasthttp/websocket"
	"github.com/gorilla/websocket"
	"github.com/valyala/fasthttp"
)

// gorilla/websocket, and fasthttp/websocket, which is its fork for fasthttp.

func gorilla(serve func(*websocket.Conn)) func(net.Listener) error {
	var u websocket.Upgrader
	return httpServer(func(w http.ResponseWriter, r *http.Request) {
		if c, err := u.Upgrade(w, r, nil); err == nil {
			defer c.Close()
			serve(c)
		}
	})
}

func gorillaEcho(l net.Listener) error {
	return gorilla(func(c *websocket.Conn) { echoLikeGorilla(c) })(l)
}

func gorillaEchoReturned(l net.Listener) error {
	var u websocket.Upgrader
	return httpServer(func(w http.ResponseWriter, r *http.Request) {
		if c, err := u.Upgrade(w, r, nil); err == nil {
			go echoLikeGorilla(c)
		}
	})(l)
}

func gorillaDrop(l net.Listener) error { return gorilla(func(*websocket.Conn) {})(l) }

func gorillaClientEcho(addr string) error {
	c, _, err := websocket.DefaultDialer.Dial("ws://"+addr, nil)
	if err != nil {
		return err
	}
	return echoLikeGorilla(c)
}

type gorillaConn struct{ *websocket.Conn }

func (c gorillaConn) write(p []byte) error { return c.WriteMessage(websocket.BinaryMessage, p) }

func gorillaPush(l net.Listener, with func(conn)) error {
	return gorilla(func(c *websocket.Conn) {
		with(gorillaConn{c})
		readLikeGorilla(c, func([]byte) {})
	})(l)
}

func gorillaDial(addr string) (conn, error) {
	c, _, err := websocket.DefaultDialer.Dial("ws://"+addr, nil)
	return gorillaConn{c}, err
}

func gorillaPrepared(conns []conn) func([]byte) error {
	return func(p []byte) error {
		pm, err := websocket.NewPreparedMessage(websocket.BinaryMessage, p)
		if err != nil {
			return err
		}
		for _, c := range conns {
			if err := c.(gorillaConn).WritePreparedMessage(pm); err != nil {
				return err
			}
		}
		return nil
	}
}

func gorillaRead(l net.Listener, got func([]byte)) error {
	return gorilla(func(c *websocket.Conn) { readLikeGorilla(c, got) })(l)
}

// gorillaReadKept is how to do without memory of its own for each message.
func gorillaReadKept(l net.Listener, got func([]byte)) error {
	return gorilla(func(c *websocket.Conn) { readKeptLikeGorilla(c, got) })(l)
}

func readLikeGorilla(c messageConn, got func([]byte)) {
	for {
		_, p, err := c.ReadMessage()
		if err != nil {
			return
		}
		got(p)
	}
}

func readKeptLikeGorilla(c interface {
	NextReader() (int, io.Reader, error)
}, got func([]byte)) {
	var kept []byte
	for {
		_, r, err := c.NextReader()
		if err != nil {
			return
		}
		if kept, err = appendAll(kept[:0], r); err != nil {
			return
		}
		got(kept)
	}
}

// appendAll appends what r has to dst.
func appendAll(dst []byte, r io.Reader) ([]byte, error) {
	for {
		if len(dst) == cap(dst) {
			dst = append(dst, make([]byte, max(len(dst), 512))...)[:len(dst)]
		}
		n, err := r.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if err == io.EOF {
			return dst, nil
		}
		if err != nil {
			return dst, err
		}
	}
}

// Its fork.

func forked(serve func(*fork.Conn)) func(net.Listener) error {
	var u fork.FastHTTPUpgrader
	server := fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) { u.Upgrade(ctx, serve) }}
	return server.Serve
}

func forkEcho(l net.Listener) error { return forked(func(c *fork.Conn) { echoLikeGorilla(c) })(l) }
func forkDrop(l net.Listener) error { return forked(func(*fork.Conn) {})(l) }

type forkConn struct{ *fork.Conn }

func (c forkConn) write(p []byte) error { return c.WriteMessage(fork.BinaryMessage, p) }

func forkPush(l net.Listener, with func(conn)) error {
	return forked(func(c *fork.Conn) {
		with(forkConn{c})
		readLikeGorilla(c, func([]byte) {})
	})(l)
}

func forkPrepared(conns []conn) func([]byte) error {
	return func(p []byte) error {
		pm, err := fork.NewPreparedMessage(fork.BinaryMessage, p)
		if err != nil {
			return err
		}
		for _, c := range conns {
			if err := c.(forkConn).WritePreparedMessage(pm); err != nil {
				return err
			}
		}
		return nil
	}
}

func forkRead(l net.Listener, got func([]byte)) error {
	return forked(func(c *fork.Conn) { readLikeGorilla(c, got) })(l)
}

func forkReadKept(l net.Listener, got func([]byte)) error {
	return forked(func(c *fork.Conn) { readKeptLikeGorilla(c, got) })(l)
}
