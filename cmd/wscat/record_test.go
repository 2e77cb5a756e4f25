package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
)

// record has a session with the server at url written down, and returns the file.
func record(t *testing.T, url, input string, args ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "talk.jsonl")
	got := wscat(t, input, append(args, "-record", file, url)...)
	require.Equal(t, exitOK, got.code, got.err)
	return file
}

func TestRecord(t *testing.T) {
	t.Parallel()
	began := time.Now()
	url := serve(t, echo)
	file := record(t, url, `{"type":"text","data":"<hello>"}`+"\n"+`{"type":"ping","data":"p"}`+"\n"+`{"type":"binary","base64":"/w=="}`+"\n",
		"-input", "json", "-n", "2", "-s", "chat", "-close-reason", "done")
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	var types []string
	last := 0.0
	for line := range strings.Lines(string(content)) {
		e, err := decodeEvent([]byte(line))
		require.NoError(t, err)
		require.GreaterOrEqual(t, e.At, last)
		require.WithinRange(t, *e.Time, began, time.Now())
		last = e.At
		types = append(types, strings.TrimSpace(e.Dir+" "+e.Type+" "+e.URL+e.Subprotocol+string(e.payload)+e.Reason))
	}
	require.ElementsMatch(t, []string{
		"open " + url + "chat",
		"sent text <hello>", "sent ping p", "sent binary \xff", "sent close done",
		"received text <hello>", "received pong p", "received binary \xff", "received close done",
	}, types)
	if runtime.GOOS != "windows" {
		info, err := os.Stat(file)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode())
	}
}

func TestRecordWhere(t *testing.T) {
	t.Parallel()
	got := wscat(t, "", "-record", filepath.Join(t.TempDir(), "no", "such"), serve(t, echo))
	require.Equal(t, exitUsage, got.code)
	require.Contains(t, got.err, "wscat: recording: open ")
}

// A recording that breaks off would be taken for the whole: the session ends.
func TestRecordingFails(t *testing.T) {
	t.Parallel()
	rec, err := newRecorder(filepath.Join(t.TempDir(), "talk.jsonl"))
	require.NoError(t, err)
	require.NoError(t, rec.open(time.Now(), "ws://a", ""))
	require.NoError(t, rec.close())
	for _, e := range []event{{Type: "text"}, controlEvent("ping", "a")} {
		s := &session{o: &options{}, rec: rec, trouble: make(chan error, 1), pings: map[string]time.Time{}}
		var f *failure
		require.ErrorAs(t, s.send(e), &f, "nothing is sent: there is no connection here")
		require.Equal(t, exitUsage, f.code)
		require.ErrorIs(t, f, os.ErrClosed)
	}
	s := &session{o: &options{}, rec: rec, out: io.Discard, trouble: make(chan error, 1)}
	s.receive(event{Type: "text"})
	require.ErrorIs(t, <-s.trouble, os.ErrClosed)
	s.pong = make(chan struct{}, 1)
	require.NoError(t, s.handlePong("a"))
	require.ErrorIs(t, <-s.trouble, os.ErrClosed)
}

