package endpoint

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"

	"github.com/duplexkit/websocket"
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
	defer stop()
	err := server.Serve(ln)
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	conns.Lock()
	defer conns.Unlock()
	return err
}
