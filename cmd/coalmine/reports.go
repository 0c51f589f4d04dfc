package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"coalmine/report"
)

// reports are the formats that were asked for, and where they go: one to standard output, or each to a file.
type reports struct {
	formats []string // none: table
	dir     string   // of a file for each; standard output then has the table
	files   []string // in dir, in the order of formats
}

func (r *reports) flags(f *pflag.FlagSet) {
	f.StringSliceVar(&r.formats, "format", nil, "report: "+strings.Join(report.Formats(), ", ")+"; repeatable with --out-dir (default table)")
	f.StringVar(&r.dir, "out-dir", "", "`DIR` for a file of each --format; standard output then has the table")
}

// first is the format for what knows but one.
func (r *reports) first() string {
	if len(r.formats) == 0 {
		return "table"
	}
	return r.formats[0]
}

// check finds the formats, before anything else is done.
func (r *reports) check() error {
	for i, name := range r.formats {
		if _, _, err := report.Named(name); err != nil {
			return usagef("--format: %w", err)
		}
		if slices.Contains(r.formats[:i], name) {
			return usagef("--format: %s is asked for twice", name)
		}
	}
	if r.dir == "" && len(r.formats) > 1 {
		return usagef("--format: %s: standard output has room for one: want --out-dir DIR, too", strings.Join(r.formats, ", "))
	}
	return nil
}

// open makes the files, empty, before anything is sent: what cannot be written is known then, and a report of an earlier
// run is not taken for this one's.
func (r *reports) open() error {
	if r.dir == "" {
		return nil
	}
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return usagef("--out-dir: %w", err)
	}
	if len(r.formats) == 0 {
		r.formats = []string{"table"}
	}
	for _, name := range r.formats {
		_, file, _ := report.Named(name)
		path := filepath.Join(r.dir, file)
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			return usagef("--out-dir: %w", err)
		}
		r.files = append(r.files, path)
	}
	return nil
}

// show is open and write, of what is known already.
func (r *reports) show(w world, s standing) error {
	if err := r.open(); err != nil {
		return err
	}
	return r.write(w, s)
}

// write draws what goes to standard output, and each file.
func (r *reports) write(w world, s standing) error {
	shown := r.first()
	if r.dir != "" {
		shown = "table"
	}
	if err := s.draw(w.stdout, shown); err != nil {
		return err
	}
	for i, path := range r.files {
		var text bytes.Buffer
		if err := s.draw(&text, r.formats[i]); err != nil {
			return err
		}
		if err := os.WriteFile(path, text.Bytes(), 0o644); err != nil {
			return fmt.Errorf("report: %w", err)
		}
		fmt.Fprintf(w.stderr, "%s: %s\n", r.formats[i], path)
	}
	if summary := w.env("GITHUB_STEP_SUMMARY"); summary != "" && slices.Contains(r.formats, "markdown") {
		return appendTo(summary, s)
	}
	return nil
}

// appendTo adds the report to the summary of a job on GitHub.
func appendTo(summary string, s standing) error {
	file, err := os.OpenFile(summary, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("GITHUB_STEP_SUMMARY: %w", err)
	}
	return errors.Join(s.draw(file, "markdown"), file.Close())
}
