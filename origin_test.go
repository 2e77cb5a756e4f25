package websocket

import (
	"crypto/tls"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAllowsOrigin(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		host    string
		origins []string
		allowed []string
		want    bool
	}{
		{"none", "example.com", nil, nil, true},
		{"same", "example.com", []string{"https://example.com"}, nil, true},
		{"same in another case", "Example.com", []string{"HTTPS://eXample.COM"}, nil, true},
		{"same with a port", "example.com:8080", []string{"http://example.com:8080"}, nil, true},
		{"same IPv6", "[::1]:8080", []string{"http://[::1]:8080"}, nil, true},
		{"default port in the origin", "example.com", []string{"https://example.com:443"}, nil, true},
		{"default port in the host", "example.com:80", []string{"http://example.com"}, nil, true},
		{"trailing slash", "example.com", []string{"http://example.com/"}, nil, true},
		{"WebSocket's own scheme", "example.com", []string{"wss://example.com"}, nil, true},
		{"other host", "example.com", []string{"https://example.org"}, nil, false},
		{"other port", "example.com", []string{"http://example.com:8080"}, nil, false},
		{"the other scheme's port", "example.com", []string{"http://example.com:443"}, nil, false},
		{"host at its own port", "example.com:8080", []string{"http://example.com"}, nil, false},
		{"prefix", "example.com", []string{"https://evil-example.com"}, nil, false},
		{"suffix", "example.com", []string{"https://example.com.evil.org"}, nil, false},
		{"subdomain", "example.com", []string{"https://a.example.com"}, nil, false},
		{"trailing dot", "example.com", []string{"https://example.com."}, nil, false},
		{"user information", "example.com", []string{"https://evil.org@example.com"}, nil, false},
		{"user information the other way", "example.com", []string{"https://example.com@evil.org"}, nil, false},
		{"path", "example.com", []string{"https://example.com/a"}, nil, false},
		{"query", "example.com", []string{"https://example.com?a"}, nil, false},
		{"backslash", "example.com", []string{`https://evil.org\@example.com`}, nil, false},
		{"Kelvin sign", "kexample.com", []string{"https://\u212aexample.com"}, nil, false},
		{"null", "example.com", []string{"null"}, nil, false},
		{"empty", "example.com", []string{""}, nil, false},
		{"no scheme", "example.com", []string{"//example.com"}, nil, false},
		{"scheme that is not the web's", "example.com", []string{"ftp://example.com"}, nil, false},
		{"two", "example.com", []string{"https://example.com", "https://example.com"}, nil, false},
		{"two, with all allowed", "example.com", []string{"https://example.com", "https://example.com"}, []string{"*"}, false},
		{"all", "example.com", []string{"https://example.org"}, []string{"*"}, true},
		{"null, with all allowed", "example.com", []string{"null"}, []string{"*"}, true},
		{"host", "example.com", []string{"https://example.org"}, []string{"example.net", "example.org"}, true},
		{"host in another case", "example.com", []string{"https://example.org"}, []string{"Example.ORG"}, true},
		{"host, another port", "example.com", []string{"https://example.org:8443"}, []string{"example.org"}, false},
		{"host and port", "example.com", []string{"https://example.org:8443"}, []string{"example.org:8443"}, true},
		{"host and default port", "example.com", []string{"https://example.org"}, []string{"example.org:443"}, true},
		{"scheme", "example.com", []string{"https://example.org"}, []string{"HTTPS://example.org"}, true},
		{"another scheme", "example.com", []string{"http://example.org"}, []string{"https://example.org"}, false},
		{"scheme that is not the web's, allowed", "example.com", []string{"chrome-extension://abc"}, []string{"chrome-extension://abc"}, true},
		{"wildcard, one label", "example.com", []string{"https://a.example.org"}, []string{"*.example.org"}, true},
		{"wildcard, two labels", "example.com", []string{"https://a.b.example.org"}, []string{"https://*.example.org"}, true},
		{"wildcard, no label", "example.com", []string{"https://example.org"}, []string{"*.example.org"}, false},
		{"wildcard, empty label", "example.com", []string{"https://.example.org"}, []string{"*.example.org"}, false},
		{"wildcard, suffix without a dot", "example.com", []string{"https://evil-example.org"}, []string{"*.example.org"}, false},
		{"wildcard, another port", "example.com", []string{"https://a.example.org:8443"}, []string{"*.example.org"}, false},
		{"the same is always allowed", "example.com", []string{"https://example.com"}, []string{"example.org"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			u := Upgrader{AllowedOrigins: tt.allowed}
			require.Equal(t, tt.want, u.allowsOrigin(&http.Request{Host: tt.host, Header: http.Header{"Origin": tt.origins}}))
		})
	}
}

func TestAllowsHost(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		host    string
		tls     *tls.ConnectionState
		allowed []string
		want    bool
	}{
		{"no list", "evil.org", nil, nil, true},
		{"listed", "example.com", nil, []string{"example.com"}, true},
		{"listed in another case", "EXAMPLE.com", nil, []string{"example.COM"}, true},
		{"not listed", "evil.org", nil, []string{"example.com"}, false},
		{"default port", "example.com:80", nil, []string{"example.com"}, true},
		{"default port of TLS", "example.com:443", &tls.ConnectionState{}, []string{"example.com"}, true},
		{"other port", "example.com:8080", nil, []string{"example.com"}, false},
		{"port listed", "localhost:8080", nil, []string{"localhost:8080"}, true},
		{"wildcard", "a.example.com", nil, []string{"*.example.com"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			u := Upgrader{AllowedHosts: tt.allowed}
			require.Equal(t, tt.want, u.allowsHost(&http.Request{Host: tt.host, TLS: tt.tls}))
		})
	}
}

// originSeeds are for what parseOrigin does without net/url.
var originSeeds = []string{
	"http://example.com", "https://example.com:8443", "ws://a-b_c~d.example.com.:", "wss://1:2", "http://192.0.2.1:80",
	"HTTPS://example.com", "https://Example.COM", "ftp://example.com", "https://", "https://:80", "https://example.com:8o",
	"https://example.com:80:80", "https://[::1]:80", "https://a@b", "https://a/", "https://a?", "https://a#", "https://%61", "https://a%", "null", "",
}

// The short way to an origin leads where net/url does.
func FuzzOrigin(f *testing.F) {
	for _, s := range originSeeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := parseOrigin(s)
		want, wantOK := origin{}, false
		if u, err := url.Parse(s); err == nil && u.Host != "" && u.User == nil && u.RawQuery == "" && u.Fragment == "" && strings.Trim(u.Path, "/") == "" {
			want, wantOK = originOf(u.Scheme, u.Host), true
		}
		require.Equal(t, wantOK, ok)
		require.Equal(t, want, got)

		// Nor does the comparison of the whole with the host.
		_, host, _ := strings.Cut(s, "://")
		r := &http.Request{Host: host, Header: http.Header{"Origin": {s}}}
		require.Equal(t, ok && got.isOf(host), new(Upgrader).allowsOrigin(r))
	})
}

func TestLowerASCII(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"": "", "a-z": "a-z", "A": "a", "example.COM": "example.com", "@[`{AZ": "@[`{az", "\u212a\u00c4K": "\u212a\u00c4k",
	} {
		require.Equal(t, want, lowerASCII(s))
	}
}
