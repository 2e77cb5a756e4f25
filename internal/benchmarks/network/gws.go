//go:build linux

package main

import (
	"net"
	"net/http"

	"github.com/lxzan/gws"
)

// lxzan/gws, which calls the program for each message and lends it memory.

type gwsEvents struct {
	gws.BuiltinEventHandler
	opened func(*gws.Conn)
	got    func(*gws.Conn, *gws.Message)
}

func (e *gwsEvents) OnOpen(c *gws.Conn) {
	if e.opened != nil {
		e.opened(c)
	}
}

func (e *gwsEvents) OnMessage(c *gws.Conn, m *gws.Message) {
	defer m.Close()
	e.got(c, m)
}

func gwsEchoes(c *gws.Conn, m *gws.Message) { c.WriteMessage(m.Opcode, m.Bytes()) }

// gwsServer reads in a goroutine of its own, as the library's documentation has it.
func gwsServer(e *gwsEvents) func(net.Listener) error {
	u := gws.NewUpgrader(e, &gws.ServerOption{ReadMaxPayloadSize: maxMessage})
	return httpServer(func(w http.ResponseWriter, r *http.Request) {
		if c, err := u.Upgrade(w, r); err == nil {
			go c.ReadLoop()
		}
	})
}

func gwsEcho(l net.Listener) error { return gwsServer(&gwsEvents{got: gwsEchoes})(l) }

func gwsDrop(l net.Listener) error {
	u := gws.NewUpgrader(&gwsEvents{}, nil)
	return httpServer(func(w http.ResponseWriter, r *http.Request) {
		if c, err := u.Upgrade(w, r); err == nil {
			c.NetConn().Close()
		}
	})(l)
}

func gwsClientEcho(addr string) error {
	c, _, err := gws.NewClient(&gwsEvents{got: gwsEchoes}, &gws.ClientOption{Addr: "ws://" + addr})
	if err != nil {
		return err
	}
	c.ReadLoop()
	return nil
}

type gwsConn struct{ *gws.Conn }

func (c gwsConn) write(p []byte) error { return c.WriteMessage(gws.OpcodeBinary, p) }

// gwsAsync queues messages and returns.
type gwsAsync struct{ *gws.Conn }

func (c gwsAsync) write(p []byte) error {
	c.WriteAsync(gws.OpcodeBinary, p, nil)
	return nil
}

func gwsPush(l net.Listener, with func(conn)) error {
	return gwsServer(&gwsEvents{opened: func(c *gws.Conn) { with(gwsConn{c}) }})(l)
}

func gwsPushAsync(l net.Listener, with func(conn)) error {
	return gwsServer(&gwsEvents{opened: func(c *gws.Conn) { with(gwsAsync{c}) }})(l)
}

func gwsDial(addr string) (conn, error) {
	c, _, err := gws.NewClient(&gwsEvents{}, &gws.ClientOption{Addr: "ws://" + addr})
	return gwsConn{c}, err
}

func gwsBroadcaster(conns []conn) func([]byte) error {
	return func(p []byte) error {
		b := gws.NewBroadcaster(gws.OpcodeBinary, p)
		defer b.Close()
		for _, c := range conns {
			if err := b.Broadcast(c.(gwsConn).Conn); err != nil {
				return err
			}
		}
		return nil
	}
}

func gwsRead(l net.Listener, got func([]byte)) error {
	return gwsServer(&gwsEvents{got: func(_ *gws.Conn, m *gws.Message) { got(m.Bytes()) }})(l)
}
