package emulator

import (
	"context"
	"fmt"
	"io"
	"math"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	apitypes "github.com/aws/aws-sdk-go-v2/service/apigateway/types"
)

var (
	uuid       = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	extendedID = regexp.MustCompile(`^[A-Za-z0-9_-]{15}=$`)
	traceID    = regexp.MustCompile(`^Root=1-[0-9a-f]{8}-[0-9a-f]{24}$`)
)

func checkHeaders(t *testing.T, name string, g got) {
	t.Helper()
	for header, form := range map[string]*regexp.Regexp{
		"Content-Type": regexp.MustCompile(`^application/json$`), "X-Amzn-Requestid": uuid, "X-Amz-Apigw-Id": extendedID, "X-Amzn-Trace-Id": traceID,
	} {
		if value := g.header.Get(header); !form.MatchString(value) {
			t.Errorf("%s: %s is %q", name, header, value)
		}
	}
}

// shorten gives the integration a timeout that a test can wait for, and deploys it to every stage.
func (s *stack) shorten(ms int) {
	s.Helper()
	ctx := context.Background()
	_, err := s.gateway.UpdateIntegration(ctx, &apigateway.UpdateIntegrationInput{RestApiId: &s.api, ResourceId: &s.resource, HttpMethod: aws.String("GET"),
		PatchOperations: []apitypes.PatchOperation{{Op: apitypes.OpReplace, Path: aws.String("/timeoutInMillis"), Value: aws.String(fmt.Sprint(ms))}}})
	s.must(err)
	s.deployed = s.deploy()
	stages, err := s.gateway.GetStages(ctx, &apigateway.GetStagesInput{RestApiId: &s.api})
	s.must(err)
	for _, st := range stages.Item {
		s.mustPatch(*st.StageName, "replace /deploymentId "+s.deployed)
	}
}

// TestSplit: the share is the percent within what chance allows, requests are independent, and the same seed splits the same.
func TestSplit(t *testing.T) {
	const n = 4000
	order := func(f Faults, percent float64) (canaries int, sequence string) {
		stage := &release{base: &arm{}, canary: &arm{}, percent: percent}
		p := &plane{}
		p.set(f)
		var b strings.Builder
		for range n {
			_, canary := stage.pick(p.faults.Load(), p.next(p.faults.Load()))
			if canary {
				canaries++
			}
			fmt.Fprint(&b, map[bool]int{true: 1}[canary])
		}
		return canaries, b.String()
	}
	twenty := 20.0
	for _, test := range []struct {
		percent float64
		faults  Faults
		want    float64
	}{
		{50, Faults{Seed: 1}, 0.5}, {50, Faults{Seed: 2}, 0.5}, {10.5, Faults{Seed: 1}, 0.105}, {0, Faults{}, 0}, {100, Faults{}, 1},
		{50, Faults{Gateway: Gateway{Percent: &twenty}}, 0.2}, {50, Faults{Gateway: Gateway{IgnoreCanary: true}}, 0},
	} {
		got, _ := order(test.faults, test.percent)
		if sd := math.Sqrt(n * test.want * (1 - test.want)); math.Abs(float64(got)-n*test.want) > 4*sd {
			t.Errorf("percent %v, faults %+v: %d of %d", test.percent, test.faults, got, n)
		}
	}
	_, a := order(Faults{Seed: 5}, 50)
	_, b := order(Faults{Seed: 5}, 50)
	_, c := order(Faults{Seed: 6}, 50)
	if a != b || a == c {
		t.Error("the split does not follow from the seed")
	}
	// Independent requests: neighbours agree half of the time.
	same := 0
	for i := 1; i < n; i++ {
		if a[i] == a[i-1] {
			same++
		}
	}
	if math.Abs(float64(same)-n/2) > 4*math.Sqrt(n)/2 {
		t.Errorf("%d of %d neighbours agree", same, n)
	}
}

