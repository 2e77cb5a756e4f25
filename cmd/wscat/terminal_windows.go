package main

import (
	"os"

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
