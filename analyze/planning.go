package analyze

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"coalmine/analyze/sequential"
	"coalmine/attack"
)

// What statistics.md 4 measured of the gate, in units of log(1/alpha)/information of its slowest check: the mean number of
// requests until PROMOTE (2.03), and what hardly any run exceeds (99 of 100 runs 5.1, the most of 600 runs 6.1).
const (
	onAverage = 2
	ample     = 6
)

// Question is what a Forecast answers: how long would this gate take?
type Question struct {
	Policy  Policy  // as given: what depends on the share, or on the service, may be left open
	Percent float64 // of the traffic to the canary, above 0 and below 100
	Rate    float64 // requests per second; 0 chooses one
	MaxRate float64 // the most it may choose or advise
	Service Service
	Prices  Prices
}

// Prices are what requests cost, US dollars.
type Prices struct {
	Requests    float64       `json:"requests_per_million"`    // API Gateway
	Invocations float64       `json:"invocations_per_million"` // Lambda
	GBSecond    float64       `json:"gb_second"`               // Lambda
	MemoryMB    float64       `json:"memory_mb"`               // of the function
	Duration    time.Duration `json:"duration_ns"`             // billed for an invocation; 0 is the service's mean response time
	LogBytes    float64       `json:"log_bytes"`               // that a request writes; 0 leaves logs out
	LogGB       float64       `json:"log_gb"`
}

// DefaultPrices are list prices in us-east-1 as of 2025: API Gateway REST, first 333 million requests a month
// (https://aws.amazon.com/api-gateway/pricing/), Lambda x86 (https://aws.amazon.com/lambda/pricing/), CloudWatch Logs
// (https://aws.amazon.com/cloudwatch/pricing/). No free tier, data transfer, cache or WAF.
var DefaultPrices = Prices{Requests: 3.50, Invocations: 0.20, GBSecond: 0.0000166667, MemoryMB: 128, LogGB: 0.50}

// Cost is in US dollars.
type Cost struct {
	Gateway float64 `json:"gateway"`
	Lambda  float64 `json:"lambda"`
	Total   float64 `json:"total"`          // of the two
	Logs    float64 `json:"logs,omitempty"` // apart
}

func (p Prices) of(requests, mean float64) Cost {
	c := Cost{
		Gateway: requests / 1e6 * p.Requests,
		Lambda:  requests/1e6*p.Invocations + requests*p.MemoryMB/1024*mean*p.GBSecond,
		Logs:    requests * p.LogBytes / 1e9 * p.LogGB,
	}
	c.Total = c.Gateway + c.Lambda
	return c
}

// Room says whether the budget is enough for what is asked of it.
type Room int8

const (
	Undecidable Room = iota // the mean exceeds it
	Tight                   // some runs will end INCONCLUSIVE
	Ample                   // hardly any will
)

func (r Room) String() string { return [...]string{"no", "tight", "yes"}[r] }

// MarshalText writes yes, tight or no.
func (r Room) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// CheckForecast is what is to be expected of one check. What does not come to an end is nil.
type CheckForecast struct {
	Name       string         `json:"name"`
	Allowed    string         `json:"allowed"`
	Unit       string         `json:"unit"`
	Bound      *float64       `json:"bound_requests,omitempty"`    // log(1/alpha)/information: what an ideal test needs
	Expected   *float64       `json:"expected_requests,omitempty"` // twice that
	Start      time.Duration  `json:"start_ns"`                    // before that nothing is counted
	At         *time.Duration `json:"expected_ns,omitempty"`       // since the gate began
	Room       Room           `json:"within_budget"`
	Times      *float64       `json:"budget_over_bound,omitempty"`
	Regression *float64       `json:"regression,omitempty"` // the smallest that the budget is expected to reject, by this check alone; Unit
	Watches    bool           `json:"watches,omitempty"`    // has no PASS side: PROMOTE does not wait for it
}

