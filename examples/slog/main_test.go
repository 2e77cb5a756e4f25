package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/slogtest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/websockettest"
)

// A recorder is a handler that keeps records as they would be in JSON.
type recorder struct {
	least slog.Level
	mu    *sync.Mutex
	all   *[]map[string]any
	with  []func(slog.Record) slog.Record
}

func newRecorder(least slog.Level) *recorder {
	return &recorder{least: least, mu: new(sync.Mutex), all: new([]map[string]any)}
}

func (h *recorder) Enabled(_ context.Context, level slog.Level) bool { return level >= h.least }

func (h *recorder) Handle(ctx context.Context, r slog.Record) error {
	for i := len(h.with) - 1; i >= 0; i-- {
		r = h.with[i](r)
	}
	var line bytes.Buffer
	if err := slog.NewJSONHandler(&line, &slog.HandlerOptions{Level: LevelFrame}).Handle(ctx, r); err != nil {
		return err
	}
	var fields map[string]any
	if err := json.Unmarshal(line.Bytes(), &fields); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	*h.all = append(*h.all, fields)
	return nil
}

// change returns a handler that changes records first.
func (h *recorder) change(f func(slog.Record) slog.Record) slog.Handler {
	other := *h
	other.with = append(other.with[:len(other.with):len(other.with)], f)
	return &other
}

func (h *recorder) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.change(func(r slog.Record) slog.Record {
		changed := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
		changed.AddAttrs(attrs...)
		r.Attrs(func(a slog.Attr) bool { changed.AddAttrs(a); return true })
		return changed
	})
}

func (h *recorder) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return h.change(func(r slog.Record) slog.Record {
		changed := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
		var attrs []any
		r.Attrs(func(a slog.Attr) bool { attrs = append(attrs, a); return true })
		changed.AddAttrs(slog.Group(name, attrs...))
		return changed
	})
}

// records returns those with the message, or all.
func (h *recorder) records(message string) (found []map[string]any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range *h.all {
		if message == "" || r["msg"] == message {
			found = append(found, r)
		}
	}
	return found
}

// get returns what is at a path such as close.code.
func get(r map[string]any, path string) any {
	var v any = r
	for key := range strings.SplitSeq(path, ".") {
		group, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = group[key]
	}
	return v
}

// The recorder is as other handlers are, so that tests with it mean something.
func TestRecorder(t *testing.T) {
	h := newRecorder(slog.LevelInfo)
	require.NoError(t, slogtest.TestHandler(h, func() []map[string]any { return h.records("") }))
}

func TestPlay(t *testing.T) {
	h := newRecorder(LevelFrame)
	require.NoError(t, play(t.Context(), &Log{Logger: slog.New(h), Messages: true, FrameEvery: 1}, false))

	failed := h.records("handshake failed")
	require.Len(t, failed, 1)
	require.Equal(t, "WARN", get(failed[0], "level"))
	require.Equal(t, "server", get(failed[0], "role"))
	require.Equal(t, "https://evil.example", get(failed[0], "request.origin"))
	require.Contains(t, get(failed[0], "err"), "not allowed")

	require.Len(t, h.records("opened"), 5)
	handshakes, ends := h.records("handshake"), h.records("closed")
	require.Len(t, handshakes, 5)
	require.Len(t, ends, 5)
	for i, want := range []struct {
		request, level, by string
		code               float64
		reason             string
		read, written      float64
	}{
		{"request-2", "INFO", "peer", 1000, "done", 2, 2},
		{"request-3", "WARN", "network", 1006, "", 1, 1},
		{"request-4", "WARN", "rule", 1007, "text is not UTF-8", 0, 0},
		{"request-5", "ERROR", "us", 1011, "", 1, 0},
		{"request-6", "INFO", "us", 1001, "", 1, 1},
	} {
		for _, r := range []map[string]any{handshakes[i], ends[i]} {
			require.Equal(t, float64(i+1), get(r, "conn.id"))
			require.Equal(t, "server", get(r, "conn.role"))
			require.Contains(t, get(r, "conn.remote"), "127.0.0.1:")
			require.Equal(t, want.request, get(r, "request.id"))
			require.Equal(t, "/ws", get(r, "request.path"))
			require.Positive(t, get(r, "duration"))
		}
		require.Equal(t, "INFO", get(handshakes[i], "level"))
		require.Equal(t, true, get(handshakes[i], "compression"))
		end := ends[i]
		require.Equal(t, want.level, get(end, "level"))
		require.Equal(t, want.by, get(end, "close.by"))
		require.Equal(t, want.code, get(end, "close.code"))
		if i < 4 { // of the last, either the Group or Serve is first, whose reason is empty
			require.Equal(t, want.reason, get(end, "close.reason"))
		}
		require.NotEmpty(t, get(end, "close.cause"))
		require.Equal(t, want.read, get(end, "read.messages"))
		require.Equal(t, want.written, get(end, "written.messages"))
		require.Equal(t, 0.0, get(end, "written.dropped"))
	}

	messages := h.records("message read")
	require.GreaterOrEqual(t, len(messages), 2)
	require.Equal(t, "DEBUG", get(messages[1], "level"))
	require.Equal(t, "text", get(messages[1], "message.type"))
	require.Equal(t, 1400.0, get(messages[1], "message.payload"))
	require.Less(t, get(messages[1], "message.wire"), 100.0)
	require.Equal(t, true, get(messages[1], "message.compressed"))
	require.NotEmpty(t, h.records("message written"))
	for _, what := range []string{"frame read", "frame written"} {
		frames := h.records(what)
		require.NotEmpty(t, frames)
		require.Equal(t, LevelFrame.String(), get(frames[0], "level"))
		require.Equal(t, 1.0, get(frames[0], "n"))
		require.Equal(t, "text", get(frames[0], "frame.opcode"))
		require.Equal(t, 5.0, get(frames[0], "frame.length"))
	}

	said := h.records("handler failed")
	require.Len(t, said, 1)
	require.Equal(t, 4.0, get(said[0], "conn.id"), "what the program logs itself is found by this")
	all, err := json.Marshal(h.records(""))
	require.NoError(t, err)
	require.NotContains(t, string(all), "secret")
}

