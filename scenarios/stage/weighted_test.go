package stage_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"coalmine/scenarios/products"
	"coalmine/scenarios/stage"
)

// point moves an alias behind the package's back.
func (l *lab) point(alias, version string, weights map[string]float64) stage.Alias {
	l.t.Helper()
	if weights == nil {
		weights = map[string]float64{}
	}
	if _, err := l.Lambda().UpdateAlias(l.t.Context(), &lambda.UpdateAliasInput{
		FunctionName: aws.String(products.Function), Name: &alias, FunctionVersion: &version,
		RoutingConfig: &types.AliasRoutingConfiguration{AdditionalVersionWeights: weights},
	}); err != nil {
		l.t.Fatal(err)
	}
	return l.alias(alias)
}

func (l *lab) alias(name string) stage.Alias {
	l.t.Helper()
	alias, err := l.ReadAlias(l.t.Context(), products.Function, name)
	if err != nil {
		l.t.Fatal(err)
	}
	return alias
}

// weightedLab has the prod alias split between two versions as what is under test.
func weightedLab(t *testing.T) *lab {
	l := newLab(t)
	l.ref = stage.Ref{Function: products.Function, Alias: "prod"}
	l.point("prod", "1", map[string]float64{"2": 0.25})
	return l
}

func (l *lab) leads(name, want string) {
	l.t.Helper()
	if got := l.alias(name).String(); got != want {
		l.t.Errorf("alias %s: %s, want %s", name, got, want)
	}
}

