// Command table prints what benchmarks have found as Markdown, each figure the median
// of all runs:
//
//	go run ./table [-charts DIR] [-save FILE] FILE...
//
// The files are output of go test -bench, any number of runs in each; without any
// it reads standard input. The last two parts of a benchmark's name are row and
// column of the table that the parts before them name.
//
// What ./network has found is compared with what is to be reached (bars.go) and
// shown in tables of its own kind (network.go); -charts draws some of it (charts.go).
// -save keeps the figures of all rounds in a small file (saved.go).
//
// From such files in the directory results, the tables in the repository's documents
// and all charts are made without measuring (documents.go):
//
//	go run ./table -redraw     # writes them
//	go run ./table -check      # fails if they are not what the results give
package main

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func main() {
	log.SetFlags(0)
	dir := flag.String("charts", "", "where to draw charts of the network")
	save := flag.String("save", "", "where to keep the figures")
	redraw := flag.Bool("redraw", false, "make the documents' tables and the charts anew, from the saved results")
	check := flag.Bool("check", false, "only say whether they are what the saved results give")
	root := flag.String("root", "../..", "where the repository is, for -redraw and -check")
	flag.Parse()
	var err error
	if *redraw || *check {
		if flag.NArg() > 0 || *save != "" || *dir != "" {
			log.Fatal("-redraw and -check take no files, and go with nothing but -root")
		}
		err = made(os.Stdout, *root, *redraw)
	} else {
		err = tables(os.Stdout, flag.Args(), *dir, *save)
	}
	if err != nil {
		log.Fatal(err)
	}
}

// tables prints what is in files, draws it if dir is not empty and saves it if save is not.
func tables(w io.Writer, files []string, dir, save string) error {
	var all results
	var text bytes.Buffer
	if len(files) == 0 {
		if _, err := text.ReadFrom(os.Stdin); err != nil {
			return err
		}
	}
	for _, name := range files {
		p, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		text.Write(append(p, '\n'))
	}
	if err := all.read(bytes.NewReader(text.Bytes())); err != nil {
		return err
	}
	if _, err := io.WriteString(w, all.markdown()); err != nil {
		return err
	}
	if dir != "" {
		if err := all.draw(dir); err != nil {
			return err
		}
	}
	if save == "" {
		return nil
	}
	if len(all.lines) == 0 {
		return errors.New("there is nothing to save")
	}
	all.facts = newFacts(text.String())
	return all.saveFile(save)
}

// made makes the documents' tables and the charts, or checks them.
func made(w io.Writer, root string, write bool) error {
	s, err := loadAll(filepath.Join(root, "internal", "benchmarks", "results"))
	if err != nil {
		return err
	}
	differ, err := s.redraw(root, write)
	if err != nil {
		return err
	}
	verb := "differs from what the results give"
	if write {
		verb = "written"
	}
	for _, name := range slices.Sorted(slices.Values(differ)) {
		fmt.Fprintf(w, "%s: %s\n", name, verb)
	}
	if len(differ) > 0 && !write {
		return errors.New("make them anew: go -C internal/benchmarks run ./table -redraw")
	}
	return nil
}

// results are the runs of all benchmarks.
type results struct {
	about  []string         // the machine
	facts  facts            // of saved results
	tables []*table         // in order of appearance
	all    map[line]figures // of everything, by its full name
	lines  []line           // the keys of all, in order of appearance
}

type line struct{ name, unit string }

// A table is what the benchmarks of one kind have found.
type table struct {
	name          string
	rows, columns []string        // in order of appearance
	runs          map[run]figures // of what
}

type run struct{ row, column, unit string }

// figures are those of all rounds, or their median alone.
type figures struct {
	each     []float64
	medianOf int // how many rounds the only figure stands for, 0 if each is there
}

// rounds returns how many there were.
func (f figures) rounds() int { return max(len(f.each), f.medianOf) }

// median returns the median, NaN of none.
func (f figures) median() float64 {
	if len(f.each) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(f.each))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// least returns the least, NaN of none and where only the median is known.
func (f figures) least() float64 {
	if len(f.each) == 0 || f.medianOf > 0 {
		return math.NaN()
	}
	return slices.Min(f.each)
}

// most returns the greatest, NaN of none and where only the median is known.
func (f figures) most() float64 {
	if len(f.each) == 0 || f.medianOf > 0 {
		return math.NaN()
	}
	return slices.Max(f.each)
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
	for i := 2; i+1 < len(fields); i += 2 {
		figure, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			return err
		}
		r.addFigures(name, fields[i+1], figures{each: []float64{figure}})
	}
	return nil
}

// addFigures adds what was measured of name in unit.
func (r *results) addFigures(name, unit string, more figures) {
	if r.all == nil {
		r.all = map[line]figures{}
	}
	key := line{name, unit}
	if _, ok := r.all[key]; !ok {
		r.lines = append(r.lines, key)
	}
	sum := figures{append(r.all[key].each, more.each...), more.medianOf}
	r.all[key] = sum
	parts := strings.Split(name, "/")
	if n := len(parts) - 2; n > 0 && parts[0] != "UnmaskText" { // one of a series
		t := r.table(strings.Join(parts[:n], "/"))
		t.rows, t.columns = include(t.rows, parts[n]), include(t.columns, parts[n+1])
		t.runs[run{parts[n], parts[n+1], unit}] = sum
	}
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
	return b.String() + r.allTables()
}

// allTables prints all but where they were measured.
func (r *results) allTables() string {
	var b strings.Builder
	r.bars(&b)
	printed := map[string]bool{"HTTP2Echo": true, "HTTP2Idle": true, "HTTP3Echo": true}
	if r.all[line{"HTTP2Open/carrier=HTTP2", "ns/op"}].rounds() > 0 {
		fmt.Fprintf(&b, "\nHTTP/2, medians\n\n%s\nHTTP/3, medians\n\n%s\nTrace\n\n%s", r.http2Table(), r.http3Table(), r.traceTable())
	}
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
		runs = max(runs, f.rounds())
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
