package emulator

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/smithy-go"
)

var getProductsName = aws.String("getProducts")

func TestLambdaRefusals(t *testing.T) {
	s := startStack(t, Faults{})
	ctx := context.Background()
	const arn = "arn:aws:lambda:eu-central-1:000000000000:function:getProducts"
	createAlias := func(name, version string, weights map[string]float64) func() error {
		return func() error {
			in := &lambda.CreateAliasInput{FunctionName: getProductsName, Name: &name, FunctionVersion: &version}
			if weights != nil {
				in.RoutingConfig = &types.AliasRoutingConfiguration{AdditionalVersionWeights: weights}
			}
			_, err := s.lambda.CreateAlias(ctx, in)
			return err
		}
	}
	create := func(change func(*lambda.CreateFunctionInput)) func() error {
		return func() error {
			in := &lambda.CreateFunctionInput{FunctionName: aws.String("other"), Role: aws.String(role), Handler: aws.String("bootstrap"),
				Runtime: types.RuntimeProvidedal2023, Code: &types.FunctionCode{ZipFile: zipped("x")}}
			change(in)
			_, err := s.lambda.CreateFunction(ctx, in)
			return err
		}
	}
	tests := []struct {
		name, code, message string
		do                  func() error
	}{
		{"get no alias", "ResourceNotFoundException", "Cannot find alias arn: " + arn + ":nope", func() error {
			_, err := s.lambda.GetAlias(ctx, &lambda.GetAliasInput{FunctionName: getProductsName, Name: aws.String("nope")})
			return err
		}},
		{"update no alias", "ResourceNotFoundException", "Alias not found: " + arn + ":nope", func() error {
			_, err := s.lambda.UpdateAlias(ctx, &lambda.UpdateAliasInput{FunctionName: getProductsName, Name: aws.String("nope")})
			return err
		}},
		{"get no policy", "ResourceNotFoundException", "The resource you requested does not exist.", func() error {
			_, err := s.lambda.GetPolicy(ctx, &lambda.GetPolicyInput{FunctionName: getProductsName})
			return err
		}},
		{"permission twice", "ResourceConflictException", "The statement id (gateway) provided already exists. Please provide a new statement id, or remove the existing statement.", func() error {
			_, err := s.lambda.AddPermission(ctx, &lambda.AddPermissionInput{FunctionName: getProductsName, Qualifier: aws.String("prod"),
				StatementId: aws.String("gateway"), Action: aws.String("lambda:InvokeFunction"), Principal: aws.String("apigateway.amazonaws.com")})
			return err
		}},
		{"permission on no alias", "ResourceNotFoundException", "Cannot find alias arn: " + arn + ":nope", func() error {
			_, err := s.lambda.AddPermission(ctx, &lambda.AddPermissionInput{FunctionName: getProductsName, Qualifier: aws.String("nope"),
				StatementId: aws.String("x"), Action: aws.String("lambda:InvokeFunction"), Principal: aws.String("apigateway.amazonaws.com")})
			return err
		}},
		{"stale alias", "PreconditionFailedException", "", func() error {
			_, err := s.lambda.UpdateAlias(ctx, &lambda.UpdateAliasInput{FunctionName: getProductsName, Name: aws.String("prod"), FunctionVersion: aws.String("2"), RevisionId: aws.String("stale")})
			return err
		}},
		{"alias twice", "ResourceConflictException", "Alias already exists: " + arn + ":prod", createAlias("prod", "1", nil)},
		{"alias of digits", "ValidationException", "", createAlias("123", "1", nil)},
		{"alias of no version", "ResourceNotFoundException", "Function not found: " + arn + ":9", createAlias("x", "9", nil)},
		{"two weights", "InvalidParameterValueException", "Number of items in AdditionalVersionWeights cannot be greater than 1", createAlias("x", "1", map[string]float64{"2": 0.1, "3": 0.1})},
		{"weight on itself", "InvalidParameterValueException", "Invalid function version 1. Function version 1 is already included in routing configuration.", createAlias("x", "1", map[string]float64{"1": 0.1})},
		{"weight over 1", "ValidationException", "", createAlias("x", "1", map[string]float64{"2": 1.1})},
		{"weight on $LATEST", "ValidationException", "", createAlias("x", "1", map[string]float64{"$LATEST": 0.1})},
		{"function twice", "ResourceConflictException", "", create(func(in *lambda.CreateFunctionInput) { in.FunctionName = getProductsName })},
		{"no zip", "InvalidParameterValueException", "Could not unzip uploaded file. Please check your file, then try to upload again.", create(func(in *lambda.CreateFunctionInput) { in.Code.ZipFile = []byte("x") })},
		{"no role", "ValidationException", "", create(func(in *lambda.CreateFunctionInput) { in.Role = aws.String("x") })},
		{"go1.x", "InvalidParameterValueException", "", create(func(in *lambda.CreateFunctionInput) { in.Runtime = types.RuntimeGo1x })},
		{"version behind an alias", "ResourceConflictException", "", func() error {
			_, err := s.lambda.DeleteFunction(ctx, &lambda.DeleteFunctionInput{FunctionName: getProductsName, Qualifier: aws.String("2")})
			return err
		}},
	}
	for _, test := range tests {
		err := test.do()
		var refused smithy.APIError
		if !errors.As(err, &refused) {
			t.Errorf("%s: %v is no refusal", test.name, err)
			continue
		}
		if refused.ErrorCode() != test.code || test.message != "" && refused.ErrorMessage() != test.message {
			t.Errorf("%s:\ngot  %s: %s\nwant %s: %s", test.name, refused.ErrorCode(), refused.ErrorMessage(), test.code, test.message)
		}
	}
}

