package websocket

import (
	"context"
	"errors"
	"io"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/duplexkit/websocket/internal/deflate"
)

// Options are what an Upgrader and a Dialer share. The zero value works and is
// safe. Options may be copied.
type Options struct {
	// ReadLimit is the largest message that may be read, in bytes. 0 is
	// DefaultReadLimit for messages that are read as a whole (ReadMessage,
	// Messages, Serve, ReadJSON) and no limit for NextReader, which streams;
	// negative is no limit at all.
	ReadLimit int64

	// WriteTimeout is the longest that one message may take to be written, or
	// one fragment of a NextWriter's; 0 is no limit. A deadline set by
	// SetWriteDeadline goes before it.
	WriteTimeout time.Duration

	// PingInterval sends the peer a ping after this long without hearing from
	// it; 0 sends none.
	PingInterval time.Duration

	// PingTimeout fails the connection after this much further silence, of
	// which only the time counts that is spent waiting to read; 0 is
	// PingInterval. It is of no effect without PingInterval. No ping is sent
	// while a write is blocked: WriteTimeout watches over a peer that does not
	// read.
	PingTimeout time.Duration

	// CloseTimeout is how long the peer may take over its part of the closing
	// handshake; 0 is 5 s. Up to a second of it reading goes on after a write has failed
	// for good.
	CloseTimeout time.Duration

	// WriteQueue is how many bytes TryWriteMessage, TryWritePreparedMessage and
	// Group.Broadcast may queue on a connection whose peer is slow to read; 0 is
	// 1 MiB.
	WriteQueue int

	// SlowConsumer is what Group.Broadcast does when that queue has no room.
	SlowConsumer SlowConsumer

	// AllowInvalidUTF8 delivers text messages that are not UTF-8, which
	// otherwise fail the connection with close code 1007 (RFC 6455, section 8.1).
	AllowInvalidUTF8 bool

	// Compression turns permessage-deflate (RFC 7692) on, on these terms;
	// &Compression{} is a good choice where messages are small and alike. nil
	// leaves it to EnableCompression. The peer has to support it too.
	Compression *Compression

	// Group, if not nil, is a Group that connections join at birth.
	Group *Group

	// Trace has hooks that are told what connections do; nil is none, which costs
	// nothing.
	Trace *Trace
}

// bufferOptions are the sizes that Upgrader and Dialer take besides Options.
type bufferOptions struct {
	read, write int        // bytes; 0 is 4096
	pool        BufferPool // where a NextWriter borrows its buffer; nil is a pool of our own
}

const (
	defaultBufferSize = 4 << 10
	socketReadBuffer  = 16 << 10 // where it is borrowed only when bytes are there: many small messages at once
	minReadBuffer     = 256      // bytes: the longest control frame fits
)

// BufferPool lends write buffers to connections. A *sync.Pool is one. The values
// in the pool are for this package only.
type BufferPool interface {
	// Get returns a value that was given to Put, or nil.
	Get() any
	// Put adds a value to the pool.
	Put(any)
}

// Conn is a WebSocket connection. Its methods may be called concurrently. Reads
// take turns, and so do writes; a read and a write do not wait for each other.
type Conn struct {
	line   socket
	agreed *agreed      // by the handshake, nil for nothing
	limit  atomic.Int64 // of a message, in bytes; 0 is the default, negative is none

	readTurn  turn
	r         reader         // guarded by readTurn
	current   *messageReader // guarded by readTurn: the reader of NextReader that may still read
	calledOff bool           // guarded by readTurn: a context, or an error of a handler, has ended the reading
	leaveSlow bool           // a broadcast that finds the queue full closes the connection
	handling  atomic.Bool    // who has the read turn is in a handler of the program
	started   atomic.Bool    // Start was called

	leaving      atomic.Bool  // Shutdown was called
	leftToReader atomic.Bool  // a Shutdown in such a handler has left the peer's close frame to the reader
	closeTimeout milliseconds // for the peer's part of the closing handshake

	w writer

	readDeadline deadline
	handlers     atomic.Pointer[handlers] // nil before the program sets one
	keepalive    *keepalive               // nil for none
	idle         *idle                    // nil without permessage-deflate

	mu     sync.Mutex
	end    *ending // nil while all is well; guarded by mu
	extras *extras // nil while there are none; guarded by mu
}

