package hostile

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/internal/wstest"
)

// Attacks on the server's part of the opening handshake. What a lenient server lets pass is how a proxy in front of it is made to believe in
// a tunnel that the server never opened, and the other way round: so each request that must be refused has a second one and a frame glued
// behind it, and nobody may take those for a WebSocket.

// A front is a server that does nothing but open connections.
type front struct {
	door   door
	addr   string
	opened chan *websocket.Conn // that became a WebSocket
	ended  chan error           // why others did not
	paces  []pace               // at which attackers send
	tls    bool

	mu   sync.Mutex
	seen []string // the paths of the requests that reached the program
	over bool     // the test is
}

var fronts = []door{throughNetHTTP, throughConn}

// eachFront runs f against a server of each kind.
func eachFront(t *testing.T, f func(t *testing.T, d door)) {
	for _, d := range fronts {
		t.Run(string(d), func(t *testing.T) {
			t.Parallel()
			f(t, d)
		})
	}
}

// openFront starts a server that upgrades by u and ends with the test.
func openFront(t testing.TB, d door, u websocket.Upgrader) *front {
	return openFrontBehind(t, d, u, nil, nil)
}

// openFrontBehind has TLS in front of the server, if config is not nil, and middleware, if that is not nil and the server one of net/http.
func openFrontBehind(t testing.TB, d door, u websocket.Upgrader, config *tls.Config, middleware func(http.Handler) http.Handler) *front {
	t.Helper()
	ln := listen(t)
	if config != nil {
		ln = tls.NewListener(ln, config)
	}
	s := &front{
		door: d, addr: ln.Addr().String(), tls: config != nil, paces: []pace{atOnce, byteByByte},
		opened: make(chan *websocket.Conn, 256), ended: make(chan error, 256),
	}
	done := make(chan error, 1)
	if d == throughConn {
		go func() { done <- s.acceptAll(ln, &u) }()
	} else {
		var h http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.see(r)
			c, err := u.Upgrade(w, r, nil)
			s.outcome(c, err)
		})
		if middleware != nil {
			h = middleware(h)
		}
		server := &http.Server{Handler: h, ReadHeaderTimeout: patience, ErrorLog: log.New(io.Discard, "", 0)}
		go func() { done <- server.Serve(ln) }()
		t.Cleanup(func() { server.Close() })
	}
	t.Cleanup(func() {
		ln.Close()
		<-done
		s.mu.Lock()
		defer s.mu.Unlock()
		s.over = true
		for len(s.opened) > 0 {
			(<-s.opened).Close()
		}
	})
	return s
}

func (s *front) acceptAll(ln net.Listener, u *websocket.Upgrader) error {
	var open sync.WaitGroup
	defer open.Wait()
	for {
		nc, err := ln.Accept()
		if err != nil {
			return err
		}
		open.Go(func() {
			c, r, err := u.UpgradeConn(nc)
			if r != nil {
				s.see(r)
			}
			s.outcome(c, err)
		})
	}
}

func (s *front) see(r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, r.URL.Path)
}

func (s *front) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.seen...)
}

func (s *front) outcome(c *websocket.Conn, err error) {
	if err != nil {
		s.ended <- err
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over { // a handler that net/http does not wait for
		c.Close()
		return
	}
	s.opened <- c
}

// conn waits for the connection that the server opened.
func (s *front) conn(t testing.TB) *websocket.Conn {
	t.Helper()
	select {
	case c := <-s.opened:
		t.Cleanup(func() { c.Close() })
		return c
	case <-time.After(patience):
		t.Fatal("no connection")
		return nil
	}
}

// dial connects an attacker who gives up after some patience.
func (s *front) dial(t testing.TB) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", s.addr)
	require.NoError(t, err)
	t.Cleanup(func() { nc.Close() })
	require.NoError(t, nc.SetDeadline(time.Now().Add(patience)))
	if s.tls {
		nc = tls.Client(nc, &tls.Config{InsecureSkipVerify: true}) // an attacker is not afraid of others
	}
	return nc
}

// A pace is how an attacker sends.
type pace string

const (
	atOnce     pace = "at once"
	byteByByte pace = "byte by byte"
)

// send sends raw. That the server hangs up on the way is no error here.
func send(nc net.Conn, raw string, p pace) {
	step := len(raw)
	if p == byteByByte {
		step = 1
	}
	for len(raw) > 0 {
		n := min(step, len(raw))
		if _, err := io.WriteString(nc, raw[:n]); err != nil {
			return
		}
		raw = raw[n:]
	}
}

// smuggled is what stands behind a request that must be refused: a good one, and a frame.
var smuggled = strings.Replace(request(""), "/chat", "/smuggled", 1) + string(wstest.Frame{Opcode: wstest.Text, Payload: "smuggled"}.Masked())

// expectRefusal wants raw to be answered by status, once, and the connection to end without a tunnel.
func (s *front) expectRefusal(t testing.TB, raw string, status int) (resp *http.Response, body string) {
	t.Helper()
	for _, p := range s.paces {
		nc := s.dial(t)
		go func() {
			send(nc, raw, p)
			send(nc, smuggled, atOnce)
		}()
		all, err := io.ReadAll(nc)
		// An end by reset is an end, as long as the answer came before it.
		require.False(t, errors.Is(err, os.ErrDeadlineExceeded), "%s: the connection does not end; %q", p, all)
		nc.Close()
		resp, body = s.onlyResponse(t, all, strings.HasPrefix(raw, "HEAD "))
		require.Equal(t, status, resp.StatusCode, "%s: %q", p, all)
		s.expectNoTunnel(t)
	}
	return resp, body
}

