package wasmtest

import (
	"context"
	"errors"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall/js"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
)

// A fake is a WebSocket object that does what a test tells it.
type fake struct{ js.Value }

const fakeClass = `(() => {
	const class_ = class {
		constructor(url, protocols) {
			if (class_.throws) throw new SyntaxError("no such thing");
			Object.assign(this, {url, protocols, readyState: 0, buffered: 0, looks: 0, protocol: "", extensions: "", sent: [], closed: []});
			class_.last = this;
			if (class_.fails) queueMicrotask(() => this.fire("error", {}));
			if (class_.opens) queueMicrotask(() => { this.readyState = 1; this.fire("open", {}); });
		}
		get bufferedAmount() { this.looks++; return this.buffered; }
		send(m) {
			if (this.throws) throw new Error("send fails");
			this.sent.push(m);
		}
		close(...args) {
			this.closed.push(args);
			this.readyState = 2;
			if (this.answers) setTimeout(() => this.fire("close", {code: 1000, reason: ""}));
		}
		fire(type, event) { this["on" + type]?.({type, ...event}); }
	};
	return class_;
})()`

// fakes puts a class of fakes in the place of WebSocket for a test.
func fakes(t *testing.T) (class js.Value) {
	class = js.Global().Call("eval", fakeClass)
	class.Set("opens", true)
	before := js.Global().Get("WebSocket")
	js.Global().Set("WebSocket", class)
	t.Cleanup(func() { js.Global().Set("WebSocket", before) })
	return class
}

func dialFake(t *testing.T, opts websocket.Options) (*websocket.Conn, fake) {
	class := fakes(t)
	d := websocket.Dialer{Options: opts, Subprotocols: []string{"a"}}
	c, _, err := d.Dial("wss://example.com/path?q=1", nil)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	f := fake{class.Get("last")}
	require.Equal(t, "wss://example.com/path?q=1", f.Get("url").String())
	require.Equal(t, "a", f.Get("protocols").Index(0).String())
	require.Equal(t, "arraybuffer", f.Get("binaryType").String())
	require.Equal(t, "example.com:443", c.RemoteAddr().String())
	return c, f
}

func (f fake) fire(event string, properties map[string]any) { f.Call("fire", event, properties) }

func (f fake) sent() int { return f.Get("sent").Length() }

// requireLetGo makes sure that the host calls us no more.
func (f fake) requireLetGo(t *testing.T) {
	t.Helper()
	for _, name := range []string{"onopen", "onmessage", "onerror", "onclose"} {
		require.True(t, f.Get(name).IsNull(), name)
	}
}

func TestFakeMessages(t *testing.T) {
	c, f := dialFake(t, websocket.Options{})
	// They come while nobody reads, and are kept.
	f.fire("message", map[string]any{"data": "text"})
	bytes := js.Global().Get("Uint8Array").New(3)
	f.fire("message", map[string]any{"data": bytes.Get("buffer")})
	f.fire("close", map[string]any{"code": 1000, "reason": "bye"})
	f.fire("message", map[string]any{"data": "too late"})
	f.requireLetGo(t)
	for _, want := range []websocket.Message{{Type: 1, Data: []byte("text")}, {Type: 2, Data: make([]byte, 3)}} {
		messageType, p, err := c.ReadMessage()
		require.NoError(t, err)
		require.Equal(t, want, websocket.Message{Type: messageType, Data: p})
	}
	_, _, err := c.ReadMessage()
	require.Equal(t, &websocket.CloseError{Code: 1000, Text: "bye"}, err)
	require.NoError(t, c.Close())
}

func TestFakeCloseCodes(t *testing.T) {
	for _, tt := range []struct {
		code, want int
	}{
		{1006, 1006}, {1015, 1006}, {1005, 1005}, {1014, 1014}, {3000, 3000},
		{1004, 1006}, {77, 1006}, {5000, 1006}, {1 << 20, 1006}, // which no peer may send
	} {
		c, f := dialFake(t, websocket.Options{})
		f.fire("error", nil)
		f.fire("close", map[string]any{"code": tt.code, "reason": ""})
		_, _, err := c.ReadMessage()
		require.True(t, websocket.IsCloseError(err, tt.want), "%d: %v", tt.code, err)
		f.requireLetGo(t)
	}
}

