// Command broadcast sends a ticker to thousands of connections, none of which has a
// goroutine while it is idle, and prints every second how that goes. It is its own load
// too: it opens thousands of connections to such a server and prints what they get.
//
//	go run ./examples/broadcast                serve on localhost:8080
//	go run ./examples/broadcast -load 5000     be 5000 clients of that
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
	"strings"
	"syscall"
	"time"

	"github.com/duplexkit/websocket"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills, as it does by default
	switch err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "broadcast:", err)
		os.Exit(1)
	}
}

// run is the program, until ctx ends.
func run(ctx context.Context, args []string, out, errOut io.Writer) error {
	flags := flag.NewFlagSet("broadcast", flag.ContinueOnError)
	flags.SetOutput(errOut)
	addr := flags.String("addr", "localhost:8080", "serve on this `address`")
	rate := flags.Float64("rate", 10, "broadcasts per second")
	size := flags.Int("size", 500, "about how many bytes a message has")
	queue := flags.Int("queue", 64<<10, "bytes that may wait for one connection")
	slow := flags.String("slow", "drop", "what happens to a connection that reads too slowly: drop, it misses messages, or close")
	compress := flags.Bool("compress", true, "compress messages; a client: offer to")
	clients := flags.Int("load", 0, "be this many clients instead")
	urls := flags.String("url", "ws://localhost:8080/ws", "-load: the server; several URLs, separated by commas, take turns")
	length := flags.Duration("for", 0, "-load: end after this time; 0 is at Ctrl-C")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("what is %q? there are only flags, see -help", flags.Arg(0))
	case !(*rate > 0 && *rate <= 1000):
		return errors.New("-rate has to be more than 0, and 1000 at most")
	case *size < 1 || *size > *queue:
		return errors.New("-size has to be at least 1, and no more than -queue: a larger message would reach nobody")
	case *slow != "drop" && *slow != "close":
		return errors.New("-slow has to be drop or close")
	case *clients < 0:
		return errors.New("-load must not be negative")
	}
	opts := websocket.Options{}
	if *compress {
		opts.Compression = &websocket.Compression{}
	}
	if *clients > 0 {
		if *length > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, *length)
			defer cancel()
		}
		return newLoad(strings.Split(*urls, ","), *clients, opts).run(ctx, out)
	}

	opts.WriteQueue = *queue
	if *slow == "close" {
		opts.SlowConsumer = websocket.CloseSlow
	}
	ln, err := net.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	s := newServer(opts, time.Duration(float64(time.Second) / *rate), *size)
	fmt.Fprintf(out, "dial ws://%v/ws; Ctrl-C ends\n", ln.Addr())
	if limit, ok := fileLimit(); ok {
		fmt.Fprintf(out, "%d open files allowed (ulimit -n): each connection is one\n", limit)
	}
	return s.serve(ctx, ln, out)
}
