package analyze_test

import (
	"math"
	"testing"
	"time"

	"coalmine/analyze"
	"coalmine/analyze/simulated"
)

// amended is the release of section 4's first table: half of 500 requests a second to a good canary, which arrives within a second.
func amended(change func(*release)) release {
	v := simulated.Version{Name: "1", Median: 50 * time.Millisecond, Sigma: 0.5, Errors: 0.001, Anonymous: 0.0002}
	r := release{percent: 50, policy: analyze.DefaultPolicy(true).Complete(0.5),
		stage: simulated.Canary{Rate: 500, Share: 0.5, Reached: simulated.Ramp(0, time.Second), Timeout: 10 * time.Second, Turns: true, Baseline: v, Canary: v}}
	r.stage.Canary.Name = "2"
	r.policy.Settle, r.policy.MinDuration, r.policy.MaxDuration = seconds(30), seconds(10), seconds(60)
	r.policy.Latency.Max = map[analyze.Quantile]analyze.Duration{0.99: analyze.Duration(250 * time.Millisecond)}
	r.policy.Latency.Margin = map[analyze.Quantile]analyze.Slack{0.95: {Ratio: 0.10}}
	if change != nil {
		change(&r)
	}
	return r
}

// firstDesign is the release of section 4's whole-gate table: as amended, looked at every 200 requests, with no settling.
func firstDesign(alpha, beta float64, change func(*release)) release {
	r := amended(nil)
	r.stage.Rate, r.stage.Reached = 2000, nil
	r.policy.Alpha, r.policy.Beta = alpha, beta
	r.policy.Settle, r.policy.MinDuration, r.policy.MaxDuration = 0, 0, seconds(15)
	if change != nil {
		change(&r)
	}
	return r
}

func seconds(s float64) analyze.Duration { return analyze.Duration(s * float64(time.Second)) }

// The ways in which a canary is exactly at one bound, and within the others.

func atShare(s float64) func(*release) { return func(r *release) { r.stage.Share = s } }

// errorRates are the two versions' whole rates, what names no version included.
func errorRates(baseline, canary float64) func(*release) {
	return func(r *release) {
		r.stage.Baseline.Errors, r.stage.Canary.Errors = baseline-r.stage.Baseline.Anonymous, canary-r.stage.Canary.Anonymous
	}
}

// absoluteAlone leaves one bound on errors, the absolute one.
func absoluteAlone(canary float64) func(*release) {
	return func(r *release) {
		errorRates(0.0002, canary)(r)
		r.policy.Errors.Margin = 5
	}
}

func anonymousErrors(share float64) func(*release) {
	return func(r *release) { r.stage.Canary.Anonymous = share }
}

func slowerBy(by float64) func(*release) {
	return func(r *release) { r.stage.Canary.Median = time.Duration(float64(r.stage.Baseline.Median) * (1 + by)) }
}

const p99z, p95z = 2.3263478740408408, 1.6448536269514722 // of the normal distribution

// p99AtBound gives the canary a p99 of 250 ms, and the baseline the same p95 with a lighter tail.
func p99AtBound(r *release) {
	canary := 250e6 / math.Exp(0.5*p99z)
	r.stage.Canary.Median = time.Duration(canary)
	r.stage.Baseline.Sigma = 0.2
	r.stage.Baseline.Median = time.Duration(canary * math.Exp((0.5-0.2)*p95z))
}

// allMet is a canary at every bound at once: share, errors by themselves and against the baseline, p99, p95.
func allMet(r *release) {
	atShare(0.53)(r)
	errorRates(0.005, 0.01)(r)
	canary := 250e6 / math.Exp(0.5*p99z)
	r.stage.Canary.Median, r.stage.Baseline.Median = time.Duration(canary), time.Duration(canary/1.1)
}

// stageMet is allMet with both versions at the bound on errors.
func stageMet(r *release) {
	allMet(r)
	errorRates(0.01, 0.01)(r)
}

func hanging(share float64, rate int, timeout time.Duration) func(*release) {
	return func(r *release) {
		r.stage.Canary.Hang, r.stage.Canary.Gateway, r.stage.Rate, r.stage.Timeout = share, 29*time.Second, rate, timeout
	}
}

