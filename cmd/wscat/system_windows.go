package main

import (
	"os"
	"syscall"

	"golang.org/x/sys/windows"
)

// isTerminal reports whether f, a standard stream, is a console.
func isTerminal(f any) bool {
	file, ok := f.(*os.File)
	if !ok {
		return false
	}
	var mode uint32
	return windows.GetConsoleMode(windows.Handle(file.Fd()), &mode) == nil
}

// ignoreBrokenPipes has nothing to do: writing to a pipe that nobody reads is an error.
func ignoreBrokenPipes() {}

func signalNumber(s os.Signal) int {
	number, _ := s.(syscall.Signal)
	return int(number)
}
