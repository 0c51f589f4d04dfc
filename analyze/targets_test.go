package analyze_test

import (
	"iter"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"coalmine/analyze"
	"coalmine/analyze/simulated"
	"coalmine/attack"
)

// endpoint is one target of several, with its part of a thousand requests a second, in tens.
type endpoint struct {
	name   string
	rate   int
	change func(*simulated.Canary)
}

func plan(endpoints []endpoint) (out []analyze.LoadTarget) {
	for _, e := range endpoints {
		out = append(out, analyze.LoadTarget{Name: e.name, Share: float64(e.rate) / 1000})
	}
	return out
}

// mixed are the windows of one load on several endpoints, with a part for each.
func mixed(seed uint64, endpoints []endpoint) iter.Seq[attack.Window] {
	return func(yield func(attack.Window) bool) {
		var next []func() (attack.Window, bool)
		for i, e := range endpoints {
			c := healthy(seed*100 + uint64(i))
			c.Rate, c.Arrives, c.Spread = e.rate, 0, 0
			if e.change != nil {
				e.change(&c)
			}
			pull, stop := iter.Pull(c.Windows())
			defer stop()
			next = append(next, pull)
		}
		for {
			var all attack.Window
			late := map[int64]*attack.Late{}
			for i, e := range endpoints {
				w, _ := next[i]()
				all.Phase, all.Index, all.Start, all.Length = w.Phase, w.Index, w.Start, w.Length
				all.Due, all.Sent, all.Hits, all.Pending = all.Due+w.Due, all.Sent+w.Sent, all.Hits+w.Hits, all.Pending+w.Pending
				all.Wake.Merge(w.Wake)
				all.Merge(w.Answers)
				if all.Targets == nil {
					all.Targets = map[string]*attack.Part{}
				}
				all.Targets[e.name] = &attack.Part{Due: w.Due, Answers: w.Answers}
				for _, l := range w.Late {
					if late[l.Index] == nil {
						late[l.Index] = &attack.Late{Index: l.Index, Targets: map[string]*attack.Part{}}
					}
					late[l.Index].Merge(l.Answers)
					late[l.Index].Targets[e.name] = &attack.Part{Answers: l.Answers}
				}
			}
			for _, l := range late {
				all.Late = append(all.Late, *l)
			}
			slices.SortFunc(all.Late, func(a, b attack.Late) int { return int(a.Index - b.Index) })
			if !yield(all) {
				return
			}
		}
	}
}

// quick judges the load on the endpoints, for 25 s at most; whole leaves the parts out of what it is told.
func quick(t *testing.T, seed uint64, endpoints []endpoint, whole bool) analyze.Analysis {
	return within(t, 25*time.Second, seed, endpoints, whole)
}

func within(t *testing.T, most time.Duration, seed uint64, endpoints []endpoint, whole bool) analyze.Analysis {
	p := analyze.DefaultPolicy(true).Complete(0.5)
	p.Settle, p.MinDuration, p.MaxDuration = seconds(1), seconds(3), analyze.Duration(most)
	p.Latency.Margin = map[analyze.Quantile]analyze.Slack{0.95: {Ratio: 0.10}}
	h := analyze.Header{Policy: &p, Budget: p.Budget(1000), Target: analyze.Target{Baseline: "1", Canary: "2", Percent: 50},
		Plan: analyze.Plan{Rate: 1000, Timeout: 10 * time.Second}}
	if !whole {
		h.Plan.Targets = plan(endpoints)
	}
	j, err := analyze.NewJudge(h)
	if err != nil {
		t.Error(err)
		return analyze.Analysis{}
	}
	j.Note(analyze.Event{Phase: analyze.During, Name: analyze.PhaseBegin})
	for w := range mixed(seed, endpoints) {
		j.Add(w)
		if j.Settled() || w.End() >= most {
			j.Note(analyze.Event{At: w.End(), Phase: analyze.During, Name: analyze.PhaseEnd})
			break
		}
	}
	return j.Analysis()
}

