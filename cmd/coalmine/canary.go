package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
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
shows, with the exact operations and what would undo them; --dry-run stops there.

Exit codes: 0, 2 where nothing was changed and repeating it cannot help, 1 where AWS
failed or something was changed and the rest failed, 12 where somebody else has changed
what the verb is about (since it was judged, promoted, or begun), 130 interrupted,
whatever was changed by then: the last line says what takes it back.`,
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
	t         target
	journal   string
	dry       bool
	announced []string               // lines
	warrant   *scenarios.Warrant     // of --verdict
	given     func(flag string) bool // beside it
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
		h.made(changes, err)
		if err != nil {
			return refused(halfDone(j, err), changes)
		}
		return j.Done(restored)
	}}
	c.Flags().BoolVar(&h.dry, "dry-run", false, "show what would be changed, and stop there")
	return c
}

// halfDone adds to the error of a verb what takes back the half of it that was done, if there is one: a story after which all
// is as before ends with its journal's closing.
func halfDone(j *stage.Journal, err error) error {
	if lost := j.Close(); lost != nil {
		return fmt.Errorf("%w; %w", err, lost)
	}
	if all := j.Stories(); len(all) > 0 && all[len(all)-1].Unfinished() {
		return fmt.Errorf("%w; coalmine canary recover %s restores what was before", err, j.Path())
	}
	return err
}

// made shows what became of changes: a line and what was not known before, where all is as announced; else all that was
// done.
func (h *byHand) made(changes []stage.Change, err error) {
	for _, change := range changes {
		switch {
		case err != nil && change.Sent():
			fmt.Fprintln(h.stdout, strings.Join(change.Parts(), "\n"))
		case err == nil:
			for _, line := range change.Done() {
				if !slices.Contains(h.announced, line) {
					fmt.Fprintln(h.stdout, line)
				}
			}
		}
	}
}

// refused is an error that is the caller's to mend: where nothing was changed, neither AWS nor this machine failed, and
// nobody else was there.
func refused(err error, changes []stage.Change) error {
	var request *stage.RequestError
	var file *fs.PathError
	var coded exit
	var touched stage.Touched
	failed := errors.As(err, &request) && !stage.IsNotFound(err) || errors.As(err, &file)
	switch {
	case errors.Is(err, context.Canceled): // interrupted, and no failure of anybody's, whatever was changed by then
		return err
	case errors.As(err, &touched), slices.ContainsFunc(changes, func(c stage.Change) bool { return c.Touched }): // also where only the credentials have ended
		return exit{exitBroken, err}
	case errors.As(err, &coded):
		return err
	case errors.Is(err, stage.ErrChanged): // as a gate says it
		return exit{exitVoid, err}
	case failed:
		return err
	}
	return usage(err)
}

// announce shows a change before its first request; a dry run ends here.
func (h *byHand) announce(change stage.Change) error {
	plan := change.Plan()
	if h.dry {
		fmt.Fprintln(h.stdout, strings.Join(plan, "\n"))
		return errDryRun
	}
	fmt.Fprintln(h.stderr, strings.Join(plan, "\n"))
	h.announced = append(h.announced, plan...)
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
		if ref, err = h.warrant.Measured.Ref, h.agrees(ctx, client); err == nil && !ref.Weighted() {
			_, err = client.FindAPI(ctx, ref.API) // its name
			err = scenarios.Misnamed(err)
		}
	} else {
		ref, err = h.t.ref(ctx, client)
	}
	if err != nil {
		return nil, ref, err
	}
	fmt.Fprintln(h.stderr, client.Where(ref))
	return client, ref, nil
}

// agrees refuses a target beside --verdict that is not the one that was judged.
func (h *byHand) agrees(ctx context.Context, client *stage.Client) error {
	judged := h.warrant.Measured.Ref
	other := func(flag, got, want string) error {
		if want == "" {
			want = "none"
		}
		return usagef("--%s %s: the verdict is about another: %s", flag, got, want)
	}
	if h.given("lambda-alias") {
		if weighted := judged.Function + ":" + judged.Alias; !judged.Weighted() || h.t.lambdaAlias != weighted {
			return other("lambda-alias", h.t.lambdaAlias, strings.TrimSuffix(weighted, ":"))
		}
	}
	if h.given("api") {
		api, err := client.FindAPI(ctx, h.t.api)
		if err != nil {
			return scenarios.Misnamed(err)
		}
		if api != judged.API {
			return other("api", h.t.api, judged.API)
		}
	}
	for _, same := range []struct{ flag, got, want string }{
		{"stage", h.t.stage, judged.Stage},
		{"path", h.t.path, judged.Path},
		{"method", h.t.method, judged.Method},
	} {
		if h.given(same.flag) && same.got != same.want {
			return other(same.flag, same.got, same.want)
		}
	}
	return nil
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
		for _, line := range arms(m) {
			fmt.Fprintln(h.stdout, line)
		}
		return nil
	}}
}

// arms says what is behind each side of the split.
func arms(m stage.Measured) []string {
	if m.Ref.Weighted() {
		return []string{fmt.Sprintf("alias %s of %s: %s", m.Ref.Alias, m.Ref.Function, m.Aliases[0])}
	}
	var lines []string
	for i, arm := range m.Arms {
		side := []string{"baseline", "canary"}[i]
		if arm.Alias == "" {
			lines = append(lines, fmt.Sprintf("%s: version %s of %s, by no alias", side, arm.Version, arm.Function))
			continue
		}
		behind := "version " + arm.Version
		for _, a := range m.Aliases {
			if a.Function == arm.Function && a.Name == arm.Alias {
				behind = a.String() // with its weights
			}
		}
		lines = append(lines, fmt.Sprintf("%s: alias %s of %s: %s", side, arm.Alias, arm.Function, behind))
	}
	if m.Arms == nil {
		lines = append(lines, "which versions are behind it: give --path, like --path /products")
	}
	return lines
}

func (h *byHand) create() *cobra.Command {
	var percent float64
	var overrides map[string]string
	c := h.verb("create", "Create a canary", func(ctx context.Context, c *stage.Client, j *stage.Journal, ref stage.Ref) ([]stage.Change, bool, error) {
		if !(percent > 0 && percent <= 100) {
			return nil, false, usagef("--percent: want more than 0 and at most 100, got %v", percent)
		}
		if err := h.lead(ctx, c, ref, overrides); err != nil {
			return nil, false, err
		}
		return one(c.CreateCanary(ctx, j, ref, percent, overrides))
	})
	c.Flags().Float64Var(&percent, "percent", 0, "of the traffic, more than 0 and at most 100")
	c.Flags().StringToStringVar(&overrides, "override", nil, "`VARIABLE=VALUE` of the stage for the canary, repeatable")
	c.Flags().Lookup("override").DefValue = ""
	return c
}

// lead refuses overrides that lead nowhere, before anything is changed; what could not be looked at is said.
func (h *byHand) lead(ctx context.Context, c *stage.Client, ref stage.Ref, overrides map[string]string) error {
	notes, err := c.CheckOverrides(ctx, ref, overrides)
	for _, note := range notes {
		fmt.Fprintln(h.stderr, "warning: "+note)
	}
	return err
}

func (h *byHand) percent() *cobra.Command {
	var percent float64
	c := h.verb("percent", "Change the canary's part of the traffic; 0 stops it at once", func(ctx context.Context, c *stage.Client, j *stage.Journal, ref stage.Ref) ([]stage.Change, bool, error) {
		if !(percent >= 0 && percent <= 100) {
			return nil, false, usagef("--percent: want 0 to 100, got %v", percent)
		}
		return one(c.SetPercent(ctx, j, ref, percent))
	})
	c.Flags().Float64Var(&percent, "percent", 0, "of the traffic, 0 to 100; must be given")
	act := c.RunE
	c.RunE = func(c *cobra.Command, args []string) error {
		if !c.Flags().Changed("percent") {
			return usagef("--percent: missing: want 0 to 100, the canary's part of the traffic; 0 stops it")
		}
		return act(c, args)
	}
	return c
}

func (h *byHand) deploy() *cobra.Command {
	return h.verb("deploy", "Give the canary a deployment of its own", func(ctx context.Context, c *stage.Client, j *stage.Journal, ref stage.Ref) ([]stage.Change, bool, error) {
		if !ref.Weighted() {
			state, err := c.Read(ctx, ref)
			if err == nil && state.Canary != nil {
				err = h.lead(ctx, c, ref, state.Canary.Overrides)
			}
			if err != nil {
				return nil, false, err
			}
		}
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
		var next stage.Change // what would be refused after the promote is refused before it
		if repoints {
			if next, err = c.ForeseeRepoint(ctx, ref, judged); err != nil {
				return nil, false, err
			}
		}
		changes, _, err := one(c.Promote(ctx, j, ref, judged, keep))
		switch {
		case errors.Is(err, errDryRun) && repoints:
			return nil, false, h.announce(next)
		case err != nil || !repoints:
			return changes, false, err
		}
		moved, err := c.Repoint(ctx, j, ref, judged)
		switch {
		case err != nil && moved.Touched:
			err = fmt.Errorf("promoted, and the repoint broke off: %w", err)
		case err != nil:
			err = fmt.Errorf("promoted, but not repointed: %w", err)
		}
		return append(changes, moved), false, err
	})
	act := c.RunE
	c.RunE = func(c *cobra.Command, args []string) error {
		h.given = c.Flags().Changed
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
	var anyway bool
	c := h.verb("rollback", "Undo the last promote in the journal", func(ctx context.Context, c *stage.Client, j *stage.Journal, ref stage.Ref) ([]stage.Change, bool, error) {
		to, found := j.BeforePromote()
		if !found {
			return nil, false, usagef("rollback: the journal %s knows of no promote", j.Path())
		}
		act := c.Rollback
		if anyway {
			act = c.RollbackAnyway
		}
		change, err := act(ctx, j, ref, to)
		if errors.Is(err, stage.ErrChanged) && !change.Touched && !anyway {
			err = fmt.Errorf("%w; --anyway puts what was before the promote back over it", err)
		}
		return []stage.Change{change}, true, err
	})
	c.Long = `Undo the last promote in the journal, and the repoint after it. It shows the difference
