package stage

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigateway/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
)

// Target is who should answer a method, by what the stage, the integration and
// the aliases say. The canary's fields are empty when the stage has none.
type Target struct {
	State           State    `json:"state"`
	Function        string   `json:"function"`                  // name
	CanaryFunction  string   `json:"canary_function,omitempty"` // the same, unless the overrides lead to another
	BaselineAlias   string   `json:"baseline_alias,omitempty"`  // "" where the integration names a version or none
	CanaryAlias     string   `json:"canary_alias,omitempty"`
	BaselineVersion string   `json:"baseline_version"` // "1", or "$LATEST"
	CanaryVersion   string   `json:"canary_version,omitempty"`
	InvokeURL       string   `json:"invoke_url"`
	Share           float64  `json:"share"`              // of requests that go to the canary, 0 to 1
	Methods         []string `json:"methods"`            // all of the API's, "GET /products"; only this one is covered
	Problems        []string `json:"problems,omitempty"` // why a judgement would mean nothing; they must block it
	Warnings        []string `json:"warnings,omitempty"` // what could not be checked
}

// arm is one side of the split, resolved.
type arm struct{ function, alias, version string }

// Resolve reads who should answer the method. The resource and the integration
// are the API's as it stands now; a deployment keeps its own copy, which AWS
// does not show. It works on any stage, with a canary or without.
func (c *Client) Resolve(ctx context.Context, ref Ref) (Target, error) {
	return c.resolve(ctx, ref, func(State) *Canary { return nil })
}

// Foresee is Resolve as it would be with a canary of these settings, which is
// not created: whether the override leads to an alias that exists, that the
// API may invoke, and that is another version, is worth knowing before.
func (c *Client) Foresee(ctx context.Context, ref Ref, percent float64, overrides map[string]string) (Target, error) {
	return c.resolve(ctx, ref, func(s State) *Canary {
		return &Canary{DeploymentID: s.DeploymentID, Percent: percent, Overrides: overrides}
	})
}

func (c *Client) resolve(ctx context.Context, ref Ref, foreseen func(State) *Canary) (Target, error) {
	t, err := c.target(ctx, ref, foreseen)
	if err != nil {
		return t, fmt.Errorf("resolve %s %s on %s: %w", ref.Method, ref.Path, ref.Stage, err)
	}
	return t, nil
}

func (c *Client) target(ctx context.Context, ref Ref, foreseen func(State) *Canary) (Target, error) {
	state, err := c.read(ctx, ref)
	if err != nil {
		return Target{}, err
	}
	if canary := foreseen(state); canary != nil {
		state.Canary = canary
	}
	t := Target{State: state, InvokeURL: c.InvokeURL(ref)}
	integration, err := c.integration(ctx, ref, &t)
	if err != nil {
		return t, err
	}
	baseline, err := c.arm(ctx, integration, ref, state.Variables, &t)
	if err != nil {
		return t, fmt.Errorf("baseline: %w", err)
	}
	t.Function, t.BaselineAlias, t.BaselineVersion = baseline.function, baseline.alias, baseline.version
	if state.CacheEnabled {
		t.Problems = append(t.Problems, "the stage's cache is on: a cached answer comes from whichever version answered first")
	}
	if state.Canary == nil {
		return t, nil
	}
	canary, err := c.arm(ctx, integration, ref, state.CanaryVariables(), &t)
	if err != nil {
		return t, fmt.Errorf("canary: %w", err)
	}
	t.CanaryFunction, t.CanaryAlias, t.CanaryVersion = canary.function, canary.alias, canary.version
	t.Share = state.Canary.Percent / 100
	t.Problems = append(t.Problems, sameness(state, baseline, canary)...)
	t.Problems = slices.Compact(t.Problems)
	t.Warnings = slices.Compact(t.Warnings)
	return t, nil
}

// sameness lists why nothing could be told from the two arms' answers.
func sameness(s State, baseline, canary arm) []string {
	var problems []string
	if s.Canary.Percent <= 0 || s.Canary.Percent >= 100 {
		problems = append(problems, fmt.Sprintf("the canary gets %s%% of the traffic: there is no split to compare across", percent(s.Canary.Percent)))
	}
	switch {
	case !s.overridden():
		problems = append(problems, "the canary has the stage's own deployment and variables: there is nothing to compare")
	case baseline == canary && s.Canary.DeploymentID == s.DeploymentID:
		problems = append(problems, fmt.Sprintf("baseline and canary are the same: %s version %s", baseline.function, baseline.version))
	case baseline.function == canary.function && baseline.version == canary.version && s.Canary.DeploymentID == s.DeploymentID:
		problems = append(problems, fmt.Sprintf("aliases %s and %s are both version %s of %s", baseline.alias, canary.alias, baseline.version, baseline.function))
	case baseline.function == canary.function && baseline.version == canary.version:
		problems = append(problems, fmt.Sprintf("both deployments lead to version %s of %s: versions cannot tell the arms apart", baseline.version, baseline.function))
	}
	return problems
}

// InvokeURL is where the method is called.
func (c *Client) InvokeURL(ref Ref) string {
	path := "/" + strings.TrimPrefix(ref.Path, "/")
	if c.Real() {
		domain := "amazonaws.com"
		if strings.HasPrefix(c.region, "cn-") {
			domain += ".cn"
		}
		return fmt.Sprintf("https://%s.execute-api.%s.%s/%s%s", ref.API, c.region, domain, ref.Stage, path)
	}
	return fmt.Sprintf("%s/restapis/%s/%s/_user_request_%s", c.endpoint, ref.API, ref.Stage, path)
}

