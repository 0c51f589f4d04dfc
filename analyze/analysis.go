package analyze

import (
	"fmt"
	"time"
)

// Verdict is the decision about a release. Its zero value is the safe one.
type Verdict int8

const (
	Inconclusive Verdict = iota
	Promote
	Reject
	Verified // of a run that asks who answers, and compares nothing: one version alone, and within its bounds
	Refuted  // or not
)

func (v Verdict) String() string {
	return [...]string{"INCONCLUSIVE", "PROMOTE", "REJECT", "VERIFIED", "REFUTED"}[v]
}

// MarshalText writes PROMOTE, REJECT, VERIFIED, REFUTED or INCONCLUSIVE.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (v *Verdict) UnmarshalText(text []byte) error {
	for _, known := range []Verdict{Inconclusive, Promote, Reject, Verified, Refuted} {
		if known.String() == string(text) {
			*v = known
			return nil
		}
	}
	return fmt.Errorf("unknown verdict %q", text)
}

// Outcome is what one check or phase says.
type Outcome int8

const (
	Undecided Outcome = iota
	Pass
	Fail
)

func (o Outcome) String() string { return [...]string{"undecided", "pass", "fail"}[o] }

// MarshalText writes pass, fail or undecided.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (o *Outcome) UnmarshalText(text []byte) error {
	for _, known := range []Outcome{Undecided, Pass, Fail} {
		if known.String() == string(text) {
			*o = known
			return nil
		}
	}
	return fmt.Errorf("unknown outcome %q", text)
}

// The units of a check's numbers.
const (
	UnitShare  = "share"  // 0 to 1
	UnitPoints = "points" // difference of two shares, in percentage points
	UnitRatio  = "ratio"  // increase: 0.1 is 10 % more
	UnitTime   = "ns"
	UnitCount  = "answers"
)

// Interval holds numbers of the check's unit; an end that nothing bounds is nil.
type Interval struct {
	Low  *float64 `json:"low,omitempty"`
	High *float64 `json:"high,omitempty"`
}

// Check is one question put to the evidence, and the answer.
type Check struct {
	Name     string   `json:"name"`
	Target   string   `json:"target,omitempty"` // of several: asked of it alone
	Outcome  Outcome  `json:"outcome"`
	Unit     string   `json:"unit"`
	Estimate *float64 `json:"estimate,omitempty"`
	Proven   Interval `json:"proven"`            // what the evidence leaves possible, each end wrong with probability alpha at most
	Limit    Interval `json:"limit"`             // what the policy allows
	K        uint64   `json:"k"`                 // what was counted
	N        uint64   `json:"n"`                 // of so many hits
	Evidence float64  `json:"evidence"`          // X to 1 for the outcome, or for a pass while undecided
	Needed   float64  `json:"needed"`            // so many to 1
	Guard    bool     `json:"guard,omitempty"`   // its failure makes the verdict inconclusive, not a reject
	Watches  bool     `json:"watches,omitempty"` // has no PASS side: PROMOTE does not wait for it, and its evidence is for a fail
	Sentence string   `json:"sentence"`
}

// Arm is what one group of answers was like.
type Arm struct {
	Name       string            `json:"name"` // a version, or unattributed
	Role       string            `json:"role"` // baseline, canary, foreign or unattributed
	Hits       uint64            `json:"hits"`
	Share      float64           `json:"share"`      // of all answers, 0 to 1
	ShareLow   float64           `json:"share_low"`  // anytime-valid 1 - alpha confidence sequence
	ShareHigh  float64           `json:"share_high"` //
	Configured *float64          `json:"configured,omitempty"`
	Errors     uint64            `json:"errors"`
	Classes    map[string]uint64 `json:"classes,omitempty"`
	Causes     map[string]uint64 `json:"causes,omitempty"` // unattributed only
	P50        time.Duration     `json:"p50_ns"`           // response times of successes
	P95        time.Duration     `json:"p95_ns"`
	P99        time.Duration     `json:"p99_ns"`
	ServiceP50 time.Duration     `json:"service_p50_ns"`
	First      time.Duration     `json:"first_ns"` // first answer since the run began
	Last       time.Duration     `json:"last_ns"`
}

