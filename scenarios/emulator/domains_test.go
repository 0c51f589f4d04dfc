package emulator

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	apitypes "github.com/aws/aws-sdk-go-v2/service/apigateway/types"
	"github.com/aws/smithy-go"
)

// domain makes a custom domain with mappings "base:stage", where a stage of "" is left to the path.
func (s *stack) domain(name string, mappings ...string) {
	s.Helper()
	ctx := context.Background()
	_, err := s.gateway.CreateDomainName(ctx, &apigateway.CreateDomainNameInput{DomainName: &name,
		RegionalCertificateArn: aws.String("arn:aws:acm:eu-central-1:000000000000:certificate/x"),
		EndpointConfiguration:  &apitypes.EndpointConfiguration{Types: []apitypes.EndpointType{apitypes.EndpointTypeRegional}}})
	s.must(err)
	for _, m := range mappings {
		base, stage, _ := strings.Cut(m, ":")
		_, err := s.gateway.CreateBasePathMapping(ctx, &apigateway.CreateBasePathMappingInput{DomainName: &name, RestApiId: &s.api, BasePath: &base, Stage: &stage})
		s.must(err)
	}
}

func (s *stack) at(host, path string) got {
	s.Helper()
	r, err := http.NewRequest("GET", s.server.URL()+path, nil)
	s.must(err)
	r.Host = host
	a, err := s.client.Do(r)
	s.must(err)
	defer a.Body.Close()
	body, err := io.ReadAll(a.Body)
	s.must(err)
	return got{a.StatusCode, string(body), a.Header}
}

// TestCustomDomain: which stage a host and a path lead to.
func TestCustomDomain(t *testing.T) {
	s := startStack(t, Faults{})
	s.domain("api.example.com", "shop:staging", "(none):prod", "free:")
	s.domain("*.wild.example.com", "(none):dev")
	s.domain("bare.example.com", "v1:prod")
	for _, test := range []struct {
		host, path string
		status     int
		version    string
	}{
		{"api.example.com", "/products", 200, "1"},
		{"API.Example.com:8443", "/products", 200, "1"},
		{"api.example.com", "/shop/products", 200, "2"},
		{"api.example.com", "/free/dev/products", 200, "3"},
		{"api.example.com", "/free/nope/products", 403, ""},
		{"api.example.com", "/shop", 403, ""},
		{"api.example.com", "/other/products", 403, ""},
		{"a.wild.example.com", "/products", 200, "3"},
		{"a.b.wild.example.com", "/products", 404, ""}, // a wildcard is one label
		{"bare.example.com", "/v1/products", 200, "1"},
		{"bare.example.com", "/products", 403, ""},
		{"bare.example.com", "/", 403, ""},
		{"other.example.com", "/products", 404, ""}, // the control plane's answer: nobody's host
	} {
		g := s.at(test.host, test.path)
		if v := g.header.Get("X-Lambda-Version"); g.status != test.status || v != test.version {
			t.Errorf("%s%s: %d, version %q, want %d, %q", test.host, test.path, g.status, v, test.status, test.version)
		}
	}
	if g := s.at("bare.example.com", "/products"); g.body != `{"message":"Forbidden"}` || g.header.Get("X-Amzn-Errortype") != "ForbiddenException" {
		t.Errorf("without a mapping: %s %s", g.header.Get("X-Amzn-Errortype"), g.body)
	}
	_, err := s.gateway.DeleteDomainName(context.Background(), &apigateway.DeleteDomainNameInput{DomainName: aws.String("api.example.com")})
	s.must(err)
	if g := s.at("api.example.com", "/products"); g.status != 404 {
		t.Errorf("a deleted domain answers %d", g.status)
	}
}

