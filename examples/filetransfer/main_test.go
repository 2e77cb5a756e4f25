package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/websockettest"
)

// patience keeps a test from hanging; nothing takes so long.
const patience = 30 * time.Second

// A transfer must leave no goroutine behind, however it ends.
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

// A rig is a server with a directory, and a client with another.
type rig struct {
	t           *testing.T
	there, here string
	server      *server
	client      client
	said        *record
	end         func() error
}

// record is an output that may be read while it is written.
type record struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.String()
}

// start serves on ln; nil is a free port.
func start(t *testing.T, ln net.Listener) *rig {
	t.Helper()
	g := &rig{t: t, there: t.TempDir(), here: t.TempDir(), said: &record{}}
	if ln == nil {
		var err error
		ln, err = net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
	}
	files, err := os.OpenRoot(g.there)
	require.NoError(t, err)
	host, _, err := net.SplitHostPort(ln.Addr().String())
	require.NoError(t, err)
	g.server = &server{files: files, hosts: []string{host}}
	g.client = client{url: "ws://" + ln.Addr().String() + "/files", retries: 10, pause: time.Millisecond, out: g.said}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- g.server.serve(ctx, ln) }()
	g.end = sync.OnceValue(func() error {
		cancel()
		return errors.Join(<-done, files.Close())
	})
	t.Cleanup(func() { require.NoError(t, g.end()) })
	return g
}

func noise(n int) []byte {
	p := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(p)
	return p
}

func (g *rig) write(dir, name string, p []byte) string {
	g.t.Helper()
	file := filepath.Join(dir, name)
	require.NoError(g.t, os.WriteFile(file, p, 0o644))
	return file
}

// requireOnly wants the directory to hold this file and no other.
func (g *rig) requireOnly(dir, name string, want []byte) {
	g.t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(g.t, err)
	require.Len(g.t, entries, 1)
	require.Equal(g.t, name, entries[0].Name())
	p, err := os.ReadFile(filepath.Join(dir, name))
	require.NoError(g.t, err)
	require.True(g.t, bytes.Equal(want, p), "another content, %d bytes", len(p))
}

func (g *rig) context() context.Context {
	ctx, cancel := context.WithTimeoutCause(g.t.Context(), patience, errors.New("the test has lost its patience"))
	g.t.Cleanup(cancel)
	return ctx
}

func TestPutAndGet(t *testing.T) {
	for _, size := range []int{0, 1, fragment - 1, fragment, fragment + 1, 3<<20 + 7} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			g := start(t, nil)
			p := noise(size)
			source := g.write(g.here, "a", p)
			require.NoError(t, g.client.put(g.context(), source, "b"))
			g.requireOnly(g.there, "b", p)
			require.NoError(t, os.Remove(source))
			require.NoError(t, g.client.get(g.context(), "b", filepath.Join(g.here, "c")))
			g.requireOnly(g.here, "c", p)
		})
	}
}

func TestProgramPutsAndGets(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	p := noise(100_000)
	source := g.write(g.here, "a.bin", p)
	require.NoError(t, run(g.context(), []string{"-dial", g.client.url, "put", source, "deep/er/b.bin"}, g.said))
	require.Equal(t, "deep/er/b.bin: 97.7 KiB complete, 97.7 KiB transferred\n", g.said.String())
	require.NoError(t, os.Remove(source))
	require.NoError(t, run(g.context(), []string{"-dial", g.client.url, "get", "deep/er/b.bin", filepath.Join(g.here, "c")}, g.said))
	g.requireOnly(g.here, "c", p)
}

func TestProgramServes(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	read, write := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- run(ctx, []string{"-addr", "127.0.0.1:0", "-dir", t.TempDir()}, write) }()
	said := make([]byte, 1000)
	n, err := read.Read(said)
	require.NoError(t, err)
	require.Regexp(t, `^serving .* on ws://127\.0\.0\.1:\d+/files; Ctrl-C ends\n$`, string(said[:n]))
	cancel()
	require.NoError(t, <-done)
}

func TestProgramIsCalledWrongly(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"neither put nor get":     {"push", "a"},
		"no file":                 {"put"},
		"too many":                {"get", "a", "b", "c"},
		"no such flag":            {"-fast"},
		"no such file":            {"put", filepath.Join(t.TempDir(), "none")},
		"no file but a directory": {"put", t.TempDir()},
		"no such directory":       {"-dir", filepath.Join(t.TempDir(), "none")},
	} {
		t.Run(name, func(t *testing.T) {
			require.Error(t, run(t.Context(), args, io.Discard))
		})
	}
}

