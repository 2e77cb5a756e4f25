package websocket

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/duplexkit/websocket/internal/sock"
)

// The opening handshake as a server reads it straight from the network, without
// net/http in between.

// A handshakeConn is the network connection of an opening handshake. It must be over at the
// Upgrader's deadline, but takes the trouble to set one only when there is something
// to wait for.
type handshakeConn struct {
	nc      net.Conn
	raw     syscall.RawConn // for what needs no waiting, nil if nc is no plain socket
	u       *Upgrader
	waiting bool // nc has the deadline
}

// read is nc.Read until the deadline.
func (c *handshakeConn) read(p []byte) (n int, err error) {
	if c.raw != nil && !c.waiting {
		n, err = sock.TryRead(c.raw, p)
		switch {
		case err == nil && n == 0:
			return 0, io.EOF
		case err == nil:
			return n, nil
		case err != sock.ErrAgain:
			return 0, opError("read", c.nc, err)
		}
	}
	if err := c.wait(); err != nil {
		return 0, err
	}
	return c.nc.Read(p)
}

// write is nc.Write until the deadline.
func (c *handshakeConn) write(p []byte) error {
	if c.raw != nil {
		n, err := sock.TryWrite(c.raw, p)
		switch {
		case err == nil && n == len(p):
			return nil
		case err != nil && err != sock.ErrAgain:
			return opError("write", c.nc, err)
		}
		p = p[n:]
	}
	if err := c.wait(); err != nil {
		return err
	}
	_, err := writeAll(c.nc, p)
	return err
}

// wait sees to it that nc has the deadline.
func (c *handshakeConn) wait() error {
	if c.waiting {
		return nil
	}
	c.waiting = true
	return c.nc.SetDeadline(c.u.handshakeDeadline())
}

// finish leaves nc without a deadline, be it ours or an earlier one.
func (c *handshakeConn) finish() error { return c.nc.SetDeadline(time.Time{}) }

// firstRead is what a request header is expected to have, in bytes, at most.
const firstRead = 4 << 10

// readRequest reads an HTTP/1.1 request header into in, and returns what came behind
// it as rest. Neither r nor rest refers to in, apart from the used up body of a request
// that is refused for having one. A request that is not to be answered by 101 comes back
// as *refusal.
func (c *handshakeConn) readRequest(in *buffer) (r *http.Request, rest []byte, err error) {
	s := headerScanner{fields: -1}
	p := in.b[:0]
	for {
		n, readErr := c.read(p[len(p):cap(p)])
		p = p[:len(p)+n]
		end, err := s.scan(p)
		switch {
		case err != nil:
			return nil, nil, err
		case end > 0:
			in.b = p // which may have grown
			rest = append([]byte(nil), p[end:]...)
			r, err = s.parseRequest(c.nc, p[:end])
			return r, rest, err
		case len(p) == maxHandshake:
			return nil, nil, refuse(http.StatusRequestHeaderFieldsTooLarge, "request header over %d bytes", maxHandshake)
		case readErr == io.EOF && len(p) > 0:
			readErr = io.ErrUnexpectedEOF
			fallthrough
		case readErr != nil:
			return nil, nil, fmt.Errorf("websocket: reading the opening handshake: %w", readErr)
		case len(p) == cap(p):
			p = slices.Grow(p, min(cap(p), maxHandshake-cap(p)))
			p = p[:len(p):min(cap(p), maxHandshake)]
		}
	}
}

// parseRequest makes a Request of the header p, whose lines s let pass. It uses the
// room behind p.
func (s *headerScanner) parseRequest(nc net.Conn, p []byte) (*http.Request, error) {
	r := s.parseOpening(p, nc.RemoteAddr())
	if r == nil {
		var err error
		if r, err = parseAny(p, nc.RemoteAddr()); err != nil {
			return nil, err
		}
	}
	if tc, ok := nc.(*tls.Conn); ok {
		state := tc.ConnectionState()
		r.TLS = &state
	}
	return r, nil
}

