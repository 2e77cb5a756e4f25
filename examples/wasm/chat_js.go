// This is the page: a client of the chat server, in Go. The package websocket has the
// browser's WebSocket object beneath, and is what it is elsewhere: contexts, deadlines,
// close errors. What a page has to mind besides:
//
//   - The functions that the browser calls must not block, for while they do it does nothing
//     else. They take notes, or use TryWriteMessage, which never waits.
//   - A browser answers the server's pings by itself and tells nobody. Whether the
//     connection lives, the page finds out by asking.
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall/js"
	"time"

	"github.com/duplexkit/websocket"
)

const (
	// How long to wait before connecting again: a random time, lest all pages come back in
	// the same instant, of up to least, and twice as long after each failure in a row.
	least, most = time.Second, 30 * time.Second
	// A connection that has lasted so long was a good one: the next failure is the first again.
	settled = 10 * time.Second
	// An answer takes no longer than patience, and who has heard nothing for the time quiet
	// asks for one.
	patience, quiet = 10 * time.Second, 30 * time.Second
)

// final are the close codes by which the server says that trying again is of no use.
var final = []int{
	websocket.CloseUnsupportedData, websocket.CloseInvalidFramePayloadData, websocket.ClosePolicyViolation,
	websocket.CloseMessageTooBig, websocket.CloseMandatoryExtension,
}

// A request is what a page sends, and an event what the server does: see message.go of
// the chat.
type request struct {
	Type string `json:"type"` // "say" or "probe"
	ID   string `json:"id,omitempty"`
	Text string `json:"text,omitempty"`
}

type event struct {
	Type    string    `json:"type"`
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Text    string    `json:"text"`
	Time    time.Time `json:"time"`
	History []event   `json:"history"`
	People  []string  `json:"people"`
}

func (e event) key() string { return e.Name + "\n" + e.ID }

func main() {
	p := newPage()
	for {
		room, name := p.join()
		talk(p, room, name)
	}
}

// A chat is one person in one room.
type chat struct {
	page *page
	name string
	room string

	mu     sync.Mutex
	c      *websocket.Conn // once the server has welcomed us, nil before and after
	outbox []unsent        // what the server has not confirmed, in order
	people []string
	seen   recent // messages that were shown
}

// unsent is a message that the server has not confirmed.
type unsent struct {
	request
	li js.Value
}

// talk takes part in a room until the user leaves it.
func talk(p *page, room, name string) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	t := &chat{page: p, name: name, room: room}
	p.enter(room, t.say, cancel)
	defer p.left()
	for failures := 0; ; failures++ {
		began := time.Now()
		err := t.session(ctx)
		if ctx.Err() != nil {
			return
		}
		if websocket.IsCloseError(err, final...) {
			p.state("bad", "not connected: "+reason(err), "")
			p.offer("Try again")
			if !p.pressed(ctx) {
				return
			}
			continue
		}
		if time.Since(began) > settled {
			failures = 0
		}
		if !t.retry(ctx, failures, reason(err)) {
			return
		}
	}
}

// reason is what a person is told of err.
func reason(err error) string {
	var closed *websocket.CloseError
	switch {
	case errors.As(err, &closed) && closed.Text != "" && closed.Code != websocket.CloseAbnormalClosure:
		return closed.Text
	case errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure:
		return fmt.Sprint("close code ", closed.Code)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return "the server does not answer"
	}
	return "no connection"
}

// retry waits before the next attempt, and reports whether there is to be one.
func (t *chat) retry(ctx context.Context, failures int, why string) bool {
	longest := min(most, least<<min(failures, 10))
	until := time.Now().Add(mathrand.N(longest))
	t.page.offer("Now")
	for {
		left := time.Until(until)
		if left <= 0 {
			return true
		}
		t.page.state("wait", why, fmt.Sprintf("again in %d s", (left+time.Second-1)/time.Second))
		tick := time.After(min(left, time.Second))
		select {
		case <-tick:
		case <-t.page.now:
			return true
		case <-ctx.Done():
			return false
		}
	}
}

