package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/duplexkit/websocket"
)

// What the server grants its peers is little, so that a run of a minute sees attackers
// thrown out.
const (
	headerTimeout = 2 * time.Second // for a request's header
	pingInterval  = time.Second
	pingTimeout   = 2 * time.Second
	writeTimeout  = time.Second
	closeTimeout  = 2 * time.Second
	readLimit     = 1 << 20   // bytes
	writeQueue    = 256 << 10 // bytes
	writeBuffer   = 64 << 10  // bytes that the system takes from the server before a peer reads them, about
	newsInterval  = 200 * time.Millisecond
)

// The ways of serving a connection. All return what they are sent.
const (
	modeRead  = "read"  // Upgrade and a loop of ReadMessage
	modeServe = "serve" // Handler and Serve
	modeStart = "start" // Handler and Start
	modeRoom  = "room"  // Start, and what is broadcast to a Group
)

var modes = []string{modeRead, modeServe, modeStart, modeRoom}

// The terms of compression that a server agrees to and a client offers.
const (
	termsPlain    = "plain"
	termsClassic  = "classic"  // EnableCompression, without context takeover
	termsTakeover = "takeover" // Compression, with it
)

var terms = []string{termsPlain, termsClassic, termsTakeover}

// Who connects: the server is told, so that it knows what is an error.
const (
	whoGood = "good" // leaves by a closing handshake
	whoRude = "rude" // the same, but leaves without
	whoBad  = "bad"
)

type serverRequest struct {
	Do string // one of these
}

const (
	doFigures  = "figures"
	doShutdown = "shutdown"
)

type serverAnswer struct {
	figures
	Messages int            // that were answered so far
	News     int            // that were broadcast so far
	Open     int            // connections
	Ends     map[string]int // how connections have ended so far, without those of the good
	Faults   []string       // what must not be, so far

	// Of doShutdown.
	Before figures       // before the first connection
	Took   time.Duration // until all connections, goroutines and descriptors were gone; 0 if they were not in patience
	Addr   string        // of the first answer: where it serves
}

type server struct {
	http *http.Server
	done sync.WaitGroup // loops of connections
	all  websocket.Group
	room websocket.Group

	messages atomic.Int64
	news     atomic.Int64
	open     atomic.Int64

	faults faults
	mu     sync.Mutex
	ends   map[string]int // guarded by mu
}

// newServer returns a server that serves on l, until shutdown.
func newServer(l net.Listener) *server {
	s := &server{ends: make(map[string]int)}
	mux := http.NewServeMux()
	for _, t := range terms {
		u := websocket.Upgrader{EnableCompression: t == termsClassic, Options: websocket.Options{
			ReadLimit:    readLimit,
			WriteTimeout: writeTimeout,
			PingInterval: pingInterval,
			PingTimeout:  pingTimeout,
			CloseTimeout: closeTimeout,
			WriteQueue:   writeQueue,
			SlowConsumer: websocket.CloseSlow,
			Group:        &s.all,
		}}
		if t == termsTakeover {
			u.Compression = &websocket.Compression{}
		}
		for mode, handler := range map[string]http.Handler{
			modeRead:  http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.read(&u, w, r) }),
			modeServe: u.Handler(s.serve),
			modeStart: u.Handler(func(c *websocket.Conn, r *http.Request) error { return s.start(c, r, false) }),
			modeRoom:  u.Handler(func(c *websocket.Conn, r *http.Request) error { return s.start(c, r, true) }),
		} {
			mux.HandleFunc("/{who}/"+mode+"/"+t, func(w http.ResponseWriter, r *http.Request) {
				s.done.Add(1) // before the upgrade, for a Shutdown waits no longer
				defer s.done.Done()
				handler.ServeHTTP(w, r)
			})
		}
	}
	s.http = &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       headerTimeout,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          log.New(&serverLog{s}, "", 0),
	}
	go s.http.Serve(listener{l}) // its error is that it was shut down
	return s
}

// A listener has the connections that it accepts send to those who do not read less.
type listener struct{ net.Listener }

func (l listener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if tcp, ok := nc.(*net.TCPConn); ok && err == nil {
		_ = tcp.SetWriteBuffer(writeBuffer) // what fails here fails again when it is used
	}
	return nc, err
}

// A serverLog is where net/http tells of panics, and of little else.
type serverLog struct{ s *server }

func (l *serverLog) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("panic")) {
		l.s.faults.add("the server: %s", p)
	}
	return len(p), nil
}

// echo returns a message to where it came from.
func (s *server) echo(c *websocket.Conn, messageType int, data []byte) error {
	s.messages.Add(1)
	return c.WriteMessage(messageType, data)
}

func (s *server) read(u *websocket.Upgrader, w http.ResponseWriter, r *http.Request) {
	c, err := u.Upgrade(w, r, nil)
	if err != nil {
		return // which has been answered
	}
	defer c.Close()
	s.open.Add(1)
	for {
		messageType, data, err := c.ReadMessage()
		if err == nil {
			err = s.echo(c, messageType, data)
		}
		if err != nil && !errors.Is(err, websocket.ErrCloseSent) { // after which the peer's close frame is still to come
			s.ended(r.PathValue("who"), err)
			return
		}
	}
}

func (s *server) serve(c *websocket.Conn, r *http.Request) error {
	s.open.Add(1)
	err := c.Serve(r.Context(), func(m websocket.Message) error { return s.echo(c, m.Type, m.Data) })
	s.ended(r.PathValue("who"), err)
	return err
}

func (s *server) start(c *websocket.Conn, r *http.Request, room bool) error {
	s.open.Add(1)
	s.done.Add(1)
	if room {
		s.room.Add(c)
	}
	who := r.PathValue("who")
	c.Start(func(m websocket.Message) error { return s.echo(c, m.Type, m.Data) }, func(err error) {
		defer s.done.Done()
		s.ended(who, err)
	})
	return nil
}

