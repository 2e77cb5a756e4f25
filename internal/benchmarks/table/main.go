// Table prints what benchmarks have found as Markdown, each figure the median of
// all runs:
//
//	go run ./table [-charts DIR] FILE...
//
// The files are output of go test -bench, any number of runs in each; without any
// it reads standard input. The last two parts of a benchmark's name are row and
// column of the table that the parts before them name.
//
// What ./network has found is compared with what is to be reached (bars.go) and
// shown in tables of its own kind (network.go); -charts draws some of it (charts.go).
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"log"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func main() {
	log.SetFlags(0)
	dir := flag.String("charts", "", "where to draw charts")
	flag.Parse()
	var all results
	if flag.NArg() == 0 {
		if err := all.read(os.Stdin); err != nil {
			log.Fatal(err)
		}
	}
	for _, name := range flag.Args() {
		f, err := os.Open(name)
		if err != nil {
			log.Fatal(err)
		}
		err = all.read(f)
		f.Close()
		if err != nil {
			log.Fatalf("%s: %v", name, err)
		}
	}
	fmt.Print(all.markdown())
	if *dir != "" {
		if err := all.draw(*dir); err != nil {
			log.Fatal(err)
		}
	}
}

// results are the runs of all benchmarks.
type results struct {
	about  []string         // the machine
	tables []*table         // in order of appearance
	all    map[line]figures // of everything, by its full name
}

type line struct{ name, unit string }

// A table is what the benchmarks of one kind have found.
type table struct {
	name          string
	rows, columns []string        // in order of appearance
	runs          map[run]figures // of what
}

type run struct{ row, column, unit string }

type figures []float64

// median returns the median, NaN of none.
func (f figures) median() float64 {
	if len(f) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(f))
	return (sorted[(len(f)-1)/2] + sorted[len(f)/2]) / 2
}

// least returns the least, NaN of none.
func (f figures) least() float64 {
	if len(f) == 0 {
		return math.NaN()
	}
	return slices.Min(f)
}

var threads = regexp.MustCompile(`-\d+$`)

// read adds the output of go test -bench.
func (r *results) read(src io.Reader) error {
	lines := bufio.NewScanner(src)
	for lines.Scan() {
		line := lines.Text()
		for _, key := range []string{"goos: ", "goarch: ", "cpu: "} {
			if about, ok := strings.CutPrefix(line, key); ok && !slices.Contains(r.about, about) {
				r.about = append(r.about, about)
			}
		}
		if strings.HasPrefix(line, "--- FAIL") || strings.HasPrefix(line, "panic:") {
			return fmt.Errorf("a benchmark failed: %s", line)
		}
		if fields := strings.Fields(line); strings.HasPrefix(line, "Benchmark") && len(fields) >= 4 {
			if err := r.add(fields); err != nil {
				return fmt.Errorf("%w: %s", err, line)
			}
		}
	}
	return lines.Err()
}

// add adds a line that is the benchmark's name, the number of operations and
// pairs of figure and unit.
func (r *results) add(fields []string) error {
	name := threads.ReplaceAllString(strings.TrimPrefix(fields[0], "Benchmark"), "")
	if r.all == nil {
		r.all = map[line]figures{}
	}
	var t *table
	parts := strings.Split(name, "/")
	n := len(parts) - 2
	if n > 0 && parts[0] != "UnmaskText" { // one of a series
		t = r.table(strings.Join(parts[:n], "/"))
		t.rows, t.columns = include(t.rows, parts[n]), include(t.columns, parts[n+1])
	}
	for i := 2; i+1 < len(fields); i += 2 {
		figure, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			return err
		}
		unit := fields[i+1]
		r.all[line{name, unit}] = append(r.all[line{name, unit}], figure)
		if t != nil {
			key := run{parts[n], parts[n+1], unit}
			t.runs[key] = append(t.runs[key], figure)
		}
	}
	return nil
}

func (r *results) table(name string) *table {
	for _, t := range r.tables {
		if t.name == name {
			return t
		}
	}
	t := &table{name: name, runs: map[run]figures{}}
	r.tables = append(r.tables, t)
	return t
}

func include(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}

// order is that of the tables and their titles; others follow under their names.
var order = []struct{ name, title string }{
	{"IdleConnection/single", "Memory kept for a connection's end, no context takeover"},
	{"IdleConnection/takeover12", "Memory kept for a connection's end, context takeover, 12 bits"},
	{"IdleConnection/takeover15", "Memory kept for a connection's end, context takeover, 15 bits"},
	{"Write/single", "Writing a message, no context takeover"},
	{"Write/takeover12", "Writing a message, context takeover, 12 bits"},
	{"Write/takeover15", "Writing a message, context takeover, 15 bits"},
	{"Read/single", "Reading a message, no context takeover"},
	{"Read/takeover12", "Reading a message, context takeover, 12 bits"},
	{"Read/takeover15", "Reading a message, context takeover, 15 bits"},
	{"Deflate", "Codec: compressing a message by itself"},
	{"DeflateTakeover", "Codec: compressing a message after others"},
	{"Inflate", "Codec: expanding a message by itself"},
	{"InflateTakeover", "Codec: expanding a message after others"},
}

