package hostile

import (
	"net/http"
	"strings"
	"testing"

	"github.com/duplexkit/websocket"
)

// originCase is a request by its Host and Origin fields.
type originCase struct {
	name    string
	host    string
	origins []string // a line each
	allowed bool
}

func testOrigins(t *testing.T, u websocket.Upgrader, cases []originCase) {
	var requests []requestCase
	for _, tt := range cases {
		var lines strings.Builder
		for _, o := range tt.origins {
			lines.WriteString("Origin: " + o + "\r\n")
		}
		want := both(http.StatusForbidden)
		if tt.allowed {
			want = both(opens)
		}
		raw := strings.Replace(request(lines.String()), "Host: server.example.com", "Host: "+tt.host, 1)
		requests = append(requests, requestCase{tt.name, raw, want})
	}
	testRequestsAt(t, u, requests, atOnce) // how the bytes come does not matter here
}

// Cross-site hijacking (Cable Haunt CVE-2019-19494, nginx-ui CVE-2026-34403): a page of another origin opens a connection, and the browser sends
// the user's cookies along. With no option set only the server's own origin may connect.
func TestOtherOrigin(t *testing.T) {
	const own = "server.example.com"
	testOrigins(t, websocket.Upgrader{}, []originCase{
		{"none: no browser", own, nil, true},
		{"same", own, []string{"http://server.example.com"}, true},
		{"same behind TLS", own, []string{"https://server.example.com"}, true},
		{"same, a slash at the end", own, []string{"http://server.example.com/"}, true},
		{"other", own, []string{"http://evil.example"}, false},

		{"suffix", "example.com", []string{"http://evil-example.com"}, false},
		{"suffix without a dot", "example.com", []string{"http://evilexample.com"}, false},
		{"subdomain", "example.com", []string{"http://evil.example.com"}, false},
		{"parent", own, []string{"http://example.com"}, false},
		{"prefix", own, []string{"http://server.example.com.evil.example"}, false},
		{"prefix without a dot", own, []string{"http://server.example.comevil"}, false},
		{"shorter", own, []string{"http://server.example.co"}, false},

		{"userinfo", own, []string{"http://server.example.com@evil.example"}, false},
		{"userinfo with a password", own, []string{"http://server.example.com:80@evil.example"}, false},
		{"userinfo before the own host", own, []string{"http://user@server.example.com"}, false},
		{"empty userinfo", own, []string{"http://@server.example.com"}, false},
		{"path", own, []string{"http://evil.example/server.example.com"}, false},
		{"path behind the own host", own, []string{"http://server.example.com/chat"}, false},
		{"query", own, []string{"http://evil.example?server.example.com"}, false},
		{"fragment", own, []string{"http://evil.example#server.example.com"}, false},
		{"backslash", own, []string{`http://evil.example\server.example.com`}, false},
		{"backslash and at", own, []string{`http://evil.example\@server.example.com`}, false},
		{"percent", own, []string{"http://server.example.com%2eevil.example"}, false},
		{"percent for a letter", own, []string{"http://server.example.co%6d.evil.example"}, false},
		{"percent for NUL", own, []string{"http://server.example.com%00.evil.example"}, false},
		{"comma", own, []string{"http://server.example.com, http://evil.example"}, false},
		{"comma, own last", own, []string{"http://evil.example, http://server.example.com"}, false},
		{"blank", own, []string{"http://server.example.com http://evil.example"}, false},
		{"blank in the host", own, []string{"http://server.example.com .evil.example"}, false},
		{"semicolon", own, []string{"http://server.example.com;evil.example"}, false},

		{"other scheme", own, []string{"ftp://server.example.com"}, false},
		{"file", own, []string{"file://server.example.com"}, false},
		{"extension of a browser", own, []string{"chrome-extension://server.example.com"}, false},
		{"javascript", own, []string{"javascript://server.example.com"}, false},
		{"data", own, []string{"data:text/html,server.example.com"}, false},
		{"opaque", own, []string{"http:server.example.com"}, false},
		{"one slash", own, []string{"http:/server.example.com"}, false},
		{"three slashes", own, []string{"http:///server.example.com"}, false},
		{"no scheme", own, []string{"server.example.com"}, false},
		{"slashes alone", own, []string{"//server.example.com"}, false},
		{"empty scheme", own, []string{"://server.example.com"}, false},
		{"scheme in front", own, []string{"xhttp://server.example.com"}, false},
		{"no host", own, []string{"http://"}, false},

		{"port of the scheme", own, []string{"http://server.example.com:80"}, true},
		{"port of the scheme in Host", own + ":80", []string{"http://server.example.com"}, true},
		{"port of TLS in Host", own + ":443", []string{"https://server.example.com"}, true},
		{"other port", own, []string{"http://server.example.com:8080"}, false},
		{"other port than Host's", own + ":8080", []string{"http://server.example.com:8081"}, false},
		{"no port and Host's", own + ":8080", []string{"http://server.example.com"}, false},
		{"TLS and the port without", own + ":80", []string{"https://server.example.com"}, false},
		{"the port of TLS without it", own, []string{"http://server.example.com:443"}, false},
		{"port with zeroes", own + ":8080", []string{"http://server.example.com:08080"}, false},
		{"port that begins like it", own + ":80", []string{"http://server.example.com:8000"}, false},
		{"two ports", own, []string{"http://server.example.com:80:80"}, false},
		{"port that is none", own, []string{"http://server.example.com:http"}, false},
		{"negative port", own, []string{"http://server.example.com:-80"}, false},

		{"IPv6", "[::1]:8080", []string{"http://[::1]:8080"}, true},
		{"IPv6, port of the scheme", "[::1]", []string{"http://[::1]:80"}, true},
		{"IPv6, other", "[::1]", []string{"http://[::2]"}, false},
		{"IPv6, other port", "[::1]:8080", []string{"http://[::1]:8081"}, false},
		{"IPv6, port that looks like a part", "[::1]", []string{"http://[::]:1"}, false},
		{"IPv6 without brackets", "[::1]", []string{"http://::1"}, false},
		{"IPv4 in IPv6", "127.0.0.1", []string{"http://[::ffff:127.0.0.1]"}, false},
		{"IPv4 as a number", "127.0.0.1", []string{"http://2130706433"}, false},
		{"localhost for its address", "127.0.0.1", []string{"http://localhost"}, false},
		{"host behind the bracket", "[::1]", []string{"http://[::1].evil.example"}, false},

		{"upper case", own, []string{"HTTP://SERVER.Example.COM"}, true},
		{"upper case in Host", "SERVER.example.COM", []string{"http://server.example.com"}, true},
		{"letters beyond ASCII", "kelvin.example.com", []string{"http://\u212aelvin.example.com"}, false},
		{"long s", own, []string{"http://\u017ferver.example.com"}, false},
		{"full stop beyond ASCII", own, []string{"http://server\u3002example.com"}, false},
		{"trailing dot", own, []string{"http://server.example.com."}, false},
		{"trailing dot in Host", own + ".", []string{"http://server.example.com"}, false},
		{"leading dot", own, []string{"http://.server.example.com"}, false},
		{"two dots", own, []string{"http://server..example.com"}, false},

		{"null", own, []string{"null"}, false},
		{"null as a host", "null", []string{"null"}, false},
		{"NULL", own, []string{"NULL"}, false},
		{"empty", own, []string{""}, false},
		{"two, own first", own, []string{"http://server.example.com", "http://evil.example"}, false},
		{"two, own last", own, []string{"http://evil.example", "http://server.example.com"}, false},
		{"two, both own", own, []string{"http://server.example.com", "http://server.example.com"}, false},
		{"two, one empty", own, []string{"", "http://server.example.com"}, false},
	})
}

