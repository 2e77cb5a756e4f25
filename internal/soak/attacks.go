package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"strings"
	"time"
)

// attacks are the kinds of attacks. Which bytes they are made of says the function of
// each. Those that take time and do little are more frequent, so that many are there at
// once.
var attacks = []attack{
	{name: "declared huge", run: (*hostile).declaredHuge, outcomes: "1002 1009"},
	{name: "declared and not sent", run: (*hostile).declaredNotSent, lots: 4, outcomes: thrown},
	{name: "fragments of a byte", run: (*hostile).byteFragments, heavy: true, outcomes: "1008 reset"},
	{name: "empty fragments", run: (*hostile).emptyFragments, heavy: true, outcomes: "1008 reset"},
	{name: "pings, nothing read", run: (*hostile).pingFlood, heavy: true, outcomes: thrown},
	{name: "messages, nothing read", run: (*hostile).messageFlood, heavy: true, outcomes: thrown},
	{name: "messages, read slowly", path: "/room/plain", run: (*hostile).slowReader, lots: 1, outcomes: outcomeEcho},
	{name: "empty messages", path: "/serve/plain", run: (*hostile).emptyMessages, outcomes: outcomeEcho},
	{name: "pongs", path: "/start/plain", run: (*hostile).pongs, heavy: true, outcomes: outcomeEcho},
	{name: "byte by byte", path: "/read/plain", run: (*hostile).byteByByte, lots: 4, outcomes: outcomeEcho},
	{name: "bomb", path: "/start/takeover", run: (*hostile).bomb, outcomes: "1009 reset"},
	{name: "bomb in fragments", path: "/read/classic", run: (*hostile).fragmentedBomb, outcomes: "1009 reset"},
	{name: "blocks of nothing", path: "/serve/takeover", run: (*hostile).emptyBlocks, outcomes: "1007 1008 1009 reset"},
	{name: "no deflate", path: "/room/classic", run: (*hostile).noDeflate, outcomes: "1007"},
	{name: "bad frame", run: (*hostile).badFrame, outcomes: "1002"},
	{name: "bad text", run: (*hostile).badText, outcomes: "1007"},
	{name: "silence", run: (*hostile).silence, lots: 4, outcomes: thrown},
	{name: "half a message, then a FIN", run: (*hostile).halfThenFIN, outcomes: "end reset"},
	{name: "half a message, then gone", run: (*hostile).halfThenGone, outcomes: outcomeGone},
	{name: "gone at once", run: (*hostile).gone, raw: true, outcomes: outcomeGone},
	{name: "slow request", run: (*hostile).slowRequest, raw: true, lots: 4, outcomes: "400 408 431 end reset"},
	{name: "bad request", run: (*hostile).badRequest, raw: true, outcomes: "400 403 404 405 426 431 505 reset"},
}

// thrown are the outcomes where the server has lost its patience.
const thrown = "1011 end reset"

// declaredHuge begins a frame with a length that there is no memory for.
func (h *hostile) declaredHuge() error {
	lengths := []uint64{readLimit + 1, 1 << 31, 1 << 32, 1 << 62, 1<<63 - 1, 1 << 63, 1<<64 - 1}
	p := header(nil, fin|binaryData, lengths[h.rng.IntN(len(lengths))])
	return h.send(masked(p, []byte("0123456789")))
}

// declaredNotSent has the server wait for the largest message there may be.
func (h *hostile) declaredNotSent() error {
	return h.send(masked(header(nil, fin|binaryData, readLimit), []byte("0123456789")))
}

// byteFragments never ends a message that comes a byte at a time.
func (h *hostile) byteFragments() error {
	if err := h.send(frame(nil, binaryData, []byte("a"))); err != nil {
		return err
	}
	return h.flood(bytes.Repeat(frame(nil, continuation, []byte("b")), 1000))
}

// emptyFragments never ends a message that does not grow either.
func (h *hostile) emptyFragments() error {
	if err := h.send(frame(nil, text, nil)); err != nil {
		return err
	}
	return h.flood(bytes.Repeat(frame(nil, continuation, nil), 100))
}

