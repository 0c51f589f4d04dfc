package emulator

import (
	"cmp"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
)

// domain is a custom domain name. Nothing here resolves it: a request belongs to it by its Host header.
type domain struct {
	Name              string            `json:"domainName"`
	CertificateARN    string            `json:"certificateArn,omitempty"`
	CertificateName   string            `json:"certificateName,omitempty"`
	RegionalCert      string            `json:"regionalCertificateArn,omitempty"`
	RegionalCertName  string            `json:"regionalCertificateName,omitempty"`
	Distribution      string            `json:"distributionDomainName,omitempty"`
	DistributionZone  string            `json:"distributionHostedZoneId,omitempty"`
	RegionalName      string            `json:"regionalDomainName,omitempty"`
	RegionalZone      string            `json:"regionalHostedZoneId,omitempty"`
	Endpoint          endpoint          `json:"endpointConfiguration"`
	Status            string            `json:"domainNameStatus"`
	SecurityPolicy    string            `json:"securityPolicy"`
	RoutingMode       string            `json:"routingMode"`
	ARN               string            `json:"domainNameArn"`
	Tags              map[string]string `json:"tags,omitempty"`
	CertificateUpload epoch             `json:"certificateUploadDate"`

	mappings []mapping // in the order of their creation
}

// mapping leads a base path to a stage, or to an API whose stage is the path's next part.
type mapping struct {
	BasePath string `json:"basePath"` // "(none)" for the root
	API      string `json:"restApiId"`
	Stage    string `json:"stage,omitempty"`
}

const noBasePath = "(none)"

// cloudFrontZone is the one hosted zone of all CloudFront distributions.
const cloudFrontZone = "Z2FDTNDATAQYW2"

func (c *control) createDomainName(in *call) (answer, error) {
	d := &domain{}
	if err := in.decode(d); err != nil {
		return answer{}, err
	}
	d.Name = strings.ToLower(d.Name)
	switch {
	case d.Name == "":
		return answer{}, badRequest("No Domain Name specified")
	case !isDomainName(d.Name):
		return answer{}, badRequest("Invalid domain name identifier specified")
	case c.domains[d.Name] != nil:
		return answer{}, badRequest("The domain name you provided already exists.")
	}
	if err := c.allowTags(d.Tags); err != nil {
		return answer{}, err
	}
	if len(d.Endpoint.Types) == 0 {
		d.Endpoint.Types = []string{"EDGE"}
	}
	d.Endpoint.IPAddressType = cmp.Or(d.Endpoint.IPAddressType, "ipv4")
	d.Distribution, d.DistributionZone, d.RegionalName, d.RegionalZone = "", "", "", ""
	switch d.Endpoint.Types[0] {
	case "EDGE":
		d.Distribution, d.DistributionZone = newID(13)+".cloudfront.net", cloudFrontZone
	case "REGIONAL":
		d.RegionalName, d.RegionalZone = "d-"+newID(10)+".execute-api."+in.region+".amazonaws.com", "Z"+strings.ToUpper(newID(13))
	default:
		return answer{}, invalid("["+d.Endpoint.Types[0]+"]", "createDomainNameInput.endpointConfiguration.types",
			"Member must satisfy constraint: [Member must satisfy enum value set: [EDGE, REGIONAL]]")
	}
	d.Status, d.SecurityPolicy, d.RoutingMode = "AVAILABLE", cmp.Or(d.SecurityPolicy, "TLS_1_2"), cmp.Or(d.RoutingMode, "BASE_PATH_MAPPING_ONLY")
	d.ARN, d.CertificateUpload = "arn:aws:apigateway:"+in.region+"::/domainnames/"+d.Name, now()
	c.domains[d.Name] = d
	c.publishDomains()
	return created(d)
}

func (c *control) getDomainNames(in *call) (answer, error) {
	all := []*domain{}
	for _, name := range slices.Sorted(maps.Keys(c.domains)) {
		all = append(all, c.domains[name])
	}
	return paged(all, in.query)
}

func (c *control) getDomainName(in *call) (answer, error) {
	d, err := c.domain(in)
	if err != nil {
		return answer{}, err
	}
	return ok(d)
}

func (c *control) deleteDomainName(in *call) (answer, error) {
	d, err := c.domain(in)
	if err != nil {
		return answer{}, err
	}
	delete(c.domains, d.Name)
	c.publishDomains()
	return accepted()
}

func (c *control) createBasePathMapping(in *call) (answer, error) {
	d, err := c.domain(in)
	if err != nil {
		return answer{}, err
	}
	var m mapping
	if err := in.decode(&m); err != nil {
		return answer{}, err
	}
	m.BasePath = cmp.Or(m.BasePath, noBasePath)
	if m.Stage == noBasePath {
		m.Stage = ""
	}
	if err := c.checkMapping(m); err != nil {
		return answer{}, err
	}
	if d.index(m.BasePath) >= 0 {
		return answer{}, conflict("Base path already exists for this domain name")
	}
	d.mappings = append(d.mappings, m)
	c.publishDomains()
	return created(m)
}

