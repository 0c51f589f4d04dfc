package emulator

import (
	"cmp"
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/aws/smithy-go/encoding/cbor"
)

// GetMetricData, in the protocol that the SDK for Go speaks to CloudWatch, rpc-v2-cbor, and in the AWS CLI's, JSON. Its numbers are
// the emulator's own counters, a minute each, for the last hour.

var metricOperations = map[string]operation{
	"GraniteServiceVersion20100801.GetMetricData": (*control).getMetricData,
}

const metricPath = "/service/GraniteServiceVersion20100801/operation/{operation}"

func (s *Server) metrics(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h["Smithy-Protocol"] = []string{"rpc-v2-cbor"}
	h["Content-Type"] = []string{"application/cbor"}
	h["x-amzn-RequestId"] = []string{requestID(r)}
	body, err := s.metricData(w, r)
	status := http.StatusOK
	if err != nil {
		var refused *refusal
		if !asRefusal(err, &refused) {
			refused = &refusal{status: http.StatusInternalServerError, code: "InternalServiceFault", body: message{err.Error()}}
		}
		for name, value := range refused.header {
			h[name] = []string{value}
		}
		status = refused.status
		code := queryCode(refused.code)
		h["x-amzn-query-error"] = []string{code + ";Sender"} // the code as it was in the protocol before
		body = cbor.Map{"__type": cbor.String("com.amazonaws.cloudwatch#" + code), "message": cbor.String(refused.text())}
	}
	out := cbor.Encode(body)
	h.Set("Content-Length", strconv.Itoa(len(out)))
	w.WriteHeader(status)
	w.Write(out)
}

func (s *Server) metricData(w http.ResponseWriter, r *http.Request) (cbor.Map, error) {
	in, err := read(w, r, 1<<20)
	if err != nil {
		return nil, err
	}
	name := r.PathValue("operation")
	if err := s.plane.faults.Load().admission.admit(w, r, subject{action: "cloudwatch:" + name, resource: "*"}); err != nil {
		return nil, err
	}
	if name != "GetMetricData" {
		return nil, refuse(http.StatusNotFound, "UnknownOperationException", "the emulator knows no operation %s", name)
	}
	want, err := decodeMetricRequest(in.body)
	if err != nil {
		return nil, err
	}
	results, err := s.control.metricData(want, time.Now())
	if err != nil {
		return nil, err
	}
	all := cbor.List{}
	for _, r := range results {
		all = append(all, r.cbor())
	}
	return cbor.Map{"MetricDataResults": all, "Messages": cbor.List{}}, nil
}

func (c *control) getMetricData(in *call) (answer, error) {
	var want metricRequest
	if err := in.decode(&want); err != nil {
		return answer{}, err
	}
	results, err := c.metricData(want, time.Now())
	if err != nil {
		return answer{}, err
	}
	return ok(map[string]any{"MetricDataResults": results, "Messages": []any{}})
}

type metricResult struct {
	ID         string `json:"Id"`
	Label      string
	Timestamps []float64 // seconds since 1970
	Values     []decimal
	StatusCode string
}

func (r metricResult) cbor() cbor.Map {
	times, values := cbor.List{}, cbor.List{}
	for i, at := range r.Timestamps {
		times = append(times, &cbor.Tag{ID: 1, Value: cbor.Float64(at)})
		values = append(values, cbor.Float64(r.Values[i]))
	}
	return cbor.Map{"Id": cbor.String(r.ID), "Label": cbor.String(r.Label), "StatusCode": cbor.String(r.StatusCode), "Timestamps": times, "Values": values}
}

type metricRequest struct {
	StartTime, EndTime float64 // seconds since 1970
	ScanBy             string
	MetricDataQueries  []metricQuery
}

type metricQuery struct {
	ID         string
	Label      string
	Expression string
	MetricStat *struct {
		Metric struct {
			Namespace, MetricName string
			Dimensions            []struct{ Name, Value string }
		}
		Period int
		Stat   string
	}
}

// decodeMetricRequest goes by way of JSON, whose decoder knows how to fill a struct.
func decodeMetricRequest(body []byte) (metricRequest, error) {
	var want metricRequest
	v, err := cbor.Decode(body)
	if err == nil {
		var text []byte
		if text, err = json.Marshal(plain(v)); err == nil {
			err = json.Unmarshal(text, &want)
		}
	}
	if err != nil {
		return want, refuse(http.StatusBadRequest, "SerializationException", "could not parse request body: %v", err)
	}
	return want, nil
}