// cuts has each connection of the client cut once so many bytes of a file's have passed,
// the last excepted, and counts what passes. The client's writes or reads are cut.
type cuts struct {
	dial  func(ctx context.Context, network, addr string) (net.Conn, error)
	after []int64
	puts  bool

	dials  atomic.Int32
	passed [2]atomic.Int64 // by the first connection and by all others, both ways
}

func (k *cuts) NetDialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	nc, err := k.dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	i := int(k.dials.Add(1)) - 1
	var read, write websockettest.Fault
	if i < len(k.after) {
		if k.puts {
			write = websockettest.Fault{After: k.after[i], Reset: true}
		} else {
			read = websockettest.Fault{After: k.after[i], Reset: true}
		}
	}
	return &counted{websockettest.NewFaultyConn(nc, read, write), &k.passed[min(i, 1)]}, nil
}

type counted struct {
	net.Conn
	n *atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.n.Add(int64(n))
	return n, err
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.n.Add(int64(n))
	return n, err
}

// In memory at most 1 MiB is on its way when a connection is cut.
func TestGoesOnWhereItStopped(t *testing.T) {
	const size, cut = 5 << 20, 3 << 20
	for _, tt := range []struct {
		name string
		puts bool
		lost int64 // of what had passed, at most
	}{
		{"put", true, 1<<20 + 2*fragment},
		{"get", false, 2 * fragment},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ln := websockettest.Listen()
			g := start(t, ln)
			k := &cuts{dial: ln.NetDialContext, after: []int64{cut}, puts: tt.puts}
			g.client.dialer.NetDialContext = k.NetDialContext
			p := noise(size)
			if tt.puts {
				require.NoError(t, g.client.put(g.context(), g.write(g.here, "a", p), "a"))
				g.requireOnly(g.there, "a", p)
			} else {
				g.write(g.there, "a", p)
				require.NoError(t, g.client.get(g.context(), "a", filepath.Join(g.here, "a")))
				g.requireOnly(g.here, "a", p)
			}
			require.LessOrEqual(t, k.passed[1].Load(), size-cut+tt.lost, "was sent again")
			require.Regexp(t, `trying again in \d+ms\na: going on from `, g.said.String())
			if !tt.puts { // or the server may take its time to notice that the connection was cut, and be busy until then
				require.EqualValues(t, 2, k.dials.Load())
			}
		})
	}
}

// Each connection brings some of it, and so no end of them is one too many.
func TestIsCutAgainAndAgain(t *testing.T) {
	t.Parallel()
	ln := websockettest.Listen()
	g := start(t, ln)
	k := &cuts{dial: ln.NetDialContext, after: []int64{9e5, 9e5, 9e5, 9e5, 9e5}}
	g.client.dialer.NetDialContext = k.NetDialContext
	p := noise(5 << 20)
	g.write(g.there, "a", p)
	require.NoError(t, g.client.get(g.context(), "a", filepath.Join(g.here, "a")))
	g.requireOnly(g.here, "a", p)
	require.EqualValues(t, 6, k.dials.Load())
}

func TestGivesUpWithoutProgress(t *testing.T) {
	t.Parallel()
	ln := websockettest.Listen()
	g := start(t, ln)
	k := &cuts{dial: ln.NetDialContext, after: []int64{50, 50, 50, 50}}
	g.client.dialer.NetDialContext = k.NetDialContext
	g.client.retries = 3
	g.write(g.there, "a", noise(1000))
	require.Error(t, g.client.get(g.context(), "a", filepath.Join(g.here, "a")))
	require.EqualValues(t, 4, k.dials.Load())
	require.Contains(t, g.said.String(), "trying again in 1ms\n")
	require.Contains(t, g.said.String(), "trying again in 4ms\n", "twice as long each time")
}

