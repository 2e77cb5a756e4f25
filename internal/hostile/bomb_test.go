package hostile

import (
	"compress/flate"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/internal/wstest"
)

// Messages that are small on the wire and large once they are inflated, or cost time and bring nothing. Implementations that counted
// compressed octets only: python websockets CVE-2018-1000518, undici CVE-2026-1526, Netty, Tornado, NATS issue 7625.

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
)

// A bomb is the payload of a compressed message of zeros.
type bomb struct {
	payload string
	matches int // of 258 zeros each
}

// bombHeader begins a dynamic block in which a literal 0 is "10", the end of the block "11", and "00" 258 times the byte before: a code of
// one bit for the length, and another for the distance. It is DEFLATE at its best, 1032 to 1.
var bombHeader = strings.ReplaceAll(dynamic(286, 1)+len2+zeros(255)+len2+zeros(28)+len1+len1, " ", "")

// newBomb makes a bomb of size zeros, at least one: a literal, matches, and literals for what remains.
func newBomb(size int) bomb {
	b := bomb{matches: (size - 1) / 258}
	head, middle := bombHeader+"10", 2*b.matches
	bits := len(head) + middle
	end := strings.Repeat("10", (size-1)%258) + "11" + "000"
	p := make([]byte, bits/8, bits/8+len(end)/8+2)
	copy(p, pack(head))
	// The bits of the last byte so far: none but zeros, unless the head reaches into it.
	last := strings.Repeat("0", bits%8)
	if whole := bits / 8 * 8; whole < len(head) {
		last = head[whole:] + strings.Repeat("0", middle)
	}
	b.payload = string(append(p, pack(last+end)...))
	return b
}

// crossing is how many octets of the payload it takes to exceed a limit.
func (b bomb) crossing(limit int) int {
	matches := min((limit-1)/258+1, b.matches)
	literals := max(0, limit-258*matches) // behind the first one
	return (len(bombHeader) + 2 + 2*matches + 2*literals + 7) / 8
}

// upTo encodes the frames up to the n-th octet of their payloads, and not an octet more.
func (v *victim) upTo(n int, frames ...wstest.Frame) (b []byte) {
	for _, f := range frames {
		e := v.Encode(f)
		if n < len(f.Payload) {
			return append(b, e[:len(e)-len(f.Payload)+n]...)
		}
		b = append(b, e...)
		if n -= len(f.Payload); n == 0 {
			break
		}
	}
	return b
}

// What a bomb is made of is what compress/flate makes of it.
func TestBombMaker(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 2, 3, 257, 258, 259, 260, 517, 1000, 1033, 4096, kib * 100, mib, mib + 1} {
		b := newBomb(size)
		require.True(t, strings.Repeat("\x00", size) == inflated(t, "", b.payload), "%d", size)
	}
	require.InDelta(t, mib, len(newBomb(gib).payload), 20*kib)
}

// 1 MiB that inflates to 1 GiB, for a victim with a limit of 1 MiB. The attacker sends nothing beyond the octet that crosses the limit,
// and still is told at once.
func TestBomb(t *testing.T) {
	whole := compressed(wstest.Binary, newBomb(gib).payload)
	fast := newBomb(gib)
	slow := newBomb(2 * mib)
	for n, attack := range []struct {
		name   string
		frames []wstest.Frame
		bomb   bomb
	}{
		{"one frame", []wstest.Frame{whole}, fast},
		{"1,000 fragments", inFragments(whole, len(whole.Payload)/1000+1), fast},
		{"1,000 fragments that cross in the middle", inFragments(compressed(wstest.Binary, slow.payload), len(slow.payload)/1000+1), slow},
		{"2,000 fragments of an octet", inFragments(compressed(wstest.Text, slow.payload), 1), slow},
	} {
		t.Run(attack.name, func(t *testing.T) {
			each(t, inTurn(n, withDeflate()), func(t *testing.T, g target) {
				g.options.ReadLimit = mib
				v := g.open(t)
				b := v.upTo(attack.bomb.crossing(mib), attack.frames...)
				begin := time.Now()
				v.SendRaw(b)
				v.ExpectClose(websocket.CloseMessageTooBig)
				t.Logf("close frame after %v and %d bytes", time.Since(begin), len(b))
				v.ExpectEnd()
				require.ErrorIs(t, v.end(), websocket.ErrReadLimit)
				v.expectNothingMore()
			})
		})
	}
}

