package conformance

import (
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
)

const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA
)

// lengthForm is how the payload length is written (section 5.2).
type lengthForm int

const (
	minimal   lengthForm = iota
	length16             // in 16 bits, needed or not
	length64             // in 64 bits, needed or not
	lengthTop            // in 64 bits, the most significant one set
)

// frame is a frame to send. Nothing in it has to obey the RFC.
type frame struct {
	fin       bool
	rsv       byte // 0 to 7: RSV1 is 4
	opcode    byte
	payload   []byte
	form      lengthForm
	wrongMask bool // masked by a server, not masked by a client
}

// append appends the frame as it goes over the wire, masked with the key unless key is nil.
func (f frame) append(dst []byte, key []byte) []byte {
	first := f.rsv<<4 | f.opcode
	if f.fin {
		first |= 0x80
	}
	var masked byte
	if key != nil {
		masked = 0x80
	}
	n := len(f.payload)
	switch {
	case f.form == lengthTop:
		dst = binary.BigEndian.AppendUint64(append(dst, first, masked|127), 1<<63|uint64(n))
	case f.form == length64 || n > 0xFFFF:
		dst = binary.BigEndian.AppendUint64(append(dst, first, masked|127), uint64(n))
	case f.form == length16 || n > 125:
		dst = binary.BigEndian.AppendUint16(append(dst, first, masked|126), uint16(n))
	default:
		dst = append(dst, first, masked|byte(n))
	}
	dst = append(dst, key...)
	start := len(dst)
	dst = append(dst, f.payload...)
	if key != nil {
		mask(dst[start:], key)
	}
	return dst
}

// mask masks p, or takes the mask away (section 5.3).
func mask(p, key []byte) {
	var keys [4096]byte
	for n := copy(keys[:], key); n < len(keys) && n < len(p); n *= 2 {
		copy(keys[n:], keys[:n])
	}
	for len(p) > 0 {
		p = p[subtle.XORBytes(p, p, keys[:]):]
	}
}

// Short ways to write frames down.

func text(s string) frame         { return frame{fin: true, opcode: opText, payload: []byte(s)} }
func binaryFrame(p []byte) frame  { return frame{fin: true, opcode: opBinary, payload: p} }
func ping(s string) frame         { return frame{fin: true, opcode: opPing, payload: []byte(s)} }
func pong(s string) frame         { return frame{fin: true, opcode: opPong, payload: []byte(s)} }
func continuation(s string) frame { return frame{fin: true, payload: []byte(s)} }
func closing(code int, r string) frame {
	return frame{fin: true, opcode: opClose, payload: closePayload(code, r)}
}

// first makes a frame one that others follow.
func (f frame) first() frame { f.fin = false; return f }

func (f frame) withRSV(rsv byte) frame         { f.rsv = rsv; return f }
func (f frame) withForm(form lengthForm) frame { f.form = form; return f }
func (f frame) withWrongMask() frame           { f.wrongMask = true; return f }

// fragments splits a message into frames of at most size octets of payload; 0 makes one frame.
func fragments(opcode, rsv byte, p []byte, size int) []frame {
	if size <= 0 || len(p) <= size {
		return []frame{{fin: true, rsv: rsv, opcode: opcode, payload: p}}
	}
	var frames []frame
	for len(p) > 0 {
		n := min(size, len(p))
		frames = append(frames, frame{fin: n == len(p), rsv: rsv, opcode: opcode, payload: p[:n]})
		opcode, rsv, p = opContinuation, 0, p[n:]
	}
	return frames
}

func closePayload(code int, reason string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(code)), reason...)
}

// unhex reads hexadecimal digits of our own tables.
func unhex(s string) []byte {
	p, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return p
}
