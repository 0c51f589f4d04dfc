package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"coalmine/analyze"
	"coalmine/scenarios/emulator"
)

// The test binary is coalmine itself where a process is needed that can be killed.
func TestMain(m *testing.M) {
	if os.Getenv("COALMINE_TEST_MAIN") != "" {
		os.Exit(process())
	}
	flag.Set("test.parallel", "6") // stories wait more than they work; -parallel on the command line has the last word
	os.Exit(m.Run())
}

// coalmine runs the program in this process.
func coalmine(t *testing.T, ctx context.Context, env map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	all := map[string]string{"XDG_STATE_HOME": t.TempDir()}
	for key, value := range env {
		all[key] = value
	}
	var out, err bytes.Buffer
	code = run(ctx, args, world{func(key string) string { return all[key] }, strings.NewReader(""), &out, &err})
	return code, out.String(), err.String()
}

// child is the program as a process of its own.
func child(t *testing.T, env map[string]string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self, args...)
	c.Env = append(os.Environ(), "COALMINE_TEST_MAIN=1")
	for key, value := range env {
		c.Env = append(c.Env, key+"="+value)
	}
	return c
}

// ending is what a built-in scenario's name promises.
type ending struct {
	name    string
	rate    string
	codes   []int
	action  string
	culprit string // how the check that decides begins
}

// Every built-in scenario ends as its name promises, and leaves prod as it should be, proven by traffic. What is judged by
// latency has the machine for itself.
func TestScenarios(t *testing.T) {
	for _, e := range []ending{
		{"products", "1000/s", []int{0}, "promoted", ""},
		{"slow-canary", "500/s", []int{10}, "rolled back", "p95"},
	} {
		t.Run(e.name, e.holds)
	}
}

func TestScenariosRejected(t *testing.T) {
	beside(t)
	for _, e := range []ending{
		{"failing-canary", "500/s", []int{10}, "rolled back", ""},
		{"misrouted", "500/s", []int{10}, "rolled back", "split"},
		{"broken-permission", "500/s", []int{10}, "rolled back", "errors 2"},
		{"hanging-canary", "500/s", []int{10, 11}, "rolled back", ""},
		{"wrong-version", "500/s", []int{10}, "rolled back", "foreign version"},
	} {
		t.Run(e.name, e.holds)
	}
}

func (e ending) holds(t *testing.T) {
	if testing.Short() {
		t.Skip("each scenario sends load for some seconds")
	}
	t.Parallel()
	file := filepath.Join(t.TempDir(), "run.ndjson")
	code, stdout, stderr := coalmine(t, t.Context(), nil, "run", e.name, "--rate", e.rate, "--format", "json", "--out", file)
	var a analyze.Analysis
	if err := json.Unmarshal([]byte(stdout), &a); err != nil {
		t.Fatalf("exit %d, stdout is no analysis: %v\n%s", code, err, stderr)
	}
	if !slices.Contains(e.codes, code) || a.Action != e.action || a.After != analyze.Pass || !strings.HasPrefix(a.Conclusion.Culprit, e.culprit) {
		t.Errorf("exit %d, %s, traffic after: %s, culprit %q; want exit %v, %s, pass, %q\n%s",
			code, a.Action, a.After, a.Conclusion.Culprit, e.codes, e.action, e.culprit, stderr)
	}
	if lines := strings.Split(strings.TrimSpace(stderr), "\n"); !strings.HasPrefix(lines[0], "NOT AWS: http://127.0.0.1:") ||
		!strings.HasPrefix(lines[len(lines)-1], "coalmine: "+a.Conclusion.Verdict.String()+" v2 over v1, ") {
		t.Errorf("first and last line on stderr:\n%s\n%s", lines[0], lines[len(lines)-1])
	}
	shown(t, file, stdout)
}

// shown holds the run file to what it promises: read again, it gives the same report.
func shown(t *testing.T, file, live string) {
	t.Helper()
	code, again, stderr := coalmine(t, t.Context(), nil, "report", file, "--format", "json")
	if code != 0 || again != live {
		t.Errorf("report of the run file: exit %d %s\n--- live\n%s\n--- again\n%s", code, stderr, live, again)
	}
	if code, table, _ := coalmine(t, t.Context(), nil, "report", file); code != 0 || !strings.Contains(table, "1 baseline") {
		t.Errorf("table of the run file: exit %d\n%s", code, table)
	} else {
		for line := range strings.Lines(table) {
			if len([]rune(strings.TrimRight(line, "\n"))) > 80 {
				t.Errorf("more than 80 columns: %s", line)
			}
		}
	}
}

