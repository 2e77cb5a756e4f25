// Command server is the server that the Autobahn testsuite tests. It echoes
// every message; its first line tells its address, once it listens.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/duplexkit/websocket/autobahn/internal/endpoint"
)

func main() {
	config := endpoint.Default
	config.Flags(flag.CommandLine)
	addr := flag.String("addr", "127.0.0.1:9001", "listen on this `address`")
	flag.Parse()
	if err := endpoint.NoArguments(flag.CommandLine); err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
		flag.Usage()
		os.Exit(2)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, config, *addr); err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
		os.Exit(1)
	}
}

func serve(ctx context.Context, config endpoint.Config, addr string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Printf("ws://%v\n", ln.Addr())
	return config.Serve(ctx, ln)
}
