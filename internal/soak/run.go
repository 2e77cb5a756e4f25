package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
	"time"
)

// options are the program's flags.
type options struct {
	connections int
	time        time.Duration
	interval    time.Duration
	seed        uint64
	bounds
}

const (
	hostileShare = 5 // one connection in so many is an attacker's
	// moreDescriptors is what a process needs besides connections.
	moreDescriptors = 64
	fewest          = 20 // connections
)

// fits returns how many of so many connections a process may have that may have so many
// descriptors: the server has all, and those that it has not closed yet.
func fits(connections, descriptors int) int {
	return min(connections, (descriptors-moreDescriptors)*9/10)
}

// A soak is a run.
type soak struct {
	options
	w         io.Writer
	server    *child[serverRequest, serverAnswer]
	attackers *child[attackerRequest, attackerAnswer]
	clients   *clients
	order     attackerRequest // the last one given

	begin     time.Time
	last      tally // at the end of the last interval
	intervals []interval
}

// A tally is all that the processes say at one time.
type tally struct {
	server   serverAnswer
	attack   attackerAnswer
	clients  figures
	messages int64
	news     int64
	machine  time.Duration
	at       time.Time
}

// run runs all of it, and says on w what it sees. When ctx ends, it comes to the end at once.
func run(ctx context.Context, w io.Writer, o options) (v verdict, err error) {
	if n := fits(o.connections, mostDescriptors()); n < o.connections {
		fmt.Fprintf(w, "%d connections instead of %d: the system allows %d descriptors (ulimit -n)\n",
			max(n, 0), o.connections, mostDescriptors())
		o.connections = n
	}
	if o.connections < fewest {
		return v, fmt.Errorf("%d connections are too few: %d at least", o.connections, fewest)
	}
	s := &soak{options: o, w: w}
	if err := warm(); err != nil {
		return v, err
	}
	if s.server, err = startChild[serverRequest, serverAnswer]("server"); err != nil {
		return v, err
	}
	defer s.server.stop() // if there is an error, that tells
	if s.attackers, err = startChild[attackerRequest, attackerAnswer]("attackers"); err != nil {
		return v, err
	}
	defer s.attackers.stop() // as above

	err = s.soak(ctx, &v)
	if s.clients != nil {
		s.clients.settle() // also if there was an error
	}
	return v, err
}

func (s *soak) soak(ctx context.Context, v *verdict) error {
	hello, err := s.server.ask(serverRequest{Do: doFigures})
	if err != nil {
		return err
	}
	bad := s.connections / hostileShare
	good := s.connections - bad
	s.order = attackerRequest{Addr: hello.Addr, Seed: s.seed, Most: bad, Rate: max(bad/2, 10)}
	if _, err := s.attackers.ask(s.order); err != nil {
		return err
	}
	fmt.Fprintf(s.w, "seed %d, %d good connections, at most %d attackers, %d processors\n", s.seed, good, bad, runtime.GOMAXPROCS(0))
	fmt.Fprintln(s.w, heading)

	before := takeFigures()
	s.begin = time.Now()
	s.clients = &clients{
		addr:   hello.Addr,
		seed:   s.seed,
		bodies: newLibrary(newRand(s.seed, 0)),
		dials:  pace{rate: max(good/4, 100)},
	}
	s.clients.keep(good)
	if s.last, err = s.tally(); err != nil {
		return err
	}
	for s.clients.dialed.Load() < int64(good) && pause(ctx, s.interval/5) {
		if time.Since(s.begin) > 2*patience {
			return fmt.Errorf("only %d of %d connections are there: %v", s.clients.dialed.Load(), good, s.clients.faults.list())
		}
	}
	for _, phase := range phases(int(s.time / s.interval)) {
		if ctx.Err() != nil {
			break
		}
		if err := s.pass(ctx, phase); err != nil {
			return err
		}
	}
	if err := s.goodbye(v, before); err != nil {
		return err
	}
	measured := judge(s.intervals, s.bounds)
	v.failures = append(v.failures, measured.failures...)
	v.notes = append(v.notes, measured.notes...)
	v.undecided = measured.undecided
	return nil
}

// A phase is what an interval is for.
type phase string

const (
	warmCalm   phase = "warm-up"
	warmAttack phase = "warm-up, attack"
	calm       phase = "calm"
	attacked   phase = "attack"
)

