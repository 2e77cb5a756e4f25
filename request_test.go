package websocket

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"
)

// malformedRequests are refused with 400 before they are a Request, as edits of
// plainRequest.
var malformedRequests = []struct{ name, old, new string }{
	{"empty line first", "GET", "\r\nGET"},
	{"bare LF", "\r\nUpgrade:", "\nUpgrade:"},
	{"bare CR", "Upgrade: websocket", "Upgrade: web\rsocket"},
	{"CR CR LF", "\r\nUpgrade:", "\r\r\nUpgrade:"},
	{"NUL in a value", "Upgrade: websocket", "Upgrade: web\x00socket"},
	{"NUL in a name", "Upgrade: websocket", "Up\x00grade: websocket"},
	{"NUL in the request line", "/chat", "/ch\x00at"},
	{"DEL in the request line", "/chat", "/ch\x7fat"},
	{"blank before the colon", "Upgrade: websocket", "Upgrade : websocket"},
	{"folded line", "Upgrade: websocket", "Upgrade:\r\n websocket"},
	{"no colon", "Upgrade: websocket", "Upgrade websocket"},
	{"no name", "Upgrade: websocket", ": websocket"},
	{"no Host", "Host: server.example.com\r\n", ""},
	{"no Host with an absolute target", "GET /chat HTTP/1.1\r\nHost: server.example.com", "GET http://server.example.com/chat HTTP/1.1"},
	{"two Hosts", "Upgrade:", "host: server.example.com\r\nUpgrade:"},
	{"no version in the request line", " HTTP/1.1", ""},
	{"two blanks in the request line", "GET /chat", "GET  /chat"},
	{"method that is no token", "GET", "G(T"},
	{"Content-Length that is no number", "Upgrade:", "Content-Length: 5x\r\nUpgrade:"},
	{"two Content-Lengths", "Upgrade:", "Content-Length: 5\r\nContent-Length: 6\r\nUpgrade:"},
	{"unknown Transfer-Encoding", "Upgrade:", "Transfer-Encoding: gzip\r\nUpgrade:"},
}

func TestUpgradeConn(t *testing.T) {
	t.Parallel()
	check := func(t *testing.T, u Upgrader, raw string, status int, want Negotiated) {
		t.Parallel()
		for name, r := range map[string]io.Reader{
			"whole":   strings.NewReader(raw),
			"by byte": iotest.OneByteReader(strings.NewReader(raw)),
			"halves":  iotest.HalfReader(strings.NewReader(raw)),
		} {
			nc := &scriptedConn{Reader: r}
			c, req, err := u.UpgradeConn(nc)
			outcome{c, req, err}.require(t, status, want)
			if status == 101 {
				require.False(t, nc.closed.Load(), name)
			} else {
				nc.requireClosed(t)
			}
			require.Equal(t, 1, nc.writes, name)
			resp := parsedResponse(t, nc.written.String())
			requireAnswer(t, resp, status)
		}
	}
	for _, tt := range openingCases {
		if tt.status == 0 {
			tt.status = 101
		}
		t.Run(tt.name, func(t *testing.T) {
			check(t, Upgrader{}, edit(t, plainRequest, tt.old, tt.new), tt.status, Negotiated{})
		})
	}
	for _, tt := range policyCases {
		t.Run(tt.name, func(t *testing.T) {
			check(t, tt.u, edit(t, plainRequest, tt.old, tt.new), tt.status, tt.want)
		})
	}
	for _, tt := range malformedRequests {
		t.Run(tt.name, func(t *testing.T) {
			check(t, Upgrader{}, edit(t, plainRequest, tt.old, tt.new), 400, Negotiated{})
		})
	}
	t.Run("HTTP/2", func(t *testing.T) {
		check(t, Upgrader{}, edit(t, plainRequest, "HTTP/1.1", "HTTP/2.0"), 505, Negotiated{})
	})
	t.Run("header of 64 KiB", func(t *testing.T) {
		filler := strings.Repeat("x", maxHandshake-len(plainRequest)-len("X: \r\n"))
		check(t, Upgrader{}, edit(t, plainRequest, "Upgrade:", "X: "+filler+"\r\nUpgrade:"), 101, Negotiated{})
	})
	t.Run("header over 64 KiB", func(t *testing.T) {
		filler := strings.Repeat("x", maxHandshake-len(plainRequest)-len("X: \r\n")+1)
		check(t, Upgrader{}, edit(t, plainRequest, "Upgrade:", "X: "+filler+"\r\nUpgrade:"), 431, Negotiated{})
	})
	t.Run("header of blanks", func(t *testing.T) {
		check(t, Upgrader{}, edit(t, plainRequest, "Upgrade:", "Sec-WebSocket-Extensions: a"+strings.Repeat(" ", 60<<10)+"b\r\nUpgrade:"), 400, Negotiated{})
	})
}

