package websocket_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/websockettest"
)

// ReadTimeout and WriteTimeout of an http.Server are for requests: neither ends a connection
// that was upgraded, by whatever it is served.
func TestConnectionsOutliveTheServersTimeouts(t *testing.T) {
	var upgrader websocket.Upgrader
	echo := func(c *websocket.Conn) func(websocket.Message) error {
		return func(m websocket.Message) error { return c.WriteMessage(m.Type, m.Data) }
	}
	for name, handler := range map[string]http.Handler{
		"Serve": upgrader.Handler(func(c *websocket.Conn, r *http.Request) error {
			return c.Serve(r.Context(), echo(c))
		}),
		"Start": upgrader.Handler(func(c *websocket.Conn, _ *http.Request) error {
			c.Start(echo(c), nil)
			return nil
		}),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ln := websockettest.Listen()
				srv := &http.Server{Handler: handler, ReadTimeout: time.Second, WriteTimeout: time.Second, IdleTimeout: time.Second}
				served := make(chan error, 1)
				go func() { served <- srv.Serve(ln) }()
				d := websocket.Dialer{NetDialContext: ln.NetDialContext}
				c, _, err := d.DialContext(t.Context(), "ws://websocket.test/", nil)
				require.NoError(t, err)
				for range 2 {
					time.Sleep(time.Minute) // by the clock of the bubble
					require.NoError(t, c.WriteMessage(websocket.TextMessage, []byte("still here")))
					_, p, err := c.ReadMessage()
					require.NoError(t, err)
					require.Equal(t, "still here", string(p))
				}
				require.NoError(t, c.Shutdown(t.Context(), websocket.CloseNormalClosure, ""))
				require.NoError(t, srv.Close())
				require.ErrorIs(t, <-served, http.ErrServerClosed)
			})
		})
	}
}
