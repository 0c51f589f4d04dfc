package report

import (
	"fmt"
	"math"
	"strings"
	"time"

	"coalmine/analyze"
)

// LiveCapacity is how a search stands, in lines that fit the view: what is known on a bar of all rates, and the trial
// under way.
func LiveCapacity(s analyze.Searching, v View) []string {
	if v.Width <= 0 {
		v.Width = width
	}
	l := &live{View: v}
	elapsed := s.Result.Took
	if s.Under != nil {
		elapsed = s.Under.At
	}
	of := ""
	if budget := s.Rating.Search.Budget; budget > 0 {
		of = " of " + clock(budget)
	}
	l.line(piece{Strong, "capacity"}, piece{Plain, fmt.Sprintf("  %s%s  %s", clock(elapsed), of, plural(len(s.Trials), "trial"))})
	l.line(piece{Plain, "known: " + capacitySpan(s.Rated)})
	l.rates(s)
	if s.Under != nil {
		l.trial(*s.Under, len(s.Trials)+1)
	}
	if v.Height > 0 && len(l.lines) > v.Height {
		l.lines = l.lines[:v.Height]
	}
	return l.lines
}

// rates are all that may be tried, on a bar: those that hold, those that fail, what is not known, and where the trial is.
func (l *live) rates(s analyze.Searching) {
	plan := s.Rating.Search
	low, high := plan.Lowest, plan.Highest
	words := "  " + analyze.PerSecondOf(high)
	first := analyze.PerSecondOf(low) + " "
	cells := min(l.Width-columns(first)-columns(words), 60)
	if !(low > 0) || !(high > low) || cells < 8 {
		return
	}
	at := func(rate float64) int {
		return int(math.Round(min(max(math.Log(rate/low)/math.Log(high/low), 0), 1) * float64(cells-1)))
	}
	held, failed, trial := -1, cells, -1
	if b := s.Result.Lower; b != nil {
		held = at(b.Rate)
	}
	if b := s.Result.Upper; b != nil {
		failed = at(b.Rate)
	}
	if s.Under != nil {
		trial = at(s.Under.Rate)
	}
	marks := [...]string{"━", "×", "·", "●"}
	if l.ASCII {
		marks = [...]string{"=", "x", ".", "O"}
	}
	pieces := []piece{{Faint, first}}
	for i := range cells {
		p := piece{Faint, marks[2]}
		switch {
		case i == trial:
			p = piece{Strong, marks[3]}
		case i <= held:
			p = piece{Good, marks[0]}
		case i >= failed:
			p = piece{Bad, marks[1]}
		}
		if last := &pieces[len(pieces)-1]; last.tone == p.tone {
			last.text += p.text
		} else {
			pieces = append(pieces, p)
		}
	}
	l.line(append(pieces, piece{Faint, words})...)
}

// trial is the one under way: how far it is, what it says so far, and each arm.
func (l *live) trial(t analyze.TrialReport, n int) {
	full, empty := "█", "░"
	if l.ASCII {
		full, empty = "#", "."
	}
	const cells = 12
	done := min(int(cells*t.Took.Seconds()/max(t.Longest.Seconds(), 1e-9)), cells)
	least := analyze.Short(t.Shortest.Round(100 * time.Millisecond))
	if t.Longest > t.Shortest {
		least += " to " + analyze.Short(t.Longest.Round(100*time.Millisecond))
	}
	l.line(piece{Plain, fmt.Sprintf("trial %d, %s at %s ", n, t.Purpose, analyze.PerSecondOf(t.Rate))},
		piece{Plain, strings.Repeat(full, done)}, piece{Faint, strings.Repeat(empty, cells-done)},
		piece{Faint, fmt.Sprintf(" %s of %s", analyze.Short(t.Took), least)})
	l.line(piece{Faint, t.Sentence})
	names := min(max(l.Width-33, 6), 30)
	l.line(piece{Faint, padRight("version", names) + pad("rate", 10) + pad("errors", 7) + pad("p50", 8) + pad("p99", 8)})
	for _, a := range t.Arms {
		tone := Plain
		if a.Errors > 0 {
			tone = Bad
		}
		l.line(piece{Plain, padRight(shorten(visible(a.Name), names-1), names) + pad(fmt.Sprintf("%.1f/s", a.Rate), 10)}, piece{tone, pad(count(a.Errors), 7)},
			piece{Plain, pad(latency(a.P50.Seconds()), 8) + pad(latency(a.P99.Seconds()), 8)})
	}
}
