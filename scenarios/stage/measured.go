package stage

import (
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
)

// Measured is what a verdict is about. It is read again right before acting, and any difference refuses.
type Measured struct {
	Account  string  `json:"account"`
	Region   string  `json:"region"`
	Endpoint string  `json:"endpoint,omitempty"`
	Ref      Ref     `json:"ref"`
	Stage    *State  `json:"stage,omitempty"`   // nil: a weighted alias
	Arms     []Arm   `json:"arms,omitempty"`    // the baseline's, then the canary's; none where Ref names no path
	Aliases  []Alias `json:"aliases,omitempty"` // behind both arms, as far as there are
	Codes    []Code  `json:"codes,omitempty"`   // of arms that are $LATEST
}

// Code is what $LATEST of a function was, which changes under the same name.
type Code struct {
	Function string `json:"function"`
	SHA256   string `json:"sha256"`
	Revision string `json:"revision"` // AWS's RevisionId: another one after each edit of code or settings
}

// Arm is one side of the split: what answers there.
type Arm struct {
	Function string `json:"function"`
	Alias    string `json:"alias,omitempty"` // "" where a version is named, or none
	Version  string `json:"version"`         // "1", or "$LATEST"
}

// Measure reads what a verdict is going to be about: the stage, and where the ref names a path, what is behind both arms.
func (c *Client) Measure(ctx context.Context, ref Ref) (Measured, error) {
	m, err := c.measure(ctx, ref)
	if err != nil {
		return m, fmt.Errorf("measure %s: %w", ref, err)
	}
	return m, nil
}

func (c *Client) measure(ctx context.Context, ref Ref) (Measured, error) {
	m, err := c.measureArms(ctx, ref)
	if err != nil {
		return m, err
	}
	for _, arm := range m.Arms {
		if arm.Version != "$LATEST" || slices.ContainsFunc(m.Codes, func(was Code) bool { return was.Function == arm.Function }) {
			continue
		}
		code, err := c.code(ctx, arm.Function)
		if err != nil {
			return m, err
		}
		m.Codes = append(m.Codes, code)
	}
	return m, nil
}

func (c *Client) code(ctx context.Context, function string) (Code, error) {
	out, err := c.lambda.GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: &function})
	if err != nil {
		return Code{}, fmt.Errorf("$LATEST of %s: %w", function, condense(err))
	}
	return Code{Function: function, SHA256: text(out.CodeSha256), Revision: text(out.RevisionId)}, nil
}

// codes reads these again.
func (c *Client) codes(ctx context.Context, was []Code) (now []Code, err error) {
	for _, code := range was {
		if code, err = c.code(ctx, code.Function); err != nil {
			return nil, err
		}
		now = append(now, code)
	}
	return now, nil
}

// codesDiffer lists how what $LATEST is differs from what it was.
func codesDiffer(now, was []Code) []string {
	var changes []string
	for _, was := range was {
		i := slices.IndexFunc(now, func(c Code) bool { return c.Function == was.Function })
		switch what := "$LATEST of " + was.Function + ": "; {
		case i < 0:
			changes = append(changes, what+"not behind either arm")
		case now[i].SHA256 != was.SHA256:
			changes = append(changes, what+"other code")
		case now[i].Revision != was.Revision:
			changes = append(changes, what+"edited meanwhile, with the same code")
		}
	}
	return changes
}

func (c *Client) measureArms(ctx context.Context, ref Ref) (Measured, error) {
	m := Measured{Account: c.account, Region: c.region, Endpoint: c.endpoint, Ref: ref}
	switch {
	case ref.Weighted():
		alias, err := c.readAlias(ctx, ref.Function, ref.Alias)
		m.Aliases = []Alias{alias}
		m.Arms = []Arm{{Function: ref.Function, Version: alias.Version}}
		if canary, _ := alias.canary(); canary != "" {
			m.Arms = append(m.Arms, Arm{Function: ref.Function, Version: canary})
		}
		return m, err
	case ref.Path == "":
		state, err := c.read(ctx, ref)
		m.Stage = &state
		return m, err
	}
	t, err := c.target(ctx, ref, func(State) *Canary { return nil })
	if err != nil {
		return m, err
	}
	m.Stage = &t.State
	m.Arms = []Arm{{t.Function, t.BaselineAlias, t.BaselineVersion}}
	if t.State.Canary != nil {
		m.Arms = append(m.Arms, Arm{t.CanaryFunction, t.CanaryAlias, t.CanaryVersion})
	}
	for i, arm := range m.Arms {
		if arm.Alias == "" {
			continue
		}
		alias, err := c.readAlias(ctx, arm.Function, arm.Alias)
		if err != nil {
			return m, fmt.Errorf("alias %s of %s: %w", arm.Alias, arm.Function, err)
		}
		m.Arms[i].Version = alias.Version
		if !slices.ContainsFunc(m.Aliases, func(a Alias) bool { return a.key() == alias.key() }) {
			m.Aliases = append(m.Aliases, alias)
		}
	}
	return m, nil
}

