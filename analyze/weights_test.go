package analyze

import (
	"math"
	"testing"
	"time"

	"coalmine/analyze/sequential"
)

// The weights of all checks of a phase add up to one, on several targets as on one: that keeps the FAIL rule's promise.
func TestWeights(t *testing.T) {
	for _, targets := range [][]LoadTarget{nil, {{Name: "GET /a", Share: 1}}, {{Name: "GET /a", Share: 0.9}, {Name: "GET /b", Share: 0.1}}} {
		p := DefaultPolicy(true).Complete(0.5)
		p.Latency.Margin = map[Quantile]Slack{0.5: {Ratio: 0.2}, 0.95: {Ratio: 0.1}}
		d, err := newDuring(p, Target{Baseline: "1", Canary: "2", Percent: 50}, targets, sequential.Levels{Alpha: p.Alpha, Beta: p.Beta, Budget: 10_000}, &totals{}, 0, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		d.arming.start = 0
		d.arm()
		whole, parts := 0.0, 0.0
		for _, r := range d.readings() {
			if _, one := r.check.(inTarget); one {
				parts += r.weight
			} else {
				whole += r.weight
			}
		}
		if math.Abs(whole+parts-1) > 1e-9 || (parts > 0) != (len(targets) > 0) {
			t.Errorf("%d targets: weights add up to %v, %v of them the targets'", len(targets), whole+parts, parts)
		}
	}
}
