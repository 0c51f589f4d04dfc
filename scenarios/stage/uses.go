package stage

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
)

// use is a method whose function is named by stage variables.
type use struct {
	method   string // verb
	resource string // the resource's path
	uri      string
	asRole   bool // invokes with a role of its own, not by the function's policy
}

func (u use) String() string { return u.method + " " + u.resource }

// variables are the stage variables that the use needs.
func (u use) variables() []string {
	var names []string
	for _, m := range stageVariable.FindAllStringSubmatch(u.uri, -1) {
		names = append(names, m[1])
	}
	return names
}

// leads is the function and qualifier with these variables; one that is not set counts as empty.
func (u use) leads(variables map[string]string) (function, qualifier string, err error) {
	return functionIn(stageVariable.ReplaceAllStringFunc(u.uri, func(s string) string {
		return variables[stageVariable.FindStringSubmatch(s)[1]]
	}))
}

// uses are the API's methods whose functions these variables name. A canary's overrides reach all of them, whichever
// method is under test.
func (c *Client) uses(ctx context.Context, api string, variables []string) ([]use, error) {
	var found []use
	pages := apigateway.NewGetResourcesPaginator(c.gateway, &apigateway.GetResourcesInput{RestApiId: &api, Limit: aws.Int32(500), Embed: []string{"methods"}})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, condense(err)
		}
		for _, r := range page.Items {
			for verb, method := range r.ResourceMethods {
				if method.MethodIntegration == nil || !strings.Contains(text(method.MethodIntegration.Uri), ":lambda:path/") {
					continue
				}
				u := use{method: verb, resource: text(r.Path), uri: text(method.MethodIntegration.Uri), asRole: text(method.MethodIntegration.Credentials) != ""}
				if slices.ContainsFunc(u.variables(), func(v string) bool { return slices.Contains(variables, v) }) {
					found = append(found, u)
				}
			}
		}
	}
	slices.SortFunc(found, func(a, b use) int { return strings.Compare(a.resource+a.method, b.resource+b.method) })
	return found, nil
}

// leadSomewhere refuses overrides that lead a method to an alias or version that is not there, or that this stage may not
// invoke: every request of it that meets the canary would be a 500. What could not be looked at is a note.
func (c *Client) leadSomewhere(ctx context.Context, stage State, overrides map[string]string) (notes []string, err error) {
	if len(overrides) == 0 {
		return nil, nil
	}
	uses, err := c.uses(ctx, stage.API, keys(overrides))
	switch {
	case IsDenied(err):
		return []string{"not checked where the overrides lead: " + err.Error()}, nil
	case err != nil:
		return nil, err
	case len(uses) == 0:
		return []string{"no method's function is named by " + strings.Join(keys(overrides), ", ") + ": the override alone chooses no version"}, nil
	}
	stage.Canary = &Canary{Overrides: overrides}
	for _, u := range uses {
		function, qualifier, err := u.leads(stage.CanaryVariables())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", u, err)
		}
		note, err := c.reachable(ctx, function, qualifier, u, stage)
		if err != nil {
			return nil, fmt.Errorf("%s would lead to %s:%s: %w", u, function, qualifier, err)
		}
		if note != "" && !slices.Contains(notes, note) {
			notes = append(notes, note)
		}
	}
	return notes, nil
}

func (c *Client) reachable(ctx context.Context, function, qualifier string, u use, stage State) (note string, err error) {
	if _, err := c.versionOf(ctx, function, qualifier); IsDenied(err) {
		return fmt.Sprintf("not checked whether there is %s:%s: %v", function, qualifier, err), nil
	} else if err != nil {
		if near := c.nearAlias(ctx, function, qualifier); IsNotFound(err) && near != "" {
			err = fmt.Errorf("%w (nearest alias: %s)", err, near)
		}
		return "", err
	}
	if u.asRole {
		return "", nil
	}
	verb := u.method
	if verb == "ANY" {
		verb = "*"
	}
	source := fmt.Sprintf("execute-api:%s:%s:%s/%s/%s%s", c.region, c.account, stage.API, stage.Stage, verb, u.resource)
	switch may, err := c.invocable(ctx, function, qualifier, source); may {
	case Unknown:
		return fmt.Sprintf("not checked whether the API may invoke %s:%s: %v", function, qualifier, err), nil
	case No:
		return "", fmt.Errorf("its policy does not let API Gateway invoke it from there: aws lambda add-permission --function-name %s --qualifier %s --action lambda:InvokeFunction "+
			"--principal apigateway.amazonaws.com --statement-id coalmine --source-arn 'arn:aws:%s'", function, qualifier, source)
	}
	return "", nil
}

// versionOf is the version that a qualifier leads to: an alias's, or the version itself, which must be there.
func (c *Client) versionOf(ctx context.Context, function, qualifier string) (string, error) {
	switch {
	case qualifier == "" || qualifier == "$LATEST":
		return "$LATEST", nil
	case allDigits(qualifier):
		_, err := c.lambda.GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: &function, Qualifier: &qualifier})
		return qualifier, condense(err)
	}
	alias, err := c.readAlias(ctx, function, qualifier)
	return alias.Version, err
}
