package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"coalmine/analyze"
	"coalmine/analyze/capacity"
)

// What Prometheus sees is the run, with no label that grows from release to release.
func TestMetrics(t *testing.T) {
	path, _, _ := recorded(t)
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	a, _, err := analyze.Replay(file)
	if err != nil {
		t.Fatal(err)
	}
	a.Phases = append(a.Phases, analyze.Phase{Name: "before/dev", Sent: 3, Arms: []analyze.Arm{{Name: "7", Role: "expected", Hits: 3}}},
		analyze.Phase{Name: "before/staging", Sent: 4, Arms: []analyze.Arm{{Name: "8", Role: "foreign", Hits: 1, Errors: 1, Classes: map[string]uint64{"5xx": 1}}, {Name: "\x1b9", Role: "foreign", Hits: 2}}})
	var m metrics
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(&m)
	if all, err := registry.Gather(); err != nil || len(all) != 0 {
		t.Errorf("before the run: %v, %v", all, err)
	}
	m.watch(judged{a})
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	server := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	defer server.Close()
	text := scraped(t, server.URL)
	for _, want := range []string{
		`coalmine_requests_sent_total{phase="before"} 7`, `coalmine_answers_total{arm="foreign",phase="before"} 3`, `coalmine_errors_total{arm="foreign",class="5xx",phase="before"} 1`,
		`coalmine_verdict{verdict="PROMOTE"} 1`, `coalmine_verdict{verdict="REJECT"} 0`, `coalmine_share_configured_ratio{arm="canary",phase="during"} 0.5`,
		`coalmine_checks{outcome="fail"} 0`, `coalmine_ended{reason="verdict"} 1`, `coalmine_response_seconds{arm="canary",percentile="p99",phase="during"} 0.0`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	known := regexp.MustCompile(`^(phase="(before|during|after|bake|attack)"|arm="(baseline|canary|unattributed|foreign|expected|version)"|class="[a-z0-9-]+"|percentile="p[0-9]+"|outcome="[a-z]+"|verdict="[A-Z]+"|reason="[a-z]+")$`)
	for _, label := range regexp.MustCompile(`[a-z]+="[^"]*"`).FindAllString(text, -1) {
		if !known.MatchString(label) {
			t.Errorf("label %s", label)
		}
	}
}

// A search has its bounds beside its traffic; what is not known has no number.
func TestCapacityMetrics(t *testing.T) {
	var m metrics
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(&m)
	server := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	defer server.Close()
	s := analyze.Searching{Under: &analyze.TrialReport{}, Load: []analyze.Phase{{Name: "warm-up", Sent: 1}, {Name: "trial/1", Sent: 5}, {Name: "trial/2", Sent: 7, Pending: 2}}}
	s.Under.Rate = 320
	s.Trials = []analyze.TrialReport{{Done: capacity.Done{Outcome: capacity.Pass}}, {Done: capacity.Done{Outcome: capacity.Pass}}}
	s.Result.Lower = &capacity.Bound{Rate: 160, Proven: true}
	m.watch(searched{s})
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	text := scraped(t, server.URL)
	for _, want := range []string{`coalmine_requests_sent_total{phase="trial"} 12`, `coalmine_unanswered{phase="trial"} 2`, `coalmine_requests_sent_total{phase="warm-up"} 1`,
		`coalmine_capacity_bound_requests_per_second{bound="lower"} 160`, `coalmine_capacity_bound_proven{bound="lower"} 1`,
		`coalmine_capacity_trials_total{outcome="pass"} 2`, `coalmine_capacity_trials_total{outcome="fail"} 0`, `coalmine_capacity_trial_requests_per_second 320`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	if strings.Contains(text, `bound="upper"`) || strings.Contains(text, "ended") || strings.Contains(text, "verdict") {
		t.Errorf("what is not known:\n%s", text)
	}
	s.Under, s.End.Reason, s.Result.Upper = nil, "verdict", &capacity.Bound{Rate: 200}
	m.watch(searched{s})
	text = scraped(t, server.URL)
	for _, want := range []string{`coalmine_capacity_bound_proven{bound="upper"} 0`, `coalmine_ended{reason="verdict"} 1`, `coalmine_capacity_trial_requests_per_second 0`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
}

// The endpoint is there from the first request on, and for as long after the end as was asked for.
func TestMetricsEndpoint(t *testing.T) {
	o := output{out: "none", metrics: metrics{address: "127.0.0.1:0", linger: time.Hour}}
	var said strings.Builder
	if err := o.open(world{func(string) string { return "" }, nil, io.Discard, &said}, "attack", time.Now()); err != nil {
		t.Fatal(err)
	}
	url := strings.TrimSpace(strings.TrimPrefix(said.String(), "metrics: "))
	o.beside(func(analyze.Analysis) {})(analyze.Analysis{Phases: []analyze.Phase{{Name: "attack", Sent: 5}}})
	if text := scraped(t, url); !strings.Contains(text, `coalmine_requests_sent_total{phase="attack"} 5`) {
		t.Error(text)
	}
	ctx, cancel := context.WithCancel(t.Context())
	closed := make(chan struct{})
	go func() {
		o.metrics.close(ctx, judged{analyze.Analysis{Phases: []analyze.Phase{{Name: "attack", Sent: 6}}}})
		close(closed)
	}()
	for !strings.Contains(scraped(t, url), `coalmine_requests_sent_total{phase="attack"} 6`) {
		time.Sleep(time.Millisecond)
	}
	cancel()
	<-closed
	if _, err := http.Get(url); err == nil {
		t.Error("the endpoint is still there")
	}
}

func scraped(t *testing.T, url string) string {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != 200 {
		t.Fatalf("%s: %v %s", answer.Status, err, text)
	}
	return string(text)
}
