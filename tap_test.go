package websocket

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket/internal/wstest"
)

// Bytes may come in any pieces.
func TestFollower(t *testing.T) {
	t.Parallel()
	var stream []byte
	for _, f := range []wstest.Frame{
		text("Hello"), text(""), {Opcode: wstest.Binary, Payload: strings.Repeat("x", 300), More: true}, ping(""), ping("!"),
		{Opcode: wstest.Continuation, Payload: strings.Repeat("x", 70_000)}, {Opcode: wstest.Text, RSV: 4, Payload: "squeezed"},
	} {
		stream = append(stream, f.Masked()...)
	}
	closing := wstest.CloseFrame(1000, "").Unmasked()
	stream = append(stream, closing...)
	events := func(pieces ...[]byte) (lines []string) {
		var f follower
		for _, p := range pieces {
			for len(p) > 0 {
				e := f.next(&p)
				if e.frame {
					lines = append(lines, fmt.Sprintf("%d %d", f.h.Opcode, f.h.Length))
				}
				if e.message {
					lines = append(lines, fmt.Sprintf("%+v", f.message))
				}
			}
		}
		return lines
	}
	want := []string{
		"1 5", "{Type:1 Payload:0 Wire:11 Frames:1 Compressed:false Wait:0s}",
		"1 0", "{Type:1 Payload:0 Wire:6 Frames:1 Compressed:false Wait:0s}",
		"2 300", "9 0", "9 1", "0 70000", "{Type:2 Payload:0 Wire:70322 Frames:2 Compressed:false Wait:0s}",
		"1 8", "{Type:1 Payload:0 Wire:14 Frames:1 Compressed:true Wait:0s}",
		"8 2",
	}
	require.Equal(t, want, events(stream))
	require.Equal(t, want, events(append(slices.Clone(stream), text("behind the close frame").Masked()...)))
	require.Equal(t, want, events(slices.Collect(slices.Chunk(stream, 1))...))
	for i := range len(stream) {
		if i > 1000 && i < len(stream)-1000 {
			continue
		}
		require.Equal(t, want, events(stream[:i], stream[i:]), "divided at %d", i)
	}
	// A header that breaks the rules is the end: what follows is anything.
	for _, broken := range []string{"\x81\x7e\x00\x05", "\x82\x7f\x00\x00\x00\x00\x00\x00\x00\x05", "\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x05"} {
		require.Empty(t, events([]byte(broken), text("Hello").Masked()))
	}
}

// What is put in comes out in that order, whatever the pace.
func TestFIFO(t *testing.T) {
	t.Parallel()
	for _, lag := range []int{1, 5, 1000} {
		var q fifo[int]
		in, out := 0, 0
		for round := range 20_000 {
			for range round%7 + 1 {
				q.put(in)
				in++
			}
			for out < in-round%lag {
				require.Equal(t, out, q.get())
				out++
			}
			require.LessOrEqual(t, cap(q.items), 4*max(lag, usualQueue)+64, "memory follows what is there, not what has gone")
		}
		for ; out < in; out++ {
			require.Equal(t, out, q.get())
		}
		require.LessOrEqual(t, cap(q.items), usualQueue, "an empty one keeps little")
	}
}

// It takes the same for each item, however many there are.
func BenchmarkFIFO(b *testing.B) {
	for _, n := range []int{10, 1000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var q fifo[arrival]
			for range n {
				q.put(arrival{})
			}
			for b.Loop() {
				q.get()
				q.put(arrival{})
			}
		})
	}
}
