package http3

import (
	"net/http"
	"strings"
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

// What was written before Close arrives, though Close does not wait for it: a reset would
// have QUIC throw away what the server has not read yet (RFC 9000, section 3.2).
func TestCloseBehindWrites(t *testing.T) {
	read, got := make(chan struct{}), make(chan string, 1)
	var u websocket.Upgrader
	mux := http.NewServeMux()
	mux.Handle("/echo", echo(&u))
	mux.Handle("/", u.Handler(func(c *websocket.Conn, r *http.Request) error {
		<-read
		_, p, err := c.ReadMessage()
		if err != nil {
			p = []byte(err.Error())
		}
		got <- string(p)
		return err
	}))
	s := serve(t, mux)
	d := &websocket.Dialer{Transport: transport(t)}
	other := dial(t, d, s.url+"echo")
	for _, size := range []int{1, 100, 10_000} {
		for range 10 {
			c := dial(t, d, s.url)
			message := strings.Repeat("x", size)
			require.NoError(t, c.WriteMessage(websocket.TextMessage, []byte(message)))
			requireEcho(t, other, "what was written is on its way")
			require.NoError(t, c.NetConn().Close())
			requireEcho(t, other, "so is the end")
			read <- struct{}{}
			require.Equal(t, message, receive(t, got))
		}
	}
}