// onlyResponse parses all that a server said, which must be one response and nothing behind it, and to HEAD no body either.
func (s *front) onlyResponse(t testing.TB, all []byte, head bool) (resp *http.Response, body string) {
	t.Helper()
	br := bufio.NewReader(bytes.NewReader(all))
	asked := &http.Request{Method: http.MethodGet}
	if head {
		asked.Method = http.MethodHead
	}
	resp, err := http.ReadResponse(br, asked)
	require.NoError(t, err, "%q", all)
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err, "%q", all)
	rest, err := io.ReadAll(br)
	require.NoError(t, err)
	require.Empty(t, rest, "a second answer")
	require.NotEqual(t, http.StatusSwitchingProtocols, resp.StatusCode)
	return resp, string(b)
}

// expectNoTunnel makes sure, once a connection has ended, that no WebSocket came of it.
func (s *front) expectNoTunnel(t testing.TB) {
	t.Helper()
	if s.door == throughConn {
		select {
		case err := <-s.ended:
			require.Error(t, err)
		case <-time.After(patience):
			t.Fatal("UpgradeConn does not return")
		}
	}
	require.Empty(t, s.opened, "a connection was opened")
	require.NotContains(t, s.requests(), "/smuggled")
}

// expectUpgrade wants raw to open a WebSocket, and the frame glued behind it to be the first message.
func (s *front) expectUpgrade(t testing.TB, raw string) (head string) {
	t.Helper()
	for _, p := range s.paces {
		nc := s.dial(t)
		peer := wstest.NewClient(t, nc)
		go send(nc, raw+string(peer.Encode(wstest.Frame{Opcode: wstest.Text, Payload: "glued"})), p)
		head = readHead(t, nc)
		require.True(t, strings.HasPrefix(head, "HTTP/1.1 101 "), "%s: %s", p, head)
		require.Contains(t, head, "Sec-WebSocket-Accept: "+wstest.Accept+"\r\n")
		c := s.conn(t)
		_, m, err := c.ReadMessage()
		require.NoError(t, err, "%s", p)
		require.Equal(t, "glued", string(m))
		require.NoError(t, c.Close())
		nc.Close()
	}
	return head
}

// altered is a good request with a part replaced.
func altered(old, new string) string {
	good := request("")
	if strings.Count(good, old) != 1 {
		panic("not once in the request: " + old)
	}
	return strings.Replace(good, old, new, 1)
}

// statuses are what the two kinds of server answer: net/http refuses some requests itself, and reads others more leniently.
type statuses struct{ netHTTP, conn int }

const opens = http.StatusSwitchingProtocols

func both(status int) statuses { return statuses{status, status} }

type requestCase struct {
	name string
	raw  string
	want statuses
}

// testRequests sends each request to a server of each kind, at once and byte by byte.
func testRequests(t *testing.T, u websocket.Upgrader, cases []requestCase) {
	testRequestsAt(t, u, cases, atOnce, byteByByte)
}

func testRequestsAt(t *testing.T, u websocket.Upgrader, cases []requestCase, paces ...pace) {
	t.Parallel()
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			eachFront(t, func(t *testing.T, d door) {
				s := openFront(t, d, u)
				s.paces = paces
				want := tt.want.conn
				if d == throughNetHTTP {
					want = tt.want.netHTTP
				}
				if want == opens {
					s.expectUpgrade(t, tt.raw)
					return
				}
				s.expectRefusal(t, tt.raw, want)
			})
		})
	}
}

