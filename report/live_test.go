package report_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"coalmine/analyze"
	"coalmine/report"
)

func TestLive(t *testing.T) {
	var all strings.Builder
	for _, name := range []string{"promote", "reject", "inconclusive", "interrupted", "never-settled", "attack", "empty", "empty-attack", "hostile"} {
		a := cases[name].analysis(t)
		for _, v := range []report.View{{Width: 79, Height: 23}, {Width: 39, Height: 23, ASCII: true}, {Width: 1, Height: 1}, {Width: 120}, {Width: 60, Height: 6}} {
			lines := report.Live(a, v)
			if len(lines) == 0 || v.Height > 0 && len(lines) > v.Height {
				t.Errorf("%s: %d lines in %d", name, len(lines), v.Height)
			}
			text := strings.Join(lines, "\n") + "\n"
			check(t, name+" live", text, false)
			for _, line := range lines {
				if ansi.StringWidth(line) > v.Width {
					t.Errorf("%s: %d columns: %s", name, ansi.StringWidth(line), line)
				}
			}
			if v.Width == 79 || v.Width == 39 {
				fmt.Fprintf(&all, "# %s, %d columns\n%s\n", name, v.Width, text)
			}
		}
	}
	golden(t, "live.txt", []byte(all.String()))
	if lines := report.Live(analyze.Analysis{}, report.View{}); lines != nil {
		t.Errorf("of nothing: %q", lines)
	}
}

// Rates are of late where a moment ago is known, and of the whole phase where it is not.
func TestLiveRate(t *testing.T) {
	now := analyze.Analysis{Phases: []analyze.Phase{{Name: "attack", Length: 10 * time.Second, Sent: 1000, Hits: 1000, Arms: []analyze.Arm{{Name: "1", Hits: 600}}}}}
	before := analyze.Analysis{Phases: []analyze.Phase{{Name: "attack", Length: 8 * time.Second, Sent: 500, Hits: 500, Arms: []analyze.Arm{{Name: "1", Hits: 200}}}}}
	for _, tc := range []struct {
		before *analyze.Analysis
		want   []string
	}{{nil, []string{" 100/s", " 60/s"}}, {&before, []string{" 250/s", " 200/s"}}, {&now, []string{" 100/s", " 60/s"}}, {&analyze.Analysis{}, []string{" 100/s", " 60/s"}}} {
		said := strings.Join(report.Live(now, report.View{Before: tc.before}), "\n")
		for _, want := range tc.want {
			if !strings.Contains(said, want) {
				t.Errorf("no %q in\n%s", want, said)
			}
		}
	}
}

// What a version counts begins anew where judging begins.
func TestLiveRateJudged(t *testing.T) {
	judged := 8 * time.Second
	arms := func(hits uint64) []analyze.Arm { return []analyze.Arm{{Name: "1", Role: "baseline", Hits: hits}} }
	before := analyze.Analysis{Phases: []analyze.Phase{{Name: analyze.During, Length: 7 * time.Second, Arms: arms(100)}}}
	now := analyze.Analysis{Phases: []analyze.Phase{{Name: analyze.During, Length: 10 * time.Second, Arms: arms(1000)}}, Propagation: analyze.Propagation{Judged: &judged}}
	if said := strings.Join(report.Live(now, report.View{Before: &before}), "\n"); !strings.Contains(said, " 500/s") {
		t.Errorf("1,000 hits in the 2 s that are judged:\n%s", said)
	}
}

// What is painted is as wide as what is not.
func TestLivePaint(t *testing.T) {
	a := cases["reject"].analysis(t)
	tones := map[report.Tone]bool{}
	plain := report.Live(a, report.View{Width: 60})
	painted := report.Live(a, report.View{Width: 60, Paint: func(tone report.Tone, text string) string {
		tones[tone] = true
		return ansi.Style{}.Bold().Styled(text)
	}})
	for i, line := range painted {
		if ansi.Strip(line) != plain[i] {
			t.Errorf("%q is painted as %q", plain[i], line)
		}
	}
	if !tones[report.Bad] || !tones[report.Faint] || !tones[report.Strong] {
		t.Errorf("tones %v", tones)
	}
}
