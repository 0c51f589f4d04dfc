package emulator

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
)

// once asks as the SDK does, but without its retries.
func once[O any](o *O) {
	switch o := any(o).(type) {
	case *apigateway.Options:
		o.RetryMaxAttempts = 1
	case *lambda.Options:
		o.RetryMaxAttempts = 1
	case *sts.Options:
		o.RetryMaxAttempts = 1
	}
}

// TestControlFaults: the fault, the request, and what the SDK makes of the answer.
func TestControlFaults(t *testing.T) {
	s := startStack(t, Faults{})
	ctx := context.Background()
	readStage := func() error {
		_, err := s.gateway.GetStage(ctx, &apigateway.GetStageInput{RestApiId: &s.api, StageName: aws.String("prod")}, once)
		return err
	}
	patchStage := func() error {
		_, err := s.patch("prod", "replace /description x")
		return err
	}
	updateAlias := func() error {
		_, err := s.lambda.UpdateAlias(ctx, &lambda.UpdateAliasInput{FunctionName: aws.String("getProducts"), Name: aws.String("prod")}, once)
		return err
	}
	getPolicy := func() error {
		_, err := s.lambda.GetPolicy(ctx, &lambda.GetPolicyInput{FunctionName: aws.String("getProducts"), Qualifier: aws.String("prod")}, once)
		return err
	}
	whoAmI := func() error {
		_, err := s.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}, once)
		return err
	}
	stage := "arn:aws:apigateway:eu-central-1::/restapis/" + s.api + "/stages/prod"
	function := "arn:aws:lambda:eu-central-1:000000000000:function:getProducts"
	refused := func(action, on string) string {
		return "User: arn:aws:iam::000000000000:user/emulator is not authorized to perform: " + action + " on resource: " + on +
			" because no identity-based policy allows the " + action + " action"
	}
	deny := func(actions ...string) Control { return Control{Deny: actions} }
	const spent = "The security token included in the request is expired"
	for _, test := range []struct {
		evidence
		name    string
		faults  Control
		do      func() error
		code    string // "": it goes through
		message string
	}{
		{ranOnce, "denied", deny("apigateway:PATCH"), patchStage, "AccessDeniedException", refused("apigateway:PATCH", stage)},
		{ranOnce, "denied, but not to read", deny("apigateway:PATCH"), readStage, "", ""},
		{ranOnce, "denied by a wildcard", deny("apigateway:*"), readStage, "AccessDeniedException", refused("apigateway:GET", stage)},
		{ranOnce, "denied everything", deny("*"), updateAlias, "AccessDeniedException", refused("lambda:UpdateAlias", function)},
		{ranOnce, "denied in another case", deny("LAMBDA:update?lias"), updateAlias, "AccessDeniedException", refused("lambda:UpdateAlias", function)},
		{ranOnce, "denied on an alias", deny("lambda:Get*"), getPolicy, "AccessDeniedException", refused("lambda:GetPolicy", function+":prod")},
		{ranOnce, "denied, but not this operation", deny("lambda:GetPolicy", "apigateway:*"), updateAlias, "", ""},
		{documented, "nobody is denied their name", deny("*"), whoAmI, "", ""},
		{thirdParty, "expired", Control{Expired: true}, readStage, "ExpiredTokenException", spent},
		{thirdParty, "expired for Lambda", Control{Expired: true}, getPolicy, "ExpiredTokenException", spent},
		{thirdParty, "expired for STS", Control{Expired: true}, whoAmI, "ExpiredToken", spent},
		{thirdParty, "expired long ago", Control{ExpireAfter: 1}, readStage, "ExpiredTokenException", spent},
		{thirdParty, "expires later", Control{ExpireAfter: time.Hour}, readStage, "", ""},
		{recorded, "a conflict", Control{Conflicts: 1}, patchStage, "ConflictException", "Unable to complete operation due to concurrent modification. Please try again later."},
		{recorded, "a conflict, but not for readers", Control{Conflicts: 1}, readStage, "", ""},
		{recorded, "a conflict, but not of Lambda", Control{Conflicts: 1}, updateAlias, "", ""},
		{documented, "a clock a little off", Control{ClockSkew: 4 * time.Minute}, readStage, "", ""},
	} {
		fact(t, test.evidence, test.name, func(t *testing.T) {
			s.must(s.server.SetFaults(Faults{Control: test.faults}))
			err := test.do()
			var refusal smithy.APIError
			switch {
			case test.code == "" && err != nil:
				t.Errorf("refused: %v", err)
			case test.code != "" && !errors.As(err, &refusal):
				t.Errorf("not refused: %v", err)
			case test.code != "" && (refusal.ErrorCode() != test.code || refusal.ErrorMessage() != test.message):
				t.Errorf("\ngot  %s: %s\nwant %s: %s", refusal.ErrorCode(), refusal.ErrorMessage(), test.code, test.message)
			}
		})
	}
}

