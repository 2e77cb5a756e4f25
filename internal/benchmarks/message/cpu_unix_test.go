//go:build unix

package message

import (
	"syscall"
	"testing"
	"time"
)

// processCPU returns the time that the process has had the processors, which is
// what to compare by on a machine that has other things to do.
func processCPU() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// reportCPU reports what b's operations have had of it since start.
func reportCPU(b *testing.B, start time.Duration) {
	b.ReportMetric(float64(processCPU()-start)/float64(b.N), "cpu-ns/op")
}
