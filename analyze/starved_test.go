package analyze

import (
	"testing"
	"time"

	"coalmine/analyze/capacity"
	"coalmine/attack"
)

// Who waits for a connection of ours says nothing of the target, unless it is the target that keeps them busy.
func TestTrialStarved(t *testing.T) {
	const second = time.Second
	full := capacity.Trial{Rate: 200, Shortest: 4 * second, Longest: 20 * second, Risk: 0.01, Purpose: capacity.Confirm}
	for _, c := range []struct {
		name              string
		objective         string
		response, service time.Duration
		usual             time.Duration // 0: there was no trial at a lower rate
		sent              uint64        // of 20 that are due in a window
		blocked           bool
		want              capacity.Outcome
		starved           bool
	}{
		{"few connections", "p99 <= 600ms", 2 * second, 300 * time.Millisecond, 300 * time.Millisecond, 20, true, capacity.Invalid, true},
		{"few connections, half sent", "errors <= 1%", 300 * time.Millisecond, 300 * time.Millisecond, 300 * time.Millisecond, 10, true, capacity.Invalid, true},
		{"a slow target", "p99 <= 600ms", 2 * second, second, 300 * time.Millisecond, 20, true, capacity.Fail, false},
		{"connections were free", "p99 <= 600ms", 2 * second, 300 * time.Millisecond, 300 * time.Millisecond, 20, false, capacity.Fail, false},
		{"in time all the same", "p99 <= 600ms", 400 * time.Millisecond, 300 * time.Millisecond, 300 * time.Millisecond, 20, true, capacity.Pass, false},
		{"a backlog at last", "p99 <= 600ms", 2 * second, 300 * time.Millisecond, 300 * time.Millisecond, 20, true, capacity.Invalid, true},
		{"a target that slows down", "p99 <= 600ms", 2 * second, 300 * time.Millisecond, 100 * time.Millisecond, 20, true, capacity.Fail, false},
		{"nothing to compare with", "p99 <= 600ms", 2 * second, 300 * time.Millisecond, 0, 20, true, capacity.Invalid, true},
	} {
		r := DefaultRating()
		r.Objectives, r.WarmUp, r.Validity.WakeLate = objectives(t, c.objective), 0, Duration(time.Minute)
		earlier := []TrialReport{{Done: capacity.Done{Trial: capacity.Trial{Rate: 100}, Outcome: capacity.Pass}, Arms: []TrialArm{{Name: ArmStage, P50: c.usual}}}}
		trial, err := NewTrial(r, full, earlier)
		if err != nil {
			t.Fatal(err)
		}
		for i := int64(0); !trial.Settled(); i++ {
			response, blocked := c.response, c.blocked
			if c.name == "a backlog at last" && i < 20 {
				response, blocked = c.service, false
			}
			tally := &attack.Tally{Hits: c.sent}
			tally.Response.AddBin(attack.BinOf(response), c.sent)
			tally.Service.AddBin(attack.BinOf(c.service), c.sent)
			w := attack.Window{Index: i, Start: time.Duration(i) * attack.WindowLength, Length: attack.WindowLength, Due: 20, Sent: c.sent, Hits: c.sent, Pending: 20 - c.sent}
			w.Arms = map[string]*attack.Tally{"1": tally}
			late := &w.Wake
			if blocked {
				late = &w.Blocked
			}
			late.AddBin(attack.BinOf(response-c.service), c.sent)
			trial.Add(w)
		}
		if got := trial.Report(0); got.Outcome != c.want || got.Starved != c.starved {
			t.Errorf("%s: %s, starved %v (%s), want %s, %v", c.name, got.Outcome, got.Starved, got.Sentence, c.want, c.starved)
		}
	}
}
