//go:build unix

package interop

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/http2"
)

// row is a peer, or a proxy between our two ends.
type row struct {
	name    string
	version func() (string, error) // of what is installed
	needs   []need
	suits   func() string // what is wrong with that, "" if nothing is; nil: any will do
	built   built         // nil: there is nothing to compile
	full    bool          // it belongs to the full set
	remarks string

	// client goes through the cases against our server s at url; nil: the peer is no client.
	client func(ctx context.Context, t *testing.T, s *echoServer, url string) report
	// server starts listening at port; nil: the peer is no server.
	server func(t *testing.T, port string) *child
	// proxy starts listening where p says; nil: the row is no proxy.
	proxy func(ctx context.Context, t *testing.T, p *site)
	// browser is for the tests of pages; nil: the row is no browser.
	browser *browser

	limit time.Duration // of the client against one endpoint, of the server, and of the proxy

	clientDiffers   differences  // where the peer's client is not like the others
	serverDiffers   differences  // where its server is not
	fragmentsDiffer differences  // where its client is not, if our server sends fragments, as /stream does
	deflate         *deflatePeer // nil: it does not know permessage-deflate, which is checked, too

	forward   string                 // the scheme of a forward proxy, "" for a reverse proxy
	http2     bool                   // the reverse proxy takes WebSockets over HTTP/2 (RFC 8441), where it ends TLS
	cameBy2   func(http.Header) bool // what the proxy adds tells that a request came to it over HTTP/2; nil if nothing does
	noPages   bool                   // the reverse proxy passes nothing but WebSockets on
	tunnel    bool                   // the reverse proxy is itself the WebSocket server, for a stream of bytes behind it
	untried   string                 // the scheme, ws or wss, for which the reverse proxy is not set up
	refusal   string                 // what a Dial without user and password fails with, "" if the forward proxy asks for none
	impatient bool                   // it drops silent connections
	resets    bool                   // it does so by a TCP reset, which is seen in place of 1006
	without   map[string]int         // the status that clients get when lines with this text are left out of its configuration
}

// rows is the table.
var rows = slices.Concat(browsers, javascript, pythons, perlAndRuby, compiled, jvmAndErlang, goPeers, reverseProxies, forwardProxies)

const (
	limit      = 20 * time.Second
	proxyLimit = 60 * time.Second // of all that goes through one proxy
)

// demand skips the test, or fails it, if the row is not asked for or misses something.
// What the row compiles is compiled then.
func (r row) demand(t *testing.T) {
	if r.full && os.Getenv("WEBSOCKET_INTEROP") != "all" {
		t.Skip("of the full set, which WEBSOCKET_INTEROP=all asks for")
	}
	demand(t, r.needs)
	if r.suits != nil {
		if msg := r.suits(); msg != "" {
			lack(t, msg)
		}
	}
	if r.built != nil {
		r.built.path(t)
	}
	ran.Store(r.name, true)
}

// ran has the names of the rows for which a test ran.
var ran sync.Map

// TestOurServer has every peer's client talk to our server, through each way to read and write.
func TestOurServer(t *testing.T) {
	for _, row := range rows {
		if row.client == nil {
			continue
		}
		paths := slices.Sorted(maps.Keys(loops))
		if row.deflate != nil && row.deflate.client != nil {
			paths = append(paths, "/serve"+compressed, "/stream"+compressed)
		}
		for _, path := range paths {
			t.Run(row.name+path, func(t *testing.T) {
				row.demand(t)
				ctx, cancel := context.WithTimeout(t.Context(), row.limit)
				defer cancel()
				s := newEchoServer(t)
				results := row.client(ctx, t, s, "ws"+s.URL[len("http"):]+path)
				expected := allWell.but(row.clientDiffers)
				if strings.HasPrefix(path, "/stream") {
					expected = expected.but(row.fragmentsDiffer)
				}
				s.requireEnds(ctx, t, expected, results)
				s.tap.requireFrames(t, expected)
				if results["client close"] != "" { // whatever the client is told of our answer
					require.Equal(t, "3001 done", s.tap.ofCase(t, "client close").fromServer.close(ctx))
				}
				if answer := results["close answer"]; answer != "" {
					require.Equal(t, answer, s.tap.ofCase(t, "server close").fromClient.close(ctx))
				}
				if row.deflate == nil || row.deflate.client == nil {
					for _, w := range s.tap.all() {
						require.Empty(t, w.fromClient.extensions(), "offer")
					}
				}
				if strings.HasPrefix(path, "/stream") && expected["text 1 MiB"] == "ok" {
					require.Greater(t, s.tap.ofCase(t, "text 1 MiB").fromServer.since(0)[0].fragments, 1)
				}
			})
		}
	}
}