// A refused upgrade must not leave a tunnel behind (Kubernetes CVE-2018-1002105, httpd CVE-2019-17567, Pingora CVE-2026-2833): a proxy that
// does not look at the answer passes on whatever follows, past its own rules.
func TestRefusedUpgradeLeavesNoTunnel(t *testing.T) {
	t.Parallel()
	cases := []requestCase{
		{"version 777", altered("Version: 13", "Version: 777"), both(400)},
		{"version 8", altered("Version: 13", "Version: 8"), both(400)},
		{"version 013", altered("Version: 13", "Version: 013"), both(400)},
		{"version 13.0", altered("Version: 13", "Version: 13.0"), both(400)},
		{"version 13 and others", altered("Version: 13", "Version: 13, 8"), both(400)},
		{"empty version", altered("Version: 13", "Version:"), both(400)},
		{"no version", altered("Sec-WebSocket-Version: 13\r\n", ""), both(400)},
		{"no key", altered("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), both(400)},
		{"no Connection", altered("Connection: Upgrade\r\n", ""), both(426)},
		{"Connection: keep-alive", altered("Connection: Upgrade", "Connection: keep-alive"), both(426)},
		{"Connection: xUpgrade", altered("Connection: Upgrade", "Connection: xUpgrade, Upgrade2"), both(426)},
		{"no Upgrade", altered("Upgrade: websocket\r\n", ""), both(426)},
		{"Upgrade: websocket/13", altered("Upgrade: websocket", "Upgrade: websocket/13"), both(426)},
		{"Upgrade: websockets", altered("Upgrade: websocket", "Upgrade: websockets"), both(426)},
		{"other origin", request("Origin: http://evil.example\r\n"), both(403)},
		{"POST", altered("GET /", "POST /"), both(405)},
		{"HEAD", altered("GET /", "HEAD /"), both(405)},
		{"OPTIONS", altered("GET /", "OPTIONS /"), both(405)},
		{"CONNECT", altered("GET /chat", "CONNECT server.example.com:80"), both(405)},
		{"get", altered("GET /", "get /"), both(405)},
		{"PRI", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", statuses{426, 400}},
	}
	t.Run("zero", func(t *testing.T) { testRequests(t, websocket.Upgrader{}, cases) })
	offering := slices.Clone(cases)
	for i := range offering {
		offering[i].raw = strings.Replace(offering[i].raw, "Host:", offer+"Host:", 1)
	}
	t.Run("compressed", func(t *testing.T) { testRequests(t, websocket.Upgrader{EnableCompression: true}, offering) })
}

// The answer tells what would have been right (RFC 6455, section 4.2.2, paragraph 4; RFC 9110, sections 15.5.6 and 15.5.22), says that the
// connection ends, and tells nothing about the server.
func TestRefusalSays(t *testing.T) {
	t.Parallel()
	eachFront(t, func(t *testing.T, d door) {
		for raw, want := range map[string]http.Header{
			altered("Version: 13", "Version: 777"): {"Sec-Websocket-Version": {"13"}},
			altered("GET /", "POST /"):             {"Sec-Websocket-Version": {"13"}, "Allow": {"GET"}},
			altered("Upgrade: websocket\r\n", ""):  {"Sec-Websocket-Version": {"13"}, "Upgrade": {"websocket"}},
		} {
			s := openFront(t, d, websocket.Upgrader{})
			status := http.StatusBadRequest
			switch {
			case want.Get("Allow") != "":
				status = http.StatusMethodNotAllowed
			case want.Get("Upgrade") != "":
				status = http.StatusUpgradeRequired
			}
			resp, body := s.expectRefusal(t, raw, status)
			require.Equal(t, http.StatusText(resp.StatusCode)+"\n", body)
			for name, values := range want {
				require.Equal(t, values, resp.Header[name], name)
			}
			require.True(t, resp.Close, "%v", resp.Header)
			require.Empty(t, resp.Header["Sec-Websocket-Accept"])
		}
	})
}

// Smuggling by another protocol (h2c smuggling): neither is h2c agreed to nor does a request for both get more than WebSocket.
func TestUpgradeToAnotherProtocol(t *testing.T) {
	const settings = "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"
	testRequests(t, websocket.Upgrader{}, []requestCase{
		{"h2c", altered("Upgrade: websocket", "Upgrade: h2c"), both(426)},
		{"h2c with settings", altered("Upgrade: websocket\r\nConnection: Upgrade\r\n",
			"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n"+settings), both(426)},
		{"TLS", altered("Upgrade: websocket", "Upgrade: TLS/1.2"), both(426)},
		{"nothing", altered("Upgrade: websocket", "Upgrade:"), both(426)},
		{"list of one and a half", altered("Upgrade: websocket", "Upgrade: h2c, web socket"), both(426)},
		{"h2c and websocket", altered("Upgrade: websocket", "Upgrade: h2c, websocket"), both(opens)},
		{"h2c and websocket in two lines", altered("Upgrade: websocket", "Upgrade: h2c\r\nUpgrade: websocket"), both(opens)},
	})
}

// h2c is not spoken, even where it is named beside websocket: the answer names websocket alone.
func TestUpgradeAnswersWithWebSocketAlone(t *testing.T) {
	t.Parallel()
	eachFront(t, func(t *testing.T, d door) {
		s := openFront(t, d, websocket.Upgrader{})
		head := s.expectUpgrade(t, altered("Upgrade: websocket", "Upgrade: h2c, websocket"))
		require.Contains(t, head, "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
		require.NotContains(t, head, "h2c")
	})
}

// A body on the upgrade request is a second request to a proxy, or frames to us (request smuggling; CWE-444).
func TestBodyOnUpgrade(t *testing.T) {
	length := func(n int) string { return fmt.Sprintf("Content-Length: %d\r\n", n) }
	const chunked = "Transfer-Encoding: chunked\r\n"
	inner := "GET /inner HTTP/1.1\r\nHost: server.example.com\r\n\r\n"
	inChunks := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(inner), inner)
	testRequests(t, websocket.Upgrader{}, []requestCase{
		{"Content-Length", request(length(len(inner))) + inner, both(400)},
		{"Content-Length that swallows the next request", request(length(len(smuggled))), both(400)},
		{"chunked", request(chunked) + inChunks, both(400)},
		{"chunked in upper case", request("TRANSFER-ENCODING: CHUNKED\r\n") + inChunks, both(400)},
		{"chunked, no end", request(chunked) + "5\r\nhello\r\n", both(400)},
		{"chunked, empty", request(chunked) + "0\r\n\r\n", both(400)},
		{"chunked with trailer", request(chunked+"Trailer: X\r\n") + "0\r\nX: y\r\n\r\n", both(400)},
		{"Content-Length before chunked", request(length(4)+chunked) + inChunks, both(400)},
		{"chunked before Content-Length", request(chunked+length(4)) + inChunks, both(400)},
		{"two lengths that differ", request(length(4)+length(5)) + "12345", both(400)},
		{"length with a sign", request("Content-Length: +4\r\n") + "1234", both(400)},
		{"length with a list", request("Content-Length: 4, 4\r\n") + "1234", both(400)},
		{"negative length", request("Content-Length: -1\r\n"), both(400)},
		{"huge length", request("Content-Length: 99999999999999999999\r\n"), both(400)},
		{"gzip, chunked", request("Transfer-Encoding: gzip, chunked\r\n") + inChunks, statuses{501, 400}},
		{"identity", request("Transfer-Encoding: identity\r\n"), statuses{501, 400}},
		{"chunked with a vertical tab", request("Transfer-Encoding: \vchunked\r\n") + inChunks, statuses{400, 400}},
		{"no body", request(length(0)), both(opens)},
	})
}

// Frames glued to a request belong to the connection if it opens, however little of them came along. After a refusal they are nothing: see
// smuggled.
func TestFramesGluedToRequest(t *testing.T) {
	t.Parallel()
	frames := string(wstest.Frame{Opcode: wstest.Text, Payload: "first"}.Masked()) +
		string(wstest.Frame{Opcode: wstest.Binary, Payload: strings.Repeat("x", 3000)}.Masked())
	for _, cut := range []int{1, 2, 5, 6, 11, 12, len(frames) - 1, len(frames)} {
		t.Run(fmt.Sprint(cut), func(t *testing.T) {
			eachFront(t, func(t *testing.T, d door) {
				s := openFront(t, d, websocket.Upgrader{})
				nc := s.dial(t)
				send(nc, request("")+frames[:cut], atOnce)
				readHead(t, nc)
				send(nc, frames[cut:], atOnce)
				c := s.conn(t)
				messageType, p, err := c.ReadMessage()
				require.NoError(t, err)
				require.Equal(t, websocket.TextMessage, messageType)
				require.Equal(t, "first", string(p))
				messageType, p, err = c.ReadMessage()
				require.NoError(t, err)
				require.Equal(t, websocket.BinaryMessage, messageType)
				require.Equal(t, strings.Repeat("x", 3000), string(p))
				require.NoError(t, c.Close())
			})
		})
	}
}

// A compressed frame may be glued to the request that offers compression, too.
func TestCompressedFramesGluedToRequest(t *testing.T) {
	t.Parallel()
	first := compressedMessage(t, wstest.Text, bytes.Repeat([]byte("first "), 100))
	eachFront(t, func(t *testing.T, d door) {
		s := openFront(t, d, websocket.Upgrader{EnableCompression: true})
		for _, p := range s.paces {
			nc := s.dial(t)
			go send(nc, request(offer)+string(first.Masked()), p)
			require.Contains(t, readHead(t, nc), "permessage-deflate")
			c := s.conn(t)
			_, m, err := c.ReadMessage()
			require.NoError(t, err)
			require.Equal(t, strings.Repeat("first ", 100), string(m))
			require.NoError(t, c.Close())
			nc.Close()
		}
	})
}

// longFields are header fields that make a parser which looks back slow: quadratic in n (ws CVE-2021-32640, websocket-extensions CVE-2020-7662).
func longFields(n int) map[string]string {
	fields := map[string]string{}
	for _, name := range []string{
		"Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol", "Connection", "Upgrade", "Sec-WebSocket-Version", "Origin", "Cookie",
	} {
		for what, value := range map[string]string{
			"blanks":            "a" + strings.Repeat(" ", n) + "b",
			"tabs":              "a;" + strings.Repeat("\t", n) + "=",
			"backslashes":       `a; b="` + strings.Repeat(`\`, n),
			"escaped quotes":    `a; b="` + strings.Repeat(`\"`, n/2),
			"quoted characters": `a; b="` + strings.Repeat(`\c`, n/2),
			"commas":            strings.Repeat(",", n),
			"elements":          strings.Repeat("a,", n/2),
			"parameters":        "permessage-deflate" + strings.Repeat(";b", n/2),
			"known parameters":  strings.Repeat("permessage-deflate;client_max_window_bits,", n/42),
			"equals signs":      "a;b" + strings.Repeat("=", n),
		} {
			fields[name+" of "+what] = name + ": " + value + "\r\n"
		}
	}
	return fields
}

// 16 such requests take a parser that looks back minutes, and one that does not well below a second: net/http takes a MiB of header, we 64 KiB.
func TestQuadraticHeader(t *testing.T) {
	t.Parallel()
	u := websocket.Upgrader{Subprotocols: []string{"chat", "superchat"}, EnableCompression: true, AllowedOrigins: []string{"*.example.com"}}
	for _, d := range fronts {
		n, times := 60<<10, 16
		if d == throughNetHTTP {
			n, times = 900<<10, 1
		}
		for name, field := range longFields(n) {
			t.Run(string(d)+"/"+name, func(t *testing.T) {
				t.Parallel()
				s := openFront(t, d, u)
				for range times {
					nc := s.dial(t)
					go send(nc, request(field), atOnce)
					resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
					require.NoError(t, err)
					require.Contains(t, []int{101, 400, 403, 426}, resp.StatusCode)
					nc.Close()
					for len(s.opened) > 0 {
						(<-s.opened).Close()
					}
				}
			})
		}
	}
}

// What a long header takes in memory grows as the header does.
func TestLongHeaderAllocates(t *testing.T) { // not parallel: it counts what is allocated
	u := websocket.Upgrader{Subprotocols: []string{"chat", "superchat"}, EnableCompression: true, CheckOrigin: func(*http.Request) bool { return true }}
	allocated := func(field string) float64 {
		const times = 8
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range times {
			client, server := net.Pipe()
			go send(client, request(field), atOnce)
			done := make(chan struct{})
			go func() {
				_, _ = io.Copy(io.Discard, client)
				close(done)
			}()
			if c, _, err := u.UpgradeConn(server); err == nil {
				c.Close()
			}
			client.Close()
			<-done
		}
		runtime.ReadMemStats(&after)
		return float64(after.TotalAlloc-before.TotalAlloc) / times
	}
	small, large := longFields(15<<10), longFields(60<<10)
	for name := range small {
		a, b := allocated(small[name]), allocated(large[name])
		require.Less(t, b, 2*4*a+64<<10, "%s: %.0f bytes for 15 KiB, %.0f for 60", name, a, b)
		require.Less(t, b, float64(4<<20), name)
	}
}

// Names that mean something to other languages, or to careless maps, mean nothing here (prototype pollution).
func TestOddNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"__proto__", "constructor", "prototype", "hasOwnProperty", "toString", "valueOf", "__defineGetter__", "nil", "null"} {
		t.Run(name, func(t *testing.T) {
			eachFront(t, func(t *testing.T, d door) {
				s := openFront(t, d, websocket.Upgrader{Subprotocols: []string{"chat"}, EnableCompression: true})
				head := s.expectUpgrade(t, request(name+": "+name+"\r\nSec-WebSocket-Protocol: "+name+"\r\n"+
					"Sec-WebSocket-Extensions: "+name+"; "+name+"="+name+", permessage-deflate; "+name+"="+name+"\r\n"))
				require.NotContains(t, head, name)
				require.NotContains(t, head, "Sec-WebSocket-Protocol")
				require.NotContains(t, head, "Sec-WebSocket-Extensions")
			})
		})
	}
}

// 2,000 headers are no more than their bytes (ws CVE-2024-37890: a server that crashed at the 1,000th).
func TestManyHeaders(t *testing.T) {
	t.Parallel()
	fields := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "x%d: %d\r\n", i, i)
		}
		return b.String()
	}
	same := func(n int) string { return strings.Repeat("X: y\r\n", n) }
	sized := func(extra string, want statuses) requestCase {
		return requestCase{fmt.Sprintf("%d bytes", len(extra)), request(extra), want}
	}
	testHeaderSizes(t, []requestCase{
		sized(fields(2000), both(opens)),
		sized(same(2000), both(opens)),
		sized(fields(20_000), statuses{opens, 431}),
		sized(same(400_000), both(431)),
	})
}

