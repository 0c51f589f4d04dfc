package scenarios

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"coalmine/analyze"
	"coalmine/analyze/capacity"
	"coalmine/attack"
	"coalmine/scenarios/stage"
)

// Answer is what a search for the capacity of a scenario's embedded system is about, and what it has to find.
type Answer struct {
	Objectives []analyze.Objective `yaml:"objectives"`
	MaxRate    float64             `yaml:"max-rate"`
	Answer     float64             `yaml:"answer"` // requests per second that the model carries; 0: not said
}

func (a *Answer) validate() error {
	if a == nil {
		return nil
	}
	if err := analyze.CheckObjectives(a.Objectives); err != nil {
		return fmt.Errorf("objectives: %w", err)
	}
	if !(a.MaxRate > 0 && a.MaxRate <= 1e6) {
		return fmt.Errorf("max-rate: want more than 0 and at most 1000000 per second, got %v", a.MaxRate)
	}
	if !(a.Answer >= 0) {
		return fmt.Errorf("answer: want 0 (not said) or more, got %v", a.Answer)
	}
	return nil
}

// Capacity is a search for the highest rate at which objectives hold. It promotes nothing and changes nothing.
type Capacity struct {
	Plan     attack.Plan // all but rate, duration, classifier and versions
	Rating   analyze.Rating
	Classify []string // rules, or learn; none: learn where a control plane knows of a canary
	Baseline string   // as the answers spell it; with a control plane it only renames
	Canary   string
	Percent  float64 // without a control plane
	Client   *stage.Client
	Ref      stage.Ref     // with one
	CoolDown time.Duration // after each trial; after one that failed, until a few requests keep the objectives again
	Ceiling  bool          // find out first what this machine can send

	Watch func(analyze.Searching) // told after each trial, and twice a second of the one under way; may be nil
	Say   func(string)            // notes for a person, from any goroutine; may be nil
	Look  time.Duration           // how often the stage is read meanwhile; 0: every 2 s

	recorder *Recorder
	watcher  *watcher       // nil: there is no control plane
	live     stage.Measured // under test
	target   stage.Target
	trials   []analyze.TrialReport
	header   analyze.Header
	known    *analyze.Rated // by the trials that are over
}

// Prepare finds who answers, and makes sure that the arm under test can be told apart.
func (c *Capacity) Prepare(ctx context.Context, where, tool string) error {
	t := analyze.Target{Where: where, Method: c.Plan.Target.Method, URL: Bare(c.Plan.Target.URL), Baseline: c.Baseline, Canary: c.Canary, Percent: c.Percent}
	if c.Client != nil {
		if err := c.resolve(ctx, &t); err != nil {
			return err
		}
	}
	c.Plan.Baseline, c.Plan.Canary = t.Baseline, t.Canary
	switch c.Rating.Arm {
	case analyze.ArmBaseline:
		c.Rating.Version = t.Baseline
	case analyze.ArmCanary:
		c.Rating.Version = t.Canary
	}
	if c.Rating.Arm != analyze.ArmStage && c.Rating.Version == "" {
		return refusal("--arm %s: there is no canary that would split the stage: want --arm stage, or a canary", c.Rating.Arm)
	}
	if t.Baseline == "" || t.Canary == "" {
		c.Plan.Baseline, c.Plan.Canary = "", ""
	}
	if err := c.classifier(ctx, &t); err != nil {
		return err
	}
	if c.Plan.Classify != nil && t.Canary != "" {
		c.Plan.Classify = byAlias(c.Plan, c.target)
	}
	c.Rating.Target = t
	if share := c.Rating.Share(); share > 0 { // the arm has to get its hits
		c.Rating.Search.Hits = uint64(math.Ceil(float64(c.Rating.Search.Hits) / share))
	}
	c.header = analyze.Header{Format: analyze.Format, Tool: tool, Command: "capacity", Target: t,
		Plan: analyze.Plan{Connections: c.Plan.Connections, Timeout: c.Plan.Timeout, Targets: LoadTargets(c.Plan)}}
	if c.Client != nil {
		was, err := json.Marshal(c.live)
		if err != nil {
			return fmt.Errorf("run file: %w", err)
		}
		c.header.Stage = was
	}
	return nil
}

