package main

import (
	"fmt"
	"slices"
	"time"
)

// An interval is what was measured in one.
type interval struct {
	attack   bool    // and not calm
	server   figures // at its end
	clients  figures
	p50, p99 []time.Duration // latency of the good connections, of each slice
}

// bounds are what is still right.
type bounds struct {
	drift   float64       // of what a process has, as a part of it; 0 is not judged
	latency float64       // under attack, as a multiple of that without; 0 is not judged
	end     time.Duration // how long everything may take to end when the server takes leave of all
}

// What is smaller may be the runtime's own.
const (
	heapGrain  = 256 << 10 // bytes
	countGrain = 10        // goroutines or descriptors
)

// A verdict is what becomes of a run.
type verdict struct {
	failures  []string
	notes     []string
	undecided []string // what could not be judged on a machine so busy
}

func (v *verdict) fail(format string, args ...any) {
	v.failures = append(v.failures, fmt.Sprintf(format, args...))
}

func (v *verdict) note(format string, args ...any) {
	v.notes = append(v.notes, fmt.Sprintf(format, args...))
}

// judge judges what was measured.
func judge(intervals []interval, b bounds) (v verdict) {
	v.judgeDrift(intervals, b.drift)
	v.judgeLatency(intervals, b.latency)
	return v
}

// judgeDrift looks whether calm intervals are alike, as they should be: the same good
// connections, and no others any more.
func (v *verdict) judgeDrift(intervals []interval, bound float64) {
	for _, what := range []struct {
		name  string
		grain int
		of    func(interval) int
	}{
		{"live heap of the server", heapGrain, func(i interval) int { return i.server.Heap }},
		{"live heap of the clients", heapGrain, func(i interval) int { return i.clients.Heap }},
		{"goroutines of the server", countGrain, func(i interval) int { return i.server.Goroutines }},
		{"goroutines of the clients", countGrain, func(i interval) int { return i.clients.Goroutines }},
		{"descriptors of the server", countGrain, func(i interval) int { return i.server.Descriptors }},
		{"descriptors of the clients", countGrain, func(i interval) int { return i.clients.Descriptors }},
	} {
		var values []int
		for _, i := range intervals {
			if !i.attack {
				values = append(values, what.of(i))
			}
		}
		if len(values) < 2 {
			v.note("too few calm intervals to see a drift")
			return
		}
		usual, grown := median(values), growth(values)
		drift := float64(grown) / float64(max(usual, 1))
		v.note("drift of the %s: %+.1f %% of %d", what.name, 100*drift, usual)
		if bound > 0 && drift >= bound && grown > what.grain {
			v.fail("drift of the %s: %+.1f %%, which is not below %.0f %%: %v", what.name, 100*drift, 100*bound, values)
		}
	}
}

// growth returns by how much values grow from the first to the last, along the median of
// the slopes between any two (Theil and Sen): a few odd values say nothing yet.
func growth(values []int) int {
	const most = 500 // of very many some will do
	step := (len(values) + most - 1) / most
	var slopes []float64
	for i := 0; i < len(values); i += step {
		for j := i + step; j < len(values); j += step {
			slopes = append(slopes, float64(values[j]-values[i])/float64(j-i))
		}
	}
	return int(median(slopes) * float64(len(values)-1))
}

func median[T int | float64 | time.Duration](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// judgeLatency compares the slices under attack with the calm ones. Of either the median
// counts, so that busy moments of the machine do no harm; and since the two kinds of
// intervals take turns, they see the same machine. What the machine does by itself shows
// where calm intervals are compared with calm ones, every other with the rest: if these
// differ by as much as must not be, there is nothing to be learnt.
func (v *verdict) judgeLatency(intervals []interval, bound float64) {
	for _, what := range []struct {
		name string
		of   func(interval) []time.Duration
	}{
		{"p50", func(i interval) []time.Duration { return i.p50 }},
		{"p99", func(i interval) []time.Duration { return i.p99 }},
	} {
		var attacked []time.Duration
		var calm [2][]time.Duration
		turn := 0
		for _, i := range intervals {
			if i.attack {
				attacked = append(attacked, what.of(i)...)
			} else {
				calm[turn%2] = append(calm[turn%2], what.of(i)...)
				turn++
			}
		}
		if len(attacked) == 0 || len(calm[1]) == 0 {
			v.note("too few intervals to compare the latency, %s", what.name)
			continue
		}
		without, under := median(slices.Concat(calm[0], calm[1])), median(attacked)
		ratio := quotient(under, without)
		unsteady := quotient(median(calm[0]), median(calm[1]))
		unsteady = max(unsteady, 1/unsteady)
		v.note("latency, %s: %.2f ms, under attack %.2f ms, which is %.2f times as much; calm intervals differ among themselves by %.2f",
			what.name, milliseconds(without), milliseconds(under), ratio, unsteady)
		switch {
		case bound <= 0 || ratio <= bound:
		case unsteady >= bound:
			v.undecided = append(v.undecided,
				fmt.Sprintf("latency, %s: %.2f times under attack, but calm intervals differ by %.2f", what.name, ratio, unsteady))
		default:
			v.fail("latency, %s: %.2f times under attack, which is more than %.2f", what.name, ratio, bound)
		}
	}
}

// quotient is a/b. What is too short to be measured counts as the shortest there is.
func quotient(a, b time.Duration) float64 { return float64(max(a, 1)) / float64(max(b, 1)) }
