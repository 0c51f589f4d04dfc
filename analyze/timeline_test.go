package analyze_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"coalmine/analyze"
	"coalmine/attack"
)

func plain(t *testing.T) *analyze.Judge {
	t.Helper()
	judge, err := analyze.NewJudge(analyze.Header{Format: analyze.Format})
	if err != nil {
		t.Fatal(err)
	}
	judge.KeepTimeline()
	return judge
}

func window(phase string, index int64, tally attack.Tally) attack.Window {
	w := attack.Window{Phase: phase, Index: index, Start: time.Duration(index) * attack.WindowLength, Length: attack.WindowLength, Due: tally.Hits, Sent: tally.Hits, Hits: tally.Hits}
	w.Arms = map[string]*attack.Tally{"1": &tally}
	return w
}

// However long a run is, its timeline is short, and everything is in it once.
func TestTimelineThins(t *testing.T) {
	judge := plain(t)
	judge.Note(analyze.Event{Phase: analyze.Attack, Name: analyze.PhaseBegin})
	const windows = 30_000
	for i := range int64(windows) {
		w := window(analyze.Attack, i, attack.Tally{Hits: 2, Errors: map[attack.Class]uint64{"5xx": 1}})
		w.Arms["1"].Response.Add(time.Duration(1+i%3) * time.Millisecond)
		if i == 700 { // one of window 3's returns
			w.Late = []attack.Late{{Index: 3, Answers: attack.Answers{Arms: map[string]*attack.Tally{"1": {Hits: 1}}}}}
		}
		if i == 3 {
			w.Due, w.Pending = 3, 1
		}
		judge.Add(w)
	}
	timeline := judge.Timeline()
	if n := len(timeline.Moments); n > 512 || n < 200 {
		t.Errorf("%d moments", n)
	}
	hits, errors, pending, end := uint64(0), uint64(0), uint64(0), time.Duration(0)
	for _, m := range timeline.Moments {
		if m.Start != end || m.Length > timeline.Length {
			t.Fatalf("a moment from %v for %v after %v", m.Start, m.Length, end)
		}
		end = m.Start + m.Length
		hits, errors, pending = hits+m.Hits, errors+m.Classes["5xx"], pending+m.Pending
		if arm := m.Arms["1"]; arm.P50 < 2*time.Millisecond || arm.P50 > 2040*time.Microsecond || arm.P99 < 3*time.Millisecond || arm.P99 > 3060*time.Microsecond {
			t.Fatalf("quantiles of 1, 2 and 3 ms: %+v", arm)
		}
	}
	if hits != 2*windows+1 || errors != windows || pending != 0 || end != windows*attack.WindowLength {
		t.Errorf("%d hits, %d errors, %d pending until %v", hits, errors, pending, end)
	}
	if timeline.Moments[0].Hits != 2*uint64(timeline.Length/attack.WindowLength)+1 {
		t.Errorf("the late answer is not where it was due: %+v", timeline.Moments[0])
	}
}

// A file with thousands of phases and gaps does not grow the timeline either.
func TestTimelineManyPhases(t *testing.T) {
	judge := plain(t)
	for i := range int64(3000) {
		phase := fmt.Sprintf("phase %d", i)
		judge.Note(analyze.Event{Phase: phase, Name: analyze.PhaseBegin, At: time.Duration(i*10) * attack.WindowLength})
		judge.Add(window(phase, i*10, attack.Tally{Hits: 1}))
	}
	hits := uint64(0)
	timeline := judge.Timeline()
	for _, m := range timeline.Moments {
		hits += m.Hits
	}
	if len(timeline.Moments) > 512 || hits != 3000 {
		t.Errorf("%d moments, %d hits", len(timeline.Moments), hits)
	}
}

// What the charts end with is what the checks say.
func TestTimelineEndsWithTheChecks(t *testing.T) {
	p := policy(nil)
	h := analyze.Header{Format: analyze.Format, Policy: &p, Budget: p.Budget(500), Target: analyze.Target{Baseline: "1", Canary: "2", Percent: 50}}
	judge, err := analyze.NewJudge(h)
	if err != nil {
		t.Fatal(err)
	}
	judge.KeepTimeline()
	judge.Note(analyze.Event{Phase: analyze.During, Name: analyze.PhaseBegin})
	for w := range healthy(1).Windows() {
		if judge.Add(w); judge.Settled() {
			break
		}
	}
	a := judge.Analysis()
	last := a.Timeline.Moments[len(a.Timeline.Moments)-1].Judged
	courses := map[string]analyze.Course{}
	for _, c := range a.Timeline.Courses {
		courses[c.Name] = c
	}
	near := func(a, b float64) bool { return math.Abs(a-b) <= 1e-3*math.Abs(b) }
	for _, c := range a.Checks {
		course, drawn := courses[c.Name]
		if !drawn {
			continue
		}
		log := course.Pass[len(course.Pass)-1]
		if course.ToPass == 0 {
			log = course.Fail[len(course.Fail)-1]
		}
		if !near(math.Exp(min(max(log, -600), 600)), c.Evidence) {
			t.Errorf("%s: the chart ends at %v, the check says %v", c.Name, math.Exp(log), c.Evidence)
		}
		if c.Name == "split" && (last == nil || !near(last.Canary, *c.Estimate) || !near(last.Low, *c.Proven.Low) || !near(last.High, *c.Proven.High)) {
			t.Errorf("the band ends at %+v, the check says %v to %v", last, *c.Proven.Low, *c.Proven.High)
		}
	}
	if a.Conclusion.Verdict != analyze.Promote || len(courses) < 7 {
		t.Errorf("%v, %d courses", a.Conclusion.Verdict, len(courses))
	}
}
