package analyze_test

import (
	"cmp"
	"flag"
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/debug"
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

// The harness judges whole simulated releases, thousands of each kind, and holds the rates of wrong verdicts to alpha and beta at
// three standard errors; statistics.md, section 4, is what it is to be compared with. In full, with its tables:
//
//	go test ./analyze -run Harness -harness -v -timeout 90m
//
// -harness-runs 0.2 is a fifth of that, and -run HarnessRollouts one table. Without -harness each table has few runs, or few rows.
// A seed in a message is that of the row's release: judge(t, seed) is it again.
var (
	harness     = flag.Bool("harness", false, "judge simulated releases by the thousand: some 40 minutes on two cores, less with -harness-runs")
	harnessRuns = flag.Float64("harness-runs", 1, "with -harness: so much of the full number of releases, above 0")
)

// Simulations make much garbage and keep next to nothing: fewer collections save a tenth of the package's time.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}

// release is a kind of release, to be judged once for each seed.
type release struct {
	stage   simulated.Canary
	policy  analyze.Policy
	percent float64
	before  time.Duration                          // of traffic before the canary; 0: none
	vary    func(seed uint64, r *release)          // what differs from seed to seed, nil: nothing
	each    func(seed uint64) func(*attack.Window) // what the generator does to windows during the canary, nil: nothing
}

// fate is what became of one.
type fate struct {
	seed          uint64
	verdict       analyze.Verdict
	culprit, void string
	at            time.Duration // since the canary was created
	total         uint64        // hits due until then
	judged        uint64        // of those, since the start of judging; 0: it never began
	canary        int           // canary's hits before the window that decided
	lead          uint64        // judged hits before that window
	risk          float64       // canary's mean probability to fail, over the judged hits
	risked        float64       // the same over all hits since the canary was created
}

// judge sends the release of a seed through its phases.
func (r release) judge(t *testing.T, seed uint64) fate {
	if r.vary != nil {
		r.vary(seed, &r)
	}
	c := r.stage
	c.Seed = seed
	j, err := analyze.NewJudge(analyze.Header{Policy: &r.policy, Budget: r.policy.Budget(float64(c.Rate)),
		Target: analyze.Target{Baseline: c.Baseline.Name, Canary: "2", Percent: r.percent}, Plan: analyze.Plan{Rate: float64(c.Rate), Timeout: c.Timeout}})
	if err != nil {
		t.Error(err)
		return fate{}
	}
	now := time.Duration(0)
	note := func(name, phase string, detail map[string]string) {
		j.Note(analyze.Event{At: now, Phase: phase, Name: name, Detail: detail})
	}
	if r.before > 0 {
		b := c
		b.Phase, b.Share, b.Patience, b.Seed, b.Drift, b.Load = analyze.Before, 0, min(time.Second, c.Timeout), seed+1<<32, nil, nil
		note(analyze.PhaseBegin, analyze.Before, map[string]string{"stage": "prod", "expect": c.Baseline.Name})
		for w := range b.Windows() {
			j.Add(w)
			if now = w.End(); now >= r.before {
				break
			}
		}
		note(analyze.PhaseEnd, analyze.Before, nil)
	}
	type counted struct {
		due    uint64
		canary simulated.Risk
	}
	var windows []counted
	c.Phase, c.Start = analyze.During, now
	c.Told = func(_ int64, _, canary simulated.Risk) { windows = append(windows, counted{canary: canary}) }
	note(analyze.PhaseBegin, analyze.During, map[string]string{"stage": "prod"})
	note(analyze.CanaryCreated, "", nil)
	note(analyze.CanaryDeployed, "", nil)
	if c.Patience == 0 {
		c.Patience = j.Patience()
	}
	each := func(*attack.Window) {}
	if r.each != nil {
		each = r.each(seed)
	}
	for w := range c.Windows() {
		windows[len(windows)-1].due = w.Due
		each(&w)
		j.Add(w)
		if now = w.End(); j.Settled() || now >= c.Start+time.Duration(r.policy.MaxDuration) {
			break
		}
	}
	note(analyze.PhaseEnd, analyze.During, nil)
	a := j.Analysis()
	f := fate{seed: seed, verdict: a.Conclusion.Verdict, culprit: a.Conclusion.Culprit, at: a.Conclusion.At - c.Start}
	if len(a.Conclusion.Void) > 0 {
		f.void = a.Conclusion.Void[0]
	}
	from := len(windows)
	if at := a.Propagation.Judged; at != nil {
		from = int((*at - c.Start) / (100 * time.Millisecond))
	}
	hits, all := 0, 0
	for i, w := range windows {
		f.total += w.due
		all += w.canary.Hits
		f.risked += w.canary.Errors
		if i >= from {
			f.judged += w.due
			hits += w.canary.Hits
			f.risk += w.canary.Errors
		}
		if i < len(windows)-1 {
			f.canary += w.canary.Hits
			f.lead = f.judged
		}
	}
	f.risk /= float64(max(hits, 1))
	f.risked /= float64(max(all, 1))
	return f
}

// fates judges n releases on all cores.
func (r release) fates(t *testing.T, n int) []fate {
	t.Helper()
	all := make([]fate, n)
	var next atomic.Int64
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				all[i] = r.judge(t, uint64(i+1))
			}
		})
	}
	workers.Wait()
	return all
}

// row is a line of a table: a kind of release, and what may become of it.
type row struct {
	name    string
	release release
	full    int // releases with -harness
	short   int // and without; 0: none
	promote promise
	reject  promise
	design  string                                 // what statistics.md says
	check   func(all []fate) (note, broken string) // what else there is to say, and what is broken
}

