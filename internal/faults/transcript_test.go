package faults

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math/bits"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	websocket "github.com/duplexkit/websocket"
)

// The transcript is broken at every byte of both directions, in every way, and each
// time in a bubble of its own, where hours pass in no time and what hangs is a
// deadlock. What has to come of it is what reader.see makes of the bytes that the
// library was given.

var full = flag.Bool("faults.full", false, "read in every way at every fault, and not in one of them")

// A door is a way to open a connection.
type door int

const (
	upgradeConn door = iota // Upgrader.UpgradeConn
	upgrade                 // Upgrader.Upgrade, behind net/http
	dial                    // Dialer
	doors       = 3
)

func (d door) String() string { return [...]string{"UpgradeConn", "Upgrade", "Dial"}[d] }

func (d door) server() bool { return d != dial }

// A method is a way to read.
type method int

const (
	readMessage method = iota
	nextReader
	readContext
	serve
	start
	iterate
	methods = 6
)

func (m method) String() string {
	return [...]string{"ReadMessage", "NextReader", "ReadMessageContext", "Serve", "Start", "Messages"}[m]
}

// loops reports whether the method ends at a timeout.
func (m method) loops() bool { return m >= serve }

// trial is one connection and how it breaks.
type trial struct {
	door   door
	plan   Plan
	method method
	leaves bool // the peer closes first
	narrow bool // the network connection knows no CloseWrite
}

func (tr trial) String() string {
	return fmt.Sprintf("%v, %v, %v, peer leaves first: %t, no CloseWrite: %t", tr.door, tr.plan, tr.method, tr.leaves, tr.narrow)
}

// outcome is what came of a trial.
type outcome struct {
	fc   *Conn
	peer *scriptedPeer

	opened     bool
	refused    error // why not
	compressed bool
	read       reading
	written    writing
	closed     error // by Close, in the end
	again      error // of a read afterwards
	released   bool  // the network connection was closed
}

// reading is what a reader got.
type reading struct {
	messages []message
	err      error // nil at the end of a loop that has nothing to complain of
	part     string
	taken    []byte // the bytes that had come then
	ended    bool   // and whether the end had
	resumed  int    // timeouts that cost nothing
	failed   error
}

// writing is what a writer got.
type writing struct {
	accepted []message
	err      error // of the first write that failed
	again    error // of the one after it
	flushed  error
	shutdown error
}

const (
	patience     = 1130 * time.Millisecond // of the program for one message; nothing else ends at a multiple of that
	pause        = 500 * time.Millisecond  // of the network, less than that
	writeTimeout = 5 * time.Second
	most         = 10 * time.Minute // for a whole trial
	goodbye      = "that was all"
)

var errImpatient = errors.New("the program's patience has ended")

// run is a trial, within a bubble.
func (tr trial) run() (o outcome) {
	ours, theirs := Pipe()
	o.fc = New(ours, tr.plan)
	var nc net.Conn = o.fc
	if tr.narrow {
		nc = struct{ net.Conn }{o.fc}
	}
	o.peer = &scriptedPeer{
		nc: theirs, client: tr.door.server(), leaves: tr.leaves, expect: len(outgoing),
		frames: encodedSides[tr.door.server()],
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		o.peer.run()
	}()
	done := make(chan struct{})
	go func() {
		defer close(done)
		tr.converse(nc, &o)
	}()
	giveUp := time.NewTimer(most)
	defer giveUp.Stop()
	for what, over := range map[string]chan struct{}{"the program": done, "the peer": gone} {
		select {
		case <-over:
		case <-giveUp.C:
			panic(fmt.Sprintf("%s hangs: %v", what, tr)) // and all stacks
		}
	}
	time.Sleep(longest) // what lingers has its time
	select {
	case <-o.fc.Done():
		o.released = true
	default:
	}
	return o
}

