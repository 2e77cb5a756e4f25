package wstest

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience is how long a Peer waits for what it expects before the test fails.
const patience = 10 * time.Second

// Peer is one end of a WebSocket connection that does what a test tells it,
// right or wrong. It never acts by itself.
type Peer struct {
	net.Conn
	t      testing.TB
	client bool
}

// NewClient returns a peer that plays the client: its frames are masked, and
// those it gets must not be.
func NewClient(t testing.TB, nc net.Conn) *Peer { return &Peer{Conn: nc, t: t, client: true} }

// NewServer returns a peer that plays the server.
func NewServer(t testing.TB, nc net.Conn) *Peer { return &Peer{Conn: nc, t: t} }

// Encode returns the frame as this peer sends it.
func (p *Peer) Encode(f Frame) []byte {
	if p.client {
		return f.Masked()
	}
	return f.Unmasked()
}

// Send sends frames, all with one write.
func (p *Peer) Send(frames ...Frame) {
	p.t.Helper()
	var b []byte
	for _, f := range frames {
		b = append(b, p.Encode(f)...)
	}
	p.SendRaw(b)
}

// SendRaw sends bytes.
func (p *Peer) SendRaw(b []byte) {
	p.t.Helper()
	require.NoError(p.t, p.SetWriteDeadline(time.Now().Add(patience)))
	_, err := p.Write(b)
	require.NoError(p.t, err)
}

// Receive returns the next frame.
func (p *Peer) Receive() Frame {
	p.t.Helper()
	require.NoError(p.t, p.SetReadDeadline(time.Now().Add(patience)))
	f, masked, err := ReadFrame(p)
	require.NoError(p.t, err)
	require.Equal(p.t, !p.client, masked, "masking of %v", f)
	return f
}

// Expect receives frames and compares them.
func (p *Peer) Expect(frames ...Frame) {
	p.t.Helper()
	for _, want := range frames {
		got := p.Receive()
		require.Equal(p.t, want.String(), got.String())
		require.True(p.t, want.Payload == got.Payload, "payloads differ")
	}
}

// ExpectClose receives a close frame with the code and any reason.
func (p *Peer) ExpectClose(code int) {
	p.t.Helper()
	f := p.Receive()
	require.Equal(p.t, byte(Close), f.Opcode, "%v", f)
	require.GreaterOrEqual(p.t, len(f.Payload), 2, "%v", f)
	require.Equal(p.t, code, int(f.Payload[0])<<8|int(f.Payload[1]), "%v", f)
}

// ExpectEnd waits for the other end to end the connection, with nothing more to
// say and no reset.
func (p *Peer) ExpectEnd() {
	p.t.Helper()
	_ = p.SetReadDeadline(time.Now().Add(patience)) // an ended net.Pipe refuses, and Read tells why
	n, err := p.Read(make([]byte, 1))
	require.Zero(p.t, n, "more bytes came")
	require.ErrorIs(p.t, err, io.EOF)
}

// ExpectNothing makes sure that nothing has come, and nothing comes before what
// the other end answers to a ping.
func (p *Peer) ExpectNothing() {
	p.t.Helper()
	p.Send(Frame{Opcode: Ping, Payload: "anything else?"})
	p.Expect(Frame{Opcode: Pong, Payload: "anything else?"})
}

// Drain reads until the connection ends, and returns how many bytes came.
func (p *Peer) Drain() (n int64) {
	p.t.Helper()
	_ = p.SetReadDeadline(time.Now().Add(patience)) // as in ExpectEnd
	n, err := io.Copy(io.Discard, p.Conn)
	require.False(p.t, errors.Is(err, os.ErrDeadlineExceeded), "the connection does not end")
	return n
}
