package emulator

import (
	"context"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
)

// statuses asks n times and counts how it was answered.
func (s *stack) statuses(stage string, n int) map[int]int {
	s.Helper()
	counts := map[int]int{}
	for range n {
		counts[s.get(stage, "/products").status]++
	}
	return counts
}

// slow is one request in a day: what a bucket holds is then all there is.
const slow = "0.00001"

// TestMethodThrottle: how many of ten requests each setting lets through.
func TestMethodThrottle(t *testing.T) {
	s := startStack(t, Faults{})
	all, method := "replace /*/*/throttling/", "replace /~1products/GET/throttling/"
	for _, test := range []struct {
		name string
		ops  []string
		want int
	}{
		{"none", nil, 10},
		{"for all methods", []string{all + "rateLimit " + slow, all + "burstLimit 3"}, 3},
		{"for the method", []string{method + "rateLimit " + slow, method + "burstLimit 4"}, 4},
		{"the method's own goes before", []string{all + "rateLimit " + slow, all + "burstLimit 3", method + "burstLimit 6"}, 6},
		{"for another method", []string{"replace /~1products/POST/throttling/rateLimit 0"}, 10},
		{"a rate of 0", []string{all + "rateLimit 0"}, 0},
		{"a burst of 0", []string{all + "burstLimit 0"}, 0},
		{"off", []string{all + "rateLimit -1", all + "burstLimit -1"}, 10},
		{"other settings alone", []string{"replace /*/*/metrics/enabled true"}, 10},
	} {
		t.Run(test.name, func(t *testing.T) {
			s.createStage("tried", map[string]string{"lambdaAlias": "prod"})
			if len(test.ops) > 0 {
				s.mustPatch("tried", test.ops...)
			}
			if got := s.statuses("tried", 10); got[200] != test.want || got[429] != 10-test.want {
				t.Errorf("statuses %v, want %d let through", got, test.want)
			}
			_, err := s.gateway.DeleteStage(context.Background(), &apigateway.DeleteStageInput{RestApiId: &s.api, StageName: aws.String("tried")})
			s.must(err)
		})
	}
}

// TestBucketSurvivesChanges: saving the stage, or starting a canary, gives nobody new tokens; another limit does.
func TestBucketSurvivesChanges(t *testing.T) {
	s := startStack(t, Faults{})
	const rate, burst = "replace /*/*/throttling/rateLimit ", "replace /*/*/throttling/burstLimit "
	s.mustPatch("prod", rate+slow, burst+"5")
	if got := s.statuses("prod", 3); got[200] != 3 {
		t.Errorf("three of five: %v", got)
	}
	s.canary("50.0")
	if got := s.statuses("prod", 10); got[200] != 2 { // both arms draw from one bucket
		t.Errorf("the rest of five: %v", got)
	}
	s.mustPatch("prod", "replace /description x")
	if got := s.statuses("prod", 3); got[429] != 3 {
		t.Errorf("after a change of the stage: %v", got)
	}
	s.mustPatch("prod", burst+"2")
	if got := s.statuses("prod", 3); got[200] != 2 {
		t.Errorf("after a change of the limit: %v", got)
	}
	if got := s.statuses("staging", 3); got[200] != 3 {
		t.Errorf("another stage: %v", got)
	}
}

// TestAccountThrottle: all stages and APIs share one bucket, whose limits GetAccount tells.
func TestAccountThrottle(t *testing.T) {
	s := startStack(t, Faults{})
	limits := func() (float64, int32) {
		a, err := s.gateway.GetAccount(context.Background(), &apigateway.GetAccountInput{})
		s.must(err)
		return a.ThrottleSettings.RateLimit, a.ThrottleSettings.BurstLimit
	}
	if rate, burst := limits(); rate != 10000 || burst != 5000 {
		t.Errorf("as it is: %v/s, burst %d", rate, burst)
	}
	f := Faults{Gateway: Gateway{AccountRate: 1e-5, AccountBurst: 4}}
	s.must(s.server.SetFaults(f))
	if rate, burst := limits(); rate != 1e-5 || burst != 4 {
		t.Errorf("as it was set: %v/s, burst %d", rate, burst)
	}
	if got := s.statuses("prod", 2); got[200] != 2 {
		t.Errorf("two of four: %v", got)
	}
	if got := s.statuses("staging", 5); got[200] != 2 || got[429] != 3 {
		t.Errorf("the rest of four, on another stage: %v", got)
	}
	s.must(s.server.SetFaults(f))
	if got := s.statuses("prod", 1); got[429] != 1 {
		t.Errorf("setting the same faults filled the bucket: %v", got)
	}
}

