package emulator

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	metrictypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/codedeploy"
	deploytypes "github.com/aws/aws-sdk-go-v2/service/codedeploy/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

func TestSimulatePrincipalPolicy(t *testing.T) {
	s := start(t, Faults{Control: Control{Deny: []string{"apigateway:PATCH", "lambda:Update*"}}})
	client := iam.NewFromConfig(s.config)
	ctx := context.Background()
	who, err := s.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	s.must(err)
	in := &iam.SimulatePrincipalPolicyInput{PolicySourceArn: who.Arn,
		ActionNames: []string{"apigateway:GET", "apigateway:PATCH", "lambda:UpdateAlias"}, ResourceArns: []string{"arn:a", "arn:b"}}
	got := map[string]iamtypes.PolicyEvaluationDecisionType{}
	in.MaxItems = aws.Int32(2)
	pages := 0
	for p := iam.NewSimulatePrincipalPolicyPaginator(client, in); p.HasMorePages(); pages++ {
		page, err := p.NextPage(ctx)
		s.must(err)
		for _, r := range page.EvaluationResults {
			got[*r.EvalActionName] = r.EvalDecision
			if len(r.ResourceSpecificResults) != 2 || r.ResourceSpecificResults[1].EvalResourceDecision != r.EvalDecision || *r.ResourceSpecificResults[1].EvalResourceName != "arn:b" {
				t.Errorf("%+v", r.ResourceSpecificResults)
			}
		}
	}
	if want := "map[apigateway:GET:allowed apigateway:PATCH:explicitDeny lambda:UpdateAlias:explicitDeny]"; fmt.Sprint(got) != want || pages != 2 {
		t.Errorf("in %d pages: %v", pages, got)
	}
	simulate := func(arn string, actions ...string) error {
		_, err := client.SimulatePrincipalPolicy(ctx, &iam.SimulatePrincipalPolicyInput{PolicySourceArn: &arn, ActionNames: actions})
		return err
	}
	var none *iamtypes.NoSuchEntityException
	if err := simulate("arn:aws:iam::000000000000:role/other", "lambda:GetAlias"); !errors.As(err, &none) {
		t.Error(err)
	}
	if err := simulate(*who.Arn, "nothing"); code(err) != "InvalidInput" {
		t.Error(err)
	}

	// A session of a role is nobody that could be simulated: its role is.
	s.must(s.server.SetFaults(Faults{Control: Control{Role: "ci", Deny: []string{"lambda:*"}}}))
	who, err = s.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if s.must(err); *who.Arn != "arn:aws:sts::000000000000:assumed-role/ci/session" {
		t.Error(*who.Arn)
	}
	if err := simulate(*who.Arn, "lambda:GetAlias"); code(err) != "InvalidInput" {
		t.Error(err)
	}
	s.must(simulate("arn:aws:iam::000000000000:role/ci", "lambda:GetAlias"))
	if _, err := s.lambda.ListFunctions(ctx, &lambda.ListFunctionsInput{}); err == nil || !strings.Contains(err.Error(), "User: "+*who.Arn+" is not authorized") {
		t.Error(err)
	}
	s.must(s.server.SetFaults(Faults{Control: Control{Deny: []string{"iam:*"}}}))
	if err := simulate(callerARN, "lambda:GetAlias"); code(err) != "AccessDenied" {
		t.Error(err)
	}
}

