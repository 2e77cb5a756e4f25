package websocket

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"reflect"
	"runtime"
	"slices"
	"time"
)

// How a connection ends. A read or a write fails, the program calls Close or
// Shutdown, a Serve loop or a handler returns: all of it comes together here.
//
//	peer's close frame ──┐
//	peer broke a rule ───┤ readFailed ─▶ our close frame ─┐
//	Shutdown, WriteControl ─────────────▶ our close frame ─┤ lingerIfDone ─▶ lingerer ─▶ network closed
//	Close, silence, a context's end ────────────────────────────────────────────────▶ network closed

const (
	closePatience = time.Second // how long Close waits to send what we owe the peer, and reading goes on that cannot be answered
	readerGrace   = time.Second // how long Shutdown leaves a message to whoever may come to read it
)

// errClosed is the end of a connection on which Close was called.
var errClosed = fmt.Errorf("websocket: %w", net.ErrClosed)

const (
	errCloseTimeout = timeoutError("closing handshake timed out")
	errSilent       = timeoutError("peer did not answer a ping in time")
)

// An ending is the state of a connection that comes to its end. The Conn's mu guards
// it.
type ending struct {
	cause    error       // why it does, nil while it is only about to
	dead     error       // why we closed the network connection, or are about to; nil if we did not
	peers    *CloseError // the peer's close frame, nil before it comes
	peerDone bool        // nothing that the peer says counts any more: the reading side has ended
	vanished bool        // and that because the peer ended its side without a close frame
	closed   bool        // the program has called Close, or a Shutdown of its own has

	closedFirst bool        // we had begun to close when the peer's close frame came
	lingering   bool        // a lingerer has the network connection, or nobody will
	drop        *time.Timer // closes the network connection if the closing handshake takes too long
	dropTime    time.Time   // when drop does

	// settled is closed when it is known what was dropped, nil unless we closed the
	// connection before the program did.
	settled chan struct{}
}

// endLocked returns the ending, which begins with this if it has not. The caller
// has mu.
func (c *Conn) endLocked() *ending {
	if c.end == nil {
		c.end = new(ending)
	}
	return c.end
}

// over notes the first error that a direction can't recover from, and who is behind it.
func (c *Conn) over(cause error, by Ender) {
	c.mu.Lock()
	end := c.endLocked()
	first := end.cause == nil
	if by == EndedByPeer && (end.closedFirst || end.peers == nil) { // a handler's error may look like a close frame
		by = EndedByUs
	}
	peers := end.peers
	if first {
		end.cause = cause
	}
	if x := c.extras; x != nil {
		for _, g := range x.groups { // whoever comes here after us finds them left
			g.remove(c)
		}
		x.groups = nil
		if first && x.ctx != nil {
			defer c.endContext(x.cancel, cause)
		}
	}
	c.mu.Unlock()
	if first {
		c.tracer().closed(by, peers, cause)
	}
	c.idle.stop()
}

// endContext ends the Conn's context. An HTTP handler may wait for that before it
// returns, and with its return the memory beneath a server's stream goes to another: so
// that context ends when nobody uses the stream any more, which is soon.
func (c *Conn) endContext(cancel context.CancelCauseFunc, cause error) {
	x, ok := c.line.nc.(*exchange)
	if !ok || !c.w.server {
		cancel(cause)
		return
	}
	patience := closePatience // somebody may want to say why
	switch {
	case errors.Is(cause, os.ErrDeadlineExceeded):
		patience = 0 // the program may try again, until the context tells that it need not
	case c.w.owing():
		patience = c.closeTimeout.duration()
	}
	c.dropAfter(patience, cause)
	go func() {
		x.wait()
		cancel(cause)
	}()
}

// errSlow is why a connection ends whose peer does not keep up with broadcasts.
var errSlow = fmt.Errorf("websocket: peer reads too slowly: %w", ErrWriteQueueFull)

// closeSlow drops what is queued and takes leave of a peer that does not read.
func (c *Conn) closeSlow() {
	c.over(errSlow, EndedByUs)
	c.w.discard(errSlow)
	go func() {
		ctx, cancel := context.WithTimeoutCause(context.Background(), slowTime, errSlow)
		defer cancel()
		_ = c.Shutdown(ctx, CloseTryAgainLater, "") // nobody is there to be told
	}()
}

// onCloseSent is called when our close frame was sent.
func (c *Conn) onCloseSent() { c.lingerIfDone() }

