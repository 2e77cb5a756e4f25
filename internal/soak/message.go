package main

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"strings"
	"time"
	"unicode/utf8"
)

// A message of the good connections is a heading and a body. The heading says who
// sent it, as which of how many, when, and what the whole of it has to sum up to; it
// is written in hexadecimal digits, so that it may stand in a text message.
type message struct {
	kind     byte
	sender   uint32        // connection, of echoes
	sequence uint64        // among those of this kind and sender
	sent     time.Duration // on the clock of uptime
}

const (
	kindEcho = 'e' // from a client, comes back
	kindNews = 'n' // broadcast by the server
)

const (
	headingBytes  = 4 + 8 + 8 + 4 // what the digits stand for: sender, sequence, sent, sum
	headingLength = 1 + 2*headingBytes
)

var began = time.Now()

// uptime is the time on a clock that this process alone knows.
func uptime() time.Duration { return time.Since(began) }

// append appends the message to dst.
func (m message) append(dst, body []byte) []byte {
	begin := len(dst)
	dst = m.appendHeading(dst, 0)
	dst = append(dst, body...)
	m.appendHeading(dst[:begin], crc32.ChecksumIEEE(dst[begin:]))
	return dst
}

func (m message) appendHeading(dst []byte, sum uint32) []byte {
	var b [headingBytes]byte
	binary.BigEndian.PutUint32(b[0:], m.sender)
	binary.BigEndian.PutUint64(b[4:], m.sequence)
	binary.BigEndian.PutUint64(b[12:], uint64(m.sent))
	binary.BigEndian.PutUint32(b[20:], sum)
	return hex.AppendEncode(append(dst, m.kind), b[:])
}

var zeros = []byte(strings.Repeat("0", 8))

// parseMessage returns the heading of p, or an error if a byte of p is not what it was.
func parseMessage(p []byte) (m message, err error) {
	if len(p) < headingLength {
		return m, fmt.Errorf("a message of %d bytes, which is less than its heading", len(p))
	}
	var b [headingBytes]byte
	if _, err := hex.Decode(b[:], p[1:headingLength]); err != nil {
		return m, errors.New("a message with another heading")
	}
	m = message{
		kind:     p[0],
		sender:   binary.BigEndian.Uint32(b[0:]),
		sequence: binary.BigEndian.Uint64(b[4:]),
		sent:     time.Duration(binary.BigEndian.Uint64(b[12:])),
	}
	sum := crc32.ChecksumIEEE(p[:headingLength-len(zeros)])
	sum = crc32.Update(sum, crc32.IEEETable, zeros)
	sum = crc32.Update(sum, crc32.IEEETable, p[headingLength:])
	if sum != binary.BigEndian.Uint32(b[20:]) {
		return m, fmt.Errorf("message %d of %d bytes was damaged", m.sequence, len(p))
	}
	return m, nil
}

// A library has bodies for messages.
type library struct {
	text  string // in several scripts, compressible
	noise []byte // not compressible
}

const (
	libraryBytes = 256 << 10
	usualBody    = 2 << 10   // bytes: the most that a usual message has
	largeBody    = 100 << 10 // bytes: the most that any message has
	largeRarity  = 300       // one in so many is large
)

func newLibrary(rng *rand.Rand) *library {
	words := strings.Fields(`the quick brown fox {"id":17,"name":"Zoë","tags":["a","b"]}
		быстрая лиса прыгает 敏捷的 棕色 狐狸 𝄞 ☃ 0x7f 3.14159`)
	var text strings.Builder
	for text.Len() < libraryBytes {
		text.WriteString(words[rng.IntN(len(words))])
		text.WriteByte(' ')
	}
	l := &library{text: text.String()}
	for len(l.noise) < libraryBytes {
		l.noise = binary.LittleEndian.AppendUint64(l.noise, rng.Uint64())
	}
	return l
}

// body appends a body to dst: small ones are as frequent as large ones, by orders of
// magnitude.
func (l *library) body(dst []byte, rng *rand.Rand, text bool) []byte {
	n := int(math.Exp(rng.Float64()*math.Log(usualBody))) - 1
	if rng.IntN(largeRarity) == 0 {
		n = usualBody + rng.IntN(largeBody-usualBody)
	}
	at := rng.IntN(libraryBytes - largeBody - utf8.UTFMax)
	if !text {
		return append(dst, l.noise[at:at+n]...)
	}
	end := at + n
	for !utf8.RuneStart(l.text[at]) {
		at++
	}
	for end = max(at, end); !utf8.RuneStart(l.text[end]); {
		end++
	}
	return append(dst, l.text[at:end]...)
}

// newRand returns a source of chance that goes by two seeds.
func newRand(seed, stream uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, stream)) }
