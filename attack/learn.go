package attack

import "errors"

// Learned is how the versions were found to differ in their answers.
type Learned struct {
	Rule   string            `json:"rule"`   // the equivalent --classify
	Values map[string]string `json:"values"` // by version: the value in its answers
	Where  string            `json:"where"`  // a sentence: what tells the versions apart
}

// Classifier maps the values back to versions.
func (l Learned) Classifier() Classifier { return nil }

// Learn looks for what tells versions apart in answers whose version is known.
func Learn(byVersion map[string][]Probed) (Learned, error) { return Learned{}, errors.New("not yet") }

// LearnMixed looks for what tells baseline and canary apart in answers of both.
func LearnMixed(answers []Probed, baseline, canary string) (Learned, error) {
	return Learned{}, errors.New("not yet")
}
