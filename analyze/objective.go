package analyze

import (
	"fmt"
	"strings"
	"time"
)

// Objective is a bound that a rate has to keep, written as a person says it: "p99 <= 250ms", "errors <= 0.1%".
type Objective struct {
	Errors   Percentage // at most; 0: it is about latency
	Quantile Quantile   // of the response time ...
	Max      Duration   // ... at most
}

func (o Objective) String() string {
	if o.Errors > 0 {
		return "errors <= " + o.Errors.String()
	}
	return o.Quantile.String() + " <= " + o.Max.String()
}

// MarshalText writes "p99 <= 250ms" or "errors <= 0.1%".
func (o Objective) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads what MarshalText writes, blanks at will.
func (o *Objective) UnmarshalText(text []byte) error {
	what, limit, ok := strings.Cut(string(text), "<=")
	what, limit = strings.TrimSpace(what), strings.TrimSpace(limit)
	var got Objective
	if !ok {
		return fmt.Errorf(`want a bound like "p99 <= 250ms" or "errors <= 0.1%%", got %q`, text)
	}
	if what == "errors" {
		if err := got.Errors.UnmarshalText([]byte(limit)); err != nil || !(got.Errors > 0 && got.Errors < 1) {
			return fmt.Errorf(`errors: want a percentage above 0%% and below 100%%, like "errors <= 0.1%%", got %q`, limit)
		}
		*o = got
		return nil
	}
	if err := got.Quantile.UnmarshalText([]byte(what)); err != nil {
		return fmt.Errorf(`want errors or a quantile p1 to p99.99 left of "<=", got %q`, what)
	}
	if err := got.Max.UnmarshalText([]byte(limit)); err != nil || got.Max == 0 {
		return fmt.Errorf(`%s: want a time above 0, like "%s <= 250ms", got %q`, what, what, limit)
	}
	*o = got
	return nil
}

// theta is the share of hits that may break the objective, 0 to 1.
func (o Objective) theta() float64 {
	if o.Errors > 0 {
		return float64(o.Errors)
	}
	return 1 - float64(o.Quantile)
}

// CheckObjectives names what is wrong with a list of them.
func CheckObjectives(all []Objective) error {
	if len(all) == 0 {
		return fmt.Errorf(`no objective: want some, like "p99 <= 250ms" or "errors <= 0.1%%"`)
	}
	seen := map[Quantile]Objective{} // errors as quantile 0
	for _, o := range all {
		if other, twice := seen[o.Quantile]; twice {
			return fmt.Errorf("%q and %q are about the same: want one of them", other, o)
		}
		seen[o.Quantile] = o
	}
	return nil
}

// slowestMax is the greatest latency bound, 0 for none.
func slowestMax(all []Objective) (x time.Duration) {
	for _, o := range all {
		x = max(x, time.Duration(o.Max))
	}
	return x
}
