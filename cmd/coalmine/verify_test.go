package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"coalmine/analyze"
	"coalmine/scenarios/emulator"
)

// Where only a URL is given, the path under test is taken from it, as gate does; it must lead to the stage.
func TestVerifyByURL(t *testing.T) {
	s := newSystem(t, emulator.Faults{Seed: 1})
	for _, tc := range []struct{ stage, says string }{
		{"prod", "none of 20 answers names a version"}, // found, asked, and refused for this test's own reason
		{"dev", "and not to API " + s.ref.API + ", stage prod"},
	} {
		url := s.server.URL() + "/restapis/" + s.ref.API + "/" + tc.stage + "/_user_request_/products"
		code, _, stderr := coalmine(t, t.Context(), s.env, "verify", "--api", "products", "--url", url, "--classify", "header:None", "--out", "none")
		if code != exitUsage || !strings.Contains(stderr, tc.says) {
			t.Errorf("%s: exit %d, want 2 and %q\n%s", url, code, tc.says, stderr)
		}
	}
}

// verify says who answers, with an exit code for each answer, and its file shows the same again.
func TestVerify(t *testing.T) {
	beside(t)
	s := newSystem(t, emulator.Faults{Seed: 1})
	policy := written(t, "policy.yaml", "validity: {wake-late: 1m, short: 100%}\nsettle: 200ms\nmax-duration: 2m\n")
	for _, tc := range []struct {
		name    string
		args    []string
		code    int
		verdict string // the last line begins with it
		says    string
	}{
		{"as AWS has it", nil, exitPromote, "coalmine: VERIFIED v1 alone, ", ""},
		{"said", []string{"--expect", "1", "--absent", "2"}, exitPromote, "coalmine: VERIFIED v1 alone, ", ""},
		{"not the one", []string{"--expect", "2", "--classify", "header:X-Lambda-Version"}, exitReject, "coalmine: REFUTED v2 alone, ", "version 1; only version 2 may answer here"},
		{"not the one, found out", []string{"--expect", "2"}, exitReject, "coalmine: REFUTED v2 alone, ", "version 1; only version 2 may answer here"},
		{"still the other", []string{"--expect", "2", "--absent", "1"}, exitReject, "coalmine: REFUTED v2 alone, ", "version 1 still answers"},
		{"too few", []string{"--expect", "1", "--rate", "20/s", "--max-duration", "1s"}, exitInconclusive, "coalmine: INCONCLUSIVE v1 alone, ", "too few"},
		{"nobody's name", []string{"--expect", "green"}, exitUsage, "coalmine: ", `names version green`},
		{"of itself", []string{"--expect", "2", "--absent", "2"}, exitUsage, "coalmine: expect", "want the version that must answer"},
		{"no such place", []string{"--classify", "header:X-None"}, exitUsage, "coalmine: classify header:X-None", "none of 20 answers names a version"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "run.ndjson")
			args := append([]string{"verify", "--api", "products", "--path", "/products", "--rate", "400/s", "--policy", policy, "--out", file, "--format", "json"}, tc.args...)
			code, stdout, stderr := coalmine(t, t.Context(), s.env, args...)
			at := strings.LastIndex(stderr, "coalmine: ")
			if code != tc.code || at < 0 || !strings.HasPrefix(stderr[at:], tc.verdict) || !strings.Contains(stderr[at:], tc.says) || strings.Contains(stderr, "PROMOTE") {
				t.Fatalf("exit %d, want %d, %q and %q\n%s", code, tc.code, tc.verdict, tc.says, stderr)
			}
			if code == exitUsage {
				return
			}
			var a analyze.Analysis
			if err := json.Unmarshal([]byte(stdout), &a); err != nil {
				t.Fatal(err)
			}
			if again, shown, _ := coalmine(t, t.Context(), nil, "report", "--format", "json", file); again != 0 || shown != stdout {
				t.Errorf("shown again: exit %d\n%s\n%s", again, shown, stdout)
			}
			if code, table, _ := coalmine(t, t.Context(), nil, "report", file); code != 0 || !strings.Contains(table, a.Conclusion.Verdict.String()) {
				t.Errorf("as a table: exit %d\n%s", code, table)
			}
			data, err := os.ReadFile(file)
			if err != nil || !bytes.Contains(data, []byte(`"verdict":"`+a.Conclusion.Verdict.String())) {
				t.Errorf("the file holds no verdict %s: %v", a.Conclusion.Verdict, err)
			}
		})
	}
	s.asBefore(t)
}
