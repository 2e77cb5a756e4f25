package main

import (
	"fmt"
	"math"
	"strings"
)

// A bar is what is to be reached, and what it is judged by: the least figures of all
// rounds.
type bar struct {
	what  string
	goal  string
	ours  pick
	other pick    // to divide by, or what is to be divided; nothing is 1
	turn  bool    // the figure is other/ours: so many times as good
	most  float64 // that it may be, or
	least float64 // that it has to be
	why   string  // it is not met, as far as that is known

	beside pick // to be shown next to ours, and no more
}

// A pick is the best figure of some columns.
type pick struct {
	name    string // of the lines, before the column
	columns []string
	unit    string
	scale   float64 // what to divide it by to print it
	suffix  string
	median  bool // of all rounds, and not the least
}

// Who is compared. What queues writes and what is no Go are not peers in the sense
// of the bars.
var peers = []string{"gorilla", "coder", "gobwas", "gws", "nbio", "fasthttp", "xnet"}

func cpuOf(name string, columns ...string) pick {
	return pick{name, columns, "cpu-ns/op", 1e3, " µs", false}
}

func allocsOf(name string, columns ...string) pick {
	return pick{name, columns, "allocs/op", 1, "", false}
}

func kernel(name, unit string) pick { return pick{name, nil, unit, 1, " ns", false} }

// residentOf is what stays resident of an idle connection: when a collection has
// taken away what its opening left behind, or before.
func residentOf(column string, collected bool) pick {
	unit := "B/conn"
	if collected {
		unit = "gc-B/conn"
	}
	return pick{"Idle/10000", []string{column}, unit, 1e3, " KB", false}
}

