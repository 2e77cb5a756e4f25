package websocket

// PreparedMessage is a message that is sent to many connections. It is encoded
// once where that can be: for servers, whose frames bear no masking key. A client
// masks each sending with a fresh key. It may be used concurrently.
type PreparedMessage struct {
	messageType int
	data        []byte
	frame       []byte // as a server sends it
}

// NewPreparedMessage returns a message of the type with a copy of data.
func NewPreparedMessage(messageType int, data []byte) (*PreparedMessage, error) {
	if err := checkOutgoing(messageType, len(data)); err != nil {
		return nil, err
	}
	h := FrameHeader{Fin: true, Opcode: messageType, Length: int64(len(data))}
	frame := h.Append(make([]byte, 0, maxHeader+len(data)))
	header := len(frame)
	frame = append(frame, data...)
	return &PreparedMessage{messageType: messageType, data: frame[header:], frame: frame}, nil
}

// WritePreparedMessage sends a prepared message. It is otherwise as WriteMessage.
func (c *Conn) WritePreparedMessage(pm *PreparedMessage) error {
	if c.negotiated.Server {
		return c.w.prepared(pm.messageType, pm.frame)
	}
	return c.WriteMessage(pm.messageType, pm.data)
}
