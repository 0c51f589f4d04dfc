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
	"coalmine/attack"
)

func planned(t *testing.T, args ...string) (code int, f analyze.Forecast, stderr string) {
	t.Helper()
	code, stdout, stderr := coalmine(t, t.Context(), nil, append([]string{"plan", "--format", "json"}, args...)...)
	if stdout == "" {
		return code, f, stderr
	}
	// A forecast is only ever written: read what the tests ask for.
	var read struct {
		Percent float64       `json:"percent"`
		Rate    float64       `json:"rate_per_s"`
		Ways    []analyze.Way `json:"ways_out"`
		Within  string        `json:"within_budget"`
		Slowest string        `json:"slowest"`
		Assumed struct {
			Learned uint64        `json:"learned_from_answers"`
			Errors  float64       `json:"errors"`
			Median  time.Duration `json:"p50_ns"`
		} `json:"assumed"`
	}
	if err := json.Unmarshal([]byte(stdout), &read); err != nil {
		t.Fatalf("exit %d: %v\n%s", code, err, stdout)
	}
	f.Percent, f.Rate, f.Ways, f.Slowest = read.Percent, read.Rate, read.Ways, read.Slowest
	f.Service = analyze.Service{Learned: read.Assumed.Learned, Errors: read.Assumed.Errors, Median: read.Assumed.Median}
	f.Room = map[string]analyze.Room{"no": analyze.Undecidable, "tight": analyze.Tight, "yes": analyze.Ample}[read.Within]
	if lines := strings.Split(strings.TrimSpace(stderr), "\n"); len(lines) != 1 || !strings.HasPrefix(lines[0], "coalmine: plan: ") {
		t.Errorf("%q: stderr %q", args, stderr)
	}
	return code, f, stderr
}

// words splits as a shell does, as far as the flags of a forecast need it.
func words(line string) (out []string) {
	for i, part := range strings.Split(line, `"`) {
		if i%2 == 1 {
			out = append(out, part)
		} else {
			out = append(out, strings.Fields(part)...)
		}
	}
	return out
}

func TestPlan(t *testing.T) {
	for _, tc := range []struct {
		args    []string
		code    int
		room    analyze.Room
		slowest string
		ways    string
	}{
		{nil, 0, analyze.Ample, "min-duration", ""},
		{[]string{"--loopback"}, 0, analyze.Ample, "split", ""},
		{[]string{"--percent", "10"}, 0, analyze.Tight, "p95 diff", "longer faster margin share"},
		{[]string{"--percent", "10", "--rate", "auto"}, 0, analyze.Ample, "min-duration", ""},
		{[]string{"--percent", "10", "--latency-margin", "p99=10%"}, 2, analyze.Undecidable, "p99 diff", "longer faster margin share"},
		{[]string{"--percent", "10", "--latency-margin", "p99=10%", "--max-rate", "100"}, 2, analyze.Undecidable, "p99 diff", "longer margin share"},
		{[]string{"--percent", "5", "--rate", "10/s", "--max-rate", "10"}, 2, analyze.Undecidable, "errors diff", "longer"}, // 450 canary answers are too few for any p95
		{[]string{"--percent", "95", "--rate", "30/s", "--max-rate", "50", "--max-duration", "20m"}, 2, analyze.Undecidable, "p95 diff", "longer margin share"},
		{[]string{"--errors-max", "0.05%"}, 2, analyze.Undecidable, "errors baseline", "margin"},
		{[]string{"--baseline-errors", "1%", "--errors-max", "2%"}, 0, analyze.Tight, "errors diff", "longer faster margin"},
		{[]string{"--latency-max", "p99=100ms"}, 2, analyze.Undecidable, "p99 baseline", "margin"},
		{[]string{"--split-margin", "0.5", "--rate", "50"}, 2, analyze.Undecidable, "split", "longer faster margin"},
	} {
		code, f, stderr := planned(t, tc.args...)
		kinds := []string{}
		for _, way := range f.Ways {
			kinds = append(kinds, way.Kind)
		}
		if code != tc.code || f.Room != tc.room || f.Slowest != tc.slowest || strings.Join(kinds, " ") != tc.ways {
			t.Errorf("%q: exit %d, budget %s, slowest %s, ways out %q, want exit %d, %s, %s, %q\n%s",
				tc.args, code, f.Room, f.Slowest, kinds, tc.code, tc.room, tc.slowest, tc.ways, stderr)
		}
		// Every way out does what it promises.
		for _, way := range f.Ways {
			if code, f, stderr := planned(t, append(append([]string{}, tc.args...), words(way.Flags)...)...); code != 0 || f.Room != analyze.Ample {
				t.Errorf("%q with %s: exit %d, budget %s\n%s", tc.args, way.Flags, code, f.Room, stderr)
			}
		}
	}
}

