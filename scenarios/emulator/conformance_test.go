package emulator

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	apitypes "github.com/aws/aws-sdk-go-v2/service/apigateway/types"
	"github.com/aws/smithy-go"
)

// TestRecordedRefusals holds the emulator to what AWS was recorded to say (aws.md 1.2 and 2.3).
func TestRecordedRefusals(t *testing.T) {
	s := startStack(t, Faults{})
	ctx := context.Background()
	second := s.deploy()
	s.createStage("plain", nil)
	s.createStage("canaried", nil)
	s.mustPatch("canaried", "replace /canarySettings/percentTraffic 10")
	canary := func(stage *string) func() error {
		return func() error {
			_, err := s.gateway.CreateDeployment(ctx, &apigateway.CreateDeploymentInput{
				RestApiId: &s.api, StageName: stage, CanarySettings: &apitypes.DeploymentCanarySettings{PercentTraffic: 10},
			})
			return err
		}
	}
	patch := func(stage string, ops ...string) func() error {
		return func() error { _, err := s.patch(stage, ops...); return err }
	}
	tests := []struct {
		name    string
		do      func() error
		code    string
		message string // what it begins with, or all of it with a final $
	}{
		{"unknown API", func() error {
			_, err := s.gateway.GetRestApi(ctx, &apigateway.GetRestApiInput{RestApiId: aws.String("nope")})
			return err
		}, "NotFoundException", "Invalid API identifier specified 000000000000:nope$"},
		{"unknown stage", func() error {
			_, err := s.gateway.GetStage(ctx, &apigateway.GetStageInput{RestApiId: &s.api, StageName: aws.String("nope")})
			return err
		}, "NotFoundException", "Invalid stage identifier specified$"},
		{"duplicate stage", func() error {
			_, err := s.gateway.CreateStage(ctx, &apigateway.CreateStageInput{RestApiId: &s.api, StageName: aws.String("prod"), DeploymentId: &second})
			return err
		}, "ConflictException", "Stage already exists$"},
		{"duplicate resource", func() error {
			api, err := s.gateway.GetRestApi(ctx, &apigateway.GetRestApiInput{RestApiId: &s.api})
			s.must(err)
			_, err = s.gateway.CreateResource(ctx, &apigateway.CreateResourceInput{RestApiId: &s.api, ParentId: api.RootResourceId, PathPart: aws.String("products")})
			return err
		}, "ConflictException", "Another resource with the same parent already has this name: products$"},
		{"deployment in use", func() error {
			_, err := s.gateway.DeleteDeployment(ctx, &apigateway.DeleteDeploymentInput{RestApiId: &s.api, DeploymentId: &s.deployed})
			return err
		}, "BadRequestException", "Active stages pointing to this deployment must be moved or deleted$"},
		{"no methods", func() error {
			api, err := s.gateway.CreateRestApi(ctx, &apigateway.CreateRestApiInput{Name: aws.String("empty")})
			s.must(err)
			_, err = s.gateway.CreateDeployment(ctx, &apigateway.CreateDeploymentInput{RestApiId: api.Id})
			return err
		}, "BadRequestException", "The REST API doesn't contain any methods$"},
		{"bad enum", patch("plain", "bogus /description x"), "ValidationException",
			"1 validation error detected: Value 'bogus' at 'updateStageInput.patchOperations.1.member.op' failed to satisfy constraint: Member must satisfy enum value set"},
		{"integration without an ARN", func() error {
			_, err := s.gateway.PutIntegration(ctx, &apigateway.PutIntegrationInput{RestApiId: &s.api, ResourceId: &s.resource, HttpMethod: aws.String("GET"),
				Type: apitypes.IntegrationTypeAwsProxy, IntegrationHttpMethod: aws.String("POST"), Uri: aws.String("nonsense")})
			return err
		}, "BadRequestException", "Invalid ARN specified in the request$"},
		{"integration without an action", func() error {
			_, err := s.gateway.PutIntegration(ctx, &apigateway.PutIntegrationInput{RestApiId: &s.api, ResourceId: &s.resource, HttpMethod: aws.String("GET"),
				Type: apitypes.IntegrationTypeAwsProxy, IntegrationHttpMethod: aws.String("POST"), Uri: aws.String("arn:aws:apigateway:eu-central-1:lambda:nonsense")})
			return err
		}, "BadRequestException", "AWS ARN for integration must contain path or action$"},

		{"canary deployment without a stage", canary(nil), "BadRequestException",
			"Invalid deployment content specified.Non null and non empty stageName must be provided for canary deployment. Provided value is null$"},
		{"canary deployment on an empty stage", canary(aws.String("")), "BadRequestException",
			"Invalid deployment content specified.Non null and non empty stageName must be provided for canary deployment. Provided value is $"},
		{"canary deployment on no stage", canary(aws.String("nope")), "BadRequestException",
			"Invalid deployment content specified.Stage nope must already be created before making a canary release deployment$"},
		{"plain deployment on a canary", func() error {
			_, err := s.gateway.CreateDeployment(ctx, &apigateway.CreateDeploymentInput{RestApiId: &s.api, StageName: aws.String("canaried")})
			return err
		}, "BadRequestException", "Invalid deployment content specified.Non canary deployment not supported on stage canaried because Canary is enabled. Provide CanarySettings in deploymentInput.$"},
		{"stage with an unknown canary deployment", func() error {
			_, err := s.gateway.CreateStage(ctx, &apigateway.CreateStageInput{RestApiId: &s.api, StageName: aws.String("new"), DeploymentId: &second,
				CanarySettings: &apitypes.CanarySettings{DeploymentId: aws.String("nope")}})
			return err
		}, "BadRequestException", "Deployment id does not exist$"},
		{"replace an unknown canary deployment", patch("plain", "replace /canarySettings/deploymentId nope"), "BadRequestException", "Deployment id does not exist$"},
		{"add a canary deployment", patch("plain", "add /canarySettings/deploymentId "+second), "BadRequestException",
			"Invalid add operation with path: /canarySettings/deploymentId$"},
		{"remove the overrides", patch("canaried", "remove /canarySettings/stageVariableOverrides"), "BadRequestException",
			"Cannot remove method setting canarySettings/stageVariableOverrides because there is no method setting for this method $"},
		{"remove an unknown leaf", patch("canaried", "remove /canarySettings/badPath"), "BadRequestException",
			"Cannot remove method setting canarySettings/badPath because there is no method setting for this method $"},
		{"replace the canary", patch("canaried", "replace /canarySettings x"), "BadRequestException",
			"Invalid method setting path: /canarySettings. Must be one of: [/deploymentId, /description, /cacheClusterEnabled, "},
		{"replace an unknown leaf", patch("canaried", "replace /canarySettings/badPath x"), "BadRequestException",
			"Invalid method setting path: /canarySettings/badPath. Must be one of: " + stagePaths + "$"},
		{"copy from elsewhere", patch("canaried", "copy /canarySettings/stageVariableOverrides /variables"), "BadRequestException",
			"Invalid copy operation with path: /canarySettings/stageVariableOverrides and from /variables. Valid copy:path are [/deploymentId, /variables] and valid copy:from are [/canarySettings/deploymentId, /canarySettings/stageVariableOverrides]$"},
		{"copy without a canary", patch("plain", "copy /variables /canarySettings/stageVariableOverrides"), "BadRequestException",
			"Promotion not available. Canary does not exist.$"},
		{"percent above 100", patch("canaried", "replace /canarySettings/percentTraffic 100.5"), "BadRequestException", ""},
		{"percent below 0", patch("canaried", "replace /canarySettings/percentTraffic -1"), "BadRequestException", ""},
		{"percent no number", patch("canaried", "replace /canarySettings/percentTraffic NaN"), "BadRequestException", ""},
		// Not recorded: the emulator takes the stricter reading, so that nothing here depends on the milder one.
		{"stage deployment under a canary", patch("canaried", "replace /deploymentId "+second), "BadRequestException", ""},
		{"remove a canary that is not there", patch("plain", "remove /canarySettings"), "BadRequestException", ""},
	}
	for _, test := range tests {
		err := test.do()
		var refused smithy.APIError
		if !errors.As(err, &refused) {
			t.Errorf("%s: %v is no refusal", test.name, err)
			continue
		}
		want, whole := strings.CutSuffix(test.message, "$")
		got := refused.ErrorMessage()
		if refused.ErrorCode() != test.code || !strings.HasPrefix(got, want) || whole && got != want {
			t.Errorf("%s:\ngot  %s: %q\nwant %s: %q", test.name, refused.ErrorCode(), got, test.code, want)
		}
	}
}

