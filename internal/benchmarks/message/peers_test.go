package message

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"testing"

	coder "github.com/coder/websocket"
	"github.com/duplexkit/websocket"
	gorilla "github.com/gorilla/websocket"
	"github.com/lxzan/gws"
)

// A conn is the server's end of a WebSocket connection.
type conn interface {
	// write sends one message.
	write(text bool, p []byte) error
	// serve reads until the connection ends, in the way that its library
	// recommends for programs that need no message after the next one has come.
	serve()
	// drain reads until the connection ends, and holds on to no message.
	drain()
}

// A library upgrades requests. got is called with each message that a connection
// reads, which is lent to it. Each library compresses whatever it is given, at
// the level that is its default.
type library struct {
	name  string
	modes []mode
	setup func(m mode, got func(p []byte)) upgrade
}

type upgrade func(w http.ResponseWriter, r *http.Request) (conn, error)

var libraries = []library{
	{"duplexkit", []mode{single, takeover, largest}, setupOwn},
	{"gorilla", []mode{single}, setupGorilla},
	{"coder", []mode{single, largest}, setupCoder},
	{"gws", []mode{single, takeover, largest}, setupGWS},
}

// has reports whether the library knows m.
func (l library) has(m mode) bool {
	for _, known := range l.modes {
		if known.name == m.name {
			return true
		}
	}
	return m.off
}

// open does the opening handshake on w.
func (m mode) open(upgrade upgrade, w *wire) (conn, error) {
	record := w.record
	defer func() { w.written, w.record = 0, record }()
	w.record = new(bytes.Buffer)
	c, err := upgrade(&response{w, http.Header{}}, m.request())
	if err == nil {
		err = m.agreed(w.record.Bytes())
	}
	return c, err
}

type ownConn struct {
	c   *websocket.Conn
	got func(p []byte)
}

func setupOwn(m mode, got func(p []byte)) upgrade {
	var u websocket.Upgrader
	if !m.off {
		u.Compression = &websocket.Compression{
			ServerNoContextTakeover: !m.takeover,
			ClientNoContextTakeover: !m.takeover,
			ServerMaxWindowBits:     m.bits,
			ClientMaxWindowBits:     m.bits,
			Threshold:               -1,
		}
	}
	return func(w http.ResponseWriter, r *http.Request) (conn, error) {
		c, err := u.Upgrade(w, r, nil)
		return ownConn{c, got}, err
	}
}

func (c ownConn) write(text bool, p []byte) error {
	if text {
		return c.c.WriteMessage(websocket.TextMessage, p)
	}
	return c.c.WriteMessage(websocket.BinaryMessage, p)
}

func (c ownConn) serve() {
	_ = c.c.Serve(context.Background(), func(m websocket.Message) error {
		c.got(m.Data)
		return nil
	})
}

func (c ownConn) drain() {
	defer c.c.Close()
	for {
		_, p, err := c.c.ReadMessage()
		if err != nil {
			return
		}
		c.got(p)
	}
}

type gorillaConn struct {
	c   *gorilla.Conn
	got func(p []byte)
}

func setupGorilla(m mode, got func(p []byte)) upgrade {
	u := gorilla.Upgrader{EnableCompression: !m.off}
	return func(w http.ResponseWriter, r *http.Request) (conn, error) {
		c, err := u.Upgrade(w, r, nil)
		return gorillaConn{c, got}, err
	}
}

func (c gorillaConn) write(text bool, p []byte) error {
	if text {
		return c.c.WriteMessage(gorilla.TextMessage, p)
	}
	return c.c.WriteMessage(gorilla.BinaryMessage, p)
}

func (c gorillaConn) serve() {
	defer c.c.Close()
	var buf bytes.Buffer
	for {
		_, r, err := c.c.NextReader()
		if err != nil {
			return
		}
		buf.Reset()
		if _, err := buf.ReadFrom(r); err != nil {
			return
		}
		c.got(buf.Bytes())
	}
}

func (c gorillaConn) drain() {
	defer c.c.Close()
	for {
		_, p, err := c.c.ReadMessage()
		if err != nil {
			return
		}
		c.got(p)
	}
}

type coderConn struct {
	c   *coder.Conn
	got func(p []byte)
}

func setupCoder(m mode, got func(p []byte)) upgrade {
	opts := coder.AcceptOptions{CompressionThreshold: 1}
	switch {
	case m.off:
	case m.takeover:
		opts.CompressionMode = coder.CompressionContextTakeover
	default:
		opts.CompressionMode = coder.CompressionNoContextTakeover
	}
	return func(w http.ResponseWriter, r *http.Request) (conn, error) {
		c, err := coder.Accept(w, r, &opts)
		if err == nil {
			c.SetReadLimit(-1)
		}
		return coderConn{c, got}, err
	}
}

func (c coderConn) write(text bool, p []byte) error {
	if text {
		return c.c.Write(context.Background(), coder.MessageText, p)
	}
	return c.c.Write(context.Background(), coder.MessageBinary, p)
}

func (c coderConn) serve() {
	defer func() { _ = c.c.CloseNow() }()
	var buf bytes.Buffer
	for {
		_, r, err := c.c.Reader(context.Background())
		if err != nil {
			return
		}
		buf.Reset()
		if _, err := buf.ReadFrom(r); err != nil {
			return
		}
		c.got(buf.Bytes())
	}
}

func (c coderConn) drain() {
	defer func() { _ = c.c.CloseNow() }()
	for {
		_, p, err := c.c.Read(context.Background())
		if err != nil {
			return
		}
		c.got(p)
	}
}

type gwsConn struct{ c *gws.Conn }

type gwsHandler struct {
	gws.BuiltinEventHandler
	got func(p []byte)
}

func (h gwsHandler) OnMessage(_ *gws.Conn, m *gws.Message) {
	h.got(m.Bytes())
	_ = m.Close()
}

func setupGWS(m mode, got func(p []byte)) upgrade {
	codecs := 0 // by default: 32, of a megabyte each
	if testing.Short() {
		codecs = 1
	}
	u := gws.NewUpgrader(gwsHandler{got: got}, &gws.ServerOption{
		PermessageDeflate: gws.PermessageDeflate{
			Enabled:               !m.off,
			ServerContextTakeover: m.takeover,
			ClientContextTakeover: m.takeover,
			ServerMaxWindowBits:   m.bits,
			ClientMaxWindowBits:   m.bits,
			Threshold:             1,
			PoolSize:              codecs,
		},
	})
	return func(w http.ResponseWriter, r *http.Request) (conn, error) {
		c, err := u.Upgrade(w, r)
		if err != nil {
			return nil, fmt.Errorf("gws: %w", err)
		}
		return gwsConn{c}, nil
	}
}

func (c gwsConn) write(text bool, p []byte) error {
	if text {
		return c.c.WriteMessage(gws.OpcodeText, p)
	}
	return c.c.WriteMessage(gws.OpcodeBinary, p)
}

func (c gwsConn) serve() { c.c.ReadLoop() }
func (c gwsConn) drain() { c.c.ReadLoop() }
