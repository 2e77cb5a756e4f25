package main

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A chart shows a cell of the network's tables, a bar for each library.
type chart struct {
	file, title, unit string
	table, row        string
	figure            string // the unit that is shown, and
	beyond            string // another that is more, for a pale bar behind it, or nothing
	form              func(float64) string
	median            bool // of all rounds, and not the least
	more              bool // is better
	columns           []string
	width             int
}

const (
	wide = 720
	half = 460 // two stand side by side
)

var (
	perMessage = "µs of the processor for a message: less is better"
	perTask    = "µs of the processor: less is better"
	// sameRows are those of the two charts that stand side by side.
	sameRows = []string{"duplexkit", "duplexkit-serve", "duplexkit-start", "gorilla", "coder", "gobwas", "gws", "nbio", "fasthttp", "xnet", "bun", limit}
)

var charts = []chart{
	{"echo-short", "CPU time of an echo, 200 connections", perMessage, "PingPong", "200x512B", "cpu-ns/op", "", micros, false, false, sameRows, half},
	{"idle-short", "Memory of an idle connection", "KB of RSS, pale: before a garbage collection", "Idle", "10000", "gc-B/conn", "B/conn", kilobytes, false, false, sameRows, half},

	{"pingpong", "Echo, 200 connections, 512 B", perMessage, "PingPong", "200x512B", "cpu-ns/op", "", micros, false, false, nil, wide},
	{"throughput", "Echo, 200 connections, 512 B: throughput", "thousands of messages a second, median: more is better", "PingPong", "200x512B", "msgs/s", "", kilo, true, true, nil, wide},
	{"latency", "Echo, 200 connections, 512 B: until the reply", "ms, median, pale: what 99 of 100 do not exceed: less is better", "PingPong", "200x512B", "p50-ns", "p99-ns", milli, true, false, nil, wide},
	{"pipelined", "Echo, 64 messages of 64 B per write of the client", perMessage, "Pipelined", "64", "cpu-ns/op", "", micros, false, false, nil, wide},
	{"writers", "8 goroutines write to one connection, 64 B", perMessage, "Writers", "8", "cpu-ns/op", "", micros, false, false, nil, wide},
	{"broadcast", "Broadcast of 512 B to 1,000 connections, bursts of 16", "µs of the processor for a message and connection: less is better", "Broadcast", "1000x16", "cpu-ns/op", "", micros, false, false, nil, wide},
	{"clientwrite", "A client writes 1 MiB", perTask, "ClientWrite", "1MiB", "cpu-ns/op", "", micros, false, false, nil, wide},
	{"readkept", "A server reads 1 MiB into memory that is kept", perTask, "ReadKept", "1MiB", "cpu-ns/op", "", micros, false, false, nil, wide},
	{"read", "A server reads 1 MiB as a message", perTask, "Read", "1MiB", "cpu-ns/op", "", micros, false, false, nil, wide},
	{"upgrade", "Upgrade without net/http", perTask, "Upgrade", "conn", "cpu-ns/op", "", micros, false, false, nil, wide},
	{"upgrade-http", "Upgrade through net/http", perTask, "Upgrade", "net-http", "cpu-ns/op", "", micros, false, false, nil, wide},
	{"tls", "Echo over TLS, 8 connections, 512 B", perMessage, "TLS", "pingpong-512B", "cpu-ns/op", "", micros, false, false, nil, wide},
	{"idle", "An idle connection, of 10,000", "KB of RSS, pale: before a garbage collection: less is better", "Idle", "10000", "gc-B/conn", "B/conn", kilobytes, false, false, nil, wide},
}

