package analyze

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Percentage is a share, 0 to 1, written in percent: "1%".
type Percentage float64

func (p Percentage) String() string { return trimZeros(float64(p)*100) + "%" }

// MarshalText writes percent.
func (p Percentage) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads percent, 0% to 100%.
func (p *Percentage) UnmarshalText(text []byte) error {
	x, err := percent(string(text))
	if err != nil || x < 0 || x > 1 {
		return fmt.Errorf("want a percentage like \"1%%\", 0%% to 100%%, got %q", text)
	}
	*p = Percentage(x)
	return nil
}

func percent(s string) (float64, error) {
	number, ok := strings.CutSuffix(strings.TrimSpace(s), "%")
	if !ok {
		return 0, strconv.ErrSyntax
	}
	x, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
		return 0, strconv.ErrSyntax
	}
	return nine(x) / 100, nil
}

// nine keeps nine decimals, which is what is written: a policy reads back from its run file as it was.
func nine(x float64) float64 { return math.Round(x*1e9) / 1e9 }

func trimZeros(x float64) string {
	return strconv.FormatFloat(nine(x), 'f', -1, 64)
}

// Duration is a time.Duration that is written as text in files.
type Duration time.Duration

func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText writes "1m30s".
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads "1m30s"; never negative.
func (d *Duration) UnmarshalText(text []byte) error {
	x, err := time.ParseDuration(string(text))
	if err != nil || x < 0 {
		return fmt.Errorf("want a duration like \"500ms\" or \"1m30s\", got %q", text)
	}
	*d = Duration(x)
	return nil
}

// Quantile is a quantile between 0 and 1, written "p95" or "p99.9".
type Quantile float64

func (q Quantile) String() string { return "p" + trimZeros(float64(q)*100) }

// MarshalText writes "p95".
func (q Quantile) MarshalText() ([]byte, error) { return []byte(q.String()), nil }

// UnmarshalText reads p1 to p99.99.
func (q *Quantile) UnmarshalText(text []byte) error {
	number, ok := strings.CutPrefix(string(text), "p")
	x, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || !(x >= 1 && x <= 99.99) {
		return fmt.Errorf("want a quantile p1 to p99.99, got %q", text)
	}
	*q = Quantile(nine(x) / 100)
	return nil
}

func (q Quantile) validate() error {
	if !(q >= 0.01 && q <= 0.9999) {
		return fmt.Errorf("want a quantile p1 to p99.99, got %s", q)
	}
	return nil
}

// Slack is how much slower the canary may be at a quantile: a share of the baseline's latency, a time, or the larger
// of both; written "10%", "1ms" or "10% or 1ms".
type Slack struct {
	Ratio float64 // 0.1 is 10 % slower
	Add   time.Duration
}

func (s Slack) String() string {
	ratio := trimZeros(s.Ratio*100) + "%"
	switch {
	case s.Add == 0:
		return ratio
	case s.Ratio == 0:
		return s.Add.String()
	}
	return ratio + " or " + s.Add.String()
}

// MarshalText writes "10% or 1ms".
func (s Slack) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func (s Slack) validate() error {
	if !(s.Ratio >= 0 && s.Ratio <= 10) || s.Add < 0 || s.Ratio == 0 && s.Add == 0 {
		return fmt.Errorf("want a margin like \"10%%\" above 0, got %s", s)
	}
	return nil
}

// UnmarshalText reads a percentage, a duration, or both joined by "or".
func (s *Slack) UnmarshalText(text []byte) error {
	bad := fmt.Errorf("want a margin like \"10%%\", \"1ms\" or \"10%% or 1ms\", above 0, got %q", text)
	var got Slack
	parts := strings.Split(string(text), " or ")
	if len(parts) > 2 {
		return bad
	}
	for _, part := range parts {
		part = strings.TrimSpace(part)
		if ratio, err := percent(part); err == nil && ratio > 0 && ratio <= 10 && got.Ratio == 0 {
			got.Ratio = ratio
		} else if add, err := time.ParseDuration(part); err == nil && add > 0 && got.Add == 0 {
			got.Add = add
		} else {
			return bad
		}
	}
	*s = got
	return nil
}
