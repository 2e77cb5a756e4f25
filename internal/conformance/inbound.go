package conformance

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// What the reading side hands up. A close and an end come at most once, the end always last.
type (
	closed struct {
		code   int // 0 is a close frame without payload
		reason string
	}
	violation struct{ why string } // the endpoint broke a rule of the RFC
	ended     struct{ err error }  // the TCP connection is over; io.EOF if the endpoint closed it
)

// maxMessage is the most the peer takes in: more than any case sends.
const maxMessage = 64 << 20

// inbound holds what the endpoint sends against the rules of the RFC and assembles messages.
type inbound struct {
	r      io.Reader
	server bool       // the peer is the server: frames have to be masked
	ext    *agreement // nil without permessage-deflate
	log    *wirelog

	opcode     byte // of the message in progress, 0 between messages
	compressed bool
	message    []byte
	wireLength int
	closed     bool // a close frame came
}

// header is the part of a frame before its payload.
type header struct {
	fin     bool
	rsv     byte
	opcode  byte
	masked  bool
	key     [4]byte
	length  uint64
	minimal bool
}

// next returns the next Event, ping (as an Event), closed, violation or ended.
func (in *inbound) next() any {
	for {
		h, err := readHeader(in.r)
		if err != nil {
			return ended{err}
		}
		if in.closed {
			return violation{"a frame came after the close frame (section 5.5.1)"}
		}
		if why := in.check(h); why != "" {
			return violation{why}
		}
		payload := make([]byte, h.length)
		if _, err := io.ReadFull(in.r, payload); err != nil {
			return ended{fmt.Errorf("inside a frame: %w", noEOF(err))}
		}
		if h.masked {
			mask(payload, h.key[:])
		}
		in.log.rxFrame(h, payload)
		if item := in.frame(h, payload); item != nil {
			return item
		}
	}
}

func readHeader(r io.Reader) (header, error) {
	var b [8]byte
	if _, err := io.ReadFull(r, b[:2]); err != nil {
		return header{}, err
	}
	h := header{fin: b[0]&0x80 != 0, rsv: b[0] >> 4 & 7, opcode: b[0] & 15, masked: b[1]&0x80 != 0, length: uint64(b[1] & 127)}
	var err error
	switch h.length {
	case 126:
		_, err = io.ReadFull(r, b[:2])
		h.length = uint64(binary.BigEndian.Uint16(b[:]))
		h.minimal = h.length > 125
	case 127:
		_, err = io.ReadFull(r, b[:])
		h.length = binary.BigEndian.Uint64(b[:])
		h.minimal = h.length > 0xFFFF
	default:
		h.minimal = true
	}
	if err == nil && h.masked {
		_, err = io.ReadFull(r, h.key[:])
	}
	if err != nil {
		return header{}, fmt.Errorf("inside a frame header: %w", noEOF(err))
	}
	return h, nil
}

// check says which rule the header breaks.
func (in *inbound) check(h header) string {
	control := h.opcode >= opClose
	switch {
	case h.masked != in.server:
		return "the masking is wrong for the role (section 5.1)"
	case h.opcode > opPong || h.opcode > opBinary && !control:
		return fmt.Sprintf("reserved opcode %d (section 5.2)", h.opcode)
	case h.rsv&3 != 0 || h.rsv&4 != 0 && (in.ext == nil || h.opcode != opText && h.opcode != opBinary):
		return fmt.Sprintf("reserved bits %d set (section 5.2)", h.rsv)
	case !h.minimal:
		return "the payload length is not minimal (section 5.2)"
	case control && (!h.fin || h.length > 125):
		return "a control frame is fragmented or too long (section 5.5)"
	case h.opcode == opContinuation && in.opcode == 0:
		return "a continuation frame with nothing to continue (section 5.4)"
	case !control && h.opcode != opContinuation && in.opcode != 0:
		return "a new message inside a message (section 5.4)"
	case h.length > maxMessage || uint64(len(in.message))+h.length > maxMessage:
		return "the message is longer than any that was sent"
	}
	return ""
}

// frame takes one frame in and returns what it completes, nil if nothing.
func (in *inbound) frame(h header, payload []byte) any {
	switch h.opcode {
	case opPing:
		return Event{Kind: "ping", Payload: payload}
	case opPong:
		return Event{Kind: "pong", Payload: payload}
	case opClose:
		in.closed = true
		return parseClose(payload)
	case opText, opBinary:
		in.opcode, in.compressed, in.wireLength = h.opcode, h.rsv&4 != 0, 0
		in.message = payload
	default:
		in.message = append(in.message, payload...)
	}
	in.wireLength += len(payload)
	if !h.fin {
		return nil
	}
	e := Event{Kind: "message", Payload: in.message, Binary: in.opcode == opBinary, compressed: in.compressed, wireLength: in.wireLength}
	in.opcode, in.message = 0, nil
	if e.compressed {
		inflated, err := in.ext.inflate(e.Payload)
		if err != nil {
			return violation{fmt.Sprintf("a compressed message does not inflate: %v", err)}
		}
		e.Payload = inflated
	}
	if !e.Binary && !utf8.Valid(e.Payload) {
		return violation{"a text message that is not UTF-8 (section 8.1)"}
	}
	return e
}

func parseClose(payload []byte) any {
	if len(payload) == 0 {
		return closed{}
	}
	if len(payload) == 1 {
		return violation{"a close frame with one octet of payload (section 5.5.1)"}
	}
	c := closed{code: int(binary.BigEndian.Uint16(payload)), reason: string(payload[2:])}
	if !validCode(c.code) {
		return violation{fmt.Sprintf("close code %d must not be sent (section 7.4)", c.code)}
	}
	if !utf8.ValidString(c.reason) {
		return violation{"a close reason that is not UTF-8 (section 5.5.1)"}
	}
	return c
}

// validCode reports whether an endpoint may send the close code: those of section 7.4.1, those registered since, and 3000 to 4999.
func validCode(code int) bool {
	return code >= 1000 && code <= 1003 || code >= 1007 && code <= 1014 || code >= 3000 && code <= 4999
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