// TestCanarySettings follows the settings through the patches of aws.md 2.2 to 2.6.
func TestCanarySettings(t *testing.T) {
	type canary struct {
		deployment string
		percent    float64
		overrides  map[string]string
	}
	s := startStack(t, Faults{})
	first, second := s.deployed, s.deploy()
	override := func(alias string) map[string]string { return map[string]string{"lambdaAlias": alias} }
	steps := []struct {
		name       string
		ops        []string
		deployment string
		variables  map[string]string
		canary     *canary // nil: none
	}{
		{"a percent alone makes a canary", []string{"replace /canarySettings/percentTraffic 10.5"},
			first, override("prod"), &canary{first, 10.5, nil}},
		{"remove", []string{"remove /canarySettings"}, first, override("prod"), nil},
		{"a deployment alone makes a canary of 0 %", []string{"replace /canarySettings/deploymentId " + second},
			first, override("prod"), &canary{second, 0, nil}},
		{"overrides upsert", []string{"replace /canarySettings/stageVariableOverrides/lambdaAlias staging", "replace /canarySettings/stageVariableOverrides/extra x"},
			first, override("prod"), &canary{second, 0, map[string]string{"lambdaAlias": "staging", "extra": "x"}}},
		{"one override goes", []string{"remove /canarySettings/stageVariableOverrides/extra", "replace /canarySettings/percentTraffic 50"},
			first, override("prod"), &canary{second, 50, override("staging")}},
		{"variables upsert", []string{"replace /variables/kept yes"},
			first, map[string]string{"lambdaAlias": "prod", "kept": "yes"}, &canary{second, 50, override("staging")}},
		{"promote merges and keeps the canary", promote,
			second, map[string]string{"lambdaAlias": "staging", "kept": "yes"}, &canary{second, 0, override("staging")}},
		{"undo", []string{"remove /canarySettings", "replace /deploymentId " + first, "replace /variables/lambdaAlias prod", "remove /variables/kept"},
			first, override("prod"), nil},
		{"a promote of no canary leaves a stray one", promote, first, override("prod"), &canary{first, 0, nil}},
	}
	for _, step := range steps {
		s.mustPatch("prod", step.ops...)
		st, err := s.gateway.GetStage(context.Background(), &apigateway.GetStageInput{RestApiId: &s.api, StageName: aws.String("prod")})
		s.must(err)
		if *st.DeploymentId != step.deployment || !maps.Equal(st.Variables, step.variables) {
			t.Errorf("%s: stage has %s, %v", step.name, *st.DeploymentId, st.Variables)
		}
		switch c := st.CanarySettings; {
		case c == nil || step.canary == nil:
			if c != nil || step.canary != nil {
				t.Errorf("%s: canary %+v, want %+v", step.name, c, step.canary)
			}
		case *c.DeploymentId != step.canary.deployment || c.PercentTraffic != step.canary.percent || !maps.Equal(c.StageVariableOverrides, step.canary.overrides):
			t.Errorf("%s: canary %s at %v with %v, want %+v", step.name, *c.DeploymentId, c.PercentTraffic, c.StageVariableOverrides, *step.canary)
		}
	}
}

