package faults

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	websocket "github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/internal/wstest"
)

// Everything that ends a connection, or sends something on it, races against all the
// rest. The peer is a scripted one that keeps what it gets: in the end its record has to
// be a sequence of frames with at most one close frame, which comes last, and everything
// that was accepted is in it, or somebody was told.

var (
	rounds = flag.Int("faults.rounds", 400, "how many connections TestRaces makes")
	seed   = flag.Uint64("faults.seed", 0, "what TestRaces draws its lots from; 0 is something new each time")
)

// hangTime is how long a round may take before it counts as hanging.
const hangTime = 30 * time.Second

// A racer is one round.
type racer struct {
	t      *testing.T
	name   string
	link   int            // among links
	lots   *mathrand.Rand // of the goroutine that plans the round
	c      *websocket.Conn
	server bool
	method method
	peer   *racingPeer
	tight  bool        // deadlines and contexts end in the middle of writes
	two    atomic.Bool // there were two readers, and one may have made the other lose its message

	actors, readers sync.WaitGroup

	mu       sync.Mutex
	failures []string
	accepted []string            // messages for which a write has returned nil
	told     []error             // errors that tell of a loss
	read     map[string][]string // what each reader got
}

// try notes the outcome of a call.
func (r *racer) try(what string, err error) error {
	if err == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !documented(err) && !ofTheNetwork(err) && !errors.Is(err, websocket.ErrWriteQueueFull) && !errors.Is(err, errHandled) {
		r.failures = append(r.failures, fmt.Sprintf("%s returns an error that is not documented: %v", what, err))
	}
	if !errors.Is(err, websocket.ErrCloseSent) && !errors.Is(err, websocket.ErrWriteQueueFull) {
		r.told = append(r.told, fmt.Errorf("%s: %w", what, err))
	}
	return err
}

