package main

import (
	"context"
	"encoding/json"

	"github.com/duplexkit/websocket"
)

// Typed messages take no more than this. Copy it.

// Send sends v in JSON, as a text message.
func Send[T any](c *websocket.Conn, v T) error {
	p, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return c.WriteMessage(websocket.TextMessage, p)
}

// Receive waits for the next message and decodes it. If it does not decode, as if ctx ends
// while none comes, the connection is as well as before.
func Receive[T any](ctx context.Context, c *websocket.Conn) (v T, err error) {
	_, p, err := c.ReadMessageContext(ctx, nil)
	if err != nil {
		return v, err
	}
	return v, json.Unmarshal(p, &v)
}
