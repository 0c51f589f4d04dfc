//go:build !linux

package attack

import (
	"context"
	"time"
)

// newSleep prepares sleeps that end with ctx. How late they are shows in the lateness of every window.
func newSleep(ctx context.Context) (sleep func(time.Duration), end func()) { return timerSleep(ctx) }
