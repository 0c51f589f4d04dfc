package preflight

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	metrics "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/codedeploy"
	deploys "github.com/aws/aws-sdk-go-v2/service/codedeploy/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"coalmine/scenarios/stage"
)

// services are the AWS services that are only looked at.
type services struct {
	*stage.Client
	metrics *cloudwatch.Client
	deploys *codedeploy.Client
	iam     *iam.Client
}

func newServices(c *stage.Client) services {
	cfg := c.AWS()
	return services{Client: c, metrics: cloudwatch.NewFromConfig(cfg), deploys: codedeploy.NewFromConfig(cfg), iam: iam.NewFromConfig(cfg)}
}

func (s services) limits(ctx context.Context) (limits, error) {
	out, err := s.Gateway().GetAccount(ctx, &apigateway.GetAccountInput{})
	if err != nil {
		return limits{}, stage.Condense(err)
	}
	if out.ThrottleSettings == nil {
		return limits{}, errors.New("GetAccount names no throttle settings")
	}
	return limits{rate: out.ThrottleSettings.RateLimit, burst: int(out.ThrottleSettings.BurstLimit)}, nil
}

func (s services) concurrency(ctx context.Context) (concurrency, error) {
	out, err := s.Lambda().GetAccountSettings(ctx, &lambda.GetAccountSettingsInput{})
	if err != nil {
		return concurrency{}, stage.Condense(err)
	}
	if out.AccountLimit == nil {
		return concurrency{}, errors.New("GetAccountSettings names no limits")
	}
	return concurrency{
		limit:      int(out.AccountLimit.ConcurrentExecutions),
		unreserved: int(aws.ToInt32(out.AccountLimit.UnreservedConcurrentExecutions)),
	}, nil
}

func (s services) reserved(ctx context.Context, function string) (*int, error) {
	out, err := s.Lambda().GetFunctionConcurrency(ctx, &lambda.GetFunctionConcurrencyInput{FunctionName: &function})
	if err != nil {
		return nil, stage.Condense(err)
	}
	if out.ReservedConcurrentExecutions == nil {
		return nil, nil
	}
	return aws.Int(int(*out.ReservedConcurrentExecutions)), nil
}

// usage asks for the last hour, a minute at a time, in one request.
func (s services) usage(ctx context.Context, now time.Time, functions []string, api string) (usage, error) {
	query := func(id, namespace, metric, stat string, dimensions ...metrics.Dimension) metrics.MetricDataQuery {
		return metrics.MetricDataQuery{Id: &id, MetricStat: &metrics.MetricStat{
			Period: aws.Int32(60), Stat: &stat,
			Metric: &metrics.Metric{Namespace: &namespace, MetricName: &metric, Dimensions: dimensions},
		}}
	}
	dimension := func(name, value string) metrics.Dimension { return metrics.Dimension{Name: &name, Value: &value} }
	queries := []metrics.MetricDataQuery{query("account", "AWS/Lambda", "ConcurrentExecutions", "Maximum")}
	for i, name := range functions {
		queries = append(queries, query(fmt.Sprintf("function%d", i), "AWS/Lambda", "ConcurrentExecutions", "Maximum", dimension("FunctionName", name)))
	}
	if api != "" {
		queries = append(queries, query("api", "AWS/ApiGateway", "Count", "Sum", dimension("ApiName", api)))
	}
	out, err := s.metrics.GetMetricData(ctx, &cloudwatch.GetMetricDataInput{
		StartTime: aws.Time(now.Add(-time.Hour)), EndTime: &now, MetricDataQueries: queries,
	})
	if err != nil {
		return usage{}, stage.Condense(err)
	}
	used := usage{concurrent: map[string]int{}}
	for _, result := range out.MetricDataResults {
		most := 0.0 // a metric without values is one of which nothing was counted
		for _, v := range result.Values {
			most = max(most, v)
		}
		id := aws.ToString(result.Id)
		var i int
		switch {
		case id == "account":
			used.concurrent[""] = int(math.Ceil(most))
		case id == "api":
			used.rate = most / 60
		default:
			if _, err := fmt.Sscanf(id, "function%d", &i); err == nil && i < len(functions) {
				used.concurrent[functions[i]] = int(math.Ceil(most))
			}
		}
	}
	return used, nil
}

