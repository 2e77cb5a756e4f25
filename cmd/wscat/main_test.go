package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
)

// patience keeps a test from hanging; nothing takes so long.
const patience = 30 * time.Second

// A run must leave no goroutine behind, however it ends.
func TestMain(m *testing.M) {
	before := runtime.NumGoroutine()
	code := m.Run()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
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

// outcome is what a run has come to.
type outcome struct {
	code     int
	out, err string
}

// wscat runs the program with all of its input there.
func wscat(t *testing.T, stdin string, args ...string) outcome {
	t.Helper()
	var out, errOut bytes.Buffer
	ctx, cancel := context.WithTimeoutCause(t.Context(), patience, errors.New("the test has lost its patience"))
	defer cancel()
	code := run(ctx, args, strings.NewReader(stdin), &out, &errOut)
	return outcome{code, out.String(), errOut.String()}
}

// A live run is one that a test talks to.
type live struct {
	t         *testing.T
	in        *io.PipeWriter
	interrupt context.CancelCauseFunc
	lines     chan string // of standard output
	errOut    bytes.Buffer
	code      chan int
}

func start(t *testing.T, args ...string) *live {
	ctx, cancel := context.WithCancelCause(t.Context())
	stdin, in := io.Pipe()
	out, stdout := io.Pipe()
	l := &live{t: t, in: in, interrupt: cancel, lines: make(chan string, 10000), code: make(chan int, 1)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		code := run(ctx, args, stdin, stdout, &l.errOut)
		stdout.Close()
		l.code <- code
	}()
	scanned := make(chan struct{})
	go func() {
		defer close(scanned)
		defer close(l.lines)
		for in := bufio.NewReader(out); ; {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			l.lines <- strings.TrimSuffix(line, "\n")
		}
	}()
	t.Cleanup(func() {
		cancel(context.Canceled)
		in.Close()
		for range l.lines { // to the end
		}
		<-ended
		<-scanned
	})
	return l
}

// enter types a line.
func (l *live) enter(line string) {
	l.t.Helper()
	_, err := io.WriteString(l.in, line+"\n")
	require.NoError(l.t, err)
}

// expect waits for a line that matches and returns what the groups in pattern match.
func (l *live) expect(pattern string) []string {
	l.t.Helper()
	re := regexp.MustCompile(pattern)
	timer := time.NewTimer(patience)
	defer timer.Stop()
	var seen []string
	for {
		select {
		case line, ok := <-l.lines:
			if match := re.FindStringSubmatch(line); ok && match != nil {
				return match[1:]
			}
			seen = append(seen, line)
			require.True(l.t, ok, "no line matches %s:\n%s", pattern, strings.Join(seen, "\n"))
		case <-timer.C:
			require.Fail(l.t, "waited in vain", "for %s in:\n%s", pattern, strings.Join(seen, "\n"))
		}
	}
}

// end waits for the exit code.
func (l *live) end() int {
	l.t.Helper()
	select {
	case code := <-l.code:
		return code
	case <-time.After(patience):
		require.Fail(l.t, "it does not end")
		return -1
	}
}

// listening starts a server and returns its URL.
func listening(t *testing.T, args ...string) (l *live, url string) {
	t.Helper()
	l = start(t, append([]string{"listen", "127.0.0.1:0"}, args...)...)
	return l, l.expect(`server on (wss?://\S+); Ctrl-C ends`)[0]
}

type handler = func(c *websocket.Conn, r *http.Request) error

// serve starts a server whose WebSockets handle serves, and returns its URL.
func serve(t *testing.T, handle handler) string {
	upgrader := websocket.Upgrader{Subprotocols: []string{"chat"}, Options: websocket.Options{Compression: &websocket.Compression{}}}
	return serveHTTP(t, upgrader.Handler(handle))
}

func serveHTTP(t *testing.T, h http.Handler) string {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return "ws" + strings.TrimPrefix(s.URL, "http")
}

func echo(c *websocket.Conn, r *http.Request) error {
	return c.Serve(r.Context(), func(m websocket.Message) error { return c.WriteMessage(m.Type, m.Data) })
}

// closes returns a handler that closes with the code and the reason at once.
func closes(code int, reason string) handler {
	return func(c *websocket.Conn, r *http.Request) error { return &websocket.CloseError{Code: code, Text: reason} }
}

// hears returns a handler that tells how its connection ended.
func hears() (h handler, ended <-chan error) {
	ends := make(chan error, 1)
	return func(c *websocket.Conn, r *http.Request) error {
		_ = c.WriteMessage(websocket.TextMessage, []byte("welcome"))
		for {
			if _, _, err := c.ReadMessage(); err != nil {
				ends <- err
				return nil
			}
		}
	}, ends
}

func await(t *testing.T, errs <-chan error) error {
	t.Helper()
	select {
	case err := <-errs:
		return err
	case <-time.After(patience):
		require.Fail(t, "waited in vain")
		return nil
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-h"}, {"-help"}, {"--help"}, {"listen", "-help"}, {"ws://localhost", "-help"}} {
		require.Equal(t, outcome{out: help}, wscat(t, "", args...))
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	got := wscat(t, "", "-version")
	require.Equal(t, outcome{out: got.out}, got)
	require.Regexp(t, `^wscat \S+ of github.com/duplexkit/websocket\n$`, got.out)
}

// Scripts rely on these numbers.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		handle handler
		args   []string
		code   int
		err    string
	}{
		{"normal closure", closes(1000, ""), []string{"-wait", "forever"}, 0, ""},
		{"going away", closes(1001, "restart"), []string{"-wait", "forever"}, 0, ""},
		{"no code", func(c *websocket.Conn, r *http.Request) error {
			return c.WriteControl(websocket.CloseMessage, nil, time.Time{})
		}, []string{"-wait", "forever"}, 0, ""},
		{"our own code", echo, []string{"-close-code", "4001", "-close-reason", "ours"}, 0, ""},
		{"code of the peer", closes(4242, "no more\x1b"), []string{"-wait", "forever"}, 4,
			`wscat: the peer ended the connection: close 4242: no more\x1b` + "\n"},
		{"internal error", closes(1011, ""), []string{"-wait", "forever"}, 4,
			"wscat: the peer ended the connection: close 1011 (internal server error)\n"},
		{"cut", func(c *websocket.Conn, r *http.Request) error { return c.NetConn().Close() }, []string{"-wait", "forever"}, 5,
			"wscat: the connection ended without a close frame\n"},
		{"broken protocol", func(c *websocket.Conn, r *http.Request) error {
			_, err := c.NetConn().Write([]byte{0x83, 0})
			_, _, _ = c.ReadMessage()
			return err
		}, []string{"-wait", "forever"}, 5, "wscat: the peer broke the protocol: "},
		{"too large", echo, []string{"-limit", "3", "-x", "four", "-wait", "forever"}, 5,
			"wscat: a message of more than 3 bytes: -limit allows larger ones\n"},
		{"not within the time", echo, []string{"-wait", "forever", "-timeout", "1ms"}, 6, "wscat: not done within 1ms\n"},
		{"no answer to the close frame", func(c *websocket.Conn, r *http.Request) error {
			_, _ = io.Copy(io.Discard, c.NetConn())
			return nil
		}, []string{"-close-timeout", "10ms"}, 6, "wscat: the peer did not answer the close frame within 10ms\n"},
		{"no pong", func(c *websocket.Conn, r *http.Request) error {
			_, _ = io.Copy(io.Discard, c.NetConn())
			return nil
		}, []string{"-wait", "forever", "-ping", "1ms", "-ping-timeout", "10ms", "-close-timeout", "10ms"}, 6, "wscat: no pong within 10ms\n"},
		{"too few messages", func(c *websocket.Conn, r *http.Request) error {
			return c.WriteMessage(websocket.TextMessage, []byte("one"))
		}, []string{"-n", "2"}, 7, "wscat: 1 of 2 messages came\n"},
		{"too few messages in the time", echo, []string{"-n", "2", "-wait", "1ms"}, 7, "wscat: 0 of 2 messages came\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := wscat(t, "", append(test.args, serve(t, test.handle))...)
			require.Equal(t, test.code, got.code, got.err)
			if test.err == "" || strings.HasSuffix(test.err, "\n") {
				require.Equal(t, test.err, got.err)
			} else {
				require.True(t, strings.HasPrefix(got.err, test.err), got.err)
			}
		})
	}
}