// extras are what few connections need. A Conn spends its life waiting, in great
// numbers perhaps, and has no room for what it may do without.
type extras struct {
	groups []*Group                   // that it is in
	ctx    context.Context            // nil until somebody asks
	cancel context.CancelCauseFunc    // of ctx
	pings  map[[8]byte]chan time.Time // where calls of Ping wait for their pong, by payload
	rtt    time.Duration              // of the last Ping that was answered, 0 before
}

// extrasLocked returns the extras, for who has mu.
func (c *Conn) extrasLocked() *extras {
	if c.extras == nil {
		c.extras = new(extras)
	}
	return c.extras
}

// agreed is what a handshake has agreed on.
type agreed struct {
	subprotocol string
	compression *Compression // nil without permessage-deflate
}

// NewConn returns a connection on nc, for which the opening handshake was done
// elsewhere with the outcome n. It is for servers and transports that net/http
// does not know. The Conn owns nc from now on, and clears its deadlines;
// n.Buffered is copied. If n.Compression is not nil, messages are compressed as it
// says, and as opts.Compression wants it.
func NewConn(nc net.Conn, n Negotiated, opts Options) *Conn {
	_ = nc.SetDeadline(time.Time{}) // what fails here fails again at the first read
	return newConn(newSocket(nc), n, &opts, bufferOptions{})
}

// newConn fills the Conn where it lies, and lets parts of it be made elsewhere: what
// it put on the stack, the goroutines of an HTTP server would have for good.
func newConn(line socket, n Negotiated, opts *Options, b bufferOptions) *Conn {
	c := new(Conn)
	c.line = line
	c.closeTimeout = inMilliseconds(positive(opts.CloseTimeout, 5*time.Second))
	c.leaveSlow = opts.SlowConsumer == CloseSlow
	c.limit.Store(opts.ReadLimit)
	c.readDeadline.c = c

	c.r.src, c.r.up = line.nc, c
	c.r.anyText = opts.AllowInvalidUTF8
	c.r.in.server = n.Server
	readSize := defaultBufferSize
	if c.line.raw != nil {
		c.r.src = &c.line
		readSize = socketReadBuffer
	}
	c.r.size = int32(min(max(positive(b.read, readSize), minReadBuffer), maxPooled))
	if len(n.Buffered) > 0 {
		c.r.early(n.Buffered)
	}

	c.w.writeConfig = newWriteConfig(opts, b)
	c.w.line, c.w.up = &c.line, c
	c.w.server = n.Server
	if c.line.hosted() {
		c.adapt()
	}
	if opts.Trace != nil {
		c.trace(opts.Trace)
	}
	if n.Subprotocol != "" || n.Compression != nil {
		c.agree(n, opts)
	}
	if opts.Trace != nil {
		c.tracer().opened(n.Buffered)
	}
	if opts.PingInterval > 0 {
		c.keepAlive(opts)
	}
	if opts.Group != nil {
		opts.Group.Add(c)
	}
	return c
}

// agree makes c do as the handshake agreed.
func (c *Conn) agree(n Negotiated, opts *Options) {
	c.agreed = &agreed{subprotocol: n.Subprotocol}
	if n.Compression != nil {
		c.compress(*n.Compression, opts.Compression)
	}
}