func TestPlanTable(t *testing.T) {
	for _, args := range [][]string{{"plan"}, {"plan", "--percent", "5", "--latency-margin", "p99.9=10% or 1ms", "--latency-max", "p99=1s", "--log-bytes", "500"}} {
		code, stdout, stderr := coalmine(t, t.Context(), nil, args...)
		if lines := strings.Split(strings.TrimSpace(stderr), "\n"); len(lines) != 1 || code != 0 && code != 2 {
			t.Errorf("%q: exit %d, %q", args, code, stderr)
		}
		for line := range strings.Lines(stdout) {
			if len([]rune(strings.TrimRight(line, "\n"))) > 80 {
				t.Errorf("more than 80 columns: %s", line)
			}
		}
		if !strings.Contains(stdout, "List prices") {
			t.Errorf("%q:\n%s", args, stdout)
		}
	}
}

// The README shows what the command prints, but for what it leaves out.
func TestPlanInREADME(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(readme), "```sh\ncoalmine plan ")
	command, after, _ := strings.Cut(after, "\n")
	_, after, _ = strings.Cut(after, "```\n\n```\n")
	shown, _, whole := strings.Cut(after, "```")
	if !found || !whole {
		t.Fatal("the README has no example of coalmine plan")
	}
	code, stdout, _ := coalmine(t, t.Context(), nil, append([]string{"plan"}, words(command)...)...)
	if code != 2 {
		t.Errorf("exit %d, the README says 2", code)
	}
	for part := range strings.SplitSeq(shown, "...\n") {
		if !strings.Contains(stdout, part) {
			t.Errorf("the README shows\n%s\nthe command\n%s", part, stdout)
		}
	}
}

// A run file of one phase, 50 windows of 100 answers that take 10 to 20 ms.
func beforeFile(t *testing.T, phase string, failed uint64) string {
	t.Helper()
	var file bytes.Buffer
	w := analyze.NewWriter(&file)
	w.Write(analyze.Record{Header: &analyze.Header{Format: analyze.Format, Target: analyze.Target{Baseline: "1", Canary: "2", Percent: 50}}})
	for i := range int64(50) {
		tally := attack.Tally{Hits: 100}
		if failed > 0 {
			tally.Errors = map[attack.Class]uint64{attack.ServerError: failed}
		}
		for n := range 100 - failed {
			d := time.Duration(10+n/10) * time.Millisecond
			tally.Response.Add(d)
			tally.Service.Add(d)
		}
		w.Write(analyze.Record{Window: &attack.Window{Phase: phase, Index: i, Start: time.Duration(i) * attack.WindowLength, Length: attack.WindowLength,
			Due: 100, Sent: 100, Hits: 100, Answers: attack.Answers{Arms: map[string]*attack.Tally{"1": &tally}}}})
	}
	path := filepath.Join(t.TempDir(), "before.ndjson")
	if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil || w.Err() != nil {
		t.Fatal(err, w.Err())
	}
	return path
}

