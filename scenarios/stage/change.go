package stage

import (
	"encoding/json"
	"slices"
	"strings"
)

// Change is what a verb did, or is about to do: for the caller to show.
type Change struct {
	Verb       string      `json:"verb"` // "create canary"
	Ref        Ref         `json:"ref"`
	Operations []Operation `json:"operations"`        // as sent, in order; none: nothing had to change
	Moves      []Move      `json:"moves,omitempty"`   // of aliases, as sent
	Before     State       `json:"before,omitzero"`   // zero for a weighted alias
	After      State       `json:"after,omitzero"`    // as read back; as expected, when announced
	Created    string      `json:"created,omitempty"` // deployment made
	Deleted    []string    `json:"deleted,omitempty"` // deployments deleted, made by coalmine and unused
	Notes      []string    `json:"notes,omitempty"`   // what a person should know, one sentence each
	Touched    bool        `json:"touched,omitempty"` // a request left that may have changed something: all but one that AWS certainly refused

	untidy error   // why a deployment was left that can still be deleted
	undone *undone // where what was done is taken back; nil: it is not
}

// undone says where the undo begins in a change's operations and moves.
type undone struct{ from, moves int }

// Lines are the difference that the change makes, and the exact operations.
func (c Change) Lines() []string {
	lines := []string{c.Verb + " on " + c.Ref.String()}
	diff := c.After.settingsDiffer(c.Before)
	for _, m := range netMoves(c.Moves) {
		diff = append(diff, m.To.pointing(m.Was)...)
	}
	if len(diff) == 0 {
		lines = append(lines, "  no difference")
	}
	for _, d := range diff {
		lines = append(lines, "  "+d)
	}
	if len(c.Operations) > 0 {
		lines = append(lines, "  patch operations: "+c.JSON())
	}
	return append(lines, c.Results()...)
}

// Parts are the lines for a change that went wrong: what it did, and what took that back, without what somebody else made of
// the stage meanwhile.
func (c Change) Parts() []string {
	own, back := c, Change{}
	if u := c.undone; u != nil {
		own.Operations, own.Moves = c.Operations[:u.from], c.Moves[:u.moves]
		back.Operations, back.Moves = c.Operations[u.from:], c.Moves[u.moves:]
	}
	own.After = c.Before.with(own.Operations...)
	own.Created, own.Deleted, own.Notes = "", nil, nil
	lines := own.Lines()
	if !own.Sent() {
		lines = lines[:1] // not "no difference": a deployment that it made may be left
	}
	if len(back.Operations) > 0 {
		lines = append(lines, "  undone by: "+back.JSON())
	}
	for _, m := range back.Moves {
		for _, d := range m.To.pointing(m.Was) {
			lines = append(lines, "  undone by: "+d)
		}
	}
	return append(lines, c.Results()...)
}

// Plan are the lines for an announced change: with what would undo it.
func (c Change) Plan() []string {
	lines := c.Lines()
	if undo := slices.Concat(restoring(c.After, c.Before)...); len(undo) > 0 {
		lines = append(lines, "  to undo by hand: "+patchJSON(undo))
	}
	for _, m := range netMoves(c.Moves) {
		lines = append(lines, "  to undo by hand: "+m.Was.byHand())
	}
	return lines
}

// Done are the lines for an announced change that was made: every verb reads back what it wrote, and anything else than
// what was announced is an error.
func (c Change) Done() []string {
	said := ": nothing had to be changed"
	if c.Sent() {
		said = ": done, and read back as announced"
	}
	return append([]string{c.Verb + " on " + c.Ref.String() + said}, c.Results()...)
}

// Sent reports whether there is anything that was done.
func (c Change) Sent() bool {
	return len(c.Operations) > 0 || len(c.Moves) > 0 || c.Created != "" || len(c.Deleted) > 0
}

// Results are what only doing it could tell.
func (c Change) Results() []string {
	var lines []string
	if c.Created != "" {
		lines = append(lines, "  deployment created: "+c.Created)
	}
	if len(c.Deleted) > 0 {
		lines = append(lines, "  deployments deleted: "+strings.Join(c.Deleted, ", "))
	}
	for _, note := range c.Notes {
		lines = append(lines, "  "+note)
	}
	return lines
}

// String joins Lines.
func (c Change) String() string { return strings.Join(c.Lines(), "\n") }

// JSON is the operations as the AWS CLI's --patch-operations takes them.
func (c Change) JSON() string { return patchJSON(c.Operations) }

func patchJSON(operations []Operation) string {
	ops, err := json.Marshal(operations)
	if err != nil {
		return err.Error() // not reachable: strings marshal
	}
	return string(ops)
}