// Forecast is what a gate is expected to need. It is an expectation under its assumptions, and promises nothing.
type Forecast struct {
	Policy   Policy          `json:"policy"`
	Percent  float64         `json:"percent"`
	Rate     float64         `json:"rate_per_s"`
	Service  Service         `json:"assumed"`
	Prices   Prices          `json:"prices"`
	Checks   []CheckForecast `json:"checks"`
	Slowest  string          `json:"slowest"` // the check that the gate waits for
	Room     Room            `json:"within_budget"`
	Time     *time.Duration  `json:"expected_ns,omitempty"` // until PROMOTE, nil: never
	Requests *float64        `json:"expected_requests,omitempty"`
	Budget   float64         `json:"budget_requests"`
	Cost     *Cost           `json:"expected_cost,omitempty"`
	Most     Cost            `json:"budget_cost"`
	Ways     []Way           `json:"ways_out,omitempty"`
	Advice   []string        `json:"advice,omitempty"`
}

// Validate names the first field that makes no sense.
func (q Question) Validate() error {
	policy := q.policy(q.Percent / 100)
	if err := policy.Validate(q.Percent / 100); err != nil {
		return err
	}
	s, p := q.Service, q.Prices
	price := func(x float64) bool { return x >= 0 && x <= 1e9 }
	for _, field := range []struct {
		name, want string
		ok         bool
		got        any
	}{
		{"rate", "0 or more", q.Rate >= 0 && !math.IsInf(q.Rate, 0), q.Rate},
		{"max-rate", "more than 0", q.MaxRate > 0 && !math.IsInf(q.MaxRate, 0), q.MaxRate},
		{"errors of the baseline", "0 to less than 1", s.Errors >= 0 && s.Errors < 1, s.Errors},
		{"unattributed", "0 to less than 1", s.Unattributed >= 0 && s.Unattributed < 1, s.Unattributed},
		{"p50 of the baseline", "more than 0", s.Median > 0, s.Median},
		{"sigma of the baseline", "more than 0, at most 5", s.Sigma > 0 && s.Sigma <= 5, s.Sigma},
		{"price per million requests", "0 or more", price(p.Requests), p.Requests},
		{"price per million invocations", "0 or more", price(p.Invocations), p.Invocations},
		{"price per GB-second", "0 or more", price(p.GBSecond), p.GBSecond},
		{"price per GB of logs", "0 or more", price(p.LogGB), p.LogGB},
		{"memory", "0 or more", price(p.MemoryMB), p.MemoryMB},
		{"log bytes", "0 or more", price(p.LogBytes), p.LogBytes},
		{"duration of an invocation", "0 or more", p.Duration >= 0, p.Duration},
	} {
		if !field.ok {
			return fmt.Errorf("%s: want %s, got %v", field.name, field.want, field.got)
		}
	}
	return nil
}

// policy is the question's at another share, with what was left open.
func (q Question) policy(share float64) Policy {
	p := q.Policy.Complete(share)
	if h := q.Service.response; p.Latency.Max == nil && len(h) > 0 { // as the judge does with a before phase
		p.Latency.Max = suggest(h).bound()
	}
	return p
}

func (q Question) outlook() outlook {
	share := q.Percent / 100
	return outlook{policy: q.policy(share), share: share, rate: q.Rate, service: q.Service}
}

// Foresee answers a valid question.
func Foresee(q Question) (Forecast, error) {
	if err := q.Validate(); err != nil {
		return Forecast{}, err
	}
	if q.Service.Mean == 0 {
		q.Service.Mean = time.Duration(float64(q.Service.Median) * math.Exp(q.Service.Sigma*q.Service.Sigma/2))
	}
	if q.Prices.Duration == 0 {
		q.Prices.Duration = q.Service.Mean
	}
	if q.Rate == 0 {
		q.Rate = q.chooseRate()
	}
	o := q.outlook()
	f := Forecast{Policy: o.policy, Percent: q.Percent, Rate: q.Rate, Service: q.Service, Prices: q.Prices, Room: Ample,
		Budget: float64(o.policy.Budget(q.Rate))}
	figures := o.figures()
	latest := time.Duration(o.policy.MinDuration)
	never := false
	for _, g := range figures {
		c := o.foresee(g)
		f.Checks = append(f.Checks, c)
		if c.Watches {
			continue
		}
		if slow := c.At == nil; slow && !never || !never && *c.At >= latest {
			f.Slowest, never = c.Name, slow
			if !slow {
				latest = *c.At
			}
		}
		f.Room = min(f.Room, c.Room)
	}
	mean := q.Prices.Duration.Seconds()
	if !never {
		requests := math.Ceil(q.Rate * latest.Seconds())
		cost := q.Prices.of(requests, mean)
		f.Time, f.Requests, f.Cost = &latest, &requests, &cost
	}
	if f.Slowest == "" {
		f.Slowest = "min-duration"
	}
	f.Most = q.Prices.of(f.Budget, mean)
	if f.Room != Ample {
		f.Ways = q.waysOut(o)
	}
	f.Advice = q.advice(o, figures)
	return f, nil
}

