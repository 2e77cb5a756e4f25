package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/websockettest"
)

// patience keeps a test from hanging; nothing takes so long.
const patience = 30 * time.Second

// asProgram, in the environment, has the test's binary be the program.
const asProgram = "GRACEFUL_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		os.Exit(0)
	}
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

// A scene is a server in memory, in a bubble whose clock needs no time.
type scene struct {
	*server
	t    *testing.T
	ln   *websockettest.Listener
	end  context.CancelFunc // as a signal does
	over chan error         // what serve returns
	http *http.Client
}

// play runs f in a bubble with a server that is unready for 5 s and drains for 20 s.
func play(t *testing.T, f func(t *testing.T, s *scene)) {
	synctest.Test(t, func(t *testing.T) {
		s := &scene{server: newServer(5*time.Second, 20*time.Second), t: t, ln: websockettest.Listen(), over: make(chan error, 1)}
		s.log = log.New(t.Output(), "", 0)
		s.http = &http.Client{Transport: &http.Transport{DialContext: s.ln.NetDialContext, DisableKeepAlives: true}}
		ctx, cancel := context.WithCancel(t.Context())
		s.end = cancel
		go func() { s.over <- s.serve(ctx, s.ln) }()
		f(t, s)
	})
}

func (s *scene) dial() (*websocket.Conn, error) {
	d := websocket.Dialer{NetDialContext: s.ln.NetDialContext}
	c, _, err := d.DialContext(s.t.Context(), "ws://graceful.test/ws", nil)
	if err == nil {
		s.t.Cleanup(func() { c.Close() })
	}
	return c, err
}

func (s *scene) connect() *websocket.Conn {
	s.t.Helper()
	c, err := s.dial()
	require.NoError(s.t, err)
	return c
}

// readyz returns the status, and 0 if the connection is refused.
func (s *scene) readyz() int {
	resp, err := s.http.Get("http://graceful.test/readyz")
	if err != nil {
		return 0
	}
	require.NoError(s.t, resp.Body.Close())
	return resp.StatusCode
}

func done(t *testing.T, c *websocket.Conn, id string) {
	t.Helper()
	var answer job
	require.NoError(t, c.ReadJSON(&answer))
	require.True(t, answer.Done)
	require.Equal(t, id, answer.ID)
}

func told(t *testing.T, c *websocket.Conn, code int) {
	t.Helper()
	_, p, err := c.ReadMessage()
	require.True(t, websocket.IsCloseError(err, code), "%q %v", p, err)
}

func TestShutdown(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		idle, busy := s.connect(), s.connect()
		require.NoError(t, busy.WriteJSON(job{ID: "a", Ms: 15_000}))
		synctest.Wait()
		require.Equal(t, http.StatusOK, s.readyz())

		begun := time.Now()
		s.end()
		synctest.Wait()
		require.Equal(t, http.StatusServiceUnavailable, s.readyz())
		late := s.connect() // by a load balancer that has not asked yet
		require.NoError(t, late.WriteJSON(job{ID: "b", Ms: 1000}))
		done(t, late, "b")

		for _, c := range []*websocket.Conn{idle, late} {
			told(t, c, websocket.CloseGoingAway)
			require.Equal(t, 5*time.Second, time.Since(begun))
		}
		require.Zero(t, s.readyz())
		_, err := s.dial()
		require.Error(t, err)

		// The answer comes, and no other job is begun.
		require.NoError(t, busy.WriteJSON(job{ID: "c"}))
		done(t, busy, "a")
		told(t, busy, websocket.CloseGoingAway)
		require.NoError(t, <-s.over)
		require.Equal(t, 15*time.Second, time.Since(begun))
	})
}

func TestJobsThatTakeTooLongAreCutOff(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		c := s.connect()
		require.NoError(t, c.WriteJSON(job{ID: "a", Ms: 40_000}))
		synctest.Wait()
		begun := time.Now()
		s.end()
		_, _, err := c.ReadMessage()
		require.Equal(t, &websocket.CloseError{Code: websocket.CloseGoingAway, Text: "out of time"}, err)
		require.EqualError(t, <-s.over, "jobs cut off after 20s: 1")
		require.LessOrEqual(t, time.Since(begun), 5*time.Second+20*time.Second+2*lastWords)
	})
}

func TestJobThatHeedsNothingDoesNotKeepTheProcess(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		release := make(chan struct{})
		s.do = func(context.Context, job) error { <-release; return nil }
		c := s.connect()
		require.NoError(t, c.WriteJSON(job{ID: "a"}))
		synctest.Wait()
		s.end()
		require.EqualError(t, <-s.over, "jobs cut off after 20s: 1")
		close(release)
		s.served.Wait()
	})
}

func TestClientThatIsGoneDoesNotKeepTheProcess(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		s.connect() // which does not read, and so answers no farewell
		synctest.Wait()
		begun := time.Now()
		s.end()
		require.NoError(t, <-s.over)
		require.LessOrEqual(t, time.Since(begun), 5*time.Second+2*time.Second)
	})
}

