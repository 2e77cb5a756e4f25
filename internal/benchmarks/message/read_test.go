package message

import (
	"bytes"
	"runtime"
	"sync"
	"testing"
	"time"
)

// BenchmarkRead reads the frames of a client, which lie in memory and come one at
// a time: what it costs to unmask, expand and hand out messages. One operation
// is one message, cpu-ns/op as for BenchmarkWrite.
func BenchmarkRead(b *testing.B) {
	forEach(b, func(b *testing.B, m mode, d dataSet, l library) {
		messages := d.messages()
		frames := recorded(m, d)
		size := 0
		for _, p := range messages {
			size += len(p)
		}
		wire := newWire(frames, -1)
		n := 0
		var start time.Duration
		c, err := m.open(l.setup(m, func(p []byte) {
			if n < len(messages) {
				if !bytes.Equal(p, messages[n]) {
					b.Errorf("message %d came in wrong", n)
					wire.stop = true
				}
				if n++; n == len(messages) {
					runtime.GC()
					start = processCPU()
				}
				return
			}
			// Each call of Loop is an operation, at the end of which the next begins.
			if !b.Loop() {
				reportCPU(b, start)
				wire.stop = true
			}
		}), wire)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(size / len(messages)))
		b.ReportAllocs()
		c.serve()
		if !b.Failed() && !wire.stop {
			b.Fatalf("reading ended after %d messages", n)
		}
	})
}

var (
	recordings = map[string][][]byte{}
	recordingM sync.Mutex
)

// recorded is clientFrames, made once.
func recorded(m mode, d dataSet) [][]byte {
	recordingM.Lock()
	defer recordingM.Unlock()
	key := m.name + " " + d.name
	if recordings[key] == nil {
		recordings[key] = clientFrames(m, d)
	}
	return recordings[key]
}
