//go:build unix && (!linux || race)

package attack

import "syscall"

// What these tell the race detector is what orders two ends of a connection in one process, so it needs them.

func writeSome(fd uintptr, b []byte) (int, error) { return syscall.Write(int(fd), b) }

func readSome(fd uintptr, b []byte) (int, error) { return syscall.Read(int(fd), b) }
