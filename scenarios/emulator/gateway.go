package emulator

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const maxPayload = 10 << 20

// target is where a request to an API is going.
type target struct {
	key    stageKey
	path   string // below the stage, with its slash
	asked  string // what a custom domain's client asked for, its base path included
	custom bool   // by a custom domain, not by the API's own address
}

func (p *plane) target(r *http.Request) (target, bool) {
	if to, found := p.customTarget(r); found {
		return to, true
	}
	return userRequest(r)
}

// userRequest knows both forms of an API's address: /restapis/{api}/{stage}/_user_request_/{path} on any host, and
// /{stage}/{path} on {api}.execute-api.{anything}.
func userRequest(r *http.Request) (target, bool) {
	if rest, found := strings.CutPrefix(r.URL.Path, "/restapis/"); found {
		if before, path, found := strings.Cut(rest, "/_user_request_"); found && (path == "" || path[0] == '/') {
			api, stage, _ := strings.Cut(before, "/")
			return target{key: stageKey{api, stage}, path: rooted(path)}, true
		}
	}
	if api, _, found := strings.Cut(r.Host, ".execute-api."); found {
		stage, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		return target{key: stageKey{api, stage}, path: "/" + path}, true
	}
	return target{}, false
}

// rawPath is the path as the client wrote it.
func (t target) rawPath() string { return (&url.URL{Path: t.full()}).EscapedPath() }

func (t target) full() string {
	if t.custom {
		return t.asked
	}
	return "/" + t.key.stage + t.path
}

func rooted(path string) string {
	if path == "" {
		return "/"
	}
	return path
}

// reply is an answer of the data plane, the gateway's own or a function's.
type reply struct {
	status   int
	kind     string // the gateway's x-amzn-ErrorType; "" for a function's answer
	response string // the gateway response type that an API may give another form; "" for a function's answer
	message  string // in the gateway's body
	header   http.Header
	body     []byte
}

// The gateway's own errors. They name no version: whoever sees one cannot tell whose it was. Which response type API Gateway
// counts an integration's failures under is not recorded; all of them fall back on DEFAULT_5XX.
var (
	invocationFailed = gatewayError(500, "InternalServerErrorException", "API_CONFIGURATION_ERROR", `{"message": "Internal server error"}`)
	invokeThrottled  = gatewayError(500, "InternalServerErrorException", "INTEGRATION_FAILURE", `{"message": "Internal server error"}`)
	functionFailed   = gatewayError(502, "InternalServerErrorException", "INTEGRATION_FAILURE", `{"message": "Internal server error"}`)
	timedOut         = gatewayError(504, "InternalServerErrorException", "INTEGRATION_TIMEOUT", `{"message": "Endpoint request timed out"}`)
	noSuchRoute      = gatewayError(403, "MissingAuthenticationTokenException", "MISSING_AUTHENTICATION_TOKEN", `{"message":"Missing Authentication Token"}`)
	forbidden        = gatewayError(403, "ForbiddenException", "ACCESS_DENIED", `{"message":"Forbidden"}`)
	keyRefused       = gatewayError(403, "ForbiddenException", "INVALID_API_KEY", `{"message":"Forbidden"}`)
	throttled        = gatewayError(429, "TooManyRequestsException", "THROTTLED", `{"message":"Too Many Requests"}`)
	tooLarge         = gatewayError(413, "RequestTooLargeException", "REQUEST_TOO_LARGE", `{"message":"Request Too Long"}`)
)

func gatewayError(status int, kind, response, body string) reply {
	var said message
	if err := json.Unmarshal([]byte(body), &said); err != nil {
		panic(err)
	}
	return reply{status: status, kind: kind, response: response, message: said.Text, body: []byte(body)}
}