// TestPatchIsAtomic: a list that fails halfway changes nothing.
func TestPatchIsAtomic(t *testing.T) {
	s := startStack(t, Faults{})
	if _, err := s.patch("prod", "replace /variables/lambdaAlias dev", "replace /canarySettings/percentTraffic 50", "replace /nothing x"); err == nil {
		t.Fatal("an unknown path was taken")
	}
	st, err := s.gateway.GetStage(context.Background(), &apigateway.GetStageInput{RestApiId: &s.api, StageName: aws.String("prod")})
	s.must(err)
	if st.Variables["lambdaAlias"] != "prod" || st.CanarySettings != nil {
		t.Errorf("half a patch was applied: %v, %+v", st.Variables, st.CanarySettings)
	}
	if got := s.versions("prod", 5); got["1"] != 5 {
		t.Errorf("prod answers %v", got)
	}
}

// TestCanaryDeployment: recipe A, CreateDeployment with canarySettings, overwrites what the canary had.
func TestCanaryDeployment(t *testing.T) {
	s := startStack(t, Faults{})
	s.canary("40.0")
	d, err := s.gateway.CreateDeployment(context.Background(), &apigateway.CreateDeploymentInput{RestApiId: &s.api, StageName: aws.String("prod"),
		CanarySettings: &apitypes.DeploymentCanarySettings{PercentTraffic: 50, StageVariableOverrides: map[string]string{"lambdaAlias": "dev"}}})
	s.must(err)
	st, err := s.gateway.GetStage(context.Background(), &apigateway.GetStageInput{RestApiId: &s.api, StageName: aws.String("prod")})
	s.must(err)
	c := st.CanarySettings
	if *st.DeploymentId != s.deployed || *c.DeploymentId != *d.Id || c.PercentTraffic != 50 || c.StageVariableOverrides["lambdaAlias"] != "dev" {
		t.Errorf("stage %s, canary %s at %v with %v", *st.DeploymentId, *c.DeploymentId, c.PercentTraffic, c.StageVariableOverrides)
	}
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

func TestWire(t *testing.T) {
	s := startStack(t, Faults{})
	keys := func(path string) []string {
		t.Helper()
		_, _, body := s.raw("GET", path, "")
		var fields map[string]any
		s.must(json.Unmarshal([]byte(body), &fields))
		return slices.Sorted(maps.Keys(fields))
	}
	stage := "/restapis/" + s.api + "/stages/plain"
	s.createStage("plain", nil)
	if got, want := strings.Join(keys(stage), " "), "cacheClusterEnabled cacheClusterStatus createdDate deploymentId lastUpdatedDate methodSettings stageName tracingEnabled"; got != want {
		t.Errorf("a plain stage has %s, want %s", got, want)
	}
	s.mustPatch("plain", "replace /canarySettings/percentTraffic 50")
	_, _, body := s.raw("GET", stage, "")
	if want := `"canarySettings":{"percentTraffic":50.0,"deploymentId":"` + s.deployed + `","useStageCache":false}`; !strings.Contains(body, want) {
		t.Errorf("%s lacks %s", body, want)
	}
	if strings.Contains(body, `"createdDate":"`) {
		t.Errorf("createdDate is not a number: %s", body)
	}
	if got := keys("/restapis/" + s.api + "/stages"); !slices.Equal(got, []string{"item"}) {
		t.Errorf("a list has %v", got)
	}

	tests := []struct {
		method, path, body string
		status             int
		kind, text         string
	}{
		{"GET", "/restapis/nope", "", 404, "NotFoundException", `{"message":"Invalid API identifier specified 000000000000:nope"}`},
		{"PATCH", stage, `{"patchOperations":[{"op":7}]}`, 400, "SerializationException", ""},
		{"PATCH", stage, `{"patchOperations":`, 400, "SerializationException", ""},
		{"PATCH", stage, `[]`, 400, "SerializationException", ""},
		{"PUT", stage, ``, 404, "UnknownOperationException", ""},
		{"GET", "/nothing", ``, 404, "UnknownOperationException", ""},
		{"GET", "/restapis//x", ``, 404, "UnknownOperationException", ""},
		{"GET", "/restapis/../restapis", ``, 404, "UnknownOperationException", ""},
		{"GET", "/restapis?limit=x", ``, 400, "BadRequestException", ""},
		{"GET", "/2015-03-31/functions/nope", "", 404, "ResourceNotFoundException",
			`{"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:000000000000:function:nope"}`},
		{"POST", "/2015-03-31/functions/getProducts/aliases", `{"Name":"prod","FunctionVersion":"1"}`, 409, "ResourceConflictException",
			`{"Type":"User","message":"Alias already exists: arn:aws:lambda:eu-central-1:000000000000:function:getProducts:prod"}`},
		{"DELETE", stage, "", 202, "", ""},
		{"DELETE", "/2015-03-31/functions/getProducts/aliases/dev", "", 204, "", ""},
	}
	for _, test := range tests {
		status, header, text := s.raw(test.method, test.path, test.body)
		if status != test.status || header.Get("X-Amzn-Errortype") != test.kind || test.text != "" && text != test.text {
			t.Errorf("%s %s: %d %s %s", test.method, test.path, status, header.Get("X-Amzn-Errortype"), text)
		}
		if header.Get("X-Amzn-Requestid") == "" {
			t.Errorf("%s %s: no request id", test.method, test.path)
		}
	}
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
