package analyze

import (
	"maps"
	"slices"
	"strings"

	"coalmine/attack"
)

// foreignVersions are the versions that answered and are neither of the two: one answer is proof.
func foreignVersions(arms map[string]*attack.Tally, known ...string) (names []string, hits uint64) {
	for _, version := range slices.Sorted(maps.Keys(arms)) {
		if !slices.Contains(known, version) && arms[version].Hits > 0 {
			names = append(names, version)
			hits += arms[version].Hits
		}
	}
	return names, hits
}

func foreignCheck(t *totals, baseline, canary string) Check {
	names, hits := foreignVersions(t.Arms, baseline, canary)
	out := Check{Name: "foreign version", Unit: UnitCount, K: hits, N: t.hits, Estimate: ptr(float64(hits)), Limit: Interval{High: ptr(0)}}
	switch {
	case hits > 0:
		out.Outcome = Fail
		out.Sentence = sentence("%s came from version %s, which is neither the baseline (%s) nor the canary (%s).",
			plural(hits, "answer", "answers"), strings.Join(names, ", "), baseline, canary)
	case t.hits > 0:
		out.Outcome = Pass
		out.Sentence = sentence("Every version that answered is %s or %s.", baseline, canary)
	default:
		out.Sentence = "No answer since the canary was created."
	}
	return out
}