// accept notes that a message is accepted unless there is an error.
func (r *racer) accept(what, text string, err error) error {
	if err != nil {
		return r.try(what, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.accepted = append(r.accepted, text)
	return nil
}

// numbered is the n-th text of somebody. Its size follows from both.
func numbered(who string, n int) string {
	size := 0
	for _, b := range []byte(who) {
		size = size*7 + int(b)
	}
	size = [...]int{0, 3, 120, 200, 700, 5_000, 20_000}[(size+n*n)%7]
	return fmt.Sprintf("%s %d %s", who, n, strings.Repeat(string(rune('a'+n%26)), size))
}

// whose takes a numbered text apart.
func whose(text string) (who string, n int, ok bool) {
	who, rest, _ := strings.Cut(text, " ")
	number, _, _ := strings.Cut(rest, " ")
	n, err := strconv.Atoi(number)
	return who, n, err == nil && text == numbered(who, n)
}

// act starts a goroutine with lots of its own.
func (r *racer) act(f func(lots *mathrand.Rand)) {
	lots := mathrand.New(mathrand.NewPCG(r.lots.Uint64(), 0))
	r.actors.Go(func() {
		dawdle(lots)
		f(lots)
	})
}

// dawdle lets others go ahead, or does not.
func dawdle(lots *mathrand.Rand) {
	switch lots.IntN(4) {
	case 0:
		time.Sleep(time.Duration(lots.IntN(300)) * time.Microsecond)
	case 1:
		for range lots.IntN(20) {
			runtime.Gosched()
		}
	}
}

// writer sends messages by one of the calls that take a whole one.
func (r *racer) writer(who string) {
	r.act(func(lots *mathrand.Rand) {
		for n := range 1 + lots.IntN(12) {
			text := numbered(who, n)
			var err error
			switch lots.IntN(3) {
			case 0:
				err = r.accept("WriteMessage", text, r.c.WriteMessage(websocket.TextMessage, []byte(text)))
			case 1:
				err = r.accept("TryWriteMessage", text, r.c.TryWriteMessage(websocket.TextMessage, []byte(text)))
			default:
				ctx, cancel := context.WithCancel(context.Background())
				if r.tight {
					time.AfterFunc(time.Duration(lots.IntN(300))*time.Microsecond, cancel)
				}
				if err = r.c.WriteMessageContext(ctx, websocket.TextMessage, []byte(text)); errors.Is(err, context.Canceled) {
					r.canceled(err)
					err = nil // it may have been the turn that was waited for
				} else {
					err = r.accept("WriteMessageContext", text, err)
				}
				cancel()
			}
			if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				return
			}
			dawdle(lots)
		}
	})
}

func (r *racer) canceled(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told = append(r.told, err)
}

// streamer sends messages in fragments.
func (r *racer) streamer(who string) {
	r.act(func(lots *mathrand.Rand) {
		for n := range 1 + lots.IntN(4) {
			text := numbered(who, n)
			w, err := r.c.NextWriter(websocket.TextMessage)
			if r.try("NextWriter", err) != nil {
				return
			}
			for rest := text; rest != "" && err == nil; {
				var m int
				m, err = io.WriteString(w, rest[:min(len(rest), 1+lots.IntN(len(text)))])
				rest = rest[m:]
				err = r.retry("a NextWriter's Write", err)
				dawdle(lots)
			}
			if err == nil {
				for err = w.Close(); errors.Is(err, os.ErrDeadlineExceeded) && r.retry("a NextWriter's Close", err) == nil; {
					err = w.Close()
				}
				err = r.accept("a NextWriter's Close", text, err)
			}
			if err != nil {
				return
			}
		}
	})
}

// retry notes an error, and takes it away if it is a timeout after which a message may go
// on: others wait for its end.
func (r *racer) retry(what string, err error) error {
	_ = r.try(what, err)
	if errors.Is(err, os.ErrDeadlineExceeded) && r.c.Context().Err() == nil {
		_ = r.c.SetWriteDeadline(time.Time{}) // never fails
		return nil
	}
	return err
}

// actors besides the readers and writers, each once in a while.
var actors = []func(r *racer, lots *mathrand.Rand){
	func(r *racer, lots *mathrand.Rand) {
		for range 5 {
			kind := websocket.PingMessage + lots.IntN(2)
			_ = r.try("WriteControl", r.c.WriteControl(kind, []byte("control"), r.soon(lots)))
		}
	},
	func(r *racer, lots *mathrand.Rand) {
		_ = r.try("WriteControl of a close frame", r.c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), r.soon(lots)))
	},
	func(r *racer, lots *mathrand.Rand) {
		for range 3 {
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+lots.IntN(20))*time.Millisecond)
			_, err := r.c.Ping(ctx)
			_ = r.try("Ping", err)
			cancel()
		}
	},
	func(r *racer, lots *mathrand.Rand) {
		for range 5 {
			_ = r.try("Flush", r.c.Flush())
			dawdle(lots)
		}
	},
	func(r *racer, lots *mathrand.Rand) {
		for range 5 {
			_ = r.c.SetReadDeadline(moments(lots)) // reads tell
			dawdle(lots)
		}
	},
	func(r *racer, lots *mathrand.Rand) {
		for range 5 {
			if r.tight {
				_ = r.try("SetWriteDeadline", r.c.SetWriteDeadline(moments(lots)))
			}
			dawdle(lots)
		}
		_ = r.c.SetWriteDeadline(time.Time{}) // never fails
	},
	func(r *racer, lots *mathrand.Rand) {
		for range lots.IntN(30) {
			dawdle(lots)
		}
		_ = r.try("Close", r.c.Close())
	},
	func(r *racer, lots *mathrand.Rand) {
		for range lots.IntN(30) {
			dawdle(lots)
		}
		r.shutdown(lots)
	},
	func(r *racer, lots *mathrand.Rand) {
		r.c.EnableWriteCompression(lots.IntN(2) == 0)
		_ = r.c.SetCompressionLevel(lots.IntN(10))
		r.c.SetReadLimit(1 << 20)
		_, _, _ = r.c.Stats(), r.c.Negotiated(), r.c.Context().Err()
	},
	func(r *racer, lots *mathrand.Rand) {
		r.two.Store(true)
		name, m := fmt.Sprintf("reader %d", lots.Uint64()), method(lots.IntN(int(serve)))
		r.readers.Go(func() { r.reader(name, m) })
	},
}

