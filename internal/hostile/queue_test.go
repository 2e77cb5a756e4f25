package hostile

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

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
