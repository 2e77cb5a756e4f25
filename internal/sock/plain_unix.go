//go:build unix && !(linux && !race && (amd64 || arm64 || riscv64 || loong64))

package sock

import (
	"os"
	"syscall"
)

// Read reads into p, which is not empty. 0 bytes without an error is the end of
// the stream.
func Read(fd uintptr, p []byte) (n int, err error) { return call("read", syscall.Read, fd, p) }

// Write writes what there is room for of p, which is not empty.
func Write(fd uintptr, p []byte) (n int, err error) { return call("write", syscall.Write, fd, p) }

func call(name string, f func(fd int, p []byte) (int, error), fd uintptr, p []byte) (n int, err error) {
	for {
		n, err = f(int(fd), p)
		switch err {
		case nil:
			return n, nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, ErrAgain
		default:
			return 0, os.NewSyscallError(name, err)
		}
	}
}
