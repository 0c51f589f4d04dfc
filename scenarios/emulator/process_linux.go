package emulator

import (
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// bound makes a process group of the program, and lets it die with us however we die.
func bound() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// await returns when the process has ended and before it is reaped: until then its id, which is its group's, is nobody else's.
func await(cmd *exec.Cmd) {
	for unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
}