// Section 4's first table.
func TestHarnessGate(t *testing.T) {
	const alpha, beta = 0.01, 0.05
	short := func(r *release) { r.policy.Settle, r.policy.MinDuration = seconds(3), seconds(3) }
	both := func(a, b func(*release)) release { return amended(func(r *release) { a(r); b(r) }) }
	tabulate(t, []row{ // releases with -harness, and without
		{"good", amended(nil), 2000, 4, atLeast(0.99), atMost(beta), "PASS 1.000, 8,041 (12,050), total 9,046", nil},
		{"good, after a before phase of 20 s", amended(func(r *release) { r.before = 20 * time.Second }), 500, 0, atLeast(0.99), atMost(beta), "", nil},
		{"good, settle 10 s", amended(func(r *release) { r.policy.Settle = seconds(10) }), 500, 0, atLeast(0.99), atMost(beta), "10,618 in all (first form)", nil},
		{"good, settle and min-duration 3 s", amended(short), 1000, 10, atLeast(0.99), atMost(beta), "", nil},
		{"anonymous .1 %", amended(func(r *release) { r.stage.Baseline.Anonymous, r.stage.Canary.Anonymous = 0.001, 0.001 }), 500, 0, promise{}, atMost(beta), "PASS .917, 15,577", nil},
		{"boundary: split .47", amended(atShare(0.47)), 1000, 0, atMost(alpha), promise{}, "wrong PASS .0015", nil},
		{"boundary: split .53", amended(atShare(0.53)), 1000, 0, atMost(alpha), promise{}, "wrong PASS .0025", nil},
		{"boundary: split .47, settle 3 s", both(atShare(0.47), short), 1000, 12, atMost(alpha), promise{}, "", nil},
		{"boundary: split .53, settle 3 s", both(atShare(0.53), short), 1000, 12, atMost(alpha), promise{}, "", nil},
		{"boundary: errors +.5 pp", both(errorRates(0.0012, 0.0062), short), 1000, 0, atMost(alpha), promise{}, "wrong PASS 0", nil},
		{"boundary: canary errors 1 %", both(errorRates(0.0012, 0.01), short), 1000, 0, atMost(alpha), promise{}, "wrong PASS 0", nil},
		{"boundary: 1 %, no other bound", both(absoluteAlone(0.01), short), 1000, 0, atMost(alpha), promise{}, "", nil},
		{"boundary: p99 at 250 ms", both(p99AtBound, short), 1000, 0, atMost(alpha), promise{}, "wrong PASS 0", nil},
		{"boundary: p95 +10 %", both(slowerBy(0.1), short), 1000, 0, atMost(alpha), promise{}, "wrong PASS .0005", nil},
		{"all bounds exactly met", amended(allMet), 1000, 3, notOne, atMost(beta), "wrong FAIL .0060", nil},
		{"all met, both versions at 1 %", amended(stageMet), 1000, 0, notOne, atMost(beta), "", nil},
		{"all met, .5 % good and nameless", amended(func(r *release) { allMet(r); r.stage.Baseline.Nameless, r.stage.Canary.Nameless = 0.005, 0.005 }), 500, 0, notOne, atMost(beta), "", nil},
		{"all met, after a before phase", amended(func(r *release) { allMet(r); r.before = 20 * time.Second }), 500, 0, notOne, atMost(beta), "", nil},
		{"dead: anonymous 500s 100 %", amended(anonymousErrors(1)), 1000, 50, notOne, everyOne, "FAIL 1, 143", nil},
		{"dead: anonymous 500s 20 %", amended(anonymousErrors(0.2)), 1000, 50, notOne, everyOne, "FAIL 1, 369", nil},
		{"dead: anonymous 500s 5 %", amended(anonymousErrors(0.05)), 1000, 30, notOne, everyOne, "FAIL 1, 1,345", nil},
		{"canary errors 1 %", amended(errorRates(0.0012, 0.01)), 500, 0, notOne, promise{}, "FAIL .87, 14,614", nil},
		{"canary errors 1.5 %", amended(errorRates(0.0012, 0.015)), 500, 0, notOne, everyOne, "FAIL 1, 4,801", nil},
		{"canary errors 3 %", amended(errorRates(0.0012, 0.03)), 1000, 20, notOne, everyOne, "FAIL 1, 1,898", nil},
		{"latency +25 %", amended(slowerBy(0.25)), 500, 0, notOne, everyOne, "FAIL 1, 5,068", nil},
		{"latency +50 %", amended(slowerBy(0.5)), 1000, 10, notOne, everyOne, "FAIL 1, 1,883", nil},
		{"split 45 %", amended(atShare(0.45)), 500, 0, notOne, promise{}, "FAIL .88, 47 s", nil},
		{"split 40 %", amended(atShare(0.4)), 500, 0, notOne, everyOne, "FAIL 1, 31.8 s", nil},
		{"split 10 %", amended(atShare(0.1)), 500, 0, notOne, everyOne, "FAIL 1, 30.25 s", nil},
		{"split 0 %", amended(atShare(0)), 500, 0, notOne, everyOne, "FAIL 1, 30.25 s", nil},
		{"split 40 %, settle 3 s", both(atShare(0.4), short), 500, 10, notOne, everyOne, "", nil},
		{"5 % hang 29 s, 500/s", amended(hanging(0.05, 500, 30*time.Second)), 200, 0, notOne, promise{}, "never promoted, FAIL at 52.7 s", nil},
		{"5 % hang 29 s, 2,000/s", amended(hanging(0.05, 2000, 30*time.Second)), 100, 0, notOne, promise{}, "never promoted, FAIL at 48.6 s", nil},
		{"5 % hang, client's timeout 10 s", amended(hanging(0.05, 500, 10*time.Second)), 200, 3, notOne, everyOne, "never promoted, FAIL at 20.5 s", nil},
		{"the same, 2,000/s", amended(hanging(0.05, 2000, 10*time.Second)), 100, 0, notOne, everyOne, "", nil},
		{"3 % hang 29 s, 500/s", amended(hanging(0.03, 500, 30*time.Second)), 200, 0, notOne, promise{}, "INCONCLUSIVE", nil},
		{"3 % hang, client's timeout 10 s", amended(hanging(0.03, 500, 10*time.Second)), 200, 0, notOne, promise{}, "", nil},
		{"5 % hang 29 s, 500/s, settle 3 s", both(hanging(0.05, 500, 30*time.Second), short), 200, 0, notOne, promise{}, "", nil},
	})
}

