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
		err = errors.New("a search for a capacity, which has no verdict, and as many rates as trials: want coalmine report FILE alone")
	}
	return a, err
}

// compare sets two runs side by side.
func (w world) compare(a, b, format string) error {
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
