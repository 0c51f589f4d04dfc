package analyze

import (
	"testing"
	"time"

	"coalmine/analyze/capacity"
)

// searched are trials of a search from 10/s to 40/s whose longest is 1s.
func searched(t *testing.T, end string, trials ...capacity.Done) Rated {
	t.Helper()
	r := DefaultRating()
	r.Objectives = objectives(t, "p99 <= 250ms")
	r.Search = capacity.Plan{Lowest: 10, Highest: 40, Short: time.Second, Full: time.Second, Longest: time.Second, Soak: -1}.Complete()
	var reports []TrialReport
	for _, d := range trials {
		if d.Longest == 0 {
			d.Longest = 5 * time.Second
		}
		reports = append(reports, TrialReport{Done: d, Took: d.Longest})
	}
	rated, err := Rate(Header{}, r, reports, nil, End{Reason: end})
	if err != nil {
		t.Fatal(err)
	}
	return rated
}

func tried(rate float64, p capacity.Purpose, o capacity.Outcome) capacity.Done {
	return capacity.Done{Trial: capacity.Trial{Rate: rate, Purpose: p}, Outcome: o, Leaning: capacity.Pass}
}

// A search claims what trials have proven, and says what would have proven more.
func TestSearchClaimsWhatIsProven(t *testing.T) {
	const single = "The one confirming trial was not decided: longer ones (--longest-trial) or looser objectives would help."
	const hasty = "one of 3 confirming trials was decided: longer ones (--longest-trial) or looser objectives would help."
	seems := tried(10, capacity.Bracket, capacity.Undecided)
	unsure := tried(10, capacity.Confirm, capacity.Undecided)
	higher := tried(20, capacity.Bracket, capacity.Pass)
	cut := tried(20, capacity.Confirm, capacity.Undecided)
	cut.Longest = time.Second / 2
	lame := tried(40, capacity.Confirm, capacity.Invalid)
	low := tried(10, capacity.Bracket, capacity.Invalid)
	quota := tried(40, capacity.Confirm, capacity.Limited)
	known := quota
	known.Allowed = 39.1
	for name, c := range map[string]struct {
		end    string
		trials []capacity.Done
		kind   capacity.Kind
		open   bool
		says   string
	}{
		"one that is undecided":     {"interrupted", []capacity.Done{seems}, capacity.Unfinished, true, "Unfinished, interrupted: the objectives seemed to hold at 10/s."},
		"and one that was cut":      {"interrupted", []capacity.Done{seems, cut}, capacity.Unfinished, true, "Unfinished, interrupted: the objectives seemed to hold at 10/s."},
		"all undecided, stopped":    {"interrupted", []capacity.Done{higher, unsure, unsure, unsure}, capacity.Unfinished, true, "Unfinished, interrupted: the objectives seemed to hold at 20/s. N" + hasty},
		"all undecided, to the end": {"verdict", []capacity.Done{seems, unsure, unsure, unsure}, capacity.Unsettled, true, "Undecided: the objectives seemed to hold at 10/s. N" + hasty},
		"one undecided, to the end": {"verdict", []capacity.Done{seems, unsure}, capacity.Unsettled, true,
			"Undecided: the objectives seemed to hold at 10/s. " + single},
		"this way and that": {"verdict", []capacity.Done{tried(10, capacity.Confirm, capacity.Fail), tried(10, capacity.Confirm, capacity.Pass), tried(10, capacity.Confirm, capacity.Fail), tried(10, capacity.Confirm, capacity.Pass)},
			capacity.Unsettled, true, "Undecided: trials of that length prove no rate that holds, the objectives seemed to hold at 10/s. Longer trials, or looser objectives, would."},
		"proven":                    {"verdict", []capacity.Done{tried(40, capacity.Confirm, capacity.Pass), tried(40, capacity.Confirm, capacity.Pass)}, capacity.AtLeast, false, "The capacity is at least 40/s: no objective failed up to the highest rate that was allowed."},
		"the generator's, unproven": {"verdict", []capacity.Done{higher, lame, lame, lame, unsure}, capacity.Generator, true, "The load generator cannot carry 40/s, and is the bottleneck; the objectives seemed to hold at 20/s. " + single},
		"a quota's, unproven":       {"verdict", []capacity.Done{higher, quota, quota, unsure}, capacity.Quota, true, "Quota-limited: the stage throttles at 40/s, and the objectives seemed to hold at 20/s. That is a quota, not capacity."},
		"a quota's, that is known": {"verdict", []capacity.Done{tried(38.1, capacity.Confirm, capacity.Pass), tried(38.1, capacity.Confirm, capacity.Pass), tried(38.1, capacity.Confirm, capacity.Pass), known, known, known}, capacity.Quota, false,
			"Quota-limited: the stage throttles at 40/s and lets 39.1/s through, and the objectives hold at 38.1/s. That is a quota, not capacity."},
		"failing above a lowest that is undecided": {"verdict", []capacity.Done{seems, tried(20, capacity.Confirm, capacity.Fail), tried(20, capacity.Confirm, capacity.Fail), unsure}, capacity.Unsettled, true,
			"Undecided: trials of that length prove no rate that holds, the objectives seemed to hold at 10/s and failed at 20/s. Longer trials, or looser objectives, would."},
		"failing at the lowest":                             {"verdict", []capacity.Done{tried(10, capacity.Confirm, capacity.Fail), tried(10, capacity.Confirm, capacity.Fail)}, capacity.TooLow, false, "The objectives fail at the lowest rate, 10/s, already: ."},
		"the generator's, above a lowest that is undecided": {"verdict", []capacity.Done{seems, lame, lame, lame, unsure}, capacity.Generator, true, "The load generator cannot carry 40/s, and is the bottleneck; the objectives seemed to hold at 10/s. " + single},
		"the generator's, at the lowest":                    {"verdict", []capacity.Done{low, low, low}, capacity.Generator, false, "The load generator cannot carry the lowest rate: ."},
		"a quota's, above a lowest that is undecided":       {"verdict", []capacity.Done{seems, quota, quota, unsure}, capacity.Quota, true, "Quota-limited: the stage throttles at 40/s, and the objectives seemed to hold at 10/s. That is a quota, not capacity."},
		"a quota's, proven": {"verdict", []capacity.Done{tried(38.1, capacity.Confirm, capacity.Pass), tried(38.1, capacity.Confirm, capacity.Pass), tried(38.1, capacity.Confirm, capacity.Pass), tried(38.1, capacity.Confirm, capacity.Pass), quota, quota, quota, quota}, capacity.Quota, false,
			"Quota-limited: the stage throttles at 40/s, and the objectives hold at 38.1/s. That is a quota, not capacity."},
	} {
		r := searched(t, c.end, c.trials...)
		if r.Result.Kind != c.kind || r.Sentence != c.says || r.Open() != c.open {
			t.Errorf("%s: %s, open %t, %q\nwant %s, %t, %q", name, r.Result.Kind, r.Open(), r.Sentence, c.kind, c.open, c.says)
		}
		if r.Result.Kind == capacity.Generator && !r.Void() {
			t.Errorf("%s: what the generator could not carry is no answer", name)
		}
	}
}