// What is there already is not sent; what is not a beginning of the file is not kept.
func TestWhatTheReceiverHas(t *testing.T) {
	const size = 2 << 20
	p := noise(size)
	other := bytes.Repeat([]byte("x"), size+10)
	for _, tt := range []struct {
		name        string
		part, whole []byte // nil is none
		most, least int64  // bytes that pass
	}{
		{"nothing", nil, nil, size + 5000, size},
		{"the beginning", p[:size-1000], nil, 5000, 1000},
		{"all of it, but not under its name yet", p, nil, 4000, 0},
		{"the whole file", nil, p, 4000, 0},
		{"another beginning", other[:size/2], nil, size + 5000, size},
		{"more than there is", other, nil, size + 5000, size},
		{"another whole file", nil, other, size + 5000, size},
		{"a whole file that is a beginning", nil, p[:size/2], size + 5000, size},
		{"an empty whole file", nil, []byte{}, size + 5000, size},
		{"the beginning, and another whole file", p[:size-1000], other, 5000, 1000},
	} {
		for _, way := range []string{"put", "get"} {
			t.Run(tt.name+"/"+way, func(t *testing.T) {
				t.Parallel()
				ln := websockettest.Listen()
				g := start(t, ln)
				k := &cuts{dial: ln.NetDialContext}
				g.client.dialer.NetDialContext = k.NetDialContext
				from, to := g.here, g.there
				if way == "get" {
					from, to = to, from
				}
				g.write(from, "a", p)
				if tt.part != nil {
					g.write(to, "a.part", tt.part)
				}
				if tt.whole != nil {
					g.write(to, "a", tt.whole)
				}
				if way == "put" {
					require.NoError(t, g.client.put(g.context(), filepath.Join(from, "a"), "a"))
				} else {
					require.NoError(t, g.client.get(g.context(), "a", filepath.Join(to, "a")))
				}
				g.requireOnly(to, "a", p)
				require.LessOrEqual(t, k.passed[0].Load(), tt.most)
				require.GreaterOrEqual(t, k.passed[0].Load(), tt.least)
			})
		}
	}
}

func TestEmptyFileReplacesAnother(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	g.write(g.there, "a", []byte("something"))
	require.NoError(t, g.client.put(g.context(), g.write(g.here, "a", nil), "a"))
	g.requireOnly(g.there, "a", []byte{})
}

func TestInterruptedGoesOnNextTime(t *testing.T) {
	t.Parallel()
	const size = 6 << 20
	ln := websockettest.Listen()
	g := start(t, ln)
	ctx, interrupt := context.WithCancel(t.Context())
	g.client.dialer.NetDialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := ln.NetDialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		slow := websockettest.NewFaultyConn(nc, websockettest.Fault{}, websockettest.Fault{After: size / 2, Stall: true})
		go func() {
			<-slow.Struck()
			interrupt()
			slow.SetWriteFault(websockettest.Fault{Chunk: 1 << 10, Delay: time.Millisecond}) // or all might be there before the farewell
		}()
		return slow, nil
	}
	source := g.write(g.here, "a", noise(size))
	err := g.client.put(ctx, source, "a")
	require.EqualError(t, err, "interrupted; the same command goes on from here")

	k := &cuts{dial: ln.NetDialContext}
	g.client.dialer.NetDialContext = k.NetDialContext
	require.NoError(t, g.client.put(g.context(), source, "a"))
	g.requireOnly(g.there, "a", noise(size))
	require.LessOrEqual(t, k.passed[0].Load()+k.passed[1].Load(), int64(size/2+2*fragment))
}

// dial opens a connection for a transfer that a test does by itself.
func (g *rig) dial(r request) *websocket.Conn {
	g.t.Helper()
	c, _, err := g.client.dialer.DialContext(g.t.Context(), g.client.url, nil)
	require.NoError(g.t, err)
	g.t.Cleanup(func() { c.Close() })
	require.NoError(g.t, c.SetReadDeadline(time.Now().Add(patience)))
	require.NoError(g.t, c.WriteJSON(r))
	return c
}

