package main

// This file is for copying: it turns what a websocket.Trace is told into records of log/slog.

import (
	"context"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/duplexkit/websocket"
)

// LevelFrame is the level of frames. Messages, pings and openings are of slog.LevelDebug,
// handshakes and ends of slog.LevelInfo, or above where something is wrong.
const LevelFrame = slog.LevelDebug - 4

// Log says what is logged of connections. It must not be copied after Trace was called.
type Log struct {
	Logger *slog.Logger // nil is slog.Default

	// Request returns what identifies a request, for the group request; nil is
	// RequestAttrs. What is logged of one is kept with its connection.
	Request func(r *http.Request) []slog.Attr

	// Messages has each message logged, at LevelDebug.
	Messages bool

	// Slow has a message logged as a warning that took this long to go out, or had been
	// here for this long before the program came to read it; 0 is never.
	Slow time.Duration

	// FrameEvery has one of so many frames of messages logged for each connection and
	// direction, at LevelFrame, and all control frames; 0 is none at all.
	FrameEvery int64

	last  atomic.Int64 // the number of the newest connection
	conns sync.Map     // weak.Pointer[websocket.Conn] to *connection
}

// A connection is what the records of one have in common: the groups conn and request.
type connection struct {
	id      int64
	server  bool
	remote  string
	opened  time.Time
	request atomic.Pointer[slog.Value] // nil before the handshake is over
	frames  [2]atomic.Int64            // read and written
}

// Trace returns the hooks for Options.Trace. Those for messages and frames, which take time,
// are set only if Log asks for them; and a record is made only if Logger takes its level.
func (l *Log) Trace() *websocket.Trace {
	t := &websocket.Trace{Handshake: l.handshake, Opened: l.opened, Pong: l.pong, Closed: l.closed}
	if l.Messages || l.Slow > 0 {
		t.MessageRead = func(c *websocket.Conn, m websocket.MessageInfo) { l.message(c, "message read", m) }
		t.MessageWritten = func(c *websocket.Conn, m websocket.MessageInfo) { l.message(c, "message written", m) }
	}
	if l.FrameEvery > 0 {
		t.FrameRead = func(c *websocket.Conn, h websocket.FrameHeader) { l.frame(c, "frame read", 0, h) }
		t.FrameWritten = func(c *websocket.Conn, h websocket.FrameHeader) { l.frame(c, "frame written", 1, h) }
	}
	return t
}

// Conn returns the group conn, which connects what the program itself logs with c.
func (l *Log) Conn(c *websocket.Conn) slog.Attr {
	return slog.Any("conn", l.of(c))
}

func (l *Log) handshake(h websocket.HandshakeInfo) {
	attrs := []slog.Attr{slog.Duration("duration", h.Duration)}
	if h.Response != nil && h.Err != nil {
		attrs = append(attrs, slog.Int("status", h.Response.StatusCode))
	}
	if h.Fallback != nil {
		attrs = append(attrs, slog.Any("fallback", h.Fallback))
	}
	var request slog.Value
	if h.Request != nil {
		describe := l.Request
		if describe == nil {
			describe = RequestAttrs
		}
		request = slog.GroupValue(describe(h.Request)...)
	}
	if h.Conn == nil {
		attrs = append(attrs, slog.String("role", role(h.Server)), slog.Any("err", h.Err), slog.Any("request", request))
		l.log(slog.LevelWarn, "handshake failed", attrs...)
		return
	}
	c := l.of(h.Conn)
	if h.Request != nil {
		c.request.Store(&request)
	}
	n := h.Conn.Negotiated()
	attrs = append(attrs, slog.String("subprotocol", n.Subprotocol), slog.Bool("compression", n.Compression != nil))
	l.log(slog.LevelInfo, "handshake", c.with(attrs...)...)
}

func (l *Log) opened(c *websocket.Conn) {
	l.log(slog.LevelDebug, "opened", l.of(c).with()...)
}

func (l *Log) frame(c *websocket.Conn, what string, direction int, h websocket.FrameHeader) {
	state := l.of(c)
	var attrs []slog.Attr
	if h.Opcode < websocket.CloseMessage { // of a message
		n := state.frames[direction].Add(1)
		if (n-1)%l.FrameEvery != 0 {
			return
		}
		attrs = append(attrs, slog.Int64("n", n))
	}
	if l.enabled(LevelFrame) {
		l.log(LevelFrame, what, state.with(append(attrs, slog.Group("frame",
			"opcode", opcode(h.Opcode), "fin", h.Fin, "compressed", h.RSV1, "length", h.Length))...)...)
	}
}