// phases returns the phases of about n intervals, or of the fewest there can be, before
// the one that is left for leaving. What a first attack leaves behind in pools and
// tables is no drift yet; each later one is between two calm ones.
func phases(n int) []phase {
	list := []phase{warmCalm, warmAttack, calm}
	for n -= len(list) + 1; n >= 2 || len(list) < 5; n -= 2 {
		list = append(list, attacked, calm)
	}
	return list
}

// pass lets an interval pass, prints what it was like, and keeps that if it counts.
// When ctx ends it does not count.
func (s *soak) pass(ctx context.Context, p phase) error {
	if err := s.attack(p == attacked || p == warmAttack); err != nil {
		return err
	}
	if !pause(ctx, s.interval/settling) {
		return nil
	}
	s.clients.latencies.quantiles() // of what was before
	s.clients.measuring.Store(true)
	i, ok := s.listen(ctx, s.interval-s.interval/settling)
	s.clients.measuring.Store(false)
	if !ok {
		return nil
	}
	i.attack = p == attacked
	now, err := s.tally()
	if err != nil {
		return err
	}
	i.server, i.clients = now.server.figures, now.clients
	s.print(p, now, i)
	s.last = now
	if p == calm || p == attacked {
		s.intervals = append(s.intervals, i)
	}
	return nil
}

// settling is the part of each interval in which attackers come or go, and nothing is
// measured: a fifth.
const settling = 5

// A slice is a part of an interval. It has quantiles of its own, so that a moment in
// which the machine stands still spoils this slice and nothing else.
const slice = 500 * time.Millisecond

// listen measures the latency for so long. It returns false if ctx ends before.
func (s *soak) listen(ctx context.Context, d time.Duration) (i interval, ok bool) {
	for n := max(1, int(d/slice)); len(i.p50) < n; {
		if !pause(ctx, d/time.Duration(n)) {
			return i, false
		}
		q := s.clients.latencies.quantiles(0.5, 0.99)
		i.p50, i.p99 = append(i.p50, q[0]), append(i.p99, q[1])
	}
	return i, true
}

// attack has the attackers begin or end.
func (s *soak) attack(on bool) error {
	s.order.On = on
	_, err := s.attackers.ask(s.order)
	return err
}

func (s *soak) tally() (t tally, err error) {
	if t.server, err = s.server.ask(serverRequest{Do: doFigures}); err != nil {
		return t, err
	}
	if t.attack, err = s.attackers.ask(s.order); err != nil {
		return t, err
	}
	t.clients = takeFigures()
	t.messages, t.news = s.clients.messages.Load(), s.clients.news.Load()
	t.machine, t.at = machineTime(), time.Now()
	return t, nil
}

const heading = "" +
	"                       connections |            server             |            clients            |" +
	" messages a second |      latency, ms       |   cpu, % of all processors     |\n" +
	"  time phase             good  bad | gorout descr  heap   rss, MiB | gorout descr  heap   rss, MiB |" +
	"  echoes      news |   p50     p99   worst  | server clients attackers other |" +
	" connections that ended badly, by the server's error"

// print prints an interval.
func (s *soak) print(p phase, now tally, i interval) {
	elapsed := now.at.Sub(s.last.at)
	rate := func(n int64) float64 { return float64(n) / elapsed.Seconds() }
	share := func(d time.Duration) float64 { return 100 * float64(d) / float64(elapsed) / float64(runtime.NumCPU()) }
	figures := func(f figures) string {
		return fmt.Sprintf("%6d %5d %5.1f %10.1f", f.Goroutines, f.Descriptors, mebi(f.Heap), mebi(f.RSS))
	}
	server := now.server.CPU - s.last.server.CPU
	clients := now.clients.CPU - s.last.clients.CPU
	attackers := now.attack.CPU - s.last.attack.CPU
	other := max(0, now.machine-s.last.machine-server-clients-attackers)
	fmt.Fprintf(s.w, "%6.0f %-16s %5d %4d | %s | %s | %7.0f %9.0f | %6.2f %7.2f %7.2f | %6.0f %7.0f %9.0f %5.0f | %s\n",
		now.at.Sub(s.begin).Seconds(), p, s.clients.open.Load(), now.attack.Open, figures(now.server.figures), figures(now.clients),
		rate(now.messages-s.last.messages), rate(now.news-s.last.news),
		milliseconds(median(i.p50)), milliseconds(median(i.p99)), milliseconds(slices.Max(i.p99)),
		share(server), share(clients), share(attackers), share(other), counts(since(s.last.server.Ends, now.server.Ends)))
}

