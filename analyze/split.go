package analyze

import (
	"slices"

	"coalmine/analyze/sequential"
	"coalmine/attack"
)

// splitCheck asks whether the canary gets its share of the answers (statistics.md 2.2 and 2.8). As a roll-out moves
// from host to host, neither side may rest on the transition: each e-process is the least over all starts between
// arming and settle, so there is no word on the split before settle.
type splitCheck struct {
	test          sequential.Split
	share, margin float64
	settled       int64 // window of the last start
	named         bool  // only answers that name a version count: the policy takes the others to be independent of it
	starts        []sequential.SplitCount
	windows       []int64 // of the starts
	rest          sequential.SplitCount
}

func newSplitCheck(p Policy, share float64, l sequential.Levels, settled int64, named bool) (*splitCheck, error) {
	test, err := sequential.NewSplit(share, p.MarginShare(), l)
	return &splitCheck{test: test, share: share, margin: p.MarginShare(), settled: settled, named: named}, err
}

func (c *splitCheck) add(w *attack.Window, canary uint64) {
	n := sequential.SplitCount{Canary: canary, Unclassified: unattributed(w.Answers) + w.Pending, N: w.Hits + w.Pending}
	if c.named {
		n.Unclassified, n.N = w.Pending, n.N-unattributed(w.Answers)
	}
	if w.Index < c.settled {
		c.starts, c.windows = append(c.starts, n), append(c.windows, w.Index)
		return
	}
	c.rest = plus(c.rest, n)
}

// late moves answers from pending, which counts as unclassified, to what they turned out to be.
func (c *splitCheck) late(l attack.Late, canary uint64) {
	into := &c.rest
	if i, found := slices.BinarySearch(c.windows, l.Index); found {
		into = &c.starts[i]
	}
	into.Canary += canary
	all, nameless := answered(l.Answers), unattributed(l.Answers)
	if c.named {
		into.N -= min(nameless, into.N)
		nameless = 0
	}
	into.Unclassified -= min(all-nameless, into.Unclassified)
}

func plus(a, b sequential.SplitCount) sequential.SplitCount {
	return sequential.SplitCount{Canary: a.Canary + b.Canary, Unclassified: a.Unclassified + b.Unclassified, N: a.N + b.N}
}

func (c *splitCheck) total() sequential.SplitCount {
	sum := c.rest
	for _, w := range c.starts {
		sum = plus(sum, w)
	}
	return sum
}

func (c *splitCheck) name() string { return "split" }
func (c *splitCheck) group() group { return split }
func (c *splitCheck) passes() bool { return true }

func (c *splitCheck) look(e *evidence) (pass, fail float64) {
	least := c.test.Tempered(e.routed).MinOverStarts(c.starts, c.rest)
	return min(least.PassLow, least.PassHigh), least.Fail
}

// bounds are the shares that the start windows which decide leave possible: not those of all answers, as part of them
// may be from before the change had arrived everywhere.
func (c *splitCheck) bounds(routed float64) (low, high float64) {
	test := c.test.Tempered(routed)
	least := test.MinOverStarts(c.starts, c.rest)
	from := func(start int) sequential.SplitCount {
		sum := c.rest
		for _, w := range c.starts[start:] {
			sum = plus(sum, w)
		}
		return sum
	}
	low, _ = test.Bounds(from(least.PassLowStart))
	_, high = test.Bounds(from(least.PassHighStart))
	return low, high
}

func (c *splitCheck) explain(e *evidence, o Outcome, _ reading) Check {
	sum := c.total()
	out := Check{Unit: UnitShare, K: sum.Canary, N: sum.N, Limit: Interval{ptr(c.share - c.margin), ptr(c.share + c.margin)}}
	if sum.N == 0 {
		out.Sentence = "No answer was judged for the split."
		return out
	}
	share := float64(sum.Canary) / float64(max(sum.N-min(sum.Unclassified, sum.N), 1))
	out.Estimate = &share
	allowed := sentence("allowed %s to %s", Share(c.share-c.margin), Share(c.share+c.margin))
	seen := sentence("Canary share %s (%s of %s answers that name a version", Share(share), Count(sum.Canary), Count(sum.N-min(sum.Unclassified, sum.N)))
	if sum.Unclassified > 0 {
		seen += sentence(", %s do not", Count(sum.Unclassified))
	}
	seen += ")"
	low, high := c.bounds(e.routed)
	if c.rest.N > 0 {
		out.Proven = Interval{ptr(low), ptr(high)}
	}
	switch {
	case o == Fail:
		out.Sentence = sentence("%s; %s: the traffic is not split as configured (%s).", seen, allowed, Share(c.share))
	case c.rest.N == 0:
		out.Sentence = sentence("%s, %s; what was seen before the end of settle proves nothing yet.", seen, allowed)
	case o == Pass:
		out.Sentence = sentence("%s; shares below %s or above %s are ruled out, %s.", seen, Share(low), Share(high), allowed)
	default:
		out.Sentence = sentence("%s; it may be anything from %s to %s, %s.", seen, Share(low), Share(high), allowed)
	}
	return out
}
