//go:build unix

package websocket

import (
	"fmt"
	"io"
	"net"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket/internal/wstest"
)

// These tests are of replies that go straight to a socket.

func TestWriterRepliesAtOnce(t *testing.T) {
	t.Parallel()
	near, far := wstest.TCP(t)
	w := newTestWriter(near, true)
	peer := wstest.NewClient(t, far)
	for _, p := range []string{"1", "2"} {
		w.reply(PongMessage, []byte(p))
		require.False(t, w.owing(), "it is in the socket")
	}
	require.True(t, w.probe())
	w.reply(CloseMessage, nil)
	require.True(t, w.writer.closeSent())
	peer.Expect(pongFrame("1"), pongFrame("2"), pingFrame(""), wstest.Frame{Opcode: wstest.Close})
}

func TestWriterReplyFailsAtOnce(t *testing.T) {
	t.Parallel()
	near, _ := wstest.TCP(t)
	w := newTestWriter(near, true)
	require.NoError(t, near.Close())
	w.reply(PongMessage, nil)
	require.ErrorIs(t, w.err(), net.ErrClosed)
	require.EqualValues(t, 1, w.failures.Load())
}

// A peer that reads nothing holds up who writes, and never who reads.
func TestWriterRepliesToAFullSocket(t *testing.T) {
	t.Parallel()
	near, far := wstest.TCP(t)
	require.NoError(t, near.SetWriteBuffer(4<<10))
	require.NoError(t, far.SetReadBuffer(4<<10))
	filled := fill(t, near)
	w := newTestWriter(near, true)
	const pings = 10000 // their pongs are far more than the system may still find room for
	for i := range pings {
		w.reply(PongMessage, fmt.Appendf(nil, "%0125d", i))
	}
	w.reply(CloseMessage, nil)
	require.True(t, w.owing())
	_, err := io.CopyN(io.Discard, far, filled)
	require.NoError(t, err)

	peer := wstest.NewClient(t, far)
	last := -1
	for last < pings-1 { // the newest is not lost
		f := peer.Receive()
		require.Equal(t, byte(wstest.Pong), f.Opcode)
		i, err := strconv.Atoi(f.Payload)
		require.NoError(t, err)
		require.Greater(t, i, last)
		last = i
	}
	peer.Expect(wstest.Frame{Opcode: wstest.Close})
	require.Equal(t, ErrCloseSent, w.write(TextMessage, "late"))
}

// Whoever writes to a plain socket that long waits for a peer that does not read. It gets
// the answer to its newest ping (section 5.5.3).
func TestWriterRepliesToABlockedSocket(t *testing.T) {
	t.Parallel()
	near, far := wstest.TCP(t)
	require.NoError(t, near.SetWriteBuffer(64<<10))
	require.NoError(t, far.SetReadBuffer(64<<10))
	w := newTestWriter(near, true)
	large := some(2 << 20)
	written := soon(func() error { return w.write(TextMessage, large) })
	eventually(func() bool {
		w.turn.mu.Lock()
		defer w.turn.mu.Unlock()
		return w.turn.taken
	})
	for i := range 5 {
		w.reply(PongMessage, fmt.Append(nil, i))
	}
	w.reply(CloseMessage, nil)
	wstest.NewClient(t, far).Expect(textFrame(large), pongFrame("4"), wstest.Frame{Opcode: wstest.Close})
	require.NoError(t, <-written)
}
