package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/pflag"

	"coalmine/analyze"
	"coalmine/analyze/capacity"
)

// metrics is how the run stands, for Prometheus. Labels are what every run has, phases, roles and classes, and never a
// version, a path or a check: release after release makes no new series.
type metrics struct {
	address  string
	anywhere bool
	linger   time.Duration
	server   *http.Server
	stand    atomic.Pointer[standing]
}

func (m *metrics) flags(f *pflag.FlagSet) {
	f.StringVar(&m.address, "metrics", "", "`HOST:PORT` of a Prometheus endpoint, /metrics, while the run goes on, like 127.0.0.1:9464")
	f.BoolVar(&m.anywhere, "metrics-anywhere", false, "allow --metrics an address that other machines reach")
	f.DurationVar(&m.linger, "metrics-linger", 0, "keep --metrics for so long after the end, for a last scrape")
}

func (m *metrics) check() error {
	if m.address == "" {
		if m.anywhere || m.linger != 0 {
			return usagef("--metrics-anywhere and --metrics-linger: want --metrics HOST:PORT, too")
		}
		return nil
	}
	if m.linger < 0 {
		return usagef("--metrics-linger: want a time, like 30s, got %s", m.linger)
	}
	return listenable("metrics", m.address, "127.0.0.1:9464", m.anywhere)
}

