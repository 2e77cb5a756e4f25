//go:build !unix

package sock

import (
	"net"
	"syscall"
)

// Raw returns nil: this system has no such way.
func Raw(net.Conn) syscall.RawConn { return nil }

// Read is never called here.
func Read(uintptr, []byte) (n int, err error) { return 0, ErrAgain }

// Write is never called here.
func Write(uintptr, []byte) (n int, err error) { return 0, ErrAgain }
