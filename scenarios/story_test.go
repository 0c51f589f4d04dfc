package scenarios

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	vegeta "github.com/tsenart/vegeta/v12/lib"

	"coalmine/analyze"
	"coalmine/attack"
	"coalmine/scenarios/emulator"
	"coalmine/scenarios/products"
	"coalmine/scenarios/stage"
)

// The stories wait more than they work.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "10"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// rig is the demonstration system on an emulator, and what a story did to it.
type rig struct {
	t      *testing.T
	server *emulator.Server
	client *stage.Client
	ref    stage.Ref
	lines  []string
	file   bytes.Buffer
	seen   func(analyze.Analysis) // how the story stands, several times a second
	detour *strings.Replacer      // of the control plane's URL; nil: none

	connections int // where a phase has to have its hits in a time; 0: the usual

	mu sync.Mutex
}

func newRig(t *testing.T, faults emulator.Faults) *rig {
	t.Helper()
	t.Parallel()
	server, err := emulator.Start("127.0.0.1:0", paced(faults))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	r := &rig{t: t, server: server}
	r.client = r.connect()
	built, _, err := products.Up(t.Context(), r.client)
	if err != nil {
		t.Fatal(err)
	}
	r.ref = stage.Ref{API: built.API, Stage: "prod", Method: "GET", Path: "/products"}
	return r
}

// The load is a closed loop against answers that take a while: on a machine that others load it gets slower, and no queue
// grows.
const (
	connections = 5
	answerTime  = 15 * time.Millisecond
)

func paced(f emulator.Faults) emulator.Faults {
	versions := map[string]emulator.Version{}
	for _, name := range []string{"1", "2", "3"} {
		v := f.Versions[name]
		v.Latency = emulator.Latency{Median: answerTime}
		versions[name] = v
	}
	f.Versions = versions
	return f
}

// becomes changes what is wrong with the system.
func (r *rig) becomes(f emulator.Faults) {
	r.t.Helper()
	r.must(r.server.SetFaults(paced(f)))
}

func (r *rig) connect() *stage.Client {
	r.t.Helper()
	client, err := stage.Connect(r.t.Context(), stage.Config{Endpoint: r.server.URL()})
	if err != nil {
		r.t.Fatal(err)
	}
	return client
}

// journal is a new one, as another machine would have it.
func (r *rig) journal(c *stage.Client) *stage.Journal {
	r.t.Helper()
	j, err := c.OpenJournal(r.t.TempDir(), r.ref)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { j.Close() })
	return j
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// canary makes one by another client, as a pipeline finds it.
func (r *rig) canary() stage.State {
	r.t.Helper()
	other := r.connect()
	j := r.journal(other)
	_, err := other.CreateCanary(r.t.Context(), j, r.ref, 50, map[string]string{"lambdaAlias": "staging"})
	r.must(err)
	change, err := other.DeployCanary(r.t.Context(), j, r.ref, "")
	r.must(err)
	r.must(j.Done(false))
	change.After.LastUpdated = time.Time{}
	return change.After
}

func (r *rig) state() stage.State {
	r.t.Helper()
	state, err := r.client.Read(context.WithoutCancel(r.t.Context()), r.ref)
	r.must(err)
	state.LastUpdated = time.Time{}
	return state
}

// lenient decides soon, and is patient on a machine that others load: what is tested is what follows a verdict.
func lenient() analyze.Policy {
	p := analyze.DefaultPolicy(true)
	p.Alpha, p.Beta = 0.25, 0.05
	p.Split.Margin = 20
	p.Errors = analyze.ErrorPolicy{Max: 0.1, Margin: 10}
	p.Latency = analyze.LatencyPolicy{Max: map[analyze.Quantile]analyze.Duration{}, Margin: map[analyze.Quantile]analyze.Slack{}}
	p.Settle, p.MinDuration, p.MaxDuration = analyze.Duration(400*time.Millisecond), analyze.Duration(400*time.Millisecond), analyze.Duration(2*time.Minute)
	p.Validity.WakeLate = analyze.Duration(time.Minute)
	p.Validity.Short = 1
	return p
}