func TestReplay(t *testing.T) {
	t.Parallel()
	upper := serve(t, func(c *websocket.Conn, r *http.Request) error {
		return c.Serve(r.Context(), func(m websocket.Message) error {
			return c.WriteMessage(m.Type, []byte(strings.ToUpper(string(m.Data))))
		})
	})
	plain := serve(t, echo)
	file := record(t, plain, "one\nTWO\nthree\n", "-n", "3")
	for _, speed := range []string{"1", "max", "10x"} {
		got := wscat(t, "", "-replay", file, "-speed", speed)
		require.Equal(t, outcome{out: "one\nTWO\nthree\n"}, got, "the URL is in the recording")
		got = wscat(t, "", "-replay", file, "-speed", speed, "-compare")
		require.Equal(t, outcome{out: "one\nTWO\nthree\n"}, got)
		got = wscat(t, "", "-replay", file, "-speed", speed, "-compare", upper)
		require.Equal(t, outcome{code: exitUnmet, out: "ONE\nTWO\nTHREE\n", err: "! message 1 is different\n" +
			"  recorded: \"one\"\n  received: \"ONE\"\n! message 3 is different\n  recorded: \"three\"\n  received: \"THREE\"\n" +
			"wscat: 2 differences from the recording\n"}, got)
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	url := serve(t, func(c *websocket.Conn, r *http.Request) error {
		switch r.URL.Path {
		case "/two":
			_ = c.WriteMessage(websocket.TextMessage, []byte("one"))
			_ = c.WriteMessage(websocket.BinaryMessage, []byte(strings.Repeat("2", 300)))
		case "/one":
			_ = c.WriteMessage(websocket.TextMessage, []byte("one"))
		}
		if r.URL.Path == "/4000" {
			return &websocket.CloseError{Code: 4000, Text: "bye"}
		}
		_, _, err := c.ReadMessage()
		return err
	})
	one, two := record(t, url+"/one", "", "-n", "1"), record(t, url+"/two", "", "-n", "2")
	closing := filepath.Join(t.TempDir(), "closing.jsonl")
	require.Equal(t, exitClosed, wscat(t, "", "-record", closing, "-wait", "forever", url+"/4000").code)
	tests := []struct {
		name, file, path string
		want             outcome
	}{
		{"the same", two, "/two", outcome{}},
		{"one more", one, "/two", outcome{code: exitUnmet, err: "! message 2 was not recorded: binary " + strings.Repeat("32", 200) + "... (300 bytes)\n" +
			"wscat: 1 difference from the recording\n"}},
		{"one less", two, "/one", outcome{code: exitUnmet, err: "! of 2 messages recorded, 1 did not come; the first is binary " + strings.Repeat("32", 200) + "... (300 bytes)\n" +
			"wscat: 1 difference from the recording\n"}},
		{"closed as recorded", closing, "/4000", outcome{}},
		{"not closed", closing, "/none", outcome{code: exitUnmet, err: "! the peer did not close, but was recorded to send close 4000: bye\n" +
			"wscat: 1 difference from the recording\n"}},
		{"closed", one, "/4000", outcome{code: exitUnmet, err: "! of 1 message recorded, 1 did not come; the first is \"one\"\n" +
			"! the peer sent close 4000: bye, which was not recorded\nwscat: 2 differences from the recording\n"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			wait := "30s"
			if test.name == "one less" || test.name == "not closed" {
				wait = "1s"
			}
			got := wscat(t, "", "-replay", test.file, "-compare", "-wait", wait, url+test.path)
			got.out = ""
			require.Equal(t, test.want, got)
		})
	}
}

func TestMalformedRecordings(t *testing.T) {
	t.Parallel()
	const open = `{"type":"open"}` + "\n"
	tests := []struct {
		name, content, want string
	}{
		{"empty", "\n\n", "an empty recording"},
		{"no JSON", "hello", "line 1: invalid character"},
		{"cut", open + `{"at":1,"dir":"sent","ty`, "line 2: unexpected end of JSON input"},
		{"another type of JSON", open + `[1]`, "line 2: json: cannot unmarshal array"},
		{"no dir", `{"type":"text","data":"a"}`, `line 1: dir "" is neither sent nor received`},
		{"another dir", `{"type":"text","dir":"up"}`, `line 1: dir "up"`},
		{"another type", `{"type":"pang","dir":"sent"}`, `line 1: type "pang"`},
		{"another type received", `{"type":"pang","dir":"received"}`, `line 1: type "pang"`},
		{"no type", `{"dir":"sent"}`, "line 1: no type"},
		{"open again", open + "\n" + open, "line 3: open is not at the beginning"},
		{"time that runs back", `{"type":"text","dir":"sent","at":2}` + "\n" + `{"type":"text","dir":"sent","at":1}`, "line 2: at 1 s is before"},
		{"negative time", `{"type":"text","dir":"sent","at":-1}`, "line 1: at is -1 seconds"},
		{"endless time", `{"type":"text","dir":"sent","at":1e99}`, "line 1: at is 1e+99 seconds"},
		{"base64", `{"type":"binary","dir":"received","base64":"*"}`, "line 1: base64: illegal"},
		{"close code", `{"type":"close","dir":"sent","code":1005}`, "line 1: close code 1005 may not be sent"},
		{"sent after the close", `{"type":"close","dir":"sent"}` + "\n" + `{"type":"text","dir":"sent"}`, "line 2: sent after a close frame"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "bad.jsonl")
			require.NoError(t, os.WriteFile(file, []byte(test.content), 0o600))
			got := wscat(t, "", "-replay", file, "ws://127.0.0.1:1")
			require.Equal(t, exitUsage, got.code)
			require.Contains(t, got.err, "wscat: "+file+": "+test.want)
		})
	}
}

// At a tenth of the pace everything takes ten times as long.
func TestPace(t *testing.T) {
	t.Parallel()
	rec, err := decodeRecording(strings.NewReader(`{"type":"text","dir":"sent","data":"a"}
{"type":"text","dir":"sent","data":"b","at":1.5}
{"type":"text","dir":"received","data":"c","at":2}
`))
	require.NoError(t, err)
	for _, test := range []struct {
		name  string
		speed float64
		want  []time.Duration // when a and b are sent, and when it is over
	}{
		{"as then", 1, []time.Duration{0, 1500 * time.Millisecond, 2 * time.Second}},
		{"slowly", 0.1, []time.Duration{0, 15 * time.Second, 20 * time.Second}},
		{"at once", 0, []time.Duration{0, 0, 0}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				var at []time.Duration
				require.NoError(t, rec.play(t.Context(), test.speed, func(event) error {
					at = append(at, time.Since(began))
					return nil
				}))
				require.Equal(t, test.want, append(at, time.Since(began)))
			})
		})
	}
	stopped := errors.New("stopped")
	ctx, cancel := context.WithCancelCause(t.Context())
	err = rec.play(ctx, 1, func(event) error { cancel(stopped); return nil })
	require.ErrorIs(t, err, stopped)
}
