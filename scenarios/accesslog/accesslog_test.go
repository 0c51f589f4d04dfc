package accesslog_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigateway/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"

	"coalmine/analyze"
	"coalmine/attack"
	"coalmine/scenarios/accesslog"
	"coalmine/scenarios/emulator"
	"coalmine/scenarios/products"
	"coalmine/scenarios/stage"
)

// site is the demonstration system, whose canary may not be invoked, behind a gate that sees what CloudWatch Logs is asked.
type site struct {
	testing.TB
	*stage.Client
	server *emulator.Server
	ref    stage.Ref
	url    string
	asked  int                                     // pages
	gate   func(w http.ResponseWriter) (pass bool) // nil: all pass
	limit  int                                     // events a page
}

func newSite(t testing.TB) *site {
	t.Helper()
	server, err := emulator.Start("127.0.0.1:0", emulator.Faults{Seed: 1, Gateway: emulator.Gateway{Deny: []string{"staging"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	s := &site{TB: t, server: server, limit: 10}
	to, err := url.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	back := httputil.NewSingleHostReverseProxy(to)
	gate := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".FilterLogEvents") {
			s.asked++
			if s.gate != nil && !s.gate(w) {
				return
			}
			body, _ := io.ReadAll(r.Body)
			body = bytes.Replace(body, []byte("{"), fmt.Appendf(nil, `{"limit":%d,`, s.limit), 1)
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		}
		back.ServeHTTP(w, r)
	}))
	t.Cleanup(gate.Close)
	if s.Client, err = stage.Connect(t.Context(), stage.Config{Endpoint: gate.URL}); err != nil {
		t.Fatal(err)
	}
	system, _, err := products.Up(t.Context(), s.Client)
	if err != nil {
		t.Fatal(err)
	}
	s.ref, s.url = stage.Ref{API: system.API, Stage: "prod"}, strings.Replace(system.Stage("prod").URL, gate.URL, server.URL(), 1)
	s.patch("/canarySettings/percentTraffic", "50.0", "/canarySettings/stageVariableOverrides/lambdaAlias", "staging")
	return s
}

func (s *site) patch(pathsAndValues ...string) {
	s.Helper()
	var operations []types.PatchOperation
	for i := 0; i < len(pathsAndValues); i += 2 {
		operations = append(operations, types.PatchOperation{Op: types.OpReplace, Path: &pathsAndValues[i], Value: &pathsAndValues[i+1]})
	}
	if _, err := s.Gateway().UpdateStage(s.Context(), &apigateway.UpdateStageInput{RestApiId: &s.ref.API, StageName: &s.ref.Stage, PatchOperations: operations}); err != nil {
		s.Fatal(err)
	}
}

// load sends requests with ids from first on; those of the canary end with 500.
func (s *site) load(first, n uint64) (status map[attack.RequestID]int, q accesslog.Query) {
	s.Helper()
	status = map[attack.RequestID]int{}
	q = accesslog.Query{Group: products.LogGroup, Now: time.Now()}
	q.Sought = analyze.Sought{IDs: map[attack.RequestID]struct{}{}, First: q.Now, Last: q.Now}
	for i := first; i < first+n; i++ {
		id := attack.RequestID{6: 0x40}
		binary.BigEndian.PutUint64(id[8:], i)
		r, err := http.NewRequestWithContext(s.Context(), "GET", s.url, nil)
		if err != nil {
			s.Fatal(err)
		}
		r.Header.Set("x-amzn-RequestId", id.String())
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			s.Fatal(err)
		}
		answer.Body.Close()
		status[id], q.Sought.IDs[id] = answer.StatusCode, struct{}{}
	}
	return status, q
}

func (s *site) read(q accesslog.Query) accesslog.Found {
	s.Helper()
	found, err := accesslog.Read(s.Context(), s.Client, q)
	if err != nil {
		s.Fatal(err)
	}
	return found
}

// agrees fails unless the log says of each request what came of it.
func agrees(t testing.TB, what string, found accesslog.Found, status map[attack.RequestID]int) {
	t.Helper()
	if len(found.Log) != len(status) || found.Undecided != 0 || found.Cut {
		t.Errorf("%s: %d of %d requests, %d undecided", what, len(found.Log), len(status), found.Undecided)
	}
	for id, access := range found.Log {
		if access != (analyze.Access{Canary: status[id] == 500, Status: status[id]}) {
			t.Errorf("%s: %s is %+v, answered %d", what, id, access, status[id])
		}
	}
}

func TestRead(t *testing.T) {
	s := newSite(t)
	s.load(1000, 30) // others' requests, which nobody seeks
	status, q := s.load(0, 40)
	found := s.read(q)
	agrees(t, "all", found, status)
	if found.Entries != 70 || s.asked != 7 {
		t.Errorf("%d entries in %d pages: want 70 in 7, and the twin not asked", found.Entries, s.asked)
	}

	unknown := attack.RequestID{1}
	q.Sought.IDs[unknown] = struct{}{}
	s.asked = 0
	found = s.read(q)
	agrees(t, "one that never came", found, status)
	if s.asked < 8 {
		t.Errorf("%d pages: the twin was not asked for what the group lacks", s.asked)
	}
	q.Pages = 2
	if found = s.read(q); !found.Cut || found.Entries > 40 {
		t.Errorf("of two pages each: %+v", found)
	}
	first := attack.RequestID{6: 0x40, 14: 1000 >> 8, 15: 1000 & 0xff}
	q.Pages, q.Sought.IDs = 0, map[attack.RequestID]struct{}{first: {}}
	if s.asked = 0; len(s.read(q).Log) != 1 || s.asked != 1 {
		t.Errorf("%d pages for one request that is in the first", s.asked)
	}
	q.Sought.IDs = nil
	if s.asked = 0; len(s.read(q).Log) != 0 || s.asked != 0 {
		t.Errorf("nothing sought, and %d pages asked for", s.asked)
	}
	_, q = s.load(2000, 1)
	q.Sought.First, q.Sought.Last = q.Now.Add(time.Hour), q.Now.Add(time.Hour)
	if found = s.read(q); found.Entries != 0 {
		t.Errorf("%d entries of another hour", found.Entries)
	}
}

