// Package corpus makes the data that the benchmarks send: always the same for
// the same arguments, so that figures of different days and engines compare.
package corpus

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
)

// Chat returns count JSON chat messages of about size bytes each, as one
// connection would see them: random ids, rising timestamps, a dozen people and
// words by Zipf's law.
func Chat(count, size int) [][]byte {
	g := newGenerator(1)
	messages := make([][]byte, count)
	for i := range messages {
		messages[i] = g.chat(size)
	}
	return messages
}

// JSON returns count arrays of chat messages as they come from a history
// request, each cut to exactly size bytes.
func JSON(count, size int) [][]byte {
	g := newGenerator(2)
	messages := make([][]byte, count)
	for i := range messages {
		p := make([]byte, 1, size+300)
		p[0] = '['
		for len(p) < size {
			p = append(p, g.chat(150+g.rnd.IntN(150))...)
			p = append(p, ',')
		}
		p[size-1] = ']'
		messages[i] = p[:size]
	}
	return messages
}

// Text returns size bytes of prose. Each word is drawn either from the handful
// that are likely to follow the one before or from the whole vocabulary, so
// phrases recur as they do in a language but sentences do not.
func Text(size int) []byte {
	g := newGenerator(3)
	p := make([]byte, 0, size+128)
	word, sentence, line := 0, 0, 0
	for len(p) < size {
		word = g.follow(word)
		w := g.words[word]
		if sentence == 0 {
			w = strings.ToUpper(w[:1]) + w[1:]
		}
		p = append(p, w...)
		line += len(w) + 1
		sentence++
		switch r := g.rnd.IntN(100); {
		case sentence > 4 && r < 9:
			p = append(p, '.')
			sentence = 0
		case r < 16:
			p = append(p, ',')
		case r < 17:
			p = append(p, fmt.Sprintf(" %d", g.rnd.IntN(3000))...)
		}
		if line > 70 {
			p = append(p, '\n')
			line = 0
		} else {
			p = append(p, ' ')
		}
	}
	return p[:size]
}

// Ticks returns count binary messages of 192 bytes: six market records of 32
// bytes, little-endian, whose prices wander.
func Ticks(count int) [][]byte {
	rnd := rand.New(rand.NewPCG(4, 0))
	const instruments = 50
	var price [instruments]uint32
	for i := range price {
		price[i] = 10000 + rnd.Uint32N(1000000)
	}
	now := uint64(1763800000000000000)
	messages := make([][]byte, count)
	for i := range messages {
		p := make([]byte, 0, 192)
		for range 6 {
			now += rnd.Uint64N(2000000)
			k := rnd.IntN(instruments)
			price[k] += rnd.Uint32N(21) - 10
			p = binary.LittleEndian.AppendUint64(p, now)
			p = binary.LittleEndian.AppendUint32(p, 7000+uint32(k))
			p = binary.LittleEndian.AppendUint32(p, price[k])
			p = binary.LittleEndian.AppendUint32(p, price[k]+1+rnd.Uint32N(5))
			p = binary.LittleEndian.AppendUint32(p, 100*(1+rnd.Uint32N(50)))
			p = binary.LittleEndian.AppendUint32(p, 100*(1+rnd.Uint32N(50)))
			p = binary.LittleEndian.AppendUint32(p, rnd.Uint32N(4))
		}
		messages[i] = p
	}
	return messages
}

// Random returns size bytes that no codec can make smaller.
func Random(size int) []byte {
	p := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{5}).Read(p)
	return p
}

type generator struct {
	rnd   *rand.Rand
	words []string
	sum   []float64 // of the words' Zipf weights, for drawing one by bisection
	now   int64     // milliseconds
}

func newGenerator(seed uint64) *generator {
	// The vocabulary is one for all seeds: the texts are of one language.
	vocabulary := rand.New(rand.NewPCG(0, 0))
	syllables := strings.Fields("a al an ar as at be ca ce co de di do e ed en er es fa fi for ga ge go ha he hi i in ing ion is " +
		"it ka ke la le li lo ly ma me men mi mo na ne ni no nt o of on or ou per pi po pre pro qui ra re ri ro sa se si so st " +
		"ta te th ti tion to tra tri u un ur us ve vi wa we wi y")
	g := &generator{rnd: rand.New(rand.NewPCG(seed, 0)), now: 1763800000000}
	seen := map[string]bool{}
	total := 0.0
	for len(g.words) < 2500 {
		w := ""
		for n := 1 + vocabulary.IntN(2+min(2, len(g.words)/60)); n > 0; n-- {
			w += syllables[vocabulary.IntN(len(syllables))]
		}
		if seen[w] {
			if len(g.words) < 60 {
				continue
			}
			w += syllables[vocabulary.IntN(len(syllables))]
		}
		if seen[w] {
			continue
		}
		seen[w] = true
		g.words = append(g.words, w)
		total += 1 / math.Pow(float64(len(g.words)+2), 0.95)
		g.sum = append(g.sum, total)
	}
	return g
}

// word draws a word by Zipf's law.
func (g *generator) word() int {
	x := g.rnd.Float64() * g.sum[len(g.sum)-1]
	low, high := 0, len(g.sum)-1
	for low < high {
		if mid := (low + high) / 2; g.sum[mid] < x {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low
}

// follow draws the word after w.
func (g *generator) follow(w int) int {
	if g.rnd.IntN(100) < 70 {
		// Four favourites of each word, the first the most frequent.
		k := min(g.rnd.IntN(4), g.rnd.IntN(4))
		x := uint64(w*4+k+1) * 0x9e3779b97f4a7c15
		f := float64(x>>11) / (1 << 53)
		return int(f * f * f * float64(len(g.words)))
	}
	return g.word()
}

var people = strings.Fields("amelia bogdan chidi dolores emre freja goran hatice ivo jun katya lars")

func (g *generator) chat(size int) []byte {
	g.now += g.rnd.Int64N(40000)
	person := g.rnd.IntN(len(people))
	var id [6]byte
	for i := range id {
		id[i] = byte(g.rnd.Uint32())
	}
	var p []byte
	if size < 150 {
		p = fmt.Appendf(p, `{"t":"msg","id":%d,"u":"%s","ts":%d,"b":"`, g.rnd.IntN(1e7), people[person], g.now)
	} else {
		p = fmt.Appendf(p, `{"type":"message","id":"%s","room":"room-%d","user":{"id":%d,"name":"%s"},"ts":%d,"text":"`,
			base64.RawURLEncoding.EncodeToString(id[:]), 1+g.rnd.IntN(8), 40000+person*317, people[person], g.now)
	}
	for w := g.word(); len(p) < size-2; w = g.follow(w) {
		p = append(p, g.words[w]...)
		p = append(p, ' ')
	}
	return append(p[:size-2], `"}`...)
}
