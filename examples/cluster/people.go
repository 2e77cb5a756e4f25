package main

import (
	"encoding/json"
	"log"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
)

// Who is here. Each node says for each room where it has people who they are: when that
// changes, and again every few seconds. A node that is silent is dead or cut off, and its people
// are gone with it, unless they have come back elsewhere. All this goes by plain
// NATS, with no stream and no quorum: nobody wants to know who was here.

const (
	repeat = 2 * time.Second
	gather = 20 * time.Millisecond
)

// A person is a name, and the page where it was given. By the page, one who has moved
// to another node is known before the old node has noticed.
type person struct {
	Name string `json:"name"`
	Page string `json:"page"`
}

// A crowd is what a node says of its people in a room.
type crowd struct {
	Node   string    `json:"node"`
	People []person  `json:"people"`
	Ask    bool      `json:"ask,omitempty"` // the others are to say who is there
	heard  time.Time // here
}

// tellNodes tells the other nodes who is here at this one.
func (r *room) tellNodes(ask bool) {
	r.told = time.Now()
	c := crowd{Node: r.bus.instance, Ask: ask}
	for _, p := range r.people {
		c.People = append(c.People, p)
	}
	p, err := json.Marshal(c)
	if err == nil {
		err = r.bus.nc.Publish(r.bus.subject("people", r.name), p)
	}
	if err != nil {
		log.Printf("room %q: other nodes can't be told who is here: %v", r.name, err)
	}
}

// tellNodesSoon tells them once for all that changes within a moment.
func (r *room) tellNodesSoon() {
	if r.soon != nil || r.closed {
		return
	}
	r.soon = time.AfterFunc(gather, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.soon != nil {
			r.soon = nil
			r.tellNodes(false)
		}
	})
}

// hear is what another node tells.
func (r *room) hear(m *nats.Msg) {
	var c crowd
	if err := json.Unmarshal(m.Data, &c); err != nil {
		log.Printf("room %q: this is not about people: %v", r.name, err)
		return
	}
	c.heard = time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(c.People) > 0 {
		r.elsewhere[c.Node] = c
	} else {
		delete(r.elsewhere, c.Node)
	}
	if c.Ask && len(r.people) > 0 {
		r.tellNodesSoon()
	}
	r.refresh()
}

// tick repeats what the other nodes should know, and forgets those that are silent.
func (r *room) tick() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.people) > 0 && time.Since(r.told) >= repeat {
		r.tellNodes(false)
	}
	for node, c := range r.elsewhere {
		if time.Since(c.heard) >= r.bus.cfg.silent {
			delete(r.elsewhere, node)
		}
	}
	r.refresh()
}

// refresh tells everybody at this node who has come and gone since the last time.
func (r *room) refresh() {
	here := make(map[person]bool)
	for _, p := range r.people {
		here[p] = true
	}
	for _, c := range r.elsewhere {
		for _, p := range c.People {
			here[p] = true
		}
	}
	now := make([]string, 0, len(here))
	for p := range here {
		now = append(now, p.Name)
	}
	slices.Sort(now)
	joined, left := without(now, r.shown), without(r.shown, now)
	if len(joined)+len(left) == 0 {
		return
	}
	r.shown = now
	e := event{Type: "people", Count: len(now)}
	if len(joined)+len(left) <= maxNames {
		e.Joined, e.Left = joined, left
	} else {
		e.People = some(now)
	}
	r.tellAll(e.encode())
}

// some returns as many names as may be in an event.
func some(names []string) []string { return names[:min(len(names), maxNames)] }

// without returns what is in a and not in b. Both are sorted; what is in a twice has to be
// in b twice.
func without(a, b []string) (rest []string) {
	for _, s := range a {
		for len(b) > 0 && b[0] < s {
			b = b[1:]
		}
		if len(b) > 0 && b[0] == s {
			b = b[1:]
			continue
		}
		rest = append(rest, s)
	}
	return rest
}
