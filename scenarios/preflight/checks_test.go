package preflight

import (
	"slices"
	"strings"
	"testing"

	"coalmine/scenarios/stage"
)

// sound is a stage and a plan about which every check has nothing to say.
func sound() (Facts, Plan) {
	conf := stage.Configuration{Memory: 128, Timeout: 3, Architecture: "arm64"}
	side := func(alias, version string) stage.Side {
		conf, none := conf, 0
		return stage.Side{Function: "f", Qualifier: alias, Alias: alias, Version: version, Invocable: stage.Yes, Configuration: &conf, Provisioned: &none}
	}
	canary := side("staging", "2")
	return Facts{
		ref: stage.Ref{API: "ab12cd34ef", Stage: "prod", Method: "GET", Path: "/products"},
		target: stage.Target{
			State: stage.State{API: "ab12cd34ef", Stage: "prod", DeploymentID: "d1", Variables: map[string]string{"alias": "prod"},
				Canary: &stage.Canary{DeploymentID: "d1", Percent: 10, Overrides: map[string]string{"alias": "staging"}}},
			Function: "f", CanaryFunction: "f", BaselineAlias: "prod", CanaryAlias: "staging", BaselineVersion: "1", CanaryVersion: "2",
			InvokeURL: "https://ab12cd34ef.execute-api.eu-west-1.amazonaws.com/prod/products", Share: 0.1,
			Methods:  []string{"GET /products"},
			Method:   stage.Method{Resource: "/products", Verb: "GET", Authorization: "NONE", KeySource: "HEADER"},
			Baseline: side("prod", "1"), Canary: &canary,
		},
	}, Plan{Rate: 100}
}

// found is what one check found.
func found(f Facts, p Plan, name string) []Finding {
	return slices.DeleteFunc(f.Judge(p), func(f Finding) bool { return f.Check != name })
}

func TestSound(t *testing.T) {
	f, p := sound()
	findings := f.Judge(p)
	for i, finding := range findings {
		if finding.Level != OK || finding.Text == "" || finding.Remedy != "" || finding.Check != Checks()[i] {
			t.Errorf("%+v", finding)
		}
	}
	if err := Blocked(findings); err != nil || len(Warnings(findings)) > 0 || len(findings) != len(Checks()) {
		t.Errorf("%v %q %d", err, Warnings(findings), len(findings))
	}
}

