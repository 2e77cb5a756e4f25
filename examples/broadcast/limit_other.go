//go:build !unix

package main

// fileLimit returns how many files this process may have open, where that is known.
func fileLimit() (limit uint64, ok bool) { return 0, false }
