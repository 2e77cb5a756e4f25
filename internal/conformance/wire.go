package conformance

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// How a run of frames is cut into writes. A positive number is the octets of each write.
const (
	atOnce     = 0  // all frames in one write
	frameWise  = -1 // a write for each frame
	octetWise  = 1
	blockWrite = 64 << 10 // the most that is handed to the network in one write
)

// wire is an open WebSocket connection below the rules: it sends whatever it is told, and collects what comes in.
type wire struct {
	conn     net.Conn
	server   bool          // the peer is the server
	timeout  time.Duration // longest wait without an octet moving
	deadline time.Time     // end of the case, at which every wait and every write is given up
	log      *wirelog
	in       *inbound
	moved    atomic.Int64 // time of the last octet in or out, in Unix nanoseconds

	mu    sync.Mutex
	queue []any         // what came in and nobody took yet
	wake  chan struct{} // has room for one: something was added to the queue
}

// newWire starts to read from the connection. br holds what came behind the opening handshake.
func newWire(conn net.Conn, br *bufio.Reader, server bool, ext *agreement, timeout time.Duration, deadline time.Time) *wire {
	w := &wire{conn: conn, server: server, timeout: timeout, deadline: deadline, log: newWirelog(), wake: make(chan struct{}, 1)}
	w.touch()
	w.in = &inbound{r: bufio.NewReaderSize(&counted{br, w}, blockWrite), server: server, ext: ext, log: w.log}
	go w.read()
	return w
}

func (w *wire) touch() { w.moved.Store(time.Now().UnixNano()) }

// counted logs the octets as they come in.
type counted struct {
	r io.Reader
	w *wire
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if n > 0 {
		c.w.touch()
		c.w.log.rx(p[:n])
	}
	return n, err
}

// read fills the queue until the connection or the peace is over.
func (w *wire) read() {
	for {
		item := w.in.next()
		w.mu.Lock()
		w.queue = append(w.queue, item)
		w.mu.Unlock()
		select {
		case w.wake <- struct{}{}:
		default:
		}
		switch item.(type) {
		case ended, violation:
			return
		}
	}
}

// errSilence is the end of a wait in which nothing came.
var errSilence = errors.New("nothing came")

// next takes the next item off the queue. It waits until no octet moved for the timeout, or until the deadline, behind which it takes
// nothing any more: an endpoint that pings for ever must not keep a case for ever.
func (w *wire) next(timeout time.Duration, deadline time.Time) (any, error) {
	if deadline.After(w.deadline) {
		deadline = w.deadline
	}
	start := time.Now()
	if !start.Before(deadline) {
		return nil, errSilence
	}
	for {
		w.mu.Lock()
		if len(w.queue) > 0 {
			item := w.queue[0]
			w.queue = w.queue[1:]
			w.mu.Unlock()
			return item, nil
		}
		w.mu.Unlock()

		last := time.Unix(0, w.moved.Load())
		if last.Before(start) {
			last = start
		}
		end := last.Add(timeout)
		if end.After(deadline) {
			end = deadline
		}
		wait := time.Until(end)
		if wait <= 0 {
			return nil, errSilence
		}
		timer := time.NewTimer(wait)
		select {
		case <-w.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// key is a new masking key, nil where this end does not mask.
func (w *wire) key(f frame) []byte {
	if w.server != f.wrongMask {
		return nil
	}
	return binary.BigEndian.AppendUint32(nil, rand.Uint32()|1) // never zero, or it would not mask
}

// send writes the frames, cut as pieces says. The error is of use only to someone who wants to stop early: a connection that the
// endpoint dropped shows on the reading side.
func (w *wire) send(pieces int, frames ...frame) error {
	var out []byte
	for _, f := range frames {
		key := w.key(f)
		w.log.txFrame(f, key, pieces)
		out = f.append(out, key)
		if pieces == frameWise || pieces == atOnce && len(out) >= blockWrite {
			if err := w.write(out, pieces != atOnce); err != nil {
				return err
			}
			out = out[:0]
		}
	}
	if pieces <= 0 {
		return w.write(out, false)
	}
	return w.chop(out, pieces)
}

// chop writes p in pieces. Nagle's algorithm is off, so each leaves by itself; a short pause behind the first few hundred lets a
// reader take them one by one.
func (w *wire) chop(p []byte, size int) error {
	for i := 0; len(p) > 0; i++ {
		n := min(size, len(p))
		if err := w.write(p[:n], true); err != nil {
			return err
		}
		p = p[n:]
		if i < 500 {
			time.Sleep(20 * time.Microsecond)
		} else {
			runtime.Gosched()
		}
	}
	return nil
}

func (w *wire) write(p []byte, chopped bool) error {
	for len(p) > 0 {
		n := min(len(p), blockWrite)
		// An endpoint may stop reading for as long as it is still sending: only when nothing moves at all it hangs. One that sends
		// and never reads has until the end of the case.
		w.log.tx(p[:n], chopped)
		for done := 0; done < n; {
			end := time.Now().Add(w.timeout)
			if end.After(w.deadline) {
				end = w.deadline
			}
			if err := w.conn.SetWriteDeadline(end); err != nil {
				return err
			}
			k, err := w.conn.Write(p[done:n])
			done += k
			silent := time.Since(time.Unix(0, w.moved.Load())) >= w.timeout || !time.Now().Before(w.deadline)
			if k > 0 {
				w.touch()
			}
			if err != nil && (!errors.Is(err, os.ErrDeadlineExceeded) || silent) {
				return err
			}
		}
		p = p[n:]
	}
	return nil
}

// finish ends our direction of the TCP connection, which the endpoint sees as its end.
func (w *wire) finish() {
	if half, ok := w.conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
		return
	}
	_ = w.conn.Close()
}
