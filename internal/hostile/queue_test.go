package hostile

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/internal/wstest"
)

// Pongs that nobody asked for leave nothing behind (Undertow CVE-2021-3690): not on the heap, and they answer no Ping that waits.
func TestUnsolicitedPongs(t *testing.T) {
	const pongs = 100_000
	for _, d := range doors {
		for _, w := range ways {
			g := target{door: d, way: w, deflate: w == byServe}
			t.Run(g.String(), func(t *testing.T) { // one after the other, for the heap is measured
				v := g.open(t)
				ctx, cancel := context.WithCancel(context.Background())
				pinged := make(chan error, 1)
				go func() {
					_, err := v.conn.Ping(ctx)
					pinged <- err
				}()
				require.Equal(t, byte(wstest.Ping), v.Receive().Opcode)
				v.expectWell()
				var b []byte
				for n := range pongs { // of the size that those have that are waited for
					b = append(b, v.Encode(wstest.Frame{Opcode: wstest.Pong, Payload: string(binary.BigEndian.AppendUint64(nil, uint64(n)))})...)
				}
				before := liveHeap()
				v.SendRaw(b)
				v.expectWell()
				require.Less(t, liveHeap()-before, int64(64<<10), "after %d pongs", pongs)
				runtime.KeepAlive(b)
				cancel()
				require.ErrorIs(t, <-pinged, context.Canceled)
			})
		}
	}
}

// Pings are answered at bounded cost when nobody reads the pongs: what the sockets hold, and the latest, as RFC 6455, section 5.5.3,
// allows. The rest of the pings costs nothing, and the connection is as good as new when the attacker reads.
func TestPingsNobodyReads(t *testing.T) {
	pings := 20_000
	if *full {
		pings = 400_000
	}
	const size = 125
	eachTarget(t, func(t *testing.T, g target) {
		v := g.open(t)
		// Not the megabytes that sockets may grow to, and not so small that the window opens by timers only.
		require.NoError(t, v.conn.NetConn().(*net.TCPConn).SetWriteBuffer(64<<10))
		require.NoError(t, v.Conn.(*net.TCPConn).SetReadBuffer(128<<10))
		payload := func(n int) string {
			return string(binary.BigEndian.AppendUint32(nil, uint32(n))) + strings.Repeat("p", size-4)
		}
		for n := 0; n < pings; {
			var b []byte
			for range 1000 {
				b = append(b, v.Encode(wstest.Frame{Opcode: wstest.Ping, Payload: payload(n)})...)
				n++
			}
			v.SendRaw(b)
		}
		v.Send(wstest.Frame{Opcode: wstest.Text, Payload: "behind them"})
		v.expectDelivered(websocket.TextMessage, "behind them")
		require.Less(t, v.conn.Stats().Queued, 2*(size+4)+1, "a pong on its way and one behind it")

		require.NoError(t, v.SetReadDeadline(time.Now().Add(patience)))
		r := bufio.NewReader(v)
		pongs, last := 0, -1
		for last < pings-1 {
			f, _, err := wstest.ReadFrame(r)
			require.NoError(t, err, "after %d pongs, the last for ping %d", pongs, last)
			require.Equal(t, byte(wstest.Pong), f.Opcode)
			require.Len(t, f.Payload, size)
			n := int(binary.BigEndian.Uint32([]byte(f.Payload)))
			require.Greater(t, n, last, "in their order")
			require.Equal(t, payload(n), f.Payload)
			pongs, last = pongs+1, n
		}
		require.Less(t, pongs, pings/2, "the sockets hold less than this")
		require.Zero(t, r.Buffered(), "the pong of the last ping is the last")
		v.expectWell()
	})
}

// Empty messages by the million are all delivered, one after the other, and none costs a goroutine. All are echoed.
func TestManyEmptyMessages(t *testing.T) {
	messages := 5_000
	if *full {
		messages = 1_000_000
	}
	each := eachTarget
	if *full {
		each = func(t *testing.T, f func(t *testing.T, g target)) {
			for _, w := range ways {
				g := target{door: throughConn, way: w}
				t.Run(g.String(), func(t *testing.T) { f(t, g) })
			}
		}
	}
	goroutines := runtime.NumGoroutine()
	each(t, func(t *testing.T, g target) {
		g.answer = true
		v := g.open(t)
		sent := make(chan error, 1)
		go func() {
			const atATime = 1000
			b := bytes.Repeat(v.Encode(wstest.Frame{Opcode: wstest.Binary}), atATime)
			for range messages / atATime {
				if _, err := v.Write(b); err != nil {
					sent <- err
					return
				}
			}
			sent <- nil
		}()
		require.NoError(t, v.SetReadDeadline(time.Now().Add(patience)))
		r := bufio.NewReader(v)
		for n := range messages {
			f, _, err := wstest.ReadFrame(r)
			require.NoError(t, err, "after %d", n)
			if f.Opcode != wstest.Binary || len(f.Payload) > 1 { // an empty message is one octet when it is compressed
				t.Fatalf("message %d: %v", n, f)
			}
			if n%1000 == 0 {
				require.Less(t, runtime.NumGoroutine(), goroutines+500, "after %d messages", n)
			}
		}
		require.NoError(t, <-sent)
		require.EqualValues(t, messages, v.conn.Stats().MessagesWritten)
	})
}
