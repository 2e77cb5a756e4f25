package main

import (
	"context"
	"crypto/rand"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/duplexkit/websocket"
)

//go:embed page
var files embed.FS

const (
	farewell = 5 * time.Second // how long a node waits for its clients when it ends
	burst    = 10              // messages that one may send without a pause
	inFlight = 16              // messages of one person that wait for NATS; then no more are read

	// cutOff is how long a node may be without the stream until it sends its people away.
	// It is more than the nine seconds that the election of a leader may take: it takes
	// as long at the other nodes.
	cutOff = 15 * time.Second
)

// node is a chat server, one of several.
type node struct {
	cfg   config
	bus   *bus
	rooms rooms

	leaving atomic.Bool
	all     websocket.Group
	served  sync.WaitGroup

	mu      sync.Mutex
	stream  string    // which it is; none before NATS has answered for the first time
	leader  string    // the NATS server that leads it
	reached time.Time // when NATS answered last
}

func newNode(ctx context.Context, cfg config) (*node, error) {
	b, err := newBus(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return &node{cfg: cfg, bus: b, rooms: rooms{bus: b, byName: make(map[string]*room)}}, nil
}

// serve answers on ln until ctx ends, and then comes to a good end:
//
//  1. /readyz says 503, and for the time -unready everybody is served as before.
//  2. The listener is closed, and so are all connections, with 1001: their pages go to
//     other nodes. What was not confirmed to them they send there again.
//  3. The other nodes hear that nobody is here any more.
//  4. The connection to NATS is drained. An embedded server hands over what it leads.
//
// ready is called when there is a stream to serve from.
func (n *node) serve(ctx context.Context, ln net.Listener, ready func()) (err error) {
	srv := &http.Server{Handler: n.handler(), ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 2)
	go func() { failed <- srv.Serve(ln) }()
	watching, stopWatching := context.WithCancel(context.Background())
	var watched sync.WaitGroup
	watched.Go(func() {
		if err := n.watch(watching, ready); err != nil {
			failed <- err
		}
	})
	defer func() {
		stopWatching()
		watched.Wait()
		n.rooms.closeAll(true)
		err = errors.Join(err, n.bus.end())
	}()

	select {
	case err = <-failed:
	case err = <-n.bus.failed:
	case <-ctx.Done():
		n.leaving.Store(true)
		if n.cfg.unready > 0 {
			log.Printf("not ready any more, and serving for %v", n.cfg.unready)
			select {
			case err = <-failed:
			case err = <-n.bus.failed:
			case <-time.After(n.cfg.unready):
			}
		}
	}
	n.leaving.Store(true)

	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	// Beside each other: net/http no longer knows connections that were upgraded, and may wait
	// for those that a browser has opened and not used yet.
	pages := make(chan error, 1)
	go func() { pages <- srv.Shutdown(ctx) }()
	if err := n.all.Shutdown(ctx, websocket.CloseGoingAway, "this node is shutting down"); err != nil {
		log.Printf("some clients did not answer the farewell: %v", err)
	}
	slow := <-pages
	if errors.Is(slow, context.DeadlineExceeded) {
		log.Print("some requests did not end in time, or some connections were opened and never used")
		slow = srv.Close()
	}
	err = errors.Join(err, slow)
	n.served.Wait()
	return err
}

// watch asks NATS once a second for the stream, and makes it if there is none.
func (n *node) watch(ctx context.Context, ready func()) error {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	trouble := ""
	for {
		err := n.look(ctx, ready)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && n.place() == "" && permanent(err) {
			if n.cfg.replicas > 1 {
				err = fmt.Errorf("%w (-replicas is %d)", err, n.cfg.replicas)
			}
			return fmt.Errorf("NATS refuses the stream %q: %w", n.cfg.prefix, err)
		}
		now := ""
		if err != nil {
			now = err.Error()
		}
		if now != trouble {
			trouble = now
			switch {
			case err == nil:
				log.Print("the stream is within reach")
			case n.place() == "":
				log.Printf("there is no stream yet: %v", err)
			default:
				log.Printf("the stream is out of reach: %v", err)
			}
		}
		n.rooms.tick()
		select {
		case <-second.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// look sees whether the stream is there, and is the one that it was.
func (n *node) look(ctx context.Context, ready func()) error {
	first := n.place() == ""
	var err error
	if first {
		// Nodes that start together have no leader yet. To ask again does no harm.
		asking, cancel := context.WithTimeout(ctx, answer/2)
		_, err = n.bus.configure(asking)
		cancel()
	}
	var now *streamState
	if err == nil {
		now, err = n.bus.stream(ctx)
	}
	if errors.Is(err, nats.ErrNoResponders) {
		err = fmt.Errorf("NATS has no JetStream at the moment: %w", err)
	}
	if err != nil {
		if !first && !n.reachable() {
			n.sendAway(websocket.CloseTryAgainLater, "this node is cut off")
		}
		return err
	}
	n.mu.Lock()
	another := !first && now.id != n.stream
	n.stream, n.leader, n.reached = now.id, now.leader, time.Now()
	n.mu.Unlock()
	n.bus.state.Store(now)
	if first {
		ready()
	}
	if another {
		log.Print("the stream was lost, and made anew")
		n.rooms.closeAll(false)
		n.sendAway(websocket.CloseServiceRestart, "the history was lost")
	}
	return nil
}

// place returns which stream there is.
func (n *node) place() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.stream
}

// reachable reports whether the stream was there of late.
func (n *node) reachable() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.stream != "" && time.Since(n.reached) < cutOff
}

// sendAway closes all connections that there are.
func (n *node) sendAway(code int, why string) {
	for c := range n.all.All() {
		go func() { _ = c.Shutdown(context.Background(), code, why) }() // those that are gone need no farewell
	}
}

func (n *node) handler() http.Handler {
	page, err := fs.Sub(files, "page")
	if err != nil {
		panic(err) // it is embedded
	}
	index := template.Must(template.ParseFS(page, "index.html"))
	static := http.FileServerFS(page)
	upgrader := websocket.Upgrader{Options: websocket.Options{
		ReadLimit: readLimit,

		// Pings find out who is gone without a word, and keep proxies from dropping those
		// who only listen. A browser answers them by itself.
		PingInterval: 25 * time.Second,
		PingTimeout:  10 * time.Second,

		// A slow consumer is bounded twice, by what may wait for it and by the time that one
		// message may take. It is not left without messages, as DropMessage would do: that
		// would be a hole in the talk which nobody sees. One that is sent away connects
		// again, and the welcome tells it what it missed.
		WriteQueue:   n.cfg.queue,
		WriteTimeout: 10 * time.Second,
		SlowConsumer: websocket.CloseSlow,

		CloseTimeout: farewell,
		Group:        &n.all,
	}}
	// A page that came from one node may use another.
	sockets := []string{"'self'"}
	for _, peer := range n.cfg.peers {
		upgrader.AllowedOrigins = append(upgrader.AllowedOrigins, originsOf(peer)...)
		sockets = append(sockets, "ws"+strings.TrimPrefix(peer, "http"))
	}
	chat := upgrader.Handler(n.chat)

	// Names and messages are put in the page as text. Should that be forgotten
	// somewhere some day, a script in them does not run.
	policy := "default-src 'self'; img-src data:; connect-src " + strings.Join(sockets, " ")

	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Cache-Control", "no-cache") // the nodes are in it
		if err := index.Execute(w, strings.Join(n.cfg.peers, " ")); err != nil {
			log.Printf("page for %v: %v", r.RemoteAddr, err)
		}
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		static.ServeHTTP(w, r)
	})
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, r *http.Request) {
		switch {
		case n.leaving.Load():
			http.Error(w, "shutting down", http.StatusServiceUnavailable)
		case !n.reachable():
			http.Error(w, "the stream is out of reach", http.StatusServiceUnavailable)
		default:
			n.mu.Lock()
			defer n.mu.Unlock()
			fmt.Fprintf(w, "ready; people: %d; the stream's leader: %s\n", n.all.Len(), n.leader)
		}
	})
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		n.served.Add(1) // before the upgrade, for Shutdown waits no longer
		defer n.served.Done()
		chat.ServeHTTP(w, r)
	})
	return mux
}

