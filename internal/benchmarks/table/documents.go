package main

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Documents have tables between a line "<!-- results: NAME -->" and a line
// "<!-- end of results -->". They are made of the saved results, as charts are, so that
// both can be made anew without measuring, and a test can tell whether they are true.

// saved are all saved results.
type saved struct{ network, compression, http *results }

// The files of results, in their directory.
const (
	networkFile     = "network.txt"
	compressionFile = "compression.txt"
	httpFile        = "http.txt"
)

// documents are those with such tables, relative to the root module.
var documents = []string{
	"README.md",
	"docs/performance.md",
	"internal/benchmarks/NETWORK.md",
	"internal/benchmarks/RESULTS.md",
}

func loadAll(dir string) (s saved, err error) {
	for _, f := range []struct {
		name string
		dst  **results
	}{{networkFile, &s.network}, {compressionFile, &s.compression}, {httpFile, &s.http}} {
		if *f.dst, err = loadFile(filepath.Join(dir, f.name)); err != nil {
			return s, err
		}
	}
	return s, nil
}

// files returns what the documents and charts below root have to be, by their names.
func (s saved) files(root string) (map[string][]byte, error) {
	all := map[string][]byte{}
	for _, name := range documents {
		old, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return nil, err
		}
		text, err := s.fill(string(old))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all[name] = []byte(text)
	}
	for name, svg := range s.charts() {
		all["internal/benchmarks/charts/"+name+".svg"] = []byte(svg)
	}
	return all, nil
}

// redraw writes what differs, or only tells, and returns the names.
func (s saved) redraw(root string, write bool) (differ []string, err error) {
	all, err := s.files(root)
	if err != nil {
		return nil, err
	}
	for name, want := range all {
		file := filepath.Join(root, name)
		if got, err := os.ReadFile(file); err == nil && bytes.Equal(got, want) {
			continue
		}
		differ = append(differ, name)
		if write {
			if err := os.WriteFile(file, want, 0o644); err != nil {
				return nil, err
			}
		}
	}
	return differ, nil
}

const (
	begin = "<!-- results: "
	end   = "<!-- end of results -->"
)

// fill returns text with new tables.
func (s saved) fill(text string) (string, error) {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(text, begin)
		b.WriteString(before)
		if !ok {
			return b.String(), nil
		}
		name, rest, ok := strings.Cut(rest, " -->\n")
		if !ok {
			return "", fmt.Errorf("a mark that does not end: %.40q", rest)
		}
		old, rest, ok := strings.Cut(rest, end)
		if !ok || strings.Contains(old, begin) {
			return "", fmt.Errorf("results without end: %s", name)
		}
		table, err := s.block(name)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "%s%s -->\n\n%s\n\n%s", begin, name, strings.TrimSpace(table), end)
		text = rest
	}
}

// block returns what stands under a name. Of a table of the network it is "network",
// its name and that of a view, as in "network PingPong cpu"; of one of compression,
// "compression" and its name.
func (s saved) block(name string) (string, error) {
	switch name {
	case "network all":
		return s.network.header() + s.network.allTables(), nil
	case "network machine":
		return s.network.header(), nil
	case "network bars":
		return s.network.verdicts(allBars), nil
	case "network missed":
		return s.network.missed(allBars), nil
	case "others missed":
		compression, http2 := s.compression.missed(codecBars), s.http.missed(http2Bars)
		if compression+http2 == "" {
			return "Of compression and of HTTP/2 all are met.\n", nil
		}
		return "Of compression and of HTTP/2:\n\n" + strings.TrimSpace(compression+"\n"+http2) + "\n", nil
	case "network noise":
		return s.network.noise(), nil
	case "network short":
		return s.network.short(), nil
	case "network idle":
		return s.network.idle(), nil
	case "network kernels":
		return s.network.kernels(), nil
	case "compression all":
		return s.compression.header() + s.compression.allTables(), nil
	case "compression machine":
		return s.compression.header(), nil
	case "compression bars":
		return s.compression.verdicts(codecBars), nil
	case "compression settings":
		return s.compression.settings(settingLines), nil
	case "compression short":
		return s.compression.settings(shortSettings), nil
	case "http machine":
		return s.http.header(), nil
	case "http2":
		return s.http.http2Table(), nil
	case "trace":
		return s.http.traceTable(), nil
	case "http3":
		return s.http.http3Table(), nil
	}
	from, rest, _ := strings.Cut(name, " ")
	var b strings.Builder
	switch from {
	case "network":
		table, wanted, _ := strings.Cut(rest, " ")
		for _, k := range kinds {
			for _, v := range k.views {
				if k.name == table && v.name == wanted {
					k.views = []view{v}
					k.markdown(&b, s.network.table(table))
				}
			}
		}
	case "compression":
		for _, o := range order {
			if o.name == rest {
				s.compression.table(rest).markdown(&b, o.title)
			}
		}
	}
	if b.Len() == 0 {
		return "", fmt.Errorf("there are no results of the name %q", name)
	}
	return b.String(), nil
}

