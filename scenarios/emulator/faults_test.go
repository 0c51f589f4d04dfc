package emulator

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"go.yaml.in/yaml/v3"
)

func TestFaultsInYAML(t *testing.T) {
	twenty := 20.0
	want := Faults{
		Seed:        1,
		Propagation: 500 * time.Millisecond,
		Versions: map[string]Version{"2": {Errors: 0.05, Crashes: 0.001, Hang: 0, Latency: Latency{20 * time.Millisecond, 0.5},
			ColdStart: 200 * time.Millisecond, Marker: MarkHeader}},
		Gateway: Gateway{Percent: &twenty, Throttle: 100, Cache: true, Deny: []string{"staging"}, Stray: Stray{"3", 0.05}},
		Control: Control{Throttle: 5, Quotas: true, Deny: []string{"apigateway:PATCH", "lambda:*"}, ExpireAfter: 30 * time.Second, Expired: true,
			ClockSkew: -10 * time.Minute, Conflicts: 2, AWSTags: true, Role: "ci"},
		Logs:       Logs{Delay: 2 * time.Second},
		Lambda:     Lambda{Concurrency: 50, ProvisionTime: 30 * time.Second},
		CodeDeploy: []Deployment{{Function: "getProducts", Alias: "prod", Status: "InProgress", Age: time.Hour}},
	}
	const text = `
seed: 1
propagation: 500ms
versions: {"2": {errors: 5%, crashes: 0.1%, hang: 0, latency: {median: 20ms, sigma: 0.5}, cold-start: 200ms, marker: header}}
gateway: {percent: 20, ignore-canary: false, throttle: 100/s, cache: true, deny: [staging], stray: {version: "3", share: 5%}}
control: {throttle: 5/s, quotas: true, deny: [apigateway:PATCH, "lambda:*"], expire-after: 30s, expired: true, clock-skew: -10m, conflicts: 2, aws-tags: true, role: ci}
logs: {delay: 2s}
lambda: {concurrency: 50, provision-time: 30s}
codedeploy: [{function: getProducts, alias: prod, status: InProgress, age: 1h}]
`
	var got Faults
	d := yaml.NewDecoder(strings.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprintf("%+v", got.Versions) != fmt.Sprintf("%+v", want.Versions) || *got.Gateway.Percent != 20 {
		t.Errorf("got %+v", got)
	}
	got.Gateway.Percent = want.Gateway.Percent
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if err := got.Validate(); err != nil {
		t.Error(err)
	}
	for _, text := range []string{`versions: {"2": {errors: 5}}`, `versions: {"2": {errors: 101%}}`, `gateway: {throttle: 100}`, `versions: {"2": {marker: sideways}}`} {
		if err := yaml.Unmarshal([]byte(text), &Faults{}); err == nil || !strings.Contains(err.Error(), "want") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		"5": "share", "": "share", "-1%": "share", "100.1%": "share", "NaN%": "share", "five": "share",
	} {
		var s Share
		if err := s.UnmarshalText([]byte(text)); err == nil || err.Error() != fmt.Sprintf(`%s %q: want a percentage from 0%% to 100%%, such as "5%%"`, want, text) {
			t.Errorf("share %q: %v", text, err)
		}
	}
	for _, text := range []string{"100", "", "-1/s", "x/s", "Inf/s"} {
		var r Rate
		if err := r.UnmarshalText([]byte(text)); err == nil || err.Error() != fmt.Sprintf(`rate %q: want requests per second, such as "100/s"`, text) {
			t.Errorf("rate %q: %v", text, err)
		}
	}
	for text, want := range map[string]string{"5%": "5%", "0.1%": "0.1%", "33.3 %": "33.3%", "0": "0%", "100%": "100%", "7%": "7%"} {
		var s Share
		if err := s.UnmarshalText([]byte(text)); err != nil || s.String() != want {
			t.Errorf("share %q: %v, %v", text, s, err)
		}
	}
}

func TestValidate(t *testing.T) {
	if err := (Faults{}).Validate(); err != nil {
		t.Errorf("the zero value: %v", err)
	}
	version := func(v Version) Faults { return Faults{Versions: map[string]Version{"2": v}} }
	percent := 101.0
	nan := math.NaN()
	for want, f := range map[string]Faults{
		"propagation: ":                {Propagation: -1},
		"versions.two: ":               {Versions: map[string]Version{"two": {}}},
		"versions.2.errors: 200%":      version(Version{Errors: 2}),
		"versions.2.errors: with":      version(Version{Errors: 0.5, Crashes: 0.3, Hang: 0.3}),
		"versions.2.crashes: ":         version(Version{Crashes: -1}),
		"versions.2.hang: ":            version(Version{Hang: Share(nan)}),
		"versions.2.latency.median: ":  version(Version{Latency: Latency{Median: -1}}),
		"versions.2.latency.sigma: ":   version(Version{Latency: Latency{Sigma: -1}}),
		"versions.2.cold-start: ":      version(Version{ColdStart: -1}),
		"versions.2.marker \"x\": ":    version(Version{Marker: "x"}),
		"gateway.percent: 101":         {Gateway: Gateway{Percent: &percent}},
		"gateway.percent: NaN":         {Gateway: Gateway{Percent: &nan}},
		"gateway.throttle: ":           {Gateway: Gateway{Throttle: -1}},
		"gateway.deny[1]: ":            {Gateway: Gateway{Deny: []string{"a", ""}}},
		"control.throttle: -1":         {Control: Control{Throttle: -1}},
		"control.deny[1]: \"PATCH\"":   {Control: Control{Deny: []string{"*", "PATCH"}}},
		"control.deny[0]: \"lambda:\"": {Control: Control{Deny: []string{"lambda:"}}},
		"control.expire-after: ":       {Control: Control{ExpireAfter: -1}},
		"control.role: \"a b\"":        {Control: Control{Role: "a b"}},
		"logs.delay: ":                 {Logs: Logs{Delay: -1}},
		"lambda.concurrency: ":         {Lambda: Lambda{Concurrency: -1}},
		"lambda.provision-time: ":      {Lambda: Lambda{ProvisionTime: -1}},
		"codedeploy[0].function: ":     {CodeDeploy: []Deployment{{Alias: "prod", Status: "Ready"}}},
		"codedeploy[1].status: \"x\" ": {CodeDeploy: []Deployment{{Function: "f", Alias: "a", Status: "Ready"}, {Function: "f", Alias: "a", Status: "x"}}},
		"codedeploy[0].age: ":          {CodeDeploy: []Deployment{{Function: "f", Alias: "a", Status: "Ready", Age: -1}}},
		"control.conflicts: -1":        {Control: Control{Conflicts: -1}},
		"gateway.stray.share: ":        {Gateway: Gateway{Stray: Stray{"3", 2}}},
		"gateway.stray.version: \"x\"": {Gateway: Gateway{Stray: Stray{"x", 0.1}}},
	} {
		if err := f.Validate(); err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("want %q, got %v", want, err)
		}
		if s, err := Start("127.0.0.1:0", f); err == nil {
			s.Close()
			t.Errorf("%s: Start took it", want)
		}
	}
}

