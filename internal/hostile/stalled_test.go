package hostile

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/internal/wstest"
)

// A peer that does not read what it is sent is gone a second after the time for a write is over. It has sent no close frame and has not
// ended its side: nothing but the victim itself can end the victim's reading.
func TestStalledReadersAreGone(t *testing.T) {
	t.Parallel()
	message := make([]byte, 64*kib)
	each(t, withoutDeflate(), func(t *testing.T, g target) {
		g.options.WriteTimeout = 100 * time.Millisecond
		g.hold = true
		v := g.open(t)
		if !g.door.http2() {
			require.NoError(t, tcpOf(v).SetReadBuffer(4*kib))
		}
		v.Send(wstest.Frame{Opcode: wstest.Text, Payload: "before"})
		v.expectDelivered(websocket.TextMessage, "before")
		err := v.writeUntilItFails(message)
		require.True(t, isTimeout(err), "%v", err)
		err = v.end()
		require.True(t, isTimeout(err), "%v", err)
		v.expectNothingMore()
		<-v.conn.Context().Done()
	})
}

func (v *victim) writeUntilItFails(message []byte) error {
	for {
		if err := v.conn.WriteMessage(websocket.BinaryMessage, message); err != nil {
			return err
		}
	}
}

// tcpOf is the attacker's socket.
func tcpOf(v *victim) *net.TCPConn { return v.Peer.Conn.(*net.TCPConn) }

// isTimeout reports whether err says that a deadline has passed.
func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.As(err, &timeout) && timeout.Timeout()
}
