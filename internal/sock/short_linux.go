//go:build !race && (amd64 || arm64 || riscv64 || loong64)

package sock

import (
	"os"
	"syscall"
	"unsafe"
)

// The calls here do not tell the scheduler, so they must not block, whatever mode
// the socket is in: net's File has a program turn it to blocking unawares.
const (
	receiving = syscall.MSG_DONTWAIT
	sending   = syscall.MSG_DONTWAIT | syscall.MSG_NOSIGNAL
)

// Read reads into p, which is not empty. 0 bytes without an error is the end of
// the stream.
func Read(fd uintptr, p []byte) (n int, err error) {
	return call("read", syscall.SYS_RECVFROM, fd, p, receiving)
}

// Write writes what there is room for of p, which is not empty.
func Write(fd uintptr, p []byte) (n int, err error) {
	return call("write", syscall.SYS_SENDTO, fd, p, sending)
}

func call(name string, trap, fd uintptr, p []byte, flags uintptr) (n int, err error) {
	p = p[:min(len(p), MaxSize)]
	for {
		r, _, errno := syscall.RawSyscall6(trap, fd, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), flags, 0, 0)
		switch errno {
		case 0:
			return int(r), nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, ErrAgain
		default:
			return 0, os.NewSyscallError(name, errno)
		}
	}
}
