//go:build linux

package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"math/big"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A request asks a measured process to do something, in a line of JSON. It answers
// with another line.
type request struct {
	Do      string
	Addr    string        // dial: where to
	Size    int           // anew, push: bytes of a message
	Writers int           // push: goroutines
	Time    time.Duration // push: how long
	Count   int           // of connections or messages
	GC      bool          // memory: after a garbage collection
}

type answer struct {
	Err        string
	Addr       string // where it serves
	CPU        int64  // nanoseconds
	Mallocs    int64  // -1 is unknown
	Messages   int    // pushed
	RSS        int    // bytes
	Goroutines int
}

// measuredVariable, in the environment, makes the program a measured process. Its
// value is role and row.
const measuredVariable = "WEBSOCKET_BENCHMARK_ROLE"

// A role is what a measured process does.
type role string

const (
	roleEcho       role = "echo"       // returns each message
	roleTLS        role = "tls"        // the same over TLS
	roleIdle       role = "idle"       // the same with little memory
	rolePush       role = "push"       // sends messages when it is told to
	roleRead       role = "read"       // counts messages
	roleReadKept   role = "readkept"   // the same with memory that is kept
	roleDrop       role = "drop"       // upgrades and closes connections
	roleDropHTTP   role = "drophttp"   // the same with net/http
	roleClientPush role = "clientpush" // dials, and sends messages when it is told to
	roleClientEcho role = "clientecho" // dials, and returns each message
)

// measured runs the process's role if it is to be a measured one.
func measured() {
	what, name, ok := strings.Cut(os.Getenv(measuredVariable), "/")
	if !ok {
		return
	}
	log.SetFlags(0)
	log.SetPrefix(name + ": ")
	time.AfterFunc(2*time.Hour, func() { log.Fatal("still there after two hours") })
	i := slices.IndexFunc(rows, func(r row) bool { return r.name == name })
	if i < 0 {
		log.Fatal("no such row")
	}
	p := process{role: role(what), row: rows[i]}
	p.changed.L = &p.mu
	if err := p.run(); err != nil {
		log.Fatal(err)
	}
	os.Exit(0)
}

// A process is the measured one, seen from within.
type process struct {
	role role
	row  row

	cpu     time.Duration // at the beginning
	mallocs uint64
	send    func([]byte) error // broadcasts

	mu      sync.Mutex
	changed sync.Cond // of what follows
	conns   []conn    // to push to
	got     int       // messages that were read
	want    []byte    // what they have to be
	fault   error     // the first that was not
}

// run serves and answers requests until there are no more: when the load is gone.
func (p *process) run() error {
	requests, answers := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	var first answer
	if p.role != roleClientPush && p.role != roleClientEcho {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		first.Addr = l.Addr().String()
		go func() { log.Fatal(p.serve(l)) }()
	}
	if err := answers.Encode(first); err != nil {
		return err
	}
	for {
		var r request
		if err := requests.Decode(&r); err != nil {
			return nil
		}
		a, err := p.answer(r)
		if err != nil {
			a.Err = err.Error()
		}
		if err := answers.Encode(a); err != nil {
			return err
		}
	}
}

func (p *process) serve(l net.Listener) error {
	switch p.role {
	case roleEcho:
		return p.row.echo(l)
	case roleTLS:
		certificate, err := newCertificate()
		if err != nil {
			return err
		}
		return p.row.echo(tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{certificate}}))
	case roleIdle:
		if p.row.idle != nil {
			return p.row.idle(l)
		}
		return p.row.echo(l)
	case rolePush:
		return p.row.push(l, p.opened)
	case roleRead:
		return p.row.read(l, p.message)
	case roleReadKept:
		return p.row.readKept(l, p.message)
	case roleDrop:
		return p.row.drop(l)
	case roleDropHTTP:
		return p.row.dropHTTP(l)
	}
	return fmt.Errorf("no role %q", p.role)
}

func (p *process) answer(r request) (a answer, err error) {
	var stats runtime.MemStats
	switch r.Do {
	case "begin":
		runtime.ReadMemStats(&stats)
		p.mallocs, p.cpu = stats.Mallocs, processorTime()
	case "end":
		a.CPU = int64(processorTime() - p.cpu)
		runtime.ReadMemStats(&stats)
		a.Mallocs = int64(stats.Mallocs - p.mallocs)
	case "memory":
		if r.GC {
			debug.FreeOSMemory() // collects first
		}
		a.RSS, err = residentBytes()
		a.Goroutines = runtime.NumGoroutine()
	case "anew": // new connections follow
		p.mu.Lock()
		p.conns, p.got, p.want, p.fault = nil, 0, payload(r.Size), nil
		p.mu.Unlock()
	case "opened":
		err = p.wait(func() bool { return len(p.conns) == r.Count })
		if err == nil && p.row.broadcast != nil {
			p.send = p.row.broadcast(p.conns)
		}
	case "got":
		err = p.wait(func() bool { return p.got == r.Count })
	case "dial":
		if p.role == roleClientPush {
			c, err := p.row.dial(r.Addr)
			if err != nil {
				return a, err
			}
			p.opened(c)
			return a, nil
		}
		for range r.Count {
			go p.row.clientEcho(r.Addr)
		}
	case "push":
		a.Messages, err = p.push(r)
	case "broadcast":
		err = p.broadcast(r)
	default:
		return a, fmt.Errorf("no request %q", r.Do)
	}
	return a, err
}

