// Command wscat is a WebSocket client for people and scripts, and a server to try clients
// against.
//
//	wscat wss://example.com/ws                  talk to a server, line by line
//	echo hello | wscat ws://localhost:8080      in a script
//	wscat listen localhost:8080                 an echo server
//
// wscat -help teaches the rest.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Exit codes. The help tells scripts what they mean.
const (
	exitOK      = 0
	exitUsage   = 1 // also files, standard input and output that fail
	exitConnect = 2
	exitRefused = 3
	exitClosed  = 4
	exitLost    = 5
	exitTimeout = 6
	exitUnmet   = 7
	exitSignal  = 128 // and the number of the signal
)

// A failure is an error that decides how the program exits.
type failure struct {
	code int
	err  error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func failf(code int, format string, args ...any) error {
	return &failure{code, fmt.Errorf(format, args...)}
}

// An interruption is the cause of a context that a signal has ended.
type interruption struct{ signal os.Signal }

func (i interruption) Error() string { return i.signal.String() }

func main() {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		s := <-signals
		signal.Stop(signals) // a second one does not wait for the peer
		cancel(interruption{s})
	}()
	// Whoever reads our output may leave early, as head does; the peer is to get its
	// close frame nevertheless.
	ignoreBrokenPipes()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the program. It returns the exit code. When ctx ends it takes leave of the peer.
// It closes stdin if that can be closed, so that nobody goes on reading it.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if closer, ok := stdin.(io.Closer); ok {
		defer closer.Close()
	}
	o, err := parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		_, err = io.WriteString(stdout, help)
	case err != nil:
		fmt.Fprintf(stderr, "wscat: %v\nwscat -help tells more.\n", err)
		return exitUsage
	case o.version:
		_, err = fmt.Fprintln(stdout, version())
	case o.listen:
		err = listen(ctx, o, stdin, stdout, stderr)
	default:
		err = connect(ctx, o, stdin, stdout, stderr)
	}
	if err == nil {
		return exitOK
	}
	var stopped interruption
	if errors.As(err, &stopped) {
		return exitSignal + signalNumber(stopped.signal)
	}
	fmt.Fprintln(stderr, "wscat:", err)
	var f *failure
	if errors.As(err, &f) {
		return f.code
	}
	return exitUsage
}