// Wrong input gets one line that says what is wrong and what would be right, and exit code 2.
func TestBadInput(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	unknown := write("unknown.yaml", "name: x\npolicy:\n  alfa: 0.1\n")
	broken := write("broken.yaml", "name: [x\n")
	policy, targets, link := write("policy.yaml", "alpha: 0.01\n"), write("targets.txt", "GET /a\n"), filepath.Join(dir, "link")
	if err := os.Symlink(policy, link); err != nil {
		t.Fatal(err)
	}
	story := write("story.yaml", "name: x\nbefore: {prod: \"1\"}\ncanary: {percent: 50, overrides: {lambdaAlias: staging}}\n")
	percent := write("percent.yaml", "name: x\nbefore: {prod: \"1\"}\ncanary: {percent: 120, overrides: {lambdaAlias: staging}}\n")
	same := write("same.yaml", "name: x\nbefore: {prod: \"1\"}\ncanary: {percent: 50, overrides: {lambdaAlias: staging}, version: \"1\"}\n")
	gate := func(more ...string) []string {
		return append([]string{"gate", "--url", "http://127.0.0.1:1/x", "--baseline", "1", "--canary", "2", "--percent", "50", "--classify", "json:/version"}, more...)
	}
	for _, tc := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"frobnicate"}, 2, `unknown command "frobnicate"`},
		{[]string{"run", "--frobnicate"}, 2, "unknown flag: --frobnicate"},
		{[]string{"run", "nowhere"}, 2, `unknown scenario "nowhere": want one of broken-permission,`},
		{[]string{"run", "a", "b"}, 2, "accepts at most 1 arg"},
		{[]string{"run", unknown}, 2, unknown + `:3: unknown key "alfa" (nearest known: "alpha")`},
		{[]string{"run", broken}, 2, broken + ": line"},
		{[]string{"run", percent}, 2, "canary.percent: want more than 0 and less than 100, got 120"},
		{[]string{"run", same}, 2, "canary.version: 1 is the version that stage prod answers with already"},
		{[]string{"run", "--rate", "fast"}, 2, "--rate: want requests per time"},
		{[]string{"run", "--format", "pdf"}, 2, `unknown format "pdf"`},
		{[]string{"run", "--format", "json,table"}, 2, "--format: json, table: standard output has room for one: want --out-dir DIR, too"},
		{[]string{"verify", "--url", "http://127.0.0.1:1/x", "--format", "json", "--format", "json"}, 2, "--format: json is asked for twice"},
		{[]string{"run", "--metrics", "0.0.0.0:1"}, 2, "--metrics: 0.0.0.0:1 can be reached by other machines: want 127.0.0.1:PORT, or --metrics-anywhere"},
		{[]string{"run", "--metrics", "9464"}, 2, "want HOST:PORT, like 127.0.0.1:9464"},
		{[]string{"run", "--metrics-linger", "1s"}, 2, "want --metrics HOST:PORT, too"},
		{[]string{"report", "--format", "pdf", broken}, 2, `unknown format "pdf": want one of `},
		{[]string{"gate"}, 2, "missing target: want --url URL, or --api ID with --path"},
		{[]string{"gate", "--url", "http://127.0.0.1:1/x"}, 2, "want --baseline, --canary and --percent"},
		{gate("--percent", "0"), 2, "--percent: want more than 0 and less than 100, got 0"},
		{gate("--percent", "101"), 2, "--percent: want more than 0 and less than 100, got 101"},
		{gate("--canary", "1"), 2, `baseline and canary are both "1"`},
		{gate("--classify", "colour:red"), 2, "colour"},
		{gate("--latency-max", "p100=1s"), 2, "--latency-max: want a quantile p1 to p99.99"},
		{gate("--split-margin", "60"), 2, "split.margin: 60 points around 50 % reach -10 to 110 %"},
		{gate("--alpha", "0"), 2, "alpha: want more than 0 and less than 1, got 0"},
		{gate("--policy", policy, "--out", policy), 2, "--out: " + policy + " is the file of --policy, too: want another name"},
		{gate("--policy", policy, "--hits", link), 2, "--hits: " + link + " is the file of --policy, too"},
		{gate("--method", "POST", "--body", "@"+broken, "--hits", broken), 2, "is the file of --body, too"},
		{gate("--out", filepath.Join(dir, "new"), "--hits", dir+"/./new"), 2, "is the file of --hits, too"},
		{[]string{"gate", "--api", "x", "--path", "/p", "--verdict-out", policy, "--policy", policy}, 2, "--verdict-out: " + policy + " is the file of --policy"},
		{[]string{"attack", "--url", "http://127.0.0.1:1", "--targets", targets, "--out", targets}, 2, "is the file of --targets, too"},
		{[]string{"verify", "--url", "http://127.0.0.1:1/", "--expect", "1", "--api-key-file", broken, "--out", broken}, 2, "is the file of --api-key-file, too"},
		{[]string{"run", story, "--out", story}, 2, "is the file of the scenario, too"},
		{[]string{"capacity", story, "--hits", story, "--objective", "errors <= 1%"}, 2, "is the file of the scenario, too"},
		{gate("--format", "json", "--out-dir", dir, "--out", filepath.Join(dir, "report.json")), 2, "is the file of --out, too"},
		{gate("--split-margin", "0"), 2, "--split-margin: want more than 0 points, got 0"},
		{gate("--path", "/x"), 2, "the path of a --url belongs into the URL"},
		{gate("--stage", "dev"), 2, "--stage is about --api"},
		{gate("--expect-account", "123456789012"), 2, "--expect-account is about --api or --lambda-alias"},
		{gate("--expect-account", "123"), 2, `want an account's 12 digits, got "123"`},
		{gate("--expect-account", ""), 2, `want an account's 12 digits, got ""`},
		{gate("--region", "eu-west-1"), 2, "--region is about --api, --lambda-alias or --sigv4"},
		{gate("--profile", "x"), 2, "--profile is about --api, --lambda-alias or --sigv4"},
		{gate("--journal", dir), 2, "--journal is about --api or --lambda-alias"},
		{gate("--verdict-expires", "1m"), 2, "--verdict-expires is about --verdict-out FILE"},
		{gate("--max-rate", "-1"), 2, "--max-rate: want more than 0, got -1"},
		{[]string{"gate", "--url", "http://127.0.0.1:1/", "--lambda-alias", "f:a", "--path", "/x"}, 2, "the path of a --url belongs into the URL"},
		{[]string{"verify", "--url", "http://127.0.0.1:1", "--expect", "1", "--path", "/x"}, 2, "the path of a --url belongs into the URL"},
		{[]string{"attack", "--url", "http://127.0.0.1:1", "--path", "/x"}, 2, "the path of a --url belongs into the URL"},
		{[]string{"attack", "--url", "http://127.0.0.1:1/x", "--connections", "0"}, 2, "--connections: want 1 or more, got 0"},
		{[]string{"attack", "--url", "http://127.0.0.1:1/x", "--warm", "0"}, 2, "--warm: want 1 or more, or -1 for none, got 0"},
		{[]string{"run", "--max-rate", "0"}, 2, "--max-rate: want more than 0, got 0"},
		{gate("--dry-run", "--out-dir", dir), 2, "--dry-run has one report, on standard output"},
		{gate("--promote"), 2, "--verdict-out need --api"},
		{gate("--method", "PO ST"), 2, `method: "PO ST": want one like GET`},
		{gate("--on-inconclusive", "maybe"), 2, "--on-inconclusive: want pass or fail"},
		{gate(), 1, "GET http://127.0.0.1:1/x: connection refused"},
		{[]string{"gate", "--url", "ftp://x/y", "--baseline", "1", "--canary", "2", "--percent", "50", "--classify", "json:/v"}, 2, `scheme "ftp"`},
		{[]string{"gate", "--url", "http://example.com/y", "--baseline", "1", "--canary", "2", "--percent", "50", "--classify", "json:/v", "--rate", "5000"}, 2, "above --max-rate"},
		{[]string{"attack", "--url", "http://127.0.0.1:1/x"}, 1, "connection refused"},
		{[]string{"attack", "--url", "http://example.com/x", "--rate", "max"}, 2, "--rate max: only on loopback"},
		{[]string{"attack", "--url", "http://127.0.0.1:1/x", "--classify", "learn"}, 2, "--classify: attack cannot learn"},
		{gate("--classify", "learn"), 2, "--classify: learn wants to be alone"},
		{[]string{"report"}, 2, "want one run file, or two to compare, got 0"},
		{[]string{"report", filepath.Join(dir, "none")}, 2, "no such file"},
		{[]string{"stack", "up"}, 2, "which control plane? want AWS_ENDPOINT_URL"},
		{[]string{"canary", "show"}, 2, "missing target: want --api"},
		{[]string{"emulator", "--listen", "0.0.0.0:0"}, 2, "loopback"},
		{gate("--out", "/dev/null", "--hits", "/dev/null"), 1, "connection refused"},
	} {
		code, stdout, stderr := coalmine(t, t.Context(), nil, tc.args...)
		said := strings.TrimSpace(stderr)
		if code != tc.code || !strings.Contains(said, tc.says) || strings.Contains(said, "\n") || stdout != "" {
			t.Errorf("%q: exit %d, stdout %q, stderr %q; want exit %d and one line with %q", tc.args, code, stdout, said, tc.code, tc.says)
		}
	}
	if text, err := os.ReadFile(policy); err != nil || string(text) != "alpha: 0.01\n" {
		t.Errorf("the policy is gone: %q %v", text, err)
	}
}

