package products_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigateway/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"coalmine/scenarios/emulator"
	"coalmine/scenarios/products"
	"coalmine/scenarios/stage"
)

// The tests must not meet the AWS of whoever runs them.
func TestMain(m *testing.M) {
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "AWS_") {
			os.Unsetenv(name)
		}
	}
	os.Exit(m.Run())
}

// site is an empty emulator behind a gate that counts what changes, and shuts
// after a number of requests.
type site struct {
	*stage.Client
	server  *emulator.Server
	changes atomic.Int64
	left    atomic.Int64                                  // requests until the gate shuts
	refuse  func(http.ResponseWriter, *http.Request) bool // answers itself; nil: nothing
}

func newSite(t *testing.T) *site {
	t.Helper()
	return newSiteWith(t, emulator.Options{})
}

func newSiteWith(t *testing.T, o emulator.Options) *site {
	t.Helper()
	e, err := emulator.StartWith("127.0.0.1:0", emulator.Faults{}, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	u, err := url.Parse(e.URL())
	if err != nil {
		t.Fatal(err)
	}
	s := &site{server: e}
	s.left.Store(1 << 40)
	back := httputil.NewSingleHostReverseProxy(u)
	gate := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.left.Add(-1) < 0 {
			panic(http.ErrAbortHandler)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		// IAM and CloudWatch Logs ask by POST.
		if r.Method != "GET" && !strings.Contains(r.Header.Get("X-Amz-Target"), ".List") && !strings.HasPrefix(string(body), "Action=Get") && !strings.HasPrefix(string(body), "Action=List") {
			s.changes.Add(1)
		}
		if s.refuse != nil && s.refuse(w, r) {
			return
		}
		back.ServeHTTP(w, r)
	}))
	t.Cleanup(gate.Close)
	if s.Client, err = stage.Connect(t.Context(), stage.Config{Endpoint: gate.URL, Region: "eu-west-1"}); err != nil {
		t.Fatal(err)
	}
	s.changes.Store(0)
	return s
}

func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("GET %s: %s %s %v", url, resp.Status, body, err)
	}
	return string(body)
}

func working(t *testing.T, system products.System) {
	t.Helper()
	for _, want := range []products.Stage{{Name: "prod", Alias: "prod", Version: "1"}, {Name: "staging", Alias: "staging", Version: "2"}, {Name: "dev", Alias: "dev", Version: "3"}} {
		got := system.Stage(want.Name)
		want.URL = got.URL
		if got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
		if body := get(t, got.URL); !strings.Contains(body, "v"+want.Version) {
			t.Errorf("%s answers %s", want.Name, body)
		}
	}
}

func TestUpTwiceAndDownTwice(t *testing.T) {
	s := newSite(t)
	ctx := t.Context()
	first, said, err := products.Up(ctx, s.Client)
	if err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(said, func(line string) bool { return strings.HasPrefix(line, "found") }) {
		t.Errorf("found on an empty account: %q", said)
	}
	working(t, first)

	before := s.changes.Load()
	second, said, err := products.Up(ctx, s.Client)
	if err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(said, func(line string) bool { return !strings.HasPrefix(line, "found") }) {
		t.Errorf("a second up made something: %q", said)
	}
	if n := s.changes.Load() - before; n > 0 {
		t.Errorf("a second up sent %d changes", n)
	}
	a, _ := json.Marshal(first)
	b, _ := json.Marshal(second)
	if string(a) != string(b) {
		t.Errorf("%s, then %s", a, b)
	}

	removed, err := products.Down(ctx, s.Client)
	if err != nil || len(removed) != 4 {
		t.Errorf("%q %v", removed, err)
	}
	empty(t, s)
	if removed, err := products.Down(ctx, s.Client); err != nil || len(removed) != 0 {
		t.Errorf("a second down: %q %v", removed, err)
	}
}

func empty(t *testing.T, s *site) {
	t.Helper()
	apis, err := s.Gateway().GetRestApis(t.Context(), &apigateway.GetRestApisInput{})
	if err != nil || len(apis.Items) > 0 {
		t.Errorf("%d APIs are left, %v", len(apis.Items), err)
	}
	functions, err := s.Lambda().ListFunctions(t.Context(), &lambda.ListFunctionsInput{})
	if err != nil || len(functions.Functions) > 0 {
		t.Errorf("%d functions are left, %v", len(functions.Functions), err)
	}
	groups, err := cloudwatchlogs.NewFromConfig(s.AWS()).DescribeLogGroups(t.Context(), &cloudwatchlogs.DescribeLogGroupsInput{})
	if err != nil || len(groups.LogGroups) > 0 {
		t.Errorf("%d log groups are left, %v", len(groups.LogGroups), err)
	}
	if _, err := iam.NewFromConfig(s.AWS()).GetRole(t.Context(), &iam.GetRoleInput{RoleName: aws.String("coalmine-products")}); err == nil {
		t.Error("the role is left")
	}
}

// Broken off after any request, a second Up completes the system, and Down
// removes whatever part of it there is.
func TestHalfMade(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ctx := t.Context()
	for n := int64(1); ; n++ {
		s.left.Store(n)
		_, said, broken := products.Up(ctx, s.Client)
		s.left.Store(1 << 40)
		if n%2 == 0 {
			system, _, err := products.Up(ctx, s.Client)
			if err != nil {
				t.Fatalf("up after breaking off at %d (%q, %v): %v", n, said, broken, err)
			}
			working(t, system)
		}
		if _, err := products.Down(ctx, s.Client); err != nil {
			t.Fatalf("down after breaking off at %d: %v", n, err)
		}
		empty(t, s)
		if broken == nil {
			t.Logf("%d requests", n)
			return
		}
		if t.Failed() {
			t.Fatalf("at request %d", n)
		}
	}
}

