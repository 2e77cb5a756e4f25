package main

import (
	"encoding/json"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/duplexkit/websocket"
)

// What people may send: enough for a talk, and little enough that a room's history and
// its list of people fit in a connection's queue.
const (
	maxText   = 2000     // characters of a message
	maxName   = 32       // characters of the name of a person or a room
	maxID     = 64       // bytes
	readLimit = 32 << 10 // bytes of JSON: maxText characters, each of 12 bytes if it is escaped twice, as in \ud83d\ude00
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

	// said, refused: the ID of the request.
	ID string `json:"id,omitempty"`

	// said, joined, left: who.
	Name string `json:"name,omitempty"`

	// said: the message; refused: why.
	Text string `json:"text,omitempty"`

	// said: when it was.
	Time *time.Time `json:"time,omitempty"`

	// welcome: which history it is, for a room that is made anew, as by a new server, has
	// forgotten the one before; the last "said" events, the oldest first, and all who are there.
	Epoch   string            `json:"epoch,omitempty"`
	History []json.RawMessage `json:"history,omitempty"`
	People  []string          `json:"people,omitempty"`
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
	ok := utf8.ValidString(name) && utf8.RuneCountInString(name) <= maxName
	seen := false
	for _, r := range name {
		// No line breaks, nothing that turns the direction of what stands around it, and no
		// letters that cannot be seen, such as the Hangul filler U+3164 and the empty Braille cell.
		ok = ok && unicode.IsPrint(r) && !unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) && r != '\u2800'
		seen = seen || !unicode.IsMark(r) // alone, a mark has nothing to stand on
	}
	return name, ok && seen
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
	if req.Type == "say" && (req.ID == "" || len(req.ID) > maxID) {
		return req, &websocket.CloseError{Code: websocket.ClosePolicyViolation, Text: "a message needs an id"}
	}
	if req.Type != "say" && req.Type != "probe" {
		return req, &websocket.CloseError{Code: websocket.ClosePolicyViolation, Text: "unknown type"}
	}
	return req, nil
}
