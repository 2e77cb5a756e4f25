package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
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

// A program is a run whose output a test reads line by line.
type program struct {
	t         *testing.T
	lines     chan string
	interrupt context.CancelFunc
	result    error // once lines is closed
}

func start(t *testing.T, args ...string) *program {
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	p := &program{t: t, lines: make(chan string, 10_000), interrupt: cancel}
	go func() {
		p.result = run(ctx, args, in, in)
		in.Close()
	}()
	go func() {
		defer close(p.lines)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			p.lines <- lines.Text() // there is room, so that nothing waits for the test
		}
	}()
	t.Cleanup(func() { p.end() })
	return p
}

// await reads lines until one matches, and returns what its groups match.
func (p *program) await(pattern string) []string {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	var before bytes.Buffer
	for enough := time.After(patience); ; {
		line, ok := "", false
		select {
		case line, ok = <-p.lines:
		case <-enough:
		}
		if !ok {
			require.FailNow(p.t, "never printed", "%q, but:\n%s", pattern, &before)
		}
		if groups := re.FindStringSubmatch(line); groups != nil {
			return groups[1:]
		}
		fmt.Fprintln(&before, line)
	}
}

// wait returns the result when the program has ended by itself.
func (p *program) wait() error {
	p.t.Helper()
	for enough := time.After(patience); ; {
		select {
		case _, ok := <-p.lines:
			if !ok {
				return p.result
			}
		case <-enough:
			require.FailNow(p.t, "the program does not end")
		}
	}
}

// end interrupts the program if it has not ended, and returns its result.
func (p *program) end() error {
	p.interrupt()
	return p.wait()
}

// serve starts a server and returns its URL too.
func serve(t *testing.T, args ...string) (p *program, url string) {
	p = start(t, append([]string{"-addr", "127.0.0.1:0"}, args...)...)
	return p, p.await(`^dial (ws://\S+);`)[0]
}

func dial(t *testing.T, url string, opts websocket.Options) *websocket.Conn {
	d := websocket.Dialer{Options: opts}
	c, _, err := d.DialContext(t.Context(), url, nil)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
	return c
}

func readTick(t *testing.T, c *websocket.Conn) (got tick) {
	t.Helper()
	require.NoError(t, c.ReadJSON(&got))
	return got
}

func TestServerAndLoad(t *testing.T) {
	server, url := serve(t, "-rate", "50", "-size", "1000")
	load := start(t, "-load", "40", "-url", url+","+url)
	load.await(`^40 of 40 connections  [1-9]\d* messages/s  .* 0 missed so far  lag: mean \S+s, worst \S+s `)
	server.await(`^40 connections  [1-9].* broadcasts/s  [1-9]\d* messages/s .* 0 dropped  0 slow ones closed `)

	load.interrupt()
	load.await(`^in all: [1-9]\d* messages in .* 0 missed, worst lag `)
	require.NoError(t, load.end())
	server.await(`^0 connections `)
	require.NoError(t, server.end())
}

func TestLoadThatEndsByItself(t *testing.T) {
	server, url := serve(t)
	load := start(t, "-load", "3", "-url", url, "-for", "1500ms")
	load.await(`^in all: [1-9]\d* messages `)
	require.NoError(t, load.wait()) // it is an error if not all were open
	require.NoError(t, server.end())
}

func TestLoadHearsThatTheServerEnds(t *testing.T) {
	server, url := serve(t)
	load := start(t, "-load", "3", "-url", url)
	load.await(`^3 of 3 connections`)
	require.NoError(t, server.end())
	load.await(`^in all: `)
	err := load.wait()
	require.True(t, websocket.IsCloseError(err, websocket.CloseGoingAway), "%v", err)
}

func TestLoadWithoutAServer(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, ln.Close())
	load := start(t, "-load", "3", "-url", "ws://"+ln.Addr().String()+"/ws")
	load.await(`^in all: 0 messages`)
	require.ErrorContains(t, load.wait(), "3 of 3 connections could not be opened")
}

func TestLoadThatIsNotAnswered(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0") // whose connections nobody accepts
	require.NoError(t, err)
	defer ln.Close()
	load := start(t, "-load", "3", "-url", "ws://"+ln.Addr().String()+"/ws", "-for", "100ms")
	require.ErrorContains(t, load.wait(), "only 0 of 3 connections were open by then")
}

