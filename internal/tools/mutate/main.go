// Command mutate says how much the tests of the root package notice: it changes
// one small thing after another in the files that hold the rules and the codec,
// runs the tests against each of these mutants, and reports the ones that no test
// notices. From the root of the repository:
//
//	nice -n 10 go -C internal/tools run ./mutate
//	go -C internal/tools run ./mutate -file frame.go
//
// The first takes about half an hour on two busy cores and writes REPORT.md; the second
// prints the report of one file, with -own in a minute or two. The exit status is 1 if a file has less than 90 %
// of its mutants killed.
//
// mutants.go finds the mutants, schemata.go puts all of them into one program, run.go
// runs it, and report.go joins the survivors with the reasons of accepted.txt.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
)

// target is a file whose mutants are tried.
type target struct {
	file    string
	tests   string   // the file of its own tests, which run first
	first   string   // matches those of its own tests that run before the others, "" is all
	leftOut []string // functions and package-level names that are not changed
}

var targets = []target{
	{file: "frame.go", tests: "frame_test.go"},
	{file: "protocol.go", tests: "protocol_test.go"},
	{file: "handshake.go", tests: "handshake_test.go"},
	{file: "util.go", tests: "util_test.go"},
	{file: "close.go", tests: "close_test.go"},
	// The negotiation; how messages are then compressed is left out.
	{file: "compress.go", tests: "compress_test.go", first: "Offer|Answer|Terms|Negotiat|Window|Threshold", leftOut: []string{
		"deflater.luckOf", "deflater.enabled", "deflater.wants", "deflater.effort", "luck.skips", "luck.tried",
		"deflater.message", "borrowFor", "deflater.begins", "deflater.first", "deflater.piece", "deflater.form",
		"form.message", "deflater.sent", "deflater.forget", "deflater.note",
		"inflater.begin", "inflater.end", "inflater.commit", "inflater.endFragment", "inflater.forget", "inflater.drop",
		"inflater.expand", "protocolErrorOf", "usage.note", "usage.since",
		"sizeClasses", "fewMisses", "maxDoublings", "fewMessages", "errCorruptDeflate", "errEmptyBlocks", "deflateTail",
	}},
}

// skipped matches tests that are not run, because they measure: with mutants beside it a
// function is not inlined, which costs an allocation and some stack.
const skipped = "^(TestUpgradeConnAllocations|TestJudgeAllocations|TestServeWaitsOnASmallStack)$"

func main() {
	dir := flag.String("dir", "../..", "`directory` of the package")
	only := flag.String("file", "", "try this `file` alone and print the report")
	report := flag.String("report", "mutate/REPORT.md", "`file` of the report")
	accepted := flag.String("accepted", "mutate/accepted.txt", "`file` of the reasons")
	least := flag.Float64("least", 90, "`percentage` of a file's mutants that have to be killed")
	workers := flag.Int("workers", 2, "`number` of mutants that are run at a time against the tests of their file")
	waiting := flag.Int("waiting", 6, "`number` of mutants that are run at a time against all tests, which wait more than they work")
	own := flag.Bool("own", false, "run no other tests than those of the mutant's file, which is fast; mutants that others notice survive")
	verbose := flag.Bool("v", false, "print each mutant's fate")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	r := &runner{dir: *dir, workers: *workers, waiting: *waiting, own: *own, skip: skipped, log: io.Discard}
	if *verbose {
		r.log = os.Stderr
	}
	good, err := mutate(ctx, r, *only, *report, *accepted, *least)
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(2)
	}
	if !good {
		os.Exit(1)
	}
}

func mutate(ctx context.Context, r *runner, only, report, accepted string, least float64) (good bool, err error) {
	if r.dir, err = filepath.Abs(r.dir); err != nil {
		return false, err
	}
	file, err := os.Open(accepted)
	if err != nil {
		return false, err
	}
	defer file.Close()
	reasons, err := readReasons(file)
	if err != nil {
		return false, err
	}
	tried := targets
	if only != "" {
		tried = slices.DeleteFunc(slices.Clone(tried), func(t target) bool { return t.file != only })
		if len(tried) == 0 {
			return false, fmt.Errorf("%s is not one of the files", only)
		}
		reasons.keepFile(only)
	}
	if r.work, err = os.MkdirTemp("", "mutate"); err != nil {
		return false, err
	}
	defer os.RemoveAll(r.work)
	results, err := r.run(ctx, tried)
	if err != nil {
		return false, err
	}
	text, good := makeReport(tried, results, reasons, least)
	if only != "" {
		_, err = os.Stdout.WriteString(text)
		return good, err
	}
	return good, os.WriteFile(report, []byte(text), 0o644)
}
