//go:build unix

package interop

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
)

// The pages of the examples, in Chromium: what people do there, and what they see.

var screenshots = flag.String("screenshots", "", "have the tests of pages put screenshots into this directory")

// anExample is a program below examples/, compiled.
func anExample(name string) built {
	return build(`go build -C ../.. -o "$program" ./examples/` + name)
}

var (
	echoExample  = anExample("echo")
	chatExample  = anExample("chat")
	authExample  = anExample("auth")
	proxyExample = anExample("proxy")
)

// browserOfPages is a Chromium that does what it is told, by the protocol of its developer tools.
type browserOfPages struct {
	ctx  context.Context
	base string // of the URLs at which it takes orders
}

func newBrowserOfPages(t *testing.T) *browserOfPages {
	demand(t, []need{{"chromium", "apt-get install chromium"}})
	ctx, cancel := context.WithTimeout(t.Context(), proxyLimit)
	t.Cleanup(cancel)
	port := freePort(t)
	chromium(t, "--remote-debugging-port="+port, "--window-size=900,700", "about:blank").waitListening(ctx, t, port)
	return &browserOfPages{ctx: ctx, base: "http://127.0.0.1:" + port}
}

// tab is a page that is open.
type tab struct {
	t   *testing.T
	ctx context.Context
	c   *websocket.Conn
	id  int
}

// open opens url in a tab of its own.
func (b *browserOfPages) open(t *testing.T, url string) *tab {
	req, err := http.NewRequestWithContext(b.ctx, http.MethodPut, b.base+"/json/new", nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	var target struct{ WebSocketDebuggerURL string }
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&target))
	c, _, err := websocket.DefaultDialer.DialContext(b.ctx, target.WebSocketDebuggerURL, nil)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	p := &tab{t: t, ctx: b.ctx, c: c}
	p.order("Page.enable", nil, nil)
	p.order("Runtime.enable", nil, nil) // which tells of scripts that fail
	p.visit(url)
	return p
}

// order gives an order and waits until it is carried out.
func (p *tab) order(method string, params, result any) {
	p.t.Helper()
	p.id++
	require.NoError(p.t, p.c.WriteJSON(map[string]any{"id": p.id, "method": method, "params": params}))
	for {
		_, data, err := p.c.ReadMessageContext(p.ctx, nil)
		require.NoError(p.t, err)
		var m struct {
			ID     int
			Method string
			Params json.RawMessage
			Result json.RawMessage
			Error  json.RawMessage
		}
		require.NoError(p.t, json.Unmarshal(data, &m))
		require.NotEqual(p.t, "Runtime.exceptionThrown", m.Method, "a script of the page has failed: %s", m.Params)
		if m.ID != p.id {
			continue
		}
		require.Empty(p.t, m.Error, method)
		if result != nil {
			require.NoError(p.t, json.Unmarshal(m.Result, result))
		}
		return
	}
}

// visit goes to url; what is there has to be waited for.
func (p *tab) visit(url string) {
	p.t.Helper()
	p.order("Page.navigate", map[string]any{"url": url}, nil)
}

// do runs a script in the page and returns what that comes to, if it is a string.
func (p *tab) do(script string) string {
	p.t.Helper()
	var result struct {
		Result           struct{ Value any }
		ExceptionDetails json.RawMessage
	}
	p.order("Runtime.evaluate", map[string]any{"expression": script, "returnByValue": true, "userGesture": true}, &result)
	require.Empty(p.t, result.ExceptionDetails, script)
	text, _ := result.Result.Value.(string)
	return text
}

// sees waits until the page is there and the text of the element that selector finds matches pattern. It returns what the pattern's
// group matches.
func (p *tab) sees(selector, pattern string) string {
	p.t.Helper()
	wanted := regexp.MustCompile(pattern)
	text := ""
	for retry := time.NewTicker(20 * time.Millisecond); ; {
		text = p.do(`document.readyState === "complete" && document.querySelector(` + quote(selector) + `)?.innerText || ""`)
		if found := wanted.FindStringSubmatch(text); found != nil {
			return found[len(found)-1]
		}
		select {
		case <-retry.C:
		case <-p.ctx.Done():
			require.FailNow(p.t, "the page does not show it", "%s has %q, and not %s", selector, text, pattern)
		}
	}
}

