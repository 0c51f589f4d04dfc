package emulator

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	apitypes "github.com/aws/aws-sdk-go-v2/service/apigateway/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// stack is the demonstration system, built through the SDK: three versions behind three aliases, /products, three stages.
type stack struct {
	testing.TB
	server   *Server
	gateway  *apigateway.Client
	lambda   *lambda.Client
	sts      *sts.Client
	logs     *cloudwatchlogs.Client
	config   aws.Config
	client   *http.Client
	api      string
	resource string
	deployed string // the deployment that all stages begin with
}

const role = "arn:aws:iam::000000000000:role/getProducts"

func start(t testing.TB, f Faults) *stack {
	t.Helper()
	return startWith(t, f, Options{})
}

func startWith(t testing.TB, f Faults, o Options) *stack {
	t.Helper()
	s, err := StartWith("127.0.0.1:0", f, o)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return newStack(t, s, transport)
}

func newStack(t testing.TB, server *Server, transport http.RoundTripper) *stack {
	config := aws.Config{
		Region:       "eu-central-1",
		Credentials:  credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "secret", ""),
		BaseEndpoint: aws.String(server.URL()),
		HTTPClient:   &http.Client{Transport: transport},
	}
	return &stack{
		TB:      t,
		server:  server,
		gateway: apigateway.NewFromConfig(config),
		lambda:  lambda.NewFromConfig(config),
		sts:     sts.NewFromConfig(config),
		logs:    cloudwatchlogs.NewFromConfig(config),
		config:  config,
		client:  &http.Client{Transport: transport, Timeout: 40 * time.Second},
	}
}

func startStack(t testing.TB, f Faults) *stack {
	t.Helper()
	return start(t, f).built()
}

// offline is a stack without a network, for tests inside synctest: time passes only while all wait for it, and is exact.
func offline(t testing.TB, f Faults) *stack {
	t.Helper()
	time.Sleep(time.Until(clock)) // time begins in 2000 there
	server, err := New(f)
	if err != nil {
		t.Fatal(err)
	}
	server.url = "http://emulator"
	return newStack(t, server, inProcess{server}).built()
}

// inProcess sends requests to a handler, and no answer of one that is aborted.
type inProcess struct{ http.Handler }

