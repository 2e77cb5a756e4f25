package websocket

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// If input is left unread when a TCP connection is closed, the peer gets a reset,
// which may overtake our last words. So, when they are said, the connection is
// left to a lingerer: it discards what the peer still sends, and closes the
// connection when the peer has ended its side too, or when it has had time enough.

const (
	lingerTime  = time.Second      // how long the peer gets for that,
	lingerBytes = 256 << 10        // and how many bytes it may still send
	lingerLook  = time.Millisecond // how long a lingerer waits for input at a time,
	maxPause    = 100 * lingerLook // and from one time to the next at most
)

// A lingerer looks after its connection at growing intervals. It is a timer and
// not a goroutine: whoever has said the last words does not wait for it, and a
// great many connections may end at the same time.
type lingerer struct {
	nc    net.Conn
	end   bool // end our side first
	quiet bool // the peer sends nothing that counts any more
	until time.Time
	left  int           // bytes that may still be discarded
	pause time.Duration // before the next look
}

// start lets l wait for the peer, though no longer than this.
func (l *lingerer) start(wait time.Duration) {
	if _, ok := l.nc.(halfCloser); !ok && l.end && l.quiet {
		_ = l.nc.Close() // nothing is left unread, and there is no other way to end our side
		return
	}
	l.until = time.Now().Add(wait)
	l.left = lingerBytes
	l.pause = lingerLook
	time.AfterFunc(0, l.look)
}

// halfCloser is a connection whose two directions end separately, as those of
// TCP, Unix sockets and TLS do.
type halfCloser interface{ CloseWrite() error }

// look discards what has come and closes the connection if it is time.
func (l *lingerer) look() {
	if half, ok := l.nc.(halfCloser); ok && l.end && half.CloseWrite() != nil || l.discard() {
		_ = l.nc.Close() // nobody is left to tell
		return
	}
	l.end = false
	pause := min(l.pause, time.Until(l.until))
	l.pause = min(2*l.pause, maxPause)
	time.AfterFunc(pause, l.look)
}

// discard reads what is there and reports whether it is time to close.
func (l *lingerer) discard() (over bool) {
	deadline := time.Now().Add(lingerLook)
	if deadline.After(l.until) {
		deadline = l.until
	}
	if l.nc.SetReadDeadline(deadline) != nil {
		return true // it is closed, or a read might never return
	}
	buf := lingerBuffers.Get().(*[8 << 10]byte)
	defer lingerBuffers.Put(buf)
	for l.left > 0 {
		n, err := l.nc.Read(buf[:min(len(buf), l.left)])
		l.left -= n
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return !time.Now().Before(l.until)
		}
		if err != nil {
			return true
		}
	}
	return true
}

var lingerBuffers = sync.Pool{New: func() any { return new([8 << 10]byte) }}