// outgoing is the library's side, incoming the peer's.
var (
	outgoing = side("library")
	incoming = side("peer")

	// encodedSides is the peer's side by whether it is the client.
	encodedSides = map[bool][]byte{true: encoded(true, sequence(incoming)), false: encoded(false, sequence(incoming))}
)

var options = websocket.Options{
	Compression:  &websocket.Compression{},
	WriteTimeout: writeTimeout,
	PingInterval: 20 * time.Second,
	PingTimeout:  10 * time.Second,
}

// open opens the connection.
func (tr trial) open(nc net.Conn) (c *websocket.Conn, shut func(), err error) {
	shut = func() {}
	up := websocket.Upgrader{WriteBufferSize: 32, Options: options}
	switch tr.door {
	case upgradeConn:
		c, _, err = up.UpgradeConn(nc)
	case dial:
		d := websocket.Dialer{WriteBufferSize: 32, Options: options}
		d.NetDialContext = func(context.Context, string, string) (net.Conn, error) { return nc, nil }
		c, _, err = d.Dial("ws://server.example.com/chat?room=17", http.Header{
			"Origin": {"http://server.example.com"}, "Cookie": {"session=0123456789abcdef"}, "User-Agent": {"faults/1.0 (a transcript)"},
		})
	case upgrade:
		type result struct {
			c   *websocket.Conn
			err error
		}
		results := make(chan result, 1)
		srv := &http.Server{
			ReadHeaderTimeout: writeTimeout,
			ErrorLog:          log.New(io.Discard, "", 0),
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				c, err := up.Upgrade(w, r, nil)
				results <- result{c, err}
			}),
		}
		ln := &onlyListener{nc: make(chan net.Conn, 1), done: make(chan struct{})}
		ln.nc <- nc
		go srv.Serve(ln)
		shut = func() { srv.Close() }
		select {
		case r := <-results:
			return r.c, shut, r.err
		case <-nc.(interface{ Done() <-chan struct{} }).Done():
		}
		select {
		case r := <-results: // it was there too
			return r.c, shut, r.err
		default:
			return nil, shut, errUnheard
		}
	}
	return c, shut, err
}

// errUnheard is a request that net/http has not passed on.
var errUnheard = errors.New("no request came of it")

// onlyListener accepts one connection.
type onlyListener struct {
	nc   chan net.Conn
	done chan struct{}
}

func (l *onlyListener) Accept() (net.Conn, error) {
	select {
	case nc := <-l.nc:
		return nc, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l *onlyListener) Close() error   { close(l.done); return nil }
func (l *onlyListener) Addr() net.Addr { return addr{} }

// converse is the program: it reads, and writes at the same time.
func (tr trial) converse(nc net.Conn, o *outcome) {
	c, shut, err := tr.open(nc)
	defer shut()
	if err != nil {
		o.refused = err
		return
	}
	o.opened = true
	o.compressed = c.Negotiated().Compression != nil
	read := make(chan struct{})
	go func() {
		defer close(read)
		tr.read(c, &o.read)
		o.read.taken, o.read.ended = o.fc.Taken(), o.fc.Ended()
	}()
	tr.write(c, &o.written)
	<-read
	if tr.method != start && tr.method != serve {
		_, _, o.read.failed = c.ReadMessage()
	}
	o.closed = c.Close()
	_, _, o.again = c.ReadMessage()
}

// resumes reports whether a read may be repeated after err.
func resumes(c *websocket.Conn, err error) bool {
	return timedOut(err) && c.Context().Err() == nil
}

func timedOut(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) || err == errImpatient }