and the operations first; --dry-run stops there.

It refuses a stage that somebody else has changed since the promote: --anyway puts back
what was before the promote over whatever is found.`
	c.Flags().BoolVar(&anyway, "anyway", false, "put what was before the promote back over whatever is found")
	return c
}

// policy prints what has to be allowed.
func (h *byHand) policy() *cobra.Command {
	plans := map[string]preflight.Plan{
		"gate":    {},
		"promote": {Promote: true, Rollback: true, Repoint: true},
		"run":     {Create: true, Deploy: true, Promote: true, Rollback: true, Repoint: true},
	}
	var to string
	c := &cobra.Command{
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
			switch {
			case h.t.lambdaAlias != "" && to != "":
				return usagef("--url is about a custom domain of --api: an alias's policy does not depend on what leads to it")
			case h.t.lambdaAlias == "" && h.t.path == "" && to == "":
				return usagef("--path: want the path of the method under test, like /products, or --url: it leads to the functions")
			}
			client, ref, err := h.locate(c.Context())
			if err != nil {
				return err
			}
			if to != "" {
				if err := follow(c.Context(), client, to, &ref); err != nil {
					return err
				}
			}
			plan.URL = to
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
	c.Flags().StringVar(&to, "url", "", "`URL` that the gate is going to be given: reading its custom domain is allowed, too")
	return c
}

// follow takes the path under test from a URL, which must lead to the stage.
func follow(ctx context.Context, client *stage.Client, to string, ref *stage.Ref) error {
	r, err := client.Route(ctx, to)
	switch {
	case err != nil:
		return scenarios.Misnamed(err)
	case r.API != ref.API || r.Stage != ref.Stage:
		return usagef("--url: %s leads to API %q, stage %q, and not to API %s, stage %s", scenarios.Bare(to), r.API, r.Stage, ref.API, ref.Stage)
	case ref.Path == "":
		ref.Path = r.Path
	}
	return nil
}
