package hostile

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/internal/wstest"
)

// What a hostile connection costs: live heap above what the same connection has while it is idle. Both ends are in this process, so the
// attackers send from memory that they share. These tests are not parallel, and no others run beside them.

// slack is what a connection may cost whatever is done to it.
const slack = 4 * kib

// once is what the process may take for its own sake when something is done for the first time, whatever the number of connections.
const once = 64 * kib

// crowd is how many connections attack at once.
func crowd() int {
	if *full {
		return 1000
	}
	return 60
}

// eachVictims runs f against connections by the number: n of every door and way.
func eachVictims(t *testing.T, n int, options websocket.Options, f func(t *testing.T, vs []*victim)) {
	t.Helper()
	someVictims(t, n, options, []bool{false, true}, f)
}

// plainVictims is eachVictims without permessage-deflate, whose own memory for writing is a choice of the program's.
func plainVictims(t *testing.T, n int, options websocket.Options, f func(t *testing.T, vs []*victim)) {
	t.Helper()
	someVictims(t, n, options, []bool{false}, f)
}

func someVictims(t *testing.T, n int, options websocket.Options, deflates []bool, f func(t *testing.T, vs []*victim)) {
	t.Helper()
	if raceEnabled {
		t.Skip("the race detector has memory of its own; run without -race")
	}
	for _, d := range sockets {
		for _, w := range []way{byMessage, byStream, byServe, byStart} {
			for _, deflate := range deflates {
				if deflate && w != byMessage && w != byStart {
					continue
				}
				g := target{door: d, way: w, deflate: deflate, options: options}
				t.Run(g.String(), func(t *testing.T) {
					vs := make([]*victim, n)
					for i := range vs {
						vs[i] = g.open(t)
					}
					f(t, vs)
					for _, v := range vs {
						// Before the victims, whose Close would have a second to send what they owe; and with a reset, or
						// so many connections would use up all ports for a minute.
						require.NoError(t, tcpOf(v).SetLinger(0))
						require.NoError(t, v.Close())
					}
				})
			}
		}
	}
}

// expectGrowth runs the attack on every connection and wants no more than bound for each of them to be in use on the heap afterwards,
// above what is now. The victims read all that was sent before the memory is looked at.
func expectGrowth(t *testing.T, vs []*victim, bound int64, attack func(v *victim)) {
	t.Helper()
	goroutines, before := runtime.NumGoroutine(), liveHeap()
	inTurns(len(vs), func(i int) { attack(vs[i]) })
	for _, v := range vs {
		v.untilReadDry()
	}
	// What was read last may still be in somebody's hands.
	n, growth := int64(len(vs)), int64(0)
	for range 50 {
		if growth = liveHeap() - before; growth <= n*bound {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Logf("%d bytes a connection, with %d connections", growth/n, n)
	require.LessOrEqual(t, growth, n*bound+once)
	// A parked connection that has half a message has a goroutine that waits for the rest, and none has more.
	require.LessOrEqual(t, runtime.NumGoroutine(), goroutines+len(vs)+8)
}

// inTurns has a few goroutines do what there is to do for each of n.
func inTurns(n int, do func(i int)) {
	const workers = 64
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n; i += workers {
				do(i)
			}
		})
	}
	wg.Wait()
}

// A connection that waits has no buffers, before it has read anything and after it has read something large.
func TestMemoryIdle(t *testing.T) {
	large := strings.Repeat("x", 60*kib)
	eachVictims(t, crowd(), websocket.Options{}, func(t *testing.T, vs []*victim) {
		expectGrowth(t, vs, kib, func(v *victim) {
			v.Send(wstest.Frame{Opcode: wstest.Text, Payload: large})
			v.expectDelivered(websocket.TextMessage, large)
		})
	})
}

// A length is no reason to allocate (CWE-789).
func TestMemoryOfDeclaredMessages(t *testing.T) {
	eachVictims(t, crowd(), websocket.Options{}, func(t *testing.T, vs []*victim) {
		require.EqualValues(t, 32<<20, websocket.DefaultReadLimit)
		header := vs[0].header("82 ff 0000000002000000") // the limit
		expectGrowth(t, vs, slack, func(v *victim) {
			v.SendRaw(append(header[:len(header):len(header)], "ten octets"...))
		})
	})
}

// A message of many fragments costs its octets, not its fragments (Netty CVE-2014-0193, ws CVE-2026-48779).
func TestMemoryOfFragments(t *testing.T) {
	for _, n := range []int{1, 100, 2000, 20_000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			count := crowd()
			if n != 2000 {
				count = crowd() / 10
			}
			var server, client []byte
			for i := range n {
				f := wstest.Frame{More: true, Payload: "x"}
				if i == 0 {
					f.Opcode = wstest.Binary
				}
				server, client = append(server, f.Unmasked()...), append(client, f.Masked()...)
			}
			eachVictims(t, count, websocket.Options{}, func(t *testing.T, vs []*victim) {
				expectGrowth(t, vs, int64(2*n+slack), func(v *victim) { v.sendEither(server, client) })
			})
		})
	}
}

// What is behind a fragment is no part of its message, and no reason to make room for it.
func TestMemoryOfAFragmentWithMuchBehindIt(t *testing.T) {
	const size, pongs = 16*kib + 256, 60_000 // more than one read takes, and pongs that wait in the socket meanwhile
	fragment := wstest.Frame{More: true, Opcode: wstest.Binary, Payload: strings.Repeat("x", size)}
	pong := wstest.Frame{Opcode: wstest.Pong}
	server := append(fragment.Unmasked(), strings.Repeat(string(pong.Unmasked()), pongs)...)
	client := append(fragment.Masked(), strings.Repeat(string(pong.Masked()), pongs)...)
	eachVictims(t, crowd()/10, websocket.Options{}, func(t *testing.T, vs []*victim) {
		expectGrowth(t, vs, 2*size+slack, func(v *victim) { v.sendEither(server, client) })
	})
}

