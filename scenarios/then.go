package scenarios

import (
	"fmt"

	"coalmine/scenarios/stage"
)

// Then is what follows a promote that traffic confirmed. A default promote leaves production on the alias that the
// canary was on, so that whoever moves that alias moves production: on AWS one of the two has to be asked for.
type Then string

const (
	Leave   Then = "leave"   // as it is after the promote
	Repoint Then = "repoint" // the stage's own alias to the tested version, and the stage back to its own alias
)

// UnmarshalText reads leave or repoint.
func (t *Then) UnmarshalText(text []byte) error {
	switch got := Then(text); got {
	case Leave, Repoint:
		*t = got
		return nil
	}
	return fmt.Errorf("want leave or repoint, got %q", text)
}

// Said refuses a promote on AWS without a word on what becomes of the stage's own alias, and one about what is no stage.
func (t Then) Said(c *stage.Client, ref stage.Ref) error {
	switch {
	case t == Repoint && ref.Weighted():
		return refusal("--then repoint is about a stage: promoting a weighted alias moves the alias itself")
	case t == "" && c.Real() && !ref.Weighted():
		return refusal("then: missing: after a promote stage %s depends on the canary's alias: want leave, or repoint to move its own alias to the tested version", ref.Stage)
	}
	return nil
}
