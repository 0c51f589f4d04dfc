package scenarios

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	gateway "github.com/aws/aws-sdk-go-v2/service/apigateway/types"
	vegeta "github.com/tsenart/vegeta/v12/lib"

	"coalmine/attack"
	"coalmine/scenarios/emulator"
	"coalmine/scenarios/preflight"
)

// judged judges the rig's live canary.
func (r *rig) judged() Gate {
	return Gate{
		Client: r.client, Ref: r.ref, Policy: lenient(),
		Plan: attack.Plan{Target: vegeta.Target{Method: "GET", Header: http.Header{}}, Rate: attack.RateOf(100), Connections: 10,
			Timeout: time.Second, RunID: "preflight"},
		Act: Act{Promote: Hold, Reject: Hold, Inconclusive: Hold},
	}
}

func TestGateFindings(t *testing.T) {
	r := newRig(t, emulator.Faults{})
	// Nothing is sent to a stage that has no canary, and repeating it cannot help.
	_, err := r.judged().Prepare(t.Context(), "", "test")
	var blocked Preflight
	if !errors.As(err, &blocked) || !strings.Contains(err.Error(), "canary: stage prod has no canary; create one with coalmine canary create") {
		t.Fatal(err)
	}
	r.canary()
	p, err := r.judged().Prepare(t.Context(), "", "test")
	r.must(err)
	for _, name := range preflight.Checks() {
		if !slices.ContainsFunc(p.Findings, func(f preflight.Finding) bool { return f.Check == name }) {
			t.Errorf("%s is not among the findings", name)
		}
	}
	// How long an answer takes is known of the probe, and no worst case is assumed.
	i := slices.IndexFunc(p.Findings, func(f preflight.Finding) bool { return f.Check == "headroom" })
	if f := p.Findings[i]; f.Level != preflight.OK || !strings.Contains(f.Text, "environments at once (100/s x ") {
		t.Errorf("%+v", f)
	}
	// A warning is a note.
	throttled := r.judged()
	throttled.Plan.Rate = attack.RateOf(6000)
	p, err = throttled.Prepare(t.Context(), "", "test")
	r.must(err)
	if !slices.ContainsFunc(p.Notes, func(n string) bool { return strings.HasPrefix(n, "throttle: ") }) {
		t.Errorf("%q", p.Notes)
	}
}

// With --url beside --api, the path under test is what the URL has behind the domain's base path.
func TestGateTakesThePathFromTheURL(t *testing.T) {
	r := newRig(t, emulator.Faults{})
	r.canary()
	ctx := t.Context()
	_, err := r.client.Gateway().CreateDomainName(ctx, &apigateway.CreateDomainNameInput{DomainName: aws.String("api.example.com"),
		EndpointConfiguration: &gateway.EndpointConfiguration{Types: []gateway.EndpointType{gateway.EndpointTypeRegional}}})
	r.must(err)
	_, err = r.client.Gateway().CreateBasePathMapping(ctx, &apigateway.CreateBasePathMappingInput{
		DomainName: aws.String("api.example.com"), BasePath: aws.String("shop"), RestApiId: &r.ref.API, Stage: aws.String("prod")})
	r.must(err)
	for url, says := range map[string]string{
		"https://api.example.com/products":        "endpoint: no base path mapping of api.example.com takes the path of https://api.example.com/products",
		"https://api.example.com/shop/orders":     "the API has no such path",
		"https://nobody.example.com/shop/product": "find where nobody.example.com leads: GetDomainName",
	} {
		g := r.judged()
		g.Ref.Path, g.Plan.Target.URL = "", url
		_, err := g.Prepare(ctx, "", "test")
		var blocked Preflight
		if !errors.As(err, &blocked) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", url, err)
		}
	}
	g := r.judged()
	g.Ref.Path, g.Plan.Target.URL = "", r.client.InvokeURL(r.ref)
	p, err := g.Prepare(ctx, "", "test")
	r.must(err)
	if p.Story.Control.Ref.Path != "/products" || p.Header.Target.Covers != "1 of 1 methods (GET /products)" {
		t.Errorf("%+v, %s", p.Story.Control.Ref, p.Header.Target.Covers)
	}
}