// Section 4's whole-gate table, as far as it maps: looks every 200 requests from the first on, at both pairs of levels.
func TestHarnessWholeGate(t *testing.T) {
	for _, level := range []struct {
		name        string
		alpha, beta float64
		design      []string // in order of the rows
	}{
		{"alpha = beta = .05", 0.05, 0.05, []string{"PASS 1.000, 6,093 (9,600)", ".0095", ".0110", ".0015", ".0010", "", ".0070", ".0055", "wrong FAIL .0115",
			"FAIL 8,675", "FAIL 751", "FAIL 40", "FAIL 33", "FAIL .80, 15,714", "FAIL 865", "FAIL 4,890", "FAIL 1,072", "PASS .74", "PASS .86", "PASS 7,123", "PASS 11,787", "PASS .14 by 40,000", "never"}},
		{"alpha = beta = .01", 0.01, 0.01, []string{"PASS 1.000, 8,300", "", "", "", "", "", "", "", "wrong FAIL .0025",
			"FAIL 11,228", "FAIL 902", "FAIL 42", "FAIL 33", "FAIL .64, 17,832", "FAIL 1,099", "FAIL 5,873", "FAIL 1,314", "PASS .58", "PASS .70", "", "", "", ""}},
	} {
		t.Run(level.name, func(t *testing.T) {
			kind := func(change func(*release)) release { return firstDesign(level.alpha, level.beta, change) }
			unclassified := func(share float64) release {
				return kind(func(r *release) { r.stage.Baseline.Anonymous, r.stage.Canary.Anonymous = share, share })
			}
			wrong, rare := atMost(level.alpha), atMost(level.beta)
			rows := []row{ // releases with -harness, and without
				{"all good", kind(nil), 1000, 40, atLeast(0.99), rare, "", nil},
				{"boundary: share .47", kind(atShare(0.47)), 1000, 20, wrong, promise{}, "", nil},
				{"boundary: share .53", kind(atShare(0.53)), 1000, 20, wrong, promise{}, "", nil},
				{"boundary: errors +.5 pp", kind(errorRates(0.0012, 0.0062)), 1000, 20, wrong, promise{}, "", nil},
				{"boundary: canary errors 1 %", kind(errorRates(0.0012, 0.01)), 1000, 0, wrong, promise{}, "", nil},
				{"boundary: 1 %, no other bound", kind(absoluteAlone(0.01)), 1000, 20, wrong, promise{}, "", nil},
				{"boundary: p99 = 250 ms", kind(p99AtBound), 1000, 20, wrong, promise{}, "", nil},
				{"boundary: p95 +10 %", kind(slowerBy(0.1)), 1000, 20, wrong, promise{}, "", nil},
				{"all bounds exactly met", kind(allMet), 1000, 20, notOne, rare, "", nil},
				{"split 45 %", kind(atShare(0.45)), 500, 0, notOne, promise{}, "", nil},
				{"split 40 %", kind(atShare(0.4)), 500, 20, notOne, everyOne, "", nil},
				{"split 10 %", kind(atShare(0.1)), 500, 20, notOne, everyOne, "", nil},
				{"split 5 %", kind(atShare(0.05)), 500, 20, notOne, everyOne, "", nil},
				{"canary errors 1 %", kind(errorRates(0.0012, 0.01)), 500, 0, notOne, promise{}, "", nil},
				{"canary errors 3 %", kind(errorRates(0.0012, 0.03)), 500, 20, notOne, everyOne, "", nil},
				{"canary +25 %", kind(slowerBy(0.25)), 500, 10, notOne, atLeast(0.95), "", nil},
				{"canary +50 %", kind(slowerBy(0.5)), 500, 20, notOne, everyOne, "", nil},
				{"canary +5 % (allowed)", kind(slowerBy(0.05)), 500, 0, promise{}, rare, "", nil},
				{"errors +.2 pp (allowed)", kind(errorRates(0.0012, 0.0032)), 500, 0, promise{}, rare, "", nil},
				{"good, unclassified .05 %", unclassified(0.0005), 500, 0, promise{}, rare, "", nil},
				{"good, unclassified .1 %", unclassified(0.001), 500, 0, promise{}, rare, "", nil},
				{"good, unclassified .2 %", unclassified(0.002), 500, 0, promise{}, rare, "", nil},
				{"good, unclassified .3 %", unclassified(0.003), 500, 0, promise{}, rare, "", nil},
			}
			for i := range rows {
				rows[i].design = level.design[i]
				if level.alpha < 0.05 { // the short version has enough with one
					rows[i].short = 0
				}
			}
			tabulate(t, rows)
		})
	}
}
