package hostile

import (
	"context"
	"io"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	xhttp2 "golang.org/x/net/http2"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/http2"
	"github.com/duplexkit/websocket/internal/h2wire"
	"github.com/duplexkit/websocket/internal/wstest"
)

// What HTTP/2 alone makes possible: its opening handshake (RFC 8441), its ends of streams and connections, its windows.

// echoing is a handler whose connections echo.
func echoing(u websocket.Upgrader) http.Handler {
	return u.Handler(func(c *websocket.Conn, r *http.Request) error {
		return c.Serve(r.Context(), func(m websocket.Message) error { return c.WriteMessage(m.Type, m.Data) })
	})
}

// expectEcho makes sure that a stream is a WebSocket that echoes.
func expectEcho(t testing.TB, s *h2wire.Stream) *wstest.Peer {
	t.Helper()
	require.Contains(t, lines(t, s), ":status: 200\r\n")
	p := wstest.NewClient(t, s)
	p.Send(wstest.Frame{Opcode: wstest.Text, Payload: "still there?"})
	p.Expect(wstest.Frame{Opcode: wstest.Text, Payload: "still there?"})
	return p
}

func TestHTTP2OpeningOfAClient(t *testing.T) {
	t.Parallel()
	base := []string{
		":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":authority", "server.example.com", ":path", "/chat",
		"sec-websocket-version", "13",
	}
	with := func(changes ...string) []string { // "" takes a field away
		fields := append([]string{}, base...)
		for i := 0; i < len(changes); i += 2 {
			found := false
			for j := 0; j < len(fields); j += 2 {
				if fields[j] == changes[i] {
					found = true
					fields[j+1] = changes[i+1]
					if changes[i+1] == "" {
						fields = append(fields[:j], fields[j+2:]...)
					}
				}
			}
			if !found {
				fields = append(fields, changes[i], changes[i+1])
			}
		}
		return fields
	}
	for _, test := range []struct {
		name   string
		fields []string
		status string // "" is a reset
		answer string // a line of it, "" for any
		end    bool   // END_STREAM
		hosts  []string
	}{
		{name: "as it should be", fields: base, status: "200"},
		{name: "another protocol", fields: with(":protocol", "connect-udp"), status: "501"},
		{name: "another protocol, nearly", fields: with(":protocol", "WebSocket"), status: "501"},
		{name: "no version", fields: with("sec-websocket-version", ""), status: "400", answer: "sec-websocket-version: 13"},
		{name: "version 8", fields: with("sec-websocket-version", "8"), status: "400", answer: "sec-websocket-version: 13"},
		{name: "two versions", fields: append(with(), "sec-websocket-version", "13"), status: "400", answer: "sec-websocket-version: 13"},
		{name: "versions in a list", fields: with("sec-websocket-version", "8, 13"), status: "400", answer: "sec-websocket-version: 13"},
		{name: "ended at once", fields: base, end: true, status: "400"},
		{name: "with a length", fields: with("content-length", "5"), status: "400"},
		{name: "own origin", fields: with("origin", "http://server.example.com"), status: "200"},
		{name: "another origin", fields: with("origin", "http://evil.example.com"), status: "403"},
		{name: "two origins", fields: append(with("origin", "http://server.example.com"), "origin", "http://server.example.com"), status: "403"},
		{name: "its host", fields: base, hosts: []string{"server.example.com"}, status: "200"},
		{name: "another host", fields: base, hosts: []string{"example.com"}, status: "403"},
		{name: "a key all the same", fields: with("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="), status: "200"},
		{name: "malformed extensions", fields: with("sec-websocket-extensions", "permessage-deflate;;"), status: "400"},
		{name: "a subprotocol that nobody speaks", fields: with("sec-websocket-protocol", "chat"), status: "200"},
		{name: "CONNECT as ever", fields: with(":protocol", "", ":scheme", "", ":path", ""), status: "426"},
		{name: "GET", fields: with(":method", "GET", ":protocol", ""), end: true, status: "426"},
		// What net/http sees to.
		{name: "GET with a protocol", fields: with(":method", "GET"), status: "426"},
		{name: "no path", fields: with(":path", "")},
		{name: "no scheme", fields: with(":scheme", ""), status: "200"}, // RFC 8441, section 4, has it otherwise; nobody can tell the program
		{name: "two protocols", fields: append([]string{":protocol", "websocket"}, base...)},
		{name: "Upgrade", fields: with("upgrade", "websocket"), status: "400"},
		{name: "Connection", fields: with("connection", "Upgrade"), status: "400"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := &http.Server{Handler: echoing(websocket.Upgrader{AllowedHosts: test.hosts})}
			line := lineTo(t, serveHTTP2(t, server), h2wire.Config{})
			s, err := line.Open(test.end, test.fields...)
			require.NoError(t, err)
			if test.status == "" {
				_, err := s.Header(patience)
				require.Error(t, err)
			} else {
				answer := lines(t, s)
				require.Contains(t, answer, ":status: "+test.status+"\r\n")
				require.Contains(t, answer, test.answer+"\r\n")
				for _, never := range []string{"\r\nupgrade:", "\r\nconnection:", "sec-websocket-accept", "sec-websocket-protocol"} {
					require.NotContains(t, strings.ToLower(answer), never)
				}
				if test.status == "200" {
					expectEcho(t, s)
				}
			}
			next, err := line.OpenSocket("http", "server.example.com", "/")
			require.NoError(t, err)
			if test.hosts == nil {
				expectEcho(t, next) // the connection takes no harm
			}
		})
	}
}