func TestServerRefuses(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	outside := g.write(t.TempDir(), "secret", []byte("secret"))
	require.NoError(t, os.Symlink(outside, filepath.Join(g.there, "link")))
	require.NoError(t, os.Symlink(filepath.Dir(outside), filepath.Join(g.there, "links")))
	require.NoError(t, os.Mkdir(filepath.Join(g.there, "directory"), 0o755))
	g.write(g.there, "a.part", []byte("half"))
	for _, tt := range []struct {
		op, name string
		code     int
	}{
		{"get", "../secret", codeRefused},
		{"get", "a/../../secret", codeRefused},
		{"get", "..", codeRefused},
		{"get", ".", codeRefused},
		{"get", "", codeRefused},
		{"get", outside, codeRefused},
		{"get", "/etc/passwd", codeRefused},
		{"get", `..\secret`, codeRefused},
		{"get", "a\x00b", codeRefused},
		{"get", "directory//x", codeRefused},
		{"get", "a.part", codeRefused},
		{"get", "a.PART", codeRefused},
		{"get", "a.part/x", codeRefused},
		{"get", "directory", codeRefused},
		{"get", "link", codeStorage},
		{"get", "links/secret", codeStorage},
		{"get", "none", codeNotFound},
		{"put", "../new", codeRefused},
		{"put", "/tmp/new", codeRefused},
		{"put", "new.part", codeRefused},
		{"put", "new.Part", codeRefused},
		{"put", "new.part/x", codeRefused}, // new would be refused ever after
		{"put", "deep/new.PART/x/y", codeRefused},
		{"put", "link", codeStorage},
		{"put", "links/secret", codeStorage},
		{"put", "directory", codeRefused},
		{"delete", "a", codeRefused},
	} {
		t.Run(tt.op+" "+tt.name, func(t *testing.T) {
			c := g.dial(request{tt.op, tt.name})
			_, _, err := c.ReadMessage()
			require.True(t, websocket.IsCloseError(err, tt.code), "%v", err)
			require.NotContains(t, err.Error(), g.there, "no business of the client's")
		})
	}
	p, err := os.ReadFile(outside)
	require.NoError(t, err)
	require.Equal(t, "secret", string(p))
	entries, err := os.ReadDir(filepath.Dir(outside))
	require.NoError(t, err)
	require.Len(t, entries, 1)
}

// The client gives up at once if another attempt would be of no use.
func TestClientHearsOfRefusal(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	g.client.retries = 1000
	g.client.pause = time.Hour
	err := g.client.get(g.context(), "none", filepath.Join(g.here, "a"))
	require.True(t, websocket.IsCloseError(err, codeNotFound), "%v", err)
	entries, err := os.ReadDir(g.here)
	require.NoError(t, err)
	require.Empty(t, entries, "nothing is left of a file that there is not")

	g.server.limit = 1000
	err = g.client.put(g.context(), g.write(g.here, "b", noise(1001)), "b")
	require.True(t, websocket.IsCloseError(err, codeTooLarge), "%v", err)

	g.client.url = strings.TrimSuffix(g.client.url, "files")
	err = g.client.get(g.context(), "none", filepath.Join(g.here, "a"))
	require.ErrorIs(t, err, websocket.ErrBadHandshake)
	require.ErrorContains(t, err, "404 Not Found: 404 page not found")

	addr := strings.TrimPrefix(g.client.url, "ws://")
	g.client.url = "ws://files.example.com/files"
	g.client.dialer.NetDialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, strings.TrimSuffix(addr, "/"))
	}
	require.ErrorContains(t, g.client.get(g.context(), "none", filepath.Join(g.here, "a")), "see its flag -host")
}

// Of two that send the same file the second is told to wait, and a client does.
func TestBusy(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	g.write(g.there, "a.part", []byte("he"))
	first := g.dial(request{"put", "a"})
	var has offer
	require.NoError(t, first.ReadJSON(&has))
	second := g.dial(request{"put", "a"})
	_, _, err := second.ReadMessage()
	require.True(t, websocket.IsCloseError(err, codeBusy), "%v", err)

	g.client.retries = 1e6
	done := make(chan error, 1)
	go func() { done <- g.client.put(g.context(), g.write(g.here, "a", []byte("hello")), "a") }()
	require.Eventually(t, func() bool { return strings.Contains(g.said.String(), "trying again in 4ms") }, patience, time.Millisecond)
	require.NoError(t, first.Close())
	require.NoError(t, <-done)
	g.requireOnly(g.there, "a", []byte("hello"))
}

// Two names may be one file, and what one puts there is not for the other to spoil.
func TestBusyByAnotherName(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	require.NoError(t, os.Mkdir(filepath.Join(g.there, "a"), 0o755))
	require.NoError(t, os.Symlink("a", filepath.Join(g.there, "b")))
	g.write(g.there, "a/f.part", []byte("he"))
	first := g.dial(request{"put", "a/f"})
	var has offer
	require.NoError(t, first.ReadJSON(&has))
	_, _, err := g.dial(request{"put", "b/f"}).ReadMessage()
	require.True(t, websocket.IsCloseError(err, codeBusy), "%v", err)
}

