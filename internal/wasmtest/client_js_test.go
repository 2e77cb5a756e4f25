package wasmtest

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall/js"
	"testing"
	"time"
	"weak"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
)

// patience keeps a test from hanging; nothing takes so long.
const patience = 20 * time.Second

var server = os.Getenv("WEBSOCKET_WASMTEST_SERVER")

// TestMain makes sure that no goroutine is left behind.
func TestMain(m *testing.M) {
	// The runtime keeps a goroutine for events, from the first on.
	called := make(chan struct{})
	call := js.FuncOf(func(js.Value, []js.Value) any { close(called); return nil })
	js.Global().Call("setTimeout", call, 0)
	<-called
	call.Release()
	before := runtime.NumGoroutine()
	code := m.Run()
	for end := time.Now().Add(patience); runtime.NumGoroutine() > before && code == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			stacks := make([]byte, 1<<20)
			fmt.Printf("goroutines are left:\n%s\n", stacks[:runtime.Stack(stacks, true)])
			code = 1
		}
	}
	os.Exit(code)
}

// needServer skips the test where there is none.
func needServer(t *testing.T) {
	if server == "" {
		t.Skip("there is no server: run go test ./internal/wasmtest without GOOS and GOARCH, which needs Node from version 22 on")
	}
}

// dial opens a connection to a path of the server.
func dial(t *testing.T, path string, opts websocket.Options) *websocket.Conn {
	t.Helper()
	needServer(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	d := websocket.Dialer{Options: opts}
	c, resp, err := d.DialContext(ctx, server+path, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
	return c
}

// script opens a connection to a peer that does as a script says.
func script(t *testing.T, name, arg string, opts websocket.Options) *websocket.Conn {
	t.Helper()
	return dial(t, "/script/"+name+"?"+url.Values{"arg": {arg}}.Encode(), opts)
}

// payloads are messages of many kinds.
var payloads = []struct {
	name        string
	messageType int
	payload     string
}{
	{"text", websocket.TextMessage, "Hello"},
	{"empty text", websocket.TextMessage, ""},
	{"text of many languages", websocket.TextMessage, "fünf € für 世界 🌍"},
	{"text with NUL", websocket.TextMessage, "a\x00b"},
	{"long text", websocket.TextMessage, strings.Repeat("fünf € ", 100_000)},
	{"binary", websocket.BinaryMessage, "\xff\x00\x01"},
	{"empty binary", websocket.BinaryMessage, ""},
	{"binary that fits behind a header", websocket.BinaryMessage, strings.Repeat("\xfe", 28)},
	{"binary of 126 bytes", websocket.BinaryMessage, strings.Repeat("\xfe", 126)},
	{"binary of 64 KiB", websocket.BinaryMessage, strings.Repeat("\xfd", 64<<10)},
	{"binary of 3 MiB", websocket.BinaryMessage, strings.Repeat("0123456789", 3<<20/10)},
}

// ways are those to write and to read.
var ways = []struct {
	name  string
	write func(c *websocket.Conn, messageType int, p []byte) error
	read  func(c *websocket.Conn) (messageType int, p []byte, err error)
}{
	{"WriteMessage, ReadMessage", (*websocket.Conn).WriteMessage, (*websocket.Conn).ReadMessage},
	{"WriteMessageContext, ReadMessageContext",
		func(c *websocket.Conn, messageType int, p []byte) error {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			return c.WriteMessageContext(ctx, messageType, p)
		},
		func(c *websocket.Conn) (int, []byte, error) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			messageType, p, err := c.ReadMessageContext(ctx, append(make([]byte, 0, 100), "before"...))
			return messageType, bytes.TrimPrefix(p, []byte("before")), err
		}},
	{"NextWriter, NextReader",
		func(c *websocket.Conn, messageType int, p []byte) error {
			w, err := c.NextWriter(messageType)
			if err != nil {
				return err
			}
			for _, piece := range [][]byte{p[:len(p)/3], p[len(p)/3 : len(p)/2], p[len(p)/2:]} {
				if _, err := w.Write(piece); err != nil {
					return err
				}
			}
			return w.Close()
		},
		func(c *websocket.Conn) (int, []byte, error) {
			messageType, r, err := c.NextReader()
			if err != nil {
				return 0, nil, err
			}
			p, err := io.ReadAll(r)
			return messageType, p, err
		}},
	{"WritePreparedMessage, Messages",
		func(c *websocket.Conn, messageType int, p []byte) error {
			pm, err := websocket.NewPreparedMessage(messageType, p)
			if err != nil {
				return err
			}
			return c.WritePreparedMessage(pm)
		},
		func(c *websocket.Conn) (int, []byte, error) {
			for m, err := range c.Messages(context.Background()) {
				return m.Type, bytes.Clone(m.Data), err
			}
			return 0, nil, io.EOF
		}},
	{"TryWriteMessage", (*websocket.Conn).TryWriteMessage, (*websocket.Conn).ReadMessage},
	{"Stream",
		func(c *websocket.Conn, messageType int, p []byte) error {
			_, err := c.Stream(messageType).Write(p)
			return err
		}, (*websocket.Conn).ReadMessage},
}

func TestMessages(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			c := dial(t, "/echo", websocket.Options{WriteQueue: 8 << 20})
			for _, m := range payloads {
				require.NoError(t, way.write(c, m.messageType, []byte(m.payload)), m.name)
				messageType, p, err := way.read(c)
				require.NoError(t, err, m.name)
				require.Equal(t, m.messageType, messageType, m.name)
				require.True(t, m.payload == string(p), "%s: %d bytes came back", m.name, len(p))
			}
			require.NoError(t, c.Flush())
			s := c.Stats()
			require.EqualValues(t, len(payloads), s.MessagesRead)
			require.Equal(t, s.MessagesRead, s.MessagesWritten)
			require.Equal(t, s.PayloadRead, s.PayloadWritten)
			require.Zero(t, s.WireRead, "nobody knows")
			require.Zero(t, s.WireWritten, "nobody knows")
			require.NoError(t, c.Shutdown(t.Context(), websocket.CloseNormalClosure, "bye"))
		})
	}
}

