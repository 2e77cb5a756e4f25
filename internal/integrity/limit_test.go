package integrity

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
)

// Up to the limit messages are delivered; one of a byte more ends the connection with 1009, however well it is compressed.
func TestReadLimit(t *testing.T) {
	t.Parallel()
	ta := &tally{began: time.Now()}
	t.Cleanup(func() { ta.report(t) })
	writers := []writing{writeMessage, nextWriter}
	t.Run("default", func(t *testing.T) {
		t.Parallel()
		if !raced { // 32 MiB take their time
			testLimit(t, ta, terms{transport: transports[0], mode: modes[1]}, writeMessage, serve, 0)
		}
		if *full {
			testLimit(t, ta, terms{transport: transports[0], mode: modes[0]}, writeMessage, readMessage, 0)
			testLimit(t, ta, terms{transport: transports[1], mode: modes[2]}, writeMessage, messages, 0)
		}
	})
	for i, rd := range readings {
		t.Run(rd.name, func(t *testing.T) {
			t.Parallel()
			n := i
			for _, limit := range []int{30, 125, 126, 4096, 65_535, 65_536} {
				for _, m := range modes {
					for _, fromServer := range []bool{false, true} {
						n++
						tm := terms{transport: transports[n%len(transports)], mode: m, fromServer: fromServer, buffers: bufferSizes[n%len(bufferSizes)]}
						testLimit(t, ta, tm, writers[n/2%2], rd, limit)
					}
				}
			}
		})
	}
}

// testLimit sends messages around the limit, which is set by an option or by SetReadLimit. 0 is the default one.
func testLimit(t *testing.T, ta *tally, tm terms, wr writing, rd reading, limit int) {
	t.Helper()
	about := fmt.Sprintf("%s to %s, %v, limit %d", wr.name, rd.name, tm, limit)
	tm.options = lane{}.laneOptions()
	if limit%2 == 0 {
		tm.options.ReadLimit = int64(limit)
	}
	ours, theirs := connect(t, tm)
	if limit%2 == 1 {
		theirs.SetReadLimit(int64(limit))
	}
	if limit == 0 {
		limit = websocket.DefaultReadLimit
	}
	p := listed(max(rd.kind, onlyText), []int{limit - 1, limit, 100, limit + 1})
	if limit < 100 {
		p = listed(max(rd.kind, onlyText), []int{limit - 1, limit, limit, limit + 1})
	}
	r := &receiver{c: theirs, v: newVerifier(p), rnd: random(uint64(limit))}

	cr := new(crew)
	var told, ended, wrote error
	cr.run("the sender's reading", func() error { told = nothing(ours); return nil })
	cr.run(wr.name, func() error {
		s := &sender{c: ours, rnd: random(uint64(limit))}
		wrote = sendPlan(s, wr, p, nil, nil)
		return nil
	})
	ended = rd.read(r)
	require.ErrorIs(t, ended, websocket.ErrReadLimit, about)
	require.Equal(t, 3, r.v.messages, about)
	require.NoError(t, cr.wait())
	require.True(t, websocket.IsCloseError(told, websocket.CloseMessageTooBig), "%s: %v", about, told)
	if wrote != nil { // it could be sent before they said no
		require.ErrorContains(t, wrote, "message 3 of ", about)
	}
	ours.Close()
	theirs.Close()
	ta.add(r.v)
}
