package emulator

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
)

const proxyURI = "arn:aws:apigateway:eu-central-1:lambda:path/2015-03-31/functions/arn:aws:lambda:eu-central-1:000000000000:function:getProducts:${stageVariables.lambdaAlias}/invocations"

// TestOperations is the table of aws.md 1.1, in an order in which each can work: status and top-level keys of the answer.
func TestOperations(t *testing.T) {
	c := conforming(t)
	const (
		stage    = "cacheClusterEnabled cacheClusterStatus createdDate deploymentId lastUpdatedDate methodSettings stageName tracingEnabled"
		api      = "apiKeySource createdDate disableExecuteApiEndpoint endpointConfiguration id name rootResourceId"
		tagged   = "apiKeySource createdDate disableExecuteApiEndpoint endpointConfiguration id name rootResourceId tags"
		proxy    = "cacheKeyParameters cacheNamespace httpMethod passthroughBehavior timeoutInMillis type uri"
		answered = "defaultResponse responseParameters responseTemplates responseType statusCode"
		tested   = "body headers latency log multiValueHeaders status"
	)
	for _, op := range []struct {
		name string
		request
		status int
		keys   string // "": an empty body
	}{
		{"CreateRestApi", post("/restapis", `{"name":"second"}`), 201, api},
		{"GetRestApis", get("/restapis?limit=1"), 200, "item position"},
		{"GetRestApis, the last page", get("/restapis"), 200, "item"},
		{"GetRestApi", get("/restapis/API"), 200, tagged},
		{"UpdateRestApi", request{"PATCH", "/restapis/API", `{"patchOperations":[{"op":"replace","path":"/disableExecuteApiEndpoint","value":"False"}]}`}, 200, tagged},
		{"GetResources", get("/restapis/API/resources"), 200, "item"},
		{"GetResource, the root", get("/restapis/API/resources/ROOT"), 200, "id path"},
		{"CreateResource", post("/restapis/API/resources/ROOT", `{"pathPart":"orders"}`), 201, "id parentId path pathPart"},
		{"PutMethod", put("/restapis/API/resources/RESOURCE/methods/POST", `{"authorizationType":"NONE"}`), 201, "apiKeyRequired authorizationType httpMethod"},
		{"PutIntegration", put("/restapis/API/resources/RESOURCE/methods/POST/integration", `{"type":"AWS_PROXY","httpMethod":"POST","uri":"`+proxyURI+`"}`), 201, proxy},
		{"GetIntegration", get("/restapis/API/resources/RESOURCE/methods/POST/integration"), 200, proxy},
		{"PutGatewayResponse", put("/restapis/API/gatewayresponses/DEFAULT_5XX", `{"responseTemplates":{"application/json":"{}"}}`), 201, strings.TrimSuffix(answered, " statusCode")},
		{"PutGatewayResponse with a status", put("/restapis/API/gatewayresponses/DEFAULT_4XX", `{"statusCode":"418"}`), 201, answered},
		{"CreateDeployment", post("/restapis/API/deployments", `{}`), 201, "createdDate id"},
		{"CreateDeployment, described", post("/restapis/API/deployments", `{"description":"x"}`), 201, "createdDate description id"},
		{"CreateDeployment on a new stage", post("/restapis/API/deployments", `{"stageName":"made"}`), 201, "createdDate id"},
		{"GetDeployments", get("/restapis/API/deployments?limit=1"), 200, "item position"},
		{"GetDeployment", get("/restapis/API/deployments/FIRST"), 200, "createdDate id"},
		{"GetDeployment, embedded", get("/restapis/API/deployments/FIRST?embed=apisummary"), 200, "apiSummary createdDate id"},
		{"CreateStage", post("/restapis/API/stages", `{"stageName":"plain","deploymentId":"SECOND"}`), 201, stage},
		{"CreateStage with a canary", post("/restapis/API/stages", `{"stageName":"split","deploymentId":"FIRST","canarySettings":{"percentTraffic":10.5,"deploymentId":"SECOND"}}`), 201, "cacheClusterEnabled cacheClusterStatus canarySettings " + strings.TrimPrefix(stage, "cacheClusterEnabled cacheClusterStatus ")},
		{"GetStage", get("/restapis/API/stages/plain"), 200, stage},
		{"GetStages", get("/restapis/API/stages?limit=1"), 200, "item"}, // not paged
		{"UpdateStage", update("plain", "replace /tracingEnabled false"), 200, stage},
		{"FlushStageCache", remove("/restapis/API/stages/plain/cache/data"), 202, ""},
		{"DeleteStage", remove("/restapis/API/stages/plain"), 202, ""},
		{"DeleteDeployment", remove("/restapis/API/deployments/SECOND"), 400, "message"}, // the canary of split
		{"DeleteStage", remove("/restapis/API/stages/split"), 202, ""},
		{"DeleteDeployment", remove("/restapis/API/deployments/SECOND"), 202, ""},
		{"GetAccount", get("/account"), 200, "apiKeyVersion features throttleSettings"},
		{"TestInvokeMethod", post("/restapis/API/resources/RESOURCE/methods/GET", `{"stageVariables":{"lambdaAlias":"staging"}}`), 200, tested},
		{"DeleteRestApi", remove("/restapis/API"), 202, ""},
	} {
		fact(t, sdk, op.name, func(t *testing.T) {
			status, _, body := c.ask(op.request)
			if status != op.status || keys(body) != op.keys {
				t.Errorf("%s %s: %d with %s, want %d with %s\n%s", op.method, op.path, status, keys(body), op.status, op.keys, body)
			}
		})
	}
}

