package hostile

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/internal/wstest"
)

var full = flag.Bool("hostile.full", false, "run the attacks of many connections and many bytes, too")

// patience keeps a test from hanging; nothing is measured by it.
const patience = 30 * time.Second

// TestMain counts what the victims of all tests have left behind.
func TestMain(m *testing.M) {
	flag.Parse()
	warmUp()
	goroutines, descriptors := runtime.NumGoroutine(), openDescriptors()
	code := m.Run()
	http.DefaultClient.CloseIdleConnections()
	for end := time.Now().Add(patience); code == 0; {
		g, d := runtime.NumGoroutine(), openDescriptors()
		if g <= goroutines && d <= descriptors {
			break
		}
		if time.Now().After(end) {
			stacks := make([]byte, 1<<20)
			fmt.Printf("left behind: %d goroutines (%d before), %d descriptors (%d before)\n%s\n",
				g, goroutines, d, descriptors, stacks[:runtime.Stack(stacks, true)])
			code = 1
		}
		time.Sleep(10 * time.Millisecond)
	}
	os.Exit(code)
}

// warmUp has the pollers, the runtime's and Start's, open the descriptors that they keep.
func warmUp() {
	ended := make(chan error, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := new(websocket.Upgrader).Upgrade(w, r, nil)
		if err != nil {
			ended <- err
			return
		}
		c.Start(func(websocket.Message) error { return nil }, func(err error) { ended <- err })
	}))
	defer s.Close()
	c, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(s.URL, "http"), nil)
	if err == nil {
		c.Close()
		err = <-ended
	}
	if !websocket.IsCloseError(err, websocket.CloseAbnormalClosure) {
		panic(err)
	}
}

// openDescriptors counts the descriptors of the process, 0 where there is no way to.
func openDescriptors() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}

// A door is how a victim comes by its connection.
type door string

const (
	throughNetHTTP door = "Upgrade"     // a server behind net/http
	throughConn    door = "UpgradeConn" // a server on a bare connection
	throughDial    door = "Dial"        // a client

	throughHTTP2     door = "HTTP2"     // a server of HTTP/2
	throughHTTP2Dial door = "HTTP2Dial" // a client that dials by HTTP/2
)

// client reports whether the victim is the client.
func (d door) client() bool { return d == throughDial || d == throughHTTP2Dial }

// http2 reports whether the connection is a stream of HTTP/2.
func (d door) http2() bool { return d == throughHTTP2 || d == throughHTTP2Dial }

// A way is how a victim reads.
type way string

const (
	byMessage way = "ReadMessage"
	byStream  way = "NextReader"
	byLoop    way = "Messages"
	byServe   way = "Serve"
	byStart   way = "Start"
)

var (
	doors   = append([]door{throughHTTP2, throughHTTP2Dial}, sockets...)
	sockets = []door{throughNetHTTP, throughConn, throughDial}
	ways    = []way{byMessage, byStream, byLoop, byServe, byStart}
)

// target says what is attacked.
type target struct {
	door    door
	way     way
	deflate bool              // permessage-deflate was agreed, with context takeover both ways unless extensions says otherwise
	options websocket.Options // Compression is set by deflate unless it is set already
	answer  bool              // echo every message
	silent  bool              // never read: the connection is opened and left to the test
	hold    bool              // the attacker grants no more than the first windows of HTTP/2

	extensions string // header lines that the attacker sends in place of the usual ones about permessage-deflate
}

func (g target) String() string {
	name := fmt.Sprintf("%s/%s", g.door, g.way)
	if g.deflate {
		name += "/deflate"
	}
	return name
}

// eachTarget runs f against every door and way, with and without permessage-deflate. Under the race detector it is a third of them for
// each test, and all for all tests together, unless -hostile.full asks for more.
func eachTarget(t *testing.T, f func(t *testing.T, g target)) { eachTargetOf(t, doors, f) }

// eachSocket is eachTarget without HTTP/2, for attacks on the socket.
func eachSocket(t *testing.T, f func(t *testing.T, g target)) { eachTargetOf(t, sockets, f) }

func eachTargetOf(t *testing.T, doors []door, f func(t *testing.T, g target)) {
	n, left := len(t.Name()), 0
	for _, d := range doors {
		for _, w := range ways {
			for _, deflate := range []bool{false, true} {
				if n++; raceEnabled && !*full && n%3 != 0 {
					left++
					continue
				}
				g := target{door: d, way: w, deflate: deflate}
				t.Run(g.String(), func(t *testing.T) {
					t.Parallel()
					f(t, g)
				})
			}
		}
	}
	if left > 0 {
		t.Logf("%d targets are left out under the race detector, without -hostile.full", left)
	}
}

// eachDoor runs f against every door, with and without permessage-deflate, all read by ReadMessage.
func eachDoor(t *testing.T, f func(t *testing.T, g target)) {
	eachTarget(t, func(t *testing.T, g target) {
		if g.way == byMessage {
			f(t, g)
		}
	})
}

