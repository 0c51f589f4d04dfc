package main

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/pflag"
	vegeta "github.com/tsenart/vegeta/v12/lib"

	"coalmine/attack"
	"coalmine/scenarios"
	"coalmine/scenarios/stage"
)

// target says whom the load goes to, and how.
type target struct {
	cloud
	requests
	connect
	url, method      string
	body             string
	targets          string
	targetsFormat    string
	api, stage, path string
	lambdaAlias      string // FUNCTION:ALIAS whose weights split the traffic
	classify         []string
	statuses         []int
	rate             string
	connections      int
	timeout          time.Duration
	insecure         bool
	several          []attack.Target // of --targets
	content          []byte          // of --body
	maxRate          float64
	maxRequests      uint64
	given            func(flag string) bool
}

func (t *target) flags(f *pflag.FlagSet, rateHelp string) {
	t.given = f.Changed
	t.cloud.flags(f)
	t.connect.flags(f)
	t.requests.flags(f)
	f.StringVar(&t.url, "url", "", "URL to send to; with --api a custom domain that leads to the stage")
	f.StringVar(&t.api, "api", "", "API Gateway REST API, id or name; everything else is read from AWS (or AWS_ENDPOINT_URL)")
	f.StringVar(&t.stage, "stage", "prod", "stage of the API")
	f.StringVar(&t.path, "path", "", "path of the method under test, for --api")
	f.StringVar(&t.method, "method", http.MethodGet, "of the requests; what is not GET or HEAD may change something, thousands of times")
	f.StringVar(&t.body, "body", "", "`BODY` of each request, or @FILE for what is in it (@- for standard input)")
	f.StringVar(&t.targets, "targets", "", "`FILE` of several targets, in vegeta's format, - for standard input; a path is appended to --url, or taken in the stage of --api")
	f.StringVar(&t.targetsFormat, "targets-format", "http", "format of --targets: http or json")
	f.IntSliceVar(&t.statuses, "expect-status", nil, "status `CODE` of a good answer, repeatable (default 200)")
	f.StringArrayVar(&t.classify, "classify", nil, "`RULE` that tells the versions apart: header:NAME, json:POINTER or body:REGEX, repeatable")
	f.StringVar(&t.rate, "rate", "", rateHelp)
	f.IntVar(&t.connections, "connections", 0, "most connections (default 1000; 64 with --rate max)")
	f.DurationVar(&t.timeout, "timeout", attack.DefaultTimeout, "for each request; counts as an error and as slow")
	f.BoolVar(&t.insecure, "insecure", false, "do not verify the target's certificate")
	f.Uint64Var(&t.maxRequests, "max-requests", 0, "requests in all, the first ones included (default no limit)")
	f.Float64Var(&t.maxRate, "max-rate", 1000, "highest rate per second that --rate may ask for, off loopback")
}

const requestIDsHelp = "send a UUID with each request as x-amzn-RequestId, and keep those of answers that name no version: report --access-log finds them"

// named is what can be said of the control plane's side without asking anybody.
func (t *target) named() error {
	function, alias, both := strings.Cut(t.lambdaAlias, ":")
	switch {
	case t.lambdaAlias != "" && (!both || function == "" || alias == "" || strings.Contains(alias, ":")):
		return usagef("--lambda-alias: want FUNCTION:ALIAS, got %q", t.lambdaAlias)
	case t.lambdaAlias != "" && t.api != "":
		return usagef("--api and --lambda-alias: want one of them, what splits the traffic")
	case t.lambdaAlias == "" && t.api == "":
		return usagef("missing target: want --api ID or name, or --lambda-alias FUNCTION:ALIAS")
	}
	return nil
}

// controlled reports whether the split is read from a control plane.
func (t *target) controlled() bool { return t.api != "" || t.lambdaAlias != "" }

// check is what can be said without asking anybody.
func (t *target) check(w world) error {
	if t.controlled() {
		if err := t.named(); err != nil {
			return err
		}
	}
	if err := t.requests.check(w); err != nil {
		return err
	}
	if err := t.readTargets(w); err != nil {
		return err
	}
	switch {
	case t.url == "" && !t.controlled():
		return usagef("missing target: want --url URL, or --api ID with --path")
	case t.lambdaAlias != "" && t.url == "":
		return usagef("--lambda-alias: want --url, too: an alias does not know what leads to it")
	case t.api != "" && t.url == "" && !strings.HasPrefix(t.path, "/"):
		return usagef("--path: want the path of the method under test, like /products, got %q", t.path)
	case t.body != "" && (t.method == http.MethodGet || t.method == http.MethodHead):
		return usagef("--body: want --method, too, like POST: %s has no body", t.method)
	case t.timeout <= 0:
		return usagef("--timeout: want more than 0, got %s", t.timeout)
	case t.given("connections") && t.connections < 1:
		return usagef("--connections: want 1 or more, got %d", t.connections)
	case t.given("warm") && t.warm == 0:
		return usagef("--warm: want 1 or more, or -1 for none, got 0")
	case t.given("max-rate") && !(t.maxRate > 0):
		return usagef("--max-rate: want more than 0, got %v", t.maxRate)
	}
	if err := errors.Join(t.alone(), t.connect.check(t.url)); err != nil {
		return err
	}
	return t.readBody(w)
}

