package main

import (
	"context"
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

func (w world) runCommand() *cobra.Command {
	var o output
	var rate, journal string
	c := &cobra.Command{
		Use:   "run [scenario]",
		Short: "Tell a whole story: before, canary, during, act, after",
		Long: `Run a scenario: a built-in one by name, or a file (a path with a slash, or ending
in .yaml). Without AWS_ENDPOINT_URL it runs on an embedded stack on loopback.

Built-in: ` + strings.Join(scenarios.Builtin(), ", ") + `

` + exitHelp(),
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := o.check(); err != nil {
				return err
			}
			name := "products"
			if len(args) > 0 {
				name = args[0]
			}
			scenario, err := scenarios.Open(name, true)
			if err != nil {
				return usage(err)
			}
			if rate != "" {
				got, err := attack.ParseRate(rate)
				if err != nil {
					return usagef("--rate: %w", err)
				}
				scenario.Load.Rate = attack.PerSecond(got)
			}
			return w.story(c.Context(), scenario, &o, journal)
		},
	}
	o.flags(c.Flags())
	c.Flags().StringVar(&rate, "rate", "", "requests per time, like 500/s (default: the scenario's)")
	c.Flags().StringVar(&journal, "journal", "", "directory of the journal (default $XDG_STATE_HOME/coalmine/journal)")
	return c
}

// story runs a scenario on the named control plane, or on an embedded one.
func (w world) story(ctx context.Context, s scenarios.Scenario, o *output, journal string) error {
	endpoint := w.env("AWS_ENDPOINT_URL")
	if endpoint == "" {
		url, stop, err := embedded(ctx, s.Emulator)
		if err != nil {
			return err
		}
		defer stop()
		endpoint = url
		if journal == "" { // the stage ends with this process, and so does what could be recovered of it
			if journal, err = os.MkdirTemp("", "coalmine-journal-"); err != nil {
				return err
			}
			defer os.RemoveAll(journal)
		}
	} else if s.Emulator != nil {
		fmt.Fprintln(w.stderr, "warning: the scenario's emulator settings are not applied: AWS_ENDPOINT_URL names another control plane")
	}
	client, err := stage.Connect(ctx, stage.Config{Endpoint: endpoint})
	if err != nil {
		return err
	}
	if err := mayAct(client); err != nil {
		return err
	}
	runID := unique()
	ready, err := s.Prepare(ctx, client, "coalmine/"+version, runID)
	if err != nil {
		return err
	}
	control := ready.Story.Control
	if control.Journal, err = client.OpenJournal(w.journalDir(journal), control.Ref); err != nil {
		return err
	}
	defer control.Journal.Close()
	return w.tell(ctx, ready, o, s.Expect)
}

// embedded is the demonstration system on an emulator in this process.
func embedded(ctx context.Context, faults *emulator.Faults) (url string, stop func(), err error) {
	if faults == nil {
		faults = &emulator.Faults{Seed: 1}
	}
	server, err := emulator.Start("127.0.0.1:0", *faults)
	if err != nil {
		return "", nil, err
	}
	stop = func() { server.Close() }
	client, err := stage.Connect(ctx, stage.Config{Endpoint: server.URL()})
	if err == nil {
		_, _, err = products.Up(ctx, client)
	}
	if err != nil {
		stop()
		return "", nil, err
	}
	return server.URL(), stop, nil
}

// tell runs a prepared story, shows it, and turns it into an exit code.
func (w world) tell(ctx context.Context, ready *scenarios.Prepared, o *output, expected scenarios.Expected) error {
	fmt.Fprintln(w.stderr, ready.Header.Target.Where)
	for _, note := range ready.Notes {
		fmt.Fprintln(w.stderr, note)
	}
	ready.Header.Started = time.Now()
	if err := o.open(w, ready.Header.Command, ready.Header.Started); err != nil {
		return err
	}
	recorder, err := scenarios.NewRecorder(ready.Header, analyze.NewWriter(o.file))
	if err != nil {
		return usage(err)
	}
	shown := newProgress(w, o.quiet)
	recorder.Watch = shown.watch
	ready.Story.Recorder = recorder
	ready.Story.Say = shown.say
	analysis, told := ready.Story.Tell(ctx)
	shown.end()
	lost := o.close(w, analysis)
	line := report.Line(analysis)
	if told != nil { // a pipeline that looks for a verdict must not take it from a run that could not act on it
		line = strings.Replace(line, "coalmine: ", "coalmine: failed after ", 1)
	}
	fmt.Fprintln(w.stderr, line)
	switch {
	case told != nil:
		return exit{exitBroken, told}
	case lost != nil:
		return exit{exitBroken, lost}
	case ctx.Err() != nil:
		return exit{code: exitInterrupted}
	}
	if verdict := analysis.Conclusion.Verdict; !expected.Allows(verdict) {
		fmt.Fprintf(w.stderr, "warning: the scenario promises another verdict than %s\n", verdict)
	}
	if code := verdictCode(analysis); code != exitPromote {
		return exit{code: code}
	}
	return nil
}
