package stage

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigateway/types"
)

// Route is where a URL leads, as API Gateway has it.
type Route struct {
	Domain   string `json:"domain,omitempty"`    // a custom domain's name; "" where the URL is an API's own
	BasePath string `json:"base_path,omitempty"` // of the mapping, "" for the root's
	API      string `json:"api"`                 // id; "" where no mapping takes the path
	Stage    string `json:"stage"`
	Path     string `json:"path"`            // that the API sees, "/products"
	Rules    bool   `json:"rules,omitempty"` // the domain has routing rules, which come before its mappings and are not read
}

// Route finds where a URL leads: an API's own endpoint, or a custom domain by its base path mappings.
func (c *Client) Route(ctx context.Context, raw string) (Route, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return Route{}, errors.New("find where the URL leads: it is no absolute URL")
	}
	if r, ok := c.ownEndpoint(u); ok {
		return r, nil
	}
	r, err := c.customDomain(ctx, u)
	if err != nil {
		return r, fmt.Errorf("find where %s leads: %w", u.Host, err)
	}
	return r, nil
}

// ownEndpoint takes apart what InvokeURL puts together.
func (c *Client) ownEndpoint(u *url.URL) (Route, bool) {
	if api, rest, ok := strings.Cut(u.Hostname(), ".execute-api."); ok && strings.HasPrefix(rest, c.region+".amazonaws.com") {
		stage, path, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
		return Route{API: api, Stage: stage, Path: "/" + path}, true
	}
	origin := u.Scheme + "://" + u.Host
	if c.Real() || !strings.EqualFold(origin, c.endpoint) {
		return Route{}, false
	}
	before, path, ok := strings.Cut(u.Path, "/_user_request_")
	parts := strings.Split(before, "/") // "", restapis, API, STAGE
	if !ok || len(parts) != 4 || parts[1] != "restapis" {
		return Route{}, false
	}
	return Route{API: parts[2], Stage: parts[3], Path: "/" + strings.TrimPrefix(path, "/")}, true
}

func (c *Client) customDomain(ctx context.Context, u *url.URL) (Route, error) {
	r := Route{Domain: strings.ToLower(u.Hostname())}
	domain, err := c.gateway.GetDomainName(ctx, &apigateway.GetDomainNameInput{DomainName: &r.Domain})
	if IsNotFound(err) {
		if _, parent, ok := strings.Cut(r.Domain, "."); ok {
			wildcard := "*." + parent
			if under, wildcardErr := c.gateway.GetDomainName(ctx, &apigateway.GetDomainNameInput{DomainName: &wildcard}); wildcardErr == nil {
				r.Domain, domain, err = wildcard, under, nil
			}
		}
	}
	if err != nil {
		return r, condense(err)
	}
	r.Rules = domain.RoutingMode != "" && domain.RoutingMode != types.RoutingModeBasePathMappingOnly
	var mappings []types.BasePathMapping
	pages := apigateway.NewGetBasePathMappingsPaginator(c.gateway, &apigateway.GetBasePathMappingsInput{DomainName: &r.Domain, Limit: aws.Int32(500)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return r, condense(err)
		}
		mappings = append(mappings, page.Items...)
	}
	return r.follow(mappings, u.Path), nil
}

// follow takes the mapping with the longest base path that the URL's path begins with.
func (r Route) follow(mappings []types.BasePathMapping, path string) Route {
	longest := -1
	for _, m := range mappings {
		base := plainBase(text(m.BasePath))
		rest, ok := strings.CutPrefix(path, base)
		if !ok || rest != "" && base != "" && rest[0] != '/' || len(base) <= longest {
			continue
		}
		longest = len(base)
		r.BasePath, r.API, r.Stage = strings.TrimPrefix(base, "/"), text(m.RestApiId), text(m.Stage)
		if r.Stage == "" || r.Stage == noBasePath { // then the path names it
			r.Stage, rest, _ = strings.Cut(strings.TrimPrefix(rest, "/"), "/")
		}
		r.Path = "/" + strings.TrimPrefix(rest, "/")
	}
	return r
}

// noBasePath is how AWS writes that there is none.
const noBasePath = "(none)"

func plainBase(base string) string {
	if base == "" || base == noBasePath {
		return ""
	}
	return "/" + strings.Trim(base, "/")
}