// What is named and not there is wrong input too, found before anything is sent or changed; and so is a classifier that
// finds nothing in good answers.
func TestMisnamed(t *testing.T) {
	s := newSystem(t, emulator.Faults{Seed: 1})
	story := func(more string) string {
		path := filepath.Join(t.TempDir(), "story.yaml")
		text := "name: x\nbefore: {prod: \"1\"}\n" + more
		if !strings.Contains(more, "canary:") {
			text += "canary: {percent: 50, overrides: {lambdaAlias: staging}}\n"
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		args []string
		says string
	}{
		{[]string{"canary", "show", "--api", "nope"}, "find API nope: no REST API has this id or name; there are products"},
		{[]string{"canary", "show", "--api", "products", "--stage", "nope"}, "stages/nope: NotFoundException"},
		{[]string{"canary", "abort", "--api", "products", "--stage", "nope"}, "stages/nope: NotFoundException"},
		{[]string{"canary", "create", "--api", "products", "--percent", "0"}, "--percent: want more than 0 and at most 100, got 0"},
		{[]string{"attack", "--api", "nope", "--path", "/products"}, "find API nope"},
		{[]string{"attack", "--api", "products", "--path", "/products", "--out", t.TempDir()}, "is a directory: want --out FILE, or none"},
		{[]string{"gate", "--api", "nope", "--path", "/products"}, "find API nope"},
		{[]string{"gate", "--api", "products", "--path", "/nope"}, "the API has no such path"},
		{[]string{"gate", "--api", "products", "--path", "/products", "--stage", "nope"}, "stages/nope: NotFoundException"},
		{[]string{"run", story("target: {api: nope}\n")}, "find API nope"},
		{[]string{"run", story("target: {path: /nope}\n")}, "the API has no such path"},
		{[]string{"run", story("canary: {percent: 50, overrides: {lambdaAlias: nope}}\n")}, "function getProducts has no alias nope"},
		{[]string{"run", story("classify: [header:Nope]\n")}, "classify header:Nope: none of 20 answers names a version; one was: HTTP 200"},
		{[]string{"run", story("")}, "classify: missing, and cannot be learned from one version"},
	} {
		code, stdout, stderr := coalmine(t, t.Context(), s.env, tc.args...)
		lines := strings.Split(strings.TrimSpace(stderr), "\n")
		if last := lines[len(lines)-1]; code != exitUsage || !strings.HasPrefix(last, "coalmine: ") || !strings.Contains(last, tc.says) || stdout != "" {
			t.Errorf("%q: exit %d, stdout %q, stderr %q; want exit 2 and a line with %q", tc.args, code, stdout, stderr, tc.says)
		}
	}
	s.asBefore(t)
	// The state directory cannot be made.
	s.env["XDG_STATE_HOME"] = file
	if code, _, stderr := coalmine(t, t.Context(), s.env, "attack", "--api", "products", "--path", "/products"); code != exitUsage || !strings.Contains(stderr, "want --out FILE, or none") {
		t.Errorf("state directory: exit %d %s", code, stderr)
	}
}

// The first line says where, also before a warning.
func TestWhereComesFirst(t *testing.T) {
	s := newSystem(t, emulator.Faults{Seed: 1})
	story := written(t, "story.yaml", "name: x\nbefore: {prod: \"1\"}\ncanary: {percent: 50, overrides: {lambdaAlias: staging}}\ntarget: {path: /nope}\nemulator: {seed: 3}\n")
	code, _, stderr := coalmine(t, t.Context(), s.env, "run", story)
	lines := strings.Split(stderr, "\n")
	if code != exitUsage || len(lines) < 3 || !strings.HasPrefix(lines[0], "NOT AWS: ") || !strings.HasPrefix(lines[1], "warning: the scenario's emulator settings are not applied") {
		t.Errorf("exit %d\n%s", code, stderr)
	}
}