// moments are times past, near and none.
func moments(lots *mathrand.Rand) time.Time {
	switch lots.IntN(3) {
	case 0:
		return time.Time{}
	case 1:
		return time.Now().Add(-time.Second)
	}
	return time.Now().Add(time.Duration(lots.IntN(1000)) * time.Microsecond)
}

func (r *racer) soon(lots *mathrand.Rand) time.Time {
	if r.tight {
		return time.Now().Add(time.Duration(lots.IntN(3000)) * time.Microsecond)
	}
	return time.Time{}
}

func (r *racer) shutdown(lots *mathrand.Rand) {
	ctx, cancel := context.Background(), context.CancelFunc(func() {})
	if r.tight && lots.IntN(2) == 0 {
		ctx, cancel = context.WithTimeout(ctx, time.Duration(lots.IntN(5000))*time.Microsecond)
	}
	defer cancel()
	_ = r.try("Shutdown", r.c.Shutdown(ctx, websocket.CloseGoingAway, "leaving"))
}

var errHandled = errors.New("the handler has had enough")

// reader reads until the end.
func (r *racer) reader(name string, m method) {
	take := func(p []byte) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.read[name] = append(r.read[name], string(p))
	}
	lots := mathrand.New(mathrand.NewPCG(uint64(m), uint64(len(r.name))))
	n := 0
	handle := func(m websocket.Message) error {
		take(m.Data)
		text := numbered("handler", n)
		n++
		_ = r.accept("WriteMessage", text, r.c.WriteMessage(websocket.TextMessage, []byte(text)))
		switch lots.IntN(40) {
		case 0:
			r.shutdown(lots)
		case 1:
			return r.try("Close", r.c.Close())
		case 2:
			return errHandled
		}
		return nil
	}
	ended := func(err error) {
		if r.peer.mood == vanishes || !documented(err) { // otherwise it tells nothing of what was written
			_ = r.try(m.String(), err)
		}
	}
	switch m {
	case serve:
		ended(r.c.Serve(context.Background(), handle))
		return
	case start:
		done := make(chan error, 1)
		r.c.Start(handle, func(err error) { done <- err })
		ended(<-done)
		return
	case iterate:
		for m, err := range r.c.Messages(context.Background()) {
			if err != nil {
				ended(err)
				return
			}
			take(m.Data)
		}
		return
	}
	for {
		_, p, err := trial{method: m}.readWhole(r.c, lots)
		switch {
		case err == nil:
			take(p)
		case resumes(r.c, err):
			_ = r.c.SetReadDeadline(time.Time{}) // or the past lasts
		default:
			ended(err)
			return
		}
	}
}

// readWhole is readOne without a deadline of its own.
func (tr trial) readWhole(c *websocket.Conn, lots *mathrand.Rand) (messageType int, p []byte, err error) {
	switch tr.method {
	case readContext:
		ctx, cancel := context.WithTimeoutCause(context.Background(), time.Duration(lots.IntN(2000))*time.Microsecond, errImpatient)
		defer cancel()
		return c.ReadMessageContext(ctx, nil)
	case readMessage:
		return c.ReadMessage()
	}
	messageType, r, err := c.NextReader()
	if err != nil {
		return messageType, nil, err
	}
	p, err = io.ReadAll(r)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return tr.readWhole(c, lots) // another reader has begun the next message, or the error stays
	}
	return messageType, p, err
}

