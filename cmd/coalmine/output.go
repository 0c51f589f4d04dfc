package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"coalmine/analyze"
)

// output says where a run's reports and run file go.
type output struct {
	reports
	live    live
	metrics metrics
	out     string
	quiet   bool
	still   bool                         // no progress, but what is done
	issue   func(analyze.Analysis) error // writes what else says the verdict of a story that could be told; nil: nothing
	file    io.WriteCloser
	path    string
	also    func() error // done first when it is closed; may be nil
}

func (o *output) flags(f *pflag.FlagSet) {
	o.reports.flags(f)
	o.live.flags(f)
	o.metrics.flags(f)
	f.StringVar(&o.out, "out", "", `run file, NDJSON (default a new file under $XDG_STATE_HOME/coalmine/runs; "none" for none)`)
	f.BoolVarP(&o.quiet, "quiet", "q", false, "no progress: where it runs, what was learned, warnings, the files written and the last line stay on standard error")
	f.BoolVar(&o.still, "no-progress", false, "no live view and no progress lines; what is changed is still said")
}

// check finds what is wrong with what was asked for, before anything else is done.
func (o *output) check() error {
	return errors.Join(o.reports.check(), o.live.check(), o.metrics.check())
}

// beside is a Recorder's Watch that the live page and the metrics see, too.
func (o *output) beside(watch func(analyze.Analysis)) func(analyze.Analysis) {
	return func(a analyze.Analysis) {
		o.watch(judged{a})
		watch(a)
	}
}

// watch never waits.
func (o *output) watch(s standing) {
	o.live.watch(s)
	o.metrics.watch(s)
}

// open makes the run file, before anything is sent.
func (o *output) open(w world, command string, now time.Time) error {
	if err := o.reports.open(); err != nil {
		return err
	}
	if err := o.openFile(w, command, now); err != nil {
		return err
	}
	if err := o.metrics.open(w); err != nil {
		return err
	}
	return o.live.open(w)
}

func (o *output) openFile(w world, command string, now time.Time) error {
	switch o.out {
	case "none":
		o.file = discard{}
		return nil
	case "":
		dir := filepath.Join(w.stateDir(), "runs")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return usagef("run file: %w: want --out FILE, or none", err)
		}
		o.path = filepath.Join(dir, fmt.Sprintf("%s-%s-%s.ndjson", now.UTC().Format("20060102T150405Z"), command, unique()))
	default:
		o.path = o.out
	}
	file, err := openTo(o.path, os.O_TRUNC)
	if err != nil {
		return usagef("run file: %w: want --out FILE, or none", err)
	}
	run := &drain{file: file, pause: usualPause}
	run.urge() // it is written on the way
	o.file = run
	return nil
}

// openTo opens a file to write to. A pipe without a reader would be waited for, and an interrupt not heard meanwhile.
func openTo(name string, also int) (*os.File, error) {
	if info, err := os.Stat(name); err == nil && info.Mode()&os.ModeNamedPipe != 0 {
		also |= syscall.O_NONBLOCK
	}
	file, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|also, 0o600)
	if errors.Is(err, syscall.ENXIO) {
		err = fmt.Errorf("open %s: a pipe that nobody reads yet", name)
	}
	return file, err
}

// close writes the reports, and says where they and the evidence are.
func (o *output) close(ctx context.Context, w world, s standing) error {
	var lost error
	if o.also != nil {
		lost = o.also()
	}
	o.live.close(s)
	err := errors.Join(o.write(w, s), o.file.Close(), lost)
	if o.path != "" {
		fmt.Fprintf(w.stderr, "run file: %s (show it again: coalmine report %s)\n", o.path, o.path)
	}
	o.metrics.close(ctx, s)
	return err
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) Close() error                { return nil }

// unique tells runs of the same second apart.
func unique() string {
	var b [4]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// stateDir is where run files and journals are kept.
func (w world) stateDir() string {
	if dir := w.env("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "coalmine")
	}
	if home := w.env("HOME"); home != "" {
		return filepath.Join(home, ".local", "state", "coalmine")
	}
	return filepath.Join(os.TempDir(), "coalmine")
}

func (w world) journalDir(flag string) string {
	if flag != "" {
		return flag
	}
	return filepath.Join(w.stateDir(), "journal")
}