// originsOf returns the origins of the pages at an address: one, or for this machine all
// that people write.
func originsOf(peer string) []string {
	u, err := url.Parse(peer)
	if err != nil || u.Hostname() != "localhost" && u.Hostname() != "127.0.0.1" {
		return []string{peer}
	}
	end := ""
	if u.Port() != "" {
		end = ":" + u.Port()
	}
	return []string{u.Scheme + "://localhost" + end, u.Scheme + "://127.0.0.1" + end}
}

// chat serves one person. What is wrong with the names it says by a close frame, for a
// page is not told the status of a refused handshake.
func (n *node) chat(c *websocket.Conn, r *http.Request) error {
	err := n.talk(c, r)
	why := "without an error"
	if err != nil {
		why = strconv.Quote(err.Error()) // for the reason in it is theirs, and may have lines
	}
	log.Printf("%v left: %s", c.RemoteAddr(), why)
	return err
}

func (n *node) talk(c *websocket.Conn, r *http.Request) error {
	asked := r.URL.Query()
	name, ok := cleanName(asked.Get("name"))
	roomName, okRoom := cleanName(asked.Get("room"))
	if !ok || !okRoom {
		return &websocket.CloseError{Code: websocket.ClosePolicyViolation, Text: "names have 1 to 32 printable characters"}
	}
	page := asked.Get("page")
	if page == "" {
		page = rand.Text()
	}
	after := uint64(0)
	if s := asked.Get("after"); s != "" {
		var err error
		if after, err = strconv.ParseUint(s, 10, 64); err != nil {
			return &websocket.CloseError{Code: websocket.ClosePolicyViolation, Text: "after is not a number"}
		}
	}
	if !validID(page) {
		return &websocket.CloseError{Code: websocket.ClosePolicyViolation, Text: "page is not an ID"}
	}
	if !n.reachable() {
		return &websocket.CloseError{Code: websocket.CloseTryAgainLater, Text: "this node is cut off"}
	}
	log.Printf("%v joins %q as %q", c.RemoteAddr(), roomName, name) // quoted, for it is theirs
	room, err := n.rooms.join(c, roomName, person{name, page}, n.cfg.name, n.place(), asked.Get("stream"), after)
	if err != nil {
		return err
	}
	defer room.leave(c)

	// Beside reading, for NATS may take its time: one who probes gets an answer meanwhile.
	// One after the other, for they are to be said in this order.
	messages := make(chan message, inFlight)
	var publishing sync.WaitGroup
	publishing.Go(func() {
		for m := range messages {
			n.publish(c, room, m)
		}
	})
	defer publishing.Wait()
	defer close(messages)

	pace := pace{pause: n.cfg.pause}
	return c.Serve(r.Context(), func(m websocket.Message) error {
		pace.wait(c.Context())
		req, err := parse(m)
		if err != nil {
			return err
		}
		if req.Type == "probe" {
			return tell(c, event{Type: "here"}.encode())
		}
		text, why := cleanText(req.Text)
		if why != "" {
			return tell(c, event{Type: "refused", ID: req.ID, Text: why}.encode())
		}
		select {
		case messages <- message{ID: req.ID, Name: name, Text: text}:
			return nil
		case <-c.Context().Done():
			return context.Cause(c.Context())
		}
	})
}

