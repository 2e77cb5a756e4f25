package hostile

import (
	"encoding/binary"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/internal/wstest"
)

// narrow keeps the sockets from growing room for what the victim sends.
func (v *victim) narrow() {
	v.t.Helper()
	require.NoError(v.t, v.conn.NetConn().(*net.TCPConn).SetWriteBuffer(32<<10))
}

// clog fills the sockets from the victim to the attacker, past the library, until the network takes hardly a byte more. It returns how many
// bytes the attacker has to read to come to what the library says.
func (v *victim) clog() (filler int64) {
	v.t.Helper()
	v.narrow()
	nc := v.conn.NetConn()
	junk := make([]byte, 256<<10)
	for idle := 0; idle < 3; idle++ { // the system may move what it has, and have room again
		require.NoError(v.t, nc.SetWriteDeadline(time.Now().Add(5*time.Millisecond)))
		n, err := nc.Write(junk)
		require.ErrorIs(v.t, err, os.ErrDeadlineExceeded)
		if filler += int64(n); n > 0 {
			idle = 0
		}
	}
	require.NoError(v.t, nc.SetWriteDeadline(time.Time{}))
	return filler
}

// numberedPing has its number in front of its payload.
func numberedPing(n int) wstest.Frame {
	p := binary.BigEndian.AppendUint32(make([]byte, 0, 125), uint32(n))
	return wstest.Frame{Opcode: wstest.Ping, Payload: string(p[:cap(p)])}
}

// A flood of pings against an endpoint whose pongs nobody reads. It reads on, and hands out what comes behind the pings, although it can
// say nothing. What waits meanwhile is bounded: what was being written when the network took no more, and the latest pong (RFC 6455,
// section 5.5.3). When the attacker reads at last, it gets pongs in their order, and that one as the last.
func TestPingFloodNothingRead(t *testing.T) {
	pings := 10_000
	if *full {
		pings = 400_000
	}
	for name, every := range map[string]int{"pings": pings, "pings and messages": pings / 200} {
		t.Run(name, func(t *testing.T) {
			eachSocket(t, func(t *testing.T, g target) { floodWithPings(t, g, pings, every) })
		})
	}
}

// floodWithPings sends g so many pings, and a message in front of every so many of them, while the network takes nothing of the answers.
func floodWithPings(t *testing.T, g target, pings, every int) {
	const perWrite = 1000
	v := g.open(t)
	filler := v.clog()
	sent, messages, queued := 0, 0, 0
	for queued == 0 { // more than once if the network has found room for all pongs yet
		require.Less(t, sent, 100*pings)
		var b []byte
		for n := range pings {
			if n%every == 0 {
				b = append(b, v.Encode(wstest.Frame{Opcode: wstest.Text, Payload: "message"})...)
				messages++
			}
			b = append(b, v.Encode(numberedPing(sent))...)
			sent++
			if n%perWrite == perWrite-1 {
				v.SendRaw(b)
				b = b[:0]
			}
		}
		v.Send(wstest.Frame{Opcode: wstest.Text, Payload: "all pings are read"})
		for ; messages > 0; messages-- {
			v.expectDelivered(websocket.TextMessage, "message")
		}
		v.expectDelivered(websocket.TextMessage, "all pings are read")
		// Nothing but pongs is on its way here, and the bound is that of memory: 4 KiB.
		queued = v.conn.Stats().Queued
		require.LessOrEqual(t, queued, 4<<10)
	}
	t.Logf("%d bytes wait", queued)

	require.NoError(t, v.SetReadDeadline(time.Now().Add(patience)))
	_, err := io.CopyN(io.Discard, v.Conn, filler)
	require.NoError(t, err)
	count := 0
	for last := -1; last < sent-1; count++ {
		pong := v.Receive()
		require.Equal(t, byte(wstest.Pong), pong.Opcode)
		n := int(binary.BigEndian.Uint32([]byte(pong.Payload)))
		require.Greater(t, n, last, "pongs keep their order")
		require.True(t, pong.Payload == numberedPing(n).Payload)
		last = n
	}
	require.Less(t, count, sent/2, "the network took pongs")
	v.ExpectNothing()
}
