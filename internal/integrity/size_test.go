package integrity

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
)

var full = flag.Bool("integrity.full", false, "send every size from 0 to 70,000 by each method, and a million messages in all")

const largest = 70_000

// A route is a method to write and a method to read.
type route struct {
	writing
	reading
	echo *reading
}

// routes have every method in them.
var routes = []route{
	{writing: writeMessage, reading: readMessage},
	{writing: writeMessageContext, reading: readMessageContext},
	{writing: nextWriter, reading: nextReader},
	{writing: writePrepared, reading: messages},
	{writing: tryWriteMessage, reading: joinMessages},
	{writing: tryWritePrepared, reading: nextReader, echo: &serve},
	{writing: writeMessage, reading: messages, echo: &start},
	{writing: writeJSON, reading: readJSON},
	{writing: streamWrite, reading: streamRead},
}

// sweep is the sizes that a test goes through besides the edges.
func sweep() []int {
	var sizes []int
	step := 499
	switch {
	case *full:
		step = 1
	case raced:
		step = 4999
	}
	for size := 0; size <= largest; size += step {
		sizes = append(sizes, size)
		if !*full && size == 0 {
			for small := range 300 {
				sizes = append(sizes, small)
			}
		}
	}
	return sizes
}

func TestEverySize(t *testing.T) {
	ta := &tally{began: time.Now()}
	t.Run("routes", func(t *testing.T) {
		for i, rt := range routes {
			name := fmt.Sprintf("%s, %s", rt.writing.name, rt.reading.name)
			if rt.echo != nil {
				name += ", " + rt.echo.name
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				classes := [][]mode{plain, deflated}
				if rt.reading.name == readJSON.name {
					classes = [][]mode{modes} // to each size one of them, for what takes long is encoding/json
				}
				for j, modes := range classes {
					spread(rt, i, modes, func(l lane, seed uint64) {
						t.Run(l.terms.String(), func(t *testing.T) { l.run(t, ta, seed+uint64(1000*i+500*j)) })
					})
				}
			})
		}
	})
	ta.report(t)
}

// spread has every size go by the route once, over this transport or that, in either direction, in one of the modes and with buffers of
// any size. The edges go in each mode and direction, and with the flag over each transport.
func spread(rt route, shift int, modes []mode, run func(l lane, seed uint64)) {
	var lanes []lane
	for i, tr := range transports {
		for j, m := range modes {
			for k, fromServer := range []bool{false, true} {
				n := i + 2*j + 3*k + shift
				lanes = append(lanes, lane{
					terms:   terms{transport: tr, mode: m, fromServer: fromServer, buffers: bufferSizes[n%len(bufferSizes)]},
					writing: rt.writing, reading: rt.reading, echo: rt.echo,
					busy: n%2 == 1,
				})
			}
		}
	}
	for i, size := range sweep() {
		l := &lanes[i%len(lanes)]
		if l.compression != nil && l.compression.Level > 5 && i/len(lanes)%4 > 0 { // which takes long
			l = &lanes[(i+2)%len(lanes)] // the next mode
		}
		l.sizes = append(l.sizes, size)
	}
	for i, l := range lanes {
		if *full || i/(2*len(modes)) == (i+shift)%len(transports) {
			for n, size := range edges {
				if !raced || n%4 == (i+shift)%4 {
					l.sizes = append(l.sizes, size)
				}
			}
		}
		if rt.writing.name == writeJSON.name { // the shortest value is a digit, and a line feed
			l.sizes = slices.DeleteFunc(l.sizes, func(size int) bool { return size < 2 })
		}
		rnd := random(uint64(i))
		rnd.Shuffle(len(l.sizes), func(i, j int) { l.sizes[i], l.sizes[j] = l.sizes[j], l.sizes[i] })
		run(l, uint64(10*i))
	}
}

// WriteJSON can't make them, but ReadJSON has to take them in its stride.
func TestShortJSON(t *testing.T) {
	t.Parallel()
	ta := &tally{began: time.Now()}
	rt := route{writing: writing{"WriteMessage of JSON", jsonText, (*sender).message}, reading: readJSON}
	for _, modes := range [][]mode{plain, deflated} {
		for _, tr := range transports {
			for _, m := range modes {
				l := lane{terms: terms{transport: tr, mode: m}, writing: rt.writing, reading: rt.reading, sizes: []int{0, 1, 2, 3, 0, 0, 4, 1, 0}}
				l.run(t, ta, 0)
			}
		}
	}
	ta.report(t)
}

// A broadcast goes to connections of every kind.
func TestBroadcast(t *testing.T) {
	t.Parallel()
	ta := &tally{began: time.Now()}
	members := []struct {
		terms
		reading
	}{
		{terms{transport: transports[0], mode: modes[0], fromServer: true}, start},
		{terms{transport: transports[0], mode: modes[1], fromServer: true, buffers: 512}, readMessageContext},
		{terms{transport: transports[1], mode: modes[0]}, messages},
		{terms{transport: transports[2], mode: modes[3], buffers: 4096}, serve},
		{terms{transport: transports[2], mode: modes[0]}, nextReader},
		{terms{transport: transports[1], mode: modes[2], fromServer: true}, readMessage},
	}
	// Everybody gets the edges, and each size of the sweep goes to one that compresses and one that does not.
	parts := make([][]int, len(members)/2)
	for i, size := range sweep() {
		parts[i%len(parts)] = append(parts[i%len(parts)], size)
	}
	for i, part := range parts {
		sizes := append(part, edges...)
		random(uint64(i)).Shuffle(len(sizes), func(i, j int) { sizes[i], sizes[j] = sizes[j], sizes[i] })
		p := listed(mixed, sizes)
		g := new(websocket.Group)
		cr := new(crew)
		var all []*websocket.Conn
		var receivers []*receiver
		pair := members[2*i : 2*i+2]
		for _, m := range pair {
			m.options = lane{busy: i == 1}.laneOptions()
			ours, theirs := connect(t, m.terms)
			g.Add(ours)
			all = append(all, ours)
			cr.conns = append(cr.conns, ours, theirs)
			receivers = append(receivers, &receiver{c: theirs, v: newVerifier(p), rnd: random(uint64(i))})
		}
		for j, m := range pair {
			r := receivers[j]
			cr.run(m.reading.name, func() error { return m.reading.judge(r, m.reading.read(r)) })
			cr.run("the sender's reading", func() error { return nothing(all[j]) })
		}
		cr.run("Broadcast", func() error {
			s := &sender{c: all[0], group: g}
			control := func(s *sender, _ int) error { return s.c.WriteControl(websocket.PingMessage, nil, time.Time{}) }
			if err := sendPlan(s, groupBroadcast, p, nil, control); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			return g.Shutdown(ctx, websocket.CloseNormalClosure, "")
		})
		require.NoError(t, cr.wait())
		for _, c := range all {
			require.Zero(t, c.Stats().Dropped)
			require.Zero(t, c.Stats().Queued)
		}
		for _, r := range receivers {
			ta.add(r.v)
		}
	}
	ta.report(t)
}
