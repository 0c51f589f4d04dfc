package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSeveralRuns(t *testing.T) {
	file, _, _ := recorded(t)
	dir := t.TempDir()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"b.ndjson": data, "a.ndjson": data[:len(data)-20], "future.ndjson": []byte(`{"header":{"format":"coalmine.run/9"}}` + "\n"), "empty.ndjson": nil, "notes.txt": []byte("x")} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{file, file}, 0, "Nothing differs beyond noise."},
		{[]string{file, file, "--format", "html"}, 0, "<!doctype html>"},
		{[]string{file, filepath.Join(dir, "empty.ndjson")}, 2, "run file: empty"},
		{[]string{file, file, "--format", "junit"}, 2, "want one of html, json, table"},
		{[]string{file, file, "--policy", file}, 2, "about one run file"},
		{[]string{file, file, file}, 2, "want one run file, or two to compare, got 3"},
		{[]string{"--history", dir}, 0, "left out: future.ndjson: run file: line 1"},
		{[]string{"--history", dir}, 0, "left out: empty.ndjson: run file: empty"},
		{[]string{"--history", dir, "--format", "json"}, 0, `"file": "a.ndjson"`},
		{[]string{"--history", dir, file}, 2, "want no run file beside it"},
		{[]string{"--history", filepath.Join(dir, "none")}, 2, "want a directory with run files"},
		{[]string{"--history", t.TempDir()}, 0, "There is no run to show."},
	} {
		code, stdout, stderr := coalmine(t, t.Context(), nil, append([]string{"report"}, c.args...)...)
		if text := stdout + stderr; code != c.code || !strings.Contains(text, c.want) {
			t.Errorf("%v: exit %d, want %d and %q in\n%.2000s", c.args, code, c.code, c.want, text)
		}
	}
}
