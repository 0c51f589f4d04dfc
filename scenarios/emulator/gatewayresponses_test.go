package emulator

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	apitypes "github.com/aws/aws-sdk-go-v2/service/apigateway/types"
)

func (s *stack) putResponse(kind apitypes.GatewayResponseType, status string, headers map[string]string, body string) error {
	in := &apigateway.PutGatewayResponseInput{RestApiId: &s.api, ResponseType: kind, ResponseParameters: map[string]string{}}
	if status != "" {
		in.StatusCode = &status
	}
	for name, value := range headers {
		in.ResponseParameters["gatewayresponse.header."+name] = value
	}
	if body != "" {
		in.ResponseTemplates = map[string]string{"application/json": body}
	}
	_, err := s.gateway.PutGatewayResponse(context.Background(), in)
	return err
}

const aliasBody = `{"message":$context.error.messageString,"alias":"$stageVariables.lambdaAlias","get":"$stageVariables.get('lambdaAlias')",` +
	`"deployment":"$context.deploymentId","canary":"$context.isCanaryRequest","type":"$context.error.responseType","none":"$context.nothing","price":"$5"}`

// TestGatewayResponse: a DEFAULT_5XX that names the alias is how an anonymous 500 becomes somebody's, once it is deployed.
func TestGatewayResponse(t *testing.T) {
	s := startStack(t, Faults{Seed: 1, Gateway: Gateway{Deny: []string{"staging"}}})
	s.canary("50.0")
	headers := map[string]string{"X-Alias": "stageVariables.lambdaAlias", "X-Request": "context.requestId", "X-Static": "'a b'",
		"X-Missing": "context.authorizer.x", "X-Asked": "method.request.querystring.q"}
	s.must(s.putResponse("DEFAULT_5XX", "", headers, aliasBody))

	const plain = `{"message": "Internal server error"}`
	failed := func() got {
		t.Helper()
		for range 60 {
			if g := s.get("prod", "/products?q=7"); g.status != 200 {
				return g
			}
		}
		t.Fatal("no request went to the canary")
		return got{}
	}
	if g := failed(); g.status != 500 || g.body != plain || g.header.Get("X-Alias") != "" {
		t.Errorf("before it is deployed: %+v", g)
	}
	second := s.deploy()
	if g := failed(); g.body != plain {
		t.Errorf("the stage still has the deployment before: %+v", g)
	}
	s.mustPatch("prod", "replace /canarySettings/deploymentId "+second)
	g := failed()
	want := fmt.Sprintf(`{"message":"Internal server error","alias":"staging","get":"staging","deployment":"%s","canary":"true","type":"API_CONFIGURATION_ERROR","none":"","price":"$5"}`, second)
	if g.status != 500 || g.body != want || g.header.Get("x-amzn-ErrorType") != "InternalServerErrorException" {
		t.Errorf("got  %d %s\nwant %s", g.status, g.body, want)
	}
	if h := g.header; h.Get("X-Alias") != "staging" || h.Get("X-Request") != h.Get("x-amzn-RequestId") || h.Get("X-Static") != "a b" ||
		h.Get("X-Asked") != "7" || h.Values("X-Missing") != nil || h.Get("Content-Type") != "application/json" {
		t.Errorf("headers: %v", h)
	}

	// The own arm's errors keep the form that its deployment has: none.
	s.must(s.server.SetFaults(Faults{Gateway: Gateway{Deny: []string{"staging", "prod"}}}))
	seen := map[string]bool{}
	for range 60 {
		seen[s.get("prod", "/products").header.Get("X-Alias")] = true
	}
	if !seen[""] || !seen["staging"] || len(seen) != 2 {
		t.Errorf("aliases in errors: %v", seen)
	}
}