func (d inProcess) RoundTrip(r *http.Request) (answer *http.Response, err error) {
	defer func() {
		if said := recover(); said != nil {
			answer, err = nil, fmt.Errorf("%v", said)
		}
	}()
	if r.Body == nil {
		r = r.Clone(r.Context())
		r.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w.Result(), nil
}

func (s *stack) built() *stack {
	s.Helper()
	s.createFunction()
	s.createAPI()
	for _, alias := range []string{"prod", "staging", "dev"} {
		s.allow(alias)
		s.createStage(alias, map[string]string{"lambdaAlias": alias})
	}
	return s
}

func (s *stack) createFunction() {
	s.Helper()
	ctx := context.Background()
	_, err := s.lambda.CreateFunction(ctx, &lambda.CreateFunctionInput{
		FunctionName: aws.String("getProducts"), Role: aws.String(role), Handler: aws.String("bootstrap"),
		Runtime: lambdatypes.RuntimeProvidedal2023, Code: &lambdatypes.FunctionCode{ZipFile: zipped("v1")},
		Tags: map[string]string{"made-by": "test"},
	})
	s.must(err)
	for i, alias := range []string{"prod", "staging", "dev"} {
		number := fmt.Sprint(i + 1)
		_, err := s.lambda.UpdateFunctionCode(ctx, &lambda.UpdateFunctionCodeInput{FunctionName: aws.String("getProducts"), ZipFile: zipped("v" + number)})
		s.must(err)
		v, err := s.lambda.PublishVersion(ctx, &lambda.PublishVersionInput{FunctionName: aws.String("getProducts")})
		s.must(err)
		if *v.Version != number {
			s.Fatalf("published version %s, want %s", *v.Version, number)
		}
		_, err = s.lambda.CreateAlias(ctx, &lambda.CreateAliasInput{FunctionName: aws.String("getProducts"), Name: aws.String(alias), FunctionVersion: v.Version})
		s.must(err)
	}
}

func (s *stack) createAPI() {
	s.Helper()
	ctx := context.Background()
	api, err := s.gateway.CreateRestApi(ctx, &apigateway.CreateRestApiInput{Name: aws.String("products"), Tags: map[string]string{"made-by": "test"}})
	s.must(err)
	s.api = *api.Id
	r, err := s.gateway.CreateResource(ctx, &apigateway.CreateResourceInput{RestApiId: api.Id, ParentId: api.RootResourceId, PathPart: aws.String("products")})
	s.must(err)
	s.resource = *r.Id
	_, err = s.gateway.PutMethod(ctx, &apigateway.PutMethodInput{RestApiId: api.Id, ResourceId: r.Id, HttpMethod: aws.String("GET"), AuthorizationType: aws.String("NONE")})
	s.must(err)
	_, err = s.gateway.PutIntegration(ctx, &apigateway.PutIntegrationInput{
		RestApiId: api.Id, ResourceId: r.Id, HttpMethod: aws.String("GET"), IntegrationHttpMethod: aws.String("POST"),
		Type: apitypes.IntegrationTypeAwsProxy, Uri: aws.String(integrationURI),
	})
	s.must(err)
	s.deployed = s.deploy()
}

const integrationURI = "arn:aws:apigateway:eu-central-1:lambda:path/2015-03-31/functions/arn:aws:lambda:eu-central-1:000000000000:function:getProducts:${stageVariables.lambdaAlias}/invocations"

func (s *stack) deploy() string {
	s.Helper()
	d, err := s.gateway.CreateDeployment(context.Background(), &apigateway.CreateDeploymentInput{RestApiId: &s.api})
	s.must(err)
	return *d.Id
}

func (s *stack) createStage(name string, variables map[string]string) {
	s.Helper()
	_, err := s.gateway.CreateStage(context.Background(), &apigateway.CreateStageInput{
		RestApiId: &s.api, StageName: &name, DeploymentId: &s.deployed, Variables: variables,
	})
	s.must(err)
}

func (s *stack) allow(alias string) {
	s.Helper()
	_, err := s.lambda.AddPermission(context.Background(), &lambda.AddPermissionInput{
		FunctionName: aws.String("getProducts"), Qualifier: &alias, StatementId: aws.String("gateway"),
		Action: aws.String("lambda:InvokeFunction"), Principal: aws.String("apigateway.amazonaws.com"),
		SourceArn: aws.String("arn:aws:execute-api:eu-central-1:000000000000:" + s.api + "/*/GET/products"),
	})
	s.must(err)
}

// patch takes operations as "replace /path value" and "copy /path from".
func (s *stack) patch(stage string, ops ...string) (*apigateway.UpdateStageOutput, error) {
	s.Helper()
	in := &apigateway.UpdateStageInput{RestApiId: &s.api, StageName: &stage}
	for _, text := range ops {
		parts := regexp.MustCompile(` `).Split(text, 3)
		op := apitypes.PatchOperation{Op: apitypes.Op(parts[0]), Path: &parts[1]}
		if len(parts) == 3 {
			if op.Value = &parts[2]; parts[0] == "copy" {
				op.Value, op.From = nil, &parts[2]
			}
		}
		in.PatchOperations = append(in.PatchOperations, op)
	}
	return s.gateway.UpdateStage(context.Background(), in)
}

func (s *stack) mustPatch(stage string, ops ...string) *apigateway.UpdateStageOutput {
	s.Helper()
	out, err := s.patch(stage, ops...)
	s.must(err)
	return out
}

var promote = []string{
	"replace /canarySettings/percentTraffic 0.0",
	"copy /variables /canarySettings/stageVariableOverrides",
	"copy /deploymentId /canarySettings/deploymentId",
}

func (s *stack) canary(percent string) {
	s.Helper()
	s.mustPatch("prod", "replace /canarySettings/percentTraffic "+percent, "replace /canarySettings/useStageCache false",
		"replace /canarySettings/stageVariableOverrides/lambdaAlias staging")
}

type got struct {
	status int
	body   string
	header http.Header
}

func (s *stack) get(stage, path string) got {
	s.Helper()
	g, err := s.getContext(context.Background(), stage, path)
	s.must(err)
	return g
}

func (s *stack) getContext(ctx context.Context, stage, path string) (got, error) {
	s.Helper()
	in, err := http.NewRequestWithContext(ctx, "GET", s.server.URL()+"/restapis/"+s.api+"/"+stage+"/_user_request_"+path, nil)
	s.must(err)
	r, err := s.client.Do(in)
	if err != nil {
		return got{}, err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	return got{r.StatusCode, string(body), r.Header}, err
}

var inText = regexp.MustCompile(`all products v(\d+)`)

// versions asks n times and counts who answered; "" is nobody in particular.
func (s *stack) versions(stage string, n int) map[string]int {
	s.Helper()
	counts := map[string]int{}
	for range n {
		g := s.get(stage, "/products")
		v := g.header.Get("X-Lambda-Version")
		if m := inText.FindStringSubmatch(g.body); m != nil && m[1] != v {
			s.Fatalf("header says version %q, body %q", v, m[1])
		}
		counts[v]++
	}
	return counts
}

func (s *stack) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func zipped(text string) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	f, _ := w.Create("bootstrap")
	f.Write([]byte(text))
	w.Close()
	return b.Bytes()
}

// raw shows what the SDK hides.
func (s *stack) raw(method, path, body string) (int, http.Header, string) {
	s.Helper()
	r, err := http.NewRequest(method, s.server.URL()+path, strings.NewReader(body))
	s.must(err)
	a, err := s.client.Do(r)
	s.must(err)
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	s.must(err)
	return a.StatusCode, a.Header, string(text)
}