func TestHTTP2AnswersOfAServer(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		fields []string
		bad    bool // the answer is told in a wrapping error
		opens  bool
	}{
		{name: "200", fields: []string{":status", "200"}, opens: true},
		{name: "204", fields: []string{":status", "204"}, opens: true}, // "A 2xx (Successful) response" (RFC 9110, section 9.3.6)
		{name: "302", fields: []string{":status", "302", "location", "/"}},
		{name: "404", fields: []string{":status", "404"}},
		{name: "503", fields: []string{":status", "503"}},
		{name: "unoffered subprotocol", fields: []string{":status", "200", "sec-websocket-protocol", "chat"}, bad: true},
		{name: "unoffered extension", fields: []string{":status", "200", "sec-websocket-extensions", "permessage-deflate"}, bad: true},
		{name: "malformed extension", fields: []string{":status", "200", "sec-websocket-extensions", ";"}, bad: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s, dialed := dialHTTP2(t, websocket.Dialer{}, ability)
			require.Equal(t, "13", s.Field("sec-websocket-version"))
			require.Empty(t, s.Field("sec-websocket-key"))
			require.NoError(t, s.Respond(!test.opens, test.fields...))
			a := <-dialed
			require.Equal(t, test.fields[1], a.resp.Status[:3])
			if test.opens {
				require.NoError(t, a.err)
				read := make(chan string, 1)
				go func() {
					_, p, _ := a.conn.ReadMessage()
					read <- string(p)
				}()
				wstest.NewServer(t, s).Send(wstest.Frame{Opcode: wstest.Text, Payload: "Hello"})
				require.Equal(t, "Hello", <-read)
				a.conn.Close()
				return
			}
			require.ErrorIs(t, a.err, websocket.ErrBadHandshake)
			require.Equal(t, test.bad, a.err != websocket.ErrBadHandshake, "%v", a.err)
			require.Nil(t, a.conn)
		})
	}
	t.Run("101 and nothing more", func(t *testing.T) { // there is no such thing (RFC 9113, section 8.6)
		t.Parallel()
		s, dialed := dialHTTP2(t, websocket.Dialer{HandshakeTimeout: time.Second}, ability)
		require.NoError(t, s.Respond(false, ":status", "101"))
		require.Error(t, (<-dialed).err)
	})
	t.Run("a refusal without end", func(t *testing.T) {
		t.Parallel()
		s, dialed := dialHTTP2(t, websocket.Dialer{}, ability)
		require.NoError(t, s.Respond(false, ":status", "500"))
		var written error
		for written == nil {
			_, written = s.Write(make([]byte, 4<<10))
		}
		require.IsType(t, &h2wire.Reset{}, written)
		a := <-dialed
		require.Equal(t, websocket.ErrBadHandshake, a.err)
		body, err := io.ReadAll(a.resp.Body)
		require.NoError(t, err)
		require.Len(t, body, 1024)
	})
	t.Run("a refusal that does not come", func(t *testing.T) {
		t.Parallel()
		s, dialed := dialHTTP2(t, websocket.Dialer{HandshakeTimeout: time.Second}, ability)
		require.NoError(t, s.Respond(false, ":status", "500"))
		a := <-dialed
		require.ErrorIs(t, a.err, context.DeadlineExceeded)
		var b [1]byte
		_, err := s.Read(b[:])
		require.Error(t, err, "the stream is over")
	})
	t.Run("a reset", func(t *testing.T) {
		t.Parallel()
		s, dialed := dialHTTP2(t, websocket.Dialer{}, ability)
		require.NoError(t, s.Reset(xhttp2.ErrCodeInternal))
		require.Error(t, (<-dialed).err)
	})
}

