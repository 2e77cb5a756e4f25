package main

import (
	"context"
	"encoding/json"
	"errors"
	"log"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/duplexkit/websocket"
)

const (
	maxPeople       = 1000            // in a room, at one node
	maxRooms        = 1000            // at one node, empty ones that are still open included
	maxHistoryBytes = 128 << 10       // of JSON
	idle            = time.Minute     // how long a node reads on for a room where nobody is
	again           = time.Second / 2 // pause before something is tried again
	loading         = 8 * time.Second // how long one who joins waits for the history
)

// A room is what a node has of a room while somebody is there at this node: its own
// people, those at the other nodes as far as it has heard, and the last messages.
// What was said comes from the stream alone, whether it was said here or elsewhere, so
// all nodes have it in the same order.
//
// All that is sent to the room's people is sent under its mutex: those who join get the
// history and then what follows it, with nothing missing and nothing twice. The mutex is
// held no longer than it takes to queue messages.
type room struct {
	bus       *bus
	name      string
	stream    string
	listeners websocket.Group

	loaded    chan struct{} // closed when the history has been read
	open      context.Context
	stop      context.CancelFunc
	following sync.WaitGroup
	heard     *nats.Subscription // to what other nodes say of people
	waiting   int                // so many are about to join; guarded by the mutex of rooms

	mu      sync.Mutex
	closed  bool
	people  map[*websocket.Conn]person
	left    time.Time // when the last of them left, or it was opened
	history []said    // the oldest first
	size    int       // bytes of history

	elsewhere map[string]crowd // by node
	shown     []string         // who is here, as all at this node were told; sorted
	told      time.Time        // when other nodes were told last
	soon      *time.Timer      // tells them, if not nil
}

// errRoomClosed has a page come back.
var errRoomClosed = &websocket.CloseError{Code: websocket.CloseServiceRestart, Text: "the room was closed meanwhile"}

// said is a message that was said.
type said struct {
	seq      uint64
	name, id string
	event    json.RawMessage
}

func openRoom(b *bus, name, stream string) (*room, error) {
	ctx, stop := context.WithCancel(context.Background())
	r := &room{
		bus: b, name: name, stream: stream, open: ctx, stop: stop,
		loaded:    make(chan struct{}),
		people:    make(map[*websocket.Conn]person),
		left:      time.Now(),
		elsewhere: make(map[string]crowd),
	}
	var err error
	if r.heard, err = b.nc.Subscribe(b.subject("people", name), r.hear); err != nil {
		stop()
		return nil, err
	}
	r.mu.Lock()
	r.tellNodes(true)
	r.mu.Unlock()
	r.following.Go(r.follow)
	return r, nil
}

// close ends what the node does for the room. Nobody is there, or will be for long.
func (r *room) close() {
	r.stop()
	r.following.Wait()
	_ = r.heard.Unsubscribe() // an error is that the connection is closed
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	if r.soon != nil {
		r.soon.Stop()
		r.soon = nil
	}
	r.tellNodes(false)
}

// follow reads what is said, and after an error goes on where it was.
func (r *room) follow() {
	ctx := r.open
	reader := reader{bus: r.bus, room: r.name, stream: r.stream, handle: r.deliver, caughtUp: r.caughtUp}
	for {
		err := reader.read(ctx)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errMissed) || errors.Is(err, errHole) {
			log.Printf("room %q is closed: %v", r.name, err)
			r.giveUp(errors.Is(err, errHole))
			return
		}
		log.Printf("room %q is read again: %v", r.name, err)
		select {
		case <-time.After(again):
		case <-ctx.Done():
			return
		}
	}
}

// caughtUp is called when the history has been read. What was before the first message that
// there still is may have had others after it that nobody has read.
func (r *room) caughtUp(first uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.history) > 0 && r.history[0].seq < first {
		r.forgetOldest()
	}
	close(r.loaded)
}

// giveUp sends everybody away, since the history is no longer without a gap. They come
// back to a room that is read anew, whose welcome tells them what they lack, or that
// something is missing. If they have heard what comes after a hole it could not know,
// and they are told now.
func (r *room) giveUp(hole bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.stop()
	if hole {
		r.tellAll(event{Type: "missing"}.encode())
	}
	for c := range r.people {
		go func() { _ = c.Shutdown(context.Background(), errRoomClosed.Code, "this node could not keep up") }() // who is gone needs no farewell
	}
}

// deliver tells everybody what somebody has said.
func (r *room) deliver(meta *jetstream.MsgMetadata, data []byte) {
	var m message
	if err := json.Unmarshal(data, &m); err != nil {
		log.Printf("room %q: message %d in the stream is not ours: %v", r.name, meta.Sequence.Stream, err)
		return
	}
	at := meta.Timestamp.UTC()
	e := event{Type: "said", Seq: meta.Sequence.Stream, ID: m.ID, Name: m.Name, Text: m.Text, Time: &at}.encode()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.remember(said{meta.Sequence.Stream, m.Name, m.ID, e})
	r.tellAll(e)
}

// remember adds s to the history, and forgets the oldest if there is too much.
func (r *room) remember(s said) {
	r.history = append(r.history, s)
	r.size += len(s.event)
	for len(r.history) > r.bus.cfg.history || r.size > maxHistoryBytes {
		r.forgetOldest()
	}
}