func mebi(bytes int) float64 { return float64(bytes) / (1 << 20) }

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// since returns what has been added to counts.
func since(before, now map[string]int) map[string]int {
	added := make(map[string]int)
	for what, n := range now {
		if n -= before[what]; n > 0 {
			added[what] = n
		}
	}
	return added
}

// counts prints counts, in order.
func counts(of map[string]int) string {
	var parts []string
	for _, what := range slices.Sorted(maps.Keys(of)) {
		parts = append(parts, fmt.Sprintf("%s: %d", what, of[what]))
	}
	return strings.Join(parts, ", ")
}

// goodbye has the server take leave of everybody while all are busy and attackers
// attack, and looks at what is left.
func (s *soak) goodbye(v *verdict, before figures) error {
	if err := s.attack(true); err != nil {
		return err
	}
	pause(context.Background(), min(s.interval/2, 5*time.Second))
	good := s.clients.settle()
	s.order.Over = true
	if err := s.attack(true); err != nil {
		return err
	}
	begin := time.Now()
	end, err := s.server.ask(serverRequest{Do: doShutdown})
	if err != nil {
		return err
	}
	if err := s.attack(false); err != nil {
		return err
	}
	gone := make(chan struct{})
	go func() {
		s.clients.kept.Wait()
		close(gone)
	}()
	select {
	case <-gone:
	case <-time.After(2 * patience):
		return fmt.Errorf("%d good connections do not end", s.clients.open.Load())
	}
	if !settled(before.Goroutines, before.Descriptors, patience) {
		v.fail("clients: %d goroutines and %d descriptors are left, %d and %d were there before: %s",
			runtime.NumGoroutine(), descriptors(), before.Goroutines, before.Descriptors, stacks())
	}
	clientsTook := time.Since(begin)
	last, err := s.attackers.ask(s.order)
	if err != nil {
		return err
	}
	after := takeFigures()

	v.note("attacks, and how they went:\n%s", table(last.Outcomes))
	v.note("%d connections opened; %d messages came back, %d news came", s.clients.dialed.Load(), s.clients.messages.Load(), s.clients.news.Load())
	v.note("%d of %d good connections were told 1001; the server ended in %.1f s, the clients in %.1f s, figures before and after:",
		s.clients.away.Load(), good, end.Took.Seconds(), clientsTook.Seconds())
	for _, side := range []struct {
		name          string
		before, after figures
	}{{"server", end.Before, end.figures}, {"clients", before, after}} {
		v.note("  %s: goroutines %d, %d; descriptors %d, %d; live heap %.1f MiB, %.1f MiB", side.name,
			side.before.Goroutines, side.after.Goroutines, side.before.Descriptors, side.after.Descriptors,
			mebi(side.before.Heap), mebi(side.after.Heap))
	}
	if int(s.clients.away.Load()) != good {
		v.fail("%d of %d good connections were not told 1001", good-int(s.clients.away.Load()), good)
	}
	switch {
	case end.Took == 0:
		v.fail("server: %d goroutines and %d descriptors are left, %d and %d were there before",
			end.Goroutines, end.Descriptors, end.Before.Goroutines, end.Before.Descriptors)
	case end.Took > s.bounds.end:
		v.fail("server: the end took %.1f s, which is more than %v", end.Took.Seconds(), s.bounds.end)
	}
	if end.Open != 0 {
		v.fail("server: %d connections are left", end.Open)
	}
	for _, list := range [][]string{s.clients.faults.list(), end.Faults, last.Faults} {
		v.failures = append(v.failures, list...)
	}
	return nil
}

// table prints the outcomes of attacks.
func table(outcomes map[string]map[string]int) string {
	var lines []string
	for _, kind := range slices.Sorted(maps.Keys(outcomes)) {
		lines = append(lines, fmt.Sprintf("  %-28s %s", kind, counts(outcomes[kind])))
	}
	return strings.Join(lines, "\n")
}
