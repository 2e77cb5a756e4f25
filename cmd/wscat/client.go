package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/duplexkit/websocket"
)

// A session is a connection in use. Three goroutines work on it: one reads, one sends what
// there is to send, and run decides when it is over.
type session struct {
	o    *options
	link *link
	show *screen     // for people
	out  io.Writer   // for messages in pipe mode, nil in interactive mode
	rec  *recorder   // nil without -record
	cmp  *comparison // nil without -compare

	began   time.Time
	enough  chan struct{} // closed when -n messages have come
	trouble chan error    // that ends the session, one at most
	pong    chan struct{} // tells the keepalive that one has come

	mu       sync.Mutex
	pings    map[string]time.Time // when those were sent whose pongs are yet to come
	numbered int                  // pings that were given a number for want of a payload
	trips    trips
	got      int    // messages received
	leaving  *event // the close frame that we have sent first
	peers    *event // the close frame that the peer has sent
}

// trips are round trips measured.
type trips struct {
	n                int
	least, most, sum time.Duration
}

// A farewell is what ends the sending with a close frame of the user's choice.
type farewell struct {
	code   int
	reason string
	now    bool // without waiting for more messages
}

func (f *farewell) Error() string { return "closing" }

// connect is the client.
func connect(ctx context.Context, o *options, stdin io.Reader, stdout, stderr io.Writer) error {
	if o.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, o.timeout, failf(exitTimeout, "not done within %v", o.timeout))
		defer cancel()
	}
	interactive := o.interactive || o.replay == "" && len(o.messages) == 0 && isTerminal(stdin)
	s := &session{
		o:       o,
		enough:  make(chan struct{}),
		trouble: make(chan error, 1),
		pong:    make(chan struct{}, 1),
		pings:   make(map[string]time.Time),
	}
	if interactive {
		s.show = newScreen(o, stdout)
	} else {
		s.show = newScreen(o, stderr)
		s.out = stdout
	}
	if o.compare {
		s.cmp = newComparison(o.recording)
	}
	chatty := !o.quiet && (interactive || o.verbose)
	l, err := dial(ctx, o, s.show, chatty)
	if err != nil {
		return err
	}
	defer l.close()
	s.link, s.began = l, time.Now()
	if o.record != "" { // not before, lest an older recording be lost to a server that is not there
		if err := s.startRecording(); err != nil {
			ctx, cancel := context.WithTimeout(context.Background(), o.closeTimeout)
			defer cancel()
			_ = l.Shutdown(ctx, websocket.CloseGoingAway, "")
			return fmt.Errorf("recording: %w", err)
		}
		defer s.rec.close()
	}
	if chatty {
		l.describe(o, s.show)
	}
	err = s.run(ctx, s.sender(interactive, stdin))
	if chatty {
		s.show.note("%s", s.statistics())
	}
	return err
}

func (s *session) startRecording() (err error) {
	if s.rec, err = newRecorder(s.o.record); err != nil {
		return err
	}
	if err := s.rec.open(s.began, s.o.url.String(), s.link.Subprotocol()); err != nil {
		s.rec.close()
		return err
	}
	return nil
}

// sender returns what sends.
func (s *session) sender(interactive bool, stdin io.Reader) func(ctx context.Context) error {
	o := s.o
	switch {
	case o.recording != nil:
		return func(ctx context.Context) error { return o.recording.play(ctx, o.speed, s.send) }
	case len(o.messages) > 0:
		return func(context.Context) error {
			for i, text := range o.messages {
				e, err := o.input.parse([]byte(text), o.messageType)
				if err != nil {
					return fmt.Errorf("-x %d: %w", i+1, err)
				}
				if err := s.send(e); err != nil {
					return err
				}
			}
			return nil
		}
	case interactive:
		if !o.quiet {
			s.show.note("lines are sent as messages; /help lists the commands, Ctrl-D ends")
		}
		return func(ctx context.Context) error { return s.converse(ctx, stdin, isTerminal(stdin)) }
	}
	return func(context.Context) error {
		in := bufio.NewReader(stdin)
		for number := 1; ; number++ {
			e, err := o.input.read(in, o.messageType)
			if err == io.EOF {
				return nil
			} else if err != nil {
				return fmt.Errorf("input, message %d: %w", number, err)
			}
			if err := s.send(e); err != nil {
				return err
			}
			if o.input == formatWhole {
				return nil
			}
		}
	}
}

