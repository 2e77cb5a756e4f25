package integrity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
)

// patience keeps a test from hanging, and is no bound on how long anything may take.
const patience = time.Minute

// A lane is one way for messages to go: by a method from one end of a connection to a method at the other.
type lane struct {
	terms
	writing
	reading
	sizes []int

	// echo, if set, is how the far end reads, and sends each message back while it handles it. reading is at our end then.
	echo *reading

	// busy has both ends send pings of their own all the time (Options.PingInterval). Otherwise the sender does by Ping.
	busy bool
}

// tally is what has been verified.
type tally struct {
	mu       sync.Mutex
	messages int
	bytes    int64
	began    time.Time
}

func (ta *tally) add(v *verifier) {
	ta.mu.Lock()
	defer ta.mu.Unlock()
	ta.messages += v.messages
	ta.bytes += v.bytes
}

// report says how much went through.
func (ta *tally) report(t *testing.T) {
	t.Helper()
	t.Logf("%d messages, %.1f MB, %.1f s", ta.messages, float64(ta.bytes)/1e6, time.Since(ta.began).Seconds())
}

// A crew is goroutines of which the first that fails closes the connections, so that the others end.
type crew struct {
	wg    sync.WaitGroup
	mu    sync.Mutex
	errs  []error
	conns []*websocket.Conn
}

func (cr *crew) run(name string, f func() error) {
	cr.wg.Go(func() {
		if err := f(); err != nil {
			cr.mu.Lock()
			cr.errs = append(cr.errs, fmt.Errorf("%s: %w", name, err))
			first := len(cr.errs) == 1
			cr.mu.Unlock()
			if first {
				for _, c := range cr.conns {
					c.Close()
				}
			}
		}
	})
}

func (cr *crew) wait() error {
	cr.wg.Wait()
	return errors.Join(cr.errs...)
}

// run sends the sizes, verifies what comes, takes leave, and verifies that all had come before.
func (l lane) run(t *testing.T, ta *tally, seed uint64) {
	l.options = l.laneOptions()
	ours, theirs := connect(t, l.terms)
	k := max(l.writing.kind, l.reading.kind) // at most one of them is particular
	p := listed(k, l.sizes)
	var g gate
	if l.reading.halt && l.echo == nil {
		g = make(gate, 1)
	}
	cr := &crew{conns: []*websocket.Conn{ours, theirs}}
	s := &sender{c: ours, rnd: random(seed)}
	cr.run(l.writing.name, func() error { return l.send(s, p, g) })

	receivers := []*receiver{{c: theirs, v: newVerifier(p), rnd: random(seed + 1), gate: g}}
	if l.echo == nil {
		cr.run("the sender's reading", func() error { return nothing(ours) })
		cr.run(l.reading.name, func() error { return l.reading.judge(receivers[0], l.reading.read(receivers[0])) })
	} else {
		receivers[0].echo = func(m websocket.Message) error { return theirs.WriteMessage(m.Type, m.Data) }
		back := &receiver{c: ours, v: newVerifier(p), rnd: random(seed + 2)}
		receivers = append(receivers, back)
		cr.run(l.echo.name, func() error { return l.echo.judge(receivers[0], l.echo.read(receivers[0])) })
		cr.run(l.reading.name, func() error { return l.reading.judge(back, l.reading.read(back)) })
	}
	require.NoError(t, cr.wait(), "%v", l)
	for _, r := range receivers {
		ta.add(r.v)
	}
}

func (l lane) String() string {
	name := l.writing.name + " to " + l.reading.name
	if l.echo != nil {
		name = l.writing.name + " by an echo in " + l.echo.name + " to " + l.reading.name
	}
	return fmt.Sprintf("%s; %v; buffers of %d", name, l.terms, l.buffers)
}

func (l lane) laneOptions() websocket.Options {
	opts := websocket.Options{WriteQueue: writeQueue, WriteTimeout: patience, CloseTimeout: patience}
	if l.busy {
		opts.PingInterval = time.Millisecond
		opts.PingTimeout = patience
	}
	return opts
}

// send sends all of a plan, with control frames between.
func (l lane) send(s *sender, p *plan, g gate) error {
	if err := sendPlan(s, l.writing, p, g, l.control); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return s.c.Shutdown(ctx, websocket.CloseNormalClosure, "")
}

// control sends a control frame. A peer need not answer each of several pings (RFC 6455, section 5.5.3), so that only a lone one may be
// waited for.
func (l lane) control(s *sender, seq int) error {
	if l.busy || l.echo != nil {
		return s.c.WriteControl(websocket.PingMessage, fmt.Appendf(nil, "at %d", seq), time.Time{})
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := s.c.Ping(ctx)
	return errors.Join(err, s.c.WriteControl(websocket.PongMessage, []byte("unasked"), time.Time{}))
}

// sendPlan sends the messages of a plan in order.
func sendPlan(s *sender, wr writing, p *plan, g gate, control func(s *sender, seq int) error) error {
	var (
		memory []byte
		spent  = s.c.Context().Done()
	)
	for seq := range p.count {
		if g.at(seq) {
			select {
			case <-g:
			case <-spent:
				return context.Cause(s.c.Context())
			}
		}
		messageType, data := p.message(memory[:0], seq)
		memory = data
		if err := wr.write(s, messageType, data); err != nil {
			return fmt.Errorf("message %d of %d bytes: %w", seq, len(data), err)
		}
		if seq%97 == 50 {
			if err := control(s, seq); err != nil {
				return fmt.Errorf("control frame behind message %d: %w", seq, err)
			}
		}
	}
	return nil
}

// nothing reads what a peer sends that sends no messages, until it closes the connection.
func nothing(c *websocket.Conn) error {
	messageType, p, err := c.ReadMessage()
	if err == nil {
		return fmt.Errorf("a message of type %d: %q", messageType, p)
	}
	if !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
		return err
	}
	return nil
}

// bufferSizes are those that connections get in turns; 0 is the default.
var bufferSizes = []int{0, 512, 4096, 16 << 10, 64 << 10}

// edges are the sizes around every limit there is: of the encodings of the length (RFC 6455, section 5.2), and of buffers, with and
// without the header that a frame has in them.
var edges = func() []int {
	sizes := []int{0, 1, 2, 124, 125, 126, 127, 128, 65_534, 65_535, 65_536, 65_537}
	for _, buffer := range []int{512, 4096, 16 << 10, 32 << 10, 64 << 10} {
		for _, header := range []int{0, 2, 4, 6, 8, 10, 14} {
			sizes = append(sizes, buffer-header-1, buffer-header, buffer-header+1)
		}
	}
	slices.Sort(sizes)
	return slices.Compact(sizes)
}()
