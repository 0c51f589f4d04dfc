//go:build unix && !linux

package attack

import "syscall"

func writeSome(fd uintptr, b []byte) (int, error) { return syscall.Write(int(fd), b) }

func readSome(fd uintptr, b []byte) (int, error) { return syscall.Read(int(fd), b) }
