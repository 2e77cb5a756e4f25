package main

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// What attackers say is made here, byte by byte: a library would keep them from it.

// Opcodes of RFC 6455, section 11.8, and the bits beside them in a frame's first byte.
const (
	continuation = 0x0
	text         = 0x1
	binaryData   = 0x2
	closing      = 0x8
	ping         = 0x9
	pong         = 0xa

	fin  = 0x80
	rsv1 = 0x40 // the message is compressed (RFC 7692)
)

var maskKey = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// frame appends a frame as clients send it (RFC 6455, section 5.2).
func frame(dst []byte, first byte, payload []byte) []byte {
	return masked(header(dst, first, uint64(len(payload))), payload)
}

// header appends the header of a frame, whatever follows, without the masking key.
func header(dst []byte, first byte, length uint64) []byte {
	switch {
	case length < 126:
		return append(dst, first, 0x80|byte(length))
	case length < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, first, 0x80|126), uint16(length))
	}
	return binary.BigEndian.AppendUint64(append(dst, first, 0x80|127), length)
}

// masked appends the masking key, and p masked with it.
func masked(dst, p []byte) []byte {
	dst = append(dst, maskKey[:]...)
	for i, b := range p {
		dst = append(dst, b^maskKey[i%4])
	}
	return dst
}

const upgradeRequest = "GET %s HTTP/1.1\r\n" +
	"Host: %s\r\n" +
	"Connection: Upgrade\r\n" +
	"Upgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

// readAnswer reads the answer to a request and returns its status.
func readAnswer(r *bufio.Reader) (status int, err error) {
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// readFrame reads one frame as servers send it.
func readFrame(r *bufio.Reader) (opcode byte, payload []byte, err error) {
	var b [8]byte
	if _, err := io.ReadFull(r, b[:2]); err != nil {
		return 0, nil, err
	}
	opcode = b[0] & 0x0f
	n := uint64(b[1])
	switch n {
	case 126:
		if _, err := io.ReadFull(r, b[:2]); err != nil {
			return opcode, nil, err
		}
		n = uint64(binary.BigEndian.Uint16(b[:]))
	case 127:
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return opcode, nil, err
		}
		n = binary.BigEndian.Uint64(b[:])
	}
	if n > 1<<24 { // also if it is masked
		return opcode, nil, errors.New("a frame that no server here sends")
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(r, payload)
	return opcode, payload, err
}

// deflated compresses n times 1 MiB of zeros, and a byte more, as for a message of
// permessage-deflate (RFC 7692, section 7.2.1).
func deflated(n int) []byte {
	const trailer = "\x00\x00\xff\xff"
	one := flushed(make([]byte, 1<<20))
	return bytes.TrimSuffix(append(bytes.Repeat(one, n), flushed([]byte{0})...), []byte(trailer))
}

// flushed compresses p into blocks that end at a byte and refer to nothing before them.
func flushed(p []byte) []byte {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.DefaultCompression)
	if err == nil {
		_, err = w.Write(p)
	}
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		panic(fmt.Sprintf("compress/flate: %v", err)) // neither the level nor the memory can be wrong
	}
	return b.Bytes()
}
