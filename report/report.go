// Package report shows an analysis to people and to pipelines. Every format is a pure function of the analysis: it
// reads no clock and computes no statistics, so any report can be drawn again from a run file.
package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"

	"coalmine/analyze"
)

// Format writes one kind of report.
type Format func(io.Writer, analyze.Analysis) error

// kind is a format with the name of its file.
type kind struct {
	draw Format
	file string
}

var kinds = map[string]kind{
	"table":    {Table, "report.txt"},
	"json":     {JSON, "report.json"},
	"markdown": {Markdown, "report.md"},
	"junit":    {JUnit, "junit.xml"},
	"html":     {HTML, "report.html"},
}

// Formats names the kinds of reports.
func Formats() []string { return slices.Sorted(maps.Keys(kinds)) }

// Named finds a format, and what its file is called.
func Named(name string) (show Format, file string, err error) {
	k, err := named(kinds, name)
	return k.draw, k.file, err
}

func named[F any](formats map[string]F, name string) (F, error) {
	f, ok := formats[name]
	if !ok {
		return f, fmt.Errorf("unknown format %q: want one of %s", name, strings.Join(slices.Sorted(maps.Keys(formats)), ", "))
	}
	return f, nil
}

func indented[T any](w io.Writer, what T) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(what); err != nil {
		return err
	}
	_, err := w.Write(harmless(text.Bytes()))
	return err
}

