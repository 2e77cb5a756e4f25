package main

import (
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/duplexkit/websocket"
)

// verdict is a cell of the table and what led to it.
type verdict struct{ cell, saw string }

// twoWriters holds up the network while one goroutine writes a message, has another write
// one meanwhile, and looks at what went out.
func twoWriters(e *env, l *library) (verdict, error) {
	wrap, next := e.gates()
	c, p, err := e.open(l, setup{}, wrap, nil)
	if err != nil {
		return verdict{}, err
	}
	g := next()
	g.close()
	first, second := strings.Repeat("1", 50), strings.Repeat("2", 50)
	one := start(func() error { return c.write([]byte(first)) })
	select {
	case <-g.arrived:
	case <-e.ctx.Done():
		return verdict{}, e.ctx.Err()
	}
	two := start(func() error { return c.write([]byte(second)) })
	returned, err := two.settle(e.ctx)
	if err != nil {
		return verdict{}, err
	}
	if returned && two.panicked != nil {
		return verdict{"panic", fmt.Sprintf("the second writer panicked: %v", two.panicked)}, nil
	}
	if g.held() > 1 { // both are in the network connection's Write: let them go by turns
		<-g.arrived
		g.pass()
		select {
		case <-g.arrived: // the first one has more
		case <-one.returned:
		case <-e.ctx.Done():
			return verdict{}, e.ctx.Err()
		}
		g.pass()
	}
	g.open()
	for _, w := range []*call{one, two} {
		if err := w.wait(e.ctx); err != nil {
			return verdict{}, err
		}
	}
	var got []string
	for range 2 {
		f, err := p.receive()
		if err != nil {
			got = append(got, err.Error())
			break
		}
		got = append(got, string(f.payload))
	}
	switch {
	case len(got) != 2 || got[0] != first || got[1] != second:
		return verdict{"corrupt frames", "the second writer's frame header went out between the first one's header and payload"}, nil
	case returned:
		return verdict{"yes", "the second writer left its message to the first one and went on; both arrived whole and in order"}, nil
	}
	return verdict{"yes", "the second writer waited for the first one; both arrived whole and in order"}, nil
}

// stallingConn reports a deadline once, after the first byte of what comes when armed.
type stallingConn struct {
	net.Conn
	armed chan struct{} // closed: the next Read takes one byte
	state int           // Reads since then
}

func (c *stallingConn) Read(p []byte) (int, error) {
	select {
	case <-c.armed:
	default:
		return c.Conn.Read(p)
	}
	c.state++
	switch c.state {
	case 1:
		return c.Conn.Read(p[:1])
	case 2:
		return 0, &net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}
	}
	return c.Conn.Read(p)
}

// readAgain lets a read time out before anything has come, and another within a frame's
// header, and goes on reading.
func readAgain(e *env, l *library) (verdict, error) {
	c, p, err := e.open(l, setup{}, nil, nil)
	if err != nil {
		return verdict{}, err
	}
	err = c.setReadDeadline(time.Unix(1, 0))
	way := "deadline"
	if errors.Is(err, errors.ErrUnsupported) {
		way = "context"
		ctx, cancel := context.WithCancel(e.ctx)
		defer cancel()
		reading := start(func() error { return c.readContext(ctx) })
		if returned, err := reading.settle(e.ctx); err != nil || returned {
			return verdict{}, fmt.Errorf("a read does not wait: %v, %v", returned, err)
		}
		cancel()
		if reading.wait(e.ctx) == nil {
			return verdict{}, errors.New("a read whose context has ended succeeds")
		}
	} else if _, err := c.read(); err == nil {
		return verdict{}, errors.New("a read whose deadline has passed succeeds")
	} else if err := c.setReadDeadline(time.Time{}); err != nil {
		return verdict{"no", "after a deadline that ended before anything came, the connection was closed"}, nil
	}
	if err := p.send(frame(text, "hello")); err != nil {
		return verdict{}, err
	}
	if got, err := c.read(); err != nil || string(got) != "hello" {
		return verdict{"no", fmt.Sprintf("after a %s that ended before anything came, the next read failed", way)}, nil
	}

	armed := make(chan struct{})
	c, p, err = e.open(l, setup{}, func(nc net.Conn) net.Conn { return &stallingConn{Conn: nc, armed: armed} }, nil)
	if err != nil {
		return verdict{}, err
	}
	close(armed)
	if err := p.send(frame(text, "hello")); err != nil {
		return verdict{}, err
	}
	if _, err := c.read(); !errors.Is(err, os.ErrDeadlineExceeded) {
		return verdict{}, fmt.Errorf("a read whose network connection timed out: %v", err)
	}
	p.Conn.(*net.TCPConn).CloseWrite() // no more comes, whatever length a header seems to have
	if got, err := c.read(); err != nil || string(got) != "hello" {
		return verdict{"if no byte had come", "the next read got the message after a " + way + " that ended before anything came, and failed after one that ended when the first byte of its header had come"}, nil
	}
	return verdict{"yes", "the next read got the message, after a " + way + " that ended before anything came and after one within its header"}, nil
}