// alone refuses what would say nothing of a URL without --api.
func (t *target) alone() error {
	if t.api != "" {
		return nil
	}
	switch {
	case t.given("path"):
		return usagef("--path is about --api: the path of a --url belongs into the URL")
	case t.given("stage"):
		return usagef("--stage is about --api: a --url alone has none")
	case t.controlled():
		return nil
	case t.given("expect-account"):
		return usagef("--expect-account is about --api or --lambda-alias: whose account a --url alone leads to is not known")
	}
	for _, name := range []string{"region", "profile"} {
		if t.given(name) && t.sigv4 == "" {
			return usagef("--%s is about --api, --lambda-alias or --sigv4: for a --url alone AWS is not asked", name)
		}
	}
	return nil
}

// readTargets reads --targets; the first may say where the load goes, if nothing else does.
func (t *target) readTargets(w world) (err error) {
	switch {
	case t.targets == "" && t.targetsFormat != "http":
		return usagef("--targets-format is about --targets FILE")
	case t.targets == "":
		return nil
	case t.body != "" || t.method != http.MethodGet:
		return usagef("--method and --body: want them in --targets, each target has its own")
	}
	if t.several, err = readTargets(w, t.targets, t.targetsFormat); err != nil {
		return err
	}
	for i, target := range t.several {
		switch at := origin(target.URL); {
		case at != "" && t.controlled():
			return usagef("--targets: target %d has a whole URL: want a path, like /products, in the stage that is judged", i+1)
		case at == "" && !t.controlled() && t.url == "":
			return usagef("--targets: target %d is a path: want --url URL, too, that it is appended to", i+1)
		case t.url == "" && !t.controlled():
			t.url = at
		}
	}
	return nil
}

func (t *target) readBody(w world) (err error) {
	name, file := strings.CutPrefix(t.body, "@")
	if t.content = []byte(t.body); file {
		if t.content, err = readFile(w, name); err != nil {
			return usagef("--body: %w", err)
		}
	}
	return nil
}

// plan is the load on a URL, all but its phase. What it opens, requests.done closes.
func (t *target) plan(ctx context.Context, w world, to string, rate vegeta.Rate, classifier attack.Classifier, runID string) (attack.Plan, error) {
	plan := attack.Plan{
		Target:      vegeta.Target{Method: t.method, URL: to, Body: t.content},
		Targets:     t.several,
		Rate:        rate,
		Connections: t.connections,
		Timeout:     t.timeout,
		Classify:    classifier,
		Insecure:    t.insecure,
		UserAgent:   "coalmine/" + version,
		RunID:       runID,
	}
	apply, err := t.requests.ready(ctx, w, t.cloud, to)
	if err != nil {
		return plan, err
	}
	apply(&plan)
	t.connect.apply(&plan)
	plan.Expect.Status = t.statuses
	if t.api != "" {
		plan.Path = t.path
	}
	if t.maxRequests > 0 {
		plan.Budget = attack.NewBudget(t.maxRequests)
	}
	if !t.stays(to) {
		plan.MaxRate = t.maxRate // also while catching up
	}
	return plan, usage(plan.Validate())
}

// loopback reports whether load on the URL stays on this machine.
func loopback(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil {
		return false
	}
	if host := strings.ToLower(u.Hostname()); host == "localhost" || strings.HasSuffix(host, ".localhost") { // RFC 6761: the load client asks no resolver
		return true
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return err == nil && ip.IsLoopback()
}

// whereURL says where a run on a bare URL happens.
func whereURL(raw string) string {
	u, err := url.Parse(raw)
	if err == nil && (strings.HasSuffix(u.Hostname(), ".amazonaws.com") || strings.HasSuffix(u.Hostname(), ".amazonaws.com.cn")) {
		return "AWS, by URL: " + scenarios.Bare(raw)
	}
	return "NOT AWS: " + scenarios.Bare(raw)
}

// rateFor reads --rate; without one the default, which is higher where the load stays on this machine.
func (t *target) rateFor(to string, otherwise, onLoopback float64) (vegeta.Rate, error) {
	if t.rate == "" && !t.given("rate") {
		if t.stays(to) {
			otherwise = onLoopback
		}
		return attack.RateOf(otherwise), nil
	}
	rate, err := attack.ParseRate(t.rate)
	if err != nil {
		return rate, usagef("--rate: %w", err)
	}
	if x := attack.PerSecond(rate); !t.stays(to) && x > t.maxRate {
		return rate, usagef("--rate: %v/s is above --max-rate %v/s, the limit off loopback", x, t.maxRate)
	}
	return rate, nil
}

// locate finds where the load goes, and the control plane of it, which a bare URL does not have.
func (w world) locate(ctx context.Context, t *target) (client *stage.Client, ref stage.Ref, where string, err error) {
	if !t.controlled() {
		return nil, ref, whereURL(t.url), nil
	}
	if client, err = w.connect(ctx, t.cloud); err != nil {
		return nil, ref, "", err
	}
	if ref, err = t.ref(ctx, client); err != nil {
		return nil, ref, "", err
	}
	if t.url == "" {
		t.url = client.InvokeURL(ref)
	}
	return client, ref, client.Where(ref), nil
}

// ref finds the API, or names the alias, and the method under test.
func (t *target) ref(ctx context.Context, c *stage.Client) (stage.Ref, error) {
	ref := stage.Ref{Method: t.method, Path: t.path}
	if t.lambdaAlias != "" {
		ref.Function, ref.Alias, _ = strings.Cut(t.lambdaAlias, ":")
		return ref, nil
	}
	var err error
	ref.Stage = t.stage
	ref.API, err = c.FindAPI(ctx, t.api)
	return ref, scenarios.Misnamed(err)
}
