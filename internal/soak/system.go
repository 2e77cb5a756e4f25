package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// figures are what a process says of itself. What the system does not tell is 0.
type figures struct {
	Goroutines  int
	Descriptors int
	Heap        int // bytes that live, after a collection
	RSS         int // bytes
	CPU         time.Duration
}

const unlimited = 1 << 30 // descriptors

// takeFigures collects garbage first, twice: what lies in a sync.Pool survives once.
func takeFigures() figures {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return figures{
		Goroutines:  runtime.NumGoroutine(),
		Descriptors: descriptors(),
		Heap:        int(stats.HeapAlloc),
		RSS:         residentBytes(),
		CPU:         processorTime(),
	}
}

// descriptors is how many this process has open.
func descriptors() int {
	entries, err := os.ReadDir("/dev/fd")
	if err != nil {
		return 0
	}
	return len(entries) - 1 // one was there to read the others
}

// residentBytes is what this process has of the memory.
func residentBytes() int {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, resident int
	if _, err := fmt.Sscan(string(b), &size, &resident); err != nil {
		return 0
	}
	return resident * os.Getpagesize()
}

// machineTime is how long the processors of the machine have been busy, with whatever,
// to a hundredth of a second.
func machineTime() time.Duration {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(b), "\n")
	var user, nice, system, idle, wait, irq, soft, stolen int64
	if _, err := fmt.Sscanf(line, "cpu %d %d %d %d %d %d %d %d", &user, &nice, &system, &idle, &wait, &irq, &soft, &stolen); err != nil {
		return 0
	}
	return time.Duration(user+nice+system+irq+soft+stolen) * (time.Second / 100)
}

// settled waits until this process has no more goroutines and descriptors than these,
// and reports whether that came about in time.
func settled(goroutines, descriptorsThen int, patience time.Duration) bool {
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if runtime.NumGoroutine() <= goroutines && descriptors() <= descriptorsThen {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}