func (h *hostile) pingFlood() error {
	return h.flood(bytes.Repeat(frame(nil, fin|ping, bytes.Repeat([]byte("p"), 125)), 100))
}

func (h *hostile) messageFlood() error { return h.flood(h.noise()) }

// noise is a message of 16 KiB that no compression makes less of.
func (h *hostile) noise() []byte {
	var p []byte
	for len(p) < 16<<10 {
		p = binary.LittleEndian.AppendUint64(p, h.rng.Uint64())
	}
	return frame(nil, fin|binaryData, p)
}

// slowReader has more sent to it than fits into buffers, and reads that at 800 KiB a
// second. It remains a good client: a write waits for the better part of a buffer to
// be read, and the server gives it a second for that.
func (h *hostile) slowReader() error {
	sent := make(chan error, 1)
	go func() {
		err := h.send(bytes.Repeat(h.noise(), 24))
		if err == nil {
			err = h.send(frame(nil, fin|text, []byte(stillThere)))
		}
		sent <- err
	}()
	h.in = bufio.NewReaderSize(&slowly{h}, 16<<10)
	err := h.echoed(stillThere)
	<-sent // what could not be sent can't have come back
	return err
}

// slowly reads from a connection that is slow.
type slowly struct{ h *hostile }

func (s *slowly) Read(p []byte) (int, error) {
	if !pause(s.h.ctx, 20*time.Millisecond) {
		return 0, s.h.ctx.Err()
	}
	return s.h.nc.Read(p)
}

func (h *hostile) emptyMessages() error {
	const n = 10_000
	if err := h.send(bytes.Repeat(frame(nil, fin|binaryData, nil), n)); err != nil {
		return err
	}
	return h.stillGood()
}

func (h *hostile) pongs() error {
	if err := h.send(bytes.Repeat(frame(nil, fin|pong, []byte("nobody asked")), 10_000)); err != nil {
		return err
	}
	return h.stillGood()
}

const stillThere = "still there?"

// stillGood has the server answer a message.
func (h *hostile) stillGood() error {
	if err := h.send(frame(nil, fin|text, []byte(stillThere))); err != nil {
		return err
	}
	return h.echoed(stillThere)
}

func (h *hostile) byteByByte() error {
	const message = "slowly"
	for _, b := range frame(nil, fin|text, []byte(message)) {
		if err := h.send([]byte{b}); err != nil {
			return err
		}
		if !pause(h.ctx, 100*time.Millisecond) {
			return h.ctx.Err()
		}
	}
	return h.echoed(message)
}

// bombs are what is compressed once for all.
type bombs struct {
	small []byte // inflates to a byte more than the limit, which is 1 MiB
	large []byte // and to 64 MiB
}

func (h *hostile) bomb() error {
	p := h.bombs.small
	if h.rng.IntN(2) == 0 {
		p = h.bombs.large
	}
	return h.send(frame(nil, fin|rsv1|binaryData, p))
}

func (h *hostile) fragmentedBomb() error {
	first := byte(rsv1 | binaryData)
	var b []byte
	for rest := h.bombs.large; len(rest) > 0; first = continuation {
		n := min(len(rest), 64)
		b = frame(b, first, rest[:n])
		rest = rest[n:]
	}
	return h.send(b)
}

// emptyBlocks sends deflate blocks without end that inflate to nothing.
func (h *hostile) emptyBlocks() error {
	stored := []byte{0, 0, 0, 0xff, 0xff}         // RFC 1951, section 3.2.4
	fixed := []byte{0x02, 0x08, 0x20, 0x80, 0x00} // four blocks of ten bits: 0, 01, and seven zeros
	block := stored
	if h.rng.IntN(2) == 0 {
		block = fixed
	}
	return h.send(frame(nil, fin|rsv1|binaryData, bytes.Repeat(block, 10_000)))
}

