package scenarios

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigateway/types"

	"coalmine/analyze"
	"coalmine/scenarios/emulator"
	"coalmine/scenarios/stage"
)

// begun is a story that has yet to act: what it does then needs no load.
func (r *rig) begun(p *Prepared) *Story {
	r.t.Helper()
	p.Header.Started = time.Now()
	recorder, err := NewRecorder(p.Header, analyze.NewWriter(&r.file))
	r.must(err)
	s := p.Story
	s.Recorder, s.Control.Journal = recorder, r.journal(r.client)
	s.Say = func(line string) { r.lines = append(r.lines, line) }
	s.begin()
	return s
}

// onStage does something once, before the n-th reading of the stage after the first request that is meant.
func (r *rig) onStage(n int, meant func(req *http.Request, body string) bool, do func()) {
	var mu sync.Mutex
	begun := false
	r.through(func(_ http.ResponseWriter, req *http.Request, body string) bool {
		mu.Lock()
		defer mu.Unlock()
		if begun = begun || meant(req, body); begun && control(req) && req.Method == http.MethodGet && strings.Contains(req.URL.Path, "/stages/prod") {
			if n--; n == 0 {
				do()
			}
		}
		return false
	})
}

// redeploy gives the canary another deployment by another client.
func (r *rig) redeploy() stage.State {
	other := r.connect()
	j, err := other.OpenJournal(r.t.TempDir(), r.ref)
	if err != nil {
		r.t.Error(err)
		return stage.State{}
	}
	defer j.Close()
	change, err := other.DeployCanary(context.Background(), j, r.ref, "")
	if err = errors.Join(err, j.Done(false)); err != nil {
		r.t.Error(err)
	}
	change.After.LastUpdated = time.Time{}
	return change.After
}

// recolor sets a variable of the stage by another client.
func (r *rig) recolor() stage.State {
	path, value := "/variables/color", "red"
	other := r.connect()
	_, err := other.Gateway().UpdateStage(context.Background(), &apigateway.UpdateStageInput{RestApiId: &r.ref.API, StageName: &r.ref.Stage,
		PatchOperations: []types.PatchOperation{{Op: types.OpReplace, Path: &path, Value: &value}}})
	state, err2 := other.Read(context.Background(), r.ref)
	if err = errors.Join(err, err2); err != nil {
		r.t.Error(err)
	}
	state.LastUpdated = time.Time{}
	return state
}

// The canary that gets another percentage is the one under test, also if another was deployed a moment before.
func TestPercentOfAnotherCanary(t *testing.T) {
	r := newRig(t, emulator.Faults{Seed: 1})
	r.canary()
	var s *Story
	var theirs stage.State
	r.onStage(2, func(*http.Request, string) bool { return s != nil }, func() { theirs = r.redeploy() })
	s = r.begun(r.gate(nil))
	if err := s.percent(t.Context(), 100); !errors.Is(err, stage.ErrChanged) {
		t.Errorf("%v", err)
	}
	check(t, "the stage", r.state().Differs(theirs), nil)
}

// A promote that somebody changes at once is neither taken back nor forgotten: the journal stays open, and says so.
func TestPromoteOvertakenAtOnce(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*rig) stage.State{"gate": (*rig).redeploy, "run": (*rig).redeploy, "gate, variable": (*rig).recolor, "run, variable": (*rig).recolor} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, emulator.Faults{Seed: 1})
			r.canary()
			var theirs stage.State
			r.onStage(1, func(req *http.Request, body string) bool { return strings.Contains(body, `"copy"`) }, func() {
				theirs = change(r)
			})
			s := r.begun(r.gate(nil))
			if strings.HasPrefix(name, "run") {
				s.Create = &Canary{}
			}
			err := s.promote(t.Context())
			if err == nil || !strings.Contains(err.Error(), "right after it was patched") {
				t.Fatalf("%v", err)
			}
			path := s.Control.Journal.Path()
			if err = s.unpromoted(t.Context(), err); err == nil || !strings.Contains(err.Error(), "not undone: now stage prod differs from before this run: deployment: ") ||
				!strings.Contains(err.Error(), "coalmine canary recover --dismiss "+path) {
				t.Errorf("%v", err)
			}
			if _, open := s.Control.Journal.Before(); !open {
				t.Error("the journal is closed")
			}
			check(t, "the stage", r.state().Differs(theirs), nil)
		})
	}
}

