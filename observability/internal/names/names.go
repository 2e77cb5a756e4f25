// Package names has words that the adapters share.
package names

import (
	"errors"

	"github.com/duplexkit/websocket"
)

// Outcome tells a handshake that the other end, or we, turned down from one that broke off.
func Outcome(h websocket.HandshakeInfo) string {
	var refused websocket.HandshakeError
	switch {
	case h.Err == nil:
		return "opened"
	case errors.As(h.Err, &refused), errors.Is(h.Err, websocket.ErrBadHandshake):
		return "refused"
	}
	return "failed"
}

// CodeKnown reports whether c is among the close codes that RFC 6455, section 7.4.1, and the
// registry after it have given a meaning. Peers may send thousands of others.
func CodeKnown(c int) bool {
	return c >= websocket.CloseNormalClosure && c <= websocket.CloseTLSHandshake
}

// Opcodes has a name for each.
var Opcodes = func() (names [16]string) {
	for i := range names {
		names[i] = "reserved"
	}
	names[0] = "continuation"
	names[websocket.TextMessage] = "text"
	names[websocket.BinaryMessage] = "binary"
	names[websocket.CloseMessage] = "close"
	names[websocket.PingMessage] = "ping"
	names[websocket.PongMessage] = "pong"
	return names
}()
