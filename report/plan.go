package report

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"coalmine/analyze"
)

// PlanFormat writes a forecast.
type PlanFormat func(io.Writer, analyze.Forecast) error

// NamedPlan finds a format of forecasts: table or json.
func NamedPlan(name string) (PlanFormat, error) {
	return named(map[string]PlanFormat{"table": planTable, "json": indented[analyze.Forecast]}, name)
}

// planTable fits a terminal of 80 columns.
func planTable(w io.Writer, f analyze.Forecast) error {
	p := &page{w: w}
	p.wrap("", expectation(f))
	p.line("")
	rows := make([][]string, 0, len(f.Checks))
	watched := false
	for _, c := range f.Checks {
		watched = watched || c.Watches
		row := []string{c.Name, c.Allowed, "never", "never", "-", c.Room.String(), "-"}
		if c.Watches {
			row[2], row[3], row[5] = "-", "-", "-"
		}
		if c.Bound != nil {
			row[2], row[3], row[4] = requests(*c.Bound), requests(*c.Expected), "-"
			if c.At != nil {
				row[4] = analyze.Short(*c.At)
			}
		}
		if c.Regression != nil {
			row[6] = analyze.Check{Unit: c.Unit}.Format(*c.Regression)
		}
		rows = append(rows, row)
	}
	p.table([]string{"check", "allowed", "bound", "expected", "after", "budget", "rejects"}, rows, 0)
	p.wrap("", "Bound: requests to both versions that an ideal test needs on average, log(1/alpha)/information. Expected: twice that, "+
		"as measured of the whole gate; after: with what is waited for. Budget: yes from six times the bound on, tight from twice. "+
		"Rejects: the smallest regression that the budget is expected to reject, by this check alone.")
	if watched {
		p.wrap("", "Stage errors only reject; PROMOTE does not wait for them. Their regression is the canary's own share.")
	}
	p.line("")
	p.wrap("", assumptions(f))
	p.wrap("", costs(f))
	if len(f.Ways) > 0 {
		p.line("")
		p.wrap("", "Any one of these makes the budget ample, all else as it is:")
		for _, way := range f.Ways {
			p.wrap("  ", fmt.Sprintf("%-7s %s", way.Kind, way.Flags))
		}
	} else if f.Room != analyze.Ample {
		p.line("")
		p.wrap("", "No single change of duration, rate, margin or share makes the budget ample.")
	}
	for i, text := range f.Advice {
		if i == 0 {
			p.line("")
		}
		p.wrap("note: ", text)
	}
	return p.err
}

func requests(x float64) string {
	if x >= 1e15 {
		return "> 1e15"
	}
	return analyze.Count(uint64(math.Ceil(x)))
}

func span(d time.Duration) string { return analyze.Short(d) }

func percent(f analyze.Forecast) string { return fmt.Sprintf("%.4g %%", f.Percent) }

func expectation(f analyze.Forecast) string {
	budget := fmt.Sprintf("%s (%s requests)", span(time.Duration(f.Policy.MaxDuration)), requests(f.Budget))
	from := fmt.Sprintf("A good canary at %s of %.6g requests a second", percent(f), f.Rate)
	switch {
	case f.Time == nil:
		return fmt.Sprintf("%s is never promoted: %s cannot pass.", from, f.Slowest)
	case f.Room == analyze.Undecidable:
		return fmt.Sprintf("%s cannot be decided within %s: PROMOTE would take about %s (%s requests), because of %s.",
			from, budget, span(*f.Time), requests(*f.Requests), f.Slowest)
	}
	enough := "The budget is ample"
	if f.Room == analyze.Tight {
		enough = "The budget is tight: some runs will end INCONCLUSIVE"
	}
	because := "the slowest check is " + f.Slowest
	if f.Slowest == "min-duration" {
		because = "no check takes longer than min-duration"
	}
	return fmt.Sprintf("%s is expected to be promoted after about %s (%s requests); %s. %s: %s.",
		from, span(*f.Time), requests(*f.Requests), because, enough, budget)
}

func assumptions(f analyze.Forecast) string {
	s := f.Service
	from := "Assumed"
	if s.Learned > 0 {
		from = fmt.Sprintf("Learned from %s answers", analyze.Count(s.Learned))
	}
	without := "no errors without a version"
	if s.Unattributed > 0 {
		without = analyze.Share(s.Unattributed) + " without a version"
	}
	return fmt.Sprintf("%s: errors %s, %s, response times around %s (lognormal, sigma %.2g). The canary is like the baseline and "+
		"answers from the start. This is an expectation, not a promise: one run in ten takes more than 1.6 times as long.",
		from, analyze.Share(s.Errors), without, span(s.Median), s.Sigma)
}

func costs(f analyze.Forecast) string {
	each := func(c analyze.Cost) string {
		text := fmt.Sprintf("%s (API Gateway %s, Lambda %s)", dollars(c.Total), dollars(c.Gateway), dollars(c.Lambda))
		if c.Logs > 0 {
			text += ", and logs " + dollars(c.Logs)
		}
		return text
	}
	text := "Cost: "
	if f.Cost != nil && f.Room != analyze.Undecidable {
		text += each(*f.Cost) + "; "
	}
	return text + fmt.Sprintf("the whole budget %s. List prices, %.4g MB, %s an invocation.", each(f.Most), f.Prices.MemoryMB, span(f.Prices.Duration))
}

func dollars(x float64) string {
	switch {
	case x == 0:
		return "$0"
	case x < 0.0001:
		return "< $0.0001"
	case x < 0.1:
		return fmt.Sprintf("$%.4f", x)
	case x >= 1000:
		return "$" + requests(x)
	}
	return fmt.Sprintf("$%.2f", x)
}

// PlanLine is the one greppable sentence that a plan ends with.
func PlanLine(f analyze.Forecast) string {
	budget := fmt.Sprintf("%s requests in %s", requests(f.Budget), span(time.Duration(f.Policy.MaxDuration)))
	if f.Room == analyze.Undecidable {
		why := "is too slow"
		if f.Time == nil {
			why = "cannot pass"
		}
		line := fmt.Sprintf("coalmine: plan: undecidable within %s, %s %s", budget, f.Slowest, why)
		var ways []string
		for _, way := range f.Ways {
			ways = append(ways, way.Flags)
		}
		if len(ways) == 0 {
			return line + "; no single change would do"
		}
		return line + "; ways out: " + strings.Join(ways, " | ")
	}
	return fmt.Sprintf("coalmine: plan: PROMOTE expected after %s requests, %s, %s, slowest check %s (budget %s: %s)",
		requests(*f.Requests), span(*f.Time), dollars(f.Cost.Total), f.Slowest, budget, map[analyze.Room]string{analyze.Tight: "tight", analyze.Ample: "ample"}[f.Room])
}
