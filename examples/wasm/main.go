//go:build !js

// Command wasm is the chat with a page in Go: it builds the page's program for js/wasm and
// serves it, in front of the server of examples/chat.
//
//	go run ./examples/wasm    serve on localhost:8080
//
// What the page does is in chat_js.go.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	addr := flag.String("addr", "localhost:8080", "serve on this `address`")
	chat := flag.String("chat", "", "`URL` of a running chat server; one is started if it is empty")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *addr, *chat); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "wasm:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, addr, chat string) error {
	target, err := url.Parse(chat)
	if err != nil || chat != "" && target.Host == "" {
		return fmt.Errorf("-chat %q is not the URL of a server, such as http://localhost:8081", chat)
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	defer ln.Close()
	p, err := build(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("chat.wasm has %.1f MB, compressed %.1f MB\n", megabytes(p.wasm), megabytes(p.compressed))
	if chat == "" {
		ctx, cancel := context.WithCancel(ctx)
		c, err := startChat(ctx, "localhost:0")
		if err != nil {
			cancel()
			return err
		}
		defer c.wait()
		defer cancel()
		if target, err = url.Parse(c.url); err != nil {
			return err
		}
	}
	fmt.Printf("open http://%v/ in two windows; Ctrl-C ends\n", ln.Addr())
	return serve(ctx, ln, p.handler(target))
}

func megabytes(b []byte) float64 { return float64(len(b)) / 1e6 }

// serve answers on ln until ctx ends. WebSockets end with the chat server.
func serve(ctx context.Context, ln net.Listener, h http.Handler) error {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
