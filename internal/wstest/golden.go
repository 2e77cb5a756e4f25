// Package wstest helps the tests of this module: bytes from the specifications,
// pairs of connections, and a scripted peer with a frame codec of its own. It
// does not import the package it tests, so that every test may use it.
package wstest

import (
	"encoding/hex"
	"strings"
)

// The opening handshake of RFC 6455, section 1.3.
const (
	Key    = "dGhlIHNhbXBsZSBub25jZQ=="
	Accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

// The frames of RFC 6455, section 5.7.
var (
	HelloUnmasked = Hex("81 05  48 65 6c 6c 6f")              // a single-frame unmasked text message: "Hello"
	HelloMasked   = Hex("81 85  37 fa 21 3d  7f 9f 4d 51 58") // a single-frame masked text message: "Hello"
	HelFragment   = Hex("01 03  48 65 6c")                    // a fragmented unmasked text message: "Hel"
	LoFragment    = Hex("80 02  6c 6f")                       // and "lo"
	PingUnmasked  = Hex("89 05  48 65 6c 6c 6f")              // unmasked Ping request: "Hello"
	PongMasked    = Hex("8a 85  37 fa 21 3d  7f 9f 4d 51 58") // masked Ping response: "Hello"
	Header256     = Hex("82 7e 01 00")                        // 256 bytes of binary data in a single unmasked frame
	Header64K     = Hex("82 7f 00 00 00 00 00 01 00 00")      // 64 KiB of binary data in a single unmasked frame
)

// Hex decodes hexadecimal digits in groups. It panics on anything else.
func Hex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}
