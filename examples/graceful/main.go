// Command graceful is a server that ends without losing anything: on SIGTERM or Ctrl-C it
// takes no new connections, tells every client to go elsewhere, lets handlers finish what
// they are at, and exits with 0. A second signal ends it at once.
//
//	go run ./examples/graceful                serve on localhost:8080
//	go run ./examples/graceful -clients 3     be three clients of that, and say what they see
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second signal does what it does by default: it kills
	switch err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "graceful:", err)
		os.Exit(1)
	}
}

// run is the program; when ctx ends it comes to its end.
func run(ctx context.Context, args []string, out, errOut io.Writer) error {
	flags := flag.NewFlagSet("graceful", flag.ContinueOnError)
	flags.SetOutput(errOut)
	addr := flags.String("addr", "localhost:8080", "serve on this `address`")
	unready := flags.Duration("unready", 0, "how long /readyz says no before connections are refused")
	drain := flags.Duration("drain", 20*time.Second, "how long handlers at work may take after that, at most")
	clients := flags.Int("clients", 0, "be this many clients instead")
	url := flags.String("url", "http://localhost:8080", "-clients: the server")
	work := flags.Duration("work", 2*time.Second, "-clients: how long a job takes")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("what is %q? there are only flags, see -help", flags.Arg(0))
	}
	if *clients < 0 || *unready < 0 || *drain < 0 || *work < 0 {
		return errors.New("no flag may be negative")
	}
	if *clients > 0 {
		return runClients(ctx, *url, *clients, *work, out)
	}

	ln, err := net.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "process %d serves ws://%v/ws and http://%[2]v/readyz; Ctrl-C or kill %[1]d ends it\n", os.Getpid(), ln.Addr())
	s := newServer(*unready, *drain)
	s.log = log.New(out, "", log.Ltime|log.Lmicroseconds)
	return s.serve(ctx, ln)
}
