package conformance

import (
	"bufio"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"net/url"
	"strings"

	"github.com/duplexkit/websocket/internal/h2wire"
)

// acceptKey answers a Sec-WebSocket-Key (section 4.2.2).
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// opening is what both sides of an opening handshake said.
type opening struct {
	request, response string // as sent, for the report
	target            *url.URL
	header            textproto.MIMEHeader // of the other end
}

// openAsClient asks the server for a WebSocket connection. offers go out as they are, one header line each.
func openAsClient(conn net.Conn, br *bufio.Reader, target *url.URL, offers []string) (*opening, error) {
	var nonce [16]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		return nil, err
	}
	key := base64.StdEncoding.EncodeToString(nonce[:])
	var b strings.Builder
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: %s\r\n", target.RequestURI(), target.Host)
	fmt.Fprintf(&b, "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n", key)
	for _, offer := range offers {
		fmt.Fprintf(&b, "Sec-WebSocket-Extensions: %s\r\n", offer)
	}
	b.WriteString("\r\n")
	o := &opening{request: b.String(), target: target}
	if _, err := conn.Write([]byte(o.request)); err != nil {
		return o, err
	}

	status, header, err := readHead(br)
	if err != nil {
		return o, err
	}
	o.response, o.header = headText(status, header), header
	switch {
	case !strings.HasPrefix(status, "HTTP/1.1 101"):
		return o, fmt.Errorf("the server answers %q", status)
	case !strings.EqualFold(header.Get("Upgrade"), "websocket") || !hasToken(header["Connection"], "upgrade"):
		return o, errors.New("the answer does not upgrade to websocket (section 4.1)")
	case header.Get("Sec-WebSocket-Accept") != acceptKey(key):
		return o, errors.New("Sec-WebSocket-Accept does not fit the key (section 4.1)")
	case header.Get("Sec-WebSocket-Protocol") != "":
		return o, errors.New("a subprotocol nobody asked for (section 4.1)")
	}
	return o, nil
}

// receive reads a client's opening handshake, whatever carries it.
func receive(conn net.Conn, br *bufio.Reader) (*opening, error) {
	if stream, ok := conn.(*h2wire.Stream); ok {
		return requestOver(stream)
	}
	return readRequest(br)
}

// readRequest reads a client's opening handshake.
func readRequest(br *bufio.Reader) (*opening, error) {
	line, header, err := readHead(br)
	if err != nil {
		return nil, err
	}
	o := &opening{request: headText(line, header), header: header}
	method, rest, _ := strings.Cut(line, " ")
	uri, _, _ := strings.Cut(rest, " ")
	if o.target, err = url.ParseRequestURI(uri); err != nil {
		return o, err
	}
	nonce, err := base64.StdEncoding.DecodeString(header.Get("Sec-WebSocket-Key"))
	switch {
	case method != "GET" || !strings.HasSuffix(rest, "HTTP/1.1") || header.Get("Host") == "":
		return o, errors.New("not a GET request of HTTP/1.1 (section 4.2.1)")
	case !hasToken(header["Upgrade"], "websocket") || !hasToken(header["Connection"], "upgrade"):
		return o, errors.New("the request does not upgrade to websocket (section 4.2.1)")
	case header.Get("Sec-WebSocket-Version") != "13":
		return o, errors.New("Sec-WebSocket-Version is not 13 (section 4.2.1)")
	case err != nil || len(nonce) != 16:
		return o, errors.New("Sec-WebSocket-Key is not 16 octets of base64 (section 4.2.1)")
	}
	return o, nil
}

// answer accepts the request, with the extensions given.
func (o *opening) answer(conn net.Conn, extensions []string) error {
	if stream, ok := conn.(*h2wire.Stream); ok {
		return o.answerOver(stream, extensions)
	}
	var b strings.Builder
	b.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
	fmt.Fprintf(&b, "Sec-WebSocket-Accept: %s\r\n", acceptKey(o.header.Get("Sec-WebSocket-Key")))
	for _, extension := range extensions {
		fmt.Fprintf(&b, "Sec-WebSocket-Extensions: %s\r\n", extension)
	}
	b.WriteString("\r\n")
	o.response = b.String()
	_, err := conn.Write([]byte(o.response))
	return err
}

// refuse answers a request that does not open a WebSocket connection.
func refuse(conn net.Conn, why error) {
	body := fmt.Sprintf("This is a WebSocket conformance server: %v.\n", why)
	if stream, ok := conn.(*h2wire.Stream); ok {
		refuseOver(stream, body)
		return
	}
	_, _ = fmt.Fprintf(conn, "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(body), body)
}

func readHead(br *bufio.Reader) (first string, header textproto.MIMEHeader, err error) {
	r := textproto.NewReader(br)
	if first, err = r.ReadLine(); err != nil {
		return "", nil, err
	}
	header, err = r.ReadMIMEHeader()
	return first, header, err
}

func headText(first string, header textproto.MIMEHeader) string {
	var b strings.Builder
	b.WriteString(first + "\r\n")
	for name, values := range header {
		for _, value := range values {
			b.WriteString(name + ": " + value + "\r\n")
		}
	}
	return b.String()
}

func hasToken(lines []string, token string) bool {
	for _, line := range lines {
		for part := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(part), token) {
				return true
			}
		}
	}
	return false
}