// TestDomainEvent: the function sees the path that the client asked for, its base path included.
func TestDomainEvent(t *testing.T) {
	s := startStack(t, Faults{})
	events := make(chan Event, 1)
	s.server.Handle("getProducts", func(_ context.Context, in Invocation) (json.RawMessage, error) {
		events <- in.Event
		return json.RawMessage(`{}`), nil
	})
	s.domain("api.example.com", "shop:staging")
	s.at("api.example.com", "/shop/products")
	e := <-events
	if c := e.RequestContext; e.Path != "/shop/products" || c.Path != "/shop/products" || c.Stage != "staging" || c.DomainName != "api.example.com" || e.Resource != "/products" {
		t.Errorf("path %s, resource %s, context %+v", e.Path, e.Resource, c)
	}
}

// TestDisabledEndpoint: both forms of the API's own address are closed, its custom domain is not.
func TestDisabledEndpoint(t *testing.T) {
	s := startStack(t, Faults{})
	s.domain("api.example.com", "(none):prod")
	own := s.api + ".execute-api.eu-central-1.amazonaws.com"
	ask := func() (statuses [3]int, last got) {
		last = s.get("prod", "/products")
		return [3]int{s.at("api.example.com", "/products").status, s.at(own, "/prod/products").status, last.status}, last
	}
	set := func(value string) {
		t.Helper()
		api, err := s.gateway.UpdateRestApi(context.Background(), &apigateway.UpdateRestApiInput{RestApiId: &s.api, PatchOperations: []apitypes.PatchOperation{
			{Op: apitypes.OpReplace, Path: aws.String("/disableExecuteApiEndpoint"), Value: &value}}})
		s.must(err)
		if api.DisableExecuteApiEndpoint != strings.EqualFold(value, "true") {
			t.Errorf("patched to %s: %v", value, api.DisableExecuteApiEndpoint)
		}
	}
	if got, _ := ask(); got != [3]int{200, 200, 200} {
		t.Errorf("before: %v", got)
	}
	set("True")
	got, last := ask()
	if got != [3]int{200, 403, 403} || last.body != `{"message":"Forbidden"}` || last.header.Get("X-Amzn-Errortype") != "ForbiddenException" {
		t.Errorf("disabled: %v, %s %s", got, last.header.Get("X-Amzn-Errortype"), last.body)
	}
	checkHeaders(t, "disabled", last)
	s.canary("50.0") // what is published later stays closed
	if got, _ := ask(); got != [3]int{200, 403, 403} {
		t.Errorf("after a change of the stage: %v", got)
	}
	set("false")
	if got, _ := ask(); got != [3]int{200, 200, 200} {
		t.Errorf("enabled again: %v", got)
	}
	api, err := s.gateway.CreateRestApi(context.Background(), &apigateway.CreateRestApiInput{Name: aws.String("closed"), DisableExecuteApiEndpoint: true})
	s.must(err)
	if !api.DisableExecuteApiEndpoint {
		t.Error("CreateRestApi forgot disableExecuteApiEndpoint")
	}
}

