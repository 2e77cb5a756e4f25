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
// A hook runs on the goroutine that reads or writes, which waits for it. It may call
// those methods of the connection that say something of it (Stats, Negotiated,
// RemoteAddr, Context...), but must not read from it, write to it, or end it.
type Trace struct {
	// Handshake is called when an opening handshake is over: with each Upgrade,
	// UpgradeConn and Dial.
	Handshake func(h HandshakeInfo)

	// Opened is called once, when the connection begins: also that of NewConn, and before the
	// end of a handshake is told. It is the counterpart of Closed.
	Opened func(c *Conn)

	// FrameRead is called when the header of a frame has come from the network, before
	// it is judged and perhaps long before the program reads the message. Frames that
	// came right behind the opening handshake are told of at the first read.
	FrameRead func(c *Conn, h FrameHeader)

	// FrameWritten is called when the network connection has taken the header of a frame.
	FrameWritten func(c *Conn, h FrameHeader)

	// MessageRead is called when a message was read to its end, just before the program
	// gets it, or discarded.
	MessageRead func(c *Conn, m MessageInfo)

	// MessageWritten is called when the network connection has taken the last byte of a
	// message.
	MessageWritten func(c *Conn, m MessageInfo)

	// Pong is called when the peer has answered a Ping, or a ping of PingInterval, rtt
	// after that was sent.
	Pong func(c *Conn, rtt time.Duration)

	// Closed is called once, when the connection comes to its end: at the first error
	// that reading or writing cannot recover from, or at Close. A closing handshake may
	// still be under way then, and frames may follow.
	Closed func(c *Conn, e CloseInfo)
}

// HandshakeInfo is the outcome of an opening handshake.
type HandshakeInfo struct {
	Server   bool           // which end we are
	Request  *http.Request  // what the client asked for, the last one if there were redirects; nil if it did not come to that
	Response *http.Response // client: what Dial returns, nil if no answer came
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
	By     Ender // who has ended it
	Code   int   // of the close frame that ended it, CloseAbnormalClosure if there was none
	Reason string
	Cause  error // what Conn.Context's cause is
}

// Ender is who ends a connection.
type Ender int

const (
	EndedByUs      Ender = iota // the program: Close, Shutdown, the end of Serve or of a handler
	EndedByPeer                 // its close frame
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

// begins is the time if there is a hook for handshakes.
func (t *Trace) begins() (began time.Time) {
	if t != nil && t.Handshake != nil {
		began = time.Now()
	}
	return began
}

// ends is called with the outcome of a handshake, and what begins has returned.
func (t *Trace) ends(began time.Time, h HandshakeInfo) {
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
	in    follower
	early []byte        // came behind the opening handshake and was not told yet
	here  fifo[arrival] // messages that are here and were not read to their end
	read  int64         // bytes of payload of those that were

	tap    tap
	probed atomic.Int64 // when keepalive has sent a ping, on the clock of uptime; 0 for none that is unanswered
}

// An arrival is a message that has come.
type arrival struct {
	MessageInfo
	at int64 // when, on the clock of uptime
}

// trace has c call the hooks of t. buffered came behind the opening handshake.
func (c *Conn) trace(t *Trace, buffered []byte) {
	tr := &tracer{Trace: t, c: c, early: append([]byte(nil), buffered...)}
	tr.tap.up = tr
	config := *c.w.writeConfig
	config.tap = &tr.tap
	c.w.writeConfig = &config
	c.r.traced = true
}

// tracer returns the tracer of c, nil for none. A Conn has no room for it where few have one.
func (c *Conn) tracer() *tracer {
	if c.w.tap == nil {
		return nil
	}
	return c.w.tap.up.(*tracer)
}

func (t *tracer) frameWritten(h FrameHeader) {
	if t.FrameWritten != nil {
		t.FrameWritten(t.c, h)
	}
}

func (t *tracer) messageWritten(m MessageInfo) {
	if t.MessageWritten != nil {
		t.MessageWritten(t.c, m)
	}
}

// arrived is called with what has come from the network.
func (t *tracer) arrived(p []byte) {
	t.hurryUp()
	t.follow(p)
}

// hurryUp tells of what came early.
func (t *tracer) hurryUp() {
	if t.early != nil {
		t.follow(t.early)
		t.early = nil
	}
}

func (t *tracer) follow(p []byte) {
	for len(p) > 0 {
		e := t.in.next(&p)
		if e.begins && t.FrameRead != nil {
			t.FrameRead(t.c, t.in.h)
		}
		if e.message && t.MessageRead != nil {
			t.here.put(arrival{t.in.message, uptime()})
		}
	}
}

// onMessage is called when a message has been read to its end, with the bytes of payload
// that have been read in all.
func (c *Conn) onMessage(read int64) {
	t := c.tracer()
	t.hurryUp()
	size := read - t.read
	t.read = read
	if t.MessageRead == nil {
		return
	}
	m := t.here.get()
	m.Payload, m.Wait = size, since(m.at)
	t.MessageRead(c, m.MessageInfo)
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

// closed is called when the connection comes to its end. It may be nil.
func (t *tracer) closed(cause error) {
	if t == nil || t.Closed == nil {
		return
	}
	e := CloseInfo{Code: CloseAbnormalClosure, Cause: cause}
	var (
		closing *CloseError
		broken  *ProtocolError
	)
	switch {
	case errors.As(cause, &closing) && closing.Code != CloseAbnormalClosure:
		e.By, e.Code, e.Reason = EndedByPeer, closing.Code, closing.Text
		if t.c.closedFirst { // who is here has the read turn
			e.By = EndedByUs
		}
	case errors.As(cause, &broken):
		e.By, e.Code, e.Reason = EndedByRule, broken.Code, broken.Reason
	case errors.Is(cause, ErrReadLimit):
		e.By, e.Code = EndedByRule, CloseMessageTooBig
	case errors.Is(cause, errClosed), errors.Is(cause, errSlow):
		e.By = EndedByUs
	default:
		e.By = EndedByNetwork
	}
	t.Closed(t.c, e)
}
