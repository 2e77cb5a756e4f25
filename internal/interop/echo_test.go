//go:build unix

package interop

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
)

// echoServer is our server behind a tap, which is where its URL leads: an endpoint for each way to read
// and write messages, pages for browsers, and what it saw of the connections.
type echoServer struct {
	*httptest.Server
	tap     *tap
	reports chan report // of browsers

	mu   sync.Mutex
	ends map[string]chan error // what our end of a case's connection read last
}

// command does what p says, and tells whether it was a command.
type command func(p []byte) (done bool, err error)

// loops are the ways to echo, by endpoint.
var loops = map[string]func(c *websocket.Conn, command command) error{
	"/message": func(c *websocket.Conn, command command) error {
		for {
			messageType, p, err := c.ReadMessage()
			if err != nil {
				return err
			}
			if done, err := command(p); err != nil {
				return leave(c, err)
			} else if done {
				continue
			}
			if err := c.WriteMessage(messageType, p); err != nil {
				return err
			}
		}
	},
	"/stream": func(c *websocket.Conn, command command) error {
		for {
			messageType, r, err := c.NextReader()
			if err != nil {
				return err
			}
			head := make([]byte, 64) // longer than any command
			n, err := io.ReadFull(r, head)
			if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
				return err
			}
			if done, err := command(head[:n]); err != nil {
				return leave(c, err)
			} else if done {
				continue
			}
			w, err := c.NextWriter(messageType)
			if err != nil {
				return err
			}
			if _, err := io.Copy(w, io.MultiReader(bytes.NewReader(head[:n]), r)); err != nil {
				return err
			}
			if err := w.Close(); err != nil {
				return err
			}
		}
	},
	"/serve": func(c *websocket.Conn, command command) error {
		return c.Serve(context.Background(), func(m websocket.Message) error {
			if done, err := command(m.Data); done || err != nil {
				return err // a CloseError: Handler sends it
			}
			return c.WriteMessage(m.Type, m.Data)
		})
	},
}

// compressed, added to an endpoint, is the same with permessage-deflate.
const compressed = "/compressed"

// subprotocols are those that servers speak.
var subprotocols = []string{"v1.example"}

// leave takes leave with the code and reason of a commanded CloseError, waiting for the peer's.
func leave(c *websocket.Conn, err error) error {
	var closing *websocket.CloseError
	if errors.As(err, &closing) {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		if failed := c.Shutdown(ctx, closing.Code, closing.Text); failed != nil {
			return failed
		}
	}
	return err
}

func newEchoServer(t *testing.T) *echoServer {
	s := &echoServer{reports: make(chan report, 1), ends: make(map[string]chan error)}
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir("testdata/browser")))
	mux.Handle("POST /report", reporting(s.reports))
	for path, loop := range loops {
		handle := func(path string, u *websocket.Upgrader) {
			mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
				var opened *websocket.Conn
				u.Handler(func(c *websocket.Conn, r *http.Request) error {
					if u.Compression != nil && c.Negotiated().Compression == nil {
						return errors.New("the client does not offer it")
					}
					opened = c
					return loop(c, func(p []byte) (bool, error) { return obey(c, r, p) })
				}).ServeHTTP(w, r)
				if opened != nil {
					_, _, err := opened.ReadMessage() // how reading has ended
					s.end(r.URL.Query().Get("case")) <- err
				}
			})
		}
		handle(path, &websocket.Upgrader{Subprotocols: subprotocols})
		handle(path+compressed, &websocket.Upgrader{Subprotocols: subprotocols, Options: websocket.Options{Compression: &websocket.Compression{}}})
	}
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	s.tap = newTap(t, s.Listener.Addr().String())
	s.URL = "http://" + s.tap.addr
	return s
}

// reporting takes the report of a page.
func reporting(reports chan<- report) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var results report
		if err := json.NewDecoder(r.Body).Decode(&results); err != nil {
			results = report{"report": err.Error()}
		}
		reports <- results
	}
}

