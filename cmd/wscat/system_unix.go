//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// isTerminal reports whether f, a standard stream, is a terminal. /dev/null is a
// character device too, but has no size.
func isTerminal(f any) bool {
	file, ok := f.(*os.File)
	if !ok {
		return false
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return false
	}
	sized := false
	err = raw.Control(func(fd uintptr) { // Fd would change how the file waits
		_, err := unix.IoctlGetWinsize(int(fd), unix.TIOCGWINSZ)
		sized = err == nil
	})
	return err == nil && sized
}

// ignoreBrokenPipes makes writing to a pipe that nobody reads an error, not the end.
func ignoreBrokenPipes() { signal.Ignore(syscall.SIGPIPE) }

func signalNumber(s os.Signal) int {
	number, _ := s.(syscall.Signal)
	return int(number)
}
