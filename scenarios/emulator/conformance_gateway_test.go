package emulator

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
)

// send asks the data plane at the API's own address.
func (c *conformer) send(method, stage, path string, body io.Reader, header http.Header) got {
	c.Helper()
	r, err := http.NewRequest(method, c.server.URL()+"/restapis/"+c.api+"/"+stage+"/_user_request_"+path, body)
	c.must(err)
	maps.Copy(r.Header, header)
	a, err := c.client.Do(r)
	c.must(err)
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	c.must(err)
	return got{a.StatusCode, string(text), a.Header}
}

// redeployed changes the API, and shows it to the stage that is tried.
func (c *conformer) redeployed(requests ...request) {
	c.Helper()
	requests = append(requests, post("/restapis/API/deployments", `{"stageName":"tried","variables":{"lambdaAlias":"prod"}}`))
	for _, r := range requests {
		if status, _, body := c.ask(r); status >= 300 {
			c.Fatalf("%s %s: %d %s", r.method, r.path, status, body)
		}
	}
}

// TestGatewayErrors is the table of aws.md section 3: status, type, body and headers of answers that are the gateway's own.
func TestGatewayErrors(t *testing.T) {
	const (
		internal  = "InternalServerErrorException"
		failed    = `{"message": "Internal server error"}`
		late      = `{"message": "Endpoint request timed out"}`
		noToken   = "MissingAuthenticationTokenException"
		nowhere   = `{"message":"Missing Authentication Token"}`
		tooMany   = "TooManyRequestsException"
		enough    = `{"message":"Too Many Requests"}`
		forbidden = "ForbiddenException"
		never     = `{"message":"Forbidden"}`
		methods   = "/restapis/API/resources/RESOURCE/methods/"
	)
	faults := func(f Faults) func(*conformer) {
		return func(c *conformer) { c.must(c.server.SetFaults(f)) }
	}
	first := func(v Version) func(*conformer) {
		return func(c *conformer) {
			c.shorten(60)
			c.must(c.server.SetFaults(Faults{Versions: map[string]Version{"1": v}}))
		}
	}
	returns := func(payload string) func(*conformer) {
		return func(c *conformer) {
			c.server.Handle("getProducts", func(context.Context, Invocation) (json.RawMessage, error) { return json.RawMessage(payload), nil })
		}
	}
	does := func(r ...request) func(*conformer) { return func(c *conformer) { c.redeployed(r...) } }
	variable := func(value string) func(*conformer) {
		return func(c *conformer) { c.ask(update("tried", "replace /variables/lambdaAlias "+value)) }
	}
	limit := func(ops ...string) func(*conformer) { return func(c *conformer) { c.ask(update("tried", ops...)) } }
	for _, test := range []struct {
		evidence
		name         string
		prepare      func(*conformer)
		method, path string
		status       int
		kind, body   string
	}{
		{captured, "the alias does not let the API in", faults(Faults{Gateway: Gateway{Deny: []string{"prod"}}}), "GET", "/products", 500, internal, failed},
		{captured, "the alias has no policy", func(c *conformer) {
			c.ask(remove("/2015-03-31/functions/getProducts/policy/gateway?Qualifier=prod"))
		}, "GET", "/products", 500, internal, failed},
		{unverified, "no such alias", variable("none"), "GET", "/products", 500, internal, failed},
		{unverified, "the variable is not set", limit("remove /variables/lambdaAlias"), "GET", "/products", 500, internal, failed},
		{recorded, "an integration that asks with GET", does(put(methods+"GET/integration", `{"type":"AWS_PROXY","httpMethod":"GET","uri":"`+proxyURI+`"}`)), "GET", "/products", 500, internal, failed},
		{captured, "a function that crashes", first(Version{Crashes: 1}), "GET", "/products", 502, internal, failed},
		{captured, "a function that answers no object", returns(`"x"`), "GET", "/products", 502, internal, failed},
		{captured, "a function that answers one key too many", returns(`{"statusCode":200,"extra":1}`), "GET", "/products", 502, internal, failed},
		{captured, "a function that answers a header of a bad type", returns(`{"headers":{"A":{}}}`), "GET", "/products", 502, internal, failed},
		{captured, "a function that hangs", first(Version{Hang: 1}), "GET", "/products", 504, internal, late},
		{captured, "a function slower than the integration's timeout", first(Version{Latency: Latency{Median: 60e9}}), "GET", "/products", 504, internal, late},
		{recorded, "unknown path", nil, "GET", "/nothing", 403, noToken, nowhere},
		{recorded, "unknown verb", nil, "POST", "/products", 403, noToken, nowhere},
		{recorded, "the stage's path with a slash too many", nil, "GET", "/products/", 403, noToken, nowhere},
		{recorded, "unknown stage", func(c *conformer) { c.ask(remove("/restapis/API/stages/tried")) }, "GET", "/products", 403, noToken, nowhere},
		{recorded, "unknown API", func(c *conformer) { c.api = "nope" }, "GET", "/products", 403, noToken, nowhere},
		{documented, "unsigned where IAM is asked for", does(remove(methods+"GET"), put(methods+"GET", `{"authorizationType":"AWS_IAM"}`),
			put(methods+"GET/integration", `{"type":"AWS_PROXY","httpMethod":"POST","uri":"`+proxyURI+`"}`)), "GET", "/products", 403, noToken, nowhere},
		{thirdParty, "throttled by the stage", limit("replace /*/*/throttling/rateLimit 0"), "GET", "/products", 429, tooMany, enough},
		{thirdParty, "throttled by the method", limit("replace /~1products/GET/throttling/burstLimit 0"), "GET", "/products", 429, tooMany, enough},
		{thirdParty, "throttled by the account", func(c *conformer) {
			c.must(c.server.SetFaults(Faults{Gateway: Gateway{AccountRate: 1e-6, AccountBurst: 1}}))
			c.send("GET", "prod", "/products", nil, nil)
		}, "GET", "/products", 429, tooMany, enough},
		{thirdParty, "no API key where one is asked for", does(remove(methods+"GET"), put(methods+"GET", `{"authorizationType":"NONE","apiKeyRequired":true}`),
			put(methods+"GET/integration", `{"type":"AWS_PROXY","httpMethod":"POST","uri":"`+proxyURI+`"}`)), "GET", "/products", 403, forbidden, never},
		{documented, "a disabled execute-api endpoint", func(c *conformer) {
			c.ask(request{"PATCH", "/restapis/API", `{"patchOperations":[{"op":"replace","path":"/disableExecuteApiEndpoint","value":"true"}]}`})
		}, "GET", "/products", 403, forbidden, never},
	} {
		fact(t, test.evidence, test.name, func(t *testing.T) {
			c := conforming(t)
			c.createStage("tried", alias("prod"))
			if test.prepare != nil {
				test.prepare(c)
			}
			g := c.send(test.method, "tried", test.path, nil, nil)
			if g.status != test.status || g.body != test.body || g.header.Get("X-Amzn-Errortype") != test.kind {
				t.Errorf("got  %d %s %s\nwant %d %s %s", g.status, g.header.Get("X-Amzn-Errortype"), g.body, test.status, test.kind, test.body)
			}
			checkHeaders(t, test.name, g)
			if v := g.header.Get("X-Lambda-Version"); v != "" {
				t.Errorf("it names version %s", v)
			}
			if after := g.header.Get("Retry-After"); after != "" {
				t.Errorf("it says when to come back: %s", after)
			}
		})
	}
	fact(t, documented, "a body above 10 MB", func(t *testing.T) {
		c := conforming(t)
		if g := c.send("GET", "prod", "/products", strings.NewReader(strings.Repeat("x", maxPayload+1)), nil); g.status != 413 {
			t.Errorf("%d %s", g.status, g.body)
		}
	})
}