// Again reads what was measured once more: the stage and the same aliases, in as few requests as there are of these.
// Which aliases the arms lead to follows from the stage's variables, so that it needs no looking up while these are the
// same.
func (c *Client) Again(ctx context.Context, m Measured) (Measured, error) {
	var stage *State
	if m.Stage != nil {
		state, err := c.read(ctx, m.Ref)
		if err != nil {
			return m, fmt.Errorf("measure %s again: %w", m.Ref, err)
		}
		stage = &state
	}
	now, err := c.again(ctx, m, stage)
	if err != nil {
		return now, fmt.Errorf("measure %s again: %w", m.Ref, err)
	}
	return now, nil
}

// again is Again where the stage was just read.
func (c *Client) again(ctx context.Context, m Measured, stage *State) (Measured, error) {
	now := m
	now.Account, now.Region, now.Endpoint = c.account, c.region, c.endpoint
	now.Stage, now.Aliases = stage, nil
	for _, was := range m.Aliases {
		alias, err := c.readAlias(ctx, was.Function, was.Name)
		if err != nil {
			return now, fmt.Errorf("alias %s of %s: %w", was.Name, was.Function, err)
		}
		now.Aliases = append(now.Aliases, alias)
	}
	codes, err := c.codes(ctx, m.Codes)
	now.Codes = codes
	return now, err
}

// Differs lists, for a person, how what is there differs from what was measured; nil when it does not.
func (m Measured) Differs(from Measured) []string {
	var changes []string
	for _, same := range []struct{ what, was, is string }{
		{"account", from.Account, m.Account},
		{"region", from.Region, m.Region},
		{"endpoint", firstOf(from.Endpoint, "AWS"), firstOf(m.Endpoint, "AWS")},
		{"target", from.Ref.String(), m.Ref.String()},
	} {
		if same.was != same.is {
			changes = append(changes, same.what+": "+same.was+" -> "+same.is)
		}
	}
	if len(changes) > 0 {
		return changes // nothing else can be compared
	}
	if m.Stage != nil && from.Stage != nil {
		changes = m.Stage.Differs(*from.Stage)
	} else if m.Stage != from.Stage {
		changes = append(changes, "splitter: "+from.splitter()+" -> "+m.splitter())
	}
	for _, was := range from.Aliases {
		i := slices.IndexFunc(m.Aliases, func(a Alias) bool { return a.key() == was.key() })
		if i < 0 {
			changes = append(changes, fmt.Sprintf("alias %s of %s: %s -> not behind either arm", was.Name, was.Function, was))
			continue
		}
		changes = append(changes, m.Aliases[i].Differs(was)...)
	}
	return append(changes, codesDiffer(m.Codes, from.Codes)...)
}

func (m Measured) splitter() string {
	if m.Stage == nil {
		return "alias weights"
	}
	return "stage canary"
}

// sameCanary refuses another canary than the one measured, at whatever percent; nothing measured refuses none.
func (m *Measured) sameCanary(now position) error {
	if m == nil {
		return nil
	}
	if m.Ref.Weighted() && len(now.Aliases) > 0 && len(m.Aliases) == 1 {
		alias := now.weighted(m.Ref)
		is, _ := alias.canary()
		if _, was := m.Aliases[0].Weights[is]; !was || alias.Version != m.Aliases[0].Version {
			return fmt.Errorf("%w: %s", ErrChanged, joined(alias.pointing(m.Aliases[0])))
		}
		return nil
	}
	if m.Stage == nil || m.Stage.Canary == nil {
		return fmt.Errorf("%w: canary: none -> %s", ErrChanged, now.Canary)
	}
	was := *m.Stage.Canary
	was.Percent = now.Canary.Percent
	if diff := (State{Canary: now.Canary}).settingsDiffer(State{Canary: &was}); len(diff) > 0 {
		return fmt.Errorf("%w: %s", ErrChanged, joined(diff))
	}
	return nil
}
