// Command report judges the reports of the Autobahn testsuite.
//
//	go run ./autobahn/report [flags] DIR...
//
// A DIR holds an index.json, or directories servers and clients that do. The
// command prints how many cases of each section went well and lists all others,
// and fails unless every case has the best outcome there is for it.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/duplexkit/websocket/autobahn/internal/results"
)

func main() {
	ok, err := report(os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(2)
	case !ok:
		os.Exit(1)
	}
}

// report runs the command, and tells whether all is as demanded.
func report(args []string, stdout, stderr io.Writer) (ok bool, err error) {
	var demand results.Demand
	flags := flag.NewFlagSet("report", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintln(stderr, "usage: report [flags] DIR...")
		flags.PrintDefaults()
	}
	markdown := flags.String("markdown", "", "write the summary to this `file`, too")
	list(flags, "cases", "`patterns` of the cases that must be there in each role (default the suite's 517)", &demand.Cases,
		func(s string) (string, error) { return s, nil })
	list(flags, "every", "`patterns` of the cases that every agent must have (default those of -cases)", &demand.Every,
		func(s string) (string, error) { return s, nil })
	list(flags, "roles", "`roles` that must be there, of server and client (default both)", &demand.Roles, results.ParseRole)
	list(flags, "pending", "`sections` in which UNIMPLEMENTED will do, such as 12,13 for an endpoint with -compression=false", &demand.Pending, compression)
	if err := flags.Parse(args); err != nil {
		return false, err
	}
	if flags.NArg() == 0 {
		flags.Usage()
		return false, errors.New("no directory given")
	}
	for _, path := range flags.Args() {
		if strings.HasPrefix(path, "-") {
			flags.Usage()
			return false, fmt.Errorf("%s stands behind a directory: flags come first", path)
		}
	}

	var runs []results.Run
	for _, path := range flags.Args() {
		more, err := results.Load(path)
		if err != nil {
			return false, err
		}
		runs = append(runs, more...)
	}
	summary, err := results.Judge(runs, demand)
	if err != nil {
		return false, err
	}
	if err := summary.Text(stdout); err != nil {
		return false, err
	}
	if *markdown != "" {
		var b strings.Builder
		if err := summary.Markdown(&b); err != nil {
			return false, err
		}
		if err := os.WriteFile(*markdown, []byte(b.String()), 0o644); err != nil {
			return false, err
		}
	}
	return len(summary.Problems) == 0, nil
}

// compression parses the number of a section that is about compression.
func compression(text string) (int, error) {
	section, err := strconv.Atoi(text)
	if err == nil && !slices.Contains(results.Compression, section) {
		err = fmt.Errorf("%d is none of the sections about compression, %v", section, results.Compression)
	}
	return section, err
}

// list defines a flag that is a list with commas.
func list[T any](flags *flag.FlagSet, name, usage string, to *[]T, parse func(string) (T, error)) {
	flags.Func(name, usage, func(text string) error {
		*to = nil
		for item := range strings.SplitSeq(text, ",") {
			v, err := parse(strings.TrimSpace(item))
			if err != nil {
				return err
			}
			*to = append(*to, v)
		}
		return nil
	})
}
