//go:build linux

package websocket

import (
	"bytes"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket/internal/wstest"
)

// In a flood a loop stays with its worker, also with a read buffer of more than
// sock.MaxSize, which one read does not fill.
func TestStartFloodStaysWithItsWorker(t *testing.T) {
	for name, size := range map[string]int{"64 KiB": 64 << 10, "1 MiB": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			client, server := wstest.TCP(t)
			require.NoError(t, server.SetReadBuffer(4<<20))
			c := newConn(newSocket(server), Negotiated{Server: true}, &Options{}, bufferOptions{read: size})
			workers := make(map[string]bool)
			first := make(chan bool)
			n := 0
			peer := wstest.NewClient(t, client)
			c.Start(func(m Message) error {
				if n++; n == 1 {
					<-first // all the rest has come meanwhile
				}
				b := make([]byte, 64)
				b = b[:runtime.Stack(b, false)]
				workers[string(bytes.Fields(b)[1])] = true
				return nil
			}, nil)
			b := peer.Encode(wstest.Frame{Opcode: wstest.Binary, Payload: string(make([]byte, 1016))})
			peer.SendRaw(b)
			go func() {
				peer.SendRaw(bytes.Repeat(b, 2000))
				close(first)
				peer.Send(wstest.CloseFrame(1000, ""))
			}()
			<-waitForEnd(c).Done()
			require.LessOrEqual(t, len(workers), 3)
		})
	}
}
