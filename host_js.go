package websocket

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"sync"
	"syscall"
	"syscall/js"
	"time"
	"unicode/utf8"

	texts "github.com/duplexkit/websocket/internal/utf8"
)

// A browser lets no program open a network connection. It has an object that speaks the
// protocol, WebSocket, and so have Node, Deno, Bun and workers. A hostSocket is that
// object as a net.Conn: a message that it brings is read as a frame of a server, and the
// frames that are written are put together to messages and given to it. So a Conn on it
// is a Conn like any other: turns, deadlines, contexts, limits and groups are those of
// every system.
//
//	messages, close ─▶ handle ─▶ queue ─▶ Read  ─▶ reader ─▶ program
//	send, close     ◀─ finish ◀─ frame ◀─ Write ◀─ writer ◀─ program
//
// The host calls handle while JavaScript waits for it to return: it takes notes and never
// blocks. There is no goroutine for a hostSocket.
//
// What the object does not do is refused where the program asks for it: by Dial, which
// checks the Dialer, and by refuses. The end of a loop and a broken limit have close codes that
// the host sends for no program; then it sends none.
//
// The object can't be told to read no further, so that messages which nobody reads are
// kept, however many. A limit counts for each when it is read.
//
// Upgrader, NewConn and all of what a server is made of are here too: programs that share
// code compile, and work on network connections in memory. Nothing in a browser listens, and
// what a program does not use the linker leaves out.

const (
	// hostBuffer is how many bytes the host may keep that it has not sent; then a write
	// waits. The host tells when that has changed to nobody who does not ask.
	hostBuffer    = 1 << 20
	hostLook      = time.Millisecond // how long a write waits before it asks again, at first,
	hostLookPause = 16 * hostLook    // and at most
)

// The states of the object (WHATWG WebSockets, section 3.1).
const hostOpen = 1

var errNotText = errors.New("websocket: text is not UTF-8, which the WebSocket of a JavaScript host can't send")

// unsupported is the error for what the host can't do.
func unsupported(format string, args ...any) error {
	return fmt.Errorf("websocket: "+format+": %w", append(args, errors.ErrUnsupported)...)
}

// A hostSocket is a connection by the host's WebSocket object.
type hostSocket struct {
	ws       js.Value
	remote   hostAddr
	listener js.Func       // handle
	settled  chan struct{} // closed when the object has opened, or has failed to

	mu       sync.Mutex
	changed  sync.Cond  // on mu: there is more to read, or a deadline has passed, or it is over
	queue    []js.Value // data of messages that have come, strings and ArrayBuffers
	opened   bool
	ended    bool   // the object has said its last
	closed   bool   // Close was called
	trouble  string // what the object has said of an error, "" for nothing
	farewell []byte // the frame for the end of the object, empty if the connection broke
	read     hostDeadline
	write    hostDeadline

	// For whoever reads, and under mu: the message at hand.
	head []byte   // what is left of its header, or of the last frame
	data js.Value // its payload, a Uint8Array
	pos  int      // bytes of data that were read
	size int      // bytes of data

	// For whoever writes.
	out hostFrame
}

// hostFrame is the frame that is being written.
type hostFrame struct {
	head [maxHeader]byte
	n    int         // bytes of head
	h    FrameHeader // once begun
	done int         // bytes of its payload that have come

	begun   bool
	payload js.Value // Uint8Array: of a message of one frame
	control []byte   // of a control frame
	opcode  int      // of the message in progress, 0 for none
	pieces  []byte   // of a message in fragments
	unsent  bool     // a message was not text, and has gone no further
}

var (
	jsUint8Array = js.Global().Get("Uint8Array")
	// The host's own ways from strings to UTF-8 and back.
	jsEncoder = sync.OnceValue(func() js.Value { return js.Global().Get("TextEncoder").New() })
	jsDecoder = sync.OnceValue(func() js.Value {
		// A byte order mark stays, and what is not UTF-8 is an error.
		return js.Global().Get("TextDecoder").New("utf-8", map[string]any{"fatal": true, "ignoreBOM": true})
	})
)

