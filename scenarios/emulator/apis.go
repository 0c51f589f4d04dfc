package emulator

import (
	"cmp"
	"maps"
	"slices"
)

// restAPI is a REST API under edit, with everything that belongs to it. Its exported fields are its form on the wire.
type restAPI struct {
	ID             string            `json:"id"`
	Name           string            `json:"name"`
	Description    string            `json:"description,omitempty"`
	CreatedDate    epoch             `json:"createdDate"`
	Version        string            `json:"version,omitempty"`
	BinaryTypes    []string          `json:"binaryMediaTypes,omitempty"`
	APIKeySource   string            `json:"apiKeySource"`
	Endpoint       endpoint          `json:"endpointConfiguration"`
	Policy         string            `json:"policy,omitempty"`
	Tags           map[string]string `json:"tags,omitempty"`
	NoExecute      bool              `json:"disableExecuteApiEndpoint"`
	RootResourceID string            `json:"rootResourceId"`

	region      string
	order       int // of creation
	resources   map[string]*resource
	deployments []*deployment // oldest first
	stages      map[string]*stage
	responses   map[string]gatewayResponse
}

type endpoint struct {
	Types          []string `json:"types"`
	IPAddressType  string   `json:"ipAddressType"`
	VPCEndpointIDs []string `json:"vpcEndpointIds,omitempty"`
}

func (c *control) createRestAPI(in *call) (answer, error) {
	api := &restAPI{
		APIKeySource: "HEADER",
		region:       in.region,
		order:        len(c.apis),
		resources:    map[string]*resource{},
		stages:       map[string]*stage{},
		responses:    map[string]gatewayResponse{},
	}
	if err := in.decode(api); err != nil {
		return answer{}, err
	}
	if err := c.allowTags(api.Tags); err != nil {
		return answer{}, err
	}
	api.CreatedDate = now()
	if api.Name == "" {
		return answer{}, badRequest("Invalid API name specified")
	}
	if s := api.APIKeySource; s != "HEADER" && s != "AUTHORIZER" {
		return answer{}, invalid(s, "createRestApiInput.apiKeySource", "Member must satisfy enum value set: [HEADER, AUTHORIZER]")
	}
	for _, t := range api.Endpoint.Types {
		if t != "REGIONAL" && t != "EDGE" && t != "PRIVATE" {
			return answer{}, invalid("["+t+"]", "createRestApiInput.endpointConfiguration.types",
				"Member must satisfy constraint: [Member must satisfy enum value set: [PRIVATE, EDGE, REGIONAL]]")
		}
	}
	if len(api.Endpoint.Types) == 0 {
		api.Endpoint.Types = []string{"EDGE"}
	}
	api.Endpoint.IPAddressType = cmp.Or(api.Endpoint.IPAddressType, "ipv4")
	for _, other := range c.apis {
		api.order = max(api.order, other.order+1)
	}
	api.ID, api.RootResourceID = newID(10), newID(10)
	api.resources[api.RootResourceID] = &resource{ID: api.RootResourceID, Path: "/", methods: map[string]*method{}}
	c.apis[api.ID] = api
	return created(api)
}

func (c *control) getRestAPIs(in *call) (answer, error) {
	all := slices.SortedFunc(maps.Values(c.apis), func(a, b *restAPI) int { return cmp.Compare(a.order, b.order) })
	return paged(all, in.query)
}

func (c *control) getRestAPI(in *call) (answer, error) {
	api, err := c.api(in)
	if err != nil {
		return answer{}, err
	}
	return ok(api)
}

func (c *control) updateRestAPI(in *call) (answer, error) {
	api, err := c.api(in)
	if err != nil {
		return answer{}, err
	}
	ops, err := in.patch("updateRestApiInput")
	if err != nil {
		return answer{}, err
	}
	changed := *api
	for _, op := range ops {
		switch op.Op + " " + op.Path {
		case "replace /name":
			changed.Name = op.Value
		case "replace /description":
			changed.Description = op.Value
		case "replace /disableExecuteApiEndpoint":
			if changed.NoExecute, err = op.boolean(); err != nil {
				return answer{}, err
			}
		default:
			return answer{}, badRequest("Invalid patch path %s", op.Path)
		}
	}
	reopened := api.NoExecute != changed.NoExecute
	*api = changed
	if reopened { // at once; AWS was seen to wait for the stage's next deployment, so code must count on neither
		for _, st := range api.stages {
			c.publish(api, st)
		}
	}
	return ok(api)
}

func (c *control) deleteRestAPI(in *call) (answer, error) {
	api, err := c.api(in)
	if err != nil {
		return answer{}, err
	}
	for name := range api.stages {
		c.plane.withdraw(stageKey{api.ID, name})
	}
	delete(c.apis, api.ID)
	return accepted()
}

func (c *control) api(in *call) (*restAPI, error) {
	if api := c.apis[in.path("api")]; api != nil {
		return api, nil
	}
	return nil, notFound("Invalid API identifier specified %s:%s", account, in.path("api"))
}

func (c *control) getAccount(*call) (answer, error) {
	rate, burst := c.plane.faults.Load().Gateway.accountLimits()
	return ok(map[string]any{
		"apiKeyVersion":    "4",
		"features":         []string{"UsagePlans"},
		"throttleSettings": map[string]any{"burstLimit": burst, "rateLimit": decimal(rate)},
	})
}