// open listens, before anything is sent.
func (m *metrics) open(w world) error {
	if m.address == "" {
		return nil
	}
	listener, err := net.Listen("tcp", m.address)
	if err != nil {
		return usagef("--metrics: %w", err)
	}
	fmt.Fprintf(w.stderr, "metrics: http://%s/metrics\n", listener.Addr())
	registry := prometheus.NewRegistry()
	registry.MustRegister(m)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	m.server = &http.Server{Handler: mux, ReadHeaderTimeout: liveWait, WriteTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	go m.server.Serve(listener)
	return nil
}

// watch never waits.
func (m *metrics) watch(s standing) { m.stand.Store(&s) }

// close shows the end for as long as was asked for, or until the run is interrupted, and leaves.
func (m *metrics) close(ctx context.Context, s standing) {
	if m.server == nil {
		return
	}
	m.watch(s)
	select {
	case <-ctx.Done():
	case <-time.After(m.linger):
	}
	m.server.Close()
}

func metric(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("coalmine_"+name, help, labels, nil)
}

var (
	requestsSent   = metric("requests_sent_total", "Requests sent.", "phase")
	answersTotal   = metric("answers_total", "Answers, errors included; of during those that are judged, and before the split has settled those that will not be.", "phase", "arm")
	errorsTotal    = metric("errors_total", "Answers that are errors, as answers_total counts them.", "phase", "arm", "class")
	unanswered     = metric("unanswered", "Requests that are due and have no answer.", "phase")
	shareRatio     = metric("share_ratio", "Share of the answers, 0 to 1.", "phase", "arm")
	shareLow       = metric("share_low_ratio", "Lower end of the anytime-valid confidence sequence of the share.", "phase", "arm")
	shareHigh      = metric("share_high_ratio", "Upper end of it.", "phase", "arm")
	shareWanted    = metric("share_configured_ratio", "Share that is configured.", "phase", "arm")
	responseTime   = metric("response_seconds", "Response time of successes, from when a request was due; 0 without any.", "phase", "arm", "percentile")
	lateness       = metric("lateness_seconds", "How late requests were sent though a connection was free.", "phase", "percentile")
	checksByResult = metric("checks", "Checks by what they say.", "outcome")
	verdictIs      = metric("verdict", "1 for the verdict as it is now, 0 for the others.", "verdict")
	runEnded       = metric("ended", "1 once the run is over, as it is by then.", "reason")

	capacityBound  = metric("capacity_bound_requests_per_second", "Rate of the whole stage at which objectives are known to hold (lower), or to fail (upper).", "bound")
	capacityProven = metric("capacity_bound_proven", "1 where the bound is proven by trials at full length, 0 where it is not yet.", "bound")
	capacityTrials = metric("capacity_trials_total", "Trials that are over.", "outcome")
	capacityTried  = metric("capacity_trial_requests_per_second", "Rate of the trial under way; 0 between trials.")
)

// Describe names the metrics.
func (m *metrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{requestsSent, answersTotal, errorsTotal, unanswered, shareRatio, shareLow, shareHigh, shareWanted,
		responseTime, lateness, checksByResult, verdictIs, runEnded, capacityBound, capacityProven, capacityTrials, capacityTried} {
		to <- d
	}
}

// Collect draws the metrics from how the run stands.
func (m *metrics) Collect(to chan<- prometheus.Metric) {
	if s := m.stand.Load(); s != nil {
		(*s).collect(to)
	}
}

// collectTraffic has the phases of a kind together: trials are one, so are the stages that are asked before.
func collectTraffic(to chan<- prometheus.Metric, all []analyze.Phase) {
	kinds := map[string][]analyze.Phase{}
	for _, p := range all {
		kind, _, _ := strings.Cut(p.Name, "/")
		kinds[kind] = append(kinds[kind], p)
	}
	for kind, phases := range kinds {
		collectPhases(to, kind, phases)
	}
}

func (s searched) collect(to chan<- prometheus.Metric) {
	collectTraffic(to, s.Load)
	for name, b := range map[string]*capacity.Bound{"lower": s.Result.Lower, "upper": s.Result.Upper} {
		if b == nil {
			continue
		}
		gauge(to, capacityBound, b.Rate, name)
		gauge(to, capacityProven, truth(b.Proven), name)
	}
	outcomes := map[capacity.Outcome]uint64{capacity.Pass: 0, capacity.Fail: 0, capacity.Undecided: 0, capacity.Limited: 0, capacity.Invalid: 0}
	for _, t := range s.Trials {
		outcomes[t.Outcome]++
	}
	for outcome, n := range outcomes {
		counter(to, capacityTrials, n, outcome.String())
	}
	rate := 0.0
	if s.Under != nil {
		rate = s.Under.Rate
	}
	gauge(to, capacityTried, rate)
	if s.End.Reason != "" {
		gauge(to, runEnded, 1, s.End.Reason)
	}
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func (a judged) collect(to chan<- prometheus.Metric) {
	collectTraffic(to, a.Phases)
	if a.Header.Policy == nil {
		return
	}
	outcomes := map[analyze.Outcome]int{analyze.Pass: 0, analyze.Fail: 0, analyze.Undecided: 0}
	for _, c := range a.Checks {
		outcomes[c.Outcome]++
	}
	for outcome, n := range outcomes {
		gauge(to, checksByResult, float64(n), outcome.String())
	}
	verdicts := []analyze.Verdict{analyze.Inconclusive, analyze.Promote, analyze.Reject}
	if a.Header.Target.Alone() {
		verdicts = []analyze.Verdict{analyze.Inconclusive, analyze.Verified, analyze.Refuted}
	}
	for _, v := range verdicts {
		gauge(to, verdictIs, truth(v == a.Conclusion.Verdict), v.String())
	}
	if a.End.Reason != "" {
		gauge(to, runEnded, 1, a.End.Reason)
	}
}

func gauge(to chan<- prometheus.Metric, d *prometheus.Desc, x float64, labels ...string) {
	to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, x, labels...)
}

func counter(to chan<- prometheus.Metric, d *prometheus.Desc, n uint64, labels ...string) {
	to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
}

// collectPhases adds up what phases of a kind counted (before asks several stages); what cannot be added is the last one's.
func collectPhases(to chan<- prometheus.Metric, kind string, phases []analyze.Phase) {
	type fault struct{ arm, class string }
	var sent uint64
	hits, errors := map[string]uint64{}, map[fault]uint64{}
	for _, p := range phases {
		sent += p.Sent
		for _, arm := range p.Arms {
			hits[arm.Role] += arm.Hits
			for class, n := range arm.Classes {
				errors[fault{arm.Role, class}] += n
			}
		}
	}
	counter(to, requestsSent, sent, kind)
	for arm, n := range hits {
		counter(to, answersTotal, n, kind, arm)
	}
	for f, n := range errors {
		counter(to, errorsTotal, n, kind, f.arm, f.class)
	}
	last := phases[len(phases)-1]
	gauge(to, unanswered, float64(last.Pending), kind)
	gauge(to, lateness, last.Lateness.WakeP50.Seconds(), kind, "p50")
	gauge(to, lateness, last.Lateness.WakeP99.Seconds(), kind, "p99")
	seen := map[string]bool{}
	for _, arm := range last.Arms {
		if seen[arm.Role] { // of several foreign versions, the first
			continue
		}
		seen[arm.Role] = true
		collectArm(to, kind, arm)
	}
}

func collectArm(to chan<- prometheus.Metric, kind string, arm analyze.Arm) {
	role := arm.Role
	gauge(to, shareRatio, arm.Share, kind, role)
	gauge(to, shareLow, arm.ShareLow, kind, role)
	gauge(to, shareHigh, arm.ShareHigh, kind, role)
	if arm.Configured != nil {
		gauge(to, shareWanted, *arm.Configured, kind, role)
	}
	gauge(to, responseTime, arm.P50.Seconds(), kind, role, "p50")
	gauge(to, responseTime, arm.P95.Seconds(), kind, role, "p95")
	gauge(to, responseTime, arm.P99.Seconds(), kind, role, "p99")
}
