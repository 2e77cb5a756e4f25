package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Saved results are text: first facts, such as "date: 2026-11-25", then a line for each
// name and unit with the figures of all rounds. Where only the median of them is left,
// it says so: "Write/single/chat200/gws cpu-ns/op median-of-10 720".

// facts are what saved results tell beside the figures.
type facts struct {
	date, version, processors string
	notes                     []string
}

const medianOf = "median-of-"

// save writes r, without the units that nothing shows.
func (r *results) save(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "date: %s\ngo: %s\nprocessors: %s\n", r.facts.date, r.facts.version, r.facts.processors)
	for _, note := range r.facts.notes {
		fmt.Fprintf(b, "note: %s\n", note)
	}
	for i, about := range r.about {
		fmt.Fprintf(b, "%s: %s\n", []string{"goos", "goarch", "cpu"}[min(i, 2)], about)
	}
	for _, l := range r.lines {
		_, known := r.all[line{l.name, "cpu-ns/op"}]
		if known && l.unit == "ns/op" || l.unit == "B/op" || strings.HasPrefix(l.unit, "x/") {
			continue
		}
		f := r.all[l]
		fmt.Fprintf(b, "%s %s", l.name, l.unit)
		if f.medianOf > 0 {
			fmt.Fprintf(b, " %s%d", medianOf, f.medianOf)
		}
		for _, x := range f.each {
			fmt.Fprintf(b, " %s", strconv.FormatFloat(x, 'f', -1, 64))
		}
		fmt.Fprintln(b)
	}
	return b.Flush()
}

// newFacts are those of what was measured just now by this machine, as the names of
// benchmarks in text tell how many processors it has.
func newFacts(text string) facts {
	f := facts{date: time.Now().Format(time.DateOnly), version: strings.TrimPrefix(runtime.Version(), "go"), processors: "1"}
	if m := regexp.MustCompile(`(?m)^Benchmark\S+-(\d+)\s`).FindStringSubmatch(text); m != nil {
		f.processors = m[1]
	}
	return f
}

// load reads saved results.
func load(src io.Reader) (*results, error) {
	r := new(results)
	lines := bufio.NewScanner(src)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		if err := r.loadLine(lines.Text()); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	return r, lines.Err()
}

func (r *results) loadLine(text string) error {
	if key, value, ok := strings.Cut(text, ": "); ok {
		switch key {
		case "date":
			r.facts.date = value
		case "go":
			r.facts.version = value
		case "processors":
			r.facts.processors = value
		case "note":
			r.facts.notes = append(r.facts.notes, value)
		case "goos", "goarch", "cpu":
			r.about = append(r.about, value)
		default:
			return fmt.Errorf("no such fact: %s", key)
		}
		return nil
	}
	fields := strings.Fields(text)
	if len(fields) < 3 {
		return fmt.Errorf("no figures: %s", text)
	}
	var f figures
	rest := fields[2:]
	if s, ok := strings.CutPrefix(rest[0], medianOf); ok {
		n, err := strconv.Atoi(s)
		if err != nil || len(rest) != 2 {
			return fmt.Errorf("no median: %s", text)
		}
		f.medianOf, rest = n, rest[1:]
	}
	for _, s := range rest {
		x, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return err
		}
		f.each = append(f.each, x)
	}
	if _, ok := r.all[line{fields[0], fields[1]}]; ok {
		return fmt.Errorf("a second time: %s %s", fields[0], fields[1])
	}
	r.addFigures(fields[0], fields[1], f)
	return nil
}

func loadFile(name string) (*results, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := load(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return r, nil
}

// saveFile writes r to a file, which is there as a whole or not at all.
func (r *results) saveFile(name string) error {
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name))
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if err = r.save(f); err == nil {
		err = f.Chmod(0o644)
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// machine says where and when r was measured.
func (r *results) machine() string {
	about := slices.Clone(r.about)
	about = append(about, r.facts.processors+" processors", "Go "+r.facts.version)
	return fmt.Sprintf("Measured on %s: %s.", r.facts.date, strings.Join(about, ", "))
}
