package websocket

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket/internal/wstest"
)

// What is no plain socket takes nothing without blocking: a type around one may
// do things in Write that must not be passed by.
func TestWriteNonblockingTakesNothing(t *testing.T) {
	t.Parallel()
	pipe, _ := wstest.Pipe(t)
	socket, _ := wstest.TCP(t)
	for _, nc := range []net.Conn{pipe, struct{ net.Conn }{socket}, struct{ *net.TCPConn }{socket}} {
		n, err := writeNonblocking(nc, []byte("a"))
		require.NoError(t, err)
		require.Zero(t, n)
	}
}
