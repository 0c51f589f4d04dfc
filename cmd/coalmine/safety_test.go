package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"coalmine/analyze"
	"coalmine/scenarios/emulator"
	"coalmine/scenarios/products"
	"coalmine/scenarios/stage"
)

// system is the demonstration system on an emulator of its own, as another process would see it.
type system struct {
	server *emulator.Server
	env    map[string]string
	client *stage.Client
	ref    stage.Ref
	before stage.State
}

func newSystem(t *testing.T, faults emulator.Faults) *system {
	t.Helper()
	server, err := emulator.Start("127.0.0.1:0", faults)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	client, err := stage.Connect(t.Context(), stage.Config{Endpoint: server.URL()})
	if err != nil {
		t.Fatal(err)
	}
	built, _, err := products.Up(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	s := &system{
		server: server,
		env:    map[string]string{"AWS_ENDPOINT_URL": server.URL(), "XDG_STATE_HOME": t.TempDir()},
		client: client,
		ref:    stage.Ref{API: built.API, Stage: "prod", Method: "GET", Path: "/products"},
	}
	s.before = s.read(t)
	return s
}

func (s *system) read(t *testing.T) stage.State {
	t.Helper()
	state, err := s.client.Read(context.WithoutCancel(t.Context()), s.ref)
	if err != nil {
		t.Fatal(err)
	}
	state.LastUpdated = time.Time{}
	return state
}

// through puts a proxy between the program and the system: intercept sees each request, and may answer it itself.
func (s *system) through(t *testing.T, intercept func(w http.ResponseWriter, r *http.Request, body []byte) (answered bool)) {
	t.Helper()
	target, err := url.Parse(s.server.URL())
	if err != nil {
		t.Fatal(err)
	}
	forward := httputil.NewSingleHostReverseProxy(target)
	forward.Transport = &http.Transport{MaxIdleConnsPerHost: 1000} // the load passes here, too
	forward.ErrorLog = log.New(io.Discard, "", 0)                  // what an interrupt leaves unanswered
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		if !intercept(w, r, body) {
			forward.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(proxy.Close)
	s.env["AWS_ENDPOINT_URL"] = proxy.URL
}

// asBefore fails unless the stage is as it was.
func (s *system) asBefore(t *testing.T) {
	t.Helper()
	if changes := s.read(t).Differs(s.before); len(changes) > 0 {
		t.Errorf("the stage is not as it was: %s", strings.Join(changes, ", "))
	}
}

// canaried waits until the stage has a canary with a deployment of its own.
func (s *system) canaried(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if state := s.read(t); state.Canary != nil && state.Canary.DeploymentID != state.DeploymentID {
			return
		}
	}
	t.Fatal("no canary was made in 30 s")
}

// measured waits until a run has evidence of its canary: answers of a window that ended after it was deployed.
func measured(t *testing.T, file string) {
	t.Helper()
	evidence := regexp.MustCompile(`(?s)"name":"canary\.deployed".*{"window":{"phase":"during"[^\n]*"hits":[1-9]`)
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if data, _ := os.ReadFile(file); evidence.Match(data) {
			return
		}
	}
	t.Error("no answer with the canary deployed in 30 s")
}