// testHeaderSizes is testRequests without the pace that takes as many writes as there are bytes.
func testHeaderSizes(t *testing.T, cases []requestCase) {
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			eachFront(t, func(t *testing.T, d door) {
				s := openFront(t, d, websocket.Upgrader{})
				want := tt.want.conn
				if d == throughNetHTTP {
					want = tt.want.netHTTP
				}
				nc := s.dial(t)
				go send(nc, tt.raw+smuggled, atOnce)
				if want == opens {
					require.True(t, strings.HasPrefix(readHead(t, nc), "HTTP/1.1 101 "))
					require.NoError(t, s.conn(t).Close())
					return
				}
				all, err := io.ReadAll(nc)
				require.False(t, errors.Is(err, os.ErrDeadlineExceeded), "the connection does not end")
				nc.Close()
				resp, _ := s.onlyResponse(t, all, false)
				require.Equal(t, want, resp.StatusCode)
				s.expectNoTunnel(t)
			})
		})
	}
}

// A header that grows for ever (tungstenite CVE-2023-43669) is answered by 431 when it is too long: 64 KiB here, about 1 MiB in net/http.
func TestHeaderForEver(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 2<<20)
	testHeaderSizes(t, []requestCase{
		{"value of 2 MB", request("X: " + long + "\r\n"), both(431)},
		{"name of 2 MB", request(long + ": x\r\n"), both(431)},
		{"path of 2 MB", altered("/chat", "/"+long), both(431)},
		{"method of 2 MB", altered("GET", long), both(431)},
		{"no line at all", long, both(431)},
		{"key of 2 MB", altered("dGhlIHNhbXBsZSBub25jZQ==", long), both(431)},
		{"Extensions of 2 MB", request("Sec-WebSocket-Extensions: " + long + "\r\n"), both(431)},
	})
}

