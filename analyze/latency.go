package analyze

import (
	"math"
	"time"

	"coalmine/analyze/sequential"
	"coalmine/attack"
)

// armLatency asks whether an arm's quantile keeps a bound: "Q_p <= x" is "at most 1-p of the answers are slower than
// x" (statistics.md 2.3). A hit in the bin of x is slower where the arm wants to pass, and faster where it would fail;
// timeouts, and hits that have no answer yet, are slower than any x.
type armLatency struct {
	test     sequential.Bound
	quantile Quantile
	limit    time.Duration
	version  string
	canary   bool
}

func (c armLatency) name() string { return c.quantile.String() + " " + c.version }
func (c armLatency) passes() bool { return true }

func (c armLatency) group() group {
	if c.canary {
		return canaryLatency
	}
	return guard
}

func (c armLatency) look(e *evidence) (pass, fail float64) {
	a := e.arm(c.canary)
	c.test = c.test.Tempered(e.slowBursts)
	maybe := atLeast(e.response, c.limit) + e.timeouts + e.waiting()
	surely := surelyAbove(a.response, c.limit) + a.timeouts
	population := a.timed + a.timeouts
	fast := e.timed - surelyAbove(e.response, c.limit) + e.waiting()
	return c.test.Pass(atLeast(a.response, c.limit)+a.timeouts+maybe, population+maybe), c.test.Fail(surely, population+fast)
}

func (c armLatency) explain(e *evidence, o Outcome, _ reading) Check {
	a := e.arm(c.canary)
	c.test = c.test.Tempered(e.slowBursts)
	limit := float64(c.limit)
	out := Check{Unit: UnitTime, K: surelyAbove(a.response, c.limit) + a.timeouts, N: a.timed + a.timeouts, Limit: Interval{High: &limit}}
	if out.N == 0 {
		out.Sentence = sentence("No answer of version %s was judged for latency.", c.version)
		return out
	}
	estimate := a.response.Quantile(float64(c.quantile))
	out.Estimate = ptr(float64(estimate))
	who := "Canary"
	if !c.canary {
		who = "Baseline"
	}
	out.Sentence = sentence("%s %s is %s (%s of %s answers slower than the allowed %s, %s may be).", who, c.quantile, Short(estimate),
		Count(out.K), Count(out.N), Short(c.limit), Share(1-float64(c.quantile)))
	if o == Pass {
		high := min(slowest(float64(c.quantile), c.test, e, a), limit)
		out.Proven.High = &high
		out.Sentence = sentence("%s %s is %s; %s or more is ruled out, allowed %s.", who, c.quantile, Short(estimate), Short(time.Duration(high)), Short(c.limit))
	}
	return out
}

// Without a bound that is given, p99 may be half as much again as before the canary, and latencyNoise more in any case.
// Response times count from when a request was due: they hold the lateness that validity allows the generator (wake-late,
// 10ms by default), and what the schedulers of both ends and the network add. Half of a few milliseconds is less than that:
// on a busy machine 2.9 ms became 6.2 ms with nothing wrong in the release.
const (
	latencyRise  = 1.5
	latencyNoise = 10 * time.Millisecond
)

// suggestion is the bound on p99 that answers before the canary suggest.
type suggestion struct{ before, limit time.Duration }

func suggest(before attack.Histogram) *suggestion {
	p99 := before.Quantile(0.99)
	return &suggestion{p99, max(time.Duration(latencyRise*float64(p99)), p99+latencyNoise)}
}

func (s suggestion) bound() map[Quantile]Duration {
	return map[Quantile]Duration{0.99: Duration(s.limit)}
}

func (s suggestion) String() string {
	if s.limit > s.before+latencyNoise {
		return sentence("%.1f x the %s before the canary", latencyRise, Short(s.before))
	}
	return sentence("%s more than the %s before the canary", Short(latencyNoise), Short(s.before))
}

// suggestedLatency is a check of that bound, and says where it is from.
type suggestedLatency struct {
	armLatency
	from suggestion
}

func (c suggestedLatency) explain(e *evidence, o Outcome, r reading) Check {
	out := c.armLatency.explain(e, o, r)
	if out.N > 0 {
		out.Sentence += sentence(" Allowed is %s.", c.from)
	}
	return out
}

// slowest is the least bound that would pass as well now, of those where a bin ends that holds something, +Inf if none
// would: the tilts stay, only the place where slow begins moves.
func slowest(quantile float64, test sequential.Bound, e *evidence, a arm) float64 {
	h := a.response
	// Of the bins that hold something, the first above which few enough are left: the upper bound on the rate is
	// monotone in the count, so the first that passes is the tightest.
	low, high := 0, len(h)
	for low < high {
		middle := (low + high) / 2
		x := time.Duration(math.Ceil(attack.BinStart(h[middle].Bin + 1)))
		maybe := atLeast(e.response, x) + e.timeouts + e.waiting()
		if test.Upper(atLeast(h, x)+a.timeouts+maybe, a.timed+a.timeouts+maybe) <= 1-quantile {
			high = middle
		} else {
			low = middle + 1
		}
	}
	if low == len(h) {
		return math.Inf(1)
	}
	return attack.BinStart(h[low].Bin + 1)
}