// onWriteFailed is called when nothing can be sent any more. What the peer has sent
// is still read, but not for long: who is served and cannot be answered, nor told that
// this is the end, would wait in vain, and a peer that reads nothing has cost enough.
func (c *Conn) onWriteFailed(err error) {
	by := EndedByNetwork
	if c.w.calledOff { // who is here has the turn, and no other may write any more
		by = EndedByUs
	}
	c.over(err, by)
	patience := min(c.closeTimeout.duration(), closePatience)
	c.mu.Lock()
	if c.endLocked().peerDone {
		patience = 0 // there is nothing to read either
	}
	c.mu.Unlock()
	c.dropAfter(patience, fmt.Errorf("websocket: writing has failed: %w", err))
}

// killed returns why we closed the network connection, nil if we did not.
func (c *Conn) killed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.end == nil {
		return nil
	}
	return c.end.dead
}

// kill closes the network connection, without a close frame.
func (c *Conn) kill(cause error) {
	c.mu.Lock()
	end := c.endLocked()
	if end.dead == nil {
		end.dead = cause
		if !end.closed {
			end.settled = make(chan struct{})
			defer close(end.settled)
		}
	}
	cause = end.dead // of two who come here at once both give the same one
	end.lingering = true
	if end.drop != nil {
		end.drop.Stop()
	}
	c.mu.Unlock()
	c.over(cause, EndedByNetwork)
	c.keepalive.stop()
	_ = c.readTurn.end(cause) // it is for the reader to say what stays
	c.w.stop(cause)
	_ = c.readDeadline.closeNet() // nobody is left to tell
}

// readFailed ends the reading side. It returns the error that later reads return
// too. The caller has the read turn.
func (c *Conn) readFailed(err error) error {
	if dead := c.killed(); dead != nil {
		err = dead // what the network says of it is of no interest
	}
	err = c.readTurn.end(err) // Close may have come before us, and later reads say so
	c.r.err = err
	c.r.letGo()

	// "the endpoint SHOULD send a Close frame with an appropriate status code
	// before proceeding to _Close the WebSocket Connection_" (section 7.1.7)
	var broken *ProtocolError
	by := EndedByNetwork
	if errors.As(err, &broken) {
		by = EndedByRule
		c.w.reply(CloseMessage, FormatCloseMessage(broken.Code, cutReason(broken.Reason)))
	} else if errors.Is(err, ErrReadLimit) {
		by = EndedByRule
		c.w.reply(CloseMessage, FormatCloseMessage(CloseMessageTooBig, ""))
	}
	switch {
	case c.r.in.closed:
		by = EndedByPeer
	case c.calledOff:
		by = EndedByUs
	}

	c.mu.Lock()
	end := c.endLocked()
	end.peerDone = true
	end.vanished = IsCloseError(err, CloseAbnormalClosure)
	c.mu.Unlock()
	c.over(err, by)
	if c.w.owing() {
		c.dropAfter(c.closeTimeout.duration(), err)
	}
	c.keepalive.stop()
	c.lingerIfDone()
	return err
}

// Close closes the connection without a closing handshake. Messages that were
// accepted and not sent yet, and what we owe the peer by the protocol, a pong or the
// answer to its close frame, are still sent if that takes no longer than a second
// and the write deadline allows it. Reads and writes in progress return an error that
// matches net.ErrClosed. Another Close does nothing.
//
// If accepted messages had to be dropped, Close returns the reason.
//
// Shutdown takes leave of the peer first.
func (c *Conn) Close() error { return c.close(true) }

// close is Close. told says that the program gets to know what was dropped; if not, its
// own Close will tell.
func (c *Conn) close(told bool) error {
	c.mu.Lock()
	end := c.endLocked()
	again := end.closed
	end.closed = again || told
	if end.dead != nil {
		settled := end.settled
		c.mu.Unlock()
		if again || !told {
			return nil
		}
		if settled != nil {
			<-settled
		}
		return c.w.dropped() // we have closed it, and the program does not know yet what that cost
	}
	end.dead = errClosed
	if !told && !again {
		end.settled = make(chan struct{})
		defer close(end.settled)
	}
	if end.drop != nil {
		end.drop.Stop()
	}
	c.mu.Unlock()

	c.over(errClosed, EndedByUs)
	c.keepalive.stop()
	_ = c.readTurn.end(errClosed) // as in kill
	if _, final := c.line.nc.(*exchange); c.w.owing() && !final {
		// Readers do not wait for it. Those of an HTTP stream do, a second at most: to call
		// them off would end the stream under what is to be sent.
		c.readDeadline.takeOver(longAgo)
	}
	lost := c.w.settle(errClosed, time.Now().Add(closePatience))

	c.mu.Lock()
	lingering := end.lingering
	c.mu.Unlock()
	if lingering {
		return lost
	}
	if err := c.readDeadline.closeNet(); lost == nil {
		return err
	}
	return lost
}

