package preflight

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

func TestPolicy(t *testing.T) {
	acting := Plan{Promote: true, Rollback: true}
	for name, change := range map[string]func(*Facts, *Plan){
		"gate":    func(*Facts, *Plan) {},
		"promote": func(_ *Facts, p *Plan) { *p = acting },
		"repoint": func(_ *Facts, p *Plan) { *p = acting; p.Repoint = true },
		"run": func(f *Facts, p *Plan) {
			*p = acting
			p.Create, p.Deploy = true, true
			f.target.State.CacheEnabled = true
		},
		"domain": func(f *Facts, p *Plan) {
			p.URL = "https://api.example.com/shop/products"
			f.target.CanaryFunction = "g"
			f.target.AccessLog = "arn:aws:logs:eu-west-1:111122223333:log-group:prod"
		},
		"china": func(f *Facts, _ *Plan) {
			f.place.region, f.place.caller = "cn-north-1", "arn:aws-cn:sts::111122223333:assumed-role/ci/one"
		},
		"gov":           func(f *Facts, p *Plan) { f.place.region, *p = "us-gov-west-1", acting },
		"alias":         func(f *Facts, p *Plan) { *f, *p = weighted() },
		"alias-promote": func(f *Facts, p *Plan) { *f, _ = weighted(); *p = acting },
	} {
		f, p := sound()
		change(&f, &p)
		got, err := policy(f.place, f.ref, f.target, p)
		if err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join("testdata", name+".json")
		if *update {
			if err := os.WriteFile(golden, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		sane(t, name, got)
		if again, _ := policy(f.place, f.ref, f.target, p); string(again) != string(got) {
			t.Errorf("%s: not stable", name)
		}
	}
	f, p := sound()
	if _, err := policy(place{region: "eu-west-1"}, f.ref, f.target, p); err == nil {
		t.Error("a policy without an account")
	}
}

var (
	sid    = regexp.MustCompile(`^[A-Za-z0-9]+$`)
	action = regexp.MustCompile(`^[a-z0-9-]+:[A-Za-z]+$`)
	arn    = regexp.MustCompile(`^(\*|arn:(aws|aws-cn|aws-us-gov):[a-z-]+:[a-z0-9-]*:[0-9]*:.+)$`)
)

// sane holds a policy to what IAM takes, and to granting no more than single actions.
func sane(t *testing.T, name string, document []byte) {
	t.Helper()
	var p struct {
		Version   string
		Statement []statement
	}
	if err := json.Unmarshal(document, &p); err != nil || p.Version != "2012-10-17" || len(p.Statement) == 0 || len(document) > 6144 {
		t.Fatalf("%s: %v, %d bytes", name, err, len(document))
	}
	seen := map[string]bool{}
	for _, s := range p.Statement {
		if !sid.MatchString(s.Sid) || seen[s.Sid] || s.Effect != "Allow" || len(s.Action) == 0 || len(s.Resource) == 0 || !slices.IsSorted(s.Action) || !slices.IsSorted(s.Resource) {
			t.Errorf("%s: %+v", name, s)
		}
		seen[s.Sid] = true
		for _, a := range s.Action {
			if !action.MatchString(a) {
				t.Errorf("%s: action %s", name, a)
			}
		}
		for _, r := range s.Resource {
			if !arn.MatchString(r) {
				t.Errorf("%s: resource %s", name, r)
			}
		}
	}
}

// Reading asks for nothing that changes, and acting on an alias for nothing of API Gateway's.
func TestLeast(t *testing.T) {
	f, p := sound()
	for _, n := range needs(f.place, f.ref, f.target, p) {
		if n.change || slices.ContainsFunc(n.actions, func(a string) bool {
			_, verb, _ := strings.Cut(a, ":")
			return !strings.HasPrefix(verb, "G") && !strings.HasPrefix(verb, "BatchGet") && !strings.HasPrefix(verb, "List") && verb != "SimulatePrincipalPolicy"
		}) {
			t.Errorf("%+v", n)
		}
	}
	f, _ = weighted()
	var required []string
	for _, n := range needs(f.place, f.ref, f.target, Plan{Promote: true, Rollback: true}) {
		if !n.optional {
			required = append(required, n.actions...)
		}
	}
	if !slices.Equal(required, []string{"lambda:GetAlias", "lambda:UpdateAlias"}) {
		t.Errorf("%q", required)
	}
}

// Whatever a check says is lacking, the policy grants.
func TestLackingIsInThePolicy(t *testing.T) {
	f, p := sound()
	for _, operation := range []string{"GetAlias", "GetPolicy", "GetFunctionConfiguration", "GetProvisionedConcurrencyConfig"} {
		f.target.Canary.Unread = append(f.target.Canary.Unread, denied(operation)...)
	}
	f.limits, f.concurrency, f.reserved["f"] = refused[limits](), refused[concurrency](), refused[*int]()
	lacks := f.deniedReads()
	if len(lacks) != 7 {
		t.Errorf("%q", lacks)
	}
	for _, a := range lacks {
		if least(needs(f.place, f.ref, f.target, p), a) == "" {
			t.Errorf("the policy does not grant %s", a)
		}
	}
}

func TestLacking(t *testing.T) {
	f, p := sound()
	p.Promote, p.Repoint = true, true
	all := needs(f.place, f.ref, f.target, p)
	var asked []string
	missing, err := lacking(t.Context(), func(_ context.Context, principal string, actions, resources []string) ([]string, error) {
		if principal != "arn:aws:iam::111122223333:user/ci" {
			t.Error(principal)
		}
		asked = append(asked, actions...)
		for _, r := range resources {
			if strings.HasSuffix(r, "*") {
				t.Errorf("a simulation was asked about %s", r)
			}
		}
		if actions[0] == "lambda:UpdateAlias" {
			return actions, nil
		}
		return nil, nil
	}, f.place, all)
	if err != nil || len(missing) != 1 || missing[0].Action[0] != "lambda:UpdateAlias" || missing[0].Sid != "" {
		t.Errorf("%+v %v", missing, err)
	}
	if !slices.Equal(asked, []string{"apigateway:PATCH", "lambda:UpdateAlias"}) {
		t.Errorf("asked about %q", asked)
	}
	if _, err := lacking(t.Context(), func(context.Context, string, []string, []string) ([]string, error) { return nil, errors.New("no") }, f.place, all); err == nil {
		t.Error("no error")
	}
}

func TestPrincipal(t *testing.T) {
	for caller, want := range map[string]string{
		"arn:aws:iam::1:user/a/ci":                     "arn:aws:iam::1:user/a/ci",
		"arn:aws:sts::1:assumed-role/deploy/session-7": "arn:aws:iam::1:role/deploy",
		"arn:aws-cn:sts::1:assumed-role/deploy/x":      "arn:aws-cn:iam::1:role/deploy",
		"arn:aws:sts::1:federated-user/bob":            "",
		"":                                             "",
	} {
		if got := (place{caller: caller}).principal(); got != want {
			t.Errorf("%s: %q, want %q", caller, got, want)
		}
	}
	if !(place{caller: "arn:aws:iam::1:root"}).root() {
		t.Error("the root user is not known")
	}
}

func TestDomain(t *testing.T) {
	for url, want := range map[string]string{
		"": "", "https://API.example.com/x": "api.example.com", "https://ab12.execute-api.eu-west-1.amazonaws.com/prod": "",
	} {
		if got := (Plan{URL: url}).domain(); got != want {
			t.Errorf("%s: %q", url, got)
		}
	}
}
