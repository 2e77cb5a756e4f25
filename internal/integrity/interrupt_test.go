package integrity

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A read that is given up at any moment costs nothing before a message began, nor between the bytes of its header; within the message
// it ends the connection, and says so. Nothing else may happen.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	rounds := 4
	if *full {
		rounds = 40
	}
	ta := &tally{began: time.Now()}
	t.Cleanup(func() { ta.report(t) })
	for i, tr := range transports {
		for j, m := range modes {
			for k, largest := range []int{20, 500, 10_000} {
				t.Run(fmt.Sprintf("%s, %s, up to %d bytes", tr.name, m.name, largest), func(t *testing.T) {
					t.Parallel()
					var givenUp, within int
					for round := range rounds {
						tm := terms{transport: tr, mode: m, fromServer: round%2 == 1, buffers: bufferSizes[round%len(bufferSizes)]}
						g, w := interrupt(t, ta, tm, largest, uint64(round+1000*(i+10*j+100*k)))
						givenUp, within = givenUp+g, within+w
					}
					t.Logf("%d reads given up before a message, %d within", givenUp, within)
				})
			}
		}
	}
}

// interrupt runs one connection until all messages have come or one was given up, and returns how many reads were.
func interrupt(t *testing.T, ta *tally, tm terms, largest int, seed uint64) (before, within int) {
	t.Helper()
	tm.options = lane{busy: seed%3 == 0}.laneOptions()
	ours, theirs := connect(t, tm)
	p := &plan{count: 100, size: func(seq int) int { return int(mix(int(seed), seq) % uint64(largest+1)) }}
	v := newVerifier(p)
	rnd := random(seed)

	var peer sync.WaitGroup
	peer.Go(func() {
		s := &sender{c: ours, rnd: random(seed + 1)}
		_ = sendPlan(s, []writing{writeMessage, nextWriter}[seed/2%2], p, nil, controlFrames) // until the other end has had enough
	})
	peer.Go(func() { _ = nothing(ours) })
	for v.next[0] < p.count {
		ctx, end := context.WithCancelCause(context.Background())
		timer := time.AfterFunc(time.Duration(rnd.IntN(100))*time.Microsecond, func() { end(errGivenUp) })
		messageType, data, err := theirs.ReadMessageContext(ctx, nil)
		timer.Stop()
		end(nil)
		if err == nil {
			require.NoError(t, v.check(messageType, data))
			continue
		}
		require.ErrorIs(t, err, errGivenUp)
		if messageType == -1 {
			require.NoError(t, theirs.Context().Err(), "message %d had not begun", v.next[0])
			before++
			continue
		}
		_, want := p.message(nil, v.next[0])
		require.Error(t, theirs.Context().Err())
		require.True(t, bytes.HasPrefix(want, data), "what came of message %d", v.next[0])
		_, _, again := theirs.ReadMessage()
		require.True(t, errors.Is(again, errGivenUp), "%v", again)
		within = 1
		break
	}
	ours.Close()
	theirs.Close()
	peer.Wait()
	ta.add(v)
	return before, within
}