// TestSaid has the server look at what was written, rather than send it back.
func TestSaid(t *testing.T) {
	type frame struct {
		Type    int
		Payload string
	}
	said := []frame{{1, "Hello"}, {2, "bytes"}, {1, ""}, {1, "[1,2]\n"}, {1, "\ufefffünf"}}
	arg, err := json.Marshal(said)
	require.NoError(t, err)
	c := script(t, "say", string(arg), websocket.Options{})
	require.NoError(t, c.WriteMessage(websocket.TextMessage, []byte("Hello")))
	require.NoError(t, c.WriteMessage(websocket.BinaryMessage, []byte("bytes")))
	w, err := c.NextWriter(websocket.TextMessage)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	require.NoError(t, c.WriteJSON([]int{1, 2}))
	require.NoError(t, c.WriteMessage(websocket.TextMessage, []byte("\ufefffünf")))
	_, p, err := c.ReadMessage()
	require.NoError(t, err)
	require.Equal(t, "all well", string(p))
}

// TestByteOrderMark reads what TestSaid writes. Node takes it away from what comes.
func TestByteOrderMark(t *testing.T) {
	c := dial(t, "/echo", websocket.Options{})
	require.NoError(t, c.WriteMessage(websocket.TextMessage, []byte("\ufeffHello")))
	_, p, err := c.ReadMessage()
	require.NoError(t, err)
	want := "\ufeffHello"
	if js.Global().Get("process").Type() == js.TypeObject && string(p) == "Hello" {
		want = "Hello"
	}
	require.Equal(t, want, string(p))
}

func TestFragments(t *testing.T) {
	c := script(t, "fragments", "", websocket.Options{})
	pinged := false
	c.SetPingHandler(func(string) error { pinged = true; return nil })
	messageType, p, err := c.ReadMessage()
	require.NoError(t, err)
	require.Equal(t, websocket.TextMessage, messageType)
	require.Equal(t, "fünf €", string(p))
	_, _, err = c.ReadMessage()
	require.Equal(t, &websocket.CloseError{Code: 1000}, err)
	require.False(t, pinged, "the host answers pings and tells nobody")
}

func TestJSON(t *testing.T) {
	c := dial(t, "/echo", websocket.Options{})
	type value struct{ A, B string }
	require.NoError(t, c.WriteJSON(value{"ä", "\x01"}))
	var got value
	require.NoError(t, c.ReadJSON(&got))
	require.Equal(t, value{"ä", "\x01"}, got)
}

func TestPeerCloses(t *testing.T) {
	for _, tt := range []struct {
		arg  string
		want websocket.CloseError
	}{
		{"1000 ", websocket.CloseError{Code: 1000}},
		{"1001 going", websocket.CloseError{Code: 1001, Text: "going"}},
		{"1008 policy", websocket.CloseError{Code: 1008, Text: "policy"}},
		{"1011 ", websocket.CloseError{Code: 1011}},
		{"3001 fünf", websocket.CloseError{Code: 3001, Text: "fünf"}},
		{"4999 " + strings.Repeat("x", 123), websocket.CloseError{Code: 4999, Text: strings.Repeat("x", 123)}},
		{"0 ", websocket.CloseError{Code: websocket.CloseNoStatusReceived}},
	} {
		t.Run(tt.arg, func(t *testing.T) {
			c := script(t, "close", tt.arg, websocket.Options{})
			var told websocket.CloseError
			c.SetCloseHandler(func(code int, text string) error {
				told = websocket.CloseError{Code: code, Text: text}
				return nil
			})
			_, p, err := c.ReadMessage()
			require.NoError(t, err)
			require.Equal(t, "last", string(p))
			_, _, err = c.ReadMessage()
			require.Equal(t, &tt.want, err)
			require.Equal(t, tt.want, told)
			require.Equal(t, err, context.Cause(c.Context()))
			_, _, again := c.ReadMessage()
			require.Equal(t, err, again)
			require.Error(t, c.WriteMessage(websocket.TextMessage, nil))
			require.NoError(t, c.Close())
		})
	}
}

// TestPeerClosesAndHandlerAnswers has a handler answer with a code that the host sends for no
// program: the host has answered.
func TestPeerClosesAndHandlerAnswers(t *testing.T) {
	for _, code := range []int{1001, 1008, 1011} {
		t.Run(strconv.Itoa(code), func(t *testing.T) {
			c := script(t, "close", fmt.Sprint(code, " why"), websocket.Options{})
			c.SetCloseHandler(func(code int, text string) error {
				return c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, text), time.Now().Add(patience))
			})
			_, _, err := c.ReadMessage()
			require.NoError(t, err)
			_, _, err = c.ReadMessage()
			require.Equal(t, &websocket.CloseError{Code: code, Text: "why"}, err)
			require.Equal(t, err, context.Cause(c.Context()))
		})
	}
}

