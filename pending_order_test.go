package websocket

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket/internal/wstest"
)

// What was posted, and nobody has sent yet, goes before whatever comes later, also if it
// is more than one batch.
func TestLargeMessageOvertakesPosted(t *testing.T) {
	for name, write := range map[string]func(w *testWriter) error{
		"large":      func(w *testWriter) error { return w.write(BinaryMessage, some(20_000)) },
		"control":    func(w *testWriter) error { return w.control(context.Background(), PingMessage, nil, never) },
		"NextWriter": func(w *testWriter) error { mw, _ := w.next(BinaryMessage); return mw.Close() },
		"small":      func(w *testWriter) error { return w.write(BinaryMessage, "s") },
	} {
		t.Run(name, func(t *testing.T) {
			nc := &wire{}
			w := newTestWriter(nc, true)
			for i := range 2 {
				pm := encode(FrameHeader{Fin: true, Opcode: TextMessage}, []byte(fmt.Sprint(i)+some(40_000)))
				_, err := w.post(w.outgoingPrepared(TextMessage, pm, nil))
				require.NoError(t, err)
			}
			require.NoError(t, write(w))
			require.NoError(t, w.flush())
			var order []string
			for _, f := range nc.frames(t, true) {
				order = append(order, fmt.Sprintf("op%d/%.1s", f.Opcode, f.Payload))
			}
			require.Equal(t, []string{"op1/0", "op1/1"}, order[:2], "%v", order)
		})
	}
}

// The same from outside.
func TestBroadcastThenLargeWrite(t *testing.T) {
	var g Group
	near, far := overTCP(t)
	c := NewConn(near, Negotiated{Server: true}, Options{Group: &g})
	defer c.Close()
	peer := NewConn(far, Negotiated{}, Options{})
	defer peer.Close()
	pms := []*PreparedMessage{prepared(t, "0"+some(40_000)), prepared(t, "1"+some(40_000))}
	go func() {
		for range 300 {
			g.Broadcast(pms[0])
			g.Broadcast(pms[1])
			if c.WriteMessage(BinaryMessage, []byte("2"+some(20_000))) != nil {
				return
			}
			_ = c.Flush()
		}
	}()
	for i := range 300 {
		var order string
		for range 3 {
			_, p, err := peer.ReadMessage()
			require.NoError(t, err)
			order += string(p[:1])
		}
		require.Equal(t, "012", order, "round %d", i)
	}
}

// With context takeover it matters most: a message refers to those sent before it.
func TestBroadcastThenLargeWriteCompressed(t *testing.T) {
	var g Group
	near, far := overTCP(t)
	agreed := Compression{ServerMaxWindowBits: 15, ClientMaxWindowBits: 15}
	terms := agreed
	c := NewConn(near, Negotiated{Server: true, Compression: &agreed}, Options{Group: &g, Compression: &terms})
	defer c.Close()
	peer := NewConn(far, Negotiated{Compression: &agreed}, Options{})
	defer peer.Close()
	// hardly compressible, so that the compressed form has tens of KiB
	noise := func(seed int) string {
		var b strings.Builder
		x := uint32(seed)*2654435761 + 1
		for b.Len() < 60_000 {
			x ^= x << 13
			x ^= x >> 17
			x ^= x << 5
			b.WriteByte("0123456789abcdefghijklmnopqrstuv"[x>>27])
		}
		return b.String()
	}
	big := []string{noise(1), noise(2)}
	pms := []*PreparedMessage{prepared(t, big[0]), prepared(t, big[1])}
	large := []byte(big[1][60_000-20_000:]) // repeats the end of the second
	go func() {
		for range 300 {
			g.Broadcast(pms[0])
			g.Broadcast(pms[1])
			if c.WriteMessage(TextMessage, large) != nil {
				return
			}
			_ = c.Flush()
		}
	}()
	for i := range 900 {
		_, p, err := peer.ReadMessage()
		require.NoError(t, err, "message %d", i)
		got := string(p)
		require.True(t, got == big[0] || got == big[1] || got == string(large), "message %d of %d bytes is none that was sent", i, len(got))
	}
}

// Flush waits for all that was accepted, however many batches that is.
func TestFlushOfPosted(t *testing.T) {
	near, far := wstest.TCP(t)
	_ = near.SetWriteBuffer(4096)
	_ = far.SetReadBuffer(4096)
	w := newTestWriter(near, true)
	w.limit = 64 << 20
	for range 500 {
		pm := encode(FrameHeader{Fin: true, Opcode: BinaryMessage}, []byte(some(40_000)))
		_, err := w.post(w.outgoingPrepared(BinaryMessage, pm, nil))
		require.NoError(t, err)
	}
	w.setDeadline(time.Now().Add(500 * time.Millisecond)) // nobody reads: it can't be done
	err := w.flush()
	_, queued, _ := w.statistics()
	require.Error(t, err, "%d bytes are queued", queued)
	near.Close()
}

// A close frame is the last, also when it is broadcast.
func TestBroadcastCloseFrame(t *testing.T) {
	var g Group
	c, peer := inGroup(t, overTCP, &g, Options{})
	pm, err := NewPreparedMessage(CloseMessage, FormatCloseMessage(1000, ""))
	require.NoError(t, err)
	g.Broadcast(pm)
	peer.ExpectClose(1000)
	err = c.WriteMessage(TextMessage, []byte("after the close frame"))
	require.Equal(t, ErrCloseSent, err)
}
