// Command http2 is one server whose WebSockets come over HTTP/1.1, HTTP/2 and HTTP/3, a
// page that shows which protocol carries each, and a client that opens one of each kind.
//
//	go run .                          serve on https://localhost:8443
//	go run . -dial localhost:8443     open three WebSockets, and keep them for a while
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	addr := flag.String("addr", "localhost:8443", "serve on this `address`, TCP and UDP")
	dial := flag.String("dial", "", "be a client of the server at this `address` instead")
	stay := flag.Duration("stay", time.Minute, "how long the client stays")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills, as it does by default
	var err error
	if *dial != "" {
		err = runClient(ctx, *dial, *stay, os.Stdout)
	} else {
		err = listenAndServe(ctx, *addr, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "http2:", err)
		os.Exit(1)
	}
}
