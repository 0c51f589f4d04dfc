package preflight

import (
	"strings"

	"coalmine/scenarios/stage"
)

// endpoint wants the load to reach the stage: by the API's own endpoint, or by a custom domain that leads there.
func endpoint(f Facts, p Plan) []Finding {
	switch {
	case f.ref.Weighted():
		return one(unchecked("", "what leads to an alias is not known here"))
	case p.URL == "" && f.target.EndpointDisabled:
		return one(block("give a custom domain that leads to the stage: --url https://DOMAIN/PATH", "the API's own endpoint is disabled: %s answers nobody", f.target.InvokeURL))
	case p.URL == "":
		return one(fine("%s", f.target.InvokeURL))
	case !f.route.read && f.route.denied:
		return one(warn("grant apigateway:GET on /domainnames/"+p.domain(), "not checked whether %s leads to stage %s: %s", p.domain(), f.ref.Stage, f.route.why))
	case !f.route.read:
		return one(block("give a custom domain of this API, or leave --url out", "%s is not known to lead to stage %s: %s", orNone(p.domain()), f.ref.Stage, f.route.why))
	}
	return one(f.leads(f.route.value))
}

func (f Facts) leads(r stage.Route) Finding {
	const remedy = "correct --url, or the domain's base path mapping"
	switch {
	case r.Rules:
		return warn("send a few requests first: coalmine attack --url", "domain %s has routing rules, which come before its base path mappings and are not checked", r.Domain)
	case r.API == "":
		return block(remedy, "no base path mapping of %s takes the URL's path", r.Domain)
	case r.API != f.ref.API || r.Stage != f.ref.Stage:
		return block(remedy, "the URL leads to API %s, stage %s, and not to API %s, stage %s", r.API, r.Stage, f.ref.API, f.ref.Stage)
	case plainPath(r.Path) != plainPath(f.ref.Path):
		return block(remedy, "the URL leads to %s, and not to %s", r.Path, f.ref.Path)
	case r.Domain == "" && f.target.EndpointDisabled:
		return block("give a custom domain that leads to the stage: --url https://DOMAIN/PATH", "the API's own endpoint is disabled: %s answers nobody", f.target.InvokeURL)
	case r.Domain == "":
		return fine("the URL is the API's own endpoint")
	}
	return fine("domain %s, base path %s, leads to this API and stage", r.Domain, orNone(r.BasePath))
}

func plainPath(p string) string {
	p, _, _ = strings.Cut(p, "?")
	return strings.Trim(p, "/")
}

// auth wants the requests to carry what the method asks for.
func auth(f Facts, p Plan) []Finding {
	m := f.target.Method
	if f.ref.Weighted() {
		return one(unchecked("", "what the URL asks for is not known here"))
	}
	var all []Finding
	if m.NeedsKey && m.KeySource != "AUTHORIZER" && p.Header.Get("X-Api-Key") == "" {
		all = append(all, block("give one with --header 'x-api-key: ...'", "%s %s wants an API key, and none is given: every answer would be 403", m.Verb, m.Resource))
	}
	given := p.Header.Get("Authorization") != ""
	switch {
	case m.Authorization == "" || m.Authorization == "NONE" || given && m.Authorization != "AWS_IAM":
	case m.Authorization == "AWS_IAM" && given:
		all = append(all, warn("sign each request elsewhere: a signature is good for one request and five minutes", "%s %s wants signed requests, and one Authorization header is given for all", m.Verb, m.Resource))
	case m.Authorization == "AWS_IAM":
		all = append(all, block("test a method without IAM authorization: coalmine does not sign requests", "%s %s wants requests signed with SigV4, and none is: every answer would be 403", m.Verb, m.Resource))
	default:
		all = append(all, warn("give what it wants with --header", "%s %s asks an authorizer (%s), and no Authorization header is given", m.Verb, m.Resource, m.Authorization))
	}
	if all == nil {
		return one(fine("%s %s wants nothing that is not given", m.Verb, m.Resource))
	}
	return all
}