// obey is the command of our server, for a connection that began with r.
func obey(c *websocket.Conn, r *http.Request, p []byte) (done bool, err error) {
	verb, rest, _ := strings.Cut(string(p), " ")
	switch verb {
	case "!cookie":
		return true, c.WriteMessage(websocket.TextMessage, []byte(r.Header.Get("Cookie")))
	case "!header":
		return true, c.WriteMessage(websocket.TextMessage, []byte(r.Header.Get("X-Interop")))
	case "!close":
		closing := new(websocket.CloseError)
		if _, err := fmt.Sscan(rest, &closing.Code, &closing.Text); err != nil {
			return true, err
		}
		return true, closing
	case "!kill":
		return true, c.NetConn().Close()
	case "!ping":
		go func() { // the pong is seen by the reader that called us
			ctx, cancel := context.WithTimeout(context.Background(), limit)
			defer cancel()
			answer := "!pong"
			if _, err := c.Ping(ctx); err != nil {
				answer = err.Error()
			}
			c.WriteMessage(websocket.TextMessage, []byte(answer))
		}()
		return true, nil
	}
	return false, nil
}

func (s *echoServer) end(name string) chan error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ends[name] == nil {
		s.ends[name] = make(chan error, 16) // as often as a case is gone through
	}
	return s.ends[name]
}

// requireEnds checks the results of a client, and how those cases ended in which it sees one
// thing and our server another, as far as the client went through them.
func (s *echoServer) requireEnds(ctx context.Context, t *testing.T, expected, results report) {
	t.Helper()
	if results["server close"] != "" {
		results["close answer"] = closing(s.waitEnd(ctx, t, "server close"))
	}
	require.Equal(t, expected, results)
	if results["client close"] != "" {
		require.Equal(t, "3001 done", closing(s.waitEnd(ctx, t, "client close")))
	}
	require.Error(t, s.waitEnd(ctx, t, "kill"))
}

// waitEnd returns the error with which the connection of a case ended.
func (s *echoServer) waitEnd(ctx context.Context, t *testing.T, name string) error {
	select {
	case err := <-s.end(name):
		return err
	case <-ctx.Done():
		require.FailNow(t, "the connection did not end", name)
		return nil
	}
}

// Payloads of the cases.
var (
	sevenBytes = []byte{0, 1, 2, 127, 128, 254, 255}
	longText   = strings.Repeat("aé€😀", 1<<20/10) + "abcdef"
)

func longBinary() []byte {
	p := make([]byte, 1<<20)
	rand.Read(p)
	return p
}

// runOurClient goes through the cases against the echo server at endpoint, but for those that it has no means for.
func runOurClient(ctx context.Context, d *websocket.Dialer, endpoint string, lacks differences) report {
	cases := map[string]func(c *websocket.Conn) string{
		"text":         func(c *websocket.Conn) string { return echo(c, websocket.TextMessage, []byte("hello")) },
		"binary":       func(c *websocket.Conn) string { return echo(c, websocket.BinaryMessage, sevenBytes) },
		"empty":        func(c *websocket.Conn) string { return echo(c, websocket.TextMessage, []byte{}) },
		"text 1 MiB":   func(c *websocket.Conn) string { return echo(c, websocket.TextMessage, []byte(longText)) },
		"binary 1 MiB": func(c *websocket.Conn) string { return echo(c, websocket.BinaryMessage, longBinary()) },
		"fragmented":   fragmented,
		"many":         many,
		"subprotocol":  func(c *websocket.Conn) string { return c.Subprotocol() },
		"cookie":       func(c *websocket.Conn) string { return answer(c, "!cookie") },
		"header":       func(c *websocket.Conn) string { return answer(c, "!header") },
		"client ping": func(c *websocket.Conn) string {
			pinged := make(chan error, 1)
			go func() {
				_, err := c.Ping(ctx)
				pinged <- err
				c.WriteMessage(websocket.TextMessage, []byte("pinged"))
			}()
			if _, _, err := c.ReadMessage(); err != nil {
				return err.Error()
			}
			return ok(<-pinged)
		},
		"server ping": func(c *websocket.Conn) string {
			return exchange(c, websocket.TextMessage, []byte("!ping"), []byte("!pong"))
		},
		"client close": func(c *websocket.Conn) string {
			shut := make(chan error, 1)
			go func() { shut <- c.Shutdown(ctx, 3001, "done") }()
			_, _, err := c.ReadMessage()
			if err := <-shut; err != nil {
				return err.Error()
			}
			return closing(err)
		},
		"server close": func(c *websocket.Conn) string { return ending(c, "!close 4001 bye") },
		"kill":         func(c *websocket.Conn) string { return ending(c, "!kill") },
	}
	results := make(report)
	for name, run := range cases {
		if lack, ok := lacks[name]; ok && lack.result == "" {
			continue
		}
		results[name] = func() string {
			d := *d
			switch name {
			case "fragmented":
				d.WriteBufferSize = 1000
			case "subprotocol":
				d.Subprotocols = []string{"v2.example", "v1.example"}
			}
			header := http.Header{"Cookie": {"session=s1"}, "X-Interop": {"from the client"}}
			c, _, err := d.DialContext(ctx, endpoint+"?case="+url.QueryEscape(name), header)
			if err != nil {
				return err.Error()
			}
			defer c.Close()
			deadline, _ := ctx.Deadline()
			c.SetReadLimit(4 << 20)
			c.SetReadDeadline(deadline)
			return run(c)
		}()
	}
	return results
}

