package emulator

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// logOperations are CloudWatch Logs'. They keep to the logs' own locks.
var logOperations = map[string]operation{
	"Logs_20140328.CreateLogGroup":     (*control).createLogGroup,
	"Logs_20140328.DeleteLogGroup":     (*control).deleteLogGroup,
	"Logs_20140328.DescribeLogGroups":  (*control).describeLogGroups,
	"Logs_20140328.DescribeLogStreams": (*control).describeLogStreams,
	"Logs_20140328.FilterLogEvents":    (*control).filterLogEvents,
	"Logs_20140328.GetLogEvents":       (*control).getLogEvents,

	"Logs_20140328.ListTagsForResource": (*control).listLogTags,
}

func badLogRequest(format string, args ...any) error {
	return refuse(http.StatusBadRequest, "InvalidParameterException", format, args...)
}

func (c *control) createLogGroup(in *call) (answer, error) {
	var want struct {
		LogGroupName string
		Tags         map[string]string
	}
	if err := in.decode(&want); err != nil {
		return answer{}, err
	}
	if !isGroupName(want.LogGroupName) {
		return answer{}, refuse(http.StatusBadRequest, "InvalidParameterException",
			`1 validation error detected: Value '%s' at 'logGroupName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\.\-_/#A-Za-z0-9]+`, want.LogGroupName)
	}
	g, isNew := c.plane.logs.create(want.LogGroupName, in.region)
	if !isNew {
		return answer{}, refuse(http.StatusBadRequest, "ResourceAlreadyExistsException", "The specified log group already exists")
	}
	g.mu.Lock()
	g.tags = want.Tags
	g.mu.Unlock()
	return answer{status: http.StatusOK}, nil
}

