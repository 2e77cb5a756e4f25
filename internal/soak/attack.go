package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// attackerRequest is what the attackers are told. Each says all of it again.
type attackerRequest struct {
	Addr string // of the server
	Seed uint64
	Most int  // at once
	Rate int  // new ones a second
	On   bool // whether there is an attack
	Over bool // the server is leaving: whatever becomes of an attacker is right
}

type attackerAnswer struct {
	figures
	Open     int                       // attackers at the moment
	Outcomes map[string]map[string]int // of attacks, by kind, so far
	Faults   []string
}

// attackRate is how many bytes all attackers may send in a second: what is measured is
// how the server bears them, not what is left of a machine that is busy with sending.
const attackRate = 8 << 20

// heavyShare is how many attackers, one in so many, may be of those kinds that send as
// much as they can.
const heavyShare = 50

// thrownOut is how long an attacker waits to be thrown out by a server that should.
// It is far more than the server's own times add up to.
const thrownOut = 15 * time.Second

// attackers is the process that attacks.
type attackers struct {
	bytes  pace
	begun  pace
	faults faults
	bombs  bombs

	mu       sync.Mutex
	request  attackerRequest           // what was asked last; guarded by mu
	outcomes map[string]map[string]int // guarded by mu
	open     int                       // guarded by mu
	heavy    int                       // of these, those that are heavy; guarded by mu
	stop     context.CancelFunc        // ends the attack there is; nil without one
	waves    uint64                    // attacks so far
	running  sync.WaitGroup
}

func attackersRole(in io.Reader, out io.Writer) error {
	return answerAll(in, out, newAttackers().answer)
}

func newAttackers() *attackers {
	return &attackers{
		bytes:    pace{rate: attackRate},
		outcomes: make(map[string]map[string]int),
		bombs:    bombs{small: deflated(1), large: deflated(64)},
	}
}

func (as *attackers) answer(q attackerRequest) (a attackerAnswer) {
	as.mu.Lock()
	as.request = q
	as.mu.Unlock()
	if q.On && as.stop == nil {
		ctx, cancel := context.WithCancel(context.Background())
		as.begun.rate = max(q.Rate, 1)
		as.stop = cancel
		as.waves++
		rng := newRand(q.Seed, as.waves)
		as.running.Go(func() { as.attack(ctx, rng) })
	} else if !q.On && as.stop != nil {
		as.stop()
		as.running.Wait()
		as.stop = nil
	}
	a.figures = takeFigures()
	a.Faults = as.faults.list()
	as.mu.Lock()
	defer as.mu.Unlock()
	a.Open = as.open
	a.Outcomes = make(map[string]map[string]int)
	for kind, outcomes := range as.outcomes {
		a.Outcomes[kind] = maps.Clone(outcomes)
	}
	return a
}

// attack begins attacks until ctx ends.
func (as *attackers) attack(ctx context.Context, rng *rand.Rand) {
	for as.begun.take(ctx, 1) {
		as.mu.Lock()
		q, kind := as.request, draw(rng)
		room := as.open < q.Most && (!kind.heavy || as.heavy <= q.Most/heavyShare)
		if room {
			as.open++
			as.heavy += kind.weight()
		}
		as.mu.Unlock()
		if !room {
			continue
		}
		h := &hostile{attackers: as, ctx: ctx, rng: newRand(rng.Uint64(), 0), addr: q.Addr}
		as.running.Go(func() {
			outcome := h.run(kind)
			as.mu.Lock()
			defer as.mu.Unlock()
			as.open--
			as.heavy -= kind.weight()
			if ctx.Err() != nil {
				outcome = "cut"
			} else if !as.request.Over && !kind.expects(outcome) {
				as.faults.add("attack %q: the outcome is %s", kind.name, outcome)
			}
			if as.outcomes[kind.name] == nil {
				as.outcomes[kind.name] = make(map[string]int)
			}
			as.outcomes[kind.name][outcome]++
		})
	}
}

// draw draws an attack.
func draw(rng *rand.Rand) attack {
	all := 0
	for _, a := range attacks {
		all += 1 + a.lots
	}
	lot := rng.IntN(all)
	for _, a := range attacks {
		if lot -= 1 + a.lots; lot < 0 {
			return a
		}
	}
	panic("unreachable")
}

// An attack is one kind of them.
type attack struct {
	name     string
	path     string               // "" is that of a random endpoint
	run      func(*hostile) error // its error is why it could not go on
	raw      bool                 // without an opening handshake
	heavy    bool                 // sends as much as it can
	lots     int                  // more in the draw for who comes next
	outcomes string               // those that are right
}

