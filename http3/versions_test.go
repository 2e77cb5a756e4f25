package http3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"
	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/http2"
)

// serveTCP starts a server of HTTP/1.1 and, if it is to, HTTP/2, which ends with the test.
func serveTCP(t *testing.T, handler http.Handler, withHTTP2 bool) (s *httptest.Server, url string, trusting *tls.Config) {
	s = httptest.NewUnstartedServer(handler)
	s.EnableHTTP2 = withHTTP2
	http2.Configure(s.Config)
	s.StartTLS()
	t.Cleanup(s.Close)
	roots := s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	return s, "wss" + strings.TrimPrefix(s.URL, "https"), &tls.Config{RootCAs: roots}
}

// serveBeside starts a server of HTTP/3 for the same, which ends with the test.
func serveBeside(t *testing.T, tcp *httptest.Server) (url string) {
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &http3.Server{Handler: tcp.Config.Handler, TLSConfig: &tls.Config{Certificates: tcp.TLS.Certificates}}
	Configure(s, tcp.Config)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(udp) }()
	t.Cleanup(func() {
		s.Close()
		require.ErrorIs(t, <-ended, http.ErrServerClosed)
		udp.Close()
	})
	return "wss://" + udp.LocalAddr().String()
}

// transports returns those of HTTP/3 and HTTP/2, which end with the test.
func transports(t *testing.T, trusting *tls.Config) (over3 *Transport, over2 *http2.Transport) {
	over3 = &Transport{TLSClientConfig: trusting, HandshakeTimeout: 300 * time.Millisecond}
	over2 = &http2.Transport{TLSClientConfig: trusting}
	t.Cleanup(func() {
		over3.Close()
		over2.CloseIdleConnections()
	})
	return over3, over2
}

// A server of all three versions of HTTP: what its handler sees of each, and that the end of
// the one over TCP is that of all that are not over HTTP/1.1.
func TestServerOfThreeVersions(t *testing.T) {
	noLeaks(t)
	type seen struct {
		method, proto string
		major         int
		tls           string // the protocol of the TLS connection
		network       string
	}
	requests := make(chan seen, 3)
	tcp, url, trusting := serveTCP(t, new(websocket.Upgrader).Handler(func(c *websocket.Conn, r *http.Request) error {
		requests <- seen{r.Method, r.Proto, r.ProtoMajor, r.TLS.NegotiatedProtocol, c.RemoteAddr().Network()}
		return c.Serve(r.Context(), func(m websocket.Message) error { return c.WriteMessage(m.Type, m.Data) })
	}), true)
	url3 := serveBeside(t, tcp)
	over3, over2 := transports(t, trusting)
	over3.HandshakeTimeout = patience
	var ended []<-chan error
	for _, tt := range []struct {
		dialer websocket.Dialer
		url    string
		want   seen
	}{
		{websocket.Dialer{TLSClientConfig: trusting}, url, seen{http.MethodGet, "HTTP/1.1", 1, "", "tcp"}},
		{websocket.Dialer{Transport: over2}, url, seen{http.MethodConnect, "HTTP/2.0", 2, "h2", "tcp"}},
		{websocket.Dialer{Transport: over3}, url3, seen{http.MethodConnect, "websocket", 3, "h3", "udp"}},
	} {
		c, resp, err := tt.dialer.Dial(tt.url, nil)
		require.NoError(t, err)
		t.Cleanup(func() { c.Close() })
		require.Equal(t, tt.want.major, resp.ProtoMajor)
		require.Equal(t, tt.want, receive(t, requests))
		requireEcho(t, c, "hello")
		if tt.want.major == 1 {
			continue
		}
		end := make(chan error, 1)
		ended = append(ended, end)
		go func() {
			_, _, err := c.ReadMessage()
			end <- err
		}()
	}
	require.NoError(t, tcp.Config.Shutdown(t.Context()))
	for _, end := range ended {
		require.True(t, websocket.IsCloseError(receive(t, end), websocket.CloseGoingAway))
	}
}

// Two Dialers try all three, as the example says.
func TestDialersOfThreeVersions(t *testing.T) {
	for major, start := range map[int]func(t *testing.T) (url string, trusting *tls.Config){
		1: func(t *testing.T) (string, *tls.Config) {
			_, url, trusting := serveTCP(t, echo(new(websocket.Upgrader)), false)
			return url, trusting
		},
		2: func(t *testing.T) (string, *tls.Config) {
			_, url, trusting := serveTCP(t, echo(new(websocket.Upgrader)), true)
			return url, trusting
		},
		3: func(t *testing.T) (string, *tls.Config) {
			tcp, _, trusting := serveTCP(t, echo(new(websocket.Upgrader)), true)
			return serveBeside(t, tcp), trusting
		},
	} {
		t.Run(fmt.Sprintf("HTTP%d", major), func(t *testing.T) {
			noLeaks(t)
			url, trusting := start(t)
			over3, over2 := transports(t, trusting)
			if major == 3 {
				over3.HandshakeTimeout = patience
			}
			errTCP := errors.New("not over HTTP/3")
			first := websocket.Dialer{Transport: over3, NetDialContext: func(context.Context, string, string) (net.Conn, error) { return nil, errTCP }}
			second := websocket.Dialer{Transport: over2, TLSClientConfig: trusting}
			for range 2 {
				c, resp, err := first.Dial(url, nil)
				require.Equal(t, major < 3, errors.Is(err, errTCP), "%v", err)
				if major < 3 {
					c, resp, err = second.Dial(url, nil)
				}
				require.NoError(t, err)
				require.Equal(t, major, resp.ProtoMajor)
				requireEcho(t, c, "hello")
				require.NoError(t, c.Shutdown(t.Context(), 0, ""))
			}
		})
	}
}

// The Transport of quic-go does not do what a Dialer asks for, and this is how it says so.
func TestTransportOfQUICGo(t *testing.T) {
	d := websocket.Dialer{Transport: new(http3.Transport)}
	c, resp, err := d.Dial("wss://127.0.0.1:1/", nil)
	require.Nil(t, c)
	require.Nil(t, resp)
	require.EqualError(t, err, `websocket: http3: invalid http header field name ":protocol"`)
}
