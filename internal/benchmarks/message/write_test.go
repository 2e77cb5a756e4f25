package message

import (
	"bytes"
	"runtime"
	"testing"
)

// BenchmarkWrite sends messages into a connection that counts bytes: what it
// costs to compress and frame them. One operation is one message; cpu-ns/op is
// the processor time of the whole process, garbage collection included, and
// ratio the bytes on the wire, headers included, by those of the messages.
func BenchmarkWrite(b *testing.B) {
	forEach(b, func(b *testing.B, m mode, d dataSet, l library) {
		messages := d.messages()
		wire := newWire(nil, 0)
		c, err := m.open(l.setup(m, nil), wire)
		if err != nil {
			b.Fatal(err)
		}
		defer wire.Close()

		// What the first messages come to, and whether they are right.
		wire.record = new(bytes.Buffer)
		size := 0
		for _, p := range messages {
			size += len(p)
			if err := c.write(d.text, p); err != nil {
				b.Fatal(err)
			}
		}
		ratio := float64(wire.written) / float64(size)
		sent, err := serverMessages(m, d, wire.record.Bytes())
		if err != nil {
			b.Fatal(err)
		}
		if len(sent) != len(messages) {
			b.Fatalf("%d messages were sent, and not %d", len(sent), len(messages))
		}
		for i, p := range messages {
			if !bytes.Equal(sent[i], p) {
				b.Fatalf("message %d went out wrong", i)
			}
		}
		wire.record, sent = nil, nil

		b.SetBytes(int64(size / len(messages)))
		b.ReportAllocs()
		runtime.GC()
		i := 0
		start := processCPU()
		for b.Loop() {
			if err := c.write(d.text, messages[i]); err != nil {
				b.Fatal(err)
			}
			if i++; i == len(messages) {
				i = 0
			}
		}
		reportCPU(b, start)
		b.ReportMetric(ratio, "ratio")
	})
}

// forEach runs f as a benchmark named mode/data/library.
func forEach(b *testing.B, f func(b *testing.B, m mode, d dataSet, l library)) {
	for _, m := range modes {
		b.Run(m.name, func(b *testing.B) {
			for _, d := range dataSets {
				b.Run(d.name, func(b *testing.B) {
					for _, l := range libraries {
						if l.has(m) {
							b.Run(l.name, func(b *testing.B) { f(b, m, d, l) })
						}
					}
				})
			}
		})
	}
}
