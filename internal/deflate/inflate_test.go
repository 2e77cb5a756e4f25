package deflate

import (
	"bytes"
	"compress/flate"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// unhex decodes hex digits, in groups and with comments in parentheses.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	for {
		before, rest, found := strings.Cut(s, "(")
		if !found {
			break
		}
		_, after, _ := strings.Cut(rest, ")")
		s = before + after
	}
	p, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	require.NoError(t, err)
	return p
}

// cutter says how payload and room are dealt out to an Inflater.
type cutter struct {
	payload func(left int) int // size of the next piece of payload
	room    func() int         // bytes of room to add, at least 1
	commit  func() bool        // whether to commit the output after a call
}

func whole() cutter {
	return cutter{func(left int) int { return left }, func() int { return 4096 }, func() bool { return false }}
}

func oneByte() cutter {
	return cutter{func(int) int { return 1 }, func() int { return 1 }, func() bool { return false }}
}

func randomly(seed uint64) cutter {
	rnd := rand.New(rand.NewPCG(seed, 1))
	size := func(n int) int { return 1 + rnd.IntN(1+rnd.IntN(n)) }
	return cutter{
		func(left int) int { return size(left + 1) },
		func() int { return size(700) },
		func() bool { return rnd.IntN(8) == 0 },
	}
}

// inflateMessage expands a message, as payload without the tail, and commits it.
func inflateMessage(t testing.TB, i *Inflater, payload []byte, cut cutter) ([]byte, error) {
	t.Helper()
	p, err := inflateRaw(t, i, append(slices.Clip(payload), Tail...), cut)
	if err == nil {
		err = i.End()
	}
	return p, err
}

// inflateRaw gives src to Inflate and returns the output, which is in the history
// then.
func inflateRaw(t testing.TB, i *Inflater, src []byte, cut cutter) ([]byte, error) {
	t.Helper()
	var done []byte // committed
	dst := make([]byte, 3, 3+cut.room())
	base := len(dst)
	for len(src) > 0 {
		piece := src[:min(len(src), cut.payload(len(src)))]
		src = src[len(piece):]
		for {
			// Whatever Inflate does, it must not write before the length or behind the capacity.
			arena := append(slices.Clone(dst[:cap(dst)]), 0xa5, 0xa5)
			out, n, err := i.Inflate(arena[:len(dst):cap(dst)], base, piece)
			require.Equal(t, []byte{0xa5, 0xa5}, arena[cap(dst):], "wrote behind the capacity")
			require.Equal(t, dst, arena[:len(dst)], "wrote before the length")
			require.LessOrEqual(t, len(out), cap(dst))
			require.GreaterOrEqual(t, len(out), len(dst))
			piece = piece[n:]
			if err != nil && err != io.ErrShortBuffer {
				return append(done, out[base:]...), err
			}
			dst = out
			if err == io.ErrShortBuffer {
				require.Equal(t, cap(dst), len(dst), "there was room")
			} else {
				require.Empty(t, piece, "not all of the payload was used")
			}
			if cut.commit() {
				i.Commit(dst[base:])
				done = append(done, dst[base:]...)
				dst = dst[:base]
			}
			if err == nil {
				break
			}
			room := cut.room()
			dst = append(make([]byte, 0, len(dst)+room), dst...)
		}
	}
	i.Commit(dst[base:])
	return append(done, dst[base:]...), nil
}

// words is text of n bytes that compresses like a program's messages.
func words(rnd *rand.Rand, n int) []byte {
	vocabulary := strings.Fields(`{"type":"message","room":"general","id": "user":"ann" "text":" hello there what is the price of
		tea in china today } ] [ 12 2026-11-22T07:15:53Z true false null hellohellohello aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa`)
	p := make([]byte, 0, n+64)
	for len(p) < n {
		if rnd.IntN(6) == 0 {
			p = fmt.Appendf(p, "%x", rnd.Uint32())
		}
		p = append(append(p, vocabulary[rnd.IntN(len(vocabulary))]...), ' ')
	}
	return p[:n]
}

func noise(rnd *rand.Rand, n int) []byte {
	p := make([]byte, n)
	for k := range p {
		p[k] = byte(rnd.Uint32())
	}
	return p
}

// compress returns the payload of a message: data without the tail.
func compress(t testing.TB, level int, data []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w, err := flate.NewWriter(&buf, level)
	require.NoError(t, err)
	_, err = w.Write(data)
	require.NoError(t, err)
	require.NoError(t, w.Flush())
	return bytes.TrimSuffix(buf.Bytes(), []byte(Tail))
}