// promise is what a rate must keep to, give or take three standard errors. The zero promise asks for nothing.
type promise struct {
	is    byte // '<' or '>'
	level float64
}

func atMost(level float64) promise  { return promise{'<', level} }
func atLeast(level float64) promise { return promise{'>', level} }

var (
	notOne   = atMost(0)
	everyOne = atLeast(1)
)

// broken says by how much the rate k/n breaks the promise.
func (b promise) broken(k, n int) string {
	rate, slack := float64(k)/float64(n), 3*math.Sqrt(b.level*(1-b.level)/float64(n))
	switch {
	case b.is == '<' && rate > b.level+slack:
		return fmt.Sprintf("%.4f, want at most %.4f + %.4f", rate, b.level, slack)
	case b.is == '>' && rate < b.level-slack:
		return fmt.Sprintf("%.4f, want at least %.4f - %.4f", rate, b.level, slack)
	}
	return ""
}

// tabulate judges its rows and prints each when it is done.
func tabulate(t *testing.T, rows []row) {
	t.Helper()
	out := t.Output()
	fmt.Fprintf(out, "%-42s %5s %7s %7s %7s  %-15s %-15s %-13s %s\n", "release", "runs", "PROMOTE", "REJECT", "neither", "judged (p90)", "requests (p90)", "time (p90)", "statistics.md")
	for _, r := range rows {
		n := r.short
		if *harness {
			n = max(int(float64(r.full)**harnessRuns), 1)
		}
		if testing.Short() {
			n = (n + 4) / 5
		}
		if n == 0 {
			continue
		}
		all := r.release.fates(t, n)
		count := map[analyze.Verdict]int{}
		why := map[string]int{}
		for _, f := range all {
			count[f.verdict]++
			switch {
			case f.verdict == analyze.Reject:
				why["REJECT "+f.culprit]++
			case f.verdict == analyze.Inconclusive && f.void != "":
				why[strings.SplitN(f.void, ":", 2)[0]]++
			case f.verdict == analyze.Inconclusive:
				why["open: "+f.culprit]++
			}
		}
		share := func(v analyze.Verdict) float64 { return float64(count[v]) / float64(n) }
		fmt.Fprintf(out, "%-42s %5d %7.4f %7.4f %7.4f  %-15s %-15s %-13s %s\n", r.name, n, share(analyze.Promote), share(analyze.Reject), share(analyze.Inconclusive),
			meanP90(all, func(f fate) float64 { return float64(f.judged) }, "%.0f"), meanP90(all, func(f fate) float64 { return float64(f.total) }, "%.0f"),
			meanP90(all, func(f fate) float64 { return f.at.Seconds() }, "%.1f"), r.design)
		if count[analyze.Promote] < n {
			fmt.Fprintf(out, "%-42s       %s\n", "", commonest(why))
		}
		if broken := r.promote.broken(count[analyze.Promote], n); broken != "" {
			t.Errorf("%s: PROMOTE %s; %s, %s", r.name, broken, commonest(why), seedsOf(all, analyze.Promote, r.promote.is == '<'))
		}
		if broken := r.reject.broken(count[analyze.Reject], n); broken != "" {
			t.Errorf("%s: REJECT %s; %s, %s", r.name, broken, commonest(why), seedsOf(all, analyze.Reject, r.reject.is == '<'))
		}
		if r.check != nil {
			note, broken := r.check(all)
			fmt.Fprintf(out, "%-42s       %s\n", "", note)
			if broken != "" {
				t.Errorf("%s: %s; %s", r.name, note, broken)
			}
		}
	}
}

// seedsOf names a few seeds with the verdict, or without it.
func seedsOf(all []fate, v analyze.Verdict, with bool) string {
	var some []string
	for _, f := range all {
		if (f.verdict == v) == with && len(some) < 5 {
			some = append(some, fmt.Sprint(f.seed))
		}
	}
	return "seeds " + strings.Join(some, ", ")
}

// commonest are the commonest reasons.
func commonest(why map[string]int) string {
	var names []string
	for name := range why {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(why[b]-why[a], strings.Compare(a, b)) })
	var out []string
	for _, name := range names[:min(len(names), 4)] {
		out = append(out, fmt.Sprintf("%s %d", name, why[name]))
	}
	return strings.Join(out, ", ")
}

func meanP90(all []fate, of func(fate) float64, format string) string {
	xs := []float64{}
	sum := 0.0
	for _, f := range all {
		xs = append(xs, of(f))
		sum += of(f)
	}
	slices.Sort(xs)
	return fmt.Sprintf(format+" ("+format+")", sum/float64(len(xs)), xs[int(math.Ceil(0.9*float64(len(xs))))-1])
}

// A promise is broken beyond three standard errors, and one of never or always by a single release.
func TestHarnessPromises(t *testing.T) {
	for _, tc := range []struct {
		p      promise
		k, n   int
		broken bool
	}{
		{promise{}, 100, 100, false}, {notOne, 0, 100, false}, {notOne, 1, 10_000, true}, {everyOne, 100, 100, false}, {everyOne, 99, 100, true},
		{atMost(0.01), 1, 20, false}, {atMost(0.01), 2, 20, true}, {atMost(0.01), 19, 1000, false}, {atMost(0.01), 20, 1000, true},
		{atLeast(0.99), 981, 1000, false}, {atLeast(0.99), 980, 1000, true},
	} {
		if broken := tc.p.broken(tc.k, tc.n); (broken != "") != tc.broken {
			t.Errorf("%d of %d: %q, want broken %t", tc.k, tc.n, broken, tc.broken)
		}
	}
}
