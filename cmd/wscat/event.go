package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/duplexkit/websocket"
)

// An event is what is sent or received: a message or a control frame. Its JSON is a line
// of a recording, and of -input json and -output json, which have no time, at and dir.
type event struct {
	Time   *time.Time `json:"time,omitempty"`
	At     float64    `json:"at,omitempty"` // seconds since the connection was open
	Dir    string     `json:"dir,omitempty"`
	Type   string     `json:"type"` // text, binary, ping, pong, close; in a recording also open
	Data   *string    `json:"data,omitempty"`
	Base64 *string    `json:"base64,omitempty"` // in the place of data that is no text
	Code   int        `json:"code,omitempty"`   // of a close frame, 0 if it has none
	Reason string     `json:"reason,omitempty"`

	URL         string `json:"url,omitempty"` // of an open, and what was agreed on
	Subprotocol string `json:"subprotocol,omitempty"`

	payload []byte // what Data or Base64 say
}

const (
	sent     = "sent"
	received = "received"
)

// messageTypes are the types of events that are messages.
var messageTypes = map[string]int{"text": websocket.TextMessage, "binary": websocket.BinaryMessage}

func messageEvent(messageType int, p []byte) event {
	e := event{Type: "text", payload: p}
	if messageType == websocket.BinaryMessage {
		e.Type = "binary"
	}
	return e
}

func controlEvent(name, appData string) event { return event{Type: name, payload: []byte(appData)} }

func (e event) isMessage() bool { return messageTypes[e.Type] != 0 }

// encode returns the line of JSON for e.
func (e event) encode() []byte {
	switch {
	case e.Type == "open" || e.Type == "close":
	case e.Type != "binary" && utf8.Valid(e.payload):
		s := string(e.payload)
		e.Data = &s
	default:
		s := base64.StdEncoding.EncodeToString(e.payload)
		e.Base64 = &s
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil { // there is nothing in it that could not be encoded
		panic(err)
	}
	return b.Bytes()
}

// decodeEvent reads a line of JSON.
func decodeEvent(line []byte) (e event, err error) {
	if err := json.Unmarshal(line, &e); err != nil {
		return e, err
	}
	switch {
	case e.Data != nil && e.Base64 != nil:
		return e, errors.New("both data and base64")
	case e.Data != nil:
		e.payload = []byte(*e.Data)
	case e.Base64 != nil:
		if e.payload, err = base64.StdEncoding.DecodeString(*e.Base64); err != nil {
			return e, fmt.Errorf("base64: %w", err)
		}
	}
	e.Data, e.Base64 = nil, nil
	return e, nil
}

// checkSendable says why e can't be sent.
func (e event) checkSendable() error {
	switch e.Type {
	case "text":
		if !utf8.Valid(e.payload) {
			return errors.New("text that is not UTF-8: send it as binary")
		}
	case "binary":
	case "ping", "pong":
		if len(e.payload) > 125 {
			return fmt.Errorf("a %s has 125 bytes at most, not %d", e.Type, len(e.payload))
		}
	case "close":
		if e.Code != 0 {
			return checkClose(e.Code, e.Reason)
		}
		if e.Reason != "" {
			return errors.New("a close reason needs a close code")
		}
	case "":
		return errors.New("no type")
	default:
		return fmt.Errorf("type %q is none of text, binary, ping, pong, close", e.Type)
	}
	return nil
}

// A format is how messages stand on standard input or output.
type format string

const (
	formatLines  format = ""
	formatHex    format = "hex"
	formatBase64 format = "base64"
	formatJSON   format = "json"
	formatLength format = "length"
	formatWhole  format = "whole" // of input: all of it is one message
)

func (f *format) String() string { return string(*f) }

func (f *format) Set(s string) error {
	switch format(s) {
	case "lines":
		*f = formatLines
	case formatHex, formatBase64, formatJSON, formatLength, formatWhole:
		*f = format(s)
	default:
		return errors.New("none of lines, hex, base64, json, length, whole")
	}
	return nil
}

// text reports whether messages in this format are text unless -type says otherwise.
func (f format) text() bool { return f == formatLines || f == formatWhole }

// parse makes an event of one argument of -x, or one line.
func (f format) parse(s []byte, messageType string) (e event, err error) {
	if messageType == "" {
		messageType = "binary"
		if f.text() {
			messageType = "text"
		}
	}
	e = event{Type: messageType, payload: s}
	switch f {
	case formatHex:
		e.payload, err = parseHex(string(s))
	case formatBase64:
		e.payload, err = base64.StdEncoding.DecodeString(string(bytes.TrimSpace(s)))
	case formatJSON:
		e, err = decodeEvent(s)
	}
	if err == nil {
		err = e.checkSendable()
	}
	return e, err
}

// parseHex reads hex digits, with blanks and colons between them or not.
func parseHex(s string) ([]byte, error) {
	s = strings.NewReplacer(" ", "", "\t", "", ":", "", "\r", "").Replace(s)
	p, err := hex.DecodeString(strings.TrimPrefix(s, "0x"))
	if err != nil {
		return nil, fmt.Errorf("hex: %s", strings.TrimPrefix(err.Error(), "encoding/hex: "))
	}
	return p, nil
}

// read returns the next event of the input; io.EOF at its end.
func (f format) read(in *bufio.Reader, messageType string) (event, error) {
	switch f {
	case formatWhole:
		p, err := io.ReadAll(in)
		if err != nil {
			return event{}, err
		}
		return f.parse(p, messageType)
	case formatLength:
		var length [4]byte
		if _, err := io.ReadFull(in, length[:]); err != nil {
			if err == io.ErrUnexpectedEOF {
				err = errors.New("the input ends within a length")
			}
			return event{}, err
		}
		n := int64(binary.BigEndian.Uint32(length[:]))
		var p bytes.Buffer // which grows with what there is, whatever the length says
		if got, err := io.CopyN(&p, in, n); err == io.EOF {
			return event{}, fmt.Errorf("the input ends after %d of %d bytes of a message", got, n)
		} else if err != nil {
			return event{}, err
		}
		return f.parse(p.Bytes(), messageType)
	}
	for {
		line, err := readLine(in)
		if err != nil {
			return event{}, err
		}
		if f == formatJSON && len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		return f.parse(line, messageType)
	}
}

// readLine returns a line without its end; io.EOF behind the last one.
func readLine(in *bufio.Reader) ([]byte, error) {
	line, err := in.ReadBytes('\n')
	if err != nil && len(line) == 0 {
		return nil, err
	}
	line = bytes.TrimSuffix(line, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r")), nil
}

// append encodes a message at the end of dst.
func (f format) append(dst []byte, e event) []byte {
	switch f {
	case formatHex:
		dst = hex.AppendEncode(dst, e.payload)
	case formatBase64:
		dst = base64.StdEncoding.AppendEncode(dst, e.payload)
	case formatJSON:
		return append(dst, e.encode()...)
	case formatLength:
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(e.payload)))
		return append(dst, e.payload...)
	default:
		dst = append(dst, e.payload...)
	}
	return append(dst, '\n')
}
