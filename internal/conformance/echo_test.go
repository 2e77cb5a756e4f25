package conformance_test

import (
	"bufio"
	"bytes"
	"compress/flate"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// echo is an endpoint under test on one connection: it echoes messages, and has at most one fault. It knows nothing of the package
// under test and nothing of the library.
type echo struct {
	conn   net.Conn
	r      *bufio.Reader
	client bool
	fault  string

	deflate      bool // permessage-deflate was agreed
	inTakeover   bool
	outTakeover  bool
	outWindow    int
	history      []byte
	writer       *flate.Writer
	written      bytes.Buffer
	opcode       byte // of the message in progress
	compressed   bool
	parts        [][]byte
	waitingPongs [][]byte
	begun        bool
	sent         int // masked frames

	sending sync.Mutex
	closing bool            // our close frame is out
	held    <-chan struct{} // how long the TCP connection is kept by "keeps the TCP connection"
}

var errDone = errors.New("the connection is over")

func (e *echo) has(fault string) bool { return e.fault == fault }

// run echoes until the connection is over.
func (e *echo) run() {
	if e.has("pings all the time") {
		over := make(chan struct{})
		defer close(over)
		go e.pingUntil(over)
	}
	for e.frame() == nil {
	}
	switch {
	case e.has("keeps the TCP connection"):
		go func() {
			<-e.held
			_ = e.conn.Close()
		}()
		return
	case e.has("resets the TCP connection"):
		_ = e.conn.(*net.TCPConn).SetLinger(0)
	}
	_ = e.conn.Close()
}

// pingUntil pings faster than any pause of the peer, and not behind a close frame.
func (e *echo) pingUntil(over <-chan struct{}) {
	tick := time.NewTicker(30 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-over:
			return
		case <-tick.C:
			_ = e.send(9, nil)
		}
	}
}

func (e *echo) frame() error {
	var b [8]byte
	if _, err := io.ReadFull(e.r, b[:2]); err != nil {
		return err
	}
	fin, rsv, op := b[0]&0x80 != 0, b[0]>>4&7, b[0]&15
	masked, length := b[1]&0x80 != 0, uint64(b[1]&0x7F)
	control := op >= 8
	isMinimal := true
	switch length {
	case 126:
		if _, err := io.ReadFull(e.r, b[:2]); err != nil {
			return err
		}
		length = uint64(binary.BigEndian.Uint16(b[:]))
		isMinimal = length > 125
	case 127:
		if _, err := io.ReadFull(e.r, b[:]); err != nil {
			return err
		}
		length = binary.BigEndian.Uint64(b[:])
		isMinimal = length > 65535
	}
	if e.has("ignores the top bit of the length") {
		length &^= 1 << 63
	}
	// A compressed message carries RSV1 on its first frame only.
	allowed := byte(0)
	if e.deflate && (op == 1 || op == 2) ||
		e.deflate && op == 0 && e.has("accepts RSV1 on continuations") ||
		e.deflate && control && e.has("accepts RSV1 on control frames") {
		allowed = 4
	}
	switch {
	case masked == e.client && !e.has("accepts wrong masking"),
		rsv&^allowed != 0 && !e.has("ignores reserved bits"),
		(op > 2 && op < 8 || op > 10) && !e.has("ignores reserved opcodes"),
		!isMinimal && !e.has("accepts lengths that are not minimal"),
		length > 1<<62,
		control && !fin && !e.has("accepts fragmented control frames"),
		control && length > 125 && !e.has("accepts long control frames"),
		op == 0 && e.opcode == 0 && !e.has("accepts a continuation of nothing"),
		(op == 1 || op == 2) && e.opcode != 0 && !e.has("accepts a message inside a message"):
		return e.fail(1002)
	}
	var key [4]byte
	if masked {
		if _, err := io.ReadFull(e.r, key[:]); err != nil {
			return err
		}
	}
	p, err := e.payload(op, key, length, allowed&rsv != 0, fin)
	if err != nil {
		return err
	}
	switch op {
	case 0, 1, 2:
		return e.data(op, fin, allowed&rsv != 0, p)
	case 8:
		return e.close(p)
	case 9:
		return e.ping(p)
	case 10:
		if e.has("answers pongs") {
			return e.send(10, p)
		}
	default:
		if op < 8 && e.has("ignores reserved opcodes") {
			return nil
		}
	}
	return nil
}

