package main

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/http2"
)

func dialTest(t *testing.T, d websocket.Dialer, url string, header http.Header) *websocket.Conn {
	t.Helper()
	c, _, err := d.Dial(url, header)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
	return c
}

func expectMessage(t *testing.T, c *websocket.Conn, messageType int, want string) {
	t.Helper()
	got, p, err := c.ReadMessage()
	require.NoError(t, err)
	require.Equal(t, messageType, got)
	require.Equal(t, want, string(p))
}

// stopped interrupts the server, which has to end well.
func stopped(t *testing.T, server *live) {
	t.Helper()
	server.interrupt(interruption{os.Interrupt})
	require.Equal(t, exitOK, server.end())
}

func TestListenEcho(t *testing.T) {
	t.Parallel()
	server, url := listening(t, "-compress", "-s", "chat", "-path", "/ws", "-limit", "1000")
	require.True(t, strings.HasSuffix(url, "/ws"))
	d := websocket.Dialer{Subprotocols: []string{"chat"}, Options: websocket.Options{Compression: &websocket.Compression{}}}
	c := dialTest(t, d, url, nil)
	require.Equal(t, "chat", c.Subprotocol())
	require.NotNil(t, c.Negotiated().Compression)
	server.expect(`^\* \[1\] 127.0.0.1:\d+ HTTP/1.1 /ws, subprotocol chat, permessage-deflate; `)
	require.NoError(t, c.WriteMessage(websocket.TextMessage, []byte("hello\x1b")))
	expectMessage(t, c, websocket.TextMessage, "hello\x1b")
	server.expect(`^< \[1\] hello\\x1b$`)
	require.NoError(t, c.WriteMessage(websocket.BinaryMessage, []byte{0}))
	expectMessage(t, c, websocket.BinaryMessage, "\x00")
	server.expect(`^< \[1\] binary, 1 byte$`)
	require.NoError(t, c.WriteControl(websocket.PingMessage, []byte("p"), time.Time{}))
	server.expect(`^< \[1\] ping "p"$`)
	require.NoError(t, c.Shutdown(t.Context(), 4000, "bye"))
	server.expect(`^\* \[1\] left: close 4000: bye$`)

	c = dialTest(t, websocket.Dialer{}, url, nil)
	require.NoError(t, c.WriteMessage(websocket.TextMessage, make([]byte, 1001)))
	_, _, err := c.ReadMessage()
	require.True(t, websocket.IsCloseError(err, websocket.CloseMessageTooBig), "%v", err)
	server.expect(`^\* \[2\] left: read limit exceeded`)

	c = dialTest(t, websocket.Dialer{}, url, nil)
	server.expect(`^\* \[3\] `)
	require.NoError(t, c.NetConn().Close())
	server.expect(`^\* \[3\] left: close 1006 \(abnormal closure\)`)

	_, resp, err := websocket.DefaultDialer.Dial(strings.TrimSuffix(url, "/ws"), nil)
	require.ErrorIs(t, err, websocket.ErrBadHandshake)
	require.Equal(t, http.StatusNotFound, resp.StatusCode)
	stopped(t, server)
}

func TestListenBroadcast(t *testing.T) {
	t.Parallel()
	server, url := listening(t, "-broadcast", "-stdin")
	a := dialTest(t, websocket.Dialer{}, url, nil)
	server.expect(`^\* \[1\] `) // before the second comes: the server numbers them
	b := dialTest(t, websocket.Dialer{}, url, nil)
	server.expect(`^\* \[2\] `)
	require.NoError(t, a.WriteMessage(websocket.TextMessage, []byte("from a")))
	expectMessage(t, a, websocket.TextMessage, "from a")
	expectMessage(t, b, websocket.TextMessage, "from a")
	server.enter("\xff")
	server.expect("^! text that is not UTF-8")
	server.enter("from the server")
	for _, c := range []*websocket.Conn{a, b} {
		expectMessage(t, c, websocket.TextMessage, "from the server")
	}
	require.NoError(t, server.in.Close()) // the server stays
	require.NoError(t, b.WriteMessage(websocket.BinaryMessage, []byte("from b")))
	expectMessage(t, a, websocket.BinaryMessage, "from b")

	closed := make(chan error, 2)
	for _, c := range []*websocket.Conn{a, b} {
		go func() {
			for {
				if _, _, err := c.ReadMessage(); err != nil {
					closed <- err
					return
				}
			}
		}()
	}
	stopped(t, server)
	server.expect(`^\* closed 2 connections$`)
	for range 2 {
		var end *websocket.CloseError
		require.ErrorAs(t, await(t, closed), &end)
		require.Equal(t, websocket.CloseError{Code: websocket.CloseGoingAway, Text: "the server ends"}, *end)
	}
}