// victim is an endpoint of the library, and the attacker's end of its connection.
type victim struct {
	*wstest.Peer // the attacker
	target
	conn     *websocket.Conn
	head     string                 // the server's answer, "" through Dial
	received chan websocket.Message // what was handed out as a message, until the connection ended
	ended    chan error             // the error that ended the reading, once
	t        testing.TB
}

// open makes a victim. It is gone when the test ends.
func (g target) open(t testing.TB) *victim {
	t.Helper()
	if g.deflate && g.options.Compression == nil {
		g.options.Compression = &websocket.Compression{ServerMaxWindowBits: 15, ClientMaxWindowBits: 15, Threshold: -1}
	}
	v := &victim{target: g, received: make(chan websocket.Message, 1024), ended: make(chan error, 1), t: t}
	conns := make(chan *websocket.Conn, 1)
	var nc net.Conn
	switch g.door {
	case throughNetHTTP:
		nc = v.connectNetHTTP(conns)
	case throughConn:
		nc = v.connectConn(conns)
	case throughDial:
		nc = v.beDialed(conns)
	case throughHTTP2:
		nc = v.connectHTTP2(conns)
	case throughHTTP2Dial:
		nc = v.beDialedHTTP2(conns)
	default:
		t.Fatalf("no such door: %q", g.door)
	}
	t.Cleanup(func() {
		if tcp, ok := nc.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // it may be closed; if not, its port is free at once
		}
		nc.Close()
	})
	select {
	case v.conn = <-conns:
	case <-time.After(patience):
		t.Fatal("no connection")
	}
	t.Cleanup(func() { v.conn.Close() })
	if g.door.client() {
		v.Peer = wstest.NewServer(t, nc)
	} else {
		v.Peer = wstest.NewClient(t, nc)
	}
	if !g.silent {
		v.read()
	}
	return v
}

const offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"

// request is an opening handshake (RFC 6455, section 1.3) as a client sends it.
func request(extra string) string {
	return "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n" + extra + "\r\n"
}

func (v *victim) connectNetHTTP(conns chan<- *websocket.Conn) net.Conn {
	v.t.Helper()
	upgrader := websocket.Upgrader{Options: v.options}
	nc := connectTo(v.t, listen(v.t), &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, err := upgrader.Upgrade(w, r, nil); err == nil {
			conns <- c
		}
	})})
	v.shakeHands(nc)
	return nc
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return ln
}

// connectTo has server serve on ln, and connects to it. Both end with the test.
func connectTo(t testing.TB, ln net.Listener, server *http.Server) net.Conn {
	t.Helper()
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	t.Cleanup(func() {
		server.Close()
		<-served
	})
	nc, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { nc.Close() })
	return nc
}

func (v *victim) connectConn(conns chan<- *websocket.Conn) net.Conn {
	v.t.Helper()
	attacker, server := wstest.TCP(v.t)
	go func() {
		upgrader := websocket.Upgrader{Options: v.options}
		if c, _, err := upgrader.UpgradeConn(server); err == nil {
			conns <- c
		}
	}()
	v.shakeHands(attacker)
	return attacker
}

// shakeHands opens the connection from the client's side and reads the answer, byte by byte, so that nothing behind it is lost.
func (v *victim) shakeHands(nc net.Conn) {
	v.t.Helper()
	extra := v.extensions
	if v.deflate && extra == "" {
		extra = offer
	}
	_, err := io.WriteString(nc, request(extra))
	require.NoError(v.t, err)
	require.NoError(v.t, nc.SetReadDeadline(time.Now().Add(patience)))
	head := readHead(v.t, nc)
	require.True(v.t, strings.HasPrefix(head, "HTTP/1.1 101 "), "%s", head)
	require.Contains(v.t, head, wstest.Accept)
	require.Equal(v.t, v.deflate, strings.Contains(head, "permessage-deflate"), "%s", head)
	v.head = head
}

