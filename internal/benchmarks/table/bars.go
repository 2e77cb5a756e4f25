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
}

// A pick is the best figure of some columns.
type pick struct {
	name    string // of the lines, before the column
	columns []string
	unit    string
	scale   float64 // what to divide it by to print it
	suffix  string
}

// Who is compared. What queues writes and what is no Go are not peers in the sense
// of the bars.
var peers = []string{"gorilla", "coder", "gobwas", "gws", "nbio", "fasthttp", "xnet"}

func cpuOf(name string, columns ...string) pick {
	return pick{name, columns, "cpu-ns/op", 1e3, " µs"}
}

func allocsOf(name string, columns ...string) pick {
	return pick{name, columns, "allocs/op", 1, ""}
}

func kernel(name, unit string) pick { return pick{name, nil, unit, 1, " ns"} }

// residentOf is what stays resident of an idle connection: when a collection has
// taken away what its opening left behind, or before.
func residentOf(column string, collected bool) pick {
	unit := "B/conn"
	if collected {
		unit = "gc-B/conn"
	}
	return pick{"Idle/10000", []string{column}, unit, 1e3, " KB"}
}

var allBars = []bar{
	{"ping-pong echo, 200 connections, 512 B: ReadMessage, WriteMessage", "<= 1.05 x raw", cpuOf("PingPong/200x512B", "duplexkit"), cpuOf("PingPong/200x512B", limit), false, 1.05, 0},
	{"", "<= 0.85 x the best peer", cpuOf("PingPong/200x512B", "duplexkit"), cpuOf("PingPong/200x512B", peers...), false, 0.85, 0},
	{"the same: Serve", "<= 1.05 x raw", cpuOf("PingPong/200x512B", "duplexkit-serve"), cpuOf("PingPong/200x512B", limit), false, 1.05, 0},
	{"", "<= 0.85 x the best peer", cpuOf("PingPong/200x512B", "duplexkit-serve"), cpuOf("PingPong/200x512B", peers...), false, 0.85, 0},
	{"pipelined echo, 64 per write, Serve", "<= 2 x raw", cpuOf("Pipelined/64", "duplexkit-serve"), cpuOf("Pipelined/64", limit), false, 2, 0},
	{"8 goroutines to one connection, 64 B", "<= 0.35 x the best peer", cpuOf("Writers/8", "duplexkit"), cpuOf("Writers/8", peers...), false, 0.35, 0},
	{"idle connection, net/http handler kept: Serve", "<= 10.5 KB", residentOf("duplexkit-serve", true), pick{}, false, 10.5, 0},
	{"the same before a collection", "<= 10.5 KB", residentOf("duplexkit-serve", false), pick{}, false, 10.5, 0},
	{"idle connection, net/http handler kept: ReadMessage", "<= 10.5 KB", residentOf("duplexkit", true), pick{}, false, 10.5, 0},
	{"the same before a collection", "<= 10.5 KB", residentOf("duplexkit", false), pick{}, false, 10.5, 0},
	{"idle connection, handler returned", "<= 4.75 KB", residentOf("duplexkit-returned", true), pick{}, false, 4.75, 0},
	{"the same before a collection", "<= 4.75 KB", residentOf("duplexkit-returned", false), pick{}, false, 4.75, 0},
	{"idle connection, Start", "<= 1.5 KB", residentOf("duplexkit-start", true), pick{}, false, 1.5, 0},
	{"the same before a collection", "<= 1.5 KB", residentOf("duplexkit-start", false), pick{}, false, 1.5, 0},
	{"client writes 1 MiB", "<= 1.4 x raw", cpuOf("ClientWrite/1MiB", "duplexkit"), cpuOf("ClientWrite/1MiB", limit), false, 1.4, 0},
	{"", ">= 3 x the best peer", cpuOf("ClientWrite/1MiB", "duplexkit"), cpuOf("ClientWrite/1MiB", peers...), true, 0, 3},
	{"server reads 1 MiB into the caller's memory", "<= 1.3 x raw", cpuOf("ReadKept/1MiB", "duplexkit"), cpuOf("ReadKept/1MiB", limit), false, 1.3, 0},
	{"the same, peers by their call for a whole message", ">= 3 x the best peer", cpuOf("ReadKept/1MiB", "duplexkit"), cpuOf("Read/1MiB", peers...), true, 0, 3},
	{"the same, peers' readers into memory that is kept", ">= 3 x the best peer", cpuOf("ReadKept/1MiB", "duplexkit"), cpuOf("ReadKept/1MiB", peers...), true, 0, 3},
	{"server reads 1 MiB, ReadMessage", ">= 1.1 x gws", cpuOf("Read/1MiB", "duplexkit"), cpuOf("Read/1MiB", "gws"), true, 0, 1.1},
	{"", ">= 2 x gorilla", cpuOf("Read/1MiB", "duplexkit"), cpuOf("Read/1MiB", "gorilla"), true, 0, 2},
	{"mask 4 KiB", ">= 0.75 x memmove", kernel("Mask/4096", "ns/ours"), kernel("Mask/4096", "ns/memmove"), true, 0, 0.75},
	{"mask-copy 4 KiB", ">= 0.7 x memmove", kernel("MaskCopy/4096", "ns/ours"), kernel("MaskCopy/4096", "ns/memmove"), true, 0, 0.7},
	{"unmask + UTF-8, 4 KiB of Russian", ">= 8 x gobwas + utf8.Valid", kernel("UnmaskText/russian/4096", "ns/ours"), kernel("UnmaskText/russian/4096", "ns/gobwas"), true, 0, 8},
	{"the same of Chinese", ">= 8 x gobwas + utf8.Valid", kernel("UnmaskText/chinese/4096", "ns/ours"), kernel("UnmaskText/chinese/4096", "ns/gobwas"), true, 0, 8},
	{"the same of ASCII", ">= 2.5 x gobwas + utf8.Valid", kernel("UnmaskText/ascii/4096", "ns/ours"), kernel("UnmaskText/ascii/4096", "ns/gobwas"), true, 0, 2.5},
	{"upgrade on a net.Conn", "<= 1.25 x accept, read, write, close", cpuOf("Upgrade/conn", "duplexkit"), cpuOf("Upgrade/conn", limit), false, 1.25, 0},
	{"", "<= gobwas", cpuOf("Upgrade/conn", "duplexkit"), cpuOf("Upgrade/conn", "gobwas"), false, 1, 0},
	{"", "<= 20 allocations, accept's included", allocsOf("Upgrade/conn", "duplexkit"), pick{}, false, 20, 0},
	{"upgrade through net/http", "<= 1.1 x gorilla", cpuOf("Upgrade/net-http", "duplexkit"), cpuOf("Upgrade/net-http", "gorilla"), false, 1.1, 0},
	{"broadcast to 1,000, Group", "<= 1.1 x a loop of write calls", cpuOf("Broadcast/1000x1", "duplexkit-group"), cpuOf("Broadcast/1000x1", limit), false, 1.1, 0},
	{"broadcast to 1,000, Group, bursts of 16", "<= 0.3 x the best peer", cpuOf("Broadcast/1000x16", "duplexkit-group"), cpuOf("Broadcast/1000x16", peers...), false, 0.3, 0},
	{"allocations for a message, server, Serve", "0", allocsOf("PingPong/200x512B", "duplexkit-serve"), pick{}, false, 0.05, 0},
	{"the same, ReadMessageContext", "0", allocsOf("PingPong/200x512B", "duplexkit-context"), pick{}, false, 0.05, 0},
	{"allocations for a message, client, Serve", "0", allocsOf("Client/8x512B", "duplexkit-serve"), pick{}, false, 0.05, 0},
	{"the same, ReadMessageContext", "0", allocsOf("Client/8x512B", "duplexkit-context"), pick{}, false, 0.05, 0},
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
	fmt.Fprintf(b, "\nWhat is to be reached, by the least time of the processor of all rounds\n\n"+
		"| | bar | measured | | ours | compared with |\n|---|---|--:|---|--:|--:|\n")
	if len(r.all[line{"PingPong/200x512B/duplexkit-serve", "cpu-ns/op"}]) == 1 {
		defer b.WriteString("\nThat was one round: it shows that everything works, and not how well.\n")
	}
	for _, bar := range allBars {
		ratio, verdict, ours, other := bar.judge(r)
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s |\n", bar.what, bar.goal, ratio, verdict, ours, other)
	}
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
		verdict = "**not met**"
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
	if p.columns == nil {
		return r.all[line{p.name, p.unit}].least(), ""
	}
	figure = math.NaN()
	for _, c := range p.columns {
		if f := r.all[line{p.name + "/" + c, p.unit}].least(); math.IsNaN(figure) || f < figure {
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
