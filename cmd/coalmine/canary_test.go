package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"coalmine/analyze"
	"coalmine/scenarios"
	"coalmine/scenarios/emulator"
	"coalmine/scenarios/stage"
)

// byHand runs canary verbs on the system's API: the exit code to come, words that must be said, and the arguments.
func (s *system) byHand(t *testing.T) func(code int, says string, args ...string) {
	return func(want int, says string, args ...string) {
		t.Helper()
		args = append([]string{"canary", args[0]}, args[1:]...)
		if all := strings.Join(args, " "); !strings.Contains(all, "--verdict") && !strings.Contains(all, "--lambda-alias") {
			args = append(args, "--api", "products")
		}
		if code, stdout, stderr := coalmine(t, t.Context(), s.env, args...); code != want || !strings.Contains(stdout+stderr, says) {
			t.Errorf("%q: exit %d, want %d and %q\n%s%s", args, code, want, says, stdout, stderr)
		}
	}
}

// The verbs do by hand what run does.
func TestCanaryByHand(t *testing.T) {
	s := newSystem(t, emulator.Faults{Seed: 1})
	do := s.byHand(t)
	do(0, "canary none", "show")
	do(2, "no canary", "abort")
	do(0, "lambdaAlias=staging", "create", "--percent", "10", "--override", "lambdaAlias=staging")
	do(2, "has a canary already", "create", "--percent", "10", "--override", "lambdaAlias=staging")
	do(0, "deployment", "deploy")
	do(0, "canary 10.0%", "show")
	do(0, "baseline: alias prod of getProducts: version 1\ncanary: alias staging of getProducts: version 2\n", "show", "--path", "/products")
	do(0, "give --path", "show")
	do(2, "--percent: missing: want 0 to 100", "percent")
	do(0, "canary", "abort")
	s.asBefore(t)
	do(0, "lambdaAlias=staging", "create", "--percent", "10", "--override", "lambdaAlias=staging")
	do(0, `"prod" -> "staging"`, "promote")
	do(0, "variable lambdaAlias=staging", "show")
	do(0, `"staging" -> "prod"`, "rollback")
	s.asBefore(t)
	do(2, "knows of no promote", "rollback") // it would take a later canary away
}

// What a verb changes is shown once, before it is done; afterwards only that it was, and what was not known before.
func TestShownOnce(t *testing.T) {
	s := newSystem(t, emulator.Faults{Seed: 1})
	for _, tc := range []struct {
		args []string
		want string // on stdout; DEPLOYMENT is the canary's
	}{
		{[]string{"create", "--percent", "10", "--override", "lambdaAlias=staging"}, "create canary on prod: done, and read back as announced\n"},
		{[]string{"percent", "--percent", "10"}, "set canary percent on prod: nothing had to be changed\n"},
		{[]string{"deploy"}, "deploy canary on prod: done, and read back as announced\n  deployment created: DEPLOYMENT\n"},
		{[]string{"promote"}, "promote canary on prod: done, and read back as announced\n" +
			"  stage variable lambdaAlias is now \"staging\": whatever moves what it names moves stage prod\n"},
		{[]string{"rollback"}, "roll back on prod: done, and read back as announced\n"},
	} {
		code, stdout, stderr := coalmine(t, t.Context(), s.env, append(append([]string{"canary"}, tc.args...), "--api", "products")...)
		if canary := s.read(t).Canary; canary != nil {
			tc.want = strings.ReplaceAll(tc.want, "DEPLOYMENT", canary.DeploymentID)
		}
		if changes := !strings.Contains(tc.want, "nothing"); code != 0 || stdout != tc.want || strings.Count(stderr, "patch operations: ") != strings.Count(tc.want, "as announced") ||
			changes != strings.Contains(stderr, "to undo by hand: ") {
			t.Errorf("%q: exit %d, stdout\n%swant\n%sstderr\n%s", tc.args, code, stdout, tc.want, stderr)
		}
	}
}

// What somebody else has released since a promote is rolled back only where one says so.
func TestRollbackAnyway(t *testing.T) {
	s := newSystem(t, emulator.Faults{Seed: 1})
	do := s.byHand(t)
	do(0, "done", "create", "--percent", "10", "--override", "lambdaAlias=staging")
	do(0, "done", "promote")
	first := s.before
	s.tampered(t)
	s.before = s.read(t)
	do(12, "by somebody else since the promote: variable theirs: unset -> \"x\"; --anyway puts what was before the promote back over it", "rollback")
	do(0, `variable theirs: "x" -> unset`, "rollback", "--anyway", "--dry-run")
	s.asBefore(t)
	do(0, `variable theirs: "x" -> unset`, "rollback", "--anyway")
	s.before = first
	s.asBefore(t)
}

