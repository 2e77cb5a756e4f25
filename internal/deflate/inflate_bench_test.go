package deflate

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What is compared: messages of several kinds, expanded with and without context
// takeover, by an Inflater and by a reader of compress/flate, which is reset for
// each message with the last 32 KiB as its dictionary, as other libraries do.

// inflateCorpus is a stream of messages.
type inflateCorpus struct {
	name     string
	takeover bool
	payloads [][]byte
	size     int // of all messages
}

// chatOf is a message of a chat program in JSON, of about n bytes.
func chatOf(rnd *rand.Rand, n int) []byte {
	p := fmt.Appendf(nil, `{"type":"message","id":"%08x%08x","time":17%08d%03d,"user":"u%d","text":"`,
		rnd.Uint32(), rnd.Uint32(), rnd.IntN(1e8), rnd.IntN(1000), rnd.IntN(500))
	vocabulary := []string{"the", "of", "and", "to", "in", "is", "that", "for", "it", "was", "with", "as", "his", "on", "at",
		"meeting", "deploy", "server", "tomorrow", "please", "thanks", "review", "branch", "release", "customer", "database",
		"morning", "question", "ticket", "problem", "latency", "network", "connection", "browser", "window", "history"}
	for len(p) < n-2 {
		k := rnd.IntN(len(vocabulary))
		p = append(append(p, vocabulary[rnd.IntN(k+1)]...), ' ')
	}
	return append(p, `"}`...)
}

func newCorpus(b testing.TB, name string, takeover bool, messages [][]byte) inflateCorpus {
	c := inflateCorpus{name: name, takeover: takeover}
	var buf bytes.Buffer
	w, err := flate.NewWriter(&buf, 6)
	require.NoError(b, err)
	for _, m := range messages {
		buf.Reset()
		if !takeover {
			w.Reset(&buf)
		}
		_, err = w.Write(m)
		require.NoError(b, err)
		require.NoError(b, w.Flush())
		c.payloads = append(c.payloads, bytes.Clone(bytes.TrimSuffix(buf.Bytes(), []byte(Tail))))
		c.size += len(m)
	}
	return c
}

func inflateCorpora(b testing.TB) []inflateCorpus {
	rnd := rand.New(rand.NewPCG(1, 1))
	chats := func(count, size int) (m [][]byte) {
		for range count {
			m = append(m, chatOf(rnd, size))
		}
		return m
	}
	json := bytes.Join(chats(800, 200), []byte(","))[:64<<10]
	text := wordsOf(rnd, 1<<20)
	return []inflateCorpus{
		newCorpus(b, "takeover/105", true, chats(1000, 105)),
		newCorpus(b, "takeover/198", true, chats(1000, 198)),
		newCorpus(b, "takeover/502", true, chats(500, 502)),
		newCorpus(b, "single/105", false, chats(500, 105)),
		newCorpus(b, "single/198", false, chats(500, 198)),
		newCorpus(b, "single/502", false, chats(500, 502)),
		newCorpus(b, "single/2081", false, chats(200, 2081)),
		newCorpus(b, "single/json64K", false, [][]byte{json}),
		newCorpus(b, "single/text1M", false, [][]byte{text}),
		newCorpus(b, "single/noise64K", false, [][]byte{noiseOf(rnd, 64<<10)}),
		newCorpus(b, "single/zeros64M", false, [][]byte{make([]byte, 64<<20)}),
	}
}

