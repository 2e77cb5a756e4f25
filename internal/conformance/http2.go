package conformance

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/duplexkit/websocket/internal/h2wire"
)

// The same cases over HTTP/2 (RFC 8441): a stream stands in the place of the TCP connection, and END_STREAM in that of FIN. What is about
// TCP in the words of a case is about the stream then.

// window is what the peer grants a stream: enough that an endpoint is not slowed down by the way there and back.
const window = 1 << 20

// sharedLine is the HTTP/2 connection that all cases of a client are streams of. One that has broken is replaced.
type sharedLine struct {
	config Config
	target *url.URL

	mu   sync.Mutex
	conn *h2wire.Conn
}

// open begins a stream for a case.
func (l *sharedLine) open(ctx context.Context, offers []string) (*h2wire.Stream, error) {
	conn, err := l.connect(ctx)
	if err != nil {
		return nil, err
	}
	var fields []string
	for _, offer := range offers {
		fields = append(fields, "sec-websocket-extensions", offer)
	}
	scheme := "http"
	if l.config.TLS != nil {
		scheme = "https"
	}
	return conn.OpenSocket(scheme, l.target.Host, l.target.RequestURI(), fields...)
}

func (l *sharedLine) connect(ctx context.Context) (*h2wire.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != nil {
		select {
		case <-l.conn.Over():
		default:
			return l.conn, nil
		}
	}
	nc, err := dialTCP(ctx, l.target)
	if err != nil {
		return nil, err
	}
	if l.config.TLS != nil {
		config := l.config.TLS.Clone()
		config.NextProtos = []string{http2.NextProtoTLS}
		tc := tls.Client(nc, config)
		if err := tc.HandshakeContext(ctx); err != nil {
			_ = nc.Close()
			return nil, err
		}
		nc = tc
	}
	conn, err := h2wire.NewClient(nc, h2wire.Config{Settings: []http2.Setting{{ID: http2.SettingInitialWindowSize, Val: window}}})
	if err != nil {
		_ = nc.Close()
		return nil, err
	}
	settings, err := conn.Settings(l.config.Timeout)
	if err == nil && settings[h2wire.EnableConnect] != 1 {
		err = errors.New("the server does not announce extended CONNECT (RFC 8441, section 3)")
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	l.conn = conn
	return conn, nil
}

func (l *sharedLine) close() {
	if l.conn != nil {
		_ = l.conn.Close()
	}
}

// openedOver reads the server's answer on a stream that open has begun.
func openedOver(stream *h2wire.Stream, target *url.URL, timeout time.Duration) (*opening, error) {
	o := &opening{request: "an extended CONNECT for " + target.RequestURI(), target: target}
	fields, err := stream.Header(timeout)
	if err != nil {
		return o, err
	}
	o.response, o.header = headOf(fields)
	switch {
	case stream.Field(":status") != "200":
		return o, fmt.Errorf("the server answers %q", stream.Field(":status"))
	case o.header["Upgrade"] != nil || o.header["Connection"] != nil:
		return o, errors.New("the answer has fields that HTTP/2 does not have (RFC 9113, section 8.2.2)")
	case o.header["Sec-Websocket-Accept"] != nil:
		return o, errors.New("the answer has a Sec-WebSocket-Accept (RFC 8441, section 5)")
	case o.header.Get("Sec-WebSocket-Protocol") != "":
		return o, errors.New("a subprotocol nobody asked for (section 4.1)")
	}
	return o, nil
}

// headOf is a block of header fields as the report has it, and by name.
func headOf(fields []hpack.HeaderField) (text string, header textproto.MIMEHeader) {
	var b strings.Builder
	header = textproto.MIMEHeader{}
	for _, f := range fields {
		b.WriteString(f.Name + ": " + f.Value + "\r\n")
		header.Add(f.Name, f.Value)
	}
	return b.String(), header
}

// handleHTTP2 plays on the streams of a connection, side by side.
func (s *FuzzingServer) handleHTTP2(nc net.Conn) {
	if s.config.TLS != nil {
		config := s.config.TLS.Clone()
		config.NextProtos = []string{http2.NextProtoTLS}
		nc = tls.Server(nc, config)
	}
	conn, err := h2wire.NewServer(nc, h2wire.Config{Settings: []http2.Setting{
		{ID: h2wire.EnableConnect, Val: 1}, {ID: http2.SettingInitialWindowSize, Val: window},
	}})
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	var streams sync.WaitGroup
	defer streams.Wait()
	for {
		stream, err := conn.Accept(0)
		if err != nil {
			return
		}
		streams.Go(func() {
			s.handle(stream)
			_ = stream.Close()
		})
	}
}

// requestOver reads a client's opening handshake.
func requestOver(stream *h2wire.Stream) (o *opening, err error) {
	fields, err := stream.Header(time.Minute) // they are here
	if err != nil {
		return nil, err
	}
	o = new(opening)
	o.request, o.header = headOf(fields)
	if o.target, err = url.ParseRequestURI(stream.Field(":path")); err != nil {
		return o, err
	}
	switch {
	case stream.Field(":method") != "CONNECT" || stream.Field(":protocol") != "websocket":
		return o, errors.New("not an extended CONNECT for websocket (RFC 8441, section 5)")
	case stream.Field(":scheme") == "" || stream.Field(":authority") == "":
		return o, errors.New("a pseudo-header field is missing (RFC 8441, section 4)")
	case o.header.Get("Sec-WebSocket-Version") != "13":
		return o, errors.New("Sec-WebSocket-Version is not 13 (section 4.2.1)")
	case o.header["Sec-Websocket-Key"] != nil || o.header["Upgrade"] != nil || o.header["Connection"] != nil:
		return o, errors.New("the request has fields of HTTP/1.1 (RFC 8441, section 5)")
	}
	return o, nil
}

// answerOver accepts the request, with the extensions given.
func (o *opening) answerOver(stream *h2wire.Stream, extensions []string) error {
	fields := []string{":status", "200"}
	for _, extension := range extensions {
		fields = append(fields, "sec-websocket-extensions", extension)
	}
	o.response = strings.Join(fields, " ")
	return stream.Respond(false, fields...)
}

// refuseOver answers a request that does not open a WebSocket connection.
func refuseOver(stream *h2wire.Stream, body string) {
	if stream.Respond(false, ":status", "400", "content-type", "text/plain") == nil {
		_, _ = stream.Write([]byte(body))
		_ = stream.CloseWrite()
	}
}
