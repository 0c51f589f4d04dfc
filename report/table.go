package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"

	"coalmine/analyze"
)

const width = 80

// Table writes what fits a terminal of 80 columns: the verdict, who answered, the checks, and a sentence for each.
func Table(w io.Writer, a analyze.Analysis) error {
	p := &page{w: w}
	if blank(a) {
		p.wrap("", a.Conclusion.Sentence)
		return p.err
	}
	if a.Header.Policy == nil {
		for _, phase := range a.Phases {
			p.arms(phase)
			p.targets(phase)
			p.wrap("", sending(phase))
		}
		p.notes(a)
		p.wrap("", ending(a))
		return p.err
	}
	p.wrap("", a.Conclusion.Sentence)
	for _, phase := range a.Phases {
		if phase.Name == analyze.During {
			p.line("")
			p.arms(phase)
			p.targets(phase)
			p.wrap("", phase.Sentence)
			p.wrap("", propagation(a.Propagation))
			p.wrap("", sending(phase))
		}
	}
	if checks := slices.DeleteFunc(slices.Clone(a.Checks), silent); len(checks) > 0 {
		p.line("")
		p.checks(checks)
		for _, c := range checks {
			p.wrap(fmt.Sprintf("%s %s: ", mark[c.Outcome], c.Name), c.Sentence)
		}
	}
	p.others(a)
	p.changed(a)
	if covers := a.Header.Target.Covers; covers != "" {
		p.wrap("", "Covers "+covers+".")
	}
	p.notes(a)
	p.wrap("", ending(a))
	return p.err
}

func (p *page) notes(a analyze.Analysis) {
	for _, note := range a.Notes {
		p.wrap("note: ", note)
	}
}

var mark = map[analyze.Outcome]string{analyze.Pass: "+", analyze.Fail: "-", analyze.Undecided: "?"}

// page remembers the first error of what it writes to.
type page struct {
	w   io.Writer
	err error
}

func (p *page) line(text string) {
	if p.err == nil {
		_, p.err = fmt.Fprintln(p.w, text)
	}
}

// wrap breaks text at blanks, and indents what follows the first line like the label.
func (p *page) wrap(label, text string) {
	if text == "" {
		return
	}
	label = shorten(visible(label), width/2)
	if strings.HasSuffix(label, "...") {
		label += ": "
	}
	indent := strings.Repeat(" ", min(len(label), 4))
	line, empty := label, true
	const glue = "\x00" // no line begins with a unit
	text = strings.NewReplacer(" %", glue+"%", " pp", glue+"pp").Replace(visible(text))
	for _, word := range strings.Fields(text) {
		word = strings.ReplaceAll(word, glue, " ")
		for _, part := range broken(word, width-4) {
			if columns(line)+1+columns(part) > width {
				p.line(strings.TrimRight(line, " "))
				line, empty = indent, true
			}
			if !empty {
				line += " "
			}
			line, empty = line+part, false
		}
	}
	p.line(line)
}

func (p *page) table(header []string, rows [][]string, left ...int) {
	if p.err != nil {
		return
	}
	fit(header, rows)
	align := make([]tw.Align, len(header))
	for i := range align {
		align[i] = tw.AlignRight
	}
	for _, i := range left {
		align[i] = tw.AlignLeft
	}
	var drawn strings.Builder
	table := tablewriter.NewTable(&drawn,
		tablewriter.WithRenderer(renderer.NewBlueprint(tw.Rendition{
			Symbols: tw.NewSymbols(tw.StyleASCII),
			Borders: tw.BorderNone,
			Settings: tw.Settings{
				Separators: tw.Separators{BetweenColumns: tw.Off},
				Lines:      tw.Lines{ShowHeaderLine: tw.On},
			},
		})),
		tablewriter.WithPadding(tw.Padding{Left: "", Right: "  "}),
		tablewriter.WithHeaderAutoFormat(tw.Off),
		tablewriter.WithRowAutoWrap(tw.WrapNone),
		tablewriter.WithHeaderAutoWrap(tw.WrapNone),
		tablewriter.WithAlignment(align),
	)
	table.Header(header)
	if p.err = table.Bulk(rows); p.err == nil {
		p.err = table.Render()
	}
	for line := range strings.Lines(drawn.String()) {
		p.line(strings.TrimRight(line, " \n"))
	}
}

func (p *page) arms(phase analyze.Phase) {
	rows := make([][]string, 0, len(phase.Arms))
	for _, arm := range phase.Arms {
		rows = append(rows, armRow(arm))
	}
	p.table(armHeader, rows, 0)
	for _, text := range armSentences(phase) {
		p.wrap("", text)
	}
}

var armHeader = []string{"version", "hits", "share %", "conf.", "errors", "p50", "p95", "p99"}

