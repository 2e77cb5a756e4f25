//go:build unix

package interop

import (
	"context"
	"testing"
	"time"
)

// Browsers.

var browsers = []row{
	{
		name:    "Chromium",
		version: debian("chromium"),
		needs:   []need{{"chromium", "apt-get install chromium"}},
		client:  chromium,
		deflate: chromiumDeflate,
		limit:   60 * time.Second,
		clientDiffers: differences{
			"client ping": noScript,
			"fragmented":  noScript,
			"header":      noScript,
		},
	},
}

var noScript = difference{"", "the API of browsers has no way to do it"}

var chromiumDeflate = &deflatePeer{
	limit:   60 * time.Second,
	client:  echoPage,
	reports: true,
	offers: []opening{
		{ours: &compression{}, offer: pmd + cmw, answer: pmd + smw + "=12" + cmw + "=12"},
		{ours: nil, offer: pmd + cmw, answer: pmd + snt + cnt},
		{ours: &compression{ServerNoContextTakeover: true}, offer: pmd + cmw, answer: pmd + snt + smw + "=12" + cmw + "=12"},
		{ours: &compression{ClientNoContextTakeover: true}, offer: pmd + cmw, answer: pmd + cnt + smw + "=12" + cmw + "=12"},
		{ours: &compression{ServerMaxWindowBits: 15, ClientMaxWindowBits: 15}, offer: pmd + cmw, answer: pmd},
		{ours: &compression{ServerMaxWindowBits: 8, ClientMaxWindowBits: 8}, offer: pmd + cmw, answer: pmd + smw + "=8" + cmw + "=9"},
		{ours: &compression{ServerMaxWindowBits: 14, ClientMaxWindowBits: 10}, offer: pmd + cmw, answer: pmd + smw + "=14" + cmw + "=10"},
	},
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