func TestFakeBackpressure(t *testing.T) {
	full := 1 << 20
	t.Run("room comes", func(t *testing.T) {
		c, f := dialFake(t, websocket.Options{})
		f.Set("buffered", full)
		require.Equal(t, full, c.Stats().Queued)
		written := make(chan error, 1)
		go func() { written <- c.WriteMessage(websocket.TextMessage, []byte("x")) }()
		for looks := f.Get("looks").Int(); f.Get("looks").Int() < looks+3; { // it asks again and again
			time.Sleep(time.Millisecond)
		}
		require.Zero(t, f.sent())
		require.Empty(t, written)
		f.Set("buffered", full-1)
		require.NoError(t, <-written)
		require.Equal(t, 1, f.sent())
		require.Equal(t, "x", f.Get("sent").Index(0).String())
	})
	t.Run("a deadline passes", func(t *testing.T) {
		c, f := dialFake(t, websocket.Options{WriteTimeout: 5 * time.Millisecond})
		f.Set("buffered", full)
		require.ErrorIs(t, c.WriteMessage(websocket.TextMessage, []byte("x")), os.ErrDeadlineExceeded)
		require.Zero(t, f.sent())
	})
	t.Run("a context ends", func(t *testing.T) {
		c, f := dialFake(t, websocket.Options{})
		f.Set("buffered", full)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		defer cancel()
		require.ErrorIs(t, c.WriteMessageContext(ctx, websocket.TextMessage, []byte("x")), context.DeadlineExceeded)
		require.Zero(t, f.sent())
	})
	t.Run("TryWriteMessage does not wait", func(t *testing.T) {
		c, f := dialFake(t, websocket.Options{WriteQueue: 10})
		f.Set("buffered", full)
		require.NoError(t, c.TryWriteMessage(websocket.TextMessage, []byte("x")))
		require.ErrorIs(t, c.TryWriteMessage(websocket.TextMessage, []byte("0123456789")), websocket.ErrWriteQueueFull)
		f.Set("buffered", 0)
		require.NoError(t, c.Flush())
		require.Equal(t, 1, f.sent())
	})
	t.Run("Close ends the wait", func(t *testing.T) {
		c, f := dialFake(t, websocket.Options{})
		f.Set("buffered", full)
		written := make(chan error, 1)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { written <- c.WriteMessageContext(ctx, websocket.TextMessage, []byte("x")) }()
		for c.Stats().MessagesWritten == 0 {
			time.Sleep(time.Millisecond)
		}
		f.fire("close", map[string]any{"code": 1006, "reason": ""})
		require.Error(t, <-written)
	})
}

// TestFakeCloses has a page's object close while the program writes: for a while it takes
// messages and sends none, and how it ends is for the reader to say.
func TestFakeCloses(t *testing.T) {
	c, f := dialFake(t, websocket.Options{})
	f.Set("readyState", 2)
	f.Set("buffered", 5<<20) // which never changes any more
	require.NoError(t, c.WriteMessage(websocket.TextMessage, []byte("x")))
	f.fire("close", map[string]any{"code": 1001, "reason": ""})
	_, _, err := c.ReadMessage()
	require.Equal(t, &websocket.CloseError{Code: 1001}, err)
}

func TestFakeFarewells(t *testing.T) {
	for _, tt := range []struct {
		code   int
		reason string
		want   string // arguments of close
	}{
		{1000, "bye", `[1000,"bye"]`},
		{4000, "", `[4000,""]`},
		{1001, "going", `[]`},
	} {
		c, f := dialFake(t, websocket.Options{})
		f.Set("answers", true)
		err := c.Shutdown(t.Context(), tt.code, tt.reason)
		require.Equal(t, tt.code == 1001, errors.Is(err, errors.ErrUnsupported), "%v", err)
		require.Equal(t, tt.want, js.Global().Get("JSON").Call("stringify", f.Get("closed").Index(0)).String())
		f.requireLetGo(t)
	}
}