func TestMarkers(t *testing.T) {
	s := startStack(t, Faults{})
	for _, fail := range []Share{0, 1} {
		for marker, want := range map[Marker]struct{ header, body bool }{
			"": {true, true}, MarkBoth: {true, true}, MarkHeader: {true, false}, MarkBody: {false, true}, MarkNone: {},
		} {
			all := map[string]Version{}
			for _, number := range []string{"1", "2"} {
				all[number] = Version{Marker: marker, Errors: fail}
			}
			s.must(s.server.SetFaults(Faults{Versions: all}))
			one, two := s.get("prod", "/products"), s.get("staging", "/products")
			if one.status != 200+int(fail)*300 || one.header.Get("X-Amzn-Errortype") != "" {
				t.Errorf("marker %q: %d %s", marker, one.status, one.header.Get("X-Amzn-Errortype"))
			}
			if (one.header.Get("X-Lambda-Version") == "1" && two.header.Get("X-Lambda-Version") == "2") != want.header || (one.header.Get("X-Lambda-Version") == "") == want.header {
				t.Errorf("marker %q: headers %q, %q", marker, one.header.Get("X-Lambda-Version"), two.header.Get("X-Lambda-Version"))
			}
			if (one.body != two.body) != want.body {
				t.Errorf("marker %q: bodies %s, %s", marker, one.body, two.body)
			}
		}
	}
}