func (r *rig) gate(change func(*Gate)) *Prepared {
	r.t.Helper()
	g := r.gating(change)
	p, err := g.Prepare(r.t.Context(), "NOT AWS", "coalmine/test")
	r.must(err)
	return p
}

// prepare is a gate that may be refused.
func (r *rig) prepare(change func(*Gate)) error {
	_, err := r.gating(change).Prepare(r.t.Context(), "NOT AWS", "coalmine/test")
	return err
}

func (r *rig) gating(change func(*Gate)) Gate {
	g := Gate{Policy: lenient(), Classify: []string{"header:X-Lambda-Version"}, Client: r.client, Ref: r.ref,
		Plan: attack.Plan{Target: vegeta.Target{Method: http.MethodGet, URL: r.client.InvokeURL(r.ref), Header: http.Header{}},
			Rate: attack.RateOf(250), Connections: connections, Timeout: time.Minute},
		Act: Act{Promote: Hold, Reject: Hold, Inconclusive: Hold}}
	if change != nil {
		change(&g)
	}
	return g
}

func (r *rig) run(yaml string) *Prepared {
	r.t.Helper()
	s, err := Read("test.yaml", []byte(yaml), true)
	r.must(err)
	s.Policy = lenient()
	p, err := s.Prepare(r.t.Context(), r.client, r.ref, "coalmine/test", "")
	r.must(err)
	return p
}

// tell runs a story, and holds its file to the promise of a replay.
func (r *rig) tell(ctx context.Context, p *Prepared) (analyze.Analysis, error) {
	r.t.Helper()
	p.Header.Started = time.Now()
	p.Story.Plan.Rate, p.Story.Plan.Connections = vegeta.Rate{}, max(connections, r.connections)
	if r.detour != nil {
		p.Story.Plan.Target.URL = r.detour.Replace(p.Story.Plan.Target.URL)
		for i := range p.Story.Before {
			p.Story.Before[i].URL = r.detour.Replace(p.Story.Before[i].URL)
		}
	}
	recorder, err := NewRecorder(p.Header, analyze.NewWriter(&r.file))
	r.must(err)
	recorder.Watch = func(a analyze.Analysis) {
		if r.seen != nil {
			r.seen(a)
		}
	}
	p.Story.Recorder = recorder
	p.Story.Look = 100 * time.Millisecond
	p.Story.Say = func(line string) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.lines = append(r.lines, line)
	}
	if p.Story.Control.Journal == nil {
		p.Story.Control.Journal = r.journal(r.client)
	}
	a, told := p.Story.Tell(ctx)
	again, _, err := analyze.Replay(bytes.NewReader(r.file.Bytes()))
	r.must(err)
	if r.t.Cleanup(func() { // what a failure is to be understood by
		if r.t.Failed() {
			r.t.Logf("%s, then %v: %s", phases(a), told, a.Conclusion.Sentence)
		}
	}); told == nil && a.End.Reason == "error" {
		r.t.Error("an end in error without an error")
	}
	live, _ := json.Marshal(a)
	if replayed, _ := json.Marshal(again); !bytes.Equal(live, replayed) {
		r.t.Errorf("live and replayed differ:\n%s\n%s", live, replayed)
	}
	return a, told
}

// once does something when a phase has so many answers; in a bake, when the canary has been given all of the load, too.
func (r *rig) once(phase string, hits uint64, do func()) {
	var done sync.Once
	r.seen = func(a analyze.Analysis) {
		if reached(a, phase, hits) {
			done.Do(do)
		}
	}
}

func reached(a analyze.Analysis, phase string, hits uint64) bool {
	last := a.Phases[len(a.Phases)-1]
	return last.Name == phase && last.Hits >= hits && (phase != analyze.Bake || slices.Contains(acts(a), "percent.set 100"))
}

// deployed does something once the story's canary is complete.
func (r *rig) deployed(do func()) {
	var done sync.Once
	r.seen = func(a analyze.Analysis) {
		if a.Propagation.Deployed != nil {
			done.Do(do)
		}
	}
}

func phases(a analyze.Analysis) string {
	var names []string
	for _, p := range a.Phases {
		names = append(names, p.Name+" "+p.Outcome.String())
	}
	return strings.Join(names, ", ")
}

