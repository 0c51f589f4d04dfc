package scenarios

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"coalmine/analyze"
	"coalmine/attack"
	"coalmine/scenarios/emulator"
)

// That another version answers is told also where the expected one never does, and nobody said where answers name theirs.
func TestVerifyLearns(t *testing.T) {
	t.Parallel()
	for marker, rule := range map[emulator.Marker]string{emulator.MarkHeader: "header:X-Lambda-Version", emulator.MarkBody: "json:/version"} {
		t.Run(string(marker), func(t *testing.T) {
			r := newRig(t, emulator.Faults{Seed: 1, Versions: map[string]emulator.Version{"1": {Marker: marker}}})
			v := Verify{Policy: lenient(), Expect: "2", Client: r.client, Ref: r.ref,
				Plan: attack.Plan{Target: vegeta.Target{Method: http.MethodGet, URL: r.client.InvokeURL(r.ref), Header: http.Header{}},
					Rate: attack.RateOf(200), Connections: 20, Timeout: 10 * time.Second}}
			p, err := v.Prepare(t.Context(), "NOT AWS", "coalmine/test")
			r.must(err)
			check(t, "rule", p.Header.Target.Classify, rule)
			if !slices.ContainsFunc(p.Notes, func(note string) bool { return strings.Contains(note, "but version 2 in none of 20 answers") }) {
				t.Errorf("notes: %q", p.Notes)
			}
			a, err := r.tell(t.Context(), p)
			r.must(err)
			check(t, "verdict", a.Conclusion.Verdict, analyze.Refuted)
			if !strings.Contains(a.Conclusion.Sentence, "came from version 1; only version 2 may answer here") {
				t.Error(a.Conclusion.Sentence)
			}
		})
	}
}
