package analyze

import (
	"slices"
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

// Left out are the windows in which this machine stood still, the one before and the one after, and their late answers with
// them; what was sent so late that its own window was judged by then stays late.
func TestStandstillsNeighbours(t *testing.T) {
	v := DefaultPolicy(false).Validity
	all := totals{standstills: newStandstills(v)}
	all.standstills.beside(&attack.Window{Index: -1, Due: 100, Wake: attack.Histogram{{Bin: attack.BinOf(time.Second), Count: 11}}})
	for i := range int64(12) {
		answers := attack.Answers{Arms: map[string]*attack.Tally{"1": {Hits: 90, Errors: map[attack.Class]uint64{attack.Timeout: 1}, Response: attack.Histogram{{Bin: int(i), Count: 89}}}}}
		w := &attack.Window{Index: i, Length: attack.WindowLength, Due: 100, Sent: 100, Hits: 90, Pending: 10, Answers: answers}
		late := map[int64]uint64{2: 10, 5: 11, 6: 100, 9: 130}[i] // of 2 too few; with that of 9 go 30 of windows that were judged
		w.Wake = attack.Histogram{{Bin: attack.BinOf(time.Second), Count: late}}
		w.Wake.AddBin(0, 100-min(late, 100))
		if i == 11 {
			w.Late = []attack.Late{{Index: 3, Answers: attack.Answers{Arms: map[string]*attack.Tally{"1": {Hits: 10, Response: attack.Histogram{{Bin: 30, Count: 10}}}}}},
				{Index: 6, Answers: attack.Answers{Arms: map[string]*attack.Tally{"1": {Hits: 10, Response: attack.Histogram{{Bin: 60, Count: 10}}}}}}}
		}
		all.add(w)
		for _, l := range w.Late {
			all.late(l)
		}
	}
	all.rest()
	var kept []int
	for _, b := range all.Arms["1"].Response {
		kept = append(kept, b.Bin)
	}
	if want := []int{1, 2, 3, 11, 30}; !slices.Equal(kept, want) {
		t.Errorf("response times of windows %v count, want %v", kept, want)
	}
	s, e := all.standstills, all.evidence("1", "2")
	if s.left != 800 || s.kept != 400 || s.sent != 430 || s.late != 40 {
		t.Errorf("%d requests left out, %d kept, %d of %d late; want 800, 400, 40 of 430", s.left, s.kept, s.late, s.sent)
	}
	if a := e.baseline; a.hits != 12*90+20 || a.errors != 12 || a.timed != 4*89+10 || a.timeouts != 4 || e.pending != 100 || e.waiting() != 30 {
		t.Errorf("%+v, %d pending, %d of them slow", a, e.pending, e.waiting())
	}
}
