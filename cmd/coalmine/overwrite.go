package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"coalmine/report"
)

// flagged is a file, and the flag that names it; no path: none is named.
type flagged struct{ flag, path string }

// spare refuses to write over what the same command reads, or writes by another flag. An older file is nobody's.
func spare(reads, writes []flagged) error {
	for i, to := range writes {
		for _, other := range slices.Concat(reads, writes[:i]) {
			if sameFile(to.path, other.path) {
				return usagef("%s: %s is the file of %s, too: want another name", to.flag, to.path, other.flag)
			}
		}
	}
	return nil
}

// sameFile reports that two names are of one file, which need not be there yet. What is no regular file, like /dev/null,
// loses nothing.
func sameFile(a, b string) bool {
	if a == "" || b == "" {
		return false
	}
	one, err := os.Stat(a)
	other, lost := os.Stat(b)
	switch {
	case err == nil && lost == nil:
		return one.Mode().IsRegular() && os.SameFile(one, other)
	case err == nil || lost == nil:
		return false
	}
	a, err = filepath.Abs(a)
	b, lost = filepath.Abs(b)
	return err == nil && lost == nil && a == b
}

// reads are the files that requests are made of.
func (q *requests) reads() []flagged {
	return []flagged{{"--api-key-file", notStream(q.keyFile)}}
}

func (t *target) reads() []flagged {
	body, file := strings.CutPrefix(t.body, "@")
	if !file {
		body = ""
	}
	return append(t.requests.reads(), flagged{"--targets", notStream(t.targets)}, flagged{"--body", notStream(body)})
}

// reads is the file of a scenario that is not a built-in one.
func reads(scenario string) flagged {
	if !strings.ContainsAny(scenario, "/.") {
		scenario = ""
	}
	return flagged{"the scenario", scenario}
}

// notStream is a file's name, "" where - stands for standard input.
func notStream(name string) string {
	if name == "-" {
		return ""
	}
	return name
}

// writes are the files of the output and of the hit log.
func (o *output) writes(q *requests) []flagged {
	out := []flagged{{"--hits", q.hits}}
	if o.out != "none" {
		out = append(out, flagged{"--out", o.out})
	}
	if o.dir == "" {
		return out
	}
	formats := o.formats
	if len(formats) == 0 {
		formats = []string{"table"}
	}
	for _, name := range formats {
		if _, file, err := report.Named(name); err == nil {
			out = append(out, flagged{"--out-dir", filepath.Join(o.dir, file)})
		}
	}
	return out
}