// TestDomainControlPlane: shapes, paths and refusals as the SDK reads them.
func TestDomainControlPlane(t *testing.T) {
	s := startStack(t, Faults{})
	ctx := context.Background()
	s.domain("api.example.com", "(none):prod", "shop:staging")
	d, err := s.gateway.GetDomainName(ctx, &apigateway.GetDomainNameInput{DomainName: aws.String("api.example.com")})
	s.must(err)
	if !strings.HasPrefix(*d.RegionalDomainName, "d-") || !strings.HasSuffix(*d.RegionalDomainName, ".execute-api.eu-central-1.amazonaws.com") ||
		*d.RegionalHostedZoneId == "" || d.DistributionDomainName != nil || d.DomainNameStatus != apitypes.DomainNameStatusAvailable || d.SecurityPolicy != apitypes.SecurityPolicyTls12 {
		t.Errorf("regional: %+v", d)
	}
	edge, err := s.gateway.CreateDomainName(ctx, &apigateway.CreateDomainNameInput{DomainName: aws.String("edge.example.com"), CertificateArn: aws.String("arn")})
	s.must(err)
	if !strings.HasSuffix(*edge.DistributionDomainName, ".cloudfront.net") || edge.RegionalDomainName != nil || edge.EndpointConfiguration.Types[0] != apitypes.EndpointTypeEdge {
		t.Errorf("edge: %+v", edge)
	}
	all, err := s.gateway.GetDomainNames(ctx, &apigateway.GetDomainNamesInput{})
	s.must(err)
	if len(all.Items) != 2 || *all.Items[0].DomainName != "api.example.com" {
		t.Errorf("%d domains", len(all.Items))
	}
	maps, err := s.gateway.GetBasePathMappings(ctx, &apigateway.GetBasePathMappingsInput{DomainName: aws.String("api.example.com")})
	s.must(err)
	if len(maps.Items) != 2 || *maps.Items[0].BasePath != "(none)" || *maps.Items[0].Stage != "prod" || *maps.Items[1].RestApiId != s.api {
		t.Errorf("mappings: %+v", maps.Items)
	}
	one, err := s.gateway.GetBasePathMapping(ctx, &apigateway.GetBasePathMappingInput{DomainName: aws.String("api.example.com"), BasePath: aws.String("(none)")})
	s.must(err)
	if *one.Stage != "prod" {
		t.Errorf("the root leads to %s", *one.Stage)
	}
	update := func(base, path, value string) error {
		_, err := s.gateway.UpdateBasePathMapping(ctx, &apigateway.UpdateBasePathMappingInput{DomainName: aws.String("api.example.com"), BasePath: &base,
			PatchOperations: []apitypes.PatchOperation{{Op: apitypes.OpReplace, Path: &path, Value: &value}}})
		return err
	}
	s.must(update("shop", "/stage", "dev"))
	if g := s.at("api.example.com", "/shop/products"); g.header.Get("X-Lambda-Version") != "3" {
		t.Errorf("after the update: version %s", g.header.Get("X-Lambda-Version"))
	}
	create := func(domain, base, api, stage string) error {
		_, err := s.gateway.CreateBasePathMapping(ctx, &apigateway.CreateBasePathMappingInput{DomainName: &domain, BasePath: &base, RestApiId: &api, Stage: &stage})
		return err
	}
	// The texts are moto's, some of them seen on AWS by others.
	for _, test := range []struct {
		err           error
		code, message string
	}{
		{create("api.example.com", "shop", s.api, "prod"), "ConflictException", "Base path already exists for this domain name"},
		{create("api.example.com", "a/b", s.api, "prod"), "BadRequestException", "API Gateway V1 doesn't support the slash character (/) in base path mappings. To create a multi-level base path mapping, use API Gateway V2."},
		{create("api.example.com", "x", "nope", "prod"), "BadRequestException", "Invalid REST API identifier specified"},
		{create("api.example.com", "x", s.api, "nope"), "BadRequestException", "Invalid stage identifier specified"},
		{create("nope.example.com", "x", s.api, "prod"), "NotFoundException", "Invalid domain name identifier specified"},
		{update("nope", "/stage", "dev"), "NotFoundException", "Invalid base path mapping identifier specified"},
		{update("shop", "/basePath", "(none)"), "ConflictException", "Base path already exists for this domain name"},
		{update("shop", "/nope", "x"), "BadRequestException", "Invalid patch path  '/nope' specified for op 'replace'. Must be one of: [/basePath, /stage, /restapiId]"},
	} {
		var refused smithy.APIError
		if !errors.As(test.err, &refused) || refused.ErrorCode() != test.code || refused.ErrorMessage() != test.message {
			t.Errorf("got %v, want %s: %s", test.err, test.code, test.message)
		}
	}
	_, err = s.gateway.DeleteBasePathMapping(ctx, &apigateway.DeleteBasePathMappingInput{DomainName: aws.String("api.example.com"), BasePath: aws.String("(none)")})
	s.must(err)
	if g := s.at("api.example.com", "/products"); g.status != 403 {
		t.Errorf("without its mapping the root answers %d", g.status)
	}
}
