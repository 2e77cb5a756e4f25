package websockettest

import (
	"context"
	"net"
	"testing"

	"github.com/duplexkit/websocket"
)

// hostInMemory is whom clients in memory speak to.
const hostInMemory = "websocket.test"

// Pair returns the two ends of a WebSocket connection in memory, opened by d and u with a
// real opening handshake: what they agree on, such as a subprotocol or compression, is in
// force. nil is a zero Dialer or Upgrader. Of d, its Transport, its Proxy and its functions
// that make network connections are not used.
//
// Each direction holds 1 MiB that nobody has read; only then a write waits. Both ends are
// closed when the test ends. Pair works within a bubble of testing/synctest. If the
// handshake fails, so does the test.
func Pair(t testing.TB, d *websocket.Dialer, u *websocket.Upgrader) (client, server *websocket.Conn) {
	t.Helper()
	clientEnd, serverEnd := Pipe(0)
	return Handshake(t, clientEnd, serverEnd, d, u)
}

// Handshake is Pair over the two ends of a connection of the caller's: a FaultyConn,
// perhaps, or TCP. They belong to the Conns from then on.
func Handshake(t testing.TB, clientEnd, serverEnd net.Conn, d *websocket.Dialer, u *websocket.Upgrader) (client, server *websocket.Conn) {
	t.Helper()
	var dialer websocket.Dialer
	if d != nil {
		dialer = *d
	}
	if u == nil {
		u = new(websocket.Upgrader)
	}
	dialer.Transport, dialer.Proxy, dialer.NetDial, dialer.NetDialTLSContext = nil, nil, nil, nil
	dialer.NetDialContext = func(context.Context, string, string) (net.Conn, error) { return clientEnd, nil }
	t.Cleanup(func() {
		// A Conn that has said its last words leaves its end open for a while.
		_ = clientEnd.Close()
		_ = serverEnd.Close()
	})

	upgraded := make(chan error, 1)
	go func() {
		var err error
		server, _, err = u.UpgradeConn(serverEnd)
		upgraded <- err
	}()
	client, resp, err := dialer.Dial("ws://"+hostInMemory+"/", nil)
	if err != nil {
		_ = clientEnd.Close() // so that the other end gives up
	}
	refused := <-upgraded
	if server != nil {
		t.Cleanup(func() { _ = server.Close() })
	}
	if client != nil {
		t.Cleanup(func() { _ = client.Close() })
	}
	if err != nil || refused != nil {
		t.Fatalf("websockettest: opening handshake: the client has %v; the server has %v", whyNot(resp, err), whyNot(nil, refused))
	}
	return client, server
}