// parseAny is parseOpening for every request.
func parseAny(p []byte, from net.Addr) (*http.Request, error) {
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(p)))
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "malformed request: %v", err)
	}
	if r.ProtoMajor != 1 {
		return nil, refuse(http.StatusHTTPVersionNotSupported, "%s on an HTTP/1.1 connection", r.Proto)
	}
	r.RemoteAddr = string(appendAddr(nil, from))
	return r, nil
}

// maxShared is the largest header, in bytes, whose fields share memory. A program
// that keeps one of them, a cookie say, keeps them all.
const maxShared = 4 << 10

// opening is the memory of a Request.
type opening struct {
	http.Request
	url    url.URL
	values [16]string // of the header fields; a browser sends about a dozen
}

// parseOpening does what http.ReadRequest does, with few allocations, for requests
// such as nearly every WebSocket begins with: GET, a path, HTTP/1.1, no body, and no
// field twice. It returns nil for others, malformed ones among them.
func (s *headerScanner) parseOpening(p []byte, from net.Addr) *http.Request {
	if len(p) > maxShared || s.fields > len(s.spans) || !bytes.HasPrefix(p, []byte("GET /")) {
		return nil
	}
	text := string(appendAddr(p, from))
	line, _, _ := strings.Cut(text, "\r\n")
	target, ok := strings.CutSuffix(line[len("GET "):], " HTTP/1.1")
	if !ok {
		return nil
	}
	o := &opening{Request: http.Request{
		Method: http.MethodGet, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: make(http.Header, s.fields-1), // without Host
		Body:   http.NoBody, RequestURI: target, RemoteAddr: text[len(p):],
	}}
	r := &o.Request
	r.URL = &o.url
	if !setTarget(r.URL, target) {
		return nil
	}
	values := o.values[:]
	if s.fields > len(values) {
		values = make([]string, s.fields)
	}
	uncached := false // Pragma: no-cache
	for i, at := range s.spans[:s.fields] {
		name, value := text[at.name:at.colon], textproto.TrimString(text[at.colon+1:at.end])
		switch name {
		case "Host":
			r.Host = value
			continue
		case "Content-Length", "Transfer-Encoding", "Trailer":
			return nil
		case "Connection":
			r.Close = httpguts.HeaderValuesContainsToken([]string{value}, "close")
		case "Pragma":
			uncached = value == "no-cache"
		}
		values[i] = value
		known := len(r.Header)
		r.Header[name] = values[i : i+1 : i+1] // an append to one must not reach the next
		if len(r.Header) == known {
			return nil // a field that comes twice
		}
	}
	if uncached && r.Header["Cache-Control"] == nil { // RFC 9111, section 5.4
		r.Header["Cache-Control"] = []string{"no-cache"}
	}
	return r
}

// appendAddr appends addr.String(), with no garbage for the addresses of TCP.
func appendAddr(dst []byte, addr net.Addr) []byte {
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp != nil && tcp.Zone == "" {
		if ap := tcp.AddrPort(); ap.IsValid() {
			return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()).AppendTo(dst)
		}
	}
	if addr == nil { // of a socket whose peer is gone already
		return dst
	}
	return append(dst, addr.String()...)
}

// setTarget does what url.ParseRequestURI does, for a target that is a path (RFC
// 9112, section 3.2.1) and perhaps a query, and has no need of escaping. It returns
// false for others.
func setTarget(u *url.URL, target string) bool {
	path, query, hasQuery := strings.Cut(target, "?")
	if !strings.HasPrefix(path, "/") || hasQuery && query == "" || strings.Contains(query, " ") {
		return false
	}
	for i := range len(path) {
		if !isPlain(path[i]) && strings.IndexByte("/$&+,:;=@", path[i]) < 0 {
			return false
		}
	}
	u.Path, u.RawQuery = path, query
	return true
}