// TestStageOnTheWire: what each change leaves of a stage, as it is written.
func TestStageOnTheWire(t *testing.T) {
	c := conforming(t)
	c.ask(post("/restapis/API/stages", `{"stageName":"plain","deploymentId":"FIRST"}`))
	stage := func() (fields map[string]json.RawMessage, body string) {
		_, _, body = c.ask(get("/restapis/API/stages/plain"))
		c.must(json.Unmarshal([]byte(body), &fields))
		return fields, body
	}
	for _, step := range []struct {
		evidence
		name, do string // one operation; "" none
		key      string
		want     string // "": the key is not there
	}{
		{recorded, "no canary", "", "canarySettings", ""},
		{recorded, "no variables", "", "variables", ""},
		{recorded, "no description", "", "description", ""},
		{recorded, "no access log", "", "accessLogSettings", ""},
		{recorded, "method settings are always there", "", "methodSettings", `{}`},
		{recorded, "the cache's status", "", "cacheClusterStatus", `"NOT_AVAILABLE"`},
		{recorded, "tracing is always there", "", "tracingEnabled", `false`},
		{recorded, "a percent is a float, and overrides are left out", "replace /canarySettings/percentTraffic 50", "canarySettings",
			`{"percentTraffic":50.0,"deploymentId":"FIRST","useStageCache":false}`},
		{documented, "a percent may have a fraction", "replace /canarySettings/percentTraffic 10.5", "canarySettings",
			`{"percentTraffic":10.5,"deploymentId":"FIRST","useStageCache":false}`},
		{recorded, "overrides", "replace /canarySettings/stageVariableOverrides/lambdaAlias staging", "canarySettings",
			`{"percentTraffic":10.5,"deploymentId":"FIRST","stageVariableOverrides":{"lambdaAlias":"staging"},"useStageCache":false}`},
		{recorded, "no overrides are left out again", "remove /canarySettings/stageVariableOverrides/lambdaAlias", "canarySettings",
			`{"percentTraffic":10.5,"deploymentId":"FIRST","useStageCache":false}`},
		{recorded, "a canary that is removed", "remove /canarySettings", "canarySettings", ""},
		{documented, "a variable", "replace /variables/a b", "variables", `{"a":"b"}`},
		{documented, "an access log", "replace /accessLogSettings/format $context.requestId", "accessLogSettings", `{"format":"$context.requestId"}`},
		{documented, "an access log that is removed", "remove /accessLogSettings", "accessLogSettings", ""},
		{sdk, "a cluster that is on", "replace /cacheClusterEnabled true", "cacheClusterStatus", `"AVAILABLE"`},
		{sdk, "throttling", "replace /*/*/throttling/rateLimit 5", "methodSettings", `{"*/*":{"metricsEnabled":false,"loggingLevel":"OFF","dataTraceEnabled":false,"throttlingBurstLimit":5000,"throttlingRateLimit":5.0,...`},
	} {
		fact(t, step.evidence, step.name, func(t *testing.T) {
			if step.do != "" {
				if status, _, body := c.ask(update("plain", step.do)); status != 200 {
					t.Fatalf("%s: %d %s", step.do, status, body)
				}
			}
			fields, body := stage()
			if got := string(fields[step.key]); !has(got, step.want) {
				t.Errorf("%s is %s, want %s\n%s", step.key, got, step.want, body)
			}
		})
	}
	fields, body := stage()
	fact(t, sdk, "times are seconds, as numbers", func(t *testing.T) {
		for _, key := range []string{"createdDate", "lastUpdatedDate"} {
			var seconds int64
			if err := json.Unmarshal(fields[key], &seconds); err != nil || seconds < 1.7e9 || seconds > 4e9 {
				t.Errorf("%s is %s\n%s", key, fields[key], body)
			}
		}
	})
	fact(t, documented, "an integration's URI is kept as it was sent", func(t *testing.T) {
		_, _, body := c.ask(get("/restapis/API/resources/RESOURCE/methods/GET/integration"))
		if !strings.Contains(body, `"uri":"`+proxyURI+`"`) {
			t.Error(body)
		}
	})
	fact(t, sdk, "resources: the root has no parent", func(t *testing.T) {
		_, _, body := c.ask(get("/restapis/API/resources"))
		if want := `{"item":[{"id":"ROOT","path":"/"},{"id":"RESOURCE","parentId":"ROOT","pathPart":"products","path":"/products","resourceMethods":{"GET":{}}}]}`; body != want {
			t.Errorf("got  %s\nwant %s", body, want)
		}
	})
	fact(t, documented, "an API without an endpoint type is EDGE", func(t *testing.T) {
		if _, _, body := c.ask(get("/restapis/API")); !strings.Contains(body, `"types":["EDGE"]`) {
			t.Error(body)
		}
	})
}