func TestChecks(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(*Facts, *Plan)
		check string
		level Level
		says  string // in the text
		to    string // in the remedy
	}{
		{"no canary", func(f *Facts, _ *Plan) { f.target.State.Canary, f.target.Canary = nil, nil },
			"canary", Block, "stage prod has no canary", "coalmine canary create"},
		{"0 %", func(f *Facts, _ *Plan) { f.target.State.Canary.Percent = 0 },
			"percent", Block, "the canary gets 0% of the traffic", "percent"},
		{"100 %", func(f *Facts, _ *Plan) { f.target.State.Canary.Percent = 100 },
			"percent", Block, "the canary gets 100% of the traffic", "percent"},
		{"nothing overridden", func(f *Facts, _ *Plan) { f.target.State.Canary.Overrides = nil },
			"difference", Block, "nothing to compare", "coalmine canary deploy"},
		{"overridden with the same", func(f *Facts, _ *Plan) { f.target.State.Canary.Overrides["alias"] = "prod" },
			"difference", Block, "nothing to compare", "override"},
		{"another deployment", func(f *Facts, _ *Plan) {
			f.target.State.Canary.Overrides, f.target.State.Canary.DeploymentID = nil, "d2"
		}, "difference", OK, "deployment d2 against d1", ""},
		{"missing alias", func(f *Facts, _ *Plan) { f.target.Canary.Missing = true },
			"alias", Block, "canary: function f has no alias staging", "aws lambda create-alias --function-name f --name staging"},
		{"missing version", func(f *Facts, _ *Plan) {
			f.target.Baseline.Missing, f.target.Baseline.Alias, f.target.Baseline.Qualifier = true, "", "9"
		}, "alias", Block, "baseline: there is no function f:9", "publish"},
		{"alias not read", func(f *Facts, _ *Plan) { f.target.Canary.Unread = denied("GetAlias") },
			"alias", Block, "not checked which version alias staging is: GetAlias: AccessDeniedException: no", "lambda:GetAlias"},
		{"same version", func(f *Facts, _ *Plan) { f.target.CanaryVersion = "1" },
			"versions", Block, "aliases prod and staging are both version 1 of f", "aws lambda update-alias --function-name f"},
		{"same alias", func(f *Facts, _ *Plan) { f.target.CanaryVersion, f.target.CanaryAlias = "1", "prod" },
			"versions", Block, "baseline and canary are the same: f version 1", "stage variable"},
		{"same version, other function", func(f *Facts, _ *Plan) { f.target.CanaryVersion, f.target.CanaryFunction = "1", "g" },
			"versions", OK, "", ""},
		{"same version, other deployment", func(f *Facts, _ *Plan) { f.target.CanaryVersion, f.target.State.Canary.DeploymentID = "1", "d2" },
			"versions", Block, "both deployments lead to version 1 of f", "--baseline"},
		{"same version, other deployment, named", func(f *Facts, p *Plan) {
			f.target.CanaryVersion, f.target.State.Canary.DeploymentID, p.Labels = "1", "d2", true
		}, "versions", Warning, "both deployments lead to version 1 of f", "--baseline"},
		{"version not known", func(f *Facts, _ *Plan) { f.target.CanaryVersion = "" },
			"versions", Unchecked, "a version is not known", ""},
		{"weighted", func(f *Facts, _ *Plan) { f.target.Canary.Weights = map[string]float64{"3": 0.1} },
			"weights", Block, "alias f:staging splits its own traffic: 10% of it goes to version 3", "AdditionalVersionWeights={}"},
		{"denied", func(f *Facts, _ *Plan) { f.target.Canary.Invocable = stage.No },
			"permission", Block, "API Gateway may not invoke f:staging", "aws lambda add-permission --function-name f --qualifier staging"},
		{"policy not read", func(f *Facts, _ *Plan) {
			f.target.Canary.Invocable, f.target.Canary.Unread = stage.Unknown, denied("GetPolicy")
		}, "permission", Warning, "not checked whether the API may invoke f:staging: GetPolicy: AccessDeniedException: no", "lambda:GetPolicy"},
		{"by role", func(f *Facts, _ *Plan) { f.target.Canary.Invocable, f.target.Canary.AsRole = stage.Unknown, true },
			"permission", OK, "", ""},
		{"cached, shared deployment", func(f *Facts, _ *Plan) { f.target.State.CacheEnabled, f.target.Method.Cached = true, true },
			"cache", Block, "whichever version answered first", "turn caching off for GET /products"},
		{"cached, own deployment", func(f *Facts, _ *Plan) {
			f.target.State.CacheEnabled, f.target.Method.Cached, f.target.State.Canary.DeploymentID = true, true, "d2"
		}, "cache", Block, "most answers come from the cache", "turn caching off"},
		{"cache for others", func(f *Facts, _ *Plan) { f.target.State.CacheEnabled = true },
			"cache", OK, "this method is not cached", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, p := sound()
			c.spoil(&f, &p)
			got := found(f, p, c.check)
			if !slices.ContainsFunc(got, func(f Finding) bool {
				return f.Level == c.level && strings.Contains(f.Text, c.says) && strings.Contains(f.Remedy, c.to) && (f.Remedy != "") == (c.to != "")
			}) {
				t.Errorf("%s: %+v", c.check, got)
			}
			blocked := c.level == Block
			if err := Blocked(got); (err != nil) != blocked || blocked && !strings.HasPrefix(err.Error(), c.check+": ") {
				t.Errorf("blocked: %v", err)
			}
		})
	}
}

// Every check has something to say about every stage, even about one of which nothing is known.
func TestNothingKnown(t *testing.T) {
	findings := Facts{}.Judge(Plan{})
	for _, name := range Checks() {
		if !slices.ContainsFunc(findings, func(f Finding) bool { return f.Check == name }) {
			t.Errorf("%s says nothing", name)
		}
	}
	if Blocked(findings) == nil {
		t.Error("a target that is not known passes")
	}
}

func denied(operation string) []stage.Unread {
	return []stage.Unread{{Operation: operation, Why: operation + ": AccessDeniedException: no", Denied: true}}
}