// compress makes c speak permessage-deflate.
func (c *Conn) compress(agreed Compression, want *Compression) {
	agreed = Compression{
		ServerNoContextTakeover: agreed.ServerNoContextTakeover,
		ClientNoContextTakeover: agreed.ClientNoContextTakeover,
		ServerMaxWindowBits:     bitsOr(agreed.ServerMaxWindowBits, deflate.MaxBits),
		ClientMaxWindowBits:     bitsOr(agreed.ClientMaxWindowBits, deflate.MaxBits),
	}
	c.agreed.compression = &agreed
	if c.line.hosted() {
		return // it does so by itself
	}
	c.w.deflate = newDeflater(agreed, want, c.w.server)
	c.r.inflate = newInflater(agreed, c.w.server)
	c.r.in.compressed = true
	c.idle = newIdle(c)
}

// milliseconds are a duration of which the fractions do not matter, in less room.
type milliseconds int32

func inMilliseconds(d time.Duration) milliseconds {
	const longest = math.MaxInt32 * time.Millisecond // 24 days
	return milliseconds((min(d, longest) + time.Millisecond - 1) / time.Millisecond)
}

func (ms milliseconds) duration() time.Duration { return time.Duration(ms) * time.Millisecond }

// positive returns v, or the default if v is not positive.
func positive[T int | time.Duration](v, byDefault T) T {
	if v > 0 {
		return v
	}
	return byDefault
}

// beforeWait is called by who reads, before it may have to wait for the peer.
func (c *Conn) beforeWait() {
	c.w.flushHeld()
	c.keepalive.wait()
}

// afterWait is called when the wait is over and has brought p.
func (c *Conn) afterWait(p []byte) {
	c.keepalive.hear(len(p))
	if t := c.tracer(); t != nil {
		t.arrived(p)
	}
}

// A deadline is the read deadline of a network connection, which the program
// sets and we need at times to interrupt a read.
type deadline struct {
	c      *Conn
	mu     sync.Mutex
	wanted *time.Time // by the program; nil before it has set any
	loop   *started   // what has the read turn and does not hear of deadlines while it is parked; nil for none
	past   bool       // a read is being interrupted
	off    bool       // a read of ours is waiting, which the program's deadline does not concern
	ours   bool       // the program has no say any more, wanted is by us
	gone   bool       // the network connection is closed, or about to be
	parked bool       // loop is
}

// set sets the deadline that the program wants.
func (d *deadline) set(t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ours {
		return nil
	}
	d.want(t)
	if d.past || d.off {
		return nil
	}
	return d.apply()
}

func (d *deadline) want(t time.Time) {
	if d.wanted == nil {
		if t.IsZero() {
			return
		}
		d.wanted = new(time.Time)
	}
	*d.wanted = t
}

// suspend turns the program's deadline off until resume.
func (d *deadline) suspend() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.off = true
	_ = d.apply()
}

func (d *deadline) resume() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.off = false
	_ = d.apply()
}

// inForce returns the deadline that counts, zero for none.
func (d *deadline) inForce() time.Time {
	switch {
	case d.past && !d.ours:
		return longAgo
	case d.off && !d.ours, d.wanted == nil:
		return time.Time{}
	}
	return *d.wanted
}

// apply sets the deadline that counts, unless it was taken over.
func (d *deadline) apply() error {
	if d.ours {
		return nil
	}
	return d.setNow(d.inForce())
}

// setNow sets a deadline. An error is that of a closed connection, whose reads
// have ended.
func (d *deadline) setNow(t time.Time) error {
	err := d.c.line.nc.SetReadDeadline(t)
	if d.loop != nil {
		d.loop.heed(t)
	}
	return err
}

// interrupt makes reads fail with a timeout until restore.
func (d *deadline) interrupt() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.past = true
	_ = d.apply()
}

func (d *deadline) restore() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.past = false
	_ = d.apply()
}

// takeOver sets the deadline for good.
func (d *deadline) takeOver(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ours = true
	d.want(t)
	_ = d.setNow(t)
}

// closeNet closes the network connection. Reads in progress fail.
func (d *deadline) closeNet() error {
	d.mu.Lock()
	d.gone = true
	if d.loop != nil {
		d.loop.quit()
	}
	d.mu.Unlock()
	err := d.c.line.nc.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.loop != nil {
		d.loop.wakeLocked()
	}
	return err
}

