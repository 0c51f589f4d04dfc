package analyze

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"coalmine/attack"
)

// A run may stop whenever its evidence says so: an interval that is to be believed then holds its value at all looks at
// once. Of 200 runs looked at 20 times each, 5 % at most may ever miss; 3 standard errors more are chance.
func TestIntervalsAtEveryLook(t *testing.T) {
	const runs, alpha = 200, 0.05
	allowed := int(runs*alpha + 3*math.Sqrt(runs*alpha*(1-alpha)))
	random := rand.New(rand.NewPCG(1, 2))
	normal := map[float64]float64{0.5: 0, 0.95: 1.6448536, 0.99: 2.3263479}
	missed := map[float64]int{}
	for range runs {
		var h attack.Histogram
		wrong := map[float64]bool{}
		for range 20 {
			for range 50 {
				h.Add(time.Duration(5e6 * math.Exp(0.5*random.NormFloat64())))
			}
			for q, z := range normal {
				e, truth := quantile(h, q, alpha), 5e6*math.Exp(0.5*z)
				wrong[q] = wrong[q] || e.Low != nil && *e.Low > truth || e.High != nil && *e.High < truth
			}
		}
		for q, is := range wrong {
			if is {
				missed[q]++
			}
		}
	}
	for q := range normal {
		if missed[q] > allowed {
			t.Errorf("quantile %v: %d of %d runs missed it at some look, want %d at most", q, missed[q], runs, allowed)
		}
		if missed[q] > 0 {
			t.Logf("quantile %v: %d of %d", q, missed[q], runs)
		}
	}
}

// Few answers prove nothing, many prove a lot, and the estimate is in its interval.
func TestQuantileIntervals(t *testing.T) {
	h := attack.Histogram{}
	for i, n := range []int{1, 9, 90, 900, 9000} {
		for k := range n {
			h.Add(time.Duration(1e6 + float64(k*7919%1000)*1e3))
		}
		for _, q := range []float64{0.5, 0.95, 0.99} {
			e := quantile(h, q, 0.05)
			if e.Low != nil && *e.Low > *e.Value || e.High != nil && *e.High < *e.Value {
				t.Errorf("%d answers, quantile %v: %v outside %v to %v", h.Total(), q, *e.Value, *e.Low, *e.High)
			}
			if i == 0 && (e.Low != nil && q < 0.99 || e.High != nil) { // of one answer p99 is hardly less
				t.Errorf("one answer proves something of quantile %v", q)
			}
			if i == 4 && (e.Low == nil || e.High == nil || *e.High / *e.Low > 1.1) {
				t.Errorf("10,000 answers leave quantile %v open: %+v", q, e)
			}
		}
	}
	if e := quantile(nil, 0.5, 0.05); e.Low != nil || e.High != nil {
		t.Errorf("no answer: %+v", e)
	}
	if e := proportion(0, 0, 0.05); e.Value != nil || e.Low != nil {
		t.Errorf("no answer: %+v", e)
	}
}

// What one of two runs does not have is said to be none: an attack names no versions, a URL alone no stage.
func TestSetUpNamesNone(t *testing.T) {
	run := Analysis{Header: Header{Command: "run", Name: "products",
		Target: Target{API: "a1", Stage: "prod", Method: "GET", URL: "http://x/", Baseline: "1", Canary: "2", Percent: 50}}}
	bare := Analysis{Header: Header{Command: "attack", Target: Target{Method: "GET", URL: "http://x/"}}}
	got := Compare(run, bare).SetUp
	want := []string{"command: run, then attack", "scenario: products, then none", "stage: a1 prod, then none", "versions: 1 and 2, then none",
		"canary's share: 50 %, then none"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
