package stage_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"coalmine/scenarios/products"
	"coalmine/scenarios/stage"
)

func TestRefusals(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	ctx := t.Context()
	j := l.journal()
	initial := l.read()
	nowhere := l.ref
	nowhere.Stage = "nowhere"
	jn, err := l.OpenJournal(l.dir, nowhere)
	if err != nil {
		t.Fatal(err)
	}
	defer jn.Close()

	check := func(name string, is error, says string, verb func() (stage.Change, error)) {
		t.Helper()
		l.proxy.forget()
		_, err := verb()
		if err == nil || (is != nil && !errors.Is(err, is)) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && (strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "failed to")) {
			t.Errorf("%s is not one plain line: %v", name, err)
		}
		if changes := l.proxy.changes(); len(changes) > 0 {
			t.Errorf("%s sent %v", name, changes)
		}
	}
	create := func(j *stage.Journal, ref stage.Ref, p float64, overrides map[string]string) func() (stage.Change, error) {
		return func() (stage.Change, error) { return l.CreateCanary(ctx, j, ref, p, overrides) }
	}
	check("zero percent", nil, "create canary on prod: percent 0", create(j, l.ref, 0, nil))
	check("negative percent", nil, "percent -1", create(j, l.ref, -1, nil))
	check("above hundred", nil, "percent 100.1", create(j, l.ref, 100.1, nil))
	check("variable name", nil, `"a/b"`, create(j, l.ref, 5, map[string]string{"a/b": "x"}))
	check("variable value", nil, "stage variable a", create(j, l.ref, 5, map[string]string{"a": "{}"}))
	check("unknown stage", nil, "create canary on nowhere: GetStage restapis/"+l.ref.API+"/stages/nowhere: NotFoundException: Invalid", create(jn, nowhere, 5, nil))
	check("another stage's journal", nil, "another stage's", create(jn, l.ref, 5, nil))
	check("no journal", nil, "no journal", create(nil, l.ref, 5, nil))
	check("deploy without canary", stage.ErrNoCanary, "deploy canary on prod", func() (stage.Change, error) { return l.DeployCanary(ctx, j, l.ref, "") })
	check("abort without canary", stage.ErrNoCanary, "abort canary on prod", func() (stage.Change, error) { return l.Abort(ctx, j, l.ref, nil) })
	check("percent without canary", stage.ErrNoCanary, "", func() (stage.Change, error) { return l.SetPercent(ctx, j, l.ref, 1) })
	check("promote without canary", stage.ErrNoCanary, "", func() (stage.Change, error) { return l.Promote(ctx, j, l.ref, l.measured(), false) })
	gone := initial
	gone.DeploymentID = "gone00"
	check("restore to a deployment that is gone", nil, "restore on prod: deployment gone00: GetDeployment restapis/"+l.ref.API+"/deployments/gone00: NotFoundException", func() (stage.Change, error) { return l.Restore(ctx, j, l.ref, gone) })
	other := initial
	other.Stage = "dev"
	check("restore another stage", nil, "another stage", func() (stage.Change, error) { return l.Restore(ctx, j, l.ref, other) })
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	check("cancelled", context.Canceled, "cancelled", func() (stage.Change, error) { return l.CreateCanary(cancelled, j, l.ref, 5, nil) })

	to := func(alias string) func() (stage.Change, error) {
		return create(j, l.ref, 50, map[string]string{"lambdaAlias": alias})
	}
	check("missing alias", nil, "create canary on prod: GET /products would lead to getProducts:nobody: GetAlias functions/getProducts/aliases/nobody: ResourceNotFoundException", to("nobody"))
	check("missing version", nil, "GET /products would lead to getProducts:77: GetFunctionConfiguration", to("77"))
	version := "3"
	if _, err := l.Lambda().CreateAlias(ctx, &lambda.CreateAliasInput{FunctionName: aws.String(products.Function), Name: aws.String("denied"), FunctionVersion: &version}); err != nil {
		t.Fatal(err)
	}
	check("alias without permission", nil, "getProducts:denied: its policy does not let API Gateway invoke it from there: aws lambda add-permission --function-name getProducts --qualifier denied", to("denied"))

	l.must(l.CreateCanary(ctx, j, l.ref, 50, map[string]string{"lambdaAlias": "staging"}))
	check("second canary", stage.ErrCanaryExists, "50.0%", create(j, l.ref, 5, nil))
}

