package analyze

// verified is the conclusion of a run that only asks who answers: the phase after somebody else's promote. That another
// version answered is proof whatever else there is; a bound that does not hold is none where something else may explain it.
func (j *Judge) verified() Conclusion {
	p := j.now()
	if p == nil || p.clean == nil {
		return Conclusion{Sentence: "INCONCLUSIVE: nothing was asked."}
	}
	c, version := Conclusion{At: p.end}, p.clean.expect
	void := p.clean.doubts()
	switch {
	case p.clean.proof, p.clean.outcome == Fail && len(void) == 0:
		c.Verdict = Refuted
		c.Sentence = sentence("REFUTED: %s", p.clean.why)
	case len(void) > 0:
		c.Void = void
		c.Sentence = sentence("INCONCLUSIVE: %s.", void[0])
	case p.clean.outcome == Pass:
		c.Verdict = Verified
		c.Sentence = sentence("VERIFIED: version %s alone. %s", version, p.clean.why)
	default:
		c.Sentence = sentence("INCONCLUSIVE at the deadline: %s.", p.clean.undecided())
	}
	return c
}

// doubts are what puts the measurement itself in doubt.
func (c *clean) doubts() (why []string) {
	if c.totals.hits < fewestValid {
		return nil
	}
	found := c.misunderstood(c.policy.Validity)
	if share := Percentage(float64(c.refusals()) / float64(c.totals.hits)); share > c.policy.Validity.Unrecognised {
		found = append(found, c.refusing())
	}
	if late := c.generatorBehind(c.policy.Validity); late != "" {
		found = append(found, doubt{false, late})
	}
	why, _ = sentences(found)
	return why
}