// TestOurClient has our client talk to every peer's server.
func TestOurClient(t *testing.T) {
	for _, row := range rows {
		if row.server == nil {
			continue
		}
		t.Run(row.name, func(t *testing.T) {
			row.demand(t)
			ctx, cancel := context.WithTimeout(t.Context(), row.limit)
			defer cancel()
			port := freePort(t)
			row.server(t, port).waitListening(ctx, t, port)
			p := newTap(t, "127.0.0.1:"+port)
			expected := allWell.but(row.serverDiffers)
			results := runOurClient(ctx, websocket.DefaultDialer, "ws://"+p.addr+"/", row.serverDiffers)
			results["close answer"] = p.ofCase(t, "server close").fromClient.close(ctx)
			require.Equal(t, expected, results)
			p.requireFrames(t, expected)
		})
	}
}

// TestOurselves has our client talk to our server, which needs no programs.
func TestOurselves(t *testing.T) {
	compressing := &websocket.Dialer{Options: websocket.Options{Compression: &websocket.Compression{}}}
	for path := range loops {
		for path, d := range map[string]*websocket.Dialer{path: websocket.DefaultDialer, path + compressed: compressing} {
			t.Run(path[1:], func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				defer cancel()
				s := newEchoServer(t)
				s.requireEnds(ctx, t, allWell, runOurClient(ctx, d, "ws"+s.URL[len("http"):]+path, nil))
				s.tap.requireFrames(t, allWell)
				require.Equal(t, "3001 done", s.tap.ofCase(t, "client close").fromServer.close(ctx))
				require.Equal(t, "4001 bye", s.tap.ofCase(t, "server close").fromClient.close(ctx))
			})
		}
	}
}

// requireFrames checks that frames were sent of which an end sees little, in those cases that the client went through.
func (p *tap) requireFrames(t *testing.T, results report) {
	t.Helper()
	if results["fragmented"] != "" { // that no fragment was final but the last is for the server to say, which would have failed the connection
		messages := p.ofCase(t, "fragmented").fromClient.since(0)
		require.Len(t, messages, 1)
		require.Greater(t, messages[0].fragments, 1)
	}
	answered := func(pinging, answering *stream) {
		pings, _ := pinging.control()
		_, pongs := answering.control()
		require.NotEmpty(t, pings)
		require.NotEmpty(t, pongs)
		require.Equal(t, pings[0], pongs[0])
	}
	if results["client ping"] != "" {
		w := p.ofCase(t, "client ping")
		answered(&w.fromClient, &w.fromServer)
	}
	if results["server ping"] != "" {
		w := p.ofCase(t, "server ping")
		answered(&w.fromServer, &w.fromClient)
	}
}

// TestOurselvesOverHTTP2 is TestOurselves over HTTP/2.
func TestOurselvesOverHTTP2(t *testing.T) {
	s := newEchoServer(t)
	secure := startHTTP2(t, s.Config.Handler)
	transport := &http2.Transport{TLSClientConfig: &tls.Config{RootCAs: rootsOf(secure)}}
	for path := range loops {
		for path, d := range map[string]*websocket.Dialer{
			path:              {Transport: transport},
			path + compressed: {Transport: transport, Options: websocket.Options{Compression: &websocket.Compression{}}},
		} {
			t.Run(path[1:], func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				defer cancel()
				s.requireEnds(ctx, t, allWell, runOurClient(ctx, d, "ws"+secure.URL[len("http"):]+path, nil))
			})
		}
	}
}

// startHTTP2 starts a server that speaks HTTP/2.
func startHTTP2(t *testing.T, handler http.Handler) *httptest.Server {
	s := httptest.NewUnstartedServer(handler)
	s.EnableHTTP2 = true
	http2.Configure(s.Config)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func rootsOf(s *httptest.Server) *x509.CertPool {
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return roots
}

// program is a client that takes the URL as its last argument and prints its report.
func program(name string, args ...string) func(ctx context.Context, t *testing.T, s *echoServer, url string) report {
	return func(ctx context.Context, t *testing.T, s *echoServer, url string) report {
		out := start(t, name, append(slices.Clone(args), url)...).wait(ctx, t)
		var results report
		require.NoError(t, json.Unmarshal(out, &results), "%s", out)
		return results
	}
}

// daemon is a server that takes the port as its last argument.
func daemon(name string, args ...string) func(t *testing.T, port string) *child {
	return func(t *testing.T, port string) *child {
		return start(t, name, append(slices.Clone(args), port)...)
	}
}

// waitReport returns what the page in a browser reports.
func waitReport(ctx context.Context, t *testing.T, browser *child, reports <-chan report) report {
	select {
	case results := <-reports:
		return results
	case <-browser.exited:
		require.FailNow(t, "the browser ended", "%v", browser.err)
	case <-ctx.Done():
		require.FailNow(t, "no report from the page")
	}
	return nil
}