// written is the path of a file that holds the text.
func written(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// beside lets a story that latency does not decide run beside another: not with -short, where the race detector makes one enough.
func beside(t *testing.T) {
	if !testing.Short() {
		t.Parallel()
	}
}

// scenario is quick to get to its canary, and slow to decide; latency, which a busy machine has its part in, is not what its tests
// are about.
func scenario(t *testing.T) string {
	t.Helper()
	return written(t, "slow.yaml", `name: slow
before: {prod: "1"}
canary: {percent: 50, overrides: {lambdaAlias: staging}}
classify: [header:X-Lambda-Version]
load: {rate: 400}
policy: {settle: 20s, min-duration: 20s, max-duration: 30s, latency: {max: {}, margin: {}}, validity: {wake-late: 1m, short: 100%}}
act: {promote: promote, reject: rollback, inconclusive: rollback}
`)
}

// An interrupt stops the load, removes the canary that run made, and keeps the evidence.
func TestInterrupt(t *testing.T) {
	beside(t)
	s := newSystem(t, emulator.Faults{Seed: 1})
	ctx, interrupt := context.WithCancel(t.Context())
	file := filepath.Join(t.TempDir(), "run.ndjson")
	go func() {
		measured(t, file)
		interrupt()
	}()
	code, stdout, stderr := coalmine(t, ctx, s.env, "run", scenario(t), "--format", "json", "--out", file)
	var a analyze.Analysis
	if err := json.Unmarshal([]byte(stdout), &a); err != nil {
		t.Fatalf("exit %d: %v\n%s", code, err, stderr)
	}
	if code != exitInterrupted || a.End.Reason != "interrupted" || a.Action != "rolled back" || a.Conclusion.Verdict != analyze.Inconclusive {
		t.Errorf("exit %d, end %q, action %q, %s; want 130, interrupted, rolled back, INCONCLUSIVE\n%s", code, a.End.Reason, a.Action, a.Conclusion.Verdict, stderr)
	}
	if last := a.Phases[len(a.Phases)-1]; last.Name != analyze.During || last.Hits == 0 {
		t.Errorf("last phase %q with %d hits, want the evidence of the during phase", last.Name, last.Hits)
	}
	if last := stderr[strings.LastIndex(strings.TrimSpace(stderr), "\n")+1:]; !strings.HasPrefix(last, "coalmine: INCONCLUSIVE v2 over v1") || strings.Count(last, "interrupted") != 1 {
		t.Errorf("stderr does not end by saying so:\n%s", stderr)
	}
	s.asBefore(t)
}

// Killed after each of its changes in turn, the change made and not yet answered, run leaves a stage that recover makes what
// it was. (Every single call of the control plane, and the other ways to break off, are tried in scenarios/stage.)
func TestKill(t *testing.T) {
	beside(t)
	if testing.Short() {
		t.Skip("sends load for some seconds")
	}
	for at, change := range []string{"create", "make a deployment", "deploy", "promote", "remove the settings"} {
		t.Run(change, func(t *testing.T) {
			beside(t)
			s := newSystem(t, emulator.Faults{Seed: 1})
			var killed *exec.Cmd
			var changes atomic.Int32
			through := s.server.URL()
			s.through(t, func(w http.ResponseWriter, r *http.Request, body []byte) bool {
				if r.Method == http.MethodGet || !strings.HasPrefix(r.URL.Path, "/restapis/") || changes.Add(1) <= int32(at) {
					return false
				}
				r.URL.Scheme, r.URL.Host, r.RequestURI = "http", strings.TrimPrefix(through, "http://"), ""
				if answer, err := http.DefaultClient.Do(r); err == nil {
					answer.Body.Close()
				}
				killed.Process.Kill()
				return true
			})
			killed = child(t, s.env, "run", quick(t), "--out", "none")
			var status *exec.ExitError
			if err := killed.Run(); !errors.As(err, &status) || status.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
				t.Fatalf("the run ended by itself: %v", err)
			}
			changes.Store(-1000) // from now on nothing is killed
			if len(s.read(t).Differs(s.before)) == 0 {
				t.Fatal("the killed run left the stage as it was: nothing is tested")
			}
			if code, _, stderr := coalmine(t, t.Context(), s.env, "run", quick(t), "--out", "none"); code != exitUsage || !strings.Contains(stderr, "coalmine canary recover") {
				t.Errorf("a run on the stage left behind: exit %d %s", code, stderr)
			}
			code, stdout, stderr := coalmine(t, t.Context(), s.env, "canary", "recover")
			if code != 0 || stdout == "" {
				t.Errorf("recover: exit %d %s %s", code, stdout, stderr)
			}
			s.asBefore(t)
			if code, stdout, _ := coalmine(t, t.Context(), s.env, "canary", "recover"); code != 0 || !strings.Contains(stdout, "nothing is unfinished") {
				t.Errorf("recover again: exit %d %s", code, stdout)
			}
		})
	}
}

