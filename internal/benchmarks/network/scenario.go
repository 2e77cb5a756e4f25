//go:build linux

package main

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"
)

// A scenario is a table of what is measured: cells, each for all rows.
type scenario struct {
	name  string // for -scenario
	role  role   // of the measured processes, which last as long as it
	has   func(r row) bool
	cells func(o options) []cell
	once  bool // one round, and a process for each turn: memory is the same each time
}

// takes says whether r takes part.
func (sc scenario) takes(r row) bool { return sc.has(r) && !slices.Contains(r.without, sc.name) }

type cell struct {
	name    string // of table and line
	measure func(s *subject) (result, error)
}

var scenarios = []scenario{
	{"pingpong", roleEcho, func(r row) bool { return r.echo != nil }, pingPong, false},
	{"pipelined", roleEcho, func(r row) bool { return r.echo != nil }, pipelined, false},
	{"writers", rolePush, func(r row) bool { return r.push != nil }, writers, false},
	{"broadcast", rolePush, func(r row) bool { return r.broadcast != nil }, broadcast, false},
	{"serverwrite", rolePush, func(r row) bool { return r.push != nil }, serverWrite, false},
	{"clientwrite", roleClientPush, func(r row) bool { return r.dial != nil }, clientWrite, false},
	{"readkept", roleReadKept, func(r row) bool { return r.readKept != nil }, reads("ReadKept"), false},
	{"read", roleRead, func(r row) bool { return r.read != nil }, reads("Read"), false},
	{"client", roleClientEcho, func(r row) bool { return r.clientEcho != nil }, client, false},
	{"upgrade", roleDrop, func(r row) bool { return r.drop != nil }, upgrades("conn"), false},
	{"upgradehttp", roleDropHTTP, func(r row) bool { return r.dropHTTP != nil }, upgrades("net-http"), false},
	{"tls", roleTLS, func(r row) bool { return r.echo != nil }, overTLS, false},
	{"idle", roleIdle, func(r row) bool { return r.echo != nil || r.idle != nil }, idle, true},
}

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
	l, err := newLoad()
	if err != nil {
		return result{}, err
	}
	defer l.close()
	// An echo of bytes returns frames as they were sent.
	if err := l.dial(s.addr, s.row.plain, conns, receiver{want: payload(size), masked: s.row.plain}); err != nil {
		return result{}, err
	}
	return s.exchange(l, o, batch(per, size, true), per)
}

// exchange measures a number of exchanges, after fewer that are not measured.
func (s *subject) exchange(l interface {
	exchange(batch []byte, per int, d time.Duration) (result, error)
}, o options, batch []byte, per int) (result, error) {
	if _, err := l.exchange(batch, per, o.time/8); err != nil {
		return result{}, err
	}
	return s.measured(func() (result, error) { return l.exchange(batch, per, o.time) })
}

// batch returns frames to be sent at once.
func batch(per, size int, masked bool) (frames []byte) {
	p := payload(size)
	for range per {
		frames = appendFrame(frames, p, masked)
	}
	return frames
}

// writers has goroutines write to one connection.
func writers(o options) []cell {
	var cells []cell
	for _, n := range []int{1, 8, 64} {
		cells = append(cells, cell{fmt.Sprintf("Writers/%d", n), func(s *subject) (result, error) {
			return push(s, o, n, 64)
		}})
	}
	return cells
}

var largeSizes = []int{64 << 10, 1 << 20, 16 << 20}

func serverWrite(o options) []cell { return largeCells("ServerWrite", o, pushLarge) }
func clientWrite(o options) []cell { return largeCells("ClientWrite", o, pushLarge) }

func reads(name string) func(o options) []cell {
	return func(o options) []cell { return largeCells(name, o, read) }
}

