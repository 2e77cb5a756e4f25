package drain

import (
	"net/http"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// shared is what a server's users have in common, and a channel that its drain closes.
func shared(s *http.Server) (value *int, made bool, drained chan struct{}) {
	drained = make(chan struct{})
	value = Shared(s, func() (*int, func()) {
		made = true
		return new(int), func() { close(drained) }
	})
	return value, made, drained
}

func TestShared(t *testing.T) {
	t.Parallel()
	a, b := new(http.Server), new(http.Server)
	first, made, drained := shared(a)
	require.True(t, made)
	again, made, _ := shared(a)
	require.False(t, made)
	require.Same(t, first, again)
	other, made, others := shared(b)
	require.True(t, made)
	require.NotSame(t, first, other)

	require.NoError(t, a.Shutdown(t.Context()))
	<-drained
	select {
	case <-others:
		require.Fail(t, "the other server goes on")
	default:
	}
	again, made, _ = shared(a)
	require.False(t, made)
	require.Same(t, first, again)
}

// A server that was watched in time may shut down before anybody needs to know.
func TestSharedAfterShutdown(t *testing.T) {
	t.Parallel()
	s := new(http.Server)
	Watch(s)
	Watch(s)
	require.NoError(t, s.Shutdown(t.Context()))
	for w := of(s); ; runtime.Gosched() { // net/http does not wait for those it tells
		w.mu.Lock()
		down := w.down
		w.mu.Unlock()
		if down {
			break
		}
	}
	_, made, drained := shared(s)
	require.True(t, made)
	<-drained
}

// What belongs to a server goes with it.
func TestServersGo(t *testing.T) {
	count := func() (n int) {
		servers.Range(func(any, any) bool { n++; return true })
		return n
	}
	func() {
		s := new(http.Server)
		Watch(s)
		shared(s)
		require.Positive(t, count())
	}()
	for count() > 0 { // those of the tests before, too
		runtime.GC()
		runtime.Gosched()
	}
}
