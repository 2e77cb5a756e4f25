// Command jsonrpc is JSON-RPC 2.0 over WebSockets: a server, and a client that calls its
// methods.
//
//	go run ./examples/jsonrpc                        serve on localhost:8080
//	go run ./examples/jsonrpc demo                   concurrent calls, errors, a call the other way
//	go run ./examples/jsonrpc call add '[1, 2]'      one call
//	go run ./examples/jsonrpc watch                  print notifications of the server
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills, as it does by default
	switch err := run(ctx, os.Args[1:], os.Stdout); {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "jsonrpc:", err)
		os.Exit(1)
	}
}

const usage = `usage: jsonrpc [-addr ADDRESS]                        serve
       jsonrpc [-dial URL] demo
       jsonrpc [-dial URL] call METHOD [PARAMS]       PARAMS are JSON
       jsonrpc [-dial URL] watch
`

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("jsonrpc", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.Usage = func() {
		fmt.Fprint(out, usage)
		flags.PrintDefaults()
	}
	addr := flags.String("addr", "localhost:8080", "serve on this `address`")
	dial := flags.String("dial", "ws://localhost:8080/rpc", "the server's `URL`, for clients")
	if err := flags.Parse(args); err != nil {
		return err
	}
	out = &locked{w: out}
	n := flags.NArg()
	switch command := flags.Arg(0); {
	case n == 0:
		ln, err := net.Listen("tcp", *addr)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "dial ws://%v/rpc; Ctrl-C ends\n", ln.Addr())
		return new(server).serve(ctx, ln)
	case command == "demo" && n == 1:
		return demo(ctx, *dial, out)
	case command == "watch" && n == 1:
		return watch(ctx, *dial, out)
	case command == "call" && (n == 2 || n == 3):
		return call(ctx, *dial, flags.Arg(1), flags.Arg(2), out)
	}
	flags.Usage()
	if flags.Arg(0) == "call" {
		return errors.New("call takes a method, and perhaps its parameters in JSON")
	}
	return fmt.Errorf("%q is no such command", flags.Args())
}
