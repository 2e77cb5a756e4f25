//go:build unix

package interop

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
)

// besideServer is our server with a page that opens WebSockets beside it.
type besideServer struct {
	handler http.Handler
	reports chan report
	pages   chan *http.Request
	opened  chan *http.Request // for WebSockets
}

const beside = 8 // WebSockets

func newBesideServer(t *testing.T) *besideServer {
	e := newEchoServer(t)
	s := &besideServer{reports: e.reports, pages: make(chan *http.Request, 8), opened: make(chan *http.Request, 2*beside)}
	mux := http.NewServeMux()
	mux.Handle("/", e.Config.Handler)
	mux.HandleFunc("/http2.html", func(w http.ResponseWriter, r *http.Request) {
		s.pages <- r
		e.Config.Handler.ServeHTTP(w, r)
	})
	u := websocket.Upgrader{Subprotocols: subprotocols}
	mux.Handle("/beside", u.Handler(func(c *websocket.Conn, r *http.Request) error {
		s.opened <- r
		return c.Serve(r.Context(), func(m websocket.Message) error { return c.WriteMessage(m.Type, m.Data) })
	}))
	s.handler = mux
	return s
}

// visit has a browser load the page and returns the requests for it and for its WebSockets.
func (s *besideServer) visit(ctx context.Context, t *testing.T, b *browser, addr string, cert *x509.Certificate) (page *http.Request, opened []*http.Request) {
	p := b.secure(t, fmt.Sprintf("https://%s/http2.html?n=%d", addr, beside), cert)
	want := make(report)
	for i := range beside {
		want[strconv.Itoa(i)] = fmt.Sprintf("hello %d, v1.example, 3001 done, clean: true", i)
	}
	require.Equal(t, want, waitReport(ctx, t, p, s.reports))
	require.Len(t, s.pages, 1)
	require.Len(t, s.opened, beside)
	for range beside {
		opened = append(opened, <-s.opened)
	}
	return <-s.pages, opened
}

// TestBrowsersOverHTTP2 has pages that came over HTTP/2 open WebSockets, which go over the
// page's own connection by extended CONNECT (RFC 8441): to our server, and to proxies.
func TestBrowsersOverHTTP2(t *testing.T) {
	for _, row := range rows {
		if row.browser == nil || row.browser.secure == nil {
			continue
		}
		t.Run(row.name, func(t *testing.T) {
			row.demand(t)
			t.Run("our server", func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), row.limit)
				defer cancel()
				s := newBesideServer(t)
				secure := startHTTP2(t, s.handler)
				page, opened := s.visit(ctx, t, row.browser, secure.Listener.Addr().String(), secure.Certificate())
				require.Equal(t, 2, page.ProtoMajor)
				for _, r := range opened {
					require.Equal(t, http.MethodConnect, r.Method)
					require.Equal(t, 2, r.ProtoMajor)
					require.Equal(t, page.RemoteAddr, r.RemoteAddr)
				}
			})
			for _, proxy := range reverseProxies {
				if proxy.cameBy2 == nil {
					continue
				}
				t.Run(proxy.name, func(t *testing.T) {
					proxy.demand(t)
					ctx, cancel := context.WithTimeout(t.Context(), row.limit)
					defer cancel()
					s := newBesideServer(t)
					plain := httptest.NewServer(s.handler)
					t.Cleanup(plain.Close)
					p := newSite(t, plain.Listener.Addr().String())
					proxy.proxy(ctx, t, p)
					page, opened := s.visit(ctx, t, row.browser, p.tlsAddr, p.leaf(t))
					require.True(t, proxy.cameBy2(page.Header), "%v", page.Header)
					for _, r := range opened {
						require.True(t, proxy.cameBy2(r.Header), "%v", r.Header)
					}
				})
			}
		})
	}
}

// Signs of a proxy that a request came to it over HTTP/2.
func hasVia2(h http.Header) bool     { return strings.HasPrefix(h.Get("Via"), "2 ") }
func hasVersion2(h http.Header) bool { return h.Get("X-Interop-HTTP") == "2.0" }

// startSecureChromium has Chromium take any certificate.
func startSecureChromium(t *testing.T, url string, _ *x509.Certificate) *child {
	return chromium(t, "--ignore-certificate-errors", url)
}

// startSecureFirefox has Firefox take this certificate at the URL's host and port, as if a user had said so.
func startSecureFirefox(t *testing.T, url string, cert *x509.Certificate) *child {
	host, _, _ := strings.Cut(strings.TrimPrefix(url, "https://"), "/")
	sum := sha256.Sum256(cert.Raw)
	fingerprint := strings.ToUpper(strings.ReplaceAll(fmt.Sprintf("% x", sum), " ", ":"))
	const sha256OID = "OID.2.16.840.1.101.3.4.2.1"
	return firefox(t, url, map[string]string{
		"cert_override.txt": fmt.Sprintf("%s:\t%s\t%s\t\n", host, sha256OID, fingerprint),
	})
}
