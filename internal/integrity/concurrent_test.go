package integrity

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
)

var many = flag.Int("integrity.messages", 0, "send this many messages of up to 256 bytes by concurrent writers")

// crowds are methods that write side by side. Only one of each may be NextWriter, of which a connection has one at a time.
var crowds = [][]writing{
	{writeMessage, writeMessageContext, tryWriteMessage, nextWriter},
	{writePrepared, tryWritePrepared, writeJSON, streamWrite},
	{groupBroadcast, writeMessage, writeMessage, nextWriter},
	{writeMessage, writeMessage, tryWriteMessage, writeMessageContext},
}

// crowdReadings read what a crowd writes.
var crowdReadings = []reading{readMessage, serve, nextReader, start, messages, readMessageContext}

// Both ends write with four goroutines at once, and read.
func TestConcurrentWriters(t *testing.T) {
	total, most := 100_000, 1<<10
	if raced {
		total = 30_000
	}
	if *full {
		total = 400_000 // a million with those of TestEverySize, and more
	}
	if *many > 0 {
		total, most = *many, 256
	}
	lanes := len(transports) * len(modes) * len(crowds)
	ta := &tally{began: time.Now()}
	t.Run("lanes", func(t *testing.T) {
		n := 0
		for _, tr := range transports {
			for i, m := range modes {
				for j, crowd := range crowds {
					tm := terms{transport: tr, mode: m, fromServer: n%2 == 1, buffers: bufferSizes[n%len(bufferSizes)]}
					l := crowdLane{terms: tm, crowd: crowd, ours: crowdReadings[(n+i)%6], theirs: crowdReadings[(n+j)%6]}
					l.count = total / (lanes * 2 * len(crowd))
					l.most = most
					n++
					t.Run(fmt.Sprintf("%v, crowd %d", tm, j), func(t *testing.T) {
						t.Parallel()
						l.run(t, ta)
					})
				}
			}
		}
	})
	ta.report(t)
}

// A crowdLane is a connection on which both ends write with a crowd.
type crowdLane struct {
	terms
	crowd        []writing
	ours, theirs reading
	count        int // messages of each writer
	most         int // bytes of nearly all messages
}

func (l crowdLane) run(t *testing.T, ta *tally) {
	l.options = lane{busy: true}.laneOptions()
	ours, theirs := connect(t, l.terms)
	cr := &crew{conns: []*websocket.Conn{ours, theirs}}

	// A close frame overtakes what is queued, so that neither end says its before both have sent all they have.
	var writers sync.WaitGroup
	plans := l.plans()
	var receivers []*receiver
	for i, c := range cr.conns {
		group := new(websocket.Group)
		group.Add(c)
		for j, wr := range l.crowd {
			writers.Add(1)
			cr.run(fmt.Sprintf("writer %d of end %d, %s", j, i, wr.name), func() error {
				defer writers.Done()
				s := &sender{c: c, rnd: random(uint64(10*i + j)), group: group}
				return errors.Join(sendPlan(s, wr, plans[j], nil, controlFrames), c.Flush())
			})
		}
		r := &receiver{c: c, v: newVerifier(plans...), rnd: random(uint64(i))}
		receivers = append(receivers, r)
		rd := []reading{l.ours, l.theirs}[i]
		cr.run(fmt.Sprintf("end %d, %s", i, rd.name), func() error { return rd.judge(r, rd.read(r)) })
	}
	cr.run("Shutdown", func() error {
		writers.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		return ours.Shutdown(ctx, websocket.CloseNormalClosure, "")
	})
	require.NoError(t, cr.wait(), "%v: %s and %s", l.terms, l.ours.name, l.theirs.name)
	for _, r := range receivers {
		ta.add(r.v)
	}
}

// plans are what the crowd writes: small messages, and now and then one that is too large to be left to another writer.
func (l crowdLane) plans() []*plan {
	plans := make([]*plan, len(l.crowd))
	for i, wr := range l.crowd {
		least := min(i, 1) // an empty message could be anybody's
		if wr.kind == jsonText {
			least += jsonExtra
		}
		plans[i] = &plan{writer: i, kind: wr.kind, count: l.count, size: func(seq int) int {
			x := mix(i+100, seq)
			if x%512 == 0 && *many == 0 {
				return logUniform(x, 8<<10, largest)
			}
			return logUniform(x, least, l.most)
		}}
	}
	return plans
}

// controlFrames sends control frames of each kind but one.
func controlFrames(s *sender, seq int) error {
	return errors.Join(
		s.c.WriteControl(websocket.PingMessage, fmt.Appendf(nil, "at %d", seq), time.Time{}),
		s.c.WriteControl(websocket.PongMessage, []byte("unasked"), time.Time{}))
}