// readThousandTimes reads on after the connection has ended.
func readThousandTimes(e *env, l *library) (verdict, error) {
	c, p, err := e.open(l, setup{}, nil, nil)
	if err != nil {
		return verdict{}, err
	}
	p.Close()
	n := 0
	reading := start(func() error {
		for ; n < 1100; n++ {
			if _, err := c.read(); err == nil {
				return errors.New("a read succeeds after the end")
			}
		}
		return nil
	})
	if err := reading.wait(e.ctx); reading.panicked != nil {
		return verdict{fmt.Sprintf("panic at the %dth", n+1), fmt.Sprintf("after %d reads that returned an error: %v", n, reading.panicked)}, nil
	} else if err != nil {
		return verdict{}, err
	}
	return verdict{"an error each time", "1,100 reads after the end returned an error"}, nil
}

// defaultLimits are the largest messages of libraries that have such a limit by default.
var defaultLimits = map[*library]struct {
	bytes int64
	name  string
}{
	ours:         {32 << 20, "32 MiB"},
	coderLibrary: {32 << 10, "32 KiB"},
	gwsLibrary:   {16 << 20, "16 MiB"},
}

// largest sends messages of the library's default limit and of a byte more, or one that is
// larger than any of these.
func largest(e *env, l *library) (verdict, error) {
	limit, ok := defaultLimits[l]
	if !ok {
		const size = 33 << 20
		if n, code, err := oversized(e, l, size); err != nil || n != size {
			return verdict{}, fmt.Errorf("33 MiB: %d bytes, close code %d, %v", n, code, err)
		}
		return verdict{"none", "a message of 33 MiB was delivered"}, nil
	}
	if n, _, err := oversized(e, l, limit.bytes); n != limit.bytes {
		return verdict{}, fmt.Errorf("a message of the limit was not delivered: %v", err)
	}
	_, code, err := oversized(e, l, limit.bytes+1)
	if err == nil {
		return verdict{}, errors.New("a message beyond the limit was delivered")
	}
	return verdict{limit.name, fmt.Sprintf("a message of %s was delivered, one with a byte more failed the connection with close code %d", limit.name, code)}, nil
}

func oversized(e *env, l *library, size int64) (n int64, code int, err error) {
	c, p, err := e.open(l, setup{}, nil, nil)
	if err != nil {
		return 0, 0, err
	}
	h := websocket.FrameHeader{Fin: true, Opcode: binary, Masked: true, Length: size}
	go func() {
		p.Write(h.Append(nil))
		chunk := make([]byte, 64<<10)
		for left := size; left > 0; {
			m, err := p.Write(chunk[:min(left, int64(len(chunk)))])
			if err != nil {
				return
			}
			left -= int64(m)
		}
	}()
	got, err := c.read()
	if err != nil {
		code, _ = p.receiveClose()
	}
	return int64(len(got)), code, err
}