func armRow(arm analyze.Arm) []string {
	name := arm.Name
	if arm.Role != name {
		name += " " + arm.Role
	}
	share := "-"
	if arm.ShareHigh > 0 {
		share = fmt.Sprintf("%.1f (%.1f-%.1f)", arm.Share*100, arm.ShareLow*100, arm.ShareHigh*100)
	}
	configured := "-"
	if arm.Configured != nil {
		configured = fmt.Sprintf("%.4g", *arm.Configured*100)
	}
	return []string{name, count(arm.Hits), share, configured, count(arm.Errors),
		latency(arm.P50.Seconds()), latency(arm.P95.Seconds()), latency(arm.P99.Seconds())}
}

// armSentences say of what kind the errors are.
func armSentences(phase analyze.Phase) (all []string) {
	for _, arm := range phase.Arms {
		if len(arm.Causes) > 0 {
			all = append(all, "Unattributed by cause: "+pairs(arm.Causes)+".")
		}
		if len(arm.Classes) > 0 && arm.Role != "unattributed" {
			all = append(all, fmt.Sprintf("Errors of version %s: %s.", arm.Name, pairs(arm.Classes)))
		}
	}
	return all
}

// silent are checks of one target of several that have nothing to say: there may be dozens.
func silent(c analyze.Check) bool { return c.Target != "" && c.Outcome != analyze.Fail }

// targets is a table of several targets.
func (p *page) targets(phase analyze.Phase) {
	if len(phase.Targets) > 0 {
		p.line("")
		p.table(targetHeader, targetRows(phase), 0, 1)
	}
}

var targetHeader = []string{"target", "version", "hits", "errors", "p50", "p95", "p99"}

// targetRows has one for each version that answered on each of several targets, which is named once.
func targetRows(phase analyze.Phase) (rows [][]string) {
	for _, target := range phase.Targets {
		name := target.Name
		for _, arm := range target.Arms {
			rows = append(rows, []string{name, arm.Name, count(arm.Hits), count(arm.Errors),
				latency(arm.P50.Seconds()), latency(arm.P95.Seconds()), latency(arm.P99.Seconds())})
			name = ""
		}
		if len(target.Arms) == 0 {
			rows = append(rows, []string{name, "-", "0", "0", "-", "-", "-"})
		}
	}
	return rows
}

func pairs(counts map[string]uint64) string {
	var out []string
	for _, key := range slices.Sorted(maps.Keys(counts)) {
		out = append(out, fmt.Sprintf("%s %s", key, analyze.Count(counts[key])))
	}
	return strings.Join(out, ", ")
}

// count writes what is too long for a column in millions.
func count(n uint64) string {
	if n < 1e7 {
		return analyze.Count(n)
	}
	return fmt.Sprintf("%.4gM", float64(n)/1e6)
}

// latency writes milliseconds in a few characters.
func latency(seconds float64) string {
	switch {
	case seconds == 0:
		return "-"
	case seconds >= 1:
		return fmt.Sprintf("%.2fs", seconds)
	case seconds >= 0.1:
		return fmt.Sprintf("%.0fms", seconds*1000)
	}
	return fmt.Sprintf("%.1fms", seconds*1000)
}

// sending says how much was sent, and how late.
func sending(phase analyze.Phase) string {
	rate := 0.0
	if phase.Length > 0 {
		rate = float64(phase.Sent) / phase.Length.Seconds()
	}
	text := fmt.Sprintf("Sent %s of %s due in %s (%.0f/s); lateness p50 %s, p99 %s", analyze.Count(phase.Sent), analyze.Count(phase.Due),
		analyze.Short(phase.Length), rate, analyze.Short(phase.Lateness.WakeP50), analyze.Short(phase.Lateness.WakeP99))
	if phase.Lateness.Blocked > 0 {
		text += fmt.Sprintf("; %s waited for a free connection, p99 %s", analyze.Count(phase.Lateness.Blocked), analyze.Short(phase.Lateness.BlockedP99))
	}
	if phase.Pending > 0 {
		text += fmt.Sprintf("; %s unanswered at the end", analyze.Count(phase.Pending))
	}
	return text + "."
}

// propagation is how the canary came.
func propagation(t analyze.Propagation) string {
	var parts []string
	if t.Changed != nil {
		if t.Deployed != nil {
			parts = append(parts, "deployed after "+analyze.Short(*t.Deployed-*t.Changed))
		}
		if t.FirstCanary != nil {
			parts = append(parts, "first canary answer after "+analyze.Short(*t.FirstCanary-*t.Changed))
		}
		if t.Armed != nil {
			parts = append(parts, "split settled by "+analyze.Short(*t.Armed-*t.Changed))
		}
	}
	var text string
	if t.Unsettled {
		text = "The split did not come near its configured share: judging began at the end of settle. "
	}
	if len(parts) > 0 {
		text += "Since the canary was created: " + strings.Join(parts, ", ") + "."
	}
	return strings.TrimSpace(text)
}

func (p *page) checks(checks []analyze.Check) {
	rows := make([][]string, 0, len(checks))
	for _, c := range checks {
		rows = append(rows, checkRow(c))
	}
	p.table(checkHeader, rows, 0, 1)
	p.wrap("", legend)
}

var checkHeader = []string{"check", "outcome", "seen", "proven", "allowed", "evidence"}

const legend = "Evidence: odds to 1 for the outcome, and the odds needed. Proven: what the evidence leaves possible."