// What may have changed something and then failed is never the caller's to mend.
func TestRefusedCode(t *testing.T) {
	for _, tc := range []struct {
		err     error
		changes []stage.Change
		want    int
	}{
		{stage.ErrNoCanary, nil, exitUsage},
		{stage.ErrNoCanary, []stage.Change{{Touched: true}}, exitBroken},
		{fmt.Errorf("recover: %w", errors.Join(stage.Touched{Err: stage.ErrCredentials})), nil, exitBroken},
		{stage.ErrCredentials, []stage.Change{{}}, exitUsage},
		{fmt.Errorf("promote: %w", stage.ErrChanged), []stage.Change{{}}, exitVoid},
		{fmt.Errorf("%w; %w", stage.ErrChanged, &stage.RequestError{Code: "PreconditionFailedException"}), []stage.Change{{}}, exitVoid},
		{stage.Touched{Err: stage.ErrChanged}, nil, exitBroken},
		{stage.Touched{Err: context.Canceled}, nil, exitBroken}, // by nobody's interrupt
		{&stage.RequestError{Code: "TooManyRequestsException"}, nil, exitBroken},
		{&stage.RequestError{Code: "TooManyRequestsException"}, []stage.Change{{Touched: true}}, exitBroken},
	} {
		if got := code(t.Context(), refused(tc.err, tc.changes)); got != tc.want {
			t.Errorf("%v, %+v: exit %d, want %d", tc.err, tc.changes, got, tc.want)
		}
	}
}

// An interrupt is one, whatever was changed by then: the rest is not begun, what was done is shown, and recover takes it
// back.
func TestInterruptedByHand(t *testing.T) {
	s := newSystem(t, emulator.Faults{Seed: 1})
	do := s.byHand(t)
	do(0, "lambdaAlias=staging", "create", "--percent", "10", "--override", "lambdaAlias=staging")
	s.before = s.read(t)
	ctx, interrupt := context.WithCancel(t.Context())
	s.through(t, func(_ http.ResponseWriter, r *http.Request, body []byte) bool {
		if r.Method == http.MethodPatch && bytes.Contains(body, []byte(`"copy"`)) {
			interrupt() // the patch under way is finished
		}
		return false
	})
	code, stdout, stderr := coalmine(t, ctx, s.env, "canary", "promote", "--api", "products")
	if code != exitInterrupted || !strings.Contains(stdout, `variable lambdaAlias: "prod" -> "staging"`) || !strings.Contains(stderr, "cancelled; coalmine canary recover "+s.env["XDG_STATE_HOME"]) {
		t.Errorf("exit %d, want 130\n%s%s", code, stdout, stderr)
	}
	do(0, `variable lambdaAlias: "staging" -> "prod"`, "recover")
	s.asBefore(t)
}

// Interrupted after any of its writes, a promote that is to repoint says what is live by then, and what takes it back.
func TestInterruptedBetweenPromoteAndRepoint(t *testing.T) {
	for write, says := range []string{
		"promoted, but its settings are left at 0%: cancelled",
		"promoted, but not repointed: repoint on prod: ",
		"promoted, and the repoint broke off: repoint on prod: ",
	} {
		s := newSystem(t, emulator.Faults{Seed: 1})
		s.byHand(t)(0, "lambdaAlias=staging", "create", "--percent", "10", "--override", "lambdaAlias=staging")
		s.before = s.read(t)
		ctx, interrupt := context.WithCancel(t.Context())
		writes := 0
		s.through(t, func(_ http.ResponseWriter, r *http.Request, _ []byte) bool {
			if r.Method == http.MethodPatch || r.Method == http.MethodPut {
				if writes == write {
					interrupt() // the write under way is finished
				}
				writes++
			}
			return false
		})
		code, stdout, stderr := coalmine(t, ctx, s.env, "canary", "promote", "--api", "products", "--path", "/products", "--then", "repoint")
		lines := strings.Split(strings.TrimSpace(stderr), "\n")
		last := lines[len(lines)-1]
		if code != exitInterrupted || writes != write+1 || !strings.Contains(last, says) || !strings.Contains(last, "cancelled; coalmine canary recover "+s.env["XDG_STATE_HOME"]) {
			t.Errorf("interrupted at write %d of %d: exit %d, want 130 and %q in the last line of\n%s%s", write+1, writes, code, says, stdout, stderr)
		}
		s.byHand(t)(0, `variable lambdaAlias: "staging" -> "prod"`, "recover")
		s.asBefore(t)
	}
}

