// Command chat is a chat server: rooms, the last messages for those who join, and a
// page that connects again by itself and loses nothing meanwhile.
//
//	go run ./examples/chat    serve on localhost:8080
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
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills, as it does by default
	switch err := run(ctx, os.Args[1:], os.Stdout); {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "chat:", err)
		os.Exit(1)
	}
}

// run is the program, until ctx ends.
func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("chat", flag.ContinueOnError)
	flags.SetOutput(out)
	addr := flags.String("addr", "localhost:8080", "serve on this `address`")
	history := flags.Int("history", 100, "messages that a room keeps for those who join, at most")
	pause := flags.Duration("pause", 200*time.Millisecond, "time between messages of one person, after the first few; 0 is none")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("what is %q? there are only flags, see -help", flags.Arg(0))
	case *history < 0 || *pause < 0:
		return errors.New("no flag may be negative")
	}
	ln, err := net.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "open http://%v/ in two windows; Ctrl-C ends\n", ln.Addr())
	return newServer(*history, *pause).serve(ctx, ln)
}
