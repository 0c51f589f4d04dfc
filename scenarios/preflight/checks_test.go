package preflight

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

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
		place:       place{region: "eu-west-1", account: "111122223333", caller: "arn:aws:iam::111122223333:user/ci", real: true},
		now:         time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC),
		limits:      known(limits{rate: 10000, burst: 5000}),
		concurrency: known(concurrency{limit: 1000, unreserved: 900}),
		reserved:    map[string]reading[*int]{"f": known[*int](nil)},
		usage:       known(usage{concurrent: map[string]int{"": 100, "f": 20}, rate: 300}),
		session:     known(session{source: "EC2RoleProvider"}),
		lacks:       known[[]statement](nil),
		moves:       known[[]move](nil),
	}, Plan{Rate: 100, Latency: 20 * time.Millisecond, Duration: 15 * time.Minute}
}

// weighted is an alias that splits its own traffic, about which every check that can say something has nothing to say.
func weighted() (Facts, Plan) {
	f, p := sound()
	canary := f.target.Baseline
	canary.Version, canary.Qualifier = "2", "2"
	f.ref = stage.Ref{Function: "f", Alias: "prod"}
	f.target = stage.Target{Function: "f", CanaryFunction: "f", BaselineAlias: "prod", CanaryAlias: "prod",
		BaselineVersion: "1", CanaryVersion: "2", Share: 0.1, Baseline: f.target.Baseline, Canary: &canary}
	f.limits = reading[limits]{}
	return f, p
}

// found is what one check found.
func found(f Facts, p Plan, name string) []Finding {
	return slices.DeleteFunc(f.Judge(p), func(f Finding) bool { return f.Check != name })
}

func TestSound(t *testing.T) {
	f, p := sound()
	findings := f.Judge(p)
	var names []string
	for _, finding := range findings {
		names = append(names, finding.Check)
		if finding.Level != OK || finding.Text == "" || finding.Remedy != "" {
			t.Errorf("%+v", finding)
		}
	}
	if err := Blocked(findings); err != nil || len(Warnings(findings)) > 0 {
		t.Errorf("%v %q", err, Warnings(findings))
	}
	if names = slices.Compact(names); !slices.Equal(names, Checks()) {
		t.Errorf("%q", names)
	}
}

// What is not published may change under test.
func TestLatest(t *testing.T) {
	check := func(name string, change func(*Facts, *Plan), levels ...Level) {
		t.Helper()
		f, p := sound()
		change(&f, &p)
		var got []Level
		for _, finding := range found(f, p, "latest") {
			got = append(got, finding.Level)
			if finding.Level == Warning && !strings.Contains(finding.Text+finding.Remedy, "$LATEST of f") || finding.Level != OK && finding.Level != Unchecked && finding.Remedy == "" {
				t.Errorf("%s: %+v", name, finding)
			}
		}
		if !slices.Equal(got, levels) {
			t.Errorf("%s: %q, want %q", name, got, levels)
		}
	}
	baseline := func(f *Facts, p *Plan) { f.target.Baseline.Version = "$LATEST" }
	canary := func(f *Facts, p *Plan) { f.target.Canary.Version = "$LATEST" }
	promote := func(change func(*Facts, *Plan)) func(*Facts, *Plan) {
		return func(f *Facts, p *Plan) { change(f, p); p.Promote = true }
	}
	check("published", func(*Facts, *Plan) {}, OK)
	check("baseline", baseline, Warning)
	check("baseline, to be replaced", promote(baseline), Warning)
	check("canary", canary, Warning)
	check("canary, to be promoted", promote(canary), Block)
	check("both", func(f *Facts, p *Plan) { baseline(f, p); canary(f, p) }, Warning, Warning)
	check("not known", func(f *Facts, p *Plan) { f.target.Canary.Version = "" }, Unchecked)
}