// acts are the events from the first of these names on, but for phases and looks.
func acts(a analyze.Analysis) (names []string) {
	for _, e := range a.Events {
		switch e.Name {
		case analyze.PhaseBegin, analyze.PhaseEnd:
		case analyze.PercentSet:
			names = append(names, e.Name+" "+e.Detail["percent"])
		default:
			names = append(names, e.Name)
		}
	}
	return names
}

func check(t *testing.T, what string, got, want any) {
	t.Helper()
	if g, _ := json.Marshal(got); string(g) != func() string { w, _ := json.Marshal(want); return string(w) }() {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

const toBake = `
name: bake
before: {prod: "1"}
canary: {percent: 50, overrides: {lambdaAlias: staging}}
classify: [header:X-Lambda-Version]
load: {rate: 250, connections: 5, timeout: 1m}
policy: {settle: 400ms}
bake: 5s
act: {promote: promote, reject: rollback, inconclusive: rollback}
`

func TestBakeBeforePromote(t *testing.T) {
	r := newRig(t, emulator.Faults{Seed: 1})
	r.connections = 4 * connections
	var full float64
	r.once(analyze.Bake, 300, func() { full = r.state().Canary.Percent })
	a, err := r.tell(t.Context(), r.run(toBake))
	r.must(err)
	check(t, "verdict", a.Conclusion.Verdict.String(), "PROMOTE")
	check(t, "phases", phases(a), "before pass, during pass, bake pass, after pass")
	check(t, "acts", acts(a), []string{analyze.CanaryCreated, analyze.CanaryDeployed, "percent.set 100", analyze.PromoteBegin, analyze.PromoteEnd})
	check(t, "percent in the bake", full, 100)
	if len(a.Phases) != 4 {
		t.FailNow()
	}
	if baked := a.Phases[2]; baked.Length < 5*time.Second {
		t.Errorf("the bake took %s", baked.Length)
	}
	if state := r.state(); state.Canary != nil || state.Variables["lambdaAlias"] != "staging" {
		t.Errorf("not promoted: %+v", state)
	}
}

// A canary that fails only under all of the load is rejected in its bake, and removed.
func TestBakeRejects(t *testing.T) {
	r := newRig(t, emulator.Faults{Seed: 1})
	before := r.state()
	r.canary()
	r.once(analyze.Bake, 100, func() {
		r.becomes(emulator.Faults{Seed: 1, Versions: map[string]emulator.Version{"2": {Errors: 0.5}}})
	})
	a, err := r.tell(t.Context(), r.gate(func(g *Gate) { g.Act, g.Bake = Act{Promote, Rollback, Hold}, time.Minute }))
	r.must(err)
	check(t, "verdict", a.Conclusion.Verdict.String(), "REJECT")
	if !strings.HasPrefix(a.Conclusion.Culprit, "bake ") || !strings.Contains(a.Conclusion.Sentence, "bake at 100 %") {
		t.Errorf("%q: %s", a.Conclusion.Culprit, a.Conclusion.Sentence)
	}
	check(t, "phases", phases(a), "during pass, bake fail, after pass")
	after := r.state()
	check(t, "the canary", after.Canary, nil)
	check(t, "the stage", after.Variables, before.Variables)
}

// A gate's canary was there before: what the bake did to it is taken back, whatever ends the bake.
func TestBakeIsTakenBack(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(r *rig, interrupt func()){
		"interrupt": func(_ *rig, interrupt func()) { interrupt() },
		"reject": func(r *rig, _ func()) {
			r.becomes(emulator.Faults{Seed: 1, Versions: map[string]emulator.Version{"2": {Errors: 0.5}}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, emulator.Faults{Seed: 1})
			before := r.canary()
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			r.once(analyze.Bake, 100, func() { end(r, interrupt) })
			p := r.gate(func(g *Gate) { g.Act.Promote, g.Bake = Promote, time.Minute })
			a, err := r.tell(ctx, p)
			r.must(err)
			check(t, "acts", acts(a), []string{"percent.set 100", "percent.set 50"})
			if a.Conclusion.Verdict == analyze.Promote {
				t.Error("promoted")
			}
			check(t, "the canary", r.state().Differs(before), nil)
			if _, open := p.Story.Control.Journal.Before(); open {
				t.Error("the journal is left unfinished")
			}
		})
	}
}

// The breaker takes the canary's traffic before anything else is done, where rolling back was allowed at all.
func TestBreaker(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		act     Act
		acts    []string
		percent float64 // -1: no canary
	}{
		{"rollback", Act{Hold, Rollback, Rollback}, []string{"breaker", "percent.set 0", analyze.RollbackBegin, analyze.RollbackEnd}, -1},
		{"only on reject", Act{Hold, Rollback, Hold}, []string{"breaker", "percent.set 0"}, 0},
		{"never", Act{Hold, Hold, Hold}, []string{"breaker"}, 50},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, emulator.Faults{Seed: 1})
			r.canary()
			p := r.gate(func(g *Gate) {
				g.Act = tc.act
				g.Policy.Breaker = analyze.BreakerPolicy{Throttled: 0.05, Errors: 1, MinHits: 10, Over: analyze.Duration(time.Second)}
				g.Policy.MaxDuration, g.Policy.Validity.Throttled = analyze.Duration(10*time.Second), 1 // the breaker alone speaks
				g.Policy.Errors = analyze.ErrorPolicy{Max: 0.9, Margin: 59}
			})
			r.becomes(emulator.Faults{Seed: 1, Gateway: emulator.Gateway{Throttle: 20}})
			r.once(analyze.After, 1, func() { r.becomes(emulator.Faults{Seed: 1}) })
			a, err := r.tell(t.Context(), p)
			r.must(err)
			check(t, "verdict", a.Conclusion.Verdict.String(), "INCONCLUSIVE")
			check(t, "end", a.End.Reason, "breaker")
			check(t, "acts", acts(a), tc.acts)
			percent := -1.0
			if canary := r.state().Canary; canary != nil {
				percent = canary.Percent
			}
			check(t, "percent", percent, tc.percent)
			if !slices.ContainsFunc(r.lines, func(line string) bool {
				return strings.HasPrefix(line, "circuit breaker: ") && strings.Contains(line, "the canary gets 0 % now") == (tc.percent != 50)
			}) {
				t.Errorf("nobody was told: %q", r.lines)
			}
		})
	}
}