// Those who send half a request, or none, as browsers do that connect ahead of time, lose
// nothing when the server ends.
func TestIdleSocketsDoNotKeepTheProcess(t *testing.T) {
	for _, tt := range []struct{ name, request string }{
		{"nothing", ""},
		{"half a header", "GET /readyz HTTP/1.1\r\nHost: graceful.test\r\n"},
		{"a header without its body", "GET /readyz HTTP/1.1\r\nHost: graceful.test\r\nContent-Length: 100\r\n\r\n"},
		{"an upgrade that does not come", "GET /ws HTTP/1.1\r\nHost: graceful.test\r\nContent-Length: 100\r\n\r\n"},
	} {
		for _, drain := range []time.Duration{time.Second, 20 * time.Second} {
			t.Run(fmt.Sprint(tt.name, ", ", drain), func(t *testing.T) {
				play(t, func(t *testing.T, s *scene) {
					s.unready, s.drain = 0, drain
					nc, err := s.ln.NetDialContext(t.Context(), "", "")
					require.NoError(t, err)
					defer nc.Close()
					_, err = io.WriteString(nc, tt.request)
					require.NoError(t, err)
					synctest.Wait()
					begun := time.Now()
					s.end()
					require.NoError(t, <-s.over)
					require.LessOrEqual(t, time.Since(begun), min(drain, plainHTTP))
				})
			})
		}
	}
}

// The server's time limits are for requests.
func TestConnectionsOutliveReadTimeout(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		c := s.connect()
		time.Sleep(3 * plainHTTP) // by the clock of the bubble
		require.NoError(t, c.WriteJSON(job{ID: "a", Ms: 3 * plainHTTP.Milliseconds()}))
		done(t, c, "a")
		require.NoError(t, c.Shutdown(t.Context(), websocket.CloseNormalClosure, ""))
		s.end()
		require.NoError(t, <-s.over)
	})
}

// What others say must not pass for lines of the log, or drive a terminal.
func TestLogQuotesReasons(t *testing.T) {
	var logged bytes.Buffer
	play(t, func(t *testing.T, s *scene) {
		s.log = log.New(&logged, "", 0)
		require.NoError(t, s.connect().Shutdown(t.Context(), 4000, "\x1b[2J\n2026/01/01 00:00:00 root left"))
		s.end()
		require.NoError(t, <-s.over)
	})
	require.Contains(t, logged.String(), `left: "websocket: close 4000: \x1b[2J\n2026/01/01 00:00:00 root left"`)
}

func TestJobs(t *testing.T) {
	for _, tt := range []struct {
		name, request string
		code          int // 0 if it is done
	}{
		{"short", `{"id":"a","ms":0}`, 0},
		{"longest", `{"id":"a","ms":60000}`, 0},
		{"too long", `{"id":"a","ms":60001}`, websocket.ClosePolicyViolation},
		{"negative", `{"id":"a","ms":-1}`, websocket.ClosePolicyViolation},
		{"no JSON", `hello`, websocket.ClosePolicyViolation},
	} {
		t.Run(tt.name, func(t *testing.T) {
			play(t, func(t *testing.T, s *scene) {
				c := s.connect()
				require.NoError(t, c.WriteMessage(websocket.TextMessage, []byte(tt.request)))
				if tt.code == 0 {
					done(t, c, "a")
					require.NoError(t, c.Shutdown(t.Context(), websocket.CloseNormalClosure, ""))
				} else {
					told(t, c, tt.code)
				}
				s.end()
				require.NoError(t, <-s.over)
			})
		})
	}
}

// lines hands out what a program prints, for as long as there is patience.
func lines(t *testing.T, f func(out io.Writer)) *bufio.Scanner {
	out, in := io.Pipe()
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		f(in)
		in.Close()
	}()
	enough := time.AfterFunc(patience, func() { out.Close() })
	t.Cleanup(func() {
		enough.Stop()
		out.Close()
		<-finished
	})
	return bufio.NewScanner(out)
}

// await reads lines until one has this in it.
func await(t *testing.T, from *bufio.Scanner, text string) string {
	t.Helper()
	var before bytes.Buffer
	for from.Scan() {
		if strings.Contains(from.Text(), text) {
			return from.Text()
		}
		fmt.Fprintln(&before, from.Text())
	}
	require.FailNow(t, "never printed", "%q, but:\n%s", text, &before)
	return ""
}

func TestClientsOutliveTheServer(t *testing.T) {
	serve := func(ln net.Listener) (end func() error) {
		s := newServer(0, patience)
		s.log = log.New(io.Discard, "", 0)
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan error, 1)
		go func() { over <- s.serve(ctx, ln) }()
		return func() error { cancel(); return <-over }
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := ln.Addr().String()
	end := serve(ln)

	ctx, interrupt := context.WithCancel(t.Context())
	var result error
	out := lines(t, func(out io.Writer) {
		result = run(ctx, []string{"-clients", "1", "-url", "http://" + addr, "-work", "1ms"}, out, out)
	})
	t.Cleanup(interrupt) // before lines waits
	await(t, out, "client 1: connected")
	await(t, out, "client 1: job 2 is done")
	ended := make(chan error, 1)
	go func() { ended <- end() }()
	await(t, out, "1001")
	await(t, out, "refused")
	require.NoError(t, <-ended)

	ln, err = net.Listen("tcp", addr)
	require.NoError(t, err)
	end = serve(ln)
	await(t, out, "client 1: connected")
	await(t, out, "is done")
	interrupt()
	for out.Scan() {
	}
	require.NoError(t, result)
	require.NoError(t, end())
}

func TestFlags(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"-drain soon", `invalid value "soon"`},
		{"-drain -1s", "negative"},
		{"-clients -1", "negative"},
		{"now", `what is "now"?`},
		{"-addr nowhere.invalid:http", "nowhere.invalid"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			err := run(t.Context(), strings.Fields(tt.args), io.Discard, io.Discard)
			require.ErrorContains(t, err, tt.want)
		})
	}
	err := run(t.Context(), []string{"-help"}, io.Discard, io.Discard)
	require.True(t, errors.Is(err, flag.ErrHelp), "%v", err)
}
