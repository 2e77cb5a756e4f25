package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
)

// A page does what page/chat.js does: it goes to another node when its own is lost, passes over
// what it has heard before, and keeps what it says until that is confirmed. It sends the
// next message then.
type page struct {
	t          *testing.T
	name, room string
	hosts      []string
	stop       context.CancelFunc
	done       chan struct{}

	state
	at     int // index of hosts
	c      *websocket.Conn
	outbox []string // IDs
	acked  []string
	heard  []event // of type "said", in the order of arrival
	stream string
	waited int // times that it was told to wait
	codes  []int
	people []string
}

func open(t *testing.T, room, name string, at int, hosts []string) *page {
	ctx, stop := context.WithCancel(t.Context())
	p := &page{t: t, name: name, room: room, at: at, hosts: hosts, stop: stop, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		for ctx.Err() == nil {
			p.connect(ctx)
		}
	}()
	t.Cleanup(p.close)
	return p
}

func (p *page) close() {
	p.stop()
	within(p.t, p.done, "a page does not end")
}

// last is the place of the latest message that it has heard.
func (p *page) last() uint64 {
	if len(p.heard) == 0 {
		return 0
	}
	return p.heard[len(p.heard)-1].Seq
}

// connect goes to a node and stays there until the connection is lost.
func (p *page) connect(ctx context.Context) {
	p.mu.Lock()
	query := url.Values{"room": {p.room}, "name": {p.name}, "stream": {p.stream}, "after": {strconv.FormatUint(p.last(), 10)}}
	query.Set("page", "page-of-"+p.name)
	u := "ws://" + p.hosts[p.at] + "/ws?" + query.Encode()
	p.mu.Unlock()
	c, _, err := websocket.DefaultDialer.DialContext(ctx, u, nil)
	if err == nil {
		for m, readErr := range c.Messages(ctx) {
			if err = readErr; err != nil {
				break
			}
			var e event
			if err = json.Unmarshal(m.Data, &e); err != nil {
				break
			}
			p.receive(c, e)
		}
		c.Close()
		var closed *websocket.CloseError
		if cause := context.Cause(c.Context()); ctx.Err() == nil && errors.As(cause, &closed) {
			p.note(func() { p.codes = append(p.codes, closed.Code) })
		}
	}
	p.note(func() {
		p.c = nil
		p.at = (p.at + 1) % len(p.hosts)
	})
	select {
	case <-time.After(20 * time.Millisecond):
	case <-ctx.Done():
	}
}

func (p *page) receive(c *websocket.Conn, e event) {
	p.note(func() {
		switch e.Type {
		case "welcome":
			if e.Missing || p.stream != "" && p.stream != e.Stream {
				p.t.Errorf("%s has lost messages: %+v", p.name, e)
			}
			p.c, p.stream, p.people = c, e.Stream, e.People
			for _, raw := range e.History {
				var said event
				if err := json.Unmarshal(raw, &said); err != nil {
					p.t.Error(err)
				}
				p.hear(said)
			}
			p.pump()
		case "said":
			p.hear(e)
		case "sent":
			if len(p.outbox) > 0 && p.outbox[0] == e.ID {
				p.acked = append(p.acked, e.ID)
				p.outbox = p.outbox[1:]
				p.pump()
			}
		case "missing":
			p.t.Errorf("%s has lost messages", p.name)
		case "waiting":
			p.waited++
		case "people":
			p.people = e.comeAndGo(p.people)
		}
	})
}

// hear adds what it has not heard. A node that has yet to read what another has told
// already, for its consumer has died with a server, tells that to those who
// come meanwhile too.
func (p *page) hear(said event) {
	if said.Seq > p.last() {
		p.heard = append(p.heard, said)
	}
}

// comeAndGo returns the names of those who are there after e.
func (e event) comeAndGo(people []string) []string {
	if e.People != nil {
		return slices.Clone(e.People)
	}
	for _, name := range e.Left {
		if i := slices.Index(people, name); i >= 0 {
			people = slices.Delete(people, i, i+1)
		}
	}
	people = append(people, e.Joined...)
	slices.Sort(people)
	return people
}

func (p *page) pump() {
	if p.c != nil && len(p.outbox) > 0 {
		_ = p.c.WriteJSON(request{Type: "say", ID: p.outbox[0], Text: "I am " + p.name}) // or else on the next connection
	}
}

// say says n messages.
func (p *page) say(n int) {
	p.note(func() {
		idle := len(p.outbox) == 0
		for range n {
			p.outbox = append(p.outbox, strconv.Itoa(len(p.acked)+len(p.outbox)))
		}
		if idle {
			p.pump()
		}
	})
}

// await waits until something is so.
func (p *page) await(what string, so func() bool) {
	p.t.Helper()
	p.state.await(p.t, so, func() string {
		return fmt.Sprintf("%s: %s: at %d, outbox %v, %d acked, %d heard, people %v, waited %d, codes %v",
			p.name, what, p.at, p.outbox, len(p.acked), len(p.heard), p.people, p.waited, p.codes)
	})
}

