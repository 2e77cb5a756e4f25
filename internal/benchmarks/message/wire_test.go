package message

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/duplexkit/websocket/internal/deflate"
)

// A wire stands for the network connection of a server. What is written to it is
// counted, and recorded if somebody asks for that; what is read from it are the
// frames of a client, one at a time, as small messages come in life. It has no
// deadlines, and one Read and one Write may go on at once.
type wire struct {
	frames [][]byte // read in a circle
	limit  int      // how many are read, then reads wait for Close; negative is any number
	next   int      // the frame to read from,
	offset int      // from here on
	stop   bool     // the next frame is not there any more: end of file
	closed chan struct{}
	once   sync.Once // closes it

	written int
	record  *bytes.Buffer // nil for none
}

func newWire(frames [][]byte, limit int) *wire {
	return &wire{frames: frames, limit: limit, closed: make(chan struct{})}
}

func (w *wire) Read(p []byte) (int, error) {
	if w.offset == 0 {
		if w.limit == 0 {
			<-w.closed
			return 0, net.ErrClosed
		}
		if w.stop {
			return 0, io.EOF
		}
	}
	frame := w.frames[w.next]
	n := copy(p, frame[w.offset:])
	if w.offset += n; w.offset == len(frame) {
		w.offset = 0
		w.limit--
		if w.next++; w.next == len(w.frames) {
			w.next = 0
		}
	}
	return n, nil
}

func (w *wire) Write(p []byte) (int, error) {
	w.written += len(p)
	if w.record != nil {
		w.record.Write(p)
	}
	return len(p), nil
}

func (w *wire) Close() error {
	w.once.Do(func() { close(w.closed) })
	return nil
}

func (w *wire) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (w *wire) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (w *wire) SetDeadline(time.Time) error      { return nil }
func (w *wire) SetReadDeadline(time.Time) error  { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

// A response is the http.ResponseWriter of an opening handshake on a wire, with
// the buffers that net/http has for each connection.
type response struct {
	wire   *wire
	header http.Header
}

func (r *response) Header() http.Header         { return r.header }
func (r *response) Write(p []byte) (int, error) { return r.wire.Write(p) }
func (r *response) WriteHeader(int)             { _ = r.header.Write(r.wire) }

func (r *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	const size = 4 << 10
	return r.wire, bufio.NewReadWriter(bufio.NewReaderSize(r.wire, size), bufio.NewWriterSize(r.wire, size)), nil
}

// A mode is what client and server agree to.
type mode struct {
	name     string
	off      bool // no permessage-deflate
	takeover bool // of both contexts
	bits     int  // of both windows
}

// Both ends may use the largest window where it lives no longer than a message.
var (
	plain    = mode{name: "plain", off: true}
	single   = mode{name: "single", bits: 15}
	takeover = mode{name: "takeover12", takeover: true, bits: 12}
	largest  = mode{name: "takeover15", takeover: true, bits: 15}
)

var modes = []mode{single, takeover, largest}

// request returns the opening handshake of a browser that knows m.
func (m mode) request() *http.Request {
	header := http.Header{
		"Upgrade":               {"websocket"},
		"Connection":            {"Upgrade"},
		"Sec-Websocket-Key":     {"dGhlIHNhbXBsZSBub25jZQ=="},
		"Sec-Websocket-Version": {"13"},
	}
	switch {
	case m.off:
	case m.takeover:
		header["Sec-Websocket-Extensions"] = []string{"permessage-deflate; client_max_window_bits"}
	default:
		header["Sec-Websocket-Extensions"] = []string{"permessage-deflate; server_no_context_takeover; client_no_context_takeover"}
	}
	r, err := http.NewRequest(http.MethodGet, "http://server.example/", nil)
	if err != nil {
		panic(err)
	}
	r.Header = header
	return r
}

// agreed returns an error if answer, the response to m's request, says anything
// but m.
func (m mode) agreed(answer []byte) error {
	want := map[string]int{"permessage-deflate": 1, "_no_context_takeover": 2, "max_window_bits=12": 0}
	switch {
	case m.off:
		want["permessage-deflate"], want["_no_context_takeover"] = 0, 0
	case m.takeover:
		want["_no_context_takeover"] = 0
		if m.bits == 12 {
			want["max_window_bits=12"] = 2
		}
	}
	for s, n := range want {
		if bytes.Count(answer, []byte(s)) != n {
			return fmt.Errorf("the server's answer has not %d times %q: %q", n, s, answer)
		}
	}
	return nil
}

// clientFrames returns the messages in frames of a client, all of them compressed
// unless m is off: by compress/flate, or by the encoder of this repository where
// the window is smaller than compress/flate can promise.
func clientFrames(m mode, d dataSet) [][]byte {
	var frames [][]byte
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, 6)
	if err != nil {
		panic(err)
	}
	var own deflate.Deflater
	own.Init(m.bits, true)
	for _, p := range d.messages() {
		out.Reset()
		switch {
		case m.off:
			out.Write(p)
		case m.takeover && m.bits < 15:
			out.Write(own.AppendEnd(own.Append(nil, p, deflate.Better)))
		default:
			if !m.takeover {
				w.Reset(&out)
			}
			_, _ = w.Write(p) // a bytes.Buffer takes everything
			_ = w.Flush()
			out.Truncate(out.Len() - len(deflate.Tail))
		}
		frames = append(frames, clientFrame(d.text, !m.off, out.Bytes()))
	}
	return frames
}

