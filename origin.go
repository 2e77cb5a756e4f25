package websocket

import (
	"net/url"
	"strings"
)

// Origins and hosts, and the patterns that allow them (RFC 6455, section 10.2).

// origin is where a page comes from (RFC 6454), in lower case and with the port
// spelled out if the scheme has one.
type origin struct{ scheme, host, port string }

// parseOrigin reads an Origin header. "null", the origin of pages that have none,
// has no host and is refused.
func parseOrigin(s string) (origin, bool) {
	if scheme, hostport, ok := strings.Cut(s, "://"); ok && defaultPort(scheme) != "" && isPlainHost(hostport) {
		return originOf(scheme, hostport), true // as url.Parse would have it
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return origin{}, false
	}
	return originOf(u.Scheme, u.Host), true
}

// isPlainHost reports whether s is a host name or an IPv4 address, and perhaps a port,
// of which no part needs escaping.
func isPlainHost(s string) bool {
	host, port, _ := strings.Cut(s, ":")
	for i := range len(host) {
		if !isPlain(host[i]) {
			return false
		}
	}
	return host != "" && strings.Trim(port, "0123456789") == ""
}

func originOf(scheme, hostport string) origin {
	u := url.URL{Scheme: lowerASCII(scheme), Host: lowerASCII(hostport)}
	o := origin{u.Scheme, u.Hostname(), u.Port()}
	if o.port == "" {
		o.port = defaultPort(o.scheme)
	}
	return o
}

// isOf reports whether o is the server's own origin. The scheme is left open, since
// behind a proxy that ends TLS nobody knows it, but it must be one of the web's.
func (o origin) isOf(host string) bool {
	return defaultPort(o.scheme) != "" && o == originOf(o.scheme, host)
}

// matches applies a pattern of AllowedOrigins or AllowedHosts.
func (o origin) matches(pattern string) bool {
	scheme, hostport, ok := strings.Cut(pattern, "://")
	if !ok {
		scheme, hostport = o.scheme, pattern
	}
	p := originOf(scheme, hostport)
	if parent, ok := strings.CutPrefix(p.host, "*."); ok {
		label, ok := strings.CutSuffix(o.host, "."+parent)
		if !ok || label == "" {
			return false
		}
		p.host = o.host
	}
	return p == o
}

// defaultPort returns the port of a scheme of the web, "" for others.
func defaultPort(scheme string) string {
	switch scheme {
	case "http", "ws":
		return "80"
	case "https", "wss":
		return "443"
	}
	return ""
}

// lowerASCII leaves all but A to Z alone: Unicode's folding would make "K" of a
// Kelvin sign, and one host name of two.
func lowerASCII(s string) string {
	for i := range len(s) {
		if isUpper(s[i]) {
			b := []byte(s)
			for j := i; j < len(b); j++ {
				if isUpper(b[j]) {
					b[j] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}

func isUpper(c byte) bool { return 'A' <= c && c <= 'Z' }
