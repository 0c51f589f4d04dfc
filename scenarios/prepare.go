package scenarios

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"coalmine/analyze"
	"coalmine/attack"
	"coalmine/scenarios/preflight"
	"coalmine/scenarios/stage"
)

// Preflight is what stands in the way of a run before anything was done: repeating it unchanged cannot help.
type Preflight struct{ error }

// Unwrap gives what is wrong.
func (p Preflight) Unwrap() error { return p.error }

func refusal(format string, args ...any) error { return Preflight{fmt.Errorf(format, args...)} }

// Misnamed makes a Preflight of an error about what somebody named, an API, a stage, a path or an alias: where AWS did
// not refuse or fail, the name is wrong.
func Misnamed(err error) error {
	var refused *stage.RequestError
	if err == nil || errors.As(err, &refused) && !stage.IsNotFound(err) {
		return err
	}
	return Preflight{err}
}

// How many answers learning takes of each stage whose version is known, and of one that is mixed.
const (
	askKnown = 20
	askMixed = attack.MaxProbes
)

// Prepared is a story that only needs its recorder, and the header of its run file.
type Prepared struct {
	Story    *Story
	Header   analyze.Header
	Notes    []string            // what a person should hear before it begins
	Findings []preflight.Finding // with a control plane: all that was looked at, passed or not
	Target   stage.Target        // with a control plane: who should answer
	Asked    int                 // requests sent, to learn from

	facts preflight.Facts
	plan  preflight.Plan
	took  []time.Duration // answers that were learned from
}

// Locate finds the method under test.
func (s Scenario) Locate(ctx context.Context, client *stage.Client) (stage.Ref, error) {
	api, err := client.FindAPI(ctx, s.Target.API)
	return stage.Ref{API: api, Stage: s.Target.Stage, Method: s.Target.Method, Path: s.Target.Path}, Misnamed(err)
}

// Prepare reads from the control plane all that the scenario leaves to it, and refuses what cannot be judged. It sends
// nothing but the answers it learns from, and changes nothing.
func (s Scenario) Prepare(ctx context.Context, client *stage.Client, ref stage.Ref, tool, runID string) (*Prepared, error) {
	foreseen, err := client.Foresee(ctx, ref, s.Canary.Percent, s.Canary.Overrides)
	if err != nil {
		return nil, Misnamed(err)
	}
	if s.Act.Promote == Promote {
		if err := s.Then.Said(client, ref); err != nil {
			return nil, err
		}
	}
	p := &Prepared{Target: foreseen}
	p.Story = &Story{
		Policy:  s.Policy,
		Control: &Control{Client: client, Ref: ref},
		Create:  &s.Canary,
		Act:     s.Act,
		Bake:    time.Duration(s.Bake),
		Then:    s.Then,
		Plan: attack.Plan{
			Target:      vegeta.Target{Method: s.Target.Method, URL: foreseen.InvokeURL, Header: http.Header{}},
			Rate:        attack.RateOf(s.Load.Rate),
			Connections: s.Load.Connections,
			Timeout:     time.Duration(s.Load.Timeout),
			Expect:      s.Answers,
			Baseline:    foreseen.BaselineVersion,
			Canary:      foreseen.CanaryVersion,
			UserAgent:   tool,
			RunID:       runID,
			RequestIDs:  s.Load.RequestIDs,
			Path:        s.Target.Path,
		},
	}
	s.Load.requests(&p.Story.Plan)
	if err := p.Story.Plan.Validate(); err != nil {
		return nil, Preflight{err}
	}
	if err := p.look(ctx, client, ref, foreseen, p.Story.flightPlan(time.Duration(s.Policy.MaxDuration))); err != nil {
		return nil, err
	}
	if want := s.Canary.Version; want != "" && foreseen.CanaryVersion != want {
		return nil, refusal("canary.version is %s, but the override leads to alias %s, version %s", want, foreseen.CanaryAlias, foreseen.CanaryVersion)
	}
	if s.Load.MaxRequests > 0 {
		p.Story.Plan.Budget = attack.NewBudget(s.Load.MaxRequests)
	}
	was, err := p.stages(ctx, s, client, ref)
	if err != nil {
		return nil, err
	}
	classify, err := s.classifier(ctx, p)
	if err != nil {
		return nil, err
	}
	p.Story.Plan.Classify = byAlias(p.Story.Plan, foreseen)
	p.lookAgain()
	p.Header, err = header(tool, "run", s.Policy, p.Story, analyze.Target{
		Where: client.Where(ref), API: ref.API, Stage: ref.Stage, Percent: s.Canary.Percent, Classify: classify,
		Covers: covered(foreseen, ref, p.Story.Plan.Targets)}, was)
	p.Header.Name = s.Name
	return p, err
}

