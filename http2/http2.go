// Package http2 carries WebSockets over HTTP/2, as streams of a connection that is there
// already (RFC 8441, extended CONNECT). To open a further one takes a round trip and no
// TCP or TLS handshake.
//
// # Servers
//
// Importing this package is all that an HTTP/2 server of net/http needs so that clients
// may ask for WebSockets; an Upgrader answers them like any other. If nothing else of it
// is used:
//
//	import _ "github.com/duplexkit/websocket/http2"
//
// Without it nothing breaks: net/http does not say that it can do it, and clients use
// HTTP/1.1. The import sets http2xconnect=1 in the environment variable GODEBUG, which
// child processes inherit, before net/http reads it; a GODEBUG that has the setting
// already, as http2xconnect=0, is left alone. Browsers then use HTTP/2 for all
// WebSockets to a server to which they have an HTTP/2 connection, also for those of
// other packages that can't answer them, httputil.ReverseProxy among them, which is why
// Go has it turned off.
//
// Such requests have the method CONNECT: a pattern of http.ServeMux that says
// "GET /chat" does not match them, "/chat" does. Middleware that wraps the
// http.ResponseWriter must have an Unwrap method; a Hijack method does for HTTP/1.1 only.
// Behind a proxy it is the proxy that speaks HTTP/2, and the server needs none of this.
//
// Call Configure besides, before the server serves.
//
// # Clients
//
//	dialer := websocket.Dialer{
//		TLSClientConfig: cfg, // for HTTP/1.1, where the server does nothing else
//		Transport:       &http2.Transport{TLSClientConfig: cfg},
//	}
//
// The Dialer's own fields for the network and TLS, NetDialContext among them, are for
// HTTP/1.1; the Transport has its own. How to try HTTP/3 before HTTP/2 is an example of the
// module github.com/duplexkit/websocket/http3.
//
// That a server does not do it is remembered for ten minutes. When a connection has all the
// streams that the server allows, 250 unless an http.Server is told otherwise, another is
// made.
package http2

import (
	"net/http"
	"reflect"

	_ "github.com/duplexkit/websocket/http2/internal/xconnect" // turns the server side of net/http on
	"github.com/duplexkit/websocket/internal/drain"
)

// What Configure sets.
const (
	streamWindow     = 64 << 10 // bytes that wait for a handler which does not read
	connectionWindow = 1 << 20
)

// Configure makes an HTTP server fit for WebSockets over HTTP/2. It sets s.HTTP2, and of
// that only what is zero: a receive buffer of 64 KiB for each stream and 1 MiB for each
// connection. With net/http's own, which are equal, a single handler that does not read
// keeps all other streams of its connection from receiving anything. For the same
// reason keep MaxReceiveBufferPerConnection at a multiple of MaxReceiveBufferPerStream
// that is larger than the number of such handlers you expect.
//
// It also has s.Shutdown take leave of all WebSockets over HTTP/2, with CloseGoingAway.
// Without it a Shutdown that comes before or during the first upgrade of s may not reach
// that one, and then waits for it. Call Configure before s serves.
func Configure(s *http.Server) {
	if s.HTTP2 == nil {
		s.HTTP2 = new(http.HTTP2Config)
	}
	if s.HTTP2.MaxReceiveBufferPerStream == 0 {
		s.HTTP2.MaxReceiveBufferPerStream = streamWindow
	}
	if s.HTTP2.MaxReceiveBufferPerConnection == 0 {
		s.HTTP2.MaxReceiveBufferPerConnection = connectionWindow
	}
	enableConnect(s.HTTP2)
	drain.Watch(s)
}

// enableConnect sets the field that later versions of Go have for it (the proposal
// golang.org/issue/53208), and does nothing where there is none.
func enableConnect(config any) {
	field := reflect.ValueOf(config).Elem().FieldByName("EnableConnectProtocol")
	if field.IsValid() && field.Kind() == reflect.Bool {
		field.SetBool(true)
	}
}
