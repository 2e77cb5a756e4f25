// Command filetransfer sends files of any size over WebSockets, both ways, and goes on
// where it stopped when a connection was cut.
//
//	go run ./examples/filetransfer -dir shared            serve the files of a directory
//	go run ./examples/filetransfer put big.iso            send a file to the server
//	go run ./examples/filetransfer get big.iso            fetch a file from it
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
	"path/filepath"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills, as it does by default
	switch err := run(ctx, os.Args[1:], os.Stderr); {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "filetransfer:", printable(err))
		os.Exit(1)
	}
}

const usage = `usage: filetransfer [-addr ADDRESS] [-host NAME] [-dir DIRECTORY] [-max BYTES]    serve
       filetransfer [-dial URL] [-retries N] put FILE [NAME]      send FILE, as NAME
       filetransfer [-dial URL] [-retries N] get NAME [FILE]      fetch NAME, into FILE
`

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("filetransfer", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.Usage = func() {
		fmt.Fprint(out, usage)
		flags.PrintDefaults()
	}
	addr := flags.String("addr", "localhost:8080", "serve on this `address`")
	dir := flags.String("dir", ".", "serve the files of this `directory`")
	limit := flags.Int64("max", 0, "largest file that the server takes, in `bytes`; 0 is no limit")
	var hosts []string
	flags.Func("host", "a `name` by which clients may call the server, besides localhost, IP addresses and that of -addr; may be repeated", func(s string) error {
		hosts = append(hosts, strings.ToLower(s))
		return nil
	})
	dial := flags.String("dial", "ws://localhost:8080/files", "the server's `URL`, for put and get")
	retries := flags.Int("retries", 10, "how many attempts in a row may fail without a byte transferred")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() == 0 {
		if host, _, err := net.SplitHostPort(*addr); err == nil {
			hosts = append(hosts, strings.ToLower(host))
		}
		return listenAndServe(ctx, *addr, *dir, &server{limit: *limit, hosts: hosts}, out)
	}

	from, to := flags.Arg(1), flags.Arg(2)
	if from == "" || flags.NArg() > 3 {
		flags.Usage()
		return errors.New("put and get take the name of a file, and perhaps another for the copy")
	}
	cl := client{url: *dial, retries: *retries, pause: firstPause, out: out, terminal: isTerminal(out)}
	switch flags.Arg(0) {
	case "put":
		if to == "" {
			to = filepath.Base(from)
		}
		return cl.put(ctx, from, filepath.ToSlash(to))
	case "get":
		if to == "" {
			to = filepath.Base(from)
		}
		return cl.get(ctx, filepath.ToSlash(from), to)
	}
	flags.Usage()
	return fmt.Errorf("%q is neither put nor get", flags.Arg(0))
}

func listenAndServe(ctx context.Context, addr, dir string, s *server, out io.Writer) error {
	files, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer files.Close()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "serving %s on ws://%v/files; Ctrl-C ends\n", dir, ln.Addr())
	s.files = files
	return s.serve(ctx, ln)
}