// acceptFor answers a key (RFC 6455, section 4.2.2).
func acceptFor(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// readHead reads up to the empty line and not a byte more.
func readHead(t testing.TB, r io.Reader) string {
	t.Helper()
	var head strings.Builder
	var b [1]byte
	for !strings.HasSuffix(head.String(), "\r\n\r\n") {
		_, err := io.ReadFull(r, b[:])
		require.NoError(t, err, "%s", head.String())
		head.WriteByte(b[0])
	}
	return head.String()
}

// beDialed has the victim dial, and answers its request.
func (v *victim) beDialed(conns chan<- *websocket.Conn) net.Conn {
	v.t.Helper()
	ln := listen(v.t)
	defer ln.Close()
	dialed := make(chan error, 1)
	go func() {
		dialer := websocket.Dialer{Options: v.options}
		c, _, err := dialer.Dial("ws://"+ln.Addr().String()+"/chat", nil)
		dialed <- err
		if err == nil {
			conns <- c
		}
	}()
	nc, err := ln.Accept()
	require.NoError(v.t, err)
	require.NoError(v.t, nc.SetDeadline(time.Now().Add(patience)))
	r, err := http.ReadRequest(bufio.NewReader(nc))
	require.NoError(v.t, err)
	extra := v.extensions
	if v.deflate && extra == "" {
		extra = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
	}
	_, err = io.WriteString(nc, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: "+acceptFor(r.Header.Get("Sec-WebSocket-Key"))+"\r\n"+extra+"\r\n")
	require.NoError(v.t, err)
	require.NoError(v.t, nc.SetDeadline(time.Time{}))
	require.NoError(v.t, <-dialed)
	return nc
}

// read has the victim read until its connection ends.
func (v *victim) read() {
	handle := func(m websocket.Message) error {
		v.hand(m.Type, append([]byte{}, m.Data...))
		if v.answer {
			return v.conn.WriteMessage(m.Type, m.Data)
		}
		return nil
	}
	switch v.way {
	case byStart:
		v.conn.Start(handle, func(err error) { v.ended <- err })
	case byServe:
		go func() { v.ended <- v.conn.Serve(context.Background(), handle) }()
	case byLoop:
		go func() {
			for m, err := range v.conn.Messages(context.Background()) {
				if err != nil {
					v.ended <- err
					return
				}
				if err := handle(m); err != nil {
					v.ended <- err
					return
				}
			}
			v.ended <- nil
		}()
	case byMessage:
		go func() {
			for {
				messageType, p, err := v.conn.ReadMessage()
				if err == nil {
					err = handle(websocket.Message{Type: messageType, Data: p})
				}
				if err != nil {
					v.ended <- err
					return
				}
			}
		}()
	case byStream:
		go func() {
			if v.options.ReadLimit != 0 {
				v.conn.SetReadLimit(v.options.ReadLimit)
			}
			for {
				messageType, r, err := v.conn.NextReader()
				var p []byte
				if err == nil {
					p, err = io.ReadAll(r)
				}
				if err == nil {
					err = handle(websocket.Message{Type: messageType, Data: p})
				}
				if err != nil {
					v.ended <- err
					return
				}
			}
		}()
	default:
		v.t.Fatalf("no such way to read: %q", v.way)
	}
}

// header makes a frame header out of hexadecimal digits that set the mask bit: without it and the key where the attacker is a server.
func (v *victim) header(digits string) []byte {
	h := wstest.Hex(digits)
	if v.door.client() {
		h[1] &= 0x7f
		return h
	}
	return append(h, 0, 0, 0, 0) // the key that changes nothing
}

// halfClose ends the attacker's direction of the connection.
func (v *victim) halfClose() error { return v.Conn.(interface{ CloseWrite() error }).CloseWrite() }

// hand keeps a message for the test. An attack that delivers more than the test looks at must not hold up the victim.
func (v *victim) hand(messageType int, p []byte) {
	select {
	case v.received <- websocket.Message{Type: messageType, Data: p}:
	default:
	}
}

// expectDelivered waits for the next message of the victim's program.
func (v *victim) expectDelivered(messageType int, data string) {
	v.t.Helper()
	select {
	case m := <-v.received:
		require.Equal(v.t, messageType, m.Type)
		require.True(v.t, data == string(m.Data), "got %d bytes %.64q, want %d bytes %.64q", len(m.Data), m.Data, len(data), data)
	case <-time.After(patience):
		v.t.Fatal("the message does not arrive")
	}
}

// expectNothingMore makes sure, once the reading has ended, that the program was given nothing that expectDelivered has not seen.
func (v *victim) expectNothingMore() {
	v.t.Helper()
	select {
	case m := <-v.received:
		v.t.Fatalf("the program was given %d bytes: %.64q", len(m.Data), m.Data)
	default:
	}
}

// end waits for the error that the victim's program gets.
func (v *victim) end() error {
	v.t.Helper()
	select {
	case err := <-v.ended:
		return err
	case <-time.After(patience):
		v.t.Fatal("the reading does not end")
		return nil
	}
}

// expectFailure wants the victim to fail the connection with a close code (RFC 6455, section 7.1.7), to hand out nothing, and to end.
func (v *victim) expectFailure(code int) {
	v.t.Helper()
	v.ExpectClose(code)
	v.ExpectEnd()
	err := v.end()
	var broken *websocket.ProtocolError
	switch {
	case code == websocket.CloseMessageTooBig:
		require.ErrorIs(v.t, err, websocket.ErrReadLimit)
	case errors.As(err, &broken):
		require.Equal(v.t, code, broken.Code, "%v", err)
	default:
		v.t.Fatalf("the program got %#v (%v)", err, err)
	}
	v.expectNothingMore()
}

// expectWell makes sure that the connection is as good as new: a message arrives, a ping is answered.
func (v *victim) expectWell() {
	v.t.Helper()
	v.Send(wstest.Frame{Opcode: wstest.Text, Payload: "still there?"}, wstest.Frame{Opcode: wstest.Ping, Payload: "yes"})
	v.expectDelivered(websocket.TextMessage, "still there?")
	if v.answer {
		v.Expect(wstest.Frame{Opcode: wstest.Text, Payload: "still there?"})
	}
	v.Expect(wstest.Frame{Opcode: wstest.Pong, Payload: "yes"})
}

// liveHeap is what is in use on the heap, pools emptied.
func liveHeap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