// attemptJS calls f, and returns what JavaScript throws in it.
func attemptJS(f func()) (err error) {
	defer func() {
		switch thrown := recover().(type) {
		case nil:
		case js.Error:
			err = thrown
		default:
			panic(thrown)
		}
	}()
	f()
	return nil
}

// newBytes makes a Uint8Array of what JavaScript takes for one: a length, or an ArrayBuffer.
// The host may have no memory left.
func newBytes(of any) (p js.Value, err error) {
	err = attemptJS(func() { p = jsUint8Array.New(of) })
	return p, err
}

// openHost has the host open a connection to u. When settled is closed it has, or has not.
func openHost(u *url.URL, subprotocols []string) (*hostSocket, error) {
	class := js.Global().Get("WebSocket")
	if class.Type() != js.TypeFunction {
		return nil, unsupported("this JavaScript host has no WebSocket object (Node has one from version 22 on)")
	}
	s := &hostSocket{remote: hostAddrOf(u), settled: make(chan struct{})}
	s.changed.L = &s.mu
	offered := make([]any, len(subprotocols))
	for i, p := range subprotocols {
		offered[i] = p
	}
	if err := attemptJS(func() { s.ws = class.New(u.String(), offered) }); err != nil {
		return nil, fmt.Errorf("websocket: the host refuses to dial: %w", err)
	}
	s.ws.Set("binaryType", "arraybuffer")
	s.listener = js.FuncOf(s.handle)
	for _, name := range hostEvents {
		s.ws.Set(name, s.listener)
	}
	return s, nil
}

var hostEvents = []string{"onopen", "onmessage", "onerror", "onclose"}

// handle is called by the host with each event.
func (s *hostSocket) handle(_ js.Value, args []js.Value) any {
	event := args[0]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.ended {
		return nil
	}
	switch event.Get("type").String() {
	case "open":
		s.opened = true
		close(s.settled)
	case "message":
		s.queue = append(s.queue, event.Get("data"))
	case "error": // it says nothing in browsers, and the close event follows
		if m := event.Get("message"); m.Type() == js.TypeString {
			s.trouble = m.String()
		}
		if !s.opened { // Node up to version 22 says nothing more
			s.end(CloseAbnormalClosure, "")
		}
	case "close":
		s.end(event.Get("code").Int(), event.Get("reason").String())
	}
	s.changed.Broadcast()
	return nil
}

// end notes the end of the object, which was told this code. The caller has mu.
func (s *hostSocket) end(code int, reason string) {
	s.ended = true
	if !s.opened {
		close(s.settled)
	}
	s.letGo()
	if code != CloseNoStatusReceived && !validCloseCode(code) {
		return // there was no close frame, or one that breaks the rules, which some hosts tell and others do not
	}
	payload := FormatCloseMessage(code, cutReason(reason))
	s.farewell = append(FrameHeader{Fin: true, Opcode: CloseMessage, Length: int64(len(payload))}.Append(nil), payload...)
}

// letGo has the host call handle no more. The caller has mu.
func (s *hostSocket) letGo() {
	for _, name := range hostEvents {
		s.ws.Set(name, js.Null())
	}
	s.listener.Release()
}

// Read reads from the frames that stand for what the object brings.
func (s *hostSocket) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.closed:
			return 0, s.opError("read", net.ErrClosed)
		case s.read.passed:
			return 0, s.opError("read", os.ErrDeadlineExceeded)
		}
		there, err := s.takes()
		switch {
		case err != nil:
			return 0, s.opError("read", err)
		case there:
			return s.fill(p), nil
		}
		if s.ended {
			return 0, io.EOF
		}
		s.changed.Wait()
	}
}

// takes makes what comes next the message at hand if there is none, and reports whether
// there is one. The error is what JavaScript throws.
func (s *hostSocket) takes() (there bool, err error) {
	if len(s.head) > 0 || s.pos < s.size {
		return true, nil
	}
	if len(s.queue) > 0 {
		data := s.queue[0]
		s.queue[0] = js.Value{}
		if s.queue = s.queue[1:]; len(s.queue) == 0 {
			s.queue = nil
		}
		h := FrameHeader{Fin: true, Opcode: BinaryMessage}
		if data.Type() == js.TypeString {
			h.Opcode = TextMessage
			err = attemptJS(func() { s.data = jsEncoder().Call("encode", data) })
		} else {
			s.data, err = newBytes(data)
		}
		if err != nil {
			return false, err
		}
		s.pos, s.size = 0, s.data.Length()
		h.Length = int64(s.size)
		s.head = h.Append(nil)
		return true, nil
	}
	s.head, s.farewell = s.farewell, nil
	return len(s.head) > 0, nil
}

