package report

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"coalmine/analyze"
)

// Markdown writes the report for a pull request or the summary of a pipeline's job, as GitHub and GitLab show it.
func Markdown(w io.Writer, a analyze.Analysis) error {
	m := &markdown{page{w: w}}
	m.line("## " + escaped(headline(a)))
	m.line("")
	if a.Header.Policy != nil || blank(a) {
		m.paragraph(a.Conclusion.Sentence)
	}
	if t := a.Header.Target; t.URL != "" {
		m.line(fmt.Sprintf("%s %s (%s)", escaped(t.Method), escaped(t.URL), escaped(t.Where)))
		m.line("")
	}
	for _, phase := range a.Phases {
		if phase.Name == analyze.During || a.Header.Policy == nil {
			m.answers(phase, propagation(a.Propagation))
		}
	}
	m.checks(a.Checks)
	m.phases(a)
	m.remarks(a)
	return m.err
}

// headline is the verdict in a few words.
func headline(a analyze.Analysis) string {
	c, t := a.Conclusion, a.Header.Target
	switch {
	case blank(a):
		return "Coalmine: " + c.Verdict.String()
	case a.Header.Policy == nil:
		return "Coalmine: " + answers(a)
	case t.Alone():
		return fmt.Sprintf("Coalmine: %s %s alone", c.Verdict, name(t.Canary))
	}
	return fmt.Sprintf("Coalmine: %s %s over %s", c.Verdict, name(t.Canary), name(t.Baseline))
}

type markdown struct{ page }

func (m *markdown) paragraph(text string) {
	if text != "" {
		m.line(escaped(text))
		m.line("")
	}
}

// table writes numbers to the right, and the columns named last, which are text, to the left.
func (m *markdown) table(header []string, rows [][]string, left ...int) {
	if len(rows) == 0 {
		return
	}
	m.line("| " + strings.Join(header, " | ") + " |")
	rule := "|"
	for i := range header {
		if slices.Contains(left, i) {
			rule += " --- |"
		} else {
			rule += " ---: |"
		}
	}
	m.line(rule)
	for _, row := range rows {
		for i := range row {
			row[i] = escaped(row[i])
		}
		m.line("| " + strings.Join(row, " | ") + " |")
	}
	m.line("")
}

func (m *markdown) answers(phase analyze.Phase, settling string) {
	var rows [][]string
	for _, arm := range phase.Arms {
		rows = append(rows, armRow(arm))
	}
	m.table(armHeader, rows, 0)
	for _, text := range armSentences(phase) {
		m.paragraph(text)
	}
	m.table(targetHeader, targetRows(phase), 0, 1)
	m.paragraph(phase.Sentence)
	m.paragraph(settling)
	m.paragraph(sending(phase))
}

func (m *markdown) checks(checks []analyze.Check) {
	var rows [][]string
	for _, c := range checks {
		rows = append(rows, append(checkRow(c), c.Sentence))
	}
	if len(rows) == 0 {
		return
	}
	m.table(append(slices.Clone(checkHeader), "in words"), rows, 0, 1, len(checkHeader))
	m.paragraph(legend)
}

func (m *markdown) phases(a analyze.Analysis) {
	var rows [][]string
	for _, phase := range a.Phases {
		if phase.Name != analyze.During && a.Header.Policy != nil {
			rows = append(rows, phaseRow(phase))
		}
	}
	m.table(phaseHeader, rows, 0, 1, 2, 3, 4)
	for _, phase := range a.Phases {
		if phase.Name != analyze.During && phase.Outcome != analyze.Pass && a.Header.Policy != nil {
			m.paragraph(phase.Sentence)
		}
	}
}

// remarks are what was changed, what was covered, and what else is to be known.
func (m *markdown) remarks(a analyze.Analysis) {
	var all []string
	for _, c := range changes(a) {
		all = append(all, fmt.Sprintf("After %s: %s.", analyze.Short(c.at), c.what))
	}
	if text := acted(a); text != "" {
		all = append(all, text)
	}
	if covers := a.Header.Target.Covers; covers != "" {
		all = append(all, "Covers "+covers+".")
	}
	all = append(all, a.Notes...)
	if text := ending(a); text != "" {
		all = append(all, text)
	}
	for _, text := range all {
		m.line("- " + escaped(text))
	}
}

// leads is what would begin a heading, a list or a rule.
var leads = regexp.MustCompile(`^([#+=-]([ #=-]|$)|[0-9]+[.)]( |$))`)

// escaped is text that Markdown shows as it is. Versions and errors come from whoever answered: they make no markup, no
// HTML, no link and nobody's mention.
func escaped(s string) string {
	s = visible(s)
	var b strings.Builder
	if at := leads.FindStringIndex(s); at != nil && s != "-" { // what stands for nothing in a table
		mark := strings.TrimRight(s[:at[1]], " ")
		b.WriteString(mark[:len(mark)-1] + "\\" + mark[len(mark)-1:])
		s = s[len(mark):]
	}
	for i, r := range s {
		switch {
		case strings.ContainsRune("\\`*_{}[]<>|~&$^", r):
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '@':
			b.WriteString("@<!-- -->")
		case r == ':' && strings.HasPrefix(s[i:], "://"):
			b.WriteString("&#58;")
		case r == '.' && strings.EqualFold(s[max(i-3, 0):i], "www"):
			b.WriteString("&#46;")
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