// outcomes judges n loads on all cores, each for so long at most.
func outcomes(t *testing.T, n int, most time.Duration, endpoints []endpoint, whole bool) (count map[analyze.Verdict]int, culprits map[string]int) {
	count, culprits = map[analyze.Verdict]int{}, map[string]int{}
	var next atomic.Uint64
	var mu sync.Mutex
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for seed := next.Add(1); seed <= uint64(n); seed = next.Add(1) {
				a := within(t, most, seed, endpoints, whole)
				mu.Lock()
				count[a.Conclusion.Verdict]++
				if a.Conclusion.Verdict == analyze.Reject {
					culprits[a.Conclusion.Culprit]++
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return count, culprits
}

func anonymous(c *simulated.Canary)  { c.Canary.Anonymous = 1 }
func twiceSlow(c *simulated.Canary)  { c.Canary.Median *= 2 }
func bothBroken(c *simulated.Canary) { c.Baseline.Anonymous, c.Canary.Anonymous = 1, 1 }

// met are the bounds that compare the arms, all exactly met.
func met(c *simulated.Canary) {
	c.Baseline.Errors, c.Canary.Errors = 0.005, 0.01
	c.Canary.Median = c.Baseline.Median * 11 / 10
}

// A small endpoint's bad canary is rejected, though in all it is within bounds or nothing can be said; one that is bad for
// both versions is nobody's doing; and a load of good endpoints passes as one of a single endpoint does. With -harness,
// the same loads judged as a whole are shown beside.
func TestTargets(t *testing.T) {
	n := 5
	if *harness {
		n = max(1, int(500**harnessRuns))
	}
	failing := func(share float64) func(*simulated.Canary) {
		return func(c *simulated.Canary) { c.Canary.Errors = share }
	}
	for _, tc := range []struct {
		name            string
		small           endpoint
		promote, reject promise
		culprit         string
	}{
		{"good", endpoint{"POST /orders", 50, nil}, atLeast(0.95), atMost(0.05), ""},
		{"5 % of the load, dead", endpoint{"POST /orders", 50, failing(1)}, notOne, everyOne, ""},
		{"5 % of the load, dead and anonymous", endpoint{"POST /orders", 50, anonymous}, notOne, everyOne, ""},
		{"5 % of the load, failing by 8 %", endpoint{"POST /orders", 50, failing(0.08)}, promise{}, atLeast(0.95), ""},
		{"5 % of the load, failing by 5 %", endpoint{"POST /orders", 50, failing(0.05)}, promise{}, promise{}, ""},
		{"5 % of the load, twice as slow", endpoint{"POST /orders", 50, twiceSlow}, notOne, everyOne, "p95 diff POST /orders"},
		{"1 % of the load, dead", endpoint{"POST /orders", 10, failing(1)}, notOne, everyOne, "stage errors POST /orders"},
		{"1 % of the load, dead and anonymous", endpoint{"POST /orders", 10, anonymous}, notOne, everyOne, "stage errors POST /orders"},
		{"1 % of the load, broken for both", endpoint{"POST /orders", 10, bothBroken}, notOne, notOne, ""},
	} {
		endpoints := []endpoint{{"GET /products", 1000 - tc.small.rate, nil}, tc.small}
		got, culprits := outcomes(t, n, 25*time.Second, endpoints, false)
		t.Logf("%-36s %v %v", tc.name, got, culprits)
		if *harness {
			whole, by := outcomes(t, n, 25*time.Second, endpoints, true)
			t.Logf("%-36s %v %v", "- judged as a whole", whole, by)
		}
		if broken := tc.promote.broken(got[analyze.Promote], n); broken != "" {
			t.Errorf("%s: PROMOTE %s", tc.name, broken)
		}
		if broken := tc.reject.broken(got[analyze.Reject], n); broken != "" {
			t.Errorf("%s: REJECT %s", tc.name, broken)
		}
		if tc.culprit != "" && culprits[tc.culprit] == 0 {
			t.Errorf("%s: never by %s", tc.name, tc.culprit)
		}
	}
}

// Releases that exactly meet every bound, on each of many targets, are rejected with probability beta at most: here
// with all of it spent on the comparisons. Four loads, long enough for margins that are a tenth of what they should be to
// reject each; what the checks weigh is TestWeights'.
func TestTargetsKeepBeta(t *testing.T) {
	n := 4
	if *harness {
		n = max(1, int(2000**harnessRuns))
	}
	endpoints := []endpoint{{"GET /1", 500, met}, {"GET /2", 200, met}, {"GET /3", 100, met}, {"GET /4", 100, met}, {"GET /5", 50, met}, {"GET /6", 50, met}}
	got, culprits := outcomes(t, n, 75*time.Second, endpoints, false)
	t.Logf("%v %v", got, culprits)
	if rate, level := float64(got[analyze.Reject])/float64(n), 0.05; rate > level+3*math.Sqrt(level*(1-level)/float64(n)) {
		t.Errorf("%.4f rejected, want at most %v: %v", rate, level, culprits)
	}
	if got[analyze.Promote] > 0 {
		t.Errorf("%v, want none promoted", got)
	}
}

// What is judged live is judged again from the file, and shown.
func TestTargetsInTheFile(t *testing.T) {
	p := policy(nil)
	endpoints := []endpoint{{"GET /products", 980, nil}, {"POST /orders", 20, func(c *simulated.Canary) { c.Canary.Hang, c.Timeout = 0.9, 2*time.Second }}}
	s := beginAt(t, &p, 50, func(h *analyze.Header) { h.Plan.Targets = plan(endpoints) })
	s.note(analyze.PhaseBegin, analyze.During)
	for w := range mixed(1, endpoints) {
		if s.add(w); s.judge.Settled() {
			break
		}
	}
	s.note(analyze.PhaseEnd, analyze.During)
	a := s.finish("verdict")
	if a.Conclusion.Verdict != analyze.Reject || a.Conclusion.Culprit != "stage errors POST /orders" ||
		!strings.Contains(a.Conclusion.Sentence, "POST /orders: Server errors of all answers") {
		t.Errorf("by %q: %s", a.Conclusion.Culprit, a.Conclusion.Sentence)
	}
	targets := a.Phases[0].Targets
	if len(targets) != 2 || targets[0].Name != "GET /products" || targets[1].Name != "POST /orders" {
		t.Fatalf("%+v", targets)
	}
	if small := targets[1]; small.Hits+small.Pending != small.Due || small.Arms[0].Hits <= small.Arms[1].Hits {
		t.Errorf("%+v", small)
	}
	of := map[string]uint64{}
	for _, arm := range slices.Concat(targets[0].Arms, targets[1].Arms) {
		of[arm.Name] += arm.Hits
	}
	for _, arm := range a.Phases[0].Arms {
		if of[arm.Name] != arm.Hits {
			t.Errorf("%s: %d hits of the targets, %d in all", arm.Name, of[arm.Name], arm.Hits)
		}
	}
}

// What an access log says of hits without a version, it says of their targets' parts, too.
func TestTargetsAttributed(t *testing.T) {
	failed := func(n uint64) map[attack.Cause]*attack.Tally {
		return map[attack.Cause]*attack.Tally{attack.No5xx: {Hits: n, Errors: map[attack.Class]uint64{attack.ServerError: n}}}
	}
	ids := []attack.Anonymous{{ID: numbered(1), Cause: attack.No5xx, Class: attack.ServerError, Target: "a"},
		{ID: numbered(2), Cause: attack.No5xx, Class: attack.ServerError, Target: "b"}, {ID: numbered(3), Cause: attack.No5xx, Class: attack.ServerError, Target: "b"}}
	parts := func() map[string]*attack.Part {
		return map[string]*attack.Part{"a": {Due: 1, Answers: attack.Answers{Unattributed: failed(1)}}, "b": {Due: 2, Answers: attack.Answers{Unattributed: failed(2)}}}
	}
	w := attack.Window{Phase: analyze.During, Index: 5, Due: 3, Hits: 3, Answers: attack.Answers{Unattributed: failed(3), IDs: ids}, Targets: parts(),
		Late: []attack.Late{{Index: 1, Answers: attack.Answers{Unattributed: failed(3), IDs: ids}, Targets: parts()}}}
	log := analyze.AccessLog{numbered(1): {Canary: true}, numbered(3): {}}
	got, _ := analyze.Attribute(w, analyze.Target{Baseline: "1", Canary: "2"}, log)
	for _, of := range []map[string]*attack.Part{got.Targets, got.Late[0].Targets} {
		a, b := of["a"], of["b"]
		if a.Arms["2"].Hits != 1 || len(a.Unattributed) != 0 || b.Arms["1"].Hits != 1 || b.Arms["2"] != nil || b.Unattributed[attack.No5xx].Hits != 1 ||
			len(a.IDs)+len(b.IDs) != 0 || a.Due != 1 || b.Due != 2 {
			t.Errorf("%s", marshal(t, of))
		}
	}
	if marshal(t, w.Targets) != marshal(t, parts()) {
		t.Errorf("what was attributed changed: %s", marshal(t, w.Targets))
	}
}

func TestTargetsUnheard(t *testing.T) {
	a := quick(t, 1, []endpoint{{"GET /products", 1000, nil}, {"GET /rare", 0, nil}}, false)
	if !slices.ContainsFunc(a.Notes, func(n string) bool {
		return strings.HasPrefix(n, "Too few answers to tell a dead canary on GET /rare: ")
	}) {
		t.Errorf("%q", a.Notes)
	}
}

// verify refutes a version that is dead on one of its targets, though all its answers together are within bounds.
func TestVerifyTargets(t *testing.T) {
	for _, dead := range []bool{true, false} {
		p := policy(nil)
		small := endpoint{"POST /orders", 10, nil}
		rest := endpoint{"GET /products", 990, func(c *simulated.Canary) { c.Share, c.Baseline.Name = 0, "2" }}
		small.change = func(c *simulated.Canary) {
			if rest.change(c); dead {
				c.Baseline.Errors = 1
			}
		}
		endpoints := []endpoint{rest, small}
		s := beginAt(t, &p, 100, func(h *analyze.Header) { h.Target.Baseline, h.Plan.Targets = "", plan(endpoints) })
		s.note(analyze.PhaseBegin, analyze.After, "expect", "2")
		for w := range mixed(3, endpoints) {
			w.Phase = analyze.After
			if s.add(w); s.judge.Settled() || s.now > 10*time.Second {
				break
			}
		}
		s.note(analyze.PhaseEnd, analyze.After)
		a := s.finish("verdict")
		want, words := analyze.Verified, "VERIFIED: version 2 alone"
		if dead {
			want, words = analyze.Refuted, "on POST /orders "
		}
		if a.Conclusion.Verdict != want || !strings.Contains(a.Conclusion.Sentence, words) {
			t.Errorf("dead %t: %s", dead, a.Conclusion.Sentence)
		}
	}
}

// A canary that passes at its share, and at all of the load is dead on one target, is rejected by the bake.
func TestBakeTargets(t *testing.T) {
	for _, dead := range []bool{true, false} {
		p := policy(nil)
		endpoints := []endpoint{{"GET /products", 990, nil}, {"POST /orders", 10, nil}}
		s := beginAt(t, &p, 50, func(h *analyze.Header) { h.Plan.Targets, h.Plan.Bake = plan(endpoints), 5*time.Second })
		phase := func(name string, length time.Duration) {
			start := s.now
			for i := range endpoints {
				change := endpoints[i].change
				endpoints[i].change = func(c *simulated.Canary) {
					if change != nil {
						change(c)
					}
					c.Start, c.Phase = start, name
				}
			}
			s.note(analyze.PhaseBegin, name)
			for w := range mixed(5, endpoints) {
				if s.add(w); s.judge.Settled() || s.now >= start+length {
					break
				}
			}
			s.note(analyze.PhaseEnd, name)
		}
		phase(analyze.During, 40*time.Second)
		full := func(c *simulated.Canary) { c.Share, c.Baseline.Name = 1, "3" }
		endpoints[0].change = full
		endpoints[1].change = func(c *simulated.Canary) {
			if full(c); dead {
				c.Canary.Errors = 1
			}
		}
		phase(analyze.Bake, 5*time.Second)
		a := s.finish("verdict")
		switch c := a.Conclusion; {
		case dead && (c.Verdict != analyze.Reject || c.Culprit != "bake stage errors POST /orders" && c.Culprit != "bake errors diff POST /orders"),
			!dead && c.Verdict != analyze.Promote:
			t.Errorf("dead %t: by %q: %s", dead, c.Culprit, c.Sentence)
		}
	}
}
