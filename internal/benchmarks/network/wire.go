//go:build linux

package main

import (
	"bytes"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"fmt"
)

// payload returns n bytes, always the same, in which no place looks like another.
func payload(n int) []byte {
	p, x := make([]byte, 0, n+8), uint64(n)+0x9e3779b97f4a7c15
	for len(p) < n {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		p = binary.LittleEndian.AppendUint64(p, x)
	}
	return p[:n:n]
}

var maskKey = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// appendFrame appends p as a binary message of one frame, masked as a client does.
func appendFrame(dst, p []byte, masked bool) []byte {
	var bit byte
	if masked {
		bit = 0x80
	}
	dst = append(dst, 0x82)
	switch n := len(p); {
	case n < 126:
		dst = append(dst, bit|byte(n))
	case n < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, bit|126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, bit|127), uint64(n))
	}
	if !masked {
		return append(dst, p...)
	}
	dst = append(dst, maskKey[:]...)
	begin := len(dst)
	dst = append(dst, p...)
	mask(dst[begin:], dst[begin:], maskKey, 0)
	return dst
}

// mask writes p, with the key from pos on, to dst.
func mask(dst, p []byte, key [4]byte, pos int) {
	var keys [1 << 10]byte
	for i := range min(len(keys), len(p)) {
		keys[i] = key[(pos+i)%4]
	}
	for ; len(p) > 0; dst, p = dst[min(len(keys), len(p)):], p[min(len(keys), len(p)):] {
		subtle.XORBytes(dst, p, keys[:])
	}
}

// A receiver takes apart what one end of a connection gets, and verifies that it
// is the same message again and again: in full the first time, later, where that
// would cost more than the network does, the ends of each piece.
type receiver struct {
	want     []byte // the payload of each message
	masked   bool   // whether the frames have to be
	messages int    // that have come in full

	head    [14]byte // of a frame, as far as it has come
	headLen int
	left    int // bytes of the frame that are still to come
	at      int // place in the message
	key     [4]byte
	keyPos  int
	fin     bool
	control bool
}

// take verifies the next bytes.
func (r *receiver) take(p []byte) error {
	for len(p) > 0 {
		if r.left == 0 {
			n, err := r.header(p)
			if err != nil {
				return err
			}
			p = p[n:]
			if r.headLen > 0 {
				return nil // a part of it
			}
		}
		n := min(r.left, len(p))
		if !r.control {
			if err := r.verify(p[:n]); err != nil {
				return err
			}
			r.at += n
		}
		p, r.left, r.keyPos = p[n:], r.left-n, r.keyPos+n
		if r.left == 0 && r.fin && !r.control {
			if r.at != len(r.want) {
				return fmt.Errorf("a message of %d bytes instead of %d", r.at, len(r.want))
			}
			r.messages++
			r.at = 0
		}
	}
	return nil
}

// header reads the header of a frame, and returns what it has used of p. Unless
// all of it is there, headLen is what there is of it.
func (r *receiver) header(p []byte) (n int, err error) {
	need := 2
	for {
		if r.headLen >= 2 {
			need = 2
			switch r.head[1] & 0x7f {
			case 126:
				need = 4
			case 127:
				need = 10
			}
			if r.head[1]&0x80 != 0 {
				need += 4
			}
		}
		if r.headLen >= 2 && r.headLen == need {
			break
		}
		if n == len(p) {
			return n, nil
		}
		used := copy(r.head[r.headLen:need], p[n:])
		r.headLen, n = r.headLen+used, n+used
	}
	r.headLen = 0
	opcode := r.head[0] & 0x0f
	r.fin, r.control, r.keyPos = r.head[0]&0x80 != 0, opcode >= 8, 0
	switch {
	case r.head[0]&0x70 != 0:
		return n, fmt.Errorf("a frame with reserved bits: %x", r.head[:need])
	case opcode == 8:
		return n, fmt.Errorf("a close frame")
	case !r.control && (opcode == 0) != (r.at > 0), opcode > 2 && opcode < 8:
		return n, fmt.Errorf("a frame with opcode %d at byte %d of a message", opcode, r.at)
	case (r.head[1]&0x80 != 0) != r.masked:
		return n, fmt.Errorf("masked and unmasked frames mixed up: %x", r.head[:need])
	}
	switch length := r.head[1] & 0x7f; length {
	case 126:
		r.left = int(binary.BigEndian.Uint16(r.head[2:]))
	case 127:
		r.left = int(binary.BigEndian.Uint64(r.head[2:]))
	default:
		r.left = int(length)
	}
	if r.masked {
		copy(r.key[:], r.head[need-4:need])
	}
	return n, nil
}

// verify compares p with what the message has at this place.
func (r *receiver) verify(p []byte) error {
	const cheap, ends = 4 << 10, 64
	if r.at+len(p) > len(r.want) {
		return fmt.Errorf("a message of more than %d bytes", len(r.want))
	}
	want, pos := r.want[r.at:r.at+len(p)], r.keyPos
	if first := r.messages == 0; !first && (r.masked && len(p) > 2*ends || len(p) > cheap) {
		if !r.equal(p[:ends], want[:ends], pos) {
			return fmt.Errorf("other bytes than expected at %d", r.at)
		}
		skip := len(p) - ends
		p, want, pos = p[skip:], want[skip:], pos+skip
	}
	if !r.equal(p, want, pos) {
		return fmt.Errorf("other bytes than expected at %d", r.at)
	}
	return nil
}

func (r *receiver) equal(p, want []byte, pos int) bool {
	if !r.masked {
		return bytes.Equal(p, want)
	}
	plain := make([]byte, len(p))
	mask(plain, p, r.key, pos)
	return bytes.Equal(plain, want)
}

const (
	handshakeKey  = "dGhlIHNhbXBsZSBub25jZQ=="
	handshakeGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
)

// handshakeRequest is what a browser sends.
func handshakeRequest(host, scheme string) []byte {
	return fmt.Appendf(nil, "GET /echo HTTP/1.1\r\n"+
		"Host: %s\r\n"+
		"Connection: Upgrade\r\n"+
		"Pragma: no-cache\r\n"+
		"Cache-Control: no-cache\r\n"+
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n"+
		"Upgrade: websocket\r\n"+
		"Origin: %s://%s\r\n"+
		"Sec-WebSocket-Version: 13\r\n"+
		"Accept-Encoding: gzip, deflate, br, zstd\r\n"+
		"Accept-Language: en-US,en;q=0.9\r\n"+
		"Sec-WebSocket-Key: %s\r\n"+
		"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n", host, scheme, host, handshakeKey)
}

// handshakeAccept is the proof that a server has read key (RFC 6455, section 4.2.2).
func handshakeAccept(key string) string {
	sum := sha1.Sum([]byte(key + handshakeGUID))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// handshakeAnswer is what a server says to a request with key.
func handshakeAnswer(key string) []byte {
	return fmt.Appendf(nil, "HTTP/1.1 101 Switching Protocols\r\n"+
		"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", handshakeAccept(key))
}

// checkAnswer verifies a server's answer up to its empty line.
func checkAnswer(b []byte) error {
	if !bytes.HasPrefix(b, []byte("HTTP/1.1 101 ")) || !bytes.Contains(b, []byte(handshakeAccept(handshakeKey))) ||
		bytes.Contains(bytes.ToLower(b), []byte("sec-websocket-extensions")) {
		return fmt.Errorf("the server answered %q", b)
	}
	return nil
}
