// Package preflight looks, before any load is sent, for what would make a judgement of a canary meaningless, unfair or
// impossible to act on. Read asks AWS, Judge is a pure function of what was read and what is planned. Each finding has
// a stable name, and says what was found and what to do about it. What could not be read is said so, never passed.
package preflight

import (
	"errors"
	"fmt"
	"strings"
)

// Level is how much a finding matters.
type Level string

// From the least to the most.
const (
	OK        Level = "ok"
	Unchecked Level = "not checked" // an optional look that this server or these credentials do not allow
	Warning   Level = "warning"     // the evidence is weaker, or something will need care
	Block     Level = "block"       // a run would tell nothing, or could not do what was asked
)

// Finding is what one check found.
type Finding struct {
	Check  string `json:"check"` // one of Checks
	Level  Level  `json:"level"`
	Text   string `json:"text"`             // one sentence, with numbers
	Remedy string `json:"remedy,omitempty"` // one sentence that names a command or a setting; "" for ok
}

// String is the finding for a person, in one line.
func (f Finding) String() string {
	s := f.Text
	if f.Level == Unchecked {
		s = "not checked: " + s
	}
	if f.Remedy != "" {
		s += "; " + f.Remedy
	}
	return s
}

// Blocked is nil, or all that blocks, one sentence each, with remedies.
func Blocked(findings []Finding) error {
	var all []string
	for _, f := range findings {
		if f.Level == Block {
			all = append(all, f.Check+": "+f.String())
		}
	}
	if len(all) == 0 {
		return nil
	}
	return errors.New(strings.Join(all, ". "))
}

// Warnings are the findings that a person should hear of before the load, as lines.
func Warnings(findings []Finding) []string {
	var all []string
	for _, f := range findings {
		if f.Level == Warning {
			all = append(all, f.Check+": "+f.String())
		}
	}
	return all
}

func fine(format string, args ...any) Finding {
	return Finding{Level: OK, Text: fmt.Sprintf(format, args...)}
}

func unchecked(remedy, format string, args ...any) Finding {
	return Finding{Level: Unchecked, Text: fmt.Sprintf(format, args...), Remedy: remedy}
}

func warn(remedy, format string, args ...any) Finding {
	return Finding{Level: Warning, Text: fmt.Sprintf(format, args...), Remedy: remedy}
}

func block(remedy, format string, args ...any) Finding {
	return Finding{Level: Block, Text: fmt.Sprintf(format, args...), Remedy: remedy}
}