// What was done with the system since is not undone by an Up.
func TestUpLeavesWhatWasChanged(t *testing.T) {
	s := newSite(t)
	ctx := t.Context()
	if _, _, err := products.Up(ctx, s.Client); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Lambda().UpdateAlias(ctx, &lambda.UpdateAliasInput{FunctionName: aws.String(products.Function), Name: aws.String("prod"), FunctionVersion: aws.String("2")}); err != nil {
		t.Fatal(err)
	}
	system, said, err := products.Up(ctx, s.Client)
	if err != nil || system.Stage("prod").Version != "2" || !slices.Contains(said, "found alias prod -> version 2") {
		t.Errorf("%+v %q %v", system, said, err)
	}
	// What is missing is made again.
	if _, err := s.Gateway().DeleteStage(ctx, &apigateway.DeleteStageInput{RestApiId: &system.API, StageName: aws.String("dev")}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Lambda().DeleteAlias(ctx, &lambda.DeleteAliasInput{FunctionName: aws.String(products.Function), Name: aws.String("staging")}); err != nil {
		t.Fatal(err)
	}
	system, _, err = products.Up(ctx, s.Client)
	if err != nil {
		t.Fatal(err)
	}
	for name, version := range map[string]string{"prod": "2", "staging": "2", "dev": "3"} {
		if body := get(t, system.Stage(name).URL); !strings.Contains(body, "v"+version) {
			t.Errorf("%s answers %s", name, body)
		}
	}
}

// Of the same name, but not ours: neither touched nor built upon.
func TestOthersAreLeftAlone(t *testing.T) {
	ctx := t.Context()
	s := newSite(t)
	theirs, err := s.Gateway().CreateRestApi(ctx, &apigateway.CreateRestApiInput{Name: aws.String(products.Name)})
	if err != nil {
		t.Fatal(err)
	}
	before := s.changes.Load()
	if _, said, err := products.Up(ctx, s.Client); err == nil || !strings.Contains(err.Error(), "stack up: API products ("+*theirs.Id+") is not made by coalmine") || len(said) > 0 {
		t.Errorf("%q %v", said, err)
	}
	if removed, err := products.Down(ctx, s.Client); err != nil || len(removed) > 0 {
		t.Errorf("%q %v", removed, err)
	}
	if n := s.changes.Load() - before; n > 0 {
		t.Errorf("%d changes", n)
	}

	s = newSite(t)
	if _, _, err := products.Up(ctx, s.Client); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Lambda().UntagResource(ctx, &lambda.UntagResourceInput{
		Resource: aws.String("arn:aws:lambda:eu-west-1:" + s.Account() + ":function:" + products.Function), TagKeys: []string{"coalmine:stack"},
	}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := products.Up(ctx, s.Client); err == nil || !strings.Contains(err.Error(), "function getProducts is not made by coalmine") {
		t.Error(err)
	}
	if removed, err := products.Down(ctx, s.Client); err != nil || len(removed) != 2 {
		t.Errorf("%q %v", removed, err)
	}
	if _, err := s.Lambda().GetFunction(ctx, &lambda.GetFunctionInput{FunctionName: aws.String(products.Function)}); err != nil {
		t.Error(err)
	}
}

func TestEverythingIsTagged(t *testing.T) {
	s := newSite(t)
	ctx := t.Context()
	system, _, err := products.Up(ctx, s.Client)
	if err != nil {
		t.Fatal(err)
	}
	for _, st := range system.Stages {
		got, err := s.Read(ctx, stage.Ref{API: system.API, Stage: st.Name})
		if err != nil || got.Tags["coalmine:stack"] != "products" {
			t.Errorf("%s: %v %v", st.Name, got.Tags, err)
		}
	}
}

// Where the account does not allow an access log the system is built, and removed, all the same, and says why.
func TestAccessLog(t *testing.T) {
	ctx := t.Context()
	log := func(s *site, name string) *types.AccessLogSettings {
		system, _, err := products.Up(ctx, s.Client)
		if err != nil {
			t.Fatal(err)
		}
		out, err := s.Gateway().GetStage(ctx, &apigateway.GetStageInput{RestApiId: &system.API, StageName: &name})
		if err != nil {
			t.Fatal(err)
		}
		return out.AccessLogSettings
	}
	s := newSite(t)
	if got := log(s, "prod"); got == nil || !strings.HasSuffix(*got.DestinationArn, ":log-group:"+products.LogGroup) || !strings.Contains(*got.Format, "$context.isCanaryRequest") {
		t.Errorf("%+v", got)
	}
	for _, action := range []string{"logs:CreateLogGroup", "logs:ListTagsForResource"} {
		s, says := newSite(t), map[string]string{"logs:CreateLogGroup": "no access log: CreateLogGroup: AccessDenied", "logs:ListTagsForResource": "kept log group"}[action]
		if err := s.server.SetFaults(emulator.Faults{Control: emulator.Control{Deny: []string{action}}}); err != nil {
			t.Fatal(err)
		}
		_, said, err := products.Up(ctx, s.Client)
		if err != nil {
			t.Errorf("%s: up: %v", action, err)
		}
		if got := log(s, "prod"); (got == nil) != (action == "logs:CreateLogGroup") {
			t.Errorf("%s: %+v", action, got)
		}
		removed, err := products.Down(ctx, s.Client)
		if said = append(said, removed...); err != nil || !slices.ContainsFunc(said, func(line string) bool { return strings.HasPrefix(line, says) }) {
			t.Errorf("%s: %q, %v", action, said, err)
		}
	}
}
