package websockettest

import (
	"net"
	"sync/atomic"

	"github.com/duplexkit/websocket/internal/faults"
)

// defaultPipe is how many bytes a direction of a connection in memory holds: more than
// most tests leave unread.
const defaultPipe = 1 << 20

// Pipe returns the two ends of a network connection in memory. Unlike net.Pipe it has a
// buffer, as TCP has: in each direction size bytes wait to be read, and only then a write
// waits; 0 is 1 MiB. The ends have a CloseWrite method, deadlines, and addresses like those
// of TCP, which no two connections have in common. All that waits does so in ways that
// testing/synctest knows.
func Pipe(size int) (client, server net.Conn) {
	if size <= 0 {
		size = defaultPipe
	}
	n := pipes.Add(1)
	// Addresses for documentation (RFC 5737), and the ports of clients (RFC 6335).
	of := &net.TCPAddr{IP: net.IPv4(192, 0, 2, byte(2+n>>14%250)), Port: 49152 + int(n%(1<<14))}
	a, b := faults.PipeOf(size, of, serverAddr)
	return a, b
}

var (
	pipes      atomic.Uint32
	serverAddr = &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 80}
)

// reset closes a connection so that the other end sees a reset, as far as the kind of
// connection can.
func reset(nc net.Conn) error {
	switch nc := nc.(type) {
	case interface{ Reset() error }:
		return nc.Reset()
	case interface{ SetLinger(sec int) error }:
		_ = nc.SetLinger(0) // fails if it is closed
	}
	return nc.Close()
}