// A promote that met somebody else's change leaves nothing of its own: standard output tells what was done, and what took it
// back, and nothing of theirs.
func TestPromoteBesideSomebodyElse(t *testing.T) {
	s := newSystem(t, emulator.Faults{Seed: 1})
	s.byHand(t)(0, "lambdaAlias=staging", "create", "--percent", "10", "--override", "lambdaAlias=staging")
	before := s.read(t)
	s.through(t, func(_ http.ResponseWriter, r *http.Request, body []byte) bool {
		if r.Method == http.MethodPatch && bytes.Contains(body, []byte(`"copy"`)) {
			s.tampered(t)
		}
		return false
	})
	code, stdout, stderr := coalmine(t, t.Context(), s.env, "canary", "promote", "--api", "products")
	want := `promote canary on prod
  variable lambdaAlias: "prod" -> "staging"
  canary percent: 10.0 -> 0.0
  patch operations: [{"op":"replace","path":"/canarySettings/percentTraffic","value":"0.0"},` +
		`{"op":"copy","path":"/variables","from":"/canarySettings/stageVariableOverrides"},{"op":"copy","path":"/deploymentId","from":"/canarySettings/deploymentId"}]
  undone by: [{"op":"replace","path":"/variables/lambdaAlias","value":"prod"},{"op":"replace","path":"/canarySettings/percentTraffic","value":"10.0"}]
`
	if code != exitVoid || stdout != want || !strings.HasSuffix(stderr, "variable theirs: unset -> \"x\"; undone, the stage is as it was but for that change\n") {
		t.Errorf("exit %d, want 12 and\n%s\ngot\n%s\n%s", code, want, stdout, stderr)
	}
	after := s.read(t)
	if delete(after.Variables, "theirs"); len(after.Differs(before)) > 0 {
		t.Errorf("%v", after.Differs(before))
	}
}

// A misspelt override is found before anything is changed, and by the name that was meant.
func TestMisspeltOverride(t *testing.T) {
	s := newSystem(t, emulator.Faults{Seed: 1})
	do := s.byHand(t)
	do(2, "no variable lambdaAlais, and no method's function is named by it: want lambdaAlias", "create", "--percent", "10", "--override", "lambdaAlais=staging")
	do(2, "(nearest alias: staging)", "create", "--percent", "10", "--override", "lambdaAlias=stagin")
	do(0, "warning: no method's function is named by colour", "create", "--percent", "10", "--override", "colour=blue", "--dry-run")
	s.asBefore(t)
	do(0, "canary", "create", "--percent", "10", "--override", "lambdaAlias=staging")
	s.before = s.read(t)
	_, err := s.client.Lambda().DeleteAlias(t.Context(), &lambda.DeleteAliasInput{FunctionName: aws.String("getProducts"), Name: aws.String("staging")})
	if err != nil {
		t.Fatal(err)
	}
	do(2, "GET /products would lead to getProducts:staging: ", "deploy")
	s.asBefore(t)
}

// A dry run shows what the verb would do, and does not.
func TestCanaryDryRun(t *testing.T) {
	s := newSystem(t, emulator.Faults{Seed: 1})
	do := s.byHand(t)
	do(0, `canary: none -> 10.0% to deployment`, "create", "--dry-run", "--percent", "10", "--override", "lambdaAlias=staging")
	s.asBefore(t)
	do(0, "canary", "create", "--percent", "10", "--override", "lambdaAlias=staging")
	s.before = s.read(t)
	for _, tc := range [][]string{
		{"canary percent: 10.0 -> 25.0", "percent", "--percent", "25"},
		{"(new deployment)", "deploy"},
		{`variable lambdaAlias: "prod" -> "staging"`, "promote"},
		{"-> none", "abort"},
	} {
		do(0, tc[0], append(tc[1:], "--dry-run")...)
		s.asBefore(t)
	}
}

// The account that the credentials belong to is the one that was meant, or nothing happens.
func TestExpectAccount(t *testing.T) {
	s := newSystem(t, emulator.Faults{Seed: 1})
	for _, tc := range []struct {
		account, says string
		args          []string
	}{
		{"999999999999", "the credentials belong to account " + s.client.Account(), []string{"canary", "show", "--api", "products"}},
		{"999999999999", "the credentials belong to account " + s.client.Account(), []string{"gate", "--api", "products", "--path", "/products"}},
		{"999999999999", "the credentials belong to account " + s.client.Account(), []string{"run"}},
		{"999999999999", "the credentials belong to account " + s.client.Account(), []string{"stack", "down"}},
		{"prod", "want an account's 12 digits", []string{"stack", "down"}},
	} {
		code, stdout, stderr := coalmine(t, t.Context(), s.env, append(tc.args, "--expect-account", tc.account)...)
		if code != exitUsage || stdout != "" || !strings.Contains(stderr, tc.says) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%q for account %s: exit %d, stdout %q, stderr %q", tc.args, tc.account, code, stdout, stderr)
		}
	}
	if code, _, stderr := coalmine(t, t.Context(), s.env, "canary", "show", "--api", "products", "--expect-account", s.client.Account()); code != 0 {
		t.Errorf("the right account: exit %d %s", code, stderr)
	}
}

