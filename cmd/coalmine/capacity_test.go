package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/charmbracelet/x/ansi"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"coalmine/analyze"
	"coalmine/analyze/capacity"
	"coalmine/report"
	"coalmine/scenarios/emulator"
)

// What cannot work is said in one line, before anything is sent.
func TestCapacityRefuses(t *testing.T) {
	ours := "http://127.0.0.1:1/"
	for _, c := range []struct {
		says string
		args []string
	}{
		{"missing target", nil},
		{"--objective: no objective", []string{"--url", ours}},
		{`--objective: want a bound like "p99 <= 250ms"`, []string{"--url", ours, "--objective", "p99"}},
		{"are about the same", []string{"--url", ours, "--objective", "p99 <= 1s", "--objective", "p99 <= 2s"}},
		{"--max-rate: must be given off loopback", []string{"--url", "https://example.com/", "--objective", "p99 <= 1s"}},
		{"--rate: the rate is what is searched", []string{"--url", ours, "--objective", "p99 <= 1s", "--rate", "5"}},
		{"--arm: want stage, baseline or canary", []string{"--url", ours, "--objective", "p99 <= 1s", "--arm", "both"}},
		{"--arm canary of a --url: want --baseline, --canary, --percent and --classify", []string{"--url", ours, "--objective", "p99 <= 1s", "--arm", "canary"}},
		{"--serve: 0.0.0.0:80 can be reached by other machines", []string{"--url", ours, "--objective", "p99 <= 1s", "--serve", "0.0.0.0:80"}},
		{"--metrics: address 9464: missing port", []string{"--url", ours, "--objective", "p99 <= 1s", "--metrics", "9464"}},
		{"--percent: want more than 0 and less than 100, got 0", []string{"--url", ours, "--objective", "p99 <= 1s", "--baseline", "1", "--canary", "2", "--percent", "0"}},
		{"--baseline and --canary are both \"1\"", []string{"--url", ours, "--objective", "p99 <= 1s", "--baseline", "1", "--canary", "1"}},
		{"--percent is about --url with", []string{"--url", ours, "--objective", "p99 <= 1s", "--percent", "5"}},
		{"--percent is read from AWS", []string{"--api", "x", "--path", "/x", "--objective", "p99 <= 1s", "--percent", "5"}},
		{"--at-least: 900/s is above --max-rate 500/s", []string{"--url", ours, "--objective", "p99 <= 1s", "--max-rate", "500", "--at-least", "900/s"}},
		{"coalmine: --from: want more than 0 and at most the highest", []string{"--url", ours, "--objective", "p99 <= 1s", "--max-rate", "5", "--from", "9"}},
		{"--goal-width: want a percentage", []string{"--url", ours, "--objective", "p99 <= 1s", "--goal-width", "5"}},
		{"coalmine: --goal-width: want 0.5% to 100%", []string{"--url", ours, "--objective", "p99 <= 1s", "--goal-width", "0.1%"}},
		{"want more than 0%", []string{"--url", ours, "--objective", "p99 <= 1s", "--goal-width", "0%"}},
		{"coalmine: --ramp: want 1.05 to 10", []string{"--url", ours, "--objective", "p99 <= 1s", "--ramp", "0.5"}},
		{"coalmine: --risk: want more than 0 and less than 0.5", []string{"--url", ours, "--objective", "p99 <= 1s", "--risk", "0.5"}},
		{"--budget: want more than 0", []string{"--url", ours, "--objective", "p99 <= 1s", "--budget", "-1s"}},
		{"--budget: want more than 0, got 0s", []string{"--url", ours, "--objective", "p99 <= 1s", "--budget", "0s"}},
		{"--budget: 5s is not enough", []string{"--url", ours, "--objective", "p99 <= 1s", "--budget", "5s"}},
		{"--trial: want more than 0, got 0s", []string{"--url", ours, "--objective", "p99 <= 1s", "--trial", "0s"}},
		{"--soak: want more than 0, or a negative time", []string{"--url", ours, "--objective", "p99 <= 1s", "--soak", "0s"}},
		{"--ramp: want 1.05 to 10, got 0", []string{"--url", ours, "--objective", "p99 <= 1s", "--ramp", "0"}},
		{"--risk: want more than 0", []string{"--url", ours, "--objective", "p99 <= 1s", "--risk", "0"}},
		{"--breaker: want more than 0%", []string{"--url", ours, "--objective", "p99 <= 1s", "--breaker", "0%"}},
		{"--max-rate: want more than 0, got -1", []string{"--url", ours, "--objective", "p99 <= 1s", "--max-rate", "-1", "--at-least", "5"}},
		{"--max-rate: want at most 1000000 per second, got 1e+07", []string{"--url", ours, "--objective", "p99 <= 1s", "--max-rate", "1e7"}},
		{"--max-rate: 0.1/s sends no request in a --short-trial of 2s: want 0.5/s", []string{"--url", ours, "--objective", "p99 <= 1s", "--max-rate", "0.1"}},
		{"--from: 0.4/s sends no request in a --short-trial of 2s: want 0.5/s", []string{"--url", ours, "--objective", "p99 <= 1s", "--from", "0.4"}},
		{"--short-trial: want at most the time of --trial, 10s, got 20s", []string{"--url", ours, "--objective", "p99 <= 1s", "--short-trial", "20s"}},
		{"--longest-trial: want at least the time of --trial, 30s, got 20s", []string{"--url", ours, "--objective", "p99 <= 1s", "--trial", "30s", "--longest-trial", "20s"}},
		{"--at-least: want requests per time", []string{"--url", ours, "--objective", "p99 <= 1s", "--at-least", ""}},
		{"--from: want requests per time", []string{"--url", ours, "--objective", "p99 <= 1s", "--from", ""}},
		{"--timeout: 100ms ends requests before they could break p99 <= 1s", []string{"--url", ours, "--objective", "p99 <= 1s", "--timeout", "100ms"}},
		{"--path is about --api", []string{"capacity-knee", "--path", "/x"}},
		{"unknown scenario", []string{"capacity-none"}},
		{"unknown scenario", []string{"capacity-none", "--url", ours}},
		{"says nothing of capacity", []string{"products"}},
		{"want no --url", []string{"capacity-knee", "--url", ours}},
		{"--format: unknown format", []string{"--url", ours, "--objective", "p99 <= 1s", "--format", "pdf"}},
	} {
		code, stdout, stderr := coalmine(t, t.Context(), map[string]string{"XDG_STATE_HOME": t.TempDir()}, append([]string{"capacity"}, c.args...)...)
		if code != exitUsage || !strings.Contains(stderr, c.says) || stdout != "" || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%q: exit %d, want 2 and one line with %q\n%s%s", c.args, code, c.says, stdout, stderr)
		}
	}
}