// A racingPeer is the other end: one goroutine reads and keeps what comes, one writes.
type racingPeer struct {
	nc     net.Conn
	client bool
	mood   mood
	lots   *mathrand.Rand
	queue  chan []byte

	got         []byte
	err         error       // what reading ended with
	unsaid      error       // why something could not be written, nil if all was
	sent        []string    // messages that went out, or may have
	heard, left atomic.Bool // a close frame has come, and gone
}

// mood is how a peer behaves.
type mood int

const (
	polite   mood = iota // it answers, and stays
	leaving              // it closes at some time
	vanishes             // it is gone at some time
)

func (p *racingPeer) run() {
	var both sync.WaitGroup
	over := make(chan struct{})
	both.Go(func() {
		defer close(over)
		p.read()
	})
	both.Go(func() { p.write(over) })
	both.Wait()
}

func (p *racingPeer) say(f wstest.Frame) {
	select {
	case p.queue <- encoded(p.client, []wstest.Frame{f}):
	default: // it was asked more than it can answer
	}
}

func (p *racingPeer) read() {
	defer p.nc.Close()
	buf := make([]byte, 8<<10)
	done := 0
	for {
		n, err := p.nc.Read(buf)
		p.got = append(p.got, buf[:n]...)
		if err != nil {
			p.err = err
			return
		}
		for {
			h, whole := headOf(p.got[done:])
			if !whole || uint64(len(p.got)-done-h.size) < h.length {
				break
			}
			payload := payloadOf(h, p.got[done:])
			done += h.size + len(payload)
			switch h.opcode {
			case wstest.Ping:
				p.say(wstest.Frame{Opcode: wstest.Pong, Payload: string(payload)})
			case wstest.Close:
				if p.heard.Store(true); p.left.Load() && p.ends() {
					return
				}
				p.say(wstest.Frame{Opcode: wstest.Close, Payload: string(payload)})
			}
		}
	}
}

// write sends messages of its own, and what read has to say. A close frame is the end.
func (p *racingPeer) write(over <-chan struct{}) {
	for n, left := 0, p.lots.IntN(2)*p.lots.IntN(15); ; n++ {
		var b []byte
		if n < left {
			text := numbered("peer", n)
			p.sent = append(p.sent, text)
			b = encoded(p.client, []wstest.Frame{{Opcode: wstest.Text, Payload: text}, {Opcode: wstest.Ping, Payload: "ping"}})
			dawdle(p.lots)
		} else if n == left && p.mood == leaving {
			b = encoded(p.client, []wstest.Frame{wstest.CloseFrame(1001, "")})
		} else if n == left && p.mood == vanishes {
			p.nc.Close()
			return
		} else {
			select {
			case b = <-p.queue:
			case <-over:
				return
			}
		}
		_, err := p.nc.Write(b)
		if err != nil {
			p.unsaid = err
			return
		}
		if b[0]&15 == wstest.Close {
			if p.left.Store(true); p.heard.Load() && p.ends() {
				p.nc.Close()
			}
			return
		}
	}
}

// ends reports whether the peer closes the network connection when both close frames
// were sent: "The server MUST close the underlying TCP connection immediately" (section
// 5.5.1). Over a pipe the library could not tell a client that it has said all.
func (p *racingPeer) ends() bool {
	_, halves := p.nc.(interface{ CloseWrite() error })
	return !p.client || !halves
}

// links make the two ends of a connection.
var links = []func() (client, server net.Conn, err error){
	func() (client, server net.Conn, err error) { client, server = net.Pipe(); return client, server, nil },
	overTCP,
	overTLS,
}

func overTCP() (client, server net.Conn, err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer ln.Close()
	if client, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		return nil, nil, err
	}
	server, err = ln.Accept()
	return client, server, err
}

func overTLS() (client, server net.Conn, err error) {
	if client, server, err = overTCP(); err != nil {
		return nil, nil, err
	}
	cfg, err := certificate()
	if err != nil {
		return nil, nil, err
	}
	c, s := tls.Client(client, cfg), tls.Server(server, cfg)
	done := make(chan error, 1)
	go func() { done <- s.Handshake() }()
	if err = c.Handshake(); err == nil {
		err = <-done
	}
	return c, s, err
}

