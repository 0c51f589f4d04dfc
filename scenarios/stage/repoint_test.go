package stage_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigateway/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"coalmine/scenarios/emulator"
	"coalmine/scenarios/products"
	"coalmine/scenarios/stage"
)

// promoted is a lab whose canary was judged and promoted.
func promoted(t *testing.T) (l *lab, j *stage.Journal, judged stage.Measured, before stage.State) {
	t.Helper()
	l = newLab(t)
	before = l.read()
	j = l.journal()
	ctx := t.Context()
	l.must(l.CreateCanary(ctx, j, l.ref, 50, map[string]string{"lambdaAlias": "staging", "extra": "1"}))
	l.must(l.DeployCanary(ctx, j, l.ref, "release"))
	judged = l.measured()
	l.must(l.Promote(ctx, j, l.ref, judged, false))
	return l, j, judged, before
}

func TestRepoint(t *testing.T) {
	t.Parallel()
	l, j, judged, before := promoted(t)
	ctx := t.Context()
	prod := l.alias("prod")
	l.proxy.forget()
	ch := l.must(l.Repoint(ctx, j, l.ref, judged))
	if got := l.proxy.changes(); len(got) != 2 || !strings.HasPrefix(got[0], "PUT ") || !strings.HasPrefix(got[1], "PATCH ") {
		t.Errorf("want the alias first, then the stage, got %q", got)
	}
	l.leads("prod", "version 2")
	if after := l.read(); after.Variables["lambdaAlias"] != "prod" || after.Variables["extra"] != "1" || after.DeploymentID != judged.Stage.Canary.DeploymentID {
		t.Errorf("repointed to %+v", after)
	}
	if got := l.answers("prod", 30); got["2"] != 30 {
		t.Errorf("after repoint: %v", got)
	}
	text := strings.Join(ch.Plan(), "\n")
	for _, want := range []string{"alias prod of getProducts: version 1 -> version 2", `variable lambdaAlias: "staging" -> "prod"`,
		"--name prod --function-version 1 --routing-config 'AdditionalVersionWeights={}'"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in:\n%s", want, text)
		}
	}
	if again := l.must(l.Repoint(ctx, j, l.ref, judged)); len(again.Moves)+len(again.Operations) > 0 {
		t.Errorf("repointed twice: %s", again)
	}

	// A rollback another day takes both back.
	if err := errors.Join(j.Done(false), j.Close()); err != nil {
		t.Fatal(err)
	}
	j = l.journal()
	to, _ := j.BeforePromote()
	l.must(l.Rollback(ctx, j, l.ref, to))
	l.leads("prod", "version 1")
	l.same(l.read(), before)
	if prod.Revision == l.alias("prod").Revision {
		t.Error("an alias that was moved has another revision")
	}
	if got := l.answers("prod", 30); got["1"] != 30 {
		t.Errorf("after rollback: %v", got)
	}
}

// A rollback leaves an alias alone that somebody has moved on since.
func TestRollbackOfAnAliasThatMovedOn(t *testing.T) {
	t.Parallel()
	l, j, judged, _ := promoted(t)
	l.must(l.Repoint(t.Context(), j, l.ref, judged))
	l.point("prod", "3", nil)
	to, _ := j.BeforePromote()
	l.proxy.forget()
	if _, err := l.Rollback(t.Context(), j, l.ref, to); !errors.Is(err, stage.ErrChanged) || len(l.proxy.changes()) > 0 {
		t.Errorf("%v, sent %v", err, l.proxy.changes())
	}
}