// What is as large as the limit is delivered, and one byte more is not.
func TestBombAtTheLimit(t *testing.T) {
	for n, limit := range []int{1, 258, 1000, 64 * kib} {
		good, bad := newBomb(limit).payload, newBomb(limit+1).payload
		data := noise(2, limit+1)
		noGain := deflated(t, flate.NoCompression, data[1:])
		attacks := []string{bad, deflated(t, flate.NoCompression, data), deflated(t, flate.HuffmanOnly, data)}
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			each(t, inTurn(n, withDeflate()), func(t *testing.T, g target) {
				g.options.ReadLimit = int64(limit)
				for _, bad := range attacks {
					for _, size := range []int{len(bad), len(bad)/3 + 1} {
						v := g.open(t)
						v.Send(inFragments(compressed(wstest.Binary, good), size)...)
						v.expectDelivered(websocket.BinaryMessage, strings.Repeat("\x00", limit))
						v.Send(inFragments(compressed(wstest.Binary, noGain), size)...)
						v.expectDelivered(websocket.BinaryMessage, data[1:])
						v.Send(inFragments(compressed(wstest.Binary, bad), size)...)
						v.expectFailure(websocket.CloseMessageTooBig)
					}
				}
			})
		})
	}
}

// Without any option there is a limit for messages that are read as a whole.
func TestBombDefaultLimit(t *testing.T) {
	b := newBomb(websocket.DefaultReadLimit + 1)
	for i, w := range []way{byMessage, byServe, byStart} {
		t.Run(string(w), func(t *testing.T) {
			v := target{door: doors[i], way: w}.withParams("").open(t)
			v.SendRaw(v.upTo(b.crossing(websocket.DefaultReadLimit), compressed(wstest.Binary, b.payload)))
			v.expectFailure(websocket.CloseMessageTooBig)
		})
	}
}

// openMany opens n victims.
func openMany(t *testing.T, n int, g target) []*victim {
	victims := make([]*victim, n)
	for i := range victims {
		victims[i] = g.open(t)
	}
	return victims
}

// throughAll has each of the victims attacked, all at once.
func throughAll(victims []*victim, attack func(v *victim)) {
	var wg sync.WaitGroup
	for _, v := range victims {
		wg.Go(func() { attack(v) })
	}
	wg.Wait()
}

// allocated is what was ever allocated: it knows of peaks too, whenever the collector runs.
func allocated() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.TotalAlloc)
}

// Twenty such bombs at once, all of each sent. All that the victims ever allocate for it is a few times the limit.
func TestBombsAtOnce(t *testing.T) {
	const n = 20
	payload := newBomb(gib).payload
	for i, d := range doors {
		for j, w := range ways {
			if !*full && (i+j)%len(doors) != 0 {
				continue // each way through one of the doors
			}
			g := target{door: d, way: w}.withParams("")
			t.Run(g.String(), func(t *testing.T) {
				g.options.ReadLimit = mib
				victims := openMany(t, n, g)
				frame := victims[0].Encode(compressed(wstest.Binary, payload))
				before := allocated()
				throughAll(victims, func(v *victim) {
					sent := make(chan bool)
					go func() {
						defer close(sent)
						_, _ = v.Write(frame) // the victim does not read it all
					}()
					if err := v.end(); err != websocket.ErrReadLimit {
						t.Errorf("the program got %v", err)
					}
					v.conn.Close()
					v.Peer.Close()
					<-sent
				})
				each := (allocated() - before) / n
				t.Logf("%d KiB allocated for each", each/kib)
				most := int64(5 * mib) // 1 + 1/2 + 1/4 ... MiB of buffers, and the same in what io.ReadAll makes of it, or twice
				require.Less(t, each, most)
				for _, v := range victims {
					v.expectNothingMore()
				}
			})
		}
	}
}

