package attack

import (
	"context"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// newSleep prepares exact sleeps that end with ctx, maybe early: whoever sleeps asks the clock. They are those of a
// timerfd that Go's poller waits for like for a connection, without a thread of its own: late by what the machine takes to wake up, which lead makes up for.
func newSleep(ctx context.Context) (sleep func(time.Duration), end func()) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return timerSleep(ctx)
	}
	file := os.NewFile(uintptr(fd), "timerfd")
	raw, err := file.SyscallConn()
	if err != nil || file.SetDeadline(time.Time{}) != nil { // the poller does not take it
		file.Close()
		return timerSleep(ctx)
	}
	unwatch := context.AfterFunc(ctx, func() { file.Close() })
	var (
		spec unix.ItimerSpec
		set  bool
	)
	// Set from within the poller's wait, the timer cannot go off unseen before it. Setting it again takes back that it
	// has gone off, so that nobody has to read how often.
	wait := func(fd uintptr) bool {
		if set {
			return true
		}
		set = true
		return unix.TimerfdSettime(int(fd), 0, &spec, nil) != nil
	}
	return func(d time.Duration) {
		spec.Value, set = unix.NsecToTimespec(max(1, d.Nanoseconds())), false // 0 would unset it
		raw.Read(wait)
	}, func() { unwatch(); file.Close() }
}
