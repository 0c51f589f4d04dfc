package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"coalmine/analyze"
)

// Tone is how a piece of a live view is to be shown.
type Tone int8

const (
	Plain Tone = iota
	Faint
	Strong
	Good
	Bad
)

// View says how a live view is drawn. Its zero value draws lines of 80 columns, as many as there are.
type View struct {
	Width, Height int                       // most columns and lines, 0: 80, and any number
	Before        *analyze.Analysis         // a moment ago, for rates; nil: averages since the phase began
	ASCII         bool                      // no other characters, but for what versions are called
	Paint         func(Tone, string) string // nil: as it is
}

// Live is how a run stands, in lines that fit the view: the phase and how far it is, the split closing in on its
// margin, each version, and each check on its way.
func Live(a analyze.Analysis, v View) []string {
	if len(a.Phases) == 0 {
		return nil
	}
	if v.Width <= 0 {
		v.Width = width
	}
	l := &live{View: v, a: a, phase: a.Phases[len(a.Phases)-1]}
	l.progress()
	if l.phase.Name == analyze.During {
		l.split()
	}
	l.arms()
	if l.phase.Name == analyze.During || l.phase.Name == analyze.Bake {
		l.checks()
	} else if l.phase.Sentence != "" {
		l.line(piece{Faint, l.phase.Sentence})
	}
	if v.Height > 0 && len(l.lines) > v.Height {
		l.lines = l.lines[:v.Height]
	}
	return l.lines
}

type live struct {
	View
	a     analyze.Analysis
	phase analyze.Phase
	lines []string
}

// piece is text of one tone.
type piece struct {
	tone Tone
	text string
}

// line adds pieces, cut where the view ends.
func (l *live) line(pieces ...piece) {
	room := l.Width
	var b strings.Builder
	for _, s := range pieces {
		text := visible(s.text)
		if columns(text) > room {
			text = fill(text, room)
			if columns(text) > room {
				text = ""
			}
			room = 0
		} else {
			room -= columns(text)
		}
		if l.Paint != nil && text != "" {
			text = l.Paint(s.tone, text)
		}
		if b.WriteString(text); room == 0 {
			break
		}
	}
	l.lines = append(l.lines, b.String())
}

// progress is the phase, its time, its requests and how they are sent.
func (l *live) progress() {
	p := l.phase
	elapsed, requests := clock(p.Length), analyze.Count(p.Hits)
	if policy := l.a.Header.Policy; p.Name == analyze.During && policy != nil {
		if most := time.Duration(policy.MaxDuration); most > 0 {
			elapsed += " of " + clock(most)
		}
		if budget := l.a.Header.Budget; budget > 0 {
			requests += " of " + analyze.Count(budget)
		}
	}
	l.line(piece{Strong, p.Name}, piece{Plain, fmt.Sprintf("  %s  %s requests, %s/s", elapsed, requests, analyze.Count(l.rate(p.Sent, func(b analyze.Phase) uint64 { return b.Sent })))})
	late := "late p99 " + analyze.Short(p.Lateness.WakeP99)
	if p.Lateness.Blocked > 0 {
		late += fmt.Sprintf(", %s waited for a connection, p99 %s", analyze.Count(p.Lateness.Blocked), analyze.Short(p.Lateness.BlockedP99))
	}
	if p.Pending > 0 {
		late += fmt.Sprintf(", %s unanswered", analyze.Count(p.Pending))
	}
	l.line(piece{Faint, late})
}

// clock is a time as minutes and seconds.
func clock(d time.Duration) string {
	return fmt.Sprintf("%d:%02d", d/time.Minute, d%time.Minute/time.Second)
}

// rate is how many a second, of late if it is known how many there were a moment ago in this phase.
func (l *live) rate(now uint64, of func(analyze.Phase) uint64) uint64 {
	return l.since(l.phase.Length, l.Before, now, of)
}

// judgedRate is the same of what a version counts, which begins anew where judging begins.
func (l *live) judgedRate(now uint64, of func(analyze.Phase) uint64) uint64 {
	whole, before := l.phase.Length, l.Before
	if judged := l.a.Propagation.Judged; judged != nil && l.phase.Name == analyze.During {
		whole = l.phase.Start + l.phase.Length - *judged
		if before != nil && before.Propagation.Judged == nil {
			before = nil
		}
	}
	return l.since(whole, before, now, of)
}

