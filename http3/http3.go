// Package http3 carries WebSockets over HTTP/3, as streams of a QUIC connection (RFC 9220,
// extended CONNECT). To open a further one takes a round trip, and a packet that is lost
// holds up no stream but its own. It stands on github.com/quic-go/quic-go, which is why it
// is a module of its own.
//
// # Servers
//
// An Upgrader answers requests of a quic-go server as it does others; nothing of this
// package is needed for it. Configure makes such a server fit for many WebSockets and has
// them closed when it shuts down. The server over TCP is configured by the package http2, whose
// import has it take WebSockets over HTTP/2 as well, and not HTTP/1.1 alone:
//
//	mux := http.NewServeMux()
//	mux.Handle("/chat", upgrader.Handler(serve))
//	tcp := &http.Server{Addr: ":443", Handler: mux}
//	udp := &quichttp3.Server{Addr: ":443", Handler: mux, TLSConfig: tlsConfig}
//	http2.Configure(tcp)
//	http3.Configure(udp, tcp)
//
// quichttp3 is github.com/quic-go/quic-go/http3. Browsers find out about the server on UDP
// by the Alt-Svc field of answers over TCP: see SetQUICHeaders there. The requests have
// the method CONNECT: a pattern of http.ServeMux that says "GET /chat" does not match
// them, "/chat" does. Their Proto is the protocol asked for, "websocket"; go by ProtoMajor,
// which is 3. A handler that calls Upgrade itself, and not Upgrader.Handler, must
// not return before the connection is over, or the stream is over before it:
//
//	c, err := upgrader.Upgrade(w, r, nil)
//	if err != nil {
//		return
//	}
//	defer c.Close()
//	...
//	<-c.Context().Done()
//
// # Clients
//
//	transport := new(http3.Transport)
//	defer transport.Close() // or servers take notice of our end much later
//	dialer := websocket.Dialer{Transport: transport}
//
// Where the server does not do it, or UDP does not get through, the Dialer goes on with
// HTTP/1.1. To try HTTP/2 before that takes a second Dialer: see the example.
//
// The Transport of quic-go itself is no use here. It refuses what a Dialer asks for, by the error
//
//	websocket: http3: invalid http header field name ":protocol"
//
// # What it needs
//
// A QUIC connection gets all its packets through one UDP socket, whose buffers most
// systems keep too small for full speed. On Linux, net.core.rmem_max and
// net.core.wmem_max should be 7500000 or more; quic-go says so in the log if they are
// not. Between the ends, firewalls have to let UDP pass.
//
// How many WebSockets a client can have on one connection is for the server to say:
// quic.Config.MaxIncomingStreams, which is 100 unless something else is set.
package http3

import (
	"context"
	"net/http"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/duplexkit/websocket/internal/drain"
)

// What Configure and Transport set.
const (
	incomingStreams  = 1000
	streamWindow     = 64 << 10  // bytes that wait for somebody who does not read
	maxStreamWindow  = 512 << 10 // to which that grows while somebody reads fast
	connectionWindow = 4 << 20
)

// Configure makes a server of quic-go fit for WebSockets, and hs a handle for ending
// them. Call it before s serves.
//
// It has the WebSockets that come to s closed with CloseGoingAway when hs shuts down, as
// those are that come to hs itself over HTTP/2. hs is the server that serves the same
// over TCP, or new(http.Server) if there is none. quic-go tells nobody when a server
// shuts down, and waits for the handlers; so shut hs down first:
//
//	err := errors.Join(hs.Shutdown(ctx), s.Shutdown(ctx))
//
// Without that, and when s is closed by its Close, WebSockets end without a close frame.
// s.Shutdown waits for clients to close their connections, too: for one that has gone without
// a word, as a process does that is killed, until QUIC's idle timeout. So expect ctx to end,
// and call s.Close then.
//
// Of s.QUICConfig, which it clones, it sets what is zero: MaxIncomingStreams to 1000, and
// receive windows of 64 to 512 KiB for each stream and of 4 MiB or more for each
// connection. With quic-go's own, two handlers that do not read can keep all other
// streams of their connection from receiving anything.
func Configure(s *http3.Server, hs *http.Server) {
	if s.QUICConfig == nil {
		s.QUICConfig = &quic.Config{Allow0RTT: true} // what quic-go makes of nil
	}
	s.QUICConfig = withWindows(s.QUICConfig)
	if s.QUICConfig.MaxIncomingStreams == 0 {
		s.QUICConfig.MaxIncomingStreams = incomingStreams
	}
	drain.Watch(hs)
	own := s.ConnContext
	s.ConnContext = func(ctx context.Context, qc *quic.Conn) context.Context {
		ctx = context.WithValue(ctx, http.ServerContextKey, hs)
		if own != nil {
			ctx = own(ctx, qc)
		}
		return ctx
	}
}

// withWindows returns a copy of config with receive windows where it has none.
func withWindows(config *quic.Config) *quic.Config {
	config = config.Clone()
	if config.InitialStreamReceiveWindow == 0 && config.MaxStreamReceiveWindow == 0 {
		config.InitialStreamReceiveWindow = streamWindow
		config.MaxStreamReceiveWindow = maxStreamWindow
	}
	if config.InitialConnectionReceiveWindow == 0 && config.MaxConnectionReceiveWindow == 0 {
		config.InitialConnectionReceiveWindow = connectionWindow
	}
	return config
}
