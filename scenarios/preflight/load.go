package preflight

import (
	"fmt"
	"math"
	"strings"
	"time"

	"coalmine/scenarios/stage"
)

// bucket is a limit with the name of who sets it.
type bucket struct {
	whose string
	rate  float64
	burst int
	raise string // how
}

func (f Facts) buckets() []bucket {
	var all []bucket
	if f.limits.read {
		all = append(all, bucket{"the account's limit for all APIs of the region", f.limits.value.rate, f.limits.value.burst, "ask AWS for a higher quota"})
	}
	if t := f.target.Method.Throttle; t != nil {
		whose := "the method's own throttle (" + t.Setting + ")"
		if t.Setting == "*/*" {
			whose = "the stage's throttle"
		}
		all = append(all, bucket{whose, t.Rate, t.Burst, "raise the stage's method settings"})
	}
	return all
}

// throttle compares the planned rate with every limit that it meets.
func throttle(f Facts, p Plan) []Finding {
	if f.ref.Weighted() {
		return one(unchecked("", "what throttles an alias's callers is not known here"))
	}
	if p.Rate <= 0 {
		return one(unchecked("give a rate", "no rate is planned"))
	}
	var all []Finding
	for _, b := range f.buckets() {
		switch {
		case b.rate < p.Rate:
			all = append(all, warn(fmt.Sprintf("plan at most --rate %s/s, or %s", number(b.rate), b.raise),
				"%s is %s/s, below the planned %s/s: everybody's requests would be throttled", b.whose, number(b.rate), number(p.Rate)))
		case float64(b.burst) < p.Rate:
			all = append(all, warn(fmt.Sprintf("plan at most --rate %d/s, or %s", b.burst, b.raise),
				"%s lets %d requests through at once, less than a second of the planned %s/s: a stall would be throttled", b.whose, b.burst, number(p.Rate)))
		}
	}
	if !f.limits.read {
		all = append(all, unchecked("grant apigateway:GET on /account", "the account's limit: %s", f.limits.why))
	}
	if all != nil {
		return all
	}
	var under []string
	for _, b := range f.buckets() {
		under = append(under, fmt.Sprintf("%s of %s/s, burst %d", b.whose, number(b.rate), b.burst))
	}
	return one(fine("%s/s is within %s", number(p.Rate), strings.Join(under, ", and ")))
}

// headroom compares what the run will take with what is left: of concurrency, and of the account's rate.
func headroom(f Facts, p Plan) []Finding {
	if p.Rate <= 0 {
		return one(unchecked("give a rate", "no rate is planned"))
	}
	all := f.environments(p)
	if !f.ref.Weighted() {
		all = append(all, f.rateLeft(p)...)
	}
	return all
}

// demand is how many requests will be under way at once in one function: by Little's law the rate times how long each
// takes, which is the probe's median, else at worst the function's timeout.
type demand struct {
	function string
	need     int
	by       string // "50/s x 12ms"
	worst    bool
}

func (f Facts) demands(p Plan) []demand {
	shares := map[string]float64{f.target.Function: 1}
	if f.target.Canary != nil && f.target.CanaryFunction != f.target.Function {
		shares = map[string]float64{f.target.Function: 1 - f.target.Share, f.target.CanaryFunction: f.target.Share}
	}
	var all []demand
	for _, name := range f.functions() {
		d := demand{function: name, worst: p.Latency <= 0}
		takes := p.Latency
		if d.worst {
			takes = f.timeout(name)
		}
		rate := p.Rate * shares[name]
		d.need = int(math.Ceil(rate * takes.Seconds()))
		d.by = fmt.Sprintf("%s/s x %s", number(rate), takes.Round(max(time.Microsecond, takes.Truncate(time.Second)/1000, min(takes, time.Millisecond)/100)))
		if p.Connections > 0 && d.need > p.Connections {
			d.need, d.by = p.Connections, d.by+fmt.Sprintf(", bounded by %d connections", p.Connections)
		}
		all = append(all, d)
	}
	return all
}

// timeout is the longest of a function's versions.
func (f Facts) timeout(function string) time.Duration {
	var longest time.Duration
	for _, s := range f.sides() {
		if s.Function == function && s.Configuration != nil {
			longest = max(longest, time.Duration(s.Configuration.Timeout)*time.Second)
		}
	}
	return longest
}

// environments judges each function against its reserved concurrency, and together those that have none against what
// the account has left.
func (f Facts) environments(p Plan) []Finding {
	var all []Finding
	shared := demand{function: "the account's unreserved concurrency"}
	for _, d := range f.demands(p) {
		switch reserved := f.reserved[d.function]; {
		case d.worst && f.timeout(d.function) == 0:
			all = append(all, unchecked("", "how long %s takes is not known", d.function))
		case !reserved.read:
			all = append(all, unchecked("grant lambda:GetFunctionConcurrency", "the reserved concurrency of %s: %s", d.function, reserved.why))
		case reserved.value != nil:
			all = append(all, f.fits(d, "the reserved concurrency of "+d.function, *reserved.value, d.function))
		default:
			shared.need += d.need
			shared.worst = shared.worst || d.worst
			shared.by = strings.TrimPrefix(shared.by+" + "+d.by, " + ")
		}
	}
	if shared.by == "" {
		return all
	}
	if !f.concurrency.read {
		return append(all, unchecked("grant lambda:GetAccountSettings", "the account's concurrency: %s", f.concurrency.why))
	}
	return append(all, f.fits(shared, shared.function, f.concurrency.value.unreserved, ""))
}

