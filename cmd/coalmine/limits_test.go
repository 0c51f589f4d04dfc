package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"coalmine/analyze"
	"coalmine/scenarios/emulator"
)

// A story sends not one request more than --max-requests, whatever sends them, and says that this is why it ended.
func TestMaxRequests(t *testing.T) {
	beside(t)
	s := newSystem(t, emulator.Faults{Seed: 1})
	var sent atomic.Int64
	s.through(t, func(_ http.ResponseWriter, r *http.Request, _ []byte) bool {
		if strings.Contains(r.URL.Path, "/_user_request_") {
			sent.Add(1)
		}
		return false
	})
	code, stdout, stderr := coalmine(t, t.Context(), s.env, "run", scenario(t), "--max-requests", "4200", "--rate", "400/s", "--format", "json", "--out", "none")
	var a analyze.Analysis
	if err := json.NewDecoder(bytes.NewReader([]byte(stdout))).Decode(&a); err != nil {
		t.Fatalf("exit %d: %v\n%s", code, err, stderr)
	}
	if code != exitInconclusive || a.End.Reason != "budget" || !strings.Contains(stderr, "stopped at the limit of 4,200 requests") {
		t.Errorf("exit %d, end %q; want 11, budget and the limit\n%s", code, a.End.Reason, stderr)
	}
	if got := sent.Load(); got > 4200 || got < 2200 {
		t.Errorf("%d requests, want at most 4,200, and those before the verdict", got)
	}
	s.asBefore(t)
}
