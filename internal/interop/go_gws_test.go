//go:build unix

package interop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/lxzan/gws"

	"github.com/duplexkit/websocket"
)

// lxzan is gws, which calls back. It is told all its options, the compression of
// small messages apart.
var lxzan = goLibrary{
	usual: lxzanTakeover,
	dial: func(ctx context.Context, url string, h hello) (goConn, error) {
		o, err := lxzanOptions(h.told)
		if err != nil {
			return nil, err
		}
		header := h.header.Clone()
		if header == nil {
			header = make(http.Header)
		}
		if len(h.subprotocols) > 0 {
			header.Set("Sec-WebSocket-Protocol", strings.Join(h.subprotocols, ", "))
		}
		e := newLxzanEvents()
		c, _, err := gws.NewClient(e, &gws.ClientOption{Addr: url, RequestHeader: header, PermessageDeflate: o, CheckUtf8Enabled: true})
		if err != nil {
			return nil, err
		}
		return newLxzan(c, e), nil
	},
	upgrade: func(w http.ResponseWriter, r *http.Request, told string) (goConn, error) {
		o, err := lxzanOptions(told)
		if err != nil {
			return nil, err
		}
		so := &gws.ServerOption{PermessageDeflate: o, CheckUtf8Enabled: true}
		if r.Header.Get("Sec-WebSocket-Protocol") != "" { // a server that speaks some refuses clients that ask for none
			so.SubProtocols = subprotocols
		}
		e := newLxzanEvents()
		c, err := gws.NewUpgrader(e, so).Upgrade(w, r)
		if err != nil {
			return nil, err
		}
		return newLxzan(c, e), nil
	},
}

// What gws is told.
const (
	lxzanTakeover   = `{"Enabled": true, "ServerContextTakeover": true, "ClientContextTakeover": true}`
	lxzanNoTakeover = `{"Enabled": true}`
)

func lxzanOptions(told string) (gws.PermessageDeflate, error) {
	o, err := options[gws.PermessageDeflate](told)
	o.Threshold = 1
	o.PoolSize = 1
	return o, err
}

// lxzanEvents passes on what gws calls back with, for read to return.
type lxzanEvents struct {
	gws.BuiltinEventHandler
	messages chan lxzanMessage
	closed   chan struct{}
	err      error // valid once closed is closed
	answered func()
}

type lxzanMessage struct {
	text bool
	p    []byte
}

func newLxzanEvents() *lxzanEvents {
	return &lxzanEvents{messages: make(chan lxzanMessage, 100), closed: make(chan struct{})} // as many as the cases have under way
}

func (e *lxzanEvents) OnMessage(_ *gws.Conn, m *gws.Message) {
	defer m.Close()
	e.messages <- lxzanMessage{m.Opcode == gws.OpcodeText, bytes.Clone(m.Bytes())}
}

// OnPing is not left to BuiltinEventHandler, whose pongs are empty.
func (e *lxzanEvents) OnPing(c *gws.Conn, payload []byte) { c.WritePong(payload) }

func (e *lxzanEvents) OnPong(_ *gws.Conn, payload []byte) {
	if string(payload) == pingPayload {
		e.answered()
	}
}

func (e *lxzanEvents) OnClose(_ *gws.Conn, err error) {
	e.err = lost(err)
	var closed *gws.CloseError
	if errors.As(err, &closed) {
		e.err = &websocket.CloseError{Code: int(closed.Code), Text: string(closed.Reason)}
	}
	close(e.closed)
}

type lxzanConn struct {
	*gws.Conn
	events *lxzanEvents
}

func newLxzan(c *gws.Conn, e *lxzanEvents) goConn {
	go c.ReadLoop()
	return lxzanConn{c, e}
}

func (c lxzanConn) subprotocol() string { return c.SubProtocol() }

func (c lxzanConn) read() (text bool, p []byte, err error) {
	select {
	case m := <-c.events.messages:
		return m.text, m.p, nil
	case <-c.events.closed:
	}
	select {
	case m := <-c.events.messages: // came before the end
		return m.text, m.p, nil
	default:
		return false, nil, c.events.err
	}
}

// write has one fragment for each Read of WriteFile, or for 128 KiB of what is compressed.
func (c lxzanConn) write(text bool, fragments ...[]byte) error {
	opcode := gws.OpcodeBinary
	if text {
		opcode = gws.OpcodeText
	}
	if len(fragments) == 1 {
		return c.WriteMessage(opcode, fragments[0])
	}
	readers := make([]io.Reader, len(fragments))
	for i, p := range fragments {
		readers[i] = bytes.NewReader(p)
	}
	return c.WriteFile(opcode, io.MultiReader(readers...))
}

