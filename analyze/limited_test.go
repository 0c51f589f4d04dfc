package analyze

import (
	"strings"
	"testing"
	"time"

	"coalmine/attack"
)

// A load that is too much for this machine is said to be, and is nobody else's doing; one that a slow target holds up,
// or that fills the processors and goes out in time, is not.
func TestGeneratorLimited(t *testing.T) {
	window := func(busy time.Duration, wake, blocked time.Duration) *attack.Window {
		w := &attack.Window{Length: attack.WindowLength, Due: 100, Sent: 100, Hits: 100, Busy: busy, Returned: 70}
		w.Wake.Add(wake)
		w.Wake.AddBin(0, 49)
		w.Blocked.AddBin(attack.BinOf(blocked), 50)
		return w
	}
	unsent := window(95*time.Millisecond, 0, 0)
	unsent.Due, unsent.Returned = 1000, 71
	for want, w := range map[string]*attack.Window{
		"generator-limited: this machine's processors were busy in 10 of 10 windows, and no more than 700 requests/s came back": window(95*time.Millisecond, 0, time.Second),
		"generator-limited: this machine's processors were busy in 10 of 10 windows, and no more than 710 requests/s came back": unsent,
		"":  window(40*time.Millisecond, 0, time.Second),
		" ": window(95*time.Millisecond, 0, time.Millisecond),
	} {
		var all totals
		for range 10 {
			all.add(w)
		}
		if got := all.generatorLimited(DefaultPolicy(false).Validity); got != strings.TrimSpace(want) {
			t.Errorf("%q, want %q", got, want)
		}
		if found := all.generator(DefaultPolicy(false).Validity); (len(found) > 0) != (strings.TrimSpace(want) != "") {
			t.Errorf("%v, want %q", found, want)
		}
	}
}