// TestTokens: what a bucket lets through of a stream that is too fast is its burst and then its rate.
func TestTokens(t *testing.T) {
	for _, test := range []struct {
		rate         float64
		burst        int
		once, within int // let through at once, and in the second after it
	}{{100, 20, 20, 100}, {1, 3, 3, 1}, {0.5, 1, 1, 0}, {10000, 5000, 5000, 10000}, {0, 5, 0, 0}, {5, 0, 0, 0}} {
		b := newBurst(test.rate, test.burst)
		at, n := time.Hour, 0
		for b.allow(at) {
			n++
		}
		if n != test.once {
			t.Errorf("%v/s: %d at once, want %d", test.rate, n, test.once)
		}
		n = 0
		for i := range 20001 {
			if b.allow(at + time.Duration(i)*50*time.Microsecond) {
				n++
			}
		}
		if n < test.within-1 || n > test.within+1 {
			t.Errorf("%v/s: %d in a second, want %d", test.rate, n, test.within)
		}
	}
}

// TestStageCache: cluster and method setting together cache; each alone does not.
func TestStageCache(t *testing.T) {
	s := startStack(t, Faults{Seed: 2})
	const cluster, method = "replace /cacheClusterEnabled ", "replace /~1products/GET/caching/enabled "
	split := func() bool { return len(s.versions("prod", 40)) == 2 }
	s.canary("50.0") // on one deployment: a cache shows by what becomes of the split
	for _, step := range []struct {
		name   string
		ops    []string
		split  bool
		status string
	}{
		{"no cache", nil, true, "NOT_AVAILABLE"},
		{"a cluster alone", []string{cluster + "true"}, true, "AVAILABLE"},
		{"the cluster, and the method", []string{method + "true"}, false, "AVAILABLE"},
		{"a TTL of 0", []string{"replace /~1products/GET/caching/ttlInSeconds 0"}, true, "AVAILABLE"},
		{"for all methods", []string{"remove /~1products/GET", "replace /*/*/caching/enabled true"}, false, "AVAILABLE"},
		{"the method alone", []string{cluster + "false"}, true, "NOT_AVAILABLE"},
	} {
		if len(step.ops) > 0 {
			s.mustPatch("prod", step.ops...)
		}
		if got := split(); got != step.split {
			t.Errorf("%s: split is %v, want %v", step.name, got, step.split)
		}
		st, err := s.gateway.GetStage(context.Background(), &apigateway.GetStageInput{RestApiId: &s.api, StageName: aws.String("prod")})
		s.must(err)
		if string(st.CacheClusterStatus) != step.status {
			t.Errorf("%s: the cluster is %s", step.name, st.CacheClusterStatus)
		}
	}
}

// TestFlush: what the cache holds outlives its function's change, and FlushStageCache ends it.
func TestFlush(t *testing.T) {
	s := startStack(t, Faults{})
	s.mustPatch("prod", "replace /cacheClusterEnabled true", "replace /*/*/caching/enabled true")
	version := func() string { return s.get("prod", "/products").header.Get("X-Lambda-Version") }
	if v := version(); v != "1" {
		t.Errorf("at first: %s", v)
	}
	s.mustPatch("prod", "replace /variables/lambdaAlias staging")
	if v := version(); v != "1" {
		t.Errorf("cached: %s", v)
	}
	_, err := s.gateway.FlushStageCache(context.Background(), &apigateway.FlushStageCacheInput{RestApiId: &s.api, StageName: aws.String("prod")})
	s.must(err)
	if v := version(); v != "2" {
		t.Errorf("flushed: %s", v)
	}
}

func TestCacheEnds(t *testing.T) {
	c := newCache()
	c.put(cacheKey{"d", "/"}, reply{status: 200}, -1)
	if _, found := c.get(cacheKey{"d", "/"}); found {
		t.Error("an entry outlives its time")
	}
	c.put(cacheKey{"d", "/"}, reply{status: 200}, time.Hour)
	if _, found := c.get(cacheKey{"d", "/"}); !found {
		t.Error("an entry that has ended cannot be renewed")
	}
}