// run lasts as long as the session. Its error says how it ended.
func (s *session) run(ctx context.Context, sender func(context.Context) error) error {
	c := s.link.Conn
	c.SetPingHandler(s.handlePing(c.PingHandler()))
	c.SetPongHandler(s.handlePong)

	sending, stop := context.WithCancel(ctx)
	var others sync.WaitGroup
	defer others.Wait()
	defer stop()
	if s.o.pingInterval > 0 {
		others.Go(func() { s.keepalive(sending) })
	}
	reading := make(chan error, 1)
	go func() { reading <- s.read() }()
	done := make(chan error, 1)
	go func() { done <- sender(sending) }() // which standard input may hold up for longer than run

	bye := &farewell{code: s.o.closeCode, reason: s.o.closeReason}
	var waiting <-chan time.Time // for messages, after all was sent
	var complete <-chan struct{} // those that were recorded
	if s.cmp != nil {
		complete = s.cmp.complete
	}
	allSent := false
	for {
		select {
		case <-ctx.Done():
			return s.leave(reading, &farewell{code: websocket.CloseGoingAway}, context.Cause(ctx))
		case err := <-s.trouble:
			return s.leave(reading, &farewell{code: websocket.CloseGoingAway}, err)
		case err := <-reading:
			return s.ended(err)
		case <-s.enough:
			return s.leave(reading, bye, nil)
		case <-waiting:
			return s.leave(reading, bye, nil)
		case err := <-done:
			done = nil
			var own *farewell
			switch {
			case errors.As(err, &own):
				bye = own
				if own.now {
					return s.leave(reading, bye, nil)
				}
			case ctx.Err() != nil, s.finished(err):
				continue // another case tells why
			case err != nil:
				return s.leave(reading, &farewell{code: websocket.CloseGoingAway}, err)
			}
			allSent = true
			waiting = s.patience()
		case <-complete:
			complete = nil
		}
		if allSent && s.cmp != nil && complete == nil { // there is nothing to wait for
			return s.leave(reading, bye, nil)
		}
	}
}

// finished reports whether err, of sending, comes of an end that the reader explains.
func (s *session) finished(err error) bool {
	return err != nil && (errors.Is(err, websocket.ErrCloseSent) || s.link.Context().Err() != nil)
}

// patience is how long messages are waited for when all is sent.
func (s *session) patience() <-chan time.Time {
	wait := s.o.wait
	switch {
	case s.o.waitSet:
	case s.cmp != nil:
		wait = 5 * time.Second
	case s.o.count > 0:
		wait = forever
	}
	if wait == forever {
		return nil
	}
	return time.After(wait)
}

// read receives until the connection ends.
func (s *session) read() error {
	for {
		messageType, p, err := s.link.ReadMessage()
		if err != nil {
			return err
		}
		s.receive(messageEvent(messageType, p))
	}
}

// receive deals with a message.
func (s *session) receive(e event) {
	s.mu.Lock()
	s.got++
	number := s.got
	s.mu.Unlock()
	if s.o.count > 0 && number > s.o.count {
		return // there were as many as were wanted, and we are leaving
	}
	s.log(received, e)
	if s.out != nil {
		if _, err := s.out.Write(s.o.output.append(nil, e)); err != nil {
			s.fail(fmt.Errorf("writing a message to standard output: %w", err))
			return
		}
	}
	if s.cmp != nil {
		if difference := s.cmp.message(e); difference != "" {
			s.show.trouble("%s", printable(difference))
		}
	}
	if number == s.o.count {
		close(s.enough)
	}
}

