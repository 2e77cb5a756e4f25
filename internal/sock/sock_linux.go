//go:build !race

package sock

import (
	"os"
	"syscall"
	"unsafe"
)

// Read reads into p, which is not empty. 0 bytes without an error is the end of
// the stream.
func Read(fd uintptr, p []byte) (n int, err error) { return call("read", syscall.SYS_READ, fd, p) }

// Write writes what there is room for of p, which is not empty.
func Write(fd uintptr, p []byte) (n int, err error) { return call("write", syscall.SYS_WRITE, fd, p) }

func call(name string, trap, fd uintptr, p []byte) (n int, err error) {
	for {
		r, _, errno := syscall.RawSyscall(trap, fd, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
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