func TestUpgradeConnRequest(t *testing.T) {
	t.Parallel()
	nc := &scriptedConn{Reader: strings.NewReader(edit(t, plainRequest, "/chat", "/chat?room=1") + "early")}
	c, r, err := new(Upgrader).UpgradeConn(nc)
	require.NoError(t, err)
	require.Equal(t, "early", early(c))
	require.Equal(t, "room=1", r.URL.RawQuery)
	require.Equal(t, "server.example.com", r.Host)
	require.Equal(t, "192.0.2.1:1234", r.RemoteAddr)
	require.Nil(t, r.TLS)
	require.Equal(t, plainAnswer, nc.written.String())
	require.Zero(t, nc.deadlines[len(nc.deadlines)-1])
}

func TestUpgradeConnReadErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		r    io.Reader
		want error
	}{
		{"nothing", strings.NewReader(""), io.EOF},
		{"half a header", strings.NewReader(plainRequest[:50]), io.ErrUnexpectedEOF},
		{"timeout", iotest.ErrReader(os.ErrDeadlineExceeded), os.ErrDeadlineExceeded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			nc := &scriptedConn{Reader: tt.r}
			c, r, err := new(Upgrader).UpgradeConn(nc)
			require.Nil(t, c)
			require.Nil(t, r)
			require.ErrorIs(t, err, tt.want)
			nc.requireClosed(t)
			require.Zero(t, nc.writes)
		})
	}
}

func TestUpgradeConnTimeout(t *testing.T) {
	t.Parallel()
	client, server := net.Pipe()
	defer client.Close()
	u := Upgrader{HandshakeTimeout: time.Nanosecond}
	_, _, err := u.UpgradeConn(server)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
}

// The peer is still sending when it is refused, and must get to read why.
func TestUpgradeConnRefusalIsNotReset(t *testing.T) {
	t.Parallel()
	l := listen(t)
	errs := make(chan error, 1)
	go func() {
		nc, err := l.Accept()
		if err == nil {
			_, _, err = new(Upgrader).UpgradeConn(nc)
		}
		errs <- err
	}()
	_, resp, br := ask(t, l.Addr().String(), "GET / HTTP/1.1\r\nX: "+strings.Repeat("x", 2*maxHandshake))
	requireAnswer(t, resp, 431)
	_, err := io.Copy(io.Discard, br)
	require.NoError(t, err)
	require.NoError(t, l.Close())
}

func TestUpgradeConnTLS(t *testing.T) {
	t.Parallel()
	srv := httptest.NewUnstartedServer(nil)
	srv.StartTLS()
	defer srv.Close()
	client, server := net.Pipe()
	defer client.Close()
	go func() {
		tc := tls.Client(client, &tls.Config{InsecureSkipVerify: true})
		io.WriteString(tc, plainRequest)
		io.Copy(io.Discard, tc)
	}()
	u := Upgrader{AllowedHosts: []string{"https://server.example.com"}}
	c, r, err := u.UpgradeConn(tls.Server(server, srv.TLS))
	require.NoError(t, err)
	require.True(t, r.TLS.HandshakeComplete)
	require.IsType(t, &tls.Conn{}, c.NetConn())
}

// Whatever comes in: no panic, and either a connection that stays open, or an answer
// or an error and a connection that is closed.
func FuzzHandshakeRequest(f *testing.F) {
	for _, tt := range openingCases {
		f.Add([]byte(edit(f, plainRequest, tt.old, tt.new)))
	}
	for _, tt := range policyCases {
		f.Add([]byte(edit(f, plainRequest, tt.old, tt.new)))
	}
	for _, tt := range malformedRequests {
		f.Add([]byte(edit(f, plainRequest, tt.old, tt.new)))
	}
	f.Add([]byte(plainRequest + "\x81\x80\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		nc := &scriptedConn{Reader: bytes.NewReader(raw)}
		c, r, err := new(Upgrader).UpgradeConn(nc)
		if err != nil {
			require.Nil(t, c)
			nc.requireClosed(t)
			if _, refused := err.(HandshakeError); refused {
				resp := parsedResponse(t, nc.written.String())
				require.GreaterOrEqual(t, resp.StatusCode, 400)
			}
			return
		}
		require.False(t, nc.closed.Load())
		require.NotNil(t, r)
		require.True(t, bytes.HasSuffix(raw, []byte("\r\n\r\n"+early(c))))
		require.True(t, strings.HasPrefix(nc.written.String(), "HTTP/1.1 101 "))
	})
}
