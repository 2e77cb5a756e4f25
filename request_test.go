package websocket

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http/httpguts"

	"github.com/duplexkit/websocket/internal/sock"
	"github.com/duplexkit/websocket/internal/wstest"
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
		if tt.name == "HEAD" { // its answer has no body: TestUpgradeConnRefusesHEADWithoutBody
			continue
		}
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

// "The HEAD method is identical to GET except that the server MUST NOT send content in
// the response" (RFC 9110, section 9.3.2): a client would take it for the next one.
func TestUpgradeConnRefusesHEADWithoutBody(t *testing.T) {
	t.Parallel()
	nc := &scriptedConn{Reader: strings.NewReader(edit(t, plainRequest, "GET", "HEAD"))}
	_, _, err := new(Upgrader).UpgradeConn(nc)
	require.ErrorAs(t, err, new(HandshakeError))
	header, body, _ := strings.Cut(nc.written.String(), "\r\n\r\n")
	require.Contains(t, header, "HTTP/1.1 405 ")
	require.Contains(t, header, "\r\nContent-Length: 19")
	require.Empty(t, body)
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

// browserRequest is what a browser sends, less what depends on the Upgrader.
const browserRequest = "GET /chat/1234?token=0123456789abcdef HTTP/1.1\r\n" +
	"Host: server.example.com:8080\r\n" +
	"Connection: Upgrade\r\n" +
	"Pragma: no-cache\r\n" +
	"Cache-Control: no-cache\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36\r\n" +
	"Upgrade: websocket\r\n" +
	"Origin: https://server.example.com:8080\r\n" +
	"Sec-WebSocket-Version: 13\r\n" +
	"Accept-Encoding: gzip, deflate, br, zstd\r\n" +
	"Accept-Language: en-US,en;q=0.9\r\n" +
	"Cookie: session=0123456789abcdef0123456789abcdef\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
	"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n" +
	"\r\n"

// requestCases are requests that are not malformed, as edits of browserRequest.
var requestCases = []struct {
	name     string
	old, new string
	long     bool // the way by http.ReadRequest
}{
	{"as it is", "", "", false},
	{"root", "/chat/1234?token=0123456789abcdef", "/", false},
	{"two slashes", "/chat/1234", "//chat//1234", false},
	{"every byte that a path may have", "/chat/1234", "/aZ09-._~$&+,/:;=@", false},
	{"query not ASCII", "token=", "t\xc3\xb6ken=%zz?#&", false},
	{"empty query", "token=0123456789abcdef", "", true},
	{"escaped path", "/chat/1234", "/ch%61t/%2F", true},
	{"path that gets escaped", "/chat/1234", "/chat(1234)", true},
	{"path not ASCII", "/chat/1234", "/ch\xc3\xa4t", true},
	{"fragment", "/chat/1234", "/chat#1234", true},
	{"absolute target", "/chat/1234", "http://user@other.example.com/chat", true},
	{"asterisk", "/chat/1234?token=0123456789abcdef", "*", true},
	{"POST", "GET", "POST", true},
	{"CONNECT", "GET /chat/1234?token=0123456789abcdef", "CONNECT server.example.com:80", true},
	{"HTTP/1.0", "HTTP/1.1", "HTTP/1.0", true},
	{"HTTP/1.2", "HTTP/1.1", "HTTP/1.2", true},
	{"blanks around values", "Upgrade: websocket", "Upgrade:\t websocket \t", false},
	{"no blanks", "Upgrade: websocket", "Upgrade:websocket", false},
	{"empty value", "Upgrade: websocket", "Upgrade:", false},
	{"tab and not ASCII in a value", "Upgrade: websocket", "Upgrade: web\tsock\xffet", false},
	{"names in lower case", "Sec-WebSocket-Key", "sec-websocket-key", false},
	{"names in upper case", "Sec-WebSocket-Key", "SEC-WEBSOCKET-KEY", false},
	{"names of odd tokens", "Upgrade:", "a!#$%&'*+-.^_`|~1--B: x\r\nUpgrade:", false},
	{"host in lower case", "Host:", "host:", false},
	{"empty host", "Host: server.example.com:8080", "Host:", false},
	{"two of a field", "Upgrade:", "x-a: 1\r\nX-A: 2\r\nUpgrade:", true},
	{"Pragma alone", "Cache-Control: no-cache\r\n", "", false},
	{"another Pragma alone", "Pragma: no-cache\r\nCache-Control: no-cache", "Pragma: x", false},
	{"Connection: close", "Connection: Upgrade", "Connection: close, Upgrade", false},
	{"Connection: close in two lines", "Connection: Upgrade", "Connection: Upgrade\r\nConnection: close", true},
	{"Content-Length 0", "Upgrade:", "Content-Length: 0\r\nUpgrade:", true},
	{"Content-Length twice the same", "Upgrade:", "Content-Length: 0\r\nContent-Length: 0\r\nUpgrade:", true},
	{"Trailer", "Upgrade:", "Trailer: X\r\nUpgrade:", true},
	{"16 fields", "Upgrade:", numberedFields(3) + "Upgrade:", false},
	{"17 fields", "Upgrade:", numberedFields(4) + "Upgrade:", false},
	{"32 fields", "Upgrade:", numberedFields(19) + "Upgrade:", false},
	{"33 fields", "Upgrade:", numberedFields(20) + "Upgrade:", true},
	{"long", "Upgrade:", "X: " + strings.Repeat("x", maxShared) + "\r\nUpgrade:", true},
}

func numberedFields(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "X-%d: %d\r\n", i, i)
	}
	return b.String()
}