// The context of the first signal ends the session with 1001.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	handle, ended := hears()
	l := start(t, "-wait", "forever", serve(t, handle))
	l.expect("^welcome$")
	l.interrupt(interruption{os.Interrupt})
	require.Equal(t, 128+signalNumber(os.Interrupt), l.end())
	require.Empty(t, l.errOut.String())
	require.True(t, websocket.IsCloseError(await(t, ended), websocket.CloseGoingAway))
}

func TestInterruptedWhileConnecting(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{})
	url := serveHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
	}))
	l := start(t, url)
	<-asked
	l.interrupt(interruption{os.Interrupt})
	require.Equal(t, 128+signalNumber(os.Interrupt), l.end())
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestOutputFails(t *testing.T) {
	t.Parallel()
	handle, ended := hears()
	var errOut bytes.Buffer
	code := run(t.Context(), []string{"-wait", "forever", serve(t, handle)}, strings.NewReader(""), failingWriter{}, &errOut)
	require.Equal(t, exitUsage, code)
	require.Equal(t, "wscat: writing a message to standard output: disk full\n", errOut.String())
	require.True(t, websocket.IsCloseError(await(t, ended), websocket.CloseGoingAway))
}

// quietLog is for servers whose clients break off on purpose.
var quietLog = log.New(io.Discard, "", 0)