// countingConn counts what is read of a connection.
type countingConn struct {
	net.Conn
	mu   sync.Mutex
	read int
}

func (c *countingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	c.read += n
	c.mu.Unlock()
	return n, err
}

func (c *countingConn) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.read
}

// CloseWrite makes it half a TCP connection, as the lingering of a refused one likes it.
func (c *countingConn) CloseWrite() error { return c.Conn.(*net.TCPConn).CloseWrite() }

// An attacker who sends without an end sends 64 MiB to nobody: UpgradeConn takes no more than 64 KiB before it answers, and discards 256 KiB behind
// them so that the answer can be read.
func TestHeaderForEverIsNotRead(t *testing.T) {
	t.Parallel()
	for name, piece := range map[string]string{
		"one value":  strings.Repeat("x", 64<<10),
		"fields":     strings.Repeat("X: y\r\n", 10<<10),
		"an element": strings.Repeat("Sec-WebSocket-Protocol: a,b\r\n", 2<<10),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			attacker, server := wstest.TCP(t)
			require.NoError(t, attacker.SetDeadline(time.Now().Add(patience)))
			counted := &countingConn{Conn: server}
			sent := make(chan int64, 1)
			go func() {
				n, _ := io.WriteString(attacker, strings.TrimSuffix(request(""), "\r\n")+"X: ")
				total := int64(n)
				for total < 64<<20 {
					n, err := io.WriteString(attacker, piece)
					if total += int64(n); err != nil {
						break
					}
				}
				sent <- total
			}()
			_, _, err := new(websocket.Upgrader).UpgradeConn(counted)
			require.ErrorContains(t, err, "request header over 65536 bytes")
			require.IsType(t, websocket.HandshakeError{}, err)
			require.Less(t, <-sent, int64(64<<20), "all was taken") // what the sockets hold comes to a few MiB
			require.LessOrEqual(t, counted.count(), 64<<10+256<<10)
		})
	}
}

// net/http ends a header without an end itself.
func TestHeaderForEverThroughNetHTTP(t *testing.T) {
	t.Parallel()
	s := openFront(t, throughNetHTTP, websocket.Upgrader{})
	nc := s.dial(t)
	answered := make(chan []byte, 1)
	go func() {
		all, _ := io.ReadAll(nc)
		answered <- all
	}()
	piece := strings.Repeat("x", 64<<10)
	_, err := io.WriteString(nc, strings.TrimSuffix(request(""), "\r\n")+"X: ")
	require.NoError(t, err)
	sent := 0
	for sent < 64<<20 && err == nil {
		var n int
		n, err = io.WriteString(nc, piece)
		sent += n
	}
	require.Error(t, err, "64 MiB were taken")
	resp, _ := s.onlyResponse(t, <-answered, false)
	require.Equal(t, 431, resp.StatusCode)
	s.expectNoTunnel(t)
	require.Empty(t, s.requests())
}

