//go:build unix

package attack

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
	"time"
)

// processorTime is what this process has used of all processors, and what it would have, had nobody else: a machine that
// is shared leaves its load generator waiting as one that is too small does. Only Linux tells what was waited for.
func processorTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	used := time.Duration(u.Utime.Nano() + u.Stime.Nano())
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return used
	}
	for _, thread := range threads {
		used += waitedFor("/proc/self/task/" + thread.Name() + "/schedstat")
	}
	return used
}

// waitedFor reads how long a thread could have run and did not; 0 where the kernel does not say.
func waitedFor(schedstat string) time.Duration {
	text, err := os.ReadFile(schedstat)
	fields := bytes.Fields(text)
	if err != nil || len(fields) != 3 {
		return 0
	}
	ns, _ := strconv.ParseInt(string(fields[1]), 10, 64)
	return time.Duration(ns)
}
