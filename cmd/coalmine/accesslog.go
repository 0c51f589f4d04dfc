package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"

	"coalmine/analyze"
	"coalmine/scenarios/accesslog"
	"coalmine/scenarios/stage"
)

// accessLog says which log is asked for what a run file leaves open, and where the answer goes.
type accessLog struct {
	cloud
	group, out string
}

func (a *accessLog) flags(f *pflag.FlagSet) {
	a.cloud.flags(f)
	f.StringVar(&a.group, "access-log", "", "`GROUP` of CloudWatch Logs with the stage's access log: answers that named no version are looked up in it, and the run is judged anew; needs a run with --request-ids")
	f.StringVar(&a.out, "out", "", "with --access-log: new run file, with these answers attributed")
}

func (a *accessLog) check() error {
	if a.group == "" && a.out != "" {
		return usagef("--out: want --access-log, too: without it the run stays as it is")
	}
	return nil
}

// rejudge judges a run file anew with what the log says.
func (a *accessLog) rejudge(ctx context.Context, w world, file *os.File, policy func(analyze.Header) (analyze.Policy, error)) (analyze.Analysis, error) {
	sought, err := analyze.Seek(file)
	if err != nil {
		return analyze.Analysis{}, usage(err)
	}
	if !sought.Header.Plan.RequestIDs {
		return analyze.Analysis{}, usagef("recorded without request ids, so no access log knows its answers: run %s again with --request-ids", sought.Header.Command)
	}
	found, err := a.ask(ctx, w, sought)
	if err != nil {
		return analyze.Analysis{}, err
	}
	join := analyze.Join{Name: a.group, Log: found.Log}
	var analysis analyze.Analysis
	err = a.write(file, func(out io.Writer) error {
		join.Out = out
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return err
		}
		analysis, _, err = join.Rejudge(file, policy)
		return usage(err)
	})
	if err == nil {
		a.say(w, join, found)
	}
	return analysis, err
}

// ask reads the log, unless there is nothing to ask for.
func (a *accessLog) ask(ctx context.Context, w world, sought analyze.Sought) (accesslog.Found, error) {
	if len(sought.IDs) == 0 {
		return accesslog.Found{}, nil
	}
	client, err := w.connect(ctx, a.cloud)
	if err != nil {
		return accesslog.Found{}, err
	}
	q := accesslog.Query{Group: a.group, Sought: sought, Now: time.Now()}
	if target := sought.Header.Target; target.API != "" {
		if q.Format, err = accesslog.Format(ctx, client, stage.Ref{API: target.API, Stage: target.Stage}); err != nil {
			fmt.Fprintf(w.stderr, "warning: %v; its entries are read by the usual names of their fields\n", err)
		}
	}
	found, err := accesslog.Read(ctx, client, q)
	if errors.Is(err, accesslog.ErrNoGroup) || errors.Is(err, accesslog.ErrNoCanary) {
		err = usagef("--access-log: %w (%s)", err, client.Region())
	}
	return found, err
}

// write gives do the new run file, which takes its name once it is whole; nil where none is wanted.
func (a *accessLog) write(from *os.File, do func(io.Writer) error) error {
	if a.out == "" {
		return do(nil)
	}
	old, err := from.Stat()
	if err != nil {
		return err
	}
	if there, err := os.Stat(a.out); err == nil && os.SameFile(old, there) {
		return usagef("--out: %s is the run itself: want another name", a.out)
	}
	to, err := os.CreateTemp(filepath.Dir(a.out), ".coalmine-*")
	if err != nil {
		return usagef("--out: %w", err)
	}
	defer os.Remove(to.Name())
	if err := errors.Join(do(to), to.Close()); err != nil {
		return err
	}
	return os.Rename(to.Name(), a.out)
}

// say tells what was joined, and what could be done about the rest.
func (a *accessLog) say(w world, j analyze.Join, found accesslog.Found) {
	say := func(format string, args ...any) { fmt.Fprintf(w.stderr, format+"\n", args...) }
	count := analyze.Count
	if j.All() == 0 {
		say("access log %s was not asked: every answer named its version", a.group)
		return
	}
	say("access log %s: %s of %s hits without a version attributed, %s to the canary, %s to the baseline (%s entries read)",
		a.group, count(j.Moved()), count(j.All()), count(j.Canary), count(j.Baseline), count(uint64(found.Entries)))
	undecided := min(uint64(found.Undecided), j.Missing)
	if n := j.Missing - undecided; n > 0 && found.Cut {
		say("  %s were not found among the entries read, and there are more: the log is too large to be read whole", count(n))
	} else if n > 0 {
		say("  %s are not in the log: it comes minutes late, so ask again later", count(n))
	}
	if undecided > 0 {
		say("  %s are in the log, but nothing yet tells whether they were the canary's: log $context.isCanaryRequest, or ask again in a quarter of an hour", count(undecided))
	}
	if j.Other > 0 {
		say("  %s have another status in the log than came here, and stay as they are", count(j.Other))
	}
	if j.Beyond > 0 {
		say("  %s were without an id: a window keeps 1,000", count(j.Beyond))
	}
	if a.out != "" {
		say("run file: %s (show it again: coalmine report %s)", a.out, a.out)
	}
}