var levels = []int{flate.HuffmanOnly, flate.DefaultCompression, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9}

func newInflater(bits int) *Inflater {
	i := new(Inflater)
	i.Init(bits)
	return i
}

// Section 7.2.3 of RFC 7692.
func TestInflateGoldenBytes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		messages []string // payloads
	}{
		{"7.2.3.1 one block", []string{"f248 cdc9 c907 00"}},
		{"7.2.3.2 context takeover", []string{"f248 cdc9 c907 00", "f200 1100 00"}},
		{"7.2.3.2 no context takeover", []string{"f248 cdc9 c907 00", "f248 cdc9 c907 00"}},
		{"7.2.3.3 stored", []string{"00 0500 faff 4865 6c6c 6f 00"}},
		{"7.2.3.4 BFINAL", []string{"f348 cdc9 c907 00 00"}},
		{"7.2.3.4 BFINAL, then takeover", []string{"f348 cdc9 c907 00 00", "f200 1100 00"}},
		{"7.2.3.5 two blocks", []string{"f248 0500 0000 ffff cac9 c907 00"}},
	}
	for _, test := range tests {
		for name, cut := range map[string]cutter{"whole": whole(), "bytes": oneByte(), "random": randomly(7)} {
			t.Run(test.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				i := newInflater(15)
				for _, m := range test.messages {
					p, err := inflateMessage(t, i, unhex(t, m), cut)
					require.NoError(t, err)
					require.Equal(t, "Hello", string(p))
				}
			})
		}
	}
}

// Section 7.2.3.6 of RFC 7692.
func TestInflateEmptyMessage(t *testing.T) {
	t.Parallel()
	i := newInflater(15)
	for range 3 {
		p, err := inflateMessage(t, i, []byte{0}, whole())
		require.NoError(t, err)
		require.Empty(t, p)
	}
	require.Zero(t, i.Kept())
}

func TestInflateWhatTheStandardLibraryCompresses(t *testing.T) {
	t.Parallel()
	for _, level := range levels {
		t.Run(fmt.Sprint("level ", level), func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(uint64(level), 2))
			i := newInflater(15)
			check := func(data []byte, cuts ...cutter) {
				payload := compress(t, level, data)
				for _, cut := range cuts {
					i.Forget()
					p, err := inflateMessage(t, i, payload, cut)
					require.NoError(t, err)
					require.True(t, bytes.Equal(data, p), "%d bytes", len(data))
				}
			}
			for n := range 601 {
				cuts := []cutter{whole(), randomly(uint64(n))}
				if n%16 == 0 {
					cuts = append(cuts, oneByte())
				}
				check(words(rnd, n), cuts...)
				if n%8 == 0 {
					check(noise(rnd, n), cuts...)
					check(make([]byte, n), cuts...)
				}
			}
			large := cutter{func(int) int { return 1 + rnd.IntN(40000) }, func() int { return 1 + rnd.IntN(90000) }, func() bool { return rnd.IntN(3) == 0 }}
			for _, n := range []int{4096, 32768, 70000, 300000} {
				check(words(rnd, n), large)
				check(noise(rnd, n), large)
				check(make([]byte, n), large)
			}
		})
	}
}

// A writer that lives as long as the connection, flushed at each message's end.
func TestInflateContextTakeover(t *testing.T) {
	t.Parallel()
	for _, level := range levels {
		t.Run(fmt.Sprint("level ", level), func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(uint64(level), 3))
			var buf bytes.Buffer
			w, err := flate.NewWriter(&buf, level)
			require.NoError(t, err)
			i := newInflater(15)
			for k := range 600 {
				data := words(rnd, rnd.IntN(1+rnd.IntN(1000)))
				if k%50 == 0 {
					data = noise(rnd, rnd.IntN(40000))
				}
				buf.Reset()
				for _, piece := range [][]byte{data[:len(data)/3], data[len(data)/3:]} {
					_, err = w.Write(piece)
					require.NoError(t, err)
					require.NoError(t, w.Flush())
				}
				cut := randomly(uint64(k))
				if k%3 == 0 || len(data) > 5000 {
					cut = whole()
				}
				p, err := inflateMessage(t, i, bytes.TrimSuffix(buf.Bytes(), []byte(Tail)), cut)
				require.NoError(t, err)
				require.True(t, bytes.Equal(data, p), "message %d", k)
				require.LessOrEqual(t, i.Kept(), 32<<10)
			}
			require.Equal(t, level != flate.HuffmanOnly && level != 0, i.Reached())
		})
	}
}