// types puts text where selector says, in place of what is there, as by keys.
func (p *tab) types(selector, text string) {
	p.t.Helper()
	p.do(`document.querySelector(` + quote(selector) + `).focus(); document.activeElement.select()`)
	p.order("Input.insertText", map[string]any{"text": text}, nil)
}

// presses presses the Enter key.
func (p *tab) presses() {
	p.t.Helper()
	for _, event := range []string{"rawKeyDown", "char", "keyUp"} {
		p.order("Input.dispatchKeyEvent", map[string]any{"type": event, "key": "Enter", "code": "Enter", "text": "\r", "windowsVirtualKeyCode": 13}, nil)
	}
}

// clicks clicks on what selector finds.
func (p *tab) clicks(selector string) {
	p.t.Helper()
	p.do(`document.querySelector(` + quote(selector) + `).click()`)
}

// screenshot saves what the page looks like, by day and by night, if that was asked for.
func (p *tab) screenshot(name string) {
	p.t.Helper()
	if *screenshots == "" {
		return
	}
	for _, scheme := range []string{"light", "dark"} {
		p.order("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
		var shot struct{ Data string }
		p.order("Page.captureScreenshot", map[string]any{"format": "png"}, &shot)
		png, err := base64.StdEncoding.DecodeString(shot.Data)
		require.NoError(p.t, err)
		require.NoError(p.t, os.WriteFile(filepath.Join(*screenshots, name+"-"+scheme+".png"), png, 0o644))
	}
}

func quote(s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings can always be encoded
	}
	return string(text)
}

// serveExample starts a program that listens at port.
func serveExample(t *testing.T, program built, port string, args ...string) *child {
	p := start(t, program.path(t), append([]string{"-addr", "127.0.0.1:" + port}, args...)...)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	p.waitListening(ctx, t, port)
	return p
}

// interrupt ends the program as Ctrl-C does. It has to end well.
func (p *child) interrupt(t *testing.T) {
	require.NoError(t, syscall.Kill(p.pid, syscall.SIGINT))
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	p.wait(ctx, t)
}

func TestEchoPage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		between func(t *testing.T, backend string) (port string)
	}{
		{name: "direct", between: func(_ *testing.T, backend string) string { return backend }},
		{name: "through examples proxy", between: func(t *testing.T, backend string) string {
			port := freePort(t)
			serveExample(t, proxyExample, port, "-backend", "http://127.0.0.1:"+backend)
			return port
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBrowserOfPages(t)
			backend := freePort(t)
			server := serveExample(t, echoExample, backend)
			p := b.open(t, "http://127.0.0.1:"+tt.between(t, backend)+"/")
			p.sees("#state", "^open$")
			p.types("#text", "Hello, <b>Wörld</b> 🌍")
			p.presses()
			p.sees("#log", "^→ Hello, <b>Wörld</b> 🌍\n← Hello, <b>Wörld</b> 🌍$")
			p.clicks("#close")
			p.sees("#log", `closed cleanly: 1000 closed on the page$`)
			p.clicks("#connect")
			p.sees("#state", "^open$")
			p.screenshot("echo")
			server.interrupt(t)
			p.sees("#log", `closed cleanly: 1001 server is shutting down$`)
		})
	}
}