// A canary made with AWS CLI is judged by gate, which changes nothing unless asked.
func TestGateAfterAWSCLI(t *testing.T) {
	beside(t)
	if testing.Short() {
		t.Skip("sends load for some seconds")
	}
	aws, err := exec.LookPath("aws")
	if err != nil {
		t.Skip("AWS CLI is not installed: an independent client cannot make the canary")
	}
	s := newSystem(t, emulator.Faults{Seed: 1, Propagation: 300 * time.Millisecond})
	cli := func(args ...string) string {
		t.Helper()
		command := exec.Command(aws, append([]string{"--endpoint-url", s.env["AWS_ENDPOINT_URL"], "--region", "us-east-1", "--output", "text"}, args...)...)
		command.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_PAGER=")
		out, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("aws %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return strings.TrimSpace(string(out))
	}
	if alias := cli("lambda", "get-alias", "--function-name", "getProducts", "--name", "staging", "--query", "FunctionVersion"); alias != "2" {
		t.Errorf("AWS CLI reads alias staging as version %q, want 2", alias)
	}
	deployment := cli("apigateway", "create-deployment", "--rest-api-id", s.ref.API, "--query", "id")
	update := []string{"apigateway", "update-stage", "--rest-api-id", s.ref.API, "--stage-name", "prod", "--query", "canarySettings.percentTraffic", "--patch-operations"}
	if percent := cli(append(update, "op=replace,path=/canarySettings/percentTraffic,value=50.0", "op=replace,path=/canarySettings/stageVariableOverrides/lambdaAlias,value=staging",
		"op=replace,path=/canarySettings/deploymentId,value="+deployment)...); percent != "50.0" {
		t.Errorf("AWS CLI reads %q percent, want 50.0", percent)
	}
	live := s.read(t)
	gate := []string{"gate", "--api", "products", "--stage", "prod", "--path", "/products", "--rate", "400/s", "--settle", "1s", "--min-duration", "1s",
		"--policy", hasty(t), "--format", "json", "--out", "none"}
	// Two seconds are too few for the evidence of so narrow a split.
	code, stdout, stderr := coalmine(t, t.Context(), s.env, slices.Concat(gate, []string{"--max-duration", "2s", "--split-margin", "2", "--alpha", "0.01"})...)
	var a analyze.Analysis
	if err := json.Unmarshal([]byte(stdout), &a); err != nil {
		t.Fatalf("exit %d: %v\n%s", code, err, stderr)
	}
	if code != exitInconclusive || a.Header.Target.Baseline != "1" || a.Header.Target.Canary != "2" || a.Header.Target.Percent != 50 || a.Action != "none" {
		t.Errorf("exit %d, %+v, action %q; want 11, 2 over 1 at 50 %%, none\n%s", code, a.Header.Target, a.Action, stderr)
	}
	if changes := s.read(t).Differs(live); len(changes) > 0 {
		t.Errorf("gate without --promote changed the stage: %s", strings.Join(changes, ", "))
	}
	code, stdout, stderr = coalmine(t, t.Context(), s.env, slices.Concat(gate, []string{"--max-duration", "40s", "--promote"})...)
	if err := json.Unmarshal([]byte(stdout), &a); err != nil {
		t.Fatalf("exit %d: %v\n%s", code, err, stderr)
	}
	if code != 0 || a.Action != "promoted" || a.After != analyze.Pass {
		t.Errorf("gate --promote: exit %d, %s, traffic after: %s\n%s", code, a.Action, a.After, stderr)
	}
	if variable := cli("apigateway", "get-stage", "--rest-api-id", s.ref.API, "--stage-name", "prod", "--query", "[variables.lambdaAlias,deploymentId]"); variable != "staging\t"+deployment {
		t.Errorf("AWS CLI reads %q after the promote, want staging and deployment %s", variable, deployment)
	}
}

// A stage that somebody else changes during the load promotes nothing.
func TestChangedUnderTest(t *testing.T) {
	beside(t)
	if testing.Short() {
		t.Skip("sends load for some seconds")
	}
	s := newSystem(t, emulator.Faults{Seed: 1})
	go func() {
		s.canaried(t)
		j, err := s.client.OpenJournal(t.TempDir(), s.ref) // another directory: another machine's
		if err != nil {
			t.Error(err)
			return
		}
		defer j.Close()
		if _, err = s.client.SetPercent(t.Context(), j, s.ref, 20); err != nil {
			t.Error(err)
		}
	}()
	code, stdout, stderr := coalmine(t, t.Context(), s.env, "run", scenario(t), "--format", "json", "--out", "none")
	var a analyze.Analysis
	if err := json.Unmarshal([]byte(stdout), &a); err != nil {
		t.Fatalf("exit %d: %v\n%s", code, err, stderr)
	}
	if code != exitVoid || len(a.Conclusion.Void) == 0 || !strings.Contains(a.Conclusion.Void[0], "stage changed under test: canary percent: 50.0 -> 20.0") {
		t.Errorf("exit %d, void %q; want 12 and what changed\n%s", code, a.Conclusion.Void, stderr)
	}
	s.asBefore(t)
}

// quick decides in a few seconds, and not by latency: how busy this machine is has no part in it.
func quick(t *testing.T) string {
	t.Helper()
	return written(t, "quick.yaml", `name: quick
before: {prod: "1"}
canary: {percent: 50, overrides: {lambdaAlias: staging}}
classify: [header:X-Lambda-Version]
load: {rate: 400}
policy:
  alpha: 0.1
  settle: 1s
  min-duration: 1s
  max-duration: 2m
  split: {margin: 10}
  errors: {margin: 5}
  latency: {max: {}, margin: {}}
  validity: {wake-late: 1m, short: 100%}
act: {promote: promote, reject: rollback, inconclusive: rollback}
`)
}

// A canary that breaks once it has all the traffic is taken back.
func TestBrokenAfterPromote(t *testing.T) {
	beside(t)
	if testing.Short() {
		t.Skip("sends load for some seconds")
	}
	s := newSystem(t, emulator.Faults{Seed: 1})
	s.through(t, func(_ http.ResponseWriter, r *http.Request, body []byte) bool {
		if r.Method == http.MethodPatch && bytes.Contains(body, []byte(`"copy"`)) {
			if err := s.server.SetFaults(emulator.Faults{Seed: 1, Versions: map[string]emulator.Version{"2": {Errors: 0.3}}}); err != nil {
				t.Error(err)
			}
		}
		return false
	})
	code, stdout, stderr := coalmine(t, t.Context(), s.env, "run", quick(t), "--format", "json", "--out", "none")
	var a analyze.Analysis
	if err := json.Unmarshal([]byte(stdout), &a); err != nil {
		t.Fatalf("exit %d: %v\n%s", code, err, stderr)
	}
	if code != exitAfter || a.Conclusion.Verdict != analyze.Promote || a.After != analyze.Fail || a.Action != "rolled back" {
		t.Errorf("exit %d, %s, after %s, %s; want 13, PROMOTE, fail, rolled back\n%s", code, a.Conclusion.Verdict, a.After, a.Action, stderr)
	}
	s.asBefore(t)
}

// A control plane that refuses the promote leaves the stage as it was, and says what it refused.
func TestRefusedPromote(t *testing.T) {
	beside(t)
	if testing.Short() {
		t.Skip("sends load for some seconds")
	}
	s := newSystem(t, emulator.Faults{Seed: 1})
	s.through(t, func(w http.ResponseWriter, r *http.Request, body []byte) bool {
		if r.Method != http.MethodPatch || !bytes.Contains(body, []byte(`"copy"`)) {
			return false
		}
		w.Header().Set("X-Amzn-ErrorType", "AccessDeniedException")
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, `{"Message":"User is not authorized to perform: apigateway:PATCH"}`)
		return true
	})
	code, _, stderr := coalmine(t, t.Context(), s.env, "run", quick(t), "--out", "none")
	last := stderr[strings.LastIndex(strings.TrimSpace(stderr), "\n")+1:]
	if code != exitBroken || !strings.Contains(last, "stages/prod: AccessDeniedException: User is not authorized to perform: apigateway:PATCH") {
		t.Errorf("exit %d, last line %q; want 1 and the operation with AWS's message", code, last)
	}
	s.asBefore(t)
}