func TestPlanBefore(t *testing.T) {
	for _, phase := range []string{analyze.Before, analyze.Attack} {
		code, f, stderr := planned(t, "--before", beforeFile(t, phase, 0))
		if code != 0 || f.Service.Learned != 5000 || f.Service.Median.Round(time.Millisecond) != 14*time.Millisecond || f.Service.Errors > 2e-4 {
			t.Errorf("%s: exit %d, %+v\n%s", phase, code, f.Service, stderr)
		}
	}
	failing := beforeFile(t, analyze.Before, 2)
	code, f, stderr := planned(t, "--before", failing)
	if code != 2 || f.Room != analyze.Undecidable || !strings.Contains(stderr, "errors baseline cannot pass") {
		t.Errorf("2 %% errors before: exit %d\n%s", code, stderr)
	}
	if code, f, stderr = planned(t, "--before", failing, "--baseline-errors", "0.1%"); code != 0 || f.Service.Errors != 0.001 {
		t.Errorf("a flag over the file: exit %d, errors %v\n%s", code, f.Service.Errors, stderr)
	}
	if code, f, stderr = planned(t, "--before", failing, "--baseline-errors", "0.1%", "--baseline-p50", "1s", "--baseline-sigma", "0.2"); code != 0 || f.Service.Median != time.Second {
		t.Errorf("flags over the file: exit %d, p50 %v\n%s", code, f.Service.Median, stderr)
	}
}

func TestPlanBadInput(t *testing.T) {
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken")
	if err := os.WriteFile(broken, []byte("alfa: 0.1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	during := beforeFile(t, analyze.During, 0)
	for _, tc := range []struct {
		args []string
		says string
	}{
		{[]string{"x"}, "unknown command"},
		{[]string{"--percent", "0"}, "--percent: want more than 0 and less than 100, got 0"},
		{[]string{"--percent", "100"}, "--percent: want more than 0 and less than 100, got 100"},
		{[]string{"--percent", "NaN"}, "--percent: want more than 0 and less than 100, got NaN"},
		{[]string{"--rate", "fast"}, "--rate: want requests per time"},
		{[]string{"--rate", ""}, "--rate: want requests per time"},
		{[]string{"--rate", "5000"}, "--rate: 5000/s is above --max-rate 1000/s"},
		{[]string{"--max-rate", "0"}, "--max-rate: want more than 0, got 0"},
		{[]string{"--format", "pdf"}, `unknown format "pdf": want one of json, table`},
		{[]string{"--alpha", "0"}, "alpha: want more than 0"},
		{[]string{"--split-margin", "60"}, "split.margin: 60 points around 50 % reach -10 to 110 %"},
		{[]string{"--latency-max", "p100=1s"}, "--latency-max: want a quantile"},
		{[]string{"--settle", "1h"}, "settle 1h0m0s leaves nothing of max-duration"},
		{[]string{"--policy", broken}, `unknown key "alfa" (nearest known: "alpha")`},
		{[]string{"--baseline-errors", "0.1"}, "--baseline-errors: want a percentage"},
		{[]string{"--baseline-errors", "100%"}, "errors of the baseline: want 0 to less than 1"},
		{[]string{"--unattributed", "-1%"}, "--unattributed: want a percentage"},
		{[]string{"--baseline-p50", "0s"}, "p50 of the baseline: want more than 0"},
		{[]string{"--baseline-sigma", "NaN"}, "sigma of the baseline: want more than 0"},
		{[]string{"--price-requests", "-1"}, "price per million requests: want 0 or more"},
		{[]string{"--memory", "Inf"}, "memory: want 0 or more"},
		{[]string{"--before", filepath.Join(dir, "none")}, "--before: open"},
		{[]string{"--before", broken}, "run file: line 1"},
		{[]string{"--before", during}, "nothing to learn from"},
		{[]string{"--before", beforeFile(t, analyze.Before, 0), "--baseline-sigma", "1"}, "want both, or neither, with --before"},
	} {
		code, stdout, stderr := coalmine(t, t.Context(), nil, append([]string{"plan"}, tc.args...)...)
		said := strings.TrimSpace(stderr)
		if code != 2 || !strings.Contains(said, tc.says) || strings.Contains(said, "\n") || stdout != "" {
			t.Errorf("%q: exit %d, stdout %q, stderr %q; want exit 2 and one line with %q", tc.args, code, stdout, said, tc.says)
		}
	}
}