func ok(err error) string {
	if err != nil {
		return err.Error()
	}
	return "ok"
}

func echo(c *websocket.Conn, messageType int, p []byte) string {
	return exchange(c, messageType, p, p)
}

// exchange sends p and expects want.
func exchange(c *websocket.Conn, messageType int, p, want []byte) string {
	if err := c.WriteMessage(messageType, p); err != nil {
		return err.Error()
	}
	gotType, got, err := c.ReadMessage()
	switch {
	case err != nil:
		return err.Error()
	case gotType != messageType:
		return fmt.Sprintf("type %d", gotType)
	case !bytes.Equal(got, want):
		return fmt.Sprintf("%d other bytes: %.40q", len(got), got)
	}
	return "ok"
}

// fragmentedText makes fragments of 1000 bytes, which divide characters. It hardly shrinks, and so
// makes more than one fragment also where they have 128 KiB of what is compressed.
var fragmentedText = func() string {
	text := []byte("xy")
	for range 100_000 {
		text = utf8.AppendRune(text, '一'+mathrand.Int32N(20_000)) // three bytes each
	}
	return string(text)
}()

// fragmented sends it, with a write buffer of 1000 bytes.
func fragmented(c *websocket.Conn) string {
	written := make(chan error, 1)
	go func() {
		w, err := c.NextWriter(websocket.TextMessage)
		if err == nil {
			_, err = io.WriteString(w, fragmentedText)
		}
		if err == nil {
			err = w.Close()
		}
		written <- err
	}()
	_, p, err := c.ReadMessage()
	if err == nil {
		err = <-written
	}
	if err == nil && string(p) != fragmentedText {
		err = fmt.Errorf("%d other bytes: %.40q", len(p), p)
	}
	return ok(err)
}

// answer sends a command and returns what comes back.
func answer(c *websocket.Conn, command string) string {
	if err := c.WriteMessage(websocket.TextMessage, []byte(command)); err != nil {
		return err.Error()
	}
	_, p, err := c.ReadMessage()
	if err != nil {
		return err.Error()
	}
	return string(p)
}

func many(c *websocket.Conn) string {
	const n = 100
	for i := range n {
		if err := c.WriteMessage(websocket.TextMessage, fmt.Append(nil, i)); err != nil {
			return err.Error()
		}
	}
	for i := range n {
		if _, p, err := c.ReadMessage(); err != nil {
			return err.Error()
		} else if string(p) != fmt.Sprint(i) {
			return fmt.Sprintf("%q in place of %d", p, i)
		}
	}
	return "ok"
}

// ending sends a command and tells how the connection then ends.
func ending(c *websocket.Conn, command string) string {
	if err := c.WriteMessage(websocket.TextMessage, []byte(command)); err != nil {
		return err.Error()
	}
	_, _, err := c.ReadMessage()
	return closing(err)
}

// closing is the code and reason of a CloseError; an abnormal closure has a code only.
func closing(err error) string {
	var closed *websocket.CloseError
	switch {
	case !errors.As(err, &closed):
		return fmt.Sprint(err)
	case closed.Code == websocket.CloseAbnormalClosure:
		return "1006"
	}
	return fmt.Sprintf("%d %s", closed.Code, closed.Text)
}
