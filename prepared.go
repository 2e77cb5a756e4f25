package websocket

import "sync"

// PreparedMessage is a message that is sent to many connections. It is encoded once
// for each way in which they want it: as it is, and compressed for each window size
// and level in use. A compressed one refers to no earlier message, also on
// connections with context takeover: a small one is often twice as large then as
// WriteMessage would make it, and costs hardly any time. A client masks each sending
// with a fresh key. It may be used concurrently.
type PreparedMessage struct {
	messageType int
	plain       *encoding

	mu       sync.Mutex
	deflated map[form]*encoding // nil for a form that is no smaller
}

// NewPreparedMessage returns a message of the type with a copy of data.
func NewPreparedMessage(messageType int, data []byte) (*PreparedMessage, error) {
	if err := checkOutgoing(messageType, len(data)); err != nil {
		return nil, err
	}
	return &PreparedMessage{
		messageType: messageType,
		plain:       encode(FrameHeader{Fin: true, Opcode: messageType}, data),
	}, nil
}

// encoded returns the message in a compressed form, or nil if that is no smaller.
func (pm *PreparedMessage) encoded(f form) *encoding {
	pm.mu.Lock()
	defer pm.mu.Unlock()
	e, ok := pm.deflated[f]
	if ok {
		return e
	}
	p := pm.plain.payload()
	buf := borrowFor(len(p))
	defer buf.giveBack()
	if out, ok := f.message(buf.b, p); ok {
		e = encode(FrameHeader{Fin: true, RSV1: true, Opcode: pm.messageType}, out)
		buf.b = out[:0]
	}
	if pm.deflated == nil {
		pm.deflated = make(map[form]*encoding)
	}
	pm.deflated[f] = e
	return e
}

// WritePreparedMessage sends a prepared message. It is otherwise as WriteMessage.
func (c *Conn) WritePreparedMessage(pm *PreparedMessage) error {
	if err := c.line.refuses(pm.messageType, pm.plain.payload()); err != nil {
		return err
	}
	return c.w.prepared(c.w.outgoingPrepared(pm.messageType, pm.plain, pm.encoded))
}
