package http2

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
)

// The bounds for HTTP/2 beside HTTP/1.1, both over TLS: a round trip takes at most 2.2
// times as long, opening a further WebSocket at most a tenth, and an idle one at most 13 KiB
// of the server's heap.

// carriers are the ways from a client to a server.
func carriers(b testing.TB, handler http.Handler) map[string]func() *websocket.Conn {
	s := httptest.NewUnstartedServer(handler)
	s.EnableHTTP2 = true
	Configure(s.Config)
	s.Config.HTTP2.MaxConcurrentStreams = 10_000
	s.StartTLS()
	b.Cleanup(s.Close)
	cfg := &tls.Config{RootCAs: s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	dialWith := func(d websocket.Dialer) func() *websocket.Conn {
		return func() *websocket.Conn {
			c, _, err := d.Dial("wss"+strings.TrimPrefix(s.URL, "https"), nil)
			require.NoError(b, err)
			return c
		}
	}
	return map[string]func() *websocket.Conn{
		"carrier=HTTP1.1": dialWith(websocket.Dialer{TLSClientConfig: cfg}),
		"carrier=HTTP2":   dialWith(websocket.Dialer{Transport: &Transport{TLSClientConfig: cfg}}),
	}
}

func echoHandler() http.Handler {
	var u websocket.Upgrader
	return u.Handler(func(c *websocket.Conn, r *http.Request) error {
		var p []byte
		for {
			var messageType int
			var err error
			if messageType, p, err = c.ReadMessageContext(r.Context(), p[:0]); err == nil {
				err = c.WriteMessage(messageType, p)
			}
			if err != nil {
				return err
			}
		}
	})
}

// BenchmarkEcho is a round trip: both ends and what lies between.
func BenchmarkEcho(b *testing.B) {
	for _, size := range []int{16, 1 << 10, 64 << 10} {
		for carrier, dial := range carriers(b, echoHandler()) {
			b.Run(fmt.Sprintf("size=%d/%s", size, carrier), func(b *testing.B) {
				c := dial()
				defer c.Close()
				p, dst := make([]byte, size), []byte(nil)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					err := c.WriteMessage(websocket.BinaryMessage, p)
					if err == nil {
						_, dst, err = c.ReadMessageContext(b.Context(), dst[:0])
					}
					if err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkOpen opens a further WebSocket to a server to which there is one, and closes it.
func BenchmarkOpen(b *testing.B) {
	for carrier, dial := range carriers(b, echoHandler()) {
		b.Run(carrier, func(b *testing.B) {
			defer dial().Close()
			b.ReportAllocs()
			for b.Loop() {
				if err := dial().Shutdown(b.Context(), 0, ""); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkIdle reports what the server and the client keep for an idle WebSocket.
func BenchmarkIdle(b *testing.B) {
	const conns = 1000
	for carrier, dial := range carriers(b, echoHandler()) {
		b.Run(carrier, func(b *testing.B) {
			for b.Loop() {
				var before, after runtime.MemStats
				collect(&before)
				var open [conns]*websocket.Conn
				for i := range open {
					open[i] = dial()
				}
				collect(&after)
				b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/conns, "heap-B/conn")
				b.ReportMetric(float64(after.StackInuse-before.StackInuse)/conns, "stack-B/conn")
				for _, c := range open {
					c.Close()
				}
			}
		})
	}
}

func collect(stats *runtime.MemStats) {
	runtime.GC()
	runtime.GC() // what pools hold goes at the second
	runtime.ReadMemStats(stats)
}
