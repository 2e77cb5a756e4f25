package http2

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
)

// The bounds for HTTP/2 beside HTTP/1.1, both over TLS: a round trip takes at most 2.2
// times as long, opening a further WebSocket at most a tenth, and an idle one takes at most
// 13 KiB of the server's heap.

// carriers are the ways from a client to a server.
func carriers(b testing.TB, handler http.Handler) map[string]func() *websocket.Conn {
	s := startServer(b, handler)
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

// startServer starts a server of HTTP/1.1 and HTTP/2 that has room for many.
func startServer(b testing.TB, handler http.Handler) *httptest.Server {
	s := httptest.NewUnstartedServer(handler)
	s.EnableHTTP2 = true
	Configure(s.Config)
	s.Config.HTTP2.MaxConcurrentStreams = 10_000
	s.StartTLS()
	b.Cleanup(s.Close)
	return s
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

// BenchmarkIdle reports what a server keeps for an idle WebSocket. The clients are in a
// process of their own.
func BenchmarkIdle(b *testing.B) {
	for name, serve := range map[string]func(c *websocket.Conn, r *http.Request) error{
		"server=Serve": func(c *websocket.Conn, r *http.Request) error {
			return c.Serve(r.Context(), func(m websocket.Message) error { return c.WriteMessage(m.Type, m.Data) })
		},
		"server=ReadMessage": func(c *websocket.Conn, r *http.Request) error {
			for {
				messageType, p, err := c.ReadMessage()
				if err == nil {
					err = c.WriteMessage(messageType, p)
				}
				if err != nil {
					return err
				}
			}
		},
	} {
		var u websocket.Upgrader
		for _, carrier := range []string{"HTTP1.1", "HTTP2"} {
			b.Run(name+"/carrier="+carrier, func(b *testing.B) {
				s := startServer(b, u.Handler(serve))
				for b.Loop() {
					reportIdle(b, "wss"+strings.TrimPrefix(s.URL, "https"), carrier)
				}
			})
		}
	}
}

const idleClients = 1000

// reportIdle has idleClients connect, beside a first one, and reports what that adds.
func reportIdle(b *testing.B, url, carrier string) {
	clients := exec.Command(os.Args[0])
	clients.Env = append(os.Environ(), "IDLE_URL="+url, "IDLE_CARRIER="+carrier)
	clients.Stderr = os.Stderr
	in, err := clients.StdinPipe()
	require.NoError(b, err)
	out, err := clients.StdoutPipe()
	require.NoError(b, err)
	require.NoError(b, clients.Start())
	said := bufio.NewReader(out)
	var stats [2]runtime.MemStats // of the first alone, and of all
	for i := range stats {
		_, err := said.ReadString('\n')
		require.NoError(b, err)
		runtime.GC()
		runtime.GC() // what pools hold goes at the second
		runtime.ReadMemStats(&stats[i])
		_, err = io.WriteString(in, "\n")
		require.NoError(b, err)
	}
	require.NoError(b, clients.Wait())
	b.ReportMetric(float64(stats[1].HeapAlloc-stats[0].HeapAlloc)/idleClients, "heap-B/conn")
	b.ReportMetric(float64(stats[1].StackInuse-stats[0].StackInuse)/idleClients, "stack-B/conn")
}

// TestMain is the clients of BenchmarkIdle, if it is told so.
func TestMain(m *testing.M) {
	url := os.Getenv("IDLE_URL")
	if url == "" {
		os.Exit(m.Run())
	}
	cfg := &tls.Config{InsecureSkipVerify: true}
	d := websocket.Dialer{TLSClientConfig: cfg}
	if os.Getenv("IDLE_CARRIER") == "HTTP2" {
		d.Transport = &Transport{TLSClientConfig: cfg}
	}
	asked := bufio.NewReader(os.Stdin)
	for i := range 1 + idleClients {
		c, _, err := d.Dial(url, nil)
		if err == nil {
			err = c.WriteMessage(websocket.TextMessage, []byte("hello"))
		}
		if err == nil {
			_, _, err = c.ReadMessage()
		}
		if err != nil {
			log.Fatal(err)
		}
		defer c.Close()
		if i == 0 || i == idleClients {
			os.Stdout.WriteString("\n")
			_, _ = asked.ReadString('\n') // or the benchmark is gone
		}
	}
}
