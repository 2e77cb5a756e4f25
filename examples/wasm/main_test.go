//go:build !js

package main

import (
	"compress/gzip"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
)

// patience keeps a test from hanging; nothing takes so long.
const patience = 3 * time.Minute

// built is the page's program, for all tests.
var built = sync.OnceValues(func() (*program, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return build(ctx)
})

func TestMain(m *testing.M) {
	// What is set for these tests is not for the compiler.
	for _, name := range []string{"GOMEMLIMIT", "GOMAXPROCS", "GOFLAGS"} {
		os.Unsetenv(name)
	}
	os.Exit(m.Run())
}

func compiled(t *testing.T) *program {
	if testing.Short() {
		t.Skip("it compiles everything for js/wasm, which takes a minute at first; run it without -short")
	}
	p, err := built()
	require.NoError(t, err)
	return p
}

func TestFiles(t *testing.T) {
	p := compiled(t)
	require.Less(t, len(p.wasm), 9_000_000, "README.md tells the size")
	s := httptest.NewServer(p.handler(&url.URL{Scheme: "http", Host: "127.0.0.1:1"}))
	defer s.Close()
	client := http.Client{Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}}
	for _, tt := range []struct{ path, encoding, contentType, begins string }{
		{"/", "", "text/html; charset=utf-8", "<!doctype html>"},
		{"/load.js", "", "text/javascript; charset=utf-8", `"use strict"`},
		{"/wasm.css", "", "text/css; charset=utf-8", ":root"},
		{"/wasm_exec.js", "", "text/javascript; charset=utf-8", "// Copyright"},
		{"/chat.wasm", "", "application/wasm", "\x00asm"},
		{"/chat.wasm", "gzip", "application/wasm", "\x00asm"},
	} {
		t.Run(tt.path+tt.encoding, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+tt.path, nil)
			require.NoError(t, err)
			if tt.encoding != "" {
				req.Header.Set("Accept-Encoding", tt.encoding)
			}
			resp, err := client.Do(req)
			require.NoError(t, err)
			defer resp.Body.Close()
			require.Equal(t, http.StatusOK, resp.StatusCode)
			require.Equal(t, tt.contentType, resp.Header.Get("Content-Type"))
			require.Equal(t, tt.encoding, resp.Header.Get("Content-Encoding"))
			body := io.Reader(resp.Body)
			if tt.encoding != "" {
				body, err = gzip.NewReader(body)
				require.NoError(t, err)
			}
			all, err := io.ReadAll(body)
			require.NoError(t, err)
			require.True(t, strings.HasPrefix(string(all), tt.begins), "%.20q", all)
		})
	}
}

func TestBadArguments(t *testing.T) {
	require.ErrorContains(t, run(t.Context(), "127.0.0.1:0", "localhost"), "-chat")
	require.ErrorContains(t, run(t.Context(), "127.0.0.1:99999", "http://localhost:1"), "99999")
}