// Anomalies of HTTP (RFC 9112), on which two implementations might differ. UpgradeConn is strict; net/http lets some pass, which are then the
// handshakes that they look like.
func TestAnomalies(t *testing.T) {
	const keyLine = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	good := request("")
	testRequests(t, websocket.Upgrader{}, []requestCase{
		{"NUL in a value", request("X: a\x00b\r\n"), both(400)},
		{"NUL in a name", request("X\x00: a\r\n"), both(400)},
		{"NUL in the path", altered("/chat", "/ch\x00at"), both(400)},
		{"NUL in the key", altered("Key: dGhl", "Key: \x00dGhl"), both(400)},
		{"DEL in a value", request("X: a\x7fb\r\n"), both(400)},
		{"escape in a value", request("X: a\x1bb\r\n"), both(400)},
		{"bare CR in a value", request("X: a\rb\r\n"), both(400)},
		{"bare CR for a line", request("X: a\rY: b\r\n"), both(400)},
		{"CR before CR LF", request("X: a\r\r\n"), both(400)},
		{"bare CR in the request line", altered("/chat", "/ch\rat"), both(400)},
		{"bare LF", altered("server.example.com\r\n", "server.example.com\n"), statuses{opens, 400}},
		{"bare LF everywhere", strings.ReplaceAll(good, "\r\n", "\n"), statuses{opens, 400}},
		{"bare LF at the end", strings.TrimSuffix(good, "\r\n") + "\n", statuses{opens, 400}},
		{"blank before the colon", altered("Upgrade: websocket", "Upgrade : websocket"), both(400)},
		{"tab before the colon", altered("Host: ", "Host\t: "), both(400)},
		{"blank in a name", request("X Y: a\r\n"), both(400)},
		{"no name", request(": a\r\n"), both(400)},
		{"no colon", request("nonsense\r\n"), both(400)},
		{"blank line first", "\r\n" + good, both(400)},
		{"obs-fold", request("X: a\r\n b\r\n"), statuses{opens, 400}},
		{"obs-fold of Upgrade", altered("Upgrade: websocket", "Upgrade:\r\n websocket"), statuses{opens, 400}},
		{"obs-fold first", altered("Host:", " X: y\r\nHost:"), both(400)},
		{"obs-fold by a tab", request("X: a\r\n\tb\r\n"), statuses{opens, 400}},
		{"name that is no token", request("X(Y): a\r\n"), both(400)},
		{"name beyond ASCII", request("X\xc3\xa4: a\r\n"), both(400)},
		{"Kelvin sign in a name", altered("Sec-WebSocket-Key", "Sec-Web\u017focket-\u212aey"), both(400)},
		{"underscores for hyphens", altered("Sec-WebSocket-Key", "Sec_WebSocket_Key"), both(400)},

		{"HTTP/1.0", altered("HTTP/1.1", "HTTP/1.0"), both(400)},
		{"HTTP/1.0, no Host", altered("HTTP/1.1\r\nHost: server.example.com", "HTTP/1.0"), both(400)},
		{"HTTP/0.9", altered("HTTP/1.1", "HTTP/0.9"), statuses{505, 505}},
		{"HTTP/1.2", altered("HTTP/1.1", "HTTP/1.2"), both(opens)}, // "at least 1.1" (RFC 6455, section 4.1)
		{"HTTP/2.0", altered("HTTP/1.1", "HTTP/2.0"), both(505)},
		{"http/1.1", altered("HTTP/1.1", "http/1.1"), both(400)},
		{"HTTP/1.1x", altered("HTTP/1.1", "HTTP/1.1x"), both(400)},
		{"no version of HTTP", altered(" HTTP/1.1", ""), both(400)},
		{"two blanks in the request line", altered("GET /chat", "GET  /chat"), both(400)},
		{"blank in the path", altered("/chat", "/ch at"), both(400)},

		{"missing Host", altered("Host: server.example.com\r\n", ""), both(400)},
		{"empty Host", altered("Host: server.example.com", "Host:"), both(400)},
		{"two Hosts", request("Host: server.example.com\r\n"), both(400)},
		{"two Hosts, other case", request("hOST: evil.example\r\n"), both(400)},
		{"Host with a blank", altered("server.example.com", "server.example.com evil.example"), both(400)},
		{"Host with a path", altered("server.example.com", "server.example.com/evil"), both(400)},
		{"Host with quotes", altered("server.example.com", `"server.example.com"`), both(400)},

		{"two keys", request(keyLine), both(400)},
		{"two keys in one line", altered("ZQ==", "ZQ==, dGhlIHNhbXBsZSBub25jZQ=="), both(400)},
		{"empty key", altered("dGhlIHNhbXBsZSBub25jZQ==", ""), both(400)},
		{"key of 15 bytes", altered("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j"), both(400)},
		{"key of 17 bytes", altered("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZSE="), both(400)},
		{"key of 18 bytes", altered("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZSEh"), both(400)},
		{"key not padded", altered("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ"), both(400)},
		{"key in base64url", altered("dGhlIHNhbXBsZSBub25jZQ==", "_-_-IHNhbXBsZSBub25jZQ=="), both(400)},
		{"key of no base64", altered("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub2!jZQ=="), both(400)},
		{"key of 16 letters", altered("dGhlIHNhbXBsZSBub25jZQ==", "0123456789abcdef"), both(400)},
		{"two versions", request("Sec-WebSocket-Version: 13\r\n"), both(400)},
		{"two versions that differ", request("Sec-WebSocket-Version: 8\r\n"), both(400)},
		{"malformed extension", request("Sec-WebSocket-Extensions: permessage-deflate;\r\n"), both(400)},
		{"extension with an unclosed quote", request("Sec-WebSocket-Extensions: a; b=\"\r\n"), both(400)},

		{"no request line", strings.TrimPrefix(good, "GET /chat HTTP/1.1\r\n"), both(400)},
		{"names in lower case", altered("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key",
			"upgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-key"), both(opens)},
		{"Connection of many tokens", altered("Connection: Upgrade", "Connection: keep-alive,, ,UPGRADE"), both(opens)},
		{"Upgrade: WebSocket", altered("Upgrade: websocket", "Upgrade: WebSocket"), both(opens)},
		{"blanks around values", altered("Version: 13", "Version: \t 13 \t "), both(opens)},
	})
}