// latencyDifference asks whether the canary's quantile exceeds the baseline's by more than the margin (statistics.md
// 2.5), with no assumption on the distributions.
type latencyDifference struct {
	test     *sequential.Quantile
	quantile Quantile
	margin   Slack

	base, can, any sequential.Tails
}

func newLatencyDifference(q Quantile, margin Slack, known attack.Histogram, l sequential.Levels) (*latencyDifference, error) {
	var tail, baseline float64
	if n := float64(known.Total()); n*(1-float64(q))/2 >= 5 { // fewer say nothing of the tail
		rho := 1 - float64(q)
		tail = sequential.TailIndex(float64(known.Quantile(1-rho/2)), float64(known.Quantile(max(1-2*rho, 0))))
	}
	if len(known) > 0 {
		baseline = float64(known.Quantile(float64(q)))
	}
	test, err := sequential.NewQuantile(float64(q), sequential.Margin{Ratio: margin.Ratio, AddNS: float64(margin.Add)}, tail, baseline,
		sequential.DefaultGeometry, l)
	return &latencyDifference{test: test, quantile: q, margin: margin}, err
}

func (c *latencyDifference) name() string { return c.quantile.String() + " diff" }
func (c *latencyDifference) group() group { return relativeLatency }
func (c *latencyDifference) passes() bool { return true }

// fill sums a histogram from above, straight from its buckets. Timeouts are slower than any bin.
func (c *latencyDifference) fill(into *sequential.Tails, h attack.Histogram, timeouts uint64) {
	if len(h) == 0 && timeouts == 0 {
		into.C = into.C[:0]
		return
	}
	if into.C = into.C[:cap(into.C)]; len(into.C) == 0 {
		into.C = make([]uint64, attack.Bins)
	}
	sum, above := timeouts, attack.Bins
	for i := len(h) - 1; i >= 0; i-- {
		run(into.C[h[i].Bin+1:above], sum)
		above = h[i].Bin + 1
		sum += h[i].Count
	}
	run(into.C[:above], sum)
}

// run sets all of c; most of a histogram's bins lie in two long runs beyond what it holds.
func run(c []uint64, value uint64) {
	if len(c) == 0 {
		return
	}
	c[0] = value
	for done := 1; done < len(c); done *= 2 {
		copy(c[done:], c[:done])
	}
}

func (c *latencyDifference) tails(e *evidence) (slow uint64) {
	c.fill(&c.base, e.baseline.response, e.baseline.timeouts)
	c.fill(&c.can, e.canary.response, e.canary.timeouts)
	c.fill(&c.any, e.response, 0)
	return e.timeouts + e.waiting()
}

func (c *latencyDifference) look(e *evidence) (pass, fail float64) {
	slow := c.tails(e)
	c.test.Temper(e.slowBursts)
	pass, _ = c.test.Pass(c.base, c.can, c.any, slow)
	fail, _ = c.test.Fail(c.base, c.can, c.any, slow)
	return pass, fail
}

func (c *latencyDifference) atMost(e *evidence) (pass, fail float64) {
	slow := c.tails(e)
	c.test.Temper(e.slowBursts)
	return c.test.AtMost(c.base, c.can, c.any, slow)
}

// upper is the least increase that is ruled out, where allowed is what the margin comes to.
func (c *latencyDifference) upper(slow uint64, allowed float64) float64 {
	if c.margin.Add == 0 {
		return c.test.UpperRatio(c.base, c.can, c.any, slow)
	}
	return allowed * c.test.UpperTimes(c.base, c.can, c.any, slow)
}

func (c *latencyDifference) explain(e *evidence, o Outcome, _ reading) Check {
	out := Check{Unit: UnitRatio, K: e.canary.timed, N: e.baseline.timed + e.canary.timed}
	if e.canary.response.Total() == 0 || e.baseline.response.Total() == 0 {
		out.Sentence = sentence("%s of the two versions cannot be compared: one of them gave no good answer.", c.quantile)
		return out
	}
	base, can := e.baseline.response.Quantile(float64(c.quantile)), e.canary.response.Quantile(float64(c.quantile))
	allowed := max(c.margin.Ratio, float64(c.margin.Add)/float64(base))
	out.Estimate = ptr(float64(can)/float64(base) - 1)
	out.Limit.High = &allowed
	seen := sentence("%s: canary %s, baseline %s (%s)", c.quantile, Short(can), Short(base), increase(*out.Estimate))
	limit := sentence("allowed %s, here %s", c.margin, increase(allowed))
	if o == Fail {
		out.Sentence = sentence("%s: the canary is slower by more than %s.", seen, limit)
		return out
	}
	slow := c.tails(e)
	high := c.upper(slow, allowed)
	if math.IsInf(high, 1) {
		out.Sentence = sentence("%s; no increase is ruled out yet, %s.", seen, limit)
		return out
	}
	out.Proven.High = &high
	out.Sentence = sentence("%s; an increase of more than %s is ruled out, %s.", seen, increase(high)[1:], limit)
	return out
}
