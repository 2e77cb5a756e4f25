package conformance

import (
	"bufio"
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAcceptKey(t *testing.T) {
	t.Parallel()
	require.Equal(t, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", acceptKey("dGhlIHNhbXBsZSBub25jZQ==")) // RFC 6455 section 1.3
}

const goodRequest = "GET /runCase?case=1 HTTP/1.1\r\nHost: localhost\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

func TestReadRequest(t *testing.T) {
	t.Parallel()
	o, err := readRequest(bufio.NewReader(strings.NewReader(goodRequest)))
	require.NoError(t, err)
	require.Equal(t, "/runCase", o.target.Path)
	require.Equal(t, "1", o.target.Query().Get("case"))

	for _, c := range []struct{ old, changed, wrong string }{
		{"GET", "POST", "not a GET"},
		{"HTTP/1.1", "HTTP/1.0", "not a GET"},
		{"Host: localhost\r\n", "", "not a GET"},
		{"WebSocket\r\n", "h2c\r\n", "does not upgrade"},
		{"keep-alive, Upgrade", "keep-alive", "does not upgrade"},
		{"Version: 13", "Version: 8", "not 13"},
		{"dGhlIHNhbXBsZSBub25jZQ==", "dGhlIA==", "16 octets"},
		{"dGhlIHNhbXBsZSBub25jZQ==", "%", "16 octets"},
		{"\r\n\r\n", "\r\n", "EOF"},
	} {
		t.Run(c.old+" to "+c.changed, func(t *testing.T) {
			t.Parallel()
			_, err := readRequest(bufio.NewReader(strings.NewReader(strings.Replace(goodRequest, c.old, c.changed, 1))))
			require.ErrorContains(t, err, c.wrong)
		})
	}
}

func TestOpenAsClient(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, old, changed, wrong string }{
		{name: "as it should be"},
		{"status", "101 Switching Protocols", "200 OK", "200 OK"},
		{"upgrade", "Upgrade: websocket", "Upgrade: h2c", "does not upgrade"},
		{"connection", "Connection: Upgrade", "Connection: close", "does not upgrade"},
		{"accept", "Accept: ", "Accept: x", "does not fit the key"},
		{"subprotocol", "Upgrade: websocket", "Upgrade: websocket\r\nSec-WebSocket-Protocol: chat", "nobody asked"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ours, theirs := net.Pipe()
			defer func() { _ = ours.Close() }()
			go func() {
				defer func() { _ = theirs.Close() }()
				o, err := readRequest(bufio.NewReader(theirs))
				if err != nil {
					return
				}
				response := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
					acceptKey(o.header.Get("Sec-WebSocket-Key")) + "\r\nSec-WebSocket-Extensions: " + o.header.Get("Sec-WebSocket-Extensions") + "\r\n\r\n"
				_, _ = theirs.Write([]byte(strings.Replace(response, c.old, c.changed, 1)))
			}()
			target, err := url.Parse("ws://localhost/")
			require.NoError(t, err)
			o, err := openAsClient(ours, bufio.NewReader(ours), target, []string{terms{}.String()})
			if c.wrong != "" {
				require.ErrorContains(t, err, c.wrong)
				return
			}
			require.NoError(t, err)
			require.Equal(t, []string{"permessage-deflate"}, o.header["Sec-Websocket-Extensions"])
		})
	}
}