// sendEither sends what was encoded before for the attacker's role.
func (v *victim) sendEither(asServer, asClient []byte) {
	if v.door.client() {
		v.SendRaw(asServer)
	} else {
		v.SendRaw(asClient)
	}
}

// Fragments without content cost nothing, up to the number that a message may have (ws issue 2329, undici issue 5422).
func TestMemoryOfEmptyFragments(t *testing.T) {
	const rounds = 2000 // of 63 empty fragments and an octet: 128,000 of the 131,072 fragments that a message may have
	var server, client []byte
	for i := range 64 {
		f := wstest.Frame{More: true}
		if i == 63 {
			f.Payload = "x"
		}
		server, client = append(server, f.Unmasked()...), append(client, f.Masked()...)
	}
	server, client = []byte(strings.Repeat(string(server), rounds/10)), []byte(strings.Repeat(string(client), rounds/10))
	eachVictims(t, crowd()/10, websocket.Options{}, func(t *testing.T, vs []*victim) {
		expectGrowth(t, vs, slack, func(v *victim) {
			first := v.Encode(wstest.Frame{More: true, Opcode: wstest.Binary, Payload: "x"})
			v.SendRaw(first)
			for range 10 {
				v.sendEither(server, client)
			}
		})
	})
}

// Pings whose answers the network does not take: one pong waits, the latest (RFC 6455, section 5.5.3).
func TestMemoryOfPings(t *testing.T) {
	const batch, batches = 1000, 10
	ping := wstest.Frame{Opcode: wstest.Ping, Payload: strings.Repeat("p", 32)}
	server := []byte(strings.Repeat(string(ping.Unmasked()), batch))
	client := []byte(strings.Repeat(string(ping.Masked()), batch))
	eachVictims(t, crowd()/10, websocket.Options{}, func(t *testing.T, vs []*victim) {
		inTurns(len(vs), func(i int) { vs[i].clog() })
		expectGrowth(t, vs, slack, func(v *victim) {
			for range batches {
				v.sendEither(server, client)
			}
		})
	})
}

// Pongs that nobody asked for leave nothing (Undertow CVE-2021-3690).
func TestMemoryOfPongs(t *testing.T) {
	const batch, batches = 1000, 20
	pong := wstest.Frame{Opcode: wstest.Pong, Payload: "not asked for"}
	server := []byte(strings.Repeat(string(pong.Unmasked()), batch))
	client := []byte(strings.Repeat(string(pong.Masked()), batch))
	eachVictims(t, crowd()/10, websocket.Options{}, func(t *testing.T, vs []*victim) {
		expectGrowth(t, vs, kib, func(v *victim) {
			for range batches {
				v.sendEither(server, client)
			}
		})
	})
}

// A peer that does not read costs the message that is being written to it.
func TestMemoryOfStalledReaders(t *testing.T) {
	const size = 64 * kib
	message := make([]byte, size)
	plainVictims(t, crowd()/10, websocket.Options{}, func(t *testing.T, vs []*victim) {
		writers := make(chan error, len(vs))
		for _, v := range vs {
			v.narrow()
		}
		expectGrowth(t, vs, size+slack, func(v *victim) {
			go func() { writers <- v.writeUntilItFails(message) }()
			v.untilStuck()
		})
		require.Empty(t, writers)
		for _, v := range vs {
			_ = v.conn.Close() // a write is under way
			require.Error(t, <-writers)
			v.end()
			v.expectNothingMore()
		}
	})
}

// What TryWriteMessage queues for a peer that does not read is bounded by WriteQueue.
func TestMemoryOfQueues(t *testing.T) {
	const size, queue = kib, 64 * kib
	message := make([]byte, size)
	plainVictims(t, crowd(), websocket.Options{WriteQueue: queue}, func(t *testing.T, vs []*victim) {
		for _, v := range vs {
			v.narrow()
		}
		expectGrowth(t, vs, queue+slack, func(v *victim) {
			refused := 0
			for refused < 1000 { // in a row: what is full stays so
				switch err := v.conn.TryWriteMessage(websocket.BinaryMessage, message); {
				case err == nil:
					refused = 0
				case errors.Is(err, websocket.ErrWriteQueueFull):
					refused++
					runtime.Gosched()
				default:
					t.Errorf("TryWriteMessage: %v", err)
					return
				}
			}
		})
	})
}

// untilReadDry waits until the victim has read all that the kernel has for it.
func (v *victim) untilReadDry() {
	v.t.Helper()
	raw, err := v.conn.NetConn().(*net.TCPConn).SyscallConn()
	require.NoError(v.t, err)
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		var waiting int
		var failed error
		require.NoError(v.t, raw.Control(func(fd uintptr) { waiting, failed = unix.IoctlGetInt(int(fd), unix.SIOCINQ) }))
		require.NoError(v.t, failed)
		if waiting == 0 {
			return
		}
		require.True(v.t, time.Now().Before(end), "%d bytes are not read", waiting)
	}
}

// untilStuck waits until the network takes no more of what the victim writes.
func (v *victim) untilStuck() {
	v.t.Helper()
	still, last := 0, int64(-1)
	for end := time.Now().Add(patience); still < 10; time.Sleep(10 * time.Millisecond) {
		if written := v.conn.Stats().WireWritten; written != last {
			still, last = 0, written
		} else {
			still++
		}
		if time.Now().After(end) {
			v.t.Error("the network takes everything")
			return
		}
	}
}