func largeCells(name string, o options, measure func(s *subject, o options, size int) (result, error)) []cell {
	var cells []cell
	for _, size := range largeSizes {
		cells = append(cells, cell{name + "/" + sizeName(size), func(s *subject) (result, error) {
			if o.quick {
				size = min(size, 2<<20)
			}
			r, err := measure(s, o, size)
			r.bytes = r.messages * size
			return r, err
		}})
	}
	return cells
}

func pushLarge(s *subject, o options, size int) (result, error) { return push(s, o, 1, size) }

// push measures what it takes to send messages on one connection.
func push(s *subject, o options, writers, size int) (r result, err error) {
	l, err := newLoad()
	if err != nil {
		return r, err
	}
	defer l.close()
	if _, err := s.ask(request{Do: "anew", Size: size}); err != nil {
		return r, err
	}
	in := receiver{want: payload(size), masked: s.role == roleClientPush}
	if s.role == roleClientPush {
		err = s.accept(l, 1, in)
	} else {
		err = l.dial(s.addr, s.row.plain, 1, in)
	}
	if err != nil {
		return r, err
	}
	if _, err := s.ask(request{Do: "opened", Count: 1}); err != nil {
		return r, err
	}
	turn := func(d time.Duration) (r result, err error) {
		begin, before := time.Now(), l.messages
		pushed := s.begin(request{Do: "push", Size: size, Writers: writers, Time: d})
		err = l.collect(func() (int, error) {
			a, err := pushed()
			if a == nil {
				return -1, err
			}
			return before + a.Messages, err
		})
		r.messages, r.elapsed = l.messages-before, l.last.Sub(begin)
		return r, err
	}
	if _, err := turn(o.time / 8); err != nil {
		return r, err
	}
	return s.measured(func() (result, error) { return turn(o.time) })
}

// accept has the process, a client, open connections, and takes them in.
func (s *subject) accept(l *load, n int, in receiver) error {
	listener, addr, err := listen()
	if err != nil {
		return err
	}
	defer syscall.Close(listener)
	dialed := make(chan error, 1)
	go func() {
		_, err := s.ask(request{Do: "dial", Addr: addr, Count: n})
		dialed <- err
	}()
	err = l.accept(listener, s.row.plain, n, in)
	return errors.Join(err, <-dialed)
}

// broadcast sends messages to a thousand connections, and the next when all have
// them.
func broadcast(o options) []cell {
	const size = 512
	conns := o.fewer(1000)
	var cells []cell
	for _, burst := range []int{1, 16} {
		cells = append(cells, cell{fmt.Sprintf("Broadcast/1000x%d", burst), func(s *subject) (r result, err error) {
			l, err := newLoad()
			if err != nil {
				return r, err
			}
			defer l.close()
			if _, err := s.ask(request{Do: "anew", Size: size}); err != nil {
				return r, err
			}
			if err := l.dial(s.addr, s.row.plain, conns, receiver{want: payload(size)}); err != nil {
				return r, err
			}
			if _, err := s.ask(request{Do: "opened", Count: conns}); err != nil {
				return r, err
			}
			n := 0
			turn := func(d time.Duration) (r result, err error) {
				for begin := time.Now(); r.messages == 0 || r.elapsed < d; {
					sent := time.Now()
					n += burst
					over := s.begin(request{Do: "broadcast", Count: burst})
					if err := l.collect(func() (int, error) {
						a, err := over()
						if a == nil {
							return -1, err
						}
						return n, err
					}); err != nil {
						return r, err
					}
					r.messages += burst * conns
					r.latency.add(l.last.Sub(sent))
					r.elapsed = l.last.Sub(begin)
				}
				return r, nil
			}
			if _, err := turn(o.time / 8); err != nil {
				return r, err
			}
			return s.measured(func() (result, error) { return turn(o.time) })
		}})
	}
	return cells
}