// A search within a few requests per second begins where a trial has some to judge.
func TestCapacityBeginsWhereItCanTell(t *testing.T) {
	for highest, want := range map[float64]float64{1000: 10, 100: 1, 10: 1, 0.7: 0.7} {
		r := rating{short: 2 * time.Second}
		if got, err := r.lowest(highest); err != nil || got != want {
			t.Errorf("up to %v/s it begins at %v/s, %v: want %v/s", highest, got, err, want)
		}
	}
}

// hastyTrials makes trials that only show that the parts fit: a machine that stands still for long is no failure here.
var hastyTrials = []string{"--short-trial", "200ms", "--trial", "300ms", "--longest-trial", "20s", "--soak", "-1s", "--warm-up", "0s", "--cool-down", "10ms", "--no-self-check"}

func TestCapacityEndToEnd(t *testing.T) {
	beside(t)
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/broken" {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	t.Cleanup(target.Close) // after the parallel ones
	for _, c := range []struct {
		name string
		args []string
		code int
		line string
	}{
		{"carried", []string{"--url", target.URL, "--objective", "p50 <= 20s", "--max-rate", "150", "--from", "50", "--at-least", "100/s"}, 0, "CAPACITY AT-LEAST 150/s or more, at least 100/s"},
		{"broken", []string{"--url", target.URL + "/broken", "--objective", "errors <= 50%", "--max-rate", "60", "--from", "30"}, exitReject, "CAPACITY TOO-LOW below 30/s"},
		{"not carried", []string{"--url", target.URL + "/broken", "--objective", "errors <= 50%", "--max-rate", "60", "--from", "30", "--at-least", "45/s"}, exitReject, "CAPACITY TOO-LOW below 30/s, below 45/s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			beside(t)
			dir := t.TempDir()
			file := filepath.Join(dir, "run.ndjson")
			args := append(append([]string{"capacity", "--out", file, "--out-dir", dir, "--format", strings.Join(report.Formats(), ",")}, hastyTrials...), c.args...)
			code, stdout, stderr := coalmine(t, t.Context(), map[string]string{}, args...)
			if code != c.code || !strings.Contains(stderr, "coalmine: "+c.line) || !strings.HasPrefix(stderr, "NOT AWS: ") || !strings.Contains(stderr, "trial 1, bracket at ") {
				t.Fatalf("exit %d, want %d and %q\n%s\n%s", code, c.code, c.line, stdout, stderr)
			}
			var rated analyze.Rated
			if err := json.Unmarshal(read(t, dir, "report.json"), &rated); err != nil || len(rated.Trials) == 0 || rated.Sentence == "" {
				t.Errorf("report.json: %v, %+v", err, rated)
			}
			valid(t, "", read(t, dir, "report.json"))
			for line := range bytes.Lines(read(t, dir, "run.ndjson")) {
				valid(t, "#/$defs/record", line)
			}
			var suites struct {
				Suite struct {
					Tests    int `xml:"tests,attr"`
					Failures int `xml:"failures,attr"`
				} `xml:"testsuite"`
			}
			if err := xml.Unmarshal(read(t, dir, "junit.xml"), &suites); err != nil || suites.Suite.Tests != 1 || (suites.Suite.Failures == 1) != (c.code == exitReject) {
				t.Errorf("junit.xml: %v, %+v", err, suites)
			}
			if page := string(read(t, dir, "report.html")); !strings.Contains(page, "<svg") || !strings.Contains(page, "</html>") || strings.Contains(page, "<script") {
				t.Error("report.html: want a whole page with the knee, and no script")
			}
			if text := string(read(t, dir, "report.md")); !strings.HasPrefix(text, "## Coalmine: capacity ") {
				t.Errorf("report.md: %.80s", text)
			}
			reshown(t, dir, file, stdout, c.line)
		})
	}
}