// costlyBlocks is data made to cost time: blocks of one byte, each with a short
// header for codes that fill the tables, as long as it may be without output that a
// limit would stop.
func costlyBlocks(size int) []byte {
	lengths := []struct{ n, symbols int }{{8, 232}, {9, 47}, {10, 1}, {11, 1}, {12, 1}, {13, 1}, {14, 1}, {15, 2}, {4, 2}, {5, 28}}
	codes := map[int]bitString{4: "11000", 5: "11001", 8: "100", 9: "101", 10: "11010", 11: "11011", 12: "11100", 13: "11101", 14: "11110", 15: "11111"}
	block := "0 01" + number(29, 5) + number(29, 5) + number(19-4, 4)
	for _, symbol := range lengthOrder {
		block += number(map[uint8]int{16: 1, 8: 3, 9: 3, 4: 5, 5: 5, 10: 5, 11: 5, 12: 5, 13: 5, 14: 5, 15: 5}[symbol], 3)
	}
	for _, l := range lengths {
		for left := l.symbols; left > 0; {
			if n := min(left, 6); left < l.symbols && n >= 3 {
				block += "0" + number(n-3, 2)
				left -= n
				continue
			}
			block += codes[l.n]
			left--
		}
	}
	block += code(0, 8) + code(488, 9)
	var all strings.Builder
	for all.Len() < 8*size {
		all.WriteString(string(block))
	}
	return bitString(all.String() + "000").bytes()
}

func BenchmarkInflateCostlyBlocks(b *testing.B) {
	src := append(costlyBlocks(1<<20), Tail...)
	dst := make([]byte, 1<<20)
	b.Run("own", func(b *testing.B) {
		i := newInflater(15)
		b.SetBytes(int64(len(src)))
		for b.Loop() {
			_, n, err := i.Inflate(dst[:0], 0, src)
			require.NoError(b, err)
			require.Len(b, src, n)
			require.NoError(b, i.End())
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(src)), "ns/byte")
	})
	b.Run("flate", func(b *testing.B) {
		r := flate.NewReader(nil)
		b.SetBytes(int64(len(src)))
		for b.Loop() {
			require.NoError(b, r.(flate.Resetter).Reset(bytes.NewReader(append(src, "\x01\x00\x00\xff\xff"...)), nil))
			_, err := io.ReadAll(r)
			require.NoError(b, err)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(src)), "ns/byte")
	})
}

var inflateTail = []byte(Tail)

// run expands the corpus once.
func (c inflateCorpus) run(b testing.TB, i *Inflater, buf []byte) {
	size := 0
	for _, p := range c.payloads {
		out, _, err := i.Inflate(buf[:0], 0, p)
		if err == nil {
			out, _, err = i.Inflate(out, 0, inflateTail)
		}
		if err == nil {
			err = i.End()
		}
		if err != nil {
			b.Fatal(err)
		}
		if c.takeover {
			i.Commit(out)
		}
		size += len(out)
	}
	i.Forget()
	if size != c.size {
		b.Fatal("wrong size")
	}
}

// runFlate is run with compress/flate.
func (c inflateCorpus) runFlate(b testing.TB, r io.ReadCloser, buf []byte) {
	var (
		size    = 0
		src     bytes.Reader
		tail    = []byte("\x00\x00\xff\xff\x01\x00\x00\xff\xff")
		payload []byte
		history []byte
	)
	for _, p := range c.payloads {
		payload = append(append(payload[:0], p...), tail...)
		src.Reset(payload)
		if err := r.(flate.Resetter).Reset(&src, history); err != nil {
			b.Fatal(err)
		}
		n := 0
		for {
			k, err := r.Read(buf[n:])
			n += k
			if err == io.EOF {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
		}
		if c.takeover {
			if history == nil {
				history = make([]byte, 0, 64<<10)
			}
			if len(history)+n > cap(history) {
				history = history[:copy(history, history[len(history)-32<<10:])]
			}
			history = append(history, buf[:n]...)
		}
		size += n
	}
	if size != c.size {
		b.Fatal("wrong size")
	}
}

func BenchmarkInflate(b *testing.B) {
	for _, c := range inflateCorpora(b) {
		biggest := make([]byte, c.size/len(c.payloads)*2+1024)
		b.Run(c.name+"/own", func(b *testing.B) {
			i := newInflater(15)
			b.SetBytes(int64(c.size))
			b.ReportAllocs()
			for b.Loop() {
				c.run(b, i, biggest)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(c.payloads)), "ns/message")
		})
		b.Run(c.name+"/flate", func(b *testing.B) {
			r := flate.NewReader(nil)
			b.SetBytes(int64(c.size))
			b.ReportAllocs()
			for b.Loop() {
				c.runFlate(b, r, biggest)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(c.payloads)), "ns/message")
		})
	}
}