func TestWriteAfterPeerClosed(t *testing.T) {
	c := script(t, "close", "1000 ", websocket.Options{})
	for range c.Messages(t.Context()) {
	}
	require.ErrorIs(t, c.WriteMessage(websocket.TextMessage, nil), websocket.ErrCloseSent)
	require.ErrorIs(t, c.TryWriteMessage(websocket.TextMessage, nil), websocket.ErrCloseSent)
}

func TestNetworkLost(t *testing.T) {
	for _, name := range []string{"lost", "reset"} {
		t.Run(name, func(t *testing.T) {
			c := script(t, name, "", websocket.Options{})
			_, p, err := c.ReadMessage()
			require.NoError(t, err)
			require.Equal(t, "last", string(p))
			require.NoError(t, c.WriteMessage(websocket.TextMessage, []byte("heard")))
			_, _, err = c.ReadMessage()
			require.True(t, websocket.IsCloseError(err, websocket.CloseAbnormalClosure), "%v", err)
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
			require.Error(t, c.Context().Err())
		})
	}
}

func TestPeerBreaksRules(t *testing.T) {
	for _, rule := range []string{"masked", "reserved", "text", "continuation", "close code", "close length", "opcode"} {
		t.Run(rule, func(t *testing.T) {
			c := script(t, "broken", rule, websocket.Options{})
			require.NoError(t, c.WriteMessage(websocket.TextMessage, []byte("begin"))) // or it might come while the host opens
			messageType, p, err := c.ReadMessage()
			if rule == "masked" && err == nil { // Firefox takes it
				require.Equal(t, "Hello", string(p))
				return
			}
			require.Error(t, err, "%d %q", messageType, p)
			want := websocket.CloseAbnormalClosure
			if rule == "close length" && websocket.IsCloseError(err, websocket.CloseNoStatusReceived) { // Firefox overlooks the byte
				want = websocket.CloseNoStatusReceived
			}
			require.True(t, websocket.IsCloseError(err, want), "%v", err)
			require.Error(t, c.Context().Err())
			require.NoError(t, c.Close())
		})
	}
}

func TestShutdown(t *testing.T) {
	for _, tt := range []struct {
		code   int
		reason string
		seen   string // by the peer
	}{
		{0, "", "1000 "},
		{1000, "bye", "1000 bye"},
		{3000, "", "3000 "},
		{4999, strings.Repeat("ü", 100), "4999 " + strings.Repeat("ü", 61)},
	} {
		t.Run(strconv.Itoa(tt.code), func(t *testing.T) {
			c := script(t, "expect-close", tt.seen, websocket.Options{})
			require.NoError(t, c.Shutdown(t.Context(), tt.code, tt.reason))
			require.Error(t, c.Context().Err())
		})
	}
}

// TestShutdownWithheld has the host withhold a code that it lets no program send.
func TestShutdownWithheld(t *testing.T) {
	for _, code := range []int{1001, 1008, 1011, 1014} {
		c := script(t, "expect-close", "0 ", websocket.Options{})
		err := c.Shutdown(t.Context(), code, "why")
		require.ErrorIs(t, err, errors.ErrUnsupported)
		require.ErrorContains(t, err, strconv.Itoa(code))
		require.Error(t, c.Context().Err(), "it is closed nevertheless")
		require.ErrorIs(t, c.WriteMessage(websocket.TextMessage, nil), websocket.ErrCloseSent)
	}
}

func TestShutdownRefused(t *testing.T) {
	c := dial(t, "/echo", websocket.Options{})
	for _, code := range []int{-1, 999, 1004, 1005, 1006, 1015, 2000, 5000} {
		require.Error(t, c.Shutdown(t.Context(), code, ""))
	}
	requireEcho(t, c)
}

func TestShutdownUnanswered(t *testing.T) {
	c := script(t, "never-answers", "", websocket.Options{CloseTimeout: 50 * time.Millisecond})
	err := c.Shutdown(t.Context(), 1000, "")
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)

	c = script(t, "never-answers", "", websocket.Options{})
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(10*time.Millisecond, func() { cancel(why) })
	require.ErrorIs(t, c.Shutdown(ctx, 1000, ""), why)

	c = script(t, "expect-lost", "", websocket.Options{})
	require.Error(t, c.Shutdown(t.Context(), 1000, ""))
}

// requireEcho makes sure that c is well.
func requireEcho(t *testing.T, c *websocket.Conn) {
	t.Helper()
	require.NoError(t, c.WriteMessage(websocket.TextMessage, []byte("still here")))
	_, p, err := c.ReadMessage()
	require.NoError(t, err)
	require.Equal(t, "still here", string(p))
}