// Of two that fetch into one file the second keeps its hands off.
func TestTwoFetchIntoOneFile(t *testing.T) {
	t.Parallel()
	p := noise(100_000)
	sum := sha256.Sum256(p)
	began, goOn := make(chan struct{}, 1), make(chan struct{})
	hostile := serving(t, func(c *websocket.Conn) error {
		if err := c.WriteJSON(header{0, int64(len(p))}); err != nil {
			return err
		}
		w, err := c.NextWriter(websocket.BinaryMessage)
		if err != nil {
			return err
		}
		if _, err := w.Write(p[:50_000]); err != nil {
			return err
		}
		began <- struct{}{}
		<-goOn
		_, err = w.Write(p[50_000:])
		return errors.Join(err, w.Close(), c.WriteJSON(trailer{hex.EncodeToString(sum[:])}), c.ReadJSON(&receipt{}))
	})
	dir := t.TempDir()
	cl := client{url: hostile, out: io.Discard}
	file := filepath.Join(dir, "a")
	first := make(chan error, 1)
	go func() { first <- cl.get(t.Context(), "a", file) }()
	<-began
	require.Eventually(t, func() bool { // it is locked before it is written
		info, err := os.Stat(file + partial)
		return err == nil && info.Size() > 0
	}, patience, time.Millisecond)
	err := cl.get(t.Context(), "a", file)
	require.True(t, websocket.IsCloseError(err, codeBusy), "%v", err)
	close(goOn)
	require.NoError(t, <-first)
	got, err := os.ReadFile(file)
	require.NoError(t, err)
	require.True(t, bytes.Equal(p, got))
}

