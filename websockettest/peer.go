package websockettest

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/duplexkit/websocket"
)

// defaultTimeout is how long a Peer waits for what it expects.
const defaultTimeout = 10 * time.Second

// A Peer is one end of a WebSocket connection that does what a test tells it, right or
// wrong, and tells the test what the other end does. It never acts by itself: it answers no
// ping and no close frame.
//
// What is not as expected fails the test at once, with the frames that went before, and
// closes the connection. So the methods are for the goroutine of the test, and in others
// for scripts that Go has started.
type Peer struct {
	// Timeout is how long the Peer waits for each frame, and for the other end to take what
	// is sent; 0 and less is for ever. It is 10 s at first. In a bubble of testing/synctest
	// those are seconds of its clock: where a test makes hours pass, let it be longer.
	Timeout time.Duration

	// Request is the opening handshake of the client, if the Peer is from a PeerHandler.
	Request *http.Request

	// Response is the server's answer to the opening handshake, if the Peer is from
	// Server.DialPeer.
	Response *http.Response

	t      testing.TB
	line   *line
	script bool // of Go
}

// A line is what a Peer and its scripts share.
type line struct {
	nc     net.Conn
	br     *bufio.Reader
	client bool // the Peer plays the client

	mu      sync.Mutex
	history []string // the last frames, oldest first
	over    bool     // the test has ended
}

// NewClientPeer returns a Peer that plays the client on nc, on which the opening handshake
// is done, or is not needed, as for websocket.NewConn. nc is closed when the test ends.
func NewClientPeer(t testing.TB, nc net.Conn) *Peer { return newPeer(t, nc, bufio.NewReader(nc), true) }

// NewServerPeer is NewClientPeer for a Peer that plays the server.
func NewServerPeer(t testing.TB, nc net.Conn) *Peer {
	return newPeer(t, nc, bufio.NewReader(nc), false)
}

func newPeer(t testing.TB, nc net.Conn, br *bufio.Reader, client bool) *Peer {
	t.Cleanup(func() { _ = nc.Close() })
	return &Peer{Timeout: defaultTimeout, t: t, line: &line{nc: nc, br: br, client: client}}
}

// NetConn returns the network connection beneath the Peer.
func (p *Peer) NetConn() net.Conn { return p.line.nc }

// Encode returns the bytes of a frame as Send would send them.
func (p *Peer) Encode(f Frame) []byte { return f.append(nil, p.line.client) }

// Send sends frames as they are, all with one write.
func (p *Peer) Send(frames ...Frame) {
	p.t.Helper()
	var b []byte
	for _, f := range frames {
		b = f.append(b, p.line.client)
		p.line.note("sent     " + f.String())
	}
	p.write(b)
}

// SendBytes sends bytes that need not be a frame: half of one, by Encode, say, or noise.
func (p *Peer) SendBytes(b []byte) {
	p.t.Helper()
	const enough = 32
	p.line.note(fmt.Sprintf("sent     %d bytes: % x", len(b), b[:min(len(b), enough)]))
	p.write(b)
}

func (p *Peer) write(b []byte) {
	p.t.Helper()
	_ = p.line.nc.SetWriteDeadline(p.deadline()) // a closed connection says so at the write
	if n, err := p.line.nc.Write(b); err != nil {
		p.failf("sending: %v, after %d of %d bytes", p.reason(err), n, len(b))
	}
}

// Receive returns the next frame, whatever it is. The test fails if that is not masked as
// the role of the other end has it, if its length is not in its shortest form, and if the
// connection ends.
func (p *Peer) Receive() Frame {
	p.t.Helper()
	return p.receive("a frame")
}

func (p *Peer) receive(expected string) Frame {
	p.t.Helper()
	_ = p.line.nc.SetReadDeadline(p.deadline()) // a closed connection says so at the read
	f, err := readFrame(p.line.br, p.line.client)
	if err != nil {
		p.failf("expected %s: %v", expected, p.reason(err))
	}
	p.line.note("received " + f.String())
	if f.WrongMask {
		rule := "a client masks its frames"
		if p.line.client {
			rule = "a server does not mask its frames"
		}
		p.failf("expected %s, received %v: %s (RFC 6455, section 5.1)", expected, f, rule)
	}
	return f
}

// Expect receives frames and compares them with those that are expected, one by one.
func (p *Peer) Expect(frames ...Frame) {
	p.t.Helper()
	for _, want := range frames {
		if got := p.receive(want.String()); got != want {
			p.failf("expected %v, received %v%s", want, got, difference(want.Payload, got.Payload))
		}
	}
}

// difference tells where long payloads differ.
func difference(want, got string) string {
	if want == got || len(want) <= 64 && len(got) <= 64 {
		return ""
	}
	i := 0
	for i < len(want) && i < len(got) && want[i] == got[i] {
		i++
	}
	const around = 16
	part := func(s string) string { return s[max(0, min(i, len(s))-around):min(len(s), i+around)] }
	return fmt.Sprintf("; the payloads differ from byte %d on: expected ...%q..., received ...%q...", i, part(want), part(got))
}

