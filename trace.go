package websocket

import (
	"errors"
	"net/http"
	"sync/atomic"
	"time"
)

// Trace is a set of hooks that are told what happens on connections: for logs,
// metrics, and the search for a fault. Any of them may be nil. The same Trace may serve
// any number of connections, whose goroutines call it concurrently; it must not be
// changed meanwhile.
//
// A hook runs where what it tells of happens: on the goroutine that reads, writes, pings
// or closes, or on a timer of the connection, which wait for it. It may call those methods
// of the connection that say something of it (Stats, Negotiated, RemoteAddr, Context...),
// but must not read from it, write to it, or end it.
//
// With Handshake, Opened, Pong and Closed alone, messages take no longer. The others are
// told by following all bytes that come and go; MessageWritten keeps 16 bytes for each
// message that waits to be sent.
type Trace struct {
	// Handshake is called when an opening handshake is over: with each Upgrade,
	// UpgradeConn and Dial. The connection has begun by then, and others of its hooks may
	// have been called.
	Handshake func(h HandshakeInfo)

	// Opened is called once, before all other hooks of the connection: when it begins, be
	// it by a handshake or by NewConn. It is the counterpart of Closed.
	Opened func(c *Conn)

	// FrameRead is called when the header of a frame has come from the network, before
	// it is judged and perhaps long before the program reads the message. A header whose
	// length is not in its shortest form, or is beyond 63 bits, is not told.
	FrameRead func(c *Conn, h FrameHeader)

	// FrameWritten is called when the network connection has taken the header of a frame.
	FrameWritten func(c *Conn, h FrameHeader)

	// MessageRead is called when a message was read to its end, just before the program
	// gets it, or discarded.
	MessageRead func(c *Conn, m MessageInfo)

	// MessageWritten is called when the network connection has taken the last byte of a
	// message.
	MessageWritten func(c *Conn, m MessageInfo)

	// Pong is called when the peer has answered a Ping that still waits for it, or a ping
	// of PingInterval, rtt after that was sent.
	Pong func(c *Conn, rtt time.Duration)

	// Closed is called once, when the connection comes to its end: at the first error
	// that reading or writing cannot recover from, or at Close. As with Context, a peer's
	// departure is seen only while somebody reads, or with Options.PingInterval. A closing
	// handshake may still be under way then, and frames may follow.
	Closed func(c *Conn, e CloseInfo)
}

// HandshakeInfo is the outcome of an opening handshake. Mind the Request: it has the
// cookies and credentials of the client, and is nil if what came, or the URL, was malformed.
type HandshakeInfo struct {
	Server   bool           // which end we are
	Request  *http.Request  // of the client, the last of several redirected ones; nil if it did not come to one
	Response *http.Response // client: what Dial returns, nil if no answer came. It tells the protocol
	Fallback error          // client: why it was HTTP/1.1 though there is a Dialer.Transport, nil if it was not
	Conn     *Conn          // nil if Err is not
	Err      error          // what Upgrade, UpgradeConn or Dial returns
	Duration time.Duration  // how long it took us
}

// MessageInfo is a message that was received or sent. Sizes are in bytes.
type MessageInfo struct {
	Type       int   // TextMessage or BinaryMessage
	Payload    int64 // of the message as the program has it
	Wire       int64 // of its frames on the wire, headers included
	Frames     int   // how many it came in
	Compressed bool  // by permessage-deflate

	// Wait is how long a message that was read had been here, as a whole, before the
	// program came to read it to its end; for one that was written, how long it took from
	// the call (for NextWriter that which ended it) until the network connection had it:
	// its time in the queue, and that of the write.
	Wait time.Duration
}

// CloseInfo is how a connection ended.
type CloseInfo struct {
	By Ender // who has ended it

	// Code and Reason are those of that end's close frame, which may still be on its way if
	// it is ours. Code is CloseAbnormalClosure if there is none.
	Code   int
	Reason string

	Cause error // what the cause of Conn.Context is, or will be
}

// Ender is who ends a connection.
type Ender int

const (
	EndedByUs      Ender = iota // the program: Close, Shutdown, a close frame, a context, a handler's error
	EndedByPeer                 // its close frame, which came before one of ours
	EndedByRule                 // the peer broke one, or sent too much, and we failed the connection
	EndedByNetwork              // lost, or silent for too long
)

var enderNames = [...]string{"us", "peer", "rule", "network"}

// String returns "us", "peer", "rule" or "network".
func (e Ender) String() string {
	if e < 0 || int(e) >= len(enderNames) {
		return "unknown"
	}
	return enderNames[e]
}

// MultiTrace returns a Trace that tells all of these, in this order; nil ones are left out.
// It is nil if there are no others.
func MultiTrace(traces ...*Trace) *Trace {
	var all *Trace
	for _, t := range traces {
		switch {
		case t == nil:
		case all == nil:
			all = new(*t)
		default:
			all.Handshake = inTurn(all.Handshake, t.Handshake)
			all.Opened = inTurn(all.Opened, t.Opened)
			all.FrameRead = eachInTurn(all.FrameRead, t.FrameRead)
			all.FrameWritten = eachInTurn(all.FrameWritten, t.FrameWritten)
			all.MessageRead = eachInTurn(all.MessageRead, t.MessageRead)
			all.MessageWritten = eachInTurn(all.MessageWritten, t.MessageWritten)
			all.Pong = eachInTurn(all.Pong, t.Pong)
			all.Closed = eachInTurn(all.Closed, t.Closed)
		}
	}
	return all
}

// inTurn returns a hook that calls two, either of which may be nil.
func inTurn[T any](first, second func(T)) func(T) {
	switch {
	case first == nil:
		return second
	case second == nil:
		return first
	}
	return func(v T) {
		first(v)
		second(v)
	}
}