// However a stream ends, the program is told once, and of no message that is not whole.
func TestHTTP2StreamsEnd(t *testing.T) {
	half := wstest.Frame{More: true, Opcode: wstest.Text, Payload: "half"}
	for name, end := range map[string]func(s *h2wire.Stream) error{
		"END_STREAM":             func(s *h2wire.Stream) error { return s.CloseWrite() },
		"RST_STREAM":             func(s *h2wire.Stream) error { return s.Reset(xhttp2.ErrCodeCancel) },
		"RST_STREAM, no error":   func(s *h2wire.Stream) error { return s.Reset(xhttp2.ErrCodeNo) },
		"loss of the connection": func(s *h2wire.Stream) error { return s.Conn.Close() },
	} {
		for where, frames := range map[string][]wstest.Frame{"between messages": nil, "in a message": {half}} {
			t.Run(name+" "+where, func(t *testing.T) {
				eachTarget(t, func(t *testing.T, g target) {
					if !g.door.http2() {
						return
					}
					v := g.open(t)
					v.Send(wstest.Frame{Opcode: wstest.Text, Payload: "whole"})
					v.expectDelivered(websocket.TextMessage, "whole")
					v.Send(frames...)
					require.NoError(t, end(v.Conn.(*h2wire.Stream)))
					err := v.end()
					require.Error(t, err)
					require.False(t, websocket.IsCloseError(err, websocket.CloseNormalClosure, websocket.CloseGoingAway), "%v", err)
					v.expectNothingMore()
					require.NoError(t, v.conn.Close())
					<-v.conn.Context().Done()
				})
			})
		}
	}
}

// A stream that is reset behind the peer's last words ends as the words say.
func TestHTTP2ResetBehindTheClose(t *testing.T) {
	eachTarget(t, func(t *testing.T, g target) {
		if !g.door.http2() {
			return
		}
		v := g.open(t)
		v.Send(wstest.CloseFrame(3000, "bye"))
		v.Expect(wstest.CloseFrame(3000, "bye"))
		require.NoError(t, v.Conn.(*h2wire.Stream).Reset(xhttp2.ErrCodeCancel))
		require.True(t, websocket.IsCloseError(v.end(), 3000))
	})
}

// GOAWAY lets what is open go on (RFC 9113, section 6.8).
func TestHTTP2GoAway(t *testing.T) {
	eachTarget(t, func(t *testing.T, g target) {
		if !g.door.http2() {
			return
		}
		v := g.open(t)
		s := v.Conn.(*h2wire.Stream)
		require.NoError(t, s.Frame(func(fr *xhttp2.Framer) error { return fr.WriteGoAway(s.ID, xhttp2.ErrCodeNo, nil) }))
		v.expectWell()
	})
}

// Frames in DATA frames of an octet each, with and without padding.
func TestHTTP2SmallDataFrames(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]h2wire.Config{"octets": {Cut: 1}, "padding": {Cut: 3, Pad: 255}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := &http.Server{Handler: echoing(websocket.Upgrader{})}
			http2.Configure(server)
			s, err := lineTo(t, serveHTTP2(t, server), config).OpenSocket("http", "a", "/")
			require.NoError(t, err)
			p := expectEcho(t, s)
			message := wstest.Frame{Opcode: wstest.Binary, Payload: strings.Repeat("0123456789", 300)}
			p.Send(message)
			p.Expect(message)
			p.Send(wstest.CloseFrame(1000, ""))
			p.Expect(wstest.CloseFrame(1000, ""))
			p.ExpectEnd()
		})
	}
}