// TestFakeNotTextInPieces has nothing be sent of what is no text, and all that comes after.
func TestFakeNotTextInPieces(t *testing.T) {
	c, f := dialFake(t, websocket.Options{})
	for name, pieces := range notTexts {
		w := writePieces(t, c, pieces)
		require.ErrorContains(t, w.Close(), "not UTF-8", name)
		require.Zero(t, f.sent(), name)
	}
	// The next writer ends the one before, which nobody is told of.
	before := writePieces(t, c, []string{"\xff"})
	w := writePieces(t, c, []string{"fünf ", "\xe2", "\x82", "\xac"})
	require.Error(t, before.Close())
	require.Zero(t, f.sent())
	require.NoError(t, w.Close())
	w = writePieces(t, c, []string{strings.Repeat("x", 10_000), "\xff"})
	written := make(chan error, 1)
	go func() { written <- c.WriteMessage(websocket.BinaryMessage, []byte("\xff")) }() // waits for the message at hand
	require.ErrorContains(t, w.Close(), "not UTF-8")
	require.NoError(t, <-written)
	require.Equal(t, 2, f.sent())
	require.Equal(t, "fünf €", f.Get("sent").Index(0).String())
	require.Equal(t, 1, f.Get("sent").Index(1).Length())
	require.NoError(t, c.Flush())
	require.NoError(t, c.Context().Err())
}

// TestFakeNoString has the host fail to make a string of what is a text.
func TestFakeNoString(t *testing.T) {
	decoder := js.Global().Get("TextDecoder").Get("prototype")
	before := decoder.Get("decode")
	decoder.Set("decode", js.Global().Call("eval", `(function(decode) {
		return function(...args) {
			if (this.fatal) throw new RangeError("the string is too long");
			return decode.apply(this, args);
		};
	})`).Invoke(before))
	t.Cleanup(func() { decoder.Set("decode", before) })
	long := strings.Repeat("fünf € ", 10_000) // whose characters lie across the borders of pieces
	for name, write := range map[string]func(c *websocket.Conn) error{
		"WriteMessage": func(c *websocket.Conn) error { return c.WriteMessage(websocket.TextMessage, []byte(long)) },
		"NextWriter":   func(c *websocket.Conn) error { return writePieces(t, c, []string{"fü", "nf"}).Close() },
		"NextWriter, in fragments": func(c *websocket.Conn) error {
			return writePieces(t, c, []string{"x", long, "nf"}).Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, f := dialFake(t, websocket.Options{})
			err := write(c)
			require.ErrorContains(t, err, "the string is too long")
			require.NotContains(t, err.Error(), "UTF-8")
			var op *net.OpError
			require.ErrorAs(t, err, &op)
			require.Equal(t, "write", op.Op)
			require.Zero(t, f.sent())
		})
	}
}

// TestFakeGroupCloses has a group take leave by a broadcast.
func TestFakeGroupCloses(t *testing.T) {
	for _, tt := range []struct {
		name, want string // arguments of close
		payload    []byte
	}{
		{"a code that programs may send", `[[4000,"bye"]]`, websocket.FormatCloseMessage(4000, "bye")},
		{"no code", `[[]]`, nil},
		{"a code that they may not", `[[]]`, websocket.FormatCloseMessage(websocket.CloseGoingAway, "bye")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var g websocket.Group
			c, f := dialFake(t, websocket.Options{Group: &g})
			f.Set("answers", true)
			require.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
			pm, err := websocket.NewPreparedMessage(websocket.CloseMessage, tt.payload)
			require.NoError(t, err)
			g.Broadcast(pm)
			_, _, err = c.ReadMessage()
			require.Equal(t, &websocket.CloseError{Code: 1000}, err)
			require.Equal(t, tt.want, js.Global().Get("JSON").Call("stringify", f.Get("closed")).String())
			require.Zero(t, g.Len())
		})
	}
}

// TestFakeGroupOfBothKinds broadcasts what the host can't send to a member that it carries, and
// to one by another network connection.
func TestFakeGroupOfBothKinds(t *testing.T) {
	var g websocket.Group
	hosted, f := dialFake(t, websocket.Options{Group: &g})
	a, b := net.Pipe()
	other := websocket.NewConn(a, websocket.Negotiated{}, websocket.Options{Group: &g})
	defer other.Close()
	peer := websocket.NewConn(b, websocket.Negotiated{Server: true}, websocket.Options{AllowInvalidUTF8: true})
	defer peer.Close()
	require.Equal(t, 2, g.Len())
	for _, text := range []string{"\xff", "fünf"} {
		pm, err := websocket.NewPreparedMessage(websocket.TextMessage, []byte(text))
		require.NoError(t, err)
		g.Broadcast(pm)
		_, p, err := peer.ReadMessage()
		require.NoError(t, err)
		require.Equal(t, text, string(p))
	}
	require.NoError(t, hosted.Flush())
	require.Equal(t, 1, f.sent())
	require.Equal(t, "fünf", f.Get("sent").Index(0).String())
}