// read takes the read turn, calls f, and has what f returns judged. While ctx is
// not done, f may block.
func (c *Conn) read(ctx context.Context, f func() error) error {
	return c.readFor(ctx, begin, f)
}

// readFor is read for a certain purpose: what a program asks for is to begin a
// message, or go on with one; other reading is for the control frames.
func (c *Conn) readFor(ctx context.Context, want purpose, f func() error) error {
	if err := c.readTurn.take(ctx, want, time.Time{}); err != nil {
		return err
	}
	defer c.readTurn.release()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	defer c.interruptible(ctx)()
	err := f()
	c.r.rest() // a program may take its time before it reads again
	return c.judge(ctx, err)
}

// interruptible makes reads fail with a timeout when ctx ends, until the
// function it returns is called.
func (c *Conn) interruptible(ctx context.Context) (stop func()) {
	if ctx.Done() == nil {
		return func() {}
	}
	x, final := c.line.nc.(*exchange)
	if final {
		x.foresee(true)
	}
	interrupted := make(chan struct{})
	undo := context.AfterFunc(ctx, func() {
		defer close(interrupted)
		c.readDeadline.interrupt()
	})
	return func() {
		if final {
			x.foresee(false)
		}
		if !undo() {
			<-interrupted
			c.readDeadline.restore()
		}
	}
}

// judge turns an error of the reader into what the program gets. The caller has
// the read turn.
func (c *Conn) judge(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	calledOff := isTimeout(err) && ctx.Err() != nil
	if calledOff {
		err = context.Cause(ctx)
	}
	if c.r.err == nil && c.killed() == nil {
		return err // nothing was lost, reading may go on
	}
	c.calledOff = c.calledOff || calledOff
	return c.readFailed(err)
}

// ReadMessage reads the next message as a whole into memory of its own. An empty
// message is an empty slice that is not nil.
//
// If it fails before the message began, the type is -1 and p is nil; within the
// message, it returns the type and what was received until then. The errors
// are: a *CloseError, when the peer closed the connection or its network
// connection ended (code 1006); a *ProtocolError, when the peer broke a rule;
// ErrReadLimit; an error that matches os.ErrDeadlineExceeded, after the time set
// by SetReadDeadline or after PingTimeout; one that matches net.ErrClosed, after
// Close; and those of the network connection. An error stays: later reads return
// it again. The exception is a timeout before the message began, after which
// reading may go on; c.Context().Err() is nil then and tells the two apart. After a
// write that failed for good, reading goes on for a second, or Options.CloseTimeout if
// that is less, and then the error is that of the write, wrapped.
//
// Handlers of control frames run on the goroutine that reads.
func (c *Conn) ReadMessage() (messageType int, p []byte, err error) {
	return c.ReadMessageContext(context.Background(), nil)
}

// ReadMessageContext is ReadMessage with a context, and with memory of the
// caller: it appends the message to dst and returns the longer slice, also when
// it fails. All of dst's capacity may be overwritten. If there is no room for the
// message in it, one allocation is made, when the whole message is there.
//
// When ctx ends before the message began, the error is context.Cause(ctx) and
// nothing is lost: reading may go on. Within a message the connection fails.
func (c *Conn) ReadMessageContext(ctx context.Context, dst []byte) (messageType int, p []byte, err error) {
	// What c.read does, with less of the stack: many a goroutine spends its life here.
	if err := c.readTurn.take(ctx, begin, time.Time{}); err != nil {
		return -1, dst, err
	}
	defer c.readTurn.release()
	if ctx.Err() != nil {
		return -1, dst, context.Cause(ctx)
	}
	defer c.interruptible(ctx)()
	c.supersede()
	if err = c.r.arrive(); err == nil {
		messageType, p, err = c.r.message(dst, c.wholeLimit())
	}
	c.r.rest()
	err = c.judge(ctx, err)
	if messageType == 0 {
		return -1, dst, err
	}
	return messageType, p, err
}

