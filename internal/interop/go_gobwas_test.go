//go:build unix

package interop

import (
	"bufio"
	"compress/flate"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"
	"github.com/gobwas/ws/wsutil"

	"github.com/duplexkit/websocket"
)

// gobwas leaves frames to its user, so that most of an endpoint is here. Its
// helpers for permessage-deflate are told the parameters, and need both that keep
// the context from being taken over.
var gobwas = goLibrary{
	usual: gobwasNoTakeover,
	dial: func(ctx context.Context, url string, h hello) (goConn, error) {
		o, err := options[wsflate.Parameters](h.told)
		if err != nil {
			return nil, err
		}
		d := ws.Dialer{Protocols: h.subprotocols, Header: ws.HandshakeHeaderHTTP(h.header)}
		d.Extensions = append(d.Extensions, o.Option())
		nc, br, hs, err := d.Dial(ctx, url)
		if err != nil {
			return nil, err
		}
		return newGobwas(nc, br, ws.StateClientSide, hs), nil
	},
	upgrade: func(w http.ResponseWriter, r *http.Request, told string) (goConn, error) {
		u := ws.HTTPUpgrader{Protocol: func(offered string) bool { return offered == subprotocols[0] }}
		if told != "" {
			o, err := options[wsflate.Parameters](told)
			if err != nil {
				return nil, err
			}
			u.Negotiate = (&wsflate.Extension{Parameters: o}).Negotiate
		}
		nc, rw, hs, err := u.Upgrade(r, w)
		if err != nil {
			return nil, err
		}
		return newGobwas(nc, rw.Reader, ws.StateServerSide, hs), nil
	},
}

const (
	gobwasNoTakeover = `{"ServerNoContextTakeover": true, "ClientNoContextTakeover": true}`
	gobwasWindow     = `{"ServerNoContextTakeover": true, "ClientNoContextTakeover": true, "ServerMaxWindowBits": 15}`
	gobwasSays       = "permessage-deflate;server_no_context_takeover;client_no_context_takeover"
)

type gobwasConn struct {
	nc       net.Conn
	side     ws.State
	hs       ws.Handshake
	rd       wsutil.Reader
	incoming wsflate.MessageState
	answered func()
	closing  bool // our close frame was sent
}

func newGobwas(nc net.Conn, br *bufio.Reader, side ws.State, hs ws.Handshake) *gobwasConn {
	c := &gobwasConn{nc: nc, side: side, hs: hs}
	c.rd = wsutil.Reader{Source: nc, State: side, CheckUTF8: true, OnIntermediate: c.control}
	if br != nil {
		c.rd.Source = br // what came right after the opening handshake is there
	}
	if c.compresses() {
		c.rd.State |= ws.StateExtended
		c.rd.CheckUTF8 = false // compressed bytes are none
		c.rd.Extensions = []wsutil.RecvExtension{&c.incoming}
	}
	return c
}

func (c *gobwasConn) compresses() bool { return len(c.hs.Extensions) > 0 }

func (c *gobwasConn) subprotocol() string { return c.hs.Protocol }

func (c *gobwasConn) read() (text bool, p []byte, err error) {
	for {
		h, err := c.rd.NextFrame()
		if err != nil {
			return false, nil, lost(err)
		}
		if h.OpCode.IsControl() {
			if err := c.control(h, &c.rd); err != nil {
				return false, nil, err
			}
			continue
		}
		src := io.Reader(&c.rd)
		if c.incoming.IsCompressed() {
			src = wsflate.NewReader(src, func(r io.Reader) wsflate.Decompressor { return flate.NewReader(r) })
		}
		p, err := io.ReadAll(src)
		return h.OpCode == ws.OpText, p, lost(err)
	}
}