// Not one request more than allowed, the first answers and the phase after the verdict included, and the verdict says so.
func TestMaxRequests(t *testing.T) {
	r := newRig(t, emulator.Faults{Seed: 1})
	r.canary()
	p := r.gate(func(g *Gate) {
		g.Act.Inconclusive = Rollback
		g.Plan.Budget, g.Plan.Rate = attack.NewBudget(3000), attack.RateOf(1000)
		g.Policy.Split.Margin = 1 // takes more
	})
	a, err := r.tell(t.Context(), p)
	r.must(err)
	check(t, "verdict", a.Conclusion.Verdict.String(), "INCONCLUSIVE")
	check(t, "void", len(a.Conclusion.Void), 0)
	if !strings.Contains(a.Conclusion.Sentence, "at the limit of 3,000 requests") || a.End.Reason != "budget" {
		t.Errorf("end %q: %s", a.End.Reason, a.Conclusion.Sentence)
	}
	check(t, "phases", phases(a), "during undecided, after pass")
	check(t, "due before the verdict", a.Phases[0].Due+askKnown, 3000-afterHits)
	if spent := a.Phases[0].Sent + a.Phases[1].Sent + askKnown; spent > 3000-p.Story.Plan.Budget.Left() {
		t.Errorf("%d sent, %d left of 3,000", spent, p.Story.Plan.Budget.Left())
	}
}

