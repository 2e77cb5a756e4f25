package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/duplexkit/websocket"
)

// dialers is how many connections are being opened at a time: more would overflow the
// queue in which the server's operating system keeps those that it has not accepted yet.
const dialers = 64

// A load is many clients.
type load struct {
	urls    []string
	clients int
	dialer  websocket.Dialer

	all   websocket.Group
	open  sync.WaitGroup
	tally tally

	opened atomic.Int64 // connections so far
	missed atomic.Int64 // ticks that were sent and did not come
	lag    lag

	failed failures // of connections that could not be opened
	lost   failures // of those that have ended
}

// failures are counted, and the first is remembered.
type failures struct {
	mu    sync.Mutex
	n     int
	first error
}

func (f *failures) add(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
	if f.n == 1 {
		f.first = err
	}
}

func (f *failures) get() (n int, first error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.n, f.first
}

func newLoad(urls []string, clients int, opts websocket.Options) *load {
	l := &load{urls: urls, clients: clients}
	l.dialer.Options = opts
	l.dialer.Group = &l.all
	l.dialer.HandshakeTimeout = 30 * time.Second // for those whose turn comes late
	return l
}

// run opens the connections and prints every second what they get, until ctx ends or
// all have ended.
func (l *load) run(ctx context.Context, out io.Writer) error {
	if limit, ok := fileLimit(); ok {
		if err := enoughFiles(l.clients, limit); err != nil {
			return err
		}
	}
	dialed := make(chan struct{})
	go func() {
		defer close(dialed)
		l.dialAll(ctx)
	}()

	begun := time.Now()
	reports := time.NewTicker(time.Second)
	defer reports.Stop()
	over := make(chan struct{}) // closed when all connections have ended
	go func() {
		defer close(over)
		<-dialed
		l.open.Wait()
	}()
	lastTime, last := begun, websocket.Stats{}
	for going := true; going; {
		select {
		case <-ctx.Done():
			going = false
		case <-over:
			going = false
		case <-reports.C:
			n, stats := l.tally.total()
			fmt.Fprintln(out, l.report(n, stats, last, time.Since(lastTime)))
			lastTime, last = time.Now(), stats
		}
	}
	early := ctx.Err() == nil

	<-dialed
	bye, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	if err := l.all.Shutdown(bye, websocket.CloseNormalClosure, ""); err != nil {
		fmt.Fprintln(out, "the server did not answer every farewell:", err)
	}
	<-over
	return l.summary(out, time.Since(begun), early)
}

// dialAll opens the connections.
func (l *load) dialAll(ctx context.Context) {
	var wg sync.WaitGroup
	var next atomic.Int64
	for range min(dialers, l.clients) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(l.clients) && ctx.Err() == nil; i = next.Add(1) - 1 {
				if err := l.dial(ctx, l.urls[i%int64(len(l.urls))]); err != nil && ctx.Err() == nil {
					l.failed.add(err)
				}
			}
		})
	}
	wg.Wait()
}

// dial opens a connection, which has no goroutine either: Start is for clients too.
func (l *load) dial(ctx context.Context, url string) error {
	c, resp, err := l.dialer.DialContext(ctx, url, nil)
	switch {
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%w: all ports of this machine are in use towards that address; serve on several, and give -url all of them", err)
	case err != nil && resp != nil:
		return fmt.Errorf("%w: the server answered %s", err, resp.Status)
	case err != nil:
		return err
	}
	l.opened.Add(1)
	l.open.Add(1)
	l.tally.add(c)
	var last int64 // the handler's own: it has one message at a time
	c.Start(func(m websocket.Message) error {
		now := time.Now()
		var t tick
		if err := json.Unmarshal(m.Data, &t); err != nil {
			return fmt.Errorf("this is no tick: %w", err)
		}
		l.lag.add(now.Sub(time.Unix(0, t.Sent)))
		if last != 0 {
			l.missed.Add(t.Seq - last - 1)
		}
		last = t.Seq
		return nil
	}, func(err error) {
		if err == nil {
			err = context.Cause(c.Context()) // for Start a goodbye is no error
		}
		l.tally.remove(c)
		l.lost.add(err)
		l.open.Done()
	})
	return nil
}

func (l *load) report(n int, now, last websocket.Stats, took time.Duration) string {
	per := func(now, then int64) float64 { return float64(now-then) / took.Seconds() }
	mean, worst := l.lag.take()
	text := fmt.Sprintf("%d of %d connections  %.0f messages/s  %s/s (%s/s on the wire)  %d missed so far  lag: mean %v, worst %v  %d goroutines",
		n, l.clients, per(now.MessagesRead, last.MessagesRead),
		inBytes(per(now.PayloadRead, last.PayloadRead)), inBytes(per(now.WireRead, last.WireRead)),
		l.missed.Load(), mean.Round(10*time.Microsecond), worst.Round(10*time.Microsecond), runtime.NumGoroutine())
	if n, first := l.failed.get(); n > 0 {
		text += fmt.Sprintf("  %d could not be opened: %v", n, first)
	}
	if n, first := l.lost.get(); n > 0 {
		text += fmt.Sprintf("  %d lost: %v", n, first)
	}
	return text
}

// summary prints what it all came to. It is a failure if connections could not be opened,
// or not in time, or all ended early.
func (l *load) summary(out io.Writer, took time.Duration, early bool) error {
	_, stats := l.tally.total()
	l.lag.take()
	fmt.Fprintf(out, "in all: %d messages in %v, %s, %d missed, worst lag %v\n",
		stats.MessagesRead, took.Round(time.Millisecond), inBytes(float64(stats.PayloadRead)), l.missed.Load(), l.lag.worstEver.Round(10*time.Microsecond))
	if n, first := l.failed.get(); n > 0 {
		return fmt.Errorf("%d of %d connections could not be opened: %w", n, l.clients, first)
	}
	if _, first := l.lost.get(); early {
		return fmt.Errorf("all connections have ended: %w", first)
	}
	if n := l.opened.Load(); n < int64(l.clients) {
		return fmt.Errorf("only %d of %d connections were open by then: is the server busy, or at its limit of open files?", n, l.clients)
	}
	return nil
}

// enoughFiles returns an error if n connections are more than a process with this limit
// can have.
func enoughFiles(n int, limit uint64) error {
	const others = 32 // standard input and output, the poller's...
	if uint64(n)+others <= limit {
		return nil
	}
	return fmt.Errorf("%d connections need as many open files, and this process may have %d: "+
		"raise the limit before, by ulimit -n %d, for the server as well", n, limit, n+1000)
}

// A lag is how long messages have been on their way, by the clocks of both ends: it says
// nothing if they are different machines whose clocks differ.
type lag struct {
	mu         sync.Mutex
	n          int64
	sum, worst time.Duration // since it was taken
	worstEver  time.Duration
}

func (l *lag) add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n++
	l.sum += d
	l.worst = max(l.worst, d)
}

// take returns mean and maximum of what was added since it was called before.
func (l *lag) take() (mean, worst time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n > 0 {
		mean = l.sum / time.Duration(l.n)
	}
	worst = l.worst
	l.worstEver = max(l.worstEver, worst)
	l.n, l.sum, l.worst = 0, 0, 0
	return mean, worst
}
