package scenarios

import (
	"context"
	"fmt"
	"strings"

	"coalmine/attack"
)

// given sets the plan's classifier to that of rules and tries it: the first answers show whether it tells anything.
func (p *Prepared) given(ctx context.Context, rules []string) (string, error) {
	var err error
	plan := &p.Story.Plan
	if plan.Classify, err = attack.ParseClassifier(rules); err != nil {
		return "", Preflight{fmt.Errorf("--classify: %w", err)}
	}
	sample, err := attack.Probe(ctx, *plan, askKnown)
	if err != nil {
		return "", err
	}
	p.heard(sample.Answers)
	return strings.Join(rules, " "), named(sample.Answers, rules)
}

// learned sets the plan's classifier to what answers taught, and notes it.
func (p *Prepared) learned(l attack.Learned, err error) (string, error) {
	if err != nil {
		return "", Preflight{err}
	}
	p.Story.Plan.Classify = l.Classifier()
	p.Notes = append(p.Notes, l.Where+" (--classify "+l.Rule+")")
	return l.Rule, nil
}

// named refuses a classifier that finds nothing in good answers. A stage on which everything fails is no fault of the
// classifier: the load will tell.
func named(answers []attack.Probed, rules []string) error {
	good := -1
	for i, a := range answers {
		if a.Version != "" {
			return nil
		}
		if a.Class == "" && good < 0 {
			good = i
		}
	}
	if good < 0 {
		return nil
	}
	return refusal("classify %s: none of %d answers names a version; one was: %s", strings.Join(rules, " "), len(answers), strings.TrimSpace(answers[good].Redacted()))
}
