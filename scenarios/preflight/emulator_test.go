package preflight

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	gateway "github.com/aws/aws-sdk-go-v2/service/apigateway/types"
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
	os.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	os.Setenv("AWS_CONFIG_FILE", os.DevNull)
	os.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
	os.Exit(m.Run())
}

// lab is the demonstration system with a canary to be, on an emulator.
type lab struct {
	*stage.Client
	t   *testing.T
	e   *emulator.Server
	ref stage.Ref
}

func newLab(t *testing.T) *lab {
	t.Helper()
	e, err := emulator.Start("127.0.0.1:0", emulator.Faults{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	l := &lab{t: t, e: e, Client: connect(t, e.URL())}
	system, _, err := products.Up(t.Context(), l.Client)
	if err != nil {
		t.Fatal(err)
	}
	l.ref = stage.Ref{API: system.API, Stage: "prod", Method: products.Method, Path: products.Path}
	return l
}

func connect(t *testing.T, endpoint string) *stage.Client {
	t.Helper()
	c, err := stage.Connect(t.Context(), stage.Config{Endpoint: endpoint, Region: "eu-west-1"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// findings are those about a canary to be, seen by a client, which may be another than the lab's.
func (l *lab) findings(c *stage.Client, p Plan) []Finding {
	l.t.Helper()
	target, err := c.Foresee(l.t.Context(), l.ref, 50, map[string]string{"lambdaAlias": "staging"})
	if err != nil {
		l.t.Fatal(err)
	}
	return Read(l.t.Context(), c, l.ref, target, p).Judge(p)
}

// want holds one check's findings to a level and a text.
func want(t *testing.T, all []Finding, check string, level Level, says string) {
	t.Helper()
	if !slices.ContainsFunc(all, func(f Finding) bool {
		return f.Check == check && f.Level == level && strings.Contains(f.String(), says)
	}) {
		all = slices.DeleteFunc(slices.Clone(all), func(f Finding) bool { return f.Check != check })
		t.Errorf("%s: no %s with %q in %+v", check, level, says, all)
	}
}

func (l *lab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

var acting = Plan{Rate: 100, Latency: 20 * time.Millisecond, Duration: time.Minute, Promote: true, Rollback: true}

// The demonstration system has nothing about it that a person should hear of.
func TestSoundOnTheEmulator(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	findings := l.findings(l.Client, acting)
	if err := Blocked(findings); err != nil || len(Warnings(findings)) > 0 {
		t.Errorf("%v, %q", err, Warnings(findings))
	}
	want(t, findings, "throttle", OK, "100/s is within the account's limit for all APIs of the region of 10000/s, burst 5000")
	want(t, findings, "permission", OK, "")
	want(t, findings, "comparable", OK, "128 MB")
	want(t, findings, "credentials", OK, "StaticCredentials")
	want(t, findings, "endpoint", OK, "/_user_request_/products")
}

// What the stage's and the function's own settings say is found there.
func TestSettingsOnTheEmulator(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	ctx := t.Context()
	patch := func(path, value string) {
		t.Helper()
		_, err := l.Gateway().UpdateStage(ctx, &apigateway.UpdateStageInput{RestApiId: &l.ref.API, StageName: &l.ref.Stage,
			PatchOperations: []gateway.PatchOperation{{Op: gateway.OpReplace, Path: &path, Value: &value}}})
		l.must(err)
	}
	patch("/*/*/throttling/rateLimit", "50")
	patch("/*/*/caching/enabled", "true")
	patch("/cacheClusterSize", "0.5")
	patch("/cacheClusterEnabled", "true")
	_, err := l.Gateway().TagResource(ctx, &apigateway.TagResourceInput{
		ResourceArn: aws.String(fmt.Sprintf("arn:aws:apigateway:eu-west-1::/restapis/%s/stages/prod", l.ref.API)), Tags: map[string]string{"ManagedBy": "terraform"}})
	l.must(err)
	_, err = l.Lambda().PutFunctionConcurrency(ctx, &lambda.PutFunctionConcurrencyInput{FunctionName: aws.String(products.Function), ReservedConcurrentExecutions: aws.Int32(1)})
	l.must(err)
	findings := l.findings(l.Client, acting)
	want(t, findings, "throttle", Warning, "the stage's throttle is 50/s, below the planned 100/s")
	want(t, findings, "cache", Block, "canary and stage share a deployment")
	want(t, findings, "managed", Warning, "Terraform manages stage prod (tag ManagedBy=terraform): what this run may do (promote, roll back) is drift")
	want(t, findings, "headroom", Warning, "about 2 environments at once (100/s x 20ms), and of the reserved concurrency of getProducts of 1")
}

// What the credentials may not read is said with the statement that would allow it, and passes for nothing.
func TestDenied(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.must(l.e.SetFaults(emulator.Faults{Control: emulator.Control{Deny: []string{
		"lambda:GetPolicy", "lambda:GetFunctionConcurrency", "lambda:GetAccountSettings", "lambda:GetFunctionConfiguration", "cloudwatch:*", "codedeploy:*", "iam:*",
	}}}))
	findings := l.findings(l.Client, acting)
	want(t, findings, "permission", Warning, "not checked whether the API may invoke getProducts:staging: GetPolicy")
	want(t, findings, "headroom", Unchecked, "the reserved concurrency of getProducts: GetFunctionConcurrency")
	want(t, findings, "comparable", Unchecked, "what getProducts:prod runs with: GetFunctionConfiguration")
	want(t, findings, "codedeploy", Unchecked, "ListDeployments")
	want(t, findings, "credentials", Unchecked, "whether the credentials allow to promote, roll back: SimulatePrincipalPolicy")
	for _, action := range []string{"lambda:GetPolicy", "lambda:GetFunctionConcurrency", "lambda:GetAccountSettings", "lambda:GetFunctionConfiguration"} {
		want(t, findings, "credentials", Warning, `the credentials lack `+action+`; grant {"Effect":"Allow","Action":["`+action+`"],"Resource":[`)
	}
	l.must(l.e.SetFaults(emulator.Faults{Control: emulator.Control{Deny: []string{"lambda:GetAlias"}}}))
	findings = l.findings(l.Client, acting)
	want(t, findings, "alias", Block, "not checked which version alias staging is: GetAlias")
}

// A URL beside the API has to lead there.
func TestCustomDomain(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	ctx := t.Context()
	_, err := l.Gateway().CreateDomainName(ctx, &apigateway.CreateDomainNameInput{DomainName: aws.String("api.example.com"),
		EndpointConfiguration: &gateway.EndpointConfiguration{Types: []gateway.EndpointType{gateway.EndpointTypeRegional}}})
	l.must(err)
	for base, name := range map[string]string{"shop": "prod", "trial": "dev", "all": ""} {
		in := &apigateway.CreateBasePathMappingInput{DomainName: aws.String("api.example.com"), BasePath: &base, RestApiId: &l.ref.API}
		if name != "" {
			in.Stage = &name
		}
		_, err := l.Gateway().CreateBasePathMapping(ctx, in)
		l.must(err)
	}
	for raw, c := range map[string]struct {
		level Level
		says  string
	}{
		"https://api.example.com/shop/products":     {OK, "domain api.example.com, base path shop, leads to this API and stage"},
		"https://api.example.com/all/prod/products": {OK, "base path all"},
		"https://api.example.com/trial/products":    {Block, "stage dev, and not to API"},
		"https://api.example.com/shop/orders":       {Block, "the URL leads to /orders, and not to /products"},
		"https://api.example.com/products":          {Block, "no base path mapping of api.example.com takes the URL's path"},
		"https://other.example.com/shop/products":   {Block, "other.example.com is not known to lead to stage prod: "},
		l.InvokeURL(l.ref):                          {OK, "the API's own endpoint"},
	} {
		p := acting
		p.URL = raw
		want(t, l.findings(l.Client, p), "endpoint", c.level, c.says)
	}
	_, err = l.Gateway().UpdateRestApi(ctx, &apigateway.UpdateRestApiInput{RestApiId: &l.ref.API, PatchOperations: []gateway.PatchOperation{
		{Op: gateway.OpReplace, Path: aws.String("/disableExecuteApiEndpoint"), Value: aws.String("true")}}})
	l.must(err)
	fresh := connect(t, l.e.URL())
	want(t, l.findings(fresh, acting), "endpoint", Block, "the API's own endpoint is disabled")
	p := acting
	p.URL = "https://api.example.com/shop/products"
	want(t, l.findings(fresh, p), "endpoint", OK, "leads to this API and stage")
}

// A server without these services, or one on which they hang, is no reason not to run, nor to wait.
func TestServicesThatAreNotThere(t *testing.T) {
	l := newLab(t)
	defer func(was time.Duration) { patience = was }(patience)
	patience = 200 * time.Millisecond
	u, err := url.Parse(l.e.URL())
	l.must(err)
	back := httputil.NewSingleHostReverseProxy(u)
	for _, name := range []string{"not there", "hangs"} {
		over := make(chan struct{})
		hidden := false // STS answers like the others, at POST /
		proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if hidden && (r.URL.Path == "/" || strings.Contains(r.URL.Path, "/service/") || strings.HasSuffix(r.URL.Path, "/concurrency") || strings.HasSuffix(r.URL.Path, "/account-settings/")) {
				if name == "hangs" {
					<-over
				}
				w.WriteHeader(404)
				return
			}
			back.ServeHTTP(w, r)
		}))
		c := connect(t, proxy.URL)
		hidden = true
		findings := l.findings(c, acting)
		close(over)
		proxy.Close()
		if err := Blocked(findings); err != nil || len(Warnings(findings)) > 0 {
			t.Errorf("%s: %v %q", name, err, Warnings(findings))
		}
		want(t, findings, "codedeploy", Unchecked, "")
		want(t, findings, "headroom", Unchecked, "the reserved concurrency of getProducts")
		want(t, findings, "headroom", Unchecked, "how much of the account's 10000/s is in use")
		want(t, findings, "credentials", Unchecked, "whether the credentials allow to promote, roll back")
	}
}

// What IAM, CodeDeploy and CloudWatch know is read from them.
func TestServicesOnTheEmulator(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	for range 120 {
		response, err := http.Get(l.InvokeURL(l.ref))
		l.must(err)
		io.Copy(io.Discard, response.Body)
		response.Body.Close()
	}
	findings := l.findings(l.Client, acting)
	want(t, findings, "codedeploy", OK, "CodeDeploy moves no alias of these")
	want(t, findings, "credentials", OK, "the credentials allow all that was read, and to promote, roll back")
	if slices.ContainsFunc(findings, func(f Finding) bool { return strings.Contains(f.Text, "peak of 0/s") }) { // two minutes may share them
		t.Error("the requests to the API were not counted")
	}
	want(t, findings, "headroom", OK, "of the account's 10000/s there are 999")
	want(t, findings, "headroom", OK, "of 1000 there are 999 left (1 in use at the last hour's peak)")

	move := func(alias, status string) emulator.Faults {
		return emulator.Faults{CodeDeploy: []emulator.Deployment{
			{Function: products.Function, Alias: alias, Status: status, Age: time.Hour},
			{Function: "other", Alias: "prod", Status: "InProgress", Age: time.Minute},
		}}
	}
	l.must(l.e.SetFaults(move("staging", "InProgress")))
	want(t, l.findings(l.Client, acting), "codedeploy", Block, "CodeDeploy moves alias getProducts:staging now (deployment d-")
	want(t, l.findings(l.Client, Plan{Rate: 100}), "codedeploy", Warning, "its versions change under test")
	l.must(l.e.SetFaults(move("prod", "Succeeded")))
	want(t, l.findings(l.Client, acting), "codedeploy", Warning, "CodeDeploy moved alias getProducts:prod on 20")
	l.must(l.e.SetFaults(move("dev", "InProgress")))
	want(t, l.findings(l.Client, acting), "codedeploy", OK, "")

	l.must(l.e.SetFaults(emulator.Faults{Control: emulator.Control{Deny: []string{"apigateway:PATCH", "lambda:UpdateAlias"}}}))
	repointing := acting
	repointing.Repoint = true
	findings = l.findings(l.Client, repointing)
	want(t, findings, "credentials", Block, fmt.Sprintf(`grant {"Effect":"Allow","Action":["apigateway:PATCH"],"Resource":["arn:aws:apigateway:eu-west-1::/restapis/%s/stages/prod"]}`, l.ref.API))
	want(t, findings, "credentials", Block, "the credentials lack lambda:UpdateAlias on arn:aws:lambda:eu-west-1:")
	if err := Blocked(l.findings(l.Client, Plan{Rate: 100})); err != nil {
		t.Errorf("looking alone needs neither: %v", err)
	}
	// A session is simulated as its role.
	l.must(l.e.SetFaults(emulator.Faults{Control: emulator.Control{Role: "deploy", Deny: []string{"apigateway:PATCH"}}}))
	want(t, l.findings(connect(t, l.e.URL()), acting), "credentials", Block, "the credentials lack apigateway:PATCH")
}
