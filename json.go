package websocket

import (
	"bytes"
	"encoding/json"
	"io"
	"sync"
)

// WriteJSON sends v in JSON, as json.Encoder writes it with its line feed, as a
// text message of one frame. If v can't be encoded nothing is sent. The other
// errors are those of WriteMessage.
func (c *Conn) WriteJSON(v any) error {
	buf := jsonBuffers.Get().(*bytes.Buffer)
	defer putJSONBuffer(buf)
	if err := json.NewEncoder(buf).Encode(v); err != nil {
		return err
	}
	return c.WriteMessage(TextMessage, buf.Bytes())
}

// ReadJSON reads the next message, of either type, and decodes the JSON value at
// its beginning into v; what follows the value is ignored. An empty message is
// io.ErrUnexpectedEOF. The other errors are those of encoding/json, after which
// reading may go on, and of ReadMessage.
func (c *Conn) ReadJSON(v any) error {
	_, p, err := c.ReadMessage()
	if err != nil {
		return err
	}
	err = json.NewDecoder(bytes.NewReader(p)).Decode(v)
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// WriteJSON sends v in JSON.
//
// Deprecated: Use c.WriteJSON.
func WriteJSON(c *Conn, v any) error { return c.WriteJSON(v) }

// ReadJSON reads the next message as JSON into v.
//
// Deprecated: Use c.ReadJSON.
func ReadJSON(c *Conn, v any) error { return c.ReadJSON(v) }

var jsonBuffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func putJSONBuffer(buf *bytes.Buffer) {
	if buf.Cap() <= maxPooled {
		buf.Reset()
		jsonBuffers.Put(buf)
	}
}
