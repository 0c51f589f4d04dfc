package report_test

import (
	"bytes"
	"strings"
	"testing"

	"coalmine/analyze"
	"coalmine/report"
)

func compared(t *testing.T, a, b, format string) string {
	t.Helper()
	show, err := report.NamedComparison(format)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := show(&out, analyze.Compare(cases[a].analysis(t), cases[b].analysis(t))); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestComparison(t *testing.T) {
	for _, c := range []struct{ a, b, want string }{
		{"promote", "reject-slow", "Beyond noise: canary p50, canary p95 and canary p99."},
		{"promote", "reject", "Beyond noise: canary errors."},
		{"promote", "inconclusive", "canary p50"}, // by a tenth slower
		{"promote", "interrupted", "Nothing differs beyond noise."},
		{"promote", "empty", "Nothing to compare"},
		{"attack", "attack", "Nothing differs beyond noise."},
		{"empty-attack", "promote", "Nothing to compare"},
		{"hostile", "hostile", "Nothing differs beyond noise."},
	} {
		table := compared(t, c.a, c.b, "table")
		check(t, c.a+" and "+c.b, table, true)
		if !strings.Contains(strings.Join(strings.Fields(table), " "), c.want) {
			t.Errorf("%s and %s: want %q in\n%s", c.a, c.b, c.want, table)
		}
		if html := scripts.ReplaceAllString(compared(t, c.a, c.b, "html"), ""); strings.Contains(html, "NaN") || strings.Contains(html, "\x1b") {
			t.Errorf("%s and %s: %s", c.a, c.b, html)
		}
	}
	golden(t, "comparison.table", []byte(compared(t, "promote", "reject-slow", "table")))
	golden(t, "comparison.html", []byte(essence(compared(t, "promote", "reject-slow", "html"))))
	if _, err := report.NamedComparison("junit"); err == nil || !strings.Contains(err.Error(), "html, json, table") {
		t.Error(err)
	}
}

func TestHistory(t *testing.T) {
	h := analyze.History{Dir: "<b>runs</b>", Left: []analyze.LeftOut{{File: "x<script>.ndjson", Why: "run file: empty"}}}
	for _, name := range []string{"promote", "reject", "empty", "attack", "hostile", "inconclusive"} {
		a := cases[name].analysis(t)
		a.Header.Started = a.Header.Started.AddDate(0, 0, -len(name))
		h.Add(name+".ndjson", a)
	}
	for i := range h.Runs[1:] {
		if h.Runs[i].Started.After(h.Runs[i+1].Started) {
			t.Errorf("run %d is out of order", i)
		}
	}
	for _, format := range []string{"table", "html", "json"} {
		show, err := report.NamedHistory(format)
		if err != nil {
			t.Fatal(err)
		}
		var out, none bytes.Buffer
		if err := show(&out, h); err != nil {
			t.Fatal(err)
		}
		if err := show(&none, analyze.History{}); err != nil {
			t.Fatal(err)
		}
		text := out.String()
		switch format {
		case "table":
			check(t, "history", text+none.String(), true)
			golden(t, "history.table", out.Bytes())
		case "html":
			text = essence(text)
			if strings.Contains(text, "<b>") || strings.Contains(text, "x<script>") || strings.Contains(text, "NaN") {
				t.Error(text)
			}
			golden(t, "history.html", []byte(text))
		}
	}
}
