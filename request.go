package websocket

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// The opening handshake as a server reads it straight from the network, without
// net/http in between.

// readRequest reads an HTTP/1.1 request header from nc, and returns what came behind
// it as rest. A request that is not to be answered by 101 comes back as *refusal.
func readRequest(nc net.Conn) (r *http.Request, rest []byte, err error) {
	var s headerScanner
	p := make([]byte, 0, 4<<10)
	for {
		n, readErr := nc.Read(p[len(p):cap(p)])
		p = p[:len(p)+n]
		end, err := s.scan(p)
		switch {
		case err != nil:
			return nil, nil, err
		case end > 0:
			r, err := parseRequest(nc, p[:end])
			return r, append([]byte(nil), p[end:]...), err
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

// parseRequest makes a Request of a header that headerScanner let pass.
func parseRequest(nc net.Conn, header []byte) (*http.Request, error) {
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(header)))
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "malformed request: %v", err)
	}
	if r.ProtoMajor != 1 {
		return nil, refuse(http.StatusHTTPVersionNotSupported, "%s on an HTTP/1.1 connection", r.Proto)
	}
	r.RemoteAddr = nc.RemoteAddr().String()
	if tc, ok := nc.(*tls.Conn); ok {
		state := tc.ConnectionState()
		r.TLS = &state
	}
	return r, nil
}

// headerScanner finds the end of a request header while its bytes come in, and
// refuses the first line that is not strict HTTP/1.1 (RFC 9112, sections 2 to 5).
type headerScanner struct {
	line     int // where the line begins that is not complete yet
	searched int // no line feed from there up to here
	lines    int // complete lines so far
	hosts    int // Host lines among them
}

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
		case s.lines == 0:
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
		s.lines++
		s.line, s.searched = end, end
	}
}

// checkRequestLine leaves to http.ReadRequest all but the bytes that nobody may send.
func checkRequestLine(line []byte) error {
	if len(line) == 0 || bytes.ContainsFunc(line, func(b rune) bool { return b < ' ' || b == 0x7f }) {
		return refuse(http.StatusBadRequest, "malformed request line")
	}
	return nil
}

// checkFieldLine wants a token right before the colon, which also refuses a folded
// line (RFC 9112, section 5.2), and no control bytes behind it.
func (s *headerScanner) checkFieldLine(line []byte) error {
	name, value, ok := strings.Cut(string(line), ":")
	if !ok || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
		return refuse(http.StatusBadRequest, "malformed request header line")
	}
	if strings.EqualFold(name, "Host") {
		if s.hosts++; s.hosts > 1 {
			return refuse(http.StatusBadRequest, "more than one Host header")
		}
	}
	return nil
}