// payload reads a payload, and looks at uncompressed text while it comes in.
func (e *echo) payload(op byte, key [4]byte, length uint64, compressed, fin bool) ([]byte, error) {
	p := make([]byte, length)
	isText := op == 1 && !compressed || op == 0 && e.opcode == 1 && !e.compressed
	var before []byte
	if op == 0 {
		before = slices.Concat(e.parts...)
		before = before[max(0, len(before)-3):]
		for len(before) > 0 && !utf8.RuneStart(before[0]) {
			before = before[1:]
		}
	}
	for at := 0; at < len(p); {
		n, err := e.r.Read(p[at:])
		if err != nil {
			return nil, err
		}
		for i := at; i < at+n; i++ {
			p[i] ^= key[i&3]
		}
		start := max(0, at-3)
		at += n
		if isText && !e.has("checks UTF-8 at the end") && !e.has("does not check UTF-8") {
			for start > 0 && start < at && !utf8.RuneStart(p[start]) {
				start--
			}
			look := p[start:at]
			if start == 0 {
				look = append(slices.Clone(before), look...)
			}
			if !textSoFar(look) {
				return nil, e.fail(1007)
			}
		}
		if e.has("takes a short read for the payload") {
			break
		}
	}
	return p, nil
}

// textSoFar reports whether p can be the beginning of valid UTF-8.
func textSoFar(p []byte) bool {
	for len(p) > 0 {
		r, n := utf8.DecodeRune(p)
		if r == utf8.RuneError && n == 1 {
			return !utf8.FullRune(p)
		}
		p = p[n:]
	}
	return true
}

// unfinished is the octets of the letter in which p ends too early, 0 if it ends with a whole one.
func unfinished(p []byte) int {
	for i := len(p) - 1; i >= 0 && i >= len(p)-3; i-- {
		if utf8.RuneStart(p[i]) && !utf8.FullRune(p[i:]) {
			return bits.LeadingZeros8(^p[i])
		}
	}
	return 0
}

func (e *echo) ping(p []byte) error {
	switch {
	case e.has("answers no pings"):
		return nil
	case e.has("answers pings without payload"):
		p = nil
	case e.has("drops a message when pinged"):
		e.opcode, e.parts = 0, nil
	case e.has("answers pings after the message") && e.opcode != 0:
		e.waitingPongs = append(e.waitingPongs, p)
		return nil
	case e.has("answers the first ping only") && e.begun:
		return nil
	}
	e.begun = true
	return e.send(10, p)
}

func (e *echo) data(op byte, fin, compressed bool, p []byte) error {
	if op != 0 || e.opcode == 0 {
		e.opcode, e.compressed, e.parts = max(op, 1), compressed, nil
	}
	e.parts = append(e.parts, p)
	if !fin {
		inside, picky := strings.CutPrefix(e.fault, "fails a fragment that ends inside ")
		if picky && e.opcode == 1 && inside == fmt.Sprintf("%d octets", unfinished(slices.Concat(e.parts...))) {
			return e.fail(1007)
		}
		return nil
	}
	switch {
	case e.has("loses a fragment") && len(e.parts) > 1:
		e.parts = e.parts[:len(e.parts)-1]
	case e.has("swaps fragments") && len(e.parts) > 1:
		e.parts[0], e.parts[1] = e.parts[1], e.parts[0]
	}
	message, opcode := slices.Concat(e.parts...), e.opcode
	e.opcode, e.parts = 0, nil
	if e.compressed {
		var err error
		if message, err = e.inflate(message); err != nil {
			if e.has("ignores bad DEFLATE data") {
				return nil
			}
			return e.fail(1007)
		}
	}
	unchecked := e.has("does not check UTF-8") || e.compressed && e.has("does not check compressed UTF-8")
	if opcode == 1 && !utf8.Valid(message) && !unchecked {
		return e.fail(1007)
	}
	switch {
	case e.has("echoes text as binary"):
		opcode = 2
	case e.has("loses empty messages") && len(message) == 0:
		return nil
	case e.has("cuts at 64 KiB") && len(message) > 65535:
		message = message[:65535]
	case e.has("corrupts octet 70000") && len(message) > 70000:
		message[70000] ^= 1
	case e.has("takes a byte order mark away"):
		message = bytes.TrimPrefix(message, []byte("\uFEFF"))
	case e.has("echoes twice"):
		_ = e.send(opcode, message)
	}
	err := e.send(opcode, message)
	for _, p := range e.waitingPongs {
		err = errors.Join(err, e.send(10, p))
	}
	e.waitingPongs = nil
	return err
}

