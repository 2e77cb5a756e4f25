package http2_test

import (
	"crypto/tls"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/http2"
)

// A server that takes WebSockets over HTTP/2 and HTTP/1.1, and a client that has two of them on
// one network connection.
func Example() {
	var upgrader websocket.Upgrader
	s := httptest.NewUnstartedServer(upgrader.Handler(func(c *websocket.Conn, r *http.Request) error {
		return c.Serve(r.Context(), func(m websocket.Message) error {
			return c.WriteMessage(m.Type, fmt.Appendf(nil, "by %s: %s", r.Proto, m.Data))
		})
	}))
	s.EnableHTTP2 = true
	http2.Configure(s.Config)
	s.StartTLS()
	defer s.Close()

	config := &tls.Config{RootCAs: s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	transport := &http2.Transport{TLSClientConfig: config}
	defer transport.CloseIdleConnections()
	dialer := websocket.Dialer{TLSClientConfig: config, Transport: transport} // the first for HTTP/1.1
	var clients []*websocket.Conn
	for range 2 {
		c, _, err := dialer.Dial("wss"+strings.TrimPrefix(s.URL, "https"), nil)
		if err != nil {
			log.Fatal(err)
		}
		defer c.Close()
		clients = append(clients, c)
		_ = c.WriteMessage(websocket.TextMessage, []byte("hello"))
		_, p, err := c.ReadMessage()
		fmt.Printf("%s %v\n", p, err)
	}
	fmt.Println(clients[0].LocalAddr().String() == clients[1].LocalAddr().String())
	// Output:
	// by HTTP/2.0: hello <nil>
	// by HTTP/2.0: hello <nil>
	// true
}