func TestPlayBothEnds(t *testing.T) {
	h := newRecorder(slog.LevelInfo)
	require.NoError(t, play(t.Context(), &Log{Logger: slog.New(h)}, true))
	roles := map[any]int{}
	for _, r := range h.records("closed") {
		roles[get(r, "conn.role")]++
	}
	require.Equal(t, map[any]int{"server": 5, "client": 5}, roles)
	failed := h.records("handshake failed")
	require.Len(t, failed, 2)
	require.ElementsMatch(t, []any{nil, 403.0}, []any{get(failed[0], "status"), get(failed[1], "status")})
}

func TestPlayIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, play(ctx, &Log{Logger: slog.New(slog.DiscardHandler)}, false), context.Canceled)
}

// pair returns a connection whose server is logged.
func pair(t *testing.T, l *Log) (client, server *websocket.Conn) {
	client, server = websockettest.Pair(t, &websocket.Dialer{}, &websocket.Upgrader{Options: websocket.Options{Trace: l.Trace()}})
	return client, server
}

func TestFramesAreSampled(t *testing.T) {
	h := newRecorder(LevelFrame)
	client, server := pair(t, &Log{Logger: slog.New(h), FrameEvery: 3})
	go func() { _ = server.Serve(context.Background(), func(websocket.Message) error { return nil }) }()
	for range 7 {
		require.NoError(t, client.WriteMessage(websocket.BinaryMessage, []byte("x")))
	}
	require.NoError(t, client.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Minute)))
	require.NoError(t, client.Shutdown(t.Context(), websocket.CloseNormalClosure, ""))
	var n, kinds []any
	for _, r := range h.records("frame read") {
		n, kinds = append(n, get(r, "n")), append(kinds, get(r, "frame.opcode"))
	}
	require.Equal(t, []any{1.0, 4.0, 7.0, nil, nil}, n)
	require.Equal(t, []any{"binary", "binary", "binary", "ping", "close"}, kinds)
	require.Empty(t, h.records("message read"), "nobody has asked for them")
}

func TestLevels(t *testing.T) {
	for _, tt := range []struct {
		name  string
		least slog.Level
		says  []string
	}{
		{"frames", LevelFrame, []string{"opened", "handshake", "frame read", "message read", "pong", "closed"}},
		{"messages", slog.LevelDebug, []string{"opened", "handshake", "message read", "pong", "closed"}},
		{"handshakes", slog.LevelInfo, []string{"handshake", "closed"}},
		{"warnings", slog.LevelWarn, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newRecorder(tt.least)
			client, server := pair(t, &Log{Logger: slog.New(h), Messages: true, FrameEvery: 1})
			go client.ReadMessage()
			pinged := make(chan error, 1)
			go func() {
				_, err := server.Ping(t.Context())
				pinged <- err
				_ = client.WriteMessage(websocket.TextMessage, []byte("x"))
			}()
			_, _, err := server.ReadMessage()
			require.NoError(t, err)
			require.NoError(t, <-pinged)
			require.NoError(t, server.Shutdown(t.Context(), websocket.CloseNormalClosure, ""))
			var says []string
			for _, what := range []string{"opened", "handshake", "frame read", "message read", "pong", "closed"} {
				if len(h.records(what)) > 0 {
					says = append(says, what)
				}
			}
			require.Equal(t, tt.says, says)
		})
	}
}

func TestSlow(t *testing.T) {
	h := newRecorder(slog.LevelInfo)
	l := &Log{Logger: slog.New(h), Slow: time.Second}
	c, _ := pair(t, l)
	l.message(c, "message written", websocket.MessageInfo{Type: websocket.BinaryMessage, Wait: time.Second - 1})
	require.Empty(t, h.records("message written"))
	l.message(c, "message written", websocket.MessageInfo{Type: websocket.BinaryMessage, Wait: time.Second})
	slow := h.records("slow message written")
	require.Len(t, slow, 1)
	require.Equal(t, "WARN", get(slow[0], "level"))
	require.Equal(t, float64(time.Second), get(slow[0], "message.wait"))
}

