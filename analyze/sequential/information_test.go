package sequential

import (
	"math"
	"testing"
)

// The table of statistics.md 7: alpha .05, baseline errors .1 %, latency lognormal with sigma .5.
func TestInformation(t *testing.T) {
	slow := func(x float64) float64 { return 0.5 * math.Erfc(math.Log(x)/0.5/math.Sqrt2) }
	quantile := func(p float64) float64 { return math.Exp(0.5 * math.Sqrt2 * math.Erfinv(2*p-1)) }
	latency := func(share, p, margin float64, side Side) float64 {
		q := quantile(p)
		return QuantileInformation(1-p, 1-share, share, slow, func(x float64) float64 { return slow(x * (1 + margin)) }, q/(1+margin), q, side)
	}
	for _, tc := range []struct {
		share, margin float64
		want          [7]float64
	}{
		{.50, .03, [7]float64{1661, 889, 2001, 2997, 858, 9513, 2016}},
		{.10, .02, [7]float64{1503, 4446, 9408, 9617, 3097, 32280, 8332}},
		{.05, .02, [7]float64{884, 8892, 18707, 18536, 6043, 62572, 16445}},
	} {
		got := [7]float64{
			SplitInformation(tc.share, tc.margin, 0),
			RateInformation(Counted{tc.share, .001}, .01, Down),
			DifferenceInformation(Counted{1 - tc.share, .001}, Counted{tc.share, .001}, .005, Down),
			latency(tc.share, .95, .10, Down),
			latency(tc.share, .95, .20, Down),
			latency(tc.share, .99, .10, Down),
			latency(tc.share, .99, .25, Down),
		}
		for i, information := range got {
			if n := math.Round(math.Log(20) / information); n != tc.want[i] {
				t.Errorf("share %v, column %d: %v requests, want %v", tc.share, i, n, tc.want[i])
			}
		}
	}
}

// The other side, from the bounds of section 4: what a regression gives away, at 50 % and beta .05.
func TestInformationOfRegressions(t *testing.T) {
	quantile := func(p, margin, slower float64) float64 {
		slow := func(x float64) float64 { return 0.5 * math.Erfc(math.Log(x)/0.5/math.Sqrt2) }
		q := math.Exp(0.5 * math.Sqrt2 * math.Erfinv(2*p-1))
		return QuantileInformation(1-p, .5, .5, slow, func(x float64) float64 { return slow(x * (1 + margin) / (1 + slower)) },
			q, q*(1+slower)/(1+margin), Up)
	}
	for _, tc := range []struct {
		name        string
		information float64
		want        float64
	}{
		{"split 45 %", RateInformation(Counted{1, .45}, .47, Down), 3724},
		{"split 40 %", RateInformation(Counted{1, .40}, .47, Down), 302},
		{"errors 2 %, of that version", RateInformation(Counted{1, .02}, .01, Up), 765},
		{"errors 10 %", RateInformation(Counted{1, .1}, .01, Up), 21},
		{"errors .1 against 1 %", DifferenceInformation(Counted{.5, .001}, Counted{.5, .01}, .005, Up), 6859},
		{"errors .1 against 3 %", DifferenceInformation(Counted{.5, .001}, Counted{.5, .03}, .005, Up), 475},
		{"p95 +25 %", quantile(.95, .1, .25), 1689},
		{"p95 +50 %", quantile(.95, .1, .5), 335},
		{"p99 +25 %", quantile(.99, .1, .25), 5433},
		{"p99 +50 %", quantile(.99, .1, .5), 1226},
	} {
		if n := math.Log(20) / tc.information; math.Abs(n-tc.want) > 1 {
			t.Errorf("%s: %.1f requests, want %v", tc.name, n, tc.want)
		}
	}
}

func TestInformationIsNoneWhereTheNullHolds(t *testing.T) {
	slow := func(x float64) float64 { return math.Exp(-x) }
	for name, information := range map[string]float64{
		"rate at its bound":         RateInformation(Counted{1, .01}, .01, Down),
		"rate above it":             RateInformation(Counted{1, .02}, .01, Down),
		"rate below it":             RateInformation(Counted{1, .005}, .01, Up),
		"nobody there":              RateInformation(Counted{0, .001}, .01, Down),
		"all unclassified":          SplitInformation(.5, .03, 1),
		"unclassified fill a side":  SplitInformation(.5, .03, .07),
		"difference at its margin":  DifferenceInformation(Counted{.5, .01}, Counted{.5, .015}, .005, Down),
		"difference beyond it":      DifferenceInformation(Counted{.5, .01}, Counted{.5, .02}, .005, Down),
		"difference within it":      DifferenceInformation(Counted{.5, .01}, Counted{.5, .01}, .005, Up),
		"no range to look in":       QuantileInformation(.05, .5, .5, slow, slow, 2, 1, Down),
		"canary as slow as allowed": QuantileInformation(.05, .5, .5, slow, slow, 1, 9, Down),
	} {
		if information > 1e-9 || math.IsNaN(information) {
			t.Errorf("%s: %v nats, want 0", name, information)
		}
	}
	if x := DifferenceInformation(Counted{.5, 0}, Counted{.5, 0}, .005, Down); !(x > 0 && x < 1) {
		t.Errorf("no errors at all: %v nats", x)
	}
}
