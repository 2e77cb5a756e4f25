//go:build unix

package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
)

// Go. These peers run in this process. The file of each says how it does what
// the programs of the others do, here is what it does then.

// goLibrary opens connections.
type goLibrary struct {
	usual   string // what it is told for the cases, as JSON
	dial    func(ctx context.Context, url string, h hello) (goConn, error)
	upgrade func(w http.ResponseWriter, r *http.Request, told string) (goConn, error)
}

// hello is what a client says.
type hello struct {
	header       http.Header
	subprotocols []string
	told         string // its options for permessage-deflate, as JSON
}

// options are what the JSON says, none if it is empty.
func options[T any](told string) (o T, err error) {
	if told != "" {
		err = json.Unmarshal([]byte(told), &o)
	}
	return o, err
}

// goConn is a connection of a library. Errors that say with what code and reason
// the peer closed are our CloseErrors.
type goConn interface {
	subprotocol() string
	read() (text bool, p []byte, err error)
	write(text bool, fragments ...[]byte) error
	ping(answered func()) error          // answered is called while read waits
	close(code int, reason string) error // goes through the closing handshake, and returns how that ended
	kill()
}

// pingPayload is what a pong has to bring back.
const pingPayload = "are you there"

// lost is the end of a connection without a close frame, which has a code by the
// RFC (section 7.1.5) and none with libraries that return the network's error.
func lost(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) {
		return &websocket.CloseError{Code: websocket.CloseAbnormalClosure}
	}
	return err
}

// goCases are those of a client.
var goCases = map[string]func(c goConn) string{
	"text":         func(c goConn) string { return goEcho(c, true, []byte("hello")) },
	"binary":       func(c goConn) string { return goEcho(c, false, sevenBytes) },
	"empty":        func(c goConn) string { return goEcho(c, true, []byte{}) },
	"text 1 MiB":   func(c goConn) string { return goEcho(c, true, []byte(longText)) },
	"binary 1 MiB": func(c goConn) string { return goEcho(c, false, longBinary()) },
	"fragmented": func(c goConn) string {
		return goEcho(c, true, slices.Collect(slices.Chunk([]byte(fragmentedText), 1000))...)
	},
	"many": func(c goConn) string {
		const n = 100
		for i := range n {
			if err := c.write(true, fmt.Append(nil, i)); err != nil {
				return err.Error()
			}
		}
		for i := range n {
			if result := goExpect(c, true, fmt.Append(nil, i)); result != "ok" {
				return result
			}
		}
		return "ok"
	},
	"subprotocol": func(c goConn) string { return c.subprotocol() },
	"cookie":      func(c goConn) string { return goAnswer(c, "!cookie") },
	"header":      func(c goConn) string { return goAnswer(c, "!header") },
	"client ping": func(c goConn) string {
		if err := c.ping(func() { c.write(true, []byte("pinged")) }); err != nil {
			return err.Error()
		}
		return goExpect(c, true, []byte("pinged"))
	},
	"server ping": func(c goConn) string {
		if answer := goAnswer(c, "!ping"); answer != "!pong" {
			return answer
		}
		return "ok"
	},
	"client close": func(c goConn) string { return closing(c.close(3001, "done")) },
	"server close": func(c goConn) string { return goEnding(c, "!close 4001 bye") },
	"kill":         func(c goConn) string { return goEnding(c, "!kill") },
}

// goEcho sends a message and expects it back.
func goEcho(c goConn, text bool, fragments ...[]byte) string {
	written := make(chan error, 1)
	go func() { written <- c.write(text, fragments...) }()
	result := goExpect(c, text, bytes.Join(fragments, nil))
	if result == "ok" {
		result = ok(<-written)
	}
	return result
}

// goExpect reads a message.
func goExpect(c goConn, text bool, want []byte) string {
	gotText, got, err := c.read()
	switch {
	case err != nil:
		return err.Error()
	case gotText != text:
		return fmt.Sprintf("text is %v", gotText)
	case !bytes.Equal(got, want):
		return fmt.Sprintf("%d other bytes: %.40q", len(got), got)
	}
	return "ok"
}

// goAnswer sends a command and returns what comes back.
func goAnswer(c goConn, command string) string {
	if err := c.write(true, []byte(command)); err != nil {
		return err.Error()
	}
	_, p, err := c.read()
	if err != nil {
		return err.Error()
	}
	return string(p)
}

// goEnding sends a command and tells how the connection then ends.
func goEnding(c goConn, command string) string {
	if err := c.write(true, []byte(command)); err != nil {
		return err.Error()
	}
	_, _, err := c.read()
	return closing(err)
}

// client goes through the cases.
func (l goLibrary) client(ctx context.Context, _ *testing.T, _ *echoServer, endpoint string) report {
	results := make(report)
	for name, run := range goCases {
		results[name] = func() string {
			h := hello{header: http.Header{"Cookie": {"session=s1"}, "X-Interop": {"from the client"}}, told: l.usual}
			if name == "subprotocol" {
				h.subprotocols = []string{"v2.example", "v1.example"}
			}
			c, err := l.dial(ctx, endpoint+"?case="+url.QueryEscape(name), h)
			if err != nil {
				return err.Error()
			}
			defer c.kill()
			defer context.AfterFunc(ctx, c.kill)()
			return run(c)
		}()
	}
	return results
}

