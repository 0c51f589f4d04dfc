package analyze

import (
	"coalmine/attack"
)

// A release that was good and is no longer must not pass on what it earned. So before a promote the last half of the
// judged answers is looked at alone: if that would fail, the whole does not pass (statistics.md 3).

// mostCheckpoints bounds the memory: when there are more, every other is dropped and they come half as often.
const mostCheckpoints = 64

// checkpoint is the judged evidence as it was.
type checkpoint struct {
	hits uint64
	e    evidence
}

type checkpoints struct {
	taken []checkpoint
	every uint64 // windows between two
	since uint64
}

func (c *checkpoints) add(hits uint64, e *evidence) {
	if c.every == 0 {
		c.every = 1
	}
	if c.since++; c.since < c.every {
		return
	}
	c.since = 0
	c.taken = append(c.taken, checkpoint{hits, e.clone()})
	if len(c.taken) > mostCheckpoints {
		for i := range mostCheckpoints / 2 {
			c.taken[i] = c.taken[2*i+1]
		}
		clear(c.taken[mostCheckpoints/2:])
		c.taken = c.taken[:mostCheckpoints/2]
		c.every *= 2
	}
}

// half is the checkpoint nearest to the middle.
func (c *checkpoints) half(hits uint64) (evidence, bool) {
	best := -1
	for i, at := range c.taken {
		if best < 0 || distance(at.hits, hits/2) < distance(c.taken[best].hits, hits/2) {
			best = i
		}
	}
	if best < 0 || c.taken[best].hits >= hits {
		return evidence{}, false
	}
	return c.taken[best].e, true
}

func distance(a, b uint64) uint64 { return max(a, b) - min(a, b) }

func (e *evidence) clone() evidence {
	out := *e
	for _, h := range []*attack.Histogram{&out.baseline.response, &out.canary.response, &out.response} {
		*h = append(attack.Histogram(nil), *h...)
	}
	return out
}

// since is the evidence that came after an earlier one. What is pending now is taken to be all of it: it is the newest.
func (e *evidence) since(was evidence) evidence {
	return evidence{
		baseline: e.baseline.since(was.baseline), canary: e.canary.since(was.canary),
		errors: e.errors - min(was.errors, e.errors), timeouts: e.timeouts - min(was.timeouts, e.timeouts), successes: e.successes - was.successes, timed: e.timed - min(was.timed, e.timed),
		response: less(e.response, was.response), pending: e.pending, spared: e.spared,
		bursts: e.bursts, slowBursts: e.slowBursts, routed: e.routed,
	}
}

func (a arm) since(was arm) arm {
	return arm{hits: a.hits - min(was.hits, a.hits), errors: a.errors - min(was.errors, a.errors), response: less(a.response, was.response),
		timed: a.timed - min(was.timed, a.timed), timeouts: a.timeouts - min(was.timeouts, a.timeouts)}
}

func less(h, was attack.Histogram) (out attack.Histogram) {
	i := 0
	out = make(attack.Histogram, 0, len(h))
	for _, b := range h {
		if i < len(was) && was[i].Bin == b.Bin {
			b.Count -= was[i].Count
			i++
		}
		if b.Count > 0 {
			out = append(out, b)
		}
	}
	return out
}