func clientFrame(text, compressed bool, p []byte) []byte {
	first, masked := byte(0x82), byte(0x80)
	if text {
		first = 0x81
	}
	if compressed {
		first |= 0x40
	}
	var frame []byte
	switch n := len(p); {
	case n < 126:
		frame = []byte{first, masked | byte(n)}
	case n < 1<<16:
		frame = binary.BigEndian.AppendUint16([]byte{first, masked | 126}, uint16(n))
	default:
		frame = binary.BigEndian.AppendUint64([]byte{first, masked | 127}, uint64(n))
	}
	key := [4]byte{0x37, 0xfa, 0x21, 0x3d}
	frame = append(frame, key[:]...)
	for i, b := range p {
		frame = append(frame, b^key[i%4])
	}
	return frame
}

// serverMessages returns the messages in b, which a server has sent.
func serverMessages(m mode, d dataSet, b []byte) (messages [][]byte, err error) {
	opcode := byte(2)
	if d.text {
		opcode = 1
	}
	var (
		history    []byte
		message    []byte
		began      bool
		compressed bool
		inflater   = flate.NewReader(nil)
	)
	for len(b) > 0 {
		first, payload, rest, err := serverFrame(b)
		if err != nil {
			return nil, err
		}
		b = rest
		if !began {
			compressed = first&0x40 != 0
		}
		switch {
		case !began && first&0x3f != opcode, began && first&0x7f != 0, compressed && m.off:
			return nil, fmt.Errorf("a frame begins with %#x", first)
		}
		message = append(message, payload...)
		if began = first&0x80 == 0; began {
			continue
		}
		if compressed {
			src := bytes.NewReader(append(message, deflate.Tail+"\x01\x00\x00\xff\xff"...))
			if err := inflater.(flate.Resetter).Reset(src, history); err != nil {
				return nil, err
			}
			if message, err = io.ReadAll(inflater); err != nil {
				return nil, err
			}
			if m.takeover { // as much as the server may refer to, and no more
				history = append(history, message...)
				history = history[max(0, len(history)-1<<m.bits):]
			}
		}
		messages = append(messages, message)
		message = nil
	}
	if began {
		return nil, io.ErrUnexpectedEOF
	}
	return messages, nil
}

// serverFrame returns the first byte and the payload of the frame that b begins
// with, which has no mask.
func serverFrame(b []byte) (first byte, payload, rest []byte, err error) {
	var header [10]byte
	copy(header[:], b)
	size, length := 2, uint64(header[1])
	switch length {
	case 126:
		size, length = 4, uint64(binary.BigEndian.Uint16(header[2:]))
	case 127:
		size, length = 10, binary.BigEndian.Uint64(header[2:])
	}
	if len(b) < size || uint64(len(b)-size) < length {
		return 0, nil, nil, io.ErrUnexpectedEOF
	}
	return header[0], b[size:][:length], b[size:][length:], nil
}