// A peer that grants nothing, or an octet at a time.
func TestHTTP2Windows(t *testing.T) {
	for _, window := range []uint32{0, 1} {
		for _, d := range []door{throughHTTP2, throughHTTP2Dial} {
			t.Run(string(d)+"/"+[]string{"none", "an octet"}[window], func(t *testing.T) {
				t.Parallel()
				small := append([]xhttp2.Setting{{ID: xhttp2.SettingInitialWindowSize, Val: window}}, ability.Settings...)
				config := h2wire.Config{Settings: small, Hold: window == 0}
				var options websocket.Options
				if window == 0 { // with an octet, all of it gets there
					options.WriteTimeout = 300 * time.Millisecond
				}
				var c *websocket.Conn
				var s *h2wire.Stream
				if d == throughHTTP2Dial {
					var dialed <-chan dialOutcome
					s, dialed = dialHTTP2(t, websocket.Dialer{Options: options}, config)
					require.NoError(t, s.Respond(false, ":status", "200"))
					c = (<-dialed).conn
				} else {
					conns := make(chan *websocket.Conn, 2)
					u := websocket.Upgrader{Options: options}
					line := lineTo(t, serveHTTP2(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						if c, err := u.Upgrade(w, r, nil); err == nil {
							conns <- c
							<-c.Context().Done()
						}
					})}), config)
					var err error
					s, err = line.OpenSocket("http", "a", "/")
					require.NoError(t, err)
					c = <-conns
				}
				require.NotNil(t, c)
				defer c.Close()
				if window == 1 {
					written := make(chan error, 1)
					go func() { written <- c.WriteMessage(websocket.TextMessage, []byte(strings.Repeat("x", 100))) }()
					if d == throughHTTP2Dial {
						wstest.NewServer(t, s).Expect(wstest.Frame{Opcode: wstest.Text, Payload: strings.Repeat("x", 100)})
					} else {
						wstest.NewClient(t, s).Expect(wstest.Frame{Opcode: wstest.Text, Payload: strings.Repeat("x", 100)})
					}
					require.NoError(t, <-written)
					require.GreaterOrEqual(t, s.Frames(), 100)
					return
				}
				var err error
				for err == nil { // a client's HTTP/2 takes a little
					err = c.WriteMessage(websocket.BinaryMessage, make([]byte, 64<<10))
				}
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				var b [1]byte
				_, err = s.Read(b[:])
				require.Error(t, err, "the stream was ended")
				require.NoError(t, s.Ping(patience), "and the connection was not")
			})
		}
	}
}

// A handler that does not read keeps its neighbours on the connection from nothing, with Configure. Without it their
// window is the connection's, and it takes that with it: this is what Configure is for.
func TestHTTP2StalledStream(t *testing.T) {
	t.Parallel()
	for name, configured := range map[string]bool{"configured": true, "as net/http has it": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var u websocket.Upgrader
			leave := make(chan struct{})
			defer close(leave)
			server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/stalled" {
					u.Handler(func(*websocket.Conn, *http.Request) error {
						<-leave
						return nil
					}).ServeHTTP(w, r)
					return
				}
				echoing(u).ServeHTTP(w, r)
			})}
			if configured {
				http2.Configure(server)
			}
			line := lineTo(t, serveHTTP2(t, server), h2wire.Config{})
			stalled, err := line.OpenSocket("http", "a", "/stalled")
			require.NoError(t, err)
			require.Contains(t, lines(t, stalled), ":status: 200")
			neighbour, err := line.OpenSocket("http", "a", "/")
			require.NoError(t, err)
			p := expectEcho(t, neighbour)
			require.NoError(t, stalled.SetWriteDeadline(time.Now().Add(500*time.Millisecond)))
			_, err = stalled.Write(make([]byte, 4<<20))
			require.ErrorIs(t, err, os.ErrDeadlineExceeded, "its window is full")
			if configured {
				p.Send(wstest.Frame{Opcode: wstest.Text, Payload: "here"})
				p.Expect(wstest.Frame{Opcode: wstest.Text, Payload: "here"})
				return
			}
			require.NoError(t, neighbour.SetWriteDeadline(time.Now().Add(100*time.Millisecond)))
			_, err = neighbour.Write(make([]byte, 64<<10))
			require.ErrorIs(t, err, os.ErrDeadlineExceeded, "nobody may send on this connection any more")
		})
	}
}