// read measures what it takes to read messages on one connection.
func read(s *subject, o options, size int) (r result, err error) {
	l, err := newLoad()
	if err != nil {
		return r, err
	}
	defer l.close()
	if _, err := s.ask(request{Do: "anew", Size: size}); err != nil {
		return r, err
	}
	if err := l.dial(s.addr, s.row.plain, 1, receiver{}); err != nil {
		return r, err
	}
	frame, n := batch(1, size, true), 0
	turn := func(d time.Duration) (r result, err error) {
		begin := time.Now()
		if r.messages, err = l.feed(frame, d); err != nil {
			return r, err
		}
		n += r.messages
		_, err = s.ask(request{Do: "got", Count: n})
		r.elapsed = time.Since(begin)
		return r, err
	}
	if _, err := turn(o.time / 8); err != nil {
		return r, err
	}
	return s.measured(func() (result, error) { return turn(o.time) })
}

// client is ping-pong with clients: the load sends first.
func client(o options) []cell {
	const conns, size = 8, 512
	return []cell{{"Client/8x512B", func(s *subject) (r result, err error) {
		l, err := newLoad()
		if err != nil {
			return r, err
		}
		defer l.close()
		if err := s.accept(l, conns, receiver{want: payload(size), masked: !s.row.plain}); err != nil {
			return r, err
		}
		return s.exchange(l, o, batch(1, size, false), 1)
	}}}
}

// upgrades has connections opened, 32 at a time.
func upgrades(name string) func(o options) []cell {
	return func(o options) []cell {
		return []cell{{"Upgrade/" + name, func(s *subject) (r result, err error) {
			if _, err := upgrade(s.addr, 32, o.time/8, s.row.loses); err != nil {
				return r, err
			}
			return s.measured(func() (result, error) { return upgrade(s.addr, 32, o.time, s.row.loses) })
		}}}
	}
}

// overTLS is ping-pong and pipelined over TLS.
func overTLS(o options) []cell {
	const conns = 8
	var cells []cell
	for _, load := range []struct {
		name      string
		per, size int
	}{{"pingpong-512B", 1, 512}, {"pipelined-64", 64, 64}} {
		cells = append(cells, cell{"TLS/" + load.name, func(s *subject) (result, error) {
			var l tlsLoad
			defer l.close()
			in := receiver{want: payload(load.size), masked: s.row.plain}
			if err := l.dial(s.addr.String(), s.row.plain, conns, in); err != nil {
				return result{}, err
			}
			return s.exchange(&l, o, batch(load.per, load.size, true), load.per)
		}})
	}
	return cells
}

// idle opens connections, has one message returned on each, and looks what they
// take of the memory.
func idle(o options) []cell {
	const size, few = 64, 20
	return []cell{{fmt.Sprintf("Idle/%d", o.idle), func(s *subject) (r result, err error) {
		l, err := newLoad()
		if err != nil {
			return r, err
		}
		defer l.close()
		opened := func(n int) error {
			if err := l.dial(s.addr, s.row.plain, n, receiver{want: payload(size), masked: s.row.plain}); err != nil {
				return err
			}
			_, err := l.exchange(batch(1, size, true), 1, 0)
			return err
		}
		// What the first ones bring about is not theirs.
		if err := opened(few); err != nil {
			return r, err
		}
		before, err := s.ask(request{Do: "memory", GC: true})
		if err != nil {
			return r, err
		}
		if err := opened(o.idle); err != nil {
			return r, err
		}
		time.Sleep(min(6*o.time, 1500*time.Millisecond)) // what is done afterwards is done
		r.messages = o.idle
		for _, gc := range []bool{false, true} {
			after, err := s.ask(request{Do: "memory", GC: gc})
			if err != nil {
				return r, err
			}
			unit := "B/conn"
			if gc {
				unit = "gc-B/conn"
			}
			r.figures = append(r.figures, figure{float64(after.RSS-before.RSS) / float64(o.idle), unit})
			if gc && after.Goroutines > 0 {
				r.figures = append(r.figures, figure{float64(after.Goroutines-before.Goroutines) / float64(o.idle), "goroutines/conn"})
			}
		}
		return r, nil
	}}}
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
