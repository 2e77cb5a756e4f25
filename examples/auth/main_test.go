package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/websockettest"
)

// patience keeps a test from hanging; nothing takes so long.
const patience = 30 * time.Second

// The server must leave no goroutine behind, however its connections end.
func TestMain(m *testing.M) {
	before := runtime.NumGoroutine()
	code := m.Run()
	for end := time.Now().Add(patience); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			stacks := make([]byte, 1<<20)
			fmt.Printf("goroutines are left:\n%s\n", stacks[:runtime.Stack(stacks, true)])
			code = 1
			break
		}
	}
	os.Exit(code)
}

var usual = config{user: "ann", password: "right", session: 30 * time.Minute, token: 10 * time.Minute}

// A browser has cookies, and the server that it visits.
type browser struct {
	t      *testing.T
	server *websockettest.Server
	client *http.Client
	base   string
}

// serving returns a server, on TCP or in memory.
func serving(t *testing.T, cfg config, listen func(testing.TB, http.Handler) *websockettest.Server) *websockettest.Server {
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	return listen(t, newServer(cfg).handler(ctx))
}

func newBrowser(t *testing.T, s *websockettest.Server) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	transport := &http.Transport{DialContext: s.NetDialContext}
	t.Cleanup(transport.CloseIdleConnections)
	return &browser{t: t, server: s, client: &http.Client{Transport: transport, Jar: jar}, base: "http" + strings.TrimPrefix(s.URL, "ws")}
}

// do sends a request with the cookies, follows redirects, and returns the answer with its body.
func (b *browser) do(method, path string, form url.Values, header http.Header) (*http.Response, string) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.base+path, strings.NewReader(form.Encode()))
	require.NoError(b.t, err)
	if header != nil {
		req.Header = header
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := b.client.Do(req)
	require.NoError(b.t, err)
	defer resp.Body.Close()
	p, err := io.ReadAll(resp.Body)
	require.NoError(b.t, err)
	return resp, string(p)
}

func (b *browser) logIn() *browser {
	b.t.Helper()
	resp, body := b.do("POST", "/login", url.Values{"user": {"ann"}, "password": {"right"}}, nil)
	require.Equal(b.t, http.StatusOK, resp.StatusCode)
	require.Equal(b.t, "/", resp.Request.URL.Path)
	require.Contains(b.t, body, "Hello, ann")
	return b
}

func (b *browser) token() string {
	b.t.Helper()
	resp, body := b.do("POST", "/token", nil, nil)
	require.Equal(b.t, http.StatusOK, resp.StatusCode)
	var answer struct{ Token string }
	require.NoError(b.t, json.Unmarshal([]byte(body), &answer))
	require.NotEmpty(b.t, answer.Token)
	return answer.Token
}

// secret is what the session's cookie holds.
func (b *browser) secret() string {
	u, err := url.Parse(b.base)
	require.NoError(b.t, err)
	for _, c := range b.client.Jar.Cookies(u) {
		if c.Name == cookieName {
			return c.Value
		}
	}
	return ""
}

// open opens a WebSocket as the page does, and reads the greeting.
func (b *browser) open() *websocket.Conn {
	b.t.Helper()
	return greeted(b.t, b.server.Dial(b.t, "/ws", http.Header{"Cookie": {cookieName + "=" + b.secret()}, "Origin": {b.base}}), "session")
}

func greeted(t *testing.T, c *websocket.Conn, by string) *websocket.Conn {
	t.Helper()
	var greeting struct {
		User, By string
		Expires  time.Time
	}
	require.NoError(t, c.ReadJSON(&greeting))
	require.Equal(t, "ann", greeting.User)
	require.Equal(t, by, greeting.By)
	require.False(t, greeting.Expires.IsZero())
	return c
}

func requireClosed(t *testing.T, c *websocket.Conn, code int, reason string) {
	t.Helper()
	_, _, err := c.ReadMessage()
	var closed *websocket.CloseError
	require.ErrorAs(t, err, &closed)
	require.Equal(t, websocket.CloseError{Code: code, Text: reason}, *closed)
}