// TestConflictsAreCounted: that many changes fail, the next one works, and faults that are set anew begin anew.
func TestConflictsAreCounted(t *testing.T) {
	s := startStack(t, Faults{})
	for range 2 {
		s.must(s.server.SetFaults(Faults{Control: Control{Conflicts: 2}}))
		var got []int
		for range 4 {
			status, _, _ := s.raw("PATCH", "/restapis/"+s.api+"/stages/prod", `{"patchOperations":[{"op":"replace","path":"/description","value":"x"}]}`)
			got = append(got, status)
		}
		if fmt.Sprint(got) != "[409 409 200 200]" {
			t.Errorf("statuses %v", got)
		}
	}
}

// TestControlThrottle: what exceeds the rate says when to come back, in each service's own words.
func TestControlThrottle(t *testing.T) {
	s := startStack(t, Faults{})
	s.must(s.server.SetFaults(Faults{Control: Control{Throttle: 1e-6}}))
	for i, test := range []struct{ path, body string }{
		{"/account", ""}, // the one token
		{"/account", `{"message":"Too Many Requests"}`},
		{"/2015-03-31/functions", `{"Reason":"CallerRateLimitExceeded","Type":"User","message":"Rate exceeded"}`},
	} {
		status, header, body := s.raw("GET", test.path, "")
		if i == 0 {
			if status != 200 {
				t.Errorf("the first request: %d %s", status, body)
			}
			continue
		}
		if status != 429 || header.Get("X-Amzn-Errortype") != "TooManyRequestsException" || header.Get("Retry-After") != "1" || body != test.body {
			t.Errorf("%s: %d %v %s", test.path, status, header, body)
		}
	}
	if g := s.get("prod", "/products"); g.status != 200 {
		t.Errorf("the data plane is throttled, too: %d", g.status)
	}
}

// TestQuotas: CreateDeployment has one of its own, and the rest of API Gateway shares one.
func TestQuotas(t *testing.T) {
	s := startStack(t, Faults{})
	s.must(s.server.SetFaults(Faults{Control: Control{Quotas: true}}))
	deployments := "/restapis/" + s.api + "/deployments"
	if status, _, body := s.raw("POST", deployments, "{}"); status != 201 {
		t.Fatalf("the first deployment: %d %s", status, body)
	}
	status, header, _ := s.raw("POST", deployments, "{}")
	if after := header.Get("Retry-After"); status != 429 || after < "1" || after > "5" || len(after) != 1 {
		t.Errorf("the second deployment: %d, Retry-After %q", status, after)
	}
	if status, _, _ := s.raw("GET", deployments, ""); status != 200 {
		t.Errorf("reading deployments: %d", status)
	}
	s.must(s.server.SetFaults(Faults{Control: Control{Quotas: true, Expired: false}}))
	if status, _, _ := s.raw("POST", deployments, "{}"); status != 429 {
		t.Errorf("setting the same faults filled the bucket again: %d", status)
	}
	q := newQuotas()
	for pattern, want := range map[string]int{"": 40, "POST /restapis/{api}/deployments": 1, "GET /restapis/{api}/resources": 5} {
		n := 0
		for q[pattern].allow(time.Hour) {
			n++
		}
		if n != want {
			t.Errorf("quota %q: a burst of %d, want %d", pattern, n, want)
		}
	}
	if b := q["POST /restapis/{api}/deployments"]; b.wait(time.Hour) != 5*time.Second || b.wait(time.Hour+5*time.Second) != 0 {
		t.Errorf("the next deployment: in %v", b.wait(time.Hour))
	}
}

