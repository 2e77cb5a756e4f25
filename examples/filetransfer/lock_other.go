//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd || windows)

package main

import "os"

// lock has nothing to lock with here: two who write to one file spoil it.
func lock(*os.File) error { return nil }