// reshown holds each report of a search in a directory to what its run file gives again, byte for byte.
func reshown(t *testing.T, dir, file, stdout, line string) {
	t.Helper()
	again := t.TempDir()
	code, shown, stderr := coalmine(t, t.Context(), map[string]string{}, "report", file, "--out-dir", again, "--format", strings.Join(report.Formats(), ","))
	if code != 0 || shown != stdout || !strings.Contains(stderr, "coalmine: CAPACITY ") || !strings.Contains(stderr, line) {
		t.Errorf("report: exit %d, %s\n%s\nwant\n%s", code, stderr, shown, stdout)
	}
	for _, format := range report.Formats() {
		_, name, _ := report.Named(format)
		if live, now := read(t, dir, name), read(t, again, name); !bytes.Equal(live, now) || len(now) == 0 {
			t.Errorf("%s again:\n%s\nlive:\n%s", format, now, live)
		}
	}
}

// search is a run file of one, and where its reports are.
func search(t *testing.T) (dir, file, stdout string) {
	t.Helper()
	target := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer target.Close()
	dir = t.TempDir()
	file = filepath.Join(dir, "search.ndjson")
	code, stdout, stderr := coalmine(t, t.Context(), nil, append([]string{"capacity", "--out", file, "--out-dir", dir, "--format", strings.Join(report.Formats(), ","),
		"--url", target.URL, "--objective", "p50 <= 20s", "--max-rate", "200", "--from", "200"}, hastyTrials...)...)
	if code != 0 {
		t.Fatalf("exit %d\n%s", code, stderr)
	}
	return dir, file, stdout
}