// Whether a request was the canary's is told by what the format has.
func TestReadOtherFormats(t *testing.T) {
	s := newSite(t)
	read := func(format string) (status map[attack.RequestID]int, q accesslog.Query) {
		t.Helper()
		s.patch("/accessLogSettings/format", format)
		status, q = s.load(uint64(len(format))*1000, 20)
		var err error
		if q.Format, err = accesslog.Format(t.Context(), s.Client, s.ref); err != nil || q.Format != format {
			t.Fatalf("%q, %v", q.Format, err)
		}
		return status, q
	}
	status, q := read(`$context.identity.sourceIp [$context.requestTime] "$context.httpMethod $context.resourcePath" $context.status $context.isCanaryRequest $context.requestId`)
	agrees(t, "Common Log", s.read(q), status)

	status, q = read(`$context.requestId $context.status`)
	if found := s.read(q); len(found.Log) != count(status, 500) || found.Undecided != count(status, 200) {
		t.Errorf("by the twin, at once: %d of the canary, %d undecided; want %d and %d", len(found.Log), found.Undecided, count(status, 500), count(status, 200))
	}
	q.Now = q.Now.Add(15 * time.Minute)
	agrees(t, "by the twin, in the end", s.read(q), status)
	logs, twin := cloudwatchlogs.NewFromConfig(s.AWS()), products.LogGroup+"/Canary"
	if _, err := logs.DeleteLogGroup(t.Context(), &cloudwatchlogs.DeleteLogGroupInput{LogGroupName: &twin}); err != nil {
		t.Fatal(err)
	}
	if found := s.read(q); len(found.Log) != 0 || found.Undecided != 20 {
		t.Errorf("without a twin: %+v", found)
	}

	out, err := s.Gateway().CreateDeployment(t.Context(), &apigateway.CreateDeploymentInput{RestApiId: &s.ref.API, StageName: &s.ref.Stage,
		CanarySettings: &types.DeploymentCanarySettings{PercentTraffic: 50, StageVariableOverrides: map[string]string{"lambdaAlias": "staging"}}})
	if err != nil {
		t.Fatal(err)
	}
	was, err := s.Read(t.Context(), s.ref)
	if err != nil {
		t.Fatal(err)
	}
	status, q = read(`<r id="$context.requestId" s="$context.status" by="$context.deploymentId"/>`)
	if q.Sought.Header.Stage, err = json.Marshal(was); err != nil || was.Canary == nil || was.Canary.DeploymentID != aws.ToString(out.Id) {
		t.Fatalf("%v: %+v", err, was.Canary)
	}
	agrees(t, "by deployment", s.read(q), status)
}

func count(status map[attack.RequestID]int, want int) (n int) {
	for _, got := range status {
		if got == want {
			n++
		}
	}
	return n
}

func TestReadRefused(t *testing.T) {
	s := newSite(t)
	_, q := s.load(0, 5)
	s.patch("/canarySettings/percentTraffic", "0.0")
	_, quiet := s.load(100, 5)
	if _, err := accesslog.Read(t.Context(), s.Client, quiet); err != nil {
		t.Errorf("canary requests of others: %v", err)
	}
	q.Group, q.Sought.IDs = "/quiet", quiet.Sought.IDs
	s.patch("/accessLogSettings/destinationArn", "arn:aws:logs:us-east-1:"+s.Account()+":log-group:/quiet")
	_, quiet = s.load(200, 5)
	quiet.Group = "/quiet"
	if found, err := accesslog.Read(t.Context(), s.Client, q); err != nil || len(found.Log) != 0 {
		t.Errorf("nothing of it in the log: %+v, %v", found, err)
	}
	if _, err := accesslog.Read(t.Context(), s.Client, quiet); !errors.Is(err, accesslog.ErrNoCanary) {
		t.Errorf("no canary in the log: %v", err)
	}
}

func TestReadThrottled(t *testing.T) {
	s := newSite(t)
	status, q := s.load(0, 5)
	left := 6
	s.gate = func(w http.ResponseWriter) bool {
		if left--; left < 0 {
			return true
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"__type":"ThrottlingException","message":"Rate exceeded"}`)
		return false
	}
	agrees(t, "throttled six times", s.read(q), status)

	q.Group = "nobody"
	if _, err := accesslog.Read(t.Context(), s.Client, q); !errors.Is(err, accesslog.ErrNoGroup) {
		t.Error(err)
	}
	if err := s.server.SetFaults(emulator.Faults{Control: emulator.Control{Deny: []string{"logs:FilterLogEvents"}}}); err != nil {
		t.Fatal(err)
	}
	_, err := accesslog.Read(t.Context(), s.Client, q)
	if err == nil || !strings.HasPrefix(err.Error(), "access log nobody: FilterLogEvents: AccessDenied") {
		t.Error(err)
	}
}
