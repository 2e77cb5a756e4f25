package websocket

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket/internal/wstest"
)

func TestWritePreparedMessage(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 125, 126, 65_535, 65_536} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			inBubbles(t, func(t *testing.T, server bool) {
				c, peer := scripted(t, overPipe, server, Options{})
				data := []byte(strings.Repeat("x", size))
				pm, err := NewPreparedMessage(BinaryMessage, data)
				require.NoError(t, err)
				clear(data) // it has a copy
				for range 2 {
					wrote := soon(func() error { return c.WritePreparedMessage(pm) })
					peer.Expect(wstest.Frame{Opcode: wstest.Binary, Payload: strings.Repeat("x", size)})
					require.NoError(t, <-wrote)
				}
			})
		})
	}
}

func TestWritePreparedControl(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{})
		probe, err := NewPreparedMessage(PingMessage, []byte("x"))
		require.NoError(t, err)
		bye, err := NewPreparedMessage(CloseMessage, FormatCloseMessage(1001, "bye"))
		require.NoError(t, err)
		wrote := soon(func() error {
			if err := c.WritePreparedMessage(probe); err != nil {
				return err
			}
			return c.WritePreparedMessage(bye)
		})
		peer.Expect(ping("x"), wstest.CloseFrame(1001, "bye"))
		require.NoError(t, <-wrote)
		requireCloseSent(t, c)
	})
}

// A client masks each sending anew (RFC 6455, section 5.3).
func TestPreparedMessageIsMaskedAnew(t *testing.T) {
	t.Parallel()
	clientEnd, serverEnd := wstest.Pipe(t)
	c := NewConn(clientEnd, Negotiated{}, Options{})
	pm, err := NewPreparedMessage(TextMessage, []byte("Hello"))
	require.NoError(t, err)
	keys := make(map[[4]byte]bool)
	for range 8 {
		wrote := soon(func() error { return c.WritePreparedMessage(pm) })
		b := make([]byte, 11)
		_, err := serverEnd.Read(b)
		require.NoError(t, err)
		require.NoError(t, <-wrote)
		keys[[4]byte(b[2:])] = true
	}
	require.Greater(t, len(keys), 1)
}

// Many connections of both roles send one message at once.
func TestPreparedMessageConcurrently(t *testing.T) {
	t.Parallel()
	pm, err := NewPreparedMessage(TextMessage, []byte(strings.Repeat("x", 10_000)))
	require.NoError(t, err)
	var results []<-chan error
	for range 10 {
		a, b := connected(t, overPipe, true, Options{})
		for _, ends := range [][2]*Conn{{a, b}, {b, a}} {
			results = append(results,
				soon(func() error { return ends[0].WritePreparedMessage(pm) }),
				soon(func() error {
					_, p, err := ends[1].ReadMessage()
					if err == nil && string(p) != strings.Repeat("x", 10_000) {
						err = fmt.Errorf("got %.20q", p)
					}
					return err
				}))
		}
	}
	for _, r := range results {
		require.NoError(t, <-r)
	}
}
