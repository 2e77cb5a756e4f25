//go:build !unix && !js

package main

import "os/exec"

// ownGroup returns what ends cmd.
func ownGroup(cmd *exec.Cmd) (kill func()) {
	return func() { _ = cmd.Process.Kill() } // it may have ended
}
