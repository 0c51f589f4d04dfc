package analyze

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"coalmine/analyze/strict"
)

// Policy is what a canary has to prove, and at which risk of being wrong. Field comments give the default.
type Policy struct {
	Alpha        float64        `yaml:"alpha" json:"alpha"`               // 0.01: probability of a wrong promote, 0 to 1
	Beta         float64        `yaml:"beta" json:"beta"`                 // 0.05: probability of a wrong reject, 0 to 1
	Split        SplitPolicy    `yaml:"split" json:"split"`               //
	Errors       ErrorPolicy    `yaml:"errors" json:"errors"`             //
	Latency      LatencyPolicy  `yaml:"latency" json:"latency"`           //
	Unattributed string         `yaml:"unattributed" json:"unattributed"` // worst-case: hits without a version count against whom they hurt most; or independent of the version
	Robust       string         `yaml:"robust" json:"robust"`             // none; or blocks: errors and slow answers come in bursts
	Settle       Duration       `yaml:"settle" json:"settle"`             // 10s on loopback, 120s elsewhere: no split verdict before it
	WarmUp       int            `yaml:"warm-up" json:"warm-up"`           // 20: hits per arm since the first canary answer, not judged
	MinDuration  Duration       `yaml:"min-duration" json:"min-duration"` // 10s on loopback, 5m elsewhere: delays PROMOTE only
	MaxDuration  Duration       `yaml:"max-duration" json:"max-duration"` // 60s on loopback, 15m elsewhere: then Inconclusive
	Breaker      BreakerPolicy  `yaml:"breaker" json:"breaker"`           //
	Validity     ValidityPolicy `yaml:"validity" json:"validity"`         //
}

// What Unattributed and Robust may be.
const (
	WorstCase   = "worst-case"
	Independent = "independent"
	NotRobust   = "none"
	Blocks      = "blocks"
)

// SplitPolicy bounds the canary's share.
type SplitPolicy struct {
	Margin float64 `yaml:"margin" json:"margin"` // points either side; default min(3, 0.4 x the smaller share)
}

// ErrorPolicy bounds errors.
type ErrorPolicy struct {
	Max    Percentage `yaml:"max" json:"max"`       // 1%: of each arm's answers
	Margin float64    `yaml:"margin" json:"margin"` // 0.5: points by which the canary may exceed the baseline
}

// LatencyPolicy bounds response times. Where Max is nil, it is p99: 1.5 x what it was in the before phase, or 10ms more than
// that, whichever is larger, if there is one; where Margin is nil, it is p95: 10% or 1ms; empty means no check.
type LatencyPolicy struct {
	Max    map[Quantile]Duration `yaml:"max" json:"max,omitzero"`
	Margin map[Quantile]Slack    `yaml:"margin" json:"margin,omitzero"`
}

// BreakerPolicy says when the load stops at once.
type BreakerPolicy struct {
	Errors    Percentage `yaml:"errors" json:"errors"`       // 20% of the answers due in the last Over
	Throttled Percentage `yaml:"throttled" json:"throttled"` // 5%
	Over      Duration   `yaml:"over" json:"over"`           // 2s
	MinHits   int        `yaml:"min-hits" json:"min-hits"`   // 100 in that time, else it keeps out
}

// ValidityPolicy says what voids a measurement.
type ValidityPolicy struct {
	WakeLate     Duration   `yaml:"wake-late" json:"wake-late"`       // 10ms: a hit sent later than that by the generator's own doing is late
	WakeShare    Percentage `yaml:"wake-share" json:"wake-share"`     // 1% of the hits may be late
	Short        Percentage `yaml:"short" json:"short"`               // 5% of the due hits may be unsent
	Throttled    Percentage `yaml:"throttled" json:"throttled"`       // 0.5% may be 429
	Unrecognised Percentage `yaml:"unrecognised" json:"unrecognised"` // 1% of the successes may name no version; also the share of 401 and 403
	Clock        Duration   `yaml:"clock" json:"clock"`               // 1s: jump of the wall clock against the monotonic one
}

func (v ValidityPolicy) wakeLate() time.Duration { return time.Duration(v.WakeLate) }

// DefaultPolicy is the policy of a target on loopback or elsewhere. Its split margin and latency bounds are open:
// they depend on the configured share and on the before phase (see Complete).
func DefaultPolicy(loopback bool) Policy {
	p := Policy{
		Alpha: 0.01, Beta: 0.05,
		Unattributed: WorstCase, Robust: NotRobust,
		Errors:      ErrorPolicy{Max: 0.01, Margin: 0.5},
		Settle:      Duration(120 * time.Second),
		WarmUp:      20,
		MinDuration: Duration(5 * time.Minute),
		MaxDuration: Duration(15 * time.Minute),
		Breaker:     BreakerPolicy{Errors: 0.20, Throttled: 0.05, Over: Duration(2 * time.Second), MinHits: 100},
		Validity: ValidityPolicy{WakeLate: Duration(10 * time.Millisecond), WakeShare: 0.01, Short: 0.05, Throttled: 0.005,
			Unrecognised: 0.01, Clock: Duration(time.Second)},
	}
	if loopback {
		p.Settle, p.MinDuration, p.MaxDuration = Duration(10*time.Second), Duration(10*time.Second), Duration(60*time.Second)
	}
	return p
}

// ReadPolicy reads a policy file over p: what it does not name keeps its value.
func ReadPolicy(file string, data []byte, p Policy) (Policy, error) {
	err := strict.Decode(file, data, &p)
	return p, err
}

// Complete fills in what depends on the configured share (0 to 1).
func (p Policy) Complete(share float64) Policy {
	if p.Split.Margin == 0 {
		p.Split.Margin = min(3, 0.4*100*min(share, 1-share))
	}
	if p.Latency.Margin == nil {
		p.Latency.Margin = map[Quantile]Slack{0.95: {Ratio: 0.10, Add: time.Millisecond}}
	}
	return p
}

