package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"coalmine/analyze"
	"coalmine/analyze/capacity"
	"coalmine/attack"
	"coalmine/report"
	"coalmine/scenarios"
)

// rating is a search for the highest rate, as the command line asks for it.
type rating struct {
	scenarios.Capacity
	target         target
	output         output
	scenario       string
	objectives     []string
	goal, soakAt   string
	atLeast, from  string
	trial, longest time.Duration
	soak, short    time.Duration
	budget, warmUp time.Duration
	ramp, risk     float64
	breaker        string
	noCeiling      bool
	expected       *scenarios.Answer
}

func (w world) capacityCommand() *cobra.Command {
	var r rating
	c := &cobra.Command{
		Use:   "capacity [scenario]",
		Short: "Find the highest rate at which objectives hold",
		Long: `Find the highest rate at which objectives hold, for the whole stage or for one arm
of a canary. Trials double the rate until one fails, then go where the capacity is
believed to be by all of them, and prove both ends of an interval, each twice, with
a soak in between (MLRsearch, in trials that stop when they are decided). Nothing
is promoted and nothing is changed.

The target is a stage (--api, --stage, --path), any URL (--url), or the embedded
system of a scenario: capacity-knee, capacity-quota, capacity-cold, capacity-noisy.
Off loopback --max-rate must be given. Rates are those sent to the stage: an arm
gets its share of them, which is stated, too.

Exit codes: 0 found (with --at-least: carried), 10 below --at-least, or at the
lowest rate the objectives fail or requests are throttled, 11 undecided (time used
up, breaker, drift, or --at-least within the interval), 12 the stage, which is read
every 2 s, changed meanwhile, or the load generator is the bottleneck and what was
asked for is not decided, 1 and 2 as everywhere, 130 interrupted. What is known by
then is shown.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			r.scenario = strings.Join(args, "")
			return r.run(c.Context(), w, c.Flags())
		},
	}
	f := c.Flags()
	r.target.flags(f, "")
	f.Lookup("rate").Hidden = true
	f.Lookup("max-rate").Usage = "highest rate per second that is tried; must be given off loopback (default 10000 on loopback)"
	f.Lookup("max-rate").DefValue = "0" // which help does not show
	f.Lookup("classify").Usage += ", or learn (default with a canary)"
	f.Lookup("timeout").Usage += "; unless given, raised to twice an objective that is as long"
	f.StringVar(&r.target.lambdaAlias, "lambda-alias", "", "`FUNCTION:ALIAS` whose weights split the traffic of --url, instead of --api")
	r.output.flags(f)
	f.StringArrayVar(&r.objectives, "objective", nil, "`BOUND` like \"p99 <= 250ms\" or \"errors <= 0.1%\", repeatable")
	f.StringVar(&r.Rating.Arm, "arm", analyze.ArmStage, "whose objectives they are: stage, baseline or canary")
	f.StringVar(&r.Baseline, "baseline", "", "version that serves now, as the answers spell it, for --url")
	f.StringVar(&r.Canary, "canary", "", "version under test, as the answers spell it, for --url")
	f.Float64Var(&r.Percent, "percent", 0, "of the traffic that goes to the canary, for --url")
	f.StringVar(&r.atLeast, "at-least", "", "`RATE` like 800/s that must be carried: exit code 10 below it")
	f.StringVar(&r.from, "from", "", "`RATE` to begin with, the lowest that is tried (default a hundredth of --max-rate, and two requests in a --short-trial)")
	f.StringVar(&r.goal, "goal-width", "5%", "of the interval, of its lower end")
	f.DurationVar(&r.budget, "budget", 10*time.Minute, "time for everything; what is known by then is shown")
	f.Float64Var(&r.ramp, "ramp", 0, "most times by which a trial may exceed a rate that held (default 2 on loopback, 1.5 elsewhere)")
	f.DurationVar(&r.short, "short-trial", 2*time.Second, "of trials that only choose where to look")
	f.DurationVar(&r.trial, "trial", 0, "least time of a trial that proves a bound (default 10s)")
	f.DurationVar(&r.longest, "longest-trial", 0, "most of it, then it is undecided; longer where the rate is so low that the hits of a proof take longer (default 4 times --trial, a twelfth of --budget or, at a goal of 5%, 120 times the slowest latency objective: the longest of these)")
	f.DurationVar(&r.soak, "soak", 0, "time at --soak-at of the lower bound, negative for none (default twice --trial)")
	f.StringVar(&r.soakAt, "soak-at", "85%", "of the lower bound")
	f.DurationVar(&r.warmUp, "warm-up", time.Second, "of each trial, not judged, and before the first; 0s for none")
	f.DurationVar(&r.CoolDown, "cool-down", time.Second, "after a trial that failed, then until a few requests are answered in time")
	f.Float64Var(&r.risk, "risk", 0.01, "probability that a trial proves what is not so")
	f.StringVar(&r.breaker, "breaker", "60%", "errors, or 429s, of the answers in 2 s that end the search")
	f.BoolVar(&r.noCeiling, "no-self-check", false, "do not find out first what this machine can send")
	return c
}

func (r *rating) run(ctx context.Context, w world, f *pflag.FlagSet) error {
	if err := r.check(w, f); err != nil {
		return err
	}
	where, stop, err := r.place(ctx, w)
	if err != nil {
		return err
	}
	defer stop()
	o := &r.output
	o.also = func() error { return r.target.done(w) }
	defer o.also()
	if err := r.configure(ctx, w, f); err != nil {
		return err
	}
	fmt.Fprintln(w.stderr, where)
	r.Say = func(line string) { fmt.Fprintln(w.stderr, line) }
	if err := r.Prepare(ctx, where, "coalmine/"+version); err != nil {
		return err
	}
	o.live.state = searched{}
	if err := o.open(w, "capacity", time.Now()); err != nil {
		return err
	}
	if err := r.target.logHits(&r.Plan); err != nil {
		return err
	}
	shown := newSteps(w, o)
	r.Say, r.Watch = shown.say, func(s analyze.Searching) {
		o.watch(searched{s})
		shown.watch(s)
	}
	rated, failed := r.Run(ctx, analyze.NewWriter(o.file))
	shown.end()
	if rated.Sentence == "" { // it was refused
		return failed
	}
	failed = errors.Join(failed, o.close(ctx, w, searched{analyze.Searching{Rated: rated, Load: r.Load()}}))
	r.compare(w, rated)
	if failed != nil {
		return exit{exitBroken, failed}
	}
	fmt.Fprintln(w.stderr, report.CapacityLine(rated))
	if code := ratedCode(rated); code != 0 {
		return exit{code: code}
	}
	return nil
}

// check is what can be said without asking anybody.
func (r *rating) check(w world, f *pflag.FlagSet) error {
	if f.Changed("rate") {
		return usagef("--rate: the rate is what is searched: want --max-rate, --from")
	}
	if r.scenario != "" {
		if _, err := scenarios.Open(r.scenario, true); err != nil {
			return usage(err)
		}
		if r.target.url != "" || r.target.controlled() {
			return usagef("scenario %s: runs on an embedded system: want no --url, --api or --lambda-alias beside it", r.scenario)
		}
		for _, name := range []string{"path", "stage", "expect-account"} {
			if f.Changed(name) {
				return usagef("scenario %s: says itself what is sent to: --%s is about --api", r.scenario, name)
			}
		}
		r.target.url = "http://127.0.0.1/" // until it is known
	} else if r.target.url == "" && !r.target.controlled() {
		return usagef("missing target: want --url URL, --api ID with --path, or a scenario like capacity-knee")
	}
	if err := errors.Join(r.target.check(w), r.output.check(),
		spare(append(r.target.reads(), reads(r.scenario)), r.output.writes(&r.target.requests))); err != nil {
		return err
	}
	switch {
	case r.Rating.Arm != analyze.ArmStage && r.Rating.Arm != analyze.ArmBaseline && r.Rating.Arm != analyze.ArmCanary:
		return usagef("--arm: want stage, baseline or canary, got %q", r.Rating.Arm)
	case r.scenario == "" && !r.target.controlled() && (r.Baseline == "") != (r.Canary == ""):
		return usagef("--baseline and --canary: want both, or neither")
	case r.scenario == "" && !r.target.controlled() && r.Rating.Arm != analyze.ArmStage && (r.Baseline == "" || len(r.target.classify) == 0 || !f.Changed("percent")):
		return usagef("--arm %s of a --url: want --baseline, --canary, --percent and --classify, too: nobody else knows them", r.Rating.Arm)
	case r.Baseline != "" && r.Baseline == r.Canary:
		return usagef("--baseline and --canary are both %q: want two versions", r.Canary)
	case r.target.controlled() && f.Changed("percent"):
		return usagef("--percent is read from AWS with --api and --lambda-alias")
	case f.Changed("percent") && (r.scenario != "" || r.Baseline == ""):
		return usagef("--percent is about --url with --baseline and --canary")
	case f.Changed("percent") && !(r.Percent > 0 && r.Percent < 100):
		return usagef("--percent: want more than 0 and less than 100, got %v", r.Percent)
	case r.target.maxRate > 1e6:
		return usagef("--max-rate: want at most 1000000 per second, got %v", r.target.maxRate)
	case r.CoolDown < 0 || r.warmUp < 0:
		return usagef("--cool-down, --warm-up: want 0 or more, got %s, %s", r.CoolDown, r.warmUp)
	}
	return r.zero(f)
}

// zero refuses what is 0 by somebody's word: it stands for the default where nothing was said.
func (r *rating) zero(f *pflag.FlagSet) error {
	for _, t := range []struct {
		name string
		of   time.Duration
	}{{"budget", r.budget}, {"trial", r.trial}, {"short-trial", r.short}, {"longest-trial", r.longest}} {
		if f.Changed(t.name) && t.of <= 0 {
			return usagef("--%s: want more than 0, got %s", t.name, t.of)
		}
	}
	for name, rate := range map[string]string{"at-least": r.atLeast, "from": r.from} {
		if _, err := attack.ParseRate(rate); f.Changed(name) && err != nil {
			return usagef("--%s: %w", name, err)
		}
	}
	full := capacity.Plan{Full: r.trial}.Complete().Full
	switch {
	case r.short > full:
		return usagef("--short-trial: want at most the time of --trial, %s, got %s", full, r.short)
	case r.longest > 0 && r.longest < full:
		return usagef("--longest-trial: want at least the time of --trial, %s, got %s", full, r.longest)
	case f.Changed("soak") && r.soak == 0:
		return usagef("--soak: want more than 0, or a negative time like -1s for none, got 0s")
	case f.Changed("ramp") && r.ramp == 0:
		return usagef("--ramp: want 1.05 to 10, got 0")
	case f.Changed("risk") && r.risk == 0:
		return usagef("--risk: want more than 0 and less than 0.5, got 0")
	}
	return nil
}

// place finds the target; of a scenario, it starts it.
func (r *rating) place(ctx context.Context, w world) (where string, stop func(), err error) {
	if r.scenario == "" {
		r.Client, r.Ref, where, err = w.locate(ctx, &r.target)
		return where, func() {}, err
	}
	s, err := scenarios.Open(r.scenario, true)
	if err != nil {
		return "", nil, usage(err)
	}
	if r.expected = s.Capacity; r.expected == nil && len(r.objectives) == 0 {
		return "", nil, usagef("scenario %s: says nothing of capacity: want --objective, too", s.Name)
	}
	if r.Client, _, stop, err = embedded(ctx, s.Emulator, false); err != nil {
		return "", nil, err
	}
	if r.Ref, err = s.Locate(ctx, r.Client); err == nil && r.Rating.Arm != analyze.ArmStage {
		err = r.canary(ctx, s)
	}
	if err != nil {
		stop()
		return "", nil, err
	}
	r.target.url = r.Client.InvokeURL(r.Ref)
	return r.Client.Where(r.Ref), stop, nil
}

// canary makes the scenario's on the embedded system, which ends with this process.
func (r *rating) canary(ctx context.Context, s scenarios.Scenario) error {
	dir, err := os.MkdirTemp("", "coalmine-journal-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	journal, err := r.Client.OpenJournal(filepath.Join(dir, "journal"), r.Ref)
	if err != nil {
		return err
	}
	defer journal.Close()
	if _, err := r.Client.CreateCanary(ctx, journal, r.Ref, s.Canary.Percent, s.Canary.Overrides); err != nil {
		return err
	}
	_, err = r.Client.DeployCanary(ctx, journal, r.Ref, "coalmine capacity")
	return err
}

// configure completes the search with what depends on where the load goes.
func (r *rating) configure(ctx context.Context, w world, f *pflag.FlagSet) error {
	here := r.target.stays(r.target.url)
	highest := r.target.maxRate
	switch {
	case f.Changed("max-rate"):
	case r.expected != nil:
		highest = r.expected.MaxRate
	case here:
		highest = 10000
	default:
		return usagef("--max-rate: must be given off loopback: the highest rate per second that %s may get", scenarios.Bare(r.target.url))
	}
	arm := r.Rating.Arm
	r.Rating = analyze.DefaultRating()
	r.Rating.Arm, r.Rating.WarmUp = arm, r.warmUp
	if err := r.bounds(); err != nil {
		return err
	}
	p := capacity.Plan{Highest: highest, Ramp: r.ramp, Short: r.short, Full: r.trial, Longest: r.longest, Soak: r.soak, Budget: r.budget,
		Risk: r.risk, Hits: r.Rating.Hits(r.risk)}
	if p.Ramp == 0 && !here {
		p.Ramp = 1.5
	}
	var err error
	if p.Width, err = share("goal-width", r.goal); err != nil {
		return err
	}
	if p.SoakAt, err = share("soak-at", r.soakAt); err != nil {
		return err
	}
	if p.Width == 0 || p.SoakAt == 0 {
		return usagef("--goal-width, --soak-at: want more than 0%%, got %s, %s", r.goal, r.soakAt)
	}
	if p.Lowest, err = r.lowest(highest); err != nil {
		return err
	}
	if r.Rating.AtLeast, err = perSecond("at-least", r.atLeast); err != nil {
		return err
	}
	if r.Rating.AtLeast > highest {
		return usagef("--at-least: %v/s is above --max-rate %v/s: it would never be tried", r.Rating.AtLeast, highest)
	}
	if p = p.Complete(); r.longest == 0 {
		p.Longest = r.Rating.Longest(p)
	}
	r.Rating.Search = p
	if err := r.Rating.Search.Validate(); err != nil {
		field, wrong, _ := strings.Cut(err.Error(), ": ")
		return usagef("%s: %s", planFlags[field], wrong)
	}
	if least := p.Full + r.warmUp; p.Budget < least {
		return usagef("--budget: %s is not enough for one trial that proves a bound: want at least %s (--trial and --warm-up), and ten times that for a search", p.Budget, least)
	}
	r.Ceiling, r.Classify = !r.noCeiling, r.target.classify
	r.target.maxRate = highest
	r.Plan, err = r.target.plan(ctx, w, r.target.url, attack.RateOf(r.Rating.Search.Lowest), nil, unique())
	return err
}

// planFlags say what a search's plan says, in the words of its errors.
var planFlags = map[string]string{"lowest rate": "--from", "goal width": "--goal-width", "ramp": "--ramp",
	"trials": "--short-trial, --trial, --longest-trial", "soak": "--soak-at", "budget": "--budget", "risk": "--risk"}

// lowest is the rate to begin with. One at which no request is due in a trial would say nothing, and in the end blame this
// machine.
func (r *rating) lowest(highest float64) (float64, error) {
	least := 1 / r.short.Seconds()
	lowest, err := perSecond("from", r.from)
	switch {
	case err != nil:
		return 0, err
	case highest < least:
		return 0, usagef("--max-rate: %v/s sends no request in a --short-trial of %s: want %v/s or more, or longer trials", highest, r.short, least)
	case r.from == "":
		return min(highest, max(highest/100, 2*least)), nil
	case lowest < least:
		return 0, usagef("--from: %v/s sends no request in a --short-trial of %s: want %v/s or more, or longer trials", lowest, r.short, least)
	}
	return lowest, nil
}

// bounds reads the objectives, and what the breaker stops at.
func (r *rating) bounds() error {
	for _, text := range r.objectives {
		var o analyze.Objective
		if err := o.UnmarshalText([]byte(text)); err != nil {
			return usagef("--objective: %w", err)
		}
		r.Rating.Objectives = append(r.Rating.Objectives, o)
	}
	if len(r.objectives) == 0 && r.expected != nil {
		r.Rating.Objectives = r.expected.Objectives
	}
	if err := analyze.CheckObjectives(r.Rating.Objectives); err != nil {
		return usagef("--objective: %w", err)
	}
	for _, o := range r.Rating.Objectives {
		switch limit := time.Duration(o.Max); {
		case limit < r.target.timeout:
		case r.target.given("timeout"):
			return usagef("--timeout: %s ends requests before they could break %s: want more than %s", r.target.timeout, o, limit)
		default:
			r.target.timeout = 2 * limit
		}
	}
	x, err := share("breaker", r.breaker)
	if err == nil && x == 0 {
		err = usagef("--breaker: want more than 0%%, got %s", r.breaker)
	}
	r.Rating.Breaker.Errors, r.Rating.Breaker.Throttled = analyze.Percentage(x), analyze.Percentage(x)
	return err
}

// share reads a percentage flag.
func share(name, text string) (float64, error) {
	var x analyze.Percentage
	if err := x.UnmarshalText([]byte(text)); err != nil {
		return 0, usagef("--%s: %w", name, err)
	}
	return float64(x), nil
}

// perSecond reads a rate flag, 0 where it was not given.
func perSecond(name, text string) (float64, error) {
	if text == "" {
		return 0, nil
	}
	rate, err := attack.ParseRate(text)
	if err != nil {
		return 0, usagef("--%s: %w", name, err)
	}
	return attack.PerSecond(rate), nil
}

// compare holds a scenario to the answer that it states, where the whole stage was asked for.
func (r *rating) compare(w world, rated analyze.Rated) {
	a, lower, upper := r.expected, rated.Result.Lower, rated.Result.Upper
	if a == nil || a.Answer == 0 || len(r.objectives) > 0 || r.Rating.Arm != analyze.ArmStage || lower == nil || upper == nil {
		return
	}
	fmt.Fprintf(w.stderr, "the model carries %s\n", analyze.PerSecondOf(a.Answer))
}

// ratedCode is the exit code of a search.
func ratedCode(r analyze.Rated) int {
	switch {
	case r.End.Reason == "interrupted":
		return exitInterrupted
	case r.Asked == analyze.Pass:
		return 0
	case r.Rejected():
		return exitReject
	case r.Void():
		return exitVoid
	case r.Rating.AtLeast > 0, r.Open():
		return exitInconclusive
	}
	return 0
}

// newSteps begins to show a search; end must be called.
func newSteps(w world, o *output) *progress[analyze.Searching] {
	screen, lines := o.shown(w)
	s := &steps{screen: screen, to: lines.to, silent: lines.silent, last: time.Now()}
	return begin(s.draw, screen != nil)
}

// steps tell of each trial, a line each, and on the way of those that take long: below, where there is a screen.
type steps struct {
	screen *screen // nil: lines
	to     io.Writer
	silent bool
	stand  analyze.Searching
	told   int
	last   time.Time // a line
}

func (s *steps) draw(said []string, stand *analyze.Searching, over bool) {
	if stand != nil {
		s.stand = *stand
	}
	if !s.silent {
		said = append(said, s.steps()...)
	}
	if s.screen != nil {
		var view []string
		if width, height := s.screen.size(); !over {
			view = report.LiveCapacity(s.stand, report.View{Width: width, Height: height, ASCII: s.screen.ascii, Paint: s.screen.paint})
		}
		s.screen.show(said, view) // a terminal that is gone is nobody's loss
		return
	}
	for _, line := range said {
		io.WriteString(s.to, line+"\n")
	}
}

func (s *steps) steps() (lines []string) {
	for ; s.told < len(s.stand.Trials); s.told++ {
		lines = append(lines, report.CapacityTrial(s.stand.Rated, s.told+1))
	}
	if len(lines) == 0 && s.screen == nil && s.stand.Under != nil && time.Since(s.last) >= 10*time.Second {
		lines = append(lines, report.CapacityProgress(s.stand.Rated, s.stand.Under))
	}
	if len(lines) > 0 {
		s.last = time.Now()
	}
	return lines
}

// reshow draws a search again from its run file; ok is false where the file is of another command.
func (w world) reshow(path string, shown *reports, other ...flagged) (ok bool, err error) {
	file, err := os.Open(path)
	if err != nil {
		return false, usage(err)
	}
	defer file.Close()
	rated, err := analyze.ReadRated(file)
	broken := errors.As(err, new(analyze.Unreadable))
	switch {
	case errors.Is(err, analyze.ErrNotRated):
		return false, nil
	case err != nil && (!broken || rated.Sentence == ""):
		return true, usagef("%s: %w", path, err)
	}
	for _, f := range other {
		if f.path != "" {
			return true, usagef("%s: %s holds a search for a capacity, which has no verdict to be given anew", f.flag, path)
		}
	}
	if err := shown.show(w, searched{analyze.Searching{Rated: rated}}); err != nil {
		return true, err
	}
	if broken { // every format says what is missing, and shows the rest
		return true, usagef("%s: %w", path, err)
	}
	fmt.Fprintln(w.stderr, report.CapacityLine(rated))
	return true, nil
}