func TestPaging(t *testing.T) {
	s := start(t, Faults{})
	var want, got []string
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		_, err := s.gateway.CreateRestApi(context.Background(), &apigateway.CreateRestApiInput{Name: &name})
		s.must(err)
		want = append(want, name)
	}
	pages := apigateway.NewGetRestApisPaginator(s.gateway, &apigateway.GetRestApisInput{Limit: aws.Int32(2)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(context.Background())
		s.must(err)
		for _, api := range page.Items {
			got = append(got, *api.Name)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("pages of two: %v, want %v", got, want)
	}
}

// TestNoOperation: what is nobody's operation is refused in the shape of any other refusal, and never redirected.
func TestNoOperation(t *testing.T) {
	c := conforming(t)
	for _, r := range []request{
		put("/restapis/API/stages/prod", ""), get("/nothing"), get("/restapis//x"), get("/restapis/../restapis"), get("/tags"), get("/2017-03-31/tags"),
	} {
		if status, kind, body := c.ask(r); status != 404 || kind != "UnknownOperationException" || keys(body) != "message" {
			t.Errorf("%s %s: %d %s %s", r.method, r.path, status, kind, body)
		}
	}
	if status, kind, _ := c.ask(get("/restapis?limit=x")); status != 400 || kind != "BadRequestException" {
		t.Errorf("a limit that is no number: %d %s", status, kind)
	}
}

// TestLambdaOnTheWire: Lambda spells "message" one way or the other, and deletes with a 204.
func TestLambdaOnTheWire(t *testing.T) {
	c := conforming(t)
	for _, test := range []struct {
		evidence
		name string
		request
		status     int
		kind, body string
	}{
		{recorded, "unknown function", get("/2015-03-31/functions/nope"), 404, "ResourceNotFoundException",
			`{"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:000000000000:function:nope"}`},
		{recorded, "duplicate alias", post("/2015-03-31/functions/getProducts/aliases", `{"Name":"prod","FunctionVersion":"1"}`), 409, "ResourceConflictException",
			`{"Type":"User","message":"Alias already exists: arn:aws:lambda:eu-central-1:000000000000:function:getProducts:prod"}`},
		{sdk, "deleted alias", remove("/2015-03-31/functions/getProducts/aliases/dev"), 204, "", ""},
	} {
		fact(t, test.evidence, test.name, func(t *testing.T) {
			if status, kind, body := c.ask(test.request); status != test.status || kind != test.kind || body != test.body {
				t.Errorf("%d %s %s", status, kind, body)
			}
		})
	}
}