// What another client does to the stage during the load voids the measurement, and nothing is promoted.
func TestChangedUnderTest(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		change func(r *rig)
		says   string
		gone   bool
	}{
		{"stage deleted", func(r *rig) {
			_, err := r.client.Gateway().DeleteStage(context.Background(), &apigateway.DeleteStageInput{RestApiId: &r.ref.API, StageName: &r.ref.Stage})
			r.must(err)
		}, "stage changed under test: stage prod is gone", true},
		{"alias moved", func(r *rig) {
			function, name, version := "getProducts", "staging", "3"
			_, err := r.client.Lambda().UpdateAlias(context.Background(), &lambda.UpdateAliasInput{FunctionName: &function, Name: &name, FunctionVersion: &version})
			r.must(err)
		}, "stage changed under test: alias staging of", false},
		{"promoted by another client", func(r *rig) {
			other := r.connect()
			measured, err := other.Measure(context.Background(), r.ref)
			r.must(err)
			j := r.journal(other)
			_, err = other.Promote(context.Background(), j, r.ref, measured, false)
			r.must(err)
			r.must(j.Done(false))
		}, "stage changed under test: ", false},
		{"deployed by another client", func(r *rig) {
			other := r.connect()
			j := r.journal(other)
			_, err := other.DeployCanary(context.Background(), j, r.ref, "another")
			r.must(err)
			r.must(j.Done(false))
		}, "stage changed under test: ", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, emulator.Faults{Seed: 1})
			r.canary()
			p := r.gate(func(g *Gate) {
				g.Act = Act{Promote, Rollback, Hold}
				g.Policy.MinDuration = analyze.Duration(30 * time.Second)
			})
			var after stage.State
			r.once(analyze.During, 100, func() {
				if tc.change(r); !tc.gone {
					after = r.state()
				}
			})
			a, err := r.tell(t.Context(), p)
			r.must(err)
			check(t, "verdict", a.Conclusion.Verdict.String(), "INCONCLUSIVE")
			if len(a.Conclusion.Void) == 0 || !strings.HasPrefix(a.Conclusion.Void[0], tc.says) {
				t.Errorf("void %q, want %q", a.Conclusion.Void, tc.says)
			}
			check(t, "action", a.Action, "none")
			if !tc.gone {
				check(t, "the stage", r.state().Differs(after), nil)
			}
		})
	}
}

// A canary that somebody put in the place of the one under test is not the story's to remove.
func TestCanaryReplaced(t *testing.T) {
	r := newRig(t, emulator.Faults{Seed: 1})
	r.canary()
	var theirs stage.State
	r.once(analyze.During, 100, func() {
		other := r.connect()
		j := r.journal(other)
		_, err := other.Abort(context.Background(), j, r.ref, nil)
		r.must(err)
		change, err := other.CreateCanary(context.Background(), j, r.ref, 10, map[string]string{"lambdaAlias": "dev"})
		r.must(err)
		theirs = change.After
		theirs.LastUpdated = time.Time{}
		r.must(j.Done(false))
	})
	a, err := r.tell(t.Context(), r.gate(func(g *Gate) {
		g.Act = Act{Promote, Rollback, Rollback}
		g.Policy.MinDuration = analyze.Duration(30 * time.Second)
	}))
	if err == nil || !strings.Contains(err.Error(), "stage changed under test") {
		t.Errorf("%v, want a refusal to remove what is not ours", err)
	}
	check(t, "verdict", a.Conclusion.Verdict.String(), "INCONCLUSIVE")
	check(t, "their canary", r.state().Differs(theirs), nil)
}

// Credentials that end during the load: told at once, the load goes on, acting fails in one line, and recover restores.
func TestExpiredToken(t *testing.T) {
	r := newRig(t, emulator.Faults{Seed: 1})
	before := r.state()
	r.deployed(func() {
		r.becomes(emulator.Faults{Seed: 1, Control: emulator.Control{Expired: true}})
	})
	p := r.unbaked()
	a, err := r.tell(t.Context(), p)
	check(t, "verdict", a.Conclusion.Verdict.String(), "PROMOTE")
	path := p.Story.Control.Journal.Path()
	if err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "ExpiredToken") || !strings.Contains(err.Error(), "coalmine canary recover "+path) {
		t.Errorf("%v, want one line with AWS's code and the way out", err)
	}
	if !slices.Contains(acts(a), analyze.ControlTrouble) || !slices.ContainsFunc(r.lines, func(line string) bool { return strings.Contains(line, "the load goes on") }) {
		t.Errorf("nobody was told: %q, %q", acts(a), r.lines)
	}
	r.must(p.Story.Control.Journal.Close())
	r.becomes(emulator.Faults{Seed: 1})
	_, err = r.client.Recover(t.Context(), path)
	r.must(err)
	check(t, "the stage", r.state().Differs(before), nil)
}

