package websocket

import (
	"context"
	"crypto/rand"
	"sync"
	"time"
)

// Control frames: the handlers for those that come, those that the program
// sends, pings that wait for their pong, and keepalive.

// handlers are what a program has set to be called for control frames; nil is
// the default of each. They are not changed, but replaced.
type handlers struct {
	ping  func(appData string) error
	pong  func(appData string) error
	close func(code int, text string) error
}

// handlersSet returns the handlers. Few programs set any, so a Conn has no room for
// them.
func (c *Conn) handlersSet() handlers {
	if h := c.handlers.Load(); h != nil {
		return *h
	}
	return handlers{}
}

func (c *Conn) setHandlers(set func(h *handlers)) {
	for {
		before := c.handlers.Load()
		h := new(handlers)
		if before != nil {
			*h = *before
		}
		set(h)
		if c.handlers.CompareAndSwap(before, h) {
			return
		}
	}
}

// SetPingHandler sets the handler for pings; nil is the default, which answers
// with a pong of the same payload (RFC 6455, section 5.5.2). Handlers run on the
// goroutine that reads, and an error of theirs ends the reading with that error.
// They must not read from the connection. A Shutdown of theirs sends the close
// frame and leaves the peer's to the reader.
func (c *Conn) SetPingHandler(h func(appData string) error) {
	c.setHandlers(func(hs *handlers) { hs.ping = h })
}

// SetPongHandler sets the handler for pongs; nil is the default, which does
// nothing. It runs as a ping handler does.
func (c *Conn) SetPongHandler(h func(appData string) error) {
	c.setHandlers(func(hs *handlers) { hs.pong = h })
}

// SetCloseHandler sets the handler for the peer's close frame; nil is the
// default, which answers with the same code and reason (RFC 6455, section
// 5.5.1). The code is CloseNoStatusReceived if the frame had none. The handler
// runs as a ping handler does, before the read returns its *CloseError; an error
// of the handler is returned in place of that. A handler that does not send a
// close frame leaves that to the program.
func (c *Conn) SetCloseHandler(h func(code int, text string) error) {
	c.setHandlers(func(hs *handlers) { hs.close = h })
}

// PingHandler returns the handler for pings.
func (c *Conn) PingHandler() func(appData string) error {
	if h := c.handlersSet().ping; h != nil {
		return h
	}
	return func(appData string) error {
		c.w.reply(PongMessage, []byte(appData))
		return nil
	}
}

// PongHandler returns the handler for pongs.
func (c *Conn) PongHandler() func(appData string) error {
	if h := c.handlersSet().pong; h != nil {
		return h
	}
	return func(string) error { return nil }
}

// CloseHandler returns the handler for the peer's close frame.
func (c *Conn) CloseHandler() func(code int, text string) error {
	if h := c.handlersSet().close; h != nil {
		return h
	}
	return func(code int, text string) error {
		c.w.reply(CloseMessage, FormatCloseMessage(code, cutReason(text)))
		return nil
	}
}

func (c *Conn) onPing(p []byte) error {
	h := c.handlersSet().ping
	if h == nil {
		c.w.reply(PongMessage, p) // what PingHandler's default does, without copies on the way
		return nil
	}
	return c.handle(func() error { return h(string(p)) })
}

func (c *Conn) onPong(p []byte) error {
	c.ponged(p)
	c.tracer().ponged(p)
	h := c.handlersSet().pong
	if h == nil {
		return nil
	}
	return c.handle(func() error { return h(string(p)) })
}

func (c *Conn) onClose(code int, reason string) error {
	c.mu.Lock()
	end := c.endLocked()
	end.peers = &CloseError{Code: code, Text: reason}
	end.closedFirst = c.leaving.Load() || c.w.closeSent()
	c.mu.Unlock()
	return c.handle(func() error { return c.CloseHandler()(code, reason) })
}

// handle calls a handler of the program on the goroutine that reads, and lets
// Shutdown know while it runs. A Shutdown within it leaves the peer's close frame
// to the reader, though not for ever.
func (c *Conn) handle(handler func() error) error {
	c.handling.Store(true)
	defer c.handled()
	err := handler()
	if err != nil {
		c.calledOff = true
	}
	return err
}

// handled ends what handle, or that of a loop, has begun.
func (c *Conn) handled() {
	c.handling.Store(false)
	if c.leftToReader.Load() {
		c.dropAfter(c.closeTimeout.duration(), errCloseTimeout)
	}
}

// WriteControl sends a control frame with at most 125 bytes of payload by the
// deadline; the zero time is none. It may go between the fragments of a message.
// The payload of a close frame is made by FormatCloseMessage; after it, writes
// return ErrCloseSent.
//
// If the frame could not have its turn before the deadline, the error matches
// os.ErrDeadlineExceeded and the connection is as it was. The other errors are
// those of WriteMessage.
func (c *Conn) WriteControl(messageType int, data []byte, deadline time.Time) error {
	if !isControl(messageType) {
		return errBadMessageType
	}
	if err := c.checkOutgoing(messageType, data); err != nil {
		return err
	}
	return c.w.control(context.Background(), messageType, data, onOurClock(deadline))
}

// expectPong returns the payload of a new ping and a channel for the time of its
// pong.
func (c *Conn) expectPong() (id [8]byte, pong chan time.Time) {
	_, _ = rand.Read(id[:]) // never fails: it ends the program first
	pong = make(chan time.Time, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	x := c.extrasLocked()
	if x.pings == nil {
		x.pings = make(map[[8]byte]chan time.Time)
	}
	x.pings[id] = pong
	return id, pong
}

// forgetPong ends what expectPong began.
func (c *Conn) forgetPong(id [8]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.extras.pings, id)
}

