//go:build unix

package interop

import (
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestProxiesPage checks that docs/proxies.md shows the very files that the rows are tested with.
func TestProxiesPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/proxies.md")
	require.NoError(t, err)
	var shown []string
	for _, block := range regexp.MustCompile("(?s)\n```(\\w*)\n(.*?)```\n").FindAllStringSubmatch(string(page), -1) {
		if block[1] != "go" {
			shown = append(shown, block[2])
		}
	}
	var files []string
	for _, name := range []string{"nginx.conf", "apache.conf", "apache-wstunnel.conf", "lighttpd.conf", "haproxy.cfg", "varnish.vcl", "h2o.conf", "Caddyfile"} {
		file, err := os.ReadFile("testdata/proxies/" + name)
		require.NoError(t, err)
		files = append(files, string(file))
	}
	require.Equal(t, files, shown)
}
