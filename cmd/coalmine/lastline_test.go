package main

import (
	"errors"
	"strings"
	"testing"

	"coalmine/analyze"
)

// A run ends with one line, whatever it ended in.
func TestLastLine(t *testing.T) {
	set := func(percent, err string) analyze.Event {
		return analyze.Event{Name: analyze.PercentSet, Detail: map[string]string{"percent": percent, "error": err}}
	}
	target := analyze.Target{Baseline: "1", Canary: "2", Percent: 29}
	for _, tc := range []struct {
		name   string
		events []analyze.Event
		end    analyze.End
		failed error
		want   string
	}{
		{"interrupted in a bake", []analyze.Event{set("100", ""), set("29", "")}, analyze.End{Reason: "interrupted"}, nil,
			"coalmine: INCONCLUSIVE v2 over v1, 0 requests, 0s, the canary back at 29 %, interrupted"},
		{"expired in a bake", []analyze.Event{set("100", ""), set("29", "expired")}, analyze.End{Reason: "error", Error: "a"}, errors.Join(errors.New("a"), errors.New("b")),
			"coalmine: failed after INCONCLUSIVE v2 over v1, 0 requests, 0s, the canary at 100 %, error: a; b"},
		{"interrupted, and not undone", nil, analyze.End{Reason: "interrupted"}, errors.New("a"),
			"coalmine: failed after INCONCLUSIVE v2 over v1, 0 requests, 0s, error: a, interrupted"},
		{"promoted after a bake", []analyze.Event{set("100", ""), {Name: analyze.PromoteEnd}}, analyze.End{Reason: "verdict"}, nil,
			"coalmine: INCONCLUSIVE v2 over v1, 0 requests, 0s, promoted"},
	} {
		a := analyze.Analysis{Header: analyze.Header{Target: target, Policy: &analyze.Policy{}}, Events: tc.events, End: tc.end, Action: "none"}
		if strings.Contains(tc.want, "promoted") {
			a.Action = "promoted"
		}
		if got := lastLine(a, tc.failed); got != tc.want {
			t.Errorf("%s: %s\nwant %s", tc.name, got, tc.want)
		}
	}
	said, example := oneLine(errors.New("what\nis wrong\n\nOne answer:\n\n    HTTP 200\n"))
	if said != "what; is wrong" || example != "One answer:\n\n    HTTP 200\n\n" {
		t.Errorf("%q, %q", said, example)
	}
}