// resolve reads the versions behind the stage, if it has a canary; without one the stage as a whole can be asked.
func (c *Capacity) resolve(ctx context.Context, t *analyze.Target) error {
	if err := way(ctx, c.Client, &c.Ref, c.Plan.Target.URL); err != nil {
		return err
	}
	t.API, t.Stage = c.Ref.API, Splitter(c.Ref)
	live, err := c.Client.Resolve(ctx, c.Ref)
	if err != nil {
		return Misnamed(err)
	}
	if err := (Gate{Baseline: c.Baseline, Canary: c.Canary, Ref: c.Ref}).swapped(live); err != nil {
		return err
	}
	c.target = live
	if c.live, err = c.Client.Measure(ctx, c.Ref); err != nil {
		return err
	}
	if !c.Ref.Weighted() {
		c.live.Stage = &live.State // what is asked is what was resolved
	}
	c.Plan.Path = c.Ref.Path
	t.Covers = covered(live, c.Ref, c.Plan.Targets)
	if c.Plan.Target.URL == "" {
		c.Plan.Target.URL = live.InvokeURL
		t.URL = Bare(live.InvokeURL)
	}
	if live.CanaryVersion == "" || live.CanaryVersion == live.BaselineVersion {
		if c.Rating.Arm == analyze.ArmStage {
			t.Baseline, t.Canary = "", ""
		}
		return nil
	}
	t.Baseline, t.Canary, t.Percent = orElse(c.Baseline, live.BaselineVersion), orElse(c.Canary, live.CanaryVersion), points(live.Share)
	if canary := live.State.Canary; canary != nil {
		t.Percent = canary.Percent
	}
	return nil
}

// classifier sets the plan's, if the versions are known, and sends the probe that says whether anybody is there.
func (c *Capacity) classifier(ctx context.Context, t *analyze.Target) error {
	split := t.Baseline != "" && t.Canary != ""
	learn := split && (len(c.Classify) == 0 || slices.Equal(c.Classify, []string{"learn"}))
	if !learn && len(c.Classify) > 0 {
		var err error
		if c.Plan.Classify, err = attack.ParseClassifier(c.Classify); err != nil {
			return Preflight{fmt.Errorf("--classify: %w", err)}
		}
		t.Classify = strings.Join(c.Classify, " ")
	}
	n := 4
	if learn {
		n = askMixed
	}
	plan := c.Plan
	plan.Rate = attack.RateOf(1)
	sample, err := attack.Probe(ctx, plan, n)
	if err != nil {
		return err
	}
	if err := c.judgeable(sample.Answers, t); err != nil {
		return err
	}
	if learn {
		learned, err := attack.LearnMixed(sample.Answers, t.Baseline, t.Canary)
		if err != nil {
			return Preflight{err}
		}
		c.Plan.Classify, t.Classify = learned.Classifier(), learned.Rule
		c.say(learned.Where + " (--classify " + learned.Rule + ")")
		return nil
	}
	if c.Rating.Version != "" {
		return named(sample.Answers, c.Classify)
	}
	return nil
}

// judgeable refuses a target that answers with nothing but errors, where objectives are about latency alone: that of the
// answers that are none. A search would find that all is well until the breaker ends it.
func (c *Capacity) judgeable(answers []attack.Probed, t *analyze.Target) error {
	for _, o := range c.Rating.Objectives {
		if o.Errors > 0 {
			return nil
		}
	}
	status := 0
	for _, a := range answers {
		if a.Class == "" {
			return nil
		}
		status = max(status, a.Status)
	}
	return refusal(`%s %s: all %d answers are errors, one was: %d, and no objective is about errors: want a target that answers, --expect-status %d, or --objective "errors <= 1%%"`,
		orElse(t.Method, http.MethodGet), t.URL, len(answers), status, status)
}

func (c *Capacity) say(line string) {
	if c.Say != nil {
		c.Say(line)
	}
}

// changedError is why a search ends whose stage is not the one that it began with.
type changedError struct{ what string }

func (e changedError) Error() string { return stage.ErrChanged.Error() + ": " + e.what }

// Load is all traffic so far, a phase for each trial, and the warm-up.
func (c *Capacity) Load() []analyze.Phase {
	if c.recorder == nil {
		return nil
	}
	return c.recorder.Judge.Phases()
}

