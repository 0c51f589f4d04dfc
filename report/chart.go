package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"coalmine/analyze"
)

// chart is what the page's script draws, and the table beside it for whom a drawing is nothing.
type chart struct {
	ID      string   `json:"id"`
	Title   string   `json:"title"`
	Caption string   `json:"-"`
	Empty   string   `json:"-"` // why there is nothing to draw
	Half    bool     `json:"-"` // of the page's width, where there is room for two
	Small   bool     `json:"small,omitempty"`
	Time    bool     `json:"time,omitempty"` // marks and phases are shown
	X       axis     `json:"x"`
	Y       axis     `json:"y"`
	At      numbers  `json:"at"`
	Series  []series `json:"series"`
	Bands   [][2]int `json:"bands,omitempty"` // series, the upper first
	Rules   []rule   `json:"rules,omitempty"`
	Table   grid     `json:"-"`
}

type axis struct {
	Unit string   `json:"unit"` // s, %, ms, /s, nines, odds, run
	Log  bool     `json:"log,omitempty"`
	Min  *float64 `json:"min,omitempty"`
	Max  *float64 `json:"max,omitempty"`
}

type series struct {
	Label  string  `json:"label"`
	Tone   string  `json:"tone"`           // names a colour
	Dash   int     `json:"dash,omitempty"` // so that colour does not say it alone
	Dots   bool    `json:"dots,omitempty"`
	Points bool    `json:"points,omitempty"` // on the line
	Spans  bool    `json:"spans,omitempty"`  // drawn over moments without a value
	Values numbers `json:"values"`
}

// rule is a horizontal line: what is configured, or a limit.
type rule struct {
	At    float64 `json:"at"`
	Label string  `json:"label"`
	Tone  string  `json:"tone"`
}

// moment is one worth a line through the charts over time.
type moment struct {
	At    float64 `json:"at"` // seconds
	Label string  `json:"label"`
}

// region is a phase.
type region struct {
	From  float64 `json:"from"` // seconds
	To    float64 `json:"to"`
	Label string  `json:"label"`
}

// grid is a table of texts.
type grid struct {
	Head []string
	Rows [][]string
	Note string
}

// numbers are written in five digits; what is no number is null, a gap.
type numbers []float64

// MarshalJSON writes an array.
func (n numbers) MarshalJSON() ([]byte, error) {
	out := []byte{'['}
	for i, x := range n {
		if i > 0 {
			out = append(out, ',')
		}
		if math.IsNaN(x) || math.IsInf(x, 0) {
			out = append(out, "null"...)
		} else {
			out = strconv.AppendFloat(out, digits(x, 5), 'g', -1, 64)
		}
	}
	return append(out, ']'), nil
}

func digits(x float64, n int) float64 {
	short, err := strconv.ParseFloat(strconv.FormatFloat(x, 'g', n, 64), 64)
	if err != nil {
		return x
	}
	return short
}

var gap = math.NaN()

func (s *series) add(x float64) { s.Values = append(s.Values, x) }

// over divides, and is a gap where there is nothing to divide by.
func over(k, n uint64) float64 {
	if n == 0 {
		return gap
	}
	return float64(k) / float64(n)
}

func ms(d time.Duration) float64 {
	if d == 0 {
		return gap
	}
	return float64(d) / 1e6
}

func ptr(x float64) *float64 { return &x }

// extent is the least and the greatest of what is a number.
func extent(all ...numbers) (low, high float64, ok bool) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, values := range all {
		for _, x := range values {
			if !math.IsNaN(x) && !math.IsInf(x, 0) {
				low, high = min(low, x), max(high, x)
			}
		}
	}
	return low, high, low <= high
}

const mostRows = 60 // of a chart's table

// tabulate is the chart's table: every so many-th moment.
func (c *chart) tabulate(first string) {
	c.Table.Head = []string{first}
	for _, s := range c.Series {
		c.Table.Head = append(c.Table.Head, s.Label)
	}
	every := (len(c.At) + mostRows - 1) / mostRows
	for i := 0; i < len(c.At); i += max(every, 1) {
		row := []string{c.X.text(c.At[i])}
		empty := true
		for _, s := range c.Series {
			row = append(row, c.Y.text(s.Values[i]))
			empty = empty && math.IsNaN(s.Values[i])
		}
		if !empty {
			c.Table.Rows = append(c.Table.Rows, row)
		}
	}
	if every > 1 {
		c.Table.Note = fmt.Sprintf("One row for every %d points of the chart.", every)
	}
}

// figure is a number in four digits, without an exponent.
func figure(x float64) string {
	x, _ = strconv.ParseFloat(strconv.FormatFloat(x, 'g', 4, 64), 64)
	return strconv.FormatFloat(x, 'f', -1, 64)
}

// text is a number of the axis with its unit.
func (a axis) text(x float64) string {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return "–"
	}
	switch a.Unit {
	case "%":
		return fmt.Sprintf("%.4g %%", x)
	case "ms":
		return analyze.Short(time.Duration(x * 1e6))
	case "s":
		return fmt.Sprintf("%.1f s", x)
	case "/s":
		return figure(x) + " /s"
	case "nines":
		return percentile(1 - math.Pow(10, -x))
	case "run":
		return fmt.Sprintf("%.0f", x)
	case "odds":
		return odds(x * math.Ln10)
	}
	return fmt.Sprintf("%.4g", x)
}

// percentile writes 0.999 as "p99.9".
func percentile(q float64) string {
	places := 0
	if left := 1 - q; left > 0 {
		places = max(0, int(math.Ceil(-math.Log10(left)-1e-9))-1)
	}
	return "p" + strings.TrimSuffix(strings.TrimRight(strconv.FormatFloat(q*100, 'f', places, 64), "0"), ".")
}

// odds writes evidence given as its natural logarithm.
func odds(log float64) string {
	if log > 30 || log < -30 {
		return fmt.Sprintf("1e%+.0f to 1", log/math.Ln10)
	}
	return fmt.Sprintf("%.3g to 1", math.Exp(log))
}

// tones give each version a colour: by role where it has one.
func tones(arms []string, t analyze.Target) map[string]string {
	out, others := map[string]string{}, 0
	for _, name := range arms {
		switch {
		case name == t.Canary:
			out[name] = "canary"
		case name == t.Baseline:
			out[name] = "baseline"
		default:
			out[name] = "other" + strconv.Itoa(others%3)
			others++
		}
	}
	return out
}

const mostArms = 6 // of a chart; more cannot be told apart

// busiest are the versions of a chart: all that answered, or baseline, canary and those that answered most.
func busiest(moments []analyze.Moment, arms []string, target analyze.Target) (shown []string, left int) {
	hits := map[string]uint64{}
	for _, m := range moments {
		for name, arm := range m.Arms {
			hits[name] += arm.Hits
		}
	}
	for _, name := range arms {
		if hits[name] > 0 {
			shown = append(shown, name)
		}
	}
	if len(shown) <= mostArms {
		return shown, 0
	}
	first := func(name string) int {
		if name == target.Baseline || name == target.Canary {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(shown, func(a, b string) int {
		return cmp.Or(cmp.Compare(first(a), first(b)), cmp.Compare(hits[b], hits[a]))
	})
	return shown[:mostArms], len(shown) - mostArms
}
