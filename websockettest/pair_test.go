package websockettest

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
)

// inAndOut runs a test in a bubble and out of one.
func inAndOut(t *testing.T, test func(t *testing.T)) {
	inBubble(t, "in a bubble", test)
	t.Run("in the open", func(t *testing.T) {
		t.Parallel()
		test(t)
	})
}

// requireEcho sends a message each way.
func requireEcho(t testing.TB, client, server *websocket.Conn) {
	t.Helper()
	for _, way := range [][2]*websocket.Conn{{client, server}, {server, client}} {
		require.NoError(t, way[0].WriteMessage(websocket.TextMessage, []byte("Hello")))
		messageType, p, err := way[1].ReadMessage()
		require.NoError(t, err)
		require.Equal(t, websocket.TextMessage, messageType)
		require.Equal(t, "Hello", string(p))
	}
}

func TestPair(t *testing.T) {
	t.Parallel()
	inAndOut(t, func(t *testing.T) {
		client, server := Pair(t, nil, nil)
		require.False(t, client.Negotiated().Server)
		require.True(t, server.Negotiated().Server)
		require.Empty(t, client.Subprotocol())
		require.Nil(t, client.Negotiated().Compression)
		requireEcho(t, client, server)
	})
}

// The options of both ends are in force, and agreed on by them.
func TestPairAgrees(t *testing.T) {
	t.Parallel()
	inAndOut(t, func(t *testing.T) {
		var all websocket.Group
		var asked *http.Request
		d := &websocket.Dialer{
			Subprotocols: []string{"a", "b"},
			Options:      websocket.Options{ReadLimit: 5, Compression: &websocket.Compression{ClientMaxWindowBits: 10}},
			Transport:    http.DefaultTransport, // which would be refused
			Proxy:        func(*http.Request) (*url.URL, error) { return nil, errors.New("asked for a proxy") },
			NetDial:      func(string, string) (net.Conn, error) { return nil, errors.New("dialed") },
			NetDialContext: func(context.Context, string, string) (net.Conn, error) {
				return nil, errors.New("dialed with a context")
			},
		}
		u := &websocket.Upgrader{
			SelectSubprotocol: func(r *http.Request, offered []string) (string, error) { asked = r; return offered[1], nil },
			Options:           websocket.Options{Group: &all, Compression: &websocket.Compression{}},
		}
		client, server := Pair(t, d, u)
		require.Equal(t, "b", client.Subprotocol())
		require.Equal(t, "b", server.Subprotocol())
		require.Equal(t, client.Negotiated().Compression, server.Negotiated().Compression)
		require.Equal(t, 10, client.Negotiated().Compression.ClientMaxWindowBits)
		require.Equal(t, 1, all.Len())
		require.Equal(t, "websocket.test", asked.Host)
		require.Equal(t, client.LocalAddr().String(), asked.RemoteAddr)
		requireEcho(t, client, server)
		require.Same(t, http.DefaultTransport, d.Transport, "the caller's Dialer stays as it was")

		require.NoError(t, server.WriteMessage(websocket.TextMessage, []byte("too long")))
		_, _, err := client.ReadMessage()
		require.ErrorIs(t, err, websocket.ErrReadLimit)
	})
}

// Both ends write, and nobody reads: over net.Pipe that would be the end of it.
func TestPairHasABuffer(t *testing.T) {
	t.Parallel()
	inAndOut(t, func(t *testing.T) {
		client, server := Pair(t, nil, nil)
		const messages, size = 100, 10_000
		for range messages {
			require.NoError(t, client.WriteMessage(websocket.BinaryMessage, make([]byte, size)))
			require.NoError(t, server.WriteMessage(websocket.BinaryMessage, make([]byte, size)))
		}
		for range messages {
			for _, c := range []*websocket.Conn{client, server} {
				_, p, err := c.ReadMessage()
				require.NoError(t, err)
				require.Len(t, p, size)
			}
		}
	})
}

