package websocket

import "time"

// Stats are what a connection has carried so far. Sizes are in bytes.
type Stats struct {
	MessagesRead    int64 // messages that were received to their end
	MessagesWritten int64 // messages that were accepted for sending, fragments not counted by themselves
	PayloadRead     int64 // payload of messages received, after decompression
	PayloadWritten  int64 // payload of messages accepted, before compression
	WireRead        int64 // what the network connection has brought, with headers and control frames
	WireWritten     int64 // what the network connection has taken
	Queued          int   // accepted and not yet taken by the network connection, frame headers included
	Dropped         int64 // messages for which the queue had no room: of TryWriteMessage, TryWritePreparedMessage and Group.Broadcast

	// RTT is the time from the last Ping that was answered to its pong, 0 before.
	RTT time.Duration
}

// Stats returns what the connection has carried so far. It may be called at any time,
// also after the end. Of several messages that arrived together some may not be
// counted as read before all are.
func (c *Conn) Stats() Stats {
	var s Stats
	s.MessagesRead, s.PayloadRead, s.WireRead = c.r.stats()
	w, queued, dropped := c.w.statistics()
	s.MessagesWritten, s.PayloadWritten = w.messages, w.payload
	s.WireWritten = c.w.wire.Load()
	s.Queued, s.Dropped = queued, dropped
	c.line.amend(&s)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.extras != nil {
		s.RTT = c.extras.rtt
	}
	return s
}