// What is saved is what was received, and nothing that has got its name.
func TestPartIsReplaced(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	c := g.dial(request{"put", "a"})
	var has offer
	require.NoError(t, c.ReadJSON(&has))
	require.NoError(t, c.WriteJSON(header{0, 5}))
	require.NoError(t, c.WriteMessage(websocket.BinaryMessage, []byte("hello")))
	part := filepath.Join(g.there, "a.part")
	require.Eventually(t, func() bool { p, _ := os.ReadFile(part); return string(p) == "hello" }, patience, time.Millisecond)
	require.NoError(t, os.Rename(part, filepath.Join(g.there, "taken")))
	g.write(g.there, "a.part", []byte("other"))
	sum := sha256.Sum256([]byte("hello"))
	require.NoError(t, c.WriteJSON(trailer{hex.EncodeToString(sum[:])}))
	_, _, err := c.ReadMessage()
	require.True(t, websocket.IsCloseError(err, codeStorage), "%v", err)
	_, err = os.Stat(filepath.Join(g.there, "a"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

// serving returns the URL of a server that reads a client's request and offer and then does
// what it likes.
func serving(t *testing.T, serve func(c *websocket.Conn) error) string {
	t.Helper()
	var upgrader websocket.Upgrader
	return websockettest.NewServer(t, upgrader.Handler(func(c *websocket.Conn, _ *http.Request) error {
		if err := errors.Join(c.ReadJSON(&request{}), c.ReadJSON(&offer{})); err != nil {
			return nil // it has given up
		}
		return serve(c)
	})).URL
}

func TestClientDoesNotBelieveTheSender(t *testing.T) {
	for _, tt := range []struct {
		name string
		send header
		body string
	}{
		{"more than a rest of nothing", header{5, 5}, "!"},
		{"more than nothing", header{0, 0}, "!"},
		{"more than the rest", header{5, 6}, "!!"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			url := serving(t, func(c *websocket.Conn) error {
				return errors.Join(c.WriteJSON(tt.send), c.WriteMessage(websocket.BinaryMessage, []byte(tt.body)), c.ReadJSON(&receipt{}))
			})
			file := filepath.Join(t.TempDir(), "a")
			require.NoError(t, os.WriteFile(file+partial, []byte("hello"), 0o644))
			cl := client{url: url, out: io.Discard, terminal: true}
			err := cl.get(t.Context(), "a", file)
			require.Error(t, err)
			p, err := os.ReadFile(file + partial)
			require.NoError(t, err)
			require.LessOrEqual(t, int64(len(p)), tt.send.Size)
			_, err = os.Stat(file)
			require.ErrorIs(t, err, os.ErrNotExist)
		})
	}
}

// The words of a server may not command the user's terminal.
func TestWordsOfTheServer(t *testing.T) {
	t.Parallel()
	url := serving(t, func(c *websocket.Conn) error {
		return &websocket.CloseError{Code: websocket.CloseInternalServerErr, Text: "oh\x1b[2J\nno"}
	})
	said := &record{}
	cl := client{url: url, out: said, retries: 1}
	require.Error(t, cl.get(t.Context(), "a", filepath.Join(t.TempDir(), "a")))
	require.Equal(t, "websocket: close 1011 (internal server error): oh [2J no; trying again in 0s\n", said.String())
}

// Nor may those of a client look like lines of the server's log. The log is everybody's, and so
// this test runs alone.
func TestWordsOfTheClient(t *testing.T) {
	logged := &record{}
	log.SetOutput(logged)
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
	g := start(t, nil)
	for r, code := range map[request]int{{"get\nforged", "a"}: codeRefused, {"get", "a\nforged"}: codeNotFound} {
		_, _, err := g.dial(r).ReadMessage()
		require.True(t, websocket.IsCloseError(err, code), "%v", err)
	}
	c := g.dial(request{"put", "a"})
	require.NoError(t, c.ReadJSON(&offer{}))
	require.NoError(t, c.Shutdown(t.Context(), websocket.CloseNormalClosure, "bye\nforged"))
	require.NoError(t, g.end())
	require.Regexp(t, `bye\\nforged`, logged.String())
	require.NotContains(t, logged.String(), "\nforged")
}

func TestServerDoesNotBelieveTheSender(t *testing.T) {
	t.Parallel()
	sumOf := func(p string) trailer {
		sum := sha256.Sum256([]byte(p))
		return trailer{hex.EncodeToString(sum[:])}
	}
	for _, tt := range []struct {
		name  string
		there string // a part of the file
		send  func(c *websocket.Conn) error
		code  int
		stays bool // the part does
	}{
		{"wrong checksum", "", func(c *websocket.Conn) error {
			return errors.Join(c.WriteJSON(header{0, 5}), c.WriteMessage(websocket.BinaryMessage, []byte("hello")), c.WriteJSON(sumOf("other")))
		}, codeChecksum, false},
		{"too short", "", func(c *websocket.Conn) error {
			return errors.Join(c.WriteJSON(header{0, 6}), c.WriteMessage(websocket.BinaryMessage, []byte("hello")))
		}, codeRefused, true},
		{"too long", "", func(c *websocket.Conn) error {
			return errors.Join(c.WriteJSON(header{0, 4}), c.WriteMessage(websocket.BinaryMessage, []byte("hello")))
		}, websocket.CloseMessageTooBig, true},
		{"text", "", func(c *websocket.Conn) error {
			return errors.Join(c.WriteJSON(header{0, 5}), c.WriteMessage(websocket.TextMessage, []byte("hello")))
		}, codeRefused, true},
		{"begins where nothing is", "he", func(c *websocket.Conn) error { return c.WriteJSON(header{3, 5}) }, codeRefused, true},
		{"negative size", "he", func(c *websocket.Conn) error { return c.WriteJSON(header{0, -1}) }, codeRefused, true},
		{"ends before it begins", "he", func(c *websocket.Conn) error { return c.WriteJSON(header{2, 1}) }, codeRefused, true},
		{"null", "he", func(c *websocket.Conn) error { return c.WriteMessage(websocket.TextMessage, []byte("null")) }, codeRefused, true},
		{"no offset", "he", func(c *websocket.Conn) error { return c.WriteMessage(websocket.TextMessage, []byte(`{"size":5}`)) }, codeRefused, true},
		{"no size", "he", func(c *websocket.Conn) error { return c.WriteMessage(websocket.TextMessage, []byte(`{"offset":0}`)) }, codeRefused, true},
		{"a byte of an empty file", "", func(c *websocket.Conn) error {
			return errors.Join(c.WriteJSON(header{0, 0}), c.WriteMessage(websocket.BinaryMessage, []byte("h")))
		}, codeRefused, true},
		{"no JSON", "he", func(c *websocket.Conn) error { return c.WriteMessage(websocket.TextMessage, []byte("?")) }, codeRefused, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := start(t, nil)
			g.write(g.there, "a.part", []byte(tt.there))
			c := g.dial(request{"put", "a"})
			var has offer
			require.NoError(t, c.ReadJSON(&has))
			require.EqualValues(t, len(tt.there), has.Offset)
			require.Equal(t, sumOf(tt.there).SHA256, has.SHA256)
			require.NoError(t, tt.send(c))
			_, _, err := c.ReadMessage()
			require.True(t, websocket.IsCloseError(err, tt.code), "%v", err)
			require.NoError(t, g.end())
			p, err := os.ReadFile(filepath.Join(g.there, "a.part"))
			require.Equal(t, tt.stays, err == nil)
			if tt.there != "" {
				require.Equal(t, tt.there, string(p))
			}
			_, err = os.Stat(filepath.Join(g.there, "a"))
			require.ErrorIs(t, err, os.ErrNotExist)
		})
	}
}

func TestServerEndsDuringATransfer(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	c := g.dial(request{"put", "a"})
	var has offer
	require.NoError(t, c.ReadJSON(&has))
	ended := make(chan error, 1)
	go func() { ended <- g.end() }()
	_, _, err := c.ReadMessage()
	require.True(t, websocket.IsCloseError(err, websocket.CloseGoingAway), "%v", err)
	require.NoError(t, <-ended)
}

// Browsers open connections ahead of any request, and http.Server.Shutdown waits for them. The
// WebSockets must not wait as well, and have no time left then.
func TestServerEndsWhileABrowserHoldsAConnection(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	end := g.end
	idle, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(g.client.url, "ws://"), "/files"))
	require.NoError(t, err)
	c := g.dial(request{"put", "a"})
	var has offer
	require.NoError(t, c.ReadJSON(&has))
	ended := make(chan error, 1)
	go func() { ended <- end() }()
	_, _, err = c.ReadMessage()
	require.True(t, websocket.IsCloseError(err, websocket.CloseGoingAway), "%v", err)
	require.NoError(t, idle.Close())
	require.NoError(t, <-ended)
}