// eachInTurn is inTurn for hooks that are told of something on a connection.
func eachInTurn[T any](first, second func(*Conn, T)) func(*Conn, T) {
	switch {
	case first == nil:
		return second
	case second == nil:
		return first
	}
	return func(c *Conn, v T) {
		first(c, v)
		second(c, v)
	}
}

// clock is the time if there is a hook for handshakes.
func (t *Trace) clock() (began time.Time) {
	if t != nil && t.Handshake != nil {
		began = time.Now()
	}
	return began
}

// report tells the outcome of a handshake that began then, by clock.
func (t *Trace) report(began time.Time, h HandshakeInfo) {
	if !began.IsZero() {
		h.Duration = time.Since(began)
		t.Handshake(h)
	}
}

// A tracer calls the hooks of a connection.
type tracer struct {
	*Trace
	c *Conn

	// For whoever has the read turn.
	in      follower
	here    fifo[arrival] // messages that are here and were not read to their end
	payload int64         // bytes of those that were
	tap     tap
	probed  atomic.Int64               // when keepalive has sent a ping, on the clock of uptime; 0 for none that is unanswered
	ours    atomic.Pointer[CloseError] // the close frame that the program has asked for, nil for none
}

// An arrival is a message that has come.
type arrival struct {
	wire   int64
	at     int64 // when, on the clock of uptime
	frames int32
	kind   int8
	packed bool
}

// trace has c call the hooks of t.
func (c *Conn) trace(t *Trace) {
	tr := &tracer{Trace: t, c: c}
	config := *c.w.writeConfig
	config.watch = tr
	if t.FrameWritten != nil || t.MessageWritten != nil {
		tr.tap.up, tr.tap.messages = tr, t.MessageWritten != nil
		config.tap = &tr.tap
	}
	c.w.writeConfig = &config
	c.r.traced = t.MessageRead != nil
}

// tracer returns the tracer of c, nil for none. A Conn has no room for it where few have one.
func (c *Conn) tracer() *tracer {
	t, _ := c.w.watch.(*tracer)
	return t
}

// opened is called when the connection has begun, with what came behind the handshake.
func (t *tracer) opened(buffered []byte) {
	if t.Opened != nil {
		t.Opened(t.c)
	}
	t.arrived(buffered)
}

// arrived is called with what has come from the network.
func (t *tracer) arrived(p []byte) {
	if t.FrameRead == nil && t.MessageRead == nil {
		return
	}
	for len(p) > 0 {
		e := t.in.next(&p)
		if e.frame && t.FrameRead != nil {
			t.FrameRead(t.c, t.in.h)
		}
		if e.message && t.MessageRead != nil {
			m := &t.in.message
			t.here.put(arrival{wire: m.Wire, at: uptime(), frames: int32(m.Frames), kind: int8(m.Type), packed: m.Compressed})
		}
	}
}

// onMessage is called when a message has been read to its end, with the bytes of payload
// that have been read in all.
func (c *Conn) onMessage(read int64) {
	t := c.tracer()
	a := t.here.get()
	size := read - t.payload
	t.payload = read
	t.MessageRead(c, MessageInfo{
		Type: int(a.kind), Payload: size, Wire: a.wire, Frames: int(a.frames), Compressed: a.packed, Wait: since(a.at),
	})
}

func (t *tracer) frameWritten(h FrameHeader) {
	if t.FrameWritten != nil {
		t.FrameWritten(t.c, h)
	}
}

func (t *tracer) messageWritten(m MessageInfo) { t.MessageWritten(t.c, m) }

// closes is called with the payload of a close frame that the program wants to send.
func (t *tracer) closes(p []byte) {
	if code, reason, err := parseClosePayload(p); err == nil {
		t.ours.CompareAndSwap(nil, &CloseError{Code: code, Text: reason})
	}
}

// pings is called before keepalive sends a ping. It returns what takes that back.
func (t *tracer) pings() (undo func()) {
	now := uptime()
	if !t.probed.CompareAndSwap(0, now) { // the peer may answer the first of several
		return func() {}
	}
	return func() { t.probed.CompareAndSwap(now, 0) }
}

// ponged is called with the payload of a pong: one of keepalive's is empty. It may be nil.
func (t *tracer) ponged(p []byte) {
	if t == nil || len(p) > 0 {
		return
	}
	if at := t.probed.Swap(0); at != 0 {
		t.answered(since(at))
	}
}

// answered is called when a ping was answered. It may be nil.
func (t *tracer) answered(rtt time.Duration) {
	if t != nil && t.Pong != nil {
		t.Pong(t.c, rtt)
	}
}

// closed is called when the connection comes to its end, with the peer's close frame if that
// came. It may be nil.
func (t *tracer) closed(by Ender, peers *CloseError, cause error) {
	if t == nil || t.Closed == nil {
		return
	}
	ours := t.ours.Load()
	if by == EndedByNetwork && (ours != nil || t.c.leaving.Load()) {
		by = EndedByUs // the peer has not played its part
	}
	e := CloseInfo{By: by, Code: CloseAbnormalClosure, Cause: cause}
	var broken *ProtocolError
	switch {
	case by == EndedByPeer:
		e.Code, e.Reason = peers.Code, peers.Text
	case by == EndedByUs && ours != nil:
		e.Code, e.Reason = ours.Code, ours.Text
	case by == EndedByUs && errors.Is(cause, errSlow):
		e.Code = CloseTryAgainLater
	case by == EndedByRule && errors.As(cause, &broken):
		e.Code, e.Reason = broken.Code, broken.Reason
	case by == EndedByRule:
		e.Code = CloseMessageTooBig
	}
	t.Closed(t.c, e)
}
