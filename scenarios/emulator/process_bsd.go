//go:build unix && !linux

package emulator

import (
	"os/exec"
	"syscall"
)

// bound makes a process group of the program. If we are killed, the Runtime API is gone with us, and a runtime ends without it.
func bound() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// await returns when the process has ended.
func await(cmd *exec.Cmd) { cmd.Wait() }