// measured is how many victims are measured at a time and with what limit: with -hostile.full so many that small things count, through one
// of the doors.
func (g target) measured() (n, limit int) {
	if *full && g.door == throughConn && g.takesOver() {
		return 1000, 64 * kib
	}
	return 20, mib
}

// stream has the victim's program read everything by NextReader and 4 KiB at a time. It returns the count of the bytes.
func (v *victim) stream() *atomic.Int64 {
	var count atomic.Int64
	go func() {
		p := make([]byte, 4*kib)
		for {
			_, r, err := v.conn.NextReader()
			for err == nil {
				var k int
				k, err = r.Read(p)
				count.Add(int64(k))
			}
			if err != io.EOF {
				v.ended <- err
				return
			}
		}
	}()
	return &count
}

// What a bomb holds of memory just before it crosses the limit is the limit and 64 KiB at most; by NextReader it is 64 KiB whatever the
// limit. Once it has crossed the limit nothing remains.
func TestBombMemory(t *testing.T) {
	for i, params := range []string{"", noTakeover} {
		for j, d := range []door{throughConn, throughDial} {
			for k, w := range ways {
				if !*full && (i+j+k)%2 != 0 {
					continue
				}
				g := target{door: d, way: w, silent: w == byStream}.withParams(params)
				n, limit := g.measured()
				t.Run(g.String()+params, func(t *testing.T) {
					b := newBomb(2 * limit)
					bound := limit + 64*kib
					g.options.ReadLimit = int64(limit)
					if w == byStream {
						bound = 64 * kib
					}
					victims := openMany(t, n, g)
					if w == byStream {
						for _, v := range victims {
							v.conn.SetReadLimit(int64(limit))
							v.stream()
						}
					}
					edge := b.crossing(limit) - 1
					first := wstest.Frame{More: true, RSV: 4, Opcode: wstest.Binary, Payload: b.payload[:edge]}
					before := liveHeap()
					for _, v := range victims {
						v.Send(first)
						v.ExpectNothing() // the victim has read it
					}
					held := (liveHeap() - before) / int64(n)
					for _, v := range victims {
						v.Send(wstest.Frame{More: true, Opcode: wstest.Continuation, Payload: b.payload[edge : edge+1]})
						v.ExpectClose(websocket.CloseMessageTooBig)
						v.ExpectEnd()
						require.ErrorIs(t, v.end(), websocket.ErrReadLimit)
						v.expectNothingMore()
					}
					left := (liveHeap() - before) / int64(n)
					t.Logf("%d connections with a limit of %d KiB hold %d KiB each, and %d bytes after", n, limit/kib, held/kib, left)
					require.LessOrEqual(t, held, int64(bound))
					require.LessOrEqual(t, left, int64(4*kib+8*kib)) // whoever awaits the attacker's end, for a second, reads 8 KiB at a time
					runtime.KeepAlive(victims)
				})
			}
		}
	}
}

// Bombs below the limit are messages like others, however many come. What a connection keeps from one to the next is the window that the
// peer may refer to, 32 KiB here, and not what the messages took.
func TestBombsBelowTheLimit(t *testing.T) {
	for i, d := range []door{throughConn, throughDial} {
		for j, w := range ways {
			for k, params := range []string{"", noTakeover} {
				if !*full && (i+j+k)%2 != 0 {
					continue
				}
				g := target{door: d, way: w}.withParams(params)
				t.Run(g.String()+params, func(t *testing.T) {
					const limit = 64 * kib
					n, _ := g.measured()
					g.options.ReadLimit = limit
					b := compressed(wstest.Binary, newBomb(limit).payload)
					zeros := strings.Repeat("\x00", limit)
					victims := openMany(t, n, g)
					before := liveHeap()
					for range 9 {
						for _, v := range victims {
							v.Send(b)
							v.expectDelivered(websocket.BinaryMessage, zeros)
						}
					}
					for _, v := range victims {
						v.ExpectNothing()
					}
					held := (liveHeap() - before) / int64(n)
					t.Logf("%d connections with a limit of %d KiB hold %d KiB each", n, limit/kib, held/kib)
					require.LessOrEqual(t, held, int64(32*kib+4*kib))
					runtime.KeepAlive(victims)
					runtime.KeepAlive(zeros)
				})
			}
		}
	}
}

