package emulator

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// gatewayResponse is a gateway error's form. A deployment takes those of its API along; they apply to what is deployed later.
type gatewayResponse struct {
	ResponseType       string            `json:"responseType"`
	StatusCode         string            `json:"statusCode,omitempty"`
	ResponseParameters map[string]string `json:"responseParameters"`
	ResponseTemplates  map[string]string `json:"responseTemplates"`
	DefaultResponse    bool              `json:"defaultResponse"`
}

// gatewayResponseTypes maps each type to its default status.
var gatewayResponseTypes = map[string]string{
	"ACCESS_DENIED": "403", "API_CONFIGURATION_ERROR": "500", "AUTHORIZER_CONFIGURATION_ERROR": "500", "AUTHORIZER_FAILURE": "500",
	"BAD_REQUEST_BODY": "400", "BAD_REQUEST_PARAMETERS": "400", "DEFAULT_4XX": "", "DEFAULT_5XX": "", "EXPIRED_TOKEN": "403",
	"INTEGRATION_FAILURE": "504", "INTEGRATION_TIMEOUT": "504", "INVALID_API_KEY": "403", "INVALID_SIGNATURE": "403",
	"MISSING_AUTHENTICATION_TOKEN": "403", "QUOTA_EXCEEDED": "429", "REQUEST_TOO_LARGE": "413", "RESOURCE_NOT_FOUND": "404",
	"THROTTLED": "429", "UNAUTHORIZED": "401", "UNSUPPORTED_MEDIA_TYPE": "415", "WAF_FILTERED": "403",
}

func (c *control) putGatewayResponse(in *call) (answer, error) {
	api, kind, err := c.gatewayResponse(in)
	if err != nil {
		return answer{}, err
	}
	var g gatewayResponse
	if err := in.decode(&g); err != nil {
		return answer{}, err
	}
	g.ResponseType, g.DefaultResponse = kind, false
	if err := g.validate(); err != nil {
		return answer{}, err
	}
	if g.StatusCode == "" {
		g.StatusCode = gatewayResponseTypes[kind]
	}
	if g.ResponseParameters == nil {
		g.ResponseParameters = map[string]string{}
	}
	if g.ResponseTemplates == nil {
		g.ResponseTemplates = map[string]string{}
	}
	api.responses[kind] = g
	return created(g)
}

func (c *control) getGatewayResponses(in *call) (answer, error) {
	api, err := c.api(in)
	if err != nil {
		return answer{}, err
	}
	all := []gatewayResponse{}
	for _, kind := range slices.Sorted(maps.Keys(gatewayResponseTypes)) {
		all = append(all, api.response(kind))
	}
	return ok(list[gatewayResponse]{Item: all})
}

func (c *control) getGatewayResponse(in *call) (answer, error) {
	api, kind, err := c.gatewayResponse(in)
	if err != nil {
		return answer{}, err
	}
	return ok(api.response(kind))
}

func (c *control) deleteGatewayResponse(in *call) (answer, error) {
	api, kind, err := c.gatewayResponse(in)
	if err != nil {
		return answer{}, err
	}
	if _, found := api.responses[kind]; !found {
		return answer{}, notFound("Gateway response type not defined on api")
	}
	delete(api.responses, kind)
	return accepted()
}

func (api *restAPI) response(kind string) gatewayResponse {
	if g, found := api.responses[kind]; found {
		return g
	}
	return gatewayResponse{
		ResponseType:       kind,
		StatusCode:         gatewayResponseTypes[kind],
		ResponseParameters: map[string]string{},
		ResponseTemplates:  map[string]string{"application/json": `{"message":$context.error.messageString}`},
		DefaultResponse:    true,
	}
}

func (c *control) gatewayResponse(in *call) (*restAPI, string, error) {
	api, err := c.api(in)
	if err != nil {
		return nil, "", err
	}
	kind := in.path("type")
	if _, found := gatewayResponseTypes[kind]; !found {
		return nil, "", invalid(kind, "responseType",
			"Member must satisfy enum value set: ["+strings.Join(slices.Sorted(maps.Keys(gatewayResponseTypes)), ", ")+"]")
	}
	return api, kind, nil
}

// errorForms are a deployment's gateway responses, by type.
type errorForms map[string]*errorForm

type errorForm struct {
	status  int // 0: the error's own
	headers map[string]template
	bodies  map[string]template // by content type
}

