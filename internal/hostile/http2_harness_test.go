package hostile

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	xhttp2 "golang.org/x/net/http2"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/http2"
	"github.com/duplexkit/websocket/internal/h2wire"
)

// serveHTTP2 serves HTTP/2 without TLS until the test ends, and returns the address.
func serveHTTP2(t testing.TB, server *http.Server) (addr string) {
	t.Helper()
	ln := listen(t)
	server.Protocols = new(http.Protocols)
	server.Protocols.SetUnencryptedHTTP2(true)
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	t.Cleanup(func() {
		server.Close()
		<-served
	})
	return ln.Addr().String()
}

// lineTo is an attacker's connection to a server of HTTP/2.
func lineTo(t testing.TB, addr string, config h2wire.Config) *h2wire.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	c, err := h2wire.NewClient(nc, config)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	settings, err := c.Settings(patience)
	require.NoError(t, err)
	require.EqualValues(t, 1, settings[h2wire.EnableConnect])
	return c
}

// pairs are header lines as pairs of fields.
func pairs(lines string) (fields []string) {
	for line := range strings.SplitSeq(strings.TrimSpace(lines), "\r\n") {
		if name, value, ok := strings.Cut(line, ": "); ok {
			fields = append(fields, strings.ToLower(name), value)
		}
	}
	return fields
}

// lines are header fields as lines.
func lines(t testing.TB, s *h2wire.Stream) string {
	t.Helper()
	fields, err := s.Header(patience)
	require.NoError(t, err)
	var b strings.Builder
	b.WriteString("\r\n")
	for _, f := range fields {
		name := f.Name
		if strings.EqualFold(name+": ", extensionsField) {
			name = extensionsField[:len(name)] // as it is spelled in HTTP/1.1
		}
		b.WriteString(name + ": " + f.Value + "\r\n")
	}
	return b.String()
}

func (v *victim) connectHTTP2(conns chan<- *websocket.Conn) net.Conn {
	v.t.Helper()
	upgrader := websocket.Upgrader{Options: v.options}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, err := upgrader.Upgrade(w, r, nil); err == nil {
			conns <- c
			<-c.Context().Done() // as is documented
		}
	})}
	http2.Configure(server)
	extra := v.extensions
	if v.deflate && extra == "" {
		extra = offer
	}
	s, err := lineTo(v.t, serveHTTP2(v.t, server), h2wire.Config{Hold: v.hold}).OpenSocket("http", "server.example.com", "/chat", pairs(extra)...)
	require.NoError(v.t, err)
	v.head = lines(v.t, s)
	require.Equal(v.t, "200", s.Field(":status"), "%s", v.head)
	require.Equal(v.t, v.deflate, strings.Contains(v.head, "permessage-deflate"), "%s", v.head)
	return s
}

// ability is what a server of HTTP/2 says that can do it.
var ability = h2wire.Config{Settings: []xhttp2.Setting{{ID: h2wire.EnableConnect, Val: 1}}}

// dialHTTP2 has the library dial a server of the attacker's, who gets the stream of its request.
func dialHTTP2(t testing.TB, dialer websocket.Dialer, config h2wire.Config) (s *h2wire.Stream, dialed <-chan dialOutcome) {
	t.Helper()
	ln := listen(t)
	defer ln.Close()
	transport := &http2.Transport{Unencrypted: true}
	t.Cleanup(transport.CloseIdleConnections)
	dialer.Transport = transport
	result := make(chan dialOutcome, 1)
	go func() {
		var a dialOutcome
		a.conn, a.resp, a.err = dialer.Dial("ws://"+ln.Addr().String()+"/chat", nil)
		result <- a
	}()
	nc, err := ln.Accept()
	require.NoError(t, err)
	c, err := h2wire.NewServer(nc, config)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	s, err = c.Accept(patience)
	require.NoError(t, err)
	return s, result
}

// dialOutcome is what Dial returned.
type dialOutcome struct {
	conn *websocket.Conn
	resp *http.Response
	err  error
}

func (v *victim) beDialedHTTP2(conns chan<- *websocket.Conn) net.Conn {
	v.t.Helper()
	s, dialed := dialHTTP2(v.t, websocket.Dialer{Options: v.options}, h2wire.Config{Settings: ability.Settings, Hold: v.hold})
	extra := v.extensions
	if v.deflate && extra == "" {
		extra = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
	}
	require.NoError(v.t, s.Respond(false, append([]string{":status", "200"}, pairs(extra)...)...))
	a := <-dialed
	require.NoError(v.t, a.err)
	conns <- a.conn
	return s
}