func (tr trial) read(c *websocket.Conn, r *reading) {
	take := func(messageType int, p []byte) { r.messages = append(r.messages, message{messageType, string(p)}) }
	handle := func(m websocket.Message) error { take(m.Type, m.Data); return nil }
	if tr.method.loops() && tr.plan.Kind == Overdue && !tr.plan.Write {
		_ = c.SetReadDeadline(time.Now().Add(patience)) // reads tell
	}
	switch tr.method {
	case serve:
		r.err = c.Serve(context.Background(), handle)
		return
	case start:
		done := make(chan struct{})
		c.Start(handle, func(err error) {
			r.err = err
			close(done)
		})
		<-done
		return
	case iterate:
		for m, err := range c.Messages(context.Background()) {
			if r.err = err; err == nil {
				take(m.Type, m.Data)
			}
		}
		return
	}
	for {
		messageType, p, err := tr.readOne(c)
		switch {
		case err == nil:
			take(messageType, p)
		case resumes(c, err):
			r.resumed++
		default:
			r.part, r.err = string(p), err
			return
		}
	}
}

// readOne reads a message.
func (tr trial) readOne(c *websocket.Conn) (messageType int, p []byte, err error) {
	if tr.method == readContext {
		ctx, cancel := context.WithTimeoutCause(context.Background(), patience, errImpatient)
		defer cancel()
		return c.ReadMessageContext(ctx, nil)
	}
	_ = c.SetReadDeadline(time.Now().Add(patience)) // reads tell
	if tr.method == readMessage {
		return c.ReadMessage()
	}
	messageType, r, err := c.NextReader()
	if err != nil {
		return messageType, nil, err
	}
	buf := make([]byte, 16)
	for {
		n, err := r.Read(buf)
		p = append(p, buf[:n]...)
		if err == io.EOF {
			return messageType, p, nil
		}
		if err != nil {
			return messageType, p, err
		}
	}
}

func (tr trial) write(c *websocket.Conn, w *writing) {
	for i, s := range outgoing {
		if w.err = send(c, s); w.err != nil {
			w.again = c.WriteMessage(websocket.TextMessage, []byte("again"))
			w.flushed = c.Flush()
			return
		}
		w.accepted = append(w.accepted, message{websocket.TextMessage, s.text})
		if i == 1 {
			ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
			_, _ = c.Ping(ctx) // the next write tells
			cancel()
		}
	}
	w.flushed = c.Flush()
	if !tr.leaves {
		w.shutdown = c.Shutdown(context.Background(), websocket.CloseNormalClosure, goodbye)
	}
}

func send(c *websocket.Conn, s said) error {
	c.EnableWriteCompression(s.deflated)
	if s.fragments == nil {
		return c.WriteMessage(websocket.TextMessage, []byte(s.text))
	}
	mw, err := c.NextWriter(websocket.TextMessage)
	if err != nil {
		return err
	}
	at := 0
	for _, end := range append(s.fragments, len(s.text)) {
		if _, err := io.WriteString(mw, s.text[at:end]); err != nil {
			return err
		}
		at = end
	}
	return mw.Close()
}