func (r *room) forgetOldest() {
	r.size -= len(r.history[0].event)
	r.history[0] = said{} // which the array beneath would keep
	r.history = r.history[1:]
}

// wait returns when the history is there.
func (r *room) wait(ctx context.Context) error {
	late := time.NewTimer(loading)
	defer late.Stop()
	select {
	case <-r.loaded:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-r.open.Done():
		return errRoomClosed
	case <-late.C:
		return &websocket.CloseError{Code: websocket.CloseTryAgainLater, Text: "the room can't be read at this node"}
	}
}

// join has c take part, who knows the messages up to the place `after` in the stream.
func (r *room) join(c *websocket.Conn, p person, node, stream string, after uint64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return errRoomClosed
	}
	if len(r.people) == maxPeople {
		return &websocket.CloseError{Code: websocket.CloseTryAgainLater, Text: "the room is full at this node"}
	}
	// Nothing is missing if the latest message that c knows is still there. Places in another
	// stream mean nothing in this one.
	missing := after > 0 && (stream != r.stream || len(r.history) == 0 || after < r.history[0].seq)
	if stream != r.stream {
		after = 0
	}
	r.people[c] = p
	r.refresh()
	welcome := event{Type: "welcome", Node: node, Stream: r.stream, People: some(r.shown), Count: len(r.shown), Missing: missing}
	for _, s := range r.history {
		if s.seq > after {
			welcome.History = append(welcome.History, s.event)
		}
	}
	if err := tell(c, welcome.encode()); err != nil {
		delete(r.people, c)
		r.refresh()
		return err
	}
	r.listeners.Add(c)
	r.tellNodesSoon()
	return nil
}

// leave is for a connection that has ended, which has left the Group by itself.
func (r *room) leave(c *websocket.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.people, c)
	r.left = time.Now()
	r.refresh()
	r.tellNodesSoon()
}

// knows reports whether the message is in the history. NATS drops doubles too, but for
// a time only.
func (r *room) knows(m message) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.history, func(s said) bool { return s.id == m.ID && s.name == m.Name })
}

// tellAll sends an event to all who are there, at this node.
func (r *room) tellAll(e []byte) {
	pm, err := websocket.NewPreparedMessage(websocket.TextMessage, e)
	if err != nil {
		panic(err) // there is no such thing as too long a text message
	}
	r.listeners.Broadcast(pm)
}

// tell sends an event to c alone, which is sent away if it reads too slowly, as by Broadcast.
func tell(c *websocket.Conn, e []byte) error {
	err := c.TryWriteMessage(websocket.TextMessage, e)
	if errors.Is(err, websocket.ErrWriteQueueFull) {
		return &websocket.CloseError{Code: websocket.CloseTryAgainLater}
	}
	return err
}

// rooms are the rooms that are open at this node, by their names.
type rooms struct {
	bus *bus

	mu     sync.Mutex
	byName map[string]*room
	ended  bool
}

// join has c take part in the room of that name, as soon as its history is there.
func (rs *rooms) join(c *websocket.Conn, name string, p person, node, stream, known string, after uint64) (*room, error) {
	rs.mu.Lock()
	r := rs.byName[name]
	if r != nil && r.open.Err() != nil { // it has given up
		delete(rs.byName, name)
		r.close()
		r = nil
	}
	if r == nil {
		if err := rs.makePlace(); err != nil {
			rs.mu.Unlock()
			return nil, err
		}
		var err error
		if r, err = openRoom(rs.bus, name, stream); err != nil {
			rs.mu.Unlock()
			log.Printf("room %q: %v", name, err)
			return nil, &websocket.CloseError{Code: websocket.CloseTryAgainLater, Text: "this node is cut off"}
		}
		rs.byName[name] = r
	}
	r.waiting++
	rs.mu.Unlock()
	defer func() {
		rs.mu.Lock()
		defer rs.mu.Unlock()
		r.waiting--
	}()
	if err := r.wait(c.Context()); err != nil {
		return nil, err
	}
	return r, r.join(c, p, node, known, after)
}

// makePlace closes an empty room if there are too many.
func (rs *rooms) makePlace() error {
	if rs.ended {
		return &websocket.CloseError{Code: websocket.CloseGoingAway, Text: "server is shutting down"}
	}
	if len(rs.byName) < maxRooms || rs.closeEmpty(1, 0) > 0 {
		return nil
	}
	return &websocket.CloseError{Code: websocket.CloseTryAgainLater, Text: "there are too many rooms"}
}

// closeEmpty closes up to n rooms that nobody has been in for so long, or is about to enter, and
// returns how many.
func (rs *rooms) closeEmpty(n int, since time.Duration) (closed int) {
	for name, r := range rs.byName {
		if closed == n {
			break
		}
		r.mu.Lock()
		r.closed = r.closed || len(r.people) == 0 && r.waiting == 0 && time.Since(r.left) >= since
		empty := r.closed
		r.mu.Unlock()
		if empty {
			delete(rs.byName, name)
			r.close()
			closed++
		}
	}
	return closed
}

// tick does what is due once in a while.
func (rs *rooms) tick() {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.closeEmpty(maxRooms, idle)
	for _, r := range rs.byName {
		r.tick()
	}
}

// closeAll closes all rooms; whoever is in one is told by the caller to come back.
func (rs *rooms) closeAll(forever bool) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.ended = rs.ended || forever
	for name, r := range rs.byName {
		delete(rs.byName, name)
		r.close()
	}
}
