package websocket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket/internal/wstest"
)

// startedOverTCP returns connections that echo, all of them parked, and their
// peers.
func startedOverTCP(t testing.TB, n int) (cs []*Conn, peers []*wstest.Peer, done <-chan error) {
	t.Helper()
	ended := make(chan error, n)
	for range n {
		c, peer := scripted(t, overTCP, true, Options{})
		c.Start(func(m Message) error { return c.WriteMessage(m.Type, m.Data) }, func(err error) { ended <- err })
		cs, peers = append(cs, c), append(peers, peer)
	}
	for i, c := range cs {
		peers[i].Send(text("Hello"))
		peers[i].Expect(text("Hello"))
		requireParked(t, c)
	}
	return cs, peers, ended
}

func liveHeap() (m runtime.MemStats) {
	runtime.GC()
	runtime.GC() // also what pools held
	runtime.ReadMemStats(&m)
	return m
}

// A connection that waits has no goroutine, no buffer, and is small.
func TestParkedIsSmall(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates; run without -race")
	}
	const n = 1000
	ends := make([]net.Conn, n)
	for i := range ends {
		_, ends[i] = wstest.TCP(t)
	}
	cs := make([]*Conn, n)
	goroutines, before := runtime.NumGoroutine(), liveHeap()
	handle := func(Message) error { return nil }
	for i, nc := range ends {
		cs[i] = NewConn(nc, Negotiated{Server: true}, Options{})
		cs[i].Start(handle, nil)
		require.True(t, isParked(cs[i]))
	}
	require.LessOrEqual(t, runtime.NumGoroutine(), goroutines+1)
	after := liveHeap()
	objects := float64(after.HeapObjects-before.HeapObjects) / n
	size := float64(after.HeapAlloc-before.HeapAlloc) / n
	require.LessOrEqual(t, objects, 3.5)
	require.LessOrEqual(t, size, 580.0)
	for _, c := range cs {
		require.NoError(t, c.Close())
	}
}

// A Serve that waits for its first message has no more stack than a goroutine
// begins with.
func TestServeWaitsOnASmallStack(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector has larger stacks; run without -race")
	}
	const n = 500
	cs := make([]*Conn, n)
	for i := range cs {
		cs[i], _ = scripted(t, overTCP, true, Options{PingInterval: time.Hour})
	}
	// A goroutine begins with what those that the collector has met have on
	// average. With many small ones that is the least there is, until it runs again.
	small := make(chan struct{})
	defer close(small)
	for range 2 * n {
		go func() { <-small }()
	}
	before := liveHeap()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	done := make(chan error, n)
	for _, c := range cs {
		go func() { done <- c.Serve(context.Background(), func(m Message) error { return nil }) }()
	}
	stacks := make([]byte, 4<<20)
	require.Eventually(t, func() bool {
		return strings.Count(string(stacks[:runtime.Stack(stacks, true)]), "(*messageLoop).next(") == n
	}, 10*time.Second, time.Millisecond)
	after := liveHeap()
	require.LessOrEqual(t, float64(after.StackInuse-before.StackInuse)/n, 3000.0)
	for _, c := range cs {
		require.NoError(t, c.Close())
		require.NoError(t, <-done)
	}
}

// Workers end when there is nothing to do.
func TestWorkersEnd(t *testing.T) {
	noLeaks(t)
	const n = 300
	goroutines := runtime.NumGoroutine()
	cs, peers, done := startedOverTCP(t, n)
	for range 3 {
		for _, peer := range peers {
			peer.Send(text("Hello"), text("again"))
		}
		for i, peer := range peers {
			peer.Expect(text("Hello"), text("again"))
			requireParked(t, cs[i])
		}
	}
	// Eventually has goroutines of its own.
	require.Eventually(t, func() bool { return runtime.NumGoroutine() < goroutines+10 }, 10*time.Second, time.Millisecond)
	for _, c := range cs {
		require.NoError(t, c.Close())
		require.NoError(t, <-done)
	}
}

// watched returns how many sockets the kernel watches for us.
func watched(t *testing.T) (n int) {
	t.Helper()
	parking.mu.Lock()
	set := parking.set
	parking.mu.Unlock()
	require.NotNil(t, set)
	info, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", set.Fd()))
	require.NoError(t, err)
	return bytes.Count(info, []byte("tfd:"))
}

func openFiles(t *testing.T) int {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(files)
}