// certificate returns a configuration for both ends.
var certificate = sync.OnceValues(func() (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, RootCAs: roots, ServerName: "localhost"}, nil
})

// run runs a round.
func (r *racer) run() {
	t, lots := r.t, r.lots
	clientEnd, serverEnd, err := links[r.link]()
	require.NoError(t, err)
	ours, theirs := clientEnd, serverEnd
	if r.server {
		ours, theirs = serverEnd, clientEnd
	}
	r.peer = &racingPeer{
		nc: theirs, client: r.server, mood: mood(max(0, lots.IntN(5)-2)),
		lots: mathrand.New(mathrand.NewPCG(lots.Uint64(), 1)), queue: make(chan []byte, 100),
	}
	n := websocket.Negotiated{Server: r.server}
	opts := websocket.Options{CloseTimeout: 100 * time.Millisecond}
	if lots.IntN(2) == 0 {
		n.Compression = &websocket.Compression{}
	}
	if lots.IntN(4) == 0 {
		opts.PingInterval = time.Millisecond
		opts.PingTimeout = 10 * time.Second
	}
	r.tight = lots.IntN(2) == 0
	r.c = websocket.NewConn(ours, n, opts)

	var peer sync.WaitGroup
	peer.Go(r.peer.run)
	r.readers.Go(func() { r.reader("first", r.method) })
	r.writer("anna")
	r.writer("bert")
	r.streamer("carla")
	for range 2 + lots.IntN(4) {
		f := actors[lots.IntN(len(actors))]
		r.act(func(lots *mathrand.Rand) { f(r, lots) })
	}
	how := lots.IntN(4)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if how < 2 { // all has been said
			r.actors.Wait()
		}
		if how%2 == 0 {
			r.shutdown(lots)
		} else {
			dawdle(lots)
		}
		_ = r.try("Close", r.c.Close())
		r.actors.Wait()
		_ = r.try("Close", r.c.Close())
		r.readers.Wait()
		peer.Wait()
	}()
	select {
	case <-done:
	case <-time.After(hangTime):
		panic(r.name + " hangs") // and all stacks
	}
	r.verify(n.Compression != nil)
}

// verify looks at what came of it.
func (r *racer) verify(compressed bool) {
	t := r.t
	require.Empty(t, r.failures, r.name)
	require.NotNil(t, context.Cause(r.c.Context()), r.name)

	s := reader{server: !r.server, compressed: compressed, limit: -1}.see(r.peer.got)
	require.Contains(t, []ending{unfinished, closed}, s.end, "%s: the peer got bad frames (%d) behind %d bytes", r.name, s.code, s.used)
	if s.end == closed {
		require.Len(t, r.peer.got, s.used, "%s: something behind the close frame", r.name)
	}
	there := make(map[string]bool)
	last := make(map[string]int)
	for _, m := range s.messages {
		who, n, ok := whose(m.payload)
		require.True(t, ok, "%s: %.50q", r.name, m.payload)
		require.False(t, there[m.payload], "%s: twice: %.50q", r.name, m.payload)
		there[m.payload] = true
		if before, ok := last[who]; ok {
			require.Greater(t, n, before, "%s: order of %s", r.name, who)
		}
		last[who] = n
	}
	var lost []string
	for _, text := range r.accepted {
		if !there[text] {
			lost = append(lost, text[:min(len(text), 12)])
		}
	}
	// Close drops the connection. If something from the peer was not read by then, TCP
	// resets it, and the peer may lose what it had not read either. It hears of the reset
	// when it reads or when it writes.
	reset := r.link > 0 && errors.Is(context.Cause(r.c.Context()), net.ErrClosed) &&
		(r.peer.unsaid != nil || r.peer.err != nil && r.peer.err != io.EOF)
	if len(lost) > 0 && !reset {
		tells := func(err error) bool { return r.peer.mood == vanishes || tellsOfLoss(err) }
		require.True(t, slices.ContainsFunc(r.told, tells), "%s: %q are lost, and nobody was told: %v; %v; peer in mood %d ended with %v and got %d bytes", r.name, lost, r.told,
			context.Cause(r.c.Context()), r.peer.mood, r.peer.err, len(r.peer.got))
	}

	// What was read is what was sent, from the beginning, and by two readers together.
	got := make(map[string]bool)
	count := 0
	for name, texts := range r.read {
		before := -1
		for _, text := range texts {
			who, n, ok := whose(text)
			require.True(t, ok && who == "peer" && n > before, "%s: %s reader: %.50q after %d", r.name, name, text, before)
			require.False(t, got[text], "%s: read twice: %.50q", r.name, text)
			got[text] = true
			before = n
			count++
		}
	}
	require.LessOrEqual(t, count, len(r.peer.sent), r.name)
	if !r.two.Load() {
		for _, text := range r.peer.sent[:count] {
			require.True(t, got[text], "%s: not read: %.50q", r.name, text)
		}
	}
}