// fill reads from the message at hand. Where the payload does not fit behind the header
// it is left for a buffer that is larger: each crossing of the border to JavaScript costs
// more than a small message.
func (s *hostSocket) fill(p []byte) (n int) {
	n = copy(p, s.head)
	s.head = s.head[n:]
	p = p[n:]
	left := s.size - s.pos
	if left == 0 || n > 0 && len(p) < left {
		return n
	}
	from := s.data
	if s.pos > 0 {
		from = from.Call("subarray", s.pos)
	}
	k := js.CopyBytesToGo(p, from)
	s.pos += k
	if s.pos == s.size {
		s.data, s.pos, s.size = js.Value{}, 0, 0
	}
	return n + k
}

// waiting returns how many bytes of the message at hand were not read yet: the host
// has all of it.
func (s *hostSocket) waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.size - s.pos
}

// Write takes frames, in pieces of any size, and gives the object what they make up. It
// waits while the object has much that it has not sent.
func (s *hostSocket) Write(p []byte) (n int, err error) {
	for n < len(p) {
		k, err := s.take(p[n:])
		if err != nil {
			return n, err
		}
		n += k
	}
	return n, nil
}

// take takes a piece of the frame at hand.
func (s *hostSocket) take(p []byte) (n int, err error) {
	f := &s.out
	if !f.begun {
		before := f.n
		f.n += copy(f.head[f.n:], p)
		h, used, err := ParseFrameHeader(f.head[:f.n])
		if err == io.ErrUnexpectedEOF {
			return f.n - before, nil
		}
		if err != nil {
			return 0, err // which no writer of ours is told
		}
		n = used - before
		if err := f.begin(h); err != nil {
			return n, s.opError("write", err)
		}
	}
	n += f.add(p[n:])
	if int64(f.done) < f.h.Length {
		return n, nil
	}
	return n, s.finish()
}

// begin begins a frame. The error is what JavaScript throws.
func (f *hostFrame) begin(h FrameHeader) (err error) {
	f.begun, f.h, f.done, f.n = true, h, 0, 0
	switch {
	case isControl(h.Opcode):
		f.control = f.control[:0]
		return nil
	case h.Opcode != opContinuation:
		f.opcode, f.pieces = h.Opcode, nil
	}
	if f.whole() {
		f.payload, err = newBytes(h.Length)
	}
	return err
}

// whole reports whether the frame is a message.
func (f *hostFrame) whole() bool { return f.h.Fin && f.h.Opcode != opContinuation }

// add adds payload to the frame.
func (f *hostFrame) add(p []byte) int {
	p = p[:min(int64(len(p)), f.h.Length-int64(f.done))]
	switch {
	case len(p) == 0:
	case isControl(f.h.Opcode):
		f.control = append(f.control, p...)
	case !f.whole():
		f.pieces = append(f.pieces, p...)
	case f.done > 0:
		js.CopyBytesToJS(f.payload.Call("subarray", f.done), p)
	default:
		js.CopyBytesToJS(f.payload, p)
	}
	f.done += len(p)
	return len(p)
}

// finish ends the frame, and sends the message if that is its end.
func (s *hostSocket) finish() error {
	f := &s.out
	f.begun = false
	switch {
	case f.h.Opcode == CloseMessage:
		return s.sayClose(f.control)
	case isControl(f.h.Opcode): // nobody has asked for it: the host answers pings by itself
		return nil
	case !f.h.Fin:
		return nil
	}
	payload := f.payload
	if !f.whole() {
		var err error
		if payload, err = newBytes(len(f.pieces)); err != nil {
			return s.opError("write", err)
		}
		js.CopyBytesToJS(payload, f.pieces)
	}
	f.payload, f.pieces = js.Value{}, nil
	var message any = payload
	if f.opcode == TextMessage {
		err := attemptJS(func() { message = jsDecoder().Call("decode", payload) })
		if err != nil && !isText(payload) {
			f.unsent = true // as if it had been refused: see messageWriter.finish
			return nil
		}
		if err != nil {
			return s.opError("write", err) // it is too long for a string, say
		}
	}
	if err := s.awaitRoom(); err != nil {
		return err
	}
	if err := attemptJS(func() { s.ws.Call("send", message) }); err != nil {
		return s.opError("write", err)
	}
	return nil
}

