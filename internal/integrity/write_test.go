package integrity

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"time"

	"github.com/duplexkit/websocket"
)

// writeQueue is Options.WriteQueue in these tests: little enough to be full at times, and more than the largest message.
const writeQueue = 128 << 10

// A sender is what a writing goroutine has.
type sender struct {
	c      *websocket.Conn
	rnd    *rand.Rand
	group  *websocket.Group // what writeGroup broadcasts to
	queued int              // bytes it may have queued
}

// A writing is a way to send a message.
type writing struct {
	name  string
	kind  kind // of the messages it can send
	write func(s *sender, messageType int, p []byte) error
}

var (
	writeMessage        = writing{"WriteMessage", mixed, (*sender).message}
	writeMessageContext = writing{"WriteMessageContext", mixed, (*sender).messageContext}
	nextWriter          = writing{"NextWriter", mixed, (*sender).pieces}
	writePrepared       = writing{"WritePreparedMessage", mixed, (*sender).prepared}
	tryWriteMessage     = writing{"TryWriteMessage", mixed, (*sender).try}
	tryWritePrepared    = writing{"TryWritePreparedMessage", mixed, (*sender).tryPrepared}
	writeJSON           = writing{"WriteJSON", jsonText, (*sender).json}
	streamWrite         = writing{"Stream.Write", onlyBinary, (*sender).stream}
	groupBroadcast      = writing{"Group.Broadcast", mixed, (*sender).broadcast}
)

func (s *sender) message(messageType int, p []byte) error { return s.c.WriteMessage(messageType, p) }

func (s *sender) messageContext(messageType int, p []byte) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel() // after the message, which it must not touch
	return s.c.WriteMessageContext(ctx, messageType, p)
}

// pieces writes a message by NextWriter, in Writes of many sizes or with what else a writer has, and control frames between them.
func (s *sender) pieces(messageType int, p []byte) error {
	w, err := s.c.NextWriter(messageType)
	if err != nil {
		return err
	}
	switch s.rnd.IntN(8) {
	case 0:
		text := string(p)
		_, err = io.WriteString(w, text)
	case 1:
		_, err = io.Copy(w, struct{ io.Reader }{bytes.NewReader(p)})
	case 2:
		_, err = bytes.NewReader(p).WriteTo(w)
	default:
		err = s.chunks(w, p)
	}
	return errors.Join(err, w.Close())
}

func (s *sender) chunks(w io.Writer, p []byte) error {
	size := []int{1, 7, 125, 126, 1000, 4096, 16 << 10, 1 << 20}[s.rnd.IntN(8)]
	for i := 0; len(p) > 0; i++ {
		if i == 300 { // small ones have been tried enough
			size = max(size, 4097)
		}
		n := min(size, len(p))
		if _, err := w.Write(p[:n]); err != nil {
			return err
		}
		if p = p[n:]; i == 3 {
			if err := s.c.WriteControl(websocket.PingMessage, []byte("between fragments"), time.Time{}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *sender) prepared(messageType int, p []byte) error {
	pm, err := websocket.NewPreparedMessage(messageType, p)
	if err != nil {
		return err
	}
	return s.c.WritePreparedMessage(pm)
}

func (s *sender) try(messageType int, p []byte) error {
	return s.retry(func() error { return s.c.TryWriteMessage(messageType, p) })
}

func (s *sender) tryPrepared(messageType int, p []byte) error {
	pm, err := websocket.NewPreparedMessage(messageType, p)
	if err != nil {
		return err
	}
	return s.retry(func() error { return s.c.TryWritePreparedMessage(pm) })
}

// retry waits for the queue to empty whenever it is full.
func (s *sender) retry(try func() error) error {
	for {
		err := try()
		if !errors.Is(err, websocket.ErrWriteQueueFull) {
			return err
		}
		if err := s.c.Flush(); err != nil {
			return err
		}
	}
}

func (s *sender) json(_ int, p []byte) error {
	if p[0] != '"' {
		return s.c.WriteJSON(int(p[0] - '0'))
	}
	return s.c.WriteJSON(string(unquote(p)))
}

func (s *sender) stream(messageType int, p []byte) error {
	_, err := s.c.Stream(messageType).Write(p)
	return err
}

// broadcast sends to the whole group, and waits for its queues to empty before they can be full: what finds no room is dropped.
func (s *sender) broadcast(messageType int, p []byte) error {
	pm, err := websocket.NewPreparedMessage(messageType, p)
	if err != nil {
		return err
	}
	if need := len(p) + 16; s.queued+need > writeQueue {
		for c := range s.group.All() {
			if err := c.Flush(); err != nil {
				return err
			}
		}
		s.queued = need
	} else {
		s.queued += need
	}
	s.group.Broadcast(pm)
	return nil
}
