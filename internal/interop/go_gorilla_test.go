//go:build unix

package interop

import (
	"context"
	"errors"
	"net/http"
	"time"

	gorillaws "github.com/gorilla/websocket"

	"github.com/duplexkit/websocket"
)

// gorilla knows permessage-deflate without context takeover and is told the level.
var gorilla = goLibrary{
	usual: `{}`,
	dial: func(ctx context.Context, url string, h hello) (goConn, error) {
		d := gorillaws.Dialer{EnableCompression: true, Subprotocols: h.subprotocols, WriteBufferSize: 1000} // which makes the fragments
		c, _, err := d.DialContext(ctx, url, h.header)
		if err != nil {
			return nil, err
		}
		return newGorilla(c, h.told)
	},
	upgrade: func(w http.ResponseWriter, r *http.Request, told string) (goConn, error) {
		u := gorillaws.Upgrader{EnableCompression: true, Subprotocols: subprotocols, WriteBufferSize: 1000}
		c, err := u.Upgrade(w, r, nil)
		if err != nil {
			return nil, err
		}
		return newGorilla(c, told)
	},
}

type gorillaConn struct{ *gorillaws.Conn }

func newGorilla(c *gorillaws.Conn, told string) (goConn, error) {
	o, err := options[struct{ Level int }](told)
	if err == nil && o.Level != 0 {
		err = c.SetCompressionLevel(o.Level)
	}
	return gorillaConn{c}, err
}

func (c gorillaConn) subprotocol() string { return c.Subprotocol() }

func (c gorillaConn) read() (text bool, p []byte, err error) {
	messageType, p, err := c.ReadMessage()
	var closed *gorillaws.CloseError
	if errors.As(err, &closed) {
		err = &websocket.CloseError{Code: closed.Code, Text: closed.Text}
	}
	return messageType == gorillaws.TextMessage, p, err
}

func (c gorillaConn) write(text bool, fragments ...[]byte) error {
	messageType := gorillaws.BinaryMessage
	if text {
		messageType = gorillaws.TextMessage
	}
	w, err := c.NextWriter(messageType)
	if err != nil {
		return err
	}
	for _, p := range fragments {
		if _, err := w.Write(p); err != nil {
			return err
		}
	}
	return w.Close()
}

func (c gorillaConn) ping(answered func()) error {
	c.SetPongHandler(func(payload string) error {
		if payload == pingPayload {
			answered()
		}
		return nil
	})
	return c.control(gorillaws.PingMessage, []byte(pingPayload))
}

func (c gorillaConn) close(code int, reason string) error {
	if err := c.control(gorillaws.CloseMessage, gorillaws.FormatCloseMessage(code, reason)); err != nil {
		return err
	}
	_, _, err := c.read()
	return err
}

func (c gorillaConn) control(messageType int, payload []byte) error {
	return c.WriteControl(messageType, payload, time.Now().Add(limit))
}

func (c gorillaConn) kill() { c.Close() }

var gorillaDeflate = &deflatePeer{
	limit:  goDeflateLimit,
	client: gorilla.echoes,
	offers: []opening{
		{ours: nil, theirs: `{}`, offer: pmd + snt + cnt, answer: pmd + snt + cnt},
		{ours: &compression{}, theirs: `{}`, offer: pmd + snt + cnt, answer: pmd + snt + cnt + smw + "=12"},
		{ours: &compression{}, theirs: `{"level": 9}`, offer: pmd + snt + cnt, answer: pmd + snt + cnt + smw + "=12"},
		{ours: &compression{ServerMaxWindowBits: 9, ClientMaxWindowBits: 9}, theirs: `{}`, offer: pmd + snt + cnt, answer: pmd + snt + cnt + smw + "=9"},
		{ours: &compression{ServerMaxWindowBits: 15}, theirs: `{"level": 6}`, offer: pmd + snt + cnt, answer: pmd + snt + cnt},
		{ours: &compression{ServerNoContextTakeover: true}, theirs: `{}`, offer: pmd + snt + cnt, answer: pmd + snt + cnt + smw + "=12"},
		{ours: &compression{Decline: declineAll}, theirs: `{}`, offer: pmd + snt + cnt, answer: ""},
	},
	server:  gorilla.server,
	answers: always(`{"level": 6}`, pmd+snt+cnt, pmd+snt+cnt+noWindow+"%d"),
}
