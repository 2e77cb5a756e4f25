package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
	"unicode/utf8"
)

// A recorder writes a session down: an open, then what was sent and received, as JSON
// lines. Each is in the file before the program goes on.
type recorder struct {
	mu    sync.Mutex
	f     *os.File
	began time.Time
	err   error // the first
}

// newRecorder creates the file, for the eyes of its owner: messages may hold secrets.
func newRecorder(name string) (*recorder, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return &recorder{f: f}, nil
}

// open notes the beginning. The handshake's header fields are left out, as they tend to
// hold credentials.
func (r *recorder) open(began time.Time, url, subprotocol string) error {
	r.began = began
	return r.write(event{Type: "open", URL: url, Subprotocol: subprotocol}, began)
}

func (r *recorder) event(dir string, e event) error {
	e.Dir = dir
	return r.write(e, time.Now())
}

func (r *recorder) write(e event, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return r.err
	}
	at := now.Sub(r.began).Round(time.Microsecond).Seconds()
	utc := now.UTC()
	e.Time, e.At = &utc, at
	_, r.err = r.f.Write(e.encode())
	return r.err
}

func (r *recorder) close() error { return r.f.Close() }

// A recording is a session to be played again.
type recording struct {
	url    string
	sent   []event
	answer []event       // the messages that were received
	closed *event        // the peer's close frame, if the peer was the first to close
	length time.Duration // from its open to its last event
}

// readRecording reads the file that a recorder has written, or someone by hand.
func readRecording(name string) (*recording, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rec, err := decodeRecording(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return rec, nil
}

func decodeRecording(r io.Reader) (*recording, error) {
	var (
		rec    recording
		in     = bufio.NewReader(r)
		events = 0
		closed = false
	)
	for number := 1; ; number++ {
		line, err := readLine(in)
		if err == io.EOF {
			break
		} else if err != nil {
			return nil, err
		}
		if len(line) == 0 {
			continue
		}
		e, err := decodeEvent(line)
		if err == nil {
			err = rec.check(e, events == 0)
		}
		if err == nil && closed && e.Dir == sent {
			err = errors.New("sent after a close frame was sent")
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		events++
		rec.length = seconds(e.At)
		switch {
		case e.Type == "open":
			rec.url = e.URL
		case e.Dir == sent:
			rec.sent = append(rec.sent, e)
			closed = closed || e.Type == "close"
		case e.Type == "close" && !closed:
			rec.closed = &e
		case e.isMessage():
			rec.answer = append(rec.answer, e)
		}
	}
	if events == 0 {
		return nil, errors.New("an empty recording")
	}
	return &rec, nil
}

// check says what is wrong with the next event.
func (rec *recording) check(e event, first bool) error {
	switch {
	case !(e.At >= 0 && e.At < 1e9):
		return fmt.Errorf("at is %v seconds", e.At)
	case seconds(e.At) < rec.length:
		return fmt.Errorf("at %v s is before the event above", e.At)
	case e.Type == "open" && first:
		return nil
	case e.Type == "open":
		return errors.New("open is not at the beginning")
	case e.Dir != sent && e.Dir != received:
		return fmt.Errorf("dir %q is neither sent nor received", e.Dir)
	case e.Dir == sent:
		return e.checkSendable()
	case e.Type == "close": // whatever the peer chose
		return nil
	}
	return e.checkSendable()
}

// seconds is a duration; some 30 years are as good as more.
func seconds(s float64) time.Duration { return time.Duration(min(s, 1e9) * float64(time.Second)) }

// play sends what was sent, and gives the answers the time that they took.
func (rec *recording) play(ctx context.Context, speed float64, send func(event) error) error {
	began := time.Now()
	for _, e := range rec.sent {
		if err := waitUntil(ctx, began, e.At, speed); err != nil {
			return err
		}
		if err := send(e); err != nil {
			return err
		}
	}
	return waitUntil(ctx, began, rec.length.Seconds(), speed)
}

// waitUntil waits for a moment of the recording.
func waitUntil(ctx context.Context, began time.Time, at, speed float64) error {
	if speed == 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(time.Until(began.Add(seconds(at / speed))))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// A comparison holds the answers against those of a recording.
type comparison struct {
	rec *recording

	mu        sync.Mutex
	next      int // of rec.answer
	different int
	complete  chan struct{} // closed when as much came as was recorded
}

func newComparison(rec *recording) *comparison {
	c := &comparison{rec: rec, complete: make(chan struct{})}
	if len(rec.answer) == 0 && rec.closed == nil {
		close(c.complete)
	}
	return c
}

// message returns what is different about the next answer, "" for nothing.
func (c *comparison) message(e event) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	number := c.next + 1
	c.next++
	if number > len(c.rec.answer) {
		c.different++
		return fmt.Sprintf("message %d was not recorded: %s", number, brief(e))
	}
	want := c.rec.answer[number-1]
	if number == len(c.rec.answer) && c.rec.closed == nil {
		close(c.complete)
	}
	if want.Type == e.Type && string(want.payload) == string(e.payload) {
		return ""
	}
	c.different++
	return fmt.Sprintf("message %d is different\nrecorded: %s\nreceived: %s", number, brief(want), brief(e))
}

// end returns what else is different: closed is the peer's close frame, nil if we were the
// first to close.
func (c *comparison) end(closed *event) (differences []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if missing := len(c.rec.answer) - c.next; missing > 0 {
		differences = append(differences, fmt.Sprintf("of %s recorded, %d did not come; the first is %s",
			count(len(c.rec.answer), "message"), missing, brief(c.rec.answer[c.next])))
	}
	switch was := c.rec.closed; {
	case was == nil && closed != nil:
		differences = append(differences, "the peer sent "+closeText(*closed)+", which was not recorded")
	case was != nil && closed == nil:
		differences = append(differences, "the peer did not close, but was recorded to send "+closeText(*was))
	case was != nil && (was.Code != closed.Code || was.Reason != closed.Reason):
		differences = append(differences, "the peer sent "+closeText(*closed)+" instead of "+closeText(*was))
	}
	c.different += len(differences)
	return differences
}

// failed is the error for the differences so far, nil for none.
func (c *comparison) failed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.different == 0 {
		return nil
	}
	return failf(exitUnmet, "%s from the recording", count(c.different, "difference"))
}

// briefly is how much of a message a difference shows, in bytes.
const briefly = 200

func brief(e event) string {
	p := e.payload
	more := ""
	if len(p) > briefly {
		p = p[:briefly]
		for e.Type == "text" && !utf8.Valid(p) {
			p = p[:len(p)-1]
		}
		more = fmt.Sprintf("... (%d bytes)", len(e.payload))
	}
	if e.Type == "text" {
		return fmt.Sprintf("%q%s", p, more)
	}
	return fmt.Sprintf("binary %x%s", p, more)
}
