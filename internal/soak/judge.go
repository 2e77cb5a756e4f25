package main

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// An interval is what was measured in one.
type interval struct {
	attack   bool    // and not calm
	server   figures // at its end
	clients  figures
	p50, p99 time.Duration // latency of the good connections, medians of slices
	worst    time.Duration // the largest p99 of a slice
}

// bounds are what is still right.
type bounds struct {
	drift   float64 // of what a process has, as a part of it; 0 is not judged
	latency float64 // under attack, as a multiple of that without; 0 is not judged
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

// judgeDrift compares the end of a run with its beginning. Calm intervals are
// alike: the same good connections, and no others any more.
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
		from, to := ends(values)
		drift := float64(to-from) / float64(max(from, 1))
		v.note("drift of the %s: %+.1f %% (%d to %d)", what.name, 100*drift, from, to)
		if bound > 0 && drift >= bound && to-from > what.grain {
			v.fail("the %s drift by %+.1f %%, which is not below %.0f %%: %v", what.name, 100*drift, 100*bound, values)
		}
	}
}

// ends returns the medians of the first third of values and of the last: one odd value
// says nothing yet.
func ends(values []int) (first, last int) {
	n := (len(values) + 2) / 3
	return median(values[:n]), median(values[len(values)-n:])
}

func median[T int | float64 | time.Duration](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// judgeLatency compares each interval of attack with the calm ones before and behind
// it, so that a machine which becomes busier or less so does no harm, and takes the
// median of that, so that a busy moment does none. If calm intervals differ among
// themselves by as much as they must not differ from those of attack, there is
// nothing to be learnt.
func (v *verdict) judgeLatency(intervals []interval, bound float64) {
	for _, what := range []struct {
		name string
		of   func(interval) time.Duration
	}{
		{"p50", func(i interval) time.Duration { return i.p50 }},
		{"p99", func(i interval) time.Duration { return i.p99 }},
	} {
		var ratios, noise []float64
		for n := 1; n+1 < len(intervals); n++ {
			before, attack, after := intervals[n-1], intervals[n], intervals[n+1]
			if before.attack || !attack.attack || after.attack {
				continue
			}
			a, b, c := float64(what.of(before)), float64(what.of(attack)), float64(what.of(after))
			if a <= 0 || c <= 0 {
				continue // nothing was measured
			}
			ratios = append(ratios, b/math.Sqrt(a*c))
			noise = append(noise, max(a/c, c/a))
		}
		if len(ratios) == 0 {
			v.note("too few intervals to compare %s", what.name)
			continue
		}
		ratio, unsteady := median(ratios), median(noise)
		v.note("latency under attack, %s: %.2f times that without (each: %.2f); calm intervals differ by %.2f", what.name, ratio, ratios, unsteady)
		switch {
		case bound <= 0 || ratio <= bound:
		case unsteady >= bound:
			v.undecided = append(v.undecided, fmt.Sprintf("latency, %s: %.2f times under attack, where calm intervals differ by %.2f", what.name, ratio, unsteady))
		default:
			v.fail("the latency under attack, %s, is %.2f times that without, which is more than %.2f: %.2f", what.name, ratio, bound, ratios)
		}
	}
}
