package websocket

import (
	"sync"
	"time"
)

// idleTime is how long a connection sends or receives no compressed message
// before it gives up what compression remembers of that direction: between one
// and two times this.
const idleTime = time.Minute

// idle watches over the memory that permessage-deflate keeps between messages. We
// need not refer to what we sent before. The peer may, unless it has promised
// not to and has kept its promise so far. The timer runs only while there is
// something to give up.
type idle struct {
	c       *Conn
	mu      sync.Mutex
	timer   *time.Timer
	armed   bool
	stopped bool
}

// newIdle begins to watch over c.
func newIdle(c *Conn) *idle {
	i := &idle{c: c}
	c.w.deflate.usage.wake = i.wake
	c.r.inflate.usage.wake = i.wake
	return i
}

// wake is called when there is something to watch.
func (i *idle) wake() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.stopped || i.armed {
		return
	}
	i.armed = true
	if i.timer == nil {
		i.timer = time.AfterFunc(idleTime, i.sweep)
		return
	}
	i.timer.Reset(idleTime)
}

// stop ends the watching.
func (i *idle) stop() {
	if i == nil {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.stopped = true
	if i.timer != nil {
		i.timer.Stop()
	}
}

// sweep gives up what was not used since the last time.
func (i *idle) sweep() {
	i.mu.Lock()
	i.armed = false // from here on a use arms it again
	i.mu.Unlock()

	writing := i.c.w.deflate.usage.since() || !i.c.w.forget()
	reading := i.c.r.inflate.usage.since() || !i.c.r.inflate.forget()
	if writing || reading {
		i.wake()
	}
}
