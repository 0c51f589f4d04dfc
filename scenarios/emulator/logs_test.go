package emulator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	logtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/smithy-go"
)

const logFields = `{"requestId":"$context.requestId","canary":"$context.isCanaryRequest","deployment":"$context.deploymentId","status":"$context.status",` +
	`"responseType":"$context.error.responseType","error":"$context.error.message","lambda":"$context.integration.requestId",` +
	`"path":"$context.path","resource":"$context.resourcePath","method":"$context.httpMethod","stage":"$context.stage","ip":"$context.identity.sourceIp",` +
	`"latency":"$context.responseLatency","integration":"$context.integrationLatency","protocol":"$context.protocol","at":"$context.requestTimeEpoch",` +
	`"time":"$context.requestTime","extended":"$context.extendedRequestId","unknown":"$context.authorizer.claims.sub"}`

type logLine struct {
	RequestID, Canary, Deployment, Status, ResponseType, Error, Lambda, Path, Resource, Method, Stage, IP string
	Latency, Integration, Protocol, At, Time, Extended, Unknown                                           string
}

func (s *stack) logAccess(stage, group string) {
	s.Helper()
	s.mustPatch(stage, "replace /accessLogSettings/destinationArn arn:aws:logs:eu-central-1:000000000000:log-group:"+group,
		"replace /accessLogSettings/format "+logFields)
}

// lines reads a whole group, in as many pages as it takes.
func (s *stack) lines(group, pattern string, limit int32) (lines []logLine, pages int) {
	s.Helper()
	in := &cloudwatchlogs.FilterLogEventsInput{LogGroupName: &group, Limit: &limit}
	if pattern != "" {
		in.FilterPattern = &pattern
	}
	for p := cloudwatchlogs.NewFilterLogEventsPaginator(s.logs, in); p.HasMorePages(); pages++ {
		page, err := p.NextPage(context.Background())
		s.must(err)
		if len(page.Events) > int(limit) {
			s.Fatalf("a page of %d events, limit %d", len(page.Events), limit)
		}
		for _, e := range page.Events {
			var l logLine
			s.must(json.Unmarshal([]byte(*e.Message), &l))
			lines = append(lines, l)
		}
	}
	return lines, pages
}

func TestAccessLog(t *testing.T) {
	s := startStack(t, Faults{Seed: 3, Versions: map[string]Version{"2": {Crashes: 1}}})
	s.canary("50.0")
	s.logAccess("prod", "access")
	want := map[string]got{}
	for range 40 {
		g := s.get("prod", "/products?q=1")
		want[g.header.Get("x-amzn-RequestId")] = g
	}
	s.get("prod", "/nothing")
	lines, pages := s.lines("access", "", 10)
	if len(lines) != 41 || pages < 5 {
		t.Fatalf("%d lines in %d pages", len(lines), pages)
	}
	canaries := 0
	for _, l := range lines[:40] {
		g, known := want[l.RequestID]
		delete(want, l.RequestID)
		isCanary := g.status == 502
		if isCanary {
			canaries++
		}
		if !known || l.Status != fmt.Sprint(g.status) || l.Canary != fmt.Sprint(isCanary) || l.Extended != g.header.Get("x-amz-apigw-id") {
			t.Errorf("%+v is not what %+v saw", l, g)
		}
		failed := map[bool]string{true: "INTEGRATION_FAILURE Internal server error", false: "- -"}[isCanary]
		rest := fmt.Sprint(l.ResponseType, " ", l.Error, " ", l.Path, " ", l.Resource, " ", l.Method, " ", l.Stage, " ", l.IP, " ", l.Protocol, " ", l.Unknown)
		if rest != failed+" /prod/products /products GET prod 127.0.0.1 HTTP/1.1 -" || l.Deployment != s.deployed || !isUUID(l.Lambda) {
			t.Errorf("%+v", l)
		}
		if l.At == "" || strings.Trim(l.At+l.Latency+l.Integration, "0123456789") != "" {
			t.Errorf("times of %+v", l)
		}
		if at, err := time.Parse(requestTime, l.Time); err != nil || fmt.Sprint(at.Unix()) != l.At[:len(l.At)-3] {
			t.Errorf("%s is not %s: %v", l.Time, l.At, err)
		}
	}
	if l := lines[40]; l.Status != "403" || l.ResponseType != "MISSING_AUTHENTICATION_TOKEN" || l.Resource != "-" || l.Lambda != "-" || l.Integration != "-" {
		t.Errorf("a path that is not there: %+v", l)
	}
	twin, _ := s.lines("access/Canary", "", 10000)
	twin = slices.DeleteFunc(twin, func(l logLine) bool { return l.Status == "403" })
	if canaries == 0 || canaries == 40 || len(twin) != canaries {
		t.Errorf("%d canary requests of 40, %d in the twin", canaries, len(twin))
	}
	for _, l := range twin {
		if l.Canary != "true" || l.Status != "502" {
			t.Errorf("in the twin: %+v", l)
		}
	}
	own, _ := s.lines("access", `"INTEGRATION_FAILURE" -"nobody"`, 10000)
	if len(own) != canaries {
		t.Errorf("%d failures by filter, want %d", len(own), canaries)
	}
	s.mustPatch("prod", "remove /accessLogSettings")
	s.get("prod", "/products")
	if lines, _ := s.lines("access", "", 10000); len(lines) != 41 {
		t.Errorf("%d lines after logging was turned off", len(lines))
	}
}