// Every refusal is answered and ends the connection, those that the program's own settings bring about, too: no socket is left open without a
// word (a refusal after hijacking).
func TestRefusalIsAnswered(t *testing.T) {
	for _, tt := range []struct {
		name   string
		u      websocket.Upgrader
		extra  string
		status int
	}{
		{"CheckOrigin", websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return false }}, "", 403},
		{"AllowedHosts", websocket.Upgrader{AllowedHosts: []string{"other.example.com"}}, "", 403},
		{"SelectSubprotocol fails", websocket.Upgrader{SelectSubprotocol: func(*http.Request, []string) (string, error) {
			return "", errors.New("no")
		}}, "Sec-WebSocket-Protocol: chat\r\n", 400},
		{"SelectSubprotocol chooses what nobody offered", websocket.Upgrader{SelectSubprotocol: func(*http.Request, []string) (string, error) {
			return "x\r\nSet-Cookie: a=b", nil
		}}, "Sec-WebSocket-Protocol: chat\r\n", 500},
		{"Compression out of range", websocket.Upgrader{Options: websocket.Options{
			Compression: &websocket.Compression{ServerMaxWindowBits: 7},
		}}, offer, 500},
	} {
		t.Run(tt.name, func(t *testing.T) {
			testRequests(t, tt.u, []requestCase{{"answered", request(tt.extra), both(tt.status)}})
		})
	}
}

// A program's own answer by Upgrader.Error may keep the HTTP connection: what follows is HTTP to net/http, which judges it as such.
func TestErrorHookLeavesNoTunnel(t *testing.T) {
	t.Parallel()
	s := openFront(t, throughNetHTTP, websocket.Upgrader{Error: func(w http.ResponseWriter, r *http.Request, status int, reason error) {
		w.WriteHeader(status)
	}})
	nc := s.dial(t)
	send(nc, altered("Version: 13", "Version: 777")+"GET /second HTTP/1.1\r\nHost: server.example.com\r\nConnection: close\r\n\r\n", atOnce)
	br := bufio.NewReader(nc)
	for _, status := range []int{400, 426} {
		resp, err := http.ReadResponse(br, nil)
		require.NoError(t, err)
		require.Equal(t, status, resp.StatusCode)
		_, err = io.Copy(io.Discard, resp.Body)
		require.NoError(t, err)
	}
	_, err := br.ReadByte()
	require.ErrorIs(t, err, io.EOF)
	require.Empty(t, s.opened)
	require.Equal(t, []string{"/chat", "/second"}, s.requests())
}

// Middleware that authenticates runs before an upgrade as before any request, however the request asks for it, and a request that it refuses does
// not reach the upgrade nor leave anything behind.
func TestMiddlewareIsNotSkipped(t *testing.T) {
	t.Parallel()
	for name, u := range map[string]websocket.Upgrader{"zero": {}, "compressed": {EnableCompression: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openFrontBehind(t, throughNetHTTP, u, nil, func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if _, password, _ := r.BasicAuth(); password != "secret" {
						w.Header().Set("Connection", "close")
						http.Error(w, "who are you?", http.StatusUnauthorized)
						return
					}
					next.ServeHTTP(w, r)
				})
			})
			for _, raw := range []string{
				request(offer),
				request("Authorization: Basic b3RoZXI6d3Jvbmc=\r\n"),
				altered("Connection: Upgrade", "Connection: Upgrade, Authorization"),
				altered("/chat", "http://server.example.com/chat"),
				altered("/chat", "//chat"),
			} {
				s.expectRefusal(t, raw, http.StatusUnauthorized)
				require.Empty(t, s.requests())
			}
			s.expectUpgrade(t, request("Authorization: Basic dXNlcjpzZWNyZXQ=\r\n"))
		})
	}
}

// deadlines notes the deadlines that are set on a connection.
type deadlines struct {
	net.Conn
	mu  sync.Mutex
	set []time.Time
}

func (c *deadlines) SetDeadline(at time.Time) error {
	c.mu.Lock()
	c.set = append(c.set, at)
	c.mu.Unlock()
	return c.Conn.SetDeadline(at)
}

func (c *deadlines) all() []time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]time.Time(nil), c.set...)
}

