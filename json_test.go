package websocket

import (
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket/internal/wstest"
)

func TestWriteJSON(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{})
		large := strings.Repeat("x", 2*maxPooled)
		wrote := soon(func() error {
			for _, v := range []any{map[string]int{"a": 1}, "<&>", nil, large, 5} {
				if err := c.WriteJSON(v); err != nil {
					return err
				}
			}
			return WriteJSON(c, true)
		})
		peer.Expect(text("{\"a\":1}\n"), text(`"\u003c\u0026\u003e"`+"\n"), text("null\n"), text(`"`+large+"\"\n"), text("5\n"), text("true\n"))
		require.NoError(t, <-wrote)
	})
}

func TestWriteJSONThatCantBeEncoded(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{})
		var unsupported *json.UnsupportedTypeError
		require.ErrorAs(t, c.WriteJSON(make(chan int)), &unsupported)
		require.ErrorAs(t, c.WriteJSON([]any{1, func() {}}), &unsupported)
		wrote := soon(func() error { return c.WriteJSON("next") })
		peer.Expect(text("\"next\"\n"))
		require.NoError(t, <-wrote)
	})
}

func TestReadJSON(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		in   wstest.Frame
		want any
		err  any // nil, an error, or what makes a pointer for errors.As
	}{
		{"object", text(`{"a":1}`), map[string]any{"a": 1.0}, nil},
		{"as WriteJSON sends it", text("[1,2]\n"), []any{1.0, 2.0}, nil},
		{"binary", wstest.Frame{Opcode: wstest.Binary, Payload: "true"}, true, nil},
		{"more behind the value", text(`1 2 garbage}`), 1.0, nil},
		{"empty", text(""), nil, io.ErrUnexpectedEOF},
		{"blank", text(" \n"), nil, io.ErrUnexpectedEOF},
		{"broken off", text(`{"a":`), nil, io.ErrUnexpectedEOF},
		{"no JSON", text(`}`), nil, func() any { return new(*json.SyntaxError) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, server bool) {
				c, peer := scripted(t, overPipe, server, Options{})
				var v any
				read := soon(func() error { return c.ReadJSON(&v) })
				peer.Send(tt.in)
				err := <-read
				switch want := tt.err.(type) {
				case nil:
					require.NoError(t, err)
				case error:
					require.Equal(t, want, err)
				case func() any:
					require.ErrorAs(t, err, want())
				}
				require.Equal(t, tt.want, v)

				read = soon(func() error { return ReadJSON(c, &v) })
				peer.Send(text(`"next"`))
				require.NoError(t, <-read, "reading goes on")
				require.Equal(t, "next", v)
			})
		})
	}
}

func TestReadJSONFails(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := scripted(t, overPipe, server, Options{ReadLimit: 10})
		var v any
		read := soon(func() error { return c.ReadJSON(&v) })
		peer.Send(text(`"longer than ten"`))
		peer.ExpectClose(CloseMessageTooBig)
		require.Equal(t, ErrReadLimit, <-read)
		require.Equal(t, ErrReadLimit, c.ReadJSON(&v))
		require.Nil(t, v)
	})
}
