// Package capacity is the search for the highest rate at which objectives hold: outcomes in, next trial out. It sends
// nothing, reads no clock and knows no objectives.
//
// The frame is MLRsearch (draft-ietf-bmwg-mlrsearch): short trials choose where to look, long ones decide, and a rate is classified by
// all its trials together with an exceed ratio. Three things differ. A trial ends as soon as an anytime-valid test has decided it at
// the trial's risk, so that a duration is a range. It may end undecided: then the truth is near, and the bounds are sought
// further from that rate in place of guessing at it. And where to look, which bound to ask again and when both are sure follow from
// a belief of where the capacity is, in which any trial may have been disturbed.
package capacity

import (
	"fmt"
	"time"
)

// Outcome is what became of a trial.
type Outcome int8

const (
	Undecided Outcome = iota // at its longest duration, or where the rest of it could not decide it
	Pass                     // every objective held
	Fail                     // one was broken
	Limited                  // the target refused some for their number (429): a quota, not capacity
	Invalid                  // the generator was late or short: it says nothing of the target
)

var outcomes = [...]string{"undecided", "pass", "fail", "limited", "invalid"}

func (o Outcome) String() string { return outcomes[o] }

// MarshalText writes pass, fail, limited, invalid or undecided.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (o *Outcome) UnmarshalText(text []byte) error {
	return known(text, outcomes[:], (*int8)(o), "outcome")
}

func known(text []byte, names []string, into *int8, what string) error {
	for i, name := range names {
		if name == string(text) {
			*into = int8(i)
			return nil
		}
	}
	return fmt.Errorf("unknown %s %q", what, text)
}

// Purpose is why a trial is run.
type Purpose string

const (
	Bracket Purpose = "bracket" // short, upwards until one fails
	Bisect  Purpose = "bisect"  // longer the narrower the interval
	Confirm Purpose = "confirm" // whether a bound holds: at full length and at the risk that was asked for
	Soak    Purpose = "soak"    // below the lower bound, for long
)

// Trial is one load at one rate.
type Trial struct {
	Rate     float64       `json:"rate_per_s"`
	Shortest time.Duration `json:"shortest_ns"` // of what is judged: no pass before it, because a queue takes its time to fill
	Longest  time.Duration `json:"longest_ns"`  // then undecided
	Risk     float64       `json:"risk"`        // of a wrong pass, and of a wrong fail, 0 to 1
	Purpose  Purpose       `json:"purpose"`
}

// Done is a trial and what came of it.
type Done struct {
	Trial
	Outcome Outcome       `json:"outcome"`
	Leaning Outcome       `json:"leaning,omitzero"`       // of an undecided one: Pass or Fail, by its estimates
	Good    float64       `json:"good_per_s"`             // successes per second
	Allowed float64       `json:"allowed_per_s,omitzero"` // of a limited one: answers per second that the quota let through, once it refused some
	Burst   float64       `json:"burst,omitzero"`         // of a limited one: requests beyond these, until it refused the first
	Starved bool          `json:"starved,omitzero"`       // of an invalid one: the generator had too few connections, and will have
	At      time.Duration `json:"at_ns"`                  // its end, since the search began
}

// Held reports that the objectives held, or seemed to in a trial that was not decided.
func (d *Done) Held() bool { return d.Outcome == Pass || d.Outcome == Undecided && d.Leaning == Pass }

// Full reports that a trial took as long as it takes to be sure.
func (d *Trial) Full() bool { return d.Purpose == Confirm || d.Purpose == Soak }