// header says where and when r was measured.
func (r *results) header() string {
	return strings.Join(append([]string{r.machine()}, r.facts.notes...), " ") + "\n"
}

// A shortLine is one of the table that says it all in few words.
type shortLine struct {
	what, name, unit string
	form             func(float64) string
	columns          []string // those of shortHead, "" for none
}

var shortHead = []string{"", "duplexkit", "gorilla", "coder", "gobwas", "gws", "nbio", "bare TCP"}

func kilobytes(x float64) string { return threeDigits(x / 1e3) }
func micros(ns float64) string   { return threeDigits(ns / 1e3) }

var shortLines = []shortLine{
	{"echo, 200 connections, 512 B, `Serve`: µs", "PingPong/200x512B", "cpu-ns/op", micros, sameNames("duplexkit-serve")},
	{"the same, `ReadMessage` and `WriteMessage`: µs", "PingPong/200x512B", "cpu-ns/op", micros, sameNames("duplexkit")},
	{"echo, 64 messages of 64 B at a time, `Serve`: µs", "Pipelined/64", "cpu-ns/op", micros, sameNames("duplexkit-serve")},
	{"8 goroutines write 64 B to one connection: µs", "Writers/8", "cpu-ns/op", micros, sameNames("duplexkit")},
	{"16 messages in a row to 1,000 connections, `Group`: µs", "Broadcast/1000x16", "cpu-ns/op", micros, sameNames("duplexkit-group")},
	{"an upgrade through net/http: µs", "Upgrade/net-http", "cpu-ns/op", micros, sameNames("duplexkit")},
	{"an idle connection, its handler kept, `Serve`: KB", "Idle/10000", "gc-B/conn", kilobytes, []string{"duplexkit-serve", "gorilla", "coder", "", "", "", ""}},
	{"an idle connection, in the way that takes least, `Start`: KB", "Idle/10000", "gc-B/conn", kilobytes, []string{"duplexkit-start", "gorilla-returned", "coder-returned", "gobwas", "gws", "nbio", limit}},
}

func sameNames(ours string) []string {
	return []string{ours, "gorilla", "coder", "gobwas", "gws", "nbio", limit}
}

// short prints shortLines. The least figure of a line is bold, but not that of no library.
func (r *results) short() string {
	var b strings.Builder
	fmt.Fprintf(&b, "| %s |\n|---|%s\n", strings.Join(shortHead, " | "), strings.Repeat("--:|", len(shortHead)-1))
	for _, l := range shortLines {
		var cells []string
		best := math.Inf(1)
		figure := make([]float64, len(l.columns))
		for i, column := range l.columns {
			figure[i] = r.all[line{l.name + "/" + column, l.unit}].least()
			if column != limit && figure[i] < best {
				best = figure[i]
			}
		}
		for i, column := range l.columns {
			switch {
			case math.IsNaN(figure[i]):
				cells = append(cells, "")
			case column != limit && l.form(figure[i]) == l.form(best):
				cells = append(cells, "**"+l.form(figure[i])+"**")
			default:
				cells = append(cells, l.form(figure[i]))
			}
		}
		fmt.Fprintf(&b, "| %s | %s |\n", l.what, strings.Join(cells, " | "))
	}
	return b.String()
}

