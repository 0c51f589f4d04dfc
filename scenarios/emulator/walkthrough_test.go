package emulator

import (
	"context"
	"maps"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// TestWalkthrough is the demonstration from its first request to its removal, with the SDK's own clients.
func TestWalkthrough(t *testing.T) {
	s := startStack(t, Faults{Seed: 1})
	ctx := context.Background()
	only := func(stage, version string) {
		t.Helper()
		if got := s.versions(stage, 20); !maps.Equal(got, map[string]int{version: 20}) {
			t.Errorf("%s answers %v, want version %s alone", stage, got, version)
		}
	}
	only("prod", "1")
	only("staging", "2")
	only("dev", "3")

	s.canary("50.0")
	mixed := s.versions("prod", 200)
	if mixed["1"] < 70 || mixed["2"] < 70 || mixed["1"]+mixed["2"] != 200 {
		t.Errorf("canary at 50%%: %v", mixed)
	}
	second := s.deploy()
	st := s.mustPatch("prod", "replace /canarySettings/deploymentId "+second)
	if *st.DeploymentId != s.deployed || *st.CanarySettings.DeploymentId != second || st.CanarySettings.PercentTraffic != 50 {
		t.Errorf("after deploying to the canary: %+v", st.CanarySettings)
	}

	st = s.mustPatch("prod", promote...)
	if *st.DeploymentId != second || st.Variables["lambdaAlias"] != "staging" || st.CanarySettings.PercentTraffic != 0 {
		t.Errorf("after the promote: %+v, canary %+v", st, st.CanarySettings)
	}
	only("prod", "2")
	if st = s.mustPatch("prod", "remove /canarySettings"); st.CanarySettings != nil {
		t.Errorf("canary settings are still there: %+v", st.CanarySettings)
	}
	only("prod", "2")

	id, err := s.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	s.must(err)
	if *id.Account != "000000000000" {
		t.Errorf("account %s", *id.Account)
	}
	for _, stage := range []string{"prod", "staging", "dev"} {
		_, err := s.gateway.DeleteStage(ctx, &apigateway.DeleteStageInput{RestApiId: &s.api, StageName: &stage})
		s.must(err)
		if g := s.get(stage, "/products"); g.status != 403 {
			t.Errorf("%s is deleted and answers %d", stage, g.status)
		}
	}
	_, err = s.gateway.DeleteRestApi(ctx, &apigateway.DeleteRestApiInput{RestApiId: &s.api})
	s.must(err)
	_, err = s.lambda.DeleteFunction(ctx, &lambda.DeleteFunctionInput{FunctionName: aws.String("getProducts")})
	s.must(err)
	apis, err := s.gateway.GetRestApis(ctx, &apigateway.GetRestApisInput{})
	s.must(err)
	functions, err := s.lambda.ListFunctions(ctx, &lambda.ListFunctionsInput{})
	s.must(err)
	if len(apis.Items) != 0 || len(functions.Functions) != 0 {
		t.Errorf("left behind: %d APIs, %d functions", len(apis.Items), len(functions.Functions))
	}
}