// link is an integration as far as it matters here.
type link struct {
	uri      string
	resource string // the resource's path, which permissions name
	asRole   bool   // invokes with a role of its own, not by the function's policy
}

func (c *Client) integration(ctx context.Context, ref Ref, t *Target) (link, error) {
	var resources []types.Resource
	pages := apigateway.NewGetResourcesPaginator(c.gateway, &apigateway.GetResourcesInput{RestApiId: &ref.API, Limit: aws.Int32(500)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return link{}, condense(err)
		}
		resources = append(resources, page.Items...)
	}
	for _, r := range resources {
		for verb := range r.ResourceMethods {
			t.Methods = append(t.Methods, verb+" "+text(r.Path))
		}
	}
	slices.Sort(t.Methods)
	resource, verb, err := match(resources, ref)
	if err != nil {
		return link{}, err
	}
	out, err := c.gateway.GetIntegration(ctx, &apigateway.GetIntegrationInput{RestApiId: &ref.API, ResourceId: resource.Id, HttpMethod: &verb})
	if err != nil {
		return link{}, condense(err)
	}
	uri := text(out.Uri)
	if !strings.Contains(uri, ":lambda:path/") {
		return link{}, fmt.Errorf("the integration is %s %s, not a Lambda function", out.Type, uri)
	}
	return link{uri: uri, resource: text(resource.Path), asRole: text(out.Credentials) != ""}, nil
}

// match finds the resource and verb that API Gateway would choose: the
// literal path, else the template with the most literal segments.
func match(resources []types.Resource, ref Ref) (types.Resource, string, error) {
	path, _, _ := strings.Cut(ref.Path, "?")
	path = "/" + strings.Trim(path, "/")
	best, score := types.Resource{}, -1
	for _, r := range resources {
		if s := matches(text(r.Path), path); s > score && len(r.ResourceMethods) > 0 {
			best, score = r, s
		}
	}
	if score < 0 {
		return best, "", errors.New("the API has no such path")
	}
	for _, verb := range []string{strings.ToUpper(ref.Method), "ANY"} {
		if _, ok := best.ResourceMethods[verb]; ok {
			return best, verb, nil
		}
	}
	return best, "", fmt.Errorf("resource %s has no method %s", text(best.Path), ref.Method)
}

// matches scores a template against a path; -1 when it does not match.
func matches(template, path string) int {
	if template == path {
		return 1 << 20
	}
	want, have := strings.Split(template, "/"), strings.Split(path, "/")
	score := 0
	for i, segment := range want {
		switch {
		case i >= len(have):
			return -1
		case strings.HasSuffix(segment, "+}"):
			return 3 * score
		case strings.HasPrefix(segment, "{"):
			score++
		case segment == have[i]:
			score += 2
		default:
			return -1
		}
	}
	if len(want) != len(have) {
		return -1
	}
	return 3*score + 1
}

var stageVariable = regexp.MustCompile(`\$\{stageVariables\.([A-Za-z0-9_]+)\}`)

// arm follows the integration with these stage variables to a version.
func (c *Client) arm(ctx context.Context, l link, ref Ref, variables map[string]string, t *Target) (arm, error) {
	var missing string
	uri := stageVariable.ReplaceAllStringFunc(l.uri, func(use string) string {
		key := stageVariable.FindStringSubmatch(use)[1]
		v, ok := variables[key]
		if !ok {
			missing = key
		}
		return v
	})
	if missing != "" {
		return arm{}, fmt.Errorf("stage variable %s is not set, and the integration needs it", missing)
	}
	function, qualifier, err := functionIn(uri)
	if err != nil {
		return arm{}, err
	}
	side := arm{function: function, version: qualifier}
	switch {
	case qualifier == "":
		side.version = "$LATEST"
	case qualifier != "$LATEST" && !allDigits(qualifier):
		side.alias = qualifier
		if side.version, err = c.version(ctx, function, qualifier, t); err != nil {
			return side, err
		}
	}
	if !l.asRole {
		c.checkPermission(ctx, function, qualifier, ref, l.resource, t)
	}
	return side, nil
}

// functionIn takes function and qualifier out of an invocation URI.
func functionIn(uri string) (function, qualifier string, err error) {
	_, arn, ok := strings.Cut(uri, "/functions/")
	arn, ok2 := strings.CutSuffix(arn, "/invocations")
	parts := strings.Split(arn, ":")
	// arn:aws:lambda:REGION:ACCOUNT:function:NAME[:QUALIFIER]
	if !ok || !ok2 || len(parts) < 7 || len(parts) > 8 || parts[5] != "function" {
		return "", "", fmt.Errorf("the integration's URI names no function: %s", uri)
	}
	if len(parts) == 8 {
		qualifier = parts[7]
	}
	return parts[6], qualifier, nil
}

func (c *Client) version(ctx context.Context, function, alias string, t *Target) (string, error) {
	out, err := c.lambda.GetAlias(ctx, &lambda.GetAliasInput{FunctionName: &function, Name: &alias})
	if IsNotFound(err) {
		return "", fmt.Errorf("function %s has no alias %s: %w", function, alias, condense(err))
	}
	if err != nil {
		return "", fmt.Errorf("alias %s of %s: %w", alias, function, condense(err))
	}
	if r := out.RoutingConfig; r != nil {
		for version, weight := range r.AdditionalVersionWeights {
			t.Problems = append(t.Problems, fmt.Sprintf("alias %s splits its own traffic: %s%% of it goes to version %s", alias, percent(weight*100), version))
		}
	}
	return text(out.FunctionVersion), nil
}

func allDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