// TestProxyRules is what AWS_PROXY makes of what a function returns.
func TestProxyRules(t *testing.T) {
	s := startStack(t, Faults{})
	var returned string
	var failure error
	s.server.Handle("getProducts", func(context.Context, Invocation) (json.RawMessage, error) {
		if returned == "panic" {
			panic("handler")
		}
		return json.RawMessage(returned), failure
	})
	const bad = `{"message": "Internal server error"}`
	for _, test := range []struct {
		evidence
		name, returned string
		status         int
		body           string
		header         string // of X-H
	}{
		{recorded, "nothing", `{}`, 200, "", ""},
		{recorded, "a status as text", `{"statusCode":"201","body":"x"}`, 201, "x", ""},
		{recorded, "no body", `{"statusCode":204}`, 204, "", ""},
		{recorded, "no body and no headers, in so many words", `{"statusCode":503,"body":null,"headers":null}`, 503, "", ""},
		{recorded, "a boolean header", `{"headers":{"X-H":true}}`, 200, "", "true"},
		{unverified, "a number as a header", `{"headers":{"X-H":7}}`, 200, "", "7"},
		{documented, "headers with several values", `{"multiValueHeaders":{"X-H":["a","b"]}}`, 200, "", "a, b"},
		{documented, "base64", `{"isBase64Encoded":true,"body":"aGk="}`, 200, "hi", ""},
		{captured, "an object as a header", `{"headers":{"X-H":{}}}`, 502, bad, ""},
		{unverified, "an object as the body", `{"body":{}}`, 502, bad, ""},
		{recorded, "an unknown key", `{"statusCode":200,"extra":1}`, 502, bad, ""},
		{unverified, "a status that is no number", `{"statusCode":"x"}`, 502, bad, ""},
		{unverified, "a status that no response can have", `{"statusCode":99}`, 502, bad, ""},
		{recorded, "a key in another case", `{"StatusCode":200}`, 502, bad, ""},
		{captured, "a list", `[]`, 502, bad, ""},
		{captured, "null", `null`, 502, bad, ""},
		{captured, "text", `"x"`, 502, bad, ""},
		{captured, "no JSON", ``, 502, bad, ""},
		{captured, "half an object", `{`, 502, bad, ""},
		{captured, "a panic", "panic", 502, bad, ""},
	} {
		fact(t, test.evidence, test.name, func(t *testing.T) {
			returned = test.returned
			g := s.get("prod", "/products")
			if g.status != test.status || g.body != test.body || strings.Join(g.header.Values("X-H"), ", ") != test.header {
				t.Errorf("%s: %d %q, X-H %q", test.returned, g.status, g.body, g.header.Values("X-H"))
			}
		})
	}
	fact(t, captured, "an error", func(t *testing.T) {
		failure = errors.New("no")
		if g := s.get("prod", "/products"); g.status != 502 || g.body != bad {
			t.Errorf("%d %s", g.status, g.body)
		}
	})
}

