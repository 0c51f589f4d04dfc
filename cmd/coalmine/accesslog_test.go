package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigateway/types"

	"coalmine/analyze"
	"coalmine/scenarios/emulator"
	"coalmine/scenarios/products"
)

// A story keeps ids where its scenario or the command line says so; plain load, which names no versions, gets arms by
// their roles; and one's own header does not go with it.
func TestRequestIDs(t *testing.T) {
	beside(t)
	s := newSystem(t, emulator.Faults{Seed: 1, Gateway: emulator.Gateway{Deny: []string{"staging"}}})
	dir := t.TempDir()
	for _, asked := range []bool{false, true} {
		if scenario, err := (&play{requests: requests{requestIDs: asked}, given: func(string) bool { return false }}).scenario("products", nil); err != nil || scenario.Load.RequestIDs != asked {
			t.Errorf("--request-ids=%v: %+v, %v", asked, scenario.Load, err)
		}
	}
	s.anonymous(t)
	text, err := os.ReadFile(quick(t))
	if err != nil {
		t.Fatal(err)
	}
	story := written(t, "story.yaml", strings.Replace(string(text), "load: {rate: 400}", "load: {rate: 400, request-ids: true}", 1))
	told := filepath.Join(dir, "told")
	if code, _, stderr := coalmine(t, t.Context(), s.env, "run", story, "--out", told); code != exitReject {
		t.Fatalf("run: exit %d\n%s", code, stderr)
	}
	run, err := os.Open(told)
	if err != nil {
		t.Fatal(err)
	}
	defer run.Close()
	sought, err := analyze.Seek(run)
	if err != nil || !sought.Header.Plan.RequestIDs || len(sought.IDs) == 0 || sought.Deployment == "" {
		t.Errorf("plan %+v, %d ids, deployment %q, %v", sought.Header.Plan, len(sought.IDs), sought.Deployment, err)
	}

	s.byHand(t)(0, "lambdaAlias=staging", "create", "--percent", "50", "--override", "lambdaAlias=staging")
	file := filepath.Join(dir, "attack")
	load := []string{"attack", "--api", "products", "--path", "/products", "--rate", "200/s", "--duration", "500ms", "--request-ids", "--out", file}
	if code, _, stderr := coalmine(t, t.Context(), s.env, load...); code != 0 {
		t.Fatalf("attack: exit %d\n%s", code, stderr)
	}
	code, stdout, stderr := coalmine(t, t.Context(), s.env, "report", file, "--access-log", products.LogGroup, "--format", "json")
	var shown struct{ Arms []analyze.Arm }
	if err := json.Unmarshal([]byte(stdout), &shown); err != nil || code != 0 {
		t.Fatalf("report: exit %d, %v\n%s", code, err, stderr)
	}
	arms := shown.Arms
	if len(arms) != 2 || arms[0].Name != "baseline" || arms[1].Name != "canary" || arms[0].Errors != 0 || arms[1].Errors != arms[1].Hits || arms[0].Hits+arms[1].Hits != 100 {
		t.Errorf("arms %+v", arms)
	}
	code, _, stderr = coalmine(t, t.Context(), s.env, append(load, "-H", "X-Amzn-RequestID: mine")...)
	if code != exitUsage || !strings.Contains(stderr, "the target has a header x-amzn-RequestId already") {
		t.Errorf("a header of one's own: exit %d\n%s", code, stderr)
	}
}

