package faults

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	websocket "github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/internal/wstest"
)

// message is a message as a whole.
type message struct {
	opcode  int
	payload string
}

// ending is how a stream of frames ends.
type ending int

const (
	unfinished ending = iota // nothing is wrong with it so far
	closed                   // with a close frame
	broken                   // it breaks a rule of the protocol
	tooLarge                 // a message is over the limit
)

// seen is what there is to see in a stream of frames.
type seen struct {
	messages []message
	pings    []string
	pongs    []string
	end      ending
	code     int    // of the close frame, or that the broken rule calls for
	reason   string // of the close frame
	within   bool   // a message has begun, and not ended
	begun    bool   // the stream breaks off in a frame
	used     int    // bytes of whole frames
}

// reader says who sees it.
type reader struct {
	server     bool  // frames have to be masked
	compressed bool  // permessage-deflate was agreed on, with context takeover
	limit      int64 // of a message, in bytes, negative for none
}

// head is a frame's header.
type head struct {
	fin     bool
	rsv     byte
	opcode  int
	masked  bool
	key     [4]byte
	length  uint64
	size    int // of the header itself
	minimal bool
}

// headOf decodes the header that b begins with. It is false if that is not whole.
func headOf(b []byte) (h head, whole bool) {
	if len(b) < 2 {
		return h, false
	}
	h = head{fin: b[0]&0x80 != 0, rsv: b[0] >> 4 & 7, opcode: int(b[0] & 15), masked: b[1]&0x80 != 0, length: uint64(b[1] & 127), size: 2, minimal: true}
	extra := 0
	switch h.length {
	case 126:
		extra = 2
	case 127:
		extra = 8
	}
	h.size += extra
	if h.masked {
		h.size += 4
	}
	if len(b) < h.size {
		return h, false
	}
	if extra > 0 {
		h.length = 0
		for _, c := range b[2 : 2+extra] {
			h.length = h.length<<8 | uint64(c)
		}
		h.minimal = extra == 2 && h.length > 125 || extra == 8 && h.length>>16 > 0
	}
	if h.masked {
		h.key = [4]byte(b[h.size-4:])
	}
	return h, true
}

// payloadOf returns what b has of the payload behind h.
func payloadOf(h head, b []byte) []byte {
	p := bytes.Clone(b[h.size:])
	if uint64(len(p)) > h.length {
		p = p[:h.length]
	}
	for i := range p {
		p[i] ^= h.key[i%4]
	}
	return p
}

// see decodes b as RFC 6455 and RFC 7692 have it, frame by frame, with the close code
// that section 7.4.1 assigns to each fault. It fails as early as it can: for UTF-8 that
// is the byte which can't go on with what came before.
func (r reader) see(b []byte) (s seen) {
	var (
		opcode   int // of the message in progress, 0 for none
		deflated bool
		whole    []byte // its payload
		room     int64
		codec    inflater
	)
	fail := func(code int) { s.end, s.code = broken, code }
	for s.end == unfinished {
		s.within = opcode != 0
		h, ok := headOf(b[s.used:])
		if !ok {
			s.begun = s.used < len(b)
			return s
		}
		control := h.opcode >= 8
		switch {
		case !h.minimal, h.length>>63 != 0, h.rsv&3 != 0, h.masked != r.server,
			h.rsv != 0 && (!r.compressed || control || h.opcode == wstest.Continuation), // RFC 7692, section 6
			h.opcode > wstest.Pong, h.opcode > wstest.Binary && !control, // section 5.2
			control && (!h.fin || h.length > 125),                          // section 5.5
			!control && (h.opcode == wstest.Continuation) != (opcode != 0): // section 5.4
			fail(websocket.CloseProtocolError)
			return s
		}
		payload := payloadOf(h, b[s.used:])
		here := uint64(len(payload)) == h.length
		if control {
			if !here {
				s.begun = true
				return s
			}
			s.used += h.size + len(payload)
			s.control(h.opcode, payload)
			continue
		}
		if opcode == 0 {
			opcode, deflated, whole, room = h.opcode, h.rsv != 0, nil, r.limit
		}
		s.within = true
		if room >= 0 && h.length > uint64(room) {
			s.end = tooLarge // what is compressed may have a little more, and does not in this transcript
			return s
		}
		room -= int64(h.length)
		whole = append(whole, payload...)
		ended := here && h.fin
		text, err := whole, error(nil)
		if deflated {
			text, err = codec.inflate(whole, ended)
		}
		if err != nil || opcode == wstest.Text && !validText(text, ended) {
			fail(websocket.CloseInvalidFramePayloadData)
			return s
		}
		if !here {
			s.begun = true
			return s
		}
		s.used += h.size + len(payload)
		if ended {
			s.messages = append(s.messages, message{opcode, string(text)})
			if deflated {
				codec.history = append(codec.history, text...)
			}
			opcode = 0
		}
	}
	return s
}

