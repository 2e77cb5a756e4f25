package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/duplexkit/websocket"
)

const (
	thinkTime     = 500 * time.Millisecond // from one turn of a good connection to the next, on the average
	mostAtOnce    = 3                      // messages in a turn
	lifeTime      = 8 * time.Second        // of connections that come and go, on the average
	comingAndGone = 4                      // one in so many does
	dialTimeout   = 10 * time.Second
)

// The first message fills the windows of both directions (RFC 7692, section 7.1.2), so
// that a connection has at once all memory that it will have.
const (
	first       = 1
	windowBytes = 32 << 10
)

// The ways in which a client reads.
var readers = []string{"ReadMessage", "NextReader", "Messages", "Serve", "Start"}

// clients are the good connections. Each is kept by a goroutine, which dials another
// one when it has come to the end of its life.
type clients struct {
	addr   string
	seed   uint64
	bodies *library
	dials  pace

	open     atomic.Int64
	dialed   atomic.Int64
	messages atomic.Int64 // that have come back
	news     atomic.Int64 // that have come
	away     atomic.Int64 // connections that the server has closed with 1001 when it could

	measuring atomic.Bool
	latencies latencies

	faults faults
	kept   sync.WaitGroup // goroutines

	// Who dials or leaves shares it. To have it alone is to know that nobody does.
	changing sync.RWMutex
	last     bool // nobody dials any more or leaves of himself; guarded by changing
}

// keep keeps n connections.
func (cs *clients) keep(n int) {
	for place := range n {
		cs.kept.Go(func() {
			rng := newRand(cs.seed, uint64(place))
			goes := rng.IntN(comingAndGone) == 0
			for cs.one(place, goes, rng) {
			}
		})
	}
}

// settle has the connections stay that there are now, and returns how many.
func (cs *clients) settle() int {
	cs.changing.Lock()
	defer cs.changing.Unlock()
	cs.last = true
	return int(cs.open.Load())
}

func (cs *clients) settled() bool {
	cs.changing.RLock()
	defer cs.changing.RUnlock()
	return cs.last
}

// one keeps one connection all its life, and reports whether there is to be another.
func (cs *clients) one(place int, goes bool, rng *rand.Rand) bool {
	g := &good{
		clients:  cs,
		rng:      rng,
		sender:   uint32(place),
		answered: make(chan struct{}, 1),
		ended:    make(chan error, 1),
		who:      whoGood,
		leave:    (*good).shutdown,
	}
	life := time.Duration(rng.ExpFloat64() * float64(lifeTime))
	if goes {
		switch rng.IntN(4) {
		case 0:
			g.who, g.leave = whoRude, (*good).close
		case 1:
			g.who, g.leave = whoRude, (*good).reset
		}
	}
	cs.dials.take(context.Background(), 1)
	if goOn, err := g.dial(place); !goOn || err != nil {
		if err != nil {
			cs.faults.add("a good connection could not be opened: %v", err)
		}
		return goOn
	}
	defer cs.open.Add(-1)
	for begin := time.Now(); ; {
		if err := g.turn(); err != nil {
			return g.over(err)
		}
		if goes && time.Since(begin) > life {
			if g.left() {
				return true
			}
			goes = false
		}
	}
}

// A good is one good connection.
type good struct {
	*clients
	rng    *rand.Rand
	sender uint32
	who    string
	leave  func(*good) error
	c      *websocket.Conn
	sent   uint64 // messages

	// Of who reads.
	received atomic.Uint64
	due      atomic.Uint64 // how many have to be received until answered is to be told
	newest   uint64        // news
	answered chan struct{}
	ended    chan error // why reading has
}

var errBad = errors.New("what came was not what had been sent") // and the faults say more

func newDialer(terms string) *websocket.Dialer {
	d := &websocket.Dialer{
		HandshakeTimeout:  dialTimeout,
		EnableCompression: terms == termsClassic,
		Options: websocket.Options{
			ReadLimit:    readLimit,
			WriteTimeout: dialTimeout,
			PingInterval: dialTimeout / 2,
		},
	}
	if terms == termsTakeover {
		d.Compression = &websocket.Compression{}
	}
	return d
}

// dial opens the connection, unless nobody does any more, and has it read. All
// combinations of serving, compression and reading have their places.
func (g *good) dial(place int) (goOn bool, err error) {
	pick := func(from []string) string {
		picked := from[place%len(from)]
		place /= len(from)
		return picked
	}
	mode, compression, reader := pick(modes), pick(terms), pick(readers)

	g.changing.RLock()
	defer g.changing.RUnlock()
	if g.last {
		return false, nil
	}
	g.c, _, err = newDialer(compression).Dial(fmt.Sprintf("ws://%s/%s/%s/%s", g.addr, g.who, mode, compression), nil)
	if err != nil {
		return true, err
	}
	if g.c.Negotiated().Compression == nil != (compression == termsPlain) {
		g.faults.add("compression on the terms %q was not agreed on", compression)
	}
	g.open.Add(1)
	g.dialed.Add(1)
	g.read(reader)
	return true, nil
}

// read has the connection read, to its end.
func (g *good) read(reader string) {
	handle := func(m websocket.Message) error { return g.take(m.Type, m.Data) }
	loops := map[string]func() error{
		"ReadMessage": func() error {
			for {
				if messageType, p, err := g.c.ReadMessage(); err != nil {
					return err
				} else if err := g.take(messageType, p); err != nil {
					return err
				}
			}
		},
		"NextReader": func() error {
			for {
				messageType, r, err := g.c.NextReader()
				if err != nil {
					return err
				}
				p, err := io.ReadAll(io.LimitReader(r, readLimit))
				if err != nil {
					return err
				}
				if err := g.take(messageType, p); err != nil {
					return err
				}
			}
		},
		"Messages": func() error {
			for m, err := range g.c.Messages(context.Background()) {
				if err != nil {
					return err
				}
				if err := handle(m); err != nil {
					return err
				}
			}
			return nil
		},
		"Serve": func() error { return g.c.Serve(context.Background(), handle) },
	}
	if loop, ok := loops[reader]; ok {
		go func() { g.ended <- loop() }()
		return
	}
	g.c.Start(handle, func(err error) { g.ended <- err })
}

