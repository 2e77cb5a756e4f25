package websocket

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"
)

// SlowConsumer says what Group.Broadcast does with a connection whose queue has no
// room for the message, since its peer reads too slowly.
type SlowConsumer int

const (
	// DropMessage leaves that connection without the message, and counts it in
	// Stats.Dropped.
	DropMessage SlowConsumer = iota

	// CloseSlow drops all that is queued for the connection and closes it, with
	// CloseTryAgainLater if the peer takes that within a second. Writes return an error
	// that matches ErrWriteQueueFull from then on.
	CloseSlow
)

// slowTime is how long a slow consumer may take over its farewell.
const slowTime = time.Second

// Group is a set of live connections: for sending to all of them, and for taking
// leave of all of them. A connection leaves by itself at the first error that it
// can't recover from, or at Close. The zero value is ready. A Group may be used
// concurrently and must not be copied; a connection may be in many. Options.Group has
// connections join at birth.
type Group struct {
	mu      sync.Mutex // taken while that of a Conn is had, and never the other way round
	members map[*Conn]struct{}
	ended   bool // Shutdown was called

	due      []*Conn // whose queues wait to be sent
	flushers int     // goroutines that send them
}

// Add adds c. Adding it twice is adding it once, a connection at its end is not added,
// and after Shutdown c is closed with CloseGoingAway.
func (g *Group) Add(c *Conn) {
	if !g.add(c) {
		go func() { _ = c.Shutdown(context.Background(), CloseGoingAway, "") }() // nobody is there to be told
	}
}

// add reports whether anybody may still be added.
func (g *Group) add(c *Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ended {
		return false
	}
	if _, known := g.members[c]; known || c.end != nil && c.end.cause != nil {
		return true
	}
	if g.members == nil {
		g.members = make(map[*Conn]struct{})
	}
	g.members[c] = struct{}{}
	x := c.extrasLocked()
	x.groups = append(x.groups, g)
	return true
}

// Remove removes c, which stays open.
func (g *Group) Remove(c *Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g.remove(c)
	if x := c.extras; x != nil {
		x.groups = slices.DeleteFunc(x.groups, func(other *Group) bool { return other == g })
	}
}

// remove is for who has the mutex of c.
func (g *Group) remove(c *Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.members, c)
}

// Len returns the number of connections.
func (g *Group) Len() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.members)
}

// All returns an iterator over the connections that are there when it begins, in no
// order.
func (g *Group) All() iter.Seq[*Conn] {
	return func(yield func(*Conn) bool) {
		for _, c := range g.snapshot() {
			if !yield(c) {
				return
			}
		}
	}
}

func (g *Group) snapshot() []*Conn {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Collect(maps.Keys(g.members))
}

// Broadcast sends pm to all connections. It waits for none of them: the message is
// queued on each, behind what was written there before, and goroutines send it. What
// is broadcast meanwhile goes out together. A connection whose queue has no room
// (Options.WriteQueue) is treated as its Options.SlowConsumer says; one that cannot be
// written to any more is passed over. Several Broadcasts at once reach every
// connection in the same order.
//
// A message larger than Options.WriteQueue has room on no connection, which is no fault
// of the peer: it is dropped, and counted. A close frame is sent behind what is queued,
// and is the last; Shutdown is the better farewell.
func (g *Group) Broadcast(pm *PreparedMessage) {
	if pm.messageType == CloseMessage {
		for _, c := range g.snapshot() {
			if c.line.refuses(pm.messageType, pm.plain.payload()) != nil {
				_ = c.TryWriteMessage(CloseMessage, nil) // as a browser lets us, and as Shutdown does; else as below
				continue
			}
			_ = c.TryWritePreparedMessage(pm) // a connection that is closing already has its own
		}
		return
	}
	var slow []*Conn
	unfit := hostRefuses(pm.messageType, pm.plain.payload()) != nil // judged once, for a text may be long
	g.mu.Lock()
	for c := range g.members {
		if unfit && c.line.hosted() {
			continue
		}
		due, err := c.w.post(c.w.outgoingPrepared(pm.messageType, pm.plain, pm.encoded))
		if due {
			g.due = append(g.due, c)
		} else if err == ErrWriteQueueFull && c.leaveSlow && len(pm.plain.payload()) <= c.w.limit {
			slow = append(slow, c)
		}
	}
	for g.flushers < runtime.GOMAXPROCS(0) && g.flushers*flushBatch < len(g.due) {
		g.flushers++
		go g.flush()
	}
	g.mu.Unlock()
	for _, c := range slow {
		c.closeSlow()
	}
}

// flushBatch is how many connections a flusher takes on at a time.
const flushBatch = 64

// flush is a goroutine that sends what Broadcast has queued. It ends when all is sent,
// or left to goroutines that wait for slow peers.
func (g *Group) flush() {
	var batch [flushBatch]*Conn
	for {
		g.mu.Lock()
		n := copy(batch[:], g.due)
		if n == 0 {
			g.flushers--
			if g.flushers == 0 {
				g.due = nil
			}
			g.mu.Unlock()
			return
		}
		clear(g.due[:n])
		g.due = g.due[n:]
		g.mu.Unlock()
		for _, c := range batch[:n] {
			c.w.flushPosted()
		}
	}
}

// Shutdown takes leave of all connections with Conn.Shutdown, by the code and the
// reason, and returns when all are closed. Connections that are added later are closed
// too. Code 0 is CloseGoingAway. The farewells are spread a little, lest all peers
// come back in the same instant, and bounded as Conn.Shutdown is: by ctx or, if it has
// no deadline, by each connection's Options.CloseTimeout. When ctx ends, the
// connections that are left are dropped and the error is context.Cause(ctx).
//
// Handlers of Serve and Start, and the done of Start, may still be running then: a
// program that is about to exit waits for them by means of its own, a sync.WaitGroup
// say. Within a handler of a member, Shutdown would wait for itself. http.Server.Shutdown
// knows nothing of connections that were upgraded from HTTP/1.1, and may wait for those that a
// browser has opened and not used yet: call this one beside it, or before it if those over
// HTTP/2 are to get this code and reason, too.
func (g *Group) Shutdown(ctx context.Context, code int, reason string) error {
	if code == 0 {
		code = CloseGoingAway
	}
	if !validCloseCode(code) {
		return fmt.Errorf("websocket: close code %d may not be sent", code)
	}
	g.mu.Lock()
	g.ended = true
	g.mu.Unlock()

	members := g.snapshot()
	pace := pacer(ctx, len(members))
	var farewells sync.WaitGroup
	for i, c := range members {
		farewells.Go(func() { _ = c.Shutdown(ctx, code, reason) }) // some peers are gone, which is what was wanted
		if (i+1)%farewellStep == 0 && pace > 0 && ctx.Err() == nil {
			pause := time.NewTimer(pace)
			select {
			case <-pause.C:
			case <-ctx.Done():
				pause.Stop()
			}
		}
	}
	farewells.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

const (
	farewellStep = 64                    // farewells that begin at once
	farewellPace = 10 * time.Millisecond // and how long until the next do
)

// pacer returns how long to pause between the steps of so many farewells: no more than
// a quarter of what ctx leaves in all.
func pacer(ctx context.Context, members int) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return farewellPace
	}
	steps := time.Duration(members/farewellStep + 1)
	return min(farewellPace, time.Until(deadline)/4/steps)
}
