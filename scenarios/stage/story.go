package stage

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Story is one run's changes to the stage, from the first to the end.
type Story struct {
	ID string    `json:"id"` // in the description of deployments the story made
	At time.Time `json:"at"`
	control
	Ref    Ref    `json:"ref"`
	Before State  `json:"before,omitzero"` // none of a weighted alias: its first step has what was
	Steps  []Step `json:"-"`
	End    *End   `json:"-"` // nil: unfinished
}

// Step is one request that changes something.
type Step struct {
	At         time.Time   `json:"at"`
	Verb       string      `json:"verb"`
	Request    string      `json:"request"` // UpdateStage, UpdateAlias, CreateDeployment, DeleteDeployment
	Operations []Operation `json:"operations,omitempty"`
	Move       *Move       `json:"move,omitempty"`   // of an alias
	Before     *State      `json:"before,omitempty"` // on a verb's first step
	Judged     *Measured   `json:"judged,omitempty"` // on a promote's
	Outcome    *Outcome    `json:"-"`                // nil: begun, and never heard of again
}

// Outcome is how a step went.
type Outcome struct {
	At         time.Time `json:"at"`
	Deployment string    `json:"deployment,omitempty"` // made or deleted
	Error      string    `json:"error,omitempty"`
	Refused    bool      `json:"refused,omitempty"` // by AWS: certainly nothing was changed
	Stage      *State    `json:"stage,omitempty"`   // as found after an error
	Alias      *Alias    `json:"alias,omitempty"`   // the same
	Others     string    `json:"others,omitempty"`  // deployment of somebody else's canary, which was met instead of ours
}

// End closes a story.
type End struct {
	At       time.Time `json:"at"`
	Restored bool      `json:"restored"` // the stage is as it was before the story
}

// record is one line: a key says which kind. Unknown kinds are skipped.
type record struct {
	Story *Story   `json:"story,omitempty"`
	Begun *Step    `json:"begun,omitempty"`
	Done  *Outcome `json:"done,omitempty"` // of the last step begun
	Fail  *Outcome `json:"failed,omitempty"`
	End   *End     `json:"end,omitempty"`
}

// Unfinished reports whether the story may have changed the stage and was not
// brought to its end.
func (s Story) Unfinished() bool {
	return s.End == nil && slices.ContainsFunc(s.Steps, func(step Step) bool { return !step.refused() })
}

// begun reports whether there is a story, and recovering it would take something back.
func (s *Story) begun() bool { return s != nil && s.Unfinished() }

func (s Step) refused() bool { return s.Outcome != nil && s.Outcome.Refused }
func (s Step) done() bool    { return s.Outcome != nil && s.Outcome.Error == "" }

// aliasesBefore are the aliases that these steps may have moved, as they were.
func aliasesBefore(steps []Step) map[string]Alias {
	was := map[string]Alias{}
	for _, step := range steps {
		if step.Move == nil || step.refused() {
			continue
		}
		if _, known := was[step.Move.Was.key()]; !known {
			was[step.Move.Was.key()] = step.Move.Was
		}
	}
	return was
}

// start is where the story began.
func (s Story) start() position { return position{State: s.Before, Aliases: aliasesBefore(s.Steps)} }

func (s Story) verbs() string {
	var verbs []string
	for _, step := range s.Steps {
		if len(verbs) == 0 || verbs[len(verbs)-1] != step.Verb {
			verbs = append(verbs, step.Verb)
		}
	}
	return strings.Join(verbs, ", ")
}

func (s Story) marker() string { return "(coalmine " + s.ID + ")" }

// made reports whether the story asked for a deployment.
func (s Story) made() bool {
	for _, step := range s.Steps {
		if step.Request == "CreateDeployment" {
			return true
		}
	}
	return false
}

// deployed reports whether a deployment that the story asked for may still be there.
func (s Story) deployed() bool {
	left := map[string]bool{}
	for _, step := range s.Steps {
		switch {
		case step.Request == "CreateDeployment" && step.Outcome == nil:
			return true
		case step.Request == "CreateDeployment" && !step.refused():
			left[step.Outcome.Deployment] = true // "": nobody knows which
		case step.Request == "DeleteDeployment" && step.done():
			delete(left, step.Outcome.Deployment)
		}
	}
	return len(left) > 0
}

// parse reads a journal's lines; whole is the length without a torn tail. A
// torn line was never followed by its request: the journal is synced first.
func parse(data []byte) (stories []Story, whole int, err error) {
	for n := 1; whole < len(data); n++ {
		end := bytes.IndexByte(data[whole:], '\n')
		if end < 0 {
			break
		}
		line := data[whole : whole+end]
		var r record
		if err := json.Unmarshal(line, &r); err != nil {
			if whole+end+1 == len(data) {
				break
			}
			return nil, 0, fmt.Errorf("line %d: %w", n, err)
		}
		whole += end + 1
		if r.Story != nil {
			stories = append(stories, *r.Story)
			continue
		}
		if len(stories) > 0 {
			stories[len(stories)-1].note(r)
		}
	}
	return stories, whole, nil
}

func (s *Story) note(r record) {
	switch {
	case r.Begun != nil:
		s.Steps = append(s.Steps, *r.Begun)
	case r.Done != nil && len(s.Steps) > 0:
		s.Steps[len(s.Steps)-1].Outcome = r.Done
	case r.Fail != nil && len(s.Steps) > 0:
		s.Steps[len(s.Steps)-1].Outcome = r.Fail
	case r.End != nil:
		s.End = r.End
	}
}

// rolledBack reports whether the story ended with a promote undone.
func (s Story) rolledBack() bool {
	return s.End != nil && s.End.Restored && slices.ContainsFunc(s.Steps, func(step Step) bool { return step.Verb == verbRollback && step.done() })
}
