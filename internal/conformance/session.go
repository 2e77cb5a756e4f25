package conformance

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"time"
)

// play is how a case goes: what is sent, and what the endpoint is to answer. How it is to close stands in the table.
type play struct {
	frames    []frame
	pieces    int              // how the frames are cut into writes
	want      []Event          // for OK
	orWant    []Event          // for NON-STRICT, where the case has that
	run       func(s *session) // instead of sending frames, if set
	extension *negotiation     // permessage-deflate in the opening handshake, nil is none
	lingering bool             // the endpoint is asked to end its side of the TCP connection, and not by a reset
}

// session is one case on one connection.
type session struct {
	Case
	play
	*wire
	config Config
	role   Role
	ext    *agreement // nil if permessage-deflate was not agreed
	open   *opening
	start  time.Time

	verdict  Behavior // given by a script, "" leaves it to the events
	why      string
	received []Event
	looking  bool   // a script looks at what comes itself
	failed   bool   // something is wrong already: no need to wait for the rest
	inFrame  bool   // a frame of ours is half written: nothing may go between, and pings wait
	ponging  []byte // payload of the last ping that came meanwhile, nil is none

	local, remote               *closed // the close frames of both sides
	closedByUs                  bool    // our close frame came first
	timedOut, dropped, wasClean bool
	over                        *ended // the end of the TCP connection
	unclean                     string // why it was not clean
}

func newSession(c Case, p play, config Config, role Role, conn net.Conn, br *bufio.Reader, o *opening, ext *agreement) *session {
	s := &session{Case: c, play: p, config: config, role: role, ext: ext, open: o, start: time.Now()}
	s.wire = newWire(conn, br, role == Server, ext, config.Timeout, s.start.Add(c.time()))
	return s
}

// conduct plays the case and gives the result. The connection is closed afterwards.
func (s *session) conduct() *Result {
	defer func() { _ = s.conn.Close() }()
	switch {
	case s.extension != nil && !s.extension.optional && s.ext == nil:
		s.conclude(Unimplemented, "permessage-deflate was not agreed as the case needs it")
		s.closes, s.clean, s.codes = byPeer, true, []int{1000}
	case s.run != nil:
		s.run(s)
	default:
		_ = s.send(s.pieces, s.frames...)
	}
	s.settle()
	s.hangUp()
	s.judgeEnd()
	return s.result()
}

// send writes frames and takes note of a close frame among them, unless it is one that no endpoint may take for a close.
func (s *session) send(pieces int, frames ...frame) error {
	for _, f := range frames {
		if f.opcode == opClose && f.rsv == 0 && f.form == minimal && !f.wrongMask && s.local == nil {
			s.local = &closed{}
			if len(f.payload) >= 2 {
				s.local.code, s.local.reason = int(f.payload[0])<<8|int(f.payload[1]), string(f.payload[2:])
			}
			s.closedByUs = s.remote == nil
		}
	}
	return s.wire.send(pieces, frames...)
}

// conclude gives the verdict ahead of the events.
func (s *session) conclude(b Behavior, why string, args ...any) {
	if s.verdict == "" || s.verdict == OK {
		s.verdict, s.why = b, fmt.Sprintf(why, args...)
	}
	if b == Failed {
		s.failed = true
	}
}

// settle waits for what is still to come, closes when all of it came, and goes on to the end of the TCP connection.
func (s *session) settle() {
	for s.over == nil && !s.failed {
		if s.local != nil && s.remote != nil {
			if s.role == Server {
				break // it is up to us to end the TCP connection
			}
		} else if s.local == nil && s.closes != byTested && (s.verdict != "" || s.matches(s.want)) {
			_ = s.send(atOnce, closing(1000, ""))
		}
		if !s.step(s.config.Timeout) {
			s.timedOut = true
			break
		}
	}
	s.wasClean = s.remote != nil && s.local != nil && (s.role == Server || s.over != nil)
	switch {
	case s.over != nil || s.wasClean:
	case s.local == nil:
		_ = s.send(atOnce, closing(1002, ""))
		s.unclean = "the peer had to fail the connection"
	case s.remote == nil:
		s.unclean = "no close frame came back"
	default:
		s.unclean = "the server kept the TCP connection after the closing handshake"
	}
}

