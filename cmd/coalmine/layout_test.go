package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Imports follow the data. Only cmd sees everything; the emulator sees nothing of ours, so that it cannot share the
// bugs it should reveal.
func TestArrows(t *testing.T) {
	allowed := map[string][]string{
		"attack":                      {},
		"analyze/sequential":          {},
		"analyze/capacity":            {"analyze/sequential"},
		"analyze/strict":              {},
		"analyze":                     {"attack", "analyze/sequential", "analyze/capacity", "analyze/strict"},
		"analyze/simulated":           {"attack"},
		"report":                      {"analyze", "analyze/capacity"},
		"scenarios/emulator":          {},
		"scenarios/stage":             {"analyze/strict"},
		"scenarios/preflight":         {"scenarios/stage"},
		"scenarios/products":          {"scenarios/stage"},
		"scenarios/products/function": {},
		"scenarios/accesslog":         {"attack", "analyze", "scenarios/stage"},
		"scenarios":                   {"attack", "analyze", "analyze/capacity", "analyze/strict", "scenarios/stage", "scenarios/preflight", "scenarios/emulator"},
		"cmd/coalmine":                {"attack", "analyze", "analyze/capacity", "report", "scenarios", "scenarios/stage", "scenarios/preflight", "scenarios/products", "scenarios/accesslog", "scenarios/emulator"},
	}
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "coalmine/...").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		name := strings.TrimPrefix(fields[0], "coalmine/")
		may, known := allowed[name]
		if !known {
			t.Errorf("package %s has no place in the layout", name)
		}
		for _, imported := range fields[1:] {
			if ours, ok := strings.CutPrefix(imported, "coalmine/"); ok && !slices.Contains(may, ours) {
				t.Errorf("%s imports %s", name, ours)
			}
		}
	}
}