// A verdict file promotes what it was written about, while it holds, and nothing else.
func TestVerdictFile(t *testing.T) {
	s := newSystem(t, emulator.Faults{Seed: 1})
	do := s.byHand(t)
	do(0, "canary", "create", "--percent", "10", "--override", "lambdaAlias=staging")
	measured, err := s.client.Measure(t.Context(), s.ref)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "verdict.json")
	write := func(v analyze.Verdict, age time.Duration) {
		t.Helper()
		judged := time.Now().Add(-age)
		w := scenarios.Warrant{Verdict: v, Sentence: "coalmine: " + v.String() + " v2 over v1", Judged: judged, Expires: judged.Add(time.Hour), Measured: measured}
		if err := scenarios.WriteWarrant(file, w); err != nil {
			t.Fatal(err)
		}
	}
	s.before = s.read(t)
	if err := scenarios.ClearWarrant(file); err != nil {
		t.Fatal(err)
	}
	do(2, "came to no verdict", "promote", "--verdict", file)
	write(analyze.Reject, 0)
	do(2, "the verdict is no PROMOTE: REJECT v2 over v1", "promote", "--verdict", file)
	write(analyze.Promote, 2*time.Hour)
	do(2, "expired at", "promote", "--verdict", file)
	write(analyze.Promote, -time.Hour)
	do(2, "one of the clocks is wrong", "promote", "--verdict", file)
	do(2, "no such file", "promote", "--verdict", file+".gone")
	do(2, "format", "promote", "--verdict", written(t, "verdict.json", `{"verdict": "PROMOTE"}`))
	write(analyze.Promote, 0)
	for _, other := range [][]string{{"--stage", "dev"}, {"--path", "/orders"}, {"--method", "HEAD"}, {"--lambda-alias", "getProducts:prod"}} {
		do(2, other[0]+" "+other[1]+": the verdict is about another", append([]string{"promote", "--dry-run", "--verdict", file}, other...)...)
	}
	do(2, "no REST API has this id or name", "promote", "--dry-run", "--verdict", file, "--api", "orders")
	s.asBefore(t)

	do(0, `"prod" -> "staging"`, "promote", "--dry-run", "--verdict", file)
	do(0, `"prod" -> "staging"`, "promote", "--dry-run", "--verdict", file, "--api", "products", "--stage", "prod", "--path", "/products", "--method", "GET")
	do(0, "-> version 2", "promote", "--dry-run", "--verdict", file, "--then", "repoint")
	s.asBefore(t)
	do(0, "canary percent", "percent", "--percent", "20")
	do(12, "stage changed under test: canary percent: 10.0 -> 20.0", "promote", "--verdict", file)
	do(0, "canary percent", "percent", "--percent", "10")
	if measured, err = s.client.Measure(t.Context(), s.ref); err != nil { // last-updated moved
		t.Fatal(err)
	}
	write(analyze.Promote, 0)
	do(0, `"prod" -> "staging"`, "promote", "--verdict", file)
}

// Repoint gives production its own alias back, and a rollback takes all of it back.
func TestRepointByHand(t *testing.T) {
	s := newSystem(t, emulator.Faults{Seed: 1})
	do := s.byHand(t)
	prod := func(want string) {
		t.Helper()
		if alias, err := s.client.ReadAlias(t.Context(), "getProducts", "prod"); err != nil || alias.String() != want {
			t.Errorf("alias prod: %s %v, want %s", alias, err, want)
		}
	}
	create := []string{"create", "--percent", "10", "--override", "lambdaAlias=staging"}
	do(0, "canary", create...)
	do(0, "alias prod of getProducts: version 1 -> version 2", "promote", "--then", "repoint", "--path", "/products", "--dry-run")
	do(0, `patch operations: [{"op":"replace","path":"/variables/lambdaAlias","value":"prod"}]`, "promote", "--then", "repoint", "--path", "/products", "--dry-run")
	prod("version 1")
	do(2, "--path: missing", "promote", "--then", "repoint")
	do(2, "want leave or repoint", "promote", "--then", "stay")
	do(0, "alias prod of getProducts: version 1 -> version 2", "promote", "--then", "repoint", "--path", "/products")
	prod("version 2")
	if state := s.read(t); state.Variables["lambdaAlias"] != "prod" || state.Canary != nil {
		t.Errorf("the stage after it: %+v", state)
	}
	do(0, "alias prod of getProducts: version 2 -> version 1", "rollback")
	prod("version 1")
	s.asBefore(t)

	do(0, "canary", create...)
	do(0, "staging", "promote", "--path", "/products")
	do(0, "alias prod of getProducts: version 1 -> version 2", "repoint", "--dry-run")
	prod("version 1")
	do(0, "alias prod of getProducts: version 1 -> version 2", "repoint")
	prod("version 2")
}

