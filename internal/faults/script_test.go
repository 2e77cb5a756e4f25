package faults

import (
	"bytes"
	"compress/flate"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/duplexkit/websocket/internal/wstest"
)

// The transcript: what either end says. A peer that is not the library's sends its
// side as bytes that were encoded before.

// said is a message of the transcript and how it is sent.
type said struct {
	text      string
	deflated  bool
	fragments []int // where they end, but for the last; nil for one frame
}

// side returns the messages that one end sends: three texts, three compressed
// messages that refer to each other, one in fragments.
func side(name string) []said {
	json := func(n int) string {
		return fmt.Sprintf(`{"from":%q,"sequence":%d,"kind":"measurement","unit":"°C","values":[%d,21.5,22.25,19.75]}`, name, n, 20+n)
	}
	return []said{
		{text: "Hello from the " + name},
		{text: strings.Repeat("Grüße, 世界, "+name+" 🌍 ", 4)}, // a length of 16 bits
		{text: ""},
		{text: json(1), deflated: true},
		{text: json(2), deflated: true},
		{text: json(3), deflated: true},
		{text: "first part, with half of a ü, then the rest of the " + name + ", and the end", fragments: []int{27, 60}},
	}
}

// messages is the side as it should arrive.
func messages(side []said) (ms []message) {
	for _, s := range side {
		ms = append(ms, message{wstest.Text, s.text})
	}
	return ms
}

// sequence returns the side as frames, with a ping between two messages and one
// between two fragments.
func sequence(side []said) (fs []wstest.Frame) {
	var deflated bytes.Buffer
	codec, err := flate.NewWriter(&deflated, 6)
	if err != nil {
		panic(err)
	}
	for i, s := range side {
		switch {
		case s.deflated:
			deflated.Reset()
			if _, err := codec.Write([]byte(s.text)); err != nil {
				panic(err)
			}
			if err := codec.Flush(); err != nil {
				panic(err)
			}
			fs = append(fs, wstest.Frame{RSV: 4, Opcode: wstest.Text, Payload: strings.TrimSuffix(deflated.String(), tail)})
		case s.fragments != nil:
			at, opcode := 0, byte(wstest.Text)
			for _, end := range s.fragments {
				fs = append(fs, wstest.Frame{More: true, Opcode: opcode, Payload: s.text[at:end]}, wstest.Frame{Opcode: wstest.Ping, Payload: "within"})
				at, opcode = end, wstest.Continuation
			}
			fs = append(fs, wstest.Frame{Payload: s.text[at:]})
		default:
			fs = append(fs, wstest.Frame{Opcode: wstest.Text, Payload: s.text})
		}
		if i == 1 {
			fs = append(fs, wstest.Frame{Opcode: wstest.Ping, Payload: "between"})
		}
	}
	return fs
}

// farewell is the close frame of both sides, and as long as the answer to it.
var farewell = wstest.CloseFrame(1000, "that was all")

const (
	request = "GET /chat?room=17 HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"User-Agent: faults/1.0 (a transcript)\r\nOrigin: http://server.example.com\r\nCookie: session=0123456789abcdef\r\n" +
		"Sec-WebSocket-Key: " + wstest.Key + "\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
	response = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Server: faults/1.0 (a transcript)\r\nSet-Cookie: session=0123456789abcdef; HttpOnly\r\n"
)

// encoded returns the frames as bytes.
func encoded(client bool, fs []wstest.Frame) (b []byte) {
	for _, f := range fs {
		if client {
			b = append(b, f.Masked()...)
		} else {
			b = append(b, f.Unmasked()...)
		}
	}
	return b
}

// A scriptedPeer plays the other end: the handshake, then its side, then it answers and
// waits for the end.
type scriptedPeer struct {
	nc     net.Conn
	client bool
	frames []byte // what it sends
	expect int    // messages of the other side
	leaves bool   // it closes first, as soon as they are there

	// The outcome.
	head       string // the other end's part of the handshake
	compressed bool   // permessage-deflate was agreed on
	got        []byte // the frames that came
	sent       int    // bytes
	gaveUp     bool   // nothing happened for a long time
}

