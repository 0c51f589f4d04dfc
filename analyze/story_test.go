package analyze_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"coalmine/analyze"
	"coalmine/analyze/simulated"
	"coalmine/attack"
)

// story is a run told by a test: what a recorder does, to a judge and to a run file at once.
type story struct {
	t     testing.TB
	judge *analyze.Judge
	file  bytes.Buffer
	out   *analyze.Writer
	now   time.Duration // of due times
	slow  bool          // the change that begins a bake is the test's own to note
}

func policy(change func(*analyze.Policy)) analyze.Policy {
	p := analyze.DefaultPolicy(true).Complete(0.5)
	p.Settle, p.MinDuration = analyze.Duration(3*time.Second), analyze.Duration(5*time.Second)
	if change != nil {
		change(&p)
	}
	return p
}

func begin(t testing.TB, p *analyze.Policy) *story {
	t.Helper()
	return beginAt(t, p, 50)
}

func beginAt(t testing.TB, p *analyze.Policy, percent float64, change ...func(*analyze.Header)) *story {
	t.Helper()
	s := &story{t: t}
	s.out = analyze.NewWriter(&s.file)
	h := analyze.Header{Format: analyze.Format, Tool: "test", Command: "run", Started: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), Policy: p, Budget: 60_000,
		Target: analyze.Target{Where: "NOT AWS", Method: "GET", URL: "http://127.0.0.1/products", Baseline: "1", Canary: "2", Percent: percent},
		Plan:   analyze.Plan{Rate: 1000, Connections: 1000, Timeout: 10 * time.Second}}
	for _, change := range change {
		change(&h)
	}
	var err error
	if s.judge, err = analyze.NewJudge(h); err != nil {
		t.Fatal(err)
	}
	s.out.Write(analyze.Record{Header: &h})
	return s
}

func (s *story) note(name, phase string, detail ...string) {
	e := analyze.Event{At: s.now, Phase: phase, Name: name}
	for i := 0; i+1 < len(detail); i += 2 {
		if e.Detail == nil {
			e.Detail = map[string]string{}
		}
		e.Detail[detail[i]] = detail[i+1]
	}
	s.out.Write(analyze.Record{Event: &e})
	s.judge.Note(e)
}

func (s *story) add(w attack.Window) {
	s.out.Write(analyze.Record{Window: &w})
	s.judge.Add(w)
	s.now = w.End()
}

// traffic is a phase: until the judge has seen enough, and at most so long.
func (s *story) traffic(c simulated.Canary, phase string, most time.Duration, each func(*attack.Window), detail ...string) {
	c.Phase, c.Start = phase, s.now
	s.judge.Patience()
	s.note(analyze.PhaseBegin, phase, detail...)
	if phase == analyze.During {
		s.note(analyze.CanaryCreated, phase)
		s.note(analyze.CanaryDeployed, phase)
	}
	if phase == analyze.Bake && !s.slow {
		s.note(analyze.PercentSet, phase, "percent", "100")
	}
	for w := range c.Windows() {
		if each != nil {
			each(&w)
		}
		s.add(w)
		if s.judge.Settled() || s.now >= c.Start+most {
			break
		}
	}
	s.note(analyze.PhaseEnd, phase)
}

// alone is a stage on which one version answers.
func alone(version string, seed uint64) simulated.Canary {
	c := healthy(seed)
	c.Share, c.Baseline.Name = 0, version
	return c
}

// finish ends the run, and holds the file to its promise: read again, it gives the same analysis, byte for byte.
func (s *story) finish(reason string) analyze.Analysis {
	s.t.Helper()
	verdict := s.judge.Conclude()
	s.out.Write(analyze.Record{Verdict: &verdict})
	end := analyze.End{Reason: reason}
	s.out.Write(analyze.Record{End: &end})
	s.judge.Finish(end)
	if s.out.Err() != nil {
		s.t.Fatal(s.out.Err())
	}
	live := s.judge.Analysis()
	again, recorded, err := analyze.Replay(bytes.NewReader(s.file.Bytes()))
	if err != nil || recorded == nil || recorded.Verdict != live.Conclusion.Verdict {
		s.t.Fatalf("replay: %v, %v", err, recorded)
	}
	a, err := json.Marshal(live)
	if err != nil {
		s.t.Fatal(err)
	}
	if b, err := json.Marshal(again); err != nil || !bytes.Equal(a, b) {
		s.t.Errorf("live and replayed differ: %v\n%s\n%s", err, a, b)
	}
	return live
}

// By a policy under which the before phase fails there is no during phase to judge: live, the run would have ended there.
func TestRejudgeBefore(t *testing.T) {
	p := policy(nil)
	s := begin(t, &p)
	was := alone("1", 1)
	was.Baseline.Errors = 0.006
	s.traffic(was, analyze.Before, 10*time.Second, nil, "stage", "prod", "expect", "1")
	if s.judge.Outcome() != analyze.Pass {
		t.Fatalf("before: %s", s.judge.Outcome())
	}
	s.traffic(healthy(1), analyze.During, time.Duration(p.MaxDuration), nil)
	if a := s.finish("verdict"); a.Conclusion.Verdict != analyze.Promote {
		t.Fatalf("by its own policy: %s", a.Conclusion.Sentence)
	}
	a, _, err := analyze.Rejudge(bytes.NewReader(s.file.Bytes()), func(analyze.Header) (analyze.Policy, error) {
		stricter := p
		stricter.Errors.Max = 0.001
		return stricter, nil
	})
	if err != nil || a.Conclusion.Verdict != analyze.Inconclusive || len(a.Conclusion.Void) == 0 {
		t.Errorf("by a stricter one: %v, %s, void %q", err, a.Conclusion.Verdict, a.Conclusion.Void)
	}
}
