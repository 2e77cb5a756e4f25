//go:build !unix && !windows

package main

// isTerminal says no where it can't tell: -i and -color tell it.
func isTerminal(f any) bool { return false }