// TestAnswers: what comes with a function's own answer, and the forms of an API's address.
func TestAnswers(t *testing.T) {
	c := conforming(t)
	fact(t, recorded, "headers, and JSON unless the function says otherwise", func(t *testing.T) {
		g := c.get("prod", "/products")
		checkHeaders(t, "success", g)
		if want := `{"message":"getProducts: all products v1","version":"1","products":[{"id":"p-100",`; g.status != 200 || !strings.HasPrefix(g.body, want) || !json.Valid([]byte(g.body)) {
			t.Errorf("%d %s", g.status, g.body)
		}
		if kind := g.header.Get("X-Amzn-Errortype"); kind != "" {
			t.Errorf("a success with an error type: %s", kind)
		}
	})
	fact(t, documented, "a request id of the client's own is kept", func(t *testing.T) {
		const mine = "01234567-89AB-4def-8123-456789abcdef"
		if got := c.send("GET", "prod", "/products", nil, http.Header{"X-Amzn-Requestid": {mine}}).header.Get("X-Amzn-Requestid"); got != mine {
			t.Errorf("it came back as %s", got)
		}
	})
	fact(t, unverified, "one that is no UUID is not", func(t *testing.T) {
		if got := c.send("GET", "prod", "/products", nil, http.Header{"X-Amzn-Requestid": {"mine"}}).header.Get("X-Amzn-Requestid"); !uuid.MatchString(got) {
			t.Errorf("it came back as %s", got)
		}
	})
	for _, form := range []struct {
		evidence
		name, host, path string
	}{
		{documented, "the API's host", c.api + ".execute-api.eu-central-1.amazonaws.com", "/staging/products"},
		{thirdParty, "LocalStack's host", c.api + ".execute-api.localhost.localstack.cloud:4566", "/staging/products"},
		{thirdParty, "LocalStack's path", "", "/restapis/" + c.api + "/staging/_user_request_/products"},
	} {
		fact(t, form.evidence, form.name, func(t *testing.T) {
			if g := c.at(form.host, form.path); g.status != 200 || g.header.Get("X-Lambda-Version") != "2" {
				t.Errorf("%d, version %q", g.status, g.header.Get("X-Lambda-Version"))
			}
		})
	}
}