// Validate names the first field that makes no sense and what would; share is the configured one, 0 to 1.
func (p Policy) Validate(share float64) error {
	unit := func(name string, x float64) error {
		if !(x > 0 && x < 1) {
			return fmt.Errorf("policy: %s: want more than 0 and less than 1, got %v", name, x)
		}
		return nil
	}
	if err := unit("alpha", p.Alpha); err != nil {
		return err
	}
	if err := unit("beta", p.Beta); err != nil {
		return err
	}
	if err := p.validateSplit(share); err != nil {
		return err
	}
	return p.validateBounds()
}

// validateAlone is Validate where nothing is split and nothing compared.
func (p Policy) validateAlone() error {
	p = p.Complete(0.5)
	p.MinDuration = min(p.MinDuration, p.MaxDuration) // it delays a promote only
	return p.Validate(0.5)
}

func (p Policy) validateSplit(share float64) error {
	if !(share > 0 && share < 1) {
		return fmt.Errorf("percent: a split can be judged between 0 and 100 exclusive, got %s", trimZeros(share*100))
	}
	low, high := share*100-p.Split.Margin, share*100+p.Split.Margin
	switch {
	case !(p.Split.Margin > 0):
		return fmt.Errorf("policy: split.margin: want more than 0 points, got %v", p.Split.Margin)
	case !(low > 0 && high < 100):
		return fmt.Errorf("policy: split.margin: %v points around %s %% reach %s to %s %%; want a margin that stays between 0 and 100",
			p.Split.Margin, trimZeros(share*100), trimZeros(low), trimZeros(high))
	}
	return nil
}

func (p Policy) validateBounds() error {
	switch {
	case !(p.Errors.Max > 0 && p.Errors.Max < 1):
		return fmt.Errorf("policy: errors.max: want more than 0%% and less than 100%%, got %s", p.Errors.Max)
	case !(p.Errors.Margin > 0 && p.Errors.Margin <= 60): // as the test of a difference
		return fmt.Errorf("policy: errors.margin: want more than 0 and at most 60 points, got %v", p.Errors.Margin)
	case p.Unattributed != "" && p.Unattributed != WorstCase && p.Unattributed != Independent:
		return fmt.Errorf("policy: unattributed: want %s or %s, got %q", WorstCase, Independent, p.Unattributed)
	case p.Robust != "" && p.Robust != NotRobust && p.Robust != Blocks:
		return fmt.Errorf("policy: robust: want %s or %s, got %q", NotRobust, Blocks, p.Robust)
	case p.WarmUp < 0:
		return fmt.Errorf("policy: warm-up: want 0 or more hits, got %d", p.WarmUp)
	case p.MaxDuration <= 0:
		return fmt.Errorf("policy: max-duration: want more than 0, got %s", p.MaxDuration)
	case p.MinDuration > p.MaxDuration:
		return fmt.Errorf("policy: min-duration %s is longer than max-duration %s", p.MinDuration, p.MaxDuration)
	case p.Settle >= p.MaxDuration:
		return fmt.Errorf("policy: settle %s leaves nothing of max-duration %s to judge", p.Settle, p.MaxDuration)
	case p.MinDuration < 0:
		return fmt.Errorf("policy: min-duration: want 0 or more, got %s", p.MinDuration)
	case p.Settle < 0:
		return fmt.Errorf("policy: settle: want 0 or more, got %s", p.Settle)
	case p.Breaker.MinHits < 0:
		return fmt.Errorf("policy: breaker.min-hits: want 0 or more hits, got %d", p.Breaker.MinHits)
	case p.Breaker.Over <= 0:
		return fmt.Errorf("policy: breaker.over: want more than 0, got %s", p.Breaker.Over)
	}
	for _, q := range p.sortedMax() {
		if err := q.validate(); err != nil {
			return fmt.Errorf("policy: latency.max: %w", err)
		}
		if p.Latency.Max[q] <= 0 {
			return fmt.Errorf("policy: latency.max: %s: want more than 0, got %s", q, p.Latency.Max[q])
		}
	}
	for _, q := range p.sortedMargin() {
		if err := q.validate(); err != nil {
			return fmt.Errorf("policy: latency.margin: %w", err)
		}
		if err := p.Latency.Margin[q].validate(); err != nil {
			return fmt.Errorf("policy: latency.margin: %s: %w", q, err)
		}
	}
	for _, share := range []struct {
		name string
		of   Percentage
	}{
		{"breaker.errors", p.Breaker.Errors}, {"breaker.throttled", p.Breaker.Throttled}, {"validity.wake-share", p.Validity.WakeShare},
		{"validity.short", p.Validity.Short}, {"validity.throttled", p.Validity.Throttled}, {"validity.unrecognised", p.Validity.Unrecognised},
	} {
		if !(share.of >= 0 && share.of <= 1) {
			return fmt.Errorf("policy: %s: want 0%% to 100%%, got %s", share.name, share.of)
		}
	}
	return nil
}

func (p Policy) sortedMax() []Quantile    { return slices.Sorted(maps.Keys(p.Latency.Max)) }
func (p Policy) sortedMargin() []Quantile { return slices.Sorted(maps.Keys(p.Latency.Margin)) }

// MarginShare is the split margin as a share, 0 to 1.
func (p Policy) MarginShare() float64 { return p.Split.Margin / 100 }

// Budget is the number of hits a run at rate may spend until its deadline.
func (p Policy) Budget(rate float64) uint64 {
	return max(1, uint64(math.Ceil(rate*time.Duration(p.MaxDuration).Seconds())))
}