// exchange is one request to an API on its way through the gateway.
type exchange struct {
	faults     *conditions
	draw       draw
	requestID  string
	extendedID string
	traceID    string
	direct     *direct // Lambda's Invoke; nil: the gateway's own

	// what $context is made of
	begun      time.Time
	request    *http.Request
	to         target
	arm        *arm // nil until one was chosen
	canary     bool
	route      *route            // nil until one was found
	parameters map[string]string // of the path
	log        *accessLog
	failure    struct{ message, response string } // of an error that is the gateway's own
	lambda     lambdaCall
	warm       bool // in an environment that was provisioned

	done    bool // the fields below are set
	status  int  // 0: nobody waited for the answer
	length  int  // of the body, bytes
	latency time.Duration
}

// lambdaCall is how the integration went. The latency is measured for an access log only.
type lambdaCall struct {
	called   bool
	status   int // Lambda's own
	function int // the status that the function returned; 0: none
	latency  time.Duration
	trouble  string
}

// lambdaID is the request id of the function's invocation.
func (x *exchange) lambdaID() string {
	bits := x.draw.bits(forLambdaID)
	return string(appendUUID(make([]byte, 0, 36), bits, mix(bits)))
}

func (p *plane) begin(r *http.Request) *exchange {
	f := p.faults.Load()
	x := &exchange{faults: f, draw: p.next(f), begun: time.Now(), request: r}
	if x.requestID = r.Header.Get("X-Amzn-Requestid"); !isUUID(x.requestID) {
		bits := x.draw.bits(forID)
		x.requestID = string(appendUUID(make([]byte, 0, 36), bits, mix(bits)))
	}
	x.extendedID = string(appendExtendedID(make([]byte, 0, 16), x.draw.bits(forTrace)))
	x.traceID = string(appendTrace(make([]byte, 0, 35), x.begun, x.draw.bits(forTrace)))
	return x
}

func (p *plane) serve(w http.ResponseWriter, r *http.Request, to target) {
	x := p.begin(r)
	x.to = to
	a, err := p.handle(x, w, r, to)
	if err == nil && a.kind != "" && x.arm != nil {
		a = x.arm.errors.give(a, x)
	}
	if x.log != nil {
		p.finish(x, a)
	}
	if err != nil { // the client has gone, or the server is closing: nobody is there to answer
		panic(http.ErrAbortHandler)
	}
	a.write(w, x)
}

func (p *plane) handle(x *exchange, w http.ResponseWriter, r *http.Request, to target) (reply, error) {
	h := p.hosts(to.key)
	if h == nil && to.custom && to.key.api == "" { // no mapping for this path
		return forbidden, nil
	}
	if h == nil {
		return noSuchRoute, nil
	}
	serving := h.serving(int(x.draw.share(forHost) * hostCount))
	if serving.closed && !to.custom {
		return forbidden, nil
	}
	a, canary := serving.pick(x.faults, x.draw)
	x.arm, x.canary, x.log = a, canary, serving.log
	h.count(x)
	if t := x.faults.throttle; t != nil && !t.allow(elapsed()) {
		return throttled, nil
	}
	route, parameters := a.match(r.Method, to.path)
	x.route, x.parameters = route, parameters
	if route == nil || route.method.AuthorizationType == "AWS_IAM" && !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 ") {
		return noSuchRoute, nil
	}
	if route.method.APIKeyRequired { // there are no keys, so none is right
		return keyRefused, nil
	}
	if at := elapsed(); route.limit != nil && !route.limit.allow(at) || !x.faults.account.allow(at) {
		return throttled, nil
	}
	var body []byte
	if r.ContentLength != 0 {
		var err error
		if body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxPayload)); errors.As(err, new(*http.MaxBytesError)) {
			return tooLarge, nil
		} else if err != nil {
			return reply{}, err
		}
	}
	key := cacheKey{a.deploymentID, to.path}
	ttl := route.cacheTTL
	if x.faults.Gateway.Cache {
		ttl = cacheTTL
	}
	cached := ttl > 0 && r.Method == http.MethodGet
	if cached {
		if hit, found := h.cache.Load().get(key); found {
			return hit, nil
		}
	}
	event := func() Event { return x.event(r, to, a, route, parameters, body) }
	out, err := p.integrate(r.Context(), x, route, r.Method, event, canary)
	if cached && err == nil && out.kind == "" && out.status < 300 {
		h.cache.Load().put(key, out, ttl)
	}
	return out, err
}

