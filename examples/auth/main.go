// Command auth is a server whose WebSockets are for those who have logged in: a page with a
// session in a cookie, and programs with a bearer token.
//
//	go run ./examples/auth                                           serve on localhost:8080
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
	switch err := run(ctx, os.Args[1:], os.Getenv, os.Stdin, os.Stdout); {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "auth:", err)
		os.Exit(1)
	}
}

// run is the program. The password and the token are no flags, since everybody on a computer
// sees those.
func run(ctx context.Context, args []string, env func(string) string, in io.Reader, out io.Writer) error {
	flags := flag.NewFlagSet("auth", flag.ContinueOnError)
	flags.SetOutput(out)
	addr := flags.String("addr", "localhost:8080", "serve on this `address`; the password of the user ann is in the environment variable PASSWORD, and made up if that is empty")
	dial := flags.String("dial", "", "be a client of this `URL` instead, with the token in the environment variable TOKEN")
	cfg := config{user: "ann", password: env("PASSWORD")}
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
		return runClient(ctx, *dial, strings.TrimSpace(env("TOKEN")), in, out)
	}
	told := "the password in PASSWORD"
	if cfg.password == "" {
		cfg.password = rand.Text()[:12]
		told = "the password " + cfg.password
	}
	ln, err := net.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "open http://%v/ and log in as %s with %s; Ctrl-C ends\n", ln.Addr(), cfg.user, told)
	return newServer(cfg).serve(ctx, ln)
}
