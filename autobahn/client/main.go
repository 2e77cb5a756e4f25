// Command client is the client that the Autobahn testsuite tests. It plays all
// cases that the suite's server has and asks it to write the reports.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/duplexkit/websocket/autobahn/internal/endpoint"
)

func main() {
	client := endpoint.Client{Config: endpoint.Default, Log: log.New(os.Stderr, "client: ", 0)}
	client.Flags(flag.CommandLine)
	flag.StringVar(&client.URL, "url", "ws://127.0.0.1:9001", "`URL` of the suite's server")
	flag.StringVar(&client.Agent, "agent", "duplexkit-websocket", "`name` in the reports")
	flag.DurationVar(&client.Wait, "wait", 0, "try the first connection for this `long`, while the server starts")
	flag.Parse()
	if err := endpoint.NoArguments(flag.CommandLine); err != nil {
		fmt.Fprintln(os.Stderr, "client:", err)
		flag.Usage()
		os.Exit(2)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := client.Run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "client:", err)
		os.Exit(1)
	}
}
