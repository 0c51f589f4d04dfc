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
)

// Target is who should answer a method, by what the stage, the integration and the aliases say: facts, which
// scenarios/preflight judges. The canary's fields are empty when the stage has none.
type Target struct {
	State            State             `json:"state"`
	Function         string            `json:"function"`                  // name
	CanaryFunction   string            `json:"canary_function,omitempty"` // the same, unless the overrides lead to another
	BaselineAlias    string            `json:"baseline_alias,omitempty"`  // "" where the integration names a version or none
	CanaryAlias      string            `json:"canary_alias,omitempty"`
	BaselineVersion  string            `json:"baseline_version,omitempty"` // "1", or "$LATEST"; "" where the alias is missing or was not read
	CanaryVersion    string            `json:"canary_version,omitempty"`
	InvokeURL        string            `json:"invoke_url"`
	EndpointDisabled bool              `json:"endpoint_disabled,omitempty"` // InvokeURL answers nobody: the API is reached by a custom domain only
	Share            float64           `json:"share"`                       // of requests that go to the canary, 0 to 1
	Methods          []string          `json:"methods"`                     // all of the API's, "GET /products"; only this one is covered
	Method           Method            `json:"method"`
	Baseline         Side              `json:"baseline"`
	Canary           *Side             `json:"canary,omitempty"`
	AccessLog        string            `json:"access_log,omitempty"` // ARN of the stage's access log's destination
	APITags          map[string]string `json:"api_tags,omitempty"`
}

// Resolve reads who should answer the method, and how it is set up. The resource and the integration are the API's as
// it stands now; a deployment keeps its own copy, which AWS does not show. It works on any stage, with a canary or
// without.
func (c *Client) Resolve(ctx context.Context, ref Ref) (Target, error) {
	return c.resolve(ctx, ref, asItIs)
}

// Foresee is Resolve as it would be with a canary of these settings, which is not created: whether the override leads
// to an alias that exists, that the API may invoke, and that is another version, is worth knowing before.
func (c *Client) Foresee(ctx context.Context, ref Ref, percent float64, overrides map[string]string) (Target, error) {
	return c.resolve(ctx, ref, func(s State) *Canary {
		return &Canary{DeploymentID: s.DeploymentID, Percent: percent, Overrides: overrides}
	})
}

func asItIs(State) *Canary { return nil }

func (c *Client) resolve(ctx context.Context, ref Ref, foreseen func(State) *Canary) (Target, error) {
	if ref.Weighted() {
		return c.weightedTarget(ctx, ref)
	}
	t, err := c.target(ctx, ref, foreseen)
	if err == nil {
		err = c.examine(ctx, ref, &t)
	}
	if err != nil {
		return t, fmt.Errorf("resolve %s %s on %s: %w", ref.Method, ref.Path, ref.Stage, err)
	}
	return t, nil
}

// target asks API Gateway alone: the versions behind aliases are not known yet.
func (c *Client) target(ctx context.Context, ref Ref, foreseen func(State) *Canary) (Target, error) {
	state, stage, err := c.readStage(ctx, ref)
	if err != nil {
		return Target{}, err
	}
	if canary := foreseen(state); canary != nil {
		state.Canary = canary
	}
	api, err := c.api(ctx, ref.API)
	if err != nil {
		return Target{}, err
	}
	t := Target{State: state, InvokeURL: c.InvokeURL(ref), EndpointDisabled: api.disabled, APITags: api.tags}
	if log := stage.AccessLogSettings; log != nil {
		t.AccessLog = text(log.DestinationArn)
	}
	l, err := c.integration(ctx, ref, &t)
	if err != nil {
		return t, err
	}
	t.Method.KeySource = api.keys
	t.Method.configure(stage)
	if t.Baseline, err = l.side(state.Variables); err != nil {
		return t, fmt.Errorf("baseline: %w", err)
	}
	t.Function, t.BaselineAlias, t.BaselineVersion = t.Baseline.Function, t.Baseline.Alias, t.Baseline.Version
	if state.Canary == nil {
		return t, nil
	}
	canary, err := l.side(state.CanaryVariables())
	if err != nil {
		return t, fmt.Errorf("canary: %w", err)
	}
	t.Canary = &canary
	t.CanaryFunction, t.CanaryAlias, t.CanaryVersion = canary.Function, canary.Alias, canary.Version
	t.Share = state.Canary.Percent / 100
	return t, nil
}

