package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/duplexkit/websocket"
)

const (
	maxPeople       = 1000      // in a room
	maxRooms        = 1000      // empty ones that are remembered for their history included
	maxHistoryBytes = 128 << 10 // of JSON
	leastSaid       = 200       // messages that are known when they are sent again, in each room
)

// A room is where people hear each other. All that happens in it happens under its mutex,
// so that everybody sees it in the same order, and those who join get the history and
// then what follows it, with nothing missing and nothing twice. The mutex is held for
// no longer than it takes to queue messages: Broadcast and TryWriteMessage wait for nobody.
type room struct {
	listeners websocket.Group

	mu      sync.Mutex
	people  map[*websocket.Conn]string // their names
	left    time.Time                  // when the last of them left
	history []json.RawMessage          // what was said, the oldest first
	epoch   string                     // of the history
	keep    int                        // messages of history at most
	size    int                        // bytes of history
	said    []said                     // the last ones, be they in the history or not
}

// said tells a message that was said from others.
type said struct {
	name, id string
	at       time.Time
}

// join has c take part. Everybody hears of it; c hears what was said before.
func (r *room) join(c *websocket.Conn, name string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.people) == maxPeople {
		return &websocket.CloseError{Code: websocket.CloseTryAgainLater, Text: "the room is full"}
	}
	r.tellAll(event{Type: "joined", Name: name}.encode())
	r.people[c] = name
	welcome := event{Type: "welcome", Epoch: r.epoch, History: r.history}
	for _, name := range r.people {
		welcome.People = append(welcome.People, name)
	}
	if err := tell(c, welcome.encode()); err != nil {
		delete(r.people, c)
		r.tellAll(event{Type: "left", Name: name}.encode())
		return err
	}
	r.listeners.Add(c)
	return nil
}

// leave is for a connection that has ended, which has left the Group by itself.
func (r *room) leave(c *websocket.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	name := r.people[c]
	delete(r.people, c)
	r.left = time.Now()
	r.tellAll(event{Type: "left", Name: name}.encode())
}

// say tells everybody what c says, c included: a page takes its message for sent when
// it comes back. One that was on its way when a connection broke is sent again on the
// next, and must not be said twice.
func (r *room) say(c *websocket.Conn, req request) error {
	text := strings.TrimSpace(req.Text)
	why := ""
	switch {
	case text == "":
		why = "there is nothing in it"
	case utf8.RuneCountInString(text) > maxText:
		why = "it is too long"
	}
	if why != "" {
		return tell(c, event{Type: "refused", ID: req.ID, Text: why}.encode())
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	name := r.people[c]
	now := time.Now().UTC()
	e := event{Type: "said", ID: req.ID, Name: name, Text: text, Time: &now}
	for _, s := range r.said {
		if s.id == req.ID && s.name == name {
			e.Time = &s.at
			return tell(c, e.encode())
		}
	}
	raw := e.encode()
	r.remember(said{name, req.ID, now}, raw)
	r.tellAll(raw)
	return nil
}

// remember adds s to the history, as e, and forgets the oldest if there is too much.
func (r *room) remember(s said, e json.RawMessage) {
	r.said = append(r.said, s)
	if len(r.said) > max(r.keep, leastSaid) {
		r.said[0] = said{} // which the array beneath would keep
		r.said = r.said[1:]
	}
	r.history = append(r.history, e)
	r.size += len(e)
	for len(r.history) > r.keep || r.size > maxHistoryBytes {
		r.size -= len(r.history[0])
		r.history[0] = nil
		r.history = r.history[1:]
	}
}

// tellAll sends an event to all who are there.
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

// rooms are all rooms by their names. An empty one is kept for its history, until its
// place is needed.
type rooms struct {
	mu     sync.Mutex
	byName map[string]*room
	keep   int // messages of history in each
}

// join has c take part in the room of that name.
func (rs *rooms) join(c *websocket.Conn, roomName, name string) (*room, error) {
	rs.mu.Lock() // until c is in, lest the room is taken for an empty one
	defer rs.mu.Unlock()
	r := rs.byName[roomName]
	if r == nil {
		if len(rs.byName) == maxRooms && !rs.forget() {
			return nil, &websocket.CloseError{Code: websocket.CloseTryAgainLater, Text: "there are too many rooms"}
		}
		r = &room{people: make(map[*websocket.Conn]string), epoch: rand.Text(), keep: rs.keep}
		rs.byName[roomName] = r
	}
	return r, r.join(c, name)
}

// forget drops the room that has been empty for the longest time, if any is.
func (rs *rooms) forget() bool {
	oldest, since := "", time.Time{}
	for name, r := range rs.byName {
		r.mu.Lock()
		if len(r.people) == 0 && (oldest == "" || r.left.Before(since)) {
			oldest, since = name, r.left
		}
		r.mu.Unlock()
	}
	delete(rs.byName, oldest)
	return oldest != ""
}
