package message

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duplexkit/websocket/internal/benchmarks/corpus"
)

// BenchmarkIdleConnection opens connections, sends or receives ten messages on
// each, of 4,000 bytes to fill any window, and looks at what is live on the heap
// right then. B/conn is what compression keeps for a connection's end: the
// difference from the same library without it. B/plain is what that keeps.
func BenchmarkIdleConnection(b *testing.B) {
	for _, m := range modes {
		b.Run(m.name, func(b *testing.B) {
			for _, way := range directions {
				b.Run(way.name, func(b *testing.B) {
					for _, l := range libraries {
						if l.has(m) {
							b.Run(l.name, func(b *testing.B) {
								connections := howMany(m, l)
								without := idleWithout(b, l, way, connections)
								with := idle(b, l, m, way, connections, 0)
								for b.Loop() { // it is no matter of time
								}
								b.ReportMetric(0, "ns/op")
								b.ReportMetric(with-without, "B/conn")
								b.ReportMetric(without, "B/plain")
							})
						}
					}
				})
			}
		})
	}
}

// howMany returns how many connections to open.
func howMany(m mode, l library) int {
	switch {
	case testing.Short():
		return 20
	case l.name == "coder" && m.takeover:
		return 100 // of more than a megabyte each
	}
	return 1000
}

// TestRestedConnection is BenchmarkIdleConnection when five minutes have passed,
// for which the clock is not waited for. It prints what a benchmark would, with
// -v; without, it is a short test of one mode.
func TestRestedConnection(t *testing.T) {
	for _, m := range modes {
		if m.name != takeover.name && !testing.Verbose() {
			continue
		}
		for _, way := range directions {
			for _, l := range libraries {
				if !l.has(m) {
					continue
				}
				synctest.Test(t, func(t *testing.T) {
					connections := 20
					if testing.Verbose() {
						connections = howMany(m, l)
					}
					without := idleWithout(t, l, way, connections)
					with := idle(t, l, m, way, connections, 5*time.Minute)
					fmt.Printf("BenchmarkIdleConnection/%s/%s,5min/%s 1 %.0f B/conn %.0f B/plain\n", m.name, way.name, l.name, with-without, without)
				})
			}
		}
	}
}

// A direction is what happens on a connection before it is idle.
type direction struct {
	name        string
	write, read bool
}

var directions = []direction{{"write", true, false}, {"read", false, true}, {"both", true, true}}

var idleData = dataSet{"idle", true, sync.OnceValue(func() [][]byte { return corpus.Chat(10, 4000) })}

// plainly is what idleWithout has found.
var plainly = map[string]float64{}

// idleWithout is idle without compression, measured once.
func idleWithout(t testing.TB, l library, way direction, connections int) float64 {
	key := fmt.Sprint(l.name, way, connections)
	if _, ok := plainly[key]; !ok {
		_ = idle(t, l, plain, way, connections, 0) // the runtime keeps goroutines that have ended
		plainly[key] = idle(t, l, plain, way, connections, 0)
	}
	return plainly[key]
}

// idle returns how many bytes a connection keeps that has rested for a while.
func idle(t testing.TB, l library, m mode, way direction, connections int, rest time.Duration) float64 {
	r := idlers{t: t, m: m, way: way}
	r.upgrade = l.setup(m, func([]byte) { r.read.Done() })
	defer r.close()
	r.open(64) // so that what all connections share is there
	time.Sleep(rest)
	before := live()
	r.open(connections)
	time.Sleep(rest)
	return float64(live()-before) / float64(connections)
}

// idlers are connections of one library.
type idlers struct {
	t       testing.TB
	m       mode
	way     direction
	upgrade upgrade
	wires   []*wire
	conns   []conn
	read    sync.WaitGroup // messages
	served  sync.WaitGroup // connections
}

// open returns when count connections have done what they are to do.
func (r *idlers) open(count int) {
	var frames [][]byte
	if r.way.read {
		frames = recorded(r.m, idleData)
	}
	for range count {
		wire := newWire(frames, len(frames))
		c, err := r.m.open(r.upgrade, wire)
		if err != nil {
			r.t.Fatal(err)
		}
		r.wires, r.conns = append(r.wires, wire), append(r.conns, c)
		r.read.Add(len(frames))
		r.served.Go(c.drain)
		if !r.way.write {
			continue
		}
		for _, p := range idleData.messages() {
			if err := c.write(true, p); err != nil {
				r.t.Fatal(err)
			}
		}
	}
	r.read.Wait()
}

func (r *idlers) close() {
	for _, w := range r.wires {
		w.Close()
	}
	r.served.Wait()
}

// live returns the bytes on the heap that are reachable. What sync.Pools hold
// goes with the second collection.
func live() int64 {
	var stats runtime.MemStats
	for range 3 {
		runtime.GC()
	}
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