// bomb sends 1 KiB that inflates to 1 MiB to a library that was told to take 64 KiB.
func bomb(e *env, l *library) (verdict, error) {
	const limit, size = 64 << 10, 1 << 20
	c, p, err := e.open(l, setup{compress: true, limit: limit}, nil, offer("permessage-deflate; server_no_context_takeover; client_no_context_takeover"))
	if err != nil {
		return verdict{}, err
	}
	if !strings.Contains(p.response.Header.Get("Sec-WebSocket-Extensions"), "permessage-deflate") {
		return verdict{}, errors.New("does not compress")
	}
	f := frame(binary, string(deflated(make([]byte, size))))
	if err := p.send(f.with(func(h *websocket.FrameHeader) { h.RSV1 = true })); err != nil {
		return verdict{}, err
	}
	got, err := c.read()
	if err != nil {
		return verdict{"yes", "with a limit of 64 KiB, a message of 1 KiB that inflates to 1 MiB failed"}, nil
	}
	return verdict{"no", fmt.Sprintf("with a limit of 64 KiB, a message of 1 KiB was delivered as %d KiB", len(got)>>10)}, nil
}

func deflated(p []byte) []byte {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression) // fails for unknown levels only
	w.Write(p)
	w.Flush()
	return bytes.TrimSuffix(b.Bytes(), []byte{0, 0, 0xff, 0xff})
}

func offer(extensions string) http.Header {
	return http.Header{"Sec-Websocket-Extensions": {extensions}}
}

// utf8Checked sends text that is none.
func utf8Checked(e *env, l *library) (verdict, error) {
	c, p, err := e.open(l, setup{}, nil, nil)
	if err != nil {
		return verdict{}, err
	}
	if err := p.send(frame(text, "a\xffb")); err != nil {
		return verdict{}, err
	}
	if got, err := c.read(); err == nil {
		return verdict{"no", fmt.Sprintf("text with the byte ff was delivered as %q", got)}, nil
	}
	c.drop()
	if code, _ := p.receiveClose(); code != 0 {
		return verdict{"yes", fmt.Sprintf("text with the byte ff failed the connection with close code %d", code)}, nil
	}
	return verdict{"yes", "text with the byte ff was refused with an error; closing is left to the program"}, nil
}

// broken are frames that section 5 of RFC 6455 does not allow, as a client sends them.
var broken = []struct {
	name string
	wire []byte
}{
	{"RSV1 without an extension", frame(text, "x").with(func(h *websocket.FrameHeader) { h.RSV1 = true }).bytes(true)},
	{"RSV2", frame(text, "x").with(func(h *websocket.FrameHeader) { h.RSV2 = true }).bytes(true)},
	{"RSV3", frame(text, "x").with(func(h *websocket.FrameHeader) { h.RSV3 = true }).bytes(true)},
	{"the reserved opcode 3", frame(3, "x").bytes(true)},
	{"the reserved opcode 11", frame(11, "x").bytes(true)},
	{"an unmasked frame of a client", frame(text, "x").bytes(false)},
	{"a fragmented ping", frame(ping, "x").with(func(h *websocket.FrameHeader) { h.Fin = false }).bytes(true)},
	{"a ping of 126 bytes", frame(ping, strings.Repeat("x", 126)).bytes(true)},
	{"a continuation of nothing", frame(continuation, "x").bytes(true)},
	{"a new message within another", append(frame(text, "x").with(func(h *websocket.FrameHeader) { h.Fin = false }).bytes(true), frame(text, "y").bytes(true)...)},
	{"5 bytes with a length of 16 bits", append([]byte{0x81, 0xfe, 0, 5, 0, 0, 0, 0}, "hello"...)},
	{"5 bytes with a length of 64 bits", append([]byte{0x81, 0xff, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0}, "hello"...)},
	{"a length with its highest bit set", append([]byte{0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0}, "hello"...)},
	{"a close frame of 1 byte", frame(closing, "\x03").bytes(true)},
	{"the close code 1005", frame(closing, "\x03\xed").bytes(true)},
	{"a close reason that is not UTF-8", frame(closing, "\x03\xe8\xff").bytes(true)},
}