// integrate invokes the function behind a route and makes an answer of what it says.
func (p *plane) integrate(ctx context.Context, x *exchange, to *route, verb string, event func() Event, canary bool) (reply, error) {
	i := to.method.Integration
	// Of the integrations only AWS_PROXY to a function is emulated; with another verb than POST Lambda refuses on AWS, too.
	if i.Type != "AWS_PROXY" || i.HTTPMethod != http.MethodPost {
		return invocationFailed, nil
	}
	f := p.function(to.function)
	if f == nil {
		return invocationFailed, nil
	}
	if x.faults.denied[to.qualifier] {
		x.lambda.trouble = "Invalid permissions on Lambda function"
		return invocationFailed, nil
	}
	if i.Credentials == "" && !f.policies[to.qualifier].allows(to.source+verb+to.path) {
		x.lambda.trouble = "Invalid permissions on Lambda function"
		return invocationFailed, nil
	}
	number, found := f.resolve(to.qualifier, x.draw)
	if stray := x.faults.Gateway.Stray; canary && stray.Share > 0 && x.draw.share(forStray) < float64(stray.Share) {
		number = stray.Version
	}
	v := f.versions[number]
	if !found || v == nil {
		return invocationFailed, nil
	}
	ctx, cancel := context.WithTimeout(ctx, to.timeout)
	defer cancel()
	x.lambda.called = true
	var begun time.Time
	if x.log != nil {
		begun = time.Now()
	}
	out, err := p.call(ctx, x, f, v, to.qualifier, event)
	if x.log != nil {
		x.lambda.latency = time.Since(begun)
	}
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		x.lambda.trouble = "Execution failed due to a timeout error"
		return timedOut, nil
	case ctx.Err() != nil:
		return reply{}, ctx.Err()
	case err != nil && errors.As(err, new(*overload)):
		x.lambda.status, x.lambda.trouble = 429, "Lambda invocation failed with status: 429"
		return invokeThrottled, nil
	case err != nil:
		x.lambda.status, x.lambda.trouble = 200, "Lambda execution failed with status 200 due to customer function error"
		return functionFailed, nil
	}
	x.lambda.status = 200
	if out.reply.kind == "" {
		x.lambda.function = out.reply.status
	} else {
		x.lambda.trouble = "Malformed Lambda proxy response"
	}
	return out.reply, nil
}

// resolve follows a qualifier to a version; a weighted alias chooses anew for each request.
func (f *functionView) resolve(qualifier string, d draw) (number string, found bool) {
	if qualifier == "" {
		return latest, true
	}
	a, found := f.aliases[qualifier]
	if !found {
		return qualifier, isVersion(qualifier)
	}
	for extra, weight := range a.weights() { // at most one
		if d.share(forAlias) < float64(weight) {
			return extra, true
		}
	}
	return a.FunctionVersion, true
}

// write adds the headers that every answer carries, in the spelling of API Gateway.
func (a reply) write(w http.ResponseWriter, x *exchange) {
	h := w.Header()
	h["Content-Type"] = contentType
	for name, values := range a.header {
		h[name] = values
	}
	h["x-amzn-RequestId"] = []string{x.requestID}
	h["x-amz-apigw-id"] = []string{x.extendedID}
	h["X-Amzn-Trace-Id"] = []string{x.traceID}
	if a.kind != "" {
		h["x-amzn-ErrorType"] = []string{a.kind}
	}
	if a.status != http.StatusNoContent && a.status != http.StatusNotModified {
		h["Content-Length"] = []string{strconv.Itoa(len(a.body))}
	}
	w.WriteHeader(a.status)
	w.Write(a.body)
}

var contentType = []string{"application/json"}
