package websocket

import (
	"runtime"
	"sync"

	"github.com/duplexkit/websocket/internal/epoll"
)

// canPark says that plain sockets can wait without a goroutine.
const canPark = true

// A place is where a loop parks, the zero value is nowhere. The operating system
// names it when there is something to read, perhaps late: so it is no pointer, and
// is not given out again before its generation is another.
type place = epoll.Tag

// arm has s woken when there is something to read, or if there is. It is called
// with the mutex of the read deadline.
func (s *started) arm() error {
	if s.place != (place{}) {
		return s.control((*epoll.Set).Arm)
	}
	var err error
	if s.place, err = parking.enter(s); err != nil {
		return err
	}
	if err = s.control((*epoll.Set).Add); err != nil {
		parking.exit(s.place)
		s.place = place{}
	}
	return err
}

// quit ends what arm began, for good. It is called with the mutex of the read
// deadline.
func (s *started) quit() {
	if s.place != (place{}) {
		_ = s.control((*epoll.Set).Remove) // if it is closed it is removed
		parking.exit(s.place)
		s.place = place{}
	}
}

// control calls f with the file descriptor of s, which can't be closed meanwhile.
func (s *started) control(f func(set *epoll.Set, fd uintptr, place epoll.Tag) error) error {
	a := arming.Get().(*armer)
	defer arming.Put(a)
	a.f, a.place, a.err = f, s.place, nil
	if err := s.c.r.src.(*socket).raw.Control(a.do); err != nil {
		return err
	}
	return a.err
}

// An armer is what control needs for a RawConn's Control. Lent out, it is not an
// allocation each time.
type armer struct {
	do    func(fd uintptr) // call, bound once
	f     func(set *epoll.Set, fd uintptr, place epoll.Tag) error
	place place
	err   error
}

var arming = sync.Pool{New: func() any {
	a := new(armer)
	a.do = a.call
	return a
}}

func (a *armer) call(fd uintptr) { a.err = a.f(parking.set, fd, a.place) }

// A lot is where loops park. It has a goroutine while there are any.
type lot struct {
	mu      sync.Mutex
	set     *epoll.Set // nil before the first loop; it stays
	running bool       // the goroutine is there
	spaces  []space
	taken   int    // spaces that are
	free    uint32 // 1 + index of a free space, 0 for none
}

type space struct {
	s          *started // nil while the space is free
	generation uint32   // of s, or of who was here last
	next       uint32   // 1 + index of another free space, 0 for none
}

var parking lot

// enter finds a place for s.
func (l *lot) enter(s *started) (place, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.set == nil {
		set, err := epoll.New()
		if err != nil {
			return place{}, err
		}
		l.set = set
	}
	if l.taken == 0 {
		l.set.Resume()
	}
	if !l.running {
		l.running = true
		go l.run()
	}
	if l.free == 0 {
		l.spaces = append(l.spaces, space{})
		l.free = uint32(len(l.spaces))
	}
	i := l.free - 1
	sp := &l.spaces[i]
	sp.s = s
	sp.generation = max(sp.generation+1, 1) // never that of nowhere
	l.free = sp.next
	l.taken++
	return place{Index: i, Generation: sp.generation}, nil
}

// exit makes a place free.
func (l *lot) exit(p place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	sp := &l.spaces[p.Index]
	sp.s, sp.next = nil, l.free
	l.free = p.Index + 1
	if l.taken--; l.taken == 0 {
		l.set.Interrupt()
	}
}

// at returns who is at a place, nil for nobody who was there when it was named.
func (l *lot) at(p place) *started {
	l.mu.Lock()
	defer l.mu.Unlock()
	if sp := l.spaces[p.Index]; sp.generation == p.Generation {
		return sp.s
	}
	return nil
}

// run wakes loops as there is something for them to read.
func (l *lot) run() {
	for !l.empty() {
		if err := l.set.Wait(l.wake); !isTimeout(err) {
			panic(err) // somebody has closed a file descriptor that was not theirs, and nothing would ever move again
		}
	}
}

// empty reports whether there is nobody to wake. The goroutine ends then.
func (l *lot) empty() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running = l.taken > 0
	return !l.running
}

func (l *lot) wake(places []place) {
	for _, p := range places {
		if s := l.at(p); s != nil {
			s.wake()
		}
	}
	if len(places) == epoll.Batch {
		runtime.Gosched() // or there might be a goroutine for each of very many
	}
}
