package conformance

import (
	"errors"
	"fmt"
)

// distance is the largest distance that a match in the DEFLATE blocks p goes back. It decodes the symbols (RFC 1951) and
// leaves the octets to compress/flate, which has no limit on the window.
func distance(p []byte) (int, error) {
	b := &bitReader{p: p}
	reach := 0
	for b.left() >= 3 {
		final, kind := b.take(1), b.take(2)
		switch kind {
		case 0:
			b.align()
			n := b.take(16)
			if b.take(16) != n^0xFFFF {
				return 0, errors.New("deflate: wrong length of a stored block")
			}
			b.skip(int(n))
		case 1, 2:
			literals, distances, err := fixedLiterals, fixedDistances, error(nil)
			if kind == 2 {
				literals, distances, err = b.codes()
			}
			if err == nil {
				err = b.block(literals, distances, &reach)
			}
			if err != nil {
				return 0, err
			}
		default:
			return 0, errors.New("deflate: reserved type of block")
		}
		if b.short {
			return 0, errors.New("deflate: a block is cut off")
		}
		if final == 1 {
			b.align() // an endpoint may go on behind a final block (RFC 7692 section 7.2.3.4)
		}
	}
	return reach, nil
}

type bitReader struct {
	p     []byte
	at    int // in bits
	short bool
}

func (b *bitReader) left() int  { return len(b.p)*8 - b.at }
func (b *bitReader) align()     { b.at = (b.at + 7) &^ 7 }
func (b *bitReader) skip(n int) { b.at += n * 8; b.short = b.short || b.left() < 0 }

func (b *bitReader) take(n int) uint {
	if b.left() < n {
		b.short = true
		return 0
	}
	var v uint
	for i := range n {
		v |= uint(b.p[b.at>>3]>>(b.at&7)&1) << i
		b.at++
	}
	return v
}

// huffman is a code in canonical form: how many symbols have each length, and the symbols in order.
type huffman struct {
	count   [16]int
	symbols []int
}

func newHuffman(lengths []int) *huffman {
	h := &huffman{}
	for n := 1; n < 16; n++ {
		for symbol, length := range lengths {
			if length == n {
				h.count[n]++
				h.symbols = append(h.symbols, symbol)
			}
		}
	}
	return h
}

// symbol decodes one symbol, -1 if no code fits.
func (b *bitReader) symbol(h *huffman) int {
	code, first, index := 0, 0, 0
	for n := 1; n < 16 && !b.short; n++ {
		code |= int(b.take(1))
		if d := code - first; d < h.count[n] {
			return h.symbols[index+d]
		}
		index += h.count[n]
		first = (first + h.count[n]) << 1
		code <<= 1
	}
	return -1
}

var fixedLiterals, fixedDistances = func() (*huffman, *huffman) {
	var l [288]int
	for i := range l {
		switch {
		case i < 144 || i >= 280:
			l[i] = 8
		case i < 256:
			l[i] = 9
		default:
			l[i] = 7
		}
	}
	d := make([]int, 30)
	for i := range d {
		d[i] = 5
	}
	return newHuffman(l[:]), newHuffman(d)
}()

// codes reads the two codes of a dynamic block (RFC 1951 section 3.2.7).
func (b *bitReader) codes() (literals, distances *huffman, err error) {
	nl, nd, nc := int(b.take(5))+257, int(b.take(5))+1, int(b.take(4))+4
	order := [19]int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}
	var c [19]int
	for _, i := range order[:nc] {
		c[i] = int(b.take(3))
	}
	code := newHuffman(c[:])
	var lengths []int
	for len(lengths) < nl+nd {
		s := b.symbol(code)
		value, repeat := s, 1
		switch {
		case s < 0:
			return nil, nil, errors.New("deflate: no such code length")
		case s == 16:
			if len(lengths) == 0 {
				return nil, nil, errors.New("deflate: nothing to repeat")
			}
			value, repeat = lengths[len(lengths)-1], 3+int(b.take(2))
		case s == 17:
			value, repeat = 0, 3+int(b.take(3))
		case s == 18:
			value, repeat = 0, 11+int(b.take(7))
		}
		for range repeat {
			lengths = append(lengths, value)
		}
	}
	if len(lengths) > nl+nd {
		return nil, nil, errors.New("deflate: too many code lengths")
	}
	return newHuffman(lengths[:nl]), newHuffman(lengths[nl:]), nil
}

// block reads the symbols of a block to its end.
func (b *bitReader) block(literals, distances *huffman, reach *int) error {
	for !b.short {
		switch s := b.symbol(literals); {
		case s < 0 || s > 285:
			return fmt.Errorf("deflate: no such symbol")
		case s == 256:
			return nil
		case s > 256:
			b.take(lengthExtra(s))
			d := b.symbol(distances)
			if d < 0 || d > 29 {
				return errors.New("deflate: no such distance")
			}
			*reach = max(*reach, b.distance(d))
		}
	}
	return nil
}

// lengthExtra is how many bits follow a length symbol (RFC 1951 section 3.2.5).
func lengthExtra(s int) int {
	if s < 265 || s == 285 {
		return 0
	}
	return (s - 261) / 4
}

// distance reads the bits behind a distance symbol.
func (b *bitReader) distance(s int) int {
	if s < 4 {
		return s + 1
	}
	extra := s/2 - 1
	return (2+s&1)<<extra + int(b.take(extra)) + 1
}
