package emulator

import (
	"encoding/json"
	"maps"
	"strings"
)

// method and integration are immutable once stored: an edit stores a changed copy, so that a deployment can keep the old one.
type method struct {
	HTTPMethod        string                     `json:"httpMethod"`
	AuthorizationType string                     `json:"authorizationType"`
	AuthorizerID      string                     `json:"authorizerId,omitempty"`
	APIKeyRequired    bool                       `json:"apiKeyRequired"`
	OperationName     string                     `json:"operationName,omitempty"`
	RequestParameters map[string]bool            `json:"requestParameters,omitempty"`
	RequestModels     map[string]string          `json:"requestModels,omitempty"`
	Responses         map[string]json.RawMessage `json:"methodResponses,omitempty"`
	Integration       *integration               `json:"methodIntegration,omitempty"`
}

type integration struct {
	Type                string                     `json:"type"`
	HTTPMethod          string                     `json:"httpMethod,omitempty"`
	URI                 string                     `json:"uri,omitempty"`
	ConnectionType      string                     `json:"connectionType,omitempty"`
	ConnectionID        string                     `json:"connectionId,omitempty"`
	Credentials         string                     `json:"credentials,omitempty"`
	RequestParameters   map[string]string          `json:"requestParameters,omitempty"`
	RequestTemplates    map[string]string          `json:"requestTemplates,omitempty"`
	PassthroughBehavior string                     `json:"passthroughBehavior"`
	ContentHandling     string                     `json:"contentHandling,omitempty"`
	TimeoutInMillis     int                        `json:"timeoutInMillis"`
	CacheNamespace      string                     `json:"cacheNamespace"`
	CacheKeyParameters  []string                   `json:"cacheKeyParameters"`
	Responses           map[string]json.RawMessage `json:"integrationResponses,omitempty"`
}

const integrationTimeout = 29000 // ms

func (c *control) putMethod(in *call) (answer, error) {
	_, r, err := c.resource(in)
	if err != nil {
		return answer{}, err
	}
	m := &method{}
	if err := in.decode(m); err != nil {
		return answer{}, err
	}
	m.HTTPMethod, m.Integration, m.Responses = in.path("verb"), nil, nil
	switch m.HTTPMethod {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "ANY":
	default:
		return answer{}, badRequest("Invalid HttpMethod specified. Valid options are GET,PUT,POST,DELETE,PATCH,OPTIONS,HEAD,ANY")
	}
	switch m.AuthorizationType {
	case "NONE", "AWS_IAM":
	case "CUSTOM", "COGNITO_USER_POOLS":
		return answer{}, badRequest("Invalid authorizer ID specified. Setting the authorization type to CUSTOM or COGNITO_USER_POOLS requires a valid authorizer.")
	default:
		return answer{}, badRequest("Invalid authorization type specified. Valid options are NONE, AWS_IAM, CUSTOM, or COGNITO_USER_POOLS")
	}
	if r.methods[m.HTTPMethod] != nil {
		return answer{}, conflict("Method already exists for this resource")
	}
	r.methods[m.HTTPMethod] = m
	return created(m)
}

func (c *control) getMethod(in *call) (answer, error) {
	_, m, err := c.method(in)
	if err != nil {
		return answer{}, err
	}
	return ok(m)
}

func (c *control) deleteMethod(in *call) (answer, error) {
	r, m, err := c.method(in)
	if err != nil {
		return answer{}, err
	}
	delete(r.methods, m.HTTPMethod)
	return noContent()
}

func (c *control) putIntegration(in *call) (answer, error) {
	r, m, err := c.method(in)
	if err != nil {
		return answer{}, err
	}
	i := &integration{
		PassthroughBehavior: "WHEN_NO_MATCH",
		TimeoutInMillis:     integrationTimeout,
		CacheNamespace:      r.ID,
		CacheKeyParameters:  []string{},
	}
	if err := in.decode(i); err != nil {
		return answer{}, err
	}
	i.Responses = nil
	if err := i.validate(); err != nil {
		return answer{}, err
	}
	r.methods[m.HTTPMethod] = m.with(i)
	return created(i)
}

func (i *integration) validate() error {
	switch i.Type {
	case "AWS", "AWS_PROXY":
		if i.HTTPMethod == "" {
			return badRequest("Enumeration value for HttpMethod must be non-empty")
		}
		// arn:aws:apigateway:{region}:{service}:{path|action}/...
		parts := strings.SplitN(i.URI, ":", 6)
		if len(parts) < 6 || parts[0] != "arn" || parts[2] != "apigateway" {
			return badRequest("Invalid ARN specified in the request")
		}
		if !strings.HasPrefix(parts[5], "path/") && !strings.HasPrefix(parts[5], "action/") {
			return badRequest("AWS ARN for integration must contain path or action")
		}
	case "HTTP", "HTTP_PROXY", "MOCK":
	default:
		return invalid(i.Type, "putIntegrationInput.type",
			"Member must satisfy enum value set: [HTTP, MOCK, AWS_PROXY, HTTP_PROXY, AWS]")
	}
	if i.TimeoutInMillis < 50 || i.TimeoutInMillis > integrationTimeout {
		return badRequest("Timeout should be between 50 ms and 29000 ms")
	}
	return nil
}