// outlook is a gate at one share and rate.
type outlook struct {
	policy      Policy // complete
	share, rate float64
	service     Service
}

// figure is what one check would see.
type figure struct {
	name, allowed, unit string
	group               group
	settled             bool    // counts from settle on
	information         float64 // nats a request against "violated"; none of a check that only watches
	watches             bool
	regression          func(x float64) float64 // nats a request against "within bounds", when the canary is x
	from, to            float64                 // the x to try
	handicap            float64                 // of the FAIL side: log of the weight that its part in a mixture leaves
	widen               func(p *Policy, by float64)
	widest              float64 // by which the policy's margin may be multiplied
}

// figures are those of every check that waits for evidence, in the order of a report.
func (o outlook) figures() []figure {
	p, s, share := o.policy, o.service, o.share
	versions := [2]struct {
		name         string
		guard, group group
		latency      group
		share        float64
	}{{"baseline", guard, guard, guard, 1 - share}, {"canary", guard, canaryErrors, canaryLatency, share}}

	limit := float64(p.Errors.Max)
	named := 1 - s.Unattributed
	fraction := func(share, q float64) sequential.Counted { return sequential.Counted{Weight: share * named, Rate: q} }
	// Where a version wants to pass, what fails without a name is its own.
	charged := func(share, q float64) sequential.Counted {
		weight := share*named + s.Unattributed
		return sequential.Counted{Weight: weight, Rate: (share*named*q + s.Unattributed) / weight}
	}
	figures := []figure{{
		name: "stage errors", allowed: "<= " + Share(limit), unit: UnitShare, group: stageErrors, watches: true,
		regression: func(x float64) float64 {
			all := s.Unattributed + named*((1-share)*s.Errors+share*x)
			return sequential.RateInformation(sequential.Counted{Weight: 1, Rate: min(all, 1)}, limit, sequential.Up)
		},
		from: limit, to: 1, handicap: math.Ln2, // half the weight is on other starts than the first
	}, {
		name: "split", unit: UnitPoints, group: split, settled: true,
		allowed:     sentence("%.4g-%.4g %%", 100*(share-p.MarginShare()), 100*(share+p.MarginShare())),
		information: sequential.SplitInformation(share, p.MarginShare(), s.Unattributed),
		regression: func(x float64) float64 {
			x /= 100
			return min(sequential.RateInformation(sequential.Counted{Weight: 1, Rate: max(share-x, 0)}, share-p.MarginShare(), sequential.Down),
				sequential.RateInformation(sequential.Counted{Weight: 1, Rate: min(share+x, 1)}, share+p.MarginShare(), sequential.Up))
		},
		from: p.Split.Margin, to: 100 * min(share, 1-share), handicap: math.Ln2, // the mean of two sides
		widen: func(p *Policy, by float64) { p.Split.Margin = up(p.Split.Margin * by) }, widest: 98 * min(share, 1-share) / p.Split.Margin,
	}}
	for _, v := range versions {
		figures = append(figures, figure{
			name: "errors " + v.name, allowed: "<= " + Share(limit), unit: UnitShare, group: v.group,
			information: sequential.RateInformation(charged(v.share, s.Errors), limit, sequential.Down),
			regression: func(x float64) float64 {
				return sequential.RateInformation(fraction(v.share, x), limit, sequential.Up)
			},
			from: limit, to: 1,
			widen: func(p *Policy, by float64) { p.Errors.Max = Percentage(up(float64(p.Errors.Max) * by)) }, widest: 0.98 / limit,
		})
	}
	margin := p.Errors.Margin / 100
	figures = append(figures, figure{
		name: "errors diff", allowed: "<= " + points(p.Errors.Margin), unit: UnitPoints, group: relativeErrors,
		information: sequential.DifferenceInformation(fraction(1-share, s.Errors), charged(share, s.Errors), margin, sequential.Down),
		regression: func(x float64) float64 {
			return sequential.DifferenceInformation(charged(1-share, s.Errors), fraction(share, min(s.Errors+x/100, 1)), margin, sequential.Up)
		},
		from: p.Errors.Margin, to: 100 * (1 - s.Errors),
		widen: func(p *Policy, by float64) { p.Errors.Margin = up(p.Errors.Margin * by) }, widest: 60 / p.Errors.Margin,
	})
	good := named * (1 - s.Errors) // share of requests whose latency is compared
	for _, q := range p.sortedMax() {
		rho, limit := 1-float64(q), float64(p.Latency.Max[q])
		slow := s.slower(q)
		now := s.quantile(q)
		for _, v := range versions {
			figures = append(figures, figure{
				name: q.String() + " " + v.name, allowed: "<= " + Short(time.Duration(limit)), unit: UnitTime, group: v.latency,
				information: sequential.RateInformation(sequential.Counted{Weight: good * v.share, Rate: slow(limit)}, rho, sequential.Down),
				regression: func(x float64) float64 {
					return sequential.RateInformation(sequential.Counted{Weight: good * v.share, Rate: slow(limit * now / x)}, rho, sequential.Up)
				},
				from: max(limit, now), to: 1000 * max(limit, now),
				widen: func(p *Policy, by float64) {
					p.Latency.Max = maps.Clone(p.Latency.Max)
					p.Latency.Max[q] = Duration(up(float64(p.Latency.Max[q]) * by))
				}, widest: 1000,
			})
		}
	}
	for _, q := range p.sortedMargin() {
		figures = append(figures, o.latencyFigure(q, p.Latency.Margin[q], good))
	}
	return figures
}