// Run searches. What is known so far is returned also when the context ends, the stage changes, a breaker trips or the time
// is used up; an error is one of the run file.
func (c *Capacity) Run(ctx context.Context, file *analyze.Writer) (analyze.Rated, error) {
	c.header.Started = time.Now()
	var err error
	if c.recorder, err = NewRecorder(c.header, file); err != nil {
		return analyze.Rated{}, err
	}
	if c.Ceiling {
		c.measureCeiling(ctx)
	}
	file.Write(analyze.Record{Rating: &c.Rating})
	search, err := capacity.New(c.Rating.Search)
	if err != nil {
		return analyze.Rated{}, Preflight{err}
	}
	c.Rating.Search = search.Plan()
	load, stop := context.WithCancelCause(ctx)
	unwatch := c.lookOut(load, stop)
	end := c.search(load, search, file)
	unwatch()
	var changed changedError
	switch r := search.Result(); {
	case ctx.Err() != nil:
		end = analyze.End{Reason: "interrupted"}
	case errors.As(context.Cause(load), &changed):
		end = analyze.End{Reason: analyze.EndChanged, Error: changed.Error()}
	case r.Stopped != "":
		end = analyze.End{Reason: "budget", Error: r.Stopped}
	}
	stop(nil)
	c.recorder.tell()
	file.Write(analyze.Record{End: &end})
	rated, err := c.rate(end)
	if err == nil && file.Err() != nil {
		err = fmt.Errorf("run file: %w", file.Err())
	}
	return rated, err
}

// search runs trial after trial.
func (c *Capacity) search(ctx context.Context, search *capacity.Search, file *analyze.Writer) (end analyze.End) {
	end = analyze.End{Reason: "verdict"}
	c.warmUp(ctx)
	for {
		t, more := search.Next(c.since(), c.Rating.WarmUp+c.CoolDown)
		if !more || ctx.Err() != nil {
			return end
		}
		report := c.trial(ctx, t)
		c.look(ctx) // a change since the last look may be what the trial saw
		if ctx.Err() != nil {
			return end
		}
		c.trials = append(c.trials, report)
		file.Write(analyze.Record{Trial: &report})
		search.Add(report.Done)
		c.watch(nil)
		if why := c.stop(ctx, report); why != "" {
			return analyze.End{Reason: "breaker", Error: why}
		}
	}
}

// since is the time since the search began.
func (c *Capacity) since() time.Duration { return time.Since(c.header.Started) }

// lookOut reads the stage now and then until the load is over: one that changes ends it.
func (c *Capacity) lookOut(load context.Context, stop context.CancelCauseFunc) (done func()) {
	if c.Client == nil {
		return func() {}
	}
	var once sync.Once
	c.watcher = &watcher{every: c.Look, ref: c.Ref, live: func() stage.Measured { return c.live },
		read: func(ctx context.Context) (stage.Measured, error) { return c.Client.Again(ctx, c.live) },
		note: func(name string, detail map[string]string) {
			if name == analyze.StageChanged {
				once.Do(func() {
					c.recorder.Note(name, detail)
					stop(changedError{detail["what"]})
				})
				return
			}
			c.recorder.Note(name, detail)
		},
		warn: c.say, without: "nobody can see whether the stage stays as it is"}
	watching, end := context.WithCancel(load)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.watcher.watch(watching)
	}()
	return func() { end(); <-ended }
}

// look looks once more; one that fails, or takes long because AWS throttles, is no news.
func (c *Capacity) look(ctx context.Context) {
	if c.watcher == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	c.watcher.look(ctx)
}

func (c *Capacity) rate(end analyze.End) (analyze.Rated, error) {
	return analyze.Rate(c.header, c.Rating, c.trials, c.recorder.Judge.Events(), end)
}

func (c *Capacity) watch(under *analyze.TrialReport) {
	if c.Watch == nil {
		return
	}
	if c.known == nil || under == nil {
		rated, err := c.rate(analyze.End{})
		if err != nil {
			return
		}
		c.known = &rated
	}
	c.Watch(analyze.Searching{Rated: *c.known, Under: under, Load: c.Load()})
}

// plan is the load of one trial.
func (c *Capacity) plan(name string, rate float64, length time.Duration) attack.Plan {
	p := c.Plan
	p.Phase, p.Rate, p.Duration, p.Epoch = name, attack.RateOf(rate), length, c.header.Started
	p.MaxRate = max(c.Rating.Search.Highest, attack.PerSecond(p.Rate)) // also while catching up
	patience := c.Rating.Patience()
	p.Patience = func() time.Duration { return patience }
	return p
}

// trial sends one load until it is decided.
func (c *Capacity) trial(ctx context.Context, t capacity.Trial) analyze.TrialReport {
	judge, err := analyze.NewTrial(c.Rating, t, c.trials)
	if err != nil {
		panic("capacity: a trial of a rating that is not valid: " + err.Error())
	}
	shown := time.Now()
	name := fmt.Sprintf("trial/%d", len(c.trials)+1)
	c.recorder.send(ctx, c.plan(name, t.Rate, c.Rating.WarmUp+t.Longest), nil, func(window attack.Window) bool {
		if judge.Add(window); judge.Settled() {
			return true
		}
		if time.Since(shown) >= 500*time.Millisecond {
			shown = time.Now()
			report := judge.Report(c.since())
			c.watch(&report)
		}
		return false
	})
	return judge.Report(c.since())
}