// TestShares: each share is what it says, and turning on one fault does not move another's.
func TestShares(t *testing.T) {
	s := startStack(t, Faults{})
	s.shorten(50)
	const n = 400
	count := func(v Version) map[int]int {
		s.must(s.server.SetFaults(Faults{Seed: 4}))
		s.must(s.server.SetFaults(Faults{Seed: 5, Versions: map[string]Version{"1": v}}))
		statuses := map[int]int{}
		for range n {
			statuses[s.get("prod", "/products").status]++
		}
		return statuses
	}
	got := count(Version{Errors: 0.2, Crashes: 0.1, Hang: 0.01})
	for status, share := range map[int]float64{500: 0.2, 502: 0.1, 504: 0.01} {
		if sd := math.Sqrt(n * share * (1 - share)); math.Abs(float64(got[status])-n*share) > 4*sd {
			t.Errorf("%d: %d of %d, want about %v", status, got[status], n, n*share)
		}
	}
	if again := count(Version{Errors: 0.2, Crashes: 0.1, Hang: 0.01}); !maps.Equal(got, again) {
		t.Errorf("the same seed: %v, then %v", got, again)
	}
	if alone := count(Version{Errors: 0.2}); alone[500] != got[500] {
		t.Errorf("errors with crashes %d, alone %d", got[500], alone[500])
	}
}

func TestLatency(t *testing.T) {
	l := Latency{Median: 20 * time.Millisecond, Sigma: 0.5}
	var all []float64
	for i := range 20000 {
		all = append(all, float64(l.sample(draw{1, uint64(i)}))/1e6)
	}
	slices.Sort(all)
	for q, z := range map[float64]float64{0.5: 0, 0.9: 1.2816, 0.99: 2.3263} {
		want := 20 * math.Exp(0.5*z)
		if got := all[int(q*20000)]; math.Abs(got/want-1) > 0.05 {
			t.Errorf("quantile %v: %.2f ms, want %.2f", q, got, want)
		}
	}
	if got := (Latency{Median: time.Second}).sample(draw{}); got != time.Second {
		t.Errorf("sigma 0: %v", got)
	}
}

// TestLatencyOfRequests: a version takes as long as it is told to.
func TestLatencyOfRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := offline(t, Faults{Versions: map[string]Version{"1": {Latency: Latency{Median: 30 * time.Millisecond}}}})
		if took := s.took("prod"); took != 30*time.Millisecond {
			t.Errorf("30 ms took %v", took)
		}
	})
}

func (s *stack) took(stage string) time.Duration {
	s.Helper()
	begun := time.Now()
	s.get(stage, "/products")
	return time.Since(begun)
}

// TestColdStart: every environment is started once, and as many as there are requests at a time.
func TestColdStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const cold, warm = 500 * time.Millisecond, 100 * time.Millisecond
		s := offline(t, Faults{Versions: map[string]Version{"1": {ColdStart: cold - warm, Latency: Latency{Median: warm}}}})
		if first, second := s.took("prod"), s.took("prod"); first != cold || second != warm {
			t.Errorf("the first request took %v, the second %v; want %v and %v", first, second, cold, warm)
		}
		took := make(chan time.Duration, 3)
		for range 3 {
			go func() { took <- s.took("prod") }()
		}
		if first, second, third := <-took, <-took, <-took; first != warm || second != cold || third != cold {
			t.Errorf("three requests at once with one environment warm: %v, %v, %v; want one of them warm", first, second, third)
		}
	})
}