// TestSelection: which release a request gets, and what its function sees of that.
func TestSelection(t *testing.T) {
	c := conforming(t)
	const canaries = "replace /canarySettings/stageVariableOverrides/lambdaAlias staging"
	for _, test := range []struct {
		evidence
		name, percent string
		some1, some2  bool // whether anybody gets version 1, version 2
	}{
		{recorded, "100 % are all", "100", false, true},
		{documented, "0 % is nobody", "0.0", true, false},
		{documented, "neither client nor connection is kept to one release", "50", true, true},
	} {
		fact(t, test.evidence, test.name, func(t *testing.T) {
			c.ask(update("prod", "replace /canarySettings/percentTraffic "+test.percent, canaries))
			if seen := c.versions("prod", 60); (seen["1"] > 0) != test.some1 || (seen["2"] > 0) != test.some2 || seen["1"]+seen["2"] != 60 {
				t.Errorf("%s %%: %v", test.percent, seen)
			}
		})
	}
	fact(t, unverified, "the split begins with the settings, before anything is deployed", func(t *testing.T) {
		if st := c.read("prod"); st.deployment != "FIRST" || st.canary.deployment != "FIRST" {
			t.Errorf("something was deployed: %+v, %+v", st, st.canary)
		}
	})

	events := make(chan Event, 1)
	c.server.Handle("getProducts", func(_ context.Context, in Invocation) (json.RawMessage, error) {
		events <- in.Event
		return json.RawMessage(`{}`), nil
	})
	c.ask(update("prod", "replace /variables/kept yes", "replace /canarySettings/deploymentId SECOND", "replace /canarySettings/percentTraffic 100"))
	for _, test := range []struct {
		evidence
		name, stage, deployment string
		variables               map[string]string
	}{
		{recorded, "the canary's variables: overrides win, the stage's others stay", "prod", "SECOND", map[string]string{"lambdaAlias": "staging", "kept": "yes"}},
		{recorded, "a stage's own", "dev", "FIRST", alias("dev")},
	} {
		fact(t, test.evidence, test.name, func(t *testing.T) {
			g := c.get(test.stage, "/products?a=1&a=2")
			e := <-events
			if !maps.Equal(e.StageVariables, test.variables) {
				t.Errorf("variables %v", e.StageVariables)
			}
			if r := e.RequestContext; r.DeploymentID != c.ids[test.deployment] || r.Stage != test.stage || r.APIID != c.api ||
				r.RequestID != g.header.Get("X-Amzn-Requestid") || r.ExtendedRequestID != g.header.Get("X-Amz-Apigw-Id") || r.Path != "/"+test.stage+"/products" || r.Protocol != "HTTP/1.1" {
				t.Errorf("context %+v", r)
			}
			if e.HTTPMethod != "GET" || e.Resource != "/products" || e.Path != "/products" || e.QueryStringParameters["a"] != "2" || len(e.MultiValueQueryStringParameters["a"]) != 2 {
				t.Errorf("%+v", e)
			}
		})
	}
}