// What the run file of a search cannot be shown as is refused in a line; of a broken one every format says why.
func TestReportOfCapacity(t *testing.T) {
	beside(t)
	_, file, _ := search(t)
	gate, _, _ := recorded(t)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(whole, []byte("\n"))
	n := slices.IndexFunc(lines, func(line []byte) bool { return bytes.HasPrefix(line, []byte(`{"trial"`)) })
	header := put(t, filepath.Join(t.TempDir(), "header.ndjson"), string(lines[0]), 0o600)
	broken := put(t, filepath.Join(t.TempDir(), "broken.ndjson"), string(bytes.Join(lines[:n+1], nil))+"{{\n", 0o600)
	cut := put(t, filepath.Join(t.TempDir(), "cut.ndjson"), string(bytes.Join(lines[:n+1], nil)), 0o600)
	absurd := put(t, filepath.Join(t.TempDir(), "absurd.ndjson"), strings.Replace(string(whole), `"highest_per_s":200`, `"highest_per_s":-1`, 1), 0o600)
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{file, "--policy", "none.yaml"}, "--policy: " + file + " holds a search for a capacity"},
		{[]string{file, "--access-log", "group"}, "--access-log: " + file + " holds a search for a capacity"},
		{[]string{file, gate}, gate + ": holds no search for a capacity, as " + file + " does: want two of a kind"},
		{[]string{gate, file}, gate + ": holds no search for a capacity, as " + file + " does: want two of a kind"},
		{[]string{file, "none.ndjson"}, "none.ndjson: open none.ndjson: no such file"},
		{[]string{file, broken}, broken + ": run file: line "},
		{[]string{file, file, "--format", "junit"}, "--format: unknown format \"junit\": want one of html, json, table"},
		{[]string{header}, header + ": run file: the search ended before anything was tried"},
		{[]string{absurd}, absurd + ": run file: rating: highest rate: want more than 0"},
	} {
		code, stdout, stderr := coalmine(t, t.Context(), nil, append([]string{"report"}, c.args...)...)
		if code != exitUsage || stdout != "" || !strings.HasPrefix(stderr, "coalmine: "+c.says) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%q: exit %d, want 2 and one line with %q\n%s%s", c.args, code, c.says, stdout, stderr)
		}
	}
	for _, format := range report.Formats() {
		code, stdout, stderr := coalmine(t, t.Context(), nil, "report", broken, "--format", format)
		if code != exitUsage || !strings.Contains(stdout, "200/s") || !strings.HasPrefix(stderr, "coalmine: "+broken+": run file: line ") || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s of a broken file: exit %d, %s\n%.500s", format, code, stderr, stdout)
		}
		if format == "junit" && !strings.Contains(stdout, `errors="1"`) {
			t.Errorf("junit of a broken file is no error:\n%s", stdout)
		}
	}
	if code, stdout, stderr := coalmine(t, t.Context(), nil, "report", file, file); code != 0 || !strings.HasPrefix(stdout, "No difference is proven: ") || stderr != "" {
		t.Errorf("two searches: exit %d, %s\n%s", code, stderr, stdout)
	}
	if code, stdout, stderr := coalmine(t, t.Context(), nil, "report", cut); code != 0 || !strings.HasPrefix(stdout, "Unfinished, the run file has no end: the objectives") {
		t.Errorf("a file that was cut off: exit %d, %s\n%s", code, stderr, stdout)
	}
	if code, stdout, _ := coalmine(t, t.Context(), nil, "report", "--history", filepath.Dir(file)); code != 0 || !strings.Contains(stdout, "left out: search.ndjson: a search for a capacity") {
		t.Errorf("history: exit %d\n%s", code, stdout)
	}
}

// An interrupt ends the search wherever it is, and shows what is known by then; in the probe nothing is.
func TestCapacityInterrupted(t *testing.T) {
	beside(t)
	for _, c := range []struct {
		name         string
		after        int64 // requests: 4 make the probe, 50 the warm-up
		stdout, line string
	}{
		{"probe", 1, "", "coalmine: "},
		{"warm-up", 20, "Unfinished, interrupted: nothing is known.", "coalmine: CAPACITY UNFINISHED unknown, interrupted, p50 <= 20s"},
		{"trials", 200, "Unfinished, interrupted: the objectives", "/s seemed to hold, interrupted, p50 <= 20s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			var asked atomic.Int64
			target := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				if asked.Add(1) == c.after {
					interrupt()
				}
			}))
			defer target.Close()
			dir := t.TempDir()
			file := filepath.Join(dir, "run.ndjson")
			args := append([]string{"capacity", "--out", file, "--out-dir", dir, "--format", strings.Join(report.Formats(), ","), "--url", target.URL,
				"--objective", "p50 <= 20s", "--max-rate", "400", "--from", "50"}, slices.Concat(hastyTrials, []string{"--warm-up", "1s"})...)
			code, stdout, stderr := coalmine(t, ctx, map[string]string{}, args...)
			if code != exitInterrupted || !strings.HasPrefix(stdout, c.stdout) || (stdout == "") != (c.stdout == "") || !strings.Contains(stderr, c.line) {
				t.Errorf("exit %d, want 130\n%s\n%s", code, stdout, stderr)
			}
			if c.stdout != "" {
				reshown(t, dir, file, stdout, strings.TrimPrefix(c.line, "coalmine: "))
			}
		})
	}
}