func (c lxzanConn) ping(answered func()) error {
	c.events.answered = answered
	return c.WritePing([]byte(pingPayload))
}

func (c lxzanConn) close(code int, reason string) error {
	if err := c.WriteClose(uint16(code), []byte(reason)); err != nil {
		return err
	}
	_, _, err := c.read()
	return err
}

// kill waits for ReadLoop to end.
func (c lxzanConn) kill() {
	c.NetConn().Close()
	<-c.events.closed
}

// As a server it answers the window bits that it is told, whatever was offered
// (section 7.1.2 has it answer none that are larger, and none for the client if that
// offered none). Its flate looks for no repetitions in less than 128 bytes.
var lxzanDeflate = &deflatePeer{
	limit:  goDeflateLimit,
	short:  128,
	client: lxzan.echoes,
	offers: slices.Concat(ourTerms(lxzanTakeover, pmd+cmw), []opening{
		{ours: nil, theirs: lxzanNoTakeover, offer: pmd + snt + cnt, answer: pmd + snt + cnt},
		{ours: &compression{}, theirs: lxzanNoTakeover, offer: pmd + snt + cnt, answer: pmd + snt + cnt + smw + "=12"},
		{ours: &compression{}, theirs: `{"Enabled": true, "ServerContextTakeover": true}`, offer: pmd + cnt, answer: pmd + cnt + smw + "=12"},
		{ours: &compression{}, theirs: `{"Enabled": true, "ClientContextTakeover": true}`, offer: pmd + snt + cmw, answer: pmd + snt + smw + "=12" + cmw + "=12"},
	}, ourWindows(lxzanTakeover), windows(func(server, client int) opening {
		e := lxzanWindows(server, client)
		e.offer = e.answer
		if client == 15 {
			e.offer += cmw
		}
		return e
	})),
	server: lxzan.server,
	answers: slices.Concat(answers(lxzanTakeover,
		pmd+snt+cnt+smw+"=12"+cmw+"=12, client_max_window_bits was not offered",
		pmd+smw+"=12"+cmw+"=12",
		pmd+snt+smw+"=12"+cmw+"=12",
		pmd+cnt+smw+"=12"+cmw+"=12",
		pmd+snt+cnt+smw+"=12"+cmw+"=12",
		pmd+smw+"=12"+cmw+"=12, server_max_window_bits=12, offered was 9",
		pmd+smw+"=12"+cmw+"=12, server_max_window_bits=12, offered was 9",
		pmd+smw+"=12"+cmw+"=12",
		pmd+smw+"=12"+cmw+"=12",
		pmd+smw+"=12"+cmw+"=12, client_max_window_bits=12, offered was 8",
		pmd+smw+"=12"+cmw+"=12, client_max_window_bits=12, offered was 9",
		pmd+smw+"=12"+cmw+"=12",
		pmd+smw+"=12"+cmw+"=12",
		pmd+snt+cnt+smw+"=12"+cmw+"=12, server_max_window_bits=12, offered was 10",
	), always(lxzanNoTakeover, pmd+snt+cnt, pmd+snt+cnt+noWindow+"%d"), windows(func(server, client int) opening {
		e := lxzanWindows(server, client)
		e.offer = pmd + cmw
		return e
	}), []opening{
		{ours: &compression{}, theirs: `{"Enabled": true, "ServerContextTakeover": true}`, offer: pmd + cmw, answer: pmd + cnt + smw + "=12"},
		{ours: &compression{}, theirs: `{"Enabled": true, "ClientContextTakeover": true}`, offer: pmd + cmw, answer: pmd + snt + cmw + "=12"},
		{ours: nil, theirs: `{"Enabled": true, "ServerMaxWindowBits": 10}`, offer: pmd + snt + cnt, answer: pmd + snt + cnt + smw + "=10"},
		{ours: &compression{}, theirs: `{"Enabled": false}`, offer: pmd + cmw, answer: ""},
	}),
}

// lxzanWindows are set by gws at either end, which says so unless they are the largest.
func lxzanWindows(server, client int) opening {
	return opening{
		ours:   &compression{ServerMaxWindowBits: 15, ClientMaxWindowBits: 15},
		theirs: fmt.Sprintf(`{"Enabled": true, "ServerContextTakeover": true, "ClientContextTakeover": true, "ServerMaxWindowBits": %d, "ClientMaxWindowBits": %d}`, server, client),
		answer: pmd + limited(smw, server) + limited(cmw, client),
	}
}