func TestCodeDeploy(t *testing.T) {
	s := startStack(t, Faults{CodeDeploy: []Deployment{
		{Function: "getProducts", Alias: "prod", Status: "InProgress"},
		{Function: "other", Alias: "live", Status: "Succeeded", Age: 48 * time.Hour},
	}})
	client := codedeploy.NewFromConfig(s.config)
	ctx := context.Background()
	list := func(in *codedeploy.ListDeploymentsInput) []string {
		t.Helper()
		out, err := client.ListDeployments(ctx, in)
		s.must(err)
		return out.Deployments
	}
	all := list(&codedeploy.ListDeploymentsInput{})
	if len(all) != 2 || all[0] == all[1] {
		t.Fatal(all)
	}
	active := list(&codedeploy.ListDeploymentsInput{IncludeOnlyStatuses: []deploytypes.DeploymentStatus{"InProgress", "Created"}})
	recent := list(&codedeploy.ListDeploymentsInput{CreateTimeRange: &deploytypes.TimeRange{Start: aws.Time(time.Now().Add(-time.Hour)), End: aws.Time(time.Now().Add(time.Hour))}})
	if !slices.Equal(active, all[:1]) || !slices.Equal(recent, all[:1]) {
		t.Errorf("active %v, recent %v of %v", active, recent, all)
	}
	out, err := client.BatchGetDeployments(ctx, &codedeploy.BatchGetDeploymentsInput{DeploymentIds: append(all, "d-NONE")})
	s.must(err)
	if len(out.DeploymentsInfo) != 2 || out.DeploymentsInfo[0].ComputePlatform != "Lambda" || out.DeploymentsInfo[1].Status != "Succeeded" ||
		time.Since(*out.DeploymentsInfo[1].CreateTime) < 47*time.Hour {
		t.Errorf("%+v", out.DeploymentsInfo)
	}
	targets, err := client.ListDeploymentTargets(ctx, &codedeploy.ListDeploymentTargetsInput{DeploymentId: &all[0]})
	s.must(err)
	_, err = s.lambda.UpdateAlias(ctx, &lambda.UpdateAliasInput{FunctionName: aws.String("getProducts"), Name: aws.String("prod"), RoutingConfig: &lambdatypes.AliasRoutingConfiguration{AdditionalVersionWeights: map[string]float64{"2": 0.1}}})
	s.must(err)
	info, err := client.BatchGetDeploymentTargets(ctx, &codedeploy.BatchGetDeploymentTargetsInput{DeploymentId: &all[0], TargetIds: targets.TargetIds})
	s.must(err)
	f := info.DeploymentTargets[0].LambdaTarget.LambdaFunctionInfo
	if got := fmt.Sprint(*f.FunctionName, " ", *f.FunctionAlias, " ", *f.CurrentVersion, " ", *f.TargetVersion, " ", f.TargetVersionWeight); got != "getProducts prod 1 2 10" {
		t.Error(got)
	}
	var none *deploytypes.DeploymentTargetDoesNotExistException
	if _, err := client.BatchGetDeploymentTargets(ctx, &codedeploy.BatchGetDeploymentTargetsInput{DeploymentId: &all[0], TargetIds: []string{"other"}}); !errors.As(err, &none) {
		t.Error(err)
	}
	var unknown *deploytypes.DeploymentDoesNotExistException
	if _, err := client.ListDeploymentTargets(ctx, &codedeploy.ListDeploymentTargetsInput{DeploymentId: aws.String("d-NONE")}); !errors.As(err, &unknown) {
		t.Error(err)
	}
	s.must(s.server.SetFaults(Faults{}))
	if all := list(&codedeploy.ListDeploymentsInput{}); len(all) != 0 {
		t.Error(all)
	}
}

func (s *stack) metric(in *cloudwatch.GetMetricDataInput, namespace, name, stat string, dimensions ...string) ([]float64, error) {
	of := &metrictypes.Metric{Namespace: &namespace, MetricName: &name}
	for i := 0; i < len(dimensions); i += 2 {
		of.Dimensions = append(of.Dimensions, metrictypes.Dimension{Name: &dimensions[i], Value: &dimensions[i+1]})
	}
	if in == nil {
		in = &cloudwatch.GetMetricDataInput{StartTime: aws.Time(time.Now().Add(-time.Hour)), EndTime: aws.Time(time.Now().Add(time.Minute))}
	}
	in.MetricDataQueries = []metrictypes.MetricDataQuery{{Id: aws.String("m"), MetricStat: &metrictypes.MetricStat{Metric: of, Period: aws.Int32(60), Stat: &stat}}}
	out, err := cloudwatch.NewFromConfig(s.config).GetMetricData(context.Background(), in)
	if err != nil {
		return nil, err
	}
	r := out.MetricDataResults[0]
	if len(r.Timestamps) != len(r.Values) || *r.Id != "m" || r.StatusCode != "Complete" {
		s.Errorf("%+v", r)
	}
	for _, at := range r.Timestamps {
		if at.Second() != 0 || time.Since(at) > time.Hour {
			s.Errorf("a value at %v", at)
		}
	}
	return r.Values, nil
}

// sum or maximum of what may be in two minutes, if the test ran over the end of one.
func total(values []float64) (sum float64) {
	for _, v := range values {
		sum += v
	}
	return sum
}

func TestMetrics(t *testing.T) {
	s := startStack(t, Faults{Seed: 5})
	s.canary("50.0")
	release := s.hold(s.gate(), "dev", 4)
	release()
	canaries := 0
	for range 30 {
		if strings.HasSuffix(s.get("prod", "/products").body, "2") {
			canaries++
		}
	}
	get := func(namespace, name, stat string, dimensions ...string) []float64 {
		t.Helper()
		values, err := s.metric(nil, namespace, name, stat, dimensions...)
		s.must(err)
		return values
	}
	for _, c := range []struct {
		want   float64
		values []float64
	}{
		{30, get("AWS/ApiGateway", "Count", "Sum", "ApiName", "products", "Stage", "prod")},
		{float64(canaries), get("AWS/ApiGateway", "Count", "Sum", "ApiName", "products", "Stage", "prod/Canary")},
		{34, get("AWS/ApiGateway", "Count", "Sum", "ApiName", "products")},
		{0, get("AWS/ApiGateway", "Count", "Sum", "ApiName", "other")},
		{0, get("AWS/Nothing", "Count", "Sum")},
		{4, []float64{slices.Max(get("AWS/Lambda", "ConcurrentExecutions", "Maximum"))}},
		{4, []float64{slices.Max(get("AWS/Lambda", "ConcurrentExecutions", "Maximum", "FunctionName", "getProducts"))}},
		{0, get("AWS/Lambda", "ConcurrentExecutions", "Maximum", "FunctionName", "other")},
	} {
		if total(c.values) != c.want {
			t.Errorf("%v, want %v", c.values, c.want)
		}
	}
	old := &cloudwatch.GetMetricDataInput{StartTime: aws.Time(time.Now().Add(-3 * time.Hour)), EndTime: aws.Time(time.Now().Add(-2 * time.Hour))}
	if values, err := s.metric(old, "AWS/ApiGateway", "Count", "Sum", "ApiName", "products"); err != nil || len(values) != 0 {
		t.Errorf("hours ago: %v, %v", values, err)
	}
	if _, err := s.metric(nil, "AWS/Lambda", "ConcurrentExecutions", "Average"); code(err) != "InvalidParameterValue" {
		t.Errorf("an average: %v", err)
	}
	s.must(s.server.SetFaults(Faults{Control: Control{Deny: []string{"cloudwatch:GetMetricData"}}}))
	if _, err := s.metric(nil, "AWS/Lambda", "ConcurrentExecutions", "Maximum"); code(err) != "AccessDenied" || !strings.Contains(err.Error(), "cloudwatch:GetMetricData") {
		t.Errorf("denied: %v", err)
	}
}