// Exit code 0 is for what is proven, and for no rate that only seemed to hold.
func TestCapacityExitCodes(t *testing.T) {
	bound := func(proven bool) *capacity.Bound { return &capacity.Bound{Rate: 100, Proven: proven} }
	for _, c := range []struct {
		kind    capacity.Kind
		lower   *capacity.Bound
		upper   float64
		atLeast float64
		asked   analyze.Outcome
		end     string
		code    int
	}{
		{capacity.Found, bound(true), 200, 0, 0, "verdict", 0},
		{capacity.AtLeast, bound(true), 200, 50, analyze.Pass, "verdict", 0},
		{capacity.Found, bound(true), 200, 150, analyze.Undecided, "verdict", exitInconclusive},
		{capacity.Unfinished, bound(true), 200, 50, analyze.Pass, "error", 0},
		{capacity.Unfinished, bound(false), 200, 50, analyze.Undecided, "interrupted", exitInterrupted},
		{capacity.Unfinished, bound(false), 200, 0, analyze.Undecided, "error", exitInconclusive},
		{capacity.Unsettled, bound(false), 200, 0, analyze.Undecided, "verdict", exitInconclusive},
		{capacity.Quota, bound(true), 200, 0, analyze.Undecided, "verdict", 0},
		{capacity.Quota, bound(false), 200, 0, analyze.Undecided, "verdict", exitInconclusive},
		{capacity.Generator, bound(true), 200, 0, analyze.Undecided, "verdict", 0},
		{capacity.Generator, bound(false), 200, 0, analyze.Undecided, "verdict", exitVoid},
		{capacity.Generator, nil, 10, 0, analyze.Undecided, "verdict", exitVoid},
		{capacity.Generator, nil, 20, 0, analyze.Undecided, "verdict", exitVoid},
		{capacity.Quota, nil, 10, 0, analyze.Undecided, "verdict", exitReject},
		{capacity.Quota, nil, 20, 0, analyze.Undecided, "verdict", exitInconclusive},
		{capacity.TooLow, nil, 10, 0, analyze.Undecided, "verdict", exitReject},
	} {
		r := analyze.Rated{Rating: analyze.Rating{AtLeast: c.atLeast, Search: capacity.Plan{Lowest: 10}}, Result: capacity.Result{Kind: c.kind, Lower: c.lower, Upper: &capacity.Bound{Rate: c.upper, Proven: true}}, Asked: c.asked, End: analyze.End{Reason: c.end}}
		if code := ratedCode(r); code != c.code {
			t.Errorf("%s, %+v, at least %g: exit %d, want %d", c.kind, c.lower, c.atLeast, code, c.code)
		}
	}
}

// A stage that somebody else changes during a search ends it: what is known by then is shown, and is void.
func TestCapacityChangedUnderTest(t *testing.T) {
	beside(t)
	s := newSystem(t, emulator.Faults{Seed: 1})
	j, err := s.client.OpenJournal(t.TempDir(), s.ref)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if _, err := s.client.CreateCanary(t.Context(), j, s.ref, 30, map[string]string{"lambdaAlias": "staging"}); err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int64
	s.through(t, func(_ http.ResponseWriter, r *http.Request, _ []byte) bool {
		if strings.Contains(r.URL.Path, "/_user_request_/") && asked.Add(1) == 200 {
			if _, err := s.client.SetPercent(t.Context(), j, s.ref, 20); err != nil {
				t.Error(err)
			}
		}
		return false
	})
	dir := t.TempDir()
	file := filepath.Join(dir, "run.ndjson")
	code, stdout, stderr := coalmine(t, t.Context(), s.env, "capacity", "--api", "products", "--path", "/products", "--classify", "header:X-Lambda-Version", "--out", file, "--out-dir", dir,
		"--format", strings.Join(report.Formats(), ","), "--objective", "p50 <= 20s", "--max-rate", "100", "--from", "100", "--at-least", "50/s", "--short-trial", "200ms", "--trial", "1h", "--budget", "20h",
		"--warm-up", "0s", "--no-self-check")
	if code != exitVoid || !strings.HasPrefix(stdout, "Unfinished, stage changed under test: canary percent: 30.0 -> 20.0: the\nobjectives seemed to hold at 100/s.") {
		t.Errorf("exit %d, want 12\n%s\n%s", code, stdout, stderr)
	}
	if junit := string(read(t, dir, "junit.xml")); !strings.Contains(junit, `errors="1"`) {
		t.Errorf("%s", junit)
	}
	reshown(t, dir, file, stdout, "CAPACITY UNFINISHED nothing proven, 100/s seemed to hold, undecided against 50/s, stage changed under test: canary percent: 30.0 -> 20.0, p50 <= 20s")
}

