package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"coalmine/analyze"
	"coalmine/scenarios/emulator"
)

// The walkthrough with the function that goes to AWS, in processes of its own.
func TestRunExec(t *testing.T) {
	beside(t)
	if testing.Short() {
		t.Skip("sends load for some seconds")
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no go toolchain to build the function with")
	}
	temporary := t.TempDir()
	file := filepath.Join(t.TempDir(), "brief.yaml")
	text := `
name: brief
expect-verdict: promote
target: {api: products, stage: prod, path: /products}
before: {prod: "1", staging: "2"}
canary: {percent: 50, overrides: {lambdaAlias: staging}, deploy: true, version: "2"}
load: {rate: 400}
policy:
  alpha: 0.1
  settle: 1s
  min-duration: 1s
  split: {margin: 10}
  errors: {max: 5%, margin: 5}
  latency: {max: {}, margin: {}}
  validity: {wake-late: 1m, short: 100%}
act: {promote: promote, reject: rollback, inconclusive: rollback}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c := child(t, map[string]string{"TMPDIR": temporary, "XDG_STATE_HOME": t.TempDir()}, "run", file, "--exec", "--format", "json", "--out", "none")
	var said strings.Builder
	c.Stderr = &said
	stdout, ended := c.Output()
	stderr := said.String()
	var a analyze.Analysis
	if err := json.Unmarshal(stdout, &a); err != nil || ended != nil || a.Action != "promoted" || a.After != analyze.Pass {
		t.Errorf("%v, %s, traffic after: %s\n%s", ended, a.Action, a.After, stderr)
	}
	built := regexp.MustCompile(`^real functions run, as local processes: getProducts, built from scenarios/products/function with go1\.\S+ for ` + runtime.GOOS + "/" + runtime.GOARCH + "$")
	if lines := strings.Split(stderr, "\n"); len(lines) < 2 || !built.MatchString(lines[1]) {
		t.Errorf("second line on stderr: %s", stderr)
	}
	if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
		t.Errorf("left in the temporary folder: %v %v", left, err)
	}
}

// Where --exec cannot be followed it is refused, and said what would be right.
func TestExecRefused(t *testing.T) {
	server, err := emulator.Start("127.0.0.1:0", emulator.Faults{})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	code, _, stderr := coalmine(t, t.Context(), map[string]string{"AWS_ENDPOINT_URL": server.URL()}, "run", "--exec")
	if code != 2 || !strings.Contains(stderr, "a control plane is named: want coalmine emulator --exec") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	t.Setenv("PATH", t.TempDir())
	for _, args := range [][]string{{"run", "--exec"}, {"emulator", "--exec", "--listen", "127.0.0.1:0"}} {
		if code, _, stderr := coalmine(t, t.Context(), nil, args...); code != 2 || !strings.Contains(stderr, "--exec: there is no go command on PATH") {
			t.Errorf("%q: exit %d: %s", args, code, stderr)
		}
	}
}
