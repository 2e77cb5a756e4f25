package websocket

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket/internal/wstest"
)

func TestStart(t *testing.T) {
	t.Parallel()
	c, peer := scripted(t, overTCP, true, Options{})
	done := make(chan error, 1)
	c.Start(func(m Message) error { return c.WriteMessage(m.Type, m.Data) }, func(err error) { done <- err })
	for range 5 {
		peer.Send(text("Hello"))
		peer.Expect(text("Hello"))
	}
	peer.Send(wstest.CloseFrame(1000, ""))
	peer.Expect(wstest.CloseFrame(1000, ""))
	require.NoError(t, <-done)
}
