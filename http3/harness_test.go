package http3

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"
	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
)

// patience is how long a test waits for what it expects, before it fails.
const patience = 10 * time.Second

// identity is a certificate for 127.0.0.1, and who trusts it.
var identity = sync.OnceValues(func() (server, client *tls.Config) {
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return &tls.Config{Certificates: s.TLS.Certificates}, &tls.Config{RootCAs: roots}
})

// A server of quic-go, and the http.Server that it was configured with.
type server struct {
	*http3.Server
	hs   *http.Server
	addr string
	url  string
}

// serve starts a server, which ends with the test.
func serve(t testing.TB, handler http.Handler, setup ...func(*http3.Server)) *server {
	t.Helper()
	noLeaks(t)
	udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	return serveOn(t, udp, handler, setup...)
}

func serveOn(t testing.TB, udp *net.UDPConn, handler http.Handler, setup ...func(*http3.Server)) *server {
	config, _ := identity()
	addr := udp.LocalAddr().String()
	s := &server{&http3.Server{TLSConfig: config, Handler: handler}, new(http.Server), addr, "wss://" + addr + "/"}
	for _, f := range setup {
		f(s.Server)
	}
	Configure(s.Server, s.hs)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(udp) }()
	t.Cleanup(func() {
		s.Close()
		require.ErrorIs(t, <-ended, http.ErrServerClosed)
		udp.Close()
	})
	return s
}

// transport makes a Transport, which ends with the test.
func transport(t testing.TB) *Transport {
	_, config := identity()
	tr := &Transport{TLSClientConfig: config, HandshakeTimeout: patience}
	t.Cleanup(func() { tr.Close() })
	return tr
}

// dial opens a WebSocket, which ends with the test.
func dial(t testing.TB, d *websocket.Dialer, url string) *websocket.Conn {
	t.Helper()
	c, resp, err := d.Dial(url, nil)
	require.NoError(t, err)
	require.Equal(t, 3, resp.ProtoMajor)
	t.Cleanup(func() { c.Close() })
	return c
}

// echo is a handler that echoes.
func echo(u *websocket.Upgrader) http.Handler {
	return u.Handler(func(c *websocket.Conn, r *http.Request) error {
		return c.Serve(r.Context(), func(m websocket.Message) error { return c.WriteMessage(m.Type, m.Data) })
	})
}

// requireEcho sends a message and has it come back.
func requireEcho(t testing.TB, c *websocket.Conn, message string) {
	t.Helper()
	require.NoError(t, c.WriteMessage(websocket.TextMessage, []byte(message)))
	requireMessage(t, c, message)
}

func requireMessage(t testing.TB, c *websocket.Conn, message string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, p, err := c.ReadMessageContext(ctx, nil)
	require.NoError(t, err)
	require.Equal(t, message, string(p))
}

// receive waits for something.
func receive[T any](t testing.TB, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		require.FailNow(t, "nothing came")
		panic("unreachable")
	}
}

// noLeaks looks, when the test and what it has started later have ended, for goroutines
// of ours or of quic-go that are left.
func noLeaks(t testing.TB) {
	before := goroutines()
	t.Cleanup(func() {
		var left []string
		for range 1000 {
			left = slices.DeleteFunc(goroutines(), func(g string) bool { return slices.Contains(before, g) })
			if len(left) == 0 {
				return
			}
			time.Sleep(10 * time.Millisecond) // until they have ended, or for ten seconds
		}
		t.Errorf("goroutines left behind:\n%s", strings.Join(left, "\n\n"))
	})
}

func goroutines() (stacks []string) {
	buf := make([]byte, 4<<20)
	for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if (strings.Contains(g, "duplexkit/websocket") || strings.Contains(g, "quic-go")) && !strings.Contains(g, "testing.tRunner") && !strings.Contains(g, "testing.(*B)") {
			_, stack, _ := strings.Cut(g, "\n") // the first line changes with time
			stacks = append(stacks, stack)
		}
	}
	return stacks
}

// connections returns those that tr has to a host.
func connections(tr *Transport, addr string) (conns []*conn) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if h := tr.hosts[addr]; h != nil {
		conns = slices.Clone(h.conns)
	}
	return conns
}

// requireIdle waits until tr has one connection to the host and no stream on it.
func requireIdle(t testing.TB, tr *Transport, addr string) *conn {
	t.Helper()
	conns := connections(tr, addr)
	require.Len(t, conns, 1)
	require.Eventually(t, func() bool {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		return conns[0].streams == 0
	}, patience, time.Millisecond)
	return conns[0]
}