// warmUp makes connections and wakes the target, at the lowest rate.
func (c *Capacity) warmUp(ctx context.Context) {
	if c.Rating.WarmUp > 0 {
		length := max(c.Rating.WarmUp, time.Second)
		c.recorder.send(ctx, c.plan("warm-up", c.Rating.Search.Lowest, length), nil, func(attack.Window) bool { return false })
	}
}

// stop is why nothing more may be sent, "" after the pause that a trial is followed by.
func (c *Capacity) stop(ctx context.Context, r analyze.TrialReport) string {
	if r.Breaker != "" {
		return "the circuit breaker ended it at " + analyze.PerSecondOf(r.Rate) + ": " + r.Breaker
	}
	if c.Plan.Budget != nil && c.Plan.Allowed() == 0 {
		return fmt.Sprintf("the limit of %s requests is used up", analyze.Count(c.Plan.Budget.Limit()))
	}
	if r.Held() {
		pause(ctx, c.CoolDown/2)
		return ""
	}
	if r.Rate <= c.Rating.Search.Lowest { // there is no better state to come back to
		pause(ctx, c.CoolDown)
		return ""
	}
	if budget := c.Rating.Search.Budget; budget > 0 {
		within, cancel := context.WithDeadline(ctx, c.header.Started.Add(budget))
		defer cancel()
		ctx = within
	}
	began := time.Now()
	for wait, asked := c.CoolDown, 0; asked < recoveries; asked++ {
		if pause(ctx, wait); ctx.Err() != nil || c.recovered(ctx) {
			return "" // also when the time is used up: the search itself says so
		}
		if asked == 0 {
			c.say(fmt.Sprintf("a few requests after %s fail or are too slow: waiting for the target to recover", analyze.PerSecondOf(r.Rate)))
		}
		wait = max(c.CoolDown, time.Second)
	}
	return fmt.Sprintf("the target did not recover from %s within %s", analyze.PerSecondOf(r.Rate), analyze.Short(time.Since(began)))
}

const recoveries = 30 // cool-downs, of a second or more, that a target has

// recovered asks with a few requests whether the backlog is gone.
func (c *Capacity) recovered(ctx context.Context) bool {
	sample, err := attack.Probe(ctx, c.plan("cool-down", 1, 0), 4)
	if err != nil {
		return false
	}
	return backlogGone(sample.Answers, c.Rating.Objectives)
}

// backlogGone holds a few answers to the objectives as strictly as so few can be: what an objective lets be slow or fail is
// no backlog, and would keep a healthy target waiting. Who is throttled has to wait, whatever the objectives say.
func backlogGone(answers []attack.Probed, objectives []analyze.Objective) bool {
	for _, o := range objectives {
		bad, share := 0.0, float64(o.Errors)
		if o.Max > 0 {
			share = 1 - float64(o.Quantile)
		}
		for _, a := range answers {
			switch {
			case a.Class == attack.Throttled:
				return false
			case o.Errors > 0 && a.Class != "", o.Max > 0 && (a.Class == attack.Timeout || a.Class == "" && a.Latency > time.Duration(o.Max)):
				bad++
			}
		}
		if bad > share*float64(len(answers)) {
			return false
		}
	}
	return true
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// measureCeiling finds what this machine can send to a target that does nothing, which takes part of the machine, too:
// elsewhere it can only be more.
func (c *Capacity) measureCeiling(ctx context.Context) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			server.Close()
		}
	}()
	defer server.Close()
	const length = time.Second
	plan := attack.Plan{Phase: "ceiling", Target: vegeta.Target{URL: "http://" + listener.Addr().String()}, Duration: length, Epoch: c.header.Started}
	var hits uint64
	for window := range attack.Run(ctx, plan) {
		hits += window.Hits
	}
	if ctx.Err() != nil {
		return // it was cut short
	}
	c.Rating.Ceiling = float64(hits) / length.Seconds()
	c.Rating.Search.Carries = c.Rating.Ceiling / 3
	if s := &c.Rating.Search; c.Rating.Ceiling > 0 && c.Rating.Ceiling < s.Highest {
		c.say(fmt.Sprintf("This machine sends %s at most, to a target that does nothing: rates go no higher than that.", analyze.PerSecondOf(float64(int(c.Rating.Ceiling)))))
		s.Highest = float64(int(c.Rating.Ceiling))
		s.Lowest = min(s.Lowest, s.Highest)
	}
}
