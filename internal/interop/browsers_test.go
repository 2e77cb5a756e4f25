//go:build unix

package interop

import (
	"cmp"
	"context"
	"crypto/x509"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
)

// Browsers, as clients with the pages of testdata/browser. They tell us besides whom the
// Upgrader lets in when a real browser says where a page comes from, and what we
// see of a page that goes away.

var browsers = []row{
	{
		name:          "Chromium",
		version:       debian("chromium"),
		needs:         []need{{"chromium", "apt-get install chromium"}},
		remarks:       "When the user goes on to another page, Chromium keeps the one before for the way back, and its connections open: the server's pings are answered, and 1001 comes after ten minutes. The page can close them at pagehide.",
		client:        casesPage(startChromium),
		browser:       &browser{startChromium, startSecureChromium, staysOpen, "3001 hidden"},
		deflate:       chromiumDeflate,
		limit:         browserLimit,
		clientDiffers: noScripts,
	},
	{
		name:          "Firefox ESR",
		version:       debian("firefox-esr"),
		needs:         []need{{"firefox-esr", "apt-get install firefox-esr"}},
		full:          true,
		remarks:       "Firefox shows its scripts the name of the extension only. When a page goes away, it has sent 1001 before the page can close with another code at pagehide.",
		client:        casesPage(startFirefox),
		browser:       &browser{startFirefox, startSecureFirefox, "1001", "1001"},
		deflate:       firefoxDeflate,
		limit:         browserLimit,
		clientDiffers: noScripts,
	},
	{
		name:    "WebKitGTK",
		version: debian("webkit2gtk-driver"),
		needs: []need{
			{"WebKitWebDriver", "apt-get install webkit2gtk-driver"}, // with which MiniBrowser comes
			{"Xvfb", "apt-get install xvfb"},
		},
		full:          true,
		client:        casesPage(startWebKit),
		browser:       &browser{startWebKit, nil, "1001", "3001 hidden"},
		deflate:       webKitDeflate,
		limit:         browserLimit,
		clientDiffers: noScripts,
	},
}

const browserLimit = 60 * time.Second

// browser is what a row that is a browser has besides the cases.
type browser struct {
	start func(t *testing.T, url string) *child // with the page to load

	// secure is start for a server that has this certificate; nil if it has WebSockets over HTTP/1.1 only.
	secure func(t *testing.T, url string, cert *x509.Certificate) *child
	left   string // the close code when the user goes on to another page, or staysOpen
	hidden string // what we see then of a connection that the page closes at pagehide
}

// staysOpen is in the place of a close code if the browser keeps the connection with
// the page, for when the user comes back.
const staysOpen = ""

var (
	noScript  = difference{"", "the API of browsers has no way to do it"}
	noScripts = differences{"client ping": noScript, "fragmented": noScript, "header": noScript}
)

var chromiumDeflate = &deflatePeer{
	limit:   browserLimit,
	client:  echoPage(startChromium),
	reports: true,
	offers:  offersWithWindow,
}

var webKitDeflate = &deflatePeer{
	limit:   browserLimit,
	client:  echoPage(startWebKit),
	reports: true,
	offers:  offersWithWindow,
}

// offersWithWindow are those of browsers that let the server limit their window.
var offersWithWindow = slices.Concat(ourTerms(``, pmd+cmw), []opening{
	{ours: &compression{ServerMaxWindowBits: 15, ClientMaxWindowBits: 15}, offer: pmd + cmw, answer: pmd},
}, ourWindows(``))

var firefoxDeflate = &deflatePeer{
	limit:   browserLimit,
	client:  echoPage(startFirefox),
	reports: true,
	names:   true,
	offers: slices.Concat(ourTerms(``, pmd), windows(func(server, client int) opening {
		return opening{
			ours:   &compression{ServerMaxWindowBits: server, ClientMaxWindowBits: client},
			offer:  pmd,
			answer: pmd + limited(smw, server),
		}
	})),
}

// casesPage loads our server's page, whose script goes through the cases and reports.
func casesPage(start func(*testing.T, string) *child) func(context.Context, *testing.T, *echoServer, string) report {
	return func(ctx context.Context, t *testing.T, s *echoServer, url string) report {
		return waitReport(ctx, t, start(t, s.URL+"/?url="+url), s.reports)
	}
}

// echoPage is a page that reports the extensions it sees.
func echoPage(start func(*testing.T, string) *child) func(*testing.T, *deflateServer, []opening) *child {
	return func(t *testing.T, s *deflateServer, offers []opening) *child {
		return start(t, fmt.Sprintf("http://%s/deflate.html?n=%d&url=ws://%[1]s/echo", s.tap.addr, len(offers)))
	}
}

func startChromium(t *testing.T, url string) *child { return chromium(t, url) }

// chromium starts Chromium with further arguments. When it is killed, it leaves directories with its temporary files, too.
func chromium(t *testing.T, args ...string) *child {
	dir := emptyDir(t)
	return start(t, "env", append([]string{"TMPDIR=" + dir, "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--user-data-dir=" + dir}, args...)...)
}

func startFirefox(t *testing.T, url string) *child { return firefox(t, url, nil) }