// log records an event, and shows it.
func (s *session) log(dir string, e event) {
	if s.rec != nil {
		if err := s.rec.event(dir, e); err != nil {
			s.fail(fmt.Errorf("recording: %w", err))
		}
	}
	if !s.quiet() {
		s.show.event(dir, e, "", "")
	}
}

// quiet reports whether what goes on is not to be shown.
func (s *session) quiet() bool { return s.out != nil && !s.o.verbose }

// fail ends the session.
func (s *session) fail(err error) {
	select {
	case s.trouble <- err:
	default: // there was an earlier one
	}
}

// send sends an event, and shows it.
func (s *session) send(e event) error { return s.sendEvent(e, true) }

// sendEvent sends an event. Text that was typed stands on the terminal already.
func (s *session) sendEvent(e event, show bool) error {
	switch e.Type {
	case "close":
		code := e.Code
		if code == 0 {
			code = websocket.CloseNormalClosure
		}
		return &farewell{code: code, reason: e.Reason, now: s.cmp == nil}
	case "ping":
		return s.ping(string(e.payload), show)
	}
	if s.rec != nil {
		if err := s.rec.event(sent, e); err != nil {
			return &failure{exitUsage, fmt.Errorf("recording: %w", err)}
		}
	}
	if show && !s.quiet() {
		s.show.event(sent, e, "", "")
	}
	if e.Type == "pong" {
		return s.link.WriteControl(websocket.PongMessage, e.payload, time.Now().Add(s.o.closeTimeout))
	}
	return s.link.WriteMessage(messageTypes[e.Type], e.payload)
}

// ping sends a ping whose pong will tell the round trip.
func (s *session) ping(payload string, show bool) error {
	s.mu.Lock()
	if payload == "" {
		s.numbered++
		payload = fmt.Sprint(s.numbered)
	}
	s.mu.Unlock()
	e := controlEvent("ping", payload)
	if s.rec != nil {
		if err := s.rec.event(sent, e); err != nil {
			return &failure{exitUsage, fmt.Errorf("recording: %w", err)}
		}
	}
	if show && !s.quiet() {
		s.show.event(sent, e, "", "")
	}
	s.mu.Lock()
	s.pings[payload] = time.Now()
	s.mu.Unlock()
	return s.link.WriteControl(websocket.PingMessage, e.payload, time.Now().Add(s.o.closeTimeout))
}

// handlePing shows the peer's pings; the answer is for the handler that was there.
func (s *session) handlePing(answer func(string) error) func(string) error {
	return func(appData string) error {
		s.log(received, controlEvent("ping", appData))
		return answer(appData)
	}
}

func (s *session) handlePong(appData string) error {
	e := controlEvent("pong", appData)
	if s.rec != nil {
		if err := s.rec.event(received, e); err != nil {
			s.fail(fmt.Errorf("recording: %w", err))
		}
	}
	s.mu.Lock()
	at, ours := s.pings[appData]
	rtt := time.Since(at)
	if ours {
		// A peer need answer only the latest ping (RFC 6455, section 5.5.3).
		for payload, earlier := range s.pings {
			if !earlier.After(at) {
				delete(s.pings, payload)
			}
		}
		s.trips.add(rtt)
	}
	s.mu.Unlock()
	select {
	case s.pong <- struct{}{}:
	default:
	}
	if s.quiet() {
		return nil
	}
	about := ", which answers no ping"
	if ours {
		about = " after " + short(rtt)
	}
	s.show.event(received, e, "", about)
	return nil
}

func (t *trips) add(d time.Duration) {
	if t.n == 0 || d < t.least {
		t.least = d
	}
	t.most = max(t.most, d)
	t.sum += d
	t.n++
}

// keepalive pings the peer, and ends the session when there is no answer.
func (s *session) keepalive(ctx context.Context) {
	patience := s.o.pingTimeout
	if patience == 0 {
		patience = s.o.pingInterval
	}
	ticker := time.NewTicker(s.o.pingInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		select {
		case <-s.pong: // of an earlier ping
		default:
		}
		if err := s.ping("", true); errors.Is(err, websocket.ErrCloseSent) {
			return
		} // any other error is one of a peer that does not answer
		timer := time.NewTimer(patience)
		select {
		case <-ctx.Done():
		case <-s.pong:
		case <-timer.C:
			s.fail(failf(exitTimeout, "no pong within %v", patience))
		}
		timer.Stop()
	}
}

