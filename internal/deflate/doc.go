// Package deflate compresses and expands the messages of permessage-deflate
// (RFC 7692): DEFLATE (RFC 1951) without the four octets 00 00 ff ff at a
// message's end.
//
// It is made for many connections with small messages. What a connection keeps
// between two messages is its history and nothing else: for a Deflater twice the
// window and a small hash table, for an Inflater the window at most, and nothing
// at all before the first message. The rest, code tables and scratch, is borrowed
// while a message is under way.
//
// Terminology: the window is how far back a match may reach, 1<<bits bytes, from
// MinBits to MaxBits; the history is the end of what was sent or received, as far
// as the window reaches; a connection has context takeover if its history
// outlives a message.
package deflate

const (
	MinBits = 8  // the smallest window is 256 bytes
	MaxBits = 15 // the largest window is 32 KiB
)

// BlockSize is how many bytes of a message one block holds at most.
const BlockSize = 32 << 10
