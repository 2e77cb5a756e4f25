package conformance

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// FuzzingServer waits for clients under test and plays cases with them, as they ask for them by the path of the URL.
type FuzzingServer struct {
	config Config
	cases  []Case
	err    error // why there are no cases

	mu        sync.Mutex
	report    Report
	playing   int        // cases begun and not yet in the report
	idle      *sync.Cond // playing is 0
	listeners map[net.Listener]bool
	conns     map[net.Conn]bool
	closed    bool
	serving   sync.WaitGroup
}

// NewServer makes a server that plays the cases of the configuration. Config.URL, Agent and Parallel mean nothing to it: clients
// name themselves, and may come side by side.
func NewServer(config Config) *FuzzingServer {
	s := &FuzzingServer{config: config.withDefaults(), report: Report{}, listeners: map[net.Listener]bool{}, conns: map[net.Conn]bool{}}
	s.idle = sync.NewCond(&s.mu)
	s.cases, s.err = choose(Server, config.Cases, config.Exclude)
	return s
}

// Serve takes connections from the listener until Close, and returns nil then.
func (s *FuzzingServer) Serve(listener net.Listener) error {
	s.mu.Lock()
	if s.err != nil || s.closed {
		s.mu.Unlock()
		_ = listener.Close()
		return s.err
	}
	s.listeners[listener] = true
	s.mu.Unlock()
	for {
		conn, err := listener.Accept()
		s.mu.Lock()
		if s.closed {
			if conn != nil {
				_ = conn.Close()
			}
			s.mu.Unlock()
			return nil
		}
		if err != nil {
			s.mu.Unlock()
			return fmt.Errorf("conformance: %w", err)
		}
		s.conns[conn] = true
		s.serving.Add(1)
		s.mu.Unlock()
		go func() {
			defer s.serving.Done()
			if s.config.HTTP2 {
				s.handleHTTP2(conn)
			} else {
				s.handle(conn)
			}
			_ = conn.Close()
			s.mu.Lock()
			delete(s.conns, conn)
			s.mu.Unlock()
		}()
	}
}

// Close ends the listeners and the connections, and waits for their cases.
func (s *FuzzingServer) Close() {
	s.mu.Lock()
	s.closed = true
	for listener := range s.listeners {
		_ = listener.Close()
	}
	for conn := range s.conns {
		_ = conn.Close()
	}
	s.mu.Unlock()
	s.serving.Wait()
}

// Report gives the results so far, by the names the clients gave themselves. It waits for cases that are being played: a client sees the
// end of its connection before the server has seen everything.
func (s *FuzzingServer) Report() Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.playing > 0 {
		s.idle.Wait()
	}
	report := Report{}
	for agent, results := range s.report {
		report[agent] = maps.Clone(results)
	}
	return report
}

func (s *FuzzingServer) handle(conn net.Conn) {
	_ = conn.SetReadDeadline(time.Now().Add(s.config.Timeout))
	br := bufio.NewReader(conn)
	o, err := receive(conn, br)
	if err != nil {
		if o != nil && o.target != nil && o.target.Path == "/runCase" {
			if c, place, err2 := s.wanted(o.target.Query()); err2 == nil {
				s.keep(refused(c, s.named(o.target.Query()), Server, o, time.Now(), fmt.Errorf("opening handshake: %w", err)), place)
			}
		}
		refuse(conn, err)
		return
	}
	query := o.target.Query()
	switch o.target.Path {
	case "/runCase":
		c, place, err := s.wanted(query)
		if err != nil {
			refuse(conn, err)
			return
		}
		s.play(conn, br, o, c, place)
	case "/getCaseCount":
		s.tell(conn, br, o, len(s.cases))
	case "/getCaseInfo":
		c, _, err := s.wanted(query)
		if err != nil {
			refuse(conn, err)
			return
		}
		s.tell(conn, br, o, map[string]string{"id": c.ID, "description": c.Description})
	case "/getCaseStatus":
		r, err := s.status(query)
		if err != nil {
			refuse(conn, err)
			return
		}
		s.tell(conn, br, o, map[string]Behavior{"behavior": r.Behavior, "behaviorClose": r.BehaviorClose})
	case "/updateReports":
		if s.config.Dir != "" {
			if err := s.Report().Write(s.config.Dir); err != nil {
				refuse(conn, err)
				return
			}
		}
		s.tell(conn, br, o, nil)
	default:
		refuse(conn, fmt.Errorf("no such path %q", o.target.Path))
	}
}

// wanted is the case that a query asks for, by its place in the list or by its id.
func (s *FuzzingServer) wanted(query url.Values) (Case, int, error) {
	id := query.Get("casetuple")
	place, err := strconv.Atoi(query.Get("case"))
	for i, c := range s.cases {
		if id == c.ID || id == "" && err == nil && place == i+1 {
			return c, i + 1, nil
		}
	}
	return Case{}, 0, fmt.Errorf("no case %q", query.Get("case")+id)
}

func (s *FuzzingServer) status(query url.Values) (*Result, error) {
	c, _, err := s.wanted(query)
	if err != nil {
		return nil, err
	}
	r := s.Report()[s.named(query).Agent][c.ID]
	if r == nil {
		return nil, errors.New("the case was not played")
	}
	return r, nil
}

// named is the configuration with the name of the client.
func (s *FuzzingServer) named(query url.Values) Config {
	config := s.config
	if config.Agent = query.Get("agent"); config.Agent == "" {
		config.Agent = "client"
	}
	return config
}

func (s *FuzzingServer) keep(r *Result, place int) {
	r.Case = place
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.report[r.Agent] == nil {
		s.report[r.Agent] = map[string]*Result{}
	}
	s.report[r.Agent][r.ID] = r
}

func (s *FuzzingServer) play(conn net.Conn, br *bufio.Reader, o *opening, c Case, place int) {
	s.mu.Lock()
	s.playing++
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.playing--; s.playing == 0 {
			s.idle.Broadcast()
		}
	}()
	config, start := s.named(o.target.Query()), time.Now()
	p := script(c.ID, config)
	lines, ext := p.extension.choose(o.header["Sec-Websocket-Extensions"])
	if err := o.answer(conn, lines); err != nil {
		s.keep(refused(c, config, Server, o, start, fmt.Errorf("opening handshake: %w", err)), place)
		return
	}
	_ = conn.SetReadDeadline(time.Time{})
	s.keep(newSession(c, p, config, Server, conn, br, o, ext).conduct(), place)
}

// tell sends a value as a text message, unless it is nil, and closes.
func (s *FuzzingServer) tell(conn net.Conn, br *bufio.Reader, o *opening, v any) {
	if err := o.answer(conn, nil); err != nil {
		return
	}
	_ = conn.SetReadDeadline(time.Time{})
	p := play{}
	if v != nil {
		message, err := json.Marshal(v)
		if err != nil {
			return
		}
		p.frames = []frame{text(string(message))}
	}
	newSession(Case{closes: byPeer}, p, s.config, Server, conn, br, o, nil).conduct()
}
