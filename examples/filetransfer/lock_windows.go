package main

import (
	"math"
	"os"

	"golang.org/x/sys/windows"
)

// lock locks f for as long as it is open, against everybody who asks for a lock as we do. It
// fails at once with errLocked if somebody else has it. Nobody else may read what is locked, and
// so that is a byte where no file reaches.
func lock(f *os.File) error {
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY,
		0, 1, 0, &windows.Overlapped{OffsetHigh: math.MaxInt32})
	if err == windows.ERROR_LOCK_VIOLATION {
		return errLocked
	}
	return os.NewSyscallError("LockFileEx", err)
}