func (s services) session(ctx context.Context) (session, error) {
	provider := s.AWS().Credentials
	if provider == nil {
		return session{}, errors.New("no credentials")
	}
	c, err := provider.Retrieve(ctx)
	if err != nil {
		return session{}, stage.Condense(err)
	}
	found := session{source: c.Source}
	if c.CanExpire {
		found.ends = c.Expires
	}
	// The SDK does not read this variable, which aws configure export-credentials sets.
	if text := os.Getenv("AWS_CREDENTIAL_EXPIRATION"); text != "" && c.SessionToken != "" && c.SessionToken == os.Getenv("AWS_SESSION_TOKEN") {
		if ends, err := time.Parse(time.RFC3339, text); err == nil {
			found.source, found.ends = config.CredentialsSourceName, ends
		}
	}
	return found, nil
}

// simulate asks IAM which of the actions the principal's policies do not allow on all of the resources. Policies of an
// organization and of the session are not in it.
func (s services) simulate(ctx context.Context, principal string, actions, resources []string) ([]string, error) {
	if principal == "" {
		return nil, errors.New("the caller is neither a user nor a role")
	}
	var denied []string
	pages := iam.NewSimulatePrincipalPolicyPaginator(s.iam, &iam.SimulatePrincipalPolicyInput{
		PolicySourceArn: &principal, ActionNames: actions, ResourceArns: resources,
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, stage.Condense(err)
		}
		for _, result := range page.EvaluationResults {
			if !allowed(result) {
				denied = append(denied, aws.ToString(result.EvalActionName))
			}
		}
	}
	slices.Sort(denied)
	return slices.Compact(denied), nil
}

// allowed looks at each resource's own decision where there are several.
func allowed(r iamtypes.EvaluationResult) bool {
	for _, one := range r.ResourceSpecificResults {
		if one.EvalResourceDecision != iamtypes.PolicyEvaluationDecisionTypeAllowed {
			return false
		}
	}
	return len(r.ResourceSpecificResults) > 0 || r.EvalDecision == iamtypes.PolicyEvaluationDecisionTypeAllowed
}

// How far back, and at how many deployments, is looked.
const (
	movedWithin = 30 * 24 * time.Hour
	movesAsked  = 10
)

// moves finds the deployments that shift one of the functions' aliases, or did lately: those under way first.
func (s services) moves(ctx context.Context, now time.Time, functions []string) ([]move, error) {
	if len(functions) == 0 {
		return nil, nil
	}
	active := []deploys.DeploymentStatus{deploys.DeploymentStatusCreated, deploys.DeploymentStatusQueued, deploys.DeploymentStatusInProgress,
		deploys.DeploymentStatusBaking, deploys.DeploymentStatusReady}
	var all []string
	for _, in := range []*codedeploy.ListDeploymentsInput{
		{IncludeOnlyStatuses: active},
		{IncludeOnlyStatuses: []deploys.DeploymentStatus{deploys.DeploymentStatusSucceeded}, CreateTimeRange: &deploys.TimeRange{Start: aws.Time(now.Add(-movedWithin)), End: &now}},
	} {
		out, err := s.deploys.ListDeployments(ctx, in)
		if err != nil {
			return nil, stage.Condense(err)
		}
		all = append(all, out.Deployments[:min(len(out.Deployments), movesAsked)]...)
	}
	if len(all) == 0 {
		return nil, nil
	}
	out, err := s.deploys.BatchGetDeployments(ctx, &codedeploy.BatchGetDeploymentsInput{DeploymentIds: all})
	if err != nil {
		return nil, stage.Condense(err)
	}
	var found []move
	for _, d := range out.DeploymentsInfo {
		if d.ComputePlatform != deploys.ComputePlatformLambda {
			continue
		}
		for _, name := range functions {
			info, err := s.moved(ctx, d.DeploymentId, name)
			if err != nil {
				return nil, err
			}
			if info != nil {
				found = append(found, move{
					id: aws.ToString(d.DeploymentId), function: name, alias: aws.ToString(info.FunctionAlias),
					status: string(d.Status), active: slices.Contains(active, d.Status), at: aws.ToTime(d.CreateTime),
				})
			}
		}
	}
	return found, nil
}

// moved is what a deployment does to a function; nil: nothing. Lambda's targets are named by their functions.
func (s services) moved(ctx context.Context, deployment *string, function string) (*deploys.LambdaFunctionInfo, error) {
	out, err := s.deploys.BatchGetDeploymentTargets(ctx, &codedeploy.BatchGetDeploymentTargetsInput{DeploymentId: deployment, TargetIds: []string{function}})
	var others *deploys.DeploymentTargetDoesNotExistException
	if errors.As(err, &others) {
		return nil, nil
	}
	if err != nil {
		return nil, stage.Condense(err)
	}
	for _, t := range out.DeploymentTargets {
		if t.LambdaTarget != nil && t.LambdaTarget.LambdaFunctionInfo != nil {
			return t.LambdaTarget.LambdaFunctionInfo, nil
		}
	}
	return nil, nil
}