// A percentage that was never raised is nobody else's.
func TestPercentNeverRaised(t *testing.T) {
	r := newRig(t, emulator.Faults{Seed: 1})
	before := r.canary()
	r.denied(`"100.0"`)
	s := r.begun(r.gate(nil))
	s.raised = true
	err := s.percent(t.Context(), 100)
	if err == nil {
		t.Fatal("not refused")
	}
	if err = s.undo(t.Context(), err); err == nil || strings.Contains(err.Error(), "; ") {
		t.Errorf("%v", err)
	}
	if i := slices.IndexFunc(r.lines, func(line string) bool { return strings.Contains(line, "somebody else") }); i >= 0 {
		t.Error(r.lines[i])
	}
	check(t, "the stage", r.state().Differs(before), nil)
}

// A repoint that was refused before anything was moved has left a whole promote, which repoint by hand can go on from.
func TestNotRepointed(t *testing.T) {
	r := newRig(t, emulator.Faults{Seed: 1})
	r.canary()
	s := r.begun(r.gate(func(g *Gate) { g.Act.Promote, g.Then = Promote, Repoint }))
	r.must(s.promote(t.Context()))
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	err := s.repoint(ctx)
	path := s.Control.Journal.Path()
	if err = s.unrepointed(ctx, err); err == nil || !strings.Contains(err.Error(), "promoted, but nothing was repointed") || strings.Contains(err.Error(), "recover") {
		t.Errorf("%v", err)
	}
	if _, open := s.Control.Journal.Before(); open {
		t.Fatal("the journal is left unfinished")
	}
	stories, err := stage.Stories(path)
	r.must(err)
	check(t, "unfinished", stories[len(stories)-1].Unfinished(), false)
	judged, _ := s.Control.Journal.Promoted()
	_, err = r.client.Repoint(t.Context(), s.Control.Journal, r.ref, judged)
	r.must(err)
}

// A canary that somebody else has removed takes the deployment with it that was made for it.
func TestDeploymentOfARemovedCanary(t *testing.T) {
	r := newRig(t, emulator.Faults{Seed: 1})
	before := r.state()
	deployments := func() int {
		out, err := r.client.Gateway().GetDeployments(t.Context(), &apigateway.GetDeploymentsInput{RestApiId: &r.ref.API})
		r.must(err)
		return len(out.Items)
	}
	were := deployments()
	s := r.begun(r.run(toBake))
	r.must(s.create(t.Context()))
	_, err := r.connect().Gateway().UpdateStage(t.Context(), &apigateway.UpdateStageInput{RestApiId: &r.ref.API, StageName: &r.ref.Stage,
		PatchOperations: []types.PatchOperation{{Op: types.OpRemove, Path: aws.String("/canarySettings")}}})
	r.must(err)
	r.must(s.undo(t.Context(), nil))
	check(t, "the stage", r.state().Differs(before), nil)
	check(t, "deployments", deployments(), were)
	if _, open := s.Control.Journal.Before(); open {
		t.Error("the journal is left unfinished")
	}
}

// A canary that somebody else has promoted is not undone by its being gone: the journal stays open, and says so.
func TestTheyPromoted(t *testing.T) {
	r := newRig(t, emulator.Faults{Seed: 1})
	s := r.begun(r.run(toBake))
	r.must(s.create(t.Context()))
	other := r.connect()
	judged, err := other.Measure(t.Context(), r.ref)
	r.must(err)
	_, err = other.Promote(t.Context(), r.journal(other), r.ref, judged, false)
	r.must(err)
	theirs := r.state()
	if err := s.undo(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "not undone: now stage prod differs from before this run: deployment: ") {
		t.Errorf("%v", err)
	}
	check(t, "the stage", r.state().Differs(theirs), nil)
	if _, open := s.Control.Journal.Before(); !open {
		t.Error("the journal is closed")
	}
}

// A function that is gone is not the stage: the canary is still there, and gets its traffic.
func TestGoneBehindTheStage(t *testing.T) {
	r := newRig(t, emulator.Faults{Seed: 1})
	r.canary()
	s := r.begun(r.gate(nil))
	s.Control.Live.Codes = []stage.Code{{Function: "getNothing"}} // as of an arm that is $LATEST
	_, err := s.read(t.Context())
	if !stage.IsNotFound(err) || s.gone(err) {
		t.Errorf("%v, gone: %v", err, s.gone(err))
	}
	if says := gone(r.ref, err); !strings.HasPrefix(says, "what is behind it is gone: GetFunctionConfiguration functions/getNothing/") {
		t.Error(says)
	}
}
