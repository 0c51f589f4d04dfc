package report_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"coalmine/analyze"
	"coalmine/report"
)

func forecast(t *testing.T, percent, rate float64, change func(*analyze.Question)) analyze.Forecast {
	t.Helper()
	q := analyze.Question{Policy: analyze.DefaultPolicy(false), Percent: percent, Rate: rate, MaxRate: 1000, Service: analyze.DefaultService, Prices: analyze.DefaultPrices}
	if change != nil {
		change(&q)
	}
	f, err := analyze.Foresee(q)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestPlanTable(t *testing.T) {
	table, err := report.NamedPlan("table")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		f    analyze.Forecast
		says []string
		line string
	}{
		{"ample", forecast(t, 50, 100, nil), []string{"is expected to be promoted after\nabout 5m0s (30,000 requests)", "split                    47-53 %  2,554     5,108  2m51s     yes  3.84 pp",
			"stage errors           <= 1.00 %      -         -      -       -   2.22 %", "Cost: $0.11 (API Gateway $0.10, Lambda $0.0095)", "not a promise"},
			"coalmine: plan: PROMOTE expected after 30,000 requests, 5m0s, $0.11, slowest check min-duration (budget 90,000 requests in 15m0s: ample)"},
		{"tight", forecast(t, 10, 100, nil), []string{"budget is\ntight: some runs will end INCONCLUSIVE", "\n  longer --max-duration ", "\n  faster --rate ", "\n  margin --latency-margin ", "\n  share "},
			"slowest check p95 diff (budget 90,000 requests in 15m0s: tight)"},
		{"undecidable", forecast(t, 5, 10, nil), []string{"cannot be decided within 15m0s\n(9,000 requests)", "\n  longer --max-duration 4h50m"},
			"coalmine: plan: undecidable within 9,000 requests in 15m0s, errors diff is too slow; ways out: --max-duration 4h50m"},
		{"never", forecast(t, 50, 100, func(q *analyze.Question) { q.Service.Errors = .02 }), []string{"is never promoted: errors\nbaseline cannot pass", "never"},
			"coalmine: plan: undecidable within 90,000 requests in 15m0s, errors baseline cannot pass; ways out: --errors-max "},
		{"vast", forecast(t, 0.01, 0.001, func(q *analyze.Question) {
			q.MaxRate, q.Policy.Errors.Margin, q.Prices.LogBytes = 0.001, 0.0001, 1e9
			q.Policy.Latency.Max = map[analyze.Quantile]analyze.Duration{.9999: analyze.Duration(10 * time.Minute)}
		}), []string{"logs $"}, "undecidable"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out bytes.Buffer
			if err := table(&out, tc.f); err != nil {
				t.Fatal(err)
			}
			for _, want := range tc.says {
				if !strings.Contains(out.String(), want) {
					t.Errorf("no %q in\n%s", want, out.String())
				}
			}
			for line := range strings.Lines(out.String()) {
				if n := len([]rune(strings.TrimRight(line, "\n"))); n > 80 {
					t.Errorf("%d columns: %s", n, line)
				}
			}
			if line := report.PlanLine(tc.f); !strings.Contains(line, tc.line) || strings.Contains(line, "\n") {
				t.Errorf("last line %q, want %q", line, tc.line)
			}
		})
	}
}

func TestPlanJSON(t *testing.T) {
	format, err := report.NamedPlan("json")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := format(&out, forecast(t, 10, 100, nil)); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Slowest string `json:"slowest"`
		Within  string `json:"within_budget"`
		Checks  []struct {
			Name  string  `json:"name"`
			Bound float64 `json:"bound_requests"`
		} `json:"checks"`
		Ways []analyze.Way `json:"ways_out"`
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || got.Slowest != "p95 diff" || got.Within != "tight" || len(got.Checks) != 6 || got.Checks[1].Bound < 1000 || len(got.Ways) != 4 {
		t.Errorf("%v: %+v", err, got)
	}
	if _, err := report.NamedPlan("pdf"); err == nil || !strings.Contains(err.Error(), `unknown format "pdf": want one of json, table`) {
		t.Error(err)
	}
}
