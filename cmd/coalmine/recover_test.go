package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigateway/types"

	"coalmine/scenarios/emulator"
)

// interrupted leaves a canary whose journal has no end, and returns the journal's path.
func (s *system) interrupted(t *testing.T) string {
	t.Helper()
	j, err := s.client.OpenJournal(filepath.Join(s.env["XDG_STATE_HOME"], "coalmine", "journal"), s.ref)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if _, err := s.client.CreateCanary(t.Context(), j, s.ref, 10, map[string]string{"lambdaAlias": "staging"}); err != nil {
		t.Fatal(err)
	}
	return j.Path()
}

// tampered is what somebody else makes of the canary.
func (s *system) tampered(t *testing.T) {
	t.Helper()
	_, err := s.client.Gateway().UpdateStage(t.Context(), &apigateway.UpdateStageInput{RestApiId: &s.ref.API, StageName: &s.ref.Stage,
		PatchOperations: []types.PatchOperation{{Op: types.OpReplace, Path: aws.String("/variables/theirs"), Value: aws.String("x")}}})
	if err != nil {
		t.Fatal(err)
	}
}

// What somebody has changed since an interrupted run is restored or left, as one says, and never without a word.
func TestRecoverByHand(t *testing.T) {
	s := newSystem(t, emulator.Faults{Seed: 1})
	first := s.before
	recover := func(code int, args ...string) string {
		t.Helper()
		got, stdout, stderr := coalmine(t, t.Context(), s.env, append([]string{"canary", "recover"}, args...)...)
		if got != code {
			t.Errorf("recover %q: exit %d, want %d\n%s%s", args, got, code, stdout, stderr)
		}
		return stdout + stderr
	}
	says := func(text string, want ...string) {
		t.Helper()
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("no %q in\n%s", w, text)
			}
		}
	}
	path := s.interrupted(t)
	s.before = s.read(t)
	says(recover(0, "--dry-run"), "NOT AWS: http://127.0.0.1:", ", stage prod\n", "canary: 10.0%", "-> none", `"op":"remove","path":"/canarySettings"`)
	s.asBefore(t)

	s.tampered(t)
	s.before = s.read(t)
	refusal := recover(12)
	says(refusal, "stage changed under test, by somebody else", `: variable theirs: unset -> "x"; coalmine canary recover --dismiss `+path)
	if strings.Contains(refusal, "canary: none") || strings.Count(refusal, "--anyway") != 1 || strings.Count(refusal, "--dismiss") != 1 {
		t.Errorf("coalmine's own canary is called somebody else's, or the way out is told twice:\n%s", refusal)
	}
	says(recover(2, "--anyway", "--dismiss"), "want one of them")
	says(recover(0, "--anyway", "--dry-run"), `variable theirs: "x" ->`, "-> none")
	says(recover(0, "--dismiss", "--dry-run"), "would be dismissed", "left behind: canary: none -> 10.0%")
	says(recover(0, "--anyway", "--api", "products", "--stage", "dev"), "nothing is unfinished")
	says(recover(2, "--stage", "dev"), "--stage: want --api, too")
	says(recover(2, "--api", "products", path), "want a JOURNAL or a stage")
	says(recover(12, "--api", "products", "--stage", "prod"), "by somebody else")
	says(recover(2, path+".gone"), "no such file")
	says(recover(2, "--dismiss", path+".gone"), "no such file")
	if _, err := os.Stat(path + ".gone"); err == nil {
		t.Error("a journal that is not there was made")
	}
	s.asBefore(t)
	says(recover(0, "--dismiss"), path+": dismissed, nothing was changed", "left behind: canary: none -> 10.0%", "left behind: variable theirs:")
	s.asBefore(t)
	says(recover(0), "nothing is unfinished")
	says(recover(0, "--dismiss"), "nothing is unfinished")
	s.byHand(t)(0, "canary", "abort")

	s.before = s.read(t)
	s.interrupted(t)
	s.tampered(t)
	s.byHand(t)(2, "unfinished story", "abort")
	torn := filepath.Join(filepath.Dir(path), "a.ndjson")
	if err := os.WriteFile(torn, []byte("{\nx\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	says(recover(2, "--anyway", "--dry-run"), "-> none", "journal "+torn+": line 1")
	if err := os.Remove(torn); err != nil {
		t.Fatal(err)
	}
	says(recover(0, "--anyway"), "canary: 10.0%", "-> none")
	s.asBefore(t)
	says(recover(0, "--anyway"), "nothing is unfinished")
	if first.Canary != nil || s.before.Variables["theirs"] != "x" {
		t.Errorf("the test's own stage: %+v, then %+v", first, s.before)
	}
}

// A dry run changes nothing, not even where the stage is as it was and only the journal would be closed.
func TestRecoverDryRunLeavesJournal(t *testing.T) {
	s := newSystem(t, emulator.Faults{Seed: 1})
	path := s.interrupted(t)
	ops := []types.PatchOperation{{Op: types.OpRemove, Path: aws.String("/canarySettings")}}
	if _, err := s.client.Gateway().UpdateStage(t.Context(), &apigateway.UpdateStageInput{RestApiId: &s.ref.API, StageName: &s.ref.Stage, PatchOperations: ops}); err != nil {
		t.Fatal(err)
	}
	was, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := coalmine(t, t.Context(), s.env, "canary", "recover", "--dry-run")
	if is, err := os.ReadFile(path); code != 0 || err != nil || string(is) != string(was) || !strings.Contains(stdout, "no difference") {
		t.Errorf("exit %d %v\n%s%s\njournal before\n%s\nafter\n%s", code, err, stdout, stderr, was, is)
	}
	code, stdout, stderr = coalmine(t, t.Context(), s.env, "canary", "recover", "--dismiss")
	if code != 0 || !strings.Contains(stdout, "left behind: nothing") {
		t.Errorf("dismiss: exit %d\n%s%s", code, stdout, stderr)
	}
}

// A dry run of gate names what an interrupted run left: a gate that acts would refuse.
func TestGateDryRunNamesJournal(t *testing.T) {
	s := newSystem(t, emulator.Faults{Seed: 1})
	path := s.interrupted(t)
	for _, tc := range []struct {
		code  int
		level string
		args  []string
	}{{0, "warning", nil}, {2, "block", []string{"--promote"}}} {
		code, stdout, stderr := coalmine(t, t.Context(), s.env, append([]string{"gate", "--api", "products", "--path", "/products", "--dry-run"}, tc.args...)...)
		all := strings.Join(strings.Fields(strings.ReplaceAll(stdout, "\n    ", "")), "")
		if code != tc.code || !strings.Contains(stdout, "\n"+tc.level+" journal: ") || !strings.Contains(all, "coalminecanaryrecover"+path) {
			t.Errorf("%q: exit %d\n%s%s", tc.args, code, stdout, stderr)
		}
	}
	if code, stdout, stderr := coalmine(t, t.Context(), s.env, "canary", "recover"); code != 0 || !strings.Contains(stderr, "-> none") {
		t.Errorf("recover: exit %d\n%s%s", code, stdout, stderr)
	}
	s.byHand(t)(0, "canary", "create", "--percent", "10", "--override", "lambdaAlias=staging")
	code, stdout, stderr := coalmine(t, t.Context(), s.env, "gate", "--api", "products", "--path", "/products", "--dry-run", "--promote")
	if code != 0 || !strings.Contains(stdout, "\njournal      ok ") {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
}
