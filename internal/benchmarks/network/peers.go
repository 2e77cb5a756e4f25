//go:build linux

package main

import (
	"context"
	"log"
	"net"
	"net/http"

	coder "github.com/coder/websocket"
	fasthttpws "github.com/fasthttp/websocket"
	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	gorilla "github.com/gorilla/websocket"
	"github.com/lesismal/nbio/logging"
	"github.com/lesismal/nbio/nbhttp"
	nbiows "github.com/lesismal/nbio/nbhttp/websocket"
	"github.com/lxzan/gws"
	"github.com/valyala/fasthttp"
	xnet "golang.org/x/net/websocket"
)

// maxMessage is what the libraries are told to accept where they ask.
const maxMessage = 32 << 20

func gorillaEcho(w http.ResponseWriter, r *http.Request) {
	c, err := new(gorilla.Upgrader).Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer c.Close()
	echoLikeGorilla(c)
}

func coderEcho(w http.ResponseWriter, r *http.Request) {
	c, err := coder.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer c.CloseNow()
	c.SetReadLimit(maxMessage)
	ctx := context.Background()
	for {
		messageType, p, err := c.Read(ctx)
		if err != nil {
			return
		}
		if err := c.Write(ctx, messageType, p); err != nil {
			return
		}
	}
}

// gobwas/ws is at its best without net/http.
func gobwasEcho(l net.Listener) error {
	return eachConn(l, func(nc net.Conn) {
		if _, err := ws.Upgrade(nc); err != nil {
			return
		}
		for {
			p, opcode, err := wsutil.ReadClientData(nc)
			if err != nil {
				return
			}
			if err := wsutil.WriteServerMessage(nc, opcode, p); err != nil {
				return
			}
		}
	})
}

// eachConn calls serve for each connection, in a goroutine, and then closes it.
func eachConn(l net.Listener, serve func(net.Conn)) error {
	for {
		nc, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer nc.Close()
			serve(nc)
		}()
	}
}

type gwsEvents struct{ gws.BuiltinEventHandler }

func (gwsEvents) OnMessage(c *gws.Conn, m *gws.Message) {
	defer m.Close()
	c.WriteMessage(m.Opcode, m.Bytes())
}

var gwsUpgrader = gws.NewUpgrader(gwsEvents{}, &gws.ServerOption{ReadMaxPayloadSize: maxMessage})

func gwsEcho(w http.ResponseWriter, r *http.Request) {
	if c, err := gwsUpgrader.Upgrade(w, r); err == nil {
		go c.ReadLoop()
	}
}

func nbioEcho(l net.Listener) error {
	u := nbiows.NewUpgrader()
	u.OnMessage(func(c *nbiows.Conn, messageType nbiows.MessageType, p []byte) { c.WriteMessage(messageType, p) })
	return nbioServe(l, u)
}

// nbioServe runs nbio's own server, which polls.
func nbioServe(l net.Listener, u *nbiows.Upgrader) error {
	logging.SetLevel(logging.LevelNone)
	engine := nbhttp.NewEngine(nbhttp.Config{
		Network: "tcp",
		Addrs:   []string{l.Addr().String()},
		Listen:  func(string, string) (net.Listener, error) { return l, nil },
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := u.Upgrade(w, r, nil); err != nil {
				log.Print(err)
			}
		}),
	})
	if err := engine.Start(); err != nil {
		return err
	}
	select {}
}

func fasthttpEcho(l net.Listener) error {
	var u fasthttpws.FastHTTPUpgrader
	server := fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
		u.Upgrade(ctx, func(c *fasthttpws.Conn) { echoLikeGorilla(c) })
	}}
	return server.Serve(l)
}

func xnetEcho(w http.ResponseWriter, r *http.Request) {
	xnet.Server{Handler: func(c *xnet.Conn) {
		c.MaxPayloadBytes = maxMessage
		for {
			var p []byte
			if err := xnet.Message.Receive(c, &p); err != nil {
				return
			}
			if err := xnet.Message.Send(c, p); err != nil {
				return
			}
		}
	}}.ServeHTTP(w, r)
}

// rawEcho sends bytes back as they come.
func rawEcho(l net.Listener) error {
	return eachConn(l, func(nc net.Conn) {
		buf := make([]byte, 64<<10)
		for {
			n, err := nc.Read(buf)
			if err != nil {
				return
			}
			if _, err := nc.Write(buf[:n]); err != nil {
				return
			}
		}
	})
}