func (o outlook) latencyFigure(q Quantile, margin Slack, good float64) figure {
	rho, now := 1-float64(q), o.service.quantile(q)
	tail := o.service.tail(q)
	add := float64(margin.Add)
	g := func(x float64) float64 { return max((1+margin.Ratio)*x, x+add) }
	inverse := func(y float64) float64 { return max(min(y/(1+margin.Ratio), y-add), now/1e6) }
	return figure{
		name: q.String() + " diff", allowed: "<= +" + strings.ReplaceAll(margin.String(), "%", " %"), unit: UnitRatio, group: relativeLatency,
		information: sequential.QuantileInformation(rho, good*(1-o.share), good*o.share, tail.above,
			func(x float64) float64 { return tail.above(g(x)) }, inverse(now), now, sequential.Down),
		regression: func(x float64) float64 {
			return sequential.QuantileInformation(rho, good*(1-o.share), good*o.share, tail.above,
				func(y float64) float64 { return tail.above(g(y) / (1 + x)) }, now, inverse(now*(1+x)), sequential.Up)
		},
		from: g(now)/now - 1, to: 1000,
		widen: func(p *Policy, by float64) {
			p.Latency.Margin = maps.Clone(p.Latency.Margin)
			m := p.Latency.Margin[q]
			if m.Ratio > 0 {
				m.Ratio = up(m.Ratio * by)
			}
			if m.Add > 0 {
				m.Add = time.Duration(up(float64(m.Add) * by))
			}
			p.Latency.Margin[q] = m
		}, widest: 9.8 / max(margin.Ratio, 0.0098),
	}
}

// bound is log(1/alpha)/information, +Inf where a request tells nothing.
func (o outlook) bound(g figure) float64 {
	if !(g.information > 1e-12) {
		return math.Inf(1)
	}
	return -math.Log(o.policy.Alpha) / g.information
}

