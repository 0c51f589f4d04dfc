package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"coalmine/analyze"
	"coalmine/analyze/simulated"
	"coalmine/report"
)

// recorded is the run file of a healthy canary, judged live.
func recorded(t *testing.T) (path string, verdict analyze.Conclusion, policy []byte) {
	t.Helper()
	p := analyze.DefaultPolicy(true).Complete(0.5)
	p.Settle, p.MinDuration = analyze.Duration(3*time.Second), analyze.Duration(5*time.Second)
	h := analyze.Header{Format: analyze.Format, Tool: "test", Command: "gate", Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Policy: &p, Budget: p.Budget(1000),
		Target: analyze.Target{Where: "NOT AWS", Method: "GET", URL: "http://127.0.0.1/products", Baseline: "1", Canary: "2", Percent: 50},
		Plan:   analyze.Plan{Rate: 1000, Timeout: 10 * time.Second}}
	judge, err := analyze.NewJudge(h)
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	out := analyze.NewWriter(&file)
	out.Write(analyze.Record{Header: &h})
	begin := analyze.Event{Phase: analyze.During, Name: analyze.PhaseBegin}
	judge.Note(begin)
	out.Write(analyze.Record{Event: &begin})
	v := simulated.Version{Name: "1", Median: 5 * time.Millisecond, Sigma: 0.5}
	c := simulated.Canary{Seed: 1, Phase: analyze.During, Rate: 1000, Share: 0.5, Timeout: 10 * time.Second, Patience: time.Second, Baseline: v, Canary: v}
	c.Canary.Name = "2"
	for w := range c.Windows() {
		out.Write(analyze.Record{Window: &w})
		if judge.Add(w); judge.Settled() {
			break
		}
	}
	verdict = judge.Conclude()
	out.Write(analyze.Record{Verdict: &verdict})
	out.Write(analyze.Record{End: &analyze.End{Reason: "verdict"}})
	if out.Err() != nil {
		t.Fatal(out.Err())
	}
	path = filepath.Join(t.TempDir(), "run.ndjson")
	if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if policy, err = json.Marshal(p); err != nil { // JSON is YAML, too
		t.Fatal(err)
	}
	return path, verdict, policy
}

func TestRejudge(t *testing.T) {
	path, live, own := recorded(t)
	for _, tc := range []struct {
		name, policy string
		code         int
		says         string
	}{
		{"its own", string(own), 0, ""},
		{"stricter on errors", "settle: 3s\nmin-duration: 5s\nerrors: {max: 0.1%}\n", exitInconclusive, "by the run's own policy the verdict was PROMOTE"},
		{"a bound that it breaks", "settle: 3s\nmin-duration: 5s\nlatency: {max: {p99: 10ms}}\n", exitVoid, "the baseline itself is out of bounds"},
		{"unknown key", "alfa: 1\n", exitUsage, `:1: unknown key "alfa"`},
		{"nonsense", "alpha: 2\n", exitUsage, "alpha: want more than 0 and less than 1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			policy := filepath.Join(t.TempDir(), "policy.yaml")
			if err := os.WriteFile(policy, []byte(tc.policy), 0o600); err != nil {
				t.Fatal(err)
			}
			code, stdout, stderr := coalmine(t, t.Context(), nil, "report", path, "--policy", policy, "--format", "json")
			if code != tc.code || !strings.Contains(stdout+stderr, tc.says) {
				t.Errorf("exit %d, want %d and %q\n%s%s", code, tc.code, tc.says, stdout, stderr)
			}
			if tc.name != "its own" {
				return
			}
			var again struct{ Conclusion json.RawMessage }
			if err := json.Unmarshal([]byte(stdout), &again); err != nil {
				t.Fatal(err)
			}
			var packed bytes.Buffer
			json.Compact(&packed, again.Conclusion)
			want, err := json.Marshal(live)
			if err != nil {
				t.Fatal(err)
			}
			if packed.String() != string(want) {
				t.Errorf("judged again:\n%s\nlive:\n%s", packed.Bytes(), want)
			}
		})
	}
}

// A broken run file is wrong input, said in one last line; every format says so, too.
func TestReportOfBrokenFile(t *testing.T) {
	file, _, _ := recorded(t)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for says, text := range map[string]string{
		"run file: empty: no header":                                                  "",
		"run file: line 1: format coalmine.run/9: made by a newer coalmine":           strings.Replace(string(whole), analyze.Format, "coalmine.run/9", 1),
		"\"NaN\": invalid character 'N' looking for beginning of value: what follows": strings.Replace(string(whole), `"due":`, `"due":NaN,"x":`, 1),
	} {
		broken := put(t, filepath.Join(dir, "broken.ndjson"), text, 0o600)
		for _, format := range report.Formats() {
			code, stdout, stderr := coalmine(t, t.Context(), nil, "report", broken, "--format", format)
			if code != exitUsage || len(stdout) < 40 || !strings.HasPrefix(stderr, "coalmine: "+broken+": ") || !strings.Contains(stderr, says) || strings.Count(stderr, "\n") != 1 {
				t.Errorf("%s: exit %d, %q\n%.500s", format, code, stderr, stdout)
			}
		}
		code, _, stderr := coalmine(t, t.Context(), nil, "report", broken, "--format", "junit", "--out-dir", dir)
		if junit, err := os.ReadFile(filepath.Join(dir, "junit.xml")); code != exitUsage || err != nil || !strings.Contains(string(junit), `errors="1"`) {
			t.Errorf("exit %d, %v, %s\n%.500s", code, err, stderr, junit)
		}
	}
	// A policy that cannot judge it is the caller's mistake, and no report.
	if code, stdout, stderr := coalmine(t, t.Context(), nil, "report", file, "--policy", filepath.Join(dir, "none")); code != exitUsage || stdout != "" {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
}
