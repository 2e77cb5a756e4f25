package websocket

import (
	"bytes"
	"encoding/json"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket/internal/wstest"
)

// A writerProgram is a sequence of calls that write, as a fuzzer makes it up, and what
// they are to bring to the peer.
type writerProgram struct {
	t    *testing.T
	c    *Conn
	data []byte // of which payloads are made
	from int    // where the next one begins

	stream *messageWriter // that NextWriter began and nobody has ended
	opcode int
	open   []byte // what it was given

	sent   []sentMessage // and pings, which are queued as messages are
	behind []sentMessage // queued, and to be sent when stream has ended
	pongs  []string      // that were sent at once
	closed bool          // a close frame was sent

	dropped bool // what was queued could not be sent
}

type sentMessage struct {
	opcode  byte
	payload string
	pieces  bool // it may have any number of fragments
}

// payloadSizes are near everything that changes the way of a message.
var payloadSizes = []int{
	0, 1, 2, 5, 20, 60, 124, 125, 126, 127, 255, 256, 300, 1000, 4095, 4096, 4097, 8192, 8193,
	16<<10 - 1, 16 << 10, 16<<10 + 1, 32<<10 - 1, 32 << 10, 32<<10 + 1, 65535, 65536, 70_000,
}

// payload returns data again and again, beginning somewhere else each time.
func (w *writerProgram) payload(size int) []byte {
	if len(w.data) == 0 {
		return make([]byte, size)
	}
	w.from = (w.from + 101) % len(w.data)
	p := append(bytes.Clone(w.data[w.from:]), w.data[:w.from]...)
	return bytes.Repeat(p, size/len(p)+1)[:size]
}

// step makes one call. The upper bits of op choose the type of a message.
func (w *writerProgram) step(op, arg byte) {
	messageType := TextMessage + int(op>>7)
	size := payloadSizes[int(arg)%len(payloadSizes)]
	switch op & 0x7f % 16 {
	case 0, 1:
		w.endStream(false)
		p := w.payload(size)
		w.whole(messageType, p, w.c.WriteMessage(messageType, p))
	case 2:
		w.endStream(false)
		p := w.payload(size)
		pm, err := NewPreparedMessage(messageType, p)
		require.NoError(w.t, err)
		w.whole(messageType, p, w.c.WritePreparedMessage(pm))
	case 3:
		w.endStream(false)
		p, err := json.Marshal(string(w.payload(size)))
		require.NoError(w.t, err)
		w.whole(TextMessage, append(p, '\n'), w.c.WriteJSON(json.RawMessage(p)))
	case 4:
		p := w.payload(size)
		w.queued(messageType, p, w.c.TryWriteMessage(messageType, p))
		clear(p) // it was copied
	case 5:
		p := w.payload(size)
		pm, err := NewPreparedMessage(messageType, p)
		require.NoError(w.t, err)
		w.queued(messageType, p, w.c.TryWritePreparedMessage(pm))
	case 6:
		w.endStream(true)
		mw, err := w.c.NextWriter(messageType)
		require.Equal(w.t, w.closed, err != nil)
		if err == nil {
			w.stream, w.opcode, w.open = mw.(*messageWriter), messageType, nil
		}
	case 7, 8, 9:
		w.piece(op&0x7f%16, size)
	case 10:
		w.endStream(true)
	case 11:
		p := w.payload(size)
		var err error
		switch arg % 3 {
		case 0:
			err = w.c.WriteControl(PongMessage, p, time.Time{})
		case 1:
			err = w.c.WriteMessage(PongMessage, p)
		case 2:
			err = w.pongByWriter(p)
		}
		switch {
		case size > maxControlPayload:
			require.Error(w.t, err)
		case w.closed:
			require.ErrorIs(w.t, err, ErrCloseSent)
		default:
			require.NoError(w.t, err)
			w.pongs = append(w.pongs, string(p))
		}
	case 12:
		size %= maxControlPayload + 1
		p := w.payload(size)
		w.queued(PingMessage, p, w.c.TryWriteMessage(PingMessage, p))
	case 13:
		w.c.EnableWriteCompression(arg&1 != 0)
		require.NoError(w.t, w.c.SetCompressionLevel(int(arg>>1)%12-2))
	case 14:
		w.c.w.hold(arg&1 != 0)
		if arg&2 != 0 && !w.fragments() {
			require.Equal(w.t, w.dropped, w.c.Flush() != nil)
		}
	case 15:
		if arg != 255 { // it is over soon enough
			return
		}
		err := w.c.WriteControl(CloseMessage, FormatCloseMessage(CloseNormalClosure, "bye"), time.Time{})
		require.Equal(w.t, w.closed, err != nil)
		w.closed, w.dropped = true, w.dropped || w.behind != nil
		w.behind = nil // nobody ends the message that they wait for
	}
}

