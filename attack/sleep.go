package attack

import (
	"context"
	"time"
)

// timerSleep sleeps by Go's own timers: when a program is idle these are late by up to a millisecond, because its poller
// waits in whole ones.
func timerSleep(ctx context.Context) (sleep func(time.Duration), end func()) {
	timer := time.NewTimer(0)
	return func(d time.Duration) {
		timer.Reset(d)
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}, func() { timer.Stop() }
}