// valid holds JSON to a part of the schema that is published.
func valid(t *testing.T, part string, text []byte) {
	t.Helper()
	_, published, _ := coalmine(t, t.Context(), nil, "report", "--schema")
	schema, err := jsonschema.UnmarshalJSON(strings.NewReader(published))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("report.json", schema); err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := compiler.MustCompile("report.json" + part).Validate(value); err != nil {
		t.Errorf("%v\n%.2000s", err, text)
	}
}

func read(t *testing.T, dir, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Help states one default of a flag.
func TestCapacityHelp(t *testing.T) {
	_, stdout, _ := coalmine(t, t.Context(), nil, "capacity", "--help")
	if !strings.Contains(stdout, "(default 10000 on loopback)\n") || strings.Contains(stdout, "(default )") {
		t.Errorf("--max-rate:\n%s", stdout)
	}
}

// Version 2 answers errors only: by the arm that is asked the same stage carries all of it, or nothing.
func TestCapacityOfArms(t *testing.T) {
	beside(t)
	s := newSystem(t, emulator.Faults{Seed: 1, Versions: map[string]emulator.Version{"2": {Errors: 1}}})
	_, err := s.client.Lambda().UpdateAlias(t.Context(), &lambda.UpdateAliasInput{FunctionName: aws.String("getProducts"), Name: aws.String("dev"), FunctionVersion: aws.String("1"),
		RoutingConfig: &types.AliasRoutingConfiguration{AdditionalVersionWeights: map[string]float64{"2": .3}}})
	if err != nil {
		t.Fatal(err)
	}
	dev := s.ref
	dev.Stage = "dev"
	api, alias := []string{"--api", "products", "--path", "/products"}, []string{"--lambda-alias", "getProducts:dev", "--url", s.client.InvokeURL(dev)}
	search := func(t *testing.T, code int, args ...string) (rated analyze.Rated, stderr string) {
		t.Helper()
		all := append(append([]string{"capacity", "--out", "none", "--format", "json", "--max-rate", "200", "--from", "100"}, hastyTrials...), args...)
		got, stdout, stderr := coalmine(t, t.Context(), s.env, all...)
		if got != code {
			t.Fatalf("%q: exit %d, want %d\n%s", all, got, code, stderr)
		}
		if code != exitUsage {
			if err := json.Unmarshal([]byte(stdout), &rated); err != nil {
				t.Fatal(err)
			}
			valid(t, "", []byte(stdout))
		}
		return rated, stderr
	}
	errors := []string{"--objective", "errors <= 50%", "--arm"}
	if _, stderr := search(t, exitUsage, slices.Concat(api, errors, []string{"canary"})...); !strings.Contains(stderr, "coalmine: --arm canary: there is no canary that would split the stage") {
		t.Errorf("no canary: %s", stderr)
	}
	j, err := s.client.OpenJournal(t.TempDir(), s.ref)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	if _, err := s.client.CreateCanary(t.Context(), j, s.ref, 30, map[string]string{"lambdaAlias": "staging"}); err != nil {
		t.Fatal(err)
	}
	if _, stderr := search(t, exitUsage, slices.Concat(api, errors, []string{"canary", "--canary", "1"})...); !strings.Contains(stderr, "coalmine: --canary 1: by AWS that is the baseline of stage prod") {
		t.Errorf("swapped: %s", stderr)
	}
	rule := []string{"--classify", "header:X-Lambda-Version"}
	for _, c := range []struct {
		name, arm  string
		args, more []string
		code       int
		version    string
		share      float64
		line       string
	}{
		{"stage", "stage", api, nil, 0, "", 0, "CAPACITY AT-LEAST 200/s or more, errors <= 50%"},
		{"baseline", "baseline", api, rule, 0, "1", 0.7, "CAPACITY AT-LEAST 200/s or more of the stage, 140/s of v1, errors <= 50%"},
		{"canary", "canary", api, rule, exitReject, "2", 0.3, "CAPACITY TOO-LOW below 100/s of the stage, 30/s of v2, errors <= 50%"},
		{"baseline of an alias", "baseline", alias, append(rule, "--classify", "json:/version"), 0, "1", 0.7, "CAPACITY AT-LEAST 200/s or more of the stage, 140/s of v1, errors <= 50%"},
		{"canary of an alias", "canary", alias, nil, exitReject, "2", 0.3, "CAPACITY TOO-LOW below 100/s of the stage, 30/s of v2, errors <= 50%"},
	} {
		t.Run(c.name, func(t *testing.T) {
			beside(t)
			rated, stderr := search(t, c.code, slices.Concat(c.args, c.more, errors, []string{c.arm})...)
			if !strings.Contains(stderr, "coalmine: "+c.line) || len(c.more) == 0 && !strings.Contains(stderr, "(--classify header:X-Lambda-Version)\n") {
				t.Errorf("want %q\n%s", c.line, stderr)
			}
			if rules := rated.Rating.Target.Classify; len(c.more) > 2 && rules != "header:X-Lambda-Version json:/version" {
				t.Errorf("classified by %q", rules)
			}
			if rated.Rating.Version != c.version || c.share != 0 && (rated.Arm == nil || rated.Arm.Share != c.share || rated.Arm.Version != c.version) {
				t.Errorf("version %q, %+v", rated.Rating.Version, rated.Arm)
			}
			if want := map[string]uint64{"1": 18, "2": 40, "": 12}[c.version]; rated.Rating.Search.Hits != want {
				t.Errorf("%d hits make a trial, want %d: an arm has to get them, of which it is a share", rated.Rating.Search.Hits, want)
			}
			judged := slices.IndexFunc(rated.Trials, func(r analyze.TrialReport) bool { return r.Outcome != capacity.Invalid }) // one in which this machine stood still shows nobody
			if judged < 0 || len(rated.Trials[judged].Arms) != 3 {
				t.Errorf("%+v, want a trial with the stage and two versions", rated.Trials)
			}
		})
	}
}

// A generator of few connections is what ends a search, and the report says what helps.
func TestCapacityOfFewConnections(t *testing.T) {
	beside(t)
	target := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(50 * time.Millisecond) }))
	defer target.Close()
	_, stdout, stderr := coalmine(t, t.Context(), nil, append([]string{"capacity", "--out", "none", "--url", target.URL, "--connections", "10", "--objective", "p50 <= 100ms", "--max-rate", "400", "--from", "100", "--goal-width", "50%"},
		slices.Concat(hastyTrials, []string{"--longest-trial", "1s"})...)...)
	if !strings.Contains(stderr, "coalmine: CAPACITY GENERATOR ") || !strings.Contains(strings.ReplaceAll(stdout, "\n", " "), "Its connections were too few: with more (--connections)") {
		t.Errorf("%s\n%s", stdout, stderr)
	}
}