// TestRun runs all of it until it is interrupted.
func TestRun(t *testing.T) {
	compiled(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := ln.Addr().String()
	require.NoError(t, ln.Close())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, addr, "") }()
	var ann *person
	for ann == nil {
		if ann, err = dial(t, addr, "lobby", "Ann"); err != nil { // it does not listen yet
			select {
			case err := <-ended:
				require.FailNow(t, "it has ended", "%v", err)
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	require.Equal(t, []string{"Ann"}, ann.hear("welcome").People)
	cancel()
	_, _, err = ann.ReadMessage()
	require.True(t, websocket.IsCloseError(err, websocket.CloseGoingAway), "%v", err)
	require.NoError(t, <-ended)
}

// A person is another client in the room.
type person struct {
	*websocket.Conn
	t *testing.T
}

type heard struct {
	Type, Name, Text string
	People           []string
}

func dial(t *testing.T, host, room, name string) (*person, error) {
	u := "ws://" + host + "/ws?" + url.Values{"room": {room}, "name": {name}}.Encode()
	dialer := websocket.Dialer{HandshakeTimeout: patience} // the server may still be building
	c, _, err := dialer.DialContext(t.Context(), u, nil)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { c.Close() })
	return &person{c, t}, c.SetReadDeadline(time.Now().Add(patience))
}

// hear reads events up to one of this type.
func (p *person) hear(eventType string) (e heard) {
	p.t.Helper()
	for e.Type != eventType {
		e = heard{}
		require.NoError(p.t, p.ReadJSON(&e))
	}
	return e
}

func (p *person) say(id, text string) {
	p.t.Helper()
	require.NoError(p.t, p.WriteJSON(map[string]string{"type": "say", "id": id, "text": text}))
}

// drive is a script in the page that does what a user would. It goes by what is seen.
const drive = `"use strict";
const $ = id => document.getElementById(id), done = {};
const once = (what, f) => { if (!done[what]) { done[what] = true; f(); } };
setInterval(() => {
	if (!$("enter").disabled) once("join", () => { $("name").value = "Bob"; $("join").requestSubmit(); });
	const log = $("log").innerText;
	if (log.includes("Hello <b>Bob</b>")) once("say", () => { $("text").value = "Hello Ann"; $("say").requestSubmit(); });
	if (log.includes("Good bye")) once("leave", () => $("leave").click());
	if ($("state").dataset.kind === "bad") once("bad", () => fetch("/bad?" + encodeURIComponent($("state").textContent)));
}, 50);`

// TestPage has Chromium run the page, with another client in the room.
func TestPage(t *testing.T) {
	browser, err := exec.LookPath("chromium")
	if err != nil {
		lack(t, "chromium is missing; to install it: apt-get install chromium")
	}
	p := compiled(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	chatCtx, endChat := context.WithCancel(ctx)
	chat, err := startChat(chatCtx, "127.0.0.1:0")
	require.NoError(t, err)
	defer chat.wait()
	defer endChat()
	target, err := url.Parse(chat.url)
	require.NoError(t, err)

	pages := p.handler(target)
	bad := make(chan string, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/drive.js":
			w.Header().Set("Content-Type", "text/javascript")
			io.WriteString(w, drive)
		case "/bad":
			what, _ := url.QueryUnescape(r.URL.RawQuery)
			bad <- what
		case "/":
			page := httptest.NewRecorder()
			pages.ServeHTTP(page, r)
			w.Header().Set("Content-Security-Policy", page.Header().Get("Content-Security-Policy"))
			io.WriteString(w, page.Body.String()+`<script src="drive.js" defer></script>`)
		default:
			pages.ServeHTTP(w, r)
		}
	}))
	defer s.Close()

	ann, err := dial(t, target.Host, "lobby", "Ann")
	require.NoError(t, err)
	ann.hear("welcome")

	dir, err := os.MkdirTemp("", "websocket-wasm-")
	require.NoError(t, err)
	cmd := exec.CommandContext(ctx, browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--user-data-dir="+dir, s.URL+"/?room=lobby")
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	kill := ownGroup(cmd)
	require.NoError(t, cmd.Start())
	defer func() {
		kill()
		_ = cmd.Wait() // it was killed
		require.Eventually(t, func() bool { return os.RemoveAll(dir) == nil }, 10*time.Second, 20*time.Millisecond)
	}()
	go func() { // if the page gives up, Ann need not wait
		select {
		case what := <-bad:
			t.Errorf("the page says: %s", what)
			ann.Close()
		case <-ctx.Done():
		}
	}()

	require.Equal(t, "Bob", ann.hear("joined").Name)
	ann.say("1", "Hello <b>Bob</b>")
	require.Equal(t, "Hello <b>Bob</b>", ann.hear("said").Text)
	e := ann.hear("said")
	require.Equal(t, heard{Type: "said", Name: "Bob", Text: "Hello Ann"}, e)

	// The server goes and comes back, and so does the page.
	require.NoError(t, ann.Close())
	endChat()
	chat.wait()
	chatCtx, endAgain := context.WithCancel(ctx)
	again, err := startChat(chatCtx, target.Host)
	require.NoError(t, err)
	defer again.wait()
	defer endAgain()
	ann, err = dial(t, target.Host, "lobby", "Ann")
	require.NoError(t, err)
	if len(ann.hear("welcome").People) < 2 {
		require.Equal(t, "Bob", ann.hear("joined").Name)
	}
	ann.say("2", "Good bye")
	require.Equal(t, "Bob", ann.hear("left").Name)
	require.NoError(t, ann.Close())
}

// lack skips the test, or fails it if WEBSOCKET_INTEROP is require or all.
func lack(t *testing.T, msg string) {
	t.Helper()
	if demanded := os.Getenv("WEBSOCKET_INTEROP"); demanded == "require" || demanded == "all" {
		require.FailNow(t, msg)
	}
	t.Skip(msg)
}