func checkRow(c analyze.Check) []string {
	estimate := "-"
	if c.Estimate != nil {
		estimate = c.Format(*c.Estimate)
	}
	evidence := "-"
	if c.Needed > 0 && (c.Outcome != analyze.Pass || c.Evidence >= c.Needed) {
		evidence = fmt.Sprintf("%s/%.3g", compact(c.Evidence), c.Needed)
		if c.Needed >= 1000 {
			evidence = compact(c.Evidence) + "/" + compact(c.Needed)
		}
	}
	return []string{c.Name, c.Outcome.String(), estimate, proven(c), allowed(c), evidence}
}

func proven(c analyze.Check) string {
	low, high := c.Proven.Low, c.Proven.High
	switch {
	case low != nil && high != nil && c.Limit.Low != nil:
		if *low <= 0 && *high >= 1 {
			return "-"
		}
		return fmt.Sprintf("%.3g-%.3g %%", *low*100, *high*100)
	case low != nil && c.Outcome == analyze.Fail:
		return ">= " + c.Format(*low)
	case high != nil && (c.Unit != analyze.UnitShare || *high < 1):
		return "<= " + c.Format(*high)
	}
	return "-"
}

func allowed(c analyze.Check) string {
	switch {
	case c.Limit.Low != nil && c.Limit.High != nil:
		return fmt.Sprintf("%.4g-%.4g %%", *c.Limit.Low*100, *c.Limit.High*100)
	case c.Limit.High != nil:
		return "<= " + c.Format(*c.Limit.High)
	}
	return "-"
}

// compact writes evidence, which grows without bound, in a few characters.
func compact(x float64) string {
	switch {
	case x >= 1e6:
		return "> 1e6"
	case x >= 100:
		return analyze.Count(uint64(x))
	case x < 0.01:
		return "< 0.01"
	}
	return fmt.Sprintf("%.2g", x)
}

// others are the phases before and after, a line each.
func (p *page) others(a analyze.Analysis) {
	var rows [][]string
	for _, phase := range a.Phases {
		if phase.Name != analyze.During {
			rows = append(rows, phaseRow(phase))
		}
	}
	if len(rows) > 0 {
		p.line("")
		p.table(phaseHeader, rows, 0, 1)
	}
	for _, phase := range a.Phases {
		if phase.Name != analyze.During && phase.Outcome != analyze.Pass && phase.Sentence != "" {
			p.wrap(mark[phase.Outcome]+" ", fmt.Sprintf("%s, stage %s: %s", phase.Name, phase.Stage, phase.Sentence))
		}
	}
	p.wrap("", acted(a))
}

var phaseHeader = []string{"phase", "stage", "expected", "answered", "outcome", "hits", "errors", "p95"}

func phaseRow(phase analyze.Phase) []string {
	errors, p95 := uint64(0), "-"
	var seen []string
	for _, arm := range phase.Arms {
		errors += arm.Errors
		if arm.Hits > 0 {
			seen = append(seen, arm.Name)
		}
		if arm.Name == phase.Expect {
			p95 = latency(arm.P95.Seconds())
		}
	}
	kind, _, _ := strings.Cut(phase.Name, "/")
	return []string{kind, phase.Stage, phase.Expect, strings.Join(seen, " "), phase.Outcome.String(), count(phase.Hits), count(errors), p95}
}

// acted is what came of acting on the verdict.
func acted(a analyze.Analysis) string {
	t := a.Propagation
	if t.Acted == nil {
		return ""
	}
	text := "Stage " + a.Action
	switch {
	case t.Straggler != nil && *t.Straggler > *t.Acted:
		text += ", last answer of the other version " + analyze.Short(*t.Straggler-*t.Acted) + " later"
	case answeredAfter(a):
		text += ", no answer of the other version after it"
	default:
		text += ", and no traffic asked whether it took"
	}
	return text + "."
}

// answeredAfter reports that somebody looked.
func answeredAfter(a analyze.Analysis) bool {
	return slices.ContainsFunc(a.Phases, func(p analyze.Phase) bool {
		return (p.Name == analyze.After || strings.HasPrefix(p.Name, analyze.After+"/")) && p.Hits > 0
	})
}

// changed is what the run did to the stage.
func (p *page) changed(a analyze.Analysis) {
	var all []string
	for _, c := range changes(a) {
		all = append(all, fmt.Sprintf("%s at %s", c.what, analyze.Short(c.at)))
	}
	if len(all) > 0 {
		p.wrap("", "Changed: "+strings.Join(all, "; ")+".")
	}
}

// ending is how the run ended, if not as it should.
func ending(a analyze.Analysis) string {
	switch a.End.Reason {
	case "interrupted":
		return "Interrupted."
	case "crashed":
		return "The run file has no end: the run crashed, or still goes on."
	case "error":
		return "error: " + a.End.Error
	case "unreadable":
		if a.Header.Policy == nil && !blank(a) { // else the verdict says it
			return "Not all could be read: " + a.End.Error + "."
		}
	}
	return ""
}
