package analyze

import (
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"coalmine/attack"
)

// Service is how the service answers without a canary, assumed or learned. The canary is taken to be like it: that is when a gate
// should say PROMOTE.
type Service struct {
	Learned      uint64        `json:"learned_from_answers"` // 0: all of it is assumed
	Errors       float64       `json:"errors"`               // share of the answers that name a version, 0 to 1
	Unattributed float64       `json:"unattributed"`         // share of all requests that fail without naming a version, 0 to 1
	Median       time.Duration `json:"p50_ns"`               // of response times, which are taken to be lognormal,
	Sigma        float64       `json:"sigma"`                // of this sigma; around each quantile that was learned, of its own
	Mean         time.Duration `json:"mean_ns"`              // of an invocation
	Notes        []string      `json:"notes,omitempty"`

	response attack.Histogram // what was learned, nil if nothing
	timeouts uint64
}

// DefaultService is what is assumed of a service that nobody measured.
var DefaultService = Service{Errors: 0.001, Median: 50 * time.Millisecond, Sigma: 0.5}

// lognormal is a distribution of times in nanoseconds.
type lognormal struct{ mu, sigma float64 }

func (l lognormal) above(x float64) float64 {
	if x <= 0 {
		return 1
	}
	return 0.5 * math.Erfc((math.Log(x)-l.mu)/l.sigma/math.Sqrt2)
}

func (l lognormal) quantile(p float64) float64 { return math.Exp(l.mu + l.sigma*normal(p)) }

// normal is the quantile of the standard normal distribution.
func normal(p float64) float64 { return math.Sqrt2 * math.Erfinv(2*p-1) }

// around are the quantiles that half of rho and twice rho exceed: between them lies what a comparison at p looks at.
func around(p Quantile) (less, more float64) {
	rho := 1 - float64(p)
	return max(1-2*rho, float64(p)/2), 1 - rho/2
}

// tail is the service's latency around a quantile: the lognormal through what was learned on either side of it, if
// that is enough answers to go by.
func (s Service) tail(p Quantile) lognormal {
	n := float64(s.response.Total())
	less, more := around(p)
	if n*(1-more) < 5 {
		return lognormal{math.Log(float64(s.Median)), s.Sigma}
	}
	at := func(p float64) float64 { return math.Log(float64(s.response.Quantile(p))) }
	sigma := max((at(more)-at(less))/(normal(more)-normal(less)), 0.01) // one bin for all is no certainty
	return lognormal{at(float64(p)) - sigma*normal(float64(p)), sigma}
}

func (s Service) quantile(p Quantile) float64 { return s.tail(p).quantile(float64(p)) }

// slower is the share of answers above a time: as counted, where that was learned.
func (s Service) slower(p Quantile) func(x float64) float64 {
	if n := float64(s.response.Total() + s.timeouts); n*(1-float64(p)) >= 5 {
		return func(x float64) float64 {
			return (float64(atLeast(s.response, time.Duration(min(x, math.MaxInt64/2)))+s.timeouts) + 0.5) / (n + 1)
		}
	}
	return s.tail(p).above
}

// gap is the factor over which the share of slower answers hardly changes (.8 to 1.2 of rho), if that is so wide that
// the margin gets lost in it: identical versions then stay undecided (statistics.md 3 g). A smooth tail spans about the
// margin itself, hence its square. other is the nearest quantile without a gap, 0 if there is none.
func (s Service) gap(p Quantile, margin Slack) (other Quantile, factor float64) {
	span := func(p Quantile) (factor float64) {
		rho := 1 - float64(p)
		if float64(s.response.Total())*rho < 20 || 1.2*rho >= 1 {
			return 0
		}
		wide := float64(s.response.Quantile(1-0.8*rho)) / float64(s.response.Quantile(1-1.2*rho))
		allowed := 1 + max(margin.Ratio, float64(margin.Add)/s.quantile(p))
		if wide <= allowed*allowed {
			return 1
		}
		return wide
	}
	if factor = span(p); factor <= 1 {
		return 0, factor
	}
	best := math.Inf(1)
	for _, q := range []Quantile{0.5, 0.75, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995} {
		away := math.Abs(math.Log((1 - float64(q)) / (1 - float64(p))))
		if away > 0.5 && away < best && span(q) == 1 {
			other, best = q, away
		}
	}
	return other, factor
}

// LearnService takes from a run file what its phase before the canary showed, or the traffic of an attack: errors,
// errors without a version, and latencies.
func LearnService(r io.Reader) (Service, error) {
	var header Header
	var before, attacked totals
	err := Read(r, func(record Record) error {
		if record.Header != nil {
			header = *record.Header
		}
		if w := record.Window; w != nil {
			for phase, t := range map[string]*totals{Before: &before, Attack: &attacked} {
				if w.Phase == phase {
					t.add(w)
					for _, l := range w.Late {
						t.late(l)
					}
				}
			}
		}
		return nil
	})
	var s Service
	if errors.Is(err, ErrTruncated) {
		s.Notes, err = append(s.Notes, "The last line of the file is cut off and was left out."), nil
	}
	if err != nil {
		return s, err
	}
	seen := &before
	if before.hits == 0 {
		seen = &attacked
	}
	if seen.hits == 0 {
		return s, fmt.Errorf("no phase %q and no attack in it: nothing to learn from", Before)
	}
	var named, nameless attack.Tally
	for version, t := range seen.Arms {
		if seen == &before && header.Target.Baseline != "" && version != header.Target.Baseline {
			continue
		}
		named.Merge(t)
	}
	for _, t := range seen.Unattributed {
		nameless.Merge(t)
	}
	if len(seen.Arms) > 1 && seen == &attacked {
		s.Notes = append(s.Notes, sentence("The file holds answers of %d versions; they were taken together.", len(seen.Arms)))
	}
	if named.Hits == 0 { // nobody looked for versions
		named, nameless = nameless, attack.Tally{}
	}
	a, other := armOf(&named), armOf(&nameless)
	s.response, s.timeouts = a.response, a.timeouts+other.timeouts
	s.response.Merge(other.response)
	s.Learned = a.hits + other.hits
	if n := s.response.Total(); n < fewest {
		return s, fmt.Errorf("%s, too few to learn from: want %d", plural(n, "good answer", "good answers"), fewest)
	}
	s.Errors = (float64(a.errors) + 0.5) / (float64(a.hits) + 1) // as the judge's own guess: none seen is not none
	s.Unattributed = float64(other.errors) / float64(a.hits+other.hits)
	at := func(p float64) float64 { return float64(s.response.Quantile(p)) }
	s.Median = time.Duration(at(0.5))
	s.Sigma = min(max(math.Log(at(0.9)/at(0.5))/normal(0.9), 0.01), 5)
	service := named.Service
	service.Merge(nameless.Service)
	s.Mean = mean(service)
	return s, nil
}

// mean takes the middle of each bin.
func mean(h attack.Histogram) time.Duration {
	sum := 0.0
	for _, b := range h {
		sum += float64(b.Count) * (attack.BinStart(b.Bin) + attack.BinStart(b.Bin+1)) / 2
	}
	return time.Duration(sum / float64(max(h.Total(), 1)))
}

// Assume replaces what was learned of latencies, or assumed.
func (s Service) Assume(median time.Duration, sigma float64) Service {
	s.response, s.timeouts, s.Median, s.Sigma, s.Mean = nil, 0, median, sigma, 0
	return s
}