// refusals sends frames that are not allowed, each on a connection of its own, and one masked
// frame to a client. A frame counts as refused if reading fails with another error than the
// peer's close code, or if the peer is told so by close code 1002 or 1007.
func refusals(e *env, l *library) (verdict, error) {
	var taken []string
	srv := e.serve(l, setup{}, nil)
	for _, b := range broken {
		p, err := e.connect(srv.Listener.Addr().String(), nil, nil)
		if err != nil {
			return verdict{}, err
		}
		c, err := srv.conn()
		if err != nil {
			return verdict{}, err
		}
		if refused, err := refuses(c, p, b.wire); err != nil {
			return verdict{}, fmt.Errorf("%s: %w", b.name, err)
		} else if !refused {
			taken = append(taken, b.name)
		}
	}
	c, p, err := e.dialed(l, setup{})
	if err != nil {
		return verdict{}, err
	}
	if refused, err := refuses(c, p, frame(text, "x").bytes(true)); err != nil {
		return verdict{}, err
	} else if !refused {
		taken = append(taken, "a masked frame of a server")
	}
	all := len(broken) + 1
	v := verdict{fmt.Sprintf("%d of %d", all-len(taken), all), "all were refused"}
	if len(taken) > 0 {
		v.saw = "accepted: " + strings.Join(taken, "; ")
	}
	return v, nil
}

func refuses(c conn, p *peer, wire []byte) (bool, error) {
	if _, err := p.Write(wire); err != nil {
		return false, err
	}
	if wire[0]&0xf != closing {
		// Where the frame passed, or is waited for, this ends the reading. It fails where the
		// connection has failed.
		p.send(frame(closing, "\x0f\xa1"))
	}
	_, err := c.read()
	c.drop()
	if err == nil {
		return false, nil
	}
	if _, _, closed := c.closed(err); !closed {
		return true, nil
	}
	code, _ := p.receiveClose()
	return code == websocket.CloseProtocolError || code == websocket.CloseInvalidFramePayloadData, nil
}

// dialed has the library dial a peer.
func (e *env) dialed(l *library, s setup) (conn, *peer, error) {
	addr, peers, err := e.listen()
	if err != nil {
		return nil, nil, err
	}
	c, err := l.dial(e.ctx, "ws://"+addr, s)
	if err != nil {
		return nil, nil, err
	}
	e.after(c.drop)
	p := <-peers
	e.after(func() { p.Close() })
	return c, p, nil
}

// closeArrives has the peer close with a code and a reason.
func closeArrives(e *env, l *library) (verdict, error) {
	c, p, err := e.open(l, setup{}, nil, nil)
	if err != nil {
		return verdict{}, err
	}
	if err := p.send(frame(closing, "\x0f\xa1bye")); err != nil {
		return verdict{}, err
	}
	_, err = c.read()
	code, reason, ok := c.closed(err)
	if !ok || code != 4001 || reason != "bye" {
		return verdict{"no", fmt.Sprintf("a close frame of 4001 %q gave the error %v", "bye", err)}, nil
	}
	c.drop()
	answer, why := p.receiveClose()
	return verdict{"yes", fmt.Sprintf("the error had code 4001 and reason %q; the answer to the peer had code %d and reason %q", reason, answer, why)}, nil
}

// closeWaits has the library take leave, and the peer answer only when the library's call has
// returned or waits.
func closeWaits(e *env, l *library) (verdict, error) {
	c, p, err := e.open(l, setup{}, nil, nil)
	if err != nil {
		return verdict{}, err
	}
	leaving := start(func() error { return c.shutdown(1000, "done") })
	code, reason := p.receiveClose()
	if code != 1000 || reason != "done" {
		return verdict{}, fmt.Errorf("the peer got %d %q", code, reason)
	}
	returned, err := leaving.settle(e.ctx)
	if err != nil {
		return verdict{}, err
	}
	if returned {
		return verdict{"no", "the call returned when the close frame was sent"}, leaving.wait(e.ctx)
	}
	if err := p.send(frame(closing, "\x03\xe8done")); err != nil {
		return verdict{}, err
	}
	if err := leaving.wait(e.ctx); err != nil {
		return verdict{}, err
	}
	return verdict{"yes", "the call returned when the peer had answered"}, nil
}

