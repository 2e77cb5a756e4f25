package deflate

import (
	"errors"
	"fmt"
)

// A refInflater expands DEFLATE one bit at a time, after the text of RFC 1951
// and with none of its tables built cleverly. It refuses every distance that
// reaches further back than window bytes or than what it has produced, and
// counts the blocks of each type.
type refInflater struct {
	window int
	out    []byte // everything produced, since the last forget
	blocks [3]int // by BTYPE
	far    int    // the largest distance seen
}

// forget empties the history, as at the end of a message without context takeover.
func (r *refInflater) forget() { r.out = r.out[:0] }

type refBits struct {
	p   []byte
	pos int // in bits
}

var errRefEnd = errors.New("the stream ends within a block")

func (b *refBits) take(n int) int {
	v := 0
	for i := range n {
		if b.pos>>3 >= len(b.p) {
			panic(errRefEnd)
		}
		v |= int(b.p[b.pos>>3]>>(b.pos&7)&1) << i
		b.pos++
	}
	return v
}

// A refCode lists the symbols of each code length, in the order of their codes,
// and the first of those codes (section 3.2.2).
type refCode struct {
	symbols [16][]int
	first   [16]int
}

func makeRefCode(lengths []int) *refCode {
	c := &refCode{}
	used := 0
	for sym, n := range lengths {
		if n > 0 {
			c.symbols[n] = append(c.symbols[n], sym)
			used++
		}
	}
	code := 0
	for n := 1; n <= 15; n++ {
		code <<= 1
		c.first[n] = code
		code += len(c.symbols[n])
		if code > 1<<n {
			panic(errors.New("more codes than there is room for"))
		}
	}
	if used > 1 && code != 1<<15 {
		panic(errors.New("the code is incomplete"))
	}
	return c
}

// symbol reads one symbol.
func (b *refBits) symbol(c *refCode) int {
	code := 0
	for n := 1; n <= 15; n++ {
		code = code<<1 | b.take(1)
		if i := code - c.first[n]; i >= 0 && i < len(c.symbols[n]) {
			return c.symbols[n][i]
		}
	}
	panic(errors.New("no such symbol"))
}

// message expands a message that comes without its last four octets and returns
// what it adds.
func (r *refInflater) message(p []byte) (added []byte, err error) {
	defer func() {
		if v := recover(); v != nil {
			e, ok := v.(error)
			if !ok {
				panic(v)
			}
			err = fmt.Errorf("reference inflater: %w", e)
		}
	}()
	from := len(r.out)
	b := &refBits{p: append(append([]byte{}, p...), 0, 0, 0xff, 0xff)}
	for b.pos < 8*len(b.p) {
		r.block(b)
	}
	return r.out[from:], nil
}

func (r *refInflater) block(b *refBits) {
	if b.take(1) != 0 {
		panic(errors.New("a final block"))
	}
	kind := b.take(2)
	if kind > typeDynamic {
		panic(errors.New("a block of reserved type"))
	}
	r.blocks[kind]++
	literal, distance := make([]int, 288), make([]int, 32)
	switch kind {
	case typeStored:
		b.pos = (b.pos + 7) &^ 7
		n, inverse := b.take(16), b.take(16)
		if n != inverse^0xffff {
			panic(errors.New("a stored block whose lengths disagree"))
		}
		if b.pos>>3+n > len(b.p) {
			panic(errRefEnd)
		}
		r.out = append(r.out, b.p[b.pos>>3:b.pos>>3+n]...)
		b.pos += 8 * n
		return
	case typeFixed:
		for i := range literal {
			literal[i] = 8
			if i >= 144 && i < 256 {
				literal[i] = 9
			} else if i >= 256 && i < 280 {
				literal[i] = 7
			}
		}
		for i := range distance {
			distance[i] = 5
		}
	case typeDynamic:
		literal, distance = r.header(b)
	}
	r.symbols(b, makeRefCode(literal), makeRefCode(distance))
}

func (r *refInflater) header(b *refBits) (literal, distance []int) {
	literals, distances, lengths := b.take(5)+257, b.take(5)+1, b.take(4)+4
	if literals > 286 || distances > 30 {
		panic(errors.New("codes that do not exist"))
	}
	code := make([]int, 19)
	for _, sym := range []int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}[:lengths] {
		code[sym] = b.take(3)
	}
	c := makeRefCode(code)
	var row []int
	for len(row) < literals+distances {
		sym := b.symbol(c)
		again, value := 1, sym
		switch sym {
		case 16:
			value, again = row[len(row)-1], 3+b.take(2)
		case 17:
			value, again = 0, 3+b.take(3)
		case 18:
			value, again = 0, 11+b.take(7)
		}
		for range again {
			row = append(row, value)
		}
	}
	if len(row) > literals+distances || row[256] == 0 {
		panic(errors.New("wrong code lengths"))
	}
	return row[:literals], row[literals:]
}

func (r *refInflater) symbols(b *refBits, literal, distance *refCode) {
	lengthBase := []int{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258}
	lengthExtra := []int{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}
	distanceBase := []int{1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577}
	for {
		sym := b.symbol(literal)
		switch {
		case sym < 256:
			r.out = append(r.out, byte(sym))
			continue
		case sym == 256:
			return
		}
		n := lengthBase[sym-257] + b.take(lengthExtra[sym-257])
		sym = b.symbol(distance)
		d := distanceBase[sym] + b.take(max(0, sym/2-1))
		if d > r.window || d > len(r.out) {
			panic(fmt.Errorf("distance %d, window %d, history %d", d, r.window, len(r.out)))
		}
		r.far = max(r.far, d)
		for range n {
			r.out = append(r.out, r.out[len(r.out)-d])
		}
	}
}
