package endpoint

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/http2"
)

// Serve is the server under test, on every path of the listener, until ctx ends.
// It returns when the last connection has ended.
func (c Config) Serve(ctx context.Context, ln net.Listener) error {
	var conns sync.RWMutex // held for reading by each connection
	upgrader := websocket.Upgrader{
		CheckOrigin: func(*http.Request) bool { return true },
		Options:     c.options(),
	}
	echo := upgrader.Handler(func(conn *websocket.Conn, _ *http.Request) error {
		return c.echo(ctx, conn)
	})
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conns.RLock()
		defer conns.RUnlock()
		echo.ServeHTTP(w, r)
	})}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	if c.HTTP2 {
		http2.Configure(server)
		server.Protocols = new(http.Protocols)
		server.Protocols.SetHTTP2(true)
		server.Protocols.SetUnencryptedHTTP2(true)
		// Here nothing is hijacked: Close would cut connections that take their leave.
		stop()
		stop = context.AfterFunc(ctx, func() { server.Shutdown(context.Background()) })
	}
	defer stop()
	serve := server.Serve
	if c.TLS != nil {
		server.TLSConfig = c.TLS.Clone()
		serve = func(ln net.Listener) error { return server.ServeTLS(ln, "", "") }
	}
	err := serve(ln)
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	conns.Lock()
	defer conns.Unlock()
	return err
}
