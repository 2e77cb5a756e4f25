// Command auth is a server whose WebSockets are for those who have logged in: a page with a
// session in a cookie, and programs with a bearer token.
//
//	go run ./examples/auth                                      serve on localhost:8080
//	TOKEN=... go run ./examples/auth -dial ws://localhost:8080/ws    be such a program
package main

import (
	"context"
	"crypto/rand"
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
	switch err := run(ctx, os.Args[1:], os.Getenv("TOKEN"), os.Stdin, os.Stdout); {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "auth:", err)
		os.Exit(1)
	}
}

// run is the program. The token is not a flag, since everybody on a computer sees those.
func run(ctx context.Context, args []string, token string, in io.Reader, out io.Writer) error {
	flags := flag.NewFlagSet("auth", flag.ContinueOnError)
	flags.SetOutput(out)
	addr := flags.String("addr", "localhost:8080", "serve on this `address`")
	dial := flags.String("dial", "", "be a client of this `URL` instead, with the token in the environment variable TOKEN")
	cfg := config{user: "ann"}
	flags.StringVar(&cfg.password, "password", "", "the `password` of the user ann; one is made up if it is empty")
	flags.DurationVar(&cfg.session, "session", 30*time.Minute, "how long a session lasts")
	flags.DurationVar(&cfg.token, "token", 10*time.Minute, "how long a token lasts")
	flags.BoolVar(&cfg.secure, "secure", false, "browsers come over https, by a proxy: send the cookie over that only")
	flags.Func("origin", "a further `origin` whose pages may open WebSockets, such as https://*.example.com; may be repeated",
		func(s string) error {
			cfg.origins = append(cfg.origins, s)
			return nil
		})
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case flags.NArg() != 0:
		flags.Usage()
		return fmt.Errorf("%q is not a flag", flags.Arg(0))
	case *dial != "":
		return runClient(ctx, *dial, strings.TrimSpace(token), in, out)
	case cfg.password == "":
		cfg.password = rand.Text()[:12]
	}
	ln, err := net.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "open http://%v/ and log in as %s with the password %s; Ctrl-C ends\n", ln.Addr(), cfg.user, cfg.password)
	return newServer(cfg).serve(ctx, ln)
}