func TestWeighted(t *testing.T) {
	f, p := weighted()
	for _, finding := range f.Judge(p) {
		if finding.Level != OK && finding.Level != Unchecked || finding.Text == "" {
			t.Errorf("%+v", finding)
		}
	}
	f.target.Canary, f.target.CanaryVersion, f.target.Share = nil, "", 0
	if got := found(f, p, "canary"); got[0].Level != Block || got[0].Text != "alias f:prod sends all of its traffic to version 1" {
		t.Errorf("%+v", got)
	}
	f, p = weighted()
	f.target.Baseline.Unread, f.concurrency = denied("GetFunctionConfiguration"), refused[concurrency]()
	if got := found(f, p, "credentials"); got[1].Level != OK {
		t.Errorf("what is optional is called lacking: %+v", got)
	}
	f.target.Share = 1
	if got := found(f, p, "percent"); got[0].Level != Block {
		t.Errorf("%+v", got)
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
		{"0 %", func(f *Facts, _ *Plan) { f.target.State.Canary.Percent, f.target.Share = 0, 0 },
			"percent", Block, "the canary gets 0% of the traffic", "percent"},
		{"100 %", func(f *Facts, _ *Plan) { f.target.State.Canary.Percent, f.target.Share = 100, 1 },
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

		{"rate above the account's", func(f *Facts, p *Plan) { p.Rate = 10001 },
			"throttle", Warning, "the account's limit for all APIs of the region is 10000/s, below the planned 10001/s", "--rate 10000/s"},
		{"rate above the account's burst", func(f *Facts, p *Plan) { p.Rate = 5001 },
			"throttle", Warning, "lets 5000 requests through at once, less than a second of the planned 5001/s", "--rate 5000/s"},
		{"rate above the stage's", func(f *Facts, _ *Plan) {
			f.target.Method.Throttle = &stage.Throttle{Setting: "*/*", Rate: 50, Burst: 500}
		},
			"throttle", Warning, "the stage's throttle is 50/s, below the planned 100/s", "method settings"},
		{"rate above the method's", func(f *Facts, _ *Plan) {
			f.target.Method.Throttle = &stage.Throttle{Setting: "products/GET", Rate: 50, Burst: 500}
		}, "throttle", Warning, "the method's own throttle (products/GET) is 50/s", "method settings"},
		{"within the method's", func(f *Facts, _ *Plan) {
			f.target.Method.Throttle = &stage.Throttle{Setting: "products/GET", Rate: 200, Burst: 500}
		}, "throttle", OK, "100/s is within the account's limit for all APIs of the region of 10000/s, burst 5000, and the method's own throttle (products/GET) of 200/s, burst 500", ""},
		{"account not read", func(f *Facts, _ *Plan) { f.limits = refused[limits]() },
			"throttle", Unchecked, "the account's limit: GetX: AccessDeniedException: no", "/account"},
		{"no rate", func(_ *Facts, p *Plan) { p.Rate = 0 }, "throttle", Unchecked, "no rate", "rate"},

		{"room", func(*Facts, *Plan) {}, "headroom", OK,
			"about 2 environments at once (100/s x 20ms), and of the account's unreserved concurrency of 900 there are 800 left (100 in use at the last hour's peak)", ""},
		{"no room", func(f *Facts, p *Plan) { p.Latency = 9 * time.Second }, "headroom", Warning,
			"about 900 environments at once (100/s x 9s), and of the account's unreserved concurrency of 900 there are 800 left", "--rate"},
		{"connections bound it", func(f *Facts, p *Plan) { p.Latency, p.Connections = 9*time.Second, 64 }, "headroom", OK, "about 64 environments at once (100/s x 9s, bounded by 64 connections)", ""},
		{"the worst case", func(f *Facts, p *Plan) { p.Latency, p.Rate = 0, 300 }, "headroom", Warning, "in the worst case, all answers as slow as the function's timeout allows, about 900 environments", "--connections"},
		{"the worst case has room", func(f *Facts, p *Plan) { p.Latency = 0 }, "headroom", OK, "about 300 environments at once (100/s x 3s)", ""},
		{"reserved", func(f *Facts, p *Plan) { f.reserved["f"] = known(new(21)) }, "headroom", Warning,
			"about 2 environments at once (100/s x 20ms), and of the reserved concurrency of f of 21 there are 1 left (20 in use at the last hour's peak)", "--rate"},
		{"reserved with room", func(f *Facts, p *Plan) { f.reserved["f"] = known(new(22)) }, "headroom", OK, "there are 2 left", ""},
		{"two functions", func(f *Facts, p *Plan) {
			f.target.CanaryFunction, f.target.Canary.Function = "g", "g"
			f.reserved["g"] = known(new(0))
		}, "headroom", Warning, "about 1 environments at once (10/s x 20ms), and of the reserved concurrency of g of 0", "--rate"},
		{"usage not read", func(f *Facts, p *Plan) { f.usage = refused[usage]() }, "headroom", OK, "of 900 there are 900 left (what is in use is not known)", ""},
		{"rate's usage not read", func(f *Facts, p *Plan) { f.usage = refused[usage]() }, "headroom", Unchecked, "how much of the account's 10000/s is in use: GetX", "cloudwatch:GetMetricData"},
		{"concurrency not read", func(f *Facts, p *Plan) { f.concurrency = refused[concurrency]() }, "headroom", Unchecked, "the account's concurrency: GetX", "lambda:GetAccountSettings"},
		{"reservation not read", func(f *Facts, p *Plan) { f.reserved["f"] = refused[*int]() }, "headroom", Unchecked, "the reserved concurrency of f: GetX", "lambda:GetFunctionConcurrency"},
		{"no timeout", func(f *Facts, p *Plan) {
			p.Latency, f.target.Baseline.Configuration, f.target.Canary.Configuration = 0, nil, nil
		}, "headroom", Unchecked, "how long f takes is not known", ""},
		{"rate left", func(*Facts, *Plan) {}, "headroom", OK, "100/s planned, and of the account's 10000/s there are 9700/s left beside this API's own peak of 300/s", ""},
		{"rate not left", func(f *Facts, p *Plan) { f.usage.value.rate = 9950 }, "headroom", Warning, "there are 50/s left", "--rate"},

		{"memory", func(f *Facts, _ *Plan) { f.target.Canary.Configuration.Memory = 256 },
			"comparable", Warning, "baseline and canary differ in memory (128 MB, 256 MB)", "--latency-margin none"},
		{"all that may differ", func(f *Facts, _ *Plan) {
			*f.target.Canary.Configuration = stage.Configuration{Memory: 128, Timeout: 5, Architecture: "x86_64", SnapStart: true, Layers: []string{"arn:l:1"}}
		}, "comparable", Warning, "timeout (3 s, 5 s), layers (none, arn:l:1), SnapStart (off, on), architecture (arm64, x86_64)", "same configuration"},
		{"provisioned", func(f *Facts, _ *Plan) { *f.target.Baseline.Provisioned = 10 },
			"comparable", Warning, "f:prod has 10 provisioned environments, f:staging has 0", "provisioned concurrency"},
		{"configuration not read", func(f *Facts, _ *Plan) {
			f.target.Canary.Configuration, f.target.Canary.Unread = nil, denied("GetFunctionConfiguration")
		}, "comparable", Unchecked, "what f:staging runs with: GetFunctionConfiguration: AccessDeniedException", "lambda:GetFunctionConfiguration"},

		{"CloudFormation", func(f *Facts, _ *Plan) {
			f.target.State.Tags = map[string]string{"aws:cloudformation:stack-name": "shop", "team": "x"}
		}, "managed", Warning, "CloudFormation manages stage prod (tag aws:cloudformation:stack-name=shop): a promote by coalmine would be drift", "coalmine verify"},
		{"CloudFormation, promoting", func(f *Facts, p *Plan) {
			f.target.State.Tags, p.Promote = map[string]string{"aws:cloudformation:stack-name": "shop"}, true
		}, "managed", Warning, "what this run may do (promote) is drift", "promote by CloudFormation instead"},
		{"Terraform, by the API's tags", func(f *Facts, _ *Plan) { f.target.APITags = map[string]string{"ManagedBy": "Terraform"} },
			"managed", Warning, "Terraform manages the API (tag ManagedBy=Terraform)", "Terraform"},
		{"not Terraform", func(f *Facts, _ *Plan) {
			f.target.State.Tags = map[string]string{"terraform": "false", "managed-by": "hand", "coalmine": "products"}
		}, "managed", OK, "", ""},

		{"session without an end", func(*Facts, *Plan) {}, "credentials", OK, "no end that is known", ""},
		{"session long enough", func(f *Facts, _ *Plan) { f.session.value.ends = f.now.Add(16 * time.Minute) }, "credentials", OK, "last until 12:16:00Z", ""},
		{"session renewed", func(f *Facts, _ *Plan) { f.session.value.ends = f.now.Add(time.Minute) }, "credentials", OK, "end at 12:01:00Z and are renewed (EC2RoleProvider)", ""},
		{"session of a sign-in", func(f *Facts, _ *Plan) { f.session = known(session{"SSOProvider", f.now.Add(time.Minute)}) },
			"credentials", Warning, "the credentials end at 12:01:00Z, before the run may", "sign in"},
		{"session that ends", func(f *Facts, _ *Plan) {
			f.session = known(session{"EnvConfigCredentials", f.now.Add(14 * time.Minute)})
		},
			"credentials", Block, "the credentials end at 12:14:00Z, in 14m0s, and the run may take 15m0s", "--max-duration"},
		{"a read refused", func(f *Facts, _ *Plan) { f.target.Canary.Unread = denied("GetPolicy") },
			"credentials", Warning, "the credentials lack lambda:GetPolicy",
			`grant {"Effect":"Allow","Action":["lambda:GetPolicy"],"Resource":["arn:aws:lambda:eu-west-1:111122223333:function:f","arn:aws:lambda:eu-west-1:111122223333:function:f:*"]}`},
		{"the account refused", func(f *Facts, _ *Plan) { f.limits = refused[limits]() },
			"credentials", Warning, "the credentials lack apigateway:GET", "arn:aws:apigateway:eu-west-1::/account"},
		{"an optional look refused", func(f *Facts, _ *Plan) { f.usage, f.moves = refused[usage](), refused[[]move]() }, "credentials", OK, "allow all that was read", ""},
		{"may not promote", func(f *Facts, p *Plan) {
			p.Promote = true
			f.lacks = known([]statement{{Effect: "Allow", Action: []string{"apigateway:PATCH"}, Resource: []string{"arn:s"}}})
		}, "credentials", Block, "the credentials lack apigateway:PATCH on arn:s, which the run needs later to promote", `grant {"Effect":"Allow","Action":["apigateway:PATCH"],"Resource":["arn:s"]}`},
		{"may promote", func(_ *Facts, p *Plan) { p.Promote = true }, "credentials", OK, "and to promote", ""},
		{"may it promote", func(f *Facts, p *Plan) { p.Promote, f.lacks = true, refused[[]statement]() },
			"credentials", Unchecked, "whether the credentials allow to promote: GetX", "coalmine canary policy"},

		{"CodeDeploy, acting", func(f *Facts, p *Plan) {
			p.Promote, f.moves = true, known([]move{{"d-1", "f", "staging", "InProgress", true, f.now}})
		},
			"codedeploy", Block, "CodeDeploy moves alias f:staging now (deployment d-1, InProgress)", "aws deploy stop-deployment --deployment-id d-1"},
		{"CodeDeploy, looking", func(f *Facts, p *Plan) { f.moves = known([]move{{"d-1", "f", "staging", "InProgress", true, f.now}}) },
			"codedeploy", Warning, "its versions change under test", "wait"},
		{"CodeDeploy before", func(f *Facts, p *Plan) {
			p.Promote, f.moves = true, known([]move{{"d-1", "f", "prod", "Succeeded", false, f.now}})
		},
			"codedeploy", Warning, "CodeDeploy moved alias f:prod on 2026-01-02 (deployment d-1)", "deployment group"},
		{"CodeDeploy before and now", func(f *Facts, p *Plan) {
			p.Promote = true
			f.moves = known([]move{{"d-1", "f", "prod", "Succeeded", false, f.now}, {"d-2", "f", "prod", "Ready", true, f.now}})
		}, "codedeploy", Block, "d-2", "d-2"},
		{"CodeDeploy elsewhere", func(f *Facts, p *Plan) {
			p.Promote, f.moves = true, known([]move{{"d-1", "f", "dev", "InProgress", true, f.now}})
		},
			"codedeploy", OK, "", ""},
		{"CodeDeploy not asked", func(f *Facts, p *Plan) { f.moves = refused[[]move]() }, "codedeploy", Unchecked, "whether CodeDeploy moves an alias: GetX", "codedeploy:ListDeployments"},

		{"endpoint disabled", func(f *Facts, _ *Plan) { f.target.EndpointDisabled = true }, "endpoint", Block, "the API's own endpoint is disabled", "--url"},
		{"endpoint disabled, own URL", func(f *Facts, p *Plan) {
			f.target.EndpointDisabled, p.URL = true, f.target.InvokeURL
			f.route = known(stage.Route{API: f.ref.API, Stage: "prod", Path: "/products"})
		}, "endpoint", Block, "the API's own endpoint is disabled", "--url"},
		{"custom domain", func(f *Facts, p *Plan) {
			f.target.EndpointDisabled, p.URL = true, "https://api.example.com/shop/products"
			f.route = known(stage.Route{Domain: "api.example.com", BasePath: "shop", API: f.ref.API, Stage: "prod", Path: "/products"})
		}, "endpoint", OK, "domain api.example.com, base path shop, leads to this API and stage", ""},
		{"custom domain of another stage", func(f *Facts, p *Plan) {
			p.URL, f.route = "https://api.example.com/", known(stage.Route{Domain: "api.example.com", API: f.ref.API, Stage: "dev", Path: "/products"})
		}, "endpoint", Block, "the URL leads to API ab12cd34ef, stage dev, and not to API ab12cd34ef, stage prod", "base path mapping"},
		{"custom domain, another path", func(f *Facts, p *Plan) {
			p.URL, f.route = "https://api.example.com/", known(stage.Route{Domain: "api.example.com", API: f.ref.API, Stage: "prod", Path: "/orders"})
		}, "endpoint", Block, "the URL leads to /orders, and not to /products", "--url"},
		{"custom domain without a mapping", func(f *Facts, p *Plan) {
			p.URL, f.route = "https://api.example.com/", known(stage.Route{Domain: "api.example.com"})
		}, "endpoint", Block, "no base path mapping of api.example.com", "base path mapping"},
		{"custom domain with rules", func(f *Facts, p *Plan) {
			p.URL, f.route = "https://api.example.com/", known(stage.Route{Domain: "api.example.com", Rules: true})
		}, "endpoint", Warning, "routing rules", "coalmine attack"},
		{"unknown domain", func(f *Facts, p *Plan) {
			p.URL, f.route = "https://api.example.com/", reading[stage.Route]{why: "GetDomainName: NotFoundException: no"}
		}, "endpoint", Block, "api.example.com is not known to lead to stage prod: GetDomainName: NotFoundException", "--url"},
		{"domain not read", func(f *Facts, p *Plan) { p.URL, f.route = "https://api.example.com/", refused[stage.Route]() },
			"endpoint", Warning, "not checked whether api.example.com leads to stage prod", "/domainnames/api.example.com"},

		{"IAM", func(f *Facts, _ *Plan) { f.target.Method.Authorization = "AWS_IAM" }, "auth", Block, "signed with SigV4", "does not sign"},
		{"IAM, one signature", func(f *Facts, p *Plan) {
			f.target.Method.Authorization, p.Header = "AWS_IAM", http.Header{"Authorization": {"AWS4 x"}}
		}, "auth", Warning, "one Authorization header", "five minutes"},
		{"key", func(f *Facts, _ *Plan) { f.target.Method.NeedsKey = true }, "auth", Block, "wants an API key, and none is given", "x-api-key"},
		{"key given", func(f *Facts, p *Plan) { f.target.Method.NeedsKey, p.Header = true, http.Header{"X-Api-Key": {"k"}} }, "auth", OK, "", ""},
		{"key from an authorizer", func(f *Facts, _ *Plan) { f.target.Method.NeedsKey, f.target.Method.KeySource = true, "AUTHORIZER" }, "auth", OK, "", ""},
		{"authorizer", func(f *Facts, _ *Plan) { f.target.Method.Authorization = "CUSTOM" }, "auth", Warning, "asks an authorizer (CUSTOM)", "--header"},
		{"authorizer, token given", func(f *Facts, p *Plan) {
			f.target.Method.Authorization, p.Header = "CUSTOM", http.Header{"Authorization": {"Bearer x"}}
		}, "auth", OK, "", ""},
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

func refused[T any]() reading[T] {
	return reading[T]{why: "GetX: AccessDeniedException: no", denied: true}
}

func denied(operation string) []stage.Unread {
	return []stage.Unread{{Operation: operation, Why: operation + ": AccessDeniedException: no", Denied: true}}
}