// TargetReport is what one of several targets was like.
type TargetReport struct {
	Name    string `json:"name"`
	Due     uint64 `json:"due"`
	Hits    uint64 `json:"hits"`
	Pending uint64 `json:"pending"`
	Arms    []Arm  `json:"arms"` // shares are of the target's answers
}

// Lateness says how late requests were sent.
type Lateness struct {
	WakeP50    time.Duration `json:"wake_p50"` // a connection was free: the generator's doing
	WakeP99    time.Duration `json:"wake_p99"`
	Blocked    uint64        `json:"blocked_hits"` // hits that waited for a connection: the target's doing
	BlockedP99 time.Duration `json:"blocked_p99"`
}

// Phase is what one stretch of traffic showed.
type Phase struct {
	Name     string         `json:"name"`
	Stage    string         `json:"stage,omitempty"`
	Expect   string         `json:"expect,omitempty"` // the only version that must answer
	Outcome  Outcome        `json:"outcome"`
	Start    time.Duration  `json:"start_ns"`
	Length   time.Duration  `json:"length_ns"`
	Due      uint64         `json:"due"`
	Sent     uint64         `json:"sent"`
	Hits     uint64         `json:"hits"`
	Pending  uint64         `json:"pending"`
	Resent   uint64         `json:"resent,omitempty"` // hits sent a second time: their kept connection was found closed
	Arms     []Arm          `json:"arms"`
	Targets  []TargetReport `json:"targets,omitempty"` // of a load on several
	Lateness Lateness       `json:"lateness_ns"`
	Sentence string         `json:"sentence,omitempty"`
}

// Propagation says when the canary came. Times are since the run began; nil: never.
type Propagation struct {
	Changed     *time.Duration `json:"changed_ns,omitempty"`      // the first change was asked for
	Deployed    *time.Duration `json:"deployed_ns,omitempty"`     // the canary had its deployment
	FirstCanary *time.Duration `json:"first_canary_ns,omitempty"` // first answer of the canary
	Armed       *time.Duration `json:"armed_ns,omitempty"`        // the split had settled by then
	Unsettled   bool           `json:"unsettled,omitempty"`       // until settle the split was seen, and never near its share
	Judged      *time.Duration `json:"judged_ns,omitempty"`       // nothing before is counted by most checks
	Excluded    uint64         `json:"excluded"`                  // answers before that
	Acted       *time.Duration `json:"acted_ns,omitempty"`        // promote or rollback was done
	Straggler   *time.Duration `json:"straggler_ns,omitempty"`    // last answer of the version that should be gone
}

// Conclusion is the verdict with its reasons.
type Conclusion struct {
	Verdict  Verdict       `json:"verdict"`
	At       time.Duration `json:"at_ns"`
	Requests uint64        `json:"requests"`          // answers in all phases up to it
	Void     []string      `json:"void,omitempty"`    // why the measurement, or its surroundings, cannot be judged
	Culprit  string        `json:"culprit,omitempty"` // the check that failed, or the weakest one that passed
	Sentence string        `json:"sentence"`
}

// Analysis is everything a report shows. It is a pure function of a run's records.
type Analysis struct {
	Header      Header      `json:"run"`
	Conclusion  Conclusion  `json:"conclusion"`
	Checks      []Check     `json:"checks"`
	Phases      []Phase     `json:"phases"`
	Propagation Propagation `json:"propagation"`
	Action      string      `json:"action"` // promoted, rolled back, held, none
	After       Outcome     `json:"after"`  // what traffic said after the action
	Notes       []string    `json:"notes,omitempty"`
	Events      []Event     `json:"events"`
	End         End         `json:"end"`
	Timeline    *Timeline   `json:"-"` // for charts, nil where none was kept; the run file holds what it is made of
}

// Requests are those of the whole run, what followed the verdict included: all that came to an end.
func (a Analysis) Requests() (n uint64) {
	for _, p := range a.Phases {
		n += p.Hits
	}
	return n
}
