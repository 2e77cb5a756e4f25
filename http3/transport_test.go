package http3

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
)

func TestEcho(t *testing.T) {
	s := serve(t, echo(new(websocket.Upgrader)))
	d := &websocket.Dialer{Transport: transport(t)}
	c := dial(t, d, s.url)
	for range 100 {
		requireEcho(t, c, "hello")
	}
	t.Log(c.LocalAddr(), c.RemoteAddr())
	require.Equal(t, "udp", c.RemoteAddr().Network())
	require.Equal(t, s.addr, c.RemoteAddr().String())
	require.NoError(t, c.Shutdown(t.Context(), 1000, "bye"))
}
