package report

import (
	"fmt"
	"io"
	"strings"

	"coalmine/analyze"
)

// Preview is what a gate would do, and on what grounds, before it sends its load.
type Preview struct {
	Target    analyze.Target    `json:"target"`
	Live      string            `json:"canary,omitempty"` // the canary as the control plane has it
	Uncovered []string          `json:"not_covered,omitempty"`
	Sent      int               `json:"requests_sent"` // 0: a finding blocks
	Findings  []Finding         `json:"preflight"`
	Forecast  *analyze.Forecast `json:"forecast,omitempty"` // nil: a finding blocks
}

// Finding is what a preflight check came to.
type Finding struct {
	Check  string `json:"check"`
	Level  string `json:"level"` // ok, not checked, warning or block
	Text   string `json:"text"`
	Remedy string `json:"remedy,omitempty"`
}

// PreviewFormat writes a preview.
type PreviewFormat func(io.Writer, Preview) error

// NamedPreview finds a format of previews: table or json.
func NamedPreview(name string) (PreviewFormat, error) {
	return named(map[string]PreviewFormat{"table": previewTable, "json": indented[Preview]}, name)
}

func previewTable(w io.Writer, v Preview) error {
	p := &page{w: w}
	t := v.Target
	if v.Forecast != nil {
		p.wrap("", fmt.Sprintf("%s %s: version %s is judged against version %s, at %.4g %% of the traffic.", t.Method, t.URL, t.Canary, t.Baseline, t.Percent))
	} else {
		p.wrap("", fmt.Sprintf("%s %s: cannot be judged as it is.", t.Method, t.URL))
	}
	if v.Live != "" {
		p.wrap("", "Canary: "+v.Live+".")
	}
	if t.Classify != "" {
		p.wrap("", fmt.Sprintf("Versions are told apart by %s (%d requests sent to try it).", t.Classify, v.Sent))
	}
	if t.Covers != "" {
		text := "Covers " + t.Covers
		if len(v.Uncovered) > 0 {
			text += "; not " + strings.Join(v.Uncovered, ", ")
		}
		p.wrap("", text+".")
	}
	p.preflight(v.Findings)
	if v.Forecast == nil || p.err != nil {
		return p.err
	}
	p.line("")
	return planTable(w, *v.Forecast)
}

func (p *page) preflight(findings []Finding) {
	if len(findings) == 0 {
		return
	}
	p.line("")
	rows := make([][]string, 0, len(findings))
	for _, f := range findings {
		text := f.Text
		if f.Level == "not checked" && f.Remedy != "" { // what matters more is said below
			text += "; " + f.Remedy
		}
		rows = append(rows, []string{f.Check, f.Level, text})
	}
	p.table([]string{"preflight", "outcome", "found"}, rows, 0, 1, 2)
	for _, f := range findings {
		if f.Level == "warning" || f.Level == "block" {
			p.wrap(f.Level+" "+f.Check+": ", strings.TrimSuffix(f.Text+"; "+f.Remedy, "; ")+".")
		}
	}
}

// PreviewLine is the one greppable sentence that a dry run ends with.
func PreviewLine(v Preview) string {
	counts := map[string]int{}
	for _, f := range v.Findings {
		counts[f.Level]++
	}
	line := fmt.Sprintf("coalmine: dry run: %d requests sent, nothing changed", v.Sent)
	if n := counts["block"]; n > 0 {
		line += ", blocked by " + plural(n, "preflight check")
	}
	if n := counts["warning"]; n > 0 {
		line += ", " + plural(n, "warning")
	}
	if v.Forecast != nil {
		line += fmt.Sprintf("; %s over %s at %.4g %%: %s", name(v.Target.Canary), name(v.Target.Baseline), v.Target.Percent, strings.TrimPrefix(PlanLine(*v.Forecast), "coalmine: "))
	}
	return visible(line)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
