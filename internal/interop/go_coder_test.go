//go:build unix

package interop

import (
	"context"
	"errors"
	"net/http"
	"slices"

	coderws "github.com/coder/websocket"

	"github.com/duplexkit/websocket"
)

// coder is told whether to take the context over. It compresses messages from a
// threshold on, which is 1 byte here.
var coder = goLibrary{
	usual: coderTakeover,
	dial: func(ctx context.Context, url string, h hello) (goConn, error) {
		o, err := options[coderws.DialOptions](h.told)
		if err != nil {
			return nil, err
		}
		o.HTTPHeader, o.Subprotocols, o.CompressionThreshold = h.header, h.subprotocols, 1
		c, _, err := coderws.Dial(ctx, url, &o)
		return newCoder(c), err
	},
	upgrade: func(w http.ResponseWriter, r *http.Request, told string) (goConn, error) {
		o, err := options[coderws.AcceptOptions](told)
		if err != nil {
			return nil, err
		}
		o.Subprotocols, o.CompressionThreshold = subprotocols, 1
		c, err := coderws.Accept(w, r, &o)
		return newCoder(c), err
	},
}

// What coder is told.
const (
	coderTakeover   = `{"CompressionMode": 1}`
	coderNoTakeover = `{"CompressionMode": 2}`
)

type coderConn struct{ *coderws.Conn }

func newCoder(c *coderws.Conn) goConn {
	if c != nil {
		c.SetReadLimit(4 << 20)
	}
	return coderConn{c}
}

func (c coderConn) subprotocol() string { return c.Subprotocol() }

func (c coderConn) read() (text bool, p []byte, err error) {
	messageType, p, err := c.Read(context.Background())
	var closed coderws.CloseError
	if errors.As(err, &closed) {
		err = &websocket.CloseError{Code: int(closed.Code), Text: closed.Reason}
	}
	return messageType == coderws.MessageText, p, lost(err)
}

func (c coderConn) write(text bool, fragments ...[]byte) error {
	messageType := coderws.MessageBinary
	if text {
		messageType = coderws.MessageText
	}
	if len(fragments) == 1 {
		return c.Write(context.Background(), messageType, fragments[0])
	}
	w, err := c.Writer(context.Background(), messageType)
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

// ping leaves the payload to coder, which knows the pong by it.
func (c coderConn) ping(answered func()) error {
	go func() {
		if c.Ping(context.Background()) == nil {
			answered()
		}
	}()
	return nil
}

// close returns no reason: Close checks that the same code comes back, and keeps
// the reason to itself.
func (c coderConn) close(code int, reason string) error {
	if err := c.Close(coderws.StatusCode(code), reason); err != nil {
		return err
	}
	return &websocket.CloseError{Code: code}
}

func (c coderConn) kill() { c.CloseNow() }

// Level 1 of compress/flate looks for no repetitions in less than 128 bytes.
var coderDeflate = &deflatePeer{
	limit:  goDeflateLimit,
	short:  128,
	client: coder.echoes,
	offers: append(ourTerms(coderTakeover, pmd), []opening{
		{ours: &compression{ServerMaxWindowBits: 9, ClientMaxWindowBits: 9}, theirs: coderTakeover, offer: pmd, answer: pmd + smw + "=9"},
		{ours: &compression{ServerMaxWindowBits: 15}, theirs: coderTakeover, offer: pmd, answer: pmd},
		{ours: nil, theirs: coderNoTakeover, offer: pmd + cnt + snt, answer: pmd + snt + cnt},
		{ours: &compression{}, theirs: coderNoTakeover, offer: pmd + cnt + snt, answer: pmd + snt + cnt + smw + "=12"},
	}...),
	server: coder.server,
	answers: slices.Concat(asAsked(coderTakeover, map[string]string{
		pmd + snt + cnt:         pmd + cnt + snt,
		pmd + snt + cnt + cmw:   pmd + cnt + snt,
		pmd + smw + "=9" + cmw:  "",
		pmd + smw + "=12" + cmw: "",
		pmd + cmw + "=8":        pmd,
		pmd + cmw + "=9":        pmd,
		pmd + cmw + "=12":       pmd,
		allTerms:                "",
	}), always(coderNoTakeover, pmd+cnt+snt, "")),
}