// anonymous takes the gateway response away that names the alias, and deploys: a canary names none from its creation on.
func (s *system) anonymous(t *testing.T) {
	t.Helper()
	if _, err := s.client.Gateway().DeleteGatewayResponse(t.Context(), &apigateway.DeleteGatewayResponseInput{RestApiId: &s.ref.API, ResponseType: types.GatewayResponseTypeDefault5xx}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.Gateway().CreateDeployment(t.Context(), &apigateway.CreateDeploymentInput{RestApiId: &s.ref.API, StageName: &s.ref.Stage}); err != nil {
		t.Fatal(err)
	}
	s.before = s.read(t)
}

// The answers of a canary whose alias nobody may invoke name no version: live they are the whole stage's errors, by the
// access log they are the canary's.
func TestAccessLog(t *testing.T) {
	beside(t)
	s := newSystem(t, emulator.Faults{Seed: 1, Gateway: emulator.Gateway{Deny: []string{"staging"}}})
	s.anonymous(t)
	s.byHand(t)(0, "lambdaAlias=staging", "create", "--percent", "50", "--override", "lambdaAlias=staging")
	s.byHand(t)(0, "deployment", "deploy")
	dir := t.TempDir()
	file, joined := filepath.Join(dir, "run"), filepath.Join(dir, "joined")
	gate := func(to string, more ...string) (int, analyze.Analysis) {
		t.Helper()
		code, stdout, stderr := coalmine(t, t.Context(), s.env, append([]string{"gate", "--api", s.ref.API, "--path", "/products", "--classify", "header:X-Lambda-Version",
			"--rate", "300/s", "--format", "json", "--out", to}, more...)...)
		var a analyze.Analysis
		if err := json.Unmarshal([]byte(stdout), &a); err != nil {
			t.Fatalf("exit %d: %v\n%s", code, err, stderr)
		}
		return code, a
	}
	code, live := gate(file, "--request-ids")
	if code != exitReject || live.Conclusion.Culprit != "stage errors" {
		t.Fatalf("live: exit %d, culprit %q: %s", code, live.Conclusion.Culprit, live.Conclusion.Sentence)
	}
	look := func(run string, more ...string) (code int, stdout, stderr string) {
		t.Helper()
		return coalmine(t, t.Context(), s.env, append([]string{"report", run, "--format", "json"}, more...)...)
	}

	code, stdout, stderr := look(file, "--access-log", products.LogGroup, "--out", joined)
	var a analyze.Analysis
	if err := json.Unmarshal([]byte(stdout), &a); err != nil {
		t.Fatalf("exit %d: %v\n%s", code, err, stderr)
	}
	if code != exitReject || a.Conclusion.Culprit != "errors 2 early" || !strings.Contains(stderr, "0 to the baseline") {
		t.Errorf("joined: exit %d, culprit %q: %s\n%s", code, a.Conclusion.Culprit, a.Conclusion.Sentence, stderr)
	}
	for _, arm := range a.Phases[len(a.Phases)-1].Arms {
		if arm.Name == "unattributed" || arm.Name == "2" && arm.Errors != arm.Hits {
			t.Errorf("%+v", arm)
		}
	}
	if _, again, _ := look(file, "--access-log", products.LogGroup); again != stdout {
		t.Errorf("joined again:\n%s, first:\n%s", again, stdout)
	}
	if _, fromFile, _ := look(joined); fromFile != stdout {
		t.Errorf("of the attributed run:\n%s, joined:\n%s", fromFile, stdout)
	}
	policy := written(t, "policy.yaml", "errors: {max: 99%, margin: 60}\nbreaker: {errors: 100%}\n")
	if code, _, stderr := look(file, "--access-log", products.LogGroup, "--policy", policy); code != exitInconclusive {
		t.Errorf("by a policy that allows everything: exit %d, want 11\n%s", code, stderr)
	}

	for _, tc := range []struct {
		name, run, says string
		code            int
		args            []string
	}{
		{"no such group", file, "access log nobody: there is no such log group", exitUsage, []string{"--access-log", "nobody"}},
		{"onto itself", file, "want another name", exitUsage, []string{"--access-log", products.LogGroup, "--out", file}},
		{"out without log", file, "want --access-log", exitUsage, []string{"--out", joined}},
		{"what is attributed already", joined, "every answer named its version", exitReject, []string{"--access-log", products.LogGroup}},
	} {
		before, _ := os.ReadFile(tc.run)
		code, _, stderr := look(tc.run, tc.args...)
		if after, _ := os.ReadFile(tc.run); code != tc.code || !strings.Contains(stderr, tc.says) || string(after) != string(before) {
			t.Errorf("%s: exit %d, want %d and %q\n%s", tc.name, code, tc.code, tc.says, stderr)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".coalmine-*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}

	plain := filepath.Join(dir, "plain")
	gate(plain)
	if code, _, stderr := look(plain, "--access-log", products.LogGroup); code != exitUsage || !strings.Contains(stderr, "run gate again with --request-ids") {
		t.Errorf("without ids: exit %d\n%s", code, stderr)
	}

	if err := s.server.SetFaults(emulator.Faults{Seed: 2, Gateway: emulator.Gateway{Deny: []string{"staging"}}, Logs: emulator.Logs{Delay: time.Hour}}); err != nil {
		t.Fatal(err)
	}
	_, live = gate(file, "--request-ids")
	code, _, stderr = look(file, "--access-log", products.LogGroup)
	if code != exitReject || !strings.Contains(stderr, ": 0 of ") || !strings.Contains(stderr, "ask again later") {
		t.Errorf("before the log has come: exit %d, live %s\n%s", code, live.Conclusion.Verdict, stderr)
	}
}
