package analyze

import (
	"fmt"
	"maps"
	"math"
	"strings"
	"time"
)

// Way is one change that would make the budget ample, all else as it is.
type Way struct {
	Kind  string `json:"kind"`  // longer, faster, margin or share
	Flags string `json:"flags"` // as the command takes them
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
