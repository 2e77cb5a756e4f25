package differential

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	gorilla "github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/internal/wstest"
)

// patience keeps a test from hanging.
const patience = 20 * time.Second

// A script is a network connection whose peer has sent all it will, and takes
// everything.
type script struct {
	net.Conn // nil: what is not here is not used

	mu      sync.Mutex
	head    []byte // comes before the stream
	stream  []byte
	chunk   func() int // how much of the stream a read brings at most
	waits   []wait
	at      int // how much of the stream was read
	written []byte
	more    chan struct{} // has room for one: something was written
	closed  chan struct{}
	once    sync.Once
}

// A wait holds reads at an offset of the stream until so many octets were written.
type wait struct{ at, written int }

func newScript(stream []byte, chunk func() int) *script {
	return &script{stream: stream, chunk: chunk, more: make(chan struct{}, 1), closed: make(chan struct{})}
}

var errNoAnswer = errors.New("what is due was not written")

func (s *script) Read(p []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.head) > 0 {
		n = copy(p, s.head)
		s.head = s.head[n:]
		return n, nil
	}
	end := min(len(s.stream), s.at+s.chunk())
	if len(s.waits) > 0 {
		if next := s.waits[0]; next.at == s.at {
			s.waits = s.waits[1:]
			if err := s.awaitLocked(next.written); err != nil {
				return 0, err
			}
		}
	}
	if len(s.waits) > 0 {
		end = min(end, s.waits[0].at)
	}
	if s.at == len(s.stream) {
		return 0, io.EOF
	}
	n = copy(p, s.stream[s.at:end])
	s.at += n
	return n, nil
}

func (s *script) awaitLocked(n int) error {
	for len(s.written) < n {
		s.mu.Unlock()
		timer := time.NewTimer(patience)
		var err error
		select {
		case <-s.more:
		case <-timer.C:
			err = errNoAnswer
		}
		timer.Stop()
		s.mu.Lock()
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *script) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.written = append(s.written, p...)
	select {
	case s.more <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (s *script) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }
func (s *script) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (s *script) RemoteAddr() net.Addr             { return &net.TCPAddr{} }

// note takes what was written into out: pongs, and at most one close frame behind them.
func (s *script) note(t testing.TB, in input, out *outcome) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for r := bytes.NewReader(s.written); r.Len() > 0; {
		f, masked, err := wstest.ReadFrame(r)
		require.NoError(t, err)
		require.Equal(t, !in.server, masked, "a client masks, a server does not")
		require.False(t, f.More || f.RSV != 0, "%v", f)
		require.False(t, out.closed, "%v behind a close frame", f)
		switch f.Opcode {
		case wstest.Pong:
			out.pongs = append(out.pongs, f.Payload)
		case wstest.Close:
			out.close, out.closed = f.Payload, true
		default:
			t.Fatalf("nobody asked for %v", f)
		}
	}
}

// polite returns when a peer goes on that waits for each pong.
func polite(in input, want outcome) (waits []wait) {
	header := 2
	if !in.server {
		header = 6
	}
	written := 0
	for i, at := range want.answered {
		written += header + len(want.pongs[i])
		waits = append(waits, wait{at, written})
	}
	return waits
}

// library returns what the library makes of an input. While the peer is polite, as the
// outcome that is wanted tells how, all pongs come; otherwise one may stand for several
// (section 5.5.3).
func library(t testing.TB, in input, chunk func() int, waits []wait, read func(*websocket.Conn) (int, []byte, error)) (out outcome) {
	t.Helper()
	nc := newScript(in.stream, chunk)
	nc.waits = waits
	agreed := websocket.Negotiated{Server: in.server}
	if in.deflate {
		agreed.Compression = &websocket.Compression{ServerNoContextTakeover: in.afresh, ClientNoContextTakeover: in.afresh}
	}
	c := websocket.NewConn(nc, agreed, websocket.Options{ReadLimit: in.limit, AllowInvalidUTF8: in.anyText})
	for out.end.kind == "" {
		opcode, p, err := read(c)
		if err == nil {
			out.messages = append(out.messages, message{byte(opcode), string(p)})
			continue
		}
		out.end.within = opcode > 0
		var (
			gone    *websocket.CloseError
			against *websocket.ProtocolError
		)
		switch {
		case errors.As(err, &gone) && gone.Code == websocket.CloseAbnormalClosure:
			out.end.kind, out.end.code = lost, gone.Code
		case errors.As(err, &gone):
			out.end.kind, out.end.code, out.end.reason = closed, gone.Code, gone.Text
		case errors.As(err, &against):
			out.end.kind, out.end.code = broken, against.Code
		case errors.Is(err, websocket.ErrReadLimit):
			out.end.kind, out.end.code = limit, websocket.CloseMessageTooBig
		default:
			require.NoError(t, err, "no kind of error that reading may end with here")
		}
		_, _, again := read(c)
		require.Equal(t, err, again, "the first error stays")
	}
	require.NoError(t, c.Close())
	select {
	case <-nc.closed:
	case <-time.After(patience):
		t.Fatal("the network connection stays open")
	}
	nc.note(t, in, &out)
	return out
}