func (r *results) markdown() string {
	var b strings.Builder
	if len(r.about) > 0 {
		fmt.Fprintf(&b, "Measured on %s.\n", strings.Join(r.about, ", "))
	}
	r.bars(&b)
	printed := map[string]bool{}
	for _, k := range kinds {
		for _, t := range r.tables {
			if t.name == k.name {
				k.markdown(&b, t)
				printed[t.name] = true
			}
		}
	}
	for _, o := range order {
		for _, t := range r.tables {
			if t.name == o.name {
				t.markdown(&b, o.title)
				printed[t.name] = true
			}
		}
	}
	for _, t := range r.tables {
		if !printed[t.name] {
			t.markdown(&b, t.name)
		}
	}
	return b.String()
}

// A quantity is one that a cell may show. The lowest figure of a row is bold, but
// not the time of what makes messages larger where something else does not.
type quantity struct {
	unit string
	form func(float64) string
}

// markdown prints t. Its cells have the processor time where it is known, and the
// time otherwise, with the ratio; or the memory.
func (t *table) markdown(b *strings.Builder, title string) {
	quantities := []quantity{{"cpu-ns/op", micro}, {"ratio", thousandths}}
	unit, runs := "µs", 0
	switch {
	case t.has("B/conn"):
		quantities, unit = []quantity{{"B/conn", kibi}}, "KiB"
	case !t.has("cpu-ns/op"):
		quantities[0].unit, unit = "ns/op", "µs, elapsed"
	}
	if !t.has("ratio") {
		quantities = quantities[:1]
	} else {
		unit += " (ratio)"
	}
	for _, f := range t.runs {
		runs = max(runs, len(f))
	}
	fmt.Fprintf(b, "\n%s: %s, median of %d\n\n| |", title, unit, runs)
	for _, column := range t.columns {
		fmt.Fprintf(b, " %s |", column)
	}
	fmt.Fprintf(b, "\n|---|%s\n", strings.Repeat("--:|", len(t.columns)))
	for _, row := range t.rows {
		t.line(b, row, row, quantities)
	}
	switch {
	case t.has("B/plain"):
		t.line(b, t.rows[0], "without compression", []quantity{{"B/plain", kibi}})
	case t.has("allocs/op") && slices.Contains(t.rows, "chat200"):
		t.line(b, "chat200", "allocations, chat200", []quantity{{"allocs/op", plainly}})
	}
}

func (t *table) has(unit string) bool {
	for key := range t.runs {
		if key.unit == unit {
			return true
		}
	}
	return false
}

func (t *table) line(b *strings.Builder, row, title string, quantities []quantity) {
	fmt.Fprintf(b, "| %s |", title)
	for _, column := range t.columns {
		cell := ""
		for i, q := range quantities {
			figure := t.runs[run{row, column, q.unit}].median()
			if math.IsNaN(figure) {
				continue
			}
			s := q.form(figure)
			if s == q.form(t.lowest(row, q.unit)) {
				s = "**" + s + "**"
			}
			if i > 0 {
				s = " (" + s + ")"
			}
			cell += s
		}
		fmt.Fprintf(b, " %s |", cell)
	}
	b.WriteByte('\n')
}

func (t *table) lowest(row, unit string) float64 {
	lowest := math.Inf(1)
	for _, column := range t.columns {
		figure := t.runs[run{row, column, unit}].median()
		if ratio := t.runs[run{row, column, "ratio"}].median(); ratio > 1 && unit != "ratio" && t.lowest(row, "ratio") < 1 {
			continue
		}
		if figure < lowest {
			lowest = figure
		}
	}
	return lowest
}

func micro(ns float64) string      { return significant(ns / 1e3) }
func kibi(n float64) string        { return fmt.Sprintf("%.1f", math.Abs(math.Round(n/1024*10)/10)) }
func thousandths(x float64) string { return fmt.Sprintf("%.3f", x) }
func plainly(x float64) string     { return fmt.Sprintf("%.0f", x) }

// significant returns x to two digits or more.
func significant(x float64) string {
	switch {
	case x < 0.995:
		return fmt.Sprintf("%.2f", x)
	case x < 9.95:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.0f", x)
}
