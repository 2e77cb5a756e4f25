//go:build unix

package websocket

import (
	"errors"
	"net"
	"os"
	"syscall"
)

// writeNonblocking writes what nc takes without making the caller wait, and
// returns how much that was: 0 for a connection that is not a plain socket.
// Only the net package's own types will do. A type that wraps one of them may
// do things in Write that must not be passed by.
func writeNonblocking(nc net.Conn, b []byte) (n int, err error) {
	var rc syscall.RawConn
	switch nc := nc.(type) {
	case *net.TCPConn:
		rc, err = nc.SyscallConn()
	case *net.UnixConn:
		rc, err = nc.SyscallConn()
	default:
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	var errno error
	err = rc.Write(func(fd uintptr) (done bool) {
		n, errno = syscall.Write(int(fd), b)
		return true
	})
	switch {
	case err != nil:
		return 0, err
	case errors.Is(errno, syscall.EAGAIN) || errors.Is(errno, syscall.EINTR):
		return 0, nil
	case errno != nil:
		return 0, &net.OpError{
			Op: "write", Net: nc.LocalAddr().Network(), Source: nc.LocalAddr(), Addr: nc.RemoteAddr(),
			Err: os.NewSyscallError("write", errno),
		}
	}
	return n, nil
}
