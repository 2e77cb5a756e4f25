package websockettest

import (
	"context"
	"errors"
	"net"
	"net/http"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
)

func TestListener(t *testing.T) {
	t.Parallel()
	inBubble(t, "accept", func(t *testing.T) {
		ln := Listen()
		dialed := make(chan net.Conn, 1)
		go func() {
			nc, _ := ln.NetDialContext(t.Context(), "tcp", "example.com:80")
			dialed <- nc
		}()
		synctest.Wait()
		require.Empty(t, dialed, "nobody has accepted it")
		server, err := ln.Accept()
		require.NoError(t, err)
		client := <-dialed
		require.Equal(t, ln.Addr(), client.RemoteAddr())
		require.NoError(t, ln.Close())
		_, err = client.Write([]byte("x"))
		require.NoError(t, err, "it stays")
		require.NoError(t, client.Close())
		require.NoError(t, server.Close())
	})
	inBubble(t, "a context ends", func(t *testing.T) {
		why := errors.New("why")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, why)
		defer cancel()
		_, err := Listen().NetDialContext(ctx, "", "")
		require.Equal(t, why, err)
	})
	inBubble(t, "close", func(t *testing.T) {
		ln := Listen()
		accepted := make(chan error, 1)
		go func() { _, err := ln.Accept(); accepted <- err }()
		synctest.Wait()
		require.NoError(t, ln.Close())
		require.NoError(t, ln.Close())
		require.ErrorIs(t, <-accepted, net.ErrClosed)
		_, err := ln.NetDialContext(t.Context(), "", "")
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
	})
}

// A server of the program's own takes leave of its clients.
func TestListenerServes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ln := Listen()
		var all websocket.Group
		u := websocket.Upgrader{Options: websocket.Options{Group: &all}}
		srv := &http.Server{Handler: u.Handler(func(c *websocket.Conn, r *http.Request) error {
			return c.Serve(r.Context(), func(websocket.Message) error { return nil })
		})}
		served := make(chan error, 1)
		go func() { served <- srv.Serve(ln) }()
		d := websocket.Dialer{NetDialContext: ln.NetDialContext}
		c, _, err := d.Dial("ws://example.com/", nil)
		require.NoError(t, err)
		read := make(chan error, 1)
		go func() { _, _, err := c.ReadMessage(); read <- err }()

		require.NoError(t, srv.Shutdown(t.Context()))
		require.ErrorIs(t, <-served, http.ErrServerClosed)
		require.NoError(t, all.Shutdown(t.Context(), websocket.CloseGoingAway, "bye"))
		require.Equal(t, &websocket.CloseError{Code: websocket.CloseGoingAway, Text: "bye"}, <-read)
		require.NoError(t, c.Close())
		time.Sleep(time.Minute) // for last words
	})
}
