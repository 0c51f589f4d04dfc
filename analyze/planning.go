package analyze

import (
	"errors"
	"fmt"
	"io"
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

// Way is one change that would make the budget ample, all else as it is.
type Way struct {
	Kind  string `json:"kind"`  // longer, faster, margin or share
	Flags string `json:"flags"` // as the command takes them
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

// ampleRate is the lowest rate from o's up to the highest that makes the budget ample, rounded up.
func (o outlook) ampleRate(highest float64) (float64, bool) {
	enough := func(rate float64) bool {
		o := o
		o.rate = rate
		return o.ample()
	}
	if enough(o.rate) {
		return o.rate, true
	}
	if o.rate >= highest || !enough(highest) {
		return 0, false
	}
	rate := min(up(least(o.rate, highest, enough)), highest)
	return rate, enough(rate)
}

// least is the smallest x between no and yes that will do, for what does from some x on.
func least(no, yes float64, does func(float64) bool) float64 {
	for range 50 {
		if middle := math.Sqrt(no * yes); does(middle) {
			yes = middle
		} else {
			no = middle
		}
	}
	return yes
}

// up keeps two digits, rounding up.
func up(x float64) float64 {
	unit := math.Pow(10, math.Floor(math.Log10(x))-1)
	return nine(math.Ceil(x/unit-1e-9) * unit)
}

// waysOut are single changes that would make the budget ample. Each was tried.
func (q Question) waysOut(o outlook) (ways []Way) {
	add := func(kind, flags string, ok bool) {
		if ok {
			ways = append(ways, Way{kind, flags})
		}
	}
	flags, ok := o.longer()
	add("longer", flags, ok)
	rate, ok := o.ampleRate(q.MaxRate)
	add("faster", "--rate "+trimZeros(rate)+"/s", ok)
	flags, ok = o.wider()
	add("margin", flags, ok)
	flags, ok = q.nearer()
	add("share", flags, ok)
	return ways
}

func (o outlook) longer() (string, bool) {
	seconds := 0.0
	for _, g := range o.figures() {
		if !g.watches {
			seconds = max(seconds, o.start(g).Seconds()+ample*o.bound(g)/o.rate)
		}
	}
	if !(seconds < 365*24*3600) {
		return "", false
	}
	unit := time.Second
	for _, step := range []time.Duration{5 * time.Second, time.Minute, 5 * time.Minute, time.Hour} {
		if seconds > 20*step.Seconds() {
			unit = step
		}
	}
	d := time.Duration(math.Ceil(seconds/unit.Seconds())) * unit
	o.policy.MaxDuration = Duration(d)
	return "--max-duration " + tidy(d), o.ample()
}

// tidy writes 1h5m0s as 1h5m.
func tidy(d time.Duration) string {
	text := d.String()
	if s, found := strings.CutSuffix(text, "m0s"); found {
		text = s + "m"
	}
	if s, found := strings.CutSuffix(text, "h0m"); found {
		text = s + "h"
	}
	return text
}

// wider widens the margins of those checks that need it, and no others.
func (o outlook) wider() (string, bool) {
	before := o.policy
	for i := range o.figures() {
		g := o.figures()[i]
		if g.watches || o.room(g) == Ample {
			continue
		}
		widened := func(by float64) outlook {
			o := o
			g.widen(&o.policy, by)
			return o
		}
		does := func(by float64) bool {
			o := widened(by)
			return o.policy.Validate(o.share) == nil && o.room(o.figures()[i]) == Ample
		}
		if !(g.widest > 1) || !does(g.widest) {
			return "", false
		}
		o = widened(least(1, g.widest, does))
	}
	return changes(before, o.policy), o.ample()
}

// changes are the flags that make one policy's margins the other's. A flag of latencies replaces the whole set, so it
// names what stays, too.
func changes(from, to Policy) string {
	var flags []string
	flag := func(changed bool, format string, args ...any) {
		if changed {
			flags = append(flags, fmt.Sprintf(format, args...))
		}
	}
	flag(from.Split != to.Split, "--split-margin %s", trimZeros(to.Split.Margin))
	flag(from.Errors.Max != to.Errors.Max, "--errors-max %s", to.Errors.Max)
	flag(from.Errors.Margin != to.Errors.Margin, "--errors-margin %s", trimZeros(to.Errors.Margin))
	for _, q := range to.sortedMax() {
		flag(!maps.Equal(from.Latency.Max, to.Latency.Max), "--latency-max %s=%s", q, tidy(time.Duration(to.Latency.Max[q])))
	}
	for _, q := range to.sortedMargin() {
		text := to.Latency.Margin[q].String()
		if strings.Contains(text, " ") {
			text = `"` + q.String() + "=" + text + `"`
		} else {
			text = q.String() + "=" + text
		}
		flag(!maps.Equal(from.Latency.Margin, to.Latency.Margin), "--latency-margin %s", text)
	}
	return strings.Join(flags, " ")
}

// nearer is the share nearest to the asked one, on the way to half, in whole percent.
func (q Question) nearer() (string, bool) {
	step := 1.0
	if q.Percent > 50 {
		step = -1
	}
	for percent := math.Floor(q.Percent*step+1) * step; (50-percent)*step >= 0; percent += step {
		q.Percent = percent
		if o := q.outlook(); o.policy.Validate(o.share) == nil && o.ample() {
			return "--percent " + trimZeros(percent), true
		}
	}
	return "", false
}

// advice names what makes a check expensive, where something else would do.
func (q Question) advice(o outlook, figures []figure) (advice []string) {
	say := func(format string, args ...any) { advice = append(advice, fmt.Sprintf(format, args...)) }
	s := o.service
	for _, g := range figures {
		if !g.watches && math.IsInf(o.bound(g), 1) {
			say("%s (%s): no amount of traffic proves it of a service like this; only another bound, or another service, does.", g.name, g.allowed)
		}
	}
	for i, at := range o.policy.sortedMargin() {
		g := figures[len(figures)-len(o.policy.Latency.Margin)+i]
		rest := 0.0
		for _, other := range figures {
			if n := o.bound(other); other.name != g.name && !other.watches && !math.IsInf(n, 1) {
				rest = max(rest, n)
			}
		}
		if n := o.bound(g); at > 0.95 && rest > 0 && n >= 2*rest {
			cost := "endlessly more"
			if !math.IsInf(n, 1) {
				cost = sentence("%.1f x the requests", n/rest)
			}
			say("%s against the baseline needs %s of all the rest: prefer p95 against the baseline, and an absolute bound on %s (--latency-margin p95=10%% --latency-max %s=%s).",
				at, cost, at, at, tidy(time.Duration(up(1.5*s.quantile(at)))))
		}
		if other, gap := s.gap(at, o.policy.Latency.Margin[at]); gap > 1 {
			text := sentence("%s: the baseline has a gap of %s here, between fast answers and a slow mode of about %s of them, so even equal versions stay undecided",
				at, increase(gap-1), Share(1-float64(at)))
			if other > 0 {
				text += sentence("; %s lies beside it", other)
			}
			advice = append(advice, text+".")
		}
	}
	if half, ok := q.atHalf(); ok && o.share != 0.5 {
		if now, then := o.slowest(), half.slowest(); then > 0 && now >= 2*then {
			say("At 50 %% the slowest check needs %.1f x fewer requests (%s instead of %s).", now/then, Count(uint64(math.Ceil(then))), Count(uint64(math.Ceil(now))))
		}
	}
	if u := s.Unattributed / o.share; u > o.policy.Errors.Margin/100/5 {
		say("Errors without a version count against the canary: %s of all requests is %s of its own, and the margin is %s. A version marker on gateway responses is worth more than any traffic.",
			Share(s.Unattributed), points(100*u), points(o.policy.Errors.Margin))
	}
	return append(advice, s.Notes...)
}

func (q Question) atHalf() (outlook, bool) {
	q.Percent = 50
	o := q.outlook()
	return o, o.policy.Validate(o.share) == nil
}

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

// fewest answers say something about a service.
const fewest = 100

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