func readMessage(c *websocket.Conn) (int, []byte, error) { return c.ReadMessage() }

// readPieces reads a message with calls for few octets.
func readPieces(size func() int) func(c *websocket.Conn) (int, []byte, error) {
	return func(c *websocket.Conn) (opcode int, p []byte, err error) {
		opcode, r, err := c.NextReader()
		if err != nil {
			return -1, nil, err
		}
		for err == nil {
			b := make([]byte, size())
			var n int
			n, err = r.Read(b)
			p = append(p, b[:n]...)
		}
		if err == io.EOF {
			err = nil
		}
		return opcode, p, err
	}
}

// chunks returns sizes by chance, most of them small.
func chunks(seed uint64) func() int {
	rnd := rand.New(rand.NewPCG(seed, 0))
	return func() int { return 1 + rnd.IntN(1+rnd.IntN(300)) }
}

// mostOfGorilla is how much of a message of gorilla's is looked at: it inflates without
// a limit.
const mostOfGorilla = 1 << 21

// theirs returns what gorilla/websocket makes of an input.
func theirs(t testing.TB, in input, chunk func() int) (out outcome) {
	t.Helper()
	nc := newScript(in.stream, chunk)
	c := gorillaConn(t, nc, in)
	nc.written = nil
	if in.limit > 0 {
		c.SetReadLimit(in.limit)
	}
	for out.end.kind == "" {
		opcode, r, err := c.NextReader()
		var p []byte
		if err == nil {
			out.end.within = true
			p, err = io.ReadAll(io.LimitReader(r, mostOfGorilla))
		}
		if err == nil && len(p) == mostOfGorilla {
			out.end.kind = "endless"
			break
		}
		if err == nil {
			out.end.within = false
			out.messages = append(out.messages, message{byte(opcode), string(p)})
			continue
		}
		gone, ok := errors.AsType[*gorilla.CloseError](err)
		switch {
		case err == io.EOF, ok && gone.Code == gorilla.CloseAbnormalClosure:
			out.end.kind, out.end.code = lost, gorilla.CloseAbnormalClosure
		case ok:
			out.end.kind, out.end.code, out.end.reason = closed, gone.Code, gone.Text
		case err == gorilla.ErrReadLimit:
			out.end.kind = limit
		default:
			out.end.kind = broken
		}
	}
	nc.note(t, in, &out)
	if (out.end.kind == limit || out.end.kind == broken) && len(out.close) > 1 {
		out.end.code = int(out.close[0])<<8 | int(out.close[1])
	}
	return out
}

// gorillaConn returns a connection of gorilla's after its opening handshake.
func gorillaConn(t testing.TB, nc *script, in input) (c *gorilla.Conn) {
	t.Helper()
	var err error
	if in.server {
		header := http.Header{
			"Connection": {"Upgrade"}, "Upgrade": {"websocket"},
			"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {wstest.Key},
		}
		if in.deflate {
			header.Set("Sec-WebSocket-Extensions", "permessage-deflate")
		}
		upgrader := gorilla.Upgrader{EnableCompression: true}
		w := hijackable{httptest.NewRecorder(), nc}
		c, err = upgrader.Upgrade(w, &http.Request{Method: http.MethodGet, Header: header}, nil)
	} else {
		dialer := gorilla.Dialer{
			EnableCompression: true,
			NetDial:           func(string, string) (net.Conn, error) { return &answering{script: nc, deflate: in.deflate}, nil },
		}
		c, _, err = dialer.Dial("ws://example.com/", nil)
	}
	require.NoError(t, err)
	return c
}

// hijackable is a ResponseWriter that gives its connection away.
type hijackable struct {
	*httptest.ResponseRecorder
	nc *script
}

func (h hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.nc, bufio.NewReadWriter(bufio.NewReader(h.nc), bufio.NewWriter(h.nc)), nil
}

// An answering connection has a server at its other end that answers the opening
// handshake, which is written first.
type answering struct {
	*script
	deflate, answered bool
}

func (a *answering) Write(p []byte) (int, error) {
	if a.answered {
		return a.script.Write(p)
	}
	a.answered = true
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(p)))
	if err != nil {
		return 0, err
	}
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) // RFC 6455, section 1.3
	head := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: " + base64.StdEncoding.EncodeToString(sum[:]) + "\r\n"
	if a.deflate {
		head += "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n"
	}
	a.head = []byte(head + "\r\n")
	return len(p), nil
}