func (c *control) getIntegration(in *call) (answer, error) {
	_, _, i, err := c.integration(in)
	if err != nil {
		return answer{}, err
	}
	return ok(i)
}

func (c *control) updateIntegration(in *call) (answer, error) {
	r, m, i, err := c.integration(in)
	if err != nil {
		return answer{}, err
	}
	ops, err := in.patch("updateIntegrationInput")
	if err != nil {
		return answer{}, err
	}
	changed := *i
	for _, op := range ops {
		switch op.Op + " " + op.Path {
		case "replace /uri":
			changed.URI = op.Value
		case "replace /httpMethod":
			changed.HTTPMethod = op.Value
		case "replace /credentials":
			changed.Credentials = op.Value
		case "replace /passthroughBehavior":
			changed.PassthroughBehavior = op.Value
		case "replace /timeoutInMillis":
			if changed.TimeoutInMillis, err = op.integer(); err != nil {
				return answer{}, err
			}
		default:
			return answer{}, badRequest("Invalid patch path %s", op.Path)
		}
	}
	if err := changed.validate(); err != nil {
		return answer{}, err
	}
	r.methods[m.HTTPMethod] = m.with(&changed)
	return ok(&changed)
}

func (c *control) deleteIntegration(in *call) (answer, error) {
	r, m, _, err := c.integration(in)
	if err != nil {
		return answer{}, err
	}
	r.methods[m.HTTPMethod] = m.with(nil)
	return noContent()
}

func (c *control) method(in *call) (*resource, *method, error) {
	_, r, err := c.resource(in)
	if err != nil {
		return nil, nil, err
	}
	m := r.methods[in.path("verb")]
	if m == nil {
		return nil, nil, notFound("Invalid Method identifier specified")
	}
	return r, m, nil
}

func (c *control) integration(in *call) (*resource, *method, *integration, error) {
	r, m, err := c.method(in)
	if err != nil {
		return nil, nil, nil, err
	}
	if m.Integration == nil {
		return nil, nil, nil, notFound("Invalid Integration identifier specified")
	}
	return r, m, m.Integration, nil
}

func (m *method) with(i *integration) *method {
	changed := *m
	changed.Integration = i
	return &changed
}

// Method and integration responses mean nothing to a proxy integration; they are kept so that tools which write them can read them.

func (c *control) putMethodResponse(in *call) (answer, error) {
	r, m, err := c.method(in)
	if err != nil {
		return answer{}, err
	}
	changed := *m
	changed.Responses = maps.Clone(m.Responses)
	response, err := in.putResponse(&changed.Responses)
	if err != nil {
		return answer{}, err
	}
	r.methods[m.HTTPMethod] = &changed
	return created(response)
}

func (c *control) getMethodResponse(in *call) (answer, error) {
	_, m, err := c.method(in)
	if err != nil {
		return answer{}, err
	}
	return in.getResponse(m.Responses)
}

func (c *control) deleteMethodResponse(in *call) (answer, error) {
	r, m, err := c.method(in)
	if err != nil {
		return answer{}, err
	}
	changed := *m
	changed.Responses = maps.Clone(m.Responses)
	delete(changed.Responses, in.path("status"))
	r.methods[m.HTTPMethod] = &changed
	return noContent()
}

func (c *control) putIntegrationResponse(in *call) (answer, error) {
	r, m, i, err := c.integration(in)
	if err != nil {
		return answer{}, err
	}
	changed := *i
	changed.Responses = maps.Clone(i.Responses)
	response, err := in.putResponse(&changed.Responses)
	if err != nil {
		return answer{}, err
	}
	r.methods[m.HTTPMethod] = m.with(&changed)
	return created(response)
}

func (c *control) getIntegrationResponse(in *call) (answer, error) {
	_, _, i, err := c.integration(in)
	if err != nil {
		return answer{}, err
	}
	return in.getResponse(i.Responses)
}

func (c *control) deleteIntegrationResponse(in *call) (answer, error) {
	r, m, i, err := c.integration(in)
	if err != nil {
		return answer{}, err
	}
	changed := *i
	changed.Responses = maps.Clone(i.Responses)
	delete(changed.Responses, in.path("status"))
	r.methods[m.HTTPMethod] = m.with(&changed)
	return noContent()
}

func (in *call) putResponse(into *map[string]json.RawMessage) (json.RawMessage, error) {
	fields := map[string]any{}
	if err := in.decode(&fields); err != nil {
		return nil, err
	}
	status := in.path("status")
	if len(status) != 3 || !isNumber(status) {
		return nil, badRequest("Invalid status code specified: %s", status)
	}
	if fields == nil { // a body of null
		fields = map[string]any{}
	}
	fields["statusCode"] = status
	if *into == nil {
		*into = map[string]json.RawMessage{}
	}
	(*into)[status] = encode(fields)
	return (*into)[status], nil
}

func (in *call) getResponse(from map[string]json.RawMessage) (answer, error) {
	response, found := from[in.path("status")]
	if !found {
		return answer{}, notFound("Invalid Response status code specified")
	}
	return ok(response)
}
