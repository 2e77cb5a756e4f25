// Command proxy is a reverse proxy for WebSockets, which it takes apart into messages and
// puts together again, and for the pages beside them.
//
//	go run ./examples/echo -addr localhost:8081                  a backend
//	go run ./examples/proxy -backend http://localhost:8081       the proxy, on localhost:8080
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
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills, as it does by default
	switch err := run(ctx, os.Args[1:], os.Stderr); {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "proxy:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("proxy", flag.ContinueOnError)
	flags.SetOutput(out)
	addr := flags.String("addr", "localhost:8080", "serve on this `address`")
	backend := flags.String("backend", "http://localhost:8081", "the `URL` of the backend; a path in it goes before that of the request")
	var cfg config
	flags.Func("origin", "an `origin` whose pages may open WebSockets, such as https://example.com; may be repeated. With none the backend decides",
		func(s string) error {
			cfg.origins = append(cfg.origins, strings.TrimSuffix(strings.ToLower(s), "/"))
			return nil
		})
	flags.BoolVar(&cfg.compress, "compress", true, "agree to compression with clients and offer it to the backend, each by itself")
	flags.BoolVar(&cfg.trust, "trust", false, "believe X-Forwarded-... of the request, since another proxy stands before this one")
	flags.DurationVar(&cfg.stall, "stall", time.Minute, "how long an end may read nothing while something is there for it, and nothing of an upload come")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 0 {
		flags.Usage()
		return fmt.Errorf("%q is not a flag", flags.Arg(0))
	}
	if cfg.stall <= 0 {
		return errors.New("-stall has to be more than 0")
	}
	p, err := newProxy(*backend, cfg)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "http://%v/ is %s; Ctrl-C ends\n", ln.Addr(), p.backend.Redacted())
	return p.serve(ctx, ln)
}