func TestCloseLevel(t *testing.T) {
	for _, tt := range []struct {
		by    websocket.Ender
		code  int
		level slog.Level
	}{
		{websocket.EndedByUs, 1000, slog.LevelInfo},
		{websocket.EndedByUs, 1006, slog.LevelInfo}, // Close
		{websocket.EndedByUs, 1011, slog.LevelError},
		{websocket.EndedByPeer, 1000, slog.LevelInfo},
		{websocket.EndedByPeer, 1001, slog.LevelInfo},
		{websocket.EndedByPeer, 1005, slog.LevelInfo},
		{websocket.EndedByPeer, 1011, slog.LevelWarn},
		{websocket.EndedByRule, 1002, slog.LevelWarn},
		{websocket.EndedByNetwork, 1006, slog.LevelWarn},
	} {
		require.Equal(t, tt.level, closeLevel(websocket.CloseInfo{By: tt.by, Code: tt.code}), "%v %d", tt.by, tt.code)
	}
}

func TestRequestAttrs(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/ws?token=secret", nil)
	r.Header = http.Header{"X-Request-Id": {strings.Repeat("i", 1000)}, "Cookie": {"secret"}, "Authorization": {"secret"}}
	require.Equal(t, []slog.Attr{slog.String("id", strings.Repeat("i", 128)), slog.String("path", "/ws")}, RequestAttrs(r))
}

func TestOwnRequestAttrs(t *testing.T) {
	h := newRecorder(slog.LevelInfo)
	client, server := pair(t, &Log{Logger: slog.New(h), Request: func(*http.Request) []slog.Attr {
		return []slog.Attr{slog.String("user", "ann")}
	}})
	require.NoError(t, client.Close())
	_, _, err := server.ReadMessage()
	require.Error(t, err)
	ends := h.records("closed")
	require.Len(t, ends, 1)
	require.Equal(t, map[string]any{"user": "ann"}, ends[0]["request"])
}

// A connection that was made by NewConn has no request.
func TestNoHandshake(t *testing.T) {
	h := newRecorder(slog.LevelDebug)
	l := &Log{Logger: slog.New(h)}
	end, other := net.Pipe()
	require.NoError(t, other.Close())
	c := websocket.NewConn(end, websocket.Negotiated{}, websocket.Options{Trace: l.Trace()})
	require.NoError(t, c.Close())
	require.Len(t, h.records("opened"), 1)
	ends := h.records("closed")
	require.Len(t, ends, 1)
	require.Equal(t, "client", get(ends[0], "conn.role"))
	require.NotContains(t, ends[0], "request")
}

// What is kept of a connection goes with it.
func TestConnectionsAreForgotten(t *testing.T) {
	l := &Log{Logger: slog.New(slog.DiscardHandler)}
	for range 100 {
		end, other := net.Pipe()
		_ = other.Close()
		_ = websocket.NewConn(end, websocket.Negotiated{}, websocket.Options{Trace: l.Trace()}).Close()
	}
	left := func() (n int) {
		l.conns.Range(func(any, any) bool { n++; return true })
		return n
	}
	require.Eventually(t, func() bool { runtime.GC(); return left() < 10 }, time.Minute, time.Millisecond)
}

func TestDefaultLogger(t *testing.T) {
	require.Same(t, slog.Default(), new(Log).logger())
}

func TestHandler(t *testing.T) {
	var out bytes.Buffer
	h, err := handler(&out, "text", "frame")
	require.NoError(t, err)
	slog.New(h).Log(t.Context(), LevelFrame, "one")
	require.Contains(t, out.String(), "level=FRAME msg=one")

	out.Reset()
	h, err = handler(&out, "json", "warn")
	require.NoError(t, err)
	slog.New(h).Info("nothing")
	slog.New(h).Warn("something")
	require.Equal(t, 1, strings.Count(out.String(), "\n"))
	require.True(t, json.Valid(out.Bytes()))

	_, err = handler(&out, "xml", "info")
	require.EqualError(t, err, "-format xml is neither text nor json")
	_, err = handler(&out, "text", "loud")
	require.ErrorContains(t, err, "-level loud is none of frame")
}

func TestListenAndServe(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	h := newRecorder(slog.LevelInfo)
	l := &Log{Logger: slog.New(h)}
	require.NoError(t, listenAndServe(ctx, "127.0.0.1:0", l))
	require.Len(t, h.records("serving"), 1)
	require.Error(t, listenAndServe(ctx, "127.0.0.1:-1", l))
}

func TestOpcode(t *testing.T) {
	for n, name := range map[int]string{0: "continuation", 1: "text", 2: "binary", 3: "reserved", 8: "close", 9: "ping", 10: "pong"} {
		require.Equal(t, name, opcode(n))
	}
}