func TestListenHTTP2(t *testing.T) {
	t.Parallel()
	cert, key := newCertificate(t, "server.example")
	server, url := listening(t, "-cert", cert, "-key", key)
	require.True(t, strings.HasPrefix(url, "wss://"))
	clear, clearURL := listening(t, "-h2c", "-q")
	trusting := &tls.Config{InsecureSkipVerify: true}
	over2, overClear := &http2.Transport{TLSClientConfig: trusting}, &http2.Transport{Unencrypted: true}
	t.Cleanup(over2.CloseIdleConnections)
	t.Cleanup(overClear.CloseIdleConnections)
	closed := make(chan error, 4)
	for _, client := range []struct {
		dialer websocket.Dialer
		url    string
	}{
		{websocket.Dialer{TLSClientConfig: trusting}, url},
		{websocket.Dialer{TLSClientConfig: trusting, Transport: over2}, url},
		{websocket.Dialer{}, clearURL},
		{websocket.Dialer{Transport: overClear}, clearURL},
	} {
		conn := dialTest(t, client.dialer, client.url, nil) // one after the other, for the server numbers them
		require.NoError(t, conn.WriteMessage(websocket.TextMessage, []byte("hello")))
		expectMessage(t, conn, websocket.TextMessage, "hello")
		go func() {
			_, _, err := conn.ReadMessage()
			closed <- err
		}()
	}
	server.expect(`^\* \[1\] \S+ HTTP/1.1 /`)
	server.expect(`^\* \[2\] \S+ HTTP/2.0 /`)
	third := dialTest(t, websocket.Dialer{TLSClientConfig: trusting, Transport: over2}, url, nil)
	require.NoError(t, third.Shutdown(t.Context(), 0, "done"))
	server.expect(`^\* \[3\] left: close 1000 \(normal\): done$`)
	stopped(t, server)
	stopped(t, clear)
	for range 4 {
		require.True(t, websocket.IsCloseError(await(t, closed), websocket.CloseGoingAway))
	}
	over2.CloseIdleConnections()
	overClear.CloseIdleConnections()
	_, more := <-clear.lines
	require.False(t, more, "-q says no more than where it listens")
}

func TestListenOrigins(t *testing.T) {
	t.Parallel()
	server, url := listening(t, "-origin", "https://*.example.com", "-v")
	_, resp, err := websocket.DefaultDialer.Dial(url, http.Header{"Origin": {"https://evil.example"}})
	require.ErrorIs(t, err, websocket.ErrBadHandshake)
	require.Equal(t, http.StatusForbidden, resp.StatusCode)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Contains(t, string(body), "origin")
	server.expect(`^! 127.0.0.1:\d+: refused with 403: .*origin`)
	c := dialTest(t, websocket.Dialer{}, url, http.Header{"Origin": {"https://a.example.com"}})
	server.expect(`^  Origin: https://a.example.com$`)
	require.NoError(t, c.Shutdown(t.Context(), 0, ""))
	stopped(t, server)
}

func TestListenWhereSomebodyIs(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	got := wscat(t, "", "listen", ln.Addr().String())
	require.Equal(t, exitUsage, got.code)
	require.Contains(t, got.err, ln.Addr().String())
}

// A client that does not answer is dropped in the end.
func TestListenToTheDeaf(t *testing.T) {
	t.Parallel()
	server, url := listening(t, "-close-timeout", "20ms")
	c := dialTest(t, websocket.Dialer{}, url, nil) // nobody reads
	server.expect(`^\* \[1\] `)
	server.interrupt(interruption{os.Interrupt})
	require.Equal(t, exitTimeout, server.end())
	require.Equal(t, "wscat: some did not answer the close frame within 20ms\n", server.errOut.String())
	_, _, err := c.ReadMessage()
	require.True(t, websocket.IsCloseError(err, websocket.CloseGoingAway), "%v", err)
}

func TestFarewellText(t *testing.T) {
	t.Parallel()
	require.Equal(t, `close 1000 (normal): \x07`, farewellText(nil, &websocket.CloseError{Code: 1000, Text: "\x07"}))
	require.Equal(t, "closed from here", farewellText(nil, nil))
	require.Equal(t, "broken", farewellText(errors.New("websocket: broken"), nil))
}
