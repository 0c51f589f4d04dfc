package analyze

import (
	"math"
	"time"

	"coalmine/analyze/capacity"
)

// Rating is a search for the highest rate at which objectives hold: what every trial of it is judged by.
type Rating struct {
	Objectives []Objective    `json:"objectives"`
	Arm        string         `json:"arm"`     // stage, baseline or canary: whose objectives they are
	Version    string         `json:"version"` // of that arm, as its answers spell it; "": the whole stage
	Target     Target         `json:"target"`
	Breaker    BreakerPolicy  `json:"breaker"`
	Validity   ValidityPolicy `json:"validity"`
	WarmUp     time.Duration  `json:"warm_up_ns"` // of each trial, not judged
	Search     capacity.Plan  `json:"search"`
	AtLeast    float64        `json:"at_least_per_s,omitzero"` // the rate that is asked for; 0: none
	Ceiling    float64        `json:"ceiling_per_s,omitzero"`  // what this machine can send, to a target that does nothing
}

// What Rating.Arm may be.
const (
	ArmStage    = "stage"
	ArmBaseline = "baseline"
	ArmCanary   = "canary"
)

// DefaultRating has a breaker that lets a trial at twice the capacity of a target that rejects what it cannot carry be
// judged, half of whose answers are errors then, and stops at what is worse.
func DefaultRating() Rating {
	r := Rating{Arm: ArmStage, Validity: DefaultPolicy(true).Validity, WarmUp: time.Second,
		Breaker: BreakerPolicy{Errors: 0.60, Throttled: 0.60, Over: Duration(2 * time.Second), MinHits: 100}}
	return r
}

// Hits is how many the objectives need, at best, until a trial can pass at a risk.
func (r Rating) Hits(risk float64) uint64 {
	n := 0.0
	for _, o := range r.Objectives {
		n = max(n, 1.2*math.Log(1/risk)/o.theta())
	}
	return uint64(math.Ceil(n))
}

// Longest is how long a trial of a complete plan may be that confirms a bound. At the least that is three times what an overload
// by half of the goal width takes until answers wait as long as the slowest latency bound; who has more time may use it.
func (r Rating) Longest(p capacity.Plan) time.Duration {
	fill := time.Duration(2 * float64(slowestMax(r.Objectives)) / p.Width)
	return max(4*p.Full, 3*fill, p.Budget/12).Round(time.Second)
}

// Patience is how long a window may wait for its answers.
func (r Rating) Patience() time.Duration { return max(time.Second, slowestMax(r.Objectives)) }