func TestClockSkew(t *testing.T) {
	at := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	for stamp, want := range map[string]string{
		"20260102T115459Z": "Signature expired: 20260102T115459Z is now earlier than 20260102T115500Z (20260102T120000Z - 5 min.)",
		"20260102T115500Z": "",
		"20260102T120500Z": "",
		"20260102T120501Z": "Signature not yet current: 20260102T120501Z is still later than 20260102T120500Z (20260102T120000Z + 5 min.)",
		"":                 "",
		"yesterday":        "",
	} {
		got := ""
		if err := signedInTime(&http.Request{Header: http.Header{"X-Amz-Date": {stamp}}}, at); err != nil {
			got = err.(*refusal).text()
		}
		if got != want {
			t.Errorf("%q: %q, want %q", stamp, got, want)
		}
	}

	s := startStack(t, Faults{})
	read := func(o ...func(*apigateway.Options)) error {
		_, err := s.gateway.GetAccount(context.Background(), &apigateway.GetAccountInput{}, o...)
		return err
	}
	for _, skew := range []time.Duration{10 * time.Minute, -10 * time.Minute} {
		s.must(s.server.SetFaults(Faults{Control: Control{ClockSkew: skew}}))
		var refused smithy.APIError
		if err := read(once); !errors.As(err, &refused) || refused.ErrorCode() != "InvalidSignatureException" {
			t.Errorf("%v ahead: %v", skew, err)
		}
		if err := read(); err != nil { // the SDK goes by the refusal's Date and signs again
			t.Errorf("%v ahead, with retries: %v", skew, err)
		}
	}
}

// TestLambdaActions: an operation without its IAM name would be taken for one of API Gateway's.
func TestLambdaActions(t *testing.T) {
	for pattern := range controlOperations {
		if _, path, _ := strings.Cut(pattern, " "); strings.HasPrefix(path, "/20") && lambdaActions[pattern] == "" {
			t.Errorf("%s has no line in lambdaActions", pattern)
		}
	}
}

// TestTagsOfAWS: CloudFormation's tags are not for everybody to make, and no way to make a tag goes around that.
func TestTagsOfAWS(t *testing.T) {
	s := startStack(t, Faults{})
	ctx := context.Background()
	mine := map[string]string{"aws:cloudformation:stack-name": "products"}
	arn := "arn:aws:apigateway:eu-central-1::/restapis/" + s.api + "/stages/prod"
	ways := map[string]func() error{
		"TagResource": func() error {
			_, err := s.gateway.TagResource(ctx, &apigateway.TagResourceInput{ResourceArn: &arn, Tags: mine})
			return err
		},
		"CreateStage": func() error {
			_, err := s.gateway.CreateStage(ctx, &apigateway.CreateStageInput{RestApiId: &s.api, StageName: aws.String("tagged"), DeploymentId: &s.deployed, Tags: mine})
			return err
		},
		"CreateRestApi": func() error {
			_, err := s.gateway.CreateRestApi(ctx, &apigateway.CreateRestApiInput{Name: aws.String("tagged"), Tags: mine})
			return err
		},
	}
	for name, do := range ways {
		var refused smithy.APIError
		if err := do(); !errors.As(err, &refused) || refused.ErrorCode() != "BadRequestException" {
			t.Errorf("%s took the tag: %v", name, err)
		}
	}
	s.must(s.server.SetFaults(Faults{Control: Control{AWSTags: true}}))
	for name, do := range ways {
		if err := do(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	st, err := s.gateway.GetStage(ctx, &apigateway.GetStageInput{RestApiId: &s.api, StageName: aws.String("prod")})
	s.must(err)
	if st.Tags["aws:cloudformation:stack-name"] != "products" {
		t.Errorf("the stage has %v", st.Tags)
	}
}
