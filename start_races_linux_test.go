//go:build linux

package websocket

import (
	"context"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"weak"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket/internal/wstest"
)

// A server that takes sockets over from elsewhere (net.FileConn) may have one whose
// peer is gone: RemoteAddr is nil then. net/http guards against it.
type noAddr struct{ net.Conn }

func (noAddr) RemoteAddr() net.Addr { return nil }

func TestUpgradeConnWithoutAddress(t *testing.T) {
	client, server := wstest.Pipe(t)
	go io.WriteString(client, plainRequest)
	go io.Copy(io.Discard, client)
	require.NotPanics(t, func() {
		c, _, err := new(Upgrader).UpgradeConn(noAddr{server})
		if err == nil {
			c.Close()
		}
	})
}

// The same with nothing but the net package.
func TestUpgradeConnOfAGonePeer(t *testing.T) {
	client, server := wstest.TCP(t)
	f, err := server.File()
	require.NoError(t, err)
	defer f.Close()
	_, err = io.WriteString(client, plainRequest)
	require.NoError(t, err)
	require.NoError(t, client.SetLinger(0))
	require.NoError(t, client.Close()) // a reset
	var nc net.Conn
	require.Eventually(t, func() bool {
		nc, err = net.FileConn(f)
		require.NoError(t, err)
		return nc.RemoteAddr() == nil
	}, 10*time.Second, time.Millisecond)
	require.NotPanics(t, func() {
		if c, _, err := new(Upgrader).UpgradeConn(nc); err == nil {
			c.Close()
		}
	})
}

// What has ended is garbage.
func TestStartLeavesNothingBehind(t *testing.T) {
	var ws []weak.Pointer[Conn]
	func() {
		for range 20 {
			_, server := overTCP(t)
			conn := NewConn(server, Negotiated{Server: true}, Options{})
			ended := make(chan error, 1)
			conn.Start(func(Message) error { return nil }, func(err error) { ended <- err })
			ws = append(ws, weak.Make(conn))
			require.NoError(t, conn.Close())
			<-ended
		}
	}()
	require.Eventually(t, func() bool {
		runtime.GC()
		return !slices.ContainsFunc(ws, func(w weak.Pointer[Conn]) bool { return w.Value() != nil })
	}, 10*time.Second, 10*time.Millisecond)
}

// flakyControl fails at first.
type flakyControl struct {
	syscall.RawConn
	failures *atomic.Int32
}

func (f flakyControl) Control(do func(fd uintptr)) error {
	if f.failures.Add(1) <= 2 {
		return errors.New("no space left, for now")
	}
	return f.RawConn.Control(do)
}

// A connection that could not be parked at first, because the system had no room for
// it then, is parked later.
func TestStartParksAgain(t *testing.T) {
	c, peer := scripted(t, overTCP, true, Options{})
	c.r.src.(*socket).raw = flakyControl{c.r.src.(*socket).raw, new(atomic.Int32)}
	done := starting(t, c, func(m Message) error { return c.WriteMessage(m.Type, m.Data) })
	require.Eventually(t, func() bool {
		peer.Send(text("Hello"))
		peer.Expect(text("Hello"))
		return isParked(c)
	}, 10*time.Second, 2*time.Millisecond)
	require.NoError(t, c.Close())
	require.NoError(t, <-done)
}

// A read buffer of more than 64 KiB is filled by several reads.
func TestStartLargeReadBuffer(t *testing.T) {
	client, server := wstest.TCP(t)
	c := newConn(newSocket(server), Negotiated{Server: true}, &Options{}, bufferOptions{read: 1 << 20})
	got := 0
	done := starting(t, c, func(m Message) error { got += len(m.Data); return nil })
	requireParked(t, c)
	peer := wstest.NewClient(t, client)
	b := peer.Encode(wstest.Frame{Opcode: wstest.Binary, Payload: string(make([]byte, 1000))})
	var all []byte
	for range 2000 {
		all = append(all, b...)
	}
	peer.SendRaw(all)
	peer.Send(wstest.CloseFrame(1000, ""))
	require.NoError(t, <-done)
	require.Equal(t, 2000*1000, got)
}

// Everything at once, over sockets that are duplicated at times.
func TestStartChaos(t *testing.T) {
	noLeaks(t)
	rounds := 40
	if testing.Short() {
		rounds = 8
	}
	for round := range rounds {
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() { chaos(t, uint64(round), uint64(i)) })
		}
		wg.Wait()
	}
	require.Eventually(t, func() bool {
		parking.mu.Lock()
		defer parking.mu.Unlock()
		return parking.taken == 0 && !parking.running
	}, 5*time.Second, time.Millisecond)
	for _, sp := range parking.spaces {
		require.Nil(t, sp.s)
	}
}

