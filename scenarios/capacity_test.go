package scenarios

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	vegeta "github.com/tsenart/vegeta/v12/lib"

	"coalmine/analyze"
	"coalmine/analyze/capacity"
	"coalmine/attack"
	"coalmine/scenarios/emulator"
	"coalmine/scenarios/stage"
)

// searching is a search of two rates whose every trial holds: two short ones, then one at full length proves the upper.
func (r *rig) searching(full time.Duration) *Capacity {
	r.t.Helper()
	rating := analyze.DefaultRating()
	rating.Objectives = []analyze.Objective{{Quantile: 0.5, Max: analyze.Duration(20 * time.Second)}}
	rating.WarmUp = 0
	rating.Validity.WakeLate, rating.Validity.Short = analyze.Duration(time.Minute), 1
	rating.Search = capacity.Plan{Lowest: 100, Highest: 200, Short: 300 * time.Millisecond, Full: full, Soak: -1}
	c := &Capacity{Rating: rating, Classify: []string{"header:X-Lambda-Version"}, Client: r.client, Ref: r.ref, CoolDown: time.Millisecond,
		Plan: attack.Plan{Target: vegeta.Target{Method: http.MethodGet, URL: r.client.InvokeURL(r.ref)}, Connections: connections, Timeout: time.Minute},
		Look: 10 * time.Millisecond, Say: func(line string) { r.lines = append(r.lines, line) }}
	if r.detour != nil {
		c.Plan.Target.URL = r.detour.Replace(c.Plan.Target.URL)
	}
	if err := c.Prepare(r.t.Context(), "NOT AWS", "coalmine/test"); err != nil {
		r.t.Fatal(err)
	}
	return c
}

// search runs one, and holds its file to the promise of a replay.
func (r *rig) search(c *Capacity) analyze.Rated {
	r.t.Helper()
	rated, err := c.Run(r.t.Context(), analyze.NewWriter(&r.file))
	r.must(err)
	again, err := analyze.ReadRated(bytes.NewReader(r.file.Bytes()))
	r.must(err)
	if again.Sentence != rated.Sentence || again.End != rated.End || len(again.Trials) != len(rated.Trials) || len(again.Notes) != len(rated.Notes) {
		r.t.Errorf("read again: %+v\nwant %+v", again, rated)
	}
	return rated
}

// What another client does to the stage during a search ends it soon, though its trial would go on for an hour; the bounds
// that were known stay.
func TestCapacityChanged(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		change func(r *rig)
		says   string
	}{
		{"percent", func(r *rig) {
			other := r.connect()
			j := r.journal(other)
			_, err := other.SetPercent(context.Background(), j, r.ref, 20)
			r.must(err)
		}, "stage changed under test: canary percent: 50.0 -> 20.0"},
		{"canary aborted", func(r *rig) {
			other := r.connect()
			_, err := other.Abort(context.Background(), r.journal(other), r.ref, nil)
			r.must(err)
		}, "stage changed under test: canary"},
		{"stage deleted", func(r *rig) {
			_, err := r.client.Gateway().DeleteStage(context.Background(), &apigateway.DeleteStageInput{RestApiId: &r.ref.API, StageName: &r.ref.Stage})
			r.must(err)
		}, "stage changed under test: stage prod is gone"},
		{"alias moved", func(r *rig) {
			function, name, version := "getProducts", "staging", "3"
			_, err := r.client.Lambda().UpdateAlias(context.Background(), &lambda.UpdateAliasInput{FunctionName: &function, Name: &name, FunctionVersion: &version})
			r.must(err)
		}, "stage changed under test: alias staging of"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, emulator.Faults{Seed: 1})
			r.canary()
			c := r.searching(time.Hour)
			done := false
			c.Watch = func(s analyze.Searching) {
				if s.Under != nil && s.Under.Purpose == capacity.Confirm && !done {
					done = true
					tc.change(r)
				}
			}
			rated := r.search(c)
			if rated.End.Reason != analyze.EndChanged || !strings.HasPrefix(rated.End.Error, tc.says) {
				t.Errorf("end %+v, want %q", rated.End, tc.says)
			}
			check(t, "kind", rated.Result.Kind, capacity.Unfinished)
			check(t, "trials", len(rated.Trials), 2)
			if b := rated.Result.Lower; b == nil || b.Rate != 200 || b.Proven {
				t.Errorf("lower bound %+v, want 200/s, not proven", b)
			}
			check(t, "events", strings.Count(r.file.String(), `"name":"stage.changed"`), 1)
		})
	}
}