func TestChatPage(t *testing.T) {
	t.Parallel()
	b := newBrowserOfPages(t)
	port := freePort(t)
	server := serveExample(t, chatExample, port)
	join := func(name string) *tab {
		p := b.open(t, "http://127.0.0.1:"+port+"/?room=kitchen")
		p.sees("#join", "Name")
		p.types("#name", name)
		p.presses()
		p.sees("#state", "^connected$")
		return p
	}
	ann := join("<b>Ann</b>")
	bob := join("Bob")
	ann.sees("#people", "^2 here: <b>Ann</b>, Bob$")
	ann.types("#text", "hello <script>document.title = 'caught'</script>")
	ann.presses()
	for _, p := range []*tab{ann, bob} {
		p.sees("#log", `<b>Ann</b>\s*hello <script>document.title = 'caught'</script>$`)
		require.Equal(t, "kitchen", p.do(`document.title`))
	}

	server.interrupt(t)
	for _, p := range []*tab{ann, bob} {
		p.sees("#state", "^(server is shutting down|connecting…|no connection)$")
	}
	ann.types("#text", "is anybody there?")
	ann.presses()
	ann.sees("#log li:last-child.pending", "is anybody there[?]$")
	ann.screenshot("chat-away")

	serveExample(t, chatExample, port)
	for _, p := range []*tab{ann, bob} {
		p.do(`$("now").hidden || $("now").click()`) // or it would come by itself, after a while
		p.sees("#state", "^connected$")
		p.sees("#log", `is anybody there[?]`)
	}
	bob.types("#text", "yes")
	bob.presses()
	for _, p := range []*tab{ann, bob} {
		p.sees("#log li:last-child:not(.pending)", `Bob\s*yes$`)
		require.Equal(t, 1, strings.Count(p.do(`$("log").innerText`), "is anybody there?"))
		require.Empty(t, p.do(`document.querySelector(".pending")?.innerText`))
	}
	ann.screenshot("chat")
	// A page that stays open for months does not grow.
	require.Equal(t, "2000 1000", bob.do(`
		for (let i = 0; i < 3000; i++) receive({ type: "said", id: "test " + i, name: "Ann", text: "x", time: Date() });
		seen.size + " " + $("log").childElementCount`))
	ann.clicks("#leave")
	bob.sees("#people", "^1 here: Bob$")
}

func TestAuthPage(t *testing.T) {
	t.Parallel()
	b := newBrowserOfPages(t)
	port := freePort(t)
	server := start(t, "env", "PASSWORD=a secret", authExample.path(t), "-addr", "127.0.0.1:"+port)
	server.waitListening(b.ctx, t, port)
	base := "http://127.0.0.1:" + port
	p := b.open(t, base+"/")
	logIn := func(password string) {
		p.sees("form", "Password")
		p.types("[name=user]", "ann")
		p.types("[name=password]", password)
		p.presses()
	}
	logIn("a guess")
	p.sees("body", "The name or the password is wrong")
	p.screenshot("auth-refused")
	logIn("a secret")
	p.sees("h1", "^Hello, ann$")
	p.sees("#state", "^open$")
	p.types("#text", "hello")
	p.presses()
	p.sees("#log", "← hello$")
	p.clicks("#token")
	token := p.sees("#command", `^TOKEN=(\w+) `)
	p.screenshot("auth")

	// A program comes in with the token. The page of another site does not, even with the cookie of the user.
	c, _, err := websocket.DefaultDialer.DialContext(b.ctx, "ws://127.0.0.1:"+port+"/ws", http.Header{"Authorization": {"Bearer " + token}})
	require.NoError(t, err)
	require.NoError(t, c.Close())
	elsewhere := serveExample(t, echoExample, freePort(t))
	out, err := os.ReadFile(elsewhere.stdout)
	require.NoError(t, err)
	stranger := regexp.MustCompile(`http://\S+`).FindString(string(out))
	require.NotEmpty(t, stranger)
	other := b.open(t, stranger)
	other.sees("#state", "^open$")
	other.do(`let seen = ""; const s = new WebSocket(` + quote("ws://127.0.0.1:"+port+"/ws") + `); s.onopen = () => $("state").textContent = "let in"; s.onclose = e => $("state").textContent = "kept out, " + e.code`)
	other.sees("#state", "^kept out, 1006$")

	second := b.open(t, base+"/") // has the same session
	second.sees("#state", "^open$")
	second.clicks(`form[action="/logout"] button`)
	second.sees("form", "Password")
	p.sees("#log", `closed: 4001 the session has ended$`)
	p.sees("#again", "Log in again")
	server.interrupt(t)
}