// Plan says what is searched and how. Zero fields mean what their comments say; only Highest has no default.
type Plan struct {
	Lowest  float64       `json:"lowest_per_s"`           // 0: a hundredth of Highest
	Highest float64       `json:"highest_per_s"`          // no rate above it is tried
	Width   float64       `json:"width"`                  // of the interval, share of its lower end; 0: 0.05
	Carries float64       `json:"carries_per_s,omitzero"` // rates that the generator is known to carry: an invalid trial there is a disturbance of this machine
	Ramp    float64       `json:"ramp"`                   // no trial is at more than so many times a rate that held or seemed to; 0: 2
	Short   time.Duration `json:"short_ns"`               // bracket trials; 0: 2 s
	Full    time.Duration `json:"full_ns"`                // trials that confirm, at least; 0: 10 s
	Longest time.Duration `json:"longest_ns"`             // the same, at most; 0: four times Full
	Hits    uint64        `json:"hits"`                   // that a trial needs to pass if all goes well: where the rate is low it may take longer, up to three times as many
	Soak    time.Duration `json:"soak_ns"`                // 0: twice Full; negative: none
	SoakAt  float64       `json:"soak_at"`                // share of the lower bound; 0: 0.85
	Budget  time.Duration `json:"budget_ns"`              // of everything; 0: no limit
	Risk    float64       `json:"risk"`                   // of each deciding trial; 0: 0.01. Trials that only choose where to look take 0.05
	Exceed  float64       `json:"exceed"`                 // share of a rate's trials that may fail while it counts as held; 0: 0.5
	Votes   int           `json:"votes"`                  // trials by which a bound must lead; 0: 2
}

// MostPerSecond is beyond any rate, and one divided by it below any.
const MostPerSecond = 1e9

// Complete fills in what is zero.
func (p Plan) Complete() Plan {
	or := func(x *float64, d float64) {
		if *x == 0 {
			*x = d
		}
	}
	orTime := func(x *time.Duration, d time.Duration) {
		if *x == 0 {
			*x = d
		}
	}
	or(&p.Lowest, p.Highest/100)
	or(&p.Width, 0.05)
	or(&p.Ramp, 2)
	or(&p.SoakAt, 0.85)
	or(&p.Risk, 0.01)
	or(&p.Exceed, 0.5)
	orTime(&p.Short, 2*time.Second)
	orTime(&p.Full, 10*time.Second)
	orTime(&p.Longest, 4*p.Full)
	orTime(&p.Soak, 2*p.Full)
	if p.Votes == 0 {
		p.Votes = 2
	}
	return p
}

// Validate names the first field of a complete plan that makes no sense, and what would.
func (p Plan) Validate() error {
	switch {
	case !(p.Highest > 0 && p.Highest <= MostPerSecond):
		return fmt.Errorf("highest rate: want more than 0 and at most %v per second, got %v", MostPerSecond, p.Highest)
	case !(p.Lowest >= 1/MostPerSecond && p.Lowest <= p.Highest):
		return fmt.Errorf("lowest rate: want more than 0 and at most the highest, %v per second, got %v", p.Highest, p.Lowest)
	case !(p.Width >= 0.005 && p.Width <= 1):
		return fmt.Errorf("goal width: want 0.5%% to 100%%, got %v%%", p.Width*100)
	case !(p.Ramp >= 1.05 && p.Ramp <= 10):
		return fmt.Errorf("ramp: want 1.05 to 10 times from one rate that holds to the next, got %v", p.Ramp)
	case p.Short <= 0 || p.Full < p.Short || p.Longest < p.Full:
		return fmt.Errorf("trials: want short, full and longest in that order and more than 0, got %v, %v, %v", p.Short, p.Full, p.Longest)
	case !(p.SoakAt > 0 && p.SoakAt <= 1):
		return fmt.Errorf("soak: want more than 0 and at most 100%% of the lower bound, got %v%%", p.SoakAt*100)
	case p.Budget < 0:
		return fmt.Errorf("budget: want 0 (no limit) or more, got %v", p.Budget)
	case !(p.Risk > 0 && p.Risk < 0.5):
		return fmt.Errorf("risk: want more than 0 and less than 0.5, got %v", p.Risk)
	case !(p.Exceed > 0 && p.Exceed < 1):
		return fmt.Errorf("exceed ratio: want more than 0 and less than 1, got %v", p.Exceed)
	case p.Votes < 1:
		return fmt.Errorf("votes: want 1 or more, got %d", p.Votes)
	}
	return nil
}