// hangUp ends the TCP connection from our side.
func (s *session) hangUp() {
	if s.over != nil {
		return
	}
	s.dropped = true
	if s.role == Client || s.failed || !s.wasClean {
		return
	}
	// A server ends the connection (section 7.1.1), and the client follows. Frames that come meanwhile are one too many.
	s.finish()
	wait := min(s.config.Timeout, time.Second)
	if s.lingering {
		wait = s.config.Timeout
	}
	for s.over == nil && !s.failed && s.step(wait) {
	}
	if s.lingering && s.over == nil {
		s.conclude(Failed, "the client kept the TCP connection after the server had ended it")
	}
}

// judgeEnd holds the end of the TCP connection against a case that is about it.
func (s *session) judgeEnd() {
	if s.lingering && s.over != nil && !errors.Is(s.over.err, io.EOF) {
		s.conclude(Failed, "the TCP connection ended with an error instead of an end of the stream: %v", s.over.err)
	}
}

// step takes in the next thing that happens, and reports false if nothing did.
func (s *session) step(timeout time.Duration) bool { return s.stepUntil(timeout, s.deadline) }

// stepUntil is step with a deadline ahead of that of the case.
func (s *session) stepUntil(timeout time.Duration, deadline time.Time) bool {
	item, err := s.next(timeout, deadline)
	if err != nil {
		return false
	}
	switch item := item.(type) {
	case Event:
		if item.Kind == "ping" { // unasked, but everybody may ping
			switch {
			case s.inFrame: // only the last one needs an answer (section 5.5.3)
				s.ponging = append([]byte{}, item.Payload...)
			case s.local == nil:
				_ = s.send(atOnce, pong(string(item.Payload)))
			}
			break
		}
		s.received = append(s.received, item)
		s.compare()
	case closed:
		s.remote = &item
		if s.local == nil {
			reply := frame{fin: true, opcode: opClose}
			if item.code != 0 {
				reply = closing(item.code, item.reason)
			}
			_ = s.send(atOnce, reply)
		}
	case ended:
		s.over = &item
		s.unclean = fmt.Sprintf("the TCP connection ended without a closing handshake: %v", item.err)
	case violation:
		s.conclude(Failed, "%s", item.why)
	}
	return true
}

// compare fails the case as soon as nothing can make what came right.
func (s *session) compare() {
	fits := func(want []Event) bool {
		return len(s.received) <= len(want) && slices.EqualFunc(s.received, want[:len(s.received)], Event.equal)
	}
	switch {
	case s.looking || s.closes == anyone:
	case s.verdict == OK:
		s.conclude(Failed, "more came back than was expected")
	case s.verdict == "" && !fits(s.want) && !fits(s.orWant):
		s.conclude(Failed, "what came back differs from anything expected")
	}
}

func (s *session) matches(want []Event) bool { return slices.EqualFunc(s.received, want, Event.equal) }

// waitFor takes things in until done, and reports false if the connection ends or nothing comes before.
func (s *session) waitFor(timeout time.Duration, done func() bool) bool {
	for !done() {
		if s.over != nil || s.failed || s.remote != nil || !s.step(timeout) {
			return false
		}
	}
	return true
}

// message waits for the next message and takes it out of what was received.
func (s *session) message() (Event, bool) {
	s.looking = true
	defer func() { s.looking = false }()
	if !s.waitFor(s.config.Timeout, func() bool { return len(s.received) > 0 }) {
		return Event{}, false
	}
	e := s.received[0]
	s.received = s.received[1:]
	return e, true
}

// echo sends a message as frames and wants it back.
func (s *session) echo(p []byte, isBinary bool, pieces int, frames ...frame) (Event, bool) {
	_ = s.send(pieces, frames...)
	e, ok := s.message()
	switch {
	case !ok:
		s.conclude(Failed, "no echo came in time%s", s.lastWords())
	case e.Kind != "message" || e.Binary != isBinary:
		s.conclude(Failed, "the echo is not a message of the type sent")
	case len(e.Payload) != len(p):
		s.conclude(Failed, "the echo has %d octets, sent were %d", len(e.Payload), len(p))
	case !slices.Equal(e.Payload, p):
		s.conclude(Failed, "the echo has the right length and the wrong content")
	default:
		return e, true
	}
	return e, false
}

// lastWords says how the connection ended, if it did.
func (s *session) lastWords() string {
	switch {
	case s.remote != nil:
		return fmt.Sprintf(": the endpoint closed with code %d %q", s.remote.code, s.remote.reason)
	case s.over != nil && errors.Is(s.over.err, io.EOF):
		return ": the endpoint dropped the TCP connection"
	case s.over != nil:
		return fmt.Sprintf(": %v", s.over.err)
	case s.timedOut:
		return ": nothing came any more"
	}
	return ""
}