// Patterns admit what they say and not a byte more.
func TestAllowedOrigins(t *testing.T) {
	const own = "server.example.net"
	u := websocket.Upgrader{AllowedOrigins: []string{
		"example.com", "https://*.example.com", "http://dev.example.org:8080", "[2001:db8::1]:8443", "*.wild.example:9000",
	}}
	testOrigins(t, u, []originCase{
		{"own", own, []string{"http://server.example.net"}, true},
		{"no Origin", own, nil, true},
		{"other", own, []string{"http://evil.example"}, false},
		{"named, any scheme", own, []string{"http://example.com"}, true},
		{"named, TLS", own, []string{"https://example.com:443"}, true},
		{"named, a scheme that is not the web's", own, []string{"ftp://example.com"}, true}, // any, as documented
		{"named, upper case", own, []string{"HTTPS://EXAMPLE.com"}, true},
		{"named, other port", own, []string{"https://example.com:8443"}, false},
		{"named, trailing dot", own, []string{"https://example.com."}, false},
		{"evil- before a named one", own, []string{"https://evil-example.com"}, false},
		{"behind a named one", own, []string{"https://example.com.evil.example"}, false},
		{"label", own, []string{"https://a.example.com"}, true},
		{"two labels", own, []string{"https://b.a.example.com"}, true},
		{"label, other scheme", own, []string{"http://a.example.com"}, false},
		{"label, other port", own, []string{"https://a.example.com:8443"}, false},
		{"no label", own, []string{"https://.example.com"}, false},
		{"no dot", own, []string{"https://aexample.com"}, false},
		{"label, userinfo", own, []string{"https://a.example.com@evil.example"}, false},
		{"label in the userinfo", own, []string{"https://evil.example:a.example.com"}, false},
		{"label in the path", own, []string{"https://evil.example/.example.com"}, false},
		{"label in the query", own, []string{"https://evil.example?.example.com"}, false},
		{"label in the fragment", own, []string{"https://evil.example#.example.com"}, false},
		{"label behind NUL", own, []string{"https://evil.example%00.example.com"}, false},
		{"label behind a backslash", own, []string{`https://evil.example\.example.com`}, false},
		{"label behind a blank", own, []string{"https://evil.example%20.example.com"}, false},
		{"label behind a slash", own, []string{"https://evil.example%2f.example.com"}, false},
		{"named with a port", own, []string{"http://dev.example.org:8080"}, true},
		{"named with a port, without", own, []string{"http://dev.example.org"}, false},
		{"named with a port, other scheme", own, []string{"https://dev.example.org:8080"}, false},
		{"IPv6", own, []string{"https://[2001:db8::1]:8443"}, true},
		{"IPv6, other port", own, []string{"https://[2001:db8::1]"}, false},
		{"IPv6, other", own, []string{"https://[2001:db8::2]:8443"}, false},
		{"label and port, any scheme", own, []string{"https://a.wild.example:9000"}, true},
		{"label, no port", own, []string{"https://a.wild.example"}, false},
		{"null", own, []string{"null"}, false},
		{"two, both named", own, []string{"https://example.com", "https://example.com"}, false},
		{"empty", own, []string{""}, false},
	})
}