func (l *live) since(whole time.Duration, b *analyze.Analysis, now uint64, of func(analyze.Phase) uint64) uint64 {
	since, from := whole, uint64(0)
	if b != nil && len(b.Phases) == len(l.a.Phases) {
		then := b.Phases[len(b.Phases)-1]
		if n := of(then); then.Length < l.phase.Length && n <= now {
			since, from = l.phase.Length-then.Length, n
		}
	}
	if since <= 0 {
		return 0
	}
	return uint64(math.Round(float64(now-from) / since.Seconds()))
}

// split is the canary's share on a bar: its interval, and where it must come to lie.
func (l *live) split() {
	i := slices.IndexFunc(l.phase.Arms, func(arm analyze.Arm) bool { return arm.Role == "canary" && arm.Configured != nil })
	if i < 0 || l.phase.Arms[i].ShareHigh == 0 || l.a.Header.Policy == nil {
		return
	}
	arm, margin := l.phase.Arms[i], l.a.Header.Policy.Split.Margin/100
	low, high, seen := arm.ShareLow, arm.ShareHigh, arm.Share
	least, most := *arm.Configured-margin, *arm.Configured+margin
	if c := checkNamed(l.a, "split"); c != nil && c.Proven.Low != nil && c.Proven.High != nil && c.Estimate != nil && c.Limit.Low != nil && c.Limit.High != nil {
		low, high, seen, least, most = *c.Proven.Low, *c.Proven.High, *c.Estimate, *c.Limit.Low, *c.Limit.High
	}
	tone := Plain
	switch {
	case low >= least && high <= most:
		tone = Good
	case low > most || high < least:
		tone = Bad
	}
	words := fmt.Sprintf("  %.1f %% (%.1f-%.1f)", seen*100, low*100, high*100)
	if wide := fmt.Sprintf(", allowed %.4g-%.4g", least*100, most*100); 6+24+len(words)+len(wide) <= l.Width {
		words += wide
	}
	l.line(append(l.bar(min(l.Width-6-len(words), 60), low, high, seen, least, most, tone), piece{tone, words})...)
	if l.a.Propagation.Judged == nil {
		l.line(piece{Faint, "waiting for the split to settle"})
	}
}

// bar shows four margins on either side of the configured share.
func (l *live) bar(cells int, low, high, seen, least, most float64, tone Tone) []piece {
	if cells < 8 {
		return []piece{{Faint, "split "}}
	}
	center, reach := (least+most)/2, 2*(most-least)
	from, to := max(center-reach, 0), min(center+reach, 1)
	at := func(x float64) int { return int(min(max((x-from)/(to-from), 0), 1) * (float64(cells) - 0.5)) }
	marks := [...]string{"·", "━", "│", "●"}
	if l.ASCII {
		marks = [...]string{".", "=", "|", "O"}
	}
	pieces := []piece{{Faint, "split "}}
	for i := range cells {
		s := piece{Faint, marks[0]}
		if i >= at(low) && i <= at(high) {
			s = piece{tone, marks[1]}
		}
		if i == at(least) || i == at(most) {
			s = piece{Strong, marks[2]}
		}
		if i == at(seen) {
			s = piece{tone, marks[3]}
		}
		if last := &pieces[len(pieces)-1]; last.tone == s.tone {
			last.text += s.text
		} else {
			pieces = append(pieces, s)
		}
	}
	return pieces
}