// echoes is a client that sends back what comes, on one connection for each
// opening. Messages of more than 1 KiB go back in two fragments.
func (l goLibrary) echoes(t *testing.T, s *deflateServer, offers []opening) *child {
	p := &child{stdout: os.DevNull, exited: make(chan struct{})}
	go func() {
		defer close(p.exited)
		for i, e := range offers {
			c, err := l.dial(t.Context(), fmt.Sprintf("ws://%s/echo?case=%d", s.tap.addr, i), hello{told: e.theirs})
			if err != nil {
				p.err = fmt.Errorf("case %d: %w", i, err)
				return
			}
			stop := context.AfterFunc(t.Context(), c.kill)
			for {
				text, p, err := c.read()
				if err != nil {
					break
				}
				fragments := [][]byte{p}
				if len(p) > 1024 {
					fragments = [][]byte{p[:1000], p[1000:]}
				}
				if err := c.write(text, fragments...); err != nil {
					break
				}
			}
			stop()
			c.kill()
		}
	}()
	t.Cleanup(func() { <-p.exited })
	return p
}

// server is an echo server.
func (l goLibrary) server(t *testing.T, port string) *child {
	return inProcess(t, port, func(w http.ResponseWriter, r *http.Request) {
		c, err := l.upgrade(w, r, r.FormValue("deflate"))
		if err != nil {
			return // the client has been told
		}
		defer c.kill()
		for {
			text, p, err := c.read()
			if err != nil {
				return
			}
			verb, rest, _ := strings.Cut(string(p), " ")
			switch verb {
			case "!close":
				var code int
				var reason string
				fmt.Sscan(rest, &code, &reason)
				c.close(code, reason)
				return
			case "!kill":
				return
			case "!ping":
				err = c.ping(func() { c.write(true, []byte("!pong")) })
			case "!cookie":
				err = c.write(true, []byte(r.Header.Get("Cookie")))
			case "!header":
				err = c.write(true, []byte(r.Header.Get("X-Interop")))
			default:
				err = c.write(text, p)
			}
			if err != nil {
				return
			}
		}
	})
}

// inProcess is a child that is no process but a server in this one, shut down with the test.
func inProcess(t *testing.T, port string, handler http.HandlerFunc) *child {
	ln, err := net.Listen("tcp", "127.0.0.1:"+port)
	require.NoError(t, err)
	var running sync.WaitGroup
	var mu sync.Mutex
	var hijacked []net.Conn // Close does not know them
	s := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			running.Add(1)
			defer running.Done()
			handler(w, r)
		}),
		ConnState: func(nc net.Conn, state http.ConnState) {
			if state == http.StateHijacked {
				mu.Lock()
				defer mu.Unlock()
				hijacked = append(hijacked, nc)
			}
		},
	}
	running.Go(func() { s.Serve(ln) })
	t.Cleanup(func() {
		s.Close()
		mu.Lock()
		for _, nc := range hijacked {
			nc.Close()
		}
		mu.Unlock()
		running.Wait()
	})
	return &child{stdout: os.DevNull, exited: make(chan struct{})}
}

var goPeers = []row{
	{
		name:    "gorilla/websocket",
		version: module("github.com/gorilla/websocket"),
		client:  gorilla.client,
		server:  gorilla.server,
		clientDiffers: differences{
			"close answer": codeAlone,
		},
		serverDiffers: differences{
			"client close": {"3001 ", "its default close handler sends the code back without the reason, which the RFC (section 5.5.1) leaves open"},
		},
		deflate: gorillaDeflate,
		limit:   limit,
	},
	{
		name:    "coder/websocket",
		version: module("github.com/coder/websocket"),
		client:  coder.client,
		server:  coder.server,
		clientDiffers: differences{
			"client close": {"3001 ", "its Close checks that the code comes back and does not tell the reason"},
		},
		deflate: coderDeflate,
		limit:   limit,
	},
	{
		name:    "gobwas/ws",
		version: module("github.com/gobwas/ws"),
		client:  gobwas.client,
		server:  gobwas.server,
		clientDiffers: differences{
			"close answer": codeAlone,
		},
		serverDiffers: differences{
			"client close": {"3001 ", "its handler sends the code back without the reason, which the RFC (section 5.5.1) leaves open"},
		},
		deflate: gobwasDeflate,
		limit:   limit,
	},
	{
		name:    "lxzan/gws",
		version: module("github.com/lxzan/gws"),
		client:  lxzan.client,
		server:  lxzan.server,
		clientDiffers: differences{
			"client close": {"gws: ", "it closes the TCP connection right after its close frame, and does not wait for ours, which belongs to the closing handshake (section 7.1.2 of the RFC)"},
			"close answer": codeAlone,
		},
		serverDiffers: differences{
			"client close": {"3001 ", "it sends the code back without the reason, which the RFC (section 5.5.1) leaves open"},
		},
		deflate: lxzanDeflate,
		limit:   limit,
		remarks: "Its BuiltinEventHandler answers pings with empty pongs (section 5.5.3 asks for the ping's payload), which Conn.Ping does not know for its own; Options.PingInterval is content with them. A server that has SubProtocols refuses clients that ask for none.",
	},
}

const goDeflateLimit = 60 * time.Second
