//go:build linux

package main

import (
	"fmt"
	"io"
	"math/bits"
	"runtime"
	"time"
)

// A result is what a row has come to in its turn.
type result struct {
	messages int // or whatever is counted
	bytes    int // payload, if that is of interest
	elapsed  time.Duration
	latency  histogram

	// Of the measured process.
	cpu     time.Duration
	mallocs uint64 // what is no Go program does not know
	counted bool   // whether mallocs is known

	figures []figure // others
}

type figure struct {
	value float64
	unit  string
}

// print prints r as a line of go test -bench.
func (r *result) print(w io.Writer, name string) {
	n := float64(r.messages)
	fmt.Fprintf(w, "Benchmark%s-%d\t%d", name, runtime.GOMAXPROCS(0), r.messages)
	for _, f := range r.figures {
		fmt.Fprintf(w, "\t%.0f %s", f.value, f.unit)
	}
	if r.elapsed > 0 {
		fmt.Fprintf(w, "\t%.1f ns/op\t%.1f cpu-ns/op", float64(r.elapsed)/n, float64(r.cpu)/n)
		if r.bytes > 0 {
			fmt.Fprintf(w, "\t%.2f MB/s", float64(r.bytes)/1e6/r.elapsed.Seconds())
		}
		fmt.Fprintf(w, "\t%.0f msgs/s", n/r.elapsed.Seconds())
		if r.latency.n > 0 {
			fmt.Fprintf(w, "\t%d p50-ns\t%d p99-ns", r.latency.quantile(0.5), r.latency.quantile(0.99))
		}
		if r.counted {
			fmt.Fprintf(w, "\t%.2f allocs/op", float64(r.mallocs)/n)
		}
	}
	fmt.Fprintln(w)
}

// A histogram counts durations, told apart to one part in 32.
type histogram struct {
	n      int
	counts [40 * 32]uint32
}

func (h *histogram) add(d time.Duration) {
	h.n++
	h.counts[min(bucket(uint64(max(d, 0))), len(h.counts)-1)]++
}

func (h *histogram) merge(other *histogram) {
	h.n += other.n
	for i, n := range other.counts {
		h.counts[i] += n
	}
}

// bucket is x itself below 32, and beyond that the power of two and five bits.
func bucket(x uint64) int {
	if x < 32 {
		return int(x)
	}
	shift := bits.Len64(x) - 6
	return shift*32 + int(x>>shift)
}

// quantile returns a duration, in nanoseconds, that the part q of all do not exceed.
func (h *histogram) quantile(q float64) int {
	rest := int(q * float64(h.n))
	for i, n := range h.counts {
		if rest -= int(n); rest < 0 {
			if i < 64 {
				return i
			}
			shift := i/32 - 1
			return (i - shift*32) << shift
		}
	}
	return 0
}
