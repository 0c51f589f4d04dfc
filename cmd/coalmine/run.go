package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"coalmine/analyze"
	"coalmine/attack"
	"coalmine/report"
	"coalmine/scenarios"
	"coalmine/scenarios/emulator"
	"coalmine/scenarios/products"
	"coalmine/scenarios/stage"
)

// play is a scenario as the command line asks for it.
type play struct {
	requests
	cloud         cloud
	output        output
	rate, journal string
	maxRate       float64
	maxRequests   uint64
	exec          bool
	given         func(flag string) bool
}

func (w world) runCommand() *cobra.Command {
	var p play
	c := &cobra.Command{
		Use:   "run [scenario]",
		Short: "Tell a whole story: before, canary, during, act, after",
		Long: `Run a scenario: a built-in one by name, or a file (a path with a slash, or ending
in .yaml). It runs on an embedded stack on loopback, unless AWS_ENDPOINT_URL names
a control plane, or --expect-account the AWS account that it may change: there the
default is ` + onAWS + `, after "coalmine stack up". With --exec the embedded
system runs a real function, a process for each request at once, not a built-in one.

Built-in: ` + strings.Join(scenarios.Builtin(), ", ") + `

` + exitHelp(),
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return p.run(c.Context(), w, strings.Join(args, "")) },
	}
	f := c.Flags()
	p.given = f.Changed
	p.cloud.flags(f)
	p.output.flags(f)
	f.StringVar(&p.rate, "rate", "", "requests per time, like 500/s (default: the scenario's)")
	f.Uint64Var(&p.maxRequests, "max-requests", 0, "requests in all, the first ones included (default the scenario's: no limit)")
	f.Float64Var(&p.maxRate, "max-rate", 1000, "highest rate per second that may be asked for, off loopback")
	f.BoolVar(&p.exec, "exec", false, execHelp)
	p.requests.flags(f)
	f.StringVar(&p.journal, "journal", "", "directory of the journal (default $XDG_STATE_HOME/coalmine/journal)")
	return c
}

// onAWS is the scenario for the demonstration system where that is real.
const onAWS = "products-on-aws"

func (p *play) run(ctx context.Context, w world, name string) error {
	if err := errors.Join(p.output.check(), p.requests.check(w),
		spare(append(p.requests.reads(), reads(name)), p.output.writes(&p.requests))); err != nil {
		return err
	}
	if p.given("max-rate") && !(p.maxRate > 0) {
		return usagef("--max-rate: want more than 0, got %v", p.maxRate)
	}
	var client *stage.Client
	var err error
	if p.cloud.named(w) {
		if p.exec {
			return usagef("--exec: real functions run in the embedded system, and a control plane is named: want coalmine emulator --exec, or stack up")
		}
		if client, err = w.connectOwn(ctx, p.cloud); err != nil {
			return err
		}
	}
	scenario, err := p.scenario(name, client)
	if err != nil {
		return usage(err)
	}
	journal := w.journalDir(p.journal)
	var note string
	switch {
	case client == nil:
		var stop func()
		if client, note, stop, err = embedded(ctx, scenario.Emulator, p.exec); err != nil {
			return err
		}
		defer stop()
		if p.journal == "" { // the stage ends with this process, and so does what could be recovered of it
			if journal, err = os.MkdirTemp("", "coalmine-journal-"); err != nil {
				return err
			}
			defer os.RemoveAll(journal)
		}
	case scenario.Emulator != nil && client.Real():
		return usagef("scenario %s: emulator: its faults are the embedded system's: refused on AWS", scenario.Name)
	case scenario.Emulator != nil:
		note = "warning: the scenario's emulator settings are not applied: AWS_ENDPOINT_URL names another control plane"
	}
	return p.tell(ctx, w, client, note, scenario, journal)
}

// scenario reads the scenario, and what the command line says otherwise. Without a client it runs on loopback.
func (p *play) scenario(name string, client *stage.Client) (scenarios.Scenario, error) {
	loopback := client == nil || client.Loopback()
	switch {
	case name != "":
	case client != nil && client.Real():
		name = onAWS
	default:
		name = "products"
	}
	s, err := scenarios.Open(name, loopback)
	if err != nil {
		return s, err
	}
	s.Load.RequestIDs = s.Load.RequestIDs || p.requestIDs
	if p.given("rate") {
		rate, err := attack.ParseRate(p.rate)
		if err != nil {
			return s, fmt.Errorf("--rate: %w", err)
		}
		s.Load.Rate = attack.PerSecond(rate)
	}
	if p.maxRequests > 0 {
		s.Load.MaxRequests = p.maxRequests
	}
	if !loopback && s.Load.Rate > p.maxRate {
		return s, fmt.Errorf("%v/s is above --max-rate %v/s, the limit off loopback", s.Load.Rate, p.maxRate)
	}
	return s, s.Validate()
}