// fragments reports whether something of the open message was sent.
func (w *writerProgram) fragments() bool { return w.stream != nil && w.stream.opcode == opContinuation }

// whole notes a message that was to be sent at once.
func (w *writerProgram) whole(opcode int, p []byte, err error) {
	if w.closed {
		require.ErrorIs(w.t, err, ErrCloseSent)
		return
	}
	require.NoError(w.t, err)
	w.sent = append(w.sent, sentMessage{byte(opcode), string(p), false})
}

// queued notes a message that was to be sent without waiting.
func (w *writerProgram) queued(opcode int, p []byte, err error) {
	switch {
	case w.closed:
		require.ErrorIs(w.t, err, ErrCloseSent)
		return
	case err == ErrWriteQueueFull:
		return
	}
	require.NoError(w.t, err)
	m := sentMessage{byte(opcode), string(p), false}
	if w.fragments() {
		w.behind = append(w.behind, m)
	} else {
		w.sent = append(w.sent, m)
	}
}

// piece adds to the open message.
func (w *writerProgram) piece(how byte, size int) {
	if w.stream == nil {
		return
	}
	p := w.payload(size)
	var n int
	var err error
	switch how {
	case 7:
		n, err = w.stream.Write(p)
	case 8:
		n, err = w.stream.WriteString(string(p))
	case 9:
		var n64 int64
		n64, err = w.stream.ReadFrom(bytes.NewReader(p))
		n = int(n64)
	}
	if w.closed {
		return // it may be in the buffer, of no use
	}
	require.NoError(w.t, err)
	require.Len(w.t, p, n)
	w.open = append(w.open, p...)
}

// endStream ends the open message, always or if other messages would wait for that.
func (w *writerProgram) endStream(always bool) {
	if w.stream == nil || !always && !w.fragments() {
		return
	}
	if err := w.stream.Close(); w.closed {
		require.ErrorIs(w.t, err, ErrCloseSent)
	} else {
		require.NoError(w.t, err)
		w.sent = append(append(w.sent, sentMessage{byte(w.opcode), string(w.open), true}), w.behind...)
	}
	w.stream, w.behind = nil, nil
}

// pongByWriter sends a pong by NextWriter, which ends the open message.
func (w *writerProgram) pongByWriter(p []byte) error {
	w.endStream(true)
	mw, err := w.c.NextWriter(PongMessage)
	if err != nil {
		return err
	}
	if _, err := mw.Write(p); err != nil {
		return err
	}
	return mw.Close()
}

// A frameModel judges what an endpoint has written, as a peer would who is a stickler for
// the rules.
type frameModel struct {
	server     bool
	compressed bool // permessage-deflate is in use
	inflate    plainInflater
	bits       int

	messages []sentMessage
	pongs    []string
	closed   bool
	open     []wstest.Frame // of the message in progress
}

func (m *frameModel) take(t *testing.T, written []byte) {
	t.Helper()
	for r := bytes.NewReader(written); r.Len() > 0; {
		f, masked, err := wstest.ReadFrame(r) // the length is in its shortest form (section 5.2)
		require.NoError(t, err)
		require.Equal(t, !m.server, masked) // section 5.1
		require.False(t, m.closed, "%v behind a close frame", f)
		switch f.Opcode {
		case wstest.Ping, wstest.Pong, wstest.Close:
			// Section 5.5, and RFC 7692, section 6.1: they are not compressed.
			require.True(t, !f.More && f.RSV == 0 && len(f.Payload) <= 125, "%v", f)
			switch f.Opcode {
			case wstest.Ping:
				m.messages = append(m.messages, sentMessage{wstest.Ping, f.Payload, false})
			case wstest.Pong:
				m.pongs = append(m.pongs, f.Payload)
			default:
				m.closed = true
			}
			continue
		case wstest.Text, wstest.Binary:
			require.Empty(t, m.open, "%v within a message", f) // section 5.4
			require.True(t, f.RSV == 0 || f.RSV == 4 && m.compressed, "%v", f)
		case wstest.Continuation:
			require.NotEmpty(t, m.open, "%v without a message", f) // section 5.4
			require.Zero(t, f.RSV, "%v", f)                        // RFC 7692, section 6
		default:
			t.Fatal(f)
		}
		if m.open = append(m.open, f); !f.More {
			p := m.inflate.expand(t, m.open...)
			// RFC 7692, section 7.1.2.1: references reach no further back than agreed.
			m.inflate.window = m.inflate.window[max(0, len(m.inflate.window)-1<<m.bits):]
			m.messages = append(m.messages, sentMessage{m.open[0].Opcode, p, len(m.open) > 1})
			m.open = nil
		}
	}
}