func (l *Log) message(c *websocket.Conn, what string, m websocket.MessageInfo) {
	level := slog.LevelDebug
	if l.Slow > 0 && m.Wait >= l.Slow {
		level, what = slog.LevelWarn, "slow "+what
	} else if !l.Messages {
		return
	}
	if l.enabled(level) {
		l.log(level, what, l.of(c).with(slog.Group("message", "type", opcode(m.Type), "payload", m.Payload,
			"wire", m.Wire, "frames", m.Frames, "compressed", m.Compressed, "wait", m.Wait))...)
	}
}

func (l *Log) pong(c *websocket.Conn, rtt time.Duration) {
	l.log(slog.LevelDebug, "pong", l.of(c).with(slog.Duration("rtt", rtt))...)
}

func (l *Log) closed(c *websocket.Conn, e websocket.CloseInfo) {
	state, s := l.of(c), c.Stats()
	end := []any{"by", e.By.String(), "code", e.Code, "reason", e.Reason}
	if e.Cause != nil {
		end = append(end, "cause", e.Cause.Error())
	}
	l.log(closeLevel(e), "closed", state.with(
		slog.Group("close", end...),
		slog.Duration("duration", time.Since(state.opened)),
		slog.Group("read", "messages", s.MessagesRead, "payload", s.PayloadRead, "wire", s.WireRead),
		slog.Group("written", "messages", s.MessagesWritten, "payload", s.PayloadWritten, "wire", s.WireWritten, "dropped", s.Dropped),
	)...)
}

// closeLevel is LevelInfo for an end that somebody wanted, LevelError where our own program
// has failed, and LevelWarn for the others.
func closeLevel(e websocket.CloseInfo) slog.Level {
	switch e.By {
	case websocket.EndedByUs:
		if e.Code == websocket.CloseInternalServerErr {
			return slog.LevelError
		}
		return slog.LevelInfo
	case websocket.EndedByPeer:
		switch e.Code {
		case websocket.CloseNormalClosure, websocket.CloseGoingAway, websocket.CloseNoStatusReceived:
			return slog.LevelInfo
		}
	}
	return slog.LevelWarn
}

// RequestAttrs are the request's ID, as a proxy has given it in X-Request-Id, its path and
// its origin. It keeps out what a log must not have: cookies, credentials, and the query of
// the URL, in which some clients send a token.
func RequestAttrs(r *http.Request) []slog.Attr {
	const most = 128 // all of it is the client's choice
	var attrs []slog.Attr
	add := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, strings.Clone(value[:min(len(value), most)]))) // and not the whole header with it
		}
	}
	add("id", r.Header.Get("X-Request-Id"))
	add("path", r.URL.Path)
	add("origin", r.Header.Get("Origin"))
	return attrs
}

// of returns what is kept of a connection, as long as the program has it: frames may follow
// after Closed.
func (l *Log) of(c *websocket.Conn) *connection {
	key := weak.Make(c)
	if known, ok := l.conns.Load(key); ok {
		return known.(*connection)
	}
	// Here comes Opened, before all other hooks of c.
	state := &connection{id: l.last.Add(1), server: c.Negotiated().Server, remote: c.RemoteAddr().String(), opened: time.Now()}
	l.conns.Store(key, state)
	runtime.AddCleanup(c, func(key weak.Pointer[websocket.Conn]) { l.conns.Delete(key) }, key)
	return state
}

// with returns attributes behind those of the connection.
func (c *connection) with(attrs ...slog.Attr) []slog.Attr {
	all := []slog.Attr{slog.Any("conn", c)}
	if request := c.request.Load(); request != nil {
		all = append(all, slog.Attr{Key: "request", Value: *request})
	}
	return append(all, attrs...)
}

// LogValue makes the group conn, when a record is written.
func (c *connection) LogValue() slog.Value {
	return slog.GroupValue(slog.Int64("id", c.id), slog.String("role", role(c.server)), slog.String("remote", c.remote))
}

func (l *Log) enabled(level slog.Level) bool { return l.logger().Enabled(context.Background(), level) }

func (l *Log) log(level slog.Level, what string, attrs ...slog.Attr) {
	l.logger().LogAttrs(context.Background(), level, what, attrs...)
}

func (l *Log) logger() *slog.Logger {
	if l.Logger != nil {
		return l.Logger
	}
	return slog.Default()
}

func role(server bool) string {
	if server {
		return "server"
	}
	return "client"
}

// opcode is what RFC 6455 calls it, section 11.8.
func opcode(n int) string {
	switch n {
	case 0:
		return "continuation"
	case websocket.TextMessage:
		return "text"
	case websocket.BinaryMessage:
		return "binary"
	case websocket.CloseMessage:
		return "close"
	case websocket.PingMessage:
		return "ping"
	case websocket.PongMessage:
		return "pong"
	}
	return "reserved"
}
