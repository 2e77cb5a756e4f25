package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/lxzan/gws"
)

var gwsLibrary = &library{
	name:     "gws",
	module:   "github.com/lxzan/gws",
	packages: []string{"github.com/lxzan/gws"},
	upgrade: func(w http.ResponseWriter, r *http.Request, s setup) (conn, error) {
		e := newGwsEvents()
		c, err := gws.NewUpgrader(e, gwsOptions(s)).Upgrade(w, r)
		if err != nil {
			return nil, err
		}
		return newGws(c, e), nil
	},
	upgradeConn: func(nc net.Conn, s setup) (conn, error) {
		br := bufio.NewReader(nc)
		r, err := http.ReadRequest(br)
		if err != nil {
			return nil, err
		}
		e := newGwsEvents()
		c, err := gws.NewUpgrader(e, gwsOptions(s)).UpgradeFromConn(nc, br, r)
		if err != nil {
			return nil, err
		}
		return newGws(c, e), nil
	},
	dial: func(_ context.Context, url string, s setup) (conn, error) {
		e := newGwsEvents()
		c, _, err := gws.NewClient(e, &gws.ClientOption{
			Addr: url, TlsConfig: s.tls, HandshakeTimeout: s.timeout,
			PermessageDeflate: gwsDeflate(s), ReadMaxPayloadSize: int(s.limit),
		})
		if err != nil {
			return nil, err
		}
		return newGws(c, e), nil
	},
	idle: func(w http.ResponseWriter, r *http.Request) {
		c, err := gws.NewUpgrader(gwsEcho{}, nil).Upgrade(w, r)
		if err == nil {
			c.ReadLoop()
		}
	},
	broadcast: func(conns []conn, p []byte) error {
		b := gws.NewBroadcaster(gws.OpcodeText, p)
		defer b.Close() // it counts who still sends
		for _, c := range conns {
			if err := b.Broadcast(c.(*gwsConn).Conn, func(error) {}); err != nil {
				return err
			}
		}
		return nil
	},
}

func gwsOptions(s setup) *gws.ServerOption {
	return &gws.ServerOption{PermessageDeflate: gwsDeflate(s), ReadMaxPayloadSize: int(s.limit)}
}

func gwsDeflate(s setup) gws.PermessageDeflate {
	return gws.PermessageDeflate{
		Enabled: s.compress, Threshold: 1, PoolSize: 1,
		ServerContextTakeover: s.takeover, ClientContextTakeover: s.takeover,
	}
}

type gwsEcho struct{ gws.BuiltinEventHandler }

func (gwsEcho) OnMessage(c *gws.Conn, m *gws.Message) {
	defer m.Close()
	c.WriteMessage(m.Opcode, m.Bytes())
}

// gwsEvents keeps what gws calls back with, for read.
type gwsEvents struct {
	gws.BuiltinEventHandler
	messages chan []byte
	ended    chan struct{}
	err      error // valid once ended is closed
}

func newGwsEvents() *gwsEvents {
	return &gwsEvents{messages: make(chan []byte, 100), ended: make(chan struct{})} // more than any probe sends
}

func (e *gwsEvents) OnMessage(_ *gws.Conn, m *gws.Message) {
	defer m.Close()
	e.messages <- bytes.Clone(m.Bytes())
}

func (e *gwsEvents) OnClose(_ *gws.Conn, err error) {
	e.err = err
	close(e.ended)
}

type gwsConn struct {
	without
	*gws.Conn
	events *gwsEvents
}

func newGws(c *gws.Conn, e *gwsEvents) conn {
	go c.ReadLoop()
	return &gwsConn{Conn: c, events: e}
}

func (c *gwsConn) read() ([]byte, error) {
	select {
	case p := <-c.events.messages:
		return p, nil
	case <-c.events.ended:
	}
	select {
	case p := <-c.events.messages: // came before the end
		return p, nil
	default:
		return nil, c.events.err
	}
}

func (c *gwsConn) write(p []byte) error { return c.WriteMessage(gws.OpcodeText, p) }

func (c *gwsConn) shutdown(code int, reason string) error {
	return c.WriteClose(uint16(code), []byte(reason))
}

func (c *gwsConn) setReadDeadline(t time.Time) error { return c.Conn.SetReadDeadline(t) }

func (c *gwsConn) drop() {
	c.NetConn().Close()
	<-c.events.ended
}

func (*gwsConn) closed(err error) (int, string, bool) {
	var ce *gws.CloseError
	if errors.As(err, &ce) {
		return int(ce.Code), string(ce.Reason), true
	}
	return 0, "", false
}