// FuzzWriter: whatever a program calls, what is written are frames that keep the rules
// and say what the program said, in its order.
func FuzzWriter(f *testing.F) {
	data := []byte(strings.Repeat("the quick brown fox, ", 9) + "\x00\xff" + some(100))
	f.Add(uint8(0), uint8(0), []byte{0, 3, 128, 9, 2, 5, 3, 6, 4, 7, 5, 8, 12, 3, 11, 3}, data)
	f.Add(uint8(fuzzServer), uint8(1), []byte{6, 0, 7, 17, 0, 3, 8, 17, 4, 3, 9, 27, 5, 3, 11, 3, 10, 0}, data)
	for i := range uint8(8) {
		terms := fuzzDeflate | i&1*fuzzServer | i>>1&1*fuzzNoTakeover | i*2<<fuzzBits
		f.Add(terms, i, []byte{0, 12, 128, 14, 2, 12, 5, 13, 6, 0, 7, 22, 9, 27, 12, 3, 4, 5, 10, 0, 13, 7, 0, 13, 3, 20, 13, 5, 0, 27}, data)
		f.Add(terms, i, []byte{14, 1, 0, 3, 0, 4, 4, 5, 11, 3, 2, 6, 14, 2, 6, 0, 7, 20, 7, 20, 15, 255, 0, 3, 4, 3, 10, 0, 6, 0}, data)
	}
	f.Add(uint8(fuzzDeflate), uint8(2), bytes.Repeat([]byte{4, 27}, 30), data) // the queue gets full
	f.Add(uint8(fuzzServer), uint8(3), []byte{6, 0, 11, 5, 6, 0, 6, 0, 7, 1, 11, 8}, []byte(nil))
	f.Fuzz(func(t *testing.T, terms, buffer uint8, script, data []byte) {
		if len(script) > 100 || len(data) > 1<<16 {
			return
		}
		nc := newEndingConn(strings.NewReader(""))
		n := Negotiated{Server: terms&fuzzServer != 0, Compression: fuzzCompression(terms)}
		opts := Options{Compression: n.Compression}
		size := []int{0, 1, 16, 300, 9000}[int(buffer)%5]
		c := newConn(newSocket(net.Conn(nc)), n, &opts, bufferOptions{write: size})
		w := &writerProgram{t: t, c: c, data: data}
		for ; len(script) > 1; script = script[2:] {
			w.step(script[0], script[1])
		}
		w.c.w.hold(false)
		w.endStream(true)
		require.Equal(t, w.dropped, c.Flush() != nil)
		require.Equal(t, w.dropped, c.Close() != nil)
		select {
		case <-nc.gone:
		case <-time.After(longTime):
			t.Fatal("the connection stays open")
		}

		m := &frameModel{server: n.Server, compressed: n.Compression != nil, bits: 15}
		if m.compressed {
			m.bits = n.Compression.ServerMaxWindowBits
			m.inflate.takeover = !n.Compression.ServerNoContextTakeover
		}
		m.take(t, nc.written.Bytes())
		require.True(t, m.open == nil || w.closed, "a message has no end")
		require.Equal(t, w.closed, m.closed)
		require.Equal(t, w.pongs, m.pongs)
		require.Len(t, m.messages, len(w.sent))
		for i, want := range w.sent {
			got := m.messages[i]
			require.Equal(t, want.opcode, got.opcode, "message %d", i)
			require.True(t, want.payload == got.payload, "message %d of %d bytes has %d", i, len(want.payload), len(got.payload))
			require.True(t, want.pieces || !got.pieces, "message %d has fragments", i)
		}
	})
}