func (s *seen) control(opcode int, p []byte) {
	switch {
	case opcode == wstest.Ping:
		s.pings = append(s.pings, string(p))
	case opcode == wstest.Pong:
		s.pongs = append(s.pongs, string(p))
	case len(p) == 0:
		s.end, s.code = closed, websocket.CloseNoStatusReceived
	case len(p) == 1:
		s.end, s.code = broken, websocket.CloseProtocolError // section 5.5.1
	default:
		s.end, s.code, s.reason = closed, int(binary.BigEndian.Uint16(p)), string(p[2:])
		switch code := s.code; {
		case code < 1000, code == 1004, code == 1005, code == 1006, code > 1014 && code < 3000, code > 4999: // section 7.4
			s.end, s.code = broken, websocket.CloseProtocolError
		case !utf8.ValidString(s.reason):
			s.end, s.code = broken, websocket.CloseInvalidFramePayloadData
		}
	}
}

// validText reports whether p is UTF-8 (section 8.1), or the beginning of some.
func validText(p []byte, whole bool) bool {
	for len(p) > 0 {
		if !whole && !utf8.FullRune(p) {
			return true
		}
		c, n := utf8.DecodeRune(p)
		if c == utf8.RuneError && n == 1 {
			return false
		}
		p = p[n:]
	}
	return true
}

// An inflater expands messages that refer to those before them.
type inflater struct {
	history []byte
	dec     io.ReadCloser
}

// tail is what a sender leaves out at the end of a message (RFC 7692, section 7.2.1),
// and an empty block that tells the decoder of compress/flate that this is the end.
const tail = "\x00\x00\xff\xff"

const lastBlock = "\x01\x00\x00\xff\xff"

// inflate expands p, which is a whole message or the beginning of one.
func (i *inflater) inflate(p []byte, whole bool) (text []byte, err error) {
	if len(p) == 0 {
		return nil, nil
	}
	if whole {
		p = append(append(bytes.Clone(p), tail...), lastBlock...)
	}
	src := bytes.NewReader(p)
	for {
		window := append(bytes.Clone(i.history), text...)
		if i.dec == nil {
			i.dec = flate.NewReaderDict(src, window)
		} else if err := i.dec.(flate.Resetter).Reset(src, window); err != nil {
			return nil, err
		}
		more, err := io.ReadAll(i.dec)
		text = append(text, more...)
		switch {
		case err == io.ErrUnexpectedEOF && !whole:
			return text, nil
		case err != nil:
			return text, err
		case src.Len() == 0 || whole && src.Len() == len(tail)+len(lastBlock):
			return text, nil // in the latter case without the octet 00 that a sender adds then, as many do
		}
		// A block that says it is the last one is followed by others all the same (RFC
		// 7692, section 7.2.3.4).
	}
}

func TestReference(t *testing.T) {
	t.Parallel()
	frame := func(f wstest.Frame) string { return string(f.Masked()) }
	deflated := string(wstest.Hex("f2 48 cd c9 c9 07 00"))
	again := string(wstest.Hex("f2 00 11 00 00")) // RFC 7692, section 7.2.3.2
	for _, tc := range []struct {
		name string
		wire string
		want seen
	}{
		{"nothing", "", seen{}},
		{"half a header", "\x81", seen{begun: true}},
		{"Hello", string(wstest.HelloMasked), seen{messages: []message{{1, "Hello"}}, used: 11}},
		{"half a payload", string(wstest.HelloMasked[:8]), seen{within: true, begun: true}},
		{"not masked", string(wstest.HelloUnmasked), seen{end: broken, code: 1002}},
		{"compressed", frame(wstest.Frame{RSV: 4, Opcode: 1, Payload: deflated}) + frame(wstest.Frame{RSV: 4, Opcode: 1, Payload: again}),
			seen{messages: []message{{1, "Hello"}, {1, "Hello"}}, used: 24}},
		{"without a history", frame(wstest.Frame{RSV: 4, Opcode: 1, Payload: again}), seen{end: broken, code: 1007, within: true}},
		{"fragments and a ping", frame(wstest.Frame{More: true, Opcode: 1, Payload: "\xc3"}) + frame(wstest.Frame{Opcode: 9, Payload: "p"}) +
			frame(wstest.Frame{Payload: "\xbc"}), seen{messages: []message{{1, "ü"}}, pings: []string{"p"}, used: 21}},
		{"not UTF-8", frame(wstest.Frame{More: true, Opcode: 1, Payload: "\xc3\xc3"}), seen{end: broken, code: 1007, within: true}},
		{"continuation of nothing", frame(wstest.Frame{Payload: "x"}), seen{end: broken, code: 1002}},
		{"too large", "\x82\xff\x00\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00", seen{end: tooLarge, within: true}},
		{"close", frame(wstest.CloseFrame(1000, "bye")), seen{end: closed, code: 1000, reason: "bye", used: 11}},
		{"close 1005", frame(wstest.CloseFrame(1005, "")), seen{end: broken, code: 1002, used: 8}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.want, reader{server: true, compressed: true, limit: 1 << 20}.see([]byte(tc.wire)))
		})
	}
	_, err := new(inflater).inflate([]byte(deflated[:3]), true)
	require.Error(t, err)
	text, err := new(inflater).inflate([]byte(deflated[:3]), false)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix("Hello", string(text)))
	require.False(t, errors.Is(err, io.EOF))
}