// TestRefused has no harm come of what the host can't send.
func TestRefused(t *testing.T) {
	prepared := func(messageType int, p []byte) *websocket.PreparedMessage {
		pm, err := websocket.NewPreparedMessage(messageType, p)
		require.NoError(t, err)
		return pm
	}
	going := websocket.FormatCloseMessage(websocket.CloseGoingAway, "")
	c := dial(t, "/echo", websocket.Options{})
	for name, f := range map[string]func() error{
		"WriteControl with a ping":           func() error { return c.WriteControl(websocket.PingMessage, nil, time.Time{}) },
		"WriteControl with a pong":           func() error { return c.WriteControl(websocket.PongMessage, nil, time.Time{}) },
		"WriteControl with a close code":     func() error { return c.WriteControl(websocket.CloseMessage, going, time.Time{}) },
		"WriteMessage with a ping":           func() error { return c.WriteMessage(websocket.PingMessage, nil) },
		"WriteMessage with a close code":     func() error { return c.WriteMessage(websocket.CloseMessage, going) },
		"WriteMessageContext with a ping":    func() error { return c.WriteMessageContext(t.Context(), websocket.PingMessage, nil) },
		"TryWriteMessage with a ping":        func() error { return c.TryWriteMessage(websocket.PingMessage, nil) },
		"NextWriter with a ping":             func() error { _, err := c.NextWriter(websocket.PingMessage); return err },
		"WritePreparedMessage with a ping":   func() error { return c.WritePreparedMessage(prepared(websocket.PingMessage, nil)) },
		"TryWritePreparedMessage with close": func() error { return c.TryWritePreparedMessage(prepared(websocket.CloseMessage, going)) },
		"Ping":                               func() error { _, err := c.Ping(t.Context()); return err },
	} {
		require.ErrorIs(t, f(), errors.ErrUnsupported, name)
	}
	for name, payload := range map[string]string{
		"of one byte":          "\x0f",
		"with 999":             "\x03\xe7",
		"with 1005":            "\x03\xed",
		"with 5000":            "\x13\x88",
		"with 5000 and reason": "\x13\x88\xff",
	} {
		require.ErrorIs(t, c.WriteControl(websocket.CloseMessage, []byte(payload), time.Time{}), errors.ErrUnsupported, name)
	}
	for _, code := range []int{1000, 4000} {
		notText := websocket.FormatCloseMessage(code, "\xff")
		require.ErrorContains(t, c.WriteControl(websocket.CloseMessage, notText, time.Time{}), "not UTF-8")
	}
	require.ErrorContains(t, c.WriteMessage(websocket.TextMessage, []byte("\xff")), "not UTF-8")
	require.ErrorContains(t, c.TryWritePreparedMessage(prepared(websocket.TextMessage, []byte("\xff"))), "not UTF-8")
	requireEcho(t, c)

	var g websocket.Group
	g.Add(c)
	g.Broadcast(prepared(websocket.PingMessage, nil))
	g.Broadcast(prepared(websocket.TextMessage, []byte("\xff")))
	requireEcho(t, c)

	require.NoError(t, c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(3000, "bye"), time.Time{}))
	require.ErrorIs(t, c.WriteMessage(websocket.TextMessage, nil), websocket.ErrCloseSent)
	_, _, err := c.ReadMessage()
	require.Equal(t, &websocket.CloseError{Code: 3000, Text: "bye"}, err)
}

// notTexts are pieces that make up no text.
var notTexts = map[string][]string{
	"unfinished":            {"\xe2\x82"},
	"unfinished in pieces":  {"\xe2", "\x82"},
	"a byte":                {"Hello", "\xff", "Hello"},
	"in a fragment":         {"\xff", strings.Repeat("Hello", 10_000)},
	"in the last fragment":  {strings.Repeat("Hello", 10_000), "\xff"},
	"unfinished and long":   {strings.Repeat("Hello", 10_000), "\xe2\x82"},
	"a byte of a long one":  {strings.Repeat("Hello", 10_000) + "\xff" + strings.Repeat("Hello", 10_000)},
	"too long a character":  {"\xc0", "\x80"},
	"half of a pair":        {"\xed\xa0", "\x80"},
	"unfinished, then more": {"\xe2\x82", strings.Repeat("Hello", 10_000)},
}

// writePieces begins a text and writes pieces of it.
func writePieces(t *testing.T, c *websocket.Conn, pieces []string) io.WriteCloser {
	t.Helper()
	w, err := c.NextWriter(websocket.TextMessage)
	require.NoError(t, err)
	for _, piece := range pieces {
		_, err := io.WriteString(w, piece)
		require.NoError(t, err)
	}
	return w
}

// TestNotTextInPieces finds out in the end, and no harm comes of it.
func TestNotTextInPieces(t *testing.T) {
	c := dial(t, "/echo", websocket.Options{})
	for name, pieces := range notTexts {
		w := writePieces(t, c, pieces)
		require.ErrorContains(t, w.Close(), "not UTF-8", name)
		_, err := w.Write(nil)
		require.Error(t, err, name)
		requireEcho(t, c)
	}
	require.NoError(t, c.Shutdown(t.Context(), websocket.CloseNormalClosure, ""))
}