// wholeLimit is the limit for a message that is read as a whole.
func (c *Conn) wholeLimit() int64 {
	if limit := c.limit.Load(); limit != 0 {
		return limit
	}
	return DefaultReadLimit
}

// streamLimit is the limit for a message that is read piece by piece.
func (c *Conn) streamLimit() int64 {
	if limit := c.limit.Load(); limit != 0 {
		return limit
	}
	return -1
}

// NextReader waits for the next message and returns its type and a reader for
// it. What was not read of the message before is discarded: its reader then
// returns io.EOF if that message had been read to its end, and an error
// otherwise.
//
// The errors are those of ReadMessage. The reader returns io.EOF at the end of
// the message and nowhere else; a message that breaks off gives another error.
func (c *Conn) NextReader() (messageType int, r io.Reader, err error) {
	err = c.read(context.Background(), func() (err error) {
		c.supersede()
		if messageType, err = c.r.next(c.streamLimit()); err != nil {
			return err
		}
		c.current = &messageReader{c: c}
		c.current.ended.Store(c.r.in.message == 0) // it is empty, and reading may be over when it is read
		r = c.current
		return nil
	})
	if err != nil {
		return -1, nil, err
	}
	return messageType, r, nil
}

// supersede takes leave of the reader that NextReader gave out last. The caller
// has the read turn.
func (c *Conn) supersede() {
	if c.current != nil {
		c.current.ended.Store(c.r.in.message == 0)
		c.current = nil
	}
}

// A messageReader reads one message piece by piece.
type messageReader struct {
	c     *Conn
	ended atomic.Bool // the message was read to its end
}

var errSuperseded = errors.New("websocket: message was discarded, another was begun")

// Read reads from the message; the end of the message is io.EOF.
func (mr *messageReader) Read(p []byte) (n int, err error) {
	if mr.ended.Load() {
		return 0, io.EOF // which is no reason to wait for others who read
	}
	superseded := false
	err = mr.c.read(context.Background(), func() (err error) {
		if superseded = mr.c.current != mr; superseded {
			return nil
		}
		n, err = mr.c.r.read(p)
		mr.ended.Store(mr.c.r.in.message == 0)
		if err == io.EOF {
			return nil
		}
		return err
	})
	switch {
	case err != nil:
		return n, err
	case n > 0:
		return n, nil
	case mr.ended.Load():
		return 0, io.EOF
	case superseded:
		return 0, errSuperseded
	}
	return 0, nil
}

// WriteMessage sends data as one message of one frame. data may be reused when
// it returns. With one of the control types it is WriteControl under the
// deadline for messages.
//
// If another goroutine is in the middle of a write, a message of less than 16 KiB is
// left to that goroutine to send, and WriteMessage returns nil at once as long as no
// more than 64 KiB wait so; Serve holds messages back in the same way. An error of the
// network then comes back from the next write, from Flush, or from Close.
//
// The errors are: ErrCloseSent, after a close frame was sent, by the program or in
// answer to the peer's; one that matches os.ErrDeadlineExceeded, after the time of
// SetWriteDeadline or Options.WriteTimeout; one that matches net.ErrClosed, after
// Close; those of the network connection; and one for a message type that there is
// not, or too long a control frame. Which of them a writer gets when the connection
// ends under it is a matter of chance: context.Cause(c.Context()) tells why it ended.
// An error stays, unless it is a timeout and nothing of the message was sent, because
// others were writing or had an unfinished message open. Without a deadline a message
// waits 5 s for such a one. (If it waited for a pong that the peer has not read for a
// second, the writing side ends, and the next write says so.)
//
// Text is not checked for UTF-8; a peer fails the connection if it is not.
func (c *Conn) WriteMessage(messageType int, data []byte) error {
	return c.WriteMessageContext(context.Background(), messageType, data)
}

