//go:build linux

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
)

// options are the program's flags.
type options struct {
	scenarios string
	only      string
	rounds    int
	time      time.Duration
	all       bool
	quick     bool
	idle      int
	cell      string
}

func main() {
	measured()
	log.SetFlags(log.Ltime)
	var o options
	flag.StringVar(&o.scenarios, "scenario", "", "what to measure, separated by commas: "+strings.Join(scenarioNames(), ", "))
	flag.StringVar(&o.only, "only", "", "what rows, by their names or parts of them: duplexkit, serve, gws")
	flag.IntVar(&o.rounds, "rounds", 10, "how often each row has its turn")
	flag.DurationVar(&o.time, "time", 200*time.Millisecond, "how long a turn is")
	flag.StringVar(&o.cell, "cell", "", "a regular expression: only cells with such names")
	flag.IntVar(&o.idle, "idle", 10000, "how many connections are idle")
	flag.BoolVar(&o.all, "all", false, "all sizes with all numbers of connections")
	flag.BoolVar(&o.quick, "quick", false, "a minute to see whether everything works; the figures mean nothing")
	flag.Parse()
	if flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	if o.quick {
		o.rounds, o.time, o.idle = 1, 10*time.Millisecond, min(o.idle, 2000)
	}
	if err := run(os.Stdout, o); err != nil {
		log.Fatal(err)
	}
}

// fewer is n, or what of it will do to see whether it works.
func (o options) fewer(n int) int {
	if o.quick {
		return min(n, 100)
	}
	return n
}

func scenarioNames() []string {
	var names []string
	for _, s := range scenarios {
		names = append(names, s.name)
	}
	return names
}

// run measures what o asks for and prints it to w. It goes on after errors.
func run(w io.Writer, o options) error {
	fmt.Fprintf(w, "goos: %s\ngoarch: %s\n%s", runtime.GOOS, runtime.GOARCH, cpuLine())
	var errs []error
	names := scenarioNames()
	if o.scenarios != "" {
		names = strings.Split(o.scenarios, ",")
	}
	for _, name := range names {
		i := slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == name })
		if i < 0 {
			return fmt.Errorf("no scenario %q", name)
		}
		if err := scenarios[i].run(w, o); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// cpuLine names the processor as go test -bench does.
func cpuLine() string {
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			return "cpu: " + strings.TrimSpace(value) + "\n"
		}
	}
	return ""
}

// run measures all rows in all cells. The processes of all are there all the time:
// one that has nothing to do takes nothing.
func (sc scenario) run(w io.Writer, o options) error {
	log.Print(sc.name)
	var errs []error
	failed := func(name string, err error) {
		err = fmt.Errorf("%s: %w", name, err)
		log.Print(err)
		errs = append(errs, err)
	}
	cells, err := sc.selected(o)
	if err != nil || len(cells) == 0 {
		return err
	}
	var subjects []*subject
	defer func() {
		for _, s := range subjects {
			if s != nil {
				s.stop()
			}
		}
	}()
	turn := func(c cell, s *subject) (ok bool) {
		name := c.name + "/" + s.row.name
		r, err := c.measure(s)
		if err != nil {
			failed(name, err)
			return false
		}
		r.print(w, name)
		return true
	}
	for _, r := range selected(o.only) {
		if !sc.takes(r) {
			continue
		}
		s, err := start(r, sc.role)
		if err != nil {
			failed(sc.name+"/"+r.name, err)
			continue
		}
		if !sc.once {
			subjects = append(subjects, s)
			continue
		}
		for _, c := range cells {
			turn(c, s)
		}
		s.stop()
	}
	for _, c := range cells {
		for range o.rounds {
			for i, s := range subjects {
				if turn(c, s) {
					continue
				}
				// Nobody knows what it is still busy with.
				s.stop()
				if subjects[i], err = start(s.row, sc.role); err != nil {
					return errors.Join(append(errs, err)...)
				}
			}
		}
	}
	return errors.Join(errs...)
}

// selected returns the cells that -cell asks for.
func (sc scenario) selected(o options) ([]cell, error) {
	wanted, err := regexp.Compile(o.cell)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(sc.cells(o), func(c cell) bool { return !wanted.MatchString(c.name) }), nil
}
