package emulator

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// direct is what an Invoke brings, and takes away beside its answer.
type direct struct {
	payload, context []byte
	tail             bool // the log is wanted
	log              []byte
}

// invoke is Lambda's Invoke. It asks for no permission: whoever holds the account's keys may.
func (c *control) invoke(in *call) (answer, error) {
	name, _ := splitFunctionName(in.path("function"))
	f := c.plane.function(name)
	if f == nil {
		return answer{}, missing("Function not found: arn:aws:lambda:%s:%s:function:%s", in.region, account, name)
	}
	var e Event
	if len(in.body) > 0 {
		if !json.Valid(in.body) {
			return answer{}, lambdaRefusal(http.StatusBadRequest, "InvalidRequestContentException", "Could not parse request body into json")
		}
		json.Unmarshal(in.body, &e) // any JSON will do: getProducts does not look
	}
	faults := c.plane.faults.Load()
	d := &direct{payload: in.body, tail: in.header.Get("X-Amz-Log-Type") == "Tail"}
	d.context, _ = base64.StdEncoding.DecodeString(in.header.Get("X-Amz-Client-Context"))
	x := &exchange{faults: faults, draw: c.plane.next(faults), begun: time.Now(), direct: d}
	q := in.qualifier()
	number, found := f.resolve(q, x.draw)
	v := f.versions[number]
	if !found || v == nil {
		return answer{}, missing("Function not found: %s:%s", f.arn, q)
	}
	header := map[string]string{"X-Amz-Executed-Version": number}
	switch in.header.Get("X-Amz-Invocation-Type") {
	case "DryRun":
		return noContent()
	case "Event": // nobody waits for the answer, so getProducts need not be run for it
		if f.fleet != nil {
			f.fleet.background(func(ctx context.Context) { c.plane.call(ctx, x, f, v, q, func() Event { return e }) })
		}
		return answer{status: http.StatusAccepted}, nil
	}
	out, err := c.plane.call(in.ctx, x, f, v, q, func() Event { return e })
	var full *overload
	if errors.As(err, &full) {
		return answer{}, &refusal{status: http.StatusTooManyRequests, code: "TooManyRequestsException", header: map[string]string{"Retry-After": "1"},
			body: map[string]string{"Reason": full.reason, "Type": "User", "message": full.Error()}}
	}
	var payload []byte
	if err == nil {
		payload = out.payload
	} else {
		header["X-Amz-Function-Error"] = "Unhandled"
		failure := &functionError{Message: err.Error(), Type: "Runtime.ExitError"}
		errors.As(err, &failure)
		payload = failure.encoded()
	}
	if d.tail {
		header["X-Amz-Log-Result"] = base64.StdEncoding.EncodeToString([]byte("START Version: " + number + "\n" + string(d.log) + "END\n"))
	}
	return answer{status: http.StatusOK, body: payload, header: header}, nil
}

// testInvokeMethod runs a method as it is now, not as it was deployed, with stage variables of the caller's own.
func (c *control) testInvokeMethod(in *call) (answer, error) {
	var want struct {
		PathWithQueryString string
		Body                string
		Headers             map[string]string
		StageVariables      map[string]string
	}
	if err := in.decode(&want); err != nil {
		return answer{}, err
	}
	const stage = "test-invoke-stage"
	c.mu.Lock()
	api, r, err := c.resource(in)
	if err == nil {
		_, _, _, err = c.integration(in)
	}
	if err != nil {
		c.mu.Unlock()
		return answer{}, err
	}
	verb := in.path("verb")
	snapshot := []deployed{{r.ID, r.Path, map[string]*method{verb: r.methods[verb]}}}
	a := resolve(api, stage, "", snapshot, want.StageVariables)
	c.mu.Unlock()

	path, query, _ := strings.Cut(want.PathWithQueryString, "?")
	if path == "" {
		path = r.Path
	}
	request := &http.Request{Method: verb, URL: &url.URL{Path: path, RawQuery: query}, Header: http.Header{}}
	for name, value := range want.Headers {
		request.Header.Set(name, value)
	}
	route, parameters := a.match(verb, path)
	if route == nil {
		route, parameters = a.match(verb, r.Path)
	}
	if route == nil {
		return answer{}, badRequest("Invalid path %s for resource %s", path, r.Path)
	}
	x := c.plane.begin(request)
	begun := time.Now()
	event := func() Event {
		return x.event(request, target{key: stageKey{api.ID, stage}, path: path}, a, route, parameters, []byte(want.Body))
	}
	out, err := c.plane.integrate(in.ctx, x, route, verb, event, false)
	if err != nil {
		return answer{}, err
	}
	headers, multi := map[string]string{"X-Amzn-Trace-Id": x.traceID}, map[string][]string{"X-Amzn-Trace-Id": {x.traceID}}
	for name, values := range out.header {
		headers[name], multi[name] = values[0], values
	}
	return ok(map[string]any{
		"status": out.status, "body": string(out.body), "headers": headers, "multiValueHeaders": multi,
		"log":     fmt.Sprintf("Execution log for request %s\nMethod completed with status: %d\n", x.requestID, out.status),
		"latency": time.Since(begun).Milliseconds(),
	})
}
