package attack

import (
	"context"
	"testing"
	"time"
)

// A sleep is not shorter than asked for, again and again, and ends with its context.
func TestSleep(t *testing.T) {
	for name, make := range map[string]func(context.Context) (func(time.Duration), func()){"exact": newSleep, "by timer": timerSleep} {
		ctx, cancel := context.WithCancel(t.Context())
		sleep, end := make(ctx)
		sleep(0)
		for i := range 20 {
			d := time.Duration(i) * 100 * time.Microsecond
			begun := time.Now()
			for time.Since(begun) < d { // it may end early, but then it goes on
				sleep(d - time.Since(begun))
			}
		}
		if ctx.Err() != nil {
			t.Errorf("%s: ended before its time", name)
		}
		time.AfterFunc(20*time.Millisecond, cancel)
		sleep(time.Hour)
		sleep(time.Hour)
		end()
	}
}