// requireEcho shows that the connection lives.
func requireEcho(t *testing.T, c *websocket.Conn) {
	t.Helper()
	require.NoError(t, c.WriteMessage(websocket.TextMessage, []byte("hello")))
	_, p, err := c.ReadMessage()
	require.NoError(t, err)
	require.Equal(t, "hello", string(p))
}

func TestLogin(t *testing.T) {
	t.Parallel()
	b := newBrowser(t, serving(t, usual, websockettest.NewServer))
	resp, body := b.do("GET", "/", nil, nil)
	require.Equal(t, "/login", resp.Request.URL.Path)
	require.Contains(t, body, `<form method="post" action="/login">`)
	require.NotContains(t, body, `<p role="alert">`)

	for _, form := range []url.Values{
		{"user": {"ann"}, "password": {"wrong"}},
		{"user": {"bob"}, "password": {"right"}},
		{"user": {"ann"}},
		{},
		{"user": {"ann"}, "password": {strings.Repeat("right", 1000)}},
	} {
		resp, body := b.do("POST", "/login", form, nil)
		require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
		require.Contains(t, body, `<p role="alert">The name or the password is wrong.</p>`)
		require.Empty(t, b.secret())
	}
	// What is in a URL is in logs: neither a GET nor a POST takes it from there.
	for _, method := range []string{"GET", "POST"} {
		resp, _ = b.do(method, "/login?user=ann&password=right", nil, nil)
		require.Equal(t, "no-store", resp.Header.Get("Cache-Control"))
		require.Empty(t, b.secret(), method)
	}
	b.logIn()
	require.NotEmpty(t, b.secret())
}

func TestCookie(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprint(secure), func(t *testing.T) {
			t.Parallel()
			cfg := usual
			cfg.secure = secure
			b := newBrowser(t, serving(t, cfg, websockettest.NewServer))
			b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			resp, _ := b.do("POST", "/login", url.Values{"user": {"ann"}, "password": {"right"}}, nil)
			require.Len(t, resp.Cookies(), 1)
			cookie := resp.Cookies()[0]
			require.True(t, cookie.HttpOnly)
			require.Equal(t, http.SameSiteLaxMode, cookie.SameSite)
			require.Equal(t, secure, cookie.Secure)
			require.Equal(t, 30*60, cookie.MaxAge)
			require.GreaterOrEqual(t, len(cookie.Value), 26)
		})
	}
}

func TestWithoutAuthentication(t *testing.T) {
	t.Parallel()
	s := serving(t, usual, websockettest.NewServer)
	b := newBrowser(t, s).logIn()
	session, token := cookieName+"="+b.secret(), b.token()
	const plain, invalid = `Bearer realm="auth example"`, `Bearer realm="auth example", error="invalid_token"`
	for _, tt := range []struct {
		name      string
		header    http.Header
		challenge string
	}{
		{"nothing", nil, plain},
		{"an unknown cookie", http.Header{"Cookie": {cookieName + "=x"}}, plain},
		{"an empty cookie", http.Header{"Cookie": {cookieName + "="}}, plain},
		{"a token for a cookie", http.Header{"Cookie": {cookieName + "=" + token}}, plain},
		{"an unknown token", http.Header{"Authorization": {"Bearer x"}}, invalid},
		{"no token", http.Header{"Authorization": {"Bearer"}}, invalid},
		{"a session for a token", http.Header{"Authorization": {"Bearer " + b.secret()}}, invalid},
		{"another scheme", http.Header{"Authorization": {"Basic YW5uOnJpZ2h0"}}, invalid},
		{"an unknown token and a good cookie", http.Header{"Authorization": {"Bearer x"}, "Cookie": {session}}, invalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, resp, err := s.Dialer.DialContext(t.Context(), s.URL+"/ws", tt.header)
			require.ErrorIs(t, err, websocket.ErrBadHandshake)
			require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
			require.Equal(t, tt.challenge, resp.Header.Get("WWW-Authenticate"))
		})
	}
	t.Run("a token in the URL", func(t *testing.T) {
		for _, name := range []string{"token", "access_token"} {
			_, resp, err := s.Dialer.DialContext(t.Context(), s.URL+"/ws?"+name+"="+token, nil)
			require.ErrorIs(t, err, websocket.ErrBadHandshake)
			require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
		}
	})
	t.Run("no token for strangers", func(t *testing.T) {
		resp, _ := newBrowser(t, s).do("POST", "/token", nil, nil)
		require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
	})
	requireEcho(t, b.open())
	requireEcho(t, greeted(t, s.Dial(t, "/ws", http.Header{"Authorization": {"bearer " + token}}), "token"))
}