// Shutdown performs the closing handshake (RFC 6455, section 7.1.2) and closes
// the connection: it sends a close frame with the code and the reason, waits for
// the peer's, and calls Close. It takes no longer than ctx allows or, where ctx
// has no deadline, Options.CloseTimeout; then the connection is dropped and the
// error is context.Cause(ctx), or one that matches os.ErrDeadlineExceeded.
//
// Code 0 is CloseNormalClosure. A code that may not be sent (1004, 1005, 1006,
// 1015, and those that RFC 6455, section 7.4 leaves undefined) is an error, and
// nothing happens. A reason of more than 123 bytes is shortened, and what is not
// UTF-8 in it is replaced by U+FFFD.
//
// If somebody is reading, messages still go to them until the peer's close frame
// comes. A message that nobody comes to read within a second is discarded, and so
// are those behind it. Within a handler of Serve or of a control frame, Shutdown
// sends the close frame and returns nil at once, for only the reader, which waits
// for the handler, can see the answer; the reader finishes the handshake, in
// Options.CloseTimeout. So does a Shutdown of one connection within a handler of
// another, if a handler of the first is running. A handler that has another
// goroutine call Shutdown must not wait for it.
func (c *Conn) Shutdown(ctx context.Context, code int, reason string) error {
	return c.shutdown(ctx, code, reason, false)
}

// shutdown is Shutdown. For a loop that has ended messages are discarded at once, and
// nobody is told of the outcome.
func (c *Conn) shutdown(ctx context.Context, code int, reason string, loop bool) error {
	if code == 0 {
		code = CloseNormalClosure
	}
	if !validCloseCode(code) {
		return fmt.Errorf("websocket: close code %d may not be sent", code)
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, c.closeTimeout.duration(), errCloseTimeout)
		defer cancel()
	}
	drop := func() {
		c.kill(fmt.Errorf("websocket: closing handshake broken off: %w (%w)", context.Cause(ctx), net.ErrClosed))
	}
	stop := context.AfterFunc(ctx, drop)
	defer stop()

	payload := FormatCloseMessage(code, cutReason(reason))
	withheld := c.line.refuses(CloseMessage, payload)
	if withheld != nil { // by a browser, which closes without it
		payload = nil
	}
	c.leaving.Store(true) // before the peer can answer
	say := func() error {
		err := c.w.control(ctx, CloseMessage, payload, time.Time{})
		if errors.Is(err, ErrCloseSent) {
			return nil
		}
		return err
	}
	if c.handling.Load() && insideHandler() {
		c.leftToReader.Store(true)
		if !c.handling.Load() { // it was the handler of another connection, and has not seen this
			c.dropAfter(c.closeTimeout.duration(), errCloseTimeout)
		}
		err := say()
		if err != nil {
			_ = c.close(!loop) // the error to report is the one before
			return err
		}
		return withheld
	}
	// The peer may be writing too, and read nothing before we do.
	said := make(chan error, 1)
	go func() {
		err := say()
		if err != nil && ctx.Err() == nil {
			_ = c.close(!loop) // as above
		}
		said <- err
	}()
	err := c.awaitClose(ctx, loop)
	if unsaid := <-said; unsaid != nil {
		err = unsaid
	}
	switch {
	case closedByPeer(err):
		c.over(err, EndedByPeer) // before the reader comes to say it, if it is another
		if err := c.close(!loop); err != nil {
			return err
		}
		return withheld
	case ctx.Err() != nil:
		drop()
		return context.Cause(ctx)
	}
	_ = c.close(!loop) // as above
	return err
}

// insideHandler reports whether the calling goroutine is in a handler, and so a
// reader that can't go on before its caller does. The stack tells, for a goroutine
// has no name: it is looked at only while a handler of this connection runs, and
// finds it, or in its place that of another connection which is being closed
// from there.
func insideHandler() bool {
	var pcs [64]uintptr
	for skip := 0; ; skip += len(pcs) {
		n := runtime.Callers(skip, pcs[:])
		frames := runtime.CallersFrames(pcs[:n])
		for more := n > 0; more; {
			var frame runtime.Frame
			frame, more = frames.Next()
			if slices.Contains(handleNames[:], frame.Function) {
				return true
			}
		}
		if n < len(pcs) {
			return false
		}
	}
}