// isText reports whether p, a Uint8Array, is UTF-8.
func isText(p js.Value) bool {
	var text texts.Validator
	buf := make([]byte, 32<<10)
	for pos, size := 0, p.Length(); pos < size; {
		n := js.CopyBytesToGo(buf, p.Call("subarray", pos))
		if !text.Write(buf[:n]) {
			return false
		}
		pos += n
	}
	return text.Done()
}

// awaitRoom waits until the object may be given more. One that is closing takes
// everything and sends nothing, as a network connection may: it is for the reader to find
// out how it ends.
func (s *hostSocket) awaitRoom() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for look := hostLook; ; look = min(2*look, hostLookPause) {
		switch {
		case s.closed:
			return s.opError("write", net.ErrClosed)
		case s.ended:
			return s.opError("write", syscall.EPIPE)
		case s.write.passed:
			return s.opError("write", os.ErrDeadlineExceeded)
		case s.buffered() < hostBuffer || s.ws.Get("readyState").Int() != hostOpen:
			return nil
		}
		again := time.AfterFunc(look, s.lookAgain)
		s.changed.Wait()
		again.Stop()
	}
}

// lookAgain wakes who waits. Without mu it might come before they do.
func (s *hostSocket) lookAgain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed.Broadcast()
}

// buffered returns how many bytes of messages the host has not sent yet.
func (s *hostSocket) buffered() int { return s.ws.Get("bufferedAmount").Int() }

// sayClose has the host begin the closing handshake, or does nothing if the peer has:
// then the host has answered. A code that it does not let a program send is left out.
func (s *hostSocket) sayClose(payload []byte) error {
	code, reason, err := parseClosePayload(payload)
	if err != nil || !hostSends(code) || code == CloseNoStatusReceived {
		err = attemptJS(func() { s.ws.Call("close") })
	} else {
		err = attemptJS(func() { s.ws.Call("close", code, cutReason(reason)) })
	}
	if err != nil {
		return s.opError("write", err)
	}
	return nil
}

// hostSends reports whether a program may close with the code: "If code is present, but is
// neither an integer equal to 1000 nor an integer in the range 3000 to 4999, inclusive"
// it may not (WHATWG WebSockets, section 3.1).
func hostSends(code int) bool {
	return code == CloseNormalClosure || code == CloseNoStatusReceived || 3000 <= code && code <= 4999
}

// Close lets go of the object, which sends what it has been given, and a close frame
// without a code if there was none.
func (s *hostSocket) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return s.opError("close", net.ErrClosed)
	}
	s.closed = true
	s.queue, s.head, s.data, s.pos, s.size = nil, nil, js.Value{}, 0, 0
	s.read.stop()
	s.write.stop()
	s.changed.Broadcast()
	if s.ended {
		return nil
	}
	s.letGo()
	return attemptJS(func() { s.ws.Call("close") })
}

// over reports whether the object has ended, or was let go.
func (s *hostSocket) over() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended || s.closed
}

// A hostAddr is the host and port of a URL, or an origin.
type hostAddr string

func (hostAddr) Network() string  { return "websocket" }
func (a hostAddr) String() string { return string(a) }

func hostAddrOf(u *url.URL) hostAddr {
	port := u.Port()
	if port == "" {
		port = defaultPort(u.Scheme)
	}
	return hostAddr(net.JoinHostPort(u.Hostname(), port))
}

// LocalAddr returns the origin of the page, "" where there is none: the host tells no
// addresses.
func (s *hostSocket) LocalAddr() net.Addr {
	location := js.Global().Get("location")
	if location.Type() != js.TypeObject {
		return hostAddr("")
	}
	return hostAddr(location.Get("origin").String())
}