func TestGatewayResponseTypes(t *testing.T) {
	s := startStack(t, Faults{Versions: map[string]Version{"1": {Crashes: 1}}})
	s.must(s.putResponse("MISSING_AUTHENTICATION_TOKEN", "404", map[string]string{"Content-Type": "'text/plain'"}, "no $context.httpMethod $context.path, ${context.error.message} ($context.status)."))
	s.must(s.putResponse("DEFAULT_4XX", "", map[string]string{"X-Class": "'4'"}, ""))
	s.must(s.putResponse("DEFAULT_5XX", "503", map[string]string{"X-Class": "'5'"}, ""))
	s.deployed = s.deploy()
	s.createStage("new", map[string]string{"lambdaAlias": "prod"})
	s.logAccess("new", "access")
	check := func(what string, g got, status int, body, class, contentType string) {
		t.Helper()
		if g.status != status || g.body != body || g.header.Get("X-Class") != class || g.header.Get("Content-Type") != contentType {
			t.Errorf("%s: %d %s %v", what, g.status, g.body, g.header)
		}
	}
	check("unknown path", s.get("new", "/nothing"), 404, "no GET /new/nothing, Missing Authentication Token (404).", "", "text/plain")
	check("crash", s.get("new", "/products"), 503, `{"message": "Internal server error"}`, "5", "application/json")
	check("another stage", s.get("prod", "/nothing"), 403, `{"message":"Missing Authentication Token"}`, "", "application/json")
	s.must(s.server.SetFaults(Faults{Gateway: Gateway{Throttle: 1e-6}}))
	s.get("new", "/products")
	check("throttled", s.get("new", "/products"), 429, `{"message":"Too Many Requests"}`, "4", "application/json")
	lines, _ := s.lines("access", "", 100)
	var statuses []string
	for _, l := range lines {
		statuses = append(statuses, l.Status+" "+l.ResponseType)
	}
	if got := strings.Join(statuses, ", "); got != "404 MISSING_AUTHENTICATION_TOKEN, 503 INTEGRATION_FAILURE, 200 -, 429 THROTTLED" {
		t.Errorf("logged: %s", got)
	}

	s.must(s.server.SetFaults(Faults{}))
	_, err := s.gateway.DeleteGatewayResponse(context.Background(), &apigateway.DeleteGatewayResponseInput{RestApiId: &s.api, ResponseType: "DEFAULT_5XX"})
	s.must(err)
	check("deleted, not deployed", s.get("new", "/nothing"), 404, "no GET /new/nothing, Missing Authentication Token (404).", "", "text/plain")
}

func TestGatewayResponseRefusals(t *testing.T) {
	s := startStack(t, Faults{})
	for _, c := range []struct{ status, header, value string }{
		{"abc", "X", "'a'"},
		{"", "X", "context"},
		{"", "X", "nothing.x"},
		{"", "a b", "'a'"},
	} {
		if err := s.putResponse("DEFAULT_5XX", c.status, map[string]string{c.header: c.value}, ""); code(err) == "" {
			t.Errorf("%+v was taken", c)
		}
	}
	_, err := s.gateway.PutGatewayResponse(context.Background(), &apigateway.PutGatewayResponseInput{RestApiId: &s.api, ResponseType: "DEFAULT_5XX",
		ResponseParameters: map[string]string{"method.response.header.X": "'a'"}})
	if code(err) != "BadRequestException" {
		t.Error(err)
	}
	r, err := s.gateway.GetGatewayResponse(context.Background(), &apigateway.GetGatewayResponseInput{RestApiId: &s.api, ResponseType: "DEFAULT_5XX"})
	if s.must(err); !r.DefaultResponse {
		t.Errorf("a refused response was kept: %+v", r)
	}
}

func TestGatewayResponseBody(t *testing.T) {
	f := newErrorForms(map[string]gatewayResponse{"A": {ResponseTemplates: map[string]string{"application/json": "j", "text/html": "h"}},
		"B": {ResponseTemplates: map[string]string{"text/plain": "p", "text/html": "h"}}})
	x := &exchange{arm: &arm{}, request: &http.Request{Header: http.Header{}}}
	for _, c := range []struct{ kind, accept, contentType, body string }{
		{"A", "", "application/json", "j"},
		{"A", "text/html", "text/html", "h"},
		{"A", "*/*", "application/json", "j"},
		{"B", "text/csv", "text/html", "h"},
	} {
		x.request.Header.Set("Accept", c.accept)
		if r := f.give(reply{status: 500, response: c.kind}, x); string(r.body) != c.body || r.header.Get("Content-Type") != c.contentType {
			t.Errorf("%+v: %s %v", c, r.body, r.header)
		}
	}
}

func TestReference(t *testing.T) {
	for in, want := range map[string]string{
		"context.requestId":                 "context.requestId|",
		"context.requestId.":                "context.requestId|.",
		"context.requestId-x":               "context.requestId|-x",
		"context.identity.sourceIp rest":    "context.identity.sourceIp| rest",
		"{context.status}x":                 "context.status|x",
		"{context.status":                   "|{context.status",
		"stageVariables.my-alias":           "stageVariables.my-alias|",
		"stageVariables.get('a')b":          "stageVariables.a|b",
		"stageVariables.get('a'b":           "stageVariables.get|('a'b",
		"method.request.header.X-Forwarded": "method.request.header.X-Forwarded|",
		"5":                                 "|5",
		"":                                  "|",
		"context":                           "|context",
		".x":                                "|.x",
	} {
		if name, rest := reference(in); name+"|"+rest != want {
			t.Errorf("%q: %s|%s, want %s", in, name, rest, want)
		}
	}
}
