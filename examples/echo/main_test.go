package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/websockettest"
)

// start serves on a free port until end is called, which reports how serving ended.
func start(t *testing.T) (host string, end func() error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	done := make(chan error, 1)
	go func() { done <- new(server).serve(ctx, ln) }()
	return ln.Addr().String(), func() error {
		cancel()
		return <-done
	}
}

func dial(t *testing.T, host string) *websocket.Conn {
	d := websocket.Dialer{Options: websocket.Options{Compression: &websocket.Compression{}}}
	c, _, err := d.DialContext(t.Context(), "ws://"+host+"/ws", nil)
	require.NoError(t, err)
	require.NotNil(t, c.Negotiated().Compression)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.SetReadDeadline(time.Now().Add(10*time.Second)))
	return c
}

func TestEcho(t *testing.T) {
	host, end := start(t)
	c := dial(t, host)
	for _, m := range []websocket.Message{
		{Type: websocket.TextMessage, Data: []byte("hello")},
		{Type: websocket.TextMessage, Data: []byte{}},
		{Type: websocket.BinaryMessage, Data: bytes.Repeat([]byte{0, 1, 2, 255}, 1<<16)},
	} {
		require.NoError(t, c.WriteMessage(m.Type, m.Data))
		messageType, p, err := c.ReadMessage()
		require.NoError(t, err)
		require.Equal(t, m, websocket.Message{Type: messageType, Data: p})
	}
	require.NoError(t, c.Close())
	require.NoError(t, end())
}

func TestShutdownTellsEveryClient(t *testing.T) {
	host, end := start(t)
	clients := []*websocket.Conn{dial(t, host), dial(t, host), dial(t, host)}
	for _, c := range clients { // an answer shows that the server knows the connection
		require.NoError(t, c.WriteMessage(websocket.TextMessage, nil))
		_, _, err := c.ReadMessage()
		require.NoError(t, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- end() }()
	for _, c := range clients {
		_, _, err := c.ReadMessage()
		require.True(t, websocket.IsCloseError(err, websocket.CloseGoingAway), "%v", err)
	}
	require.NoError(t, <-ended)
	_, err := net.Dial("tcp", host)
	require.Error(t, err, "still listening")
}

// A browser opens connections ahead of requests, and http.Server.Shutdown waits for them: the
// WebSockets need not.
func TestShutdownWhileABrowserHoldsAConnection(t *testing.T) {
	host, end := start(t)
	idle, err := net.Dial("tcp", host)
	require.NoError(t, err)
	c := dial(t, host)
	require.NoError(t, c.WriteMessage(websocket.TextMessage, nil))
	_, _, err = c.ReadMessage()
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- end() }()
	_, _, err = c.ReadMessage()
	require.True(t, websocket.IsCloseError(err, websocket.CloseGoingAway), "%v", err)
	require.NoError(t, idle.Close())
	require.NoError(t, <-ended)
}

// What others say must not pass for lines of the log, or drive a terminal.
func TestLogQuotesReasons(t *testing.T) {
	var logged bytes.Buffer
	log.SetOutput(&logged)
	defer log.SetOutput(os.Stderr)
	host, end := start(t)
	require.NoError(t, dial(t, host).Shutdown(t.Context(), 4000, "\x1b[2J\n2026/01/01 00:00:00 root left"))
	require.NoError(t, end())
	require.Contains(t, logged.String(), `left: "websocket: close 4000: \x1b[2J\n2026/01/01 00:00:00 root left"`)
}

func TestPage(t *testing.T) {
	host, end := start(t)
	resp, err := http.Get("http://" + host + "/")
	require.NoError(t, err)
	defer resp.Body.Close()
	p, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, page, p)
	require.Equal(t, "text/html; charset=utf-8", resp.Header.Get("Content-Type"))
	require.NoError(t, end())
}

func TestClientSendsLinesAndPrintsReplies(t *testing.T) {
	host, end := start(t)
	var out bytes.Buffer
	in := bytes.NewReader([]byte("one\ntwo\r\n\nlast, without a newline"))
	require.NoError(t, runClient(t.Context(), "ws://"+host+"/ws", in, &out))
	require.Equal(t, "one\ntwo\n\nlast, without a newline\nclosed: 1000 \n", out.String())
	require.NoError(t, end())
}

func TestClientLosesNoInput(t *testing.T) {
	host, end := start(t)
	long := strings.Repeat("x", 1<<20)
	broken := errors.New("input/output error")
	for _, tt := range []struct {
		name string
		in   io.Reader
		out  string
		err  error
	}{
		{"a long line", strings.NewReader(long + "\nlast\n"), long + "\nlast\nclosed: 1000 \n", nil},
		{"what breaks off", io.MultiReader(strings.NewReader("one\n"), iotest.ErrReader(broken)), "one\nclosed: 1000 \n", broken},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			require.ErrorIs(t, runClient(t.Context(), "ws://"+host+"/ws", tt.in, &out), tt.err)
			require.True(t, tt.out == out.String(), "%d bytes", out.Len())
		})
	}
	require.NoError(t, end())

	upgrader := websocket.Upgrader{Options: websocket.Options{ReadLimit: 10}}
	strict := websockettest.NewServer(t, upgrader.Handler(func(c *websocket.Conn, r *http.Request) error {
		return c.Serve(r.Context(), func(websocket.Message) error { return nil })
	}))
	err := runClient(t.Context(), strict.URL, strings.NewReader("more than 10 bytes\nlast\n"), io.Discard)
	require.True(t, websocket.IsCloseError(err, websocket.CloseMessageTooBig), "%v", err)
}

func TestClientHearsOfShutdown(t *testing.T) {
	host, end := start(t)
	in, input := io.Pipe() // stays open: only the server can end this client
	out, output := io.Pipe()
	t.Cleanup(func() { input.Close() })
	go func() {
		output.CloseWithError(runClient(t.Context(), "ws://"+host+"/ws", in, output))
	}()
	go input.Write([]byte("hello\n"))
	first := make([]byte, len("hello\n"))
	_, err := io.ReadFull(out, first)
	require.NoError(t, err)
	require.Equal(t, "hello\n", string(first))

	ended := make(chan error, 1)
	go func() { ended <- end() }()
	rest, err := io.ReadAll(out)
	require.NoError(t, err)
	require.Equal(t, "closed: 1001 server is shutting down\n", string(rest))
	require.NoError(t, <-ended)
}

func TestClientLeavesWhenInterrupted(t *testing.T) {
	host, end := start(t)
	in, input := io.Pipe()
	out, output := io.Pipe()
	t.Cleanup(func() { input.Close() })
	ctx, interrupt := context.WithCancel(t.Context())
	go func() { output.CloseWithError(runClient(ctx, "ws://"+host+"/ws", in, output)) }()
	go input.Write([]byte("hello\n"))
	_, err := io.ReadFull(out, make([]byte, len("hello\n")))
	require.NoError(t, err)
	interrupt()
	rest, err := io.ReadAll(out)
	require.NoError(t, err)
	require.Equal(t, "closed: 1001 \n", string(rest))
	require.NoError(t, end())
}

func TestClientReportsFailure(t *testing.T) {
	host, end := start(t)
	require.NoError(t, end())
	require.Error(t, runClient(t.Context(), "ws://"+host+"/ws", &bytes.Buffer{}, io.Discard))
}
