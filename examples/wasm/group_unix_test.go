//go:build unix

package main

import (
	"os/exec"
	"syscall"
)

// ownGroup has cmd run in a process group of its own, which kill ends.
func ownGroup(cmd *exec.Cmd) (kill func()) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // it may have ended
}
