package benchmarks

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
	stdutf8 "unicode/utf8"

	"github.com/duplexkit/websocket/internal/utf8"
	"github.com/duplexkit/websocket/internal/xor"
	"github.com/gobwas/ws"
)

// BenchmarkMask, BenchmarkMaskCopy and BenchmarkUnmaskText compare our kernels
// with copy, which says what the memory allows, and with gobwas/ws, the one peer
// whose masking can be called by itself; for text followed by utf8.Valid, as all
// peers do it.
//
// The machine may have other work. So the candidates take turns, a batch each,
// and the least time of each counts; one operation is a turn of all. ns/NAME are
// nanoseconds per call and x/NAME how many times as long NAME takes as we do.
func BenchmarkMask(b *testing.B) {
	for _, n := range kernelSizes {
		p, dst := make([]byte, n), make([]byte, n)
		benchmarkTurns(b, fmt.Sprint(n), n, []candidate{
			{"ours", func() { xor.Mask(maskKey, 0, p) }},
			{"memmove", func() { copy(dst, p) }},
			{"gobwas", func() { ws.Cipher(p, maskKey, 0) }},
		})
	}
}

func BenchmarkMaskCopy(b *testing.B) {
	for _, n := range kernelSizes {
		p, dst := make([]byte, n), make([]byte, n)
		benchmarkTurns(b, fmt.Sprint(n), n, []candidate{
			{"ours", func() { xor.Copy(dst, p, maskKey, 0) }},
			{"memmove", func() { copy(dst, p) }},
			{"gobwas", func() { copy(dst, p); ws.Cipher(dst, maskKey, 0) }},
		})
	}
}

func BenchmarkUnmaskText(b *testing.B) {
	idle := [4]byte{} // the text is the same after each call
	for _, text := range []struct{ name, unit string }{
		{"ascii", "plain text "}, {"german", "grüße "}, {"russian", "привет "}, {"chinese", "漢字"}, {"emoji", "😀"},
	} {
		for _, n := range kernelSizes {
			p := []byte(strings.Repeat(text.unit, n/len(text.unit)))
			p = append(p, make([]byte, n-len(p))...)
			dst := make([]byte, n)
			var v utf8.Validator
			valid := true
			benchmarkTurns(b, fmt.Sprintf("%s/%d", text.name, n), n, []candidate{
				{"ours", func() { v.Reset(); _, valid = v.Unmask(idle, 0, p) }},
				{"memmove", func() { copy(dst, p) }},
				{"gobwas", func() { ws.Cipher(p, idle, 0); valid = stdutf8.Valid(p) }},
			})
			if !valid {
				b.Fatal("the text is not valid")
			}
		}
	}
}

var (
	kernelSizes = []int{0, 16, 64, 125, 512, 4 << 10, 64 << 10, 1 << 20}
	maskKey     = [4]byte{0x37, 0xfa, 0x21, 0x3d}
)

type candidate struct {
	name string
	do   func()
}

// benchmarkTurns runs the candidates on n bytes in turns. The first is ours.
func benchmarkTurns(b *testing.B, name string, n int, candidates []candidate) {
	b.Run(name, func(b *testing.B) {
		batch := max(20_000/(n/8+8), 1)
		least := make([]float64, len(candidates))
		for i := range least {
			least[i] = math.Inf(1)
		}
		for b.Loop() {
			for i, c := range candidates {
				start := time.Now()
				for range batch {
					c.do()
				}
				least[i] = min(least[i], float64(time.Since(start).Nanoseconds())/float64(batch))
			}
		}
		b.ReportMetric(0, "ns/op") // the sum of all means nothing
		for i, c := range candidates {
			b.ReportMetric(least[i], "ns/"+c.name)
			if i > 0 {
				b.ReportMetric(least[i]/least[0], "x/"+c.name)
			}
		}
	})
}