// check has all pages wait for all that was confirmed to one of them, and compares: they
// have heard the same, each message once, in the order of the stream, and those of each
// sender in the order in which they were sent.
func check(t *testing.T, pages []*page) {
	t.Helper()
	total := 0
	for _, p := range pages {
		p.await("not all is confirmed", func() bool {
			if len(p.outbox) > 0 {
				return false
			}
			total += len(p.acked)
			return true
		})
	}
	type line struct {
		Seq      uint64
		Name, ID string
	}
	var first []line
	for _, p := range pages {
		var heard []event
		p.await("not all is heard", func() bool {
			heard = slices.Clone(p.heard)
			return len(heard) >= total
		})
		next := make(map[string]int)
		var lines []line
		for _, e := range heard {
			require.Equal(t, strconv.Itoa(next[e.Name]), e.ID, "%s has not heard %s in order, or something twice", p.name, e.Name)
			next[e.Name]++
			lines = append(lines, line{e.Seq, e.Name, e.ID})
		}
		require.Len(t, lines, total, "%s has heard something twice", p.name)
		if first == nil {
			first = lines
		}
		require.Equal(t, first, lines, "%s has heard something else", p.name)
	}
}

// A cluster is several nodes, each a process.
type cluster struct {
	t     *testing.T
	args  [][]string
	hosts []string
	nodes []*process
}

func startCluster(t *testing.T, n int, args ...string) *cluster {
	cfg, err := parseFlags(append([]string{"-nodes", strconv.Itoa(n), "-addr", "127.0.0.1:0"}, args...), io.Discard)
	require.NoError(t, err)
	cl := &cluster{t: t, nodes: make([]*process, n)}
	dir := t.TempDir()
	require.NoError(t, makeSecret(dir))
	cl.args, err = plan(cfg, dir)
	require.NoError(t, err)
	for i, args := range cl.args {
		node, err := parseFlags(args, io.Discard)
		require.NoError(t, err)
		cl.hosts = append(cl.hosts, node.addr)
		cl.start(i)
	}
	for i := range n {
		cl.ready(i)
	}
	return cl
}

func (cl *cluster) start(i int) { cl.nodes[i] = run(cl.t, cl.args[i]...) }
func (cl *cluster) ready(i int) { cl.nodes[i].next(" is ready: ") }

// kill has a node end at once, with no leave of anybody.
func (cl *cluster) kill(i int) {
	require.NoError(cl.t, cl.nodes[i].Process.Kill())
	within(cl.t, cl.nodes[i].ended, "a node does not end")
}

// leader asks a node which leads the stream, as far as it knows, until it is none of these.
func (cl *cluster) leader(i int, but ...int) (leads int) {
	var body string
	eventually(cl.t, func() bool {
		_, body = get(cl.t, cl.hosts[i], "/readyz")
		found := regexp.MustCompile(`^ready; .*leader: n(\d)\n$`).FindStringSubmatch(body)
		if found == nil {
			return false
		}
		leads = int(found[1][0] - '1')
		return !slices.Contains(but, leads)
	}, "no other leader")
	return leads
}

func TestNodesThatAreKilledLoseNothing(t *testing.T) {
	t.Parallel() // it waits for elections most of the time
	cl := startCluster(t, 3, "-pause", "0", "-history", "10000")
	var pages []*page
	var names []string
	for i := range 6 {
		names = append(names, fmt.Sprintf("P%d", i))
		pages = append(pages, open(t, "lobby", names[i], i%3, cl.hosts))
	}
	all := func() {
		for _, p := range pages {
			p.await("not all are here", func() bool { return slices.Equal(names, slices.Sorted(slices.Values(p.people))) })
		}
	}
	all()

	// The worst node to lose leads the stream, while all are talking.
	first := cl.leader(0)
	for _, p := range pages {
		p.say(60)
	}
	for _, p := range pages {
		p.await("it is not heard", func() bool { return len(p.acked) >= 10 })
	}
	cl.kill(first)
	check(t, pages)
	all() // those of that node have come back elsewhere

	// Two of three dead: no message is confirmed, and all who say something are told.
	// The one that is left should be the leader, which still answers for a while.
	third := cl.leader((first+1)%3, first)
	second := 3 - first - third
	cl.kill(second)
	for _, p := range pages {
		p.await("it is not at the last node", func() bool { return p.at == third && p.c != nil })
		p.note(func() { p.waited, p.codes = 0, nil })
		p.say(5)
	}
	for _, p := range pages {
		acked := 0
		p.await("it is not told to wait", func() bool {
			acked = len(p.acked)
			// A node that has had no time to say so has called itself cut off in the end.
			return p.waited > 0 || slices.Contains(p.codes, websocket.CloseTryAgainLater)
		})
		require.Equal(t, 60, acked)
	}
	cl.start(first)
	cl.start(second)
	cl.ready(first)
	cl.ready(second)
	check(t, pages)

	// One ends in good order: its people are told, and go elsewhere. All are where they were
	// during the outage, unless it took so long that they were sent away.
	var last int
	pages[0].await("it is at no node", func() bool {
		last = pages[0].at
		return pages[0].c != nil
	})
	var there []*page
	for _, p := range pages {
		p.note(func() {
			p.codes = nil
			if p.c != nil && p.at == last {
				there = append(there, p)
			}
		})
		p.say(20)
	}
	require.NoError(t, cl.nodes[last].end())
	for _, p := range there {
		p.await("it was not told", func() bool { return slices.Contains(p.codes, websocket.CloseGoingAway) })
	}
	check(t, pages)
	all()
	for _, p := range pages {
		p.close()
	}
	for i := range cl.nodes {
		cl.nodes[i].stdin.Close()
	}
	for i := range cl.nodes {
		if i != last {
			require.NoError(t, cl.nodes[i].end())
		}
	}
}
