//go:build !unix

package websocket

import "net"

// writeNonblocking would write what nc takes without making the caller wait;
// this system has no such call, so it takes nothing.
func writeNonblocking(net.Conn, []byte) (n int, err error) { return 0, nil }