// readOpening is readRequest, and whether it took the short way.
func readOpening(t testing.TB, raw string) (r *http.Request, short bool, err error) {
	t.Helper()
	nc := &scriptedConn{Reader: strings.NewReader(raw)}
	buf := borrowBuffer(0)
	defer buf.giveBack()
	hc := handshakeConn{nc: nc, u: new(Upgrader)}
	if r, _, err = hc.readRequest(buf); err != nil {
		require.Nil(t, r)
		return nil, false, err
	}
	s, p := headerScanner{fields: -1}, []byte(raw)
	end, err := s.scan(p)
	require.NoError(t, err)
	again := s.parseOpening(p[:end], nc.RemoteAddr())
	if again != nil {
		require.Equal(t, r, again)
	}
	for i := range p { // nothing of it is in r
		p[i] = 'x'
	}
	if again != nil {
		require.Equal(t, r, again)
	}
	return r, again != nil, nil
}

// requireAsNetHTTP checks that r is what net/http makes of raw.
func requireAsNetHTTP(t testing.TB, raw string, r *http.Request) {
	t.Helper()
	want, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
	require.NoError(t, err)
	want.RemoteAddr = "192.0.2.1:1234"
	if want.ContentLength != 0 || want.TransferEncoding != nil { // its reader is another
		require.IsType(t, want.Body, r.Body)
		want.Body, r.Body = nil, nil
	}
	require.Equal(t, want, r)
}

func TestRequestAsNetHTTP(t *testing.T) {
	t.Parallel()
	for _, tt := range requestCases {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			raw := edit(t, browserRequest, tt.old, tt.new)
			r, short, err := readOpening(t, raw)
			require.NoError(t, err)
			require.Equal(t, !tt.long, short)
			requireAsNetHTTP(t, raw, r)
		})
	}
}

// A request that is let pass is the one that net/http would have read.
func FuzzRequestAsNetHTTP(f *testing.F) {
	for _, tt := range requestCases {
		f.Add(edit(f, browserRequest, tt.old, tt.new))
	}
	for _, tt := range openingCases {
		f.Add(edit(f, plainRequest, tt.old, tt.new))
	}
	for _, tt := range malformedRequests {
		f.Add(edit(f, plainRequest, tt.old, tt.new))
	}
	f.Fuzz(func(t *testing.T, raw string) {
		r, _, err := readOpening(t, raw)
		if err == nil {
			requireAsNetHTTP(t, raw, r)
		}
	})
}

func TestRequestHeaderValuesAreApart(t *testing.T) {
	t.Parallel()
	r, short, err := readOpening(t, browserRequest)
	require.NoError(t, err)
	require.True(t, short)
	want := r.Header.Clone()
	for k := range r.Header {
		_ = append(r.Header[k], "x")
	}
	require.Equal(t, want, r.Header)
}

func TestAppendAddr(t *testing.T) {
	t.Parallel()
	for _, addr := range []net.Addr{
		&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1234},
		&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1).To4(), Port: 65535},
		&net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Port: 80},
		&net.TCPAddr{IP: net.ParseIP("fe80::1"), Port: 80, Zone: "eth0"},
		&net.TCPAddr{IP: net.IPv6unspecified},
		&net.TCPAddr{IP: net.IP{1, 2, 3}, Port: 80},
		&net.TCPAddr{Port: 80},
		&net.TCPAddr{},
		(*net.TCPAddr)(nil),
		&net.UnixAddr{Name: "/socket", Net: "unix"},
		&net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1234},
	} {
		require.Equal(t, "x"+addr.String(), string(appendAddr([]byte("x"), addr)))
	}
}

