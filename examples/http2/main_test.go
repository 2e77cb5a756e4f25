package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
)

// start serves on a free port until end is called, which reports how serving ended.
func start(t *testing.T) (addr string, end func() error) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	udp, err := net.ListenPacket("udp", tcp.Addr().String())
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	done := make(chan error, 1)
	s := &server{sockets: make(map[int]socket)}
	go func() { done <- s.serve(ctx, tcp, udp) }()
	return tcp.Addr().String(), func() error {
		cancel()
		return <-done
	}
}

var trusting = &tls.Config{InsecureSkipVerify: true}

// table reads tables until one has n rows.
func table(t *testing.T, c *websocket.Conn, n int) (rows []socket) {
	for len(rows) != n {
		require.NoError(t, c.SetReadDeadline(time.Now().Add(10*time.Second)))
		rows = nil
		require.NoError(t, c.ReadJSON(&rows))
	}
	return rows
}

func TestThreeProtocols(t *testing.T) {
	addr, end := start(t)
	d := websocket.Dialer{TLSClientConfig: trusting}
	c, _, err := d.Dial("wss://"+addr+"/ws?id=watcher", nil)
	require.NoError(t, err)
	defer c.Close()
	rows := table(t, c, 1)
	require.Equal(t, []socket{{1, "HTTP/1.1", c.LocalAddr().String(), "watcher"}}, rows)

	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	said, out := io.Pipe()
	go func() { ended <- runClient(ctx, addr, time.Minute, out) }()
	lines := bufio.NewScanner(said)
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0", "HTTP/3.0"} { // by the last all are open at both ends
		require.True(t, lines.Scan())
		require.Regexp(t, "^"+regexp.QuoteMeta(proto)+" from 127", lines.Text())
	}
	rows = table(t, c, 4)
	var protocols []string
	for _, row := range rows {
		protocols = append(protocols, row.Protocol)
	}
	require.ElementsMatch(t, []string{"HTTP/1.1", "HTTP/1.1", "HTTP/2", "HTTP/3"}, protocols, "in the order of their handlers")
	cancel()
	requireEnds(t, lines, websocket.CloseNormalClosure)
	require.NoError(t, <-ended)
	table(t, c, 1)

	closed := make(chan error, 1)
	go func() {
		_, _, err := c.ReadMessage()
		closed <- err
	}()
	require.NoError(t, end())
	require.True(t, websocket.IsCloseError(<-closed, websocket.CloseGoingAway))
}

// requireEnds reads that each of the three has ended with the code.
func requireEnds(t *testing.T, lines *bufio.Scanner, code int) {
	var protocols []string
	for range 3 {
		require.True(t, lines.Scan())
		protocol, rest, _ := strings.Cut(lines.Text(), " ")
		require.Contains(t, rest, fmt.Sprintf("has ended: websocket: close %d ", code))
		protocols = append(protocols, protocol)
	}
	require.ElementsMatch(t, []string{"HTTP/1.1", "HTTP/2.0", "HTTP/3.0"}, protocols)
}

// The three are told 1001 when the server ends, whatever carries them, and the
// client has nothing to stay for.
func TestServerEnds(t *testing.T) {
	addr, end := start(t)
	ended := make(chan error, 1)
	said, out := io.Pipe()
	go func() { ended <- runClient(t.Context(), addr, time.Hour, out) }()
	lines := bufio.NewScanner(said)
	for range 3 {
		require.True(t, lines.Scan())
	}
	d := websocket.Dialer{TLSClientConfig: trusting}
	c, _, err := d.Dial("wss://"+addr+"/ws", nil)
	require.NoError(t, err)
	defer c.Close()
	table(t, c, 4)
	go func() {
		for range c.Messages(t.Context()) {
		}
	}()
	served := make(chan error, 1)
	go func() { served <- end() }()
	requireEnds(t, lines, websocket.CloseGoingAway)
	require.NoError(t, <-ended)
	require.NoError(t, <-served)
}

func TestPage(t *testing.T) {
	addr, end := start(t)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: trusting, ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	resp, err := client.Get("https://" + addr + "/")
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Equal(t, 2, resp.ProtoMajor)
	require.Equal(t, "text/html; charset=utf-8", resp.Header.Get("Content-Type"))
	require.NoError(t, end())
}

func TestSocketIsJSON(t *testing.T) {
	text, err := json.Marshal(socket{1, "HTTP/2", "127.0.0.1:1", "a"})
	require.NoError(t, err)
	require.JSONEq(t, `{"number":1,"protocol":"HTTP/2","remote":"127.0.0.1:1","id":"a"}`, string(text), "as page.html has it")
}