// What could not be looked at before a canary is created is said.
func TestCreatedUnchecked(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	ctx := t.Context()
	j := l.journal()
	noted := func(what, note string, overrides map[string]string) {
		t.Helper()
		ch := l.must(l.CreateCanary(ctx, j, l.ref, 5, overrides))
		if !strings.Contains(strings.Join(ch.Notes, "\n"), note) {
			t.Errorf("%s: notes %q", what, ch.Notes)
		}
		l.must(l.Abort(ctx, j, l.ref, nil))
	}
	deny := func(suffix string) {
		l.proxy.with(func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, suffix) {
				return false
			}
			awsError(w, 403, "AccessDeniedException", "no")
			return true
		})
	}
	noted("no function's", "no method's function is named by color: the override alone chooses no version", map[string]string{"color": "red"})
	deny("/resources")
	noted("resources", "not checked where the overrides lead: GetResources", overrides)
	deny("/aliases/staging")
	noted("alias", "not checked whether there is getProducts:staging: GetAlias", overrides)
	deny("/policy")
	noted("policy", "not checked whether the API may invoke getProducts:staging: GetPolicy", overrides)
}

// A verdict is about one stage in one state: whatever changed since refuses it.
func TestPromoteRefusesWhatWasNotJudged(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	ctx := t.Context()
	j := l.journal()
	l.must(l.CreateCanary(ctx, j, l.ref, 50, map[string]string{"lambdaAlias": "staging"}))
	l.must(l.DeployCanary(ctx, j, l.ref, ""))
	judged := l.measured()
	for name, c := range map[string]struct {
		edit func(*stage.Measured)
		says string
	}{
		"deployment":        {func(m *stage.Measured) { m.Stage.DeploymentID = "x" }, "deployment: x -> " + judged.Stage.DeploymentID},
		"canary deployment": {func(m *stage.Measured) { m.Stage.Canary.DeploymentID = "x" }, "canary deployment: x -> " + judged.Stage.Canary.DeploymentID},
		"percent":           {func(m *stage.Measured) { m.Stage.Canary.Percent = 40 }, "canary percent: 40.0 -> 50.0"},
		"overrides":         {func(m *stage.Measured) { m.Stage.Canary.Overrides = map[string]string{"lambdaAlias": "dev"} }, `canary override lambdaAlias: "dev" -> "staging"`},
		"variables":         {func(m *stage.Measured) { m.Stage.Variables = nil }, `variable lambdaAlias: unset -> "prod"`},
		"last updated":      {func(m *stage.Measured) { m.Stage.LastUpdated = m.Stage.LastUpdated.Add(-time.Minute) }, "last updated"},
		"account":           {func(m *stage.Measured) { m.Account = "1" }, "account: 1 -> " + l.Account()},
		"alias":             {func(m *stage.Measured) { m.Aliases[1].Version = "7" }, "alias staging of getProducts: version 7 -> version 2"},
		"weights":           {func(m *stage.Measured) { m.Aliases[0].Weights = map[string]float64{"2": 0.25} }, "alias prod of getProducts: version 1, 25.0% to version 2 -> version 1"},
		"edited alias":      {func(m *stage.Measured) { m.Aliases[0].Revision = "x" }, "alias prod of getProducts: edited meanwhile"},
		"another stage":     {func(m *stage.Measured) { m.Ref.Stage = "dev" }, "what was judged is another: stage dev"},
	} {
		expect, state, canary := judged, *judged.Stage, *judged.Stage.Canary
		state.Canary, expect.Stage = &canary, &state
		expect.Aliases = slices.Clone(judged.Aliases)
		c.edit(&expect)
		l.proxy.forget()
		_, err := l.Promote(ctx, j, l.ref, expect, false)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
		if name != "another stage" && (!errors.Is(err, stage.ErrChanged) || !strings.HasPrefix(err.Error(), "promote canary on prod: stage changed under test: ")) {
			t.Errorf("%s: %v", name, err)
		}
		if changes := l.proxy.changes(); len(changes) > 0 {
			t.Errorf("%s: sent %v", name, changes)
		}
	}
	judged.Stage.LastUpdated = time.Time{} // not compared
	l.must(l.Promote(ctx, j, l.ref, judged, false))
}

func TestFindAPI(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	for _, name := range []string{"products", l.system.API} {
		if id, err := l.FindAPI(t.Context(), name); err != nil || id != l.system.API {
			t.Errorf("%s: %s, %v", name, id, err)
		}
	}
	if _, err := l.FindAPI(t.Context(), "produce"); err == nil || !strings.Contains(err.Error(), "products ("+l.system.API+")") {
		t.Error(err)
	}
	if where := l.Where(stage.Ref{API: l.system.API, Stage: "prod"}); where != "NOT AWS: "+l.proxy.URL+", API "+l.system.API+" (products), stage prod" {
		t.Error(where)
	}
}