// TestAccessLogOfErrorsWithoutAnswer: the log has the form that the error was given, and those that nobody waited for.
func TestAccessLogOfErrorsWithoutAnswer(t *testing.T) {
	s := startStack(t, Faults{})
	s.logAccess("prod", "access")
	function := s.gate()
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-function.entered
		cancel()
	}()
	if out, err := s.getContext(ctx, "prod", "/products"); err == nil {
		t.Fatalf("a function that is under way answered %+v", out)
	}
	s.must(s.server.Close()) // the gateway has noticed when it has closed
	s.server.plane.logs.group("access", "").mu.Lock()
	defer s.server.plane.logs.group("access", "").mu.Unlock()
	events := s.server.plane.logs.group("access", "").events
	if len(events) != 1 || !strings.Contains(events[0].message, `"status":"-"`) || !strings.Contains(events[0].message, `"canary":"false"`) {
		t.Errorf("%+v", events)
	}
}

func TestAccessLogRefusals(t *testing.T) {
	s := startStack(t, Faults{})
	for _, op := range []string{
		"replace /accessLogSettings/destinationArn access",
		"replace /accessLogSettings/destinationArn arn:aws:logs:eu-central-1:000000000000:log-group:",
		"replace /accessLogSettings/format $context.status",
		"replace /accessLogSettings/format $context.requestId\n$context.status",
	} {
		if _, err := s.patch("prod", op); code(err) != "BadRequestException" {
			t.Errorf("%s: %v", op, err)
		}
	}
}

func TestLogDelay(t *testing.T) {
	s := startStack(t, Faults{Logs: Logs{Delay: time.Hour}})
	s.logAccess("prod", "access")
	s.get("prod", "/products")
	if lines, pages := s.lines("access", "", 10); len(lines) != 0 || pages != 1 {
		t.Errorf("%d lines in %d pages before they are delivered", len(lines), pages)
	}
	s.must(s.server.SetFaults(Faults{}))
	s.get("prod", "/products")
	if lines, _ := s.lines("access", "", 10); len(lines) != 0 {
		t.Errorf("an event came before those that were written earlier: %+v", lines)
	}
}

func code(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return ""
}

