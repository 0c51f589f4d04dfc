//go:build !unix

package emulator

import (
	"os/exec"
	"syscall"
)

const canExec = false

func bound() *syscall.SysProcAttr { return nil }
func await(cmd *exec.Cmd)         { cmd.Wait() }
func killGroup(int)               {}
