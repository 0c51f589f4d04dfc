package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"coalmine/scenarios/stage"
)

// recovery is canary recover, as the command line asks for it.
type recovery struct {
	*byHand
	anyway, dismiss bool
	path            string // of a journal, or of the directory of them all
}

func (h *byHand) recover() *cobra.Command {
	r := &recovery{byHand: h}
	c := &cobra.Command{
		Use:   "recover [JOURNAL]",
		Short: "Restore the stages that an interrupted run left unfinished",
		Long: `Restore what an interrupted run left unfinished, as the journal has it: the stages,
and the aliases that the run moved. It shows the difference and the operations first;
--dry-run stops there. Without JOURNAL it does so for every journal of this control
plane, or that of one stage (--api, --stage) or alias (--lambda-alias).

It refuses a stage that somebody else has changed since: --anyway puts the journal's
state back over whatever is found, --dismiss closes the journal, changes nothing, and
says what is left behind.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if r.anyway && r.dismiss {
				return usagef("--anyway and --dismiss: want one of them: the first restores, the second leaves all as it is")
			}
			named := c.Flags().Changed("api") || c.Flags().Changed("lambda-alias")
			switch {
			case named && len(args) > 0:
				return usagef("recover: want a JOURNAL or a stage, not both: a journal names its stage")
			case named:
				if err := h.t.named(); err != nil {
					return err
				}
			case c.Flags().Changed("stage"):
				return usagef("--stage: want --api, too, or neither: recover goes by the journals")
			}
			r.path = h.journalDir(h.journal)
			_, err := os.Stat(r.path)
			if len(args) > 0 {
				r.path = args[0]
				_, err = os.Stat(r.path)
			} else if errors.Is(err, fs.ErrNotExist) {
				fmt.Fprintln(h.stdout, "no journal: nothing is unfinished")
				return nil
			}
			if err != nil {
				return usagef("recover: %w", err)
			}
			return r.run(c.Context())
		},
	}
	f := c.Flags()
	f.BoolVar(&h.dry, "dry-run", false, "show what would be changed, and stop there")
	f.BoolVar(&r.anyway, "anyway", false, "put the journal's state back over whatever is found")
	f.BoolVar(&r.dismiss, "dismiss", false, "close the journal, change nothing, and say what is left behind")
	return c
}

func (r *recovery) run(ctx context.Context) error {
	client, err := r.connect(ctx, r.t.cloud)
	if err != nil {
		return err
	}
	fmt.Fprintln(r.stderr, client.Where(stage.Ref{}))
	paths, unread := r.journals(ctx, client)
	if len(paths) == 0 && unread == nil {
		fmt.Fprintln(r.stdout, r.path+": nothing is unfinished")
	}
	if r.dismiss {
		return errors.Join(r.dismissAll(ctx, client, paths), unread)
	}
	return errors.Join(r.restoreAll(ctx, client, paths), unread)
}

// journals are those that were named, or all of this control plane, as far as their last story has no end. One that cannot
// be read keeps no other from being found.
func (r *recovery) journals(ctx context.Context, client *stage.Client) ([]string, error) {
	info, err := os.Stat(r.path)
	if err != nil {
		return nil, usagef("recover: %w", err)
	}
	all := []string{r.path}
	if info.IsDir() {
		if all, err = filepath.Glob(filepath.Join(r.path, "*.ndjson")); err != nil {
			return nil, fmt.Errorf("recover: %w", err)
		}
	}
	var only stage.Ref
	if r.t.api != "" || r.t.lambdaAlias != "" {
		if only, err = r.t.ref(ctx, client); err != nil {
			return nil, err
		}
		only.Method, only.Path = "", ""
	}
	var paths []string
	var unread error
	for _, path := range all {
		story, err := unfinished(path)
		if err != nil {
			unread = errors.Join(unread, usage(err))
			continue
		}
		if story == nil || info.IsDir() && !about(*story, client) {
			continue
		}
		ref := story.Ref
		ref.Method, ref.Path = "", ""
		if only == (stage.Ref{}) || only == ref {
			paths = append(paths, path)
		}
	}
	return paths, unread
}

func (r *recovery) restoreAll(ctx context.Context, client *stage.Client, paths []string) error {
	last := ""
	client.Announce = func(change stage.Change) error {
		if where := client.Where(change.Ref); where != last {
			last = where
			fmt.Fprintln(r.stderr, where)
		}
		return r.announce(change)
	}
	act := client.Recover
	if r.anyway {
		act = client.RecoverAnyway
	}
	var changes []stage.Change
	var errs []error
	for _, path := range paths {
		more, err := act(ctx, path)
		if errors.Is(err, errDryRun) {
			continue
		}
		r.made(more, err)
		changes, errs = append(changes, more...), append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return refused(err, changes)
	}
	return nil
}

func (r *recovery) dismissAll(ctx context.Context, client *stage.Client, paths []string) error {
	for _, path := range paths {
		story, err := unfinished(path)
		if err != nil {
			return usage(err)
		}
		if story == nil {
			continue
		}
		if err := r.dismissOne(ctx, client, path, *story); err != nil {
			return err
		}
	}
	return nil
}

// unfinished is the journal's last story if it has no end, else nil.
func unfinished(path string) (*stage.Story, error) {
	stories, err := stage.Stories(path)
	if err != nil || len(stories) == 0 || !stories[len(stories)-1].Unfinished() {
		return nil, err
	}
	return &stories[len(stories)-1], nil
}

// about reports whether the story was told on this control plane.
func about(story stage.Story, client *stage.Client) bool {
	return story.Account == client.Account() && story.Region == client.Region() && story.Endpoint == client.Endpoint()
}

func (r *recovery) dismissOne(ctx context.Context, client *stage.Client, path string, story stage.Story) error {
	said := "dismissed, nothing was changed"
	if r.dry {
		said = "would be dismissed"
	} else if _, err := stage.Dismiss(path); err != nil {
		return usage(err)
	}
	fmt.Fprintf(r.stdout, "%s: %s: the run of %s on %s\n", path, said, story.At.Format(time.RFC3339), story.Ref)
	left := []string{"not looked at: it is of account " + strings.Join([]string{story.Account, story.Region, story.Endpoint}, ", ")}
	if about(story, client) {
		left = leftBehind(ctx, client, story)
	}
	for _, line := range left {
		fmt.Fprintln(r.stdout, "  "+line)
	}
	return nil
}

// leftBehind says how the stage, and what the story moved, differ from how they were before it.
func leftBehind(ctx context.Context, client *stage.Client, story stage.Story) []string {
	var left []string
	if !story.Ref.Weighted() {
		now, err := client.Read(ctx, story.Ref)
		now.LastUpdated, story.Before.LastUpdated = time.Time{}, time.Time{}
		if err != nil {
			left = append(left, "not known: "+err.Error())
		} else {
			left = now.Differs(story.Before)
		}
	}
	seen := map[string]bool{}
	for _, step := range story.Steps {
		if step.Move == nil || seen[step.Move.Was.Function+":"+step.Move.Was.Name] {
			continue
		}
		was := step.Move.Was
		seen[was.Function+":"+was.Name] = true
		now, err := client.ReadAlias(ctx, was.Function, was.Name)
		was.Revision = ""
		if err != nil {
			left = append(left, "not known: "+err.Error())
		} else {
			left = append(left, now.Differs(was)...)
		}
	}
	if len(left) == 0 {
		return []string{"left behind: nothing, all is as it was before it"}
	}
	for i := range left {
		left[i] = "left behind: " + left[i]
	}
	return left
}
