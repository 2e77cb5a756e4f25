package main

import (
	"sync"

	"github.com/duplexkit/websocket"
)

// A tally adds up what connections have carried, those that have ended included. It asks
// each for its Stats when somebody wants to know, which costs nothing otherwise; a
// Trace would be told of every message.
type tally struct {
	mu    sync.Mutex
	conns map[*websocket.Conn]struct{}
	ended websocket.Stats // of those that are no longer in conns
}

func (t *tally) add(c *websocket.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conns == nil {
		t.conns = make(map[*websocket.Conn]struct{})
	}
	t.conns[c] = struct{}{}
}

func (t *tally) remove(c *websocket.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.conns, c)
	last := c.Stats()
	last.Queued = 0 // it will not be sent any more
	t.ended = sum(t.ended, last)
}

// total returns how many connections there are, and the sum of all.
func (t *tally) total() (int, websocket.Stats) {
	t.mu.Lock()
	defer t.mu.Unlock()
	total := t.ended
	for c := range t.conns {
		total = sum(total, c.Stats())
	}
	return len(t.conns), total
}

func sum(a, b websocket.Stats) websocket.Stats {
	return websocket.Stats{
		MessagesRead:    a.MessagesRead + b.MessagesRead,
		MessagesWritten: a.MessagesWritten + b.MessagesWritten,
		PayloadRead:     a.PayloadRead + b.PayloadRead,
		PayloadWritten:  a.PayloadWritten + b.PayloadWritten,
		WireRead:        a.WireRead + b.WireRead,
		WireWritten:     a.WireWritten + b.WireWritten,
		Queued:          a.Queued + b.Queued,
		Dropped:         a.Dropped + b.Dropped,
	}
}