// opened takes a connection that is to be pushed to.
func (p *process) opened(c conn) {
	p.mu.Lock()
	p.conns = append(p.conns, c)
	p.mu.Unlock()
	p.changed.Broadcast()
}

const verifiedEnds = 64

// message counts a message that was read. The first is verified in full, of later
// ones the ends.
func (p *process) message(m []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	want := p.want
	right := len(m) == len(want)
	if right && p.got > 0 {
		n := len(m) - verifiedEnds
		right = bytes.Equal(m[n:], want[n:])
		m, want = m[:verifiedEnds], want[:verifiedEnds]
	}
	if p.got++; p.fault == nil && !(right && bytes.Equal(m, want)) {
		p.fault = fmt.Errorf("message %d is not what was sent", p.got)
	}
	p.changed.Broadcast()
}

// wait waits until it is so, which is asked under the lock.
func (p *process) wait(so func() bool) error {
	late := false
	defer time.AfterFunc(patience/2, func() {
		p.mu.Lock()
		late = true
		p.mu.Unlock()
		p.changed.Broadcast()
	}).Stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	for !so() && p.fault == nil && !late {
		p.changed.Wait()
	}
	if p.fault == nil && late {
		return fmt.Errorf("%d connections and %d messages came", len(p.conns), p.got)
	}
	return p.fault
}

// push has goroutines write messages to the first connection, and returns how many
// they were.
func (p *process) push(r request) (int, error) {
	p.mu.Lock()
	c := p.conns[0]
	p.mu.Unlock()
	m := payload(r.Size)
	if c, ok := c.(interface{ prepare([]byte) }); ok {
		c.prepare(m)
	}
	write := c.write
	if p.row.serial && r.Writers > 1 {
		var mu sync.Mutex
		write = func(m []byte) error {
			mu.Lock()
			defer mu.Unlock()
			return c.write(m)
		}
	}
	var writers sync.WaitGroup
	var stop atomic.Bool
	var total atomic.Int64
	errs := make([]error, r.Writers)
	time.AfterFunc(r.Time, func() { stop.Store(true) })
	for i := range errs {
		writers.Go(func() {
			n := 0
			for ; !stop.Load(); n++ {
				if errs[i] = write(m); errs[i] != nil {
					break
				}
			}
			total.Add(int64(n))
		})
	}
	writers.Wait()
	return int(total.Load()), errors.Join(errs...)
}

// broadcast sends Count messages to all connections.
func (p *process) broadcast(r request) error {
	for range r.Count {
		if err := p.send(p.want); err != nil {
			return err
		}
	}
	return nil
}

// residentBytes is what the process has of the memory.
func residentBytes() (int, error) {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	var size, resident int
	_, err = fmt.Sscan(string(b), &size, &resident)
	return resident * os.Getpagesize(), err
}

// processorTime is what this process has had of the processors.
func processorTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		log.Fatalf("getrusage: %v", err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func newCertificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	template := x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// A subject is the measured process, seen from the load.
type subject struct {
	row  row
	role role
	addr netip.AddrPort // where it serves, if it does

	cmd  *exec.Cmd
	in   *json.Encoder
	out  *json.Decoder
	stop func()
}

// start starts a process that is r in the role.
func start(r row, as role) (*subject, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(program)
	if r.command != nil {
		cmd = exec.Command(r.command[0], r.command[1:]...)
	}
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s/%s", measuredVariable, as, r.name))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &subject{row: r, role: as, cmd: cmd, in: json.NewEncoder(stdin), out: json.NewDecoder(stdout)}
	s.stop = func() {
		stdin.Close() // is told to end, and is ended if it does not
		kill := time.AfterFunc(time.Second, func() { cmd.Process.Kill() })
		cmd.Wait()
		kill.Stop()
	}
	a, err := s.hear()
	if err == nil && a.Addr != "" {
		s.addr, err = netip.ParseAddrPort(a.Addr)
	}
	if err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// ask has the process do something.
func (s *subject) ask(r request) (answer, error) {
	if err := s.in.Encode(r); err != nil {
		return answer{}, err
	}
	return s.hear()
}

// begin has the process do something and does not wait for it. What it returns says
// whether there is an answer yet.
func (s *subject) begin(r request) (over func() (*answer, error)) {
	type outcome struct {
		answer answer
		err    error
	}
	var o atomic.Pointer[outcome]
	go func() {
		a, err := s.ask(r)
		o.Store(&outcome{a, err})
	}()
	return func() (*answer, error) {
		if o := o.Load(); o != nil {
			return &o.answer, o.err
		}
		return nil, nil
	}
}

// hear waits for an answer. A process that gives none is ended.
func (s *subject) hear() (a answer, err error) {
	kill := time.AfterFunc(patience, func() { s.cmd.Process.Kill() })
	defer kill.Stop()
	if err := s.out.Decode(&a); err != nil {
		return a, fmt.Errorf("no answer from the process: %w", err)
	}
	if a.Err != "" {
		return a, fmt.Errorf("in the process: %s", a.Err)
	}
	return a, nil
}
