package differential

import (
	"encoding/binary"
	"unicode/utf8"
)

// A model reads an input octet by octet and panics with its end. Sections are those of
// RFC 6455 unless it says RFC 7692. How a message is inflated is in inflate.go.
type model struct {
	input
	outcome
	opcode           byte   // of the message in progress, 0 between messages
	fin, over        bool   // the frame at hand is the last of its message; all of it was read, and nothing since
	fragments, empty int    // of the message; how many of them in a row are empty
	left, room, wire int64  // octets of the frame still to come; of the message, inflated and as it comes, still allowed
	key              []byte // masking key of the frame at hand, of which
	keyAt            int    // so many octets were used
	text, compressed bool   // the message has to be UTF-8; is compressed
	data, char       []byte // what came of the message; of a character
	window           []byte // what compressed messages gave
	bits, nbits      int    // bits read and not used, the next one lowest; how many
	tail, bare       int    // octets used of what a sender leaves out; blocks in a row without output
	sync             bool   // the last block was stored and empty
}

func (m *model) run() {
	for {
		m.data, m.char = nil, nil
		if m.frame(); m.compressed {
			m.inflate()
		}
		for more := !m.compressed; more; {
			var b byte
			if b, more = m.payload(); more {
				m.give(b)
			}
		}
		if len(m.char) > 0 {
			m.fail(1007, notText) // 8.1: it ends within a character
		}
		m.messages = append(m.messages, message{m.opcode, string(m.data)})
		m.opcode = 0
	}
}

func (m *model) fail(code int, r rule) { panic(end{broken, code, "", r, m.opcode != 0}) }

func (m *model) octet() byte {
	if m.at == len(m.stream) {
		panic(end{lost, 1006, "", "", m.opcode != 0}) // 7.1.5
	}
	m.at++
	return m.stream[m.at-1]
}

func (m *model) octets(n int) (p []byte) {
	for range n {
		p = append(p, m.octet())
	}
	return p
}

// unmasked reads an octet of the payload of the frame at hand (5.3).
func (m *model) unmasked() byte {
	b := m.octet()
	if m.left--; m.key != nil {
		b ^= m.key[m.keyAt%4]
		m.keyAt++
	}
	return b
}

// payload reads an octet of the message, of which there may be no more.
func (m *model) payload() (b byte, more bool) {
	for m.left == 0 {
		if m.over && m.sync && m.nbits == 0 {
			m.sync = false
			m.bare-- // what a sender's flush leaves at the end of a fragment is no empty block of its own
		}
		if m.over = false; m.fin {
			return 0, false
		}
		m.frame()
	}
	b = m.unmasked()
	m.over = m.left == 0
	return b, true
}

// frame reads the header of the next data frame, and the control frames before it.
func (m *model) frame() {
	m.start = m.at
	first, second := m.octet(), m.octet()
	length, least := uint64(second&0x7f), uint64(0)
	switch length { // 5.2
	case 126:
		length, least = uint64(binary.BigEndian.Uint16(m.octets(2))), 126
	case 127:
		length, least = binary.BigEndian.Uint64(m.octets(8)), 1<<16
	}
	switch {
	case length>>63 != 0:
		m.fail(1002, topBit) // 5.2: "the most significant bit MUST be 0"
	case length < least:
		m.fail(1002, notMinimal) // 5.2: "the minimal number of bytes MUST be used"
	}
	masked := second&0x80 != 0
	if m.key, m.keyAt = nil, 0; masked {
		m.key = m.octets(4) // 5.3
	}
	opcode, fin, rsv1 := first&0x0f, first&0x80 != 0, first&0x40 != 0
	control := opcode >= 8
	switch {
	case first&0x30 != 0, rsv1 && !m.deflate:
		m.fail(1002, reservedBit) // 5.2
	case rsv1 && (control || opcode == 0):
		m.fail(1002, misplacedRSV1) // RFC 7692, 6
	case masked != m.server:
		m.fail(1002, wrongMask) // 5.1
	case control && opcode > 10, !control && opcode > 2:
		m.fail(1002, reservedOpcode) // 5.2
	case control && (!fin || length > 125):
		m.fail(1002, wrongControl) // 5.5
	case !control && (opcode == 0) != (m.opcode != 0):
		m.fail(1002, wrongOrder) // 5.4
	}
	if m.left = int64(length); control {
		m.control(opcode)
		m.frame()
		return
	}
	if m.fin = fin; opcode != 0 {
		m.fragments, m.empty = 0, 0
		m.text, m.compressed = opcode == 1 && !m.anyText, rsv1
		m.room, m.wire = m.limit, m.limit+m.limit/16+64 // DEFLATE does not make it longer than that,
	}
	m.wire += 16 // and a flush for each fragment
	m.fragments++
	if m.empty++; length > 0 {
		m.empty = 0
	}
	switch { // 10.4: limits of ours
	case m.empty > 64 && !m.patient:
		m.fail(1008, tooEmpty)
	case m.limit >= 0 && (m.compressed && m.left > m.wire || !m.compressed && m.left > m.room):
		panic(end{limit, 1009, "", tooBig, m.opcode != 0})
	}
	if m.wire -= m.left; !m.compressed {
		m.room -= m.left
	}
	if m.opcode = max(m.opcode, opcode); m.fragments > 131_072 && !m.patient { // 10.4
		m.fail(1008, tooManyFragments)
	}
}

// control reads the payload of a control frame and does what it asks for.
func (m *model) control(opcode byte) {
	var p []byte
	for m.left > 0 {
		p = append(p, m.unmasked())
	}
	switch {
	case opcode == 9: // 5.5.2: "MUST send a Pong frame in response", 5.5.3: with the same payload
		m.pongs, m.answered = append(m.pongs, string(p)), append(m.answered, m.at)
		return
	case opcode == 10: // 5.5.3: "A response to an unsolicited Pong frame is not expected"
		return
	case len(p) == 0:
		panic(end{closed, 1005, "", "", m.opcode != 0}) // 7.1.5
	case len(p) == 1:
		m.fail(1002, shortClose) // 5.5.1
	}
	code := int(binary.BigEndian.Uint16(p))
	switch {
	case code < 1000, code == 1004, code == 1005, code == 1006, code > 1014 && code < 3000, code > 4999:
		m.fail(1002, closeCode) // 7.4
	case !utf8.Valid(p[2:]):
		m.fail(1007, closeReason) // 5.5.1
	}
	panic(end{closed, code, string(p[2:]), "", m.opcode != 0}) // 5.5.1, 7.1.5
}

// give adds an octet to the message.
func (m *model) give(b byte) {
	if m.data = append(m.data, b); !m.text {
		return
	}
	if m.char = append(m.char, b); utf8.FullRune(m.char) {
		if r, n := utf8.DecodeRune(m.char); r == utf8.RuneError && n == 1 {
			m.fail(1007, notText) // 8.1
		}
		m.char = nil
	}
}