// While a search goes on its page and its metrics show what is known by then, and who watches is shown the end.
func TestCapacityServed(t *testing.T) {
	beside(t)
	metrics, page := freeAddress(t), freeAddress(t)
	target := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer target.Close()
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	type seen struct{ metrics, page, first, last string }
	watched := make(chan seen, 1)
	go func() {
		var s seen
		defer func() { interrupt(); watched <- s }()
		for !strings.Contains(s.metrics, `coalmine_capacity_trial_requests_per_second 400`) || !strings.Contains(s.metrics, `trials_total{outcome="pass"} 2`) {
			if ctx.Err() != nil {
				return
			}
			s.metrics = got("http://" + metrics + "/metrics")
		}
		s.page = got("http://" + page + "/")
		answer, err := http.Get("http://" + page + "/events")
		if err != nil {
			return
		}
		defer answer.Body.Close()
		lines := bufio.NewReaderSize(answer.Body, 1<<20)
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			if !strings.HasPrefix(line, "data: ") {
				continue
			}
			if s.last = line; s.first == "" {
				s.first = line
				interrupt()
			}
		}
	}()
	code, _, stderr := coalmine(t, ctx, map[string]string{}, "capacity", "--out", "none", "--url", target.URL, "--objective", "p50 <= 20s", "--max-rate", "400", "--from", "200",
		"--short-trial", "200ms", "--trial", "1h", "--budget", "20h", "--warm-up", "0s", "--cool-down", "10ms", "--no-self-check", "--metrics", metrics, "--serve", page)
	s := <-watched
	if code != exitInterrupted || !strings.Contains(stderr, "live page: http://"+page+"/\n") || !strings.Contains(stderr, "metrics: http://"+metrics+"/metrics\n") {
		t.Errorf("exit %d\n%s", code, stderr)
	}
	for _, c := range [][2]string{
		{s.page, " data-live"}, {s.page, "RUNNING"}, {s.page, "The knee"}, {s.page, "trial 3, confirm at 400/s"},
		{s.metrics, "coalmine_capacity_bound_requests_per_second{bound=\"lower\"} 400\n"}, {s.metrics, `coalmine_requests_sent_total{phase="trial"}`},
		{s.first, `"title":"RUNNING capacity nothing proven, 400/s seemed to hold"`}, {s.first, `"ended":false`}, {s.last, `"title":"UNFINISHED capacity nothing proven, 400/s seemed to hold"`}, {s.last, `"ended":true`},
	} {
		if !strings.Contains(c[0], c[1]) {
			t.Errorf("no %s in %.3000s", c[1], c[0])
		}
	}
}