// A control plane that throttles for a while is asked again.
func TestThrottledLook(t *testing.T) {
	r := newRig(t, emulator.Faults{Seed: 1})
	r.canary()
	r.once(analyze.During, 100, func() {
		r.becomes(emulator.Faults{Seed: 1, Control: emulator.Control{Throttle: 1}})
	})
	a, err := r.tell(t.Context(), r.gate(nil))
	r.must(err)
	check(t, "verdict", a.Conclusion.Verdict.String(), "PROMOTE")
	check(t, "acts", acts(a), nil)
}

// After a promote that traffic confirmed, production goes back to its own alias, and traffic confirms that, too. What it
// does not confirm is taken back as a whole: stage and alias.
func TestRepoint(t *testing.T) {
	t.Parallel()
	for _, confirmed := range []bool{true, false} {
		t.Run(map[bool]string{true: "confirmed", false: "not confirmed"}[confirmed], func(t *testing.T) {
			r := newRig(t, emulator.Faults{Seed: 1})
			before := r.state()
			r.canary()
			if !confirmed {
				r.once("after/repoint", 1, func() {
					r.becomes(emulator.Faults{Seed: 1, Versions: map[string]emulator.Version{"2": {Errors: 0.5}}})
				})
			}
			p := r.gate(func(g *Gate) { g.Act, g.Then = Act{Promote, Rollback, Hold}, Repoint })
			a, err := r.tell(t.Context(), p)
			r.must(err)
			alias, err := r.client.ReadAlias(t.Context(), "getProducts", "prod")
			r.must(err)
			check(t, "verdict", a.Conclusion.Verdict.String(), "PROMOTE")
			check(t, "variable", r.state().Variables["lambdaAlias"], before.Variables["lambdaAlias"])
			if confirmed {
				check(t, "phases", phases(a), "during pass, after pass, after/repoint pass")
				check(t, "alias", alias.Version, "2")
				check(t, "action", a.Action, "promoted and repointed")
			} else {
				check(t, "phases", phases(a), "during pass, after pass, after/repoint fail")
				check(t, "alias", alias.Version, "1")
				check(t, "action", a.Action, "rolled back")
				check(t, "after", a.After.String(), "fail")
			}
			if _, open := p.Story.Control.Journal.Before(); open {
				t.Error("the journal is left unfinished")
			}
		})
	}
}

// A Lambda alias that splits by weights is baked, promoted, set back and taken back by the same calls.
func TestWeightedAlias(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string]bool{"promoted": false, "rejected in its bake": true} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, emulator.Faults{Seed: 1})
			function, alias, version := "getProducts", "prod", "1"
			url := r.client.InvokeURL(r.ref)
			_, err := r.client.Lambda().UpdateAlias(t.Context(), &lambda.UpdateAliasInput{FunctionName: &function, Name: &alias, FunctionVersion: &version,
				RoutingConfig: &types.AliasRoutingConfiguration{AdditionalVersionWeights: map[string]float64{"2": 0.5}}})
			r.must(err)
			r.ref = stage.Ref{Function: function, Alias: alias, Method: "GET"}
			r.connections = 4 * connections
			if bad {
				r.once(analyze.Bake, 100, func() {
					r.becomes(emulator.Faults{Seed: 1, Versions: map[string]emulator.Version{"2": {Errors: 0.5}}})
				})
			}
			p := r.gate(func(g *Gate) {
				g.Plan.Target.URL, g.Act, g.Bake = url, Act{Promote, Rollback, Hold}, 5*time.Second
				if bad {
					g.Bake = time.Minute
				}
			})
			a, err := r.tell(t.Context(), p)
			r.must(err)
			now, err := r.client.ReadAlias(t.Context(), function, alias)
			r.must(err)
			if bad {
				check(t, "verdict", a.Conclusion.Verdict.String(), "REJECT")
				check(t, "phases", phases(a), "during pass, bake fail, after pass")
				check(t, "alias", now.String(), "version 1")
			} else {
				check(t, "verdict", a.Conclusion.Verdict.String(), "PROMOTE")
				check(t, "phases", phases(a), "during pass, bake pass, after pass")
				check(t, "alias", now.String(), "version 2")
			}
		})
	}
}