// "*" admits every origin, but not what no browser sends.
func TestAllowedOriginsStar(t *testing.T) {
	testOrigins(t, websocket.Upgrader{AllowedOrigins: []string{"*"}}, []originCase{
		{"other", "server.example.com", []string{"http://evil.example"}, true},
		{"null", "server.example.com", []string{"null"}, true},
		{"two", "server.example.com", []string{"http://evil.example", "http://server.example.com"}, false},
	})
}

// DNS rebinding: the page's own host name is made to resolve to this server, so that Host and Origin agree. AllowedHosts knows which names
// are ours.
func TestDNSRebinding(t *testing.T) {
	u := websocket.Upgrader{AllowedHosts: []string{"server.example.com", "localhost:8080", "127.0.0.1:8080", "[::1]:8080", "*.tenants.example.com"}}
	testOrigins(t, u, []originCase{
		{"rebound", "evil.example", []string{"http://evil.example"}, false},
		{"rebound, no Origin", "evil.example", nil, false},
		{"rebound to a port", "evil.example:8080", []string{"http://evil.example:8080"}, false},
		{"suffix", "evil-server.example.com", nil, false},
		{"prefix", "server.example.com.evil.example", nil, false},
		{"parent", "example.com", nil, false},
		{"subdomain", "a.server.example.com", nil, false},
		{"trailing dot", "server.example.com.", nil, false},
		{"localhost, other port", "localhost:8081", nil, false},
		{"localhost, no port", "localhost", nil, false},
		{"other address of the loopback", "127.0.0.2:8080", nil, false},
		{"no label", ".tenants.example.com", nil, false},
		{"wildcard's parent", "tenants.example.com", nil, false},
		{"wildcard, other port", "a.tenants.example.com:8080", nil, false},
		{"port of TLS", "server.example.com:443", nil, false},

		{"own", "server.example.com", []string{"http://server.example.com"}, true},
		{"own, no Origin", "server.example.com", nil, true},
		{"own, port of the scheme", "server.example.com:80", nil, true},
		{"own, upper case", "Server.EXAMPLE.com", nil, true},
		{"own, other Origin", "server.example.com", []string{"http://evil.example"}, false},
		{"localhost", "localhost:8080", []string{"http://localhost:8080"}, true},
		{"address", "127.0.0.1:8080", nil, true},
		{"IPv6", "[::1]:8080", nil, true},
		{"label", "a.tenants.example.com", nil, true},
		{"two labels", "b.a.tenants.example.com", nil, true},
	})
}