// tellsOfLoss reports whether err says more than that the program has closed the
// connection itself, after which nothing that was accepted before may be lost.
func tellsOfLoss(err error) bool {
	return !errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
}

// descriptors returns how many files the process has open, 0 where that is not known.
func descriptors() int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(list)
}

// requireBack waits until goroutines and descriptors are no more than before.
func requireBack(t *testing.T, name string, goroutines, files int) {
	t.Helper()
	for end := time.Now().Add(hangTime); runtime.NumGoroutine() > goroutines || descriptors() > files; time.Sleep(100 * time.Microsecond) {
		if time.Now().After(end) {
			buf := make([]byte, 1<<20)
			require.FailNow(t, name, "%d goroutines, not %d, and %d descriptors, not %d, are left\n%s",
				runtime.NumGoroutine(), goroutines, descriptors(), files, buf[:runtime.Stack(buf, true)])
		}
	}
}

// steady returns how many goroutines and descriptors there are when nothing is going on,
// but all that stays open once it is was opened.
func steady(t *testing.T) (goroutines, files int) {
	client, server, err := overTLS()
	require.NoError(t, err)
	require.NoError(t, client.(*tls.Conn).NetConn().Close())
	require.NoError(t, server.(*tls.Conn).NetConn().Close())
	goroutines = runtime.NumGoroutine()
	client, server, err = overTCP()
	require.NoError(t, err)
	c := websocket.NewConn(server, websocket.Negotiated{Server: true}, websocket.Options{})
	done := make(chan error, 1)
	c.Start(func(websocket.Message) error { return nil }, func(err error) { done <- err })
	require.NoError(t, c.Close())
	require.NoError(t, <-done)
	require.NoError(t, client.Close())
	return goroutines, descriptors()
}

func TestRaces(t *testing.T) {
	from := *seed
	if from == 0 {
		from = mathrand.Uint64()
	}
	goroutines, files := steady(t)
	counts := make(map[string]int)
	began := time.Now()
	for i := range *rounds {
		r := &racer{
			t: t, lots: mathrand.New(mathrand.NewPCG(from, uint64(i))), read: make(map[string][]string),
			link: i % len(links), server: i/len(links)%2 == 0, method: method(i / 2 / len(links) % methods),
		}
		r.name = fmt.Sprintf("round %d of seed %d, link %d, server %t, %v", i, from, r.link, r.server, r.method)
		r.run()
		requireBack(t, r.name, goroutines, files)
		counts["accepted"] += len(r.accepted)
		counts["told"] += len(r.told)
	}
	t.Logf("%d rounds in %v, seed %d: %d messages accepted, %d errors",
		*rounds, time.Since(began).Round(time.Millisecond), from, counts["accepted"], counts["told"])
}