// harmless is JSON that may be shown on a terminal: encoding/json escapes the control characters of ASCII, and no others, of
// which some terminals take one for the beginning of an escape sequence; nor what turns the direction of writing.
func harmless(text []byte) []byte {
	if !bytes.ContainsFunc(text, unprintable) {
		return text
	}
	var b bytes.Buffer
	for _, r := range string(text) {
		switch {
		case !unprintable(r):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.Bytes()
}

func unprintable(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }

// JSON writes the analysis as it is; of a run without a verdict, its traffic.
func JSON(w io.Writer, a analyze.Analysis) error {
	if a.Header.Policy == nil && !blank(a) {
		return indented(w, traffic(a))
	}
	return indented(w, a)
}

// blank reports that not even a header could be read: there is a reason to show, and nothing else.
func blank(a analyze.Analysis) bool { return a.End.Reason == "unreadable" && a.Header.Format == "" }

// measured is traffic that nobody judged.
type measured struct {
	Header analyze.Header `json:"run"`
	analyze.Phase
	Notes []string    `json:"notes,omitempty"`
	End   analyze.End `json:"end"`
}

func traffic(a analyze.Analysis) measured {
	m := measured{Header: a.Header, Notes: a.Notes, End: a.End}
	if len(a.Phases) > 0 {
		m.Phase = a.Phases[0]
	}
	return m
}

// Line is the one greppable sentence that a run ends with.
func Line(a analyze.Analysis) string {
	c, t := a.Conclusion, a.Header.Target
	if blank(a) {
		return visible("coalmine: " + strings.TrimSuffix(c.Sentence, "."))
	}
	if a.Header.Policy == nil {
		return visible(fmt.Sprintf("coalmine: %s, %s%s", answers(a), elapsed(a), ended(a)))
	}
	if t.Alone() {
		return visible(verified(a) + ended(a))
	}
	line := fmt.Sprintf("coalmine: %s %s over %s, %s requests, %s", c.Verdict, name(t.Canary), name(t.Baseline), analyze.Count(a.Requests()), elapsed(a))
	culprit := checkNamed(a, c.Culprit)
	switch {
	case c.Verdict == analyze.Promote && culprit != nil:
		line += ", weakest check " + short(*culprit)
	case c.Verdict == analyze.Reject && culprit != nil:
		line += ", " + short(*culprit)
	case len(c.Void) > 0:
		line += ": " + c.Void[0]
	case culprit != nil:
		line += ", undecided " + short(*culprit)
	}
	line += spent(a) + left(a)
	if a.Action != "none" {
		line += ", " + a.Action
		if a.After != analyze.Undecided {
			line += fmt.Sprintf(" (traffic after: %s)", a.After)
		}
	}
	return visible(line + ended(a))
}

// left is the canary's percentage, where the run has set it and not promoted or removed the canary since.
func left(a analyze.Analysis) string {
	text := ""
	for _, e := range a.Events {
		failed := e.Detail["error"] != ""
		switch percent := e.Detail["percent"]; {
		case failed:
		case e.Name == analyze.PromoteEnd, e.Name == analyze.RollbackEnd:
			text = ""
		case e.Name == analyze.PercentSet && percent == strconv.FormatFloat(a.Header.Target.Percent, 'f', -1, 64):
			text = ", the canary back at " + percent + " %"
		case e.Name == analyze.PercentSet:
			text = ", the canary at " + percent + " %"
		}
	}
	return text
}

// verified is the line of a run that asks who answers.
func verified(a analyze.Analysis) string {
	c, t := a.Conclusion, a.Header.Target
	line := fmt.Sprintf("coalmine: %s %s alone, %s requests, %s", c.Verdict, name(t.Canary), analyze.Count(a.Requests()), elapsed(a))
	if c.Verdict != analyze.Verified {
		_, why, _ := strings.Cut(c.Sentence, ": ")
		line += ": " + strings.TrimSuffix(why, ".")
	}
	return line
}

// spent is the limit on requests that the run stopped at, "" if it did not.
func spent(a analyze.Analysis) string {
	for _, e := range a.Events {
		if e.Name == analyze.RequestsSpent && a.Conclusion.Verdict == analyze.Inconclusive && len(a.Conclusion.Void) == 0 {
			return ", stopped at the limit of " + e.Detail["limit"] + " requests"
		}
	}
	return ""
}

// ended is how the run ended, if not as it should.
func ended(a analyze.Analysis) string {
	switch a.End.Reason {
	case "interrupted":
		return ", interrupted"
	case "crashed":
		return ", the run file has no end"
	case "error":
		return ", error: " + a.End.Error
	case "unreadable":
		if a.Header.Policy == nil { // else it is what made the verdict
			return ", " + a.End.Error
		}
	}
	return ""
}

// answers are all requests, and how many of them are errors.
func answers(a analyze.Analysis) string {
	var errors uint64
	for _, phase := range a.Phases {
		for _, arm := range phase.Arms {
			errors += arm.Errors
		}
	}
	return fmt.Sprintf("%s requests, %s errors", analyze.Count(a.Requests()), analyze.Count(errors))
}

// short is a check in a few words: its number and its limit.
func short(c analyze.Check) string {
	number := c.Estimate
	if c.Outcome != analyze.Fail && c.Proven.High != nil && c.Limit.Low == nil {
		number = c.Proven.High
	}
	if number == nil {
		return shorten(c.Name, 60)
	}
	return fmt.Sprintf("%s %s (limit %s)", shorten(c.Name, 60), c.Format(*number), limit(c))
}

func limit(c analyze.Check) string {
	switch {
	case c.Limit.Low != nil && c.Limit.High != nil:
		return c.Format(*c.Limit.Low) + " to " + c.Format(*c.Limit.High)
	case c.Limit.High != nil:
		return c.Format(*c.Limit.High)
	}
	return "none"
}

func checkNamed(a analyze.Analysis, name string) *analyze.Check {
	for i := range a.Checks {
		if a.Checks[i].Name == name {
			return &a.Checks[i]
		}
	}
	return nil
}

// elapsed is the time from the start of the run to the end of its last phase.
func elapsed(a analyze.Analysis) string {
	d := length(a)
	if d == 0 {
		return "0s"
	}
	if d >= time.Minute {
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%.1fs", d.Seconds())
}

// Progress is how a run stands, in one line.
func Progress(a analyze.Analysis) string {
	if len(a.Phases) == 0 {
		return ""
	}
	phase := a.Phases[len(a.Phases)-1]
	line := fmt.Sprintf("%-14s %6s %s answers", visible(phase.Name), elapsed(a), analyze.Count(phase.Hits))
	for _, arm := range phase.Arms {
		line += fmt.Sprintf(" | %s %.1f %%", shorten(visible(arm.Name), 24), arm.Share*100)
		if arm.Errors > 0 {
			line += fmt.Sprintf(" %s err", analyze.Count(arm.Errors))
		}
		if arm.P95 > 0 {
			line += " p95 " + latency(arm.P95.Seconds())
		}
	}
	if phase.Name != analyze.During {
		return line
	}
	passed, all := 0, 0
	for _, c := range a.Checks {
		all++
		if c.Outcome == analyze.Pass {
			passed++
		}
	}
	if a.Propagation.Judged == nil {
		return line + " | waiting for the split to settle"
	}
	return line + fmt.Sprintf(" | %d of %d checks pass", passed, all)
}
