package websocket

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

var never = time.Time{}

func (t *turn) setOpen(open bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open = open
}

// queueUp starts a goroutine that takes the turn, and returns when it waits for
// it. The channel brings what take returned.
func queueUp(ctx context.Context, tn *turn, want purpose, deadline time.Time) <-chan error {
	done := make(chan error, 1)
	go func() { done <- tn.take(ctx, want, deadline) }()
	synctest.Wait()
	return done
}

// requireWaiting makes sure that none of them has come to an end.
func requireWaiting(t *testing.T, waits ...<-chan error) {
	t.Helper()
	synctest.Wait()
	for i, wait := range waits {
		select {
		case err := <-wait:
			require.Fail(t, "the wait is over", "wait %d: %v", i, err)
		default:
		}
	}
}

func TestTurnOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var tn turn
		require.True(t, tn.try(begin))
		require.False(t, tn.try(begin))
		require.False(t, tn.try(control))
		var waits []<-chan error
		for _, want := range []purpose{begin, control, fragment, begin} {
			waits = append(waits, queueUp(t.Context(), &tn, want, never))
		}
		for i := range waits {
			requireWaiting(t, waits[i:]...)
			tn.release()
			require.NoError(t, <-waits[i])
		}
		tn.release()
		require.True(t, tn.try(begin))
	})
}

// What is not the beginning of a message goes unnoticed.
func TestTurnNextBegin(t *testing.T) {
	t.Parallel()
	var tn turn
	begun := tn.nextBegin()
	require.Equal(t, begun, tn.nextBegin())
	require.True(t, tn.try(control))
	tn.release()
	select {
	case <-begun:
		require.Fail(t, "nobody began a message")
	default:
	}
	require.True(t, tn.try(begin))
	<-begun
	require.NotEqual(t, begun, tn.nextBegin())
}

// While a message lies open, only what may stand between its fragments goes.
func TestTurnOpen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var tn turn
		require.True(t, tn.try(begin))
		tn.setOpen(true)
		first := queueUp(t.Context(), &tn, begin, never)
		tn.release()
		second := queueUp(t.Context(), &tn, begin, never)
		requireWaiting(t, first, second)
		require.False(t, tn.try(begin))

		require.NoError(t, tn.take(t.Context(), control, never))
		next := queueUp(t.Context(), &tn, fragment, never)
		tn.release()
		require.NoError(t, <-next)
		requireWaiting(t, first, second)
		tn.setOpen(false)
		tn.release()
		require.NoError(t, <-first)
		requireWaiting(t, second)
		tn.release()
		require.NoError(t, <-second)
	})
}

func TestTurnDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var tn turn
		require.True(t, tn.try(begin))
		begun := time.Now()
		err := tn.take(t.Context(), begin, begun.Add(time.Minute))
		require.Equal(t, errTurnTimeout, err)
		require.Equal(t, time.Minute, time.Since(begun))
		require.Equal(t, errTurnTimeout, tn.take(t.Context(), control, begun), "a deadline that has passed")
		require.Empty(t, tn.queue())

		tn.setOpen(true)
		require.Equal(t, errMessageOpen, tn.take(t.Context(), begin, time.Now().Add(time.Minute)))
		require.Equal(t, errTurnTimeout, tn.take(t.Context(), control, time.Now().Add(time.Minute)))
	})
}

func TestTurnContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var tn turn
		require.True(t, tn.try(begin))
		ctx, cancel := context.WithCancelCause(t.Context())
		wait := queueUp(ctx, &tn, begin, never)
		behind := queueUp(t.Context(), &tn, begin, never)
		cancel(io.ErrClosedPipe)
		require.Equal(t, io.ErrClosedPipe, <-wait)
		requireWaiting(t, behind)
		tn.release()
		require.NoError(t, <-behind)
	})
}

