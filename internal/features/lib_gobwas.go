package main

import (
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/gobwas/httphead"
	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"
	"github.com/gobwas/ws/wsutil"
)

// gobwas/ws leaves frames to its user; its package wsutil has helpers for whole messages,
// and those are what is probed.
var gobwasLibrary = &library{
	name:     "gobwas",
	module:   "github.com/gobwas/ws",
	packages: []string{"github.com/gobwas/ws", "github.com/gobwas/ws/wsutil", "github.com/gobwas/ws/wsflate"},
	upgrade: func(w http.ResponseWriter, r *http.Request, s setup) (conn, error) {
		var u ws.HTTPUpgrader
		e := wsflate.Extension{Parameters: gobwasParameters}
		if s.compress {
			u.Negotiate = e.Negotiate
		}
		nc, rw, _, err := u.Upgrade(r, w)
		if err != nil {
			return nil, err
		}
		_, compressed := e.Accepted()
		return newGobwas(nc, rw.Reader, ws.StateServerSide, compressed, s), nil
	},
	upgradeConn: func(nc net.Conn, s setup) (conn, error) {
		var u ws.Upgrader
		if _, err := u.Upgrade(nc); err != nil {
			return nil, err
		}
		return newGobwas(nc, nc, ws.StateServerSide, false, s), nil
	},
	dial: func(ctx context.Context, url string, s setup) (conn, error) {
		d := ws.Dialer{TLSConfig: s.tls, Timeout: s.timeout}
		if s.compress {
			d.Extensions = []httphead.Option{gobwasParameters.Option()}
		}
		nc, br, hs, err := d.Dial(ctx, url)
		if err != nil {
			return nil, err
		}
		src := io.Reader(nc)
		if br != nil { // the server has sent something already
			src = br
		}
		return newGobwas(nc, src, ws.StateClientSide, len(hs.Extensions) > 0, s), nil
	},
	idle: func(w http.ResponseWriter, r *http.Request) {
		nc, _, _, err := ws.UpgradeHTTP(r, w)
		if err == nil {
			echo(newGobwas(nc, nc, ws.StateServerSide, false, setup{}))
		}
	},
}

var gobwasParameters = wsflate.Parameters{ServerNoContextTakeover: true, ClientNoContextTakeover: true}

type gobwasConn struct {
	without
	net.Conn
	src        io.Reader
	side       ws.State
	compressed bool
	limit      int64
}

func newGobwas(nc net.Conn, src io.Reader, side ws.State, compressed bool, s setup) conn {
	return &gobwasConn{Conn: nc, src: src, side: side, compressed: compressed, limit: s.limit}
}

func (c *gobwasConn) read() ([]byte, error) {
	rw := struct {
		io.Reader
		io.Writer
	}{c.src, c.Conn}
	if c.compressed {
		return c.readCompressed(rw)
	}
	p, _, err := wsutil.ReadData(rw, c.side)
	return p, err
}

// readCompressed is what the documentation of package wsflate shows, with the limit on a
// message where wsutil.Reader has it.
func (c *gobwasConn) readCompressed(rw io.ReadWriter) ([]byte, error) {
	var state wsflate.MessageState
	rd := wsutil.Reader{
		Source: rw, State: c.side | ws.StateExtended, MaxMessageSize: c.limit,
		Extensions:     []wsutil.RecvExtension{&state},
		OnIntermediate: wsutil.ControlFrameHandler(rw, c.side),
	}
	for {
		h, err := rd.NextFrame()
		if err != nil {
			return nil, err
		}
		if h.OpCode.IsControl() {
			if err := wsutil.ControlFrameHandler(rw, c.side)(h, &rd); err != nil {
				return nil, err
			}
			continue
		}
		if !state.IsCompressed() {
			return io.ReadAll(&rd)
		}
		return io.ReadAll(wsflate.NewReader(&rd, func(r io.Reader) wsflate.Decompressor { return flate.NewReader(r) }))
	}
}

func (c *gobwasConn) write(p []byte) error {
	if !c.compressed {
		return wsutil.WriteMessage(c.Conn, c.side, ws.OpText, p)
	}
	f, err := wsflate.CompressFrame(ws.NewTextFrame(bytes.Clone(p)))
	if err != nil {
		return err
	}
	if c.side.ClientSide() {
		f = ws.MaskFrameInPlace(f)
	}
	return ws.WriteFrame(c.Conn, f)
}

func (c *gobwasConn) shutdown(code int, reason string) error {
	return wsutil.WriteMessage(c.Conn, c.side, ws.OpClose, ws.NewCloseFrameBody(ws.StatusCode(code), reason))
}

func (c *gobwasConn) setReadDeadline(t time.Time) error { return c.Conn.SetReadDeadline(t) }

func (c *gobwasConn) drop() { c.Conn.Close() }

func (*gobwasConn) closed(err error) (int, string, bool) {
	var ce wsutil.ClosedError
	if errors.As(err, &ce) {
		return int(ce.Code), ce.Reason, true
	}
	return 0, "", false
}