// A change that no look has found by the end of a trial is found then, and the trial does not count.
func TestCapacityChangedAtTheEnd(t *testing.T) {
	r := newRig(t, emulator.Faults{Seed: 1})
	r.canary()
	c := r.searching(time.Hour)
	c.Look = time.Hour
	c.Rating.Search.Short = time.Second
	c.Rating.AtLeast = 50
	done := false
	c.Watch = func(analyze.Searching) {
		if !done {
			done = true
			r.recolor()
		}
	}
	rated := r.search(c)
	check(t, "end", rated.End.Reason, analyze.EndChanged)
	check(t, "trials", len(rated.Trials), 0)
	check(t, "asked", rated.Asked, analyze.Undecided)
}

// A control plane that throttles, or whose credentials end, says nothing of the stage: the search goes on, and the second is told.
func TestCapacityUnread(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, code string
		status     int
		told       bool
	}{{"throttled", "TooManyRequestsException", http.StatusTooManyRequests, false}, {"expired", "ExpiredTokenException", http.StatusForbidden, true}} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, emulator.Faults{Seed: 1})
			r.canary()
			refusing, refused := make(chan struct{}), make(chan struct{}, 1000)
			r.through(func(w http.ResponseWriter, req *http.Request, _ string) bool {
				select {
				case <-refusing:
				default:
					return false
				}
				if !control(req) {
					return false
				}
				refuse(w, tc.status, tc.code, "no")
				select {
				case refused <- struct{}{}:
				default:
				}
				return true
			})
			c := r.searching(600 * time.Millisecond)
			close(refusing)
			var told []string
			c.Say = func(line string) { told = append(told, line) }
			rated := r.search(c)
			check(t, "end", rated.End.Reason, "verdict")
			check(t, "kind", rated.Result.Kind, capacity.AtLeast)
			if len(refused) == 0 {
				t.Error("nobody read the stage")
			}
			if (len(told) == 1) != tc.told || (len(rated.Notes) == 1) != tc.told {
				t.Errorf("told %q, notes %q", told, rated.Notes)
			}
			if tc.told && !strings.Contains(told[0], "the load goes on, but nobody can see whether the stage stays as it is until the credentials are renewed") {
				t.Errorf("told %q", told)
			}
		})
	}
}

// Without a canary the stage is watched, too.
func TestCapacityWatchesPlainStage(t *testing.T) {
	r := newRig(t, emulator.Faults{Seed: 1})
	c := r.searching(time.Hour)
	done := false
	c.Watch = func(s analyze.Searching) {
		if s.Under != nil && !done {
			done = true
			r.canary()
		}
	}
	rated := r.search(c)
	if rated.End.Reason != analyze.EndChanged || !strings.HasPrefix(rated.End.Error, stage.ErrChanged.Error()+": canary: ") {
		t.Errorf("end %+v", rated.End)
	}
}

// What the gateway answers for an alias that it may not invoke counts for the version behind it.
func TestCapacityOfRefusedArm(t *testing.T) {
	r := newRig(t, emulator.Faults{Seed: 1, Gateway: emulator.Gateway{Deny: []string{"staging"}}})
	r.canary()
	c := r.searching(600 * time.Millisecond)
	c.Rating.Arm, c.Rating.Objectives = analyze.ArmCanary, []analyze.Objective{{Errors: 0.6}}
	c.Rating.Breaker.Errors = 1
	if err := c.Prepare(t.Context(), "NOT AWS", "coalmine/test"); err != nil {
		t.Fatal(err)
	}
	rated := r.search(c)
	check(t, "kind", rated.Result.Kind, capacity.TooLow)
	for _, arm := range rated.Trials[0].Arms {
		if arm.Name == "2" && arm.Hits > 0 && arm.Errors == arm.Hits {
			return
		}
	}
	t.Errorf("no errors of version 2: %+v", rated.Trials[0].Arms)
}

// Where nobody answers well, and no objective is about errors, there is nothing to judge: a wrong path, say.
func TestCapacityOfNothingButErrors(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	p99, errors := analyze.Objective{Quantile: 0.99, Max: analyze.Duration(time.Second)}, analyze.Objective{Errors: 0.01}
	prepare := func(status int, objectives ...analyze.Objective) error {
		c := &Capacity{Rating: analyze.DefaultRating(), Plan: attack.Plan{Target: vegeta.Target{URL: s.URL + "/x"}, Expect: attack.Expect{Status: []int{status}}}}
		c.Rating.Objectives = objectives
		return c.Prepare(t.Context(), "NOT AWS", "coalmine/test")
	}
	if err := prepare(200, p99); err == nil || !strings.Contains(err.Error(), "GET "+s.URL+"/x: all 4 answers are errors, one was: 404") {
		t.Errorf("%v", err)
	}
	for _, err := range []error{prepare(200, p99, errors), prepare(404, p99)} {
		if err != nil {
			t.Error(err)
		}
	}
}