// Connections that come and go leave nothing behind.
func TestParkingLeavesNothing(t *testing.T) {
	noLeaks(t)
	rounds := 3000
	if testing.Short() {
		rounds = 300
	}
	_, peers, done := startedOverTCP(t, 1) // it stays, and with it the goroutine
	spaces := len(parking.spaces)
	files := openFiles(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	for i := range rounds {
		near, err := net.Dial("tcp", ln.Addr().String())
		require.NoError(t, err)
		far, err := ln.Accept()
		require.NoError(t, err)
		c := NewConn(near, Negotiated{}, Options{})
		ended := starting(t, c, func(Message) error { return nil })
		if i%2 == 0 {
			require.True(t, isParked(c))
		}
		if i%4 < 2 {
			require.NoError(t, c.Close())
			require.NoError(t, <-ended)
			far.Close()
		} else {
			far.Close()
			require.True(t, IsCloseError(<-ended, 1006))
		}
	}
	require.Equal(t, 1, parking.taken)
	require.Equal(t, 1, watched(t))
	require.LessOrEqual(t, len(parking.spaces), spaces+1)
	require.Eventually(t, func() bool { return openFiles(t) <= files+1 }, 10*time.Second, time.Millisecond)
	peers[0].Send(wstest.CloseFrame(1000, ""))
	require.NoError(t, <-done)
}

// A program may have duplicated the file descriptor: then closing it is not the end
// of the socket, which must not be watched on.
func TestParkedSocketDuplicated(t *testing.T) {
	cs, peers, done := startedOverTCP(t, 2)
	f, err := cs[0].NetConn().(*net.TCPConn).File()
	require.NoError(t, err)
	defer f.Close()
	require.Equal(t, 2, watched(t))
	require.NoError(t, cs[0].Close())
	require.NoError(t, <-done)
	require.Equal(t, 1, watched(t))
	peers[0].Send(text("Hello")) // the socket is there still
	require.NoError(t, cs[1].Close())
	require.NoError(t, <-done)
}

// A place that somebody else has had is not theirs any more.
func TestPlacesAreTakenAnew(t *testing.T) {
	cs, peers, done := startedOverTCP(t, 2)
	old := cs[0].readDeadline.loop.place
	require.NoError(t, cs[0].Close())
	require.NoError(t, <-done)
	next, peer, nextDone := startedOverTCP(t, 1)
	now := next[0].readDeadline.loop.place
	require.Equal(t, old.Index, now.Index)
	require.NotEqual(t, old, now)

	parking.wake([]place{old})
	require.True(t, isParked(next[0]), "it was not meant")
	parking.wake([]place{now, now})
	requireParked(t, next[0]) // again
	peer[0].Send(text("Hello"))
	peer[0].Expect(text("Hello"))
	require.NoError(t, next[0].Close())
	require.NoError(t, <-nextDone)
	parking.wake([]place{old, now})
	peers[1].Send(wstest.CloseFrame(1000, ""))
	require.NoError(t, <-done)
}

// brokenControl is a RawConn that the operating system watches nothing for.
type brokenControl struct{ syscall.RawConn }

func (brokenControl) Control(func(fd uintptr)) error { return errors.New("no space left") }

// What can't be parked is served by a goroutine that waits.
func TestNoRoomToPark(t *testing.T) {
	noLeaks(t)
	c, peer := scripted(t, overTCP, true, Options{PingInterval: time.Minute})
	c.r.src.(*socket).raw = brokenControl{c.r.src.(*socket).raw}
	taken := parking.taken
	done := starting(t, c, func(m Message) error { return c.WriteMessage(m.Type, m.Data) })
	for range 3 {
		peer.Send(text("Hello"))
		peer.Expect(text("Hello"))
	}
	require.False(t, isParked(c))
	require.Equal(t, taken, parking.taken)
	require.NoError(t, c.Close())
	require.NoError(t, <-done)
}

// A handler that panics ends the program, and the peer is told before. The test is the
// worker, for nobody could recover in one of the package's own: the message has to be
// there before it looks, or the connection is parked and left to another.
func TestStartHandlerPanics(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"panic", "Goexit"} {
		t.Run(how, func(t *testing.T) {
			c, peer := scripted(t, overTCP, true, Options{})
			s := &started{c: c, handle: func(Message) error {
				if how == "Goexit" {
					runtime.Goexit()
				}
				panic("why")
			}}
			told := make(chan error, 1)
			s.done = func(err error) { told <- err }
			require.True(t, c.readTurn.try(begin))
			s.took()
			peer.Send(text("Hello"))
			require.Eventually(t, func() bool { return c.r.src.(*socket).waiting() > 0 }, 10*time.Second, time.Millisecond)
			panicked := make(chan any, 1)
			go func() {
				defer func() { panicked <- recover() }()
				s.run() // what a worker does
			}()
			peer.Expect(wstest.CloseFrame(1011, ""))
			peer.Send(wstest.CloseFrame(1011, ""))
			require.Equal(t, errPanicked, <-told)
			if how == "panic" {
				require.Equal(t, "why", <-panicked)
			} else {
				require.Nil(t, <-panicked)
			}
			require.True(t, strings.HasPrefix(errPanicked.Error(), "websocket: "))
		})
	}
}