// Outcomes are the code of the close frame that came, or one of these.
const (
	outcomeEnd   = "end"   // the server has ended the connection without a close frame
	outcomeReset = "reset" // the same with a RST, behind which a close frame may be lost
	outcomeKept  = "kept"  // it has not ended it
	outcomeEcho  = "echo"  // the connection has remained as good as any
	outcomeGone  = "gone"  // the attacker has left
)

func (a attack) weight() int {
	if a.heavy {
		return 1
	}
	return 0
}

func (a attack) expects(outcome string) bool {
	return slices.Contains(strings.Fields(a.outcomes), outcome)
}

// A hostile is one attacker.
type hostile struct {
	*attackers
	ctx  context.Context
	rng  *rand.Rand
	addr string
	nc   *net.TCPConn
	in   *bufio.Reader
}

// errOutcome is an outcome that an attack finds out by itself.
type errOutcome string

func (e errOutcome) Error() string { return string(e) }

// run attacks, and returns the outcome.
func (h *hostile) run(a attack) string {
	nc, err := net.DialTimeout("tcp", h.addr, thrownOut)
	if err != nil {
		return "not reached"
	}
	defer nc.Close()
	h.nc, h.in = nc.(*net.TCPConn), bufio.NewReaderSize(nc, 512)
	defer context.AfterFunc(h.ctx, func() { nc.SetDeadline(time.Now()) })()
	if h.rng.IntN(2) == 0 {
		h.nc.SetLinger(0) // whoever has not left by himself does with a RST
	}
	nc.SetDeadline(time.Now().Add(thrownOut))
	if !a.raw {
		path := a.path
		if path == "" {
			path = "/" + modes[h.rng.IntN(len(modes))] + "/" + terms[h.rng.IntN(len(terms))]
		}
		request := fmt.Sprintf(upgradeRequest, "/"+whoBad+path, h.addr)
		if !strings.HasSuffix(path, termsPlain) {
			request += "Sec-WebSocket-Extensions: permessage-deflate\r\n"
		}
		if err := h.send([]byte(request + "\r\n")); err != nil {
			return "no handshake: " + err.Error()
		}
		if status, err := readAnswer(h.in); err != nil || status != 101 {
			return fmt.Sprintf("no handshake: %d, %v", status, err)
		}
	}
	var known errOutcome
	if err := a.run(h); errors.As(err, &known) {
		return string(known)
	}
	return h.hear()
}

// send sends p at the pace of all.
func (h *hostile) send(p []byte) error {
	for len(p) > 0 {
		n := min(len(p), 2<<10) // so that nobody waits long for his turn
		if !h.bytes.take(h.ctx, n) {
			return h.ctx.Err()
		}
		if _, err := h.nc.Write(p[:n]); err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// flood sends p again and again, until the server or time ends that.
func (h *hostile) flood(p []byte) error {
	for {
		if err := h.send(p); err != nil {
			return err
		}
	}
}

// hear waits for the server to end the connection, and returns how it did.
func (h *hostile) hear() string {
	code := ""
	for {
		opcode, payload, err := readFrame(h.in)
		switch {
		case err == nil && opcode == closing:
			code = closeCode(payload)
			continue // the server is to end the connection too
		case err == nil:
			continue
		case errors.Is(err, os.ErrDeadlineExceeded):
			return strings.TrimSpace(code + " " + outcomeKept)
		case code != "":
			return code
		case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
			return outcomeReset
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return outcomeEnd
		}
		return err.Error()
	}
}

// closeCode is what a close frame tells.
func closeCode(payload []byte) string {
	if len(payload) < 2 {
		return "1005"
	}
	return fmt.Sprint(binary.BigEndian.Uint16(payload))
}

// answer waits for the answer to a request that was no opening handshake, and for the
// end of the connection.
func (h *hostile) answer() error {
	status, err := readAnswer(h.in)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errOutcome(outcomeKept)
	}
	if err != nil {
		return nil // it has ended, and hear finds out how
	}
	if _, err := io.Copy(io.Discard, h.in); errors.Is(err, os.ErrDeadlineExceeded) {
		return errOutcome(fmt.Sprint(status, " ", outcomeKept))
	}
	return errOutcome(fmt.Sprint(status))
}

// echoed waits for a message that has to come back.
func (h *hostile) echoed(want string) error {
	for {
		opcode, payload, err := readFrame(h.in)
		if err != nil {
			return err
		}
		if opcode == text && string(payload) == want {
			return errOutcome(outcomeEcho)
		}
		if opcode == closing {
			return errOutcome(closeCode(payload))
		}
	}
}