// close answers a close frame and ends the connection, unless our own close frame went before.
func (e *echo) close(p []byte) error {
	code := 0
	if len(p) >= 2 {
		code = int(binary.BigEndian.Uint16(p))
	}
	switch {
	case len(p) == 1 && !e.has("accepts a close payload of one octet"),
		len(p) >= 2 && !codeAllowed(code) && !e.has("accepts any close code"),
		len(p) > 125:
		return e.fail(1002)
	case len(p) > 2 && !utf8.Valid(p[2:]) && !e.has("accepts any close reason"):
		return e.fail(1007)
	case e.has("closes with a code of its own"):
		p = []byte{3, 243} // 1011
	case e.has("does not answer close frames"):
		return errDone
	case e.has("does nothing about close frames"):
		_, _ = io.Copy(io.Discard, e.conn)
		return errDone
	case e.has("cuts the close code off"):
		p = p[:min(len(p), 1)]
	}
	_ = e.send(8, p)
	switch {
	case e.has("goes on after the close"):
		e.fault = ""
		return nil
	case e.has("sends a message behind the close"):
		_ = e.send(1, []byte("one more"))
	case e.has("closes twice"):
		_ = e.send(8, p)
	}
	if e.client { // the server ends the TCP connection
		_, _ = io.Copy(io.Discard, e.r)
	} else if !e.has("keeps the TCP connection") && !e.has("resets the TCP connection") {
		e.hangUp()
	}
	return errDone
}

func codeAllowed(code int) bool {
	return code >= 1000 && code < 1015 && code != 1004 && code != 1005 && code != 1006 || code >= 3000 && code < 5000
}

// fail fails the connection.
func (e *echo) fail(code int) error {
	switch {
	case e.has("closes with 1000 on errors"):
		code = 1000
	case e.has("drops the connection on errors"):
		e.hangUp()
		return errDone
	case e.has("ignores errors"):
		_, _ = io.Copy(io.Discard, e.r)
		return errDone
	}
	_ = e.send(8, binary.BigEndian.AppendUint16(nil, uint16(code)))
	e.hangUp()
	return errDone
}

// hangUp ends the connection without a reset: what the peer has on the way is read.
func (e *echo) hangUp() {
	_ = e.conn.(*net.TCPConn).CloseWrite()
	_ = e.conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	_, _ = io.Copy(io.Discard, e.r)
}

func (e *echo) send(op byte, p []byte) error {
	e.sending.Lock()
	defer e.sending.Unlock()
	if op == 9 && e.closing {
		return nil
	}
	e.closing = e.closing || op == 8
	first := 0x80 | op
	if op < 8 && e.deflate && !e.has("echoes uncompressed") {
		first |= 0x40
		p = e.compress(p)
	}
	var mask byte
	if e.client != e.has("sends wrong masking") {
		mask = 0x80
	}
	b := []byte{first}
	switch n := len(p); {
	case n > 65535 || e.has("sends lengths that are not minimal"):
		b = binary.BigEndian.AppendUint64(append(b, mask|127), uint64(n))
	case n > 125:
		b = binary.BigEndian.AppendUint16(append(b, mask|126), uint16(n))
	default:
		b = append(b, mask|byte(n))
	}
	if mask != 0 {
		key := []byte{1, 2, 3, 4}
		switch {
		case e.has("always masks with the same key"):
		case e.has("masks two frames with the same key"):
			key[0] = byte(e.sent / 2)
		default:
			_, _ = rand.Read(key)
		}
		e.sent++
		b = append(b, key...)
		p = slices.Clone(p)
		for i := range p {
			p[i] ^= key[i&3]
		}
	}
	_, err := e.conn.Write(append(b, p...))
	return err
}

func (e *echo) inflate(p []byte) ([]byte, error) {
	p = append(slices.Clone(p), 0, 0, 0xFF, 0xFF, 1, 0, 0, 0xFF, 0xFF)
	if e.has("takes a final block for an error") && p[0]&1 != 0 {
		return nil, errDone
	}
	message, err := io.ReadAll(flate.NewReaderDict(bytes.NewReader(p), e.history))
	if e.inTakeover && !e.has("forgets the inflate context") {
		e.history = append(e.history, message...)
		e.history = e.history[max(0, len(e.history)-32768):]
	}
	return message, err
}

// compress deflates with a window of 15 bits, or without any matches, which fits every window.
func (e *echo) compress(p []byte) []byte {
	level := 5
	if e.outWindow < 15 && !e.has("ignores the window") {
		level = flate.HuffmanOnly
	}
	if e.writer == nil || !e.outTakeover && !e.has("keeps the deflate context") || e.has("deflates every message by itself") {
		e.writer, _ = flate.NewWriter(&e.written, level)
	}
	e.written.Reset()
	_, _ = e.writer.Write(p)
	_ = e.writer.Flush()
	return bytes.TrimSuffix(e.written.Bytes(), []byte{0, 0, 0xFF, 0xFF})
}

// The opening handshake, for which net/http has the parsing.

