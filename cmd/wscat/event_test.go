package main

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
)

// What one run prints, another reads: every message comes back as it was.
func TestFormats(t *testing.T) {
	t.Parallel()
	binary := string([]byte{0, 1, '\n', 0xff, '\r'})
	url := serve(t, echo)
	tests := []struct {
		name  string
		args  []string
		input string
		n     int
		want  string
	}{
		{"lines", nil, "one\ntwo\r\n\nlast, without a newline", 4, "one\ntwo\n\nlast, without a newline\n"},
		{"binary lines", []string{"-type", "binary", "-output", "json"}, "one\n", 1, `{"type":"binary","base64":"b25l"}` + "\n"},
		{"hex", []string{"-input", "hex", "-output", "hex"}, "00ff\n0x01 02:03\n\n", 3, "00ff\n010203\n\n"},
		{"hex of text", []string{"-input", "hex", "-type", "text"}, "616263\n", 1, "abc\n"},
		{"base64", []string{"-input", "base64", "-output", "base64"}, "AAEK/w0=\n\n", 2, "AAEK/w0=\n\n"},
		{"JSON", []string{"-input", "json", "-output", "json"},
			`{"type":"text","data":"<a>\n\u00e9"}` + "\n\n" + `{"type":"binary","base64":"AAE="}` + "\n" + `{"type":"text"}` + "\n", 3,
			`{"type":"text","data":"<a>\né"}` + "\n" + `{"type":"binary","base64":"AAE="}` + "\n" + `{"type":"text","data":""}` + "\n"},
		{"lengths", []string{"-input", "length", "-output", "length"}, "\x00\x00\x00\x05" + binary + "\x00\x00\x00\x00", 2, "\x00\x00\x00\x05" + binary + "\x00\x00\x00\x00"},
		{"whole", []string{"-input", "whole", "-type", "binary", "-output", "length"}, binary, 1, "\x00\x00\x00\x05" + binary},
		{"whole text", []string{"-input", "whole", "-output", "json"}, "a\nb\n", 1, `{"type":"text","data":"a\nb\n"}` + "\n"},
		{"arguments", []string{"-x", "one", "-x", "two"}, "ignored", 2, "one\ntwo\n"},
		{"arguments in hex", []string{"-x", "00", "-input", "hex", "-output", "hex"}, "", 1, "00\n"},
		{"a large message", nil, strings.Repeat("x", 1<<20) + "\n", 1, strings.Repeat("x", 1<<20) + "\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := wscat(t, test.input, append(test.args, url, "-n", fmt.Sprint(test.n))...)
			require.Equal(t, outcome{out: test.want}, got)
		})
	}
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	url := serve(t, echo)
	tests := []struct {
		name, format, input, want string
	}{
		{"text that is none", "lines", "good\n\xff\n", "input, message 2: text that is not UTF-8: send it as binary"},
		{"hex", "hex", "0g\n", "input, message 1: hex: invalid byte"},
		{"half a byte", "hex", "000\n", "input, message 1: hex: odd length hex string"},
		{"base64", "base64", "AAE\n", "input, message 1: illegal base64 data"},
		{"length cut", "length", "\x00\x00", "input, message 1: the input ends within a length"},
		{"message cut", "length", "\xff\xff\xff\xffabc", "input, message 1: the input ends after 3 of 4294967295 bytes of a message"},
		{"no JSON", "json", "hello\n", "input, message 1: invalid character"},
		{"no type", "json", "{}\n", "input, message 1: no type"},
		{"another type", "json", `{"type":"pang"}`, `type "pang" is none of`},
		{"data twice", "json", `{"type":"text","data":"a","base64":""}`, "both data and base64"},
		{"base64 in JSON", "json", `{"type":"binary","base64":"?"}`, "base64: illegal"},
		{"long ping", "json", `{"type":"ping","data":"` + strings.Repeat("a", 126) + `"}`, "a ping has 125 bytes at most, not 126"},
		{"close code", "json", `{"type":"close","code":999}`, "close code 999 may not be sent"},
		{"reason alone", "json", `{"type":"close","reason":"a"}`, "a close reason needs a close code"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := wscat(t, test.input, "-wait", "forever", "-input", test.format, url)
			require.Equal(t, exitUsage, got.code)
			require.True(t, strings.HasPrefix(got.err, "wscat: "), got.err)
			require.Contains(t, got.err, test.want)
		})
	}
	got := wscat(t, "", "-input", "hex", "-x", "00", "-x", "xy", url)
	require.Equal(t, exitUsage, got.code)
	require.Contains(t, got.err, "wscat: -x 2: hex: ")
}

