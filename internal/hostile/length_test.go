package hostile

import (
	"testing"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/internal/wstest"
)

// A length has one form only: "the minimal number of bytes MUST be used to encode the length" (RFC 6455, section 5.2).
func TestLengthNotMinimal(t *testing.T) {
	for name, header := range map[string]string{
		"16 bits for 5":        "81 fe 0005",
		"64 bits for 5":        "81 ff 0000000000000005",
		"64 bits for 300":      "81 ff 000000000000012c",
		"64 bits for 65535":    "81 ff 000000000000ffff",
		"16 bits for a ping":   "89 fe 0005",
		"64 bits for a ping":   "89 ff 0000000000000005",
		"16 bits for a close":  "88 fe 0005",
		"top bit":              "81 ff 8000000000000005",
		"all bits":             "81 ff ffffffffffffffff",
		"a ping of 126 octets": "89 fe 007e",
	} {
		t.Run(name, func(t *testing.T) {
			eachTarget(t, func(t *testing.T, g target) {
				v := g.open(t)
				v.Send(wstest.Frame{Opcode: wstest.Text, Payload: "before"})
				v.SendRaw(v.header(header))
				v.SendRaw([]byte("Hello"))
				v.expectDelivered(websocket.TextMessage, "before")
				v.expectFailure(websocket.CloseProtocolError)
			})
		})
	}
}

// An endpoint that nobody attacks is a good one.
func TestNoAttack(t *testing.T) {
	eachTarget(t, func(t *testing.T, g target) {
		g.answer = true
		v := g.open(t)
		v.expectWell()
		v.Send(wstest.CloseFrame(websocket.CloseNormalClosure, "bye"))
		v.ExpectClose(websocket.CloseNormalClosure)
	})
}
