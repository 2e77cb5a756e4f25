package http2

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
)

// TestOverHTTP2 has a few messages go over a stream of an HTTP/2 connection.
func TestOverHTTP2(t *testing.T) {
	var u websocket.Upgrader
	s := httptest.NewUnstartedServer(u.Handler(func(c *websocket.Conn, r *http.Request) error {
		return c.Serve(r.Context(), func(m websocket.Message) error { return c.WriteMessage(m.Type, m.Data) })
	}))
	s.EnableHTTP2 = true
	Configure(s.Config)
	s.StartTLS()
	defer s.Close()
	tr := &Transport{TLSClientConfig: &tls.Config{RootCAs: s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}}
	d := websocket.Dialer{Transport: tr}
	c, resp, err := d.Dial("wss"+strings.TrimPrefix(s.URL, "https"), nil)
	require.NoError(t, err)
	require.Equal(t, 200, resp.StatusCode)
	require.Equal(t, 2, resp.ProtoMajor)
	for range 100 {
		require.NoError(t, c.WriteMessage(websocket.TextMessage, []byte("hello")))
		_, p, err := c.ReadMessage()
		require.NoError(t, err)
		require.Equal(t, "hello", string(p))
	}
	t.Log(c.LocalAddr(), c.RemoteAddr())
	require.NoError(t, c.Shutdown(t.Context(), 1000, "bye"))
}
