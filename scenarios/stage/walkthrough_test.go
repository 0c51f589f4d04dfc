package stage_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigateway/types"

	"coalmine/scenarios/stage"
)

// The walkthrough of the design, step by step, with what Coalmine reads at each.
func TestWalkthrough(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	ctx := t.Context()

	for _, c := range []struct{ stage, version string }{{"prod", "1"}, {"staging", "2"}, {"dev", "3"}} {
		ref := l.ref
		ref.Stage = c.stage
		target, err := l.Resolve(ctx, ref)
		if err != nil {
			t.Fatal(err)
		}
		if target.BaselineVersion != c.version || target.BaselineAlias != c.stage || target.Function != "getProducts" {
			t.Errorf("%s resolves to %+v", c.stage, target)
		}
		if target.CanaryVersion != "" || target.CanaryAlias != "" || target.Share != 0 || target.Canary != nil || target.Baseline.Invocable != stage.Yes || len(target.Baseline.Unread) > 0 {
			t.Errorf("%s has no canary, but %+v", c.stage, target)
		}
		if got := l.answers(c.stage, 20); got[c.version] != 20 {
			t.Errorf("%s answers %v", c.stage, got)
		}
	}
	initial := l.read()

	j := l.journal()
	created := l.must(l.CreateCanary(ctx, j, l.ref, 50, map[string]string{"lambdaAlias": "staging"}))
	want := stage.Canary{DeploymentID: initial.DeploymentID, Percent: 50, Overrides: map[string]string{"lambdaAlias": "staging"}}
	if created.After.Canary.String() != want.String() || created.Before.Canary != nil {
		t.Errorf("created %+v", created)
	}
	wantOps := `[{"op":"replace","path":"/canarySettings/percentTraffic","value":"50.0"},` +
		`{"op":"replace","path":"/canarySettings/useStageCache","value":"false"},` +
		`{"op":"replace","path":"/canarySettings/stageVariableOverrides/lambdaAlias","value":"staging"}]`
	if created.JSON() != wantOps {
		t.Errorf("operations %s", created.JSON())
	}

	deployed := l.must(l.DeployCanary(ctx, j, l.ref, "release 2"))
	if deployed.Created == "" || deployed.After.Canary.DeploymentID != deployed.Created || deployed.After.DeploymentID != initial.DeploymentID {
		t.Errorf("deployed %+v", deployed)
	}
	if deployed.After.Canary.Percent != 50 || deployed.After.Canary.Overrides["lambdaAlias"] != "staging" {
		t.Errorf("the deployment changed percent or overrides: %s", deployed.After.Canary)
	}

	target, err := l.Resolve(ctx, l.ref)
	if err != nil {
		t.Fatal(err)
	}
	if target.BaselineVersion != "1" || target.CanaryVersion != "2" || target.CanaryAlias != "staging" || target.Share != 0.5 || target.Canary.Invocable != stage.Yes {
		t.Errorf("target %+v", target)
	}
	if got := l.answers("prod", 200); got["1"] < 50 || got["2"] < 50 || got["1"]+got["2"] != 200 {
		t.Errorf("split of 200: %v", got)
	}

	promoted := l.must(l.Promote(ctx, j, l.ref, l.measured(), false))
	if s := promoted.After; s.Canary != nil || s.DeploymentID != deployed.Created || s.Variables["lambdaAlias"] != "staging" {
		t.Errorf("promoted to %+v", s)
	}
	if err := j.Done(false); err != nil {
		t.Fatal(err)
	}
	if got := l.answers("prod", 50); got["2"] != 50 {
		t.Errorf("after promote: %v", got)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}

	// Another day: the promote is undone by what the journal remembers.
	j = l.journal()
	before, ok := j.BeforePromote()
	if !ok || before.DeploymentID != initial.DeploymentID || before.Canary == nil {
		t.Fatalf("before promote: %v %+v", ok, before)
	}
	rolled := l.must(l.Rollback(ctx, j, l.ref, before))
	l.same(rolled.After, initial)
	if len(rolled.Deleted) != 0 {
		t.Errorf("an earlier story's deployment was deleted: %v", rolled.Deleted)
	}
	if got := l.answers("prod", 50); got["1"] != 50 {
		t.Errorf("after rollback: %v", got)
	}
	if err := errors.Join(j.Done(true), j.Close()); err != nil {
		t.Fatal(err)
	}
}

