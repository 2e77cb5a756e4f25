package benchmarks

import (
	"compress/flate"
	"io"
	"runtime"
	"testing"

	"github.com/duplexkit/websocket/internal/benchmarks/corpus"
	"github.com/duplexkit/websocket/internal/deflate"
	kp "github.com/klauspost/compress/flate"
)

type dataSet struct {
	name     string
	messages [][]byte
}

// Several large messages take turns, lest the processor learn one by heart.
var dataSets = []dataSet{
	{"chat100", corpus.Chat(1000, 100)},
	{"chat200", corpus.Chat(1000, 200)},
	{"chat500", corpus.Chat(1000, 500)},
	{"chat2000", corpus.Chat(1000, 2000)},
	{"ticks192", corpus.Ticks(1000)},
	{"json4K", corpus.JSON(100, 4<<10)},
	{"json64K", corpus.JSON(16, 64<<10)},
	{"text1M", [][]byte{corpus.Text(1 << 20)}},
	{"random64K", [][]byte{corpus.Random(64 << 10)}},
}

// buffer is an io.Writer that appends.
type buffer struct{ b []byte }

func (b *buffer) Write(p []byte) (int, error) {
	b.b = append(b.b, p...)
	return len(p), nil
}

type flateWriter interface {
	io.Writer
	Flush() error
	Reset(io.Writer)
}

// An engine returns a function that compresses the next message of one
// connection, without the four octets at its end, into a slice of its own.
type engine struct {
	name string
	make func(takeover bool) func(p []byte) []byte
}

func own(bits int, level deflate.Level) func(bool) func([]byte) []byte {
	return func(takeover bool) func([]byte) []byte {
		var d deflate.Deflater
		d.Init(bits, takeover)
		var out []byte
		return func(p []byte) []byte {
			var ok bool
			if out, ok = d.AppendMessage(out[:0], p, level); !ok {
				return p
			}
			return out
		}
	}
}

func writer(create func(io.Writer) flateWriter) func(bool) func([]byte) []byte {
	return func(takeover bool) func([]byte) []byte {
		var out buffer
		w := create(&out)
		return func(p []byte) []byte {
			out.b = out.b[:0]
			if !takeover {
				w.Reset(&out)
			}
			_, _ = w.Write(p)
			_ = w.Flush()
			return out.b[:len(out.b)-4]
		}
	}
}

func std(level int) func(bool) func([]byte) []byte {
	return writer(func(w io.Writer) flateWriter {
		f, err := flate.NewWriter(w, level)
		if err != nil {
			panic(err)
		}
		return f
	})
}

func klauspost(level int) func(bool) func([]byte) []byte {
	return writer(func(w io.Writer) flateWriter {
		f, err := kp.NewWriter(w, level)
		if err != nil {
			panic(err)
		}
		return f
	})
}

func klauspostWindow(size int) func(bool) func([]byte) []byte {
	return writer(func(w io.Writer) flateWriter {
		f, err := kp.NewWriterWindow(w, size)
		if err != nil {
			panic(err)
		}
		return f
	})
}

// klauspostStateless keeps the last size bytes as the dictionary of the next message.
func klauspostStateless(size int) func(bool) func([]byte) []byte {
	return func(takeover bool) func([]byte) []byte {
		var out buffer
		var dict []byte
		return func(p []byte) []byte {
			out.b = out.b[:0]
			_ = kp.StatelessDeflate(&out, p, false, dict)
			if takeover {
				dict = append(dict, p...)
				if len(dict) > size {
					dict = dict[:copy(dict, dict[len(dict)-size:])]
				}
			}
			return out.b // ends with an empty block, but not with a flush
		}
	}
}

var engines = []engine{
	{"own12-fast", own(12, deflate.Fast)},
	{"own12-better", own(12, deflate.Better)},
	{"own15-fast", own(15, deflate.Fast)},
	{"own15-better", own(15, deflate.Better)},
	{"std1", std(1)},
	{"std2", std(2)},
	{"std6", std(6)},
	{"kp1", klauspost(1)},
	{"kp5", klauspost(5)},
	{"kpwin12", klauspostWindow(4096)},
	{"kpstateless", klauspostStateless(4096)},
}

// BenchmarkDeflate compresses each message by itself, BenchmarkDeflateTakeover
// with what went before as history. One operation is one message; cpu-ns/op is
// the processor time of the thread (Linux only), ratio is compressed size by
// original size over all messages.
func BenchmarkDeflate(b *testing.B)         { benchmarkDeflate(b, false) }
func BenchmarkDeflateTakeover(b *testing.B) { benchmarkDeflate(b, true) }

func benchmarkDeflate(b *testing.B, takeover bool) {
	for _, data := range dataSets {
		b.Run(data.name, func(b *testing.B) {
			for _, e := range engines {
				b.Run(e.name, func(b *testing.B) {
					var in, out int
					next := e.make(takeover)
					for _, p := range data.messages {
						in += len(p)
						out += len(next(p))
					}
					b.SetBytes(int64(in / len(data.messages)))
					b.ReportAllocs()
					runtime.LockOSThread()
					defer runtime.UnlockOSThread()
					i := 0
					start := threadCPU()
					for b.Loop() {
						next(data.messages[i])
						if i++; i == len(data.messages) {
							i = 0
						}
					}
					b.ReportMetric(float64(threadCPU()-start)/float64(b.N), "cpu-ns/op")
					b.ReportMetric(float64(out)/float64(in), "ratio")
				})
			}
		})
	}
}
