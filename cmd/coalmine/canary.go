package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"coalmine/scenarios"
	"coalmine/scenarios/preflight"
	"coalmine/scenarios/stage"
)

// canaryCommand is the control plane by hand, with the same safety.
func (w world) canaryCommand() *cobra.Command {
	h := &byHand{world: w}
	c := &cobra.Command{
		Use:   "canary",
		Short: "Show or change a stage's canary by hand",
		Long: `Show or change the canary of an API Gateway stage (--api, --stage), or of a Lambda
alias with weights (--lambda-alias FUNCTION:ALIAS). What a verb changes it first
shows, with the exact operations and what would undo them; --dry-run stops there.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	f := c.PersistentFlags()
	h.t.cloud.flags(f)
	f.StringVar(&h.t.api, "api", "", "API Gateway REST API, id or name")
	f.StringVar(&h.t.stage, "stage", "prod", "stage of the API")
	f.StringVar(&h.t.path, "path", "", "path of the method under test: with it, the aliases behind both versions are looked at, too")
	f.StringVar(&h.t.method, "method", "GET", "method under test")
	f.StringVar(&h.t.lambdaAlias, "lambda-alias", "", "`FUNCTION:ALIAS` whose weights split the traffic, instead of --api")
	f.StringVar(&h.journal, "journal", "", "directory of the journal (default $XDG_STATE_HOME/coalmine/journal)")
	c.AddCommand(h.show(), h.create(), h.percent(), h.deploy(), h.promote(), h.repoint(), h.abort(), h.rollback(), h.recover(), h.policy())
	return c
}

// byHand is what the verbs share.
type byHand struct {
	world
	t       target
	journal string
	dry     bool
	warrant *scenarios.Warrant // of --verdict
}

// A deed is what one verb does: its changes, and whether the stage is then as it was before the story.
type deed func(context.Context, *stage.Client, *stage.Journal, stage.Ref) (changes []stage.Change, restored bool, err error)

var errDryRun = errors.New("dry run")

// verb wires a change: connect, take the journal, announce, act, show.
func (h *byHand) verb(use, short string, do deed) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		ctx := c.Context()
		client, ref, err := h.locate(ctx)
		if err != nil {
			return err
		}
		j, err := client.OpenJournal(h.journalDir(h.journal), ref)
		if err != nil {
			return err
		}
		defer j.Close()
		client.Announce = h.announce
		changes, restored, err := do(ctx, client, j, ref)
		if errors.Is(err, errDryRun) {
			return nil
		}
		for _, change := range changes {
			if err == nil || sent(change) {
				fmt.Fprintln(h.stdout, change)
			}
		}
		if err != nil {
			return refused(err, changes)
		}
		return j.Done(restored)
	}}
	c.Flags().BoolVar(&h.dry, "dry-run", false, "show what would be changed, and stop there")
	return c
}

func sent(change stage.Change) bool { return len(change.Operations) > 0 || len(change.Moves) > 0 }

func touched(change stage.Change) bool { return change.Touched }

// refused is an error that is the caller's to mend: where nothing was changed, and neither AWS nor this machine failed.
func refused(err error, changes []stage.Change) error {
	var request *stage.RequestError
	var file *fs.PathError
	failed := errors.As(err, &request) && !stage.IsNotFound(err) || errors.As(err, &file)
	switch {
	case slices.ContainsFunc(changes, touched): // also where only the credentials have ended
		return exit{exitBroken, err}
	case failed && !errors.Is(err, stage.ErrChanged):
		return err
	}
	return usage(err)
}

// announce shows a change before its first request; a dry run ends here.
func (h *byHand) announce(change stage.Change) error {
	plan := strings.Join(change.Plan(), "\n")
	if h.dry {
		fmt.Fprintln(h.stdout, plan)
		return errDryRun
	}
	fmt.Fprintln(h.stderr, plan)
	return nil
}

// locate connects and finds what is to be changed, and says where that is.
func (h *byHand) locate(ctx context.Context) (*stage.Client, stage.Ref, error) {
	if err := h.t.named(); err != nil && h.warrant == nil {
		return nil, stage.Ref{}, err
	}
	client, err := h.connect(ctx, h.t.cloud)
	if err != nil {
		return nil, stage.Ref{}, err
	}
	var ref stage.Ref
	if h.warrant != nil {
		ref = h.warrant.Measured.Ref
	} else if ref, err = h.t.ref(ctx, client); err != nil {
		return nil, ref, err
	}
	fmt.Fprintln(h.stderr, client.Where(ref))
	return client, ref, nil
}

// one is the changes of a verb that makes one.
func one(change stage.Change, err error) ([]stage.Change, bool, error) {
	return []stage.Change{change}, false, err
}

func (h *byHand) show() *cobra.Command {
	return &cobra.Command{Use: "show", Short: "Show the stage and its canary, or the alias and its weights", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		client, ref, err := h.locate(c.Context())
		if err != nil {
			return err
		}
		m, err := client.Measure(c.Context(), ref)
		if err != nil {
			return scenarios.Misnamed(err)
		}
		if s := m.Stage; s != nil {
			fmt.Fprintln(h.stdout, "deployment "+s.DeploymentID)
			for _, name := range slices.Sorted(maps.Keys(s.Variables)) {
				fmt.Fprintf(h.stdout, "variable %s=%s\n", name, s.Variables[name])
			}
			fmt.Fprintf(h.stdout, "canary %s\n", s.Canary)
		}
		for _, a := range m.Aliases {
			fmt.Fprintln(h.stdout, a)
		}
		return nil
	}}
}

func (h *byHand) create() *cobra.Command {
	var percent float64
	var overrides map[string]string
	c := h.verb("create", "Create a canary", func(ctx context.Context, c *stage.Client, j *stage.Journal, ref stage.Ref) ([]stage.Change, bool, error) {
		if !(percent > 0 && percent <= 100) {
			return nil, false, usagef("--percent: want more than 0 and at most 100, got %v", percent)
		}
		return one(c.CreateCanary(ctx, j, ref, percent, overrides))
	})
	c.Flags().Float64Var(&percent, "percent", 0, "of the traffic, more than 0 and at most 100")
	c.Flags().StringToStringVar(&overrides, "override", nil, "`VARIABLE=VALUE` of the stage for the canary, repeatable")
	c.Flags().Lookup("override").DefValue = ""
	return c
}

func (h *byHand) percent() *cobra.Command {
	var percent float64
	c := h.verb("percent", "Change the canary's part of the traffic; 0 stops it at once", func(ctx context.Context, c *stage.Client, j *stage.Journal, ref stage.Ref) ([]stage.Change, bool, error) {
		if !(percent >= 0 && percent <= 100) {
			return nil, false, usagef("--percent: want 0 to 100, got %v", percent)
		}
		return one(c.SetPercent(ctx, j, ref, percent))
	})
	c.Flags().Float64Var(&percent, "percent", 0, "of the traffic, 0 to 100")
	c.MarkFlagRequired("percent")
	return c
}

func (h *byHand) deploy() *cobra.Command {
	return h.verb("deploy", "Give the canary a deployment of its own", func(ctx context.Context, c *stage.Client, j *stage.Journal, ref stage.Ref) ([]stage.Change, bool, error) {
		return one(c.DeployCanary(ctx, j, ref, "coalmine canary"))
	})
}

func (h *byHand) promote() *cobra.Command {
	var keep bool
	var then scenarios.Then
	var verdict string
	c := h.verb("promote", "Make the canary the stage", func(ctx context.Context, c *stage.Client, j *stage.Journal, ref stage.Ref) ([]stage.Change, bool, error) {
		if err := then.Said(c, ref); err != nil {
			return nil, false, err
		}
		judged, err := h.judged(ctx, c, ref)
		if err != nil {
			return nil, false, err
		}
		repoints := then == scenarios.Repoint
		if repoints && len(judged.Arms) != 2 {
			return nil, false, usagef("--path: missing: --then repoint has to know which alias is the stage's own")
		}
		changes, _, err := one(c.Promote(ctx, j, ref, judged, keep))
		if err != nil || !repoints {
			return changes, false, err
		}
		moved, err := c.Repoint(ctx, j, ref, judged)
		return append(changes, moved), false, err
	})
	act := c.RunE
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := h.take(verdict); err != nil {
			return err
		}
		return act(c, args)
	}
	f := c.Flags()
	f.StringVar(&verdict, "verdict", "", "`FILE` that gate --verdict-out wrote: promotes only what was judged, while the verdict holds")
	f.BoolVar(&keep, "keep-canary", false, "leave the canary settings at 0 %; AWS then refuses plain deployments to the stage")
	f.Var(thenFlag{&then}, "then", "leave or repoint the stage's own alias after it; must be said on AWS")
	return c
}

// take reads the verdict that a promote is to act on.
func (h *byHand) take(path string) error {
	if path == "" {
		return nil
	}
	if h.t.api != "" || h.t.lambdaAlias != "" {
		return usagef("--verdict names what was judged: want no --api or --lambda-alias with it")
	}
	warrant, err := scenarios.ReadWarrant(path)
	if err == nil {
		err = warrant.Usable(time.Now())
	}
	h.warrant = &warrant
	return usage(err)
}

// judged is what a promote is bound to: what a verdict names, or else the stage as it is.
func (h *byHand) judged(ctx context.Context, c *stage.Client, ref stage.Ref) (stage.Measured, error) {
	if h.warrant != nil {
		return h.warrant.Measured, nil
	}
	return c.Measure(ctx, ref)
}

// thenFlag is --then.
type thenFlag struct{ *scenarios.Then }

func (t thenFlag) String() string     { return "" } // the default, which help need not show
func (t thenFlag) Type() string       { return "leave|repoint" }
func (t thenFlag) Set(s string) error { return t.UnmarshalText([]byte(s)) }

func (h *byHand) repoint() *cobra.Command {
	return h.verb("repoint", "After a promote: move the stage's own alias to the promoted version, and the stage back to it", func(ctx context.Context, c *stage.Client, j *stage.Journal, ref stage.Ref) ([]stage.Change, bool, error) {
		judged, found := j.Promoted()
		if !found {
			return nil, false, usagef("repoint: the journal %s knows of no promote of this stage", j.Path())
		}
		return one(c.Repoint(ctx, j, judged.Ref, judged))
	})
}

func (h *byHand) abort() *cobra.Command {
	return h.verb("abort", "Remove a canary that is not promoted", func(ctx context.Context, c *stage.Client, j *stage.Journal, ref stage.Ref) ([]stage.Change, bool, error) {
		change, err := c.Abort(ctx, j, ref, nil)
		return []stage.Change{change}, true, err
	})
}

func (h *byHand) rollback() *cobra.Command {
	return h.verb("rollback", "Undo the last promote in the journal", func(ctx context.Context, c *stage.Client, j *stage.Journal, ref stage.Ref) ([]stage.Change, bool, error) {
		to, found := j.BeforePromote()
		if !found {
			return nil, false, usagef("rollback: the journal %s knows of no promote", j.Path())
		}
		change, err := c.Rollback(ctx, j, ref, to)
		return []stage.Change{change}, true, err
	})
}

func (h *byHand) recover() *cobra.Command {
	return &cobra.Command{
		Use:   "recover [JOURNAL]",
		Short: "Restore the stages that an interrupted run left unfinished",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			path := h.journalDir(h.journal)
			if len(args) > 0 {
				path = args[0]
			} else if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
				fmt.Fprintln(h.stdout, "no journal: nothing is unfinished")
				return nil
			}
			client, err := h.connect(c.Context(), h.t.cloud)
			if err != nil {
				return err
			}
			changes, err := client.Recover(c.Context(), path)
			for _, change := range changes {
				fmt.Fprintln(h.stdout, change)
			}
			if err == nil && len(changes) == 0 {
				fmt.Fprintln(h.stdout, path+": nothing is unfinished")
			}
			return err
		},
	}
}

// policy prints what has to be allowed.
func (h *byHand) policy() *cobra.Command {
	plans := map[string]preflight.Plan{
		"gate":    {},
		"promote": {Promote: true, Rollback: true, Repoint: true},
		"run":     {Create: true, Deploy: true, Promote: true, Rollback: true, Repoint: true},
	}
	return &cobra.Command{
		Use:   "policy [gate|promote|run]",
		Short: "Print the least IAM policy for judging (gate), for acting on a verdict, or for a whole run",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			what := "gate"
			if len(args) > 0 {
				what = args[0]
			}
			plan, known := plans[what]
			if !known {
				return usagef("policy: want gate, promote or run, got %q", what)
			}
			if h.t.lambdaAlias == "" && h.t.path == "" {
				return usagef("--path: want the path of the method under test, like /products: it leads to the functions")
			}
			client, ref, err := h.locate(c.Context())
			if err != nil {
				return err
			}
			t, err := client.Resolve(c.Context(), ref)
			if err != nil {
				return scenarios.Misnamed(err)
			}
			document, err := preflight.Policy(client, ref, t, plan)
			if err != nil {
				return err
			}
			_, err = h.stdout.Write(document)
			return err
		},
	}
}
