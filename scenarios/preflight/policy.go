package preflight

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"coalmine/scenarios/stage"
)

// need is one right that a plan needs. The policy that is printed and the check of the credentials are both made of
// these, so that neither knows of a right that the other does not.
type need struct {
	sid       string
	why       string // "to promote"
	actions   []string
	resources []string // as a policy writes them, with wildcards
	examples  []string // what a simulation asks about, where the resources have wildcards
	change    bool     // changes something: nobody tries it before it is time
	optional  bool     // coalmine does without
}

// statement is a need as IAM writes it.
type statement struct {
	Sid      string   `json:"Sid,omitempty"`
	Effect   string   `json:"Effect"`
	Action   []string `json:"Action"`
	Resource []string `json:"Resource"`
}

func (n need) statement() statement {
	tidy := func(all []string) []string {
		all = slices.Clone(all)
		slices.Sort(all)
		return slices.Compact(all)
	}
	return statement{Sid: n.sid, Effect: "Allow", Action: tidy(n.actions), Resource: tidy(n.resources)}
}

// asked are the resources that a simulation asks about.
func (n need) asked() []string {
	if n.examples != nil {
		return n.examples
	}
	return n.resources
}

// Policy is the least IAM policy for the plan, indented JSON: reading alone where the plan acts on nothing. Statements
// whose Sid begins with Optional are for looks that coalmine does without. An API must be given by its id: finding one
// by name lists them all, which needs apigateway:GET on /restapis.
func Policy(c *stage.Client, ref stage.Ref, t stage.Target, p Plan) ([]byte, error) {
	return policy(placeOf(c), ref, t, p)
}

func policy(at place, ref stage.Ref, t stage.Target, p Plan) ([]byte, error) {
	if at.account == "" || at.region == "" {
		return nil, fmt.Errorf("write a policy: account %q, region %q: both must be known", at.account, at.region)
	}
	document := struct {
		Version   string
		Statement []statement
	}{Version: "2012-10-17"}
	for _, n := range needs(at, ref, t, p) {
		document.Statement = append(document.Statement, n.statement())
	}
	out, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write a policy: %w", err)
	}
	return append(out, '\n'), nil
}

// needs are all rights that the plan needs, the optional ones last.
func needs(at place, ref stage.Ref, t stage.Target, p Plan) []need {
	var all []need
	if ref.Weighted() {
		all = weightedNeeds(at, ref, p)
	} else {
		all = stageNeeds(at, ref, t, p)
	}
	return append(all, optionalNeeds(at, ref, t, p)...)
}

func weightedNeeds(at place, ref stage.Ref, p Plan) []need {
	function := at.function(ref.Function)
	qualified := []string{function, function + ":" + ref.Alias}
	all := []need{{sid: "ReadAlias", why: "to read the alias", actions: []string{"lambda:GetAlias"}, resources: qualified}}
	if p.acts() {
		all = append(all, need{sid: "ChangeAlias", why: "to change the alias's weights", actions: []string{"lambda:UpdateAlias"}, resources: qualified, change: true})
	}
	return all
}

func stageNeeds(at place, ref stage.Ref, t stage.Target, p Plan) []need {
	api := "/restapis/" + ref.API
	named := api + "/stages/" + ref.Stage
	functions := functionsOf(at, t)
	all := []need{
		{sid: "ReadStage", why: "to read the stage", actions: []string{"apigateway:GET"},
			resources: []string{at.gateway("/account"), at.gateway(api), at.gateway(api + "/resources"), at.gateway(named)}},
		{sid: "ReadFunctions", why: "to read the functions",
			actions: []string{"lambda:GetAlias", "lambda:GetFunctionConcurrency", "lambda:GetFunctionConfiguration",
				"lambda:GetPolicy", "lambda:GetProvisionedConcurrencyConfig"},
			resources: functions.all},
		{sid: "ReadConcurrency", why: "to read the account's concurrency", actions: []string{"lambda:GetAccountSettings"}, resources: []string{"*"}},
	}
	if p.Create {
		all[0].resources = append(all[0].resources, at.gateway(api+"/stages/*")) // those that answer before
	}
	if domain := p.domain(); domain != "" {
		all = append(all, need{sid: "ReadDomain", why: "to read where the URL leads", actions: []string{"apigateway:GET"},
			resources: []string{at.gateway("/domainnames/" + domain), at.gateway("/domainnames/" + domain + "/basepathmappings")}})
	}
	if !p.acts() {
		return all
	}
	all = append(all, need{sid: "ChangeStage", why: "to " + p.verbs(), actions: []string{"apigateway:PATCH"}, resources: []string{at.gateway(named)}, change: true})
	deployments := at.gateway(api + "/deployments")
	if p.Deploy {
		all = append(all, need{sid: "Deploy", why: "to deploy", actions: []string{"apigateway:POST"}, resources: []string{deployments}, change: true})
	}
	if p.Deploy || p.Rollback {
		all = append(all,
			need{sid: "ReadDeployments", why: "to find deployments again", actions: []string{"apigateway:GET"},
				resources: []string{deployments, deployments + "/*"}, examples: []string{deployments}})
	}
	if p.Deploy {
		all = append(all, need{sid: "RemoveDeployments", why: "to remove its own deployments", actions: []string{"apigateway:DELETE"},
			resources: []string{deployments + "/*"}, examples: []string{deployments + "/" + t.State.DeploymentID}, change: true})
	}
	if p.Rollback && t.State.CacheEnabled {
		all = append(all, need{sid: "FlushCache", why: "to roll back", actions: []string{"apigateway:DELETE"}, resources: []string{at.gateway(named + "/cache/data")}, change: true})
	}
	if p.Deploy || p.Repoint {
		all = append(all, need{sid: "ReadStages", why: "to see which stages use a deployment or an alias", actions: []string{"apigateway:GET"},
			resources: []string{at.gateway(api + "/stages")}})
	}
	if p.Repoint {
		all = append(all, need{sid: "Repoint", why: "to repoint", actions: []string{"lambda:UpdateAlias"}, resources: functions.baseline, change: true})
	}
	return all
}