func TestCanonicalize(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"Host", "hOST", "SEC-WEBSOCKET-KEY", "sec-websocket-key", "-a--B-", "a1b", "1a", "X_y", "!#$%&'*+-.^_`|~",
		"a b", "a:", "\x00", "a\x7f", "\xc3\xa4", "a\r", "",
	} {
		got := []byte(name)
		if valid := canonicalize(got); valid {
			require.Equal(t, http.CanonicalHeaderKey(name), string(got))
		} else {
			require.False(t, httpguts.ValidHeaderFieldName(name), name)
		}
	}
}

func TestValidFieldValue(t *testing.T) {
	t.Parallel()
	for length := range 25 {
		for at := range length {
			for _, around := range []byte{0x80, ' ', 'x', '~', '\t', 0xff} {
				value := bytes.Repeat([]byte{around}, length)
				for b := range 256 {
					value[at] = byte(b)
					if want := httpguts.ValidHeaderFieldValue(string(value)); want != validFieldValue(value) {
						require.Equal(t, want, !want, "%q", value)
					}
				}
			}
		}
	}
}

// upgradeOverTCP has u upgrade a connection that talk plays the client of.
func upgradeOverTCP(t testing.TB, u *Upgrader, prepare func(near, far *net.TCPConn), talk func(nc *net.TCPConn)) (*Conn, *http.Request, error) {
	t.Helper()
	near, far := wstest.TCP(t)
	prepare(near, far)
	done := make(chan bool)
	go func() {
		defer close(done)
		talk(far)
	}()
	c, r, err := u.UpgradeConn(near)
	<-done
	return c, r, err
}

// leaveNoRoom writes to nc until it takes no more.
func leaveNoRoom(nc *net.TCPConn) {
	nc.SetDeadline(time.Now().Add(10 * time.Millisecond))
	for err := error(nil); err == nil; {
		_, err = nc.Write(make([]byte, 64<<10))
	}
	nc.SetDeadline(time.Time{})
	raw := sock.Raw(nc)
	for err := error(nil); raw != nil && err == nil; {
		_, err = sock.TryWrite(raw, []byte("x"))
	}
}

// A plain socket is read and written without waiting if possible.
func TestUpgradeConnOverTCP(t *testing.T) {
	t.Parallel()
	send := func(parts ...string) func(*net.TCPConn) {
		return func(nc *net.TCPConn) {
			for _, part := range parts {
				io.WriteString(nc, part)
			}
		}
	}
	for _, tt := range []struct {
		name    string
		prepare func(near, far *net.TCPConn)
		talk    func(nc *net.TCPConn)
	}{
		{"at once", func(_, _ *net.TCPConn) {}, send(browserRequest)},
		{"with frames", func(_, _ *net.TCPConn) {}, send(browserRequest + "early")},
		{"in pieces", func(_, _ *net.TCPConn) {}, send(strings.Split(browserRequest, "")...)},
		{"large", func(_, _ *net.TCPConn) {}, send(edit(t, browserRequest, "Upgrade:", "X: "+strings.Repeat("x", 60<<10)+"\r\nUpgrade:"))},
		{"earlier deadline", func(near, _ *net.TCPConn) { near.SetDeadline(time.Unix(1, 0)) }, send(browserRequest)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, r, err := upgradeOverTCP(t, &Upgrader{HandshakeTimeout: time.Minute}, tt.prepare, func(nc *net.TCPConn) {
				tt.talk(nc)
				resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
				if err == nil && resp.StatusCode == 101 {
					io.WriteString(nc, "late")
				}
			})
			require.NoError(t, err)
			require.Equal(t, "0123456789abcdef", r.URL.Query().Get("token"))
			require.Equal(t, c.NetConn().RemoteAddr().String(), r.RemoteAddr)
			got := []byte(early(c))
			for !bytes.HasSuffix(got, []byte("late")) { // no deadline is left
				p := make([]byte, 16)
				n, err := c.NetConn().Read(p)
				require.NoError(t, err)
				got = append(got, p[:n]...)
			}
			require.NoError(t, c.Close())
		})
	}
}

