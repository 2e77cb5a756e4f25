package integrity

import (
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/duplexkit/websocket"
)

// A message of headerSize bytes or more begins with a header of hexadecimal digits, so that it may be text: two for the writer, eight for
// its number, eight for its length and eight for the checksum of all the rest. A shorter one begins with a letter of its writer and its
// number. As JSON, a message is a string of such content, with the line feed that WriteJSON puts behind it.
const (
	headerSize = 26
	sumAt      = headerSize - 8
	jsonExtra  = len("\"\"\n")
)

// kind says what the messages of a writer are.
type kind uint8

const (
	mixed      kind = iota // text and binary in turns
	onlyText               //
	onlyBinary             //
	jsonText               // text that is JSON
)

// A plan says what a writer sends. Both ends have it.
type plan struct {
	writer int
	kind   kind
	count  int
	size   func(seq int) int
}

// listed is the plan of a single writer that sends these sizes.
func listed(k kind, sizes []int) *plan {
	return &plan{kind: k, count: len(sizes), size: func(seq int) int { return sizes[seq] }}
}

// message appends message seq to dst.
func (p *plan) message(dst []byte, seq int) (messageType int, data []byte) {
	size := p.size(seq)
	messageType = p.messageType(seq)
	if p.kind != jsonText {
		return messageType, appendContent(dst, p.writer, seq, size, messageType == websocket.TextMessage)
	}
	if size < jsonExtra {
		return messageType, append(dst, shortJSON(seq, size)...)
	}
	dst = appendContent(append(dst, '"'), p.writer, seq, size-jsonExtra, true)
	return messageType, append(dst, '"', '\n')
}

func (p *plan) messageType(seq int) int {
	if p.kind == onlyBinary || p.kind == mixed && mix(p.writer, seq)&1 == 0 {
		return websocket.BinaryMessage
	}
	return websocket.TextMessage
}

// shortJSON is what there is of JSON in fewer bytes than a string takes.
func shortJSON(seq, size int) string { return (strconv.Itoa(seq%10) + "\n")[:size] }