// TestFakeCloseRefused has nothing be sent that is not what the program has asked for.
func TestFakeCloseRefused(t *testing.T) {
	c, f := dialFake(t, websocket.Options{})
	for _, payload := range []string{"\x0f", "\x03\xe7", "\x03\xed", "\x13\x88", "\x0f\xa0\xff", "\x03\xe8\xe2\x82"} {
		require.Error(t, c.WriteControl(websocket.CloseMessage, []byte(payload), time.Time{}), "%q", payload)
	}
	require.Zero(t, f.Get("closed").Length())
	require.NoError(t, c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(4000, "\u00fc"), time.Time{}))
	require.Equal(t, `[[4000,"ü"]]`, js.Global().Get("JSON").Call("stringify", f.Get("closed")).String())
}

// TestFakeCloseHandlerAnswers has a close handler answer as one for gorilla/websocket does.
func TestFakeCloseHandlerAnswers(t *testing.T) {
	for name, answer := range map[string]func(c *websocket.Conn, code int, text string) error{
		"WriteControl": func(c *websocket.Conn, code int, text string) error {
			return c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, text), time.Now().Add(patience))
		},
		"WriteMessage": func(c *websocket.Conn, code int, text string) error {
			return c.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(code, text))
		},
		"Shutdown": func(c *websocket.Conn, code int, text string) error {
			return c.Shutdown(context.Background(), code, text)
		},
	} {
		for _, code := range []int{1000, 1001, 1008, 1011, 1014, 3000} {
			t.Run(name+" "+strconv.Itoa(code), func(t *testing.T) {
				c, f := dialFake(t, websocket.Options{})
				c.SetCloseHandler(func(code int, text string) error { return answer(c, code, text) })
				f.fire("close", map[string]any{"code": code, "reason": "why"})
				_, _, err := c.ReadMessage()
				require.Equal(t, &websocket.CloseError{Code: code, Text: "why"}, err)
				require.ErrorIs(t, c.WriteMessage(websocket.TextMessage, nil), websocket.ErrCloseSent)
			})
		}
	}
}

func TestFakeThrows(t *testing.T) {
	class := fakes(t)
	class.Set("throws", true)
	_, _, err := websocket.DefaultDialer.Dial("ws://example.com/", nil)
	require.ErrorContains(t, err, "no such thing")

	c, f := dialFake(t, websocket.Options{})
	f.Set("throws", true)
	require.ErrorContains(t, c.WriteMessage(websocket.TextMessage, []byte("x")), "send fails")
	require.ErrorContains(t, c.WriteMessage(websocket.TextMessage, []byte("x")), "send fails")
}

// TestFakeConstructorsThrow has the host fail to make room for bytes, which must not be a panic.
func TestFakeConstructorsThrow(t *testing.T) {
	requireOp := func(t *testing.T, op string, err error) {
		t.Helper()
		var opErr *net.OpError
		require.ErrorAs(t, err, &opErr)
		require.Equal(t, op, opErr.Op)
		var thrown js.Error
		require.ErrorAs(t, err, &thrown)
	}
	t.Run("reading bytes", func(t *testing.T) {
		c, f := dialFake(t, websocket.Options{})
		f.fire("message", map[string]any{"data": js.Global().Call("eval", "({get length() { throw new RangeError('full'); }})")})
		_, _, err := c.ReadMessage()
		requireOp(t, "read", err)
		require.Error(t, c.Context().Err())
		_, _, again := c.ReadMessage()
		require.Equal(t, err, again)
	})
	t.Run("reading text", func(t *testing.T) {
		encoder := js.Global().Get("TextEncoder").Get("prototype")
		before := encoder.Get("encode")
		encoder.Set("encode", js.Global().Call("eval", `(function(encode) {
			return function(s) {
				if (s === "too long") throw new RangeError("full");
				return encode.call(this, s);
			};
		})`).Invoke(before))
		defer encoder.Set("encode", before)
		c, f := dialFake(t, websocket.Options{})
		f.fire("message", map[string]any{"data": js.Global().Call("eval", "'too' + ' long'")})
		_, _, err := c.ReadMessage()
		requireOp(t, "read", err)
		require.ErrorContains(t, err, "full")
		require.Error(t, c.Context().Err())
	})
	for name, opcode := range map[string]int{"bytes": websocket.BinaryMessage, "text": websocket.TextMessage} {
		t.Run("writing "+name, func(t *testing.T) {
			c, f := dialFake(t, websocket.Options{})
			tooLong := websocket.FrameHeader{Fin: true, Opcode: opcode, Length: 1 << 60}.Append(nil)
			_, err := c.NetConn().Write(tooLong) // what a message of that length begins with
			requireOp(t, "write", err)
			require.Zero(t, f.sent())
		})
	}
}