// stack builds once, finds what is there the second time, and takes away only what it built.
func TestStack(t *testing.T) {
	server, err := emulator.Start("127.0.0.1:0", emulator.Faults{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	env := map[string]string{"AWS_ENDPOINT_URL": server.URL()}
	for _, step := range []struct {
		verb, says, not string
	}{
		{"up", "made API products", "found"},
		{"up", "found API products", "made"},
		{"down", "removed API products", "made"},
		{"down", "nothing to remove", "removed"},
		{"up", "made API products", "found"},
	} {
		code, stdout, stderr := coalmine(t, t.Context(), env, "stack", step.verb)
		if code != 0 || !strings.HasPrefix(stderr, "NOT AWS: "+server.URL()+"\n") || !strings.Contains(stdout, step.says) || strings.Contains(stdout, step.not) {
			t.Errorf("stack %s: exit %d, want 0, %q and no %q\n%s%s", step.verb, code, step.says, step.not, stdout, stderr)
		}
	}
}

// A verdict that comes while the canary is still being deployed is a verdict: the deployment is not broken off.
func TestVerdictBeforeDeployed(t *testing.T) {
	beside(t)
	s := newSystem(t, emulator.Faults{Seed: 1, Gateway: emulator.Gateway{Deny: []string{"staging"}}})
	s.through(t, func(_ http.ResponseWriter, r *http.Request, _ []byte) bool {
		if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/deployments") {
			time.Sleep(1500 * time.Millisecond)
		}
		return false
	})
	code, stdout, stderr := coalmine(t, t.Context(), s.env, "run", quick(t), "--format", "json", "--out", "none")
	var a analyze.Analysis
	if err := json.Unmarshal([]byte(stdout), &a); err != nil {
		t.Fatalf("exit %d: %v\n%s", code, err, stderr)
	}
	if code != exitReject || a.Action != "rolled back" || a.After != analyze.Pass {
		t.Errorf("exit %d, %s, %s, traffic after: %s; want 10, REJECT, rolled back, pass\n%s", code, a.Conclusion.Verdict, a.Action, a.After, stderr)
	}
	s.asBefore(t)
}

// A canary that somebody else makes while run asks the stage is not run's to remove.
func TestCanaryOfSomebodyElse(t *testing.T) {
	beside(t)
	s := newSystem(t, emulator.Faults{Seed: 1})
	var asked atomic.Int64
	s.through(t, func(_ http.ResponseWriter, r *http.Request, _ []byte) bool {
		if !strings.Contains(r.URL.Path, "/_user_request_") || asked.Add(1) != 500 {
			return false
		}
		j, err := s.client.OpenJournal(t.TempDir(), s.ref) // another directory: another machine's
		if err != nil {
			t.Error(err)
			return false
		}
		defer j.Close()
		if _, err := s.client.CreateCanary(t.Context(), j, s.ref, 10, nil); err != nil { // answers as the stage does
			t.Error(err)
		}
		return false
	})
	code, _, stderr := coalmine(t, t.Context(), s.env, "run", quick(t), "--out", "none")
	if code != exitBroken || !strings.Contains(stderr, "the stage has a canary already") {
		t.Errorf("exit %d, want 1: there is a canary already\n%s", code, stderr)
	}
	if canary := s.read(t).Canary; canary == nil || canary.Percent != 10 {
		t.Errorf("somebody else's canary is now %s, want 10%%", canary)
	}
}

// An interrupt during the promote leaves the stage as it was, and is an interrupt.
func TestInterruptedPromote(t *testing.T) {
	beside(t)
	if testing.Short() {
		t.Skip("sends load for some seconds")
	}
	s := newSystem(t, emulator.Faults{Seed: 1})
	ctx, interrupt := context.WithCancel(t.Context())
	s.through(t, func(_ http.ResponseWriter, r *http.Request, body []byte) bool {
		if r.Method == http.MethodPatch && bytes.Contains(body, []byte(`"copy"`)) {
			interrupt() // the patch under way is finished; what should follow it is not begun
		}
		return false
	})
	code, stdout, stderr := coalmine(t, ctx, s.env, "run", quick(t), "--format", "json", "--out", "none")
	var a analyze.Analysis
	if err := json.Unmarshal([]byte(stdout), &a); err != nil {
		t.Fatalf("exit %d: %v\n%s", code, err, stderr)
	}
	if code != exitInterrupted || a.End.Reason != "interrupted" || a.Action != "rolled back" || !strings.HasSuffix(stderr, "rolled back, interrupted\n") {
		t.Errorf("exit %d, end %q, %s; want 130, interrupted, rolled back\n%s", code, a.End.Reason, a.Action, stderr)
	}
	s.asBefore(t)
}

// A terminal that is closed, and a reader of the progress that has read enough, leave no canary behind.
func TestHangup(t *testing.T) {
	beside(t)
	if signal.Ignored(syscall.SIGHUP) {
		t.Skip("started with hangups ignored (nohup), which coalmine respects")
	}
	for name, trouble := range map[string]func(*os.Process, io.Closer){
		"hangup": func(p *os.Process, _ io.Closer) { p.Signal(syscall.SIGHUP) },
		"closed pipe": func(p *os.Process, progress io.Closer) {
			progress.Close()
			time.Sleep(2 * time.Second)
			p.Signal(syscall.SIGTERM)
		},
	} {
		t.Run(name, func(t *testing.T) {
			beside(t)
			s := newSystem(t, emulator.Faults{Seed: 1})
			c := child(t, s.env, "run", scenario(t), "--out", "none")
			progress, err := c.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			s.canaried(t)
			trouble(c.Process, progress)
			c.Wait()
			// A busy machine may void the measurement before the end comes.
			if code := c.ProcessState.ExitCode(); code != exitInterrupted && code != exitVoid {
				t.Errorf("%s, want exit 130", c.ProcessState)
			}
			s.asBefore(t)
		})
	}
}

// Whatever step AWS refuses, the stage is as it was, or the journal knows and recover makes it so.
func TestRefusedStep(t *testing.T) {
	beside(t)
	for _, tc := range []struct {
		name     string
		refused  func(r *http.Request, body []byte) bool
		says     string
		recovers bool
	}{
		{"create", func(r *http.Request, body []byte) bool {
			return r.Method == http.MethodPatch && bytes.Contains(body, []byte(`"50.0"`))
		}, "create canary on prod: UpdateStage restapis/", false},
		{"deploy", func(r *http.Request, _ []byte) bool {
			return r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/deployments")
		}, "deploy canary on prod: CreateDeployment restapis/", false},
		{"abort", func(r *http.Request, body []byte) bool {
			return r.Method == http.MethodPatch && bytes.Contains(body, []byte(`"0.0"`))
		}, "abort canary on prod: UpdateStage restapis/", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			beside(t)
			s := newSystem(t, emulator.Faults{Seed: 1, Gateway: emulator.Gateway{Deny: []string{"staging"}}}) // a sure reject
			var healed atomic.Bool
			s.through(t, func(w http.ResponseWriter, r *http.Request, body []byte) bool {
				if healed.Load() || !tc.refused(r, body) {
					return false
				}
				w.Header().Set("X-Amzn-ErrorType", "AccessDeniedException")
				w.WriteHeader(http.StatusForbidden)
				io.WriteString(w, `{"Message":"no"}`)
				return true
			})
			code, stdout, stderr := coalmine(t, t.Context(), s.env, "run", quick(t), "--out", "none")
			lines := strings.Split(strings.TrimSpace(stderr), "\n")
			if last := lines[len(lines)-1]; code != exitBroken || !strings.Contains(last, tc.says) || stdout == "" {
				t.Errorf("exit %d, last line %q; want 1 and %q\n%s", code, last, tc.says, stdout)
			}
			if tc.recovers {
				healed.Store(true)
				if code, stdout, stderr := coalmine(t, t.Context(), s.env, "canary", "recover"); code != 0 {
					t.Errorf("recover: exit %d %s%s", code, stdout, stderr)
				}
			}
			s.asBefore(t)
			if code, stdout, _ := coalmine(t, t.Context(), s.env, "canary", "recover"); code != 0 || !strings.Contains(stdout, "nothing is unfinished") {
				t.Errorf("the journal is left open: exit %d %s", code, stdout)
			}
		})
	}
}