// A deployment of ours is deleted only in the story that made it, and only
// when nobody uses it.
func TestDeploymentsThatAreLeftAlone(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	ctx := t.Context()
	initial := l.read()
	patch := func(stage string, ops ...types.PatchOperation) {
		t.Helper()
		if _, err := l.Gateway().UpdateStage(ctx, &apigateway.UpdateStageInput{RestApiId: &l.ref.API, StageName: &stage, PatchOperations: ops}); err != nil {
			t.Fatal(err)
		}
	}
	deletes := func() int { return strings.Count(strings.Join(l.proxy.changes(), " "), "DELETE") }

	j := l.journal()
	l.must(l.CreateCanary(ctx, j, l.ref, 50, overrides))
	deployed := l.must(l.DeployCanary(ctx, j, l.ref, ""))
	patch("dev", types.PatchOperation{Op: types.OpReplace, Path: aws.String("/deploymentId"), Value: &deployed.Created})
	l.proxy.forget()
	if ch := l.must(l.Abort(ctx, j, l.ref, nil)); len(ch.Deleted) > 0 || len(ch.Notes) > 0 || deletes() > 0 {
		t.Errorf("stage dev uses %s, and %+v", deployed.Created, ch)
	}
	if err := j.Done(true); err != nil {
		t.Fatal(err)
	}

	// Left on purpose by a finished story, then abandoned by hand.
	l.must(l.CreateCanary(ctx, j, l.ref, 50, overrides))
	l.must(l.DeployCanary(ctx, j, l.ref, ""))
	if err := errors.Join(j.Done(false), j.Close()); err != nil {
		t.Fatal(err)
	}
	patch("prod", types.PatchOperation{Op: types.OpRemove, Path: aws.String("/canarySettings")})
	j = l.journal()
	l.proxy.forget()
	if ch := l.must(l.Restore(ctx, j, l.ref, initial)); len(ch.Operations) > 0 || len(l.proxy.changes()) > 0 {
		t.Errorf("restored what was as it should be: %v", l.proxy.changes())
	}
}

func TestAbort(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	ctx := t.Context()
	initial := l.read()
	j := l.journal()
	l.must(l.CreateCanary(ctx, j, l.ref, 12.5, map[string]string{"lambdaAlias": "staging"}))
	deployed := l.must(l.DeployCanary(ctx, j, l.ref, ""))
	aborted := l.must(l.Abort(ctx, j, l.ref, nil))
	l.same(aborted.After, initial)
	if aborted.JSON() != `[{"op":"replace","path":"/canarySettings/percentTraffic","value":"0.0"},{"op":"remove","path":"/canarySettings"}]` {
		t.Errorf("operations %s", aborted.JSON())
	}
	if len(aborted.Deleted) != 1 || aborted.Deleted[0] != deployed.Created {
		t.Errorf("deleted %v, made %s", aborted.Deleted, deployed.Created)
	}
	text := aborted.String()
	for _, want := range []string{"abort canary on prod", "canary: 12.5% to deployment " + deployed.Created + ", lambdaAlias=staging -> none", `{"op":"remove","path":"/canarySettings"}`} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in:\n%s", want, text)
		}
	}
}

func TestSetPercent(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	ctx := t.Context()
	j := l.journal()
	l.must(l.CreateCanary(ctx, j, l.ref, 10, map[string]string{"lambdaAlias": "staging"}))
	for _, p := range []float64{100, 0, 33.3} {
		if ch := l.must(l.SetPercent(ctx, j, l.ref, p)); ch.After.Canary.Percent != p {
			t.Errorf("asked %v, got %v", p, ch.After.Canary.Percent)
		}
	}
	l.proxy.forget()
	if ch := l.must(l.SetPercent(ctx, j, l.ref, 33.3)); len(ch.Operations) > 0 || len(l.proxy.changes()) > 0 {
		t.Errorf("the same percent was sent: %v", l.proxy.changes())
	}
}

func TestPromoteKeepingTheSettings(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	ctx := t.Context()
	j := l.journal()
	l.must(l.CreateCanary(ctx, j, l.ref, 50, map[string]string{"lambdaAlias": "staging", "added": "1"}))
	ch := l.must(l.Promote(ctx, j, l.ref, l.measured(), true))
	if ch.After.Canary == nil || ch.After.Canary.Percent != 0 || ch.After.Variables["added"] != "1" {
		t.Errorf("promoted to %+v", ch.After)
	}
	rolled := l.must(l.Rollback(ctx, j, l.ref, ch.Before))
	if _, still := rolled.After.Variables["added"]; still || rolled.After.Canary != nil || rolled.After.Variables["lambdaAlias"] != "prod" {
		t.Errorf("rolled back to %+v", rolled.After)
	}
}