// longest is how long a peer waits for anything.
const longest = 2 * time.Minute

func (p *scriptedPeer) run() {
	defer p.nc.Close()
	_ = p.nc.SetDeadline(time.Now().Add(longest)) // it is our end, and open
	rest, ok := p.handshake()
	if !ok || !p.write(p.frames) {
		return
	}
	p.converse(rest)
}

func (p *scriptedPeer) write(b []byte) bool {
	n, err := p.nc.Write(b)
	p.sent += n
	return err == nil
}

// handshake returns what came behind the other end's part of it.
func (p *scriptedPeer) handshake() (rest []byte, ok bool) {
	if p.client && !p.write([]byte(request)) {
		return nil, false
	}
	var got []byte
	buf := make([]byte, 4096)
	for {
		n, err := p.nc.Read(buf)
		got = append(got, buf[:n]...)
		if at := bytes.Index(got, []byte("\r\n\r\n")); at >= 0 {
			p.head, rest = string(got[:at+2]), got[at+4:]
			break
		}
		if err != nil {
			return nil, false
		}
	}
	p.compressed = strings.Contains(p.head, "\r\nSec-WebSocket-Extensions: permessage-deflate")
	if p.client {
		return rest, strings.HasPrefix(p.head, "HTTP/1.1 101 ") && strings.Contains(p.head, "\r\nSec-WebSocket-Accept: "+wstest.Accept+"\r\n")
	}
	_, key, ok := strings.Cut(p.head, "\r\nSec-WebSocket-Key: ")
	if key, _, _ = strings.Cut(key, "\r\n"); !ok {
		_ = p.write([]byte("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")) // and that is all
		return nil, false
	}
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	answer := response + "Sec-WebSocket-Accept: " + base64.StdEncoding.EncodeToString(sum[:]) + "\r\n"
	if p.compressed {
		answer += "Sec-WebSocket-Extensions: permessage-deflate\r\n"
	}
	return rest, p.write([]byte(answer + "\r\n"))
}

// converse reads until the end, and says what is called for.
func (p *scriptedPeer) converse(rest []byte) {
	p.got = rest
	done, left, heard := 0, false, false
	leave := func(f wstest.Frame) bool {
		if left {
			return true
		}
		left = true
		return p.write(encoded(p.client, []wstest.Frame{f}))
	}
	buf := make([]byte, 4096)
	for {
		for !heard {
			h, whole := headOf(p.got[done:])
			if !whole {
				break
			}
			if !h.minimal || h.masked == p.client || h.rsv&3 != 0 || h.opcode >= 8 && (h.length > 125 || !h.fin || h.opcode > wstest.Pong) {
				leave(wstest.CloseFrame(1002, ""))
				return
			}
			payload := payloadOf(h, p.got[done:])
			if uint64(len(payload)) < h.length {
				break
			}
			done += h.size + len(payload)
			ok := true
			switch {
			case h.opcode == wstest.Ping:
				ok = p.write(encoded(p.client, []wstest.Frame{{Opcode: wstest.Pong, Payload: string(payload)}}))
			case h.opcode == wstest.Close:
				heard = true
				ok = leave(wstest.Frame{Opcode: wstest.Close, Payload: string(payload)})
			case h.opcode < wstest.Close && h.fin:
				p.expect--
			}
			if !ok {
				return
			}
		}
		if p.leaves && p.expect <= 0 && !leave(farewell) {
			return
		}
		if heard && left && !p.client { // "the server MUST close the underlying TCP connection immediately" (section 5.5.1)
			return
		}
		n, err := p.nc.Read(buf)
		p.got = append(p.got, buf[:n]...)
		if err != nil {
			ne, ok := err.(net.Error)
			p.gaveUp = ok && ne.Timeout()
			return
		}
	}
}