// NextReader has no limit but that of SetReadLimit, and needs little memory for any size: also where the program goes on to the next
// message without reading the one at hand.
func TestBombByStream(t *testing.T) {
	size := 8 * mib
	if *full {
		size = gib
	}
	const limit = mib
	large := newBomb(size).payload
	for _, d := range doors {
		for _, params := range []string{"", noTakeover} {
			g := target{door: d, way: byStream, silent: true}.withParams(params)
			t.Run(g.String()+params, func(t *testing.T) {
				v := g.open(t)
				frames := append(v.Encode(compressed(wstest.Binary, large)), v.Encode(compressed(wstest.Text, hello))...)
				sent := make(chan bool)
				send := func(p []byte) {
					go func() {
						_, _ = v.Write(p)
						sent <- true
					}()
				}
				p := make([]byte, 4*kib)
				before := allocated()
				// Half of it has just been read when the heap is looked at: what has come and was not read would be with the HTTP stack.
				first := min(len(frames), len(large)/2+4*kib)
				send(frames[:first])
				_, r, err := v.conn.NextReader()
				require.NoError(t, err)
				idle := liveHeap()
				half, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, io.LimitReader(r, int64(size/2)), p)
				require.NoError(t, err)
				held := liveHeap() - idle
				<-sent
				send(frames[first:])
				n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, p)
				require.NoError(t, err)
				require.EqualValues(t, size, half+n)
				_, r, err = v.conn.NextReader()
				require.NoError(t, err)
				n, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, p)
				require.NoError(t, err)
				require.EqualValues(t, len("Hello"), n)
				<-sent
				send(frames)
				_, _, err = v.conn.NextReader()
				require.NoError(t, err)
				_, r, err = v.conn.NextReader() // discards the first
				require.NoError(t, err)
				text, err := io.ReadAll(r)
				require.NoError(t, err)
				require.Equal(t, "Hello", string(text))
				<-sent
				took := allocated() - before
				t.Logf("%d KiB held, %d KiB allocated", held/kib, took/kib)
				require.LessOrEqual(t, held, int64(64*kib))
				require.Less(t, took, int64(size/2)) // much less, but that the race detector has pools forget a part of what they are given

				for _, discard := range []bool{false, true} {
					v := g.open(t)
					v.conn.SetReadLimit(limit)
					b := newBomb(2 * limit)
					v.SendRaw(v.upTo(b.crossing(limit), compressed(wstest.Binary, b.payload)))
					_, r, err := v.conn.NextReader()
					require.NoError(t, err)
					if discard {
						_, _, err = v.conn.NextReader()
					} else {
						n, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, p)
						require.LessOrEqual(t, n, int64(limit))
					}
					require.ErrorIs(t, err, websocket.ErrReadLimit)
					v.ExpectClose(websocket.CloseMessageTooBig)
				}
			})
		}
	}
}

// largeTrees is a dynamic block with all the codes there can be, of which only the end of the block is used.
func largeTrees() string {
	s := "0 01" + number(286-257, 5) + number(30-1, 5) + number(19-4, 4)
	for _, symbol := range []int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15} {
		if symbol < 16 {
			s += number(4, 3) // each of these is its own code of four bits
		} else {
			s += number(0, 3)
		}
	}
	s += strings.Repeat(code(8, 4), 226) + strings.Repeat(code(9, 4), 60) // 226/256 + 60/512 = 1
	s += strings.Repeat(code(4, 4), 2) + strings.Repeat(code(5, 4), 28)   // 2/16 + 28/32 = 1
	return s + code(2*226+256-226, 9)
}

