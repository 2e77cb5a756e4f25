package benchmarks

import (
	"bytes"
	"compress/flate"
	"io"
	"testing"

	"github.com/duplexkit/websocket/internal/deflate"
	kp "github.com/klauspost/compress/flate"
)

var inflateDataSets = append(dataSets[:len(dataSets):len(dataSets)], dataSet{"zeros64M", [][]byte{make([]byte, 64<<20)}})

// An inflateEngine returns a function that expands the next message of one
// connection into dst, which is large enough.
type inflateEngine struct {
	name string
	make func(takeover bool) func(dst, payload []byte) ([]byte, error)
}

func ownInflater(takeover bool) func(dst, payload []byte) ([]byte, error) {
	i := new(deflate.Inflater)
	i.Init(15)
	tail := []byte(deflate.Tail)
	return func(dst, payload []byte) ([]byte, error) {
		out, _, err := i.Inflate(dst[:0], 0, payload)
		if err == nil {
			out, _, err = i.Inflate(out, 0, tail)
		}
		if err == nil {
			err = i.End()
		}
		if takeover {
			i.Commit(out)
		}
		return out, err
	}
}

type resetReader interface {
	Reset(r io.Reader, dict []byte) error
}

// reader drives a reader as libraries do that keep it in a pool: it is reset for
// each message with the last 32 KiB as its dictionary.
func reader(r io.Reader) func(bool) func(dst, payload []byte) ([]byte, error) {
	const window = 32 << 10
	return func(takeover bool) func(dst, payload []byte) ([]byte, error) {
		var (
			src     bytes.Reader
			stream  []byte
			history = make([]byte, 0, 2*window)
		)
		return func(dst, payload []byte) ([]byte, error) {
			stream = append(append(stream[:0], payload...), deflate.Tail+"\x01\x00\x00\xff\xff"...)
			src.Reset(stream)
			if err := r.(resetReader).Reset(&src, history[max(0, len(history)-window):]); err != nil {
				return nil, err
			}
			n := 0
			for {
				k, err := r.Read(dst[n:])
				n += k
				if err == io.EOF {
					break
				}
				if err != nil {
					return nil, err
				}
			}
			if takeover {
				if len(history)+n > cap(history) {
					history = history[:copy(history, history[len(history)-window:])]
				}
				history = append(history, dst[:n]...)
			}
			return dst[:n], nil
		}
	}
}

var inflateEngines = []inflateEngine{
	{"own", ownInflater},
	{"std", reader(flate.NewReader(nil))},
	{"kp", reader(kp.NewReader(nil))},
}

// BenchmarkInflate expands messages that compress/flate has compressed at level 6,
// each by itself, and BenchmarkInflateTakeover with what went before as history,
// which is for small messages. One operation is one message.
func BenchmarkInflate(b *testing.B)         { benchmarkInflate(b, false) }
func BenchmarkInflateTakeover(b *testing.B) { benchmarkInflate(b, true) }

func benchmarkInflate(b *testing.B, takeover bool) {
	for _, data := range inflateDataSets {
		if takeover && len(data.messages) == 1 {
			continue
		}
		b.Run(data.name, func(b *testing.B) {
			var payloads [][]byte
			size, largest := 0, 0
			compress := std(6)(takeover)
			for _, p := range data.messages {
				payloads = append(payloads, bytes.Clone(compress(p)))
				size += len(p)
				largest = max(largest, len(p))
			}
			dst := make([]byte, largest+512)
			for _, e := range inflateEngines {
				b.Run(e.name, func(b *testing.B) {
					b.SetBytes(int64(size / len(payloads)))
					b.ReportAllocs()
					next := e.make(takeover)
					for k := 0; b.Loop(); k++ {
						if k == len(payloads) {
							k = 0
							if takeover { // another connection
								next = e.make(takeover)
							}
						}
						out, err := next(dst, payloads[k])
						if err != nil {
							b.Fatal(err)
						}
						if !bytes.Equal(out, data.messages[k]) {
							b.Fatal("another message came out")
						}
					}
				})
			}
		})
	}
}
