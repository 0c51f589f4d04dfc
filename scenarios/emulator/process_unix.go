//go:build unix

package emulator

import "syscall"

const canExec = true

func killGroup(pid int) { syscall.Kill(-pid, syscall.SIGKILL) }
