//go:build unix

package interop

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Browsers, as clients with the pages of testdata/browser.

var browsers = []row{
	{
		name:          "Chromium",
		version:       debian("chromium"),
		needs:         []need{{"chromium", "apt-get install chromium"}},
		client:        casesPage(startChromium),
		deflate:       chromiumDeflate,
		limit:         browserLimit,
		clientDiffers: noScripts,
	},
	{
		name:          "Firefox ESR",
		version:       debian("firefox-esr"),
		needs:         []need{{"firefox-esr", "apt-get install firefox-esr"}},
		full:          true,
		remarks:       "Firefox shows its scripts the name of the extension only.",
		client:        casesPage(startFirefox),
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
		deflate:       webKitDeflate,
		limit:         browserLimit,
		clientDiffers: noScripts,
	},
}

const browserLimit = 60 * time.Second

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
var offersWithWindow = slices.Concat([]opening{
	{ours: &compression{}, offer: pmd + cmw, answer: pmd + smw + "=12" + cmw + "=12"},
	{ours: nil, offer: pmd + cmw, answer: pmd + snt + cnt},
	{ours: &compression{ServerNoContextTakeover: true}, offer: pmd + cmw, answer: pmd + snt + smw + "=12" + cmw + "=12"},
	{ours: &compression{ClientNoContextTakeover: true}, offer: pmd + cmw, answer: pmd + cnt + smw + "=12" + cmw + "=12"},
	{ours: &compression{ServerMaxWindowBits: 15, ClientMaxWindowBits: 15}, offer: pmd + cmw, answer: pmd},
	{ours: &compression{ServerMaxWindowBits: 8, ClientMaxWindowBits: 8}, offer: pmd + cmw, answer: pmd + smw + "=8" + cmw + "=9"},
	{
		ours:  &compression{ServerNoContextTakeover: true, ClientNoContextTakeover: true, ServerMaxWindowBits: 10, ClientMaxWindowBits: 11},
		offer: pmd + cmw, answer: pmd + snt + cnt + smw + "=10" + cmw + "=11",
	},
	{ours: &compression{Decline: declineAll}, offer: pmd + cmw, answer: ""},
}, ourWindows(``))

var firefoxDeflate = &deflatePeer{
	limit:   browserLimit,
	client:  echoPage(startFirefox),
	reports: true,
	names:   true,
	offers: slices.Concat([]opening{
		{ours: &compression{}, offer: pmd, answer: pmd + smw + "=12"},
		{ours: nil, offer: pmd, answer: pmd + snt + cnt},
		{ours: &compression{ServerNoContextTakeover: true}, offer: pmd, answer: pmd + snt + smw + "=12"},
		{ours: &compression{ClientNoContextTakeover: true}, offer: pmd, answer: pmd + cnt + smw + "=12"},
		{ours: &compression{ServerMaxWindowBits: 8, ClientMaxWindowBits: 8}, offer: pmd, answer: pmd + smw + "=8"},
		{
			ours:  &compression{ServerNoContextTakeover: true, ClientNoContextTakeover: true, ServerMaxWindowBits: 10, ClientMaxWindowBits: 11},
			offer: pmd, answer: pmd + snt + cnt + smw + "=10",
		},
		{ours: &compression{Decline: declineAll}, offer: pmd, answer: ""},
	}, windows(func(server, client int) opening {
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

func startChromium(t *testing.T, url string) *child {
	return start(t, "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync",
		"--user-data-dir="+emptyDir(t), url)
}

func startFirefox(t *testing.T, url string) *child {
	dir := emptyDir(t)
	prefs, err := os.ReadFile("testdata/firefox/user.js")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "user.js"), prefs, 0o600))
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
