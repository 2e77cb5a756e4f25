//go:build linux

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log"
	"math/big"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// A request asks a measured process to do something, in a line of JSON. It answers
// with another line.
type request struct {
	Do string
}

type answer struct {
	Err     string
	Addr    string // where it serves
	CPU     int64  // nanoseconds
	Mallocs int64  // -1 is unknown
}

// measuredVariable, in the environment, makes the program a measured process. Its
// value is role and row.
const measuredVariable = "WEBSOCKET_BENCHMARK_ROLE"

// A role is what a measured process does.
type role string

const (
	roleEcho role = "echo" // returns each message
	roleTLS  role = "tls"  // the same over TLS
)

// measured runs the process's role if it is to be a measured one.
func measured() {
	what, row, ok := strings.Cut(os.Getenv(measuredVariable), "/")
	if !ok {
		return
	}
	log.SetFlags(0)
	log.SetPrefix(row + ": ")
	time.AfterFunc(time.Hour, func() { log.Fatal("still there after an hour") })
	p := process{role: role(what)}
	for _, r := range rows {
		if r.name == row {
			p.row = r
		}
	}
	if err := p.run(); err != nil {
		log.Fatal(err)
	}
	os.Exit(0)
}

// A process is the measured one, seen from within.
type process struct {
	role role
	row  row

	cpu     time.Duration
	mallocs uint64
}

// run serves and answers requests until there are no more: when the load is gone.
func (p *process) run() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	addr := l.Addr().String()
	go func() { log.Fatal(p.serve(l)) }()
	requests, answers := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	if err := answers.Encode(answer{Addr: addr}); err != nil {
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
	case roleTLS:
		certificate, err := newCertificate()
		if err != nil {
			return err
		}
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{certificate}})
		fallthrough
	case roleEcho:
		return p.row.echo(l)
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
	default:
		return a, fmt.Errorf("no request %q", r.Do)
	}
	return a, nil
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
	cmd  *exec.Cmd
	in   *json.Encoder
	out  *json.Decoder
	stop func()
	addr string
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
	s := &subject{row: r, cmd: cmd, in: json.NewEncoder(stdin), out: json.NewDecoder(stdout)}
	s.stop = func() {
		stdin.Close() // is told to end, and is ended if it does not
		kill := time.AfterFunc(time.Second, func() { cmd.Process.Kill() })
		cmd.Wait()
		kill.Stop()
	}
	a, err := s.hear()
	if err != nil {
		s.stop()
		return nil, err
	}
	s.addr = a.Addr
	return s, nil
}

// ask has the process do something.
func (s *subject) ask(r request) (answer, error) {
	if err := s.in.Encode(r); err != nil {
		return answer{}, err
	}
	return s.hear()
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