// The host is that of the target where there is one (RFC 9112, section 3.2.2), and what proxies say about it counts for nothing.
func TestDNSRebindingByTarget(t *testing.T) {
	testRequests(t, websocket.Upgrader{AllowedHosts: []string{"server.example.com"}}, []requestCase{
		{"target of another host", altered("/chat", "http://evil.example/chat"), both(403)},
		{"target of another port", altered("/chat", "http://server.example.com:8080/chat"), both(403)},
		{"own target, other Host", strings.Replace(altered("/chat", "http://server.example.com/chat"), "Host: server", "Host: evil", 1), both(opens)},
		{"own target, other Host's Origin", strings.NewReplacer("/chat", "http://server.example.com/chat", "Host: server", "Host: evil").
			Replace(request("Origin: http://evil.example.com\r\n")), both(403)},
		{"X-Forwarded-Host", strings.Replace(altered("Host: server", "Host: evil"), "Host: evil",
			"X-Forwarded-Host: server.example.com\r\nForwarded: host=server.example.com\r\nHost: evil", 1), both(403)},
		{"X-Forwarded-Host beside the own", request("X-Forwarded-Host: evil.example\r\n"), both(opens)},
	})
}

// Over TLS the port that goes without saying is another.
func TestDNSRebindingOverTLS(t *testing.T) {
	t.Parallel()
	config := newAuthority(t).config(t, nil)
	for host, status := range map[string]int{
		"server.example.com": opens, "server.example.com:443": opens, "SERVER.example.com": opens, "localhost:8443": opens,
		"server.example.com:80": 403, "server.example.com:8443": 403, "localhost": 403, "evil.example": 403,
	} {
		t.Run(host, func(t *testing.T) {
			eachFront(t, func(t *testing.T, d door) {
				u := websocket.Upgrader{AllowedHosts: []string{"server.example.com", "localhost:8443"}}
				s := openFrontBehind(t, d, u, config, nil)
				raw := altered("Host: server.example.com", "Host: "+host)
				if status == opens {
					s.expectUpgrade(t, raw)
				} else {
					s.expectRefusal(t, raw, status)
				}
			})
		})
	}
}

// CheckOrigin decides alone, but AllowedHosts still holds.
func TestCheckOriginDoesNotOpenHosts(t *testing.T) {
	u := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }, AllowedHosts: []string{"server.example.com"}}
	testOrigins(t, u, []originCase{
		{"other origin", "server.example.com", []string{"http://evil.example"}, true},
		{"two origins", "server.example.com", []string{"http://evil.example", "null"}, true},
		{"rebound", "evil.example", []string{"http://evil.example"}, false},
	})
}