func accepting(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// parameters reads one offer or answer of permessage-deflate.
func parameters(s string) (map[string]string, bool) {
	all := map[string]string{}
	for i, part := range strings.Split(s, ";") {
		name, value, has := strings.Cut(strings.TrimSpace(part), "=")
		value = strings.Trim(value, `"`)
		if i == 0 {
			if name != "permessage-deflate" {
				return nil, false
			}
			continue
		}
		_, twice := all[name]
		n, err := strconv.Atoi(value)
		window := err == nil && n >= 8 && n <= 15 && strconv.Itoa(n) == value
		var ok bool
		switch name {
		case "server_no_context_takeover", "client_no_context_takeover":
			ok = !has
		case "server_max_window_bits":
			ok = window
		case "client_max_window_bits":
			ok = window || !has
		}
		if !ok || twice {
			return nil, false
		}
		all[name] = value
	}
	return all, true
}

func windowOf(params map[string]string, name string) int {
	if n, err := strconv.Atoi(params[name]); err == nil {
		return n
	}
	return 15
}

// accept is the server's side.
func (e *echo) accept(compression bool) error {
	e.r = bufio.NewReader(e.conn)
	request, err := http.ReadRequest(e.r)
	if err != nil {
		return err
	}
	answer := ""
	for _, line := range request.Header["Sec-Websocket-Extensions"] {
		for offer := range strings.SplitSeq(line, ",") {
			params, ok := parameters(strings.TrimSpace(offer))
			if e.has("accepts any offer") && strings.Contains(offer, "permessage-deflate") {
				ok = true
			}
			if answer != "" || !ok || !compression {
				continue
			}
			answer = "Sec-WebSocket-Extensions: permessage-deflate"
			if _, has := params["server_no_context_takeover"]; has && !e.has("leaves out takeover in the answer") {
				answer += "; server_no_context_takeover"
			}
			if value, has := params["server_max_window_bits"]; has && !e.has("leaves out the window in the answer") {
				answer += "; server_max_window_bits=" + value
			}
			if e.has("asks for a window not offered") {
				answer += "; client_max_window_bits=12"
			}
			answer += "\r\n"
			_, noOut := params["server_no_context_takeover"]
			e.deflate, e.inTakeover, e.outTakeover, e.outWindow = true, true, !noOut, windowOf(params, "server_max_window_bits")
		}
	}
	key := accepting(request.Header.Get("Sec-WebSocket-Key"))
	if e.has("computes the accept key wrong") {
		key = accepting("")
	}
	_, err = fmt.Fprintf(e.conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n%s\r\n", key, answer)
	return err
}

// dial is the client's side.
func dial(address string, fault string, compression bool) (*echo, error) {
	target, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	conn, err := net.Dial("tcp", target.Host)
	if err != nil {
		return nil, err
	}
	e := &echo{conn: conn, r: bufio.NewReader(conn), client: true, fault: fault}
	offer := ""
	if compression {
		offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
	}
	_, _ = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n", target.RequestURI(), target.Host, offer)
	response, err := http.ReadResponse(e.r, nil)
	if err == nil && response.StatusCode != http.StatusSwitchingProtocols {
		err = errors.New(response.Status)
	}
	if answer := strings.Join(response.Header["Sec-Websocket-Extensions"], ","); err == nil && answer != "" {
		params, ok := parameters(answer)
		value, has := params["client_max_window_bits"]
		if (!ok || !compression || has && value == "") && !e.has("accepts any answer") {
			err = fmt.Errorf("bad extensions %q", answer)
		}
		_, noIn := params["server_no_context_takeover"]
		_, noOut := params["client_no_context_takeover"]
		e.deflate, e.inTakeover, e.outTakeover, e.outWindow = ok, !noIn, !noOut, windowOf(params, "client_max_window_bits")
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return e, nil
}

// ask reads the one message of a connection such as /getCaseCount.
func ask(address string) ([]byte, error) {
	e, err := dial(address, "", false)
	if err != nil {
		return nil, err
	}
	defer func() { _ = e.conn.Close() }()
	var b [2]byte
	if _, err := io.ReadFull(e.r, b[:]); err != nil {
		return nil, err
	}
	if b[0] != 0x81 {
		_ = e.send(8, nil)
		return nil, nil
	}
	n := int(b[1])
	if n == 126 {
		if _, err := io.ReadFull(e.r, b[:]); err != nil {
			return nil, err
		}
		n = int(binary.BigEndian.Uint16(b[:]))
	}
	p := make([]byte, n)
	_, err = io.ReadFull(e.r, p)
	_ = e.send(8, []byte{3, 232})
	return p, err
}