// leave takes leave of the peer. The messages that are still under way are received; why,
// if it is not nil, is what the session ended for.
func (s *session) leave(reading <-chan error, bye *farewell, why error) error {
	e := event{Type: "close", Code: bye.code, Reason: bye.reason}
	s.mu.Lock()
	s.leaving = &e
	s.mu.Unlock()
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		s.log(sent, e)
	}()
	select {
	case <-shown:
	case <-time.After(time.Second): // nobody reads our output, which is not the peer's fault
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.o.closeTimeout)
	defer cancel()
	err := s.link.Shutdown(ctx, bye.code, bye.reason)
	s.link.Close()
	// The reader has the peer's close frame, unless it is held up by whoever reads our
	// output.
	var ended error
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	select {
	case readErr := <-reading:
		ended = s.ended(readErr)
	case <-timer.C:
	}
	switch {
	case why != nil:
		return why
	case err != nil && errors.Is(err, context.DeadlineExceeded):
		return failf(exitTimeout, "the peer did not answer the close frame within %v", s.o.closeTimeout)
	}
	return ended
}

// ended judges the error that reading ended with, and shows the peer's close frame.
func (s *session) ended(err error) error {
	var closed *websocket.CloseError
	var broken *websocket.ProtocolError
	isClose := errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure
	if isClose {
		e := event{Type: "close", Code: closed.Code, Reason: closed.Text}
		if e.Code == websocket.CloseNoStatusReceived {
			e.Code = 0 // there was none in the frame
		}
		s.log(received, e)
		s.peers = &e
	}
	switch {
	case isClose:
		return s.judge(closed)
	case errors.As(err, &broken):
		return failf(exitLost, "the peer broke the protocol: %s", printable(bare(err)))
	case errors.Is(err, websocket.ErrReadLimit):
		return failf(exitLost, "a message of more than %d bytes: -limit allows larger ones", s.o.limit)
	case closed != nil:
		return failf(exitLost, "the connection ended without a close frame")
	}
	return failf(exitLost, "the connection was lost: %s", bare(err))
}

// judge tells a good end from a bad one by the peer's close frame.
func (s *session) judge(closed *websocket.CloseError) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmp != nil {
		var first *event
		if s.leaving == nil {
			first = s.peers
		}
		for _, difference := range s.cmp.end(first) {
			s.show.trouble("%s", printable(difference))
		}
		return s.cmp.failed()
	}
	normal := closed.Code == websocket.CloseNormalClosure || closed.Code == websocket.CloseGoingAway ||
		closed.Code == websocket.CloseNoStatusReceived
	switch {
	case !normal && (s.leaving == nil || closed.Code != s.leaving.Code):
		return failf(exitClosed, "the peer ended the connection: %s", printable(bare(closed)))
	case s.got < s.o.count:
		return failf(exitUnmet, "%d of %s came", s.got, count(s.o.count, "message"))
	}
	return nil
}

// statistics is what the session was, in a line.
func (s *session) statistics() string {
	st := s.link.Stats()
	s.mu.Lock()
	defer s.mu.Unlock()
	text := fmt.Sprintf("open for %s; sent %s, %s, %d on the wire; received %s, %s, %d on the wire",
		short(time.Since(s.began)),
		count(int(st.MessagesWritten), "message"), count(int(st.PayloadWritten), "byte"), st.WireWritten,
		count(int(st.MessagesRead), "message"), count(int(st.PayloadRead), "byte"), st.WireRead)
	if t := s.trips; t.n > 0 {
		text += fmt.Sprintf("; round trip %s", short(t.sum/time.Duration(t.n)))
		if t.n > 1 {
			text += fmt.Sprintf(" of %d, %s to %s", t.n, short(t.least), short(t.most))
		}
	}
	return text
}