// handleNames is what a stack calls the methods that call handlers.
var handleNames [2]string

func init() {
	for i, f := range []any{(*Conn).handle, (*messageLoop).hand} {
		handleNames[i] = runtime.FuncForPC(reflect.ValueOf(f).Pointer()).Name()
	}
}

// awaitClose waits for the peer's close frame and returns the error that reading
// ends with. A message that comes first is left to whoever reads. When nobody
// has come for it in a while, or if we need not wait for anybody, it is
// discarded, and so are all that follow.
func (c *Conn) awaitClose(ctx context.Context, discard bool) error {
	for !discard {
		var reader <-chan struct{}
		err := c.readFor(ctx, control, func() (err error) {
			c.readDeadline.suspend() // what the program set, and may have passed, is for its reads
			defer c.readDeadline.resume()
			reader = c.readTurn.nextBegin()
			if c.r.in.message == 0 {
				_, _, err = c.r.await()
			}
			return err
		})
		if err != nil {
			return err
		}
		select {
		case <-reader:
		case <-time.After(readerGrace):
			discard = true
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return c.readFor(ctx, control, func() error {
		c.readDeadline.takeOver(time.Time{})
		c.supersede()
		for {
			if _, err := c.r.next(-1); err != nil {
				return err
			}
		}
	})
}

// closedFirst reports whether we had begun to close when the peer's close frame came.
func (c *Conn) closedFirst() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.end != nil && c.end.closedFirst
}

// closedByPeer reports whether the peer's close frame came.
func closedByPeer(err error) bool {
	var e *CloseError
	return errors.As(err, &e) && e.Code != CloseAbnormalClosure
}

// farewell closes the connection in the way that the outcome of serving it calls
// for. No second close frame is sent.
func (c *Conn) farewell(err error) {
	var (
		closed *CloseError
		broken *ProtocolError
		code   = CloseInternalServerErr
		reason string
	)
	switch {
	case err == nil:
		code = CloseNormalClosure
	case errors.As(err, &closed):
		reason = closed.Text
		if validCloseCode(closed.Code) {
			code = closed.Code
		}
	case errors.As(err, &broken):
		if validCloseCode(broken.Code) {
			code = broken.Code
		}
	}
	if c.peerVanished() { // nobody is there to be told
		_ = c.close(false) // the outcome is err
		return
	}
	ctx := context.Background()
	if err == errPanicked { // and the panic waits for us
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, min(closePatience, c.closeTimeout.duration()))
		defer cancel()
	}
	// The outcome is err; whether the peer gets to hear of it is its affair.
	_ = c.shutdown(ctx, code, reason, true)
	_ = c.close(false)
}

// peerVanished reports whether reading has ended since the peer did without a close
// frame.
func (c *Conn) peerVanished() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.end != nil && c.end.vanished
}

// dropAfter has the network connection closed, for this cause, if the closing
// handshake takes longer than that from here on. Of several the shortest counts.
func (c *Conn) dropAfter(patience time.Duration, cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	end := c.endLocked()
	due := time.Now().Add(patience)
	if end.lingering || end.dead != nil || end.drop != nil && !due.Before(end.dropTime) {
		return
	}
	if end.drop != nil {
		end.drop.Stop()
	}
	end.drop = time.AfterFunc(patience, func() { c.kill(cause) })
	end.dropTime = due
}

// lingerIfDone hands the network connection over to linger when both ends have
// said their last words.
func (c *Conn) lingerIfDone() {
	c.mu.Lock()
	defer c.mu.Unlock()
	end := c.end
	if end == nil || !end.peerDone || end.lingering || !c.w.closeSent() {
		return
	}
	end.lingering = true
	if end.drop != nil {
		end.drop.Stop()
	}
	c.readDeadline.takeOver(time.Time{}) // the lingerer sets its own

	// "The server MUST close the underlying TCP connection immediately; the client
	// SHOULD wait for the server to close the connection" (section 5.5.1), so that
	// the server holds the TIME_WAIT state (section 7.1.1).
	l := &lingerer{nc: c.line.nc, quiet: c.r.in.closed}
	if !c.w.server && l.quiet {
		l.start(c.closeTimeout.duration())
		return
	}
	l.end = true
	l.start(lingerTime)
}