// WriteMessageContext is WriteMessage with a context. When ctx ends while the
// message waits for its turn, nothing was sent and the connection is as it was;
// while it is being sent, the writing side of the connection fails. The error is
// context.Cause(ctx).
func (c *Conn) WriteMessageContext(ctx context.Context, messageType int, data []byte) error {
	if err := c.checkOutgoing(messageType, data); err != nil {
		return err
	}
	return c.w.message(ctx, messageType, data)
}

// TryWriteMessage sends data as one message without ever blocking. What the network
// does not take at once waits in a copy, behind what was written before and ahead of
// what is written after; if that would be more than Options.WriteQueue bytes, nothing
// is sent and the error is ErrWriteQueueFull. The other errors are those of
// WriteMessage. That a message was accepted does not say that it was sent: an error
// of the network comes back from the next write, from Flush, or from Close.
//
// While a message of a NextWriter is open, what is queued waits for its end. A
// control frame is queued too, but for a close frame, which goes ahead of an open
// message.
func (c *Conn) TryWriteMessage(messageType int, data []byte) error {
	if err := c.checkOutgoing(messageType, data); err != nil {
		return err
	}
	return c.w.try(c.w.outgoing(messageType, data))
}

// TryWritePreparedMessage is TryWriteMessage for a prepared message.
func (c *Conn) TryWritePreparedMessage(pm *PreparedMessage) error {
	if err := c.line.refuses(pm.messageType, pm.plain.payload()); err != nil {
		return err
	}
	return c.w.try(c.w.outgoingPrepared(pm.messageType, pm.plain, pm.encoded))
}

// Flush waits until all that was accepted before has been handed to the network:
// messages that WriteMessage left to another goroutine's write, those that Serve
// holds back until it has handled what else has come, and those of TryWriteMessage.
// It does not concern the buffer of an open NextWriter, whose end it waits for if
// messages are queued behind it.
//
// It waits no longer than the write deadline or Options.WriteTimeout allow, as they
// were when it was called, and for ever if there is neither and the peer does not read;
// what is left then stays queued.
//
// It returns why something accepted was not sent, or will not be: the error that the
// next WriteMessage returns. After a close frame, which goes last, it is nil.
func (c *Conn) Flush() error { return c.w.flush() }

// checkOutgoing returns an error for a frame that may not be sent, or can't be on this
// connection.
func (c *Conn) checkOutgoing(messageType int, p []byte) error {
	if err := checkOutgoing(messageType, len(p)); err != nil {
		return err
	}
	return c.line.refuses(messageType, p)
}

// checkOutgoing returns an error for a frame that may not be sent.
func checkOutgoing(messageType, length int) error {
	switch messageType {
	case TextMessage, BinaryMessage:
		return nil
	case CloseMessage, PingMessage, PongMessage:
		if length > maxControlPayload {
			return errInvalidControl
		}
		return nil
	}
	return errBadMessageType
}

// NextWriter begins a message that is written piece by piece. It is sent in
// fragments of the write buffer's size; a server sends larger ones where a Write
// brings more at once. A message that is to be compressed gathers 32 KiB first, in
// memory besides the write buffer. Close sends the last fragment and ends the
// message; only then may the peer see it as a whole.
//
// A message that was not closed is ended by the next NextWriter where it stands,
// and its later writes return an error: a connection has one NextWriter at a time,
// and goroutines have to agree on it. Other messages go ahead of one that has sent
// nothing yet, and wait for one that has. The writer also has WriteString and
// ReadFrom. The errors are those of WriteMessage. After a Write that has timed out and
// not taken all, what is left may be written later; until then Close and NextWriter
// return the error, for half a message must not look whole.
func (c *Conn) NextWriter(messageType int) (io.WriteCloser, error) {
	if err := c.checkOutgoing(messageType, nil); err != nil {
		return nil, err
	}
	mw, err := c.w.next(messageType)
	if err != nil {
		return nil, err
	}
	return mw, nil
}