// A page may have its own host resolve to this machine, and then it has the server's origin.
func TestHosts(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	g.server.hosts = []string{"files.example.com"}
	for host, status := range map[string]int{
		"":                       http.StatusSwitchingProtocols, // the address that was dialed
		"localhost:8080":         http.StatusSwitchingProtocols,
		"192.168.1.7:8080":       http.StatusSwitchingProtocols,
		"[::1]:8080":             http.StatusSwitchingProtocols,
		"[::1]":                  http.StatusSwitchingProtocols,
		"files.example.com":      http.StatusSwitchingProtocols,
		"Files.example.com:8080": http.StatusSwitchingProtocols,
		"evil.example:8080":      http.StatusForbidden,
		"files.example.com.evil": http.StatusForbidden,
		"1.2.3.4.evil.example":   http.StatusForbidden,
		"localhost.evil.example": http.StatusForbidden,
	} {
		header := http.Header{}
		if host != "" {
			header = http.Header{"Host": {host}, "Origin": {"http://" + host}}
		}
		c, resp, err := new(websocket.Dialer).DialContext(t.Context(), g.client.url, header)
		require.NotNil(t, resp, "%q: %v", host, err)
		require.Equal(t, status, resp.StatusCode, "%q", host)
		if err == nil {
			require.NoError(t, c.Close())
		}
	}
}

func TestProgramKnowsItsNames(t *testing.T) {
	t.Parallel()
	read, write := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, []string{"-addr", "127.0.0.1:0", "-host", "one.example", "-host", "TWO.example", "-dir", t.TempDir()}, write)
	}()
	said := make([]byte, 1000)
	n, err := read.Read(said)
	require.NoError(t, err)
	url := regexp.MustCompile(`ws://\S+/files`).FindString(string(said[:n]))
	for host, ok := range map[string]bool{"one.example": true, "two.example": true, "three.example": false} {
		c, _, err := new(websocket.Dialer).DialContext(t.Context(), url, http.Header{"Host": {host}})
		require.Equal(t, ok, err == nil, "%s: %v", host, err)
		if ok {
			require.NoError(t, c.Close())
		}
	}
	cancel()
	require.NoError(t, <-done)
}

