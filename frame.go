package websocket

import (
	"encoding/binary"
	"io"
)

// Message types are the opcodes of RFC 6455, section 11.8. The data frames of
// a message have one of the first two; the others are control frames.
const (
	TextMessage   = 1  // text, which is UTF-8
	BinaryMessage = 2  // binary data
	CloseMessage  = 8  // a close frame; FormatCloseMessage makes its payload
	PingMessage   = 9  // a ping, with at most 125 bytes of payload
	PongMessage   = 10 // a pong, with at most 125 bytes of payload
)

// opContinuation is the opcode of any fragment of a message but the first.
const opContinuation = 0

const (
	maxHeader         = 14  // bytes of the longest frame header: 2 + 8 of length + 4 of masking key
	maxControlPayload = 125 // "All control frames MUST have a payload length of 125 bytes or less" (section 5.5)
)

// The two octets that begin a frame (section 5.2):
//
//	 0 1 2 3 4 5 6 7   0 1 2 3 4 5 6 7
//	+-+-+-+-+-------+ +-+-------------+
//	|F|R|R|R| opcode| |M| Payload len |
//	|I|S|S|S|  (4)  | |A|     (7)     |
//	|N|V|V|V|       | |S|             |
//	| |1|2|3|       | |K|             |
//	+-+-+-+-+-------+ +-+-------------+
const (
	bitFin  = 0x80
	bitRSV1 = 0x40
	bitRSV2 = 0x20
	bitRSV3 = 0x10
	bitMask = 0x80

	maskOpcode = 0x0f
	maskLength = 0x7f

	len16 = 126 // the length stands in the next 2 bytes
	len64 = 127 // the length stands in the next 8 bytes
)

// FrameHeader is the header of a frame (RFC 6455, section 5.2).
type FrameHeader struct {
	Fin     bool    // this is the last fragment of its message
	RSV1    bool    // permessage-deflate: the message is compressed (RFC 7692, section 6)
	RSV2    bool    // reserved
	RSV3    bool    // reserved
	Opcode  int     // 0 for a continuation, a message type, or reserved; 0 to 15
	Masked  bool    // the payload is masked with MaskKey
	MaskKey [4]byte // of no meaning unless Masked
	Length  int64   // bytes of payload, not negative
}

// ParseFrameHeader decodes the frame header at the beginning of b and returns
// how many bytes it took. If b ends within the header the error is
// io.ErrUnexpectedEOF: read more and ask again. A length that is not in its
// shortest form, or that has its highest bit set, is a *ProtocolError. Reserved
// bits and opcodes are reported as they are.
func ParseFrameHeader(b []byte) (h FrameHeader, n int, err error) {
	if len(b) < 2 {
		return FrameHeader{}, 0, io.ErrUnexpectedEOF
	}
	h.Fin = b[0]&bitFin != 0
	h.RSV1 = b[0]&bitRSV1 != 0
	h.RSV2 = b[0]&bitRSV2 != 0
	h.RSV3 = b[0]&bitRSV3 != 0
	h.Opcode = int(b[0] & maskOpcode)
	h.Masked = b[1]&bitMask != 0
	n = 2

	switch short := b[1] & maskLength; short {
	default:
		h.Length = int64(short)
	case len16:
		if len(b) < n+2 {
			return FrameHeader{}, 0, io.ErrUnexpectedEOF
		}
		h.Length = int64(binary.BigEndian.Uint16(b[n:]))
		n += 2
		// "the minimal number of bytes MUST be used to encode the length" (section 5.2)
		if h.Length < len16 {
			return FrameHeader{}, 0, errNotMinimal
		}
	case len64:
		if len(b) < n+8 {
			return FrameHeader{}, 0, io.ErrUnexpectedEOF
		}
		length := binary.BigEndian.Uint64(b[n:])
		n += 8
		// "the most significant bit MUST be 0" (section 5.2)
		if length>>63 != 0 {
			return FrameHeader{}, 0, errLengthTopBit
		}
		if length>>16 == 0 {
			return FrameHeader{}, 0, errNotMinimal
		}
		h.Length = int64(length)
	}

	if h.Masked {
		if len(b) < n+4 {
			return FrameHeader{}, 0, io.ErrUnexpectedEOF
		}
		h.MaskKey = [4]byte(b[n:])
		n += 4
	}
	return h, n, nil
}

// parseLone decodes the header of a frame that is a message by itself, without
// extensions, whose length stands in 16 bits at most, and which b holds as a whole:
// one whose payload is b[n:n+length], masked with key if it is to be masked. If
// that is not what b begins with, or there is anything wrong with it, n is 0.
func parseLone(b []byte, masked bool) (opcode, length int, key [4]byte, n int) {
	if len(b) < 2 || b[0] != bitFin|TextMessage && b[0] != bitFin|BinaryMessage || b[1]&bitMask != 0 != masked {
		return 0, 0, key, 0
	}
	n = 2
	length = int(b[1] & maskLength)
	if length >= len16 {
		if length != len16 || len(b) < n+2 {
			return 0, 0, key, 0
		}
		length = int(binary.BigEndian.Uint16(b[n:]))
		n += 2
		if length < len16 {
			return 0, 0, key, 0
		}
	}
	if masked {
		if len(b) < n+4 {
			return 0, 0, key, 0
		}
		key = [4]byte(b[n:])
		n += 4
	}
	if len(b)-n < length {
		return 0, 0, key, 0
	}
	return int(b[0] & maskOpcode), length, key, n
}

// Append encodes h at the end of dst, with the length in its shortest form, and
// returns the longer slice. Bits of Opcode beyond the four of the wire are
// dropped.
func (h FrameHeader) Append(dst []byte) []byte {
	first := byte(h.Opcode & maskOpcode)
	if h.Fin {
		first |= bitFin
	}
	if h.RSV1 {
		first |= bitRSV1
	}
	if h.RSV2 {
		first |= bitRSV2
	}
	if h.RSV3 {
		first |= bitRSV3
	}
	var second byte
	if h.Masked {
		second = bitMask
	}

	switch {
	case h.Length < len16:
		dst = append(dst, first, second|byte(h.Length))
	case h.Length>>16 == 0:
		dst = append(dst, first, second|len16)
		dst = binary.BigEndian.AppendUint16(dst, uint16(h.Length))
	default:
		dst = append(dst, first, second|len64)
		dst = binary.BigEndian.AppendUint64(dst, uint64(h.Length))
	}

	if h.Masked {
		dst = append(dst, h.MaskKey[:]...)
	}
	return dst
}

// isControl reports whether opcode is one of a control frame, reserved ones
// included: "Control frames are identified by opcodes where the most
// significant bit of the opcode is 1" (section 5.5).
func isControl(opcode int) bool { return opcode&0x8 != 0 }