// closesAtOnce is closeWaits for those that do not.
func closesAtOnce(e *env, l *library) (verdict, error) {
	v, err := closeWaits(e, l)
	if err == nil && v.cell != "no" {
		err = errors.New(v.saw)
	}
	v.cell = "does not wait"
	return v, err
}

// pongEchoes has the peer send a ping with a payload.
func pongEchoes(e *env, l *library) (verdict, error) {
	c, p, err := e.open(l, setup{}, nil, nil)
	if err != nil {
		return verdict{}, err
	}
	if err := p.send(frame(ping, "are you there"), frame(text, "hello")); err != nil {
		return verdict{}, err
	}
	if got, err := c.read(); err != nil || string(got) != "hello" {
		return verdict{}, fmt.Errorf("%q, %v", got, err)
	}
	f, err := p.receive()
	if err != nil || f.Opcode != pong {
		return verdict{}, fmt.Errorf("opcode %d, %v", f.Opcode, err)
	}
	if string(f.payload) != "are you there" {
		return verdict{"without the ping's payload", fmt.Sprintf("by default the pong's payload was %q", f.payload)}, nil
	}
	return verdict{"yes", "the pong had the ping's payload"}, nil
}

// pingWaits has the library send a ping and the peer answer when the call waits.
func pingWaits(e *env, l *library) (verdict, error) {
	c, p, err := e.open(l, setup{}, nil, nil)
	if err != nil {
		return verdict{}, err
	}
	start(func() error { _, err := c.read(); return err }) // somebody has to read
	pinging := start(func() error { return c.ping(e.ctx) })
	f, err := p.receive()
	if err != nil || f.Opcode != ping {
		return verdict{}, fmt.Errorf("opcode %d, %v", f.Opcode, err)
	}
	if returned, err := pinging.settle(e.ctx); err != nil || returned {
		return verdict{}, fmt.Errorf("returned before the pong: %v, %v", returned, err)
	}
	if err := p.send(frame(pong, string(f.payload))); err != nil {
		return verdict{}, err
	}
	return verdict{"yes", "the call returned when the pong had come"}, pinging.wait(e.ctx)
}

// keepsAlive waits for a ping that nobody asked for, and answers neither it nor anything.
func keepsAlive(e *env, l *library) (verdict, error) {
	c, p, err := e.open(l, setup{keepTime: 10 * time.Millisecond}, nil, nil)
	if err != nil {
		return verdict{}, err
	}
	reading := start(func() error {
		_, err := c.read()
		return err
	})
	f, err := p.receive()
	if err != nil || f.Opcode != ping {
		return verdict{}, fmt.Errorf("opcode %d, %v", f.Opcode, err)
	}
	if err := reading.wait(e.ctx); !errors.Is(err, os.ErrDeadlineExceeded) {
		return verdict{}, fmt.Errorf("reading from a peer that does not answer: %v", err)
	}
	return verdict{"yes", "with `PingInterval` set, a silent peer was sent a ping, and reading ended when it did not answer"}, nil
}

// broadcasts sends to a peer that does not read and to one that does.
func broadcasts(e *env, l *library) (verdict, error) {
	stuck, c, p, err := e.pair(l)
	if err != nil {
		return verdict{}, err
	}
	sending := start(func() error {
		for i := range 20 {
			if err := l.broadcast([]conn{stuck, c}, fmt.Appendf(nil, "news %d", i)); err != nil {
				return err
			}
		}
		return nil
	})
	if err := sending.wait(e.ctx); err != nil {
		return verdict{}, err
	}
	for i := range 20 {
		if f, err := p.receive(); err != nil || string(f.payload) != fmt.Sprintf("news %d", i) {
			return verdict{}, fmt.Errorf("%q, %v", f.payload, err)
		}
	}
	return verdict{"yes", "20 messages reached a peer while the write to another was blocked"}, nil
}

// pair has two connections: the first one's writes are held up.
func (e *env) pair(l *library) (stuck, c conn, p *peer, err error) {
	wrap, next := e.gates()
	srv := e.serve(l, setup{}, wrap)
	if _, err = e.connect(srv.Listener.Addr().String(), nil, nil); err != nil {
		return
	}
	if stuck, err = srv.conn(); err != nil {
		return
	}
	next().close()
	if p, err = e.connect(srv.Listener.Addr().String(), nil, nil); err != nil {
		return
	}
	c, err = srv.conn()
	return
}

