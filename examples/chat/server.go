package main

import (
	"cmp"
	"context"
	"embed"
	"io/fs"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/duplexkit/websocket"
)

//go:embed page
var files embed.FS

const (
	farewell = 5 * time.Second // how long the server waits for its clients when it ends
	burst    = 10              // messages that one may send without a pause
)

// server is a chat server.
type server struct {
	rooms  rooms
	pause  time.Duration // between messages of one person
	queue  int           // Options.WriteQueue: a welcome has to fit in
	all    websocket.Group
	served sync.WaitGroup
}

func newServer(history int, pause time.Duration) *server {
	return &server{
		rooms: rooms{byName: make(map[string]*room), keep: history},
		pause: pause,
		queue: 512 << 10,
	}
}

// serve answers on ln until ctx ends, then closes every connection with 1001.
func (s *server) serve(ctx context.Context, ln net.Listener) error {
	srv := &http.Server{Handler: s.handler(), ReadTimeout: 10 * time.Second} // which Upgrade lifts
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	// Beside each other: net/http no longer knows connections that were upgraded, and may wait
	// for those that a browser has opened and not used yet.
	pages := make(chan error, 1)
	go func() { pages <- srv.Shutdown(ctx) }()
	if err := s.all.Shutdown(ctx, websocket.CloseGoingAway, "server is shutting down"); err != nil {
		log.Printf("some clients did not answer the farewell: %v", err)
	}
	if err := <-pages; err != nil {
		log.Printf("HTTP connections were still open: %v", err)
		srv.Close()
	}
	s.served.Wait()
	return nil
}

func (s *server) handler() http.Handler {
	page, err := fs.Sub(files, "page")
	if err != nil {
		panic(err) // it is embedded
	}
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
		WriteQueue:   s.queue,
		WriteTimeout: 10 * time.Second,
		SlowConsumer: websocket.CloseSlow,

		Group: &s.all,
	}}
	chat := upgrader.Handler(s.chat)

	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		// Names and messages are put in the page as text. Should that be forgotten
		// somewhere some day, a script in them does not run.
		w.Header().Set("Content-Security-Policy", "default-src 'self'; img-src data:")
		static.ServeHTTP(w, r)
	})
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		s.served.Add(1) // before the upgrade, for Shutdown waits no longer
		defer s.served.Done()
		chat.ServeHTTP(w, r)
	})
	return mux
}

// chat serves one person. What is wrong with the names it says by a close frame, for a
// page is not told the status of a refused handshake.
func (s *server) chat(c *websocket.Conn, r *http.Request) error {
	err := s.talk(c, r)
	log.Printf("%v left: %q", c.RemoteAddr(), cmp.Or(err, context.Cause(c.Context()))) // quoted, for the reason is theirs
	return err
}

func (s *server) talk(c *websocket.Conn, r *http.Request) error {
	asked := r.URL.Query()
	name, ok := cleanName(asked.Get("name"))
	roomName, okRoom := cleanName(asked.Get("room"))
	if !ok || !okRoom {
		return &websocket.CloseError{Code: websocket.ClosePolicyViolation, Text: "names have 1 to 32 printable characters"}
	}
	log.Printf("%v joins %q as %q", c.RemoteAddr(), roomName, name) // quoted, for it is theirs
	room, err := s.rooms.join(c, roomName, name)
	if err != nil {
		return err
	}
	defer room.leave(c)

	pace := pace{pause: s.pause}
	return c.Serve(r.Context(), func(m websocket.Message) error {
		pace.wait(c.Context())
		req, err := parse(m)
		if err != nil {
			return err
		}
		if req.Type == "probe" {
			return tell(c, event{Type: "here"}.encode())
		}
		return room.say(c, req)
	})
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