func TestMinutes(t *testing.T) {
	var m minutes
	for range 3 {
		m.count(100)
	}
	m.count(101)
	m.max(102, 7)
	m.max(102, 4)
	for minute, want := range map[int64]uint64{100: 3, 101: 1, 102: 7} {
		if got, known := m.at(minute); !known || got != want {
			t.Errorf("minute %d: %d, %v", minute, got, known)
		}
	}
	m.count(160)
	m.count(100) // an hour late
	if got, known := m.at(160); !known || got != 1 {
		t.Errorf("an hour on: %d, %v", got, known)
	}
	if _, known := m.at(100); known {
		t.Error("an hour ago is still known")
	}
}

// TestPoints: periods of several minutes, and only those that have anything.
func TestPoints(t *testing.T) {
	var a, b minutes
	now := time.Unix(100*60+30, 0)
	for minute, n := range map[int64]int{90: 1, 91: 2, 93: 4, 100: 8} {
		for range n {
			a.count(minute)
		}
	}
	b.count(91)
	want := metricRequest{StartTime: 60 * 60, EndTime: 101 * 60}
	for _, c := range []struct {
		maximum bool
		period  int64
		want    string
	}{
		{false, 1, "[90:1 91:3 93:4 100:8]"},
		{false, 5, "[90:8 100:8]"},
		{true, 5, "[90:4 100:8]"},
	} {
		times, values := points([]*minutes{&a, &b}, c.maximum, want, c.period, now)
		var got []string
		for i := range times {
			got = append(got, fmt.Sprintf("%v:%v", times[i]/60, values[i]))
		}
		if fmt.Sprint(got) != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// TestMetricsCLI: the AWS CLI asks in JSON, where the SDKs ask in CBOR.
func TestMetricsCLI(t *testing.T) {
	if testing.Short() {
		t.Skip("the AWS CLI takes seconds")
	}
	if _, err := exec.LookPath("aws"); err != nil {
		t.Skip("the AWS CLI is not installed: the independent check of CloudWatch is left out")
	}
	t.Parallel()
	s := startStack(t, Faults{})
	s.get("prod", "/products")
	now := time.Now().UTC()
	cmd := exec.Command("aws", "--endpoint-url", s.server.URL(), "--output", "text", "cloudwatch", "get-metric-data",
		"--start-time", now.Add(-10*time.Minute).Format(time.RFC3339), "--end-time", now.Add(time.Minute).Format(time.RFC3339),
		"--query", "MetricDataResults[].Values[]", "--metric-data-queries",
		`[{"Id":"m","MetricStat":{"Metric":{"Namespace":"AWS/ApiGateway","MetricName":"Count","Dimensions":[{"Name":"ApiName","Value":"products"}]},"Period":60,"Stat":"Sum"}}]`)
	cmd.Env = clientEnv(t)
	if out, err := cmd.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "1.0" {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestServicesBoto3 covers CloudWatch Logs, CloudWatch, CodeDeploy and IAM in one process: boto3 takes its time to start.
func TestServicesBoto3(t *testing.T) {
	if testing.Short() {
		t.Skip("boto3 takes seconds")
	}
	if exec.Command("python3", "-c", "import boto3").Run() != nil {
		t.Skip("python3 with boto3 is not installed: the independent check of CloudWatch, CodeDeploy and IAM is left out")
	}
	t.Parallel()
	s := startStack(t, Faults{CodeDeploy: []Deployment{{Function: "getProducts", Alias: "prod", Status: "InProgress"}}, Control: Control{Deny: []string{"lambda:UpdateAlias"}}})
	s.logAccess("prod", "access")
	for range 30 {
		s.get("prod", "/products")
	}
	cmd := exec.Command("python3", "testdata/services.py", s.server.URL())
	cmd.Env = clientEnv(t)
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "ok\n" {
		t.Fatalf("%v\n%s", err, out)
	}
}