// Somebody may have forgotten to close a NextWriter; a writer at work is another
// matter.
func TestTurnPatience(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var tn turn
		require.True(t, tn.try(begin))
		atWork := queueUp(t.Context(), &tn, begin, never)
		time.Sleep(time.Hour)
		requireWaiting(t, atWork)
		tn.release()
		require.NoError(t, <-atWork)

		tn.setOpen(true)
		tn.release()
		begun := time.Now()
		require.Equal(t, errMessageOpen, tn.take(t.Context(), begin, never))
		require.Equal(t, openPatience, time.Since(begun))
		require.True(t, tn.try(fragment), "the message goes on")
		require.NoError(t, func() error {
			wait := queueUp(t.Context(), &tn, control, never)
			time.Sleep(time.Hour)
			tn.release()
			return <-wait
		}(), "a control frame has no reason to give up")
	})
}

func TestTurnEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var tn turn
		require.True(t, tn.try(begin))
		var waits []<-chan error
		for _, want := range []purpose{begin, control, fragment} {
			waits = append(waits, queueUp(t.Context(), &tn, want, time.Now().Add(time.Hour)))
		}
		tn.end(io.ErrClosedPipe)
		for _, wait := range waits {
			require.Equal(t, io.ErrClosedPipe, <-wait)
		}
		tn.end(io.EOF)
		require.Equal(t, io.ErrClosedPipe, tn.take(t.Context(), begin, never), "the first end counts")
		require.False(t, tn.try(control))
		tn.release()
		require.Equal(t, io.ErrClosedPipe, tn.take(t.Context(), begin, never))
	})
}

// A turn that is given to somebody who leaves at that moment is not lost: the
// wait was over, and they have it.
func TestTurnGivenWhileLeaving(t *testing.T) {
	t.Parallel()
	var tn turn
	require.True(t, tn.try(begin))
	me := &waiter{want: begin, given: make(chan struct{})}
	tn.setQueue(append(tn.queue(), me))
	tn.release()
	over, err := tn.leave(me, func() error { return io.EOF })
	require.True(t, over)
	require.NoError(t, err)
	require.False(t, tn.try(begin), "it is theirs")

	other := &waiter{want: begin, given: make(chan struct{})}
	tn.setQueue(append(tn.queue(), other))
	over, err = tn.leave(other, func() error { return nil })
	require.False(t, over, "no reason to leave")
	require.NoError(t, err)
	tn.end(io.ErrClosedPipe)
	over, err = tn.leave(other, func() error { return io.EOF })
	require.True(t, over)
	require.Equal(t, io.ErrClosedPipe, err)
}

// Many goroutines take the turn, with contexts that end and deadlines that pass
// at any moment: it is never had by two, and never lost.
func TestTurnStress(t *testing.T) {
	t.Parallel()
	var (
		tn    turn
		inUse sync.Mutex
		wg    sync.WaitGroup
	)
	for g := range 8 {
		wg.Go(func() {
			for i := range 500 {
				ctx, cancel := context.WithCancel(t.Context())
				deadline := never
				switch (g + i) % 4 {
				case 0:
					go cancel()
				case 1:
					deadline = time.Now().Add(time.Duration(i) * time.Microsecond)
				}
				err := tn.take(ctx, purpose(i%3), deadline)
				if err == nil {
					if !inUse.TryLock() {
						t.Error("two have the turn")
					}
					tn.setOpen(i%7 == 0)
					inUse.Unlock()
					tn.setOpen(false)
					tn.release()
				}
				cancel()
			}
		})
	}
	wg.Wait()
	require.True(t, tn.try(begin))
	require.Empty(t, tn.queue())
}

func TestPurposeOf(t *testing.T) {
	t.Parallel()
	for opcode, want := range map[int]purpose{
		opContinuation: fragment, TextMessage: begin, BinaryMessage: begin,
		CloseMessage: control, PingMessage: control, PongMessage: control,
	} {
		require.Equal(t, want, purposeOf(opcode))
	}
}

func TestTimeoutError(t *testing.T) {
	t.Parallel()
	require.ErrorIs(t, errTurnTimeout, os.ErrDeadlineExceeded)
	require.NotErrorIs(t, errTurnTimeout, io.EOF)
	var timeout interface {
		Timeout() bool
		Temporary() bool
	}
	require.True(t, errors.As(errMessageOpen, &timeout))
	require.True(t, timeout.Timeout())
	require.True(t, timeout.Temporary())
	require.Equal(t, "websocket: write timeout", errTurnTimeout.Error())
	require.ErrorContains(t, errMessageOpen, "another message is open")
}