const headerParameter = "gatewayresponse.header."

func (g gatewayResponse) validate() error {
	if n, err := strconv.Atoi(g.StatusCode); g.StatusCode != "" && (err != nil || n < 200 || n > 599) {
		return invalid(g.StatusCode, "putGatewayResponseInput.statusCode", "Member must satisfy regular expression pattern: [1-5]\\d\\d")
	}
	for name, value := range g.ResponseParameters {
		if header, found := strings.CutPrefix(name, headerParameter); !found || !isName(header) {
			return badRequest("Invalid mapping expression specified: Validation Result: warnings : [], errors : [Invalid mapping expression parameter specified: %s]", name)
		}
		if _, known := headerTemplate(value); !known {
			return badRequest("Invalid mapping expression specified: Validation Result: warnings : [], errors : [Invalid mapping expression specified: %s]", value)
		}
	}
	return nil
}

// headerTemplate takes 'a static text', context.x, stageVariables.x and method.request.{header,querystring,path}.x.
func headerTemplate(expression string) (template, bool) {
	if static, found := strings.CutPrefix(expression, "'"); found && strings.HasSuffix(static, "'") {
		return template{parts: []part{{literal: strings.TrimSuffix(static, "'")}}}, true
	}
	if name, rest := reference(expression); rest == "" {
		if value := responseVariable(name); value != nil {
			return template{parts: []part{{value: value}, {}}}, true
		}
	}
	return template{}, false
}

// responseVariable knows what gateway responses may refer to ([DOC] api-gateway-gatewayResponse-definition).
func responseVariable(name string) variable {
	root, key, _ := strings.Cut(name, ".")
	switch root {
	case "context":
		if v := contextVariable(key); v != nil {
			return v
		}
		return text(func(*exchange) string { return "" })
	case "stageVariables":
		return text(func(x *exchange) string { return x.arm.variables[key] })
	}
	if key, found := strings.CutPrefix(name, "method.request.header."); found {
		return text(func(x *exchange) string { return x.request.Header.Get(key) })
	}
	if key, found := strings.CutPrefix(name, "method.request.querystring."); found {
		return text(func(x *exchange) string { return x.request.URL.Query().Get(key) })
	}
	if key, found := strings.CutPrefix(name, "method.request.path."); found {
		return text(func(x *exchange) string { return x.parameters[key] })
	}
	return nil
}

func newErrorForms(responses map[string]gatewayResponse) errorForms {
	forms := errorForms{}
	for kind, g := range responses {
		f := &errorForm{headers: map[string]template{}, bodies: map[string]template{}}
		f.status, _ = strconv.Atoi(g.StatusCode)
		for name, value := range g.ResponseParameters {
			f.headers[strings.TrimPrefix(name, headerParameter)], _ = headerTemplate(value)
		}
		for contentType, body := range g.ResponseTemplates {
			f.bodies[contentType] = newTemplate(body, "", responseVariable)
		}
		forms[kind] = f
	}
	return forms
}

// give an error the form that the API has for it: its type's, or else its class's.
func (forms errorForms) give(r reply, x *exchange) reply {
	x.failure.message, x.failure.response = r.message, r.response
	f := forms[r.response]
	if f == nil {
		f = forms["DEFAULT_"+strconv.Itoa(r.status/100)+"XX"]
	}
	if f == nil {
		return r
	}
	if f.status != 0 {
		r.status = f.status
	}
	x.status = r.status
	r.header = http.Header{}
	if contentType, body, found := f.body(x.request.Header.Get("Accept")); found {
		r.body = body.append(nil, x)
		r.header["Content-Type"] = []string{contentType}
	}
	for name, value := range f.headers {
		if strings.EqualFold(name, "Content-Type") {
			name = "Content-Type"
		}
		if text := string(value.append(nil, x)); text != "" && !reserved(name) {
			r.header[name] = []string{text}
		}
	}
	return r
}

// body is the template for the content type that the client asks for, or the one for JSON, or the first.
func (f *errorForm) body(accept string) (contentType string, t template, found bool) {
	if len(f.bodies) == 0 {
		return "", template{}, false
	}
	contentType = accept
	if _, found := f.bodies[contentType]; !found {
		contentType = "application/json"
	}
	if _, found := f.bodies[contentType]; !found {
		contentType = slices.Min(slices.Collect(maps.Keys(f.bodies)))
	}
	return contentType, f.bodies[contentType], true
}
