//go:build !linux

package sock

// Waiting returns 0: this system does not tell.
func Waiting(uintptr) int { return 0 }
