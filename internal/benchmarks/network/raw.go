//go:build linux

package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
)

// No library at all: what the network takes by itself.

// rawEcho sends bytes back as they come, with a buffer of so many.
func rawEcho(size int) func(net.Listener) error {
	return eachConn(func(nc net.Conn) { rawEchoes(nc, size) })
}

func rawEchoes(nc net.Conn, size int) {
	buf := make([]byte, size)
	for {
		n, err := nc.Read(buf)
		if err != nil {
			return
		}
		if _, err := nc.Write(buf[:n]); err != nil {
			return
		}
	}
}

func rawClientEcho(addr string) error {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	rawEchoes(nc, 64<<10)
	return nil
}

// rawDrop accepts, reads, answers with the same bytes always, and closes.
func rawDrop(l net.Listener) error {
	answer := handshakeAnswer(handshakeKey)
	return eachConn(func(nc net.Conn) {
		buf := make([]byte, 2048)
		if _, err := nc.Read(buf); err == nil {
			nc.Write(answer)
		}
	})(l)
}

// rawDropHTTP does so after net/http has read the request.
func rawDropHTTP(l net.Listener) error {
	answer := handshakeAnswer(handshakeKey)
	return httpServer(func(w http.ResponseWriter, _ *http.Request) {
		nc, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer nc.Close()
		nc.Write(answer)
	})(l)
}

// rawConn writes a frame made before.
type rawConn struct {
	net.Conn
	client bool
	frame  []byte
}

func (c *rawConn) prepare(p []byte)     { c.frame = appendFrame(nil, p, c.client) }
func (c *rawConn) write(_ []byte) error { _, err := c.Write(c.frame); return err }

func rawPush(l net.Listener, with func(conn)) error {
	return eachConn(func(nc net.Conn) {
		with(&rawConn{Conn: nc})
		io.Copy(io.Discard, nc)
	})(l)
}

func rawDial(addr string) (conn, error) {
	nc, err := net.Dial("tcp", addr)
	return &rawConn{Conn: nc, client: true}, err
}

// rawBroadcast is a loop of write calls.
func rawBroadcast(conns []conn) func([]byte) error {
	var frame []byte
	return func(p []byte) error {
		frame = appendFrame(frame[:0], p, false)
		for _, c := range conns {
			if _, err := c.(*rawConn).Write(frame); err != nil {
				return err
			}
		}
		return nil
	}
}

// rawRead reads what it knows to be frames of 64 KiB at least into memory that it
// keeps, and takes the masking key off where somebody will look.
func rawRead(l net.Listener, got func([]byte)) error {
	return eachConn(func(nc net.Conn) {
		var kept []byte
		head := make([]byte, 14)
		for first := true; ; first = false {
			if _, err := io.ReadFull(nc, head); err != nil {
				return
			}
			n := int(binary.BigEndian.Uint64(head[2:]))
			if head[1] != 0x80|127 || n > maxMessage {
				panic(fmt.Sprintf("a frame that begins with %x", head))
			}
			if n != len(kept) {
				kept = make([]byte, n)
			}
			if _, err := io.ReadFull(nc, kept); err != nil {
				return
			}
			key := [4]byte(head[10:])
			if first {
				mask(kept, kept, key, 0)
			} else {
				for _, from := range []int{0, n - verifiedEnds} {
					end := kept[from : from+verifiedEnds]
					mask(end, end, key, from)
				}
			}
			got(kept)
		}
	})(l)
}