// ended notes how a connection has ended.
func (s *server) ended(who string, err error) {
	s.open.Add(-1)
	how := class(err)
	switch how {
	case "1000", "1001", "close sent":
		if who == whoGood {
			return
		}
	}
	if who == whoGood {
		s.faults.add("the server has lost a good connection: %v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ends[how]++
}

// class sorts errors.
func class(err error) string {
	var (
		closed *websocket.CloseError
		broken *websocket.ProtocolError
	)
	switch {
	case err == nil:
		return "1000" // or 1001, of which loops say no more
	case errors.As(err, &closed):
		return fmt.Sprint(closed.Code)
	case errors.As(err, &broken):
		return fmt.Sprintf("broke %d", broken.Code)
	case errors.Is(err, websocket.ErrReadLimit):
		return "read limit"
	case errors.Is(err, websocket.ErrCloseSent):
		return "close sent"
	case errors.Is(err, websocket.ErrWriteQueueFull):
		return "queue full"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "reset"
	case errors.Is(err, net.ErrClosed):
		return "closed"
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return "cut off"
	}
	return "other"
}

// broadcast sends news to the room until ctx ends.
func (s *server) broadcast(ctx context.Context) {
	rng := newRand(1, 1)
	bodies := newLibrary(rng)
	tick := time.NewTicker(newsInterval)
	defer tick.Stop()
	var body []byte
	for ctx.Err() == nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		m := message{kind: kindNews, sequence: uint64(s.news.Add(1))}
		messageType := typeOf(m.sequence)
		body = bodies.body(body[:0], rng, messageType == websocket.TextMessage)
		pm, err := websocket.NewPreparedMessage(messageType, m.append(nil, body))
		if err != nil {
			s.faults.add("the server: %v", err)
			return
		}
		s.room.Broadcast(pm)
	}
}

// shutdown takes leave of all connections, and returns when those and their
// goroutines are gone.
func (s *server) shutdown() {
	// Not one after the other: http.Server waits for those who take their time over a
	// request. A connection that is upgraded meanwhile is closed as it joins the Group.
	var leaving sync.WaitGroup
	leaving.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience/2)
		defer cancel()
		if err := s.http.Shutdown(ctx); err != nil {
			s.faults.add("http.Server.Shutdown: %v", err)
		}
	})
	leaving.Go(func() {
		// With no deadline, so that each connection's CloseTimeout counts.
		if err := s.all.Shutdown(context.Background(), websocket.CloseGoingAway, "the soak is over"); err != nil {
			s.faults.add("Group.Shutdown: %v", err)
		}
	})
	leaving.Wait()
	s.done.Wait()
}

func serverRole(in io.Reader, out io.Writer) error {
	if err := warm(); err != nil {
		return err
	}
	before := takeFigures()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := newServer(l)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go s.broadcast(ctx)
	return answerAll(in, out, func(q serverRequest) (a serverAnswer) {
		if q.Do == doShutdown {
			begin := time.Now()
			s.shutdown()
			cancel()
			if settled(before.Goroutines, before.Descriptors, patience/2) {
				a.Took = time.Since(begin)
			} else {
				s.faults.add("goroutines that are left: %s", stacks())
			}
		}
		a.Before, a.figures = before, takeFigures()
		a.Addr = l.Addr().String()
		a.Messages, a.News, a.Open = int(s.messages.Load()), int(s.news.Load()), int(s.open.Load())
		a.Faults = s.faults.list()
		s.mu.Lock()
		defer s.mu.Unlock()
		a.Ends = maps.Clone(s.ends)
		return a
	})
}

// warm has a server of its own serve a client in each way, so that what is made once
// and for all is there when the figures before the first connection are taken.
func warm() error {
	goroutines := runtime.NumGoroutine()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := newServer(l)
	for _, mode := range modes {
		for _, t := range terms {
			d := newDialer(t)
			c, _, err := d.Dial(fmt.Sprintf("ws://%s/%s/%s/%s", l.Addr(), whoGood, mode, t), nil)
			if err != nil {
				return err
			}
			begun := make(chan struct{}, 1)
			ended := make(chan error, 1)
			c.Start(func(websocket.Message) error {
				select {
				case begun <- struct{}{}:
				default:
				}
				return nil
			}, func(err error) { ended <- err })
			if err := c.WriteMessage(websocket.TextMessage, []byte("are you there?")); err != nil {
				return err
			}
			select {
			case <-begun:
			case <-ended:
				return errors.New("a first connection has ended at once")
			}
			if err := c.Shutdown(context.Background(), websocket.CloseNormalClosure, ""); err != nil {
				return err
			}
			<-ended
		}
	}
	s.shutdown()
	if !settled(goroutines, unlimited, patience/2) {
		return fmt.Errorf("a few connections have left goroutines behind: %s", stacks())
	}
	if f := s.faults.list(); len(f) > 0 {
		return errors.New(strings.Join(f, "\n"))
	}
	return nil
}

func stacks() string {
	buf := make([]byte, 16<<10)
	return string(buf[:runtime.Stack(buf, true)])
}

// faults are the first of things that must not be.
type faults struct {
	mu    sync.Mutex
	first []string
	more  int
}

const mostFaults = 20

func (f *faults) add(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.first) == mostFaults {
		f.more++
		return
	}
	f.first = append(f.first, strings.TrimSpace(fmt.Sprintf(format, args...)))
}

func (f *faults) list() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := append([]string(nil), f.first...)
	if f.more > 0 {
		list = append(list, fmt.Sprintf("and %d more", f.more))
	}
	return list
}