// Streams that are opened and reset at once leave nothing behind (CVE-2023-44487).
func TestHTTP2RapidReset(t *testing.T) {
	rounds, batch := 10, 200
	if *full {
		rounds = 200
	}
	server := &http.Server{Handler: echoing(websocket.Upgrader{})}
	http2.Configure(server)
	addr := serveHTTP2(t, server)
	line := lineTo(t, addr, h2wire.Config{})
	warm, err := line.OpenSocket("http", "a", "/")
	require.NoError(t, err)
	p := expectEcho(t, warm)
	awaitGoroutine(t, "websocket.(*exchange).fetch") // the one that waits for warm's next message
	goroutines, before := runtime.NumGoroutine(), liveHeap()
	for range rounds {
		for range batch {
			s, err := line.OpenSocket("http", "a", "/")
			require.NoError(t, err)
			require.NoError(t, s.Close())
		}
		require.NoError(t, line.Ping(patience))
	}
	p.Send(wstest.Frame{Opcode: wstest.Text, Payload: "here"})
	p.Expect(wstest.Frame{Opcode: wstest.Text, Payload: "here"})
	for end := time.Now().Add(patience); runtime.NumGoroutine() > goroutines; time.Sleep(time.Millisecond) {
		require.True(t, time.Now().Before(end), "%d goroutines are left", runtime.NumGoroutine()-goroutines)
	}
	require.Less(t, liveHeap()-before, int64(4<<20))
}

// awaitGoroutine returns when a goroutine runs the function.
func awaitGoroutine(t *testing.T, function string) {
	t.Helper()
	stacks := make([]byte, 1<<20)
	for end := time.Now().Add(patience); !strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), function); time.Sleep(time.Millisecond) {
		require.True(t, time.Now().Before(end), "no goroutine runs %s", function)
	}
}

// The time limits of the HTTP server are for requests.
func TestHTTP2ServersTimeouts(t *testing.T) {
	t.Parallel()
	const limit = 300 * time.Millisecond
	server := &http.Server{Handler: echoing(websocket.Upgrader{}), ReadTimeout: limit, WriteTimeout: limit, IdleTimeout: limit}
	s, err := lineTo(t, serveHTTP2(t, server), h2wire.Config{}).OpenSocket("http", "a", "/")
	require.NoError(t, err)
	p := expectEcho(t, s)
	for end := time.Now().Add(3 * limit); time.Now().Before(end); time.Sleep(limit / 3) { // longer than any of them, whatever goes on
		p.Send(wstest.Frame{Opcode: wstest.Text, Payload: "here"})
		p.Expect(wstest.Frame{Opcode: wstest.Text, Payload: "here"})
	}
	time.Sleep(2 * limit) // and if nothing does
	p.Send(wstest.Frame{Opcode: wstest.Text, Payload: "here"})
	p.Expect(wstest.Frame{Opcode: wstest.Text, Payload: "here"})
}

func TestHTTP2ServerShutdown(t *testing.T) {
	t.Parallel()
	server := &http.Server{Handler: echoing(websocket.Upgrader{})}
	line := lineTo(t, serveHTTP2(t, server), h2wire.Config{})
	var peers []*wstest.Peer
	for range 5 {
		s, err := line.OpenSocket("http", "a", "/")
		require.NoError(t, err)
		peers = append(peers, expectEcho(t, s))
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Shutdown(context.Background()) }()
	for _, p := range peers {
		p.ExpectClose(websocket.CloseGoingAway)
		p.Send(wstest.CloseFrame(websocket.CloseGoingAway, ""))
		p.ExpectEnd()
	}
	require.NoError(t, <-ended)
}