// ExpectOpcode receives a frame with this opcode, and returns it.
func (p *Peer) ExpectOpcode(opcode int) Frame {
	p.t.Helper()
	name, _, _ := strings.Cut(Frame{Opcode: opcode}.String(), ` "`)
	f := p.receive(name)
	if f.Opcode != opcode {
		p.failf("expected %s, received %v", name, f)
	}
	return f
}

// ExpectClose receives a close frame with this code, 0 for one without any, and returns
// its reason.
func (p *Peer) ExpectClose(code int) (reason string) {
	p.t.Helper()
	want, _, _ := strings.Cut(Close(code, "").String(), ` "`)
	if code == 0 {
		want += " without a code"
	}
	f := p.receive(want)
	got := 0
	if len(f.Payload) >= 2 {
		got, reason = int(binary.BigEndian.Uint16([]byte(f.Payload))), f.Payload[2:]
	}
	if f.Opcode != websocket.CloseMessage || got != code || f.More || len(f.Payload) == 1 {
		p.failf("expected %s, received %v", want, f)
	}
	return reason
}

// ExpectEnd waits for the other end to end the connection, without another byte and
// without a reset.
func (p *Peer) ExpectEnd() {
	p.t.Helper()
	const end = "the end of the connection"
	_ = p.line.nc.SetReadDeadline(p.deadline()) // as in Receive
	switch _, err := p.line.br.Peek(1); {
	case err == nil:
		p.failf("expected %s, received %v", end, p.receive(end))
	case err != io.EOF:
		p.failf("expected %s: %v", end, p.reason(err))
	}
}

// ExpectNothing makes sure that the other end has sent nothing that was not received, and
// sends nothing before the answer to a ping. It has to be reading, and must not have been
// told to answer pings in another way.
func (p *Peer) ExpectNothing() {
	p.t.Helper()
	p.Send(Ping("anything else?"))
	p.Expect(Pong("anything else?"))
}

// CloseWrite ends the Peer's side of the connection, without a close frame. The other
// direction stays open.
func (p *Peer) CloseWrite() {
	p.t.Helper()
	half, ok := p.line.nc.(interface{ CloseWrite() error })
	if !ok {
		p.failf("a %T has no CloseWrite", p.line.nc)
	}
	p.line.note("ended its side")
	if err := half.CloseWrite(); err != nil {
		p.failf("ending the connection: %v", err)
	}
}

// Close closes the network connection, without a close frame.
func (p *Peer) Close() {
	p.line.note("closed the connection")
	_ = p.line.nc.Close() // it may be closed already
}

// Reset breaks the network connection off: if it is of TCP or of Pipe, or a FaultyConn over
// one, the other end sees a reset.
func (p *Peer) Reset() {
	p.line.note("reset the connection")
	_ = reset(p.line.nc) // it may be closed already
}

// Go runs a script beside the test, which may be about to wait for the other end. The
// script uses the Peer that it is given. wait waits until it has come to its end. When the
// test ends the connection is closed, and a script that still wants something of it fails
// the test.
func (p *Peer) Go(script func(p *Peer)) (wait func()) {
	actor := *p
	actor.script = true
	done := make(chan struct{})
	go func() {
		defer close(done)
		script(&actor)
	}()
	p.t.Cleanup(func() {
		select {
		case <-done:
			return
		default:
		}
		p.line.mu.Lock()
		p.line.over = true
		p.line.mu.Unlock()
		_ = p.line.nc.Close()
		<-done
	})
	return func() { <-done }
}

func (p *Peer) deadline() time.Time {
	if p.Timeout <= 0 {
		return time.Time{}
	}
	return time.Now().Add(p.Timeout)
}

// reason says in words why reading or writing has failed.
func (p *Peer) reason(err error) string {
	p.line.mu.Lock()
	over := p.line.over
	p.line.mu.Unlock()
	switch {
	case over:
		return "the test has ended"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Sprintf("nothing happened within %v", p.Timeout)
	case err == io.EOF:
		return "the other end has ended the connection"
	case err == io.ErrUnexpectedEOF:
		return "the other end has ended the connection within a frame"
	case errors.Is(err, net.ErrClosed):
		return "the connection was closed from here"
	}
	return err.Error()
}

// recent is how many frames a failure tells of.
const recent = 20

func (l *line) note(event string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.history) == recent {
		l.history = append(l.history[:0], l.history[1:]...)
	}
	l.history = append(l.history, event)
}

// failf fails the test and ends the calling goroutine, the test's or that of a script.
func (p *Peer) failf(format string, args ...any) {
	p.t.Helper()
	role := "server"
	if p.line.client {
		role = "client"
	}
	p.line.mu.Lock()
	quiet := p.line.over && p.t.Failed() // it has failed for another reason, and the script could not go on
	var history strings.Builder
	for _, event := range p.line.history {
		history.WriteString("\n\t" + event)
	}
	p.line.mu.Unlock()
	if history.Len() == 0 {
		history.WriteString("\n\tnothing")
	}
	if !quiet {
		p.t.Errorf("websockettest: scripted %s: %s\nso far it has:%s", role, fmt.Sprintf(format, args...), history.String())
	}
	_ = p.line.nc.Close() // nobody is to wait for what does not come
	if p.script {
		runtime.Goexit()
	}
	p.t.FailNow()
}