// firefox starts Firefox with further files in its profile.
func firefox(t *testing.T, url string, files map[string]string) *child {
	dir := emptyDir(t)
	prefs, err := os.ReadFile("testdata/firefox/user.js")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "user.js"), prefs, 0o600))
	for name, content := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	return start(t, "env", "HOME="+dir, "MOZ_CRASHREPORTER_DISABLE=1",
		"firefox-esr", "--headless", "--no-remote", "--profile", dir, url)
}

// startWebKit starts WebKit's own small browser, in an X server that shows nothing.
func startWebKit(t *testing.T, url string) *child {
	found, err := filepath.Glob("/usr/lib/*/webkit2gtk-4.?/MiniBrowser")
	require.NoError(t, err)
	require.NotEmpty(t, found)
	const onDisplay = `trap : TERM; Xvfb -nolisten tcp -displayfd 1 | { read -r n; DISPLAY=:$n exec "$0" "$@"; }`
	p := start(t, "env", "HOME="+emptyDir(t), "DBUS_SESSION_BUS_ADDRESS=disabled:",
		"WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS=1", // or it would not run as root
		"sh", "-c", onDisplay, found[0], url)
	t.Cleanup(func() { // killed at once, the X server would leave files behind
		syscall.Kill(-p.pid, syscall.SIGTERM)
		<-p.exited
	})
	return p
}

// originServer is our server at two origins. At one it has pages only; at the other
// it has WebSockets, too, and shows whom it lets in.
type originServer struct {
	*echoServer // the pages, and what they report
	addr        string
	seen        chan pageHandshake
}

// pageHandshake is the opening handshake of a page as our server sees it.
type pageHandshake struct {
	name, origin, host string
	status             int // of our answer
}

func newOriginServer(t *testing.T) *originServer {
	s := &originServer{echoServer: newEchoServer(t), seen: make(chan pageHandshake)}
	mux := http.NewServeMux()
	mux.Handle("/", s.Config.Handler)
	mux.HandleFunc("/open", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		u := websocket.Upgrader{AllowedOrigins: q["origin"], AllowedHosts: q["host"]}
		h := pageHandshake{q.Get("case"), r.Header.Get("Origin"), r.Host, http.StatusSwitchingProtocols}
		c, err := u.Upgrade(statusWriter{w, &h.status}, r, nil)
		select {
		case s.seen <- h:
		case <-t.Context().Done():
		}
		if err == nil {
			defer c.Close()
			c.ReadMessage() // until the page closes
		}
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	s.addr = server.Listener.Addr().String()
	return s
}

// statusWriter notes the status that is written.
type statusWriter struct {
	http.ResponseWriter
	status *int
}

func (w statusWriter) WriteHeader(status int) {
	*w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// pageAttempt is that of a page to open a WebSocket.
type pageAttempt struct {
	page      string   // where the page is loaded from, as an origin
	sandboxed bool     // in a frame that makes its origin opaque
	addr      string   // where it connects to
	origins   []string // that our server allows
	hosts     []string // that our server allows
	host      string   // that our server sees, "" for addr
	status    int      // of the answer
}

// requireAttempts has a browser show pages, each in a frame, and looks at their attempts
// from both ends.
func (s *originServer) requireAttempts(ctx context.Context, t *testing.T, b *browser, attempts map[string]pageAttempt) {
	frames := make(url.Values)
	results, handshakes := make(report), make(map[string]pageHandshake)
	for name, a := range attempts {
		endpoint := url.Values{"case": {name}, "origin": a.origins, "host": a.hosts}
		page := url.Values{"case": {name}, "url": {"ws://" + a.addr + "/open?" + endpoint.Encode()}}
		frame, origin := "frame", a.page
		if a.sandboxed {
			frame, origin = "sandboxed", "null"
		}
		frames.Add(frame, a.page+"/origins.html?"+page.Encode())
		results[name] = "open 1000"
		if a.status != http.StatusSwitchingProtocols {
			results[name] = "error 1006"
		}
		handshakes[name] = pageHandshake{name, origin, cmp.Or(a.host, a.addr), a.status}
	}

	p := b.start(t, s.URL+"/origins.html?"+frames.Encode())
	gotResults, gotHandshakes := make(report), make(map[string]pageHandshake)
	for len(gotResults) < len(attempts) || len(gotHandshakes) < len(attempts) {
		select {
		case r := <-s.reports:
			maps.Copy(gotResults, r)
		case h := <-s.seen:
			gotHandshakes[h.name] = h
		case <-p.exited:
			require.FailNow(t, "the browser ended", "%v", p.err)
		case <-ctx.Done():
			require.FailNow(t, "pages are missing", "%v, %v", gotResults, gotHandshakes)
		}
	}
	require.Equal(t, handshakes, gotHandshakes)
	require.Equal(t, results, gotResults)
}

// TestBrowserOrigins has pages of several origins open WebSockets to our server,
// directly and through those proxies that have to be told to leave the Host alone.
func TestBrowserOrigins(t *testing.T) {
	for _, row := range rows {
		if row.browser == nil {
			continue
		}
		t.Run(row.name, func(t *testing.T) {
			row.demand(t)
			t.Run("direct", func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), row.limit)
				defer cancel()
				s := newOriginServer(t)
				s.requireAttempts(ctx, t, row.browser, s.directly())
			})
			for _, proxy := range reverseProxies {
				for text, status := range proxy.without {
					if status != http.StatusForbidden || proxy.noPages {
						continue
					}
					t.Run(proxy.name, func(t *testing.T) {
						proxy.demand(t)
						ctx, cancel := context.WithTimeout(t.Context(), row.limit)
						defer cancel()
						s := newOriginServer(t)
						with, without := newSite(t, s.addr), newSite(t, s.addr)
						without.without = text
						proxy.proxy(ctx, t, with)
						proxy.proxy(ctx, t, without)
						s.requireAttempts(ctx, t, row.browser, s.through(with, without))
					})
				}
			}
		})
	}
}

