package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/apigateway"

	"coalmine/report"
	"coalmine/scenarios"
	"coalmine/scenarios/emulator"
)

// counted is the system behind a proxy that counts what is sent to the API, and what would change something.
func (s *system) counted(t *testing.T) (sent, changes *atomic.Int64) {
	sent, changes = new(atomic.Int64), new(atomic.Int64)
	s.through(t, func(_ http.ResponseWriter, r *http.Request, _ []byte) bool {
		switch {
		case strings.Contains(r.URL.Path, "/_user_request_"):
			sent.Add(1)
		case r.Method != http.MethodGet && (strings.HasPrefix(r.URL.Path, "/restapis/") || strings.HasPrefix(r.URL.Path, "/2015-03-31/")):
			changes.Add(1)
		}
		return false
	})
	return sent, changes
}

// A dry run sends the probe and nothing else, and says what there is to say.
func TestGateDryRun(t *testing.T) {
	s := newSystem(t, emulator.Faults{Seed: 1})
	gate := func(args ...string) []string {
		return append([]string{"gate", "--api", "products", "--path", "/products", "--dry-run", "--promote", "--rollback"}, args...)
	}
	blocked, stdout, stderr := coalmine(t, t.Context(), s.env, gate()...)
	if blocked != exitUsage || !strings.Contains(stdout, "block canary: stage prod has no canary") ||
		!strings.Contains(stderr, "coalmine: dry run: 0 requests sent, nothing changed, blocked by 1 preflight check") {
		t.Errorf("without a canary: exit %d\n%s%s", blocked, stdout, stderr)
	}
	s.byHand(t)(0, "canary", "create", "--percent", "50", "--override", "lambdaAlias=staging")
	s.before = s.read(t)
	for _, tc := range []struct {
		args []string
		sent int64
	}{{nil, 50}, {[]string{"--classify", "header:X-Lambda-Version"}, 20}} {
		sent, changes := s.counted(t)
		code, stdout, stderr := coalmine(t, t.Context(), s.env, gate(append(tc.args, "--format", "json")...)...)
		var v struct {
			report.Preview
			Forecast map[string]any `json:"forecast"` // which is for reading
		}
		if err := json.Unmarshal([]byte(stdout), &v); code != 0 || err != nil {
			t.Fatalf("exit %d %v\n%s%s", code, err, stdout, stderr)
		}
		if sent.Load() != tc.sent || int64(v.Sent) != tc.sent || changes.Load() != 0 {
			t.Errorf("sent %d, said %d, want %d; %d changes, want 0", sent.Load(), v.Sent, tc.sent, changes.Load())
		}
		if v.Target.Classify != "header:X-Lambda-Version" || v.Target.Canary != "2" || v.Target.Covers != "1 of 1 methods (GET /products)" || v.Forecast["slowest"] != "split" || len(v.Findings) < 10 {
			t.Errorf("preview %+v", v)
		}
		if lines := strings.Split(stderr, "\n"); !strings.HasPrefix(lines[0], "NOT AWS: http://127.0.0.1:") || !strings.Contains(stderr, "coalmine: dry run: ") {
			t.Errorf("stderr\n%s", stderr)
		}
	}
	s.asBefore(t)
}

// Judging and acting are two steps: the first needs no right to change anything, the second no traffic.
func TestVerdictOut(t *testing.T) {
	beside(t)
	if testing.Short() {
		t.Skip("sends load for some seconds")
	}
	s := newSystem(t, emulator.Faults{Seed: 1})
	do := s.byHand(t)
	do(0, "canary", "create", "--percent", "50", "--override", "lambdaAlias=staging")
	do(0, "deployment", "deploy")
	sent, changes := s.counted(t)
	file := filepath.Join(t.TempDir(), "verdict.json")
	code, _, stderr := coalmine(t, t.Context(), s.env, "gate", "--api", "products", "--path", "/products", "--rate", "400/s", "--policy", hasty(t), "--out", "none", "--verdict-out", file)
	if code != 0 || changes.Load() != 0 {
		t.Fatalf("gate: exit %d, %d changes\n%s", code, changes.Load(), stderr)
	}
	w, err := scenarios.ReadWarrant(file)
	if err != nil || len(w.Measured.Arms) != 2 || w.Measured.Arms[1].Version != "2" || !strings.HasPrefix(w.Sentence, "coalmine: PROMOTE v2 over v1") {
		t.Errorf("verdict file %+v %v", w, err)
	}
	sent.Store(0)
	do(0, "alias prod of getProducts: version 1 -> version 2", "promote", "--verdict", file, "--then", "repoint")
	if sent.Load() != 0 {
		t.Errorf("the promote sent %d requests to the API", sent.Load())
	}
	do(12, "stage changed under test", "promote", "--verdict", file)

	reject, _, stderr := coalmine(t, t.Context(), s.env, "gate", "--api", "products", "--path", "/products", "--out", "none", "--verdict-out", file)
	if _, err := scenarios.ReadWarrant(file); reject != exitUsage || err == nil && strings.Contains(stderr, "expired") {
		t.Errorf("without a canary: exit %d, verdict file %v\n%s", reject, err, stderr)
	}
}

