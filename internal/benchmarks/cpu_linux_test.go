package benchmarks

import (
	"syscall"
	"time"
)

// threadCPU returns the time the calling thread has had the processor, which is
// what to compare by on a machine that has other things to do.
func threadCPU() time.Duration {
	const thread = 1 // RUSAGE_THREAD
	var usage syscall.Rusage
	if err := syscall.Getrusage(thread, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
