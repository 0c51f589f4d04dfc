package report_test

import (
	"bytes"
	"strings"
	"testing"

	"coalmine/analyze"
	"coalmine/analyze/capacity"
	"coalmine/report"
)

// Two searches are set side by side in each format, whatever their versions are called.
func TestContest(t *testing.T) {
	a, b := ofCanary("2").Rated, ofCanary("2").Rated
	b.Result.Lower, b.Result.Upper = &capacity.Bound{Rate: 700, Proven: true}, nil
	b.Header.Target.Canary = "\x1b[2J<script>"
	c := analyze.CompareRated(a, b)
	c.A.File, c.B.File = "a.ndjson", "b\x1b.ndjson"
	for _, format := range []string{"table", "json", "html"} {
		show, err := report.NamedContest(format)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := show(&out, c); err != nil {
			t.Fatal(err)
		}
		check(t, format, out.String(), format == "table")
		if !strings.Contains(out.String(), "B carries more: the objectives hold at 70/s, and failed at 60/s in A") || strings.Contains(out.String(), "[2J<script>") && format == "html" {
			t.Errorf("%s:\n%.2000s", format, out.String())
		}
		if format == "table" {
			golden(t, "contest.table", out.Bytes())
		}
	}
	if _, err := report.NamedContest("junit"); err == nil || !strings.Contains(err.Error(), "want one of html, json, table") {
		t.Error(err)
	}
}