func optionalNeeds(at place, ref stage.Ref, t stage.Target, p Plan) []need {
	var all []need
	if ref.Weighted() {
		functions := functionsOf(at, t)
		if len(functions.all) > 0 {
			all = append(all, need{sid: "OptionalFunctions", why: "to compare the versions' configurations", optional: true,
				actions:   []string{"lambda:GetFunctionConcurrency", "lambda:GetFunctionConfiguration", "lambda:GetProvisionedConcurrencyConfig"},
				resources: functions.all})
		}
		all = append(all, need{sid: "OptionalConcurrency", why: "to read the account's concurrency", optional: true,
			actions: []string{"lambda:GetAccountSettings"}, resources: []string{"*"}})
	}
	all = append(all, need{sid: "OptionalMetrics", why: "to see what is in use", optional: true, actions: []string{"cloudwatch:GetMetricData"}, resources: []string{"*"}},
		need{sid: "OptionalCodeDeploy", why: "to see whether CodeDeploy moves an alias", optional: true,
			actions: []string{"codedeploy:BatchGetDeploymentTargets", "codedeploy:BatchGetDeployments", "codedeploy:ListDeployments"}, resources: []string{"*"}})
	if principal := at.principal(); p.acts() && principal != "" && !at.root() {
		all = append(all, need{sid: "OptionalSimulate", why: "to see which permissions are lacking", optional: true,
			actions: []string{"iam:SimulatePrincipalPolicy"}, resources: []string{principal}})
	}
	if group := logGroup(t.AccessLog); group != "" {
		all = append(all, need{sid: "OptionalLogs", why: "to join access logs", optional: true, actions: []string{"logs:FilterLogEvents"},
			resources: []string{group + ":*", group + "/Canary:*"}})
	}
	return all
}

// logGroup is an access log's destination without what follows the group's name; "" where it is a stream of Firehose's.
func logGroup(arn string) string {
	if !strings.Contains(arn, ":log-group:") {
		return ""
	}
	return strings.TrimSuffix(arn, ":*")
}

// functionARNs are those of a target: reading needs the function and all its qualifiers, which change with every
// release; moving the baseline's alias needs that one.
type functionARNs struct{ all, baseline []string }

func functionsOf(at place, t stage.Target) functionARNs {
	var f functionARNs
	for _, name := range []string{t.Function, t.CanaryFunction} {
		if name != "" {
			f.all = append(f.all, at.function(name), at.function(name)+":*")
		}
	}
	if t.Function != "" {
		f.baseline = append(f.baseline, at.function(t.Function))
		if t.BaselineAlias != "" {
			f.baseline = append(f.baseline, at.function(t.Function)+":"+t.BaselineAlias)
		}
	}
	return f
}

// domain is the custom domain's name that the plan's URL has; "" for an API's own endpoint.
func (p Plan) domain() string {
	u, err := url.Parse(p.URL)
	if p.URL == "" || err != nil || strings.Contains(u.Hostname(), ".execute-api.") {
		return ""
	}
	return strings.ToLower(u.Hostname())
}

// verbs lists what the plan may do, "promote, roll back".
func (p Plan) verbs() string {
	var all []string
	for _, v := range []struct {
		does bool
		name string
	}{{p.Create, "create the canary"}, {p.Deploy, "deploy"}, {p.Promote, "promote"}, {p.Rollback, "roll back"}, {p.Repoint, "repoint"}} {
		if v.does {
			all = append(all, v.name)
		}
	}
	return strings.Join(all, ", ")
}

// least is the statement that grants one action, in one line; "" for one that coalmine can do without.
func least(all []need, action string) string {
	for _, n := range all {
		if !n.optional && slices.Contains(n.actions, action) {
			s := n.statement()
			s.Sid, s.Action = "", []string{action}
			return s.String()
		}
	}
	return ""
}

func (s statement) String() string {
	line, err := json.Marshal(s)
	if err != nil {
		return ""
	}
	return string(line)
}

// lacking asks IAM which of the changes the credentials do not allow.
func lacking(ctx context.Context, ask simulator, at place, all []need) ([]statement, error) {
	var missing []statement
	for _, n := range all {
		if !n.change {
			continue
		}
		denied, err := ask(ctx, at.principal(), n.actions, n.asked())
		if err != nil {
			return nil, err
		}
		if len(denied) > 0 {
			s := n.statement()
			s.Sid, s.Action = "", denied
			missing = append(missing, s)
		}
	}
	return missing, nil
}

// simulator returns those of the actions that are not allowed on all of the resources.
type simulator func(ctx context.Context, principal string, actions, resources []string) ([]string, error)
