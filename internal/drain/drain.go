// Package drain knows when HTTP servers shut down. net/http tells that to functions which
// were registered before, once for each, and waits in Server.Shutdown for the handlers of
// HTTP/2; a function that comes too late would never be called, nor Shutdown return.
package drain

import (
	"net/http"
	"runtime"
	"sync"
	"weak"
)

// servers has a watch for each server that is alive. It belongs to the server, which has it
// among the functions to call.
var servers sync.Map // of weak.Pointer[http.Server] to weak.Pointer[watch]

// A watch is what is known of a server.
type watch struct {
	mu    sync.Mutex
	down  bool // Shutdown was called
	value any  // that all users of Shared have in common, nil before the first
	drain func()
}

// Watch begins to watch over s, which it does once for each server. Call it before s can be
// shut down: what was called off before is not known.
func Watch(s *http.Server) { of(s) }

func of(s *http.Server) *watch {
	w := new(watch)
	key := weak.Make(s)
	if known, loaded := servers.LoadOrStore(key, weak.Make(w)); loaded {
		known := known.(weak.Pointer[watch]).Value()
		runtime.KeepAlive(s) // and so its watch was
		if known != nil {
			return known
		}
	}
	runtime.AddCleanup(s, func(key weak.Pointer[http.Server]) { servers.Delete(key) }, key)
	s.RegisterOnShutdown(w.end)
	return w
}

func (w *watch) end() {
	w.mu.Lock()
	w.down = true
	drain := w.drain
	w.mu.Unlock()
	if drain != nil {
		drain()
	}
}

// Shared returns what begin has returned at the first call for s. Its drain is called when
// s shuts down, or at once if it has.
func Shared[T any](s *http.Server, begin func() (value T, drain func())) T {
	w := of(s)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.value == nil {
		w.value, w.drain = begin()
		if w.down {
			go w.drain()
		}
	}
	return w.value.(T)
}