// allBars are those of the network. Those that the saved results do not meet have a
// reason, and no others: a test sees to it.
var allBars = []bar{
	{"ping-pong echo, 200 connections, 512 B: ReadMessage, WriteMessage", "<= 1.05 x raw", cpuOf("PingPong/200x512B", "duplexkit"), cpuOf("PingPong/200x512B", limit), false, 1.05, 0, "", pick{}},
	{"", "<= 0.85 x the best peer", cpuOf("PingPong/200x512B", "duplexkit"), cpuOf("PingPong/200x512B", peers...), false, 0.85, 0, "each message gets memory of its own, which the garbage collector has to take back. `ReadMessageContext` into memory that is kept, and `Serve`, do without", pick{}},
	{"the same: Serve", "<= 1.05 x raw", cpuOf("PingPong/200x512B", "duplexkit-serve"), cpuOf("PingPong/200x512B", limit), false, 1.05, 0, "", pick{}},
	{"", "<= 0.85 x the best peer", cpuOf("PingPong/200x512B", "duplexkit-serve"), cpuOf("PingPong/200x512B", peers...), false, 0.85, 0, "", pick{}},
	{"pipelined echo, 64 per write, Serve", "<= 2 x raw", cpuOf("Pipelined/64", "duplexkit-serve"), cpuOf("Pipelined/64", limit), false, 2, 0, "", pick{}},
	{"8 goroutines to one connection, 64 B", "<= 0.35 x the best peer", cpuOf("Writers/8", "duplexkit"), cpuOf("Writers/8", peers...), false, 0.35, 0, "", pick{}},
	{"idle connection, net/http handler kept: Serve", "<= 10.5 KB", residentOf("duplexkit-serve", true), pick{}, false, 10.5, 0, "", pick{}},
	{"the same before a collection", "<= 10.5 KB", residentOf("duplexkit-serve", false), pick{}, false, 10.5, 0, "what the HTTP handshake leaves behind is garbage until a collection", pick{}},
	{"idle connection, net/http handler kept: ReadMessage", "<= 10.5 KB", residentOf("duplexkit", true), pick{}, false, 10.5, 0, "", pick{}},
	{"the same before a collection", "<= 10.5 KB", residentOf("duplexkit", false), pick{}, false, 10.5, 0, "what the HTTP handshake leaves behind is garbage until a collection", pick{}},
	{"idle connection, handler returned", "<= 4.75 KB", residentOf("duplexkit-returned", true), pick{}, false, 4.75, 0, "", pick{}},
	{"the same before a collection", "<= 4.75 KB", residentOf("duplexkit-returned", false), pick{}, false, 4.75, 0, "what the HTTP handshake leaves behind is garbage until a collection", pick{}},
	{"idle connection, Start", "<= 1.5 KB", residentOf("duplexkit-start", true), pick{}, false, 1.5, 0, "a profile of the heap counts 480 B for the Conn, 48 for Start, about 40 to find it again, about 330 for what package net keeps; the runtime's record of a descriptor takes about 580 beside. Less would mean to give up `Stats`, or the net.Conn", pick{}},
	{"the same before a collection", "<= 1.5 KB", residentOf("duplexkit-start", false), pick{}, false, 1.5, 0, "the same: what it leaves behind, beside what stays", pick{}},
	{"client writes 1 MiB", "<= 1.4 x raw", cpuOf("ClientWrite/1MiB", "duplexkit"), cpuOf("ClientWrite/1MiB", limit), false, 1.4, 0, "", pick{}},
	{"", ">= 3 x the best peer", cpuOf("ClientWrite/1MiB", "duplexkit"), cpuOf("ClientWrite/1MiB", peers...), true, 0, 3, "out of reach: a bare write call is not so many times as fast either", pick{}},
	{"server reads 1 MiB into the caller's memory", "<= 1.3 x raw", cpuOf("ReadKept/1MiB", "duplexkit"), cpuOf("ReadKept/1MiB", limit), false, 1.3, 0, "", pick{}},
	{"the same, peers by their call for a whole message", ">= 3 x the best peer", cpuOf("ReadKept/1MiB", "duplexkit"), cpuOf("Read/1MiB", peers...), true, 0, 3, "", pick{}},
	{"the same, peers' readers into memory that is kept", ">= 3 x the best peer", cpuOf("ReadKept/1MiB", "duplexkit"), cpuOf("ReadKept/1MiB", peers...), true, 0, 3, "out of reach: those peers, too, are near to a bare read", pick{}},
	{"server reads 1 MiB, ReadMessage", ">= 1.1 x gws", cpuOf("Read/1MiB", "duplexkit"), cpuOf("Read/1MiB", "gws"), true, 0, 1.1, "gws lends memory of its own, which it uses again; here the message is the program's for good, and a fresh MiB costs page faults and collections. `Serve`, which lends too, is in the row `duplexkit-serve` of the table of kept memory", pick{}},
	{"", ">= 2 x gorilla", cpuOf("Read/1MiB", "duplexkit"), cpuOf("Read/1MiB", "gorilla"), true, 0, 2, "", pick{}},
	{"mask 4 KiB", ">= 0.75 x memmove", kernel("Mask/4096", "ns/ours"), kernel("Mask/4096", "ns/memmove"), true, 0, 0.75, "", pick{}},
	{"mask-copy 4 KiB", ">= 0.7 x memmove", kernel("MaskCopy/4096", "ns/ours"), kernel("MaskCopy/4096", "ns/memmove"), true, 0, 0.7, "", pick{}},
	{"unmask + UTF-8, 4 KiB of Russian", ">= 8 x gobwas + utf8.Valid", kernel("UnmaskText/russian/4096", "ns/ours"), kernel("UnmaskText/russian/4096", "ns/gobwas"), true, 0, 8, "", pick{}},
	{"the same of Chinese", ">= 8 x gobwas + utf8.Valid", kernel("UnmaskText/chinese/4096", "ns/ours"), kernel("UnmaskText/chinese/4096", "ns/gobwas"), true, 0, 8, "", pick{}},
	{"the same of ASCII", ">= 2.5 x gobwas + utf8.Valid", kernel("UnmaskText/ascii/4096", "ns/ours"), kernel("UnmaskText/ascii/4096", "ns/gobwas"), true, 0, 2.5, "", pick{}},
	{"upgrade on a net.Conn", "<= 1.25 x accept, read, write, close", cpuOf("Upgrade/conn", "duplexkit"), cpuOf("Upgrade/conn", limit), false, 1.25, 0, "", pick{}},
	{"", "<= gobwas", cpuOf("Upgrade/conn", "duplexkit"), cpuOf("Upgrade/conn", "gobwas"), false, 1, 0, "gobwas/ws makes no http.Request; the rounds differ by more than this does", pick{}},
	{"", "<= 20 allocations, accept's included", allocsOf("Upgrade/conn", "duplexkit"), pick{}, false, 20, 0, "twenty are its own and those of accept; now and then the process makes one beside", pick{}},
	{"upgrade through net/http", "<= 1.1 x gorilla", cpuOf("Upgrade/net-http", "duplexkit"), cpuOf("Upgrade/net-http", "gorilla"), false, 1.1, 0, "a Conn more, checks of the origin, of header fields and extensions, two calls of SetDeadline; in a profile nothing of it stands out. Earlier runs had 1.10 and 1.11", pick{}},
	{"broadcast to 1,000, Group", "<= 1.1 x a loop of write calls", cpuOf("Broadcast/1000x1", "duplexkit-group"), cpuOf("Broadcast/1000x1", limit), false, 1.1, 0, "", pick{}},
	{"broadcast to 1,000, Group, bursts of 16", "<= 0.3 x the best peer", cpuOf("Broadcast/1000x16", "duplexkit-group"), cpuOf("Broadcast/1000x16", peers...), false, 0.3, 0, "", pick{}},
	{"allocations for a message, server, Serve", "0", allocsOf("PingPong/200x512B", "duplexkit-serve"), pick{}, false, 0.05, 0, "", pick{}},
	{"the same, ReadMessageContext", "0", allocsOf("PingPong/200x512B", "duplexkit-context"), pick{}, false, 0.05, 0, "", pick{}},
	{"allocations for a message, client, Serve", "0", allocsOf("Client/8x512B", "duplexkit-serve"), pick{}, false, 0.05, 0, "", pick{}},
	{"the same, ReadMessageContext", "0", allocsOf("Client/8x512B", "duplexkit-context"), pick{}, false, 0.05, 0, "", pick{}},
}

