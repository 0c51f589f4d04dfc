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

	"github.com/spf13/cobra"

	"coalmine/scenarios"
	"coalmine/scenarios/stage"
)

// canaryCommand is the control plane by hand, with the same safety.
func (w world) canaryCommand() *cobra.Command {
	var (
		t         target
		journal   string
		percent   float64
		overrides map[string]string
	)
	c := &cobra.Command{
		Use:   "canary",
		Short: "Show or change a stage's canary by hand",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	f := c.PersistentFlags()
	f.StringVar(&t.api, "api", "", "API Gateway REST API, id or name")
	f.StringVar(&t.stage, "stage", "prod", "stage of the API")
	f.StringVar(&t.region, "region", "", "AWS region")
	f.StringVar(&t.profile, "profile", "", "AWS profile")
	f.StringVar(&journal, "journal", "", "directory of the journal (default $XDG_STATE_HOME/coalmine/journal)")

	// verb wires a change: connect, refuse what may not be changed, take the journal, act, show.
	verb := func(use, short string, act func(context.Context, *stage.Client, *stage.Journal, stage.Ref) (stage.Change, bool, error)) *cobra.Command {
		return &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
			ctx := c.Context()
			client, ref, err := w.canaryTarget(ctx, &t)
			if err != nil {
				return err
			}
			if err := mayAct(client); err != nil {
				return err
			}
			j, err := client.OpenJournal(w.journalDir(journal), ref)
			if err != nil {
				return err
			}
			defer j.Close()
			client.Announce = func(change stage.Change) error {
				fmt.Fprintln(w.stderr, strings.Join(change.Plan(), "\n"))
				return nil
			}
			change, restored, err := act(ctx, client, j, ref)
			if stage.IsNotFound(err) {
				return usage(err)
			}
			if err != nil {
				return err
			}
			fmt.Fprintln(w.stdout, change)
			return j.Done(restored)
		}}
	}
	create := verb("create", "Create a canary", func(ctx context.Context, c *stage.Client, j *stage.Journal, ref stage.Ref) (stage.Change, bool, error) {
		if !(percent > 0 && percent <= 100) {
			return stage.Change{}, false, usagef("--percent: want more than 0 and at most 100, got %v", percent)
		}
		change, err := c.CreateCanary(ctx, j, ref, percent, overrides)
		return change, false, err
	})
	create.Flags().Float64Var(&percent, "percent", 0, "of the traffic, more than 0 and at most 100")
	create.Flags().StringToStringVar(&overrides, "override", nil, "`VARIABLE=VALUE` of the stage for the canary, repeatable")
	create.Flags().Lookup("override").DefValue = ""
	c.AddCommand(
		&cobra.Command{Use: "show", Short: "Show the stage and its canary", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
			client, ref, err := w.canaryTarget(c.Context(), &t)
			if err != nil {
				return err
			}
			state, err := client.Read(c.Context(), ref)
			if err != nil {
				return scenarios.Misnamed(err)
			}
			fmt.Fprintf(w.stdout, "%s\ndeployment %s\n", client.Where(ref.API, ref.Stage), state.DeploymentID)
			for _, name := range slices.Sorted(maps.Keys(state.Variables)) {
				fmt.Fprintf(w.stdout, "variable %s=%s\n", name, state.Variables[name])
			}
			fmt.Fprintf(w.stdout, "canary %s\n", state.Canary)
			return nil
		}},
		create,
		verb("deploy", "Give the canary a deployment of its own", func(ctx context.Context, c *stage.Client, j *stage.Journal, ref stage.Ref) (stage.Change, bool, error) {
			change, err := c.DeployCanary(ctx, j, ref, "coalmine canary")
			return change, false, err
		}),
		verb("promote", "Make the canary the stage", func(ctx context.Context, c *stage.Client, j *stage.Journal, ref stage.Ref) (stage.Change, bool, error) {
			live, err := c.Measure(ctx, ref)
			if err != nil {
				return stage.Change{}, false, err
			}
			change, err := c.Promote(ctx, j, ref, live, false)
			return change, false, err
		}),
		verb("abort", "Remove a canary that is not promoted", func(ctx context.Context, c *stage.Client, j *stage.Journal, ref stage.Ref) (stage.Change, bool, error) {
			change, err := c.Abort(ctx, j, ref, nil)
			return change, true, err
		}),
		verb("rollback", "Undo the last promote in the journal", func(ctx context.Context, c *stage.Client, j *stage.Journal, ref stage.Ref) (stage.Change, bool, error) {
			to, found := j.BeforePromote()
			if !found {
				return stage.Change{}, false, usagef("rollback: the journal %s knows of no promote", j.Path())
			}
			change, err := c.Rollback(ctx, j, ref, to)
			return change, true, err
		}),
		w.recoverCommand(&journal, &t),
	)
	return c
}

func (w world) recoverCommand(journal *string, t *target) *cobra.Command {
	return &cobra.Command{
		Use:   "recover [JOURNAL]",
		Short: "Restore the stages that an interrupted run left unfinished",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			path := w.journalDir(*journal)
			if len(args) > 0 {
				path = args[0]
			} else if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
				fmt.Fprintln(w.stdout, "no journal: nothing is unfinished")
				return nil
			}
			client, err := w.connect(c.Context(), t.region, t.profile)
			if err != nil {
				return err
			}
			if err := mayAct(client); err != nil {
				return err
			}
			changes, err := client.Recover(c.Context(), path)
			for _, change := range changes {
				fmt.Fprintln(w.stdout, change)
			}
			if err == nil && len(changes) == 0 {
				fmt.Fprintln(w.stdout, path+": nothing is unfinished")
			}
			return err
		},
	}
}

func (w world) canaryTarget(ctx context.Context, t *target) (*stage.Client, stage.Ref, error) {
	if t.api == "" {
		return nil, stage.Ref{}, usagef("missing target: want --api ID or name")
	}
	client, err := w.connect(ctx, t.region, t.profile)
	if err != nil {
		return nil, stage.Ref{}, err
	}
	ref, err := t.ref(ctx, client)
	return client, ref, err
}
