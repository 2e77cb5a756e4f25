package websocket

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket/internal/wstest"
)

// That a message is larger than the queue is no fault of the peer.
func TestBroadcastLargerThanQueue(t *testing.T) {
	var g Group
	c, _ := inGroup(t, overTCP, &g, Options{WriteQueue: 1000, SlowConsumer: CloseSlow})
	g.Broadcast(prepared(t, some(1001)))
	require.NoError(t, c.Context().Err(), "%v", context.Cause(c.Context()))
}

// A message behind more than one batch that was posted is still its writer's own.
func TestOwnMessageBehindPosted(t *testing.T) {
	near, far := wstest.TCP(t)
	_ = near.SetWriteBuffer(4096)
	_ = far.SetReadBuffer(4096)
	w := newTestWriter(near, true)
	w.limit = 64 << 20
	for range 300 {
		pm := encode(FrameHeader{Fin: true, Opcode: BinaryMessage}, []byte(some(40_000)))
		_, err := w.post(w.outgoingPrepared(BinaryMessage, pm, nil))
		require.NoError(t, err)
	}
	w.setDeadline(time.Now().Add(300 * time.Millisecond))
	require.ErrorIs(t, w.write(TextMessage, "own"), os.ErrDeadlineExceeded)
	require.NoError(t, near.Close())
}