func TestServe(t *testing.T) {
	t.Run("the handler ends it", func(t *testing.T) {
		c := script(t, "expect-close", "0 ", websocket.Options{})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, c.Serve(ctx, func(websocket.Message) error { return nil }), context.Canceled)
	})
	t.Run("with a close error", func(t *testing.T) {
		c := dial(t, "/echo", websocket.Options{})
		require.NoError(t, c.WriteMessage(websocket.BinaryMessage, []byte("x")))
		why := &websocket.CloseError{Code: 4000, Text: "enough"}
		require.Equal(t, why, c.Serve(t.Context(), func(m websocket.Message) error {
			require.Equal(t, websocket.Message{Type: websocket.BinaryMessage, Data: []byte("x")}, m)
			return why
		}))
		require.ErrorIs(t, c.WriteMessage(websocket.TextMessage, nil), websocket.ErrCloseSent)
	})
	t.Run("the peer ends it", func(t *testing.T) {
		c := script(t, "close", "1001 bye", websocket.Options{})
		var got []string
		require.NoError(t, c.Serve(t.Context(), func(m websocket.Message) error {
			got = append(got, string(m.Data))
			return nil
		}))
		require.Equal(t, []string{"last"}, got)
	})
	t.Run("Shutdown within the handler", func(t *testing.T) {
		c := dial(t, "/echo", websocket.Options{})
		require.NoError(t, c.WriteMessage(websocket.TextMessage, nil))
		require.NoError(t, c.Serve(t.Context(), func(websocket.Message) error {
			return c.Shutdown(t.Context(), 1000, "")
		}))
	})
	t.Run("Start", func(t *testing.T) {
		c := script(t, "close", "1000 ", websocket.Options{})
		got, done := make(chan string, 1), make(chan error)
		c.Start(func(m websocket.Message) error { got <- string(m.Data); return nil }, func(err error) { done <- err })
		require.Equal(t, "last", <-got)
		require.NoError(t, <-done)
	})
}

func TestCancelledReadLosesNothing(t *testing.T) {
	c := dial(t, "/echo", websocket.Options{})
	for i := range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		if i%2 == 0 {
			time.AfterFunc(time.Duration(i)*time.Millisecond/4, cancel)
		} else {
			cancel()
		}
		messageType, p, err := c.ReadMessageContext(ctx, nil)
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, -1, messageType)
		require.Empty(t, p)
		cancel()
		requireEcho(t, c)
	}
	// A message comes while reads are called off again and again.
	for i := range 20 {
		require.NoError(t, c.WriteMessage(websocket.TextMessage, []byte(strconv.Itoa(i))))
		for {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Microsecond)
			_, p, err := c.ReadMessageContext(ctx, nil)
			cancel()
			if err == nil {
				require.Equal(t, strconv.Itoa(i), string(p))
				break
			}
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
	}
}

func TestReadDeadline(t *testing.T) {
	c := dial(t, "/echo", websocket.Options{})
	for _, deadline := range []time.Time{time.Now().Add(-time.Second), time.Now().Add(5 * time.Millisecond)} {
		require.NoError(t, c.SetReadDeadline(deadline))
		_, _, err := c.ReadMessage()
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.NoError(t, c.Context().Err())
	}
	// It counts for a read that waits already.
	require.NoError(t, c.SetReadDeadline(time.Time{}))
	time.AfterFunc(5*time.Millisecond, func() { c.SetReadDeadline(time.Now()) })
	_, _, err := c.ReadMessage()
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
	requireEcho(t, c)
}

func TestReadLimit(t *testing.T) {
	for name, set := range map[string]func(c *websocket.Conn){
		"Options":      func(*websocket.Conn) {},
		"SetReadLimit": func(c *websocket.Conn) { c.SetReadLimit(1 << 20) },
	} {
		t.Run(name, func(t *testing.T) {
			opts := websocket.Options{ReadLimit: 1 << 20}
			if name != "Options" {
				opts.ReadLimit = 0
			}
			c := script(t, "too-big", "", opts)
			set(c)
			_, _, err := c.ReadMessage()
			require.ErrorIs(t, err, websocket.ErrReadLimit)
			require.ErrorIs(t, context.Cause(c.Context()), websocket.ErrReadLimit)
			_, _, err = c.ReadMessage()
			require.ErrorIs(t, err, websocket.ErrReadLimit)
		})
	}
	c := dial(t, "/echo", websocket.Options{ReadLimit: 5})
	require.NoError(t, c.WriteMessage(websocket.TextMessage, []byte("12345")))
	_, p, err := c.ReadMessage()
	require.NoError(t, err)
	require.Equal(t, "12345", string(p))
}