// An interrupt during the self-check says nothing of this machine.
func TestCapacityInterruptedInTheSelfCheck(t *testing.T) {
	r := newRig(t, emulator.Faults{Seed: 1})
	c := r.searching(time.Hour)
	c.Ceiling = true
	c.Rating.Search.Highest = 1e6
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond) // of the second that it takes
	defer cancel()
	rated, err := c.Run(ctx, analyze.NewWriter(&r.file))
	r.must(err)
	if rated.End.Reason != "interrupted" || rated.Rating.Ceiling != 0 || rated.Rating.Search.Highest != 1e6 || len(r.lines) > 0 {
		t.Errorf("%+v, ceiling %v, highest %v, told %q", rated.End, rated.Rating.Ceiling, rated.Rating.Search.Highest, r.lines)
	}
}

// A target may take its time to recover, without a cool-down, too; but it does not get more than the budget has.
func TestCapacityWaitsForRecovery(t *testing.T) {
	t.Parallel()
	began := time.Now()
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hangs" {
			<-r.Context().Done()
		}
		if time.Since(began) < 1500*time.Millisecond {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer target.Close()
	after := analyze.TrialReport{Done: capacity.Done{Trial: capacity.Trial{Rate: 200}, Outcome: capacity.Fail}}
	for _, c := range []struct {
		path   string
		budget time.Duration
		most   time.Duration
	}{{"/", time.Hour, 30 * time.Second}, {"/hangs", time.Second, 5 * time.Second}} {
		search := Capacity{Rating: analyze.DefaultRating(), Plan: attack.Plan{Target: vegeta.Target{Method: http.MethodGet, URL: target.URL + c.path}, Connections: 4, Timeout: time.Minute}}
		search.Rating.Objectives = []analyze.Objective{{Errors: 0.01}}
		search.Rating.Search = capacity.Plan{Lowest: 10, Highest: 1000, Budget: c.budget}
		search.header.Started = time.Now()
		if why := search.stop(t.Context(), after); why != "" || search.since() > c.most {
			t.Errorf("%s: ended after %s: %q", c.path, search.since(), why)
		}
	}
}

// Whether a backlog is gone is asked of what the objectives bound: errors that none of them bounds, and the half of the
// answers that may be slower than a median, are no backlog.
func TestBacklogIsGone(t *testing.T) {
	fast, slow := attack.Probed{Latency: time.Millisecond}, attack.Probed{Latency: time.Second}
	failed := attack.Probed{Class: attack.ServerError, Latency: time.Millisecond}
	throttled, timeout := attack.Probed{Class: attack.Throttled}, attack.Probed{Class: attack.Timeout, Latency: time.Millisecond}
	p99 := analyze.Objective{Quantile: 0.99, Max: analyze.Duration(100 * time.Millisecond)}
	p50 := analyze.Objective{Quantile: 0.50, Max: analyze.Duration(100 * time.Millisecond)}
	few, half := analyze.Objective{Errors: 0.01}, analyze.Objective{Errors: 0.5}
	for _, tc := range []struct {
		name       string
		objectives []analyze.Objective
		answers    []attack.Probed
		want       bool
	}{
		{"all fast", []analyze.Objective{p99, few}, []attack.Probed{fast, fast, fast, fast}, true},
		{"one slow for p99", []analyze.Objective{p99}, []attack.Probed{fast, fast, slow, fast}, false},
		{"two slow for p50", []analyze.Objective{p50}, []attack.Probed{fast, slow, slow, fast}, true},
		{"three slow for p50", []analyze.Objective{p50}, []attack.Probed{slow, slow, slow, fast}, false},
		{"two slow for both", []analyze.Objective{p50, p99}, []attack.Probed{fast, slow, slow, fast}, false},
		{"errors that nobody bounds", []analyze.Objective{p99}, []attack.Probed{failed, failed, failed, fast}, true},
		{"an error", []analyze.Objective{p99, few}, []attack.Probed{fast, fast, failed, fast}, false},
		{"half of them may fail", []analyze.Objective{half}, []attack.Probed{failed, failed, fast, fast}, true},
		{"three of them may not", []analyze.Objective{half}, []attack.Probed{failed, failed, failed, fast}, false},
		{"a timeout is slow", []analyze.Objective{p99}, []attack.Probed{fast, timeout, fast, fast}, false},
		{"still throttled", []analyze.Objective{p99}, []attack.Probed{fast, throttled, fast, fast}, false},
		{"still throttled, errors allowed", []analyze.Objective{half}, []attack.Probed{fast, throttled, fast, fast}, false},
	} {
		check(t, tc.name, backlogGone(tc.answers, tc.objectives), tc.want)
	}
}
