package main

import (
	"errors"
	"os"
	"path/filepath"

	"coalmine/analyze"
	"coalmine/report"
)

// replay reads one of several run files.
func replay(path string) (analyze.Analysis, error) {
	file, err := os.Open(path)
	if err != nil {
		return analyze.Analysis{}, err
	}
	defer file.Close()
	a, _, err := analyze.Replay(file)
	if err == nil && a.Header.Command == "capacity" {
		err = errors.New("a search for a capacity, which has no verdict: want coalmine report FILE, or two of them")
	}
	return a, err
}

// compare sets two runs side by side, or two searches for a capacity.
func (w world) compare(a, b, format string) error {
	if ok, err := w.contest(a, b, format); ok {
		return err
	}
	show, err := report.NamedComparison(format)
	if err != nil {
		return usagef("--format: %w", err)
	}
	var both [2]analyze.Analysis
	for i, path := range []string{a, b} {
		if both[i], err = replay(path); err != nil {
			return usagef("%s: %w", path, err)
		}
	}
	c := analyze.Compare(both[0], both[1])
	c.A.File, c.B.File = filepath.Base(a), filepath.Base(b)
	return show(w.stdout, c)
}

// contest sets two searches side by side; ok is false where the files are of other commands.
func (w world) contest(a, b, format string) (ok bool, err error) {
	var both [2]analyze.Rated
	var no [2]error
	for i, path := range []string{a, b} {
		both[i], no[i] = readRated(path)
	}
	none := func(err error) bool { return errors.Is(err, analyze.ErrNotRated) }
	switch {
	case none(no[0]) && none(no[1]):
		return false, nil
	case no[0] == nil && none(no[1]):
		return true, usagef("%s: holds no search for a capacity, as %s does: want two of a kind", b, a)
	case none(no[0]) && no[1] == nil:
		return true, usagef("%s: holds no search for a capacity, as %s does: want two of a kind", a, b)
	}
	for i, path := range []string{a, b} {
		if no[i] != nil && !none(no[i]) {
			return true, usagef("%s: %w", path, no[i])
		}
	}
	show, err := report.NamedContest(format)
	if err != nil {
		return true, usagef("--format: %w", err)
	}
	c := analyze.CompareRated(both[0], both[1])
	c.A.File, c.B.File = filepath.Base(a), filepath.Base(b)
	return true, show(w.stdout, c)
}

func readRated(path string) (analyze.Rated, error) {
	file, err := os.Open(path)
	if err != nil {
		return analyze.Rated{}, err
	}
	defer file.Close()
	return analyze.ReadRated(file)
}

// history shows the runs of a directory. What is no run file is named, and the rest is shown.
func (w world) history(dir, format string) error {
	show, err := report.NamedHistory(format)
	if err != nil {
		return usagef("--format: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return usagef("--history: %w: want a directory with run files, *.ndjson", err)
	}
	h := analyze.History{Dir: dir, Runs: []analyze.Run{}, Left: []analyze.LeftOut{}}
	for _, entry := range entries {
		name := entry.Name()
		if filepath.Ext(name) != ".ndjson" || entry.IsDir() {
			continue
		}
		if a, err := replay(filepath.Join(dir, name)); err != nil {
			h.Left = append(h.Left, analyze.LeftOut{File: name, Why: err.Error()})
		} else {
			h.Add(name, a)
		}
	}
	return show(w.stdout, h)
}