// A verdict file that cannot be written is part of the last line, which stays one and the last.
func TestVerdictOutUnwritable(t *testing.T) {
	beside(t)
	if testing.Short() {
		t.Skip("sends load for some seconds")
	}
	s := newSystem(t, emulator.Faults{Seed: 1})
	do := s.byHand(t)
	do(0, "canary", "create", "--percent", "50", "--override", "lambdaAlias=staging")
	do(0, "deployment", "deploy")
	file := filepath.Join(t.TempDir(), "verdict.json")
	if err := os.MkdirAll(filepath.Join(file+".part", "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := coalmine(t, t.Context(), s.env, "gate", "--api", "products", "--path", "/products", "--rate", "400/s", "--policy", hasty(t), "--out", "none", "--verdict-out", file)
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	if last := lines[len(lines)-1]; code != exitBroken || !strings.HasPrefix(last, "coalmine: failed after ") || !strings.Contains(last, "error: verdict file: ") || strings.Count(stderr, "verdict file") != 1 {
		t.Errorf("exit %d\n%s", code, stderr)
	}
}

// A canary that fails every request, and cannot even say that it was it, is rejected, and not taken for bad input.
func TestGateDeadCanary(t *testing.T) {
	s := newSystem(t, emulator.Faults{Seed: 1, Versions: map[string]emulator.Version{"2": {Crashes: 1}}})
	_, err := s.client.Gateway().DeleteGatewayResponse(t.Context(), &apigateway.DeleteGatewayResponseInput{RestApiId: &s.ref.API, ResponseType: "DEFAULT_5XX"})
	if err != nil { // it would name the canary's alias
		t.Fatal(err)
	}
	s.byHand(t)(0, "canary", "create", "--percent", "50", "--override", "lambdaAlias=staging")
	code, stdout, stderr := coalmine(t, t.Context(), s.env, "gate", "--api", "products", "--path", "/products", "--rate", "100", "--out", "none")
	if code != exitReject || !strings.Contains(stderr, "none of 50 answers is of version 2; ") || !strings.Contains(stderr, "x HTTP 502 (--classify header:X-Lambda-Version)") {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
}

// hasty is a policy that a short run can satisfy.
func hasty(t *testing.T) string {
	t.Helper()
	return written(t, "policy.yaml", `alpha: 0.1
settle: 1s
min-duration: 1s
max-duration: 2m
split: {margin: 10}
errors: {margin: 5}
latency: {max: {}, margin: {}}
validity: {wake-late: 1m, short: 100%}
`)
}

// What cannot be is refused before anybody is asked.
func TestGateFlags(t *testing.T) {
	for _, tc := range []struct {
		says string
		args []string
	}{
		{"--then is about what follows --promote", []string{"--api", "x", "--path", "/p", "--then", "leave"}},
		{"want leave or repoint, got \"stay\"", []string{"--api", "x", "--path", "/p", "--promote", "--then", "stay"}},
		{"--bake and --keep-canary are about --promote", []string{"--api", "x", "--path", "/p", "--bake", "5m"}},
		{"--bake: want a time", []string{"--api", "x", "--path", "/p", "--promote", "--bake", "-5m"}},
		{"--verdict-expires: want more than 0", []string{"--api", "x", "--path", "/p", "--verdict-expires", "0s"}},
		{"--lambda-alias: want --url", []string{"--lambda-alias", "f:a"}},
		{"--lambda-alias: want FUNCTION:ALIAS", []string{"--lambda-alias", "f", "--url", "http://127.0.0.1:1/"}},
		{"--percent is read from AWS", []string{"--lambda-alias", "f:a", "--url", "http://127.0.0.1:1/", "--percent", "5"}},
		{"want one of them, what splits the traffic", []string{"--lambda-alias", "f:a", "--api", "x", "--url", "http://127.0.0.1:1/"}},
		{"need --api or --lambda-alias", []string{"--url", "http://127.0.0.1:1/", "--baseline", "1", "--canary", "2", "--percent", "5", "--classify", "json:/v", "--verdict-out", "x"}},
	} {
		code, stdout, stderr := coalmine(t, t.Context(), nil, append([]string{"gate"}, tc.args...)...)
		if code != exitUsage || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, tc.says) {
			t.Errorf("%q: exit %d, stdout %q, stderr %q; want 2 and one line with %q", tc.args, code, stdout, stderr, tc.says)
		}
	}
}