// RemoteAddr returns host and port of the URL.
func (s *hostSocket) RemoteAddr() net.Addr { return s.remote }

func (s *hostSocket) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: s.remote.Network(), Addr: s.remote, Err: err}
}

// A hostDeadline is the deadline of one direction. The socket's mu guards it.
type hostDeadline struct {
	passed bool
	timer  *time.Timer // nil for none
}

func (d *hostDeadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}

// set sets d, which counts for a call that waits already.
func (s *hostSocket) set(d *hostDeadline, t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return s.opError("set", net.ErrClosed)
	}
	d.stop()
	left := time.Until(t)
	d.passed = !t.IsZero() && left <= 0
	if !t.IsZero() && left > 0 {
		var timer *time.Timer
		timer = time.AfterFunc(left, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if d.timer == timer { // it was not set again meanwhile
				d.passed = true
				s.changed.Broadcast()
			}
		})
		d.timer = timer
	}
	s.changed.Broadcast()
	return nil
}

// SetReadDeadline implements net.Conn.
func (s *hostSocket) SetReadDeadline(t time.Time) error { return s.set(&s.read, t) }

// SetWriteDeadline implements net.Conn.
func (s *hostSocket) SetWriteDeadline(t time.Time) error { return s.set(&s.write, t) }

// SetDeadline implements net.Conn.
func (s *hostSocket) SetDeadline(t time.Time) error {
	return errors.Join(s.SetReadDeadline(t), s.SetWriteDeadline(t))
}

// What a Conn has to know of it follows. On other systems see host_other.go.

// host returns the hostSocket that s is, nil if it is none.
func (s *socket) host() *hostSocket {
	h, _ := s.nc.(*hostSocket)
	return h
}

func (s *socket) hosted() bool { return s.host() != nil }

// adapt makes c one that a host does the protocol for.
func (c *Conn) adapt() {
	c.w.server = true  // the host masks
	c.r.anyText = true // it has seen to that
}

// refuses returns an error for a frame that the host does not let a program send.
func (s *socket) refuses(messageType int, p []byte) error {
	h := s.host()
	if h == nil || messageType == CloseMessage && h.over() {
		return nil // after the end the answer to the peer's close frame is one that the host has given
	}
	return hostRefuses(messageType, p)
}

// hostRefuses returns an error for a frame that no host lets a program send.
func hostRefuses(messageType int, p []byte) error {
	switch messageType {
	case TextMessage:
		if !utf8.Valid(p) {
			return errNotText
		}
	case PingMessage:
		return unsupported("a JavaScript host sends no pings for programs")
	case PongMessage:
		return unsupported("a JavaScript host sends no pongs for programs")
	case CloseMessage:
		return hostRefusesClose(p)
	}
	return nil
}

func hostRefusesClose(p []byte) error {
	code, _, err := parseClosePayload(p)
	switch {
	case err == errShortClose:
		return unsupported("a JavaScript host sends no close payload of one byte")
	case err == errCloseReason:
		return errNotText
	case err == errCloseCode:
		code = int(binary.BigEndian.Uint16(p))
	case hostSends(code):
		return nil
	}
	return unsupported("a JavaScript host does not send close code %d for programs, but 1000 and 3000 to 4999", code)
}

// unsent returns an error if the message that a NextWriter has just sent was not text, and
// so has gone nowhere: only in the end there is something to be judged. Who asks still has
// the only messageWriter; all others have their messages judged before.
func (s *socket) unsent() error {
	h := s.host()
	if h == nil || !h.out.unsent {
		return nil
	}
	h.out.unsent = false
	return errNotText
}

// amend puts what is known into the statistics, and nothing in the place of what is not:
// the frames that Read and Write see are not those of the network.
func (s *socket) amend(stats *Stats) {
	h := s.host()
	if h == nil {
		return
	}
	stats.WireRead, stats.WireWritten = 0, 0
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.ended && !h.closed { // "the number does not reset to zero once the connection closes"
		stats.Queued += h.buffered()
	}
}
