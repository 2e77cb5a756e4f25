package wasmtest

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
)

// BenchmarkEcho sends a message to the server and waits until it is back.
func BenchmarkEcho(b *testing.B) {
	if server == "" {
		b.Skip("there is no server: run go test ./internal/wasmtest without GOOS and GOARCH, which needs Node from version 22 on")
	}
	for _, size := range []int{16, 1 << 10, 64 << 10, 1 << 20} {
		for name, messageType := range map[string]int{"text": websocket.TextMessage, "binary": websocket.BinaryMessage} {
			b.Run(fmt.Sprintf("%s/%d", name, size), func(b *testing.B) {
				c, _, err := websocket.DefaultDialer.Dial(server+"/echo", nil)
				require.NoError(b, err)
				defer c.Close()
				p := make([]byte, size)
				for i := range p {
					p[i] = 'x'
				}
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					if err := c.WriteMessage(messageType, p); err != nil {
						b.Fatal(err)
					}
					if _, p, err = c.ReadMessageContext(b.Context(), p[:0]); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
