package wstest

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Opcodes of RFC 6455, section 11.8.
const (
	Continuation = 0x0
	Text         = 0x1
	Binary       = 0x2
	Close        = 0x8
	Ping         = 0x9
	Pong         = 0xa
)

// Frame is a frame as it stands on the wire (RFC 6455, section 5.2).
type Frame struct {
	More    bool // it is not the last fragment: FIN is 0
	RSV     byte // the three reserved bits, RSV1 is 4
	Opcode  byte
	Payload string
}

// String describes the frame.
func (f Frame) String() string {
	return fmt.Sprintf("{more=%t rsv=%d opcode=%#x payload=%.64q (%d bytes)}", f.More, f.RSV, f.Opcode, f.Payload, len(f.Payload))
}

// CloseFrame returns a close frame with a code and a reason.
func CloseFrame(code int, reason string) Frame {
	return Frame{Opcode: Close, Payload: string(binary.BigEndian.AppendUint16(nil, uint16(code))) + reason}
}

// Unmasked encodes the frame as a server sends it.
func (f Frame) Unmasked() []byte { return append(f.header(0), f.Payload...) }

// Masked encodes the frame as a client sends it, with a fixed masking key.
func (f Frame) Masked() []byte {
	key := []byte{0x37, 0xfa, 0x21, 0x3d}
	b := append(f.header(0x80), key...)
	for i := range len(f.Payload) {
		b = append(b, f.Payload[i]^key[i%4])
	}
	return b
}

func (f Frame) header(mask byte) []byte {
	first := f.RSV<<4 | f.Opcode
	if !f.More {
		first |= 0x80
	}
	switch n := len(f.Payload); {
	case n < 126:
		return []byte{first, mask | byte(n)}
	case n < 1<<16:
		return binary.BigEndian.AppendUint16([]byte{first, mask | 126}, uint16(n))
	default:
		return binary.BigEndian.AppendUint64([]byte{first, mask | 127}, uint64(n))
	}
}

// ReadFrame reads one frame and tells whether it was masked. A length that is
// not in its shortest form is an error.
func ReadFrame(r io.Reader) (f Frame, masked bool, err error) {
	var b [8]byte
	if _, err := io.ReadFull(r, b[:2]); err != nil {
		return f, false, err
	}
	f.More = b[0]&0x80 == 0
	f.RSV = b[0] >> 4 & 7
	f.Opcode = b[0] & 15
	masked = b[1]&0x80 != 0
	n := uint64(b[1] & 0x7f)
	least := uint64(0)
	switch n {
	case 126:
		if _, err := io.ReadFull(r, b[:2]); err != nil {
			return f, masked, err
		}
		n, least = uint64(binary.BigEndian.Uint16(b[:])), 126
	case 127:
		if _, err := io.ReadFull(r, b[:8]); err != nil {
			return f, masked, err
		}
		n, least = binary.BigEndian.Uint64(b[:]), 1<<16
	}
	if n < least {
		return f, masked, fmt.Errorf("wstest: length %d is not in its shortest form", n)
	}
	var key [4]byte
	if masked {
		if _, err := io.ReadFull(r, key[:]); err != nil {
			return f, masked, err
		}
	}
	p := make([]byte, n)
	if _, err := io.ReadFull(r, p); err != nil {
		return f, masked, err
	}
	for i := range p {
		p[i] ^= key[i%4]
	}
	f.Payload = string(p)
	return f, masked, nil
}
