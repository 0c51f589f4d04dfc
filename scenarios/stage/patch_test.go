package stage

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func randomState(r *rand.Rand) State {
	deployment := func() string { return []string{"d1", "d2", "d3"}[r.IntN(3)] }
	variables := func() map[string]string {
		m := map[string]string{}
		for _, key := range []string{"a", "b", "c"} {
			if r.IntN(2) == 0 {
				m[key] = []string{"x", "y"}[r.IntN(2)]
			}
		}
		return m
	}
	s := State{API: "api", Stage: "prod", DeploymentID: deployment(), Variables: variables()}
	if r.IntN(3) > 0 {
		s.Canary = &Canary{DeploymentID: deployment(), Percent: []float64{0, 10.5, 50, 100}[r.IntN(4)], Overrides: variables(), UseStageCache: r.IntN(2) == 0}
	}
	return s
}

// From any stage to any other, the patches lead there by AWS's rules, do so
// without a traffic surprise on the way, and say nothing when nothing differs.
func TestRestoringLeadsThere(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 5_000 {
		from, to := randomState(r), randomState(r)
		patches := restoring(from, to)
		at := from
		for _, ops := range patches {
			moves := slices.ContainsFunc(ops, func(op Operation) bool { return op.Path == deploymentPath })
			if moves && at.Canary != nil {
				t.Fatalf("%+v -> %+v: another deployment beside a canary", from, to)
			}
			at = at.with(ops...)
			if at.Canary != nil && at.Canary.Percent != 0 && (from.Canary == nil || at.Canary.Percent != from.Canary.Percent) && len(at.settingsDiffer(to)) > 0 {
				t.Fatalf("%+v -> %+v: canary traffic before the stage is as it should be, at %+v", from, to, at)
			}
		}
		if diff := at.settingsDiffer(to); diff != nil {
			t.Fatalf("%+v -> %+v by %v: %v", from, to, patches, diff)
		}
		if (len(patches) == 0) != (len(to.settingsDiffer(from)) == 0) {
			t.Fatalf("%+v -> %+v: %d patches", from, to, len(patches))
		}
		story := Story{Before: to, Steps: []Step{{Operations: slices.Concat(patches...)}}}
		if !story.mayHaveLeft(position{State: to}) {
			t.Fatalf("a story may have left the stage as it was: %+v", to)
		}
	}
}

// The stage in memory is never the caller's.
func TestWithCopies(t *testing.T) {
	s := State{Variables: map[string]string{"a": "x"}, Canary: &Canary{Overrides: map[string]string{"a": "y"}}}
	s.with(append(promotion, remove(overridesPath+"/a"), replace(variablesPath+"/b", "z"))...)
	if len(s.Variables) != 1 || s.Variables["a"] != "x" || s.Canary.Overrides["a"] != "y" {
		t.Errorf("%+v", s)
	}
}

func TestPercentIsAStringWithAPoint(t *testing.T) {
	for p, want := range map[float64]string{0: "0.0", 50: "50.0", 10.5: "10.5", 100: "100.0", 0.001: "0.001"} {
		if got := percent(p); got != want {
			t.Errorf("percent(%v) = %s", p, got)
		}
	}
	if value := wire([]Operation{replace(percentPath, percent(0))})[0].Value; value == nil || *value != "0.0" {
		t.Error("zero percent is left out")
	}
}