func TestWeightedAlias(t *testing.T) {
	t.Parallel()
	l := weightedLab(t)
	ctx := t.Context()
	target, err := l.Resolve(ctx, l.ref)
	if err != nil || target.BaselineVersion != "1" || target.CanaryVersion != "2" || target.Share != 0.25 || target.Function != products.Function {
		t.Fatalf("%+v %v", target, err)
	}
	j := l.journal()
	ch := l.must(l.SetPercent(ctx, j, l.ref, 50))
	if got := l.answers("prod", 200); got["1"] < 50 || got["2"] < 50 {
		t.Errorf("half and half: %v", got)
	}
	for _, want := range []string{"set canary percent on getProducts:prod", "alias prod of getProducts: version 1, 25.0% to version 2 -> version 1, 50.0% to version 2",
		"to undo by hand: aws lambda update-alias --function-name getProducts --name prod --function-version 1 --routing-config 'AdditionalVersionWeights={2=0.25}'"} {
		if text := strings.Join(ch.Plan(), "\n"); !strings.Contains(text, want) {
			t.Errorf("%q is not in:\n%s", want, text)
		}
	}
	for p, want := range map[float64]string{0: "version 1, 0.0% to version 2", 100: "version 1, 100.0% to version 2", 33.3: "version 1, 33.3% to version 2"} {
		l.must(l.SetPercent(ctx, j, l.ref, p))
		l.leads("prod", want)
	}
	l.must(l.SetPercent(ctx, j, l.ref, 50))

	judged := l.measured()
	if len(judged.Arms) != 2 || judged.Arms[1].Version != "2" || judged.Stage != nil {
		t.Errorf("measured %+v", judged)
	}
	l.must(l.Promote(ctx, j, l.ref, judged, false))
	l.leads("prod", "version 2")
	if got := l.answers("prod", 50); got["2"] != 50 {
		t.Errorf("after promote: %v", got)
	}
	if err := errors.Join(j.Done(false), j.Close()); err != nil {
		t.Fatal(err)
	}

	j = l.journal()
	to, found := j.BeforePromote()
	if !found {
		t.Fatal("the journal forgot the promote")
	}
	l.must(l.Rollback(ctx, j, l.ref, to))
	l.leads("prod", "version 1")
	if err := errors.Join(j.Done(true), j.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Promote(ctx, l.journal(), l.ref, judged, false); !errors.Is(err, stage.ErrChanged) {
		t.Errorf("promoted what is no more: %v", err)
	}
}

func TestWeightedAbort(t *testing.T) {
	t.Parallel()
	l := weightedLab(t)
	ctx := t.Context()
	j := l.journal()
	judged := l.measured()
	l.must(l.SetPercent(ctx, j, l.ref, 0)) // another percent is the same canary
	l.must(l.Abort(ctx, j, l.ref, &judged))
	l.leads("prod", "version 1")
	if _, err := l.Abort(ctx, j, l.ref, nil); !errors.Is(err, stage.ErrNoCanary) {
		t.Errorf("aborted twice: %v", err)
	}
	l.point("prod", "1", map[string]float64{"3": 0.5})
	if _, err := l.Abort(ctx, j, l.ref, &judged); !errors.Is(err, stage.ErrChanged) || !strings.Contains(err.Error(), "25.0% to version 2 -> version 1, 50.0% to version 3") {
		t.Errorf("aborted another canary: %v", err)
	}
	for name, verb := range map[string]func() (stage.Change, error){
		"create":  func() (stage.Change, error) { return l.CreateCanary(ctx, j, l.ref, 5, nil) },
		"deploy":  func() (stage.Change, error) { return l.DeployCanary(ctx, j, l.ref, "") },
		"repoint": func() (stage.Change, error) { return l.Repoint(ctx, j, l.ref, judged) },
	} {
		l.proxy.forget()
		if _, err := verb(); err == nil || !strings.Contains(err.Error(), "alias prod of getProducts ") || len(l.proxy.changes()) > 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Moved by another client between the reading and the request, AWS refuses, and what the other did stays: nothing is
// undone, and nothing needs recovery.
func TestWeightedPromoteIsACompareAndSet(t *testing.T) {
	t.Parallel()
	l := weightedLab(t)
	ctx := t.Context()
	direct := *l
	direct.Client = connect(t, l.backend)
	judged := l.measured()
	j := l.journal()
	l.Announce = func(stage.Change) error {
		direct.point("prod", "1", map[string]float64{"3": 0.5})
		return nil
	}
	_, err := l.Promote(ctx, j, l.ref, judged, false)
	if !errors.Is(err, stage.ErrChanged) || !strings.Contains(err.Error(), "stage changed under test: UpdateAlias functions/getProducts/aliases/prod: PreconditionFailedException: ") {
		t.Errorf("%v", err)
	}
	l.leads("prod", "version 1, 50.0% to version 3")
	j.Close()
	if changes, err := l.Recover(ctx, j.Path()); err != nil || len(changes) > 0 {
		t.Errorf("recovered %v, %v", changes, err)
	}
	l.leads("prod", "version 1, 50.0% to version 3")
	l.Announce = nil
	l.journal()
}

// Moved on by another client right after it was promoted, the alias is theirs: nothing is undone, and recovered neither.
func TestWeightedPromoteIsMovedOn(t *testing.T) {
	t.Parallel()
	l := weightedLab(t)
	ctx := t.Context()
	direct := *l
	direct.Client = connect(t, l.backend)
	j := l.journal()
	judged := l.measured()
	l.proxy.with(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != "PUT" {
			return false
		}
		l.proxy.answer(w, r, func(int) { direct.point("prod", "3", nil) })
		return true
	})
	_, err := l.Promote(ctx, j, l.ref, judged, false)
	if !errors.Is(err, stage.ErrChanged) || !strings.HasSuffix(err.Error(), "stage changed under test, right after it was moved: alias prod of getProducts: version 2 -> version 3") {
		t.Errorf("%v", err)
	}
	j.Close()
	if _, err := l.Recover(ctx, j.Path()); !errors.Is(err, stage.ErrChanged) {
		t.Errorf("recovered: %v", err)
	}
	l.leads("prod", "version 3")
}

// Recover puts the weights back that a killed run had changed, but not over somebody else's.
func TestWeightedRecover(t *testing.T) {
	t.Parallel()
	l := weightedLab(t)
	ctx := t.Context()
	broken := func() string {
		j := l.journal()
		l.must(l.SetPercent(ctx, j, l.ref, 50))
		l.must(l.Promote(ctx, j, l.ref, l.measured(), false))
		j.Close()
		return j.Path()
	}
	path := broken()
	if changes, err := l.Recover(ctx, path); err != nil || len(changes) != 1 || len(changes[0].Moves) != 1 {
		t.Errorf("%v %v", changes, err)
	}
	l.leads("prod", "version 1, 25.0% to version 2")

	path = broken()
	l.point("prod", "3", nil)
	if _, err := l.Recover(ctx, path); !errors.Is(err, stage.ErrChanged) || !strings.Contains(err.Error(), "alias prod of getProducts: version 2 -> version 3") {
		t.Errorf("%v", err)
	}
	if _, err := l.RecoverAnyway(ctx, path); err != nil {
		t.Error(err)
	}
	l.leads("prod", "version 1, 25.0% to version 2")
}