func (p *play) tell(ctx context.Context, w world, client *stage.Client, note string, s scenarios.Scenario, journal string) error {
	ref, err := s.Locate(ctx, client)
	if err != nil {
		return err
	}
	fmt.Fprintln(w.stderr, client.Where(ref))
	if note != "" {
		fmt.Fprintln(w.stderr, note)
	}
	j, err := client.OpenJournal(journal, ref) // first: what an interrupted run left is not what is to be judged
	if err != nil {
		return err
	}
	defer j.Close()
	p.output.also = func() error { return p.done(w) }
	defer p.output.also()
	if s.Load.With, err = p.requests.ready(ctx, w, p.cloud, client.InvokeURL(ref)); err != nil {
		return err
	}
	ready, err := s.Prepare(ctx, client, ref, "coalmine/"+version, unique())
	if err != nil {
		return err
	}
	if err := p.logHits(&ready.Story.Plan); err != nil {
		return err
	}
	ready.Story.Control.Journal = j
	if !client.Loopback() {
		ready.Story.Plan.MaxRate = p.maxRate // also while catching up
	}
	_, err = w.tell(ctx, ready, &p.output, s.Expect)
	return err
}

// embedded is the demonstration system on an emulator in this process; the note says that real functions run.
func embedded(ctx context.Context, faults *emulator.Faults, exec bool) (client *stage.Client, note string, stop func(), err error) {
	if faults == nil {
		faults = &emulator.Faults{Seed: 1}
	}
	var o products.Options
	if exec {
		if o, note, err = hostFunction(ctx); err != nil {
			return nil, "", nil, err
		}
	}
	server, err := emulator.StartWith("127.0.0.1:0", *faults, emulator.Options{Exec: exec})
	if err != nil {
		return nil, "", nil, err
	}
	stop = func() { server.Close() }
	if client, err = stage.Connect(ctx, stage.Config{Endpoint: server.URL()}); err == nil {
		_, _, err = products.UpWith(ctx, client, o)
	}
	if err != nil {
		stop()
		return nil, "", nil, err
	}
	return client, note, stop, nil
}

// tell runs a prepared story, shows it, and turns it into an exit code: an error that says something, where the story
// could not be told.
func (w world) tell(ctx context.Context, ready *scenarios.Prepared, o *output, expected scenarios.Expected) (analyze.Analysis, error) {
	var analysis analyze.Analysis
	if ready.Story.Control == nil { // where there is a control plane, it was the first to be named
		fmt.Fprintln(w.stderr, ready.Header.Target.Where)
	}
	for _, note := range ready.Notes {
		fmt.Fprintln(w.stderr, note)
	}
	ready.Header.Started = time.Now()
	if err := o.open(w, ready.Header.Command, ready.Header.Started); err != nil {
		return analysis, err
	}
	recorder, err := scenarios.NewRecorder(ready.Header, analyze.NewWriter(o.file))
	if err != nil {
		return analysis, usage(err)
	}
	shown := newProgress(w, o)
	recorder.Watch = o.beside(shown.watch)
	ready.Story.Recorder = recorder
	ready.Story.Say = shown.say
	analysis, failed := ready.Story.Tell(ctx)
	shown.end()
	if failed == nil && o.issue != nil {
		failed = o.issue(analysis)
	}
	failed = errors.Join(failed, o.close(ctx, w, judged{analysis}))
	if verdict := analysis.Conclusion.Verdict; failed == nil && ctx.Err() == nil && !expected.Allows(verdict) {
		fmt.Fprintf(w.stderr, "warning: the scenario promises another verdict than %s\n", verdict)
	}
	fmt.Fprintln(w.stderr, lastLine(analysis, failed))
	switch {
	case failed != nil:
		return analysis, exit{exitBroken, told{failed}}
	case ctx.Err() != nil:
		return analysis, exit{code: exitInterrupted}
	}
	if code := verdictCode(analysis); code != exitPromote {
		return analysis, exit{code: code}
	}
	return analysis, nil
}

// lastLine is the run's, with the error that it ended in: a pipeline that looks for a verdict must not take it from a run
// that could not act on it.
func lastLine(a analyze.Analysis, failed error) string {
	if failed == nil {
		return report.Line(a)
	}
	said, _ := oneLine(failed)
	interrupted := a.End.Reason == "interrupted"
	a.End = analyze.End{Reason: "error", Error: said}
	if interrupted {
		a.End.Error += ", interrupted"
	}
	return strings.Replace(report.Line(a), "coalmine: ", "coalmine: failed after ", 1)
}