// TestSnapshot: each release serves the deployment it points at, whatever the API has become.
func TestSnapshot(t *testing.T) {
	s := startStack(t, Faults{})
	ctx := context.Background()
	_, err := s.gateway.DeleteMethod(ctx, &apigateway.DeleteMethodInput{RestApiId: &s.api, ResourceId: &s.resource, HttpMethod: aws.String("GET")})
	s.must(err)
	_, err = s.gateway.PutMethod(ctx, &apigateway.PutMethodInput{RestApiId: &s.api, ResourceId: &s.resource, HttpMethod: aws.String("POST"), AuthorizationType: aws.String("NONE")})
	s.must(err)
	_, err = s.gateway.PutIntegration(ctx, &apigateway.PutIntegrationInput{RestApiId: &s.api, ResourceId: &s.resource, HttpMethod: aws.String("POST"),
		IntegrationHttpMethod: aws.String("POST"), Type: apitypes.IntegrationTypeMock})
	s.must(err)
	if g := s.get("prod", "/products"); g.status != 200 {
		t.Errorf("an edit reached the stage without a deployment: %d", g.status)
	}
	s.mustPatch("prod", "replace /canarySettings/percentTraffic 50", "replace /canarySettings/deploymentId "+s.deploy())
	statuses := map[int]int{}
	for range 60 {
		statuses[s.get("prod", "/products").status]++
	}
	if statuses[200] < 10 || statuses[403] < 10 || len(statuses) != 2 {
		t.Errorf("half of the requests should see the canary's deployment, which has no GET: %v", statuses)
	}
}

func TestRoutes(t *testing.T) {
	var snapshot []deployed
	for _, path := range []string{"/", "/products", "/products/{id}", "/products/{id}/parts", "/products/new", "/{proxy+}"} {
		snapshot = append(snapshot, deployed{"r", path, map[string]*method{"ANY": {Integration: &integration{}}}})
	}
	a := resolve(&restAPI{}, "prod", "d", snapshot, nil)
	for path, want := range map[string]string{
		"/": "/ map[]", "/products": "/products map[]", "/products/new": "/products/new map[]",
		"/products/7": "/products/{id} map[id:7]", "/products/7/parts": "/products/{id}/parts map[id:7]",
		"/products/7/other": "/{proxy+} map[proxy:products/7/other]", "/a/b": "/{proxy+} map[proxy:a/b]",
	} {
		to, parameters := a.match("GET", path)
		if to == nil {
			t.Errorf("%s: nothing", path)
		} else if got := fmt.Sprint(to.path, " ", parameters); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

// TestConcurrent changes everything under load, for the race detector; every answer must still be one that can be.
func TestConcurrent(t *testing.T) {
	s := startStack(t, Faults{Seed: 9, Propagation: 20 * time.Millisecond})
	stop := make(chan struct{})
	var load sync.WaitGroup
	for range 8 {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				r, err := s.client.Get(s.server.URL() + "/restapis/" + s.api + "/prod/_user_request_/products")
				if err != nil {
					t.Error(err)
					return
				}
				io.Copy(io.Discard, r.Body)
				r.Body.Close()
				if v := r.Header.Get("X-Lambda-Version"); v != "1" && v != "2" && r.StatusCode != 500 {
					t.Errorf("version %q, status %d", v, r.StatusCode)
				}
			}
		})
	}
	for i := range 20 {
		s.canary("50.0")
		s.mustPatch("prod", "replace /canarySettings/deploymentId "+s.deploy())
		s.must(s.server.SetFaults(Faults{Seed: uint64(i), Gateway: Gateway{Cache: i%2 == 0}, Versions: map[string]Version{"2": {Latency: Latency{time.Millisecond, 1}, ColdStart: time.Millisecond, Errors: 0.1}}}))
		s.mustPatch("prod", "remove /canarySettings")
		s.server.Handle("other", nil)
		s.mustPatch("prod", "replace /*/*/throttling/rateLimit "+fmt.Sprint(9000+i), "replace /cacheClusterEnabled "+fmt.Sprint(i%3 == 0), "replace /*/*/caching/enabled true")
		s.domain(fmt.Sprintf("api%d.example.com", i), "(none):prod")
	}
	close(stop)
	load.Wait()
}