func TestOrigins(t *testing.T) {
	t.Parallel()
	cfg := usual
	cfg.origins = []string{"https://*.example.com"}
	s := serving(t, cfg, websockettest.NewServer)
	b := newBrowser(t, s).logIn()
	for _, tt := range []struct {
		origin string
		status int
	}{
		{b.base, http.StatusSwitchingProtocols},
		{"https://app.example.com", http.StatusSwitchingProtocols},
		{"http://app.example.com", http.StatusForbidden},
		{"https://example.com", http.StatusForbidden},
		{"https://example.com.evil.org", http.StatusForbidden},
		{"null", http.StatusForbidden},
	} {
		t.Run(tt.origin, func(t *testing.T) {
			header := http.Header{"Cookie": {cookieName + "=" + b.secret()}, "Origin": {tt.origin}}
			c, resp, err := s.Dialer.DialContext(t.Context(), s.URL+"/ws", header)
			require.NotNil(t, resp, "%v", err)
			require.Equal(t, tt.status, resp.StatusCode)
			if err == nil {
				require.NoError(t, c.Close())
			}
		})
	}
}

func TestLogoutEndsTheConnectionsOfTheSession(t *testing.T) {
	t.Parallel()
	s := serving(t, usual, websockettest.NewServer)
	here, elsewhere := newBrowser(t, s).logIn(), newBrowser(t, s).logIn()
	tabs := []*websocket.Conn{here.open(), here.open()}
	other := elsewhere.open()
	program := greeted(t, s.Dial(t, "/ws", http.Header{"Authorization": {"Bearer " + here.token()}}), "token")

	old := here.secret()
	resp, _ := here.do("POST", "/logout", nil, nil)
	require.Equal(t, "/login", resp.Request.URL.Path)
	for _, c := range tabs {
		requireClosed(t, c, closeUnauthorized, "the session has ended")
	}
	require.Empty(t, here.secret())
	_, resp, err := s.Dialer.DialContext(t.Context(), s.URL+"/ws", http.Header{"Cookie": {cookieName + "=" + old}})
	require.ErrorIs(t, err, websocket.ErrBadHandshake)
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
	requireEcho(t, other)
	requireEcho(t, program) // a token has a life of its own
}

func TestSecondLoginEndsTheFirstSession(t *testing.T) {
	t.Parallel()
	b := newBrowser(t, serving(t, usual, websockettest.NewServer)).logIn()
	c, first := b.open(), b.secret()
	b.logIn()
	require.NotEqual(t, first, b.secret())
	requireClosed(t, c, closeUnauthorized, "the session has ended")
}

// Forms on other sites can't log a user out, or in.
func TestOtherSitesForms(t *testing.T) {
	t.Parallel()
	s := serving(t, usual, websockettest.NewServer)
	b := newBrowser(t, s).logIn()
	c := b.open()
	for _, path := range []string{"/logout", "/token", "/login"} {
		for name, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://example.com"} {
			resp, _ := b.do("POST", path, url.Values{"user": {"ann"}, "password": {"right"}}, http.Header{name: {value}})
			require.Equal(t, http.StatusForbidden, resp.StatusCode, "%s with %s", path, name)
		}
	}
	requireEcho(t, c)
}