// The weights of an alias are a canary, too.
func TestWeightedByHand(t *testing.T) {
	s := newSystem(t, emulator.Faults{Seed: 1})
	do := s.byHand(t)
	by := func(args ...string) []string { return append(args, "--lambda-alias", "getProducts:prod") }
	do(2, "no canary", by("promote")...)
	_, err := s.client.Lambda().UpdateAlias(t.Context(), &lambda.UpdateAliasInput{FunctionName: aws.String("getProducts"), Name: aws.String("prod"),
		RoutingConfig: &types.AliasRoutingConfiguration{AdditionalVersionWeights: map[string]float64{"2": .1}}})
	if err != nil {
		t.Fatal(err)
	}
	do(0, "10.0% to version 2", by("show")...)
	do(2, "splits by its weights", by("create", "--percent", "5", "--override", "a=b")...)
	do(0, "25.0% to version 2", by("percent", "--percent", "25")...)
	do(2, "--then repoint is about a stage", by("promote", "--then", "repoint")...)
	do(0, "-> version 2", by("promote")...)
	do(0, "version 2\n", by("show")...)
	do(0, "-> version 1", by("rollback")...)
	do(0, "version 1\n", by("show")...)
	do(2, "want FUNCTION:ALIAS", "show", "--lambda-alias", "getProducts")
	do(2, "want one of them", "show", "--lambda-alias", "getProducts:prod", "--api", "products")
}

// The least policy is valid JSON that names the functions, and grows with what is to be done.
func TestPolicy(t *testing.T) {
	s := newSystem(t, emulator.Faults{Seed: 1})
	length := 0
	for _, what := range []string{"gate", "promote", "run"} {
		code, stdout, stderr := coalmine(t, t.Context(), s.env, "canary", "policy", what, "--api", "products", "--path", "/products")
		var document struct {
			Version   string
			Statement []struct{ Sid, Effect string }
		}
		if err := json.Unmarshal([]byte(stdout), &document); code != 0 || err != nil || document.Version != "2012-10-17" {
			t.Fatalf("%s: exit %d %v\n%s%s", what, code, err, stdout, stderr)
		}
		if !strings.Contains(stdout, ":function:getProducts") || strings.Contains(stdout, "apigateway:PATCH") != (what != "gate") {
			t.Errorf("%s:\n%s", what, stdout)
		}
		if len(stdout) <= length {
			t.Errorf("%s allows no more than what is less:\n%s", what, stdout)
		}
		length = len(stdout)
	}
	do := s.byHand(t)
	gateway := s.client.Gateway()
	domain, base := aws.String("shop.example.com"), aws.String("v1")
	if _, err := gateway.CreateDomainName(t.Context(), &apigateway.CreateDomainNameInput{DomainName: domain}); err != nil {
		t.Fatal(err)
	}
	if _, err := gateway.CreateBasePathMapping(t.Context(), &apigateway.CreateBasePathMappingInput{DomainName: domain, RestApiId: &s.ref.API, BasePath: base, Stage: &s.ref.Stage}); err != nil {
		t.Fatal(err)
	}
	do(0, "/domainnames/shop.example.com/basepathmappings", "policy", "gate", "--url", "https://shop.example.com/v1/products")
	do(0, "/domainnames/shop.example.com\"", "policy", "promote", "--path", "/products", "--url", "https://shop.example.com/v1/products")
	do(2, `leads to API "", stage ""`, "policy", "--url", "https://shop.example.com/v2/products")
	do(2, "find where nowhere.example.com leads", "policy", "--url", "https://nowhere.example.com/v1/products")
	do(2, "want gate, promote or run", "policy", "everything", "--path", "/products")
	do(2, "--path: want the path", "policy")
}