// documented reports whether the documentation speaks of such an error.
func documented(err error) bool {
	var (
		closed    *websocket.CloseError
		broken    *websocket.ProtocolError
		handshake websocket.HandshakeError
	)
	if errors.As(err, &closed) || errors.As(err, &broken) || errors.As(err, &handshake) {
		return true
	}
	for _, target := range []error{
		websocket.ErrReadLimit, websocket.ErrCloseSent, websocket.ErrBadHandshake, os.ErrDeadlineExceeded, net.ErrClosed,
		context.DeadlineExceeded, context.Canceled, syscall.ECONNRESET, syscall.EPIPE, io.ErrShortWrite, io.ErrUnexpectedEOF, io.EOF, io.ErrClosedPipe, errImpatient,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// injected returns what the fault makes reads or writes fail with.
func (k Kind) injected() error {
	switch k {
	case Reset:
		return syscall.ECONNRESET
	case Timeout, Overdue, Silence:
		return os.ErrDeadlineExceeded
	case Broken:
		return syscall.EPIPE
	case Short, Careless:
		return io.ErrShortWrite
	}
	return io.ErrUnexpectedEOF
}

// harmless reports whether nobody should notice the fault.
func (k Kind) harmless() bool { return k == None || k == Pause || k == Octets }

// damaging reports whether what comes through is not what was sent.
func (k Kind) damaging() bool { return k == Flip || k == Twice }

// frames returns what stands behind the handshake.
func frames(b []byte) []byte {
	_, rest, _ := bytes.Cut(b, []byte("\r\n\r\n"))
	return rest
}

// verify compares what came of the trial with what the bytes say.
func (o outcome) verify(t *testing.T, tr trial) {
	t.Helper()
	require.True(t, o.released, "the network connection was not closed: %v", tr)
	if tr.plan.Kind != None && !o.fc.Struck() {
		require.True(t, tr.plan.Write, "nothing happened: %v", tr)
		require.LessOrEqual(t, o.fc.Written(), tr.plan.At, "nothing happened: %v", tr)
		tr.plan.Kind = None
	}
	if tr.plan.Write && tr.plan.Kind.Cuts() && tr.plan.Kind != Careless {
		require.Zero(t, o.fc.Later(), "writes after one that was cut short: %v", tr)
	}
	if !o.opened {
		o.verifyRefusal(t, tr)
		return
	}
	head := len(o.fc.Taken()) - len(frames(o.fc.Taken()))
	if tr.door == upgrade && !tr.plan.Write && tr.plan.At < head && tr.plan.Kind.injected() == os.ErrDeadlineExceeded {
		return // a timeout that net/http takes for the end of the header: what it passes on is its affair
	}
	o.verifyReading(t, tr)
	o.verifyWriting(t, tr)
	if tr.plan.Kind.harmless() {
		require.Len(t, o.read.messages, len(incoming), "%v", tr)
		require.True(t, o.clean(tr), "%v: %v", tr, o.read.err)
		require.Len(t, o.written.accepted, len(outgoing), "%v: %v", tr, o.written.err)
		require.NoError(t, o.written.flushed, "%v", tr)
		require.NoError(t, o.written.shutdown, "%v", tr)
		require.NoError(t, o.closed, "%v", tr)
		require.False(t, o.peer.gaveUp, "%v", tr)
	}
}

// verifyRefusal is verify for a connection that did not open.
func (o outcome) verifyRefusal(t *testing.T, tr trial) {
	t.Helper()
	kind := tr.plan.Kind
	require.False(t, kind.harmless(), "%v: %v", tr, o.refused)
	if o.refused == errUnheard { // net/http has judged
		require.Equal(t, upgrade, tr.door, "%v", tr)
		return
	}
	if tr.door == dial && kind.damaging() && strings.HasPrefix(o.refused.Error(), "websocket: reading the server's answer: ") {
		return // which was not HTTP
	}
	require.True(t, documented(o.refused), "%v: %v", tr, o.refused)
	if kind.damaging() || kind == EOF && tr.plan.Write {
		return
	}
	if tr.door == upgrade && !tr.plan.Write {
		return // what net/http makes of half a request is its affair
	}
	if tr.door == dial && errors.Is(o.refused, context.DeadlineExceeded) {
		require.ErrorIs(t, kind.injected(), os.ErrDeadlineExceeded, "%v: %v", tr, o.refused)
		return
	}
	if kind == EOF && tr.plan.At == 0 && errors.Is(o.refused, io.EOF) {
		return
	}
	require.ErrorIs(t, o.refused, kind.injected(), "%v", tr)
}

// clean reports whether reading ended as if all were well.
func (o outcome) clean(tr trial) bool {
	if tr.method.loops() {
		return o.read.err == nil
	}
	return websocket.IsCloseError(o.read.err, websocket.CloseNormalClosure)
}

// verifyReading compares what was read with what the bytes that came say.
func (o outcome) verifyReading(t *testing.T, tr trial) {
	t.Helper()
	taken := o.read.taken
	r := reader{server: tr.door.server(), compressed: o.compressed, limit: websocket.DefaultReadLimit}
	if tr.method == nextReader {
		r.limit = -1
	}
	interrupts := !tr.plan.Write && (tr.plan.Kind == Timeout || tr.plan.Kind == Overdue) && o.fc.Struck()
	if head := len(taken) - len(frames(taken)); tr.plan.At < head || tr.door == upgrade && tr.plan.At == head {
		interrupts = false // it was net/http that saw it, and did not mind
	}
	final := false // the timeout
	if interrupts {
		// "A read deadline that passes [...] while a connection waits for a message costs
		// nothing [...]. Within a message the connection fails." And a loop ends.
		final = r.see(frames(taken[:tr.plan.At])).within || tr.method.loops()
		if final {
			taken = taken[:tr.plan.At]
		} else {
			require.Positive(t, o.read.resumed, "%v", tr)
		}
	}
	s := r.see(frames(taken))
	if o.written.shutdown != nil && (errors.Is(o.read.err, net.ErrClosed) || o.read.err == nil) {
		// A Shutdown that fails closes the connection, under a reader that had bytes in hand.
		s.end = unfinished
		s.messages = s.messages[:min(len(o.read.messages), len(s.messages))]
	}
	require.Equal(t, s.messages, o.read.messages, "%v", tr)
	if !tr.plan.Kind.damaging() {
		all := messages(incoming)
		require.Equal(t, all[:len(s.messages)], orNone(s.messages), "%v", tr)
	}
	if len(s.messages) < len(incoming) && !tr.plan.Kind.damaging() {
		require.False(t, o.clean(tr), "a loss without an error: %v", tr)
	}
	err := o.read.err
	if !tr.method.loops() {
		require.Error(t, err, "%v", tr)
		// A timeout that costs nothing does not stay, even if a write has failed meanwhile and
		// the program does not read on.
		if o.written.err == nil || !timedOut(err) {
			require.Equal(t, err, o.read.failed, "errors stay: %v", tr)
			require.ErrorIs(t, o.again, err, "also after Close: %v", tr)
		}
	}
	require.Error(t, o.again, "%v", tr)
	if err != nil {
		require.True(t, documented(err), "%v: %v", tr, err)
	}
	switch {
	case final:
		require.True(t, timedOut(err), "%v: %v", tr, err)
	case s.end == closed && tr.method.loops() && (s.code == websocket.CloseNormalClosure || s.code == websocket.CloseGoingAway) && !s.within:
		require.NoError(t, err, "%v", tr)
	case s.end == closed && err == nil && tr.method.loops():
		require.False(t, tr.leaves, "nobody had closed before the peer: %v", tr)
	case s.end == closed:
		var closed *websocket.CloseError
		require.ErrorAs(t, err, &closed, "%v", tr)
		require.Equal(t, websocket.CloseError{Code: s.code, Text: s.reason}, *closed, "%v", tr)
	case s.end == broken:
		var broken *websocket.ProtocolError
		require.ErrorAs(t, err, &broken, "%v", tr)
		require.Equal(t, s.code, broken.Code, "%v: %v", tr, err)
	case s.end == tooLarge:
		require.ErrorIs(t, err, websocket.ErrReadLimit, "%v", tr)
	default:
		o.verifyLoss(t, tr)
	}
}

// verifyLoss is verifyReading for bytes that end in the middle of it all.
func (o outcome) verifyLoss(t *testing.T, tr trial) {
	t.Helper()
	err := o.read.err
	switch {
	case err == nil:
		// Shutdown, which the peer did not answer, tells.
		require.True(t, tr.method.loops(), "%v", tr)
		require.Error(t, o.written.shutdown, "%v", tr)
	case tr.plan.Write && tr.plan.Kind.Cuts() && timedOut(err):
		// The program has given up, for Context told that a write had failed.
	case o.written.err != nil && errors.Is(err, o.written.err):
		// "After a write that failed for good, reading goes on for Options.CloseTimeout, and
		// then the error is that of the write, wrapped."
	case errors.Is(err, net.ErrClosed):
		require.Error(t, o.written.shutdown, "%v", tr)
	case o.read.ended:
		require.True(t, websocket.IsCloseError(err, websocket.CloseAbnormalClosure), "%v: %v", tr, err)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF, "%v", tr)
	default:
		waits := tr.plan.Kind.damaging() || tr.plan.Kind.injected() == os.ErrDeadlineExceeded // for what a damaged length promises, for one
		require.True(t, errors.Is(err, tr.plan.Kind.injected()) || waits && timedOut(err), "%v: %v", tr, err)
	}
}

func orNone(ms []message) []message {
	if ms == nil {
		return []message{}
	}
	return ms
}

// verifyWriting compares what was accepted with what came to the peer.
func (o outcome) verifyWriting(t *testing.T, tr trial) {
	t.Helper()
	w, kind := o.written, tr.plan.Kind
	for _, err := range []error{w.err, w.again, w.flushed, w.shutdown, o.closed} {
		if err != nil {
			require.True(t, documented(err), "%v: %v", tr, err)
		}
	}
	if w.err != nil {
		switch {
		case errors.Is(w.err, websocket.ErrCloseSent):
			require.Error(t, w.again, "%v", tr) // the close frame was on its way then, and may not have arrived
		case timedOut(w.err):
			// The message may have waited for its turn in vain, which is not for good, behind a
			// pong for which the time ran out at the same time.
			require.True(t, w.again != nil || w.flushed != nil, "errors stay: %v: %v", tr, w.err)
		default:
			require.ErrorIs(t, w.again, w.err, "errors stay: %v", tr)
		}
	}
	if tr.plan.Write && kind.damaging() {
		return // what the peer makes of it is not the library's affair
	}
	s := reader{server: !tr.door.server(), compressed: o.compressed, limit: -1}.see(o.peer.got)
	require.Contains(t, []ending{unfinished, closed}, s.end, "the peer got bad frames (%d): %v", s.code, tr)
	require.LessOrEqual(t, len(s.messages), len(outgoing), "%v", tr)
	require.Equal(t, messages(outgoing)[:len(s.messages)], orNone(s.messages), "%v", tr)
	if s.begun {
		require.True(t, tr.plan.Write && o.fc.Struck(), "half a frame without a fault: %v", tr)
	}
	if s.end == closed {
		require.Len(t, o.peer.got, s.used, "something behind the close frame: %v", tr)
	}
	if len(s.messages) < len(w.accepted) {
		lost := !o.clean(tr)
		for _, err := range []error{w.err, w.flushed, w.shutdown, o.closed} {
			lost = lost || err != nil
		}
		require.True(t, lost, "%d messages accepted, %d there, and no error: %v", len(w.accepted), len(s.messages), tr)
	}
	if tr.plan.Write && kind.Cuts() && w.err != nil && !errors.Is(w.err, websocket.ErrCloseSent) && !errors.Is(w.err, net.ErrClosed) {
		if kind.injected() == os.ErrDeadlineExceeded && errors.Is(w.err, context.DeadlineExceeded) {
			return // the Ping's
		}
		require.ErrorIs(t, w.err, kind.injected(), "%v", tr)
	}
}

// lengths are those of the transcript, in bytes.
type lengths struct {
	in, out int
	headers [2]map[int]bool // where a frame's header has a byte: read, written
}

// rehearse runs the transcript without a fault.
func rehearse(t *testing.T, tr trial) (l lengths) {
	t.Helper()
	o := try(t, tr)
	require.True(t, o.opened, "%v: %v", tr, o.refused)
	o.verify(t, tr)
	require.True(t, o.compressed)
	pongs := reader{server: !tr.door.server(), compressed: true, limit: -1}.see(o.peer.got).pongs
	require.Equal(t, "within", pongs[len(pongs)-1])
	taken := o.fc.Taken()
	l.in, l.out = len(taken), o.fc.Written()
	for i, b := range [][]byte{frames(taken), o.peer.got} {
		l.headers[i] = make(map[int]bool)
		at := []int{l.in, l.out}[i] - len(b)
		for len(b) > 0 {
			h, whole := headOf(b)
			require.True(t, whole)
			for j := range h.size {
				l.headers[i][at+j] = true
			}
			n := h.size + int(h.length)
			b, at = b[n:], at+n
		}
	}
	return l
}

// try runs a trial in a bubble of its own, which panics if a goroutine is left behind.
func try(t *testing.T, tr trial) (o outcome) {
	defer func() {
		if p := recover(); p != nil {
			panic(fmt.Sprintf("%v: %v", tr, p))
		}
	}()
	synctest.Test(t, func(*testing.T) { o = tr.run() })
	return o
}

// segments are the lengths of what comes twice, in turn.
var segments = []int{1, 2, 3, 6, 14, 40, 133}

// plans returns the ways to break one direction at a byte, of which there are left so
// many from there on.
func plans(write, header bool, at, left int) (ps []Plan) {
	kinds := []Kind{EOF, Reset, Timeout, Overdue, Silence, Pause, Octets}
	if write {
		kinds = []Kind{EOF, Reset, Timeout, Overdue, Silence, Pause, Broken, Short, Careless}
	}
	for _, kind := range kinds {
		ps = append(ps, Plan{Kind: kind, Write: write, At: at, Wait: pause})
	}
	bits := []byte{1 << (at % 8)}
	if header {
		bits = []byte{1, 2, 4, 8, 16, 32, 64, 128}
	}
	for _, b := range bits {
		ps = append(ps, Plan{Kind: Flip, Write: write, At: at, Bits: b})
	}
	return append(ps, Plan{Kind: Twice, Write: write, At: at, Length: min(segments[at%len(segments)], left)})
}

// trials returns the connections to try for one fault: with all methods and both ways
// to close, or with one each in turn.
func trials(d door, p Plan) (trs []trial) {
	turn := p.At + 5*int(p.Kind) + bits.TrailingZeros8(p.Bits)
	for m := range method(methods) {
		for i, leaves := range []bool{false, true} {
			if !*full && turn%(2*methods) != 2*int(m)+i {
				continue
			}
			// What a timeout does to Shutdown, whose reads the program's deadline does not
			// concern, says nothing of reading.
			leaves = leaves || !p.Write && (p.Kind == Timeout || p.Kind == Overdue)
			trs = append(trs, trial{door: d, plan: p, method: m, leaves: leaves, narrow: d != upgrade && turn/(2*methods)%2 == 1})
		}
	}
	return trs
}

func TestTranscript(t *testing.T) {
	count, refused, turn := 0, 0, 0
	for d := range door(doors) {
		var l lengths
		for m := range method(methods) {
			for _, leaves := range []bool{false, true} {
				now := rehearse(t, trial{door: d, method: m, leaves: leaves})
				require.True(t, l.in == 0 || l.in == now.in, "%v, %v", d, m)
				if now.out > l.out { // two pongs may have become one
					l = now
				}
			}
		}
		t.Logf("%v: %d bytes in, %d bytes out", d, l.in, l.out)
		for i, length := range []int{l.in, l.out} {
			for at := range length {
				for _, p := range plans(i == 1, l.headers[i][at], at, length-at) {
					turn++
					if skipped(turn) {
						continue
					}
					for _, tr := range trials(d, p) {
						o := try(t, tr)
						o.verify(t, tr)
						count++
						if !o.opened {
							refused++
						}
					}
				}
			}
		}
	}
	t.Logf("%d faults, of which %d kept the connection from opening", count, refused)
}

// skipped reports whether a fault is left out, where a run would take too long.
func skipped(turn int) bool { return raceEnabled && !*full && turn%raceStride != 0 }

// raceStride is how many faults there are for one that is tried under the race detector.
const raceStride = 13
