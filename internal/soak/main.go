package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Exit statuses.
const (
	statusFailed    = 1
	statusUsage     = 2
	statusUndecided = 75 // as .ci/run understands it
)

func main() {
	playRole()
	o := options{bounds: bounds{end: 5 * time.Second}}
	flag.IntVar(&o.connections, "connections", 2000, "how many `connections` there are at once, a fifth of them attackers'")
	flag.DurationVar(&o.time, "time", time.Minute, "how long it takes, about: `1m`, or hours")
	flag.DurationVar(&o.interval, "interval", 5*time.Second, "how long an `interval` is")
	flag.Uint64Var(&o.seed, "seed", rand.Uint64()>>32, "what chance goes by: a `number`")
	flag.Float64Var(&o.drift, "drift", 0.05, "fail if heap, goroutines or descriptors drift by this `part`; 0 does not")
	flag.Float64Var(&o.latency, "latency", 2,
		"fail if the latency of good connections under attack is more than this `factor` of that without; 0 does not")
	flag.Parse()
	if flag.NArg() > 0 || o.interval < 100*time.Millisecond {
		flag.Usage()
		os.Exit(statusUsage)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second one ends the program at once
	v, err := run(ctx, os.Stdout, o)
	os.Exit(report(os.Stdout, v, err))
}

// report prints the verdict and returns the exit status.
func report(w io.Writer, v verdict, err error) int {
	for _, note := range v.notes {
		fmt.Fprintln(w, note)
	}
	if err != nil {
		v.fail("%v", err)
	}
	for _, reason := range v.failures {
		fmt.Fprintf(w, "FAILED: %s\n", reason)
	}
	for _, reason := range v.undecided {
		fmt.Fprintf(w, "UNDECIDED: %s\n", reason)
	}
	switch {
	case len(v.failures) > 0:
		return statusFailed
	case len(v.undecided) > 0:
		return statusUndecided
	}
	fmt.Fprintln(w, "ok")
	return 0
}
