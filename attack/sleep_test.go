package attack

import (
	"context"
	"math/rand/v2"
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

// Where waking up takes 60 to 160 us, sleeps end in due time a quarter of the time, and never before.
func TestLeadIsTheLowerQuartile(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var at time.Duration
	now := func() time.Duration { at += 50; return at } // to look takes time, too
	wake := func(d time.Duration) {
		at += d + 60*time.Microsecond + time.Duration(rng.Int64N(int64(100*time.Microsecond)))
	}
	var l lead
	early, late := 0, 0
	for i := range 20_000 {
		due := at + 50 + time.Millisecond
		l.sleep(time.Millisecond, wake, now)
		if at < due {
			t.Fatalf("sleep %d ended %s before it was due", i, due-at)
		}
		if i < 1000 {
			continue
		}
		if at-due < time.Microsecond {
			early++
		} else {
			late++
		}
	}
	if early < 4500 || early > 5500 {
		t.Errorf("%d of %d in due time: want a quarter", early, early+late)
	}
	if got := time.Duration(l); got < 75*time.Microsecond || got > 95*time.Microsecond {
		t.Errorf("lead %s: want about 85us", got)
	}
	at, l = 0, mostLead
	if l.sleep(time.Hour, func(time.Duration) {}, now); at > time.Millisecond {
		t.Error("a sleep that was ended is waited for")
	}
}
