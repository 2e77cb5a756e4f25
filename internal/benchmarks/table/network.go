package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// A kind of tables is one of ./network: a line for each library and a column for
// each load, and a table for each view.
type kind struct {
	name, title string
	views       []view
}

// A view is what the cells of a table show: the medians of units.
type view struct {
	name  string
	what  string
	units []string
	form  func(float64) string
	more  bool // is better
	least bool // add the least in brackets
}

var (
	cpu       = view{"cpu", "µs of the processor for each, median (least)", []string{"cpu-ns/op"}, micro, false, true}
	rate      = view{"rate", "thousands a second", []string{"msgs/s"}, kilo, true, false}
	latency   = view{"latency", "µs until the reply, median / 99 of 100", []string{"p50-ns", "p99-ns"}, micro, false, false}
	allocs    = view{"allocs", "allocations for each", []string{"allocs/op"}, tenths, false, false}
	megabytes = view{"rate", "MB/s", []string{"MB/s"}, plainly, true, false}
)

var kinds = []kind{
	{"PingPong", "Ping-pong echo, connections x payload", []view{cpu, rate, latency, allocs}},
	{"Pipelined", "Pipelined echo of 64 bytes, 8 connections, messages per write of the client", []view{cpu, rate, latency, allocs}},
	{"TLS", "Over TLS, 8 connections", []view{cpu, rate, latency, allocs}},
	{"Client", "Ping-pong echo, the client measured", []view{cpu, rate, latency, allocs}},
	{"Writers", "Goroutines that write 64 bytes to one connection", []view{cpu, rate, allocs}},
	{"Broadcast", "Broadcast of 512 bytes, connections x messages in a burst; for each message and connection", []view{cpu, rate, {
		"latency", "ms until all have all, median", []string{"p50-ns"}, milli, false, false,
	}}},
	{"ServerWrite", "Large messages, written by the server", []view{cpu, megabytes}},
	{"ClientWrite", "Large messages, written by the client", []view{cpu, megabytes}},
	{"ReadKept", "Large messages, read by the server into memory that is kept", []view{cpu, megabytes}},
	{"Read", "Large messages, read by the server as a whole (gws and nbio lend their own memory)", []view{cpu, megabytes}},
	{"Upgrade", "Upgrades, without net/http (conn) and with", []view{cpu, rate, allocs}},
	{"Idle", "Idle connections, bytes of RSS for each", []view{
		{"as-is", "as it is", []string{"B/conn"}, plainly, false, false},
		{"collected", "after a garbage collection", []string{"gc-B/conn"}, plainly, false, false},
		{"goroutines", "goroutines", []string{"goroutines/conn"}, plainly, false, false},
	}},
}

// markdown prints t.
func (k kind) markdown(b *strings.Builder, t *table) {
	for _, v := range k.views {
		runs := 0
		for _, row := range t.rows {
			for _, column := range t.columns {
				runs = max(runs, t.runs[run{row, column, v.units[0]}].rounds())
			}
		}
		if runs == 0 {
			continue
		}
		fmt.Fprintf(b, "\n%s: %s, of %d\n\n| |", k.title, v.what, runs)
		for _, row := range t.rows {
			fmt.Fprintf(b, " %s |", row)
		}
		fmt.Fprintf(b, "\n|---|%s\n", strings.Repeat("--:|", len(t.rows)))
		for _, column := range limitLast(t.columns) {
			fmt.Fprintf(b, "| %s |", column)
			for _, row := range t.rows {
				fmt.Fprintf(b, " %s |", v.cell(t, row, column))
			}
			b.WriteByte('\n')
		}
	}
}

// cell is bold if it is the best of all libraries.
func (v view) cell(t *table, row, column string) string {
	var parts []string
	for _, unit := range v.units {
		figures := t.runs[run{row, column, unit}]
		if figures.rounds() == 0 {
			return ""
		}
		s := v.form(figures.median())
		if v.least {
			s += " (" + v.form(figures.least()) + ")"
		}
		parts = append(parts, s)
	}
	cell := strings.Join(parts, " / ")
	if column != limit && parts[0] != "" && v.form(t.runs[run{row, column, v.units[0]}].median()) == v.form(v.best(t, row)) {
		return "**" + cell + "**"
	}
	return cell
}

// limit is the row without a library.
const limit = "raw"

func limitLast(columns []string) []string {
	sorted := slices.DeleteFunc(slices.Clone(columns), func(c string) bool { return c == limit })
	if len(sorted) < len(columns) {
		sorted = append(sorted, limit)
	}
	return sorted
}

func (v view) best(t *table, row string) float64 {
	best := math.NaN()
	for _, column := range t.columns {
		figure := t.runs[run{row, column, v.units[0]}].median()
		if column == limit || math.IsNaN(figure) {
			continue
		}
		if math.IsNaN(best) || v.more == (figure > best) {
			best = figure
		}
	}
	return best
}

func kilo(x float64) string   { return significant(x / 1e3) }
func milli(ns float64) string { return significant(ns / 1e6) }
func tenths(x float64) string { return fmt.Sprintf("%.1f", x) }