// A request that comes a byte at a time (slowloris) has as long as any other: bytes do not put the end off.
func TestSlowRequest(t *testing.T) {
	t.Parallel()
	attacker, server := wstest.TCP(t)
	nc := &deadlines{Conn: server}
	u := websocket.Upgrader{HandshakeTimeout: 300 * time.Millisecond}
	done := make(chan struct{})
	go func() {
		defer close(done)
		raw := []byte(request("X: " + strings.Repeat("x", 60<<10) + "\r\n"))
		for i := range raw {
			// A byte at the pace of the attacker, until the other end is gone.
			if _, err := attacker.Write(raw[i : i+1]); err != nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	before := time.Now()
	_, _, err := u.UpgradeConn(nc)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	set := nc.all()
	require.Len(t, set, 1, "the end was put off")
	require.False(t, set[0].Before(before.Add(u.HandshakeTimeout)))
	require.False(t, set[0].After(time.Now().Add(u.HandshakeTimeout)))
	<-done // the connection has ended
}

// The same on the plain socket, which the library reads past the net.Conn.
func TestSlowRequestOnPlainSocket(t *testing.T) {
	t.Parallel()
	s := openFront(t, throughConn, websocket.Upgrader{HandshakeTimeout: 300 * time.Millisecond})
	nc := s.dial(t)
	go func() {
		raw := []byte(request("X: " + strings.Repeat("x", 60<<10) + "\r\n"))
		for i := range raw {
			if _, err := nc.Write(raw[i : i+1]); err != nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	all, err := io.ReadAll(nc)
	require.False(t, errors.Is(err, os.ErrDeadlineExceeded), "the connection does not end")
	require.Empty(t, all)
	require.ErrorIs(t, <-s.ended, os.ErrDeadlineExceeded)
	require.Empty(t, s.opened)
}

// net/http has its own timeout for the header, which a handshake is not exempt from.
func TestSlowRequestThroughNetHTTP(t *testing.T) {
	t.Parallel()
	upgraded := make(chan struct{}, 1)
	nc := connectTo(t, listen(t), &http.Server{ReadHeaderTimeout: 300 * time.Millisecond, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, err := new(websocket.Upgrader).Upgrade(w, r, nil); err == nil {
			c.Close()
		}
		upgraded <- struct{}{}
	})})
	require.NoError(t, nc.SetDeadline(time.Now().Add(patience)))
	send(nc, strings.TrimSuffix(request(""), "\r\n"), atOnce)
	_, err := io.ReadAll(nc)
	require.False(t, errors.Is(err, os.ErrDeadlineExceeded), "the connection does not end")
	require.Empty(t, upgraded)
}

// A client that reads nothing does not hold up the answer for ever.
func TestAnswerNotRead(t *testing.T) {
	t.Parallel()
	client, server := wstest.Pipe(t)
	nc := &deadlines{Conn: server}
	u := websocket.Upgrader{HandshakeTimeout: 300 * time.Millisecond}
	go send(client, request(""), atOnce)
	_, _, err := u.UpgradeConn(nc)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.Len(t, nc.all(), 1)
}

// A connection that ends in the middle of its request is closed, at whatever byte.
func TestRequestCutOff(t *testing.T) {
	t.Parallel()
	raw := request("")
	for _, d := range fronts {
		t.Run(string(d), func(t *testing.T) {
			t.Parallel()
			s := openFront(t, d, websocket.Upgrader{})
			for i := range raw {
				nc := s.dial(t)
				send(nc, raw[:i], atOnce)
				require.NoError(t, nc.(*net.TCPConn).CloseWrite())
				all, err := io.ReadAll(nc)
				require.NoError(t, err)
				require.NotContains(t, string(all), "101")
				require.NoError(t, nc.Close())
				if d == throughConn {
					require.Error(t, <-s.ended)
				}
			}
			require.Empty(t, s.opened)
			require.Empty(t, s.requests())
		})
	}
}

// Response splitting (CWE-113): what a program puts into responseHeader stays in its line, whatever a user made it put there.
func TestResponseSplitting(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		h    http.Header
		want string // in the answer, "" is a refusal
	}{
		{"value", http.Header{"X": {"a\r\nSet-Cookie: session=evil"}}, "\r\nX: a  Set-Cookie: session=evil\r\n"},
		{"value that ends the header", http.Header{"X": {"a\r\n\r\n\x81\x05evil!"}}, "\r\nX: a    \x81 evil!\r\n"},
		{"bare LF", http.Header{"X": {"a\nSet-Cookie: session=evil"}}, "\r\nX: a Set-Cookie: session=evil\r\n"},
		{"bare CR", http.Header{"X": {"a\rSet-Cookie: session=evil"}}, "\r\nX: a Set-Cookie: session=evil\r\n"},
		{"NUL", http.Header{"X": {"a\x00b"}}, "\r\nX: a b\r\n"},
		{"the accept", http.Header{"Sec-WebSocket-Accept": {"evil"}, "sec-websocket-accept": {"evil"}},
			"\r\nSec-WebSocket-Accept: " + wstest.Accept + "\r\n"},
		{"a body", http.Header{"Content-Length": {"5"}, "transfer-encoding": {"chunked"}}, "\r\nUpgrade: websocket\r\n"},
		{"name", http.Header{"X: a\r\nSet-Cookie": {"session=evil"}}, ""},
		{"name with a blank", http.Header{"X ": {"a"}}, ""},
		{"no name", http.Header{"": {"a"}}, ""},
		{"extension", http.Header{"sec-websocket-extensions": {"permessage-deflate"}}, ""},
		{"subprotocol", http.Header{"Sec-WebSocket-Protocol": {"chat\r\nSet-Cookie: session=evil"}}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			nc := connectTo(t, listen(t), &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if c, err := new(websocket.Upgrader).Upgrade(w, r, tt.h); err == nil {
					c.Close()
				}
			})})
			require.NoError(t, nc.SetDeadline(time.Now().Add(patience)))
			send(nc, request("Sec-WebSocket-Protocol: chat\r\n"), atOnce)
			head := readHead(t, nc)
			require.NotContains(t, head, "\r\nSet-Cookie", head)
			if tt.want == "" {
				require.True(t, strings.HasPrefix(head, "HTTP/1.1 500 "), head)
				return
			}
			require.True(t, strings.HasPrefix(head, "HTTP/1.1 101 "), head)
			require.Contains(t, head, tt.want)
			require.NotContains(t, head, "evil\r\nSec")
			require.NotContains(t, head, "Content-Length")
			require.NotContains(t, strings.ToLower(head), "transfer-encoding")
		})
	}
}

// The context of a request that was refused ends, and nothing of the connection lives on: 200 refusals leave as many goroutines as there were, which
// TestMain counts.
func TestRefusalsLeaveNothing(t *testing.T) {
	t.Parallel()
	eachFront(t, func(t *testing.T, d door) {
		u := websocket.Upgrader{}
		over := make(chan context.Context, 256)
		u.CheckOrigin = func(r *http.Request) bool {
			over <- r.Context()
			return false
		}
		s := openFront(t, d, u)
		for range 200 {
			nc := s.dial(t)
			send(nc, request(""), atOnce)
			all, err := io.ReadAll(nc)
			require.NoError(t, err)
			require.NoError(t, nc.Close())
			resp, _ := s.onlyResponse(t, all, false)
			require.Equal(t, http.StatusForbidden, resp.StatusCode)
			ctx := <-over
			if d == throughNetHTTP {
				select {
				case <-ctx.Done():
				case <-time.After(patience):
					t.Fatal("the request lives on")
				}
			}
			require.Error(t, <-s.ended)
		}
		require.Empty(t, s.opened)
	})
}