// Scripts may send control frames too.
func TestControlFramesInJSON(t *testing.T) {
	t.Parallel()
	seen := make(chan string, 3)
	url := serve(t, func(c *websocket.Conn, r *http.Request) error {
		c.SetPingHandler(func(p string) error { seen <- "ping " + p; return nil })
		c.SetPongHandler(func(p string) error { seen <- "pong " + p; return nil })
		_, _, err := c.ReadMessage()
		seen <- err.Error()
		return nil
	})
	input := `{"type":"ping","data":"a"}` + "\n" + `{"type":"pong","base64":"AA=="}` + "\n" + `{"type":"close","code":4000,"reason":"bye"}` + "\n"
	require.Equal(t, outcome{}, wscat(t, input, "-input", "json", url))
	require.Equal(t, "ping a", <-seen)
	require.Equal(t, "pong \x00", <-seen)
	require.Equal(t, "websocket: close 4000: bye", <-seen)
}

func TestCount(t *testing.T) {
	t.Parallel()
	url := serve(t, func(c *websocket.Conn, r *http.Request) error {
		for i := range 100 {
			if err := c.WriteMessage(websocket.TextMessage, fmt.Append(nil, i)); err != nil {
				return nil
			}
		}
		_, _, err := c.ReadMessage()
		return err
	})
	require.Equal(t, outcome{out: "0\n1\n2\n"}, wscat(t, "", "-n", "3", url), "there are more, and no more are printed")
}

// After the end of the input messages are waited for.
func TestWait(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	l := start(t, "-wait", "forever", serve(t, func(c *websocket.Conn, r *http.Request) error {
		for i := 0; ; i++ {
			_, p, err := c.ReadMessage()
			if err != nil {
				ended <- err
				return nil
			}
			if string(p) == "last" {
				break
			}
		}
		if err := c.WriteMessage(websocket.TextMessage, []byte("answer")); err != nil {
			return err
		}
		return &websocket.CloseError{Code: 1000}
	}))
	l.enter("first")
	l.enter("last")
	require.NoError(t, l.in.Close())
	l.expect("^answer$")
	require.Equal(t, exitOK, l.end())

	// With a time, it ends by itself.
	require.Equal(t, outcome{}, wscat(t, "first\n", "-wait", "1ms", serve(t, func(c *websocket.Conn, r *http.Request) error {
		_, _, _ = c.ReadMessage()
		_, _, err := c.ReadMessage()
		ended <- err
		return nil
	})))
	require.True(t, websocket.IsCloseError(await(t, ended), websocket.CloseNormalClosure))
}

func TestEventEncoding(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	for _, e := range []event{
		{Type: "text", payload: []byte("a<b\n")},
		{Type: "binary", payload: []byte{0, 255}},
		{Type: "ping", payload: []byte{255}},
		{Type: "pong", payload: []byte("text")},
		{Time: &at, At: 1.5, Dir: sent, Type: "close", Code: 1000, Reason: "bye"},
		{Type: "open", URL: "ws://a", Subprotocol: "b"},
	} {
		line := e.encode()
		require.Equal(t, 1, bytes.Count(line, []byte("\n")))
		got, err := decodeEvent(line)
		require.NoError(t, err)
		require.Equal(t, e, got)
	}
}