// TestFakeQueued has the object count for ever what it has not sent.
func TestFakeQueued(t *testing.T) {
	for name, end := range map[string]func(c *websocket.Conn, f fake){
		"Close": func(c *websocket.Conn, _ fake) { require.NoError(t, c.Close()) },
		"the object ends": func(_ *websocket.Conn, f fake) {
			f.fire("close", map[string]any{"code": 1006, "reason": ""})
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, f := dialFake(t, websocket.Options{})
			f.Set("buffered", 77)
			require.Equal(t, 77, c.Stats().Queued)
			end(c, f)
			require.Zero(t, c.Stats().Queued)
		})
	}
}

func TestFakeNone(t *testing.T) {
	before := js.Global().Get("WebSocket")
	js.Global().Delete("WebSocket")
	defer js.Global().Set("WebSocket", before)
	_, _, err := websocket.DefaultDialer.Dial("ws://example.com/", nil)
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.ErrorContains(t, err, "WebSocket")
}

func TestFakeDial(t *testing.T) {
	class := fakes(t)
	class.Set("opens", false)
	dial := func(ctx context.Context) <-chan error {
		class.Delete("last")
		dialed := make(chan error, 1)
		go func() {
			_, _, err := websocket.DefaultDialer.DialContext(ctx, "ws://example.com/?token=secret", nil)
			dialed <- err
		}()
		for class.Get("last").IsUndefined() {
			time.Sleep(time.Millisecond)
		}
		return dialed
	}
	t.Run("fails, and the host says why", func(t *testing.T) {
		dialed := dial(t.Context())
		f := fake{class.Get("last")}
		f.fire("error", map[string]any{"message": "it is Monday"})
		f.fire("close", map[string]any{"code": 1006, "reason": ""})
		err := <-dialed
		require.ErrorContains(t, err, "it is Monday")
		require.NotContains(t, err.Error(), "secret")
		f.requireLetGo(t)
	})
	t.Run("fails, and the host does not", func(t *testing.T) {
		dialed := dial(t.Context())
		f := fake{class.Get("last")}
		f.fire("error", nil)
		f.fire("close", map[string]any{"code": 1006, "reason": ""})
		require.ErrorContains(t, <-dialed, "example.com")
		f.requireLetGo(t)
	})
	t.Run("is called off", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		dialed := dial(ctx)
		f := fake{class.Get("last")}
		cancel()
		require.Equal(t, context.Canceled, <-dialed)
		require.Equal(t, 1, f.Get("closed").Length())
		f.requireLetGo(t)
	})
}

func TestFakeNothingLeft(t *testing.T) {
	var left []remains
	for range 10 {
		c, f := dialFakeAlone(t)
		f.fire("message", map[string]any{"data": "unread"})
		left = append(left, remainsOf(c))
		require.NoError(t, c.Close())
	}
	requireGone(t, left)
}

// TestFakeFailuresLeaveNothing counts objects, for a Dial that fails returns none to look for.
func TestFakeFailuresLeaveNothing(t *testing.T) {
	class := fakes(t)
	class.Set("opens", false)
	class.Set("fails", true)
	const dials = 2000
	objects := func() uint64 {
		for range dials {
			_, _, err := websocket.DefaultDialer.Dial("ws://example.com/", nil)
			require.Error(t, err)
		}
		for range 3 { // js.Values have finalizers
			runtime.GC()
			time.Sleep(time.Millisecond)
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapObjects
	}
	before := objects()
	require.Less(t, objects(), before+dials, "each has left something")
}

// dialFakeAlone is dialFake without a cleanup, which would hold on to the connection.
func dialFakeAlone(t *testing.T) (*websocket.Conn, fake) {
	class := fakes(t)
	c, _, err := websocket.DefaultDialer.Dial("ws://example.com/", nil)
	require.NoError(t, err)
	return c, fake{class.Get("last")}
}
