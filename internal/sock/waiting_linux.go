package sock

import "golang.org/x/sys/unix"

// Waiting returns how many bytes the system has received and nobody has read, 0 if
// it does not tell.
func Waiting(fd uintptr) int {
	n, err := unix.IoctlGetUint32(int(fd), unix.TIOCINQ)
	if err != nil {
		return 0
	}
	return int(n)
}