func TestUpgradeConnOverTCPFails(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		prepare func(near, far *net.TCPConn)
		talk    func(nc *net.TCPConn)
		want    error
		message string
	}{
		{"nothing", func(_, far *net.TCPConn) { far.CloseWrite() }, func(*net.TCPConn) {}, io.EOF, "reading the opening handshake"},
		{"half a header", func(_, _ *net.TCPConn) {}, func(nc *net.TCPConn) { io.WriteString(nc, browserRequest[:50]); nc.CloseWrite() }, io.ErrUnexpectedEOF, "reading the opening handshake"},
		{"timeout", func(_, _ *net.TCPConn) {}, func(nc *net.TCPConn) { io.WriteString(nc, browserRequest[:50]) }, os.ErrDeadlineExceeded, "reading the opening handshake"},
		{"closed", func(near, _ *net.TCPConn) { near.Close() }, func(*net.TCPConn) {}, net.ErrClosed, "use of closed network connection"},
		{
			"a peer that does not read", func(near, far *net.TCPConn) {
				io.WriteString(far, browserRequest)
				leaveNoRoom(near)
			}, func(*net.TCPConn) {}, os.ErrDeadlineExceeded, "write tcp",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var nc net.Conn
			c, r, err := upgradeOverTCP(t, &Upgrader{HandshakeTimeout: 10 * time.Millisecond}, func(near, far *net.TCPConn) {
				nc = near
				tt.prepare(near, far)
			}, tt.talk)
			require.Nil(t, c)
			require.ErrorIs(t, err, tt.want)
			require.ErrorContains(t, err, tt.message)
			require.Equal(t, strings.HasPrefix(tt.message, "write"), r != nil)
			require.ErrorIs(t, nc.SetDeadline(time.Time{}), net.ErrClosed)
		})
	}
}

// A refusal that cannot be written is returned all the same.
func TestUpgradeConnRefusalNotWritten(t *testing.T) {
	t.Parallel()
	nc := &scriptedConn{Reader: strings.NewReader(edit(t, plainRequest, "GET", "POST")), writeErr: os.ErrDeadlineExceeded}
	_, r, err := new(Upgrader).UpgradeConn(nc)
	require.IsType(t, HandshakeError{}, err)
	require.Equal(t, "POST", r.Method)
	nc.requireClosed(t)
}

// A refusal has the deadline of the handshake, and no other.
func TestUpgradeConnRefusesOverTCP(t *testing.T) {
	t.Parallel()
	request := edit(t, browserRequest, "GET", "POST")
	t.Run("earlier deadline", func(t *testing.T) {
		t.Parallel()
		var answer []byte
		_, r, err := upgradeOverTCP(t, new(Upgrader), func(near, far *net.TCPConn) {
			io.WriteString(far, request)
			near.SetDeadline(time.Unix(1, 0))
		}, func(far *net.TCPConn) { answer, _ = io.ReadAll(far) })
		require.IsType(t, HandshakeError{}, err)
		require.Equal(t, "POST", r.Method)
		requireAnswer(t, parsedResponse(t, string(answer)), 405)
	})
	t.Run("peer that does not read", func(t *testing.T) {
		t.Parallel()
		var nc *net.TCPConn
		_, _, err := upgradeOverTCP(t, &Upgrader{HandshakeTimeout: 10 * time.Millisecond}, func(near, far *net.TCPConn) {
			nc = near
			io.WriteString(far, request)
			leaveNoRoom(near)
		}, func(*net.TCPConn) {})
		require.IsType(t, HandshakeError{}, err)
		require.ErrorIs(t, nc.SetDeadline(time.Time{}), net.ErrClosed)
	})
}

// A peer that has reset the connection is told from one that has ended it.
func TestUpgradeConnReset(t *testing.T) {
	t.Parallel()
	for _, sent := range []string{"", browserRequest} {
		near, far := wstest.TCP(t)
		_, err := io.WriteString(far, sent)
		require.NoError(t, err)
		require.NoError(t, far.SetLinger(0))
		require.NoError(t, far.Close())
		_, _, err = new(Upgrader).UpgradeConn(near)
		var op *net.OpError
		require.ErrorAs(t, err, &op)
		require.NotErrorIs(t, err, io.EOF)
		require.Equal(t, near.RemoteAddr(), op.Addr)
	}
}

