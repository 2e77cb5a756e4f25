package http3

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
)

// BenchmarkEcho sends a message and has it come back, over HTTP/3 and over HTTP/1.1 with
// TLS.
func BenchmarkEcho(b *testing.B) {
	for _, size := range []int{16, 1024, 65536} {
		for _, protocol := range []string{"http1", "http3"} {
			b.Run(fmt.Sprintf("%s/%d", protocol, size), func(b *testing.B) {
				c := dialer(b, protocol)()
				defer c.Close()
				message := make([]byte, size)
				b.SetBytes(int64(2 * size))
				b.ReportAllocs()
				for b.Loop() {
					if err := c.WriteMessage(websocket.BinaryMessage, message); err != nil {
						b.Fatal(err)
					}
					if _, _, err := c.ReadMessage(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkDial opens a WebSocket and drops it.
func BenchmarkDial(b *testing.B) {
	for _, protocol := range []string{"http1", "http3"} {
		b.Run(protocol, func(b *testing.B) {
			dial := dialer(b, protocol)
			dial().Close()
			b.ReportAllocs()
			for b.Loop() {
				dial().Close()
			}
		})
	}
}

// dialer starts a server that echoes, and returns what connects to it.
func dialer(b *testing.B, protocol string) func() *websocket.Conn {
	_, config := identity()
	handler := echo(new(websocket.Upgrader))
	d := &websocket.Dialer{TLSClientConfig: config}
	var url string
	if protocol == "http3" {
		d.Transport, url = transport(b), serve(b, handler).url
	} else {
		s := httptest.NewTLSServer(handler)
		b.Cleanup(s.Close)
		url = "wss" + strings.TrimPrefix(s.URL, "https")
	}
	return func() *websocket.Conn {
		c, _, err := d.Dial(url, nil)
		require.NoError(b, err)
		return c
	}
}