// directly are attempts to connect to our server with no proxy before it.
func (s *originServer) directly() map[string]pageAttempt {
	own := "http://" + s.addr
	// Browsers look names below localhost up themselves.
	ownName := "app.localhost:" + port(s.addr)
	elsewhere := "app.localhost:" + port(s.Listener.Addr().String())
	attempts := map[string]pageAttempt{
		"own origin":                {page: own, addr: s.addr, status: 101},
		"another port":              {page: s.URL, addr: s.addr, status: 403},
		"another host":              {page: "http://" + ownName, addr: s.addr, status: 403},
		"opaque origin":             {page: own, sandboxed: true, addr: s.addr, status: 403},
		"opaque origin, allowed":    {page: own, sandboxed: true, addr: s.addr, origins: []string{s.addr, "null"}, status: 403},
		"opaque origin, as all are": {page: own, sandboxed: true, addr: s.addr, origins: []string{"*"}, status: 101},
		"host allowed":              {page: "http://" + ownName, addr: ownName, hosts: []string{"*.localhost:" + port(s.addr)}, status: 101},
		"host not allowed":          {page: "http://" + ownName, addr: ownName, hosts: []string{s.addr}, status: 403},
	}
	for pattern, status := range map[string]int{
		"http://" + elsewhere:                   101,
		elsewhere:                               101,
		"HTTP://" + strings.ToUpper(elsewhere):  101,
		"http://*.localhost:" + port(elsewhere): 101,
		"*.localhost:" + port(elsewhere):        101,
		"*":                                     101,
		"https://" + elsewhere:                  403,
		"http://app.localhost":                  403,
		"http://localhost:" + port(elsewhere):   403,
		"http://*." + elsewhere:                 403,
	} {
		attempts["allowed is "+pattern] = pageAttempt{page: "http://" + elsewhere, addr: s.addr, origins: []string{pattern}, status: status}
	}
	return attempts
}

// through are attempts of pages that are loaded through a proxy, as is the WebSocket:
// to the browser all is of one origin.
func (s *originServer) through(with, without *site) map[string]pageAttempt {
	origin := "http://" + without.addr
	return map[string]pageAttempt{
		"as documented":        {page: "http://" + with.addr, addr: with.addr, status: 101},
		"not told":             {page: origin, addr: without.addr, host: s.addr, status: 403},
		"not told, but we are": {page: origin, addr: without.addr, host: s.addr, origins: []string{origin}, status: 101},
	}
}

// TestBrowserLeaves has pages go away from their connections.
func TestBrowserLeaves(t *testing.T) {
	for _, row := range rows {
		if row.browser == nil {
			continue
		}
		t.Run(row.name, func(t *testing.T) {
			row.demand(t)
			ctx, cancel := context.WithTimeout(t.Context(), row.limit)
			defer cancel()
			pages := newEchoServer(t)
			conns := make(chan *websocket.Conn, 3)
			mux := http.NewServeMux()
			mux.Handle("/", pages.Config.Handler)
			mux.HandleFunc("/open", func(w http.ResponseWriter, r *http.Request) {
				if c, err := new(websocket.Upgrader).Upgrade(w, r, nil); err == nil {
					conns <- c
				}
			})
			s := httptest.NewServer(mux)
			t.Cleanup(s.Close)
			p := row.browser.start(t, s.URL+"/leaving.html?url=ws"+s.URL[len("http"):]+"/open")
			waitReport(ctx, t, p, pages.reports) // of the next page

			end := func(c *websocket.Conn) string {
				defer c.Close()
				deadline, _ := ctx.Deadline()
				c.SetReadDeadline(deadline)
				_, _, err := c.ReadMessage()
				return closing(err)
			}
			removed, left, hidden := <-conns, <-conns, <-conns
			require.Equal(t, "1001 ", end(removed))
			require.Equal(t, row.browser.hidden, strings.TrimSpace(end(hidden)))
			if row.browser.left == staysOpen {
				go end(left) // sees the pong
				_, err := left.Ping(ctx)
				require.NoError(t, err)
				return
			}
			code, _, _ := strings.Cut(end(left), " ") // WebKit gives a reason, too
			require.Equal(t, row.browser.left, code)
		})
	}
}
