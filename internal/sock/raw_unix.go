//go:build unix

package sock

import (
	"net"
	"syscall"
)

// Raw returns the way to nc's file descriptor, or nil if nc is not a plain
// socket. Only the net package's own types will do. A type that wraps one of
// them may do things in Read or Write that must not be passed by.
func Raw(nc net.Conn) syscall.RawConn {
	var rc syscall.RawConn
	var err error
	switch nc := nc.(type) {
	case *net.TCPConn:
		rc, err = nc.SyscallConn()
	case *net.UnixConn:
		if addr := nc.LocalAddr(); addr == nil || addr.Network() != "unix" {
			return nil // no stream
		}
		rc, err = nc.SyscallConn()
	default:
		return nil
	}
	if err != nil {
		return nil
	}
	return rc
}