// mix is a number that has little to do with its neighbours (the finalizer of splitmix64).
func mix(writer, seq int) uint64 {
	x := uint64(writer)<<48 ^ uint64(seq)*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func appendContent(dst []byte, writer, seq, size int, text bool) []byte {
	if size < headerSize {
		return appendShort(dst, writer, seq, size)
	}
	base := len(dst)
	dst = appendHex(dst, uint64(writer), 2)
	dst = appendHex(dst, uint64(seq), 8)
	dst = appendHex(dst, uint64(size), 8)
	dst = appendHex(dst, 0, 8)
	dst = appendBody(dst, writer, seq, size-headerSize, text)
	appendHex(dst[:base+sumAt], uint64(checksum(dst[base:])), 8)
	return dst
}

// appendShort appends content without a header: ASCII, as text must be.
func appendShort(dst []byte, writer, seq, size int) []byte {
	if size == 0 {
		return dst
	}
	dst = append(dst, letters[writer<<3+seq&7])
	x := mix(writer, seq)
	for range size - 1 {
		dst = append(dst, byte('a'+x%16))
		x = x>>4 | x<<60
	}
	return dst
}

// letters are those that short content begins with, eight for each writer.
const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuv"

// shortWriter is the writer that short content names, -1 if it names none.
func shortWriter(p []byte) int { return strings.IndexByte(letters, p[0]) >> 3 }

const hexDigits = "0123456789abcdef"

func appendHex(dst []byte, x uint64, digits int) []byte {
	for i := digits - 1; i >= 0; i-- {
		dst = append(dst, hexDigits[x>>(4*i)&15])
	}
	return dst
}

// checksum is that of all content but the checksum itself.
func checksum(p []byte) uint32 {
	return crc32.Update(crc32.Checksum(p[:sumAt], castagnoli), castagnoli, p[headerSize:])
}

// Bodies are cut out of these. Most shrink when they are compressed, noise does not.
const poolSize = 1 << 18

var (
	textPool   = makeText()
	recordPool = makeRecords()
	noisePool  = makeNoise()
)

// maxPart is the most that is cut out of a pool at once; every place it is cut at has so much behind it.
const maxPart = poolSize / 2

func appendBody(dst []byte, writer, seq, size int, text bool) []byte {
	x := mix(writer, seq) >> 8
	at := int(x % (poolSize - maxPart))
	pool := recordPool
	switch {
	case text:
		pool = textPool
		for !utf8.RuneStart(pool[at]) {
			at++
		}
	case x>>52 < 1:
		pool = noisePool
	}
	for size > 0 {
		part := pool[at : at+min(size, maxPart)]
		if text {
			part = wholeRunes(part)
		}
		if len(part) == 0 {
			part = []byte("...")[:size] // of a letter there is no room for
		}
		dst = append(dst, part...)
		size -= len(part)
	}
	return dst
}

// wholeRunes is p without a letter that is cut off at its end.
func wholeRunes(p []byte) []byte {
	for i := len(p) - 1; i >= 0 && i >= len(p)-utf8.UTFMax; i-- {
		if utf8.RuneStart(p[i]) {
			if !utf8.FullRune(p[i:]) {
				return p[:i]
			}
			break
		}
	}
	return p
}

func random(stream uint64) *rand.Rand { return rand.New(rand.NewPCG(6455, stream)) }

// makeText makes words of letters of one to four bytes, without any that JSON would escape.
func makeText() []byte {
	rnd := random(1)
	alphabet := []rune("eeeeaaaooonnnrrrssttiilldumcpgbvhfqyxjkzwäöüßéñλжшбあ海😀")
	words := make([]string, 2000)
	for i := range words {
		word := make([]rune, 1+rnd.IntN(9))
		for j := range word {
			word[j] = alphabet[rnd.IntN(len(alphabet))]
		}
		words[i] = string(word) + " "
	}
	zipf := rand.NewZipf(rnd, 1.2, 4, uint64(len(words)-1))
	b := make([]byte, 0, poolSize+64)
	for len(b) < poolSize {
		b = append(b, words[zipf.Uint64()]...)
	}
	return b
}

// makeRecords makes records with fields of which some vary and some hardly do.
func makeRecords() []byte {
	rnd := random(2)
	b := make([]byte, 0, poolSize+64)
	for i := 0; len(b) < poolSize; i++ {
		b = append(b, 0, 0, byte(i>>8), byte(i), 0xff, byte(rnd.IntN(4)), 0x80, byte(rnd.IntN(256)), byte(rnd.IntN(256)), 0, 0, 0)
		b = append(b, "field\x00value\x01"[:4+rnd.IntN(8)]...)
	}
	return b
}

func makeNoise() []byte {
	rnd := random(3)
	b := make([]byte, poolSize)
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	return b
}

// A verifier holds what arrives against the plans of those who send. It is used by one goroutine.
type verifier struct {
	plans    []*plan // by writer
	next     []int   // the number that is due, by writer
	messages int
	bytes    int64
}

func newVerifier(plans ...*plan) *verifier {
	return &verifier{plans: plans, next: make([]int, len(plans))}
}

// check takes note of a message. messageType is 0 if the method that read it does not tell.
func (v *verifier) check(messageType int, p []byte) error {
	writer, err := v.writer(p)
	if err != nil {
		return err
	}
	plan, seq := v.plans[writer], v.next[writer]
	if seq == plan.count {
		return fmt.Errorf("a message of %d bytes after the last of writer %d: %.64q", len(p), writer, p)
	}
	content, size := p, plan.size(seq)
	if plan.kind == jsonText {
		if size < jsonExtra {
			if want := shortJSON(seq, size); want != string(p) {
				return fmt.Errorf("message %d is %q, want %q", seq, p, want)
			}
			return v.passed(writer, messageType, p)
		}
		content, size = unquote(p), size-jsonExtra
		if content == nil {
			return fmt.Errorf("message %d of %d bytes is not whole: %.64q", seq, len(p), p)
		}
	}
	if err := checkContent(content, writer, seq, size); err != nil {
		return err
	}
	return v.passed(writer, messageType, p)
}

// passed counts a message whose content is as it should be.
func (v *verifier) passed(writer, messageType int, p []byte) error {
	seq := v.next[writer]
	if want := v.plans[writer].messageType(seq); messageType != 0 && messageType != want {
		return fmt.Errorf("message %d of writer %d has type %d, want %d", seq, writer, messageType, want)
	}
	v.next[writer]++
	v.messages++
	v.bytes += int64(len(p))
	return nil
}

// writer tells who wrote p. Of several writers only the first sends empty messages, and JSON only with content.
func (v *verifier) writer(p []byte) (int, error) {
	if len(p) == 0 || len(v.plans) == 1 {
		return 0, nil
	}
	content := p
	if p[0] == '"' {
		content = unquote(p)
	}
	writer := -1
	switch {
	case len(content) >= headerSize:
		if b, err := hex.DecodeString(string(content[:2])); err == nil {
			writer = int(b[0])
		}
	case len(content) > 0:
		writer = shortWriter(content)
	}
	if writer < 0 || writer >= len(v.plans) {
		return 0, fmt.Errorf("%d bytes that nobody wrote: %.64q", len(p), p)
	}
	return writer, nil
}

// unquote returns the string in a message of JSON, nil if it is none.
func unquote(p []byte) []byte {
	if len(p) < jsonExtra || p[0] != '"' || string(p[len(p)-2:]) != "\"\n" {
		return nil
	}
	return p[1 : len(p)-2]
}

// checkContent says what is wrong with content that should be message seq of the writer.
func checkContent(p []byte, writer, seq, size int) error {
	if size < headerSize || len(p) < headerSize {
		if want := appendShort(nil, writer, seq, min(size, headerSize-1)); len(p) != size || string(p) != string(want) {
			return fmt.Errorf("message %d of writer %d has %d bytes %q, want %d bytes %q", seq, writer, len(p), p, size, want)
		}
		return nil
	}
	fields := make([]uint64, 0, 4)
	at := 0
	for _, digits := range []int{2, 8, 8, 8} {
		x, err := strconv.ParseUint(string(p[at:at+digits]), 16, 64)
		if err != nil {
			return fmt.Errorf("message %d of writer %d has a garbled header %q", seq, writer, p[:headerSize])
		}
		fields = append(fields, x)
		at += digits
	}
	switch {
	case uint32(fields[3]) != checksum(p) && int(fields[2]) != len(p):
		return fmt.Errorf("message %d of writer %d comes in place of %d, and with %d of its %d bytes", fields[1], fields[0], seq, len(p), fields[2])
	case uint32(fields[3]) != checksum(p):
		return fmt.Errorf("message %d of writer %d has been changed", fields[1], fields[0])
	case int(fields[0]) != writer || int(fields[1]) < seq:
		return fmt.Errorf("message %d of writer %d comes again, or late: %d of writer %d is due", fields[1], fields[0], seq, writer)
	case int(fields[1]) > seq:
		return fmt.Errorf("message %d of writer %d comes, and %d is lost or late", fields[1], fields[0], seq)
	case len(p) != size:
		return fmt.Errorf("message %d of writer %d has %d bytes, want %d", seq, writer, len(p), size)
	}
	return nil
}

// due returns the size of the next message, for a single writer, and whether there is one.
func (v *verifier) due() (size int, ok bool) {
	if v.next[0] == v.plans[0].count {
		return 0, false
	}
	return v.plans[0].size(v.next[0]), true
}

// complete says what has not come.
func (v *verifier) complete() error {
	var errs []error
	for writer, plan := range v.plans {
		if v.next[writer] != plan.count {
			errs = append(errs, fmt.Errorf("%d of %d messages of writer %d have come", v.next[writer], plan.count, writer))
		}
	}
	return errors.Join(errs...)
}

// logUniform returns a size from least to most of which each order of magnitude has the same share.
func logUniform(x uint64, least, most int) int {
	u := float64(x>>11) / (1 << 53)
	return least + int(math.Exp(u*math.Log(float64(most-least+2)))) - 1
}