// A handshake that needs nobody else's memory makes these allocations: the Request
// with its URL and values, its text, and the map, which takes four from nine fields on.
func TestUpgradeConnAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("pools forget under the race detector; run without -race")
	}
	for _, tt := range []struct {
		name string
		raw  string
		u    Upgrader
		want float64
	}{
		{"plain", plainRequest, Upgrader{}, 4},
		{"browser", browserRequest, Upgrader{}, 6},
		{"subprotocols", edit(t, browserRequest, "Upgrade:", "Sec-WebSocket-Protocol: chat\r\nUpgrade:"), Upgrader{Subprotocols: []string{"chat"}}, 7},
		{"allowed origin", browserRequest, Upgrader{AllowedOrigins: []string{"https://example.org", "https://*.example.com:8080"}, AllowedHosts: []string{"server.example.com:8080"}}, 6},
		{"permessage-deflate", browserRequest, Upgrader{EnableCompression: true}, 10},
	} {
		nc := &repeatingConn{raw: tt.raw}
		got := testing.AllocsPerRun(100, func() {
			nc.at = 0
			if _, _, err := tt.u.receive(newSocket(nc)); err != nil {
				t.Error(err)
			}
		})
		require.LessOrEqual(t, got, tt.want, tt.name)
	}
}

// repeatingConn reads raw from wherever it is put, and loses what it is given.
type repeatingConn struct {
	scriptedConn
	raw string
	at  int
}

func (c *repeatingConn) Read(p []byte) (int, error) {
	n := copy(p, c.raw[c.at:])
	c.at += n
	return n, nil
}

func (c *repeatingConn) Write(p []byte) (int, error)       { return len(p), nil }
func (c *repeatingConn) SetDeadline(time.Time) error       { return nil }
func (c *repeatingConn) RemoteAddr() net.Addr              { return repeatingAddr }
func (c *repeatingConn) SetReadDeadline(t time.Time) error { return nil }

var repeatingAddr = &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1234}

var upgradeBenchmarks = []struct {
	name string
	raw  string
	u    Upgrader
}{
	{"plain", plainRequest, Upgrader{}},
	{"browser", browserRequest, Upgrader{}},
	{"browser, deflate", browserRequest, Upgrader{EnableCompression: true}},
}

// BenchmarkUpgradeConn is the whole, "handshake" what of it is before the Conn.
func BenchmarkUpgradeConn(b *testing.B) {
	for _, bb := range upgradeBenchmarks {
		nc := &repeatingConn{raw: bb.raw}
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				nc.at = 0
				if _, _, err := bb.u.UpgradeConn(nc); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(bb.name+", handshake", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				nc.at = 0
				if _, _, err := bb.u.receive(newSocket(nc)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkUpgradeConnTCP takes connections from a listener, "floor" with no more
// than what the network needs. The client is part of it.
func BenchmarkUpgradeConnTCP(b *testing.B) {
	floor := func(nc net.Conn) error {
		buf := borrowBuffer(0)
		defer buf.giveBack()
		p := buf.b[:cap(buf.b)]
		for n := 0; !bytes.HasSuffix(p[:n], []byte("\r\n\r\n")); {
			more, err := nc.Read(p[n:])
			if err != nil {
				return err
			}
			n += more
		}
		if _, err := nc.Write(constantAnswer); err != nil {
			return err
		}
		return nc.Close()
	}
	b.Run("floor", func(b *testing.B) { benchmarkUpgrades(b, browserRequest, floor) })
	for _, bb := range upgradeBenchmarks {
		b.Run(bb.name, func(b *testing.B) {
			benchmarkUpgrades(b, bb.raw, func(nc net.Conn) error {
				c, _, err := bb.u.UpgradeConn(nc)
				if err != nil {
					return err
				}
				return c.Close()
			})
		})
	}
}

var constantAnswer = []byte(plainAnswer)

func benchmarkUpgrades(b *testing.B, raw string, serve func(nc net.Conn) error) {
	b.ReportAllocs()
	l := listen(b)
	errs := make(chan error, 1)
	for b.Loop() {
		go func() {
			nc, err := net.Dial("tcp", l.Addr().String())
			if err == nil {
				_, err = io.WriteString(nc, raw)
			}
			if err == nil {
				_, err = io.Copy(io.Discard, nc)
			}
			if err == nil {
				nc.(*net.TCPConn).SetLinger(0) // no TIME_WAIT
				err = nc.Close()
			}
			errs <- err
		}()
		nc, err := l.Accept()
		require.NoError(b, err)
		require.NoError(b, serve(nc))
		require.NoError(b, <-errs)
	}
}
