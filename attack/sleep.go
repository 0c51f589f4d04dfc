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

// lead is how much sooner than it is needed a sleep is asked to end, because an idle machine takes its time to wake up: the
// lower quartile of the times it took so far. Who wakes too soon all the same waits for the clock, some microseconds.
type lead time.Duration

const (
	mostLead = lead(200 * time.Microsecond)
	leadStep = lead(time.Microsecond) // down where it was too much, up a third of it: which ends at the quartile
)

func (l *lead) sleep(d time.Duration, sleep func(time.Duration), now clock) {
	if d <= time.Duration(*l) { // so busy a processor does not fall asleep
		sleep(d)
		return
	}
	due := now() + d
	sleep(d - time.Duration(*l))
	woke := now()
	if woke >= due {
		*l = min(*l+leadStep/3, mostLead)
		return
	}
	*l = max(*l-leadStep, 0)
	for due-woke <= time.Duration(mostLead) && now() < due { // more is left where the sleep was ended
	}
}