// isPlain reports whether c is unreserved (RFC 3986, section 2.3): the same in any
// part of a URL, escaped or not.
func isPlain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}

// headerScanner finds the end of a request header while its bytes come in, and
// refuses the first line that is not strict HTTP/1.1 (RFC 9112, sections 2 to 5).
type headerScanner struct {
	line     int      // where the line begins that is not complete yet
	searched int      // no line feed from there up to here
	hosts    int      // complete Host lines so far
	fields   int      // all complete field lines so far, -1 before the request line
	spans    [32]span // where the first of them are
}

// span is where a field line is.
type span struct{ name, colon, end uint16 } // of at most maxHandshake bytes

// scan goes on with p, the bytes so far. It returns the length of the header once it
// is complete, 0 before.
func (s *headerScanner) scan(p []byte) (end int, err error) {
	for {
		i := bytes.IndexByte(p[s.searched:], '\n')
		if i < 0 {
			s.searched = len(p)
			return 0, nil
		}
		end = s.searched + i + 1
		line, ok := bytes.CutSuffix(p[s.line:end], []byte("\r\n"))
		switch {
		case !ok:
			return 0, refuse(http.StatusBadRequest, "malformed request: line without CR LF")
		case s.fields < 0:
			err = checkRequestLine(line)
		case len(line) > 0:
			err = s.checkFieldLine(line)
		case s.hosts == 0:
			return 0, refuse(http.StatusBadRequest, "missing or malformed Host header")
		default:
			return end, nil
		}
		if err != nil {
			return 0, err
		}
		s.fields++
		s.line, s.searched = end, end
	}
}

// checkRequestLine leaves to http.ReadRequest all but the bytes that nobody may send.
func checkRequestLine(line []byte) error {
	for _, b := range line {
		if b < ' ' || b == 0x7f {
			return refuse(http.StatusBadRequest, "malformed request line")
		}
	}
	if len(line) == 0 {
		return refuse(http.StatusBadRequest, "malformed request line")
	}
	return nil
}

// checkFieldLine wants a token right before the colon, which also refuses a folded
// line (RFC 9112, section 5.2), and no control bytes behind it. It writes the name
// the way http.CanonicalHeaderKey does, in place.
func (s *headerScanner) checkFieldLine(line []byte) error {
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 || !canonicalize(line[:colon]) || !validFieldValue(line[colon+1:]) {
		return refuse(http.StatusBadRequest, "malformed request header line")
	}
	if s.fields < len(s.spans) {
		s.spans[s.fields] = span{uint16(s.line), uint16(s.line + colon), uint16(s.line + len(line))}
	}
	if string(line[:colon]) == "Host" {
		if s.hosts++; s.hosts > 1 {
			return refuse(http.StatusBadRequest, "more than one Host header")
		}
	}
	return nil
}

// canonicalize is http.CanonicalHeaderKey in place. It returns false if name is no
// token (RFC 9110, section 5.6.2).
func canonicalize(name []byte) bool {
	first := true // of a word
	for i, b := range name {
		switch {
		case first && 'a' <= b && b <= 'z':
			name[i] = b - 'a' + 'A'
		case !first && 'A' <= b && b <= 'Z':
			name[i] = b - 'A' + 'a'
		case !httpguts.IsTokenRune(rune(b)):
			return false
		}
		first = b == '-'
	}
	return true
}

// validFieldValue is httpguts.ValidHeaderFieldValue for bytes, eight at a time.
func validFieldValue(value []byte) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for ; len(value) >= 8; value = value[8:] {
		b := binary.LittleEndian.Uint64(value)
		del := b ^ 0x7f*ones
		if ((b-' '*ones)&^b|(del-ones)&^del)&tops != 0 && !validFieldBytes(value[:8]) {
			return false
		}
	}
	return validFieldBytes(value)
}

func validFieldBytes(value []byte) bool {
	for _, b := range value {
		if b < ' ' && b != '\t' || b == 0x7f {
			return false
		}
	}
	return true
}
