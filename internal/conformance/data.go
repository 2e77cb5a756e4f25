package conformance

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
)

// random is the same sequence in every run.
func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 7)) }

// varied makes size octets, no two regions of which are alike, so that a fragment lost, doubled or misplaced shows.
func varied(size int, isBinary bool) []byte {
	p := make([]byte, size+8)
	x := uint64(0x9E3779B97F4A7C15)
	for i := 0; i < size; i += 8 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		v := x
		if !isBinary {
			v = v&0x1F1F1F1F1F1F1F1F | 0x4040404040404040 // letters and some punctuation
		}
		binary.LittleEndian.PutUint64(p[i:], v)
	}
	return p[:size]
}

// sample is a kind of data to compress. Text is ASCII, so that it can be cut anywhere.
type sample struct {
	isBinary bool
	octets   func() []byte
}

// The kinds of data of sections 12.1 to 12.5.
var (
	samples = []sample{jsonSample, {true, sync.OnceValue(bitmap)}, {true, sync.OnceValue(prose)}, {false, sync.OnceValue(htmlPage)}, {true, sync.OnceValue(pdf)}}

	jsonSample = sample{false, sync.OnceValue(jsonList)}
)

// sampleSize is about as much as the largest message, twice.
const sampleSize = 300 << 10

var words = strings.Fields(`stone river always morning under window carry letter small winter garden speak slowly between yellow market
	bridge answer paper mountain early silver journey open question light table harbour never forest ship evening road summer glass
	hand story music bird field water house tree cloud night friend song winter bread fire wind leaf`)

func jsonList() []byte {
	r := random(1)
	var b bytes.Buffer
	b.WriteString("[")
	for i := 0; b.Len() < sampleSize; i++ {
		fmt.Fprintf(&b, `{"id":%d,"name":"%s %s","active":%t,"balance":%.2f,"tags":["%s","%s"],"position":{"lat":%.5f,"lon":%.5f}},`+"\n",
			i, pick(r), pick(r), r.IntN(2) == 0, r.Float64()*10000, pick(r), pick(r), r.Float64()*180-90, r.Float64()*360-180)
	}
	b.WriteString("{}]")
	return b.Bytes()
}

func pick(r *rand.Rand) string { return words[r.IntN(len(words))] }

// bitmap is a picture of smooth shades with some noise, a header before it.
func bitmap() []byte {
	r := random(2)
	const width = 512
	p := []byte("BM")
	for len(p) < 1078 {
		p = append(p, byte(len(p)>>2), byte(len(p)>>2), byte(len(p)>>2), 0)
	}
	for i := 0; len(p) < sampleSize; i++ {
		x, y := float64(i%width)/width, float64(i/width)/width
		shade := 128 + 80*math.Sin(7*x+3*y) + 40*math.Cos(11*x*y)
		p = append(p, byte(shade)&^7+byte(r.IntN(2)))
	}
	return p
}

// prose is lines of verse in Latin-1, which is not UTF-8.
func prose() []byte {
	r := random(3)
	var b bytes.Buffer
	for b.Len() < sampleSize {
		line := make([]string, 5+r.IntN(4))
		for i := range line {
			line[i] = pick(r)
		}
		line[0] = strings.ToUpper(line[0][:1]) + line[0][1:]
		b.WriteString(strings.ReplaceAll(strings.Join(line, " "), "ai", "\xE4") + ",\r\n")
	}
	return b.Bytes()
}

func htmlPage() []byte {
	r := random(4)
	var b bytes.Buffer
	b.WriteString("<!DOCTYPE html>\n<html><head><title>List</title></head><body>\n")
	for i := 0; b.Len() < sampleSize; i++ {
		fmt.Fprintf(&b, `<div class="row %s"><a href="/%s/%d.html">%s %s</a><span class="note">%s</span></div>`+"\n",
			pick(r), pick(r), i, pick(r), pick(r), pick(r))
	}
	b.WriteString("</body></html>\n")
	return b.Bytes()
}

// pdf is objects of text and objects of noise, which does not compress.
func pdf() []byte {
	r := random(5)
	var b bytes.Buffer
	b.WriteString("%PDF-1.4\n%\xE2\xE3\xCF\xD3\n")
	for i := 1; b.Len() < sampleSize; i++ {
		noise := make([]byte, 400+r.IntN(2000))
		for j := range noise {
			noise[j] = byte(r.Uint32())
		}
		fmt.Fprintf(&b, "%d 0 obj\n<< /Type /XObject /Length %d /Filter /FlateDecode >>\nstream\n", i, len(noise))
		b.Write(noise)
		b.WriteString("\nendstream\nendobj\n")
		for line := range 20 {
			fmt.Fprintf(&b, "BT /F1 10 Tf 72 %d Td (%s %s %s) Tj ET\n", 700-12*line, pick(r), pick(r), pick(r))
		}
	}
	return b.Bytes()
}

// slicer cuts the data into messages of the size, one behind the other, from the start again at the end.
func slicer(data []byte, size int) func() []byte {
	at := 0
	return func() []byte {
		p := make([]byte, 0, size)
		for len(p) < size {
			n := min(size-len(p), len(data)-at)
			p = append(p, data[at:at+n]...)
			at = (at + n) % len(data)
		}
		return p
	}
}
