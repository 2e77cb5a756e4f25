// Package scenario has a server and a client do what the adapters are to tell of.
package scenario

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
)

// Size of the larger of two messages that go each way, in bytes. The other has five.
const Size = 10_000

// Run opens a connection to an echo server, has a request refused by it and another fail,
// sends a text message of five bytes and a binary one of Size, pings, and leaves with code
// 1000 after during was called. It returns when both ends have ended.
func Run(t *testing.T, ctx context.Context, server, client *websocket.Trace, during func()) {
	t.Helper()
	compressing := websocket.Options{Compression: &websocket.Compression{}}
	ended := make(chan struct{})
	u := websocket.Upgrader{Options: compressing}
	u.Trace = server
	s := httptest.NewServer(u.Handler(func(c *websocket.Conn, r *http.Request) error {
		defer close(ended)
		return c.Serve(r.Context(), func(m websocket.Message) error { return c.WriteMessage(m.Type, m.Data) })
	}))
	defer s.Close()
	url := "ws" + strings.TrimPrefix(s.URL, "http") + "/chat"

	d := websocket.Dialer{Options: compressing}
	d.Trace = client
	_, _, err := d.DialContext(ctx, url, http.Header{"Origin": {"http://elsewhere.example"}})
	require.ErrorIs(t, err, websocket.ErrBadHandshake)
	broken := d
	broken.NetDial = func(string, string) (net.Conn, error) { return nil, errors.New("no network") }
	_, _, err = broken.DialContext(ctx, url, nil)
	require.Error(t, err)

	c, _, err := d.DialContext(ctx, url, nil)
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.WriteMessage(websocket.TextMessage, []byte("Hello")))
	_, _, err = c.ReadMessage()
	require.NoError(t, err)
	require.NoError(t, c.WriteMessage(websocket.BinaryMessage, make([]byte, Size)))
	_, _, err = c.ReadMessage()
	require.NoError(t, err)
	read := make(chan error, 1)
	go func() {
		_, _, err := c.ReadMessage()
		read <- err
	}()
	limited, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err = c.Ping(limited)
	require.NoError(t, err)
	during()
	require.NoError(t, c.Shutdown(limited, websocket.CloseNormalClosure, "done"))
	<-read
	<-ended
}