// typeOf is the type of a message by its number, so that it need not be said.
func typeOf(sequence uint64) int {
	if sequence%2 == 0 {
		return websocket.TextMessage
	}
	return websocket.BinaryMessage
}

// take takes a message that has come.
func (g *good) take(messageType int, p []byte) error {
	m, err := parseMessage(p)
	switch {
	case err != nil:
	case messageType != typeOf(m.sequence):
		err = fmt.Errorf("message %d has changed its type to %d", m.sequence, messageType)
	case m.kind == kindNews && g.newest != 0 && m.sequence != g.newest+1:
		err = fmt.Errorf("news %d came after %d", m.sequence, g.newest)
	case m.kind == kindNews:
		g.newest = m.sequence
		g.news.Add(1)
	case m.sender != g.sender:
		err = fmt.Errorf("a message from connection %d came to %d", m.sender, g.sender)
	case m.sequence != g.received.Load()+1:
		err = fmt.Errorf("message %d came after %d", m.sequence, g.received.Load())
	default:
		if m.sequence != first && g.measuring.Load() {
			g.latencies.add(uptime() - m.sent)
		}
		g.messages.Add(1)
		if g.received.Add(1) == g.due.Load() {
			g.answered <- struct{}{}
		}
	}
	if err != nil {
		g.faults.add("a client: %v", err)
		return errBad
	}
	return nil
}

// turn thinks, sends a few messages and waits until they have come back.
func (g *good) turn() error {
	think := time.NewTimer(time.Duration((0.5 + g.rng.Float64()) * float64(thinkTime)))
	defer think.Stop()
	select {
	case <-think.C:
	case err := <-g.ended:
		return endedError{err}
	}
	n := 1 + g.rng.IntN(mostAtOnce)
	g.due.Store(g.sent + uint64(n))
	for range n {
		if err := g.send(); err != nil {
			return err
		}
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-g.answered:
		return nil
	case err := <-g.ended:
		return endedError{err}
	case <-late.C:
		return fmt.Errorf("message %d is the last that came, of %d", g.received.Load(), g.sent)
	}
}

// send sends the next message, by one of the ways there are.
func (g *good) send() error {
	g.sent++
	messageType := typeOf(g.sent)
	var body []byte
	if g.sent == first {
		body = []byte(g.bodies.text[:windowBytes]) // of a binary message, which may end within a letter
	} else {
		body = g.bodies.body(nil, g.rng, messageType == websocket.TextMessage)
	}
	p := message{kind: kindEcho, sender: g.sender, sequence: g.sent, sent: uptime()}.append(nil, body)
	switch g.rng.IntN(20) {
	case 0:
		return g.c.TryWriteMessage(messageType, p)
	case 1:
		pm, err := websocket.NewPreparedMessage(messageType, p)
		if err != nil {
			return err
		}
		return g.c.WritePreparedMessage(pm)
	case 2, 3:
		w, err := g.c.NextWriter(messageType)
		if err != nil {
			return err
		}
		for cut := g.rng.IntN(len(p)); len(p) > 0; cut = len(p) {
			if _, err := w.Write(p[:cut]); err != nil {
				return err
			}
			p = p[cut:]
		}
		return w.Close()
	}
	return g.c.WriteMessage(messageType, p)
}

// An endedError says that reading has ended, with what error.
type endedError struct{ error }

func (e endedError) Unwrap() error { return e.error }

// left leaves, unless nobody does any more.
func (g *good) left() bool {
	g.changing.RLock()
	defer g.changing.RUnlock()
	if g.last {
		return false
	}
	if err := g.leave(g); err != nil {
		g.faults.add("a client can't leave: %v", err)
	}
	if _, ok := g.end(); !ok {
		g.faults.add("a client has left and goes on reading")
	}
	return true
}

// end waits for the end of reading.
func (g *good) end() (err error, ok bool) {
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case err := <-g.ended:
		return err, true
	case <-late.C:
		return nil, false
	}
}

func (g *good) shutdown() error {
	return g.c.Shutdown(context.Background(), websocket.CloseNormalClosure, "")
}

func (g *good) close() error { return g.c.Close() }

// reset ends the connection with a RST.
func (g *good) reset() error {
	if err := g.c.NetConn().(*net.TCPConn).SetLinger(0); err != nil {
		return err
	}
	return g.c.Close()
}

// over judges the end of a connection that did not leave, and reports whether there
// is to be another one.
func (g *good) over(err error) bool {
	var e endedError
	if !errors.As(err, &e) {
		// A write tells no more than that it is over, if it is.
		if class(err) == "queue full" || class(err) == "other" {
			_ = g.c.Close() // the fault is the error
		}
		if _, ok := g.end(); !ok {
			_ = g.c.Close() // as above
			<-g.ended
		}
	}
	cause := context.Cause(g.c.Context())
	_ = g.c.Close() // what there is to be known is known
	last := g.settled()
	if last && websocket.IsCloseError(cause, websocket.CloseGoingAway) {
		g.away.Add(1)
	} else {
		g.faults.add("a good connection was lost: %v (%v)", err, cause)
	}
	return !last
}
