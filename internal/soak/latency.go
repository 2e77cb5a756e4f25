package main

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// latencies count durations, told apart to one part in 32. They may be added to
// concurrently.
type latencies [40 * 32]atomic.Uint32

func (l *latencies) add(d time.Duration) { l[min(bucket(uint64(max(d, 0))), len(l)-1)].Add(1) }

// bucket is x itself below 32, and beyond that the power of two and five bits.
func bucket(x uint64) int {
	if x < 32 {
		return int(x)
	}
	shift := bits.Len64(x) - 6
	return shift*32 + int(x>>shift)
}

// quantiles returns durations that these parts of all do not exceed, and forgets all.
func (l *latencies) quantiles(parts ...float64) []time.Duration {
	var counts [len(l)]int
	total := 0
	for i := range l {
		counts[i] = int(l[i].Swap(0))
		total += counts[i]
	}
	found := make([]time.Duration, len(parts))
	for i, part := range parts {
		rest := int(part * float64(total))
		for b, n := range counts {
			if rest -= n; rest < 0 {
				found[i] = smallest(b)
				break
			}
		}
	}
	return found
}

// smallest is the smallest duration of a bucket.
func smallest(bucket int) time.Duration {
	if bucket < 64 {
		return time.Duration(bucket)
	}
	shift := bucket/32 - 1
	return time.Duration(bucket-shift*32) << shift
}
