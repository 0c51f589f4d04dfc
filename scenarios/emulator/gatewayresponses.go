package emulator

import (
	"maps"
	"slices"
	"strings"
)

// gatewayResponse is kept and reported; gateway errors keep their default form.
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