func (c *control) getBasePathMappings(in *call) (answer, error) {
	d, err := c.domain(in)
	if err != nil {
		return answer{}, err
	}
	return paged(d.mappings, in.query)
}

func (c *control) getBasePathMapping(in *call) (answer, error) {
	d, i, err := c.mapping(in)
	if err != nil {
		return answer{}, err
	}
	return ok(d.mappings[i])
}

func (c *control) updateBasePathMapping(in *call) (answer, error) {
	d, i, err := c.mapping(in)
	if err != nil {
		return answer{}, err
	}
	ops, err := in.patch("updateBasePathMappingInput")
	if err != nil {
		return answer{}, err
	}
	m := d.mappings[i]
	for _, op := range ops {
		switch op.Op + " " + op.Path {
		case "replace /basePath":
			m.BasePath = cmp.Or(op.Value, noBasePath)
		case "replace /restapiId":
			m.API = op.Value
		case "replace /stage":
			if m.Stage = op.Value; m.Stage == noBasePath {
				m.Stage = ""
			}
		default:
			return answer{}, badRequest("Invalid patch path  '%s' specified for op '%s'. Must be one of: [/basePath, /stage, /restapiId]", op.Path, op.Op)
		}
	}
	if err := c.checkMapping(m); err != nil {
		return answer{}, err
	}
	if other := d.index(m.BasePath); other >= 0 && other != i {
		return answer{}, conflict("Base path already exists for this domain name")
	}
	d.mappings[i] = m
	c.publishDomains()
	return ok(m)
}

func (c *control) deleteBasePathMapping(in *call) (answer, error) {
	d, i, err := c.mapping(in)
	if err != nil {
		return answer{}, err
	}
	d.mappings = slices.Delete(slices.Clone(d.mappings), i, i+1)
	c.publishDomains()
	return accepted()
}

func (c *control) checkMapping(m mapping) error {
	if strings.Contains(m.BasePath, "/") {
		return badRequest("API Gateway V1 doesn't support the slash character (/) in base path mappings. " +
			"To create a multi-level base path mapping, use API Gateway V2.")
	}
	if m.BasePath == "." || m.BasePath == ".." || m.BasePath != noBasePath && strings.Trim(m.BasePath, basePathLetters) != "" {
		return badRequest("Invalid base path: %s. Only alphanumerics and the characters $-_.+!*'() are allowed.", m.BasePath)
	}
	api := c.apis[m.API]
	if api == nil {
		return badRequest("Invalid REST API identifier specified")
	}
	if m.Stage != "" && api.stages[m.Stage] == nil {
		return badRequest("Invalid stage identifier specified")
	}
	return nil
}

const basePathLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789$-_.+!*'()"

func (d *domain) index(basePath string) int {
	return slices.IndexFunc(d.mappings, func(m mapping) bool { return m.BasePath == basePath })
}

func (c *control) domain(in *call) (*domain, error) {
	if d := c.domains[strings.ToLower(in.path("domain"))]; d != nil {
		return d, nil
	}
	return nil, notFound("Invalid domain name identifier specified")
}

func (c *control) mapping(in *call) (*domain, int, error) {
	d, err := c.domain(in)
	if err != nil {
		return nil, 0, err
	}
	i := d.index(in.path("base"))
	if i < 0 {
		return nil, 0, notFound("Invalid base path mapping identifier specified")
	}
	return d, i, nil
}

// isDomainName takes host names of two labels and more; the leftmost may be a wildcard.
func isDomainName(s string) bool {
	labels := strings.Split(strings.TrimPrefix(s, "*."), ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return len(labels) > 1 && len(s) <= 253 && net.ParseIP(s) == nil
}

// domainView is a domain as requests see it: the mappings by base path, the root's as "".
type domainView map[string]mapping

func (c *control) publishDomains() {
	all := make(map[string]domainView, len(c.domains))
	for name, d := range c.domains {
		v := domainView{}
		for _, m := range d.mappings {
			v[strings.TrimSuffix(m.BasePath, noBasePath)] = m
		}
		all[name] = v
	}
	c.plane.domains.Store(&all)
}

// customTarget knows requests by their Host header, which is a domain's own name or fits its wildcard.
func (p *plane) customTarget(r *http.Request) (target, bool) {
	all := p.domains.Load()
	if all == nil || len(*all) == 0 {
		return target{}, false
	}
	host := strings.ToLower(r.Host)
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	d, found := (*all)[host]
	if !found {
		_, parent, _ := strings.Cut(host, ".")
		if d, found = (*all)["*."+parent]; !found {
			return target{}, false
		}
	}
	return d.target(r.URL.Path), true
}

// target takes the base path away, the longest that fits, and the stage, where the mapping leaves it to the path.
func (d domainView) target(path string) target {
	to := target{asked: path, custom: true}
	first, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	m, found := d[first]
	if !found || first == "" {
		if m, found = d[""]; !found {
			return to
		}
		rest = strings.TrimPrefix(path, "/")
	}
	to.key = stageKey{m.API, m.Stage}
	if m.Stage == "" {
		to.key.stage, rest, _ = strings.Cut(rest, "/")
	}
	to.path = "/" + rest
	return to
}