// bounded broadcasts 8 MiB to a peer that does not read, and then lets it.
func bounded(e *env, l *library) (verdict, error) {
	wrap, next := e.gates()
	c, p, err := e.open(l, setup{}, wrap, nil)
	if err != nil {
		return verdict{}, err
	}
	g := next()
	g.close()
	const messages = 128
	for range messages {
		if err := l.broadcast([]conn{c}, make([]byte, 64<<10)); err != nil {
			return verdict{}, err
		}
	}
	if err := l.broadcast([]conn{c}, []byte("end")); err != nil { // which has room
		return verdict{}, err
	}
	g.open()
	n := 0
	for ; ; n++ {
		f, err := p.receive()
		if err != nil {
			return verdict{}, err
		}
		if f.Length == 3 {
			break
		}
	}
	if n == messages {
		return verdict{"no limit", "8 MiB were queued for a peer that did not read"}, nil
	}
	if n < 15 || n > 17 { // one more may have been on its way already, and frames have headers
		return verdict{}, fmt.Errorf("%d messages of 64 KiB came", n)
	}
	return verdict{"yes", "of 8 MiB for a peer that did not read, about 1 MiB was queued and the rest dropped"}, nil
}

// leaves takes leave of three connections at once.
func leaves(e *env, l *library) (verdict, error) {
	srv := e.serve(l, setup{}, nil)
	var conns []conn
	var peers []*peer
	for range 3 {
		p, err := e.connect(srv.Listener.Addr().String(), nil, nil)
		if err != nil {
			return verdict{}, err
		}
		c, err := srv.conn()
		if err != nil {
			return verdict{}, err
		}
		conns, peers = append(conns, c), append(peers, p)
	}
	leaving := start(func() error { return l.leave(conns) })
	for _, p := range peers {
		if code, _ := p.receiveClose(); code != websocket.CloseGoingAway {
			return verdict{}, fmt.Errorf("close code %d", code)
		}
		if err := p.send(frame(closing, "\x03\xe9")); err != nil {
			return verdict{}, err
		}
	}
	return verdict{"yes", "one call sent three peers close code 1001 and returned when they had answered"}, leaving.wait(e.ctx)
}

// idleGoroutines counts the goroutines that 20 idle connections keep.
func idleGoroutines(e *env, l *library) (verdict, error) {
	const conns = 20
	srv, err := e.serveIdle(l)
	if err != nil {
		return verdict{}, err
	}
	count := func() (int, error) { // when it has not changed for a while
		for last, same := 0, 0; ; {
			n := runtime.NumGoroutine()
			if n == last {
				same++
			} else {
				last, same = n, 0
			}
			if same == 20 {
				return n, nil
			}
			select {
			case <-e.ctx.Done():
				return 0, e.ctx.Err()
			case <-time.After(2 * time.Millisecond):
			}
		}
	}
	open := func() error {
		p, err := e.connect(srv, nil, nil)
		if err != nil {
			return err
		}
		if err := p.send(frame(text, "hello")); err != nil {
			return err
		}
		_, err = p.receive()
		return err
	}
	if err := open(); err != nil { // what a library starts once for all
		return verdict{}, err
	}
	before, err := count()
	if err != nil {
		return verdict{}, err
	}
	for range conns {
		if err := open(); err != nil {
			return verdict{}, err
		}
	}
	after, err := count()
	if err != nil {
		return verdict{}, err
	}
	each := (after - before + conns/2) / conns
	return verdict{fmt.Sprint(each), fmt.Sprintf("20 more connections that were idle after an echo kept %d more goroutines, counted per connection", each)}, nil
}

func (e *env) serveIdle(l *library) (addr string, err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	srv := &http.Server{Handler: http.HandlerFunc(l.idle)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		srv.Serve(ln)
	}()
	e.after(func() {
		srv.Close()
		<-done
	})
	return ln.Addr().String(), nil
}
