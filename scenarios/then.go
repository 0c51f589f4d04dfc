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

// thenSaid refuses a story that may promote on AWS without a word on what becomes of the stage's own alias.
func thenSaid(c *stage.Client, ref stage.Ref, act Act, then Then) error {
	if act.Promote != Promote || then != "" || ref.Weighted() || !c.Real() {
		return nil
	}
	return refusal("then (--then): missing: after a promote stage %s depends on the canary's alias: want leave, or repoint to move its own alias to the tested version", ref.Stage)
}