// settings prints what ways to compress come to, for messages of 200 bytes.
func (r *results) settings(lines []settingLine) string {
	var b strings.Builder
	b.WriteString("| messages of 200 bytes | bytes sent | µs to write | µs to read | KiB kept to write | to read | both, 5 minutes later |\n|---|--:|--:|--:|--:|--:|--:|\n")
	for _, l := range lines {
		get := func(kind, row, unit string) float64 {
			return r.all[line{kind + "/" + l.terms + "/" + row + "/" + l.library, unit}].median()
		}
		fmt.Fprintf(&b, "| %s | %.0f | %s | %s | %s | %s | %s |\n", l.what,
			200*get("Write", "chat200", "ratio"), micro(get("Write", "chat200", "cpu-ns/op")), micro(get("Read", "chat200", "cpu-ns/op")),
			kibi(get("IdleConnection", "write", "B/conn")), kibi(get("IdleConnection", "read", "B/conn")), kibi(get("IdleConnection", "both,5min", "B/conn")))
	}
	return b.String()
}

type settingLine struct{ what, terms, library string }

var settingLines = []settingLine{
	{"duplexkit, `&Compression{}` (12 bits)", "takeover12", "duplexkit"},
	{"duplexkit, 15 bits", "takeover15", "duplexkit"},
	{"duplexkit, no context takeover", "single", "duplexkit"},
	{"gorilla, no context takeover", "single", "gorilla"},
	{"coder, no context takeover", "single", "coder"},
	{"coder, 15 bits", "takeover15", "coder"},
	{"gws, 12 bits", "takeover12", "gws"},
	{"gws, 15 bits", "takeover15", "gws"},
}

// noise prints how far rounds of the same were apart.
func (r *results) noise() string {
	var b strings.Builder
	b.WriteString("| µs of the processor | least | median | most | median / least |\n|---|--:|--:|--:|--:|\n")
	for _, l := range []struct{ what, name string }{
		{"echo, 1 connection, 512 B", "PingPong/1x512B/"},
		{"echo, 200 connections, 512 B", "PingPong/200x512B/"},
		{"pipelined echo, 64 per write", "Pipelined/64/"},
		{"a server reads 1 MiB into memory that is kept", "ReadKept/1MiB/"},
		{"upgrade through net/http", "Upgrade/net-http/"},
	} {
		for _, column := range []string{"duplexkit", "gws", limit} {
			f := r.all[line{l.name + column, "cpu-ns/op"}]
			if f.rounds() == 0 {
				continue
			}
			fmt.Fprintf(&b, "| %s: %s | %s | %s | %s | %.2f |\n", l.what, column,
				micros(f.least()), micros(f.median()), micros(f.most()), f.median()/f.least())
		}
	}
	return b.String()
}

// idle prints all about idle connections.
func (r *results) idle() string {
	var b strings.Builder
	b.WriteString("| bytes of RSS for each | as it is | after a collection | goroutines |\n|---|--:|--:|--:|\n")
	for _, column := range limitLast(r.table("Idle").columns) {
		fmt.Fprintf(&b, "| %s |", column)
		for _, unit := range []string{"B/conn", "gc-B/conn", "goroutines/conn"} {
			cell := ""
			if f := r.all[line{"Idle/10000/" + column, unit}].median(); !math.IsNaN(f) {
				cell = plainly(f)
			}
			fmt.Fprintf(&b, " %s |", cell)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// kernels prints what masking and UTF-8 take.
func (r *results) kernels() string {
	sizes := []string{"16", "125", "4096", "65536"}
	var b strings.Builder
	b.WriteString("| ns: here / gobwas/ws / memmove | 16 B | 125 B | 4 KiB | 64 KiB |\n|---|--:|--:|--:|--:|\n")
	for _, l := range []struct{ what, name string }{
		{"mask in place", "Mask/"},
		{"mask while copying", "MaskCopy/"},
		{"unmask and check UTF-8: ASCII", "UnmaskText/ascii/"},
		{"the same: German", "UnmaskText/german/"},
		{"the same: Russian", "UnmaskText/russian/"},
		{"the same: Chinese", "UnmaskText/chinese/"},
		{"the same: emoji", "UnmaskText/emoji/"},
	} {
		fmt.Fprintf(&b, "| %s |", l.what)
		for _, size := range sizes {
			var parts []string
			for _, unit := range []string{"ns/ours", "ns/gobwas", "ns/memmove"} {
				parts = append(parts, threeDigits(r.all[line{l.name + size, unit}].least()))
			}
			fmt.Fprintf(&b, " %s |", strings.Join(parts, " / "))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// shortSettings are some of them.
var shortSettings = slices.DeleteFunc(slices.Clone(settingLines), func(l settingLine) bool {
	return l.library == "coder" && l.terms == "single" || l.library == "gws" && l.terms == "takeover15"
})