func (c *Client) examine(ctx context.Context, ref Ref, t *Target) error {
	return c.examineBoth(ctx, t, fmt.Sprintf("execute-api:%s:%s:%s/%s/%s%s", c.region, c.account, ref.API, ref.Stage, strings.ToUpper(ref.Method), t.Method.Resource))
}

// examineBoth asks Lambda about both sides, at the same time.
func (c *Client) examineBoth(ctx context.Context, t *Target, source string) error {
	same := t.Canary != nil && t.Canary.sameAs(t.Baseline)
	done := make(chan error, 1)
	go func() {
		if t.Canary == nil || same {
			done <- nil
			return
		}
		done <- c.examineSide(ctx, t.Canary, source)
	}()
	err := c.examineSide(ctx, &t.Baseline, source)
	canaryErr := <-done
	switch {
	case err != nil:
		return fmt.Errorf("baseline: %w", err)
	case canaryErr != nil:
		return fmt.Errorf("canary: %w", canaryErr)
	}
	t.BaselineVersion = t.Baseline.Version
	if t.Canary != nil {
		if same {
			*t.Canary = t.Baseline
		}
		t.CanaryVersion = t.Canary.Version
	}
	return nil
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
	uri    string
	asRole bool // invokes with a role of its own, not by the function's policy
}

func (c *Client) integration(ctx context.Context, ref Ref, t *Target) (link, error) {
	var resources []types.Resource
	pages := apigateway.NewGetResourcesPaginator(c.gateway, &apigateway.GetResourcesInput{
		RestApiId: &ref.API, Limit: aws.Int32(500), Embed: []string{"methods"},
	})
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
	m := resource.ResourceMethods[verb]
	t.Method = Method{Resource: text(resource.Path), Verb: verb, Authorization: text(m.AuthorizationType), NeedsKey: aws.ToBool(m.ApiKeyRequired)}
	if m.MethodIntegration == nil {
		return link{}, errors.New("the method has no integration")
	}
	uri := text(m.MethodIntegration.Uri)
	if !strings.Contains(uri, ":lambda:path/") {
		return link{}, fmt.Errorf("the integration is %s %s, not a Lambda function", m.MethodIntegration.Type, uri)
	}
	return link{uri: uri, asRole: text(m.MethodIntegration.Credentials) != ""}, nil
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

// Asks is the method that a request goes to, as Methods spells it; "" for none.
func (t Target) Asks(verb, path string) (method string) {
	path, _, _ = strings.Cut(path, "?")
	best := -1
	for _, m := range t.Methods {
		is, template, _ := strings.Cut(m, " ")
		if s := matches(template, path); s > best && (is == verb || is == "ANY") {
			method, best = m, s
		}
	}
	return method
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

// side follows the integration with these stage variables to a function.
func (l link) side(variables map[string]string) (Side, error) {
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
		return Side{}, fmt.Errorf("stage variable %s is not set, and the integration needs it", missing)
	}
	function, qualifier, err := functionIn(uri)
	if err != nil {
		return Side{}, err
	}
	s := Side{Function: function, Qualifier: qualifier, AsRole: l.asRole}
	switch {
	case qualifier == "":
		s.Version = "$LATEST"
	case qualifier == "$LATEST" || allDigits(qualifier):
		s.Version = qualifier
	default:
		s.Alias = qualifier
	}
	return s, nil
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

func allDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