func (c *control) listLogTags(in *call) (answer, error) {
	var want struct{ ResourceARN string }
	if err := in.decode(&want); err != nil {
		return answer{}, err
	}
	name, _ := logGroupOf(want.ResourceARN)
	g := c.plane.logs.find(name)
	if g == nil {
		return answer{}, noSuchGroup()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	tags := map[string]string{}
	maps.Copy(tags, g.tags)
	return ok(map[string]any{"tags": tags})
}

func (c *control) deleteLogGroup(in *call) (answer, error) {
	var want struct{ LogGroupName string }
	if err := in.decode(&want); err != nil {
		return answer{}, err
	}
	if !c.plane.logs.remove(want.LogGroupName) {
		return answer{}, noSuchGroup()
	}
	return answer{status: http.StatusOK}, nil
}

func noSuchGroup() error {
	return refuse(http.StatusBadRequest, "ResourceNotFoundException", "The specified log group does not exist.")
}

func (c *control) describeLogGroups(in *call) (answer, error) {
	var want struct {
		LogGroupNamePrefix, LogGroupNamePattern, NextToken string
		Limit                                              *int
	}
	if err := in.decode(&want); err != nil {
		return answer{}, err
	}
	if want.LogGroupNamePrefix != "" && want.LogGroupNamePattern != "" {
		return answer{}, badLogRequest("LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.")
	}
	type group struct {
		Name    string `json:"logGroupName"`
		ARN     string `json:"arn"`
		GroupID string `json:"logGroupArn"`
		Created int64  `json:"creationTime"`
		Filters int    `json:"metricFilterCount"`
		Stored  int64  `json:"storedBytes"`
		Class   string `json:"logGroupClass"`
	}
	all := []group{}
	for _, g := range c.plane.logs.list(func(name string) bool {
		return strings.HasPrefix(name, want.LogGroupNamePrefix) &&
			strings.Contains(strings.ToLower(name), strings.ToLower(want.LogGroupNamePattern))
	}) {
		g.mu.Lock()
		all = append(all, group{g.name, g.arn() + ":*", g.arn(), g.created, 0, g.bytes, "STANDARD"})
		g.mu.Unlock()
	}
	return listedLogs("logGroups", all, want.NextToken, want.Limit)
}

func (c *control) describeLogStreams(in *call) (answer, error) {
	var want struct {
		groupRef
		LogStreamNamePrefix, OrderBy, NextToken string
		Descending                              bool
		Limit                                   *int
	}
	if err := in.decode(&want); err != nil {
		return answer{}, err
	}
	g, err := c.logGroup(want.groupRef)
	if err != nil {
		return answer{}, err
	}
	type stream struct {
		Name     string `json:"logStreamName"`
		ARN      string `json:"arn"`
		Created  int64  `json:"creationTime"`
		First    int64  `json:"firstEventTimestamp"`
		Last     int64  `json:"lastEventTimestamp"`
		Ingested int64  `json:"lastIngestionTime"`
		Stored   int64  `json:"storedBytes"` // CloudWatch Logs has said 0 since 2019
	}
	byTime := want.OrderBy == "LastEventTime"
	if byTime && want.LogStreamNamePrefix != "" {
		return answer{}, badLogRequest("Cannot order by LastEventTime with a logStreamNamePrefix.")
	}
	all := []stream{}
	used := g.usedStreams()
	for _, n := range slices.Sorted(maps.Keys(used)) {
		name, u := g.stream(n), used[n]
		if strings.HasPrefix(name, want.LogStreamNamePrefix) {
			all = append(all, stream{name, g.arn() + ":log-stream:" + name, g.created, u.first, u.last, u.ingested, 0})
		}
	}
	slices.SortStableFunc(all, func(a, b stream) int {
		if byTime && a.Last != b.Last {
			return cmp.Compare(a.Last, b.Last)
		}
		return strings.Compare(a.Name, b.Name)
	})
	if want.Descending {
		slices.Reverse(all)
	}
	return listedLogs("logStreams", all, want.NextToken, want.Limit)
}

func listedLogs[T any](key string, items []T, token string, limit *int) (answer, error) {
	text := ""
	if limit != nil {
		text = strconv.Itoa(*limit)
	}
	part, next, err := page(items, token, text, 50, 50, badLogRequest)
	if err != nil {
		return answer{}, err
	}
	body := map[string]any{key: part}
	if next != "" {
		body["nextToken"] = next
	}
	return ok(body)
}

// groupRef names a log group by its name, or by name or ARN: never both.
type groupRef struct{ LogGroupName, LogGroupIdentifier string }

func (c *control) logGroup(r groupRef) (*logGroup, error) {
	if (r.LogGroupName == "") == (r.LogGroupIdentifier == "") {
		return nil, badLogRequest("Exactly one of logGroupName and logGroupIdentifier must be specified.")
	}
	name := cmp.Or(r.LogGroupName, r.LogGroupIdentifier)
	if byARN, _ := logGroupOf(r.LogGroupIdentifier); byARN != "" {
		name = byARN
	}
	if g := c.plane.logs.find(name); g != nil {
		return g, nil
	}
	return nil, noSuchGroup()
}

// pageToken is where a reading goes on, and in which direction.
func pageToken(backward bool, number int) string {
	direction := "f"
	if backward {
		direction = "b"
	}
	return base64.RawURLEncoding.EncodeToString([]byte(direction + "/" + strconv.Itoa(number)))
}

func parsePageToken(token string) (backward bool, number int, err error) {
	text, err := base64.RawURLEncoding.DecodeString(token)
	direction, digits, _ := strings.Cut(string(text), "/")
	if err == nil {
		number, err = strconv.Atoi(digits)
	}
	if err != nil || direction != "f" && direction != "b" || number < -1 {
		return false, 0, badLogRequest("The specified nextToken is invalid.")
	}
	return direction == "b", number, nil
}

func pageLimit(limit *int) (int, error) {
	if limit == nil {
		return 10_000, nil
	}
	if *limit < 1 || *limit > 10_000 {
		return 0, badLogRequest("1 validation error detected: Value '%d' at 'limit' failed to satisfy constraint: Member must have value between 1 and 10000", *limit)
	}
	return *limit, nil
}

func (c *control) filterLogEvents(in *call) (answer, error) {
	var want struct {
		groupRef
		StartTime, EndTime       *int64
		FilterPattern, NextToken string
		LogStreamNamePrefix      string
		LogStreamNames           []string
		Limit                    *int
		StartFromHead            *bool
	}
	if err := in.decode(&want); err != nil {
		return answer{}, err
	}
	g, err := c.logGroup(want.groupRef)
	if err != nil {
		return answer{}, err
	}
	if len(want.LogStreamNames) > 0 && want.LogStreamNamePrefix != "" {
		return answer{}, badLogRequest("logStreamNames and logStreamNamePrefix are mutually exclusive parameters.")
	}
	s := selection{to: math.MaxInt64, backward: want.StartFromHead != nil && !*want.StartFromHead}
	if s.limit, err = pageLimit(want.Limit); err != nil {
		return answer{}, err
	}
	if s.filter, err = parseFilter(want.FilterPattern); err != nil {
		return answer{}, err
	}
	if want.StartTime != nil {
		s.from = *want.StartTime
	}
	if want.EndTime != nil {
		s.to = *want.EndTime
	}
	if s.from > s.to {
		return answer{}, badLogRequest("endTime must be greater than or equal to startTime")
	}
	streams := [hostCount]string{}
	var wanted [hostCount]bool
	for n := range streams {
		streams[n] = g.stream(n)
		wanted[n] = strings.HasPrefix(streams[n], want.LogStreamNamePrefix) &&
			(len(want.LogStreamNames) == 0 || slices.Contains(want.LogStreamNames, streams[n]))
	}
	s.streams = func(n int) bool { return wanted[n] }
	begin := unset
	if want.NextToken != "" {
		if s.backward, begin, err = parsePageToken(want.NextToken); err != nil {
			return answer{}, err
		}
	}
	type event struct {
		Stream   string `json:"logStreamName"`
		At       int64  `json:"timestamp"`
		Message  string `json:"message"`
		Ingested int64  `json:"ingestionTime"`
		ID       string `json:"eventId"`
	}
	events := []event{}
	read, next, more := g.read(s, begin)
	for _, e := range read {
		events = append(events, event{streams[e.stream], e.at, e.message, e.ingested, fmt.Sprintf("%026d%030d", e.at, e.number)})
	}
	body := map[string]any{"events": events, "searchedLogStreams": []any{}}
	if more {
		body["nextToken"] = pageToken(s.backward, next)
	}
	return ok(body)
}

// getLogEvents reads one stream. A page is always in the order of time; without a token it is the first or, as AWS has it, the last.
func (c *control) getLogEvents(in *call) (answer, error) {
	var want struct {
		groupRef
		LogStreamName      string
		StartTime, EndTime *int64
		NextToken          string
		Limit              *int
		StartFromHead      bool
	}
	if err := in.decode(&want); err != nil {
		return answer{}, err
	}
	g, err := c.logGroup(want.groupRef)
	if err != nil {
		return answer{}, err
	}
	number := g.streamNumber(want.LogStreamName)
	if _, used := g.usedStreams()[number]; !used {
		return answer{}, refuse(http.StatusBadRequest, "ResourceNotFoundException", "The specified log stream does not exist.")
	}
	s := selection{to: math.MaxInt64, backward: !want.StartFromHead, streams: func(n int) bool { return n == number }}
	if s.limit, err = pageLimit(want.Limit); err != nil {
		return answer{}, err
	}
	if want.StartTime != nil {
		s.from = *want.StartTime
	}
	if want.EndTime != nil {
		s.to = *want.EndTime - 1
	}
	begin := unset
	if want.NextToken != "" {
		if s.backward, begin, err = parsePageToken(want.NextToken); err != nil {
			return answer{}, err
		}
	}
	type event struct {
		At       int64  `json:"timestamp"`
		Message  string `json:"message"`
		Ingested int64  `json:"ingestionTime"`
	}
	read, next, _ := g.read(s, begin)
	back, forward := next, next+1
	if len(read) > 0 {
		forward = read[0].number + 1
	}
	if !s.backward {
		back, forward = next-1, next
		if len(read) > 0 {
			back = read[0].number - 1
		}
	}
	if s.backward {
		slices.Reverse(read)
	}
	events := []event{}
	for _, e := range read {
		events = append(events, event{e.at, e.message, e.ingested})
	}
	return ok(map[string]any{"events": events,
		"nextForwardToken": pageToken(false, max(forward, 0)), "nextBackwardToken": pageToken(true, max(back, -1))})
}