// arms are a line for each version, with as many columns as there is room for.
func (l *live) arms() {
	type column struct {
		name  string
		width int
		cell  func(i int, arm analyze.Arm) string
	}
	hits := func(i int) func(analyze.Phase) uint64 {
		return func(b analyze.Phase) uint64 {
			for _, arm := range b.Arms {
				if arm.Name == l.phase.Arms[i].Name && arm.Role == l.phase.Arms[i].Role {
					return arm.Hits
				}
			}
			return 0
		}
	}
	all := []column{ // the most important first
		{"errors", 8, func(_ int, arm analyze.Arm) string { return count(arm.Errors) }},
		{"p95", 8, func(_ int, arm analyze.Arm) string { return latency(arm.P95.Seconds()) }},
		{"hits", 11, func(_ int, arm analyze.Arm) string { return count(arm.Hits) }},
		{"rate", 9, func(i int, arm analyze.Arm) string { return analyze.Count(l.judgedRate(arm.Hits, hits(i))) + "/s" }},
		{"p50", 8, func(_ int, arm analyze.Arm) string { return latency(arm.P50.Seconds()) }},
		{"p99", 8, func(_ int, arm analyze.Arm) string { return latency(arm.P99.Seconds()) }},
		{"share", 9, func(_ int, arm analyze.Arm) string { return fmt.Sprintf("%.1f %%", arm.Share*100) }},
	}
	room, shown := l.Width-14, []column(nil)
	for _, name := range []string{"hits", "rate", "share", "errors", "p50", "p95", "p99"} {
		i := slices.IndexFunc(all, func(c column) bool { return c.name == name })
		before := 0
		for _, c := range all[:i+1] {
			before += c.width
		}
		if before <= room {
			shown = append(shown, all[i])
		}
	}
	names := l.Width
	head := ""
	for _, c := range shown {
		names -= c.width
		head += pad(c.name, c.width)
	}
	names = min(names, 30)
	l.line(piece{Faint, padRight("version", names) + head})
	const most = 6
	for i, arm := range l.phase.Arms {
		if i == most {
			l.line(piece{Faint, fmt.Sprintf("and %d more", len(l.phase.Arms)-most)})
			break
		}
		name := visible(arm.Name)
		if arm.Role != arm.Name && arm.Role != "version" {
			name = shorten(name, max(names-1-len(arm.Role)-1, 3)) + " " + arm.Role
		}
		pieces := []piece{{Plain, padRight(shorten(name, names-1), names)}}
		for _, c := range shown {
			tone := Plain
			if c.name == "errors" && arm.Errors > 0 {
				tone = Bad
			}
			pieces = append(pieces, piece{tone, pad(c.cell(i, arm), c.width)})
		}
		l.line(pieces...)
	}
}

func pad(s string, to int) string      { return strings.Repeat(" ", max(to-columns(s), 0)) + s }
func padRight(s string, to int) string { return s + strings.Repeat(" ", max(to-columns(s), 0)) }

// checks are a line for each that something is still expected of, and one for the rest.
func (l *live) checks() {
	var passed, quiet int
	var open []analyze.Check
	for _, c := range l.a.Checks {
		switch {
		case c.Outcome == analyze.Pass:
			passed++
		case c.Outcome == analyze.Undecided && (c.Watches || c.Needed == 0) && reached(c) < 0.1:
			quiet++
		default:
			open = append(open, c)
		}
	}
	if len(l.a.Checks) == 0 {
		return
	}
	slices.SortStableFunc(open, func(a, b analyze.Check) int { return int(b.Outcome) - int(a.Outcome) })
	more := 0
	if room := l.Height - len(l.lines) - 1; l.Height > 0 && len(open) > max(room, 0) {
		more = len(open) - max(room, 0)
		open = open[:max(room, 0)]
	}
	for _, c := range open {
		l.check(c)
	}
	text := fmt.Sprintf("%d of %d checks pass", passed, len(l.a.Checks))
	if quiet > 0 {
		text += fmt.Sprintf(", %d watch and see nothing", quiet)
	}
	if more > 0 {
		text += fmt.Sprintf(", %d more open", more)
	}
	l.line(piece{Faint, text})
}

// check is a check's name, its evidence on the way to what it needs, and its number.
func (l *live) check(c analyze.Check) {
	tone, full, empty := Plain, "█", "░"
	if c.Outcome == analyze.Fail || c.Watches {
		tone = Bad
	}
	if l.ASCII {
		full, empty = "#", "."
	}
	names := min(20, l.Width/3)
	evidence := ""
	if c.Needed > 0 {
		evidence = " " + compact(c.Evidence) + "/" + compact(c.Needed)
	}
	number := ""
	if c.Estimate != nil {
		number = "  " + c.Format(*c.Estimate) + ", allowed " + allowed(c)
	}
	cells := min(max(l.Width-names-44, 6), 24)
	n := int(math.Round(reached(c) * float64(cells)))
	pieces := []piece{{tone, mark[c.Outcome] + " "}, {Plain, padRight(shorten(visible(c.Name), names-3), names-2)},
		{tone, strings.Repeat(full, n)}, {Faint, strings.Repeat(empty, cells-n)}, {Plain, padRight(evidence, 12)}}
	if names+cells+12+columns(number) <= l.Width {
		pieces = append(pieces, piece{Faint, number})
	}
	l.line(pieces...)
}

// reached is how far the evidence has come on its way, 0 to 1. Evidence multiplies: the way is as long as its logarithm.
func reached(c analyze.Check) float64 {
	if !(c.Evidence > 1) || !(c.Needed > 1) {
		return 0
	}
	return min(math.Log(c.Evidence)/math.Log(c.Needed), 1)
}