func TestLogGroups(t *testing.T) {
	s := start(t, Faults{})
	ctx := context.Background()
	create := func(name string) error {
		_, err := s.logs.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &name})
		return err
	}
	for i := range 60 {
		s.must(create(fmt.Sprintf("/aws/g%02d", i)))
	}
	s.must(create("other"))
	for name, want := range map[string]string{"other": "ResourceAlreadyExistsException", "a b": "InvalidParameterException", "": "InvalidParameterException"} {
		if name == "" {
			name = "é"
		}
		if err := create(name); code(err) != want {
			t.Errorf("create %q: %v, want %s", name, err, want)
		}
	}
	var names []string
	for p := cloudwatchlogs.NewDescribeLogGroupsPaginator(s.logs, &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: aws.String("/aws/")}); p.HasMorePages(); {
		page, err := p.NextPage(ctx)
		s.must(err)
		for _, g := range page.LogGroups {
			names = append(names, *g.LogGroupName)
			if *g.LogGroupArn != "arn:aws:logs:eu-central-1:000000000000:log-group:"+*g.LogGroupName || *g.CreationTime == 0 {
				t.Errorf("%+v", g)
			}
		}
	}
	if len(names) != 60 || !slices.IsSorted(names) {
		t.Errorf("%d groups: %v", len(names), names)
	}
	_, err := s.logs.DeleteLogGroup(ctx, &cloudwatchlogs.DeleteLogGroupInput{LogGroupName: aws.String("other")})
	s.must(err)
	var missing *logtypes.ResourceNotFoundException
	_, err = s.logs.DeleteLogGroup(ctx, &cloudwatchlogs.DeleteLogGroupInput{LogGroupName: aws.String("other")})
	if !errors.As(err, &missing) || missing.ErrorMessage() != "The specified log group does not exist." {
		t.Errorf("delete again: %v", err)
	}
	_, err = s.logs.FilterLogEvents(ctx, &cloudwatchlogs.FilterLogEventsInput{LogGroupName: aws.String("other")})
	if !errors.As(err, &missing) {
		t.Errorf("filter: %v", err)
	}
	for _, in := range []*cloudwatchlogs.FilterLogEventsInput{
		{LogGroupName: aws.String("/aws/g00"), LogGroupIdentifier: aws.String("/aws/g00")},
		{LogGroupName: aws.String("/aws/g00"), Limit: aws.Int32(10001)},
		{LogGroupName: aws.String("/aws/g00"), NextToken: aws.String("nonsense")},
		{LogGroupName: aws.String("/aws/g00"), FilterPattern: aws.String("a-b")},
		{LogGroupName: aws.String("/aws/g00"), FilterPattern: aws.String("{ $.a = 1 }")},
		{LogGroupName: aws.String("/aws/g00"), StartTime: aws.Int64(2), EndTime: aws.Int64(1)},
		{},
	} {
		if _, err := s.logs.FilterLogEvents(ctx, in); code(err) != "InvalidParameterException" {
			t.Errorf("%+v: %v", in, err)
		}
	}
}

// TestLogPages: every event is read exactly once, forwards and backwards, whatever the page, and empty pages are no end.
func TestLogPages(t *testing.T) {
	s := start(t, Faults{})
	ctx := context.Background()
	g := s.server.plane.logs.group("g", "eu-central-1")
	const n = 25_000
	for i := range n {
		message := fmt.Sprintf("event %d", i)
		if i%12_000 == 11_999 {
			message += " rare"
		}
		g.put(i%hostCount, message, 0)
	}
	read := func(in *cloudwatchlogs.FilterLogEventsInput) (messages []string, pages, empty int) {
		in.LogGroupIdentifier = aws.String("arn:aws:logs:eu-central-1:000000000000:log-group:g")
		for p := cloudwatchlogs.NewFilterLogEventsPaginator(s.logs, in); p.HasMorePages(); pages++ {
			page, err := p.NextPage(ctx)
			s.must(err)
			if len(page.Events) == 0 {
				empty++
			}
			for _, e := range page.Events {
				messages = append(messages, *e.Message)
			}
		}
		return messages, pages, empty
	}
	all, pages, _ := read(&cloudwatchlogs.FilterLogEventsInput{})
	if len(all) != n || all[0] != "event 0" || all[n-1] != "event 24999" || pages != 3 {
		t.Errorf("%d events in %d pages", len(all), pages)
	}
	back, _, _ := read(&cloudwatchlogs.FilterLogEventsInput{StartFromHead: aws.Bool(false), StartTime: aws.Int64(1), Limit: aws.Int32(777)})
	slices.Reverse(back)
	if !slices.Equal(all, back) {
		t.Errorf("%d events backwards, %d forwards", len(back), len(all))
	}
	rare, pages, empty := read(&cloudwatchlogs.FilterLogEventsInput{FilterPattern: aws.String("event rare")})
	if len(rare) != 2 || pages != 3 || empty != 1 {
		t.Errorf("%v in %d pages, %d of them empty", rare, pages, empty)
	}
	if future, _, _ := read(&cloudwatchlogs.FilterLogEventsInput{StartTime: aws.Int64(time.Now().Add(time.Hour).UnixMilli())}); len(future) != 0 {
		t.Errorf("%d events of the future", len(future))
	}
	if past, _, _ := read(&cloudwatchlogs.FilterLogEventsInput{EndTime: aws.Int64(time.Now().Add(-time.Hour).UnixMilli())}); len(past) != 0 {
		t.Errorf("%d events of an hour ago", len(past))
	}

	streams, err := s.logs.DescribeLogStreams(ctx, &cloudwatchlogs.DescribeLogStreamsInput{LogGroupName: aws.String("g"), Limit: aws.Int32(50)})
	s.must(err)
	if len(streams.LogStreams) != hostCount {
		t.Fatalf("%d streams", len(streams.LogStreams))
	}
	var inStreams []string
	for _, stream := range streams.LogStreams {
		inStreams = append(inStreams, s.stream("g", *stream.LogStreamName, true)...)
		tail, err := s.logs.GetLogEvents(ctx, &cloudwatchlogs.GetLogEventsInput{LogGroupName: aws.String("g"), LogStreamName: stream.LogStreamName, Limit: aws.Int32(2)})
		s.must(err)
		whole := s.stream("g", *stream.LogStreamName, false)
		if len(tail.Events) != 2 || *tail.Events[1].Message != whole[len(whole)-1] || *tail.Events[0].Message != whole[len(whole)-2] {
			t.Errorf("the tail of a stream: %+v", tail.Events)
		}
	}
	slices.Sort(all)
	slices.Sort(inStreams)
	if !slices.Equal(all, inStreams) {
		t.Errorf("%d events in the streams, %d in the group", len(inStreams), len(all))
	}
	if _, err := s.logs.GetLogEvents(ctx, &cloudwatchlogs.GetLogEventsInput{LogGroupName: aws.String("g"), LogStreamName: aws.String("none")}); code(err) != "ResourceNotFoundException" {
		t.Errorf("no such stream: %v", err)
	}
}

