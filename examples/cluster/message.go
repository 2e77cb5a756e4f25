package main

import (
	"encoding/json"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/duplexkit/websocket"
)

// What people may send: enough for a talk, and little enough that a welcome fits in a
// connection's queue. It is as large as a room's history, maxHistoryBytes, and maxNames
// names, which may take 196 bytes each in JSON.
const (
	maxNames  = 500      // in an event; how many there are beyond that is told as a number
	maxText   = 2000     // characters of a message
	maxName   = 32       // characters of the name of a person or a room
	maxID     = 64       // bytes
	readLimit = 16 << 10 // bytes of JSON: maxText characters, each as long as JSON can make it
)

// A request is what a page sends.
type request struct {
	Type string `json:"type"`           // "say" or "probe"
	ID   string `json:"id,omitempty"`   // say: made up by the page, which knows its message by it
	Text string `json:"text,omitempty"` // say
}

// An event is what the server sends.
type event struct {
	Type string `json:"type"`

	// missing: others may have been said between those that were told.

	// said, sent, refused: the ID of the request. A message is sent when NATS has
	// confirmed it, and said when the room is told; either may come first.
	ID string `json:"id,omitempty"`

	// said: the place in the stream, which grows from message to message, who it
	// was, and when.
	Seq  uint64     `json:"seq,omitempty"`
	Name string     `json:"name,omitempty"`
	Time *time.Time `json:"time,omitempty"`

	// said: the message; refused, waiting: why.
	Text string `json:"text,omitempty"`

	// people: who has come and gone, at any node; or, if these are too many, people.
	Joined []string `json:"joined,omitempty"`
	Left   []string `json:"left,omitempty"`

	// welcome, people: how many are there now.
	Count int `json:"count,omitempty"`

	// welcome: the node; the stream, for places in another are not comparable; "said"
	// events after the one that was asked for, the oldest first; whether there may have been
	// others between, which are no longer kept; and who is there, the first maxNames of them.
	Node    string            `json:"node,omitempty"`
	Stream  string            `json:"stream,omitempty"`
	History []json.RawMessage `json:"history,omitempty"`
	Missing bool              `json:"missing,omitempty"`
	People  []string          `json:"people,omitempty"`
}

// A message is what is kept in the stream. Its place and its time are those that NATS
// gives it.
type message struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Text string `json:"text"`
}

// encode returns e in JSON. What people wrote stays text in it: json.Marshal escapes
// what HTML would take for a tag, and the page puts it in text nodes.
func (e event) encode() []byte {
	p, err := json.Marshal(e)
	if err != nil {
		panic(err) // strings, times and our own JSON can always be encoded
	}
	return p
}

// cleanName returns a name without blanks around it, and whether people may have it.
func cleanName(name string) (string, bool) {
	name = strings.TrimSpace(name)
	ok := name != "" && utf8.ValidString(name) && utf8.RuneCountInString(name) <= maxName
	for _, r := range name {
		// No line breaks, and nothing that turns the direction of what stands around it.
		ok = ok && unicode.IsPrint(r)
	}
	return name, ok
}

// cleanText returns a message without blanks around it, or why it can't be said.
func cleanText(text string) (clean, why string) {
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return "", "there is nothing in it"
	case utf8.RuneCountInString(text) > maxText:
		return "", "it is too long"
	}
	return text, ""
}

// validID reports whether s may be the ID of a message or a page.
func validID(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != "" && len(s) <= maxID
}

// parse returns the request in m. A page that sends anything else is not ours, and its
// connection is closed with the error's code.
func parse(m websocket.Message) (request, error) {
	var req request
	if m.Type != websocket.TextMessage {
		return req, &websocket.CloseError{Code: websocket.CloseUnsupportedData, Text: "messages are text"}
	}
	if err := json.Unmarshal(m.Data, &req); err != nil {
		return req, &websocket.CloseError{Code: websocket.ClosePolicyViolation, Text: "messages are JSON"}
	}
	if req.Type == "say" && !validID(req.ID) {
		return req, &websocket.CloseError{Code: websocket.ClosePolicyViolation, Text: "a message needs an id"}
	}
	if req.Type != "say" && req.Type != "probe" {
		return req, &websocket.CloseError{Code: websocket.ClosePolicyViolation, Text: "unknown type"}
	}
	return req, nil
}