// TestSlowPeer writes to a peer that does not read: first the network fills up, then the
// host's buffer and ours.
func TestSlowPeer(t *testing.T) {
	name := strconv.FormatInt(time.Now().UnixNano(), 36)
	c := script(t, "stalled", name, websocket.Options{WriteQueue: 1 << 20})
	release := sync.OnceFunc(func() {
		_, _, err := websocket.DefaultDialer.Dial(server+"/release?arg="+name, nil)
		require.Error(t, err)
	})
	defer release()
	p := make([]byte, 64<<10)
	sent := 0
	for ; ; sent++ {
		require.Less(t, sent, 1<<14, "1 GiB, and nobody reads")
		err := c.TryWriteMessage(websocket.BinaryMessage, p)
		if err != nil {
			require.ErrorIs(t, err, websocket.ErrWriteQueueFull)
			break
		}
	}
	require.EqualValues(t, 1, c.Stats().Dropped)

	// And now with writes that wait, until they do so for long: the network is full.
	for blocked := false; !blocked; {
		require.Less(t, sent, 1<<14, "1 GiB, and nobody reads")
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		err := c.WriteMessageContext(ctx, websocket.TextMessage, bytes.Repeat([]byte("x"), len(p)))
		cancel()
		if blocked = err != nil; !blocked {
			sent++
		} else {
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
	}
	release()
	require.NoError(t, c.Close())
}

func TestConcurrent(t *testing.T) {
	const writers, messages = 8, 50
	c := dial(t, "/echo", websocket.Options{})
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() {
			for j := range messages {
				p := fmt.Appendf(nil, "%d %d %s", i, j, strings.Repeat("x", j*j))
				var err error
				if j%2 == 0 {
					err = c.WriteMessage(websocket.TextMessage, p)
				} else {
					err = c.TryWriteMessage(websocket.BinaryMessage, p)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	var mu sync.Mutex
	next := make([]int, writers)
	left := writers * messages
	for range 3 { // read by turns
		all.Go(func() {
			for {
				mu.Lock()
				if left == 0 {
					mu.Unlock()
					return
				}
				left--
				_, p, err := c.ReadMessage()
				var i, j int
				if _, scanErr := fmt.Sscan(string(p), &i, &j); err != nil || scanErr != nil || next[i] != j {
					t.Errorf("%v, %v: %.10q in the place of message %v", err, scanErr, p, next)
				} else {
					next[i]++
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	require.Equal(t, slices.Repeat([]int{messages}, writers), next)
}

func TestClose(t *testing.T) {
	c := dial(t, "/echo", websocket.Options{})
	read := make(chan error)
	go func() {
		_, _, err := c.ReadMessage()
		read <- err
	}()
	time.AfterFunc(5*time.Millisecond, func() { c.Close() })
	require.ErrorIs(t, <-read, net.ErrClosed)
	require.NoError(t, c.Close())
	require.ErrorIs(t, context.Cause(c.Context()), net.ErrClosed)
	require.ErrorIs(t, c.WriteMessage(websocket.TextMessage, nil), net.ErrClosed)
	require.ErrorIs(t, c.TryWriteMessage(websocket.TextMessage, nil), net.ErrClosed)
}

func TestGroup(t *testing.T) {
	var g websocket.Group
	a := dial(t, "/room", websocket.Options{Group: &g})
	b := dial(t, "/room", websocket.Options{Group: &g})
	require.Equal(t, 2, g.Len())
	for _, c := range []*websocket.Conn{a, b} {
		_, p, err := c.ReadMessage()
		require.NoError(t, err)
		require.Equal(t, "joined", string(p))
	}
	pm, err := websocket.NewPreparedMessage(websocket.TextMessage, []byte("Hello"))
	require.NoError(t, err)
	g.Broadcast(pm)
	for range 2 { // the server says it to both
		for _, c := range []*websocket.Conn{a, b} {
			_, p, err := c.ReadMessage()
			require.NoError(t, err)
			require.Equal(t, "Hello", string(p))
		}
	}
	require.NoError(t, g.Shutdown(t.Context(), 0, ""))
	require.Zero(t, g.Len())
	require.Error(t, a.Context().Err())
	require.Error(t, b.Context().Err())
}

func TestTrace(t *testing.T) {
	var told []string
	say := func(format string, args ...any) { told = append(told, fmt.Sprintf(format, args...)) }
	c := dial(t, "/echo", websocket.Options{Trace: &websocket.Trace{
		Handshake:      func(h websocket.HandshakeInfo) { say("handshake %d %v", h.Response.StatusCode, h.Err) },
		MessageWritten: func(_ *websocket.Conn, m websocket.MessageInfo) { say("written %d", m.Payload) },
		MessageRead:    func(_ *websocket.Conn, m websocket.MessageInfo) { say("read %d", m.Payload) },
		Closed:         func(_ *websocket.Conn, e websocket.CloseInfo) { say("closed by %v, %d %q", e.By, e.Code, e.Reason) },
	}})
	requireEcho(t, c)
	require.NoError(t, c.Shutdown(t.Context(), 3000, "bye"))
	require.Equal(t, []string{"handshake 101 <nil>", "written 10", "read 10", `closed by us, 3000 "bye"`}, told)
}

// TestMisfits dials with what the host can't do.
func TestMisfits(t *testing.T) {
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	netDial := func(context.Context, string, string) (net.Conn, error) { panic("never called") }
	for _, tt := range []struct {
		name   string // is in the error
		dialer websocket.Dialer
		header http.Header
	}{
		{"NetDial:", websocket.Dialer{NetDial: func(string, string) (net.Conn, error) { panic("never called") }}, nil},
		{"NetDialContext", websocket.Dialer{NetDialContext: netDial}, nil},
		{"NetDialTLSContext", websocket.Dialer{NetDialTLSContext: netDial}, nil},
		{"Proxy", websocket.Dialer{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: "localhost"})}, nil},
		{"TLSClientConfig", websocket.Dialer{TLSClientConfig: &tls.Config{}}, nil},
		{"Jar", websocket.Dialer{Jar: jar}, nil},
		{"Transport", websocket.Dialer{Transport: http.DefaultTransport}, nil},
		{"CheckRedirect", websocket.Dialer{CheckRedirect: func(*http.Request, []*http.Request) error { return nil }}, nil},
		{"ProxyHeader", websocket.Dialer{ProxyHeader: http.Header{"A": {"b"}}}, nil},
		{"ProxyTLSClientConfig", websocket.Dialer{ProxyTLSClientConfig: &tls.Config{}}, nil},
		{"PingInterval", websocket.Dialer{Options: websocket.Options{PingInterval: time.Second}}, nil},
		{"AllowInvalidUTF8", websocket.Dialer{Options: websocket.Options{AllowInvalidUTF8: true}}, nil},
		{"Compression.Level", compressing(websocket.Compression{Level: 1}), nil},
		{"Compression.Threshold", compressing(websocket.Compression{Threshold: 1}), nil},
		{"ServerNoContextTakeover", compressing(websocket.Compression{ServerNoContextTakeover: true}), nil},
		{"ClientNoContextTakeover", compressing(websocket.Compression{ClientNoContextTakeover: true}), nil},
		{"ServerMaxWindowBits", compressing(websocket.Compression{ServerMaxWindowBits: 9}), nil},
		{"ClientMaxWindowBits", compressing(websocket.Compression{ClientMaxWindowBits: 9}), nil},
		{"Decline", compressing(websocket.Compression{Decline: func(*http.Request) bool { return false }}), nil},
		{"Authorization", websocket.Dialer{}, http.Header{"Authorization": {"Bearer x"}}},
		{"Origin", websocket.Dialer{}, http.Header{"Origin": {"http://example.com"}}},
		{"Cookie", websocket.Dialer{}, http.Header{"Cookie": {"a=b"}}},
		{"Host", websocket.Dialer{}, http.Header{"Host": {"example.com"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, resp, err := tt.dialer.Dial("ws://127.0.0.1:1/", tt.header)
			require.ErrorIs(t, err, errors.ErrUnsupported)
			require.ErrorContains(t, err, tt.name)
			require.Nil(t, c)
			require.Nil(t, resp)
		})
	}
}

func compressing(terms websocket.Compression) websocket.Dialer {
	return websocket.Dialer{Options: websocket.Options{Compression: &terms}}
}

// TestHints dials with what asks for nothing that the host does not do anyway.
func TestHints(t *testing.T) {
	needServer(t)
	d := websocket.Dialer{
		Proxy:            func(*http.Request) (*url.URL, error) { return nil, nil },
		HandshakeTimeout: patience,
		ReadBufferSize:   100, WriteBufferSize: 100, WriteBufferPool: new(sync.Pool),
		EnableCompression: true,
		Options: websocket.Options{
			PingTimeout: time.Second, WriteTimeout: patience, CloseTimeout: patience, SlowConsumer: websocket.CloseSlow,
			Compression: &websocket.Compression{},
		},
	}
	c, _, err := d.Dial(server+"/echo", http.Header{"Content-Length": {"0"}})
	require.NoError(t, err)
	defer c.Close()
	w, err := c.NextWriter(websocket.TextMessage)
	require.NoError(t, err)
	_, err = io.WriteString(w, strings.Repeat("x", 1000))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	_, p, err := c.ReadMessage()
	require.NoError(t, err)
	require.Len(t, p, 1000)
	c.EnableWriteCompression(false)
	require.NoError(t, c.SetCompressionLevel(9))
	requireEcho(t, c)
	var nilDialer *websocket.Dialer
	c, _, err = nilDialer.Dial(server+"/echo", nil)
	require.NoError(t, err)
	requireEcho(t, c)
	require.NoError(t, c.Close())
}

func TestSubprotocols(t *testing.T) {
	needServer(t)
	for _, tt := range []struct {
		name         string
		subprotocols []string
		header       http.Header
		want         string
	}{
		{"none", nil, nil, ""},
		{"one", []string{"chat"}, nil, "chat"},
		{"several", []string{"x", "chat", "soap"}, nil, "soap"},
		{"unknown", []string{"x"}, nil, ""},
		{"by the header", nil, http.Header{"Sec-WebSocket-Protocol": {"x, chat"}}, "chat"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := websocket.Dialer{Subprotocols: tt.subprotocols}
			c, resp, err := d.Dial(server+"/echo", tt.header)
			if tt.name == "unknown" { // "fail the WebSocket connection" if the server chooses none, browsers have it
				if err == nil {
					require.Empty(t, c.Subprotocol())
					c.Close()
				}
				return
			}
			require.NoError(t, err)
			defer c.Close()
			require.Equal(t, tt.want, c.Subprotocol())
			require.Equal(t, tt.want, c.Negotiated().Subprotocol)
			require.Equal(t, tt.want, resp.Header.Get("Sec-WebSocket-Protocol"))
			require.False(t, c.Negotiated().Server)
			requireEcho(t, c)
		})
	}
	for name, d := range map[string]websocket.Dialer{
		"not a token": {Subprotocols: []string{"a b"}},
		"twice":       {Subprotocols: []string{"a", "a"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := d.Dial(server+"/echo", nil)
			require.Error(t, err)
		})
	}
	t.Run("not offered", func(t *testing.T) {
		d := websocket.Dialer{Subprotocols: []string{"chat"}}
		_, _, err := d.Dial(server+"/script/refused?subprotocol=other", nil)
		require.Error(t, err)
	})
}

// TestCompression has the host and the server agree on it by themselves.
func TestCompression(t *testing.T) {
	c := dial(t, "/deflate", websocket.Options{})
	var agreed bool
	require.NoError(t, c.ReadJSON(&agreed))
	require.Equal(t, agreed, c.Negotiated().Compression != nil)
	requireEcho(t, c)
	require.NoError(t, c.WriteMessage(websocket.TextMessage, bytes.Repeat([]byte("over and over "), 1000)))
	_, p, err := c.ReadMessage()
	require.NoError(t, err)
	require.Len(t, p, 14000)
}

func TestDialFails(t *testing.T) {
	needServer(t)
	host := strings.TrimPrefix(server, "ws://")
	for _, tt := range []struct{ name, url string }{
		{"refused by the server", server + "/refused"},
		{"a redirect", server + "/redirect"},
		{"nothing there", server + "/nothing"},
		{"nobody listens", "ws://127.0.0.1:1/"},
		{"no TLS there", "wss://" + host + "/echo"},
		{"another scheme", "ftp://" + host + "/echo"},
		{"no host", "ws:///echo"},
		{"a relative URL", "/echo"},
		{"a fragment", server + "/echo#here"},
		{"a user", "ws://user:secret@" + host + "/echo"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, resp, err := websocket.DefaultDialer.Dial(tt.url, nil)
			require.ErrorContains(t, err, "websocket: ")
			require.NotContains(t, err.Error(), "secret")
			require.NotErrorIs(t, err, websocket.ErrBadHandshake, "there would be a response")
			require.Nil(t, c)
			require.Nil(t, resp)
		})
	}
}

func TestDialSchemes(t *testing.T) {
	needServer(t)
	c, _, err := websocket.DefaultDialer.Dial("http"+strings.TrimPrefix(server, "ws")+"/echo", nil)
	require.NoError(t, err)
	requireEcho(t, c)
	require.Equal(t, strings.TrimPrefix(server, "ws://"), c.RemoteAddr().String())
	require.Equal(t, "websocket", c.LocalAddr().Network())
	require.NotNil(t, c.NetConn())
	require.NoError(t, c.Close())
}

func TestDialCancelled(t *testing.T) {
	needServer(t)
	why := errors.New("enough")
	for name, delay := range map[string]time.Duration{"before": 0, "meanwhile": 10 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			if delay == 0 {
				cancel(why)
			} else {
				time.AfterFunc(delay, func() { cancel(why) })
			}
			_, _, err := websocket.DefaultDialer.DialContext(ctx, server+"/silent", nil)
			require.Equal(t, why, err)
		})
	}
	t.Run("by HandshakeTimeout", func(t *testing.T) {
		d := websocket.Dialer{HandshakeTimeout: 10 * time.Millisecond}
		_, _, err := d.Dial(server+"/silent", nil)
		require.Equal(t, context.DeadlineExceeded, err)
	})
	t.Run("afterwards", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c, _, err := websocket.DefaultDialer.DialContext(ctx, server+"/echo", nil)
		require.NoError(t, err)
		cancel()
		requireEcho(t, c)
		require.NoError(t, c.Close())
	})
}

// TestNothingLeft makes sure that a connection that has ended is garbage: the host would
// hold on to a js.Func that was not released, and so to the connection.
func TestNothingLeft(t *testing.T) {
	needServer(t)
	for name, end := range map[string]func(c *websocket.Conn){
		"Close":    func(c *websocket.Conn) { c.Close() },
		"Shutdown": func(c *websocket.Conn) { c.Shutdown(context.Background(), 1000, "") },
		"the peer closes": func(c *websocket.Conn) {
			c.WriteMessage(websocket.CloseMessage, nil)
			c.ReadMessage()
		},
		"a read fails": func(c *websocket.Conn) {
			c.SetReadLimit(1)
			c.WriteMessage(websocket.TextMessage, []byte("too much"))
			c.ReadMessage()
			c.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			var left []remains
			for range 10 {
				c, _, err := websocket.DefaultDialer.Dial(server+"/echo", nil)
				require.NoError(t, err)
				left = append(left, remainsOf(c))
				end(c)
			}
			requireGone(t, left)
		})
	}
}

// remains find out whether a connection, and what it has of the host, are still there.
type remains struct {
	c  weak.Pointer[websocket.Conn]
	nc weak.Pointer[byte]
}

func remainsOf(c *websocket.Conn) remains {
	return remains{weak.Make(c), weak.Make((*byte)(reflect.ValueOf(c.NetConn()).UnsafePointer()))}
}

func (r remains) there() bool { return r.c.Value() != nil || r.nc.Value() != nil }

func requireGone(t *testing.T, left []remains) {
	t.Helper()
	for end := time.Now().Add(patience); slices.ContainsFunc(left, remains.there); time.Sleep(time.Millisecond) {
		require.True(t, time.Now().Before(end), "connections are still held")
		runtime.GC()
	}
}

// TestNewConn is about a connection that is not the host's: there all is as elsewhere.
func TestNewConn(t *testing.T) {
	a, b := net.Pipe()
	client := websocket.NewConn(a, websocket.Negotiated{}, websocket.Options{})
	peer := websocket.NewConn(b, websocket.Negotiated{Server: true}, websocket.Options{})
	go peer.Serve(context.Background(), func(m websocket.Message) error { return peer.WriteMessage(m.Type, m.Data) })
	go func() {
		require.NoError(t, client.WriteMessage(websocket.TextMessage, []byte("Hello")))
	}()
	_, p, err := client.ReadMessage()
	require.NoError(t, err)
	require.Equal(t, "Hello", string(p))
	go client.ReadMessage()
	_, err = client.Ping(t.Context())
	require.NoError(t, err)
	require.NoError(t, client.Shutdown(t.Context(), 1001, ""))
	require.NotZero(t, client.Stats().WireRead)
}
