// Command echo is a WebSocket server that sends every message back, with a
// page to try it from, and a client for it.
//
//	go run ./examples/echo                                 serve on localhost:8080
//	go run ./examples/echo -dial ws://localhost:8080/ws    send lines of standard input, print the replies
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	addr := flag.String("addr", "localhost:8080", "serve on this `address`")
	dial := flag.String("dial", "", "be a client of this `URL` instead")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills, as it does by default
	var err error
	if *dial != "" {
		err = runClient(ctx, *dial, os.Stdin, os.Stdout)
	} else {
		err = listenAndServe(ctx, *addr)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "echo:", err)
		os.Exit(1)
	}
}

func listenAndServe(ctx context.Context, addr string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Printf("open http://%v/ or dial ws://%[1]v/ws; Ctrl-C ends\n", ln.Addr())
	return new(server).serve(ctx, ln)
}