// TestPropagation: a change arrives in steps, never goes back on a host, and is complete after the time given.
func TestPropagation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, new, newer := &release{}, &release{}, &release{}
		h := newHosts(old)
		const over = 160 * time.Millisecond
		h.change(new, over, draw{1, 1})
		count := func() (n map[*release]int) {
			n = map[*release]int{}
			for host := range hostCount {
				n[h.serving(host)]++
			}
			return n
		}
		had := map[int]bool{}
		for step := range hostCount + 1 {
			if n := count(); n[new] != step || n[old] != hostCount-step {
				t.Errorf("after %v: %d of %d hosts have the new release, want %d", over/hostCount*time.Duration(step), n[new], hostCount, step)
			}
			for host := range hostCount {
				if has := h.serving(host) == new; had[host] && !has {
					t.Errorf("host %d went back", host)
				} else {
					had[host] = has
				}
			}
			time.Sleep(over / hostCount)
		}
		h.change(newer, 0, draw{1, 2})
		if n := count(); n[newer] != hostCount {
			t.Errorf("without propagation: %v", n)
		}
	})
}

func TestPropagationToRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := offline(t, Faults{Propagation: 400 * time.Millisecond})
		s.mustPatch("prod", "replace /variables/lambdaAlias staging")
		if first := s.versions("prod", 10); first["1"] != 10 {
			t.Errorf("right after the change: %v", first)
		}
		time.Sleep(400 * time.Millisecond)
		if after := s.versions("prod", 50); after["2"] != 50 {
			t.Errorf("after the propagation: %v", after)
		}
	})
}

func TestThrottle(t *testing.T) {
	b := newBucket(100)
	at := time.Hour
	burst := 0
	for b.allow(at) {
		burst++
	}
	if burst != 50 {
		t.Errorf("a full bucket of 100/s holds %d", burst)
	}
	allowed := 0
	for i := range 1000 {
		if b.allow(at + time.Duration(i)*10*time.Millisecond/10) { // 1,000 in a second
			allowed++
		}
	}
	if allowed < 98 || allowed > 101 {
		t.Errorf("%d allowed in a second at 100/s", allowed)
	}
}

// TestCache: with one deployment for both releases there is one key, and everybody gets what came first; with two there are two.
func TestCache(t *testing.T) {
	s := startStack(t, Faults{Seed: 2, Gateway: Gateway{Cache: true}})
	s.canary("50.0")
	if seen := s.versions("prod", 40); len(seen) != 1 {
		t.Errorf("a shared deployment: %v", seen)
	}
	s.mustPatch("prod", "replace /canarySettings/deploymentId "+s.deploy())
	_, err := s.gateway.FlushStageCache(context.Background(), &apigateway.FlushStageCacheInput{RestApiId: &s.api, StageName: aws.String("prod")})
	s.must(err)
	if seen := s.versions("prod", 40); len(seen) != 2 || seen["1"]+seen["2"] != 40 {
		t.Errorf("two deployments: %v", seen)
	}
	if seen := s.versions("staging", 5); seen["2"] != 5 {
		t.Errorf("another stage: %v", seen)
	}
}

func TestStray(t *testing.T) {
	s := startStack(t, Faults{Seed: 2, Gateway: Gateway{Stray: Stray{"3", 0.5}}})
	if seen := s.versions("prod", 20); seen["1"] != 20 {
		t.Errorf("without a canary: %v", seen)
	}
	s.canary("50.0")
	if seen := s.versions("prod", 200); seen["1"] < 70 || seen["2"] < 25 || seen["3"] < 25 {
		t.Errorf("half of the canary's: %v", seen)
	}
}