// stages finds those to be asked before, the tested one first, each with the version that AWS says it has, and returns
// the tested one as it is.
func (p *Prepared) stages(ctx context.Context, s Scenario, client *stage.Client, tested stage.Ref) (was stage.State, err error) {
	for _, name := range append([]string{tested.Stage}, s.others()...) {
		ref := tested
		ref.Stage = name
		t, err := client.Resolve(ctx, ref)
		if err != nil {
			return was, Misnamed(err)
		}
		if name == tested.Stage {
			was = t.State
			if was.Canary != nil {
				return was, refusal("stage %s has a canary already (%s): judge it with coalmine gate, or remove it with coalmine canary abort, or recover if a run was killed",
					name, was.Canary)
			}
		}
		if t.BaselineVersion != s.Before[name] {
			return was, refusal("before: stage %s is said to answer with version %s, but its alias %s points at version %s",
				name, s.Before[name], t.BaselineAlias, t.BaselineVersion)
		}
		p.Story.Before = append(p.Story.Before, Stage{Name: name, URL: t.InvokeURL, Version: t.BaselineVersion})
	}
	return was, nil
}

// covered says how much of the API the verdict is about.
func covered(t stage.Target, ref stage.Ref, targets []attack.Target) string {
	if len(t.Methods) == 0 {
		return ""
	}
	asked := Asked(t, ref, targets)
	return fmt.Sprintf("%d of %d methods (%s)", len(asked), len(t.Methods), strings.Join(asked, ", "))
}

// Asked are the methods that a load goes to, in the order of its targets, and as the API spells them where there are
// several; else the one under test.
func Asked(t stage.Target, ref stage.Ref, targets []attack.Target) (methods []string) {
	for _, target := range targets {
		if m := t.Asks(orElse(target.Method, http.MethodGet), target.URL); m != "" && !slices.Contains(methods, m) {
			methods = append(methods, m)
		}
	}
	if len(targets) == 0 {
		methods = []string{ref.Method + " " + ref.Path}
	}
	return methods
}

// classifier sets the plan's, and returns the rules as a person writes them.
func (s Scenario) classifier(ctx context.Context, p *Prepared) (string, error) {
	plan := &p.Story.Plan
	if len(s.Classify) > 0 {
		var err error
		if plan.Classify, err = attack.ParseClassifier(s.Classify); err != nil {
			return "", Preflight{fmt.Errorf("classify: %w", err)}
		}
		sample, err := attack.Probe(ctx, *plan, askKnown)
		if err != nil {
			return "", fmt.Errorf("ask stage %s: %w", s.Target.Stage, err)
		}
		p.heard(sample.Answers)
		return strings.Join(s.Classify, " "), named(sample.Answers, s.Classify)
	}
	answers := map[string][]attack.Probed{}
	for _, at := range p.Story.Before {
		probe := *plan
		probe.Target.URL = at.URL
		sample, err := attack.Probe(ctx, probe, askKnown)
		if err != nil {
			return "", fmt.Errorf("ask stage %s: %w", at.Name, err)
		}
		p.heard(sample.Answers)
		answers[at.Version] = append(answers[at.Version], sample.Answers...)
	}
	if len(answers) < 2 {
		return "", refusal("classify: missing, and cannot be learned from one version: want a rule, or in before: a stage that answers with another")
	}
	return p.learned(attack.Learn(answers))
}

// byAlias lets errors of the gateway's own count for the version behind the alias that they name, if they name one.
func byAlias(plan attack.Plan, t stage.Target) attack.Classifier {
	if t.BaselineAlias == "" || t.CanaryAlias == "" || t.BaselineAlias == t.CanaryAlias {
		return plan.Classify
	}
	return attack.ByAlias(plan.Classify, map[string]string{t.BaselineAlias: plan.Baseline, t.CanaryAlias: plan.Canary})
}

func header(tool, command string, policy analyze.Policy, s *Story, t analyze.Target, state any) (analyze.Header, error) {
	before, err := json.Marshal(state)
	if err != nil {
		return analyze.Header{}, fmt.Errorf("run file: %w", err)
	}
	rate := attack.PerSecond(s.Plan.Rate)
	t.Method, t.URL = s.Plan.Target.Method, Bare(s.Plan.Target.URL)
	t.Baseline, t.Canary = s.Plan.Baseline, s.Plan.Canary
	h := analyze.Header{
		Format: analyze.Format, Tool: tool, Command: command, Started: time.Now(), Target: t,
		Plan: analyze.Plan{Rate: rate, Connections: s.Plan.Connections, Timeout: s.Plan.Timeout, RequestIDs: s.Plan.RequestIDs, Bake: s.Bake,
			Targets: LoadTargets(s.Plan)},
		Policy: &policy, Budget: policy.Budget(rate),
	}
	if s.Plan.Budget != nil {
		h.Plan.MaxHits = s.Plan.Budget.Limit()
	}
	if state != nil {
		h.Stage = before
	}
	return h, nil
}
