//go:build !unix && !windows

package main

import "os"

// isTerminal says no where it can't tell: -i and -color tell it.
func isTerminal(f any) bool { return false }

// ignoreBrokenPipes has nothing to do: writing to a pipe that nobody reads is an error.
func ignoreBrokenPipes() {}

// signalNumber takes every signal for an interrupt, for want of numbers.
func signalNumber(os.Signal) int { return 2 }
