package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"coalmine/report"
)

// Each format has a file, and standard output what a person reads.
func TestOutDir(t *testing.T) {
	file, _, _ := recorded(t)
	dir := filepath.Join(t.TempDir(), "a", "b")
	_, table, _ := coalmine(t, t.Context(), nil, "report", file)
	args := []string{"report", file, "--out-dir", dir}
	for _, name := range report.Formats() {
		args = append(args, "--format", name)
	}
	code, stdout, stderr := coalmine(t, t.Context(), nil, args...)
	if code != 0 || stdout != table || table == "" {
		t.Errorf("exit %d, %s; standard output is not the table:\n%s", code, stderr, stdout)
	}
	for _, name := range report.Formats() {
		_, called, _ := report.Named(name)
		path := filepath.Join(dir, called)
		got, err := os.ReadFile(path)
		if err != nil || !strings.Contains(stderr, name+": "+path+"\n") {
			t.Errorf("%s: %v, %s", name, err, stderr)
		}
		if _, alone, _ := coalmine(t, t.Context(), nil, "report", file, "--format", name); alone != string(got) || alone == "" {
			t.Errorf("%s: the file is not what standard output would have had:\n%s", name, got)
		}
	}
	// The directory alone: the table's file.
	dir = t.TempDir()
	if code, stdout, stderr := coalmine(t, t.Context(), nil, "report", file, "--out-dir", dir); code != 0 || stdout != table {
		t.Errorf("exit %d, %s%s", code, stdout, stderr)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "report.txt")); err != nil || string(got) != table {
		t.Errorf("%v, %s", err, got)
	}
	// A directory that cannot be made.
	code, stdout, stderr = coalmine(t, t.Context(), nil, "report", file, "--out-dir", file)
	if code != exitUsage || stdout != "" || !strings.HasPrefix(stderr, "coalmine: --out-dir: ") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("exit %d, %q, %q", code, stdout, stderr)
	}
}

// Markdown is added to the summary of a job on GitHub, after what is there.
func TestStepSummary(t *testing.T) {
	file, _, _ := recorded(t)
	summary := filepath.Join(t.TempDir(), "summary.md")
	if err := os.WriteFile(summary, []byte("before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"GITHUB_STEP_SUMMARY": summary}
	coalmine(t, t.Context(), env, "report", file)
	if got, _ := os.ReadFile(summary); string(got) != "before\n" {
		t.Errorf("without --format markdown: %s", got)
	}
	_, markdown, _ := coalmine(t, t.Context(), env, "report", file, "--format", "markdown")
	if got, _ := os.ReadFile(summary); string(got) != "before\n"+markdown || markdown == "" {
		t.Errorf("%s", got)
	}
	env["GITHUB_STEP_SUMMARY"] = t.TempDir()
	if code, _, stderr := coalmine(t, t.Context(), env, "report", file, "--format", "markdown"); code != exitBroken || !strings.Contains(stderr, "GITHUB_STEP_SUMMARY") {
		t.Errorf("exit %d, %s", code, stderr)
	}
}

// The schema needs no run file.
func TestSchema(t *testing.T) {
	if code, stdout, stderr := coalmine(t, t.Context(), nil, "report", "--schema"); code != 0 || stderr != "" || !strings.HasPrefix(stdout, "{\n") {
		t.Errorf("exit %d, %s, %s", code, stdout, stderr)
	}
}
