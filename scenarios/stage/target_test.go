package stage_test

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/google/go-cmp/cmp"

	"coalmine/scenarios/products"
	"coalmine/scenarios/stage"
)

// What preflight judges is read, whatever it is; what could not be read is said so.
func TestTarget(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	ctx := t.Context()
	fn := aws.String(products.Function)
	alias := func(name, version string) {
		t.Helper()
		if _, err := l.Lambda().CreateAlias(ctx, &lambda.CreateAliasInput{FunctionName: fn, Name: &name, FunctionVersion: &version}); err != nil {
			t.Fatal(err)
		}
	}
	alias("denied", "3")
	alias("split", "2")
	if _, err := l.Lambda().UpdateAlias(ctx, &lambda.UpdateAliasInput{
		FunctionName: fn, Name: aws.String("split"), FunctionVersion: aws.String("2"),
		RoutingConfig: &types.AliasRoutingConfiguration{AdditionalVersionWeights: map[string]float64{"3": 0.1}},
	}); err != nil {
		t.Fatal(err)
	}
	foresee := func(percent float64, alias string) stage.Target {
		t.Helper()
		target, err := l.Foresee(ctx, l.ref, percent, map[string]string{"lambdaAlias": alias})
		if err != nil {
			t.Fatal(err)
		}
		return target
	}
	conf := &stage.Configuration{Memory: 128, Timeout: 3, Runtime: "provided.al2023", Architecture: "arm64"}
	none := 0
	baseline := stage.Side{Function: products.Function, Qualifier: "prod", Alias: "prod", Version: "1", Invocable: stage.Yes, Configuration: conf, Provisioned: &none}
	for _, c := range []struct {
		alias string
		want  stage.Side
	}{
		{"staging", stage.Side{Version: "2", Invocable: stage.Yes, Configuration: conf, Provisioned: &none}},
		{"denied", stage.Side{Version: "3", Invocable: stage.No, Configuration: conf, Provisioned: &none}},
		{"split", stage.Side{Version: "2", Invocable: stage.No, Weights: map[string]float64{"3": 0.1}, Configuration: conf, Provisioned: &none}},
		{"nobody", stage.Side{Missing: true}},
	} {
		target := foresee(25, c.alias)
		c.want.Function, c.want.Qualifier, c.want.Alias = products.Function, c.alias, c.alias
		if diff := cmp.Diff(c.want, *target.Canary); diff != "" {
			t.Errorf("%s: %s", c.alias, diff)
		}
		if diff := cmp.Diff(baseline, target.Baseline); diff != "" {
			t.Errorf("%s: %s", c.alias, diff)
		}
		if target.Share != 0.25 || target.BaselineVersion != "1" || target.CanaryVersion != c.want.Version || target.CanaryAlias != c.alias {
			t.Errorf("%s: %+v", c.alias, target)
		}
	}
	want := stage.Method{Resource: "/products", Verb: "GET", Authorization: "NONE", KeySource: "HEADER"}
	if diff := cmp.Diff(want, foresee(50, "staging").Method); diff != "" {
		t.Error(diff)
	}
	if s := l.read(); s.Canary != nil {
		t.Errorf("foreseeing made a canary: %s", s.Canary)
	}
	bad := l.ref
	bad.Path = "/orders"
	if _, err := l.Resolve(ctx, bad); err == nil || err.Error() != "resolve GET /orders on prod: the API has no such path" {
		t.Error(err)
	}
}

// A permission that is lacking is a fact; anything else that keeps an alias from being read is an error.
func TestUnread(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	refuse := func(suffix string, status int, code string) {
		l.proxy.with(func(w http.ResponseWriter, r *http.Request) bool {
			if strings.HasSuffix(r.URL.Path, suffix) {
				awsError(w, status, code, "no")
				return true
			}
			return false
		})
	}
	for suffix, operation := range map[string]string{
		"/policy": "GetPolicy", "/configuration": "GetFunctionConfiguration", "/aliases/prod": "GetAlias", "/provisioned-concurrency": "GetProvisionedConcurrencyConfig",
	} {
		refuse(suffix, 403, "AccessDeniedException")
		target, err := l.Resolve(t.Context(), l.ref)
		if err != nil {
			t.Errorf("%s: %v", operation, err)
			continue
		}
		unread := target.Baseline.Unread
		if len(unread) != 1 || unread[0].Operation != operation || !unread[0].Denied || !strings.HasSuffix(unread[0].Why, ": AccessDeniedException: no") {
			t.Errorf("%s: %+v", operation, unread)
		}
	}
	refuse("/policy", 400, "ServiceException")
	if target, err := l.Resolve(t.Context(), l.ref); err != nil || target.Baseline.NotRead("GetPolicy") == nil || target.Baseline.NotRead("GetPolicy").Denied {
		t.Errorf("%+v %v", target.Baseline, err)
	}
	refuse("/aliases/prod", 400, "ServiceException")
	if _, err := l.Resolve(t.Context(), l.ref); err == nil || !strings.Contains(err.Error(), "resolve GET /products on prod: baseline: alias prod of getProducts: GetAlias functions/getProducts/aliases/prod: ServiceException: no") {
		t.Error(err)
	}
}