// Half an hour, by the clock of a bubble.
func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serving(t, usual, websockettest.NewMemoryServer)
		b := newBrowser(t, s).logIn()
		page := b.open()
		token, began := b.token(), time.Now()
		program := greeted(t, s.Dial(t, "/ws", http.Header{"Authorization": {"Bearer " + token}}), "token")

		paged := make(chan time.Duration)
		go func() { // somebody has to read, for the pings
			_, _, err := page.ReadMessage()
			if websocket.IsCloseError(err, closeUnauthorized) {
				paged <- time.Since(began)
			}
			close(paged)
		}()
		requireClosed(t, program, closeUnauthorized, "the token has expired")
		require.Equal(t, usual.token, time.Since(began))
		_, resp, err := s.Dialer.DialContext(t.Context(), s.URL+"/ws", http.Header{"Authorization": {"Bearer " + token}})
		require.ErrorIs(t, err, websocket.ErrBadHandshake)
		require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
		require.Equal(t, usual.session, <-paged)
		resp, _ = b.do("GET", "/", nil, nil)
		require.Equal(t, "/login", resp.Request.URL.Path)
	})
}

// env is an environment.
func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

// start runs the program until end is called, and returns what it says it serves.
func start(t *testing.T, password string, args ...string) (base string, end func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	read, write := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, append([]string{"-addr", "127.0.0.1:0"}, args...), env("PASSWORD", password), strings.NewReader(""), write)
	}()
	line, err := bufio.NewReader(read).ReadString('\n')
	require.NoError(t, err)
	require.Regexp(t, `^open http://.* and log in as ann with the password (in PASSWORD|[A-Z2-7]{12}); Ctrl-C ends\n$`, line)
	require.Equal(t, password != "", strings.Contains(line, "in PASSWORD"), "it does not print one that it was given")
	return strings.Fields(line)[1], func() error {
		cancel()
		return <-done
	}
}

// visit logs in at the program, over the network.
func visit(t *testing.T, base string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	b := &browser{t: t, client: &http.Client{Transport: transport, Jar: jar}, base: strings.TrimSuffix(base, "/")}
	return b.logIn()
}

func TestServerEnds(t *testing.T) {
	t.Parallel()
	base, end := start(t, "right")
	b := visit(t, base)
	c, _, err := new(websocket.Dialer).DialContext(t.Context(), b.base+"/ws", http.Header{"Cookie": {cookieName + "=" + b.secret()}})
	require.NoError(t, err)
	defer c.Close()
	greeted(t, c, "session")
	ended := make(chan error, 1)
	go func() { ended <- end() }()
	requireClosed(t, c, websocket.CloseGoingAway, "server is shutting down")
	require.NoError(t, <-ended)
}

// Browsers open connections ahead of any request, and http.Server.Shutdown waits for them. The
// WebSockets must not wait as well, and have no time left then.
func TestServerEndsWhileABrowserHoldsAConnection(t *testing.T) {
	t.Parallel()
	base, end := start(t, "right")
	b := visit(t, base)
	idle, err := net.Dial("tcp", strings.TrimPrefix(b.base, "http://"))
	require.NoError(t, err)
	c, _, err := new(websocket.Dialer).DialContext(t.Context(), b.base+"/ws", http.Header{"Cookie": {cookieName + "=" + b.secret()}})
	require.NoError(t, err)
	defer c.Close()
	greeted(t, c, "session")
	ended := make(chan error, 1)
	go func() { ended <- end() }()
	_, _, err = c.ReadMessage()
	require.True(t, websocket.IsCloseError(err, websocket.CloseGoingAway), "%v", err)
	require.NoError(t, idle.Close())
	require.NoError(t, <-ended)
}