// ponged looks for the ping that a pong with payload p answers.
func (c *Conn) ponged(p []byte) {
	if len(p) != len([8]byte{}) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.extras == nil {
		return
	}
	if pong, ok := c.extras.pings[[8]byte(p)]; ok {
		pong <- time.Now()
		delete(c.extras.pings, [8]byte(p))
	}
}

// Ping sends a ping and waits for its pong, which comes only while somebody is
// reading, and so never within a handler. It returns the time between the two.
// Several Pings may wait at once; since a peer need answer only the latest ping
// (RFC 6455, section 5.5.3), give ctx a deadline.
//
// The error is context.Cause(ctx) when ctx ends first, the cause of c.Context
// when the connection does, or one of WriteControl. If ctx ends while the ping is
// being sent, because the peer does not read, the writing side of the connection
// fails, as in WriteMessageContext.
func (c *Conn) Ping(ctx context.Context) (rtt time.Duration, err error) {
	if err := c.line.refuses(PingMessage, nil); err != nil {
		return 0, err
	}
	defer func() {
		if err == nil {
			c.mu.Lock()
			c.extras.rtt = rtt
			c.mu.Unlock()
			c.tracer().answered(rtt)
		}
	}()
	id, pong := c.expectPong()
	defer c.forgetPong(id)
	sent := time.Now()
	if err := c.w.control(ctx, PingMessage, id[:], c.w.byTimeout()); err != nil {
		return 0, err
	}
	select {
	case at := <-pong:
		return at.Sub(sent), nil
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-c.Context().Done():
		err = context.Cause(c.Context())
	}
	select {
	case at := <-pong: // it was there too
		return at.Sub(sent), nil
	default:
		return 0, err
	}
}

// keepalive pings a silent peer and fails the connection if it stays silent. It
// is a timer, not a goroutine. nil is no keepalive.
type keepalive struct {
	interval time.Duration // of silence before a ping
	timeout  time.Duration // of further silence before the connection fails

	c       *Conn
	mu      sync.Mutex
	timer   *time.Timer
	heard   int64         // when the peer was last heard, on the clock of uptime, as the next two
	waiting int64         // since when a read waits for it, 0 while none does
	pinged  int64         // when it was first pinged since it was heard, 0 if it was not
	waited  time.Duration // how long reads have waited in vain since it was pinged, without the one at hand
	stopped bool
}

// keepAlive begins to keep c alive as opts say.
func (c *Conn) keepAlive(opts *Options) {
	k := &keepalive{
		interval: opts.PingInterval,
		timeout:  positive(opts.PingTimeout, opts.PingInterval),
		c:        c,
		heard:    uptime(),
	}
	c.keepalive = k
	k.mu.Lock()
	defer k.mu.Unlock()
	k.timer = time.AfterFunc(k.interval, k.tick)
}

func (k *keepalive) stop() {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stopped = true
	k.timer.Stop()
}

// tick does what is due and sets the timer for what comes next.
func (k *keepalive) tick() {
	now := uptime()
	// A ping that finds somebody writing is not sent: the write deadline
	// watches over them, and a peer that was not asked owes no answer. When
	// nothing can be sent any more there is nothing to wait for.
	pinged := k.wantsPing(now) && (k.ping() || k.c.w.err() != nil)

	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stopped {
		return
	}
	if pinged {
		k.asked(now)
	}
	next := k.next(now)
	if next <= 0 {
		k.stopped = true
		go k.c.kill(errSilent) // closing may take a while, and a timer must not
		return
	}
	k.timer.Reset(min(next, k.interval)) // the peer may be heard meanwhile, and silent again
}

// ping sends a ping, and reports whether it could.
func (k *keepalive) ping() bool {
	t := k.c.tracer()
	if t == nil {
		return k.c.w.probe()
	}
	undo := t.pings()
	if k.c.w.probe() {
		return true
	}
	undo()
	return false
}

// asked notes a ping for which the tick at now is the reason, unless the peer was heard
// since: the pong may have come before this is called, and by a coarse clock, or in a
// bubble of testing/synctest, at the very time of the tick.
func (k *keepalive) asked(now int64) {
	if k.pinged == 0 && k.heard < now {
		k.pinged, k.waited = now, 0
	}
}

// wantsPing reports whether the peer has been silent for long enough. While the
// program is too busy to read, pings go on: what is between us and the peer may
// have an eye on silence too.
func (k *keepalive) wantsPing(now int64) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return !k.stopped && time.Duration(now-k.heard) >= k.interval && (k.pinged == 0 || k.waiting == 0)
}

// next returns how long nothing is to be done, 0 or less when the connection
// has failed.
func (k *keepalive) next(now int64) time.Duration {
	if left := k.interval - time.Duration(now-k.heard); left > 0 {
		return left
	}
	if k.pinged == 0 || k.waiting == 0 {
		return k.interval
	}
	return k.timeout - k.waited - k.inVain(now)
}

// inVain returns how long the read at hand has waited since the peer was pinged.
// While nobody reads, what the peer says may wait in the socket.
func (k *keepalive) inVain(now int64) time.Duration {
	return time.Duration(now - max(k.waiting, k.pinged))
}

// wait notes that a read waits for the peer.
func (k *keepalive) wait() {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.waiting = uptime()
}

// hear notes that the read is over, and whether it brought anything.
func (k *keepalive) hear(n int) {
	if k == nil {
		return
	}
	now := uptime()
	k.mu.Lock()
	defer k.mu.Unlock()
	if n > 0 {
		k.heard = now
		k.pinged = 0
	} else if k.pinged != 0 {
		k.waited += k.inVain(now)
	}
	k.waiting = 0
}