// control answers control frames, by the library's handlers as far as these go.
func (c *gobwasConn) control(h ws.Header, payload io.Reader) error {
	switch {
	case h.OpCode == ws.OpPong:
		p, err := io.ReadAll(payload)
		if err == nil && string(p) == pingPayload {
			c.answered()
		}
		return err
	case h.OpCode == ws.OpClose && c.closing: // the handler would send a second one
		p, err := io.ReadAll(payload)
		if err != nil {
			return err
		}
		code, reason := ws.ParseCloseFrameData(p)
		return &websocket.CloseError{Code: int(code), Text: reason}
	}
	err := wsutil.ControlHandler{Src: payload, Dst: c.nc, State: c.side, DisableSrcCiphering: true}.Handle(h)
	var closed wsutil.ClosedError
	if errors.As(err, &closed) {
		return &websocket.CloseError{Code: int(closed.Code), Text: closed.Reason}
	}
	return err
}

func (c *gobwasConn) write(text bool, fragments ...[]byte) error {
	op := ws.OpBinary
	if text {
		op = ws.OpText
	}
	if c.compresses() {
		return c.writeCompressed(op, fragments)
	}
	w := wsutil.NewWriter(c.nc, c.side, op)
	for i, p := range fragments {
		if _, err := w.Write(p); err != nil {
			return err
		}
		if i < len(fragments)-1 {
			if err := w.FlushFragment(); err != nil {
				return err
			}
		}
	}
	return w.Flush()
}

// writeCompressed leaves the fragments to wsutil.Writer, which makes one whenever its buffer is full.
func (c *gobwasConn) writeCompressed(op ws.OpCode, parts [][]byte) error {
	var outgoing wsflate.MessageState
	outgoing.SetCompressed(true)
	w := wsutil.NewWriter(c.nc, c.side|ws.StateExtended, op)
	w.SetExtensions(&outgoing)
	fw := wsflate.NewWriter(w, func(w io.Writer) wsflate.Compressor {
		f, _ := flate.NewWriter(w, flate.BestSpeed) // fails for unknown levels only
		return f
	})
	for _, p := range parts {
		if _, err := fw.Write(p); err != nil {
			return err
		}
	}
	if err := fw.Flush(); err != nil {
		return err
	}
	return w.Flush()
}

func (c *gobwasConn) ping(answered func()) error {
	c.answered = answered
	return wsutil.WriteMessage(c.nc, c.side, ws.OpPing, []byte(pingPayload))
}

func (c *gobwasConn) close(code int, reason string) error {
	c.closing = true
	err := wsutil.WriteMessage(c.nc, c.side, ws.OpClose, ws.NewCloseFrameBody(ws.StatusCode(code), reason))
	if err != nil {
		return err
	}
	_, _, err = c.read()
	return err
}

func (c *gobwasConn) kill() { c.nc.Close() }

// As a server it answers the window bits that it is told even if fewer were
// offered (against section 7.1.2.1).
var gobwasDeflate = &deflatePeer{
	limit:  goDeflateLimit,
	client: gobwas.echoes,
	offers: []opening{
		{ours: nil, theirs: gobwasNoTakeover, offer: gobwasSays, answer: pmd + snt + cnt},
		{ours: &compression{}, theirs: gobwasNoTakeover, offer: gobwasSays, answer: pmd + snt + cnt + smw + "=12"},
		{ours: &compression{ServerMaxWindowBits: 9}, theirs: gobwasNoTakeover, offer: gobwasSays, answer: pmd + snt + cnt + smw + "=9"},
		{ours: &compression{}, theirs: gobwasWindow, offer: gobwasSays + ";server_max_window_bits=15", answer: pmd + snt + cnt + smw + "=12"},
		{
			ours:   &compression{ClientMaxWindowBits: 15},
			theirs: `{"ServerNoContextTakeover": true, "ClientNoContextTakeover": true, "ServerMaxWindowBits": 10, "ClientMaxWindowBits": 1}`,
			offer:  gobwasSays + ";server_max_window_bits=10;client_max_window_bits", answer: pmd + snt + cnt + smw + "=10",
		},
		{ours: &compression{Decline: declineAll}, theirs: gobwasNoTakeover, offer: gobwasSays, answer: ""},
	},
	server:  gobwas.server,
	answers: slices.Concat(always(gobwasNoTakeover, gobwasSays, ""), always(gobwasWindow, gobwasSays+";server_max_window_bits=15", gobwasSays+";server_max_window_bits=15, server_max_window_bits=15, offered was %d")),
}
