//go:build unix

package main

import "syscall"

// fileLimit returns how many files this process may have open. Go has raised that to
// the hard limit already, which ulimit -n sets.
func fileLimit() (limit uint64, ok bool) {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 0, false
	}
	return uint64(l.Cur), true // signed on some systems
}