// A sender that sends nothing is not waited for, though it answers pings.
func TestStalled(t *testing.T) {
	for name, sends := range map[string]func(c *websocket.Conn) error{
		"no header": func(c *websocket.Conn) error { return nil },
		"no body":   func(c *websocket.Conn) error { return c.WriteJSON(header{0, 5}) },
		"half a body": func(c *websocket.Conn) error {
			if err := c.WriteJSON(header{0, 3 * fragment}); err != nil {
				return err
			}
			w, err := c.NextWriter(websocket.BinaryMessage)
			if err != nil {
				return err
			}
			_, err = w.Write(make([]byte, 2*fragment))
			return err
		},
		"no checksum": func(c *websocket.Conn) error {
			return errors.Join(c.WriteJSON(header{0, 5}), c.WriteMessage(websocket.BinaryMessage, []byte("hello")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ln := websockettest.Listen()
				g := start(t, ln)
				g.client.dialer.NetDialContext = ln.NetDialContext
				c := g.dial(request{"put", "a"})
				require.NoError(t, c.SetReadDeadline(time.Time{}))
				require.NoError(t, c.ReadJSON(&offer{}))
				require.NoError(t, sends(c))
				_, _, err := c.ReadMessage()
				require.True(t, websocket.IsCloseError(err, codeStalled), "%v", err)
			})
		})
	}
}

// One that is slow is, as long as it sends.
func TestSlowSender(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := websockettest.Listen()
		g := start(t, ln)
		g.client.dialer.NetDialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			nc, err := ln.NetDialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return websockettest.NewFaultyConn(nc, websockettest.Fault{}, websockettest.Fault{Chunk: 16 << 10, Delay: 4 * time.Second}), nil
		}
		p := noise(40 * (16 << 10))
		began := time.Now()
		require.NoError(t, g.client.put(t.Context(), g.write(g.here, "a", p), "a"))
		require.Greater(t, time.Since(began), 2*stall)
		g.requireOnly(g.there, "a", p)
	})
}

// Whoever announces a request and does not send it is not waited for.
func TestHalfARequest(t *testing.T) {
	for name, request := range map[string]string{
		"half a header": "GET /files HTTP/1.1\r\nHost: ",
		"no body":       "GET /none HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ln := websockettest.Listen()
				start(t, ln)
				nc, err := ln.NetDialContext(t.Context(), "tcp", "")
				require.NoError(t, err)
				defer nc.Close()
				_, err = io.WriteString(nc, request)
				require.NoError(t, err)
				_, err = io.Copy(io.Discard, nc)
				require.NoError(t, err)
			})
		})
	}
}

// The size is that of the file which was opened, though another gets its name at any time.
func TestFileIsReplacedWhileItIsOpened(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	g.write(g.there, "a", nil)
	done := make(chan error, 1)
	go func() {
		for i := range 200 {
			b := filepath.Join(g.there, "b")
			if err := errors.Join(os.WriteFile(b, make([]byte, i), 0o644), os.Rename(b, filepath.Join(g.there, "a"))); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for {
		f, size, err := openFile(g.server.files, "a")
		require.NoError(t, err)
		p, err := io.ReadAll(f)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		require.Len(t, p, int(size))
		select {
		case err := <-done:
			require.NoError(t, err)
			return
		default:
		}
	}
}

func TestLine(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name       string
		done, size int64
		rate       float64
		want       string
	}{
		{"nothing yet", 0, 1 << 20, 0, "a   0% [........................] 0 B of 1.0 MiB, 0 B/s"},
		{"half", 512 << 10, 1 << 20, 1 << 16, "a  50% [############............] 512.0 KiB of 1.0 MiB, 64.0 KiB/s, 8s left"},
		{"not quite", 1<<30 - 1, 1 << 30, 1 << 30, "a  99% [#######################.] 1024.0 MiB of 1.0 GiB, 1.0 GiB/s, 0s left"},
		{"all", 5, 5, 5, "a 100% [########################] 5 B of 5 B, 5 B/s"},
		{"more than all", 6, 5, 5, "a 100% [########################] 6 B of 5 B, 5 B/s"},
		{"empty", 0, 0, 0, "a 100% [########################] 0 B of 0 B, 0 B/s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, line("a", tt.done, tt.size, tt.rate))
		})
	}
}

func TestBarOnATerminal(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	b := newBar(&out, "a", true)
	b.begin(2, 10)
	b.Write(make([]byte, 8))
	b.end(nil)
	require.Regexp(t, `^a: going on from 2 B\n\ra 100% \[#{24}\] 10 B of 10 B, .*/s\x1b\[K\r.*\x1b\[K\n$`, out.String())
	require.True(t, b.moved())
}
