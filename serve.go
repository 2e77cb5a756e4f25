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
// or CloseGoingAway, or when it was ended from here by Close, or by a Shutdown that
// the peer answered or whose close frame could not be sent; the error of handle;
// context.Cause(ctx); or the error of ReadMessage. After a write that failed for
// good, with nobody there to take it to heart, messages go on for no longer than
// Options.CloseTimeout, and then that is the error.
//
// The close frame that it sends, unless one was sent before: CloseGoingAway when
// ctx ended; the code and text of a *CloseError and the code of a *ProtocolError
// that handle returned (or CloseInternalServerErr if the code may not be sent);
// CloseInternalServerErr, with no reason, for other errors of handle, for those of
// reading that are not the peer's fault, and when handle panics. A peer that ended its
// side without a close frame is sent none.
func (c *Conn) Serve(ctx context.Context, handle func(m Message) error) error {
	l := newLoop(c, ctx, handle)
	l.serve()
	return l.err
}

// errPanicked stands for a panic of the program where the peer is told why the
// connection ends.
var errPanicked = errors.New("websocket: handler panicked")

// A messageLoop hands the messages that come to a handler. Its state is not on the stack,
// for a stack is most of what a Serve costs that waits: it has 2 KiB at first, and
// whoever needs more once keeps twice as much for good.
type messageLoop struct {
	c       *Conn
	ctx     context.Context
	handler func(m Message) error
	stop    func() // ends that ctx interrupts reads

	m    Message // at hand
	lent *buffer // the memory of m, nil if that lies where it was received

	err     error // what Serve returns, once it is over
	outcome error // what the peer is told then
}

//go:noinline
func newLoop(c *Conn, ctx context.Context, handle func(m Message) error) *messageLoop {
	return &messageLoop{c: c, ctx: ctx, handler: handle, outcome: errPanicked}
}

// serve is Serve.
func (l *messageLoop) serve() {
	defer l.finish()
	if l.begin() {
		for l.next() && l.hand() && l.goesOn() {
		}
	}
}

// begin takes the read turn.
func (l *messageLoop) begin() bool {
	if err := l.c.readTurn.take(l.ctx, begin, time.Time{}); err != nil {
		l.end(err, false)
		return false
	}
	l.stop = l.c.interruptible(l.ctx)
	return true
}

// finish hands the read turn on and takes leave of the peer.
func (l *messageLoop) finish() {
	if l.stop != nil {
		l.c.w.hold(false)
		l.stop()
		l.c.readTurn.release()
	}
	l.c.farewell(l.outcome)
}

// next reads the next message, and reports whether there was one.
func (l *messageLoop) next() bool {
	c := l.c
	c.supersede()
	if err := c.r.arrive(); err != nil {
		l.failed(0, err)
		return false
	}
	messageType, p, lent, err := c.r.lendMessage(c.wholeLimit())
	if err != nil {
		lent.giveBack()
		l.failed(messageType, err)
		return false
	}
	l.m, l.lent = Message{Type: messageType, Data: p}, lent
	// While the next message is here already, writes go out together with the next.
	c.w.hold(c.r.buffered())
	return true
}

func (l *messageLoop) failed(messageType int, err error) {
	if err == errDry {
		l.err = err
		return
	}
	l.end(l.c.judge(l.ctx, err), messageType != 0)
}

// hand hands the message to the handler, and reports whether that wants more.
func (l *messageLoop) hand() bool {
	l.c.handling.Store(true)
	defer l.handled()
	if err := l.handler(l.m); err != nil {
		l.err, l.outcome = err, told(l.ctx, err)
		return false
	}
	return true
}

func (l *messageLoop) handled() {
	l.c.handled()
	l.lent.giveBack()
	l.m, l.lent = Message{}, nil
}

// goesOn reports whether nothing has ended the loop while the handler was at work:
// more messages may lie in the buffer.
func (l *messageLoop) goesOn() bool {
	if dead := l.c.killed(); dead != nil {
		l.end(l.c.judge(l.ctx, dead), false)
		return false
	}
	if l.ctx.Err() != nil {
		l.end(context.Cause(l.ctx), false)
		return false
	}
	return true
}

// end ends the loop with the error that reading ended with, as loopEnd has it.
func (l *messageLoop) end(err error, within bool) {
	l.err, l.outcome = l.c.loopEnd(l.ctx, err, within)
}

// loopEnd sorts the ways in which reading ends. within says that it ended in the
// middle of a message, which is a loss whatever the peer's close code. The caller
// has, or had, the read turn.
func (c *Conn) loopEnd(ctx context.Context, err error, within bool) (result, outcome error) {
	switch {
	case IsCloseError(err, CloseNormalClosure, CloseGoingAway) && !within:
		return nil, nil
	case closedByPeer(err) && c.closedFirst(), errors.Is(err, errClosed):
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
