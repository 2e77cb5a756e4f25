package websocket

import (
	"crypto/rand"
	"sync"

	"github.com/duplexkit/websocket/internal/xor"
)

// Mask applies the masking key to b in place, or takes it off again: it is its
// own inverse (RFC 6455, section 5.3). pos is the position in the key at which
// b begins, 0 at the start of a payload; the result is the position for the
// bytes that follow b.
func Mask(key [4]byte, pos int, b []byte) int { return xor.Mask(key, pos, b) }

// maskKeys holds random bytes for masking keys, fetched from the operating
// system 128 keys at a time.
type maskKeys struct {
	random [512]byte
	used   int
}

var maskKeyPool = sync.Pool{New: func() any {
	return &maskKeys{used: len(maskKeys{}.random)}
}}

// newMaskKey returns a fresh masking key. "[T]he masking key MUST be derived from a
// strong source of entropy, and the masking key for a given frame MUST NOT make it
// simple for a server/proxy to predict the masking key for a subsequent frame"
// (section 5.3).
func newMaskKey() (key [4]byte) {
	k := maskKeyPool.Get().(*maskKeys)
	if k.used == len(k.random) {
		_, _ = rand.Read(k.random[:]) // never fails: it ends the program first
		k.used = 0
	}
	copy(key[:], k.random[k.used:])
	clear(k.random[k.used : k.used+len(key)])
	k.used += len(key)
	maskKeyPool.Put(k)
	return key
}
