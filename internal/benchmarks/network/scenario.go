//go:build linux

package main

import (
	"fmt"
	"net/netip"
	"time"
)

// A scenario is a table of what is measured: cells, each for all rows.
type scenario struct {
	name  string // for -scenario
	role  role   // of the measured processes, which last as long as it
	has   func(r row) bool
	cells func(o options) []cell
}

type cell struct {
	name    string // of table and line
	measure func(s *subject) (result, error)
}

var scenarios = []scenario{
	{"pingpong", roleEcho, hasEcho, pingPong},
	{"pipelined", roleEcho, hasEcho, pipelined},
}

func hasEcho(r row) bool { return r.echo != nil }

// pingPong has one message under way on each connection.
func pingPong(o options) []cell {
	type load struct{ conns, size int }
	loads := []load{{1, 512}, {8, 512}, {200, 16}, {200, 512}, {200, 4 << 10}, {200, 64 << 10}, {1000, 512}}
	if o.all {
		loads = nil
		for _, conns := range []int{1, 8, 200, 1000} {
			for _, size := range []int{16, 512, 4 << 10, 64 << 10} {
				loads = append(loads, load{conns, size})
			}
		}
	}
	var cells []cell
	for _, l := range loads {
		cells = append(cells, cell{fmt.Sprintf("PingPong/%dx%s", l.conns, sizeName(l.size)), func(s *subject) (result, error) {
			return echo(s, o, o.fewer(l.conns), 1, l.size)
		}})
	}
	return cells
}

// pipelined has several small messages in each write.
func pipelined(o options) []cell {
	var cells []cell
	for _, per := range []int{1, 16, 64} {
		cells = append(cells, cell{fmt.Sprintf("Pipelined/%d", per), func(s *subject) (result, error) {
			return echo(s, o, 8, per, 64)
		}})
	}
	return cells
}

// echo measures what it takes to return messages of size bytes, per at a time.
func echo(s *subject, o options, conns, per, size int) (result, error) {
	addr, err := netip.ParseAddrPort(s.addr)
	if err != nil {
		return result{}, err
	}
	l, err := newLoad()
	if err != nil {
		return result{}, err
	}
	defer l.close()
	p := payload(size)
	if err := l.dial(addr, s.row.plain, conns, p); err != nil {
		return result{}, err
	}
	var batch []byte
	for range per {
		batch = appendFrame(batch, p, true)
	}
	if _, err := l.exchange(batch, per, o.time/8); err != nil {
		return result{}, err
	}
	return s.measured(func() (result, error) { return l.exchange(batch, per, o.time) })
}

// measured adds what the process had of the processor while do did something.
func (s *subject) measured(do func() (result, error)) (result, error) {
	if _, err := s.ask(request{Do: "begin"}); err != nil {
		return result{}, err
	}
	r, err := do()
	if err != nil {
		return r, err
	}
	a, err := s.ask(request{Do: "end"})
	r.cpu, r.mallocs, r.counted = time.Duration(a.CPU), uint64(max(a.Mallocs, 0)), a.Mallocs >= 0
	return r, err
}

// sizeName is n with a unit, as short as it can be.
func sizeName(n int) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%dMiB", n>>20)
	case n >= 1<<10:
		return fmt.Sprintf("%dKiB", n>>10)
	}
	return fmt.Sprintf("%dB", n)
}