// fits says whether a demand finds room in a pool of which some is in use.
func (f Facts) fits(d demand, pool string, size int, used string) Finding {
	busy, inUse := 0, "what is in use is not known"
	if f.usage.read {
		busy = f.usage.value.concurrent[used]
		inUse = fmt.Sprintf("%d in use at the last hour's peak", busy)
	}
	left := max(size-busy, 0)
	text := fmt.Sprintf("about %d environments at once (%s), and of %s of %d there are %d left (%s)", d.need, d.by, pool, size, left, inUse)
	switch {
	case d.need <= left:
		return fine("%s", text)
	case d.worst:
		return warn("plan a lower --rate or fewer --connections, or raise the concurrency",
			"in the worst case, all answers as slow as the function's timeout allows, %s", text)
	}
	return warn("plan a lower --rate, or raise the concurrency", "%s: Lambda would throttle, which callers see as 500s", text)
}

// rateLeft says how much of the account's rate is left beside what the API gets already. What other APIs get is not
// seen: it could only be summed up API by API.
func (f Facts) rateLeft(p Plan) []Finding {
	switch {
	case !f.limits.read:
		return nil // said by throttle
	case !f.usage.read:
		return one(unchecked("grant cloudwatch:GetMetricData", "how much of the account's %s/s is in use: %s", number(f.limits.value.rate), f.usage.why))
	}
	left := max(f.limits.value.rate-f.usage.value.rate, 0)
	text := fmt.Sprintf("%s/s planned, and of the account's %s/s there are %s/s left beside this API's own peak of %s/s in the last hour",
		number(p.Rate), number(f.limits.value.rate), number(math.Floor(left)), number(math.Ceil(f.usage.value.rate)))
	if left < p.Rate {
		return one(warn("plan a lower --rate, or ask AWS for a higher quota", "%s", text))
	}
	return one(fine("%s", text))
}

// comparable wants both versions to run on the same: what differs beside the code differs in latency.
func comparable(f Facts, _ Plan) []Finding {
	if f.target.Canary == nil {
		return one(unchecked("", "there is no canary"))
	}
	a, b := f.target.Baseline, *f.target.Canary
	var all []Finding
	if a.Configuration != nil && b.Configuration != nil {
		if differ := configurations(*a.Configuration, *b.Configuration); len(differ) > 0 {
			all = append(all, warn("give both versions the same configuration, or let latency not decide: --latency-margin none",
				"the comparison of latencies is not fair: baseline and canary differ in %s", strings.Join(differ, ", ")))
		}
	}
	if a.Provisioned != nil && b.Provisioned != nil && *a.Provisioned != *b.Provisioned {
		all = append(all, warn("give both the same provisioned concurrency, or let latency not decide: --latency-margin none",
			"the comparison of latencies is not fair: %s has %d provisioned environments, %s has %d", a.Name(), *a.Provisioned, b.Name(), *b.Provisioned))
	}
	for _, s := range f.sides() {
		for _, operation := range []string{"GetFunctionConfiguration", "GetProvisionedConcurrencyConfig"} {
			if u := s.NotRead(operation); u != nil {
				all = append(all, unchecked("grant lambda:"+operation, "what %s runs with: %s", s.Name(), u.Why))
			}
		}
	}
	switch {
	case all != nil:
		return all
	case a.Configuration == nil || b.Configuration == nil:
		return one(unchecked("", "what the versions run with is not known"))
	}
	return one(fine("both versions run with %d MB, timeout %d s, %s, %s", a.Configuration.Memory, a.Configuration.Timeout, a.Configuration.Architecture,
		count(len(a.Configuration.Layers), "layer")))
}

func configurations(a, b stage.Configuration) []string {
	var differ []string
	add := func(what, was, is string) {
		if was != is {
			differ = append(differ, fmt.Sprintf("%s (%s, %s)", what, was, is))
		}
	}
	add("memory", fmt.Sprintf("%d MB", a.Memory), fmt.Sprintf("%d MB", b.Memory))
	add("timeout", fmt.Sprintf("%d s", a.Timeout), fmt.Sprintf("%d s", b.Timeout))
	add("layers", layers(a), layers(b))
	add("SnapStart", onOff(a.SnapStart), onOff(b.SnapStart))
	add("architecture", a.Architecture, b.Architecture)
	return differ
}

func layers(c stage.Configuration) string {
	if len(c.Layers) == 0 {
		return "none"
	}
	return strings.Join(c.Layers, " ")
}

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

func count(n int, what string) string {
	switch n {
	case 0:
		return "no " + what + "s"
	case 1:
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