func plain(v cbor.Value) any {
	switch v := v.(type) {
	case cbor.Map:
		m := make(map[string]any, len(v))
		for key, value := range v {
			m[key] = plain(value)
		}
		return m
	case cbor.List:
		l := make([]any, len(v))
		for i, value := range v {
			l[i] = plain(value)
		}
		return l
	case *cbor.Tag: // 1: a time
		return plain(v.Value)
	case cbor.Slice:
		return []byte(v)
	case *cbor.Nil, *cbor.Undefined:
		return nil
	}
	return v
}

func badMetric(format string, args ...any) error {
	return refuse(http.StatusBadRequest, "InvalidParameterValue", format, args...)
}

func (c *control) metricData(want metricRequest, now time.Time) ([]metricResult, error) {
	if !(want.StartTime < want.EndTime) || !(want.EndTime < 1e11) || want.StartTime < 0 {
		return nil, badMetric("The parameter StartTime must be less than the parameter EndTime.")
	}
	if len(want.MetricDataQueries) == 0 || len(want.MetricDataQueries) > 500 {
		return nil, badMetric("The collection MetricDataQueries must have a size between 1 and 500.")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	results := []metricResult{}
	for _, q := range want.MetricDataQueries {
		r, err := c.result(q, want, now)
		if err != nil {
			return nil, err
		}
		results = append(results, r)
	}
	return results, nil
}

func (c *control) result(q metricQuery, want metricRequest, now time.Time) (metricResult, error) {
	if q.MetricStat == nil || q.Expression != "" {
		return metricResult{}, badMetric("The emulator knows metrics only, no expressions: %s", q.ID)
	}
	stat := q.MetricStat
	if stat.Period < 60 || stat.Period%60 != 0 || stat.Period > 86400 {
		return metricResult{}, badMetric("Period must be 60 or any multiple of 60: %d", stat.Period)
	}
	of := map[string]string{}
	for _, d := range stat.Metric.Dimensions {
		of[d.Name] = d.Value
	}
	series, merge := c.series(stat.Metric.Namespace+" "+stat.Metric.MetricName, of)
	if needs := map[bool]string{true: "Maximum", false: "Sum"}[merge]; len(series) > 0 && stat.Stat != needs && !(stat.Stat == "SampleCount" && !merge) {
		return metricResult{}, badMetric("The emulator keeps the %s of %s, not its %s", needs, stat.Metric.MetricName, stat.Stat)
	}
	times, values := points(series, merge, want, int64(stat.Period/60), now)
	if want.ScanBy != "TimestampAscending" {
		slices.Reverse(times)
		slices.Reverse(values)
	}
	return metricResult{q.ID, cmp.Or(q.Label, stat.Metric.MetricName), times, values, "Complete"}, nil
}

// series are the counters that a metric is made of, and whether it is their maximum, not their sum. A metric that nobody writes
// has none.
func (c *control) series(metric string, of map[string]string) (all []*minutes, maximum bool) {
	switch metric {
	case "AWS/Lambda ConcurrentExecutions":
		f := c.functions[of["FunctionName"]]
		switch {
		case len(of) == 0:
			return []*minutes{&c.plane.running.peaks}, true
		case len(of) == 1 && f != nil:
			return []*minutes{&f.occupancy.peaks}, true
		}
	case "AWS/ApiGateway Count":
		stage, only := of["Stage"]
		if of["ApiName"] == "" || len(of) > 2 || len(of) == 2 && !only {
			return nil, false
		}
		for id, api := range c.apis {
			for name := range api.stages {
				h := c.plane.hosts(stageKey{id, name})
				switch {
				case api.Name != of["ApiName"] || h == nil:
				case !only || stage == name:
					all = append(all, &h.requests)
				case stage == name+"/Canary":
					all = append(all, &h.canaries)
				}
			}
		}
	}
	return all, false
}

// points are those periods that have any value, oldest first. A period's time is its beginning.
func points(series []*minutes, maximum bool, want metricRequest, period int64, now time.Time) (times []float64, values []decimal) {
	times, values = []float64{}, []decimal{}
	last := now.Unix() / 60
	from := max(int64(math.Ceil(want.StartTime/60)), last-int64(len(minutes{}))+1)
	to := min(int64(math.Ceil(want.EndTime/60)), last+1)
	for begin := from - from%period; begin < to; begin += period {
		var total uint64
		found := false
		for minute := max(begin, from); minute < min(begin+period, to); minute++ {
			for _, s := range series {
				value, known := s.at(minute)
				if found = found || known; maximum && known {
					total = max(total, value)
				} else if known {
					total += value
				}
			}
		}
		if found {
			times = append(times, float64(begin*60))
			values = append(values, decimal(total))
		}
	}
	return times, values
}