// bars prints what has come of all bars, if r has something about one.
func (r *results) bars(b *strings.Builder) {
	known := false
	for _, bar := range allBars {
		figure, _ := r.least(bar.ours)
		known = known || !math.IsNaN(figure)
	}
	if !known {
		return
	}
	fmt.Fprintf(b, "\nWhat is to be reached, by the least time of the processor of all rounds\n\n")
	if r.all[line{"PingPong/200x512B/duplexkit-serve", "cpu-ns/op"}].rounds() == 1 {
		defer b.WriteString("\nThat was one round: it shows that everything works, and not how well.\n")
	}
	b.WriteString(r.verdicts(allBars))
}

const notMet = "**not met**"

// missed prints the bars that are not met, and why, or nothing.
func (r *results) missed(bars []bar) string {
	const head = "| | bar | measured | ours | compared with | why, as far as known |\n|---|---|--:|--:|--:|---|\n"
	var b strings.Builder
	what := ""
	for _, bar := range bars {
		if bar.what != "" && !strings.HasPrefix(bar.what, "the same") {
			what = bar.what
		}
		ratio, verdict, ours, other := bar.judge(r)
		if verdict != notMet {
			continue
		}
		name := what
		if bar.what != "" && bar.what != what {
			name += "; " + bar.what
		}
		if b.Len() == 0 {
			b.WriteString(head)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", name, bar.goal, ratio, ours, other, bar.why)
	}
	return b.String()
}

func medianOfCPU(name, column string) pick {
	return pick{name, []string{column}, "cpu-ns/op", 1e3, " µs", true}
}

func elapsed(name, column string) pick {
	return pick{name, []string{column}, "ns/op", 1e3, " µs", true}
}

// codecBars are those of compression, by medians.
var codecBars = []bar{
	{"codec, messages of 200 bytes after others, 12 bits", "<= 0.5 x klauspost/compress with such a window", medianOfCPU("DeflateTakeover/chat200", "own12-fast"), medianOfCPU("DeflateTakeover/chat200", "kpwin12"), false, 0.5, 0, "", pick{}},
	{"the same beside its window of 32 KiB", "<= 0.5 x klauspost/compress, level 1", medianOfCPU("DeflateTakeover/chat200", "own12-fast"), medianOfCPU("DeflateTakeover/chat200", "kp1"), false, 0.5, 0, "", pick{}},
	{"the same: the ratio", "<= 0.44", pick{"DeflateTakeover/chat200", []string{"own12-fast"}, "ratio", 1, "", true}, pick{}, false, 0.44, 0, "", pick{}},
	{"codec, 64 KiB of JSON by themselves, deflated, 15 bits", ">= 1.2 x compress/flate, level 1", medianOfCPU("Deflate/json64K", "own15-fast"), medianOfCPU("Deflate/json64K", "std1"), true, 0, 1.2, "", pick{}},
	{"the same: 1 MiB of text", ">= 1.2 x compress/flate, level 1", medianOfCPU("Deflate/text1M", "own15-fast"), medianOfCPU("Deflate/text1M", "std1"), true, 0, 1.2, "", pick{}},
	{"codec, 64 KiB of JSON by themselves, inflated", ">= 1.5 x compress/flate", elapsed("Inflate/json64K", "own"), elapsed("Inflate/json64K", "std"), true, 0, 1.5, "", pick{}},
	{"the same: 1 MiB of text", ">= 1.5 x compress/flate", elapsed("Inflate/text1M", "own"), elapsed("Inflate/text1M", "std"), true, 0, 1.5, "", pick{}},
	{"codec, 100 bytes after others, inflated", ">= 3 x compress/flate", elapsed("InflateTakeover/chat100", "own"), elapsed("InflateTakeover/chat100", "std"), true, 0, 3, "", pick{}},
	{"the same: 200 bytes", ">= 3 x compress/flate", elapsed("InflateTakeover/chat200", "own"), elapsed("InflateTakeover/chat200", "std"), true, 0, 3, "", pick{}},
	{"kept for writing, 12 bits", "<= 13 KiB", pick{"IdleConnection/takeover12/write", []string{"duplexkit"}, "B/conn", 1024, " KiB", true}, pick{}, false, 13, 0, "", pick{}},
	{"allocations for a message of 200 bytes, written", "0", pick{"Write/takeover12/chat200", []string{"duplexkit"}, "allocs/op", 1, "", true}, pick{}, false, 0.05, 0, "", pick{}},
	{"the same, read", "0", pick{"Read/takeover12/chat200", []string{"duplexkit"}, "allocs/op", 1, "", true}, pick{}, false, 0.05, 0, "", pick{}},
}

func over(name, unit string, version string) pick {
	scale, suffix := 1e3, " µs"
	if unit != "ns/op" {
		suffix = " KB"
	}
	return pick{name, []string{"carrier=" + version}, unit, scale, suffix, true}
}

// http2Bars are those of HTTP/2 beside HTTP/1.1, by medians, and of idle memory in bytes.
var http2Bars = []bar{
	{"round trip, 16 B", "<= 2.2 x HTTP/1.1", over("HTTP2Echo/size=16", "ns/op", "HTTP2"), over("HTTP2Echo/size=16", "ns/op", "HTTP1.1"), false, 2.2, 0, "", pick{}},
	{"round trip, 1 KiB", "<= 2.2 x HTTP/1.1", over("HTTP2Echo/size=1024", "ns/op", "HTTP2"), over("HTTP2Echo/size=1024", "ns/op", "HTTP1.1"), false, 2.2, 0, "", pick{}},
	{"round trip, 64 KiB", "<= 2.2 x HTTP/1.1", over("HTTP2Echo/size=65536", "ns/op", "HTTP2"), over("HTTP2Echo/size=65536", "ns/op", "HTTP1.1"), false, 2.2, 0, "", pick{}},
	{"opening and closing a further one", "<= 0.1 x HTTP/1.1", over("HTTP2Open", "ns/op", "HTTP2"), over("HTTP2Open", "ns/op", "HTTP1.1"), false, 0.1, 0, "", pick{}},
	{"idle, on the server's heap: `Serve`", "<= 13 KiB", over("HTTP2Idle/server=Serve", "heap-B/conn", "HTTP2"), pick{}, false, 13 * 1.024, 0, "", over("HTTP2Idle/server=Serve", "heap-B/conn", "HTTP1.1")},
	{"idle, on the server's heap: `ReadMessage`", "<= 13 KiB", over("HTTP2Idle/server=ReadMessage", "heap-B/conn", "HTTP2"), pick{}, false, 13 * 1.024, 0, "", over("HTTP2Idle/server=ReadMessage", "heap-B/conn", "HTTP1.1")},
}

// http2Table prints HTTP/2 beside HTTP/1.1.
func (r *results) http2Table() string {
	var b strings.Builder
	b.WriteString("| over TLS | HTTP/1.1 | HTTP/2 | bar | measured | |\n|---|--:|--:|---|--:|---|\n")
	for _, bar := range http2Bars {
		ratio, verdict, ours, other := bar.judge(r)
		if bar.beside.name == "" {
			ratio += " x"
		} else { // bytes, whatever HTTP/1.1 takes
			figure, column := r.least(bar.beside)
			ratio, other = ours, bar.beside.form(figure, column)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", bar.what, other, ours, bar.goal, ratio, verdict)
	}
	return b.String()
}

// http3Table prints HTTP/3 beside HTTP/1.1.
func (r *results) http3Table() string {
	var b strings.Builder
	b.WriteString("| over TLS | HTTP/1.1 | HTTP/3 | |\n|---|--:|--:|--:|\n")
	for _, row := range []struct{ what, name, size string }{
		{"round trip, 16 B", "Echo", "/16"}, {"round trip, 1 KiB", "Echo", "/1024"}, {"round trip, 64 KiB", "Echo", "/65536"}, {"opening a further one", "Dial", ""},
	} {
		one := r.all[line{"HTTP3" + row.name + "/http1" + row.size, "ns/op"}].median()
		three := r.all[line{"HTTP3" + row.name + "/http3" + row.size, "ns/op"}].median()
		fmt.Fprintf(&b, "| %s | %s µs | %s µs | %s x |\n", row.what, micro(one), micro(three), significant(three/one))
	}
	return b.String()
}

// traceTable prints what hooks cost, if that was measured.
func (r *results) traceTable() string {
	none, all := r.all[line{"Trace/none", "ns/op"}], r.all[line{"Trace/all", "ns/op"}]
	if none.rounds() == 0 || all.rounds() == 0 {
		return "No figures of it are kept so far.\n"
	}
	return fmt.Sprintf("| round trip, 512 B, over TCP | median | least |\n|---|--:|--:|\n| no hooks | %s µs | %s µs |\n| hooks that do nothing | %s µs | %s µs |\n",
		micros(none.median()), micros(none.least()), micros(all.median()), micros(all.least()))
}

// verdicts prints what has come of bars.
func (r *results) verdicts(bars []bar) string {
	var b strings.Builder
	b.WriteString("| | bar | measured | | ours | compared with |\n|---|---|--:|---|--:|--:|\n")
	for _, bar := range bars {
		ratio, verdict, ours, other := bar.judge(r)
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", bar.what, bar.goal, ratio, verdict, ours, other)
	}
	return b.String()
}

// judge returns the cells of bar's line.
func (bar bar) judge(r *results) (ratio, verdict, ours, other string) {
	figure, column := r.least(bar.ours)
	if math.IsNaN(figure) {
		return "", "not measured", "", ""
	}
	ours = bar.ours.form(figure, column)
	if bar.other.name == "" {
		figure /= bar.ours.scale
	} else {
		compared, column := r.least(bar.other)
		if math.IsNaN(compared) {
			return "", "not measured", ours, ""
		}
		other = bar.other.form(compared, column)
		if figure /= compared; bar.turn {
			figure = 1 / figure
		}
	}
	verdict = "met"
	if bar.most > 0 && figure > bar.most || figure < bar.least {
		verdict = notMet
	}
	if bar.ours.unit == "ratio" {
		return thousandths(figure), verdict, thousandths(figure), other
	}
	return fmt.Sprintf("%.2f", figure), verdict, ours, other
}

func (p pick) form(figure float64, column string) string {
	s := threeDigits(figure/p.scale) + p.suffix
	if len(p.columns) > 1 {
		s += ", " + column
	}
	return s
}

// least returns the least figure of p's columns, NaN if there is none, and whose it is.
func (r *results) least(p pick) (figure float64, column string) {
	if figure, column = r.leastOf(p); math.IsNaN(figure) && strings.HasPrefix(p.name, "Idle/") {
		p.name = "Idle/2000" // a quick run has fewer
		figure, column = r.leastOf(p)
	}
	return figure, column
}

func (r *results) leastOf(p pick) (figure float64, column string) {
	one := figures.least
	if p.median {
		one = figures.median
	}
	if p.columns == nil {
		return one(r.all[line{p.name, p.unit}]), ""
	}
	figure = math.NaN()
	for _, c := range p.columns {
		if f := one(r.all[line{p.name + "/" + c, p.unit}]); math.IsNaN(figure) || f < figure {
			figure, column = f, c
		}
	}
	return figure, column
}

func threeDigits(x float64) string {
	switch {
	case x < 9.995:
		return fmt.Sprintf("%.2f", x)
	case x < 99.95:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.0f", x)
}