// publish tries until NATS has the message, or nobody is there any more who waits for it
// and will send it again elsewhere. A try that failed may have done it, and NATS drops
// the double.
func (n *node) publish(c *websocket.Conn, room *room, m message) {
	for c.Context().Err() == nil {
		var err error
		if !room.knows(m) {
			err = n.bus.publish(c.Context(), room.name, m)
		}
		if err == nil {
			_ = tell(c, event{Type: "sent", ID: m.ID}.encode()) // who is not told sends it again
			return
		}
		if c.Context().Err() != nil {
			return
		}
		log.Printf("room %q: a message waits: %v", room.name, err)
		_ = tell(c, event{Type: "waiting", ID: m.ID, Text: "the nodes can't agree at the moment"}.encode())
		select {
		case <-time.After(again):
		case <-c.Context().Done():
		}
	}
}

// pace holds up those who send too much. Nothing is refused: while the handler waits
// nothing is read, and TCP makes the sender wait too.
type pace struct {
	pause time.Duration
	next  time.Time // when the next message would be due, were there a pause after each
}

func (p *pace) wait(ctx context.Context) {
	now := time.Now()
	if p.next.Before(now) {
		p.next = now
	}
	p.next = p.next.Add(p.pause)
	ahead := p.next.Sub(now) - burst*p.pause
	if ahead <= 0 {
		return
	}
	pause := time.NewTimer(ahead)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-ctx.Done():
	}
}