// names are those of rows, for who does not know them.
var names = map[string]string{
	"duplexkit":          "duplexkit, ReadMessage",
	"duplexkit-context":  "duplexkit, ReadMessageContext",
	"duplexkit-serve":    "duplexkit, Serve",
	"duplexkit-start":    "duplexkit, Start",
	"duplexkit-group":    "duplexkit, Group",
	"duplexkit-try":      "duplexkit, TryWritePreparedMessage",
	"duplexkit-returned": "duplexkit, handler returned",
	"duplexkit-bare":     "duplexkit, no net/http",
	"gorilla-returned":   "gorilla, handler returned",
	"coder-returned":     "coder, handler returned",
	"gobwas-http":        "gobwas, handler returned",
	"bun":                "bun (C++)",
	limit:                "no library",
}

// otherWays are what rows of a table do where that is not what their names say.
var otherWays = map[line]string{
	{"Broadcast", "duplexkit"}: "duplexkit, WritePreparedMessage",
	{"ReadKept", "duplexkit"}:  "duplexkit, ReadMessageContext",
	{"Idle", "gobwas"}:         "gobwas, no net/http",
}

// nameOf names a row of a table, plainly if it is the only one of this library.
func nameOf(table, column string, alone bool) string {
	if alone && column == "duplexkit" {
		return column
	}
	if way, ok := otherWays[line{table, column}]; ok {
		return way
	}
	if name, ok := names[column]; ok {
		return name
	}
	return column
}

// kinds of bars
const (
	ours  = "ours"
	best  = "best"
	peer  = "peer"
	floor = "floor"
)

// charts draws those that there are figures for, by their names.
func (s saved) charts() map[string]string {
	all := map[string]string{}
	for _, c := range charts {
		if svg := c.draw(s.network); svg != "" {
			all[c.file] = svg
		}
	}
	all["compression"] = s.compression.drawSettings()
	all["masks"] = s.network.drawKernels()
	all["http2"] = s.http.drawHTTP2()
	return all
}

// draw draws the charts of the network to files.
func (r *results) draw(dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	for _, c := range charts {
		svg := c.draw(r)
		if svg == "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, c.file+".svg"), []byte(svg), 0o666); err != nil {
			return err
		}
	}
	return nil
}

// draw returns c, or nothing if there are no figures.
func (c chart) draw(r *results) string {
	type entry struct {
		column         string
		figure, beyond float64
	}
	var entries []entry
	t := r.table(c.table)
	own := 0
	for _, column := range t.columns {
		if c.columns != nil && !slices.Contains(c.columns, column) {
			continue
		}
		pick := figures.least
		if c.median {
			pick = figures.median
		}
		e := entry{column, pick(t.runs[run{c.row, column, c.figure}]), pick(t.runs[run{c.row, column, c.beyond}])}
		if math.IsNaN(e.figure) {
			continue
		}
		entries = append(entries, e)
		if strings.HasPrefix(column, "duplexkit") {
			own++
		}
	}
	if len(entries) == 0 {
		return ""
	}
	slices.SortStableFunc(entries, func(a, b entry) int {
		if c.more {
			return cmp.Compare(b.figure, a.figure)
		}
		return cmp.Compare(a.figure, b.figure)
	})
	d := drawing{title: c.title, width: c.width}
	p := panel{unit: c.unit}
	bestSeen := false
	for _, e := range entries {
		b := stripe{name: nameOf(c.table, e.column, own == 1), value: e.figure / perOf(c.figure), text: c.form(e.figure), kind: peer}
		if !math.IsNaN(e.beyond) {
			b.beyond = e.beyond / perOf(c.figure)
			b.text += " / " + c.form(e.beyond)
		}
		switch {
		case strings.HasPrefix(e.column, "duplexkit"):
			b.kind = ours
		case e.column == limit:
			b.kind = floor
			p.mark = e.figure / perOf(c.figure)
		case !bestSeen && isPeer(e.column):
			b.kind, bestSeen = best, true
		}
		p.bars = append(p.bars, b)
	}
	d.panels = []panel{p}
	d.legend = []legend{{ours, "this library"}, {best, "best of the others in Go"}, {peer, "others"}}
	if p.mark > 0 {
		d.legend = append(d.legend, legend{floor, "no library: bare TCP (dashed)"})
	}
	return d.svg()
}

