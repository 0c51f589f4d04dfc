package emulator

import (
	"context"
	"errors"
	"io"
	"net/http"
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

func rooted(path string) string {
	if path == "" {
		return "/"
	}
	return path
}

// reply is an answer of the data plane, the gateway's own or a function's.
type reply struct {
	status int
	kind   string // the gateway's x-amzn-ErrorType; "" for a function's answer
	header http.Header
	body   []byte
}

// The gateway's own errors. They name no version: whoever sees one cannot tell whose it was.
var (
	invocationFailed = reply{status: 500, kind: "InternalServerErrorException", body: []byte(`{"message": "Internal server error"}`)}
	functionFailed   = reply{status: 502, kind: "InternalServerErrorException", body: []byte(`{"message": "Internal server error"}`)}
	timedOut         = reply{status: 504, kind: "InternalServerErrorException", body: []byte(`{"message": "Endpoint request timed out"}`)}
	noSuchRoute      = reply{status: 403, kind: "MissingAuthenticationTokenException", body: []byte(`{"message":"Missing Authentication Token"}`)}
	forbidden        = reply{status: 403, kind: "ForbiddenException", body: []byte(`{"message":"Forbidden"}`)}
	throttled        = reply{status: 429, kind: "TooManyRequestsException", body: []byte(`{"message":"Too Many Requests"}`)}
	tooLarge         = reply{status: 413, kind: "RequestTooLargeException", body: []byte(`{"message":"Request Too Long"}`)}
)

// exchange is one request to an API on its way through the gateway.
type exchange struct {
	faults     *conditions
	draw       draw
	requestID  string
	extendedID string
	traceID    string
}

func (p *plane) begin(r *http.Request) *exchange {
	f := p.faults.Load()
	x := &exchange{faults: f, draw: p.next(f)}
	if x.requestID = r.Header.Get("X-Amzn-Requestid"); !isUUID(x.requestID) {
		bits := x.draw.bits(forID)
		x.requestID = string(appendUUID(make([]byte, 0, 36), bits, mix(bits)))
	}
	x.extendedID = string(appendExtendedID(make([]byte, 0, 16), x.draw.bits(forTrace)))
	x.traceID = string(appendTrace(make([]byte, 0, 35), time.Now(), x.draw.bits(forTrace)))
	return x
}

func (p *plane) serve(w http.ResponseWriter, r *http.Request, to target) {
	x := p.begin(r)
	a, err := p.handle(x, w, r, to)
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
	if t := x.faults.throttle; t != nil && !t.allow(elapsed()) {
		return throttled, nil
	}
	serving := h.serving(int(x.draw.share(forHost) * hostCount))
	if serving.closed && !to.custom {
		return forbidden, nil
	}
	a, canary := serving.pick(x.faults, x.draw)
	route, parameters := a.match(r.Method, to.path)
	if route == nil || route.method.AuthorizationType == "AWS_IAM" && !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 ") {
		return noSuchRoute, nil
	}
	if route.method.APIKeyRequired { // there are no keys, so none is right
		return forbidden, nil
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
		return invocationFailed, nil
	}
	if i.Credentials == "" && !f.policies[to.qualifier].allows(to.source+verb+to.path) {
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
	out, err := v.run(ctx, x, f, to.qualifier, event)
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return timedOut, nil
	case ctx.Err() != nil:
		return reply{}, ctx.Err()
	case err != nil:
		return functionFailed, nil
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