// The stage goes to the baseline's alias only once what is provisioned there runs the tested version.
func TestRepointAwaitsProvisionedConcurrency(t *testing.T) {
	t.Parallel()
	l, j, judged, _ := promoted(t)
	var asked atomic.Int64
	provisioned := func(last string) {
		asked.Store(0)
		l.proxy.with(func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, "/provisioned-concurrency") {
				return false
			}
			status := last
			if asked.Add(1) < 3 {
				status = "IN_PROGRESS"
			}
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"Status":%q,"StatusReason":"no room."}`, status)
			return true
		})
	}
	provisioned("FAILED")
	_, err := l.Repoint(t.Context(), j, l.ref, judged)
	if err == nil || err.Error() != "repoint on prod: provisioned concurrency of getProducts:prod: FAILED: no room; undone, the stage is as it was" {
		t.Errorf("%v", err)
	}
	l.leads("prod", "version 1")
	if s := l.read(); s.Variables["lambdaAlias"] != "staging" {
		t.Errorf("the stage is at %v", s.Variables)
	}
	provisioned("READY")
	judged.Aliases[0] = l.alias("prod") // its revision is another now
	l.must(l.Repoint(t.Context(), j, l.ref, judged))
	if asked.Load() != 3 {
		t.Errorf("asked %d times, want 3", asked.Load())
	}
	l.leads("prod", "version 2")
}

// The same with the emulator's own provisioned concurrency, which an alias that is moved has to get ready again.
func TestRepointOfAProvisionedAlias(t *testing.T) {
	t.Parallel()
	l, j, judged, _ := promoted(t)
	ctx := t.Context()
	status := func() lambdatypes.ProvisionedConcurrencyStatusEnum {
		out, err := l.Lambda().GetProvisionedConcurrencyConfig(ctx, &lambda.GetProvisionedConcurrencyConfigInput{FunctionName: aws.String(products.Function), Qualifier: aws.String("prod")})
		if err != nil {
			t.Error(err)
			return ""
		}
		return out.Status
	}
	if err := l.emulator.SetFaults(emulator.Faults{Lambda: emulator.Lambda{ProvisionTime: 300 * time.Millisecond}}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Lambda().PutProvisionedConcurrencyConfig(ctx, &lambda.PutProvisionedConcurrencyConfigInput{
		FunctionName: aws.String(products.Function), Qualifier: aws.String("prod"), ProvisionedConcurrentExecutions: aws.Int32(1),
	}); err != nil {
		t.Fatal(err)
	}
	var patched lambdatypes.ProvisionedConcurrencyStatusEnum
	l.proxy.with(onPatch(func() { patched = status() }))
	judged.Aliases[0] = l.alias("prod")
	l.must(l.Repoint(ctx, j, l.ref, judged))
	if patched != "READY" {
		t.Errorf("%q when the stage went there", patched)
	}
}

func TestRepointRefusals(t *testing.T) {
	t.Parallel()
	l, j, judged, before := promoted(t)
	ctx := t.Context()
	check := func(name string, is error, says string, judged stage.Measured) {
		t.Helper()
		l.proxy.forget()
		_, err := l.Repoint(ctx, j, l.ref, judged)
		if err == nil || is != nil && !errors.Is(err, is) || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
		if changes := l.proxy.changes(); len(changes) > 0 {
			t.Errorf("%s: sent %v", name, changes)
		}
	}
	edit := func(f func(*stage.Measured)) stage.Measured {
		m := judged
		m.Arms, m.Aliases = append([]stage.Arm(nil), m.Arms...), append([]stage.Alias(nil), m.Aliases...)
		f(&m)
		return m
	}
	check("other functions", nil, "different functions, getProducts and other", edit(func(m *stage.Measured) { m.Arms[1].Function = "other" }))
	check("no path", nil, "must name a path", edit(func(m *stage.Measured) { m.Arms = nil }))
	check("no alias", nil, "there is none to move", edit(func(m *stage.Measured) { m.Arms[0].Alias = "" }))
	check("split alias", nil, "splits its own traffic", edit(func(m *stage.Measured) { m.Aliases[1].Weights = map[string]float64{"3": 0.5} }))
	check("another stage", nil, "stage dev", edit(func(m *stage.Measured) { m.Ref.Stage = "dev" }))
	check("another promote", stage.ErrChanged, "deployment: "+before.DeploymentID, edit(func(m *stage.Measured) {
		state, canary := *m.Stage, *m.Stage.Canary
		canary.DeploymentID = before.DeploymentID
		state.Canary, m.Stage = &canary, &state
	}))

	staging := l.alias("staging")
	l.point("staging", "3", nil)
	check("canary alias moved", stage.ErrChanged, "stage changed under test: alias staging of getProducts: version 2 -> version 3", judged)
	judged.Aliases[1].Revision = l.point("staging", staging.Version, nil).Revision
	l.point("prod", "3", nil)
	check("baseline alias moved", stage.ErrChanged, "alias prod of getProducts: version 1 -> version 3", judged)
	judged.Aliases[0].Revision = l.point("prod", "1", nil).Revision

	// The variable names another method's function, too, whose aliases are two versions.
	resources, err := l.Gateway().GetResources(ctx, &apigateway.GetResourcesInput{RestApiId: &l.ref.API})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range resources.Items {
		if aws.ToString(r.Path) != "/products" {
			continue
		}
		_, err := l.Gateway().PutMethod(ctx, &apigateway.PutMethodInput{RestApiId: &l.ref.API, ResourceId: r.Id, HttpMethod: aws.String("POST"), AuthorizationType: aws.String("NONE")})
		if err == nil {
			_, err = l.Gateway().PutIntegration(ctx, &apigateway.PutIntegrationInput{
				RestApiId: &l.ref.API, ResourceId: r.Id, HttpMethod: aws.String("POST"), Type: types.IntegrationTypeAwsProxy, IntegrationHttpMethod: aws.String("POST"),
				Uri: aws.String("arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/arn:aws:lambda:eu-west-1:" + l.Account() + ":function:putProducts:${stageVariables.lambdaAlias}/invocations"),
			})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	l.function("putProducts")
	check("another method", nil, "it would take POST /products from version 2 of putProducts to version 1 of putProducts, which was not judged: move alias prod there first", judged)
	if _, err := l.Lambda().UpdateAlias(ctx, &lambda.UpdateAliasInput{FunctionName: aws.String("putProducts"), Name: aws.String("prod"), FunctionVersion: aws.String("2")}); err != nil {
		t.Fatal(err)
	}
	l.must(l.Repoint(ctx, j, l.ref, judged))
	check("rolled back", stage.ErrChanged, "deployment: ", edit(func(m *stage.Measured) { m.Stage = &before; m.Stage.Canary = &stage.Canary{DeploymentID: "x"} }))
}

// function makes one with two versions, prod 1 and staging 2.
func (l *lab) function(name string) {
	l.t.Helper()
	ctx := l.t.Context()
	existing, err := l.Lambda().GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: aws.String(products.Function)})
	if err != nil {
		l.t.Fatal(err)
	}
	do := func(_ any, err error) {
		l.t.Helper()
		if err != nil {
			l.t.Fatal(err)
		}
	}
	do(l.Lambda().CreateFunction(ctx, &lambda.CreateFunctionInput{FunctionName: &name, Role: existing.Role, Runtime: existing.Runtime, Handler: existing.Handler, Code: zipOf("1")}))
	do(l.Lambda().PublishVersion(ctx, &lambda.PublishVersionInput{FunctionName: &name}))
	do(l.Lambda().UpdateFunctionCode(ctx, &lambda.UpdateFunctionCodeInput{FunctionName: &name, ZipFile: zipOf("2").ZipFile}))
	do(l.Lambda().PublishVersion(ctx, &lambda.PublishVersionInput{FunctionName: &name}))
	do(l.Lambda().CreateAlias(ctx, &lambda.CreateAliasInput{FunctionName: &name, Name: aws.String("prod"), FunctionVersion: aws.String("1")}))
	do(l.Lambda().CreateAlias(ctx, &lambda.CreateAliasInput{FunctionName: &name, Name: aws.String("staging"), FunctionVersion: aws.String("2")}))
}

// zipOf is a package that Lambda takes; each content is another version.
func zipOf(content string) *lambdatypes.FunctionCode {
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	f, err := w.Create("bootstrap")
	if err == nil {
		_, err = f.Write([]byte(content))
	}
	if err := errors.Join(err, w.Close()); err != nil {
		panic(err)
	}
	return &lambdatypes.FunctionCode{ZipFile: buf.Bytes()}
}