// perOf is how much of unit makes one of what is shown.
func perOf(unit string) float64 {
	if unit == "p50-ns" {
		return 1e6
	}
	return 1e3
}

// isPeer says whether a row is one of peers, in one of its ways.
func isPeer(column string) bool {
	name, _, _ := strings.Cut(column, "-")
	return slices.Contains(peers, name) && column != "gws-async"
}

// drawSettings draws the table of settings.
func (r *results) drawSettings() string {
	d := drawing{title: "Messages of 200 bytes, compressed", width: wide, legend: []legend{{ours, "this library"}, {peer, "others"}}}
	size := panel{unit: "bytes sent for each (dashed: as it is)", mark: 200}
	write := panel{unit: "µs of the processor to write one"}
	for _, l := range settingLines {
		kind := peer
		if l.library == "duplexkit" {
			kind = ours
		}
		name := strings.ReplaceAll(l.what, "`", "")
		name = strings.Replace(name, "&Compression{} (12 bits)", "12 bits", 1)
		cell := l.terms + "/chat200/" + l.library
		bytes := 200 * r.all[line{"Write/" + cell, "ratio"}].median()
		cpu := r.all[line{"Write/" + cell, "cpu-ns/op"}].median()
		size.bars = append(size.bars, stripe{name: name, value: bytes, text: fmt.Sprintf("%.0f", bytes), kind: kind})
		write.bars = append(write.bars, stripe{name: name, value: cpu / 1e3, text: micro(cpu), kind: kind})
	}
	d.panels = []panel{size, write}
	return d.svg()
}

// drawKernels draws what masking and UTF-8 take of 4 KiB.
func (r *results) drawKernels() string {
	d := drawing{title: "4 KiB: unmask in place, or also check UTF-8", width: wide,
		legend: []legend{{ours, "this library"}, {peer, "gobwas/ws, with utf8.Valid for text"}, {floor, "memmove"}}}
	p := panel{unit: "GB/s: more is better"}
	for _, l := range []struct{ what, name string }{
		{"mask", "Mask/4096"}, {"ASCII", "UnmaskText/ascii/4096"}, {"Russian", "UnmaskText/russian/4096"}, {"Chinese", "UnmaskText/chinese/4096"},
	} {
		for _, k := range []struct{ who, unit, kind string }{
			{"", "ns/ours", ours}, {"gobwas", "ns/gobwas", peer}, {"memmove", "ns/memmove", floor},
		} {
			if k.kind == floor && l.name != "Mask/4096" {
				continue
			}
			name := strings.TrimSuffix(l.what+", "+cmp.Or(k.who, "duplexkit"), ", ")
			rate := 4096 / r.all[line{l.name, k.unit}].least()
			p.bars = append(p.bars, stripe{name: name, value: rate, text: threeDigits(rate), kind: k.kind})
		}
	}
	d.panels = []panel{p}
	return d.svg()
}

// drawHTTP2 draws HTTP/2 beside HTTP/1.1.
func (r *results) drawHTTP2() string {
	d := drawing{title: "HTTP/2 beside HTTP/1.1, both over TLS", width: wide}
	p := panel{unit: "times as long as over HTTP/1.1 (dashed): less is better; the bar is 2.2, and 0.1 for opening", mark: 1}
	for _, bar := range http2Bars {
		if bar.other.name == "" {
			continue
		}
		two, column := r.least(bar.ours)
		one, oneColumn := r.least(bar.other)
		p.bars = append(p.bars, stripe{name: bar.what, value: two / one, kind: ours,
			text: fmt.Sprintf("%.2f x (%s by %s)", two/one, bar.ours.form(two, column), bar.other.form(one, oneColumn))})
	}
	d.panels = []panel{p}
	return d.svg()
}
