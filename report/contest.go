package report

import (
	"fmt"
	"io"

	"coalmine/analyze"
)

// ContestFormat writes two searches side by side.
type ContestFormat func(io.Writer, analyze.Contest) error

// NamedContest finds a format of two searches: table, json or html.
func NamedContest(name string) (ContestFormat, error) {
	return named(map[string]ContestFormat{"table": contestTable, "json": indented[analyze.Contest], "html": contestHTML}, name)
}

const contestCaption = "Rates are requests per second of the arm that was asked for, or of the whole stage; only what trials have proven is compared, and no quota's or generator's end."

func contestTable(w io.Writer, c analyze.Contest) error {
	p := &page{w: w}
	p.wrap("", c.Sentence)
	p.line("")
	for i, side := range []analyze.Contender{c.A, c.B} {
		p.wrap([]string{"A: ", "B: "}[i], contenderLine(side))
	}
	for _, difference := range c.SetUp {
		p.wrap("not the same to begin with: ", difference)
	}
	p.line("")
	g := contestGrid(c)
	p.table(g.Head, g.Rows, 0, 1)
	p.wrap("", contestCaption)
	return p.err
}

func contenderLine(c analyze.Contender) string {
	line := visible(c.Says)
	if !c.Started.IsZero() {
		line = c.Started.UTC().Format("2006-01-02 15:04:05 UTC") + ", " + line
	}
	if c.File != "" {
		line = visible(c.File) + ", " + line
	}
	return line
}

func contestGrid(c analyze.Contest) (g grid) {
	g.Head = []string{"search", "result", "whose", "held at", "failed at", "time"}
	known := func(rate float64) string {
		if rate == 0 {
			return "-"
		}
		return analyze.PerSecondOf(rate)
	}
	for i, side := range []analyze.Contender{c.A, c.B} {
		whose := side.Whose
		if side.Version != "" {
			whose = fmt.Sprintf("%s %s", side.Whose, name(side.Version))
		}
		g.Rows = append(g.Rows, []string{[]string{"A", "B"}[i], string(side.Kind), whose, known(side.Held), known(side.Failed), clockTime(side.Took)})
	}
	return g
}

func contestHTML(w io.Writer, c analyze.Contest) error {
	p := runsPage{Title: "coalmine: two searches", Word: "A and B", Why: visible(c.Sentence), Tone: "plain", Grid: contestGrid(c), Caption: contestCaption,
		Runs: []fact{{"A", contenderLine(c.A), ""}, {"B", contenderLine(c.B), ""}}}
	for _, difference := range c.SetUp {
		p.Notes = append(p.Notes, "Not the same to begin with: "+visible(difference))
	}
	return p.write(w)
}