// stream reads one to its end: a token that repeats itself.
func (s *stack) stream(group, name string, head bool) (messages []string) {
	in := &cloudwatchlogs.GetLogEventsInput{LogGroupName: &group, LogStreamName: &name, StartFromHead: aws.Bool(head), Limit: aws.Int32(1000)}
	for {
		page, err := s.logs.GetLogEvents(context.Background(), in)
		s.must(err)
		part := []string{}
		for _, e := range page.Events {
			part = append(part, *e.Message)
		}
		next := page.NextForwardToken
		if messages = append(messages, part...); !head {
			next = page.NextBackwardToken
			messages = append(part, messages[:len(messages)-len(part)]...)
		}
		if in.NextToken != nil && *in.NextToken == *next {
			return messages
		}
		in.NextToken = next
	}
}

func TestLogMemory(t *testing.T) {
	var l logs
	g := l.group("g", "")
	for range groupEvents + 10 {
		g.put(0, "x", 0)
	}
	if len(g.events) != groupEvents || cap(g.events) > 2*groupEvents {
		t.Errorf("%d events kept", len(g.events))
	}
	g.mu.Lock()
	first, end := g.span()
	g.mu.Unlock()
	if first != 10 || end != groupEvents+10 {
		t.Errorf("events %d to %d can be read", first, end)
	}
}

func TestFilterPattern(t *testing.T) {
	for _, c := range []struct {
		pattern, message string
		want             bool
	}{
		{"", "anything", true},
		{"ERROR", "an ERROR here", true},
		{"error", "an ERROR here", false},
		{"a b", "b a", true},
		{"a b", "a", false},
		{"?a ?b", "b", true},
		{"?a ?b", "c", false},
		{"a -b", "a c", true},
		{"a -b", "a b", false},
		{`"a b"`, "b a", false},
		{`"a \"b\""`, `a "b"`, true},
		{`-"x-y"`, "x-y", false},
	} {
		f, err := parseFilter(c.pattern)
		if err != nil || f.matches(c.message) != c.want {
			t.Errorf("%q on %q: %v, %v", c.pattern, c.message, !c.want, err)
		}
	}
	for _, pattern := range []string{"{ $.a = 1 }", "[a]", "%x%", "a-b", `"a`, "?", "-", `""`} {
		if _, err := parseFilter(pattern); err == nil {
			t.Errorf("%q was taken", pattern)
		}
	}
}

func TestLogsDenied(t *testing.T) {
	s := start(t, Faults{Control: Control{Deny: []string{"logs:Filter*"}}})
	s.server.plane.logs.group("g", "eu-central-1")
	_, err := s.logs.FilterLogEvents(context.Background(), &cloudwatchlogs.FilterLogEventsInput{LogGroupName: aws.String("g")})
	if code(err) != "AccessDeniedException" || !strings.Contains(err.Error(), "perform: logs:FilterLogEvents on resource: arn:aws:logs:eu-central-1:000000000000:log-group:g:") {
		t.Errorf("%v", err)
	}
	if _, err := s.logs.DescribeLogGroups(context.Background(), &cloudwatchlogs.DescribeLogGroupsInput{}); err != nil {
		t.Error(err)
	}
}