// noDeflate is a compressed message that begins with a block of type 3 (RFC 1951,
// section 3.2.3).
func (h *hostile) noDeflate() error {
	return h.send(frame(nil, fin|rsv1|binaryData, []byte{0x06, 1, 2, 3, 4, 5, 6, 7, 8}))
}

// badFrame breaks a rule of RFC 6455, section 5.
func (h *hostile) badFrame() error {
	bad := [][]byte{
		frame(nil, fin|0x20|text, []byte("RSV2")),
		frame(nil, fin|rsv1|ping, []byte("RSV1")),
		frame(nil, fin|0x3, []byte("opcode")),
		frame(nil, fin|0xb, []byte("opcode")),
		frame(nil, fin|continuation, []byte("of nothing")),
		frame(frame(nil, text, []byte("one")), fin|text, []byte("in another")),
		frame(nil, ping, []byte("fragment")),
		frame(nil, fin|ping, make([]byte, 126)),
		append([]byte{fin | text, 5}, "plain"...),                            // without a mask
		masked([]byte{fin | text, 0x80 | 126, 0, 5}, []byte("5 - 5")),        // not the shortest length
		masked([]byte{fin | text, 0x80 | 127, 0, 0, 0, 0, 0, 0, 1, 44}, nil), // the same, of 300
		frame(nil, fin|closing, []byte{3}),                                   // half a code
		frame(nil, fin|closing, []byte{0x03, 0xee}),                          // 1006
	}
	return h.send(bad[h.rng.IntN(len(bad))])
}

func (h *hostile) badText() error {
	return h.send(frame(nil, fin|text, []byte("ends in the middle of a letter: \xe2\x82")))
}

// silence is what is left of a peer that has vanished: it takes what comes, and does
// not answer a ping.
func (h *hostile) silence() error { return nil }

func (h *hostile) halfThenFIN() error {
	p := frame(nil, fin|text, []byte("half of it"))
	if err := h.send(p[:len(p)/2]); err != nil {
		return err
	}
	return h.nc.CloseWrite()
}

func (h *hostile) halfThenGone() error {
	p := frame(nil, fin|text, []byte("half of it"))
	if err := h.send(p[:h.rng.IntN(len(p))]); err != nil {
		return err
	}
	return errOutcome(outcomeGone)
}

func (h *hostile) gone() error { return errOutcome(outcomeGone) }

// slowRequest sends a request that has no end, a byte at a time.
func (h *hostile) slowRequest() error {
	for _, b := range []byte("GET /bad/serve/plain HTTP/1.1\r\nHost: slow\r\nX-Slow: " + strings.Repeat("s", 1000)) {
		if h.send([]byte{b}) != nil || !pause(h.ctx, 50*time.Millisecond) {
			break
		}
	}
	return h.answer()
}

// badRequest sends a request that must not be upgraded. What is behind it must not be
// taken for frames, nor forwarded.
func (h *hostile) badRequest() error {
	const good = "GET /bad/serve/plain HTTP/1.1\r\nHost: example.com\r\nConnection: close, Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	replaced := func(old, new string) string { return strings.Replace(good, old, new, 1) }
	bad := []string{
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 is TLS\r\n\r\n",
		"garbage\r\n\r\n",
		replaced("GET", "POST"),
		replaced("/bad/serve/plain", "/bad/nowhere"),
		replaced("HTTP/1.1", "HTTP/3.7"),
		replaced("Version: 13", "Version: 777"),
		replaced("Key: dGhl", "Key: "),
		replaced("Upgrade: websocket", "Upgrade: h2c"),
		replaced("Host: example.com", "Host: example.com\r\nOrigin: https://evil.example"),
		replaced("Host: example.com", "Host: example.com\r\nContent-Length: 5") + "hello",
		replaced("Host: example.com", "Host : example.com"),
		replaced("Host: example.com", "Host: example.com\r\nX-Large: "+strings.Repeat("x", 64<<10)),
	}
	_ = h.send([]byte(bad[h.rng.IntN(len(bad))])) // the answer may come before all of it is sent
	return h.answer()
}