// got is what is at a URL, "" where nobody answers.
func got(url string) string {
	answer, err := http.Get(url)
	if err != nil {
		return ""
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	return string(text)
}

// In a terminal the search is a view, below the trials that are over; Ctrl-C ends it with what is known.
func TestCapacityInTerminal(t *testing.T) {
	beside(t)
	target := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer target.Close()
	e := inTerminal(t, 60, 20, []string{"NO_COLOR=1"}, append([]string{"capacity", "--out", "none", "--url", target.URL, "--objective", "p50 <= 20s", "--max-rate", "400", "--from", "50"},
		"--short-trial", "200ms", "--trial", "1h", "--warm-up", "0s", "--cool-down", "10ms", "--no-self-check", "--budget", "20h")...)
	shown := ansi.Strip(string(e.until(t, "trial 5, confirm at 400/s ░"))) + ansi.Strip(string(e.until(t, "stage")))
	e.master.Write([]byte{3})
	said := ansi.Strip(string(e.until(t, "coalmine: CAPACITY UNFINISHED nothing proven, 400/s seemed to hold, interrupted,")))
	if code := e.left(t); code != exitInterrupted {
		t.Errorf("exit %d, want 130", code)
	}
	for _, want := range []string{"trial 1, bracket at 50/s, 200ms: pass", "capacity  0:0", "known: nothing proven, 200/s seemed to hold", "50/s ━"} {
		if !strings.Contains(shown, want) {
			t.Errorf("no %q in\n%s", want, shown)
		}
	}
	if !strings.Contains(said, "Unfinished, interrupted: the objectives seemed to hold at 400/s.") {
		t.Errorf("%s", said)
	}
}

// --no-progress and --quiet take the trials away, and leave the last line.
func TestCapacityQuiet(t *testing.T) {
	beside(t)
	target := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer target.Close()
	for _, quiet := range []string{"--no-progress", "--quiet"} {
		_, _, stderr := coalmine(t, t.Context(), nil, append([]string{"capacity", "--out", "none", "--url", target.URL, "--objective", "p50 <= 20s", "--max-rate", "200", "--from", "200", quiet}, hastyTrials...)...)
		if !strings.HasPrefix(stderr, "NOT AWS: ") || !strings.Contains(stderr, "\ncoalmine: CAPACITY AT-LEAST 200/s or more, p50 <= 20s, ") || strings.Contains(stderr, "trial 1, ") {
			t.Errorf("%s: %s", quiet, stderr)
		}
	}
}