func TestVersions(t *testing.T) {
	s := startStack(t, Faults{})
	ctx := context.Background()
	publish := func() string {
		t.Helper()
		v, err := s.lambda.PublishVersion(ctx, &lambda.PublishVersionInput{FunctionName: getProductsName})
		s.must(err)
		return *v.Version
	}
	if v := publish(); v != "3" {
		t.Errorf("unchanged code made version %s", v)
	}
	_, err := s.lambda.UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{FunctionName: getProductsName,
		Environment: &types.Environment{Variables: map[string]string{"A": "1"}}})
	s.must(err)
	if v := publish(); v != "4" {
		t.Errorf("changed configuration made version %s", v)
	}
	_, err = s.lambda.DeleteFunction(ctx, &lambda.DeleteFunctionInput{FunctionName: getProductsName, Qualifier: aws.String("4")})
	s.must(err)
	if v := publish(); v != "5" {
		t.Errorf("a number was used again, or version 3 for other settings: %s", v)
	}
	for name, wait := range map[string]func() error{
		"active": func() error {
			return lambda.NewFunctionActiveV2Waiter(s.lambda).Wait(ctx, &lambda.GetFunctionInput{FunctionName: getProductsName}, time.Second)
		},
		"updated": func() error {
			return lambda.NewFunctionUpdatedV2Waiter(s.lambda).Wait(ctx, &lambda.GetFunctionInput{FunctionName: getProductsName}, time.Second)
		},
		"published": func() error {
			return lambda.NewPublishedVersionActiveWaiter(s.lambda).Wait(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: getProductsName, Qualifier: aws.String("2")}, time.Second)
		},
	} {
		if err := wait(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAliasRevision(t *testing.T) {
	s := startStack(t, Faults{})
	ctx := context.Background()
	a, err := s.lambda.GetAlias(ctx, &lambda.GetAliasInput{FunctionName: getProductsName, Name: aws.String("prod")})
	s.must(err)
	up, err := s.lambda.UpdateAlias(ctx, &lambda.UpdateAliasInput{FunctionName: getProductsName, Name: aws.String("prod"), RevisionId: a.RevisionId,
		RoutingConfig: &types.AliasRoutingConfiguration{AdditionalVersionWeights: map[string]float64{"2": 0.5}}})
	s.must(err)
	if *up.RevisionId == *a.RevisionId || *up.FunctionVersion != "1" {
		t.Errorf("revision %s after %s, version %s", *up.RevisionId, *a.RevisionId, *up.FunctionVersion)
	}
	if seen := s.versions("prod", 100); len(seen) != 2 || seen["2"] < 25 || seen["2"] > 75 {
		t.Errorf("an alias weighted 0.5: %v", seen)
	}
	up, err = s.lambda.UpdateAlias(ctx, &lambda.UpdateAliasInput{FunctionName: getProductsName, Name: aws.String("prod"), FunctionVersion: aws.String("2"),
		RoutingConfig: &types.AliasRoutingConfiguration{AdditionalVersionWeights: map[string]float64{}}})
	s.must(err)
	if up.RoutingConfig != nil {
		t.Errorf("an empty map left %+v", up.RoutingConfig)
	}
	if seen := s.versions("prod", 20); seen["2"] != 20 {
		t.Errorf("after the shift: %v", seen)
	}
}

func TestPolicy(t *testing.T) {
	s := startStack(t, Faults{})
	ctx := context.Background()
	p, err := s.lambda.GetPolicy(ctx, &lambda.GetPolicyInput{FunctionName: getProductsName, Qualifier: aws.String("staging")})
	s.must(err)
	var document struct {
		Statement []struct {
			Sid, Effect, Action, Resource string
			Principal                     map[string]string
			Condition                     map[string]map[string]string
		}
	}
	s.must(json.Unmarshal([]byte(*p.Policy), &document))
	st := document.Statement[0]
	if st.Principal["Service"] != "apigateway.amazonaws.com" || !strings.HasSuffix(st.Resource, ":getProducts:staging") ||
		st.Condition["ArnLike"]["AWS:SourceArn"] != "arn:aws:execute-api:eu-central-1:000000000000:"+s.api+"/*/GET/products" {
		t.Errorf("%+v", st)
	}
	// One alias's permission is that alias's alone.
	_, err = s.lambda.RemovePermission(ctx, &lambda.RemovePermissionInput{FunctionName: getProductsName, Qualifier: aws.String("staging"), StatementId: aws.String("gateway")})
	s.must(err)
	if a, b := s.get("staging", "/products").status, s.get("prod", "/products").status; a != 500 || b != 200 {
		t.Errorf("staging answers %d, prod %d", a, b)
	}
}

// TestPermission: what a statement must say before the gateway may invoke the alias.
func TestPermission(t *testing.T) {
	s := startStack(t, Faults{})
	ctx := context.Background()
	_, err := s.lambda.RemovePermission(ctx, &lambda.RemovePermissionInput{FunctionName: getProductsName, Qualifier: aws.String("prod"), StatementId: aws.String("gateway")})
	s.must(err)
	mine := "arn:aws:execute-api:eu-central-1:000000000000:" + s.api + "/"
	for _, test := range []struct {
		name, qualifier, principal, source, account string
		status                                      int
	}{
		{"right", "prod", "apigateway.amazonaws.com", mine + "*/GET/products", account, 200},
		{"no source", "prod", "apigateway.amazonaws.com", "", "", 200},
		{"another service", "prod", "events.amazonaws.com", mine + "*/GET/products", "", 500},
		{"another stage", "prod", "apigateway.amazonaws.com", mine + "dev/GET/products", "", 500},
		{"another verb", "prod", "apigateway.amazonaws.com", mine + "*/POST/products", "", 500},
		{"another API", "prod", "apigateway.amazonaws.com", "arn:aws:execute-api:eu-central-1:000000000000:other/*", "", 500},
		{"another account", "prod", "apigateway.amazonaws.com", mine + "*", "111111111111", 500},
		{"another alias", "dev", "apigateway.amazonaws.com", mine + "*", "", 500},
		{"the function itself", "", "apigateway.amazonaws.com", mine + "*", "", 500},
	} {
		in := &lambda.AddPermissionInput{FunctionName: getProductsName, StatementId: aws.String("tried"), Action: aws.String("lambda:InvokeFunction"), Principal: &test.principal}
		for to, value := range map[**string]string{&in.Qualifier: test.qualifier, &in.SourceArn: test.source, &in.SourceAccount: test.account} {
			if value != "" {
				*to = &value
			}
		}
		_, err := s.lambda.AddPermission(ctx, in)
		s.must(err)
		if g := s.get("prod", "/products"); g.status != test.status {
			t.Errorf("%s: %d, want %d", test.name, g.status, test.status)
		}
		_, err = s.lambda.RemovePermission(ctx, &lambda.RemovePermissionInput{FunctionName: getProductsName, Qualifier: in.Qualifier, StatementId: in.StatementId})
		s.must(err)
	}
}

func TestArnLike(t *testing.T) {
	const source = "arn:aws:execute-api:eu-central-1:000000000000:abc/prod/GET/products"
	for pattern, want := range map[string]bool{
		source: true,
		"arn:aws:execute-api:eu-central-1:000000000000:abc/*/GET/products": true,
		"arn:aws:execute-api:eu-central-1:000000000000:abc/*":              true,
		"arn:aws:execute-api:*:*:*":                                        true,
		"arn:aws:execute-api:eu-central-1:000000000000:abc/*/POST/*":       false,
		"arn:aws:execute-api:eu-central-1:000000000000:xyz/*":              false,
		"arn:aws:execute-api:eu-west-1:000000000000:abc/*":                 false,
		"arn:aws:execute-api:eu-central-1:000000000000:abc/????/GET/*":     true,
		"arn:aws:execute-api:eu-central-1:000000000000:abc/???/GET/*":      false,
		"arn:aws:execute-api*":                                             false, // a star does not reach over the parts
		"*":                                                                false,
		"":                                                                 false,
	} {
		if got := arnLike(pattern, source); got != want {
			t.Errorf("arnLike(%q) is %v", pattern, got)
		}
	}
}

func TestTags(t *testing.T) {
	s := startStack(t, Faults{})
	ctx := context.Background()
	apiARN := aws.String("arn:aws:apigateway:eu-central-1::/restapis/" + s.api)
	stageARN := aws.String(*apiARN + "/stages/prod")
	functionARN := aws.String("arn:aws:lambda:eu-central-1:000000000000:function:getProducts")
	check := func(what string, got map[string]string, want map[string]string) {
		t.Helper()
		if !maps.Equal(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	of := func(arn *string) map[string]string {
		t.Helper()
		out, err := s.gateway.GetTags(ctx, &apigateway.GetTagsInput{ResourceArn: arn})
		s.must(err)
		return out.Tags
	}
	made := map[string]string{"made-by": "test"}
	both := map[string]string{"made-by": "test", "more": "1"}
	check("API", of(apiARN), made)
	_, err := s.gateway.TagResource(ctx, &apigateway.TagResourceInput{ResourceArn: apiARN, Tags: map[string]string{"more": "1"}})
	s.must(err)
	_, err = s.gateway.TagResource(ctx, &apigateway.TagResourceInput{ResourceArn: stageARN, Tags: made})
	s.must(err)
	check("API", of(apiARN), both)
	check("stage", of(stageARN), made)
	_, err = s.gateway.UntagResource(ctx, &apigateway.UntagResourceInput{ResourceArn: apiARN, TagKeys: []string{"made-by"}})
	s.must(err)
	api, err := s.gateway.GetRestApi(ctx, &apigateway.GetRestApiInput{RestApiId: &s.api})
	s.must(err)
	check("API", api.Tags, map[string]string{"more": "1"})

	_, err = s.lambda.TagResource(ctx, &lambda.TagResourceInput{Resource: functionARN, Tags: map[string]string{"more": "1"}})
	s.must(err)
	tags, err := s.lambda.ListTags(ctx, &lambda.ListTagsInput{Resource: functionARN})
	s.must(err)
	check("function", tags.Tags, both)
	_, err = s.lambda.UntagResource(ctx, &lambda.UntagResourceInput{Resource: functionARN, TagKeys: []string{"more"}})
	s.must(err)
	f, err := s.lambda.GetFunction(ctx, &lambda.GetFunctionInput{FunctionName: functionARN})
	s.must(err)
	check("function", f.Tags, made)
}

func TestInvoke(t *testing.T) {
	s := startStack(t, Faults{Versions: map[string]Version{"3": {Crashes: 1}}})
	for _, test := range []struct{ qualifier, executed, failed string }{
		{"staging", "2", ""}, {"1", "1", ""}, {"$LATEST", "$LATEST", ""}, {"dev", "3", "Unhandled"},
	} {
		out, err := s.lambda.Invoke(context.Background(), &lambda.InvokeInput{FunctionName: getProductsName, Qualifier: &test.qualifier, Payload: []byte(`{"x":1}`)})
		s.must(err)
		if *out.ExecutedVersion != test.executed || aws.ToString(out.FunctionError) != test.failed || !json.Valid(out.Payload) {
			t.Errorf("%s: version %s, error %q, %s", test.qualifier, *out.ExecutedVersion, aws.ToString(out.FunctionError), out.Payload)
		}
	}
}