// All that is to be known of a target is asked for in few requests, none twice.
func TestReadsOfATarget(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.proxy.forget()
	if _, err := l.Foresee(t.Context(), l.ref, 50, map[string]string{"lambdaAlias": "staging"}); err != nil {
		t.Fatal(err)
	}
	if calls := l.proxy.calls.Load(); calls > 10 { // stage, resources; for each side alias, policy, configuration, provisioned concurrency
		t.Errorf("%d requests: %q", calls, l.proxy.log)
	}
}

// moto answers 200 to a canary and makes none: a control plane that somebody
// else wrote, with the very fault this package must notice.
func TestMoto(t *testing.T) {
	if testing.Short() {
		t.Skip("-short")
	}
	server, err := exec.LookPath("moto_server")
	if err != nil {
		t.Skip("moto_server is not installed")
	}
	t.Parallel()
	url := startMoto(t, server)
	ctx := t.Context()
	c := connect(t, url)
	system, said, err := products.Up(ctx, c)
	if err != nil {
		t.Fatalf("%v after %q", err, said)
	}
	ref := stage.Ref{API: system.API, Stage: "prod", Method: "GET", Path: "/products"}
	before, err := c.Read(ctx, ref)
	if err != nil {
		t.Fatal(err)
	}
	j, err := c.OpenJournal(t.TempDir(), ref)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	_, err = c.CreateCanary(ctx, j, ref, 50, map[string]string{"lambdaAlias": "staging"})
	if !errors.Is(err, stage.ErrNotTaken) || !strings.Contains(err.Error(), "the stage is as it was") {
		t.Errorf("%v", err)
	}
	after, err := c.Read(ctx, ref)
	if err != nil {
		t.Fatal(err)
	}
	if diff := settings(after).Differs(settings(before)); diff != nil {
		t.Error(diff)
	}
	motoWeights(t, c)
	if removed, err := products.Down(ctx, c); err != nil || len(removed) != 4 {
		t.Errorf("%v %v", removed, err)
	}
}

var motoRuns = regexp.MustCompile(`Running on (http://127\.0\.0\.1:[1-9][0-9]*)`)

// startMoto has moto take a port that is free, and tell which.
func startMoto(t *testing.T, server string) (url string) {
	t.Helper()
	cmd := exec.Command(server, "-H", "127.0.0.1", "-p", "0")
	cmd.Env = append(os.Environ(), "MOTO_IAM_LOAD_MANAGED_POLICIES=true") // the stack's role attaches one
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Skipf("moto_server: %v", err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	limit := time.AfterFunc(15*time.Second, func() { cmd.Process.Kill() })
	defer limit.Stop()
	said := ""
	for lines := bufio.NewScanner(stderr); lines.Scan(); said += lines.Text() + "\n" {
		if at := motoRuns.FindStringSubmatch(lines.Text()); at != nil {
			go io.Copy(io.Discard, stderr) // a line for each request
			return at[1]
		}
	}
	t.Skipf("moto_server does not come up: %s", said)
	return ""
}

// motoWeights tells the story of a weighted alias, which moto knows, but for
// the revision that AWS compares.
func motoWeights(t *testing.T, c *stage.Client) {
	t.Helper()
	ctx := t.Context()
	ref := stage.Ref{Function: products.Function, Alias: "prod"}
	if _, err := c.Lambda().UpdateAlias(ctx, &lambda.UpdateAliasInput{
		FunctionName: &ref.Function, Name: &ref.Alias, FunctionVersion: aws.String("1"),
		RoutingConfig: &types.AliasRoutingConfiguration{AdditionalVersionWeights: map[string]float64{"2": 0.5}},
	}); err != nil {
		t.Fatal(err)
	}
	j, err := c.OpenJournal(t.TempDir(), ref)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if err := verbs(shifting, promoting)(ctx, c, j, ref); err != nil {
		t.Fatal(err)
	}
	if alias, err := c.ReadAlias(ctx, ref.Function, ref.Alias); err != nil || alias.String() != "version 2" {
		t.Errorf("promoted to %s, %v", alias, err)
	}
	if err := rollingBack(ctx, c, j, ref); err != nil {
		t.Fatal(err)
	}
	if alias, err := c.ReadAlias(ctx, ref.Function, ref.Alias); err != nil || alias.String() != "version 1" {
		t.Errorf("rolled back to %s, %v", alias, err)
	}
}
