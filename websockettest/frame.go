package websockettest

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"

	"github.com/duplexkit/websocket"
)

// continuation is the opcode of any fragment but the first.
const continuation = 0

// maxFrame is the longest payload that a Peer receives, in bytes.
const maxFrame = 1 << 30

// A Frame is a frame as it stands on the wire (RFC 6455, section 5.2), right or wrong. A
// Peer masks it, or not, as its role has it. Frames can be compared with ==.
type Frame struct {
	Opcode           int    // 0 for a continuation, a message type, or one that is reserved
	Payload          string // not masked
	More             bool   // more fragments are to follow: FIN is 0
	RSV1, RSV2, RSV3 bool   // the reserved bits; RSV1 is a compressed message's (RFC 7692, section 6)

	// Length is what the header claims for the length of the payload; 0 is the truth.
	Length uint64
	// LengthBytes are how many bytes beyond the header's first two the length stands in:
	// 2, or 8; 0 is the shortest form, as RFC 6455 demands it.
	LengthBytes int
	// WrongMask masks the frame of a server, and leaves that of a client as it is.
	WrongMask bool
}

// Text returns the frame of a text message.
func Text(payload string) Frame { return Frame{Opcode: websocket.TextMessage, Payload: payload} }

// Binary returns the frame of a binary message.
func Binary(payload string) Frame { return Frame{Opcode: websocket.BinaryMessage, Payload: payload} }

// Ping returns a ping.
func Ping(payload string) Frame { return Frame{Opcode: websocket.PingMessage, Payload: payload} }

// Pong returns a pong.
func Pong(payload string) Frame { return Frame{Opcode: websocket.PongMessage, Payload: payload} }

// Close returns a close frame, with any code, and with neither code nor reason if the code
// is 0.
func Close(code int, reason string) Frame {
	f := Frame{Opcode: websocket.CloseMessage}
	if code != 0 {
		f.Payload = string(binary.BigEndian.AppendUint16(nil, uint16(code))) + reason
	}
	return f
}

// Fragments returns the frames of a message in so many pieces as there are payloads.
func Fragments(messageType int, payloads ...string) []Frame {
	frames := make([]Frame, len(payloads))
	for i, p := range payloads {
		frames[i] = Frame{Opcode: continuation, Payload: p, More: i < len(payloads)-1}
	}
	if len(frames) > 0 {
		frames[0].Opcode = messageType
	}
	return frames
}

// maskKey is the masking key of RFC 6455, section 5.7. A fixed one makes failures repeat.
var maskKey = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// append encodes f as a client or a server sends it.
func (f Frame) append(b []byte, client bool) []byte {
	first := byte(f.Opcode & 0xf)
	for bit, set := range map[byte]bool{0x80: !f.More, 0x40: f.RSV1, 0x20: f.RSV2, 0x10: f.RSV3} {
		if set {
			first |= bit
		}
	}
	masked := client != f.WrongMask
	var mask byte
	if masked {
		mask = 0x80
	}
	length := f.Length
	if length == 0 {
		length = uint64(len(f.Payload))
	}
	switch {
	case f.LengthBytes == 0 && length < 126:
		b = append(b, first, mask|byte(length))
	case f.LengthBytes == 2 || f.LengthBytes == 0 && length < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, first, mask|126), uint16(length))
	default:
		b = binary.BigEndian.AppendUint64(append(b, first, mask|127), length)
	}
	if !masked {
		return append(b, f.Payload...)
	}
	b = append(b, maskKey[:]...)
	n := len(b)
	b = append(b, f.Payload...)
	websocket.Mask(maskKey, 0, b[n:])
	return b
}

// readFrame reads a frame for a client or a server. An error of its own says what is wrong
// with the frame; those of r pass through, io.EOF only if there was not a byte of a frame.
func readFrame(r io.Reader, client bool) (f Frame, err error) {
	var b [14]byte
	if _, err := io.ReadFull(r, b[:2]); err != nil {
		return f, err
	}
	n := 2
	switch b[1] & 0x7f {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	masked := b[1]&0x80 != 0
	if masked {
		n += 4
	}
	if _, err := io.ReadFull(r, b[2:n]); err != nil {
		return f, within(err)
	}
	h, _, err := websocket.ParseFrameHeader(b[:n])
	if err != nil {
		return f, fmt.Errorf("a frame that is none (%w): % x", err, b[:n])
	}
	f = Frame{Opcode: h.Opcode, More: !h.Fin, RSV1: h.RSV1, RSV2: h.RSV2, RSV3: h.RSV3, WrongMask: masked == client}
	if h.Length > maxFrame {
		return f, fmt.Errorf("a frame that claims %d bytes: % x", h.Length, b[:n])
	}
	p := make([]byte, h.Length)
	if _, err := io.ReadFull(r, p); err != nil {
		return f, within(err)
	}
	if masked {
		websocket.Mask(h.MaskKey, 0, p)
	}
	f.Payload = string(p)
	return f, nil
}

// within is the error of a frame that does not end.
func within(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// String describes the frame in a line: text "Hello", close 1000 "bye", and whatever is
// unusual about it.
func (f Frame) String() string {
	var s strings.Builder
	p := f.Payload
	switch f.Opcode {
	case continuation:
		s.WriteString("continuation")
	case websocket.TextMessage:
		s.WriteString("text")
	case websocket.BinaryMessage:
		s.WriteString("binary")
	case websocket.CloseMessage:
		s.WriteString("close")
		if len(p) >= 2 {
			fmt.Fprintf(&s, " %d", binary.BigEndian.Uint16([]byte(p)))
			p = p[2:]
		}
	case websocket.PingMessage:
		s.WriteString("ping")
	case websocket.PongMessage:
		s.WriteString("pong")
	default:
		fmt.Fprintf(&s, "opcode %#x", f.Opcode)
	}
	const enough = 64
	if len(p) > enough {
		fmt.Fprintf(&s, " %q... of %d bytes", p[:enough], len(f.Payload))
	} else {
		fmt.Fprintf(&s, " %q", p)
	}
	for _, unusual := range []struct {
		is   bool
		what string
	}{
		{f.More, ", more to follow"},
		{f.RSV1, ", RSV1"},
		{f.RSV2, ", RSV2"},
		{f.RSV3, ", RSV3"},
		{f.Length != 0, fmt.Sprintf(", claiming %d bytes", f.Length)},
		{f.LengthBytes != 0, fmt.Sprintf(", length in %d bytes", f.LengthBytes)},
		{f.WrongMask, ", with the wrong masking"},
	} {
		if unusual.is {
			s.WriteString(unusual.what)
		}
	}
	return s.String()
}