func TestTicks(t *testing.T) {
	for _, tt := range []struct {
		name          string
		args          []string
		offer, agreed bool
	}{
		{name: "compressed", offer: true, agreed: true},
		{name: "not for a client that does not offer it"},
		{name: "not by this server", args: []string{"-compress=false"}, offer: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server, url := serve(t, append(tt.args, "-rate", "100", "-size", "2000")...)
			var opts websocket.Options
			if tt.offer {
				opts.Compression = &websocket.Compression{}
			}
			begun := time.Now()
			c := dial(t, url, opts)
			require.Equal(t, tt.agreed, c.Negotiated().Compression != nil)
			last := readTick(t, c)
			for range 10 {
				next := readTick(t, c)
				require.Equal(t, last.Seq+1, next.Seq)
				require.Greater(t, next.Sent, max(last.Sent, begun.UnixNano()))
				require.NotEqual(t, last.Prices, next.Prices)
				last = next
			}
			p, err := json.Marshal(last)
			require.NoError(t, err)
			require.InDelta(t, 2000, len(p), 100)
			stats := c.Stats()
			require.NoError(t, c.Close()) // or the server would wait for an answer to its farewell
			require.Equal(t, tt.agreed, 2*stats.WireRead < stats.PayloadRead, "%+v", stats)
			require.NoError(t, server.end())
		})
	}
}

func TestSlowConsumerMissesMessages(t *testing.T) {
	server, url := serve(t, "-rate", "500", "-size", "60000", "-compress=false")
	slow := dial(t, url, websocket.Options{})
	server.await(` [1-9]\d* dropped `) // while slow reads nothing
	for last, missed := readTick(t, slow).Seq, false; !missed; {
		next := readTick(t, slow).Seq
		missed = next > last+1
		last = next
	}
	require.NoError(t, slow.Close())
	require.NoError(t, server.end())
}

func TestSlowConsumerIsClosed(t *testing.T) {
	server, url := serve(t, "-rate", "500", "-size", "60000", "-compress=false", "-slow", "close")
	slow := dial(t, url, websocket.Options{})
	server.await(` [1-9]\d* slow ones closed `)
	var err error
	for err == nil {
		_, _, err = slow.ReadMessage()
	}
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
	require.NoError(t, server.end())
}

func TestWhoSpeaksIsClosed(t *testing.T) {
	server, url := serve(t, "-rate", "0.001")
	c := dial(t, url, websocket.Options{})
	require.NoError(t, c.WriteMessage(websocket.TextMessage, []byte("hello")))
	_, _, err := c.ReadMessage()
	require.True(t, websocket.IsCloseError(err, websocket.ClosePolicyViolation), "%v", err)
	require.NoError(t, server.end())
}

func TestFlags(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"-rate 0", "-rate has to be more than 0"},
		{"-rate NaN", "-rate has to be more than 0"},
		{"-rate 1e9", "1000 at most"},
		{"-size 0", "-size has to be at least 1"},
		{"-size 2000 -queue 1000", "no more than -queue"},
		{"-slow down", "-slow has to be drop or close"},
		{"-load -1", "negative"},
		{"-load many", `invalid value "many"`},
		{"now", `what is "now"?`},
		{"-addr nowhere.invalid:http", "nowhere.invalid"},
		{"-load 1 -url mailto:x", "could not be opened"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			require.ErrorContains(t, run(t.Context(), strings.Fields(tt.args), io.Discard, io.Discard), tt.want)
		})
	}
	require.ErrorIs(t, run(t.Context(), []string{"-help"}, io.Discard, io.Discard), flag.ErrHelp)
}

func TestEnoughFiles(t *testing.T) {
	require.NoError(t, enoughFiles(1000, 1<<20))
	require.ErrorContains(t, enoughFiles(1000, 1024), "ulimit -n 2000")
	if limit, ok := fileLimit(); ok {
		require.ErrorContains(t, run(t.Context(), []string{"-load", fmt.Sprint(min(limit, 1<<30))}, io.Discard, io.Discard), "open files")
	}
}

func TestInBytes(t *testing.T) {
	require.Equal(t, []string{"0 B", "999 B", "1.0 kB", "12.3 MB"}, []string{inBytes(0), inBytes(999), inBytes(1000), inBytes(12.34e6)})
}