// However the test leaves the connection, its end is the end of all goroutines; a bubble
// would fail otherwise.
func TestPairIsClosed(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(t *testing.T, client, server *websocket.Conn){
		"open":   func(t *testing.T, client, server *websocket.Conn) {},
		"closed": func(t *testing.T, client, server *websocket.Conn) { require.NoError(t, client.Close()) },
		"read": func(t *testing.T, client, server *websocket.Conn) {
			go func() { _, _, _ = server.ReadMessage() }()
			synctest.Wait()
		},
		"served": func(t *testing.T, client, server *websocket.Conn) {
			go func() { _ = server.Serve(t.Context(), func(websocket.Message) error { return nil }) }()
			synctest.Wait()
		},
		"started": func(t *testing.T, client, server *websocket.Conn) {
			server.Start(func(websocket.Message) error { return nil }, nil)
		},
		"writing": func(t *testing.T, client, server *websocket.Conn) {
			go func() { _ = client.WriteMessage(websocket.BinaryMessage, make([]byte, 2<<20)) }()
			synctest.Wait()
		},
		"shut down": func(t *testing.T, client, server *websocket.Conn) {
			go func() { _, _, _ = server.ReadMessage() }()
			require.NoError(t, client.Shutdown(t.Context(), websocket.CloseNormalClosure, ""))
		},
		"half shut down": func(t *testing.T, client, server *websocket.Conn) {
			go func() { _ = server.Shutdown(context.Background(), websocket.CloseNormalClosure, "") }()
			synctest.Wait()
		},
		"kept alive": func(t *testing.T, client, server *websocket.Conn) { time.Sleep(time.Hour) },
	} {
		inBubble(t, name, func(t *testing.T) {
			options := websocket.Options{PingInterval: time.Minute, PingTimeout: time.Second}
			client, server := Pair(t, &websocket.Dialer{Options: options}, &websocket.Upgrader{Options: options})
			leave(t, client, server)
		})
	}
	var client, server *websocket.Conn
	r := record(t, func(t testing.TB) { client, server = Pair(t, nil, nil) })
	require.False(t, r.Failed())
	require.ErrorIs(t, client.WriteMessage(websocket.TextMessage, nil), net.ErrClosed)
	require.ErrorIs(t, server.WriteMessage(websocket.TextMessage, nil), net.ErrClosed)
}

func TestPairFails(t *testing.T) {
	t.Parallel()
	refuse := &websocket.Upgrader{AllowedHosts: []string{"example.com"}}
	for name, tc := range map[string]struct {
		d     *websocket.Dialer
		u     *websocket.Upgrader
		parts []string
	}{
		"the server refuses": {nil, refuse, []string{
			"the client has websocket: bad handshake: the server answered 403 Forbidden: ",
			`the server has websocket: host "websocket.test" is not among Upgrader.AllowedHosts`,
		}},
		"the client asks for nothing that there is": {&websocket.Dialer{Subprotocols: []string{"no token"}}, nil, []string{
			`the client has websocket: subprotocol "no token" is not a token; the server has `,
		}},
	} {
		inBubble(t, name, func(t *testing.T) {
			requireFailure(t, func(t testing.TB) { Pair(t, tc.d, tc.u) }, tc.parts...)
		})
	}
}

func TestHandshake(t *testing.T) {
	t.Parallel()
	for name, link := range links {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clientEnd, serverEnd := link(t)
			client, server := Handshake(t, clientEnd, serverEnd, nil, nil)
			require.Same(t, clientEnd, client.NetConn())
			require.Same(t, serverEnd, server.NetConn())
			requireEcho(t, client, server)
		})
	}
	inBubble(t, "on a line that breaks", func(t *testing.T) {
		requireFailure(t, func(t testing.TB) {
			clientEnd, serverEnd := Pipe(0)
			Handshake(t, NewFaultyConn(clientEnd, Fault{}, Fault{After: 20, Reset: true}), serverEnd, nil, nil)
		}, "connection reset", "the client has", "the server has")
	})
	inBubble(t, "on a line that stalls", func(t *testing.T) {
		requireFailure(t, func(t testing.TB) {
			clientEnd, serverEnd := Pipe(0)
			Handshake(t, NewFaultyConn(clientEnd, Fault{Stall: true}, Fault{}), serverEnd, nil, nil)
		}, "the client has context deadline exceeded; the server has no error")
	})
}
