package websocket

import (
	"context"
	"errors"
	"iter"
	"time"
)

// Message is a message as loops hand it out.
type Message struct {
	Type int    // TextMessage or BinaryMessage
	Data []byte // the payload; valid until the loop or the handler moves on
}

// Messages returns an iterator over the messages that come. It ends silently
// when the peer closes the connection with CloseNormalClosure or CloseGoingAway;
// any other error of ReadMessageContext is handed out once, with a zero Message,
// and ends it. Breaking off leaves the connection open. The Data of a message is
// valid until the next one is asked for.
//
//	for m, err := range c.Messages(ctx) {
//		if err != nil {
//			return err
//		}
//		...
//	}
func (c *Conn) Messages(ctx context.Context) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		for {
			messageType, lent, err := c.readPooled(ctx)
			if err != nil {
				lent.giveBack()
				// Half a message is a loss, whatever the close code.
				if messageType != 0 || !IsCloseError(err, CloseNormalClosure, CloseGoingAway) {
					yield(Message{}, err)
				}
				return
			}
			more := yield(Message{Type: messageType, Data: lent.b}, nil)
			lent.giveBack()
			if !more {
				return
			}
		}
	}
}

// readPooled is ReadMessageContext into memory that it borrows for it. The type
// is 0 if the message did not begin.
func (c *Conn) readPooled(ctx context.Context) (messageType int, lent *buffer, err error) {
	err = c.read(ctx, func() (err error) {
		c.supersede()
		messageType, lent, err = c.r.pooledMessage(c.wholeLimit())
		return err
	})
	return messageType, lent, err
}

// Serve reads messages and calls handle with each, on this goroutine, until the
// connection or ctx ends or handle returns an error. Then it takes leave of the
// peer and closes the connection. m.Data is lent to handle until it returns.
// Handle may write to the connection, and Close or Shutdown it; reading from it
// inside handle blocks for ever.
//
// While another message lies in the read buffer, messages of less than 16 KiB that
// anybody writes are held and go out together: when the buffer is used up, 16 KiB are
// held, about 100 µs have passed at the next message, or 1 ms within handle, and at
// Flush, a control frame, Close, or the end of Serve. With no message waiting, a write
// goes out at once.
//
// Serve returns nil when the peer closed the connection with CloseNormalClosure
// or CloseGoingAway, or when it was ended from here by Close or by a Shutdown that
// the peer answered; the error of handle; context.Cause(ctx); or the error of
// ReadMessage.
//
// The close frame that it sends, unless one was sent before: CloseGoingAway when
// ctx ended; the code and text of a *CloseError and the code of a *ProtocolError
// that handle returned (or CloseInternalServerErr if the code may not be sent);
// CloseInternalServerErr, with no reason, for other errors of handle, and when it
// panics.
func (c *Conn) Serve(ctx context.Context, handle func(m Message) error) error {
	outcome := errPanicked
	defer func() { c.farewell(outcome) }()
	err, outcome := c.serve(ctx, handle)
	return err
}

// errPanicked stands for a panic of the program where the peer is told why the
// connection ends.
var errPanicked = errors.New("websocket: handler panicked")

// serve is Serve without the farewell. It returns what Serve returns, and the
// outcome that the peer is told of.
func (c *Conn) serve(ctx context.Context, handle func(m Message) error) (err, outcome error) {
	if err := c.readTurn.take(ctx, begin, time.Time{}); err != nil {
		return c.loopEnd(ctx, err, false)
	}
	defer c.readTurn.release()
	defer c.interruptible(ctx)()
	return c.loop(ctx, handle)
}

// loop hands one message after the other to handle, until an end comes. A hasty
// reader makes it return errDry when no message is there. The caller has the read
// turn.
func (c *Conn) loop(ctx context.Context, handle func(m Message) error) (err, outcome error) {
	defer c.w.hold(false)
	for {
		c.supersede()
		messageType, p, lent, err := c.r.lendMessage(c.wholeLimit())
		if err == errDry {
			return err, nil
		}
		if err != nil {
			lent.giveBack()
			return c.loopEnd(ctx, c.judge(ctx, err), messageType != 0)
		}
		// While the next message is here already, writes go out together with the next.
		c.w.hold(c.r.buffered())
		err = c.handle(func() error { return handle(Message{Type: messageType, Data: p}) })
		lent.giveBack()
		if err != nil {
			return err, told(ctx, err)
		}
		// More messages may lie in the buffer.
		if dead := c.killed(); dead != nil {
			return c.loopEnd(ctx, c.judge(ctx, dead), false)
		}
		if ctx.Err() != nil {
			return c.loopEnd(ctx, context.Cause(ctx), false)
		}
	}
}

// loopEnd sorts the ways in which reading ends. within says that it ended in the
// middle of a message, which is a loss whatever the peer's close code. The caller
// has, or had, the read turn.
func (c *Conn) loopEnd(ctx context.Context, err error, within bool) (_, outcome error) {
	switch {
	case IsCloseError(err, CloseNormalClosure, CloseGoingAway) && !within:
		return nil, nil
	case closedByPeer(err) && c.closedFirst, errors.Is(err, errClosed):
		return nil, nil // the program ended it
	}
	return err, told(ctx, err)
}

// told returns what the peer is to be told of the outcome of serving it under
// ctx. That something within a handler took too long is not the end of ctx.
func told(ctx context.Context, err error) error {
	var (
		closed *CloseError
		broken *ProtocolError
	)
	switch {
	case err == nil, errors.As(err, &closed), errors.As(err, &broken):
		return err
	case ctx.Err() != nil:
		return &CloseError{Code: CloseGoingAway}
	}
	return &CloseError{Code: CloseInternalServerErr}
}
