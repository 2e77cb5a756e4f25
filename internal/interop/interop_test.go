//go:build unix

package interop

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
)

// row is a peer, or a proxy between our two ends.
type row struct {
	name  string
	needs []need
	full  bool // it belongs to the full set

	// client goes through the cases against our server s at url; nil: the peer is no client.
	client func(ctx context.Context, t *testing.T, s *echoServer, url string) report
	// server starts listening at port; nil: the peer is no server.
	server func(t *testing.T, port string) *child
	// proxy starts listening where p says; nil: the row is no proxy.
	proxy func(ctx context.Context, t *testing.T, p *site)

	limit  time.Duration // of the client against one endpoint, of the server, and of the proxy
	lacks  []string      // cases that its client has no means for
	offers bool          // its client offers permessage-deflate

	forward   string         // the scheme of a forward proxy, "" for a reverse proxy
	untried   string         // the scheme, ws or wss, for which the reverse proxy is not set up
	refusal   string         // what a Dial without user and password fails with, "" if the forward proxy asks for none
	impatient bool           // it drops silent connections
	without   map[string]int // the status that clients get when lines with this text are left out of its configuration
}

const (
	limit      = 20 * time.Second
	proxyLimit = 60 * time.Second // of all that goes through one proxy
)

// demand skips the test, or fails it, if the row is not asked for or misses something.
func (r row) demand(t *testing.T) {
	if r.full && os.Getenv("WEBSOCKET_INTEROP") != "all" {
		t.Skip("of the full set, which WEBSOCKET_INTEROP=all asks for")
	}
	demand(t, r.needs)
}

var (
	needChromium = []need{{"chromium", "apt-get install chromium"}}
	needNode     = []need{
		{"node", "apt-get install nodejs npm"},
		{"testdata/node/node_modules/ws/package.json", "npm install --prefix internal/interop/testdata/node"},
	}
	needApache    = []need{{"apache2", "apt-get install apache2"}}
	needTinyproxy = []need{{"tinyproxy", "apt-get install tinyproxy"}}
	needDante     = []need{
		{"danted", "apt-get install dante-server"},
		{"/usr/share/doc/libnss-wrapper/copyright", "apt-get install libnss-wrapper"},
	}
	needPythonWebsockets = []need{{"/usr/lib/python3/dist-packages/websockets/__init__.py", "apt-get install python3-websockets"}}
)

var rows = []row{
	{
		name:   "Chromium",
		needs:  needChromium,
		client: chromium,
		offers: true,
		limit:  60 * time.Second,
		lacks:  []string{"client ping"}, // browsers' scripts cannot
	},
	{
		name:   "ws for Node",
		needs:  needNode,
		client: program("node", "testdata/node/client.mjs"),
		offers: true,
		server: daemon("node", "testdata/node/server.mjs"),
		limit:  limit,
	},
	{
		name:   "websockets for Python",
		needs:  needPythonWebsockets,
		client: program("/usr/bin/python3", "testdata/python/client.py"), // the interpreter that has Debian's packages
		offers: true,
		server: daemon("/usr/bin/python3", "testdata/python/server.py"),
		limit:  limit,
	},
	{
		name:   "java.net.http of the JDK",
		needs:  []need{{"java", "apt-get install openjdk-17-jdk-headless"}},
		client: program("java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "testdata/java/Client.java"), // compiles it, too
		limit:  limit,
	},
	{
		name:    "httputil.ReverseProxy",
		proxy:   reverseProxy,
		untried: "wss",
		limit:   proxyLimit,
	},
	{
		name:      "nginx",
		needs:     []need{{"nginx", "apt-get install nginx-light"}},
		proxy:     nginx,
		impatient: true,
		without:   map[string]int{"header Host": 403, "header Upgrade": 426, "header Connection": 426},
		limit:     proxyLimit,
	},
	{
		name:      "HAProxy",
		needs:     []need{{"haproxy", "apt-get install haproxy"}},
		proxy:     haproxy,
		impatient: true,
		limit:     proxyLimit,
	},
	{
		name:      "nghttpx",
		needs:     []need{{"nghttpx", "apt-get install nghttp2-proxy"}},
		proxy:     nghttpx,
		impatient: true,
		limit:     proxyLimit,
	},
	{
		name:      "Apache httpd",
		needs:     needApache,
		full:      true,
		proxy:     apache,
		impatient: true,
		without:   map[string]int{"ProxyPreserveHost": 403},
		limit:     proxyLimit,
	},
	{
		name:      "Apache httpd, mod_proxy_wstunnel",
		needs:     needApache,
		full:      true,
		proxy:     apacheTunnel,
		impatient: true,
		without:   map[string]int{"ProxyPreserveHost": 403},
		limit:     proxyLimit,
	},
	{
		name:      "lighttpd",
		needs:     []need{{"lighttpd", "apt-get install lighttpd lighttpd-mod-openssl"}},
		full:      true,
		proxy:     lighttpd,
		impatient: true,
		without:   map[string]int{"proxy.header": 426},
		limit:     proxyLimit,
	},
	{
		name:    "Caddy",
		needs:   []need{{"caddy", "apt-get install caddy"}},
		full:    true,
		proxy:   caddy,
		untried: "ws",
		limit:   proxyLimit,
	},
	{
		name:      "tinyproxy",
		needs:     needTinyproxy,
		proxy:     tinyproxy,
		forward:   "http",
		impatient: true,
		limit:     proxyLimit,
	},
	{
		name:    "tinyproxy, Basic",
		needs:   needTinyproxy,
		proxy:   tinyproxy,
		forward: "http",
		refusal: "407",
		limit:   proxyLimit,
	},
	{
		name:      "Dante",
		needs:     needDante,
		proxy:     dante,
		forward:   "socks5",
		impatient: true,
		limit:     proxyLimit,
	},
	{
		name:    "Dante, user and password",
		needs:   needDante,
		proxy:   dante,
		forward: "socks5",
		refusal: "no acceptable authentication methods",
		limit:   proxyLimit,
	},
}

// TestOurServer has every peer's client talk to our server, through each way to read and write.
func TestOurServer(t *testing.T) {
	for _, row := range rows {
		if row.client == nil {
			continue
		}
		paths := slices.Sorted(maps.Keys(loops))
		if row.offers {
			paths = append(paths, "/serve"+compressed, "/stream"+compressed)
		}
		for _, path := range paths {
			t.Run(row.name+path, func(t *testing.T) {
				row.demand(t)
				ctx, cancel := context.WithTimeout(t.Context(), row.limit)
				defer cancel()
				s := newEchoServer(t)
				results := row.client(ctx, t, s, "ws"+s.URL[len("http"):]+path)
				require.Equal(t, allWell.without(row.lacks...), results)
				s.requireEnds(ctx, t)
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
			require.Equal(t, allWell, runOurClient(ctx, websocket.DefaultDialer, "ws://127.0.0.1:"+port+"/"))
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
				require.Equal(t, allWell, runOurClient(ctx, d, "ws"+s.URL[len("http"):]+path))
				s.requireEnds(ctx, t)
			})
		}
	}
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

// chromium loads our server's page, whose script goes through the cases and reports.
func chromium(ctx context.Context, t *testing.T, s *echoServer, url string) report {
	return waitReport(ctx, t, startChromium(t, s.URL+"/?url="+url), s.reports)
}

// startChromium has Chromium load a page.
func startChromium(t *testing.T, url string) *child {
	return start(t, "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync",
		"--user-data-dir="+emptyDir(t), url)
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