// Blocks without output cost time, and no limit for the output ends them: 64 may follow each other.
func TestEmptyBlocks(t *testing.T) {
	eachCase(t, emptyBlocks, func(t *testing.T, g target, block string) {
		v := g.open(t)
		a := fixedBlock + literal('a')
		v.Send(compressed(wstest.Text, pack(strings.Repeat(block, 64)+a+fixedEnd+strings.Repeat(block, 63)+"000")))
		v.expectDelivered(websocket.TextMessage, "a")
		v.Send(inFragments(compressed(wstest.Text, pack(strings.Repeat(block, 64)+a+afterFixed)), 1)...)
		v.expectDelivered(websocket.TextMessage, "a")
		v.SendRaw(v.upTo(len(pack(strings.Repeat(block, 65)+"000")), compressed(wstest.Text, pack(strings.Repeat(block, 70)))))
		v.expectFailure(websocket.ClosePolicyViolation)
	})
}

// The flush at the end of a fragment is a block without output, too. A peer may send as many of them as fragments.
func TestEmptyBlockAtTheEndOfAFragment(t *testing.T) {
	const flush = "\x00\x00\x00\xff\xff"
	each(t, withDeflate(), func(t *testing.T, g target) {
		v := g.open(t)
		v.Send(inFragments(compressed(wstest.Text, strings.Repeat(flush, 200)+helloStored), len(flush))...)
		v.expectDelivered(websocket.TextMessage, "Hello")
		v.Send(inFragments(compressed(wstest.Text, strings.Repeat(flush, 200)+helloStored), 2*len(flush))...)
		v.expectFailure(websocket.ClosePolicyViolation)
	})
}

// emptyStored is one that begins and ends at a byte boundary.
const emptyStored = storedBlock + "|" + "0000000000000000 1111111111111111"

var emptyBlocks = map[string]string{
	"stored":  emptyStored,
	"fixed":   fixedBlock + fixedEnd,
	"dynamic": dynamic(257, 1) + zeros(256) + len1 + len0 + "0",
	"trees":   largeTrees(),
}

// An attack by 1 MiB of blocks with little or no output: the attacker goes on as long as it is let, and that is not for long.
func TestEmptyBlocksForEver(t *testing.T) {
	const limit, piece = 64 * kib, kib
	for _, attack := range []struct {
		name, output string
		code         int
	}{
		{"no output", "", websocket.ClosePolicyViolation},
		{"an octet after each 64", fixedBlock + literal('a') + fixedEnd, websocket.CloseMessageTooBig},
	} {
		t.Run(attack.name, func(t *testing.T) {
			eachCase(t, emptyBlocks, func(t *testing.T, g target, block string) {
				round := pack(attack.output + strings.Repeat(block, 63) + emptyStored)
				payload := strings.Repeat(round, mib/len(round))
				most := len(round) + piece + len(round)/8 // and the headers of the fragments, one after the other
				if attack.code == websocket.CloseMessageTooBig {
					// Compressed octets count too: those that do not shrink are hardly more than the message.
					most = (limit + limit/16 + 64) * (piece + 16) / piece
				}
				g.options.ReadLimit = limit
				v := g.open(t)
				accepted, begin := 0, time.Now()
				for _, f := range inFragments(compressed(wstest.Binary, payload), piece) {
					v.Send(f, wstest.Frame{Opcode: wstest.Ping})
					answer := v.Receive()
					if answer.Opcode == wstest.Close {
						require.Equal(t, attack.code, int(answer.Payload[0])<<8|int(answer.Payload[1]))
						break
					}
					accepted += len(f.Payload)
				}
				t.Logf("%d bytes accepted in %v", accepted, time.Since(begin))
				require.LessOrEqual(t, accepted, most)
				v.end()
				v.expectNothingMore()
			})
		})
	}
}

// A header that announces more compressed bytes than a message of the limit may have is enough.
func TestBombOfTooManyCompressedBytes(t *testing.T) {
	each(t, withDeflate(), func(t *testing.T, g target) {
		g.options.ReadLimit = 64 * kib
		v := g.open(t)
		v.SendRaw(v.header("c2 ff 0000000000100000"))
		v.expectFailure(websocket.CloseMessageTooBig)
	})
}