// start is when a check begins to count: with a canary that answers at once, when it is armed and warm, at the latest at settle;
// the split, which must stand the test from every window before settle on, at settle.
func (o outlook) start(g figure) time.Duration {
	settle := max(time.Duration(o.policy.Settle), attack.WindowLength)
	if g.settled {
		return settle
	}
	windows := func(hits, share float64) float64 {
		return math.Ceil(hits / (share * o.rate * attack.WindowLength.Seconds()))
	}
	arm := newArming(o.share, o.policy.MarginShare(), o.policy.WarmUp)
	armed := windows(float64(arm.need), 1)
	begin := max(armed+math.Floor(armed/2), windows(float64(arm.warm), min(o.share, 1-o.share)), 1)
	return time.Duration(min(begin*float64(attack.WindowLength), float64(settle)))
}

// spend is how many requests the check may see within the budget.
func (o outlook) spend(g figure) float64 {
	return o.rate * max(time.Duration(o.policy.MaxDuration)-o.start(g), 0).Seconds()
}

// room compares what the check needs with what it may see.
func (o outlook) room(g figure) Room {
	switch bound, spend := o.bound(g), o.spend(g); {
	case g.watches, ample*bound <= spend:
		return Ample
	case onAverage*bound <= spend:
		return Tight
	}
	return Undecidable
}

func (o outlook) ample() bool {
	return !slices.ContainsFunc(o.figures(), func(g figure) bool { return o.room(g) != Ample })
}

// slowest is the greatest bound of all checks that come to an end.
func (o outlook) slowest() (most float64) {
	for _, g := range o.figures() {
		if n := o.bound(g); !g.watches && !math.IsInf(n, 1) {
			most = max(most, n)
		}
	}
	return most
}

func (o outlook) foresee(g figure) CheckForecast {
	c := CheckForecast{Name: g.name, Allowed: g.allowed, Unit: g.unit, Start: o.start(g), Room: o.room(g), Watches: g.watches}
	if bound := o.bound(g); !g.watches && !math.IsInf(bound, 1) {
		expected, times := onAverage*bound, o.spend(g)/bound
		c.Bound, c.Expected, c.Times = &bound, &expected, &times
		if seconds := c.Start.Seconds() + expected/o.rate; seconds < math.MaxInt64/2e9 {
			at := time.Duration(seconds * float64(time.Second))
			c.At = &at
		}
	}
	if g.group != guard { // that the baseline is out of bounds rejects nothing
		c.Regression = o.regression(g)
	}
	return c
}

// regression is the smallest that the check's part in the FAIL rule is expected to see: twice log(1/(beta weight))/information
// requests, which is what statistics.md 4 measured to within a quarter.
func (o outlook) regression(g figure) *float64 {
	needed := -math.Log(o.policy.Beta) - math.Log(o.weight(g.group)) + g.handicap
	seen := func(x float64) bool { return o.spend(g)*g.regression(x) >= onAverage*needed }
	if !(g.to > g.from) || !seen(g.to) {
		return nil
	}
	low, high := g.from, g.to
	for range 60 {
		if middle := (low + high) / 2; seen(middle) {
			high = middle
		} else {
			low = middle
		}
	}
	return &high
}

// weight is a check's of this group in the FAIL rule.
func (o outlook) weight(of group) float64 {
	members := [groups]int{relativeErrors: 1, split: 1, stageErrors: 1, canaryErrors: 1,
		relativeLatency: len(o.policy.Latency.Margin), canaryLatency: len(o.policy.Latency.Max)}
	if o.service.Learned > 0 {
		members[stageAgainstBefore] = 1
	}
	return weights(members)[of] / float64(members[of])
}

// chooseRate is that at which the expected requests take min-duration, and the budget is ample.
func (q Question) chooseRate() float64 {
	o := q.outlook()
	rate := 1.0
	if wait := time.Duration(o.policy.MinDuration).Seconds(); wait > 0 {
		rate = max(rate, onAverage*o.slowest()/wait)
	}
	o.rate = min(math.Ceil(rate), q.MaxRate)
	if enough, ok := o.ampleRate(q.MaxRate); ok {
		return enough
	}
	for _, g := range o.figures() {
		if !g.watches && math.IsInf(o.bound(g), 1) { // no rate helps
			return o.rate
		}
	}
	return q.MaxRate
}

// fewest answers say something about a service.
const fewest = 100
