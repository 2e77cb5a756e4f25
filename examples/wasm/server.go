//go:build !js

package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"embed"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

//go:embed page
var files embed.FS

// program is the page's program, and what the Go distribution has to run it.
type program struct {
	wasm, compressed []byte // the latter by gzip
	exec             []byte // wasm_exec.js
}

const module = "github.com/duplexkit/websocket"

// build builds the program with the go command, in the directory of this module.
func build(ctx context.Context) (*program, error) {
	dir, err := os.MkdirTemp("", "websocket-wasm-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "chat.wasm")
	// -s and -w leave out what is for debuggers.
	if _, err := goCommand(ctx, []string{"GOOS=js", "GOARCH=wasm"}, "build", "-trimpath", "-ldflags=-s -w", "-o", file, module+"/examples/wasm"); err != nil {
		return nil, err
	}
	var p program
	if p.wasm, err = os.ReadFile(file); err != nil {
		return nil, err
	}
	root, err := goCommand(ctx, nil, "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	// It has to be of the same version as the compiler.
	if p.exec, err = os.ReadFile(filepath.Join(strings.TrimSpace(root), "lib", "wasm", "wasm_exec.js")); err != nil {
		return nil, err
	}
	var compressed bytes.Buffer
	w := gzip.NewWriter(&compressed)
	if _, err := w.Write(p.wasm); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	p.compressed = compressed.Bytes()
	return &p, nil
}

// goCommand runs the go command with these variables.
func goCommand(ctx context.Context, env []string, args ...string) (out string, err error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), env...)
	var said bytes.Buffer
	cmd.Stderr = &said
	p, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, said.Bytes())
	}
	return string(p), nil
}

// A chatServer is a process with the server of examples/chat.
type chatServer struct {
	url  string // http://127.0.0.1:54321/
	done chan struct{}
}

// startChat builds and starts one on addr. It ends with ctx.
func startChat(ctx context.Context, addr string) (*chatServer, error) {
	dir, err := os.MkdirTemp("", "websocket-wasm-")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "chat")
	if runtime.GOOS == "windows" {
		file += ".exe"
	}
	cmd := exec.CommandContext(ctx, file, "-addr", addr)
	cmd.Cancel = func() error {
		if err := cmd.Process.Signal(os.Interrupt); err != nil { // on Windows
			return cmd.Process.Kill()
		}
		return nil
	}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		_, err = goCommand(ctx, nil, "build", "-o", file, module+"/examples/chat")
	}
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	c := &chatServer{done: make(chan struct{})}
	r := bufio.NewReader(out)
	line, readErr := r.ReadString('\n')
	go func() {
		defer close(c.done)
		defer os.RemoveAll(dir)
		_, _ = io.Copy(io.Discard, r) // until it has ended
		_ = cmd.Wait()                // it was told to
	}()
	// It says: open http://127.0.0.1:54321/ in two windows; Ctrl-C ends
	if words := strings.Fields(line); len(words) > 1 && readErr == nil {
		c.url = words[1]
		return c, nil
	}
	_ = cmd.Process.Kill() // it may have ended
	c.wait()
	return nil, fmt.Errorf("the chat server has not started: it said %q", line)
}

// wait waits until the process has ended.
func (c *chatServer) wait() { <-c.done }

// handler serves the page, and passes WebSockets on to the chat server.
func (p *program) handler(chat *url.URL) http.Handler {
	page, err := fs.Sub(files, "page")
	if err != nil {
		panic(err) // it is embedded
	}
	static := http.FileServerFS(page)
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		// Names and messages are put in the page as text. Should that be forgotten
		// somewhere some day, a script in them does not run. The Go program does: it is
		// compiled by the browser, and needs a word of its own for that.
		w.Header().Set("Content-Security-Policy", "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; img-src data:")
		static.ServeHTTP(w, r)
	})
	mux.HandleFunc("/wasm_exec.js", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
		_, _ = w.Write(p.exec) // an error is the browser's
	})
	mux.HandleFunc("/chat.wasm", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/wasm") // or it would not be compiled while it comes
		w.Header().Set("Vary", "Accept-Encoding")
		body := p.wasm
		if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			w.Header().Set("Content-Encoding", "gzip")
			body = p.compressed
		}
		_, _ = w.Write(body) // as above
	})
	// The Host stays that of the browser: the chat server compares it with the Origin.
	mux.Handle("/ws", &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(chat)
		r.Out.Host = r.In.Host
		r.SetXForwarded()
	}})
	return mux
}
