package websocket

import (
	"context"
	"os"
	"slices"
	"sync"
	"time"
)

// A turn is the right to use one direction of a connection. Turns are given in
// the order of asking and can be waited for with a deadline or a context. While
// a message lies open on the wire, half sent, those who would begin another
// stand back for those who would not.
//
// The mutex is never held during I/O. A writer encodes what it queues under it.
type turn struct {
	mu    sync.Mutex
	taken bool   // somebody has the turn
	open  bool   // the first fragments of a message were sent, the last was not
	crowd *crowd // nil before somebody has to wait, which is all that most turns ever know
}

// A crowd is who waits for a turn.
type crowd struct {
	ended error         // why no turn is given any more, nil while it is
	queue []*waiter     // in the order of asking
	begun chan struct{} // closed when somebody gets the turn to begin a message or nobody will, nil if nobody wants to know
}

// ended returns why no turn is given any more, nil while it is. The caller has the
// mutex, as in what follows.
func (t *turn) ended() error {
	if t.crowd == nil {
		return nil
	}
	return t.crowd.ended
}

// queue returns who waits.
func (t *turn) queue() []*waiter {
	if t.crowd == nil {
		return nil
	}
	return t.crowd.queue
}

func (t *turn) setQueue(queue []*waiter) {
	if t.crowd == nil {
		if len(queue) == 0 {
			return
		}
		t.crowd = new(crowd)
	}
	t.crowd.queue = queue
}

// tellBegun tells who asked for it that a message begins, or that none will.
func (t *turn) tellBegun() {
	if t.crowd != nil && t.crowd.begun != nil {
		close(t.crowd.begun)
		t.crowd.begun = nil
	}
}

// purpose is what a turn is wanted for.
type purpose int

const (
	begin    purpose = iota // to begin a message
	fragment                // to go on with the message that is open
	control                 // for a control frame, which may stand between fragments (RFC 6455, section 5.4)
)

// purposeOf tells what a frame with this opcode needs the turn for.
func purposeOf(opcode int) purpose {
	switch {
	case isControl(opcode):
		return control
	case opcode == opContinuation:
		return fragment
	}
	return begin
}

// A waiter is who, or what, waits for a turn.
type waiter struct {
	want  purpose
	given chan struct{} // closed when the wait is over
	err   error         // why the turn was not given; written before given is closed

	// In a writer's queue there is more than who waits in person.
	frames  *buffer   // not nil: nobody waits, and when it is their turn these frames are sent
	message *outgoing // not nil: a small message of who waits; whoever has the turn may send it for them,
	sent    bool      // and did
}

// openPatience is how long a message waits for another one that lies open when
// no deadline says so: somebody may have forgotten to close a NextWriter.
const openPatience = 5 * time.Second

// try takes the turn if that takes no waiting, and reports whether it did.
func (t *turn) try(want purpose) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.tryLocked(want)
}

func (t *turn) tryLocked(want purpose) bool {
	if t.taken || t.ended() != nil || t.open && want == begin {
		return false
	}
	t.taken = true
	if want == begin {
		t.tellBegun()
	}
	return true
}

// take waits for the turn until ctx is done or the deadline, zero for none,
// has come. It returns context.Cause, a timeoutError, or what the turns ended
// with.
func (t *turn) take(ctx context.Context, want purpose, deadline time.Time) error {
	t.mu.Lock()
	if t.ended() != nil {
		defer t.mu.Unlock()
		return t.ended()
	}
	if t.tryLocked(want) {
		t.mu.Unlock()
		return nil
	}
	return t.waitLocked(ctx, &waiter{want: want}, deadline)
}

// waitLocked lets me wait for the turn as take does. The caller has the mutex,
// which it gives up.
func (t *turn) waitLocked(ctx context.Context, me *waiter, deadline time.Time) error {
	t.enlistLocked(me)
	t.mu.Unlock()
	return t.await(ctx, me, deadline)
}

// enlistLocked puts me at the end of the queue.
func (t *turn) enlistLocked(me *waiter) {
	me.given = make(chan struct{})
	t.setQueue(append(t.queue(), me))
}

// await waits for what enlistLocked has asked for.
func (t *turn) await(ctx context.Context, me *waiter, deadline time.Time) error {
	patience := openPatience
	if !deadline.IsZero() {
		patience = time.Until(deadline)
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case <-me.given:
			return me.err
		case <-ctx.Done():
			_, err := t.leave(me, func() error { return context.Cause(ctx) })
			return err
		case <-timer.C:
			over, err := t.leave(me, func() error {
				switch {
				case t.open && me.want == begin:
					return errMessageOpen
				case !deadline.IsZero():
					return errTurnTimeout
				}
				return nil // somebody is at work, which is no reason to give up
			})
			if over {
				return err
			}
			timer.Reset(openPatience)
		}
	}
}

// leave ends the wait of w with the error that why gives, or lets it go on if
// why gives none. If the wait was over already, that stands.
func (t *turn) leave(w *waiter, why func() error) (over bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.Index(t.queue(), w)
	if i < 0 {
		return true, w.err
	}
	if err = why(); err == nil {
		return false, nil
	}
	t.crowd.queue = slices.Delete(t.crowd.queue, i, i+1)
	return true, err
}

// release gives the turn to the first who waits and may have it.
func (t *turn) release() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.releaseLocked()
}

// releaseLocked is release for who has the mutex. It reports whether there was
// anybody.
func (t *turn) releaseLocked() (given bool) {
	t.taken = false
	for i, w := range t.queue() {
		if w.frames == nil && t.tryLocked(w.want) {
			t.crowd.queue = slices.Delete(t.crowd.queue, i, i+1)
			close(w.given)
			return true
		}
	}
	return false
}

// awaitedLocked reports whether somebody waits in person who may have the turn.
func (t *turn) awaitedLocked() bool {
	return slices.ContainsFunc(t.queue(), func(w *waiter) bool { return w.frames == nil && !(t.open && w.want == begin) })
}

// end is endLocked for who has not the mutex. It returns the error that stays.
func (t *turn) end(err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.endLocked(err)
	return t.ended()
}

// endLocked sends everybody who waits away with err, and all who come later. Who
// has the turn keeps it, and frames that nobody waits for stay. Only the first call
// counts.
func (t *turn) endLocked(err error) {
	if t.ended() != nil {
		return
	}
	if t.crowd == nil {
		t.crowd = new(crowd)
	}
	t.crowd.ended = err
	t.tellBegun()
	t.setQueue(slices.DeleteFunc(t.queue(), func(w *waiter) bool {
		if w.frames != nil {
			return false
		}
		w.err = err
		close(w.given)
		return true
	}))
}

// timeoutError is a deadline that passed. It is a net.Error and matches
// os.ErrDeadlineExceeded.
type timeoutError string

func (e timeoutError) Error() string        { return "websocket: " + string(e) }
func (e timeoutError) Timeout() bool        { return true }
func (e timeoutError) Temporary() bool      { return true }
func (e timeoutError) Is(target error) bool { return target == os.ErrDeadlineExceeded }

const (
	errTurnTimeout = timeoutError("write timeout")
	errMessageOpen = timeoutError("write timeout: another message is open, its NextWriter was not closed")
)

// nextBegin returns a channel that is closed when somebody gets the turn to begin
// a message, or when turns have ended.
func (t *turn) nextBegin() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended() != nil {
		over := make(chan struct{})
		close(over)
		return over
	}
	if t.crowd == nil {
		t.crowd = new(crowd)
	}
	if t.crowd.begun == nil {
		t.crowd.begun = make(chan struct{})
	}
	return t.crowd.begun
}