func chaos(t *testing.T, a, b uint64) {
	rnd := mathrand.New(mathrand.NewPCG(a, b))
	client, server := overTCP(t)
	if rnd.IntN(3) == 0 {
		client.Close()
		server.Close()
		client, server = overUnix(t)
	}
	if rnd.IntN(3) == 0 {
		if tcp, ok := server.(*net.TCPConn); ok {
			f, err := tcp.File()
			require.NoError(t, err)
			defer f.Close()
		}
	}
	opts := Options{CloseTimeout: 200 * time.Millisecond}
	if rnd.IntN(2) == 0 {
		opts.PingInterval = time.Duration(1+rnd.IntN(5)) * time.Millisecond
		opts.PingTimeout = 300 * time.Millisecond
	}
	c := NewConn(server, Negotiated{Server: true}, opts)
	peer := NewConn(client, Negotiated{}, Options{CloseTimeout: 200 * time.Millisecond})
	total := 20 + rnd.IntN(200)
	next := 0
	var ended atomic.Int32
	done := make(chan error, 2)
	sleepy := rnd.IntN(4) == 0
	c.Start(func(m Message) error {
		if ended.Load() != 0 {
			t.Error("after done")
		}
		if want := fmt.Sprint(next); string(m.Data[:len(want)]) != want {
			t.Errorf("got %s want %s", m.Data[:len(want)], want)
		}
		next++
		if sleepy {
			time.Sleep(time.Microsecond)
		}
		if next%7 == 0 {
			return c.WriteMessage(m.Type, m.Data)
		}
		return nil
	}, func(err error) { ended.Add(1); done <- err })
	stop := make(chan struct{})
	var wg sync.WaitGroup
	seed := rnd.Uint64()
	wg.Go(func() { // deadlines come and go
		rnd := mathrand.New(mathrand.NewPCG(seed, 1))
		for {
			select {
			case <-stop:
				return
			default:
			}
			switch rnd.IntN(3) {
			case 0:
				c.SetReadDeadline(time.Now().Add(time.Duration(50+rnd.IntN(50)) * time.Millisecond))
			case 1:
				c.SetReadDeadline(time.Time{})
			case 2:
				c.TryWriteMessage(TextMessage, []byte("x"))
			}
			time.Sleep(time.Duration(rnd.IntN(300)) * time.Microsecond)
		}
	})
	wg.Go(func() {
		for {
			if _, _, err := peer.ReadMessage(); err != nil {
				return
			}
		}
	})
	wg.Go(func() {
		rnd := mathrand.New(mathrand.NewPCG(seed, 2))
		for i := range total {
			p := fmt.Append(nil, i, "-")
			switch rnd.IntN(10) {
			case 0:
				p = append(p, make([]byte, rnd.IntN(50_000))...)
			case 1:
				w, err := peer.NextWriter(BinaryMessage)
				if err != nil {
					return
				}
				w.Write(p)
				time.Sleep(time.Duration(rnd.IntN(50)) * time.Microsecond)
				w.Write(make([]byte, 5000))
				w.Close()
				continue
			case 2:
				if opts.PingInterval > 0 {
					break // the peer's pongs would come between
				}
				frame := FrameHeader{Fin: true, Opcode: BinaryMessage, Masked: true, Length: int64(len(p))}.Append(nil)
				frame = append(frame, p...)
				for j := range frame {
					if _, err := client.Write(frame[j : j+1]); err != nil {
						return
					}
					if rnd.IntN(4) == 0 {
						time.Sleep(10 * time.Microsecond)
					}
				}
				continue
			}
			if err := peer.WriteMessage(BinaryMessage, p); err != nil {
				return
			}
			if rnd.IntN(3) == 0 {
				time.Sleep(time.Duration(rnd.IntN(200)) * time.Microsecond)
			}
		}
		switch rnd.IntN(5) {
		case 0:
			peer.Shutdown(context.Background(), 0, "")
		case 1:
			client.(interface{ CloseWrite() error }).CloseWrite()
		case 2:
			c.Close()
		case 3:
			c.Shutdown(context.Background(), 0, "")
		case 4:
			peer.Close()
		}
	})
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		buf := make([]byte, 1<<20)
		t.Errorf("done was not called (%d, %d): parked=%v\n%s", a, b, isParked(c), buf[:runtime.Stack(buf, true)])
	}
	close(stop)
	c.Close()
	peer.Close()
	wg.Wait()
	if ended.Load() != 1 {
		t.Errorf("done %d times", ended.Load())
	}
}