func TestProgramWithToken(t *testing.T) {
	t.Parallel()
	base, end := start(t, "right", "-token", "1h")
	token := visit(t, base).token()
	var out bytes.Buffer
	in := strings.NewReader("one\ntwo\n")
	require.NoError(t, run(t.Context(), []string{"-dial", base + "ws"}, env("TOKEN", token+"\n"), in, &out))
	lines := strings.Split(out.String(), "\n")
	require.Contains(t, lines[0], `"by":"token"`)
	require.Equal(t, []string{"one", "two", ""}, lines[1:])
	require.NoError(t, end())
}

func TestProgramLosesNoInput(t *testing.T) {
	t.Parallel()
	base, end := start(t, "right")
	token := visit(t, base).token()
	send := func(in io.Reader) (lines []string, err error) {
		var out bytes.Buffer
		err = run(t.Context(), []string{"-dial", base + "ws"}, env("TOKEN", token), in, &out)
		return strings.Split(out.String(), "\n")[1:], err // without the greeting
	}
	const limit = 64 << 10 // the server's
	long := strings.Repeat("x", limit)
	lines, err := send(strings.NewReader(long + "\nlast"))
	require.NoError(t, err)
	require.True(t, slices.Equal([]string{long, "last", ""}, lines), "%d lines", len(lines))

	_, err = send(strings.NewReader(long + "x\nlast"))
	require.True(t, websocket.IsCloseError(err, websocket.CloseMessageTooBig), "%v", err)

	broken := errors.New("input/output error")
	lines, err = send(io.MultiReader(strings.NewReader("one\n"), iotest.ErrReader(broken)))
	require.ErrorIs(t, err, broken)
	require.Equal(t, []string{"one", ""}, lines)
	require.NoError(t, end())
}

func TestPasswordThatIsMadeUp(t *testing.T) {
	t.Parallel()
	_, end := start(t, "")
	require.NoError(t, end())
}

// What others say must not pass for lines of the log, or drive a terminal.
func TestLogQuotesReasons(t *testing.T) {
	var logged bytes.Buffer
	log.SetOutput(&logged)
	defer log.SetOutput(os.Stderr)
	base, end := start(t, "right")
	b := visit(t, base)
	c, _, err := new(websocket.Dialer).DialContext(t.Context(), b.base+"/ws", http.Header{"Cookie": {cookieName + "=" + b.secret()}})
	require.NoError(t, err)
	greeted(t, c, "session")
	require.NoError(t, c.Shutdown(t.Context(), 4000, "\x1b[2J\n2026/01/01 00:00:00 root left"))
	require.NoError(t, end())
	require.Contains(t, logged.String(), `left: "websocket: close 4000: \x1b[2J\n2026/01/01 00:00:00 root left"`)
}

func TestProgramWhoseTokenExpires(t *testing.T) {
	t.Parallel()
	base, end := start(t, "right", "-token", "300ms")
	token := visit(t, base).token()
	in, input := io.Pipe()
	defer input.Close()
	err := run(t.Context(), []string{"-dial", base + "ws"}, env("TOKEN", token), in, io.Discard)
	require.Error(t, err)
	if !websocket.IsCloseError(err, closeUnauthorized) { // it expired even before
		require.EqualError(t, err, "the server does not accept the token; it may have expired")
	}
	require.NoError(t, end())
}

func TestProgramIsCalledWrongly(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	for _, tt := range []struct {
		name, token string
		args        []string
		want        string
	}{
		{"no token", "", []string{"-dial", "ws://localhost/ws"}, "no token"},
		{"for all to read", "x", []string{"-dial", "ws://example.com/ws"}, "use wss"},
		{"not a URL", "x", []string{"-dial", "ws://%"}, "invalid URL"},
		{"a word", "", []string{"serve"}, "not a flag"},
		{"no such flag", "", []string{"-insecure"}, "not defined"},
		{"a password for all to see", "", []string{"-password", "x"}, "not defined"},
		{"taken", "", []string{"-addr", ln.Addr().String()}, "in use"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.ErrorContains(t, run(t.Context(), tt.args, env("TOKEN", tt.token), strings.NewReader(""), io.Discard), tt.want)
		})
	}
}