// session connects, and stays until the connection ends.
func (t *chat) session(ctx context.Context) error {
	t.page.state("wait", "connecting…", "")
	dialer := websocket.Dialer{HandshakeTimeout: patience}
	c, _, err := dialer.DialContext(ctx, t.url(), nil)
	if err != nil {
		return err
	}
	defer c.Close()
	// Leaving is a close frame with 1000; nothing is there to be told of an error.
	stop := context.AfterFunc(ctx, func() { _ = c.Shutdown(context.Background(), websocket.CloseNormalClosure, "") })
	defer stop()
	defer t.setConn(nil)

	wait := patience
	for {
		if err := c.SetReadDeadline(time.Now().Add(wait)); err != nil {
			return err
		}
		var e event
		err := c.ReadJSON(&e)
		if errors.Is(err, os.ErrDeadlineExceeded) && c.Context().Err() == nil && wait == quiet {
			// Nothing has come for a while, and nothing is lost: ask, and read on.
			if err := send(c, request{Type: "probe"}); err != nil {
				return err
			}
			wait = patience
			continue
		}
		if err != nil {
			return err
		}
		wait = quiet
		t.receive(c, e)
	}
}

// url is that of the chat server, on the host that the page is from.
func (t *chat) url() string {
	location := js.Global().Get("location")
	u := url.URL{
		Scheme: strings.Replace(strings.TrimSuffix(location.Get("protocol").String(), ":"), "http", "ws", 1),
		Host:   location.Get("host").String(),
		Path:   "/ws",
	}
	u.RawQuery = url.Values{"room": {t.room}, "name": {t.name}}.Encode()
	return u.String()
}

// send never waits: the browser calls what calls it.
func send(c *websocket.Conn, r request) error {
	p, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return c.TryWriteMessage(websocket.TextMessage, p)
}

func (t *chat) setConn(c *websocket.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.c = c
}

// receive shows what the server says.
func (t *chat) receive(c *websocket.Conn, e event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch e.Type {
	case "welcome":
		t.c = c
		t.page.state("on", "connected", "")
		t.people = e.People
		for _, m := range e.History {
			t.said(m)
		}
		for _, m := range t.outbox {
			_ = send(c, m.request) // an error is one of the connection, which the next read tells
		}
	case "said":
		t.said(e)
	case "refused":
		if m, ok := t.confirmed(e.ID); ok {
			m.li.Set("className", "refused")
			m.li.Call("append", t.page.element("small", "", "not sent: "+e.Text))
		}
	case "joined":
		t.people = append(t.people, e.Name)
		t.page.note(e.Name + " joined")
	case "left":
		if i := slices.Index(t.people, e.Name); i >= 0 {
			t.people = slices.Delete(t.people, i, i+1)
		}
		t.page.note(e.Name + " left")
	}
	t.page.setPeople(t.people)
}

func (t *chat) said(e event) {
	if !t.seen.add(e.key()) { // it was shown before the connection broke
		return
	}
	if e.Name == t.name {
		if m, ok := t.confirmed(e.ID); ok {
			m.li.Call("remove") // in favour of its place among the others'
		}
	}
	t.page.show(t.page.message(e.Name, e.Text, e.Time))
}

// say is called by the browser with what the user has typed.
func (t *chat) say(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	li := t.page.message(t.name, text, time.Time{})
	li.Set("className", "pending")
	t.page.show(li)
	m := unsent{request{Type: "say", ID: rand.Text(), Text: text}, li}
	t.outbox = append(t.outbox, m)
	if t.c != nil {
		_ = send(t.c, m.request) // it stays in the outbox until the server has confirmed it
	}
}

// confirmed takes a message out of the outbox.
func (t *chat) confirmed(id string) (m unsent, ok bool) {
	i := slices.IndexFunc(t.outbox, func(m unsent) bool { return m.ID == id })
	if i < 0 {
		return m, false
	}
	m = t.outbox[i]
	t.outbox = slices.Delete(t.outbox, i, i+1)
	return m, true
}