// SetReadLimit sets the largest message that may be read, in bytes, from the next
// message on; n <= 0 is no limit. A larger one fails the connection with close
// code 1009, and the read returns ErrReadLimit.
func (c *Conn) SetReadLimit(n int64) {
	if n <= 0 {
		n = -1
	}
	c.limit.Store(n)
}

// SetReadDeadline sets the time after which reads fail with an error that
// matches os.ErrDeadlineExceeded; the zero time is never. It counts for a read
// that waits already. Before the first byte of a message a timeout costs nothing:
// set a later deadline and read on. Within a message it is final, and c.Context()
// is done; so it is over HTTP/2 and HTTP/3 if it was set while a read waited already,
// which had neither a deadline nor a context that can be done.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.readDeadline.set(t) }

// SetWriteDeadline sets the time by which messages that begin later have to be
// written; the zero time leaves that to Options.WriteTimeout. For a message that was
// left to another goroutine it is the deadline in force when that sends it. A message that
// could be written only in part ends the writing side of the connection.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.w.setDeadline(t)
	return nil
}

// EnableWriteCompression turns the compression of the messages that begin later
// on or off. It is of no effect on a connection without permessage-deflate.
func (c *Conn) EnableWriteCompression(enable bool) {
	if c.w.deflate != nil {
		c.w.deflate.off.Store(!enable)
	}
}

// SetCompressionLevel sets the level of compression for what is written later, in
// the words of compress/flate: from 1 (fast) to 9 (small), -1 for the default, -2
// for Huffman codes alone and 0 for none, which sends messages as they are. It is
// of no effect on a connection without permessage-deflate.
func (c *Conn) SetCompressionLevel(level int) error {
	if !validLevel(level) {
		return errors.New("websocket: invalid compression level")
	}
	if c.w.deflate != nil {
		c.w.deflate.level.Store(int32(level))
	}
	return nil
}

// Subprotocol returns the subprotocol in use, "" for none.
func (c *Conn) Subprotocol() string { return c.Negotiated().Subprotocol }

// Negotiated returns what the opening handshake agreed on. Buffered is nil. In
// Compression the two window sizes are those agreed on, never 0; Level, Threshold
// and Decline, of which a handshake says nothing, are zero.
func (c *Conn) Negotiated() Negotiated {
	n := Negotiated{Server: c.r.in.server}
	if c.agreed == nil {
		return n
	}
	n.Subprotocol = c.agreed.subprotocol
	if c.agreed.compression != nil {
		compression := *c.agreed.compression
		n.Compression = &compression
	}
	return n
}

// LocalAddr returns the local network address.
func (c *Conn) LocalAddr() net.Addr { return c.line.nc.LocalAddr() }

// RemoteAddr returns the peer's network address.
func (c *Conn) RemoteAddr() net.Addr { return c.line.nc.RemoteAddr() }

// NetConn returns the network connection beneath c, for its options: over HTTP/2 and
// HTTP/3 the stream, which has addresses and no options. Reading from it, writing to it
// and setting its deadlines breaks c.
func (c *Conn) NetConn() net.Conn { return c.line.nc }

// UnderlyingConn returns the network connection beneath c.
//
// Deprecated: Use NetConn.
func (c *Conn) UnderlyingConn() net.Conn { return c.line.nc }

// Context returns a context that ends with the connection: at the first error
// that a read or a write can't recover from, or at Close. context.Cause tells
// why. That the peer is gone is seen only while somebody reads, or with
// Options.PingInterval. Of a server's connection over HTTP/2 or HTTP/3 it ends when
// all that is left to be said was said, which takes a second or Options.CloseTimeout at
// most, also after Serve has returned: a handler that has called Upgrade may return then.
func (c *Conn) Context() context.Context {
	c.mu.Lock()
	x := c.extrasLocked()
	var ended error
	if x.ctx == nil {
		x.ctx, x.cancel = context.WithCancelCause(context.Background())
		if c.end != nil {
			ended = c.end.cause
		}
	}
	c.mu.Unlock()
	if ended != nil {
		c.endContext(x.cancel, ended)
	}
	return x.ctx
}