// Restore goes from anything to anything, canaries included.
func TestRestore(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	ctx := t.Context()
	j := l.journal()
	states := []stage.State{l.read()}
	keep := func(_ stage.Change, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		states = append(states, l.read())
	}
	keep(l.CreateCanary(ctx, j, l.ref, 50, map[string]string{"lambdaAlias": "staging"}))
	keep(l.DeployCanary(ctx, j, l.ref, "one"))
	keep(l.Promote(ctx, j, l.ref, l.measured(), true))
	keep(l.DeployCanary(ctx, j, l.ref, "two"))
	keep(l.SetPercent(ctx, j, l.ref, 7))
	// Done, so that going back does not delete what other states need.
	if err := j.Done(false); err != nil {
		t.Fatal(err)
	}
	for i, from := range states {
		for k, to := range states {
			l.must(l.Restore(ctx, j, l.ref, from))
			ch := l.must(l.Restore(ctx, j, l.ref, to))
			if diff := settings(l.read()).Differs(settings(to)); diff != nil {
				t.Errorf("%d -> %d by %s: %v", i, k, ch.JSON(), diff)
			}
			if i == k && len(ch.Operations) > 0 {
				t.Errorf("%d -> %d sent %s", i, k, ch.JSON())
			}
		}
	}
}

func TestAnnounceIsADryRun(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	ctx := t.Context()
	stop := errors.New("dry run")
	var announced []stage.Change
	l.Announce = func(ch stage.Change) error { announced = append(announced, ch); return stop }
	l.proxy.forget()
	if _, err := l.CreateCanary(ctx, nil, l.ref, 50, map[string]string{"lambdaAlias": "staging"}); !errors.Is(err, stop) {
		t.Fatal(err)
	}
	if len(announced) != 1 || announced[0].After.Canary.Percent != 50 || len(announced[0].Operations) != 3 || announced[0].Before.Canary != nil {
		t.Errorf("announced %+v", announced)
	}
	if changes := l.proxy.changes(); len(changes) > 0 {
		t.Errorf("a dry run sent %v", changes)
	}
}

// One verb a day, as by hand: the deployment that an earlier story made for the canary goes with the canary, unless it is
// somebody's, or has been the stage's.
func TestAbortOfAnotherDaysDeployment(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	ctx := t.Context()
	day := func(verb func(*stage.Journal) (stage.Change, error)) stage.Change {
		t.Helper()
		j := l.journal()
		ch := l.must(verb(j))
		if err := errors.Join(j.Done(false), j.Close()); err != nil {
			t.Fatal(err)
		}
		return ch
	}
	create := func(j *stage.Journal) (stage.Change, error) { return l.CreateCanary(ctx, j, l.ref, 50, overrides) }
	deploy := func(j *stage.Journal) (stage.Change, error) { return l.DeployCanary(ctx, j, l.ref, "") }
	abort := func(j *stage.Journal) (stage.Change, error) { return l.Abort(ctx, j, l.ref, nil) }
	before := l.deployments()
	check := func(name string, ch stage.Change, deleted, note string, more int) {
		t.Helper()
		if strings.Join(ch.Deleted, " ") != deleted || !strings.Contains(strings.Join(ch.Notes, "; "), note) || note == "" && len(ch.Notes) > 0 {
			t.Errorf("%s: deleted %v, want %s; notes %q, want %q", name, ch.Deleted, deleted, ch.Notes, note)
		}
		if n := l.deployments() - before; n != more {
			t.Errorf("%s: %d deployments more, want %d", name, n, more)
		}
	}
	day(create)
	check("the stage's own", day(abort), "", "", 0)

	day(create)
	made := day(deploy)
	check("another day's", day(abort), made.Created, "", 0)

	day(create)
	made = day(deploy)
	l.proxy.with(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/stages") {
			awsError(w, 403, "AccessDeniedException", "no")
			return true
		}
		return false
	})
	check("not to be looked up", day(abort), "", "an unused deployment of coalmine's is left: GetStages", 1)
	l.proxy.with(nil)

	day(create)
	made = day(deploy)
	other := *l
	other.ref.Stage = "dev"
	other.patch([3]string{"replace", "/deploymentId", made.Created})
	check("used by another stage", day(abort), "", "", 2)

	day(create)
	theirs := l.redeploy()
	check("theirs", day(abort), "", "deployment "+theirs+", which was the canary's, is left: this journal does not say that coalmine made it", 3)

	// Promoted, and rolled back to: it has been the stage's.
	day(create)
	made = day(deploy)
	judged := l.measured()
	day(func(j *stage.Journal) (stage.Change, error) { return l.Promote(ctx, j, l.ref, judged, false) })
	day(func(j *stage.Journal) (stage.Change, error) {
		to, _ := j.BeforePromote()
		return l.Rollback(ctx, j, l.ref, to)
	})
	day(create)
	l.patch([3]string{"replace", "/canarySettings/deploymentId", made.Created})
	check("the stage's once", day(abort), "", "deployment "+made.Created+", which was the canary's, is left: it has been the stage's", 4)
}
