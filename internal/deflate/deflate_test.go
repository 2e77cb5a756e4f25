package deflate

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// A checker receives the messages of a Deflater through both the standard
// library and refInflater.
type checker struct {
	t        testing.TB
	d        Deflater
	takeover bool
	std      bytes.Buffer // the stream so far, whole
	ref      refInflater
	sent     []byte // what std must expand to
}

func newChecker(t testing.TB, bits int, takeover bool) *checker {
	c := &checker{t: t, takeover: takeover}
	c.d.Init(bits, takeover)
	c.ref.window = 1 << bits
	return c
}

// message checks that stream, without its last four octets, expands to p.
func (c *checker) message(stream, p []byte) {
	c.t.Helper()
	got, err := c.ref.message(stream)
	require.NoError(c.t, err)
	require.True(c.t, bytes.Equal(p, got), "the reference inflater reads something else")
	if !c.takeover {
		c.ref.forget()
		require.True(c.t, bytes.Equal(p, expand(c.t, stream)), "compress/flate reads something else")
		return
	}
	c.std.Write(stream)
	c.std.WriteString("\x00\x00\xff\xff")
	c.sent = append(c.sent, p...)
}

// close checks the whole stream of a connection with context takeover.
func (c *checker) close() {
	c.t.Helper()
	if c.takeover {
		stream := bytes.TrimSuffix(c.std.Bytes(), []byte("\x00\x00\xff\xff"))
		require.True(c.t, bytes.Equal(c.sent, expand(c.t, stream)), "compress/flate reads something else")
	}
}

// expand returns what compress/flate makes of a stream without its last four octets.
func expand(t testing.TB, stream []byte) []byte {
	t.Helper()
	// An empty final block ends the stream for a reader that knows nothing of messages.
	r := flate.NewReader(io.MultiReader(bytes.NewReader(stream), bytes.NewReader([]byte("\x00\x00\xff\xff\x01\x00\x00\xff\xff"))))
	p, err := io.ReadAll(r)
	require.NoError(t, err)
	return p
}

// whole sends p by AppendMessage and reports whether it shrank.
func (c *checker) whole(p []byte, level Level) bool {
	c.t.Helper()
	prefix := []byte("prefix")
	out, ok := c.d.AppendMessage(prefix, p, level)
	require.Equal(c.t, "prefix", string(out[:6]))
	if !ok {
		require.Len(c.t, out, 6)
		return false
	}
	require.Less(c.t, len(out)-6, len(p))
	c.message(out[6:], p)
	return true
}

// pieces sends p by Append, cut at the places given, and AppendEnd.
func (c *checker) pieces(p []byte, level Level, cuts ...int) {
	c.t.Helper()
	var out []byte
	bound, from := 5, 0
	for _, cut := range append(cuts, len(p)) {
		out = c.d.Append(out, p[from:cut], level)
		bound += cut - from + 5*((cut-from+blockSize-1)/blockSize)
		from = cut
	}
	out = c.d.AppendEnd(out)
	require.LessOrEqual(c.t, len(out), bound)
	c.message(out, p)
}

// sample returns n bytes of a kind.
func sample(rnd *rand.Rand, kind string, n int) []byte {
	p := make([]byte, 0, n+32)
	for len(p) < n {
		switch kind {
		case "random":
			p = append(p, byte(rnd.Uint32()))
		case "zeros":
			p = append(p, 0)
		case "repeated":
			p = append(p, "0123456789abcdef?"...)
		case "skewed":
			p = append(p, byte(rnd.ExpFloat64()*20))
		case "text":
			p = append(p, words[min(rnd.IntN(len(words)), rnd.IntN(len(words)))]...)
		case "mixed":
			if rnd.IntN(3) > 0 || len(p) == 0 {
				p = append(p, byte(rnd.Uint32()), byte(rnd.Uint32()))
			} else {
				i := rnd.IntN(len(p))
				p = append(p, p[i:min(len(p), i+rnd.IntN(300))]...)
			}
		}
	}
	return p[:n]
}

var kinds = []string{"random", "zeros", "repeated", "skewed", "text", "mixed"}

var words = func() (w [][]byte) {
	rnd := rand.New(rand.NewPCG(7, 7))
	for range 500 {
		p := make([]byte, 2+rnd.IntN(9))
		for i := range p {
			p[i] = 'a' + byte(min(rnd.IntN(26), rnd.IntN(26)))
		}
		p[len(p)-1] = ' '
		w = append(w, p)
	}
	return w
}()

var levels = []Level{Stored, HuffmanOnly, Fast, Better}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for bits := MinBits; bits <= MaxBits; bits++ {
		for _, takeover := range []bool{false, true} {
			for _, level := range levels {
				t.Run(fmt.Sprintf("%d/takeover=%t/level=%d", bits, takeover, level), func(t *testing.T) {
					t.Parallel()
					rnd := rand.New(rand.NewPCG(uint64(bits), uint64(level)))
					c := newChecker(t, bits, takeover)
					for n := range 600 {
						p := sample(rnd, kinds[rnd.IntN(len(kinds))], n)
						switch rnd.IntN(4) {
						case 0:
							cut := rnd.IntN(n + 1)
							c.pieces(p, level, cut, cut+rnd.IntN(n-cut+1))
						default:
							c.whole(p, level)
						}
					}
					c.close()
				})
			}
		}
	}
}