// behavior is the verdict on the frames.
func (s *session) behavior() (Behavior, string) {
	switch {
	case s.closes == anyone:
		return Informational, "Recorded only." + s.lastWords()
	case s.verdict != "":
		return s.verdict, s.why
	case s.closes == byTested && (s.closedByUs || s.remote == nil && s.over == nil):
		return Failed, "the endpoint was to fail the connection and did not"
	case s.matches(s.want):
		return OK, "Actual events match at least one expected."
	case slices.Contains(s.Allowed, NonStrict) && s.matches(s.orWant):
		return NonStrict, "Actual events match at least one expected."
	}
	return Failed, "Actual events differ from any expected" + s.lastWords()
}

// behaviorClose is the verdict on the end of the connection, in the suite's order.
func (s *session) behaviorClose() (Behavior, string) {
	switch {
	case s.closes == anyone:
		return Informational, "Recorded only."
	case s.closedByUs != (s.closes == byPeer):
		return Failed, "The connection was failed by the wrong endpoint" + s.lastWords()
	case s.clean && !s.wasClean:
		return Unclean, "A closing handshake is required: " + s.unclean
	case s.remote == nil && s.timedOut: // the suite would let a client get away with it
		return Unclean, "The connection was neither closed nor dropped"
	case s.remote != nil && s.remote.code != 0 && !slices.Contains(s.codes, s.remote.code):
		return WrongCode, fmt.Sprintf("The close code should have been one of %v or none, was %d", s.codes, s.remote.code)
	case s.role == Client && s.dropped:
		return FailedByClient, "It is preferred that the server close the TCP connection"
	}
	return OK, "Connection was properly closed"
}

func (s *session) result() *Result {
	r := &Result{
		Agent: s.config.Agent, ID: s.ID, Description: s.Description,
		Expected:      map[Behavior][]Event{OK: append([]Event{}, s.want...)},
		ExpectedClose: ExpectedClose{s.closes == byPeer, s.codes, s.clean},
		Received:      append([]Event{}, s.received...),
		Started:       s.start, Duration: time.Since(s.start).Milliseconds(),
		ClosedByMe: s.closedByUs, FailedByMe: s.failed || s.timedOut, DroppedByMe: s.dropped, WasClean: s.wasClean,
		CloseTimeout: s.timedOut && s.local != nil && s.remote == nil,
		DropTimeout:  s.timedOut && s.local != nil && s.remote != nil && s.role == Client,
		Expectation:  s.expectation(), ReportTime: s.limit != 0, CreateStats: true, CreateWirelog: true,
		IsServer:    s.role == Server,
		HTTPRequest: s.open.request, HTTPResponse: s.open.response,
		RxOctets: s.log.rxOctets.Load(), TxOctets: s.log.txOctets.Load(),
	}
	if !s.wasClean && s.unclean != "" {
		why := s.unclean
		r.NotClean = &why
	}
	if slices.Contains(s.Allowed, NonStrict) {
		r.Expected[NonStrict] = append([]Event{}, s.orWant...)
	}
	r.Behavior, r.Result = s.behavior()
	r.BehaviorClose, r.ResultClose = s.behaviorClose()
	r.LocalCloseCode, r.LocalCloseReason = s.local.fields()
	r.RemoteCloseCode, r.RemoteCloseReason = s.remote.fields()
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	r.RxFrames, r.TxFrames, r.Wirelog = maps.Clone(s.log.rxFrames), maps.Clone(s.log.txFrames), slices.Clone(s.log.entries)
	r.RxReads, r.TxWrites = maps.Clone(s.log.rxReads), maps.Clone(s.log.txWrites)
	return r
}

func (c *closed) fields() (code *int, reason *string) {
	if c == nil || c.code == 0 {
		return nil, nil
	}
	return &c.code, &c.reason
}

// refused is the result of a case whose connection was not opened.
func refused(c Case, config Config, role Role, o *opening, start time.Time, why error) *Result {
	r := &Result{
		Agent: config.Agent, ID: c.ID, Description: c.Description, Behavior: Failed, BehaviorClose: Failed,
		Result: why.Error(), ResultClose: why.Error(), Started: start, Duration: time.Since(start).Milliseconds(), IsServer: role == Server,
		Expectation: c.expectation(), ReportTime: c.limit != 0, OpenTimeout: errors.Is(why, os.ErrDeadlineExceeded),
	}
	if o != nil {
		r.HTTPRequest, r.HTTPResponse = o.request, o.response
	}
	return r
}
